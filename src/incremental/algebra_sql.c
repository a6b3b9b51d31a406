/*
 * algebra_sql.c: the statements that keep the state of groups. How each kind of column is computed from the rows, from the
 * signed rows, and from the old state and its change, is said once, in the three functions *_of() below.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "incremental/algebra_internal.h"

/* More keys than these are compared as one text where some of them are NULL: each has to be NULL or not in every way. */
#define MAX_KEYS_BY_PATTERN 3

/* Rows of a group that one scale may have, as a power of ten; and the largest scale that is told apart. */
#define SCALE_DIGITS 12
#define SCALE_LIMIT 1000

AlgebraPlan *
algebra_plan_of(const StrataAlgebra *algebra)
{
	return (AlgebraPlan *) algebra->private;
}

/* ---- columns from rows ---- */

static char *
scale_unit(const char *value)
{
	/* no scale: NULL, and so not counted */
	return psprintf("CASE scale(%s) WHEN 0 THEN 1 WHEN 1 THEN 1e%d WHEN 2 THEN 1e%d WHEN 3 THEN 1e%d WHEN 4 THEN 1e%d "
					"ELSE CASE WHEN scale(%s) > %d THEN 1e%d ELSE ('1e' || %d * scale(%s))::numeric END END",
					value, SCALE_DIGITS, 2 * SCALE_DIGITS, 3 * SCALE_DIGITS, 4 * SCALE_DIGITS, value, SCALE_LIMIT,
					SCALE_DIGITS * SCALE_LIMIT, SCALE_DIGITS, value);
}

static char *
square(const AlgebraArgument *argument, const char *value)
{
	switch (argument->type)
	{
		case INT2OID:
		case INT4OID:
			return psprintf("%s::bigint * %s", value, value);
		case INT8OID:
			return psprintf("%s::numeric * %s", value, value);
		default:
			return psprintf("%s * %s", value, value);
	}
}

/* The column from all rows of the group. */
static char *
fresh_of(const AlgebraColumn *column)
{
	char *a = column->argument == NULL ? NULL : psprintf("a%d", column->argument->number);

	switch (column->role)
	{
		case ALGEBRA_KEY:
			return column->state.name;
		case ALGEBRA_ROWS:
			return "count(*)";
		case ALGEBRA_COUNT:
			return psprintf("count(%s)", a);
		case ALGEBRA_TRUES:
			return psprintf("count(*) FILTER (WHERE %s)", a);
		case ALGEBRA_SUM:
			return psprintf("coalesce(sum(%s), 0)", a);
		case ALGEBRA_SQUARES:
			return psprintf("coalesce(sum(%s), 0)", square(column->argument, a));
		case ALGEBRA_SCALES:
			return psprintf("coalesce(sum(%s), 0)", scale_unit(a));
		case ALGEBRA_EXTREMUM:
			return psprintf("%s(%s)", algebra_function(column->aggregate), a);
	}
	return NULL;
}

