-- incremental: the change of a linear query as signed rows. The functions are those of src/incremental/linear_test.c.
\set VERBOSITY terse
SET client_min_messages = warning;
SET jit = off;
CREATE EXTENSION IF NOT EXISTS pg_strata;
CREATE FUNCTION change_sql(query text, changed oid[]) RETURNS text
    LANGUAGE c AS '$libdir/pg_strata', 'strata_incremental_change_sql';
CREATE FUNCTION refusal(query text) RETURNS text LANGUAGE c AS '$libdir/pg_strata', 'strata_incremental_refusal';

-- What is generated, to be read. Row sets are named after relations here, not OIDs.
CREATE TABLE t (gone int, id int, a int, b int, c text);
ALTER TABLE t DROP COLUMN gone;
CREATE TABLE u (id int, a int, b int, c text);
CREATE TABLE v (id int NOT NULL, a int NOT NULL, b numeric);
CREATE TABLE k (id int PRIMARY KEY, name text, kind int);
CREATE FUNCTION show(query text, VARIADIC changed regclass[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    sql text := change_sql(query, changed::oid[]);
    one regclass;
BEGIN
    FOREACH one IN ARRAY changed LOOP
        sql := replace(sql, 'strata_change_' || one::oid, 'change_of_' || one);
    END LOOP;
    RETURN sql;
END $$;
\pset format unaligned
\pset tuples_only on
SELECT show('SELECT id, upper(c) AS c FROM t WHERE a > 1', 't');
SELECT show('SELECT t.id, u.c FROM t JOIN u ON u.id = t.a', 't', 'u');
SELECT show('SELECT t.id, u.c FROM t LEFT JOIN u ON u.id = t.a WHERE t.b = 1', 't');
SELECT show('SELECT t.id, u.c FROM t LEFT JOIN u ON u.id = t.a', 'u');
SELECT show('SELECT t.id FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a AND u.b = 1)', 'u');
SELECT show('SELECT id FROM t UNION ALL SELECT a FROM u', 'u');
SELECT show('SELECT id FROM t', 'u') IS NULL AS nothing;
\pset format aligned
\pset tuples_only off

-- What is refused, and why.
SELECT query, refusal(query) FROM unnest(ARRAY[
    'SELECT a, count(*) FROM t GROUP BY a', 'SELECT DISTINCT a FROM t', 'SELECT a FROM t LIMIT 1',
    'SELECT a FROM t UNION SELECT a FROM u', 'SELECT ctid AS p FROM t', 'SELECT random() FROM t',
    'SELECT a FROM t TABLESAMPLE system (10)', 'WITH w AS (SELECT a FROM t) SELECT a FROM w',
    'SELECT a, rank() OVER (ORDER BY b) FROM t', 'SELECT a FROM t, (SELECT max(b) AS m FROM u) x WHERE a = m',
    'SELECT to_jsonb(w) AS j FROM (SELECT id, a FROM u) w', 'SELECT a AS strata_sign FROM t',
    'SELECT t.id FROM t LEFT JOIN u ON EXISTS (SELECT FROM v WHERE v.id = u.id)',
    'SELECT id, (SELECT b FROM u WHERE u.id = t.a UNION SELECT 1) AS s FROM t']) query;

-- Old rows and change = new rows, whatever the query and the change.
CREATE FUNCTION fill(rows int, tables text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        IF name = 'v' THEN
            INSERT INTO v SELECT (random() * 4)::int, (random() * 4)::int, nullif((random() * 4)::int, 0)
            FROM generate_series(1, rows);
        ELSIF name = 'k' THEN
            INSERT INTO k SELECT n, chr(97 + (random() * 3)::int), (random() * 2)::int FROM generate_series(1, 5) n
            WHERE random() < 0.6 ON CONFLICT DO NOTHING;
        ELSE
            EXECUTE format('INSERT INTO %I (id, a, b, c) SELECT nullif((random() * 5)::int, 0), nullif((random() * 4)::int, 0),
                            nullif((random() * 3)::int, 0), nullif(chr(96 + (random() * 4)::int), ''`'')
                            FROM generate_series(1, $1)', name) USING rows;
        END IF;
    END LOOP;
END $$;
-- random updates, deletes, inserts; its row set, consolidated as refreshes do it
CREATE FUNCTION disturb(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changes text := 'strata_change_' || name::regclass::oid;
    columns text := (SELECT string_agg(CASE WHEN attisdropped THEN '0' ELSE quote_ident(attname) END || ' AS ' ||
                                       quote_ident(attname), ', ' ORDER BY attnum)
                     FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0);
    number int := (SELECT count(*) FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0);
    what int := (random() * 3)::int;
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS pg_temp.before, pg_temp.%I', changes);
    EXECUTE format('CREATE TEMP TABLE before AS SELECT %s FROM %I', columns, name);
    IF what IN (0, 1) THEN
        EXECUTE format('DELETE FROM %I WHERE random() < 0.3', name);
    END IF;
    IF what IN (0, 2) THEN
        PERFORM fill((random() * 3)::int, ARRAY[name]);
    END IF;
    IF what IN (0, 3) THEN
        EXECUTE format('UPDATE %I SET %s WHERE random() < 0.4', name,
                       CASE WHEN name = 'k' THEN 'name = name || ''b''' ELSE (ARRAY['a = coalesce((b + 1)::int, 1)',
                       'id = coalesce(a, 2)', 'b = b + 1'])[1 + (random() * 2)::int] END);
    END IF;
    EXECUTE format('CREATE TEMP TABLE %I AS SELECT %s, sum(strata_sign)::int AS strata_sign FROM
                    (SELECT *, -1 AS strata_sign FROM before UNION ALL SELECT %s, 1 FROM %I) x
                    GROUP BY %s HAVING sum(strata_sign) <> 0', changes,
                   (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                    WHERE attrelid = name::regclass AND attnum > 0), columns, name,
                   (SELECT string_agg(n::text, ', ') FROM generate_series(1, number) n));
END $$;
CREATE TABLE shape (number int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO shape (query) VALUES
-- one level
('SELECT id, a, c FROM t WHERE a > 1'),
('SELECT t.id, u.c, t.a + u.b AS s FROM t, u WHERE t.a = u.id'),
('SELECT x.id, y.id AS id2 FROM t x JOIN t y ON x.a = y.b'),
('SELECT t.id, u.a, v.b FROM t JOIN u ON t.a = u.id JOIN v ON v.id = u.b WHERE coalesce(t.c, ''x'') <> ''a'''),
('SELECT x.id, y.a, z.b, w.id AS wid FROM t x JOIN t y ON x.a = y.id JOIN u z ON z.id = y.b JOIN v w ON w.a = z.a'),
('SELECT t.id, u.id AS uid, v.id AS vid, s.id AS sid, q.id AS qid FROM t, u, v, t s, u q WHERE t.a = u.a AND u.b = v.id AND s.id = t.b AND q.a = s.a'),
('SELECT id, a, t.b, u.c FROM t JOIN u USING (id, a)'),
('SELECT t.id, g FROM t, generate_series(1, t.a) g'),
('SELECT t.id, x.k FROM t JOIN (VALUES (1, ''a''), (2, ''b'')) x(n, k) ON x.n = t.a'),
('SELECT id, generate_series(1, a) AS n FROM t'),
('SELECT id FROM t ORDER BY a'),
('SELECT t.id, u.b FROM t CROSS JOIN u WHERE t.a < u.a'),
-- nested
('SELECT x.id, x.s FROM (SELECT id, a + b AS s FROM t WHERE b > 1) x WHERE s > 2'),
('SELECT x.id, x.s, v.b FROM (SELECT t.id, t.a + u.b AS s FROM t JOIN u ON t.id = u.a) x JOIN v ON v.id = x.s'),
('SELECT id, a FROM t UNION ALL SELECT a, b FROM u'),
('SELECT id, a::numeric AS n FROM t UNION ALL SELECT id, b FROM v UNION ALL (SELECT a, b FROM u WHERE b > 1)'),
('SELECT id, 1 AS n FROM t UNION ALL SELECT id, b FROM v'),
('SELECT x.id, x.a, v.b FROM (SELECT id, a FROM t UNION ALL SELECT a, b FROM u) x JOIN v ON v.id = x.a'),
('SELECT x.id, y.id AS yid FROM (SELECT id, a FROM t UNION ALL SELECT a, b FROM u) x, (SELECT id, a FROM u UNION ALL SELECT a, id FROM v) y WHERE x.a = y.a'),
('SELECT t.id, x.b FROM t, LATERAL (SELECT u.b FROM u WHERE u.id = t.a) x'),
('SELECT t.id, x.b FROM t, LATERAL (SELECT u.b + t.b AS b FROM u JOIN v ON v.id = u.b WHERE u.a < t.a) x WHERE x.b > 1'),
-- outer joins
('SELECT t.id, u.c FROM t LEFT JOIN u ON u.id = t.a'),
('SELECT t.id, u.c, u.id AS uid FROM t RIGHT JOIN u ON u.id = t.a'),
('SELECT t.id, u.c, u.b FROM t FULL JOIN u ON u.id = t.a'),
('SELECT id, t.c, u.c AS d FROM t FULL JOIN u USING (id)'),
('SELECT t.id, u.c FROM t LEFT JOIN u ON u.id = t.a AND u.b > 1 AND t.b > 1 WHERE t.a > 1'),
('SELECT t.id, u.c FROM t LEFT JOIN u ON u.id < t.a'),
('SELECT t.id, u.id AS uid, t.c FROM t LEFT JOIN u ON u.id = t.a AND u.b <= t.b'),
('SELECT t.id, u.c FROM t LEFT JOIN u ON true'),
('SELECT t.id, u.c FROM t LEFT JOIN u ON u.b = 2'),
('SELECT t.id, u.c FROM t RIGHT JOIN u ON u.id > t.a AND u.b = t.b'),
('SELECT t.id, u.b, v.b AS vb FROM t LEFT JOIN u ON u.id = t.a LEFT JOIN v ON v.id = u.b'),
('SELECT t.id, u.b, v.b AS vb FROM t LEFT JOIN u ON u.id = t.a LEFT JOIN v ON v.id = t.b WHERE coalesce(v.b, 1) = 1'),
('SELECT t.id, u.b, v.b AS vb FROM t LEFT JOIN (u JOIN v ON v.id = u.b) ON u.id = t.a'),
('SELECT t.id, u.b, v.b AS vb FROM (t JOIN u ON u.id = t.a) LEFT JOIN v ON v.id = u.b AND v.a = t.b'),
('SELECT t.id, u.b, v.b AS vb FROM t LEFT JOIN (u LEFT JOIN v ON v.id = u.b) ON u.id = t.a AND coalesce(v.b, 0) < 3'),
('SELECT v.id, x.uid, x.s FROM v JOIN (SELECT t.id, u.id AS uid, coalesce(u.b, -1) AS s FROM t LEFT JOIN u ON u.id = t.a) x ON x.id = v.a'),
('SELECT t.id, x.s FROM t LEFT JOIN (SELECT id, a + b AS s FROM u UNION ALL SELECT a, 7 FROM v) x ON x.id = t.a'),
('SELECT x.id, y.id AS yid FROM t x LEFT JOIN t y ON x.a = y.id'),
('SELECT v.id, t.a, u.b FROM v, t FULL JOIN u ON t.id = u.a WHERE v.id = coalesce(t.b, u.b)'),
('SELECT t.id, v.b FROM t LEFT JOIN v ON v.b = t.a'),
('SELECT t.id, count, v.a FROM t LEFT JOIN v ON v.id = t.a, generate_series(1, t.b) count'),
-- semi joins
('SELECT id, c FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a)'),
('SELECT id, c FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.a AND u.b > 1)'),
('SELECT id FROM t WHERE a IN (SELECT b FROM u)'),
('SELECT id FROM t WHERE a NOT IN (SELECT b FROM u WHERE b IS NOT NULL)'),
('SELECT id FROM t WHERE a NOT IN (SELECT b FROM u)'),
('SELECT id FROM t WHERE a NOT IN (SELECT b FROM u WHERE u.a = t.b)'),
('SELECT id FROM t WHERE (a, b) NOT IN (SELECT u.a, u.b FROM u)'),
('SELECT id FROM t WHERE (a, b) IN (SELECT u.a, u.b FROM u)'),
('SELECT id FROM t WHERE a > ALL (SELECT b FROM u WHERE u.id = t.id)'),
('SELECT id FROM t WHERE a < ANY (SELECT b FROM u)'),
('SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE b = 1)'),
('SELECT id FROM t WHERE NOT EXISTS (SELECT FROM u WHERE b > 2)'),
('SELECT t.id, v.b FROM t JOIN v ON v.id = t.a WHERE EXISTS (SELECT FROM u WHERE u.id = t.a AND u.a < v.a)'),
('SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a) AND NOT EXISTS (SELECT FROM v WHERE v.id = t.b)'),
('SELECT id FROM t WHERE EXISTS (SELECT FROM u JOIN v ON v.id = u.b WHERE u.id = t.a AND v.a > t.b)'),
('SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a AND NOT EXISTS (SELECT FROM v WHERE v.id = u.b))'),
('SELECT id FROM t WHERE a IN (SELECT id FROM u UNION ALL SELECT a FROM v)'),
('SELECT t.id, u.b FROM t LEFT JOIN u ON u.id = t.a WHERE EXISTS (SELECT FROM v WHERE v.id = u.b)'),
('SELECT t.id, u.b FROM t LEFT JOIN u ON u.id = t.a WHERE NOT EXISTS (SELECT FROM v WHERE v.id = u.b)'),
('SELECT x.id FROM t x WHERE EXISTS (SELECT FROM t y WHERE y.a = x.id)'),
('SELECT id, generate_series(1, b) AS n FROM t WHERE a IN (SELECT b FROM u)'),
('SELECT x.id, v.id AS vid FROM (SELECT id, a FROM t WHERE a IN (SELECT b FROM u)) x JOIN v ON v.id = x.a'),
('SELECT t.id FROM t WHERE t.id + 1 IN (SELECT u.a + 1 FROM u WHERE u.b = t.b)'),
('SELECT v.id FROM v WHERE v.b IN (SELECT a FROM t)'),
-- values that depend on other rows
('SELECT id, EXISTS (SELECT FROM u WHERE u.id = t.a) AS e FROM t'),
('SELECT id, c FROM t WHERE b = 1 OR EXISTS (SELECT FROM u WHERE u.id = t.a AND u.b > 1)'),
('SELECT id, EXISTS (SELECT FROM u WHERE u.id = t.a) AS e, NOT EXISTS (SELECT FROM v WHERE v.id < t.b) AS f FROM t'),
('SELECT id, a IN (SELECT b FROM u) AS e FROM t'),
('SELECT id, a NOT IN (SELECT b FROM u WHERE u.id = t.id) AS e FROM t WHERE b = 1 OR id IN (SELECT a FROM v)'),
('SELECT id, a > ALL (SELECT b FROM u) AS e, a <= ANY (SELECT b FROM u) AS f FROM t'),
('SELECT id, (a, b) IN (SELECT u.a, u.b FROM u) AS e FROM t'),
('SELECT id, (SELECT sum(u.b) FROM u WHERE u.id = t.a) AS s FROM t'),
('SELECT id, (SELECT count(*) FROM u) AS n FROM t'),
('SELECT id, (SELECT array_agg(u.b ORDER BY u.b, u.a) FROM u JOIN v ON v.id = u.b WHERE u.id = t.a) AS s FROM t WHERE a > 1'),
('SELECT id, (SELECT max(v.b) FROM v WHERE v.id = t.a) + (SELECT min(u.b) FROM u WHERE u.a = t.id) AS s FROM t'),
('SELECT id FROM t WHERE b >= (SELECT avg(u.b) FROM u WHERE u.id = t.a)'),
('SELECT id FROM t WHERE b < (SELECT count(*) FROM u WHERE u.id <= t.a) AND EXISTS (SELECT FROM v WHERE v.id = t.a)'),
('SELECT id, ARRAY(SELECT u.b FROM u WHERE u.id = t.a ORDER BY u.b) AS s FROM t'),
('SELECT id, (SELECT u.b FROM u WHERE u.id = t.a ORDER BY u.b, u.a LIMIT 1) AS s FROM t'),
('SELECT t.id, v.b, (SELECT count(u.b) FROM u WHERE u.id = t.a AND u.a = v.a) AS n FROM t JOIN v ON v.id = t.b'),
('SELECT t.id, w.name FROM (SELECT id, (SELECT k.name FROM k WHERE k.id = t.a) AS name FROM t) w JOIN t ON t.id = w.id'),
('SELECT id, coalesce((SELECT k.name FROM k WHERE k.id = t.a AND k.kind = 1), ''none'') AS name FROM t'),
('SELECT id, CASE WHEN (SELECT k.name FROM k WHERE k.id = t.a) = ''a'' THEN 1 END AS one FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a)'),
('SELECT t.id, x.n FROM t, LATERAL (SELECT count(*) AS n FROM u WHERE u.id = t.a) x'),
('SELECT t.id, x.b FROM t LEFT JOIN LATERAL (SELECT u.b FROM u WHERE u.id = t.a) x ON true'),
('SELECT t.id, x.b FROM t LEFT JOIN LATERAL (SELECT u.b + t.b AS b FROM u WHERE u.id = t.a) x ON x.b > 1'),
('SELECT t.id, x.b FROM t LEFT JOIN LATERAL (SELECT u.b FROM u WHERE u.id = t.a ORDER BY u.b, u.a DESC LIMIT 1) x ON true'),
('SELECT t.id, v.b, x.b AS xb FROM t JOIN v ON v.id = t.b CROSS JOIN LATERAL (SELECT u.b, u.a FROM u WHERE u.id = t.a ORDER BY u.a, u.b LIMIT 2) x WHERE x.a < v.a'),
('SELECT t.id, v.b, x.n FROM t LEFT JOIN v ON v.id = t.b LEFT JOIN LATERAL (SELECT sum(u.b) AS n FROM u WHERE u.id = v.a) x ON true WHERE t.a > 1'),
('SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.a GROUP BY u.b HAVING count(*) > 1)'),
('SELECT t.id, x.b FROM t, LATERAL (SELECT u.b FROM u LEFT JOIN v ON v.id = u.b AND v.a = t.b WHERE u.id = t.a) x'),
-- names, functions, nesting, whole rows
('SELECT j.id, j.c FROM (t JOIN u USING (id)) AS j(id, a1, b1, c, a2, b2, c2)'),
('SELECT j.id, t.a FROM t JOIN u USING (id) AS j WHERE j.id > 1'),
('SELECT id FROM t NATURAL JOIN u'),
('SELECT id, a FROM t NATURAL LEFT JOIN (SELECT id, a, b + 1 AS bb FROM u) w'),
('SELECT t.id, f.n, f.ordinality AS o FROM t LEFT JOIN LATERAL unnest(ARRAY[t.a, t.b]) WITH ORDINALITY f(n) ON f.n > 1'),
('SELECT t.id, f.xx, f.yy FROM t, ROWS FROM (generate_series(1, t.a), generate_series(2, t.b)) f(xx, yy)'),
('SELECT "T x"."i""d", "T x"."A B" FROM (SELECT id AS "i""d", a AS "A B", a AS select FROM t) "T x" LEFT JOIN u ON u.id = "T x".select'),
('SELECT x.p, y.q FROM t x(p, q, r, s) LEFT JOIN u y(p, q, r, s) ON x.p = y.q'),
('SELECT t.id FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a AND EXISTS (SELECT FROM v WHERE v.id = u.b AND v.a = t.b))'),
('SELECT t.id FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a AND u.b IN (SELECT v.id FROM v))'),
('SELECT t.id, (SELECT count(*) FROM u WHERE u.id = t.a AND EXISTS (SELECT FROM v WHERE v.id = u.b)) AS n FROM t'),
('SELECT t.id, (SELECT count(*) FROM (SELECT id FROM u UNION ALL SELECT id FROM v) x WHERE x.id = t.a) AS n FROM t'),
('SELECT t.id, (SELECT count(*) FROM u LEFT JOIN v ON v.id = u.b WHERE u.id = t.a AND v.id IS NULL) AS n FROM t'),
('SELECT t.id, (SELECT count(*) FROM u JOIN v USING (id, a) WHERE id = t.a) AS n FROM t'),
('SELECT t.id, (SELECT string_agg(x.c, '','' ORDER BY x.c) FROM t x WHERE x.a = t.id) AS n FROM t'),
('SELECT t.id, (SELECT max(u.b) FROM u WHERE u.id = t.a) AS m FROM t WHERE (SELECT max(u.b) FROM u WHERE u.id = t.a) > 1'),
('SELECT id, CASE WHEN a = 1 THEN EXISTS (SELECT FROM u WHERE u.id = t.b) ELSE b IN (SELECT id FROM v) END AS xx FROM t'),
('SELECT id FROM t WHERE NOT (a IN (SELECT b FROM u) AND b IN (SELECT a FROM v))'),
('SELECT id FROM t WHERE (a IN (SELECT b FROM u)) IS NOT TRUE'),
('SELECT x.id, x.e, u.b FROM (SELECT id, a, EXISTS (SELECT FROM v WHERE v.id = t.a) AS e FROM t) x LEFT JOIN u ON u.id = x.a AND x.e'),
('SELECT id, 1 AS k FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a) UNION ALL SELECT u.id, v.a FROM u FULL JOIN v ON v.id = u.b'),
('SELECT x.id FROM (SELECT id, a FROM t UNION ALL SELECT a, b FROM u) x WHERE NOT EXISTS (SELECT FROM v WHERE v.id = x.a)'),
('SELECT t.id, u.id AS u, v.id AS v FROM t FULL JOIN u ON t.id = u.id FULL JOIN v ON v.id = coalesce(t.id, u.id)'),
('SELECT t.id, u.id AS u, v.id AS v FROM t RIGHT JOIN (u FULL JOIN v ON v.id = u.b) ON t.a = v.a WHERE u.id IS NOT NULL OR t.id > 2'),
('SELECT t.id, k.name FROM t LEFT JOIN k ON k.id = t.a LEFT JOIN u ON u.id = t.b LEFT JOIN v ON v.id = u.a WHERE v.id IS NULL'),
('SELECT t.id, k.name FROM t JOIN k ON k.id = t.a WHERE NOT EXISTS (SELECT FROM u WHERE u.id = t.a AND u.c = k.name)'),
('SELECT t.id, x.n, x.m FROM t, LATERAL (SELECT u.b AS n, (SELECT k.name FROM k WHERE k.id = u.b) AS m FROM u WHERE u.id = t.a) x'),
('SELECT t.id, x.id AS xid, x.bb FROM t, LATERAL (SELECT u.id, v.b AS bb FROM u LEFT JOIN v ON v.id = u.b WHERE u.a = t.a) x'),
('SELECT t.id, x.id AS xid, x.bb FROM t, LATERAL (SELECT u.id, v.b + t.b AS bb FROM u LEFT JOIN v ON v.id < u.b AND v.a = t.a) x'),
('SELECT t.id, x.id AS xid FROM t, LATERAL (SELECT u.id + t.id AS id FROM u WHERE NOT EXISTS (SELECT FROM v WHERE v.id = u.b AND v.a = t.b)) x'),
('SELECT t.id, x.id AS xid FROM t, LATERAL (SELECT u.id + t.id AS id FROM u WHERE NOT EXISTS (SELECT FROM v WHERE v.id = u.b)) x'),
('SELECT t.id, x.id AS xid, y.n FROM t, LATERAL (SELECT u.id FROM u WHERE u.a = t.a) x, LATERAL (SELECT count(*) AS n FROM v WHERE v.id = x.id) y'),
('SELECT t.id, x.k FROM t, LATERAL (SELECT u.b AS k FROM u WHERE u.id = t.a UNION ALL SELECT v.a FROM v WHERE v.id = t.b) x'),
('SELECT t.id, (VALUES (t.a)) AS w, ARRAY(SELECT generate_series(1, t.b)) AS g FROM t'),
('SELECT x.id, max FROM t x, LATERAL (SELECT max(y.b) FROM t y WHERE y.a = x.a) m'),
('SELECT t.id, u.c FROM t LEFT JOIN u ON u.id = t.a AND u.b IS DISTINCT FROM t.b'),
('SELECT t.id, u.c FROM t LEFT JOIN u ON coalesce(u.id, 0) = coalesce(t.a, 0)'),
('SELECT t.id, v.b FROM t LEFT JOIN v ON v.b = t.a + 0.0 WHERE t.c >= ''a'' COLLATE "C"'),
('SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON u.c = t.c COLLATE "C"'),
('SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON (u.a, u.b) = (t.a, t.b)'),
('SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.a = ANY (ARRAY[u.a, u.b])'),
('SELECT t.id, count.n FROM t LEFT JOIN (SELECT 1 AS one, generate_series(1, a) AS n, id FROM u) count ON count.id = t.a'),
('SELECT id, (SELECT count(*) FROM u WHERE u.id = t.a AND u.b > (SELECT count(*) FROM v)) AS s FROM t'),
('SELECT t.id, xmltable.* FROM t, XMLTABLE(''/r/x'' PASSING xmlparse(document ''<r><x><y>1</y></x></r>'') COLUMNS y int)'),
('SELECT 1 AS a'), ('SELECT 1 AS a WHERE EXISTS (SELECT FROM t)'), ('SELECT count AS a FROM (SELECT 1 AS count) x, t'),
('SELECT EXISTS (SELECT FROM t WHERE t.a = 1) AS e'), ('SELECT (SELECT count(*) FROM t) AS e'),
('SELECT t.id, e FROM t LEFT JOIN (SELECT EXISTS (SELECT FROM u WHERE u.b = 2) AS e) x ON t.a = 1'),
('SELECT id, to_jsonb(t) AS j FROM t'), ('SELECT to_jsonb(t) AS j, u.id FROM t LEFT JOIN u ON u.id = t.a'),
('SELECT to_jsonb(u) AS j, t.id FROM t LEFT JOIN u ON u.id = t.a'),
('SELECT to_jsonb(u) AS j, row_to_json(t)::text AS k FROM t FULL JOIN u ON u.id = t.a'),
('SELECT to_jsonb(u) AS j, t.id FROM t LEFT JOIN u ON u.id < t.a'),
('SELECT t.id, t FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.a)'),
('SELECT to_jsonb(x) AS j, s.id FROM t x JOIN t y ON x.a = y.id JOIN u z ON z.id = y.b JOIN v w ON w.a = z.a LEFT JOIN t s ON s.id = w.id'),
('SELECT x.j, x.j->>''c'' AS c, EXISTS (SELECT FROM v WHERE v.id = x.id) AS e FROM (SELECT id, to_jsonb(t) AS j FROM t) x'),
('SELECT t.id FROM t WHERE EXISTS (SELECT FROM (SELECT id, b FROM u WHERE u.a = t.b) w WHERE w.id = t.a)');

CREATE TABLE wrong (number int, changed text, rows bigint, query text);
CREATE TABLE seen (number int, rows bigint);
CREATE PROCEDURE check_shapes(rounds int, chosen int DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    differences bigint;
    s record;
    name text;
    names text[];
    sql text;
BEGIN
    FOR round IN 1..rounds LOOP
        FOR s IN SELECT * FROM shape WHERE shape.number = coalesce(chosen, shape.number) LOOP
            TRUNCATE t, u, v, k;
            PERFORM fill((random() * 10)::int, ARRAY[n]) FROM unnest(ARRAY['t', 'u', 'v', 'k']) n;
            EXECUTE format('DROP TABLE IF EXISTS pg_temp.was; CREATE TEMP TABLE was AS %s', s.query);
            names := ARRAY(SELECT n FROM unnest(ARRAY['t', 'u', 'v', 'k']) n WHERE random() < 0.6);
            FOREACH name IN ARRAY names LOOP
                PERFORM disturb(name);
            END LOOP;
            sql := change_sql(s.query, ARRAY(SELECT n::regclass::oid FROM unnest(names) n));
            EXECUTE format('DROP TABLE IF EXISTS pg_temp.got; CREATE TEMP TABLE got AS %s',
                           coalesce(sql, format('SELECT *, 0 AS strata_sign FROM was WHERE false')));
            EXECUTE format('SELECT count(*) FROM (SELECT row_text FROM
                              (SELECT was::text AS row_text, 1 AS n FROM was
                               UNION ALL SELECT x::text, -1 FROM (%s) x
                               UNION ALL SELECT (SELECT x::text FROM (SELECT %s) x), strata_sign FROM got) y
                            GROUP BY row_text HAVING sum(n) <> 0) z', s.query,
                           (SELECT string_agg('got.' || quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                            WHERE attrelid = 'was'::regclass AND attnum > 0)) INTO differences;
            INSERT INTO seen SELECT s.number, count(*) FROM got;
            IF differences > 0 THEN
                INSERT INTO wrong VALUES (s.number, array_to_string(names, ', '), differences, s.query);
            END IF;
            COMMIT;
        END LOOP;
    END LOOP;
END $$;
SELECT number, query, refusal(query) FROM shape WHERE refusal(query) IS NOT NULL;
SELECT setseed(0.5);
CALL check_shapes(3);
SELECT * FROM wrong;
SELECT sum(rows) > 500 AS changed FROM seen;
