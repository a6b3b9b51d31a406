SELECT id AS collecte_id, entreprise_id, zone_id, agent, date_collecte, montant_attendu, montant_recouvre, statut::text AS statut,
       statut = 'TERMINEE' AS est_terminee
FROM {{ source('sigeti', 'collectes') }}
WHERE deleted_at IS NULL
