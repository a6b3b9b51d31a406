/*
 * layers_incremental_run.c: one refresh by changes.
 *
 * Takes what each relation read has changed by since the model's position, runs the parts in order, each on the changes of what it reads, and
 * hands its own change on. All or nothing: an error of the data that only a difference meets (rows that never stood side by side are joined
 * for a moment) rolls back to before, and the model is computed in full.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/tuptable.h"
#include "layers/layers_explain.h"
#include "layers/layers_incremental_work.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

char *
layers_work_set_name(Oid relid)
{
	return psprintf("strata_change_%u", relid);
}

bool
layers_work_reads(Node *node, List *changed)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		ListCell *lc;

		foreach (lc, changed)
			if (rte->rtekind == RTE_RELATION && rte->relid == ((StrataChanged *) lfirst(lc))->relid)
				return true;
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, layers_work_reads, changed, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, layers_work_reads, changed);
}

void
layers_work_note_change(Work *w, Oid relid, StrataRowSet *set)
{
	StrataChanged *c = palloc0(sizeof(StrataChanged));

	c->relid = relid;
	c->rowset = set->name;
	w->changed = lappend(w->changed, c);
	w->rowsets = lappend(w->rowsets, set);
}

static bool
is_product(const Query *core, Node *from)
{
	ListCell *lc;

	if (IsA(from, RangeTblRef))
		return rt_fetch(((RangeTblRef *) from)->rtindex, core->rtable)->rtekind == RTE_RELATION;
	if (IsA(from, JoinExpr))
		return ((JoinExpr *) from)->jointype == JOIN_INNER && is_product(core, ((JoinExpr *) from)->larg) &&
			   is_product(core, ((JoinExpr *) from)->rarg);
	foreach (lc, castNode(FromExpr, from)->fromlist)
		if (!is_product(core, lfirst(lc)))
			return false;
	return true;
}

/* No more than relations side by side: whatever the changes are summed to is summed the same from their pieces. */
static bool
is_sum(const Query *core)
{
	return !core->hasSubLinks && core->setOperations == NULL && !core->hasTargetSRFs && core->cteList == NIL &&
		   is_product(core, (Node *) core->jointree);
}

/*
 * Whether all that is done with the relation's changes is adding them up by group. Then it costs more to take opposite rows off
 * first than to add both.
 */
static bool
only_added_up(const IncrementalModel *m, Oid relid)
{
	StrataChanged c = {relid, NULL};
	ListCell *lc;

	foreach (lc, m->plan->parts)
	{
		StrataPart *part = lfirst(lc);
		StrataAlgebra *algebra = list_nth(m->algebras, part->number - 1);

		if (layers_work_reads((Node *) part->query, list_make1(&c)) &&
			!(algebra && is_sum(algebra->core) && !algebra->consolidated))
			return false;
	}
	return true;
}

static IncrementalPosition *
captured(const IncrementalModel *m, Oid relid, Snapshot snapshot)
{
	IncrementalPosition *p = palloc0(sizeof(IncrementalPosition));

	p->captured = strata_capture_changes(relid, psprintf("m%d", m->model->id), snapshot, false);
	p->known = p->captured->known;
	return p;
}

/* Whether they are taken as they come: so many, or so few groups of them. */
static bool
is_raw(const Work *w, Oid relid, const IncrementalPosition *p)
{
	Snapshot snapshot = w->refresh->snapshot;

	return p->captured &&
		   (strata_capture_is_much(p->captured, snapshot) ||
			(layers_work_may_be_quick(w, relid, strata_capture_at_most(p->captured)) &&
			 layers_work_may_be_quick(w, relid, strata_capture_about(p->captured, snapshot)))) &&
		   only_added_up(w->m, relid);
}

/* The name tells a kept plan how its row set is read. NULL: they cannot be read where they stand. */
static StrataRowSet *
stream(const Work *w, const StrataInput *input, const IncrementalPosition *p)
{
	return strata_capture_stream(p->captured, psprintf("strata_stream_%u", input->relid), input->used,
								 w->refresh->snapshot);
}

