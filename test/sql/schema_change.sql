-- schema changes: of sources, of models, and what stands on them
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE ROLE change_bi;
CREATE ROLE change_owner;
CREATE SCHEMA src;
CREATE SCHEMA sc AUTHORIZATION change_owner;
GRANT USAGE ON SCHEMA src TO change_owner;
GRANT USAGE ON SCHEMA sc TO change_bi;
GRANT USAGE ON SCHEMA oracle TO change_owner;
CREATE TABLE src.pay (id integer, client text, amount integer, at date);
INSERT INTO src.pay SELECT g, 'c' || g % 3, g * 10, '2024-01-01'::date + g FROM generate_series(1, 12) AS g;
GRANT SELECT ON src.pay TO change_owner;
CREATE TYPE public.change_mood AS ENUM ('low', 'high');
CREATE COLLATION public.change_nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

SET ROLE change_owner;
SELECT strata.define_staging('sc.stg', 'SELECT id, client, amount, at FROM src.pay');
SELECT strata.define_staging('sc.stg_rules', 'SELECT id, client, amount FROM sc.stg', rules => '{"positive": "amount > 20"}');
SELECT strata.define_dimension('sc.dim_client', 'SELECT DISTINCT client, max(amount) OVER (PARTITION BY client) AS top FROM sc.stg', key => '{client}', history => '{top}');
SELECT strata.define_fact('sc.pay', 'SELECT id, client, amount, at FROM sc.stg', grain => '{id}', dimensions => '{"client_key": {"dimension": "sc.dim_client", "on": ["client"]}}');
SELECT strata.define_mart('sc.by_client', 'SELECT client, sum(amount) AS total, max(amount) AS top FROM sc.pay GROUP BY client', key => '{client}');
SELECT strata.define_mart('sc.tops', 'SELECT top FROM sc.by_client');
SELECT count(*) FROM strata.refresh(as_of => '2024-02-01');
GRANT SELECT ON sc.stg, sc.pay TO change_bi WITH GRANT OPTION;
GRANT SELECT (id) ON sc.stg_rules TO change_bi;
COMMENT ON VIEW sc.stg IS 'kept';
COMMENT ON COLUMN sc.stg.amount IS 'kept too';
COMMENT ON COLUMN sc.pay.amount IS 'kept as well';
ALTER VIEW sc.stg SET (security_barrier = true);
RESET ROLE;
CREATE FUNCTION all_hold() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(t || ' ' || oracle.holds(t), ', ') FROM unnest('{sc.by_client,sc.tops}'::text[]) AS t
  $$;
CREATE FUNCTION types(VARIADIC tables text[]) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s', t, string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)) FROM unnest(tables) WITH ORDINALITY AS u (t, n)
      JOIN pg_attribute ON attrelid = t::regclass AND attnum > 0 AND NOT attisdropped GROUP BY t, n ORDER BY n $$;
SELECT all_hold();

-- ---- a column is added to a source: nothing breaks, nothing is to be done ----
ALTER TABLE src.pay ADD COLUMN extra text;
SELECT DISTINCT status FROM strata.refresh('schema:sc', as_of => '2024-02-02');
SET ROLE change_owner;
SELECT strata.define_staging('sc.stg', 'SELECT id, client, amount, at FROM src.pay');
RESET ROLE;

