-- privileges: after CREATE EXTENSION an ordinary role does everything on its own models, and nothing on those of others.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE regress_priv_anna LOGIN;      -- owns a warehouse
CREATE ROLE regress_priv_ben LOGIN;       -- owns another
CREATE ROLE regress_priv_reader LOGIN;    -- a BI user
CREATE ROLE regress_priv_member LOGIN;    -- works for anna
CREATE ROLE regress_priv_heir LOGIN;
GRANT regress_priv_anna TO regress_priv_member;
CREATE SCHEMA anna AUTHORIZATION regress_priv_anna;
CREATE SCHEMA ben AUTHORIZATION regress_priv_ben;
CREATE FUNCTION ran(model text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT status FROM strata.refresh(model, as_of => '2026-03-03'));
EXCEPTION WHEN insufficient_privilege THEN
    RETURN SQLERRM;
END $$;
-- made anew by the first dimension, as the extension's owner
SET strata.guard_enforce = off;
DROP EXTENSION IF EXISTS btree_gist CASCADE;
RESET strata.guard_enforce;

-- ---- everything, as an ordinary role ----
SET SESSION AUTHORIZATION regress_priv_anna;
SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user;
CREATE TABLE anna.clients (client_id integer, nom text, secteur text);
CREATE TABLE anna.factures (facture_id integer, client_id integer, jour date, montant text);
INSERT INTO anna.clients VALUES (1, 'Abidjan Métal', 'acier'), (2, 'Bouaké Bois', 'bois');
INSERT INTO anna.factures VALUES (1, 1, '2026-01-05', '100'), (2, 2, '2026-01-20', 'x'), (3, 1, '2026-02-01', '50');
SELECT strata.define_source('anna.clients', description => 'clients');
SELECT strata.define_staging('anna.stg_clients', 'SELECT * FROM anna.clients');
SELECT strata.define_staging('anna.stg_factures', 'SELECT facture_id, client_id, jour, strata.try_cast(montant, NULL::numeric) AS montant FROM anna.factures',
    materialized => 'table', key => '{facture_id}', reject_failed_casts => true);
SELECT strata.define_dimension('anna.dim_client', 'SELECT client_id, nom, secteur FROM anna.stg_clients', key => '{client_id}', history => '{secteur}');
SELECT strata.define_dimension('anna.dim_feed', 'SELECT client_id, nom, ''I'' AS op, client_id AS seq, timestamptz ''2026-01-01'' AS since FROM anna.clients',
    key => '{client_id}', effective_from => 'since', operation => 'op', sequence => 'seq');
SELECT strata.define_date_dimension('anna.dim_date', '2026-01-01', '2026-12-31');
SELECT strata.define_fact('anna.fact_facture', 'SELECT facture_id, client_id, jour, montant FROM anna.stg_factures', grain => '{facture_id}',
    dimensions => '{"client_key": {"dimension": "anna.dim_client", "on": ["client_id"]}, "date_key": {"dimension": "anna.dim_date", "on": {"jour": "date"}}}');
SELECT strata.define_fact('anna.fact_month', 'SELECT facture_id, client_id, jour FROM anna.stg_factures', grain => '{facture_id, jour}',
    partition_by => 'jour', dimensions => '{"client_key": {"dimension": "anna.dim_client", "on": ["client_id"], "missing": "infer"}}');
SELECT strata.define_mart('anna.revenue', 'SELECT d.secteur, sum(f.montant) AS montant, count(*) AS n FROM anna.fact_facture f JOIN anna.dim_client d USING (client_key) GROUP BY 1',
    key => '{secteur}', description => 'revenue by sector', columns => '{"n": "invoices"}');
SELECT strata.define_mart('anna.refers', 'SELECT secteur AS s, n FROM anna.revenue', foreign_keys => '{"s": "anna.revenue"}');
SELECT strata.define_check('anna.revenue', 'not_null', '{montant}');
SELECT strata.define_check('anna.fact_facture', 'expression', options => '{"expression": "montant > 0"}');
SELECT count(*) FROM strata.plan();
SELECT count(*) FROM strata.plan(data => true);
SELECT model, status, inserted, rejected, checks FROM strata.refresh(as_of => '2026-02-01');
UPDATE anna.clients SET secteur = 'fer' WHERE client_id = 1;
SELECT model, inserted, updated, deleted FROM strata.refresh(as_of => '2026-02-02') WHERE status = 'succeeded';
SELECT count(*) FROM strata.refresh(full_rebuild => true, as_of => '2026-02-02');
SELECT * FROM anna.revenue ORDER BY 1;
SELECT strata.define_mart('anna.revenue', 'SELECT d.secteur, sum(f.montant)::numeric(12,2) AS montant, count(*) AS n, max(jour) AS last FROM anna.fact_facture f JOIN anna.dim_client d USING (client_key) GROUP BY 1',
    key => '{secteur}', description => 'revenue by sector', columns => '{"n": "invoices"}');
