-- capture: a consumer that comes often beside one that does not: what it reads is its own window, whatever the other has left
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA cb;
SET search_path = cb, public;

CREATE FUNCTION take(relation oid, consumer text, full_sql text, delta_sql text, columns int[]) RETURNS text
    LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_take';
CREATE FUNCTION read(relation oid, consumer text, queries text[], columns int[]) RETURNS text[]
    LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_read';
CREATE FUNCTION forget(consumer text) RETURNS void LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_drop';
CREATE TABLE src (id int, v text);
CREATE TABLE log (consumer text, id int, v text, sign int);
CREATE FUNCTION t(consumer text DEFAULT 'fast') RETURNS text LANGUAGE sql AS $$
    SELECT cb.take('cb.src'::regclass, consumer,
        format('WITH d AS (DELETE FROM cb.log WHERE consumer = %L) INSERT INTO cb.log SELECT %1$L, id, v, 1 FROM cb.src', consumer),
        format('INSERT INTO cb.log SELECT %L, id, v, strata_sign FROM changes', consumer), ARRAY[1, 2]) $$;
CREATE FUNCTION wrong(consumer text DEFAULT 'fast') RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (SELECT id, v FROM (SELECT id, v, sign FROM cb.log l WHERE l.consumer = wrong.consumer UNION ALL SELECT id, v, -1 FROM cb.src) AS u
        GROUP BY id, v HAVING sum(sign) <> 0) AS d $$;
-- pages of change tables, and those read in this transaction
CREATE FUNCTION held() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(pg_relation_size(oid)) / current_setting('block_size')::int FROM pg_class WHERE relname ~ format('^c%s_\d$', 'cb.src'::regclass::oid) $$;
CREATE FUNCTION fetched() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(pg_stat_get_xact_blocks_fetched(oid)) FROM pg_class WHERE relname ~ format('^c%s_\d$', 'cb.src'::regclass::oid) $$;
-- what a call reads: it looks whether there is anything, then reads, each time 32 pages of a change table that may be written to, and those of its window
CREATE FUNCTION read_by(what text, said OUT text, pages OUT text) LANGUAGE plpgsql AS $$
    DECLARE before bigint := cb.fetched(); n bigint;
    BEGIN EXECUTE 'SELECT ' || what INTO said; n := cb.fetched() - before; pages := CASE WHEN n < 80 THEN 'few' WHEN n < 240 THEN 'some' ELSE 'many' END; END $$;

-- nothing is emptied as long as slow has not been
SELECT t(), t('slow');
INSERT INTO src SELECT i, repeat('x', 200) FROM generate_series(1, 10) AS i;
SELECT t(), t('slow');
DO $$ BEGIN FOR i IN 1 .. 5 LOOP
    INSERT INTO cb.src SELECT j, repeat('x', 200) || i FROM generate_series(1, 4000) AS j;
    PERFORM cb.t();
END LOOP; END $$;
SELECT held() > 500 AS "much is held";

-- ---- copied ----
SELECT * FROM read_by('cb.t()');
INSERT INTO src VALUES (-1, 'one');
SELECT * FROM read_by('cb.t()');
UPDATE src SET v = v || '.' WHERE id = -1;
SELECT * FROM read_by('cb.t()');
SELECT * FROM read_by('cb.t()') AS nothing;
-- the look alone
SELECT source, consumer, backlog FROM strata.captures WHERE consumer = 'fast';
SELECT pages FROM read_by($$ strata_state.capture_backlog('cb.src'::regclass, 'fast') $$);
SELECT * FROM read_by($$ strata_state.capture_backlog('cb.src'::regclass, 'slow') $$);
SELECT wrong(), wrong('slow') > 0 AS "slow has not been";

-- ---- read where they stand ----
CREATE FUNCTION r(VARIADIC queries text[]) RETURNS text[] LANGUAGE sql AS $$ SELECT cb.read('cb.src'::regclass, 'reader', queries, '{1,2}') $$;
SELECT r('SELECT 1');
INSERT INTO src VALUES (-2, 'two');
-- at its first window what was there before is read once
SELECT (r('SELECT count(*) FROM changes'))[1];
INSERT INTO src SELECT i, 'more' FROM generate_series(1, 3) AS i;
SELECT * FROM read_by($$ (cb.r('SELECT count(*) FROM changes', 'SELECT string_agg(id::text, '' '' ORDER BY id) FROM changes WHERE v = ''more'''))[1:2] $$);
INSERT INTO src SELECT i, repeat('y', 200) FROM generate_series(1, 2000) AS i;
-- twice, and a sample; the window has some 60 pages
SELECT * FROM read_by($$ (cb.r('SELECT count(*) FROM changes'))[1] $$);
INSERT INTO src VALUES (-3, 'three');
SELECT * FROM read_by($$ (cb.r('SELECT count(*) FROM changes'))[1] $$);
SELECT t(), wrong();

