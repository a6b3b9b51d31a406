-- What a user reads: explain_refresh on a terminal of 120 columns, and why a model is refused or computed in full. And one warehouse of all layers in which
-- refreshes leave the catalog as it was.
CREATE EXTENSION pg_strata CASCADE;
SET client_min_messages = warning;
\pset format unaligned
\pset tuples_only on
CREATE SCHEMA ex;
CREATE TABLE ex.customer (id int PRIMARY KEY, name text, segment text);
CREATE TABLE ex.product (id int PRIMARY KEY, name text, category text);
CREATE TABLE ex.store (id int PRIMARY KEY, name text, region text, parent int);
CREATE TABLE ex.sale (id bigint, customer text, product text, store text, day text, amount text);
INSERT INTO ex.customer SELECT i, 'c' || i, (ARRAY['retail', 'business'])[i % 2 + 1] FROM generate_series(1, 20) i;
INSERT INTO ex.product SELECT i, 'p' || i, 'category ' || i % 3 FROM generate_series(1, 10) i;
INSERT INTO ex.store SELECT i, 's' || i, 'region ' || i % 2, nullif(i / 2, 0) FROM generate_series(1, 5) i;
INSERT INTO ex.sale SELECT i, (i % 20 + 1)::text, (i % 10 + 1)::text, (i % 5 + 1)::text, (date '2026-01-01' + i % 30)::text, i::text FROM generate_series(1, 200) i;
SELECT strata.define_staging('ex.stg', $$ SELECT id AS sale_id, strata.try_cast(customer, NULL::int) AS customer_id, strata.try_cast(product, NULL::int) AS product_id,
  strata.try_cast(store, NULL::int) AS store_id, strata.try_cast(day, NULL::date) AS sold_on, strata.try_cast(amount, NULL::numeric(12,2)) AS amount FROM ex.sale $$,
  materialized => 'table', key => '{sale_id}', rules => '{"the amount of a sale is  not negative": "amount >= 0"}', reject_failed_casts => true);
SELECT strata.define_dimension('ex.dc', 'SELECT id AS customer_id, name, segment FROM ex.customer', key => '{customer_id}', history => '{segment}');
SELECT strata.define_dimension('ex.dp', 'SELECT id AS product_id, name, category FROM ex.product', key => '{product_id}');
SELECT strata.define_dimension('ex.ds', 'SELECT id AS store_id, name, region FROM ex.store', key => '{store_id}');
SELECT strata.define_fact('ex.f', 'SELECT sale_id, customer_id, product_id, store_id, sold_on, amount FROM ex.stg', grain => '{sale_id}',
  dimensions => '{"ck": {"dimension": "ex.dc", "on": ["customer_id"], "as_of": "sold_on"}, "pk": {"dimension": "ex.dp", "on": ["product_id"]},
                  "sk": {"dimension": "ex.ds", "on": ["store_id"]}}');