/* What one input has changed by since the position; NULL: by nothing. early: what was made of it to decide; NULL: nothing. */
static StrataRowSet *
read_input(const Work *w, const StrataInput *input, IncrementalPosition *p, StrataRowSet *early)
{
	StrataRowSet *set = NULL;
	bool raw;

	if (p->captured && p->captured->count == 0)
		return NULL;

	raw = is_raw(w, input->relid, p);
	if (raw && early)
		return early;
	if (early)
		strata_rowset_free(early);
	if (raw)
		set = stream(w, input, p);
	if (set)
		return set;
	if (raw)
		set = strata_capture_rowset_raw(p->captured, layers_work_set_name(input->relid), input->used,
										w->refresh->snapshot);
	else if (p->captured)
		set = strata_capture_rowset(p->captured, layers_work_set_name(input->relid), input->used, w->refresh->snapshot);
	else
		set = layers_watermark_rowset(p, layers_work_set_name(input->relid), input->used, w->refresh);
	if (set->count > 0)
		return set;
	strata_rowset_free(set);
	return NULL;
}

/* Where much waits, which way to go is asked before any of it is read. */
static bool
decide_early(Work *w)
{
	bool go_on = true;
	ListCell *lc;

	w->early = NIL;
	foreach (lc, w->positions)
	{
		StrataInput *input = list_nth(w->m->plan->inputs, foreach_current_index(lc));
		IncrementalPosition *p = lfirst(lc);
		StrataRowSet *set = NULL;

		if (!w->decided && p->captured && p->captured->count > 0 &&
			(strata_capture_is_much(p->captured, w->refresh->snapshot) || is_raw(w, input->relid, p)))
			set = stream(w, input, p);
		if (set)
			layers_work_note_change(w, input->relid, set);
		w->early = lappend(w->early, set);
	}
	if (w->changed != NIL)
		go_on = layers_work_decide(w);
	foreach (lc, w->rowsets)
		if (!go_on)
			strata_rowset_free(lfirst(lc));
	w->rowsets = NIL;
	w->changed = NIL;
	return go_on;
}

/* False: something cannot be told, and why says what. */
static bool
collect(Work *w)
{
	ListCell *lc;

	foreach (lc, w->m->plan->inputs)
	{
		Oid relid = ((StrataInput *) lfirst(lc))->relid;
		IncrementalPosition *p = layers_has_watermark(w->m, relid) ? layers_watermark_position(w->m, relid)
																   : captured(w->m, relid, w->refresh->snapshot);

		w->positions = lappend(w->positions, p);
		if (!p->known)
			*w->failure =
				psprintf("%s: %s", strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
						 p->captured ? p->captured->why : layers_watermark_words(p));
	}
	if (*w->failure || !decide_early(w))
		return false;
	foreach (lc, w->positions)
	{
		StrataInput *input = list_nth(w->m->plan->inputs, foreach_current_index(lc));
		StrataRowSet *set = read_input(w, input, lfirst(lc), list_nth(w->early, foreach_current_index(lc)));

		if (set)
			layers_work_note_change(w, input->relid, set);
	}
	w->n_inputs = list_length(w->rowsets);
	return layers_work_decide(w);
}

/* How many rows the inputs have changed by: known when what was read from the change tables has been read. */
static void
count_inputs(Work *w)
{
	for (int i = 0; i < w->n_inputs; i++)
		w->n_changed += strata_rowset_count(list_nth(w->rowsets, i));
	w->result->counts.rows_in = w->n_changed;
}

StrataRowSet *
layers_work_run(Work *w, const char *name, const char *sql)
{
	return strata_base_run_rowset(name, sql, NULL, w->refresh->snapshot, w->rowsets);
}

/* Whether a row set of keys holds a NULL. */
bool
layers_work_has_nulls(StrataRowSet *keys, int n)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(keys->desc, &TTSOpsMinimalTuple);
	bool found = false;

	tuplestore_rescan(keys->store);
	while (!found && tuplestore_gettupleslot(keys->store, true, false, slot))
	{
		slot_getsomeattrs(slot, n);
		for (int i = 0; i < n; i++)
			found |= slot->tts_isnull[i];
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_rescan(keys->store);
	return found;
}

