-- cast: try_cast and cast_error do what the plain cast in an exception block does

\set corpus_size 6000
SET TimeZone = 'Europe/Paris';
SET DateStyle = 'ISO, DMY';
CREATE SCHEMA cast_test;
SET search_path = cast_test, public;

-- ---- against the plain cast, over a generated corpus ----

CREATE TABLE corpus (v text);

INSERT INTO corpus VALUES
    (''), (' '), ('0'), ('-0'), ('+0'), ('00012'), ('1'), ('-1'), ('+1'), ('+-1'), ('--1'), ('1 2'), ('12x'), ('x12'), ('1.0'), ('1.'), ('.5'),
    ('.'), ('-.5'), ('1..2'), ('1.2.3'), ('0x1f'), ('0X1F'), ('0o17'), ('0b101'), ('0x'), ('0xg'), ('1_000'), ('1__0'), ('_1'), ('1_'),
    ('32767'), ('32768'), ('-32768'), ('-32769'), ('2147483647'), ('2147483648'), ('-2147483648'), ('-2147483649'),
    ('9223372036854775807'), ('9223372036854775808'), ('-9223372036854775808'), ('-9223372036854775809'),
    ('99999999999999999999999999'), ('1e5'), ('1E5'), ('1e'), ('1e+'), ('1e-5'), ('1e 5'), ('1e+ 5'), ('e5'), ('1e5x'), ('1e1000'), ('1e-1000'),
    ('1e131071'), ('1e131072'), ('9e131071'), ('1e131075'), ('1e-16383'), ('1e-16384'), ('0e99999'), ('0e-16384'), ('0.0e131075'), ('1e2147483647'), ('1e1073741823'),
    ('1e1073741822'), ('1e-1073741822'), ('1e99999999999999999999'), ('1e-99999999999999999999'), ('0e99999999999999999999'),
    ('0.00000000000000000000000001'), ('123456789.987654321'), ('999.994'), ('999.995'), ('999.99499999'), ('-999.995'), ('99999'),
    ('99949'), ('99950'), ('99999.4'), ('9.99'), ('0.0099'), ('0.00995'), ('0.000995'), ('0.0009949'), ('1234.5'), ('12,5'), ('1 234'), ('€12'), ('１２'),
    ('NaN'), ('nan'), ('NaN '), ('nanx'), ('-nan'), ('+nan'), ('nan(1)'), ('inf'), ('-inf'), ('+inf'), ('Infinity'), ('-Infinity'), ('+infinity'), ('infinit'), ('infinityx'),
    ('1e38'), ('3.4e38'), ('3.5e38'), ('1e39'), ('1e308'), ('1.8e308'), ('1e309'), ('1e-45'), ('1e-46'), ('1e-324'), ('4e-324'), ('5e-324'), ('0x1p3'),
    ('t'), ('T'), ('true'), ('TRUE'), ('tru'), ('truE '), ('f'), ('false'), ('fals'), ('y'), ('yes'), ('ye'), ('n'), ('no'), ('on'), ('of'), ('off'), ('o'), ('oui'), ('vrai'),
    ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), ('{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}'), ('a0eebc999c0b4ef8bb6d6bb9bd380a11'),
    ('a0eebc999c0b4ef8bb6d6bb9bd380a1'), ('a0eebc999c0b4ef8bb6d6bb9bd380a11f'), ('{a0eebc999c0b4ef8bb6d6bb9bd380a11'), ('a0eebc999c0b4ef8bb6d6bb9bd380a11}'),
    ('a0e-ebc999c0b4ef8bb6d6bb9bd380a11'), ('a0eebc999c0b4ef8bb6d6bb9bd380a11-'), (' a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), ('g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), ('a'), ('a0'), ('{'), ('{}'),
    ('2020-01-01'), ('2020-1-1'), ('20200101'), ('200101'), ('2020001'), ('2020.366'), ('2021.366'), ('2020-02-29'), ('2021-02-29'), ('2020-13-01'), ('2020-00-10'), ('2020-01-00'), ('2020-01-32'),
    ('01/02/2020'), ('31/12/2020'), ('12/31/2020'), ('31/12/20'), ('1/2/3'), ('99-01-02'), ('jan-08-1999'), ('08-jan-1999'), ('8 janvier 1999'), ('January 8, 1999'), ('Fri jan-08-1999'), ('10:00 jan-08-1999'), ('CET jan-08-1999'), ('on jan-08-1999'), ('+02 jan-08-1999'), ('+02 jan/08/1999 10:00'),
    ('2020-01-01 jan-08'), ('t jan-08-1999'), ('2020-01-01 t abcdef-03'), ('2020-01-01 abc Foo/Bar'), ('2020-01-01 Foo/Bar'), ('2020-01-01 10:00 Foo/Bar'), ('10:00 Foo/Bar'), ('2020-01-01 10:00 Europe/Pariss'),
    ('2020-01-01 10:00 mar/foo'), ('jan 8 mar/foo'), ('jan 8 10:00 Foo/Bar 1999'), ('jan 8 10:00 Europe/Paris 1999'), ('8 mar/foo'), ('mar/8/1999'), ('10:00 mar/8/1999'), ('2020-01-01 at/8'), ('at/8 2020-01-01'), ('1 at/8/2020'),
    ('2020-01-01 10:00 America/New_York'), ('2020-01-01 10:00 america/new_york'), ('2020-03-29 02:30 Europe/Paris'), ('2020-10-25 02:30'), ('2020-03-29 02:30'), ('2020-01-01 10:00 CET'), ('2020-07-01 10:00 CEST'), ('2020-01-01 10:00 EST5EDT'),
    ('2020-01-01 10:00 XYZ'), ('2020-01-01 10:00 MSK'), ('2014-10-26 01:30 MSK'), ('2020-01-01 10:00+02'), ('2020-01-01 10:00+02:30'), ('2020-01-01 10:00-02:30:15'), ('2020-01-01 10:00+16'), ('2020-01-01 10:00+15:59'), ('2020-01-01 10:00 Z'), ('2020-01-01T10:00Z'),
    ('2020-01-01T10:00:00.123456789Z'), ('2020-01-01 10:00:00.9999999'), ('2020-01-01 24:00'), ('2020-01-01 24:00:01'), ('2020-01-01 23:59:60'), ('2020-01-01 25:00'), ('2020-01-01 10:60'), ('2020-01-01 10'), ('2020-01-01 1000'), ('20200101T101112'), ('20200101T101112-03'),
    ('20200101 101112.5'), ('2020-01-01 10:00 PM'), ('2020-01-01 13:00 PM'), ('2020-01-01 00:30 AM'), ('J2459000'), ('J2459000.5'), ('J2459000-03'), ('y2020m02d04'), ('y2020m02'), ('0001-01-01 BC'), ('2020-01-01 BC'), ('0000-01-01'), ('4714-11-24 BC'), ('4714-11-23 BC'), ('4714-11-24 00:00 BC'),
    ('5874897-12-31'), ('5874898-01-01'), ('294276-12-31 23:59:59.999999'), ('294277-01-01'), ('294276-12-31 23:59:59.9999999'), ('-0001-01-01'), ('now'), ('today'), ('tomorrow'), ('yesterday'), ('epoch'), ('infinity 10:00'), ('now 10:00'), ('today 10:00'), ('tomorrow 25:00'),
    ('epoch BC'), ('allballs'), ('noon'), ('2020-01-01 noon'), ('today allballs'), ('current'), ('invalid'), ('undefined'), ('n/a'), ('N/A'), ('n.c.'), ('null'), ('inconnu'), ('inconnu/?'), ('à définir'), ('2020-01-01é'), ('é2020-01-01'),
    ('2020/01/01'), ('2020.01.01'), ('01.02.2020'), ('2020-01/01'), ('01-02'), ('2020-01'), ('2020'), ('janvier'), ('Mon'), ('Sunday 2020-01-01'), ('10:00'), ('10:00:00+02'), ('2020-01-01 +02'), ('2020-01-01 -'), ('2020-01-01 10:00 +'),
    ('2020-01-01 10:00:00 Europe/Paris Europe/Paris'), ('2020-01-01 2020-01-02'), ('1 day'), ('@ 1'), ('[1,2]'), ('{1,2}'), ('{1,x}'), ('{"a": 1}'), ('{"a":'), ('"x"'), ('<a/>'), ('<a>'), ('rouge'), ('Rouge'), ('(1,x)'), ('(1,)'), ('(1'), ('10.0.0.1'), ('10.0.0.256'), ('\x41'), ('\x4'), ('101'), ('102'), ('(1,2)'), ('P1D'), ('corpus'), ('regclass'), ('public');

