#!/bin/bash
# refresh: what a refresh costs after 0.01, 0.1, 1 and 10% of the rows have changed (70% updates, 15% deletes, 15% inserts), for three
# aggregates over orders, and one after a dimension's rows have changed. Sides: REFRESH MATERIALIZED VIEW; two rules as written by
# hand (refresh/*.algebra.sql, refresh/*.keys.sql) which are given the signed changes; pg_strata; pg_ivm, where the server has it.
#
#   BENCH_ROWS=1000000 (5000000: the large table)      ROUNDS=3   BENCH_LOG=FILE keeps what was measured
#   BENCH_CPU=1   time that the session was on a CPU, without parallel workers (Linux): on a machine that has other work
#   QUERIES="by_customer by_region_category by_day by_region_dimension"    SHARES="0.0001 0.001 0.01 0.1"
#
# All sides see the same changes of one round, in turns whose order changes from round to round; a figure is the median over the
# rounds, a ratio the median of the rounds' ratios. A first round is not counted: it warms the session. After each round the target of
# every side is compared with the query, EXCEPT ALL both ways, outside the time. What capture and pg_ivm add to the writers' statements is measured
# against the same statements on a copy of the table without either.
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROWS=${BENCH_ROWS:-1000000} ROUNDS=${ROUNDS:-3}
QUERIES=${QUERIES:-by_customer by_region_category by_day by_region_dimension} SHARES=${SHARES:-0.0001 0.001 0.01 0.1}

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sql -v rows="$ROWS" -f refresh/setup.sql >/dev/null
if [ "$(sql -c "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_ivm'")" = 1 ]; then
	ivm=yes
	sql -c 'SET client_min_messages = error; CREATE EXTENSION pg_ivm'
else
	ivm=
	echo "# no pg_ivm in this server: its side is left out" >&2
fi
sql -c 'VACUUM (FREEZE, ANALYZE)'

# the query of a bench: two ask the same one
query_of() { sed 's/^--.*//' "refresh/${1/dimension/category}.query.sql"; }
key_of() { case $1 in by_customer) echo customer ;; by_day) echo day ;; *) echo region, category ;; esac; }
columns_of() { case $1 in by_day) echo "day, n, s, lowest, highest" ;; *) echo "$(key_of "$1"), n, s" ;; esac; }

# a side's statements, in a round
if [ -n "${BENCH_CPU:-}" ]; then
	export PGOPTIONS="${PGOPTIONS:-} -c max_parallel_workers_per_gather=0"
	used="split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint"
	timed() {
		printf '\\echo @ %s\nSELECT %s AS used \\gset\n' "$1" "$used"
		cat
		# what the two questions themselves cost: about a tenth of a millisecond
		printf "SELECT 'Time: ' || greatest((%s - :used) / 1e6 - 0.1, 0.01) || ' ms';\n" "$used"
	}
else
	timed() { printf '\\echo @ %s\n\\timing on\n' "$1"; cat; printf '\\timing off\n'; }
fi
side() {
	case $2 in
		full) echo 'REFRESH MATERIALIZED VIEW b.full;' | timed full ;;
		algebra | keys) { echo 'BEGIN;'; cat "refresh/$1.$2.sql"; echo 'COMMIT;'; } | timed "$2" ;;
		strata)
			echo "SELECT count(*) < 0 FROM strata.refresh('b.strata');" | timed strata
			echo "SELECT '?', coalesce(to_jsonb(s) ->> 'method', action) FROM strata.steps AS s ORDER BY run DESC LIMIT 1;"
			;;
	esac
}
changes() {
	local table=$2
	if [ "$1" = by_region_dimension ]; then
		echo "UPDATE b.customer$table SET region = 'region' || (substr(region, 7)::integer + 1) % 8 WHERE id IN (SELECT id FROM b.pick);"
	else
		cat <<-SQL
			UPDATE b.orders$table SET amount = amount + 1 WHERE id IN (SELECT id FROM b.pick WHERE op = 'u');
			DELETE FROM b.orders$table WHERE id IN (SELECT id FROM b.pick WHERE op = 'd');
			INSERT INTO b.orders$table SELECT new_id, customer, product, amount, day, 1 FROM b.pick WHERE op = 'i';
		SQL
	fi | timed "write$table"
}

