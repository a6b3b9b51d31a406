-- dimension_change: definitions that change over history: what stays is every surrogate key
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA ch;
CREATE TABLE ch.client (id integer, nom text, secteur text, ville text, capital integer, maj timestamptz);
INSERT INTO ch.client SELECT i, 'n' || i, 's1', 'v1', i, '2025-01-01' FROM generate_series(1, 4) AS i;
CREATE FUNCTION ch.define(history text[], fixed text[] DEFAULT NULL, query text DEFAULT 'SELECT id, nom, secteur, ville, capital FROM ch.client', deletes text DEFAULT 'ignore', key text[] DEFAULT '{id}') RETURNS SETOF text LANGUAGE sql AS
$$ SELECT strata.define_dimension('ch.dim_run', query, key => key, history => history, fixed => fixed, deletes => deletes)
   UNION ALL SELECT strata.define_dimension('ch.dim_dated', regexp_replace(query, ' FROM', ', maj FROM'), key => key, history => history, fixed => fixed, deletes => deletes, effective_from => 'maj') $$;
-- what a refresh did to both, and whether any version that was there has another surrogate key now
CREATE TABLE ch.was (dim text, id text, valid_from timestamptz, key bigint);
CREATE FUNCTION ch.run(at timestamptz, rebuild boolean DEFAULT false) RETURNS TABLE (line text) LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM ch.was;
  INSERT INTO ch.was SELECT 'run', id::text, valid_from, run_key FROM ch.dim_run UNION ALL SELECT 'dated', id::text, valid_from, dated_key FROM ch.dim_dated;
  RETURN QUERY SELECT format('%s: %s inserted, %s updated, %s deleted', model, inserted, updated, deleted) FROM strata.refresh('ch.dim_run ch.dim_dated', as_of => at, full_rebuild => rebuild) ORDER BY model;
  RETURN QUERY SELECT format('%s of %s versions gone or under another key', count(*) FILTER (WHERE w.key <> d.key OR d.key IS NULL), count(*)) FROM ch.was w
    LEFT JOIN (SELECT 'run' AS dim, id::text, valid_from, run_key AS key FROM ch.dim_run UNION ALL SELECT 'dated', id::text, valid_from, dated_key FROM ch.dim_dated) AS d
      ON w.dim = d.dim AND w.id IS NOT DISTINCT FROM d.id AND w.valid_from = d.valid_from;
END $$;
SELECT ch.define('{secteur}');
SELECT ch.run('2025-01-02');
UPDATE ch.client SET secteur = 's2', ville = 'v2', maj = '2025-01-10' WHERE id = 1;
UPDATE ch.client SET nom = 'N2', maj = '2025-01-10' WHERE id = 2;
SELECT ch.run('2025-01-11');

