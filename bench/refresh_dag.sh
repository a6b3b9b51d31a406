#!/bin/bash
# refresh_dag: what a refresh costs when nothing or nearly nothing has changed.
#
#   refresh_nothing_1     a model over 1M rows, nothing changed (median of ROUNDS)
#   refresh_nothing_25    the same of 25 models: 5 staging tables, 10 joins of them, 10 marts of those
#   refresh_stacked_10    10 models upon one another over 1M rows, 100 rows changed at the bottom, the top correct
#
# After each refresh with changes every target of the stack is compared with its query, EXCEPT ALL both ways, outside the time.
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROUNDS=${ROUNDS:-9} ROWS=${BENCH_ROWS:-1000000}

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
median() { sort -n | awk '{ v[NR] = $1 } END { printf "%.2f\n", v[int((NR + 1) / 2)] }'; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sql -v rows="$ROWS" >/dev/null <<'SQL'
CREATE SCHEMA src;
CREATE SCHEMA stg;
CREATE SCHEMA mid;
CREATE SCHEMA top;
CREATE SCHEMA s;
CREATE TABLE src.orders (id integer PRIMARY KEY, customer integer, product integer, amount numeric(12,2), day date);
SELECT setseed(0.5);
INSERT INTO src.orders
SELECT i, 1 + floor(random() * 10000)::integer, 1 + floor(random() * 1000)::integer, (random() * 1000)::numeric(12,2),
       date '2024-01-01' + (i % 730)
  FROM generate_series(1, :rows) AS i;
CREATE TABLE src.customer AS SELECT i AS customer, 'region' || i % 8 AS region, 'customer ' || i AS name FROM generate_series(1, 10000) AS i;
ALTER TABLE src.customer ADD PRIMARY KEY (customer);
CREATE TABLE src.product AS SELECT i AS product, 'cat' || i % 20 AS category FROM generate_series(1, 1000) AS i;
ALTER TABLE src.product ADD PRIMARY KEY (product);

-- 10 upon one another
SELECT strata.define_mart('s.m1', 'SELECT id, customer, product, amount, day FROM src.orders WHERE amount > 10', key => '{id}');
SELECT strata.define_mart('s.m2', 'SELECT m.id, m.customer, p.category, m.amount, m.day FROM s.m1 AS m JOIN src.product AS p USING (product)', key => '{id}');
SELECT strata.define_mart('s.m3', 'SELECT m.id, m.customer, c.region, m.category, m.amount, m.day FROM s.m2 AS m LEFT JOIN src.customer AS c USING (customer)', key => '{id}');
SELECT strata.define_mart('s.m4', 'SELECT customer, category, region, count(*) AS n, sum(amount) AS s FROM s.m3 GROUP BY customer, category, region', key => '{customer, category}');
SELECT strata.define_mart('s.m5', 'SELECT customer, category, region, n, s, s / n AS mean FROM s.m4 WHERE n > 1', key => '{customer, category}');
SELECT strata.define_mart('s.m6', 'SELECT customer, region, sum(n) AS n, sum(s) AS s, max(mean) AS best FROM s.m5 GROUP BY customer, region', key => '{customer}');
SELECT strata.define_mart('s.m7', 'SELECT m.customer, c.name, m.region, m.n, m.s FROM s.m6 AS m JOIN src.customer AS c USING (customer)', key => '{customer}');
SELECT strata.define_mart('s.m8', 'SELECT region, count(*) AS customers, sum(n) AS n, sum(s) AS s FROM s.m7 GROUP BY region', key => '{region}');
SELECT strata.define_mart('s.m9', 'SELECT region, customers, n, s, s / customers AS per_customer FROM s.m8', key => '{region}');
SELECT strata.define_mart('s.m10', 'SELECT count(*) AS regions, sum(customers) AS customers, sum(n) AS n, sum(s) AS s FROM s.m9');
SELECT count(*) FROM strata.refresh();
VACUUM (FREEZE, ANALYZE);
SQL

# the time of a refresh, the session warm; then nothing at all may differ from its query
refresh() { printf '\\timing on\nSELECT count(*) FROM strata.refresh(%s);\n\\timing off\n' "$1"; }
oracle() {
	cat <<-'SQL'
		SELECT format('SELECT %L, count(*) FROM ((TABLE %s EXCEPT ALL (%s)) UNION ALL ((%s) EXCEPT ALL TABLE %s)) AS d', name, name, rtrim(query, ';'), rtrim(query, ';'), name)
		  FROM (SELECT model AS name, query FROM strata.models WHERE model LIKE 's.%') AS m \gexec
	SQL
}
times() { awk '/^Time: / { print $2 }' "$1"; }

for round in $(seq 0 "$ROUNDS"); do
	echo "\\echo # $round"
	echo "UPDATE src.orders SET amount = amount + 1 WHERE id IN (SELECT 1 + floor(random() * $ROWS)::integer FROM generate_series(1, 70));"
	echo "DELETE FROM src.orders WHERE id IN (SELECT 1 + floor(random() * $ROWS)::integer FROM generate_series(1, 15));"
	echo "INSERT INTO src.orders SELECT $ROWS + $round * 15 + i, 1 + floor(random() * 10000)::integer, 1 + floor(random() * 1000)::integer, 500, '2026-01-01' FROM generate_series(1, 15) AS i;"
	refresh "'s.m1 s.m2 s.m3 s.m4 s.m5 s.m6 s.m7 s.m8 s.m9 s.m10'"
	[ $((round % 4)) -ne 0 ] || oracle
done >"$work/stacked.sql"
sql -f "$work/stacked.sql" >"$work/stacked"
if grep -E '^s\.m[0-9]+\|' "$work/stacked" | grep -qvE '\|0$'; then
	grep -E '^s\.m[0-9]+\|' "$work/stacked" | grep -vE '\|0$' >&2
	echo "refresh_dag: a model differs from its query" >&2
	exit 1
fi
[ "$(grep -cE '^s\.m10\|0$' "$work/stacked")" -gt 0 ] || { echo "refresh_dag: nothing was compared" >&2; exit 1; }

for round in $(seq 0 "$ROUNDS"); do refresh "'s.m8'"; done >"$work/one.sql"
sql -f "$work/one.sql" >"$work/one"

sql >/dev/null <<'SQL'
SELECT strata.drop_model('s.m1', true);
DO $$
BEGIN
	FOR i IN 0..4 LOOP
		EXECUTE format('CREATE TABLE src.t%s AS SELECT * FROM src.orders WHERE id %% 50 = %s', i, i);
		PERFORM strata.define_staging(format('stg.t%s', i), format('SELECT id, customer, product, amount, day FROM src.t%s', i), materialized => 'table', key => '{id}');
	END LOOP;
	FOR i IN 0..9 LOOP
		PERFORM strata.define_mart(format('mid.j%s', i), format('SELECT t.id, t.amount, t.day, c.region FROM stg.t%s AS t JOIN src.customer AS c USING (customer) WHERE t.id %% 2 = %s', i % 5, i % 2), key => '{id}');
	END LOOP;
	FOR i IN 0..9 LOOP
		PERFORM strata.define_mart(format('top.m%s', i), format('SELECT region, count(*) AS n, sum(amount) AS s FROM mid.j%s GROUP BY region', i), key => '{region}');
	END LOOP;
END $$;
SELECT count(*) FROM strata.refresh();
SELECT count(*) FROM strata.refresh();
SQL
[ "$(sql -c "SELECT count(*) FROM strata.models")" = 25 ] || { echo "refresh_dag: not 25 models" >&2; exit 1; }
sql -c 'VACUUM (FREEZE, ANALYZE)'
for round in $(seq 0 "$ROUNDS"); do refresh ''; done >"$work/dag.sql"
sql -f "$work/dag.sql" >"$work/dag"

# the first of a session reads catalogs; it is not counted
figure() { echo "$1 ms $(times "$work/$2" | tail -n +2 | median)"; echo "# $1: $(times "$work/$2" | xargs)" >&2; }
figure refresh_nothing_1 one
figure refresh_nothing_25 dag
figure refresh_stacked_10 stacked
