/*
 * base_test.c: for tests; no SQL object of the extension names it.
 */
#include "postgres.h"

#include "base/base.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(strata_base_test_rowset);

/* rowset(rows text, query text) returns text: the first column of the first row of the query, which reads the rows as test_rows */
Datum
strata_base_test_rowset(PG_FUNCTION_ARGS)
{
	Snapshot snapshot = RegisterSnapshot(GetActiveSnapshot());
	StrataRowSet *set;
	StrataRows *rows;
	char *said;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be superuser to test row sets")));
	set = strata_base_run_rowset("test_rows", text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL, snapshot, NIL);
	rows = strata_base_run_query(text_to_cstring(PG_GETARG_TEXT_PP(1)), NULL, snapshot, list_make1(set));
	said = rows->count > 0 ? strata_rows_text(rows, 0, 1) : NULL;
	strata_rowset_free(set);
	UnregisterSnapshot(snapshot);
	if (said == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(said));
}
