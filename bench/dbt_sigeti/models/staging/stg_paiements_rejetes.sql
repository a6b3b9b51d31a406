{{ config(materialized='table') }}
SELECT *, CASE WHEN montant IS NULL THEN 'montant' ELSE 'montant positif' END AS raison
FROM {{ ref('int_paiements_lus') }}
WHERE (montant > 0) IS NOT TRUE
