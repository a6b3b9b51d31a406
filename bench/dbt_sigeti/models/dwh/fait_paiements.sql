{{ config(indexes=[{'columns': ['paiement_id'], 'unique': true}]) }}
WITH f AS (
    SELECT p.paiement_id, p.facture_id, f.entreprise_id, l.zone_id, p.mode_paiement, p.date_paiement, p.montant::numeric(15,2) AS montant,
           (row_number() OVER ordre)::integer AS rang, (sum(p.montant) OVER ordre)::numeric(15,2) AS cumul_paye,
           (f.montant_ttc - sum(p.montant) OVER ordre)::numeric(15,2) AS reste_a_payer, p.date_paiement - f.date_echeance AS jours_apres_echeance
    FROM {{ ref('stg_paiements') }} p
         LEFT JOIN {{ ref('stg_factures') }} f USING (facture_id)
         LEFT JOIN {{ ref('stg_demandes') }} d USING (demande_id)
         LEFT JOIN {{ ref('stg_lots') }} l USING (lot_id)
    WINDOW ordre AS (PARTITION BY p.facture_id ORDER BY p.date_paiement, p.paiement_id ROWS UNBOUNDED PRECEDING))
SELECT coalesce(e.entreprise_key, '0') AS entreprise_key, coalesce(d_zone.zone_key, '0') AS zone_key, coalesce(t_date_paiement.date_key, 0) AS date_paiement_key, f.*
FROM f
{{ join_enterprise('date_paiement') }}
LEFT JOIN {{ ref('dim_zone') }} d_zone ON d_zone.zone_id = f.zone_id
{{ join_date('t_date_paiement', 'date_paiement') }}
