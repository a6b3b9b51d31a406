{{ config(indexes=[{'columns': ['mois'], 'unique': true}]) }}
WITH demandes AS (
    SELECT date_trunc('month', date_demande::timestamp)::date AS mois, count(*) AS nb_demandes, count(*) FILTER (WHERE est_approuvee) AS nb_approuvees,
           count(*) FILTER (WHERE est_rejetee) AS nb_rejetees, count(*) FILTER (WHERE est_en_instance) AS nb_en_instance,
           avg(delai_jours) AS delai_moyen
    FROM {{ ref('fait_attributions') }} GROUP BY 1),
collectes AS (
    SELECT date_trunc('month', date_collecte::timestamp)::date AS mois, count(*) AS nb_collectes, count(*) FILTER (WHERE est_terminee) AS nb_terminees,
           sum(montant_recouvre) AS montant_recouvre, sum(montant_attendu) FILTER (WHERE est_terminee) AS montant_attendu
    FROM {{ ref('fait_collectes') }} GROUP BY 1)
SELECT mois, coalesce(d.nb_demandes, 0)::integer AS nb_demandes, coalesce(d.nb_approuvees, 0)::integer AS nb_approuvees,
       coalesce(d.nb_rejetees, 0)::integer AS nb_rejetees, coalesce(d.nb_en_instance, 0)::integer AS nb_en_instance,
       round(100.0 * d.nb_approuvees / nullif(d.nb_approuvees + d.nb_rejetees, 0), 1) AS taux_approbation,
       round(d.delai_moyen, 1) AS delai_moyen_jours, coalesce(c.nb_collectes, 0)::integer AS nb_collectes,
       coalesce(c.nb_terminees, 0)::integer AS nb_collectes_terminees,
       round(100 * c.montant_recouvre / nullif(c.montant_attendu, 0), 1) AS taux_recouvrement_collectes
FROM demandes d FULL JOIN collectes c USING (mois)
