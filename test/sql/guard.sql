-- guard: DDL that would break models is refused; names and owners in the registry follow
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off
SET client_min_messages = warning;
CREATE ROLE strata_guard_ann;
CREATE ROLE strata_guard_bob;
CREATE SCHEMA raw;
CREATE SCHEMA gdwh;

-- one line per command: done, or how it was refused
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE command;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n    ', SQLSTATE || ' ' || SQLERRM, replace(nullif(detail, ''), E'\n', E'\n    '), nullif(hint, ''));
END $$;

CREATE TABLE raw.orders (id integer, amount numeric, note text, unused text, day date) PARTITION BY LIST (day);
CREATE TABLE raw.orders_1 PARTITION OF raw.orders DEFAULT;
CREATE TABLE raw.whole (a integer, b integer);
CREATE TABLE raw.lonely (a integer);
CREATE DOMAIN raw.code AS text;
CREATE FUNCTION raw.twice(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN $1 * 2;
CREATE VIEW raw.v_orders AS SELECT id, raw.twice(amount) AS amount, note::raw.code AS note FROM raw.orders;

-- models by hand, as definitions leave them: a registry row, the definition as a hidden view, a target
CREATE FUNCTION model(new_id integer, name text, layer text, kind text, query text, reads text[], options jsonb DEFAULT '{}')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    p text[] := parse_ident(name);
BEGIN
    EXECUTE format('CREATE VIEW strata_state.m%s_query AS %s', new_id, query);
    EXECUTE format('CREATE %s %I.%I AS %s', kind, p[1], p[2], query);
    INSERT INTO strata_state.model (id, schema_name, relation_name, layer, kind, query, options, hash, search_path, time_zone,
        date_style, interval_style, defined_by, defined_at, applied_version)
    VALUES (new_id, p[1], p[2], layer, kind, query, options, 'h', '', 'UTC', 'ISO', 'postgres', current_user, now(), 1);
    INSERT INTO strata_state.dependency
    SELECT new_id, (parse_ident(r))[1], (parse_ident(r))[2], 'query' FROM unnest(reads) AS r;
END $$;
SELECT model(910001, 'gdwh.stg', 'staging', 'view', 'SELECT id, amount, note FROM raw.v_orders', '{raw.v_orders}');
SELECT model(910002, 'gdwh.dim', 'dimension', 'table', 'SELECT a FROM raw.whole w', '{raw.whole}');
SELECT model(910003, 'gdwh.fact', 'fact', 'table', 'SELECT id, amount FROM gdwh.stg', '{gdwh.stg,gdwh.dim}',
    '{"dimensions": {"k": {"dimension": "gdwh.dim", "on": ["a"]}, "l": {"dimension": "GDWH.\"dim\""}}}');
SELECT model(910004, 'gdwh.flat', 'mart', 'table', 'SELECT day, w::text AS w FROM raw.orders, raw.whole AS w', '{raw.orders,raw.whole}');
INSERT INTO strata_state.edge VALUES (910004, 'w', 'raw', 'whole', 'b', 'derived'), (910004, 'day', 'raw', 'orders', 'day', 'copy');
INSERT INTO strata_state.source (schema_name, relation_name, loaded_at, defined_by, defined_at)
VALUES ('raw', 'orders', 'day', 'x', now()), ('raw', 'lonely', NULL, 'x', now()), ('raw', 'vanished', NULL, 'x', now());
CREATE TABLE strata_state.m910002_keys (key bigint);

-- a target
SELECT attempt('DROP TABLE gdwh.dim');
SELECT attempt('DROP TABLE IF EXISTS gdwh.none, gdwh.dim CASCADE');
SELECT attempt('DROP VIEW gdwh.stg CASCADE');
SELECT attempt('ALTER TABLE gdwh.dim DROP COLUMN a');
SELECT attempt('ALTER TABLE gdwh.dim ADD COLUMN b integer');
SELECT attempt('ALTER TABLE gdwh.dim ALTER COLUMN a TYPE bigint');
SELECT attempt('ALTER TABLE gdwh.dim RENAME COLUMN a TO b');
SELECT attempt('ALTER VIEW gdwh.stg RENAME COLUMN note TO remark');
SELECT attempt('CREATE OR REPLACE VIEW gdwh.stg AS SELECT 1 AS id, 2.0 AS amount, NULL::raw.code AS note');
-- a view as pg_dump makes one first, when it must be replaced later
SELECT attempt('CREATE OR REPLACE VIEW strata_state.m910002_query AS SELECT NULL::integer AS a');
BEGIN;
SET LOCAL strata.guard_enforce = off;
CREATE OR REPLACE VIEW strata_state.m910002_query AS SELECT NULL::integer AS a;
SET LOCAL strata.guard_enforce = on;
CREATE OR REPLACE VIEW strata_state.m910002_query AS SELECT a FROM raw.whole w;
COMMIT;
-- what is kept for a model
SELECT attempt('DROP TABLE strata_state.m910002_keys');
SELECT attempt('ALTER TABLE strata_state.m910002_keys ADD COLUMN x integer');
SELECT attempt('ALTER VIEW strata_state.m910002_query OWNER TO strata_guard_bob');
SELECT attempt('ALTER TABLE strata_state.m910002_keys RENAME TO mine');
SELECT attempt('ALTER TABLE strata_state.m910002_keys SET SCHEMA gdwh');
SELECT attempt('ALTER SCHEMA strata_state RENAME TO s');
-- what models read, directly and through a view
SELECT attempt('DROP TABLE raw.whole');
SELECT attempt('DROP TABLE raw.orders');
SELECT attempt('DROP TABLE raw.orders CASCADE');
SELECT attempt('DROP VIEW raw.v_orders');
SELECT attempt('DROP FUNCTION raw.twice(numeric) CASCADE');
SELECT attempt('DROP FUNCTION raw.twice');
SELECT attempt('DROP DOMAIN raw.code');
SELECT attempt('DROP SCHEMA raw CASCADE');
SELECT attempt('DROP SCHEMA raw');
SELECT attempt('ALTER TABLE raw.orders DROP COLUMN amount');
SELECT attempt('ALTER TABLE raw.orders DROP COLUMN unused, DROP COLUMN day CASCADE');
SELECT attempt('ALTER TABLE raw.whole DROP COLUMN b');
SELECT attempt('ALTER TABLE raw.orders ALTER COLUMN amount TYPE double precision');
SELECT attempt('SET LOCAL search_path = raw; DROP TABLE whole');
SELECT attempt('DROP OWNED BY CURRENT_USER CASCADE') ~ 'cannot drop objects owned|would break' AS refused;
-- what breaks nothing
SELECT attempt('ALTER TABLE raw.orders DROP COLUMN unused');
SELECT attempt('ALTER TABLE raw.orders ADD COLUMN more text');
SELECT attempt('ALTER TABLE raw.orders ALTER COLUMN more TYPE varchar(10)');
SELECT attempt('ALTER TABLE gdwh.dim ADD CHECK (a > 0)');
SELECT attempt('CREATE INDEX dim_a ON gdwh.dim (a)');
SELECT attempt('DROP INDEX gdwh.dim_a');
SELECT attempt('COMMENT ON TABLE gdwh.dim IS ''x''');
SELECT attempt('CREATE TABLE raw.orders_2 (LIKE raw.orders); DROP TABLE raw.orders_2');
SELECT attempt('CREATE TEMP TABLE whole (a integer); ALTER TABLE whole RENAME COLUMN a TO z; DROP TABLE whole');
SELECT attempt('DROP TABLE raw.none');
SELECT attempt('DROP FUNCTION raw.none(integer)');
SELECT attempt('ALTER TABLE raw.none DROP COLUMN a');
SELECT attempt('ALTER TABLE raw.whole DROP COLUMN none');
SELECT attempt('DROP TABLE a.b.c.d');
-- who may not do it anyway is told that, and nothing of models
GRANT USAGE ON SCHEMA raw, gdwh TO strata_guard_bob;
SET ROLE strata_guard_bob;
SELECT attempt('DROP TABLE raw.whole CASCADE');
SELECT attempt('ALTER TABLE raw.whole DROP COLUMN a');
SELECT attempt('ALTER TABLE gdwh.dim RENAME COLUMN a TO b');
SELECT attempt('SET strata.guard_enforce = off');
RESET ROLE;

-- renames are followed
CREATE VIEW registry AS
SELECT (SELECT string_agg(format('%I.%I', schema_name, relation_name), ' ' ORDER BY id) FROM strata_state.model) AS models,
       (SELECT string_agg(DISTINCT format('%I.%I', schema_name, relation_name), ' ') FROM strata_state.dependency) AS reads,
       (SELECT string_agg(format('%I.%I.%I', schema_name, relation_name, source_column), ' ' ORDER BY column_name) FROM strata_state.edge) AS edges,
       (SELECT string_agg(format('%I.%I.%I', schema_name, relation_name, coalesce(loaded_at, '-')), ' ' ORDER BY id) FROM strata_state.source) AS sources,
       (SELECT string_agg(d.key || '=' || (d.value->>'dimension'), ' ' ORDER BY d.key)
          FROM strata_state.model m, jsonb_each(m.options->'dimensions') AS d) AS dimensions;
SELECT * FROM registry;
SELECT attempt('ALTER TABLE raw.orders RENAME TO "Orders"');
SELECT attempt('ALTER TABLE raw."Orders" RENAME day TO order_day');
SELECT attempt('ALTER TABLE raw.whole RENAME COLUMN b TO bb');
SELECT attempt('ALTER VIEW raw.v_orders SET SCHEMA public');
SELECT attempt('ALTER TABLE raw.lonely RENAME TO vanished');
SELECT attempt('ALTER TABLE gdwh.dim RENAME TO dim_renamed');
SELECT * FROM registry;
SELECT attempt('ALTER SCHEMA gdwh RENAME TO "G"');
SELECT attempt('ALTER SCHEMA raw RENAME TO raw2');
SELECT * FROM registry;
SELECT pg_get_viewdef('strata_state.m910004_query') AS definition;
-- a rename that fails, or is undone, is not followed
BEGIN;
SELECT attempt('ALTER TABLE "G".flat RENAME TO fact');
ALTER TABLE "G".flat RENAME TO other;
SELECT models FROM registry;
ROLLBACK;
SELECT models FROM registry;
SET search_path = raw2, public;
SELECT attempt('ALTER TABLE "Orders" RENAME TO orders');
RESET search_path;
SELECT reads FROM registry;

-- what is kept for a model belongs to the owner of its target
GRANT strata_guard_bob TO strata_guard_ann;
SELECT attempt('ALTER TABLE "G".dim_renamed OWNER TO strata_guard_ann');
SELECT relname, relowner::regrole FROM pg_class WHERE relname ~ '^m910002_' OR relname = 'dim_renamed' ORDER BY 1;
SET ROLE strata_guard_ann;
SELECT attempt('ALTER TABLE strata_state.m910002_keys OWNER TO strata_guard_bob');
RESET ROLE;
REASSIGN OWNED BY strata_guard_ann TO strata_guard_bob;
SELECT relname, relowner::regrole FROM pg_class WHERE relname ~ '^m910002_' OR relname = 'dim_renamed' ORDER BY 1;

-- past the guard: the command goes through, and the models say so
BEGIN;
SET client_min_messages = notice;
SET LOCAL strata.guard_enforce = off;
DROP FUNCTION raw2.twice(numeric) CASCADE;
DROP TABLE "G".dim_renamed;
SELECT relation_name, version, applied_version, pending, hash FROM strata_state.model ORDER BY id;
SELECT * FROM strata.select_models('state:broken');
ROLLBACK;
-- the setting is back with the transaction
SELECT attempt('DROP TABLE "G".dim_renamed') ~ 'would break' AS refused;

-- an extension that is being created, and the absence of the extension, are not in its way
SET client_min_messages = warning;
BEGIN;
DROP EXTENSION pg_strata CASCADE;
DROP TABLE raw2.whole CASCADE;
ALTER SCHEMA "G" RENAME TO g;
CREATE EXTENSION pg_strata;
SELECT attempt('DROP TABLE g.dim_renamed');
ROLLBACK;

BEGIN;
SET LOCAL strata.guard_enforce = off;
SET LOCAL client_min_messages = error;
DROP SCHEMA "G", raw2 CASCADE;
DROP TABLE strata_state.m910002_keys;
DELETE FROM strata_state.model;
DELETE FROM strata_state.source;
COMMIT;
SELECT relname FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m9';
DROP VIEW registry;
DROP FUNCTION attempt(text);
DROP FUNCTION model(integer, text, text, text, text, text[], jsonb);
DROP ROLE strata_guard_ann, strata_guard_bob;
