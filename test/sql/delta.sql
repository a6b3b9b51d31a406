-- delta: targets become what their queries give, by differences or by new storage
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE SCHEMA src;
CREATE SCHEMA dl;

-- ---- keyed: insert, update, delete; what stays stays where it is ----
CREATE TABLE src.a (id integer, v text, n numeric);
INSERT INTO src.a SELECT g, 'v' || g, g FROM generate_series(1, 1000) AS g;
SELECT strata.define_mart('dl.keyed', 'SELECT id, v, n FROM src.a', key => '{id}');
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.keyed');
SELECT oracle.holds('dl.keyed'), oracle.note('dl.keyed');
SELECT rows_in, inserted, updated, deleted, status FROM strata.refresh('dl.keyed');
UPDATE src.a SET v = v;
SELECT rows_in, inserted, updated, deleted, status FROM strata.refresh('dl.keyed');
SELECT oracle.holds('dl.keyed'), oracle.moved('dl.keyed');
UPDATE src.a SET v = 'new' WHERE id % 100 = 0;
DELETE FROM src.a WHERE id % 250 = 1;
INSERT INTO src.a VALUES (2001, 'in', 1), (2002, NULL, NULL);
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.keyed');
SELECT oracle.holds('dl.keyed'), oracle.moved('dl.keyed');
-- zero rows, and back
CREATE TABLE src.a_kept AS SELECT * FROM src.a;
TRUNCATE src.a;
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.keyed');
SELECT oracle.holds('dl.keyed');
INSERT INTO src.a SELECT * FROM src.a_kept;
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.keyed');
SELECT oracle.holds('dl.keyed');

-- ---- compared by image ----
CREATE TYPE src.pair AS (x integer, label text);
CREATE DOMAIN src.amount AS numeric(12, 2) CHECK (VALUE < 1e9);
CREATE TYPE src.mood AS ENUM ('low', 'high');
CREATE COLLATION src.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE src.images (
    id integer, n numeric, f double precision, r real, t text COLLATE src.nocase, j json, jb jsonb, x xml, p point, ia integer[], pa src.pair[], c src.pair,
    d date, ts timestamp, tz timestamptz, iv interval, am src.amount, mo src.mood, b bytea, ch character(5), bits bit varying(8), rg numrange, bl boolean, long text,
    u uuid, ip inet, box box, ts_vector tsvector, na name, one "char");
INSERT INTO src.images (id) SELECT generate_series(1, 40);
SELECT strata.define_mart('dl.images', 'SELECT * FROM src.images', key => '{id}');
SELECT strata.define_mart('dl.images_free', 'SELECT * FROM src.images');
SELECT model, rows_in, inserted FROM strata.refresh('dl.images dl.images_free');
CREATE FUNCTION image_step(change text) RETURNS TABLE (model text, inserted bigint, updated bigint, deleted bigint, holds text, moved bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM oracle.note('dl.images'), oracle.note('dl.images_free');
    EXECUTE change;
    RETURN QUERY SELECT r.model, r.inserted, r.updated, r.deleted, oracle.holds(r.model), oracle.moved(r.model)
                   FROM strata.refresh('dl.images dl.images_free') AS r ORDER BY r.model;
END $$;
SELECT * FROM image_step($$ UPDATE src.images SET n = 1.0, f = 0.0, r = 0, t = 'abc', j = '{"a": 1}', jb = '{"a": 1}', x = '<a/>', p = '(1,2)', ia = '{1,2}',
    pa = ARRAY[(1, 'a')::src.pair], c = (1, 'a'), d = '2024-01-01', ts = '2024-01-01', tz = '2024-01-01 00:00+00', iv = '1 day', am = 1.5, mo = 'low', b = '\x00', ch = 'a',
    bits = B'101', rg = '[1,2)', bl = true, long = repeat('x', 10000), u = '00000000-0000-0000-0000-000000000001', ip = '10.0.0.1', box = '(0,0),(1,1)',
    ts_vector = 'a b', na = 'n', one = 'c' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET n = 1.00 WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET f = '-0' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET t = 'ABC' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET j = '{"a":1}' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET jb = '{"a":1.0}' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET x = '<a></a>' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET p = '(1,-0)' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET ia = '[0:1]={1,2}', pa = ARRAY[(1, NULL)::src.pair] WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET c = (1, 'A') WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET c = (NULL, NULL) WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET c = NULL WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET f = 'NaN', r = 'Infinity', n = 'NaN', d = '-infinity', ts = 'infinity', tz = '-infinity' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET n = '-Infinity', r = '-Infinity', d = '0044-03-15 BC', ts = '0044-03-15 12:00 BC', tz = '4713-01-01 00:00+00 BC' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET iv = '24 hours' WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET long = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 400) AS g) WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET long = overlay(long placing 'Z' from 12000), b = decode(repeat('ab', 20000), 'hex'), c = (7, long) WHERE id = 1 $$);
