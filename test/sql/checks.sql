-- checks: every kind, passing and failing; thresholds; what is refused; whose rights; injection
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, DMY';
CREATE ROLE regress_checks_owner;
CREATE ROLE regress_checks_reader;
CREATE SCHEMA ck AUTHORIZATION regress_checks_owner;
GRANT USAGE ON SCHEMA ck TO regress_checks_reader;

-- Models by hand: this room stands below the one that defines them.
CREATE FUNCTION ck.model(relation name, layer text DEFAULT 'mart') RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    new_id integer;
BEGIN
    INSERT INTO strata_state.model (schema_name, relation_name, layer, kind, query, hash, search_path, time_zone, date_style,
                                    interval_style, defined_by, defined_at)
    VALUES ('ck', relation, layer, 'table', 'SELECT', '', 'ck, pg_catalog', 'UTC', 'ISO, DMY', 'postgres', current_user, now())
    RETURNING id INTO new_id;
    EXECUTE format('CREATE VIEW strata_state.m%s_query AS SELECT', new_id);
    PERFORM set_config('strata.guard_enforce', 'off', true);
    EXECUTE format('ALTER VIEW strata_state.m%s_query OWNER TO %I', new_id,
                   (SELECT relowner::regrole FROM pg_class WHERE oid = format('ck.%I', relation)::regclass));
    PERFORM set_config('strata.guard_enforce', 'on', true);
    RETURN new_id;
END $$;
CREATE FUNCTION ck.outcome(model text, as_of timestamptz DEFAULT '2026-02-01 00:00:00+00')
    RETURNS TABLE (name text, status text, failures bigint, rows bigint, message text, sample jsonb) LANGUAGE sql AS $$
    SELECT name, status, failures, rows, message, sample FROM strata.check_model(model, as_of) $$;

SET ROLE regress_checks_owner;
CREATE TABLE ck.clients (client_id integer PRIMARY KEY, nom text NOT NULL);
INSERT INTO ck.clients VALUES (1, 'Abidjan Métal'), (2, 'Bouaké Bois'), (3, 'Korhogo Coton');
CREATE TABLE ck.factures (facture_id integer, client_id integer, montant numeric, statut text, emise_le date);
INSERT INTO ck.factures VALUES
    (1, 1, 100, 'payée', '2026-01-01'), (2, 2, -5, 'ouverte', '2026-01-02'), (3, 9, 30, 'perdue', '2026-01-03'),
    (3, NULL, NULL, NULL, NULL), (NULL, 3, 0, 'payée', 'infinity');
CREATE TABLE ck.vide (LIKE ck.factures);
RESET ROLE;
SELECT count(ck.model(n)) FROM unnest('{clients, factures, vide}'::name[]) AS n;

-- ---- each kind, failing, and all of them on a table without rows ----
SET ROLE regress_checks_owner;
SELECT strata.define_check(m, 'not_null', '{montant}'),
       strata.define_check(m, 'not_null', '{facture_id, client_id}'),
       strata.define_check(m, 'unique', '{facture_id}'),
       strata.define_check(m, 'accepted_values', '{statut}', '{"values": ["payée", "ouverte"]}'),
       strata.define_check(m, 'relationships', '{client_id}', '{"to": "ck.clients"}'),
       strata.define_check(m, 'expression', options => '{"expression": "montant > 0"}', name => 'montant positif'),
       strata.define_check(m, 'row_count', options => '{"min": 7}'),
       strata.define_check(m, 'freshness', '{emise_le}', '{"max_age": "10 days"}'),
       strata.define_check(m, 'query', options => '{"query": "SELECT client_id, count(*) FROM factures GROUP BY 1 HAVING count(*) > 0 ORDER BY 1"}',
                           name => 'regroupement'),
       strata.define_check(m, 'row_count_anomaly')
  FROM unnest('{ck.factures, ck.vide}'::text[]) AS m;