-- ---- a full rebuild ----
SELECT ch.run('2025-01-12', true);
-- ---- a column added with history: backfilled in place, nothing is versioned anew ----
ALTER TABLE ch.client ADD pays text;
UPDATE ch.client SET pays = 'CI';
SELECT ch.define('{secteur, pays}', query => 'SELECT id, nom, secteur, ville, capital, pays FROM ch.client');
-- and another before the first is filled
SELECT ch.define('{secteur, pays, lettre}', query => 'SELECT id, nom, secteur, ville, capital, pays, left(nom, 1) AS lettre FROM ch.client');
SELECT ch.run('2025-01-13');
SELECT run_key, id, secteur, pays, lettre FROM ch.dim_run WHERE id < 3 ORDER BY 1;
SELECT dated_key, id, secteur, pays, lettre FROM ch.dim_dated WHERE id < 3 ORDER BY 1;
-- from now on it has history
UPDATE ch.client SET pays = 'GH', maj = '2025-01-14' WHERE id = 3;
SELECT ch.run('2025-01-15');
-- ---- a column dropped ----
SELECT ch.define('{secteur, pays}', query => 'SELECT id, nom, secteur, ville, capital, pays FROM ch.client');
SELECT ch.run('2025-01-16');
-- ---- overwritten to history: what differs from now on ----
SELECT ch.define('{secteur, pays, ville}', query => 'SELECT id, nom, secteur, ville, capital, pays FROM ch.client');
SELECT ch.run('2025-01-17');
UPDATE ch.client SET ville = 'v3', maj = '2025-01-18' WHERE id = 4;
SELECT ch.run('2025-01-19');
-- ---- history to overwritten: one value in all versions ----
SELECT ch.define('{pays, ville}', query => 'SELECT id, nom, secteur, ville, capital, pays FROM ch.client');
SELECT ch.run('2025-01-20');
SELECT DISTINCT 'run', id, secteur FROM ch.dim_run WHERE id IS NOT NULL UNION ALL SELECT DISTINCT 'dated', id, secteur FROM ch.dim_dated WHERE id IS NOT NULL ORDER BY 1, 2;
-- ---- history to fixed, fixed to history ----
SELECT ch.define('{pays}', '{ville}', query => 'SELECT id, nom, secteur, ville, capital, pays FROM ch.client');
SELECT ch.run('2025-01-21');
UPDATE ch.client SET ville = 'v9', maj = '2025-01-22' WHERE id = 2;
SELECT ch.run('2025-01-23');
SELECT ch.define('{pays, ville}', query => 'SELECT id, nom, secteur, ville, capital, pays FROM ch.client');
SELECT ch.run('2025-01-24');
-- ---- a type changed: values are converted, equal ones open nothing ----
SELECT ch.define('{pays, ville, capital}', query => 'SELECT id, nom, secteur, ville, capital, pays FROM ch.client');
SELECT ch.run('2025-01-25');
SELECT ch.define('{pays, ville, capital}', query => 'SELECT id, nom, secteur, ville, capital::numeric(12,2) AS capital, pays FROM ch.client');
SELECT ch.run('2025-01-26');
SELECT ch.define('{pays, ville, capital}', query => 'SELECT id, nom, secteur, ville, capital::text AS capital, pays FROM ch.client');
SELECT oracle.attempt($$ SELECT string_agg(line, '; ') FROM ch.run('2025-01-27') $$);
-- ---- the key's type changed: the key map and the constraint follow ----
SELECT ch.define('{pays, ville}', query => 'SELECT id::bigint AS id, nom, secteur, ville, pays FROM ch.client');
SELECT ch.run('2025-01-28');
SELECT ch.define('{pays, ville}', query => 'SELECT id::text AS id, nom, secteur, ville, pays FROM ch.client');
SELECT ch.run('2025-01-29');
SELECT ch.define('{pays, ville}', query => 'SELECT to_jsonb(id) AS id, nom, secteur, ville, pays FROM ch.client');
SELECT ch.run('2025-01-30');
UPDATE ch.client SET pays = 'BF', maj = '2025-01-30' WHERE id = 1;
SELECT ch.run('2025-01-31');
SELECT oracle.attempt($$ INSERT INTO ch.dim_run (run_key, id, valid_from, valid_to, is_current) VALUES (99, '1', '2025-01-01', '2025-01-03', false) RETURNING run_key $$);
SELECT oracle.attempt($$ INSERT INTO ch.dim_dated (dated_key, id, valid_from, is_current) VALUES (99, '1', '2026-01-01', true) RETURNING dated_key $$);
-- ---- deletes changed: marks go, what they closed stays closed, or goes on ----
SELECT ch.define('{pays, ville}', query => 'SELECT to_jsonb(id) AS id, nom, secteur, ville, pays FROM ch.client', deletes => 'mark');
DELETE FROM ch.client WHERE id = 4;
SELECT ch.run('2025-02-01');
SELECT ch.define('{pays, ville}', query => 'SELECT to_jsonb(id) AS id, nom, secteur, ville, pays FROM ch.client', deletes => 'close');
SELECT ch.run('2025-02-02');
SELECT id, valid_from::date, valid_to::date, is_current FROM ch.dim_run WHERE id = '4' ORDER BY 2;
SELECT ch.define('{pays, ville}', query => 'SELECT to_jsonb(id) AS id, nom, secteur, ville, pays FROM ch.client', deletes => 'mark');
DELETE FROM ch.client WHERE id = 3;
SELECT ch.run('2025-02-03');
SELECT ch.define('{pays, ville}', query => 'SELECT to_jsonb(id) AS id, nom, secteur, ville, pays FROM ch.client', deletes => 'ignore');
SELECT id, valid_from::date, valid_to::date, is_current FROM ch.dim_run WHERE id = '3' ORDER BY 2;
SELECT ch.run('2025-02-04');
-- ---- what cannot change ----
SELECT oracle.attempt($$ SELECT ch.define('{ville}', key => '{id, pays}', query => 'SELECT to_jsonb(id) AS id, nom, secteur, ville, pays FROM ch.client') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('ch.dim_run', 'SELECT to_jsonb(id) AS id, ville FROM ch.client', key => '{id}', surrogate_key => 'sk') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('ch.dim_dated', 'SELECT to_jsonb(id) AS id, nom, secteur, ville, pays, maj::date AS maj FROM ch.client', key => '{id}', effective_from => 'maj') $$);
-- ---- a sequence's type changed ----
CREATE TABLE ch.seq (id integer, v text, at date, n integer);
INSERT INTO ch.seq VALUES (1, 'a', '2025-01-01', 1), (1, 'b', '2025-01-01', 2);
SELECT strata.define_dimension('ch.dim_seq', 'SELECT * FROM ch.seq', key => '{id}', history => '{v}', effective_from => 'at', sequence => 'n');
SELECT inserted FROM strata.refresh('ch.dim_seq', as_of => '2025-01-02');
SELECT strata.define_dimension('ch.dim_seq', 'SELECT id, v, at, n::bigint * 10000000000 AS n FROM ch.seq WHERE n > 1', key => '{id}', history => '{v}', effective_from => 'at', sequence => 'n');
SELECT inserted, updated, deleted FROM strata.refresh('ch.dim_seq', as_of => '2025-01-03');
TABLE ch.dim_seq;
SET client_min_messages = error;
SELECT count(*) FROM (SELECT strata.drop_model(model) FROM strata.models WHERE model LIKE 'ch.%') AS d;
DROP SCHEMA oracle, ch CASCADE;
