{{ config(indexes=[{'columns': ['demande_id'], 'unique': true}]) }}
WITH f AS (
    SELECT d.demande_id, d.reference, d.entreprise_id, d.lot_id, l.zone_id, e.domaine_id, d.type_demande, d.statut,
           d.est_approuvee, d.est_rejetee, d.est_en_instance, d.date_demande, d.date_decision,
           d.date_decision - d.date_demande AS delai_jours, l.superficie_m2
    FROM {{ ref('stg_demandes') }} d
         LEFT JOIN {{ ref('stg_lots') }} l USING (lot_id)
         LEFT JOIN {{ ref('stg_entreprises') }} e ON e.entreprise_id = d.entreprise_id)
SELECT coalesce(e.entreprise_key, '0') AS entreprise_key, coalesce(d_lot.lot_key, '0') AS lot_key, coalesce(d_zone.zone_key, '0') AS zone_key, coalesce(d_domaine.domaine_key, '0') AS domaine_key, coalesce(t_date_demande.date_key, 0) AS date_demande_key, coalesce(t_date_decision.date_key, 0) AS date_decision_key, f.*
FROM f
{{ join_enterprise('date_demande') }}
LEFT JOIN {{ ref('dim_lot') }} d_lot ON d_lot.lot_id = f.lot_id
LEFT JOIN {{ ref('dim_zone') }} d_zone ON d_zone.zone_id = f.zone_id
LEFT JOIN {{ ref('dim_domaine') }} d_domaine ON d_domaine.domaine_id = f.domaine_id
{{ join_date('t_date_demande', 'date_demande') }}
{{ join_date('t_date_decision', 'date_decision') }}
