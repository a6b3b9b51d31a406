-- Plans against the full result, on random changes: rows that differ are within the keys, the part restricted to the keys is the full
-- part there, signed changes lead from the old result to the new one, and the parts together give what the query gives.
SET client_min_messages = error;
CREATE SCHEMA incremental_follow;
SET search_path TO incremental_follow, public;
CREATE FUNCTION tree(query text) RETURNS SETOF text
    LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_tree';
CREATE FUNCTION parts(query text) RETURNS TABLE (number int, rule text, keys int[], is_unique boolean, parts int[], sql text)
    LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_parts';
CREATE FUNCTION inputs(query text) RETURNS TABLE (relation regclass, columns text[])
    LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_inputs';
CREATE FUNCTION part_sql(query text, part int, what text, tables oid[], changed oid[], rowset text, nulls boolean) RETURNS text
    LANGUAGE c STRICT AS '$libdir/pg_strata', 'strata_incremental_sql';
CREATE TABLE customers (id int PRIMARY KEY, name text, region text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, day date, amount numeric, note text);
CREATE TABLE lines (order_id int, product text, quantity int);
CREATE VIEW big_orders AS SELECT id, customer_id, amount FROM orders WHERE amount > 10;
CREATE TABLE queries (number int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO queries (query) VALUES
    ('SELECT count(DISTINCT c.region), max(DISTINCT c.region) || ''!'' m FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.amount > 3'),
    ('SELECT sum(DISTINCT amount) FROM orders HAVING count(DISTINCT amount) > 2'),
    ('SELECT count(DISTINCT note) AS notes, count(*) FROM orders'),
    ('SELECT s FROM (SELECT customer_id k, sum((SELECT max(quantity) FROM lines l WHERE l.order_id = o.id)) s FROM orders o GROUP BY 1) x WHERE k > 1'),
    ('SELECT k, s FROM (SELECT customer_id k, sum((SELECT max(quantity) FROM lines l WHERE l.order_id = o.id)) s FROM orders o GROUP BY 1) x WHERE k > 1'),
    ('SELECT customer_id, count(*) FROM orders o GROUP BY customer_id HAVING EXISTS (SELECT FROM customers c WHERE c.id = o.customer_id)'),
    ('SELECT customer_id, count(*) FROM orders o GROUP BY customer_id HAVING count(*) > (SELECT count(*) FROM customers c WHERE c.id = o.customer_id)'),
    ('SELECT customer_id, count(*), (SELECT name FROM customers c WHERE c.id = customer_id) FROM orders o GROUP BY customer_id'),
    ('WITH a AS (SELECT customer_id k, sum(amount) s FROM orders GROUP BY 1), b AS (SELECT k, s FROM a WHERE s > 10), c AS (SELECT k FROM b UNION SELECT id FROM customers) SELECT c.k, a.s, b.s t FROM c LEFT JOIN a ON a.k = c.k LEFT JOIN b ON b.k = c.k'),
    ('WITH u AS (SELECT customer_id k FROM orders UNION SELECT order_id FROM lines) SELECT u.k, v.k w FROM u, u v WHERE u.k = v.k + 1'),
    ('SELECT id FROM orders INTERSECT SELECT order_id FROM lines INTERSECT SELECT id FROM customers'),
    ('(SELECT id FROM orders EXCEPT SELECT order_id FROM lines) UNION ALL SELECT id FROM customers'),
    ('SELECT * FROM (SELECT * FROM (SELECT customer_id, amount, row_number() OVER (PARTITION BY customer_id ORDER BY id) rn FROM orders) s WHERE rn <= 2) t WHERE amount > 3'),
    ('SELECT customer_id + 1 AS k, customer_id, rn * 2 AS r FROM (SELECT customer_id, amount, row_number() OVER (PARTITION BY customer_id ORDER BY id) rn FROM orders) s WHERE rn <= 2'),
    ('SELECT id % 3 AS g, count(DISTINCT note) FROM orders GROUP BY id % 3'),
    ('SELECT 1 AS x FROM orders GROUP BY note'),
    ('SELECT DISTINCT ON (lower(note)) id, note FROM orders ORDER BY lower(note), id'),
    ('SELECT DISTINCT note FROM orders ORDER BY note OFFSET 1'),
    ('SELECT amount FROM orders ORDER BY amount FETCH FIRST 3 ROWS WITH TIES'),
    ('SELECT * FROM (SELECT region, name, GROUPING(region, name) g, count(*) n FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY GROUPING SETS ((region, name), (region), ()) HAVING GROUPING(region) = 0 OR count(*) > 2) s WHERE n > 1'),
    ('SELECT o.id, x FROM orders o, unnest(string_to_array(o.note, ''n'')) x'),
    ('SELECT o.id, v.a FROM orders o JOIN (VALUES (1, ''n1''), (2, ''n2'')) v(a, b) ON v.b = o.note'),
    ('SELECT coalesce(o.id, l.order_id) id, sum(l.quantity) FROM orders o FULL JOIN lines l ON l.order_id = o.id GROUP BY 1'),
    ('SELECT k, n FROM (SELECT customer_id k, count(*) n FROM orders GROUP BY 1 UNION ALL SELECT order_id, count(*) FROM lines GROUP BY 1) s WHERE n > 1'),
    ('SELECT name FROM customers WHERE id IN (SELECT DISTINCT customer_id FROM orders)'),
    ('SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders UNION SELECT order_id FROM lines)'),
    ('SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)'),
    ('SELECT name FROM customers WHERE id = ANY (SELECT customer_id FROM orders ORDER BY amount DESC, id LIMIT 5)'),
    ('SELECT name, ARRAY(SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY 1) a FROM customers c'),
    ('SELECT name FROM customers c WHERE (id, region) IN (SELECT customer_id, note FROM orders)'),
    ('SELECT customer_id, sum(amount) FILTER (WHERE note = ''n1''), array_agg(id ORDER BY id) FILTER (WHERE note IS NULL) FROM orders GROUP BY customer_id'),
    ('SELECT note, day, count(*) OVER (PARTITION BY note, day), sum(amount) OVER (PARTITION BY day, customer_id) FROM orders'),
    ('SELECT note, count(*) OVER (PARTITION BY note), sum(amount) OVER (PARTITION BY day) FROM orders'),
    ('SELECT c.region, t.n FROM customers c JOIN (SELECT customer_id, note, count(*) n FROM orders GROUP BY customer_id, note) t ON t.customer_id = c.id WHERE t.note IS NOT NULL'),
    ('SELECT c.id, t.n FROM customers c LEFT JOIN LATERAL (SELECT count(*) n FROM orders o WHERE o.customer_id = c.id) t ON TRUE'),
    ('SELECT c.id, t.amount FROM customers c CROSS JOIN LATERAL (SELECT o.amount FROM orders o WHERE o.customer_id = c.id ORDER BY o.amount DESC, o.id LIMIT 2) t'),
    ('SELECT max(c) FROM (SELECT count(*) c FROM orders GROUP BY customer_id) s'),
    ('SELECT count(*) FROM (SELECT DISTINCT customer_id, note FROM orders) s'),
    ('SELECT sum(n) FROM (SELECT customer_id, count(DISTINCT note) n FROM orders GROUP BY customer_id) s'),
    ('SELECT customer_id, day FROM orders GROUP BY ROLLUP (customer_id, day) ORDER BY 1, 2'),
    ('SELECT customer_id, count(*) FROM orders GROUP BY DISTINCT GROUPING SETS ((customer_id), (customer_id))'),
    ('SELECT customer_id, count(*) FROM orders GROUP BY GROUPING SETS ((customer_id), (customer_id))'),
    ('SELECT a.k, b.k kb FROM (SELECT customer_id k FROM orders GROUP BY 1) a JOIN (SELECT customer_id k FROM orders GROUP BY 1) b ON a.k = b.k'),
    ('SELECT customer_id, lag(amount) OVER w, last_value(note) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM orders WINDOW w AS (PARTITION BY customer_id ORDER BY id)'),
    ('SELECT p.product, p.q, (SELECT sum(q) FROM (SELECT sum(quantity) q FROM lines GROUP BY product) z) total FROM (SELECT product, sum(quantity) q FROM lines GROUP BY product) p'),
    ('SELECT product, sum(quantity) * 100.0 / sum(sum(quantity)) OVER () AS share FROM lines GROUP BY product'),
    ('SELECT o.customer_id, sum(o.amount) FROM orders o WHERE EXISTS (SELECT FROM lines l WHERE l.order_id = o.id) AND o.customer_id NOT IN (SELECT id FROM customers WHERE region = ''r1'') GROUP BY o.customer_id'),
    ('SELECT * FROM (SELECT customer_id, count(*) n FROM orders GROUP BY customer_id ORDER BY n DESC, customer_id LIMIT 4) t JOIN customers c ON c.id = t.customer_id'),
    ('SELECT note, count(*) FROM orders GROUP BY note HAVING count(*) = (SELECT max(n) FROM (SELECT count(*) n FROM orders GROUP BY note) s)'),
    ('SELECT day, amount, avg(amount) OVER (PARTITION BY day ORDER BY amount ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM orders WHERE amount > 5'),
    ('SELECT customer_id, string_agg(n, '','' ORDER BY n) FROM (SELECT customer_id, note || count(*) n FROM orders GROUP BY customer_id, note) s GROUP BY customer_id'),
    ('SELECT customer_id, mode() WITHIN GROUP (ORDER BY note), rank(10) WITHIN GROUP (ORDER BY amount) FROM orders GROUP BY customer_id'),
    ('SELECT (SELECT count(*) FROM orders) a, (SELECT count(*) FROM lines) b'),
    ('SELECT id, EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id) has, id IN (SELECT order_id FROM lines) l FROM customers c'),
    ('SELECT id, CASE WHEN EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id) THEN (SELECT min(amount) FROM orders o WHERE o.customer_id = c.id) END m FROM customers c'),
    ('SELECT o.id, o2.id prev FROM orders o LEFT JOIN orders o2 ON o2.customer_id = o.customer_id AND o2.id = (SELECT max(id) FROM orders o3 WHERE o3.customer_id = o.customer_id AND o3.id < o.id)'),
    ('SELECT c.region, count(*) FROM customers c LEFT JOIN (SELECT DISTINCT customer_id FROM orders) o ON o.customer_id = c.id WHERE o.customer_id IS NULL GROUP BY c.region'),
    ('SELECT name, ARRAY(SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY 1 DESC) a FROM customers c'),
    ('SELECT name, ARRAY(SELECT customer_id FROM orders GROUP BY customer_id ORDER BY 1 DESC) a FROM customers c'),
    ('SELECT name, (SELECT o.amount FROM orders o WHERE o.customer_id = c.id ORDER BY o.day DESC NULLS LAST, o.id LIMIT 1) AS final FROM customers c'),
    ('SELECT o.id, (SELECT l.product FROM lines l WHERE l.order_id = o.id AND l.quantity > 1 ORDER BY l.product, l.quantity LIMIT 1) p FROM orders o WHERE o.amount > 3'),
    ('SELECT o.id, (SELECT amount FROM orders ORDER BY amount DESC, id LIMIT 1) p FROM orders o WHERE o.amount > 3'),
    ('SELECT o.id FROM orders o WHERE o.day = (SELECT p.day FROM orders p WHERE p.customer_id = o.customer_id ORDER BY p.day, p.id LIMIT 1)'),
    ('SELECT name, (SELECT o.amount FROM orders o WHERE o.customer_id = c.id AND o.note = c.region ORDER BY o.amount LIMIT 1) AS final FROM customers c'),
    ('SELECT customer_id, count(*), sum(amount) FROM orders GROUP BY customer_id'),
    ('SELECT id, amount FROM orders WHERE amount > 10 ORDER BY id'),
    ('SELECT c.region, sum(o.amount) FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.region HAVING count(*) > 1'),
    ('SELECT customer_id, string_agg(note, '','' ORDER BY id) FROM orders GROUP BY customer_id'),
    ('SELECT count(DISTINCT note) FROM orders'),
    ('SELECT sum(amount) FROM orders GROUP BY customer_id'),
    ('SELECT string_agg(note, '','' ORDER BY id) FROM orders GROUP BY customer_id, day'),
    ('SELECT customer_id, day, array_agg(id ORDER BY id) ids FROM orders GROUP BY customer_id, day'),
    ('SELECT DISTINCT region FROM customers'),
    ('SELECT DISTINCT ON (customer_id) customer_id, day, amount FROM orders ORDER BY customer_id, day DESC, id'),
    ('SELECT DISTINCT ON (customer_id, note) amount FROM orders ORDER BY customer_id, note, id'),
    ('SELECT customer_id, amount, row_number() OVER (PARTITION BY customer_id ORDER BY day, id) FROM orders'),
    ('SELECT * FROM (SELECT customer_id, day, amount, row_number() OVER (PARTITION BY customer_id ORDER BY day DESC, id) rn FROM orders) s WHERE rn = 1'),
    ('SELECT amount FROM (SELECT customer_id, day, amount, row_number() OVER (PARTITION BY customer_id ORDER BY day DESC, id) rn FROM orders) s WHERE rn = 1'),
    ('SELECT id, sum(amount) OVER (PARTITION BY customer_id, day), count(*) OVER (PARTITION BY customer_id ORDER BY id) FROM orders'),
    ('SELECT customer_id, sum(amount), rank() OVER (ORDER BY sum(amount) DESC) FROM orders GROUP BY customer_id'),
    ('SELECT customer_id, day, sum(amount), rank() OVER (PARTITION BY customer_id ORDER BY sum(amount) DESC) FROM orders GROUP BY customer_id, day'),
    ('SELECT customer_id, sum(amount) FROM orders GROUP BY customer_id ORDER BY 2 DESC, 1 LIMIT 10'),
    ('SELECT customer_id FROM orders GROUP BY customer_id ORDER BY sum(amount) DESC, 1 LIMIT 10'),
    ('SELECT id FROM orders UNION SELECT order_id FROM lines'),
    ('SELECT id, note FROM orders UNION ALL SELECT order_id, product FROM lines'),
    ('SELECT id::bigint FROM orders UNION ALL SELECT order_id FROM lines'),
    ('SELECT id FROM orders INTERSECT SELECT order_id FROM lines'),
    ('SELECT customer_id FROM orders INTERSECT ALL SELECT order_id FROM lines'),
    ('SELECT customer_id, amount FROM orders EXCEPT SELECT order_id, quantity FROM lines'),
    ('SELECT customer_id FROM orders EXCEPT ALL SELECT order_id FROM lines'),
    ('(SELECT customer_id FROM orders UNION SELECT id FROM customers) EXCEPT (SELECT order_id FROM lines WHERE quantity > 2)'),
    ('SELECT region, name, GROUPING(name), count(*) FROM customers GROUP BY ROLLUP (region, name)'),
    ('SELECT region, name, max(id) FROM customers GROUP BY CUBE (region, name) HAVING count(*) > 1'),
    ('SELECT region FROM customers GROUP BY GROUPING SETS ((region), ())'),
    ('SELECT b.id, c.name FROM big_orders b JOIN customers c ON c.id = b.customer_id'),
    ('WITH t AS (SELECT customer_id, sum(amount) s FROM orders GROUP BY 1) SELECT a.customer_id, b.s FROM t a JOIN t b ON a.s = b.s'),
    ('SELECT c.*, s.total FROM customers c LEFT JOIN (SELECT customer_id, sum(amount) total FROM orders GROUP BY customer_id) s ON s.customer_id = c.id'),
    ('SELECT name FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id AND o.amount > 5)'),
    ('SELECT name FROM customers c WHERE c.id IN (SELECT customer_id FROM orders GROUP BY customer_id HAVING count(*) > 2)'),
    ('SELECT name FROM customers c WHERE c.id NOT IN (SELECT order_id FROM lines WHERE order_id IS NOT NULL)'),
    ('SELECT region, count(*) FROM (SELECT DISTINCT region, name FROM customers) s GROUP BY region'),
    ('SELECT note, total FROM (SELECT note, sum(amount) total FROM orders GROUP BY note) s WHERE total > 5'),
    ('SELECT total + 1 AS more FROM (SELECT note, sum(amount) total FROM orders GROUP BY note) s WHERE note IS NOT NULL'),
    ('SELECT customer_id, c FROM (SELECT customer_id, count(DISTINCT note) c FROM orders GROUP BY customer_id) s WHERE c > 1'),
    ('SELECT c FROM (SELECT customer_id, count(DISTINCT note) c FROM orders GROUP BY customer_id) s WHERE c > 1'),
    ('SELECT region, avg(n) FROM (SELECT c.region, c.id, count(o.id) n FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.region, c.id) s GROUP BY region'),
    ('SELECT DISTINCT customer_id, count(*) OVER (PARTITION BY customer_id) FROM orders'),
    ('SELECT customer_id, sum(amount) FROM orders GROUP BY customer_id HAVING sum(amount) > (SELECT avg(quantity) FROM lines)'),
    ('SELECT id, (SELECT max(amount) FROM orders) FROM customers'),
    ('SELECT c.id, t.* FROM customers c CROSS JOIN LATERAL (SELECT o.amount, o.day FROM orders o WHERE o.customer_id = c.id) t'),
    ('SELECT c.id, c.name, count(*) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id'),
    ('SELECT l.product, o.note, sum(l.quantity * o.amount) FROM lines l FULL JOIN orders o ON o.id = l.order_id GROUP BY 1, 2'),
    ('SELECT max(t) FROM (SELECT customer_id, sum(amount) t FROM orders GROUP BY customer_id) s'),
    ('SELECT * FROM (SELECT id, amount FROM orders ORDER BY amount, id LIMIT 5) s WHERE amount > 0'),
    ('SELECT customer_id, count(*) FROM (SELECT id, customer_id FROM orders ORDER BY amount, id LIMIT 15) s GROUP BY customer_id'),
    ('SELECT count(*) FROM orders HAVING count(*) > 3'),
    ('SELECT customer_id, generate_series(1, count(*)::int) FROM orders GROUP BY customer_id'),
    ('SELECT DISTINCT customer_id, note FROM orders'),
    ('SELECT a.id, b.id AS other FROM orders a, orders b WHERE a.customer_id = b.customer_id AND a.id < b.id'),
    ('SELECT customer_id, note, percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM orders GROUP BY 1, 2'),
    ('SELECT id, (SELECT max(amount) FROM orders o WHERE o.customer_id = c.id) AS m FROM customers c'),
    ('SELECT id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS m FROM customers c'),
    ('SELECT id, (SELECT coalesce(sum(amount), 0) + count(*) FROM orders o WHERE o.customer_id = c.id AND o.note IS NOT NULL) AS m, (SELECT count(*) FROM lines) n FROM customers c'),
    ('SELECT id, amount FROM orders o WHERE amount > (SELECT avg(amount) FROM orders p WHERE p.customer_id = o.customer_id)'),
    ('SELECT id, (SELECT name FROM customers c WHERE c.id = o.customer_id) AS name FROM orders o'),
    ('SELECT customer_id, sum((SELECT c.id FROM customers c WHERE c.id = o.customer_id)) FROM orders o GROUP BY 1'),
    ('SELECT id, (SELECT c.name || ''!'' FROM customers c WHERE c.id = o.customer_id AND region IS NOT NULL) AS name, (SELECT sum(quantity) FROM lines l WHERE l.order_id = o.id) q FROM orders o, generate_series(1, 2) g'),
    ('SELECT o.id, c.name, (SELECT sum(l.quantity) FROM lines l WHERE l.order_id = o.id AND l.product = c.name) s FROM orders o LEFT JOIN customers c ON c.id = o.customer_id'),
    ('SELECT customer_id, rank() OVER (PARTITION BY customer_id ORDER BY (SELECT count(*) FROM lines l WHERE l.order_id = o.id)) r, id FROM orders o'),
    ('SELECT count(*) FROM orders WHERE amount > (SELECT avg(amount) FROM orders)'),
    ('SELECT region, count(*) FROM customers c WHERE (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) = 0 GROUP BY region'),
    ('SELECT c.id, x.n FROM customers c LEFT JOIN (SELECT DISTINCT ON (customer_id, note) amount n, day FROM orders ORDER BY customer_id, note, id) x ON x.n = c.id LEFT JOIN lines l ON l.order_id = c.id'),
    ('SELECT c.id, x.n FROM customers c LEFT JOIN (SELECT sum(amount) n FROM orders GROUP BY customer_id, note) x ON x.n = c.id FULL JOIN lines l ON l.order_id = x.n'),
    ('SELECT note FROM orders WHERE id IN (SELECT order_id FROM lines l GROUP BY order_id, product HAVING count(*) > 1)'),
    ('SELECT note FROM orders WHERE NOT EXISTS (SELECT FROM lines l WHERE l.order_id = orders.id LIMIT 1)'),
    ('WITH a AS (SELECT DISTINCT region FROM customers), b AS (SELECT region r, count(*) n FROM a, orders GROUP BY 1) SELECT * FROM b UNION ALL SELECT region, 0 FROM a'),
    ('SELECT customer_id, day, count(*) OVER w, sum(amount) OVER (PARTITION BY customer_id) FROM orders WINDOW w AS (PARTITION BY customer_id, day ORDER BY id)'),
    ('SELECT DISTINCT ON (customer_id) customer_id, count(*) n FROM orders GROUP BY customer_id, day ORDER BY customer_id, count(*) DESC'),
    ('SELECT product, sum(n) FROM (SELECT product, count(*) n FROM lines GROUP BY product UNION ALL SELECT note, count(*) FROM orders GROUP BY note) u GROUP BY product'),
    ('SELECT customer_id, max(rn) FROM (SELECT customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY id) rn FROM orders) s GROUP BY customer_id'),
    ('SELECT day, note, count(DISTINCT customer_id), GROUPING(day, note) g FROM orders GROUP BY GROUPING SETS ((day), (note), (day, note), ())'),
    ('SELECT DISTINCT customer_id FROM orders ORDER BY customer_id LIMIT 3'),
    ('SELECT region, string_agg(DISTINCT name, '','') FROM customers GROUP BY region UNION SELECT product, NULL FROM lines'),
    ('SELECT * FROM (SELECT customer_id, note, dense_rank() OVER (PARTITION BY customer_id, note ORDER BY amount) r FROM orders) s WHERE r <= 2 AND note IS NULL'),
    ('SELECT customer_id, note, array_agg(DISTINCT day) FROM orders GROUP BY customer_id, note HAVING count(DISTINCT day) > 1'),
    ('SELECT lower(note) AS n, count(DISTINCT id) FROM orders GROUP BY lower(note)');

-- Plays the runner by hand: the tables of the parts, random changes, and for each part its rule against the full result.
CREATE FUNCTION difference(a text, b text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT image FROM (SELECT strata_r::text AS image, 1 AS sign FROM (%s) strata_r UNION ALL SELECT strata_r::text, -1 FROM (%s) strata_r) x
        GROUP BY image HAVING sum(sign) <> 0) d', a, b) INTO n;
    RETURN n;
END $$;

CREATE FUNCTION remember_change(relation regclass, old text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS pg_temp.strata_change_%s', relation::oid);
    EXECUTE format('CREATE TEMP TABLE strata_change_%s AS SELECT q.*, 1 AS strata_sign FROM (SELECT * FROM %s EXCEPT ALL SELECT * FROM %s) q
        UNION ALL SELECT q.*, -1 FROM (SELECT * FROM %s EXCEPT ALL SELECT * FROM %s) q', relation::oid, relation, old, old, relation);
    EXECUTE format('SELECT count(*) FROM strata_change_%s', relation::oid) INTO n;
    RETURN n > 0;
END $$;

CREATE FUNCTION follow(query text, seed int, steps int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    part record;
    tables oid[] := '{}';
    changed oid[];
    bases regclass[] := (SELECT coalesce(array_agg(relation ORDER BY relation::text), '{}') FROM inputs(query));
    base regclass;
    sql text;
    keys text;
    columns text[];
    nulls boolean;
    match text;
    rules text[] := '{}';
    wrong bigint;
    touched bigint := 0;
BEGIN
    PERFORM setseed(seed / 1000.0), fill();
    FOR part IN SELECT * FROM parts(query) LOOP
        EXECUTE format('DROP TABLE IF EXISTS tp_%s', part.number);
        EXECUTE format('CREATE TABLE tp_%s AS %s', part.number, part_sql(query, part.number, 'full', tables, '{}', '', false));
        tables := tables || format('tp_%s', part.number)::regclass::oid;
        rules := rules || part.rule;
    END LOOP;
    FOR step IN 1 .. steps LOOP
        FOREACH base IN ARRAY bases LOOP
            EXECUTE format('DROP TABLE IF EXISTS pg_temp.old_%s; CREATE TEMP TABLE old_%1$s AS SELECT * FROM %s', base::oid, base);
        END LOOP;
        PERFORM change_randomly();
        changed := '{}';
        FOREACH base IN ARRAY bases LOOP
            IF remember_change(base, format('old_%s', base::oid)) THEN changed := changed || base::oid; END IF;
        END LOOP;
        FOR part IN SELECT * FROM parts(query) LOOP
            sql := part_sql(query, part.number, 'full', tables, '{}', '', false);
            EXECUTE format('DROP TABLE IF EXISTS pg_temp.fresh; CREATE TEMP TABLE fresh AS %s', sql);
            columns := (SELECT array_agg(quote_ident(attname) ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'fresh'::regclass AND attnum > 0);
            wrong := 0;
            IF part.rule = 'signed' THEN
                sql := part_sql(query, part.number, 'change', tables, changed, '', false);
                IF sql IS NULL THEN
                    wrong := difference(format('SELECT * FROM tp_%s', part.number), 'SELECT * FROM fresh');
                ELSE
                    EXECUTE format('SELECT count(*) FROM (SELECT image FROM (SELECT strata_r::text AS image, 1 AS sign FROM tp_%s strata_r UNION ALL
                        SELECT (SELECT strata_r FROM (SELECT %s) strata_r)::text, strata_sign FROM (%s) strata_q UNION ALL SELECT strata_r::text, -1 FROM fresh strata_r) x
                        GROUP BY image HAVING sum(sign) <> 0) d', part.number, array_to_string(columns, ', '), sql) INTO wrong;
                END IF;
            ELSIF part.keys <> '{}' THEN
                keys := part_sql(query, part.number, 'keys', tables, changed, '', false);
                IF keys IS NULL THEN
                    wrong := difference(format('SELECT * FROM tp_%s', part.number), 'SELECT * FROM fresh');
                ELSE
                    EXECUTE format('DROP TABLE IF EXISTS pg_temp.some_keys; CREATE TEMP TABLE some_keys AS %s', keys);
                    EXECUTE format('SELECT EXISTS (SELECT FROM some_keys k WHERE NOT (k IS NOT NULL))') INTO nulls;
                    match := part_sql(query, part.number, 'match', tables, changed, '', nulls);
                    FOR i IN REVERSE cardinality(part.keys) .. 1 LOOP
                        match := replace(match, format('t.c%s', i), 't.' || columns[part.keys[i]]);
                    END LOOP;
                    -- all that differs is within the keys
                    wrong := difference(format('SELECT * FROM tp_%s t WHERE NOT EXISTS (SELECT FROM some_keys k WHERE %s)', part.number, match),
                                        format('SELECT * FROM fresh t WHERE NOT EXISTS (SELECT FROM some_keys k WHERE %s)', match));
                    -- the part restricted to them is the full result restricted to them
                    sql := part_sql(query, part.number, 'restricted', tables, changed, 'some_keys', nulls);
                    wrong := wrong + difference(sql, format('SELECT * FROM fresh t WHERE EXISTS (SELECT FROM some_keys k WHERE %s)', match));
                    touched := touched + (SELECT count(*) FROM some_keys);
                    IF part.is_unique THEN
                        EXECUTE format('SELECT count(*) FROM (SELECT FROM fresh GROUP BY %s HAVING count(*) > 1) d',
                            (SELECT string_agg(columns[k], ', ') FROM unnest(part.keys) k)) INTO STRICT touched;
                        wrong := wrong + touched;
                    END IF;
                END IF;
            END IF;
            IF wrong > 0 THEN
                RETURN format('step %s: part %s (%s): %s rows wrong', step, part.number, part.rule, wrong);
            END IF;
            EXECUTE format('DROP TABLE IF EXISTS pg_temp.old_part; CREATE TEMP TABLE old_part AS SELECT * FROM tp_%s; DELETE FROM tp_%1$s; INSERT INTO tp_%1$s SELECT * FROM fresh', part.number);
            IF remember_change(format('tp_%s', part.number)::regclass, 'old_part') THEN
                changed := changed || tables[part.number];
            END IF;
        END LOOP;
        wrong := difference(format('SELECT * FROM tp_%s', cardinality(tables)), query);
        IF wrong > 0 THEN
            RETURN format('step %s: the parts give another result than the query: %s rows', step, wrong);
        END IF;
    END LOOP;
    RETURN 'follows: ' || array_to_string(rules, ', ');
END $$;

CREATE FUNCTION change_randomly() RETURNS void LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
    n := floor(random() * 4);
    INSERT INTO customers SELECT 1000 + (random() * 1e6)::int, 'c' || (random() * 5)::int, CASE WHEN random() < 0.7 THEN 'r' || (random() * 3)::int END
        FROM generate_series(1, n) ON CONFLICT DO NOTHING;
    INSERT INTO orders SELECT 1000 + (random() * 1e6)::int, CASE WHEN random() < 0.8 THEN (random() * 12)::int END,
            CASE WHEN random() < 0.9 THEN date '2026-01-01' + (random() * 5)::int END, (random() * 30)::int, CASE WHEN random() < 0.7 THEN 'n' || (random() * 4)::int END
        FROM generate_series(1, (random() * 5)::int) ON CONFLICT DO NOTHING;
    INSERT INTO lines SELECT (random() * 12)::int, 'p' || (random() * 4)::int, CASE WHEN random() < 0.8 THEN (random() * 4)::int END FROM generate_series(1, (random() * 4)::int);
    UPDATE orders SET amount = amount + 1 WHERE random() < 0.08;
    UPDATE orders SET customer_id = (random() * 12)::int WHERE random() < 0.08;
    UPDATE orders SET note = NULL WHERE random() < 0.05;
    UPDATE customers SET region = CASE WHEN random() < 0.5 THEN 'r9' END WHERE random() < 0.1;
    UPDATE customers SET name = name || 'x' WHERE random() < 0.05;
    UPDATE lines SET quantity = quantity + 1, product = 'p' || (random() * 4)::int WHERE random() < 0.1;
    DELETE FROM orders WHERE random() < 0.1;
    DELETE FROM customers WHERE random() < 0.08;
    DELETE FROM lines WHERE random() < 0.1;
END $$;

CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
    DELETE FROM customers; DELETE FROM orders; DELETE FROM lines;
    INSERT INTO customers SELECT i, 'c' || i % 5, CASE WHEN i % 4 > 0 THEN 'r' || i % 3 END FROM generate_series(1, 12) i;
    INSERT INTO orders SELECT i, CASE WHEN i % 6 > 0 THEN i % 11 END, CASE WHEN i % 9 > 0 THEN date '2026-01-01' + i % 5 END, i % 31, CASE WHEN i % 4 > 0 THEN 'n' || i % 4 END FROM generate_series(1, 40) i;
    INSERT INTO lines SELECT i % 12, 'p' || i % 5, i % 4 FROM generate_series(1, 30) i;
    INSERT INTO lines SELECT i % 12, NULL, NULL FROM generate_series(1, 5) i;
$$;

\pset format unaligned
\pset tuples_only on
SELECT format('SELECT %L || follow(query, number, 1 + number %% 2) FROM queries WHERE number = %s', number || ': ', number) FROM queries ORDER BY number
\gexec

DROP SCHEMA incremental_follow CASCADE;
