/*
 * checks_funcs.c: the SQL entry points of the room.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "checks/checks_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(strata_checks_define_sql);
PG_FUNCTION_INFO_V1(strata_checks_drop_sql);
PG_FUNCTION_INFO_V1(strata_checks_check_model);
PG_FUNCTION_INFO_V1(strata_checks_explain_sql);

static void
require(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", argument),
						errhint("Give a value.")));
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* define_check(model, kind, columns, options, severity, name, warn_above, error_above, sample_rows, description) */
Datum
strata_checks_define_sql(PG_FUNCTION_ARGS)
{
	StrataCheck *check = palloc0(sizeof(StrataCheck));
	StrataModel *model;

	require(fcinfo, 0, "model");
	require(fcinfo, 1, "kind");
	require(fcinfo, 4, "severity");
	require(fcinfo, 6, "warn_above");
	require(fcinfo, 7, "error_above");
	require(fcinfo, 8, "sample_rows");
	model = strata_registry_get(text_argument(fcinfo, 0), "model");
	strata_registry_require_owner(model, "define a check on");
	check->columns = PG_ARGISNULL(2) ? NIL : strata_base_texts(PG_GETARG_DATUM(2), "columns");
	check->options = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P_COPY(3);
	check->severity = text_argument(fcinfo, 4);
	check->name = text_argument(fcinfo, 5);
	check->warn_above = PG_GETARG_INT64(6);
	check->error_above = PG_GETARG_INT64(7);
	check->sample_rows = PG_GETARG_INT32(8);
	check->description = text_argument(fcinfo, 9);
	PG_RETURN_TEXT_P(cstring_to_text(strata_checks_define(model, check, text_argument(fcinfo, 1))));
}

/* drop_check(model, name) */
Datum
strata_checks_drop_sql(PG_FUNCTION_ARGS)
{
	StrataModel *model;

	require(fcinfo, 0, "model");
	require(fcinfo, 1, "name");
	model = strata_registry_get(text_argument(fcinfo, 0), "model");
	strata_registry_require_owner(model, "drop a check of");
	strata_checks_drop(model, text_argument(fcinfo, 1));
	PG_RETURN_VOID();
}

static void
put_outcome(ReturnSetInfo *result, const StrataCheckOutcome *o)
{
	Datum values[9];
	bool nulls[9] = {false};

	values[0] = CStringGetTextDatum(o->name);
	values[1] = CStringGetTextDatum(o->kind);
	values[2] = CStringGetTextDatum(o->severity);
	values[3] = CStringGetTextDatum(o->status);
	values[4] = Int64GetDatum(o->failures);
	nulls[4] = o->failures < 0;
	values[5] = Int64GetDatum(o->rows);
	nulls[5] = o->rows < 0;
	nulls[6] = o->message == NULL;
	values[6] = o->message ? CStringGetTextDatum(o->message) : (Datum) 0;
	nulls[7] = o->sample == NULL;
	values[7] = JsonbPGetDatum(o->sample);
	values[8] = Float8GetDatum(o->ms);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* check_model(model, as_of): runs the checks of one model now, and keeps their results */
Datum
strata_checks_check_model(PG_FUNCTION_ARGS)
{
	TimestampTz as_of = PG_ARGISNULL(1) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(1);
	StrataModel *model;
	Snapshot snapshot;
	List *outcomes;
	ListCell *lc;

	require(fcinfo, 0, "model");
	model = strata_registry_get(text_argument(fcinfo, 0), "model");
	strata_registry_require_owner(model, "check");
	InitMaterializedSRF(fcinfo, 0);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	outcomes = strata_checks_run(model, snapshot, as_of);
	UnregisterSnapshot(snapshot);
	if (!XactReadOnly)
		strata_checks_record(0, outcomes, as_of);
	foreach (lc, outcomes)
		put_outcome((ReturnSetInfo *) fcinfo->resultinfo, lfirst(lc));
	return (Datum) 0;
}

/* explain_checks(model): the statements check_model would run */
Datum
strata_checks_explain_sql(PG_FUNCTION_ARGS)
{
	StrataModel *model;
	ReturnSetInfo *result;
	ListCell *lc;

	require(fcinfo, 0, "model");
	model = strata_registry_get(text_argument(fcinfo, 0), "model");
	strata_registry_require_owner(model, "explain the checks of");
	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	foreach (lc, strata_checks_explain(model))
	{
		const StrataCheckStatement *statement = lfirst(lc);
		StrataArgs args = {0};
		bool nulls[2] = {false, false};

		strata_args_texts(&args, statement->checks);
		strata_args_text(&args, statement->sql);
		tuplestore_putvalues(result->setResult, result->setDesc, args.values, nulls);
	}
	return (Datum) 0;
}
