#!/bin/bash
# fact_build: the full build of a fact of 3M rows with three dimension keys (one as of a date, from a dimension with history),
# against a hand-written CREATE TABLE AS of the same joins and the same primary key.
#
# The two take turns; each turn begins with a checkpoint and ends with the table dropped or emptied. The figure is the
# ratio of the medians. Both tables must be equal, EXCEPT ALL both ways, or nothing is printed.
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROUNDS=${ROUNDS:-3} ROWS=${ROWS:-3000000}

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
milliseconds() { sql -c '\timing on' -f "$1" | awk '/^Time: / { sum += $2 } END { printf "%.1f\n", sum }'; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sql -v rows="$ROWS" >/dev/null <<'SQL'
CREATE SCHEMA src;
CREATE SCHEMA dwh;
CREATE TABLE src.client AS SELECT i AS client_id, 'client ' || i AS nom, i % 7 AS segment FROM generate_series(1, 30000) AS i;
CREATE TABLE src.produit AS SELECT i AS produit_id, 'produit ' || i AS nom, i % 20 AS rayon FROM generate_series(1, 2000) AS i;
CREATE TABLE src.vente AS
SELECT i::bigint AS vente_id, (1 + i::bigint * 7919 % 30000)::integer AS client_id, (1 + i::bigint * 104729 % 2000)::integer AS produit_id,
       date '2020-01-01' + i % 1800 AS vendu_le, (i::bigint * 31 % 100000 / 100.0)::numeric(12,2) AS montant
  FROM generate_series(1, :rows) AS i;
SELECT strata.define_dimension('dwh.dim_client', 'SELECT client_id, nom, segment FROM src.client', key => '{client_id}', history => '{segment}');
SELECT strata.define_dimension('dwh.dim_produit', 'SELECT produit_id, nom, rayon FROM src.produit', key => '{produit_id}');
SELECT strata.define_date_dimension('dwh.dim_date', '2020-01-01', '2025-12-31');
SELECT count(*) FROM strata.refresh(as_of => '2020-01-01');
UPDATE src.client SET segment = segment + 1 WHERE client_id % 3 = 0;
SELECT count(*) FROM strata.refresh(as_of => '2022-01-01');
VACUUM (FREEZE, ANALYZE);
SQL

cat >"$work/define.sql" <<'SQL'
SELECT strata.define_fact('dwh.fait_ventes', 'SELECT vente_id, client_id, produit_id, vendu_le, montant FROM src.vente', grain => '{vente_id}',
    dimensions => '{"client_key": {"dimension": "dwh.dim_client", "on": ["client_id"], "as_of": "vendu_le", "early": "unknown"},
                    "produit_key": {"dimension": "dwh.dim_produit", "on": ["produit_id"]},
                    "date_key": {"dimension": "dwh.dim_date", "on": {"vendu_le": "date"}}}');
SQL
cat >"$work/theirs.sql" <<'SQL'
CREATE TABLE dwh.main AS
SELECT coalesce(c.client_key, 0) AS client_key, coalesce(p.produit_key, 0) AS produit_key, coalesce(d.date_key, 0) AS date_key,
       v.vente_id, v.client_id, v.produit_id, v.vendu_le, v.montant
  FROM src.vente AS v
  LEFT JOIN dwh.dim_client AS c ON c.client_id = v.client_id AND c.client_key <> 0
       AND v.vendu_le >= c.valid_from AND (c.valid_to IS NULL OR v.vendu_le < c.valid_to)
  LEFT JOIN dwh.dim_produit AS p ON p.produit_id = v.produit_id AND p.is_current AND p.produit_key <> 0
  LEFT JOIN dwh.dim_date AS d ON d.date = v.vendu_le;
ALTER TABLE dwh.main ADD PRIMARY KEY (vente_id);
SQL
echo "SELECT count(*) FROM strata.refresh('dwh.fait_ventes');" >"$work/ours.sql"

for round in $(seq "$ROUNDS"); do
	sql -c CHECKPOINT
	milliseconds "$work/theirs.sql" >>"$work/theirs.ms"
	if [ "$round" -lt "$ROUNDS" ]; then sql -c 'DROP TABLE dwh.main'; fi
	# made anew: a refresh that finds nothing changed would compute nothing
	if [ "$round" -gt 1 ]; then sql -c "SELECT strata.drop_model('dwh.fait_ventes')" >/dev/null; fi
	sql -f "$work/define.sql" >/dev/null
	sql -c CHECKPOINT
	milliseconds "$work/ours.sql" >>"$work/ours.ms"
done
columns='client_key, produit_key, date_key, vente_id, client_id, produit_id, vendu_le, montant'
different=$(sql -c "SELECT count(*) FROM ((SELECT $columns FROM dwh.main EXCEPT ALL SELECT $columns FROM dwh.fait_ventes)
                                    UNION ALL (SELECT $columns FROM dwh.fait_ventes EXCEPT ALL SELECT $columns FROM dwh.main)) AS d")
[ "$different" = 0 ] || { echo "the two tables differ: $different" >&2; exit 1; }

ours=$(median <"$work/ours.ms") theirs=$(median <"$work/theirs.ms")
echo "ours $(xargs <"$work/ours.ms") ms, by hand $(xargs <"$work/theirs.ms") ms" >&2
awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "fact_build ratio %.2f\n", a / b }'
