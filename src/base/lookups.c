/*
 * lookups.c: rows of a row set looked up in tables, by their keys.
 *
 * To the planner an index that keeps intervals apart (GiST, of an exclusion constraint) costs what a btree costs that begins with the same column;
 * to look a version up by it takes six times as long.
 */
#include "postgres.h"

#include "base/base_internal.h"
#include "catalog/pg_am.h"
#include "optimizer/plancat.h"

static get_relation_info_hook_type previous_hook = NULL;
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
}
