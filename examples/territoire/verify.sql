-- Verifies what the warehouse made against the CSV files themselves, by plain SQL that shares
-- nothing with the models: raises on the first difference, prints one line per assertion otherwise.
--
--   psql -v donnees=examples/territoire/data -f verify.sql
--
-- Covers the vintages that are loaded; known cases are asserted when theirs are.

\set ON_ERROR_STOP on
\if :{?donnees}
\else
\set donnees examples/territoire/data
\endif
\setenv TERRITOIRE_DONNEES :donnees
\set QUIET on
\pset tuples_only on
\pset format unaligned

CREATE TEMP TABLE csv_commune (millesime integer, code text, nom text, type text, chef_lieu text, arrondissement text,
    departement text, region text, collectivite_outremer text, epci text, population integer);
CREATE TEMP TABLE csv_epci (millesime integer, code text, nom text, type text, mode_financement text,
    population_totale integer, population_municipale integer);
CREATE TEMP TABLE csv_departement (millesime integer, code text, nom text, region text, chef_lieu text, zone text);

\copy csv_commune FROM PROGRAM 'for y in 2019 2021 2022 2023 2024 2025 2026; do gzip -dc "$TERRITOIRE_DONNEES/communes-$y.csv.gz" | sed "1d;s/^/$y,/"; done' WITH (FORMAT csv)
\copy csv_epci FROM PROGRAM 'for y in 2019 2021 2022 2023 2024 2025 2026; do gzip -dc "$TERRITOIRE_DONNEES/epci-$y.csv.gz" | sed "1d;s/^/$y,/"; done' WITH (FORMAT csv)
\copy csv_departement FROM PROGRAM 'for y in 2019 2021 2022 2023 2024 2025 2026; do gzip -dc "$TERRITOIRE_DONNEES/departements-$y.csv.gz" | sed "1d;s/^/$y,/"; done' WITH (FORMAT csv)

-- The files are there and whole: rows of each, whatever is loaded.
CREATE FUNCTION pg_temp.must_be_equal(what text, seen anyelement, expected anyelement) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF seen IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'verify: %: % where % was expected', what, seen, expected;
    END IF;
    RETURN format('ok  %s: %s', what, coalesce(seen::text, 'NULL'));
END $$;

SELECT pg_temp.must_be_equal('rows in the commune files', count(*), 264083::bigint) FROM csv_commune;
SELECT pg_temp.must_be_equal('rows in the EPCI files', count(*), 8788::bigint) FROM csv_epci;

DELETE FROM csv_commune WHERE millesime NOT IN (SELECT annee FROM cog.millesime);
DELETE FROM csv_epci WHERE millesime NOT IN (SELECT annee FROM cog.millesime);
DELETE FROM csv_departement WHERE millesime NOT IN (SELECT annee FROM cog.millesime);

-- The state of each code on 1 January of each vintage: what the dimension must say, vintage by vintage.
CREATE TEMP TABLE etat AS
SELECT DISTINCT ON (millesime, code)
       millesime, code, nom, type, chef_lieu AS commune_parente,
       CASE WHEN arrondissement <> '' THEN arrondissement END AS arrondissement,
       CASE WHEN departement IS NULL THEN collectivite_outremer ELSE departement END AS departement,
       CASE WHEN region IS NULL THEN collectivite_outremer ELSE region END AS region, epci
  FROM csv_commune
 ORDER BY millesime, code, CASE type WHEN 'commune-actuelle' THEN 1 WHEN 'arrondissement-municipal' THEN 2
                                     WHEN 'commune-deleguee' THEN 3 ELSE 4 END;
ANALYZE etat;

CREATE TEMP TABLE etat_dim AS
SELECT annee AS millesime, code, nom, type, commune_parente, arrondissement, departement, region, epci
  FROM cog.millesime
  JOIN territoire.dim_commune ON commune_key <> 0
   AND valid_from <= make_date(annee, 1, 1) AND (valid_to IS NULL OR valid_to > make_date(annee, 1, 1));

SELECT pg_temp.must_be_equal('states of communes in the files and not in the dimension',
    (SELECT count(*) FROM (TABLE etat EXCEPT ALL TABLE etat_dim) d), 0::bigint);
SELECT pg_temp.must_be_equal('states of communes in the dimension and not in the files',
    (SELECT count(*) FROM (TABLE etat_dim EXCEPT ALL TABLE etat) d), 0::bigint);

