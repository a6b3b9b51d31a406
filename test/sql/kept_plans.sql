-- Statements kept for the session: still right after whatever happened between two refreshes, and not more than there may be.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
-- by changes, whatever the planner thinks of it
SET strata.incremental_full_cost = 0;
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
CREATE SCHEMA it;
CREATE FUNCTION it.rowset(rows text, query text) RETURNS text LANGUAGE c AS '$libdir/pg_strata', 'strata_base_test_rowset';
CREATE FUNCTION it.r(models text DEFAULT 'schema:it', OUT how text, OUT models_so text, OUT wrong text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT regexp_replace(how, '\d+ changed rows?', '... changed rows'), string_agg(replace(model, 'it.', ''), ' ' ORDER BY model), string_agg(model || ' ' || holds, ', ' ORDER BY model) FILTER (WHERE holds <> 'equal')
      FROM oracle.kept(models) GROUP BY 1 ORDER BY 1
$$;
-- statements of that text that are kept, parsed
CREATE FUNCTION it.kept(text_like text) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource' AND ident LIKE text_like
$$;

-- ---- one text, other row sets ----
SELECT it.rowset('SELECT 1 AS v', 'SELECT pg_typeof(v) || '' '' || v FROM test_rows');
SELECT it.rowset('SELECT 2 AS v', 'SELECT pg_typeof(v) || '' '' || v FROM test_rows');
SELECT it.kept('SELECT pg_typeof(v)%');
SELECT it.rowset('SELECT text ''a'' AS v', 'SELECT pg_typeof(v) || '' '' || v FROM test_rows');
SELECT it.rowset('SELECT 1.50::numeric(5,2) AS v', 'SELECT pg_typeof(v) || '' '' || v FROM test_rows');
SELECT it.rowset('SELECT 1.5::numeric(5,1) AS v', 'SELECT pg_typeof(v) || '' '' || v FROM test_rows');
SELECT it.rowset('SELECT 0 AS w, 3::bigint AS v', 'SELECT pg_typeof(v) || '' '' || v FROM test_rows');
SELECT it.rowset('SELECT 4 AS w, 3::bigint AS v', 'SELECT to_jsonb(t) FROM test_rows AS t');
SELECT it.rowset('SELECT 4 AS v, 3::bigint AS w', 'SELECT to_jsonb(t) FROM test_rows AS t');
SELECT it.rowset('SELECT text ''b'' COLLATE "C" AS v UNION ALL SELECT ''B''', 'SELECT string_agg(v, '' '' ORDER BY v) FROM test_rows');
SELECT it.rowset('SELECT text ''b'' COLLATE "und-x-icu" AS v UNION ALL SELECT ''B''', 'SELECT string_agg(v, '' '' ORDER BY v) FROM test_rows');
-- as many rows as 10,000, then more: those are planned for themselves
SELECT it.rowset(format('SELECT i AS v FROM generate_series(1, %s) AS i', n), 'SELECT sum(v) AS many FROM test_rows') FROM unnest('{0,1,3,4,5,100,9999,10000,10001,100000,5}'::int[]) AS n;
SELECT it.kept('SELECT sum(v) AS many%');
-- an error in planning, in running, and then none
SELECT it.rowset('SELECT 0 AS v', 'SELECT 1 / v AS broken FROM test_rows');
SELECT it.rowset('SELECT 2 AS v', 'SELECT 1 / v AS broken FROM test_rows');
SELECT it.rowset('SELECT 0 AS v', 'SELECT nothing FROM test_rows');
SELECT it.rowset('SELECT 0 AS v', 'SELECT v FROM it.not_yet CROSS JOIN test_rows');
CREATE TABLE it.not_yet (id integer);
INSERT INTO it.not_yet VALUES (1);
SELECT it.rowset('SELECT 0 AS v', 'SELECT v FROM it.not_yet CROSS JOIN test_rows');
DROP TABLE it.not_yet;
SELECT it.rowset('SELECT 0 AS v', 'SELECT v FROM it.not_yet CROSS JOIN test_rows');
-- settings that say what a literal means
SELECT it.rowset('SELECT 0 AS v', $$SELECT timestamptz '2026-01-02 03:00' AT TIME ZONE 'UTC' FROM test_rows$$);
SET TimeZone = 'Africa/Douala';
SELECT it.rowset('SELECT 0 AS v', $$SELECT timestamptz '2026-01-02 03:00' AT TIME ZONE 'UTC' FROM test_rows$$);
RESET TimeZone;
SET TimeZone = 'UTC';
SELECT it.rowset('SELECT 0 AS v', $$SELECT to_char(date '01/02/2026', 'YYYY-MM-DD') FROM test_rows$$);
SET DateStyle = 'ISO, DMY';
SELECT it.rowset('SELECT 0 AS v', $$SELECT to_char(date '01/02/2026', 'YYYY-MM-DD') FROM test_rows$$);
RESET DateStyle;
CREATE SCHEMA it2;
CREATE TABLE it.here (v text);
CREATE TABLE it2.here (v integer, w text);
INSERT INTO it.here VALUES ('it');
INSERT INTO it2.here VALUES (2, 'it2');
SET search_path = it;
SELECT it.rowset('SELECT 0 AS x', 'SELECT h.v FROM here AS h, test_rows');
SET search_path = it2;
SELECT it.rowset('SELECT 0 AS x', 'SELECT h.v FROM here AS h, test_rows');
RESET search_path;
-- the statement is run while it runs
CREATE FUNCTION it.again(n integer) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN n > 0 THEN it.rowset(format('SELECT %s AS v', n - 1), 'SELECT v || coalesce('' '' || it.again(v), '''') FROM test_rows') END
$$;
SELECT it.again(5);

-- ---- what voids a plan, and what does not: VACUUM changes nothing that it rests on ----
CREATE FUNCTION it.noisy() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'planned'; RETURN true; END $$;
CREATE TABLE it.base (id integer PRIMARY KEY, v text);
INSERT INTO it.base SELECT i, 'v' || i FROM generate_series(1, 3) AS i;
CREATE FUNCTION it.ask() RETURNS text LANGUAGE sql AS $$ SELECT it.rowset('SELECT 1 AS id', 'SELECT v FROM test_rows JOIN it.base USING (id) WHERE it.noisy()') $$;
SELECT it.ask();
SELECT it.ask();
INSERT INTO it.base SELECT i, 'v' || i FROM generate_series(4, 300) AS i;
VACUUM it.base;
SELECT it.ask();
DELETE FROM it.base WHERE id > 100;
VACUUM (FREEZE) it.base;
VACUUM (FREEZE) pg_class, pg_attribute, pg_index;
SELECT it.ask() FROM generate_series(1, 2);
INSERT INTO it.base SELECT i, 'v' || i FROM generate_series(301, 400) AS i;
ANALYZE it.base;
SELECT it.ask();
VACUUM it.base;
SELECT it.ask();
CREATE INDEX base_v ON it.base (v);
SELECT it.ask();
DROP INDEX it.base_v;
SELECT it.ask();
ALTER TABLE it.base ALTER v SET NOT NULL;
SELECT it.ask();
ALTER TABLE it.base ADD CHECK (id > 0);
SELECT it.ask();
ALTER TABLE it.base RENAME v TO w;
SELECT it.ask();
ALTER TABLE it.base RENAME w TO v;
SELECT it.ask();
DISCARD PLANS;
SELECT it.ask();
CREATE OR REPLACE FUNCTION it.noisy() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'planned anew'; RETURN true; END $$;
SELECT it.ask();
BEGIN;
ALTER TABLE it.base DROP v, ADD v integer DEFAULT 7;
SELECT it.ask();
ROLLBACK;
SELECT it.ask();
-- of what is not a plain table nobody looks
CREATE TABLE it.child () INHERITS (it.base);
INSERT INTO it.child VALUES (1, 'child');
SELECT it.ask() FROM generate_series(1, 2);
INSERT INTO it.base SELECT i, 'v' || i FROM generate_series(401, 800) AS i;
VACUUM it.base;
SELECT it.ask();
DROP TABLE it.child;
ALTER TABLE it.base ENABLE ROW LEVEL SECURITY;
SELECT it.ask();
INSERT INTO it.base SELECT i, 'v' || i FROM generate_series(801, 1200) AS i;
VACUUM it.base;
SELECT it.ask();
DROP TABLE it.base;
SELECT it.ask();

-- ---- models ----
SET search_path = it;
CREATE TABLE s (id integer PRIMARY KEY, g integer NOT NULL, v numeric(10,2) NOT NULL, note text, at timestamptz DEFAULT '2026-01-01 23:30+00');
CREATE TABLE d (g integer PRIMARY KEY, name text);
INSERT INTO s SELECT i, i % 10, i, 'n' || i FROM generate_series(1, 100) AS i;
INSERT INTO d SELECT i, 'd' || i % 3 FROM generate_series(0, 9) AS i;
CREATE FUNCTION half(numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT $1 / 2';
CREATE FUNCTION rounded(numeric) RETURNS numeric IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN round($1); END';
CREATE VIEW seen AS SELECT id, g, v FROM s WHERE id > 0;
SELECT strata.define_mart('it.sums', 'SELECT g, count(*) AS n, sum(v) AS total, max(v) AS most FROM s GROUP BY g');
SELECT strata.define_mart('it.joined', 'SELECT d.name, s.id, half(s.v) AS h, s.note FROM s JOIN d ON d.g = s.g', key => '{id}');
SELECT strata.define_mart('it.sides', 'SELECT s.id, d.name FROM s LEFT JOIN d ON d.g = s.g');
SELECT strata.define_mart('it.days', 'SELECT at::date AS day, count(*) AS n, sum(rounded(v)) AS total FROM s GROUP BY 1');
SELECT strata.define_mart('it.seen_sums', 'SELECT g, sum(v) AS total FROM seen GROUP BY g');
SELECT * FROM r();
CREATE PROCEDURE change(n integer DEFAULT 1) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE it.s SET v = v + 1 WHERE id % 7 < n;
    UPDATE it.d SET name = name || 'x' WHERE g < n;
    INSERT INTO it.s (id, g, v, note) SELECT coalesce(max(id), 0) + 1, 3, 4, 'new' FROM it.s;
    DELETE FROM it.s WHERE id = (SELECT min(id) FROM it.s);
END $$;
CALL change();
SELECT * FROM r();
CALL change();
SELECT * FROM r();
-- the same statements, again and again
CREATE TABLE was AS SELECT it.kept('%strata\_change\_%');
CALL change();
SELECT * FROM r();
SELECT kept > 0 AS some, it.kept('%strata\_change\_%') - kept AS more FROM was;

-- tables
ANALYZE s;
ALTER TABLE s RENAME COLUMN v TO amount;
UPDATE s SET amount = amount + 1 WHERE id < 20;
SELECT * FROM r();
ALTER TABLE s RENAME COLUMN amount TO v;
ALTER TABLE s RENAME TO s2;
UPDATE s2 SET v = v + 1 WHERE id < 20;
SELECT * FROM r();
ALTER TABLE s2 RENAME TO s;
CALL change();
SELECT * FROM r();
ALTER TABLE s ADD COLUMN extra integer DEFAULT 1, ALTER COLUMN g DROP NOT NULL;
INSERT INTO s (id, g, v, note) VALUES (1001, NULL, 5, 'no g'), (1002, NULL, 6, NULL);
CALL change();
SELECT * FROM r();
UPDATE s SET v = v + 1 WHERE g IS NULL;
SELECT * FROM r();
ALTER TABLE s DROP COLUMN extra;
CALL change();
SELECT * FROM r();
ALTER TABLE d ALTER COLUMN name TYPE varchar(40);
CALL change();
SELECT how FROM r('it.sides');
CALL change();
SELECT * FROM r('it.sums it.sides');
ALTER TABLE d SET SCHEMA it2;
UPDATE it2.d SET name = name || 'y' WHERE g = 1;
SELECT * FROM r('it.sides');
ALTER TABLE it2.d SET SCHEMA it;
CALL change();
SELECT * FROM r('it.sides');
CREATE INDEX s_g ON s (g);
CALL change();
SELECT * FROM r('it.sums it.seen_sums');
DROP INDEX s_g;
CALL change();
SELECT * FROM r('it.sums it.seen_sums');
TRUNCATE it.sums;
SELECT * FROM r('it.sums');
CALL change();
SELECT * FROM r('it.sums');

-- functions and views
CREATE OR REPLACE FUNCTION half(numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT $1 / 4';
CALL change();
SELECT * FROM r('it.joined');
CALL change();
SELECT * FROM r('it.joined');
CREATE OR REPLACE FUNCTION rounded(numeric) RETURNS numeric IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN round($1) + 1; END';
CALL change();
SELECT * FROM r('it.days');
CALL change();
SELECT * FROM r('it.days');
CREATE OR REPLACE VIEW seen AS SELECT id, g, v FROM s WHERE id % 2 = 0;
CALL change();
SELECT * FROM r('it.seen_sums');
CALL change();
SELECT * FROM r('it.seen_sums');

-- dropped, and made again under its name
SET strata.guard_enforce = off;
DROP TABLE it.d CASCADE;
RESET strata.guard_enforce;
SELECT count(strata.drop_model(model)) FROM strata.models WHERE model IN ('it.joined', 'it.sides');
CREATE TABLE d (name text, g bigint);
INSERT INTO d SELECT 'e' || i % 3, i FROM generate_series(0, 9) AS i;
SELECT strata.define_mart('it.sides', 'SELECT s.id, d.name FROM s LEFT JOIN d ON d.g = s.g');
SELECT * FROM r('it.sides');
CALL change();
SELECT * FROM r('it.sides');

-- transactions: what was rolled back was planned with
BEGIN;
ALTER TABLE s ADD COLUMN gone integer DEFAULT 7;
CALL change();
SELECT * FROM r('it.sums it.days');
SAVEPOINT a;
ALTER TABLE s ADD COLUMN other text DEFAULT 'x', DROP COLUMN note CASCADE;
SELECT how, wrong FROM r('it.days');
UPDATE s SET v = v + 1 WHERE id < 30;
SELECT how, wrong FROM r('it.days');
ROLLBACK TO a;
CALL change();
SELECT * FROM r('it.sums it.days');
ROLLBACK;
CALL change();
SELECT * FROM r('it.sums it.days');
BEGIN;
SELECT count(strata.drop_model('it.sums'));
ROLLBACK;
CALL change();
SELECT * FROM r('it.sums it.days');

-- few rows, many, few
INSERT INTO s (id, g, v) SELECT i, i % 1000, 1 FROM generate_series(10001, 40000) AS i;
SELECT wrong FROM r('it.sums it.sides');
CALL change();
SELECT * FROM r('it.sums it.sides');
DELETE FROM s WHERE id > 10000;
SELECT wrong FROM r('it.sums it.sides it.days');
CALL change();
SELECT * FROM r('it.sums it.sides');

-- whoever refreshes, and under whichever settings
CREATE ROLE regress_kept_owner;
GRANT USAGE, CREATE ON SCHEMA it TO regress_kept_owner;
CREATE TABLE shared (id integer PRIMARY KEY, g integer, v integer);
INSERT INTO shared SELECT i, i % 5, i FROM generate_series(1, 50) AS i;
GRANT SELECT ON shared TO regress_kept_owner;
SELECT strata.capture('it.shared');
SET ROLE regress_kept_owner;
SELECT strata.define_mart('it.theirs', 'SELECT g, sum(v) AS total FROM it.shared GROUP BY g');
SELECT model, status FROM strata.refresh('it.theirs');
RESET ROLE;
SELECT strata.define_mart('it.ours', 'SELECT g, sum(v) AS total FROM it.shared GROUP BY g');
SELECT * FROM r('it.theirs it.ours');
UPDATE shared SET v = v + 1 WHERE id < 5;
SELECT * FROM r('it.theirs it.ours');
UPDATE shared SET v = v + 1 WHERE id < 5;
SET ROLE regress_kept_owner;
SELECT model, action, status FROM strata.refresh('it.theirs');
RESET ROLE;
SELECT * FROM r('it.theirs it.ours');
-- what its owner may not read any more is not read
REVOKE SELECT ON shared FROM regress_kept_owner;
UPDATE shared SET v = v + 1 WHERE id < 5;
SELECT status FROM strata.refresh('it.theirs');
SELECT * FROM r('it.ours');
GRANT SELECT ON shared TO regress_kept_owner;
SELECT status FROM strata.refresh('it.theirs');
SELECT status FROM strata.verify('it.theirs');
-- row security comes
CREATE POLICY later ON shared TO regress_kept_owner USING (id > 20);
ALTER TABLE shared ENABLE ROW LEVEL SECURITY;
UPDATE shared SET v = v + 1 WHERE id BETWEEN 15 AND 25;
SELECT * FROM r('it.ours');
SELECT status FROM strata.refresh('it.theirs');
SET ROLE regress_kept_owner;
SELECT status FROM strata.verify('it.theirs');
RESET ROLE;
ALTER TABLE shared DISABLE ROW LEVEL SECURITY;
SELECT status FROM strata.refresh('it.theirs');
SELECT status FROM strata.verify('it.theirs');

SET TimeZone = 'Asia/Tokyo';
SET search_path = pg_catalog;
CALL it.change();
SELECT * FROM it.r('it.days it.sums');
SET search_path = it2, it;
CREATE TABLE it2.s (id integer, g integer, v integer, at date);
CALL it.change();
SELECT * FROM it.r('it.days it.sums');
SET enable_hashjoin = off;
SET enable_nestloop = off;
CALL it.change();
SELECT * FROM it.r('it.days it.sums it.sides');
RESET enable_hashjoin;
RESET enable_nestloop;
SET plan_cache_mode = force_custom_plan;
CALL it.change();
SELECT * FROM it.r('it.days it.sums it.sides');
RESET plan_cache_mode;
DISCARD PLANS;
CALL it.change();
SELECT * FROM it.r('it.days it.sums it.sides');
DISCARD ALL;
SET client_min_messages = warning;
SET strata.incremental_full_cost = 0;
CALL it.change();
SELECT * FROM it.r('it.days it.sums it.sides');

-- ---- not more than there may be ----
SELECT count(it.rowset('SELECT 1 AS v', format('SELECT v + %s AS numbered FROM test_rows', i))) FROM generate_series(1, 3000) AS i;
SELECT it.kept('SELECT v + % AS numbered%') BETWEEN 500 AND 1000 AS kept,
       (SELECT sum(total_bytes) < 48 * 1024 * 1024 FROM pg_backend_memory_contexts WHERE name LIKE 'CachedPlan%' OR name LIKE 'SPI Plan%' OR name LIKE 'pg_strata kept%') AS bounded;
-- large ones are fewer
SELECT count(it.rowset('SELECT 1 AS v', format('SELECT %s, %s FROM test_rows', i, (SELECT string_agg('v + ' || j, ', ') FROM generate_series(1, 500) AS j)))) FROM generate_series(1, 200) AS i;
SELECT sum(total_bytes) < 48 * 1024 * 1024 AS bounded FROM pg_backend_memory_contexts WHERE name LIKE 'CachedPlan%' OR name LIKE 'SPI Plan%' OR name LIKE 'pg_strata kept%';
CALL it.change();
SELECT * FROM it.r('it.days it.sums it.sides it.seen_sums');

SELECT count(strata.drop_model(m.model)) FROM (SELECT model FROM strata.models WHERE model LIKE 'it.%' ORDER BY model) AS m;
SET strata.guard_enforce = off;
DROP SCHEMA it, it2, oracle CASCADE;
DROP ROLE regress_kept_owner;