/* By how much it changes, from the signed rows. A sign need not be 1 or -1, so integers get room for it first. */
static char *
change_of(const AlgebraColumn *column)
{
	char *a = column->argument == NULL ? NULL : psprintf("a%d", column->argument->number);
	Oid type = column->argument == NULL ? InvalidOid : column->argument->type;

	switch (column->role)
	{
		case ALGEBRA_KEY:
			return column->state.name;
		case ALGEBRA_ROWS:
			return "coalesce(sum(" STRATA_SIGN "), 0)";
		case ALGEBRA_COUNT:
			return psprintf("coalesce(sum(" STRATA_SIGN ") FILTER (WHERE %s %s), 0)", a,
							strata_base_is_null(type, false));
		case ALGEBRA_TRUES:
			return psprintf("coalesce(sum(" STRATA_SIGN ") FILTER (WHERE %s), 0)", a);
		case ALGEBRA_SUM:
			if (type == INT2OID || type == INT4OID)
				return psprintf("coalesce(sum(" STRATA_SIGN " * %s::bigint), 0)::bigint", a);
			if (type == INT8OID)
				return psprintf("coalesce(sum(" STRATA_SIGN " * %s::numeric), 0)", a);
			return psprintf("coalesce(sum(CASE " STRATA_SIGN " WHEN 1 THEN %s WHEN -1 THEN -%s ELSE " STRATA_SIGN
							" * %s END), 0)",
							a, a, a);
		case ALGEBRA_SQUARES:
			return psprintf("coalesce(sum(" STRATA_SIGN " * (%s)%s), 0)", square(column->argument, a),
							type == INT4OID ? "::numeric" : "");
		case ALGEBRA_SCALES:
			return psprintf("coalesce(sum(" STRATA_SIGN " * %s), 0)", scale_unit(a));
		case ALGEBRA_EXTREMUM:
			return psprintf("%s(%s) FILTER (WHERE " STRATA_SIGN " > 0)", algebra_function(column->aggregate), a);
	}
	return NULL;
}

/* The row set of the change has one more column for an extremum: that of the removed rows. */
static char *
removed_name(const AlgebraColumn *column)
{
	return psprintf("%s_out", column->state.name);
}

/* Equal values are the same one: it can be told whether the extremum that left also came. */
bool
algebra_may_stay(const AlgebraColumn *column)
{
	return column->role == ALGEBRA_EXTREMUM && column->exact;
}

static AlgebraColumn *
find_column(const AlgebraPlan *plan, AlgebraRole role, const AlgebraArgument *argument)
{
	ListCell *cell;

	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		if (column->role == role && column->argument == argument)
			return column;
	}
	return NULL;
}

/* Old state and change: s and c. */
static char *
added_of(const AlgebraColumn *column)
{
	return psprintf("coalesce(s.%s, 0) + c.%s", column->state.name, column->state.name);
}

char *
algebra_merged(const AlgebraPlan *plan, const AlgebraColumn *column)
{
	char *name = column->state.name;
	AlgebraColumn *scales;

	switch (column->role)
	{
		case ALGEBRA_KEY:
			return psprintf("c.%s", name);
		case ALGEBRA_SUM:
		case ALGEBRA_SQUARES:
			/* a sum is shown with the most decimals of those present: rows that leave may have had more */
			scales = find_column(plan, ALGEBRA_SCALES, column->argument);
			if (scales != NULL)
				return psprintf("round(%s, %s(length((%s)::text) - 1) / %d)", added_of(column),
								column->role == ALGEBRA_SQUARES ? "2 * " : "", added_of(scales), SCALE_DIGITS);
			return added_of(column);
		case ALGEBRA_EXTREMUM:
			return psprintf("CASE WHEN s.%s IS NULL OR c.%s %s s.%s THEN c.%s ELSE s.%s END", name, name,
							algebra_operator(column->beyond), name, name, name);
		default:
			return added_of(column);
	}
}

/*
 * When the merged column cannot be trusted; NULL: never. counted: it is known which extremes stay. certain: nor could counting help.
 */
static char *
doubt_of(const AlgebraColumn *column, bool counted, bool certain)
{
	char *name = column->state.name;
	const char *equal;
	char *beyond, *out, *doubt;

	switch (column->role)
	{
		case ALGEBRA_SUM:
			/* NaN and the infinite ones have no scale, and stay in a sum */
			if (column->argument->type != NUMERICOID)
				return NULL;
			return psprintf("scale(c.%s) IS NULL OR scale(coalesce(s.%s, 0)) IS NULL", name, name);
		case ALGEBRA_SCALES:
			return psprintf("length((%s)::text) > %d", added_of(column), SCALE_DIGITS * SCALE_LIMIT);
		case ALGEBRA_EXTREMUM:
			/* what left was not surpassed by what was, nor by what came */
			beyond = algebra_operator(column->beyond);
			out = removed_name(column);
			doubt = psprintf("c.%s IS NOT NULL AND (s.%s %s c.%s) IS NOT TRUE AND (c.%s %s c.%s) IS NOT TRUE", out,
							 name, beyond, out, name, beyond, out);
			if (!algebra_may_stay(column))
				return doubt;
			/* the extremes of what was, what left and what came are one value: it stays if not more rows with it left than came */
			if (counted)
				return psprintf("%s AND NOT (c.%s_stays AND s.%s IS NOT NULL AND NOT c.%s %s s.%s)", doubt, name, name,
								out, beyond, name);
			equal = strata_base_equality(column->state.type);
			return certain ? psprintf("%s AND (c.%s %s c.%s AND s.%s %s c.%s) IS NOT TRUE", doubt, name, equal, out,
									  name, equal, out)
						   : doubt;
		default:
			return NULL;
	}
}

