/*
 * runs.c: one run.
 *
 * Order of things, and why: choose the models; lock them in the order of their ids (so that two runs never wait for each
 * other); only then take the snapshot, so that it holds what the run before us committed; refresh in topological order; check every model that has
 * checks; record. Everything is in the caller's transaction: nobody sees a row of it before it commits.
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/capture.h"
#include "catalog/namespace.h"
#include "checks/checks.h"
#include "executor/instrument.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "plan/plan.h"
#include "portability/instr_time.h"
#include "runs/runs_internal.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

static int
by_id(const ListCell *a, const ListCell *b)
{
	return lfirst_int(a) - lfirst_int(b);
}

void
runs_lock_models(List *ids, bool wait)
{
	ListCell *lc;

	list_sort(ids, by_id);
	foreach (lc, ids)
	{
		StrataModel *m;

		if (strata_registry_lock(lfirst_int(lc), wait))
			continue;
		m = strata_registry_model_by_id(lfirst_int(lc));
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("model %s is being refreshed by another session", m ? m->label : "(dropped)"),
						errhint("Run it again later, or with wait => true.")));
	}
}

static void
lock_models(const List *steps, bool wait)
{
	List *ids = NIL;
	ListCell *lc;

	foreach (lc, steps)
	{
		StrataModel *m = ((StrataPlanStep *) lfirst(lc))->model;

		ids = list_append_unique_int(ids, m->id);
		ids = list_concat_unique_int(ids, strata_layers_also_written(m));
	}
	runs_lock_models(ids, wait);
}

double
runs_elapsed_ms(instr_time start)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now);
}

/*
 * Under REPEATABLE READ the snapshot may be older than the last refresh of another session, whose rows it does not see: writing
 * on top of them would double them. Touching the model's row under the snapshot raises a serialization failure then.
 */
static void
check_not_overtaken(const StrataModel *model, Snapshot snapshot)
{
	MemoryContext context = CurrentMemoryContext;
	StrataArgs args = {0};

	if (!IsolationUsesXactSnapshot())
		return;
	strata_args_int4(&args, model->id);
	PG_TRY();
	{
		strata_base_keeper_run("UPDATE strata_state.model SET last_run = last_run WHERE id = $1", &args, snapshot);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		/* what SERIALIZABLE finds among other transactions has a DETAIL of its own */
		if (error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE || error->detail)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("model %s was refreshed or defined anew since this transaction's snapshot", model->label),
				 errdetail("Another session did, and its rows are not to be seen here."),
				 errhint("Try again in a new transaction.")));
	}
	PG_END_TRY();
}

static void
check_storage(Oid relid, LOCKMODE mode, Snapshot snapshot)
{
	Oid rewritten;

	if (!OidIsValid(relid))
		return;
	LockRelationOid(relid, mode);
	rewritten = strata_table_rewritten(relid, snapshot);
	if (OidIsValid(rewritten))
		ereport(
			ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("%s was rewritten while this refresh had begun",
					strata_base_label(get_namespace_name(get_rel_namespace(rewritten)), get_rel_name(rewritten))),
			 errdetail(
				 "Another session has altered, emptied or built it anew since; its rows of then are no more to be seen."),
			 errhint("Refresh again.")));
}

/*
 * TRUNCATE, an ALTER TABLE that rewrites, a build of another session: to a snapshot from before, the table is empty. A source would give nothing, a
 * target would be filled twice. Locked from here on, they cannot be rewritten any more.
 */
static void
check_not_rewritten(const StrataModel *model, Snapshot snapshot)
{
	ListCell *lc;
	ListCell *lc2;

	foreach (lc, model->dependencies)
	{
		StrataDependency *d = lfirst(lc);
		Oid schema = get_namespace_oid(d->schema, true);
		Oid relid = OidIsValid(schema) ? get_relname_relid(d->name, schema) : InvalidOid;

		if (!OidIsValid(relid))
			continue;
		foreach (lc2, strata_registry_tables_beneath(relid))
			check_storage(lfirst_oid(lc2), AccessShareLock, snapshot);
	}
	if (strcmp(model->kind, "view") != 0 && get_rel_name(model->relid) != NULL)
		check_storage(model->relid, RowExclusiveLock, snapshot);
}

/* A partitioned fact makes partitions ahead of the run time: in a new month it has work even so. */
static bool
is_due_anyway(const Run *run, const StrataModel *model)
{
	struct pg_tm now;
	struct pg_tm then;
	fsec_t fsec;
	int tz;

	if (strata_option(model->options, "partition_by") == NULL)
		return false;
	return timestamp2tm(run->request.as_of, &tz, &now, &fsec, NULL, NULL) != 0 ||
		   timestamp2tm(model->refreshed_at, &tz, &then, &fsec, NULL, NULL) != 0 || now.tm_year != then.tm_year ||
		   now.tm_mon != then.tm_mon;
}

