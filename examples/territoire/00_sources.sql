-- Territoire, 1 of 2: what the warehouse reads and does not own.
--
-- Schema cog: the vintages of the Code officiel géographique as they were published, every
-- column text except the vintage, nothing corrected. Loaded by charger_millesime.sql.
--
--   psql -f 00_sources.sql

\set ON_ERROR_STOP on

CREATE EXTENSION IF NOT EXISTS postgis;

CREATE SCHEMA cog;
COMMENT ON SCHEMA cog IS 'Code officiel géographique (INSEE), EPCI (DGCL), contours (IGN): as published, by yearly vintage. Licence Ouverte (Etalab 2.0).';

-- What the publisher says of each vintage. annee_population is the year of the legal populations
-- that the vintage carries: two vintages repeat those of the vintage before, some skip a year.
CREATE TABLE cog.millesime (
    annee             integer PRIMARY KEY,
    annee_population  integer NOT NULL,
    version_paquet    text NOT NULL,
    charge_le         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cog.commune (
    millesime              integer NOT NULL REFERENCES cog.millesime,
    code                   text,
    nom                    text,
    type                   text,
    chef_lieu              text,
    arrondissement         text,
    departement            text,
    region                 text,
    collectivite_outremer  text,
    epci                   text,
    population             text
);
CREATE INDEX ON cog.commune (millesime, code);

CREATE TABLE cog.epci (
    millesime              integer NOT NULL REFERENCES cog.millesime,
    code                   text,
    nom                    text,
    type                   text,
    mode_financement       text,
    population_totale      text,
    population_municipale  text
);

CREATE TABLE cog.departement (
    millesime  integer NOT NULL REFERENCES cog.millesime,
    code       text,
    nom        text,
    region     text,
    chef_lieu  text,
    zone       text
);

CREATE TABLE cog.region (
    millesime  integer NOT NULL REFERENCES cog.millesime,
    code       text,
    nom        text,
    chef_lieu  text,
    zone       text
);

CREATE TABLE cog.departement_contour (
    code  text PRIMARY KEY,
    nom   text NOT NULL,
    wkt   text NOT NULL
);
COMMENT ON TABLE cog.departement_contour IS 'Simplified contours of the départements of metropolitan France, WGS 84. IGN ADMIN EXPRESS COG 2018, INSEE codes; Licence Ouverte 2.0.';
