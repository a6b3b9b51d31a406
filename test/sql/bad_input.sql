-- bad input: each refused with a name, a DETAIL or a HINT, and nothing changed
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE SCHEMA src;
CREATE SCHEMA bi;
CREATE TABLE src.a (id integer, note text);
INSERT INTO src.a VALUES (1, 'x'), (2, 'y');
CREATE FUNCTION src.shaky() RETURNS integer LANGUAGE sql VOLATILE AS 'SELECT 1';
SELECT strata.define_mart('bi.one', 'SELECT id, note FROM src.a', key => '{id}');
SELECT strata.define_mart('bi.two', 'SELECT id FROM bi.one');
SELECT count(*) FROM strata.refresh('schema:bi');
-- everything a definition could leave behind
CREATE FUNCTION state() RETURNS text LANGUAGE sql AS $$
    SELECT md5(concat_ws('|', (SELECT string_agg(m::text, ',' ORDER BY id) FROM strata_state.model m), (SELECT string_agg(d::text, ',' ORDER BY d::text) FROM strata_state.dependency d),
        (SELECT string_agg(e::text, ',' ORDER BY e::text) FROM strata_state.edge e), (SELECT string_agg(s::text, ',' ORDER BY s::text) FROM strata_state.source s),
        (SELECT string_agg(format('%s %s %s', c.oid, c.relname, c.relkind), ',' ORDER BY c.oid) FROM pg_class c WHERE relnamespace IN ('bi'::regnamespace, 'strata_state'::regnamespace, 'src'::regnamespace)))) $$;
CREATE FUNCTION refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before text := state();
    answer text := oracle.attempt(statement);
BEGIN
    RETURN answer || CASE WHEN answer LIKE 'done:%' THEN E'\n  NOT REFUSED' WHEN state() <> before THEN E'\n  SOMETHING CHANGED' ELSE '' END;
END $$;
CREATE FUNCTION mart(query text, name text DEFAULT 'bi.bad') RETURNS text LANGUAGE sql AS $$ SELECT refused(format('SELECT strata.define_mart(%L, %L)', name, query)) $$;

-- ---- the query ----
SELECT mart('SELECT id FROM bi.bad');
SELECT refused($$ SELECT strata.define_mart('bi.one', 'SELECT id, ''x'' AS note FROM bi.two', key => '{id}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.one', 'SELECT id, note FROM bi.one', key => '{id}') $$);
SELECT mart('SELECT id FROM src.aa');
SELECT mart('SELECT idd FROM src.a');
SELECT mart('SELECT id FROM scr.a');
SELECT mart('SELECT nofunction(id) AS x FROM src.a');
SELECT mart('SELECT 1 AS a; SELECT 2 AS b');
SELECT mart('SELECT 1 AS a; DROP TABLE src.a');
SELECT mart('');
SELECT mart('-- nothing');
SELECT mart('SELEC 1');
SELECT mart('INSERT INTO src.a VALUES (3, ''z'') RETURNING id');
SELECT mart('WITH gone AS (DELETE FROM src.a RETURNING id) SELECT id FROM gone');
SELECT mart('UPDATE src.a SET id = 1');
SELECT mart('MERGE INTO src.a USING src.a AS b ON false WHEN MATCHED THEN DELETE');
SELECT mart('COMMIT');
SELECT mart('BEGIN');
SELECT mart('SET search_path = bi');
SELECT mart('CREATE TABLE src.b (id integer)');
SELECT mart('EXPLAIN SELECT 1');
SELECT mart('SELECT id INTO src.b FROM src.a');
SELECT mart('TABLE src.a FOR UPDATE');
SELECT mart('SELECT id FROM src.a FOR SHARE');
SELECT mart('SELECT $1 AS a');
SELECT mart('SELECT random() AS r');
SELECT mart('SELECT src.shaky() AS r FROM src.a');
SELECT mart('SELECT id FROM src.a WHERE id > src.shaky()');
SELECT mart('SELECT nextval(''strata_state.model_id_seq'') AS n');
SELECT mart('SELECT');
SELECT mart('SELECT FROM src.a');
SELECT mart('SELECT id, id FROM src.a');
SELECT mart('SELECT id AS ctid FROM src.a');
SELECT mart('SELECT ROW(1, 2) AS r');
SELECT mart('SELECT 1/0 AS x') LIKE '%NOT REFUSED' AS fails_at_its_refresh_only;
SELECT refused($$ SELECT strata.refresh('bi.bad') $$);
SELECT strata.drop_model('bi.bad');
CREATE TEMP TABLE passing (id integer);
SELECT mart('SELECT id FROM passing');
SELECT mart(format('SELECT %s', (SELECT string_agg(format('%s AS c%s', g, g), ', ') FROM generate_series(1, 1601) AS g)));
SELECT mart(format('SELECT %s', (SELECT string_agg(format('%s AS c%s', g, g), ', ') FROM generate_series(1, 1700) AS g)));
SELECT mart(format('SELECT 1 AS %s', repeat('c', 64)));
SELECT mart(format('SELECT 1 AS "%s"', repeat('é', 32)));
SELECT mart(format('SELECT id FROM src."%s"', repeat('x', 70)));
SELECT mart(format('SELECT ''%1$s''::text || /* %1$s */ $%2$s$ %1$s $%2$s$ AS "%3$s""" -- %1$s', repeat('x', 70), 'q', repeat('y', 62))) LIKE '%NOT REFUSED' AS right_as_it_is;
SELECT strata.drop_model('bi.bad');

