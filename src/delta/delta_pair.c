/*
 * delta_pair.c: of a row that goes and one that comes with the same key (or find value) one UPDATE is made.
 *
 * What fits in work_mem is paired here, with the types' own equality and NULLs alike; more by a join, which finds no NULL: those rows
 * go and come. Both give the same table; what differs is how much is written.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "delta/delta_internal.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#define MOST_JOINED_COLUMNS 800

typedef struct KeyColumn
{
	int position; /* in the target's columns */
	Oid collation;
	TypeCacheEntry *type;
} KeyColumn;

typedef struct Gone
{
	uint32 hash;
	int next; /* of the same bucket; -1: none */
	bool replaced;
	MinimalTuple row; /* as in removed */
} Gone;

typedef struct Pairing
{
	DestReceiver pub;
	DeltaPair *p;
	MemoryContext row;
	int n;
	AttrNumber *attnums;
	Datum *values;
	bool *nulls;
	DeltaPlaces *replaced;
	int *keeps; /* positions of columns that are NULL where a row keeps what the one it replaces has */
	int nkeeps;
	bool twice;
	char *duplicate;
} Pairing;

static void
create_sets(DeltaPair *p)
{
	const StrataDeltaTarget *t = p->work->target;

	p->deletes = strata_rowset_create("delta_delete", delta_rowset_desc(t, p->desc, 0, true));
	p->updates = strata_rowset_create("delta_update", delta_rowset_desc(t, p->desc, 0, true));
	p->inserts = strata_rowset_create("delta_insert", delta_rowset_desc(t, p->desc, 0, true));
}

static void
free_sets(DeltaPair *p)
{
	strata_rowset_free(p->deletes);
	strata_rowset_free(p->updates);
	strata_rowset_free(p->inserts);
	p->deletes = p->updates = p->inserts = NULL;
	p->changed = NULL;
}

void
delta_pair_free(DeltaPair *p)
{
	free_sets(p);
	strata_rowset_free(p->removed);
}

static void
note_changed(Pairing *g, const Datum *new_values, const bool *new_nulls, const Datum *old_values, const bool *old_nulls)
{
	for (int i = 0; i < g->n; i++)
	{
		if (bms_is_member(g->attnums[i], g->p->changed))
			continue;
		if (new_nulls[i] != old_nulls[i] ||
			(!new_nulls[i] && !strata_base_image_same(TupleDescAttr(g->p->desc, i), new_values[i], old_values[i])))
		{
			MemoryContext old = MemoryContextSwitchTo(g->p->context);

			g->p->changed = bms_add_member(g->p->changed, g->attnums[i]);
			MemoryContextSwitchTo(old);
		}
	}
}

static void
put_row(Pairing *g, StrataRowSet *rows, const Datum *place, const Datum *values, const bool *nulls)
{
	g->values[0] = place ? place[0] : (Datum) 0;
	g->values[1] = place ? place[1] : (Datum) 0;
	g->nulls[0] = g->nulls[1] = place == NULL;
	memcpy(g->values + 2, values, sizeof(Datum) * g->n);
	memcpy(g->nulls + 2, nulls, sizeof(bool) * g->n);
	strata_rowset_put(rows, g->values, g->nulls);
}

/* A row that comes, to where a row went, or nowhere (place NULL). */
static void
put_added(Pairing *g, const Datum *place, const Datum *values, const bool *nulls)
{
	if (place == NULL && g->nkeeps > 0 && nulls[g->keeps[0]])
		g->p->lost = true;
	put_row(g, place ? g->p->updates : g->p->inserts, place, values, nulls);
}

/* What a row keeps is taken from the one it replaces, where that has it. */
static void
keep(Pairing *g, Datum *values, bool *nulls, const Datum *old_values, const bool *old_nulls)
{
	for (int i = 0; i < g->nkeeps; i++)
	{
		int at = g->keeps[i];

		if (!nulls[at])
			continue;
		values[at] = old_values[at];
		nulls[at] = old_nulls[at];
		g->p->work->stored |= nulls[at];
	}
}

static void
note_twice(Pairing *g, Datum *values, bool *nulls)
{
	g->twice = true;
	if (g->duplicate == NULL && g->p->work->target->key != NIL)
	{
		MemoryContext old = MemoryContextSwitchTo(g->p->context);

		g->duplicate = delta_key_text(g->p->work, g->p->desc, 0, values, nulls);
		MemoryContextSwitchTo(old);
	}
}