static char *
any_doubt(const AlgebraPlan *plan, bool counted, bool certain)
{
	StringInfoData out;
	ListCell *cell;

	initStringInfo(&out);
	foreach (cell, plan->columns)
	{
		char *doubt = doubt_of(lfirst(cell), counted, certain);

		if (doubt != NULL)
			appendStringInfo(&out, "%s(%s)", out.len == 0 ? "" : "\n\t\tOR ", doubt);
	}
	return out.len == 0 ? NULL : out.data;
}

/* strata_rescan of merged rows: 0, STRATA_RESCAN_COUNT, STRATA_RESCAN. */
char *
algebra_doubts(const AlgebraPlan *plan, bool counted)
{
	AlgebraColumn *rows = list_nth(plan->columns, plan->nkeys);
	char *any = any_doubt(plan, counted, false);
	char *certain = any_doubt(plan, counted, true);
	StringInfoData out;

	if (any == NULL)
		return "0";
	initStringInfo(&out);
	appendStringInfoString(&out, "CASE");
	/* nothing is computed again for a group that is gone; the one group without a key never is */
	if (plan->nkeys > 0)
		appendStringInfo(&out, " WHEN %s <= 0 THEN 0", added_of(rows));
	appendStringInfo(&out, "\n\t\tWHEN %s THEN %d", certain, STRATA_RESCAN);
	if (strcmp(any, certain) != 0)
		appendStringInfo(&out, "\n\t\tWHEN %s THEN %d", any, STRATA_RESCAN_COUNT);
	appendStringInfoString(&out, " ELSE 0 END");
	return out.data;
}

/* ---- rows of two sets with the same key ---- */

static char *
key_names(const AlgebraPlan *plan, const char *alias, const char *format)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 1; i <= plan->nkeys; i++)
	{
		if (i > 1)
			appendStringInfoString(&out, ", ");
		appendStringInfo(&out, "%sk%d", alias, i);
	}
	return psprintf(format, out.data);
}

/* Some key is NULL, or by mask exactly these are; which the others are not. */
static char *
nulls_condition(const AlgebraPlan *plan, const char *alias, int mask)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 1; i <= plan->nkeys; i++)
	{
		if (i > 1)
			appendStringInfoString(&out, mask < 0 ? " OR " : " AND ");
		appendStringInfo(&out, "%s.k%d %s", alias, i,
						 strata_base_is_null(((AlgebraColumn *) list_nth(plan->columns, i - 1))->state.type,
											 mask < 0 || (mask & (1 << (i - 1)))));
	}
	return mask < 0 && plan->nkeys > 1 ? psprintf("(%s)", out.data) : out.data;
}

