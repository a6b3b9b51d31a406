/*
 * layers_incremental_cost.c: which way a refresh goes: by changes, by affected keys or in full.
 */
#include "postgres.h"

#include "access/table.h"
#include "layers/layers_incremental_work.h"
#include "utils/rel.h"

/* Below so many changed rows the change is taken to be cheaper: asking the planner costs more than it could save. */
#define FEW_CHANGES 1000
/* Of a row, in the planner's units. */
#define WRITE_COST 0.06
#define COMPARE_COST 0.03

uint64
layers_work_count_changed(const Work *w)
{
	uint64 n = 0;
	ListCell *lc;

	foreach (lc, w->rowsets)
		n += ((StrataRowSet *) lfirst(lc))->count;
	return n;
}

/*
 * Whether the planner holds the statement dearer than computing in full: the part, or with all, it and what came before it, which would have to
 * be made again. times: by how much it must be.
 */
bool
layers_work_is_dearer(Work *w, const StrataPart *part, const char *sql, List *rowsets, bool all, double times)
{
	StrataEstimate change;
	StrataEstimate full;

	if (layers_work_count_changed(w) < FEW_CHANGES || strata_layers_full_cost <= 0)
		return false;
	change = strata_base_estimate(sql, rowsets);
	full = strata_base_estimate(strata_incremental_full(part), NIL);
	/* rows are written one by one, or compared and in the end written all at once */
	change.cost += WRITE_COST * change.rows;
	full.cost += COMPARE_COST * full.rows;
	w->change_cost += change.cost;
	w->full_cost += full.cost;
	return change.cost > (all ? w->full_cost : full.cost) * times * strata_layers_full_cost;
}

/* Whether so many keys are most of those there are: few changed rows may touch nearly every group, and reading all rows once is then cheaper. */
bool
layers_work_are_most(const Work *w, const StrataPart *part, uint64 keys)
{
	double groups = part->last ? w->m->model->row_count : -1;

	if (!part->keys_unique || strata_layers_full_cost <= 0)
		return false;
	if (groups < 0)
	{
		Relation rel = table_open(layers_work_target(w, part).relid, NoLock);

		groups = rel->rd_rel->reltuples;
		table_close(rel, NoLock);
	}
	return groups > 0 && keys > 0.4 * groups * strata_layers_full_cost;
}

bool
layers_work_refuse_cost(Work *w)
{
	*w->failure = psprintf("its change would cost more (%.0f) than all of it (%.0f)", w->change_cost, w->full_cost);
	return false;
}
