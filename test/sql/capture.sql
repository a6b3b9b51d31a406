-- capture: every change of a source is seen once, whatever made it; what cannot be seen is noticed.
\set VERBOSITY terse
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA cap;
SET search_path = cap, public;

-- A consumer that keeps a log of signed rows. After each take, the log adds up to the source, or it says WRONG.
CREATE FUNCTION take(relation oid, consumer text, full_sql text, delta_sql text, columns int[]) RETURNS text
    LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_take';
CREATE FUNCTION forget(consumer text) RETURNS void LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_drop';
CREATE FUNCTION mark(relation oid, why text) RETURNS void LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_note';
CREATE FUNCTION cannot(relation oid, role oid) RETURNS text LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_cannot';
CREATE TABLE log (source regclass, consumer text, r jsonb, sign int);
CREATE FUNCTION t(source regclass, consumer text DEFAULT 'm1') RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text; wrong bigint; columns int[];
BEGIN
    SELECT array_agg(attnum::int) INTO columns FROM pg_attribute WHERE attrelid = source AND attnum > 0 AND NOT attisdropped;
    said := take(source, consumer,
        format('WITH d AS (DELETE FROM cap.log WHERE source = %L::regclass AND consumer = %L)
                INSERT INTO cap.log SELECT %1$L::regclass, %2$L, to_jsonb(s), 1 FROM %1$s s', source, consumer),
        format('INSERT INTO cap.log SELECT %L::regclass, %L, (SELECT jsonb_object_agg(k, v) FROM jsonb_each(to_jsonb(changes)) AS e (k, v)
                    WHERE k <> ''strata_sign'' AND k !~ ''pg.dropped''), strata_sign FROM changes', source, consumer), columns);
    EXECUTE format('SELECT count(*) FROM (
            (SELECT r, sum(sign) FROM cap.log WHERE source = %L::regclass AND consumer = %L GROUP BY r HAVING sum(sign) <> 0
             EXCEPT SELECT to_jsonb(s), count(*) FROM %1$s s GROUP BY 1)
            UNION ALL
            (SELECT to_jsonb(s), count(*) FROM %1$s s GROUP BY 1
             EXCEPT SELECT r, sum(sign) FROM cap.log WHERE source = %1$L::regclass AND consumer = %2$L GROUP BY r HAVING sum(sign) <> 0)) AS d',
        source, consumer) INTO wrong;
    RETURN said || CASE WHEN wrong > 0 THEN ' WRONG ' || wrong ELSE '' END;
END $$;

-- ---- statements of all kinds ----
CREATE TABLE src (id int PRIMARY KEY, v text, n numeric);
INSERT INTO src SELECT i, 'v' || i, i FROM generate_series(1, 5) AS i;
SELECT t('src');
SELECT t('src') AS nothing;
INSERT INTO src VALUES (6, 'six', NULL), (7, NULL, 7);
UPDATE src SET v = v || '!' WHERE id < 3;
UPDATE src SET v = v WHERE id = 3;
DELETE FROM src WHERE id = 4;
SELECT t('src') AS "a row that was touched and is equal is no change";
INSERT INTO src VALUES (8, 'eight', 8), (1, 'one', 1) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
INSERT INTO src VALUES (1, 'no', 1) ON CONFLICT DO NOTHING;
SELECT t('src') AS "on conflict";
MERGE INTO src USING (VALUES (1, 'a'), (2, NULL), (9, 'b')) AS x (id, v) ON x.id = src.id
    WHEN MATCHED AND x.v IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET v = x.v WHEN NOT MATCHED THEN INSERT VALUES (x.id, x.v, 0);
SELECT t('src') AS merge;
COPY src FROM stdin;
20	twenty	20
21	\N	\N
\.
SELECT t('src') AS copy;
WITH d AS (DELETE FROM src WHERE id >= 20 RETURNING *), u AS (UPDATE src SET n = n + 1 WHERE id = 1)
    INSERT INTO src SELECT id + 10, v, n FROM d;
SELECT t('src') AS "modifying CTEs";
DELETE FROM src WHERE id = 99;
SELECT t('src') AS "no row, no change";
UPDATE src SET n = 8.00 WHERE id = 8;
SELECT t('src') AS "8 become 8.00 is one";
TRUNCATE src;
INSERT INTO src SELECT i, 'w' || i, i FROM generate_series(1, 3000) AS i;
SELECT t('src') AS truncate;
UPDATE src SET n = -n;
DELETE FROM src WHERE id % 2 = 0;
SELECT t('src') AS "thousands of rows";
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
UPDATE src SET n = n - 1;
SELECT t('src') AS "more than fits memory";
RESET work_mem;
RESET hash_mem_multiplier;

-- the columns that are used, and no others
CREATE TABLE used (a int, strata_sign int);
SELECT take('src'::regclass, 'm2', 'SELECT 1', 'SELECT 1', '{1}');
UPDATE src SET n = 0, v = 'x';
INSERT INTO src VALUES (5000, 'x', 0);
SELECT take('src'::regclass, 'm2', 'SELECT 1', 'INSERT INTO cap.used SELECT id, strata_sign FROM changes WHERE v IS NULL AND n IS NULL', '{1}');
TABLE used;
SELECT take('src'::regclass, 'm3', 'SELECT 1', 'SELECT 1', '{2,3}');
INSERT INTO src SELECT i, 'many', 1 FROM generate_series(6001, 6007) AS i;
DELETE FROM src WHERE id IN (6003, 6004);
TRUNCATE used;
SELECT take('src'::regclass, 'm3', 'SELECT 1', 'INSERT INTO cap.used SELECT 0, strata_sign FROM changes', '{2,3}') AS "one row per image, with their number";
TABLE used;
SELECT forget('m2'), forget('m3');
SELECT t('src') AS "each consumer at its own pace";

-- ---- the transaction that made the changes ----
BEGIN;
INSERT INTO src VALUES (7101, 'x', 1);
SELECT t('src');
INSERT INTO src VALUES (7102, 'x', 1);
SELECT t('src');
SAVEPOINT a;
UPDATE src SET v = 'y' WHERE id = 7101;
SELECT t('src') AS "to be rolled back";
ROLLBACK TO a;
UPDATE src SET v = 'z' WHERE id = 7102;
SAVEPOINT b;
INSERT INTO src VALUES (7103, 'x', 1);
ROLLBACK TO b;
INSERT INTO src VALUES (7104, 'x', 1);
SELECT t('src');
UPDATE src SET v = 'after' WHERE id = 7104;
COMMIT;
SELECT t('src') AS "what came after it";
SELECT t('src') AS nothing;
BEGIN;
DELETE FROM src WHERE id < 50;
SELECT t('src') AS "of a transaction that is rolled back";
ROLLBACK;
SELECT t('src') AS nothing;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO src VALUES (7105, 'x', 1);
SELECT t('src');
INSERT INTO src VALUES (7106, 'x', 1);
SELECT t('src');
COMMIT;
SELECT t('src');
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO src VALUES (7107, 'x', 1);
SELECT t('src');
COMMIT;
SELECT t('src');
BEGIN;
INSERT INTO src VALUES (7108, 'x', 1);
SELECT t('src');
TRUNCATE src;
SELECT t('src');
INSERT INTO src VALUES (1, 'x', 1);
SELECT t('src');
COMMIT;
SELECT t('src');

-- prepared
BEGIN;
INSERT INTO src VALUES (7201, 'x', 1);
PREPARE TRANSACTION 'capture_one';
INSERT INTO src VALUES (7202, 'x', 1);
SELECT t('src') AS "without what is prepared";
COMMIT PREPARED 'capture_one';
SELECT t('src') AS "and with it";
BEGIN;
INSERT INTO src VALUES (7203, 'x', 1);
PREPARE TRANSACTION 'capture_two';
ROLLBACK PREPARED 'capture_two';
SELECT t('src') AS nothing;

-- a refresh in the middle of a statement, before the statement is recorded
CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING '%', cap.t('cap.src'); RETURN NULL; END $$;
CREATE TRIGGER a_first AFTER INSERT ON src FOR EACH STATEMENT EXECUTE FUNCTION early();
CREATE TRIGGER a_row AFTER INSERT ON src FOR EACH ROW EXECUTE FUNCTION early();
SELECT t('src') AS "a new trigger is none of ours";
INSERT INTO src VALUES (7301, 'x', 1);
SELECT t('src');
DROP TRIGGER a_first ON src;
DROP TRIGGER a_row ON src;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM src;
FETCH 1 FROM c;
SELECT t('src');
COMMIT;
SELECT t('src');
SELECT t('src');

-- ---- columns of all kinds ----
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE kinds (gone1 text, id int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (p * 2) STORED, p positive, gone2 int, m mood, c pair,
    a int[], j jsonb, x json, b bytea, f float8, ts timestamptz, r int4range, bit bit(3), ch char(5), i interval, u uuid, pt point, big text COLLATE "C", nm name, l bool);
INSERT INTO kinds (gone1, gone2, p) VALUES ('x', 1, 1);
ALTER TABLE kinds DROP COLUMN gone1;
ALTER TABLE kinds ADD late int DEFAULT 7;
INSERT INTO kinds (p, big) VALUES (2, repeat('y', 100000));
SELECT t('kinds');
INSERT INTO kinds (gone2, p, m, c, a, j, x, b, f, ts, r, bit, ch, i, u, pt, big, nm, l) VALUES
    (5, 3, 'sad', (1, 'z'), '{1,NULL}', '{"a": [1, 2.50]}', '{"a" : 1}', '\x00ff', 'NaN', '2026-01-01', '[1,5)', '101', 'ab', '1 day', '00000000-0000-0000-0000-000000000001', '(1,2)',
     (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 5000) AS i), 'n', true);
