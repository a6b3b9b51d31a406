-- Models kept by the changes of what they read: what a user sees of it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
CREATE SCHEMA ir;
SET search_path = ir, public;
CREATE TABLE client (id integer PRIMARY KEY, name text, city text);
CREATE TABLE sale (id integer PRIMARY KEY, client_id integer, day date, amount numeric(10,2), note text);
INSERT INTO client SELECT i, 'c' || i, (ARRAY['Abidjan', 'Bouake', NULL])[i % 3 + 1] FROM generate_series(1, 12) AS i;
INSERT INTO sale SELECT i, i % 14, '2026-01-01'::date + i % 10, i, CASE WHEN i % 4 > 0 THEN 'n' || i % 7 END FROM generate_series(1, 200) AS i;

-- ---- a definition puts capture on, the first refresh builds, the next ones follow ----
CREATE VIEW triggers AS SELECT tgrelid::regclass AS relation, string_agg(tgname || ' ' || tgenabled::text, ', ' ORDER BY tgname) AS triggers
  FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE 'strata%' GROUP BY 1 ORDER BY 1::text;
SELECT strata.define_mart('ir.by_city', $$ SELECT c.city, count(*) AS n, sum(s.amount) AS total FROM sale s JOIN client c ON c.id = s.client_id GROUP BY c.city $$);
TABLE triggers;
SELECT * FROM oracle.kept('ir.by_city');
SELECT * FROM oracle.kept('ir.by_city');
INSERT INTO sale VALUES (201, 3, '2026-01-05', 10, NULL);
UPDATE sale SET amount = amount + 1 WHERE id = 2;
SELECT * FROM oracle.kept('ir.by_city');
UPDATE client SET city = 'Daloa' WHERE id IN (1, 2);
SELECT * FROM oracle.kept('ir.by_city');
-- touched and equal, changed and changed back, columns nobody reads: nothing is written
UPDATE sale SET amount = amount;
UPDATE sale SET amount = amount + 1 WHERE id < 10;
UPDATE sale SET amount = amount - 1 WHERE id < 10;
UPDATE sale SET note = note || '!';
UPDATE client SET name = upper(name);
SELECT * FROM oracle.kept('ir.by_city');
SELECT run > 0 AS run, method FROM strata.steps WHERE method IS NOT NULL ORDER BY strata.steps.run DESC LIMIT 1;

-- ---- every rule once ----
SELECT strata.define_mart('ir.rule_' || name, query, refresh => 'incremental') FROM (VALUES
    ('signed', 'SELECT s.id, s.amount, c.name FROM sale s LEFT JOIN client c ON c.id = s.client_id WHERE s.amount > 20'),
    ('algebra', 'SELECT day, count(*) AS n, avg(amount) AS mean, stddev(amount) AS sd, min(amount) AS lowest, max(amount) AS highest FROM sale GROUP BY day'),
    ('keys', 'SELECT client_id, count(DISTINCT day) AS days, string_agg(note, '','' ORDER BY id) AS notes FROM sale GROUP BY client_id'),
    ('window', 'SELECT id, row_number() OVER (PARTITION BY client_id ORDER BY id) AS nth FROM sale'),
    ('distinct', 'SELECT DISTINCT day, client_id FROM sale'),
    ('union', 'SELECT id FROM client UNION SELECT client_id FROM sale'),
    ('limit', 'SELECT client_id, sum(amount) AS total FROM sale GROUP BY client_id ORDER BY 2 DESC, 1 LIMIT 3')) AS r (name, query);
SELECT * FROM oracle.kept('schema:ir') WHERE model <> 'ir.by_city';
UPDATE sale SET amount = amount * 2, note = 'x' WHERE id = 30;
DELETE FROM sale WHERE id = 77;
INSERT INTO sale VALUES (300, NULL, '2026-01-07', NULL, 'null'), (301, 5, '2026-02-01', 1000, NULL);
UPDATE client SET name = 'renamed' WHERE id = 4;
SELECT * FROM oracle.kept('schema:ir');
SELECT * FROM oracle.kept('schema:ir');

