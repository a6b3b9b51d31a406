-- Partitioned facts and facts that infer members are kept by changes: what they hold is what a full refresh gives, and what was read.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA ff;
CREATE VIEW ff.how AS SELECT DISTINCT ON (model) model, regexp_replace(method, '[0-9]+ changed rows?', 'N changed rows') AS how FROM strata.steps WHERE model LIKE 'ff.%' AND method IS NOT NULL ORDER BY model, run DESC;
CREATE TABLE ff.client (id integer, v text); INSERT INTO ff.client SELECT i, 'a' FROM generate_series(1, 3) AS i;
CREATE TABLE ff.sale (id integer, client integer, d date, m integer);
INSERT INTO ff.sale SELECT i, i % 4, date '2026-01-01' + i * 20, i FROM generate_series(1, 10) AS i;
SELECT strata.define_dimension('ff.dim', 'SELECT id, v FROM ff.client', key => '{id}', history => '{v}');
SELECT strata.define_fact('ff.f', 'SELECT id, client, d, m FROM ff.sale', grain => '{id}', partition_by => 'd', partitions_ahead => 0, refresh => 'incremental',
    dimensions => '{"ck": {"dimension": "ff.dim", "on": {"client": "id"}, "missing": "infer"}}');
SELECT strata.define_mart('ff.m', 'SELECT ck, count(*) AS n, sum(m) AS m FROM ff.f GROUP BY ck', key => '{ck}');
CREATE PROCEDURE ff.go(day date, INOUT said text DEFAULT NULL) LANGUAGE plpgsql AS $$ BEGIN
    SELECT string_agg(format('%s %s %s %s %s', r.model, r.action, coalesce(r.inserted, 0), coalesce(r.updated, 0), coalesce(r.deleted, 0)) || coalesce(' ' || r.message, ''), E'\n' ORDER BY r.model) INTO said FROM strata.refresh('schema:ff', as_of => day) AS r;
    said := said || E'\n' || (SELECT string_agg(v.model || ' ' || v.status, ' ' ORDER BY v.model) FROM strata.verify('schema:ff') AS v);
