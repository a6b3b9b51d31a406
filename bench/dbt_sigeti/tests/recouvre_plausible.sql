SELECT * FROM {{ ref('fait_collectes') }} WHERE NOT (montant_recouvre BETWEEN 0 AND montant_attendu)
