/*
 * linear_sublinks.c: subqueries in conditions, taken apart.
 *
 * IN, NOT IN, ANY and ALL become EXISTS. The body of an EXISTS, and of a LATERAL subquery, is parted into what it reads by itself
 * and the conditions that look outside.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "incremental/linear_internal.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

static Node *
negated(Node *node)
{
	return (Node *) makeBoolExpr(NOT_EXPR, list_make1(node), -1);
}

static Node *
boolean_test(Node *arg, BoolTestType type)
{
	BooleanTest *test = makeNode(BooleanTest);

	test->arg = (Expr *) arg;
	test->booltesttype = type;
	test->location = -1;
	return (Node *) test;
}

static Node *
null_test(Node *arg, NullTestType type)
{
	NullTest *test = makeNode(NullTest);

	test->arg = (Expr *) arg;
	test->nulltesttype = type;
	test->argisrow = false;
	test->location = -1;
	return (Node *) test;
}

/* The left operand of x = ANY (...): a copy with the level's variables one level further out. */
static Node *
shifted(Node *node)
{
	node = copyObject(node);
	IncrementVarSublevelsUp(node, 1, 0);
	return node;
}

static Node *
param_mutator(Node *node, List *columns)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK)
		return copyObject(list_nth(columns, ((Param *) node)->paramid - 1));
	return expression_tree_mutator(node, param_mutator, columns);
}

/* EXISTS (SELECT FROM body WHERE its conditions AND qual), the qual already at the body's level. */
static Node *
exists(SubLink *link, Node *qual)
{
	SubLink *result = makeNode(SubLink);
	Query *body = castNode(Query, copyObject(link->subselect));

	body->sortClause = body->distinctClause = NIL;
	body->targetList = list_make1(makeTargetEntry((Expr *) strata_linear_int(1), 1, pstrdup("?column?"), false));
	if (qual != NULL)
		body->jointree->quals = body->jointree->quals == NULL
									? qual
									: (Node *) makeBoolExpr(AND_EXPR, list_make2(body->jointree->quals, qual), -1);
	result->subLinkType = EXISTS_SUBLINK;
	result->subselect = (Node *) body;
	result->location = -1;
	return (Node *) result;
}

static bool
is_equality(Node *test)
{
	Oid op;

	if (!IsA(test, OpExpr))
		return false;
	op = ((OpExpr *) test)->opno;
	return list_length(((OpExpr *) test)->args) == 2 &&
		   op_hashjoinable(op, exprType(linitial(((OpExpr *) test)->args)));
}

static bool
is_plain_body(const Query *body)
{
	return body->setOperations == NULL && body->groupClause == NIL && body->groupingSets == NIL &&
		   body->havingQual == NULL && body->cteList == NIL && body->limitCount == NULL && body->limitOffset == NULL &&
		   !body->hasAggs && !body->hasWindowFuncs && !body->hasTargetSRFs && !body->hasDistinctOn &&
		   body->rowMarks == NIL && body->jointree != NULL;
}

static bool
is_union_body(const Query *body)
{
	return body->setOperations != NULL && body->cteList == NIL && body->limitCount == NULL &&
		   body->limitOffset == NULL && body->rowMarks == NIL;
}

/* SELECT columns FROM (union) */
static Query *
around_union(Query *body)
{
	RangeTblEntry *rte;
	List *targets = NIL;
	ListCell *cell;

	body->sortClause = NIL;
	rte = strata_linear_nest(body, "matched");
	foreach (cell, body->targetList)
		if (!lfirst_node(TargetEntry, cell)->resjunk)
			strata_linear_add_target(&targets, (Node *) strata_linear_column(rte, 1, foreach_current_index(cell) + 1),
									 lfirst_node(TargetEntry, cell)->resname);
	return strata_linear_query(list_make1(rte), NIL, targets);
}

