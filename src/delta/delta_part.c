/*
 * delta_part.c: a part of a target made equal to the result of a query, in one scan of each.
 *
 * The query's rows are wanted, the part's rows are offered (see base/signed.c): those taken stay where they are, those left go,
 * and what is still wanted comes. Of a row that goes and one that comes with the same key one UPDATE is made.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "delta/delta_internal.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define MOST_JOINED_COLUMNS 800

typedef struct Part
{
	DestReceiver pub;
	DeltaWork *work;
	MemoryContext context;
	MemoryContext row;
	int ncolumns;
	TupleDesc desc; /* the query's columns under the target's names */
	StrataSigned *rows;
	StrataRowSet *removed; /* ctid, tableoid, columns */
	StrataRowSet *added;   /* columns, sign */
	int64 n_added;         /* with copies */
	bool copies;           /* some sign is above 1 */
	Datum *values;
	bool *nulls;
	/* paired */
	DeltaPlaces *replaced;
	StrataRowSet *deletes;
	StrataRowSet *updates;
	StrataRowSet *inserts;
	Bitmapset *changed;
	AttrNumber *attnums;
	bool twice;
} Part;

static void
start_query(DestReceiver *self, int operation, TupleDesc query)
{
	Part *p = (Part *) self;
	const StrataDeltaTarget *t = p->work->target;
	MemoryContext old = MemoryContextSwitchTo(p->context);

	if (query->natts != p->ncolumns)
		elog(ERROR, "the query of %s gives %d columns, not %d", t->label, query->natts, p->ncolumns);
	delta_check_types(p->work, query, 0);
	p->desc = CreateTemplateTupleDesc(p->ncolumns);
	for (int i = 0; i < p->ncolumns; i++)
	{
		TupleDescCopyEntry(p->desc, i + 1, query, i + 1);
		namestrcpy(&TupleDescAttr(p->desc, i)->attname, list_nth(t->columns, i));
	}
	p->rows = strata_signed_start("delta_added", p->desc);
	p->removed = strata_rowset_create("delta_removed", delta_rowset_desc(t, p->desc, 0, true));
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
	p->work->counts->rows_in++;
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
	strata_rowset_put(p->removed, p->values, p->nulls);
}

static void
run_into(Part *p, const char *sql, const StrataArgs *args, void (*start)(DestReceiver *, int, TupleDesc),
		 bool (*receive)(TupleTableSlot *, DestReceiver *), List *rowsets)
{
	p->pub.rStartup = start;
	p->pub.receiveSlot = receive;
	p->pub.rShutdown = end_nothing;
	p->pub.rDestroy = end_nothing;
	p->pub.mydest = DestTuplestore;
	strata_base_run_into(sql, args, p->work->snapshot, rowsets, (DestReceiver *) p);
}

static void
compare(Part *p, const char *scope)
{
	DeltaWork *work = p->work;
	const StrataDeltaTarget *t = work->target;

	run_into(p, work->query, work->args, start_query, receive_wanted, work->rowsets);
	strata_signed_match(p->rows, NULL, remove_row, p);
	run_into(p,
			 psprintf("SELECT o.ctid, o.tableoid, %s FROM %s AS o%s%s", delta_prefixed(t->columns, "o"), t->label,
					  scope ? " WHERE " : "", scope ? scope : ""),
			 NULL, start_nothing, receive_present, work->rowsets);
	p->added = strata_signed_finish(p->rows);
}

/* ---- rows that go and come with one key ---- */

static void
note_changed(Part *p, Datum *new_values, bool *new_nulls, Datum *old_values, bool *old_nulls)
{
	for (int i = 0; i < p->ncolumns; i++)
	{
		if (bms_is_member(p->attnums[i], p->changed))
			continue;
		if (new_nulls[i] != old_nulls[i] ||
			(!new_nulls[i] && !strata_base_image_same(TupleDescAttr(p->desc, i), new_values[i], old_values[i])))
		{
			MemoryContext old = MemoryContextSwitchTo(p->context);

			p->changed = bms_add_member(p->changed, p->attnums[i]);
			MemoryContextSwitchTo(old);
		}
	}
}

