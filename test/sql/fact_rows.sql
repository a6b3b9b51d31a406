-- A fact by the rows that came and by what its dimensions' changes concern: keys are looked up anew only where they may differ, and the rest is read
-- from the fact itself.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA fr;
CREATE VIEW fr.how AS SELECT DISTINCT ON (model) model, regexp_replace(method, '[0-9]+ changed rows?.*', 'N changed rows') AS how FROM strata.steps WHERE model LIKE 'fr.%' AND method IS NOT NULL ORDER BY model, run DESC;
CREATE TABLE fr.client (id integer, v text); INSERT INTO fr.client SELECT i, 'a' FROM generate_series(1, 4) AS i;
CREATE TABLE fr.shop (a integer, b text, v text); INSERT INTO fr.shop SELECT i, 'b' || i, 'a' FROM generate_series(1, 3) AS i;
CREATE TABLE fr.sale (id integer, client integer, payer integer, a integer, b text, d date, m numeric, j json);
INSERT INTO fr.sale SELECT i, i % 5, (i + 2) % 5, i % 4, 'b' || i % 4, date '2026-01-01' + i * 10, i, json_build_object('i', i) FROM generate_series(1, 20) AS i;
SELECT strata.define_dimension('fr.dc', 'SELECT id, v FROM fr.client', key => '{id}', history => '{v}');
SELECT strata.define_dimension('fr.ds', 'SELECT a, b, v FROM fr.shop', key => '{a,b}', history => '{v}', deletes => 'close');
SELECT strata.define_date_dimension('fr.dd', '2026-01-01', '2026-06-30');
-- two roles of one dimension, a key of two columns, a date; a column that has no equality
SELECT strata.define_fact('fr.f', 'SELECT id, client, payer, a, b, d, m, j FROM fr.sale WHERE m >= 0', grain => '{id}', refresh => 'incremental',
    dimensions => '{"ck": {"dimension": "fr.dc", "on": {"client": "id"}, "as_of": "d", "early": "unknown"}, "pk": {"dimension": "fr.dc", "on": {"payer": "id"}},
                    "sk": {"dimension": "fr.ds", "on": ["a", "b"], "as_of": "d"}, "dk": {"dimension": "fr.dd", "on": {"d": "date"}}}');
CREATE VIEW fr.truth AS
SELECT s.id, s.client, s.payer, s.a, s.b, s.d, s.m, s.j::text AS j,
       coalesce((SELECT c.dc_key FROM fr.dc AS c WHERE c.id = s.client AND c.dc_key <> 0 AND s.d >= c.valid_from AND (c.valid_to IS NULL OR s.d < c.valid_to)), 0) AS ck,
       coalesce((SELECT c.dc_key FROM fr.dc AS c WHERE c.id = s.payer AND c.dc_key <> 0 AND c.is_current), 0) AS pk,
       coalesce((SELECT c.ds_key FROM fr.ds AS c WHERE (c.a, c.b) = (s.a, s.b) AND c.ds_key <> 0 AND (s.d >= c.valid_from OR NOT EXISTS (SELECT FROM fr.ds AS o WHERE (o.a, o.b) = (c.a, c.b) AND o.ds_key <> 0 AND o.valid_from < c.valid_from)) AND (c.valid_to IS NULL OR s.d < c.valid_to)), 0) AS sk,
       coalesce((SELECT x.date_key FROM fr.dd AS x WHERE x.date = s.d), 0) AS dk
  FROM fr.sale AS s WHERE s.m >= 0;
CREATE FUNCTION fr.held(OUT id integer, OUT client integer, OUT payer integer, OUT a integer, OUT b text, OUT d date, OUT m numeric, OUT j text, OUT ck bigint, OUT pk bigint, OUT sk bigint, OUT dk integer) RETURNS SETOF record LANGUAGE sql
    AS 'SELECT id, client, payer, a, b, d, m, j::text, ck, pk, sk, dk FROM fr.f';
