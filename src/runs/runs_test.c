/*
 * runs_test.c: strata.test_model(): a model on given rows and a given clock, through the code that refreshes it, and no trace.
 *
 * Two nested subtransactions: the outer holds the scratch copy and is always rolled back; the inner is one refresh, whose error is a
 * result of the test, while an error of the test itself (rows that do not fit) is raised.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "runs/runs_test.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(strata_test_model);

static const StrataOption step_options[] = {
	{"as_of", STRATA_OPTION_TEXT},
	{"given", STRATA_OPTION_OBJECT},
	{"confirm_shrink", STRATA_OPTION_BOOL},
	{"full_rebuild", STRATA_OPTION_BOOL},
};

typedef struct Test
{
	Scratch *scratch;
	Jsonb *given;
	Jsonb *expect;
	char *expected_error; /* NULL: rows are expected */
	TimestampTz as_of;
	MemoryContext keep; /* where the differences live on */
	List *missing;      /* Jsonb * */
	List *unexpected;
} Test;

static Jsonb *
keep_jsonb(const Test *test, const Jsonb *value)
{
	Jsonb *copy = MemoryContextAlloc(test->keep, VARSIZE(value));

	memcpy(copy, value, VARSIZE(value));
	return copy;
}

static void
put_difference(Test *test, bool missing, const Jsonb *row)
{
	MemoryContext old = MemoryContextSwitchTo(test->keep);
	List **list = missing ? &test->missing : &test->unexpected;

	*list = lappend(*list, keep_jsonb(test, row));
	MemoryContextSwitchTo(old);
}

/* ---- one refresh ---- */

static void
refresh(Scratch *scratch, StrataRefresh *r)
{
	StrataRefreshResult result = {{0}};
	StrataModel *m = scratch->copy;

	CommandCounterIncrement();
	r->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	strata_layers_refresh(m, r, &result);
	UnregisterSnapshot(r->snapshot);
	strata_registry_set_state(m->id, m->version, r->as_of, true, result.row_count, 0);
	scratch->copy = strata_registry_model_by_id(m->id);
}

/* NULL, or the error it ended with. */
static ErrorData *
attempt(Scratch *scratch, StrataRefresh *r)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		refresh(scratch, r);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
	if (error && (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
				  ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION))
		ReThrowError(error);
	return error;
}

/* True when it settles the test: there is no state of the target to compare. */
static bool
judge_error(Test *test, const ErrorData *error)
{
	char *message;
	char *detail;
	StrataOptions *o;

	if (error == NULL)
		return false;
	message = runs_scratch_plain(test->scratch, error->message);
	detail = runs_scratch_plain(test->scratch, error->detail);
	if (test->expected_error &&
		(strstr(message, test->expected_error) || (detail && strstr(detail, test->expected_error))))
		return true;
	o = strata_options_start();
	strata_options_text(o, "error", message);
	strata_options_text(o, "detail", detail);
	strata_options_text(o, "sqlstate", unpack_sql_state(error->sqlerrcode));
	put_difference(test, false, strata_options_finish(o));
	if (test->expected_error)
		put_difference(test, true, test->expect);
	return true;
}

/* ---- what came out ---- */

static List *
target_columns(const Test *test)
{
	StrataRows *rows;
	StrataArgs args = {0};
	List *names = NIL;

	strata_args_int8(&args, test->scratch->copy->relid);
	rows = strata_base_keeper_query("SELECT attname FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0"
									" AND NOT attisdropped ORDER BY attnum",
									&args);
	for (uint64 i = 0; i < rows->count; i++)
		names = lappend(names, strata_rows_text(rows, i, 1));
	return names;
}

