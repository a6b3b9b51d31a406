/*
 * layers_incremental_algebra.c: the change of a part's groups, merged into what is kept of them: hidden state, or the target where its rows tell
 * all of it.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "layers/layers_incremental_work.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

typedef struct Groups
{
	DestReceiver pub;
	Work *w;
	const StrataPart *part;
	const StrataAlgebra *algebra;
	bool nulls;              /* keys may be NULL */
	StrataRowSet *doubts[2]; /* keys of groups, by what strata_rescan says of them */
	MemoryContext context;
	Datum *values;
	bool *isnull;

	/* hidden state */
	char *label;
	List *columns;
	StrataRowSet *merged;

	/* the target's own rows */
	StrataDeltaTarget target;
	StrataDeltaCounts counts;
	StrataMerge *merge;
} Groups;

static void
start_merged(DestReceiver *self, int operation, TupleDesc desc)
{
	Groups *g = (Groups *) self;
	MemoryContext old = MemoryContextSwitchTo(g->context);

	if (g->merged == NULL)
		g->merged = strata_rowset_create("strata_merge", desc);
	MemoryContextSwitchTo(old);
}

static void
end_nothing(DestReceiver *self)
{
}

/* strata_ctid, the keys, .., strata_rescan */
static bool
receive_merged(TupleTableSlot *slot, DestReceiver *self)
{
	Groups *g = (Groups *) self;
	int nkeys = g->algebra->nkeys;
	StrataRowSet **doubt;

	slot_getallattrs(slot);
	if (DatumGetInt32(slot->tts_values[g->merged->desc->natts - 1]) == 0)
	{
		strata_rowset_put(g->merged, slot->tts_values, slot->tts_isnull);
		return true;
	}
	doubt = &g->doubts[DatumGetInt32(slot->tts_values[g->merged->desc->natts - 1]) - 1];
	if (*doubt == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(g->context);
		TupleDesc desc = CreateTemplateTupleDesc(nkeys);

		for (int i = 1; i <= nkeys; i++)
			TupleDescCopyEntry(desc, i, g->merged->desc, i + 1);
		*doubt = strata_rowset_create("strata_keys", desc);
		MemoryContextSwitchTo(old);
	}
	strata_rowset_put(*doubt, slot->tts_values + 1, slot->tts_isnull + 1);
	return true;
}

static Groups *
start(Work *w, const StrataPart *part)
{
	Groups *g = palloc0(sizeof(Groups));
	Oid state = list_nth_oid(w->m->states, part->number - 1);

	g->w = w;
	g->part = part;
	g->algebra = list_nth(w->m->algebras, part->number - 1);
	g->context = CurrentMemoryContext;
	if (OidIsValid(state))
	{
		g->label = strata_base_label("strata_state", get_rel_name(state));
		g->columns = layers_names(layers_target_columns(state));
		g->pub.rStartup = start_merged;
		g->pub.receiveSlot = receive_merged;
		g->pub.rShutdown = end_nothing;
		g->pub.rDestroy = end_nothing;
		g->pub.mydest = DestTuplestore;
		return g;
	}
	g->target = layers_work_target(w, part);
	g->merge = strata_delta_merge_start(&g->target, list_copy_head(g->algebra->shown, g->algebra->nkeys),
										w->refresh->snapshot, &g->counts);
	return g;
}

static void
take(Groups *g, const char *sql, List *rowsets)
{
	if (g->merge)
		strata_delta_merge_take(g->merge, sql, rowsets, g->doubts);
	else
		strata_base_run_into(sql, NULL, g->w->refresh->snapshot, rowsets, (DestReceiver *) g);
}

/* change: a row set */
static void
merge(Groups *g, StrataRowSet *change, bool counted)
{
	char *sql = g->merge ? strata_algebra_own_merge(g->algebra, change->name, g->target.label, g->target.columns,
													g->nulls, counted)
						 : strata_algebra_merge(g->algebra, change->name, g->label, g->nulls, counted);

	take(g, sql, list_make1(change));
}

/* The groups of these keys (with no key: the one there is) from their rows. */
static void
compute_again(Groups *g, StrataRowSet *keys)
{
	StrataRowSet *fresh = strata_base_run_rowset(
		"strata_fresh", strata_algebra_state(g->algebra, g->algebra->nkeys > 0 ? "strata_keys" : NULL, g->nulls), NULL,
		g->w->refresh->snapshot, list_make1(keys));
	char *sql = g->merge ? strata_algebra_own_rescanned(g->algebra, "strata_keys", "strata_fresh", g->target.label,
														g->target.columns, g->nulls)
						 : strata_algebra_rescanned(g->algebra, "strata_keys", "strata_fresh", g->label, g->nulls);

	take(g, sql, list_make2(keys, fresh));
	strata_rowset_free(fresh);
}

