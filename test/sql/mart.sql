-- mart: exactly the columns of its query, with what BI tools ask for; what users put on it stays
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE SCHEMA src;
CREATE SCHEMA mt;
CREATE ROLE mart_bi;
GRANT USAGE ON SCHEMA mt TO mart_bi;
CREATE TABLE src.sale (id integer, client integer, at date, amount numeric(12, 2));
CREATE TABLE src.client (id integer, name text);
INSERT INTO src.client VALUES (1, 'a'), (2, 'b');
INSERT INTO src.sale SELECT g, 1 + g % 2, '2024-01-01'::date + g * 10, g FROM generate_series(1, 12) AS g;
SELECT strata.define_dimension('mt.dim_client', 'SELECT id, name FROM src.client', key => '{id}');
SELECT strata.define_mart('mt.by_month', $$ SELECT date_trunc('month', at)::date AS month, c.client_key, sum(amount) AS total, count(*) AS n
    FROM src.sale JOIN mt.dim_client c ON c.id = client AND c.is_current GROUP BY 1, 2 $$, key => '{month,client_key}', foreign_keys => '{"client_key": "mt.dim_client"}',
    description => 'sales by month', columns => '{"total": "amount in euros", "n": "sales"}', tags => '{bi}');
SELECT strata.define_mart('mt.latest', 'SELECT month, total FROM mt.by_month ORDER BY month DESC, total LIMIT 3');
SELECT model, inserted FROM strata.refresh('schema:mt', as_of => '2024-06-01');
SELECT oracle.holds('mt.by_month'), oracle.holds('mt.latest');
SELECT attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'mt.by_month'::regclass AND attnum > 0 ORDER BY attnum;
SELECT relkind, obj_description(oid) FROM pg_class WHERE oid = 'mt.by_month'::regclass;
SELECT contype, conname, conkey, confrelid::regclass FROM pg_constraint WHERE conrelid = 'mt.by_month'::regclass AND contype IN ('p', 'f') ORDER BY contype;
-- what users put on it stays, over differences, a rebuild and a change of definition
GRANT SELECT ON mt.by_month TO mart_bi;
CREATE INDEX mart_total ON mt.by_month (total);
COMMENT ON COLUMN mt.by_month.month IS 'by hand';
CREATE VIEW mt.on_top AS SELECT month, total FROM mt.by_month;
SELECT 'mt.by_month'::regclass::oid AS was \gset
SELECT oracle.note('mt.by_month');
INSERT INTO src.sale VALUES (100, 1, '2024-01-15', 1000);
UPDATE src.client SET name = 'A' WHERE id = 1;
SELECT model, inserted, updated, deleted FROM strata.refresh('schema:mt', as_of => '2024-06-02');
SELECT oracle.holds('mt.by_month'), oracle.moved('mt.by_month'), oracle.holds('mt.latest');
SELECT model, swap FROM (SELECT model, status = 'unchanged' AS swap FROM strata.refresh('mt.by_month', full_rebuild => true, as_of => '2024-06-03')) AS r;
SELECT strata.define_mart('mt.by_month', $$ SELECT date_trunc('month', at)::date AS month, c.client_key, sum(amount) AS total, count(*) AS n, max(amount) AS top
    FROM src.sale JOIN mt.dim_client c ON c.id = client AND c.is_current GROUP BY 1, 2 $$, key => '{month,client_key}', foreign_keys => '{"client_key": "mt.dim_client"}');
SELECT inserted, updated, deleted FROM strata.refresh('mt.by_month', as_of => '2024-06-04');
SELECT oracle.holds('mt.by_month'), 'mt.by_month'::regclass::oid = :was AS same_table, has_table_privilege('mart_bi', 'mt.by_month', 'SELECT') AS granted, to_regclass('mt.mart_total') IS NOT NULL AS indexed;
SELECT attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'mt.by_month'::regclass AND attnum > 0 ORDER BY attnum;
SELECT count(*), sum(total) FROM mt.on_top;
-- NULL and duplicate keys are refused, and nothing changes
INSERT INTO src.sale VALUES (101, 1, NULL, 1);
SELECT oracle.attempt($$ SELECT strata.refresh('mt.by_month') $$);
DELETE FROM src.sale WHERE id = 101;
-- without a key everything is kept: duplicates, NULLs, no rows at all
SELECT strata.define_mart('mt.free', 'SELECT client, nullif(amount, 3) AS amount FROM src.sale');
INSERT INTO src.sale SELECT * FROM src.sale WHERE id < 5;
SELECT inserted FROM strata.refresh('mt.free');
SELECT oracle.holds('mt.free'), count(*), count(amount), count(DISTINCT amount) FROM mt.free;
DELETE FROM src.sale WHERE id < 4;
SELECT inserted, updated, deleted FROM strata.refresh('mt.free');
TRUNCATE src.sale;
SELECT inserted, updated, deleted FROM strata.refresh('mt.free');
SELECT oracle.holds('mt.free');
-- foreign keys taken away and given another name
SELECT strata.define_mart('mt.free', 'SELECT client::bigint AS k, amount FROM src.sale', foreign_keys => '{"k": "mt.dim_client"}');
SELECT conname FROM pg_constraint WHERE conrelid = 'mt.free'::regclass AND contype = 'f';
SELECT strata.define_mart('mt.free', 'SELECT client::bigint AS k, amount FROM src.sale');
SELECT count(*) FROM pg_constraint WHERE conrelid = 'mt.free'::regclass AND contype = 'f';

DROP VIEW mt.on_top;
SELECT strata.drop_model('mt.dim_client', "cascade" => true), strata.drop_model('mt.free');
SET client_min_messages = error;
DROP SCHEMA oracle, src, mt CASCADE;
DROP ROLE mart_bi;
