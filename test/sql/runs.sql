-- runs: refresh() and plan(): what is chosen, what is published, what is kept, what is left when it fails.
\pset null -
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE SCHEMA runs_raw;
CREATE SCHEMA runs_dw;

CREATE TABLE runs_raw.item (id int, label text, kind text);
CREATE TABLE runs_raw.sale (id int, item int, day date, qty int);
INSERT INTO runs_raw.item VALUES (1, 'pen', 'small'), (2, 'desk', 'large'), (3, 'lamp', 'small');
INSERT INTO runs_raw.sale VALUES (1, 1, '2026-01-02', 5), (2, 2, '2026-01-03', 1), (3, 3, '2026-01-03', 2), (4, 1, '2026-01-04', 7);

-- nothing is declared: nothing to do, and that is no error
SELECT * FROM strata.plan('schema:runs_dw');
SELECT * FROM strata.refresh('schema:runs_dw');

-- a pattern may match nothing: that is said, once
SET client_min_messages = notice;
SELECT * FROM strata.refresh('tag:nothing');
SET client_min_messages = warning;

SELECT strata.define_staging('runs_dw.stg_sale', $$ SELECT id AS sale_id, item AS item_id, day, qty FROM runs_raw.sale $$);
SELECT strata.define_dimension('runs_dw.dim_item', $$ SELECT id AS item_id, label, kind FROM runs_raw.item $$, key => '{item_id}', history => '{kind}');
SELECT strata.define_fact('runs_dw.fact_sale', $$ SELECT sale_id, item_id, day, qty FROM runs_dw.stg_sale $$, grain => '{sale_id}',
  dimensions => '{"item_key": {"dimension": "runs_dw.dim_item", "on": ["item_id"], "as_of": "day"}}');
SELECT strata.define_mart('runs_dw.by_kind', $$ SELECT d.kind, sum(f.qty) AS qty FROM runs_dw.fact_sale f JOIN runs_dw.dim_item d USING (item_key) GROUP BY 1 $$, key => '{kind}');
SELECT strata.define_mart('runs_dw.by_day', $$ SELECT day, sum(qty) AS qty FROM runs_dw.fact_sale GROUP BY 1 $$);

