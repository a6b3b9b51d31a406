-- The warehouse of SIGETI: 8 staging models, 5 dimensions, 4 facts, 4 marts and their checks.
-- Every statement may be run again: the same definition changes nothing, another one is planned.

-- A model keeps the time zone it was defined in: dates meet the history of enterprises at midnight in Abidjan, whoever refreshes.
SET TimeZone = 'Africa/Abidjan';

CREATE SCHEMA IF NOT EXISTS staging;
CREATE SCHEMA IF NOT EXISTS dwh;
CREATE SCHEMA IF NOT EXISTS marts;

-- Sources ------------------------------------------------------------------------------------------------------------------

SELECT strata.define_source('sigeti.zones_industrielles', loaded_at => 'updated_at', description => 'Industrial zones');
SELECT strata.define_source('sigeti.domaines_activite', loaded_at => 'updated_at', description => 'Activity domains');
SELECT strata.define_source('sigeti.entreprises', loaded_at => 'updated_at', warn_after => '7 days', description => 'Enterprises');
SELECT strata.define_source('sigeti.lots', loaded_at => 'updated_at', description => 'Lots of the zones');
SELECT strata.define_source('sigeti.demandes', loaded_at => 'updated_at', warn_after => '7 days', description => 'Requests for a lot');
SELECT strata.define_source('sigeti.factures', loaded_at => 'updated_at', warn_after => '7 days', description => 'Invoices');
SELECT strata.define_source('sigeti.paiements', loaded_at => 'updated_at', warn_after => '7 days', description => 'Payments, as the cashiers typed them');
SELECT strata.define_source('sigeti.collectes', loaded_at => 'updated_at', warn_after => '30 days', description => 'Collection visits');

-- Staging: names, types and statuses made plain; soft-deleted rows are gone from here on ---------------------------------------

SELECT strata.define_staging('staging.stg_zones', $$
    SELECT id AS zone_id, code AS code_zone, libelle AS zone, commune, region, superficie_ha
    FROM sigeti.zones_industrielles
    WHERE deleted_at IS NULL
$$, description => 'Industrial zones', tags => '{foncier}');

SELECT strata.define_staging('staging.stg_domaines', $$
    SELECT id AS domaine_id, code AS code_domaine, libelle AS domaine, famille
    FROM sigeti.domaines_activite
    WHERE deleted_at IS NULL
$$, description => 'Activity domains');

SELECT strata.define_staging('staging.stg_entreprises', $$
    SELECT id AS entreprise_id, rccm, btrim(raison_sociale) AS raison_sociale, forme_juridique, secteur, domaine_id, ville, telephone, courriel,
           updated_at AS modifie_le
    FROM sigeti.entreprises
    WHERE deleted_at IS NULL
$$, description => 'Enterprises that are present in the register');

SELECT strata.define_staging('staging.stg_lots', $$
    SELECT id AS lot_id, zone_id, numero, superficie_m2, prix_m2, statut::text AS statut, statut = 'DISPONIBLE' AS est_disponible,
           statut = 'ATTRIBUE' AS est_attribue, entreprise_id
    FROM sigeti.lots
    WHERE deleted_at IS NULL
$$, description => 'Lots', tags => '{foncier}');

-- Statuses are compared here, once, with the enum itself: a word that is not in the enum is an error when the model is
-- defined, not a KPI that stays 0.
SELECT strata.define_staging('staging.stg_demandes', $$
    SELECT id AS demande_id, reference, entreprise_id, lot_id, type::text AS type_demande, statut::text AS statut,
           statut = 'APPROUVEE' AS est_approuvee, statut = 'REJETEE' AS est_rejetee, statut IN ('EN_ATTENTE', 'EN_COURS') AS est_en_instance,
           date_demande, date_decision
    FROM sigeti.demandes
    WHERE deleted_at IS NULL
$$, description => 'Requests for a lot', tags => '{foncier}');

SELECT strata.define_staging('staging.stg_factures', $$
    SELECT id AS facture_id, numero, entreprise_id, demande_id, objet, montant_ttc, date_emission, date_echeance, statut::text AS statut
    FROM sigeti.factures
    WHERE deleted_at IS NULL
$$, description => 'Invoices', tags => '{finance}');

