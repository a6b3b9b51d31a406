/*
 * split.c: one level of a query into two, the upper one reading the lower.
 */
#include "postgres.h"

#include "catalog/pg_aggregate.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "incremental/incremental_internal.h"

bool
incremental_groups(Query *query)
{
	return query->groupClause != NIL || query->groupingSets != NIL || query->hasAggs || query->havingQual != NULL;
}

Var *
incremental_column(Index varno, AttrNumber number, Node *of)
{
	return makeVar(varno, number, exprType(of), exprTypmod(of), exprCollation(of), 0);
}

void
incremental_renumber(Query *query)
{
	List *visible = incremental_visible(query);
	AttrNumber number = 0;
	ListCell *lc;

	foreach (lc, query->targetList)
		if (lfirst_node(TargetEntry, lc)->resjunk)
			visible = lappend(visible, lfirst(lc));
	foreach (lc, visible)
		lfirst_node(TargetEntry, lc)->resno = ++number;
	query->targetList = visible;
}

static List *
column_names(Query *query)
{
	List *names = NIL;
	ListCell *lc;

	foreach (lc, incremental_visible(query))
	{
		TargetEntry *entry = lfirst(lc);

		names = lappend(names, makeString(pstrdup(entry->resname == NULL ? "?column?" : entry->resname)));
	}
	return names;
}

RangeTblEntry *
incremental_subquery_entry(Query *query, const char *alias)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->alias = makeAlias(alias, NIL);
	rte->eref = makeAlias(alias, column_names(query));
	rte->inFromCl = true;
	return rte;
}

static Query *
reads(Query *inner, const char *alias, Node *quals)
{
	Query *query = makeNode(Query);
	RangeTblRef *reference = makeNode(RangeTblRef);

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->rtable = list_make1(incremental_subquery_entry(inner, alias));
	reference->rtindex = 1;
	query->jointree = makeFromExpr(list_make1(reference), quals);
	return query;
}

Query *
incremental_select_from(Query *inner, const char *alias)
{
	Query *query = reads(inner, alias, NULL);
	ListCell *lc;

	foreach (lc, incremental_visible(inner))
	{
		TargetEntry *entry = lfirst(lc);
		Var *column = incremental_column(1, entry->resno, (Node *) entry->expr);

		query->targetList =
			lappend(query->targetList, makeTargetEntry((Expr *) column, entry->resno, entry->resname, false));
	}
	return query;
}

static bool
has_reference(List *clauses, Index reference)
{
	ListCell *lc;

	foreach (lc, clauses)
		if (lfirst_node(SortGroupClause, lc)->tleSortGroupRef == reference)
			return true;
	return false;
}

/* A name that none of the entries has. */
static char *
free_name(List *entries, const char *name)
{
	char *candidate = pstrdup(name);
	int suffix = 0;
	bool taken;

	do
	{
		ListCell *lc;

		taken = false;
		foreach (lc, entries)
		{
			TargetEntry *entry = lfirst(lc);

			taken |= !entry->resjunk && entry->resname != NULL && strcmp(entry->resname, candidate) == 0;
		}
		if (taken)
			candidate = psprintf("%.50s_%d", name, ++suffix);
	} while (taken);
	return candidate;
}

Query *
incremental_split_top(Query *inner, bool distinct_on)
{
	Query *query;
	List *junk = NIL;
	ListCell *lc;

	/* what the upper level sorts by becomes a column */
	foreach (lc, inner->targetList)
	{
		TargetEntry *entry = lfirst(lc);

		if (!entry->resjunk || !(has_reference(inner->sortClause, entry->ressortgroupref) ||
								 (distinct_on && has_reference(inner->distinctClause, entry->ressortgroupref))))
			continue;
		entry->resname = free_name(inner->targetList, "strata_sort");
		entry->resjunk = false;
		junk = lappend(junk, entry);
	}
	incremental_renumber(inner);
	query = incremental_select_from(inner, "s");
	foreach (lc, query->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		TargetEntry *below = list_nth_node(TargetEntry, inner->targetList, entry->resno - 1);

		if (has_reference(inner->sortClause, below->ressortgroupref) ||
			(distinct_on && has_reference(inner->distinctClause, below->ressortgroupref)))
			entry->ressortgroupref = below->ressortgroupref;
		entry->resjunk = list_member_ptr(junk, below);
	}
	query->sortClause = inner->sortClause;
	query->limitOffset = inner->limitOffset;
	query->limitCount = inner->limitCount;
	query->limitOption = inner->limitOption;
	inner->sortClause = NIL;
	inner->limitOffset = inner->limitCount = NULL;
	inner->limitOption = LIMIT_OPTION_COUNT;
	if (distinct_on)
	{
		query->distinctClause = inner->distinctClause;
		query->hasDistinctOn = true;
		inner->distinctClause = NIL;
		inner->hasDistinctOn = false;
	}
	query->hasSubLinks = checkExprHasSubLink(query->limitOffset) || checkExprHasSubLink(query->limitCount);
	return query;
}

