-- plan: which models a selector chooses.

CREATE FUNCTION strata.select_models(models text DEFAULT '*', exclude text DEFAULT NULL)
    RETURNS TABLE (model text, layer text, level integer, state text)
    LANGUAGE c VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'strata_plan_select_models';
COMMENT ON FUNCTION strata.select_models(text, text) IS 'The models a selector chooses, of those you may see, in the order a refresh takes them';
