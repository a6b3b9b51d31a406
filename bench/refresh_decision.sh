#!/bin/bash
# refresh_decision: what a refresh decides to do, against each of the ways there are: adding the changes up, computing the groups
# touched again, and everything with the differences written. Of every mart there are four copies over the same tables, and so
# the same changes: three are forced (strata.incremental_rule), one is left to decide.
#
#   BENCH_ROWS=1000000   ROUNDS=1   MARTS="by_customer ..."   SHARES="0.0002 0.02 0.2"   KEPT_ROWS=3000000
#   BENCH_LOG=FILE keeps what was measured
#
# Time is what the session was on a CPU (Linux), without parallel workers. In turns whose order changes from round to round; a first round is not
# counted. The figure is the decision's time over that of the best way, the median of the rounds; "NOT MET" above 1.30. After
# the last round of a share all copies are compared with the one that was computed in full, EXCEPT ALL both ways.
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROWS=${BENCH_ROWS:-1000000} ROUNDS=${ROUNDS:-1} KEPT_ROWS=${KEPT_ROWS:-$((3 * ROWS))}
MARTS=${MARTS:-by_customer by_region_category by_day by_region_dimension by_rate extremes_wide distinct_wide distinct_customer distinct_join texts window sets_parted kept silent silent_customer distinct_bare cubed as_of by_expression}
SHARES=${SHARES:-0.0002 0.02 0.2}
export PGOPTIONS="${PGOPTIONS:-} -c max_parallel_workers_per_gather=0"

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sql -v rows="$ROWS" -v kept="$KEPT_ROWS" >/dev/null <<'SQL'
CREATE SCHEMA b;
CREATE TABLE b.customer (id integer PRIMARY KEY, region text NOT NULL, name text);
INSERT INTO b.customer SELECT i, 'region' || i % 8, 'customer ' || i FROM generate_series(1, 10000) AS i;
CREATE TABLE b.product (id integer PRIMARY KEY, category text NOT NULL, price numeric(10,2));
INSERT INTO b.product SELECT i, 'cat' || i % 20, i % 100 + 0.5 FROM generate_series(1, 1000) AS i;
CREATE TABLE b.rate (currency integer PRIMARY KEY, rate numeric(10,4) NOT NULL);
INSERT INTO b.rate SELECT i, 1 + i / 10.0 FROM generate_series(0, 4) AS i;
CREATE TABLE b.orders (id bigint PRIMARY KEY, customer integer NOT NULL, product integer NOT NULL, amount numeric(12,2) NOT NULL, day date NOT NULL,
                       status smallint);
SELECT setseed(0.5);
INSERT INTO b.orders
SELECT i, 1 + floor(random() * 10000)::integer, 1 + floor(random() * 1000)::integer, (random() * 1000)::numeric(12,2),
       date '2024-01-01' + (i * 730 / :rows)::integer, i % 5
  FROM generate_series(1, :rows::bigint) AS i;
CREATE INDEX ON b.orders (customer);
CREATE INDEX ON b.orders (day);
-- two fifths of the orders, for what takes long in full
CREATE TABLE b.small (LIKE b.orders INCLUDING ALL);
INSERT INTO b.small SELECT * FROM b.orders WHERE id % 5 < 2;
-- no index but on what no mart asks for
CREATE TABLE b.bare (LIKE b.orders INCLUDING DEFAULTS, PRIMARY KEY (id));
INSERT INTO b.bare SELECT * FROM b.orders WHERE id % 5 < 2 AND customer % 7 <> 0;
-- prices by time
CREATE TABLE b.price (product integer, valid_from date, valid_to date, price numeric(10,2));
INSERT INTO b.price SELECT p, date '2024-01-01' + 73 * v, date '2024-01-01' + 73 * v + 73, p + v FROM generate_series(1, 1000) AS p, generate_series(0, 9) AS v;
-- a partition for each month
CREATE TABLE b.parted (LIKE b.orders INCLUDING DEFAULTS) PARTITION BY RANGE (day);
SELECT format('CREATE TABLE b.parted_%s PARTITION OF b.parted FOR VALUES FROM (%L) TO (%L)', n, date '2024-01-01' + n * interval '1 month', date '2024-01-01' + (n + 1) * interval '1 month')
  FROM generate_series(0, 24) AS n \gexec