/* ctid, tableoid, sign, the new columns, the old ones */
static bool
receive_paired(TupleTableSlot *slot, DestReceiver *self)
{
	Part *p = (Part *) self;
	int n = p->ncolumns;
	MemoryContext old = MemoryContextSwitchTo(p->row);

	slot_getallattrs(slot);
	memcpy(p->values, slot->tts_values, sizeof(Datum) * 2);
	memcpy(p->nulls, slot->tts_isnull, sizeof(bool) * 2);
	memcpy(p->values + 2, slot->tts_values + 3, sizeof(Datum) * n);
	memcpy(p->nulls + 2, slot->tts_isnull + 3, sizeof(bool) * n);
	if (slot->tts_isnull[2])
		strata_rowset_put(p->deletes, p->values, p->nulls);
	else if (slot->tts_isnull[0])
		strata_rowset_put(p->inserts, p->values, p->nulls);
	else
	{
		p->twice = delta_places_add(p->replaced, DatumGetObjectId(p->values[1]),
									(ItemPointer) DatumGetPointer(p->values[0])) ||
				   p->twice;
		strata_rowset_put(p->updates, p->values, p->nulls);
		note_changed(p, p->values + 2, p->nulls + 2, slot->tts_values + 3 + n, slot->tts_isnull + 3 + n);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(p->row);
	return true;
}

static void
create_sets(Part *p)
{
	const StrataDeltaTarget *t = p->work->target;

	p->deletes = strata_rowset_create("delta_delete", delta_rowset_desc(t, p->desc, 0, false));
	p->updates = strata_rowset_create("delta_update", delta_rowset_desc(t, p->desc, 0, true));
	p->inserts = strata_rowset_create("delta_insert", delta_rowset_desc(t, p->desc, 0, true));
}

/* False: rows are not one to a key; all go and come. */
static bool
pair(Part *p, const List *by)
{
	const StrataDeltaTarget *t = p->work->target;
	StringInfoData on;
	ListCell *lc;

	if (by == NIL || p->copies || p->removed->count == 0 || p->added->count == 0 || p->ncolumns > MOST_JOINED_COLUMNS)
		return false;
	initStringInfo(&on);
	foreach (lc, by)
		appendStringInfo(&on, "%sn.%s %s o.%s", foreach_current_index(lc) > 0 ? " AND " : "",
						 quote_identifier(lfirst(lc)),
						 strata_base_equality(get_atttype(t->relid, get_attnum(t->relid, lfirst(lc)))),
						 quote_identifier(lfirst(lc)));
	p->replaced = delta_places_create();
	run_into(p,
			 psprintf("SELECT o.strata_ctid, o.strata_table, n.strata_sign, %s, %s FROM delta_added AS n FULL JOIN "
					  "delta_removed AS o ON %s",
					  delta_prefixed(t->columns, "n"), delta_prefixed(t->columns, "o"), on.data),
			 NULL, start_nothing, receive_paired, list_make2(p->added, p->removed));
	return !p->twice && p->updates->count + p->inserts->count == p->added->count &&
		   p->updates->count + p->deletes->count == p->removed->count;
}

static void
take_all(Part *p)
{
	TupleTableSlot *slot = strata_rowset_rewind(p->removed);

	create_sets(p);
	p->changed = NULL;
	while (strata_rowset_next(p->removed, slot))
		strata_rowset_put(p->deletes, slot->tts_values, slot->tts_isnull);
	slot = strata_rowset_rewind(p->added);
	p->nulls[0] = p->nulls[1] = true;
	while (strata_rowset_next(p->added, slot))
	{
		memcpy(p->values + 2, slot->tts_values, sizeof(Datum) * p->ncolumns);
		memcpy(p->nulls + 2, slot->tts_isnull, sizeof(bool) * p->ncolumns);
		for (int32 n = DatumGetInt32(slot->tts_values[p->ncolumns]); n > 0; n--)
			strata_rowset_put(p->inserts, p->values, p->nulls);
	}
}

/* Two rows of the query with one key, as far as both are new; one that is there already breaks the index. */
static void
refuse_copies(Part *p)
{
	TupleTableSlot *slot;

	if (p->work->target->key == NIL)
		return;
	slot = strata_rowset_rewind(p->added);
	while (strata_rowset_next(p->added, slot))
		if (DatumGetInt32(slot->tts_values[p->ncolumns]) > 1)
			delta_key_error(p->work, "duplicate",
							psprintf("Seen twice or more: %s.",
									 delta_key_text(p->work, p->added->desc, 0, slot->tts_values, slot->tts_isnull)));
}

static StrataRowSet *
change_of(Part *p, const char *name)
{
	StrataSigned *change = strata_signed_start(name, p->desc);
	TupleTableSlot *slot = strata_rowset_rewind(p->removed);

	while (strata_rowset_next(p->removed, slot))
		strata_signed_put(change, slot->tts_values + 2, slot->tts_isnull + 2, -1);
	slot = strata_rowset_rewind(p->added);
	while (strata_rowset_next(p->added, slot))
		strata_signed_put(change, slot->tts_values, slot->tts_isnull, DatumGetInt32(slot->tts_values[p->ncolumns]));
	return strata_signed_finish(change);
}

static void
count_added(Part *p)
{
	TupleTableSlot *slot = strata_rowset_rewind(p->added);

	while (strata_rowset_next(p->added, slot))
		p->copies = p->copies || DatumGetInt32(slot->tts_values[p->ncolumns]) > 1;
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
	p.work = &work;
	p.context = context;
	p.row = AllocSetContextCreate(context, "strata delta row", ALLOCSET_SMALL_SIZES);
	p.ncolumns = list_length(target->columns);
	p.values = palloc0(sizeof(Datum) * (p.ncolumns + 2));
	p.nulls = palloc0(sizeof(bool) * (p.ncolumns + 2));
	p.attnums = palloc(sizeof(AttrNumber) * Max(1, p.ncolumns));
	for (int i = 0; i < p.ncolumns; i++)
		p.attnums[i] = get_attnum(target->relid, list_nth(target->columns, i));
	compare(&p, scope);
	if (p.removed->count > 0 || p.added->count > 0)
	{
		count_added(&p);
		refuse_copies(&p);
		create_sets(&p);
		if (!pair(&p, target->key ? target->key : target->find_unique ? target->find : NIL))
			take_all(&p);
		counts->deleted = p.deletes->count;
		counts->updated = p.updates->count;
		counts->inserted = p.inserts->count;
		delta_write_checked(&work, p.deletes, p.updates, p.changed, p.inserts);
	}
	if (change_name)
	{
		MemoryContextSwitchTo(old);
		change = change_of(&p, change_name);
		MemoryContextSwitchTo(context);
	}
	strata_rowset_free(p.removed);
	strata_rowset_free(p.added);
	strata_rowset_free(p.deletes);
	strata_rowset_free(p.updates);
	strata_rowset_free(p.inserts);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return change;
}