Query *
incremental_distinct_to_group(Query *inner)
{
	Query *query = inner;

	if (incremental_groups(inner) || inner->hasWindowFuncs || inner->setOperations != NULL || inner->hasTargetSRFs)
	{
		ListCell *lc;

		query = incremental_select_from(inner, "d");
		foreach (lc, query->targetList)
		{
			TargetEntry *entry = lfirst(lc);

			entry->ressortgroupref = list_nth_node(TargetEntry, inner->targetList, entry->resno - 1)->ressortgroupref;
		}
	}
	query->groupClause = inner->distinctClause;
	inner->distinctClause = NIL;
	return query;
}

/* ---- grouping below what is computed from groups ---- */

typedef struct Lower
{
	Query *inner;
	List *keys; /* TargetEntry *: of the groups */
	int depth;
} Lower;

/* The column of the inner query that is the expression, which stands depth levels below it. */
static Node *
lowered(Lower *context, Node *expression)
{
	Node *plain = copyObject(expression);
	TargetEntry *entry = NULL;
	ListCell *lc;
	Var *column;

	if (context->depth > 0)
		IncrementVarSublevelsUp(plain, -context->depth, context->depth);
	foreach (lc, context->inner->targetList)
		if (equal(lfirst_node(TargetEntry, lc)->expr, plain))
			entry = lfirst(lc);
	if (entry == NULL)
	{
		char *name = IsA(plain, Aggref) ? "a" : "c";

		name = psprintf("%s%d", name, list_length(context->inner->targetList) + 1);
		entry = makeTargetEntry((Expr *) plain, list_length(context->inner->targetList) + 1, name, false);
		context->inner->targetList = lappend(context->inner->targetList, entry);
	}
	column = incremental_column(1, entry->resno, plain);
	column->varlevelsup = context->depth;
	return (Node *) column;
}

static bool
is_key(Lower *context, Node *node)
{
	ListCell *lc;

	foreach (lc, context->keys)
	{
		Node *key = (Node *) lfirst_node(TargetEntry, lc)->expr;

		if (context->depth > 0)
		{
			key = copyObject(key);
			IncrementVarSublevelsUp(key, context->depth, 0);
		}
		if (equal(key, node))
			return true;
	}
	return false;
}

static Node *
lower_mutator(Node *node, Lower *context)
{
	if (node == NULL)
		return NULL;
	if (is_key(context, node))
		return lowered(context, node);
	if (IsA(node, Aggref) && (int) ((Aggref *) node)->agglevelsup == context->depth)
		return lowered(context, node);
	if (IsA(node, GroupingFunc) && (int) ((GroupingFunc *) node)->agglevelsup == context->depth)
		return lowered(context, node);
	if (IsA(node, Var) && (int) ((Var *) node)->varlevelsup == context->depth)
		return lowered(context, node);
	if (IsA(node, Query))
	{
		Query *query;

		context->depth++;
		query = query_tree_mutator((Query *) node, lower_mutator, context, QTW_IGNORE_JOINALIASES);
		context->depth--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, lower_mutator, context);
}

