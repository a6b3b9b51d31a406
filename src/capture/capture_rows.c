/*
 * capture_rows.c: the changed rows of a window as signed rows, consolidated.
 *
 * Rows are projected to the columns the consumer uses and grouped by image (base/signed.c, bounded by work_mem); what a row lost
 * and gained again is nothing. Long values stay where they are, in the change tables, which we have locked. Raw rows are not grouped.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "capture/capture_internal.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"

typedef struct Reading
{
	int natts;        /* of the relation */
	AttrNumber *from; /* per column: that of the change table, or 0 */
	bool *used;
	StrataSigned *rows;
	StrataRowSet *raw;
	Datum *values;
	bool *nulls;
	/* a partition's own rows among those of its table */
	ExprState *is_ours;
	EState *estate;
	TupleTableSlot *slot;
} Reading;

/* Which column of the change tables holds which of the relation's so many; 0: none. */
AttrNumber *
capture_map_columns(int natts, Oid relid, const StrataCaptureState *state)
{
	AttrNumber *from = palloc0(sizeof(AttrNumber) * Max(1, natts));
	Relation segment;

	if (state->segments == NIL)
		return from;
	segment = table_open(linitial_oid(state->segments), NoLock);
	for (int i = CAPTURE_PREFIX; i < RelationGetNumberOfAttributes(segment); i++)
	{
		AttrNumber attnum = atoi(NameStr(TupleDescAttr(RelationGetDescr(segment), i)->attname) + 1);

		if (relid != state->root)
		{
			char *name = get_attname(state->root, attnum, true);

			attnum = name ? get_attnum(relid, name) : InvalidAttrNumber;
		}
		if (attnum > 0 && attnum <= natts)
			from[attnum - 1] = i + 1;
	}
	table_close(segment, NoLock);
	return from;
}

bool
capture_is_used(const Bitmapset *used, AttrNumber attnum)
{
	return bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used) ||
		   bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, used);
}

static bool
is_ours(Reading *r, TupleTableSlot *slot)
{
	ExprContext *context = GetPerTupleExprContext(r->estate);
	bool ours;

	ExecClearTuple(r->slot);
	for (int i = 0; i < r->natts; i++)
	{
		r->slot->tts_isnull[i] = r->from[i] == 0 || slot->tts_isnull[r->from[i] - 1];
		r->slot->tts_values[i] = r->from[i] == 0 ? (Datum) 0 : slot->tts_values[r->from[i] - 1];
	}
	ExecStoreVirtualTuple(r->slot);
	context->ecxt_scantuple = r->slot;
	ours = ExecCheck(r->is_ours, context);
	ResetExprContext(context);
	return ours;
}

static void
take_row(TupleTableSlot *slot, int64 step, void *arg)
{
	Reading *r = arg;

	slot_getallattrs(slot);
	if (r->is_ours && !is_ours(r, slot))
		return;
	for (int i = 0; i < r->natts; i++)
	{
		r->nulls[i] = !r->used[i] || slot->tts_isnull[r->from[i] - 1];
		r->values[i] = r->nulls[i] ? (Datum) 0 : slot->tts_values[r->from[i] - 1];
	}
	if (r->raw)
	{
		r->values[r->natts] = Int32GetDatum(step < 0 ? -1 : 1);
		strata_rowset_put(r->raw, r->values, r->nulls);
	}
	else
		strata_signed_put(r->rows, r->values, r->nulls, step < 0 ? -1 : 1);
}

static StrataRowSet *
read_rows(const StrataCaptureChanges *changes, const char *name, const Bitmapset *used, Snapshot snapshot, bool raw)
{
	const StrataCaptureState *state = changes->state;
	Relation rel = table_open(changes->relid, AccessShareLock);
	Reading r = {0};
	StrataIdentity saved;
	StrataRowSet *result;

	if (!changes->known)
		elog(ERROR, "the changes of %s are not known: %s", capture_label(changes->relid), changes->why);
	r.natts = RelationGetNumberOfAttributes(rel);
	r.values = palloc0(sizeof(Datum) * (r.natts + 1));
	r.nulls = palloc0(sizeof(bool) * (r.natts + 1));
	r.used = palloc0(sizeof(bool) * Max(1, r.natts));
	r.from = capture_map_columns(r.natts, changes->relid, state);
	for (int i = 0; i < r.natts; i++)
		r.used[i] = r.from[i] != 0 && capture_is_used(used, i + 1);
	if (raw)
		r.raw = strata_rowset_create(name, strata_signed_columns(RelationGetDescr(rel), true));
	else
		r.rows = strata_signed_start(name, strata_signed_columns(RelationGetDescr(rel), false));
	/* the key of its table may call functions */
	strata_base_enter_owner(rel->rd_rel->relowner, NULL, &saved);
	if (changes->relid != state->root)
	{
		r.estate = CreateExecutorState();
		r.is_ours = ExecPrepareCheck(RelationGetPartitionQual(rel), r.estate);
		r.slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	}
	capture_scan(state, snapshot, 0, take_row, &r);
	strata_base_leave(&saved);
	result = raw ? r.raw : strata_signed_finish(r.rows);
	if (r.slot)
	{
		ExecDropSingleTupleTableSlot(r.slot);
		FreeExecutorState(r.estate);
	}
	table_close(rel, NoLock);
	return result;
}

StrataRowSet *
strata_capture_rowset(const StrataCaptureChanges *changes, const char *name, const Bitmapset *used, Snapshot snapshot)
{
	return read_rows(changes, name, used, snapshot, false);
}

StrataRowSet *
strata_capture_rowset_raw(const StrataCaptureChanges *changes, const char *name, const Bitmapset *used,
						  Snapshot snapshot)
{
	return read_rows(changes, name, used, snapshot, true);
}
