-- fact: rows with the keys of their dimensions, to the right version
\set ECHO none
\getenv dir PG_ABS_SRCDIR
\i :dir/include/oracle.sql
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA src;
CREATE SCHEMA ft;
CREATE TABLE src.client (id integer, segment text, since timestamptz);
CREATE TABLE src.agent (code text, region text);
CREATE TABLE src.sale (id integer, client integer, agent text, at timestamptz, shipped date, amount numeric);
INSERT INTO src.client VALUES (1, 'small', '2024-01-01'), (1, 'big', '2024-02-01'), (2, 'small', '2024-01-15');
INSERT INTO src.agent VALUES ('a', 'north'), ('b', 'south');
SELECT strata.define_dimension('ft.dim_client', 'SELECT id, segment, since FROM src.client', key => '{id}', history => '{segment}', effective_from => 'since');
SELECT strata.define_dimension('ft.dim_agent', 'SELECT code, region FROM src.agent', key => '{code}', history => '{region}');
SELECT strata.define_date_dimension('ft.dim_date', '2024-01-01', '2024-12-31');
SELECT strata.define_fact('ft.sale', $$ SELECT id, client, agent, at, at::date AS sold, shipped, amount FROM src.sale $$, grain => '{id}', dimensions => '{
    "client_key": {"dimension": "ft.dim_client", "on": {"client": "id"}, "as_of": "at"},
    "client_now": {"dimension": "ft.dim_client", "on": {"client": "id"}},
    "client_first": {"dimension": "ft.dim_client", "on": {"client": "id"}, "as_of": "at", "early": "first"},
    "agent_key": {"dimension": "ft.dim_agent", "on": {"agent": "code"}, "missing": "infer"},
    "sold_key": {"dimension": "ft.dim_date", "on": {"sold": "date"}},
    "shipped_key": {"dimension": "ft.dim_date", "on": {"shipped": "date"}}}');

-- ---- as of: the version that held, boundary instants, early, unknown, NULL ----
INSERT INTO src.sale VALUES
    (1, 1, 'a', '2024-01-01 00:00+00', '2024-01-02', 10),                 -- the very first instant
    (2, 1, 'a', '2024-01-31 23:59:59.999999+00', NULL, 20),               -- the last of the first version
    (3, 1, 'a', '2024-02-01 00:00+00', '2024-02-02', 30),                 -- the first of the second
    (4, 1, 'b', '2023-12-31 23:59:59.999999+00', '2025-01-01', 40),       -- before all versions; a day beyond the dimension
    (5, 9, 'z', '2024-03-01', '2024-03-01', 50),                          -- unknown client, agent to infer
    (6, NULL, NULL, '2024-03-01', '2024-03-01', 60),                      -- NULL keys
    (7, 2, 'z', NULL, NULL, 70),                                          -- NULL instant
    (8, 2, 'b', 'infinity', 'infinity', 80),
    (9, 2, 'b', '-infinity', '-infinity', 90),
    (10, 2, 'b', '0044-03-15 BC', '0044-03-15 BC', 100);
SELECT model, rows_in, inserted, message FROM strata.refresh('schema:ft', as_of => '2024-03-10');
CREATE VIEW ft.seen AS
SELECT f.id, v.segment AS as_of, n.segment AS now, e.segment AS first, a.code AS agent, a.region, f.sold_key, f.shipped_key
  FROM ft.sale f JOIN ft.dim_client v ON v.client_key = f.client_key JOIN ft.dim_client n ON n.client_key = f.client_now
  JOIN ft.dim_client e ON e.client_key = f.client_first JOIN ft.dim_agent a ON a.agent_key = f.agent_key
  JOIN ft.dim_date s ON s.date_key = f.sold_key JOIN ft.dim_date h ON h.date_key = f.shipped_key;
