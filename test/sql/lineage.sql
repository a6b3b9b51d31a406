-- lineage: what a query reads, which columns make which, and what is refused
\set SHOW_CONTEXT never
CREATE SCHEMA src;
CREATE TABLE src.entreprise (id int PRIMARY KEY, nom text, secteur varchar(30), parent_id int, lots int[],
                             cree_le timestamptz, doc jsonb, longueur int GENERATED ALWAYS AS (length(nom)) STORED);
CREATE TABLE src.paiement (id int, entreprise_id int, montant numeric(15,2), paye_le date, note text);
CREATE TABLE src.collecte (LIKE src.paiement);
CREATE TABLE src.quittance_rare (id int);
CREATE VIEW src.recent AS SELECT id, montant FROM src.paiement WHERE paye_le > current_date - 30;
CREATE MATERIALIZED VIEW src.total AS SELECT entreprise_id, sum(montant) AS total FROM src.paiement GROUP BY 1;
CREATE TABLE src.facture (id int, emise_le date, montant numeric) PARTITION BY RANGE (emise_le);
CREATE TABLE src.facture_2026 PARTITION OF src.facture FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE src."Écart, ""rare""" ("Valeur é" int, gone int, kept int);
ALTER TABLE src."Écart, ""rare""" DROP COLUMN gone;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE src.lointain (id int, valeur text) SERVER nowhere;
SET search_path = src, public;

-- one line per output column: source columns with the kind's first letter (c copy, d derived, a aggregate, f filter)
CREATE FUNCTION public.lin(q text) RETURNS TABLE (col text, sources text) LANGUAGE sql AS $$
    SELECT coalesce(output_column, '(rows)'),
           string_agg(replace(source_relation, 'src.', '') || '.' || source_column || ':' || left(kind, 1), ' ' ORDER BY n)
    FROM strata.query_lineage(q) WITH ORDINALITY AS l (output_column, source_relation, source_column, kind, n)
    GROUP BY output_column ORDER BY min(n)
$$;
CREATE FUNCTION public.refs(q text) RETURNS TABLE (relation text, relkind text, columns text[]) LANGUAGE sql AS $$
    SELECT * FROM strata.query_references(q)
$$;

-- columns, expressions, casts, aliases
SELECT * FROM lin($$SELECT id, nom AS n, secteur::text AS relabelled, secteur COLLATE "C" AS collated, id::bigint AS widened,
    upper(nom) AS up, id + parent_id AS two, 1 AS one, CASE WHEN id > 1 THEN nom ELSE secteur END AS either,
    coalesce(nom, secteur) AS first, doc ->> 'a' AS j, lots[parent_id] AS l, longueur AS generated FROM entreprise$$);
SELECT * FROM lin('SELECT * FROM entreprise');
SELECT * FROM lin('SELECT e.* FROM entreprise e, paiement');
SELECT * FROM lin('TABLE paiement');
SELECT * FROM lin('SELECT p AS row, p.ctid AS place, tableoid AS t FROM paiement p');
SELECT * FROM refs('SELECT p AS row, p.ctid AS place, tableoid AS t FROM paiement p');
SELECT * FROM lin('SELECT * FROM "Écart, ""rare"""');
SELECT * FROM lin('SELECT x AS row, x."Valeur é" AS field, (x).kept AS other, to_jsonb(x) AS j FROM "Écart, ""rare""" x');
SELECT * FROM lin('SELECT 1 AS one');

-- conditions, each place
SELECT * FROM lin('SELECT nom FROM entreprise WHERE secteur = ''BTP''');
SELECT * FROM lin('SELECT e.nom FROM entreprise e JOIN paiement p ON p.entreprise_id = e.id AND p.montant > 0');
SELECT * FROM lin('SELECT nom FROM entreprise ORDER BY cree_le DESC, id LIMIT 3');
SELECT * FROM lin('SELECT nom FROM entreprise ORDER BY length(secteur)');
SELECT * FROM lin('SELECT DISTINCT nom, secteur FROM entreprise');
SELECT * FROM lin('SELECT DISTINCT ON (secteur) nom FROM entreprise ORDER BY secteur, cree_le');
SELECT * FROM lin('SELECT nom FROM entreprise LIMIT (SELECT max(id) FROM paiement)');
SELECT * FROM lin('SELECT nom FROM entreprise TABLESAMPLE system (50) REPEATABLE (1)');