SELECT * FROM image_step($$ UPDATE src.images SET c = (7, overlay(long placing 'Z' from 12001)) WHERE id = 1 $$);
-- the same values written anew, toasted or not, are no change
SELECT * FROM image_step($$ UPDATE src.images SET long = long || '', n = n + 0, c = CASE WHEN id = 1 THEN ((c).x, (c).label || '')::src.pair END $$);
ALTER TABLE src.images ALTER COLUMN long SET STORAGE EXTERNAL;
SELECT * FROM image_step($$ UPDATE src.images SET long = 'y' || substr(long, 2) WHERE id = 1 $$);

-- ---- multiset: no key, duplicates, NULLs ----
CREATE TABLE src.bag (a integer, b text);
INSERT INTO src.bag SELECT g % 5, nullif(g % 3, 0)::text FROM generate_series(1, 60) AS g;
INSERT INTO src.bag SELECT NULL, NULL FROM generate_series(1, 4);
SELECT strata.define_mart('dl.bag', 'SELECT a, b FROM src.bag');
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.bag');
SELECT oracle.holds('dl.bag'), oracle.note('dl.bag');
DELETE FROM src.bag WHERE ctid IN (SELECT ctid FROM src.bag WHERE a IS NULL LIMIT 3);
DELETE FROM src.bag WHERE ctid IN (SELECT ctid FROM src.bag WHERE a = 1 LIMIT 2);
INSERT INTO src.bag SELECT 9, NULL FROM generate_series(1, 3);
INSERT INTO src.bag SELECT 2, '2' FROM generate_series(1, 2);
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.bag');
SELECT oracle.holds('dl.bag'), oracle.moved('dl.bag');
UPDATE src.bag SET b = b;
SELECT rows_in, inserted, updated, deleted, status FROM strata.refresh('dl.bag');
UPDATE src.bag SET b = 'z';
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.bag');
SELECT oracle.holds('dl.bag');

-- columns named as the statements name things
CREATE TABLE src.q (q text, t integer, o integer, d text, r integer, n integer, image text, rows integer);
INSERT INTO src.q VALUES ('x', 1, 1, 'a', 1, 1, 'i', 1), ('x', 1, 1, 'a', 1, 2, 'i', 1), ('x', 1, 1, 'b', 1, 2, 'i', 1);
SELECT strata.define_mart('dl.named', 'SELECT * FROM src.q AS q');
SELECT strata.define_mart('dl.named_keyed', 'SELECT * FROM src.q AS q', key => '{d, n}');
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.named*');
UPDATE src.q SET n = 5, rows = 3 WHERE n = 1;
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.named*');
SELECT oracle.holds('dl.named'), oracle.holds('dl.named_keyed');
UPDATE src.q SET d = 'c';
SELECT oracle.attempt($$ SELECT strata.refresh('dl.named*') $$);
SELECT strata.drop_model('dl.named'), strata.drop_model('dl.named_keyed');

-- ---- wide ----

SET client_min_messages = error;
DO $$ BEGIN EXECUTE (SELECT format('CREATE TABLE src.wide (id integer, %s)', string_agg(format('c%s boolean', g), ', ')) FROM generate_series(2, 1600) AS g); END $$;
INSERT INTO src.wide (id, c2, c1600) SELECT g, true, g % 2 = 0 FROM generate_series(1, 50) AS g;
SELECT strata.define_mart('dl.wide', 'SELECT * FROM src.wide', key => '{id}');
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.wide');
SELECT oracle.holds('dl.wide'), oracle.note('dl.wide');
UPDATE src.wide SET c1600 = NULL WHERE id = 7;
DELETE FROM src.wide WHERE id = 8;
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.wide');
SELECT oracle.holds('dl.wide'), oracle.moved('dl.wide');
INSERT INTO src.wide (id) VALUES (7);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.wide') $$);
UPDATE src.wide SET id = NULL WHERE id = 7 AND c2 IS NULL;
SELECT oracle.attempt($$ SELECT strata.refresh('dl.wide') $$);
SELECT strata.drop_model('dl.wide');
DROP TABLE src.wide;
RESET client_min_messages;
SET client_min_messages = warning;

