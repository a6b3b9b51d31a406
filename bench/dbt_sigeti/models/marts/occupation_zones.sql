{{ config(indexes=[{'columns': ['zone_id'], 'unique': true}]) }}
WITH lots AS (
    SELECT zone_id, count(*) AS nb_lots, count(*) FILTER (WHERE est_attribue) AS nb_attribues, count(*) FILTER (WHERE est_disponible) AS nb_disponibles,
           sum(superficie_m2) AS superficie_m2, sum(superficie_m2) FILTER (WHERE est_attribue) AS superficie_attribuee_m2,
           count(DISTINCT entreprise_id) AS nb_entreprises
    FROM {{ ref('dim_lot') }} WHERE lot_key <> '0' GROUP BY zone_id),
demandes AS (
    SELECT zone_id, count(*) FILTER (WHERE est_en_instance) AS nb_en_instance FROM {{ ref('fait_attributions') }} GROUP BY zone_id)
SELECT z.zone_id, z.code_zone, z.zone, z.commune, z.region, coalesce(l.nb_lots, 0)::integer AS nb_lots,
       coalesce(l.nb_attribues, 0)::integer AS nb_attribues, coalesce(l.nb_disponibles, 0)::integer AS nb_disponibles,
       coalesce(l.nb_entreprises, 0)::integer AS nb_entreprises, coalesce(l.superficie_m2, 0)::numeric(15,2) AS superficie_m2,
       round(100 * coalesce(l.superficie_attribuee_m2, 0) / nullif(l.superficie_m2, 0), 1) AS taux_occupation,
       coalesce(d.nb_en_instance, 0)::integer AS nb_demandes_en_instance
FROM {{ ref('dim_zone') }} z LEFT JOIN lots l USING (zone_id) LEFT JOIN demandes d USING (zone_id)
WHERE z.zone_key <> '0'
