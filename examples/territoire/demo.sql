-- The territoire example from end to end, in a database of its own.
--
--   createdb territoire
--   psql -X -d territoire -f examples/territoire/demo.sql                        # from the repository root
--   psql -X -d territoire -v donnees=/path/to/data -f .../territoire/demo.sql    # from anywhere
--
-- Stops at the first error; ends by verifying everything against the files.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?donnees}
\else
\set donnees examples/territoire/data
\endif
\pset pager off
\pset footer off
\pset null '-'
\pset linestyle unicode
\pset border 1
SET TimeZone = 'Europe/Paris';
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS pg_strata;

\echo
\echo '=== Territoire: French communes, EPCI, départements, régions and their populations, vintage by vintage'
\echo '    INSEE (Code officiel géographique, legal populations), DGCL, IGN. Licence Ouverte / Open Licence 2.0.'
\echo
\echo '--- 1. Sources: the vintages 2019, 2021, 2023 and 2024 as they were published (2022 will come late, 2025 and 2026 later)'
\ir 00_sources.sql
\ir charger_contours.sql
\set millesime 2019
\ir charger_millesime.sql
\set millesime 2021
\ir charger_millesime.sql
\set millesime 2023
\ir charger_millesime.sql
\set millesime 2024
\ir charger_millesime.sql
SELECT m.annee AS vintage, m.annee_population AS "population of", count(*) AS rows,
       count(*) FILTER (WHERE c.type = 'commune-actuelle') AS communes
  FROM cog.millesime m JOIN cog.commune c ON c.millesime = m.annee
 GROUP BY 1, 2 ORDER BY 1;

\echo '--- 2. Definitions: the whole warehouse is one file of SQL (10_models.sql); nothing is computed yet'
\o /dev/null
\ir 10_models.sql
\o
SELECT layer, count(*) AS models, string_agg(split_part(model, '.', 2), ', ' ORDER BY model) AS names FROM strata.models GROUP BY layer
 ORDER BY array_position('{staging,dimension,fact,mart}', layer);

\echo '--- 3. The plan: what a refresh would do, and why'
SELECT step, model, layer, action, reason FROM strata.plan();

\echo '--- 4. First refresh, dated 1 January 2024: everything is built, checked, and only then published'
SELECT model, rows_in, inserted, updated, deleted, rejected, checks, round(duration_ms::numeric) AS ms
  FROM strata.refresh(as_of => '2024-01-01') WHERE action <> 'nothing' OR checks IS NOT NULL;

\echo '--- 5. A year later: the vintage 2025 is loaded'
\set millesime 2025
\ir charger_millesime.sql
\echo 'What a refresh would change among the EPCI: really computed, then rolled back'
SELECT model, action, reason, inserted, updated, deleted, checks FROM strata.plan('territoire.dim_epci', data => true, as_of => '2025-01-01');
\echo 'The refresh; models that it leaves as they are are not shown:'
SELECT model, rows_in, inserted, updated, deleted, checks, round(duration_ms::numeric) AS ms
  FROM strata.refresh(as_of => '2025-01-01') WHERE status <> 'unchanged';

\echo 'What happened to French communes on 1 January 2025:'
SELECT nature, count(*) AS communes, array_to_string((array_agg(concat_ws(' ', code, coalesce(avant || ' → ' || apres, nom)) ORDER BY code))[1:2], '; ') AS "for example"
  FROM territoire.mouvements_communes WHERE date_effet = '2025-01-01'
 GROUP BY nature ORDER BY nature;

\echo 'Conques-en-Rouergue moved its chef-lieu (and so its code); Moutonneau is gone; Béon is now a part of Culoz-Béon:'
SELECT commune_key, code, nom, type, commune_parente AS "part of", valid_from, valid_to, is_current
  FROM territoire.dim_commune WHERE code IN ('12076', '12218', '16238', '01039', '01138') ORDER BY code, valid_from;

\echo '--- 6. The vintage 2022 arrives late, after 2023, 2024 and 2025'
\echo 'La Faute-sur-Mer before (it merged into L''Aiguillon on 1 January 2022; the warehouse saw it gone in 2023):'
SELECT commune_key, code, nom, type, commune_parente AS "part of", valid_from, valid_to
  FROM territoire.dim_commune WHERE code IN ('85001', '85307') ORDER BY code, valid_from;
CREATE TEMP TABLE avant AS SELECT commune_key, code FROM territoire.dim_commune;
\set millesime 2022
\ir charger_millesime.sql
SELECT model, rows_in, inserted, updated, deleted, checks, round(duration_ms::numeric) AS ms
  FROM strata.refresh(as_of => '2025-02-01') WHERE status <> 'unchanged';