SELECT * FROM ft.seen ORDER BY id;
SELECT count(*) AS lost FROM (SELECT id FROM src.sale EXCEPT SELECT id FROM ft.seen) AS l;
-- the oracle, written by hand: the version is the one whose interval holds the instant
\set fact_oracle 'SELECT coalesce((SELECT d.client_key FROM ft.dim_client d WHERE d.id = s.client AND d.client_key <> 0 AND s.at >= d.valid_from AND (s.at < d.valid_to OR d.valid_to IS NULL)), 0) AS client_key, coalesce((SELECT d.client_key FROM ft.dim_client d WHERE d.id = s.client AND d.client_key <> 0 AND d.is_current), 0) AS client_now, coalesce((SELECT d.client_key FROM ft.dim_client d WHERE d.id = s.client AND d.client_key <> 0 AND s.at < (SELECT min(valid_from) FROM ft.dim_client x WHERE x.id = s.client) ORDER BY valid_from LIMIT 1), (SELECT d.client_key FROM ft.dim_client d WHERE d.id = s.client AND d.client_key <> 0 AND s.at >= d.valid_from AND (s.at < d.valid_to OR d.valid_to IS NULL)), 0) AS client_first, coalesce((SELECT d.agent_key FROM ft.dim_agent d WHERE d.code = s.agent AND d.is_current AND d.agent_key <> 0), 0) AS agent_key, coalesce((SELECT date_key FROM ft.dim_date WHERE date = s.at::date), 0) AS sold_key, coalesce((SELECT date_key FROM ft.dim_date WHERE date = s.shipped), 0) AS shipped_key, s.id, s.client, s.agent, s.at, s.at::date AS sold, s.shipped, s.amount FROM src.sale s'
SELECT oracle.holds('ft.sale', :'fact_oracle');
SELECT column_name FROM information_schema.columns WHERE table_schema = 'ft' AND table_name = 'sale' ORDER BY ordinal_position;
SELECT oracle.note('ft.sale');
UPDATE src.sale SET amount = amount;
SELECT status, inserted, updated, deleted FROM strata.refresh('ft.sale', as_of => '2024-03-11');
SELECT oracle.moved('ft.sale');

-- ---- inferred members: completed later under the same key ----
SELECT code, region, valid_from, is_current FROM ft.dim_agent WHERE code = 'z';
SELECT agent_key AS z_key FROM ft.dim_agent WHERE code = 'z' \gset
INSERT INTO src.agent VALUES ('z', 'east');
SELECT model, inserted, updated, deleted FROM strata.refresh('ft.dim_agent ft.sale', as_of => '2024-03-12');
SELECT agent_key = :z_key AS same_key, code, region, valid_from, is_current FROM ft.dim_agent WHERE code = 'z';

-- ---- history that arrives late re-keys the facts it concerns, and only those ----
SELECT oracle.note('ft.sale');
INSERT INTO src.client VALUES (1, 'middle', '2024-01-20'), (9, 'late', '2024-02-15'), (2, 'tiny', '2023-01-01');
SELECT model, inserted, updated, deleted FROM strata.refresh('ft.dim_client ft.sale', as_of => '2024-03-13');
SELECT * FROM ft.seen ORDER BY id;
SELECT oracle.holds('ft.sale', :'fact_oracle'), oracle.moved('ft.sale');

-- ---- grain: refused with the rows, a dimension key may be part of it ----
INSERT INTO src.sale VALUES (3, 2, 'a', '2024-02-01', NULL, 0);
SELECT oracle.attempt($$ SELECT strata.refresh('ft.sale') $$);
UPDATE src.sale SET id = NULL WHERE amount = 0;
SELECT oracle.attempt($$ SELECT strata.refresh('ft.sale') $$);
DELETE FROM src.sale WHERE amount = 0;
SELECT strata.define_fact('ft.by_client', $$ SELECT client, count(*) AS n, sum(amount) AS amount FROM src.sale WHERE client IN (1, 2) GROUP BY client $$, grain => '{client_key}',
    dimensions => '{"client_key": {"dimension": "ft.dim_client", "on": {"client": "id"}}}');