Query *
incremental_split_grouping(Query *query)
{
	Query *inner = makeNode(Query);
	Lower context = {inner, NIL, 0};
	Query *outer;
	Node *having = NULL;
	ListCell *lc;

	inner->commandType = CMD_SELECT;
	inner->querySource = QSRC_ORIGINAL;
	inner->canSetTag = true;
	inner->rtable = query->rtable;
	inner->jointree = query->jointree;
	inner->groupClause = query->groupClause;
	inner->groupDistinct = query->groupDistinct;
	inner->groupingSets = query->groupingSets;
	inner->hasAggs = query->hasAggs;
	inner->hasSubLinks = query->hasSubLinks;
	if (checkExprHasSubLink(query->havingQual))
		having = query->havingQual;
	else
		inner->havingQual = query->havingQual;
	foreach (lc, query->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		TargetEntry *key;
		AttrNumber number = list_length(inner->targetList) + 1;

		if (!has_reference(query->groupClause, entry->ressortgroupref))
			continue;
		key = makeTargetEntry(copyObject(entry->expr), number, psprintf("g%d", number), false);
		key->ressortgroupref = entry->ressortgroupref;
		inner->targetList = lappend(inner->targetList, key);
		context.keys = lappend(context.keys, key);
	}
	query->targetList = (List *) lower_mutator((Node *) query->targetList, &context);
	query->windowClause = (List *) lower_mutator((Node *) query->windowClause, &context);
	having = lower_mutator(having, &context);
	query->limitOffset = lower_mutator(query->limitOffset, &context);
	query->limitCount = lower_mutator(query->limitCount, &context);

	outer = reads(inner, "g", having);
	outer->targetList = query->targetList;
	outer->windowClause = query->windowClause;
	outer->distinctClause = query->distinctClause;
	outer->hasDistinctOn = query->hasDistinctOn;
	outer->sortClause = query->sortClause;
	outer->limitOffset = query->limitOffset;
	outer->limitCount = query->limitCount;
	outer->limitOption = query->limitOption;
	outer->hasWindowFuncs = query->hasWindowFuncs;
	outer->hasTargetSRFs = query->hasTargetSRFs;
	outer->hasSubLinks = query->hasSubLinks;
	/* entries that only the grouping needed */
	foreach (lc, outer->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		ListCell *window;
		bool needed = !entry->resjunk || has_reference(outer->sortClause, entry->ressortgroupref) ||
					  has_reference(outer->distinctClause, entry->ressortgroupref);

		foreach (window, outer->windowClause)
			needed |= has_reference(lfirst_node(WindowClause, window)->partitionClause, entry->ressortgroupref) ||
					  has_reference(lfirst_node(WindowClause, window)->orderClause, entry->ressortgroupref);
		if (!needed)
			outer->targetList = foreach_delete_current(outer->targetList, lc);
	}
	incremental_renumber(outer);
	return outer;
}

/* ---- aggregates of distinct values, over all rows ---- */

typedef struct Distinct
{
	Node *argument; /* of all aggregates; NULL: none was met */
	bool others;    /* aggregates of another kind, or of something else */
	bool replace;
} Distinct;

static Node *
distinct_mutator(Node *node, Distinct *context)
{
	Aggref *aggregate = (Aggref *) node;

	if (node == NULL || IsA(node, Query))
		return node;
	if (!IsA(node, Aggref) || aggregate->agglevelsup > 0)
		return expression_tree_mutator(node, distinct_mutator, context);
	if (context->replace)
	{
		aggregate = copyObject(aggregate);
		aggregate->aggdistinct = NIL;
		linitial_node(TargetEntry, aggregate->args)->expr = (Expr *) incremental_column(1, 1, context->argument);
		return (Node *) aggregate;
	}
	if (aggregate->aggdistinct == NIL || aggregate->aggorder != NIL || list_length(aggregate->args) != 1 ||
		aggregate->aggfilter != NULL || aggregate->aggkind != AGGKIND_NORMAL ||
		(context->argument != NULL && !equal(context->argument, linitial_node(TargetEntry, aggregate->args)->expr)))
		context->others = true;
	else
		context->argument = (Node *) linitial_node(TargetEntry, aggregate->args)->expr;
	return node;
}

