-- capture: ways around the triggers, the ring of change tables, rights.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA capb;
SET search_path = capb, public;
CREATE FUNCTION take(relation oid, consumer text, full_sql text, delta_sql text, columns int[]) RETURNS text
    LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_take';
CREATE FUNCTION forget(consumer text) RETURNS void LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_drop';
CREATE FUNCTION mark(relation oid, why text) RETURNS void LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_note';
CREATE FUNCTION cannot(relation oid, role oid) RETURNS text LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_cannot';
CREATE TABLE src (id int, v text);
CREATE TABLE log (consumer text, id int, v text, sign int);
CREATE FUNCTION t(consumer text DEFAULT 'm1') RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text; wrong bigint;
BEGIN
    said := take('capb.src'::regclass, consumer,
        format('WITH d AS (DELETE FROM capb.log WHERE consumer = %L) INSERT INTO capb.log SELECT %1$L, id, v, 1 FROM capb.src', consumer),
        format('INSERT INTO capb.log SELECT %L, id, v, strata_sign FROM changes', consumer), '{1,2}');
    SELECT count(*) INTO wrong FROM (
        SELECT id, v, sum(sign) AS n FROM (SELECT id, v, sign FROM capb.log l WHERE l.consumer = t.consumer UNION ALL SELECT id, v, -1 FROM capb.src) AS u
         GROUP BY id, v HAVING sum(sign) <> 0) AS d;
    RETURN said || CASE WHEN wrong > 0 THEN ' WRONG ' || wrong ELSE '' END;
END $$;

-- ---- bypasses ----
INSERT INTO src VALUES (1, 'a');
SELECT t();
SET session_replication_role = replica;
INSERT INTO src VALUES (2, 'a');
UPDATE src SET v = 'b' WHERE id = 1;
RESET session_replication_role;
SELECT t() AS replica;
SET session_replication_role = replica;
TRUNCATE src;
RESET session_replication_role;
SELECT t() AS "truncate in replica";
ALTER TABLE src DISABLE TRIGGER strata_capture_insert;
INSERT INTO src VALUES (3, 'a');
SELECT t() AS disabled;
INSERT INTO src VALUES (4, 'a');
SELECT t() AS "still disabled";
SELECT source, consumer, status, reason, backlog FROM strata.captures;
ALTER TABLE src ENABLE TRIGGER strata_capture_insert;
SELECT t() AS "not as it was made";
SELECT strata.capture('capb.src');
SELECT t() AS mended, t() AS nothing;
ALTER TABLE src DISABLE TRIGGER USER;
INSERT INTO src VALUES (5, 'a');
ALTER TABLE src ENABLE ALWAYS TRIGGER strata_capture_insert, ENABLE ALWAYS TRIGGER strata_capture_update,
    ENABLE ALWAYS TRIGGER strata_capture_delete, ENABLE ALWAYS TRIGGER strata_capture_truncate;
SELECT t() AS "disabled and enabled again";
-- the same while event triggers are off
ALTER EVENT TRIGGER strata_capture_command_end DISABLE;
ALTER TABLE src DISABLE TRIGGER strata_capture_delete;
DELETE FROM src WHERE id = 5;
ALTER TABLE src ENABLE ALWAYS TRIGGER strata_capture_delete;
SELECT t() AS "its version tells", t() AS nothing;
ALTER TABLE src ADD extra int;
INSERT INTO src VALUES (6, 'a', 1);
SELECT t() AS "a column of which nothing was heard";
INSERT INTO src VALUES (7, 'a', 1);
SELECT t() AS "until mended";
SELECT strata.capture('capb.src');
SELECT t() AS mended;
INSERT INTO src VALUES (8, 'a', 1);
SELECT t();
ALTER EVENT TRIGGER strata_capture_command_end ENABLE ALWAYS;
DROP TRIGGER strata_capture_update ON src;
UPDATE src SET v = 'c' WHERE id = 8;
SELECT t() AS "trigger dropped";
SELECT strata.capture('capb.src'), t() AS mended, t() AS nothing;
VACUUM FULL src;
SELECT t() AS "vacuum full", t() AS nothing;
ALTER TABLE src SET UNLOGGED;
SELECT cannot('src'::regclass, 10);
ALTER TABLE src SET LOGGED;
SELECT t() AS rewritten, t() AS nothing;
ALTER TABLE src ADD CHECK (id < 1000000), ALTER v SET DEFAULT 'x', ALTER v SET STATISTICS 10;
INSERT INTO src VALUES (9, 'a');
SELECT t() AS "harmless commands";
SELECT mark('src'::regclass, 'its storage was swapped');
SELECT t() AS marked, t() AS nothing;
SELECT count(*) AS "marks left" FROM strata_state.capture_mark;
DROP TABLE src;
SELECT count(*) AS captures FROM strata_state.capture;
SELECT count(*) AS "change tables" FROM pg_class WHERE relname ~ '^c\d+_\d$' AND relnamespace = 'strata_state'::regnamespace;
CREATE TABLE src (id int, v text);
INSERT INTO src VALUES (1, 'again');
SELECT t() AS "made again under the same name";

