/*
 * linear_canon.c: levels in canonical form.
 *
 * Inner joins become a flat list of entries and conditions. An outer join becomes a subquery of its own with two sides, each
 * an entry or a subquery. What the level reads of such a subquery is added to its columns when it is first seen (column()).
 * IN, NOT IN, ANY and ALL that are conditions of their own become EXISTS and NOT EXISTS.
 */
#include "postgres.h"

#include "access/attnum.h"
#include "incremental/linear_internal.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

/* A query under construction; its entries are known by their number in the level they came from. */
typedef struct Frame
{
	struct Frame *parent;
	int depth; /* queries between this and the level's own */
	Query *query;
	int *entries;            /* by old number: the number here; 0: not here */
	struct Frame **children; /* by old number: the subquery it is in; NULL: the entry itself is here */
	List *frames;            /* those of the children */
	List *quals;             /* conjuncts, in old numbers until the end */
	JoinType outer;          /* JOIN_INNER: none */
} Frame;

typedef struct Translation
{
	const Query *old;
	Frame *frame;
	int sublevels;
} Translation;

static void add_item(Frame *frame, const Query *old, Node *node);

List *
strata_linear_conjuncts(Node *quals)
{
	List *result = NIL;
	ListCell *cell;

	if (quals == NULL)
		return NIL;
	if (IsA(quals, List))
	{
		foreach (cell, (List *) quals)
			result = list_concat(result, strata_linear_conjuncts(lfirst(cell)));
		return result;
	}
	if (!is_andclause(quals))
		return list_make1(quals);
	foreach (cell, ((BoolExpr *) quals)->args)
		result = list_concat(result, strata_linear_conjuncts(lfirst(cell)));
	return result;
}

/* ---- entries -------------------------------------------------------------------------------------------- */

static Frame *
new_frame(Frame *parent, const Query *old)
{
	Frame *frame = palloc0(sizeof(Frame));
	int size = list_length(old->rtable) + 1;

	frame->parent = parent;
	frame->depth = parent == NULL ? 0 : parent->depth + 1;
	frame->query = strata_linear_query(NIL, NIL, NIL);
	frame->entries = palloc0(sizeof(int) * size);
	frame->children = palloc0(sizeof(Frame *) * size);
	frame->outer = JOIN_INNER;
	if (parent != NULL)
		parent->frames = lappend(parent->frames, frame);
	return frame;
}

/* A subquery that holds all entries of a child. */
static void
add_frame(Frame *frame, const Query *old, Frame *child, const char *alias)
{
	frame->query->rtable = lappend(frame->query->rtable, strata_linear_subquery(child->query, alias, false));
	for (int i = 1; i <= list_length(old->rtable); i++)
		if (child->entries[i] != 0)
		{
			frame->entries[i] = list_length(frame->query->rtable);
			frame->children[i] = child;
		}
}

static void
add_side(Frame *frame, const Query *old, Node *node)
{
	Frame *child;

	if (IsA(node, RangeTblRef) || (IsA(node, JoinExpr) && ((JoinExpr *) node)->jointype != JOIN_INNER))
	{
		add_item(frame, old, node);
		return;
	}
	child = new_frame(frame, old);
	add_item(child, old, node);
	add_frame(frame, old, child, "side");
}

static void
add_item(Frame *frame, const Query *old, Node *node)
{
	check_stack_depth();
	if (IsA(node, RangeTblRef))
	{
		int number = ((RangeTblRef *) node)->rtindex;

		frame->query->rtable = lappend(frame->query->rtable, copyObject(rt_fetch(number, old->rtable)));
		frame->entries[number] = list_length(frame->query->rtable);
	}
	else if (IsA(node, FromExpr))
	{
		ListCell *cell;

		foreach (cell, ((FromExpr *) node)->fromlist)
			add_item(frame, old, lfirst(cell));
		frame->quals = list_concat(frame->quals, strata_linear_conjuncts(((FromExpr *) node)->quals));
	}
	else
	{
		JoinExpr *join = castNode(JoinExpr, node);
		Frame *target = frame;

		if (join->jointype == JOIN_INNER)
		{
			add_item(frame, old, join->larg);
			add_item(frame, old, join->rarg);
		}
		else
		{
			target = new_frame(frame, old);
			target->outer = join->jointype;
			add_side(target, old, join->larg);
			add_side(target, old, join->rarg);
			add_frame(frame, old, target, "joined");
		}
		target->quals = list_concat(target->quals, strata_linear_conjuncts(join->quals));
	}
}

/* ---- variables ------------------------------------------------------------------------------------------ */

static const char *
fresh_name(const List *targets, const char *name)
{
	ListCell *cell;
	int number = 1;
	char *result = pstrdup(name);

	do
	{
		foreach (cell, targets)
			if (strcmp(lfirst_node(TargetEntry, cell)->resname, result) == 0)
				break;
		if (cell == NULL)
			return result;
		result = psprintf("%.50s_%d", name, ++number);
	} while (true);
}

