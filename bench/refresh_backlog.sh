#!/bin/bash
# refresh_backlog: the refresh of a mart after 100 changed rows, while another mart over the same table, which was not refreshed meanwhile,
# has a million captured rows before it, against the same refresh without them.
#
#   BENCH_ROWS=1000000   rows of the table; half of them are updated for the backlog, which makes as many captured rows: in 50 statements, each
#                        followed by a refresh, as over a day
#   ROUNDS=15
#
# Time is what the session was on a CPU (Linux); the figure is the ratio of the medians. Both marts are compared with their query
# in the end, EXCEPT ALL both ways.
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROWS=${BENCH_ROWS:-1000000} ROUNDS=${ROUNDS:-15}
export PGOPTIONS="${PGOPTIONS:-} -c max_parallel_workers_per_gather=0"

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
used="split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint"
query="SELECT customer, count(*) AS n, sum(amount) AS s FROM b.orders GROUP BY customer"

# SIDE: the first round is not counted
rounds() {
	for round in $(seq 0 "$ROUNDS"); do
		echo "UPDATE b.orders SET amount = amount + 1 WHERE id IN (SELECT 1 + floor(random() * $ROWS)::bigint FROM generate_series(1, 100));"
		printf 'SELECT %s AS used \\gset\n' "$used"
		echo "SELECT count(*) < 0 FROM strata.refresh('b.often');"
		[ "$round" -eq 0 ] || echo "SELECT '@ $1 ' || (($used) - :used) / 1e6;"
		echo "SELECT '? $1 ' || coalesce(to_jsonb(s) ->> 'method', action) FROM strata.steps AS s ORDER BY run DESC LIMIT 1;"
		[ "$1" = backlog ] || echo "SELECT count(*) < 0 FROM strata.refresh('b.seldom');"
	done
}
{
	cat <<-SQL
		SET client_min_messages = warning;
		CREATE SCHEMA b;
		CREATE TABLE b.orders (id bigint PRIMARY KEY, customer integer NOT NULL, amount numeric(12,2) NOT NULL, note text);
		INSERT INTO b.orders SELECT i, i % 10000, i % 500, repeat('a note ', 10) || i FROM generate_series(1, $ROWS) AS i;
		SELECT strata.define_mart(m, \$q\$$query\$q\$, key => '{customer}') FROM unnest('{b.often,b.seldom}'::text[]) AS m;
		SELECT count(*) < 0 FROM strata.refresh();
		SELECT count(*) < 0 FROM strata.refresh();
		VACUUM (ANALYZE);
	SQL
	rounds none
	# often has read it all, seldom has not
	for step in $(seq 0 49); do
		echo "UPDATE b.orders SET amount = amount + 1 WHERE id % 100 = $step;"
		echo "SELECT count(*) < 0 FROM strata.refresh('b.often');"
	done
	echo "SELECT count(*) < 0 FROM strata.refresh('b.often'); VACUUM (ANALYZE);"
	rounds backlog
	echo "SELECT '# ' || backlog FROM strata.captures WHERE source = 'b.orders' ORDER BY backlog DESC LIMIT 1;"
	echo "SELECT count(*) < 0 FROM strata.refresh();"
	for mart in often seldom; do
		echo "SELECT '! $mart ' || count(*) FROM ((TABLE b.$mart EXCEPT ALL ($query)) UNION ALL (($query) EXCEPT ALL TABLE b.$mart)) AS d;"
	done
} >"$work/session.sql"
sql -f "$work/session.sql" >"$work/log"

awk '
function median(text,    v, n, i, j, x) {
	n = split(text, v, " ")
	for (i = 2; i <= n; i++) { x = v[i] + 0; for (j = i - 1; j >= 1 && v[j] + 0 > x; j--) v[j + 1] = v[j]; v[j + 1] = x }
	return v[int((n + 1) / 2)] + 0
}
$1 == "@" { time[$2] = time[$2] " " $3 }
$1 == "?" { how[$0]++ }
$1 == "#" { backlog = $2 }
$1 == "!" && $3 != 0 { print "refresh_backlog: b." $2 " differs" > "/dev/stderr"; failed = 1 }
END {
	for (way in how) print "refresh_backlog: " how[way] " of " substr(way, 3) > "/dev/stderr"
	printf "refresh_backlog: %d rows wait; %.2f ms, without %.2f ms\n", backlog, median(time["backlog"]), median(time["none"]) > "/dev/stderr"
	if (!failed) printf "refresh_backlog ratio %.2f\n", median(time["backlog"]) / median(time["none"])
	exit failed
}' "$work/log"