-- Typed amounts: spaces of both kinds and decimal commas are understood. What is no amount, or not a positive one, goes with its reason
-- to staging.stg_paiements__rejected and comes back by itself once the source is put right.
SELECT strata.define_staging('staging.stg_paiements', $$
    SELECT id AS paiement_id, facture_id, strata.try_cast(translate(montant_saisi, U&', \00a0\202f', '.'), NULL::numeric) AS montant,
           mode::text AS mode_paiement, date_paiement, updated_at AS modifie_le
    FROM sigeti.paiements
    WHERE deleted_at IS NULL
$$, materialized => 'table', key => '{paiement_id}', reject_failed_casts => true,
    rules => '{"montant positif": "montant > 0"}',
    description => 'Payments whose amount can be read', tags => '{finance}');

SELECT strata.define_staging('staging.stg_collectes', $$
    SELECT id AS collecte_id, entreprise_id, zone_id, agent, date_collecte, montant_attendu, montant_recouvre, statut::text AS statut,
           statut = 'TERMINEE' AS est_terminee
    FROM sigeti.collectes
    WHERE deleted_at IS NULL
$$, description => 'Collection visits', tags => '{finance}');

-- Dimensions -----------------------------------------------------------------------------------------------------------------

SELECT strata.define_date_dimension('dwh.dim_date', '2021-01-01', '2027-12-31', locale => 'fr', holidays => '{
    "2026-01-01": "Jour de l''an", "2026-05-01": "Fête du Travail", "2026-08-07": "Fête de l''Indépendance",
    "2026-11-15": "Journée nationale de la Paix", "2026-12-25": "Noël"}', description => 'Calendar');

SELECT strata.define_dimension('dwh.dim_zone', $$
    SELECT zone_id, code_zone, zone, commune, region, superficie_ha FROM staging.stg_zones
$$, key => '{zone_id}', unknown => '{"zone": "Hors zone"}', description => 'Industrial zones', tags => '{foncier}');

SELECT strata.define_dimension('dwh.dim_domaine', $$
    SELECT domaine_id, code_domaine, domaine, famille FROM staging.stg_domaines
$$, key => '{domaine_id}', unknown => '{"domaine": "Inconnu"}', description => 'Activity domains');

SELECT strata.define_dimension('dwh.dim_lot', $$
    SELECT l.lot_id, l.numero, l.zone_id, z.zone, z.commune, l.superficie_m2, l.prix_m2, l.statut, l.est_attribue, l.est_disponible, l.entreprise_id
    FROM staging.stg_lots l JOIN staging.stg_zones z USING (zone_id)
$$, key => '{lot_id}', unknown => '{"numero": "Inconnu"}', description => 'Lots with their zone', tags => '{foncier}');

-- A new version when the legal form or the sector changes, from the moment it changed; anything else is corrected in every version.
-- An enterprise that leaves is closed; when it returns, it opens a version and the gap stays.
SELECT strata.define_dimension('dwh.dim_entreprise', $$
    SELECT entreprise_id, rccm, raison_sociale, forme_juridique, secteur, domaine_id, ville, telephone, courriel, modifie_le
    FROM staging.stg_entreprises
$$, key => '{entreprise_id}', history => '{forme_juridique, secteur}', effective_from => 'modifie_le', deletes => 'close',
    unknown => '{"raison_sociale": "Inconnue"}', description => 'Enterprises, with the history of their legal form and sector',
    columns => '{"raison_sociale": "Registered name", "forme_juridique": "Legal form, with history", "secteur": "Sector, with history"}');

-- Facts: dates are the dates of the events, never the date of the run ------------------------------------------------------------

