-- capture: changed rows that a statement reads where they stand, without a copy
\set VERBOSITY terse
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA cs;
SET search_path = cs, public;

CREATE FUNCTION read(relation oid, consumer text, queries text[], columns int[]) RETURNS text[]
    LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_read';
CREATE FUNCTION forget(consumer text) RETURNS void LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_drop';
CREATE TABLE src (id int PRIMARY KEY, v int, note text, gone int);
ALTER TABLE src DROP gone, ADD late numeric;
INSERT INTO src SELECT i, i, 'n' || i, i / 2.0 FROM generate_series(1, 20) AS i;
-- all that changed, as text; used: id, v, note, late
CREATE FUNCTION r(VARIADIC queries text[]) RETURNS text[] LANGUAGE sql AS $$ SELECT cs.read('cs.src'::regclass, 'one', queries, '{1,2,3,5}') $$;
SELECT r('SELECT 1') AS "followed from now on";
SELECT r('SELECT 1', 'SELECT count(*) FROM changes') AS "nothing";

-- ---- which rows, which columns ----
INSERT INTO src VALUES (21, NULL, 'twenty-one', 1.50);
UPDATE src SET v = v + 100 WHERE id <= 2;
DELETE FROM src WHERE id = 20;
SELECT unnest(r('SELECT string_agg(format(''%s%s %s %s %s'', strata_sign, id, v, note, late), E''\n'' ORDER BY strata_sign, id) FROM changes',
    'SELECT string_agg(format(''%s%s'', strata_sign, id), '' '' ORDER BY strata_sign, id) FROM changes WHERE v > 100 OR v IS NULL',
    'SELECT count(*) FROM changes', 'SELECT sum(strata_sign) FROM changes'));
UPDATE src SET note = 'other' WHERE id = 3;
SELECT read('src'::regclass, 'one', '{SELECT string_agg(coalesce(note\, ''not used'') || strata_sign\, '' '' ORDER BY strata_sign) FROM changes}', '{1}')
    AS "what is not used is not read";
DELETE FROM src WHERE id = 3;

-- ---- how a statement may go about it ----
UPDATE src SET v = 0 WHERE id BETWEEN 4 AND 6;
SELECT unnest(r(
    -- whole rows
    'SELECT string_agg(c::text, '' '' ORDER BY strata_sign, id) FROM changes AS c WHERE id < 6', 'SELECT to_jsonb(c) FROM changes AS c ORDER BY id, strata_sign LIMIT 1',
    'SELECT count(a) FROM changes AS a JOIN changes AS b ON a = b',
    -- twice: a product with itself, by each kind of join
    'SELECT count(*) || '' '' || sum(a.strata_sign * b.strata_sign) FROM changes AS a, changes AS b',
    'SELECT count(*) FROM changes AS a JOIN changes AS b USING (id)',
    'SELECT count(*) FROM changes AS a WHERE EXISTS (SELECT 1 FROM changes AS b WHERE b.id = a.id AND b.strata_sign <> a.strata_sign)',
    'SELECT count(*) FROM (SELECT id FROM changes UNION ALL SELECT -id FROM changes) AS u',
    -- begun again for each row
    'SELECT string_agg(s.id || '':'' || (SELECT count(*) FROM changes AS c WHERE c.id <= s.id), '' '' ORDER BY s.id) FROM cs.src AS s WHERE s.id < 7',
    'SELECT count(*) FROM cs.src AS s, LATERAL (SELECT * FROM changes AS c WHERE c.id = s.id OFFSET 0) AS l',
    -- left before its end, or never begun
    'SELECT id FROM changes LIMIT 1', 'SELECT count(*) FROM (SELECT id FROM changes LIMIT 2) AS l', 'SELECT 1 WHERE EXISTS (SELECT 1 FROM changes)',
    'SELECT count(*) FROM changes WHERE false',
    'SELECT count(*) FROM cs.src WHERE id = 0 AND id IN (SELECT id FROM changes)',
    -- computed above it, beside it, sorted, in a CTE
    'SELECT string_agg(x, '','') FROM (SELECT id * strata_sign || ''!'' AS x FROM changes ORDER BY id * strata_sign LIMIT 3) AS s',
    'WITH c AS MATERIALIZED (SELECT * FROM changes) SELECT count(*) FROM c AS a, c AS b WHERE a.id = b.id',
    'SELECT count(*) FROM cs.src AS s LEFT JOIN changes AS c ON c.id = s.id AND c.strata_sign > 0 WHERE coalesce(c.v, 1) = 1',
    'SELECT id FROM changes AS c GROUP BY id HAVING sum(strata_sign) <> 0'));
