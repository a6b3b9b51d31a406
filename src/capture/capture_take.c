/*
 * capture_take.c: a consumer in one call, for tests and benches; no SQL object of the extension names it.
 *
 *   CREATE FUNCTION take(relation oid, consumer text, full_sql text, delta_sql text, columns int[]) RETURNS text
 *       LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_take';
 *
 * The first call subscribes. Runs full_sql, or delta_sql, which finds the changed rows as "changes"; then advances and, as a
 * run does at its end, prunes. Says what it did.
 *
 *   CREATE FUNCTION read(relation oid, consumer text, queries text[], columns int[]) RETURNS text[]
 *       LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_read';
 *
 * The same for a consumer that reads the changed rows where they stand: the first column of the first row of each query, then how many changed
 * rows there were.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "capture/capture_internal.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(strata_capture_take);
PG_FUNCTION_INFO_V1(strata_capture_read);
PG_FUNCTION_INFO_V1(strata_capture_drop);
PG_FUNCTION_INFO_V1(strata_capture_note);
PG_FUNCTION_INFO_V1(strata_capture_cannot);

static void
superusers_only(void)
{
	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be superuser to test capture")));
}

static Bitmapset *
used_columns(ArrayType *array)
{
	Datum *elements;
	int n;
	Bitmapset *used = NULL;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		used = bms_add_member(used, DatumGetInt32(elements[i]) - FirstLowInvalidHeapAttributeNumber);
	return used;
}

Datum
strata_capture_take(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	char *consumer = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Bitmapset *used = used_columns(PG_GETARG_ARRAYTYPE_P(4));
	StrataCaptureChanges *changes;
	StrataRowSet *rows = NULL;
	Snapshot snapshot;
	char *said;

	superusers_only();
	if (!capture_consumer(relid, consumer))
		strata_capture_subscribe(relid, consumer);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	changes = strata_capture_changes(relid, consumer, snapshot, true);
	if (changes->known)
	{
		rows = strata_capture_rowset(changes, "changes", used, snapshot);
		strata_base_run(text_to_cstring(PG_GETARG_TEXT_PP(3)), NULL, snapshot, list_make1(rows));
		said = psprintf(INT64_FORMAT " captured, " UINT64_FORMAT " changes", changes->count, rows->count);
		strata_rowset_free(rows);
	}
	else
	{
		strata_base_run(text_to_cstring(PG_GETARG_TEXT_PP(2)), NULL, snapshot, NIL);
		said = psprintf("full: %s", changes->why);
	}
	strata_capture_advance(changes);
	UnregisterSnapshot(snapshot);
	strata_capture_prune();
	PG_RETURN_TEXT_P(cstring_to_text(said));
}

static Datum
read_changes(const StrataCaptureChanges *changes, ArrayType *queries, const Bitmapset *used, Snapshot snapshot)
{
	StrataRowSet *rows = strata_capture_stream(changes, "changes", used, snapshot);
	Datum *elements;
	int n;

	deconstruct_array(queries, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	elements = repalloc(elements, sizeof(Datum) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		StrataRows *result = strata_base_run_query(TextDatumGetCString(elements[i]), NULL, snapshot, list_make1(rows));
		char *value = result->count > 0 ? strata_rows_text(result, 0, 1) : NULL;

		elements[i] = CStringGetTextDatum(value ? value : "nothing");
	}
	elements[n] = CStringGetTextDatum(psprintf(UINT64_FORMAT, strata_rowset_count(rows)));
	strata_rowset_free(rows);
	return PointerGetDatum(construct_array(elements, n + 1, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
strata_capture_read(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	char *consumer = text_to_cstring(PG_GETARG_TEXT_PP(1));
	StrataCaptureChanges *changes;
	Snapshot snapshot;
	Datum result = (Datum) 0;
	bool known;

	superusers_only();
	if (!capture_consumer(relid, consumer))
		strata_capture_subscribe(relid, consumer);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	changes = strata_capture_changes(relid, consumer, snapshot, false);
	known = changes->known;
	if (known)
		result = read_changes(changes, PG_GETARG_ARRAYTYPE_P(2), used_columns(PG_GETARG_ARRAYTYPE_P(3)), snapshot);
	strata_capture_advance(changes);
	UnregisterSnapshot(snapshot);
	strata_capture_prune();
	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* drop(consumer text) */
Datum
strata_capture_drop(PG_FUNCTION_ARGS)
{
	superusers_only();
	strata_capture_forget(InvalidOid, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* note(relation oid, why text) */
Datum
strata_capture_note(PG_FUNCTION_ARGS)
{
	superusers_only();
	strata_capture_mark(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}

/* cannot(relation oid, role oid) returns text */
Datum
strata_capture_cannot(PG_FUNCTION_ARGS)
{
	const char *why = strata_capture_unsupported(PG_GETARG_OID(0), PG_GETARG_OID(1));

	if (why == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(why));
}