-- long ones, on both sides of every limit
INSERT INTO corpus
SELECT p || repeat(c, n) || s
FROM (VALUES ('', '1', ''), ('0.', '1', ''), ('0.', '0', '1'), ('', '0', '7'), ('', ' ', '7'), ('7', ' ', ''), ('', '9', '.5'), ('2020-01-01', ' ', 'x'), ('2020-01-01 ', 'a', ''),
             ('', 'x', ''), ('2020-01-0', '0', '1'), ('2020-01-01 10:00:00.', '1', ''), ('', '1 ', ''), ('', 'é', '')) f (p, c, s),
     unnest('{20, 110, 126, 127, 128, 129, 150, 153, 154, 255, 256, 257, 300, 16383, 16384, 131071, 131072}'::int[]) n;

-- white space around
INSERT INTO corpus SELECT w || v || x FROM corpus, (VALUES (' ', ''), ('', ' '), (E'\t\n\v\f\r', E' \n'), (U&'\00A0', '')) s (w, x) WHERE length(v) < 30;

-- numbers: sign, digits, point, digits, exponent
INSERT INTO corpus
SELECT concat((ARRAY['', '-', '+'])[1 + h1 % 3], left(h1::text || h2, h3 % 12), (ARRAY['', '.', '.'])[1 + h2 % 3],
              left(repeat((ARRAY['9', '4', '5', '0'])[1 + h1 % 4], 5) || h3, h2 % 9), (ARRAY['', '', '', 'e', 'E-'])[1 + h3 % 5], nullif(h1 % 40, 0))
