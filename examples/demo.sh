#!/bin/bash
# demo.sh start: build the example warehouses in a private cluster and show them.  demo.sh stop: stop it, remove it.
#
# Each example is a folder with a demo.sql that psql runs in a database of the folder's name, from the folder.
# Nothing of the system's PostgreSQL is written to. Any error ends it, non-zero.
set -euo pipefail
TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$TOP/test/lib.sh"
STATE=$TOP/build/demo

stop() {
	local dir
	[ -f "$STATE" ] || return 0
	dir=$(cat "$STATE")
	rm -f "$STATE"
	[ ! -d "$dir" ] || "$TOP/test/cluster" stop "$dir/cluster"
	rm -rf "$dir"
}

start() {
	local dir example examples status begun=$SECONDS
	need_pg
	mkdir -p "$TOP/build"
	[ ! -f "$STATE" ] || say "stopping the cluster of the last demo"
	stop
	say "building, and starting a private cluster ($("$PG_CONFIG" --version))"
	dir=$(new_private_dir)
	echo "$dir" >"$STATE"
	"$TOP/test/cluster" start "$dir/cluster" >/dev/null
	eval "$("$TOP/test/cluster" env "$dir/cluster")"

	examples=${DEMO:-territoire sigeti}
	for example in $examples; do
		[ -f "$TOP/examples/$example/demo.sql" ] || die "there is no examples/$example/demo.sql"
		echo
		say "==== $example ===="
		createdb "$example"
		psql -Xq -d "$example" -c 'CREATE EXTENSION pg_strata'
		status=0
		(cd "$TOP/examples/$example" && psql -X -q -v ON_ERROR_STOP=1 -P pager=off -d "$example" -v donnees="$TOP/examples/$example/data" -f demo.sql) || status=$?
		if [ "$status" -ne 0 ]; then
			grep -E 'terminated by signal|PANIC:|TRAP:' "$dir/cluster/server.log" | tail -5 >&2 || true
			echo >&2
			echo "demo.sh: FAILED in examples/$example/demo.sql (the error is above)." >&2
			echo "demo.sh: the cluster still runs, to look into: psql -h '$PGHOST' -p $PGPORT -U postgres $example" >&2
			echo "demo.sh: stop it:  make demo-stop" >&2
			exit 1
		fi
	done
	echo
	say "done in $((SECONDS - begun)) s. The warehouses are running:"
	for example in $examples; do echo "    psql -h $PGHOST -p $PGPORT -U postgres $example"; done
	say "stop them and remove everything:"
	echo "    make demo-stop"
}

case ${1:-start} in
	start) start ;;
	stop) stop ;;
	*) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
