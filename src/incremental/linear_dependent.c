/*
 * linear_dependent.c: values that depend on other rows: EXISTS inside expressions, scalar subqueries, LATERAL.
 *
 * The level is taken as f(L, x) with L the rest of it (entry 1) and x one subquery. Δ = f(ΔL, x now) + f(A, x now) - f(A, x before)
 * where A = L - ΔL restricted to the rows for which x may have changed.
 *
 *   EXISTS                 A and both values of x come from the transitions of linear_match.c: nothing old is read
 *   a row of a unique key  becomes a LEFT JOIN
 *   the rest               A: rows that match the change of what x reads; x before reads old rows (linear_old.c)
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "incremental/linear_internal.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

typedef struct Finding
{
	const LinearContext *context; /* NULL: any that reads relations */
	Node *found;
} Finding;

static bool
find_walker(Node *node, Finding *f)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
	{
		Node *body = ((SubLink *) node)->subselect;

		if (f->context == NULL ? strata_linear_reads(body) : strata_linear_touches(f->context, body))
		{
			f->found = node;
			return true;
		}
		return find_walker(((SubLink *) node)->testexpr, f);
	}
	if (IsA(node, Query))
		return false;
	return expression_tree_walker(node, find_walker, f);
}

Node *
strata_linear_find_sublink(const LinearContext *context, Node *node)
{
	Finding f = {context, NULL};

	(void) find_walker(node, &f);
	return f.found;
}

typedef struct Substitution
{
	Node *sought;
	Node *by;
} Substitution;

static Node *
substitute_mutator(Node *node, Substitution *s)
{
	if (node == NULL)
		return NULL;
	if (equal(node, s->sought))
		return copyObject(s->by);
	if (IsA(node, Query))
		return copyObject(node);
	return expression_tree_mutator(node, substitute_mutator, s);
}

/* A copy of the level with the sublink replaced where the level itself holds it. */
static Query *
substituted(Query *level, Node *sublink, Node *by)
{
	Query *query = copyObject(level);
	Substitution s = {sublink, by};

	query->targetList = (List *) substitute_mutator((Node *) level->targetList, &s);
	query->jointree->quals = substitute_mutator(level->jointree->quals, &s);
	return query;
}

static List *
all_columns(RangeTblEntry *rte)
{
	List *targets = NIL;

	for (int i = 1; i <= list_length(rte->subquery->targetList); i++)
		strata_linear_add_target(&targets, (Node *) strata_linear_column(rte, 1, i),
								 lfirst_node(TargetEntry, list_nth_cell(rte->subquery->targetList, i - 1))->resname);
	return targets;
}

/* The level over other rows in place of entry 1. */
static Query *
over(Query *level, RangeTblEntry *rows, bool minus)
{
	RangeTblEntry **replaced = palloc0(sizeof(RangeTblEntry *) * list_length(level->rtable));

	replaced[0] = rows;
	return strata_linear_term(level, replaced, minus ? strata_linear_negate(NULL) : NULL);
}

/* ---- EXISTS as a value ---------------------------------------------------------------------------------- */

static Query *
change_exists(LinearContext *context, Query *level, Node *sublink, LinearMatch *match)
{
	List *ctes = NIL, *arms = NIL;
	RangeTblEntry *rows;

	for (int i = 0; i < 2; i++)
		match->changes[i] = strata_linear_delta(context, match->sides[i], &ctes);
	if (match->changes[0] != NULL)
		arms = lappend(arms, over(level, match->changes[0], false));
	if (match->changes[1] != NULL)
	{
		/* sign: that of the row, times 1 where none matches now, -1 where none matched before */
		rows = strata_linear_nest(
			strata_linear_union(strata_linear_transitions(context, match, 1, all_columns(match->sides[0]), 1, &ctes),
								NIL),
			"flips");
		strata_linear_with(context, &ctes, rows, "flips");
		arms = lappend(arms, over(substituted(level, sublink, makeBoolConst(false, false)), rows, false));
		arms = lappend(arms, over(substituted(level, sublink, makeBoolConst(true, false)), rows, true));
	}
	return strata_linear_union(arms, ctes);
}

/* ---- a row of a unique key ------------------------------------------------------------------------------ */

static bool
covers_index(Relation index, Query *body, List *quals)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indimmediate || !form->indisvalid ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		bool covered = false;
		ListCell *cell;

		foreach (cell, quals)
		{
			OpExpr *op = lfirst(cell);

			if (!IsA(op, OpExpr) || list_length(op->args) != 2 ||
				get_op_opfamily_strategy(op->opno, index->rd_opfamily[i]) != BTEqualStrategyNumber ||
				(OidIsValid(index->rd_indcollation[i]) && index->rd_indcollation[i] != op->inputcollid))
				continue;
			for (int side = 0; side < 2; side++)
			{
				Var *var = list_nth(op->args, side);

				if (IsA(var, Var) && var->varlevelsup == 0 && var->varattno == form->indkey.values[i] &&
					var->varno == 1 && !contain_vars_of_level(list_nth(op->args, 1 - side), 0))
					covered = true;
			}
		}
		if (!covered)
			return false;
	}
	return true;
}

