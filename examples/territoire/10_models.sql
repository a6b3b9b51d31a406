-- Territoire, 2 of 2: the warehouse. Everything below is a definition: nothing is computed
-- until strata.refresh(). Running this file again changes nothing.
--
\set ON_ERROR_STOP on

CREATE SCHEMA IF NOT EXISTS staging;
CREATE SCHEMA IF NOT EXISTS territoire;
CREATE SCHEMA IF NOT EXISTS population;
CREATE SCHEMA IF NOT EXISTS economie;
CREATE SCHEMA IF NOT EXISTS logement;
CREATE SCHEMA IF NOT EXISTS sante;
COMMENT ON SCHEMA staging    IS 'Typed and cleaned sources. Not for reports.';
COMMENT ON SCHEMA territoire IS 'The places: communes, EPCI, départements, régions, with their history, and what moved.';
COMMENT ON SCHEMA population IS 'Theme: legal populations by vintage.';
COMMENT ON SCHEMA economie   IS 'Theme: tax regime of the EPCI.';
COMMENT ON SCHEMA logement   IS 'Theme: housing. Empty: no source of this example speaks of it.';
COMMENT ON SCHEMA sante      IS 'Theme: health. Empty: no source of this example speaks of it.';

-- Sources -------------------------------------------------------------------------------------

SELECT strata.define_source('cog.millesime', loaded_at => 'charge_le', warn_after => '400 days',
    description => 'One row per loaded vintage of the official geographic code');
SELECT strata.define_source('cog.commune', description => 'Communes by vintage (INSEE), Licence Ouverte');
SELECT strata.define_source('cog.epci', description => 'Intercommunal bodies by vintage (DGCL), Licence Ouverte');
SELECT strata.define_source('cog.departement', description => 'Départements by vintage (INSEE), Licence Ouverte');
SELECT strata.define_source('cog.region', description => 'Régions by vintage (INSEE), Licence Ouverte');
SELECT strata.define_source('cog.departement_contour', description => 'Simplified contours (IGN ADMIN EXPRESS COG 2018), Licence Ouverte 2.0');

-- Staging -------------------------------------------------------------------------------------

-- What the source says in two ways over the years is said in one here, so that a change of habit
-- is no event in the history: overseas collectivities had no département before 2022 but a column
-- of their own, and the arrondissement of the communes of Mayotte is '' where others have NULL.
SELECT strata.define_staging('staging.stg_communes', $$
  SELECT millesime,
         make_date(millesime, 1, 1) AS date_effet,
         code,
         nom,
         type,
         chef_lieu AS commune_parente,
         nullif(arrondissement, '') AS arrondissement,
         coalesce(departement, collectivite_outremer) AS departement,
         coalesce(region, collectivite_outremer) AS region,
         epci,
         strata.try_cast(population, NULL::integer) AS population
    FROM cog.commune
$$, description => 'Communes of every vintage, typed', tags => '{territoire}');

-- One state per code and vintage. The same code can be a commune and, inside it, the commune
-- déléguée that its chef-lieu became: the commune wins.
SELECT strata.define_staging('staging.stg_commune_etats', $$
  SELECT DISTINCT ON (millesime, code)
         millesime, date_effet, code, nom, type, commune_parente, arrondissement, departement, region, epci
    FROM staging.stg_communes
   ORDER BY millesime, code,
            array_position('{commune-actuelle,arrondissement-municipal,commune-deleguee,commune-associee}', type)
$$, description => 'One row per code and vintage', tags => '{territoire}');

-- The same as a feed of changes: a state for each vintage a code is in (U), an end at the first
-- vintage it is no longer in (D). The history is then a function of the vintages alone, in
-- whatever order they are loaded: no refresh has to be run on the day.
SELECT strata.define_staging('staging.stg_commune_changements', $$
  WITH suite AS (
    SELECT annee, lead(annee) OVER (ORDER BY annee) AS suivante FROM cog.millesime
  )
  SELECT 'U' AS operation, e.millesime AS sequence, e.date_effet, e.code, e.nom, e.type, e.commune_parente,
         e.arrondissement, e.departement, e.region, e.epci
    FROM staging.stg_commune_etats e
  UNION ALL
  SELECT 'D', s.suivante, make_date(s.suivante, 1, 1), e.code, e.nom, e.type, e.commune_parente,
         e.arrondissement, e.departement, e.region, e.epci
    FROM staging.stg_commune_etats e
    JOIN suite s ON s.annee = e.millesime
    LEFT JOIN staging.stg_commune_etats apres ON apres.millesime = s.suivante AND apres.code = e.code
   WHERE s.suivante IS NOT NULL AND apres.code IS NULL
$$, description => 'Communes as a feed of changes, vintage after vintage', tags => '{territoire}');