/* Each group is a row of the target at most, which its keys find: written by its address, with nothing to look up or to pair. */
static bool
write_keyed(Groups *g)
{
	Work *w = g->w;
	StrataMerge *rows;

	g->target = layers_work_target(w, g->part);
	rows = strata_delta_merge_start(&g->target, g->algebra->shown_keys, w->refresh->snapshot, &g->counts);
	strata_delta_merge_take(
		rows, strata_algebra_keyed_output(g->algebra, "strata_merge", g->target.label, g->target.columns, g->nulls),
		list_make1(g->merged), g->doubts);
	if (!strata_delta_merge_finish(rows))
		elog(ERROR, "groups of %s have less than no rows", g->target.label);
	layers_work_add_counts(w, g->part, &g->counts);
	return true;
}

static bool
write_state(Groups *g)
{
	Work *w = g->w;
	char *sql;

	if (!strata_delta_merge_state(g->label, g->columns, g->algebra->nkeys, g->merged, w->refresh->snapshot))
	{
		*w->failure = psprintf("the state in %s does not fit what has changed", g->label);
		return false;
	}
	if (layers_finds_groups(w->m, g->part, g->algebra))
		return write_keyed(g);
	sql = strata_algebra_output(g->algebra, "strata_merge");
	return layers_work_apply_signed(w, g->part,
									strata_base_run_signed(layers_work_set_name(layers_work_target(w, g->part).relid),
														   sql, NULL, w->refresh->snapshot, list_make1(g->merged)));
}

static bool
finish(Groups *g)
{
	bool done;

	if (g->merge)
	{
		done = strata_delta_merge_finish(g->merge);
		if (done)
			layers_work_add_counts(g->w, g->part, &g->counts);
		else
			*g->w->failure = psprintf("the rows of %s do not fit what has changed", g->target.label);
		return done;
	}
	done = write_state(g);
	strata_rowset_free(g->merged);
	return done;
}

bool
layers_work_rescan_groups(Work *w, const StrataPart *part, StrataRowSet *keys)
{
	Groups *g = start(w, part);

	g->nulls = !g->algebra->keys_have_values && layers_work_has_nulls(keys, g->algebra->nkeys);
	compute_again(g, keys);
	return finish(g);
}

static StrataRowSet *
touched(Work *w, const StrataAlgebra *algebra)
{
	StrataRowSet *keys;
	ListCell *lc;

	/* those that are read where they stand are only added up otherwise: no key comes from how many rows there are */
	foreach (lc, w->rowsets)
		((StrataRowSet *) lfirst(lc))->once = true;
	keys = layers_work_run(w, "strata_keys", strata_algebra_touched(algebra, w->changed));
	foreach (lc, w->rowsets)
		((StrataRowSet *) lfirst(lc))->once = false;
	return keys;
}

bool
layers_work_algebra(Work *w, const StrataPart *part)
{
	const StrataAlgebra *algebra = list_nth(w->m->algebras, part->number - 1);
	char *sql = strata_algebra_change(algebra, w->changed);
	StrataRowSet *change;
	Groups *g;

	if (sql == NULL)
		return true;
	if (layers_work_by_keys(w, part))
	{
		StrataRowSet *keys = touched(w, algebra);
		bool done = layers_work_decide_again(w, part, keys);
		bool again = done && layers_work_by_keys(w, part);

		if (again)
		{
			w->way = ", groups touched computed again";
			done = keys->count == 0 || layers_work_rescan_groups(w, part, keys);
		}
		strata_rowset_free(keys);
		if (again || !done)
			return done;
	}
	change = layers_work_run(w, "strata_groups", sql);
	if (change->count == 0)
	{
		strata_rowset_free(change);
		return true;
	}
	g = start(w, part);
	g->nulls = !algebra->keys_have_values && layers_work_has_nulls(change, algebra->nkeys);
	merge(g, change, false);
	if (g->doubts[STRATA_RESCAN_COUNT - 1])
	{
		StrataRowSet *keys = g->doubts[STRATA_RESCAN_COUNT - 1];
		StrataRowSet *counted = strata_base_run_rowset(
			"strata_counted",
			strata_algebra_counted(algebra, w->changed, "strata_groups", algebra->nkeys > 0 ? "strata_keys" : NULL,
								   g->nulls),
			NULL, w->refresh->snapshot, layers_work_with(layers_work_with(w->rowsets, change), keys));

		merge(g, counted, true);
		strata_rowset_free(keys);
		strata_rowset_free(counted);
	}
	strata_rowset_free(change);
	if (g->doubts[STRATA_RESCAN - 1])
	{
		compute_again(g, g->doubts[STRATA_RESCAN - 1]);
		strata_rowset_free(g->doubts[STRATA_RESCAN - 1]);
	}
	return finish(g);
}
