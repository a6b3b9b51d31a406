-- script: define_all and export_definitions
\pset format unaligned
\pset footer off
SET client_min_messages = warning;
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY'; SET IntervalStyle = 'postgres';
CREATE SCHEMA src; CREATE SCHEMA stg; CREATE SCHEMA dwh; CREATE SCHEMA marts;
CREATE TABLE src.ventes (id integer, client text, ville text, jour date, montant numeric, lu_le timestamptz);
CREATE TABLE src.clients (client text, ville text);

-- what a script did, or the error it ended with and what is there afterwards
CREATE FUNCTION outcome(script text) RETURNS SETOF text LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    detail text; hint text; context text;
    before text := (SELECT count(*) FROM strata_state.model);
BEGIN
    RETURN QUERY SELECT step || ' ' || result FROM strata.define_all(script);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    RETURN NEXT SQLSTATE || ' ' || SQLERRM;
    -- how a missing column is named depends on the server's version
    RETURN NEXT '  detail: ' || regexp_replace(detail, '^column (\w+\.)?"?(\w+)"? does not exist', 'column \2 does not exist');
    RETURN NEXT '  hint: ' || hint;
    RETURN NEXT '  ' || coalesce(substring(context FROM 'definition \d+ of the script[^\n]*'), '(no definition)');
    IF before <> (SELECT count(*)::text FROM strata_state.model) THEN RETURN NEXT 'SOMETHING STAYED'; END IF;
END $$;

-- an empty script, and one of comments
SELECT outcome('');
SELECT outcome(E'-- nothing; SELECT strata.define_mart(''a.b'', ''SELECT 1'');\n/* here /* nested */ either */ ;;');

-- any order: checks before their model, facts before their dimensions, positional, named, cast and array arguments
SELECT $script$
-- the script; a comment with a ' quote and a $$ sign
SELECT strata.define_check('marts.par_ville', 'not_null', columns => ARRAY['ville']);
SELECT strata.define_mart(key => '{ville}', name => 'marts.par_ville', query => $q$
  SELECT c.ville, sum(v.montant) AS total /* it's; one */ FROM dwh.ventes v JOIN dwh.dim_client c USING (client_key) GROUP BY 1 $q$,
  tags => ARRAY['finance'], foreign_keys => NULL);
SELECT strata.define_fact('dwh.ventes', $$ SELECT id, client, jour, montant FROM stg.ventes $$, '{id}'::text[],
  '{"client_key": {"dimension": "dwh.dim_client", "on": ["client"], "as_of": "jour"},
    "jour_key": {"dimension": "dwh.dim_jour", "on": {"jour": "date"}}}'::jsonb, partition_by => 'jour', partition_unit => 'year');
SELECT strata.define_date_dimension('dwh.dim_jour', '2026-01-01', '2026-12-31', locale => 'fr');
SET TimeZone = 'Africa/Abidjan';
SELECT strata.define_dimension('dwh.dim_client', $$ SELECT client, ville FROM src.clients $$, key => '{client}', history => '{ville}', max_shrink => 0.9);
RESET TimeZone;
SET search_path = src;
SELECT strata.define_staging('stg.ventes', E'SELECT id, client, jour, montant FROM ventes WHERE client <> \'$$\'', 'table', rules => '{"positif": "montant >= 0"}');
SELECT strata.define_source('ventes', loaded_at => 'lu_le', warn_after => '1 day 02:00', description => 'l''essentiel \ $1');
$script$ AS script \gset
SELECT outcome(:'script');
SHOW TimeZone;
-- the same text again
SELECT outcome(:'script');
SELECT m.model, s.time_zone, s.search_path FROM strata.models m JOIN strata_state.model s USING (id) ORDER BY 1;

