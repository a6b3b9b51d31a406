#!/bin/bash
# plan_1000: a warehouse of 1,000 models: what defining it costs, and what planning it costs. To reach: 5 s, 1 s.
#
# 400 staging views over 40 tables, 150 dimensions with history, 150 facts with two keys each, 300 marts that join a fact with a
# dimension, in an order that puts many of them before what they read. define_all_1000 is one call of strata.define_all() in a new
# database; plan_1000_models is strata.plan() of all of them afterwards, the median of ROUNDS.
#
# The definitions make some 4,000 files: where many others were deleted in the last minutes, ext4 alone takes seconds over that
# (it looks for an inode that was not freed lately). The processor time of the server is about 5 s.
set -euo pipefail
ROUNDS=${ROUNDS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# the time of the last statement of a file, as psql measures it
milliseconds() { sql -c '\timing on' -f "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -1; }

cat >"$work/sources.sql" <<'SQL'
CREATE SCHEMA brut; CREATE SCHEMA staging; CREATE SCHEMA dwh; CREATE SCHEMA marts;
SELECT format('CREATE TABLE brut.t%s (id bigint, client_id integer, zone_id integer, jour date, montant numeric(15,2), statut text, maj timestamptz)', i)
  FROM generate_series(0, 39) AS i \gexec
SQL
cat >"$work/definitions.sql" <<'SQL'
WITH d (o, t) AS (
    SELECT 'staging' || i, format('SELECT strata.define_staging(''staging.s%s'', $$ SELECT id, client_id, zone_id, jour, montant, lower(statut) AS statut, maj
  FROM brut.t%s WHERE montant IS NOT NULL $$, description => ''Source %s'');', i, i % 40, i) FROM generate_series(0, 399) AS i
    UNION ALL
    SELECT 'dimension' || i, format('SELECT strata.define_dimension(''dwh.dim_%s'', $$ SELECT client_id, max(statut) AS statut, min(zone_id) AS zone_id
  FROM staging.s%s GROUP BY client_id $$, key => ''{client_id}'', history => ''{statut}'');', i, i) FROM generate_series(0, 149) AS i
    UNION ALL
    SELECT 'fact' || i, format('SELECT strata.define_fact(''dwh.fait_%s'', $$ SELECT id, client_id, jour, montant FROM staging.s%s $$, grain => ''{id}'',
  dimensions => ''{"client_key": {"dimension": "dwh.dim_%s", "on": ["client_id"], "as_of": "jour"},
                   "autre_key": {"dimension": "dwh.dim_%s", "on": ["client_id"]}}'');', i, 150 + i, i, (i + 1) % 150) FROM generate_series(0, 149) AS i
    UNION ALL
    SELECT 'mart' || i, format('SELECT strata.define_mart(''marts.m%s'', $$ SELECT date_trunc(''month'', f.jour) AS mois, d.statut, sum(f.montant) AS total, count(*) AS n
  FROM dwh.fait_%s AS f JOIN dwh.dim_%s AS d ON d.%s = f.client_key GROUP BY 1, 2 $$, key => ''{mois, statut}'');', i, i % 150, i % 150,
      quote_ident(i % 150 || '_key')) FROM generate_series(0, 299) AS i)
SELECT t FROM d ORDER BY md5(o);
SQL
sql -f "$work/definitions.sql" >"$work/script.sql"
{
	echo 'SELECT count(*) FROM strata.define_all($script$'
	cat "$work/script.sql"
	echo '$script$);'
} >"$work/define.sql"
echo "SELECT count(*) FROM strata.plan();" >"$work/plan.sql"

sql -f "$work/sources.sql"
define=$(milliseconds "$work/define.sql")
[ "$(sql -c "SELECT count(*) FROM strata.plan() WHERE action <> 'broken'")" = 1000 ] || { echo "not 1,000 models to plan" >&2; exit 1; }
sed '1s/count(\*)/count(*) FILTER (WHERE result LIKE $l$unchanged%$l$)/' "$work/define.sql" >"$work/again.sql"
[ "$(sql -f "$work/again.sql")" = 1000 ] || { echo "defining it again changes something" >&2; exit 1; }
for _ in $(seq "$ROUNDS"); do milliseconds "$work/plan.sql" >>"$work/plan"; done
plan=$(median <"$work/plan")
echo "# define_all of 1,000 definitions $define ms, plan() of them $plan ms (median of $ROUNDS)" >&2
awk -v d="$define" -v p="$plan" 'BEGIN { printf "define_all_1000 s %.2f\nplan_1000_models ms %.0f\n", d / 1000, p }'
