-- incremental_own: targets that are their own state, and those that cannot be
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
CREATE SCHEMA own;
SET search_path = own, public;
CREATE TABLE sale (id integer PRIMARY KEY, shop text, day date NOT NULL, pieces integer NOT NULL, price numeric(10,2) NOT NULL, rebate numeric(10,2), free numeric NOT NULL);
INSERT INTO sale SELECT i, nullif('shop' || i % 4, 'shop3'), date '2026-01-01' + i % 5, i % 6, i % 9 + 0.25, nullif(i % 3, 0) / 2.0, i / 7.0 FROM generate_series(1, 60) AS i;

-- the columns of the hidden state; none where there is no table
CREATE FUNCTION state(model text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute, strata_state.model AS m
        WHERE format('%I.%I', schema_name, relation_name) = model AND attrelid = to_regclass(format('strata_state.m%s_s1', m.id)) AND attnum > 0), 'its own')
$$;
CREATE FUNCTION all_of() RETURNS TABLE (model text, how text, wrote text, holds text) LANGUAGE sql AS $$ SELECT * FROM oracle.kept('schema:own') AS k ORDER BY k.model $$;
CREATE FUNCTION define(name text, query text, key text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$ SELECT strata.define_mart('own.' || name, query, key => key) $$;

-- in: what is shown tells the state. NULL keys, a sum over nothing but NULLs, no groups, expressions beside
SELECT define('by_day', 'SELECT day, count(*) AS n, sum(pieces) AS pieces, sum(price) AS s, min(price) AS lowest, max(rebate) AS rebate FROM own.sale GROUP BY day', '{day}');
SELECT define('by_shop', 'SELECT count(*) AS n, shop, sum(rebate) AS s, count(rebate) AS c, sum(rebate) / count(*) AS share, upper(shop) AS name FROM own.sale GROUP BY shop');
SELECT define('by_both', 'SELECT shop, day, count(pieces) AS n, sum(pieces * price) AS s, shop || day AS name FROM own.sale WHERE shop IS NOT NULL GROUP BY shop, day', '{name}');
SELECT define('of_all', 'SELECT count(*) AS n, sum(price) AS s, max(day) AS last FROM own.sale WHERE pieces > 1');
-- out
SELECT define('no_count', 'SELECT day, sum(price) AS s FROM own.sale GROUP BY day', '{day}');
SELECT define('no_key', 'SELECT count(*) AS n FROM own.sale GROUP BY day');
SELECT define('filtered', 'SELECT day, count(*) AS n, sum(price) FILTER (WHERE pieces > 2) AS s FROM own.sale GROUP BY day', '{day}');
SELECT define('some_null', 'SELECT day, count(*) AS n, sum(rebate) AS s FROM own.sale GROUP BY day', '{day}');
SELECT define('has_having', 'SELECT day, count(*) AS n FROM own.sale GROUP BY day HAVING count(*) > 11', '{day}');
SELECT define('has_average', 'SELECT day, count(*) AS n, avg(price) AS a FROM own.sale GROUP BY day', '{day}');
SELECT define('any_scale', 'SELECT day, count(*) AS n, sum(free) AS s FROM own.sale GROUP BY day', '{day}');
SELECT define('rounded', 'SELECT day, count(*) AS n, sum(price)::numeric(12,1) AS s FROM own.sale GROUP BY day', '{day}');
SELECT define('some_true', 'SELECT bool_or(pieces > 3) AS any, day, bool_and(rebate > 0) AS every, 100 / (count(*) - 10) AS one FROM own.sale GROUP BY day HAVING count(*) <> 10', '{day}');
SELECT model, how, wrote, holds, state(model) FROM all_of();
SELECT * FROM strata.explain_refresh('own.of_all') WHERE explain_refresh ~ '^--|algebra';
SELECT * FROM strata.explain_refresh('own.by_day') WHERE explain_refresh ~ 'algebra';

-- values change, come, go; a group goes, comes back, has no value left, has some again; nothing changes in the end
UPDATE sale SET price = price + 1, rebate = NULL WHERE id IN (5, 12); DELETE FROM sale WHERE id IN (3, 9); INSERT INTO sale VALUES (100, NULL, '2026-02-01', 1, 7, NULL, 1.5);
SELECT * FROM all_of();
DELETE FROM sale WHERE day = '2026-01-03' OR shop IS NULL;
SELECT * FROM all_of();
INSERT INTO sale VALUES (101, NULL, '2026-01-03', 0, 0, NULL, 0), (102, 'shop1', '2026-01-03', 0, -1.25, 1, 0);
SELECT * FROM all_of();
UPDATE sale SET rebate = NULL WHERE shop = 'shop1';
SELECT * FROM all_of();
UPDATE sale SET rebate = 0 WHERE shop = 'shop1' AND pieces = 1; UPDATE sale SET id = id + 1000;
SELECT * FROM all_of();
UPDATE sale SET price = 'NaN' WHERE id = 1020;
SELECT * FROM all_of();
UPDATE sale SET price = 3 WHERE id = 1020;
SELECT * FROM all_of();
DELETE FROM sale;
SELECT * FROM all_of();
INSERT INTO sale SELECT i, nullif('shop' || i % 4, 'shop3'), date '2026-01-01' + i % 5, i % 6, i % 9 + 0.25, nullif(i % 3, 0) / 2.0, i / 7.0 FROM generate_series(1, 60) AS i;
SELECT * FROM all_of();
-- an extremum goes and comes; goes; comes twice and goes once; keys change
UPDATE sale SET shop = 'shop0'; UPDATE sale SET price = price - 5 WHERE price > 8; UPDATE sale SET day = day + 1 WHERE id % 11 = 0;
SELECT * FROM all_of();
SELECT strata.drop_model('own.' || name) FROM unnest('{no_count,no_key,filtered,some_null,has_having,has_average,any_scale,rounded,some_true}'::text[]) AS name;

-- a column that may be NULL from now on: its values are counted, and here nothing shows how many
ALTER TABLE sale ALTER price DROP NOT NULL;
UPDATE sale SET price = NULL WHERE day = '2026-01-02' OR id = 7;
SELECT *, state(model) FROM all_of();
UPDATE sale SET price = 2.50 WHERE day = '2026-01-02';
SELECT * FROM all_of();
-- and back; NULLs that came and went meanwhile count for nothing
UPDATE sale SET price = 1 WHERE price IS NULL;
ALTER TABLE sale ALTER price SET NOT NULL;
SELECT *, state(model) FROM all_of();
ALTER TABLE sale ALTER pieces DROP NOT NULL;
UPDATE sale SET pieces = NULL WHERE id = 4; UPDATE sale SET pieces = 4 WHERE id = 4;
ALTER TABLE sale ALTER pieces SET NOT NULL;
SELECT * FROM all_of();

-- written by hand: in full
UPDATE by_day SET n = n + 1 WHERE day = '2026-01-02'; DELETE FROM of_all;
SELECT * FROM all_of();
UPDATE sale SET pieces = pieces + 1;
SELECT * FROM all_of();

-- the user's unique index, a table that refers to the target: written all the same
CREATE UNIQUE INDEX ON by_day (s);
UPDATE sale SET pieces = 3 - pieces, day = CASE day WHEN '2026-01-01' THEN date '2026-01-02' WHEN '2026-01-02' THEN '2026-01-01' ELSE day END;
SELECT *, state(model) FROM all_of();
DROP INDEX by_day_s_idx;
CREATE TABLE note (day date REFERENCES by_day);
INSERT INTO note VALUES ('2026-01-04');
UPDATE sale SET pieces = pieces + 1;
SELECT *, state(model) FROM all_of();
DELETE FROM sale WHERE day = '2026-01-04';
SELECT oracle.attempt($$ SELECT * FROM strata.refresh('own.by_day') $$);
DROP TABLE note;
SELECT * FROM all_of();
-- whoever may change the rows that are written: a state of its own, until they are gone
CREATE TABLE calendar (day date PRIMARY KEY);
INSERT INTO calendar SELECT date '2026-01-01' + i FROM generate_series(0, 60) AS i;
ALTER TABLE by_day ADD FOREIGN KEY (day) REFERENCES calendar ON UPDATE CASCADE;
CREATE FUNCTION round_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE TRIGGER round_it BEFORE INSERT OR UPDATE ON by_shop FOR EACH ROW EXECUTE FUNCTION round_it();
UPDATE sale SET rebate = 1 WHERE id = 20;
SELECT *, state(model) FROM all_of();
UPDATE sale SET rebate = 2 WHERE id = 20;
SELECT * FROM all_of();
DROP TRIGGER round_it ON by_shop; ALTER TABLE by_day DROP CONSTRAINT by_day_day_fkey;
UPDATE sale SET rebate = 1.5 WHERE id = 20;
SELECT *, state(model) FROM all_of();

-- a key that is broken; a model above; defined anew; by keys of which only some are the group's
SELECT define('above', 'SELECT n, count(*) AS days, sum(pieces) AS pieces FROM own.by_day GROUP BY n', '{n}');
SELECT define('by_shop', 'SELECT count(*) AS n, shop, sum(rebate) AS s, count(rebate) AS c FROM own.sale GROUP BY shop', '{n}');
SELECT oracle.attempt($$ SELECT * FROM strata.refresh('own.by_shop') $$);
UPDATE sale SET shop = CASE WHEN id < 20 THEN 'a' WHEN id < 27 THEN 'b' ELSE 'c' END;
SELECT *, state(model) FROM all_of();
UPDATE sale SET shop = CASE WHEN id < 24 THEN 'b' ELSE 'a' END WHERE id < 27;
SELECT * FROM all_of();
UPDATE sale SET shop = CASE WHEN id < 20 THEN 'a' ELSE 'b' END WHERE id IN (SELECT id FROM sale ORDER BY id LIMIT 40); DELETE FROM sale WHERE shop NOT IN ('a', 'b');
DELETE FROM sale WHERE id IN (SELECT id FROM sale WHERE shop = 'b' ORDER BY id LIMIT (SELECT greatest(0, count(*) FILTER (WHERE shop = 'b') - count(*) FILTER (WHERE shop = 'a')) FROM sale));
SELECT oracle.attempt($$ SELECT * FROM strata.refresh('own.by_shop') $$);
DELETE FROM sale WHERE id = (SELECT max(id) FROM sale WHERE shop = 'a');
SELECT * FROM all_of();
SELECT regexp_replace(indexdef, 'm\d+', 'm') AS indexdef FROM pg_indexes WHERE schemaname = 'own' AND indexname ~ '^strata_m' ORDER BY 1;

-- numbers that do not come back as they went in; a table that others inherit from
ALTER TABLE sale ALTER price TYPE numeric;
-- (from version 18 on, those that inherit are bound by it otherwise)
DO $$ BEGIN
	IF current_setting('server_version_num')::int >= 180000 THEN
		EXECUTE 'ALTER TABLE own.sale ALTER CONSTRAINT sale_pieces_not_null NO INHERIT';
	END IF;
END $$;
SELECT *, state(model) FROM all_of();
CREATE TABLE more (LIKE sale) INHERITS (sale);
ALTER TABLE more ALTER pieces DROP NOT NULL;
INSERT INTO more VALUES (900, 'b', '2026-01-02', NULL, 1, 1, 1);
SELECT *, state(model) FROM all_of();
DROP TABLE more;
SELECT * FROM all_of();
SELECT status, count(*) FROM strata.verify('schema:own') GROUP BY 1;
SELECT strata.drop_model('own.by_day', true);
SELECT strata.drop_model('own.by_shop'), strata.drop_model('own.by_both'), strata.drop_model('own.of_all');
DROP SCHEMA own, oracle CASCADE;
