/*
 * deterministic.c: does a query's result hang on nothing but the rows it reads?
 *
 * Immutable built-in functions and those of extensions do. Of the stable ones only those are let through that hang on
 * settings a model keeps (time zone, date style) or on the types of their arguments. A user's own function may be
 * replaced at any time, so it never counts.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "fence/fence.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static const char *const settled[] = {
	"to_char",
	"to_date",
	"to_timestamp",
	"date_trunc",
	"date_part",
	"extract",
	"timezone",
	"timestamptz",
	"timestamp",
	"date",
	"timetz",
	"time",
	"age",
	"concat",
	"concat_ws",
	"format",
	"array_to_string",
	"to_json",
	"to_jsonb",
	"row_to_json",
	"json_build_object",
	"json_build_array",
	"jsonb_build_object",
	"jsonb_build_array",
	"textanycat",
	"anytextcat",
	"quote_literal",
	"quote_nullable",
	"make_timestamptz",
	"string_to_array",
	"overlaps",
	"isfinite",
	"array_agg",
	"jsonb_agg",
	"json_agg",
	"jsonb_object_agg",
	"json_object_agg",
	"count",
	"generate_series",
};

typedef struct Finding
{
	char *why;      /* what was found */
	List **trusted; /* immutable functions of users, which are let through; NULL: they are not */
} Finding;

static bool
because(void *context, char *why)
{
	((Finding *) context)->why = why;
	return true;
}

static bool
changes(Oid funcid)
{
	char volatility = func_volatile(funcid);
	char *name;
	bool comparison;

	if (funcid >= FirstNormalObjectId)
	{
		Oid extension = getExtensionOfObject(ProcedureRelationId, funcid);

		return !OidIsValid(extension) ||
			   (volatility != PROVOLATILE_IMMUTABLE && extension != get_extension_oid("pg_strata", true));
	}
	if (volatility == PROVOLATILE_IMMUTABLE)
		return false;
	if (volatility == PROVOLATILE_VOLATILE)
		return true;
	name = get_func_name(funcid);
	for (int i = 0; i < (int) lengthof(settled); i++)
		if (strcmp(name, settled[i]) == 0)
			return strcmp(name, "age") == 0 && get_func_nargs(funcid) == 1;
	/* comparisons and arithmetic between dates and times of different kinds hang on the time zone alone */
	comparison = strncmp(name, "date_", 5) == 0 || strncmp(name, "timestamp_", 10) == 0 ||
				 strncmp(name, "timestamptz_", 12) == 0 || strncmp(name, "interval_", 9) == 0 ||
				 strncmp(name, "in_range_", 9) == 0;
	/* input and output functions of types, as casts through text use them */
	return !comparison && !(strlen(name) > 3 && (strcmp(name + strlen(name) - 3, "out") == 0 ||
												 strcmp(name + strlen(name) - 2, "in") == 0));
}

static bool
may_change(Oid funcid, void *context)
{
	if (!changes(funcid))
		return false;
	if (func_volatile(funcid) == PROVOLATILE_IMMUTABLE && ((Finding *) context)->trusted)
	{
		*((Finding *) context)->trusted = list_append_unique_oid(*((Finding *) context)->trusted, funcid);
		return false;
	}
	if (func_volatile(funcid) == PROVOLATILE_IMMUTABLE)
		return because(context, psprintf("calls %s(), which may be replaced at any time", get_func_name(funcid)));
	return because(context, psprintf("calls %s()", get_func_name(funcid)));
}

/* The text of a name's value can change while no row does: relations are renamed. (So are labels of enums: fence.c watches them.) */
static bool
has_renamed_text(Oid type)
{
	Oid base = getBaseType(type);
	Oid element = get_element_type(base);

	if (OidIsValid(element))
		base = getBaseType(element);
	return TypeCategory(base) == TYPCATEGORY_COMPOSITE || base == REGCLASSOID || base == REGTYPEOID ||
		   base == REGROLEOID || base == REGNAMESPACEOID || base == REGPROCOID || base == REGPROCEDUREOID ||
		   base == REGOPEROID || base == REGOPERATOROID || base == REGCONFIGOID || base == REGDICTIONARYOID ||
		   base == REGCOLLATIONOID || base == RECORDOID;
}

static bool
reads_the_clock(Oid type)
{
	Oid base = getBaseType(type);

	return base == DATEOID || base == TIMESTAMPOID || base == TIMESTAMPTZOID || base == TIMEOID || base == TIMETZOID;
}

