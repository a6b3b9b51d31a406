-- test_model: every layer on given rows and a given clock, and no trace of it
\pset format unaligned
\pset footer off
\pset tuples_only on
SET client_min_messages = warning;
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY';
CREATE ROLE tester; CREATE ROLE other_tester;
CREATE SCHEMA tm_src AUTHORIZATION tester; CREATE SCHEMA tm_stg AUTHORIZATION tester; CREATE SCHEMA tm AUTHORIZATION tester;
GRANT USAGE ON SCHEMA tm_src, tm TO other_tester;
-- an ordinary role, with no right to create schemas
SET ROLE tester;
CREATE TABLE tm_src.clients (client_id integer PRIMARY KEY, nom text NOT NULL, ville varchar(20) COLLATE "C", autre json);
CREATE TABLE tm_src.ventes (gone integer, id integer PRIMARY KEY, client_id integer NOT NULL, jour date, montant numeric, saisi text,
                            total numeric GENERATED ALWAYS AS (montant * 2) STORED);
ALTER TABLE tm_src.ventes DROP COLUMN gone;
INSERT INTO tm_src.clients VALUES (1, 'Réel', 'Man');
INSERT INTO tm_src.ventes VALUES (1, 1, '2026-01-01', 100, 'x');
SET search_path = tm_src;
SELECT strata.define_staging('tm_stg.ventes', 'SELECT id, client_id, jour, montant, total FROM ventes WHERE montant IS NOT NULL');
SELECT strata.define_staging('tm_stg.saisies', 'SELECT id, strata.try_cast(saisi, NULL::integer) AS n FROM ventes', materialized => 'table',
    reject_failed_casts => true, rules => '{"positif": "n > 0"}', key => '{id}');
RESET search_path;
SELECT strata.define_dimension('tm.dim_client', 'SELECT client_id, nom, ville FROM tm_src.clients', key => '{client_id}', history => '{ville}', deletes => 'close');
SELECT strata.define_date_dimension('tm.dim_date', '2026-01-01', '2026-12-31');
SELECT strata.define_fact('tm.ventes', 'SELECT id, client_id, jour, montant FROM tm_stg.ventes', grain => '{id}', partition_by => 'jour', dimensions => '{
    "client_key": {"dimension": "tm.dim_client", "on": ["client_id"], "as_of": "jour", "missing": "infer"},
    "jour_key": {"dimension": "dim_date", "on": {"jour": "date"}}}');
SELECT strata.define_mart('tm.par_ville', 'SELECT d.ville, sum(v.montant) AS total FROM tm.ventes v JOIN tm.dim_client d USING (client_key) GROUP BY d.ville', key => '{ville}');
SELECT strata.define_mart('tm.lignes', 'WITH clients AS (SELECT 1 AS un) SELECT v.*, (SELECT un FROM clients) AS un FROM tm_src.ventes v JOIN tm_src.clients c USING (client_id) GROUP BY v.id',
    foreign_keys => '{}');
SELECT count(*) FROM strata.refresh(as_of => '2026-01-02');
SELECT strata.define_check('tm.par_ville', 'expression', options => '{"expression": "total < 0"}', severity => 'warn');

