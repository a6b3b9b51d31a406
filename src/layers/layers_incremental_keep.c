/*
 * layers_incremental_keep.c: rows of a fact that have changed, but in nothing that their dimension keys are looked up by.
 *
 * Such a row keeps the keys of the one it replaces, unless versions of its members have changed. Most changes of a fact are of this
 * kind (an amount, a state), and a look-up takes longer than anything else that is done for a row but the write.
 */
#include "postgres.h"

#include "layers/layers_incremental_work.h"
#include "storage/itemptr.h"

#define ROWS_PER_BLOCK 1024

typedef struct Keeping
{
	StrataRowSet *change;
	int sign; /* position of the sign */
	int n;
	int *columns; /* positions: the key, and what is looked up by */
	int nkeys;    /* the key's come first */
	Datum *values;
	bool *nulls;
	uint8 *kept; /* a bit for each row of the change */
	uint64 nkept;
} Keeping;

/* A row's number, as the address that it is told by. */
static void
set_number(ItemPointer tid, int64 number)
{
	ItemPointerSet(tid, number / ROWS_PER_BLOCK, number % ROWS_PER_BLOCK + 1);
}

static void
taken(void *arg, ItemPointer tid, Oid table, Datum *values, bool *nulls)
{
	Keeping *k = arg;
	uint64 number = (uint64) ItemPointerGetBlockNumber(tid) * ROWS_PER_BLOCK + ItemPointerGetOffsetNumber(tid) - 1;

	k->kept[number / 8] |= 1 << (number % 8);
	k->nkept++;
}

/* False: the key is NULL, and nothing is replaced by it. */
static bool
pick(Keeping *k, TupleTableSlot *slot)
{
	for (int i = 0; i < k->n; i++)
	{
		k->values[i] = slot->tts_values[k->columns[i]];
		k->nulls[i] = slot->tts_isnull[k->columns[i]];
		if (k->nulls[i] && i < k->nkeys)
			return false;
	}
	return true;
}

static void
find_columns(Keeping *k, const StrataDeltaTarget *t, const List *inputs)
{
	ListCell *lc;

	k->columns = palloc(sizeof(int) * (list_length(t->key) + list_length(inputs)));
	foreach (lc, t->key)
		k->columns[k->n++] = layers_position(t->columns, lfirst(lc));
	k->nkeys = k->n;
	foreach (lc, inputs)
		k->columns[k->n++] = lfirst_int(lc) - 1;
	k->values = palloc(sizeof(Datum) * k->n);
	k->nulls = palloc(sizeof(bool) * k->n);
}

/* Rows that come where one of the same key goes, and of the same image in what is looked up by. */
static void
find_kept(Keeping *k)
{
	TupleDesc desc = CreateTemplateTupleDesc(k->n);
	TupleTableSlot *slot = strata_rowset_rewind(k->change);
	StrataSigned *gone;

	for (int i = 0; i < k->n; i++)
		TupleDescCopyEntry(desc, i + 1, k->change->desc, k->columns[i] + 1);
	gone = strata_signed_start("strata_gone", desc);
	strata_signed_match(gone, taken, NULL, k);
	while (strata_rowset_next(k->change, slot))
		if (DatumGetInt32(slot->tts_values[k->sign]) == -1 && pick(k, slot))
			strata_signed_put(gone, k->values, k->nulls, 1);
	slot = strata_rowset_rewind(k->change);
	for (int64 number = 0; strata_rowset_next(k->change, slot); number++)
	{
		ItemPointerData tid;

		set_number(&tid, number);
		if (DatumGetInt32(slot->tts_values[k->sign]) == 1 && pick(k, slot))
			strata_signed_offer(gone, k->values, k->nulls, &tid, InvalidOid);
	}
	strata_rowset_free(strata_signed_finish(gone));
}

/* Those whose members have changed go to the others. */
static StrataRowSet *
without_changed(Work *w, StrataRowSet *kept, StrataRowSet *others, const char *members)
{
	int n = kept->desc->natts;
	StrataRowSet *asked = strata_base_run_rowset(
		"strata_asked", psprintf("SELECT o.*, %s AS strata_again FROM strata_kept AS o", members), NULL,
		w->refresh->snapshot, layers_work_with(w->rowsets, kept));
	StrataRowSet *stay = strata_rowset_create("strata_kept", kept->desc);
	TupleTableSlot *slot = strata_rowset_rewind(asked);

	while (strata_rowset_next(asked, slot))
		strata_rowset_put(DatumGetBool(slot->tts_values[n]) ? others : stay, slot->tts_values, slot->tts_isnull);
	strata_rowset_free(asked);
	strata_rowset_free(kept);
	return stay;
}

StrataRowSet *
layers_work_keep_keys(Work *w, const StrataDeltaTarget *t, const List *inputs, const char *members,
					  StrataRowSet **change)
{
	Keeping k = {*change};
	StrataRowSet *kept;
	StrataRowSet *others;
	TupleTableSlot *slot;

	if ((*change)->count < 2 || (*change)->count > PG_INT32_MAX / 2 || t->key == NIL || !strata_delta_may_keep(t))
		return NULL;
	k.kept = palloc_extended((*change)->count / 8 + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	k.sign = list_length(t->columns);
	find_columns(&k, t, inputs);
	find_kept(&k);
	if (k.nkept == 0)
		return NULL;
	kept = strata_rowset_create("strata_kept", (*change)->desc);
	others = strata_rowset_create((*change)->name, (*change)->desc);
	slot = strata_rowset_rewind(*change);
	for (uint64 number = 0; strata_rowset_next(*change, slot); number++)
		strata_rowset_put(k.kept[number / 8] & (1 << (number % 8)) ? kept : others, slot->tts_values, slot->tts_isnull);
	pfree(k.kept);
	strata_rowset_free(*change);
	*change = others;
	return members ? without_changed(w, kept, others, members) : kept;
}