SELECT strata.define_mart('ex.joined', 'SELECT c.segment, p.category, s.region, count(*) AS n, sum(f.amount) AS amount, min(f.amount) AS least, avg(f.amount) AS mean
  FROM ex.f JOIN ex.dc c ON c.dc_key = f.ck JOIN ex.dp p ON p.dp_key = f.pk JOIN ex.ds s ON s.ds_key = f.sk GROUP BY 1, 2, 3');
SELECT strata.define_mart('ex.sets', 'SELECT category, region, count(*) AS n, sum(amount) AS amount FROM ex.f JOIN ex.dp p ON p.dp_key = f.pk JOIN ex.ds s ON s.ds_key = f.sk GROUP BY CUBE (1, 2)');
SELECT strata.define_mart('ex.win', 'SELECT sale_id, rank() OVER (PARTITION BY store_id ORDER BY amount DESC, sale_id) AS place FROM ex.f');
SELECT strata.define_mart('ex.ids', 'SELECT store_id, count(DISTINCT customer_id) AS customers, string_agg(sale_id::text, '','' ORDER BY sale_id) AS sales FROM ex.f GROUP BY 1');
SELECT strata.define_mart('ex.top', 'SELECT customer_id, sum(amount) AS amount FROM ex.f GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3');
SELECT strata.define_mart('ex.first', 'SELECT f.sale_id, s.region FROM ex.f JOIN (SELECT id, region FROM ex.store ORDER BY id LIMIT 2) s ON s.id = f.store_id');
SELECT strata.define_mart('ex.tree', 'WITH RECURSIVE t AS (SELECT id, parent, 1 AS depth FROM ex.store WHERE parent IS NULL UNION ALL SELECT s.id, s.parent, depth + 1 FROM ex.store s JOIN t ON s.parent = t.id) SELECT * FROM t');
-- what is in quotes keeps its spaces, however long the line is
SELECT strata.define_mart('ex.quoted', $$ SELECT id, name || 'a text  with   spaces,    and a comma, that is longer than the one hundred and twenty columns of a terminal,   it''s "so"' ||
  E'\\  \' back   slashes' || coalesce(region, 'none     at      all') || repeat(name, 2) AS "a  column,  of  a long name    with spaces", sum(id) OVER (ORDER BY id) AS running
  FROM (SELECT id, min(name) AS name, min(region) AS region FROM ex.store GROUP BY id) AS s $$);
SELECT model, status FROM strata.refresh(as_of => '2026-02-01') ORDER BY model;

-- no line is wider than the terminal, but where a literal or name is
SELECT model, count(*) > 5 AS tells, count(*) FILTER (WHERE length(line) > 118) AS wide
  FROM strata.models, strata.explain_refresh(model) AS line WHERE model <> 'ex.quoted' GROUP BY model ORDER BY model;

-- SQL that was broken over lines is the same SQL
CREATE FUNCTION ex.last_sql(model text) RETURNS text LANGUAGE sql AS $$
  SELECT rtrim(string_agg(line, E'\n' ORDER BY n), ';') FROM strata.explain_refresh(model) WITH ORDINALITY AS e (line, n) WHERE n > (SELECT max(n) FROM strata.explain_refresh(model) WITH ORDINALITY AS e (line, n) WHERE line ~ '^--') $$;
SELECT line FROM strata.explain_refresh('ex.quoted') AS line WHERE line ~ 'in full';
SELECT count(*) FILTER (WHERE l ~ '^ {16,}') > 0 AS broken FROM regexp_split_to_table(ex.last_sql('ex.quoted'), '\n') AS l;
DO $$ BEGIN EXECUTE 'CREATE TABLE ex.again AS ' || ex.last_sql('ex.quoted'); END $$;
SELECT count(*) FROM (TABLE ex.again EXCEPT ALL TABLE ex.quoted) d;
SELECT count(*) FROM (TABLE ex.quoted EXCEPT ALL TABLE ex.again) d;

-- counts in words, and what was decided by which costs
UPDATE ex.store SET name = 'other' WHERE id = 1;
SELECT count(*) FROM strata.refresh('ex.ds', as_of => '2026-02-02');
SELECT method FROM strata.steps WHERE model = 'ex.ds' ORDER BY run DESC LIMIT 1;
INSERT INTO ex.sale VALUES (1000, '1', '1', '1', '2026-01-05', '7');
-- what waits beneath what is read
SELECT line FROM strata.explain_refresh('ex.ids') AS line WHERE line ~ '^  reads';
SELECT count(*) FROM strata.refresh(as_of => '2026-02-03');
SELECT method FROM strata.steps WHERE model = 'ex.win' ORDER BY run DESC LIMIT 1;
INSERT INTO ex.sale SELECT i, (i % 20 + 1)::text, (i % 10 + 1)::text, (i % 5 + 1)::text, (date '2026-01-01' + i % 30)::text, i::text FROM generate_series(2000, 2400) i;
SET strata.incremental_rule = costs;
SET strata.incremental_full_cost = 10;
SELECT count(*) FROM strata.refresh(as_of => '2026-02-04');
RESET strata.incremental_rule;
RESET strata.incremental_full_cost;
SELECT count(*) FROM strata.steps WHERE method ~ 'cost [0-9]+ against [0-9]+ in full|cost more \([0-9]+\) than all of it \([0-9]+\)' AND run = (SELECT max(run) FROM strata.steps) HAVING count(*) = 0;
SELECT regexp_replace(string_agg(trim(line), ' ' ORDER BY n), '[0-9.]+', 'N', 'g')
  FROM (SELECT *, count(*) FILTER (WHERE line = '') OVER (ORDER BY n) AS blank FROM strata.explain_refresh('ex.joined') WITH ORDINALITY AS e (line, n)) AS e WHERE blank = 0;

-- trees
SELECT line FROM strata.explain_refresh('ex.f') WITH ORDINALITY AS e (line, n)
  WHERE n < (SELECT min(n) FROM strata.explain_refresh('ex.f') WITH ORDINALITY AS e (line, n) WHERE line ~ '^--') AND line !~ 'last computed|inserted|costs| ms$';
SELECT line FROM strata.explain_refresh('ex.stg') AS line WHERE line ~ 'rows of|reads|signed';
SELECT line FROM strata.explain_refresh('ex.first') WITH ORDINALITY AS e (line, n) WHERE n IN (1, 2, 3);
SELECT line FROM strata.explain_refresh('ex.top') AS line WHERE line ~ 'first|group by|but' AND line !~ '^--';
SELECT line FROM strata.explain_refresh('ex.tree') AS line WHERE line !~ 'last|inserted';

-- incremental or nothing: the part, the reason, and what to do
CREATE TABLE ex.t (id int PRIMARY KEY, a int, b int, x float8, ts timestamptz, w text);
CREATE MATERIALIZED VIEW ex.mv AS SELECT * FROM ex.t;
CREATE FUNCTION ex.stable(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';
CREATE FUNCTION ex.refused(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text; m text;
BEGIN
  PERFORM strata.define_mart('ex.refused', query, refresh => 'incremental');
  PERFORM strata.drop_model('ex.refused');
  RETURN 'taken';
EXCEPTION WHEN feature_not_supported THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN format(E'%s\n  DETAIL %s\n  HINT %s', m, d, replace(h, ' Or say refresh => ''auto'' to have it computed in full where it must be.', ' Or ...'));
END $$;
SELECT format(E'%s\n  %s', query, ex.refused(query)) FROM (VALUES
  (1, 'SELECT a, b FROM ex.t ORDER BY a LIMIT 5'),
  (2, 'SELECT a, sum(b) AS b FROM ex.t GROUP BY a ORDER BY 2 LIMIT 5'),
  (3, 'SELECT t.a, s.b FROM ex.t JOIN (SELECT a, b FROM ex.t ORDER BY b LIMIT 3) s USING (a)'),
  (4, 'SELECT a, rank() OVER (ORDER BY b) AS r FROM ex.t'),
  (5, 'WITH RECURSIVE r AS (SELECT id, a FROM ex.t WHERE a IS NULL UNION ALL SELECT t.id, t.a FROM ex.t JOIN r ON t.a = r.id) SELECT * FROM r'),
  (6, 'SELECT a FROM ex.t WHERE ts > now() - interval ''1 day'''),
  (7, 'SELECT a FROM ex.t WHERE ts > current_date'),
  (8, 'SELECT ex.stable(a) AS a FROM ex.t'),
  (9, 'SELECT w::date AS d FROM ex.t'),
  (10, 'SELECT t AS whole FROM ex.t'),
  (11, 'SELECT a FROM ONLY ex.t'),
  (12, 'SELECT sum(x) AS x FROM ex.t'),
  (13, 'SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) AS p FROM ex.t'),
  (14, 'SELECT a FROM ex.mv'),
  (15, 'SELECT string_agg(w, '','') AS w FROM (SELECT w FROM ex.t ORDER BY w) s'),
  (16, 'SELECT to_tsvector(w) AS v FROM ex.t')) AS q (n, query) ORDER BY n;

-- no catalog churn, whatever the layer and the rule: refreshes by changes and in full, history, rejects, look-ups
CREATE PROCEDURE ex.churn(first integer, last integer) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN first .. last LOOP
    UPDATE ex.sale SET amount = (i * 7 % 90)::text WHERE id IN (i, i + 50);
    INSERT INTO ex.sale VALUES (5000 + i, '1', '2', '3', CASE WHEN i % 2 = 0 THEN 'no day' ELSE '2026-01-09' END, '-1'), (6000 + i, '2', '3', '4', '2026-01-10', '5');
    DELETE FROM ex.sale WHERE id = 6000 + i - 2;
    UPDATE ex.customer SET segment = (ARRAY['retail', 'business', 'public'])[1 + i % 3] WHERE id = 1 + i % 4;
    UPDATE ex.store SET region = 'region ' || i, parent = 1 + i % 2 WHERE id = 5;
    UPDATE ex.product SET name = name || '!' WHERE id = i % 10;
    PERFORM strata.refresh(as_of => '2026-03-01'::timestamptz + i * interval '1 hour');
    COMMIT;
  END LOOP;
END $$;
CREATE VIEW ex.catalog AS SELECT c.relname, pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_inserted(c.oid) AS inserted, pg_stat_get_tuples_updated(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) AS updated,
       pg_stat_get_tuples_deleted(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid) AS deleted
  FROM pg_class c WHERE relnamespace = 'pg_catalog'::regnamespace AND relname IN ('pg_class', 'pg_attribute', 'pg_type', 'pg_depend', 'pg_index', 'pg_shdepend', 'pg_trigger', 'pg_rewrite', 'pg_inherits', 'pg_constraint');
CREATE TABLE ex.was AS SELECT * FROM ex.catalog WHERE false;
CALL ex.churn(1, 8);
SELECT pg_stat_force_next_flush();
INSERT INTO ex.was TABLE ex.catalog;
CALL ex.churn(9, 40);
SELECT pg_stat_force_next_flush();
SELECT catalog.relname, catalog.inserted - was.inserted AS inserted, catalog.updated - was.updated AS updated, catalog.deleted - was.deleted AS deleted
  FROM ex.catalog JOIN ex.was USING (relname) WHERE (catalog.inserted, catalog.updated, catalog.deleted) IS DISTINCT FROM (was.inserted, was.updated, was.deleted);
SELECT model, status FROM strata.verify('schema:ex') WHERE status NOT IN ('equal', 'stale');

-- before the first build: what it will be kept by is made for as long as this takes
SELECT strata.define_mart('ex.never', 'SELECT segment, count(*) + 1 AS n FROM ex.customer GROUP BY segment');
SELECT * FROM strata.explain_refresh('ex.never') LIMIT 2;
SELECT count(*) FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ format('^m%s_s', (SELECT id FROM strata.models WHERE model = 'ex.never'));
SELECT strata.drop_model('ex.never');

SELECT strata.drop_model('ex.stg', "cascade" => true);
SELECT strata.drop_model('ex.' || m) FROM unnest('{dc,dp,ds,quoted,tree}'::text[]) AS m;
DROP SCHEMA ex CASCADE;