-- ---- names ----
SELECT mart('SELECT 1 AS a', '');
SELECT mart('SELECT 1 AS a', 'bi.');
SELECT mart('SELECT 1 AS a', '.bad');
SELECT mart('SELECT 1 AS a', 'a.b.c');
SELECT mart('SELECT 1 AS a', 'bi.bad bad');
SELECT mart('SELECT 1 AS a', 'bi."bad');
SELECT mart('SELECT 1 AS a', 'bi.1bad');
SELECT mart('SELECT 1 AS a', 'nowhere.bad');
SELECT mart('SELECT 1 AS a', 'strata.bad');
SELECT mart('SELECT 1 AS a', 'strata_state.bad');
SELECT mart('SELECT 1 AS a', 'pg_catalog.bad');
SELECT mart('SELECT 1 AS a', 'information_schema.bad');
SELECT mart('SELECT 1 AS a', 'pg_temp.bad');
SELECT mart('SELECT 1 AS a', 'src.a');
SELECT mart('SELECT 1 AS a', format('bi.%s', repeat('n', 64)));
SELECT mart('SELECT 1 AS a', format('bi."%s"', repeat('é', 32)));
SELECT mart('SELECT 1 AS a', format('"%s".bad', repeat('s', 64)));
SELECT refused('SELECT strata.define_mart(NULL, ''SELECT 1 AS a'')');
SELECT refused('SELECT strata.define_mart(''bi.bad'', NULL)');
-- what is odd and right: quotes, dots, spaces, Unicode, 63 bytes, on every layer
CREATE SCHEMA "Odd ""schema"".é";
SELECT strata.define_staging('"Odd ""schema"".é"."stg.É ''q''"', 'SELECT id AS "the ""id"".é", note AS "n''" FROM src.a', materialized => 'table', key => ARRAY['the "id".é'], rules => '{"a rule''s \"name\"": "\"the \"\"id\"\".é\" > 0"}', description => 'it''s "odd" \ é', columns => '{"n''": "it''s"}', tags => ARRAY['a,b', '"', '''']);
SELECT strata.define_dimension('"Odd ""schema"".é"."dim_É.''"', 'SELECT "the ""id"".é", "n''" FROM "Odd ""schema"".é"."stg.É ''q''"', key => ARRAY['the "id".é'], history => ARRAY['n''']);
SELECT strata.define_fact('"Odd ""schema"".é"."fait"', 'SELECT "the ""id"".é", date ''2024-01-01'' AS "d.t" FROM "Odd ""schema"".é"."stg.É ''q''"', grain => ARRAY['the "id".é'], partition_by => 'd.t', dimensions => '{"the \"key\"''": {"dimension": "\"Odd \"\"schema\"\".é\".\"dim_É.''\"", "on": ["the \"id\".é"]}}');
SELECT strata.define_mart(format('"Odd ""schema"".é"."%s"', repeat('m', 63)), 'SELECT * FROM "Odd ""schema"".é"."fait"', key => ARRAY['the "id".é']);
SELECT model, status, inserted FROM strata.refresh('*', as_of => '2024-01-15');
UPDATE src.a SET note = note || '!';
SELECT model, status, inserted, updated FROM strata.refresh('*', as_of => '2024-01-16');
SELECT relname FROM pg_class WHERE relnamespace = '"Odd ""schema"".é"'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY relname;
SELECT model, tags, description FROM strata.models WHERE model LIKE '%stg%';
SELECT strata.drop_model('"Odd ""schema"".é"."stg.É ''q''"', "cascade" => true);
DROP SCHEMA "Odd ""schema"".é";