SELECT strata.define_staging('staging.stg_epci', $$
  SELECT millesime,
         make_date(millesime, 1, 1) AS date_effet,
         code,
         nom,
         type,
         mode_financement,
         strata.try_cast(population_totale, NULL::integer) AS population_totale,
         strata.try_cast(population_municipale, NULL::integer) AS population_municipale
    FROM cog.epci
$$, description => 'EPCI of every vintage, typed', tags => '{territoire}');

SELECT strata.define_staging('staging.stg_epci_changements', $$
  WITH suite AS (
    SELECT annee, lead(annee) OVER (ORDER BY annee) AS suivante FROM cog.millesime
  )
  SELECT 'U' AS operation, e.millesime AS sequence, e.date_effet, e.code, e.nom, e.type, e.mode_financement
    FROM staging.stg_epci e
  UNION ALL
  SELECT 'D', s.suivante, make_date(s.suivante, 1, 1), e.code, e.nom, e.type, e.mode_financement
    FROM staging.stg_epci e
    JOIN suite s ON s.annee = e.millesime
    LEFT JOIN staging.stg_epci apres ON apres.millesime = s.suivante AND apres.code = e.code
   WHERE s.suivante IS NOT NULL AND apres.code IS NULL
$$, description => 'EPCI as a feed of changes, vintage after vintage', tags => '{territoire}');

SELECT strata.define_staging('staging.stg_departements', $$
  SELECT d.millesime,
         make_date(d.millesime, 1, 1) AS date_effet,
         d.code,
         d.nom,
         d.region AS code_region,
         d.chef_lieu,
         coalesce(d.zone, CASE WHEN d.code LIKE '97%' THEN 'drom' ELSE 'metro' END) AS zone,
         ST_GeomFromText(c.wkt, 4326)::geometry(MultiPolygon, 4326) AS geom
    FROM cog.departement d
    LEFT JOIN cog.departement_contour c USING (code)
$$, description => 'Départements of every vintage, with their contour', tags => '{territoire}');

-- Only what is known may be counted: a commune with no published population goes to
-- staging.stg_populations__rejected with the reason, and does not count as zero.
SELECT strata.define_staging('staging.stg_populations', $$
  SELECT c.code, c.millesime, c.date_effet, m.annee_population, c.departement, c.region, c.epci, c.population
    FROM staging.stg_communes c
    JOIN cog.millesime m ON m.annee = c.millesime
   WHERE c.type = 'commune-actuelle'
$$, materialized => 'table', key => '{code, millesime}',
    rules => '{"population_connue": "population IS NOT NULL", "population_positive": "population >= 0"}',
    description => 'Population of each commune by vintage; rows without one are kept aside', tags => '{population}');

-- Dimensions ----------------------------------------------------------------------------------

SELECT strata.define_dimension('territoire.dim_commune', $$
  SELECT code, nom, type, commune_parente, arrondissement, departement, region, epci, date_effet, operation, sequence
    FROM staging.stg_commune_changements
$$, key => '{code}',
    history => '{nom, type, commune_parente, arrondissement, departement, region, epci}',
    effective_from => 'date_effet', operation => 'operation', sequence => 'sequence', deletes => 'close',
    description => 'Communes, communes déléguées and associées, arrondissements municipaux, with their history since 2019',
    columns => '{"code": "INSEE code", "type": "commune-actuelle is a full commune; the others are parts of commune_parente",
                 "commune_parente": "INSEE code of the commune this one is a part of", "epci": "SIREN of its intercommunal body"}',
    tags => '{territoire}');

SELECT strata.define_dimension('territoire.dim_epci', $$
  SELECT code, nom, type, mode_financement, date_effet, operation, sequence FROM staging.stg_epci_changements
$$, key => '{code}', history => '{nom, type, mode_financement}',
    effective_from => 'date_effet', operation => 'operation', sequence => 'sequence', deletes => 'close',
    description => 'Intercommunal bodies with their own taxation, with their history',
    columns => '{"code": "SIREN", "type": "CC, CA, CU, METRO or MET69", "mode_financement": "FPU (single business tax) or FA (additional tax)"}',
    tags => '{territoire}');

