-- verify: is each target what its query gives? Every layer, every way to differ, what a repair mends, and who may.
CREATE SCHEMA vf_src;
CREATE SCHEMA vf;
CREATE TABLE vf_src.sale (id integer PRIMARY KEY, client text, day date, amount numeric(10,2)) WITH (autovacuum_enabled = off);
CREATE TABLE vf_src.client (client text, city text, grade text, born date) WITH (autovacuum_enabled = off);
CREATE TABLE vf_src.moved (client text, city text, since date) WITH (autovacuum_enabled = off);
INSERT INTO vf_src.sale SELECT i, 'c' || i % 5, date '2026-01-01' + i % 40, i FROM generate_series(1, 200) AS i;
INSERT INTO vf_src.sale VALUES (1000, 'unheard of', '2026-01-03', 100);
INSERT INTO vf_src.client SELECT 'c' || i, 'Dakar', 'A', date '2000-01-01' + i FROM generate_series(0, 4) AS i;
INSERT INTO vf_src.moved SELECT 'c' || i, 'Thiès', '2025-01-01' FROM generate_series(0, 4) AS i;

SELECT strata.define_staging('vf.stg', 'SELECT * FROM vf_src.sale');
SELECT strata.define_staging('vf.good', 'SELECT id, amount FROM vf_src.sale', materialized => 'table', key => '{id}',
                             rules => '{"small": "amount < 190"}');
SELECT strata.define_dimension('vf.dim_client', 'SELECT * FROM vf_src.client', key => '{client}', history => '{city}', fixed => '{born}',
                               deletes => 'close', max_shrink => 1);
SELECT strata.define_dimension('vf.dim_moved', 'SELECT * FROM vf_src.moved', key => '{client}', history => '{city}', effective_from => 'since',
                               deletes => 'close', max_shrink => 1);
SELECT strata.define_date_dimension('vf.dim_day', '2026-01-01', '2026-03-31');
SELECT strata.define_fact('vf.fact', 'SELECT id, client, day, amount FROM vf.stg', grain => '{id}', dimensions => '{
    "client_key": {"dimension": "vf.dim_client", "on": ["client"], "missing": "infer"},
    "moved_key": {"dimension": "vf.dim_moved", "on": ["client"], "as_of": "day", "missing": "infer"},
    "day_key": {"dimension": "vf.dim_day", "on": {"day": "date"}}}', partition_by => 'day');
SELECT strata.define_mart('vf.by_client', 'SELECT client_key, count(*) AS n, sum(amount) AS total FROM vf.fact GROUP BY 1', key => '{client_key}');
SELECT strata.define_mart('vf.loose', 'SELECT client, day FROM vf.stg');
SELECT strata.define_mart('vf.top', 'SELECT max(total) AS top FROM vf.by_client');

-- Refreshed until the fence of each stands: it does not while another transaction (autovacuum) is open.
CREATE FUNCTION vf_src.settle() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. 50 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM strata.refresh('schema:vf') WHERE action <> 'nothing');
    END LOOP;
    RETURN 'settled';
END $$;

SELECT model, status, missing, unexpected, message FROM strata.verify('schema:vf');
SELECT vf_src.settle();
SELECT model, status, missing, unexpected, sample, message FROM strata.verify('schema:vf');

-- targets written to by hand: the sources are as they were, so that is told apart from being late
UPDATE vf.good SET amount = amount + 1 WHERE id = 7;
DELETE FROM vf.good__rejected WHERE source_row ->> 'id' = '199';
UPDATE vf.dim_client SET city = 'Mbour' WHERE client = 'c1';
UPDATE vf.dim_moved SET city = 'Mbour' WHERE client = 'c2';
UPDATE vf.dim_day SET holiday = 'none' WHERE date = '2026-02-03';
DELETE FROM vf.fact WHERE id = 9;
INSERT INTO vf.loose SELECT * FROM vf.loose WHERE client = 'c3' AND day = '2026-01-04';
SELECT model, status, missing, unexpected, message FROM strata.verify('schema:vf');
SELECT model, s -> 'of' AS of, s ->> 'side' AS side, (s -> 'row') - 'valid_from' AS "row"
  FROM strata.verify('schema:vf', exclude => 'vf.dim_day'), jsonb_array_elements(sample) AS s ORDER BY model, of, side, (s -> 'row')::text;