-- ---- new storage under the same OID: everything on the table stays ----
CREATE ROLE delta_bi;
CREATE ROLE delta_cols;
GRANT USAGE ON SCHEMA dl TO delta_bi, delta_cols;
SELECT oid AS keyed_oid FROM pg_class WHERE oid = 'dl.keyed'::regclass \gset
CREATE VIEW dl.on_top AS SELECT count(*) AS n, sum(n) AS total FROM dl.keyed;
GRANT SELECT ON dl.keyed TO delta_bi;
GRANT SELECT (id) ON dl.keyed TO delta_cols;
COMMENT ON TABLE dl.keyed IS 'kept';
COMMENT ON COLUMN dl.keyed.v IS 'kept too';
CREATE INDEX keyed_v ON dl.keyed (v) WHERE n > 3;
CREATE UNIQUE INDEX keyed_unique ON dl.keyed ((coalesce(n, -1)), id);
ALTER TABLE dl.keyed ADD CONSTRAINT n_small CHECK (n < 100000);
CREATE STATISTICS dl.keyed_stat ON id, n FROM dl.keyed;
SET client_min_messages = error;
CREATE PUBLICATION delta_pub FOR TABLE dl.keyed;
SET client_min_messages = warning;
ALTER TABLE dl.keyed SET (fillfactor = 80, toast.autovacuum_enabled = false);
ALTER TABLE dl.keyed REPLICA IDENTITY FULL;
ALTER TABLE dl.keyed ALTER COLUMN v SET STORAGE EXTERNAL;
ALTER TABLE dl.keyed ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON dl.keyed FOR SELECT TO delta_bi USING (id <= 3);
PREPARE kept AS SELECT count(*) FROM dl.keyed WHERE id > $1;
EXECUTE kept(0);
SELECT pg_relation_filenode('dl.keyed') AS was_node \gset
SELECT rows_in, inserted, updated, deleted FROM strata.refresh('dl.keyed', full_rebuild => true);
SELECT oracle.holds('dl.keyed'), pg_relation_filenode('dl.keyed') <> :was_node AS new_storage, 'dl.keyed'::regclass::oid = :keyed_oid AS same_oid;
EXECUTE kept(0);
SELECT * FROM dl.on_top;
SET ROLE delta_bi;
SELECT id FROM dl.keyed ORDER BY id;
RESET ROLE;
SELECT has_column_privilege('delta_cols', 'dl.keyed', 'id', 'SELECT'), has_column_privilege('delta_cols', 'dl.keyed', 'v', 'SELECT');
SELECT obj_description('dl.keyed'::regclass), col_description('dl.keyed'::regclass, 2);
SELECT indexrelid::regclass, indisvalid, indisready FROM pg_index WHERE indrelid = 'dl.keyed'::regclass ORDER BY 1;
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'dl.keyed'::regclass AND contype <> 'n' ORDER BY 1;
SELECT stxname FROM pg_statistic_ext WHERE stxrelid = 'dl.keyed'::regclass;
SELECT tablename FROM pg_publication_tables WHERE pubname = 'delta_pub';
SELECT c.reloptions, t.reloptions, c.relreplident, c.relrowsecurity, (SELECT attstorage FROM pg_attribute WHERE attrelid = c.oid AND attname = 'v')
  FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = 'dl.keyed'::regclass;
-- the index is used and right
SET enable_seqscan = off;
SELECT id FROM dl.keyed WHERE v = 'v7' AND n > 3;
RESET enable_seqscan;
-- a CHECK of the user's refuses, in both ways, and nothing changes
INSERT INTO src.a VALUES (3000, 'big', 100000);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.keyed') $$);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.keyed', full_rebuild => true) $$);
DELETE FROM src.a WHERE id = 3000;
SELECT status FROM strata.refresh('dl.keyed');
DROP PUBLICATION delta_pub;

