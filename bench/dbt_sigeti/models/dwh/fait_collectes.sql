{{ config(indexes=[{'columns': ['collecte_id'], 'unique': true}]) }}
WITH f AS (
    SELECT collecte_id, entreprise_id, zone_id, agent, statut, est_terminee, date_collecte, montant_attendu, montant_recouvre,
           (montant_attendu - montant_recouvre)::numeric(15,2) AS ecart
    FROM {{ ref('stg_collectes') }})
SELECT coalesce(e.entreprise_key, '0') AS entreprise_key, coalesce(d_zone.zone_key, '0') AS zone_key, coalesce(t_date_collecte.date_key, 0) AS date_collecte_key, f.*
FROM f
{{ join_enterprise('date_collecte') }}
LEFT JOIN {{ ref('dim_zone') }} d_zone ON d_zone.zone_id = f.zone_id
{{ join_date('t_date_collecte', 'date_collecte') }}
