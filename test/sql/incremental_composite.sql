-- incremental_composite: composite keys and values: NULL is none of NULLs; types that are altered under stored rows
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
CREATE SCHEMA comp;
CREATE TYPE comp.pair AS (a integer, b text);
CREATE DOMAIN comp.couple AS comp.pair;
CREATE TYPE comp.mood AS ENUM ('sad', 'glad');
CREATE TABLE comp.s (id integer, k integer, p comp.pair, d comp.couple, m comp.mood[]);
CREATE FUNCTION comp.some(i integer) RETURNS comp.pair LANGUAGE sql AS $$
    SELECT CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN ROW(NULL, NULL)::comp.pair WHEN 2 THEN ROW(NULL, 'x')::comp.pair ELSE ROW(i % 2, 'z')::comp.pair END $$;
INSERT INTO comp.s SELECT i, i % 5, comp.some(i), comp.some(i), '{sad,glad}' FROM generate_series(1, 100) AS i;
CREATE FUNCTION all_of() RETURNS TABLE (model text, how text, wrote text, holds text) LANGUAGE sql AS $$ SELECT * FROM oracle.kept('schema:comp') AS k ORDER BY k.model $$;

SELECT strata.define_mart('comp.by_pair', 'SELECT p, count(*) AS n, sum(id) AS s, count(d) AS nd FROM comp.s GROUP BY p');
SELECT strata.define_mart('comp.by_couple', 'SELECT d, count(*) AS n, count(p) AS np FROM comp.s GROUP BY d');
SELECT strata.define_mart('comp.by_k', 'SELECT k, count(p) AS np, count(d) AS nd, max(id) AS last FROM comp.s GROUP BY k');
SELECT strata.define_mart('comp.kinds', 'SELECT DISTINCT p, k FROM comp.s');
SELECT strata.define_mart('comp.lists', 'SELECT p, string_agg(id::text, '','' ORDER BY id) AS ids FROM comp.s GROUP BY p');
SELECT strata.define_mart('comp.ranks', 'SELECT p, row_number() OVER (PARTITION BY p ORDER BY id) AS n, id FROM comp.s');
SELECT strata.define_mart('comp.both', 'SELECT p, k FROM comp.s INTERSECT ALL SELECT d, k FROM comp.s');
SELECT strata.define_mart('comp.firsts', 'SELECT DISTINCT ON (p) p, id FROM comp.s ORDER BY p, id');
SELECT strata.define_mart('comp.whole', 'SELECT id FROM comp.s WHERE p IS NOT NULL');
SELECT strata.define_mart('comp.moods', 'SELECT id, m::text AS moods FROM comp.s');
SELECT * FROM all_of();
-- NULLs go, rows of NULLs stay; and the other way
INSERT INTO comp.s SELECT id + 100, k, p, d FROM comp.s WHERE id < 20; DELETE FROM comp.s WHERE id % 9 = 1;
SELECT * FROM all_of();
UPDATE comp.s SET p = ROW(NULL, NULL)::comp.pair, k = k + 1 WHERE id % 8 = 4;
SELECT * FROM all_of();
DELETE FROM comp.s WHERE p IS NOT DISTINCT FROM NULL;
SELECT * FROM all_of();
INSERT INTO comp.s (id, k) VALUES (500, 1), (501, 2);
SELECT * FROM all_of();
DELETE FROM comp.s WHERE p IS NULL AND id < 500;
SELECT * FROM all_of();
-- every row has one field more, which is NULL; no row was written
ALTER TYPE comp.pair ADD ATTRIBUTE c integer;
SELECT * FROM all_of();
UPDATE comp.s SET p = ROW(1, 'q', 5)::comp.pair WHERE id % 7 = 1;
SELECT * FROM all_of();
ALTER TYPE comp.pair DROP ATTRIBUTE a;
UPDATE comp.s SET p = ROW('q', 6)::comp.pair WHERE id % 7 = 2;
SELECT * FROM all_of();
UPDATE comp.s SET k = k + 1 WHERE id % 7 = 3; DELETE FROM comp.s WHERE id % 7 = 4;
SELECT * FROM all_of();
-- a label is another text, within an array too; one more is nothing
ALTER TYPE comp.mood RENAME VALUE 'sad' TO 'blue';
SELECT * FROM all_of() WHERE model = 'comp.moods';
ALTER TYPE comp.mood ADD VALUE 'calm';
SELECT * FROM all_of() WHERE model = 'comp.moods';
SELECT status, count(*) FROM strata.verify('schema:comp') GROUP BY 1;
SELECT count(strata.drop_model(model, true)) FROM strata.models WHERE model LIKE 'comp.%';
DROP SCHEMA comp, oracle CASCADE;
