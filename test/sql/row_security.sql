-- Row-level security: followed by changes as long as no policy applies to the model's owner; in full, and of what the owner sees, from then on.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_rls_owner;
CREATE ROLE regress_rls_other;
CREATE ROLE regress_rls_group;
CREATE SCHEMA rs;
GRANT USAGE, CREATE ON SCHEMA rs TO regress_rls_owner, regress_rls_other;
SET search_path = rs, public;
-- how each was refreshed, what verify says, the ids it shows
CREATE FUNCTION r(models text DEFAULT 'schema:rs', OUT model text, OUT how text, OUT verified text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE last bigint;
BEGIN
    PERFORM FROM strata.refresh(models);
    SELECT max(run) INTO last FROM strata.runs WHERE kind = 'refresh';
    RETURN QUERY SELECT s.model, regexp_replace(coalesce(s.method, s.action), 'full: .*row-level security.*', 'full: row-level security'), v.status
      FROM strata.steps AS s LEFT JOIN strata.verify(models) AS v ON v.model = s.model WHERE s.run = last ORDER BY s.model;
END $$;
GRANT EXECUTE ON FUNCTION r TO PUBLIC;

SET ROLE regress_rls_owner;
CREATE TABLE s (id integer PRIMARY KEY, g integer);
ALTER TABLE s ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON s USING (g = 1);
INSERT INTO s SELECT i, i % 3 FROM generate_series(1, 9) AS i;
GRANT SELECT, TRIGGER ON s TO regress_rls_other;
CREATE VIEW seen AS SELECT id, g FROM s;
GRANT SELECT ON seen TO regress_rls_other;
-- policies do not apply to the table's owner
SELECT strata.define_mart('rs.m', 'SELECT g, count(*) AS n FROM rs.s GROUP BY g', refresh => 'incremental');
SELECT strata.define_staging('rs.stg', 'SELECT id, g FROM rs.s WHERE id > 0');
GRANT SELECT ON stg TO regress_rls_other;
SELECT strata.define_mart('rs.over_view', 'SELECT id, g FROM rs.stg', key => '{id}', refresh => 'incremental');
SELECT * FROM r();
INSERT INTO s VALUES (10, 1);
UPDATE s SET g = 2 WHERE id = 1;
SELECT * FROM r();
-- they do to others: refused with what to do
SET ROLE regress_rls_other;
SELECT strata.define_mart('rs.other', 'SELECT id, g FROM rs.s', key => '{id}', refresh => 'incremental');
SELECT strata.define_mart('rs.other', 'SELECT id, g FROM rs.s', key => '{id}');
-- a view shows what its owner sees, whoever reads it
SELECT strata.define_mart('rs.other_view', 'SELECT id, g FROM rs.seen', key => '{id}');
SELECT strata.define_mart('rs.other_staging', 'SELECT id, g FROM rs.stg', key => '{id}');
RESET ROLE;
SELECT * FROM r();
SELECT (SELECT array_agg(id ORDER BY id) FROM other) AS other, (SELECT count(*) FROM other_view) AS other_view, (SELECT count(*) FROM other_staging) AS other_staging;
INSERT INTO s VALUES (11, 1), (12, 2);
SELECT * FROM r();
SELECT (SELECT array_agg(id ORDER BY id) FROM other) AS other, (SELECT count(*) FROM other_view) AS other_view;

-- ---- they come to apply to the owner: with no row changed ----
ALTER TABLE s FORCE ROW LEVEL SECURITY;
SELECT * FROM r('rs.m rs.over_view rs.stg');
SELECT * FROM m;
SELECT count(*) FROM over_view WHERE g <> 1;
INSERT INTO s VALUES (13, 1), (14, 2);
SELECT * FROM r('rs.m rs.over_view');
SELECT * FROM m;
-- also for those who read a view of that owner
SELECT * FROM r('rs.other_view rs.other_staging');
SELECT count(*) FROM other_view WHERE g <> 1;
ALTER TABLE s NO FORCE ROW LEVEL SECURITY;
SELECT * FROM r('rs.m rs.over_view rs.other_view rs.other_staging');
SELECT * FROM m ORDER BY g;
-- capture was lost with that: once more
INSERT INTO s VALUES (15, 1), (16, 2);
SELECT * FROM r('rs.m rs.over_view');
SELECT * FROM r('rs.m rs.over_view');

-- ---- another owner of the table: nothing is told to anybody ----
ALTER ROLE regress_rls_owner BYPASSRLS;
ALTER TABLE s OWNER TO regress_rls_group;
GRANT SELECT, TRIGGER ON s TO regress_rls_owner;
SELECT * FROM r('rs.m rs.over_view');
INSERT INTO s VALUES (17, 1), (18, 2);
SELECT * FROM r('rs.m rs.over_view');
-- BYPASSRLS is taken away
ALTER ROLE regress_rls_owner NOBYPASSRLS;
SELECT * FROM r('rs.m rs.over_view');
SELECT * FROM m;
SELECT count(*) FROM over_view WHERE g <> 1;
INSERT INTO s VALUES (19, 1), (20, 2);
SELECT * FROM r('rs.m rs.over_view');
SELECT * FROM m;
-- membership in the table's owner
GRANT regress_rls_group TO regress_rls_owner;
SELECT * FROM r('rs.m rs.over_view');
INSERT INTO s VALUES (21, 1), (22, 2);
SELECT * FROM r('rs.m rs.over_view');
SELECT * FROM m ORDER BY g;
REVOKE regress_rls_group FROM regress_rls_owner;
SELECT * FROM r('rs.m rs.over_view');
SELECT * FROM m;
-- come and gone between two refreshes, with rows changed: as if it had not been
GRANT regress_rls_group TO regress_rls_owner;
SELECT * FROM r('rs.m');
REVOKE regress_rls_group FROM regress_rls_owner;
INSERT INTO s VALUES (23, 1), (24, 2);
GRANT regress_rls_group TO regress_rls_owner;
SELECT * FROM r('rs.m');

-- ---- a superuser's model; the target's own policies hide nothing from what reads it ----
SELECT strata.define_mart('rs.super', 'SELECT g, sum(id) AS total FROM rs.s GROUP BY g', refresh => 'incremental');
SELECT * FROM r('rs.super');
INSERT INTO s VALUES (25, 1), (26, 2);
SELECT * FROM r('rs.super');
ALTER TABLE over_view ENABLE ROW LEVEL SECURITY;
SET ROLE regress_rls_owner;
SELECT strata.define_mart('rs.above', 'SELECT g, count(*) AS n FROM rs.over_view GROUP BY g', refresh => 'incremental');
RESET ROLE;
SELECT * FROM r('rs.over_view+');
INSERT INTO s VALUES (27, 1), (28, 2);
SELECT * FROM r('rs.over_view+');
SELECT strata.drop_model('rs.above');
SELECT strata.drop_model('rs.' || name) FROM unnest('{super,other_staging,other_view,other,over_view,stg,m}'::text[]) AS name;
DROP SCHEMA rs CASCADE;
DROP OWNED BY regress_rls_owner, regress_rls_other, regress_rls_group;
DROP ROLE regress_rls_owner, regress_rls_other, regress_rls_group;
