-- Loads one vintage, all or nothing. A vintage already there is refused (primary key).
--   psql -v millesime=2019 -v donnees=examples/territoire/data -f charger_millesime.sql
-- psql does not expand its variables in \copy: they go through the environment of the program,
-- where sed writes the vintage before each line.

\set ON_ERROR_STOP on
\if :{?donnees}
\else
\set donnees examples/territoire/data
\endif
\setenv TERRITOIRE_DONNEES :donnees
\setenv TERRITOIRE_MILLESIME :millesime

BEGIN;

-- The version of the npm package, and the year of the legal populations in it (README.md says how it is known).
INSERT INTO cog.millesime (annee, annee_population, version_paquet)
SELECT annee, annee_population, version_paquet
FROM (VALUES
    (2019, 2016, '0.7.0'),
    (2021, 2019, '1.1.1'),
    (2022, 2020, '2.3.1'),
    (2023, 2020, '3.1.1'),
    (2024, 2022, '4.1.0'),
    (2025, 2023, '5.3.0'),
    (2026, 2023, '6.0.0')) AS publie (annee, annee_population, version_paquet)
WHERE annee = :millesime;

\copy cog.commune FROM PROGRAM 'gzip -dc "$TERRITOIRE_DONNEES/communes-$TERRITOIRE_MILLESIME.csv.gz" | sed "s/^/$TERRITOIRE_MILLESIME,/"' WITH (FORMAT csv, HEADER)
\copy cog.epci FROM PROGRAM 'gzip -dc "$TERRITOIRE_DONNEES/epci-$TERRITOIRE_MILLESIME.csv.gz" | sed "s/^/$TERRITOIRE_MILLESIME,/"' WITH (FORMAT csv, HEADER)
\copy cog.departement FROM PROGRAM 'gzip -dc "$TERRITOIRE_DONNEES/departements-$TERRITOIRE_MILLESIME.csv.gz" | sed "s/^/$TERRITOIRE_MILLESIME,/"' WITH (FORMAT csv, HEADER)
\copy cog.region FROM PROGRAM 'gzip -dc "$TERRITOIRE_DONNEES/regions-$TERRITOIRE_MILLESIME.csv.gz" | sed "s/^/$TERRITOIRE_MILLESIME,/"' WITH (FORMAT csv, HEADER)

-- A missing file is an empty pipe for \copy, not an error: an empty table is refused here.
SELECT set_config('territoire.millesime', :'millesime', true) AS millesime \gset
DO $$
DECLARE
    vintage integer := current_setting('territoire.millesime');
    missing text;
BEGIN
    SELECT string_agg(name, ', ') INTO missing
    FROM (VALUES ('communes', EXISTS (SELECT FROM cog.commune WHERE millesime = vintage)),
                 ('epci', EXISTS (SELECT FROM cog.epci WHERE millesime = vintage)),
                 ('departements', EXISTS (SELECT FROM cog.departement WHERE millesime = vintage)),
                 ('regions', EXISTS (SELECT FROM cog.region WHERE millesime = vintage))) AS file (name, loaded)
    WHERE NOT loaded;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'vintage % has no rows for: %', vintage, missing
            USING HINT = 'Run from the repository root, or give the folder of the CSV files with -v donnees=.';
    END IF;
END $$;

COMMIT;

-- Statistics now: the refresh that follows must not be planned on an empty table.
ANALYZE cog.commune, cog.epci, cog.departement, cog.region;
