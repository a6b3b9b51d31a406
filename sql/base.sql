-- base: the two schemas, and the version of the library.

CREATE SCHEMA strata;
COMMENT ON SCHEMA strata IS 'pg_strata: the functions and views a warehouse is made with';
GRANT USAGE ON SCHEMA strata TO PUBLIC;

CREATE SCHEMA strata_state;
COMMENT ON SCHEMA strata_state IS 'pg_strata: what the extension remembers; not for direct use';
-- USAGE gives the right to reach the per-model objects their owners own; the extension's own tables grant nothing.
GRANT USAGE ON SCHEMA strata_state TO PUBLIC;

CREATE FUNCTION strata.version() RETURNS text
    LANGUAGE c STRICT STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'strata_base_version';
COMMENT ON FUNCTION strata.version() IS 'The version of pg_strata; an error when the library and the SQL objects are of different versions';
