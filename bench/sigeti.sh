#!/bin/bash
# sigeti: the sigeti example, first build and daily refresh, against the same warehouse in dbt-core + dbt-postgres (4 threads).
#
# Both sides are timed as users run them, whole processes, the better of two: psql here; there `dbt build`, one process for snapshot,
# run and test, so the kindest to dbt (the three commands take two to three times as long: SIGETI_THREE=1 shows them). The marts of
# both must be equal, row by row, or nothing is printed. Without pip or the packages the dbt side is left out, said aloud.
# DBT=/path/to/dbt uses one that is there; SIGETI_SCALE=10 loads ten times the rows.
set -euo pipefail
TOP=$(cd "$(dirname "$0")/.." && pwd)
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
BUILD=$TOP/build/bench PROJECT=$TOP/bench/dbt_sigeti EXAMPLE=$TOP/examples/sigeti
mkdir -p "$BUILD"

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
now() { date +%s.%N; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; }
# seconds COMMAND...: how long it takes; its output only when it fails
seconds() {
	local begun log=$BUILD/sigeti.log
	begun=$(now)
	"$@" >"$log" 2>&1 || { cat "$log" >&2; echo "bench/sigeti.sh: failed: $*" >&2; exit 1; }
	awk -v a="$begun" -v b="$(now)" 'BEGIN { printf "%.3f", b - a }'
}

# The newest dbt fetches a part of itself from elsewhere while it installs; 1.10 comes whole.
find_dbt() {
	[ -z "${DBT:-}" ] || return 0
	DBT=$BUILD/venv/bin/dbt
	[ ! -x "$DBT" ] || return 0
	rm -rf "$BUILD/venv"
	echo "# installing dbt-core and dbt-postgres into build/bench/venv" >&2
	{ python3 -m venv "$BUILD/venv" &&
		timeout 300 "$BUILD/venv/bin/pip" install -q 'dbt-core>=1.10,<1.11' 'dbt-postgres>=1.10,<1.11'; } >"$BUILD/pip.log" 2>&1 && [ -x "$DBT" ] || {
		rm -rf "$BUILD/venv"
		DBT=
		echo "# no dbt: $(tail -1 "$BUILD/pip.log")" >&2
	}
}
dbt() {
	local verb=$1
	shift
	"$DBT" --quiet "$verb" --profiles-dir "$PROJECT" --project-dir "$PROJECT" --target-path "$BUILD/dbt_target" --log-path "$BUILD/dbt_logs" "$@"
}
three_commands() { dbt snapshot && dbt run && dbt test; }
drop_dbt() { sql -c 'SET client_min_messages = error; DROP SCHEMA IF EXISTS dbt_staging, dbt_dwh, dbt_marts CASCADE'; rm -rf "$BUILD/dbt_target"; }

ours_first() {
	sql -f "$EXAMPLE/10_models.sql" -c 'SELECT * FROM strata.refresh(as_of => sigeti.closing(0))'
}
ours_daily() { sql -c "SELECT * FROM strata.refresh(as_of => sigeti.closing($1))"; }

same_marts() {
	local wrong
	wrong=$(sql -f "$PROJECT/marts_differ.sql" | grep -v '|0$' || true)
	[ -z "$wrong" ] || { echo "bench/sigeti.sh: the two warehouses differ: $wrong" >&2; exit 1; }
}

sql -f "$EXAMPLE/00_source.sql" -f "$EXAMPLE/20_later_day.sql" \
	-c "SELECT sigeti.load(${SIGETI_SCALE:-1})" -c 'ANALYZE' >/dev/null
find_dbt

best() { printf '%s\n' "$@" | sort -n | head -1; }

# the first build twice: the other time in a copy of the database as it is now
copy=${PGDATABASE}_copy
trap 'psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $copy" || true' EXIT
psql -X -q -d postgres -c "CREATE DATABASE $copy TEMPLATE $PGDATABASE"
one=$(PGDATABASE=$copy seconds ours_first)
two=$(seconds ours_first)
ours_first_s=$(best "$one" "$two")
if [ -n "$DBT" ]; then
	if [ -n "${SIGETI_THREE:-}" ]; then
		drop_dbt
		one=$(seconds three_commands)
		echo "# dbt snapshot + run + test: first $one s" >&2
	fi
	drop_dbt
	one=$(seconds dbt build)
	drop_dbt
	two=$(seconds dbt build)
	dbt_first_s=$(best "$one" "$two")
	same_marts
fi

ours_daily_s=() dbt_daily_s=()
for day in 1 2; do
	sql -c "SELECT * FROM sigeti.next_day($day)" >/dev/null
	one=$(seconds ours_daily $day)
	ours_daily_s+=("$one")
	if [ -n "$DBT" ]; then
		one=$(seconds dbt build)
		dbt_daily_s+=("$one")
		same_marts
	fi
done
ours_daily_s=$(best "${ours_daily_s[@]}")

# Nothing changed: the middle of five, inside the server, so that psql's start is not in it. The first of them may still have to
# look at what changed before it.
nochange_all=$(sql <<-'SQL'
	CREATE FUNCTION pg_temp.timed() RETURNS numeric LANGUAGE plpgsql AS $$
	DECLARE
	    begun timestamptz := clock_timestamp();
	BEGIN
	    PERFORM count(*) FROM strata.refresh(as_of => sigeti.closing(2));
	    RETURN round(extract(epoch FROM clock_timestamp() - begun) * 1000, 1);
	END $$;
	SELECT pg_temp.timed();
	SELECT pg_temp.timed();
	SELECT pg_temp.timed();
	SELECT pg_temp.timed();
	SELECT pg_temp.timed();
SQL
)
nochange_ms=$(sort -n <<<"$nochange_all" | sed -n 3p)
echo "# nothing changed, five times: $(tr '\n' ' ' <<<"$nochange_all")ms" >&2

sql -f "$EXAMPLE/verify.sql" >"$BUILD/sigeti.log" 2>&1 || { cat "$BUILD/sigeti.log" >&2; exit 1; }
echo "# ours: first build ${ours_first_s} s, daily ${ours_daily_s} s" >&2
if [ -n "$DBT" ]; then
	dbt_daily_s=$(best "${dbt_daily_s[@]}")
	echo "# dbt build: first ${dbt_first_s} s, daily ${dbt_daily_s} s" >&2
	echo "sigeti_first_build ratio $(ratio "$ours_first_s" "$dbt_first_s")"
	echo "sigeti_daily ratio $(ratio "$ours_daily_s" "$dbt_daily_s")"
fi
echo "sigeti_nochange_ms value $nochange_ms"