SELECT strata.define_fact('dwh.fait_attributions', $$
    SELECT d.demande_id, d.reference, d.entreprise_id, d.lot_id, l.zone_id, e.domaine_id, d.type_demande, d.statut,
           d.est_approuvee, d.est_rejetee, d.est_en_instance, d.date_demande, d.date_decision,
           d.date_decision - d.date_demande AS delai_jours, l.superficie_m2
    FROM staging.stg_demandes d
         LEFT JOIN staging.stg_lots l USING (lot_id)
         LEFT JOIN staging.stg_entreprises e ON e.entreprise_id = d.entreprise_id
$$, grain => '{demande_id}', dimensions => '{
    "entreprise_key":    {"dimension": "dwh.dim_entreprise", "on": ["entreprise_id"], "as_of": "date_demande", "missing": "infer", "early": "first"},
    "lot_key":           {"dimension": "dwh.dim_lot", "on": ["lot_id"]},
    "zone_key":          {"dimension": "dwh.dim_zone", "on": ["zone_id"]},
    "domaine_key":       {"dimension": "dwh.dim_domaine", "on": ["domaine_id"]},
    "date_demande_key":  {"dimension": "dwh.dim_date", "on": {"date_demande": "date"}},
    "date_decision_key": {"dimension": "dwh.dim_date", "on": {"date_decision": "date"}}}',
    description => 'One row per request for a lot', tags => '{foncier}');

-- What is left to pay takes every payment into account, and payments are summed per invoice before they meet the invoice.
SELECT strata.define_fact('dwh.fait_factures', $$
    WITH paye AS (
        SELECT facture_id, count(*) AS nb_paiements, sum(montant) AS montant_paye, max(date_paiement) AS dernier_paiement
        FROM staging.stg_paiements
        GROUP BY facture_id)
    SELECT f.facture_id, f.numero, f.entreprise_id, l.zone_id, f.objet, f.statut, f.date_emission, f.date_echeance, f.montant_ttc,
           coalesce(p.nb_paiements, 0)::integer AS nb_paiements, coalesce(p.montant_paye, 0)::numeric(15,2) AS montant_paye,
           (f.montant_ttc - coalesce(p.montant_paye, 0))::numeric(15,2) AS reste_a_payer,
           coalesce(p.montant_paye, 0) >= f.montant_ttc AS est_soldee, p.dernier_paiement,
           CASE WHEN p.montant_paye >= f.montant_ttc THEN greatest(p.dernier_paiement - f.date_echeance, 0) END AS jours_retard
    FROM staging.stg_factures f
         LEFT JOIN paye p USING (facture_id)
         LEFT JOIN staging.stg_demandes d USING (demande_id)
         LEFT JOIN staging.stg_lots l USING (lot_id)
$$, grain => '{facture_id}', dimensions => '{
    "entreprise_key":    {"dimension": "dwh.dim_entreprise", "on": ["entreprise_id"], "as_of": "date_emission", "missing": "infer", "early": "first"},
    "zone_key":          {"dimension": "dwh.dim_zone", "on": ["zone_id"]},
    "date_emission_key": {"dimension": "dwh.dim_date", "on": {"date_emission": "date"}},
    "date_echeance_key": {"dimension": "dwh.dim_date", "on": {"date_echeance": "date"}}}',
    description => 'One row per invoice, with what was paid of it',
    columns => '{"montant_ttc": "amount in FCFA", "reste_a_payer": "amount less all payments; negative when too much was paid"}', tags => '{finance}');

SELECT strata.define_fact('dwh.fait_paiements', $$
    SELECT p.paiement_id, p.facture_id, f.entreprise_id, l.zone_id, p.mode_paiement, p.date_paiement, p.montant::numeric(15,2) AS montant,
           (row_number() OVER ordre)::integer AS rang, (sum(p.montant) OVER ordre)::numeric(15,2) AS cumul_paye,
           (f.montant_ttc - sum(p.montant) OVER ordre)::numeric(15,2) AS reste_a_payer, p.date_paiement - f.date_echeance AS jours_apres_echeance
    FROM staging.stg_paiements p
         LEFT JOIN staging.stg_factures f USING (facture_id)
         LEFT JOIN staging.stg_demandes d USING (demande_id)
         LEFT JOIN staging.stg_lots l USING (lot_id)
    WINDOW ordre AS (PARTITION BY p.facture_id ORDER BY p.date_paiement, p.paiement_id ROWS UNBOUNDED PRECEDING)
$$, grain => '{paiement_id}', dimensions => '{
    "entreprise_key":    {"dimension": "dwh.dim_entreprise", "on": ["entreprise_id"], "as_of": "date_paiement", "missing": "infer", "early": "first"},
    "zone_key":          {"dimension": "dwh.dim_zone", "on": ["zone_id"]},
    "date_paiement_key": {"dimension": "dwh.dim_date", "on": {"date_paiement": "date"}}}',
    description => 'One row per payment, with what was left to pay of its invoice after it',
    columns => '{"montant": "amount in FCFA", "rang": "first, second... payment of the invoice"}', tags => '{finance}');

