#!/bin/bash
# refresh_fact: 1,000 changed source rows in a fact of 3M rows with three dimensions, one of which got 100 new versions, against the
# fact's full build. The figure is the time of the fact's refresh divided by that of its build; the target is compared with its
# query after each, EXCEPT ALL both ways, outside the time. Refreshing the dimensions is timed by itself.
#
#   PARTITIONED=1   the fact has a partition for each month
#   BENCH_CPU=1     time that the session was on a CPU, without parallel workers (Linux): on a machine that has other work
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROUNDS=${ROUNDS:-3} ROWS=${ROWS:-3000000}

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

partition=${PARTITIONED:+", partition_by => 'vendu_le'"}
sql -v rows="$ROWS" -v partition="$partition" >/dev/null <<'SQL'
CREATE SCHEMA src;
CREATE SCHEMA dwh;
CREATE TABLE src.client AS SELECT i AS client_id, 'client ' || i AS nom, i % 7 AS segment FROM generate_series(1, 30000) AS i;
ALTER TABLE src.client ADD PRIMARY KEY (client_id);
CREATE TABLE src.produit AS SELECT i AS produit_id, 'produit ' || i AS nom, i % 20 AS rayon FROM generate_series(1, 2000) AS i;
CREATE TABLE src.vente AS
SELECT i::bigint AS vente_id, (1 + i::bigint * 7919 % 30000)::integer AS client_id, (1 + i::bigint * 104729 % 2000)::integer AS produit_id,
       date '2020-01-01' + i % 1800 AS vendu_le, (i::bigint * 31 % 100000 / 100.0)::numeric(12,2) AS montant
  FROM generate_series(1, :rows) AS i;
ALTER TABLE src.vente ADD PRIMARY KEY (vente_id);
SELECT strata.define_dimension('dwh.dim_client', 'SELECT client_id, nom, segment FROM src.client', key => '{client_id}', history => '{segment}');
SELECT strata.define_dimension('dwh.dim_produit', 'SELECT produit_id, nom, rayon FROM src.produit', key => '{produit_id}');
SELECT strata.define_date_dimension('dwh.dim_date', '2020-01-01', '2025-12-31');
SELECT count(*) FROM strata.refresh(as_of => '2020-01-01');
UPDATE src.client SET segment = segment + 1 WHERE client_id % 3 = 0;
SELECT count(*) FROM strata.refresh(as_of => '2022-01-01');
SELECT strata.define_fact('dwh.fait_ventes', 'SELECT vente_id, client_id, produit_id, vendu_le, montant FROM src.vente', grain => '{vente_id}',
    dimensions => '{"client_key": {"dimension": "dwh.dim_client", "on": ["client_id"], "as_of": "vendu_le", "early": "unknown"},
                    "produit_key": {"dimension": "dwh.dim_produit", "on": ["produit_id"]},
                    "date_key": {"dimension": "dwh.dim_date", "on": {"vendu_le": "date"}}}' :partition);
VACUUM (FREEZE, ANALYZE);
SQL
cat >"$work/truth.sql" <<'SQL'
CREATE TEMP VIEW truth AS
SELECT coalesce(c.client_key, 0) AS client_key, coalesce(p.produit_key, 0) AS produit_key, coalesce(d.date_key, 0) AS date_key,
       v.vente_id, v.client_id, v.produit_id, v.vendu_le, v.montant
  FROM src.vente AS v
  LEFT JOIN dwh.dim_client AS c ON c.client_id = v.client_id AND c.client_key <> 0
       AND v.vendu_le >= c.valid_from AND (c.valid_to IS NULL OR v.vendu_le < c.valid_to)
  LEFT JOIN dwh.dim_produit AS p ON p.produit_id = v.produit_id AND p.is_current AND p.produit_key <> 0
  LEFT JOIN dwh.dim_date AS d ON d.date = v.vendu_le;
SELECT '! build', count(*) FROM ((TABLE truth EXCEPT ALL SELECT client_key, produit_key, date_key, vente_id, client_id, produit_id, vendu_le, montant FROM dwh.fait_ventes)
    UNION ALL (SELECT client_key, produit_key, date_key, vente_id, client_id, produit_id, vendu_le, montant FROM dwh.fait_ventes EXCEPT ALL TABLE truth)) AS d;
SQL
if [ -n "${BENCH_CPU:-}" ]; then
	export PGOPTIONS="${PGOPTIONS:-} -c max_parallel_workers_per_gather=0 -c max_parallel_maintenance_workers=0"
	used="split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint"
	timed() {
		printf '\\echo @ %s\nSELECT %s AS used \\gset\n%s\n' "$1" "$used" "$2"
		# what the two questions themselves cost: about a tenth of a millisecond
		printf "SELECT 'Time: ' || greatest((%s - :used) / 1e6 - 0.1, 0.01) || ' ms';\n" "$used"
	}
else
	timed() { printf '\\echo @ %s\n\\timing on\n%s\n\\timing off\n' "$1" "$2"; }
fi
{
	timed build "SELECT count(*) FROM strata.refresh('dwh.fait_ventes');"
	cat "$work/truth.sql"
	echo 'VACUUM (ANALYZE);'
	# the first round warms the session and is not counted
	for round in $(seq 0 "$ROUNDS"); do
		echo "UPDATE src.vente SET montant = montant + 1 WHERE vente_id IN (SELECT 1 + (i::bigint * 104729 + $round * 31) % $ROWS FROM generate_series(1, 1000) AS i);"
		echo "UPDATE src.client SET segment = segment + 1 WHERE client_id IN (SELECT 1 + (i * 271 + $round) % 30000 FROM generate_series(1, 100) AS i);"
		timed "dimension $round" "SELECT count(*) FROM strata.refresh('dwh.dim_client', as_of => date '2024-06-01' + $round);"
		timed "fact $round" "SELECT '?', action, inserted, updated, deleted, message FROM strata.refresh('dwh.fait_ventes');"
		tail -n 2 "$work/truth.sql" | sed "s/! build/! round $round/"
		echo 'VACUUM;'
	done
	timed full "SELECT count(*) FROM strata.refresh('dwh.fait_ventes', full_rebuild => true);"
} >"$work/session.sql"
sql -f "$work/session.sql" >"$work/out"
if grep '^! ' "$work/out" | grep -qv '|0$'; then
	grep '^! ' "$work/out" >&2
	echo "refresh_fact: the fact differs from its query" >&2
	exit 1
fi
[ "$(grep -c '^! ' "$work/out")" = $((ROUNDS + 2)) ] || { echo "refresh_fact: not everything was compared" >&2; exit 1; }
times() { awk -v side="$1" '/^@ / { now = $2 == side && $3 != "0" } /^Time: / && now { print $2 }' "$work/out"; }
fact=$(times fact | median) dimension=$(times dimension | median) build=$(times build) full=$(times full)
grep '^?' "$work/out" | sed 's/^?|/# did: /' >&2
awk -v f="$fact" -v d="$dimension" -v b="$build" -v r="$full" 'BEGIN {
	printf "# build %.0f ms, rebuild %.0f ms; dimension %.1f ms, fact %.1f ms: %.1f times faster than the build (both: %.1f), to reach 100\n", b, r, d, f, b / f, b / (f + d) >"/dev/stderr"
	printf "refresh_fact ratio %.4f\n", f / b
	printf "refresh_fact_and_dimension ratio %.4f\n", (f + d) / b
}'