-- a NULL passes accepted_values, relationships, unique and expression, as it does a constraint; infinity is no date of loading
SELECT * FROM ck.outcome('ck.factures');
SELECT * FROM ck.outcome('ck.vide');
-- one statement for all that looks at rows one by one; one each for the others
SELECT checks FROM strata.explain_checks('ck.factures');
SELECT sql FROM strata.explain_checks('ck.factures') LIMIT 1;

-- ---- each kind, passing ----
CREATE TABLE ck.bonnes (id integer, client_id bigint, montant numeric, statut text, vu timestamptz, jour date, local timestamp);
INSERT INTO ck.bonnes SELECT i, 1 + i % 3, i, 'ok', '2026-01-31 12:00:00+00', '2026-01-31', '2026-01-31 12:00:00' FROM generate_series(1, 50) AS i;
RESET ROLE;
SELECT ck.model('bonnes') > 0 AS defined;
SET ROLE regress_checks_owner;
SELECT strata.define_check('ck.bonnes', 'not_null', '{id, montant}'),
       strata.define_check('ck.bonnes', 'unique', '{id, statut}'),
       strata.define_check('ck.bonnes', 'accepted_values', '{statut}', '{"values": ["ok"]}'),
       strata.define_check('ck.bonnes', 'accepted_values', '{id}', (SELECT jsonb_build_object('values', jsonb_agg(i)) FROM generate_series(1, 50) AS i)),
       strata.define_check('ck.bonnes', 'relationships', '{client_id}', '{"to": "ck.clients", "columns": ["client_id"]}'),
       strata.define_check('ck.bonnes', 'expression', options => '{"expression": "montant BETWEEN 1 AND 50"}', name => 'expression'),
       strata.define_check('ck.bonnes', 'row_count', options => '{"min": 50, "max": 50}'),
       strata.define_check('ck.bonnes', 'freshness', '{vu}', '{"max_age": "12:00:00"}'),
       strata.define_check('ck.bonnes', 'freshness', '{jour}', '{"max_age": "1 day"}'),
       strata.define_check('ck.bonnes', 'freshness', '{local}', '{"max_age": "13 hours"}'),
       strata.define_check('ck.bonnes', 'query', options => '{"query": "SELECT * FROM ck.bonnes WHERE id > 50"}', name => 'query');
SELECT name, status, failures, rows, message FROM ck.outcome('ck.bonnes') WHERE sample IS NULL;
-- the instant after the age has passed
SELECT name, status, message FROM ck.outcome('ck.bonnes', '2026-02-01 00:00:00.000001+00') WHERE status <> 'passed';

-- ---- where: another filter each, in the same scan ----
SELECT strata.define_check('ck.factures', 'not_null', '{montant}', '{"where": "statut IS NOT NULL"}', name => 'filtered'),
       strata.define_check('ck.factures', 'expression', options => '{"expression": "10 / montant > 0", "where": "montant > 0"}', name => 'guarded'),
       strata.define_check('ck.factures', 'unique', '{facture_id}', '{"where": "client_id IS NOT NULL"}', name => 'unique filtered'),
       strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "ck.clients", "where": "montant < 0"}', name => 'relationships filtered'),
       strata.define_check('ck.factures', 'row_count', options => '{"max": 1, "where": "statut = ''payée''"}', name => 'row_count filtered'),
       strata.define_check('ck.factures', 'freshness', '{emise_le}', '{"max_age": "1 day", "where": "montant < 0"}', name => 'freshness filtered');
SELECT name, status, failures, rows, message FROM ck.outcome('ck.factures') WHERE name ~ 'filtered|guarded';
SELECT strata.drop_check('ck.factures', name) FROM strata.checks WHERE model = 'ck.factures' AND name ~ 'filtered|guarded';

-- ---- an error of one check is its outcome; the others keep theirs ----
SELECT strata.define_check('ck.factures', 'expression', options => '{"expression": "10 / montant < 1000"}', name => 'divides');
SELECT name, status, failures, rows, message FROM ck.outcome('ck.factures') WHERE status = 'error' OR name = 'montant positif';
SELECT strata.drop_check('ck.factures', 'divides');
-- a column that is gone, which only a superuser can bring about
RESET ROLE;
SET strata.guard_enforce = off;
ALTER TABLE ck.bonnes DROP COLUMN statut;
RESET strata.guard_enforce;
SET ROLE regress_checks_owner;
SELECT name, status, failures, rows, message FROM ck.outcome('ck.bonnes') WHERE status <> 'passed';