SELECT set_config('enable_hashjoin', 'off', false), set_config('enable_nestloop', 'off', false);
UPDATE src SET v = 1 WHERE id BETWEEN 4 AND 6;
SELECT r('SELECT count(*) FROM changes AS a JOIN changes AS b USING (id)') AS merged;
RESET enable_hashjoin;
RESET enable_nestloop;

-- ---- a statement that is kept, and run for other rows ----
CREATE FUNCTION total() RETURNS text[] LANGUAGE sql AS $$ SELECT cs.r('SELECT coalesce(sum(v * strata_sign), 0) FROM changes WHERE v IS NOT NULL') $$;
INSERT INTO src VALUES (30, 3);
SELECT total();
INSERT INTO src VALUES (31, 31);
SELECT total();
SELECT total() AS "nothing new";
UPDATE src SET v = 32 WHERE id = 31;
SELECT total();
-- the column is another one: the plan is, too
ALTER TABLE src ALTER v TYPE bigint;
SELECT total() AS "not known";
UPDATE src SET v = 30000000000 WHERE id = 31;
SELECT total();

-- ---- errors ----
UPDATE src SET v = id WHERE id BETWEEN 4 AND 9;
DO $$ BEGIN PERFORM cs.r('SELECT sum(1 / (id - 7)) FROM changes'); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
SELECT r('SELECT sum(1 / (id - 7)) FROM changes');
BEGIN;
SELECT r('SELECT 1 / (id - 7) FROM changes AS a ORDER BY id');
ROLLBACK;
SELECT r('SELECT s.id FROM cs.src AS s JOIN changes AS c USING (id) FOR UPDATE OF s') AS "not where rows are locked";
SELECT r('SELECT string_agg(strata_sign || '':'' || id, '' '' ORDER BY strata_sign, id) FROM changes') AS "still all of them";

-- ---- in the transaction that changes it ----
INSERT INTO src VALUES (40, 40);
BEGIN;
INSERT INTO src VALUES (41, 41);
SELECT r('SELECT string_agg(id::text, '' '' ORDER BY id) FROM changes');
INSERT INTO src VALUES (42, 42);
SAVEPOINT a;
INSERT INTO src VALUES (43, 43);
ROLLBACK TO a;
SELECT r('SELECT string_agg(id::text, '' '' ORDER BY id) FROM changes') AS "what came since";
INSERT INTO src VALUES (44, 44);
COMMIT;
SELECT r('SELECT string_agg(id::text, '' '' ORDER BY id) FROM changes') AS "and after";
-- what a statement changes while it reads is for the next time
CREATE FUNCTION one_more(integer) RETURNS integer LANGUAGE sql AS $$ INSERT INTO cs.src VALUES ($1 + 1000, 1) RETURNING id $$;
INSERT INTO src VALUES (45, 45), (46, 46);
SELECT r('SELECT count(cs.one_more(id)) FROM changes', 'SELECT string_agg(id::text, '' '') FROM changes');
SELECT r('SELECT string_agg(id::text, '' '' ORDER BY id) FROM changes');

-- ---- several change tables; another consumer keeps them all ----
SELECT read('src'::regclass, 'two', '{}', '{1}');
SET strata.capture_segment_size = '8kB';
DO $$ BEGIN
    FOR i IN 1..6 LOOP
        INSERT INTO cs.src SELECT i * 10000 + j, j, repeat('x', 20) FROM generate_series(1, 600) AS j;
        COMMIT;
        PERFORM cs.r('SELECT 1');
        COMMIT;
    END LOOP;
END $$;
SELECT count(*) > 1 AS several FROM strata_state.capture_segment WHERE relid = 'cs.src'::regclass AND state <> 'free';
DELETE FROM src WHERE id > 10000 AND id % 3 = 0;
SELECT r('SELECT count(*) || '' '' || sum(id) FROM changes', 'SELECT count(DISTINCT id) FROM changes AS a JOIN changes AS b USING (id)') AS one,
       (SELECT format('%s %s', count(*), sum(i * 10000 + j)) FROM generate_series(1, 6) AS i, generate_series(1, 600) AS j WHERE (i * 10000 + j) % 3 = 0) AS of;
SELECT read('src'::regclass, 'two', '{SELECT count(*) || '' '' || sum(strata_sign) FROM changes,SELECT count(*) FROM changes AS a JOIN changes AS b USING (id),SELECT id IS NOT NULL FROM changes LIMIT 1}', '{1}') AS two;
SELECT read('src'::regclass, 'two', '{SELECT count(*) FROM changes}', '{1}') AS two;

