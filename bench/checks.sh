#!/bin/bash
# checks: 20 column checks of a table of 1M rows and 20 columns, by check_model, against the same conditions as 20 queries.
#
# check_model also counts the rows, keeps failing rows and records its results; the other side only counts failures. Both
# sides are timed by psql statement by statement, turn by turn; the figure is the ratio of the medians. The failures of both
# must be the same or nothing is printed.
set -euo pipefail
export PGHOST=${PGHOST:?} PGPORT=${PGPORT:?} PGUSER=${PGUSER:?} PGDATABASE=${PGDATABASE:?}
ROUNDS=${ROUNDS:-5}

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
# milliseconds FILE: the sum of what psql timed
milliseconds() { sql -c '\timing on' -f "$1" | awk '/^Time: / { sum += $2 } END { printf "%.1f", sum }'; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sql >/dev/null <<'SQL'
CREATE SCHEMA bench_checks;
CREATE TABLE bench_checks.paiements AS
SELECT i::bigint AS paiement_id, (i % 4000)::bigint AS entreprise_key, (i % 800)::bigint AS zone_key, 20200101 + i % 2000 AS date_key,
       i % 4000 AS entreprise_id, i % 800 AS zone_id, date '2020-01-01' + i % 2000 AS date_paiement,
       timestamptz '2020-01-01 00:00:00+00' + i % 2000 * interval '1 day' AS saisi_le, (1 + i % 100000)::numeric(15,2) AS montant,
       (i % 100000 * 0.18)::numeric(15,2) AS tva, i % 12 + 1 AS echeance,
       (ARRAY['virement', 'cheque', 'especes', 'mobile'])[1 + i % 4] AS mode, (ARRAY['paye', 'attente', 'rejete'])[1 + i % 3] AS statut,
       (ARRAY['XOF', 'EUR'])[1 + i % 2] AS devise, 'P-' || lpad(i::text, 8, '0') AS reference, i % 2 = 0 AS valide,
       (i % 100)::double precision / 100 AS taux, 'agent ' || i % 50 AS saisi_par, date '2020-01-31' + i % 2000 AS echeance_le,
       (i % 5)::smallint AS relances
  FROM generate_series(1, 1000000) AS i;
UPDATE bench_checks.paiements SET montant = -1 WHERE paiement_id % 100000 = 7;
VACUUM (FREEZE, ANALYZE) bench_checks.paiements;
-- The checks alone are measured: the table is made a model by hand, as a mart of itself would copy it.
INSERT INTO strata_state.model (schema_name, relation_name, layer, kind, query, hash, search_path, time_zone, date_style,
                                interval_style, defined_by, defined_at)
VALUES ('bench_checks', 'paiements', 'mart', 'table', 'SELECT', '', 'pg_catalog', 'UTC', 'ISO, DMY', 'postgres', current_user, now());
SELECT format('CREATE VIEW strata_state.m%s_query AS SELECT 1 AS one', id) FROM strata_state.model \gexec
CREATE TABLE bench_checks.conditions (name text, kind text, columns text[], options jsonb, failing text);
INSERT INTO bench_checks.conditions
SELECT 'not_null ' || c, 'not_null', ARRAY[c], NULL, c || ' IS NULL'
  FROM unnest('{paiement_id, entreprise_key, zone_key, date_key, date_paiement, saisi_le, montant, reference}'::text[]) AS c;
INSERT INTO bench_checks.conditions
SELECT 'accepted_values ' || c, 'accepted_values', ARRAY[c], jsonb_build_object('values', v),
       format('%I NOT IN (%s)', c, (SELECT string_agg(quote_literal(x), ', ') FROM jsonb_array_elements_text(v) AS x))
  FROM (VALUES ('mode', '["virement", "cheque", "especes", "mobile"]'::jsonb), ('statut', '["paye", "attente", "rejete"]'),
               ('devise', '["XOF", "EUR"]'), ('relances', '[0, 1, 2, 3, 4]')) AS a (c, v);
INSERT INTO bench_checks.conditions
SELECT 'expression ' || e, 'expression', NULL, jsonb_build_object('expression', e), format('NOT (%s)', e)
  FROM unnest(ARRAY['montant > 0', 'tva >= 0', 'tva <= montant', 'echeance BETWEEN 1 AND 12', 'echeance_le >= date_paiement',
                    'taux BETWEEN 0 AND 1', 'valide OR statut IS NOT NULL', 'length(saisi_par) > 5']) AS e;
SELECT strata.define_check('bench_checks.paiements', kind, columns, options, name => name) FROM bench_checks.conditions;
SQL
[ "$(sql -c 'SELECT count(*) FROM strata.checks')" = 20 ] || { echo "not 20 checks" >&2; exit 1; }

echo "SELECT * FROM strata.check_model('bench_checks.paiements');" >"$work/ours.sql"
sql -c "SELECT format('SELECT count(*) FROM bench_checks.paiements WHERE %s;', failing) FROM bench_checks.conditions" >"$work/theirs.sql"

ours_failures=$(sql -c "SELECT failures FROM strata.check_model('bench_checks.paiements')" | sort -n | xargs)
theirs_failures=$(sql -f "$work/theirs.sql" | sort -n | xargs)
[ "$ours_failures" = "$theirs_failures" ] || { echo "failures differ: $ours_failures against $theirs_failures" >&2; exit 1; }

for _ in $(seq "$ROUNDS"); do
	milliseconds "$work/ours.sql" >>"$work/ours" && echo >>"$work/ours"
	milliseconds "$work/theirs.sql" >>"$work/theirs" && echo >>"$work/theirs"
done
ours=$(median <"$work/ours") theirs=$(median <"$work/theirs")
echo "# check_model $ours ms, 20 queries $theirs ms (medians of $ROUNDS)" >&2
awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "checks_20_columns ratio %.3f\n", a / b }'