static bool
nothing_changed(const Run *run, const RunStep *step)
{
	const StrataModel *model = step->plan->model;
	StrataIdle idle;

	if (run->request.full_rebuild || list_member_int(run->request.whole, model->id) ||
		strcmp(model->kind, "view") == 0 || model->applied_version != model->version || model->pending != NULL ||
		is_due_anyway(run, model) || strata_layers_must_adapt(model))
		return false;
	idle = strata_layers_idle(model, run->snapshot);
	if (idle != STRATA_IDLE_UNKNOWN)
		return idle == STRATA_IDLE;
	return strata_fence_holds(model, strata_fence_take(model, run->snapshot, run->position));
}

static void
run_step(Run *run, RunStep *step)
{
	StrataModel *model = step->plan->model;
	StrataRefresh refresh = {run->snapshot, run->request.as_of, run->request.full_rebuild, run->request.confirm_shrink,
							 list_member_int(run->request.whole, model->id)};
	instr_time start;
	StrataDeltaCounts *c = &step->result.counts;
	ErrorContextCallback context;

	INSTR_TIME_SET_CURRENT(start);
	run->at = step;
	context.callback = runs_error_context;
	context.arg = model->label;
	context.previous = error_context_stack;
	error_context_stack = &context;
	check_not_overtaken(model, run->snapshot);
	if (nothing_changed(run, step))
	{
		step->plan->action = pstrdup("nothing");
		step->plan->reason = pstrdup("nothing it reads has changed since its last refresh");
		step->skipped = true;
		step->result.row_count = model->row_count;
	}
	else
	{
		check_not_rewritten(model, run->snapshot);
		strata_layers_refresh(model, &refresh, &step->result);
		strata_fence_store(model, strata_fence_take(model, run->snapshot, run->position), run->snapshot,
						   c->inserted + c->updated + c->deleted > 0 || c->swapped || step->result.adapted);
	}
	error_context_stack = context.previous;
	step->ms = runs_elapsed_ms(start);
	step->message = step->result.message;
	step->done = true;
	if (strcmp(step->plan->action, "nothing") == 0)
		step->status = "unchanged";
	else
		step->status = c->inserted + c->updated + c->deleted > 0 || step->result.adapted || model->applied_version == 0
						   ? "succeeded"
						   : "unchanged";
}

/*
 * When every model stands as it will be published: a check may read models other than its own, in either direction of the graph
 * or in none (relationships, query), and must see them as the run leaves them.
 */
static void
check_step(Run *run, RunStep *step)
{
	StrataModel *model = step->plan->model;
	instr_time start;
	ErrorContextCallback context;

	INSTR_TIME_SET_CURRENT(start);
	run->at = step;
	context.callback = runs_error_context;
	context.arg = model->label;
	context.previous = error_context_stack;
	error_context_stack = &context;
	step->outcomes = strata_checks_run(model, run->snapshot, run->request.as_of);
	error_context_stack = context.previous;
	step->ms += runs_elapsed_ms(start);
}

void
runs_error_context(void *arg)
{
	errcontext("refresh of model %s", (char *) arg);
}

static void
count_failures(Run *run, RunStep *step)
{
	ListCell *lc;

	foreach (lc, step->outcomes)
	{
		StrataCheckOutcome *o = lfirst(lc);

		if (strcmp(o->status, "failed") == 0 || (strcmp(o->status, "error") == 0 && strcmp(o->severity, "error") == 0))
		{
			run->failed_checks++;
			step->status = "failed";
		}
	}
}

/*
 * What a model reads has to be there. A target that was never built is an empty table: its readers would be published empty, or
 * emptied.
 */
static void
require_built(const List *plan)
{
	ListCell *lc;

	foreach (lc, plan)
	{
		StrataPlanStep *step = lfirst(lc);

		if (step->unbuilt == NIL)
			continue;
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model %s reads %s, never built and not chosen for this refresh", step->model->label,
							   strata_base_join(step->unbuilt, ", ")),
						errdetail("It would be computed from an empty table."),
						errhint("Choose what it reads too, as '+%s' does; or leave it out with exclude.",
								step->model->label)));
	}
}

/*
 * What a run may write, before it reads any of it: a statement holds on to the indexes of what it reads, and who then asks for the table meets a REINDEX
 * that has the table and asks for its indexes.
 */
static void
lock_registry(void)
{
	static const char *const written[] = {
		"model",           "incremental",  "watermark", "edit", "capture", "capture_consumer",
		"capture_segment", "check_result", "run",       "step"};

	for (int i = 0; i < (int) lengthof(written); i++)
		LockRelationOid(strata_table_oid(written[i]), RowExclusiveLock);
}