-- ---- ALTER COLUMN TYPE of a source: definitions step aside, come back as they were, targets follow at the next refresh ----
ALTER TABLE src.pay ALTER COLUMN amount TYPE numeric(12, 2), ALTER COLUMN id TYPE bigint;
SELECT types('sc.stg', 'sc.stg_rules', 'sc.stg_rules__rejected', 'sc.dim_client', 'sc.pay', 'sc.by_client', 'sc.tops');
SELECT c.relname, pg_get_userbyid(c.relowner), (SELECT array_agg(privilege_type || is_grantable) FROM aclexplode(c.relacl) WHERE grantee = 'change_bi'::regrole), c.reloptions, obj_description(c.oid), col_description(c.oid, 3) FROM pg_class c WHERE c.oid IN ('sc.stg'::regclass, 'sc.stg_rules'::regclass, 'sc.stg_rules__rejected'::regclass) ORDER BY 1;
SELECT attname, attacl FROM pg_attribute WHERE attrelid = 'sc.stg_rules'::regclass AND attacl IS NOT NULL;
SELECT model, action, reason FROM strata.plan('schema:sc') WHERE action = 'rebuild';
SELECT sum(amount) FROM sc.pay;
UPDATE src.pay SET amount = amount + 0.25;
SELECT model, inserted, updated, deleted, message FROM strata.refresh('schema:sc', as_of => '2024-02-03');
SELECT types('sc.pay', 'sc.dim_client', 'sc.by_client', 'sc.tops');
SELECT type FROM strata.columns WHERE model = 'sc.pay' AND "column" = 'amount';
SELECT all_hold(), oracle.holds('sc.pay', 'SELECT k.client_key, p.id, p.client, p.amount, p.at FROM src.pay p JOIN sc.dim_client k ON k.client = p.client AND k.is_current');
SELECT col_description('sc.pay'::regclass, attnum) FROM pg_attribute WHERE attrelid = 'sc.pay'::regclass AND attname = 'amount';
SELECT has_table_privilege('change_bi', 'sc.pay', 'SELECT WITH GRANT OPTION');
SELECT status, message FROM strata.refresh('sc.pay', as_of => '2024-02-04');
-- back again, in one transaction with its refresh, and undone with it
BEGIN;
ALTER TABLE src.pay ALTER COLUMN amount TYPE integer;
SELECT model, message FROM strata.refresh('sc.pay+', as_of => '2024-02-05');
SELECT types('sc.pay', 'sc.by_client');
ROLLBACK;
SELECT types('sc.stg', 'sc.pay', 'sc.by_client');
BEGIN;
SAVEPOINT a;
ALTER TABLE src.pay ALTER COLUMN amount TYPE integer;
ROLLBACK TO a;
ALTER TABLE src.pay ALTER COLUMN amount TYPE numeric;
COMMIT;
SELECT model, message FROM strata.refresh('schema:sc', as_of => '2024-02-05');
SELECT types('sc.stg', 'sc.pay', 'sc.by_client'), all_hold();
-- a type under which a definition breaks is refused, by the model's name, and nothing changes
SELECT oracle.attempt('ALTER TABLE src.pay ALTER COLUMN amount TYPE text');
SELECT oracle.attempt('ALTER TABLE src.pay ALTER COLUMN amount TYPE nosuch');
SELECT types('src.pay', 'sc.stg');
-- where a view of the user's stands, PostgreSQL's own refusal is the answer
CREATE VIEW sc.users AS SELECT client, amount FROM sc.stg;
SELECT oracle.attempt('ALTER TABLE src.pay ALTER COLUMN amount TYPE real');
SELECT types('sc.stg'), (SELECT count(*) FROM sc.stg);
DROP VIEW sc.users;
-- inheritance: a definition that reads a partition
CREATE TABLE src.part (id integer, v integer) PARTITION BY LIST (id);
CREATE TABLE src.part_1 PARTITION OF src.part FOR VALUES IN (1);
INSERT INTO src.part VALUES (1, 5);
SELECT strata.define_mart('sc.child', 'SELECT id, v FROM src.part_1', key => '{id}');
SELECT strata.define_mart('sc.parent', 'SELECT id, v FROM src.part', key => '{id}');
SELECT inserted FROM strata.refresh('sc.child sc.parent');
ALTER TABLE src.part ALTER COLUMN v TYPE numeric USING v + 0.5;
SELECT model, updated, message FROM strata.refresh('sc.child sc.parent');
SELECT oracle.holds('sc.child'), oracle.holds('sc.parent');

-- a column that a fact is partitioned by cannot follow
CREATE TABLE src.dated (id integer, at date);
SELECT strata.define_fact('sc.dated', 'SELECT id, at FROM src.dated', grain => '{id}', partition_by => 'at');
SELECT status FROM strata.refresh('sc.dated', as_of => '2024-02-05');
ALTER TABLE src.dated ALTER COLUMN at TYPE timestamp;
SELECT oracle.attempt($$ SELECT strata.refresh('sc.dated', as_of => '2024-02-05') $$);
SELECT strata.define_fact('sc.dated', 'SELECT id, at::date AS at FROM src.dated', grain => '{id}', partition_by => 'at');
SELECT status FROM strata.refresh('sc.dated', as_of => '2024-02-05');
SELECT strata.drop_model('sc.dated');
-- ---- renames are followed ----
ALTER TABLE src.pay RENAME COLUMN client TO customer;
ALTER TABLE src.pay RENAME TO payments;
SELECT DISTINCT status FROM strata.refresh('schema:sc', as_of => '2024-02-06');
INSERT INTO src.payments (id, customer, amount, at) VALUES (100, 'c9', 5, '2024-02-01');
SELECT model, inserted, updated, deleted FROM strata.refresh('schema:sc', as_of => '2024-02-07');
SELECT all_hold();
ALTER TABLE src.payments ALTER COLUMN amount TYPE numeric(14, 3);
SELECT types('sc.stg');
SELECT count(*) FROM strata.refresh('schema:sc', as_of => '2024-02-07');
-- ---- a dropped source column is refused, with the models it would break ----
SELECT oracle.attempt('ALTER TABLE src.payments DROP COLUMN at');
SELECT oracle.attempt('DROP TABLE src.payments');
ALTER TABLE src.payments DROP COLUMN extra;

