/*
 * algebra_null.c: which expressions over a level's FROM are never NULL: a key of such needs no branch for NULLs, an argument no count of its own.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_constraint.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "incremental/algebra_internal.h"

/* Rows of the entry may be filled with NULLs. */
static bool
is_filled(Node *node, int varno, bool filled)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		return filled && ((RangeTblRef *) node)->rtindex == varno;
	if (IsA(node, FromExpr))
	{
		foreach (lc, ((FromExpr *) node)->fromlist)
			if (is_filled(lfirst(lc), varno, filled))
				return true;
		return false;
	}
	if (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;

		return is_filled(join->larg, varno, filled || join->jointype == JOIN_RIGHT || join->jointype == JOIN_FULL) ||
			   is_filled(join->rarg, varno, filled || join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL);
	}
	return true;
}

/* WHERE says so. */
static bool
is_demanded(Node *condition, Node *expr)
{
	ListCell *lc;

	if (condition == NULL)
		return false;
	if (is_andclause(condition))
	{
		foreach (lc, ((BoolExpr *) condition)->args)
			if (is_demanded(lfirst(lc), expr))
				return true;
		return false;
	}
	return IsA(condition, NullTest) && ((NullTest *) condition)->nulltesttype == IS_NOT_NULL &&
		   !((NullTest *) condition)->argisrow && equal(((NullTest *) condition)->arg, expr);
}

static bool
is_not_null(Oid relid, AttrNumber column)
{
	HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(column));
	bool is = HeapTupleIsValid(tuple) && ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return is && strata_not_null_is_valid(relid, column);
}

static bool
var_is_never_null(Query *query, Var *var)
{
	RangeTblEntry *rte;

	if (var->varlevelsup != 0 || var->varattno <= 0 || var->varno > list_length(query->rtable))
		return false;
	rte = rt_fetch(var->varno, query->rtable);
	/* of a foreign table nobody knows whether it keeps its word, nor of tables that inherit from one */
	if (rte->rtekind != RTE_RELATION ||
		!(rte->relkind == RELKIND_PARTITIONED_TABLE ||
		  (rte->relkind == RELKIND_RELATION && !(rte->inh && has_subclass(rte->relid)))))
		return false;
	return is_not_null(rte->relid, var->varattno) && !is_filled((Node *) query->jointree, var->varno, false);
}

/* Give a value, or an error, for what is not NULL. */
static bool
gives_values(Oid function)
{
	switch (function)
	{
		case F_INT2PL:
		case F_INT2MI:
		case F_INT2MUL:
		case F_INT4PL:
		case F_INT4MI:
		case F_INT4MUL:
		case F_INT4DIV:
		case F_INT4MOD:
		case F_INT8PL:
		case F_INT8MI:
		case F_INT8MUL:
		case F_INT8DIV:
		case F_INT24PL:
		case F_INT42PL:
		case F_INT24MUL:
		case F_INT42MUL:
		case F_INT48PL:
		case F_INT84PL:
		case F_INT48MUL:
		case F_INT84MUL:
		case F_INT4UM:
		case F_INT8UM:
		case F_INT4_INT2:
		case F_INT8_INT2:
		case F_INT8_INT4:
		case F_INT4_INT8:
		case F_NUMERIC_ADD:
		case F_NUMERIC_SUB:
		case F_NUMERIC_MUL:
		case F_NUMERIC_DIV:
		case F_NUMERIC_UMINUS:
		case F_NUMERIC_INT2:
		case F_NUMERIC_INT4:
		case F_NUMERIC_INT8:
		case F_NUMERIC_NUMERIC_INT4:
		case F_ROUND_NUMERIC:
		case F_ROUND_NUMERIC_INT4:
		case F_UPPER_TEXT:
		case F_LOWER_TEXT:
			return true;
		default:
			return false;
	}
}

static bool
all_never_null(Query *query, List *exprs)
{
	ListCell *lc;

	foreach (lc, exprs)
		if (!algebra_never_null(query, lfirst(lc)))
			return false;
	return true;
}

bool
algebra_never_null(Query *query, Node *expr)
{
	ListCell *lc;

	if (expr == NULL)
		return false;
	if (is_demanded(query->jointree->quals, expr))
		return true;
	switch (nodeTag(expr))
	{
		case T_Var:
			return var_is_never_null(query, (Var *) expr);
		case T_Const:
			return !((Const *) expr)->constisnull;
		case T_NullTest:
			return !((NullTest *) expr)->argisrow;
		case T_BooleanTest:
			return true;
		case T_FuncExpr:
			return gives_values(((FuncExpr *) expr)->funcid) && all_never_null(query, ((FuncExpr *) expr)->args);
		case T_OpExpr:
			return gives_values(get_opcode(((OpExpr *) expr)->opno)) && all_never_null(query, ((OpExpr *) expr)->args);
		case T_RelabelType:
			return algebra_never_null(query, (Node *) ((RelabelType *) expr)->arg);
		case T_CoalesceExpr:
			foreach (lc, ((CoalesceExpr *) expr)->args)
				if (algebra_never_null(query, lfirst(lc)))
					return true;
			return false;
		case T_CaseExpr:
			foreach (lc, ((CaseExpr *) expr)->args)
				if (!algebra_never_null(query, (Node *) lfirst_node(CaseWhen, lc)->result))
					return false;
			return algebra_never_null(query, (Node *) ((CaseExpr *) expr)->defresult);
		default:
			return false;
	}
}