-- ---- thresholds ----
CREATE TABLE ck.seuils (v integer, k integer, l integer NOT NULL DEFAULT 0);
INSERT INTO ck.seuils (v) SELECT NULLIF(i, LEAST(i, 5)) FROM generate_series(1, 10) AS i;
RESET ROLE;
SELECT ck.model('seuils') > 0 AS defined;
SET ROLE regress_checks_owner;
SELECT strata.define_check('ck.seuils', 'not_null', '{v}', severity => s, warn_above => w, error_above => e, sample_rows => 1,
                           name => format('%s: warn above %s, error above %s', s, w, e))
  FROM (VALUES ('error', 0, 0), ('error', 0, 4), ('error', 0, 5), ('error', 4, 5), ('error', 5, 5), ('warn', 0, 0), ('warn', 5, 0), ('warn', 4, 4)) AS t (s, w, e);
SELECT name, status, failures, jsonb_array_length(sample) AS sampled FROM ck.outcome('ck.seuils');
SELECT strata.define_check('ck.seuils', 'not_null', '{v}', warn_above => 5);
SELECT strata.define_check('ck.seuils', 'not_null', '{v}', warn_above => -1);
SELECT strata.define_check('ck.seuils', 'not_null', '{v}', sample_rows => 1001);
SELECT strata.define_check('ck.seuils', 'not_null', '{v}', severity => 'fatal');
SELECT strata.define_check('ck.seuils', 'not_null', '{v}', severity => NULL);

-- ---- what a constraint proves is not looked at ----
UPDATE ck.seuils SET k = n FROM (SELECT ctid, row_number() OVER (ORDER BY v) AS n FROM ck.seuils) AS r WHERE r.ctid = seuils.ctid;
CREATE UNIQUE INDEX seuils_k ON ck.seuils (k);
CREATE UNIQUE INDEX seuils_partial ON ck.seuils (v) WHERE v > 0;
SELECT strata.define_check('ck.seuils', 'not_null', '{l}'), strata.define_check('ck.seuils', 'unique', '{l, k}'),
       strata.define_check('ck.seuils', 'unique', '{v}');
SELECT name, status, failures, rows, message FROM ck.outcome('ck.seuils') WHERE name ~ '_';
DROP INDEX ck.seuils_k;
ALTER TABLE ck.seuils ALTER COLUMN l DROP NOT NULL;
INSERT INTO ck.seuils VALUES (NULL, 1, NULL), (NULL, 1, 0);
SELECT name, status, failures, rows, message, sample FROM ck.outcome('ck.seuils') WHERE name ~ '_';

-- ---- the unknown member of a dimension ----
CREATE TABLE ck.dim_client (client_key bigint, client_id integer, nom text);
INSERT INTO ck.dim_client VALUES (0, NULL, NULL), (1, 1, 'un'), (2, 9, 'neuf');
RESET ROLE;
INSERT INTO strata_state.model_column SELECT ck.model('dim_client', 'dimension'), 1, 'client_key', 'bigint', 'surrogate key';
SET ROLE regress_checks_owner;
SELECT strata.define_check('ck.dim_client', 'not_null', '{client_id, nom}'),
       strata.define_check('ck.dim_client', 'not_null', '{nom}', '{"include_unknown": true}'),
       strata.define_check('ck.dim_client', 'relationships', '{client_id}', '{"to": "ck.clients"}'),
       strata.define_check('ck.dim_client', 'row_count', options => '{"max": 2}');
SELECT name, status, failures, rows, message FROM ck.outcome('ck.dim_client');
SELECT strata.drop_check('ck.dim_client', 'not_null_nom');
-- one filter for all: a WHERE of the scan
SELECT right(sql, 50) FROM strata.explain_checks('ck.dim_client') LIMIT 1;