-- ---- a model's columns: added and backfilled, retyped, dropped; what stands on it ----
SET ROLE change_owner;
SELECT strata.define_fact('sc.pay', 'SELECT id, client, amount, at, amount * 2 AS twice, ''low''::public.change_mood AS mood, client COLLATE public.change_nocase AS client_nc FROM sc.stg', grain => '{id}', dimensions => '{"client_key": {"dimension": "sc.dim_client", "on": ["client"]}}');
SELECT action, reason FROM strata.plan('sc.pay');
SELECT inserted, updated, deleted FROM strata.refresh('sc.pay', as_of => '2024-02-08');
SELECT types('sc.pay'), count(*), count(twice) FROM sc.pay;
-- defined under a path that has the type, without its schema
SET search_path = public, pg_catalog;
SELECT strata.define_mart('sc.moods', 'SELECT id, mood, ARRAY[mood] AS moods FROM sc.pay', key => '{id}');
RESET search_path;
SELECT inserted FROM strata.refresh('sc.moods');
SELECT types('sc.moods'), oracle.holds('sc.moods');
SELECT oracle.attempt($$ SELECT strata.define_fact('sc.pay', 'SELECT id, client, at, amount * 2 AS twice, ''low''::public.change_mood AS mood, client COLLATE public.change_nocase AS client_nc FROM sc.stg', grain => '{id}') $$);
SELECT types('sc.pay');
CREATE VIEW sc.mine AS SELECT twice FROM sc.pay;
SELECT oracle.attempt($$ SELECT strata.define_fact('sc.pay', 'SELECT id, client, amount, at, ''low''::public.change_mood AS mood FROM sc.stg', grain => '{id}') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('sc.pay', 'SELECT id, client, amount, at, twice::text AS twice, ''low''::public.change_mood AS mood FROM sc.stg, LATERAL (SELECT amount * 2 AS twice) AS l', grain => '{id}') $$);
DROP VIEW sc.mine;
-- retyped with a model on top, which follows
SELECT strata.define_fact('sc.pay', 'SELECT id, client, amount::double precision AS amount, at, ''low''::public.change_mood AS mood FROM sc.stg', grain => '{id}', dimensions => '{"client_key": {"dimension": "sc.dim_client", "on": ["client"]}}');
SELECT types('sc.pay', 'sc.by_client', 'sc.tops');
SELECT model, inserted, updated, deleted, message FROM strata.refresh('sc.pay+', as_of => '2024-02-09');
SELECT types('sc.pay', 'sc.by_client', 'sc.tops');
RESET ROLE;
SELECT all_hold();
SET ROLE change_owner;
-- text to number: what does not convert is computed anew
SELECT strata.define_mart('sc.words', 'SELECT id, ''x'' || id AS v, amount AS n FROM sc.pay', key => '{id}');
SELECT inserted FROM strata.refresh('sc.words');
SELECT strata.define_mart('sc.words', 'SELECT id, id * 2 AS v, ''n'' || amount AS n FROM sc.pay', key => '{id}');
SELECT inserted, updated, deleted FROM strata.refresh('sc.words');
SELECT types('sc.words'), oracle.holds('sc.words');
-- the key changed, taken away, given; a column of it dropped
SELECT strata.define_mart('sc.words', 'SELECT id, v, n FROM (SELECT id, id * 2 AS v, ''n'' || amount AS n FROM sc.pay) AS q', key => '{v, n}');
SELECT inserted, updated, deleted FROM strata.refresh('sc.words');
SELECT oracle.holds('sc.words'), pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'sc.words'::regclass AND contype = 'p';
SELECT strata.define_mart('sc.words', 'SELECT id, nullif(v, 4) AS v, n FROM (SELECT id, id * 2 AS v, ''n'' || amount AS n FROM sc.pay) AS q', key => '{id}');
SELECT inserted, updated, deleted FROM strata.refresh('sc.words');
SELECT oracle.holds('sc.words'), pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'sc.words'::regclass AND contype = 'p';
SELECT strata.define_mart('sc.words', 'SELECT id, nullif(v, 4) AS v, n FROM (SELECT id, id * 2 AS v, ''n'' || amount AS n FROM sc.pay) AS q', key => '{id, n}');
SELECT inserted, updated, deleted FROM strata.refresh('sc.words');
SELECT strata.define_mart('sc.words', 'SELECT v, nullif(n, ''n20.25'') AS n FROM (SELECT id, id * 2 AS v, ''n'' || amount AS n FROM sc.pay) AS q');
SELECT inserted, updated, deleted FROM strata.refresh('sc.words');
SELECT oracle.holds('sc.words'), count(*) FILTER (WHERE n IS NULL) FROM sc.words;
SELECT strata.define_mart('sc.words', 'SELECT v, n FROM (SELECT id % 2 AS v, ''n'' || amount AS n FROM sc.pay) AS q', key => '{v}');
SELECT oracle.attempt($$ SELECT strata.refresh('sc.words') $$);
SELECT strata.define_mart('sc.words', 'SELECT nullif(v, 4) AS v, n FROM (SELECT id AS v, ''n'' || amount AS n FROM sc.pay) AS q', key => '{v}');
SELECT oracle.attempt($$ SELECT strata.refresh('sc.words') $$);
-- defined and refreshed in one transaction
BEGIN;
SELECT strata.define_mart('sc.words', 'SELECT id, amount AS n FROM sc.pay', key => '{id}');
SELECT status FROM strata.refresh('sc.words');
SELECT oracle.holds('sc.words');
SELECT strata.define_mart('sc.words', 'SELECT id, amount::text AS n, at FROM sc.pay', key => '{id}');
SELECT inserted, updated, deleted FROM strata.refresh('sc.words');
SELECT oracle.holds('sc.words');
COMMIT;
SELECT oracle.holds('sc.words'), oracle.note('sc.words');

