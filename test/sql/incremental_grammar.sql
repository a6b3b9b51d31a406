-- Models kept by changes that no other test has by name: what foreign keys do, NULLs that come to a NOT IN and go, ties, aggregates of users, clocks, and
-- types of all sorts as keys. After each refresh: how, and whether the target is what its query gives.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
CREATE SCHEMA ig;
SET search_path = ig, public;
SET strata.incremental_rule = algebra; -- the way is not the question here
-- by how they were done: those that are wrong, by name
CREATE FUNCTION r(models text DEFAULT 'schema:ig') RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(how, '\d+ changed rows?', '... changed rows') || ': ' || count(*) || coalesce('; WRONG: ' || string_agg(replace(model, 'ig.', '') || ' ' || holds, ', ' ORDER BY model) FILTER (WHERE holds <> 'equal'), '')
      FROM oracle.kept(models) GROUP BY regexp_replace(how, '\d+ changed rows?', '... changed rows') ORDER BY 1 $$;
CREATE FUNCTION m(name text, query text) RETURNS text LANGUAGE sql AS $$ SELECT strata.define_mart('ig.' || name, query, refresh => 'incremental') $$;

-- ---- foreign keys: what they do to the rows that refer, from plain to partitioned tables, two levels deep ----
CREATE TABLE parent (id integer PRIMARY KEY, name text);
INSERT INTO parent SELECT i, 'p' || i FROM generate_series(0, 20) AS i;
CREATE TABLE nulled (id integer PRIMARY KEY, parent integer REFERENCES parent ON DELETE SET NULL ON UPDATE CASCADE, v integer);
CREATE TABLE defaulted (id integer, parent integer DEFAULT 0 REFERENCES parent ON DELETE SET DEFAULT ON UPDATE SET NULL, v integer);
CREATE TABLE gone (id integer, parent integer REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, v integer) PARTITION BY HASH (id);
CREATE TABLE gone_0 PARTITION OF gone FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE gone_1 PARTITION OF gone FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE deep (id integer, nulled integer REFERENCES nulled ON DELETE CASCADE, v integer);
INSERT INTO nulled SELECT i, i % 20 + 1, i FROM generate_series(1, 60) AS i;
INSERT INTO defaulted SELECT i, i % 20 + 1, i FROM generate_series(1, 60) AS i;
INSERT INTO gone SELECT i, i % 20 + 1, i FROM generate_series(1, 60) AS i;
INSERT INTO deep SELECT i, i % 60 + 1, i FROM generate_series(1, 120) AS i;
SELECT m('fk_nulled', 'SELECT parent, count(*) AS n, sum(v) AS v FROM nulled GROUP BY parent');
SELECT m('fk_defaulted', 'SELECT parent, count(*) AS n, max(v) AS v FROM defaulted GROUP BY parent');
SELECT m('fk_gone', 'SELECT g.id, g.v, p.name FROM gone g LEFT JOIN parent p ON p.id = g.parent');
SELECT m('fk_deep', 'SELECT n.parent, sum(d.v) AS v FROM deep d JOIN nulled n ON n.id = d.nulled GROUP BY n.parent');
SELECT * FROM r();
DELETE FROM parent WHERE id IN (3, 4);
SELECT * FROM r();
UPDATE parent SET id = id + 100 WHERE id = 5;
UPDATE gone SET parent = NULL WHERE parent = 6;
BEGIN;
DELETE FROM parent WHERE id = 7;
SELECT * FROM r();
SAVEPOINT a;
DELETE FROM parent WHERE id = 8;
SELECT * FROM r();
ROLLBACK TO a;
DELETE FROM nulled WHERE id < 5;
SELECT * FROM r();
DELETE FROM parent WHERE id = 9;
COMMIT;
SELECT * FROM r();

