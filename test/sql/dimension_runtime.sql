-- dimension_runtime: versions dated by the run time; one heading a rule
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA rt;
CREATE TABLE rt.client (id integer, region text, nom text, secteur text, capital numeric, depuis timestamptz, code text);
INSERT INTO rt.client VALUES (1, 'A', 'Kouassi', 'bois', 1.0, '2020-01-01 00:00+00', 'K'), (1, 'B', 'Yao', '', NULL, NULL, 'Y'), (2, 'A', 'Bamba', 'cacao', 5, NULL, 'B');
SELECT strata.define_dimension('rt.dim_client', 'SELECT * FROM rt.client', key => '{id, region}', history => '{secteur, capital, depuis}', fixed => '{code}');
CREATE VIEW rt.seen AS SELECT client_key AS key, id, region, nom, secteur, capital, depuis, code, valid_from::date AS "from", valid_to::date AS "to", is_current FROM rt.dim_client ORDER BY client_key;
CREATE FUNCTION rt.run(at timestamptz, confirm boolean DEFAULT false) RETURNS text LANGUAGE sql AS
$$ SELECT format('%s: %s inserted, %s updated, %s deleted', status, inserted, updated, deleted) FROM strata.refresh('rt.dim_client', as_of => at, confirm_shrink => confirm) $$;

-- ---- rule: half-open intervals, NULL valid_to is current; composite keys ----
SELECT rt.run('2025-01-01');
UPDATE rt.client SET secteur = 'hévéa' WHERE id = 2;
SELECT rt.run('2025-01-02');
SELECT * FROM rt.seen;

-- ---- rule: an identical re-run changes nothing, not even a row's address ----
SELECT oracle.note('rt.dim_client');
UPDATE rt.client SET nom = nom;
SELECT rt.run('2025-01-03');
SELECT oracle.moved('rt.dim_client');

-- ---- rule: change is IS DISTINCT FROM, typed: 1.0 = 1.00, instants not text ----
UPDATE rt.client SET capital = 1.00, depuis = '2020-01-01 01:00+01' WHERE id = 1 AND region = 'A';
SELECT rt.run('2025-01-04');
SELECT oracle.moved('rt.dim_client');

-- ---- rule: NULL is not '' ----
UPDATE rt.client SET secteur = NULL WHERE id = 1 AND region = 'B';
SELECT rt.run('2025-01-05');
SELECT secteur IS NULL, secteur = '' FROM rt.dim_client WHERE id = 1 AND region = 'B' ORDER BY valid_from;

-- ---- rule: overwritten columns are so in every version, and open none ----
UPDATE rt.client SET nom = upper(nom) WHERE id = 2;
SELECT rt.run('2025-01-06');
SELECT * FROM rt.seen WHERE id = 2;

-- ---- rule: fixed columns keep the first value ----
UPDATE rt.client SET code = 'changed', secteur = 'coton' WHERE id = 2;
SELECT rt.run('2025-01-07');
SELECT code, secteur FROM rt.seen WHERE id = 2;

-- ---- rule: exact duplicates collapse, conflicting ones fail the batch and change nothing ----
SELECT oracle.note('rt.dim_client');
INSERT INTO rt.client SELECT * FROM rt.client;
SELECT rt.run('2025-01-08');
UPDATE rt.client SET secteur = 'or' WHERE ctid = (SELECT max(ctid) FROM rt.client WHERE id = 2);
SELECT oracle.attempt($$ SELECT rt.run('2025-01-09') $$);
SELECT oracle.moved('rt.dim_client');
DELETE FROM rt.client c USING rt.client d WHERE (c.id, c.region) = (d.id, d.region) AND c.ctid > d.ctid;
DELETE FROM rt.client WHERE secteur = 'or';

-- ---- rule: NULL in a natural key is refused, with the rows ----
INSERT INTO rt.client (id, nom) VALUES (7, 'no region');
SELECT oracle.attempt($$ SELECT rt.run('2025-01-10') $$);
DELETE FROM rt.client WHERE id = 7;
SELECT oracle.moved('rt.dim_client');

-- ---- rule: run times go forward; an infinite one is none; the same run time twice changes in place ----
UPDATE rt.client SET secteur = 'riz' WHERE id = 2;
SELECT oracle.attempt($$ SELECT rt.run('2025-01-04') $$);
SELECT oracle.attempt($$ SELECT rt.run('infinity') $$);
SELECT rt.run('2025-01-11');
UPDATE rt.client SET secteur = 'mil' WHERE id = 2;
SELECT rt.run('2025-01-11');
SELECT * FROM rt.seen WHERE id = 2;

