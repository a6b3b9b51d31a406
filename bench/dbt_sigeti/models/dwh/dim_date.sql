{{ config(indexes=[{'columns': ['date_key'], 'unique': true}]) }}
SELECT to_char(d, 'YYYYMMDD')::integer AS date_key, d::date AS date, extract(year FROM d)::integer AS annee,
       extract(quarter FROM d)::integer AS trimestre, extract(month FROM d)::integer AS mois,
       (ARRAY['janvier', 'février', 'mars', 'avril', 'mai', 'juin', 'juillet', 'août', 'septembre', 'octobre', 'novembre', 'décembre'])
           [extract(month FROM d)::integer] AS nom_mois,
       extract(week FROM d)::integer AS semaine, extract(isodow FROM d)::integer AS jour_semaine,
       (ARRAY['lundi', 'mardi', 'mercredi', 'jeudi', 'vendredi', 'samedi', 'dimanche'])[extract(isodow FROM d)::integer] AS nom_jour
FROM generate_series('2021-01-01'::timestamp, '2027-12-31', '1 day') d