UPDATE kinds SET p = p + 1;
SELECT t('kinds') AS "values out of line";
UPDATE kinds SET m = 'happy', big = big || 'x';
DELETE FROM kinds WHERE p = 2;
SELECT t('kinds');
ALTER TABLE kinds DROP COLUMN gone2;
SELECT t('kinds') AS "a column is dropped";
UPDATE kinds SET late = 8;
SELECT t('kinds');
ALTER TABLE kinds ADD fresh text DEFAULT 'f';
UPDATE kinds SET p = p + 1 WHERE id = 2;
SELECT t('kinds') AS "a column is added";
INSERT INTO kinds (p) VALUES (9);
UPDATE kinds SET l = false;
SELECT t('kinds');
ALTER TABLE kinds ALTER late TYPE bigint;
UPDATE kinds SET late = late + 1;
SELECT t('kinds') AS "a column is retyped";
ALTER TABLE kinds RENAME COLUMN late TO later;
UPDATE kinds SET later = later + 1;
DELETE FROM log WHERE source = 'kinds'::regclass;
INSERT INTO log SELECT 'kinds'::regclass, 'm1', jsonb_set(to_jsonb(k), '{later}', to_jsonb(later - 1)), 1 FROM kinds k;
SELECT t('kinds') AS "a column is renamed";
ALTER DOMAIN positive ADD CHECK (VALUE < 1000);
-- of the pages' size: what does not fit with the prefix before it is marked, and the statement goes on
DO $$ BEGIN EXECUTE 'CREATE TABLE wide (id int, ' || (SELECT string_agg(format('c%s int8', i), ', ') FROM generate_series(1, 1000) AS i) || ')'; END $$;
SELECT t('wide');
DO $$ BEGIN EXECUTE 'INSERT INTO wide SELECT 1, ' || (SELECT string_agg('1', ', ') FROM generate_series(1, 1000)); END $$;
SELECT t('wide') AS "a wide row";
DO $$ BEGIN EXECUTE 'ALTER TABLE wide ' || (SELECT string_agg(format('ADD d%s int8', i), ', ') FROM generate_series(1, 15) AS i); END $$;
SELECT t('wide');
DO $$ BEGIN EXECUTE 'INSERT INTO wide SELECT 1, ' || (SELECT string_agg('1', ', ') FROM generate_series(1, 1000)) || ', ' || (SELECT string_agg('1', ', ') FROM generate_series(1, 15)); END $$;
SELECT t('wide') AS "one too wide";
SELECT t('wide');
DROP TABLE wide;

