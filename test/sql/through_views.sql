-- What a model reads through views of users, rejected rows and parts of targets: the graph sees the models beneath.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA a; CREATE SCHEMA w; CREATE SCHEMA bi;
CREATE TABLE a.s (id int PRIMARY KEY, g int, d date, v text);
INSERT INTO a.s VALUES (1, 1, '2026-01-05', '10'), (2, 1, '2026-02-05', 'x'), (3, 2, '2026-01-06', '30');

-- ---- views: the reader's name sorts first, so that it would be refreshed first ----
SELECT strata.define_mart('w.z', 'SELECT g, count(*) AS n FROM a.s GROUP BY g');
CREATE VIEW bi.v AS SELECT * FROM w.z WHERE n > 0;
CREATE VIEW bi.vv AS SELECT g, n * 2 AS n FROM bi.v UNION ALL SELECT id, 0 FROM a.s WHERE false;
SELECT strata.define_mart('w.a', 'SELECT sum(n) AS s FROM bi.vv');
SELECT strata.define_mart('w.b', 'SELECT s FROM w.a');
SELECT model, reads FROM strata.models WHERE model LIKE 'w.%' ORDER BY 1;
SELECT model, level FROM strata.select_models('+w.b');
SELECT model, level FROM strata.select_models('w.z+1');
SELECT model, reason FROM strata.plan('w.a');
SELECT * FROM strata.refresh('w.a'); -- never built, not chosen
SELECT step, model, level, reason FROM strata.plan() JOIN strata.select_models('*') USING (model) ORDER BY step;
SELECT step, model, status FROM strata.refresh() ORDER BY step;
INSERT INTO a.s VALUES (4, 2, '2026-02-07', '40');
SELECT step, model, status FROM strata.refresh('+w.a') ORDER BY step;
SELECT s FROM w.a;
SELECT string_agg(model, ' ' ORDER BY model) FROM strata.verify() WHERE status = 'equal';
INSERT INTO a.s VALUES (5, 2, '2026-02-08', '50');
SELECT count(*) FROM strata.refresh('w.z', as_of => now() + interval '1 minute');
SELECT model FROM strata.select_models('state:stale') ORDER BY 1;
SELECT model, reason FROM strata.plan('w.a w.b') ORDER BY 1;
SELECT step, model, status FROM strata.refresh() ORDER BY step;
SELECT model, "column", source, source_column, kind FROM strata.lineage WHERE model = 'w.a' ORDER BY 1, 2, 3, 4, 5;

-- ---- circles ----
SELECT strata.define_mart('w.z', 'SELECT g, n FROM bi.vv');
SELECT strata.define_mart('w.z', 'SELECT s::int AS g, s AS n FROM w.b');
CREATE OR REPLACE VIEW bi.v AS SELECT g, n FROM w.z UNION ALL SELECT 1, s::bigint FROM w.b;
CREATE OR REPLACE VIEW bi.v AS SELECT z.g, z.n FROM w.z AS z WHERE n >= 0;
CREATE VIEW bi.late AS SELECT 1::bigint AS n;
SELECT strata.define_mart('w.c', 'SELECT n FROM bi.late');
CREATE OR REPLACE VIEW bi.late AS SELECT count(*) AS n FROM w.a;
SELECT model, level FROM strata.select_models('w.z+');
CREATE OR REPLACE VIEW bi.late AS SELECT count(*) AS n FROM w.c;
-- past the guard: nothing loops
SET strata.guard_enforce = off;
CREATE OR REPLACE VIEW bi.late AS SELECT count(*) AS n FROM w.c;
RESET strata.guard_enforce;
SELECT model FROM strata.plan();
SELECT model FROM strata.plan('w.c');
SELECT step, model FROM strata.plan('*', exclude => 'w.c') ORDER BY step;
SELECT step, model, status FROM strata.refresh('w.a w.b') ORDER BY step;
SELECT model, level FROM strata.select_models('*');
SELECT model, state FROM strata.select_models('state:stale,w.c');
CREATE OR REPLACE VIEW bi.late AS SELECT count(*) AS n FROM w.b;
SELECT model, level FROM strata.select_models('w.z+');
-- views that read each other: PostgreSQL lets them be made
CREATE VIEW bi.x AS SELECT 1 AS n; CREATE VIEW bi.y AS SELECT n FROM bi.x; CREATE OR REPLACE VIEW bi.x AS SELECT n FROM bi.y;
SELECT strata.define_mart('w.x', 'SELECT n FROM bi.x');
SELECT strata.drop_model('w.x');
DROP VIEW bi.x, bi.y CASCADE;