-- ---- rule: no overlap and no second current row can exist, by constraint ----
SELECT oracle.attempt($$ INSERT INTO rt.dim_client VALUES (100, 2, 'A', 'x', 'x', 1, NULL, 'x', '2024-06-01', '2025-01-01 00:00:01', false) RETURNING client_key $$);
SELECT oracle.attempt($$ INSERT INTO rt.dim_client VALUES (100, 2, 'A', 'x', 'x', 1, NULL, 'x', '2026-06-01', NULL, true) RETURNING client_key $$);
SELECT oracle.attempt($$ INSERT INTO rt.dim_client VALUES (100, 2, 'A', 'x', 'x', 1, NULL, 'x', '2024-06-01', '2024-07-01', true) RETURNING client_key $$);
SELECT oracle.attempt($$ INSERT INTO rt.dim_client VALUES (100, 2, 'A', 'x', 'x', 1, NULL, 'x', '2024-06-01', '2024-06-01', false) RETURNING client_key $$);
SELECT oracle.attempt($$ INSERT INTO rt.dim_client VALUES (1, 3, 'A', 'x', 'x', 1, NULL, 'x', '2024-06-01', NULL, true) $$);
BEGIN;
INSERT INTO rt.dim_client VALUES (100, 2, 'A', 'x', 'x', 1, NULL, 'x', '2024-06-01', '2025-01-01', false);
ROLLBACK;

-- ---- rule: deletes ignore: a key that is missing stays as it is ----
DELETE FROM rt.client WHERE id = 2;
SELECT rt.run('2025-01-12');

-- ---- rule: deletes close, a return opens a version and keeps the gap; keys are kept ----
SELECT strata.define_dimension('rt.dim_client', 'SELECT * FROM rt.client', key => '{id, region}', history => '{secteur, capital, depuis}', fixed => '{code}', deletes => 'close');
SELECT rt.run('2025-01-13');
INSERT INTO rt.client VALUES (2, 'A', 'Bamba is back', 'mil', 6, NULL, 'Z');
SELECT rt.run('2025-01-14');
SELECT * FROM rt.seen WHERE id = 2;

-- ---- rule: deletes mark: a version says so, a return opens another ----
SELECT strata.define_dimension('rt.dim_client', 'SELECT * FROM rt.client', key => '{id, region}', history => '{secteur, capital, depuis}', fixed => '{code}', deletes => 'mark');
DELETE FROM rt.client WHERE id = 2;
SELECT rt.run('2025-01-15');
SELECT rt.run('2025-01-16');
INSERT INTO rt.client VALUES (2, 'A', 'Bamba again', 'mil', 6, NULL, 'Z');
SELECT rt.run('2025-01-17');
SELECT client_key, nom, secteur, valid_from::date, valid_to::date, is_current, is_deleted FROM rt.dim_client WHERE id = 2 ORDER BY valid_from DESC LIMIT 3;
-- gone and back within one run time
DELETE FROM rt.client WHERE id = 2;
SELECT rt.run('2025-01-18');
INSERT INTO rt.client VALUES (2, 'A', 'Bamba again', 'mil', 6, NULL, 'Z');
SELECT rt.run('2025-01-18');
SELECT valid_from::date, valid_to::date, is_deleted FROM rt.dim_client WHERE id = 2 ORDER BY valid_from DESC LIMIT 2;

-- ---- rule: an empty or shrunken extract is refused unless confirmed ----
SELECT oracle.note('rt.dim_client');
TRUNCATE rt.client;
SELECT oracle.attempt($$ SELECT rt.run('2025-01-19') $$);
SELECT oracle.moved('rt.dim_client');
INSERT INTO rt.client SELECT id, region, nom, secteur, capital, depuis, code FROM rt.dim_client WHERE is_current AND client_key <> 0 AND id = 1 AND region = 'A';
SELECT oracle.attempt($$ SELECT rt.run('2025-01-19') $$);
SELECT rt.run('2025-01-19', confirm => true);

