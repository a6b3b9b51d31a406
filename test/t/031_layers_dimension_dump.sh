#!/bin/bash
# A dumped and restored warehouse goes on with the same surrogate keys: those of the versions that are there, of versions that are
# gone and come again, of inferred members.
set -uo pipefail
one=dump_one_$$ two=dump_two_$$ file=$(mktemp)
trap 'rm -f "$file"; dropdb -f --if-exists "$one"; dropdb -f --if-exists "$two"' EXIT
count=0
ok() { count=$((count + 1)); if [ "$2" = "$3" ]; then echo "ok $count - $1"; else echo "not ok $count - $1"; printf '# got:\n%s\n# expected:\n%s\n' "$2" "$3" | sed 's/^/# /'; fi; }
q() { psql -XqAt -v ON_ERROR_STOP=1 -d "$1" -c "SET client_min_messages = warning" -c "$2" 2>&1; }
KEYS="SELECT string_agg(d::text, E'\n') FROM (SELECT 'run', run_key, id, v, valid_from FROM d.dim_run UNION ALL SELECT 'dated', dated_key, id, v, valid_from FROM d.dim_dated ORDER BY 1, 2) AS d"
FACTS="SELECT string_agg(f::text, E'\n') FROM (SELECT * FROM d.fait ORDER BY id) AS f"
refresh() { q "$1" "SELECT count(*) FROM strata.refresh('schema:d', as_of => '$2')"; }

echo 1..9
createdb "$one"
q "$one" "CREATE EXTENSION pg_strata; CREATE SCHEMA d; CREATE TABLE d.src (id integer, v text, at timestamptz); CREATE TABLE d.sale (id integer, client integer);
INSERT INTO d.src VALUES (1, 'a', '2025-01-01'), (2, 'a', '2025-01-01'); INSERT INTO d.sale VALUES (1, 1), (2, 9);
SELECT strata.define_dimension('d.dim_run', 'SELECT id, v FROM d.src', key => '{id}', history => '{v}', deletes => 'close', max_shrink => 1);
SELECT strata.define_dimension('d.dim_dated', 'SELECT * FROM d.src', key => '{id}', history => '{v}', effective_from => 'at', deletes => 'mark', max_shrink => 1);
SELECT strata.define_fact('d.fait', 'SELECT id, client FROM d.sale', grain => '{id}', dimensions => '{\"run_key\": {\"dimension\": \"d.dim_run\", \"on\": {\"client\": \"id\"}, \"missing\": \"infer\"}, \"dated_key\": {\"dimension\": \"d.dim_dated\", \"on\": {\"client\": \"id\"}, \"missing\": \"infer\"}}')" >/dev/null
ok "built" "$(refresh "$one" 2025-01-02)" 3
q "$one" "UPDATE d.src SET v = 'b', at = '2025-01-05' WHERE id = 1; DELETE FROM d.src WHERE id = 2"
ok "changed" "$(refresh "$one" 2025-01-06)" 3
pg_dump -Fc -d "$one" -f "$file"
createdb "$two"
ok "restored" "$(pg_restore -d "$two" --exit-on-error "$file" 2>&1)" ""
ok "the keys are there" "$(q "$two" "$KEYS")" "$(q "$one" "$KEYS")"
q "$two" "UPDATE d.src SET v = v; UPDATE d.sale SET client = client"
ok "a refresh finds nothing to change" "$(q "$two" "SELECT sum(inserted + updated + deleted) FROM strata.refresh('schema:d', as_of => '2025-01-07')")" 0
# the same things happen to both
for db in "$one" "$two"; do
	q "$db" "INSERT INTO d.src VALUES (2, 'c', '2025-01-08'), (9, 'inferred', '2025-01-08'), (3, 'new', '2025-01-03'); UPDATE d.src SET v = 'a', at = '2025-01-04' WHERE id = 1"
	refresh "$db" 2025-01-09 >/dev/null
done
ok "and then they are the same" "$(q "$two" "$KEYS")" "$(q "$one" "$KEYS")"
ok "as are the facts" "$(q "$two" "$FACTS")" "$(q "$one" "$FACTS")"
ok "the inferred member kept its key" "$(q "$two" "SELECT v FROM d.fait JOIN d.dim_run USING (run_key) WHERE fait.id = 2")" inferred
ok "no two versions overlap there either" "$(q "$two" "INSERT INTO d.dim_run SELECT 99, id, v, valid_from + interval '1 hour', NULL, true FROM d.dim_run WHERE id = 3" | grep -c 'dim_run_id')" 1