SELECT model, status FROM strata.refresh('anna.revenue+', as_of => '2026-02-02');
SELECT count(*) > 5 AS exported FROM regexp_matches(strata.export_definitions(), 'strata.define_', 'g');
SELECT model, layer, owner = current_user AS mine, state FROM strata.models WHERE model LIKE 'anna.%' ORDER BY id;
SELECT count(*) AS runs, min(role) FROM strata.runs WHERE role = current_user;
SELECT count(*) > 0 AS steps FROM strata.steps;
SELECT source FROM strata.sources;
RESET SESSION AUTHORIZATION;
SELECT extowner = (SELECT extowner FROM pg_extension WHERE extname = 'pg_strata') AS as_the_extension FROM pg_extension WHERE extname = 'btree_gist';

-- ---- who owns what ----
SELECT regexp_replace(relname, '\d+', 'N') AS hidden, count(*), bool_and(relowner = 'regress_priv_anna'::regrole) AS hers
  FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_(query|keys|log)$' GROUP BY 1 ORDER BY 1;
SELECT count(*) AS readable_by_others FROM pg_class
 WHERE relnamespace = 'strata_state'::regnamespace AND relkind IN ('r', 'v', 'S', 'p') AND relacl IS NOT NULL AND relacl::text <> '{}'
   AND EXISTS (SELECT FROM aclexplode(relacl) a WHERE a.grantee <> relowner);
SELECT count(*) AS definer FROM pg_proc WHERE pronamespace IN ('strata'::regnamespace, 'strata_state'::regnamespace) AND prosecdef;

-- ---- a role without any grant ----
SET SESSION AUTHORIZATION regress_priv_ben;
SELECT (SELECT count(*) FROM strata.models) AS models, (SELECT count(*) FROM strata.sources) AS sources,
       (SELECT count(*) FROM strata.columns) AS columns, (SELECT count(*) FROM strata.lineage) AS lineage,
       (SELECT count(*) FROM strata.checks) AS checks, (SELECT count(*) FROM strata.check_results) AS results,
       (SELECT count(*) FROM strata.runs) AS runs, (SELECT count(*) FROM strata.steps) AS steps;