-- ---- types: without equality, with a collation of its own, domains, enums, arrays, ranges, composites ----
CREATE COLLATION rt.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE rt.etat AS ENUM ('ouvert', 'clos');
CREATE DOMAIN rt.nom_court AS text CHECK (length(value) < 10);
CREATE TYPE rt.adresse AS (rue text, numero integer);
CREATE TABLE rt.types (id integer, j json, x xml, p point, t text COLLATE rt.ci, e rt.etat, d rt.nom_court, a numeric[], ad rt.adresse, r int4range, f double precision, b bytea, jb jsonb, i interval);
INSERT INTO rt.types VALUES (1, '{"a": 1}', '<a/>', '(1,2)', 'abc', 'ouvert', 'x', '{1.0}', ROW('r', 1), '[1,3)', 'NaN', '\x00', '{"a": 1.0}', '1 day');
SELECT strata.define_dimension('rt.dim_types', 'SELECT * FROM rt.types', key => '{id}', history => '{j, x, p, t, e, d, a, ad, r, f, b, jb, i}');
SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-01-01');
-- equal by value: none opens a version
UPDATE rt.types SET a = '{1.00}', jb = '{"a": 1.00}', i = '24 hours', r = '[1,2]';
SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-01-02');
-- different: each does
UPDATE rt.types SET j = '{"a":1}'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-01');
UPDATE rt.types SET x = '<b/>'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-02');
UPDATE rt.types SET p = '(1,3)'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-03');
UPDATE rt.types SET t = 'ABC'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-04');
UPDATE rt.types SET e = 'clos'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-05');
UPDATE rt.types SET d = 'y'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-06');
UPDATE rt.types SET a = '{1, NULL}'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-07');
UPDATE rt.types SET ad = ROW('r', NULL); SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-08');
UPDATE rt.types SET r = 'empty'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-09');
UPDATE rt.types SET f = '-infinity'; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-10');
UPDATE rt.types SET b = ''; SELECT inserted, updated FROM strata.refresh('rt.dim_types', as_of => '2025-02-11');
SELECT count(*), count(DISTINCT valid_from) FROM rt.dim_types WHERE types_key <> 0;