-- a mass change gets new storage as well; by difference where the share is not reached
CREATE TABLE src.mass AS SELECT g AS id, 0 AS v FROM generate_series(1, 30000) AS g;
SELECT strata.define_mart('dl.mass', 'SELECT id, v FROM src.mass', key => '{id}', refresh => 'full');
SELECT inserted FROM strata.refresh('dl.mass');
SELECT pg_relation_filenode('dl.mass') AS was_node \gset
UPDATE src.mass SET v = 1 WHERE id <= 25000;
SELECT inserted, updated, deleted FROM strata.refresh('dl.mass');
SELECT oracle.holds('dl.mass'), pg_relation_filenode('dl.mass') <> :was_node AS new_storage;
SELECT pg_relation_filenode('dl.mass') AS was_node \gset
UPDATE src.mass SET v = 2 WHERE id <= 15000;
SELECT inserted, updated, deleted FROM strata.refresh('dl.mass');
SELECT oracle.holds('dl.mass'), pg_relation_filenode('dl.mass') <> :was_node AS new_storage;
SET strata.delta_swap_share = 1;
UPDATE src.mass SET v = 3;
SELECT inserted, updated, deleted FROM strata.refresh('dl.mass');
SELECT oracle.holds('dl.mass'), pg_relation_filenode('dl.mass') <> :was_node AS new_storage;
RESET strata.delta_swap_share;
-- autovacuum is told
SELECT pg_stat_force_next_flush();
SELECT n_mod_since_analyze >= 30000 AS told FROM pg_stat_user_tables WHERE relid = 'dl.mass'::regclass;

-- ---- unique indexes of the user's: conflicts that pass are no conflicts ----
CREATE TABLE src.swap (id integer, slot integer, place integer);
INSERT INTO src.swap SELECT g, g, g FROM generate_series(1, 10) AS g;
SELECT strata.define_mart('dl.swap', 'SELECT id, slot, place FROM src.swap', key => '{id}');
SELECT inserted FROM strata.refresh('dl.swap');
CREATE UNIQUE INDEX ON dl.swap (slot);
ALTER TABLE dl.swap ADD CONSTRAINT apart EXCLUDE (place WITH =);
UPDATE src.swap SET slot = 11 - slot, place = (place % 10) + 1;
SELECT inserted, updated, deleted FROM strata.refresh('dl.swap');
SELECT oracle.holds('dl.swap');
DELETE FROM src.swap WHERE id = 1;
INSERT INTO src.swap VALUES (21, 10, 2);
SELECT inserted, updated, deleted FROM strata.refresh('dl.swap');
SELECT oracle.holds('dl.swap');
-- and a lasting one is refused by that index's name, not as a broken key
INSERT INTO src.swap VALUES (22, 10, 99);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.swap') $$);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.swap', full_rebuild => true) $$);
DELETE FROM src.swap WHERE id = 22;

-- ---- triggers and foreign keys of the user's: they see every row, so the storage is not replaced ----
CREATE TABLE dl.seen (op text, n bigint);
CREATE FUNCTION dl.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO dl.seen SELECT TG_OP, 1; RETURN NULL; END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON dl.swap FOR EACH ROW EXECUTE FUNCTION dl.see();
SELECT pg_relation_filenode('dl.swap') AS was_node \gset
SELECT inserted, updated, deleted FROM strata.refresh('dl.swap', full_rebuild => true);
UPDATE src.swap SET slot = slot + 100 WHERE id IN (3, 4);
SELECT inserted, updated, deleted FROM strata.refresh('dl.swap', full_rebuild => true);
SELECT oracle.holds('dl.swap'), pg_relation_filenode('dl.swap') <> :was_node AS new_storage;
SELECT op, count(*) FROM dl.seen GROUP BY op ORDER BY op;
DROP TRIGGER see ON dl.swap;
CREATE TABLE dl.refers (id integer REFERENCES dl.swap);
INSERT INTO dl.refers VALUES (3);
UPDATE src.swap SET slot = slot + 100;
SELECT inserted, updated, deleted FROM strata.refresh('dl.swap', full_rebuild => true);
SELECT oracle.holds('dl.swap');
DELETE FROM src.swap WHERE id = 3;
SELECT oracle.attempt($$ SELECT strata.refresh('dl.swap', full_rebuild => true) $$);
DROP TABLE dl.refers;
SELECT inserted, updated, deleted FROM strata.refresh('dl.swap');