FROM (SELECT (hashint8extended(g, 1) & 2147483647)::int AS h1, (hashint8extended(g, 2) & 2147483647)::int AS h2, (hashint8extended(g, 3) & 2147483647)::int AS h3 FROM generate_series(1, :corpus_size) g) h;

-- dates and times: parts in any order
CREATE VIEW time_parts AS
SELECT ARRAY['2020-02-29', '31/12/1999', '12-31-99', 'Jan 8 1999', '8-feb-2001', '20240115', '2020.045', '0044-03-15', 'J2451187', 'today', 'mar', '15', '1987', 'y1999m01d08', 'Fri', '1999/13/2', 'feb-30-2000', '10000-01-01', ''] AS days,
       ARRAY['10:20', '23:59:59.9999995', '24:00:00', '040506', 'T040506.789', 't10:20:30', '12:00 am', '13:00 pm', '7', '99:00', '', '', 'noon', 'allballs', '00:00:60', '1:2:3.'] AS times,
       ARRAY['+02', '-03:30', 'Z', 'Europe/Paris', 'America/Nowhere', 'est', 'CEST', 'GMT+3', 'utc', '+99', 'Asia/Kolkata', 'foo_bar-3', 'BC', 'AD', 'BC+1', '', '', 'pdt', 'LMT', 'may/x', 'at', '<+03>-3'] AS zones,
       ARRAY[' ', ' ', 'T', '', ', ', '/', '  ', ' t '] AS gaps;
INSERT INTO corpus
SELECT concat(p[1 + h1 % 3], gaps[1 + h2 % 8], p[1 + (h1 + 1) % 3], gaps[1 + h3 % 8], p[1 + (h1 + 2) % 3], CASE WHEN h1 % 7 = 0 THEN ' BC' END)
FROM (SELECT (hashint8extended(g, 4) & 2147483647)::int AS h1, (hashint8extended(g, 5) & 2147483647)::int AS h2, (hashint8extended(g, 6) & 2147483647)::int AS h3 FROM generate_series(1, :corpus_size) g) h,
     time_parts, LATERAL (SELECT ARRAY[days[1 + h1 / 8 % 19], times[1 + h2 / 8 % 16], zones[1 + h3 / 8 % 22]]) s (p);

