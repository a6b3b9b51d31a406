-- The sigeti example from end to end, in a database of its own.
--
--   createdb sigeti
--   psql -X -d sigeti -f examples/sigeti/demo.sql
--
-- Stops at the first error; ends by proving the warehouse against its source.

\set ON_ERROR_STOP on
\set QUIET on
\pset pager off
\pset footer off
\pset null '-'
\pset linestyle unicode
\pset border 1
SET TimeZone = 'Africa/Abidjan';
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS pg_strata;

\echo
\echo '=== SIGETI: the industrial zones of Côte d''Ivoire. Enterprises, lots, requests, invoices, payments, collections (FCFA)'
\echo
\echo '--- 1. The operational database, filled by a deterministic generator (scale 1; 1,000 is possible)'
\ir 00_source.sql
\ir 20_later_day.sql
\o /dev/null
SELECT sigeti.load(1);
ANALYZE;
\o
SELECT 'zones_industrielles' AS source, count(*) AS rows FROM sigeti.zones_industrielles
UNION ALL SELECT 'domaines_activite', count(*) FROM sigeti.domaines_activite
UNION ALL SELECT 'entreprises', count(*) FROM sigeti.entreprises
UNION ALL SELECT 'lots', count(*) FROM sigeti.lots
UNION ALL SELECT 'demandes', count(*) FROM sigeti.demandes
UNION ALL SELECT 'factures', count(*) FROM sigeti.factures
UNION ALL SELECT 'paiements', count(*) FROM sigeti.paiements
UNION ALL SELECT 'collectes', count(*) FROM sigeti.collectes;

\echo '--- 2. Definitions: the whole warehouse is one file of SQL (10_models.sql); nothing is computed yet'
\o /dev/null
\ir 10_models.sql
\o
SELECT layer, count(*) AS models, string_agg(split_part(model, '.', 2), ', ' ORDER BY model) AS names FROM strata.models GROUP BY layer
ORDER BY array_position('{staging,dimension,fact,mart}', layer);

\echo '--- 3. The plan: what a refresh would do, and why'
SELECT step, model, layer, action, reason FROM strata.plan();

\echo '--- 4. First refresh, at the close of 5 January 2026: all computed and checked under one snapshot, then published at once'
SELECT model, action, status, rows_in, inserted, rejected, checks, round(duration_ms::numeric) AS ms, message
FROM strata.refresh(as_of => sigeti.closing(0)) WHERE action <> 'nothing';

\echo '--- 5. Payments whose amount could not be read are kept apart with the reason; nothing vanishes'
SELECT (source_row ->> 'id')::bigint AS payment, source_row ->> 'montant_saisi' AS "as typed", source_row ->> 'mode' AS mode, reason
FROM staging.stg_paiements__rejected ORDER BY 1 LIMIT 5;

\echo '--- 6. A day passes in the offices: new rows, and everything that breaks a careless warehouse'
CREATE TEMP TABLE places_before AS SELECT paiement_id, ctid AS place FROM dwh.fait_paiements;
SELECT happened AS "on 6 January 2026", row_count AS rows FROM sigeti.next_day(1);

\echo '--- 7. The daily refresh: only the rows that differ are touched'
SELECT model, status, rows_in, inserted, updated, deleted, rejected, checks, round(duration_ms::numeric) AS ms
FROM strata.refresh(as_of => sigeti.closing(1)) WHERE action <> 'nothing';
SELECT count(*) FILTER (WHERE b.place = f.ctid) AS "payments not rewritten", count(*) FILTER (WHERE b.place <> f.ctid) AS "corrected",
       count(*) FILTER (WHERE b.place IS NULL) AS "added", count(*) FILTER (WHERE f.paiement_id IS NULL) AS "removed"
FROM dwh.fait_paiements f FULL JOIN places_before b USING (paiement_id);

\echo '--- 8. Another day: what a refresh would do to the data, done and rolled back'
\o /dev/null
SELECT * FROM sigeti.next_day(2);
\o
SELECT model, reason, rows_now, inserted, updated, deleted, checks
FROM strata.plan(models => '+marts.portefeuille_clients', data => true, as_of => sigeti.closing(2)) WHERE inserted + updated + deleted > 0;