-- The chef-lieu has a history; name, zone, contour are as they are today in every version.
SELECT strata.define_dimension('territoire.dim_departement', $$
  SELECT code, nom, zone, code_region, chef_lieu,
         round((ST_Area(geom::geography) / 1e6)::numeric, 1) AS superficie_km2,
         geom, date_effet
    FROM staging.stg_departements
$$, key => '{code}', history => '{chef_lieu, code_region}', effective_from => 'date_effet',
    description => 'Départements and overseas collectivities; contour for metropolitan France (IGN ADMIN EXPRESS COG 2018, simplified)',
    columns => '{"superficie_km2": "geodesic area of the simplified contour", "geom": "WGS 84"}', tags => '{territoire}');

SELECT strata.define_dimension('territoire.dim_region', $$
  SELECT r.code, r.nom, r.chef_lieu, g.superficie_km2, g.geom, make_date(r.millesime, 1, 1) AS date_effet
    FROM cog.region r
    LEFT JOIN (SELECT millesime, code_region,
                      ST_Multi(ST_Union(geom))::geometry(MultiPolygon, 4326) AS geom,
                      round((ST_Area(ST_Union(geom)::geography) / 1e6)::numeric, 1) AS superficie_km2
                 FROM staging.stg_departements WHERE geom IS NOT NULL
                GROUP BY millesime, code_region) g ON g.millesime = r.millesime AND g.code_region = r.code
$$, key => '{code}', history => '{chef_lieu}', effective_from => 'date_effet',
    description => 'Régions and overseas collectivities; contour joined from the départements', tags => '{territoire}');

-- Fact ----------------------------------------------------------------------------------------

SELECT strata.define_fact('population.fait_population', $$
  SELECT code AS code_commune, millesime, date_effet AS date_millesime, annee_population,
         departement AS code_departement, region AS code_region, epci AS code_epci, population
    FROM staging.stg_populations
$$, grain => '{code_commune, millesime}',
    dimensions => '{
      "commune_key":     {"dimension": "territoire.dim_commune",     "on": {"code_commune": "code"},     "as_of": "date_millesime"},
      "departement_key": {"dimension": "territoire.dim_departement", "on": {"code_departement": "code"}, "as_of": "date_millesime", "early": "first"},
      "region_key":      {"dimension": "territoire.dim_region",      "on": {"code_region": "code"},      "as_of": "date_millesime", "early": "first"},
      "epci_key":        {"dimension": "territoire.dim_epci",        "on": {"code_epci": "code"},        "as_of": "date_millesime"}}',
    description => 'Legal (municipal) population of each commune in each vintage',
    columns => '{"annee_population": "year of the legal population that the vintage carries", "epci_key": "0: in no EPCI"}',
    tags => '{population}');

-- Marts ---------------------------------------------------------------------------------------

SELECT strata.define_mart('population.departements', $$
  SELECT f.code_departement, f.millesime, f.annee_population, d.nom, d.zone, d.code_region,
         count(*) AS communes,
         sum(f.population) AS population,
         d.superficie_km2,
         round(sum(f.population) / d.superficie_km2, 1) AS densite_km2
    FROM population.fait_population f
    JOIN territoire.dim_departement d USING (departement_key)
   GROUP BY f.code_departement, f.millesime, f.annee_population, d.nom, d.zone, d.code_region, d.superficie_km2
$$, key => '{code_departement, millesime}',
    description => 'Population and density of each département in each vintage',
    columns => '{"densite_km2": "inhabitants per km²; NULL where there is no contour (overseas)"}', tags => '{population}');

SELECT strata.define_mart('population.regions', $$
  SELECT f.code_region, f.millesime, f.annee_population, r.nom,
         count(*) AS communes,
         count(DISTINCT f.code_departement) AS departements,
         sum(f.population) AS population,
         r.superficie_km2,
         round(sum(f.population) / r.superficie_km2, 1) AS densite_km2
    FROM population.fait_population f
    JOIN territoire.dim_region r USING (region_key)
   GROUP BY f.code_region, f.millesime, f.annee_population, r.nom, r.superficie_km2
$$, key => '{code_region, millesime}',
    description => 'Population and density of each région in each vintage', tags => '{population}');