-- one character of a value changed, removed or added
INSERT INTO corpus
SELECT CASE h1 % 3 WHEN 0 THEN overlay(v PLACING c FROM at) WHEN 1 THEN overlay(v PLACING '' FROM at) ELSE overlay(v PLACING c FROM at FOR 0) END
FROM (SELECT v, (hashtextextended(v, 1) & 2147483647)::int AS h1, (hashtextextended(v, 2) & 2147483647)::int AS h2, (hashtextextended(v, 3) & 2147483647)::int AS h3 FROM corpus WHERE length(v) BETWEEN 1 AND 60) m,
     LATERAL (SELECT 1 + h2 % length(v), substr('0123456789+-. :/TeExX_,aBé"{}', 1 + h3 % 29, 1)) s (at, c)
LIMIT 2 * :corpus_size;
ANALYZE corpus;
-- nothing of it was lost on the way
SELECT count(*) > 3 * :corpus_size AS large FROM corpus;

CREATE TYPE couleur AS ENUM ('rouge', 'vert');
CREATE TYPE paire AS (n int, t varchar(3));
CREATE DOMAIN positif AS numeric(8,2) CHECK (VALUE > 0);
CREATE DOMAIN court AS varchar(3) CHECK (VALUE <> '12x');
CREATE DOMAIN jour AS date;
CREATE DOMAIN inverse AS int CHECK (10 / VALUE > 0);

-- oracle_N(v): what the plain cast gives, or why it fails
CREATE FUNCTION compare(types text[], sample int DEFAULT 1) RETURNS TABLE (type text, differences bigint, converted bool, refused bool, shown text) LANGUAGE plpgsql AS $$
BEGIN
    FOREACH type IN ARRAY types LOOP
        EXECUTE format($f$
            CREATE OR REPLACE FUNCTION oracle(v text, OUT result text, OUT reason text) LANGUAGE plpgsql AS $o$
            DECLARE detail text;
            BEGIN
                -- the one difference: words that mean the clock are no dates
                IF %1$L ~ '^(date|timestamp|timestamptz|time|jour)($|\()' AND v ~* '(^|[^a-z])(now|today|tomorrow|yesterday)($|[^a-z])' THEN
                    reason := 'the value means the clock: it would be another one every day';
                    RETURN;
                END IF;
                result := (v::%1$s)::text;
            EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
                reason := reason || coalesce(' (' || nullif(detail, '') || ')', '');
            END $o$ $f$, type);
        RETURN QUERY EXECUTE format($f$
            SELECT %1$L, count(*) FILTER (WHERE differs), bool_or(reason IS NULL), bool_or(reason IS NOT NULL),
                   (array_agg(left(format('%%L: %%s / %%s instead of %%s / %%s', v, given, why, result, reason), 300)) FILTER (WHERE differs))[1]
            FROM (SELECT *, given IS DISTINCT FROM result
                         OR CASE WHEN octet_length(reason) > 1000 THEN why NOT LIKE '%%...' ELSE why IS DISTINCT FROM reason END AS differs
                  FROM (SELECT v, strata.try_cast(v, NULL::%1$s)::text AS given, strata.cast_error(v, NULL::%1$s) AS why FROM corpus
                        WHERE %2$s = 1 OR length(v) <= 6 OR hashtext(v) %% %2$s = 0 OFFSET 0) ours, oracle(v)) both_sides
            $f$, type, sample);
    END LOOP;
END $$;

SELECT type, differences, converted, refused, shown FROM compare('{smallint, integer, bigint, real, double precision, boolean, uuid}');
SELECT * FROM compare('{numeric, "numeric(5,2)", "numeric(3,-2)", "numeric(2,5)", "numeric(1000,0)"}');
SELECT * FROM compare('{date, timestamp, timestamptz, timestamp(0), timestamptz(3)}');
SET DateStyle = 'SQL, MDY';
SET TimeZone = 'America/New_York';
SELECT * FROM compare('{date, timestamp, timestamptz}', 2);
SET DateStyle = 'German, YMD';
SET TimeZone = 'UTC';
SELECT * FROM compare('{date, timestamptz}', 2);
SET timezone_abbreviations = 'Australia';
SELECT * FROM compare('{timestamptz}', 4);
RESET timezone_abbreviations;
SET DateStyle = 'ISO, DMY';
SET TimeZone = 'Europe/Paris';
-- types with nothing of our own
SET client_min_messages = warning;
SELECT * FROM compare('{text, varchar(3), char(3), name, "\"char\"", bit(3), varbit, bytea, time, timetz(2), interval, "interval day to second(1)", json, jsonb, inet, oid, point}', 5);
SELECT * FROM compare('{"int[]", "numeric(3,1)[]", "varchar(2)[]", int4range, int4multirange, couleur, paire, positif, court, jour, inverse, "positif[]", regclass, regtype, regnamespace, regrole, tsquery, jsonpath, xml}', 5);
RESET client_min_messages;

