-- Loads the contours of the départements.
--   psql -v donnees=examples/territoire/data -f charger_contours.sql
-- psql does not expand its variables in \copy: the path goes through the environment of the program.

\set ON_ERROR_STOP on
\if :{?donnees}
\else
\set donnees examples/territoire/data
\endif
\setenv TERRITOIRE_DONNEES :donnees

\copy cog.departement_contour (code, nom, wkt) FROM PROGRAM 'gzip -dc "$TERRITOIRE_DONNEES/departements-contours.csv.gz"' WITH (FORMAT csv, HEADER)