-- ---- row counts against earlier runs ----
CREATE TABLE ck.serie (v integer);
INSERT INTO ck.serie SELECT generate_series(1, 100);
RESET ROLE;
SELECT ck.model('serie') > 0 AS defined;
SET ROLE regress_checks_owner;
SELECT strata.define_check('ck.serie', 'row_count_anomaly', options => '{"runs": 4, "deviations": 2}');
SELECT status, message FROM ck.outcome('ck.serie');
RESET ROLE;
-- what check_model records is no run: only the last four of these count
INSERT INTO strata_state.check_result (run_id, check_id, model, name, kind, severity, status, rows, as_of, checked_at, duration_ms)
SELECT r, c.id, 'ck.serie', 'row_count_anomaly', 'row_count_anomaly', 'error', 'passed', n, now(), now(), 1
  FROM strata_state.check_definition c,
       unnest(ARRAY[9000, 90, 95, 105, 110], ARRAY[1, 2, 3, 4, 5]) AS h (n, r) WHERE c.name = 'row_count_anomaly' AND c.options <> '{}' ORDER BY r;
SET ROLE regress_checks_owner;
SELECT status, failures, message FROM ck.outcome('ck.serie');
INSERT INTO ck.serie SELECT generate_series(1, 50);
SELECT status, failures, message FROM ck.outcome('ck.serie');
TRUNCATE ck.serie;
SELECT status, failures, message FROM ck.outcome('ck.serie');
SELECT strata.define_check('ck.serie', 'row_count_anomaly', options => '{"runs": 2}');
SELECT strata.define_check('ck.serie', 'row_count_anomaly', options => '{"deviations": 0}');

-- ---- the same again is nothing; another one replaces and keeps the history ----
SELECT id AS was, defined_at AS was_at FROM strata.checks WHERE model = 'ck.serie' \gset
SELECT strata.define_check('ck.serie', 'row_count_anomaly', options => '{"deviations": 2, "runs": 4}');
SELECT id = :was AS same_id, defined_at = :'was_at' AS untouched FROM strata.checks WHERE model = 'ck.serie';
SELECT strata.define_check('ck.serie', 'row_count_anomaly', severity => 'warn');
SELECT id = :was AS same_id, defined_at = :'was_at' AS untouched, severity, last_status FROM strata.checks WHERE model = 'ck.serie';
-- a default name too long is cut at a character and told apart by a hash; a given one is refused
SET ROLE regress_checks_owner;
CREATE TABLE ck.longs ("une colonne dont le nom est très, très long, à soixante oct" integer, "une autre colonne au nom long" integer);
RESET ROLE;
SELECT ck.model('longs') > 0 AS defined;
SET ROLE regress_checks_owner;
SELECT n, octet_length(n) FROM strata.define_check('ck.longs', 'not_null', ARRAY['une colonne dont le nom est très, très long, à soixante oct', 'une autre colonne au nom long']) AS n;
SELECT strata.define_check('ck.longs', 'not_null', '{une autre colonne au nom long}', name => repeat('é', 32));
SELECT strata.define_check('ck.longs', 'not_null', '{une autre colonne au nom long}', name => '');

