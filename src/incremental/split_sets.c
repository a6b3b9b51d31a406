/*
 * split_sets.c: set operations and grouping sets by UNION ALL, grouping and filters.
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_agg.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/fmgroids.h"

#include "incremental/incremental_internal.h"

#define MAX_GROUPING_SETS 64
#define INT8_GREATER_OPERATOR 413 /* int8 > int8; like every built-in operator it keeps its number */
#define INT8_MINUS_OPERATOR 685

/* ---- UNION ALL ---- */

static Query *
union_all(List *branches, const SetOperationStmt *like)
{
	Query *query = makeNode(Query);
	Node *tree = NULL;
	ListCell *lc;

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	foreach (lc, branches)
	{
		RangeTblRef *reference = makeNode(RangeTblRef);
		SetOperationStmt *both;
		char *alias = psprintf("u%d", list_length(query->rtable) + 1);

		query->rtable = lappend(query->rtable, incremental_subquery_entry(lfirst(lc), alias));
		reference->rtindex = list_length(query->rtable);
		if (tree == NULL)
		{
			tree = (Node *) reference;
			continue;
		}
		both = makeNode(SetOperationStmt);
		both->op = SETOP_UNION;
		both->all = true;
		both->larg = tree;
		both->rarg = (Node *) reference;
		if (like != NULL)
		{
			both->colTypes = like->colTypes;
			both->colTypmods = like->colTypmods;
			both->colCollations = like->colCollations;
		}
		else
		{
			ListCell *column;

			foreach (column, incremental_visible(linitial_node(Query, branches)))
			{
				Node *expression = (Node *) lfirst_node(TargetEntry, column)->expr;

				both->colTypes = lappend_oid(both->colTypes, exprType(expression));
				both->colTypmods = lappend_int(both->colTypmods, exprTypmod(expression));
				both->colCollations = lappend_oid(both->colCollations, exprCollation(expression));
			}
		}
		tree = (Node *) both;
	}
	query->setOperations = tree;
	foreach (lc, incremental_visible(linitial_node(Query, branches)))
	{
		TargetEntry *entry = lfirst(lc);
		Var *column = incremental_column(1, entry->resno, (Node *) entry->expr);

		if (like != NULL)
		{
			column->vartypmod = list_nth_int(like->colTypmods, entry->resno - 1);
			column->varcollid = list_nth_oid(like->colCollations, entry->resno - 1);
		}
		query->targetList =
			lappend(query->targetList, makeTargetEntry((Expr *) column, entry->resno, entry->resname, false));
	}
	return query;
}

/* The branch with the column types of the whole; PostgreSQL converts them only when it plans. */
static Query *
coerced(Query *branch, const SetOperationStmt *whole)
{
	bool fits = true;
	ListCell *lc;

	foreach (lc, incremental_visible(branch))
	{
		TargetEntry *entry = lfirst(lc);

		fits &= exprType((Node *) entry->expr) == list_nth_oid(whole->colTypes, entry->resno - 1);
	}
	if (fits)
		return branch;
	branch = incremental_select_from(branch, "b");
	foreach (lc, branch->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		Oid type = list_nth_oid(whole->colTypes, entry->resno - 1);
		Node *expression = coerce_to_target_type(NULL, (Node *) entry->expr, exprType((Node *) entry->expr), type, -1,
												 COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);

		if (expression != NULL)
			entry->expr = (Expr *) expression;
	}
	return branch;
}

/* ---- the other set operations ---- */

static Query *
grouped(Query *rows, const SetOperationStmt *whole)
{
	Query *query = incremental_select_from(rows, "u");
	ListCell *lc;

	foreach (lc, query->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		SortGroupClause *clause;

		if (entry->resno > list_length(whole->groupClauses))
			continue;
		clause = copyObject(list_nth_node(SortGroupClause, whole->groupClauses, entry->resno - 1));
		entry->ressortgroupref = clause->tleSortGroupRef = entry->resno;
		query->groupClause = lappend(query->groupClause, clause);
	}
	return query;
}

static Node *
int8_constant(int64 value)
{
	return (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(value), false, FLOAT8PASSBYVAL);
}

static Node *
int4_constant(int32 value)
{
	return (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(value), false, true);
}

static Expr *
count_of_side(Var *side, int number)
{
	Aggref *count = makeNode(Aggref);

	count->aggfnoid = F_COUNT_;
	count->aggtype = INT8OID;
	count->aggstar = true;
	count->aggkind = 'n';
	count->aggno = count->aggtransno = -1;
	count->location = -1;
	count->aggfilter = make_opclause(Int4EqualOperator, BOOLOID, false, (Expr *) copyObject(side),
									 (Expr *) int4_constant(number), InvalidOid, InvalidOid);
	return (Expr *) count;
}