SELECT strata.define_fact('dwh.fait_collectes', $$
    SELECT collecte_id, entreprise_id, zone_id, agent, statut, est_terminee, date_collecte, montant_attendu, montant_recouvre,
           (montant_attendu - montant_recouvre)::numeric(15,2) AS ecart
    FROM staging.stg_collectes
$$, grain => '{collecte_id}', dimensions => '{
    "entreprise_key":    {"dimension": "dwh.dim_entreprise", "on": ["entreprise_id"], "as_of": "date_collecte", "missing": "infer", "early": "first"},
    "zone_key":          {"dimension": "dwh.dim_zone", "on": ["zone_id"]},
    "date_collecte_key": {"dimension": "dwh.dim_date", "on": {"date_collecte": "date"}}}',
    description => 'One row per collection visit', tags => '{finance}');

-- Marts: facts are aggregated each by itself to the mart's key, and only then joined: no revenue is counted twice -----------------

SELECT strata.define_mart('marts.portefeuille_clients', $$
    WITH fiche AS (
        SELECT DISTINCT ON (entreprise_id) entreprise_id, raison_sociale, forme_juridique, secteur, ville, is_current AS est_active
        FROM dwh.dim_entreprise
        WHERE entreprise_key <> 0
        ORDER BY entreprise_id, valid_from DESC),
    demandes AS (
        SELECT entreprise_id, count(*) AS nb_demandes, count(*) FILTER (WHERE est_approuvee) AS nb_approuvees
        FROM dwh.fait_attributions GROUP BY entreprise_id),
    factures AS (
        SELECT entreprise_id, count(*) AS nb_factures, sum(montant_ttc) AS montant_facture, sum(montant_paye) AS montant_paye,
               sum(reste_a_payer) AS reste_a_payer, max(dernier_paiement) AS dernier_paiement
        FROM dwh.fait_factures GROUP BY entreprise_id),
    lots AS (
        SELECT entreprise_id, count(*) AS nb_lots, sum(superficie_m2) AS superficie_m2
        FROM dwh.dim_lot WHERE is_current AND est_attribue GROUP BY entreprise_id)
    SELECT entreprise_id, fiche.raison_sociale, fiche.forme_juridique, fiche.secteur, fiche.ville, fiche.est_active,
           coalesce(lots.nb_lots, 0)::integer AS nb_lots, coalesce(lots.superficie_m2, 0)::numeric(15,2) AS superficie_m2,
           coalesce(demandes.nb_demandes, 0)::integer AS nb_demandes, coalesce(demandes.nb_approuvees, 0)::integer AS nb_approuvees,
           coalesce(factures.nb_factures, 0)::integer AS nb_factures,
           coalesce(factures.montant_facture, 0)::numeric(18,2) AS montant_facture, coalesce(factures.montant_paye, 0)::numeric(18,2) AS montant_paye,
           coalesce(factures.reste_a_payer, 0)::numeric(18,2) AS reste_a_payer, factures.dernier_paiement,
           round(100 * factures.montant_paye / nullif(factures.montant_facture, 0), 1) AS taux_recouvrement
    FROM fiche LEFT JOIN demandes USING (entreprise_id) LEFT JOIN factures USING (entreprise_id) LEFT JOIN lots USING (entreprise_id)
$$, key => '{entreprise_id}', description => 'Client portfolio: one row per enterprise', tags => '{finance}');

