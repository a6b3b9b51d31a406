#!/bin/bash
# scd2: an extract of 38,000 rows, 33,000 of them changed, loaded into a dimension of 38,000 current rows, against hand-written
# SQL (temporary table, UPDATE that closes, INSERT that opens) on an identical table with the same indexes and constraints.
#
# Both sides work on the same rows, turn by turn, each load rolled back; the figure is the ratio of the medians. The tables must be
# equal after the load (surrogate keys aside) or nothing is printed. A second figure, on stderr, is against the same SQL on a table
# without the exclusion constraint: what the promise that no versions overlap costs.
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROUNDS=${ROUNDS:-5}

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sql >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE SCHEMA bench_scd2;
CREATE TABLE bench_scd2.entreprises AS
SELECT i AS entreprise_id, 'Société ' || i AS raison_sociale, (ARRAY['SA', 'SARL', 'SAS', 'EI'])[1 + i % 4] AS forme_juridique,
       'secteur ' || i % 40 AS secteur, (i * 1000 % 9999999)::numeric(15,2) AS capital, 'Abidjan ' || i % 100 AS adresse,
       i % 300 AS effectif
  FROM generate_series(1, 38000) AS i;
SELECT strata.define_dimension('bench_scd2.dim_entreprise', 'SELECT * FROM bench_scd2.entreprises', key => '{entreprise_id}',
                               history => '{forme_juridique, secteur, capital}');
SELECT strata.refresh('bench_scd2.dim_entreprise', as_of => '2025-01-01');
UPDATE bench_scd2.entreprises SET secteur = 'secteur ' || (entreprise_id + 1) % 40, capital = capital + 1 WHERE entreprise_id > 5000;
CREATE TABLE bench_scd2.by_hand (LIKE bench_scd2.dim_entreprise INCLUDING ALL);
CREATE TABLE bench_scd2.unguarded (LIKE bench_scd2.dim_entreprise INCLUDING ALL EXCLUDING INDEXES);
ALTER TABLE bench_scd2.unguarded ADD PRIMARY KEY (entreprise_key);
CREATE UNIQUE INDEX ON bench_scd2.unguarded (entreprise_id, valid_from);
CREATE UNIQUE INDEX ON bench_scd2.unguarded (entreprise_id) WHERE is_current;
INSERT INTO bench_scd2.by_hand SELECT * FROM bench_scd2.dim_entreprise;
INSERT INTO bench_scd2.unguarded SELECT * FROM bench_scd2.dim_entreprise;
CREATE SEQUENCE bench_scd2.surrogate START 1000000;
SQL
shape() { sql -c "SELECT regexp_replace(pg_get_indexdef(indexrelid), ' INDEX .* USING ', ' ') || CASE WHEN indisexclusion THEN ' excludes' ELSE '' END FROM pg_index WHERE indrelid = 'bench_scd2.$1'::regclass" | sort; }
[ "$(shape by_hand)" = "$(shape dim_entreprise)" ] || { echo "indexes differ:" >&2; shape by_hand >&2; shape dim_entreprise >&2; exit 1; }
sql -c "VACUUM (FREEZE, ANALYZE)"

cat >"$work/ours.sql" <<'SQL'
SELECT inserted, updated FROM strata.refresh('bench_scd2.dim_entreprise', as_of => '2025-02-01');
SQL
by_hand() {
	cat <<SQL
CREATE TEMP TABLE extract ON COMMIT DROP AS SELECT * FROM bench_scd2.entreprises;
ANALYZE extract;
CREATE TEMP TABLE changed ON COMMIT DROP AS
SELECT e.*, d.entreprise_key AS old_key FROM extract e LEFT JOIN bench_scd2.$1 d ON d.entreprise_id = e.entreprise_id AND d.is_current
 WHERE d.entreprise_key IS NULL OR (e.forme_juridique, e.secteur, e.capital) IS DISTINCT FROM (d.forme_juridique, d.secteur, d.capital);
ANALYZE changed;
UPDATE bench_scd2.$1 d SET valid_to = '2025-02-01', is_current = false FROM changed c WHERE d.entreprise_key = c.old_key;
UPDATE bench_scd2.$1 d SET raison_sociale = e.raison_sociale, adresse = e.adresse, effectif = e.effectif FROM extract e
 WHERE d.entreprise_id = e.entreprise_id AND (d.raison_sociale, d.adresse, d.effectif) IS DISTINCT FROM (e.raison_sociale, e.adresse, e.effectif);
INSERT INTO bench_scd2.$1 (entreprise_key, entreprise_id, raison_sociale, forme_juridique, secteur, capital, adresse, effectif, valid_from, is_current)
SELECT nextval('bench_scd2.surrogate'), entreprise_id, raison_sociale, forme_juridique, secteur, capital, adresse, effectif, '2025-02-01', true
  FROM changed;
SQL
}
by_hand by_hand >"$work/by_hand.sql"
by_hand unguarded >"$work/unguarded.sql"

# milliseconds FILE: the sum of what psql timed, of the load alone
milliseconds() {
	{ echo BEGIN\;; echo '\timing on'; cat "$work/$1.sql"; echo '\timing off'; echo ROLLBACK\;; } >"$work/run.sql"
	sql -f "$work/run.sql" | awk '/^Time: / { sum += $2 } END { printf "%.1f\n", sum }'
}

columns="entreprise_id, raison_sociale, forme_juridique, secteur, capital, adresse, effectif, valid_from, valid_to, is_current"
difference=$(
	{
		echo BEGIN\;
		cat "$work/ours.sql" "$work/by_hand.sql"
		echo "SELECT 'difference ' || count(*) FROM ((SELECT $columns FROM bench_scd2.dim_entreprise EXCEPT ALL SELECT $columns FROM bench_scd2.by_hand)
		      UNION ALL (SELECT $columns FROM bench_scd2.by_hand EXCEPT ALL SELECT $columns FROM bench_scd2.dim_entreprise)) d;
		      SELECT 'rows ' || count(*) FROM bench_scd2.dim_entreprise; ROLLBACK;"
	} | sql -f -
)
grep -qx 'difference 0' <<<"$difference" && grep -qx 'rows 71001' <<<"$difference" ||
	{ echo "the loads differ: $difference" >&2; exit 1; }

for _ in $(seq "$ROUNDS"); do
	for side in ours by_hand unguarded; do
		sql -c VACUUM -c CHECKPOINT # of all: the key map too has the dead rows of the load rolled back
		milliseconds "$side" >>"$work/$side"
	done
done
ours=$(median <"$work/ours") by_hand=$(median <"$work/by_hand") unguarded=$(median <"$work/unguarded")
echo "# refresh $ours ms, by hand $by_hand ms, by hand without the exclusion constraint $unguarded ms (medians of $ROUNDS)" >&2
awk -v a="$ours" -v b="$unguarded" 'BEGIN { printf "# without the exclusion constraint the ratio would be %.2f\n", a / b }' >&2
awk -v a="$ours" -v b="$by_hand" 'BEGIN { printf "scd2_load ratio %.3f\n", a / b }'
