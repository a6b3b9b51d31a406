SELECT m.total AS total_mart, f.total AS total_faits
FROM (SELECT sum(montant_facture) AS total FROM {{ ref('portefeuille_clients') }}) m,
     (SELECT sum(montant_ttc) AS total FROM {{ ref('fait_factures') }}) f
WHERE m.total IS DISTINCT FROM f.total
