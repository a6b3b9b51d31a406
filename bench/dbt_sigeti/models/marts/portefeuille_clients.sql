{{ config(indexes=[{'columns': ['entreprise_id'], 'unique': true}]) }}
WITH fiche AS (
    SELECT DISTINCT ON (entreprise_id) entreprise_id, raison_sociale, forme_juridique, secteur, ville, is_current AS est_active
    FROM {{ ref('dim_entreprise') }}
    ORDER BY entreprise_id, valid_from DESC),
demandes AS (
    SELECT entreprise_id, count(*) AS nb_demandes, count(*) FILTER (WHERE est_approuvee) AS nb_approuvees
    FROM {{ ref('fait_attributions') }} GROUP BY entreprise_id),
factures AS (
    SELECT entreprise_id, count(*) AS nb_factures, sum(montant_ttc) AS montant_facture, sum(montant_paye) AS montant_paye,
           sum(reste_a_payer) AS reste_a_payer, max(dernier_paiement) AS dernier_paiement
    FROM {{ ref('fait_factures') }} GROUP BY entreprise_id),
lots AS (
    SELECT entreprise_id, count(*) AS nb_lots, sum(superficie_m2) AS superficie_m2
    FROM {{ ref('dim_lot') }} WHERE est_attribue GROUP BY entreprise_id)
SELECT entreprise_id, fiche.raison_sociale, fiche.forme_juridique, fiche.secteur, fiche.ville, fiche.est_active,
       coalesce(lots.nb_lots, 0)::integer AS nb_lots, coalesce(lots.superficie_m2, 0)::numeric(15,2) AS superficie_m2,
       coalesce(demandes.nb_demandes, 0)::integer AS nb_demandes, coalesce(demandes.nb_approuvees, 0)::integer AS nb_approuvees,
       coalesce(factures.nb_factures, 0)::integer AS nb_factures,
       coalesce(factures.montant_facture, 0)::numeric(18,2) AS montant_facture, coalesce(factures.montant_paye, 0)::numeric(18,2) AS montant_paye,
       coalesce(factures.reste_a_payer, 0)::numeric(18,2) AS reste_a_payer, factures.dernier_paiement,
       round(100 * factures.montant_paye / nullif(factures.montant_facture, 0), 1) AS taux_recouvrement
FROM fiche LEFT JOIN demandes USING (entreprise_id) LEFT JOIN factures USING (entreprise_id) LEFT JOIN lots USING (entreprise_id)
