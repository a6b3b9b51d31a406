-- incremental_algebra: the statements that merge the changes of groups into their state, and what they come to
\pset format unaligned
\pset tuples_only on
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION citext SCHEMA public;
CREATE SCHEMA algebra;
SET search_path = algebra, public;
CREATE FUNCTION statements(query text, changed oid[]) RETURNS TABLE (what text, sql text)
LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_algebra_sql';

CREATE TABLE t (g integer, h text, i2 smallint, i4 integer, i8 bigint, fixed numeric(10,2), free numeric, odd numeric, b boolean,
    s text, f double precision, d date, ci citext);
CREATE TABLE sale (id integer PRIMARY KEY, customer integer NOT NULL, amount numeric(12,2), sold date);

-- what is not merged, and why
CREATE FUNCTION refusal(query text) RETURNS text LANGUAGE sql AS
$$ SELECT query || ': ' || coalesce(max(sql) FILTER (WHERE what = 'refusal'), 'merged') FROM statements(query, '{}') $$;
CREATE DOMAIN amount AS numeric(10,2) CHECK (VALUE > -1e6);
CREATE TYPE pair AS (a integer, b integer);
CREATE AGGREGATE algebra.sum(text) (sfunc = textcat, stype = text);
SELECT refusal(query) FROM unnest(ARRAY[
    'SELECT string_agg(s, '','') FROM t',
    'SELECT count(DISTINCT i4) FROM t',
    'SELECT sum(f) FROM t', 'SELECT avg(f) FROM t', 'SELECT min(f), max(f) FROM t',
    'SELECT algebra.sum(s) FROM t',
    'SELECT sum(d - date ''2026-01-01'') FROM t',
    'SELECT sum(age(d)) FROM t',
    'SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY i4) FROM t',
    'SELECT count(t) FROM t',
    'SELECT f, count(*) FROM t GROUP BY f',
    'SELECT free, count(*) FROM t GROUP BY free',
    'SELECT fixed, count(*) FROM t GROUP BY fixed',
    'SELECT ci, count(*) FROM t GROUP BY ci',
    'SELECT max(ci), max(DISTINCT i4) AS i FROM t', 'SELECT bool_or(DISTINCT b) FROM t', 'SELECT max(i4 ORDER BY i2) FROM t',
    'SELECT g, count(*) FROM t GROUP BY ROLLUP (g)',
    'SELECT DISTINCT g, count(*) FROM t GROUP BY g',
    'SELECT g, count(*) FROM t GROUP BY g LIMIT 1',
    'SELECT g, rank() OVER (ORDER BY count(*)) FROM t GROUP BY g',
    'SELECT g, (SELECT max(amount) FROM sale) FROM t GROUP BY g',
    'SELECT g, generate_series(1, 2) FROM t GROUP BY g',
    'SELECT g FROM t',
    'SELECT id, sold, count(*) FROM sale GROUP BY id']) AS query;

