-- What the hidden tables of a model that is kept by changes were built for (m<id>_p<n>, m<id>_s<n>). Not dumped: the changes since
-- mean nothing in another cluster.
CREATE TABLE strata_state.incremental (
    model_id  integer PRIMARY KEY,
    signature text NOT NULL,
    inputs    oid[] NOT NULL,                       -- what it reads, views looked through
    quick     boolean NOT NULL,                     -- no view and no function of others is between: no change of these, nothing to do
    views     integer[] NOT NULL,                   -- models kept as views that are between
    views_state text NOT NULL,                      -- and their definitions then
    tables    oid[]                                 -- partitions or rejected rows, sorted; NULL: its rows are in its target alone
);

-- The greatest loaded_at that a model has seen of a source with a watermark; a timestamp or date as that instant in UTC. Not dumped, as above.
CREATE TABLE strata_state.watermark (
    model_id  integer NOT NULL,
    relid     oid NOT NULL,
    seen      timestamptz,                          -- NULL: none yet
    PRIMARY KEY (model_id, relid)
);

-- layers: definitions. No search_path is pinned here: the query is read under the caller's, which is kept with the model.

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.define_source(
        name text, loaded_at text DEFAULT NULL, warn_after interval DEFAULT NULL, error_after interval DEFAULT NULL,
        description text DEFAULT NULL, columns jsonb DEFAULT NULL, tags text[] DEFAULT '{}', changes text DEFAULT 'auto',
        lookback interval DEFAULT NULL)
    RETURNS text LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'strata_define_source';
COMMENT ON FUNCTION strata.define_source(text, text, interval, interval, text, jsonb, text[], text, interval) IS
'Declares a relation that the warehouse reads and does not own. name: schema.relation; loaded_at: its column that tells when a row was loaded; warn_after, error_after: how old the newest row may be. changes: how refreshes tell what has changed in it: auto (by triggers where they can be had, else models that read it are computed in full), capture (by triggers, else their definition is refused), watermark (the rows whose loaded_at is later than the greatest seen: deletions and rows loaded late are not seen), compare (models that read it are computed in full; no trigger). lookback: by how much a row may be loaded late, for watermark. Returns what happened. Errors: 42P01 no such relation, 42703 no such loaded_at, 42804 its type, 22023 no such changes, 0A000 it cannot be captured. Example: SELECT strata.define_source(''public.paiements'', loaded_at => ''updated_at'', warn_after => ''1 day'');';

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.define_staging(
        name text, query text, materialized text DEFAULT 'view', key text[] DEFAULT NULL, rules jsonb DEFAULT NULL,
        reject_failed_casts boolean DEFAULT false, refresh text DEFAULT 'auto', description text DEFAULT NULL,
        columns jsonb DEFAULT NULL, tags text[] DEFAULT '{}')
    RETURNS text LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'strata_define_staging';
COMMENT ON FUNCTION strata.define_staging(text, text, text, text[], jsonb, boolean, text, text, jsonb, text[]) IS
'Defines a staging model: a view, or a table (materialized => ''table''). rules: {"rule name": "condition over its columns"}; a row that breaks one stands in <name>__rejected with the reason and the source row. reject_failed_casts: the same for values that strata.try_cast could not convert. Returns what happened. Errors: 42P01 missing relation, 42P17 cycle or volatile function, 42703 unknown column, 42501 no right. Example: SELECT strata.define_staging(''staging.stg_paiements'', $$ SELECT id AS paiement_id, montant FROM public.paiements $$);';

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.define_dimension(
        name text, query text, key text[], history text[] DEFAULT NULL, fixed text[] DEFAULT NULL,
        effective_from text DEFAULT NULL, operation text DEFAULT NULL, sequence text DEFAULT NULL, deletes text DEFAULT NULL,
        surrogate_key text DEFAULT NULL, unknown jsonb DEFAULT NULL, max_shrink numeric DEFAULT 0.5, refresh text DEFAULT 'auto',
        description text DEFAULT NULL, columns jsonb DEFAULT NULL, tags text[] DEFAULT '{}')
    RETURNS text LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'strata_define_dimension';
COMMENT ON FUNCTION strata.define_dimension(text, text, text[], text[], text[], text, text, text, text, text, jsonb, numeric, text, text, jsonb, text[]) IS
'Defines a dimension: one row per version of a natural key, with a surrogate key that never changes. history: columns whose change opens a version (SCD 2); fixed: columns that keep their first value (SCD 0); all others are overwritten in every version (SCD 1). effective_from: the column that says since when a row holds (else the run time dates versions); operation, sequence: the query is a feed of changes (I/U/D). deletes: what a missing key means: ignore (the default; close for a feed), close, mark. unknown: values of the member with key 0. max_shrink: share of keys that may go at once. Example: SELECT strata.define_dimension(''dwh.dim_entreprise'', $$ SELECT ... $$, key => ''{entreprise_id}'', history => ''{secteur}'');';

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.define_date_dimension(
        name text, start_date date, end_date date, locale text DEFAULT 'en', fiscal_year_start integer DEFAULT 1,
        holidays jsonb DEFAULT NULL, description text DEFAULT NULL, tags text[] DEFAULT '{}')
    RETURNS text LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'strata_define_date_dimension';
