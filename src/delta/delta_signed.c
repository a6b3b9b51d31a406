/*
 * delta_signed.c: signed rows applied to a target.
 *
 * The rows that go are wanted, rows of the target that may be they are offered (see base/signed.c): those taken go. All is found
 * before anything is written, so that a row that is not there stops it in time.
 */
#include "postgres.h"

#include "access/table.h"
#include "delta/delta_internal.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

typedef struct Signed
{
	DestReceiver pub;
	DeltaPair pair;
	StrataRowSet *change;
	int ncolumns;
	int *told; /* positions of the columns that rows which go are told by */
	int ntold;
	Datum *told_values;
	bool *told_nulls;
	DeltaMatch *match; /* NULL: candidates are all rows */
	bool unique;       /* one row per find value at most */
	bool come_too;     /* rows that come are looked up, too: nothing else would notice one that is there already */
	bool new_only;     /* no row of the target has to be looked at */
	StrataSigned *wanted;
	DeltaPlaces *offered;
	Datum *values;
	bool *nulls;
	TupleTableSlot *candidate; /* that is offered; NULL: one offered before is told */
	bool near;                 /* the match tells a row's partition */
	bool stays;                /* one row per find value: a row comes for one that stays */
} Signed;

TupleDesc
delta_rowset_desc(const StrataDeltaTarget *t, TupleDesc query, int first, bool with_columns)
{
	int n = with_columns ? list_length(t->columns) : 0;
	TupleDesc desc = CreateTemplateTupleDesc(2 + n);

	TupleDescInitEntry(desc, 1, strata_delta_beside(t, "strata_ctid"), TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, strata_delta_beside(t, "strata_table"), OIDOID, -1, 0);
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

/* What a row that goes is told by. */
static void
tell(Signed *r, const Datum *values, const bool *nulls)
{
	for (int i = 0; i < r->ntold; i++)
	{
		r->told_values[i] = values[r->told[i]];
		r->told_nulls[i] = nulls[r->told[i]];
	}
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
	tell(r, slot->tts_values + 2, slot->tts_isnull + 2);
	r->candidate = slot;
	strata_signed_offer(r->wanted, r->told_values, r->told_nulls, tid, table);
	r->candidate = NULL;
	return true;
}

/* The target's columns again, those that nothing tells NULL. */
static void
spread(Signed *r, const Datum *values, const bool *nulls)
{
	memset(r->nulls + 2, true, sizeof(bool) * r->ncolumns);
	for (int i = 0; i < r->ntold; i++)
	{
		r->values[2 + r->told[i]] = values[i];
		r->nulls[2 + r->told[i]] = nulls[i];
	}
}

static void
take(void *arg, ItemPointer tid, Oid table, Datum *values, bool *nulls)
{
	Signed *r = arg;

	if (r->candidate == NULL)
		spread(r, values, nulls);
	else
	{
		memcpy(r->values + 2, r->candidate->tts_values + 2, sizeof(Datum) * r->ncolumns);
		memcpy(r->nulls + 2, r->candidate->tts_isnull + 2, sizeof(bool) * r->ncolumns);
	}
	r->values[0] = PointerGetDatum(tid);
	r->values[1] = ObjectIdGetDatum(table);
	r->nulls[0] = r->nulls[1] = false;
	strata_rowset_put(r->pair.removed, r->values, r->nulls);
}

/* Where each find value has one row, only a row that comes can have led here. */
static void
leave(void *arg, ItemPointer tid, Oid table, Datum *values, bool *nulls)
{
	((Signed *) arg)->stays = true;
}

/* The rows that go are wanted, and what candidates are looked up by: a row set, so that the planner knows how many there are. */
static StrataRowSet *
prepare(Signed *r)
{
	int n = r->match ? list_length(r->match->columns) : 0;
	TupleDesc desc = CreateTemplateTupleDesc(n);
	Datum *values = palloc(sizeof(Datum) * Max(1, n));
	bool *nulls = palloc(sizeof(bool) * Max(1, n));
	TupleTableSlot *slot = strata_rowset_rewind(r->change);
	TupleDesc told = CreateTemplateTupleDesc(r->ntold);
	StrataSigned *find = NULL;

	for (int i = 0; i < r->ntold; i++)
		TupleDescCopyEntry(told, i + 1, r->pair.desc, r->told[i] + 1);
	r->wanted = strata_signed_start("delta_missing", told);
	strata_signed_match(r->wanted, take, r->unique ? leave : NULL, r);
	for (int i = 0; i < n; i++)
	{
		int position = list_nth_int(r->match->columns, i);

		TupleDescCopyEntry(desc, i + 1, r->change->desc, position + 1);
		namestrcpy(&TupleDescAttr(desc, i)->attname, list_nth(r->pair.work->target->columns, position));
	}
	if (r->match)
		find = strata_signed_start("delta_find", desc);
	r->new_only = true;
	while (strata_rowset_next(r->change, slot))
	{
		int32 sign = DatumGetInt32(slot->tts_values[r->ncolumns]);

		if (sign < 0)
		{
			tell(r, slot->tts_values, slot->tts_isnull);
			strata_signed_put(r->wanted, r->told_values, r->told_nulls, -sign);
			r->new_only = false;
		}
		else if (!r->come_too)
			continue;
		if (find == NULL)
			continue;
		delta_match_note(r->match, slot->tts_isnull);
		for (int i = 0; i < n; i++)
		{
			values[i] = slot->tts_values[list_nth_int(r->match->columns, i)];
			nulls[i] = slot->tts_isnull[list_nth_int(r->match->columns, i)];
		}
		strata_signed_put(find, values, nulls, 1);
	}
	return find ? strata_signed_finish(find) : NULL;
}

/* The planner does not see that each row is looked for in one partition alone, and would read them all. */
static void
run_near(const char *sql, Signed *r, StrataRowSet *find)
{
	int level = NewGUCNestLevel();

	strata_base_pin("enable_hashjoin", "off");
	strata_base_pin("enable_mergejoin", "off");
	strata_base_pin("enable_seqscan", "off");
	strata_base_run_into(sql, NULL, r->pair.work->snapshot, list_make1(find), (DestReceiver *) r);
	AtEOXact_GUC(true, level);
}

static bool
are_few(const StrataDeltaTarget *t, const StrataRowSet *rows)
{
	Relation rel = table_open(t->relid, NoLock);
	double all = rel->rd_rel->reltuples;

	table_close(rel, NoLock);
	return rows->count <= 2000 || rows->count < all / 50;
}

/* Finds the rows that go; false when one is not there. */
static bool
look_up(Signed *r)
{
	const StrataDeltaTarget *t = r->pair.work->target;
	char *select = psprintf("o.ctid, o.tableoid, %s", delta_prefixed(t->columns, "o"));
	StrataRowSet *find = prepare(r);
	StrataRowSet *missing;
	bool complete;
	char *sql;

	/* new rows only, and nothing to be wrong */
	if (!r->new_only || r->come_too)
	{
		/* an index was only a guess, and too many patterns of NULL make it useless */
		if (r->match && !r->unique && t->find == NIL && delta_match_is_loose(r->match))
			r->match = NULL;
		if (r->match && !delta_match_is_image(r->match, r->change->desc))
			r->offered = delta_places_create();
		sql = r->match ? delta_match_query(r->match, select, "delta_find", "JOIN")
					   : psprintf("SELECT %s FROM %s AS o", select, t->label);
		r->pub.rStartup = start_nothing;
		r->pub.receiveSlot = receive_candidate;
		r->pub.rShutdown = end_nothing;
		r->pub.rDestroy = end_nothing;
		r->pub.mydest = DestTuplestore;
		if (r->match && r->near && are_few(t, find))
			run_near(sql, r, find);
		else
			strata_base_run_into(sql, NULL, r->pair.work->snapshot, find ? list_make1(find) : NIL, (DestReceiver *) r);
	}
	missing = strata_signed_finish(r->wanted);
	complete = missing->count == 0;
	strata_rowset_free(missing);
	strata_rowset_free(find);
	return complete;
}

/* Rows that stay where they are, with other values in the columns that rows which go are not told by. */
static void
put_moved(Signed *r, StrataRowSet *moved)
{
	DeltaPair *p = &r->pair;
	TupleTableSlot *slot = strata_rowset_rewind(moved);
	ListCell *lc;

	while (strata_rowset_next(moved, slot))
		strata_rowset_put(p->updates, slot->tts_values, slot->tts_isnull);
	foreach (lc, p->work->target->unknown)
		p->changed = bms_add_member(p->changed, get_attnum(p->work->target->relid, lfirst(lc)));
}

static bool
apply(Signed *r, StrataRowSet *moved)
{
	DeltaWork *work = r->pair.work;

	if (r->change->count > 0 && !look_up(r))
		return false;
	if (r->stays)
		return false;
	r->pair.added = r->change;
	delta_pair(&r->pair);
	if (r->pair.lost)
		return false;
	if (moved)
		put_moved(r, moved);
	work->counts->rows_in = r->pair.comes + (moved ? moved->count : 0);
	delta_pair_write(&r->pair);
	return true;
}

static void
find_told(Signed *r, const StrataDeltaTarget *target)
{
	r->told = palloc(sizeof(int) * Max(1, r->ncolumns));
	for (int i = 0; i < r->ncolumns; i++)
		if (!strata_base_list_has(target->unknown, list_nth(target->columns, i)))
			r->told[r->ntold++] = i;
	r->told_values = palloc(sizeof(Datum) * Max(1, r->ntold));
	r->told_nulls = palloc(sizeof(bool) * Max(1, r->ntold));
}

/* What tells a row that goes tells its partition as well. */
static void
find_partition(Signed *r, const StrataDeltaTarget *target)
{
	char *column = delta_partition_column(target);

	if (column == NULL || strata_base_list_has(target->unknown, column))
		return;
	for (int i = 0; i < r->ncolumns; i++)
		if (strcmp(list_nth(target->columns, i), column) == 0 && !list_member_int(r->match->columns, i) &&
			list_length(r->match->columns) < 60)
		{
			r->match->columns = lappend_int(r->match->columns, i);
			r->near = true;
		}
}

bool
strata_delta_apply_moved(const StrataDeltaTarget *target, StrataRowSet *change, StrataRowSet *moved, Snapshot snapshot,
						 StrataDeltaCounts *counts)
{
	DeltaWork work = {target, NULL, NULL, snapshot, NIL, counts};
	Signed r = {0};
	MemoryContext context;
	MemoryContext old;
	List *by = target->key ? target->key : target->find;
	bool applied;

	memset(counts, 0, sizeof(*counts));
	if (change->count == 0 && (moved == NULL || moved->count == 0))
		return true;
	context = AllocSetContextCreate(CurrentMemoryContext, "strata delta", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	LockRelationOid(target->relid, RowExclusiveLock);
	delta_refuse(target, snapshot);
	delta_check_types(&work, change->desc, 0);
	r.change = change;
	r.ncolumns = list_length(target->columns);
	r.unique = target->key != NIL || target->find_unique;
	r.values = palloc(sizeof(Datum) * (r.ncolumns + 2));
	r.nulls = palloc(sizeof(bool) * (r.ncolumns + 2));
	find_told(&r, target);
	r.pair.work = &work;
	r.pair.desc = CreateTemplateTupleDesc(r.ncolumns);
	for (int i = 0; i < r.ncolumns; i++)
		TupleDescCopyEntry(r.pair.desc, i + 1, change->desc, i + 1);
	r.pair.removed = strata_rowset_create("delta_removed", delta_rowset_desc(target, change->desc, 0, true));
	if (by == NIL)
		by = delta_index_columns(target);
	if (by != NIL)
		r.match = delta_match_create(target, by);
	/* looked up by less than the find columns, candidates that are left mean nothing */
	r.unique = r.unique && r.match && list_length(r.match->columns) == list_length(by);
	/* a key's index refuses rows that it has, else the keys that came are looked for when they are written */
	r.come_too = r.unique && target->key == NIL;
	if (r.match && !r.come_too)
		find_partition(&r, target);
	applied = apply(&r, moved);
	delta_pair_free(&r.pair);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return applied;
}

bool
strata_delta_apply_signed(const StrataDeltaTarget *target, StrataRowSet *change, Snapshot snapshot,
						  StrataDeltaCounts *counts)
{
	if (change)
		return strata_delta_apply_moved(target, change, NULL, snapshot, counts);
	memset(counts, 0, sizeof(*counts));
	return true;
}

/* ---- places ---- */

typedef struct Places
{
	DestReceiver pub;
	const char *name;
	MemoryContext context;
	StrataRowSet *rows;
	DeltaPlaces *seen;
} Places;

static void
start_places(DestReceiver *self, int operation, TupleDesc desc)
{
	Places *p = (Places *) self;
	MemoryContext old = MemoryContextSwitchTo(p->context);

	p->rows = strata_rowset_create(p->name, desc);
	MemoryContextSwitchTo(old);
}

static bool
receive_place(TupleTableSlot *slot, DestReceiver *self)
{
	Places *p = (Places *) self;

	slot_getallattrs(slot);
	if (!delta_places_add(p->seen, DatumGetObjectId(slot->tts_values[1]),
						  (ItemPointer) DatumGetPointer(slot->tts_values[0])))
		strata_rowset_put(p->rows, slot->tts_values, slot->tts_isnull);
	return true;
}

StrataRowSet *
strata_delta_places(const char *name, const char *sql, Snapshot snapshot, List *rowsets)
{
	Places p = {0};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "strata delta places", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;

	p.name = name;
	p.context = CurrentMemoryContext;
	old = MemoryContextSwitchTo(context);
	p.seen = delta_places_create();
	p.pub.rStartup = start_places;
	p.pub.receiveSlot = receive_place;
	p.pub.rShutdown = end_nothing;
	p.pub.rDestroy = end_nothing;
	p.pub.mydest = DestTuplestore;
	strata_base_run_into(sql, NULL, snapshot, rowsets, (DestReceiver *) &p);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return p.rows;
}
