-- guard: event triggers that keep DDL from breaking models, and the registry in step with names and owners.

-- search_path not pinned: the names in a command are found as the command finds them; its SQL runs as the keeper, which pins
CREATE FUNCTION strata_state.guard_command_start() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'strata_guard_command_start';
-- search_path not pinned: the names in a command are found as the command finds them; its SQL runs as the keeper, which pins
CREATE FUNCTION strata_state.guard_command_end() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'strata_guard_command_end';
-- search_path not pinned: the names in a command are found as the command finds them; its SQL runs as the keeper, which pins
CREATE FUNCTION strata_state.guard_sql_drop() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'strata_guard_sql_drop';

CREATE EVENT TRIGGER strata_guard_command_start ON ddl_command_start
    WHEN TAG IN ('DROP TABLE', 'DROP VIEW', 'DROP MATERIALIZED VIEW', 'DROP FOREIGN TABLE', 'DROP SCHEMA', 'DROP TYPE',
                 'DROP DOMAIN', 'DROP FUNCTION', 'DROP AGGREGATE', 'DROP PROCEDURE', 'DROP ROUTINE', 'ALTER TABLE', 'ALTER VIEW',
                 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER SCHEMA', 'CREATE VIEW')
    EXECUTE FUNCTION strata_state.guard_command_start();
COMMENT ON EVENT TRIGGER strata_guard_command_start IS 'pg_strata: refuses DDL that would break models';

CREATE EVENT TRIGGER strata_guard_sql_drop ON sql_drop
    EXECUTE FUNCTION strata_state.guard_sql_drop();
COMMENT ON EVENT TRIGGER strata_guard_sql_drop IS 'pg_strata: refuses drops that would break models';

CREATE EVENT TRIGGER strata_guard_command_end ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER SCHEMA', 'CREATE VIEW')
    EXECUTE FUNCTION strata_state.guard_command_end();
COMMENT ON EVENT TRIGGER strata_guard_command_end IS 'pg_strata: the registry follows renames and changes of owner; no view closes a circle of models';

-- Targets of models kept by changes that somebody else wrote to since the last full refresh. Not dumped: it follows in full anyway.
CREATE TABLE strata_state.edit (
    model_id integer NOT NULL,
    at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
    role     name NOT NULL DEFAULT SESSION_USER
);

CREATE FUNCTION strata_state.note_edit() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'strata_guard_note_edit';
-- its argument names a model: a trigger of anybody's would have others' models computed in full
REVOKE ALL ON FUNCTION strata_state.note_edit() FROM PUBLIC;
