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
