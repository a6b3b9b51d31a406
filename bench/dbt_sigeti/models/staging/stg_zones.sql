SELECT id AS zone_id, code AS code_zone, libelle AS zone, commune, region, superficie_ha
FROM {{ source('sigeti', 'zones_industrielles') }}
WHERE deleted_at IS NULL
