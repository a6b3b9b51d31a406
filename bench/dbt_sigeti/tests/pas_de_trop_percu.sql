{{ config(severity='warn') }}
SELECT * FROM {{ ref('fait_factures') }} WHERE NOT (reste_a_payer >= 0)
