-- How the result of a query can follow the changes of what it reads: what only the query as it is can give.
CREATE FUNCTION tree(query text) RETURNS SETOF text LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_tree';
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, day date, amount numeric, note text);
\pset format unaligned
\pset tuples_only on
SELECT tree('SELECT now() AS at, id FROM orders');
SELECT tree('WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r');
SELECT tree('SELECT random() AS r');
