#!/bin/bash
# Random schemas, models and changes of test/fuzz/refresh, the same each time (others with SEED and N); and the tester itself: targets that
# are spoilt behind the extension's back are found, and the case is made small.
set -uo pipefail
echo 1..5
result() { if [ "$1" -eq 0 ]; then echo "ok $2"; else echo "not ok $2"; sed 's/^/# /' <<<"$said"; fi; }

said=$(test/fuzz/refresh --seed "${SEED:-20240601}" --refreshes "${N:-500}" --seconds 60 2>&1)
result $? "1 - each target is what its query gives"
[ "$(sed -n 's/^# \([0-9]*\) model refreshes.*/\1/p' <<<"$said")" -ge "${N:-500}" ]
result $? "2 - after as many refreshes as wanted"

# spoilt: a target of a GROUP BY, at a refresh that follows an UPDATE
said=$(FUZZ_SABOTAGE=1 test/fuzz/refresh --seed 4 --refreshes 200 2>&1)
[ $? -eq 1 ] && grep -q 'is not what its query gives: 1 rows missing, 0 too many' <<<"$said"
result $? "3 - a spoilt target is found"
grep -q '^# minimised from' <<<"$said" && [ "$(grep -c '^SELECT strata.define' <<<"$said")" -eq 1 ] && [ "$(grep -c '^UPDATE' <<<"$said")" -eq 1 ] &&
	[ "$(grep -c '^CREATE TABLE' <<<"$said")" -le 2 ]
result $? "4 - and the case made one model, one UPDATE and the tables of both"
grep '^SELECT strata.define' <<<"$said" | grep -q 'GROUP BY'
result $? "5 - the model being one of those that are spoilt"
