-- delta: rows as bytes

-- search_path not pinned: bytes only, no name is looked up; called for every row
CREATE FUNCTION strata_state.row_image(record) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_row_image';
COMMENT ON FUNCTION strata_state.row_image(record) IS
'The bytes of a row''s values (their SHA-256 when long): equal for rows that are the same byte for byte, of any type, json and point too.';