-- ---- the ring ----
SET strata.capture_segment_size = 8;
CREATE VIEW ring AS SELECT string_agg(state, ' ' ORDER BY segment) AS segments FROM strata_state.capture_segment WHERE relid = 'src'::regclass;
SELECT t('slow');
SELECT (SELECT count(*) FROM pg_class) AS classes, (SELECT count(*) FROM pg_attribute) AS attributes \gset
INSERT INTO src SELECT i, 'x' FROM generate_series(1, 500) AS i;
TABLE ring;
SELECT t() AS "left for the next one";
TABLE ring;
INSERT INTO src VALUES (501, 'new');
SELECT t() AS "sealed, the slow one is behind";
TABLE ring;
SELECT t('slow') AS "passes";
SELECT t('slow') AS nothing;
TABLE ring;
SELECT t() AS nothing;
-- a transaction that is still writing to the old one, and one that never ends
BEGIN;
INSERT INTO src VALUES (600, 'prepared');
PREPARE TRANSACTION 'capture_ring';
INSERT INTO src SELECT i, 'y' FROM generate_series(1001, 3000) AS i;
SELECT t(), t('slow');
INSERT INTO src VALUES (601, 'z');
SELECT t(), t('slow');
TABLE ring;
INSERT INTO src SELECT i, 'y' FROM generate_series(3001, 60000) AS i;
SELECT t(), t('slow');
INSERT INTO src VALUES (602, 'z');
SELECT t(), t('slow');
INSERT INTO src VALUES (603, 'z');
SELECT t(), t('slow');
TABLE ring;
COMMIT PREPARED 'capture_ring';
SELECT t(), t('slow');
INSERT INTO src VALUES (604, 'z');
SELECT t(), t('slow');
TABLE ring;
-- rotation that is rolled back
INSERT INTO src SELECT i, 'y' FROM generate_series(70001, 72000) AS i;
BEGIN;
SELECT t();
INSERT INTO src VALUES (605, 'z');
ROLLBACK;
INSERT INTO src VALUES (606, 'z');
SELECT t(), t('slow');
-- the ring has come to its second and third table: each with its TOAST table
SELECT (SELECT count(*) FROM pg_class) - :classes AS "two tables more", (SELECT count(*) FROM pg_attribute) - :attributes AS "their columns";

-- one that does not come: cut off by those who do
SET strata.capture_max_size = '1MB';
INSERT INTO src SELECT i, 'y' FROM generate_series(100001, 112000) AS i;
SELECT t();
INSERT INTO src SELECT i, 'y' FROM generate_series(112001, 124000) AS i;
SELECT t();
SELECT t();
SELECT consumer, status, reason FROM strata.captures ORDER BY 1;
SELECT t('slow') AS "once in full", t('slow') AS nothing, t();
-- nobody comes: it stops, and the base statements go on
INSERT INTO src SELECT i, 'y' FROM generate_series(200001, 240000) AS i;
INSERT INTO src VALUES (240001, 'unseen');
SELECT source, consumer, status, reason FROM strata.captures ORDER BY 2;
SELECT t() AS "in full, and on again", t() AS "the first position", t() AS nothing;
INSERT INTO src VALUES (240002, 'seen');
SELECT t(), t('slow');
RESET strata.capture_max_size;
RESET strata.capture_segment_size;

-- ---- rights ----
CREATE ROLE capture_anna;
CREATE ROLE capture_ben;
CREATE TABLE annas (id int);
ALTER TABLE annas OWNER TO capture_anna;
GRANT ALL ON SCHEMA capb TO capture_anna, capture_ben;
GRANT SELECT, INSERT ON annas TO capture_ben;
SET ROLE capture_ben;
SELECT strata.capture('capb.annas');
SET ROLE capture_anna;
SELECT strata.capture('capb.annas');
SET ROLE capture_ben;
INSERT INTO annas VALUES (1);
SELECT source, status FROM strata.captures;
SELECT strata.uncapture('capb.annas');
SELECT * FROM strata_state.capture;
SELECT format('SELECT * FROM strata_state.c%s_0', 'capb.annas'::regclass::oid) AS q \gset
\set VERBOSITY sqlstate
:q;
\set VERBOSITY terse
SELECT cannot('annas'::regclass, 'capture_ben'::regrole) IS NULL AS "it is captured already";
SET ROLE capture_anna;
SELECT strata.uncapture('capb.annas');
SELECT strata.uncapture('capb.annas');
SELECT cannot('annas'::regclass, 'capture_ben'::regrole);
-- nobody may name the trigger function, which would record rows twice; of a superuser it does nothing where nothing is captured
CREATE TABLE own (id int);
CREATE TRIGGER own AFTER INSERT ON own REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION strata_state.capture_statement();
INSERT INTO own VALUES (1);
CREATE TRIGGER own_row AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION strata_state.capture_statement();
INSERT INTO own VALUES (1);
ALTER TABLE annas ENABLE ROW LEVEL SECURITY;
SELECT cannot('annas'::regclass, 'capture_ben'::regrole), cannot('annas'::regclass, 'capture_anna'::regrole);
RESET ROLE;
CREATE TRIGGER own AFTER INSERT ON own REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION strata_state.capture_statement();
INSERT INTO own VALUES (1);
CREATE TRIGGER own_row AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION strata_state.capture_statement();
INSERT INTO own VALUES (1);
CREATE VIEW a_view AS SELECT 1;
CREATE MATERIALIZED VIEW a_matview AS SELECT 1;
CREATE UNLOGGED TABLE an_unlogged (id int);
CREATE SEQUENCE a_sequence;
CREATE TEMP TABLE a_temporary (id int);
SELECT r, cannot(r, 10) FROM unnest('{a_view,a_matview,an_unlogged,a_sequence,a_temporary,pg_class}'::regclass[]) AS r;
SELECT strata.capture('capb.a_view');
SELECT strata.capture('capb.srce');
SELECT strata.uncapture('capb.src');
SELECT forget('m1'), forget('slow');
SELECT strata.uncapture('capb.src');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgname LIKE 'strata_capture%';
SELECT (SELECT count(*) FROM strata_state.capture), (SELECT count(*) FROM strata_state.capture_segment), (SELECT count(*) FROM strata_state.capture_consumer),
    (SELECT count(*) FROM strata_state.capture_mark);
DROP SCHEMA capb CASCADE;
DROP ROLE capture_anna, capture_ben;