COMMENT ON FUNCTION strata.define_date_dimension(text, date, date, text, integer, jsonb, text, text[]) IS
'Defines a date dimension: one row a day from start_date to end_date, key date_key (20260131; 0 is the unknown day). locale: language of month_name and day_name (en, fr; both are also there by name); fiscal_year_start: first month of the fiscal year; holidays: {"2026-01-01": "New Year"}. Example: SELECT strata.define_date_dimension(''dwh.dim_date'', ''2020-01-01'', ''2030-12-31'', locale => ''fr'');';

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.define_fact(
        name text, query text, grain text[], dimensions jsonb DEFAULT NULL, partition_by text DEFAULT NULL,
        partition_unit text DEFAULT 'month', partitions_ahead integer DEFAULT 3, refresh text DEFAULT 'auto',
        description text DEFAULT NULL, columns jsonb DEFAULT NULL, tags text[] DEFAULT '{}')
    RETURNS text LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'strata_define_fact';
COMMENT ON FUNCTION strata.define_fact(text, text, text[], jsonb, text, text, integer, text, text, jsonb, text[]) IS
'Defines a fact: the rows of its query, unique by grain, with a key for each of its dimensions: {"key column": {"dimension": "schema.name", "on": ["column"] or {"fact column": "dimension column"}, "as_of": "date column", "missing": "unknown" or "infer", "early": "first" or "unknown"}}. partition_by: a date column to partition by, a month or year each, made ahead. Example: SELECT strata.define_fact(''dwh.fait_paiements'', $$ SELECT ... $$, grain => ''{paiement_id}'', dimensions => ''{"date_key": {"dimension": "dwh.dim_date", "on": {"date_paiement": "date"}}}'');';

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.define_mart(
        name text, query text, key text[] DEFAULT NULL, foreign_keys jsonb DEFAULT NULL, refresh text DEFAULT 'auto',
        description text DEFAULT NULL, columns jsonb DEFAULT NULL, tags text[] DEFAULT '{}')
    RETURNS text LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'strata_define_mart';
COMMENT ON FUNCTION strata.define_mart(text, text, text[], jsonb, text, text, jsonb, text[]) IS
'Defines a mart: a table with exactly the columns of its query. key: its primary key; without one the rows are kept as a multiset. foreign_keys: {"column": "schema.model"}, for BI tools. Example: SELECT strata.define_mart(''marts.recettes'', $$ SELECT mois, sum(montant) AS total FROM dwh.fait_paiements GROUP BY mois $$, key => ''{mois}'');';

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.define_all(definitions text)
    RETURNS TABLE (step integer, result text) LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'strata_define_all';
COMMENT ON FUNCTION strata.define_all(text) IS
'Runs a script of SELECT strata.define_...(...); statements (and drop_check, drop_model, drop_source), in any order: each after what it reads. All of it or nothing. Arguments are constants. SET search_path, TimeZone, DateStyle and IntervalStyle hold for the definitions below them, and end with the script. Returns what happened, in the order in which it was done. Errors: 42601 something else than a definition, 42710 a name defined twice, 42P19 definitions that read each other in a circle; any other is that of a definition, with its number and line. Example: SELECT * FROM strata.define_all($script$ SELECT strata.define_mart(...); SELECT strata.define_staging(...); $script$);';

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.drop_model(name text, "cascade" boolean DEFAULT false)
    RETURNS text LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'strata_drop_model';
COMMENT ON FUNCTION strata.drop_model(text, boolean) IS
'Drops a model with its target and its history. cascade: also the models that read it; without it they are listed and nothing is dropped. Example: SELECT strata.drop_model(''marts.recettes'');';

-- search_path not pinned: names in the arguments are read under the caller's; C pins it for all else
CREATE FUNCTION strata.drop_source(name text)
    RETURNS text LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'strata_drop_source';
COMMENT ON FUNCTION strata.drop_source(text) IS 'Forgets a declared source; the relation stays. Example: SELECT strata.drop_source(''public.paiements'');';

CREATE FUNCTION strata.export_definitions(models text DEFAULT '*')
    RETURNS text LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'strata_export_definitions';
COMMENT ON FUNCTION strata.export_definitions(text) IS
'The definitions of the chosen models you may see, their sources and checks, as a script that makes them again: queries as they were written, under the settings they were written under. Where the definitions stand already it changes nothing. models: a selector. Example: psql -Atc "SELECT strata.export_definitions()" > warehouse.sql';

CREATE FUNCTION strata.explain_refresh(model text)
    RETURNS SETOF text LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'strata_explain_refresh';
COMMENT ON FUNCTION strata.explain_refresh(text) IS
'How the model follows the changes of what it reads: incrementally or in full and why, the rule of each part of its query, what has changed since its last refresh, and the SQL that a refresh runs. Errors: 42P01 no such model, 42501 not the owner. Example: SELECT * FROM strata.explain_refresh(''marts.recettes'');';