-- As few versions as the history has: a version starts where the state before differs or is absent.
SELECT pg_temp.must_be_equal('versions of communes',
    (SELECT count(*) FROM territoire.dim_commune WHERE commune_key <> 0),
    (WITH rang AS (SELECT annee, row_number() OVER (ORDER BY annee) AS rang FROM cog.millesime)
     SELECT count(*) FROM etat e JOIN rang r ON r.annee = e.millesime
       LEFT JOIN rang q ON q.rang = r.rang - 1
       LEFT JOIN etat p ON p.millesime = q.annee AND p.code = e.code
      WHERE p.code IS NULL
         OR (p.nom, p.type, p.commune_parente, p.arrondissement, p.departement, p.region, p.epci)
            IS DISTINCT FROM (e.nom, e.type, e.commune_parente, e.arrondissement, e.departement, e.region, e.epci)));
SELECT pg_temp.must_be_equal('versions of communes that start or end elsewhere than on 1 January of a vintage',
    (SELECT count(*) FROM territoire.dim_commune
      WHERE commune_key <> 0
        AND (valid_from NOT IN (SELECT make_date(annee, 1, 1) FROM cog.millesime)
             OR (valid_to IS NOT NULL AND valid_to NOT IN (SELECT make_date(annee, 1, 1) FROM cog.millesime)))), 0::bigint);
SELECT pg_temp.must_be_equal('current communes', count(*), (SELECT count(*) FROM etat WHERE millesime = (SELECT max(annee) FROM cog.millesime)))
  FROM territoire.dim_commune WHERE is_current AND commune_key <> 0;

-- EPCI, départements.
SELECT pg_temp.must_be_equal('states of EPCI that differ',
    (SELECT count(*) FROM (
        (SELECT millesime, code, nom, type, mode_financement FROM csv_epci
         EXCEPT ALL
         SELECT annee, code, nom, type, mode_financement FROM cog.millesime JOIN territoire.dim_epci ON epci_key <> 0
            AND valid_from <= make_date(annee, 1, 1) AND (valid_to IS NULL OR valid_to > make_date(annee, 1, 1)))
        UNION ALL
        (SELECT annee, code, nom, type, mode_financement FROM cog.millesime JOIN territoire.dim_epci ON epci_key <> 0
            AND valid_from <= make_date(annee, 1, 1) AND (valid_to IS NULL OR valid_to > make_date(annee, 1, 1))
         EXCEPT ALL
         SELECT millesime, code, nom, type, mode_financement FROM csv_epci)) d), 0::bigint);
SELECT pg_temp.must_be_equal('départements with another chef-lieu or région than in the files',
    (SELECT count(*) FROM csv_departement c
       LEFT JOIN territoire.dim_departement d ON d.code = c.code AND d.valid_from <= make_date(c.millesime, 1, 1)
        AND (d.valid_to IS NULL OR d.valid_to > make_date(c.millesime, 1, 1))
      WHERE (d.chef_lieu, d.code_region) IS DISTINCT FROM (c.chef_lieu, c.region)), 0::bigint);

-- Populations: every commune, every vintage, and each total on the way up.
SELECT pg_temp.must_be_equal('populations that differ',
    (SELECT count(*) FROM (
        (SELECT millesime, code, population FROM csv_commune WHERE type = 'commune-actuelle' AND population IS NOT NULL
         EXCEPT ALL SELECT millesime, code_commune, population FROM population.fait_population)
        UNION ALL
        (SELECT millesime, code_commune, population FROM population.fait_population
         EXCEPT ALL SELECT millesime, code, population FROM csv_commune WHERE type = 'commune-actuelle' AND population IS NOT NULL)) d), 0::bigint);
SELECT pg_temp.must_be_equal('communes kept aside for want of a population',
    (SELECT count(*) FROM staging.stg_populations__rejected),
    (SELECT count(*) FROM csv_commune WHERE type = 'commune-actuelle' AND population IS NULL));
SELECT pg_temp.must_be_equal(format('population of vintage %s: communes, départements, régions', millesime),
    ARRAY[(SELECT sum(population) FROM population.fait_population WHERE millesime = c.millesime),
          (SELECT sum(population) FROM population.departements WHERE millesime = c.millesime),
          (SELECT sum(population) FROM population.regions WHERE millesime = c.millesime)]::bigint[],
    array_fill(sum(c.population), ARRAY[3]))
  FROM csv_commune c WHERE type = 'commune-actuelle' GROUP BY millesime ORDER BY millesime;
SELECT pg_temp.must_be_equal(format('full communes on 1 January %s', millesime),
    (SELECT count(*) FROM territoire.dim_commune d WHERE type = 'commune-actuelle'
        AND valid_from <= make_date(c.millesime, 1, 1) AND (valid_to IS NULL OR valid_to > make_date(c.millesime, 1, 1))),
    count(*))
  FROM csv_commune c WHERE type = 'commune-actuelle' GROUP BY millesime ORDER BY millesime;