/* (SELECT value FROM relation WHERE unique key = ...): at most one row? */
static bool
is_single_row(SubLink *link)
{
	Query *body = castNode(Query, link->subselect);
	RangeTblEntry *rte;
	Relation relation;
	bool result = false;
	ListCell *cell;

	if (link->subLinkType != EXPR_SUBLINK || body->setOperations != NULL || list_length(body->rtable) != 1 ||
		body->hasAggs || body->groupClause != NIL || body->limitCount != NULL || body->limitOffset != NULL ||
		body->hasTargetSRFs)
		return false;
	rte = linitial(body->rtable);
	/* children may hold the same key */
	if (rte->rtekind != RTE_RELATION || (rte->inh && has_subclass(rte->relid)))
		return false;
	relation = table_open(rte->relid, AccessShareLock);
	foreach (cell, RelationGetIndexList(relation))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		result = result || covers_index(index, body, strata_linear_conjuncts(body->jointree->quals));
		index_close(index, NoLock);
	}
	table_close(relation, NoLock);
	return result;
}

/* The sublink as a column of a LEFT JOIN below. */
static Query *
as_left_join(Query *level, SubLink *link)
{
	RangeTblEntry *left = linitial(level->rtable), *right;
	Query *body = castNode(Query, copyObject(link->subselect)), *joined, *result;
	List *quals = NIL, *targets;
	Node *value;

	body->distinctClause = body->sortClause = NIL;
	if (!strata_linear_decorrelate(&body, 2, &quals))
		return NULL;
	right = strata_linear_subquery(body, "looked_up", false);
	targets = all_columns(left);
	value = (Node *) strata_linear_column(right, 2, 1);
	strata_linear_add_target(&targets, value, "value");
	joined = strata_linear_join(left, right, JOIN_LEFT, quals, targets);
	result = substituted(
		level, (Node *) link,
		(Node *) makeVar(1, list_length(targets), exprType(value), exprTypmod(value), exprCollation(value), 0));
	/* the join is a query deeper than its sides were */
	IncrementVarSublevelsUp((Node *) joined, 1, 1);
	linitial(result->rtable) = strata_linear_subquery(joined, "rest", false);
	return result;
}

/* ---- the rest ------------------------------------------------------------------------------------------- */

/*
 * What a subquery reads, as an EXISTS: its FROM and WHERE, and the conditions between its rows and the level's. NULL when its value
 * depends on the change of anything else.
 */
static SubLink *
core_of(Query *body)
{
	SubLink *core = makeNode(SubLink);
	Query *query = makeNode(Query);

	if (body->setOperations != NULL || body->cteList != NIL || body->rowMarks != NIL ||
		strata_linear_reads((Node *) body->targetList) || strata_linear_reads(body->havingQual) ||
		strata_linear_reads(body->limitCount) || strata_linear_reads(body->limitOffset))
		return NULL;
	query->commandType = CMD_SELECT;
	query->rtable = body->rtable;
	query->jointree = body->jointree;
	core->subLinkType = EXISTS_SUBLINK;
	core->subselect = copyObject((Node *) query);
	core->location = -1;
	return core;
}

static void
unsupported(void)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("this subquery cannot be followed as signed rows")));
}

/* level: entry 1 and a body somewhere in it, made old by strata_linear_before(). */
static Query *
change_any(LinearContext *context, Query *level, Query *before, Query *body, List **ctes)
{
	LinearMatch match;
	RangeTblEntry *affected;
	List *arms = NIL;
	bool anti;
	SubLink *core = core_of(body);

	match.sides[0] = linitial(level->rtable);
	if (match.sides[0]->rtekind != RTE_SUBQUERY)
	{
		/* an outer join's side that is a relation: only its changed rows may differ in shape */
		unsupported();
	}
	if (core == NULL || !strata_linear_semi((Node *) core, &anti, &match.sides[1], &match.quals))
		unsupported();
	for (int i = 0; i < 2; i++)
		match.changes[i] = strata_linear_delta(context, match.sides[i], ctes);
	if (match.changes[0] != NULL)
		arms = lappend(arms, over(level, match.changes[0], false));
	if (match.changes[1] != NULL)
	{
		affected = strata_linear_nest(strata_linear_affected(&match, 1, all_columns(match.sides[0])), "affected");
		strata_linear_with(context, ctes, affected, "affected");
		arms = lappend(arms, over(level, affected, false));
		arms = lappend(arms, over(before, affected, true));
	}
	return strata_linear_union(arms, *ctes);
}