-- ---- refused, with what was seen and what to do ----
SELECT strata.define_check('ck.facture', 'not_null', '{montant}');
SELECT strata.define_check('ck.factures', 'not_nul', '{montant}');
SELECT strata.define_check('ck.factures', 'not_null', '{montan}');
SELECT strata.define_check('ck.factures', 'not_null');
SELECT strata.define_check('ck.factures', 'not_null', '{montant, montant}');
SELECT strata.define_check('ck.factures', 'not_null', '{NULL}');
SELECT strata.define_check('ck.factures', 'not_null', '{montant}', '{"wher": "true"}');
SELECT strata.define_check('ck.factures', 'not_null', '{montant}', '["where"]');
SELECT strata.define_check('ck.factures', 'not_null', '{montant}', '{"where": 1}');
SELECT strata.define_check('ck.factures', 'row_count', '{montant}', '{"min": 1}');
SELECT strata.define_check('ck.factures', 'row_count');
SELECT strata.define_check('ck.factures', 'row_count', options => '{"min": 5, "max": 4}');
SELECT strata.define_check('ck.factures', 'row_count', options => '{"min": 1.5}');
SELECT strata.define_check('ck.factures', 'accepted_values', '{statut}');
SELECT strata.define_check('ck.factures', 'accepted_values', '{statut}', '{"values": "payée"}');
SELECT strata.define_check('ck.factures', 'accepted_values', '{statut}', '{"values": []}');
SELECT strata.define_check('ck.factures', 'accepted_values', '{statut}', '{"values": ["a", null]}');
SELECT strata.define_check('ck.factures', 'accepted_values', '{statut}', '{"values": [["a"]]}');
SELECT strata.define_check('ck.factures', 'accepted_values', '{montant}', '{"values": ["cent"]}');
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}');
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "ck.client"}');
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "clients"}');
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "ck.clients", "columns": ["client_ids"]}');
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "ck.clients", "columns": ["client_id", "nom"]}');
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "ck.clients", "columns": ["nom"]}');
SELECT strata.define_check('ck.factures', 'freshness', '{statut}', '{"max_age": "1 day"}');
SELECT strata.define_check('ck.factures', 'freshness', '{emise_le}', '{"max_age": "soon"}');
SELECT strata.define_check('ck.factures', 'freshness', '{emise_le}', '{"max_age": "-1 day"}');
SELECT strata.define_check('ck.factures', 'geometry', '{statut}');
SELECT strata.define_check(NULL, 'not_null');
SELECT strata.define_check('ck.factures', NULL);
SELECT strata.drop_check('ck.factures', 'not_null_montan');
SELECT strata.drop_check('ck.longs', 'x');

-- ---- user text: one expression, one query, and nothing else ----
\set exp 'SELECT strata.define_check(''ck.factures'', ''expression'', name => ''e'', options => jsonb_build_object(''expression'', '
:exp 'montant'));
:exp 'monta > 0'));
:exp 'montant > '));
:exp ''));
:exp '*'));
:exp 'factures.*'));
:exp 'montant > 0, true'));
:exp 'montant > 0 AS x'));
:exp 'montant > 0 FROM ck.clients'));
:exp 'montant > 0 UNION SELECT true'));
:exp 'sum(montant) > 0'));
:exp 'EXISTS (SELECT FROM ck.clients)'));
:exp 'row_number() OVER () > 0'));
:exp 'random() > 0'));
:exp 'montant > $1'));
:exp '''a'' = 1'));
:exp '1) ; DROP TABLE ck.clients --'));
:exp 'true); DROP TABLE ck.clients; SELECT (true'));
:exp '''''); DROP TABLE ck.clients; --'));
\set qry 'SELECT strata.define_check(''ck.factures'', ''query'', name => ''q'', options => jsonb_build_object(''query'', '
:qry ''));
:qry 'SELECT 1; SELECT 2'));
:qry 'DROP TABLE ck.clients'));
:qry 'DELETE FROM ck.clients RETURNING *'));
:qry 'WITH d AS (DELETE FROM ck.clients RETURNING *) SELECT * FROM d'));
:qry 'SELECT * INTO ck.autre FROM ck.clients'));
:qry 'SELECT * FROM ck.clients FOR UPDATE'));
:qry 'SELECT nextval(''ck.s'')'));
:qry 'SELECT * FROM ck.client'));
:qry 'SELECT 1) q; DROP TABLE ck.clients; --'));
:qry 'COMMIT'));
-- every text argument is data
SELECT strata.define_check('''); DROP TABLE ck.clients; --', 'not_null');
SELECT strata.define_check('ck.factures', '''); DROP TABLE ck.clients; --');
SELECT strata.define_check('ck.factures', 'not_null', ARRAY['''); DROP TABLE ck.clients; --']);
SELECT strata.define_check('ck.factures', 'not_null', '{montant}', severity => '''); DROP TABLE ck.clients; --');
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "ck.clients''); DROP TABLE ck.clients; --"}');
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "ck.clients", "columns": ["''); DROP TABLE ck.clients; --"]}');
SELECT strata.define_check('ck.factures', 'freshness', '{emise_le}', '{"max_age": "''); DROP TABLE ck.clients; --"}');
SELECT strata.define_check('ck.factures', 'accepted_values', '{statut}', '{"values": ["''); DROP TABLE ck.clients; --"]}',
                           name => '''); DROP TABLE ck.clients; --', description => '''); DROP TABLE ck.clients; --');
