-- Where a refresh by changes could count twice, miss, or break: each way, and the target is what its query gives.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
CREATE SCHEMA it;
SET search_path = it, public;
CREATE TABLE s (id integer PRIMARY KEY, g text, v numeric(10,2));
CREATE TABLE d (g text, w integer);
INSERT INTO s SELECT i, 'g' || i % 5, i FROM generate_series(1, 50) AS i;
INSERT INTO d SELECT 'g' || i, i FROM generate_series(0, 3) AS i;
SELECT strata.define_mart('it.sums', 'SELECT g, count(*) AS n, sum(v) AS total, max(v) AS most FROM s GROUP BY g', refresh => 'incremental');
SELECT strata.define_mart('it.joined', 'SELECT s.id, s.v, d.w FROM s LEFT JOIN d ON d.g = s.g', refresh => 'incremental');
SELECT strata.define_mart('it.ranks', 'SELECT g, id, rank() OVER (PARTITION BY g ORDER BY v) AS r FROM s', refresh => 'incremental');
SELECT strata.define_mart('it.above', 'SELECT total > 100 AS much, count(*) AS n FROM sums GROUP BY 1', refresh => 'incremental');
SELECT * FROM oracle.kept('schema:it');
-- in one line: how each was done, and what is wrong
CREATE FUNCTION r(models text DEFAULT 'schema:it', OUT how text, OUT models_so text, OUT wrong text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT how, string_agg(replace(model, 'it.', ''), ' ' ORDER BY model), string_agg(model || ' ' || holds, ', ' ORDER BY model) FILTER (WHERE holds <> 'equal')
      FROM oracle.kept(models) GROUP BY 1 ORDER BY 1
$$;

-- ---- in the transaction that made the changes ----
BEGIN;
INSERT INTO s VALUES (101, 'g1', 1);
SELECT * FROM r();
INSERT INTO s VALUES (102, 'g1', 2);
UPDATE s SET v = v + 10 WHERE id = 101;
SELECT * FROM r();
SELECT * FROM r();
DELETE FROM s WHERE id = 102;
COMMIT;
SELECT * FROM r();
SELECT * FROM r();
-- savepoints: rolled back before it, after it, around it
BEGIN;
SAVEPOINT a;
INSERT INTO s VALUES (110, 'g2', 5);
ROLLBACK TO a;
INSERT INTO s VALUES (111, 'g2', 6);
SELECT * FROM r();
SAVEPOINT b;
INSERT INTO s VALUES (112, 'g2', 7);
ROLLBACK TO b;
SELECT * FROM r();
SAVEPOINT c;
INSERT INTO s VALUES (113, 'g3', 8);
DELETE FROM d WHERE g = 'g2';
SELECT * FROM r();
ROLLBACK TO c;
SELECT * FROM r();
INSERT INTO s VALUES (114, 'g3', 9);
SAVEPOINT d;
SELECT * FROM r();
INSERT INTO s VALUES (115, 'g3', 9);
ROLLBACK TO d;
INSERT INTO s VALUES (116, 'g3', 9);
RELEASE d;
COMMIT;
SELECT * FROM r();
SELECT * FROM r();
-- a refresh that is rolled back, and one whose changes are too
BEGIN;
UPDATE s SET v = v + 1 WHERE id < 10;
SELECT * FROM r();
ROLLBACK;
SELECT * FROM r();
UPDATE s SET v = v + 1 WHERE id < 10;
BEGIN;
SELECT * FROM r();
ROLLBACK;
SELECT * FROM r();
-- a refresh that fails after the model was written
SELECT strata.define_check('it.above', 'expression', options => '{"expression": "n < 0"}', name => 'never');
UPDATE s SET v = v + 1 WHERE id < 5;
SELECT oracle.attempt('SELECT strata.refresh(''schema:it'')') ~ 'check failed' AS failed;
SELECT strata.drop_check('it.above', 'never');
SELECT * FROM r();
-- called from a statement that itself changes what is read: its rows are not yet captured
CREATE FUNCTION refresh_within(integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM strata.refresh('it.sums'); RETURN $1; END $$;
CREATE FUNCTION refresh_after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM strata.refresh('it.sums'); RETURN NULL; END $$;
INSERT INTO s VALUES (refresh_within(120), 'g1', 1), (refresh_within(121), 'g1', 1);
SELECT * FROM r();
CREATE TRIGGER a_refresh AFTER INSERT ON s FOR EACH ROW EXECUTE FUNCTION refresh_after();
INSERT INTO s VALUES (122, 'g1', 1), (123, 'g1', 1);
DROP TRIGGER a_refresh ON s;
SELECT * FROM r();
CREATE TRIGGER z_refresh AFTER INSERT ON s FOR EACH STATEMENT EXECUTE FUNCTION refresh_after();
INSERT INTO s VALUES (124, 'g1', 1), (125, 'g1', 1);
DROP TRIGGER z_refresh ON s;
SELECT * FROM r();
-- a trigger on the source that changes it once more
CREATE FUNCTION once_more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF pg_trigger_depth() = 1 THEN UPDATE s SET v = v + 1 WHERE id = NEW.id; INSERT INTO s VALUES (NEW.id + 1000, 'more', 1); END IF; RETURN NULL; END $$;
CREATE TRIGGER once_more AFTER INSERT ON s FOR EACH ROW EXECUTE FUNCTION once_more();
INSERT INTO s VALUES (126, 'g1', 1), (127, 'g1', 1);
DROP TRIGGER once_more ON s;
SELECT * FROM r();
-- deferred constraints
CREATE TABLE child (id integer, s_id integer REFERENCES s ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO child SELECT i, i % 20 + 1 FROM generate_series(1, 60) AS i;
SELECT strata.define_mart('it.children', 'SELECT s_id, count(*) AS n FROM child GROUP BY s_id', refresh => 'incremental');
SELECT * FROM r();
BEGIN;
INSERT INTO child VALUES (100, 9999);
SELECT * FROM r();
INSERT INTO s VALUES (9999, 'late', 1);
COMMIT;
SELECT * FROM r();
BEGIN;
INSERT INTO child VALUES (101, 8888);
SELECT * FROM r();
COMMIT;
SELECT * FROM r();
-- cascades of foreign keys, also within the transaction of the refresh
DELETE FROM s WHERE id = 3;
UPDATE s SET id = 204 WHERE id = 4;
SELECT * FROM r();
BEGIN;
DELETE FROM s WHERE id = 5;
SELECT * FROM r();
UPDATE s SET id = 206 WHERE id = 6;
COMMIT;
SELECT * FROM r();
-- prepared transactions
BEGIN;
INSERT INTO s VALUES (130, 'g1', 1);
PREPARE TRANSACTION 'it_one';
INSERT INTO s VALUES (131, 'g1', 1);
SELECT * FROM r();
COMMIT PREPARED 'it_one';
SELECT * FROM r();
-- isolation levels of the caller
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO s VALUES (132, 'g1', 1);
SELECT * FROM r();
INSERT INTO s VALUES (133, 'g1', 1);
SELECT * FROM r();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO s VALUES (134, 'g1', 1);
SELECT * FROM r();
COMMIT;
SELECT * FROM r();

-- ---- statements of all kinds ----
INSERT INTO s VALUES (1, 'g9', 900), (140, 'g9', 1) ON CONFLICT (id) DO UPDATE SET g = excluded.g, v = excluded.v;
INSERT INTO s VALUES (1, 'g8', 900) ON CONFLICT DO NOTHING;
SELECT * FROM r();
MERGE INTO s USING (VALUES (1, 'm'), (2, NULL), (141, 'm')) AS x (id, g) ON x.id = s.id
    WHEN MATCHED AND x.g IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET g = x.g WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.g, 5);
SELECT * FROM r();
COPY s FROM stdin;
150	copied	1.5
151	\N	\N
\.
SELECT * FROM r();
WITH gone AS (DELETE FROM s WHERE id >= 150 AND id < 200 RETURNING *), moved AS (UPDATE d SET w = w + 1 RETURNING g), again AS (UPDATE s SET v = 0 WHERE id = 7)
    INSERT INTO s SELECT id + 10, g, v FROM gone;
SELECT * FROM r();
TRUNCATE d;
INSERT INTO d VALUES ('g1', 1), ('g1', 2), (NULL, 3);
SELECT * FROM r();
INSERT INTO d VALUES ('g2', 1);
SELECT * FROM r();
BEGIN;
TRUNCATE d, s CASCADE;
INSERT INTO s VALUES (1, 'g1', 1);
SELECT * FROM r();
INSERT INTO s VALUES (2, 'g2', 1);
SELECT * FROM r();
ROLLBACK;
SELECT * FROM r();
BEGIN;
TRUNCATE d;
ROLLBACK;
INSERT INTO d VALUES ('g3', 1);
SELECT * FROM r();
-- maintenance is no change
VACUUM FULL s;
CLUSTER s USING s_pkey;
REINDEX TABLE s;
ANALYZE s;
SELECT * FROM r();
INSERT INTO s VALUES (165, 'g1', 1);
SELECT * FROM r();

-- ---- columns of all kinds ----
CREATE DOMAIN small AS integer CHECK (VALUE < 100000);
CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE kinds (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a small, twice integer GENERATED ALWAYS AS (a * 2) STORED,
    tags text[], doc jsonb, big text, m mood, p pair, span int4range, at timestamptz, b bytea, x xml, pos point, dropped integer, c "char", u uuid, e text COLLATE "C");
ALTER TABLE kinds ALTER big SET STORAGE EXTERNAL;
ALTER TABLE kinds DROP dropped;
INSERT INTO kinds (a, tags, doc, big, m, p, span, at, b, x, pos, c, u, e)
    SELECT i, ARRAY['t' || i % 3, NULL], jsonb_build_object('k', i % 4, 'l', repeat('j', i * 500)), repeat('b', 3000) || i, 'good'::mood, (i, 'p'::text)::pair, int4range(i, i + 2), '2026-01-01'::timestamptz, '\x00ff'::bytea, '<a/>'::xml, point(i, i), 'c', md5(i::text)::uuid, 'e' || i
      FROM generate_series(1, 12) AS i;
SELECT strata.define_mart('it.kinds_all', 'SELECT * FROM kinds', refresh => 'incremental');
SELECT strata.define_mart('it.kinds_tags', 'SELECT tags, m, span, count(*) AS n, max(a) AS a, count(DISTINCT doc -> ''k'') AS k FROM kinds GROUP BY tags, m, span', refresh => 'incremental');
SELECT strata.define_mart('it.kinds_doc', 'SELECT doc -> ''k'' AS k, sum(twice) AS twice, string_agg(e, '','' ORDER BY e) AS e, bool_and(p IS NOT NULL) AS p FROM kinds GROUP BY 1', refresh => 'incremental');
SELECT strata.define_mart('it.kinds_unnested', 'SELECT id, t, length(big) AS long FROM kinds, unnest(tags) AS t WHERE big LIKE ''b%''', refresh => 'incremental');
SELECT * FROM r('it.kinds_all it.kinds_tags it.kinds_doc it.kinds_unnested');
UPDATE kinds SET a = a + 1 WHERE id % 2 = 0;
UPDATE kinds SET doc = doc || '{"k": 1}', m = 'bad' WHERE id = 3;
UPDATE kinds SET tags = tags || 'new'::text WHERE id = 4;
UPDATE kinds SET big = big || 'x' WHERE id = 5;
INSERT INTO kinds (id, a) OVERRIDING SYSTEM VALUE VALUES (100, NULL);
INSERT INTO kinds (a, p) VALUES (1, NULL), (1, (NULL, NULL)), (1, (1, NULL));
DELETE FROM kinds WHERE id = 6;
SELECT * FROM r('it.kinds_all it.kinds_tags it.kinds_doc it.kinds_unnested');
-- equal and not the same, or the same and not equal
UPDATE kinds SET doc = '{"k": 70.0}' WHERE id = 7;
UPDATE kinds SET doc = '{"k": 70.00}' WHERE id = 7;
UPDATE kinds SET pos = '(-0,0)', x = '<a />' WHERE id = 8;
SELECT * FROM r('it.kinds_all it.kinds_tags it.kinds_doc it.kinds_unnested');
-- toasted values that do not change, in rows that do
SELECT oracle.note('it.kinds_all');
UPDATE kinds SET c = 'd';
UPDATE kinds SET c = 'c';
SELECT * FROM r('it.kinds_all it.kinds_tags it.kinds_doc it.kinds_unnested');
CREATE TABLE loose (id integer, n numeric, c text COLLATE "C", f float8, t interval);
INSERT INTO loose VALUES (1, 1.0, 'a', 0, '1 day'), (2, 1.00, 'a', '-0', '24:00'), (3, NULL, NULL, NULL, NULL), (4, 2, 'b', 'NaN', '1 day');
SELECT strata.define_mart('it.loose_n', 'SELECT n, count(*) AS c FROM loose GROUP BY n', refresh => 'incremental');
SELECT strata.define_mart('it.loose_d', 'SELECT DISTINCT f, t FROM loose', refresh => 'incremental');
SELECT strata.define_mart('it.loose_m', 'SELECT max(n::numeric(10,1)) AS n, min(t + ''1 hour'') FILTER (WHERE id < 2) AS t, max(f) AS f FROM loose', refresh => 'incremental');
SELECT * FROM r('it.loose_n it.loose_d it.loose_m');
DELETE FROM loose WHERE id = 1;
SELECT * FROM r('it.loose_n it.loose_d it.loose_m');
INSERT INTO loose VALUES (5, 2.000, 'b', 'NaN', '24:00'), (1, 1.0, 'a', 0, '1 day');
UPDATE loose SET n = n, f = f;
SELECT * FROM r('it.loose_n it.loose_d it.loose_m');
CREATE SCHEMA it_gis;
CREATE EXTENSION postgis SCHEMA it_gis;
CREATE TABLE zone (id integer, shape it_gis.geometry, place it_gis.geography);
INSERT INTO zone SELECT i, it_gis.st_setsrid(it_gis.st_makepoint(i, i), 4326), 'POINT(1 1)' FROM generate_series(1, 10) AS i;
SELECT strata.define_mart('it.zones', 'SELECT id % 3 AS k, it_gis.st_union(shape ORDER BY id) AS shape, count(*) AS n FROM zone GROUP BY 1');
SELECT strata.define_mart('it.near', 'SELECT a.id, b.id AS other FROM zone a JOIN zone b ON it_gis.st_dwithin(a.shape, b.shape, 2)');
SELECT strata.define_mart('it.zone_copy', 'SELECT * FROM zone', refresh => 'incremental');
SELECT * FROM r('it.zones it.near it.zone_copy');
UPDATE zone SET shape = it_gis.st_buffer(shape, 1, 2) WHERE id = 4;
INSERT INTO zone VALUES (11, NULL, NULL), (12, 'SRID=4326;POLYGON((0 0, 1 0, 1 1, 0 1, 0 0))', NULL);
UPDATE zone SET shape = shape WHERE id = 2;
SELECT * FROM r('it.zones it.near it.zone_copy');

-- ---- a source that is also a target, and one that is both read and hand-edited ----
INSERT INTO s VALUES (170, 'g1', 60);
SELECT * FROM r('it.above');
SELECT * FROM r('it.sums');
SELECT * FROM r('it.above');
INSERT INTO s VALUES (171, 'g1', 600);
SELECT * FROM r('it.sums it.above');
-- a refresh of the upper one alone, twice, while the lower one stands
SELECT * FROM r('it.above');
UPDATE sums SET total = 1;
SELECT * FROM r('it.above');
SELECT * FROM r('it.sums it.above');
-- a table that reads what it is read by
CREATE TABLE history (at integer, n bigint);
SELECT strata.define_mart('it.of_history', 'SELECT max(n) AS most FROM history', refresh => 'incremental');
INSERT INTO history SELECT 1, count(*) FROM s;
SELECT * FROM r('it.of_history');
INSERT INTO history SELECT 2, most + 1 FROM of_history;
SELECT * FROM r('it.of_history');

-- ---- one partition, ATTACH, DETACH ----
CREATE TABLE parted (id integer, day date, v integer) PARTITION BY RANGE (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO parted SELECT i, '2026-01-01'::date + i % 59, i FROM generate_series(1, 100) AS i;
SELECT strata.define_mart('it.all_days', 'SELECT day, sum(v) AS v FROM parted GROUP BY day', refresh => 'incremental');
SELECT strata.define_mart('it.one_month', 'SELECT day, sum(v) AS v FROM parted_2 GROUP BY day', refresh => 'incremental');
SELECT * FROM r('it.all_days it.one_month');
INSERT INTO parted_1 VALUES (201, '2026-01-03', 1);
SELECT * FROM r('it.all_days it.one_month');
INSERT INTO parted VALUES (202, '2026-02-03', 1);
INSERT INTO parted_2 VALUES (203, '2026-02-04', 1);
UPDATE parted SET day = '2026-01-04' WHERE id = 40;
UPDATE parted SET day = '2026-02-04' WHERE id = 10;
SELECT * FROM r('it.all_days it.one_month');
CREATE TABLE parted_3 (day date, v integer, extra integer, id integer);
ALTER TABLE parted_3 DROP extra;
INSERT INTO parted_3 SELECT '2026-03-05', i, i FROM generate_series(300, 310) AS i;
ALTER TABLE parted ATTACH PARTITION parted_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
SELECT * FROM r('it.all_days it.one_month');
INSERT INTO parted VALUES (311, '2026-03-06', 1), (312, '2026-02-06', 1);
UPDATE parted_3 SET v = v + 1 WHERE id < 305;
SELECT * FROM r('it.all_days it.one_month');
ALTER TABLE parted DETACH PARTITION parted_3;
INSERT INTO parted_3 VALUES ('2026-03-07', 1, 1);
SELECT * FROM r('it.all_days it.one_month');
INSERT INTO parted_1 VALUES (204, '2026-01-03', 1);
SELECT * FROM r('it.all_days it.one_month');
ALTER TABLE parted ATTACH PARTITION parted_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
CREATE TABLE parted_4 PARTITION OF parted FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
INSERT INTO parted VALUES (400, '2026-04-01', 1);
SELECT * FROM r('it.all_days it.one_month');
BEGIN;
INSERT INTO parted VALUES (401, '2026-04-01', 1);
SELECT * FROM r('it.all_days it.one_month');
ALTER TABLE parted DETACH PARTITION parted_1;
SELECT * FROM r('it.all_days it.one_month');
ROLLBACK;
SELECT * FROM r('it.all_days it.one_month');
TRUNCATE parted_2;
SELECT * FROM r('it.all_days it.one_month');
INSERT INTO parted VALUES (402, '2026-02-01', 1);
SELECT * FROM r('it.all_days it.one_month');
DROP TABLE parted_4;
SELECT * FROM r('it.all_days it.one_month');
INSERT INTO parted VALUES (403, '2026-02-01', 1);
SELECT * FROM r('it.all_days it.one_month');

-- ---- columns added, dropped, retyped; triggers disabled; dropped and made again ----
CREATE TABLE t (id integer, a integer, b text, c numeric(10,2));
INSERT INTO t SELECT i, i % 4, 'b' || i % 3, i FROM generate_series(1, 20) AS i;
SELECT strata.define_mart('it.of_t', 'SELECT a, count(*) AS n, sum(c) AS c FROM t GROUP BY a', refresh => 'incremental');
SELECT * FROM r('it.of_t');
INSERT INTO t VALUES (21, 1, 'x', 1);
ALTER TABLE t ADD e integer DEFAULT 7;
INSERT INTO t VALUES (22, 1, 'x', 1, 2);
SELECT * FROM r('it.of_t');
INSERT INTO t VALUES (23, 1, 'x', 1, 2);
SELECT * FROM r('it.of_t');
ALTER TABLE t DROP b;
INSERT INTO t VALUES (24, 1, 1, 2);
SELECT * FROM r('it.of_t');
INSERT INTO t VALUES (25, 1, 1, 2);
SELECT * FROM r('it.of_t');
BEGIN;
ALTER TABLE t ADD f text;
UPDATE t SET f = 'f', a = 2 WHERE id = 25;
SELECT * FROM r('it.of_t');
DELETE FROM t WHERE id = 24;
SELECT * FROM r('it.of_t');
ROLLBACK;
UPDATE t SET a = 3 WHERE id = 25;
SELECT * FROM r('it.of_t');
ALTER TABLE t ALTER c TYPE numeric(12,1);
SELECT * FROM r('it.of_t');
INSERT INTO t VALUES (26, 1, 1.5, 2);
SELECT * FROM r('it.of_t');
ALTER TABLE t ALTER a TYPE bigint;
SELECT * FROM r('it.of_t');
INSERT INTO t VALUES (27, 1, 1.5, 2);
SELECT * FROM r('it.of_t');
ALTER TABLE t RENAME c TO cost;
ALTER TABLE t RENAME TO renamed;
INSERT INTO renamed VALUES (28, 1, 1.5, 2);
SELECT * FROM r('it.of_t');
ALTER TABLE renamed RENAME TO t;
ALTER TABLE t RENAME cost TO c;
INSERT INTO t VALUES (29, 1, 1.5, 2);
SELECT * FROM r('it.of_t');
ALTER TABLE t DISABLE TRIGGER ALL;
INSERT INTO t VALUES (30, 1, 1.5, 2);
ALTER TABLE t ENABLE TRIGGER ALL;
SELECT * FROM r('it.of_t');
ALTER TABLE t DISABLE TRIGGER strata_capture_insert;
INSERT INTO t VALUES (31, 1, 1.5, 2);
SELECT * FROM r('it.of_t');
INSERT INTO t VALUES (32, 1, 1.5, 2);
SELECT * FROM r('it.of_t');
ALTER TABLE t ENABLE ALWAYS TRIGGER strata_capture_insert;
INSERT INTO t VALUES (33, 1, 1.5, 2);
SELECT * FROM r('it.of_t');
INSERT INTO t VALUES (34, 1, 1.5, 2);
SELECT * FROM r('it.of_t');
DROP TRIGGER strata_capture_update ON t;
UPDATE t SET a = 9 WHERE id = 1;
SELECT * FROM r('it.of_t');
UPDATE t SET a = 8 WHERE id = 1;
SELECT * FROM r('it.of_t');
UPDATE t SET a = 7 WHERE id = 1;
SELECT * FROM r('it.of_t');
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
UPDATE t SET a = 6 WHERE id = 1;
SELECT * FROM r('it.of_t');
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
UPDATE t SET a = 5 WHERE id = 1;
SELECT * FROM r('it.of_t');
UPDATE t SET a = 4 WHERE id = 1;
SELECT * FROM r('it.of_t');
ALTER TABLE t SET UNLOGGED;
UPDATE t SET a = 3 WHERE id = 1;
SELECT * FROM r('it.of_t');
ALTER TABLE t SET LOGGED;
UPDATE t SET a = 2 WHERE id = 1;
SELECT * FROM r('it.of_t');
UPDATE t SET a = 1 WHERE id = 1;
SELECT * FROM r('it.of_t');
-- under the same name another table
BEGIN;
SET LOCAL strata.guard_enforce = off;
DROP TABLE t CASCADE;
CREATE TABLE t (c numeric(12,1), id integer, a bigint);
INSERT INTO t VALUES (5, 1, 1), (6, 2, 2);
COMMIT;
SELECT oracle.attempt('SELECT strata.refresh(''it.of_t'')') AS gone;
SELECT strata.define_mart('it.of_t', 'SELECT a, count(*) AS n, sum(c) AS c FROM t GROUP BY a', refresh => 'incremental');
SELECT * FROM r('it.of_t');
INSERT INTO t VALUES (7, 3, 3);
SELECT * FROM r('it.of_t');
-- a view that is replaced
CREATE VIEW of_s AS SELECT g, v FROM s WHERE v < 20;
SELECT strata.define_mart('it.by_view', 'SELECT g, sum(v) AS v FROM of_s GROUP BY g', refresh => 'incremental');
SELECT * FROM r('it.by_view');
CREATE OR REPLACE VIEW of_s AS SELECT g, v FROM s WHERE v < 30;
SELECT * FROM r('it.by_view');
INSERT INTO s VALUES (180, 'g1', 25);
SELECT * FROM r('it.by_view');
CREATE OR REPLACE VIEW of_s AS SELECT d.g, d.w::numeric(10,2) AS v FROM d;
SELECT * FROM r('it.by_view');
INSERT INTO d VALUES ('g4', 1);
SELECT * FROM r('it.by_view');

-- ---- capture that could not be when the model was defined: a refresh asks for it ----
CREATE TABLE theirs (g text, v integer);
INSERT INTO theirs VALUES ('a', 1), ('b', 2);
CREATE ROLE regress_it_reader;
GRANT USAGE, CREATE ON SCHEMA it TO regress_it_reader;
GRANT SELECT ON theirs TO regress_it_reader;
SET ROLE regress_it_reader;
SELECT strata.define_mart('it.later', 'SELECT g, sum(v) AS v FROM it.theirs GROUP BY g');
RESET ROLE;
SELECT * FROM r('it.later');
INSERT INTO theirs VALUES ('a', 3);
SELECT * FROM r('it.later');
GRANT TRIGGER ON theirs TO regress_it_reader;
INSERT INTO theirs VALUES ('a', 4);
SELECT line FROM strata.explain_refresh('it.later') AS line WHERE line ~ 'because';
SELECT * FROM r('it.later');
INSERT INTO theirs VALUES ('a', 5);
SELECT * FROM r('it.later');
INSERT INTO theirs VALUES ('a', 6);
SELECT * FROM r('it.later');
SET strata.incremental = off;
SELECT strata.define_mart('it.later_too', 'SELECT t.v FROM theirs t JOIN d ON d.g = t.g');
CREATE TABLE ours (g text, v integer);
SELECT strata.define_mart('it.later_still', 'SELECT g, count(*) AS n FROM ours GROUP BY g');
SELECT * FROM r('it.later_too it.later_still');
RESET strata.incremental;
INSERT INTO ours VALUES ('a', 1);
SELECT * FROM r('it.later_still');
INSERT INTO ours VALUES ('a', 2);
SELECT * FROM r('it.later_still');
INSERT INTO ours VALUES ('a', 3);
SELECT * FROM r('it.later_still');

-- ---- rows as they were, for a subquery that has to be computed as it was: through an index, not the table for each row it concerns ----
CREATE TABLE heads (g integer PRIMARY KEY);
CREATE TABLE tails (id integer, g integer, v integer, note json);
INSERT INTO heads SELECT i FROM generate_series(1, 500) AS i;
INSERT INTO tails SELECT i, 1 + i % 500, i % 17, '{}' FROM generate_series(1, 10000) AS i;
CREATE INDEX ON tails (g);
CREATE VIEW tails_seen AS SELECT id, g, v, note::text AS note FROM tails;
ANALYZE heads, tails;
SELECT strata.define_mart('it.firsts', 'SELECT h.g, x.id, x.note FROM heads h LEFT JOIN LATERAL (SELECT t.id, t.note FROM tails_seen t WHERE t.g = h.g ORDER BY t.v DESC, t.id LIMIT 2) x ON true');
SELECT * FROM r('it.firsts');
UPDATE tails SET v = v + 20 WHERE id BETWEEN 100 AND 120;
INSERT INTO tails SELECT id, g, v, note FROM tails WHERE id BETWEEN 100 AND 105;
BEGIN;
SELECT action, status FROM strata.refresh('it.firsts');
SELECT seq_tup_read < 100000 AS "by index" FROM pg_stat_xact_user_tables WHERE relid = 'tails'::regclass;
COMMIT;
SELECT status FROM strata.verify('it.firsts');

-- ---- no catalog churn: refreshes create nothing ----
CREATE PROCEDURE churn(n integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. n LOOP
        UPDATE s SET v = v + 1 WHERE id = 1 + i % 40;
        PERFORM strata.refresh('it.sums it.joined');
        COMMIT;
    END LOOP;
END $$;
CREATE VIEW catalog AS SELECT c.relname, (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || c.oid::regclass, false, true, '')))[1]::text::bigint AS rows,
       pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_inserted(c.oid) AS inserted, pg_stat_get_tuples_updated(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) AS updated, pg_stat_get_tuples_deleted(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid) AS deleted
  FROM pg_class c WHERE relnamespace = 'pg_catalog'::regnamespace AND relname IN ('pg_class', 'pg_attribute', 'pg_type', 'pg_depend', 'pg_index', 'pg_shdepend', 'pg_trigger', 'pg_rewrite', 'pg_inherits', 'pg_constraint');
CREATE TABLE was AS SELECT * FROM catalog WHERE false;
CALL churn(5);
SELECT pg_stat_force_next_flush();
INSERT INTO was TABLE catalog;
CALL churn(1000);
SELECT pg_stat_force_next_flush();
SELECT catalog.relname, catalog.rows - was.rows AS rows, catalog.inserted - was.inserted AS inserted, catalog.updated - was.updated AS updated, catalog.deleted - was.deleted AS deleted
  FROM catalog JOIN was USING (relname) WHERE (catalog.rows, catalog.inserted, catalog.updated, catalog.deleted) IS DISTINCT FROM (was.rows, was.inserted, was.updated, was.deleted);
SELECT * FROM r('it.sums it.ranks it.joined');

SELECT model, status FROM strata.verify('schema:it') WHERE status <> 'equal';
SELECT count(strata.drop_model(m.model)) FROM (SELECT model FROM strata.models WHERE model LIKE 'it.%' ORDER BY model <> 'it.above', model) AS m;
SELECT relname FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_|^c\d+_';
SET strata.guard_enforce = off;
DROP EXTENSION postgis CASCADE;
DROP SCHEMA it, it_gis, oracle CASCADE;
DROP ROLE regress_it_reader;
