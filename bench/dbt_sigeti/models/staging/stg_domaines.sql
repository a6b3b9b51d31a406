SELECT id AS domaine_id, code AS code_domaine, libelle AS domaine, famille
FROM {{ source('sigeti', 'domaines_activite') }}
WHERE deleted_at IS NULL
