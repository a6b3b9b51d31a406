{% snapshot snap_entreprises %}
{{ config(target_schema='dbt_dwh', unique_key='entreprise_id', strategy='check', check_cols=['forme_juridique', 'secteur'],
          updated_at='modifie_le', hard_deletes='invalidate') }}
SELECT id AS entreprise_id, rccm, btrim(raison_sociale) AS raison_sociale, forme_juridique, secteur, domaine_id, ville, telephone, courriel,
       updated_at AS modifie_le
FROM {{ source('sigeti', 'entreprises') }}
WHERE deleted_at IS NULL
{% endsnapshot %}
