/*
 * runs_funcs.c: strata.refresh() and strata.plan().
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "base/version.h"
#include "checks/checks.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "runlog/runlog.h"
#include "runs/runs_internal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(strata_refresh);
PG_FUNCTION_INFO_V1(strata_plan);

static void
require_writable(void)
{
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("cannot refresh on a standby"),
						errhint("Refresh on the primary: what that writes comes here.")));
	if (XactReadOnly)
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("cannot refresh in a read-only transaction"),
						errhint("strata.plan(), without data, and strata.verify() only read.")));
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

static Datum
count_or_null(int64 count, bool *isnull)
{
	*isnull = count < 0;
	return Int64GetDatum(count);
}

Datum
runs_ms_datum(double ms)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(psprintf("%.1f", ms)), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

/* A view has no rows of its own; a model not computed, a step that raised an error or was never begun have none to tell of. */
static bool
is_counted(const RunStep *step)
{
	return step->done && !step->skipped && strcmp(step->plan->model->kind, "view") != 0;
}

/* ---- recording ---- */

/* How it was computed, for strata.steps. */
static const char *
step_method(const RunStep *step)
{
	if (step->skipped || !step->done || strcmp(step->plan->model->kind, "view") == 0)
		return NULL;
	if (step->result.method)
		return step->result.method;
	return step->result.why ? psprintf("full: %s", step->result.why) : "full";
}

void
runs_record(int64 id, Run *run, bool published, const char *message)
{
	ListCell *lc;

	foreach (lc, run->steps)
	{
		RunStep *step = lfirst(lc);
		StrataModel *m = step->plan->model;
		StrataDeltaCounts *c = &step->result.counts;
		bool uncounted = !is_counted(step);
		StrataStep row = {foreach_current_index(lc) + 1,
						  m->id,
						  m->label,
						  strata_registry_layer_name(m->layer),
						  step->plan->action,
						  step->plan->reason,
						  step->status,
						  uncounted ? -1 : c->rows_in,
						  uncounted ? -1 : c->inserted,
						  uncounted ? -1 : c->updated,
						  uncounted ? -1 : c->deleted,
						  uncounted ? -1 : step->result.rejected,
						  step->ms,
						  step_method(step),
						  step->message};

		strata_runlog_step(id, &row);
		strata_checks_record(id, step->outcomes, run->request.as_of);
		if (published)
			strata_registry_set_state(m->id, m->version, run->request.as_of,
									  c->inserted + c->updated + c->deleted > 0 || step->result.adapted,
									  step->result.row_count, id);
	}
	strata_runlog_finish(id, message == NULL ? "succeeded" : "failed", message);
}

/* ---- running aside ---- */

/* What was done and is no more: the counts tell what would have changed. */
static void
mark_rolled_back(Run *run)
{
	ListCell *lc;

	foreach (lc, run->steps)
	{
		RunStep *step = lfirst(lc);

		if (step->done && strcmp(step->status, "succeeded") == 0)
			step->status = "rolled back";
	}
}

/* After an error: the step that raised it has failed, those after it were not begun. */
static void
close_run(Run *run, const ErrorData *error)
{
	if (run->at != NULL)
	{
		run->at->status = "failed";
		run->at->message = error->message;
	}
	for (int i = list_length(run->steps); i < list_length(run->planned); i++)
	{
		RunStep *step = palloc0(sizeof(RunStep));

		step->plan = list_nth(run->planned, i);
		step->status = "skipped";
		run->steps = lappend(run->steps, step);
	}
}

Run *
runs_execute_aside(const RunRequest *request, bool keep_if_passed, ErrorData **error, bool *kept)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Run *run = palloc0(sizeof(Run));

	*error = NULL;
	*kept = false;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		runs_execute(request, run);
		if (keep_if_passed && run->failed_checks == 0)
		{
			ReleaseCurrentSubTransaction();
			*kept = true;
		}
		else
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (strata_base_is_interruption(*error))
			ReThrowError(*error);
	}
	PG_END_TRY();
	if (*error)
		close_run(run, *error);
	if (keep_if_passed && !*kept)
		mark_rolled_back(run);
	return run;
}

static void
raise_failed_checks(const Run *run)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_CHECK_VIOLATION),
		 errmsg_plural("%d check failed; nothing was published", "%d checks failed; nothing was published",
					   run->failed_checks, run->failed_checks),
		 errdetail("%s", runs_failure_detail(run)),
		 errhint(
			 "Correct the rows, or see them all with strata.refresh(..., on_error => 'record') and strata.check_results.")));
}

/* ---- refresh ---- */