static Expr *
above_zero(Node *count)
{
	return make_opclause(INT8_GREATER_OPERATOR, BOOLOID, false, (Expr *) count, (Expr *) int8_constant(0), InvalidOid,
						 InvalidOid);
}

/* How often a row is in the result: a function in FROM that gives as many rows. */
static RangeTblEntry *
repeat(Node *times)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblFunction *function = makeNode(RangeTblFunction);

	function->funcexpr =
		(Node *) makeFuncExpr(F_GENERATE_SERIES_INT8_INT8, INT8OID, list_make2(int8_constant(1), times), InvalidOid,
							  InvalidOid, COERCE_EXPLICIT_CALL);
	((FuncExpr *) function->funcexpr)->funcretset = true;
	function->funccolcount = 1;
	rte->rtekind = RTE_FUNCTION;
	rte->functions = list_make1(function);
	rte->alias = makeAlias("times", list_make1(makeString("n")));
	rte->eref = makeAlias("times", list_make1(makeString("n")));
	rte->lateral = true;
	rte->inFromCl = true;
	return rte;
}

/* INTERSECT and EXCEPT: the rows of both sides by image, counted by side. */
static Query *
compared(Query *left, Query *right, const SetOperationStmt *whole)
{
	int columns = list_length(whole->colTypes);
	Query *both[2] = {incremental_select_from(left, "l"), incremental_select_from(right, "r")};
	Query *query, *groups;
	Node *counts[2];
	RangeTblRef *reference;
	List *names = NIL;
	ListCell *lc;

	foreach (lc, both[0]->targetList)
		names = lappend(names, makeString(lfirst_node(TargetEntry, lc)->resname));
	for (int side = 0; side < 2; side++)
		both[side]->targetList =
			lappend(both[side]->targetList,
					makeTargetEntry((Expr *) int4_constant(side + 1), columns + 1, pstrdup("strata_side"), false));
	incremental_rename(both[1], names);
	groups = grouped(union_all(list_make2(both[0], both[1]), NULL), whole);
	{
		Var *side = castNode(Var, llast_node(TargetEntry, groups->targetList)->expr);

		groups->targetList = list_truncate(groups->targetList, columns);
		for (int i = 0; i < 2; i++)
			groups->targetList =
				lappend(groups->targetList, makeTargetEntry(count_of_side(side, i + 1), columns + 1 + i,
															pstrdup(i == 0 ? "strata_left" : "strata_right"), false));
		groups->hasAggs = true;
	}
	query = incremental_select_from(groups, "g");
	for (int i = 0; i < 2; i++)
		counts[i] = (Node *) list_nth_node(TargetEntry, query->targetList, columns + i)->expr;
	query->targetList = list_truncate(query->targetList, columns);
	if (!whole->all)
	{
		Expr *right_one = above_zero(counts[1]);

		if (whole->op == SETOP_EXCEPT)
			right_one = makeBoolExpr(NOT_EXPR, list_make1(right_one), -1);
		query->jointree->quals = (Node *) makeBoolExpr(AND_EXPR, list_make2(above_zero(counts[0]), right_one), -1);
		return query;
	}
	if (whole->op == SETOP_INTERSECT)
	{
		MinMaxExpr *least = makeNode(MinMaxExpr);

		least->minmaxtype = INT8OID;
		least->op = IS_LEAST;
		least->args = list_make2(counts[0], counts[1]);
		least->location = -1;
		query->rtable = lappend(query->rtable, repeat((Node *) least));
	}
	else
		query->rtable = lappend(query->rtable,
								repeat((Node *) make_opclause(INT8_MINUS_OPERATOR, INT8OID, false, (Expr *) counts[0],
															  (Expr *) counts[1], InvalidOid, InvalidOid)));
	reference = makeNode(RangeTblRef);
	reference->rtindex = 2;
	query->jointree->fromlist = lappend(query->jointree->fromlist, reference);
	return query;
}

/* Branches of a UNION ALL, flat. */
static List *
branches_of(Query *query)
{
	List *branches = NIL;
	ListCell *lc;
	SetOperationStmt *tree = (SetOperationStmt *) query->setOperations;

	if (tree == NULL || IsA(tree, RangeTblRef))
		return list_make1(query);
	foreach (lc, query->rtable)
		branches = lappend(branches, lfirst_node(RangeTblEntry, lc)->subquery);
	return branches;
}