CREATE INDEX ON b.parted (customer);
INSERT INTO b.parted SELECT * FROM b.orders;
CREATE TABLE b.kept_rows (id bigint PRIMARY KEY, customer integer NOT NULL, product integer NOT NULL, amount numeric(12,2) NOT NULL, day date NOT NULL,
                     status smallint);
INSERT INTO b.kept_rows SELECT i, i % 10000, i % 1000, i % 1000, date '2024-01-01' + (i % 730)::integer, i % 5 FROM generate_series(1, :kept::bigint) AS i;
CREATE TABLE b.pick (id bigint, op "char", new_id bigint);
CREATE SEQUENCE b.new_id START 1000000000;
VACUUM (FREEZE, ANALYZE);
SQL

# mart: its query | its key | the table that changes | the order in which rows change
mart() {
	case $1 in
		by_customer) echo "SELECT customer, count(*) AS n, sum(amount) AS s FROM b.orders GROUP BY customer|customer|orders|random()" ;;
		by_region_category) echo "SELECT c.region, p.category, count(*) AS n, sum(o.amount) AS s FROM b.orders AS o JOIN b.customer AS c ON c.id = o.customer JOIN b.product AS p ON p.id = o.product GROUP BY c.region, p.category|region, category|orders|random()" ;;
		by_region_dimension) echo "SELECT c.region, p.category, count(*) AS n, sum(o.amount) AS s FROM b.orders AS o JOIN b.customer AS c ON c.id = o.customer JOIN b.product AS p ON p.id = o.product GROUP BY c.region, p.category|region, category|customer|random()" ;;
		by_rate) echo "SELECT o.customer, sum(o.amount * r.rate) AS s, count(*) AS n FROM b.small AS o JOIN b.rate AS r ON r.currency = o.status GROUP BY o.customer|customer|rate|random()" ;;
		by_day) echo "SELECT day, count(*) AS n, sum(amount) AS s, min(amount) AS lowest, max(amount) AS highest FROM b.orders GROUP BY day|day|orders|day DESC, id DESC" ;;
		extremes_wide) echo "SELECT p.category, count(*) AS n, min(o.amount) AS lowest, max(o.amount) AS highest FROM b.orders AS o JOIN b.product AS p ON p.id = o.product GROUP BY p.category|category|orders|random()" ;;
		distinct_wide) echo "SELECT (product % 66) AS g, count(DISTINCT customer) AS n FROM b.small GROUP BY 1|g|small|random()" ;;
		distinct_customer) echo "SELECT customer, count(DISTINCT product) AS n FROM b.orders GROUP BY customer|customer|orders|random()" ;;
		distinct_join) echo "SELECT c.region, p.category, count(DISTINCT o.customer) AS n, avg(o.amount) AS a FROM b.small AS o JOIN b.customer AS c ON c.id = o.customer JOIN b.product AS p ON p.id = o.product GROUP BY c.region, p.category|region, category|small|random()" ;;
		texts) echo "SELECT customer, string_agg(product::text, ',' ORDER BY id) AS products, count(*) AS n FROM b.small GROUP BY customer|customer|small|random()" ;;
		window) echo "SELECT id, customer, amount, row_number() OVER (PARTITION BY customer ORDER BY id) AS nth, sum(amount) OVER (PARTITION BY customer ORDER BY id) AS so_far FROM b.small|id|small|random()" ;;
		sets_parted) echo "SELECT c.region, p.category, count(*) AS n, sum(o.amount) AS s, grouping(c.region, p.category) AS g FROM b.parted AS o JOIN b.customer AS c ON c.id = o.customer JOIN b.product AS p ON p.id = o.product GROUP BY GROUPING SETS ((c.region, p.category), (c.region), (p.category), ())||customer|random()" ;;
		kept) echo "SELECT id, customer, product, amount FROM b.kept_rows WHERE amount >= 0|id|kept_rows|id" ;;
		silent) echo "SELECT c.id, c.region FROM b.customer AS c WHERE NOT EXISTS (SELECT FROM b.bare AS e WHERE e.customer = c.id AND e.amount > 100)|id|bare|random()" ;;
		distinct_bare) echo "SELECT c.region, count(*) AS n, max(o.amount) AS highest, count(DISTINCT o.product) AS products FROM b.bare AS o JOIN b.customer AS c ON c.id = o.customer GROUP BY c.region|region|bare|random()" ;;
		cubed) echo "SELECT grouping(c.region, o.status) AS g, c.region, o.status, count(*) AS n, sum(o.amount) AS s, max(o.day) AS last FROM (SELECT * FROM b.bare WHERE id % 40 = 1) AS o LEFT JOIN b.customer AS c ON c.id = o.customer GROUP BY CUBE (c.region, o.status)||bare|random()" ;;
		as_of) echo "SELECT o.id, o.day, p.price FROM (SELECT * FROM b.bare WHERE id % 10 = 1) AS o LEFT JOIN b.price AS p ON p.product = o.product AND o.day >= p.valid_from AND o.day < p.valid_to|id|bare|random()" ;;
		by_expression) echo "SELECT product / 7 AS g, min(amount) AS lowest, percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) AS middle FROM b.bare GROUP BY 1|g|bare|random()" ;;
		silent_customer) echo "SELECT c.id, c.region FROM b.customer AS c WHERE NOT EXISTS (SELECT FROM b.bare AS e WHERE e.customer = c.id AND e.amount > 100)|id|customer|random()" ;;
		*) echo "refresh_decision: there is no mart $1" >&2; exit 1 ;;
	esac
}