SELECT inserted FROM strata.refresh('ft.by_client');
SELECT n, amount FROM ft.by_client ORDER BY client;
SELECT strata.define_fact('ft.by_client', $$ SELECT client, count(*) AS n, sum(amount) AS amount FROM src.sale GROUP BY client $$, grain => '{client_key}',
    dimensions => '{"client_key": {"dimension": "ft.dim_client", "on": {"client": "id"}, "missing": "unknown"}}');
INSERT INTO src.sale VALUES (11, 77, 'a', '2024-02-01', NULL, 1);
SELECT oracle.attempt($$ SELECT strata.refresh('ft.by_client') $$);
DELETE FROM src.sale WHERE id = 11;

-- ---- foreign keys: seen by a tool with REFERENCES alone, unenforced, there after any refresh ----
CREATE ROLE fact_bi;
GRANT USAGE ON SCHEMA ft TO fact_bi;
GRANT REFERENCES ON ALL TABLES IN SCHEMA ft TO fact_bi;
SET ROLE fact_bi;
SELECT k.table_name, k.column_name, u.table_name, u.column_name
  FROM information_schema.referential_constraints r
  JOIN information_schema.key_column_usage k ON k.constraint_name = r.constraint_name AND k.constraint_schema = r.constraint_schema
  JOIN information_schema.key_column_usage u ON u.constraint_name = r.unique_constraint_name AND u.constraint_schema = r.unique_constraint_schema AND u.ordinal_position = k.position_in_unique_constraint
 WHERE k.table_schema = 'ft' ORDER BY 1, 2;
RESET ROLE;
-- a dump brings the triggers back on: the next refresh puts them off, whichever side it writes
SELECT format('ALTER TABLE %s ENABLE TRIGGER ALL', c) FROM unnest('{ft.sale,ft.dim_client,ft.dim_agent,ft.dim_date}'::text[]) AS c \gexec
UPDATE src.client SET since = '2024-02-10' WHERE id = 9;
DELETE FROM src.client WHERE segment = 'middle';
SELECT model, status FROM strata.refresh('ft.dim_client ft.sale', as_of => '2024-03-14');
SELECT oracle.holds('ft.sale', :'fact_oracle');
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('ft.sale'::regclass, 'ft.dim_client'::regclass) AND tgisinternal AND tgenabled <> 'D';

-- ---- partitions ----
CREATE TABLE src.event (id integer, d date, ts timestamp, tz timestamptz, v integer);
INSERT INTO src.event VALUES (1, '2024-01-31', '2024-01-31 23:00', '2024-01-31 23:00+00', 1), (2, '2024-02-01', '2024-02-01', '2024-02-01 00:00+00', 2), (3, NULL, NULL, NULL, 3),
    (4, 'infinity', 'infinity', 'infinity', 4), (5, '-infinity', '-infinity', '-infinity', 5), (6, '0044-12-31 BC', '0044-12-31 BC', '0044-12-31 00:00+00 BC', 6),
    (7, '0001-12-31 BC', '0001-12-31 12:00 BC', '0001-12-31 23:59+00 BC', 7), (8, '12024-05-06', '12024-05-06', '12024-05-06 00:00+00', 8), (9, '5874897-12-31', '294276-12-31', '294276-12-31 00:00+00', 9);
