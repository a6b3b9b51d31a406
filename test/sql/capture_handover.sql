-- capture_handover: what a run writes into targets that its later models read stays in memory
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/kept.sql
\set ECHO all
CREATE SCHEMA ho;
SET search_path = ho, public;
CREATE TABLE t (id integer PRIMARY KEY, a integer NOT NULL, g integer NOT NULL, note text);
INSERT INTO t SELECT i, i % 7, i % 5, 'note ' || i FROM generate_series(1, 500) AS i;

-- rows in the change tables of targets; nothing where there are none
CREATE FUNCTION recorded() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    c record;
    n bigint;
BEGIN
    FOR c IN SELECT m.relation_name, p.relid FROM strata_state.model AS m
               JOIN pg_class AS k ON k.relname = m.relation_name AND k.relnamespace = m.schema_name::text::regnamespace
               JOIN strata_state.capture AS p ON p.relid = k.oid WHERE m.schema_name = 'ho' ORDER BY 1
    LOOP
        EXECUTE format('SELECT count(*) FROM strata_state.c%s_0', c.relid) INTO n;
        IF n > 0 OR pg_relation_size(format('strata_state.c%s_0', c.relid)) > 0 THEN
            RETURN NEXT format('%s: %s rows', c.relation_name, n);
        END IF;
    END LOOP;
END $$;
CREATE FUNCTION empty() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT relid FROM strata_state.capture LOOP
        EXECUTE format('TRUNCATE strata_state.c%s_0', c.relid);
    END LOOP;
END $$;
-- a refresh: what was not done by changes, what is not right; then what was recorded
CREATE FUNCTION go(models text DEFAULT 'schema:ho') RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT concat_ws(' | ', k.model, k.how, k.wrote, k.holds) FROM oracle.kept(models) AS k;
    RETURN QUERY SELECT * FROM recorded();
    RETURN QUERY SELECT v.model || ' ' || v.status FROM strata.verify('schema:ho') AS v WHERE v.status NOT IN ('equal', 'skipped', 'stale') ORDER BY 1;
END $$;

SELECT strata.define_mart('ho.one', 'SELECT id, a, g, note FROM ho.t WHERE a < 6', key => '{id}');
SELECT strata.define_mart('ho.two', 'SELECT id, a * 2 AS b, g FROM ho.one', key => '{id}');
SELECT strata.define_mart('ho.sums', 'SELECT g, count(*) AS n, sum(b) AS b FROM ho.two GROUP BY g', key => '{g}');
-- reads two of them, and the source
SELECT strata.define_mart('ho.zall', 'SELECT o.id, o.a, w.b, t.a AS c FROM ho.one AS o JOIN ho.two AS w USING (id) JOIN ho.t AS t USING (id)', key => '{id}');
SELECT count(*) FROM strata.refresh('schema:ho');
SELECT count(*) FROM strata.refresh('schema:ho');
SELECT * FROM recorded();

-- everybody is there: nothing is recorded
UPDATE t SET a = a + 1 WHERE id <= 20; DELETE FROM t WHERE id = 30; INSERT INTO t VALUES (1000, 1, 1, 'new');
SELECT * FROM go();
SELECT * FROM go();

-- one of them is left out: it finds what it needs
UPDATE t SET a = a + 1, note = note || '.' WHERE id BETWEEN 40 AND 45;
SELECT * FROM go('ho.one ho.two ho.sums');
UPDATE t SET a = 0 WHERE id BETWEEN 43 AND 47;
SELECT * FROM go('ho.one ho.two ho.zall');
SELECT * FROM go();
SELECT empty();

-- rolled back: around it, and with it
BEGIN;
UPDATE t SET a = 3 WHERE id BETWEEN 50 AND 55;
SAVEPOINT a;
SELECT * FROM go();
ROLLBACK TO a;
UPDATE t SET a = 4 WHERE id BETWEEN 54 AND 57;
SELECT * FROM go();
SAVEPOINT b;
DELETE FROM t WHERE id BETWEEN 60 AND 62;
SELECT * FROM go();
ROLLBACK TO b;
DELETE FROM t WHERE id = 61;
RELEASE b;
COMMIT;
SELECT * FROM go();