static bool
run_whole(Work *w, const StrataPart *part)
{
	layers_work_apply(w, part, strata_incremental_full(part), NIL, NULL);
	return true;
}

static bool
run_signed(Work *w, const StrataPart *part)
{
	Oid relid = part->last ? w->m->model->relid : list_nth_oid(w->m->hidden, part->number - 1);
	Query *query = strata_incremental_change(part->query, w->changed);
	char *sql;

	if (query == NULL)
		return true;
	sql = strata_incremental_deparse(query);
	if (part->last && w->m->lookups != NIL && layers_work_is_dearer(w, part, sql))
		return layers_work_refuse_cost(w);
	if (!(part->last && w->m->lookups != NIL) && layers_work_is_dear(w, part, sql, w->rowsets))
	{
		/* what a layer writes in a way of its own is not what the target holds */
		if (part->last && w->m->hooks && w->m->hooks->write)
			return layers_work_refuse_cost(w);
		w->way = ", all computed";
		return run_whole(w, part);
	}
	return layers_work_apply_signed(
		w, part, strata_base_run_signed(layers_work_set_name(relid), sql, NULL, w->refresh->snapshot, w->rowsets));
}

static bool
run_keys(Work *w, const StrataPart *part)
{
	StrataDeltaTarget t = layers_work_target(w, part);
	char *sql = strata_incremental_keys(part, w->changed);
	StrataRowSet *keys;
	bool nulls;

	if (sql == NULL)
		return true;
	if (layers_work_is_dear(w, part, sql, w->rowsets))
	{
		w->way = ", all computed";
		return run_whole(w, part);
	}
	keys = layers_work_run(w, "strata_keys", sql);
	if (keys->count > 0)
	{
		nulls = layers_work_has_nulls(keys, list_length(part->keys));
		sql = strata_incremental_restricted(part, "strata_keys", nulls);
		if (layers_work_are_most(w, part, keys, nulls, sql))
		{
			w->way = ", most keys touched: all computed";
			layers_work_apply(w, part, strata_incremental_full(part), NIL, NULL);
		}
		else
			layers_work_apply(w, part, sql, layers_work_with(w->rowsets, keys),
							  psprintf("EXISTS (SELECT 1 FROM strata_keys AS k WHERE %s)",
									   strata_incremental_key_match(part, "o", t.find, "k", nulls)));
	}
	strata_rowset_free(keys);
	return true;
}

/* all_but_last: the last part's rows are not written, its changes are looked at by the caller */
static bool
run_parts(Work *w, bool all_but_last)
{
	ListCell *lc;

	foreach (lc, w->m->plan->parts)
	{
		StrataPart *part = lfirst(lc);
		bool done = true;

		CHECK_FOR_INTERRUPTS();
		if ((part->last && all_but_last) || !layers_work_reads((Node *) part->query, w->changed))
			continue;
		if (part->last && w->m->lookups != NIL && (part->rule == STRATA_RULE_SIGNED || part->partial != NIL))
		{
			if (!layers_work_fact(w, part, &done))
				return false;
			if (done)
				continue;
			done = true;
		}
		switch (part->rule)
		{
			case STRATA_RULE_SIGNED:
				done = run_signed(w, part);
				break;
			case STRATA_RULE_ALGEBRA:
				done = layers_work_algebra(w, part);
				break;
			case STRATA_RULE_KEYS:
				done = run_keys(w, part);
				break;
			case STRATA_RULE_WHOLE:
				done = run_whole(w, part);
				break;
		}
		if (!done)
			return false;
	}
	return true;
}

static void
advance(Work *w)
{
	layers_incremental_advance(w->positions);
}

/* They may lie in temporary files, which a context does not close. */
static void
free_rowsets(Work *w)
{
	ListCell *lc;

	foreach (lc, w->rowsets)
		strata_rowset_free(lfirst(lc));
	w->rowsets = NIL;
}

