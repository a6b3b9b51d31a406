/*
 * runlog.c: runs and their steps, kept and pruned.
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "runlog/runlog.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* Old runs go every so many runs: a start costs nothing more the other times. */
#define PRUNE_EVERY 16

static int keep_runs = 1000;

void
strata_runlog_init(void)
{
	/* superusers only: what one role sets decides how long everyone's runs are kept */
	DefineCustomIntVariable("strata.runlog_keep", "How many runs are kept in strata.runs and strata.steps.",
							"Older finished runs are deleted when new ones start. 0 keeps all.", &keep_runs, 1000, 0,
							INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* The newest runs stay, and so does one that is still running however old it is. */
static void
prune(void)
{
	StrataArgs args = {0};

	strata_args_int8(&args, keep_runs);
	strata_base_keeper_execute("DELETE FROM strata_state.run WHERE status <> 'running'"
							   " AND id < (SELECT id FROM strata_state.run ORDER BY id DESC OFFSET $1 - 1 LIMIT 1)",
							   &args);
}

int64
strata_runlog_start(const char *kind, const char *models, TimestampTz as_of)
{
	static const char *const columns[] = {"id", "kind", "models", "as_of", "started_at", "status", "role"};
	StrataArgs args = {0};
	NameData role;
	int64 id;

	/* what a statement would say, not what it would do first */
	PreventCommandIfReadOnly("INSERT");
	id = nextval_internal(strata_table_oid("run_id_seq"), false);
	strata_args_int8(&args, id);
	strata_args_text(&args, kind);
	strata_args_text(&args, models);
	strata_args_datum(&args, TIMESTAMPTZOID, TimestampTzGetDatum(as_of), as_of == 0);
	strata_args_time(&args, GetCurrentTimestamp());
	strata_args_text(&args, "running");
	namestrcpy(&role, GetUserNameFromId(GetUserId(), false));
	strata_args_datum(&args, NAMEOID, NameGetDatum(&role), false);
	strata_table_insert("run", columns, &args);
	if (keep_runs > 0 && id % PRUNE_EVERY == 0)
		prune();
	return id;
}

static void
count_arg(StrataArgs *args, int64 value)
{
	strata_args_datum(args, INT8OID, Int64GetDatum(value), value < 0);
}

static Datum
milliseconds(double ms)
{
	return DirectFunctionCall2(numeric_round, DirectFunctionCall1(float8_numeric, Float8GetDatum(ms)),
							   Int32GetDatum(3));
}

void
strata_runlog_step(int64 run_id, const StrataStep *s)
{
	static const char *const columns[] = {"run_id",   "step",    "model",   "model_id",   "layer",   "action",
										  "reason",   "status",  "rows_in", "inserted",   "updated", "deleted",
										  "rejected", "message", "method",  "duration_ms"};
	StrataArgs args = {0};

	strata_args_int8(&args, run_id);
	strata_args_int4(&args, s->step);
	strata_args_text(&args, s->model);
	strata_args_int4(&args, s->model_id);
	strata_args_text(&args, s->layer);
	strata_args_text(&args, s->action);
	strata_args_text(&args, s->reason);
	strata_args_text(&args, s->status);
	count_arg(&args, s->rows_in);
	count_arg(&args, s->inserted);
	count_arg(&args, s->updated);
	count_arg(&args, s->deleted);
	count_arg(&args, s->rejected);
	strata_args_text(&args, s->message);
	strata_args_text(&args, s->method);
	strata_args_datum(&args, NUMERICOID, s->ms < 0 ? (Datum) 0 : milliseconds(s->ms), s->ms < 0);
	strata_table_insert("step", columns, &args);
}

void
strata_runlog_finish(int64 run_id, const char *status, const char *message)
{
	static const char *const columns[] = {"status", "message", "finished_at"};
	StrataArgs args = {0};

	strata_args_text(&args, status);
	strata_args_text(&args, message);
	strata_args_time(&args, GetCurrentTimestamp());
	if (!strata_table_update("run", "run_pkey", "id", run_id, columns, &args))
		elog(ERROR, "run " INT64_FORMAT " is not there", run_id);
}