-- twice in a transaction, and targets changed by hand before, between and after
BEGIN;
INSERT INTO one VALUES (-1, 1, 1, 'by hand');
UPDATE t SET a = 2 WHERE id BETWEEN 70 AND 75;
SELECT count(*) FROM strata.refresh('ho.one ho.two');
DELETE FROM two WHERE id = 71;
UPDATE t SET a = 1 WHERE id BETWEEN 72 AND 77;
SELECT count(*) FROM strata.refresh('ho.two ho.one ho.sums ho.zall');
UPDATE one SET a = 9 WHERE id = 73;
COMMIT;
SELECT * FROM go();
SELECT empty();

-- a check fails: all is undone, and nobody stands where it did not come to
SELECT strata.define_check('ho.sums', 'expression', options => '{"expression": "b < 100000"}') IS NULL AS no;
UPDATE t SET a = 5 WHERE id BETWEEN 80 AND 85;
UPDATE t SET a = -1000000 WHERE id = 86;
UPDATE t SET a = 1000 - 5000 * id WHERE id = 87;
INSERT INTO t VALUES (2000, -5, 1, NULL);
SELECT strata.define_check('ho.sums', 'row_count', options => '{"max": 5}') IS NULL AS no;
INSERT INTO t VALUES (2001, 1, 99, NULL);
SELECT model, status, message FROM strata.refresh('schema:ho', on_error => 'record');
SELECT * FROM strata.refresh('schema:ho');
SELECT model, deleted, inserted FROM strata.plan('schema:ho', data => true);
SELECT * FROM recorded();
DELETE FROM t WHERE id = 2001;
SELECT * FROM go();

-- an error that the caller catches
CREATE FUNCTION caught() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM strata.refresh('schema:ho');
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
    RETURN 'caught';
END $$;
UPDATE t SET a = 1 WHERE id BETWEEN 90 AND 95;
SELECT caught();
SELECT * FROM go();

-- a step that cannot be done by changes and is done otherwise: rows that never stand side by side meet in a difference
SELECT strata.define_mart('ho.quot', 'SELECT w.id, 100 / (o.a - w.b + 1000) AS q FROM ho.one AS o JOIN ho.two AS w ON w.id = o.id', key => '{id}');
SELECT strata.define_mart('ho.quots', 'SELECT q, count(*) AS n FROM ho.quot GROUP BY q', key => '{q}');
SELECT count(*) FROM strata.refresh('schema:ho');
SELECT count(*) FROM strata.refresh('schema:ho');
UPDATE t SET a = -998 WHERE id = 121;
SELECT * FROM go();
UPDATE t SET a = 1 WHERE id = 121;
SELECT * FROM go();
-- and one that failed when its rows were written
CREATE SEQUENCE tick;
CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('ho.tick') = 1 THEN PERFORM 1 / (currval('ho.tick') - 1); END IF; RETURN NULL; END $$;
CREATE TRIGGER zzz AFTER UPDATE ON two FOR EACH STATEMENT EXECUTE FUNCTION once();
UPDATE t SET a = 2 WHERE id IN (123, 124);
SELECT * FROM go();
DROP TRIGGER zzz ON two;

