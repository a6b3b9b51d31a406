{{ config(materialized='table', indexes=[{'columns': ['paiement_id'], 'unique': true}]) }}
SELECT * FROM {{ ref('int_paiements_lus') }} WHERE montant > 0
