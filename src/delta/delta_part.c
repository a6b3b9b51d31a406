/*
 * delta_part.c: a part of a target made equal to the result of a query, in one scan of each.
 *
 * The query's rows are wanted, the part's rows are offered (see base/signed.c): those taken stay where they are, those left go,
 * and what is still wanted comes.
 */
#include "postgres.h"

#include "delta/delta_internal.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef struct Part
{
	DestReceiver pub;
	DeltaPair pair;
	MemoryContext context;
	int ncolumns;
	StrataSigned *rows;
	Datum *values;
	bool *nulls;
} Part;

static void
start_query(DestReceiver *self, int operation, TupleDesc query)
{
	Part *p = (Part *) self;
	const StrataDeltaTarget *t = p->pair.work->target;
	MemoryContext old = MemoryContextSwitchTo(p->context);

	if (query->natts != p->ncolumns)
		elog(ERROR, "the query of %s gives %d columns, not %d", t->label, query->natts, p->ncolumns);
	delta_check_types(p->pair.work, query, 0);
	p->pair.desc = CreateTemplateTupleDesc(p->ncolumns);
	for (int i = 0; i < p->ncolumns; i++)
	{
		TupleDescCopyEntry(p->pair.desc, i + 1, query, i + 1);
		namestrcpy(&TupleDescAttr(p->pair.desc, i)->attname, list_nth(t->columns, i));
	}
	p->rows = strata_signed_start("delta_added", p->pair.desc);
	p->pair.removed = strata_rowset_create("delta_removed", delta_rowset_desc(t, p->pair.desc, 0, true));
	MemoryContextSwitchTo(old);
}

static void
start_nothing(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
end_nothing(DestReceiver *self)
{
}

static bool
receive_wanted(TupleTableSlot *slot, DestReceiver *self)
{
	Part *p = (Part *) self;

	slot_getallattrs(slot);
	p->pair.work->counts->rows_in++;
	strata_signed_put(p->rows, slot->tts_values, slot->tts_isnull, 1);
	return true;
}

static bool
receive_present(TupleTableSlot *slot, DestReceiver *self)
{
	Part *p = (Part *) self;

	slot_getallattrs(slot);
	strata_signed_offer(p->rows, slot->tts_values + 2, slot->tts_isnull + 2,
						(ItemPointer) DatumGetPointer(slot->tts_values[0]), DatumGetObjectId(slot->tts_values[1]));
	return true;
}

static void
remove_row(void *arg, ItemPointer tid, Oid table, Datum *values, bool *nulls)
{
	Part *p = arg;

	p->values[0] = PointerGetDatum(tid);
	p->values[1] = ObjectIdGetDatum(table);
	p->nulls[0] = p->nulls[1] = false;
	memcpy(p->values + 2, values, sizeof(Datum) * p->ncolumns);
	memcpy(p->nulls + 2, nulls, sizeof(bool) * p->ncolumns);
	strata_rowset_put(p->pair.removed, p->values, p->nulls);
}

static void
compare(Part *p, const char *scope)
{
	DeltaWork *work = p->pair.work;
	const StrataDeltaTarget *t = work->target;

	p->pub.rShutdown = end_nothing;
	p->pub.rDestroy = end_nothing;
	p->pub.mydest = DestTuplestore;
	p->pub.rStartup = start_query;
	p->pub.receiveSlot = receive_wanted;
	strata_base_run_into(work->query, work->args, work->snapshot, work->rowsets, (DestReceiver *) p);
	strata_signed_match(p->rows, NULL, remove_row, p);
	p->pub.rStartup = start_nothing;
	p->pub.receiveSlot = receive_present;
	strata_base_run_into(psprintf("SELECT o.ctid, o.tableoid, %s FROM %s AS o%s%s", delta_prefixed(t->columns, "o"),
								  t->label, scope ? " WHERE " : "", scope ? scope : ""),
						 NULL, work->snapshot, work->rowsets, (DestReceiver *) p);
	p->pair.added = strata_signed_finish(p->rows);
}

static StrataRowSet *
change_of(const DeltaPair *pair, int ncolumns, const char *name)
{
	StrataSigned *change = strata_signed_start(name, pair->desc);
	TupleTableSlot *slot = strata_rowset_rewind(pair->removed);

	while (strata_rowset_next(pair->removed, slot))
		strata_signed_put(change, slot->tts_values + 2, slot->tts_isnull + 2, -1);
	slot = strata_rowset_rewind(pair->added);
	while (strata_rowset_next(pair->added, slot))
		strata_signed_put(change, slot->tts_values, slot->tts_isnull, DatumGetInt32(slot->tts_values[ncolumns]));
	return strata_signed_finish(change);
}

StrataRowSet *
strata_delta_apply_part(const StrataDeltaTarget *target, const char *query, const StrataArgs *args, Snapshot snapshot,
						List *rowsets, const char *scope, const char *change_name, StrataDeltaCounts *counts)
{
	DeltaWork work = {target, query, args, snapshot, rowsets, counts};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "strata delta", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Part p = {0};
	StrataRowSet *change = NULL;

	memset(counts, 0, sizeof(*counts));
	LockRelationOid(target->relid, RowExclusiveLock);
	delta_refuse(target, snapshot);
	p.context = context;
	p.pair.work = &work;
	p.ncolumns = list_length(target->columns);
	p.values = palloc0(sizeof(Datum) * (p.ncolumns + 2));
	p.nulls = palloc0(sizeof(bool) * (p.ncolumns + 2));
	compare(&p, scope);
	if (p.pair.removed->count > 0 || p.pair.added->count > 0)
	{
		delta_pair(&p.pair);
		delta_pair_write(&p.pair);
	}
	if (change_name)
	{
		MemoryContextSwitchTo(old);
		change = change_of(&p.pair, p.ncolumns, change_name);
		MemoryContextSwitchTo(context);
	}
	strata_rowset_free(p.pair.added);
	delta_pair_free(&p.pair);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return change;
}