-- ---- '); DROP TABLE x; -- in every text argument of every define function: refused, or kept as the text it is ----
CREATE TABLE evil AS SELECT $$'); DROP TABLE src.a; --$$::text AS t;
CREATE FUNCTION evil_in(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text := oracle.attempt(replace(call, '@', quote_literal((SELECT t FROM evil))));
BEGIN
    IF to_regclass('src.a') IS NULL THEN
        RETURN 'THE TABLE IS GONE';
    END IF;
    RETURN answer;
END $$;
SELECT evil_in(format('SELECT strata.define_source(%s)', a)) FROM unnest('{@,"''src.a'', loaded_at => @","''src.a'', description => @","''src.a'', columns => jsonb_build_object(@, @)","''src.a'', tags => ARRAY[@]"}'::text[]) AS a;
SELECT evil_in(format('SELECT strata.define_staging(%s)', a)) FROM unnest(ARRAY[$$@, 'SELECT 1 AS a'$$, $$'bi.ev', @$$, $$'bi.ev', 'SELECT 1 AS a', materialized => @$$, $$'bi.ev', 'SELECT 1 AS a', materialized => 'table', key => ARRAY[@]$$,
    $$'bi.ev', 'SELECT 1 AS a', rules => jsonb_build_object('r', @)$$, $$'bi.ev', 'SELECT 1 AS a', rules => jsonb_build_object(@, 'a > 0')$$, $$'bi.ev', 'SELECT 1 AS a', refresh => @$$, $$'bi.ev', 'SELECT 1 AS a', description => @$$,
    $$'bi.ev', 'SELECT 1 AS a', columns => jsonb_build_object(@, 'x')$$, $$'bi.ev', 'SELECT 1 AS a', columns => jsonb_build_object('a', @)$$, $$'bi.ev', 'SELECT 1 AS a', tags => ARRAY[@]$$]) AS a;
SELECT strata.drop_model('bi.ev');
SELECT evil_in(format('SELECT strata.define_dimension(''bi.ev'', ''SELECT id, note FROM src.a'', %s)', a)) FROM unnest(ARRAY['key => ARRAY[@]', $$key => '{id}', history => ARRAY[@]$$, $$key => '{id}', fixed => ARRAY[@]$$, $$key => '{id}', effective_from => @$$,
    $$key => '{id}', operation => @, sequence => 'note'$$, $$key => '{id}', operation => 'note', sequence => @$$, $$key => '{id}', deletes => @$$, $$key => '{id}', surrogate_key => @$$, $$key => '{id}', unknown => jsonb_build_object(@, 'x')$$,
    $$key => '{id}', unknown => jsonb_build_object('note', @), surrogate_key => @$$, $$key => '{id}', refresh => @$$]) AS a;
SELECT count(*) FROM strata.refresh('bi.ev');
SELECT strata.drop_model('bi.ev');
SELECT evil_in(format('SELECT strata.define_date_dimension(%s)', a)) FROM unnest(ARRAY[$$@, '2024-01-01', '2024-01-02'$$, $$'bi.ev', '2024-01-01', '2024-01-02', locale => @$$, $$'bi.ev', '2024-01-01', '2024-01-02', holidays => jsonb_build_object(@, 'x')$$,
    $$'bi.ev', '2024-01-01', '2024-01-02', holidays => jsonb_build_object('2024-01-01', @)$$, $$'bi.ev', '2024-01-01', '2024-01-02', description => @$$]) AS a;
SELECT count(*) FROM strata.refresh('bi.ev');
SELECT strata.drop_model('bi.ev');
SELECT evil_in(format('SELECT strata.define_fact(''bi.ev'', ''SELECT id, note FROM src.a'', %s)', a)) FROM unnest(ARRAY['grain => ARRAY[@]', $$grain => '{id}', dimensions => jsonb_build_object(@, '{}'::jsonb)$$, $$grain => '{id}', dimensions => jsonb_build_object('k', jsonb_build_object(@, 1))$$,
    $$grain => '{id}', partition_by => @$$, $$grain => '{id}', partition_by => 'note', partition_unit => @$$, $$grain => '{id}', refresh => @$$, $$grain => '{id}', description => @$$]) AS a;
SELECT strata.drop_model('bi.ev');
SELECT evil_in(format('SELECT strata.define_mart(''bi.ev'', ''SELECT id, note FROM src.a'', %s)', a)) FROM unnest(ARRAY['key => ARRAY[@]', $$foreign_keys => jsonb_build_object(@, 'bi.one')$$, $$foreign_keys => jsonb_build_object('id', @)$$, 'refresh => @', 'tags => ARRAY[@]']) AS a;
SELECT evil_in(format('SELECT strata.define_check(%s)', a)) FROM unnest(ARRAY[$$@, 'not_null', '{id}'$$, $$'bi.one', @, '{id}'$$, $$'bi.one', 'not_null', ARRAY[@]$$, $$'bi.one', 'not_null', '{id}', severity => @$$, $$'bi.one', 'expression', options => jsonb_build_object('expression', @)$$,
    $$'bi.one', 'query', options => jsonb_build_object('query', @)$$, $$'bi.one', 'accepted_values', '{note}', options => jsonb_build_object('values', ARRAY[@]), severity => 'warn', name => @$$, $$'bi.one', 'not_null', '{id}', options => jsonb_build_object(@, 1)$$]) AS a;
SELECT count(*) FROM strata.refresh('bi.one');
SELECT evil_in('SELECT strata.drop_check(''bi.one'', @)');
SELECT evil_in('SELECT strata.drop_model(@)');
SELECT evil_in('SELECT strata.refresh(@)');
SELECT evil_in('SELECT strata.refresh(''bi.one'', exclude => @)');
SELECT evil_in('SELECT strata.refresh(''bi.one'', on_error => @)');
SELECT evil_in('SELECT strata.plan(@)');
SELECT evil_in('SELECT strata.select_models(@)');
SELECT evil_in('SELECT strata.export_definitions(@)');
SELECT evil_in('SELECT strata.define_all(@)');
SELECT evil_in('SELECT strata.try_cast(@, NULL::integer)');
SELECT strata.drop_model('bi.ev');
DELETE FROM strata_state.source WHERE schema_name = 'src';

-- ---- arguments of the wrong kind ----
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', key => '{id,NULL}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', key => '{id,id}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', key => '{idd}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id, xml ''<a/>'' AS x FROM src.a', key => '{x}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', foreign_keys => '[]') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', foreign_keys => '{"id": 1}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', foreign_keys => '{"idd": "bi.one"}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', foreign_keys => '{"id": "bi.ones"}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', foreign_keys => '{"id": "bi.two"}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id::text AS id FROM src.a', foreign_keys => '{"id": "bi.one"}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', columns => '[]') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', columns => '"id"') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', columns => '{"idd": "x"}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', columns => '{"id": {"a": 1}}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', tags => '{a,NULL}') $$);
SELECT refused($$ SELECT strata.define_mart('bi.bad', 'SELECT id FROM src.a', refresh => 'ful') $$);
SELECT refused($$ SELECT strata.define_fact('bi.one', 'SELECT id, note FROM src.a', grain => '{id}') $$);
SELECT refused($$ SELECT strata.define_source('src.nothere') $$);
SELECT refused($$ SELECT strata.define_source('src.a', loaded_at => 'loaded') $$);