-- ---- what it looks like ----

SELECT strata.try_cast('12x', NULL::int) AS int, strata.cast_error('12x', NULL::int) AS error, strata.cast_error('12', NULL::int) AS none;
SELECT strata.try_cast('123.456', NULL::numeric(5,2)), strata.try_cast('1234.5', NULL::numeric(5,2)), strata.cast_error('1234.5', NULL::numeric(5,2));
SELECT strata.try_cast('abcd', NULL::varchar(3)), strata.try_cast('ab', NULL::char(3)) || '|' AS padded, pg_typeof(strata.try_cast('x', NULL::couleur));
SELECT strata.try_cast('-5', NULL::positif), strata.cast_error('-5', NULL::positif), strata.try_cast('5.555', NULL::positif);
SELECT strata.cast_error('{1,x}', NULL::int[]), strata.cast_error('mauve', NULL::couleur), strata.cast_error('(a,b)', NULL::paire);
SELECT octet_length(strata.cast_error(repeat('é', 5000), NULL::int)) BETWEEN 990 AND 1000 AS clipped;

-- NULL gives NULL; a domain may refuse it
CREATE DOMAIN obligatoire AS int NOT NULL;
SELECT strata.try_cast(NULL, NULL::int), strata.cast_error(NULL, NULL::int), strata.cast_error(NULL, 1::obligatoire), strata.try_cast('3', 1::obligatoire);

-- precision taken from a column, also a stored, and a toasted value
CREATE TABLE stored (a numeric(4,1), v text);
INSERT INTO stored VALUES (1, '12.34'), (NULL, '12345'), (NULL, repeat(' ', 100000) || '7.77');
SELECT strata.try_cast(v, a) FROM stored;
SELECT strata.try_cast(v, NULL::int) FROM (VALUES ('1'), (NULL), ('z'), ('2')) t (v);

-- a call is run again for every setting: it is no constant
SET plan_cache_mode = force_generic_plan;
PREPARE day AS SELECT strata.try_cast('01/02/2020', NULL::date);
EXECUTE day;
SET DateStyle = 'ISO, MDY';
EXECUTE day;
SET DateStyle = 'ISO, DMY';
RESET plan_cache_mode;
SELECT proname, provolatile, proparallel FROM pg_proc WHERE pronamespace = 'strata'::regnamespace AND proname IN ('try_cast', 'cast_error') ORDER BY 1;
CREATE TABLE frozen (v text, n timestamptz GENERATED ALWAYS AS (strata.try_cast(v, NULL::timestamptz)) STORED);

-- ---- casts that are functions ----

CREATE TYPE note AS (points int);
CREATE FUNCTION note(v text) RETURNS note LANGUAGE plpgsql AS $$
BEGIN
    CASE v
        WHEN 'bad' THEN RAISE EXCEPTION 'no note' USING ERRCODE = '22023', DETAIL = 'between 0 and 20';
        WHEN 'raise' THEN RAISE EXCEPTION 'a bug, not data';
        WHEN 'cancel' THEN RAISE query_canceled;
        WHEN 'memory' THEN RAISE out_of_memory;
        WHEN 'table' THEN PERFORM 1 FROM no_such_table;
        WHEN 'schema' THEN RAISE invalid_schema_name;
        WHEN 'null' THEN RETURN NULL;
        ELSE RETURN row(v::int)::note;
    END CASE;
