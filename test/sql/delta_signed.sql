-- delta_signed: rows with signs, added up by image and applied to tables
\set ECHO none
\getenv dir PG_ABS_SRCDIR
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
CREATE TABLE many AS SELECT g AS id, g % 100 AS c, 'text ' || g AS t, g::numeric / 7 AS n FROM generate_series(1, 200000) AS g;
CREATE FUNCTION sums(query text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s rows, %s, %s', count(*), sum(strata_sign), sum(id * strata_sign)) FROM signed(query) AS t (id integer, c integer, t text, n numeric, strata_sign integer) $$;
SET work_mem = '64kB';
SELECT sums('SELECT *, 1 FROM many');
SELECT sums('SELECT *, 1 FROM many UNION ALL SELECT *, -1 FROM many');
SELECT sums('SELECT *, 1 FROM many UNION ALL SELECT *, -2 FROM many WHERE id % 2 = 0 UNION ALL SELECT *, -1 FROM many WHERE id % 3 = 0');
SELECT count(*), sum(strata_sign) FROM signed('SELECT d, 1 FROM docs UNION ALL SELECT d, 1 FROM docs') AS t (d text, strata_sign integer);
RESET work_mem;
SELECT sums('SELECT *, 1 FROM many UNION ALL SELECT *, -2 FROM many WHERE id % 2 = 0 UNION ALL SELECT *, -1 FROM many WHERE id % 3 = 0');

DROP SCHEMA ds CASCADE;
