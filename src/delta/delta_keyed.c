/*
 * delta_keyed.c: differences by key.
 *
 * One statement joins the query's rows with the target's by key; its rows stream through a receiver that compares
 * images in C and keeps only what differs. A bitmap over the target's row addresses tells when two rows of the query
 * meet the same row of the target: that is a broken key even when both equal the row that is there.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "delta/delta_internal.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define N_LEAD 3 /* new row present, ctid, tableoid */

typedef struct Receiver
{
	DestReceiver pub;
	DeltaWork *work;
	MemoryContext context; /* outlives a row */
	MemoryContext row;     /* reset per row: detoasted copies made while comparing */
	int ncolumns;
	TupleDesc desc; /* of the joined row */
	DeltaPlaces *seen;
	StrataRowSet *deletes;
	StrataRowSet *updates;
	StrataRowSet *inserts;
	int64 kept;      /* matched rows of the target, changed or not */
	char *duplicate; /* text of the first key met twice */
} Receiver;

static TupleDesc
rowset_desc(Receiver *r, bool with_columns)
{
	const StrataDeltaTarget *t = r->work->target;
	TupleDesc desc = CreateTemplateTupleDesc(2 + (with_columns ? r->ncolumns : 0));

	TupleDescInitEntry(desc, 1, strata_delta_beside(t, "strata_ctid"), TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, strata_delta_beside(t, "strata_table"), OIDOID, -1, 0);
	for (int i = 0; with_columns && i < r->ncolumns; i++)
	{
		TupleDescCopyEntry(desc, 3 + i, r->desc, N_LEAD + i + 1);
		namestrcpy(&TupleDescAttr(desc, 2 + i)->attname, list_nth(t->columns, i));
	}
	return desc;
}

static void
startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Receiver *r = (Receiver *) self;
	MemoryContext old = MemoryContextSwitchTo(r->context);

	r->desc = CreateTupleDescCopy(desc);
	delta_check_types(r->work, desc, N_LEAD);
	r->deletes = strata_rowset_create("delta_delete", rowset_desc(r, false));
	r->updates = strata_rowset_create("delta_update", rowset_desc(r, true));
	r->inserts = strata_rowset_create("delta_insert", rowset_desc(r, true));
	r->seen = delta_places_create();
	MemoryContextSwitchTo(old);
}

static bool
same_row(Receiver *r, Datum *values, bool *nulls)
{
	for (int i = 0; i < r->ncolumns; i++)
	{
		int n = N_LEAD + i;
		int o = n + r->ncolumns;

		if (nulls[n] != nulls[o])
			return false;
		if (!nulls[n] && !strata_base_image_same(TupleDescAttr(r->desc, n), values[n], values[o]))
			return false;
	}
	return true;
}

static void
put(StrataRowSet *set, Receiver *r, Datum *values, bool *nulls)
{
	/* ctid and tableoid stand right before the new row's columns in the joined row */
	strata_rowset_put(set, values + 1, nulls + 1);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver *r = (Receiver *) self;
	Datum *values;
	bool *nulls;
	MemoryContext old;

	slot_getallattrs(slot);
	values = slot->tts_values;
	nulls = slot->tts_isnull;
	if (!nulls[0])
		r->work->counts->rows_in++;
	if (nulls[0])
	{
		put(r->deletes, r, values, nulls);
		return true;
	}
	old = MemoryContextSwitchTo(r->row);
	if (nulls[1])
		put(r->inserts, r, values, nulls);
	else
	{
		if (delta_places_add(r->seen, DatumGetObjectId(values[2]), (ItemPointer) DatumGetPointer(values[1])) &&
			r->duplicate == NULL)
		{
			MemoryContextSwitchTo(r->context);
			r->duplicate = delta_key_text(r->work, r->desc, N_LEAD, values, nulls);
			MemoryContextSwitchTo(r->row);
		}
		r->kept++;
		if (!same_row(r, values, nulls))
			put(r->updates, r, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(r->row);
	return true;
}

static void
noop(DestReceiver *self)
{
}

static char *
join_statement(const DeltaWork *work)
{
	const StrataDeltaTarget *t = work->target;
	char *new = strata_delta_beside(t, "strata_new");
	char *ctid = strata_delta_beside(t, "strata_ctid");
	char *table = strata_delta_beside(t, "strata_table");
	StringInfoData on;
	ListCell *lc;

	initStringInfo(&on);
	foreach (lc, t->key)
		appendStringInfo(&on, "%sn.%s %s o.%s", foreach_current_index(lc) > 0 ? " AND " : "",
						 quote_identifier(lfirst(lc)),
						 strata_base_equality(get_atttype(t->relid, get_attnum(t->relid, lfirst(lc)))),
						 quote_identifier(lfirst(lc)));
	return psprintf("SELECT n.%s, o.%s, o.%s, %s, %s\n"
					"  FROM (SELECT true AS %s, q.* FROM (%s) AS q (%s)) AS n\n"
					"  FULL JOIN (SELECT o.ctid AS %s, o.tableoid AS %s, %s FROM %s AS o%s%s) AS o\n"
					"    ON %s",
					new, ctid, table, delta_prefixed(t->columns, "n"), delta_prefixed(t->columns, "o"), new,
					work->query, strata_base_join_quoted(t->columns, ", "), ctid, table,
					delta_prefixed(t->columns, "o"), t->label, t->scope ? " WHERE " : "", t->scope ? t->scope : "",
					on.data);
}

void
delta_keyed(DeltaWork *work)
{
	const StrataDeltaTarget *t = work->target;
	Receiver r = {0};
	int64 changed;

	r.pub.receiveSlot = receive;
	r.pub.rStartup = startup;
	r.pub.rShutdown = noop;
	r.pub.rDestroy = noop;
	r.pub.mydest = DestTuplestore;
	r.work = work;
	r.context = CurrentMemoryContext;
	r.row = AllocSetContextCreate(CurrentMemoryContext, "strata delta row", ALLOCSET_SMALL_SIZES);
	r.ncolumns = list_length(t->columns);
	strata_base_run_into(join_statement(work), work->args, work->snapshot, work->rowsets, (DestReceiver *) &r);
	if (r.duplicate)
		delta_key_error(work, "duplicate", psprintf("Seen twice or more: %s.", r.duplicate));

	work->counts->deleted = r.deletes->count;
	work->counts->updated = r.updates->count;
	work->counts->inserted = r.inserts->count;
	changed = r.deletes->count + r.updates->count + r.inserts->count;
	/* where nearly all changes, writing the table anew is cheaper than changing its rows */
	if (changed > 20000 && changed > strata_delta_swap_share * (r.kept + r.deletes->count) &&
		r.kept + r.deletes->count > 0 && t->scope == NULL && delta_swap_possible(t))
	{
		StrataDeltaCounts counts = *work->counts;

		if (delta_swap(work))
		{
			counts.swapped = true;
			*work->counts = counts;
			changed = 0;
		}
		else
			*work->counts = counts;
	}
	if (changed > 0)
	{
		/* keys new to the target; those that are there were met row by row */
		if (r.inserts->count > 0)
			delta_check_key(work, "delta_insert", list_make1(r.inserts));
		delta_write(work, r.deletes, r.updates, NULL, r.inserts);
	}
	strata_rowset_free(r.deletes);
	strata_rowset_free(r.updates);
	strata_rowset_free(r.inserts);
}
