/*
 * algebra_test.c: the statements of the algebra of a query, for tests: strata_incremental_algebra_sql(query text, changed oid[])
 * returns setof (what text, sql text). The extension does not create it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/ruleutils.h"

#include "incremental/incremental.h"
#include "lineage/lineage.h"

PG_FUNCTION_INFO_V1(strata_incremental_algebra_sql);

static void
put(ReturnSetInfo *result, const char *what, const char *text)
{
	Datum values[2];
	bool nulls[2] = {false, text == NULL};

	values[0] = CStringGetTextDatum(what);
	values[1] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
strata_incremental_algebra_sql(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType *relids = PG_GETARG_ARRAYTYPE_P(1);
	StrataPart *part = palloc0(sizeof(StrataPart));
	StrataAlgebra *algebra;
	List *changed = NIL;
	List *columns = NIL;
	ListCell *cell;
	char *refusal;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be superuser")));
	part->number = 1;
	part->query = strata_lineage_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), "query");
	for (int i = 0; i < ArrayGetNItems(ARR_NDIM(relids), ARR_DIMS(relids)); i++)
	{
		StrataChanged *one = palloc0(sizeof(StrataChanged));

		one->relid = ((Oid *) ARR_DATA_PTR(relids))[i];
		one->rowset = psprintf("strata_change_%u", one->relid);
		changed = lappend(changed, one);
	}
	InitMaterializedSRF(fcinfo, 0);
	refusal = strata_incremental_algebra_refusal(part->query);
	if (refusal != NULL)
	{
		put(result, "refusal", refusal);
		return (Datum) 0;
	}
	algebra = strata_incremental_algebra(part);
	foreach (cell, algebra->columns)
	{
		StrataStateColumn *column = lfirst(cell);
		char *type = format_type_with_typemod(column->type, column->typmod);

		columns =
			lappend(columns, psprintf("%s %s%s%s", column->name, type, OidIsValid(column->collation) ? " COLLATE " : "",
									  OidIsValid(column->collation) ? generate_collation_name(column->collation) : ""));
	}
	put(result, "columns", strata_base_join(columns, ", "));
	put(result, "keys", psprintf("%d", algebra->nkeys));
	put(result, "state", strata_algebra_state(algebra, NULL, false));
	put(result, "fresh", strata_algebra_state(algebra, "t_keys", true));
	put(result, "change", strata_algebra_change(algebra, changed));
	put(result, "merge", strata_algebra_merge(algebra, "t_change", "t_state", true, false));
	put(result, "merge without nulls", strata_algebra_merge(algebra, "t_change", "t_state", false, false));
	if (algebra->may_stay && changed != NIL)
	{
		put(result, "counted",
			strata_algebra_counted(algebra, changed, "t_change", algebra->nkeys > 0 ? "t_keys" : NULL, true));
		put(result, "merge counted", strata_algebra_merge(algebra, "t_counted", "t_state", true, true));
	}
	put(result, "rescanned", strata_algebra_rescanned(algebra, "t_keys", "t_fresh", "t_state", true));
	if (algebra->shown != NIL)
		put(result, "shown", "yes");
	put(result, "output", strata_algebra_output(algebra, "t_merged"));
	put(result, "result", strata_algebra_result(algebra, "t_state"));
	return (Datum) 0;
}