-- everything that could keep a trace
CREATE FUNCTION tm.traces() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM strata.models),
                     (SELECT count(*) FROM strata.lineage), (SELECT count(*) FROM strata.runs), (SELECT sum(total) FROM tm.par_ville),
                     (SELECT string_agg(ctid::text, ',') FROM tm.dim_client), (SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock')) $$;
SELECT tm.traces() AS before \gset

-- a view, a table with rejected rows, a mart
SELECT * FROM strata.test_model('tm_stg.ventes', '{"tm_src.ventes": [{"id": 1, "montant": 3.0, "total": 6}, {"id": 2}]}', '[{"id": 1, "montant": 3.00, "total": 6}]');
SELECT * FROM strata.test_model('tm_stg.saisies', '{"ventes": [{"id": 1, "saisi": "12"}, {"id": 2, "saisi": "douze"}, {"id": 3, "saisi": "-1"}]}', '[{"id": 1, "n": 12}]');
SELECT * FROM strata.test_model('tm.par_ville', '{"tm.ventes": [{"client_key": 4, "montant": 5}, {"client_key": 4, "montant": 6}], "tm.dim_client": [{"client_key": 4, "ville": "Man"}]}',
    '[{"total": 11, "ville": "Man"}]');
-- GROUP BY of a primary key; a CTE with the name of a relation; generated and dropped columns
SELECT * FROM strata.test_model('tm.lignes', '{"tm_src.ventes": [{"id": 1, "client_id": 4, "total": 7}], "tm_src.clients": [{"client_id": 4}]}', '[{"id": 1, "total": 7, "un": 1}]');

-- a NULL key is the model's error, in its words
SELECT * FROM strata.test_model('tm.par_ville', '{"tm.ventes": [{"client_key": 4, "montant": 5}], "tm.dim_client": [{"client_key": 4, "ville": null}]}', '{"error": "tm.par_ville gives rows whose key (ville) is NULL"}');
-- what differs: rows are a multiset, NULL is not '', only the columns named are compared
SELECT * FROM strata.test_model('tm.par_ville', '{"tm.ventes": [{"client_key": 4, "montant": 5}], "tm.dim_client": [{"client_key": 4, "ville": "Man"}]}',
    '[{"total": 6, "ville": "Man"}, {"total": 5, "ville": ""}]');
SELECT * FROM strata.test_model('tm_stg.ventes', '{"tm_src.ventes": [{"id": 1, "montant": 3}, {"id": 1, "montant": 3}]}', '[{"montant": 3}]')
    UNION ALL SELECT * FROM strata.test_model('tm_stg.saisies', '{"tm_src.ventes": []}', '[]');

-- SCD 2, step by step: a change, nothing, a delete, a return; SCD 1 in every version
SELECT * FROM strata.test_model('tm.dim_client', '[
    {"as_of": "2026-01-01", "given": {"tm_src.clients": [{"client_id": 1, "nom": "A", "ville": "Abidjan"}, {"client_id": 2, "nom": "Z", "ville": "Man"}]}},
    {"as_of": "2026-02-01", "given": {"tm_src.clients": [{"client_id": 1, "nom": "B", "ville": "Man"}, {"client_id": 2, "nom": "Z", "ville": "Man"}]}},
    {"as_of": "2026-02-15"},
    {"as_of": "2026-03-01", "given": {"tm_src.clients": [{"client_id": 2, "nom": "Z", "ville": "Man"}]}},
    {"as_of": "2026-04-01", "given": {"tm_src.clients": [{"client_id": 1, "nom": "C", "ville": "Man"}, {"client_id": 2, "nom": "Z", "ville": "Man"}]}}]', '[
    {"client_id": 1, "nom": "C", "ville": "Abidjan", "valid_from": "2026-01-01", "valid_to": "2026-02-01"},
    {"client_id": 1, "nom": "C", "ville": "Man", "valid_from": "2026-02-01 00:00+00", "valid_to": "2026-03-01"},
    {"client_id": 1, "nom": "C", "ville": "Man", "valid_from": "2026-04-01", "valid_to": null},
    {"client_id": 2, "nom": "Z", "ville": "Man", "valid_from": "2026-01-01", "valid_to": null}]');
-- the guard against a shrunken extract, and its confirmation
SELECT * FROM strata.test_model('tm.dim_client', '[
    {"as_of": "2026-01-01", "given": {"tm_src.clients": [{"client_id": 1, "nom": "A", "ville": "Man"}]}},
    {"as_of": "2026-02-01", "given": {"tm_src.clients": []}}]', '{"error": "dim_client"}');
SELECT * FROM strata.test_model('tm.dim_client', '[
    {"as_of": "2026-01-01", "given": {"tm_src.clients": [{"client_id": 1, "nom": "A", "ville": "Man"}]}},
    {"as_of": "2026-02-01", "given": {"tm_src.clients": []}, "confirm_shrink": true}]', '[{"client_id": 1, "is_current": false}]');

-- a fact: the version of its date, the unknown day, an inferred member, partitions
SELECT * FROM strata.test_model('tm.ventes', '{
    "tm_stg.ventes": [{"id": 1, "client_id": 7, "jour": "2026-03-01", "montant": 5}, {"id": 2, "client_id": 7, "jour": "2026-01-31"}, {"id": 3, "client_id": 8, "jour": "2026-03-01"},
                      {"id": 4, "client_id": 7}],
    "tm.dim_client": [{"client_id": 7, "ville": "Man", "valid_to": "2026-02-01"}, {"client_id": 7, "ville": "Abidjan", "valid_from": "2026-02-01"}]}',
    '[{"id": 1, "client_key": 2, "jour_key": 20260301}, {"id": 2, "client_key": 1, "jour_key": 20260131}, {"id": 3, "client_key": 3, "jour_key": 20260301}, {"id": 4, "client_key": 0, "jour_key": 0}]',
    '2026-06-01');

-- errors that are expected, are not, or are others
SELECT * FROM strata.test_model('tm_stg.saisies', '{"tm_src.ventes": [{"id": null, "saisi": "12"}]}', '{"error": "tm_stg.saisies"}');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": [{"client_id": 1, "nom": "A"}, {"client_id": 1, "nom": "B"}]}', '[{"nom": "A"}]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": [{"client_id": 1, "nom": "A"}, {"client_id": 1, "nom": "B"}]}', '{"error": "overlap"}');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": [{"client_id": 1, "nom": "A"}]}', '{"error": "contradict"}');

-- errors of the test itself
SELECT * FROM strata.test_model('tm.dim_clients', '{}', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '{}', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.client": []}', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": [{"client": 1}]}', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": [1]}', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": {"client_id": 1}}', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": [{"client_id": "un"}]}', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '"rows"', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '[]', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '[{"at": "2026-01-01"}]', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '[{"as_of": "jamais", "given": {"tm_src.clients": []}}]', '[]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": []}', '[{"client_idd": 1}]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": []}', '[{"client_id": 1}, {"nom": "A"}]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": []}', '{"err": "x"}');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": []}', '1');
SELECT * FROM strata.test_model('tm.dim_client', '{"''); DROP TABLE tm_src.clients; --": []}', '[]');
SELECT * FROM strata.test_model('tm.dim_client', NULL, '[]');
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": []}', '[]', 'infinity');
SET ROLE other_tester;
SELECT * FROM strata.test_model('tm.dim_client', '{"tm_src.clients": []}', '[]');
SET ROLE tester;

-- no trace
SELECT tm.traces() = :'before' AS no_trace, (SELECT string_agg(nom, ' ') FROM tm_src.clients) AS source_untouched;
-- the model goes on as before
SELECT model, status FROM strata.refresh(as_of => '2026-01-03');
SELECT count(strata.drop_model(model)) FROM (SELECT m.model FROM strata.models AS m ORDER BY id DESC) AS last_first;
RESET ROLE;
DROP OWNED BY tester, other_tester CASCADE;
DROP ROLE tester, other_tester;
