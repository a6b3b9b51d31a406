-- cast: conversions that give NULL, or a reason, instead of an error.
--
-- STABLE, as the conversion to timestamptz and regclass is. Not STRICT: the second argument is mostly a typed NULL.

-- search_path not pinned: hot, runs no SQL of its own, and 'x'::regclass has to mean what the plain cast makes of it
CREATE FUNCTION strata.try_cast(value text, target anyelement) RETURNS anyelement
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_cast_try';
COMMENT ON FUNCTION strata.try_cast(text, anyelement) IS
$$Converts value as value::type does, and gives NULL where that would fail.
Arguments: value, the text; target, any expression of the wanted type (its value is not used): NULL::integer,
NULL::numeric(10,2), or a column. Length and precision of target are applied as by the explicit cast: varchar(3) cuts,
numeric(5,2) rounds, and gives NULL when there are too many digits.
Errors: 42846 when text cannot be cast to the type at all; 42804 for a pseudo-type. Cancellation, lack of memory and
lack of privilege are never turned into NULL.
Example: strata.try_cast('12x', NULL::integer) gives NULL.$$;

-- search_path not pinned: as for try_cast
CREATE FUNCTION strata.cast_error(value text, target anyelement) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_cast_error';
COMMENT ON FUNCTION strata.cast_error(text, anyelement) IS
$$Says why strata.try_cast gives NULL for value: the server's message, with its detail in parentheses; NULL when value
converts. At most 1000 bytes.
Arguments and errors: those of strata.try_cast.
Example: strata.cast_error('12x', NULL::integer) gives: invalid input syntax for type integer: "12x"$$;
