-- dimension_business: versions dated by the rows (effective_from); one heading a rule
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA bz;
CREATE TABLE bz.client (id integer, nom text, secteur text, code text, maj timestamptz);
SELECT strata.define_dimension('bz.dim_client', 'SELECT * FROM bz.client', key => '{id}', history => '{secteur}', fixed => '{code}', effective_from => 'maj', deletes => 'close');
CREATE VIEW bz.seen AS SELECT client_key AS key, id, nom, secteur, code, valid_from, valid_to, is_current FROM bz.dim_client WHERE client_key <> 0 ORDER BY id, valid_from;
CREATE FUNCTION bz.run(at timestamptz, rebuild boolean DEFAULT false) RETURNS text LANGUAGE sql AS
$$ SELECT format('%s: %s inserted, %s updated, %s deleted', status, inserted, updated, deleted) FROM strata.refresh('bz.dim_client', as_of => at, full_rebuild => rebuild) $$;
INSERT INTO bz.client VALUES (1, 'Kouassi', 'bois', 'K', '2025-01-10'), (2, 'Yao', 'cacao', 'Y', '2025-01-10');
SELECT bz.run('2025-01-11');

-- ---- rule: a version begins when its row says, not when the run comes ----
UPDATE bz.client SET secteur = 'hévéa', maj = '2025-01-20' WHERE id = 1;
SELECT bz.run('2025-01-25');
SELECT * FROM bz.seen;

-- ---- rule: an equal updated_at never overwrites newer ----
UPDATE bz.client SET secteur = 'other' WHERE id = 1;
SELECT bz.run('2025-01-26');
-- ---- rule: an older one does not either, but splits the interval it falls in: late changes ----
UPDATE bz.client SET secteur = 'ivoire', nom = 'Old name', code = 'old', maj = '2025-01-15' WHERE id = 1;
SELECT bz.run('2025-01-27');
SELECT * FROM bz.seen WHERE id = 1;
-- before the first version: fixed columns have the first value, by time
UPDATE bz.client SET secteur = 'savon', code = 'first', maj = '2025-01-01' WHERE id = 1;
SELECT bz.run('2025-01-28');
-- the same as the version it falls in: nothing opens
UPDATE bz.client SET secteur = 'ivoire', maj = '2025-01-17' WHERE id = 1;
SELECT bz.run('2025-01-29');
-- a version that begins earlier than was known keeps its key
UPDATE bz.client SET secteur = 'bois', maj = '2025-01-05' WHERE id = 1;
SELECT bz.run('2025-01-30');
SELECT * FROM bz.seen WHERE id = 1;
-- ---- rule: an identical re-run changes nothing, a full rebuild neither ----
SELECT oracle.note('bz.dim_client');
UPDATE bz.client SET nom = nom;
SELECT bz.run('2025-01-31');
SELECT bz.run('2025-01-31', rebuild => true);
SELECT oracle.moved('bz.dim_client');

-- ---- rule: deletes close at the run time, a return opens a version and keeps the gap ----
DELETE FROM bz.client WHERE id = 2;
SELECT bz.run('2025-02-01');
INSERT INTO bz.client VALUES (2, 'Yao', 'cacao', 'Y', '2025-01-10');
SELECT bz.run('2025-02-05');
SELECT * FROM bz.seen WHERE id = 2;
-- an overwritten column of a row that came back
UPDATE bz.client SET nom = 'YAO' WHERE id = 2;
SELECT bz.run('2025-02-06');
SELECT DISTINCT nom FROM bz.seen WHERE id = 2;
-- gone with what was dated ahead; back with it
INSERT INTO bz.client VALUES (2, 'YAO', 'coton', 'Y', '2025-03-01');
SELECT bz.run('2025-02-07');
DELETE FROM bz.client WHERE id = 2;
SELECT bz.run('2025-02-08');
SELECT * FROM bz.seen WHERE id = 2;
INSERT INTO bz.client VALUES (2, 'YAO', 'cacao', 'Y', '2025-01-10'), (2, 'YAO', 'coton', 'Y', '2025-03-01');
SELECT bz.run('2025-02-09');
SELECT * FROM bz.seen WHERE id = 2;
-- ---- rule: mark, and ignore, are other readings of the same observations; keys stay ----
SELECT strata.define_dimension('bz.dim_client', 'SELECT * FROM bz.client', key => '{id}', history => '{secteur}', fixed => '{code}', effective_from => 'maj', deletes => 'mark');
SELECT bz.run('2025-02-10');
SELECT client_key, secteur, valid_from::date, valid_to::date, is_deleted FROM bz.dim_client WHERE id = 2 ORDER BY valid_from;
SELECT strata.define_dimension('bz.dim_client', 'SELECT * FROM bz.client', key => '{id}', history => '{secteur}', fixed => '{code}', effective_from => 'maj');
SELECT bz.run('2025-02-11');
SELECT * FROM bz.seen WHERE id = 2;

