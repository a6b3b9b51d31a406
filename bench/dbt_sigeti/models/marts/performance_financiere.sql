{{ config(indexes=[{'columns': ['mois', 'zone_key'], 'unique': true}]) }}
WITH mouvements AS (
    SELECT date_trunc('month', date_emission::timestamp)::date AS mois, zone_key, count(*) AS nb_factures, sum(montant_ttc) AS montant_facture,
           sum(reste_a_payer) AS reste_a_payer, 0::bigint AS nb_paiements, 0::numeric AS montant_encaisse, 0::numeric AS montant_collecte
    FROM {{ ref('fait_factures') }} GROUP BY 1, 2
    UNION ALL
    SELECT date_trunc('month', date_paiement::timestamp)::date, zone_key, 0, 0, 0, count(*), sum(montant), 0
    FROM {{ ref('fait_paiements') }} GROUP BY 1, 2
    UNION ALL
    SELECT date_trunc('month', date_collecte::timestamp)::date, zone_key, 0, 0, 0, 0, 0, sum(montant_recouvre)
    FROM {{ ref('fait_collectes') }} GROUP BY 1, 2)
SELECT m.mois, m.zone_key, z.zone, sum(m.nb_factures)::integer AS nb_factures, sum(m.montant_facture)::numeric(18,2) AS montant_facture,
       sum(m.reste_a_payer)::numeric(18,2) AS reste_a_payer, sum(m.nb_paiements)::integer AS nb_paiements,
       sum(m.montant_encaisse)::numeric(18,2) AS montant_encaisse, sum(m.montant_collecte)::numeric(18,2) AS montant_collecte
FROM mouvements m JOIN {{ ref('dim_zone') }} z USING (zone_key)
GROUP BY m.mois, m.zone_key, z.zone
