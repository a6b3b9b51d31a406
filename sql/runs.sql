-- runs: refresh, plan, verify.

CREATE FUNCTION strata.refresh(
        models text DEFAULT '*', exclude text DEFAULT NULL, as_of timestamptz DEFAULT NULL, full_rebuild boolean DEFAULT false,
        confirm_shrink boolean DEFAULT false, wait boolean DEFAULT true, on_error text DEFAULT 'raise')
    RETURNS TABLE (step integer, model text, layer text, action text, status text, rows_in bigint, inserted bigint, updated bigint,
                   deleted bigint, rejected bigint, checks text, duration_ms numeric, message text)
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'strata_refresh';
COMMENT ON FUNCTION strata.refresh(text, text, timestamptz, boolean, boolean, boolean, text) IS
'Brings the chosen models up to date, here and now, in this transaction: one snapshot, checks before anyone else sees a row, all or nothing. models, exclude: selectors; as_of: the run time, which dates versions (default: now); full_rebuild: write targets anew; confirm_shrink: accept that many keys are gone; wait: wait for another refresh of the same model, or refuse; on_error: raise, or record (roll back and keep the failed run in strata.runs). Example: SELECT * FROM strata.refresh(''+marts.recettes'');';

CREATE FUNCTION strata.plan(
        models text DEFAULT '*', exclude text DEFAULT NULL, data boolean DEFAULT false, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (step integer, model text, layer text, action text, reason text, rows_now bigint, rows_in bigint, inserted bigint,
                   updated bigint, deleted bigint, checks text, duration_ms numeric)
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'strata_plan';
COMMENT ON FUNCTION strata.plan(text, text, boolean, timestamptz) IS
'What a refresh would do to each model, and why. data: really do it, report the rows that differ, the checks and the times, and roll it back. Example: SELECT * FROM strata.plan();  SELECT * FROM strata.plan(data => true);';

CREATE FUNCTION strata.verify(
        models text DEFAULT '*', exclude text DEFAULT NULL, sample numeric DEFAULT NULL, repair boolean DEFAULT false)
    RETURNS TABLE (model text, status text, missing bigint, unexpected bigint, sample jsonb, message text, duration_ms numeric)
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'strata_verify';
COMMENT ON FUNCTION strata.verify(text, text, numeric, boolean) IS
'Proves that each chosen model''s target equals what its query gives now, EXCEPT ALL both ways by row image, under one snapshot, reading only. models, exclude: selectors; sample: compare that share of the rows (0.01: one in a hundred, others each time) instead of all; repair: refresh in full, once, each model that differs, and then what reads it. status: equal; diverged (it differs, though nothing it reads has changed since its last refresh); stale (it differs, and what it reads has changed, or nobody can tell); repaired; not built; skipped; error. missing, unexpected: rows too few and too many; sample: some of them, with their side. Errors: 22023 sample is not above 0 and up to 1, 25006 repair in a read-only transaction, 42501 not the owner. Example: SELECT * FROM strata.verify(); SELECT * FROM strata.verify(''layer:mart'', sample => 0.01);';

CREATE FUNCTION strata.test_model(model text, given jsonb, expect jsonb, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (result text, difference text, "row" jsonb)
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'strata_test_model';
COMMENT ON FUNCTION strata.test_model(text, jsonb, jsonb, timestamptz) IS
'Runs a model through its real refresh on given rows and a given clock, compares, and rolls everything back. given: {"schema.relation": [{"column": value}, ...]} for every relation the model reads (for a fact its dimensions too; date dimensions fill themselves), or steps [{"as_of": "2026-01-01", "given": {...}, "confirm_shrink": true, "full_rebuild": true}, ...] refreshed one after another. expect: the rows afterwards, of which the columns named are compared, in any order; or {"error": "part of the message"}. as_of: the run time (default: now). Returns one row ''passed'', or a row ''failed'' for each difference: missing or unexpected. Errors: 42P01 a relation the model does not read, 42703 no such column, 22023 wrong shape, 42501 not the owner. Example: SELECT * FROM strata.test_model(''marts.recettes'', given => ''{"dwh.fait_paiements": [{"mois": "2026-01-01", "montant": 10}]}'', expect => ''[{"total": 10}]'');';