-- what is shown of a refresh: not its times; and of what did not change not whether it was computed (the server's own work may decide that)
CREATE VIEW runs_shown AS SELECT NULL::int AS step, NULL::text AS model, NULL::text AS action, NULL::text AS status, NULL::bigint AS rows_in,
  NULL::bigint AS ins, NULL::bigint AS upd, NULL::bigint AS del, NULL::text AS checks, NULL::text AS message WHERE false;
CREATE FUNCTION refreshed(models text DEFAULT '*', exclude text DEFAULT NULL, as_of timestamptz DEFAULT '2026-01-10', full_rebuild boolean DEFAULT false,
                          on_error text DEFAULT 'raise') RETURNS SETOF runs_shown LANGUAGE sql AS $$
  SELECT step, model, CASE WHEN status <> 'unchanged' THEN action END, status, CASE WHEN status <> 'unchanged' THEN rows_in END,
         nullif(inserted, 0), nullif(updated, 0), nullif(deleted, 0), checks, message
    FROM strata.refresh(models, exclude, as_of, full_rebuild => full_rebuild, on_error => on_error) $$;
-- the oracle: target = query, both ways; the dimension's current rows = its query
CREATE FUNCTION wrong() RETURNS TABLE (model text, rows bigint) LANGUAGE plpgsql AS $$
DECLARE m record; columns text; extra text;
BEGIN
  FOR m IN SELECT s.model, s.id, s.layer FROM strata.models s WHERE s.model LIKE 'runs\_dw.%' AND s.kind = 'table' LOOP
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
     WHERE attrelid = format('strata_state.m%s_query', m.id)::regclass AND attnum > 0;
    extra := CASE m.layer WHEN 'dimension' THEN ' WHERE is_current AND item_key <> 0' ELSE '' END;
    RETURN QUERY EXECUTE format($q$ SELECT %1$L::text, count(*) FROM (
        (SELECT %2$s FROM %1$s%3$s EXCEPT ALL SELECT %2$s FROM strata_state.m%4$s_query)
        UNION ALL (SELECT %2$s FROM strata_state.m%4$s_query EXCEPT ALL SELECT %2$s FROM %1$s%3$s)) d HAVING count(*) > 0 $q$, m.model, columns, extra, m.id);
  END LOOP;
END $$;

-- a model whose input was never built is not computed from an empty table
SELECT model, action, reason FROM strata.plan('runs_dw.by_kind');
SELECT * FROM refreshed('runs_dw.by_kind');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM refreshed('schema:runs_dw', exclude => 'runs_dw.fact_sale');
SELECT model, state FROM strata.models WHERE model LIKE 'runs\_dw.%' ORDER BY model;

-- selectors and exclude
SELECT * FROM refreshed('+runs_dw.fact_sale');
SELECT * FROM refreshed('runs_dw.fact_sale+', exclude => 'runs_dw.fact_sale runs_dw.by_day');
SELECT * FROM refreshed('runs_dw.by_day');
SELECT * FROM refreshed('runs_dw.by_dya');
SELECT * FROM wrong();
SELECT model, state, row_count, refreshed_at, changed_at FROM strata.models WHERE model LIKE 'runs\_dw.%' ORDER BY model;

-- once more: nothing differs, nothing is written
CREATE TABLE places AS SELECT sale_id, ctid AS place FROM runs_dw.fact_sale;
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-11');
SELECT model, refreshed_at, changed_at FROM strata.models WHERE model LIKE 'runs\_dw.%' ORDER BY model;

-- differences only: the rows that stay stay where they are
UPDATE runs_raw.sale SET qty = 6 WHERE id = 1;
DELETE FROM runs_raw.sale WHERE id = 3;
INSERT INTO runs_raw.sale VALUES (5, 2, '2026-01-12', 1);
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-12');
SELECT sale_id, f.ctid = p.place AS where_it_was FROM places p JOIN runs_dw.fact_sale f USING (sale_id) ORDER BY 1;
SELECT * FROM wrong();

-- a full rebuild gives the same rows and the same keys
CREATE TABLE keys_before AS SELECT * FROM runs_dw.dim_item;
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-12', full_rebuild => true);
SELECT * FROM wrong();
(TABLE keys_before EXCEPT TABLE runs_dw.dim_item) UNION ALL (TABLE runs_dw.dim_item EXCEPT TABLE keys_before);

-- as_of dates versions
UPDATE runs_raw.item SET kind = 'medium' WHERE id = 3;
SELECT * FROM refreshed('runs_dw.dim_item', as_of => '2026-01-13 12:00');
SELECT * FROM runs_dw.dim_item WHERE item_id = 3 ORDER BY valid_from;
SELECT * FROM refreshed('runs_dw.dim_item', as_of => 'infinity');
SELECT * FROM refreshed(NULL);
SELECT * FROM refreshed('');
SELECT * FROM strata.plan(NULL);

-- ROLLBACK undoes a refresh, and so does a savepoint; twice in one transaction is once and once more
BEGIN;
INSERT INTO runs_raw.sale VALUES (6, 3, '2026-01-14', 9);
SELECT * FROM refreshed('runs_dw.fact_sale', as_of => '2026-01-14');
SELECT * FROM refreshed('runs_dw.fact_sale', as_of => '2026-01-14');
SAVEPOINT s;
DELETE FROM runs_raw.sale;
SELECT * FROM refreshed('runs_dw.fact_sale', as_of => '2026-01-14');
SELECT count(*) FROM runs_dw.fact_sale;
ROLLBACK TO s;
SELECT count(*) FROM runs_dw.fact_sale;
ROLLBACK;
SELECT count(*) FROM runs_dw.fact_sale;
SELECT * FROM wrong();

-- an empty source: facts and marts are emptied, a dimension keeps its members
BEGIN;
TRUNCATE runs_raw.sale;
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-15');
SELECT (SELECT count(*) FROM runs_dw.dim_item WHERE is_current) AS dim, (SELECT count(*) FROM runs_dw.fact_sale) AS fact, (SELECT count(*) FROM runs_dw.by_day) AS mart;
SELECT * FROM wrong();
ROLLBACK;
BEGIN;
TRUNCATE runs_raw.item;
SELECT * FROM refreshed('runs_dw.dim_item', as_of => '2026-01-15');
ROLLBACK;

-- checks: all or nothing
SELECT strata.define_check('runs_dw.fact_sale', 'expression', options => '{"expression": "qty > 0"}', name => 'qty_positive');
SELECT strata.define_check('runs_dw.by_day', 'row_count', options => '{"min": 1}', severity => 'warn');
SELECT strata.define_check('runs_dw.by_kind', 'row_count_anomaly');
INSERT INTO runs_raw.sale VALUES (7, 1, '2026-01-15', -1);
UPDATE runs_raw.item SET kind = 'tiny' WHERE id = 1;
CREATE TABLE before AS SELECT (SELECT count(*) FROM strata.runs) AS runs, (SELECT max(id) FROM strata_state.check_result) AS results;
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-16');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM runs_dw.fact_sale WHERE qty < 0;
SELECT count(*) FROM runs_dw.dim_item WHERE kind = 'tiny';
SELECT (SELECT count(*) FROM strata.runs) - runs AS new_runs, (SELECT max(id) FROM strata_state.check_result) IS DISTINCT FROM results AS new_results FROM before;

-- recorded: rolled back too, but the run, its steps and the failing rows are kept
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-16', on_error => 'record');
SELECT count(*) FROM runs_dw.fact_sale WHERE qty < 0;
SELECT count(*) FROM runs_dw.dim_item WHERE kind = 'tiny';
SELECT run AS failed_run FROM strata.runs ORDER BY run DESC LIMIT 1 \gset
SELECT kind, models, as_of, finished_at >= started_at AS finished, status, role = current_user AS mine, message FROM strata.runs WHERE run = :failed_run;
SELECT step, model, action, status, rows_in, inserted, updated, deleted, rejected, message FROM strata.steps WHERE run = :failed_run ORDER BY step;
SELECT model, name, severity, status, failures, rows, sample FROM strata.check_results WHERE run = :failed_run ORDER BY model, name;
SELECT model, refreshed_at FROM strata.models WHERE model LIKE 'runs\_dw.%' ORDER BY model;

-- several failures: each is named
SELECT strata.define_check('runs_dw.dim_item', 'accepted_values', '{kind}', '{"values": ["small", "medium", "large"]}');
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-16');
SELECT strata.drop_check('runs_dw.dim_item', 'accepted_values_kind');

-- a step that raises an error: recorded as failed, those after it as skipped
INSERT INTO runs_raw.sale VALUES (7, 1, '2026-01-15', 3);
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-16', on_error => 'record');
SELECT run AS failed_run FROM strata.runs ORDER BY run DESC LIMIT 1 \gset
SELECT status, message FROM strata.runs WHERE run = :failed_run;
SELECT step, model, status, rows_in, message FROM strata.steps WHERE run = :failed_run ORDER BY step;
SELECT count(*) FROM runs_dw.dim_item WHERE kind = 'tiny';
SELECT * FROM refreshed('schema:runs_dw', on_error => 'ignore');

-- a warning publishes
DELETE FROM runs_raw.sale WHERE id = 7;
SELECT strata.define_check('runs_dw.fact_sale', 'expression', options => '{"expression": "qty > 0"}', name => 'qty_positive', severity => 'warn');
INSERT INTO runs_raw.sale VALUES (8, 2, '2026-01-16', 0);
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-16');
SELECT count(*) FROM runs_dw.fact_sale WHERE qty = 0;
SELECT name, last_status, last_failures FROM strata.checks WHERE model = 'runs_dw.fact_sale';
SELECT * FROM wrong();

-- plan(data => true) tells the differences and leaves nothing
CREATE FUNCTION everything() RETURNS TABLE (what text, hash text) LANGUAGE plpgsql AS $$
DECLARE t record;
BEGIN
  FOR t IN SELECT c.oid::regclass AS rel FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE nspname IN ('runs_dw', 'runs_raw', 'strata_state') AND relkind = 'r' ORDER BY 1 LOOP
    RETURN QUERY EXECUTE format('SELECT %L::text, md5(string_agg(x::text || x.ctid::text, %L ORDER BY x.ctid)) FROM %s x', t.rel, '|', t.rel);
  END LOOP;
  RETURN QUERY SELECT c.oid::regclass::text || ' is', md5(c::text || (SELECT string_agg(a::text, '|' ORDER BY attnum) FROM pg_attribute a WHERE attrelid = c.oid))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname IN ('runs_dw', 'runs_raw', 'strata_state');
  RETURN QUERY SELECT 'catalog', (SELECT count(*) FROM pg_class)::text || ' ' || (SELECT count(*) FROM pg_attribute) || ' ' || (SELECT count(*) FROM pg_depend)
    || ' ' || (SELECT count(*) FROM pg_constraint);
END $$;
UPDATE runs_raw.item SET kind = 'huge' WHERE id = 2;
INSERT INTO runs_raw.item VALUES (4, 'chair', 'medium');
INSERT INTO runs_raw.sale VALUES (9, 4, '2026-01-17', 3), (10, 4, '2026-01-18', -3);
CREATE TABLE before_plan AS SELECT * FROM everything();
SELECT step, model, action, rows_now, rows_in, inserted, updated, deleted, checks FROM strata.plan('schema:runs_dw', data => true, as_of => '2026-01-17');
SELECT coalesce(a.what, b.what) AS changed FROM everything() a FULL JOIN before_plan b USING (what) WHERE a.hash IS DISTINCT FROM b.hash;
-- and without data it computes nothing
SELECT step, model, action, reason, rows_now, rows_in, checks, duration_ms FROM strata.plan('schema:runs_dw');
SELECT coalesce(a.what, b.what) AS changed FROM everything() a FULL JOIN before_plan b USING (what) WHERE a.hash IS DISTINCT FROM b.hash;
-- the refresh then does what the plan said
SELECT * FROM refreshed('schema:runs_dw', as_of => '2026-01-17');
SELECT * FROM wrong();
-- an error in it is the refresh's
INSERT INTO runs_raw.sale VALUES (10, 4, '2026-01-18', 4);
SELECT model FROM strata.plan('schema:runs_dw', data => true);
DELETE FROM runs_raw.sale WHERE id = 10;

-- whose: a role refreshes its own models; what is named and another's is refused
CREATE ROLE runs_reader;
GRANT USAGE ON SCHEMA runs_dw TO runs_reader;
GRANT SELECT ON runs_dw.by_kind TO runs_reader;
SET ROLE runs_reader;
SELECT * FROM strata.refresh();
SELECT * FROM strata.refresh('runs_dw.by_kind');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM strata.plan();
SELECT kind, models, status FROM strata.runs;
SELECT DISTINCT model FROM strata.steps;
RESET ROLE;

-- REPEATABLE READ: a snapshot older than the last refresh does not write on top of it (see also the isolation tests)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT status FROM refreshed('runs_dw.by_day', as_of => '2026-01-18');
COMMIT;

DROP OWNED BY runs_reader;
DROP ROLE runs_reader;
DROP FUNCTION wrong(), everything(), refreshed(text, text, timestamptz, boolean, text);
DROP VIEW runs_shown;
DROP TABLE places, keys_before, before, before_plan;
SELECT strata.drop_model('runs_dw.stg_sale', "cascade" => true);
SELECT strata.drop_model('runs_dw.dim_item');
DROP SCHEMA runs_raw, runs_dw CASCADE;