/* mask < 0: any may be NULL, at least one is. */
static char *
match_condition(const AlgebraPlan *plan, const char *left, const char *right, int mask)
{
	StringInfoData out;

	if (plan->nkeys == 0)
		return "true";
	initStringInfo(&out);
	if (mask < 0)
		appendStringInfo(&out, "ROW(%s)::text = ROW(%s)::text AND %s", key_names(plan, psprintf("%s.", left), "%s"),
						 key_names(plan, psprintf("%s.", right), "%s"), nulls_condition(plan, left, -1));
	for (int i = 1; i <= plan->nkeys; i++)
	{
		AlgebraColumn *column = list_nth(plan->columns, i - 1);
		char *equal = psprintf("%s.k%d %s %s.k%d", left, i, algebra_operator(column->equality), right, i);
		const char *is_null = strata_base_is_null(column->state.type, true);

		if (out.len > 0)
			appendStringInfoString(&out, " AND ");
		if (mask < 0)
			appendStringInfo(&out, "(%s OR %s.k%d %s AND %s.k%d %s)", equal, left, i, is_null, right, i, is_null);
		else if (mask & (1 << (i - 1)))
			appendStringInfo(&out, "%s.k%d %s", left, i, is_null);
		else
			appendStringInfoString(&out, equal);
	}
	return out.data;
}

/* The ways in which keys can be NULL, as masks; -1 for all but the first. */
static List *
null_patterns(const AlgebraPlan *plan, bool nulls)
{
	List *result = list_make1_int(0);

	if (!nulls || plan->nkeys == 0)
		return result;
	if (plan->nkeys > MAX_KEYS_BY_PATTERN)
		return lappend_int(result, -1);
	for (int mask = 1; mask < 1 << plan->nkeys; mask++)
		result = lappend_int(result, mask);
	return result;
}

/* Each row of one set (c) beside that of the other (s) with its key. columns: how it begins, up to FROM. */
char *
algebra_left_join(const AlgebraPlan *plan, const char *columns, const char *c, const char *s, bool nulls,
				  const char *condition)
{
	StringInfoData out;
	ListCell *cell;

	initStringInfo(&out);
	foreach (cell, null_patterns(plan, nulls))
	{
		int mask = lfirst_int(cell);
		char *pattern = nulls && plan->nkeys > 0 ? nulls_condition(plan, "c", mask) : NULL;

		if (out.len > 0)
			appendStringInfoString(&out, "\nUNION ALL\n");
		appendStringInfo(&out, "%s\nFROM %s AS c LEFT JOIN %s AS s ON %s", columns, c, s,
						 match_condition(plan, "s", "c", mask));
		if (pattern != NULL || condition != NULL)
			appendStringInfo(&out, "\nWHERE %s%s%s", pattern == NULL ? "" : pattern,
							 pattern == NULL || condition == NULL ? "" : " AND ", condition == NULL ? "" : condition);
	}
	return out.data;
}

/* ---- statements ---- */

char *
strata_algebra_state(const StrataAlgebra *algebra, const char *rowset, bool nulls)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);
	StringInfoData select, out;
	ListCell *cell;

	initStringInfo(&select);
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		appendStringInfo(&select, "%s%s", select.len == 0 ? "SELECT " : ",\n\t", fresh_of(column));
		if (column->role != ALGEBRA_KEY)
			appendStringInfo(&select, " AS %s", column->state.name);
	}
	appendStringInfo(&select, "\nFROM (%s) AS core", strata_incremental_deparse(copyObject(algebra->core)));
	initStringInfo(&out);
	/* with NULLs in several keys in one go: each branch may have to read all there is */
	nulls = nulls && rowset != NULL && plan->nkeys > 0;
	for (int branch = 0; branch <= (nulls ? 1 : 0); branch++)
	{
		int mask = branch == 0 ? 0 : plan->nkeys == 1 ? 1 : -1;

		if (out.len > 0)
			appendStringInfoString(&out, "\nUNION ALL\n");
		appendStringInfoString(&out, select.data);
		if (rowset != NULL && plan->nkeys > 0)
		{
			appendStringInfo(&out, "\nWHERE EXISTS (SELECT FROM %s AS keys WHERE %s", quote_identifier(rowset),
							 match_condition(plan, "core", "keys", mask));
			/* said of both sides, so that either can be searched first */
			if (mask != 0)
				appendStringInfo(&out, " AND %s", nulls_condition(plan, "keys", mask));
			appendStringInfoChar(&out, ')');
			/* and once before anything is read: other groups may have the NULLs */
			if (mask != 0)
				appendStringInfo(&out, " AND EXISTS (SELECT FROM %s AS keys WHERE %s)", quote_identifier(rowset),
								 nulls_condition(plan, "keys", mask));
		}
		if (plan->nkeys > 0)
			appendStringInfo(&out, "\nGROUP BY %s", key_names(plan, "", "%s"));
	}
	return out.data;
}