Query *
incremental_split_distinct(Query *query)
{
	Distinct context = {NULL, false, false};
	Query *inner, *outer;
	SortGroupClause *clause;
	Oid greater;

	distinct_mutator((Node *) query->targetList, &context);
	distinct_mutator(query->havingQual, &context);
	if (context.others || context.argument == NULL || query->groupClause != NIL ||
		checkExprHasSubLink(context.argument))
		return NULL;
	inner = incremental_core(query, list_make1(context.argument));
	clause = makeNode(SortGroupClause);
	get_sort_group_operators(exprType(context.argument), false, true, false, &clause->sortop, &clause->eqop, &greater,
							 &clause->hashable);
	clause->tleSortGroupRef = linitial_node(TargetEntry, inner->targetList)->ressortgroupref = 1;
	inner->groupClause = list_make1(clause);
	context.replace = true;
	outer = reads(inner, "v", NULL);
	outer->targetList = (List *) distinct_mutator((Node *) query->targetList, &context);
	outer->havingQual = distinct_mutator(query->havingQual, &context);
	outer->hasAggs = true;
	return outer;
}

/* ---- the rows below grouping and windows ---- */

typedef struct Arguments
{
	List *found;
	bool below;
} Arguments;

static bool
argument_walker(Node *node, Arguments *context)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
	{
		Aggref *aggregate = (Aggref *) node;

		foreach (lc, aggregate->args)
			context->found = lappend(context->found, lfirst_node(TargetEntry, lc)->expr);
		foreach (lc, aggregate->aggdirectargs)
			context->found = lappend(context->found, lfirst(lc));
		if (aggregate->aggfilter != NULL)
			context->found = lappend(context->found, aggregate->aggfilter);
		return false;
	}
	if (IsA(node, WindowFunc))
	{
		foreach (lc, ((WindowFunc *) node)->args)
			context->found = lappend(context->found, lfirst(lc));
		if (((WindowFunc *) node)->aggfilter != NULL)
			context->found = lappend(context->found, ((WindowFunc *) node)->aggfilter);
		return false;
	}
	return expression_tree_walker(node, argument_walker, context);
}

/* Arguments take the places of the window functions around them. */
static Node *
unwindow_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, WindowFunc))
		return (Node *) makeNullConst(((WindowFunc *) node)->wintype, -1, ((WindowFunc *) node)->wincollid);
	if (IsA(node, Query))
		return node;
	return expression_tree_mutator(node, unwindow_mutator, context);
}

List *
incremental_row_expressions(Query *query, bool sublinks)
{
	Arguments context = {NIL, false};
	List *chosen = NIL;
	ListCell *lc;

	argument_walker((Node *) query->targetList, &context);
	argument_walker(query->havingQual, &context);
	foreach (lc, query->targetList)
	{
		TargetEntry *entry = lfirst(lc);

		if (has_reference(query->groupClause, entry->ressortgroupref))
			context.found = lappend(context.found, entry->expr);
		else if (!incremental_groups(query))
			context.found = lappend(context.found, unwindow_mutator((Node *) entry->expr, NULL));
	}
	foreach (lc, context.found)
		if (!sublinks || checkExprHasSubLink(lfirst(lc)))
			chosen = lappend(chosen, copyObject(lfirst(lc)));
	return chosen;
}

Query *
incremental_core(Query *level, List *expressions)
{
	Query *query = makeNode(Query);
	AttrNumber number = 0;
	ListCell *lc;

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->rtable = copyObject(level->rtable);
	query->jointree = copyObject(level->jointree);
	foreach (lc, expressions)
	{
		number++;
		query->targetList =
			lappend(query->targetList, makeTargetEntry(copyObject(lfirst(lc)), number, psprintf("k%d", number), false));
	}
	query->hasSubLinks = level->hasSubLinks;
	query->hasTargetSRFs = expression_returns_set((Node *) query->targetList);
	return query;
}

RangeTblEntry *
incremental_only_subquery(Query *query)
{
	RangeTblEntry *rte;

	if (query->setOperations != NULL || list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef))
		return NULL;
	rte = rt_fetch(linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex, query->rtable);
	return rte->rtekind == RTE_SUBQUERY ? rte : NULL;
}