-- ---- drops ----
SELECT strata.drop_model('w.z');
SELECT strata.drop_model('w.z', true);
SELECT strata.drop_model('w.c');
CREATE MATERIALIZED VIEW bi.m AS SELECT * FROM w.b;
CREATE FUNCTION bi.f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM bi.m; END;
CREATE TABLE bi.t (r w.b);
SELECT strata.drop_model('w.b');
SELECT strata.drop_model('w.b', true);
DROP VIEW bi.late;
DROP TABLE bi.t;
DROP MATERIALIZED VIEW bi.m CASCADE;
SELECT strata.drop_model('w.b');
SELECT strata.drop_model('w.a', true);
SELECT strata.drop_model('w.z');
DROP VIEW bi.vv;
SELECT strata.drop_model('w.z');
DROP VIEW bi.v;
-- what goes with it: policies, triggers, constraints, indexes
CREATE FUNCTION bi.tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER tr BEFORE UPDATE ON w.z FOR EACH ROW WHEN (old.n <> new.n) EXECUTE FUNCTION bi.tr();
CREATE POLICY p ON w.z USING (n > (SELECT min(z.n) - 1 FROM w.z AS z));
ALTER TABLE w.z ADD CHECK (n > 0);
CREATE INDEX ON w.z (n) WHERE g > 0;
CREATE STATISTICS bi.st ON g, n FROM w.z;
CREATE RULE r AS ON UPDATE TO w.z WHERE new.n < 0 DO INSTEAD NOTHING;
CREATE RULE r AS ON DELETE TO a.s DO ALSO SELECT count(*) FROM w.z;
SELECT strata.drop_model('w.z');
DROP RULE r ON a.s;
SELECT strata.drop_model('w.z');

-- ---- a materialized view is a source: it holds what it held ----
SELECT strata.define_mart('w.z', 'SELECT g, count(*) AS n FROM a.s GROUP BY g');
CREATE MATERIALIZED VIEW bi.m AS SELECT * FROM w.z;
SELECT strata.define_mart('w.a', 'SELECT sum(n) AS s FROM bi.m');
SELECT model, reads FROM strata.models WHERE model LIKE 'w.%' ORDER BY 1;
SELECT strata.drop_model('w.a');
DROP MATERIALIZED VIEW bi.m;
SELECT strata.drop_model('w.z');

-- ---- rejected rows ----
SELECT strata.define_staging('w.t', $$SELECT id, strata.try_cast(v, NULL::int) AS v FROM a.s$$, materialized => 'table', reject_failed_casts => true);
SELECT strata.define_staging('w.u', $$SELECT id, strata.try_cast(v, NULL::int) AS v FROM a.s$$, reject_failed_casts => true);
SELECT strata.define_mart('w.a', 'SELECT count(*) AS n FROM w.t__rejected');
CREATE VIEW bi.bad AS SELECT * FROM w.t__rejected;
SELECT strata.define_mart('w.b', 'SELECT count(*) AS n FROM bi.bad');
SELECT strata.define_mart('w.c', 'SELECT count(*) AS n FROM w.u__rejected');
SELECT model, reads FROM strata.models WHERE model LIKE 'w.%' ORDER BY 1;
SELECT step, model, status FROM strata.refresh() ORDER BY step;
INSERT INTO a.s VALUES (6, 3, '2026-03-01', 'y');
SELECT step, model, status FROM strata.refresh('+w.a w.b +w.c') ORDER BY step;
SELECT a.n, b.n, c.n FROM w.a, w.b, w.c;
SELECT strata.define_staging('w.t', $$SELECT n::int AS id, strata.try_cast(n::text, NULL::int) AS v FROM w.b$$, materialized => 'table', reject_failed_casts => true);
SELECT strata.drop_model('w.t');
SELECT strata.drop_model('w.u', true);
DROP VIEW bi.bad;
SELECT strata.drop_model('w.b');
DROP VIEW bi.bad;
SELECT strata.drop_model('w.t', true);