/* The columns of the change from the signed rows. */
static char *
change_columns(const AlgebraPlan *plan)
{
	StringInfoData out;
	ListCell *cell;

	initStringInfo(&out);
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		appendStringInfo(&out, "%s%s", out.len == 0 ? "SELECT " : ",\n\t", change_of(column));
		if (column->role != ALGEBRA_KEY)
			appendStringInfo(&out, " AS %s", column->state.name);
		if (column->role == ALGEBRA_EXTREMUM)
			appendStringInfo(&out, ",\n\t%s(a%d) FILTER (WHERE " STRATA_SIGN " < 0) AS %s",
							 algebra_function(column->aggregate), column->argument->number, removed_name(column));
	}
	return out.data;
}

/* Something has changed in the group: opposite rows may have left nothing. */
static char *
changed_condition(const AlgebraPlan *plan)
{
	StringInfoData out;
	ListCell *cell;

	initStringInfo(&out);
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		if (column->role == ALGEBRA_KEY)
			continue;
		if (out.len > 0)
			appendStringInfoString(&out, " OR ");
		if (column->role == ALGEBRA_EXTREMUM)
			appendStringInfo(&out, "%s IS NOT NULL OR %s IS NOT NULL", column->state.name, removed_name(column));
		else
			appendStringInfo(&out, "%s <> 0", column->state.name);
	}
	return out.data;
}

char *
strata_algebra_change(const StrataAlgebra *algebra, const List *changed)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);
	Query *change = strata_incremental_change(copyObject(algebra->core), changed);

	if (change == NULL)
		return NULL;
	return psprintf("SELECT * FROM (\n%s\nFROM (%s) AS core%s\n) AS change\nWHERE %s", change_columns(plan),
					strata_incremental_deparse(change),
					plan->nkeys > 0 ? psprintf("\nGROUP BY %s", key_names(plan, "", "%s")) : "",
					changed_condition(plan));
}

char *
strata_algebra_touched(const StrataAlgebra *algebra, const List *changed)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);
	Query *change = strata_incremental_change(copyObject(algebra->core), changed);

	if (change == NULL || plan->nkeys == 0)
		return NULL;
	return psprintf("SELECT DISTINCT %s FROM (%s) AS core", key_names(plan, "", "%s"),
					strata_incremental_deparse(change));
}

/*
 * Most updates leave an extremum's column alone: the value of a row that went comes again. Where the extremes of what came and of
 * what left are the same, the rows that have it are counted; the extremum stays if not more of them left than came.
 */
