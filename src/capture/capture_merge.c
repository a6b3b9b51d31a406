/*
 * capture_merge.c: rows that a MERGE moves to another partition.
 *
 * PostgreSQL shows such a row as deleted and as inserted, not as updated. But a MERGE fires the triggers of the events that it
 * has actions for: with an UPDATE action and no DELETE action nobody is told of the row that left, without an INSERT
 * action of the one that came. The statement's end is looked at for that, and the table marked. Whoever moves
 * rows so has fired our UPDATE trigger, if for no rows, so that the library is there by then.
 */
#include "postgres.h"

#include "capture/capture_internal.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "utils/partcache.h"

static ExecutorEnd_hook_type former_hook = NULL;

/* Whether the action can change where rows of the partition belong. A trigger can set any column. */
static bool
can_move(ResultRelInfo *partition, EState *estate)
{
	Bitmapset *key = NULL;

	if (partition->ri_TrigDesc && partition->ri_TrigDesc->trig_update_before_row)
		return true;
	pull_varattnos((Node *) RelationGetPartitionQual(partition->ri_RelationDesc), 1, &key);
	return bms_overlap(key, ExecGetUpdatedCols(partition, estate));
}

/* In this transaction, as far as is known: where nothing is counted, they may have. */
static bool
rows_left(Relation partition)
{
	PgStat_TableXactStatus *counts;

	if (partition->pgstat_info == NULL)
		return !partition->pgstat_enabled;
	for (counts = partition->pgstat_info->trans; counts != NULL; counts = counts->upper)
		if (counts->tuples_deleted > 0)
			return true;
	return false;
}

static bool
may_have_moved(ModifyTableState *merge, EState *estate)
{
	if (merge->mt_partition_tuple_routing == NULL)
		return false;
	/* without INSERT actions it is there for the first row that moves */
	if (!(merge->mt_merge_subcommands & MERGE_INSERT))
		return true;
	for (int i = 0; i < merge->mt_nrels; i++)
		if (rows_left(merge->resultRelInfo[i].ri_RelationDesc) && can_move(&merge->resultRelInfo[i], estate))
			return true;
	return false;
}

static void
look_at(PlanState *node, EState *estate)
{
	ModifyTableState *merge = (ModifyTableState *) node;
	int both = MERGE_INSERT | MERGE_DELETE;
	Relation target;

	if (!IsA(node, ModifyTableState) || merge->operation != CMD_MERGE ||
		!(merge->mt_merge_subcommands & MERGE_UPDATE) || (merge->mt_merge_subcommands & both) == both)
		return;
	target = merge->rootResultRelInfo->ri_RelationDesc;
	if (target->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && may_have_moved(merge, estate))
		capture_write_mark_source(target, "MERGE moved rows between partitions");
}

/* For any other statement: two comparisons. */
static void
executor_end(QueryDesc *query)
{
	if ((query->operation == CMD_MERGE || query->plannedstmt->hasModifyingCTE) &&
		!(query->estate->es_top_eflags & EXEC_FLAG_EXPLAIN_ONLY))
	{
		ListCell *lc;

		look_at(query->planstate, query->estate);
		foreach (lc, query->estate->es_auxmodifytables)
			look_at(lfirst(lc), query->estate);
	}
	if (former_hook)
		former_hook(query);
	else
		standard_ExecutorEnd(query);
}

void
capture_merge_init(void)
{
	former_hook = ExecutorEnd_hook;
	ExecutorEnd_hook = executor_end;
}
