{{ config(indexes=[{'columns': ['entreprise_key'], 'unique': true}]) }}
WITH versions AS (
    SELECT s.*,
           CASE WHEN row_number() OVER (PARTITION BY s.entreprise_id ORDER BY s.dbt_valid_from) = 1 THEN '-infinity'::timestamptz
                ELSE s.dbt_valid_from END AS valid_from,
           s.dbt_valid_to AS valid_to
    FROM {{ ref('snap_entreprises') }} s),
inconnues AS (
    SELECT entreprise_id FROM {{ ref('stg_demandes') }} UNION SELECT entreprise_id FROM {{ ref('stg_factures') }}
    UNION SELECT entreprise_id FROM {{ ref('stg_collectes') }}
    EXCEPT SELECT entreprise_id FROM versions)
SELECT md5(v.entreprise_id::text || v.valid_from::text) AS entreprise_key, v.entreprise_id, coalesce(e.rccm, v.rccm) AS rccm,
       coalesce(e.raison_sociale, v.raison_sociale) AS raison_sociale, v.forme_juridique, v.secteur, coalesce(e.domaine_id, v.domaine_id) AS domaine_id,
       coalesce(e.ville, v.ville) AS ville, coalesce(e.telephone, v.telephone) AS telephone, coalesce(e.courriel, v.courriel) AS courriel,
       v.valid_from, v.valid_to, v.valid_to IS NULL AS is_current
FROM versions v LEFT JOIN {{ ref('stg_entreprises') }} e USING (entreprise_id)
UNION ALL
SELECT md5(entreprise_id::text), entreprise_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '-infinity', NULL, true FROM inconnues