-- what is run, for two typical queries
CREATE FUNCTION shown(query text, relation regclass) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format(E'-- %s\n%s', what, replace(sql, relation::oid::text, '<relid>')) FROM statements(query, ARRAY[relation::oid])
$$;
SELECT shown('SELECT customer, count(*) AS n, sum(amount) AS amount FROM algebra.sale GROUP BY customer', 'sale');
SELECT shown('SELECT sold, h, avg(free) AS avg, max(amount) - min(amount) AS spread, stddev(i4) FROM algebra.sale JOIN algebra.t ON g = customer
    WHERE b GROUP BY sold, h HAVING count(*) FILTER (WHERE i4 > 0) > 1', 'sale');

-- Rows whose extremum's value stays: g, n, not null, sum, what came and left of min(d), max(d), max(fixed), which of the three stay
CREATE FUNCTION change_of_updates() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE s jsonb;
BEGIN
    EXECUTE format('CREATE TEMP TABLE strata_change_%s AS SELECT t.*, strata_sign FROM (VALUES (1, 10, date ''2026-01-01'', 2.5, -1), (1, 12, ''2026-01-01'', 2.5, 1),
            (1, 1, ''2026-01-02'', 2.5, 2), (2, 1, ''2026-01-03'', 0, 1), (2, 1, ''2026-01-03'', 0, -1)) AS v (g, i4, d, fixed, strata_sign),
        jsonb_populate_record(NULL::algebra.t, to_jsonb(v)) AS t', 't'::regclass::oid);
    SELECT jsonb_object_agg(what, sql) INTO s FROM statements('SELECT g, sum(i4), min(d), max(d), max(fixed) AS f FROM algebra.t GROUP BY g', ARRAY['t'::regclass::oid]);
    RETURN QUERY SELECT s ->> 'counted';
    EXECUTE 'CREATE TEMP TABLE t_change AS ' || (s ->> 'change');
    CREATE TEMP TABLE t_keys AS SELECT k1 FROM t_change;
    RETURN QUERY EXECUTE format('SELECT x::text FROM (%s) AS x', s ->> 'counted');
    DROP TABLE t_change, t_keys;
    EXECUTE format('DROP TABLE strata_change_%s', 't'::regclass::oid);
END $$;
SELECT replace(change_of_updates, 't'::regclass::oid::text, '<relid>') FROM change_of_updates();

-- Random rows, random changes: what is said to change is what changes, to the last zero; and the state is as computed anew.
CREATE FUNCTION any_of(variadic choices anycompatiblearray) RETURNS anycompatible LANGUAGE sql VOLATILE AS
$$ SELECT choices[1 + floor(random() * array_length(choices, 1))::integer] $$;
CREATE FUNCTION some_rows(n integer, groups integer) RETURNS SETOF t LANGUAGE sql VOLATILE AS $$
    SELECT any_of(NULL, floor(random() * groups)::integer, floor(random() * groups)::integer), any_of('a'::text, 'b', 'B', NULL),
        any_of(NULL, floor(random() * 9 - 4)::smallint, 32767::smallint, (-32768)::smallint),
        any_of(NULL, floor(random() * 9 - 4)::integer, 2147483647, '-2147483648', 7),
        any_of(NULL, floor(random() * 9 - 4)::bigint, 9223372036854775807, '-9223372036854775808', 7),
        any_of(NULL, (random() * 100)::numeric(10,2), 'NaN', 0.5, 99999999.99),
        any_of(NULL, round((random() * 100)::numeric, floor(random() * 4)::integer), 1.5, 1.50, 3, 0, 1e20, 1e-7, -12.3456789),
        any_of(NULL, round((random() * 10)::numeric, 1), 2.50, 'NaN', 'Infinity', '-Infinity', 1, 2, 3),
        any_of(NULL, true, false, true), any_of(NULL, 'x'::text, 'y', 'Z', ''), any_of(NULL, 'NaN', 1::double precision, 0, '-0', 2.5, '-Infinity'),
        any_of(NULL, date '2026-01-01' + floor(random() * 5)::integer, 'infinity'),
        any_of(NULL, 'a'::citext, 'A', 'b', 'B')
    FROM generate_series(1, n)
$$;
CREATE FUNCTION some_changes(groups integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE floor(random() * 8)::integer
        WHEN 0 THEN DELETE FROM t;
        WHEN 1 THEN DELETE FROM t WHERE g = (SELECT min(g) FROM t);
        WHEN 2 THEN DELETE FROM t WHERE odd IN ('NaN', 'Infinity', '-Infinity') OR fixed = 'NaN';
        WHEN 3 THEN DELETE FROM t WHERE scale(free) > 2;
        WHEN 4 THEN DELETE FROM t WHERE i4 > 100 OR b;
        ELSE DELETE FROM t WHERE random() < 0.2;
    END CASE;
    UPDATE t SET i4 = any_of(1, 2, NULL), free = round(free, 1) WHERE random() < 0.1;
    UPDATE t SET g = any_of(1, 2, NULL), h = upper(h) WHERE random() < 0.1;
    INSERT INTO t SELECT * FROM some_rows(floor(random() * 15)::integer, groups);
    IF random() < 0.3 THEN INSERT INTO t SELECT t.* FROM t LIMIT 5; END IF;
END $$;

CREATE FUNCTION differences(one text, other text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (((%1$s) EXCEPT ALL (%2$s)) UNION ALL ((%2$s) EXCEPT ALL (%1$s))) AS d', one, other) INTO n;
    RETURN n;
END $$;
-- exact: compared as text; else as values, where PostgreSQL's own choice between equal ones is open
CREATE FUNCTION follow(query text, rounds integer, groups integer, exact boolean = true) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    s jsonb; keys integer; columns text; key_columns text; rows text := CASE WHEN exact THEN 'x::text' ELSE 'x.*' END;
    rescans bigint := 0; merges bigint := 0; n bigint;
BEGIN
    DELETE FROM t;
    INSERT INTO t SELECT * FROM some_rows(30, groups);
    SELECT jsonb_object_agg(what, sql) INTO s FROM statements(query, ARRAY['algebra.t'::regclass::oid]);
    IF s ? 'refusal' THEN RETURN s ->> 'refusal'; END IF;
    keys := s ->> 'keys';
    SELECT coalesce(string_agg('k' || i, ', '), '') INTO key_columns FROM generate_series(1, keys) AS i;
    EXECUTE format('CREATE TEMP TABLE t_state (%s)', s ->> 'columns');
    EXECUTE 'INSERT INTO t_state ' || (s ->> 'state');
    EXECUTE 'CREATE TEMP TABLE t_result AS ' || query;
    SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute WHERE attrelid = 't_result'::regclass AND attnum > 0;
    FOR round IN 1 .. rounds LOOP
        CREATE TEMP TABLE t_old AS TABLE t;
        PERFORM some_changes(groups);
        -- by image, and rows that came and went in the same change
        EXECUTE format('CREATE TEMP TABLE strata_change_%s AS SELECT (r::algebra.t).*, strata_sign::integer FROM (
                SELECT r, sum(sign) FROM (SELECT t::text, 1 FROM t UNION ALL SELECT t_old::text, -1 FROM t_old) AS x (r, sign)
                    GROUP BY r HAVING sum(sign) <> 0
                UNION ALL SELECT p::text, sign FROM some_rows(3, %s) AS p, unnest(ARRAY[1, -1]) AS sign WHERE %s %% 3 = 0)
            AS x (r, strata_sign)', 't'::regclass::oid, groups, round);
        EXECUTE 'CREATE TEMP TABLE t_change AS ' || (s ->> 'change');
        IF keys > 0 THEN
            EXECUTE format('SELECT count(*) FROM t_change WHERE num_nulls(%s) > 0', key_columns) INTO n;
        ELSE
            n := 0;
        END IF;
        EXECUTE 'CREATE TEMP TABLE t_merge AS ' || CASE WHEN n = 0 THEN s ->> 'merge without nulls' ELSE s ->> 'merge' END;
        merges := merges + (SELECT count(*) FROM t_merge);
        -- an extremum that may have left: how often it came
        IF EXISTS (SELECT FROM t_merge WHERE strata_rescan = 1) THEN
            EXECUTE format('CREATE TEMP TABLE t_keys AS SELECT %s FROM t_merge WHERE strata_rescan = 1', key_columns);
            EXECUTE 'CREATE TEMP TABLE t_counted AS ' || (s ->> 'counted');
            DELETE FROM t_merge WHERE strata_rescan = 1;
            EXECUTE 'INSERT INTO t_merge ' || (s ->> 'merge counted');
            ASSERT NOT EXISTS (SELECT FROM t_merge WHERE strata_rescan = 1), format('round %s of %s: counted', round, query);
            DROP TABLE t_keys, t_counted;
        END IF;
        EXECUTE format('CREATE TEMP TABLE t_keys AS SELECT %s FROM t_merge WHERE strata_rescan = 2', key_columns);
        rescans := rescans + (SELECT count(*) FROM t_keys);
        CREATE TEMP TABLE t_merged AS SELECT * FROM t_merge WHERE strata_rescan = 0;
        IF EXISTS (SELECT FROM t_keys) THEN
            EXECUTE 'CREATE TEMP TABLE t_fresh AS ' || (s ->> 'fresh');
            EXECUTE 'INSERT INTO t_merged ' || (s ->> 'rescanned');
            DROP TABLE t_fresh;
        END IF;
        EXECUTE 'CREATE TEMP TABLE t_output AS ' || (s ->> 'output');
        DELETE FROM t_state USING t_merged AS m WHERE t_state.ctid = m.strata_ctid;
        EXECUTE format('INSERT INTO t_state SELECT %s FROM t_merged WHERE n > 0 OR %s = 0',
            (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 't_state'::regclass AND attnum > 0), keys);
        EXECUTE 'CREATE TEMP TABLE t_new AS ' || query;
        ASSERT differences(format('(SELECT %s FROM t_result AS x UNION ALL SELECT %1$s FROM (SELECT %s FROM t_output WHERE strata_sign > 0) AS x)
                EXCEPT ALL SELECT %1$s FROM (SELECT %2$s FROM t_output WHERE strata_sign < 0) AS x', rows, columns),
            format('SELECT %s FROM t_new AS x', rows)) = 0, format('round %s of %s: output', round, query);
        EXECUTE 'CREATE TEMP TABLE t_fresh AS ' || (s ->> 'state');
        ASSERT differences('TABLE t_state', 'TABLE t_fresh') = 0, format('round %s of %s: state', round, query);
        ASSERT differences(format('SELECT %s FROM t_new AS x', rows), format('SELECT %s FROM (%s) AS x', rows, s ->> 'result')) = 0,
            format('round %s of %s: result', round, query);
        EXECUTE format('DROP TABLE strata_change_%s', 't'::regclass::oid);
        DROP TABLE t_result;
        ALTER TABLE t_new RENAME TO t_result;
        DROP TABLE t_old, t_change, t_merge, t_keys, t_merged, t_output, t_fresh;
    END LOOP;
    DROP TABLE t_state, t_result;
    RETURN format('followed, %s', CASE WHEN rescans = 0 THEN 'no group computed again'
        WHEN rescans < merges THEN 'some groups computed again' ELSE 'all groups computed again' END);
END $$;
SELECT setseed(0.42);
SELECT follow('SELECT g, count(*) AS a, count(i4) AS b, count(s) AS c, count(*) FILTER (WHERE b) AS d, count(d) FILTER (WHERE i4 > 0) AS e FROM t GROUP BY g', 12, 5);
SELECT follow('SELECT g, h, sum(i2) AS a, sum(i4) AS b, sum(i8) AS c, avg(i2) AS d, avg(i4) AS e, avg(i8) AS f FROM t GROUP BY g, h', 10, 3);
SELECT follow('SELECT g, sum(fixed) AS a, avg(fixed) AS b, sum(fixed * 3) AS c, sum(fixed * fixed - 1.5) AS d, sum(-round(free, 3)) AS e FROM t WHERE fixed <> ''NaN'' GROUP BY g', 12, 5);
SELECT follow('SELECT g, sum(fixed) AS a, avg(fixed) AS b, stddev(fixed) AS c FROM t GROUP BY g', 12, 5);
SELECT follow('SELECT g, sum(free) AS a, avg(free) AS b, sum(free) FILTER (WHERE b) AS c, sum(CASE WHEN b THEN fixed ELSE 0 END) AS d, sum(free / 7) FROM t WHERE fixed <> ''NaN'' GROUP BY g', 15, 5);
SELECT follow('SELECT g, sum(odd) AS a, avg(odd) AS b, variance(odd) AS c, stddev_pop(odd) AS d FROM t GROUP BY g', 15, 5);
SELECT follow('SELECT g, variance(i2) AS a, var_pop(i4) AS b, var_samp(i8) AS c, stddev(i2) AS d, stddev_pop(i4) AS e, stddev_samp(i8) AS f FROM t GROUP BY g', 12, 5);
SELECT follow('SELECT g, variance(free) AS a, var_pop(free) AS b, var_samp(free) AS c, stddev(free) AS d, stddev_pop(free) AS e, stddev_samp(free) AS f, var_pop(fixed) FROM t WHERE fixed <> ''NaN'' GROUP BY g', 15, 5);
SELECT follow('SELECT g, bool_and(b) AS a, bool_or(b) AS b, every(b) AS c, bool_or(i4 > 0) FILTER (WHERE b) AS d FROM t GROUP BY g', 12, 5);
SELECT follow('SELECT g, min(i4) AS a, max(i4) AS b, min(s) AS c, max(s) AS d, min(d) AS e, max(d) AS f, max(i8) FILTER (WHERE b) AS i, min(fixed) AS j FROM t GROUP BY g', 15, 5);
SELECT follow('SELECT g, min(free) AS a, max(free) AS b, min(f) AS c, max(f) AS d, max(odd) AS e, max(ci) AS h, min(ci) AS i FROM t GROUP BY g', 15, 5, false);
SELECT follow('SELECT g, max(s COLLATE "C") AS a, min(s COLLATE "C") AS b, max(ARRAY[i4]) AS c FROM t GROUP BY g', 12, 5);
-- expressions over aggregates and keys, HAVING, keys that are expressions, none of them shown
SELECT follow('SELECT g + 1 AS g1, sum(i4)::numeric / nullif(count(i2), 0) AS a, coalesce(sum(i2), 0) + coalesce(max(i2), 0) AS b, upper(h) || count(*) AS c FROM t GROUP BY g + 1, upper(h) HAVING count(*) > 2 AND sum(i4) IS NOT NULL', 15, 3);
SELECT follow('SELECT count(*) AS n, sum(i4) AS a FROM t GROUP BY d, h HAVING max(i4) > 0', 10, 3);
SELECT follow('SELECT g, h, b, i2 FROM t GROUP BY g, h, b, i2', 10, 3);
SELECT follow('SELECT g, h, b, i2, count(*), max(d) FROM t GROUP BY g, h, b, i2', 20, 2);
SELECT follow('SELECT fixed::amount AS f, count(*) AS n, max(fixed::amount) AS a FROM t WHERE fixed <> ''NaN'' GROUP BY fixed::amount', 10, 3);
SELECT follow('SELECT ''all'' AS what, count(*) AS n FROM t GROUP BY 1', 10, 3);
-- opposite rows, and signs beyond one, from several terms of a join
SELECT follow('SELECT one.g, count(*) AS n, sum(other.i4) AS a, max(other.d) AS b, avg(other.free) AS c FROM t AS one JOIN t AS other ON one.h = other.h GROUP BY one.g', 10, 3);
SELECT follow('SELECT one.g, count(other.h) AS n, sum(other.i2) AS a, min(other.s) AS b FROM t AS one LEFT JOIN t AS other ON one.i4 = other.i4 AND other.b GROUP BY one.g', 15, 3);
-- one row, also over none
SELECT follow('SELECT count(*) FROM t', 10, 3);
SELECT follow('SELECT count(*) AS n, sum(i4) AS a, avg(free) AS b, max(s) AS c, bool_and(b) AS d, stddev(i8) AS e, sum(odd) AS f FROM t', 15, 3);
SELECT follow('SELECT sum(fixed) AS a, min(d) AS b FROM t WHERE g = 1 AND fixed <> ''NaN'' HAVING count(*) > 3', 15, 3);

-- columns that depend on the key are keys of the state
SELECT what, sql FROM statements('SELECT id, sold, count(*) AS n FROM sale GROUP BY id HAVING max(amount) > 0', '{}') WHERE what IN ('columns', 'keys');
-- Variance of random values is PostgreSQL's own, also where the root of it lies close to a half.
CREATE TABLE v (g integer, x numeric);
INSERT INTO v SELECT i / 4, round((random() * 10 ^ (i % 14))::numeric, i % 5) FROM generate_series(1, 8000) AS i;
INSERT INTO v SELECT 3000 + i, x FROM generate_series(1, 300) AS i, unnest(ARRAY[0, 2 * (10 ^ 9)::numeric + 2 * i + 1]) AS x;
DO $$
DECLARE
    query text := 'SELECT g, variance(x) AS a, stddev(x) AS b, stddev_pop(x) AS c, var_pop(x) AS d, avg(x) AS e FROM algebra.v GROUP BY g';
    s jsonb;
BEGIN
    SELECT jsonb_object_agg(what, sql) INTO s FROM statements(query, '{}');
    EXECUTE 'CREATE TEMP TABLE t_state AS ' || (s ->> 'state');
    ASSERT differences(format('SELECT x::text FROM (%s) AS x', query), format('SELECT x::text FROM (%s) AS x', s ->> 'result')) = 0;
END $$;
DROP SCHEMA algebra CASCADE;
DROP EXTENSION citext;
