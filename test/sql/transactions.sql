-- transactions: a refresh is part of the transaction, the savepoint and the function that calls it.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA tx;
CREATE TABLE tx.source (id integer PRIMARY KEY, v text);
INSERT INTO tx.source VALUES (1, 'a'), (2, 'b');
SELECT strata.define_dimension('tx.dim', 'SELECT id, v FROM tx.source', key => '{id}', history => '{v}');
SELECT strata.define_mart('tx.keyed', 'SELECT id, v FROM tx.source', key => '{id}');
SELECT strata.define_mart('tx.bag', 'SELECT v FROM tx.source');
CREATE VIEW tx.state AS
SELECT (SELECT string_agg(concat_ws(' ', id, v, valid_to::date), ', ' ORDER BY id, valid_from) FROM tx.dim WHERE dim_key > 0) AS dim,
       (SELECT string_agg(v, '' ORDER BY id) FROM tx.keyed) AS keyed, (SELECT string_agg(v, '' ORDER BY v) FROM tx.bag) AS bag,
       (SELECT count(*) FROM strata.runs r JOIN strata.steps s USING (run) WHERE s.model LIKE 'tx.%') AS steps;

-- rolled back whole: the first build, then a change of the source with its refresh
BEGIN;
SELECT status FROM strata.refresh('schema:tx', as_of => '2026-01-01');
SELECT * FROM tx.state;
ROLLBACK;
SELECT * FROM tx.state;
BEGIN;
INSERT INTO tx.source VALUES (3, 'c');
SELECT status, inserted FROM strata.refresh('schema:tx', as_of => '2026-01-01');
UPDATE tx.source SET v = upper(v) WHERE id = 1;
SELECT status, inserted, updated FROM strata.refresh('schema:tx', as_of => '2026-01-02');
-- by the same run time again: nothing
SELECT status FROM strata.refresh('schema:tx', as_of => '2026-01-02');
COMMIT;
SELECT * FROM tx.state;

-- savepoints
BEGIN;
SAVEPOINT one;
DELETE FROM tx.source WHERE id = 2;
UPDATE tx.source SET v = 'z' WHERE id = 3;
SELECT status, inserted, updated, deleted FROM strata.refresh('schema:tx', as_of => '2026-01-03');
ROLLBACK TO SAVEPOINT one;
SELECT * FROM tx.state;
SELECT status FROM strata.refresh('schema:tx', as_of => '2026-01-03');
SAVEPOINT two;
SELECT status FROM strata.refresh('schema:tx', as_of => '2026-01-03', full_rebuild => true);
ROLLBACK TO SAVEPOINT two;
SELECT strata.define_mart('tx.keyed', 'SELECT id, v, 1 AS added FROM tx.source', key => '{id}');
SELECT status FROM strata.refresh('tx.keyed', as_of => '2026-01-03');
ROLLBACK TO SAVEPOINT two;
SELECT strata.drop_model('tx.dim');
ROLLBACK TO SAVEPOINT two;
SELECT status FROM strata.refresh('schema:tx', as_of => '2026-01-03');
COMMIT;
SELECT * FROM tx.state;
SELECT strata.define_mart('tx.keyed', 'SELECT id, v FROM tx.source', key => '{id}');

-- an error in a subtransaction leaves nothing suspended, entered or locked
DO $$
BEGIN
    BEGIN
        INSERT INTO tx.source VALUES (4, 'd');
        PERFORM strata.refresh('schema:tx', as_of => '2026-01-04');
        RAISE EXCEPTION 'no';
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING '% as %, search_path %', SQLERRM, current_user = session_user, current_setting('search_path');
    END;
    PERFORM strata.refresh('schema:tx', as_of => '2026-01-04');
END $$;
SELECT * FROM tx.state;
-- the guard stands again
DROP TABLE tx.keyed;

-- functions and procedures
CREATE FUNCTION tx.again() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM strata.refresh('schema:tx', as_of => '2026-01-05', full_rebuild => true) $$;
SELECT tx.again() + tx.again() AS twice;
CREATE FUNCTION tx.stable() RETURNS bigint STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM strata.refresh('schema:tx', as_of => '2026-01-05', full_rebuild => true)); END $$;
SELECT tx.stable();
CREATE PROCEDURE tx.procedure() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tx.source VALUES (5, 'e');
    PERFORM strata.refresh('schema:tx', as_of => '2026-01-06');
    COMMIT;
    DELETE FROM tx.source WHERE id = 5;
    PERFORM strata.refresh('tx.keyed tx.bag', as_of => '2026-01-07');
    ROLLBACK;
END $$;
CALL tx.procedure();
SELECT * FROM tx.state;

-- a cursor on the target sees what it saw; storage it holds is not exchanged
BEGIN;
DECLARE c CURSOR FOR SELECT v FROM tx.bag ORDER BY v;
FETCH 1 FROM c;
UPDATE tx.source SET v = v || v;
SELECT model, inserted, updated, deleted FROM strata.refresh('schema:tx', as_of => '2026-01-08', full_rebuild => true) ORDER BY 1;
FETCH ALL FROM c;
COMMIT;
SELECT * FROM tx.state;
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT v FROM tx.keyed ORDER BY id LOOP
        UPDATE tx.source SET v = lower(r.v) WHERE v = r.v;
        PERFORM strata.refresh('tx.keyed', as_of => '2026-01-09');
    END LOOP;
END $$;
SELECT * FROM tx.state;

-- inside other commands
CREATE TABLE tx.made AS SELECT strata.define_fact('tx.fact', 'SELECT id FROM tx.source', grain => '{id}',
    dimensions => '{"dim_key": {"dimension": "tx.dim", "on": ["id"]}}') AS result;
CREATE TABLE tx.ran AS SELECT * FROM strata.refresh('tx.dim tx.fact', as_of => '2026-01-10');
SELECT result, (SELECT count(*) FROM tx.ran) AS ran, (SELECT count(*) FROM tx.fact) AS rows FROM tx.made;
\o /dev/null
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) CREATE TABLE tx.explained AS SELECT strata.drop_model('tx.fact');
\o
PREPARE again AS SELECT model, status FROM strata.refresh('tx.keyed', as_of => '2026-01-11');
EXECUTE again;
SELECT strata.define_mart('tx.keyed', 'SELECT id, v, 1 AS added FROM tx.source', key => '{id}');
EXECUTE again;
BEGIN READ ONLY;
SELECT count(*) FROM strata.refresh('tx.keyed');
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM strata.plan('schema:tx');
ROLLBACK;
-- stopped in the middle
INSERT INTO tx.source VALUES (9, 'slow');
CREATE FUNCTION tx.slow() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN 1; END $$;
SELECT strata.define_mart('tx.zz', 'SELECT tx.slow() AS a FROM tx.keyed', refresh => 'full');
SET statement_timeout = '200ms';
SELECT count(*) FROM strata.refresh('schema:tx', as_of => '2026-01-12');
RESET statement_timeout;
SELECT * FROM tx.state;
SELECT current_user = session_user AS myself, current_setting('search_path') AS path;
SELECT strata.drop_model('tx.zz');
SELECT status FROM strata.refresh('schema:tx', as_of => '2026-01-12');
SELECT * FROM tx.state;
DROP VIEW tx.state;
SELECT strata.drop_model('tx.dim'), strata.drop_model('tx.keyed'), strata.drop_model('tx.bag');
DROP SCHEMA tx CASCADE;
