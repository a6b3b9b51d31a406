-- How the result of a query can follow the changes of what it reads: parts, their rules, and why.
SET client_min_messages = error;
CREATE SCHEMA incremental;
SET search_path TO incremental, public;
CREATE FUNCTION tree(query text) RETURNS SETOF text
    LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_tree';
CREATE FUNCTION parts(query text) RETURNS TABLE (number int, rule text, keys int[], is_unique boolean, parts int[], sql text)
    LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_parts';
CREATE FUNCTION inputs(query text) RETURNS TABLE (relation regclass, columns text[])
    LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_inputs';
CREATE FUNCTION part_sql(query text, part int, what text, tables oid[], changed oid[], rowset text, nulls boolean) RETURNS text
    LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_sql';
CREATE TABLE customers (id int PRIMARY KEY, name text, region text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, day date, amount numeric, note text);
CREATE TABLE lines (order_id int, product text, quantity int);
CREATE VIEW big_orders AS SELECT id, customer_id, amount FROM orders WHERE amount > 10;
CREATE TABLE queries (number int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO queries (query) VALUES
    ('SELECT count(DISTINCT c.region), max(DISTINCT c.region) || ''!'' m FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.amount > 3'),
    ('SELECT count(DISTINCT note) AS notes, count(*) FROM orders'),
    ('SELECT customer_id, count(*) FROM orders o GROUP BY customer_id HAVING EXISTS (SELECT FROM customers c WHERE c.id = o.customer_id)'),
    ('SELECT customer_id + 1 AS k, customer_id, rn * 2 AS r FROM (SELECT customer_id, amount, row_number() OVER (PARTITION BY customer_id ORDER BY id) rn FROM orders) s WHERE rn <= 2'),
    ('SELECT amount FROM orders ORDER BY amount FETCH FIRST 3 ROWS WITH TIES'),
    ('SELECT name FROM customers WHERE id IN (SELECT DISTINCT customer_id FROM orders)'),
    ('SELECT name FROM customers WHERE id = ANY (SELECT customer_id FROM orders ORDER BY amount DESC, id LIMIT 5)'),
    ('SELECT name, ARRAY(SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY 1) a FROM customers c'),
    ('SELECT note, count(*) FROM orders GROUP BY note HAVING count(*) = (SELECT max(n) FROM (SELECT count(*) n FROM orders GROUP BY note) s)'),
    ('SELECT c.region, count(*) FROM customers c LEFT JOIN (SELECT DISTINCT customer_id FROM orders) o ON o.customer_id = c.id WHERE o.customer_id IS NULL GROUP BY c.region'),
    ('SELECT name, ARRAY(SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY 1 DESC) a FROM customers c'),
    ('SELECT name, ARRAY(SELECT customer_id FROM orders GROUP BY customer_id ORDER BY 1 DESC) a FROM customers c'),
    ('SELECT name, (SELECT o.amount FROM orders o WHERE o.customer_id = c.id ORDER BY o.day DESC NULLS LAST, o.id LIMIT 1) AS final FROM customers c'),
    ('SELECT name, (SELECT o.amount FROM orders o WHERE o.customer_id = c.id AND o.note = c.region ORDER BY o.amount LIMIT 1) AS final FROM customers c'),
    ('SELECT customer_id, count(*), sum(amount) FROM orders GROUP BY customer_id'),
    ('SELECT id, amount FROM orders WHERE amount > 10 ORDER BY id'),
    ('SELECT c.region, sum(o.amount) FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.region HAVING count(*) > 1'),
    ('SELECT customer_id, string_agg(note, '','' ORDER BY id) FROM orders GROUP BY customer_id'),
    ('SELECT count(DISTINCT note) FROM orders'),
    ('SELECT sum(amount) FROM orders GROUP BY customer_id'),
    ('SELECT string_agg(note, '','' ORDER BY id) FROM orders GROUP BY customer_id, day'),
    ('SELECT customer_id, day, array_agg(id ORDER BY id) ids FROM orders GROUP BY customer_id, day'),
    ('SELECT DISTINCT region FROM customers'),
    ('SELECT DISTINCT ON (customer_id) customer_id, day, amount FROM orders ORDER BY customer_id, day DESC, id'),
    ('SELECT DISTINCT ON (customer_id, note) amount FROM orders ORDER BY customer_id, note, id'),
    ('SELECT customer_id, amount, row_number() OVER (PARTITION BY customer_id ORDER BY day, id) FROM orders'),
    ('SELECT * FROM (SELECT customer_id, day, amount, row_number() OVER (PARTITION BY customer_id ORDER BY day DESC, id) rn FROM orders) s WHERE rn = 1'),
    ('SELECT amount FROM (SELECT customer_id, day, amount, row_number() OVER (PARTITION BY customer_id ORDER BY day DESC, id) rn FROM orders) s WHERE rn = 1'),
    ('SELECT id, sum(amount) OVER (PARTITION BY customer_id, day), count(*) OVER (PARTITION BY customer_id ORDER BY id) FROM orders'),
    ('SELECT customer_id, sum(amount), rank() OVER (ORDER BY sum(amount) DESC) FROM orders GROUP BY customer_id'),
    ('SELECT customer_id, day, sum(amount), rank() OVER (PARTITION BY customer_id ORDER BY sum(amount) DESC) FROM orders GROUP BY customer_id, day'),
    ('SELECT customer_id, sum(amount) FROM orders GROUP BY customer_id ORDER BY 2 DESC, 1 LIMIT 10'),
    ('SELECT customer_id FROM orders GROUP BY customer_id ORDER BY sum(amount) DESC, 1 LIMIT 10'),
    ('SELECT id FROM orders UNION SELECT order_id FROM lines'),
    ('SELECT id, note FROM orders UNION ALL SELECT order_id, product FROM lines'),
    ('SELECT id::bigint FROM orders UNION ALL SELECT order_id FROM lines'),
    ('SELECT id FROM orders INTERSECT SELECT order_id FROM lines'),
    ('SELECT customer_id FROM orders INTERSECT ALL SELECT order_id FROM lines'),
    ('SELECT customer_id, amount FROM orders EXCEPT SELECT order_id, quantity FROM lines'),
    ('SELECT customer_id FROM orders EXCEPT ALL SELECT order_id FROM lines'),
    ('(SELECT customer_id FROM orders UNION SELECT id FROM customers) EXCEPT (SELECT order_id FROM lines WHERE quantity > 2)'),
    ('SELECT region, name, GROUPING(name), count(*) FROM customers GROUP BY ROLLUP (region, name)'),
    ('SELECT region, name, max(id) FROM customers GROUP BY CUBE (region, name) HAVING count(*) > 1'),
    ('SELECT region FROM customers GROUP BY GROUPING SETS ((region), ())'),
    ('SELECT b.id, c.name FROM big_orders b JOIN customers c ON c.id = b.customer_id'),
    ('WITH t AS (SELECT customer_id, sum(amount) s FROM orders GROUP BY 1) SELECT a.customer_id, b.s FROM t a JOIN t b ON a.s = b.s'),
    ('SELECT c.*, s.total FROM customers c LEFT JOIN (SELECT customer_id, sum(amount) total FROM orders GROUP BY customer_id) s ON s.customer_id = c.id'),
    ('SELECT name FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id AND o.amount > 5)'),
    ('SELECT name FROM customers c WHERE c.id IN (SELECT customer_id FROM orders GROUP BY customer_id HAVING count(*) > 2)'),
    ('SELECT name FROM customers c WHERE c.id NOT IN (SELECT order_id FROM lines WHERE order_id IS NOT NULL)'),
    ('SELECT region, count(*) FROM (SELECT DISTINCT region, name FROM customers) s GROUP BY region'),
    ('SELECT note, total FROM (SELECT note, sum(amount) total FROM orders GROUP BY note) s WHERE total > 5'),
    ('SELECT total + 1 AS more FROM (SELECT note, sum(amount) total FROM orders GROUP BY note) s WHERE note IS NOT NULL'),
    ('SELECT customer_id, c FROM (SELECT customer_id, count(DISTINCT note) c FROM orders GROUP BY customer_id) s WHERE c > 1'),
    ('SELECT c FROM (SELECT customer_id, count(DISTINCT note) c FROM orders GROUP BY customer_id) s WHERE c > 1'),
    ('SELECT region, avg(n) FROM (SELECT c.region, c.id, count(o.id) n FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.region, c.id) s GROUP BY region'),
    ('SELECT DISTINCT customer_id, count(*) OVER (PARTITION BY customer_id) FROM orders'),
    ('SELECT customer_id, sum(amount) FROM orders GROUP BY customer_id HAVING sum(amount) > (SELECT avg(quantity) FROM lines)'),
    ('SELECT id, (SELECT max(amount) FROM orders) FROM customers'),
    ('SELECT c.id, t.* FROM customers c CROSS JOIN LATERAL (SELECT o.amount, o.day FROM orders o WHERE o.customer_id = c.id) t'),
    ('SELECT c.id, c.name, count(*) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id'),
    ('SELECT l.product, o.note, sum(l.quantity * o.amount) FROM lines l FULL JOIN orders o ON o.id = l.order_id GROUP BY 1, 2'),
    ('SELECT max(t) FROM (SELECT customer_id, sum(amount) t FROM orders GROUP BY customer_id) s'),
    ('SELECT * FROM (SELECT id, amount FROM orders ORDER BY amount, id LIMIT 5) s WHERE amount > 0'),
    ('SELECT customer_id, count(*) FROM (SELECT id, customer_id FROM orders ORDER BY amount, id LIMIT 15) s GROUP BY customer_id'),
    ('SELECT count(*) FROM orders HAVING count(*) > 3'),
    ('SELECT customer_id, generate_series(1, count(*)::int) FROM orders GROUP BY customer_id'),
    ('SELECT DISTINCT customer_id, note FROM orders'),
    ('SELECT a.id, b.id AS other FROM orders a, orders b WHERE a.customer_id = b.customer_id AND a.id < b.id'),
    ('SELECT customer_id, note, percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM orders GROUP BY 1, 2'),
    ('SELECT id, (SELECT max(amount) FROM orders o WHERE o.customer_id = c.id) AS m FROM customers c'),
    ('SELECT id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS m FROM customers c'),
    ('SELECT id, (SELECT coalesce(sum(amount), 0) + count(*) FROM orders o WHERE o.customer_id = c.id AND o.note IS NOT NULL) AS m, (SELECT count(*) FROM lines) n FROM customers c'),
    ('SELECT id, amount FROM orders o WHERE amount > (SELECT avg(amount) FROM orders p WHERE p.customer_id = o.customer_id)'),
    ('SELECT id, (SELECT name FROM customers c WHERE c.id = o.customer_id) AS name FROM orders o'),
    ('SELECT customer_id, sum((SELECT c.id FROM customers c WHERE c.id = o.customer_id)) FROM orders o GROUP BY 1'),
    ('SELECT id, (SELECT c.name || ''!'' FROM customers c WHERE c.id = o.customer_id AND region IS NOT NULL) AS name, (SELECT sum(quantity) FROM lines l WHERE l.order_id = o.id) q FROM orders o, generate_series(1, 2) g'),
    ('SELECT o.id, c.name, (SELECT sum(l.quantity) FROM lines l WHERE l.order_id = o.id AND l.product = c.name) s FROM orders o LEFT JOIN customers c ON c.id = o.customer_id'),
    ('SELECT customer_id, rank() OVER (PARTITION BY customer_id ORDER BY (SELECT count(*) FROM lines l WHERE l.order_id = o.id)) r, id FROM orders o'),
    ('SELECT count(*) FROM orders WHERE amount > (SELECT avg(amount) FROM orders)'),
    ('SELECT region, count(*) FROM customers c WHERE (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) = 0 GROUP BY region'),
    ('SELECT c.id, x.n FROM customers c LEFT JOIN (SELECT DISTINCT ON (customer_id, note) amount n, day FROM orders ORDER BY customer_id, note, id) x ON x.n = c.id LEFT JOIN lines l ON l.order_id = c.id'),
    ('SELECT c.id, x.n FROM customers c LEFT JOIN (SELECT sum(amount) n FROM orders GROUP BY customer_id, note) x ON x.n = c.id FULL JOIN lines l ON l.order_id = x.n'),
    ('SELECT note FROM orders WHERE id IN (SELECT order_id FROM lines l GROUP BY order_id, product HAVING count(*) > 1)'),
    ('SELECT note FROM orders WHERE NOT EXISTS (SELECT FROM lines l WHERE l.order_id = orders.id LIMIT 1)'),
    ('WITH a AS (SELECT DISTINCT region FROM customers), b AS (SELECT region r, count(*) n FROM a, orders GROUP BY 1) SELECT * FROM b UNION ALL SELECT region, 0 FROM a'),
    ('SELECT customer_id, day, count(*) OVER w, sum(amount) OVER (PARTITION BY customer_id) FROM orders WINDOW w AS (PARTITION BY customer_id, day ORDER BY id)'),
    ('SELECT DISTINCT ON (customer_id) customer_id, count(*) n FROM orders GROUP BY customer_id, day ORDER BY customer_id, count(*) DESC'),
    ('SELECT product, sum(n) FROM (SELECT product, count(*) n FROM lines GROUP BY product UNION ALL SELECT note, count(*) FROM orders GROUP BY note) u GROUP BY product'),
    ('SELECT customer_id, max(rn) FROM (SELECT customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY id) rn FROM orders) s GROUP BY customer_id'),
    ('SELECT day, note, count(DISTINCT customer_id), GROUPING(day, note) g FROM orders GROUP BY GROUPING SETS ((day), (note), (day, note), ())'),
    ('SELECT DISTINCT customer_id FROM orders ORDER BY customer_id LIMIT 3'),
    ('SELECT region, string_agg(DISTINCT name, '','') FROM customers GROUP BY region UNION SELECT product, NULL FROM lines'),
    ('SELECT * FROM (SELECT customer_id, note, dense_rank() OVER (PARTITION BY customer_id, note ORDER BY amount) r FROM orders) s WHERE r <= 2 AND note IS NULL'),
    ('SELECT customer_id, note, array_agg(DISTINCT day) FROM orders GROUP BY customer_id, note HAVING count(DISTINCT day) > 1'),
    ('SELECT lower(note) AS n, count(DISTINCT id) FROM orders GROUP BY lower(note)');

-- the plan of each as a tree
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION trees() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE q record;
BEGIN
    FOR q IN SELECT * FROM queries ORDER BY number LOOP
        RETURN NEXT q.number || ': ' || q.query;
        RETURN QUERY SELECT '    ' || tree FROM tree(q.query);
    END LOOP;
END $$;
SELECT * FROM trees();

-- what is computed in full, and why
SELECT tree('SELECT now() AS at, id FROM orders');
SELECT tree('SELECT id FROM orders WHERE day = current_date');
SELECT tree('WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r');
SELECT tree('SELECT random() AS r');
SELECT tree('SELECT id FROM orders TABLESAMPLE system (10)');
SELECT tree('SELECT ctid::text AS place FROM orders');
SELECT tree('SELECT orders::text AS whole FROM orders');
SELECT tree('SELECT customer_id, string_agg(note, '','') AS notes FROM (SELECT * FROM orders ORDER BY id) s GROUP BY customer_id');
SELECT tree('SELECT id, row_number() OVER (ORDER BY id) AS n FROM orders');
SELECT tree('VALUES (1), (2)');

-- a view reads as its owner: it is written out only for who may read the same
CREATE ROLE regress_strata_reader;
CREATE VIEW secret AS SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id;
GRANT USAGE ON SCHEMA incremental TO regress_strata_reader;
GRANT SELECT ON secret TO regress_strata_reader;
SET ROLE regress_strata_reader;
SELECT tree('SELECT * FROM secret WHERE total > 5');
RESET ROLE;
GRANT SELECT ON orders TO regress_strata_reader;
SET ROLE regress_strata_reader;
SELECT tree('SELECT * FROM secret WHERE total > 5');
RESET ROLE;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
SET ROLE regress_strata_reader;
SELECT tree('SELECT * FROM secret WHERE total > 5');
RESET ROLE;
ALTER TABLE orders DISABLE ROW LEVEL SECURITY;
DROP OWNED BY regress_strata_reader;
DROP ROLE regress_strata_reader;

-- names: a view whose column was renamed, a CTE that names its columns, a column twice, USING
ALTER VIEW big_orders RENAME COLUMN amount TO value;
SELECT sql FROM parts('SELECT id, value FROM big_orders');
SELECT sql FROM parts('WITH w(a, b) AS (SELECT id, note FROM orders) SELECT b, a FROM w');
SELECT sql FROM parts('SELECT n FROM (SELECT customer_id, customer_id, count(*) n FROM orders GROUP BY 1) s(a, b, n), lines l WHERE l.quantity = s.b');
SELECT sql FROM parts('SELECT id, j.name FROM (orders JOIN customers USING (id)) AS j');
SELECT sql FROM parts('SELECT id, c.name FROM orders o FULL JOIN customers c USING (id)');
ALTER VIEW big_orders RENAME COLUMN value TO amount;

-- inputs: the columns used, those of views and subqueries too
SELECT relation, columns FROM inputs('SELECT b.id, c.name FROM big_orders b JOIN customers c ON c.id = b.customer_id WHERE EXISTS (SELECT FROM lines l WHERE l.order_id = b.id)') ORDER BY relation::text;
SELECT relation, columns FROM inputs('SELECT count(*) AS n FROM orders') ORDER BY relation::text;

-- SQL: keys, and the restriction below the grouping
SELECT part_sql('SELECT customer_id, day, array_agg(id ORDER BY id) AS ids FROM orders GROUP BY customer_id, day', 1, 'keys', '{}', ARRAY['orders'::regclass]::oid[], '', false)
    ~ 'SELECT DISTINCT k1, k2';
SELECT part_sql('SELECT customer_id, array_agg(id ORDER BY id) AS ids FROM orders GROUP BY customer_id', 1, 'restricted', '{}', '{}', 'some_keys', false);
SELECT part_sql('SELECT customer_id, day, array_agg(id ORDER BY id) AS ids FROM orders GROUP BY customer_id, day', 1, 'restricted', '{}', '{}', 'some_keys', true);
SELECT part_sql('SELECT * FROM (SELECT customer_id, id, row_number() OVER (PARTITION BY customer_id ORDER BY id) AS rn FROM orders) s WHERE rn = 1', 1, 'restricted', '{}', '{}', 'some_keys', false);
SELECT part_sql('SELECT customer_id, day, array_agg(id ORDER BY id) AS ids FROM orders GROUP BY customer_id, day', 1, 'match', '{}', '{}', '', false);
SELECT part_sql('SELECT customer_id, day, array_agg(id ORDER BY id) AS ids FROM orders GROUP BY customer_id, day', 1, 'match', '{}', '{}', '', true);

-- keys of all kinds, NULLs among them: the two branches together are the part
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE odd (a varchar(10), b positive, c mood, d int[], e char(4), f text COLLATE "C", g float8, h timestamptz, i xid, v int);
INSERT INTO odd SELECT CASE WHEN n % 3 > 0 THEN 'x' || n % 2 END, 1 + n % 2, (ARRAY['good', 'bad'])[1 + n % 2]::mood, ARRAY[n % 2], 'q', 'h',
        CASE WHEN n % 4 > 0 THEN (ARRAY[0.0, -0.0, 'NaN'])[1 + n % 3]::float8 END, '2026-01-01', '5', n
    FROM generate_series(1, 40) n;
\set q 'SELECT a, b, c, d, e, f, g, h, string_agg(v::text, \',\' ORDER BY v) AS s FROM odd GROUP BY a, b, c, d, e, f, g, h'
CREATE TEMP TABLE some_keys AS SELECT a AS k1, b AS k2, c AS k3, d AS k4, e AS k5, f AS k6, g AS k7, h AS k8 FROM odd GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
SELECT part_sql(:'q', 1, 'restricted', '{}', '{}', 'some_keys', true) AS sql \gset
SELECT count(*) > 0 FROM (:q) q;
SELECT count(*) FROM ((:q) EXCEPT ALL (:sql)) d;
SELECT count(*) FROM ((:sql) EXCEPT ALL (:q)) d;
-- a type that hashes but does not sort
SELECT part_sql('SELECT i, a, array_agg(v ORDER BY v) AS s FROM odd GROUP BY i, a', 1, 'restricted', '{}', '{}', 'xid_keys', true) AS sql \gset
CREATE TEMP TABLE xid_keys AS SELECT i AS k1, a AS k2 FROM odd GROUP BY 1, 2;
SELECT count(*) FROM (:sql) q;

DROP SCHEMA incremental CASCADE;
