/*
 * algebra_exact.c: what is known of the values of an expression: whether equal ones look the same, and with how many
 * decimals a numeric is shown.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "incremental/algebra_internal.h"

/* Are values that are equal the same in every bit? As deduplicating btrees ask; and numerics of one scale are. */
bool
algebra_equal_is_same(Oid type, int32 typmod, Oid collation, int scale)
{
	Oid base = getBaseTypeAndTypmod(type, &typmod);
	TypeCacheEntry *entry;
	Oid proc;

	if (base == NUMERICOID)
		return scale >= 0;
	if (base == BPCHAROID && typmod < 0)
		return false;
	entry = lookup_type_cache(base, TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(entry->btree_opf))
		return false;
	proc = get_opfamily_proc(entry->btree_opf, entry->btree_opintype, entry->btree_opintype, BTEQUALIMAGE_PROC);
	if (!OidIsValid(proc) || (type_is_collatable(base) && !OidIsValid(collation)))
		return false;
	return DatumGetBool(OidFunctionCall1Coll(proc, collation, ObjectIdGetDatum(entry->btree_opintype)));
}

static int
typmod_scale(int32 typmod)
{
	int scale;

	if (typmod < (int32) VARHDRSZ)
		return -1;
	/* eleven bits with a sign, as numeric_typmod_scale(); below zero it rounds, and shows no decimals */
	scale = (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
	return Max(scale, 0);
}

/* All of them the same, NULLs aside? */
static int
common_scale(Query *query, List *exprs)
{
	int result = -1;
	ListCell *cell;

	foreach (cell, exprs)
	{
		Node *expr = lfirst(cell);
		int scale;

		if (expr == NULL || (IsA(expr, Const) && ((Const *) expr)->constisnull))
			continue;
		scale = algebra_scale(query, expr);
		if (scale < 0 || (result >= 0 && scale != result))
			return -1;
		result = scale;
	}
	return result;
}

static int
function_scale(Query *query, Oid function, List *args)
{
	Node *first = linitial(args);
	int left, right;

	switch (function)
	{
		case F_NUMERIC_INT2:
		case F_NUMERIC_INT4:
		case F_NUMERIC_INT8:
		case F_ROUND_NUMERIC:
		case F_TRUNC_NUMERIC:
			return 0;
		case F_NUMERIC_UMINUS:
		case F_NUMERIC_UPLUS:
		case F_NUMERIC_ABS:
		case F_ABS_NUMERIC:
			return algebra_scale(query, first);
		case F_NUMERIC_ADD:
		case F_NUMERIC_SUB:
			left = algebra_scale(query, first);
			right = algebra_scale(query, lsecond(args));
			return left < 0 || right < 0 ? -1 : Max(left, right);
		case F_NUMERIC_MUL:
			left = algebra_scale(query, first);
			right = algebra_scale(query, lsecond(args));
			return left < 0 || right < 0 || left + right > NUMERIC_MAX_RESULT_SCALE ? -1 : left + right;
		case F_ROUND_NUMERIC_INT4:
		case F_TRUNC_NUMERIC_INT4:
		{
			Const *digits = lsecond(args);

			if (!IsA(digits, Const) || digits->constisnull)
				return -1;
			left = DatumGetInt32(digits->constvalue);
			return left > NUMERIC_MAX_RESULT_SCALE ? -1 : Max(left, 0);
		}
		default:
			return -1;
	}
}

static int
var_scale(Query *query, Var *var)
{
	RangeTblEntry *rte;

	if (var->varlevelsup != 0 || var->varno > list_length(query->rtable))
		return -1;
	rte = rt_fetch(var->varno, query->rtable);
	/* functions may return rows that their column's modifier does not hold for */
	if (rte->rtekind == RTE_FUNCTION || rte->rtekind == RTE_TABLEFUNC)
		return -1;
	return typmod_scale(var->vartypmod);
}

/* The display scale that every value of a numeric expression has, NULL, NaN and the infinite ones aside; -1: unknown. */
int
algebra_scale(Query *query, Node *expr)
{
	int32 domain_typmod = -1;
	Oid type = expr == NULL ? InvalidOid : exprType(expr);

	if (!OidIsValid(type) || getBaseTypeAndTypmod(type, &domain_typmod) != NUMERICOID)
		return -1;
	if (domain_typmod >= 0)
		return typmod_scale(domain_typmod);
	switch (nodeTag(expr))
	{
		case T_Var:
			return var_scale(query, (Var *) expr);
		case T_Const:
		{
			Const *constant = (Const *) expr;
			Datum scale;

			if (constant->constisnull || numeric_is_nan(DatumGetNumeric(constant->constvalue)) ||
				numeric_is_inf(DatumGetNumeric(constant->constvalue)))
				return -1;
			scale = DirectFunctionCall1(numeric_scale, constant->constvalue);
			return DatumGetInt32(scale);
		}
		case T_FuncExpr:
		{
			FuncExpr *call = (FuncExpr *) expr;
			int32 typmod;

			if (exprIsLengthCoercion(expr, &typmod) && call->funcid == F_NUMERIC_NUMERIC_INT4)
				return typmod_scale(typmod);
			return call->args == NIL ? -1 : function_scale(query, call->funcid, call->args);
		}
		case T_OpExpr:
			return function_scale(query, get_opcode(((OpExpr *) expr)->opno), ((OpExpr *) expr)->args);
		case T_RelabelType:
			return algebra_scale(query, (Node *) ((RelabelType *) expr)->arg);
		case T_CoerceToDomain:
			return algebra_scale(query, (Node *) ((CoerceToDomain *) expr)->arg);
		case T_CoalesceExpr:
			return common_scale(query, ((CoalesceExpr *) expr)->args);
		case T_MinMaxExpr:
			return common_scale(query, ((MinMaxExpr *) expr)->args);
		case T_CaseExpr:
		{
			CaseExpr *choice = (CaseExpr *) expr;
			List *results = list_make1(choice->defresult);
			ListCell *cell;

			foreach (cell, choice->args)
				results = lappend(results, lfirst_node(CaseWhen, cell)->result);
			return common_scale(query, results);
		}
		default:
			return -1;
	}
}

/* As it has to be written: no search_path finds those outside pg_catalog. */
char *
algebra_operator(Oid operator)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	if (form->oprnamespace == PG_CATALOG_NAMESPACE)
		result = pstrdup(NameStr(form->oprname));
	else
		result = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
						  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

char *
algebra_function(Oid function)
{
	Oid schema = get_func_namespace(function);
	char *name = get_func_name(function);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for function %u", function);
	return schema == PG_CATALOG_NAMESPACE ? pstrdup(quote_identifier(name))
										  : quote_qualified_identifier(get_namespace_name(schema), name);
}
