-- staging: views and tables, rules, rejects; no row in both places and none in neither
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE SCHEMA src;
CREATE SCHEMA sg;
CREATE TABLE src.pay (id integer, amount text, at text, client integer, note text);
INSERT INTO src.pay VALUES (1, '10.50', '2024-01-01', 1, 'ok'), (2, '-3', '2024-01-02', 1, NULL), (3, 'abc', '2024-01-03', 2, 'x'), (4, NULL, '31/12', 2, 'y'), (5, '7', NULL, 9, ''), (5, '7', NULL, 9, '');
CREATE TABLE src.client (id integer, name text);
INSERT INTO src.client VALUES (1, 'a'), (2, 'b');

-- ---- a plain view and a plain table ----
SELECT strata.define_staging('sg.plain', 'SELECT id, note FROM src.pay');
SELECT strata.define_staging('sg.kept', 'SELECT id, note FROM src.pay', materialized => 'table');
SELECT strata.define_staging('sg.keyed', 'SELECT DISTINCT id, note FROM src.pay', materialized => 'table', key => '{id}');
SELECT model, rows_in, inserted, rejected, status FROM strata.refresh('schema:sg');
SELECT oracle.holds('sg.plain', 'SELECT id, note FROM src.pay'), oracle.holds('sg.kept'), oracle.holds('sg.keyed');
INSERT INTO src.pay VALUES (6, '1', NULL, 1, 'new');
SELECT oracle.holds('sg.plain', 'SELECT id, note FROM src.pay'), oracle.note('sg.kept');
SELECT model, rows_in, inserted, updated, deleted FROM strata.refresh('sg.kept sg.keyed');
SELECT oracle.holds('sg.kept'), oracle.moved('sg.kept'), oracle.holds('sg.keyed');

-- ---- rules: what breaks one stands beside, with the reason and the source row; NULL breaks nothing ----
CREATE FUNCTION each_kind(kind text, query text, rules text, casts boolean DEFAULT false) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    RETURN NEXT strata.define_staging('sg.' || kind, query, materialized => kind, rules => rules::jsonb, reject_failed_casts => casts);
    FOR r IN SELECT status, rows_in, inserted, deleted, rejected FROM strata.refresh('sg.' || kind) LOOP
        RETURN NEXT format('%s: in %s, inserted %s, deleted %s, rejected %s', r.status, r.rows_in, r.inserted, r.deleted, r.rejected);
    END LOOP;
    FOR r IN EXECUTE format('SELECT t::text FROM sg.%I AS t ORDER BY 1', kind) LOOP
        RETURN NEXT 'kept ' || r.t;
    END LOOP;
    IF to_regclass(format('sg.%I', kind || '__rejected')) IS NOT NULL THEN
        FOR r IN EXECUTE format('SELECT reason, source_row FROM sg.%I ORDER BY 1, 2', kind || '__rejected') LOOP
            RETURN NEXT 'rejected: ' || r.reason || ' | ' || r.source_row;
        END LOOP;
    END IF;