/* What a model of the run writes, those above it in the run are to have without a detour. */
static bool
hand_over(const List *plan)
{
	List *targets = NIL;
	List *consumers = NIL;
	ListCell *lc;

	foreach (lc, plan)
	{
		const StrataModel *m = ((StrataPlanStep *) lfirst(lc))->model;

		if (strcmp(m->kind, "view") == 0)
			continue;
		if (OidIsValid(m->relid))
			targets = lappend_oid(targets, m->relid);
		consumers = lappend(consumers, strata_layers_consumer(m));
	}
	return strata_capture_handover_begin(targets, consumers);
}

void
runs_execute(const RunRequest *request, Run *run)
{
	List *plan;
	bool outermost;
	ListCell *lc;

	lock_registry();
	plan = strata_plan_make(request->models, request->exclude, request->full_rebuild);
	run->request = *request;
	foreach (lc, plan)
		strata_registry_require_owner(((StrataPlanStep *) lfirst(lc))->model, "refresh");
	lock_models(plan, request->wait);
	/* what was waited for may have changed definitions: choose again, now that they stand still */
	plan = strata_plan_make_again(request->models, request->exclude, request->full_rebuild);
	run->planned = plan;
	require_built(plan);
	/* after the locks, so that run times of one model follow each other */
	if (run->request.as_of == 0)
		run->request.as_of = GetCurrentTimestamp();
	/* in this order: what the fences of this run rest on */
	run->position = strata_fence_before_snapshot();
	CommandCounterIncrement();
	run->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	strata_fence_after_snapshot(&run->position, run->snapshot);
	outermost = hand_over(plan);
	foreach (lc, plan)
	{
		RunStep *step = palloc0(sizeof(RunStep));
		MemoryContext context;

		CHECK_FOR_INTERRUPTS();
		step->plan = lfirst(lc);
		run->steps = lappend(run->steps, step);
		context = CurrentMemoryContext;
		run_step(run, step);
		MemoryContextSwitchTo(context);
	}
	if (outermost)
		strata_capture_handover_end();
	foreach (lc, run->steps)
	{
		MemoryContext context = CurrentMemoryContext;

		CHECK_FOR_INTERRUPTS();
		check_step(run, lfirst(lc));
		MemoryContextSwitchTo(context);
		count_failures(run, lfirst(lc));
	}
	UnregisterSnapshot(run->snapshot);
	run->snapshot = NULL;
	strata_capture_prune();
}

static void
add_count(StringInfo buf, int count, const char *what)
{
	if (count > 0)
		appendStringInfo(buf, "%s%d %s", buf->len > 0 ? ", " : "", count, what);
}

char *
runs_check_summary(const RunStep *step)
{
	int passed = 0;
	int warned = 0;
	int failed = 0;
	int skipped = 0;
	ListCell *lc;
	StringInfoData buf;

	foreach (lc, step->outcomes)
	{
		const char *status = ((StrataCheckOutcome *) lfirst(lc))->status;

		if (strcmp(status, "passed") == 0)
			passed++;
		else if (strcmp(status, "skipped") == 0)
			skipped++;
		else if (strcmp(status, "warned") == 0 ||
				 (strcmp(status, "error") == 0 && strcmp(((StrataCheckOutcome *) lfirst(lc))->severity, "warn") == 0))
			warned++;
		else
			failed++;
	}
	initStringInfo(&buf);
	add_count(&buf, passed, "passed");
	add_count(&buf, warned, "warned");
	add_count(&buf, failed, "failed");
	add_count(&buf, skipped, "skipped");
	return buf.len > 0 ? buf.data : NULL;
}

char *
runs_failure_detail(const Run *run)
{
	StringInfoData buf;
	ListCell *lc;
	int shown = 0;

	initStringInfo(&buf);
	foreach (lc, run->steps)
	{
		RunStep *step = lfirst(lc);
		ListCell *lc2;

		foreach (lc2, step->outcomes)
		{
			StrataCheckOutcome *o = lfirst(lc2);

			if (strcmp(o->status, "failed") != 0 && strcmp(o->status, "error") != 0)
				continue;
			if (++shown > 20)
				continue;
			appendStringInfo(&buf, "%s%s: check %s: %s", buf.len > 0 ? "\n" : "", step->plan->model->label, o->name,
							 o->message ? o->message
										: psprintf(INT64_FORMAT " %s", o->failures, o->failures == 1 ? "row" : "rows"));
			if (o->sample)
			{
				char *rows = JsonbToCString(NULL, &o->sample->root, VARSIZE(o->sample));

				appendStringInfo(&buf, "; for example %s%s", pnstrdup(rows, pg_mbcliplen(rows, strlen(rows), 400)),
								 strlen(rows) > 400 ? "..." : "");
			}
		}
	}
	if (shown > 20)
		appendStringInfo(&buf, "\nand %d more", shown - 20);
	return buf.data;
}