SELECT strata.drop_check('''); DROP TABLE ck.clients; --', 'x');
SELECT strata.drop_check('ck.factures', '''); DROP TABLE ck.client; --');
SELECT name, status, failures FROM ck.outcome('ck.factures') WHERE name ~ 'DROP';
SELECT strata.drop_check('ck.factures', '''); DROP TABLE ck.clients; --');
SELECT count(*) AS clients FROM ck.clients;

-- ---- names and values that need quoting; types without equality, arrays, domains, enums, user-defined operators ----
CREATE TYPE ck.humeur AS ENUM ('bonne', 'mauvaise');
CREATE DOMAIN ck.code AS text CHECK (VALUE <> '');
CREATE TABLE ck."Étrange ""table""" ("la ""colonne""" integer, "select" text, h ck.humeur, c ck.code, j json, p point, x xml,
                                     a integer[], n numeric, f double precision, b boolean, t text, d char(3), o bytea, rows integer);
INSERT INTO ck."Étrange ""table""" VALUES
    (1, 'a''b', 'bonne', 'x', '{"a": 1}', '(1,2)', '<a/>', '{1,2}', 'NaN', '-infinity', true, repeat('é', 300), 'ab', '\x00ff', 1),
    (NULL, NULL, 'mauvaise', 'y', NULL, NULL, NULL, '{1,3}', 1.50, 'NaN', false, E'tab\tand "quotes" \\', 'abc', NULL, 1);
RESET ROLE;
SELECT ck.model('Étrange "table"') > 0 AS defined;
SET ROLE regress_checks_owner;
\set odd 'ck."Étrange ""table"""'
SELECT strata.define_check(:'odd', 'not_null', ARRAY['la "colonne"', 'select']),
       strata.define_check(:'odd', 'accepted_values', '{select}', '{"values": ["a''b"]}'),
       strata.define_check(:'odd', 'accepted_values', '{h}', '{"values": ["bonne"]}'),
       strata.define_check(:'odd', 'accepted_values', '{c}', '{"values": ["x"]}'),
       strata.define_check(:'odd', 'accepted_values', '{b}', '{"values": [true]}'),
       strata.define_check(:'odd', 'accepted_values', '{n}', '{"values": [1.5, 2]}'),
       strata.define_check(:'odd', 'accepted_values', '{d}', '{"values": ["ab"]}'),
       strata.define_check(:'odd', 'accepted_values', '{a}', '{"values": ["{1,2}"]}'),
       strata.define_check(:'odd', 'unique', '{rows}'),
       strata.define_check(:'odd', 'expression', options => '{"expression": "\"la \"\"colonne\"\"\" > 1"}', name => 'quoted'),
       strata.define_check(:'odd', 'expression', options => jsonb_build_object('expression', '("Étrange ""table""").select IS NULL'), name => 'row'),
       strata.define_check(:'odd', 'query', options => jsonb_build_object('query', format('SELECT * FROM %s WHERE h = ''bonne''', :'odd')), name => 'wide');
