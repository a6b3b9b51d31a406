-- From two raw tables to a checked mart. README.md shows these statements with their output; a test holds it to that.
--
--   createdb quickstart
--   psql -X -d quickstart -f examples/quickstart.sql

\set QUIET on
\pset pager off
\pset footer off
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION pg_strata;

-- what an application fills: all of it text, not all of it clean
CREATE SCHEMA raw;
CREATE TABLE raw.customers (id int, name text, segment text);
CREATE TABLE raw.orders (id int, customer int, day text, amount text);
INSERT INTO raw.customers VALUES (1, 'Ada', 'retail'), (2, 'Bashir', 'business');
INSERT INTO raw.orders VALUES (10, 1, '2026-01-15', '20.00'), (11, 2, '2026-01-20', '900'), (12, 1, '2026-02-03', '35.50');
CREATE SCHEMA dw;
\set ECHO queries

SELECT * FROM raw.customers;
SELECT * FROM raw.orders;

-- definitions
SELECT strata.define_staging('dw.stg_orders', $$
  SELECT id AS order_id, customer AS customer_id, strata.try_cast(day, NULL::date) AS ordered_on,
         strata.try_cast(amount, NULL::numeric(12,2)) AS amount
    FROM raw.orders $$);
SELECT strata.define_dimension('dw.dim_customer', $$
  SELECT id AS customer_id, name, segment FROM raw.customers $$,
  key => '{customer_id}', history => '{segment}');
SELECT strata.define_fact('dw.fact_orders', $$
  SELECT order_id, customer_id, ordered_on, amount FROM dw.stg_orders $$,
  grain => '{order_id}',
  dimensions => '{"customer_key": {"dimension": "dw.dim_customer", "on": ["customer_id"], "as_of": "ordered_on"}}');
SELECT strata.define_mart('dw.revenue', $$
  SELECT c.segment, date_trunc('month', o.ordered_on)::date AS month, count(*) AS orders, sum(o.amount) AS revenue
    FROM dw.fact_orders o JOIN dw.dim_customer c USING (customer_key)
   GROUP BY 1, 2 $$, key => '{segment, month}');
SELECT strata.define_check('dw.fact_orders', 'not_null', '{amount}');

-- plan and first refresh
SELECT step, model, action, reason FROM strata.plan();
SELECT model, status, rows_in, inserted, updated, deleted, checks FROM strata.refresh(as_of => '2026-02-05');
SELECT * FROM dw.revenue ORDER BY month, segment;

-- the next day: Ada has become a business customer and has ordered again; an amount was corrected
UPDATE raw.customers SET segment = 'business' WHERE id = 1;
INSERT INTO raw.orders VALUES (13, 1, '2026-02-06', '120');
UPDATE raw.orders SET amount = '950' WHERE id = 11;
SELECT model, status, rows_in, inserted, updated, deleted, checks FROM strata.refresh(as_of => '2026-02-06');
SELECT * FROM dw.dim_customer ORDER BY customer_key;
SELECT * FROM dw.revenue ORDER BY month, segment;

-- a bad row
INSERT INTO raw.orders VALUES (14, 2, '2026-02-07', 'n/a');
SELECT * FROM strata.refresh(as_of => '2026-02-07');
SELECT sum(revenue) FROM dw.revenue;

-- what revenue is made of
SELECT "column", source, source_column, kind FROM strata.lineage WHERE model = 'dw.revenue' AND kind <> 'filter' ORDER BY "column";