/* The number of the column that gives this expression; added when there is none. */
static int export(Query *query, Node *expr, const char *name)
{
	ListCell *cell;

	foreach (cell, query->targetList)
		if (equal(lfirst_node(TargetEntry, cell)->expr, expr))
			return lfirst_node(TargetEntry, cell)->resno;
	strata_linear_add_target(&query->targetList, expr, fresh_name(query->targetList, name));
	return list_length(query->targetList);
}

static const char *
column_name(const RangeTblEntry *rte, AttrNumber column)
{
	if (column > 0 && column <= list_length(rte->eref->colnames))
	{
		const char *name = strVal(list_nth(rte->eref->colnames, column - 1));

		if (name[0] != '\0')
			return name;
	}
	return rte->eref->aliasname;
}

static Var *
column(Frame *frame, const Query *old, const Var *var)
{
	Frame *child = frame->children[var->varno];
	int number = var->varattno;

	if (child != NULL)
		number = export(child->query, (Node *) column(child, old, var),
						column_name(rt_fetch(var->varno, old->rtable), var->varattno));
	return makeVar(frame->entries[var->varno], number, var->vartype, var->vartypmod, var->varcollid, 0);
}

static Node *
translate_mutator(Node *node, Translation *t)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;
		RangeTblEntry *rte;
		Frame *frame = t->frame;
		Var *result;

		if (var->varlevelsup < t->sublevels)
			return copyObject(node);
		if (var->varlevelsup > t->sublevels)
		{
			result = copyObject(var);
			result->varlevelsup += t->frame->depth;
			return (Node *) result;
		}
		rte = rt_fetch(var->varno, t->old->rtable);
		if (rte->rtekind == RTE_JOIN)
		{
			Translation outermost = *t;
			Node *expr;

			outermost.sublevels = 0;
			if (var->varattno <= 0)
				ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
								errmsg("whole rows of joins are not followed incrementally")));
			expr = translate_mutator(list_nth(rte->joinaliasvars, var->varattno - 1), &outermost);
			IncrementVarSublevelsUp(expr, t->sublevels, 0);
			return expr;
		}
		while (frame != NULL && frame->entries[var->varno] == 0)
			frame = frame->parent;
		if (frame == NULL)
			elog(ERROR, "range table entry %d is in no join", var->varno);
		result = column(frame, t->old, var);
		result->varlevelsup = t->sublevels + t->frame->depth - frame->depth;
		return (Node *) result;
	}
	if (IsA(node, Query))
	{
		Query *result;

		t->sublevels++;
		result = query_tree_mutator((Query *) node, translate_mutator, t, QTW_IGNORE_JOINALIASES);
		t->sublevels--;
		return (Node *) result;
	}
	return expression_tree_mutator(node, translate_mutator, t);
}

static Node *
translate(Frame *frame, const Query *old, Node *node)
{
	Translation t = {old, frame, 0};

	return translate_mutator(node, &t);
}

static void
finish_entry(Frame *frame, const Query *old, RangeTblEntry *rte)
{
	if (rte->rtekind == RTE_SUBQUERY)
		rte->subquery = (Query *) translate(frame, old, (Node *) rte->subquery);
	else if (rte->rtekind == RTE_FUNCTION)
		rte->functions = (List *) translate(frame, old, (Node *) rte->functions);
	else if (rte->rtekind == RTE_TABLEFUNC)
		rte->tablefunc = (TableFunc *) translate(frame, old, (Node *) rte->tablefunc);
	else if (rte->rtekind == RTE_VALUES)
		rte->values_lists = (List *) translate(frame, old, (Node *) rte->values_lists);
}

static bool
is_frame(const Frame *frame, const Query *query)
{
	ListCell *cell;

	foreach (cell, frame->frames)
		if (((Frame *) lfirst(cell))->query == query)
			return true;
	return false;
}

/* Translates what the frame and its children hold; then nothing is added to anyone's columns any more. */
static void
finish_contents(Frame *frame, const Query *old)
{
	ListCell *cell;

	foreach (cell, frame->query->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);

		if (rte->rtekind != RTE_SUBQUERY || !is_frame(frame, rte->subquery))
			finish_entry(frame, old, rte);
	}
	frame->quals = (List *) translate(frame, old, (Node *) frame->quals);
	foreach (cell, frame->frames)
		finish_contents(lfirst(cell), old);
}

