/*
 * linear_build.c: queries put together node by node. They are made to be printed and parsed again, so only what
 * printing looks at is filled in: no permissions, no join columns, no levels of CTEs.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "incremental/linear_internal.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

static RangeTblEntry *
entry(RTEKind kind, const char *alias, List *columns)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = kind;
	rte->alias = makeAlias(alias, NIL);
	rte->eref = makeAlias(alias, columns);
	rte->inFromCl = true;
	return rte;
}

static List *
column_names(const Query *query)
{
	List *names = NIL;
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (!target->resjunk)
			names = lappend(names, makeString(pstrdup(target->resname ? target->resname : "?column?")));
	}
	return names;
}

RangeTblEntry *
strata_linear_subquery(Query *query, const char *alias, bool lateral)
{
	RangeTblEntry *rte = entry(RTE_SUBQUERY, alias, column_names(query));

	rte->subquery = query;
	rte->lateral = lateral;
	return rte;
}

RangeTblEntry *
strata_linear_nest(Query *query, const char *alias)
{
	IncrementVarSublevelsUp((Node *) query, 1, 1);
	return strata_linear_subquery(query, alias, false);
}

RangeTblEntry *
strata_linear_cte(const char *name, Query *body, const char *alias)
{
	RangeTblEntry *rte = entry(RTE_CTE, alias, column_names(body));
	ListCell *cell;

	rte->ctename = pstrdup(name);
	foreach (cell, body->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (target->resjunk)
			continue;
		rte->coltypes = lappend_oid(rte->coltypes, exprType((Node *) target->expr));
		rte->coltypmods = lappend_int(rte->coltypmods, exprTypmod((Node *) target->expr));
		rte->colcollations = lappend_oid(rte->colcollations, exprCollation((Node *) target->expr));
	}
	return rte;
}

/* The change of a relation: its columns by number, then the sign. */
RangeTblEntry *
strata_linear_rowset(Oid relid, const char *rowset, const char *alias)
{
	RangeTblEntry *rte = entry(RTE_CTE, alias, NIL);
	Relation relation = table_open(relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(relation);

	rte->ctename = pstrdup(rowset);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool dropped = att->attisdropped;

		rte->eref->colnames = lappend(rte->eref->colnames, makeString(pstrdup(NameStr(att->attname))));
		rte->coltypes = lappend_oid(rte->coltypes, dropped ? INT4OID : att->atttypid);
		rte->coltypmods = lappend_int(rte->coltypmods, dropped ? -1 : att->atttypmod);
		rte->colcollations = lappend_oid(rte->colcollations, dropped ? InvalidOid : att->attcollation);
	}
	table_close(relation, NoLock);
	rte->eref->colnames = lappend(rte->eref->colnames, makeString(STRATA_SIGN));
	rte->coltypes = lappend_oid(rte->coltypes, INT4OID);
	rte->coltypmods = lappend_int(rte->coltypmods, -1);
	rte->colcollations = lappend_oid(rte->colcollations, InvalidOid);
	return rte;
}

static Query *
select_from(List *rtable, List *targets)
{
	Query *query = makeNode(Query);
	ListCell *cell;
	AttrNumber number = 1;

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->rtable = rtable;
	query->jointree = makeFromExpr(NIL, NULL);
	query->targetList = targets;
	foreach (cell, targets)
		lfirst_node(TargetEntry, cell)->resno = number++;
	return query;
}

static Node *
conjunction(List *quals)
{
	if (quals == NIL)
		return NULL;
	return list_length(quals) == 1 ? linitial(quals) : (Node *) makeBoolExpr(AND_EXPR, quals, -1);
}

static void
note_sublinks(Query *query)
{
	query->hasSubLinks =
		checkExprHasSubLink((Node *) query->jointree) || checkExprHasSubLink((Node *) query->targetList);
}

Query *
strata_linear_query(List *rtable, List *quals, List *targets)
{
	Query *query = select_from(rtable, targets);

	for (int i = 1; i <= list_length(rtable); i++)
	{
		RangeTblRef *ref = makeNode(RangeTblRef);

		ref->rtindex = i;
		query->jointree->fromlist = lappend(query->jointree->fromlist, ref);
	}
	query->jointree->quals = conjunction(quals);
	note_sublinks(query);
	return query;
}

/* The join's columns, as printing needs them: those of both sides. */
static void
add_join_columns(RangeTblEntry *joined, int number, RangeTblEntry *side, List **columns)
{
	for (int i = 1; i <= list_length(side->eref->colnames); i++)
	{
		char *name = strVal(list_nth(side->eref->colnames, i - 1));

		if (name[0] == '\0' || (side->rtekind == RTE_RELATION && get_rte_attribute_is_dropped(side, i)))
			continue;
		joined->eref->colnames = lappend(joined->eref->colnames, makeString(pstrdup(name)));
		joined->joinaliasvars = lappend(joined->joinaliasvars, makeVar(number, i, INT4OID, -1, InvalidOid, 0));
		*columns = lappend_int(*columns, i);
	}
}

