-- runlog: who sees which runs and steps, and what of them
\pset footer off
CREATE ROLE strata_runlog_team;
CREATE ROLE strata_runlog_ann IN ROLE strata_runlog_team;
CREATE ROLE strata_runlog_bob;
CREATE SCHEMA runlog_mart AUTHORIZATION strata_runlog_team;
CREATE TABLE runlog_mart.sales (a integer);
ALTER TABLE runlog_mart.sales OWNER TO strata_runlog_team;
CREATE TABLE runlog_mart.costs (a integer);

INSERT INTO strata_state.model (id, schema_name, relation_name, layer, kind, query, hash, search_path, time_zone, date_style,
    interval_style, defined_by, defined_at)
SELECT id, 'runlog_mart', name, 'mart', 'table', '', '', '', 'UTC', 'ISO', 'postgres', 'x', now()
FROM (VALUES (900001, 'sales'), (900002, 'costs')) AS v(id, name);
CREATE VIEW strata_state.m900001_query AS SELECT;
CREATE VIEW strata_state.m900002_query AS SELECT;
SET strata.guard_enforce = off;
ALTER VIEW strata_state.m900001_query OWNER TO strata_runlog_team;
RESET strata.guard_enforce;
INSERT INTO strata_state.run (id, kind, models, started_at, finished_at, status, role, message)
SELECT id, kind, '*', '2026-01-01 00:00Z', '2026-01-01 00:00:02.5Z', status, role, message
FROM (VALUES (900001, 'refresh', 'failed', 'strata_runlog_team', 'key 42 is there twice'),
             (900002, 'refresh', 'succeeded', 'strata_runlog_bob', NULL),
             (900003, 'plan', 'succeeded', 'strata_runlog_gone', NULL)) AS v(id, kind, status, role, message);
INSERT INTO strata_state.step (run_id, step, model, model_id, layer, action, status, rows_in, inserted, message) VALUES
    (900001, 1, 'runlog_mart.before', 900001, 'mart', 'refresh', 'failed', 10, 3, 'key 42 is there twice'),
    (900001, 2, 'runlog_mart.costs', 900002, 'mart', 'nothing', 'skipped', NULL, NULL, NULL),
    (900002, 1, 'runlog_mart.gone', 900003, 'mart', 'build', 'succeeded', 5, 5, NULL);

SELECT run, kind, role, status, duration, message FROM strata.runs WHERE run > 900000 ORDER BY 1;
SELECT run, step, model, action, status, rows_in, inserted, message FROM strata.steps WHERE run > 900000 ORDER BY 1, 2;

-- a member of the role that ran it
SET ROLE strata_runlog_ann;
SELECT run, kind, role, status, message FROM strata.runs ORDER BY 1;
SELECT run, step, model, message FROM strata.steps ORDER BY 1, 2;
SELECT count(*) FROM strata_state.run;

-- one who may read nothing, then a model: its steps, without the message, which quotes data
SET ROLE strata_runlog_bob;
SELECT run, role FROM strata.runs ORDER BY 1;
SELECT run, step, model FROM strata.steps ORDER BY 1, 2;
RESET ROLE;
GRANT USAGE ON SCHEMA runlog_mart TO strata_runlog_bob;
GRANT SELECT ON runlog_mart.sales TO strata_runlog_bob;
SET ROLE strata_runlog_bob;
SELECT run, role FROM strata.runs ORDER BY 1;
SELECT run, step, model, status, message FROM strata.steps ORDER BY 1, 2;

-- how long everyone's runs are kept is not for one role to say
SELECT strata.version() IS NOT NULL AS loaded;
SET strata.runlog_keep = 1;
SHOW strata.runlog_keep;
RESET ROLE;

-- a deleted run takes its steps along
DELETE FROM strata_state.run WHERE id > 900000;
SELECT count(*) FROM strata.steps WHERE run > 900000;

DELETE FROM strata_state.model WHERE id > 900000;
DROP TABLE runlog_mart.sales, runlog_mart.costs;
DROP VIEW strata_state.m900001_query, strata_state.m900002_query;
DROP SCHEMA runlog_mart;
DROP ROLE strata_runlog_ann, strata_runlog_bob, strata_runlog_team;
