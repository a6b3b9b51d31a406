-- MERGE on a partitioned table: rows that it moves between partitions are missed by no model, and a MERGE that moves none costs no full refresh.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
CREATE SCHEMA cm;
ALTER DATABASE :DBNAME SET search_path = cm, public;
ALTER DATABASE :DBNAME SET strata.incremental_full_cost = 0;
\c
CREATE TABLE p (id int, g text, v int) PARTITION BY LIST (g);
CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a');
CREATE TABLE p_b (gone int, v int, id int, g text);
ALTER TABLE p_b DROP COLUMN gone;
ALTER TABLE p ATTACH PARTITION p_b FOR VALUES IN ('b');
CREATE TABLE p_c PARTITION OF p FOR VALUES IN ('c') PARTITION BY RANGE (v);
CREATE TABLE p_c1 PARTITION OF p_c FOR VALUES FROM (0) TO (1000);
CREATE TABLE p_c2 PARTITION OF p_c FOR VALUES FROM (1000) TO (2000);
CREATE TABLE p_d PARTITION OF p DEFAULT;
INSERT INTO p SELECT i, chr(97 + i % 4), i FROM generate_series(1, 40) AS i;
CREATE TABLE x (id int, g text, v int);
INSERT INTO x VALUES (1, 'a', 500);
SELECT strata.define_mart('cm.sums', 'SELECT g, count(*) AS n, sum(v) AS total, min(v) AS least FROM p GROUP BY g', refresh => 'incremental');
SELECT strata.define_mart('cm.one', 'SELECT id, v FROM p_c1', refresh => 'incremental');
-- in one line: how each was done, and what is wrong
CREATE FUNCTION r(OUT how text, OUT models text, OUT wrong text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT how, string_agg(replace(model, 'cm.', ''), ' ' ORDER BY model), string_agg(model || ' ' || holds, ', ' ORDER BY model) FILTER (WHERE holds <> 'equal')
      FROM oracle.kept('schema:cm') GROUP BY 1 ORDER BY 1
$$;
SELECT * FROM r();
SELECT * FROM r() AS nothing;

-- ---- what is shown to the triggers: by changes ----
UPDATE p SET g = 'b' WHERE id = 4;
SELECT * FROM r() AS "UPDATE that moves";
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET v = x.v;
SELECT * FROM r() AS "UPDATE action that moves nothing";
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET v = x.v + 1, g = 'b' WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.g, x.v);
SELECT * FROM r() AS "the key is set, to what it is";
UPDATE x SET id = 100;
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = x.g WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.g, x.v);
SELECT * FROM r() AS "only the INSERT action";
UPDATE x SET id = 1;
MERGE INTO p USING x ON x.id = p.id AND x.id = -1 WHEN MATCHED AND p.v < 0 THEN DELETE WHEN MATCHED THEN UPDATE SET g = 'a' WHEN NOT MATCHED THEN INSERT VALUES (x.id + 200, x.g, x.v);
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED AND p.v < 0 THEN DELETE WHEN MATCHED THEN UPDATE SET g = 'a' WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.g, x.v);
SELECT * FROM r() AS "all three actions, and one moves";
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED AND p.v < 0 THEN UPDATE SET g = 'c';
SELECT * FROM r() AS "no row";
DO $$ BEGIN EXECUTE 'EXPLAIN MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = ''c'' WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.g, x.v)'; END $$;
SELECT * FROM r() AS "EXPLAIN";
BEGIN;
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = 'c';
ROLLBACK;
SELECT * FROM r() AS "rolled back";
BEGIN;
SAVEPOINT a;
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = 'c';
ROLLBACK TO a;
UPDATE p SET v = v + 1 WHERE id = 2;
COMMIT;
SELECT * FROM r() AS "its savepoint rolled back";

-- ---- what is not: in full, once ----
-- the first statement of its session that has to do with us
\c
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = 'b';
SELECT * FROM r() AS "UPDATE action";
SELECT * FROM r() AS nothing;
\c
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = 'd' WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.g, x.v);
SELECT * FROM r() AS "and INSERT";
\c
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED AND p.v < 0 THEN DELETE WHEN MATCHED THEN UPDATE SET g = 'a';
SELECT * FROM r() AS "and DELETE";
MERGE INTO p_c USING (VALUES (2, 1500), (6, 6)) AS y (id, v) ON y.id = p_c.id WHEN MATCHED THEN UPDATE SET v = y.v;
SELECT * FROM r() AS "between partitions of a partition";
MERGE INTO p USING (VALUES (2, 150), (6, 1600)) AS y (id, v) ON y.id = p.id WHEN MATCHED THEN UPDATE SET v = y.v WHEN NOT MATCHED THEN DO NOTHING;
SELECT * FROM r() AS "below a partition";
DO $$ BEGIN EXECUTE 'EXPLAIN (ANALYZE) MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = ''b'''; END $$;
SELECT * FROM r() AS "EXPLAIN ANALYZE";
PREPARE m (text) AS MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = $1 WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.g, x.v);
EXECUTE m ('a');
SELECT * FROM r() AS "prepared";
BEGIN;
EXECUTE m ('b');
SELECT * FROM r() AS "and refreshed in its transaction";
UPDATE p SET v = v + 1 WHERE id = 3;
SELECT * FROM r() AS "what comes after";
SAVEPOINT a;
EXECUTE m ('a');
ROLLBACK TO a;
EXECUTE m ('c');
COMMIT;
SELECT * FROM r() AS "and once more";
CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.g := 'd'; RETURN NEW; END $$;
CREATE TRIGGER away BEFORE UPDATE ON p FOR EACH ROW EXECUTE FUNCTION away();
SELECT * FROM r() AS "a trigger is new";
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET v = x.v WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.g, x.v);
SELECT * FROM r() AS "a trigger moves it";
DROP TRIGGER away ON p;
SELECT * FROM r() AS "a trigger is gone";
-- in a function, and from 17 on in WITH
CREATE FUNCTION merge(to_g text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('server_version_num')::int >= 170000 THEN
        EXECUTE 'WITH m AS (MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = $1 RETURNING p.id) SELECT id FROM m' USING to_g;
    ELSE
        MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = to_g;
    END IF;
END $$;
SELECT merge('a');
SELECT * FROM r() AS "in a function";
SELECT merge('a');
SELECT * FROM r() AS "it stays where it is";

-- ---- nobody follows it ----
SELECT strata.drop_model('cm.sums'), strata.drop_model('cm.one');
MERGE INTO p USING x ON x.id = p.id WHEN MATCHED THEN UPDATE SET g = 'b';
SELECT count(*) FROM strata_state.capture_mark WHERE relid = 'p'::regclass;
ALTER DATABASE :DBNAME RESET ALL;
SET client_min_messages = warning;
DROP SCHEMA cm, oracle CASCADE;
