/*
 * layers_incremental_write.c: what a part has changed by goes into its table, and on to the parts that read it.
 */
#include "postgres.h"

#include "layers/layers_incremental_work.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

StrataDeltaTarget
layers_work_target(const Work *w, const StrataPart *part)
{
	StrataDeltaTarget t = {0};
	ListCell *lc;

	t.relid = part->last ? w->m->model->relid : list_nth_oid(w->m->hidden, part->number - 1);
	t.label = part->last ? w->m->model->label : strata_base_label("strata_state", get_rel_name(t.relid));
	t.columns = layers_names(layers_target_columns(t.relid));
	t.no_swap = !part->last;
	if (part->last)
	{
		t.key = w->m->key;
		t.key_word = w->m->key_word;
	}
	foreach (lc, part->keys)
		t.find = lappend(t.find, list_nth(t.columns, lfirst_int(lc) - 1));
	t.find_unique = part->keys_unique && t.find != NIL;
	return t;
}

void
layers_work_add_counts(Work *w, const StrataPart *part, const StrataDeltaCounts *counts)
{
	if (!part->last)
		return;
	w->result->counts.inserted += counts->inserted;
	w->result->counts.updated += counts->updated;
	w->result->counts.deleted += counts->deleted;
	w->result->counts.swapped |= counts->swapped;
}

List *
layers_work_with(const List *sets, StrataRowSet *one)
{
	return lappend(list_copy(sets), one);
}

/* What reads it reads the hidden table too, and knows the columns by that one's names. */
static void
note_part_change(Work *w, const StrataDeltaTarget *t, StrataRowSet *change)
{
	ListCell *lc;

	foreach (lc, t->columns)
		namestrcpy(&TupleDescAttr(change->desc, foreach_current_index(lc))->attname, lfirst(lc));
	layers_work_note_change(w, t->relid, change);
}

/* rows: those that come to the target; NULL: none do */
void
layers_work_prepare_write(Work *w, StrataRowSet *rows)
{
	const LayersHooks *hooks = w->m->hooks;

	if (hooks && hooks->before_write)
		layers_tables_add(w->m->model, hooks->before_write(w->m->model, rows, w->refresh));
	w->prepared = true;
}

static bool
asks_for_written(const Work *w, const StrataPart *part)
{
	return part->last && w->m->hooks && w->m->hooks->complete;
}

static bool
write_signed(Work *w, const StrataPart *part, const StrataDeltaTarget *t, StrataRowSet *change,
			 StrataDeltaCounts *counts)
{
	const LayersHooks *hooks = w->m->hooks;

	if (change->count == 0)
		return true;
	if (!part->last)
		return strata_delta_apply_signed(t, change, w->refresh->snapshot, counts);
	layers_work_prepare_write(w, change);
	if (hooks && hooks->write)
		return hooks->write(w->m->model, change, w->refresh, counts);
	return strata_delta_apply_signed(t, change, w->refresh->snapshot, counts);
}

/* The change of a part's rows as signed rows: written, and handed on. */
bool
layers_work_apply_signed(Work *w, const StrataPart *part, StrataRowSet *change)
{
	StrataDeltaTarget t = layers_work_target(w, part);
	StrataDeltaCounts counts = {0};

	if (!write_signed(w, part, &t, change, &counts))
	{
		*w->failure = psprintf("%s does not hold the rows that are to go", t.label);
		return false;
	}
	layers_work_add_counts(w, part, &counts);
	if (change->count > 0 && !part->last)
		note_part_change(w, &t, change);
	else if (asks_for_written(w, part))
		w->written = change;
	else
		strata_rowset_free(change);
	return true;
}

/* The rows in scope become those of the query: written, and what changed handed on. */
void
layers_work_apply(Work *w, const StrataPart *part, const char *sql, List *rowsets, const char *scope)
{
	StrataDeltaTarget t = layers_work_target(w, part);
	StrataDeltaCounts counts = {0};
	StrataRowSet *rows = NULL;
	StrataRowSet *change;

	if (part->last && w->m->hooks && w->m->hooks->before_write)
	{
		rows = strata_base_run_rowset("strata_rows", sql, NULL, w->refresh->snapshot, rowsets);
		layers_work_prepare_write(w, rows);
		sql = "SELECT * FROM strata_rows";
		rowsets = lappend(list_copy(rowsets), rows);
	}
	change = strata_delta_apply_part(&t, sql, NULL, w->refresh->snapshot, rowsets, scope,
									 part->last && !asks_for_written(w, part) ? NULL : layers_work_set_name(t.relid),
									 &counts);
	if (rows)
		strata_rowset_free(rows);
	if (asks_for_written(w, part))
		w->written = change;
	else if (change && change->count > 0)
		note_part_change(w, &t, change);
	layers_work_add_counts(w, part, &counts);
}
