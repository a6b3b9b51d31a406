-- try_cast of a million values against the plain cast of a million good ones: psql -X -f bench/cast.sql, in a database with the extension.
-- Prints "NAME ratio VALUE" lines. The sides are run by turns; the median of the turns' ratios is printed.
\set ON_ERROR_STOP on
\set QUIET on
\set rows 1000000
\set runs 7
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET TimeZone = 'Europe/Paris';

CREATE TEMP TABLE sample AS
SELECT g AS n, (hashint8(g) % 1000000000)::text AS "integer", round(hashint8(g) / 1000.0, 2)::text AS "numeric",
       (date '1990-01-01' + (g * 7919 % 20000)::int)::text AS "date",
       (timestamptz '1990-01-01 00:00:00+00' + g * interval '1037 seconds' + g % 1000 * interval '1 millisecond')::text AS "timestamptz"
FROM generate_series(1::bigint, :rows) g;
-- one value in ten is spoilt, as entry by hand spoils it
CREATE TEMP TABLE spoilt AS
SELECT n, CASE WHEN n % 10 = 3 THEN "integer" || 'x' ELSE "integer" END AS "integer",
       CASE WHEN n % 10 = 3 THEN replace("numeric", '.', ',') || ' €' ELSE "numeric" END AS "numeric",
       CASE WHEN n % 10 = 3 THEN CASE n % 3 WHEN 0 THEN 'n/a' WHEN 1 THEN '2020-02-30' ELSE 'inconnu' END ELSE "date" END AS "date",
       CASE WHEN n % 10 = 3 THEN CASE n % 3 WHEN 0 THEN '2020-01-01 10:00 Foo/Bar' WHEN 1 THEN '2020-13-01 10:00' ELSE '' END ELSE "timestamptz" END AS "timestamptz"
FROM sample;
VACUUM ANALYZE sample;
VACUUM ANALYZE spoilt;

CREATE FUNCTION pg_temp.seconds(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    start timestamptz := clock_timestamp();
    converted bigint;
BEGIN
    EXECUTE query INTO converted;
    RETURN extract(epoch FROM clock_timestamp() - start);
END $$;

CREATE FUNCTION pg_temp.compare(type text, runs int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    plain float8;
    good float8[];
    bad float8[];
BEGIN
    FOR run IN 1..runs LOOP
        plain := pg_temp.seconds(format('SELECT count(%1$I::%1$s) FROM sample', type));
        good := good || pg_temp.seconds(format('SELECT count(strata.try_cast(%1$I, NULL::%1$s)) FROM sample', type)) / plain;
        bad := bad || pg_temp.seconds(format('SELECT count(strata.try_cast(%1$I, NULL::%1$s)) FROM spoilt', type)) / plain;
    END LOOP;
    RETURN QUERY
        SELECT format('try_cast_%s_%s ratio %s', type, side, round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ratio))::numeric, 2))
        FROM (SELECT 'good' AS side, unnest(good) AS ratio UNION ALL SELECT 'bad10', unnest(bad)) s GROUP BY side ORDER BY side DESC;
END $$;

SELECT pg_temp.compare('integer', :runs);
SELECT pg_temp.compare('numeric', :runs);
SELECT pg_temp.compare('date', :runs);
SELECT pg_temp.compare('timestamptz', :runs);
