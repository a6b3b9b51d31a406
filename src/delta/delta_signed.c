/*
 * delta_signed.c: signed rows applied to a target.
 *
 * Where each key (or find value) has one row at most, every changed row is joined to the row of its key: a row that goes must be
 * that row, a row that comes takes its place or is new. Else the rows that go are wanted, the rows of the target that may be
 * they are offered (see base/signed.c), and those taken are deleted. All is found before anything is written.
 */
#include "postgres.h"

#include "delta/delta_internal.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define N_LEAD 3 /* sign, ctid, tableoid */
#define MOST_JOINED_COLUMNS 800

typedef struct Signed
{
	DestReceiver pub;
	DeltaWork *work;
	StrataRowSet *change;
	int ncolumns;
	DeltaMatch *match;
	bool unique; /* one row per find value at most */
	int64 goes;  /* rows, with their copies */
	int64 comes;
	int64 found; /* of those that go */
	AttrNumber *attnums;
	Bitmapset *changed; /* attribute numbers of columns that updates change */
	DeltaPlaces *replaced;
	int64 n_replaced;
	DeltaPlaces *offered;
	bool broken;     /* two rows for one find value, or a second one for one that stays */
	char *duplicate; /* the first such key, for the message */
	StrataSigned *wanted;
	StrataRowSet *deletes;
	StrataRowSet *updates;
	StrataRowSet *inserts;
	MemoryContext context;
	MemoryContext row;
} Signed;

TupleDesc
delta_rowset_desc(const StrataDeltaTarget *t, TupleDesc query, int first, bool with_columns)
{
	int n = with_columns ? list_length(t->columns) : 0;
	TupleDesc desc = CreateTemplateTupleDesc(2 + n);

	TupleDescInitEntry(desc, 1, "strata_ctid", TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, "strata_table", OIDOID, -1, 0);
	for (int i = 0; i < n; i++)
	{
		TupleDescCopyEntry(desc, 3 + i, query, first + i + 1);
		namestrcpy(&TupleDescAttr(desc, 2 + i)->attname, list_nth(t->columns, i));
	}
	return desc;
}

