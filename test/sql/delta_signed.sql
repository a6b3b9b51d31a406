-- delta_signed: rows with signs, added up by image and applied to tables
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE SCHEMA ds;
SET search_path = ds, public;
CREATE FUNCTION signed(query text) RETURNS SETOF record LANGUAGE c AS '$libdir/pg_strata', 'strata_delta_test_signed';

-- ---- one row per image ----
SELECT * FROM signed($$ VALUES (1, 'a', 1), (2, 'b', -1), (1, 'a', 1), (2, 'b', 1), (3, NULL, -2), (3, NULL, -1), (NULL, NULL, 1), (4, 'x', 0), (5, 'y', NULL) $$)
    AS t (a integer, b text, strata_sign integer);
SELECT count(*) FROM signed('SELECT 1, 1 WHERE false') AS t (a integer, strata_sign integer);
SELECT * FROM signed('SELECT 1 FROM generate_series(1, 5)') AS t (strata_sign integer);
SELECT * FROM signed('SELECT 1, 1::bigint') AS t (a integer, strata_sign bigint);
-- types without equality, 1.0 beside 1.00, composites whose headers differ, the same long value plain, compressed and stored outside
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE odd (id integer, j json, p point, n numeric, c pair, doc text, list integer[]);
INSERT INTO odd SELECT g, '{"a":1}', point(g, 1), 1.0, (1, 'x')::pair, repeat('x', 100000), '{1,2}' FROM generate_series(1, 3) AS g;
ALTER TABLE odd ALTER doc SET STORAGE EXTERNAL;
INSERT INTO odd SELECT g, '{"a":1}', point(g, 1), 1.0, (1, 'x')::pair, repeat('x', 100000), '{1,2}' FROM generate_series(1, 3) AS g;
INSERT INTO odd SELECT g, '{"a":1}', point(g, 1), 1.00, (1, 'x')::pair, repeat('y', 100000), '{1,2}' FROM generate_series(1, 2) AS g;
SELECT id, j::text, p::text, n, c::text, left(doc, 1), list::text, strata_sign
  FROM signed($$ SELECT *, 1 FROM odd UNION ALL SELECT 3, '{"a":1}', point(3, 1), 1.0, (1, 'x')::pair, repeat('x', 100000), '{1,2}', -1 $$)
    AS t (id integer, j json, p point, n numeric, c pair, doc text, list integer[], strata_sign integer);
