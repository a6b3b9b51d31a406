/*
 * linear_refusal.c: why the change of a query cannot be had as signed rows.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "incremental/linear_internal.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

static char *
refuse_relation(const RangeTblEntry *rte)
{
	HeapTuple tuple;
	Form_pg_class form;
	char *reason = NULL;

	if (rte->tablesample != NULL)
		return psprintf("TABLESAMPLE of %s", get_rel_name(rte->relid));
	if (rte->securityQuals != NIL)
		return psprintf("row-level security of %s", get_rel_name(rte->relid));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(rte->relid));
	if (!HeapTupleIsValid(tuple))
		return psprintf("relation %u does not exist", rte->relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (get_attnum(rte->relid, STRATA_SIGN) != InvalidAttrNumber)
		reason = psprintf("a column of %s is called " STRATA_SIGN, NameStr(form->relname));
	else if (check_enable_rls(rte->relid, InvalidOid, true) == RLS_ENABLED)
		reason = psprintf("row-level security of %s", NameStr(form->relname));
	ReleaseSysCache(tuple);
	return reason;
}

typedef struct Columns
{
	const Query *query;
	bool rows; /* whole rows of relations are put together again */
	int sublevels;
	char *reason;
} Columns;

/* Whole rows and system columns: a row set has neither. */
static bool
columns_walker(Node *node, Columns *c)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;
		RangeTblEntry *rte;

		if (var->varlevelsup != c->sublevels || var->varattno > 0)
			return false;
		rte = rt_fetch(var->varno, c->query->rtable);
		if (var->varattno < 0)
			c->reason = psprintf("a system column of %s", rte->eref->aliasname);
		else if ((rte->rtekind == RTE_RELATION && !c->rows) || rte->rtekind == RTE_SUBQUERY || rte->rtekind == RTE_JOIN)
			c->reason = psprintf("a whole row of %s", rte->eref->aliasname);
		return c->reason != NULL;
	}
	if (IsA(node, Query))
	{
		bool result;

		c->sublevels++;
		result = query_tree_walker((Query *) node, columns_walker, c, QTW_IGNORE_JOINALIASES);
		c->sublevels--;
		return result;
	}
	return expression_tree_walker(node, columns_walker, c);
}

char *
strata_linear_refuse_columns(const Query *query, bool rows)
{
	Columns c = {query, rows, 0, NULL};

	(void) query_tree_walker((Query *) query, columns_walker, &c, QTW_IGNORE_JOINALIASES);
	return c.reason;
}

static char *
refuse_shape(const Query *query)
{
	if (query->commandType != CMD_SELECT || query->utilityStmt != NULL)
		return "not a SELECT";
	if (query->cteList != NIL)
		return query->hasRecursive ? "WITH RECURSIVE" : "WITH";
	if (query->limitCount != NULL || query->limitOffset != NULL)
		return "LIMIT";
	if (query->rowMarks != NIL)
		return "FOR UPDATE";
	if (query->hasAggs || query->groupClause != NIL || query->groupingSets != NIL || query->havingQual != NULL)
		return "grouping";
	if (query->distinctClause != NIL)
		return "DISTINCT";
	if (query->hasWindowFuncs)
		return "window functions";
	if (query->hasModifyingCTE)
		return "a WITH that writes";
	return NULL;
}

static char *
refuse_union(Query *query, Node *node)
{
	SetOperationStmt *op = (SetOperationStmt *) node;
	char *reason;

	if (IsA(node, RangeTblRef))
		return strata_linear_refuse(rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery);
	if (op->op != SETOP_UNION || !op->all)
		return op->op == SETOP_UNION ? "UNION" : op->op == SETOP_INTERSECT ? "INTERSECT" : "EXCEPT";
	reason = refuse_union(query, op->larg);
	return reason != NULL ? reason : refuse_union(query, op->rarg);
}

static char *
refuse_entry(RangeTblEntry *rte)
{
	if (!strata_linear_reads((Node *) rte))
		return rte->rtekind == RTE_CTE ? psprintf("WITH query %s", rte->ctename) : NULL;
	if (rte->rtekind == RTE_RELATION)
		return refuse_relation(rte);
	if (rte->rtekind == RTE_SUBQUERY)
		return strata_linear_refuse(rte->subquery);
	return psprintf("%s reads tables inside its arguments", rte->eref->aliasname);
}

/* LATERAL subqueries that are not linear, or stand under an outer join: one of a level can be followed. */
static char *
refuse_lateral(Query *query, bool outer)
{
	RangeTblEntry *dependent = NULL;
	char *reason;
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);

		if (rte->rtekind == RTE_JOIN)
			continue;
		if (!rte->lateral || !strata_linear_reads((Node *) rte) || rte->rtekind != RTE_SUBQUERY)
		{
			if ((reason = refuse_entry(rte)) != NULL)
				return reason;
			continue;
		}
		if (dependent != NULL)
			return "LATERAL beside LATERAL";
		if (!outer && strata_linear_refuse(rte->subquery) == NULL)
			continue;
		if ((reason = strata_linear_refuse_lateral(rte->subquery)) != NULL)
			return reason;
		if (outer && ((RangeTblEntry *) linitial(query->rtable))->rtekind != RTE_RELATION &&
			((RangeTblEntry *) linitial(query->rtable))->rtekind != RTE_SUBQUERY)
			return "LATERAL under an outer join of a function";
		dependent = rte;
	}
	return NULL;
}

/* A canonical level, or an outer query. */
static char *
refuse_level(Query *query)
{
	bool outer = strata_linear_is_outer(query);
	char *reason;
	ListCell *cell;

	if ((reason = refuse_lateral(query, outer)) != NULL)
		return reason;
	if (outer)
		return strata_linear_reads(strata_linear_outer_join(query)->quals)
				   ? "a subquery in the condition of an outer join"
				   : NULL;
	foreach (cell, strata_linear_conjuncts(query->jointree->quals))
	{
		RangeTblEntry *rows;
		List *quals;
		bool anti;

		if (strata_linear_reads(lfirst(cell)) &&
			!(strata_linear_semi(lfirst(cell), &anti, &rows, &quals) && !strata_linear_reads((Node *) quals) &&
			  strata_linear_refuse(rows->subquery) == NULL) &&
			(reason = strata_linear_refuse_expression(lfirst(cell))) != NULL)
			return reason;
	}
	return strata_linear_refuse_expression((Node *) query->targetList);
}

char *
strata_linear_refuse(Query *query)
{
	char *reason;

	check_stack_depth();
	if ((reason = refuse_shape(query)) != NULL)
		return reason;
	if (query->setOperations != NULL)
		return refuse_union(query, query->setOperations);
	if ((reason = strata_linear_refuse_columns(query, true)) != NULL)
		return reason;
	return refuse_level(strata_linear_is_outer(query) ? query : strata_linear_canonical(query));
}

char *
strata_incremental_linear_refusal(Query *query)
{
	ListCell *cell;

	if (contain_volatile_functions((Node *) query))
		return "a volatile function";
	foreach (cell, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (target->resname != NULL && strcmp(target->resname, STRATA_SIGN) == 0)
			return "a column is called " STRATA_SIGN;
	}
	return strata_linear_refuse(query);
}
