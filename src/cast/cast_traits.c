/*
 * cast_traits.c
 *		What code a conversion runs: the server's, an extension's, a user's.
 *
 * It decides which errors are a matter of data (cast_guard.c), and whether a
 * type reports them softly. An input function calls others out of sight of any
 * expression tree (of an array's elements, a row's columns, a domain's base), so
 * types are walked as well as expressions.
 */
#include "cast/cast_internal.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

static void
inspect_function(Oid function, StrataCastTraits *traits)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid language;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);

	if (language == ClanguageId)
		traits->extension_code = true;
	else if (language != INTERNALlanguageId)
		traits->foreign_code = true;
}

/* Types of the server whose input functions throw nothing about data, from the first version with soft errors on. */
static bool
reports_softly(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case BYTEAOID:
		case CHAROID:
		case NAMEOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case CASHOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
		case INETOID:
		case CIDROID:
		case MACADDROID:
		case MACADDR8OID:
		case BITOID:
		case VARBITOID:
		case POINTOID:
		case LSEGOID:
		case PATHOID:
		case BOXOID:
		case POLYGONOID:
		case LINEOID:
		case CIRCLEOID:
			return true;
		default:
			return false;
	}
}

static void
inspect_row_type(Oid type, StrataCastTraits *traits)
{
	TupleDesc desc = lookup_rowtype_tupdesc(type, -1);

	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			strata_cast_inspect_type(TupleDescAttr(desc, i)->atttypid, traits);
	}
	ReleaseTupleDesc(desc);
}

static void
inspect_domain(Oid type, StrataCastTraits *traits)
{
	DomainConstraintRef *ref;
	ListCell *lc;

	/* The reference is let go with the context it is registered in: the current, short-lived one. */
	ref = (DomainConstraintRef *) palloc(sizeof(DomainConstraintRef));
	InitDomainConstraintRef(type, ref, CurrentMemoryContext, false);
	foreach (lc, ref->constraints)
	{
		DomainConstraintState *constraint = (DomainConstraintState *) lfirst(lc);

		traits->constrained = true;
		strata_cast_inspect_expr((Node *) constraint->check_expr, traits);
	}
	strata_cast_inspect_type(getBaseType(type), traits);
}

/* Adds what the input function of a type, and those it calls, bring in. */
void
strata_cast_inspect_type(Oid type, StrataCastTraits *traits)
{
	Oid input;
	Oid ioparam;
	Oid element;

	check_stack_depth();
	getTypeInputInfo(type, &input, &ioparam);
	inspect_function(input, traits);

	element = get_element_type(type);
	if (OidIsValid(element))
	{
		strata_cast_inspect_type(element, traits);
		return;
	}
	switch (get_typtype(type))
	{
		case TYPTYPE_DOMAIN:
			inspect_domain(type, traits);
			break;
		case TYPTYPE_COMPOSITE:
			inspect_row_type(type, traits);
			break;
		case TYPTYPE_RANGE:
			strata_cast_inspect_type(get_range_subtype(type), traits);
			break;
		case TYPTYPE_MULTIRANGE:
			strata_cast_inspect_type(get_multirange_range(type), traits);
			break;
		case TYPTYPE_ENUM:
			break;
		default:
			if (!reports_softly(type))
				traits->hard_errors = true;
			break;
	}
}

static bool
inspect_function_checker(Oid function, void *context)
{
	inspect_function(function, (StrataCastTraits *) context);
	return false;
}

static bool
inspect_walker(Node *node, StrataCastTraits *traits)
{
	if (node == NULL)
		return false;
	check_functions_in_node(node, inspect_function_checker, traits);
	return expression_tree_walker(node, inspect_walker, (void *) traits);
}

/* Adds what the functions of an expression bring in. */
void
strata_cast_inspect_expr(Node *expr, StrataCastTraits *traits)
{
	inspect_walker(expr, traits);
}
