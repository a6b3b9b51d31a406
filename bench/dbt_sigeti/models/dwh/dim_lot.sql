{{ config(indexes=[{'columns': ['lot_key'], 'unique': true}]) }}
SELECT md5(l.lot_id::text) AS lot_key, l.lot_id, l.numero, l.zone_id, z.zone, z.commune, l.superficie_m2, l.prix_m2, l.statut, l.est_attribue, l.est_disponible, l.entreprise_id
FROM {{ ref('stg_lots') }} l JOIN {{ ref('stg_zones') }} z USING (zone_id)
UNION ALL
SELECT '0', NULL, 'Inconnu', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
