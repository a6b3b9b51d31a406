SELECT id AS lot_id, zone_id, numero, superficie_m2, prix_m2, statut::text AS statut, statut = 'DISPONIBLE' AS est_disponible,
       statut = 'ATTRIBUE' AS est_attribue, entreprise_id
FROM {{ source('sigeti', 'lots') }}
WHERE deleted_at IS NULL