-- The fact hangs on the version of its day.
SELECT pg_temp.must_be_equal('facts whose commune, département or EPCI is not the one of their day',
    (SELECT count(*) FROM population.fait_population f
       LEFT JOIN territoire.dim_commune c ON c.commune_key = f.commune_key
       LEFT JOIN territoire.dim_epci e ON e.epci_key = f.epci_key AND f.epci_key <> 0
      WHERE c.code IS DISTINCT FROM f.code_commune
         OR c.valid_from > make_date(f.millesime, 1, 1) OR c.valid_to <= make_date(f.millesime, 1, 1)
         OR c.epci IS DISTINCT FROM f.code_epci OR e.code IS DISTINCT FROM f.code_epci
         OR e.valid_from > make_date(f.millesime, 1, 1) OR e.valid_to <= make_date(f.millesime, 1, 1)), 0::bigint);

SELECT pg_temp.must_be_equal('densities that differ from population over geodesic area',
    (SELECT count(*) FROM population.departements d JOIN cog.departement_contour c ON c.code = d.code_departement
      WHERE abs(d.densite_km2 - d.population / (ST_Area(ST_GeomFromText(c.wkt, 4326)::geography) / 1e6)::numeric) > 0.1 + d.densite_km2 * 0.001), 0::bigint);

-- Known cases, by name: each is asserted when the vintages it spans are loaded.
CREATE FUNCTION pg_temp.known_history(commune text, vintages integer[], expected text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    seen text;
BEGIN
    IF (SELECT count(*) FROM cog.millesime WHERE annee = ANY (vintages)) < cardinality(vintages) THEN
        RETURN format('skipped  history of %s: not all of %s are loaded', commune, vintages);
    END IF;
    SELECT string_agg(format('%s %s %s-%s', nom, CASE type WHEN 'commune-actuelle' THEN '' ELSE '(' || commune_parente || ')' END,
                             extract(year FROM valid_from), extract(year FROM valid_to)), '; ' ORDER BY valid_from)
      INTO seen FROM territoire.dim_commune WHERE code = commune;
    RETURN pg_temp.must_be_equal('history of ' || commune, seen, expected);
END $$;

-- Merged on 1 January 2023: Béon into Culoz, which took its name beside its own.
SELECT pg_temp.known_history('01039', '{2019,2022,2023}', 'Béon  2019-2023; Béon (01138) 2023-');
SELECT pg_temp.known_history('01138', '{2019,2022,2023}', 'Culoz  2019-2023; Culoz-Béon  2023-');
-- Merged on 1 January 2024: Pierre-Bénite into Oullins.
SELECT pg_temp.known_history('69149', '{2019,2023,2024}', 'Oullins  2019-2024; Oullins-Pierre-Bénite  2024-');
SELECT pg_temp.known_history('69152', '{2019,2023,2024}', 'Pierre-Bénite  2019-2024; Pierre-Bénite (69149) 2024-');
-- Gone on 1 January 2025, and no commune déléguée keeps its code.
SELECT pg_temp.known_history('16238', '{2019,2024,2025}', 'Moutonneau  2019-2025');
-- A code that went away and came back, with a hole between: Les Trois Lacs moved its chef-lieu to 27058 and back.
SELECT pg_temp.known_history('27676', '{2019,2021,2022,2023}', 'Les Trois Lacs  2019-2021; Les Trois Lacs  2023-');
SELECT pg_temp.known_history('27058', '{2019,2021,2022,2023}', 'Bernières-sur-Seine (27676) 2019-2021; Les Trois Lacs  2021-2023');
-- Restored on 1 January 2024: L'Oie leaves Essarts-en-Bocage.
SELECT pg_temp.known_history('85165', '{2019,2023,2024}', 'L''Oie (85084) 2019-2024; L''Oie  2024-');
-- The chef-lieu changed in 2025, and with it the code of Conques-en-Rouergue.
SELECT pg_temp.known_history('12076', '{2019,2024,2025}', 'Conques-en-Rouergue  2019-2025; Conques (12218) 2025-');
SELECT pg_temp.known_history('12218', '{2019,2024,2025}', 'Saint-Cyprien-sur-Dourdou (12076) 2019-2025; Conques-en-Rouergue  2025-');
-- Renamed and nothing else.
SELECT pg_temp.known_history('12083', '{2019,2025,2026}', 'Cransac  2019-2026; Cransac-les-Thermes  2026-');
\pset tuples_only off
\pset format aligned
\echo 'verify: everything the warehouse holds is what the files say.'