Query *
strata_linear_join(RangeTblEntry *left, RangeTblEntry *right, JoinType type, List *quals, List *targets)
{
	RangeTblEntry *joined = entry(RTE_JOIN, "unnamed_join", NIL);
	JoinExpr *join = makeNode(JoinExpr);
	RangeTblRef *l = makeNode(RangeTblRef), *r = makeNode(RangeTblRef);
	Query *query = select_from(list_make3(left, right, joined), targets);

	query->querySource = QSRC_PARSER; /* our mark: strata_linear_is_outer() */
	joined->alias = NULL;
	joined->jointype = type;
	add_join_columns(joined, 1, left, &joined->joinleftcols);
	add_join_columns(joined, 2, right, &joined->joinrightcols);
	l->rtindex = 1;
	r->rtindex = 2;
	join->jointype = type;
	join->larg = (Node *) l;
	join->rarg = (Node *) r;
	join->quals = quals == NIL ? makeBoolConst(true, false) : conjunction(quals);
	join->rtindex = 3;
	query->jointree->fromlist = list_make1(join);
	note_sublinks(query);
	return query;
}

static Node *
union_tree(const List *arms, int count)
{
	RangeTblRef *ref = makeNode(RangeTblRef);
	SetOperationStmt *all;
	ListCell *cell;

	ref->rtindex = count;
	if (count == 1)
		return (Node *) ref;
	all = makeNode(SetOperationStmt);
	all->op = SETOP_UNION;
	all->all = true;
	all->larg = union_tree(arms, count - 1);
	all->rarg = (Node *) ref;
	foreach (cell, ((Query *) linitial(arms))->targetList)
	{
		Node *expr = (Node *) lfirst_node(TargetEntry, cell)->expr;

		all->colTypes = lappend_oid(all->colTypes, exprType(expr));
		all->colTypmods = lappend_int(all->colTypmods, exprTypmod(expr));
		all->colCollations = lappend_oid(all->colCollations, exprCollation(expr));
	}
	return (Node *) all;
}

/* The UNION ALL of queries, under a WITH list. */
Query *
strata_linear_union(List *arms, List *ctes)
{
	Query *query, *first = linitial(arms);
	List *rtable = NIL, *targets = NIL;
	ListCell *cell;
	int number = 0;

	if (list_length(arms) == 1)
	{
		first->cteList = list_concat(ctes, first->cteList);
		return first;
	}
	foreach (cell, arms)
		rtable = lappend(rtable, strata_linear_nest(lfirst(cell), psprintf("*SELECT* %d", ++number)));
	foreach (cell, first->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);
		Node *expr = (Node *) target->expr;

		strata_linear_add_target(
			&targets, (Node *) makeVar(1, target->resno, exprType(expr), exprTypmod(expr), exprCollation(expr), 0),
			target->resname);
	}
	query = select_from(rtable, targets);
	query->cteList = ctes;
	query->setOperations = union_tree(arms, list_length(arms));
	return query;
}

/* Puts the subquery of rte on the WITH list, and a reference to it in its place: it may be read more than once. */
void
strata_linear_with(LinearContext *context, List **ctes, RangeTblEntry *rte, const char *what)
{
	CommonTableExpr *cte;
	Query *body = rte->subquery;

	if (rte->rtekind != RTE_SUBQUERY || rte->lateral)
		return;
	cte = makeNode(CommonTableExpr);
	cte->ctename = psprintf("strata_%s_%d", what, ++context->names);
	cte->ctematerialized = CTEMaterializeDefault;
	cte->ctequery = (Node *) body;
	cte->location = -1;
	*ctes = lappend(*ctes, cte);
	*rte = *strata_linear_cte(cte->ctename, body, rte->eref->aliasname);
}

Expr *
strata_linear_op(const char *name, Node *left, Node *right)
{
	ParseState *state = make_parsestate(NULL);
	Expr *result =
		make_op(state, list_make2(makeString("pg_catalog"), makeString(pstrdup(name))), left, right, NULL, -1);

	free_parsestate(state);
	return result;
}

Node *
strata_linear_int(int value)
{
	return (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(value), false, true);
}

Node *
strata_linear_case(Node *condition, Node *then, Node *otherwise)
{
	CaseExpr *expr = makeNode(CaseExpr);
	CaseWhen *when = makeNode(CaseWhen);

	when->expr = (Expr *) condition;
	when->result = (Expr *) then;
	when->location = -1;
	expr->casetype = exprType(then);
	expr->casecollid = InvalidOid;
	expr->args = list_make1(when);
	expr->defresult = (Expr *) otherwise;
	expr->location = -1;
	return (Node *) expr;
}