-- ---- partitions ----
CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 (gone int, v text, id int) PARTITION BY LIST (v);
ALTER TABLE parts_2 DROP COLUMN gone;
CREATE TABLE parts_2_a PARTITION OF parts_2 FOR VALUES IN ('a');
CREATE TABLE parts_2_d PARTITION OF parts_2 DEFAULT;
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (100) TO (200);
INSERT INTO parts VALUES (1, 'a'), (101, 'a'), (102, 'b');
SELECT t('parts'), t('parts_2'), t('parts_1'), t('parts_2_d');
INSERT INTO parts VALUES (2, 'b'), (103, 'a');
INSERT INTO parts_2 (id, v) VALUES (104, 'c');
INSERT INTO parts_1 VALUES (3, 'c');
UPDATE parts_2_d SET v = v || '!' WHERE id = 102;
UPDATE parts SET id = id + 100 WHERE id = 1;
DELETE FROM parts_2_a WHERE id = 103;
SELECT t('parts'), t('parts_2'), t('parts_1'), t('parts_2_d');
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (200) TO (300);
INSERT INTO parts VALUES (201, 'new');
INSERT INTO parts_3 VALUES (202, 'new');
SELECT t('parts') AS "a new partition, where a partition is followed too";
SELECT t('parts_1'), t('parts_2'), t('parts_2_d');
SELECT forget('m1');
SELECT t('parts');
CREATE TABLE parts_4 PARTITION OF parts FOR VALUES FROM (300) TO (400);
INSERT INTO parts_4 VALUES (302, 'new');
SELECT t('parts') AS "a new partition";
ALTER TABLE parts DETACH PARTITION parts_4;
SELECT t('parts') AS detach;
INSERT INTO parts_4 VALUES (303, 'x');
SELECT t('parts') AS "no longer of it";
ALTER TABLE parts ATTACH PARTITION parts_4 FOR VALUES FROM (300) TO (400);
SELECT t('parts') AS attach;
TRUNCATE parts_4;
SELECT t('parts') AS "truncate of a partition";
DROP TABLE parts_4;
SELECT t('parts') AS "drop of a partition";
DROP TABLE parts;

