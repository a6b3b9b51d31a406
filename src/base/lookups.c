/*
 * lookups.c: rows of a row set looked up in tables, by their keys.
 *
 * To the planner an index that keeps intervals apart (GiST, of an exclusion constraint) costs what a btree costs that begins with the same column;
 * to look a version up by it takes six times as long.
 *
 * And a look-up in each partition of a table costs it little more than the pages it meets, which are in memory; to begin the scan takes longer than that.
 */
#include "postgres.h"

#include "base/base_internal.h"
#include "access/sysattr.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "parser/parsetree.h"
#include "optimizer/plancat.h"

/* Of an index scan that begins anew, in units of the planner (8 microseconds); measured. */
#define BEGIN_COST 0.6

static get_relation_info_hook_type previous_hook = NULL;
static set_rel_pathlist_hook_type previous_pathlist_hook = NULL;
bool strata_lookups_priced = false;
static bool looking_up = false;

static bool
has_btree(const RelOptInfo *rel, int column)
{
	ListCell *lc;

	foreach (lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(lc);

		if (index->relam == BTREE_AM_OID && index->indpred == NIL && index->indexkeys[0] == column)
			return true;
	}
	return false;
}

static void
relation_info(PlannerInfo *root, Oid relid, bool inherits, RelOptInfo *rel)
{
	ListCell *lc;

	if (previous_hook)
		previous_hook(root, relid, inherits, rel);
	if (!looking_up)
		return;
	foreach (lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(lc);

		if (index->relam == GIST_AM_OID && index->indexkeys[0] != 0 && has_btree(rel, index->indexkeys[0]))
			rel->indexlist = foreach_delete_current(rel->indexlist, lc);
	}
}

/* The column of the partition that tells it from others, by attribute; 0: it takes more than one, or an expression. */
static AttrNumber
telling_column(PlannerInfo *root, const AppendRelInfo *child)
{
	RelOptInfo *parent = find_base_rel(root, child->parent_relid);
	Var *var;

	if (parent->part_scheme == NULL || parent->part_scheme->partnatts != 1 || parent->partexprs == NULL ||
		parent->partexprs[0] == NIL)
		return 0;
	var = linitial(parent->partexprs[0]);
	if (!IsA(var, Var) || var->varattno <= 0)
		return 0;
	var = list_nth(child->translated_vars, var->varattno - 1);
	return var && IsA(var, Var) ? var->varattno : 0;
}

/* Whether the look-up goes by the column that tells partitions: then but one is looked into. */
static bool
is_pruned(const Path *path, Index relid, AttrNumber column)
{
	Bitmapset *columns = NULL;
	ListCell *lc;

	foreach (lc, path->param_info->ppi_clauses)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause, relid, &columns);
	return column != 0 && bms_is_member(column - FirstLowInvalidHeapAttributeNumber, columns);
}

static void
price_lookups(PlannerInfo *root, RelOptInfo *rel, Index relid, RangeTblEntry *rte)
{
	const AppendRelInfo *child;
	ListCell *lc;

	if (previous_pathlist_hook)
		previous_pathlist_hook(root, rel, relid, rte);
	if (!strata_lookups_priced || rel->reloptkind != RELOPT_OTHER_MEMBER_REL || root->append_rel_array == NULL)
		return;
	child = root->append_rel_array[relid];
	if (child == NULL || child->parent_relid == 0 ||
		planner_rt_fetch(child->parent_relid, root)->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	foreach (lc, rel->pathlist)
	{
		Path *path = lfirst(lc);

		if (!IsA(path, IndexPath) || path->param_info == NULL || is_pruned(path, relid, telling_column(root, child)))
			continue;
		path->startup_cost += BEGIN_COST;
		path->total_cost += BEGIN_COST;
	}
}

StrataRowSet *
strata_base_run_lookups(const char *name, const char *sql, Snapshot snapshot, List *rowsets)
{
	StrataRowSet *volatile set = NULL;
	bool before = looking_up;

	looking_up = true;
	PG_TRY();
	{
		set = strata_base_run_rowset(name, sql, NULL, snapshot, rowsets);
	}
	PG_FINALLY();
	{
		looking_up = before;
	}
	PG_END_TRY();
	return set;
}

void
base_lookups_init(void)
{
	previous_hook = get_relation_info_hook;
	get_relation_info_hook = relation_info;
	previous_pathlist_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = price_lookups;
}
