/*
 * normalise.c: one query tree, without what only names or orders things: views, CTEs, aliases of joins, ORDER BY.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "incremental/incremental_internal.h"

/* A CTE is written out at each place that reads it; chains of them could grow without bound. */
#define MAX_ENTRIES 2000

typedef struct Normalise
{
	int entries;
	Node *ordered; /* a query whose order is that of an array */
	char *refusal;
	List *opaque; /* Oid: views that stay */
	bool names;   /* of columns are values of the result */
} Normalise;

static void normalise(Normalise *n, Query *query);

/* ---- levels ---- */

static bool
outer_reference(Node *node, int *depth)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup > *depth;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup > *depth)
		return true;
	if (IsA(node, GroupingFunc))
		return ((GroupingFunc *) node)->agglevelsup > *depth;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		return rte->rtekind == RTE_CTE && (int) rte->ctelevelsup > *depth;
	}
	if (IsA(node, Query))
	{
		bool found;

		(*depth)++;
		found =
			query_tree_walker((Query *) node, outer_reference, depth, QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
		(*depth)--;
		return found;
	}
	return expression_tree_walker(node, outer_reference, depth);
}

bool
incremental_is_closed(Query *query)
{
	int depth = 0;

	return !query_tree_walker(query, outer_reference, &depth, QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
}

static bool
note_member(Node *node, Bitmapset **members)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
	{
		*members = bms_add_member(*members, ((RangeTblRef *) node)->rtindex);
		return false;
	}
	if (IsA(node, JoinExpr))
	{
		*members = bms_add_member(*members, ((JoinExpr *) node)->rtindex);
		return note_member(((JoinExpr *) node)->larg, members) || note_member(((JoinExpr *) node)->rarg, members);
	}
	if (IsA(node, FromExpr))
	{
		ListCell *lc;

		foreach (lc, ((FromExpr *) node)->fromlist)
			note_member(lfirst(lc), members);
		return false;
	}
	if (IsA(node, SetOperationStmt))
	{
		note_member(((SetOperationStmt *) node)->larg, members);
		return note_member(((SetOperationStmt *) node)->rarg, members);
	}
	return false;
}

Bitmapset *
incremental_members(Query *query)
{
	Bitmapset *members = NULL;

	note_member((Node *) query->jointree, &members);
	note_member(query->setOperations, &members);
	return members;
}

List *
incremental_visible(Query *query)
{
	List *visible = NIL;
	ListCell *lc;

	foreach (lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			visible = lappend(visible, lfirst(lc));
	return visible;
}

/* Names of the output; PostgreSQL prints those of the first branch of a set operation. */
void
incremental_rename(Query *query, List *names)
{
	Node *first = query->setOperations;
	ListCell *entry, *name;

	forboth (entry, incremental_visible(query), name, names)
		lfirst_node(TargetEntry, entry)->resname = pstrdup(strVal(lfirst(name)));
	if (first == NULL)
		return;
	while (IsA(first, SetOperationStmt))
		first = ((SetOperationStmt *) first)->larg;
	incremental_rename(rt_fetch(((RangeTblRef *) first)->rtindex, query->rtable)->subquery, names);
}

/* ---- joins, groups: variables that stand for others ---- */

static Node *
flatten(Query *query, Node *node)
{
	return node == NULL ? NULL : strata_flatten_join_aliases(query, node);
}

static void
plain_joins(Query *query, Node *node)
{
	ListCell *lc;

	if (node == NULL)
		return;
	if (IsA(node, FromExpr))
	{
		foreach (lc, ((FromExpr *) node)->fromlist)
			plain_joins(query, lfirst(lc));
		return;
	}
	if (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;
		RangeTblEntry *rte = rt_fetch(join->rtindex, query->rtable);

		join->isNatural = false;
		join->usingClause = NIL;
		join->join_using_alias = NULL;
		join->alias = NULL;
		rte->alias = NULL;
		rte->join_using_alias = NULL;
		plain_joins(query, join->larg);
		plain_joins(query, join->rarg);
	}
}

/* Every expression names columns of what is joined, so joins need no names and no USING. */
static void
flatten_joins(Query *query)
{
	ListCell *lc;
	bool joins = false;

	foreach (lc, query->rtable)
		joins |= lfirst_node(RangeTblEntry, lc)->rtekind == RTE_JOIN;
	if (!joins)
		return;
	query->targetList = (List *) flatten(query, (Node *) query->targetList);
	query->jointree = (FromExpr *) flatten(query, (Node *) query->jointree);
	query->havingQual = flatten(query, query->havingQual);
	query->windowClause = (List *) flatten(query, (Node *) query->windowClause);
	query->limitOffset = flatten(query, query->limitOffset);
	query->limitCount = flatten(query, query->limitCount);
	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		rte->subquery = (Query *) flatten(query, (Node *) rte->subquery);
		rte->functions = (List *) flatten(query, (Node *) rte->functions);
		rte->tablefunc = (TableFunc *) flatten(query, (Node *) rte->tablefunc);
		rte->values_lists = (List *) flatten(query, (Node *) rte->values_lists);
	}
	plain_joins(query, (Node *) query->jointree);
}

