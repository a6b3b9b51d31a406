-- The oracle: after a refresh a target holds what its query gives, as a multiset of row images, and a row that did not
-- change is where it was.
CREATE SCHEMA oracle;

CREATE FUNCTION oracle.images(query text) RETURNS TABLE (image bytea) LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT strata_state.row_image(q.*) FROM (%s) AS q', query);
END $$;

-- 'same', or how many rows are too few and too many in the target; the query is the model's own unless given
CREATE FUNCTION oracle.holds(target text, query text DEFAULT NULL) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    columns text;
    missing bigint;
    extra bigint;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
      FROM pg_attribute WHERE attrelid = target::regclass AND attnum > 0 AND NOT attisdropped;
    IF query IS NULL THEN
        SELECT format('SELECT %s FROM strata_state.m%s_query%s', columns, m.id,
                      CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = format('strata_state.m%s_query', m.id)::regclass
                                           AND attname = 'strata_rejected') THEN ' WHERE strata_rejected IS NULL' ELSE '' END)
          INTO query FROM strata_state.model m JOIN pg_class c ON c.relname = m.relation_name
          JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = m.schema_name
         WHERE c.oid = target::regclass;
    END IF;
    EXECUTE format('SELECT (SELECT count(*) FROM (SELECT oracle.images(%1$L) EXCEPT ALL SELECT oracle.images(%2$L)) AS a),'
                   '       (SELECT count(*) FROM (SELECT oracle.images(%2$L) EXCEPT ALL SELECT oracle.images(%1$L)) AS b)',
                   format('SELECT %s FROM (%s) AS q', columns, query), format('SELECT %s FROM %s', columns, target)) INTO missing, extra;
    IF missing = 0 AND extra = 0 THEN
        RETURN 'same';
    END IF;
    RETURN format('%s rows missing, %s rows too many', missing, extra);
END $$;

CREATE TABLE oracle.place (target text, partition oid, place tid, image bytea);

CREATE FUNCTION oracle.note(target text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DELETE FROM oracle.place p WHERE p.target = note.target;
    EXECUTE format('INSERT INTO oracle.place SELECT %L, t.tableoid, t.ctid, strata_state.row_image(t.*) FROM %s AS t', target, target);
END $$;

-- rows that are in the target as they were when it was noted, and stand elsewhere now
CREATE FUNCTION oracle.moved(target text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    moved bigint;
BEGIN
    EXECUTE format(
        'WITH was AS (SELECT partition, place, image FROM oracle.place WHERE target = %L),'
        '     now AS (SELECT t.tableoid AS partition, t.ctid AS place, strata_state.row_image(t.*) AS image FROM %s AS t)'
        ' SELECT (SELECT count(*) FROM (SELECT image FROM was INTERSECT ALL SELECT image FROM now) AS k)'
        '      - (SELECT count(*) FROM was JOIN now USING (partition, place, image))', target, target) INTO moved;
    RETURN moved;
END $$;

-- an error in full, as a row
CREATE FUNCTION oracle.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement INTO result;
    RETURN 'done: ' || coalesce(result, '');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || message || coalesce(E'\n  DETAIL ' || regexp_replace(nullif(detail, ''), '^column (\w+\.)?"?(\w+)"? does not exist', 'column \2 does not exist'), '') || coalesce(E'\n  HINT ' || nullif(hint, ''), '');
END $$;