static void
start_nothing(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
end_nothing(DestReceiver *self)
{
}

static void
run_into(Signed *r, const char *sql, bool (*receive)(TupleTableSlot *, DestReceiver *), List *rowsets)
{
	r->pub.receiveSlot = receive;
	r->pub.rStartup = start_nothing;
	r->pub.rShutdown = end_nothing;
	r->pub.rDestroy = end_nothing;
	r->pub.mydest = DestTuplestore;
	strata_base_run_into(sql, NULL, r->work->snapshot, rowsets, (DestReceiver *) r);
}

/* What goes and what comes, and which columns to look up by are NULL. */
static void
survey(Signed *r)
{
	TupleTableSlot *slot = strata_rowset_rewind(r->change);

	while (strata_rowset_next(r->change, slot))
	{
		int32 sign = DatumGetInt32(slot->tts_values[r->ncolumns]);

		if (sign > 0)
			r->comes += sign;
		else
			r->goes -= sign;
		if (r->unique && (sign > 1 || sign < -1))
			r->broken = true;
		if (r->unique && sign > 1 && r->duplicate == NULL && r->work->target->key != NIL)
			r->duplicate = delta_key_text(r->work, r->change->desc, 0, slot->tts_values, slot->tts_isnull);
		if (r->match && (r->unique || sign < 0))
			delta_match_note(r->match, slot->tts_isnull);
	}
}

/* ---- one row per find value ---- */

static bool
same_row(Signed *r, Datum *values, bool *nulls)
{
	for (int i = 0; i < r->ncolumns; i++)
	{
		int c = N_LEAD + i;
		int o = c + r->ncolumns;

		if (nulls[c] != nulls[o] ||
			(!nulls[c] && !strata_base_image_same(TupleDescAttr(r->change->desc, i), values[c], values[o])))
			return false;
	}
	return true;
}

static void
note_changed(Signed *r, Datum *values, bool *nulls)
{
	for (int i = 0; i < r->ncolumns; i++)
	{
		int c = N_LEAD + i;
		int o = c + r->ncolumns;
		AttrNumber attnum = r->attnums[i];

		if (bms_is_member(attnum, r->changed))
			continue;
		if (nulls[c] != nulls[o] ||
			(!nulls[c] && !strata_base_image_same(TupleDescAttr(r->change->desc, i), values[c], values[o])))
		{
			MemoryContext old = MemoryContextSwitchTo(r->context);

			r->changed = bms_add_member(r->changed, attnum);
			MemoryContextSwitchTo(old);
		}
	}
}

static bool
receive_joined(TupleTableSlot *slot, DestReceiver *self)
{
	Signed *r = (Signed *) self;
	Datum *values;
	bool *nulls;
	ItemPointer tid;
	Oid table;
	MemoryContext old;

	slot_getallattrs(slot);
	values = slot->tts_values;
	nulls = slot->tts_isnull;
	old = MemoryContextSwitchTo(r->row);
	if (nulls[1])
	{
		/* a row that goes and is not there is missed at the end */
		if (DatumGetInt32(values[0]) > 0)
			strata_rowset_put(r->inserts, values + 1, nulls + 1);
	}
	else
	{
		tid = (ItemPointer) DatumGetPointer(values[1]);
		table = DatumGetObjectId(values[2]);
		if (DatumGetInt32(values[0]) < 0)
		{
			if (same_row(r, values, nulls))
			{
				r->found++;
				strata_rowset_put(r->deletes, values + 1, nulls + 1);
			}
		}
		else
		{
			if (delta_places_add(r->replaced, table, tid))
				r->broken = true;
			else
				r->n_replaced++;
			if (r->broken && r->duplicate == NULL && r->work->target->key != NIL)
			{
				MemoryContextSwitchTo(r->context);
				r->duplicate = delta_key_text(r->work, r->updates->desc, 2, values + 1, nulls + 1);
			}
			note_changed(r, values, nulls);
			strata_rowset_put(r->updates, values + 1, nulls + 1);
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(r->row);
	return true;
}

/* Of the rows that go, those whose place no other row takes. */
static void
keep_replaced(Signed *r)
{
	StrataRowSet *gone;
	TupleTableSlot *slot;

	if (r->n_replaced == 0)
		return;
	gone = strata_rowset_create("delta_delete", r->deletes->desc);
	slot = strata_rowset_rewind(r->deletes);
	while (strata_rowset_next(r->deletes, slot))
	{
		if (delta_places_has(r->replaced, DatumGetObjectId(slot->tts_values[1]),
							 (ItemPointer) DatumGetPointer(slot->tts_values[0])))
			r->n_replaced--;
		else
			strata_rowset_put(gone, slot->tts_values, slot->tts_isnull);
	}
	strata_rowset_free(r->deletes);
	r->deletes = gone;
}

static bool
look_up_unique(Signed *r)
{
	DeltaWork *work = r->work;
	const StrataDeltaTarget *t = work->target;
	char *rows = psprintf("(SELECT * FROM %s AS q (%s, strata_sign))", quote_identifier(r->change->name),
						  strata_base_join_quoted(t->columns, ", "));
	char *select = psprintf("c.strata_sign, o.ctid, o.tableoid, %s, %s", delta_prefixed(t->columns, "c"),
							delta_prefixed(t->columns, "o"));

	r->replaced = delta_places_create();
	run_into(r, delta_match_query(r->match, select, rows, "LEFT JOIN"), receive_joined, list_make1(r->change));
	if (r->found != r->goes)
		return false;
	keep_replaced(r);
	/* a row comes for a key whose row stays */
	if (r->n_replaced > 0)
		r->broken = true;
	if (!r->broken)
		return true;
	if (t->key == NIL)
		return false;
	if (r->duplicate == NULL)
	{
		TupleTableSlot *slot = strata_rowset_rewind(r->updates);

		if (strata_rowset_next(r->updates, slot))
		{
			r->duplicate = delta_key_text(work, r->updates->desc, 2, slot->tts_values, slot->tts_isnull);
			ExecDropSingleTupleTableSlot(slot);
		}
	}
	delta_key_error(work, "duplicate", psprintf("Seen twice or more: %s.", r->duplicate));
}

/* ---- any number of rows ---- */

static void
take(void *arg, ItemPointer tid, Oid table, Datum *values, bool *nulls)
{
	Signed *r = arg;
	Datum place[2] = {PointerGetDatum(tid), ObjectIdGetDatum(table)};
	bool not_null[2] = {false, false};

	strata_rowset_put(r->deletes, place, not_null);
}

static bool
receive_candidate(TupleTableSlot *slot, DestReceiver *self)
{
	Signed *r = (Signed *) self;
	ItemPointer tid;
	Oid table;

	slot_getallattrs(slot);
	tid = (ItemPointer) DatumGetPointer(slot->tts_values[0]);
	table = DatumGetObjectId(slot->tts_values[1]);
	/* looked up by two images of one value (1.0 and 1.00) it comes twice */
	if (r->offered && delta_places_add(r->offered, table, tid))
		return true;
	strata_signed_offer(r->wanted, slot->tts_values + 2, slot->tts_isnull + 2, tid, table);
	return true;
}

static TupleDesc
part_of_desc(TupleDesc desc, const List *positions, int n)
{
	TupleDesc part = CreateTemplateTupleDesc(positions ? list_length(positions) : n);

	for (int i = 0; i < part->natts; i++)
		TupleDescCopyEntry(part, i + 1, desc, (positions ? list_nth_int(positions, i) : i) + 1);
	return part;
}

/* Distinct values to look up by, so that the planner knows their number. */
static StrataRowSet *
find_values(Signed *r)
{
	int n = list_length(r->match->columns);
	TupleDesc desc = part_of_desc(r->change->desc, r->match->columns, 0);
	StrataSigned *distinct;
	TupleTableSlot *slot = strata_rowset_rewind(r->change);
	Datum *values = palloc(sizeof(Datum) * n);
	bool *nulls = palloc(sizeof(bool) * n);
	ListCell *lc;

	for (int i = 0; i < n; i++)
		namestrcpy(&TupleDescAttr(desc, i)->attname,
				   list_nth(r->work->target->columns, list_nth_int(r->match->columns, i)));
	distinct = strata_signed_start("delta_find", desc);
	while (strata_rowset_next(r->change, slot))
	{
		if (DatumGetInt32(slot->tts_values[r->ncolumns]) > 0)
			continue;
		foreach (lc, r->match->columns)
		{
			values[foreach_current_index(lc)] = slot->tts_values[lfirst_int(lc)];
			nulls[foreach_current_index(lc)] = slot->tts_isnull[lfirst_int(lc)];
		}
		strata_signed_put(distinct, values, nulls, 1);
	}
	return strata_signed_finish(distinct);
}

static bool
look_up_copies(Signed *r)
{
	const StrataDeltaTarget *t = r->work->target;
	char *select = psprintf("o.ctid, o.tableoid, %s", delta_prefixed(t->columns, "o"));
	TupleTableSlot *slot = strata_rowset_rewind(r->change);
	StrataRowSet *missing;
	StrataRowSet *find;
	bool complete;

	r->wanted = strata_signed_start("delta_missing", part_of_desc(r->change->desc, NIL, r->ncolumns));
	strata_signed_match(r->wanted, take, NULL, r);
	while (strata_rowset_next(r->change, slot))
	{
		int32 sign = DatumGetInt32(slot->tts_values[r->ncolumns]);

		if (sign < 0)
			strata_signed_put(r->wanted, slot->tts_values, slot->tts_isnull, -sign);
	}
	if (r->goes == 0)
		/* nothing to look up */;
	else if (r->match == NULL)
		run_into(r, psprintf("SELECT %s FROM %s AS o", select, t->label), receive_candidate, NIL);
	else
	{
		find = find_values(r);
		if (!delta_match_is_image(r->match, r->change->desc))
			r->offered = delta_places_create();
		run_into(r, delta_match_query(r->match, select, "delta_find", "JOIN"), receive_candidate, list_make1(find));
		strata_rowset_free(find);
	}
	missing = strata_signed_finish(r->wanted);
	complete = missing->count == 0;
	strata_rowset_free(missing);
	return complete;
}

static void
copy_inserts(Signed *r)
{
	TupleTableSlot *slot = strata_rowset_rewind(r->change);
	Datum *values = palloc0(sizeof(Datum) * (r->ncolumns + 2));
	bool *nulls = palloc0(sizeof(bool) * (r->ncolumns + 2));

	nulls[0] = nulls[1] = true;
	while (strata_rowset_next(r->change, slot))
	{
		memcpy(values + 2, slot->tts_values, sizeof(Datum) * r->ncolumns);
		memcpy(nulls + 2, slot->tts_isnull, sizeof(bool) * r->ncolumns);
		for (int32 n = DatumGetInt32(slot->tts_values[r->ncolumns]); n > 0; n--)
			strata_rowset_put(r->inserts, values, nulls);
	}
}

/* ---- the face ---- */

static void
check_new_keys(const DeltaWork *work, StrataRowSet *added)
{
	const StrataDeltaTarget *t = work->target;
	StringInfoData same;
	ListCell *lc;

	initStringInfo(&same);
	foreach (lc, t->key)
		appendStringInfo(&same, "%so.%s %s a.%s", foreach_current_index(lc) > 0 ? " AND " : "",
						 quote_identifier(lfirst(lc)),
						 strata_base_equality(get_atttype(t->relid, get_attnum(t->relid, lfirst(lc)))),
						 quote_identifier(lfirst(lc)));
	delta_check_key(work, quote_identifier(added->name), list_make1(added));
	delta_check_key(work,
					psprintf("(SELECT * FROM %s AS o WHERE EXISTS (SELECT FROM %s AS a WHERE %s)) AS o", t->label,
							 quote_identifier(added->name), same.data),
					list_make1(added));
}

void
delta_write_checked(DeltaWork *work, StrataRowSet *deletes, StrataRowSet *updates, const Bitmapset *changed,
					StrataRowSet *inserts)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		delta_write(work, deletes, updates, changed, inserts);
	}
	PG_CATCH();
	{
		delta_write_error(work, context);
	}
	PG_END_TRY();
	if (work->target->key != NIL && inserts && inserts->count > 0 && !delta_key_is_enforced(work->target))
		check_new_keys(work, inserts);
}

bool
strata_delta_apply_signed(const StrataDeltaTarget *target, StrataRowSet *change, Snapshot snapshot,
						  StrataDeltaCounts *counts)
{
	DeltaWork work = {target, NULL, NULL, snapshot, NIL, counts};
	Signed r = {0};
	MemoryContext context;
	MemoryContext old;
	List *by = target->key ? target->key : target->find;
	bool found;

	memset(counts, 0, sizeof(*counts));
	if (change == NULL || change->count == 0)
		return true;
	context = AllocSetContextCreate(CurrentMemoryContext, "strata delta", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	LockRelationOid(target->relid, RowExclusiveLock);
	delta_refuse(target, snapshot);
	delta_check_types(&work, change->desc, 0);
	r.work = &work;
	r.change = change;
	r.ncolumns = list_length(target->columns);
	r.context = context;
	r.row = AllocSetContextCreate(context, "strata delta row", ALLOCSET_SMALL_SIZES);
	r.unique = (target->key != NIL || target->find_unique) && r.ncolumns <= MOST_JOINED_COLUMNS;
	if (by == NIL)
		by = delta_index_columns(target);
	if (by != NIL)
		r.match = delta_match_create(target, by);
	survey(&r);
	/* an index was only a guess */
	if (!r.unique && target->key == NIL && target->find == NIL && r.match && delta_match_is_loose(r.match))
		r.match = NULL;
	r.deletes = strata_rowset_create("delta_delete", delta_rowset_desc(target, change->desc, 0, false));
	r.updates = strata_rowset_create("delta_update", delta_rowset_desc(target, change->desc, 0, true));
	r.inserts = strata_rowset_create("delta_insert", delta_rowset_desc(target, change->desc, 0, true));
	r.attnums = palloc(sizeof(AttrNumber) * Max(1, r.ncolumns));
	for (int i = 0; i < r.ncolumns; i++)
		r.attnums[i] = get_attnum(target->relid, list_nth(target->columns, i));
	if (r.unique && (r.goes > 0 || !delta_key_is_enforced(target)))
		found = look_up_unique(&r);
	else
	{
		found = look_up_copies(&r);
		if (found)
			copy_inserts(&r);
	}
	if (found)
	{
		counts->rows_in = r.comes;
		counts->deleted = r.deletes->count;
		counts->updated = r.updates->count;
		counts->inserted = r.inserts->count;
		delta_write_checked(&work, r.deletes, r.updates, r.changed, r.inserts);
	}
	strata_rowset_free(r.deletes);
	strata_rowset_free(r.updates);
	strata_rowset_free(r.inserts);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return found;
}