-- ---- models ----
CREATE TABLE t (id int PRIMARY KEY, k int, g int, v numeric(12,2));
CREATE TABLE dim (g int PRIMARY KEY, name text);
INSERT INTO t SELECT i, i / 2, i % 40, i % 100 FROM generate_series(1, 20000) AS i;
INSERT INTO dim SELECT i, 'name ' || i % 7 FROM generate_series(0, 39) AS i;
SELECT strata.define_mart('cs.sums', 'SELECT g, count(*) AS n, sum(v) AS s FROM cs.t GROUP BY g', key => '{g}');
SELECT strata.define_mart('cs.names', 'SELECT name, count(*) AS n, sum(v) AS s FROM cs.t JOIN cs.dim USING (g) GROUP BY name', key => '{name}');
SELECT strata.define_mart('cs.pairs', 'SELECT a.g, count(*) AS n, sum(a.v * b.v) AS s FROM cs.t AS a JOIN cs.t AS b USING (k) GROUP BY a.g', key => '{g}');
CREATE FUNCTION wrong() RETURNS TABLE (model text, rows bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR model, rows IN SELECT m.model, 0 FROM strata.models AS m WHERE m.model LIKE 'cs.%' ORDER BY 1 LOOP
        EXECUTE (SELECT format('SELECT count(*) FROM ((TABLE %s EXCEPT ALL (%s)) UNION ALL ((%2$s) EXCEPT ALL TABLE %1$s)) AS d', m.model, m.query)
                   FROM strata.models AS m WHERE m.model = wrong.model) INTO rows;
        IF rows > 0 THEN RETURN NEXT; END IF;
    END LOOP;
END $$;
SELECT count(*) FROM strata.refresh('schema:cs');
SET strata.incremental_full_cost = 0; -- whatever it costs
UPDATE t SET v = v + 1 WHERE id <= 4000;
DELETE FROM t WHERE id > 19000;
SELECT * FROM strata.refresh('schema:cs') \g /dev/null
SELECT model, method, rows_in FROM strata.steps WHERE model LIKE 'cs.%' AND run = (SELECT max(run) FROM strata.steps) ORDER BY 1;
SELECT * FROM wrong();
-- in the transaction that makes the changes, part of it rolled back
BEGIN;
UPDATE t SET v = v + 1, g = (g + 1) % 40 WHERE id <= 3000;
SAVEPOINT a;
DELETE FROM t WHERE id <= 3000;
SELECT * FROM strata.refresh('schema:cs') \g /dev/null
SELECT model, method FROM strata.steps WHERE model LIKE 'cs.%' AND run = (SELECT max(run) FROM strata.steps) ORDER BY 1;
SELECT * FROM wrong();
ROLLBACK TO a;
UPDATE t SET v = v + 1 WHERE id <= 3000;
SELECT * FROM strata.refresh('schema:cs') \g /dev/null
SELECT model, method FROM strata.steps WHERE model LIKE 'cs.%' AND run = (SELECT max(run) FROM strata.steps) ORDER BY 1;
SELECT * FROM wrong();
COMMIT;
-- a division that one of the pieces could meet
SELECT strata.define_mart('cs.squares', 'SELECT g, count(*) AS n, sum(1000 / k) AS s FROM cs.t WHERE k <> 0 GROUP BY g', key => '{g}');
SELECT count(*) FROM strata.refresh('schema:cs');
UPDATE t SET v = v + 1 WHERE id BETWEEN 1 AND 4000;
SELECT * FROM strata.refresh('schema:cs') \g /dev/null
SELECT * FROM wrong();
-- many opposite rows add up to nothing
UPDATE t SET v = v + 1;
UPDATE t SET v = v - 1;
SELECT * FROM strata.refresh('schema:cs') \g /dev/null
SELECT model, method, inserted + updated + deleted AS written FROM strata.steps WHERE model LIKE 'cs.%' AND run = (SELECT max(run) FROM strata.steps) ORDER BY 1;
SELECT * FROM wrong();
-- who owns the model may not read the change tables
CREATE ROLE regress_stream_owner;
GRANT USAGE, CREATE ON SCHEMA cs TO regress_stream_owner;
GRANT SELECT ON t TO regress_stream_owner;
SET ROLE regress_stream_owner;
SELECT strata.define_mart('cs.owned', 'SELECT g, sum(v) AS s, count(*) AS n FROM cs.t GROUP BY g', key => '{g}');
SELECT count(*) FROM strata.refresh('cs.owned');
RESET ROLE;
UPDATE t SET v = v + 2 WHERE id <= 4000;
SET ROLE regress_stream_owner;
SELECT * FROM strata.refresh('cs.owned') \g /dev/null
SELECT method FROM strata.steps WHERE model = 'cs.owned' AND run = (SELECT max(run) FROM strata.steps);
RESET ROLE;
SELECT * FROM wrong() WHERE model = 'cs.owned';

SELECT forget('one'), forget('two');
DO $$ DECLARE m text; BEGIN FOR m IN SELECT model FROM strata.models WHERE model LIKE 'cs.%' LOOP PERFORM strata.drop_model(m); END LOOP; END $$;
DROP SCHEMA cs CASCADE;
DROP ROLE regress_stream_owner;
