/*
 * incremental_test.c: plans and their SQL, for tests. The extension does not create these functions.
 *
 * strata_incremental_tree(query text) returns setof text: the plan as a tree.
 * strata_incremental_parts(query text) returns table(number int, rule text, keys int[], is_unique bool, parts int[], sql text)
 * strata_incremental_inputs(query text) returns table(relation regclass, columns text[])
 * strata_incremental_sql(query text, part int, what text, tables oid[], changed oid[], rowset text, nulls bool) returns text:
 *   what: full, keys, change, restricted, match (of columns c1, c2, ... of t, with k)
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "incremental/incremental_internal.h"
#include "lineage/lineage.h"

PG_FUNCTION_INFO_V1(strata_incremental_tree);
PG_FUNCTION_INFO_V1(strata_incremental_parts);
PG_FUNCTION_INFO_V1(strata_incremental_inputs);
PG_FUNCTION_INFO_V1(strata_incremental_sql);

static StrataIncremental *
plan_of(FunctionCallInfo fcinfo)
{
	return strata_incremental_plan(strata_lineage_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), "query"), NIL);
}

static Datum
integers(const List *list)
{
	Datum *values = palloc(sizeof(Datum) * Max(list_length(list), 1));
	int n = 0;
	ListCell *lc;

	foreach (lc, list)
		values[n++] = Int32GetDatum(lfirst_int(lc));
	return PointerGetDatum(construct_array(values, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static List *
oids(Datum array)
{
	Datum *values;
	int n;
	List *list = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
		list = lappend_oid(list, DatumGetObjectId(values[i]));
	return list;
}

/* The rule on the right. */
static char *
text_of(const StrataTreeLine *line)
{
	char *left = psprintf("%*s%s", 2 * line->depth, "", line->what);

	if (line->part == NULL)
		return left;
	return psprintf("%s%*s%s: %s", left, Max(2, 56 - pg_mbstrlen(left)), "", incremental_rule_name(line->part->rule),
					line->part->reason);
}

Datum
strata_incremental_tree(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StrataIncremental *plan = plan_of(fcinfo);
	ListCell *lc;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach (lc, plan->tree)
	{
		Datum values[1] = {CStringGetTextDatum(text_of(lfirst(lc)))};
		bool nulls[1] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
strata_incremental_parts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StrataIncremental *plan = plan_of(fcinfo);
	ListCell *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, plan->parts)
	{
		StrataPart *part = lfirst(lc);
		Datum values[6] = {Int32GetDatum(part->number), CStringGetTextDatum(incremental_rule_name(part->rule)),
						   integers(part->keys),        BoolGetDatum(part->keys_unique),
						   integers(part->parts),       CStringGetTextDatum(strata_incremental_full(part))};
		bool nulls[6] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
strata_incremental_inputs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StrataIncremental *plan = plan_of(fcinfo);
	ListCell *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, plan->inputs)
	{
		StrataInput *input = lfirst(lc);
		Datum columns[64];
		int n = 0, member = -1;
		Datum values[2];
		bool nulls[2] = {false};

		while ((member = bms_next_member(input->used, member)) >= 0 && n < (int) lengthof(columns))
			columns[n++] =
				CStringGetTextDatum(get_attname(input->relid, member + FirstLowInvalidHeapAttributeNumber, false));
		values[0] = ObjectIdGetDatum(input->relid);
		values[1] = PointerGetDatum(construct_array(columns, n, TEXTOID, -1, false, TYPALIGN_INT));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static List *
changes(const List *relids)
{
	List *changed = NIL;
	ListCell *lc;

	foreach (lc, relids)
	{
		StrataChanged *one = palloc(sizeof(StrataChanged));

		one->relid = lfirst_oid(lc);
		one->rowset = psprintf("strata_change_%u", one->relid);
		changed = lappend(changed, one);
	}
	return changed;
}

Datum
strata_incremental_sql(PG_FUNCTION_ARGS)
{
	StrataIncremental *plan = plan_of(fcinfo);
	StrataPart *part;
	char *what = text_to_cstring(PG_GETARG_TEXT_PP(2));
	List *changed = changes(oids(PG_GETARG_DATUM(4)));
	char *rowset = text_to_cstring(PG_GETARG_TEXT_PP(5));
	bool nulls = PG_GETARG_BOOL(6);
	char *sql = NULL;

	strata_incremental_bind(plan, oids(PG_GETARG_DATUM(3)));
	part = list_nth(plan->parts, PG_GETARG_INT32(1) - 1);
	if (strcmp(what, "full") == 0)
		sql = strata_incremental_full(part);
	else if (strcmp(what, "keys") == 0)
		sql = strata_incremental_keys(part, changed);
	else if (strcmp(what, "restricted") == 0)
		sql = strata_incremental_restricted(part, rowset, nulls);
	else if (strcmp(what, "change") == 0)
	{
		Query *change = strata_incremental_change(part->query, changed);

		sql = change == NULL ? NULL : strata_incremental_deparse(change);
	}
	else if (strcmp(what, "match") == 0)
	{
		List *columns = NIL;

		for (int i = 1; i <= list_length(part->keys); i++)
			columns = lappend(columns, psprintf("c%d", i));
		sql = strata_incremental_key_match(part, "t", columns, "k", nulls);
	}
	if (sql == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(sql));
}