-- rows that differ in long values only, of one length
CREATE TABLE docs AS SELECT repeat(md5(g::text), 100) AS d FROM generate_series(1, 2000) AS g;
SELECT count(*), sum(strata_sign) FROM signed('SELECT d, 1 FROM docs UNION ALL SELECT d, 1 FROM docs') AS t (d text, strata_sign integer);
-- beyond work_mem rows go to files; the sums are the same
CREATE TABLE many AS SELECT g AS id, g % 100 AS c, 'text ' || g AS t, g::numeric / 7 AS n FROM generate_series(1, 50000) AS g;
CREATE FUNCTION sums(query text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s rows, %s, %s', count(*), sum(strata_sign), sum(id * strata_sign)) FROM signed(query) AS t (id integer, c integer, t text, n numeric, strata_sign integer) $$;
SET work_mem = '64kB';
SELECT sums('SELECT *, 1 FROM many');
SELECT sums('SELECT *, 1 FROM many UNION ALL SELECT *, -1 FROM many');
SELECT sums('SELECT *, 1 FROM many UNION ALL SELECT *, -2 FROM many WHERE id % 2 = 0 UNION ALL SELECT *, -1 FROM many WHERE id % 3 = 0');
SELECT count(*), sum(strata_sign) FROM signed('SELECT d, 1 FROM docs UNION ALL SELECT d, 1 FROM docs') AS t (d text, strata_sign integer);
RESET work_mem;
SELECT sums('SELECT *, 1 FROM many UNION ALL SELECT *, -2 FROM many WHERE id % 2 = 0 UNION ALL SELECT *, -1 FROM many WHERE id % 3 = 0');

-- ---- applied to a table ----
CREATE FUNCTION apply_signed(target regclass, change text, key text[] DEFAULT NULL, find text[] DEFAULT NULL, find_unique boolean DEFAULT false) RETURNS text
    LANGUAGE c AS '$libdir/pg_strata', 'strata_delta_test_apply_signed';
CREATE FUNCTION apply_part(target regclass, query text, key text[] DEFAULT NULL, find text[] DEFAULT NULL, find_unique boolean DEFAULT false, scope text DEFAULT NULL,
    "into" text DEFAULT NULL) RETURNS text LANGUAGE c AS '$libdir/pg_strata', 'strata_delta_test_apply_part';
CREATE FUNCTION merge_state(state regclass, nkeys integer, merged text) RETURNS boolean LANGUAGE c AS '$libdir/pg_strata', 'strata_delta_test_merge_state';

-- a key: in place where the key stays; two rows exchange the values of a unique index of the user's
CREATE TABLE keyed (id integer PRIMARY KEY, v text, u integer UNIQUE, w integer UNIQUE DEFERRABLE);
INSERT INTO keyed SELECT g, 'v' || g, g, g FROM generate_series(1, 10) AS g;
SELECT apply_signed('keyed', $$ VALUES (1, 'v1', 1, 1, -1), (1, 'w1', 2, 1, 1), (2, 'v2', 2, 2, -1), (2, 'w2', 1, 2, 1), (3, 'v3', 3, 3, -1), (11, 'n', 11, 3, 1) $$, '{id}');
SELECT * FROM keyed WHERE id < 4 OR id > 10 ORDER BY id;
-- what the user's indexes do not look at is changed in place
SELECT oracle.note('keyed');
BEGIN;
SELECT apply_signed('keyed', $$ VALUES (4, 'v4', 4, 4, -1), (4, 'in place', 4, 4, 1) $$, '{id}');
SELECT n_tup_upd, n_tup_hot_upd, n_tup_ins, n_tup_del FROM pg_stat_xact_user_tables WHERE relid = 'keyed'::regclass;
COMMIT;
SELECT oracle.moved('keyed');
-- a row that is not there, or not as it should be: nothing is written
SELECT apply_signed('keyed', $$ VALUES (5, 'v5', 5, 5, -1), (6, 'other', 6, 6, -1), (20, 'n', 20, 20, 1) $$, '{id}');
SELECT apply_signed('keyed', $$ VALUES (5, 'v5', 5, 5, -1), (77, 'v77', 7, 7, -1) $$, '{id}');
SELECT apply_signed('keyed', $$ VALUES (5, 'v5', 5, 5, -2) $$, '{id}');
SELECT count(*), oracle.moved('keyed') FROM keyed;
-- a key that the change breaks: the model's words
SELECT apply_signed('keyed', $$ VALUES (4, 'in place', 4, 4, -1), (5, 'second', 55, 55, 1) $$, '{id}');
SELECT apply_signed('keyed', $$ VALUES (5, 'second', 55, 55, 1) $$, '{id}');
SELECT apply_signed('keyed', $$ VALUES (4, 'in place', 4, 4, -1), (50, 'a', 55, 55, 1), (50, 'b', 56, 56, 1) $$, '{id}');
SELECT apply_signed('keyed', $$ VALUES (4, 'in place', 4, 4, -1), (50, 'a', 55, 55, 2) $$, '{id}');
SELECT apply_signed('keyed', $$ VALUES (4, 'in place', 4, 4, -1), (4, 'a', 55, 55, 1), (4, 'b', 56, 56, 1) $$, '{id}');
SELECT apply_signed('keyed', $$ VALUES (4, 'in place', 4, 4, -1), (NULL, 'a', 55, 55, 1) $$, '{id}');
-- another unique index: its own words
SELECT apply_signed('keyed', $$ VALUES (4, 'in place', 4, 4, -1), (40, 'a', 5, 55, 1) $$, '{id}');
SELECT apply_signed('keyed', 'SELECT *, 1 FROM keyed WHERE false', '{id}'), count(*), oracle.moved('keyed') FROM keyed;
-- a key that no index enforces
CREATE TABLE loose (id integer, part integer, v text) PARTITION BY LIST (part);
CREATE TABLE loose_1 PARTITION OF loose FOR VALUES IN (1);
CREATE TABLE loose_2 PARTITION OF loose FOR VALUES IN (2);
INSERT INTO loose SELECT g, 1 + g % 2, 'v' || g FROM generate_series(1, 10) AS g;
SELECT apply_signed('loose', $$ VALUES (1, 2, 'v1', -1), (1, 1, 'moved', 1), (2, 1, 'v2', -1), (3, 2, 'v3', -1), (3, 2, 'w3', 1), (30, 1, 'n', 1) $$, '{id}');
SELECT tableoid::regclass, * FROM loose WHERE id IN (1, 2, 3, 30) ORDER BY id;
SELECT apply_signed('loose', $$ VALUES (4, 2, 'second', 1) $$, '{id}');
SELECT apply_signed('loose', $$ VALUES (40, 2, 'a', 1), (40, 1, 'b', 1) $$, '{id}');
SELECT apply_signed('loose', $$ VALUES (NULL::integer, 2, 'a', 1) $$, '{id}');
-- copies go as often as the sign says
CREATE TABLE copies (a integer, b text, n numeric, p point);
INSERT INTO copies VALUES (1, 'x', 1.0, '(1,1)'), (1, 'x', 1.0, '(1,1)'), (1, 'x', 1.00, '(1,1)'), (NULL, 'x', NULL, NULL), (NULL, 'x', NULL, NULL), (NULL, NULL, NULL, NULL);
SELECT apply_signed('copies', $$ VALUES (1, 'x', 1.0, point '(1,1)', -1), (NULL, 'x', NULL, NULL, -2), (NULL, NULL, NULL, NULL, 3), (2, 'y', 2, NULL, 2) $$);
SELECT apply_signed('copies', $$ VALUES (1, 'x', 1.0, point '(1,1)', -2) $$);
SELECT a, b, n, p::text FROM copies ORDER BY 1, 2, 3;
-- looked up by a value with other images
SELECT apply_signed('copies', $$ VALUES (1, 'x', 1.0, point '(1,1)', -1), (1, 'x', 1.00, point '(1,1)', -1) $$, find => '{n}');
SELECT apply_signed('copies', $$ VALUES (1, 'x', 1.0, point '(1,1)', -1) $$, find => '{n}');
-- at most one row for a find value, NULLs too
CREATE TABLE single (a integer, b text, total numeric, UNIQUE NULLS NOT DISTINCT (a, b));
INSERT INTO single VALUES (1, 'x', 1), (1, NULL, 2), (NULL, 'x', 3), (NULL, NULL, 4);
SELECT apply_signed('single', $$ VALUES (1, 'x', 1::numeric, -1), (1, 'x', 10, 1), (1, NULL, 2, -1), (1, NULL, 20, 1), (NULL, NULL, 4, -1), (2, NULL, 5, 1), (NULL, 'x', 3, -1), (NULL, 'x', 30, 1) $$,
    find => '{a,b}', find_unique => true);
SELECT * FROM single ORDER BY a, b;
SELECT apply_signed('single', $$ VALUES (1, 'x', 11::numeric, 1) $$, find => '{a,b}', find_unique => true);
SELECT apply_signed('single', $$ VALUES (1, 'x', 1::numeric, -1) $$, find => '{a,b}', find_unique => true);
-- types: the query's are the target's
SELECT apply_signed('single', $$ VALUES (1, 'x', 1::bigint, -1) $$, find => '{a,b}');

-- ---- a part made equal to a query ----
CREATE TABLE part_change (a integer, b text, total numeric, strata_sign integer);
SELECT oracle.note('single');
SELECT apply_part('single', $$ VALUES (1, 'x', 10::numeric), (1, NULL, 21), (3, 'new', 1) $$, find => '{a,b}', find_unique => true, scope => 'o.a IS NOT NULL', "into" => 'ds.part_change');
SELECT * FROM part_change ORDER BY 1, 2, 3;
SELECT *, oracle.moved('single') FROM single ORDER BY a, b;
SELECT apply_part('single', 'SELECT * FROM single', find => '{a,b}', find_unique => true, "into" => 'ds.part_change'), oracle.moved('single');
SELECT apply_part('keyed', $$ SELECT id, v || '!', u, w FROM keyed WHERE id < 5 UNION ALL VALUES (5, 'v5', 5, 5), (5, 'second', 6, 6) $$, '{id}');
SELECT apply_part('keyed', $$ SELECT id, v || '!', u, w FROM keyed WHERE id < 5 UNION ALL VALUES (50, 'v', 55, 55), (50, 'v', 55, 55) $$, '{id}');
SELECT apply_part('keyed', $$ SELECT id, v || '!', u, w FROM keyed WHERE id < 5 UNION ALL VALUES (NULL::integer, 'v', 55, 55) $$, '{id}');
SELECT apply_part('keyed', $$ SELECT id, v || '!', 20 - u, w FROM keyed WHERE id < 5 UNION ALL VALUES (50, 'v', 55, 55) $$, '{id}', scope => 'o.id < 8');
SELECT * FROM keyed ORDER BY id;
SELECT apply_part('keyed', 'SELECT * FROM keyed WHERE false', '{id}');
SELECT count(*) FROM keyed;
SELECT apply_part('loose', $$ VALUES (4, 2, 'a'), (4, 1, 'b') $$, '{id}');
SELECT apply_part('loose', $$ VALUES (5, 2, 'a') $$, '{id}', scope => 'o.id < 5');

-- ---- any content, by every way ----
CREATE TABLE free (id integer, a integer, b text, n numeric, p point, doc text);
CREATE TABLE indexed (LIKE free);
CREATE INDEX ON indexed (a, b);
CREATE TABLE parted (LIKE free) PARTITION BY LIST (a);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES IN (0, 1);
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
CREATE TABLE with_key (LIKE free, PRIMARY KEY (id));
CREATE TABLE finding (LIKE free);
CREATE UNIQUE INDEX ON finding (id, a) NULLS NOT DISTINCT;
CREATE FUNCTION some_rows(size integer, one_each boolean) RETURNS SETOF free LANGUAGE sql AS $$
    SELECT CASE WHEN one_each THEN g ELSE ceil(random() * size)::integer END,
           CASE WHEN g % 5 = 0 THEN NULL ELSE floor(random() * 4)::integer END,
           CASE WHEN random() < 0.2 THEN NULL ELSE chr(97 + floor(random() * 3)::integer) END,
           (ARRAY[1.0, 1.00, 2, NULL])[1 + floor(random() * 4)::integer], point(floor(random() * 2), 0),
           CASE WHEN random() < 0.1 THEN repeat(chr(97 + floor(random() * 2)::integer), 5000) END
      FROM generate_series(1, size) AS g WHERE random() < 0.9 $$;
CREATE FUNCTION differ(way text, target text, one_each boolean, settings text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    size integer := 1 + floor(random() * 80);
    told text;
    moved integer;
    problem text;
BEGIN
    CREATE TEMP TABLE wish AS SELECT * FROM some_rows(size, one_each);
    EXECUTE format('INSERT INTO wish SELECT * FROM %I WHERE random() < 0.7 %s', target, CASE WHEN one_each THEN 'AND id NOT IN (SELECT id FROM wish)' ELSE '' END);
    IF one_each THEN
        EXECUTE format('UPDATE wish SET (a, b, n, p, doc) = (t.a, t.b, t.n, t.p, t.doc) FROM %I t WHERE t.id = wish.id AND random() < 0.7', target);
    END IF;
    CREATE TEMP TABLE before (LIKE free);
    EXECUTE format('INSERT INTO before SELECT * FROM %I', target);
    PERFORM oracle.note(target);
    IF way = 'signed' THEN
        EXECUTE format('SELECT apply_signed(%L, %L, %s)', target, format('SELECT *, 1 FROM wish UNION ALL SELECT *, -1 FROM %I', target), settings) INTO told;
    ELSE
        CREATE TEMP TABLE told_change AS SELECT *, 0 AS strata_sign FROM free LIMIT 0;
        EXECUTE format('SELECT apply_part(%L, %L, %s, "into" => %L)', target, 'SELECT * FROM wish', settings, 'pg_temp.told_change') INTO told;
        -- the change it tells is the one it made
        SELECT count(*)::text INTO problem FROM signed('SELECT * FROM told_change UNION ALL SELECT *, 1 FROM before UNION ALL SELECT *, -1 FROM wish')
            AS t (id integer, a integer, b text, n numeric, p point, doc text, strata_sign integer);
        IF problem <> '0' THEN
            told := 'change of other rows';
        END IF;
        DROP TABLE told_change;
    END IF;
    problem := oracle.holds(target, 'SELECT * FROM wish');
    moved := oracle.moved(target);
    DROP TABLE wish, before;
    IF told !~ '^\+' OR problem <> 'same' OR moved <> 0 THEN
        RETURN format('%s %s %s: %s, %s, %s moved', way, target, settings, told, problem, moved);
    END IF;
    RETURN NULL;
END $$;
SELECT setseed(0.42);
CREATE TABLE ways (target text, one_each boolean, settings text);
INSERT INTO ways VALUES ('free', false, 'NULL'), ('free', false, $$find => '{n,b}'$$), ('indexed', false, 'NULL'), ('indexed', false, $$find => '{a,b}'$$), ('parted', false, 'NULL'),
    ('parted', false, $$find => '{b}'$$), ('with_key', true, $$'{id}'$$), ('finding', true, $$find => '{id,a}', find_unique => true$$);
SELECT count(*) AS steps, string_agg(DISTINCT told, E'\n') AS problems
  FROM generate_series(1, 6), ways, (VALUES ('signed'), ('part')) AS w (way), differ(way, target, one_each, settings) AS told;
SET work_mem = '64kB';
SET enable_hashjoin = off;
SELECT count(*) AS steps, string_agg(DISTINCT told, E'\n') AS problems
  FROM generate_series(1, 2), ways, (VALUES ('signed'), ('part')) AS w (way), differ(way, target, one_each, settings) AS told;
RESET enable_hashjoin;
-- more patterns of NULL than are looked up one by one
CREATE TABLE sparse (a integer, b integer, c integer, d integer, v integer);
CREATE UNIQUE INDEX ON sparse (a, b, c, d) NULLS NOT DISTINCT;
INSERT INTO sparse SELECT NULLIF(g & 1, 0), NULLIF(g & 2, 0), NULLIF(g & 4, 0), NULLIF(g & 8, 0), g FROM generate_series(0, 15) AS g;
SELECT apply_signed('sparse', 'SELECT *, -1 FROM sparse UNION ALL SELECT a, b, c, d, v + 1, 1 FROM sparse WHERE v > 1', find => '{a,b,c,d}', find_unique => true);
SELECT apply_signed('sparse', 'SELECT *, -1 FROM sparse WHERE v > 3');
SELECT array_agg(v) FROM sparse;
-- many rows in little memory
CREATE TABLE many_kept (LIKE many, PRIMARY KEY (id));
SELECT apply_signed('many_kept', 'SELECT *, 1 FROM many', '{id}');
SELECT apply_signed('many_kept', 'SELECT *, -1 FROM many WHERE id % 2 = 0 UNION ALL SELECT id, c, t || 1, n, 1 FROM many WHERE id % 4 = 0', '{id}');
SELECT apply_part('many_kept', 'SELECT * FROM many', '{id}');
SELECT count(*) FROM (SELECT * FROM many EXCEPT SELECT * FROM many_kept) AS d;
SELECT apply_signed('many', 'SELECT *, -1 FROM many WHERE id % 2 = 0');
SELECT count(*), sum(id % 2) FROM many;
RESET work_mem;

-- find columns without equality are left out
CREATE TABLE objects (id integer, j json);
INSERT INTO objects VALUES (1, '{}'), (1, '{ }'), (2, '{}');
SELECT apply_signed('objects', $$ VALUES (1, '{}'::json, -1), (2, '{}', -1), (2, '{"a":1}', 1) $$, find => '{id,j}', find_unique => true);
SELECT apply_signed('objects', $$ VALUES (2, '{"a":1}'::json, -1), (3, '{"a":1}', 1) $$, find => '{j}');
SELECT * FROM objects ORDER BY id;

-- ---- what the planner is told of a row set: the number of values of its columns, once it asks, where it matters ----
CREATE FUNCTION statistics(rows text, query text) RETURNS text LANGUAGE c AS '$libdir/pg_strata', 'strata_delta_test_statistics';
SELECT statistics('SELECT g AS id, g % 10 AS few, CASE WHEN g % 4 > 0 THEN g END AS part, NULL::text AS nothing FROM generate_series(1, 30000) AS g',
                  'SELECT count(*) FROM test_rows JOIN ds.many_kept USING (id)');
SELECT statistics('SELECT g / 3 AS thirds, g % 2000 AS again FROM generate_series(1, 20000) AS g', 'SELECT count(*) FROM test_rows JOIN ds.many_kept ON id = thirds');
SELECT statistics('SELECT g AS id FROM generate_series(1, 20) AS g', 'SELECT count(*) FROM test_rows JOIN ds.many_kept USING (id)');
SELECT statistics('SELECT g AS id FROM generate_series(1, 2000) AS g', 'SELECT count(*) FROM test_rows');
SELECT statistics('SELECT 1 AS id WHERE false', 'SELECT count(*) FROM test_rows JOIN ds.many_kept USING (id)');

-- ---- written without a statement, where nothing but the heap, its indexes and its constraints has a say ----
CREATE FUNCTION how(v text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    RAISE WARNING '% by %', v, CASE WHEN stack ~ 'SQL statement "(INSERT|UPDATE)' THEN 'a statement' ELSE 'address' END;
    RETURN v <> 'no';
END $$;
CREATE TABLE direct (gone integer, id integer PRIMARY KEY, v text CHECK (ds.how(v)), u integer NOT NULL, long text);
ALTER TABLE direct DROP gone;
CREATE INDEX ON direct (upper(v)) WHERE u > 0;
INSERT INTO direct SELECT g, 'v' || g, g, repeat(md5(g::text), 1000) FROM generate_series(1, 3) AS g;
CREATE FUNCTION write(id integer, v text, u integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN ds.apply_signed('ds.direct', format('SELECT d.*, -1 FROM ds.direct AS d WHERE id = %1$s UNION ALL SELECT %1$s, %2$L, %3$L, long, 1 FROM ds.direct WHERE id = 3', id, v, u), '{id}');
EXCEPTION WHEN OTHERS THEN RETURN SQLERRM;
END $$;
SELECT write(1, 'w1', 1), write(4, 'w4', 4);
SELECT write(1, 'no', 1), write(1, 'w1', NULL);
-- the index has what came, and what is no more the row's is not found by it
SET enable_seqscan = off;
SELECT id, v, u, long = (SELECT long FROM direct WHERE id = 3) FROM direct WHERE upper(v) IN ('V1', 'W1', 'W4') AND u > 0 ORDER BY id;
RESET enable_seqscan;
SELECT apply_signed('direct', 'SELECT d.*, -1 FROM direct AS d WHERE id IN (1, 4)', '{id}');
-- a trigger, a policy, values to convert, a column that computes itself: a statement
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trigger: % %', TG_OP, TG_LEVEL; RETURN NULL; END $$;
CREATE TRIGGER see AFTER UPDATE ON direct EXECUTE FUNCTION see();
SELECT write(2, 'w2', 2);
DROP TRIGGER see ON direct;
ALTER TABLE direct ENABLE ROW LEVEL SECURITY;
SELECT write(2, 'x2', 2);
ALTER TABLE direct DISABLE ROW LEVEL SECURITY;
CREATE TABLE converts (id integer PRIMARY KEY, v varchar(2) CHECK (ds.how(v)));
SELECT apply_signed('converts', $$ VALUES (1, 'ab  '::varchar, 1) $$, '{id}');
SELECT id, v || '.' FROM converts;
CREATE TABLE computes (id integer PRIMARY KEY, v text CHECK (ds.how(v)), twice integer GENERATED ALWAYS AS (id * 2) STORED);
SELECT apply_part('computes', $$ VALUES (1, 'a', 2) $$, '{id}');

-- ---- state of groups ----
CREATE TABLE state (k1 integer, n bigint, s1 numeric);
INSERT INTO state VALUES (1, 2, 10), (2, 1, 5), (3, 1, 1), (NULL, 1, 7);
CREATE FUNCTION merged(change text) RETURNS text LANGUAGE sql AS $$ SELECT format('
    SELECT o.ctid AS strata_ctid, c.k1, o.n AS o_n, o.s1 AS o_s1, coalesce(o.n, 0) + c.n AS n, coalesce(o.s1, 0) + c.s1 AS s1, false AS strata_rescan
      FROM (VALUES %s) AS c (k1, n, s1) LEFT JOIN ds.state AS o ON o.k1 IS NOT DISTINCT FROM c.k1', change) $$;
SELECT oracle.note('state');
SELECT merge_state('state', 1, merged('(1, 1::bigint, 2.5), (2, -1, -5), (3, 0, 0), (NULL, 1, 1), (4, 2, 8), (5, 0, 0)'));
SELECT * FROM state ORDER BY k1;
SELECT merge_state('state', 1, merged('(1, 1::bigint, 2.5), (4, -3, -5)'));
SELECT * FROM state ORDER BY k1;
SELECT oracle.moved('state');
CREATE TABLE scalar (n bigint, s1 numeric);
SELECT merge_state('scalar', 0, 'SELECT NULL::tid, NULL::bigint, NULL::numeric, 0::bigint, NULL::numeric, false');
SELECT merge_state('scalar', 0, 'SELECT ctid, n, s1, 2::bigint, 5.0, false FROM ds.scalar');
SELECT * FROM scalar;
SELECT merge_state('scalar', 0, 'SELECT ctid, n, s1, 0::bigint, NULL::numeric, false FROM ds.scalar');
SELECT * FROM scalar;

DROP SCHEMA ds, oracle CASCADE;
