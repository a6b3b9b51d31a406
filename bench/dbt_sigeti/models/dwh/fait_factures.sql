{{ config(indexes=[{'columns': ['facture_id'], 'unique': true}]) }}
WITH f AS (
    WITH paye AS (
        SELECT facture_id, count(*) AS nb_paiements, sum(montant) AS montant_paye, max(date_paiement) AS dernier_paiement
        FROM {{ ref('stg_paiements') }}
        GROUP BY facture_id)
    SELECT f.facture_id, f.numero, f.entreprise_id, l.zone_id, f.objet, f.statut, f.date_emission, f.date_echeance, f.montant_ttc,
           coalesce(p.nb_paiements, 0)::integer AS nb_paiements, coalesce(p.montant_paye, 0)::numeric(15,2) AS montant_paye,
           (f.montant_ttc - coalesce(p.montant_paye, 0))::numeric(15,2) AS reste_a_payer,
           coalesce(p.montant_paye, 0) >= f.montant_ttc AS est_soldee, p.dernier_paiement,
           CASE WHEN p.montant_paye >= f.montant_ttc THEN greatest(p.dernier_paiement - f.date_echeance, 0) END AS jours_retard
    FROM {{ ref('stg_factures') }} f
         LEFT JOIN paye p USING (facture_id)
         LEFT JOIN {{ ref('stg_demandes') }} d USING (demande_id)
         LEFT JOIN {{ ref('stg_lots') }} l USING (lot_id))
SELECT coalesce(e.entreprise_key, '0') AS entreprise_key, coalesce(d_zone.zone_key, '0') AS zone_key, coalesce(t_date_emission.date_key, 0) AS date_emission_key, coalesce(t_date_echeance.date_key, 0) AS date_echeance_key, f.*
FROM f
{{ join_enterprise('date_emission') }}
LEFT JOIN {{ ref('dim_zone') }} d_zone ON d_zone.zone_id = f.zone_id
{{ join_date('t_date_emission', 'date_emission') }}
{{ join_date('t_date_echeance', 'date_echeance') }}