-- ---- inheritance: children written directly, added, taken away ----
CREATE TABLE base (id integer, v integer);
CREATE TABLE one (note text) INHERITS (base);
CREATE TABLE two (v integer, id integer, more text);
INSERT INTO base VALUES (1, 1);
INSERT INTO one VALUES (2, 2, 'x');
INSERT INTO two VALUES (3, 3, 'y');
SELECT m('inherited', 'SELECT id, v FROM base WHERE v > 0');
SELECT * FROM r('ig.inherited');
INSERT INTO one VALUES (4, 4, 'direct');
UPDATE one SET v = v + 1;
SELECT * FROM r('ig.inherited');
ALTER TABLE two INHERIT base;
SELECT * FROM r('ig.inherited');
INSERT INTO two VALUES (5, 5, 'direct');
UPDATE base SET v = v + 1;
SELECT * FROM r('ig.inherited');
ALTER TABLE one NO INHERIT base;
INSERT INTO one VALUES (6, 6, 'outside');
SELECT * FROM r('ig.inherited');
DELETE FROM base WHERE id > 4;
SELECT * FROM r('ig.inherited');

-- ---- NULLs that come to a list and go: NOT IN is all or nothing then ----
CREATE TABLE a (id integer, x integer, y text, f float8, n numeric, doc jsonb);
CREATE TABLE b (x integer, y text, w integer);
INSERT INTO a SELECT i, nullif(i % 7, 6), 'y' || i % 3, i / 4.0, i / 8.0, jsonb_build_object('l', jsonb_build_array(i % 3, i % 2), 'k', i % 4) FROM generate_series(1, 40) AS i;
INSERT INTO b SELECT i % 4, 'y' || i % 2, i FROM generate_series(1, 12) AS i;
SELECT m('not_in', 'SELECT id FROM a WHERE x NOT IN (SELECT x FROM b)');
SELECT m('not_in_rows', 'SELECT id FROM a WHERE (x, y) NOT IN (SELECT x, y FROM b WHERE w > 2)');
SELECT m('not_in_of_it', 'SELECT id FROM a WHERE x NOT IN (SELECT b.x FROM b WHERE b.y = a.y)');
SELECT m('than_all', 'SELECT id FROM a WHERE x >= ALL (SELECT x FROM b)');
SELECT m('than_any', 'SELECT id, x = ANY (SELECT x FROM b) AS found FROM a');
SELECT m('anti_left', 'SELECT a.id FROM a LEFT JOIN b ON b.x = a.x AND b.y = a.y WHERE b.x IS NULL');
SELECT * FROM r('ig.not_in ig.not_in_rows ig.not_in_of_it ig.than_all ig.than_any ig.anti_left');
INSERT INTO b VALUES (NULL, 'y1', 5);
SELECT * FROM r('ig.not_in ig.not_in_rows ig.not_in_of_it ig.than_all ig.than_any ig.anti_left');
SELECT count(*) FROM not_in;
INSERT INTO b VALUES (NULL, NULL, 6);
INSERT INTO a VALUES (41, NULL, 'y0'), (42, 5, NULL);
SELECT * FROM r('ig.not_in ig.not_in_rows ig.not_in_of_it ig.than_all ig.than_any ig.anti_left');
DELETE FROM b WHERE x IS NULL;
SELECT * FROM r('ig.not_in ig.not_in_rows ig.not_in_of_it ig.than_all ig.than_any ig.anti_left');
SELECT count(*) FROM not_in;
BEGIN;
DELETE FROM b;
SELECT * FROM r('ig.not_in ig.not_in_rows ig.not_in_of_it ig.than_all ig.than_any ig.anti_left');
SELECT count(*) FROM not_in;
INSERT INTO b VALUES (NULL, 'y2', 9);
SELECT * FROM r('ig.not_in ig.not_in_rows ig.not_in_of_it ig.than_all ig.than_any ig.anti_left');
ROLLBACK;
UPDATE b SET x = nullif(x, 3);
SELECT * FROM r('ig.not_in ig.not_in_rows ig.not_in_of_it ig.than_all ig.than_any ig.anti_left');
UPDATE b SET x = 3 WHERE x IS NULL;
SELECT * FROM r('ig.not_in ig.not_in_rows ig.not_in_of_it ig.than_all ig.than_any ig.anti_left');