-- names that need quotes
CREATE FUNCTION src.total() RETURNS numeric STABLE LANGUAGE sql BEGIN ATOMIC SELECT sum(montant) FROM src.ventes; END;
SELECT outcome($$
SELECT strata.define_mart('marts.a', 'SELECT * FROM marts."B.b"');
SELECT strata.define_mart('marts."B.b"', 'SELECT src.total() AS t');
$$);
-- models change places: what was read now reads
SELECT outcome($$
SELECT strata.define_mart('marts."B.b"', 'SELECT * FROM marts.a');
SELECT strata.define_mart('marts.a', 'SELECT src.total() AS t');
$$);
-- a column goes that its reader still uses until the reader's own definition: first the reader
SELECT outcome($$
SELECT strata.define_mart('marts.a', 'SELECT src.total() AS t, 1 AS un');
SELECT strata.define_mart('marts."B.b"', 'SELECT t, un FROM marts.a');
$$);
SELECT outcome($$
SELECT strata.define_mart('marts.a', 'SELECT src.total() AS t');
SELECT strata.define_mart('marts."B.b"', 'SELECT t FROM marts.a');
$$);
-- a column is renamed, and every reader follows in the same script; alone, it would break them
SELECT outcome($$
SELECT strata.define_mart('marts.a', 'SELECT src.total() AS total');
$$);
SELECT outcome($$
SELECT strata.define_mart('marts."B.b"', 'SELECT total AS t FROM marts.a');
SELECT strata.define_mart('marts.a', 'SELECT src.total() AS total');
$$);
SELECT outcome($$
SELECT strata.define_mart('marts."B.b"', 'SELECT tt AS t FROM marts.a');
SELECT strata.define_mart('marts.a', 'SELECT src.total() AS t');
$$);
SELECT count(*) FROM strata.refresh('marts.a marts."B.b"');
-- drops are in the script too, in the order of the text
SELECT outcome($$
SELECT strata.drop_check('marts.par_ville', 'not_null_ville');
SELECT strata.define_check('marts.par_ville', 'expression', options => '{"expression": "total >= 0"}', name => 'positif');
SELECT strata.drop_model('marts.a');
SELECT strata.drop_model('marts."B.b"');
$$);