-- ---- rule: duplicates collapse, contradictions and NULLs fail the batch and change nothing ----
SELECT oracle.note('bz.dim_client');
INSERT INTO bz.client SELECT * FROM bz.client;
SELECT bz.run('2025-02-12');
INSERT INTO bz.client VALUES (2, 'YAO', 'or', 'Y', '2025-03-01');
SELECT oracle.attempt($$ SELECT bz.run('2025-02-12') $$);
DELETE FROM bz.client WHERE secteur = 'or';
INSERT INTO bz.client VALUES (3, 'no date', 'or', 'Y', NULL);
SELECT oracle.attempt($$ SELECT bz.run('2025-02-12') $$);
UPDATE bz.client SET maj = 'infinity' WHERE id = 3;
SELECT oracle.attempt($$ SELECT bz.run('2025-02-12') $$);
DELETE FROM bz.client WHERE id = 3;
SELECT oracle.moved('bz.dim_client');

-- ---- rule: same instant: the greatest sequence wins ----
CREATE TABLE bz.seq (id integer, v text, le date, n integer);
INSERT INTO bz.seq VALUES (1, 'second', '2025-01-01', 2), (1, 'first', '2025-01-01', 1), (1, 'third', '2025-01-02', 0);
SELECT strata.define_dimension('bz.dim_seq', 'SELECT * FROM bz.seq', key => '{id}', history => '{v}', effective_from => 'le', sequence => 'n');
SELECT inserted FROM strata.refresh('bz.dim_seq', as_of => '2025-01-03');
INSERT INTO bz.seq VALUES (1, 'earlier sequence', '2025-01-02', -1), (1, 'later sequence', '2025-01-01', 3);
SELECT inserted, updated, deleted FROM strata.refresh('bz.dim_seq', as_of => '2025-01-04');
SELECT * FROM bz.dim_seq WHERE seq_key <> 0 ORDER BY valid_from;
SELECT pg_typeof(valid_from) FROM bz.dim_seq LIMIT 1;

-- ---- the time may be a date, a timestamp; since ever; before our era; not NULL, not infinity, not a text ----
CREATE TABLE bz.temps (id integer, v text, ts timestamp);
INSERT INTO bz.temps VALUES (1, 'since ever', '-infinity'), (1, 'Caesar', '0044-03-15 12:00:00 BC'), (1, 'now', '2025-01-01 00:00:00.000001');
SELECT strata.define_dimension('bz.dim_temps', 'SELECT * FROM bz.temps', key => '{id}', history => '{v}', effective_from => 'ts');
SELECT inserted FROM strata.refresh('bz.dim_temps');
SELECT * FROM bz.dim_temps WHERE temps_key <> 0 ORDER BY valid_from;
SELECT oracle.attempt($$ SELECT strata.define_dimension('bz.dim_bad', 'SELECT id, v, ts::text AS ts FROM bz.temps', key => '{id}', effective_from => 'ts') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('bz.dim_bad', 'SELECT id, v, ts FROM bz.temps', key => '{id}', effective_from => 'tss') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('bz.dim_bad', 'SELECT id, v, ts FROM bz.temps', key => '{id}', sequence => 'ts') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('bz.dim_bad', 'SELECT id, v, ts FROM bz.temps', key => '{id}', history => '{ts}', effective_from => 'ts') $$);

-- ---- rule: a shrunken extract is refused unless confirmed ----
CREATE TABLE bz.many AS SELECT i AS id, 'x' AS v, timestamptz '2025-01-01' AS maj FROM generate_series(1, 10) AS i;
SELECT strata.define_dimension('bz.dim_many', 'SELECT * FROM bz.many', key => '{id}', history => '{v}', effective_from => 'maj', deletes => 'close', max_shrink => 0.2);
SELECT inserted FROM strata.refresh('bz.dim_many', as_of => '2025-01-02');
DELETE FROM bz.many WHERE id <= 3;
SELECT oracle.attempt($$ SELECT strata.refresh('bz.dim_many', as_of => '2025-01-03') $$);
SELECT inserted, updated FROM strata.refresh('bz.dim_many', as_of => '2025-01-03', confirm_shrink => true);
DELETE FROM bz.many WHERE id = 4;
SELECT inserted, updated FROM strata.refresh('bz.dim_many', as_of => '2025-01-04');