char *
strata_algebra_counted(const StrataAlgebra *algebra, const List *changed, const char *groups, const char *keys,
					   bool nulls)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);
	char *core = strata_incremental_deparse(strata_incremental_change(copyObject(algebra->core), changed));
	StringInfoData columns, stays, where;
	char *by = plan->nkeys > 0 ? psprintf("\nGROUP BY %s", key_names(plan, "change.", "%s")) : "";
	ListCell *cell;

	initStringInfo(&columns);
	initStringInfo(&stays);
	initStringInfo(&where);
	appendStringInfoString(&stays, plan->nkeys > 0 ? key_names(plan, "change.", "%s") : "");
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);
		char *name = column->state.name;
		char *same;

		if (!algebra_may_stay(column))
			continue;
		same = psprintf("change.%s %s change.%s AND core.a%d %s change.%s", name,
						strata_base_equality(column->state.type), removed_name(column), column->argument->number,
						strata_base_equality(column->state.type), removed_name(column));
		appendStringInfo(&columns, ", coalesce(stays.%s_stays, false) AS %s_stays", name, name);
		appendStringInfo(&stays, "%scoalesce(sum(" STRATA_SIGN ") FILTER (WHERE %s), -1) >= 0 AS %s_stays",
						 stays.len == 0 ? "" : ",\n\t", same, name);
		appendStringInfo(&where, "%s%s", where.len == 0 ? "" : "\n\tOR ", same);
	}
	/* keys that hold a NULL find nothing, which is always safe */
	return psprintf(
		"WITH change AS MATERIALIZED (\n%s\n), stays AS (\nSELECT %s\nFROM change JOIN (%s) AS core ON %s\n"
		"WHERE %s%s\n)\nSELECT change.*%s\nFROM change LEFT JOIN stays ON %s",
		keys ? algebra_left_join(plan, "SELECT s.*", quote_identifier(keys), quote_identifier(groups), nulls, NULL)
			 : psprintf("SELECT * FROM %s", quote_identifier(groups)),
		stays.data, core, match_condition(plan, "core", "change", 0), where.data, by, columns.data,
		match_condition(plan, "stays", "change", 0));
}

/* The old state beside the new, from the columns that algebra_left_join gives. */
static char *
merged_columns(const AlgebraPlan *plan, bool fresh)
{
	StringInfoData select;
	ListCell *cell;

	initStringInfo(&select);
	appendStringInfoString(&select, "SELECT s.ctid AS strata_ctid");
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		if (column->role == ALGEBRA_KEY)
			appendStringInfo(&select, ", c.%s", column->state.name);
		else
			appendStringInfo(&select, ",\n\ts.%s AS o_%s", column->state.name, column->state.name);
	}
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		if (column->role != ALGEBRA_KEY)
			appendStringInfo(&select, ",\n\t%s AS %s",
							 fresh ? psprintf("c.%s", column->state.name) : algebra_merged(plan, column),
							 column->state.name);
	}
	return select.data;
}

char *
strata_algebra_merge(const StrataAlgebra *algebra, const char *change, const char *state, bool nulls, bool counted)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);

	return algebra_left_join(
		plan, psprintf("%s,\n\t%s AS strata_rescan", merged_columns(plan, false), algebra_doubts(plan, counted)),
		quote_identifier(change), state, nulls, plan->nkeys > 0 ? "(s.ctid IS NOT NULL OR c.n <> 0)" : NULL);
}

/* The keys' groups as their rows give them; those without rows, too. */
char *
algebra_fresh(const AlgebraPlan *plan, const char *keys, const char *fresh, bool nulls)
{
	StringInfoData select;
	ListCell *cell;

	if (plan->nkeys == 0)
		return pstrdup(quote_identifier(fresh));
	initStringInfo(&select);
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		appendStringInfo(&select, "%s", select.len == 0 ? "SELECT " : ", ");
		if (column->role == ALGEBRA_KEY)
			appendStringInfo(&select, "c.%s", column->state.name);
		else if (column->role == ALGEBRA_EXTREMUM)
			appendStringInfo(&select, "s.%s", column->state.name);
		else
			appendStringInfo(&select, "coalesce(s.%s, 0) AS %s", column->state.name, column->state.name);
	}
	return psprintf("(%s)",
					algebra_left_join(plan, select.data, quote_identifier(keys), quote_identifier(fresh), nulls, NULL));
}

char *
strata_algebra_rescanned(const StrataAlgebra *algebra, const char *keys, const char *fresh, const char *state,
						 bool nulls)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);

	return algebra_left_join(plan, psprintf("%s,\n\t0 AS strata_rescan", merged_columns(plan, true)),
							 algebra_fresh(plan, keys, fresh, nulls), state, nulls,
							 plan->nkeys > 0 ? "(s.ctid IS NOT NULL OR c.n <> 0)" : NULL);
}
