/*
 * expression.c
 *		An expression into edges: sink is made from every column in it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/nodeFuncs.h"

#include "lineage/lineage_internal.h"

typedef struct ExpressionWalk
{
	LineageWalk *walk;
	LineageLevel *level;
	int sink;
	StrataEdgeKind kind;
} ExpressionWalk;

static bool expression_walker(Node *node, void *context);

static void
walk_as(ExpressionWalk *context, Node *node, StrataEdgeKind kind)
{
	ExpressionWalk inner = *context;

	inner.kind = Max(inner.kind, kind);
	expression_walker(node, &inner);
}

static void
link_var(ExpressionWalk *context, Var *var)
{
	LineageLevel *level = context->level;

	for (Index up = var->varlevelsup; up > 0 && level != NULL; up--)
		level = level->parent;
	if (level == NULL)
		return;
	strata_lineage_graph_link(&context->walk->graph, context->sink,
							  strata_lineage_column_node(context->walk, level, (Index) var->varno, var->varattno),
							  context->kind);
}

/*
 * A window function: its arguments (an aggregate's as AGGREGATE), and what
 * its window is cut and sorted by.
 */
static void
walk_window_function(ExpressionWalk *context, WindowFunc *function)
{
	LineageLevel *level = context->level;
	StrataEdgeKind kind = function->winagg ? STRATA_EDGE_AGGREGATE : STRATA_EDGE_DERIVED;
	ListCell *cell;

	walk_as(context, (Node *) function->args, kind);
	walk_as(context, (Node *) function->aggfilter, kind);
	foreach (cell, level->query->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, cell);

		if (window->winref != function->winref)
			continue;
		kind = Max(context->kind, STRATA_EDGE_DERIVED);
		strata_lineage_link_sort_clauses(context->walk, level, context->sink, window->partitionClause, kind);
		strata_lineage_link_sort_clauses(context->walk, level, context->sink, window->orderClause, kind);
		walk_as(context, window->startOffset, STRATA_EDGE_DERIVED);
		walk_as(context, window->endOffset, STRATA_EDGE_DERIVED);
	}
}

/*
 * A subquery in an expression. Its conditions count as conditions of the
 * query; its columns make the value, except for EXISTS, whose value is made
 * by its conditions alone.
 */
static void
walk_sublink(ExpressionWalk *context, SubLink *link)
{
	LineageGraph *graph = &context->walk->graph;
	StrataEdgeKind kind = Max(context->kind, STRATA_EDGE_DERIVED);
	LineageLevel *child;

	walk_as(context, link->testexpr, STRATA_EDGE_DERIVED);
	if (link->subselect == NULL || !IsA(link->subselect, Query))
		return;
	child = strata_lineage_walk_query(context->walk, (Query *) link->subselect, context->level);
	strata_lineage_graph_link(graph, context->level->filter, child->filter, STRATA_EDGE_DERIVED);
	if (link->subLinkType == EXISTS_SUBLINK)
		strata_lineage_graph_link(graph, context->sink, child->filter, kind);
	else
	{
		ListCell *cell;

		foreach (cell, ((Query *) link->subselect)->targetList)
		{
			TargetEntry *target = lfirst_node(TargetEntry, cell);

			if (!target->resjunk)
				strata_lineage_graph_link(graph, context->sink, child->targets[target->resno - 1] - 1, kind);
		}
	}
}

static bool
expression_walker(Node *node, void *context)
{
	ExpressionWalk *here = context;

	if (node == NULL)
		return false;
	check_stack_depth();
	strata_lineage_calls_note(&here->walk->calls, node);
	switch (nodeTag(node))
	{
		case T_Var:
			link_var(here, (Var *) node);
			return false;
		case T_Aggref:
			/* direct arguments, arguments with their order, filter: all of it goes through the aggregate */
			if (here->kind < STRATA_EDGE_AGGREGATE)
			{
				ExpressionWalk inner = *here;

				inner.kind = STRATA_EDGE_AGGREGATE;
				return expression_tree_walker(node, expression_walker, &inner);
			}
			break;
		case T_WindowFunc:
			walk_window_function(here, (WindowFunc *) node);
			return false;
		case T_SubLink:
			walk_sublink(here, (SubLink *) node);
			return false;
		case T_Query:
			return false; /* only SubLinks hold queries here */
		default:
			break;
	}
	return expression_tree_walker(node, expression_walker, context);
}

/*
 * Edges from sink to every column of an expression. A plain column is linked
 * as `kind` says, anything computed at least as DERIVED. Another name for
 * the type or another collation leaves the value as it is.
 */
void
strata_lineage_link_expression(LineageWalk *walk, LineageLevel *level, int sink, Node *expression, StrataEdgeKind kind)
{
	ExpressionWalk context = {.walk = walk, .level = level, .sink = sink, .kind = kind};

	for (;;)
	{
		if (expression == NULL)
			return;
		if (IsA(expression, RelabelType))
			expression = (Node *) ((RelabelType *) expression)->arg;
		else if (IsA(expression, CollateExpr))
			expression = (Node *) ((CollateExpr *) expression)->arg;
		else
			break;
	}
	if (!IsA(expression, Var))
		context.kind = Max(kind, STRATA_EDGE_DERIVED);
	expression_walker(expression, &context);
}
