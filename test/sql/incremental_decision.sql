-- incremental_decision: which way a refresh goes; told to, and by its costs where one way is far cheaper than the others
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
CREATE SCHEMA ways;
CREATE TABLE ways.orders (id integer PRIMARY KEY, customer integer NOT NULL, currency integer NOT NULL, day date, amount integer NOT NULL);
CREATE TABLE ways.rate (currency integer PRIMARY KEY, rate integer NOT NULL);
INSERT INTO ways.orders SELECT g, g % 2000, g % 5, nullif(date '2026-01-01' + g / 300, date '2026-01-04'), g * 7919 % 1000 FROM generate_series(1, 30000) AS g;
INSERT INTO ways.rate SELECT g, 1 + g FROM generate_series(0, 4) AS g;
CREATE INDEX ON ways.orders (day);
CREATE INDEX ON ways.orders (customer);
ANALYZE ways.orders, ways.rate;
SELECT strata.define_mart('ways.added', 'SELECT customer, count(*) AS n, sum(amount) AS s, avg(amount) AS a FROM ways.orders GROUP BY customer', key => '{customer}');
SELECT strata.define_mart('ways.converted', 'SELECT o.customer, count(*) AS n, sum(o.amount * r.rate) AS s FROM ways.orders AS o JOIN ways.rate AS r USING (currency) GROUP BY o.customer', key => '{customer}');
SELECT strata.define_mart('ways.extremes', 'SELECT day, count(*) AS n, min(amount) AS lowest, max(amount) AS highest FROM ways.orders GROUP BY day');
SELECT strata.define_mart('ways.distinct_of', 'SELECT customer, count(DISTINCT amount) AS n FROM ways.orders GROUP BY customer', key => '{customer}');
SELECT strata.define_mart('ways.nested', 'SELECT n, count(*) AS days FROM (SELECT day, count(*) AS n, max(amount) AS m FROM ways.orders GROUP BY day) AS d GROUP BY n', key => '{n}');
SELECT strata.define_mart('ways.of_all', 'SELECT count(*) AS n, min(amount) AS lowest, max(amount) AS highest FROM ways.orders');
SELECT strata.define_mart('ways.rows_of', 'SELECT id, amount FROM ways.orders WHERE amount > 10', key => '{id}');
SELECT count(*) FROM strata.refresh('schema:ways');
-- how many groups there are: from 18 on, where autovacuum is off, building an index does not tell
DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_p\d+$' LOOP EXECUTE 'ANALYZE ' || t; END LOOP; END $$;
CREATE FUNCTION ways.go(change text) RETURNS TABLE (model text, how text, holds text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE change;
    RETURN QUERY SELECT k.model, regexp_replace(k.how, '\d+ changed', 'some changed'), k.holds
      FROM oracle.kept('schema:ways') AS k WHERE k.how <> 'nothing' ORDER BY k.model;
END $$;

-- told to; a group that goes, one that comes, NULL as a key
SET strata.incremental_rule = algebra;
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount + 1 WHERE id <= 40; DELETE FROM ways.orders WHERE day = '2026-01-06' $$);
SET strata.incremental_rule = keys;
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount - 1 WHERE id <= 40 OR day IS NULL; DELETE FROM ways.orders WHERE day = '2026-01-07'; INSERT INTO ways.orders VALUES (0, 5000, 1, '2026-01-06', 3) $$);
SELECT * FROM ways.go($$ UPDATE ways.rate SET rate = rate + 1 WHERE currency = 2; UPDATE ways.orders SET day = day WHERE id < 100 $$);
SET strata.incremental_rule = full;
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount + 1 WHERE id <= 40; DELETE FROM ways.orders WHERE id = 0 $$);
SET strata.incremental_rule = costs;
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount - 1 WHERE id = 40 $$);
RESET strata.incremental_rule;

-- a few rows: nobody asks
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount + 1 WHERE id <= 40 $$);
-- more rows, of few groups whose rows an index finds: nobody asks either; NULL is one of them; and of many groups
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount + 1 WHERE day BETWEEN '2026-01-10' AND '2026-01-12'; DELETE FROM ways.orders WHERE day = '2026-01-11'; INSERT INTO ways.orders SELECT id + 50000, customer, currency, NULL, amount FROM ways.orders WHERE day = '2026-01-12' $$) WHERE model IN ('ways.extremes', 'ways.nested');
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount + 1 WHERE id % 40 = 7 $$) WHERE model IN ('ways.extremes', 'ways.nested');
-- one row of a small table, and all of the large one hangs on it
SELECT * FROM ways.go($$ UPDATE ways.rate SET rate = rate + 1 $$);
-- whole days, of which all extremes leave: by keys; and many customers, of which they are added up
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount + 1 WHERE day > '2026-04-01' $$) WHERE model IN ('ways.extremes', 'ways.added');
-- everything, thrice
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount + 1; UPDATE ways.orders SET amount = amount + 1; UPDATE ways.orders SET amount = amount + 1 $$);
SET strata.incremental_full_cost = 0;
SELECT * FROM ways.go($$ UPDATE ways.orders SET amount = amount - 1; UPDATE ways.orders SET amount = amount - 1; UPDATE ways.orders SET amount = amount - 1 $$);
RESET strata.incremental_full_cost;

