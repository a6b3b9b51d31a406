/*
 * collect.c: the aggregate that keeps failing rows.
 *
 *	strata_state.collect_failures(failed boolean[], "row" record, columns text[], sample_rows integer[]) -> jsonb
 *
 * One scan of a table serves all its row checks:
 *
 *	SELECT count(*), collect_failures(ARRAY[c1, c2, ...], ROW(t.*), '{...}', '{...}') FILTER (WHERE c1 OR c2 OR ...)
 *
 * A row that passes costs the OR chain and nothing else: the arguments of a filtered aggregate are not evaluated. A
 * failing row is counted under every check it fails, and written as JSON only while a sample of one of them has room.
 * ROW(t.*), not t: a whole-row reference would make the scan build the composite for every row.
 *
 * The result is {"failures": [n, ...], "samples": [[{...}, ...], ...]}, NULL when no row was fed. The aggregate is
 * parallel: states are serialized, added and their samples joined up to the limit.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "base/base.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#define VALUE_BYTES 200 /* a longer value is cut: a sample is for the eye */

typedef struct Collected
{
	int n; /* checks */
	int64 *failures;
	int *limits;
	List **samples; /* per check, of char *: JSON objects */
} Collected;

PG_FUNCTION_INFO_V1(strata_checks_collect);
PG_FUNCTION_INFO_V1(strata_checks_collect_combine);
PG_FUNCTION_INFO_V1(strata_checks_collect_serialize);
PG_FUNCTION_INFO_V1(strata_checks_collect_deserialize);
PG_FUNCTION_INFO_V1(strata_checks_collect_final);

static Collected *
collected_create(int n)
{
	Collected *c = palloc(sizeof(Collected));

	c->n = n;
	c->failures = palloc0(sizeof(int64) * Max(n, 1));
	c->limits = palloc0(sizeof(int) * Max(n, 1));
	c->samples = palloc0(sizeof(List *) * Max(n, 1));
	return c;
}

static void
append_value(StringInfo buf, Datum value, Oid type)
{
	Oid output;
	bool varlena;
	char *text;
	int length;

	if (type == BOOLOID)
	{
		appendStringInfoString(buf, DatumGetBool(value) ? "true" : "false");
		return;
	}
	getTypeOutputInfo(type, &output, &varlena);
	text = OidOutputFunctionCall(output, value);
	/* NaN and infinities are no JSON numbers */
	if ((type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID) &&
		strspn(text, "-0123456789.") == strlen(text))
	{
		appendStringInfoString(buf, text);
		return;
	}
	length = strlen(text);
	if (length > VALUE_BYTES)
	{
		length = pg_mbcliplen(text, length, VALUE_BYTES);
		text = psprintf("%.*s...", length, text);
	}
	escape_json(buf, text);
}

/* The row as a JSON object, under the names given (the row itself is anonymous). */
static char *
row_json(HeapTupleHeader row, ArrayType *names)
{
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple;
	Datum *name_values;
	bool *name_nulls;
	int n_names;
	bool first = true;
	StringInfoData buf;

	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &name_values, &name_nulls, &n_names);

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (int i = 0; i < desc->natts; i++)
	{
		Datum value;
		bool isnull;

		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		if (!first)
			appendStringInfoString(&buf, ", ");
		first = false;
		escape_json(&buf,
					i < n_names && !name_nulls[i] ? TextDatumGetCString(name_values[i]) : psprintf("column %d", i + 1));
		appendStringInfoString(&buf, ": ");
		value = heap_getattr(&tuple, i + 1, desc, &isnull);
		if (isnull)
			appendStringInfoString(&buf, "null");
		else
			append_value(&buf, value, TupleDescAttr(desc, i)->atttypid);
	}
	appendStringInfoChar(&buf, '}');
	ReleaseTupleDesc(desc);
	return buf.data;
}

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("strata_state.collect_failures works as an aggregate only")));
	return context;
}

static Collected *
first_state(FunctionCallInfo fcinfo, int n, ArrayType *limits)
{
	Collected *c;

	if (limits == NULL || ARR_NDIM(limits) != 1 || ARR_HASNULL(limits) || ARR_DIMS(limits)[0] != n)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("collect_failures: sample_rows must have one element for each of failed")));
	c = collected_create(n);
	for (int i = 0; i < n; i++)
		c->limits[i] = ((int32 *) ARR_DATA_PTR(limits))[i];
	return c;
}