/* Conditions (ANDed) that mean the same as this sublink where it is a condition of its own. */
static List *
rewritten(SubLink *link, bool not )
{
	Query *body = (Query *) link->subselect;
	List *columns = NIL;
	ListCell *cell;
	Node *test;

	if (IsA(body, Query) && is_union_body(body))
		body = (Query *) (link->subselect = (Node *) around_union(body));
	if (!IsA(body, Query) || !is_plain_body(body) ||
		!(link->subLinkType == ANY_SUBLINK || link->subLinkType == ALL_SUBLINK))
		return NIL;
	foreach (cell, body->targetList)
		if (!lfirst_node(TargetEntry, cell)->resjunk)
			columns = lappend(columns, lfirst_node(TargetEntry, cell)->expr);
	test = param_mutator(shifted(link->testexpr), columns);
	if (link->subLinkType == ALL_SUBLINK)
	{
		/* x op ALL: no row without x op y. NOT (x op ALL): some row where x op y is false, and only then if no NULL ... */
		if (not )
			return NIL;
		return list_make1(negated(exists(link, boolean_test(test, IS_NOT_TRUE))));
	}
	if (!not )
		return list_make1(exists(link, test));
	if (is_equality(test))
		/* x NOT IN: no equal row, no NULL among the rows, and no row at all when x is NULL. */
		return list_make3(negated(exists(link, test)),
						  negated(exists(link, null_test(copyObject(lsecond(((OpExpr *) test)->args)), IS_NULL))),
						  negated(exists(link, null_test(copyObject(linitial(((OpExpr *) test)->args)), IS_NULL))));
	return list_make1(negated(exists(link, boolean_test(test, IS_NOT_FALSE))));
}

Node *
strata_linear_rewrite_conjuncts(Node *quals)
{
	List *result = NIL;
	ListCell *cell;

	foreach (cell, strata_linear_conjuncts(quals))
	{
		Node *qual = lfirst(cell);
		bool not = is_notclause(qual);
		Node *link = not ? linitial(((BoolExpr *) qual)->args) : qual;
		List *others = IsA(link, SubLink) ? rewritten((SubLink *) link, not ) : NIL;

		result = others == NIL ? lappend(result, qual) : list_concat(result, others);
	}
	if (result == NIL)
		return NULL;
	return list_length(result) == 1 ? linitial(result) : (Node *) makeBoolExpr(AND_EXPR, result, -1);
}

typedef struct Correlation
{
	Query *body;
	int number; /* of the entry that the body becomes */
	int sublevels;
} Correlation;

/* A condition of the body becomes one over the level and the body's columns. */
static Node *
correlation_mutator(Node *node, Correlation *c)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);

		if (var->varlevelsup > c->sublevels)
			var->varlevelsup--;
		else if (var->varlevelsup == c->sublevels)
		{
			Var *inner = makeVar(var->varno, var->varattno, var->vartype, var->vartypmod, var->varcollid, 0);
			RangeTblEntry *rte = rt_fetch(var->varno, c->body->rtable);
			int number = strata_linear_export(c->body, (Node *) inner, strata_linear_column_name(rte, var->varattno));

			var = makeVar(c->number, number, var->vartype, var->vartypmod, var->varcollid, c->sublevels);
		}
		return (Node *) var;
	}
	if (IsA(node, Query))
	{
		Query *result;

		c->sublevels++;
		result = query_tree_mutator((Query *) node, correlation_mutator, c, QTW_IGNORE_JOINALIASES);
		c->sublevels--;
		return (Node *) result;
	}
	return expression_tree_mutator(node, correlation_mutator, c);
}

/* Does it read anything of the queries around it? */
bool
strata_linear_looks_outside(Node *node)
{
	/* deeper than that nobody nests; if so, the condition stays where it is */
	for (int level = 1; level <= 8; level++)
		if (contain_vars_of_level(node, level))
			return true;
	return false;
}

/*
 * The body (changed in place) without the conditions that look at the level, and these, as conditions of the level whose entry
 * number is the body.
 */
bool
strata_linear_decorrelate(Query **body, int number, List **quals)
{
	Correlation c;
	List *inner = NIL, *outer = NIL;
	ListCell *cell;
	Query *query = *body;

	if (!is_plain_body(query) || query->distinctClause != NIL)
		return false;
	query = strata_linear_canonical(query);
	foreach (cell, strata_linear_conjuncts(query->jointree->quals))
	{
		Node *qual = lfirst(cell);

		if (strata_linear_looks_outside(qual))
			outer = lappend(outer, qual);
		else
			inner = lappend(inner, qual);
	}
	query->jointree->quals = NULL;
	if (contain_vars_of_level((Node *) query, 1))
		return false;
	c.body = query;
	c.number = number;
	c.sublevels = 0;
	*quals = (List *) correlation_mutator((Node *) outer, &c);
	if (query->targetList == NIL)
		strata_linear_add_target(&query->targetList, strata_linear_int(1), "one");
	*body = strata_linear_query(query->rtable, inner, query->targetList);
	return true;
}