static void
put_refresh_row(ReturnSetInfo *set, int number, RunStep *step)
{
	Datum values[13];
	bool nulls[13] = {false};
	StrataModel *m = step->plan->model;
	StrataDeltaCounts *c = &step->result.counts;
	/* what a step did that was not done is not known */
	bool uncounted = !is_counted(step);

	values[0] = Int32GetDatum(number);
	values[1] = text_or_null(m->label, &nulls[1]);
	values[2] = text_or_null(strata_registry_layer_name(m->layer), &nulls[2]);
	values[3] = text_or_null(step->plan->action, &nulls[3]);
	values[4] = text_or_null(step->status, &nulls[4]);
	values[5] = count_or_null(uncounted ? -1 : c->rows_in, &nulls[5]);
	values[6] = count_or_null(uncounted ? -1 : c->inserted, &nulls[6]);
	values[7] = count_or_null(uncounted ? -1 : c->updated, &nulls[7]);
	values[8] = count_or_null(uncounted ? -1 : c->deleted, &nulls[8]);
	values[9] = count_or_null(uncounted ? -1 : step->result.rejected, &nulls[9]);
	values[10] = text_or_null(runs_check_summary(step), &nulls[10]);
	values[11] = runs_ms_datum(step->ms);
	values[12] = text_or_null(step->message, &nulls[12]);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

static RunRequest
read_request(FunctionCallInfo fcinfo, int as_of_arg)
{
	RunRequest r = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("models: the selector is NULL"),
						errhint("Leave it out, or write '*', to choose all models.")));
	r.models = text_to_cstring(PG_GETARG_TEXT_PP(0));
	r.exclude = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	r.wait = true;
	if (!PG_ARGISNULL(as_of_arg))
	{
		r.as_of = PG_GETARG_TIMESTAMPTZ(as_of_arg);
		if (TIMESTAMP_NOT_FINITE(r.as_of))
			ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("as_of must be a finite time"),
							errhint("Leave it out to run as of now.")));
	}
	return r;
}

/* (models, exclude, as_of, full_rebuild, confirm_shrink, wait, on_error) */
Datum
strata_refresh(PG_FUNCTION_ARGS)
{
	RunRequest request = read_request(fcinfo, 2);
	char *on_error = PG_ARGISNULL(6) ? pstrdup("raise") : text_to_cstring(PG_GETARG_TEXT_PP(6));
	Run *run;
	ErrorData *error = NULL;
	bool kept = true;
	int64 id;
	ListCell *lc;

	strata_base_require_version();
	InitMaterializedSRF(fcinfo, 0);
	request.full_rebuild = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	request.confirm_shrink = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	request.wait = PG_ARGISNULL(5) || PG_GETARG_BOOL(5);
	if (strcmp(on_error, "raise") != 0 && strcmp(on_error, "record") != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("on_error is \"%s\"", on_error),
			 errhint(
				 "It is 'raise' (an error, everything rolled back) or 'record' (rolled back, and the failed run kept in strata.runs).")));
	require_writable();
	id = strata_runlog_start("refresh", request.models, request.as_of);
	if (strcmp(on_error, "raise") == 0)
	{
		run = palloc0(sizeof(Run));
		runs_execute(&request, run);
		if (run->failed_checks > 0)
			raise_failed_checks(run);
		runs_record(id, run, true, NULL);
	}
	else
	{
		run = runs_execute_aside(&request, true, &error, &kept);
		runs_record(id, run, kept,
					error ? error->message
					: kept
						? NULL
						: psprintf("%d %s failed", run->failed_checks, run->failed_checks == 1 ? "check" : "checks"));
		if (error)
			ereport(WARNING,
					(errcode(error->sqlerrcode), errmsg("the run failed: %s", error->message),
					 error->detail ? errdetail("%s", error->detail) : 0, error->hint ? errhint("%s", error->hint) : 0));
	}
	foreach (lc, run->steps)
		put_refresh_row((ReturnSetInfo *) fcinfo->resultinfo, foreach_current_index(lc) + 1, lfirst(lc));
	return (Datum) 0;
}

/* ---- plan ---- */

static void
put_plan_row(ReturnSetInfo *set, StrataPlanStep *plan, RunStep *step)
{
	Datum values[12];
	bool nulls[12] = {false};
	StrataModel *m = plan->model;
	bool known = step != NULL && is_counted(step);

	values[0] = Int32GetDatum(plan->step);
	values[1] = text_or_null(m->label, &nulls[1]);
	values[2] = text_or_null(strata_registry_layer_name(m->layer), &nulls[2]);
	values[3] = text_or_null(plan->action, &nulls[3]);
	values[4] = text_or_null(plan->reason, &nulls[4]);
	values[5] = count_or_null(m->row_count, &nulls[5]);
	values[6] = count_or_null(known ? step->result.counts.rows_in : -1, &nulls[6]);
	values[7] = count_or_null(known ? step->result.counts.inserted : -1, &nulls[7]);
	values[8] = count_or_null(known ? step->result.counts.updated : -1, &nulls[8]);
	values[9] = count_or_null(known ? step->result.counts.deleted : -1, &nulls[9]);
	values[10] = text_or_null(step ? runs_check_summary(step) : NULL, &nulls[10]);
	nulls[11] = step == NULL;
	values[11] = step ? runs_ms_datum(step->ms) : (Datum) 0;
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* (models, exclude, data, as_of) */
Datum
strata_plan(PG_FUNCTION_ARGS)
{
	RunRequest request = read_request(fcinfo, 3);
	bool data = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell *lc;

	strata_base_require_version();
	InitMaterializedSRF(fcinfo, 0);
	if (data)
	{
		ErrorData *error;
		bool kept;
		Run *run;

		require_writable();
		run = runs_execute_aside(&request, false, &error, &kept);

		if (error)
			ReThrowError(error);
		foreach (lc, run->steps)
			put_plan_row(set, ((RunStep *) lfirst(lc))->plan, lfirst(lc));
	}
	else
	{
		foreach (lc, strata_plan_make(request.models, request.exclude, false))
			put_plan_row(set, lfirst(lc), NULL);
	}
	return (Datum) 0;
}
