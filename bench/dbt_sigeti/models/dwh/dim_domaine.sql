{{ config(indexes=[{'columns': ['domaine_key'], 'unique': true}]) }}
SELECT md5(domaine_id::text) AS domaine_key, domaine_id, code_domaine, domaine, famille FROM {{ ref('stg_domaines') }}
UNION ALL
SELECT '0', NULL, NULL, 'Inconnu', NULL