SELECT strata.define_check(:'odd', 'accepted_values', '{h}', '{"values": ["triste"]}');
SELECT strata.define_check(:'odd', 'unique', '{j}');
SELECT strata.define_check(:'odd', 'accepted_values', '{p}', '{"values": ["(1,2)"]}');
SELECT strata.define_check(:'odd', 'relationships', '{x}', '{"to": "ck.\"Étrange \"\"table\"\"\""}');
SELECT name, status, failures, rows, message FROM ck.outcome(:'odd');
SELECT sample FROM ck.outcome(:'odd') WHERE name IN ('wide', 'unique_rows');
-- a query without columns, and one with the same name twice
SELECT strata.define_check('ck.vide', 'query', options => '{"query": "SELECT FROM ck.clients"}', name => 'none'),
       strata.define_check('ck.vide', 'query', options => '{"query": "SELECT 1 AS a, 2 AS a ORDER BY 1 LIMIT 1"}', name => 'twice');
SELECT name, status, failures, sample FROM ck.outcome('ck.vide') WHERE name IN ('none', 'twice');

-- ---- names mean what they meant at definition ----
CREATE FUNCTION ck.seuil() RETURNS numeric LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS 'SELECT 50::numeric';
SELECT strata.define_check('ck.bonnes', 'expression', options => '{"expression": "montant <= seuil()"}', name => 'seuil');
SELECT sql ~ 'montant <= ck.seuil\(\)' AS qualified FROM strata.explain_checks('ck.bonnes') LIMIT 1;
SELECT name, status FROM ck.outcome('ck.bonnes') WHERE name = 'seuil';

-- ---- other roles ----
SET ROLE regress_checks_reader;
SELECT strata.define_check('ck.factures', 'not_null', '{montant}');
SELECT strata.drop_check('ck.factures', 'not_null_montant');
SELECT * FROM strata.check_model('ck.factures');
SELECT * FROM strata.explain_checks('ck.factures');
SELECT count(*) FROM strata.checks WHERE model LIKE 'ck.%';
SELECT count(*) FROM strata.check_results WHERE model LIKE 'ck.%';
SELECT * FROM strata_state.check_definition;
SELECT * FROM strata_state.check_result;
-- with one column readable: results, but neither rows nor messages of errors
RESET ROLE;
GRANT SELECT (facture_id) ON ck.factures TO regress_checks_reader;
SET ROLE regress_checks_reader;
SELECT name, kind, last_status, last_failures FROM strata.checks WHERE model = 'ck.factures' ORDER BY 1;
SELECT count(*) > 0 AS results, count(*) FILTER (WHERE status = 'failed') > 0 AS failed, count(sample) AS samples,
       count(message) FILTER (WHERE status = 'error') AS errors FROM strata.check_results WHERE model = 'ck.factures';
-- readable: rows too, save those of a query, which may be of other tables
RESET ROLE;
GRANT SELECT ON ck.factures TO regress_checks_reader;
SET ROLE regress_checks_reader;
SELECT kind, count(sample) > 0 AS samples FROM strata.check_results WHERE model = 'ck.factures' AND status = 'failed'
 GROUP BY kind ORDER BY kind COLLATE "C";
-- row security: the sample would show rows the reader's policy hides
RESET ROLE;
ALTER TABLE ck.factures ENABLE ROW LEVEL SECURITY;
SET ROLE regress_checks_reader;
SELECT count(*) > 0 AS results, count(sample) AS samples FROM strata.check_results WHERE model = 'ck.factures';
SET ROLE regress_checks_owner;
SELECT count(sample) > 0 AS samples FROM strata.check_results WHERE model = 'ck.factures';
-- the check runs as the owner of the model, whoever asks: no relation the owner may not read
RESET ROLE;
CREATE TABLE ck.secret AS SELECT 1 AS client_id;
SELECT strata.define_check('ck.factures', 'relationships', '{client_id}', '{"to": "ck.secret"}');
SELECT strata.define_check('ck.factures', 'query', options => '{"query": "SELECT * FROM ck.secret"}', name => 'secret');
GRANT SELECT ON ck.secret TO regress_checks_owner;
SELECT strata.define_check('ck.factures', 'query', options => '{"query": "SELECT * FROM ck.secret"}', name => 'secret');
REVOKE SELECT ON ck.secret FROM regress_checks_owner;
SELECT status, message FROM ck.outcome('ck.factures') WHERE name = 'secret';
SELECT strata.drop_check('ck.factures', 'secret');
-- nor can its functions take the caller's rights
CREATE FUNCTION ck.reset_role() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'RESET ROLE';
    RETURN true;