-- ---- the key: NULLs and duplicates are refused, with the rows, on every way ----
CREATE TABLE src.k (id integer, sub text, v integer);
SELECT strata.define_mart('dl.k', 'SELECT id, sub, v FROM src.k', key => '{id, sub}');
INSERT INTO src.k VALUES (1, 'a', 1), (1, 'a', 2), (2, 'b', 3);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.k') $$);
UPDATE src.k SET sub = NULL WHERE v = 2;
SELECT oracle.attempt($$ SELECT strata.refresh('dl.k') $$);
-- into an empty table whose storage cannot be replaced
CREATE TRIGGER see AFTER INSERT ON dl.k FOR EACH ROW EXECUTE FUNCTION dl.see();
SELECT oracle.attempt($$ SELECT strata.refresh('dl.k') $$);
UPDATE src.k SET sub = 'a' WHERE v = 2;
SELECT oracle.attempt($$ SELECT strata.refresh('dl.k') $$);
DROP TRIGGER see ON dl.k;
-- beside rows that are there: equal to them, new ones, changed ones
DELETE FROM src.k WHERE v = 2;
SELECT inserted FROM strata.refresh('dl.k');
SELECT oracle.note('dl.k');
INSERT INTO src.k VALUES (1, 'a', 1);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.k') $$);
UPDATE src.k SET v = 7 WHERE ctid = (SELECT ctid FROM src.k WHERE id = 1 LIMIT 1);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.k') $$);
DELETE FROM src.k WHERE id = 1;
INSERT INTO src.k VALUES (5, 'n', 1), (5, 'n', 1), (6, 'n', 1);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.k') $$);
DELETE FROM src.k WHERE id = 5;
INSERT INTO src.k VALUES (NULL, 'n', 1);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.k') $$);
SELECT count(*), oracle.moved('dl.k') FROM dl.k;
-- a key whose equality is not that of its bytes
CREATE TABLE src.nk (t text COLLATE src.nocase, v numeric);
INSERT INTO src.nk VALUES ('a', 1.0), ('B', 2);
SELECT strata.define_mart('dl.nk', 'SELECT t, v FROM src.nk', key => '{t}');
SELECT inserted FROM strata.refresh('dl.nk');
UPDATE src.nk SET t = 'A' WHERE t = 'a';
SELECT inserted, updated, deleted FROM strata.refresh('dl.nk');
SELECT oracle.holds('dl.nk');
INSERT INTO src.nk VALUES ('b', 2);
SELECT oracle.attempt($$ SELECT strata.refresh('dl.nk') $$);

-- ---- row-level security that would hide rows from the refresh itself is refused; other policies are kept ----
CREATE ROLE delta_owner;
GRANT CREATE, USAGE ON SCHEMA dl TO delta_owner;
GRANT USAGE ON SCHEMA src, oracle TO delta_owner;
GRANT SELECT ON src.bag TO delta_owner;
SET ROLE delta_owner;
SELECT strata.define_mart('dl.mine', 'SELECT a, b FROM src.bag');
SELECT inserted FROM strata.refresh('dl.mine');
ALTER TABLE dl.mine ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON dl.mine USING (a = 1);
RESET ROLE;
UPDATE src.bag SET b = b;
SET ROLE delta_owner;
SELECT status, rows_in FROM strata.refresh('dl.mine', full_rebuild => false);
ALTER TABLE dl.mine FORCE ROW LEVEL SECURITY;
SELECT oracle.attempt($$ SELECT strata.refresh('dl.mine', full_rebuild => true) $$);
RESET ROLE;

DROP VIEW dl.on_top;
SELECT count(strata.drop_model(model)) FROM (VALUES ('dl.keyed'), ('dl.images'), ('dl.images_free'), ('dl.bag'), ('dl.mass'), ('dl.swap'), ('dl.k'), ('dl.nk'), ('dl.mine')) AS m (model);
SET client_min_messages = error;
DROP FUNCTION image_step(text);
DROP SCHEMA oracle, src, dl CASCADE;
DROP ROLE delta_bi, delta_cols, delta_owner;