-- few rows, of which most of the few groups are made: all of them at once
SELECT strata.define_mart('ways.wide', 'SELECT currency, count(DISTINCT customer) AS n FROM ways.orders GROUP BY currency', key => '{currency}');
-- few rows, and no index finds what they are joined to: all of it, with the differences written; with an index they are looked up
CREATE TABLE ways.customer AS SELECT g AS id, g % 7 AS segment FROM generate_series(1, 300) AS g;
CREATE TABLE ways.visit AS SELECT g AS id, CASE WHEN g % 300 > 20 THEN g % 300 END AS customer, g % 50 AS minutes FROM generate_series(1, 60000) AS g;
ANALYZE ways.customer, ways.visit;
SELECT strata.define_mart('ways.silent', 'SELECT id, segment FROM ways.customer AS c WHERE NOT EXISTS (SELECT FROM ways.visit AS v WHERE v.customer = c.id AND v.minutes > 1)', key => '{id}');
SELECT count(*) FROM strata.refresh('ways.wide ways.silent');
SELECT * FROM ways.go($$ UPDATE ways.orders SET customer = customer + 1 WHERE id <= 40 $$) WHERE model = 'ways.wide';
SELECT * FROM ways.go($$ UPDATE ways.orders SET customer = customer + 1 WHERE id = 7 $$) WHERE model = 'ways.wide';
SELECT regexp_replace(how, '[0-9]+ against [0-9]+', 'N against N') AS how, holds FROM ways.go($$ DELETE FROM ways.customer WHERE id BETWEEN 10 AND 12; INSERT INTO ways.customer SELECT g, 1 FROM generate_series(301, 304) AS g; UPDATE ways.visit SET minutes = 49 - minutes WHERE id BETWEEN 40 AND 42 $$) WHERE model = 'ways.silent';
SELECT line FROM strata.explain_refresh('ways.silent') AS line WHERE line ~ 'index';
SELECT line FROM strata.explain_refresh('ways.wide') AS line WHERE line ~ 'index';
CREATE INDEX ON ways.visit (customer);
CREATE INDEX ON ways.orders (currency);
SELECT how, holds FROM ways.go($$ DELETE FROM ways.customer WHERE id BETWEEN 13 AND 15; INSERT INTO ways.customer SELECT g, 1 FROM generate_series(305, 308) AS g $$) WHERE model = 'ways.silent';
SELECT line FROM strata.explain_refresh('ways.silent') AS line WHERE line ~ 'index';
SELECT line FROM strata.explain_refresh('ways.wide') AS line WHERE line ~ 'index';
-- groups by an expression, and through a subquery and a join; of a table with partitions, and a small one, whose rows are read anyway
SELECT strata.define_mart('ways.thirds', 'SELECT o.amount / 3 AS third, mode() WITHIN GROUP (ORDER BY o.day) AS day FROM (SELECT * FROM ways.orders WHERE id > 0) AS o LEFT JOIN ways.rate USING (currency) GROUP BY 1');
SELECT strata.define_mart('ways.small', 'SELECT segment, string_agg(id::text, '','' ORDER BY id) AS ids FROM ways.customer GROUP BY segment');
SELECT strata.define_mart('ways.clocked', 'SELECT date_trunc(''month'', day)::timestamptz AS month, mode() WITHIN GROUP (ORDER BY amount) AS m FROM ways.orders GROUP BY 1');
CREATE TABLE ways.parted (id integer, place integer, at integer) PARTITION BY RANGE (id);
CREATE TABLE ways.parted_1 PARTITION OF ways.parted FOR VALUES FROM (0) TO (10000);
CREATE TABLE ways.parted_2 PARTITION OF ways.parted FOR VALUES FROM (10000) TO (20000);
INSERT INTO ways.parted SELECT g, g % 10, g FROM generate_series(1, 19000) AS g;
ANALYZE ways.parted;
SELECT strata.define_mart('ways.placed', 'SELECT place, array_agg(at ORDER BY at) AS ats FROM ways.parted GROUP BY place');
SELECT count(*) FROM strata.refresh('ways.thirds ways.small ways.clocked ways.placed');
SELECT m, line FROM unnest('{thirds,small,clocked,placed}'::text[]) AS m, strata.explain_refresh('ways.' || m) AS line WHERE line ~ 'index';
CREATE INDEX ON ways.orders ((amount / 3), customer);
CREATE INDEX ON ways.parted_1 (place);
SELECT m, line FROM unnest('{thirds,small,clocked,placed}'::text[]) AS m, strata.explain_refresh('ways.' || m) AS line WHERE line ~ 'index';

-- superusers only
CREATE ROLE ways_analyst;
SET ROLE ways_analyst;
SET strata.incremental_rule = full;
RESET ROLE;
SET strata.incremental_rule = fastest;
DROP ROLE ways_analyst;
SELECT count(strata.drop_model(model)) FROM strata.models WHERE model LIKE 'ways.%';
DROP SCHEMA ways CASCADE;
DROP SCHEMA oracle CASCADE;