used="split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint"
# all four ways, beginning with another one each round
side() {
	echo "SET strata.incremental_rule = $1;"
	printf 'SELECT %s AS used \\gset\n' "$used"
	echo "SELECT count(*) < 0 FROM strata.refresh('b.r_$1');"
	echo "SELECT '@ $1 ' || greatest((($used) - :used) / 1e6 - 0.1, 0.01);"
	echo "RESET strata.incremental_rule;"
	echo "SELECT '? $1 ', coalesce(to_jsonb(s) ->> 'method', action) FROM strata.steps AS s ORDER BY run DESC LIMIT 1;"
}
changes() {
	local table=$1 order=$2 share=$3
	cat <<-SQL
		TRUNCATE b.pick;
	SQL
	case $table in
		customer)
			echo "INSERT INTO b.pick (id) SELECT id FROM b.customer ORDER BY random() LIMIT greatest(1, 10000 * $share);"
			echo "UPDATE b.customer SET region = 'region' || (substr(region, 7)::integer + 1) % 8 WHERE id IN (SELECT id FROM b.pick);"
			;;
		rate)
			echo "UPDATE b.rate SET rate = rate + 0.0001 WHERE currency < greatest(1, 25 * $share);"
			;;
		*)
			cat <<-SQL
				INSERT INTO b.pick
				SELECT id, CASE WHEN r < 0.7 THEN 'u' WHEN r < 0.85 THEN 'd' ELSE 'i' END, nextval('b.new_id')
				  FROM (SELECT id, random() AS r FROM b.$table ORDER BY $order
				         LIMIT (SELECT greatest(1, reltuples * $share) FROM pg_class WHERE oid = 'b.$table'::regclass)) AS chosen;
				ANALYZE b.pick;
				INSERT INTO b.$table SELECT p.new_id, o.customer, o.product, (random() * 1000)::numeric(12,2), o.day, o.status
				  FROM b.pick AS p JOIN b.$table AS o USING (id) WHERE p.op = 'i';
				UPDATE b.$table SET amount = amount + 1, product = 1 + product % 1000 WHERE id IN (SELECT id FROM b.pick WHERE op = 'u');
				DELETE FROM b.$table WHERE id IN (SELECT id FROM b.pick WHERE op = 'd');
			SQL
			;;
	esac
	echo "SELECT count(*) < 0 FROM b.$table;"
}