/* What FROM does not name (a rule's OLD and NEW, the grouping step of 18) is not read. */
static void
forget_others(Query *query)
{
	Bitmapset *members = incremental_members(query);
	Index index = 0;
	ListCell *lc;

	query->targetList = (List *) strata_flatten_groups(query, (Node *) query->targetList);
	query->havingQual = strata_flatten_groups(query, query->havingQual);
	strata_forget_groups(query);
	foreach (lc, query->rtable)
	{
		RangeTblEntry *nothing;

		if (bms_is_member(++index, members))
			continue;
		nothing = makeNode(RangeTblEntry);
		nothing->rtekind = RTE_RESULT;
		nothing->eref = makeAlias("*RESULT*", NIL);
		lfirst(lc) = nothing;
	}
}

/* ---- CTEs ---- */

typedef struct Inline
{
	CommonTableExpr *cte;
	int depth;
} Inline;

static bool
inline_walker(Node *node, Inline *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		context->depth++;
		query_tree_walker((Query *) node, inline_walker, context, QTW_EXAMINE_RTES_AFTER | QTW_IGNORE_JOINALIASES);
		context->depth--;
		return false;
	}
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		CommonTableExpr *cte = context->cte;

		if (rte->rtekind != RTE_CTE || (int) rte->ctelevelsup != context->depth ||
			strcmp(rte->ctename, cte->ctename) != 0)
			return false;
		rte->rtekind = RTE_SUBQUERY;
		rte->subquery = copyObject(castNode(Query, cte->ctequery));
		if (rte->ctelevelsup > 0)
			IncrementVarSublevelsUp((Node *) rte->subquery, rte->ctelevelsup, 1);
		incremental_rename(rte->subquery, cte->ctecolnames);
		rte->alias = makeAlias(rte->eref->aliasname, NIL);
		rte->eref = makeAlias(rte->eref->aliasname, copyObject(cte->ctecolnames));
		rte->lateral = !incremental_is_closed(rte->subquery);
		rte->ctename = NULL;
		rte->ctelevelsup = 0;
		rte->coltypes = rte->coltypmods = rte->colcollations = NIL;
		return false;
	}
	return expression_tree_walker(node, inline_walker, context);
}

static void
inline_ctes(Normalise *n, Query *query)
{
	ListCell *lc;

	foreach (lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);
		Inline context = {cte, 0};

		if (cte->cterecursive)
		{
			n->refusal = psprintf("the CTE %s is recursive", cte->ctename);
			return;
		}
		if (((Query *) cte->ctequery)->commandType != CMD_SELECT)
		{
			n->refusal = psprintf("the CTE %s writes", cte->ctename);
			return;
		}
		query_tree_walker(query, inline_walker, &context, QTW_EXAMINE_RTES_AFTER | QTW_IGNORE_JOINALIASES);
	}
	query->cteList = NIL;
}

/* ---- views ---- */

/*
 * A view reads as its own owner, the query written out reads as the caller. That is the same only when the caller may
 * read what the view reads.
 */
