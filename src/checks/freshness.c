/*
 * freshness.c: how old the newest row of each declared source is, against what its declaration allows.
 *
 * The newest row is looked up as the owner of the relation, in a security-restricted operation: a source may be a view
 * whose functions are its owner's, not the caller's, to run.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "checks/checks_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(strata_checks_source_freshness);

/* The newest loaded_at; false when there is no row. */
static bool
newest(Oid owner, const char *label, const char *column, TimestampTz *time)
{
	StrataIdentity saved;
	StrataSettings settings = strata_base_current_settings();
	StrataRows *rows;
	bool isnull;
	Datum value;

	strata_base_enter_owner(owner, &settings, &saved);
	rows = strata_base_run_query(
		psprintf("SELECT pg_catalog.max(%s)::timestamptz FROM %s", quote_identifier(column), label), NULL,
		GetActiveSnapshot(), NIL);
	strata_base_leave(&saved);
	value = strata_rows_datum(rows, 0, 1, &isnull);
	if (!isnull)
		*time = DatumGetTimestampTz(value);
	return !isnull;
}

static bool
older_than(TimestampTz time, Datum limit, TimestampTz as_of)
{
	TimestampTz deadline =
		DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(time), limit));

	return deadline < as_of;
}

/* (as_of) */
Datum
strata_checks_source_freshness(PG_FUNCTION_ARGS)
{
	TimestampTz as_of = PG_ARGISNULL(0) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(0);
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	StrataRows *sources;

	InitMaterializedSRF(fcinfo, 0);
	/* read as the caller: the view shows what the caller may see */
	sources = strata_base_query(
		"SELECT s.source, s.loaded_at::text, s.warn_after, s.error_after, c.relowner,"
		" pg_catalog.has_table_privilege(c.oid, 'SELECT')"
		" FROM strata.sources s JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(s.source)"
		" WHERE s.loaded_at IS NOT NULL ORDER BY s.source",
		NULL);
	for (uint64 i = 0; i < sources->count; i++)
	{
		Datum values[6] = {0};
		bool nulls[6] = {false};
		TimestampTz time = 0;
		bool any;
		const char *status = "fresh";
		bool no_warn;
		bool no_error;
		Datum warn = strata_rows_datum(sources, i, 3, &no_warn);
		Datum error = strata_rows_datum(sources, i, 4, &no_error);

		if (!strata_rows_bool(sources, i, 6))
			continue;
		any = newest(strata_rows_int(sources, i, 5), strata_rows_text(sources, i, 1), strata_rows_text(sources, i, 2),
					 &time);
		if (!any)
			status = no_warn && no_error ? "empty" : no_error ? "warn" : "error";
		else if (!no_error && older_than(time, error, as_of))
			status = "error";
		else if (!no_warn && older_than(time, warn, as_of))
			status = "warn";
		values[0] = CStringGetTextDatum(strata_rows_text(sources, i, 1));
		values[1] = TimestampTzGetDatum(time);
		nulls[1] = !any;
		nulls[2] = !any || TIMESTAMP_NOT_FINITE(time);
		if (!nulls[2])
			values[2] = DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(as_of), TimestampTzGetDatum(time));
		values[3] = warn;
		nulls[3] = no_warn;
		values[4] = error;
		nulls[4] = no_error;
		values[5] = CStringGetTextDatum(status);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	return (Datum) 0;
}