/* ---- here ---- */

static KeyColumn *
key_columns(const DeltaPair *p, const List *by)
{
	const StrataDeltaTarget *t = p->work->target;
	KeyColumn *columns = palloc(sizeof(KeyColumn) * list_length(by));
	ListCell *lc;

	foreach (lc, by)
	{
		KeyColumn *c = &columns[foreach_current_index(lc)];
		Oid type;
		int32 typmod;

		c->position = 0;
		while (strcmp(list_nth(t->columns, c->position), lfirst(lc)) != 0)
			c->position++;
		get_atttypetypmodcoll(t->relid, get_attnum(t->relid, lfirst(lc)), &type, &typmod, &c->collation);
		c->type = lookup_type_cache(type, TYPECACHE_HASH_PROC_FINFO | TYPECACHE_EQ_OPR_FINFO);
	}
	return columns;
}

static uint32
key_hash(const KeyColumn *columns, int n, const Datum *values, const bool *nulls)
{
	uint32 hash = 0;

	for (int i = 0; i < n; i++)
	{
		const KeyColumn *c = &columns[i];

		if (!nulls[c->position] && OidIsValid(c->type->hash_proc))
			hash = hash_combine(
				hash, DatumGetUInt32(FunctionCall1Coll(&c->type->hash_proc_finfo, c->collation, values[c->position])));
		else
			hash = hash_combine(hash, nulls[c->position]);
	}
	return hash;
}

static bool
same_key(const KeyColumn *columns, int n, const Datum *a, const bool *a_nulls, const Datum *b, const bool *b_nulls)
{
	for (int i = 0; i < n; i++)
	{
		const KeyColumn *c = &columns[i];

		if (a_nulls[c->position] != b_nulls[c->position])
			return false;
		if (a_nulls[c->position])
			continue;
		if (!OidIsValid(c->type->eq_opr) ||
			!DatumGetBool(FunctionCall2Coll(&c->type->eq_opr_finfo, c->collation, a[c->position], b[c->position])))
			return false;
	}
	return true;
}

/* The rows that go, by key; NULL when they are more than work_mem. */
static Gone *
gather(Pairing *g, const KeyColumn *columns, int nby, int *buckets, int n_buckets)
{
	DeltaPair *p = g->p;
	Gone *gone = palloc_extended(sizeof(Gone) * p->removed->count, MCXT_ALLOC_HUGE);
	TupleTableSlot *slot = strata_rowset_rewind(p->removed);
	Size used = sizeof(Gone) * p->removed->count;

	memset(buckets, -1, sizeof(int) * n_buckets);
	for (int i = 0; strata_rowset_next(p->removed, slot); i++)
	{
		int *bucket;

		gone[i].row = ExecCopySlotMinimalTuple(slot);
		used += gone[i].row->t_len;
		if (used > (Size) work_mem * 1024)
		{
			ExecDropSingleTupleTableSlot(slot);
			return NULL;
		}
		gone[i].hash = key_hash(columns, nby, slot->tts_values + 2, slot->tts_isnull + 2);
		gone[i].replaced = false;
		bucket = &buckets[gone[i].hash & (n_buckets - 1)];
		gone[i].next = *bucket;
		*bucket = i;
	}
	return gone;
}

/* The row that goes with the key of this one, in the slot; NULL when there is none. */
static Gone *
find_gone(const KeyColumn *columns, int nby, Gone *gone, int first, uint32 hash, TupleTableSlot *added,
		  TupleTableSlot *slot)
{
	for (int i = first; i >= 0; i = gone[i].next)
	{
		if (gone[i].hash != hash)
			continue;
		ExecStoreMinimalTuple(gone[i].row, slot, false);
		slot_getallattrs(slot);
		if (same_key(columns, nby, slot->tts_values + 2, slot->tts_isnull + 2, added->tts_values, added->tts_isnull))
			return &gone[i];
	}
	return NULL;
}