-- ---- words alone: nothing is left for the next refresh ----
SELECT strata.define_mart('sc.words', 'SELECT id, amount::text AS n, at FROM sc.pay', key => '{id}', description => 'of words', columns => '{"n": "the n"}', tags => '{a,b}');
SELECT action FROM strata.plan('sc.words');
SELECT description, tags FROM strata.models WHERE model = 'sc.words';
SELECT obj_description('sc.words'::regclass), (SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'sc.words'::regclass AND attname = 'n');
SELECT strata.define_mart('sc.words', $$ SELECT id,   amount::text AS n, at
   FROM sc.pay -- as before $$, key => '{id}', description => 'of words', refresh => 'full');
SELECT action FROM strata.plan('sc.words');
SELECT strata.define_mart('sc.words', 'SELECT id, amount::text AS n, at FROM sc.pay', key => '{id}', description => 'of words', refresh => 'full');
SELECT status FROM strata.refresh('sc.words');
SELECT oracle.moved('sc.words');
-- a view's columns: added, retyped, taken away, under models
SELECT strata.define_staging('sc.stg', 'SELECT id, client, amount, at, 1 AS one FROM (SELECT id, customer AS client, amount, at FROM src.payments) AS p');
SELECT strata.define_staging('sc.stg', 'SELECT id, client, amount::text::numeric(20, 4) AS amount, at FROM (SELECT id, customer AS client, amount, at FROM src.payments) AS p');
SELECT types('sc.stg', 'sc.stg_rules');
SELECT obj_description('sc.stg'::regclass), has_table_privilege('change_bi', 'sc.stg', 'SELECT WITH GRANT OPTION');
SELECT oracle.attempt($$ SELECT strata.define_staging('sc.stg', 'SELECT id, customer AS client, at FROM src.payments') $$);
SELECT count(*) FROM strata.refresh('schema:sc', as_of => '2024-02-10');
RESET ROLE;
SELECT all_hold();

SET client_min_messages = error;
SELECT count(strata.drop_model(m, "cascade" => true)) FROM unnest('{sc.stg,sc.child,sc.parent}'::text[]) AS m;
DROP FUNCTION all_hold(), types(text[]);
DROP SCHEMA oracle, src, sc CASCADE;
DROP TYPE public.change_mood;
DROP COLLATION public.change_nocase;
DROP ROLE change_bi, change_owner;