Query *
strata_linear_change_sublink(LinearContext *context, Query *level, Node *sublink)
{
	SubLink *link = (SubLink *) sublink;
	Node *by = strata_linear_as_exists(copyObject(link));
	LinearMatch match;
	List *ctes = NIL;
	Query *outer, *joined, *before;
	bool anti;

	if (by != NULL)
		return strata_linear_change(context, substituted(level, sublink, by));
	outer = strata_linear_peel(context, level, sublink);
	link =
		(SubLink *) strata_linear_find_sublink(context, (Node *) list_make2(outer->targetList, outer->jointree->quals));
	if (link == NULL)
		unsupported();
	match.sides[0] = linitial(outer->rtable);
	if (strata_linear_semi((Node *) link, &anti, &match.sides[1], &match.quals) &&
		!strata_linear_touches(context, (Node *) match.quals) && strata_linear_refuse(match.sides[1]->subquery) == NULL)
		return change_exists(context, outer, (Node *) link, &match);
	if (is_single_row(link) && (joined = as_left_join(outer, link)) != NULL)
		return strata_linear_change(context, joined);
	before = substituted(outer, (Node *) link, strata_linear_before(context, (Node *) link, &ctes));
	return change_any(context, outer, before, castNode(Query, link->subselect), &ctes);
}

/* FROM entry 1, LATERAL entry number. */
Query *
strata_linear_change_lateral(LinearContext *context, Query *outer, int number)
{
	Query *before;
	List *ctes = NIL;
	RangeTblEntry *first = linitial(outer->rtable), *lateral;

	outer = copyObject(outer);
	first = linitial(outer->rtable);
	if (first->rtekind == RTE_RELATION)
	{
		/* as a subquery of all its columns, in their places */
		RangeTblEntry *columns = strata_linear_rowset(first->relid, "", first->eref->aliasname);
		List *targets = NIL;

		for (int i = 1; i < list_length(columns->coltypes); i++)
			strata_linear_add_target(&targets,
									 get_rte_attribute_is_dropped(first, i)
										 ? strata_linear_int(0)
										 : (Node *) strata_linear_column(columns, 1, i),
									 strVal(list_nth(columns->eref->colnames, i - 1)));
		linitial(outer->rtable) =
			strata_linear_subquery(strata_linear_query(list_make1(first), NIL, targets), first->eref->aliasname, false);
	}
	before = copyObject(outer);
	lateral = list_nth(before->rtable, number - 1);
	lateral->subquery = castNode(Query, strata_linear_before(context, (Node *) lateral->subquery, &ctes));
	lateral = list_nth(outer->rtable, number - 1);
	return change_any(context, outer, before, lateral->subquery, &ctes);
}

/* ---- refusals ------------------------------------------------------------------------------------------- */

static bool
columns_walker(Node *node, char **reason)
{
	if (node == NULL || *reason != NULL)
		return *reason != NULL;
	if (IsA(node, Query))
	{
		*reason = strata_linear_refuse_columns((Query *) node, false);
		return *reason != NULL || query_tree_walker((Query *) node, columns_walker, reason, QTW_IGNORE_JOINALIASES);
	}
	return expression_tree_walker(node, columns_walker, reason);
}

static char *
refuse_body(Query *body)
{
	SubLink *core = core_of(body);
	RangeTblEntry *rows;
	List *quals;
	bool anti;
	char *reason = NULL;

	(void) columns_walker((Node *) body, &reason);
	if (reason != NULL)
		return reason;
	if (core == NULL)
		return "a set operation or WITH, or a subquery in the select list";
	if (!strata_linear_semi((Node *) core, &anti, &rows, &quals))
		return "it looks outside not only in its conditions";
	if (strata_linear_reads((Node *) quals))
		return "a subquery in a condition that looks outside";
	return strata_linear_refuse(rows->subquery);
}

char *
strata_linear_refuse_lateral(Query *body)
{
	char *reason = refuse_body(body);

	return reason == NULL ? NULL : psprintf("in a LATERAL subquery: %s", reason);
}

/* An expression that holds sublinks. */
char *
strata_linear_refuse_expression(Node *node)
{
	Node *link = strata_linear_find_sublink(NULL, node);
	char *reason = NULL;

	while (link != NULL && reason == NULL)
	{
		Substitution s = {link, makeBoolConst(true, false)};

		reason = strata_linear_refuse_sublink((SubLink *) link);
		node = substitute_mutator(node, &s);
		link = strata_linear_find_sublink(NULL, node);
	}
	return reason;
}

char *
strata_linear_refuse_sublink(SubLink *link)
{
	Node *by = strata_linear_as_exists(copyObject(link));
	RangeTblEntry *rows;
	List *quals;
	bool anti;
	char *reason;

	if (by != NULL)
		return strata_linear_refuse_expression(by);
	if (strata_linear_reads(link->testexpr))
		return "a subquery compared with a subquery";
	if (strata_linear_semi((Node *) link, &anti, &rows, &quals) && !strata_linear_reads((Node *) quals) &&
		strata_linear_refuse(rows->subquery) == NULL)
		return NULL;
	reason = refuse_body(castNode(Query, link->subselect));
	return reason == NULL ? NULL : psprintf("in a subquery: %s", reason);
}