-- Vintages that repeat the populations of the one before do not count as a year without growth:
-- the first vintage of each year of population is taken. 2019 is left out: its communes nouvelles
-- are published without the communes they absorbed (README.md), and would seem to grow.
SELECT strata.define_mart('population.evolution_departements', $$
  WITH par_annee AS (
    SELECT DISTINCT ON (code_departement, annee_population) code_departement, annee_population, millesime, nom, population
      FROM population.departements
     WHERE millesime > 2019
     ORDER BY code_departement, annee_population, millesime
  ), suite AS (
    SELECT *,
           lag(annee_population) OVER w AS depuis_annee,
           lag(population) OVER w AS population_avant
      FROM par_annee
    WINDOW w AS (PARTITION BY code_departement ORDER BY annee_population)
  )
  SELECT code_departement, nom, depuis_annee, annee_population, population_avant, population,
         population - population_avant AS ecart,
         round(100 * (power(population::numeric / nullif(population_avant, 0), 1.0 / (annee_population - depuis_annee)) - 1), 2) AS taux_annuel_pct
    FROM suite
   WHERE depuis_annee IS NOT NULL
$$, key => '{code_departement, annee_population}',
    description => 'Change of population of each département between the years of legal population', tags => '{population}');

-- What the EPCI says of itself beside the sum of its communes: where both come from the same year
-- they agree, but for the communes whose publisher forgot the communes they absorbed.
SELECT strata.define_mart('population.epci', $$
  SELECT e.code AS code_epci, e.millesime, d.nom, d.type, d.mode_financement,
         count(f.code_commune) AS communes,
         sum(f.population) AS population_communes,
         e.population_municipale AS population_publiee,
         round(100.0 * (sum(f.population) - e.population_municipale) / nullif(e.population_municipale, 0), 2) AS ecart_pct
    FROM staging.stg_epci e
    JOIN population.fait_population f ON f.code_epci = e.code AND f.millesime = e.millesime
    JOIN territoire.dim_epci d ON d.epci_key = f.epci_key
   GROUP BY e.code, e.millesime, d.nom, d.type, d.mode_financement, e.population_municipale
$$, key => '{code_epci, millesime}',
    description => 'EPCI in each vintage: communes, population counted and published', tags => '{population}');

SELECT strata.define_mart('economie.regimes_fiscaux', $$
  SELECT millesime, type, mode_financement, count(*) AS epci, sum(communes) AS communes, sum(population_communes) AS population
    FROM population.epci
   GROUP BY millesime, type, mode_financement
$$, key => '{millesime, type, mode_financement}',
    description => 'Tax regime of the EPCI (FPU: single business tax, FA: additional tax) in each vintage', tags => '{economie}');

-- What happened to communes, read from the versions of the dimension.
SELECT strata.define_mart('territoire.mouvements_communes', $$
  WITH version AS (
    SELECT code, nom, type, commune_parente, departement, epci,
           valid_from AS debut, valid_to AS fin
      FROM territoire.dim_commune
     WHERE commune_key <> 0
  ), suite AS (
    SELECT v.*,
           lag(nom) OVER w AS nom_avant, lag(type) OVER w AS type_avant, lag(departement) OVER w AS departement_avant,
           lag(epci) OVER w AS epci_avant, lag(fin) OVER w AS fin_avant, lead(debut) OVER w AS debut_apres,
           min(debut) OVER () AS premier
      FROM version v
    WINDOW w AS (PARTITION BY code ORDER BY debut)
  )
  SELECT code, m.date_effet, m.nature, nom, m.avant, m.apres
    FROM suite
   CROSS JOIN LATERAL (VALUES
      (debut, 'création',            type_avant IS NULL AND type = 'commune-actuelle' AND debut > premier, NULL, nom),
      (debut, 'fusion',              type_avant = 'commune-actuelle' AND type <> 'commune-actuelle' AND fin_avant = debut, type_avant, type || ' de ' || commune_parente),
      (debut, 'rétablissement',      type = 'commune-actuelle' AND (type_avant <> 'commune-actuelle' OR fin_avant < debut), CASE WHEN fin_avant < debut THEN 'absente depuis le ' || to_char(fin_avant, 'YYYY-MM-DD') ELSE type_avant END, type),
      (debut, 'changement de nom',   type = 'commune-actuelle' AND type_avant = type AND nom IS DISTINCT FROM nom_avant, nom_avant, nom),
      (debut, 'changement d''EPCI',  type = 'commune-actuelle' AND type_avant = type AND epci IS DISTINCT FROM epci_avant, epci_avant, epci),
      (debut, 'changement de département', type_avant = type AND departement IS DISTINCT FROM departement_avant, departement_avant, departement),
      (fin,   'disparition',         type = 'commune-actuelle' AND fin IS NOT NULL AND debut_apres IS DISTINCT FROM fin, type, NULL)
    ) AS m (date_effet, nature, vrai, avant, apres)
   WHERE m.vrai
$$, key => '{code, date_effet, nature}',
    description => 'What happened to each commune: merged, gone, restored, created, renamed, moved', tags => '{territoire}');

