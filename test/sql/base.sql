-- base: the schemas, the version, and the comparison of library and SQL objects
SELECT strata.version() = extversion AS same_version FROM pg_extension WHERE extname = 'pg_strata';

SELECT nspname, has_schema_privilege('public', oid, 'USAGE') AS usage, has_schema_privilege('public', oid, 'CREATE') AS "create",
       obj_description(oid, 'pg_namespace')
FROM pg_namespace WHERE nspname LIKE 'strata%' ORDER BY 1;

-- a library of another version than the objects refuses to work, and says what to do
BEGIN;
UPDATE pg_extension SET extversion = '0.0.0' WHERE extname = 'pg_strata';
\set SHOW_CONTEXT never
DO $$
BEGIN
    PERFORM strata.version();
EXCEPTION WHEN OTHERS THEN
    DECLARE
        detail text;
        hint text;
    BEGIN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        RAISE INFO '% %', SQLSTATE, SQLERRM
            USING DETAIL = regexp_replace(detail, 'library is [0-9.]+,', 'library is X,'), HINT = hint;
    END;
END $$;
ROLLBACK;
SELECT strata.version() IS NOT NULL AS works_again;

-- nothing of the extension's own is open to PUBLIC beyond functions and the views of schema strata
SELECT c.oid::regclass
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'strata_state'
  AND (has_table_privilege('public', c.oid, 'SELECT') OR has_table_privilege('public', c.oid, 'INSERT')
       OR has_table_privilege('public', c.oid, 'UPDATE') OR has_table_privilege('public', c.oid, 'DELETE'))
ORDER BY 1;

-- every function that is not C pins its search_path
SELECT p.oid::regprocedure
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname IN ('strata', 'strata_state') AND l.lanname <> 'c' AND p.prokind <> 'a'
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
ORDER BY 1;
