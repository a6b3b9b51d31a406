SELECT id AS entreprise_id, rccm, btrim(raison_sociale) AS raison_sociale, forme_juridique, secteur, domaine_id, ville, telephone, courriel,
       updated_at AS modifie_le
FROM {{ source('sigeti', 'entreprises') }}
WHERE deleted_at IS NULL
