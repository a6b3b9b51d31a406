/*
 * cast_site.c
 *		Learns, at the first row, what a call site converts to and how.
 */
#include "cast/cast_internal.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/*
 * The type modifier that the second argument carries: of NULL::numeric(5,2)
 * the (5,2). The planner keeps it when it folds the constant.
 */
static int32
target_typmod(FunctionCallInfo fcinfo)
{
	Node *call = fcinfo->flinfo->fn_expr;

	if (call && IsA(call, FuncExpr) && list_length(((FuncExpr *) call)->args) == 2)
		return exprTypmod((Node *) lsecond(((FuncExpr *) call)->args));
	return -1;
}

/*
 * Builds `value::target` as the parser would, over a placeholder of type text.
 * Errors here are the caller's (no such cast), never a matter of data.
 */
static Expr *
explicit_cast(Oid target, int32 typmod, Oid collation)
{
	CaseTestExpr *placeholder = makeNode(CaseTestExpr);
	Node *expr;

	placeholder->typeId = TEXTOID;
	placeholder->typeMod = -1;
	placeholder->collation = collation;
	expr = coerce_to_target_type(NULL, (Node *) placeholder, TEXTOID, target, typmod, COERCION_EXPLICIT,
								 COERCE_EXPLICIT_CAST, -1);
	if (expr == NULL)
		ereport(ERROR, (errcode(ERRCODE_CANNOT_COERCE), errmsg("cannot cast type text to %s", format_type_be(target)),
						errhint("Give a second argument of a type that text can be cast to.")));
	assign_expr_collations(NULL, expr);
	return expression_planner((Expr *) expr);
}

/*
 * Makes the expression ready to run, again after an error: its functions may
 * have been left half way. In a context of its own, so that this leaks nothing.
 */
void
strata_cast_prepare(StrataCast *cast, MemoryContext parent)
{
	MemoryContext old;

	if (cast->context == NULL)
		cast->context = AllocSetContextCreate(parent, "strata cast", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cast->context);
	cast->econtext = CreateStandaloneExprContext();
	cast->state = ExecInitExpr(cast->expr, NULL);
	MemoryContextSwitchTo(old);
}

/* Explicit casts to string types cut and pad; they refuse nothing. */
static bool
parse_string(StrataCast *cast, char *str, Size len, Datum *result)
{
	*result = PointerGetDatum(cstring_to_text_with_len(str, len));
	if (cast->typmod >= 0)
		*result = DirectFunctionCall3(cast->target_base == BPCHAROID ? bpchar : varchar, *result,
									  Int32GetDatum(cast->typmod), BoolGetDatum(true));
	return true;
}

/*
 * Finds the way without a guard, if there is one: the cast is the target's
 * input function (somebody may have made a cast function for it), followed by
 * nothing that could fail.
 */
static void
choose_parser(StrataCast *cast, MemoryContext context)
{
	int32 typmod = cast->typmod;
	Oid base = getBaseTypeAndTypmod(cast->target, &typmod);
	Oid function;

	cast->target_base = base;
	cast->typmod = typmod;
	if (base == TEXTOID || base == VARCHAROID || base == BPCHAROID)
	{
		cast->parse = parse_string;
		return;
	}
	if (find_coercion_pathway(base, TEXTOID, COERCION_EXPLICIT, &function) != COERCION_PATH_COERCEVIAIO)
		return;
	if (typmod >= 0)
	{
		switch (base)
		{
			case NUMERICOID:
				break; /* the parser sees to it */
			case TIMEOID:
				cast->rescale = time_scale;
				break;
			case TIMETZOID:
				cast->rescale = timetz_scale;
				break;
			case TIMESTAMPOID:
				cast->rescale = timestamp_scale;
				break;
			case TIMESTAMPTZOID:
				cast->rescale = timestamptz_scale;
				break;
			default:
				return;
		}
	}
	strata_cast_choose_parser(cast, base, context);
}

/* Builds the state of a call site and leaves it in fn_extra. */
StrataCast *
strata_cast_site(FunctionCallInfo fcinfo)
{
	FmgrInfo *flinfo = fcinfo->flinfo;
	MemoryContext old;
	StrataCast *cast;
	StrataCastTraits traits = {0};
	Oid target = get_fn_expr_argtype(flinfo, 1);
	char typtype;

	if (!OidIsValid(target))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE), errmsg("could not determine the target type of the cast"),
				 errhint("Give a typed second argument, such as NULL::integer.")));
	typtype = get_typtype(target);
	if (typtype == TYPTYPE_PSEUDO)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("cannot cast text to pseudo-type %s", format_type_be(target)),
						errhint("Give a second argument of a concrete type, such as NULL::integer.")));

	old = MemoryContextSwitchTo(flinfo->fn_mcxt);
	cast = (StrataCast *) palloc0(sizeof(StrataCast));
	cast->target = target;
	cast->typmod = target_typmod(fcinfo);
	cast->collation = fcinfo->fncollation;
	cast->is_domain = typtype == TYPTYPE_DOMAIN;
	cast->is_date = strata_cast_is_date(target);
	cast->expr = explicit_cast(target, cast->typmod, cast->collation);
	MemoryContextSwitchTo(old);

	strata_cast_inspect_type(target, &traits);
	strata_cast_inspect_expr((Node *) cast->expr, &traits);
	cast->foreign_code = traits.foreign_code;
	cast->extension_code = traits.extension_code;
	if (!traits.hard_errors && !traits.constrained)
		choose_parser(cast, flinfo->fn_mcxt);

	flinfo->fn_extra = cast;
	return cast;
}
