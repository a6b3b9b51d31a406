{{ config(indexes=[{'columns': ['zone_key'], 'unique': true}]) }}
SELECT md5(zone_id::text) AS zone_key, zone_id, code_zone, zone, commune, region, superficie_ha FROM {{ ref('stg_zones') }}
UNION ALL
SELECT '0', NULL, NULL, 'Hors zone', NULL, NULL, NULL