static bool
may_read(Query *query, Bitmapset *members)
{
	int index = -1;

	while ((index = bms_next_member(members, index)) >= 0)
	{
		RangeTblEntry *rte = rt_fetch(index, query->rtable);

		if (rte->rtekind == RTE_RELATION && pg_class_aclcheck(rte->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

static bool
may_read_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return !may_read((Query *) node, incremental_members((Query *) node)) ||
			   query_tree_walker((Query *) node, may_read_walker, context, QTW_IGNORE_JOINALIASES);
	return expression_tree_walker(node, may_read_walker, context);
}

/* Whether policies hide rows from the view's owner: then they are hidden from all who read it. */
static bool
hidden_walker(Node *node, void *context)
{
	Oid *view_owner = context;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		return rte->rtekind == RTE_RELATION && check_enable_rls(rte->relid, *view_owner, true) == RLS_ENABLED;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, hidden_walker, context,
								 QTW_IGNORE_JOINALIASES | QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, hidden_walker, context);
}

static void
expand_view(Normalise *n, RangeTblEntry *rte)
{
	Relation view = relation_open(rte->relid, AccessShareLock);
	Query *query = copyObject(get_view_query(view));
	Oid owner = view->rd_rel->relowner;
	List *names = NIL;

	for (int i = 0; i < RelationGetDescr(view)->natts; i++)
		names = lappend(names, makeString(pstrdup(NameStr(TupleDescAttr(RelationGetDescr(view), i)->attname))));
	if (owner != GetUserId() && !RelationHasSecurityInvoker(view) && may_read_walker((Node *) query, NULL))
		n->refusal = psprintf("the view %s reads what only its owner %s may read", RelationGetRelationName(view),
							  GetUserNameFromId(owner, false));
	else if (owner != GetUserId() && !RelationHasSecurityInvoker(view) && hidden_walker((Node *) query, &owner))
		n->refusal = psprintf("row-level security applies to the owner of the view %s in what it reads",
							  RelationGetRelationName(view));
	relation_close(view, NoLock);

	incremental_rename(query, names);
	/* columns that the view got later are not the entry's */
	names = list_truncate(names, list_length(rte->eref->colnames));
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->relid = InvalidOid;
	rte->relkind = 0;
	rte->rellockmode = 0;
	rte->inh = false;
	rte->alias = makeAlias(rte->eref->aliasname, NIL);
	rte->eref = makeAlias(rte->eref->aliasname, names);
	strata_forget_permissions(rte);
}

/* ---- sorting ---- */

static bool
is_referenced(Index ref, List *clauses)
{
	ListCell *lc;

	foreach (lc, clauses)
		if (lfirst_node(SortGroupClause, lc)->tleSortGroupRef == ref)
			return true;
	return false;
}

/* Entries that only sorting needs. */
static void
drop_sort(Normalise *n, Query *query)
{
	List *kept = NIL;
	ListCell *lc, *window;

	if (query->sortClause == NIL || query->limitCount != NULL || query->limitOffset != NULL || query->hasDistinctOn ||
		(Node *) query == n->ordered)
		return;
	query->sortClause = NIL;
	foreach (lc, query->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		bool needed = !entry->resjunk || is_referenced(entry->ressortgroupref, query->groupClause) ||
					  is_referenced(entry->ressortgroupref, query->distinctClause);

		foreach (window, query->windowClause)
			needed |= is_referenced(entry->ressortgroupref, lfirst_node(WindowClause, window)->partitionClause) ||
					  is_referenced(entry->ressortgroupref, lfirst_node(WindowClause, window)->orderClause);
		if (!needed && expression_returns_set((Node *) entry->expr))
			n->refusal = "ORDER BY calls a function that returns sets";
		if (needed)
			kept = lappend(kept, entry);
	}
	query->targetList = kept;
	incremental_renumber(query);
}

/* How many there are, and in which order, is nothing to EXISTS and IN. */
static void
plain_sublink(SubLink *link)
{
	Query *query = (Query *) link->subselect;
	bool one;

	query->limitCount = eval_const_expressions(NULL, query->limitCount);
	one = query->limitOffset == NULL && query->limitCount != NULL && IsA(query->limitCount, Const) &&
		  !((Const *) query->limitCount)->constisnull && DatumGetInt64(((Const *) query->limitCount)->constvalue) > 0;

	if (link->subLinkType == EXISTS_SUBLINK && one)
		query->limitCount = NULL;
	if ((link->subLinkType == EXISTS_SUBLINK || link->subLinkType == ANY_SUBLINK) && !query->hasDistinctOn &&
		query->limitCount == NULL && query->limitOffset == NULL)
		query->distinctClause = NIL;
}

static bool
reads_sorted(Query *query)
{
	ListCell *lc;

	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_SUBQUERY && rte->subquery->sortClause != NIL && rte->subquery->limitCount == NULL &&
			rte->subquery->limitOffset == NULL)
			return true;
	}
	return false;
}