SELECT strata.define_mart('marts.performance_financiere', $$
    WITH mouvements AS (
        SELECT date_trunc('month', date_emission::timestamp)::date AS mois, zone_key, count(*) AS nb_factures, sum(montant_ttc) AS montant_facture,
               sum(reste_a_payer) AS reste_a_payer, 0::bigint AS nb_paiements, 0::numeric AS montant_encaisse, 0::numeric AS montant_collecte
        FROM dwh.fait_factures GROUP BY 1, 2
        UNION ALL
        SELECT date_trunc('month', date_paiement::timestamp)::date, zone_key, 0, 0, 0, count(*), sum(montant), 0
        FROM dwh.fait_paiements GROUP BY 1, 2
        UNION ALL
        SELECT date_trunc('month', date_collecte::timestamp)::date, zone_key, 0, 0, 0, 0, 0, sum(montant_recouvre)
        FROM dwh.fait_collectes GROUP BY 1, 2)
    SELECT m.mois, m.zone_key, z.zone, sum(m.nb_factures)::integer AS nb_factures, sum(m.montant_facture)::numeric(18,2) AS montant_facture,
           sum(m.reste_a_payer)::numeric(18,2) AS reste_a_payer, sum(m.nb_paiements)::integer AS nb_paiements,
           sum(m.montant_encaisse)::numeric(18,2) AS montant_encaisse, sum(m.montant_collecte)::numeric(18,2) AS montant_collecte
    FROM mouvements m JOIN dwh.dim_zone z USING (zone_key)
    GROUP BY m.mois, m.zone_key, z.zone
$$, key => '{mois, zone_key}', foreign_keys => '{"zone_key": "dwh.dim_zone"}', description => 'Invoiced, cashed and collected, by month and zone (FCFA)', tags => '{finance}');

SELECT strata.define_mart('marts.occupation_zones', $$
    WITH lots AS (
        SELECT zone_id, count(*) AS nb_lots, count(*) FILTER (WHERE est_attribue) AS nb_attribues, count(*) FILTER (WHERE est_disponible) AS nb_disponibles,
               sum(superficie_m2) AS superficie_m2, sum(superficie_m2) FILTER (WHERE est_attribue) AS superficie_attribuee_m2,
               count(DISTINCT entreprise_id) AS nb_entreprises
        FROM dwh.dim_lot WHERE is_current AND lot_key <> 0 GROUP BY zone_id),
    demandes AS (
        SELECT zone_id, count(*) FILTER (WHERE est_en_instance) AS nb_en_instance FROM dwh.fait_attributions GROUP BY zone_id)
    SELECT z.zone_id, z.code_zone, z.zone, z.commune, z.region, coalesce(l.nb_lots, 0)::integer AS nb_lots,
           coalesce(l.nb_attribues, 0)::integer AS nb_attribues, coalesce(l.nb_disponibles, 0)::integer AS nb_disponibles,
           coalesce(l.nb_entreprises, 0)::integer AS nb_entreprises, coalesce(l.superficie_m2, 0)::numeric(15,2) AS superficie_m2,
           round(100 * coalesce(l.superficie_attribuee_m2, 0) / nullif(l.superficie_m2, 0), 1) AS taux_occupation,
           coalesce(d.nb_en_instance, 0)::integer AS nb_demandes_en_instance
    FROM dwh.dim_zone z LEFT JOIN lots l USING (zone_id) LEFT JOIN demandes d USING (zone_id)
    WHERE z.is_current AND z.zone_key <> 0
$$, key => '{zone_id}', description => 'Occupation of the zones, today', tags => '{foncier}');