-- ---- types as keys ----
CREATE FUNCTION rt.try_key(type text, one text, two text, same text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record; said text;
BEGIN
  EXECUTE format('CREATE TABLE rt.k (k %s, v text)', type);
  EXECUTE format('INSERT INTO rt.k VALUES (%L, ''a''), (%L, ''b'')', one, two);
  PERFORM strata.define_dimension('rt.dim_k', 'SELECT k, v FROM rt.k', key => '{k}', history => '{v}');
  PERFORM strata.refresh('rt.dim_k', as_of => '2025-01-01');
  EXECUTE format('UPDATE rt.k SET v = ''c'', k = %L WHERE v = ''a''', coalesce(same, one));
  SELECT * INTO r FROM strata.refresh('rt.dim_k', as_of => '2025-01-02');
  said := format('%s: %s in, %s inserted, %s updated', type, r.rows_in, r.inserted, r.updated);
  BEGIN
    EXECUTE format('INSERT INTO rt.dim_k VALUES (99, %L, ''x'', ''2025-01-01 12:00'', ''2025-01-01 13:00'', false)', coalesce(same, one));
    said := said || ', AN OVERLAP';
  EXCEPTION WHEN exclusion_violation THEN said := said || ', no overlap';
  END;
  PERFORM strata.drop_model('rt.dim_k');
  DROP TABLE rt.k;
  RETURN said;
END $$;
SELECT rt.try_key('text', 'a', 'b');
SELECT rt.try_key('varchar(5)', 'a', 'b');
SELECT rt.try_key('char(5)', 'a', 'b', 'a ');
SELECT rt.try_key('numeric', '1.0', '2', '1.00');
SELECT rt.try_key('uuid', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002');
SELECT rt.try_key('text COLLATE rt.ci', 'a', 'b', 'A');
SELECT rt.try_key('rt.etat', 'ouvert', 'clos');
SELECT rt.try_key('rt.nom_court', 'a', 'b');
SELECT rt.try_key('jsonb', '{"a": 1.0}', '{"a": 2}', '{"a": 1.00}');
SELECT rt.try_key('numeric[]', '{1.0}', '{2}', '{1.00}');
SELECT rt.try_key('rt.adresse', '(r,1)', '(r,2)');
SELECT rt.try_key('int4range', '[1,3)', '[3,5)', '[1,2]');
SELECT rt.try_key('tsvector', 'a b', 'c', 'b a');
SELECT rt.try_key('date', '-infinity', '0044-03-15 BC');
SELECT rt.try_key('timestamptz', '2025-01-01 00:00+00', 'infinity', '2025-01-01 01:00+01');
SELECT rt.try_key('bytea', '\x00', '');
SELECT rt.try_key('boolean', 'true', 'false');
SELECT rt.try_key('inet', '10.0.0.1', '10.0.0.0/8');
SELECT rt.try_key('bit(3)', '101', '111');
SELECT rt.try_key('double precision', '0', 'NaN', '-0');
SELECT rt.try_key('"char"', 'a', 'b');
CREATE EXTENSION citext;
SELECT rt.try_key('citext', 'a', 'b', 'A');
SELECT oracle.attempt($$ SELECT rt.try_key('json', '1', '2') $$);
SELECT oracle.attempt($$ SELECT rt.try_key('point', '(1,1)', '(2,2)') $$);

-- ---- names: what the generated statements call things, quotes, reserved words ----
SELECT oracle.attempt($$ SELECT strata.define_dimension('rt.dim_bad', 'SELECT 1 AS id, now() AS valid_from', key => '{id}') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('rt.dim_bad', 'SELECT 1 AS id, 2 AS bad_key', key => '{id}') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('rt.dim_bad', 'SELECT 1 AS id, 2 AS strata_from', key => '{id}') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('rt.dim_bad', 'SELECT 1 AS id', key => '{id}', surrogate_key => 'strata_x') $$);
CREATE TABLE rt.names (q integer, "select" text, c text, "É""t.é" text, "D" text, surrogate integer, inferred text);
INSERT INTO rt.names VALUES (1, 'a', 'a', 'a', 'a', 1, 'a');
SELECT strata.define_dimension('rt."Dim ""x"".y"', 'SELECT * FROM rt.names', key => '{q, surrogate, inferred}', history => '{select, "É\"t.é"}', fixed => '{c}', deletes => 'mark', surrogate_key => 'k"');
SELECT status, inserted FROM strata.refresh('schema:rt', exclude => 'rt.dim_client rt.dim_types', as_of => '2025-01-01');
UPDATE rt.names SET "select" = 'b', c = 'b', "D" = 'b';
SELECT inserted, updated FROM strata.refresh('schema:rt', exclude => 'rt.dim_client rt.dim_types', as_of => '2025-01-02');
INSERT INTO rt.names VALUES (NULL, 'a', 'a', 'a', 'a', 1, 'a');
SELECT oracle.attempt($$ SELECT strata.refresh('schema:rt', exclude => 'rt.dim_client rt.dim_types', as_of => '2025-01-03') $$);
TABLE rt."Dim ""x"".y" ORDER BY "k""";

-- ---- the unknown member: key 0, with values of any type; a key of its own is no real member's ----
CREATE TABLE rt.inconnu (id integer, nom text, n numeric(6,2), tags text[], j jsonb, ad rt.adresse, e rt.etat, le date, vu timestamptz, ok boolean);
SELECT strata.define_dimension('rt.dim_inconnu', 'SELECT * FROM rt.inconnu', key => '{id}', unknown => '{"id": -1, "nom": "l''inconnu", "n": 1.5, "tags": ["a", "b"], "j": {"x": [1, null]}, "ad": {"rue": "r", "numero": 2}, "e": "clos", "le": "infinity", "vu": "2025-01-01T00:00:00Z", "ok": false}');
TABLE rt.dim_inconnu;
INSERT INTO rt.inconnu (id) VALUES (-1);
SELECT oracle.attempt($$ SELECT strata.refresh('rt.dim_inconnu') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('rt.dim_u2', 'SELECT * FROM rt.inconnu', key => '{id}', unknown => '{"nomm": 1}') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('rt.dim_u2', 'SELECT * FROM rt.inconnu', key => '{id}', unknown => '{"n": "abc"}') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('rt.dim_u2', 'SELECT * FROM rt.inconnu', key => '{id}', unknown => '{"valid_from": "2020-01-01"}') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('rt.dim_u2', 'SELECT * FROM rt.inconnu', key => '{id}', unknown => '[1]') $$);
SET client_min_messages = error;
DROP VIEW rt.seen;
SELECT count(*) FROM (SELECT strata.drop_model(model) FROM strata.models WHERE model LIKE 'rt.%') AS d;
DROP EXTENSION citext;
DROP SCHEMA oracle, rt CASCADE;