for name in $MARTS; do
	IFS='|' read -r query key table order < <(mart "$name")
	shares=$SHARES
	[ "$name" != kept ] || shares=${KEPT_SHARES:-0.002 0.33}
	case $name in silent* | distinct_bare | cubed | as_of | by_expression) shares=${BARE_SHARES:-0.000003 0.00005 0.002} ;; esac
	[ "$name" != by_rate ] || shares=${RATE_SHARES:-0.04 0.2}
	{
		for rule in auto algebra keys full; do
			echo "SELECT strata.define_mart('b.r_$rule', \$q\$$query\$q\$${key:+, key => '{$key}'});"
		done
		echo "SELECT count(*) FROM strata.refresh('b.*'); VACUUM (ANALYZE); CHECKPOINT;"
	} | sql >/dev/null
	{
		for share in $shares; do
			for round in $(seq 0 "$ROUNDS"); do
				# a warming round of the first share only
				[ "$round" -gt 0 ] || [ "$share" = "${shares%% *}" ] || continue
				echo "SELECT '# $name $share $round';"
				changes "$table" "$order" "$share"
				rules=(auto algebra keys full auto algebra keys full)
				for rule in "${rules[@]:$((round % 4)):4}"; do side "$rule"; done
				for rule in auto algebra keys; do
					[ "$round" = "$ROUNDS" ] || break
					echo "SELECT '! $rule', count(*) FROM ((TABLE b.r_$rule EXCEPT ALL TABLE b.r_full) UNION ALL (TABLE b.r_full EXCEPT ALL TABLE b.r_$rule)) AS d;"
				done
				echo "VACUUM;"
			done
		done
		echo "SELECT '! query', count(*) FROM ((TABLE b.r_full EXCEPT ALL ($query)) UNION ALL (($query) EXCEPT ALL TABLE b.r_full)) AS d;"
	} >"$work/session.sql"
	sql -f "$work/session.sql" | tr '|' ' ' >>"$work/log"
	for rule in auto algebra keys full; do echo "SELECT strata.drop_model('b.r_$rule');"; done | sql >/dev/null
done
[ -z "${BENCH_LOG:-}" ] || cp "$work/log" "$BENCH_LOG"

awk '
function median(text,    v, n, i, j, x) {
	n = split(text, v, " ")
	for (i = 2; i <= n; i++) { x = v[i] + 0; for (j = i - 1; j >= 1 && v[j] + 0 > x; j--) v[j + 1] = v[j]; v[j + 1] = x }
	return v[int((n + 1) / 2)] + 0
}
$1 == "#" { cell = $2 " " $3; round = $4; if (!(cell in seen)) { seen[cell] = 1; order[++cells] = cell } best = "" }
$1 == "@" && round > 0 { time[cell, $2] = time[cell, $2] " " $3 }
$1 == "?" { rule = $2; $1 = $2 = ""; how[cell, rule] = $0 }
$1 == "!" && $3 != 0 { print "refresh_decision: " $2 " differs: " cell > "/dev/stderr"; failed = 1 }
END {
	printf "%-32s %9s %9s %9s %9s  %-7s %6s\n", "mart, share", "auto", "algebra", "keys", "full", "best", "ratio" > "/dev/stderr"
	for (i = 1; i <= cells; i++) {
		cell = order[i]
		n = split("algebra keys full", rules, " ")
		least = 0
		for (r = 1; r <= n; r++) { m = median(time[cell, rules[r]]); if (!least || m < least) { least = m; best = rules[r] } }
		a = median(time[cell, "auto"])
		printf "%-32s %9.2f %9.2f %9.2f %9.2f  %-7s %6.2f %s %s\n", cell, a, median(time[cell, "algebra"]), median(time[cell, "keys"]),
			median(time[cell, "full"]), best, a / least, (a > 1.3 * least ? "NOT MET" : ""), how[cell, "auto"] > "/dev/stderr"
		split(cell, word, " ")
		sub(/0\./, "", word[2])
		printf "refresh_decision_%s_%s ratio %.2f\n", word[1], word[2], a / least
		over += a > 1.3 * least
	}
	printf "# above 1.30: %d of %d\n", over, cells > "/dev/stderr"
	exit failed
}' "$work/log"