-- ---- first rows with ties, statistics, aggregates of users, sets from rows ----
CREATE FUNCTION second_state(integer[], integer) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$ SELECT (ARRAY(SELECT DISTINCT v FROM unnest($1 || $2) AS v WHERE v IS NOT NULL ORDER BY v DESC LIMIT 2)) $$;
CREATE FUNCTION second_of(integer[]) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1[2]';
CREATE AGGREGATE second(integer) (SFUNC = second_state, STYPE = integer[], FINALFUNC = second_of, INITCOND = '{}');
SELECT m('ties', 'SELECT y, x, n FROM (SELECT y, x, count(*) AS n FROM a GROUP BY y, x) s ORDER BY n DESC FETCH FIRST 3 ROWS WITH TIES');
SELECT m('spread', 'SELECT y, stddev(n) AS s, var_pop(n) AS vp, variance(x) AS v, stddev_samp(id) AS si, bool_and(x > 1) AS every, bool_or(x > 4) AS some, avg(n) FILTER (WHERE x > 2) AS mean FROM a GROUP BY y HAVING count(*) > 2');
SELECT m('floats', 'SELECT y, stddev(f) AS s, corr(f, n) AS c, sum(f::real) AS r FROM a GROUP BY y');
SELECT m('second_most', 'SELECT y, second(x) AS x, bit_or(x) AS bits, json_agg(id ORDER BY id) AS ids, every(x IS NOT NULL) AS e FROM a GROUP BY y');
SELECT m('elements', 'SELECT id, e.value::text AS e, e.ordinality AS at FROM a, jsonb_array_elements(doc -> ''l'') WITH ORDINALITY AS e');
SELECT m('in_the_list', 'SELECT id, generate_series(1, x) AS g, unnest(ARRAY[y, ''z'']) AS u FROM a WHERE x < 4');
SELECT m('lateral_sum', 'SELECT a.id, l.n, l.w FROM a LEFT JOIN LATERAL (SELECT count(*) AS n, sum(w) AS w FROM b WHERE b.x = a.x) l ON true');
SELECT m('full_self', 'SELECT l.id, r.id AS other FROM a l FULL JOIN a r ON r.id = l.x + 1');
SELECT m('all_or_nothing', '(SELECT x, y FROM a EXCEPT ALL SELECT x, y FROM b) UNION ALL (SELECT x, y FROM b INTERSECT ALL SELECT x, y FROM a)');
SELECT m('nested', 'SELECT most, count(*) AS n FROM (SELECT y, max(n) AS most FROM (SELECT y, x, count(*) AS n FROM a GROUP BY y, x) s GROUP BY y) t GROUP BY most');
SELECT * FROM r();
UPDATE a SET x = x + 1, f = f * 1.1 WHERE id % 5 = 0;
SELECT * FROM r();
DELETE FROM a WHERE y = 'y1';
INSERT INTO b SELECT i % 9, 'y2', i FROM generate_series(1, 9) AS i;
SELECT * FROM r();
UPDATE a SET n = 'NaN', f = 'Infinity' WHERE id = 2;
INSERT INTO a SELECT 100 + i, 2, 'y1', 1e15, 1e-30, '{"l": [null, [], {"a": 1}]}' FROM generate_series(1, 3) AS i;
SELECT * FROM r();
UPDATE a SET n = 1, f = 1 WHERE id IN (2, 101, 102, 103);
SELECT * FROM r();

-- ---- keys of all sorts ----
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN code AS varchar(10) COLLATE "C" CHECK (VALUE <> 'no');
CREATE TABLE sorts (id integer, i inet, c cidr, m macaddr, b bit varying, mo money, ts tsvector, mr int4multirange, iv interval, tz timetz, ch char(5), e colour[], d code[], p path, o oid, bx box, nm name, l pg_lsn, dt date);
INSERT INTO sorts SELECT i, ('10.0.0.' || i % 3)::inet, '10.0.0.0/8', '08:00:2b:01:02:03', B'101', (i % 3)::text::money, to_tsvector('simple', 'a b' || i % 2), '{[1,3),[5,7)}', make_interval(days => i % 2), '10:00+01',
  'a' || i % 2, ARRAY['red', NULL]::colour[], ARRAY['x' || i % 2]::code[], '((0,0),(1,1))', i % 2, box(point(i % 2, 0), point(1, 1)), 'n' || i % 2, '0/1', CASE i % 3 WHEN 0 THEN 'infinity'::date WHEN 1 THEN '-infinity' ELSE '0044-03-15 BC' END
  FROM generate_series(1, 24) AS i;