/* False: they are more than work_mem. */
static bool
pair_here(Pairing *g, const List *by)
{
	DeltaPair *p = g->p;
	int nby = list_length(by);
	KeyColumn *columns = key_columns(p, by);
	int n_gone = (int) Min(p->removed->count, PG_INT32_MAX / 4);
	int n_buckets = pg_nextpower2_32(Max(16, n_gone));
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "strata delta pairs", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int *buckets;
	Gone *gone = NULL;
	TupleTableSlot *slot;
	TupleTableSlot *went;

	if ((sizeof(Gone) + sizeof(int)) * p->removed->count <= (Size) work_mem * 1024)
	{
		buckets = palloc(sizeof(int) * n_buckets);
		gone = gather(g, columns, nby, buckets, n_buckets);
	}
	if (gone == NULL)
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		return false;
	}
	went = MakeSingleTupleTableSlot(p->removed->desc, &TTSOpsMinimalTuple);
	slot = strata_rowset_rewind(p->added);
	while (strata_rowset_next(p->added, slot))
	{
		uint32 hash;
		Gone *same;

		if (DatumGetInt32(slot->tts_values[g->n]) < 0)
			continue;
		MemoryContextSwitchTo(g->row);
		hash = key_hash(columns, nby, slot->tts_values, slot->tts_isnull);
		same = find_gone(columns, nby, gone, buckets[hash & (n_buckets - 1)], hash, slot, went);
		if (same && same->replaced)
			note_twice(g, slot->tts_values, slot->tts_isnull);
		if (same == NULL || same->replaced)
			put_added(g, NULL, slot->tts_values, slot->tts_isnull);
		else
		{
			same->replaced = true;
			keep(g, slot->tts_values, slot->tts_isnull, went->tts_values + 2, went->tts_isnull + 2);
			put_added(g, went->tts_values, slot->tts_values, slot->tts_isnull);
			note_changed(g, slot->tts_values, slot->tts_isnull, went->tts_values + 2, went->tts_isnull + 2);
		}
		MemoryContextSwitchTo(context);
		MemoryContextReset(g->row);
	}
	for (int i = 0; i < n_gone; i++)
		if (!gone[i].replaced)
		{
			ExecStoreMinimalTuple(gone[i].row, went, false);
			slot_getallattrs(went);
			strata_rowset_put(p->deletes, went->tts_values, went->tts_isnull);
		}
	ExecDropSingleTupleTableSlot(went);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return true;
}

/* ---- by a join ---- */

