/*
 * lookups.c: a part that gives the rows of one member of FROM, with columns looked up beside them.
 *
 * FROM rows LEFT JOIN a ON ... LEFT JOIN b ON ...: each other member gives columns of its own, by what the rows say. Then the rows and what is
 * looked up can be followed each by itself: a row that came is looked up by, and what was stored tells by what to look up again.
 */
#include "postgres.h"

#include "incremental/linear_internal.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"

#include "incremental/incremental_internal.h"

/* One LEFT JOIN. */
typedef struct LookupJoin
{
	Index member;
	Node *quals;
	List *columns; /* int: positions of the output columns that it gives */
} LookupJoin;

struct StrataLookups
{
	const Query *query;
	Index rows;
	List *joins; /* LookupJoin *, innermost first */
};

/* ---- recognized ---- */

typedef struct Members
{
	Bitmapset *found;
	bool failed;
} Members;

static bool
members_walker(Node *node, Members *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;

		context->failed |= var->varlevelsup != 0 || var->varattno <= 0;
		context->found = bms_add_member(context->found, var->varno);
		return false;
	}
	context->failed |= IsA(node, SubLink) || IsA(node, Query);
	return expression_tree_walker(node, members_walker, context);
}

/* The members that an expression reads columns of; false: it reads more than that. */
static bool
members_of(Node *expression, Bitmapset **members)
{
	Members context = {NULL, false};

	members_walker(expression, &context);
	*members = context.found;
	return !context.failed;
}

static bool
is_member(const Query *query, Index number)
{
	RangeTblEntry *rte = rt_fetch(number, query->rtable);

	return !rte->lateral && (rte->rtekind == RTE_RELATION || rte->rtekind == RTE_SUBQUERY);
}

/* From the outside in. */
static bool
find_joins(StrataLookups *l, Node *node)
{
	while (IsA(node, JoinExpr))
	{
		JoinExpr *expr = (JoinExpr *) node;
		LookupJoin *join = palloc0(sizeof(LookupJoin));

		if (expr->jointype != JOIN_LEFT || !IsA(expr->rarg, RangeTblRef))
			return false;
		join->member = ((RangeTblRef *) expr->rarg)->rtindex;
		join->quals = expr->quals;
		if (!is_member(l->query, join->member))
			return false;
		l->joins = lcons(join, l->joins);
		node = expr->larg;
	}
	if (!IsA(node, RangeTblRef))
		return false;
	l->rows = ((RangeTblRef *) node)->rtindex;
	return is_member(l->query, l->rows);
}

/* The position among the output columns of a column of the rows; 0: it is none of them. */
static int
output_position(const StrataLookups *l, AttrNumber column)
{
	ListCell *lc;

	foreach (lc, l->query->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		Var *var = (Var *) entry->expr;

		if (!entry->resjunk && IsA(var, Var) && var->varno == l->rows && var->varattno == column)
			return entry->resno;
	}
	return 0;
}

static bool
quals_walker(Node *node, const StrataLookups *l)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno == l->rows && output_position(l, ((Var *) node)->varattno) == 0;
	return expression_tree_walker(node, quals_walker, (void *) l);
}

static bool
reads_only(Node *expression, Index one, Index other)
{
	Bitmapset *members;

	return members_of(expression, &members) && bms_is_subset(members, bms_add_member(bms_make_singleton(one), other));
}

/* Each output column is one of the rows, or made from those of one lookup. */
static bool
find_columns(StrataLookups *l)
{
	ListCell *lc;
	ListCell *lc2;

	foreach (lc, l->query->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		Bitmapset *members;
		int member;
		bool found = false;

		if (entry->resjunk || !members_of((Node *) entry->expr, &members) ||
			!bms_get_singleton_member(members, &member))
			return false;
		if (member == (int) l->rows && IsA(entry->expr, Var))
			continue;
		foreach (lc2, l->joins)
		{
			LookupJoin *join = lfirst(lc2);

			if ((int) join->member != member)
				continue;
			join->columns = lappend_int(join->columns, entry->resno);
			found = true;
		}
		if (!found)
			return false;
	}
	return true;
}

StrataLookups *
strata_incremental_lookups(const StrataPart *part)
{
	const Query *query = part->query;
	StrataLookups *l = palloc0(sizeof(StrataLookups));
	ListCell *lc;

	l->query = query;
	if (part->rule != STRATA_RULE_SIGNED || part->partial != NIL || query->setOperations != NULL ||
		query->cteList != NIL || query->hasTargetSRFs || query->jointree == NULL || query->jointree->quals != NULL ||
		list_length(query->jointree->fromlist) != 1 || !find_joins(l, linitial(query->jointree->fromlist)) ||
		l->joins == NIL || !find_columns(l))
		return NULL;
	foreach (lc, l->joins)
	{
		LookupJoin *join = lfirst(lc);

		if (!reads_only(join->quals, l->rows, join->member) || quals_walker(join->quals, l))
			return NULL;
	}
	return l;
}

/* ---- columns ---- */

