-- After each refresh: how it was done, what it wrote, whether the target holds what its query gives and unchanged rows stayed.
\i :dir/include/oracle.sql

CREATE FUNCTION oracle.kept(models text, OUT model text, OUT how text, OUT wrote text, OUT holds text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    step record;
    moved bigint;
BEGIN
    PERFORM oracle.note(s.model) FROM strata.select_models(models) AS s WHERE to_regclass(s.model) IS NOT NULL;
    FOR step IN SELECT * FROM strata.refresh(models) AS r ORDER BY r.step
    LOOP
        model := step.model;
        SELECT coalesce(s.method, step.action) INTO how FROM strata.steps s WHERE s.run = (SELECT max(run) FROM strata.runs WHERE kind = 'refresh') AND s.step = step.step;
        -- without what hangs on the planner
        how := regexp_replace(regexp_replace(how, ', cost .*', ''), '\(\d+\)', '(...)', 'g');
        wrote := CASE WHEN step.inserted IS NOT NULL THEN format('+%s ~%s -%s', step.inserted, step.updated, step.deleted) END;
        moved := oracle.moved(step.model);
        SELECT v.status || coalesce(': ' || nullif(v.missing, 0) || ' missing', '') || coalesce(': ' || nullif(v.unexpected, 0) || ' unexpected', '')
               || CASE WHEN moved > 0 THEN format(', %s MOVED', moved) ELSE '' END INTO holds FROM strata.verify(step.model) AS v;
        RETURN NEXT;
    END LOOP;
END $$;
