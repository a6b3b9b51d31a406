-- watermark: sources whose changes no trigger tells: what their loaded_at shows, what it cannot, and being compared instead
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
-- the tables are small: what costs less is not the question here
SET strata.incremental_full_cost = 0;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE SCHEMA src;
CREATE SCHEMA wm;
-- how a model was refreshed last, and whether it holds what its query gives
CREATE FUNCTION go(what text, at timestamptz) RETURNS TABLE (model text, said text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM strata.refresh(what, as_of => at);
    RETURN QUERY SELECT s.model, CASE WHEN s.inserted + s.updated + s.deleted > 0 THEN format('%s, +%s ~%s -%s: %s', regexp_replace(s.method, ', cost.*', ''), s.inserted, s.updated, s.deleted, oracle.holds(s.model))
           ELSE format('nothing written: %s', oracle.holds(s.model)) END
      FROM strata.steps s WHERE s.run = (SELECT max(run) FROM strata.steps) ORDER BY s.model;
END $$;
CREATE TABLE src.sale (id integer PRIMARY KEY, region text, amount numeric, open boolean DEFAULT true, loaded timestamptz);
INSERT INTO src.sale SELECT g, 'r' || g % 3, g, true, '2026-01-01'::timestamptz + g * interval '1 hour' FROM generate_series(1, 30) g;
CREATE TABLE src.region (region text PRIMARY KEY, name text);
INSERT INTO src.region SELECT 'r' || g, 'region ' || g FROM generate_series(0, 2) g;
-- declarations that cannot be
SELECT oracle.attempt($$ SELECT strata.define_source('src.sale', changes => 'watermark') $$);
SELECT oracle.attempt($$ SELECT strata.define_source('src.sale', loaded_at => 'region', changes => 'watermark') $$);
SELECT oracle.attempt($$ SELECT strata.define_source('src.sale', changes => 'watermarks') $$);
SELECT oracle.attempt($$ SELECT strata.define_source('src.sale', lookback => '1 h') $$);
SELECT oracle.attempt($$ SELECT strata.define_source('src.sale', loaded_at => 'loaded', changes => 'watermark', lookback => '-1 h') $$);
SELECT strata.define_source('src.sale', loaded_at => 'loaded', changes => 'watermark');
SELECT strata.define_source('src.sale', loaded_at => 'loaded', changes => 'watermark');
SELECT strata.define_mart('wm.rows', $$ SELECT s.id, s.amount, r.name FROM src.sale s JOIN src.region r USING (region) WHERE open $$, key => '{id}', refresh => 'incremental');
SELECT strata.define_mart('wm.totals', $$ SELECT region, sum(amount) AS total, count(*) AS n FROM src.sale WHERE open GROUP BY region $$, refresh => 'incremental');
SELECT strata.define_mart('wm.many', $$ SELECT count(*) AS regions FROM (SELECT DISTINCT region FROM src.sale) AS r $$, refresh => 'incremental');
SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgname LIKE 'strata_capture%' GROUP BY 1 ORDER BY 1;
SELECT * FROM go('schema:wm', '2026-02-01');
SELECT m.relation_name, w.seen FROM strata_state.watermark w JOIN strata_state.model m ON m.id = w.model_id ORDER BY 1;
SELECT * FROM go('schema:wm', '2026-02-01');
-- seen: rows that came, rows that changed; also those that no longer meet the condition, or find nothing to be joined with
INSERT INTO src.sale VALUES (31, 'r1', 310, true, '2026-01-10'), (32, 'r3', 320, true, '2026-01-10');
UPDATE src.sale SET amount = 1000, loaded = '2026-01-10' WHERE id = 1;
UPDATE src.sale SET open = false, loaded = '2026-01-10' WHERE id = 2;
UPDATE src.sale SET region = 'nowhere', loaded = '2026-01-10' WHERE id = 3;
SELECT oracle.note('wm.rows');
SELECT * FROM go('schema:wm', '2026-02-01');
SELECT oracle.moved('wm.rows');
-- not seen: that row 3 has left its group
SELECT * FROM wm.totals ORDER BY region;
SELECT count(*) FROM strata.refresh('wm.totals', full_rebuild => true, as_of => '2026-02-01');
SELECT * FROM go('schema:wm', '2026-02-01');
-- mixed: the other source is captured, deletions and all; and both at once, where the one takes away what the other changed
UPDATE src.region SET name = 'REGION 1' WHERE region = 'r1';
SELECT * FROM go('wm.rows', '2026-02-01');
DELETE FROM src.region WHERE region = 'r2';
UPDATE src.sale SET amount = 5, loaded = '2026-01-11' WHERE region = 'r2' AND id < 9;
INSERT INTO src.region VALUES ('nowhere', 'somewhere');
SELECT * FROM go('schema:wm', '2026-02-01');
INSERT INTO src.region VALUES ('r2', 'region 2');
SELECT * FROM go('wm.rows', '2026-02-01');
-- not seen: what went, what has no loaded_at, what is loaded late; nothing else is disturbed, verify finds it, and one full refresh makes it good
DELETE FROM src.sale WHERE id = 31;
INSERT INTO src.sale VALUES (40, 'r1', 1, true, NULL), (41, 'r1', 1, true, '2026-01-10 23:00');
SELECT * FROM go('schema:wm', '2026-02-01');
SELECT model, status, missing, unexpected FROM strata.verify('schema:wm') ORDER BY model;
SELECT substring(message FROM '; of .* no deletions'), message ~ 'repair => true' FROM strata.verify('wm.rows');
SELECT count(*) > 0 FROM strata.verify('schema:wm', repair => true);
SELECT model, status, missing, unexpected FROM strata.verify('schema:wm') ORDER BY model;
-- with a lookback, rows are seen that are late by no more than that; no first build for it
SELECT strata.define_source('src.sale', loaded_at => 'loaded', changes => 'watermark', lookback => '2 hours');
INSERT INTO src.sale VALUES (42, 'r1', 7, true, '2026-01-10 22:30'), (43, 'r1', 7, true, '2026-01-10 21:30');
SELECT * FROM go('wm.rows', '2026-02-01');
SELECT id FROM wm.rows WHERE id > 40 ORDER BY id;
DELETE FROM src.sale WHERE id = 43;
SELECT * FROM go('wm.rows', '2026-02-01');
-- the same instant as the greatest seen is late, too
SELECT strata.define_source('src.sale', loaded_at => 'loaded', changes => 'watermark');
INSERT INTO src.sale VALUES (44, 'r1', 7, true, '2026-01-11');
SELECT * FROM go('wm.rows', '2026-02-01');
SELECT strata.define_source('src.sale', loaded_at => 'loaded', changes => 'watermark', lookback => '1 second');
SELECT * FROM go('wm.rows', '2026-02-01');
SELECT strata.define_source('src.sale', loaded_at => 'loaded', changes => 'watermark');
-- the future does not hide the present: such a row is read each time until its time has come
INSERT INTO src.sale VALUES (50, 'r1', 50, true, '2099-01-01'), (51, 'r1', 51, true, 'infinity');
SELECT * FROM go('wm.rows', '2026-02-01');
INSERT INTO src.sale VALUES (52, 'r1', 52, true, '2026-01-31');
UPDATE src.sale SET amount = 500 WHERE id = 50;
SELECT * FROM go('wm.rows', '2026-02-01');
SELECT m.relation_name, w.seen FROM strata_state.watermark w JOIN strata_state.model m ON m.id = w.model_id ORDER BY 1;
-- models at different positions
SELECT * FROM go('schema:wm', '2026-02-01');
INSERT INTO src.sale VALUES (60, 'r4', 60, true, '2026-02-01 01:00');
SELECT * FROM go('wm.totals', '2026-02-02');
INSERT INTO src.sale VALUES (61, 'r4', 61, true, '2026-02-01 02:00');
SELECT * FROM go('schema:wm', '2026-02-02');
-- what is rolled back leaves the position where it was
BEGIN;
INSERT INTO src.sale VALUES (62, 'r1', 62, true, '2026-02-01 03:00');
SAVEPOINT s;
SELECT * FROM go('wm.rows', '2026-02-02');
ROLLBACK TO s;
SELECT * FROM go('wm.rows', '2026-02-02');
ROLLBACK;
SELECT * FROM go('wm.rows', '2026-02-02');
INSERT INTO src.sale VALUES (62, 'r1', 63, true, '2026-02-01 02:30');
SELECT * FROM go('wm.rows', '2026-02-02');
-- said
SELECT regexp_replace(explain_refresh, '  last computed.*', '  last computed') FROM strata.explain_refresh('wm.rows') WITH ORDINALITY WHERE ordinality < 12;
SELECT source, loaded_at, changes, lookback FROM strata.sources ORDER BY 1;
SELECT substring(strata.export_definitions('wm.rows') FROM 'SELECT strata.define_source[^;]*;');
-- a result with no key of its own, and keys that are no columns of the source alone
SELECT oracle.attempt($$ SELECT strata.define_mart('wm.bag', 'SELECT amount FROM src.sale', refresh => 'incremental') $$);
SELECT oracle.attempt($$ SELECT strata.define_mart('wm.one', 'SELECT count(*) FROM src.sale', refresh => 'incremental') $$);
SELECT strata.define_mart('wm.names', $$ SELECT r.name, max(s.amount) AS top FROM src.region r LEFT JOIN src.sale s ON s.region = r.region AND s.open GROUP BY r.name $$, refresh => 'incremental');
SELECT strata.define_mart('wm.united', $$ SELECT 'a' || id AS k, amount FROM src.sale UNION ALL SELECT 'b' || region, length(name) FROM src.region $$, key => '{k}', refresh => 'incremental');
SELECT strata.define_mart('wm.sold', $$ SELECT region, name FROM src.region r WHERE EXISTS (SELECT FROM src.sale s WHERE s.region = r.region AND s.open) $$, key => '{region}', refresh => 'incremental');
SELECT strata.define_mart('wm.pairs', $$ SELECT a.id, b.id AS next, b.amount - a.amount AS more FROM src.sale a JOIN src.sale b ON b.id = a.id + 1 $$, key => '{id}', refresh => 'incremental');
SELECT * FROM go('wm.names wm.united wm.sold wm.pairs', '2026-02-02');
INSERT INTO src.region VALUES ('r9', 'nine'), ('r4', 'four');
INSERT INTO src.sale VALUES (70, 'r9', 70, true, '2026-02-01 04:00'), (63, 'r9', 71, true, '2026-02-01 04:00');
UPDATE src.sale SET amount = 333, loaded = '2026-02-01 04:00' WHERE id = 30;
DELETE FROM src.region WHERE region = 'nowhere';
SELECT * FROM go('wm.names wm.united wm.sold wm.pairs', '2026-02-02');
-- dimensions and facts
SELECT strata.define_source('src.region', changes => 'capture');
CREATE TABLE src.shop (shop text, city text, loaded date);
INSERT INTO src.shop VALUES ('a', 'Rome', '2026-01-01'), ('b', 'Paris', '2026-01-02');
CREATE TABLE src.visit (id integer, shop text, at timestamp, n integer, loaded timestamp);
INSERT INTO src.visit SELECT g, CASE g % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE 'c' END, '2026-01-03', g, '2026-01-03 00:00' FROM generate_series(1, 9) g;
SELECT strata.define_source('src.shop', loaded_at => 'loaded', changes => 'watermark');
SELECT strata.define_source('src.visit', loaded_at => 'loaded', changes => 'watermark');
SELECT strata.define_dimension('wm.dim_shop', 'SELECT shop, city FROM src.shop', key => '{shop}', history => '{city}', refresh => 'incremental');
SELECT strata.define_fact('wm.visit', 'SELECT id, shop, n FROM src.visit WHERE n < 100', grain => '{id}', dimensions => '{"shop_key": {"dimension": "wm.dim_shop", "on": ["shop"]}}', refresh => 'incremental');
SELECT count(*) FROM strata.refresh('wm.dim_shop wm.visit', as_of => '2026-01-04');
-- the second row of a day that was seen already is seen
INSERT INTO src.shop VALUES ('c', 'Oslo', '2026-01-02');
UPDATE src.shop SET city = 'Lyon', loaded = '2026-01-05' WHERE shop = 'b';
DELETE FROM src.shop WHERE shop = 'a';
INSERT INTO src.visit VALUES (10, 'b', '2026-01-05', 10, '2026-01-05');
UPDATE src.visit SET n = 100, loaded = '2026-01-05' WHERE id = 1;
SELECT model, status, inserted, updated, deleted FROM strata.refresh('wm.dim_shop wm.visit', as_of => '2026-01-06');
SELECT model, regexp_replace(method, ':.*', '') FROM strata.steps WHERE run = (SELECT max(run) FROM strata.steps) ORDER BY model;
SELECT shop, city, valid_from::date, valid_to::date FROM wm.dim_shop ORDER BY shop, valid_from;
SELECT v.id, v.n, d.city FROM wm.visit v JOIN wm.dim_shop d USING (shop_key) ORDER BY v.id;
SELECT model, status, missing, unexpected FROM strata.verify('wm.dim_shop wm.visit') ORDER BY model;
-- a view of another owner, who alone may read what it reads; a materialized view; a foreign table
CREATE ROLE wm_theirs;
CREATE ROLE wm_ours;
GRANT USAGE, CREATE ON SCHEMA src, wm TO wm_theirs, wm_ours;
GRANT USAGE ON SCHEMA strata, oracle TO wm_ours, wm_theirs;
SET ROLE wm_theirs;
CREATE TABLE src.secret (id integer, v integer, loaded timestamptz);
INSERT INTO src.secret SELECT g, g, '2026-01-01' FROM generate_series(1, 5) g;
CREATE VIEW src.shown AS SELECT id, v, loaded FROM src.secret WHERE id <> 2;
CREATE MATERIALIZED VIEW src.stored AS SELECT id, v, loaded FROM src.secret;
GRANT SELECT ON src.shown, src.stored TO wm_ours;
RESET ROLE;
SET ROLE wm_ours;
SELECT oracle.attempt($$ SELECT strata.define_mart('wm.shown', 'SELECT id, v FROM src.shown', key => '{id}', refresh => 'incremental') $$);
SELECT oracle.attempt($$ SELECT strata.define_source('src.shown', changes => 'capture') $$);
SELECT strata.define_source('src.shown', loaded_at => 'loaded', changes => 'watermark');
SELECT strata.define_source('src.stored', loaded_at => 'loaded', changes => 'watermark');
SELECT strata.define_mart('wm.shown', 'SELECT id, v FROM src.shown', key => '{id}', refresh => 'incremental');
SELECT strata.define_mart('wm.stored', 'SELECT v % 2 AS odd, sum(id) FROM src.stored GROUP BY 1', refresh => 'incremental');
SELECT count(*) FROM strata.refresh('wm.shown wm.stored', as_of => '2026-01-06');
RESET ROLE;
INSERT INTO src.secret VALUES (6, 6, '2026-01-02');
UPDATE src.secret SET v = 50, loaded = '2026-01-02' WHERE id = 5;
REFRESH MATERIALIZED VIEW src.stored;
SELECT * FROM go('wm.shown', '2026-01-06');
-- row 5 has left its group
SELECT * FROM go('wm.stored', '2026-01-06');
CREATE EXTENSION file_fdw;
SELECT current_setting('data_directory') || '/strata_watermark.csv' AS file \gset
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
COPY (SELECT 1, 'a', '2026-01-01'::date UNION ALL SELECT 2, 'b', '2026-01-02' UNION ALL SELECT 3, 'c', NULL) TO :'file' (FORMAT csv);
CREATE FOREIGN TABLE src.file (id integer, v text, loaded date) SERVER files OPTIONS (filename :'file', format 'csv');
SELECT strata.define_source('src.file', loaded_at => 'loaded', changes => 'watermark', lookback => '0');
SELECT strata.define_mart('wm.file', 'SELECT id, v FROM src.file', key => '{id}', refresh => 'incremental');
SELECT * FROM go('wm.file', '2026-01-06');
COPY (SELECT 1, 'A', '2026-01-05'::date UNION ALL SELECT 2, 'b', '2026-01-02' UNION ALL SELECT 3, 'c', NULL UNION ALL SELECT 4, 'd', '2026-01-04') TO :'file' (FORMAT csv);
SELECT * FROM go('wm.file', '2026-01-06');
-- compared: in full, without a trigger; the declaration can change, and comes with its triggers
CREATE TABLE src.plain (id integer, v integer);
INSERT INTO src.plain VALUES (1, 1), (2, 2);
SELECT strata.define_mart('wm.plain', 'SELECT id, v FROM src.plain', key => '{id}');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'src.plain'::regclass AND tgname LIKE 'strata_capture%';
SELECT strata.define_source('src.plain', changes => 'compare');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'src.plain'::regclass AND tgname LIKE 'strata_capture%';
SELECT * FROM go('wm.plain', '2026-01-06');
DELETE FROM src.plain WHERE id = 1;
SELECT * FROM go('wm.plain', '2026-01-06');
SELECT explain_refresh FROM strata.explain_refresh('wm.plain') LIMIT 3;
SELECT oracle.attempt($$ SELECT strata.define_mart('wm.plain', 'SELECT id, v FROM src.plain', key => '{id}', refresh => 'incremental') $$);
SELECT strata.define_source('src.plain', changes => 'capture');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'src.plain'::regclass AND tgname LIKE 'strata_capture%';
SELECT * FROM go('wm.plain', '2026-01-06');
INSERT INTO src.plain VALUES (3, 3);
SELECT * FROM go('wm.plain', '2026-01-06');
SELECT strata.define_mart('wm.plain', 'SELECT id, v FROM src.plain', key => '{id}', refresh => 'incremental');
SELECT oracle.attempt($$ SELECT strata.define_source('src.plain', changes => 'compare') $$);
SELECT strata.drop_source('src.plain');
INSERT INTO src.plain VALUES (4, 4);
SELECT * FROM go('wm.plain', '2026-01-06');
-- to be captured, and its reader may not: refused
SET ROLE wm_theirs;
CREATE TABLE src.theirs (id integer, v integer, loaded timestamptz);
GRANT SELECT ON src.theirs TO wm_ours;
RESET ROLE;
SET ROLE wm_ours;
SELECT strata.define_source('src.theirs', changes => 'capture');
SELECT oracle.attempt($$ SELECT strata.define_mart('wm.theirs', 'SELECT id, v FROM src.theirs', key => '{id}') $$);
-- what one role declares does not make the models of another less exact
SELECT strata.define_source('src.theirs', loaded_at => 'loaded', changes => 'watermark');
RESET ROLE;
SET ROLE wm_theirs;
SELECT strata.define_mart('wm.theirs', 'SELECT id, v FROM src.theirs', key => '{id}', refresh => 'incremental');
RESET ROLE;
SELECT strata.define_mart('wm.mine', 'SELECT id, v FROM src.theirs', key => '{id}', refresh => 'incremental');
SELECT count(*) FROM strata.explain_refresh('wm.mine') WHERE explain_refresh LIKE '%what went is not seen%';
SELECT strata.define_mart('wm.other', 'SELECT id, v FROM src.stored', key => '{id}');
SELECT explain_refresh FROM strata.explain_refresh('wm.other') LIMIT 4;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'src.theirs'::regclass AND tgname LIKE 'strata_capture%';
-- gone with the model
SELECT strata.drop_model('wm.rows');
SELECT m.relation_name FROM strata_state.watermark w LEFT JOIN strata_state.model m ON m.id = w.model_id ORDER BY 1;
SET strata.incremental_full_cost = 0;
CREATE SCHEMA z;
CREATE TABLE z.w (id int primary key, c int, v int, f bool, loaded timestamptz);
CREATE TABLE z.c (k int, v int, f bool);
CREATE TABLE z.d (k int, e int);
SELECT strata.define_source('z.w', loaded_at => 'loaded', changes => 'watermark');
SELECT strata.define_mart('z.ma','SELECT w.id, min(w.v) AS v, sum(c.v) AS s FROM z.w JOIN z.c ON w.c=c.k WHERE w.f AND c.f GROUP BY w.id', key=>'{id}', refresh=>'incremental');
SELECT strata.define_mart('z.mb','SELECT w.id, w.v, d.e FROM z.w LEFT JOIN (SELECT DISTINCT ON (k) k, e FROM z.d ORDER BY k, e) d ON w.c=d.k', key=>'{id}', refresh=>'incremental');
SELECT strata.define_mart('z.mc','SELECT w.id, w.v, s.k, s.sv FROM z.w JOIN (SELECT k, sum(v) AS sv FROM z.c GROUP BY k) s ON s.k=w.c WHERE w.f AND s.sv > 2', key=>'{id}', refresh=>'incremental');
SELECT strata.define_mart('z.md','SELECT w.id, w.v FROM z.w WHERE NOT EXISTS (SELECT FROM z.c WHERE c.k=w.c AND c.f) AND f', key=>'{id}', refresh=>'incremental');
SELECT strata.define_mart('z.me','SELECT w.id, w.v FROM z.w WHERE w.c IN (SELECT k FROM z.c JOIN z.d USING (k) WHERE f)', key=>'{id}', refresh=>'incremental');
SELECT strata.define_mart('z.mf','SELECT w.id, (SELECT sum(c.v) FROM z.c WHERE c.k=w.c) AS s FROM z.w WHERE f', key=>'{id}', refresh=>'incremental');
SELECT strata.define_mart('z.mg','SELECT w.id, count(*) AS n, string_agg(d.e::text, '','' ORDER BY d.e) AS t FROM z.w JOIN z.c ON c.k=w.c JOIN z.d ON d.k=c.k AND c.f GROUP BY w.id', key=>'{id}', refresh=>'incremental');
SELECT strata.define_mart('z.mh','SELECT 1 AS n, id, v FROM z.w WHERE f UNION ALL SELECT 2, id, v+1 FROM z.w WHERE v > 3 UNION ALL SELECT 3, k, sum(v) FROM z.c GROUP BY k', key=>'{n,id}', refresh=>'incremental');
SELECT strata.define_mart('z.mi','SELECT id, v FROM (SELECT w.id, c.v, row_number() OVER (PARTITION BY w.id ORDER BY c.v, c.f) AS rn FROM z.w JOIN z.c ON c.k=w.c WHERE w.f) q WHERE rn = 1', key=>'{id}', refresh=>'incremental');
SELECT strata.define_mart('z.mj','SELECT id*10 AS id10, v, sub.n FROM (SELECT id, v, c, f FROM z.w) x LEFT JOIN (SELECT k, count(*) AS n FROM z.d GROUP BY k) sub ON sub.k = x.c WHERE x.f', key=>'{id10}', refresh=>'incremental');
SELECT strata.define_mart('z.mk','SELECT id10 % 3 AS m, sum(v) AS s, count(*) AS n FROM z.mj GROUP BY 1', refresh=>'incremental');
-- whatever is seen is exact: rows come and change there, and what is captured beside them does as it likes
CREATE PROCEDURE z.run(rounds integer) LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz := '2020-01-01';
    model text;
    said text;
BEGIN
    PERFORM setseed(0.25);
    FOR i IN 1 .. rounds LOOP
        FOR j IN 1 .. 1 + floor(random() * 4)::integer LOOP
            t := t + interval '1 second';
            CASE floor(random() * 9)::integer
                WHEN 0, 1 THEN INSERT INTO z.w SELECT coalesce(max(id), 0) + 1, floor(random() * 6), floor(random() * 8), random() < 0.7, t FROM z.w;
                WHEN 2, 3 THEN UPDATE z.w SET c = CASE WHEN random() < 0.5 THEN c ELSE nullif(floor(random() * 6)::integer, 5) END, v = floor(random() * 8), f = random() < 0.6, loaded = t WHERE random() < 0.15;
                WHEN 4 THEN DELETE FROM z.c WHERE random() < 0.2;
                WHEN 5 THEN DELETE FROM z.d WHERE random() < 0.2;
                WHEN 6 THEN INSERT INTO z.c SELECT floor(random() * 6), floor(random() * 6), random() < 0.6 FROM generate_series(1, 1 + floor(random() * 3)::integer);
                WHEN 7 THEN INSERT INTO z.d SELECT floor(random() * 6), floor(random() * 6) FROM generate_series(1, 1 + floor(random() * 3)::integer);
                ELSE UPDATE z.c SET k = floor(random() * 6), v = floor(random() * 6), f = random() < 0.5 WHERE random() < 0.3;
            END CASE;
        END LOOP;
        IF random() < 0.4 THEN
            PERFORM strata.refresh('z.m' || chr(97 + floor(random() * 10)::integer), as_of => t + interval '1 minute');
        ELSE
            PERFORM strata.refresh('schema:z', as_of => t + interval '1 minute');
            FOR model IN SELECT m.model FROM strata.models m WHERE m.model LIKE 'z.%' LOOP
                said := oracle.holds(model);
                IF said <> 'same' THEN
                    RAISE EXCEPTION 'round %, %: %', i, model, said;
                END IF;
            END LOOP;
        END IF;
        COMMIT;
    END LOOP;
END $$;
CALL z.run(30);
SELECT count(*) > 100 AS by_changes, count(*) FILTER (WHERE method NOT LIKE 'incremental%') AS builds FROM strata.steps WHERE model LIKE 'z.%' AND method IS NOT NULL;
RESET strata.incremental_full_cost;
SELECT strata.drop_model('z.mj', "cascade" => true);
SELECT count(strata.drop_model(model)) FROM strata.models WHERE model LIKE 'z.%';
SELECT strata.drop_source('z.w');
SET client_min_messages = error;
SELECT strata.drop_model('wm.visit');
SELECT count(strata.drop_model(model)) FROM strata.models WHERE model LIKE 'wm.%';
SELECT count(strata.drop_source(source)) FROM strata.sources WHERE source LIKE 'src.%';
SELECT count(*) FROM strata_state.watermark;
DROP SCHEMA src, wm, z, oracle CASCADE;
DROP EXTENSION file_fdw CASCADE;
DROP OWNED BY wm_ours, wm_theirs;
DROP ROLE wm_ours, wm_theirs;
DROP FUNCTION go(text, timestamptz);