-- ---- parts of targets, and targets as parts ----
SELECT strata.define_fact('w.zf', 'SELECT id, d, g FROM a.s', grain => '{id}', partition_by => 'd', partitions_ahead => 0);
SELECT count(*) FROM strata.refresh('w.zf', as_of => '2026-03-15');
SELECT strata.define_mart('w.a', 'SELECT count(*) AS n FROM w.zf_2026_01');
CREATE VIEW bi.january AS SELECT * FROM w.zf_2026_01;
SELECT strata.define_mart('w.b', 'SELECT count(*) AS n FROM bi.january');
SELECT model, reads FROM strata.models WHERE model LIKE 'w.%' ORDER BY 1;
INSERT INTO a.s VALUES (7, 1, '2026-01-09', '70');
SELECT step, model, status FROM strata.refresh(as_of => '2026-03-16') ORDER BY step;
SELECT a.n, b.n FROM w.a, w.b;
SELECT strata.drop_model('w.zf');
SELECT strata.drop_model('w.b');
SELECT strata.drop_model('w.zf', true);
DROP VIEW bi.january;
SELECT strata.drop_model('w.zf', true);
CREATE TABLE bi.whole (g int, n bigint) PARTITION BY LIST (g);
CREATE TABLE bi.other PARTITION OF bi.whole DEFAULT;
SELECT strata.define_mart('w.z', 'SELECT g, count(*) AS n FROM a.s WHERE g = 1 GROUP BY g');
SELECT strata.define_mart('w.y', 'SELECT g, count(*) AS n FROM a.s WHERE g = 2 GROUP BY g');
SELECT count(*) FROM strata.refresh();
ALTER TABLE bi.whole ATTACH PARTITION w.z FOR VALUES IN (1);
CREATE TABLE bi.child () INHERITS (w.y);
CREATE TABLE bi.parent (g int, n bigint);
ALTER TABLE w.y INHERIT bi.parent;
SELECT strata.define_mart('w.a', 'SELECT sum(n) AS s FROM bi.whole');
SELECT strata.define_mart('w.b', 'SELECT sum(n) AS s FROM bi.child');
SELECT strata.define_mart('w.c', 'SELECT sum(n) AS s FROM bi.parent');
SELECT model, reads FROM strata.models WHERE model LIKE 'w.%' ORDER BY 1;
SELECT strata.drop_model('w.y');
SELECT strata.drop_model('w.b');
DROP TABLE bi.child;
INSERT INTO a.s VALUES (8, 1, '2026-01-10', '80'), (9, 2, '2026-01-10', '90');
SELECT step, model FROM strata.refresh() ORDER BY step;
SELECT a.s, c.s FROM w.a, w.c;
SELECT strata.drop_model('w.y', true);
SELECT strata.drop_model('w.z', true);
DROP SCHEMA a, w, bi CASCADE;

-- ---- circles that a role closes past the guard: its own models only ----
CREATE ROLE regress_circle_al; CREATE ROLE regress_circle_bo;
CREATE SCHEMA al AUTHORIZATION regress_circle_al; CREATE SCHEMA bo AUTHORIZATION regress_circle_bo;
SET ROLE regress_circle_bo;
CREATE TABLE bo.parent (g int);
SELECT strata.define_mart('bo.cy', 'SELECT g FROM bo.parent');
SELECT strata.define_mart('bo.late', 'SELECT g FROM bo.cy');
GRANT USAGE ON SCHEMA bo TO regress_circle_al; GRANT SELECT ON bo.parent TO regress_circle_al;
SET ROLE regress_circle_al;
CREATE TABLE al.s (g int);
INSERT INTO al.s VALUES (1);
SELECT strata.define_mart('al.z', 'SELECT g FROM al.s', key => '{g}');
SELECT strata.define_mart('al.m', 'SELECT z.g FROM al.z AS z');
SELECT step, model, status FROM strata.refresh() ORDER BY step;
SET ROLE regress_circle_bo;
ALTER TABLE bo.cy INHERIT bo.parent;
SET ROLE regress_circle_al;
INSERT INTO al.s VALUES (2);
SELECT step, model, status FROM strata.refresh('al.z') ORDER BY step;
SELECT step, model, level FROM strata.plan() JOIN strata.select_models('*') USING (model) ORDER BY step;
SELECT step, model, status FROM strata.refresh() ORDER BY step;
SELECT model, status FROM strata.verify() ORDER BY 1;
SELECT DISTINCT model, source FROM strata.lineage ORDER BY 1, 2;
SET ROLE regress_circle_bo;
SELECT model, level FROM strata.select_models('*');
SELECT model FROM strata.plan();
SELECT model FROM strata.refresh('bo.cy');
SELECT model FROM strata.plan('bo.late');
SELECT DISTINCT model, source FROM strata.lineage ORDER BY 1, 2;
-- through a model of another: it is not named
RESET ROLE;
ALTER TABLE bo.cy NO INHERIT bo.parent;
SET ROLE regress_circle_al;
GRANT USAGE ON SCHEMA al TO regress_circle_bo; GRANT SELECT ON al.m TO regress_circle_bo;
SELECT strata.define_mart('al.z', 'SELECT g FROM bo.parent', key => '{g}');
SET ROLE regress_circle_bo;
SELECT strata.define_mart('bo.cy', 'SELECT g FROM al.m');
ALTER TABLE bo.cy INHERIT bo.parent;
SET ROLE regress_circle_al;
SELECT model FROM strata.plan('al.m');
RESET ROLE;
SELECT model FROM strata.plan('al.m');
ALTER TABLE bo.cy NO INHERIT bo.parent;
SELECT model FROM strata.plan('al.m');
SELECT strata.drop_model('bo.late');
SELECT strata.drop_model('bo.cy');
SELECT strata.drop_model('al.m');
SELECT strata.drop_model('al.z');
DROP SCHEMA al, bo CASCADE;
DROP ROLE regress_circle_al, regress_circle_bo;