/* An aggregate of one argument, or none (NULL: count(*)). */
Node *
strata_linear_aggregate(Oid function, Oid result, Node *argument)
{
	Aggref *agg = makeNode(Aggref);

	agg->aggfnoid = function;
	agg->aggtype = result;
	agg->aggkind = AGGKIND_NORMAL;
	agg->aggsplit = AGGSPLIT_SIMPLE;
	agg->aggno = agg->aggtransno = -1;
	agg->location = -1;
	if (argument != NULL)
	{
		agg->args = list_make1(makeTargetEntry((Expr *) argument, 1, NULL, false));
		agg->aggargtypes = list_make1_oid(exprType(argument));
	}
	else
		agg->aggstar = true;
	return (Node *) agg;
}

/* A column of a subquery, CTE or row set. */
Var *
strata_linear_column(RangeTblEntry *rte, int varno, int column)
{
	if (rte->rtekind == RTE_CTE)
		return makeVar(varno, column, list_nth_oid(rte->coltypes, column - 1),
					   list_nth_int(rte->coltypmods, column - 1), list_nth_oid(rte->colcollations, column - 1), 0);
	Assert(rte->rtekind == RTE_SUBQUERY);
	{
		Node *expr = (Node *) ((TargetEntry *) list_nth(rte->subquery->targetList, column - 1))->expr;

		return makeVar(varno, column, exprType(expr), exprTypmod(expr), exprCollation(expr), 0);
	}
}

/* The sign is the last column. */
Var *
strata_linear_sign(RangeTblEntry *rte, int varno)
{
	return strata_linear_column(rte, varno,
								list_length(rte->rtekind == RTE_CTE ? rte->coltypes : rte->subquery->targetList));
}

Node *
strata_linear_times(Node *a, Node *b)
{
	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	return (Node *) strata_linear_op("*", a, b);
}

Node *
strata_linear_negate(Node *sign)
{
	return sign == NULL ? strata_linear_int(-1) : (Node *) strata_linear_op("-", NULL, sign);
}

void
strata_linear_add_target(List **targets, Node *expr, const char *name)
{
	*targets = lappend(*targets, makeTargetEntry((Expr *) expr, list_length(*targets) + 1, pstrdup(name), false));
}

List *
strata_linear_plain_targets(const List *targets)
{
	List *result = NIL;
	ListCell *cell;

	foreach (cell, targets)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (!target->resjunk)
			strata_linear_add_target(&result, copyObject((Node *) target->expr),
									 target->resname ? target->resname : "?column?");
	}
	return result;
}

List *
strata_linear_signed_targets(const List *targets, Node *sign)
{
	List *result = strata_linear_plain_targets(targets);

	strata_linear_add_target(&result, sign == NULL ? strata_linear_int(1) : sign, STRATA_SIGN);
	return result;
}

/* GROUP BY these targets, counted from 1. */
List *
strata_linear_group(List *targets, int first, int last)
{
	List *clauses = NIL;

	for (int i = first; i <= last; i++)
	{
		TargetEntry *target = list_nth(targets, i - 1);
		SortGroupClause *clause = makeNode(SortGroupClause);

		get_sort_group_operators(exprType((Node *) target->expr), false, true, false, &clause->sortop, &clause->eqop,
								 NULL, &clause->hashable);
		clause->tleSortGroupRef = target->ressortgroupref = i;
		clauses = lappend(clauses, clause);
	}
	return clauses;
}

/* A copy of the list with the item at index (from 0) replaced. */
List *
strata_linear_replace(List *list, int index, void *item)
{
	List *result = list_copy(list);

	lfirst(list_nth_cell(result, index)) = item;
	return result;
}

/* ---- whole rows ----------------------------------------------------------------------------------------- */

/* path: the queries around, innermost first */
static Node *
rows_mutator(Node *node, List **path)
{
	Var *var = (Var *) node;
	RangeTblEntry *rte;
	TupleDesc desc;
	RowExpr *row;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Query *query;

		*path = lcons(node, *path);
		query = query_tree_mutator((Query *) node, rows_mutator, path, QTW_IGNORE_JOINALIASES);
		*path = list_delete_first(*path);
		return (Node *) query;
	}
	if (!IsA(node, Var) || var->varattno != 0 || var->vartype == RECORDOID || var->varlevelsup >= list_length(*path))
		return expression_tree_mutator(node, rows_mutator, path);
	rte = rt_fetch(var->varno, ((Query *) list_nth(*path, var->varlevelsup))->rtable);
	if (rte->rtekind != RTE_CTE && rte->rtekind != RTE_SUBQUERY)
		return copyObject(node);
	desc = lookup_rowtype_tupdesc(var->vartype, -1);
	row = makeNode(RowExpr);
	row->row_typeid = var->vartype;
	row->row_format = COERCE_EXPLICIT_CAST;
	row->location = -1;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		row->args =
			lappend(row->args, att->attisdropped ? (Node *) makeNullConst(INT4OID, -1, InvalidOid)
												 : (Node *) makeVar(var->varno, i + 1, att->atttypid, att->atttypmod,
																	att->attcollation, var->varlevelsup));
	}
	ReleaseTupleDesc(desc);
	return (Node *) row;
}

Query *
strata_linear_make_rows(Query *query)
{
	List *path = NIL;

	return (Query *) rows_mutator((Node *) query, &path);
}