/* Arguments whose meaning is kept elsewhere: text search configurations, names of objects. */
static bool
has_object_argument(const List *args)
{
	ListCell *lc;

	foreach (lc, args)
	{
		Oid type = exprType(lfirst(lc));

		if (type == REGCONFIGOID || type == REGDICTIONARYOID || type == REGCLASSOID)
			return true;
	}
	return false;
}

/* strata.try_cast takes no word for the clock, but what a timetz without a zone means hangs on the day. */
static bool
is_our_cast(const FuncExpr *call)
{
	return strata_base_is_ours(call->funcid) && getBaseType(call->funcresulttype) != TIMETZOID;
}

/* by: what writes it */
static char *
text_of(Oid type, const char *by)
{
	Oid element = get_base_element_type(type);

	if (type_is_rowtype(OidIsValid(element) ? element : type))
		return psprintf("writes a whole row as text (%s)", by);
	return psprintf("writes the name of an object as text (%s)", by);
}

static char *
text_by_cast(const CoerceViaIO *cast)
{
	Oid from = exprType((Node *) cast->arg);
	char *by = psprintf("a cast from %s to %s", format_type_be(from), format_type_be(cast->resulttype));

	return text_of(has_renamed_text(from) ? from : cast->resulttype, by);
}

static bool
walk(Node *node, void *context)
{
	if (node == NULL)
		return false;
	/* a whole row has the columns its table has at the time */
	if (IsA(node, Var) && ((Var *) node)->varattno == InvalidAttrNumber)
		return because(context, "uses a whole row as a value");
	/* 'now' and 'today' are dates too */
	if (IsA(node, CoerceViaIO) && reads_the_clock(((CoerceViaIO *) node)->resulttype))
		return because(context, "reads a text as a date or time: 'now' is one");
	if (IsA(node, CoerceViaIO) && (has_renamed_text(exprType((Node *) ((CoerceViaIO *) node)->arg)) ||
								   has_renamed_text(((CoerceViaIO *) node)->resulttype)))
		return because(context, text_by_cast((CoerceViaIO *) node));
	if ((IsA(node, FuncExpr) && has_object_argument(((FuncExpr *) node)->args)) ||
		(IsA(node, OpExpr) && has_object_argument(((OpExpr *) node)->args)))
		return because(context, "depends on an object of the database, such as a text search configuration");
	/* strata.try_cast reads texts as dates, and so does any stable function that gives one for a text */
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid >= FirstNormalObjectId &&
		func_volatile(((FuncExpr *) node)->funcid) == PROVOLATILE_STABLE &&
		reads_the_clock(((FuncExpr *) node)->funcresulttype) && !is_our_cast((FuncExpr *) node))
		return because(context, psprintf("calls %s(): 'now' is a time", get_func_name(((FuncExpr *) node)->funcid)));
	if (IsA(node, FuncExpr) && func_volatile(((FuncExpr *) node)->funcid) == PROVOLATILE_STABLE)
	{
		ListCell *lc;

		/* format, concat, to_jsonb and their like write their arguments as text */
		foreach (lc, ((FuncExpr *) node)->args)
			if (has_renamed_text(exprType(lfirst(lc))))
				return because(context, text_of(exprType(lfirst(lc)),
												psprintf("%s()", get_func_name(((FuncExpr *) node)->funcid))));
	}
	if (IsA(node, SQLValueFunction))
		return because(context, "uses the date, the time or the user (current_date, current_user, ...)");
	if (IsA(node, NextValueExpr))
		return because(context, "takes values of a sequence");
	if (check_functions_in_node(node, may_change, context))
		return true;
	if (IsA(node, Query))
	{
		ListCell *lc;

		foreach (lc, ((Query *) node)->rtable)
			if (((RangeTblEntry *) lfirst(lc))->tablesample != NULL)
				return because(context, "reads a sample (TABLESAMPLE)");
		return query_tree_walker((Query *) node, walk, context, 0);
	}
	return expression_tree_walker(node, walk, context);
}

char *
strata_fence_nondeterminism(Query *query, List **trusted)
{
	Finding finding = {NULL, trusted};

	if (!walk((Node *) query, &finding))
		return NULL;
	return finding.why;
}

bool
strata_fence_is_deterministic(Query *query)
{
	return strata_fence_nondeterminism(query, NULL) == NULL;
}
