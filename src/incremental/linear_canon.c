/*
 * linear_canon.c: levels in canonical form.
 *
 * Inner joins become a flat list of entries and conditions. An outer join becomes a subquery of its own with two sides, each
 * an entry or a subquery. What the level reads of such a subquery is added to its columns when it is first seen (column()).
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
	const LinearContext *context;
	const Node *kept; /* of the sublinks that have changed, the one that is not made a column of the child */
} Frame;

typedef struct Translation
{
	const Query *old;
	Frame *frame;
	int sublevels;
} Translation;

static void add_item(Frame *frame, const Query *old, Node *node);
static Node *translate(Frame *frame, const Query *old, Node *node);

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
int
strata_linear_export(Query *query, Node *expr, const char *name)
{
	ListCell *cell;

	foreach (cell, query->targetList)
		if (equal(lfirst_node(TargetEntry, cell)->expr, expr))
			return lfirst_node(TargetEntry, cell)->resno;
	strata_linear_add_target(&query->targetList, expr, fresh_name(query->targetList, name));
	return list_length(query->targetList);
}

const char *
strata_linear_column_name(const RangeTblEntry *rte, AttrNumber column)
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
		number = strata_linear_export(child->query, (Node *) column(child, old, var),
									  strata_linear_column_name(rt_fetch(var->varno, old->rtable), var->varattno));
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
	if (IsA(node, SubLink) && t->frame->kept != NULL && t->sublevels == 0 && !equal(node, t->frame->kept) &&
		strata_linear_touches(t->frame->context, node))
	{
		Frame *child = linitial(t->frame->frames);
		Node *value = translate(child, t->old, node);

		return (Node *) makeVar(1, strata_linear_export(child->query, value, "value"), exprType(value),
								exprTypmod(value), exprCollation(value), 0);
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

/* Conditions of a subquery that look beside or outside it become conditions here. */
static void
pull_conditions(Frame *frame, RangeTblEntry *rte, int number)
{
	Query *body = rte->subquery;
	List *outer;

	if (!strata_linear_looks_outside((Node *) body) || !strata_linear_decorrelate(&body, number, &outer))
		return;
	*rte = *strata_linear_subquery(body, rte->eref->aliasname, false);
	frame->quals = list_concat(frame->quals, outer);
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

	frame->quals = (List *) translate(frame, old, (Node *) frame->quals);
	foreach (cell, frame->query->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);

		if (rte->rtekind == RTE_SUBQUERY && is_frame(frame, rte->subquery))
			continue;
		finish_entry(frame, old, rte);
		if (rte->rtekind == RTE_SUBQUERY && (frame->outer == JOIN_INNER || frame->outer == JOIN_LEFT))
			pull_conditions(frame, rte, foreach_current_index(cell) + 1);
	}
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
	if (query->querySource != QSRC_PARSER)
		foreach (cell, query->rtable)
			if (lfirst_node(RangeTblEntry, cell)->lateral)
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

static bool
holds_walker(Node *node, const Node *sought)
{
	if (node == NULL)
		return false;
	if (equal(node, sought))
		return true;
	return expression_tree_walker(node, holds_walker, (void *) sought);
}

/* Some conditions stay outside. */
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

/* What holds this sublink stays outside; other sublinks that have changed become columns. */
Query *
strata_linear_peel(const LinearContext *context, Query *level, Node *sublink)
{
	Frame *root = new_frame(NULL, level);
	Frame *inner = new_frame(root, level);
	List *quals;
	ListCell *cell;

	add_item(inner, level, (Node *) level->jointree);
	quals = inner->quals;
	inner->quals = NIL;
	foreach (cell, quals)
		if (holds_walker(lfirst(cell), sublink))
			root->quals = lappend(root->quals, lfirst(cell));
		else
			inner->quals = lappend(inner->quals, lfirst(cell));
	add_frame(root, level, inner, "rest");
	root->context = context;
	root->kept = sublink;
	return finish(root, level);
}

/* The entries from the first marked one on, and the conditions that look at them, stay outside. */
Query *
strata_linear_keep_entries(Query *level, const Bitmapset *outside)
{
	Frame *root = new_frame(NULL, level);
	Frame *inner = new_frame(root, level);
	List *quals = strata_linear_conjuncts(level->jointree->quals);
	ListCell *cell;

	for (int i = 1; i <= list_length(level->rtable); i++)
		if (!bms_is_member(i, outside))
		{
			RangeTblRef *ref = makeNode(RangeTblRef);

			ref->rtindex = i;
			add_item(inner, level, (Node *) ref);
		}
	add_frame(root, level, inner, "rest");
	for (int i = 1; i <= list_length(level->rtable); i++)
		if (bms_is_member(i, outside))
		{
			RangeTblRef *ref = makeNode(RangeTblRef);

			ref->rtindex = i;
			add_item(root, level, (Node *) ref);
		}
	foreach (cell, quals)
	{
		bool out = false;
		List *vars = pull_vars_of_level(lfirst(cell), 0);
		ListCell *var;

		foreach (var, vars)
			out = out || bms_is_member(lfirst_node(Var, var)->varno, outside);
		if (out)
			root->quals = lappend(root->quals, lfirst(cell));
		else
			inner->quals = lappend(inner->quals, lfirst(cell));
	}
	return finish(root, level);
}