/* The columns that are compared: those every expected row names. */
static List *
compared_columns(const Test *test)
{
	StrataArgs args = {0};
	StrataRows *rows;
	List *names = NIL;
	List *all = target_columns(test);

	runs_test_check_rows(test->expect, all, psprintf("expect: model %s", test->scratch->model->label));
	strata_args_jsonb(&args, test->expect);
	rows = strata_base_keeper_query(
		"SELECT k, count(*) < jsonb_array_length($1) FROM jsonb_array_elements($1) AS r, jsonb_object_keys(r) AS k"
		" GROUP BY k ORDER BY k",
		&args);
	for (uint64 i = 0; i < rows->count; i++)
	{
		if (strata_rows_bool(rows, i, 2))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("expect names column \"%s\" in some rows only", strata_rows_text(rows, i, 1)),
							errdetail("The columns named are the columns compared, the same in every row."),
							errhint("Name it in every row (null is a value), or in none.")));
		names = lappend(names, strata_rows_text(rows, i, 1));
	}
	if (names == NIL)
		names = all;
	return names;
}

/* The unknown member is there whatever is given: it is not compared. */
static char *
not_unknown(const Test *test)
{
	ListCell *lc;

	if (test->scratch->model->layer == STRATA_DIMENSION)
		foreach (lc, strata_registry_columns(test->scratch->copy->id))
		{
			StrataColumn *c = lfirst(lc);

			if (strcmp(c->role, "surrogate key") == 0)
				return psprintf(" WHERE t.%s <> 0", quote_identifier(c->name));
		}
	return "";
}

/* Both sides as the target's types, then as JSON: values without an equality of their own compare too. */
static void
compare(Test *test)
{
	StrataModel *copy = test->scratch->copy;
	char *columns = strata_base_join_quoted(compared_columns(test), ", t.");
	char *actual = psprintf("SELECT to_jsonb(q) AS r FROM (SELECT t.%s FROM %s AS t%s) AS q", columns, copy->label,
							not_unknown(test));
	char *expected =
		psprintf("SELECT to_jsonb(q) AS r FROM (SELECT t.%s FROM jsonb_populate_recordset(NULL::%s, $1) AS t) AS q",
				 columns, copy->label);
	StrataArgs args = {0};
	StrataIdentity saved;
	StrataRows *rows;

	strata_args_jsonb(&args, test->expect);
	CommandCounterIncrement();
	strata_base_enter_owner(copy->owner, &copy->settings, &saved);
	rows = strata_base_query(psprintf("SELECT true, r FROM ((%s) EXCEPT ALL (%s)) AS m"
									  " UNION ALL SELECT false, r FROM ((%s) EXCEPT ALL (%s)) AS u ORDER BY 1 DESC, 2",
									  expected, actual, actual, expected),
							 &args);
	strata_base_leave(&saved);
	for (uint64 i = 0; i < rows->count; i++)
		put_difference(test, strata_rows_bool(rows, i, 1), strata_rows_jsonb(rows, i, 2));
}

/* ---- the test ---- */

static TimestampTz
step_time(const Test *test, const Jsonb *step, int number)
{
	char *text = step ? strata_option_text(step, "as_of") : NULL;
	StrataModel *m = test->scratch->model;
	StrataIdentity saved;
	TimestampTz time;

	if (text == NULL)
		return test->as_of;
	strata_base_enter_owner(m->owner, &m->settings, &saved);
	time = DatumGetTimestampTz(
		DirectFunctionCall3(timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	strata_base_leave(&saved);
	if (TIMESTAMP_NOT_FINITE(time))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("given, step %d: as_of must be a finite time", number)));
	return time;
}

/* False: an error settled it. */
static bool
run_step(Test *test, Jsonb *given, const Jsonb *step, int number)
{
	StrataRefresh r = {0};
	ErrorData *error;

	if (given)
		runs_scratch_fill(test->scratch, given);
	if (test->scratch->copy == NULL)
		runs_scratch_define(test->scratch);
	r.as_of = step_time(test, step, number);
	r.confirm_shrink = step && strata_option_bool(step, "confirm_shrink", false);
	r.full_rebuild = step && strata_option_bool(step, "full_rebuild", false);
	error = attempt(test->scratch, &r);
	return !judge_error(test, error);
}

