-- capture: changed rows of sources, for whoever follows them. Nothing here is dumped: a position means nothing elsewhere.

-- One row per captured table: the root of its partitions or children.
CREATE TABLE strata_state.capture (
    relid       oid PRIMARY KEY,
    kept        boolean NOT NULL DEFAULT false,     -- by hand: stays without consumers
    state       text NOT NULL CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY['wanted', 'on', 'stopped', 'leaving'])),
    why         text,                               -- why it is not on, or why positions of an older generation are void
    since       xid8,                               -- who switched it on, holding off writers for a moment
    generation  bigint NOT NULL DEFAULT 0,
    storage     text,                               -- files of the table and its partitions, as they were then
    triggers    text                                -- its triggers, likewise
);

-- The ring of change tables c<relid>_0..3. Closing: writers may still be in it; sealed: none is, as of the snapshot.
CREATE TABLE strata_state.capture_segment (
    relid       oid NOT NULL,
    segment     integer NOT NULL,
    state       text NOT NULL CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY['current', 'closing', 'sealed', 'free'])),
    rotated     xid8,
    sealed      pg_snapshot,
    PRIMARY KEY (relid, segment)
);

CREATE TABLE strata_state.capture_consumer (
    relation    oid NOT NULL,                       -- what it reads: the captured table, or a partition of it
    consumer    text NOT NULL,
    relid       oid NOT NULL,
    position    pg_snapshot,                        -- NULL: its next refresh is a full one
    own_xid     xid8,
    own_step    bigint,
    generation  bigint,
    system_id   bigint,
    why         text,                               -- why there is no position
    advanced_at timestamptz,
    starts      bigint[],                           -- from which page on it reads: see src/capture/capture_start.c
    PRIMARY KEY (relation, consumer)
);
CREATE INDEX ON strata_state.capture_consumer (relid);

-- Changes whose rows are not known. Written by base statements: no index, no constraint, so nothing to wait for.
CREATE TABLE strata_state.capture_mark (
    relid       oid,
    xid         xid8,
    step        bigint,
    why         text
);

-- search_path not pinned: hot, and runs no SQL
CREATE FUNCTION strata_state.capture_statement() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'strata_capture_statement';
-- a second trigger of anybody's would record each row twice
REVOKE ALL ON FUNCTION strata_state.capture_statement() FROM PUBLIC;

-- search_path not pinned: the names in a command are found as the command finds them; its SQL runs as the keeper, which pins
CREATE FUNCTION strata_state.capture_command_end() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'strata_capture_command_end';
CREATE FUNCTION strata_state.capture_sql_drop() RETURNS event_trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'strata_capture_sql_drop';

CREATE EVENT TRIGGER strata_capture_command_end ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'ALTER TYPE', 'CREATE TABLE', 'CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION', 'DROP SUBSCRIPTION')
    EXECUTE FUNCTION strata_state.capture_command_end();
COMMENT ON EVENT TRIGGER strata_capture_command_end IS 'pg_strata: capture follows the shape of its sources';
CREATE EVENT TRIGGER strata_capture_sql_drop ON sql_drop
    EXECUTE FUNCTION strata_state.capture_sql_drop();
COMMENT ON EVENT TRIGGER strata_capture_sql_drop IS 'pg_strata: capture ends with its source';
ALTER EVENT TRIGGER strata_capture_command_end ENABLE ALWAYS;
ALTER EVENT TRIGGER strata_capture_sql_drop ENABLE ALWAYS;

CREATE FUNCTION strata.capture(source text) RETURNS text
    LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'strata_capture_keep';
COMMENT ON FUNCTION strata.capture(text) IS
'Records the changed rows of source from now on, for the models that read it; models ask for it by themselves, this does it beforehand, or again at once.
source: schema.table; a partition stands for its whole table. Gives its state: on, or wanted when writers did not let it in
within strata.capture_lock_timeout (a later refresh tries again).
Errors: 42704 no such table, 42501 no TRIGGER privilege, 0A000 a table that cannot be captured.
Example: SELECT strata.capture(''public.orders'')';

CREATE FUNCTION strata.uncapture(source text) RETURNS void
    LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'strata_capture_unkeep';
COMMENT ON FUNCTION strata.uncapture(text) IS
'Undoes strata.capture(): the triggers of source go, when no model follows its changes.
source: schema.table. Errors: 42704 no such table or not captured, 42501 not the owner of it, 55006 a model follows its changes.
Example: SELECT strata.uncapture(''public.orders'')';

CREATE FUNCTION strata_state.capture_backlog(relation oid, consumer text) RETURNS bigint
    LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'strata_capture_backlog';

-- One row per consumer; one with consumer NULL where there is none.
CREATE VIEW strata.captures WITH (security_barrier) AS
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS source,
       k.consumer,
       CASE WHEN p.state OPERATOR(pg_catalog.<>) 'on' THEN p.state
            WHEN k.consumer IS NULL THEN 'on'
            WHEN k.position IS NULL OR k.generation OPERATOR(pg_catalog.<>) p.generation THEN 'full refresh'
            ELSE 'on' END AS status,
       CASE WHEN p.state OPERATOR(pg_catalog.<>) 'on' THEN p.why
            WHEN k.consumer IS NULL THEN NULL
            WHEN k.position IS NULL THEN k.why
            WHEN k.generation OPERATOR(pg_catalog.<>) p.generation THEN p.why END AS reason,
       strata_state.capture_backlog(k.relation, k.consumer) AS backlog,
       k.position,
       k.advanced_at,
       s.segments,
       s.size
  FROM strata_state.capture p
  LEFT JOIN strata_state.capture_consumer k ON k.relid OPERATOR(pg_catalog.=) p.relid
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) COALESCE(k.relation, p.relid)
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 CROSS JOIN LATERAL (
       SELECT pg_catalog.count(*) FILTER (WHERE g.state OPERATOR(pg_catalog.<>) 'free') AS segments,
              pg_catalog.sum(pg_catalog.pg_total_relation_size(t.oid))::bigint AS size
         FROM strata_state.capture_segment g
         JOIN pg_catalog.pg_class t ON t.relname OPERATOR(pg_catalog.=) pg_catalog.format('c%s_%s', g.relid, g.segment)::name
         JOIN pg_catalog.pg_namespace h ON h.oid OPERATOR(pg_catalog.=) t.relnamespace AND h.nspname OPERATOR(pg_catalog.=) 'strata_state'
        WHERE g.relid OPERATOR(pg_catalog.=) p.relid) s
 WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.has_table_privilege(c.oid, 'SELECT');
COMMENT ON VIEW strata.captures IS 'Captured sources and who follows their changes: state, rows waiting, position, segments and bytes held.';

GRANT SELECT ON strata.captures TO PUBLIC;
