SELECT * FROM {{ ref('fait_paiements') }} WHERE NOT (montant > 0)