static void
run_test(Test *test)
{
	Jsonb *given = test->given;
	bool going = true;

	if (!JB_ROOT_IS_ARRAY(given) || JB_ROOT_IS_SCALAR(given))
		going = run_step(test, given, NULL, 1);
	else
	{
		int n = JB_ROOT_COUNT(given);

		if (n == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("given has no steps"),
							errhint("Write [{\"as_of\": \"2026-01-01\", \"given\": {...}}, ...].")));
		for (int i = 0; i < n && going; i++)
		{
			JsonbValue *v = getIthJsonbValueFromContainer(&given->root, i);
			Jsonb *step = JsonbValueToJsonb(v);
			char *what = psprintf("step %d of given", i + 1);

			strata_base_check_options(step, step_options, lengthof(step_options), what);
			going = run_step(test, strata_option_object(step, "given"), step, i + 1);
		}
	}
	if (!going)
		return;
	if (test->expected_error)
		put_difference(test, true, test->expect);
	else
		compare(test);
}

/* Always rolled back, by an error too: an internal subtransaction left open would keep the session in it. */
static void
run_aside(Test *test, StrataModel *model)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		test->scratch = runs_scratch_make(model);
		run_test(test);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error && test->scratch)
	{
		error->message = runs_scratch_plain(test->scratch, error->message);
		error->detail = runs_scratch_plain(test->scratch, error->detail);
		error->hint = runs_scratch_plain(test->scratch, error->hint);
		error->context = runs_scratch_plain(test->scratch, error->context);
	}
	if (error)
		ReThrowError(error);
}

static void
read_expectation(Test *test)
{
	static const StrataOption known[] = {{"error", STRATA_OPTION_TEXT}};

	if (JB_ROOT_IS_OBJECT(test->expect))
	{
		strata_base_check_options(test->expect, known, lengthof(known), "expect");
		test->expected_error = strata_option_text(test->expect, "error");
	}
	if (test->expected_error == NULL && (!JB_ROOT_IS_ARRAY(test->expect) || JB_ROOT_IS_SCALAR(test->expect)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("expect is not an array of rows"),
						errhint("Write [{\"column\": value, ...}, ...], or {\"error\": \"part of its message\"}.")));
}

static void
put_result(ReturnSetInfo *set, const char *result, const char *difference, const Jsonb *row)
{
	Datum values[3] = {CStringGetTextDatum(result), 0, 0};
	bool nulls[3] = {false, difference == NULL, row == NULL};

	if (difference)
		values[1] = CStringGetTextDatum(difference);
	values[2] = PointerGetDatum(row);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* (model, given, expect, as_of) */
Datum
strata_test_model(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	Test test = {0};
	StrataModel *model;
	ListCell *lc;

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("test_model needs a model, given and expect"),
					 errhint("SELECT * FROM strata.test_model('schema.name', given => '{...}', expect => '[...]');")));
	InitMaterializedSRF(fcinfo, 0);
	model = strata_registry_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), "model");
	strata_registry_require_owner(model, "test");
	test.given = PG_GETARG_JSONB_P(1);
	test.expect = PG_GETARG_JSONB_P(2);
	test.as_of = PG_ARGISNULL(3) ? GetCurrentTimestamp() : PG_GETARG_TIMESTAMPTZ(3);
	test.keep = CurrentMemoryContext;
	if (TIMESTAMP_NOT_FINITE(test.as_of))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("as_of must be a finite time"),
						errhint("Leave it out to test as of now.")));
	read_expectation(&test);
	run_aside(&test, model);
	foreach (lc, test.missing)
		put_result(set, "failed", "missing", lfirst(lc));
	foreach (lc, test.unexpected)
		put_result(set, "failed", "unexpected", lfirst(lc));
	if (test.missing == NIL && test.unexpected == NIL)
		put_result(set, "passed", NULL, NULL);
	return (Datum) 0;
}