-- errors: each undoes all of it
SELECT outcome($$
SELECT strata.define_mart('marts.ok', 'SELECT 1 AS un');
SELECT strata.define_mart('marts.x', 'SELECT * FROM marts.y');
SELECT strata.define_mart('marts.y', 'SELECT * FROM marts.z');
SELECT strata.define_mart('marts.z', 'SELECT * FROM marts.x');
SELECT strata.define_mart('marts.reader', 'SELECT * FROM marts.x');
$$);
SELECT outcome($$ SELECT strata.define_mart('marts.moi', 'SELECT * FROM marts.moi'); $$);
SELECT outcome($$
SELECT strata.define_mart('marts.reader', 'SELECT * FROM marts.x');
SELECT strata.define_mart('marts.x', 'SELECT * FROM src.venttes');
$$);
SELECT outcome($$
SELECT strata.define_mart('marts.ok', 'SELECT 1 AS un');
SELECT strata.define_mart('marts.x', 'SELECT montnat FROM src.ventes');
$$);
SELECT outcome($$
SELECT strata.define_mart('marts.ok', 'SELECT 1 AS un');
SELECT strata.define_mart('marts.x', 'SELECT 1 AS un; DROP TABLE src.ventes');
$$);
SELECT outcome($$
SELECT strata.define_mart('marts.ok', 'SELECT 1 AS un');
SELECT strata.define_check('marts.okay', 'not_null', '{un}');
$$);
SELECT outcome($$
SELECT strata.define_mart('marts.deux', 'SELECT 1 AS un');
SELECT strata.define_mart('marts.un', 'SELECT 1 AS un');
SELECT strata.define_mart('marts."deux"', 'SELECT 2 AS un');
$$);
SELECT outcome($$ SELECT strata.define_mart('marts.x'); DROP TABLE src.ventes; $$);
SELECT outcome($$ SELECT strata.define_mart('marts.x', '''); DROP TABLE src.ventes; --'); $$);
SELECT outcome($$ SELECT strata.define_mart('marts.x', 'SELECT 1 AS un', tags => (SELECT '{a}'::text[])); $$);
SELECT outcome($$ SELECT strata.define_mart('marts.x', 'SELECT 1 AS un', description => pg_read_file('/etc/passwd')); $$);
SELECT outcome($$ SELECT strata.define_mart(NULL, 'SELECT 1 AS un'); $$);
SELECT outcome($$ SELECT strata.define_mart('marts.x', 'SELECT 1 AS un') FROM src.ventes; $$);
SELECT outcome($$ SELECT strata.define_mart('marts.x', 'SELECT 1 AS un'), strata.define_mart('marts.y', 'SELECT 1 AS un'); $$);
SELECT outcome($$ SELECT strata.define_marts('marts.x', 'SELECT 1 AS un'); $$);
SELECT outcome($$ SELECT strata.define_all('SELECT 1'); $$);
SELECT outcome($$ SELECT strata.refresh(); $$);
SELECT outcome($$ SELECT define_mart('marts.x', 'SELECT 1 AS un'); $$);
SELECT outcome($$
  INSERT INTO src.ventes VALUES (1); $$);
SELECT outcome('COMMIT;');
SELECT outcome($$ SET role = 'postgres'; $$);
SELECT outcome($$ SET TimeZone = 'Mars/Olympus'; SELECT strata.define_mart('marts.x', 'SELECT 1 AS un'); $$);
SELECT outcome($$ SELECT strata.define_mart('marts.x', ; $$);
SELECT outcome($$ SELECT strata.define_mart('marts.x', 'SELECT 1 AS un', colour => 'red'); $$);
SELECT count(*) AS ventes_est_la FROM src.ventes;

-- ---- export
SELECT strata.export_definitions();
-- there already: nothing changes
SELECT strata.export_definitions() AS before \gset
\pset tuples_only on
\set ECHO none
SELECT strata.export_definitions() \gexec
\set ECHO all
RESET search_path;
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY'; SET IntervalStyle = 'postgres';
SELECT :'before' = strata.export_definitions() AS same_again;
-- from nothing: the same warehouse
SELECT strata.drop_model('stg.ventes', "cascade" => true);
SELECT strata.drop_model('dwh.dim_jour'), strata.drop_model('dwh.dim_client'), strata.drop_source('src.ventes');
DROP SCHEMA marts;
SELECT count(*) FROM strata.models;
\set ECHO none
SELECT :'before' \gexec
\set ECHO all
RESET search_path;
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY'; SET IntervalStyle = 'postgres';
SELECT :'before' = strata.export_definitions() AS same_warehouse;
SELECT outcome(:'script');
-- part of it: with the sources it reads
SELECT strata.export_definitions('stg.*');
SELECT strata.export_definitions('dwh.dim_jour');
SELECT strata.export_definitions('dwh.dim_jouer');
-- a renamed source: the text is what the server follows it to
SELECT strata.define_mart('marts.renomme', 'SELECT ville AS v FROM src.clients', refresh => 'full');
ALTER TABLE src.clients RENAME TO clientele;
-- (whether the server qualifies a column depends on its version)
SELECT replace(strata.export_definitions('marts.renomme'), 'clientele.ville', 'ville') AS export_definitions;
-- quoting
CREATE SCHEMA "Sché.ma";
SELECT strata.define_mart('"Sché.ma"."L''un"', $a$ SELECT '$$'::text AS "a""b", '$query$'::text AS c -- $$a$, columns => '{"a\"b": "l''un \\ $$"}', key => '{"a\"b"}');
SELECT strata.export_definitions('schema:"Sché.ma"') AS quoted \gset
SELECT :'quoted';
\set ECHO none
SELECT :'quoted' \gexec
\set ECHO all
RESET search_path;
-- another role sees what it may read
CREATE ROLE script_reader;
GRANT USAGE ON SCHEMA marts TO script_reader;
GRANT SELECT ON marts.par_ville TO script_reader;
SET ROLE script_reader;
SELECT strata.export_definitions() NOT LIKE '%dwh.dim_client''%' AND strata.export_definitions() LIKE '%define_mart(''marts.par_ville''%' AS only_what_it_sees,
       strata.export_definitions() LIKE '%define_source%' AS sources;
RESET ROLE;
DROP OWNED BY script_reader; DROP ROLE script_reader;
-- the next test finds nothing of this one
SELECT count(strata.drop_model(model)) FROM (SELECT m.model FROM strata.models AS m ORDER BY id DESC) AS last_first;
SELECT count(strata.drop_source(source)) FROM strata.sources;
DROP SCHEMA src, stg, dwh, marts, "Sché.ma" CASCADE;
