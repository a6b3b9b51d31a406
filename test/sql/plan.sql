-- plan: which models a selector chooses, and in which order
\pset format unaligned
\pset tuples_only on
\pset footer off
SET client_min_messages = notice;
CREATE SCHEMA staging; CREATE SCHEMA dwh; CREATE SCHEMA marts;
-- models by hand: this room only reads what the registry holds
CREATE FUNCTION model(name text, layer text, kind text, tags text[], reads text[], version int, applied int,
                      pending text, refreshed timestamptz, changed timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parts text[] := parse_ident(name);
    new_id integer;
BEGIN
    EXECUTE format('CREATE TABLE %I.%I (a integer)', parts[1], parts[2]);
    INSERT INTO strata_state.model (schema_name, relation_name, layer, kind, query, hash, search_path, time_zone, date_style,
        interval_style, tags, defined_by, defined_at, version, applied_version, pending, refreshed_at, changed_at)
    VALUES (parts[1], parts[2], layer, kind, 'SELECT', '', '', 'UTC', 'ISO', 'postgres', tags, current_user, now(), version,
        applied, pending, refreshed, changed)
    RETURNING id INTO new_id;
    EXECUTE format('CREATE VIEW strata_state.m%s_query AS SELECT', new_id);
    INSERT INTO strata_state.dependency
    SELECT new_id, (parse_ident(r))[1], (parse_ident(r))[2], 'query' FROM unnest(reads) AS r;
END $$;
DO $$ BEGIN
    PERFORM model('staging.stg_a', 'staging', 'view', '{}', '{public.a}', 1, 1, NULL, NULL, NULL);
    PERFORM model('staging.stg_b', 'staging', 'table', '{finance}', '{public.b}', 1, 1, NULL, '2026-01-01', '2026-01-01');
    PERFORM model('dwh.dim_a', 'dimension', 'table', '{}', '{staging.stg_a}', 1, 1, NULL, '2026-01-01', '2026-01-01');
    PERFORM model('dwh.fact_b', 'fact', 'table', '{finance}', '{staging.stg_b,dwh.dim_a}', 2, 1, 'column x added', '2026-01-01', '2026-01-01');
    PERFORM model('marts.m', 'mart', 'table', '{finance,nightly-1}', '{dwh.fact_b,dwh.dim_a}', 1, 1, NULL, '2026-01-02', '2026-01-01');
    PERFORM model('marts."Été.1"', 'mart', 'table', '{}', '{dwh.dim_a}', 1, 0, NULL, NULL, NULL);
END $$;

-- all: by level, then by name
SELECT * FROM strata.select_models();

-- one line per selector: what it chooses, in order; or the error
CREATE FUNCTION chosen(selector text, except_for text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
    detail text;
    hint text;
BEGIN
    SELECT coalesce(string_agg(model, ' '), '(none)') INTO found
      FROM (SELECT model FROM strata.select_models(selector, except_for)) AS s;
    RETURN found;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n    ', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;

SELECT chosen('m');
SELECT chosen('MARTS.M');
SELECT chosen('"M"');
SELECT chosen('"Été.1"');
SELECT chosen('marts."Été.1"');
SELECT chosen('+m');
SELECT chosen('1+marts.m');
SELECT chosen('2+marts.m');
SELECT chosen('dim_a+');
SELECT chosen('stg_b+1');
SELECT chosen('+fact_b+');
SELECT chosen('0+m+0');
SELECT chosen('stg_a m');
SELECT chosen('m stg_a  dwh.*');
SELECT chosen('*.*m*');
SELECT chosen('dwh.*a');
SELECT chosen('*');
SELECT chosen('layer:fact');
SELECT chosen('layer:mart schema:stag*');
SELECT chosen('tag:finance');
SELECT chosen('tag:finance,layer:staging');
SELECT chosen('tag:finance,+m,schema:dwh stg_a');
SELECT chosen('tag:"nightly-1"');
SELECT chosen('tag:nightly*');
SELECT chosen('tag:Finance');
SELECT chosen('schema:marts+');
SELECT chosen('+layer:fact');
SELECT chosen('state:new');
SELECT chosen('state:modified');
SELECT chosen('state:stale');
SELECT chosen('state:broken');
SELECT chosen('source:public.a');
SELECT chosen('source:a+');
SELECT chosen('source:public.*+1');
SELECT chosen('source:public.b+2');
SELECT chosen('*', 'layer:staging');
SELECT chosen('+m', 'tag:finance,schema:dwh stg_b');
SELECT chosen('m', '*');
SELECT chosen('m', '');
SELECT chosen('*zz');

-- refused, with the place and what may have been meant
SELECT chosen(NULL);
SELECT chosen('  ');
SELECT chosen('dwh.dim_b');
SELECT chosen('m', 'fakt_b');
SELECT chosen('m, stg_a');
SELECT chosen('m,');
SELECT chosen(',m');
SELECT chosen('tg:finance');
SELECT chosen('layer:facts');
SELECT chosen('state:old');
SELECT chosen('"Été');
SELECT chosen('marts."Été.1" ""');
SELECT chosen('a.b.c');
SELECT chosen('+');
SELECT chosen('m++');
SELECT chosen('m+2+');
SELECT chosen('1234567+m');
SELECT chosen('m); DROP TABLE strata_state.model; --');
SELECT chosen('é; DROP');
SELECT chosen('source:public.x');
SELECT chosen('source:dwh.dim_a+');
SELECT chosen('+source:public.a');
SELECT chosen('source:public.a+0');
SELECT chosen(repeat('x', 300));
DO $$ BEGIN PERFORM model('marts.dim_a', 'mart', 'table', '{}', '{dwh.dim_a}', 1, 1, NULL, now(), now()); END $$;
SELECT chosen('dim_a');
SELECT chosen('marts.dim_a');

-- declared sources are known, though nothing reads them
SELECT chosen('source:marts.m');
CREATE TABLE public.alone (a integer);
INSERT INTO strata_state.source (schema_name, relation_name, defined_by, defined_at) VALUES ('public', 'alone', current_user, now());
SELECT chosen('source:public.alone+');
SELECT chosen('source:public.alnoe+');

-- another role chooses of what it may see, and hears of nothing else; what lies between is followed
CREATE ROLE strata_plan_reader;
GRANT USAGE ON SCHEMA staging, marts TO strata_plan_reader;
GRANT SELECT ON staging.stg_b, marts.m TO strata_plan_reader;
SET ROLE strata_plan_reader;
SELECT chosen('*');
SELECT chosen('stg_b+');
SELECT chosen('dwh.fact_b');
SELECT chosen('dwh.fact_bb');
SELECT chosen('tag:nightly-1 schema:dwh');
RESET ROLE;

-- a registry whose models read each other in a circle says so
INSERT INTO strata_state.dependency SELECT id, 'marts', 'm', 'query' FROM strata_state.model WHERE relation_name = 'stg_a';
SELECT chosen('m');
SELECT model FROM strata.plan('m');

SET client_min_messages = warning;
DELETE FROM strata_state.model;
DELETE FROM strata_state.source;
DO $$ BEGIN
    EXECUTE (SELECT 'DROP VIEW ' || string_agg(oid::regclass::text, ', ') FROM pg_class
              WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m[0-9]+_query$');
END $$;
DROP SCHEMA staging, dwh, marts CASCADE;
DROP TABLE public.alone;
DROP ROLE strata_plan_reader;
DROP FUNCTION chosen(text, text);
DROP FUNCTION model(text, text, text, text[], text[], int, int, text, timestamptz, timestamptz);
