/*
 * lookups.c: rows of a row set looked up in tables, by their keys.
 *
 * To the planner an index that keeps intervals apart (GiST, of an exclusion constraint) costs what a btree costs that begins with the same column;
 * to look a version up by it takes six times as long.
 *
 * And a look-up in each partition of a table costs it little more than the pages it meets, which are in memory; to begin the scan takes longer than that.
 *
 * Of a row that is looked for with EXISTS it thinks that it will be found soon. A changed row may be new, and be looked for in vain: where no index
 * finds it, a nested loop reads the table to its end for each of them. Then a hash of the table is made, once.
 */
#include "postgres.h"

#include "base/base_internal.h"
#include "access/sysattr.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "parser/parsetree.h"
#include "optimizer/plancat.h"

/* Of an index scan that begins anew, in units of the planner (8 microseconds); measured. */
#define BEGIN_COST 0.6
/* Rows that are read quickly, again and again. */
#define FEW_ROWS 100

static get_relation_info_hook_type previous_hook = NULL;
static set_rel_pathlist_hook_type previous_pathlist_hook = NULL;
static set_join_pathlist_hook_type previous_join_hook = NULL;
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

/* The conditions that rows of the two sides are hashed by. */
static List *
hash_clauses(RelOptInfo *joinrel, const RelOptInfo *outer, const RelOptInfo *inner, JoinType type, const List *all)
{
	List *clauses = NIL;
	ListCell *lc;

	foreach (lc, all)
	{
		RestrictInfo *clause = lfirst(lc);

		if (!clause->can_join || !OidIsValid(clause->hashjoinoperator) ||
			(IS_OUTER_JOIN(type) && RINFO_IS_PUSHED_DOWN(clause, joinrel->relids)))
			continue;
		if (bms_is_subset(clause->left_relids, outer->relids) && bms_is_subset(clause->right_relids, inner->relids))
			clause->outer_is_left = true;
		else if (bms_is_subset(clause->left_relids, inner->relids) &&
				 bms_is_subset(clause->right_relids, outer->relids))
			clause->outer_is_left = false;
		else
			continue;
		clauses = lappend(clauses, clause);
	}
	return clauses;
}

/* Reads all of the inner side for a row that is not found. */
static bool
reads_all(const Path *path, JoinType type)
{
	const JoinPath *join = (const JoinPath *) path;

	return IsA(path, NestPath) && join->jointype == type && PATH_REQ_OUTER(join->innerjoinpath) == NULL &&
		   join->outerjoinpath->rows > 1 && join->innerjoinpath->rows > FEW_ROWS;
}

static void
price_in_vain(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outer, RelOptInfo *inner, JoinType type,
			  JoinPathExtraData *extra)
{
	JoinCostWorkspace workspace;
	List *clauses;
	List *loops = NIL;
	ListCell *lc;

	if (previous_join_hook)
		previous_join_hook(root, joinrel, outer, inner, type, extra);
	if (!strata_lookups_priced || !enable_hashjoin || (type != JOIN_SEMI && type != JOIN_ANTI) ||
		outer->cheapest_total_path == NULL || inner->cheapest_total_path == NULL ||
		PATH_REQ_OUTER(outer->cheapest_total_path) || PATH_REQ_OUTER(inner->cheapest_total_path))
		return;
	foreach (lc, joinrel->pathlist)
		if (reads_all(lfirst(lc), type))
			loops = lappend(loops, lfirst(lc));
	if (loops == NIL || (clauses = hash_clauses(joinrel, outer, inner, type, extra->restrictlist)) == NIL)
		return;
	joinrel->pathlist = list_difference_ptr(joinrel->pathlist, loops);
	initial_cost_hashjoin(root, &workspace, type, clauses, outer->cheapest_total_path, inner->cheapest_total_path,
						  extra, false);
	add_path(joinrel,
			 (Path *) create_hashjoin_path(root, joinrel, type, &workspace, extra, outer->cheapest_total_path,
										   inner->cheapest_total_path, false, extra->restrictlist, NULL, clauses));
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
	previous_join_hook = set_join_pathlist_hook;
	set_join_pathlist_hook = price_in_vain;
}
