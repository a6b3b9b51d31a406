/*
 * cast_soft.c
 *		Parsers for servers whose input functions report bad data softly.
 */
#include "cast/cast_internal.h"

#include "base/compat.h"

#if STRATA_SOFT_ERRORS

#include <ctype.h>

#include "catalog/pg_type.h"
#include "nodes/miscnodes.h"
#include "utils/lsyscache.h"

/* More digits after the point than this do not fit in an unconstrained numeric. */
#define NUMERIC_SCALE_LIMIT 16383

static bool
parse_input(StrataCast *cast, char *str, Size len, Datum *result)
{
	ErrorSaveContext escontext = {T_ErrorSaveContext};

	return InputFunctionCallSafe(&cast->input, str, cast->ioparam, -1, (Node *) &escontext, result);
}

/*
 * The explicit cast reads an unconstrained numeric first and rounds it then,
 * so that a value beyond all limits is refused even where rounding would bring
 * it back: 1e-20000 to numeric(5,2).
 */
static bool
parse_numeric(StrataCast *cast, char *str, Size len, Datum *result)
{
	ErrorSaveContext escontext = {T_ErrorSaveContext};

	if ((len > NUMERIC_SCALE_LIMIT || strpbrk(str, "eE")) && !parse_input(cast, str, len, result))
		return false;
	return InputFunctionCallSafe(&cast->input, str, cast->ioparam, cast->typmod, (Node *) &escontext, result);
}

/* Letters other than the T and Z of ISO 8601. */
static bool
has_words(const char *str)
{
	for (; *str; str++)
	{
		int letter = *str | 0x20;

		if (letter >= 'a' && letter <= 'z' && letter != 't' && letter != 'z')
			return true;
	}
	return false;
}

/* Dates and instants, without the search for words that name no time zone. */
static bool
parse_time(StrataCast *cast, char *str, Size len, Datum *result)
{
	if (has_words(str))
	{
		StrataTimeFields fields;

		if (ParseDateTime(str, fields.buffer, sizeof(fields.buffer), fields.field, fields.type, MAXDATEFIELDS,
						  &fields.count) != 0 ||
			strata_cast_check_zones(cast, &fields) == TIME_REFUSED)
			return false;
	}
	return parse_input(cast, str, len, result);
}

bool
strata_cast_choose_parser(StrataCast *cast, Oid base, MemoryContext context)
{
	Oid input;

	getTypeInputInfo(base, &input, &cast->ioparam);
	fmgr_info_cxt(input, &cast->input, context);
	if (base == DATEOID || base == TIMESTAMPOID || base == TIMESTAMPTZOID)
		cast->parse = parse_time;
	else
		cast->parse = base == NUMERICOID && cast->typmod >= 0 ? parse_numeric : parse_input;
	return true;
}

#endif /* STRATA_SOFT_ERRORS */