static void
start_nothing(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
end_nothing(DestReceiver *self)
{
}

/* ctid, tableoid, sign, the new columns, the old ones */
static bool
receive_pair(TupleTableSlot *slot, DestReceiver *self)
{
	Pairing *g = (Pairing *) self;
	MemoryContext old = MemoryContextSwitchTo(g->row);
	Datum *values;
	bool *nulls;

	slot_getallattrs(slot);
	values = slot->tts_values;
	nulls = slot->tts_isnull;
	if (nulls[2])
		put_row(g, g->p->deletes, values, values + 3 + g->n, nulls + 3 + g->n);
	else if (nulls[0])
		put_added(g, NULL, values + 3, nulls + 3);
	else
	{
		if (delta_places_add(g->replaced, DatumGetObjectId(values[1]), (ItemPointer) DatumGetPointer(values[0])))
			note_twice(g, values + 3, nulls + 3);
		keep(g, values + 3, nulls + 3, values + 3 + g->n, nulls + 3 + g->n);
		put_added(g, values, values + 3, nulls + 3);
		note_changed(g, values + 3, nulls + 3, values + 3 + g->n, nulls + 3 + g->n);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(g->row);
	return true;
}

/* False: rows are not one to one. */
static bool
pair_by_join(Pairing *g, const List *by)
{
	DeltaPair *p = g->p;
	const StrataDeltaTarget *t = p->work->target;
	StringInfoData on;
	ListCell *lc;

	initStringInfo(&on);
	foreach (lc, by)
		appendStringInfo(&on, "%sn.%s %s o.%s", foreach_current_index(lc) > 0 ? " AND " : "",
						 quote_identifier(lfirst(lc)),
						 strata_base_equality(get_atttype(t->relid, get_attnum(t->relid, lfirst(lc)))),
						 quote_identifier(lfirst(lc)));
	g->replaced = delta_places_create();
	g->pub.rStartup = start_nothing;
	g->pub.receiveSlot = receive_pair;
	g->pub.rShutdown = end_nothing;
	g->pub.rDestroy = end_nothing;
	g->pub.mydest = DestTuplestore;
	strata_base_run_into(psprintf("SELECT o.%s, o.%s, n.strata_sign, %s, %s\n"
								  "  FROM (SELECT * FROM %s AS q (%s, strata_sign) WHERE strata_sign > 0) AS n\n"
								  "  FULL JOIN delta_removed AS o ON %s",
								  strata_delta_beside(t, "strata_ctid"), strata_delta_beside(t, "strata_table"),
								  delta_prefixed(t->columns, "n"), delta_prefixed(t->columns, "o"),
								  quote_identifier(p->added->name), strata_base_join_quoted(t->columns, ", "), on.data),
						 NULL, p->work->snapshot, list_make2(p->added, p->removed), (DestReceiver *) g);
	return !g->twice && p->updates->count + p->inserts->count == p->comes &&
		   p->updates->count + p->deletes->count == p->removed->count;
}

/* ---- the face ---- */

/* All that goes is deleted, all that comes inserted, each as often as its sign says. */
static void
take_all(Pairing *g)
{
	DeltaPair *p = g->p;
	TupleTableSlot *slot = strata_rowset_rewind(p->removed);

	while (strata_rowset_next(p->removed, slot))
		strata_rowset_put(p->deletes, slot->tts_values, slot->tts_isnull);
	slot = strata_rowset_rewind(p->added);
	while (strata_rowset_next(p->added, slot))
		for (int32 n = DatumGetInt32(slot->tts_values[g->n]); n > 0; n--)
			put_added(g, NULL, slot->tts_values, slot->tts_isnull);
}

/* One row of one image more than once breaks a key, too. */
static void
survey_added(DeltaPair *p, bool *copies)
{
	TupleTableSlot *slot = strata_rowset_rewind(p->added);
	int n = list_length(p->work->target->columns);

	p->comes = 0;
	while (strata_rowset_next(p->added, slot))
	{
		int32 sign = DatumGetInt32(slot->tts_values[n]);

		if (sign > 0)
			p->comes += sign;
		if (sign <= 1)
			continue;
		*copies = true;
		if (p->work->target->key != NIL)
			delta_key_error(p->work, "duplicate",
							psprintf("Seen twice or more: %s.",
									 delta_key_text(p->work, p->desc, 0, slot->tts_values, slot->tts_isnull)));
	}
}

void
delta_pair(DeltaPair *p)
{
	const StrataDeltaTarget *t = p->work->target;
	List *by = t->key ? t->key : t->find_unique ? t->find : NIL;
	Pairing g = {0};
	bool copies = false;
	bool paired = false;
	ListCell *lc;

	foreach (lc, by)
		if (!delta_has_equality(t, lfirst(lc)))
			by = NIL;
	g.p = p;
	g.n = list_length(t->columns);
	g.row = AllocSetContextCreate(CurrentMemoryContext, "strata delta row", ALLOCSET_SMALL_SIZES);
	g.values = palloc(sizeof(Datum) * (g.n + 2));
	g.nulls = palloc(sizeof(bool) * (g.n + 2));
	g.attnums = palloc(sizeof(AttrNumber) * Max(1, g.n));
	for (int i = 0; i < g.n; i++)
		g.attnums[i] = get_attnum(t->relid, list_nth(t->columns, i));
	g.keeps = palloc(sizeof(int) * Max(1, g.n));
	for (int i = 0; i < g.n && t->keeps; i++)
		if (strata_base_list_has(t->unknown, list_nth(t->columns, i)))
			g.keeps[g.nkeeps++] = i;
	p->context = CurrentMemoryContext;
	survey_added(p, &copies);
	create_sets(p);
	if (by != NIL && !copies && p->removed->count > 0 && p->comes > 0)
	{
		paired = pair_here(&g, by);
		if (!paired && g.n <= MOST_JOINED_COLUMNS)
			paired = pair_by_join(&g, by);
		if (g.duplicate)
			delta_key_error(p->work, "duplicate", psprintf("Seen twice or more: %s.", g.duplicate));
	}
	if (!paired)
	{
		p->lost = false;
		free_sets(p);
		create_sets(p);
		take_all(&g);
	}
}

/* A key that no index enforces: the keys that came are looked for in the target. */
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
delta_pair_write(DeltaPair *p)
{
	DeltaWork *work = p->work;
	MemoryContext context = CurrentMemoryContext;

	work->counts->deleted = p->deletes->count;
	work->counts->updated = p->updates->count;
	work->counts->inserted = p->inserts->count;
	PG_TRY();
	{
		delta_write(work, p->deletes, p->updates, p->changed, p->inserts);
	}
	PG_CATCH();
	{
		delta_write_error(work, context);
	}
	PG_END_TRY();
	if (work->target->key != NIL && p->inserts->count > 0 && !delta_key_is_enforced(work->target))
		check_new_keys(work, p->inserts);
}
