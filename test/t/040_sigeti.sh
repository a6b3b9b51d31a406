#!/bin/bash
# The sigeti example as a test: built, three days refreshed, proven against its source; the clock alone changes nothing; a full rebuild
# keeps every surrogate key; every mart and fact is its query; and the proofs notice each kind of damage.
set -u
cd "$(dirname "$0")/../../examples/sigeti" || exit 1
export PGDATABASE=sigeti_test
number=0 bad=0

export PGOPTIONS='-c client_min_messages=warning'
sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
ok() { # ok WHAT STATUS
	number=$((number + 1))
	if [ "$2" -eq 0 ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; bad=$((bad + 1)); fi
}
holds() { # holds WHAT QUERY: the query answers t
	local answer
	answer=$(sql -c "SET TimeZone = 'Africa/Abidjan'" -c "$2" 2>&1)
	[ "$answer" = t ]
	ok "$1" $?
	[ "$answer" = t ] || echo "# $answer"
}
refuses() { # refuses WHAT DAMAGE: verify.sql raises after the damage
	local said
	said=$(sql -c BEGIN -c "$2" -f verify.sql 2>&1)
	grep -q 'ERROR:  the warehouse differs from its source' <<<"$said"
	ok "the proofs notice $1" $?
}

psql -X -q -d postgres -c 'CREATE DATABASE sigeti_test' || exit 1
sql -c 'CREATE EXTENSION pg_strata' -f 00_source.sql -f 20_later_day.sql -c 'SELECT sigeti.load(1)' -f 10_models.sql >/dev/null
ok 'source and definitions load' $?
holds 'the models are 8 staging, 5 dimensions, 4 facts, 4 marts' \
	"SELECT string_agg(layer || ' ' || n, ', ' ORDER BY layer) = 'dimension 5, fact 4, mart 4, staging 8'
	 FROM (SELECT layer, count(*) AS n FROM strata.models GROUP BY 1) t"
holds 'there are 14 checks' 'SELECT count(*) = 14 FROM strata.checks'

before=$(sql -c 'SELECT jsonb_agg(m ORDER BY model) FROM (SELECT model, version FROM strata.models) m' -f 10_models.sql | head -1)
holds 'the same definitions again change nothing' \
	"SELECT jsonb_agg(m ORDER BY model) = '$before' FROM (SELECT model, version FROM strata.models) m"

sql -c 'SELECT * FROM strata.refresh(as_of => sigeti.closing(0))' >/dev/null
ok 'first refresh' $?
for day in 1 2 3; do
	sql -c "SELECT * FROM sigeti.next_day($day)" -c "SELECT * FROM strata.refresh(as_of => sigeti.closing($day))" >/dev/null
	ok "day $day" $?
done
sql -f verify.sql >/dev/null
ok 'the warehouse equals its source' $?

# target = query, both ways, for what is stored as its query says
for model in staging.stg_paiements marts.portefeuille_clients marts.performance_financiere marts.occupation_zones marts.kpi_operationnels; do
	filter=
	[ $model != staging.stg_paiements ] || filter='WHERE montant > 0'
	query=$(sql -c "SELECT query FROM strata.models WHERE model = '$model'")
	holds "$model is its query" "WITH q AS (SELECT * FROM ($query) q $filter)
		SELECT count(*) = 0 FROM ((TABLE $model EXCEPT ALL TABLE q) UNION ALL (TABLE q EXCEPT ALL TABLE $model)) d"
done
for model in dwh.fait_attributions dwh.fait_factures dwh.fait_paiements dwh.fait_collectes; do
	query=$(sql -c "SELECT query FROM strata.models WHERE model = '$model'")
	columns=$(sql -c "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = '$model'::regclass AND attnum > 0 AND NOT attisdropped AND attname !~ '_key\$'")
	holds "$model is its query" "WITH q AS (SELECT $columns FROM ($query) q), f AS (SELECT $columns FROM $model)
		SELECT count(*) = 0 FROM ((TABLE f EXCEPT ALL TABLE q) UNION ALL (TABLE q EXCEPT ALL TABLE f)) d"
done

places="SELECT md5(string_agg(place, ',' ORDER BY place)) FROM (
	SELECT 'p' || paiement_id || ctid AS place FROM dwh.fait_paiements UNION ALL SELECT 'f' || facture_id || ctid FROM dwh.fait_factures
	UNION ALL SELECT 'd' || demande_id || ctid FROM dwh.fait_attributions UNION ALL SELECT 'c' || collecte_id || ctid FROM dwh.fait_collectes
	UNION ALL SELECT 'e' || entreprise_key || ctid FROM dwh.dim_entreprise UNION ALL SELECT 'l' || lot_key || ctid FROM dwh.dim_lot
	UNION ALL SELECT 'm' || entreprise_id || ctid FROM marts.portefeuille_clients
	UNION ALL SELECT 'n' || mois || zone_key || ctid FROM marts.performance_financiere) t"
before=$(sql -c "$places")
sql -c 'SELECT * FROM strata.refresh(as_of => sigeti.closing(33))' >/dev/null
holds 'a month later not a row is rewritten' "SELECT ($places) = '$before'"

keys="SELECT md5(string_agg(e::text, ',' ORDER BY entreprise_key)) FROM dwh.dim_entreprise e"
before=$(sql -c "$keys")
sql -c 'SELECT * FROM strata.refresh(full_rebuild => true, as_of => sigeti.closing(34))' >/dev/null
ok 'full rebuild' $?
holds 'a full rebuild keeps every version and key' "SELECT ($keys) = '$before'"
sql -f verify.sql >/dev/null
ok 'after it the warehouse equals its source' $?

refuses 'a payment that is lost' 'DELETE FROM dwh.fait_paiements WHERE paiement_id = 7190'
refuses 'a correction that is lost' 'UPDATE dwh.fait_factures SET montant_ttc = montant_ttc + 1 WHERE facture_id = 7'
refuses 'a version that is lost' \
	'DELETE FROM dwh.dim_entreprise WHERE entreprise_key = (SELECT max(entreprise_key) FROM dwh.dim_entreprise WHERE NOT is_current)'
refuses 'a fact under another version' 'UPDATE dwh.fait_paiements SET entreprise_key = 0 WHERE paiement_id = 12'
refuses 'approvals of 0' "UPDATE marts.kpi_operationnels SET nb_approuvees = 0 WHERE mois = '2023-05-01'"
refuses 'revenue counted twice' 'UPDATE marts.portefeuille_clients SET montant_facture = 2 * montant_facture WHERE entreprise_id = 3'
refuses 'a fact under another day' \
	"UPDATE dwh.fait_collectes SET date_collecte_key = (SELECT date_key FROM dwh.dim_date WHERE date = '2026-02-07') WHERE collecte_id = 5"
refuses 'a wrong remainder' 'UPDATE dwh.fait_paiements SET reste_a_payer = reste_a_payer + 1 WHERE paiement_id = 13'
refuses 'a deleted invoice that stays' 'INSERT INTO dwh.fait_factures
	SELECT (jsonb_populate_record(f, $${"facture_id": 999999, "numero": "x"}$$)).* FROM dwh.fait_factures f WHERE facture_id = 8'
refuses 'a reject that vanished' 'DELETE FROM staging.stg_paiements__rejected'

psql -X -q -d postgres -c 'DROP DATABASE sigeti_test'
echo "1..$number"
exit $((bad > 0))