-- ---- inferred members are completed in place by the real row, in every mode; a key that is only deleted keeps its member ----
CREATE TABLE bz.vente (id integer, client integer, at timestamptz);
INSERT INTO bz.vente VALUES (1, 1, '2024-06-01'), (2, 9, '2025-01-15'), (3, 8, '2025-01-15');
CREATE TABLE bz.feed (id integer, v text, op text, at timestamptz);
INSERT INTO bz.feed VALUES (1, 'a', 'I', '2024-01-01');
SELECT strata.define_dimension('bz.dim_feed', 'SELECT * FROM bz.feed', key => '{id}', history => '{v}', operation => 'op', sequence => 'at');
SELECT strata.define_dimension('bz.dim_close', 'SELECT DISTINCT ON (id) id, v FROM bz.feed WHERE op <> $d$D$d$ ORDER BY id, at DESC', key => '{id}', history => '{v}', deletes => 'close', max_shrink => 1);
SELECT strata.define_dimension('bz.dim_mark', 'SELECT DISTINCT ON (id) id, v FROM bz.feed WHERE op <> $d$D$d$ ORDER BY id, at DESC', key => '{id}', history => '{v}', deletes => 'mark', max_shrink => 1);
SELECT strata.define_dimension('bz.dim_dated', 'SELECT id, v, at FROM bz.feed WHERE op <> $d$D$d$', key => '{id}', history => '{v}', effective_from => 'at', deletes => 'mark', max_shrink => 1);
SELECT strata.define_fact('bz.fait', 'SELECT id, client, at FROM bz.vente', grain => '{id}', dimensions => '{
  "feed_key": {"dimension": "bz.dim_feed", "on": {"client": "id"}, "as_of": "at", "missing": "infer"},
  "close_key": {"dimension": "bz.dim_close", "on": {"client": "id"}, "missing": "infer"},
  "mark_key": {"dimension": "bz.dim_mark", "on": {"client": "id"}, "missing": "infer"},
  "dated_key": {"dimension": "bz.dim_dated", "on": {"client": "id"}, "as_of": "at", "missing": "infer"}}');
SELECT model, inserted, updated, deleted FROM strata.refresh('bz.fait bz.dim_feed bz.dim_close bz.dim_mark bz.dim_dated', as_of => '2025-01-02') ORDER BY model;
SELECT * FROM bz.fait ORDER BY id;
CREATE TEMP TABLE keys_before AS SELECT * FROM bz.fait;
-- nothing about them yet: they stay
UPDATE bz.feed SET v = v;
SELECT model, inserted, updated, deleted FROM strata.refresh('bz.dim_feed bz.dim_close bz.dim_mark bz.dim_dated', as_of => '2025-01-03') ORDER BY model;
-- 9 comes, 8 is only ever deleted
INSERT INTO bz.feed VALUES (9, 'real', 'I', '2025-01-20'), (8, NULL, 'D', '2025-01-20');
SELECT model, inserted, updated, deleted FROM strata.refresh('bz.fait bz.dim_feed bz.dim_close bz.dim_mark bz.dim_dated', as_of => '2025-01-21') ORDER BY model;
SELECT * FROM bz.fait EXCEPT SELECT * FROM keys_before;
SELECT 'feed', id, v, valid_from, is_current FROM bz.dim_feed WHERE id IN (8, 9) UNION ALL SELECT 'close', id, v, valid_from, is_current FROM bz.dim_close WHERE id IN (8, 9)
UNION ALL SELECT 'mark', id, v, valid_from, is_current FROM bz.dim_mark WHERE id IN (8, 9) UNION ALL SELECT 'dated', id, v, valid_from, is_current FROM bz.dim_dated WHERE id IN (8, 9) ORDER BY 1, 2;
-- ---- history that comes late re-keys the facts it concerns ----
INSERT INTO bz.feed VALUES (1, 'b', 'U', '2024-05-01'), (9, 'earlier', 'U', '2025-01-10');
SELECT model, inserted, updated, deleted FROM strata.refresh('bz.fait bz.dim_feed bz.dim_dated', as_of => '2025-01-22') ORDER BY model;
SELECT f.id, d.v, e.v FROM bz.fait f JOIN bz.dim_feed d USING (feed_key) JOIN bz.dim_dated e USING (dated_key) ORDER BY 1;
SET client_min_messages = error;
SELECT count(*) > 0 FROM (SELECT strata.drop_model(m, "cascade" => true) FROM unnest('{bz.fait}'::text[]) AS m) AS d;
DROP VIEW bz.seen;
SELECT count(*) > 0 FROM (SELECT strata.drop_model(model) FROM strata.models WHERE model LIKE 'bz.%') AS d;
DROP SCHEMA oracle, bz CASCADE;