END $$;
\set plain 'SELECT id, strata.try_cast(amount, NULL::numeric) AS amount, strata.try_cast(at, NULL::date) AS at, note FROM src.pay'
SELECT each_kind(k, :'plain', '{"positive": "amount > 0", "noted": "note <> ''''"}', true) FROM unnest('{view,table}'::text[]) AS k;
SELECT oracle.note('sg.table'), oracle.note('sg.table__rejected');
SELECT status FROM strata.refresh('sg.table');
UPDATE src.pay SET amount = '3' WHERE id = 2;
SELECT inserted, deleted, rejected FROM strata.refresh('sg.table');
SELECT oracle.moved('sg.table'), oracle.moved('sg.table__rejected'), oracle.holds('sg.table'), oracle.holds('sg.table__rejected', 'SELECT reason, source_row FROM sg.view__rejected');
SELECT (SELECT count(*) FROM sg.view) + (SELECT count(*) FROM sg.view__rejected) = count(*) AS none_lost_or_doubled FROM src.pay;
SELECT obj_description('sg.table__rejected'::regclass), obj_description('sg.view__rejected'::regclass);

-- ---- rules changed, removed, added again; grants on the rejects stay while they do ----
CREATE ROLE staging_reader;
GRANT SELECT ON sg.view__rejected, sg.table__rejected TO staging_reader;
SELECT each_kind(k, :'plain', '{"positive": "amount > 5"}') FROM unnest('{view,table}'::text[]) AS k;
SELECT has_table_privilege('staging_reader', 'sg.' || k, 'SELECT') FROM unnest('{view__rejected,table__rejected}'::text[]) AS k;
SELECT each_kind(k, :'plain', NULL) FROM unnest('{view,table}'::text[]) AS k;
SELECT to_regclass('sg.view__rejected'), to_regclass('sg.table__rejected');
CREATE TABLE sg.view__rejected (mine integer);
SELECT oracle.attempt(format($$ SELECT strata.define_staging('sg.view', %L, rules => '{"positive": "amount > 5"}') $$, :'plain'));
DROP TABLE sg.view__rejected;
SELECT each_kind(k, :'plain', '{"later": "at > ''2024-01-01''"}') FROM unnest('{view,table}'::text[]) AS k;

-- ---- joins: the source row holds each table's; names that are also columns; quotes and Unicode in names ----
SELECT each_kind(k, 'SELECT p.id, c.name FROM src.pay AS p LEFT JOIN src.client AS c ON c.id = p.client', '{"has a client": "name IS NOT NULL"}') FROM unnest('{view,table}'::text[]) AS k;
CREATE TABLE src.name (name text, q integer, r integer);
INSERT INTO src.name VALUES ('x', 1, 2), ('y', -1, 3);
SELECT each_kind(k, 'SELECT name, q, r FROM src.name', '{"it''s \"not\" \\ é'')": "q > 0 AND r < 10"}') FROM unnest('{view,table}'::text[]) AS k;
-- grouped: there is no one source row, so the row itself stands there
SELECT each_kind(k, 'SELECT client, count(*) AS n FROM src.pay GROUP BY client', '{"several": "n > 1"}') FROM unnest('{view,table}'::text[]) AS k;
SELECT each_kind(k, 'SELECT id FROM src.pay UNION SELECT 0 ORDER BY 1 LIMIT 3', '{"not zero": "id <> 0"}') FROM unnest('{view,table}'::text[]) AS k;
SELECT each_kind(k, 'WITH w AS (SELECT id, note FROM src.pay) SELECT id, note FROM w', '{"noted": "note IS NOT NULL"}') FROM unnest('{view,table}'::text[]) AS k;
SELECT each_kind(k, 'SELECT v.a FROM (VALUES (1), (2)) AS v (a)', '{"one": "a = 1"}') FROM unnest('{view,table}'::text[]) AS k;

-- ---- a rule is one condition over one row ----
CREATE FUNCTION rule(rule text) RETURNS text LANGUAGE sql AS
$$ SELECT oracle.attempt(format('SELECT strata.define_staging(''sg.bad'', ''SELECT id, note FROM src.pay'', rules => %L)', jsonb_build_object('r', rule))) $$;
SELECT rule('1=1) OR (SELECT true');
SELECT rule('id > 0) OR (id < 0');
SELECT rule('id > 0 /* open');
SELECT rule('id > 0; DROP TABLE src.pay');
SELECT rule('id > 0; --');
SELECT rule('');
SELECT rule('id');
SELECT rule('id, note');
SELECT rule('id AS x');
SELECT rule('id > 0 FROM src.client');
SELECT rule('id > 0 WHERE true');
SELECT rule('EXISTS (SELECT 1 FROM src.client)');
SELECT rule('(SELECT true)');
SELECT rule('id IN (SELECT id FROM src.client)');
SELECT rule('count(*) > 0');
SELECT rule('row_number() OVER () > 0');
SELECT rule('generate_series(1, 2) > 0');
SELECT rule('random() > 0.5');
SELECT rule('nope > 0');
SELECT rule('amount > 0');
SELECT rule('$1');
SELECT rule('id > (0');
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT id FROM src.pay', rules => '{"r": null}') $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT id FROM src.pay', rules => '{"r": ["a"]}') $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT id FROM src.pay', rules => '[]') $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT id FROM src.pay', rules => '5') $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT id AS strata_rejected FROM src.pay', rules => '{"r": "true"}') $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT id FROM src.pay', reject_failed_casts => true) $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT max(strata.try_cast(amount, 0)) AS m FROM src.pay', reject_failed_casts => true) $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT id FROM src.pay', key => '{id}') $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.bad', 'SELECT id FROM src.pay', materialized => 'tabel') $$);
SELECT oracle.attempt($$ SELECT strata.define_staging('sg.keyed', 'SELECT id FROM src.pay') $$);
SELECT oracle.attempt(format($$ SELECT strata.define_staging('sg.%s', 'SELECT id FROM src.pay', rules => '{"r": "true"}') $$, repeat('n', 60)));
SELECT strata.define_staging('sg.good', 'SELECT id FROM src.pay', rules => '{"a": "id > 0 -- and more", "b": "q.id < 5 /* */", "c": "id IN (1, 2, 3, 4, 5, 6) AND CASE WHEN id > 3 THEN id % 2 = 0 END"}');
SELECT id FROM sg.good ORDER BY id;
SELECT reason FROM sg.good__rejected ORDER BY reason;
SELECT to_regclass('sg.bad'), count(*) FROM strata_state.model WHERE relation_name = 'bad';

-- ---- rejected rows have the names of their columns: a rename is no "nothing has changed", with capture or without ----
CREATE TABLE src.named (id integer, m text); INSERT INTO src.named VALUES (1, '1'), (2, 'n/a');
SELECT strata.define_staging('sg.named', 'SELECT id, strata.try_cast(m, NULL::integer) AS m FROM src.named', materialized => 'table', reject_failed_casts => true);
SET strata.incremental = off;
SELECT strata.define_staging('sg.named_off', 'SELECT id, strata.try_cast(m, NULL::integer) AS m FROM src.named', materialized => 'table', reject_failed_casts => true);
SELECT count(*) FROM strata.refresh('sg.named*');
SELECT count(*) FROM strata.refresh('sg.named*');
ALTER TABLE src.named RENAME COLUMN m TO minutes;
SELECT count(*) FROM strata.refresh('sg.named_off');
RESET strata.incremental;
SELECT count(*) FROM strata.refresh('sg.named');
SELECT model, status FROM strata.verify('sg.named*');
SELECT source_row FROM sg.named__rejected UNION ALL SELECT source_row FROM sg.named_off__rejected;
-- and a rule may call what can be replaced
CREATE FUNCTION src.fits(integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 1';
SELECT strata.define_staging('sg.ruled', 'SELECT id FROM src.named', rules => '{"fits": "src.fits(id)"}');
SELECT strata.define_staging('sg.ruled_plainly', 'SELECT id FROM src.named', rules => '{"fits": "id > 1"}');
SELECT relation_name, deterministic FROM strata_state.model WHERE relation_name LIKE 'ruled%' OR relation_name = 'named' ORDER BY 1;

-- ---- a role of no special right defines rules and casts on what it may read ----
CREATE ROLE staging_owner;
GRANT CREATE, USAGE ON SCHEMA sg TO staging_owner;
GRANT USAGE ON SCHEMA src TO staging_owner;
GRANT SELECT ON src.pay TO staging_owner;
SET ROLE staging_owner;
SELECT strata.define_staging('sg.own', 'SELECT id, strata.try_cast(amount, NULL::numeric) AS amount FROM src.pay', materialized => 'table', rules => '{"positive": "amount > 0"}', reject_failed_casts => true);
SELECT rows_in, rejected FROM strata.refresh('sg.own');
SELECT strata.define_staging('sg.own_view', 'SELECT id, strata.try_cast(amount, NULL::numeric) AS amount FROM src.pay', rules => '{"positive": "amount > 0"}', reject_failed_casts => true);
SELECT (SELECT count(*) FROM sg.own_view), (SELECT count(*) FROM sg.own_view__rejected);
RESET ROLE;

SELECT count(strata.drop_model('sg.' || m)) FROM unnest('{plain,kept,keyed,view,table,good,own,own_view,named,named_off,ruled,ruled_plainly}'::text[]) AS m;
SELECT relname FROM pg_class WHERE relnamespace = 'sg'::regnamespace;
SET client_min_messages = error;
DROP FUNCTION each_kind(text, text, text, boolean), rule(text);
DROP SCHEMA oracle, src, sg CASCADE;
DROP ROLE staging_reader, staging_owner;