\echo 'La Faute-sur-Mer after: the same versions, under the same keys, now dated 2022:'
SELECT commune_key, code, nom, type, commune_parente AS "part of", valid_from, valid_to
  FROM territoire.dim_commune WHERE code IN ('85001', '85307') ORDER BY code, valid_from;
\echo 'Surrogate keys given before, and those that still stand for the same commune:'
SELECT count(*) AS before, count(d.commune_key) AS still FROM avant LEFT JOIN territoire.dim_commune d USING (commune_key, code) WHERE commune_key <> 0;

\echo '--- 7. The vintage 2026: no commune merged, 19 changed name'
\set millesime 2026
\ir charger_millesime.sql
SELECT model, rows_in, inserted, updated, deleted, checks, round(duration_ms::numeric) AS ms
  FROM strata.refresh(as_of => '2026-01-01') WHERE status <> 'unchanged';
SELECT code, avant AS "until 2025", apres AS "from 2026" FROM territoire.mouvements_communes
 WHERE date_effet = '2026-01-01' AND nature = 'changement de nom' ORDER BY code LIMIT 6;

\echo '--- 8. The same again: nothing to do, nothing rewritten'
SELECT count(*) AS models, sum(rows_in) AS "rows computed", coalesce(sum(inserted + updated + deleted), 0) AS "rows written",
       round(sum(duration_ms)::numeric) AS ms
  FROM strata.refresh(as_of => '2026-01-02');

\echo '--- 9. A code that left and came back: Les Trois Lacs (Eure), with the hole kept'
SELECT commune_key, code, nom, type, commune_parente AS "part of", valid_from, valid_to
  FROM territoire.dim_commune WHERE code IN ('27058', '27676') ORDER BY valid_from, code;

\echo '--- 10. Rows kept aside: communes without a published population do not count as zero'
SELECT source_row -> 'c' ->> 'millesime' AS vintage, reason, count(*) AS communes,
       min(source_row -> 'c' ->> 'departement') || ' to ' || max(source_row -> 'c' ->> 'departement') AS "départements"
  FROM staging.stg_populations__rejected GROUP BY 1, 2 ORDER BY 1, 2;

\echo '--- 11. Checks of the last refresh (the warning is real: communes nouvelles published without the communes they absorbed)'
SELECT model, name, severity, last_status AS status, last_failures AS failures FROM strata.checks ORDER BY model, name;

\echo '--- 12. Marts'
\echo 'Densest départements, vintage 2026 (populations of 2023):'
SELECT code_departement AS code, nom, communes, population, superficie_km2, densite_km2
  FROM population.departements WHERE millesime = 2026 ORDER BY densite_km2 DESC NULLS LAST LIMIT 6;
\echo 'Régions:'
SELECT code_region AS code, nom, departements, communes, population, densite_km2
  FROM population.regions WHERE millesime = 2026 ORDER BY population DESC LIMIT 6;
\echo 'Fastest growth between the legal populations of 2022 and 2023:'
SELECT code_departement AS code, nom, population_avant AS "2022", population AS "2023", ecart, taux_annuel_pct AS "% a year"
  FROM population.evolution_departements WHERE annee_population = 2023 ORDER BY taux_annuel_pct DESC, code_departement LIMIT 5;
\echo 'Tax regime of the EPCI:'
SELECT mode_financement AS regime, millesime AS vintage, sum(epci) AS epci, sum(population) AS population
  FROM economie.regimes_fiscaux WHERE millesime IN (2019, 2022, 2026) GROUP BY 1, 2 ORDER BY 1, 2;

\echo '--- 13. Lineage: where the density comes from, column by column, down to the files'
WITH RECURSIVE origine AS (
    SELECT 1 AS depth, source, source_column, kind, ARRAY[source || '.' || source_column] AS path
      FROM strata.lineage WHERE model = 'population.departements' AND "column" = 'densite_km2'
    UNION ALL
    SELECT o.depth + 1, l.source, l.source_column, l.kind, o.path || (l.source || '.' || l.source_column)
      FROM origine o JOIN strata.lineage l ON l.model = o.source AND l."column" = o.source_column
)
SELECT repeat('    ', depth - 1) || source || '.' || source_column AS "population.departements.densite_km2 is made of", kind AS how
  FROM origine ORDER BY path;

\echo '--- 14. Verification against the files'
\ir verify.sql