END $$;
CREATE CAST (text AS note) WITH FUNCTION note(text);
SELECT v, strata.try_cast(v, NULL::note), strata.cast_error(v, NULL::note)
FROM unnest('{12, bad, 13, x, 14, null, 99999999999}'::text[]) v;
-- what is not about the data is never swallowed, and says so with its own code
\set VERBOSITY sqlstate
SELECT strata.try_cast('raise', NULL::note);
SELECT strata.try_cast('cancel', NULL::note);
SELECT strata.try_cast('memory', NULL::note);
SELECT strata.try_cast('table', NULL::note);
SELECT strata.try_cast('schema', NULL::note);
SELECT strata.cast_error('cancel', NULL::note);
\set VERBOSITY default
-- and inside an exception block the levels of subtransaction stay right
DO $$
BEGIN
    FOR i IN 1..3 LOOP
        BEGIN
            PERFORM strata.try_cast(v, NULL::note) FROM unnest('{1, bad, raise}'::text[]) v;
        EXCEPTION WHEN raise_exception THEN
            RAISE NOTICE 'caught outside: %', SQLERRM;
        END;
    END LOOP;
END $$;
BEGIN;
CREATE TABLE kept AS SELECT v, strata.try_cast(v, NULL::inverse) AS n FROM unnest('{1, x, 0, 5, -1}'::text[]) v;
INSERT INTO kept SELECT v, strata.try_cast(v, NULL::inverse) FROM kept;
COMMIT;
SELECT count(*), count(n) FROM kept;

-- privileges are the caller's, and lack of them is no matter of data
CREATE ROLE strata_cast_tester;
CREATE SCHEMA cast_hidden;
REVOKE EXECUTE ON FUNCTION note(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA cast_test TO strata_cast_tester;
SET ROLE strata_cast_tester;
SELECT strata.try_cast('12', NULL::cast_test.note);
SELECT strata.try_cast('12', NULL::int) AS anybody;
SELECT strata.try_cast('cast_hidden.secret', NULL::regclass);
SELECT strata.try_cast('cast_test.secret', NULL::regclass) AS none, strata.cast_error('cast_test.secret', NULL::regclass) AS why;
RESET ROLE;

-- ---- no such cast ----

SELECT strata.try_cast('1', NULL);
SELECT strata.try_cast('(1)', ROW(1));

-- ---- in parallel plans, where PostgreSQL 15 and 16 start no subtransaction ----

CREATE TABLE many AS SELECT CASE WHEN g % 10 = 0 THEN 'x' ELSE '' END || g AS v FROM generate_series(1, 20000) g;
ANALYZE many;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
CREATE FUNCTION gathers(query text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
        IF line LIKE '%Gather%' THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
SELECT gathers('SELECT count(strata.try_cast(v, NULL::int)) FROM many');
SELECT count(strata.try_cast(v, NULL::int)) AS int, count(strata.try_cast(v, NULL::jsonb)) AS jsonb, count(strata.try_cast('{' || v || '}', NULL::int[])) AS array,
       count(strata.try_cast('jan ' || v || ' x Foo/Bar', NULL::timestamptz)) AS asked, count(strata.try_cast(v, NULL::inverse)) AS domain,
       count(strata.try_cast(v, NULL::regclass)) AS regclass, count(strata.try_cast(replace(v, 'x', '& &'), NULL::tsquery)) AS tsquery,
       count(DISTINCT strata.cast_error(v, NULL::numeric)) AS reasons
FROM many;

-- ---- an extension's type, whose errors carry no code ----

SET client_min_messages = warning;
CREATE SCHEMA cast_gis;
CREATE EXTENSION postgis SCHEMA cast_gis;
RESET client_min_messages;
SET search_path = cast_test, cast_gis, public;
SELECT v, ST_AsText(strata.try_cast(v, NULL::geometry)) AS geometry, strata.cast_error(v, NULL::geometry) AS why
FROM unnest('{POINT(1 2), POINT(1), cercle, "", "SRID=4326;POINT(2 3)"}'::text[]) v;
SELECT v, ST_AsText(strata.try_cast(v, NULL::geometry(Point, 4326))) AS geometry, strata.cast_error(v, NULL::geometry(Point, 4326)) AS why
FROM unnest('{POINT(1 2), "SRID=4326;POINT(2 3)", "SRID=4326;LINESTRING(2 3, 4 5)"}'::text[]) v;

SET client_min_messages = warning;
DROP SCHEMA cast_test, cast_hidden, cast_gis CASCADE;
DROP ROLE strata_cast_tester;
