-- A fact that infers members writes to its dimension: what else reads the dimension is refreshed after it, and holds after one
-- refresh what its query gives.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
CREATE SCHEMA io;
CREATE TABLE io.client (id integer, v text);
CREATE TABLE io.sale (id integer, client integer, payer integer, m integer);
INSERT INTO io.client SELECT i, 'a' FROM generate_series(1, 3) AS i;
INSERT INTO io.sale SELECT i, i, 3 - i, i FROM generate_series(0, 5) AS i;
-- one refresh: the steps in their order, what the tables read themselves, and what verify() finds different
CREATE FUNCTION io.go(models text DEFAULT 'schema:io') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    steps text[] := ARRAY(SELECT p.model FROM strata.plan(models) AS p ORDER BY p.step);
BEGIN
    RETURN QUERY SELECT format('%s %s %s', r.model, r.status, r.message) FROM strata.refresh(models) AS r ORDER BY r.step;
    IF steps <> ARRAY(SELECT s.model FROM strata.steps AS s WHERE s.run = (SELECT max(run) FROM strata.runs WHERE kind = 'refresh') ORDER BY s.step) THEN
        RETURN NEXT 'the plan had another order';
    END IF;
    RETURN QUERY SELECT m.model || ': ' || oracle.holds(m.model) FROM strata.models AS m
                  WHERE m.model LIKE 'io.%' AND m.layer = 'mart' AND oracle.holds(m.model) <> 'same' ORDER BY 1;
    RETURN QUERY SELECT v.model || ' ' || v.status FROM strata.verify('schema:io') AS v WHERE v.status NOT IN ('equal', 'skipped') ORDER BY 1;
END $$;
SELECT strata.define_dimension('io.d', 'SELECT id, v FROM io.client', key => '{id}', history => '{v}');
-- readers that would come first: by their level, by their names, through a view, as a dimension, as a fact that infers nothing
SELECT strata.define_mart('io.a1', 'SELECT d_key, id, v FROM io.d', key => '{d_key}');
SELECT strata.define_mart('io.a2', 'SELECT count(*) AS n, sum(id) AS s FROM io.a1');
SELECT strata.define_staging('io.a3', 'SELECT id, d_key FROM io.d WHERE is_current');
SELECT strata.define_mart('io.a4', 'SELECT id % 2 AS odd, count(*) AS n FROM io.a3 WHERE d_key > 0 GROUP BY 1', key => '{odd}');
SELECT strata.define_dimension('io.a5', 'SELECT d_key AS k, v FROM io.d', key => '{k}');
SELECT strata.define_fact('io.a6', 'SELECT id, client FROM io.sale', grain => '{id}', dimensions => '{"ck": {"dimension": "io.d", "on": {"client": "id"}}}');
SELECT strata.define_mart('io.b0', 'SELECT count(*) AS n FROM io.client');
SELECT strata.define_mart('io.s1', 'SELECT id, client, payer, m FROM io.sale', key => '{id}');
SELECT strata.define_mart('io.s2', 'SELECT id, client, payer, m FROM io.s1', key => '{id}');
SELECT strata.define_fact('io.f1', 'SELECT id, client FROM io.s1', grain => '{id}', dimensions => '{"ck": {"dimension": "io.d", "on": {"client": "id"}, "missing": "infer"}}');
SELECT io.go();
-- another fact, one level above, infers into the same dimension; the first one hangs on nothing that the second adds
SELECT strata.define_fact('io.f2', 'SELECT id, payer + 10 AS payer FROM io.s2', grain => '{id}', dimensions => '{"ck": {"dimension": "io.d", "on": {"payer": "id"}, "missing": "infer"}}');
-- nor is the other role of this one looked up before there is what the others add
SELECT strata.define_fact('io.f0', 'SELECT id, client + 20 AS client, payer + 10 AS payer FROM io.sale', grain => '{id}', dimensions => '{"ck": {"dimension": "io.d", "on": {"client": "id"}, "missing": "infer"}, "pk": {"dimension": "d", "on": {"payer": "id"}}}');
SELECT io.go();
SELECT model, level FROM strata.select_models('schema:io');
SELECT * FROM io.a1 ORDER BY id;
-- by changes
INSERT INTO io.sale VALUES (6, 77, 88, 1);
SELECT io.go();
INSERT INTO io.client VALUES (77, 'late'), (98, 'late');
DELETE FROM io.sale WHERE id = 5;
SELECT io.go();
SELECT * FROM strata.refresh('schema:io', full_rebuild => true) AS r WHERE r.status = 'failed';
SELECT io.go();
-- without the facts in the run their order is that of the graph
SELECT model FROM strata.plan('layer:mart layer:dimension');
SELECT model FROM strata.plan('io.d+ io.s1', exclude => 'io.f1 io.f2 io.f0');
-- of some: the readers of the dimension come after the fact though the dimension itself is not refreshed
SELECT model FROM strata.plan('io.a1 io.a2 io.f1 io.s1');
INSERT INTO io.sale VALUES (7, 78, 1, 1);
SELECT model, status FROM strata.refresh('io.a1 io.a2 io.f1 io.s1');
SELECT oracle.holds('io.a1'), oracle.holds('io.a2');
SELECT io.go();
-- what the fact needs cannot come after it: the next refresh gives it what the fact has added; what reads it comes when it can
SELECT strata.define_mart('io.c1', 'SELECT id, count(*) AS n FROM io.d WHERE d_key > 0 GROUP BY id', key => '{id}');
SELECT strata.define_mart('io.c2', 'SELECT n, count(*) AS ids FROM io.c1 GROUP BY n', key => '{n}');
SELECT strata.define_fact('io.f3', 'SELECT id + 100 AS id, n FROM io.c1 WHERE id < 3', grain => '{id}', dimensions => '{"ck": {"dimension": "io.d", "on": ["id"], "missing": "infer"}}');
SELECT io.go();
SELECT io.go();
SELECT strata.drop_model('io.f3');
-- two facts that look up what the other adds: one of them comes first, and the next refresh gives it the rest
CREATE TABLE io.e (id integer, v text);
SELECT strata.define_dimension('io.e1', 'SELECT id, v FROM io.e', key => '{id}');
SELECT strata.define_dimension('io.e2', 'SELECT id, v FROM io.e', key => '{id}');
SELECT strata.define_fact('io.g1', 'SELECT id, client, payer FROM io.sale', grain => '{id}', dimensions => '{"k1": {"dimension": "io.e1", "on": {"client": "id"}, "missing": "infer"}, "k2": {"dimension": "io.e2", "on": {"client": "id"}}}');
SELECT strata.define_fact('io.g2', 'SELECT id, client, payer FROM io.sale', grain => '{id}', dimensions => '{"k2": {"dimension": "io.e2", "on": {"client": "id"}, "missing": "infer"}, "k1": {"dimension": "io.e1", "on": {"client": "id"}}}');
SELECT strata.define_mart('io.a7', 'SELECT e1_key, e2_key FROM io.e1 JOIN io.e2 USING (id)');
SELECT io.go();
SELECT io.go();
\set ECHO none
SELECT strata.drop_model('io.d', "cascade" => true), strata.drop_model('io.e1', "cascade" => true) \g /dev/null
SELECT count(strata.drop_model(model, "cascade" => true)) FROM strata.models WHERE model IN ('io.e2', 'io.b0', 'io.s1') \g /dev/null
DROP SCHEMA io, oracle CASCADE;