-- more rows than memory is given, and long ones; read where they stand, and taken together; then through a storage that is replaced
CREATE FUNCTION fine() RETURNS SETOF text LANGUAGE sql AS $$ SELECT g FROM go() AS g WHERE g !~ '\| equal$' $$;
SET work_mem = '64kB';
SET strata.incremental_rule = 'algebra';
SET strata.delta_swap_share = 1;
UPDATE t SET note = repeat(id || ' ', 1000) WHERE id % 7 = 0;
ALTER TABLE one ALTER note SET STORAGE EXTERNAL;
SELECT strata.define_mart('ho.notes', 'SELECT id, length(note) AS length, md5(note) AS sum FROM ho.one', key => '{id}');
SELECT strata.define_mart('ho.initials', 'SELECT left(note, 1) AS i, count(*) AS n, sum(a) AS a FROM ho.one GROUP BY 1');
SELECT * FROM fine();
INSERT INTO t SELECT i, i % 6, i % 5, repeat(md5(i::text), 10) FROM generate_series(3001, 5700) AS i;
SELECT * FROM fine();
UPDATE t SET a = a + 1, note = note || CASE WHEN id % 50 = 0 THEN repeat(md5(id::text), 2000) ELSE '' END;
SELECT * FROM fine();
UPDATE t SET a = 2 - a % 2, note = note || '!' WHERE id % 50 = 0;
SELECT * FROM fine();
UPDATE t SET note = left(note, 10) WHERE id % 25 = 0;
SELECT * FROM fine();
SELECT count(*) > 5 FROM strata.refresh('ho.*', full_rebuild => true);
SELECT * FROM fine();
RESET work_mem;
RESET strata.incremental_rule;
RESET strata.delta_swap_share;
UPDATE t SET a = 7 - a;
SELECT * FROM fine();

-- whose changes somebody asked for by hand: recorded
SELECT strata.capture('ho.two');
UPDATE t SET a = 1 WHERE id BETWEEN 130 AND 133;
SELECT * FROM go();
SELECT strata.drop_model('ho.notes'), strata.drop_model('ho.initials'), strata.drop_model('ho.quot', true);

-- facts that infer members: they write what they read themselves; and facts in partitions
CREATE TABLE client (id integer, v text);
CREATE TABLE sale (id integer, client integer, day date NOT NULL);
INSERT INTO client SELECT i, 'a' FROM generate_series(1, 3) AS i;
INSERT INTO sale SELECT i, i % 4, date '2026-01-01' + 20 * i FROM generate_series(1, 8) AS i;
SELECT strata.define_dimension('ho.d', 'SELECT id, v FROM ho.client', key => '{id}', history => '{v}');
SELECT strata.define_mart('ho.members', 'SELECT is_current, count(*) AS n, count(v) AS v FROM ho.d GROUP BY is_current', key => '{is_current}');
SELECT strata.define_fact('ho.f', 'SELECT id, client, day FROM ho.sale', grain => '{id,day}', partition_by => 'day', partitions_ahead => 0,
    dimensions => '{"ck": {"dimension": "ho.d", "on": {"client": "id"}, "missing": "infer"}}');
SELECT strata.define_mart('ho.per_client', 'SELECT d.id AS client, count(*) AS n, max(f.day) AS last FROM ho.f AS f JOIN ho.d AS d ON d.d_key = f.ck GROUP BY d.id', key => '{client}');
SELECT count(*) FROM strata.refresh('ho.d ho.members ho.f ho.per_client', as_of => '2026-01-01');
SELECT count(*) FROM strata.refresh('ho.d ho.members ho.f ho.per_client', as_of => '2026-01-02');
INSERT INTO sale VALUES (20, 77, '2026-03-03'), (21, 78, '2026-09-03'); UPDATE client SET v = 'b' WHERE id = 2; DELETE FROM sale WHERE id = 3;
SELECT * FROM go('ho.d ho.members ho.f ho.per_client');
SELECT n, v FROM members ORDER BY is_current;
INSERT INTO client VALUES (77, 'real'); INSERT INTO sale VALUES (22, 79, '2026-09-04'), (23, 1, '2026-09-04');
SELECT * FROM go('ho.f ho.per_client');
SELECT * FROM go('ho.d ho.f ho.per_client');
SELECT * FROM go('ho.d ho.members ho.f ho.per_client');

SELECT strata.drop_model('ho.d', true), strata.drop_model('ho.one', true);
DROP SCHEMA ho CASCADE;
DROP SCHEMA oracle CASCADE;
