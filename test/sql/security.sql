-- security: whose rights the code of a model's owner runs with, when somebody with more rights works on the model.
-- regress_sec_mallory owns everything here; each piece of code writes who it ran as. It must be mallory, or nobody.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE regress_sec_mallory LOGIN;
CREATE ROLE regress_sec_bob LOGIN;
CREATE SCHEMA mal AUTHORIZATION regress_sec_mallory;
GRANT USAGE ON SCHEMA mal TO PUBLIC;
GRANT CREATE ON DATABASE :"DBNAME" TO regress_sec_mallory;
CREATE SCHEMA bob AUTHORIZATION regress_sec_bob;

SET SESSION AUTHORIZATION regress_sec_mallory;
CREATE TABLE mal.log (who name, what text);
GRANT INSERT ON mal.log TO PUBLIC;
CREATE FUNCTION mal.note(what text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO mal.log VALUES (current_user, what); RETURN true; END $$;
-- immutable by word only: what PostgreSQL asks for in an index
CREATE FUNCTION mal.sly(v integer, what text) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM mal.note(what); RETURN v; END $$;
CREATE FUNCTION mal.trigger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM mal.note(TG_NAME); RETURN NEW; END $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA mal TO PUBLIC;
-- what ran, as somebody else than mallory
CREATE VIEW mal.escaped AS SELECT DISTINCT what, 'escaped' AS how FROM mal.log WHERE who <> 'regress_sec_mallory' ORDER BY 1;
CREATE VIEW mal.ran AS SELECT DISTINCT what FROM mal.log ORDER BY 1;

-- ---- types whose literals run code when they are read ----
CREATE DOMAIN mal.positive AS integer CHECK (mal.note('domain'));
CREATE TYPE mal.pair AS (a mal.positive);
CREATE TYPE mal.span AS RANGE (subtype = mal.positive);
CREATE TABLE mal.source (id integer, v mal.positive);
INSERT INTO mal.source VALUES (1, 1), (2, 2);

TRUNCATE mal.log;
SELECT strata.define_staging('mal.lit_view', $$SELECT id, v, '{1}'::mal.positive[] AS list, '(2)'::mal.pair AS pair FROM mal.source$$);
SELECT strata.define_mart('mal.lit', $$SELECT id, v, list, pair, '[1,5]'::mal.span AS span FROM mal.lit_view$$, key => '{id}');
SELECT strata.define_dimension('mal.dim_lit', $$SELECT id, v AS w FROM mal.lit WHERE list = '{1}'::mal.positive[]$$, key => '{id}',
    history => '{w}', unknown => '{"w": "7"}');
SELECT strata.define_fact('mal.fact_lit', $$SELECT id, v FROM mal.source$$, grain => '{id}',
    dimensions => '{"lit_key": {"dimension": "mal.dim_lit", "on": ["id"]}}');
SELECT strata.define_check('mal.lit', 'expression', options => '{"expression": "list = ''{1}''::mal.positive[]"}', name => 'literal');
-- columns changed under views that step aside
SELECT strata.define_mart('mal.lit', $$SELECT id, v::bigint AS v, list, pair, '[1,5]'::mal.span AS span FROM mal.lit_view$$, key => '{id}');
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM strata.plan('schema:mal', data => true);
SELECT model, status FROM strata.refresh('schema:mal');
SELECT strata.define_check('mal.lit', 'expression', options => '{"expression": "pair = ''(2)''::mal.pair"}', name => 'by a superuser');
SELECT name, status FROM strata.check_model('mal.lit');
SELECT length(strata.export_definitions('schema:mal')) > 0 AS exported;
SELECT result FROM strata.test_model('mal.lit', '{"mal.lit_view": [{"id": 1, "v": 2, "list": [1], "pair": {"a": 2}}]}', '[{"id": 1}]');
SELECT result FROM strata.test_model('mal.lit_view', '{"mal.source": [{"id": 1, "v": 2}]}', '[{"id": 1}]');
SELECT * FROM mal.ran;
SELECT * FROM mal.escaped;

-- ---- RESET ROLE, SET ROLE, SET SESSION AUTHORIZATION in a model's function ----
SET SESSION AUTHORIZATION regress_sec_mallory;
TRUNCATE mal.log;
CREATE FUNCTION mal.climb(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    PERFORM mal.note(command);
    RETURN current_user = 'regress_sec_mallory';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
SELECT strata.define_mart('mal.climber', $$
    SELECT c, mal.climb(c) AS result FROM unnest(ARRAY['RESET ROLE', 'SET ROLE NONE', 'SET ROLE regress_sec_bob', 'SET SESSION AUTHORIZATION DEFAULT',
        'RESET SESSION AUTHORIZATION', 'SELECT set_config(''role'', ''none'', false)', 'CREATE TEMP TABLE t (a int)',
        'DISCARD ALL', 'SET LOCAL session_replication_role = replica']) AS c $$, refresh => 'full');
RESET SESSION AUTHORIZATION;
SELECT status FROM strata.refresh('mal.climber');
SELECT * FROM mal.climber ORDER BY 1;
SELECT * FROM mal.escaped;

-- ---- what hangs on a target: triggers, checks, defaults, indexes, rules, policies ----
SET SESSION AUTHORIZATION regress_sec_mallory;
TRUNCATE mal.log;
CREATE TABLE mal.rows (id integer, note text);
INSERT INTO mal.rows VALUES (1, 'a'), (2, 'b');
SELECT strata.define_mart('mal.hung', 'SELECT id, note FROM mal.rows', key => '{id}');
SELECT strata.define_staging('mal.rejecting', 'SELECT id, note FROM mal.rows', materialized => 'table', rules => '{"r": "id <> 2"}');
SELECT strata.define_dimension('mal.dim_hung', 'SELECT id, note FROM mal.rows', key => '{id}', history => '{note}');
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['mal.hung', 'mal.rejecting', 'mal.rejecting__rejected', 'mal.dim_hung',
        (SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '_keys$'
           AND relowner = 'regress_sec_mallory'::regrole ORDER BY oid DESC LIMIT 1)]
    LOOP
        EXECUTE format('CREATE TRIGGER row_trigger AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION mal.trigger()', t);
        EXECUTE format('CREATE TRIGGER statement_trigger BEFORE INSERT OR UPDATE OR DELETE ON %s EXECUTE FUNCTION mal.trigger()', t);
    END LOOP;
END $$;
ALTER TABLE mal.hung ADD CHECK (mal.sly(id, 'check') > 0);
ALTER TABLE mal.hung ALTER COLUMN note SET DEFAULT mal.climb('SELECT 1');
CREATE INDEX ON mal.hung (mal.sly(id, 'index')) WHERE mal.sly(id, 'predicate') > 0;
CREATE STATISTICS mal.stats ON (mal.sly(id, 'statistics')), note FROM mal.hung;
CREATE RULE also AS ON INSERT TO mal.dim_hung DO ALSO INSERT INTO mal.log VALUES (current_user, 'rule');
ALTER TABLE mal.hung ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON mal.hung USING (mal.sly(id, 'policy') > 0);
SELECT strata.define_check('mal.hung', 'query', options => '{"query": "SELECT id FROM mal.rows WHERE mal.sly(id, ''check query'') = 3"}', name => 'q');
SELECT strata.define_check('mal.hung', 'expression', options => '{"expression": "mal.sly(id, ''check expression'') > 0"}', name => 'e');
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM strata.plan('mal.hung mal.rejecting mal.dim_hung', data => true);
SELECT model, inserted, rejected FROM strata.refresh('mal.hung mal.rejecting mal.dim_hung') ORDER BY 1;
UPDATE mal.rows SET note = note || '!';
SELECT model, inserted, updated FROM strata.refresh('mal.hung mal.rejecting mal.dim_hung') ORDER BY 1;
SELECT model, inserted, updated FROM strata.refresh('mal.hung mal.rejecting mal.dim_hung', full_rebuild => true) ORDER BY 1;
SELECT count(*) FROM strata.explain_checks('mal.hung');
SELECT count(*) FROM strata.check_model('mal.hung');
SELECT strata.define_mart('mal.hung', 'SELECT id, note, 1 AS added FROM mal.rows', key => '{id}');
SELECT model, status FROM strata.refresh('mal.hung');
SELECT * FROM mal.ran;
SELECT * FROM mal.escaped;

-- ---- a deferred trigger would fire at the refresher's COMMIT, as the refresher ----
SET SESSION AUTHORIZATION regress_sec_mallory;
TRUNCATE mal.log;
CREATE TABLE mal.bait (a integer);
CREATE CONSTRAINT TRIGGER deferred_side AFTER INSERT ON mal.bait DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION mal.trigger();
CREATE FUNCTION mal.lay() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mal.bait VALUES (1); RETURN 1; END $$;
SELECT strata.define_mart('mal.deferred', 'SELECT id FROM mal.rows');
CREATE CONSTRAINT TRIGGER deferred_target AFTER INSERT OR UPDATE OR DELETE ON mal.deferred DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION mal.trigger();
SELECT strata.define_mart('mal.layer', 'SELECT mal.lay() AS a', refresh => 'full');
RESET SESSION AUTHORIZATION;
SELECT status FROM strata.refresh('mal.deferred');
SELECT status FROM strata.refresh('mal.layer');
SELECT count(*) FROM strata.plan('mal.deferred', data => true);
SELECT status FROM strata.refresh('mal.deferred', on_error => 'record');
SELECT * FROM mal.ran;

-- ---- names that hide the server's own, first in the search_path of whoever works ----
SET SESSION AUTHORIZATION regress_sec_mallory;
TRUNCATE mal.log;
SELECT strata.drop_model('mal.deferred'), strata.drop_model('mal.layer');
CREATE SCHEMA hide;
GRANT USAGE ON SCHEMA hide TO PUBLIC;
CREATE FUNCTION hide.eq(a name, b name) RETURNS boolean LANGUAGE sql AS $$ SELECT mal.note('= of name') $$;
CREATE FUNCTION hide.eq(a text, b text) RETURNS boolean LANGUAGE sql AS $$ SELECT mal.note('= of text') $$;
CREATE FUNCTION hide.eq(a integer, b integer) RETURNS boolean LANGUAGE sql AS $$ SELECT mal.note('= of integer') $$;
CREATE OPERATOR hide.= (leftarg = name, rightarg = name, function = hide.eq);
CREATE OPERATOR hide.= (leftarg = text, rightarg = text, function = hide.eq);
CREATE OPERATOR hide.= (leftarg = integer, rightarg = integer, function = hide.eq);
CREATE OPERATOR hide.>= (leftarg = integer, rightarg = integer, function = hide.eq);
CREATE OPERATOR hide.<> (leftarg = text, rightarg = text, function = hide.eq);
CREATE FUNCTION hide.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT mal.note('format')::text $$;
CREATE FUNCTION hide.has_schema_privilege(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT mal.note('has_schema_privilege') $$;
CREATE FUNCTION hide.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(mal.note('to_jsonb')) $$;
CREATE FUNCTION hide.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$ SELECT mal.note('unnest')::text $$;
CREATE TABLE hide.pg_class (oid oid, relname name);
CREATE TABLE hide.model (LIKE strata.models);
CREATE TABLE hide.fact_rows (a integer);
CREATE TABLE hide.staging_rows (a integer);
RESET SESSION AUTHORIZATION;
SET search_path = hide, mal, pg_catalog;
SELECT count(*) > 0 AS planned FROM strata.plan('mal.hung', data => true);
SELECT count(*) > 0 AS ran FROM strata.refresh('schema:mal');
SELECT strata.define_staging('bob.by_superuser', 'SELECT 1 AS one', rules => '{"r": "one > 0"}');
SELECT strata.define_mart('bob.table_by_superuser', 'SELECT 1 AS one', key => '{one}', description => 'd');
SELECT strata.define_date_dimension('bob.dim_day', '2026-01-01', '2026-01-31');
SELECT status FROM strata.refresh('schema:bob');
SELECT strata.define_check('bob.table_by_superuser', 'not_null', '{one}');
SELECT length(strata.export_definitions('schema:mal')) > 0 AS exported;
SELECT count(*) > 0 AS seen FROM strata.models;
SELECT strata.drop_model('bob.dim_day'), strata.drop_model('bob.by_superuser'), strata.drop_model('bob.table_by_superuser');
SELECT strata.drop_model('mal.climber');
RESET search_path;
SELECT * FROM mal.escaped;

-- temporary relations of the session that hide those of statements of a run
SET SESSION AUTHORIZATION regress_sec_mallory;
CREATE TEMP TABLE pg_namespace (oid oid, nspname name);
CREATE TEMP TABLE staging_rows (id integer, note text, strata_rejected text, strata_source jsonb);
CREATE TEMP TABLE dimension_extract (id integer, note text);
CREATE TEMP TABLE rows AS SELECT 99 AS id, 'temporary' AS note;
SELECT model, status, rows_in FROM strata.refresh('mal.hung mal.rejecting mal.dim_hung', full_rebuild => true) ORDER BY 1;
DROP TABLE pg_temp.pg_namespace, pg_temp.staging_rows, pg_temp.dimension_extract, pg_temp.rows;
RESET SESSION AUTHORIZATION;

-- ---- somebody else's relation under the name of a model ----
-- Her function drops the targets while the guard stands aside, and moves a schema with bob's relations under the name.
SET SESSION AUTHORIZATION regress_sec_mallory;
TRUNCATE mal.log;
CREATE SCHEMA first;
CREATE SCHEMA second;
GRANT CREATE, USAGE ON SCHEMA second TO regress_sec_bob;
SELECT strata.define_mart('first.t', 'SELECT id, mal.note(''stolen query'') AS noted FROM mal.rows', refresh => 'full');
SELECT strata.define_staging('first.v', 'SELECT id FROM mal.rows');
SELECT strata.define_check('first.t', 'query', options => '{"query": "SELECT 1 WHERE mal.sly(1, ''stolen check'') = 2"}', name => 'q');
SELECT strata.define_check('first.v', 'query', options => '{"query": "SELECT 1 WHERE mal.sly(1, ''stolen check of a view'') = 2"}', name => 'q');
TRUNCATE mal.log;
CREATE FUNCTION mal.swap() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('second.t') IS NOT NULL THEN
        DROP TABLE first.t;
        DROP VIEW first.v;
        ALTER SCHEMA first RENAME TO third;
        ALTER SCHEMA second RENAME TO first;
    END IF;
    RETURN true;
END $$;
SELECT strata.define_mart('mal.swapper', 'SELECT mal.swap() AS done', refresh => 'full');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_sec_bob;
CREATE TABLE second.t (id integer, noted boolean);
INSERT INTO second.t VALUES (42, false);
CREATE VIEW second.v AS SELECT 42 AS id;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_sec_mallory;
SELECT status FROM strata.refresh('mal.swapper');
SELECT status FROM strata.refresh('first.t');
RESET SESSION AUTHORIZATION;
\set VERBOSITY default
SELECT status FROM strata.refresh('first.t');
\set VERBOSITY terse
SELECT status FROM strata.refresh('first.v');
SELECT count(*) FROM strata.plan('first.v', data => true);
SELECT name FROM strata.check_model('first.v');
SELECT * FROM strata.explain_checks('first.v');
SELECT strata.define_mart('first.t', 'SELECT 1 AS id');
SET SESSION AUTHORIZATION regress_sec_bob;
SELECT status FROM strata.refresh('first.t');
SELECT strata.define_mart('first.t', 'SELECT 1 AS id');
SELECT strata.drop_model('first.t');
-- the definition is not his to see either
SELECT model, query FROM strata.models WHERE model LIKE 'first.%';
SELECT count(*) FROM strata.checks WHERE model LIKE 'first.%';
SELECT count(*) FROM strata.lineage WHERE model LIKE 'first.%';
SELECT count(*) FROM strata.columns WHERE model LIKE 'first.%';
-- giving his own relation away gives away nothing of hers
ALTER TABLE first.t OWNER TO regress_sec_bob;
RESET SESSION AUTHORIZATION;
ALTER TABLE first.t OWNER TO CURRENT_USER;
SELECT count(*) AS still_hers FROM pg_class c JOIN strata_state.model m ON c.relname = format('m%s_query', m.id)
 WHERE m.schema_name = 'first' AND c.relowner = 'regress_sec_mallory'::regrole;
SELECT strata.drop_model('first.t'), strata.drop_model('first.v');
SELECT * FROM first.t;
SELECT * FROM first.v;
SELECT * FROM mal.escaped;

-- ---- a foreign key binds the table it points at ----
SET SESSION AUTHORIZATION regress_sec_bob;
CREATE TABLE bob.things (id integer, name text);
INSERT INTO bob.things VALUES (1, 'x');
SELECT strata.define_dimension('bob.dim_thing', 'SELECT id, name FROM bob.things', key => '{id}');
SELECT strata.define_mart('bob.keyed', 'SELECT id, name FROM bob.things', key => '{id}');
GRANT USAGE ON SCHEMA bob TO regress_sec_mallory;
GRANT SELECT ON bob.dim_thing, bob.keyed TO regress_sec_mallory;
SELECT status FROM strata.refresh('schema:bob');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_sec_mallory;
SELECT strata.define_fact('mal.fact_thing', 'SELECT id FROM mal.rows', grain => '{id}',
    dimensions => '{"thing_key": {"dimension": "bob.dim_thing", "on": ["id"]}}');
SELECT strata.define_mart('mal.refers', 'SELECT id FROM mal.rows WHERE id = 1', foreign_keys => '{"id": "bob.keyed"}');
SELECT count(*) FROM pg_constraint WHERE conrelid = 'mal.fact_thing'::regclass AND contype = 'f';
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_sec_bob;
TRUNCATE bob.keyed;
GRANT REFERENCES ON bob.keyed, bob.dim_thing TO regress_sec_mallory;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_sec_mallory;
SELECT strata.define_mart('mal.refers', 'SELECT id FROM mal.rows WHERE id = 1', foreign_keys => '{"id": "bob.keyed"}');
SELECT strata.define_fact('mal.fact_thing', 'SELECT id, note FROM mal.rows', grain => '{id}',
    dimensions => '{"thing_key": {"dimension": "bob.dim_thing", "on": ["id"]}}');
SELECT conrelid::regclass AS on, confrelid::regclass AS to FROM pg_constraint
 WHERE conrelid IN ('mal.fact_thing'::regclass, 'mal.refers'::regclass) AND contype = 'f' ORDER BY 1;
SELECT model, status FROM strata.refresh('mal.refers mal.fact_thing') ORDER BY 1;
SELECT strata.drop_model('mal.refers'), strata.drop_model('mal.fact_thing');
RESET SESSION AUTHORIZATION;

-- ---- names as weapons ----
CREATE SCHEMA "s'); DROP TABLE mal.log; --";
GRANT ALL ON SCHEMA "s'); DROP TABLE mal.log; --" TO regress_sec_mallory;
SET SESSION AUTHORIZATION regress_sec_mallory;
CREATE TABLE mal."so""urce'); DROP TABLE mal.log; --" ("id'); --" integer, "a""b" text, "$$" text);
INSERT INTO mal."so""urce'); DROP TABLE mal.log; --" VALUES (1, 'x', 'y'), (2, E'\\''); DROP TABLE mal.log; --', NULL);
SELECT strata.define_mart('"s''); DROP TABLE mal.log; --"."m''); DROP TABLE mal.log; --"',
    $q$SELECT * FROM mal."so""urce'); DROP TABLE mal.log; --"$q$, key => ARRAY['id''); --'], description => $q$it's '); DROP TABLE mal.log; --$q$,
    columns => $q${"a\"b": "'); DROP TABLE mal.log; --"}$q$, tags => ARRAY['''); DROP TABLE mal.log; --']);
SELECT strata.define_dimension('"s''); DROP TABLE mal.log; --"."d""''); --"', $q$SELECT * FROM mal."so""urce'); DROP TABLE mal.log; --"$q$,
    key => ARRAY['id''); --'], history => ARRAY['a"b'], surrogate_key => 'k"''); --', unknown => $q${"a\"b": "'); DROP TABLE mal.log; --"}$q$);
SELECT strata.define_fact('"s''); DROP TABLE mal.log; --"."f""''); --"', $q$SELECT *, date '2026-01-05' AS "d""'" FROM mal."so""urce'); DROP TABLE mal.log; --"$q$,
    grain => ARRAY['id''); --'], partition_by => 'd"''',
    dimensions => $q${"x\"'); --": {"dimension": "\"s'); DROP TABLE mal.log; --\".\"d\"\"'); --\"", "on": ["id'); --"]}}$q$);
SELECT strata.define_check('"s''); DROP TABLE mal.log; --"."m''); DROP TABLE mal.log; --"', kind, ARRAY['a"b'], name => kind || ' ''); DROP TABLE mal.log; --')
  FROM unnest('{not_null,unique}'::text[]) AS kind;
SELECT status, inserted FROM strata.refresh('layer:mart layer:dimension layer:fact', as_of => '2026-02-01') WHERE model LIKE '"s''%';
SELECT count(*) FROM "s'); DROP TABLE mal.log; --"."f""'); --";
SELECT status FROM strata.refresh('*', exclude => ''') OR true; --');
SELECT status FROM strata.refresh('"m''); DROP TABLE mal.log; --"');
SELECT strata.drop_model('"s''); DROP TABLE mal.log; --"."d""''); --"', "cascade" => true);
SELECT strata.drop_model('"s''); DROP TABLE mal.log; --"."m''); DROP TABLE mal.log; --"');
RESET SESSION AUTHORIZATION;
SELECT to_regclass('mal.log') IS NOT NULL AS still_there;

-- ---- row security on a source: a model holds what its owner may see, whoever refreshes ----
SET SESSION AUTHORIZATION regress_sec_bob;
CREATE TABLE bob.secret (id integer, for_role name);
INSERT INTO bob.secret VALUES (1, 'regress_sec_mallory'), (2, 'regress_sec_bob'), (3, 'regress_sec_mallory');
ALTER TABLE bob.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bob.secret USING (for_role = current_user);
GRANT SELECT ON bob.secret TO regress_sec_mallory;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_sec_mallory;
SELECT strata.define_staging('mal.seen_view', 'SELECT id FROM bob.secret');
SELECT strata.define_mart('mal.seen', 'SELECT id FROM bob.secret', key => '{id}');
SELECT strata.define_dimension('mal.dim_seen', 'SELECT id, for_role FROM bob.secret', key => '{id}');
SELECT strata.define_check('mal.seen', 'query', options => '{"query": "SELECT id FROM bob.secret WHERE for_role = ''regress_sec_bob''"}', name => 'peek');
RESET SESSION AUTHORIZATION;
SELECT model, inserted, checks FROM strata.refresh('mal.seen mal.dim_seen') ORDER BY 1;
SELECT array_agg(id ORDER BY id) FROM mal.seen;
SET row_security = off;
SELECT model, status FROM strata.refresh('mal.seen mal.dim_seen', full_rebuild => true) ORDER BY 1;
SELECT name, status FROM strata.check_model('mal.seen');
RESET row_security;
SELECT array_agg(id ORDER BY id) FROM mal.seen;
SELECT array_agg(id ORDER BY id) FILTER (WHERE id > 0) FROM mal.dim_seen;
SELECT array_agg(id ORDER BY id) FROM mal.seen_view;

-- ---- the rights of the moment: a source that is no longer granted ----
REVOKE SELECT ON bob.secret FROM regress_sec_mallory;
\set VERBOSITY default
SELECT status FROM strata.refresh('mal.seen');
\set VERBOSITY terse
SET SESSION AUTHORIZATION regress_sec_mallory;
SELECT count(*) FROM strata.plan('mal.seen', data => true);
SELECT array_agg(id ORDER BY id) FROM mal.seen;
RESET SESSION AUTHORIZATION;
SELECT * FROM mal.escaped;

-- ---- nothing stays ----
DO $$
DECLARE
    m text;
BEGIN
    LOOP
        SELECT model INTO m FROM strata.models WHERE model ~ '^(mal|bob)\.' ORDER BY id DESC LIMIT 1;
        EXIT WHEN m IS NULL;
        PERFORM strata.drop_model(m, "cascade" => true);
    END LOOP;
END $$;
SELECT * FROM mal.escaped;
DROP SCHEMA mal, bob, hide, first, third, "s'); DROP TABLE mal.log; --" CASCADE;
REVOKE CREATE ON DATABASE :"DBNAME" FROM regress_sec_mallory;
DROP ROLE regress_sec_mallory, regress_sec_bob;
SELECT count(*) FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m[0-9]+_';