static bool
is_changed(const StrataLookups *l, const LookupJoin *join, const List *changed)
{
	LinearContext context = {changed, 0};

	return strata_linear_touches(&context, (Node *) rt_fetch(join->member, l->query->rtable));
}

bool
strata_lookups_rows_changed(const StrataLookups *l, const List *changed)
{
	LinearContext context = {changed, 0};

	return strata_linear_touches(&context, (Node *) rt_fetch(l->rows, l->query->rtable));
}

/* Positions, from 1, of the output columns that are looked up in what has changed (NIL: in anything). */
List *
strata_lookups_columns(const StrataLookups *l, const List *changed)
{
	List *columns = NIL;
	ListCell *lc;

	foreach (lc, l->joins)
		if (changed == NIL || is_changed(l, lfirst(lc), changed))
			columns = list_concat(columns, ((LookupJoin *) lfirst(lc))->columns);
	return columns;
}

typedef struct Inputs
{
	const StrataLookups *l;
	List *positions;
} Inputs;

static bool
inputs_walker(Node *node, Inputs *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		if (((Var *) node)->varno == (int) context->l->rows)
			context->positions =
				list_append_unique_int(context->positions, output_position(context->l, ((Var *) node)->varattno));
		return false;
	}
	return expression_tree_walker(node, inputs_walker, context);
}

List *
strata_lookups_inputs(const StrataLookups *l)
{
	Inputs context = {l, NIL};
	ListCell *lc;

	foreach (lc, l->joins)
		inputs_walker(((LookupJoin *) lfirst(lc))->quals, &context);
	return context.positions;
}

/* ---- statements ---- */

/* The rows by themselves: all output columns, those looked up NULL. */
Query *
strata_lookups_rows(const StrataLookups *l)
{
	List *looked_up = strata_lookups_columns(l, NIL);
	List *targets = NIL;
	ListCell *lc;

	foreach (lc, l->query->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		Node *expr = (Node *) entry->expr;

		if (list_member_int(looked_up, entry->resno))
			expr = (Node *) makeNullConst(exprType(expr), exprTypmod(expr), exprCollation(expr));
		else
			expr =
				(Node *) makeVar(1, ((Var *) expr)->varattno, exprType(expr), exprTypmod(expr), exprCollation(expr), 0);
		strata_linear_add_target(&targets, expr, entry->resname);
	}
	return strata_linear_query(list_make1(copyObject(rt_fetch(l->rows, l->query->rtable))), NIL, targets);
}

typedef struct Moved
{
	const StrataLookups *l;
	int first;
} Moved;

/* Columns of the rows become those of entry 1 that stand for them, those of the lookup are of entry 2. */
static Node *
moved(Node *node, Moved *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;
		bool own = var->varno == context->l->rows;

		return (Node *) makeVar(own ? 1 : 2,
								own ? context->first + output_position(context->l, var->varattno) : var->varattno,
								var->vartype, var->vartypmod, var->varcollid, 0);
	}
	return expression_tree_mutator(node, moved, context);
}

static RangeTblEntry *
rowset_entry(const StrataRowSet *set)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_CTE;
	rte->ctename = pstrdup(set->name);
	rte->alias = makeAlias("q", NIL);
	rte->eref = makeAlias("q", NIL);
	rte->inFromCl = true;
	for (int i = 0; i < set->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(set->desc, i);

		rte->eref->colnames = lappend(rte->eref->colnames, makeString(pstrdup(NameStr(att->attname))));
		rte->coltypes = lappend_oid(rte->coltypes, att->atttypid);
		rte->coltypmods = lappend_int(rte->coltypmods, att->atttypmod);
		rte->colcollations = lappend_oid(rte->colcollations, att->attcollation);
	}
	return rte;
}

/*
 * The rows of the row set as they are, but for what is looked up anew in what has changed (NIL: in everything). Its columns after
 * the first ones are the output columns; more may follow.
 */
char *
strata_lookups_over(const StrataLookups *l, const StrataRowSet *set, int first, const List *changed)
{
	RangeTblEntry *left = rowset_entry(set);
	Moved context = {l, first};
	Query *query = NULL;
	ListCell *lc;

	foreach (lc, l->joins)
	{
		LookupJoin *join = lfirst(lc);
		List *targets = NIL;

		if (changed != NIL && !is_changed(l, join, changed))
			continue;
		if (query)
			left = strata_linear_nest(query, "q");
		for (int i = 1; i <= set->desc->natts; i++)
		{
			Node *expr = (Node *) strata_linear_column(left, 1, i);

			if (list_member_int(join->columns, i - first))
				expr = moved((Node *) get_tle_by_resno(l->query->targetList, i - first)->expr, &context);
			strata_linear_add_target(&targets, expr, NameStr(TupleDescAttr(set->desc, i - 1)->attname));
		}
		query = strata_linear_join(left, copyObject(rt_fetch(join->member, l->query->rtable)), JOIN_LEFT,
								   strata_linear_conjuncts(moved(join->quals, &context)), targets);
	}
	return query ? strata_incremental_deparse(query) : psprintf("SELECT * FROM %s", strata_base_quote(set->name));
}