CREATE PROCEDURE fr.go(day date, INOUT said text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE before text[]; touched text;
BEGIN
    SELECT array_agg(ctid || ' ' || id) INTO before FROM fr.f;
    SELECT string_agg(format('%s %s %s %s', r.action, coalesce(r.inserted, 0), coalesce(r.updated, 0), coalesce(r.deleted, 0)), ' ') FILTER (WHERE r.model = 'fr.f') INTO said FROM strata.refresh('schema:fr', as_of => day) AS r;
    SELECT string_agg(id::text, ' ' ORDER BY id) INTO touched FROM fr.f WHERE ctid || ' ' || id <> ALL (before);
    said := concat_ws(', ', said, 'written: ' || touched, (SELECT how FROM fr.how WHERE model = 'fr.f'),
        'wrong: ' || (SELECT count(*) FROM ((TABLE fr.truth EXCEPT ALL TABLE fr.present) UNION ALL (TABLE fr.present EXCEPT ALL TABLE fr.truth)) AS x));
END $$;
CREATE VIEW fr.present AS SELECT * FROM fr.held();
CALL fr.go('2026-02-01');
-- the source alone: a row changes, one goes, one comes, one is filtered out
UPDATE fr.sale SET m = m + 1 WHERE id = 1;
DELETE FROM fr.sale WHERE id = 2;
INSERT INTO fr.sale VALUES (30, 1, 2, 1, 'b1', '2026-03-03', 3, '{"x": 1}');
UPDATE fr.sale SET m = -1 WHERE id = 3;
CALL fr.go('2026-02-02');
-- json alone, and a number with another scale
UPDATE fr.sale SET j = '{"y": 2}', m = 4.00 WHERE id = 4;
CALL fr.go('2026-02-03');
-- versions: of the facts of client 1, those from the day on get the new key, as their customer; as a payer all do
UPDATE fr.client SET v = 'b' WHERE id = 1;
CALL fr.go('2026-04-01');
-- both at once: rows that change with rows that only a version concerns; a row whose client changes to one with a new version
UPDATE fr.client SET v = 'c' WHERE id IN (1, 2);
UPDATE fr.sale SET m = m + 1 WHERE id IN (16, 17);
UPDATE fr.sale SET client = 2 WHERE id = 18;
SELECT line FROM strata.explain_refresh('fr.f') AS line WHERE line ~ '^-- (the change of its|keys for|rows of the table)';
CALL fr.go('2026-05-01');
-- nothing waits: days are left out; a dimension is asked for the keys touched
SELECT regexp_replace(line, 'm[0-9]+_p', 'mN_p') AS line FROM strata.explain_refresh('fr.f') AS line WHERE line ~ '^(--|The SQL)|signed: ';
SELECT line FROM strata.explain_refresh('fr.dc') AS line WHERE line ~ '^--|keys: ';
-- two dimensions at once
UPDATE fr.client SET v = 'd' WHERE id = 3;
UPDATE fr.shop SET v = 'b' WHERE a = 3;
CALL fr.go('2026-05-15');
-- versions that begin before their first day are read through a part: its change is what facts are looked up by, the dimension's is not
SELECT count(*) FROM strata.explain_refresh('fr.f') AS line WHERE line ~ 'JOIN fr.f AS o ON' AND line ~ 'o.sk';

-- members that go and come: facts lose their key, or get one
DELETE FROM fr.shop WHERE a = 1;
INSERT INTO fr.client VALUES (0, 'new');
CALL fr.go('2026-06-01');
-- deleted and again: nothing is to be written
DELETE FROM fr.sale WHERE id = 5;
INSERT INTO fr.sale SELECT 5, client, payer, a, b, d, m, json_build_object('i', 5) FROM (SELECT 0 AS client, 2 AS payer, 1 AS a, 'b1' AS b, date '2026-02-20' AS d, 5::numeric AS m) AS x;
CALL fr.go('2026-06-02');
-- the grain: a second row with the key of one that stays
INSERT INTO fr.sale SELECT id, client, payer, a, b, d, 99, j FROM fr.sale WHERE id = 7;
SELECT model, action, status, message FROM strata.refresh('fr.f', on_error => 'record');
UPDATE fr.sale SET id = 31 WHERE id = 7 AND m = 99;
CALL fr.go('2026-06-03');
-- two rows change places; what a unique index of the user's looks at changes with a key
CREATE UNIQUE INDEX ON fr.f (m, ck) WHERE m > 1000;
UPDATE fr.sale SET m = CASE id WHEN 8 THEN 1008 ELSE 1009 END WHERE id IN (8, 9);
CALL fr.go('2026-06-04');
UPDATE fr.sale SET m = CASE id WHEN 8 THEN 1009 ELSE 1008 END, client = CASE id WHEN 8 THEN (SELECT client FROM fr.sale WHERE id = 9) ELSE (SELECT client FROM fr.sale WHERE id = 8) END WHERE id IN (8, 9);
UPDATE fr.client SET v = 'e' WHERE id IN (3, 4);
CALL fr.go('2026-06-05');
-- a grain that holds a key is followed by grain
SELECT strata.define_fact('fr.g', 'SELECT id, client, d FROM fr.sale', grain => '{id,ck}', refresh => 'incremental', dimensions => '{"ck": {"dimension": "fr.dc", "on": {"client": "id"}, "as_of": "d"}}');
SELECT count(*) FROM strata.refresh('fr.g');
UPDATE fr.client SET v = 'f' WHERE id = 4;
UPDATE fr.sale SET d = '2026-06-20' WHERE client = 4;
CALL fr.go('2026-06-10');
SELECT status, count(*) FROM strata.verify('schema:fr') GROUP BY 1;
SELECT * FROM fr.how ORDER BY model;
-- rows are counted by what came and went
SELECT model, row_count - CASE model WHEN 'fr.dc' THEN (SELECT count(*) FROM fr.dc) WHEN 'fr.ds' THEN (SELECT count(*) FROM fr.ds) WHEN 'fr.f' THEN (SELECT count(*) FROM fr.f) END AS off
  FROM strata.models WHERE model IN ('fr.dc', 'fr.ds', 'fr.f') ORDER BY model;
DROP VIEW fr.truth CASCADE;
SELECT count(*) FROM (SELECT strata.drop_model(model) FROM strata.select_models('schema:fr') AS m (model) ORDER BY model <> 'fr.f' AND model <> 'fr.g') AS d;
DROP SCHEMA fr CASCADE;