SELECT strata.define_mart('marts.kpi_operationnels', $$
    WITH demandes AS (
        SELECT date_trunc('month', date_demande::timestamp)::date AS mois, count(*) AS nb_demandes, count(*) FILTER (WHERE est_approuvee) AS nb_approuvees,
               count(*) FILTER (WHERE est_rejetee) AS nb_rejetees, count(*) FILTER (WHERE est_en_instance) AS nb_en_instance,
               avg(delai_jours) AS delai_moyen
        FROM dwh.fait_attributions GROUP BY 1),
    collectes AS (
        SELECT date_trunc('month', date_collecte::timestamp)::date AS mois, count(*) AS nb_collectes, count(*) FILTER (WHERE est_terminee) AS nb_terminees,
               sum(montant_recouvre) AS montant_recouvre, sum(montant_attendu) FILTER (WHERE est_terminee) AS montant_attendu
        FROM dwh.fait_collectes GROUP BY 1)
    SELECT mois, coalesce(d.nb_demandes, 0)::integer AS nb_demandes, coalesce(d.nb_approuvees, 0)::integer AS nb_approuvees,
           coalesce(d.nb_rejetees, 0)::integer AS nb_rejetees, coalesce(d.nb_en_instance, 0)::integer AS nb_en_instance,
           round(100.0 * d.nb_approuvees / nullif(d.nb_approuvees + d.nb_rejetees, 0), 1) AS taux_approbation,
           round(d.delai_moyen, 1) AS delai_moyen_jours, coalesce(c.nb_collectes, 0)::integer AS nb_collectes,
           coalesce(c.nb_terminees, 0)::integer AS nb_collectes_terminees,
           round(100 * c.montant_recouvre / nullif(c.montant_attendu, 0), 1) AS taux_recouvrement_collectes
    FROM demandes d FULL JOIN collectes c USING (mois)
$$, key => '{mois}', description => 'Operational indicators by month');

-- Checks: they run before anything is published ------------------------------------------------------------------------------------

SELECT strata.define_check('dwh.dim_zone', 'row_count', options => '{"min": 2}', name => 'zones_presentes');
SELECT strata.define_check('dwh.dim_entreprise', 'not_null', columns => '{entreprise_key, valid_from, is_current}', name => 'versions_completes');
SELECT strata.define_check('dwh.fait_attributions', 'accepted_values', columns => '{statut}',
    options => '{"values": ["EN_ATTENTE", "EN_COURS", "APPROUVEE", "REJETEE", "ANNULEE"]}', name => 'statuts_connus');
SELECT strata.define_check('dwh.fait_attributions', 'expression', options => '{"expression": "date_decision >= date_demande"}', name => 'decision_apres_demande');
SELECT strata.define_check('dwh.fait_factures', 'not_null', columns => '{montant_ttc, date_emission, entreprise_id}', name => 'factures_completes');
SELECT strata.define_check('dwh.fait_factures', 'unique', columns => '{numero}', name => 'numero_unique');
SELECT strata.define_check('dwh.fait_factures', 'expression', options => '{"expression": "reste_a_payer = montant_ttc - montant_paye"}', name => 'reste_exact');
SELECT strata.define_check('dwh.fait_factures', 'expression', options => '{"expression": "reste_a_payer >= 0"}', severity => 'warn', name => 'pas_de_trop_percu');
SELECT strata.define_check('dwh.fait_paiements', 'expression', options => '{"expression": "montant > 0"}', name => 'montant_positif');
SELECT strata.define_check('dwh.fait_paiements', 'relationships', columns => '{facture_id}',
    options => '{"to": "dwh.fait_factures", "columns": ["facture_id"]}', name => 'facture_existe');
SELECT strata.define_check('dwh.fait_paiements', 'row_count_anomaly', options => '{"runs": 10, "deviations": 4}', severity => 'warn', name => 'volume_habituel');
SELECT strata.define_check('dwh.fait_collectes', 'expression', options => '{"expression": "montant_recouvre between 0 and montant_attendu"}',
    name => 'recouvre_plausible');
SELECT strata.define_check('marts.portefeuille_clients', 'query', options => '{"query":
    "SELECT m.total AS total_mart, f.total AS total_faits FROM (SELECT sum(montant_facture) AS total FROM marts.portefeuille_clients) m, (SELECT sum(montant_ttc) AS total FROM dwh.fait_factures) f WHERE m.total IS DISTINCT FROM f.total"}',
    name => 'chiffre_non_multiplie');
SELECT strata.define_check('marts.kpi_operationnels', 'query', options => '{"query":
    "SELECT sum(nb_approuvees) AS approuvees FROM marts.kpi_operationnels HAVING sum(nb_approuvees) = 0"}', name => 'des_approbations');
