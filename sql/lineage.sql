-- lineage: what a query reads, and which columns make which.
-- Nothing of the query is executed.

-- search_path not pinned: the names in the query are looked up in the caller's
CREATE FUNCTION strata.query_lineage(query text)
    RETURNS TABLE (output_column text, source_relation text, source_column text, kind text)
    LANGUAGE c STRICT STABLE
    AS 'MODULE_PATHNAME', 'strata_lineage_query_lineage';
COMMENT ON FUNCTION strata.query_lineage(text) IS 'The columns each output column of a SELECT is made from (copy, derived, aggregate), and, with no output column, those that decide which rows there are (filter)';

-- search_path not pinned: the names in the query are looked up in the caller's
CREATE FUNCTION strata.query_references(query text)
    RETURNS TABLE (relation text, relkind text, columns text[])
    LANGUAGE c STRICT STABLE
    AS 'MODULE_PATHNAME', 'strata_lineage_query_references';
COMMENT ON FUNCTION strata.query_references(text) IS 'The relations a SELECT reads, each once, with their kind (as pg_class.relkind) and the columns read';

-- search_path not pinned: the names in the query are looked up in the caller's
CREATE FUNCTION strata.query_properties(query text)
    RETURNS TABLE (functions text[], volatile_functions text[], time_dependent text[], row_security boolean)
    LANGUAGE c STRICT STABLE
    AS 'MODULE_PATHNAME', 'strata_lineage_query_properties';
COMMENT ON FUNCTION strata.query_properties(text) IS 'What a SELECT calls and depends on: functions that are not built in, volatile ones, clocks (both also inside the views it reads), and whether it reads a relation with row security';