SELECT m('by_net', 'SELECT i, c, m, b, count(*) AS n, max(mo) AS mo, sum(mo) AS total, max(dt) AS dt FROM sorts GROUP BY i, c, m, b');
SELECT m('by_text', 'SELECT ch, e, d, nm, count(DISTINCT ts) AS n, min(iv) AS iv, max(i) AS i FROM sorts GROUP BY ch, e, d, nm');
SELECT m('by_range', 'SELECT DISTINCT mr, iv, tz, l, dt FROM sorts');
SELECT m('rows_of', 'SELECT * FROM sorts WHERE id > 2');
SELECT m('ranked', 'SELECT id, bx, p, o, row_number() OVER (PARTITION BY o, dt ORDER BY id) AS n FROM sorts');
SELECT * FROM r('ig.by_net ig.by_text ig.by_range ig.rows_of ig.ranked');
UPDATE sorts SET i = '10.0.0.2', ch = 'a0   ', iv = '24:00', tz = '09:00+00', mo = '-1', dt = 'infinity' WHERE id % 4 = 0;
SELECT * FROM r('ig.by_net ig.by_text ig.by_range ig.rows_of ig.ranked');
UPDATE sorts SET e = '{green}', d = NULL, mr = '{[1,3),[5,8)}', b = B'0101', bx = '((0,0),(1,1))', dt = NULL WHERE id % 6 = 0;
DELETE FROM sorts WHERE id % 7 = 0;
SELECT * FROM r('ig.by_net ig.by_text ig.by_range ig.rows_of ig.ranked');
INSERT INTO sorts (id) VALUES (50), (51);
SELECT * FROM r('ig.by_net ig.by_text ig.by_range ig.rows_of ig.ranked');

-- ---- the clock: a model that asks for it is computed again though no row has changed; one that would be another each time, only in full ----
CREATE TABLE due (id integer, at timestamptz);
SELECT strata.define_mart('ig.is_due', 'SELECT id FROM due WHERE at <= now()');
SELECT strata.define_mart('ig.above_due', 'SELECT count(*) AS n FROM is_due');
SELECT model, time_dependent FROM strata.models WHERE model ~ 'due' ORDER BY model;
BEGIN;
INSERT INTO due VALUES (1, now()), (2, clock_timestamp());
SELECT model, action FROM strata.refresh('ig.is_due ig.above_due');
SELECT * FROM is_due, above_due;
COMMIT;
SELECT model, status FROM strata.refresh('ig.is_due ig.above_due');
SELECT * FROM is_due, above_due ORDER BY id;
SELECT model, status FROM strata.refresh('ig.is_due ig.above_due');
SELECT oracle.attempt($$ SELECT strata.define_mart('ig.dice', 'SELECT id, random() AS r FROM due') $$);
SELECT strata.define_mart('ig.dice', 'SELECT id, random() > 2 AS r FROM due', refresh => 'full');
SELECT status, action FROM strata.refresh('ig.dice');
SELECT action FROM strata.refresh('ig.dice');

-- ---- a row with more than all of it has changed: what verify does with a share, and with repair ----
RESET strata.incremental_rule;
UPDATE fk_gone SET v = -1 WHERE id < 20;
SELECT status, missing > 0 AS missing, unexpected > 0 AS unexpected FROM strata.verify('ig.fk_gone', sample => 0.9);
SELECT status FROM strata.verify('ig.fk_gone', repair => true);
SELECT status FROM strata.verify('ig.fk_gone');

SELECT count(strata.drop_model(model)) FROM strata.models WHERE model LIKE 'ig.%' AND model <> 'ig.is_due';
SELECT strata.drop_model('ig.is_due');
DROP SCHEMA ig, oracle CASCADE;
