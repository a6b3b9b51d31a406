-- checks of kind geometry, with PostGIS in a schema of its own
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA ck_gis;
CREATE EXTENSION postgis SCHEMA ck_gis;
CREATE SCHEMA ck;
CREATE TABLE ck.zones (id integer, contour ck_gis.geometry, lieu ck_gis.geography, nom text);
INSERT INTO ck.zones VALUES
    (1, 'SRID=4326;POLYGON((0 0, 1 0, 1 1, 0 1, 0 0))', 'SRID=4326;POINT(1 2)', 'good'),
    (2, 'SRID=4326;POLYGON((0 0, 1 1, 1 0, 0 1, 0 0))', NULL, 'crosses itself'),
    (3, 'SRID=3857;POINT(0 0)', NULL, 'other system'),
    (4, NULL, NULL, 'none');
INSERT INTO strata_state.model (schema_name, relation_name, layer, kind, query, hash, search_path, time_zone, date_style, interval_style,
                                defined_by, defined_at)
VALUES ('ck', 'zones', 'mart', 'table', 'SELECT', '', 'pg_catalog', 'UTC', 'ISO, DMY', 'postgres', current_user, now());
DO $$ BEGIN EXECUTE format('CREATE VIEW strata_state.m%s_query AS SELECT', (SELECT max(id) FROM strata_state.model)); END $$;
SELECT strata.define_check('ck.zones', 'geometry', '{contour}'),
       strata.define_check('ck.zones', 'geometry', '{contour}', '{"srid": 4326}', name => 'both'),
       strata.define_check('ck.zones', 'geometry', '{contour}', '{"srid": 4326, "valid": false}', name => 'srid'),
       strata.define_check('ck.zones', 'geometry', '{lieu}', '{"srid": 4326}'),
       strata.define_check('ck.zones', 'not_null', '{lieu}');
-- PostGIS's NOTICE for each invalid geometry is not passed on
SET client_min_messages = notice;
SELECT name, status, failures, rows, jsonb_path_query_array(sample, '$[*].nom') AS failing FROM strata.check_model('ck.zones');
SELECT sample -> 0 -> 'contour' AS contour FROM strata.check_model('ck.zones') WHERE name = 'srid';
SET client_min_messages = warning;
SELECT strata.define_check('ck.zones', 'geometry', '{nom}');
SELECT strata.define_check('ck.zones', 'geometry', '{contour}', '{"srid": -1}');
SELECT strata.define_check('ck.zones', 'geometry', '{contour}', '{"srid": "4326"}');
-- gone again: its checks say so, the others go on
SET strata.guard_enforce = off;
DROP EXTENSION postgis CASCADE;
RESET strata.guard_enforce;
SELECT name, status, failures, message FROM strata.check_model('ck.zones');
DELETE FROM strata_state.model WHERE schema_name = 'ck';
DO $$ BEGIN
    EXECUTE (SELECT 'DROP VIEW ' || string_agg(oid::regclass::text, ', ') FROM pg_class
              WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m[0-9]+_query$');
END $$;
DROP SCHEMA ck, ck_gis CASCADE;
