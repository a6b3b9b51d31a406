-- registry: what is declared, and how it is shown: sources, models, columns, lineage; the same text again; comments; renames; who sees what.
\pset null -
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
CREATE ROLE reg_owner;
CREATE ROLE reg_reader;
CREATE SCHEMA reg_raw;
CREATE SCHEMA reg AUTHORIZATION reg_owner;
CREATE TABLE reg_raw.customer (id int, name text, city text, loaded timestamptz);
COMMENT ON TABLE reg_raw.customer IS 'the comment on the table';
CREATE TABLE reg_raw."Odd.Name" ("a b" int, "it's" text);
GRANT USAGE ON SCHEMA reg_raw TO reg_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA reg_raw TO reg_owner;
SET ROLE reg_owner;

-- sources
SELECT strata.define_source('reg_raw.customer', loaded_at => 'loaded', warn_after => '1 day', error_after => '3 days', tags => '{crm}');
SELECT strata.define_source('reg_raw.customer', loaded_at => 'loaded', warn_after => '24 hours', error_after => '3 days', tags => '{crm}');
SELECT strata.define_source('reg_raw.customer', loaded_at => 'loaded', warn_after => '2 days', error_after => '3 days', tags => '{crm}');
SELECT strata.define_source('reg_raw."Odd.Name"', description => 'one with a quote: ''', tags => '{"a b","it''s"}');
SELECT source, owner, loaded_at, warn_after, error_after, tags, description, read_by, defined_by FROM strata.sources WHERE source LIKE 'reg\_raw.%' ORDER BY source;
SELECT strata.define_source('reg_raw.custmer');
SELECT strata.define_source('reg_raw.customer', loaded_at => 'loadd');
SELECT strata.define_source(NULL);
SELECT strata.define_source('reg_raw.customer''); DROP TABLE reg_raw.customer; --');
SELECT strata.drop_source('reg_raw.nothing');
SELECT strata.drop_source('customer');

-- models: the same text again changes nothing; another text is a change, and says which
CREATE TEMP VIEW state_of AS SELECT model, state, version, description, tags FROM strata.models WHERE model LIKE 'reg.%';
SELECT strata.define_staging('reg.stg_customer', $$ SELECT id AS customer_id, name, city, loaded FROM reg_raw.customer $$);
SELECT strata.define_staging('reg.stg_customer', $$ SELECT id AS customer_id, name, city, loaded FROM reg_raw.customer $$);
SELECT strata.define_staging('reg.stg_customer', $$ select id customer_id , name,city, loaded -- the same, written otherwise
  from reg_raw.customer c $$);
SELECT strata.define_dimension('reg.dim_customer', $$ SELECT customer_id, name, city FROM reg.stg_customer $$, key => '{customer_id}', history => '{city}',
  fixed => '{name}', description => 'Customers', columns => '{"city": "where they live"}', tags => '{crm, "b c"}');
SELECT strata.define_fact('reg.fact_visit', $$ SELECT customer_id, loaded::date AS day, 1 AS visits FROM reg.stg_customer $$, grain => '{customer_id}',
  dimensions => '{"customer_key": {"dimension": "reg.dim_customer", "on": ["customer_id"]}}');
SELECT strata.define_mart('reg.by_city', $$ SELECT d.city, sum(f.visits) AS visits FROM reg.fact_visit f JOIN reg.dim_customer d USING (customer_key)
  WHERE d.name <> 'x' GROUP BY d.city $$, key => '{city}');
TABLE state_of ORDER BY model;
SELECT model, layer, kind, owner, refresh, time_dependent, reads, defined_by FROM strata.models WHERE model LIKE 'reg.%' ORDER BY model;
SELECT model, options FROM strata.models WHERE model LIKE 'reg.%' ORDER BY model;
SELECT model, position, "column", role, description FROM strata.columns WHERE model LIKE 'reg.%' ORDER BY model, position;
SELECT * FROM strata.lineage WHERE model LIKE 'reg.%' ORDER BY model, "column", source, source_column, kind;
SELECT source, read_by FROM strata.sources WHERE source = 'reg_raw.customer';
SELECT model, status FROM strata.refresh('schema:reg');

-- words only: nothing is left for the next refresh
SELECT strata.define_mart('reg.by_city', $$ SELECT d.city, sum(f.visits) AS visits FROM reg.fact_visit f JOIN reg.dim_customer d USING (customer_key)
  WHERE d.name <> 'x' GROUP BY d.city $$, key => '{city}', description => 'Visits by city', tags => '{new}');
SELECT obj_description('reg.by_city'::regclass);
TABLE state_of ORDER BY model;
SELECT action FROM strata.plan('reg.by_city');
-- the query: a change, until it is refreshed
SELECT strata.define_mart('reg.by_city', $$ SELECT d.city, sum(f.visits) AS visits FROM reg.fact_visit f JOIN reg.dim_customer d USING (customer_key)
  GROUP BY d.city $$, key => '{city}', description => 'Visits by city', tags => '{new}');