-- ---- in one transaction with the changes; savepoints ----
BEGIN;
INSERT INTO src SELECT i, repeat('o', 200) FROM generate_series(1, 2000) AS i;
SELECT t();
SAVEPOINT a;
INSERT INTO src SELECT i, repeat('p', 200) FROM generate_series(1, 2000) AS i;
SELECT t();
ROLLBACK TO a;
INSERT INTO src VALUES (-4, 'four');
SELECT * FROM read_by('cb.t()');
SAVEPOINT b;
DELETE FROM src WHERE id = -4;
RELEASE b;
INSERT INTO src VALUES (-5, 'five');
SELECT * FROM read_by('cb.t()');
SELECT wrong();
INSERT INTO src VALUES (-6, 'after its refresh');
COMMIT;
SELECT * FROM read_by('cb.t()');
SELECT wrong();
BEGIN;
INSERT INTO src SELECT i, repeat('q', 200) FROM generate_series(1, 2000) AS i;
SELECT t();
ROLLBACK;
INSERT INTO src VALUES (-7, 'seven');
SELECT t(), wrong();
INSERT INTO src VALUES (-8, 'eight');
SELECT * FROM read_by('cb.t()');

-- ---- what rolled back is cut off at the end: what comes then stands before it ----
BEGIN;
INSERT INTO src SELECT i, repeat('z', 200) FROM generate_series(1, 4000) AS i;
ROLLBACK;
SELECT t();
SELECT held() AS before \gset
SELECT format('strata_state.c%s_%s', relid, segment) AS current FROM strata_state.capture_segment WHERE relid = 'src'::regclass AND state = 'current' \gset
VACUUM (TRUNCATE true) :current;
SELECT held() < :before AS "is shorter";
INSERT INTO src VALUES (-9, 'nine');
SELECT t(), wrong();
-- and when it is written anew, all is read again, once
INSERT INTO src VALUES (-10, 'ten');
SELECT format('strata_state.c%s_%s', relid, segment) AS current FROM strata_state.capture_segment WHERE relid = 'src'::regclass AND state = 'current' \gset
VACUUM FULL :current;
SELECT t(), wrong();
INSERT INTO src VALUES (-11, 'eleven');
SELECT * FROM read_by('cb.t()');

-- ---- slow comes: the ring turns and is emptied, and neither misses anything ----
SELECT t('slow') ~ '^\d{5} captured' AS "very many", wrong('slow');
INSERT INTO src VALUES (-12, 'twelve');
SELECT t(), t('slow'), r('SELECT count(*) FROM changes');
INSERT INTO src VALUES (-13, 'thirteen');
SELECT t(), t('slow'), (r('SELECT count(*) FROM changes'))[1];
INSERT INTO src VALUES (-14, 'fourteen');
SELECT t(), t('slow'), (r('SELECT count(*) FROM changes'))[1], wrong(), wrong('slow');
SELECT held() < 50 AS "is emptied";
INSERT INTO src SELECT i, repeat('w', 200) FROM generate_series(1, 4000) AS i;
SELECT t(), wrong();
INSERT INTO src VALUES (-15, 'fifteen');
SELECT * FROM read_by('cb.t()');
-- generations: what was kept is void with its position
ALTER TABLE src ADD w int;
SELECT t(), wrong();
INSERT INTO src VALUES (-16, 'sixteen', 1);
SELECT t(), wrong();
-- cut off
SET strata.capture_max_size = 1;
DO $$ BEGIN FOR i IN 1 .. 3 LOOP
    INSERT INTO cb.src SELECT j, repeat('v', 200) || i FROM generate_series(1, 4000) AS j;
    PERFORM cb.t();
END LOOP; END $$;
SELECT t(), wrong();
RESET strata.capture_max_size;
SELECT count(*) > 0 AS "some are" FROM strata.captures WHERE source = 'cb.src' AND backlog IS NULL;
SELECT t('slow'), wrong('slow');
INSERT INTO src VALUES (-17, 'seventeen');
SELECT t() IS NOT NULL, t('slow') IS NOT NULL, wrong(), wrong('slow');

SELECT forget('fast'), forget('slow'), forget('reader');
RESET search_path;
DROP SCHEMA cb CASCADE;