-- ---- another role's model ----
CREATE ROLE bad_other;
GRANT CREATE, USAGE ON SCHEMA bi TO bad_other;
GRANT USAGE ON SCHEMA src, oracle TO bad_other;
GRANT SELECT ON src.a, bi.one TO bad_other;
SET ROLE bad_other;
SELECT oracle.attempt($$ SELECT strata.define_mart('bi.one', 'SELECT id, note FROM src.a', key => '{id}') $$);
SELECT oracle.attempt($$ SELECT strata.drop_model('bi.one') $$);
SELECT oracle.attempt($$ SELECT strata.refresh('bi.one') $$);
SELECT oracle.attempt($$ SELECT strata.define_check('bi.one', 'not_null', '{id}') $$);
SELECT oracle.attempt($$ SELECT strata.define_mart('src.mine', 'SELECT id FROM src.a') $$);
SELECT oracle.attempt($$ SELECT strata.define_mart('bi.mine', 'SELECT id FROM bi.two') $$);
SELECT oracle.attempt($$ SELECT strata.define_mart('bi.mine', 'SELECT id FROM strata_state.model') $$);
RESET ROLE;
SELECT id, note FROM bi.one ORDER BY id;

SELECT strata.drop_model('bi.one', "cascade" => true);
SET client_min_messages = error;
DROP OWNED BY bad_other;
DROP ROLE bad_other;
DROP TABLE evil;
DROP FUNCTION evil_in(text), mart(text, text), refused(text), state();
DROP SCHEMA oracle, src, bi CASCADE;