-- ---- inheritance ----
CREATE TABLE animals (id int, v text);
CREATE TABLE dogs (w int) INHERITS (animals);
SELECT t('animals');
INSERT INTO animals VALUES (1, 'a');
INSERT INTO dogs VALUES (2, 'b', 3);
UPDATE animals SET v = v || '!';
UPDATE dogs SET w = 4;
DELETE FROM animals WHERE id = 2;
SELECT t('animals') AS "through the parent and the child";
CREATE TABLE cats () INHERITS (animals);
INSERT INTO cats VALUES (5, 'c');
SELECT t('animals') AS "a new child";
ALTER TABLE cats NO INHERIT animals;
SELECT t('animals') AS "a child that leaves";
SELECT cannot('dogs'::regclass, 10) AS child;
CREATE TABLE machines (id int, v text);
ALTER TABLE dogs INHERIT machines;
INSERT INTO dogs VALUES (7, 'b', 3);
SELECT t('animals') AS "a child of two";
SELECT cannot('machines'::regclass, 10), cannot('dogs'::regclass, 10);

-- ---- foreign keys ----
CREATE TABLE owner (id int PRIMARY KEY);
CREATE TABLE owned (id int, o int REFERENCES owner ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO owner VALUES (1), (2), (3);
INSERT INTO owned VALUES (1, 1), (2, 2), (3, 3);
SELECT t('owned');
DELETE FROM owner WHERE id = 1;
UPDATE owner SET id = 22 WHERE id = 2;
SELECT t('owned') AS cascades;
SELECT forget('m1');
SELECT count(*) AS captures FROM strata_state.capture;
DROP SCHEMA cap CASCADE;