\echo '--- 9. That day and one more, each refreshed at its close'
\o /dev/null
SELECT * FROM strata.refresh(as_of => sigeti.closing(2));
SELECT * FROM sigeti.next_day(3);
SELECT * FROM strata.refresh(as_of => sigeti.closing(3));
\o
\echo 'History: enterprises with three versions or more, or a gap while they were gone'
SELECT entreprise_key, entreprise_id, raison_sociale, forme_juridique, secteur, valid_from::timestamp(0), valid_to::timestamp(0), is_current
FROM dwh.dim_entreprise
WHERE entreprise_id IN (SELECT entreprise_id
                        FROM (SELECT entreprise_id, valid_to, lead(valid_from) OVER (PARTITION BY entreprise_id ORDER BY valid_from) AS next_from
                              FROM dwh.dim_entreprise WHERE entreprise_key <> 0) g
                        WHERE next_from > valid_to
                        UNION
                        SELECT entreprise_id FROM dwh.dim_entreprise WHERE entreprise_key <> 0 GROUP BY entreprise_id HAVING count(*) > 2)
ORDER BY entreprise_id, valid_from;

\echo '--- 10. A month later, nothing new in the source: the clock alone changes no row'
CREATE TEMP TABLE places_then AS SELECT paiement_id, ctid AS place FROM dwh.fait_paiements;
SELECT count(*) AS models, sum(rows_in) AS "rows compared", sum(inserted + updated + deleted) AS "rows changed", round(sum(duration_ms)::numeric) AS ms
FROM strata.refresh(as_of => sigeti.closing(33));
SELECT count(*) AS "payments", count(*) FILTER (WHERE b.place IS DISTINCT FROM f.ctid) AS "rewritten"
FROM dwh.fait_paiements f FULL JOIN places_then b USING (paiement_id);

\echo '--- 11. Checks, as the last refresh found them (the warning is real: one invoice was overpaid)'
SELECT model, name AS "check", kind, severity, last_status AS status, last_failures AS failures FROM strata.checks ORDER BY model, name;

\echo '--- 12. Marts'
\echo 'Client portfolio, largest amounts left to pay:'
SELECT entreprise_id, raison_sociale, secteur, nb_lots, montant_facture, montant_paye, reste_a_payer, taux_recouvrement AS "% paid"
FROM marts.portefeuille_clients ORDER BY reste_a_payer DESC, entreprise_id LIMIT 5;
\echo 'Financial performance, last months:'
SELECT mois, sum(nb_factures) AS invoices, sum(montant_facture) AS invoiced, sum(montant_encaisse) AS cashed, sum(montant_collecte) AS collected
FROM marts.performance_financiere GROUP BY mois ORDER BY mois DESC LIMIT 5;
\echo 'Occupation of the zones:'
SELECT zone, region, nb_lots, nb_attribues, nb_disponibles, taux_occupation AS "% occupied", nb_demandes_en_instance AS pending
FROM marts.occupation_zones ORDER BY taux_occupation DESC, zone LIMIT 5;
\echo 'Operational indicators, last months:'
SELECT mois, nb_demandes AS requests, nb_approuvees AS approved, nb_rejetees AS refused, nb_en_instance AS pending, taux_approbation AS "% approved",
       delai_moyen_jours AS "days to decide", taux_recouvrement_collectes AS "% collected"
FROM marts.kpi_operationnels ORDER BY mois DESC LIMIT 5;

\echo '--- 13. Where a figure comes from: reste_a_payer of the client portfolio, back to the source'
WITH RECURSIVE path AS (
    SELECT 1 AS step, model, "column", source, source_column, kind FROM strata.lineage
    WHERE model = 'marts.portefeuille_clients' AND "column" = 'reste_a_payer'
    UNION
    SELECT p.step + 1, l.model, l."column", l.source, l.source_column, l.kind
    FROM path p JOIN strata.lineage l ON l.model = p.source AND l."column" = p.source_column)
SELECT DISTINCT step, model, "column", source AS "comes from", source_column, kind AS "how" FROM path ORDER BY step, model, "column", source, source_column;

\echo '--- 14. What the first SIGETI warehouse got wrong, proven right here against the source'
\ir verify.sql