-- the target has its query's columns and no others; what is hidden stands elsewhere, and nobody is told of it
SELECT attrelid::regclass AS target, string_agg(attname, ', ' ORDER BY attnum) AS columns FROM pg_attribute
 WHERE attrelid IN ('ir.by_city'::regclass, 'ir.rule_limit'::regclass, 'ir.rule_algebra'::regclass) AND attnum > 0 GROUP BY 1 ORDER BY 1::text;
SELECT count(*) > 0 AS hidden FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_[ps]\d+$';
SELECT count(*) AS granted FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_[ps]\d+$' AND relacl IS NOT NULL;

-- ---- explain_refresh ----
SELECT line FROM (SELECT * FROM strata.explain_refresh('ir.rule_limit') WITH ORDINALITY AS e (line, n) ORDER BY n LIMIT 8) AS e WHERE line !~ 'last computed';
INSERT INTO sale VALUES (302, 5, '2026-02-01', 1, NULL);
SELECT line FROM strata.explain_refresh('ir.rule_signed') AS e (line) WHERE line ~ 'reads|^-- ';
SELECT oracle.attempt('SELECT strata.explain_refresh(NULL)');
SELECT oracle.attempt('SELECT strata.explain_refresh(''ir.nix'')');
SELECT * FROM oracle.kept('schema:ir') WHERE holds <> 'equal';

-- ---- refresh => 'incremental' is refused where it would be in full, and says why; 'full' is obeyed ----
CREATE VIEW client_names AS SELECT id, name FROM client;
CREATE FOREIGN DATA WRAPPER ir_nothing;
CREATE SERVER ir_nowhere FOREIGN DATA WRAPPER ir_nothing;
CREATE FOREIGN TABLE far (id integer) SERVER ir_nowhere;
CREATE MATERIALIZED VIEW frozen AS SELECT 1 AS id;
CREATE UNLOGGED TABLE forgetful (id integer);
SELECT name, oracle.attempt(format('SELECT strata.define_mart(''ir.refused'', %L, refresh => ''incremental'')', query)) FROM (VALUES
    ('limit over rows', 'SELECT id FROM sale ORDER BY id LIMIT 3'),
    ('window over all', 'SELECT id, row_number() OVER (ORDER BY id) FROM sale'),
    ('recursion', 'WITH RECURSIVE r (id) AS (SELECT id FROM client UNION SELECT r.id + 1 FROM r WHERE r.id < 20) SELECT id FROM r'),
    ('clock', 'SELECT id, now() AS at FROM sale'),
    ('volatile', 'SELECT id, random() AS r FROM sale'),
    ('far', 'SELECT id FROM far'),
    ('materialized view', 'SELECT id FROM frozen'),
    ('catalog', 'SELECT relname FROM pg_class'),
    ('only', 'SELECT id FROM ONLY sale'),
    ('sample', 'SELECT id FROM sale TABLESAMPLE bernoulli (10)'),
    ('system column', 'SELECT ctid::text AS place FROM sale')) AS r (name, query);