-- the run is kept, the differing rows are not in it
SELECT r.kind, r.models, r.status, r.message FROM strata.runs r WHERE kind = 'verify' ORDER BY run DESC LIMIT 1;
SELECT s.model, s.action, s.status, s.rows_in, s.inserted, s.message FROM strata.steps s
 WHERE s.run = (SELECT max(run) FROM strata.runs WHERE kind = 'verify') AND s.status <> 'equal' ORDER BY s.step;

-- repaired, with what reads it; a version dated by the run is history now
SELECT model, status, missing, unexpected, message FROM strata.verify('schema:vf', repair => true);
SELECT model, status, missing, unexpected FROM strata.verify('schema:vf') WHERE status <> 'equal';
SELECT city, is_current FROM vf.dim_client WHERE client = 'c1' ORDER BY valid_from;
SELECT city, is_current FROM vf.dim_moved WHERE client = 'c2' ORDER BY valid_from;
SELECT kind, models, status FROM strata.runs ORDER BY run DESC LIMIT 2;
SELECT vf_src.settle();

-- a row of a dated dimension that nothing observed goes; a key map that lost an entry is told
INSERT INTO vf.dim_moved (moved_key, client, city, valid_from, is_current) VALUES (999, 'nobody', 'x', '2026-01-01', true);
SELECT status, missing, unexpected FROM strata.verify('vf.dim_moved');
SELECT status, missing, unexpected FROM strata.verify('vf.dim_moved', repair => true);
SELECT count(*) FROM vf.dim_moved WHERE client = 'nobody';
DELETE FROM vf.dim_client WHERE client_key = 0;
SELECT format('DELETE FROM strata_state.m%s_keys WHERE client = ''c4''', id) AS statement FROM strata.models WHERE model = 'vf.dim_client' \gset
BEGIN;
:statement;
SELECT status, missing, unexpected, message FROM strata.verify('vf.dim_client');
ROLLBACK;
SELECT status, message FROM strata.verify('vf.dim_client', repair => true);
-- what is not the current row's: an overwritten column of a past version
UPDATE vf.dim_client SET grade = 'Z' WHERE client = 'c1' AND NOT is_current;
SELECT missing, unexpected, message ~ 'overwritten columns of versions that are past' AS told FROM strata.verify('vf.dim_client');
SELECT status FROM strata.verify('vf.dim_client', repair => true);
-- what no refresh mends is said to be left
SELECT format('UPDATE strata_state.m%s_keys SET strata_surrogate = 77 WHERE client = ''c4''', id) AS statement FROM strata.models WHERE model = 'vf.dim_client' \gset
BEGIN;
:statement;
SELECT status = 'repaired' AS repaired, missing, unexpected, message ~ 'refreshed in full.*1 in surrogate keys' AS told FROM strata.verify('vf.dim_client', repair => true);
ROLLBACK;
SELECT vf_src.settle();