-- Checks --------------------------------------------------------------------------------------

SELECT strata.define_check('staging.stg_commune_etats', 'unique', columns => '{millesime, code}');
SELECT strata.define_check('territoire.dim_commune', 'accepted_values', columns => '{type}',
    options => '{"values": ["commune-actuelle", "commune-deleguee", "commune-associee", "arrondissement-municipal"]}');
SELECT strata.define_check('territoire.dim_commune', 'not_null', columns => '{code}');
SELECT strata.define_check('territoire.dim_commune', 'relationships', columns => '{commune_parente}',
    options => '{"to": "territoire.dim_commune", "columns": ["code"]}');
SELECT strata.define_check('territoire.dim_commune', 'expression', name => 'part_of_a_commune',
    options => '{"expression": "(type = ''commune-actuelle'') = (commune_parente IS NULL)"}');
SELECT strata.define_check('territoire.dim_epci', 'accepted_values', columns => '{type}',
    options => '{"values": ["CC", "CA", "CU", "METRO", "MET69"]}');
SELECT strata.define_check('territoire.dim_epci', 'accepted_values', columns => '{mode_financement}',
    options => '{"values": ["FPU", "FA"]}');
SELECT strata.define_check('territoire.dim_departement', 'geometry', columns => '{geom}',
    options => '{"srid": 4326, "valid": true}');
SELECT strata.define_check('territoire.dim_departement', 'relationships', columns => '{code_region}',
    options => '{"to": "territoire.dim_region", "columns": ["code"]}');
SELECT strata.define_check('territoire.dim_region', 'geometry', columns => '{geom}',
    options => '{"srid": 4326, "valid": true}');
SELECT strata.define_check('population.fait_population', 'not_null', columns => '{population}');
SELECT strata.define_check('population.fait_population', 'expression', name => 'population_plausible',
    options => '{"expression": "population BETWEEN 0 AND 3000000"}');
SELECT strata.define_check('population.fait_population', 'expression', name => 'every_commune_resolved',
    options => '{"expression": "commune_key <> 0 AND departement_key <> 0 AND region_key <> 0"}',
    description => 'epci_key may be 0: four islands and the overseas collectivities are in no EPCI');
SELECT strata.define_check('population.fait_population', 'row_count', options => '{"min": 34000}');
SELECT strata.define_check('population.fait_population', 'freshness', columns => '{date_millesime}',
    options => '{"max_age": "800 days"}', severity => 'warn', description => 'A vintage is published each year');
SELECT strata.define_check('population.departements', 'row_count_anomaly', options => '{"runs": 10, "deviations": 3}', severity => 'warn');
SELECT strata.define_check('population.departements', 'query', name => 'nothing_lost_on_the_way', options => '{"query":
    "SELECT millesime, f.population AS fact, d.population AS mart FROM (SELECT millesime, sum(population) AS population FROM population.fait_population GROUP BY millesime) f FULL JOIN (SELECT millesime, sum(population) AS population FROM population.departements GROUP BY millesime) d USING (millesime) WHERE f.population IS DISTINCT FROM d.population"}',
    description => 'The départements add up to the communes, vintage by vintage');
SELECT strata.define_check('population.epci', 'expression', name => 'communes_add_up_to_epci', severity => 'warn',
    options => '{"expression": "abs(ecart_pct) <= 5"}',
    description => 'A wide gap is a commune nouvelle whose published population forgets the communes it absorbed');
