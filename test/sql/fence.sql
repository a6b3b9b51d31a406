-- A model nothing of which has changed is not computed; whatever changes what it reads makes it computed again.
CREATE SCHEMA fence_src;
CREATE SCHEMA fence_dwh;
CREATE TABLE fence_src.t (id integer PRIMARY KEY, v numeric, le date) WITH (autovacuum_enabled = off);
INSERT INTO fence_src.t SELECT i, i * 10, date '2024-01-01' + i FROM generate_series(1, 500) AS i;
CREATE TABLE fence_src.p (id integer, v integer) PARTITION BY RANGE (id);
CREATE TABLE fence_src.p1 PARTITION OF fence_src.p FOR VALUES FROM (0) TO (100) WITH (autovacuum_enabled = off);
CREATE TABLE fence_src.p2 PARTITION OF fence_src.p FOR VALUES FROM (100) TO (200) WITH (autovacuum_enabled = off);
INSERT INTO fence_src.p SELECT i, i FROM generate_series(1, 150) AS i;
CREATE FUNCTION fence_src.f(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE VIEW fence_src.w AS SELECT id, v FROM fence_src.t;

SELECT strata.define_staging('fence_dwh.stg', 'SELECT id, v, to_char(le, ''YYYY'') AS annee FROM fence_src.t');
SELECT strata.define_mart('fence_dwh.plain', 'SELECT id, v FROM fence_dwh.stg', key => '{id}');
SELECT strata.define_mart('fence_dwh.total', 'SELECT sum(v) AS total FROM fence_dwh.plain');
SELECT strata.define_mart('fence_dwh.parts', 'SELECT id, v FROM fence_src.p');
SELECT strata.define_mart('fence_dwh.by_function', 'SELECT id, fence_src.f(v) AS v FROM fence_src.t');
SELECT strata.define_mart('fence_dwh.by_view', 'SELECT id, v FROM fence_src.w');
SELECT strata.define_mart('fence_dwh.by_clock', 'SELECT id, now() AS n FROM fence_src.t WHERE id = 1');
SELECT strata.define_mart('fence_dwh.by_user', 'SELECT id, current_user::text AS u FROM fence_src.t WHERE id = 1');
SELECT strata.define_mart('fence_dwh.by_setting', 'SELECT id, current_setting(''server_version_num'') AS s FROM fence_src.t WHERE id = 1');
SELECT relation_name, deterministic FROM strata_state.model WHERE schema_name = 'fence_dwh' ORDER BY 1;

-- The models that are computed. A transaction of someone else (autovacuum) that is open just then forbids a fence: tried again.
CREATE FUNCTION fence_src.computed(OUT text) LANGUAGE plpgsql AS $$
DECLARE
    n integer := 0;
BEGIN
    LOOP
        SELECT coalesce(string_agg(split_part(model, '.', 2), ' ' ORDER BY model), 'none') INTO $1
          FROM strata.refresh('schema:fence_dwh', exclude => 'fence_dwh.by_*') WHERE action <> 'nothing';
        n := n + 1;
        EXIT WHEN $1 = 'none' OR n = 50;
    END LOOP;
END $$;
CREATE FUNCTION fence_src.first(OUT text) LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(string_agg(split_part(model, '.', 2), ' ' ORDER BY model), 'none') INTO $1
      FROM strata.refresh('schema:fence_dwh', exclude => 'fence_dwh.by_*') WHERE action <> 'nothing';
END $$;
SELECT count(*) FROM strata.refresh();
SELECT fence_src.computed();

-- every way to change a table
INSERT INTO fence_src.t VALUES (501, 1, '2024-01-01');
SELECT fence_src.first();
SELECT fence_src.computed();
UPDATE fence_src.t SET v = v + 1 WHERE id = 1;
SELECT fence_src.first();
SELECT fence_src.computed();
DELETE FROM fence_src.t WHERE id = 2;
SELECT fence_src.first();
SELECT fence_src.computed();
INSERT INTO fence_src.p2 VALUES (160, 1);
SELECT fence_src.first();
SELECT fence_src.computed();
ALTER TABLE fence_src.p DETACH PARTITION fence_src.p1;
SELECT fence_src.first();
SELECT fence_src.computed();
ALTER TABLE fence_src.p ATTACH PARTITION fence_src.p1 FOR VALUES FROM (0) TO (100);
SELECT fence_src.first();
SELECT fence_src.computed();
TRUNCATE fence_src.p1;
SELECT fence_src.first();
SELECT fence_src.computed();
-- one row that changes and changes back is a look for nothing, no more
UPDATE fence_src.t SET v = 7 WHERE id = 3;
UPDATE fence_src.t SET v = 30 WHERE id = 3;
SELECT fence_src.first();
SELECT count(*) FROM (TABLE fence_dwh.plain EXCEPT ALL SELECT id, v FROM fence_src.t) AS d;
SELECT fence_src.computed();

-- the refresh's own transaction: what it wrote before is seen, what it writes after is not missed, what is rolled back is forgotten
BEGIN;
UPDATE fence_src.t SET v = 1000 WHERE id = 4;
SELECT fence_src.first();
SELECT v FROM fence_dwh.plain WHERE id = 4;
UPDATE fence_src.t SET v = 2000 WHERE id = 4;
SELECT fence_src.first();
SELECT v FROM fence_dwh.plain WHERE id = 4;
SAVEPOINT s;
UPDATE fence_src.t SET v = 3000 WHERE id = 4;
SELECT fence_src.first();
ROLLBACK TO s;
SELECT v FROM fence_dwh.plain WHERE id = 4;
SELECT count(*) FROM (SELECT fence_src.first()) AS r;
SELECT count(*) FROM (TABLE fence_dwh.plain EXCEPT ALL SELECT id, v FROM fence_src.t) AS d;
COMMIT;
SELECT fence_src.computed();
-- in the middle of a statement that is changing the table
CREATE FUNCTION fence_src.refresh_and(numeric) RETURNS numeric LANGUAGE plpgsql VOLATILE AS
$$ BEGIN PERFORM fence_src.first(); RETURN $1 + 1; END $$;
UPDATE fence_src.t SET v = fence_src.refresh_and(v) WHERE id IN (5, 6);
SELECT count(*) FROM (SELECT fence_src.first()) AS r;
SELECT count(*) FROM (TABLE fence_dwh.plain EXCEPT ALL SELECT id, v FROM fence_src.t) AS d;
SELECT fence_src.computed();
-- a table made and filled in the same transaction
BEGIN;
TRUNCATE fence_src.t;
INSERT INTO fence_src.t SELECT i, i, '2024-01-01' FROM generate_series(1, 5) AS i;
SELECT fence_src.first();
INSERT INTO fence_src.t VALUES (6, 6, '2024-01-01');
SELECT fence_src.first();
COMMIT;
SELECT count(*) FROM fence_dwh.plain;
SELECT fence_src.computed();

-- definitions
SELECT strata.define_staging('fence_dwh.stg', 'SELECT id, v * 2 AS v, to_char(le, ''YYYY'') AS annee FROM fence_src.t');
SELECT fence_src.first();
SELECT * FROM fence_dwh.total;
SELECT fence_src.computed();
SELECT count(*) FROM strata.refresh('fence_dwh.total', full_rebuild => true) WHERE action = 'rebuild';

-- what hangs on more than rows is always computed
SELECT count(*) FROM strata.refresh('fence_dwh.by_*') WHERE action = 'nothing';
CREATE OR REPLACE FUNCTION fence_src.f(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT -$1';
CREATE OR REPLACE VIEW fence_src.w AS SELECT id, -v AS v FROM fence_src.t;
SELECT count(*) FROM strata.refresh('fence_dwh.by_*') WHERE action = 'nothing';
SELECT min(v), (SELECT min(v) FROM fence_dwh.by_view) FROM fence_dwh.by_function;
-- row security comes on
ALTER TABLE fence_src.t ENABLE ROW LEVEL SECURITY;
SELECT fence_src.first();
ALTER TABLE fence_src.t DISABLE ROW LEVEL SECURITY;
SELECT strata.drop_model('fence_dwh.stg', "cascade" => true);
SELECT strata.drop_model(model) FROM strata.select_models('schema:fence_dwh');
DROP SCHEMA fence_src CASCADE;
DROP SCHEMA fence_dwh CASCADE;

-- a target that somebody else wrote to is made good
CREATE SCHEMA fence_hand;
CREATE TABLE fence_hand.source AS SELECT i AS id, i * 10 AS v FROM generate_series(1, 100) AS i;
SELECT strata.define_mart('fence_hand.m', 'SELECT id, v FROM fence_hand.source', key => '{id}');
SELECT strata.define_fact('fence_hand.p', $$ SELECT id, date '2026-01-01' + id AS day FROM fence_hand.source $$, grain => '{id, day}', partition_by => 'day');
SELECT model, status, inserted FROM strata.refresh('schema:fence_hand', as_of => '2026-01-01');
DELETE FROM fence_hand.m WHERE id <= 10;
SELECT model, status, inserted FROM strata.refresh('fence_hand.m');
UPDATE fence_hand.m SET v = 0 WHERE id = 50;
SELECT model, status, updated FROM strata.refresh('fence_hand.m');
TRUNCATE fence_hand.m, fence_hand.p;
SELECT model, status, inserted FROM strata.refresh('schema:fence_hand', as_of => '2026-01-01');
INSERT INTO fence_hand.p VALUES (1000, '2026-02-01');
SELECT model, status, deleted FROM strata.refresh('fence_hand.p', as_of => '2026-01-01');
SELECT strata.drop_model('fence_hand.m'), strata.drop_model('fence_hand.p');
DROP TABLE fence_hand.source;
DROP SCHEMA fence_hand;
