/*
 * delta_test.c: this room's C face, for its test, which declares these functions itself (test/sql/delta_signed.sql): no script of
 * the extension does.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "delta/delta_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(strata_delta_test_signed);

/* signed(query text) returns setof record: its rows, consolidated */
Datum
strata_delta_test_signed(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	StrataRowSet *set;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	set = strata_base_run_signed("test_signed", text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL, GetActiveSnapshot(), NIL);
	tuplestore_end(result->setResult);
	result->setResult = set->store;
	result->setDesc = set->desc;
	MemoryContextSwitchTo(old);
	return (Datum) 0;
}

static List *
attributes(Oid relid)
{
	StrataRows *rows = strata_base_query(psprintf("SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute"
												  " WHERE attrelid = %u AND attnum > 0 AND NOT attisdropped",
												  relid),
										 NULL);

	return strata_rows_texts(rows, 0, 1);
}

/* Arguments first, ...: key text[], find text[], find_unique bool. */
static StrataDeltaTarget
target_of(FunctionCallInfo fcinfo, Oid relid, int first)
{
	StrataDeltaTarget t = {0};

	t.relid = relid;
	t.label = strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	t.columns = attributes(relid);
	t.key = PG_ARGISNULL(first) ? NIL : strata_base_texts(PG_GETARG_DATUM(first), "key");
	t.key_word = "key";
	t.find = PG_ARGISNULL(first + 1) ? NIL : strata_base_texts(PG_GETARG_DATUM(first + 1), "find");
	t.find_unique = PG_GETARG_BOOL(first + 2);
	return t;
}

static char *
counts_text(const StrataDeltaCounts *c)
{
	return psprintf("+" INT64_FORMAT " ~" INT64_FORMAT " -" INT64_FORMAT, c->inserted, c->updated, c->deleted);
}

PG_FUNCTION_INFO_V1(strata_delta_test_apply_signed);

/* apply_signed(target regclass, change text, key text[], find text[], find_unique bool) returns text */
Datum
strata_delta_test_apply_signed(PG_FUNCTION_ARGS)
{
	StrataDeltaTarget t = target_of(fcinfo, PG_GETARG_OID(0), 2);
	Snapshot snapshot = GetActiveSnapshot();
	StrataDeltaCounts counts;
	StrataRowSet *change =
		strata_base_run_signed("test_change", text_to_cstring(PG_GETARG_TEXT_PP(1)), NULL, snapshot, NIL);

	bool applied = strata_delta_apply_signed(&t, change, snapshot, &counts);

	strata_rowset_free(change);
	if (!applied)
		PG_RETURN_TEXT_P(cstring_to_text("not there"));
	PG_RETURN_TEXT_P(cstring_to_text(counts_text(&counts)));
}

PG_FUNCTION_INFO_V1(strata_delta_test_apply_part);

/* apply_part(target regclass, query text, key text[], find text[], find_unique bool, scope text, into text) returns text; the change
 * is added to the table into */
Datum
strata_delta_test_apply_part(PG_FUNCTION_ARGS)
{
	StrataDeltaTarget t = target_of(fcinfo, PG_GETARG_OID(0), 2);
	Snapshot snapshot = GetActiveSnapshot();
	StrataDeltaCounts counts;
	StrataRowSet *change = strata_delta_apply_part(&t, text_to_cstring(PG_GETARG_TEXT_PP(1)), NULL, snapshot, NIL,
												   PG_ARGISNULL(5) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(5)),
												   PG_ARGISNULL(6) ? NULL : "test_change", &counts);

	if (change)
		strata_base_run(psprintf("INSERT INTO %s SELECT * FROM test_change", text_to_cstring(PG_GETARG_TEXT_PP(6))),
						NULL, snapshot, list_make1(change));
	strata_rowset_free(change);
	PG_RETURN_TEXT_P(cstring_to_text(counts_text(&counts)));
}

PG_FUNCTION_INFO_V1(strata_delta_test_merge_state);

/* merge_state(state regclass, nkeys int, merged text) returns bool */
Datum
strata_delta_test_merge_state(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Snapshot snapshot = GetActiveSnapshot();
	StrataRowSet *merged =
		strata_base_run_rowset("test_merged", text_to_cstring(PG_GETARG_TEXT_PP(2)), NULL, snapshot, NIL);

	bool sound =
		strata_delta_merge_state(strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
								 attributes(relid), PG_GETARG_INT32(1), merged, snapshot);

	strata_rowset_free(merged);
	PG_RETURN_BOOL(sound);
}

PG_FUNCTION_INFO_V1(strata_delta_test_statistics);

/* statistics(rows text, query text) returns text: what the planner asked of test_rows when it planned the query */
Datum
strata_delta_test_statistics(PG_FUNCTION_ARGS)
{
	Snapshot snapshot = GetActiveSnapshot();
	StrataRowSet *set = strata_base_run_rowset("test_rows", text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL, snapshot, NIL);
	StringInfoData buf;

	(void) strata_base_run_query(text_to_cstring(PG_GETARG_TEXT_PP(1)), NULL, snapshot, list_make1(set));
	initStringInfo(&buf);
	for (int i = 0; set->stats && i < set->desc->natts; i++)
		appendStringInfo(&buf, "%s%s: %.0f values, %.2f null", i > 0 ? "; " : "",
						 NameStr(TupleDescAttr(set->desc, i)->attname), set->stats[i].distinct,
						 set->stats[i].null_share);
	strata_rowset_free(set);
	PG_RETURN_TEXT_P(cstring_to_text(buf.data));
}