/*
 * EXISTS among the body's conditions that look beyond the body: whether there are rows is the same with them in FROM, and there
 * their conditions can be had apart.
 */
static void
join_inner_exists(Query *body)
{
	List *quals = NIL;
	ListCell *cell;

	body->jointree->quals = strata_linear_rewrite_conjuncts(body->jointree->quals);
	foreach (cell, strata_linear_conjuncts(body->jointree->quals))
	{
		SubLink *link = lfirst(cell);
		RangeTblRef *ref;
		Query *inner;

		if (!IsA(link, SubLink) || link->subLinkType != EXISTS_SUBLINK ||
			!is_plain_body(inner = castNode(Query, link->subselect)) || !contain_vars_of_level((Node *) inner, 2))
		{
			quals = lappend(quals, link);
			continue;
		}
		inner->sortClause = inner->distinctClause = NIL;
		inner->targetList = list_make1(makeTargetEntry((Expr *) strata_linear_int(1), 1, pstrdup("one"), false));
		join_inner_exists(inner);
		body->rtable = lappend(body->rtable, strata_linear_subquery(inner, "matched", true));
		ref = makeNode(RangeTblRef);
		ref->rtindex = list_length(body->rtable);
		body->jointree->fromlist = lappend(body->jointree->fromlist, ref);
	}
	body->jointree->quals = quals == NIL ? NULL : (Node *) makeBoolExpr(AND_EXPR, quals, -1);
}

/*
 * [NOT] EXISTS (SELECT FROM body WHERE conditions): the body without the conditions that look at the level, and these, as
 * conditions between the level (wrapped: entry 1) and the body (entry 2).
 */
bool
strata_linear_semi(Node *conjunct, bool *anti, RangeTblEntry **rows, List **quals)
{
	Query *body;
	SubLink *link;

	*anti = is_notclause(conjunct);
	link = (SubLink *) (*anti ? linitial(((BoolExpr *) conjunct)->args) : conjunct);
	if (!IsA(link, SubLink) || link->subLinkType != EXISTS_SUBLINK)
		return false;
	body = castNode(Query, copyObject(link->subselect));
	*quals = NIL;
	if (is_plain_body(body))
	{
		body->targetList = NIL;
		body->sortClause = body->distinctClause = NIL;
		join_inner_exists(body);
		if (!strata_linear_decorrelate(&body, 2, quals))
			return false;
	}
	else if (!is_union_body(body) || contain_vars_of_level((Node *) body, 1))
		return false;
	*rows = strata_linear_subquery(body, "matched", false);
	return true;
}

/* ---- sublinks inside expressions ------------------------------------------------------------------------ */

/*
 * x op ANY (rows), x op ALL (rows) as a value that may be NULL, by EXISTS only; NULL when it cannot be put so.
 */
Node *
strata_linear_as_exists(SubLink *link)
{
	Query *body = castNode(Query, link->subselect);
	List *columns = NIL;
	ListCell *cell;
	Node *test, *unknown, *null = (Node *) makeNullConst(BOOLOID, -1, InvalidOid);
	bool all = link->subLinkType == ALL_SUBLINK;

	if (link->subLinkType != ANY_SUBLINK && !all)
		return NULL;
	if (is_union_body(body))
		body = (Query *) (link->subselect = (Node *) around_union(body));
	if (!is_plain_body(body))
		return NULL;
	foreach (cell, body->targetList)
		if (!lfirst_node(TargetEntry, cell)->resjunk)
			columns = lappend(columns, lfirst_node(TargetEntry, cell)->expr);
	test = param_mutator(shifted(link->testexpr), columns);
	if (all)
		test = negated(test);
	if (!all && is_equality(test))
		unknown = (Node *) makeBoolExpr(
			OR_EXPR,
			list_make2(exists(link, null_test(copyObject(lsecond(((OpExpr *) test)->args)), IS_NULL)),
					   exists(link, null_test(copyObject(linitial(((OpExpr *) test)->args)), IS_NULL))),
			-1);
	else
		unknown = exists(link, boolean_test(copyObject(test), IS_UNKNOWN));
	return strata_linear_case(exists(link, test), makeBoolConst(!all, false),
							  strata_linear_case(unknown, null, makeBoolConst(all, false)));
}
