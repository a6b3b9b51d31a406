-- Rows that differ between the marts of the two warehouses, both ways. The key of dbt is a hash, ours a number: the zone's label stands for it.
SELECT 'portefeuille_clients' AS mart, count(*) AS differences
FROM ((TABLE marts.portefeuille_clients EXCEPT ALL TABLE dbt_marts.portefeuille_clients)
      UNION ALL (TABLE dbt_marts.portefeuille_clients EXCEPT ALL TABLE marts.portefeuille_clients)) t
UNION ALL
SELECT 'occupation_zones', count(*)
FROM ((TABLE marts.occupation_zones EXCEPT ALL TABLE dbt_marts.occupation_zones)
      UNION ALL (TABLE dbt_marts.occupation_zones EXCEPT ALL TABLE marts.occupation_zones)) t
UNION ALL
SELECT 'kpi_operationnels', count(*)
FROM ((TABLE marts.kpi_operationnels EXCEPT ALL TABLE dbt_marts.kpi_operationnels)
      UNION ALL (TABLE dbt_marts.kpi_operationnels EXCEPT ALL TABLE marts.kpi_operationnels)) t
UNION ALL
SELECT 'performance_financiere', count(*)
FROM ((SELECT mois, zone, nb_factures, montant_facture, reste_a_payer, nb_paiements, montant_encaisse, montant_collecte
       FROM marts.performance_financiere
       EXCEPT ALL SELECT mois, zone, nb_factures, montant_facture, reste_a_payer, nb_paiements, montant_encaisse, montant_collecte
       FROM dbt_marts.performance_financiere)
      UNION ALL
      (SELECT mois, zone, nb_factures, montant_facture, reste_a_payer, nb_paiements, montant_encaisse, montant_collecte
       FROM dbt_marts.performance_financiere
       EXCEPT ALL SELECT mois, zone, nb_factures, montant_facture, reste_a_payer, nb_paiements, montant_encaisse, montant_collecte
       FROM marts.performance_financiere)) t;