Datum
strata_checks_collect(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	MemoryContext old;
	Collected *c = PG_ARGISNULL(0) ? NULL : (Collected *) PG_GETARG_POINTER(0);
	ArrayType *failed = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	char *json = NULL;
	Datum *flags;
	bool *nulls;
	int n;

	if (failed == NULL || ARR_NDIM(failed) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("collect_failures: failed must be an array of one dimension")));
	deconstruct_array(failed, BOOLOID, 1, true, TYPALIGN_CHAR, &flags, &nulls, &n);
	if (c == NULL)
	{
		old = MemoryContextSwitchTo(context);
		c = first_state(fcinfo, n, PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4));
		MemoryContextSwitchTo(old);
	}
	if (c->n != n)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("collect_failures: failed must have the same length in every row")));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i] || !DatumGetBool(flags[i]))
			continue;
		c->failures[i]++;
		if (list_length(c->samples[i]) >= c->limits[i] || PG_ARGISNULL(2) || PG_ARGISNULL(3))
			continue;
		if (json == NULL)
		{
			char *built = row_json(PG_GETARG_HEAPTUPLEHEADER(2), PG_GETARG_ARRAYTYPE_P(3));

			json = MemoryContextStrdup(context, built);
		}
		old = MemoryContextSwitchTo(context);
		c->samples[i] = lappend(c->samples[i], json);
		MemoryContextSwitchTo(old);
	}
	PG_RETURN_POINTER(c);
}

static void
add_states(Collected *into, const Collected *from)
{
	if (into->n != from->n)
		elog(ERROR, "collect_failures: states of different shape");
	for (int i = 0; i < from->n; i++)
	{
		ListCell *lc;

		into->failures[i] += from->failures[i];
		into->limits[i] = from->limits[i];
		foreach (lc, from->samples[i])
		{
			if (list_length(into->samples[i]) < into->limits[i])
				into->samples[i] = lappend(into->samples[i], pstrdup(lfirst(lc)));
		}
	}
}

Datum
strata_checks_collect_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Collected *into = PG_ARGISNULL(0) ? NULL : (Collected *) PG_GETARG_POINTER(0);
	Collected *from = PG_ARGISNULL(1) ? NULL : (Collected *) PG_GETARG_POINTER(1);

	if (from != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		if (into == NULL)
			into = collected_create(from->n);
		add_states(into, from);
		MemoryContextSwitchTo(old);
	}
	if (into == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(into);
}

Datum
strata_checks_collect_serialize(PG_FUNCTION_ARGS)
{
	Collected *c;
	StringInfoData buf;

	(void) aggregate_context(fcinfo);
	c = (Collected *) PG_GETARG_POINTER(0);
	pq_begintypsend(&buf);
	pq_sendint32(&buf, c->n);
	for (int i = 0; i < c->n; i++)
	{
		ListCell *lc;

		pq_sendint64(&buf, c->failures[i]);
		pq_sendint32(&buf, c->limits[i]);
		pq_sendint32(&buf, list_length(c->samples[i]));
		foreach (lc, c->samples[i])
		{
			const char *json = lfirst(lc);

			pq_sendint32(&buf, strlen(json));
			pq_sendbytes(&buf, json, strlen(json));
		}
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

Datum
strata_checks_collect_deserialize(PG_FUNCTION_ARGS)
{
	bytea *state;
	StringInfoData buf;
	Collected *c;

	(void) aggregate_context(fcinfo);
	state = PG_GETARG_BYTEA_PP(0);
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(state), VARSIZE_ANY_EXHDR(state));
	c = collected_create(pq_getmsgint(&buf, 4));
	for (int i = 0; i < c->n; i++)
	{
		int count;

		c->failures[i] = pq_getmsgint64(&buf);
		c->limits[i] = pq_getmsgint(&buf, 4);
		count = pq_getmsgint(&buf, 4);
		for (int j = 0; j < count; j++)
		{
			int length = pq_getmsgint(&buf, 4);

			c->samples[i] = lappend(c->samples[i], pnstrdup(pq_getmsgbytes(&buf, length), length));
		}
	}
	pq_getmsgend(&buf);
	PG_RETURN_POINTER(c);
}

Datum
strata_checks_collect_final(PG_FUNCTION_ARGS)
{
	Collected *c;
	StringInfoData buf;

	(void) aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	c = (Collected *) PG_GETARG_POINTER(0);
	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"failures\": [");
	for (int i = 0; i < c->n; i++)
		appendStringInfo(&buf, "%s" INT64_FORMAT, i == 0 ? "" : ", ", c->failures[i]);
	appendStringInfoString(&buf, "], \"samples\": [");
	for (int i = 0; i < c->n; i++)
	{
		ListCell *lc;

		appendStringInfoString(&buf, i == 0 ? "[" : ", [");
		foreach (lc, c->samples[i])
			appendStringInfo(&buf, "%s%s", foreach_current_index(lc) == 0 ? "" : ", ", (char *) lfirst(lc));
		appendStringInfoChar(&buf, ']');
	}
	appendStringInfoString(&buf, "]}");
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}
