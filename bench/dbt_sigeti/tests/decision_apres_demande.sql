SELECT * FROM {{ ref('fait_attributions') }} WHERE NOT (date_decision >= date_demande)