END $$;
CREATE FUNCTION ck.escape() RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN ck.reset_role(); END $$;
CREATE FUNCTION ck.who() RETURNS text LANGUAGE sql STABLE AS 'SELECT current_user::text';
SELECT strata.define_check('ck.serie', 'query', options => '{"query": "SELECT ck.escape()"}', name => 'escape'),
       strata.define_check('ck.serie', 'query', options => '{"query": "SELECT ck.who()"}', name => 'who');
SELECT name, status, message, sample FROM ck.outcome('ck.serie') WHERE name IN ('escape', 'who');
SELECT current_user = session_user AS unchanged;

-- ---- a parallel scan counts the same, and keeps no more rows than asked ----
CREATE TABLE ck.larges AS SELECT i AS id, NULLIF(i % 10, 0) AS d, repeat('x', 100) AS remplissage FROM generate_series(1, 20000) AS i;
ALTER TABLE ck.larges SET (parallel_workers = 2);
ANALYZE ck.larges;
SELECT ck.model('larges') > 0 AS defined;
SELECT strata.define_check('ck.larges', 'not_null', '{d}', sample_rows => 7),
       strata.define_check('ck.larges', 'expression', options => '{"expression": "id <= 19999"}', name => 'one fails'),
       strata.define_check('ck.larges', 'expression', options => '{"expression": "id > 0"}', name => 'none fails'),
       strata.define_check('ck.larges', 'not_null', '{d}', '{"where": "id > 19000"}', sample_rows => 0, name => 'filtered');
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE FUNCTION ck.is_parallel(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || statement LOOP
        IF line ~ 'Gather' THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
SELECT ck.is_parallel(sql) AS parallel FROM strata.explain_checks('ck.larges');
SELECT name, status, failures, rows, jsonb_array_length(sample) AS sampled,
       (SELECT bool_and(r -> 'd' = 'null' OR r -> 'id' = '20000') FROM jsonb_array_elements(sample) AS r) AS they_fail
  FROM ck.outcome('ck.larges');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
-- the aggregate by itself
SELECT strata_state.collect_failures(ARRAY[i > 2, NULL, i = 1], ROW(i, 'x'), '{i}', '{1, 1, 0}') FROM generate_series(1, 4) AS i;
SELECT strata_state.collect_failures(ARRAY[true], ROW(i), '{i}', '{1}') FROM generate_series(1, 0) AS i;
SELECT strata_state.collect_failures(array_fill(true, ARRAY[i]), ROW(i), '{i}', '{1}') FROM generate_series(1, 2) AS i;
SELECT strata_state.collect_failures(ARRAY[true, true], ROW(1), '{i}', '{1}');
SELECT strata_state.collect_failures(ARRAY[[true]], ROW(1), '{i}', '{1}');
SELECT strata_state.collect_failures(NULL, ROW(1), '{i}', '{1}');
SELECT strata_state.collect_failures(ARRAY[true], NULL, NULL, '{1}');

-- ---- in a transaction that only reads, and the bound of the history ----
BEGIN READ ONLY;
SELECT count(*) FROM strata.check_model('ck.seuils');
ROLLBACK;
DO $$ BEGIN FOR i IN 1..110 LOOP PERFORM strata.check_model('ck.longs'); END LOOP; END $$;
SELECT count(*) FROM strata.check_results WHERE model = 'ck.longs';

-- ---- gone with the model ----
DELETE FROM strata_state.model WHERE schema_name = 'ck';
SELECT count(*) AS definitions FROM strata_state.check_definition;
SELECT count(*) AS results FROM strata_state.check_result;
DO $$ BEGIN
    EXECUTE (SELECT 'DROP VIEW ' || string_agg(oid::regclass::text, ', ') FROM pg_class
              WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m[0-9]+_query$');
END $$;
DROP SCHEMA ck CASCADE;
DROP ROLE regress_checks_reader, regress_checks_owner;