/* What has changed since the model's position, and the position after it. */
static bool
take_changes(Work *w)
{
	bool done = collect(w);
	const char *lost = done && w->m->model->layer == STRATA_FACT ? layers_work_lost_members(w) : NULL;

	if (lost)
		*w->failure = psprintf("members of %s are no more", lost);
	if (done && !lost && w->m->lookups != NIL)
		layers_work_index_lookups(w);
	done = done && !lost && run_parts(w, false);
	if (done)
		count_inputs(w);
	free_rowsets(w);
	if (done)
		advance(w);
	w->changed = NIL;
	w->positions = NIL;
	return done;
}

/* Whether what it reads was given rows for those that were written: then these have changed again. */
static bool
complete(Work *w)
{
	StrataRefreshResult *result = w->result;
	StrataRowSet *written = w->written;
	bool done;

	if (written == NULL)
		return false;
	w->written = NULL;
	done = w->m->hooks->complete(w->m->model, written, w->refresh, result);
	if (done && result->message)
		result->message = MemoryContextStrdup(w->outer, result->message);
	strata_rowset_free(written);
	return done;
}

static bool
refresh_body(void *arg)
{
	Work *w = arg;

	do
	{
		if (!take_changes(w))
			return false;
	} while (complete(w));
	/* partitions are made ahead of the rows */
	if (!w->prepared)
		layers_work_prepare_write(w, NULL);
	return true;
}

/* Before any of it is read, as all that a run writes. */
static void
lock_hidden(const IncrementalModel *m)
{
	ListCell *lc;

	foreach (lc, m->hidden)
		LockRelationOid(lfirst_oid(lc), RowExclusiveLock);
	foreach (lc, m->states)
		if (OidIsValid(lfirst_oid(lc)))
			LockRelationOid(lfirst_oid(lc), RowExclusiveLock);
}

bool
layers_incremental_refresh(IncrementalModel *m, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	Work w = {m, refresh, result};
	char *why = NULL;
	bool done;

	w.failure = &why;
	w.outer = CurrentMemoryContext;
	if (strata_layers_rule == INCREMENTAL_FULL)
	{
		result->why = pstrdup("strata.incremental_rule is full");
		return false;
	}
	lock_hidden(m);
	done = layers_incremental_attempt(refresh_body, &w, &why);
	if (done)
		result->method =
			psprintf("incremental: %s%s%s", layers_count_of(w.n_changed, "changed row"), w.way ? w.way : "",
					 w.full_cost > 0 ? psprintf(", cost %.0f against %.0f in full", w.change_cost, w.full_cost) : "");
	else
	{
		memset(&result->counts, 0, sizeof(result->counts));
		result->message = NULL;
		result->why = why;
	}
	return done;
}

/* ---- dimensions ---- */

/* The rule by which the last part's rows can be had for some keys only; NULL: it cannot. */
StrataPart *
layers_incremental_keyed_last(const IncrementalModel *m)
{
	StrataPart *part = palloc(sizeof(StrataPart));
	List *positions = NIL;
	ListCell *lc;

	*part = *(StrataPart *) llast(m->plan->parts);
	if (part->rule == STRATA_RULE_WHOLE || (part->rule == STRATA_RULE_ALGEBRA && !part->also_keys))
		return NULL;
	if (part->rule == STRATA_RULE_SIGNED)
	{
		foreach (lc, m->key)
			positions = lappend_int(positions, layers_position(m->columns, lfirst(lc)) + 1);
		part = strata_incremental_by_key(part, positions);
	}
	foreach (lc, part->keys)
		if (!strata_base_list_has(m->key, list_nth(m->columns, lfirst_int(lc) - 1)))
			return NULL;
	part->rule = STRATA_RULE_KEYS;
	return part->keys == NIL ? NULL : part;
}

