/*
 * linear_old.c: rows as they were, where a value before the change has to be computed.
 *
 * The rows of a relation before: those now, less the rows that came (by image, as often as they came), and the rows that went. Only
 * the columns in use count: the others are not in the row set. Conditions on the relation are copied into both parts,
 * so that an index serves the first; those from further out the planner takes there.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "incremental/linear_internal.h"
#include "nodes/bitmapset.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

typedef struct Before
{
	LinearContext *context;
	List **ctes;
} Before;

/* ---- which columns -------------------------------------------------------------------------------------- */

typedef struct Usage
{
	Query *query;
	int number;
	int sublevels;
	Bitmapset *columns;
} Usage;

static bool
usage_walker(Node *node, Usage *u)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;
		RangeTblEntry *rte;

		if (var->varlevelsup != u->sublevels)
			return false;
		rte = rt_fetch(var->varno, u->query->rtable);
		if (rte->rtekind == RTE_JOIN && var->varattno > 0)
		{
			int sublevels = u->sublevels;

			u->sublevels = 0;
			(void) usage_walker(list_nth(rte->joinaliasvars, var->varattno - 1), u);
			u->sublevels = sublevels;
		}
		else if (var->varno == u->number && var->varattno > 0)
			u->columns = bms_add_member(u->columns, var->varattno);
		return false;
	}
	if (IsA(node, Query))
	{
		u->sublevels++;
		(void) query_tree_walker((Query *) node, usage_walker, u, QTW_IGNORE_JOINALIASES);
		u->sublevels--;
		return false;
	}
	return expression_tree_walker(node, usage_walker, u);
}

/* Conditions on this entry alone (and on what is outside), where it stands in no outer join. */
static bool
collect_quals(Query *query, Node *node, int number, List **quals)
{
	List *candidates = NIL;
	bool inside = false;
	ListCell *cell;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		return ((RangeTblRef *) node)->rtindex == number;
	if (IsA(node, FromExpr))
	{
		foreach (cell, ((FromExpr *) node)->fromlist)
			inside = collect_quals(query, lfirst(cell), number, quals) || inside;
		candidates = strata_linear_conjuncts(((FromExpr *) node)->quals);
	}
	else if (((JoinExpr *) node)->jointype == JOIN_INNER)
	{
		JoinExpr *join = (JoinExpr *) node;

		inside = collect_quals(query, join->larg, number, quals);
		inside = collect_quals(query, join->rarg, number, quals) || inside;
		candidates = strata_linear_conjuncts(join->quals);
	}
	if (!inside)
		return false;
	foreach (cell, candidates)
	{
		List *vars = pull_vars_of_level(lfirst(cell), 0);
		bool alone = vars != NIL && !checkExprHasSubLink(lfirst(cell));
		ListCell *var;

		foreach (var, vars)
			alone = alone && lfirst_node(Var, var)->varno == number && lfirst_node(Var, var)->varattno > 0;
		if (alone)
			*quals = lappend(*quals, lfirst(cell));
	}
	return true;
}

/* ---- the queries ---------------------------------------------------------------------------------------- */

