/*
 * cast_funcs.c
 *		SQL entry points: strata.try_cast and strata.cast_error.
 *
 * Neither is pinned to a search_path by its SQL declaration. They run no SQL of
 * their own, a SET clause would cost more than the conversion, and text such as
 * 'my_table'::regclass has to mean here what it means to the plain cast.
 */
#include "cast/cast_internal.h"

#include "utils/builtins.h"

/* Longer values are copied to the heap; nearly none is. */
#define STACK_BUFFER 256

PG_FUNCTION_INFO_V1(strata_cast_try);
PG_FUNCTION_INFO_V1(strata_cast_error);

static inline StrataCast *
site_of(FunctionCallInfo fcinfo)
{
	StrataCast *cast = (StrataCast *) fcinfo->flinfo->fn_extra;

	return likely(cast != NULL) ? cast : strata_cast_site(fcinfo);
}

/* Runs the parser of a call site that has one. */
static inline bool
parse_value(StrataCast *cast, Datum value, Datum *result)
{
	text *source = DatumGetTextPP(value);
	Size len = VARSIZE_ANY_EXHDR(source);
	char buffer[STACK_BUFFER];
	char *str = len < STACK_BUFFER ? buffer : (char *) palloc(len + 1);
	bool converted;

	memcpy(str, VARDATA_ANY(source), len);
	str[len] = '\0';
	converted = !(cast->is_date && strata_cast_means_clock(str, len)) && cast->parse(cast, str, len, result);
	if (str != buffer)
		pfree(str);
	if (converted && cast->rescale)
		*result = DirectFunctionCall2(cast->rescale, *result, Int32GetDatum(cast->typmod));
	return converted;
}

/* A date that is another one every day; see cast_clock.c. */
static bool
is_clock(const StrataCast *cast, Datum value)
{
	text *source;

	if (!cast->is_date)
		return false;
	source = DatumGetTextPP(value);
	return strata_cast_means_clock(VARDATA_ANY(source), VARSIZE_ANY_EXHDR(source));
}

/*
 * strata.try_cast(value text, target anyelement): the converted value, or NULL.
 */
Datum
strata_cast_try(PG_FUNCTION_ARGS)
{
	StrataCast *cast = site_of(fcinfo);
	Datum result;
	bool isnull;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (likely(cast->parse != NULL))
	{
		if (parse_value(cast, PG_GETARG_DATUM(0), &result))
			return result;
		PG_RETURN_NULL();
	}
	if (is_clock(cast, PG_GETARG_DATUM(0)) ||
		!strata_cast_guarded(cast, PG_GETARG_DATUM(0), false, &result, &isnull, NULL) || isnull)
		PG_RETURN_NULL();
	return result;
}

/*
 * strata.cast_error(value text, target anyelement): why try_cast gives NULL for
 * this value, in the server's own words; NULL when it converts.
 *
 * A value is first tried the cheap way. Only one that fails is converted again
 * by the plain cast, which says why.
 */
Datum
strata_cast_error(PG_FUNCTION_ARGS)
{
	StrataCast *cast = site_of(fcinfo);
	Datum result;
	bool isnull;
	char *reason;

	if (PG_ARGISNULL(0) && !cast->is_domain)
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(0) && is_clock(cast, PG_GETARG_DATUM(0)))
		PG_RETURN_TEXT_P(cstring_to_text("the value means the clock: it would be another one every day"));
	if (cast->parse && parse_value(cast, PG_GETARG_DATUM(0), &result))
		PG_RETURN_NULL();
	if (strata_cast_guarded(cast, PG_GETARG_DATUM(0), PG_ARGISNULL(0), &result, &isnull, &reason))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}