END $$;
CALL ff.go('2026-08-01');
-- a new partition, a row that moves there, a row without a date, a member nobody knew
INSERT INTO ff.sale VALUES (20, 77, '2027-03-03', 5), (21, 3, NULL, 7);
UPDATE ff.sale SET d = '2027-04-04' WHERE id = 1;
CALL ff.go('2026-08-01');
SELECT * FROM ff.how;
SELECT tableoid::regclass, * FROM ff.f WHERE id IN (1, 20, 21) ORDER BY id;
-- the member comes: the fact's row keeps its key
INSERT INTO ff.client VALUES (77, 'late');
CALL ff.go('2026-08-02');
SELECT * FROM ff.how;
SELECT f.id, d.v FROM ff.f JOIN ff.dim AS d ON d.dim_key = f.ck WHERE f.id = 20;
-- a new month: partitions are made ahead though nothing has changed
CALL ff.go('2026-10-02');
SELECT * FROM ff.how WHERE model = 'ff.f';
SELECT to_regclass('ff.f_2026_10') IS NOT NULL AS made;
-- into a partition by hand, also one that a refresh by changes has made
UPDATE ff.f_2026_02 SET m = 0;
CALL ff.go('2026-10-02');
UPDATE ff.f_2027_03 SET m = 0;
CALL ff.go('2026-10-02');
SELECT * FROM ff.how WHERE model = 'ff.f';
TRUNCATE ff.f_2027_04;
CALL ff.go('2026-10-02');
-- detached, written to, attached again
ALTER TABLE ff.f DETACH PARTITION ff.f_2027_03;
DELETE FROM ff.f_2027_03;
ALTER TABLE ff.f ATTACH PARTITION ff.f_2027_03 FOR VALUES FROM ('2027-03-01') TO ('2027-04-01');
CALL ff.go('2026-10-02');
-- dropped; a table of others attached, with rows
DROP TABLE ff.f_2027_03;
CALL ff.go('2026-10-02');
SELECT * FROM ff.how WHERE model = 'ff.f';
DROP TABLE ff.f_2027_03;
CREATE TABLE ff.strange (LIKE ff.f); INSERT INTO ff.strange (ck, id, d) VALUES (0, 999, '2027-03-09');
ALTER TABLE ff.f ATTACH PARTITION ff.strange FOR VALUES FROM ('2027-03-01') TO ('2027-04-01');
ALTER TABLE ff.strange RENAME TO f_2027_03;
CALL ff.go('2026-10-02');
SELECT * FROM ff.how WHERE model = 'ff.f';
-- it came without the trigger: what was written before it had one is looked for once more
CALL ff.go('2026-10-02');
SELECT * FROM ff.how WHERE model = 'ff.f';
CALL ff.go('2026-10-02');
-- a detached partition is no more the target's, once a refresh knows
ALTER TABLE ff.f DETACH PARTITION ff.f_2027_03;
ALTER TABLE ff.f_2027_03 RENAME TO archive;
CALL ff.go('2026-10-02');
DELETE FROM ff.archive;
CALL ff.go('2026-10-02');
INSERT INTO ff.sale VALUES (22, 1, '2027-03-01', 1);
CALL ff.go('2026-10-02');
SELECT * FROM ff.how WHERE model = 'ff.f';
-- the grain, which no constraint says
INSERT INTO ff.sale VALUES (20, 2, '2027-01-01', 900);
CALL ff.go('2026-10-02');
UPDATE ff.sale SET id = NULL WHERE m = 900;
CALL ff.go('2026-10-02');
UPDATE ff.sale SET id = 30 WHERE m = 900; INSERT INTO ff.sale VALUES (30, 2, '2027-02-01', 900);
CALL ff.go('2026-10-02');
DELETE FROM ff.sale WHERE m = 900;
CALL ff.go('2026-10-02');
SELECT * FROM ff.how WHERE model = 'ff.f';
-- members that were there by the fact alone, and are taken away by hand
INSERT INTO ff.sale VALUES (40, 88, '2027-03-04', 4);
CALL ff.go('2026-10-02');
DELETE FROM ff.dim WHERE id = 88;
CALL ff.go('2026-10-02');
SELECT * FROM ff.how WHERE model = 'ff.f';
SELECT id, ck > 0 AS known FROM ff.f WHERE id = 40;
-- their facts gone at the same time: nobody knows of them
DELETE FROM ff.dim WHERE id = 88; DELETE FROM ff.sale WHERE id = 40;
CALL ff.go('2026-10-02');
SELECT count(*) FROM ff.dim WHERE id = 88;
-- a source of groups: the members are those of the fact's rows that changed
SELECT strata.define_fact('ff.g', 'SELECT client, m AS kind, count(*) AS n FROM ff.sale GROUP BY client, m', grain => '{client, kind}', refresh => 'incremental',
    dimensions => '{"ck": {"dimension": "ff.dim", "on": {"client": "id"}, "missing": "infer", "early": "first"}}');
CALL ff.go('2026-10-03');
INSERT INTO ff.sale VALUES (50, 99, '2027-03-04', 4), (51, 99, '2027-03-05', 4), (52, 98, NULL, 1);
CALL ff.go('2026-10-03');
SELECT * FROM ff.how;
SELECT client, ck > 0 AS known FROM ff.g WHERE client > 90 ORDER BY 1;
ALTER TABLE ff.archive DROP CONSTRAINT f_ck_strata_fkey;
SELECT count(*) FROM (SELECT strata.drop_model(model) FROM strata.select_models('schema:ff') AS m (model) ORDER BY model DESC) AS d;
SELECT count(*) FROM pg_trigger WHERE tgname = 'strata_edited' AND tgrelid = 'ff.archive'::regclass;
DROP SCHEMA ff CASCADE;