static Query *
build(Query *query, Node *node, List *names)
{
	SetOperationStmt *whole = (SetOperationStmt *) node;
	Query *left, *right;
	List *branches;

	if (IsA(node, RangeTblRef))
	{
		Query *leaf = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery;

		incremental_rename(leaf, names);
		return leaf;
	}
	left = coerced(build(query, whole->larg, names), whole);
	right = coerced(build(query, whole->rarg, names), whole);
	if (whole->op != SETOP_UNION)
		return compared(left, right, whole);
	/* what was built here is a flat UNION ALL; one that a branch's own text holds stays a level */
	branches = IsA(whole->larg, SetOperationStmt) && left->setOperations != NULL ? branches_of(left) : list_make1(left);
	branches =
		list_concat(branches, IsA(whole->rarg, SetOperationStmt) && right->setOperations != NULL ? branches_of(right)
																								 : list_make1(right));
	if (whole->all)
		return union_all(branches, whole);
	return grouped(union_all(branches, whole), whole);
}

Query *
incremental_split_set_operations(Query *query)
{
	List *names = NIL;
	ListCell *lc;

	foreach (lc, incremental_visible(query))
		names = lappend(names, makeString(lfirst_node(TargetEntry, lc)->resname));
	return build(query, query->setOperations, names);
}

/* ---- grouping sets ---- */

typedef struct OneSet
{
	List *present; /* Node *: expressions that group */
	List *absent;
	List *references; /* int: of those that group */
} OneSet;

static Node *
one_set_mutator(Node *node, OneSet *set)
{
	ListCell *lc;

	if (node == NULL)
		return NULL;
	foreach (lc, set->present)
		if (equal(lfirst(lc), node))
			return node;
	foreach (lc, set->absent)
		if (equal(lfirst(lc), node))
			return (Node *) makeNullConst(exprType(node), exprTypmod(node), exprCollation(node));
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
		return node;
	if (IsA(node, GroupingFunc) && ((GroupingFunc *) node)->agglevelsup == 0)
	{
		int bits = 0;

		foreach (lc, ((GroupingFunc *) node)->refs)
			bits = (bits << 1) | (list_member_int(set->references, lfirst_int(lc)) ? 0 : 1);
		return int4_constant(bits);
	}
	if (IsA(node, Query))
		return node;
	return expression_tree_mutator(node, one_set_mutator, set);
}

static Query *
one_grouping(Query *query, List *references)
{
	Query *group = copyObject(query);
	OneSet set = {NIL, NIL, references};
	List *entries = NIL;
	List *clauses = NIL;
	ListCell *lc;

	foreach (lc, group->groupClause)
	{
		SortGroupClause *clause = lfirst(lc);
		TargetEntry *entry = get_sortgroupref_tle(clause->tleSortGroupRef, group->targetList);

		if (list_member_int(references, clause->tleSortGroupRef))
		{
			set.present = lappend(set.present, copyObject(entry->expr));
			clauses = lappend(clauses, clause);
		}
		else
			set.absent = lappend(set.absent, copyObject(entry->expr));
	}
	foreach (lc, group->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		bool present = list_member_int(references, entry->ressortgroupref);

		if (entry->resjunk && !present)
			continue;
		if (!present)
			entry->ressortgroupref = 0;
		entry->expr = (Expr *) one_set_mutator((Node *) entry->expr, &set);
		entries = lappend(entries, entry);
	}
	group->targetList = entries;
	group->havingQual = one_set_mutator(group->havingQual, &set);
	group->groupingSets = NIL;
	group->groupDistinct = false;
	group->groupClause = clauses;
	/* GROUP BY () is one row, also without an aggregate */
	if (clauses == NIL && !contain_aggs_of_level((Node *) group->targetList, 0) && group->havingQual == NULL)
		group->havingQual = makeBoolConst(true, false);
	incremental_renumber(group);
	return group;
}

Query *
incremental_split_grouping_sets(Query *query)
{
	List *sets = expand_grouping_sets(query->groupingSets, query->groupDistinct, MAX_GROUPING_SETS);
	List *branches = NIL;
	ListCell *lc;

	if (sets == NIL)
		return NULL;
	foreach (lc, sets)
		branches = lappend(branches, one_grouping(query, lfirst(lc)));
	return list_length(branches) == 1 ? linitial(branches) : union_all(branches, NULL);
}