static void
finish_shape(Frame *frame)
{
	ListCell *cell;
	List *rtable = frame->query->rtable;
	Query *made;

	foreach (cell, frame->frames)
		finish_shape(lfirst(cell));
	foreach (cell, rtable)
	{
		RangeTblEntry *rte = lfirst(cell);

		if (rte->rtekind == RTE_SUBQUERY && is_frame(frame, rte->subquery))
		{
			const char *alias = rte->eref->aliasname;

			*rte = *strata_linear_subquery(rte->subquery, alias, contain_vars_of_level((Node *) rte->subquery, 1));
		}
	}
	if (frame->outer != JOIN_INNER)
		made =
			strata_linear_join(linitial(rtable), lsecond(rtable), frame->outer, frame->quals, frame->query->targetList);
	else
		made = strata_linear_query(rtable, frame->quals, frame->query->targetList);
	*frame->query = *made;
}

static Query *
finish(Frame *root, const Query *old)
{
	root->query->targetList = (List *) translate(root, old, (Node *) strata_linear_plain_targets(old->targetList));
	finish_contents(root, old);
	finish_shape(root);
	return root->query;
}

JoinExpr *
strata_linear_outer_join(const Query *query)
{
	return linitial_node(JoinExpr, query->jointree->fromlist);
}

bool
strata_linear_is_outer(const Query *query)
{
	JoinExpr *join;
	ListCell *cell;

	if (query->setOperations != NULL || query->jointree == NULL || list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), JoinExpr) || query->jointree->quals != NULL ||
		list_length(query->rtable) != 3)
		return false;
	join = strata_linear_outer_join(query);
	if (join->jointype == JOIN_INNER || join->alias != NULL || !IsA(join->larg, RangeTblRef) ||
		!IsA(join->rarg, RangeTblRef) || ((RangeTblRef *) join->larg)->rtindex != 1 ||
		((RangeTblRef *) join->rarg)->rtindex != 2)
		return false;
	foreach (cell, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (target->resjunk || !IsA(target->expr, Var) || ((Var *) target->expr)->varlevelsup != 0 ||
			((Var *) target->expr)->varno > 2)
			return false;
	}
	return true;
}

/* A canonical copy. */
Query *
strata_linear_canonical(Query *query)
{
	Query *old = copyObject(query);
	Frame *root = new_frame(NULL, old);

	old->jointree->quals = strata_linear_rewrite_conjuncts(old->jointree->quals);
	add_item(root, old, (Node *) old->jointree);
	return finish(root, old);
}

Query *
strata_linear_wrap(Query *level, const List *outside)
{
	Frame *root = new_frame(NULL, level);
	Frame *inner = new_frame(root, level);

	add_item(inner, level, (Node *) level->jointree);
	inner->quals = list_difference_ptr(inner->quals, outside);
	root->quals = list_copy(outside);
	add_frame(root, level, inner, "rest");
	return finish(root, level);
}

/* ---- sublinks as conditions ----------------------------------------------------------------------------- */

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
	int sublevels;
} Correlation;

/* A condition of the body becomes one over the level (entry 1) and the body's columns (entry 2). */
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
			int number = export(c->body, (Node *) inner, column_name(rte, var->varattno));

			var = makeVar(2, number, var->vartype, var->vartypmod, var->varcollid, c->sublevels);
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

/*
 * [NOT] EXISTS (SELECT FROM body WHERE conditions): the body without the conditions that look at the level, and these, as
 * conditions between the level (wrapped: entry 1) and the body (entry 2).
 */
bool
strata_linear_semi(Node *conjunct, bool *anti, RangeTblEntry **rows, List **quals)
{
	Query *body;
	SubLink *link;
	List *inner = NIL, *outer = NIL;
	ListCell *cell;

	*anti = is_notclause(conjunct);
	link = (SubLink *) (*anti ? linitial(((BoolExpr *) conjunct)->args) : conjunct);
	if (!IsA(link, SubLink) || link->subLinkType != EXISTS_SUBLINK)
		return false;
	body = castNode(Query, link->subselect);
	if (is_plain_body(body))
	{
		Correlation c;

		body = copyObject(body);
		body->targetList = NIL;
		body->sortClause = body->distinctClause = NIL;
		body = strata_linear_canonical(body);
		foreach (cell, strata_linear_conjuncts(body->jointree->quals))
		{
			Node *qual = lfirst(cell);

			if (contain_vars_of_level(qual, 1))
				outer = lappend(outer, qual);
			else
				inner = lappend(inner, qual);
		}
		body->jointree->quals = NULL;
		if (contain_vars_of_level((Node *) body, 1))
			return false;
		c.body = body;
		c.sublevels = 0;
		outer = (List *) correlation_mutator((Node *) outer, &c);
		if (body->targetList == NIL)
			strata_linear_add_target(&body->targetList, strata_linear_int(1), "one");
		body = strata_linear_query(body->rtable, inner, body->targetList);
	}
	else if (body->setOperations == NULL || body->limitCount != NULL || body->limitOffset != NULL ||
			 body->cteList != NIL || contain_vars_of_level((Node *) body, 1))
		return false;
	*rows = strata_linear_subquery(body, "matched", false);
	*quals = outer;
	return true;
}
