/*
 * algebra_final.c: an aggregate's value from the state, as PostgreSQL's own final functions compute it: the same value with the
 * same display scale.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"

#include "incremental/algebra_internal.h"

static char *
column_of(const AlgebraColumn *column, const char *prefix)
{
	return psprintf("%s%s", prefix, column->state.name);
}

/*
 * numeric_stddev_internal(): (N Σx² - (Σx)²) / (N (N - 1) or N²), 0 when that is not above 0. NaN and the infinite ones arrive at
 * NaN by themselves. Its square root is rounded to the scale of the variance. sqrt() of SQL may give more digits than that, and
 * rounding twice can go wrong, so it is asked for more digits than a value just below a half can need: with v of scale s, the
 * root is nearer to a half than 10^-s / (8 sqrt(v)) only if it is one.
 */
static char *
variance(const AlgebraAggregate *aggregate, const char *prefix)
{
	char *n = column_of(aggregate->count, prefix);
	char *sum = column_of(aggregate->sum, prefix);
	char *squares = column_of(aggregate->squares, prefix);
	char *divided;
	char *divisor;
	char *value;

	if (aggregate->sum->state.type != NUMERICOID)
		sum = psprintf("%s::numeric", sum);
	divided = psprintf("(%s * %s - %s * %s)", n, squares, sum, sum);
	divisor = aggregate->sample ? psprintf("(%s::numeric * (%s - 1))", n, n) : psprintf("(%s::numeric * %s)", n, n);
	value = psprintf("CASE WHEN %s <= 0 THEN 0 ELSE %s / %s END", divided, divided, divisor);
	if (aggregate->deviation)
		value = psprintf("(SELECT coalesce(round(sqrt(round(x.v, 2 * scale(x.v) + 10 + length(trunc(x.v)::text) / 2)), "
						 "scale(x.v)), x.v) FROM (SELECT %s AS v) AS x)",
						 value);
	return psprintf("CASE WHEN %s > %d THEN %s END", n, aggregate->sample ? 1 : 0, value);
}

char *
algebra_final(const AlgebraAggregate *aggregate, const char *prefix)
{
	char *count = aggregate->count == NULL ? NULL : column_of(aggregate->count, prefix);

	switch (aggregate->final)
	{
		case ALGEBRA_FINAL_COUNT:
			return count;
		case ALGEBRA_FINAL_SUM:
			return psprintf("CASE WHEN %s > 0 THEN %s END", count, column_of(aggregate->sum, prefix));
		case ALGEBRA_FINAL_AVG:
			return psprintf("CASE WHEN %s > 0 THEN %s%s / %s END", count, column_of(aggregate->sum, prefix),
							aggregate->sum->state.type == NUMERICOID ? "" : "::numeric", count);
		case ALGEBRA_FINAL_VARIANCE:
			return variance(aggregate, prefix);
		case ALGEBRA_FINAL_AND:
			return psprintf("CASE WHEN %s > 0 THEN %s = %s END", count, column_of(aggregate->trues, prefix), count);
		case ALGEBRA_FINAL_OR:
			return psprintf("CASE WHEN %s > 0 THEN %s > 0 END", count, column_of(aggregate->trues, prefix));
		case ALGEBRA_FINAL_EXTREMUM:
			return column_of(aggregate->extremum, prefix);
	}
	return NULL;
}