SELECT strata.define_fact('ft.by_date', 'SELECT id, d, v FROM src.event', grain => '{id}', partition_by => 'd', partitions_ahead => 2);
SELECT strata.define_fact('ft.by_ts', 'SELECT id, ts, v FROM src.event', grain => '{id}', partition_by => 'ts', partition_unit => 'year', partitions_ahead => 1);
SELECT strata.define_fact('ft.by_tz', 'SELECT id, tz, v FROM src.event WHERE tz IS NOT NULL', grain => '{id, tz}', partition_by => 'tz', partitions_ahead => 0);
SELECT model, inserted FROM strata.refresh('ft.by_date ft.by_ts ft.by_tz', as_of => '2024-02-10');
SELECT oracle.holds(t), oracle.note(t) FROM unnest('{ft.by_date,ft.by_ts,ft.by_tz}'::text[]) AS t;
CREATE VIEW ft.parts AS SELECT i.inhparent::regclass AS parent, c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent WHERE p.relnamespace = 'ft'::regnamespace AND c.relkind = 'r';
SELECT * FROM ft.parts ORDER BY parent::text, relname;
SELECT tableoid::regclass, id FROM ft.by_date ORDER BY id;
SELECT conname, conrelid::regclass FROM pg_constraint WHERE contype = 'p' AND conrelid IN ('ft.by_date'::regclass, 'ft.by_tz'::regclass);
-- under another time zone, and defined anew under it: the same bounds
SET TimeZone = 'Asia/Tokyo';
INSERT INTO src.event VALUES (10, '2024-03-01', '2024-03-01', '2024-02-29 20:00+00', 10), (11, '2024-02-29', '2024-02-29', '2024-01-31 15:00+00', 11);
SELECT strata.define_fact('ft.by_tz', 'SELECT id, tz, v + 0 AS v FROM src.event WHERE tz IS NOT NULL', grain => '{id, tz}', partition_by => 'tz', partitions_ahead => 1);
SET TimeZone = 'America/New_York';
SELECT model, inserted, updated, deleted FROM strata.refresh('ft.by_date ft.by_ts ft.by_tz', as_of => '2024-03-31 22:00-04');
SET TimeZone = 'UTC';
SELECT oracle.holds(t), oracle.moved(t) FROM unnest('{ft.by_date,ft.by_ts,ft.by_tz}'::text[]) AS t;
SELECT * FROM ft.parts WHERE relname ~ '2024' ORDER BY parent::text, relname;
-- rows that change their period move, and the grain holds though no constraint can say it
UPDATE src.event SET d = '2024-05-05' WHERE id = 3;
UPDATE src.event SET d = NULL WHERE id = 1;
SELECT inserted, updated, deleted FROM strata.refresh('ft.by_date', as_of => '2024-04-01');
SELECT oracle.holds('ft.by_date');
SELECT tableoid::regclass, id FROM ft.by_date WHERE id IN (1, 3) ORDER BY id;
INSERT INTO src.event VALUES (2, '2024-06-01', NULL, NULL, 2);
SELECT oracle.attempt($$ SELECT strata.refresh('ft.by_date') $$);
UPDATE src.event SET id = NULL WHERE d = '2024-06-01';
SELECT oracle.attempt($$ SELECT strata.refresh('ft.by_date') $$);
SELECT status FROM strata.refresh('ft.by_tz');
DELETE FROM src.event WHERE id IS NULL;
SELECT strata.define_fact('ft.fresh', 'SELECT id, d FROM (SELECT id, d FROM src.event UNION ALL SELECT 1, ''2024-07-07'') AS e', grain => '{id}', partition_by => 'd');
SELECT oracle.attempt($$ SELECT strata.refresh('ft.fresh') $$);
-- where the partitions do say it, it is said of the model all the same
SELECT strata.define_fact('ft.fresh_tz', 'SELECT id, tz FROM (SELECT id, tz FROM src.event WHERE tz IS NOT NULL UNION ALL SELECT 1, ''2024-01-31 23:00+00'') AS e', grain => '{id, tz}', partition_by => 'tz');
SELECT oracle.attempt($$ SELECT strata.refresh('ft.fresh_tz') $$);
-- what cannot change
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.by_date', 'SELECT id, d, v FROM src.event', grain => '{id}', partition_by => 'd', partition_unit => 'year') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.by_date', 'SELECT id, d, v FROM src.event', grain => '{id}') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.by_client', 'SELECT client, at FROM src.sale', grain => '{client}', partition_by => 'at') $$);
-- with foreign keys: new partitions get them unenforced
SELECT strata.define_fact('ft.part_fk', 'SELECT id, client, shipped FROM src.sale', grain => '{id}', partition_by => 'shipped', partition_unit => 'year',
    dimensions => '{"client_key": {"dimension": "ft.dim_client", "on": {"client": "id"}}, "shipped_key": {"dimension": "ft.dim_date", "on": {"shipped": "date"}}}');
