-- incremental_many: so many changes that they are added up as they were captured, opposite rows and all
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET strata.incremental_full_cost = 0;
CREATE SCHEMA many;
CREATE TABLE many.orders (id integer, customer integer, product integer, amount numeric(12,2), note text);
CREATE TABLE many.customer (id integer, region text);
INSERT INTO many.orders SELECT g, g % 500, g % 7, g % 100, 'note' FROM generate_series(1, 20000) AS g;
INSERT INTO many.customer SELECT g, 'region ' || g % 5 FROM generate_series(0, 499) AS g;
SELECT strata.define_mart('many.by_customer', 'SELECT customer, count(*) AS n, sum(amount) AS s, avg(amount) AS a FROM many.orders GROUP BY customer', key => '{customer}');
SELECT strata.define_mart('many.by_region', 'SELECT c.region, count(*) AS n, sum(o.amount) AS s FROM many.orders AS o JOIN many.customer AS c ON c.id = o.customer GROUP BY c.region', key => '{region}');
SELECT strata.define_mart('many.extremes', 'SELECT product, min(amount) AS lowest, max(amount) AS highest FROM many.orders GROUP BY product', key => '{product}');
SELECT strata.define_mart('many.pairs', 'SELECT a.product, count(*) AS n FROM many.orders AS a JOIN many.customer AS c ON c.id = a.id JOIN many.customer AS d ON d.id = a.customer GROUP BY a.product', key => '{product}');
SELECT strata.define_mart('many.known', 'SELECT o.product, count(*) AS n, count(c.region) AS regions FROM many.orders AS o LEFT JOIN many.customer AS c ON c.id = o.customer GROUP BY o.product', key => '{product}');
CREATE FUNCTION many.look() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s inserted, %s updated, %s deleted, %s', s.model, s.inserted, s.updated, s.deleted, oracle.holds(s.model))
      FROM strata.steps AS s WHERE s.run = (SELECT max(run) FROM strata.steps) ORDER BY s.model $$;
SELECT count(*) FROM strata.refresh();
-- all touched, nothing changed
UPDATE many.orders SET note = note || '!';
SELECT count(*) FROM strata.refresh();
SELECT * FROM many.look();
-- there and back again, and a little left
UPDATE many.orders SET amount = amount + 1000;
UPDATE many.orders SET amount = amount - 1000 WHERE id > 3;
SELECT count(*) FROM strata.refresh();
SELECT * FROM many.look();
-- rows that come and go, groups that end and begin, both sides of a join
INSERT INTO many.orders SELECT g, 1000 + g % 3, 3, 1, 'gone' FROM generate_series(1, 10000) AS g;
DELETE FROM many.orders WHERE note = 'gone' AND customer <> 1001;
DELETE FROM many.orders WHERE customer < 20;
UPDATE many.customer SET region = 'region 9' WHERE id % 10 = 3;
INSERT INTO many.customer SELECT g, 'region 2' FROM generate_series(1000, 1002) AS g;
SELECT count(*) FROM strata.refresh();
SELECT * FROM many.look();
SELECT model FROM strata.steps WHERE model LIKE 'many.%' AND method NOT LIKE 'incremental%' AND action <> 'build';
SELECT count(strata.drop_model(model)) FROM strata.models WHERE model LIKE 'many.%';
DROP SCHEMA many CASCADE;
DROP SCHEMA oracle CASCADE;