SELECT state, version FROM state_of WHERE model = 'reg.by_city';
-- words changed meanwhile do not hide it
SELECT strata.define_mart('reg.by_city', $$ SELECT d.city, sum(f.visits) AS visits FROM reg.fact_visit f JOIN reg.dim_customer d USING (customer_key)
  GROUP BY d.city $$, key => '{city}', description => 'Visits', tags => '{new}');
SELECT state, version FROM state_of WHERE model = 'reg.by_city';
SELECT action, reason FROM strata.plan('reg.by_city');
SELECT model, status FROM strata.refresh('reg.by_city');
SELECT state, version FROM state_of WHERE model = 'reg.by_city';

-- COMMENT ON is the description, both ways
COMMENT ON TABLE reg.by_city IS 'said by COMMENT ON';
COMMENT ON COLUMN reg.by_city.visits IS 'how often';
SELECT description FROM state_of WHERE model = 'reg.by_city';
SELECT "column", description FROM strata.columns WHERE model IN ('reg.by_city', 'reg.dim_customer') AND description IS NOT NULL ORDER BY 1;
-- the same definition again leaves it; another description replaces it
SELECT strata.define_mart('reg.by_city', $$ SELECT d.city, sum(f.visits) AS visits FROM reg.fact_visit f JOIN reg.dim_customer d USING (customer_key)
  GROUP BY d.city $$, key => '{city}', description => 'Visits', tags => '{new}');
SELECT description FROM state_of WHERE model = 'reg.by_city';
SELECT strata.define_mart('reg.by_city', $$ SELECT d.city, sum(f.visits) AS visits FROM reg.fact_visit f JOIN reg.dim_customer d USING (customer_key)
  GROUP BY d.city $$, key => '{city}', description => 'by definition', columns => '{"visits": "number of visits"}');
SELECT description FROM state_of WHERE model = 'reg.by_city';
SELECT "column", description FROM strata.columns WHERE model = 'reg.by_city' ORDER BY 1;
SELECT strata.define_mart('reg.by_city', $$ SELECT 1 AS city $$, columns => '{"ctiy": "x"}');
SELECT strata.define_mart('reg.by_city', $$ SELECT 1 AS city $$, columns => '["city"]');

-- renames are followed
ALTER TABLE reg.dim_customer RENAME TO dim_client;
RESET ROLE;
ALTER TABLE reg_raw.customer RENAME TO client;
SET ROLE reg_owner;
SELECT model, reads FROM strata.models WHERE model LIKE 'reg.%' ORDER BY model;
SELECT source, read_by FROM strata.sources WHERE source LIKE 'reg\_raw.%' ORDER BY source;
SELECT DISTINCT source FROM strata.lineage WHERE model LIKE 'reg.%' ORDER BY 1;
SELECT model, status FROM strata.refresh('schema:reg');

-- visibility: what one may read, one sees; the rest is not there
RESET ROLE;
GRANT USAGE ON SCHEMA reg TO reg_reader;
GRANT SELECT ON reg.by_city TO reg_reader;
GRANT SELECT (city) ON reg.dim_client TO reg_reader;
SET ROLE reg_reader;
SELECT model, owner FROM strata.models ORDER BY model;
SELECT DISTINCT model FROM strata.columns ORDER BY model;
SELECT DISTINCT model FROM strata.lineage ORDER BY model;
SELECT source FROM strata.sources;
SELECT count(*) FROM strata_state.model;
SELECT strata.define_mart('reg.by_city', 'SELECT 1 AS one');
SELECT strata.define_mart('reg.mine', 'SELECT 1 AS one');
SELECT strata.drop_model('reg.by_city');
SELECT strata.define_source('reg_raw.client');
RESET ROLE;
REVOKE ALL ON reg.by_city FROM reg_reader;
SET ROLE reg_reader;
SELECT model FROM strata.models ORDER BY model;
RESET ROLE;
-- a source that somebody else declared
GRANT USAGE ON SCHEMA reg_raw TO reg_reader;
GRANT SELECT ON reg_raw.client TO reg_reader;
SET ROLE reg_reader;
SELECT strata.define_source('reg_raw.client', loaded_at => 'loaded');
SELECT strata.drop_source('reg_raw.client');
SELECT source, read_by FROM strata.sources;
RESET ROLE;

-- gone
SET ROLE reg_owner;
SELECT strata.drop_source('reg_raw.client');
SELECT strata.drop_source('reg_raw."Odd.Name"');
SELECT strata.drop_model('reg.stg_customer');
SELECT strata.drop_model('reg.stg_customer', "cascade" => true);
RESET ROLE;
SELECT (SELECT count(*) FROM strata.models WHERE model LIKE 'reg.%') AS models, (SELECT count(*) FROM strata.sources WHERE source LIKE 'reg\_raw.%') AS sources,
  (SELECT count(*) FROM strata_state.model_column c WHERE NOT EXISTS (SELECT FROM strata_state.model WHERE id = model_id)) AS columns,
  (SELECT count(*) FROM pg_class WHERE relnamespace = 'reg'::regnamespace) AS relations;
DROP VIEW IF EXISTS state_of, reg.state_of;
DROP SCHEMA reg_raw, reg CASCADE;
DROP OWNED BY reg_owner, reg_reader;
DROP ROLE reg_owner, reg_reader;