SELECT inserted FROM strata.refresh('ft.part_fk', as_of => '2024-04-01');
INSERT INTO src.sale VALUES (12, 1, 'a', '2024-04-01', '2031-04-04', 12);
SELECT inserted, updated, deleted FROM strata.refresh('ft.part_fk', as_of => '2024-04-01');
SELECT count(*) > 0 AS triggers, count(*) FILTER (WHERE tgenabled <> 'D') AS enabled FROM pg_trigger t JOIN pg_inherits i ON i.inhrelid = t.tgrelid WHERE i.inhparent = 'ft.part_fk'::regclass AND tgisinternal;
SELECT count(*) FROM pg_constraint WHERE conrelid = 'ft.part_fk'::regclass AND contype = 'f';

-- ---- wrong arguments ----
CREATE FUNCTION bad(dimensions text, query text DEFAULT 'SELECT id, client, agent, at FROM src.sale') RETURNS text LANGUAGE sql AS
$$ SELECT oracle.attempt(format('SELECT strata.define_fact(''ft.bad'', %L, grain => ''{id}'', dimensions => %L)', query, dimensions)) $$;
SELECT bad('[]');
SELECT bad('{"k": "ft.dim_client"}');
SELECT bad('{"k": {"dimensoin": "ft.dim_client"}}');
SELECT bad('{"k": {"dimension": "ft.dim_clien", "on": ["client"]}}');
SELECT bad('{"k": {"dimension": "ft.sale", "on": ["client"]}}');
SELECT bad('{"k": {"dimension": "ft.dim_client"}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": []}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"client": null}}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"client": 5}}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": [5]}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": "client"}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"client": "segment"}}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"clint": "id"}}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"at": "id"}}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"client": "id"}, "as_of": "agent"}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"client": "id"}, "as_of": "att"}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"client": "id"}, "missing": "drop"}}');
SELECT bad('{"k": {"dimension": "ft.dim_client", "on": {"client": "id"}, "early": "last"}}');
SELECT bad('{"k": {"dimension": "ft.dim_date", "on": {"at": "date"}, "as_of": "at"}}');
SELECT bad('{"client": {"dimension": "ft.dim_client", "on": {"client": "id"}}}');
SELECT bad('{"k": {"dimension": "x''); DROP TABLE src.sale; --", "on": {"client": "id"}}}');
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.bad', 'SELECT id FROM src.sale', grain => '{}') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.bad', 'SELECT id FROM src.sale', grain => '{idd}') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.bad', 'SELECT id FROM src.sale', grain => '{id,id}') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.bad', 'SELECT id, point(0, 0) AS p FROM src.sale', grain => '{p}') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.bad', 'SELECT id FROM src.sale', grain => '{id}', partition_by => 'id') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.bad', 'SELECT id, at FROM src.sale', grain => '{id}', partition_by => 'at', partition_unit => 'week') $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.bad', 'SELECT id, at FROM src.sale', grain => '{id}', partition_by => 'at', partitions_ahead => -1) $$);
SELECT oracle.attempt($$ SELECT strata.define_fact('ft.bad', 'SELECT id, at FROM src.sale', grain => '{id}', partition_by => 'at', partitions_ahead => 100000) $$);
SELECT to_regclass('ft.bad'), count(*) FROM strata_state.model WHERE relation_name = 'bad';

DROP VIEW ft.seen, ft.parts;
DROP FUNCTION bad(text, text);
SET client_min_messages = error;
SELECT count(*) > 0 FROM (SELECT strata.drop_model(label, "cascade" => true) FROM unnest('{ft.sale,ft.by_client,ft.part_fk,ft.by_date,ft.by_ts,ft.by_tz,ft.fresh,ft.fresh_tz,ft.dim_client,ft.dim_agent,ft.dim_date}'::text[]) AS label) AS d;
DROP SCHEMA oracle, src, ft CASCADE;
DROP OWNED BY fact_bi;
DROP ROLE fact_bi;
