-- dimension_feed: a feed of changes (operation, sequence): a pure function of the feed
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA fd;
-- all that happened; and what has been delivered of it
CREATE TABLE fd.all_changes (n integer, id integer, op text, nom text, secteur text, code text, le timestamptz);
INSERT INTO fd.all_changes VALUES
  (1, 1, 'I', 'Kouassi', 'bois', 'K', '2025-01-01'), (2, 1, 'U', 'Kouassi', 'cacao', 'x', '2025-01-05'), (3, 1, 'D', NULL, NULL, NULL, '2025-01-10'),
  (4, 1, 'insert', 'Kouassi bis', 'cacao', 'y', '2025-01-20'), (5, 2, 'c', 'Yao', 'riz', 'Y', '2025-01-02'), (6, 2, 'u', 'Yao', 'riz', 'Y', '2025-01-03'),
  (7, 2, 'update', 'YAO', 'mil', 'z', '2025-01-03'), (8, 3, 'D', NULL, NULL, NULL, '2025-01-01'), (9, 3, 'r', 'Bamba', 'or', 'B', '2025-01-04'),
  (10, 3, 'delete', NULL, NULL, NULL, '2025-01-06'), (11, 3, 'D', NULL, NULL, NULL, '2025-01-07'), (12, 2, 'U', 'Yao', 'riz', 'Y', '2025-01-02 12:00');
CREATE TABLE fd.changes (LIKE fd.all_changes);
CREATE FUNCTION fd.define(deletes text) RETURNS text LANGUAGE sql AS
$$ SELECT strata.define_dimension('fd.dim_client', 'SELECT * FROM fd.changes', key => '{id}', history => '{secteur}', fixed => '{code}',
          effective_from => 'le', operation => 'op', sequence => 'n', deletes => deletes) $$;
CREATE FUNCTION fd.state() RETURNS TABLE (line text) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT (to_jsonb(d.*) - 'client_key')::text FROM fd.dim_client d WHERE client_key <> 0 ORDER BY id, valid_from;
END $$;
SELECT fd.define(NULL);
INSERT INTO fd.changes SELECT * FROM fd.all_changes;
SELECT inserted FROM strata.refresh('fd.dim_client', as_of => '2025-02-01');

-- ---- rule: same instant: greatest sequence wins; deletes close; a return keeps the gap; fixed the first; overwritten the last ----
SELECT id, nom, secteur, code, valid_from, valid_to, is_current FROM fd.dim_client WHERE client_key <> 0 ORDER BY id, valid_from;
CREATE TABLE fd.expected AS SELECT * FROM fd.state();

-- ---- rule: the same feed again changes nothing ----
SELECT oracle.note('fd.dim_client');
UPDATE fd.changes SET nom = nom;
SELECT inserted, updated, deleted FROM strata.refresh('fd.dim_client', as_of => '2025-02-02');
SELECT inserted, updated, deleted FROM strata.refresh('fd.dim_client', as_of => '2025-02-02', full_rebuild => true);
SELECT oracle.moved('fd.dim_client');

-- ---- rule: whatever the order of arrival and the split in batches, the table is the same ----
DO $$
DECLARE size integer; ordering text; differ bigint;
BEGIN
  FOREACH size IN ARRAY '{1,2,5}'::integer[] LOOP
    FOREACH ordering IN ARRAY '{n,n DESC,md5(n::text),op}'::text[] LOOP
      PERFORM strata.drop_model('fd.dim_client');
      PERFORM fd.define('close');
      FOR batch IN 0 .. 11 / size LOOP
        TRUNCATE fd.changes;
        EXECUTE format('INSERT INTO fd.changes SELECT * FROM fd.all_changes ORDER BY %s, n OFFSET %s LIMIT %s', ordering, batch * size, size);
        PERFORM strata.refresh('fd.dim_client', as_of => timestamptz '2025-02-01' + batch * interval '1 day');
      END LOOP;
      SELECT count(*) INTO differ FROM ((SELECT * FROM fd.state() EXCEPT ALL SELECT * FROM fd.expected) UNION ALL (SELECT * FROM fd.expected EXCEPT ALL SELECT * FROM fd.state())) AS d;
      RAISE WARNING 'batches of %, by %: % rows differ', size, ordering, differ;
    END LOOP;
  END LOOP;
END $$;

-- ---- rule: ignore and mark ----
SELECT fd.define('mark');
SELECT inserted, updated, deleted FROM strata.refresh('fd.dim_client', as_of => '2025-03-01');
SELECT id, nom, secteur, code, valid_from, valid_to, is_current, is_deleted FROM fd.dim_client WHERE client_key <> 0 ORDER BY id, valid_from;
SELECT fd.define('ignore');
SELECT inserted, updated, deleted FROM strata.refresh('fd.dim_client', as_of => '2025-03-02');
SELECT id, secteur, valid_from, valid_to FROM fd.dim_client WHERE client_key <> 0 ORDER BY id, valid_from;

-- ---- rule: what is no operation, a NULL sequence, rows that contradict each other: refused, with the rows ----
SELECT oracle.note('fd.dim_client');
INSERT INTO fd.changes VALUES (13, 1, 'X', 'a', 'b', 'c', '2025-01-30');
SELECT oracle.attempt($$ SELECT strata.refresh('fd.dim_client') $$);
UPDATE fd.changes SET op = NULL WHERE n = 13;
SELECT oracle.attempt($$ SELECT strata.refresh('fd.dim_client') $$);
UPDATE fd.changes SET op = 'U', n = NULL WHERE n = 13;
SELECT oracle.attempt($$ SELECT strata.refresh('fd.dim_client') $$);
UPDATE fd.changes SET n = 13 WHERE n IS NULL;
INSERT INTO fd.changes VALUES (13, 1, 'U', 'a', 'other', 'c', '2025-01-30');
SELECT oracle.attempt($$ SELECT strata.refresh('fd.dim_client') $$);
SELECT oracle.moved('fd.dim_client');

-- ---- without effective_from the sequence is the time ----
CREATE TABLE fd.short (id integer, v text, op text, at timestamp);
INSERT INTO fd.short VALUES (1, 'a', 'I', '2025-01-01'), (1, 'b', 'U', '2025-01-02'), (1, NULL, 'D', '2025-01-03');
SELECT strata.define_dimension('fd.dim_short', 'SELECT * FROM fd.short', key => '{id}', history => '{v}', operation => 'op', sequence => 'at');
SELECT inserted FROM strata.refresh('fd.dim_short');
SELECT id, v, valid_from, valid_to, is_current FROM fd.dim_short WHERE short_key <> 0 ORDER BY valid_from;
SELECT oracle.attempt($$ SELECT strata.define_dimension('fd.dim_bad', 'SELECT id, v, op, 1 AS n FROM fd.short', key => '{id}', operation => 'op', sequence => 'n') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('fd.dim_bad', 'SELECT id, v, op, 1 AS n FROM fd.short', key => '{id}', operation => 'op') $$);
SELECT oracle.attempt($$ SELECT strata.define_dimension('fd.dim_short', 'SELECT * FROM fd.short', key => '{id}', history => '{v}', effective_from => 'at') $$);
SET client_min_messages = error;
SELECT count(*) > 0 FROM (SELECT strata.drop_model(model) FROM strata.models WHERE model LIKE 'fd.%') AS d;
DROP SCHEMA oracle, fd CASCADE;