SELECT count(*) FROM strata.select_models();
SELECT count(*) FROM strata.plan();
SELECT count(*) FROM strata.refresh();
SELECT strata.export_definitions() ~ 'anna' AS exports_hers;
SELECT * FROM strata_state.model;
SELECT * FROM strata_state.source;
SELECT * FROM strata_state.run;
SELECT * FROM strata_state.check_result;
SELECT * FROM strata_state.visible_relation;
DO $$
DECLARE
    relation regclass;
    allowed text := '';
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relkind IN ('r', 'v', 'p', 'S')
    LOOP
        IF has_table_privilege(relation, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') THEN
            allowed := allowed || relation::text || ' ';
        END IF;
    END LOOP;
    RAISE WARNING 'allowed: "%"', allowed;
END $$;
SELECT strata.refresh('anna.revenue');
SELECT count(*) FROM strata.plan('anna.revenue', data => true);
SELECT strata.define_mart('anna.revenue', 'SELECT 1 AS secteur', key => '{secteur}');
SELECT strata.define_mart('anna.other', 'SELECT 1 AS secteur');
SELECT strata.define_mart('ben.of_hers', 'SELECT * FROM anna.revenue');
SELECT strata.define_fact('ben.fact', 'SELECT 1 AS id', grain => '{id}', dimensions => '{"k": {"dimension": "anna.dim_client", "on": {"id": "client_id"}}}');
SELECT strata.define_mart('ben.refers', 'SELECT ''x''::text AS s', foreign_keys => '{"s": "anna.revenue"}');
SELECT strata.define_check('anna.revenue', 'not_null', '{montant}', name => 'his');
SELECT strata.check_model('anna.revenue');
SELECT strata.explain_checks('anna.revenue');
SELECT strata.drop_check('anna.revenue', 'not_null_montant');
SELECT strata.drop_model('anna.revenue');
SELECT strata.drop_source('anna.clients');
SELECT strata.define_source('anna.clients');
RESET SESSION AUTHORIZATION;

-- ---- a role that may read one mart and the dimension ----
SET SESSION AUTHORIZATION regress_priv_anna;
GRANT USAGE ON SCHEMA anna TO regress_priv_reader, regress_priv_ben;
GRANT SELECT ON anna.revenue TO regress_priv_reader;
GRANT SELECT (client_id, client_key) ON anna.dim_client TO regress_priv_reader;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_priv_ben;
SELECT strata.define_fact('ben.fact', 'SELECT 1 AS id', grain => '{id}', dimensions => '{"k": {"dimension": "anna.dim_client", "on": {"id": "client_id"}}}');
RESET SESSION AUTHORIZATION;
GRANT SELECT ON anna.dim_client TO regress_priv_ben;
SET SESSION AUTHORIZATION regress_priv_reader;
SELECT model, owner FROM strata.models ORDER BY 1;
SELECT DISTINCT model FROM strata.columns ORDER BY 1;
SELECT DISTINCT model FROM strata.lineage ORDER BY 1;
SELECT model, name FROM strata.checks ORDER BY 1;
SELECT DISTINCT model FROM strata.steps ORDER BY 1;
SELECT count(*) FROM strata.runs;
SELECT model FROM strata.select_models() ORDER BY 1;
SELECT count(*) FROM anna.revenue;
SELECT strata.refresh('anna.revenue');
SELECT strata.define_mart('anna.revenue', 'SELECT 1 AS secteur');
SELECT strata.drop_model('anna.revenue');
RESET SESSION AUTHORIZATION;
-- a fact of one role on the dimension of another: read, not written
SET SESSION AUTHORIZATION regress_priv_ben;
SELECT strata.define_fact('ben.fact', 'SELECT i AS id FROM generate_series(1, 3) AS i', grain => '{id}', dimensions => '{"k": {"dimension": "anna.dim_client", "on": {"id": "client_id"}, "missing": "infer"}}');
SELECT strata.define_fact('ben.fact', 'SELECT i AS id FROM generate_series(1, 3) AS i', grain => '{id}', dimensions => '{"k": {"dimension": "anna.dim_client", "on": {"id": "client_id"}}}');
SELECT model, inserted FROM strata.refresh('ben.fact');
SELECT strata.drop_model('ben.fact');
RESET SESSION AUTHORIZATION;

-- ---- a member of the owner, and a superuser, work as the owner ----
SET SESSION AUTHORIZATION regress_priv_member;
UPDATE anna.clients SET nom = 'Abidjan Acier' WHERE client_id = 1;
SELECT model, status FROM strata.refresh('anna.dim_client anna.dim_feed', as_of => '2026-02-03') ORDER BY 1;
SELECT strata.define_staging('anna.stg_clients', 'SELECT client_id, nom, secteur FROM anna.clients', description => 'by a member');
SELECT strata.define_staging('anna.stg_clients', 'SELECT client_id, nom, secteur, 1 AS added FROM anna.clients');
SELECT strata.define_dimension('anna.dim_client', 'SELECT client_id, nom, secteur, added FROM anna.stg_clients', key => '{client_id}', history => '{secteur}');
SELECT strata.define_check('anna.dim_client', 'not_null', '{nom}');
SELECT strata.drop_check('anna.dim_client', 'not_null_nom');
RESET SESSION AUTHORIZATION;
SELECT strata.define_mart('anna.revenue', 'SELECT d.secteur, sum(f.montant)::numeric(14,2) AS montant FROM anna.fact_facture f JOIN anna.dim_client d USING (client_key) GROUP BY 1', key => '{secteur}');
SELECT count(*) FROM strata.refresh('schema:anna', as_of => '2026-02-03');
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'anna'::regnamespace AND relkind IN ('r', 'v', 'p') AND relowner <> 'regress_priv_anna'::regrole;
SELECT count(*) FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_' AND relowner <> 'regress_priv_anna'::regrole;

-- ---- given away ----
ALTER TABLE anna.dim_feed OWNER TO regress_priv_ben;
ALTER TABLE anna.stg_factures OWNER TO regress_priv_ben;
ALTER VIEW anna.stg_clients OWNER TO regress_priv_ben;
ALTER TABLE anna.fact_month OWNER TO regress_priv_ben;
SELECT model, owner FROM strata.models WHERE owner = 'regress_priv_ben' ORDER BY 1;
SELECT regexp_replace(relname, '^m\d+_', 'mN_') AS given, count(*) FROM pg_class
 WHERE relowner = 'regress_priv_ben'::regrole AND relkind IN ('r', 'v', 'p') GROUP BY 1 ORDER BY 1;
SET SESSION AUTHORIZATION regress_priv_anna;
SELECT strata.refresh('anna.dim_feed');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_priv_ben;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_priv_anna;
UPDATE anna.clients SET nom = 'Abidjan Fer' WHERE client_id = 1;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_priv_ben;
\set VERBOSITY default
SELECT model, status FROM strata.refresh('anna.dim_feed');
\set VERBOSITY terse
RESET SESSION AUTHORIZATION;
GRANT SELECT ON anna.clients, anna.factures TO regress_priv_ben;
GRANT CREATE ON SCHEMA anna TO regress_priv_ben;
SET SESSION AUTHORIZATION regress_priv_ben;
SELECT model, status FROM strata.refresh('anna.dim_feed anna.stg_clients anna.stg_factures') ORDER BY 1;
RESET SESSION AUTHORIZATION;
-- all at once, hidden relations too
REASSIGN OWNED BY regress_priv_anna, regress_priv_ben TO regress_priv_heir;
SELECT count(DISTINCT relowner) AS owners, min(relowner::regrole::text) FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_';
SET SESSION AUTHORIZATION regress_priv_heir;
INSERT INTO anna.factures VALUES (4, 2, '2026-03-02', '75');
SELECT model, inserted, updated FROM strata.refresh(as_of => '2026-03-03') WHERE status = 'succeeded' ORDER BY 1;
SELECT * FROM anna.revenue ORDER BY 1;
SELECT strata.define_mart('anna.revenue', 'SELECT count(*) AS n FROM anna.fact_facture');
RESET SESSION AUTHORIZATION;

-- ---- without the right to create, to use a schema, or the roots of the extension ----
SET SESSION AUTHORIZATION regress_priv_reader;
\set VERBOSITY default
SELECT strata.define_mart('anna.mine', 'SELECT 1 AS a');
SELECT strata.define_mart('ben.mine', 'SELECT 1 AS a');
\set VERBOSITY terse
RESET SESSION AUTHORIZATION;
REVOKE USAGE ON SCHEMA strata_state FROM PUBLIC;
SET SESSION AUTHORIZATION regress_priv_heir;
UPDATE anna.clients SET nom = nom || '.';
SELECT ran('anna.dim_client');
SELECT strata.define_mart('anna.late', 'SELECT 1 AS a');
SELECT count(*) > 0 AS seen FROM strata.models;
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA strata_state TO PUBLIC;
-- rights lost since: the schema of the target
REVOKE ALL ON SCHEMA anna FROM regress_priv_anna, regress_priv_heir;
ALTER SCHEMA anna OWNER TO CURRENT_USER;
SET SESSION AUTHORIZATION regress_priv_heir;
SELECT ran('anna.dim_client');
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA anna TO regress_priv_heir;
SET SESSION AUTHORIZATION regress_priv_heir;
SELECT model, status FROM strata.refresh('anna.dim_client', as_of => '2026-03-03');
-- ... and her own target
REVOKE INSERT, UPDATE, DELETE ON anna.dim_client FROM regress_priv_heir;
UPDATE anna.clients SET nom = 'Bouaké Meubles' WHERE client_id = 2;
SELECT strata.refresh('anna.dim_client', as_of => '2026-03-04');
GRANT INSERT, UPDATE, DELETE ON anna.dim_client TO regress_priv_heir;
SELECT model, updated FROM strata.refresh('anna.dim_client', as_of => '2026-03-04');
-- dropped by its owner
SELECT strata.drop_model('anna.refers');
DO $$
DECLARE
    m text;
BEGIN
    LOOP
        SELECT model INTO m FROM strata.models ORDER BY id DESC LIMIT 1;
        EXIT WHEN m IS NULL;
        PERFORM strata.drop_model(m, "cascade" => true);
    END LOOP;
END $$;
SELECT strata.drop_source('anna.clients');
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_';
SELECT relname FROM pg_class WHERE relnamespace = 'anna'::regnamespace AND relkind IN ('r', 'v', 'p') ORDER BY 1;
DROP FUNCTION ran(text);
DROP SCHEMA anna, ben CASCADE;
DROP ROLE regress_priv_anna, regress_priv_ben, regress_priv_reader, regress_priv_member, regress_priv_heir;
