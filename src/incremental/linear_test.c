/*
 * linear_test.c: signed changes of a query, for tests: strata_incremental_change_sql(query text, changed oid[]) returns the SQL,
 * strata_incremental_refusal(query text) why there is none. The extension does not create them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "incremental/incremental.h"
#include "lineage/lineage.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(strata_incremental_change_sql);
PG_FUNCTION_INFO_V1(strata_incremental_refusal);

Datum
strata_incremental_change_sql(PG_FUNCTION_ARGS)
{
	Query *query = strata_lineage_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), "query");
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum *oids;
	int count;
	List *changed = NIL;

	deconstruct_array(array, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &oids, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		StrataChanged *one = palloc(sizeof(StrataChanged));

		one->relid = DatumGetObjectId(oids[i]);
		one->rowset = psprintf("strata_change_%u", one->relid);
		changed = lappend(changed, one);
	}
	query = strata_incremental_change(query, changed);
	if (query == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(strata_incremental_deparse(query)));
}

Datum
strata_incremental_refusal(PG_FUNCTION_ARGS)
{
	char *reason =
		strata_incremental_linear_refusal(strata_lineage_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), "query"));

	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}