bool
layers_incremental_extract(IncrementalModel *m, const StrataRefresh *refresh, char **why, IncrementalExtract *extract)
{
	Work w = {m, refresh, &extract->ignored};
	StrataPart *part = layers_incremental_keyed_last(m);
	StrataRowSet *keys;
	ListCell *lc;
	char *sql;

	w.failure = why;
	if (!collect(&w) || !run_parts(&w, true))
	{
		free_rowsets(&w);
		return false;
	}
	count_inputs(&w);
	extract->positions = w.positions;
	extract->n_changed = w.n_changed;
	sql = layers_work_reads((Node *) part->query, w.changed) ? strata_incremental_keys(part, w.changed) : NULL;
	if (sql == NULL)
	{
		free_rowsets(&w);
		return true;
	}
	foreach (lc, part->keys)
		extract->columns = lappend(extract->columns, list_nth(m->columns, lfirst_int(lc) - 1));
	keys = layers_work_run(&w, "strata_keys", sql);
	extract->keys = strata_base_run_rowset(
		"dimension_keys",
		psprintf("SELECT * FROM strata_keys AS k (%s)", strata_base_join_quoted(extract->columns, ", ")), NULL,
		refresh->snapshot, list_make1(keys));
	if (keys->count > 0)
		extract->rows = strata_base_run_rowset(
			"dimension_extract",
			strata_incremental_restricted(part, "strata_keys", layers_work_has_nulls(keys, list_length(part->keys))),
			NULL, refresh->snapshot, layers_work_with(w.rowsets, keys));
	strata_rowset_free(keys);
	free_rowsets(&w);
	return true;
}

void
layers_incremental_advance(List *positions)
{
	ListCell *lc;

	foreach (lc, positions)
	{
		IncrementalPosition *p = lfirst(lc);

		if (p->captured)
			strata_capture_advance(p->captured);
		else
			layers_watermark_advance(p);
	}
}

/* ---- from nothing ---- */

char *
layers_incremental_build(IncrementalModel *m, const StrataRefresh *refresh)
{
	StrataRefreshResult ignored = {{0}};
	Work w = {m, refresh, &ignored};
	ListCell *lc;

	lock_hidden(m);
	m->tables = layers_tables_known(m->model, refresh->snapshot);
	/* first: what is written while the target is (by a CHECK of the target's) is for the next refresh */
	foreach (lc, m->plan->inputs)
	{
		Oid relid = ((StrataInput *) lfirst(lc))->relid;

		m->positions = lappend(m->positions, layers_has_watermark(m, relid) ? layers_watermark_now(m, relid, refresh)
																			: captured(m, relid, refresh->snapshot));
	}
	foreach (lc, m->plan->parts)
	{
		StrataPart *part = lfirst(lc);
		StrataAlgebra *algebra = list_nth(m->algebras, part->number - 1);
		StrataDeltaTarget t;
		StrataDeltaCounts counts = {0};
		char *sql = strata_incremental_full(part);

		if (part->last && m->extract)
			return sql;
		t = layers_work_target(&w, part);
		if (algebra && OidIsValid(list_nth_oid(m->states, part->number - 1)))
		{
			StrataDeltaTarget s = {0};

			s.relid = list_nth_oid(m->states, part->number - 1);
			s.label = strata_base_label("strata_state", get_rel_name(s.relid));
			s.columns = layers_names(layers_target_columns(s.relid));
			strata_delta_apply(&s, strata_algebra_state(algebra, NULL, false), NULL, refresh->snapshot, NIL, &counts);
			layers_incremental_finish(m, s.relid);
			sql = strata_algebra_result(algebra, s.label);
		}
		if (part->last)
			return sql;
		t.no_swap = false;
		strata_delta_apply(&t, sql, NULL, refresh->snapshot, NIL, &counts);
		layers_incremental_finish(m, t.relid);
	}
	return NULL;
}

void
layers_incremental_built(IncrementalModel *m, const StrataRefresh *refresh)
{
	layers_incremental_advance(m->positions);
	layers_incremental_set_built(m, refresh->snapshot);
}

void
layers_incremental_not_built(const IncrementalModel *m, const StrataRefresh *refresh)
{
	ListCell *lc;

	layers_incremental_unbuilt(m->model);
	if (!m->waits)
		return;
	/* capture that came with a restore is wanted again: the end of the run puts it on */
	foreach (lc, m->plan->inputs)
		strata_capture_advance(strata_capture_changes(((StrataInput *) lfirst(lc))->relid,
													  psprintf("m%d", m->model->id), refresh->snapshot, false));
}