static Node *
image_of(RangeTblEntry *columns, const Bitmapset *used)
{
	RowExpr *row = makeNode(RowExpr);
	Oid argument = RECORDOID;
	Oid function = LookupFuncName(list_make2(makeString("strata_state"), makeString("row_image")), 1, &argument, false);
	int i = -1;

	while ((i = bms_next_member(used, i)) >= 0)
		row->args = lappend(row->args, strata_linear_column(columns, 1, i));
	if (row->args == NIL)
		row->args = list_make1(strata_linear_int(0));
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_EXPLICIT_CALL;
	row->location = -1;
	return (Node *) makeFuncExpr(function, BYTEAOID, list_make1(row), InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* All columns in their places; those not in use are NULL. */
static List *
columns_of(RangeTblEntry *columns, const Bitmapset *used, int count)
{
	List *targets = NIL;

	for (int i = 1; i <= count; i++)
	{
		const char *name = strVal(list_nth(columns->eref->colnames, i - 1));

		strata_linear_add_target(&targets,
								 bms_is_member(i, used)
									 ? (Node *) strata_linear_column(columns, 1, i)
									 : (Node *) makeNullConst(list_nth_oid(columns->coltypes, i - 1), -1,
															  list_nth_oid(columns->colcollations, i - 1)),
								 name);
	}
	return targets;
}

static Node *
sublink(SubLinkType type, Node *test, Query *query)
{
	SubLink *link = makeNode(SubLink);

	link->subLinkType = type;
	link->testexpr = test;
	link->subselect = (Node *) query;
	link->location = -1;
	return (Node *) link;
}

/* Images that came, and how often: image, n. */
static RangeTblEntry *
arrivals(Before *before, RangeTblEntry *rowset, const Bitmapset *used)
{
	Var *sign = strata_linear_sign(rowset, 1);
	List *targets = NIL;
	Query *query;
	RangeTblEntry *result;

	strata_linear_add_target(&targets, image_of(rowset, used), "image");
	strata_linear_add_target(&targets, strata_linear_aggregate(F_SUM_INT4, INT8OID, (Node *) sign), "n");
	query = strata_linear_query(list_make1(copyObject(rowset)),
								list_make1(strata_linear_op(">", copyObject((Node *) sign), strata_linear_int(0))),
								targets);
	query->groupClause = strata_linear_group(targets, 1, 1);
	query->hasAggs = true;
	result = strata_linear_subquery(query, "came", false);
	strata_linear_with(before->context, before->ctes, result, "came");
	return result;
}

/* Rows now that did not come. */
static Query *
remaining(Before *before, RangeTblEntry *relation, RangeTblEntry *rowset, const Bitmapset *used, int count, List *quals)
{
	RangeTblEntry *came = arrivals(before, rowset, used), *numbered;
	List *targets = columns_of(rowset, used, count), *result = NIL, *one = NIL, *n = NIL;
	Query *query;
	WindowClause *window = makeNode(WindowClause);
	WindowFunc *number = makeNode(WindowFunc);
	Param *param = makeNode(Param);
	Var *image, *copy;
	Node *among, *times;

	strata_linear_add_target(&targets, image_of(rowset, used), "strata_image");
	query = strata_linear_query(list_make1(copyObject(relation)), quals, targets);
	numbered = strata_linear_nest(query, relation->eref->aliasname);
	targets = NIL;
	for (int i = 1; i <= count + 1; i++)
		strata_linear_add_target(&targets, (Node *) strata_linear_column(numbered, 1, i),
								 lfirst_node(TargetEntry, list_nth_cell(query->targetList, i - 1))->resname);
	window->winref = 1;
	window->frameOptions = FRAMEOPTION_DEFAULTS;
	window->partitionClause = strata_linear_group(targets, count + 1, count + 1);
	/* equal images have equal values: naming these, too, lets conditions from above pass the window, to an index */
	for (int i = 1; i <= count; i++)
		if (bms_is_member(i, used) &&
			OidIsValid(lookup_type_cache(list_nth_oid(rowset->coltypes, i - 1), TYPECACHE_LT_OPR)->lt_opr))
			window->partitionClause = list_concat(window->partitionClause, strata_linear_group(targets, i, i));
	number->winfnoid = F_ROW_NUMBER;
	number->wintype = INT8OID;
	number->winref = 1;
	number->location = -1;
	strata_linear_add_target(&targets, (Node *) number, "strata_copy");
	query = strata_linear_query(list_make1(numbered), NIL, targets);
	query->windowClause = list_make1(window);
	query->hasWindowFuncs = true;
	numbered = strata_linear_nest(query, relation->eref->aliasname);
	for (int i = 1; i <= count; i++)
		strata_linear_add_target(&result, (Node *) strata_linear_column(numbered, 1, i),
								 lfirst_node(TargetEntry, list_nth_cell(query->targetList, i - 1))->resname);
	image = strata_linear_column(numbered, 1, count + 1);
	copy = strata_linear_column(numbered, 1, count + 2);

	/* image NOT IN came (hashed, once), or further copies than came */
	param->paramkind = PARAM_SUBLINK;
	param->paramid = 1;
	param->paramtype = BYTEAOID;
	param->paramtypmod = -1;
	param->location = -1;
	strata_linear_add_target(&one, (Node *) strata_linear_column(came, 1, 1), "image");
	among = sublink(ANY_SUBLINK, (Node *) strata_linear_op("=", (Node *) image, (Node *) param),
					strata_linear_query(list_make1(copyObject(came)), NIL, one));
	image = copyObject(image);
	image->varlevelsup = 1;
	strata_linear_add_target(&n, (Node *) strata_linear_column(came, 1, 2), "n");
	times =
		sublink(EXPR_SUBLINK, NULL,
				strata_linear_query(
					list_make1(copyObject(came)),
					list_make1(strata_linear_op("=", (Node *) strata_linear_column(came, 1, 1), (Node *) image)), n));
	return strata_linear_query(list_make1(numbered),
							   list_make1(makeBoolExpr(OR_EXPR,
													   list_make2(makeBoolExpr(NOT_EXPR, list_make1(among), -1),
																  strata_linear_op(">", (Node *) copy, times)),
													   -1)),
							   result);
}

/* Rows that went, each as often as it went. */
static Query *
departed(RangeTblEntry *rowset, const Bitmapset *used, int count, List *quals)
{
	RangeTblEntry *times = makeNode(RangeTblEntry);
	RangeTblFunction *function = makeNode(RangeTblFunction);
	Var *sign = strata_linear_sign(rowset, 1);

	function->funcexpr = (Node *) makeFuncExpr(F_GENERATE_SERIES_INT4_INT4, INT4OID,
											   list_make2(strata_linear_int(1), strata_linear_negate((Node *) sign)),
											   InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	((FuncExpr *) function->funcexpr)->funcretset = true;
	function->funccolcount = 1;
	times->rtekind = RTE_FUNCTION;
	times->functions = list_make1(function);
	times->alias = makeAlias("times", NIL);
	times->eref = makeAlias("times", list_make1(makeString("times")));
	times->lateral = true;
	times->inFromCl = true;
	quals = lappend(list_copy(quals), strata_linear_op("<", copyObject((Node *) sign), strata_linear_int(0)));
	return strata_linear_query(list_make2(copyObject(rowset), times), quals, columns_of(rowset, used, count));
}

static RangeTblEntry *
before_entry(Before *before, Query *query, int number)
{
	RangeTblEntry *rte = rt_fetch(number, query->rtable), *rowset, *result;
	const StrataChanged *changed = strata_linear_changed(before->context, rte->relid);
	Usage usage = {query, number, 0, NULL};
	List *quals = NIL;
	Query *all;

	rowset = strata_linear_rowset(rte->relid, changed->rowset, rte->eref->aliasname);
	(void) query_tree_walker(query, usage_walker, &usage, QTW_IGNORE_JOINALIASES);
	(void) collect_quals(query, (Node *) query->jointree, number, &quals);
	quals = copyObject(quals);
	ChangeVarNodes((Node *) quals, number, 1, 0);
	all = strata_linear_union(
		list_make2(remaining(before, rte, rowset, usage.columns, list_length(rte->eref->colnames), copyObject(quals)),
				   departed(rowset, usage.columns, list_length(rte->eref->colnames), quals)),
		NIL);
	result = strata_linear_nest(all, rte->eref->aliasname);
	result->inFromCl = rte->inFromCl;
	/* an empty name is how printing knows a column that is gone */
	for (int i = 1; i <= list_length(rte->eref->colnames); i++)
		if (get_rte_attribute_is_dropped(rte, i))
			lfirst(list_nth_cell(result->eref->colnames, i - 1)) = makeString("");
	return result;
}

static Node *
before_mutator(Node *node, Before *before)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Query *query = query_tree_mutator((Query *) node, before_mutator, before, 0);
		List *rtable = NIL;
		int number = 0;
		ListCell *cell;

		foreach (cell, query->rtable)
		{
			RangeTblEntry *rte = lfirst(cell);

			number++;
			if (rte->rtekind == RTE_RELATION && strata_linear_changed(before->context, rte->relid) != NULL)
				rte = before_entry(before, query, number);
			rtable = lappend(rtable, rte);
		}
		query->rtable = rtable;
		query->hasSubLinks = true;
		return (Node *) query;
	}
	return expression_tree_mutator(node, before_mutator, before);
}

/* A subquery (or an expression that holds one), reading what was there before the change. */
Node *
strata_linear_before(LinearContext *context, Node *node, List **ctes)
{
	Before before = {context, ctes};

	return before_mutator(node, &before);
}