-- aggregates
SELECT * FROM lin('SELECT secteur, count(*) AS n, max(nom) AS m, sum(id) FILTER (WHERE parent_id > 0) AS s,
    string_agg(nom, '','' ORDER BY cree_le) AS names, 1 + sum(id) AS plus, count(DISTINCT parent_id) AS d
    FROM entreprise GROUP BY secteur HAVING min(longueur) > 2');
SELECT * FROM lin('SELECT count(*) AS n FROM entreprise');
SELECT * FROM refs('SELECT count(*) AS n FROM entreprise');
SELECT * FROM lin('SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY montant) AS median FROM paiement');
SELECT * FROM lin('SELECT upper(secteur) AS s, sum(id) AS t FROM entreprise GROUP BY upper(secteur)');
SELECT * FROM lin('SELECT secteur, parent_id, grouping(secteur, parent_id) AS g, count(id) AS n FROM entreprise
    GROUP BY GROUPING SETS ((secteur, parent_id), (secteur), ())');
SELECT * FROM lin('SELECT secteur AS s, length(nom) AS l, sum(id) AS t FROM entreprise GROUP BY ROLLUP (1, 2) ORDER BY 2');
SELECT * FROM lin('SELECT e.secteur, (SELECT sum(p.montant) FROM paiement p WHERE p.note = e.secteur) AS t
    FROM entreprise e GROUP BY e.secteur');

-- windows
SELECT * FROM lin('SELECT id, row_number() OVER (PARTITION BY entreprise_id ORDER BY paye_le) AS rn,
    sum(montant) OVER w AS run, lag(montant, 1, 0.0) OVER w AS before, sum(montant) FILTER (WHERE note IS NULL) OVER () AS f
    FROM paiement WINDOW w AS (PARTITION BY entreprise_id ORDER BY paye_le, id)');
SELECT * FROM lin('SELECT secteur, rank() OVER (ORDER BY sum(id) DESC) AS r FROM entreprise GROUP BY secteur');

-- subqueries, nested; kinds add up on the way
SELECT * FROM lin('SELECT a, b + 1 AS b, c FROM (SELECT id AS a, montant * 2 AS b, note AS c FROM paiement WHERE paye_le IS NOT NULL) s');
SELECT * FROM lin('SELECT t / 2 AS half, t FROM (SELECT sum(montant) AS t FROM paiement) s');
SELECT * FROM lin('SELECT max(m) AS m FROM (SELECT lower(nom) AS m FROM entreprise) s');
SELECT * FROM lin('SELECT s::text AS row, (s).b AS b FROM (SELECT id AS a, note AS b FROM paiement) s');
-- what a subquery computes and nobody uses is read, but makes nothing
SELECT * FROM lin('SELECT a FROM (SELECT id AS a, note AS b FROM paiement) s');
SELECT * FROM refs('SELECT a FROM (SELECT id AS a, note AS b FROM paiement) s');

-- joins
SELECT * FROM lin('SELECT id, p.montant, c.montant AS m2 FROM paiement p JOIN collecte c USING (id)');
SELECT * FROM lin('SELECT id, montant FROM paiement FULL JOIN collecte USING (id, montant)');
SELECT * FROM lin('SELECT id FROM paiement NATURAL RIGHT JOIN collecte');
SELECT * FROM lin('SELECT j.id, j.nom, j.montant FROM (entreprise e JOIN paiement p USING (id)) AS j');
SELECT * FROM lin('SELECT j::text AS row FROM (paiement p JOIN collecte c USING (id, entreprise_id, montant, paye_le, note)) AS j');
SELECT * FROM lin('SELECT u.id FROM paiement JOIN collecte USING (id) AS u');
SELECT * FROM lin('SELECT id FROM paiement a FULL JOIN collecte b USING (id) FULL JOIN facture c USING (id)');
SELECT * FROM lin('SELECT e.nom, p.nom AS parent FROM entreprise e LEFT JOIN entreprise p ON p.id = e.parent_id');
SELECT * FROM refs('SELECT e.nom, p.secteur AS parent FROM entreprise e LEFT JOIN entreprise p ON p.id = e.parent_id');

-- LATERAL, functions, VALUES in FROM
SELECT * FROM lin('SELECT e.nom, l.m FROM entreprise e CROSS JOIN LATERAL
    (SELECT max(p.montant) AS m FROM paiement p WHERE p.entreprise_id = e.id) l');
SELECT * FROM lin('SELECT e.nom, e2.x FROM entreprise e, LATERAL (SELECT e.secteur AS x) e2');
SELECT * FROM lin('SELECT e.id, u.lot, u.n FROM entreprise e, unnest(e.lots) WITH ORDINALITY AS u (lot, n)');
SELECT * FROM lin('SELECT r.a, r.b, r.o FROM entreprise e, ROWS FROM (jsonb_to_recordset(e.doc) AS (a int), unnest(e.lots)) WITH ORDINALITY AS r (a, b, o)');
SELECT * FROM lin('SELECT g FROM generate_series(1, 3) g');
SELECT * FROM lin('SELECT id FROM entreprise, generate_series(1, parent_id)');
SELECT * FROM lin('SELECT id, unnest(lots) AS lot FROM entreprise');
SELECT * FROM lin('SELECT v.a, v.b FROM entreprise e, LATERAL (VALUES (e.id, ''x''), (e.parent_id, e.nom)) v (a, b)');
SELECT * FROM lin('VALUES (1, ''a''), (2, ''b'')');
SELECT * FROM lin('SELECT x.n, x.v FROM entreprise e, xmltable(''/r'' PASSING (e.nom::xml) COLUMNS n int PATH ''n'', v text PATH ''v'' DEFAULT e.secteur) x');

-- subqueries in expressions
SELECT * FROM lin('SELECT nom, (SELECT max(p.montant) FROM paiement p WHERE p.entreprise_id = e.id) AS m FROM entreprise e');
SELECT * FROM lin('SELECT nom, (SELECT p.note FROM paiement p LIMIT 1) AS n FROM entreprise');
SELECT * FROM lin('SELECT nom, ARRAY(SELECT p.montant FROM paiement p ORDER BY p.id) AS a FROM entreprise');
SELECT * FROM lin('SELECT nom, EXISTS (SELECT p.note FROM paiement p WHERE p.entreprise_id = e.id) AS paid FROM entreprise e');
SELECT * FROM lin('SELECT nom, id IN (SELECT p.entreprise_id FROM paiement p WHERE p.montant > 0) AS paid FROM entreprise');
SELECT * FROM lin('SELECT nom FROM entreprise e WHERE EXISTS (SELECT p.note FROM paiement p WHERE p.entreprise_id = e.id)');
SELECT * FROM lin('SELECT nom FROM entreprise WHERE id NOT IN (SELECT entreprise_id FROM paiement)');
SELECT * FROM lin('SELECT nom FROM entreprise WHERE (id, parent_id) = (SELECT id, entreprise_id FROM collecte LIMIT 1)');
SELECT * FROM lin('SELECT (SELECT (SELECT e.nom || p.note FROM collecte) FROM paiement p) AS deep FROM entreprise e');

-- set operations
SELECT * FROM lin('SELECT id, note FROM paiement UNION ALL SELECT id, upper(note) FROM collecte');
SELECT * FROM lin('SELECT id, note FROM paiement UNION SELECT id, note FROM collecte ORDER BY note');
SELECT * FROM lin('SELECT id FROM paiement INTERSECT SELECT id FROM collecte');
SELECT * FROM lin('SELECT id FROM paiement EXCEPT ALL SELECT id FROM collecte');
SELECT * FROM lin('(SELECT id FROM paiement EXCEPT SELECT id FROM collecte) UNION ALL SELECT id FROM facture');
SELECT * FROM lin('(SELECT id FROM paiement ORDER BY montant LIMIT 1) UNION ALL SELECT entreprise_id FROM total');
SELECT * FROM lin('SELECT montant AS m FROM paiement UNION ALL SELECT id FROM collecte UNION ALL SELECT NULL');
SELECT * FROM lin('SELECT sum(m) AS s FROM (SELECT montant AS m FROM paiement UNION ALL SELECT montant FROM collecte) u');

-- CTEs
SELECT * FROM lin('WITH p AS (SELECT entreprise_id AS e, sum(montant) AS t FROM paiement GROUP BY 1), q AS (SELECT e, t * 2 AS t FROM p)
    SELECT nom, q.t FROM entreprise JOIN q ON q.e = entreprise.id');
SELECT * FROM lin('WITH a AS (SELECT id FROM paiement) SELECT x.id, (SELECT max(y.id) FROM a y WHERE EXISTS (SELECT FROM a z WHERE z.id = x.id)) AS m FROM a x');
SELECT * FROM lin('WITH a AS (SELECT note AS v FROM paiement) SELECT v FROM (WITH a AS (SELECT v || nom AS v FROM a, entreprise) SELECT v FROM a) s');
SELECT * FROM lin('WITH unused AS (SELECT note FROM paiement WHERE montant > 0) SELECT nom FROM entreprise');
SELECT * FROM refs('WITH unused AS (SELECT note FROM paiement WHERE montant > 0) SELECT nom FROM entreprise');
SELECT * FROM lin('WITH a AS MATERIALIZED (SELECT a AS r FROM paiement a) SELECT (a.r).montant AS m, a::text AS whole FROM a');
-- recursive: a column from itself, columns that swap, two that refer to each other's level, forward reference
SELECT * FROM lin('WITH RECURSIVE t AS (SELECT id, nom::text AS path, 0 AS depth FROM entreprise WHERE parent_id IS NULL
    UNION ALL SELECT e.id, t.path || e.nom, depth + 1 FROM entreprise e JOIN t ON e.parent_id = t.id) SELECT * FROM t');
SELECT * FROM lin('WITH RECURSIVE t (a, b, c) AS (SELECT id, parent_id, longueur FROM entreprise UNION ALL SELECT b, c, a FROM t WHERE a < 9) SELECT a FROM t');
SELECT * FROM lin('WITH RECURSIVE t (a, b) AS (SELECT id, 0 FROM entreprise UNION ALL SELECT b, a + 1 FROM t) SELECT a, b FROM t');
SELECT * FROM lin('WITH RECURSIVE later AS (SELECT n FROM earlier), earlier AS (SELECT nom AS n FROM entreprise) SELECT n FROM later');
SELECT * FROM lin('WITH RECURSIVE o AS (SELECT id AS a FROM paiement UNION ALL
    SELECT x FROM (WITH RECURSIVE i AS (SELECT a AS x FROM o UNION ALL SELECT x + c.id FROM i JOIN collecte c ON c.id = x) SELECT x FROM i) s) SELECT a FROM o');
SELECT * FROM lin('WITH RECURSIVE t AS (SELECT id, parent_id FROM entreprise UNION ALL SELECT e.id, e.parent_id FROM entreprise e JOIN t ON e.parent_id = t.id)
    SEARCH DEPTH FIRST BY id SET seq CYCLE parent_id SET looped USING path SELECT id, seq::text AS seq, looped, path::text AS path FROM t');

-- every kind of relation; a view is a reference and stays closed
SELECT * FROM refs('SELECT r.id, t.total, f.montant, l.valeur, c.relname FROM recent r, total t, facture f, lointain l, pg_class c, entreprise e');
SELECT * FROM lin('SELECT r.montant FROM recent r');
SELECT * FROM refs('SELECT a.id FROM recent a, recent b, (SELECT montant FROM recent) c WHERE EXISTS (SELECT FROM paiement)');
-- row and rows alike
SELECT * FROM refs('SELECT id, nom FROM entreprise WHERE secteur IS NOT NULL ORDER BY cree_le');

-- what is called: functions that are not built in (an operator's, an ordering's too), volatile ones, clocks, row security
CREATE FUNCTION plus_un(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 + 1;
CREATE FUNCTION au_hasard(int) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN $1; END';
CREATE FUNCTION egal(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN $1 = $2;
CREATE OPERATOR === (FUNCTION = egal, LEFTARG = int, RIGHTARG = int);
CREATE AGGREGATE produit(int) (SFUNC = int4mul, STYPE = int, INITCOND = '1');
CREATE SEQUENCE compteur;
CREATE VIEW vue_hasard AS SELECT id, random() AS r FROM paiement;
CREATE VIEW vue_dessus AS SELECT id FROM vue_hasard WHERE id IN (SELECT id FROM recent);
CREATE TABLE secret (id int);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE VIEW vue_secret AS SELECT id FROM secret;
CREATE FUNCTION public.props(q text) RETURNS TABLE (functions text[], volatile_functions text[], time_dependent text[], row_security boolean)
    LANGUAGE sql AS 'SELECT * FROM strata.query_properties(q)';
SELECT * FROM props('SELECT id, upper(nom) AS u, sum(longueur) OVER () AS s FROM entreprise');
SELECT * FROM props('SELECT plus_un(id) AS a, plus_un(3) + plus_un(2) AS b FROM entreprise WHERE id === 3');
SELECT * FROM props('SELECT produit(id) AS p FROM entreprise HAVING au_hasard(count(*)::int) > 1');
SELECT * FROM props('SELECT id FROM entreprise ORDER BY random(), nextval(''compteur''), clock_timestamp()');
SELECT * FROM props('SELECT id FROM entreprise JOIN LATERAL (SELECT au_hasard(entreprise.id) AS h) l ON plus_un(l.h) = 2');
SELECT * FROM props('SELECT id FROM entreprise LIMIT (SELECT au_hasard(2))');
SELECT * FROM props('WITH unused AS (SELECT gen_random_uuid() AS u) SELECT g FROM generate_series(1, au_hasard(2)) g');
SELECT * FROM props('SELECT id FROM entreprise UNION ALL VALUES (au_hasard(1))');
SELECT * FROM props('SELECT id FROM entreprise TABLESAMPLE bernoulli (10)');
SELECT * FROM props('SELECT id FROM entreprise TABLESAMPLE bernoulli (plus_un(10)) REPEATABLE (1)');
SELECT * FROM props('SELECT now() AS a, current_date AS b, current_timestamp(3) AS c, localtime AS d, localtimestamp AS e, current_time AS f,
    transaction_timestamp() AS g, statement_timestamp() AS h, current_user AS i, age(cree_le) AS j FROM entreprise');
SELECT * FROM props('SELECT age(cree_le, cree_le) AS a, date_trunc(''day'', cree_le) AS b FROM entreprise');
-- hidden in views; a view's other functions are its own affair
SELECT * FROM props('SELECT id FROM recent');
SELECT * FROM props('SELECT id FROM vue_dessus');
SELECT * FROM props('SELECT id FROM secret');
SELECT * FROM props('SELECT 1 AS a WHERE EXISTS (SELECT FROM vue_secret)');
SELECT * FROM props('SELECT total FROM total');

-- what newer versions can say; on older ones there is nothing to test
SELECT CASE WHEN current_setting('server_version_num')::int < 170000 THEN true
    ELSE (SELECT array_agg(col || ' ' || sources) = '{"i entreprise.nom:d entreprise.doc:d","(rows) entreprise.nom:f entreprise.doc:f"}'
          FROM lin('SELECT j.i FROM entreprise e, JSON_TABLE(e.doc, ''$[*]'' PASSING e.nom AS n COLUMNS (i int PATH ''$.i'')) j')) END AS json_table;
SELECT CASE WHEN current_setting('server_version_num')::int < 160000 THEN true
    ELSE (SELECT array_agg(col || ' ' || sources) = '{"o entreprise.nom:d","a entreprise.id:a","(rows) entreprise.nom:f"}'
          FROM lin('SELECT JSON_OBJECT(''k'': nom) AS o, JSON_ARRAYAGG(id) AS a FROM entreprise GROUP BY nom')) END AS json_constructors;

-- it is the caller's search_path that names are looked up in
SET search_path = public;
SELECT * FROM lin('SELECT id FROM quittance_rare');
SELECT * FROM lin('SELECT id FROM src.paiement');
-- nothing is read, so only the schema must be open
CREATE ROLE regress_lineage_reader;
SET ROLE regress_lineage_reader;
SELECT * FROM lin('SELECT id FROM src.paiement');
RESET ROLE;
GRANT USAGE ON SCHEMA src TO regress_lineage_reader;
SET ROLE regress_lineage_reader;
SELECT * FROM lin('SELECT id FROM src.paiement');
RESET ROLE;
SET search_path = src, public;

-- refused, each with its reason
CREATE TEMP TABLE passager (id int);
CREATE VIEW pg_temp.vue AS SELECT 1 AS one;
CREATE FUNCTION public.refused(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    PERFORM strata.query_lineage(q);
    RETURN NEXT 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT SQLSTATE || ' ' || SQLERRM;
    RETURN NEXT '  ' || detail || ' / ' || hint;
END $$;
\pset format unaligned
\pset tuples_only on
SELECT refused('');
SELECT refused(' -- nothing' || E'\n' || ' ; /* at all */ ;');
SELECT refused('SELECT 1 AS a; SELECT 2 AS b');
SELECT refused('SELECT id FROM paiement); DROP TABLE paiement; --');
SELECT refused('SELECT id FROM paiement; COMMIT');
SELECT refused('SELECT 1 AS a;');
SELECT refused('INSERT INTO paiement VALUES (1)');
SELECT refused('WITH x AS (SELECT 1) DELETE FROM paiement');
SELECT refused('MERGE INTO paiement USING collecte ON true WHEN MATCHED THEN DELETE');
SELECT refused('COMMIT');
SELECT refused('CREATE TABLE t AS SELECT 1');
SELECT refused('EXPLAIN SELECT 1');
SELECT refused('CALL x()');
SELECT refused('COPY paiement TO STDOUT');
SELECT refused('SELECT 1 AS a INTO nouveau');
SELECT refused('SELECT id INTO TEMP nouveau FROM paiement UNION SELECT id FROM collecte EXCEPT SELECT 1');
SELECT refused('WITH d AS (DELETE FROM paiement RETURNING id) SELECT id FROM d');
SELECT refused('WITH u AS (UPDATE paiement SET id = 1) SELECT 1 AS a');
SELECT refused('SELECT id FROM paiement FOR UPDATE');
SELECT refused('SELECT id FROM (SELECT id FROM paiement FOR SHARE) s');
SELECT refused('SELECT id FROM paiement WHERE id IN (SELECT id FROM collecte FOR KEY SHARE)');
SELECT refused('SELECT $1 AS a');
SELECT refused('SELECT id FROM paiement WHERE note = $12');
SELECT refused('SELECT FROM paiement');
SELECT refused('SELECT id + 1 FROM paiement');
SELECT refused('SELECT id, montant, id FROM paiement');
SELECT refused('SELECT b.id, c.*, a.* FROM paiement a, collecte b, (SELECT 1 AS x, 2 AS x2) c');
SELECT refused('SELECT ctid FROM paiement');
SELECT refused('SELECT ROW(id, note) AS r FROM paiement');
SELECT refused('SELECT ARRAY[ROW(1)] AS r');
SELECT refused('SELECT NULL::void AS v');
SELECT refused('SELECT stavalues1 AS v FROM pg_statistic');
SELECT refused('SELECT nom || secteur COLLATE "C" AS ok, nom COLLATE "C" || secteur COLLATE "POSIX" AS bad FROM entreprise');
SELECT refused('SELECT (CASE WHEN true THEN a.x ELSE b.y END) AS undecided FROM (SELECT nom COLLATE "C" AS x FROM entreprise) a, (SELECT nom COLLATE "POSIX" AS y FROM entreprise) b');
SELECT refused('SELECT NULL AS n, ''text'' AS t');
SELECT refused('SELECT id FROM passager');
SELECT refused('SELECT 1 AS x WHERE EXISTS (SELECT FROM vue)');
SELECT refused('SELECT relname FROM pg_class');
SELECT refused('SELECT id FROM quitance_rare');
SELECT refused('SELECT nom, é.id FROM entreprise JOIN src.quitance_rare AS é USING (id)');
SELECT refused('SELECT id FROM "Quittance_rare"');
SELECT refused('SELECT id FROM sans_pareil_nulle_part');
SELECT refused('SELECT id FROM ailleurs.quittance_tres_rare');
SELECT refused('SELECT id FROM "sa""ns');
SELECT refused('SELECT x.id FROM paiement');
SELECT refused('SELECT idd FROM paiement');
SELECT refused('SELECT ''unclosed');
SELECT refused('SELECT ' || string_agg(i || ' AS c' || i, ', ') || ' ') FROM generate_series(1, 1600) i;
SELECT refused('SELECT ' || string_agg(i || ' AS c' || i, ', ') || ' ') FROM generate_series(1, 1601) i;
\pset format aligned
\pset tuples_only off

-- the position is in the query given, counted in characters
SELECT * FROM strata.query_lineage('SELECT ''é'' AS é,
    idd FROM paiement');
SELECT * FROM strata.query_lineage('SELECT ''éé'' AS é, id + 1 FROM paiement');
SELECT * FROM strata.query_lineage('SELECT 1 AS a;
  SELECT 2 AS b');
SELECT * FROM strata.query_references('SELECT id FROM paiement WHERE note = $1');
SELECT * FROM strata.query_lineage(NULL);

-- much of everything: deep nesting is an error of PostgreSQL's own or a result, never a crash
SELECT count(*), min(sources) FROM lin((SELECT 'SELECT ' || repeat('(', 400) || 'id' || repeat(' + 1)', 400) || ' AS a FROM paiement'));
SELECT col, sources FROM lin((SELECT repeat('SELECT a FROM (', 200) || 'SELECT id AS a FROM paiement' || repeat(') s', 200)));
SELECT col, sources FROM lin((SELECT string_agg('SELECT id FROM paiement', ' UNION ALL ') FROM generate_series(1, 500)));
CREATE FUNCTION public.survives(q text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM strata.query_lineage(q);
    RETURN true;
EXCEPTION WHEN statement_too_complex OR syntax_error THEN -- the parser says "memory exhausted" for one
    RETURN true;
END $$;
SELECT survives('SELECT id' || repeat(' + id', 50000) || ' AS a FROM paiement') AS sum,
       survives('SELECT ' || repeat('(', 100000) || 'id' || repeat(')', 100000) || ' AS a FROM paiement') AS parentheses,
       survives(repeat('SELECT a FROM (', 1500) || 'SELECT id AS a FROM paiement' || repeat(') s', 1500)) AS subqueries,
       survives('SELECT ' || repeat('(SELECT ', 1500) || 'id FROM paiement' || repeat(')', 1500) || ' AS a') AS scalars,
       survives(repeat('SELECT id FROM paiement UNION ', 5000) || 'SELECT id FROM collecte') AS unions,
       survives('SELECT p0.id FROM paiement p0' || (SELECT string_agg(' CROSS JOIN paiement p' || i, '') FROM generate_series(1, 1000) i)) AS joins;

-- wide and long
DO $$
BEGIN
    EXECUTE 'CREATE TABLE src.large (' || (SELECT string_agg('c' || i || ' int', ', ') FROM generate_series(1, 1600) i) || ')';
END $$;
SELECT count(*), count(DISTINCT output_column), count(*) FILTER (WHERE output_column IS DISTINCT FROM source_column) AS wrong
FROM strata.query_lineage('SELECT * FROM (SELECT * FROM (SELECT * FROM large) a) b');
SELECT count(*) FROM strata.query_lineage('SELECT l AS row FROM large l');
SELECT cardinality(columns) FROM strata.query_references('SELECT to_json(l) AS j FROM large l');
SELECT count(*), count(*) FILTER (WHERE kind = 'derived') AS derived, count(*) FILTER (WHERE kind = 'filter') AS filters
FROM strata.query_lineage((SELECT 'SELECT id, p1.montant FROM paiement p1 ' || string_agg(format('FULL JOIN paiement p%s USING (id)', i), ' ' ORDER BY i)
                           FROM generate_series(2, 100) i));

SET client_min_messages = warning;
DROP SCHEMA src CASCADE;
DROP FUNCTION lin, refs, props, refused, survives;
DROP FOREIGN DATA WRAPPER nowhere CASCADE;
DROP ROLE regress_lineage_reader;