# the rows a round changes; recent ones where the groups are days
pick() {
	local rows
	echo 'TRUNCATE b.pick, b.changed_order, b.changed_customer;'
	case $1 in
		by_region_dimension)
			rows=$(awk -v s="$2" 'BEGIN { printf "%d", 10000 * s < 1 ? 1 : 10000 * s }')
			echo "INSERT INTO b.pick (id) SELECT id FROM b.customer ORDER BY random() LIMIT $rows; ANALYZE b.pick;"
			;;
		*)
			rows=$(awk -v n="$ROWS" -v s="$2" 'BEGIN { printf "%d", n * s }')
			cat <<-SQL
				INSERT INTO b.pick
				SELECT id, CASE WHEN r < 0.7 THEN 'u' WHEN r < 0.85 THEN 'd' ELSE 'i' END, nextval('b.new_id'),
				       $(if [ "$1" = by_day ]; then echo customer, product; else echo '1 + floor(random() * 10000)::integer, 1 + floor(random() * 1000)::integer'; fi),
				       (random() * 1000)::numeric(12,2), day
				  FROM (SELECT *, random() AS r FROM b.orders
				         ORDER BY $(if [ "$1" = by_day ]; then echo 'day DESC, id DESC'; else echo 'random()'; fi) LIMIT $rows) AS chosen;
				ANALYZE b.pick;
			SQL
			;;
	esac
}
images_before='INSERT INTO b.changed_order SELECT -1, o.* FROM b.orders AS o JOIN b.pick AS p USING (id) WHERE p.op IN ($$u$$, $$d$$);
INSERT INTO b.changed_customer SELECT -1, c.* FROM b.customer AS c JOIN b.pick AS p USING (id) WHERE p.op IS NULL;'
images_after='INSERT INTO b.changed_order SELECT 1, o.* FROM b.orders AS o JOIN b.pick AS p ON o.id = CASE p.op WHEN $$u$$ THEN p.id WHEN $$i$$ THEN p.new_id END;
INSERT INTO b.changed_customer SELECT 1, c.* FROM b.customer AS c JOIN b.pick AS p USING (id) WHERE p.op IS NULL;
ANALYZE b.changed_order; ANALYZE b.changed_customer;'

# turn N WORD...: the words, beginning with the Nth
turn() {
	local n=$1 words
	shift
	words=("$@")
	n=$((n % $#))
	echo "${words[@]:n}" "${words[@]:0:n}"
}

round() {
	local query=$1 share=$2 round=$3 word
	printf '\\echo # %s %s %s\n' "$query" "$share" "$round"
	pick "$query" "$share"
	echo "$images_before"
	# all copies alike in memory
	for word in '' _plain _ivm; do echo "SELECT count(*) < 0 FROM b.orders$word JOIN b.pick USING (id); SELECT count(*) < 0 FROM b.customer$word;"; done
	for word in $(turn "$round" _plain strata ${ivm:+_ivm}); do
		changes "$query" "${word#strata}"
	done
	echo "$images_after"
	# whoever reads new rows first marks them as committed: no side does
	echo 'SELECT count(*) < 0 FROM b.orders; SELECT count(*) < 0 FROM b.customer;'
	for word in $(turn "$round" full algebra strata keys); do side "$query" "$word"; done
	for word in algebra keys strata ${ivm:+ivm}; do
		echo "SELECT '! $word', count(*) FROM ((SELECT $(columns_of "$query") FROM b.full EXCEPT ALL SELECT $(columns_of "$query") FROM b.$word)
		      UNION ALL (SELECT $(columns_of "$query") FROM b.$word EXCEPT ALL SELECT $(columns_of "$query") FROM b.full)) AS d;"
	done
	echo 'VACUUM;'
}

for query in $QUERIES; do
	# REFRESH has just computed the query itself: it stands for it in the comparison
	{
		echo "CREATE MATERIALIZED VIEW b.full AS $(query_of "$query");"
		for hand in algebra keys; do echo "CREATE TABLE b.$hand AS TABLE b.full; ALTER TABLE b.$hand ADD PRIMARY KEY ($(key_of "$query"));"; done
		echo "SELECT strata.define_mart('b.strata', \$q\$$(query_of "$query")\$q\$, key => '{$(key_of "$query")}');"
		echo "SELECT count(*) FROM strata.refresh('b.strata');"
		[ -z "$ivm" ] || echo "SELECT pgivm.create_immv('b.ivm', \$q\$$(query_of "$query" | sed 's/b\.orders/b.orders_ivm/; s/b\.customer/b.customer_ivm/')\$q\$);"
		echo 'VACUUM (ANALYZE); CHECKPOINT;'
	} | sql >/dev/null
	{
		for share in $SHARES; do
			for round in $(seq 0 "$ROUNDS"); do
				# of the others no warming round
				[ "$round" -gt 0 ] || [ "$share" = "${SHARES%% *}" ] || continue
				round "$query" "$share" "$round"
			done
		done
		echo "SELECT '%', '$query', pg_size_pretty(pg_total_relation_size('b.strata')), c.relname, pg_size_pretty(pg_total_relation_size(c.oid))
		        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		       WHERE n.nspname = 'strata_state' AND c.relkind IN ('r', 'p') AND c.relname ~ '[0-9]' AND pg_total_relation_size(c.oid) > 0;"
	} >"$work/session.sql"
	sql -f "$work/session.sql" >>"$work/log"
	sql >/dev/null <<-SQL
		SELECT strata.drop_model('b.strata');
		DROP MATERIALIZED VIEW b.full;
		DROP TABLE b.algebra, b.keys;
		${ivm:+DROP TABLE b.ivm;}
	SQL
done

[ -z "${BENCH_LOG:-}" ] || cp "$work/log" "$BENCH_LOG"
awk -v rows="$ROWS" -f refresh/table.awk "$work/log"