SELECT oracle.attempt($$ SELECT strata.define_mart('ir.refused', 'SELECT 1 AS one', refresh => 'sometimes') $$);
SELECT strata.define_mart('ir.asked', 'SELECT count(*) AS n FROM sale', refresh => 'full');
SELECT * FROM oracle.kept('ir.asked');
INSERT INTO sale VALUES (303, 5, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('ir.asked');
SELECT strata.define_mart('ir.asked', 'SELECT count(*) AS n FROM sale', refresh => 'incremental');
SELECT * FROM oracle.kept('ir.asked');
INSERT INTO sale VALUES (304, 5, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('ir.asked');
SELECT strata.define_mart('ir.unlogged', 'SELECT id FROM forgetful');
SELECT * FROM oracle.kept('ir.unlogged');
INSERT INTO forgetful VALUES (1);
SELECT * FROM oracle.kept('ir.unlogged');

-- ---- strata.incremental, full_rebuild ----
SET strata.incremental = off;
INSERT INTO sale VALUES (305, 5, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('schema:ir') WHERE model <> 'ir.asked';
RESET strata.incremental;
INSERT INTO sale VALUES (306, 6, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('schema:ir');
INSERT INTO sale VALUES (307, 6, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('schema:ir');
INSERT INTO sale VALUES (308, 6, '2026-02-01', 1, NULL);
SELECT status FROM strata.refresh('ir.by_city', full_rebuild => true);
SELECT * FROM oracle.kept('ir.by_city');
INSERT INTO sale VALUES (309, 6, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('ir.by_city');

-- ---- a target that others write to is noticed and made good, by any way of writing ----
UPDATE by_city SET n = n + 1 WHERE city = 'Daloa';
SELECT * FROM oracle.kept('ir.by_city');
INSERT INTO sale VALUES (310, 6, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('ir.by_city');
INSERT INTO by_city VALUES ('Nowhere', 1, 1);
INSERT INTO sale VALUES (311, 6, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('ir.by_city');
TRUNCATE rule_keys;
SELECT * FROM oracle.kept('ir.rule_keys');
SET session_replication_role = replica;
DELETE FROM rule_signed WHERE id < 40;
RESET session_replication_role;
SELECT * FROM oracle.kept('ir.rule_signed');
-- one that was rolled back is none
BEGIN;
DELETE FROM by_city;
ROLLBACK;
INSERT INTO sale VALUES (312, 6, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('ir.by_city');
-- in the transaction of the refresh
BEGIN;
DELETE FROM by_city;
SELECT * FROM oracle.kept('ir.by_city');
DELETE FROM by_city WHERE city = 'Daloa';
COMMIT;
SELECT * FROM oracle.kept('ir.by_city');
INSERT INTO sale VALUES (313, 6, '2026-02-01', 1, NULL);
SELECT * FROM oracle.kept('ir.by_city');

-- ---- changed and changed back ----
SELECT strata.define_mart('ir.by_city', $$ SELECT c.city, count(*) AS n, max(s.amount) AS total FROM sale s JOIN client c ON c.id = s.client_id GROUP BY c.city $$);
SELECT * FROM oracle.kept('ir.by_city');
INSERT INTO sale VALUES (320, 6, '2026-02-01', 5000, NULL);
SELECT * FROM oracle.kept('ir.by_city');
SELECT strata.define_mart('ir.by_city', $$ SELECT c.city, count(*) AS n, sum(s.amount) AS total FROM sale s JOIN client c ON c.id = s.client_id GROUP BY c.city $$);
DELETE FROM sale WHERE id = 320;
SELECT * FROM oracle.kept('ir.by_city');
DELETE FROM sale WHERE id = 201;
SELECT * FROM oracle.kept('ir.by_city');
-- without a refresh in between, and to other sources
SELECT strata.define_mart('ir.by_city', 'SELECT city, count(*) AS n FROM client GROUP BY city');
SELECT strata.define_mart('ir.by_city', $$ SELECT c.city, count(*) AS n, sum(s.amount) AS total FROM sale s JOIN client c ON c.id = s.client_id GROUP BY c.city $$);
DELETE FROM sale WHERE id = 202;
SELECT * FROM oracle.kept('ir.by_city');
INSERT INTO sale VALUES (321, 6, '2026-02-01', 5000, NULL);
SELECT * FROM oracle.kept('ir.by_city');

-- ---- staging tables with keys and rejected rows, facts, dimensions, and what reads them ----
SELECT strata.define_staging('ir.stg_sale', $$ SELECT id, client_id, day, strata.try_cast(note, NULL::integer) AS units, amount FROM sale $$,
    materialized => 'table', key => '{id}', reject_failed_casts => true);
SELECT strata.define_dimension('ir.dim_client', 'SELECT id, name, city FROM client', key => '{id}', history => '{city}');
SELECT strata.define_fact('ir.fact', 'SELECT id AS sale_id, client_id, day, amount FROM sale', grain => '{sale_id}',
    dimensions => '{"client_key": {"dimension": "ir.dim_client", "on": {"client_id": "id"}}}');
SELECT strata.define_mart('ir.top', 'SELECT d.city, sum(f.amount) AS total FROM fact f JOIN dim_client d USING (client_key) GROUP BY d.city', key => NULL);
SELECT * FROM oracle.kept('ir.stg_sale ir.dim_client ir.fact ir.top');
UPDATE sale SET note = '12', amount = 3 WHERE id IN (5, 6);
INSERT INTO client VALUES (13, 'c13', 'Korhogo');
UPDATE client SET city = 'Man' WHERE id = 5;
SELECT * FROM oracle.kept('ir.stg_sale ir.dim_client ir.fact ir.top');
INSERT INTO sale VALUES (330, 13, '2026-02-01', 7, '1');
SELECT * FROM oracle.kept('ir.stg_sale ir.dim_client ir.fact ir.top');
SELECT * FROM oracle.kept('ir.stg_sale ir.dim_client ir.fact ir.top');

-- ---- whose rights: an owner that may not put triggers on what it reads ----
CREATE ROLE regress_ir;
GRANT USAGE, CREATE ON SCHEMA ir TO regress_ir;
GRANT USAGE ON SCHEMA oracle TO regress_ir;
CREATE TABLE theirs AS SELECT * FROM sale WHERE id < 10;
GRANT SELECT ON theirs TO regress_ir;
SET ROLE regress_ir;
SELECT oracle.attempt($$ SELECT strata.define_mart('ir.not_mine', 'SELECT count(*) AS n FROM ir.theirs', refresh => 'incremental') $$);
SELECT strata.define_mart('ir.not_mine', 'SELECT count(*) AS n FROM ir.theirs');
SELECT * FROM oracle.kept('ir.not_mine');
RESET ROLE;
INSERT INTO theirs VALUES (340, 1, '2026-02-01', 7, '1');
SET ROLE regress_ir;
SELECT * FROM oracle.kept('ir.not_mine');
RESET ROLE;
GRANT TRIGGER ON theirs TO regress_ir;
SET ROLE regress_ir;
SELECT strata.define_mart('ir.not_mine', 'SELECT count(*) AS n, sum(amount) AS total FROM ir.theirs', refresh => 'incremental');
SELECT * FROM oracle.kept('ir.not_mine');
RESET ROLE;
INSERT INTO theirs VALUES (341, 1, '2026-02-01', 7, '1');
SET ROLE regress_ir;
SELECT * FROM oracle.kept('ir.not_mine');
SELECT strata.drop_model('ir.not_mine');
RESET ROLE;
DROP OWNED BY regress_ir;
DROP ROLE regress_ir;

-- ---- dropped: hidden tables and captures go with the last who needs them ----
SELECT count(strata.drop_model(model, "cascade" => true)) AS dropped FROM unnest('{ir.by_city,ir.rule_signed,ir.rule_algebra,ir.rule_keys,ir.rule_window,ir.rule_distinct,ir.rule_limit,ir.asked,ir.unlogged,ir.stg_sale,ir.dim_client}'::text[]) AS model;
TABLE triggers;
SELECT strata.drop_model('ir.rule_union');
TABLE triggers;
SELECT relname FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_|^c\d+_';
SELECT count(*) FROM strata_state.incremental;
SELECT count(*) FROM strata_state.capture_consumer;
SELECT count(*) FROM strata_state.edit;
DROP SCHEMA ir, oracle CASCADE;
DROP FOREIGN DATA WRAPPER ir_nothing CASCADE;