static bool
normalise_walker(Node *node, Normalise *n)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
	{
		SubLink *link = (SubLink *) node;

		plain_sublink(link);
		if (link->subLinkType == ARRAY_SUBLINK)
			n->ordered = link->subselect;
		if (link->subLinkType == ARRAY_SUBLINK && n->refusal == NULL && reads_sorted((Query *) link->subselect))
			n->refusal = "an array follows the order of a sorted subquery; give it an ORDER BY of its own";
	}
	if (IsA(node, Query))
	{
		normalise(n, (Query *) node);
		return n->refusal != NULL;
	}
	return expression_tree_walker(node, normalise_walker, n);
}

static bool
is_null_constant(Node *node)
{
	return node != NULL && IsA(node, Const) && ((Const *) node)->constisnull;
}

/* Aggregates that follow the order in which a sorted subquery gives its rows: a habit that only the whole query keeps. */
static bool
follows_order(Node *node, void *context)
{
	static const char *const names[] = {"array_agg", "string_agg", "json_agg", "jsonb_agg", "xmlagg"};

	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->aggorder == NIL && ((Aggref *) node)->aggdistinct == NIL)
	{
		char *name = get_func_name(((Aggref *) node)->aggfnoid);

		for (int i = 0; i < (int) lengthof(names); i++)
			if (name != NULL && strcmp(name, names[i]) == 0)
				return true;
	}
	return expression_tree_walker(node, follows_order, context);
}

static void
normalise(Normalise *n, Query *query)
{
	ListCell *lc;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	n->entries += list_length(query->rtable);
	if (n->refusal == NULL && n->entries > MAX_ENTRIES)
		n->refusal = "with its views and CTEs written out the query is too long";
	else if (query->commandType != CMD_SELECT || query->utilityStmt != NULL)
		n->refusal = "it is no SELECT";
	else if (query->rowMarks != NIL)
		n->refusal = "it locks rows";
	if (n->refusal != NULL)
		return;
	forget_others(query);
	flatten_joins(query);
	inline_ctes(n, query);
	n->names |= incremental_write_out_rows(query);
	query->limitCount = eval_const_expressions(NULL, query->limitCount);
	query->limitOffset = eval_const_expressions(NULL, query->limitOffset);
	if (is_null_constant(query->limitCount))
		query->limitCount = NULL;
	if (is_null_constant(query->limitOffset))
		query->limitOffset = NULL;
	drop_sort(n, query);
	if (query->hasAggs && reads_sorted(query) &&
		(follows_order((Node *) query->targetList, NULL) || follows_order(query->havingQual, NULL)))
		n->refusal = "an aggregate follows the order of a sorted subquery; give it an ORDER BY of its own";
	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (n->refusal != NULL)
			return;
		if (rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_VIEW)
		{
			if (!list_member_oid(n->opaque, rte->relid))
				expand_view(n, rte);
		}
		else if (rte->rtekind == RTE_RELATION && check_enable_rls(rte->relid, InvalidOid, true) == RLS_ENABLED)
			n->refusal = psprintf("row-level security of %s applies to the model's owner", get_rel_name(rte->relid));
		if (rte->rtekind == RTE_SUBQUERY && n->refusal == NULL)
			normalise(n, rte->subquery);
	}
	if (n->refusal == NULL)
		query_tree_walker(query, normalise_walker, n, QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_JOINALIASES);
}

char *
incremental_normalise(Query *query, List *opaque, bool *names)
{
	Normalise n = {0, NULL, NULL, opaque};

	normalise(&n, query);
	*names = n.names;
	return n.refusal;
}
