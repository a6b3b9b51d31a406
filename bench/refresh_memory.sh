#!/bin/bash
# refresh_memory: the most private memory that a backend holds while it refreshes a model after 1M rows have changed, with work_mem
# at 4MB and at 64MB: a model of 10,000 groups, and one that keeps every row. A figure is the peak of RssAnon above what the session
# held before, in MB, seen every few milliseconds in /proc (Linux, the server on this machine).
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROWS=${BENCH_ROWS:-3000000} CHANGES=${CHANGES:-1000000}

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
sql -v rows="$ROWS" >/dev/null <<'SQL'
CREATE SCHEMA b;
CREATE TABLE b.orders (id integer PRIMARY KEY, customer integer NOT NULL, amount numeric(12,2) NOT NULL, note text);
INSERT INTO b.orders SELECT i, 1 + (i * 7919::bigint % 10000)::integer, i % 1000, 'note ' || i FROM generate_series(1, :rows) AS i;
CREATE INDEX ON b.orders (customer);
SELECT strata.define_mart('b.groups', 'SELECT customer, count(*) AS n, sum(amount) AS s FROM b.orders GROUP BY customer', key => '{customer}');
SELECT strata.define_mart('b.rows', 'SELECT id, customer, amount, note FROM b.orders WHERE amount >= 0', key => '{id}');
SELECT count(*) FROM strata.refresh();
VACUUM (FREEZE, ANALYZE);
SQL

anonymous() { awk '/^RssAnon:/ { print $2 }' "/proc/$1/status" 2>/dev/null || echo 0; }
measure() {
	local model=$1 memory=$2 pid before most=0 now done=
	coproc SESSION { sql 2>&1; }
	local out=${SESSION[0]} in=${SESSION[1]} job=$SESSION_PID
	echo "SET work_mem = '$memory'; SELECT pg_backend_pid(); SELECT count(*) FROM strata.plan('$model');" >&"$in"
	read -r pid <&"$out"
	read -r _ <&"$out"
	before=$(anonymous "$pid")
	echo "SELECT action || ' ' || duration_ms FROM strata.refresh('$model');" >&"$in"
	until read -r -t 0.005 done <&"$out" && [ -n "$done" ]; do
		now=$(anonymous "$pid")
		[ "${now:-0}" -le "$most" ] || most=$now
	done
	echo '\q' >&"$in"
	wait "$job" || true
	case $done in *[0-9]) ;; *) echo "refresh_memory: $done" >&2; exit 1 ;; esac
	echo "# $model, work_mem $memory: $done ms; $((before / 1024)) MB before, $((most / 1024)) MB at most" >&2
	echo "refresh_memory_${model#b.}_$(tr A-Z a-z <<<"$memory") value $(((most > before ? most - before : 0) / 1024))"
}
for memory in 4MB 64MB; do
	for model in b.groups b.rows; do
		sql -c "UPDATE b.orders SET amount = amount + 1 WHERE id <= $CHANGES" -c VACUUM
		measure "$model" "$memory"
		query=$(sql -c "SELECT query FROM strata.models WHERE model = '$model'")
		different=$(sql -c "SELECT count(*) FROM ((TABLE $model EXCEPT ALL ($query)) UNION ALL (($query) EXCEPT ALL TABLE $model)) AS d")
		[ "$different" = 0 ] || { echo "refresh_memory: $model differs from its query: $different" >&2; exit 1; }
	done
done
