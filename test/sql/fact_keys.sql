-- What of a dimension's change concerns a fact: versions, not attributes; also where the fact's own query reads the dimension, and where a key is in
-- the grain. Keys of rows that change in other columns stay.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA fk;
CREATE TABLE fk.client (id integer PRIMARY KEY, name text, v integer);
INSERT INTO fk.client SELECT i, 'n' || i, i % 3 FROM generate_series(1, 50) AS i;
CREATE TABLE fk.sale (id integer PRIMARY KEY, client integer, other integer, d date, m integer);
INSERT INTO fk.sale SELECT i, 1 + i % 50, i % 50, date '2026-01-01' + i % 300, i FROM generate_series(1, 500) AS i;
SELECT strata.define_dimension('fk.dc', 'SELECT id, name, v FROM fk.client', key => '{id}', history => '{v}');
SELECT strata.define_dimension('fk.dd', 'SELECT id, name, v FROM fk.client', key => '{id}', history => '{v}', deletes => 'close');
-- by the first version, by a moment, by the current version, by the current or the last one
SELECT strata.define_fact('fk.f', 'SELECT id, client, d, m FROM fk.sale', grain => '{id}', refresh => 'incremental', dimensions => '{
    "first_key": {"dimension": "fk.dc", "on": {"client": "id"}, "as_of": "d", "early": "first"}, "moment_key": {"dimension": "fk.dc", "on": {"client": "id"}, "as_of": "d", "early": "unknown"},
    "current_key": {"dimension": "fk.dc", "on": {"client": "id"}}, "last_key": {"dimension": "fk.dd", "on": {"client": "id"}}}');
-- its own query reads the dimension, as it is and through a part; a key stands in the grain, or is all of it
SELECT strata.define_fact('fk.read', 'SELECT s.id, s.client, s.d, s.other, x.name FROM fk.sale AS s LEFT JOIN fk.dc AS x ON x.id = s.other AND x.is_current', grain => '{id}', refresh => 'incremental',
    dimensions => '{"ck": {"dimension": "fk.dc", "on": {"client": "id"}, "as_of": "d", "early": "unknown"}}');
SELECT strata.define_fact('fk.read_grain', 'SELECT s.id, s.client, s.d, s.other, x.name FROM fk.sale AS s LEFT JOIN fk.dc AS x ON x.id = s.other AND x.is_current', grain => '{id,ck}', refresh => 'incremental',
    dimensions => '{"ck": {"dimension": "fk.dc", "on": {"client": "id"}, "as_of": "d", "early": "unknown"}}');
SELECT strata.define_fact('fk.part', 'SELECT s.id, s.client, s.d, s.other, x.n FROM fk.sale AS s LEFT JOIN (SELECT id, count(*) AS n FROM fk.dc GROUP BY id) AS x ON x.id = s.other', grain => '{id,ck}', refresh => 'incremental',
    dimensions => '{"ck": {"dimension": "fk.dc", "on": {"client": "id"}, "as_of": "d", "early": "unknown"}}');
SELECT strata.define_fact('fk.grouped', 'SELECT client, max(d) AS d, sum(m) AS m FROM fk.sale GROUP BY client', grain => '{ck}', refresh => 'incremental',
    dimensions => '{"ck": {"dimension": "fk.dc", "on": {"client": "id"}, "as_of": "d", "early": "unknown"}}');
CREATE FUNCTION fk.go(day date, OUT model text, OUT written bigint, OUT method text, OUT verified text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM strata.refresh('schema:fk', as_of => day);
    RETURN QUERY SELECT s.model, s.inserted + s.updated + s.deleted, s.method, v.status FROM strata.steps AS s JOIN strata.verify('schema:fk') AS v USING (model)
                  WHERE s.run = (SELECT max(run) FROM strata.runs) AND s.model NOT LIKE 'fk.d_' ORDER BY s.model;
END $$;
SELECT * FROM fk.go('2026-03-01');
-- an attribute without history: of the fact that reads versions alone no row is looked at
UPDATE fk.client SET name = name || 'x' WHERE id < 10;
SELECT * FROM fk.go('2026-03-02');
-- versions
UPDATE fk.client SET v = v + 1 WHERE id IN (7, 8);
SELECT * FROM fk.go('2026-05-01');
-- rows that keep their keys, beside some whose client has a new version, and some that look up others
UPDATE fk.sale SET m = m + 1 WHERE id <= 100;
UPDATE fk.client SET v = v + 1, name = 'new' WHERE id IN (10, 11);
UPDATE fk.sale SET client = 10 WHERE id = 3;
UPDATE fk.sale SET d = d + 100 WHERE id IN (9, 10);
DELETE FROM fk.client WHERE id = 12;
SELECT * FROM fk.go('2026-06-01');
-- a row goes, and another has its number; a number changes
DELETE FROM fk.sale WHERE id IN (20, 21);
INSERT INTO fk.sale VALUES (20, 22, 23, '2026-07-01', 1);
UPDATE fk.sale SET id = 1000, m = 0 WHERE id = 22;
SELECT * FROM fk.go('2026-06-02');
-- what a unique index of the user's looks at changes places
CREATE UNIQUE INDEX ON fk.f (m) WHERE id IN (50, 51);
UPDATE fk.sale SET m = CASE id WHEN 50 THEN (SELECT m FROM fk.sale WHERE id = 51) ELSE (SELECT m FROM fk.sale WHERE id = 50) END WHERE id IN (50, 51);
SELECT * FROM fk.go('2026-06-03') WHERE model = 'fk.f';
-- the fact has room for changed rows on its pages; one that is computed in full has not
SELECT strata.define_fact('fk.full', 'SELECT id, client FROM fk.sale', grain => '{id}', refresh => 'full', dimensions => '{"ck": {"dimension": "fk.dc", "on": {"client": "id"}}}');
SELECT strata.define_fact('fk.months', 'SELECT id, client, d FROM fk.sale', grain => '{id}', partition_by => 'd', partition_unit => 'year', partitions_ahead => 0, dimensions => '{"ck": {"dimension": "fk.dc", "on": {"client": "id"}}}');
SELECT count(*) FROM strata.refresh('fk.months', as_of => '2026-06-03');
SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'fk'::regnamespace AND relkind IN ('r', 'p') AND relname ~ '^(f|full|months.*)$' ORDER BY relname;
SELECT count(*) FROM (SELECT strata.drop_model(model) FROM strata.select_models('schema:fk') AS m (model) ORDER BY model LIKE 'fk.d_') AS d;
DROP SCHEMA fk CASCADE;