-- late is not wrong: what it reads has changed
UPDATE vf_src.client SET city = 'Louga' WHERE client = 'c0';
INSERT INTO vf_src.sale VALUES (201, 'c0', '2026-01-05', 5);
UPDATE vf_src.moved SET since = '2025-06-01' WHERE client = 'c3';
DELETE FROM vf_src.moved WHERE client = 'c4';
SELECT model, status, missing, unexpected, message FROM strata.verify('schema:vf');
SELECT s ->> 'side' AS side, s ->> 'of' AS of, s -> 'row' AS "row" FROM strata.verify('vf.dim_moved'), jsonb_array_elements(sample) AS s ORDER BY 1, 3;
SELECT status FROM strata.runs WHERE kind = 'verify' ORDER BY run DESC LIMIT 1;
SELECT vf_src.settle();
SELECT count(*) FROM strata.verify('schema:vf') WHERE status = 'equal';
-- in the transaction that changed what is read, and refreshed
BEGIN;
INSERT INTO vf_src.sale VALUES (202, 'c0', '2026-01-06', 6);
SELECT status, missing FROM strata.verify('vf.loose');
SELECT status FROM strata.refresh('vf.loose');
SELECT status, missing FROM strata.verify('vf.loose');
ROLLBACK;
-- of functions nobody knows whether they give the same again
CREATE FUNCTION vf_src.twice(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
SELECT strata.define_mart('vf.by_function', 'SELECT id, vf_src.twice(amount) AS a FROM vf_src.sale', key => '{id}');
SELECT status FROM strata.refresh('vf.by_function');
DELETE FROM vf.by_function WHERE id = 1;
SELECT status, missing, unexpected, message FROM strata.verify('vf.by_function');
SELECT status, missing, unexpected, message FROM strata.verify('vf.by_function', repair => true);
-- the clock: no refresh makes it stay equal
SELECT strata.define_dimension('vf.dim_clock', 'SELECT client, city, now() AS at FROM vf_src.client', key => '{client}', history => '{city}', effective_from => 'at');
SELECT status FROM strata.refresh('vf.dim_clock');
SELECT status, message ~ 'reads the clock' AS clock, message ~ 'verify' AS "verify again" FROM strata.verify('vf.dim_clock');
SELECT strata.drop_model('vf.dim_clock');
-- a function beneath an immutable one, replaced: a refresh does not notice
CREATE FUNCTION vf_src.inner_one(numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
CREATE FUNCTION vf_src.outer_one(numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN vf_src.inner_one($1); END';
SELECT strata.define_mart('vf.beneath', 'SELECT id, vf_src.outer_one(amount) AS a FROM vf_src.sale', key => '{id}');
SELECT status FROM strata.refresh('vf.beneath');
CREATE OR REPLACE FUNCTION vf_src.inner_one(numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN -$1; END';
SELECT status FROM strata.refresh('vf.beneath');
SELECT status, message ~ 'repair => true' AS told FROM strata.verify('vf.beneath');
SELECT status FROM strata.verify('vf.beneath', repair => true);
SELECT strata.drop_model('vf.beneath');
-- defined anew
SELECT strata.define_mart('vf.by_function', 'SELECT id, vf_src.twice(amount) + 1 AS a FROM vf_src.sale WHERE id > 5', key => '{id}');
SELECT status, missing, unexpected, message FROM strata.verify('vf.by_function');
SELECT status FROM strata.refresh('vf.by_function');

-- a share: the same rows on both sides
SELECT status, missing, unexpected, message ~ '^\d+ rows? compared, a share' AS compared, substring(message FROM '^\d+')::int BETWEEN 60 AND 140 AS about_half
  FROM strata.verify('vf.fact', sample => 0.5);
SELECT model, status, missing, unexpected FROM strata.verify('schema:vf', sample => 0.3) WHERE status <> 'equal';
SELECT status, missing, unexpected, message FROM strata.verify('vf.fact', sample => 1);
BEGIN;
UPDATE vf.fact SET amount = -1;
SELECT status, missing = unexpected AS pairs, missing BETWEEN 60 AND 140 AS about_half, jsonb_array_length(sample) FROM strata.verify('vf.fact', sample => 0.5);
SELECT count(*), count(DISTINCT s -> 'row' -> 'id') AS ids FROM strata.verify('vf.fact'), jsonb_array_elements(sample) AS s;
ROLLBACK;

-- names that the statements use themselves; rows of types that have no equality, or that jsonb cannot show
CREATE TABLE vf_src.odd (image json, rows point, surplus text, q integer, w integer, i integer, n integer, o integer, strata_nth xml) WITH (autovacuum_enabled = off);
INSERT INTO vf_src.odd SELECT '{"a":  1}', point(x, 1), NULL, 1, 1, x, 1, 1, '<a/>' FROM generate_series(1, 3) AS x, generate_series(1, 2);
SELECT strata.define_mart('vf.odd', 'SELECT * FROM vf_src.odd');
SELECT count(*) AS refreshed FROM strata.refresh('vf.odd');
SELECT status, missing, unexpected FROM strata.verify('vf.odd');
SELECT status, missing, unexpected FROM strata.verify('vf.odd', sample => 0.5);
UPDATE vf.odd SET image = '{"a": 1}' WHERE i = 2;
DELETE FROM vf.odd WHERE ctid = (SELECT min(ctid) FROM vf.odd WHERE i = 3);
SELECT missing, unexpected, jsonb_path_query_array(sample, '$[*].side') AS sides, jsonb_path_query_array(sample, '$[*].row.i') AS i FROM strata.verify('vf.odd');
UPDATE vf.odd SET image = '{"a": "\u0000"}' WHERE i = 1;
SELECT missing, unexpected, jsonb_path_query_array(sample, '$[*].side') AS sides FROM strata.verify('vf.odd');
SELECT status FROM strata.verify('vf.odd', repair => true);

-- one that fails, writes or is gone does not hinder the others
CREATE TABLE vf_src.trace (n integer);
CREATE FUNCTION vf_src.writes(integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN INSERT INTO vf_src.trace VALUES ($1); RETURN $1; END $$;
SELECT strata.define_mart('vf.fails', 'SELECT id, 10 / (id - 5) AS r FROM vf_src.trace AS t (id)');
SELECT strata.define_mart('vf.writes', 'SELECT vf_src.writes(id) AS id FROM vf_src.sale WHERE id < 3', refresh => 'full');
SELECT model, status FROM strata.refresh('vf.fails vf.writes');
INSERT INTO vf_src.trace VALUES (5);
SELECT model, status, missing, message FROM strata.verify('vf.fails vf.writes vf.loose');
SELECT status, message FROM strata.runs WHERE kind = 'verify' ORDER BY run DESC LIMIT 1;
SELECT count(*) FROM vf_src.trace;

-- a repair whose run fails leaves all as it was
SELECT strata.define_check('vf.top', 'expression', options => '{"expression": "top < 0"}', name => 'never');
DELETE FROM vf.top;
SELECT model, status, missing, message ~ 'its repair failed, and nothing was changed: 1 check failed \(run \d+\)$' AS told FROM strata.verify('vf.top', repair => true);
SELECT count(*) FROM vf.top;
SELECT strata.drop_check('vf.top', 'never');
SELECT status FROM strata.verify('vf.top', repair => true);

-- reading only
BEGIN READ ONLY;
SELECT count(*) FROM strata.verify('schema:vf') WHERE status = 'equal';
SELECT * FROM strata.verify('vf.top', repair => true);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM strata.verify('schema:vf') WHERE status = 'equal';
ROLLBACK;
SELECT count(*) FROM pg_catalog.pg_class WHERE relpersistence = 't';

-- what is wrong with the call, and who may
SELECT * FROM strata.verify(NULL);
SELECT * FROM strata.verify('vf.nix');
SELECT * FROM strata.verify(sample => 0);
SELECT * FROM strata.verify(sample => 1.5);
SELECT * FROM strata.verify(sample => 'NaN');
CREATE ROLE regress_vf;
GRANT USAGE ON SCHEMA vf TO regress_vf;
GRANT SELECT ON vf.top TO regress_vf;
SET ROLE regress_vf;
SELECT * FROM strata.verify('vf.top');
SELECT count(*) FROM strata.verify();
RESET ROLE;
DROP OWNED BY regress_vf;
DROP ROLE regress_vf;
SELECT strata.drop_model(model, "cascade" => true) IS NOT NULL AS dropped FROM (VALUES ('vf.stg'), ('vf.good'), ('vf.dim_client'), ('vf.dim_moved'), ('vf.dim_day'), ('vf.by_function'), ('vf.odd'), ('vf.fails'), ('vf.writes')) AS m (model);
DROP SCHEMA vf_src, vf CASCADE;
