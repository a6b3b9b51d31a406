SELECT * FROM {{ ref('fait_factures') }} WHERE NOT (reste_a_payer = montant_ttc - montant_paye)
