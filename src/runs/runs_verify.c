/*
 * runs_verify.c: strata.verify(): is each target what its query gives, now, under one snapshot?
 *
 * It reads beside refreshes and writers. Before the snapshot is taken, what it will read is locked as a query locks it: a
 * table whose storage is replaced meanwhile would look empty under an older snapshot. Each model is compared in a
 * read-only subtransaction, so that a query that fails, or would write, is that model's finding and nobody else's.
 *
 * A target that is behind what it reads differs and is no worse for it: whether it is behind is decided in why_behind() alone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/version.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "runlog/runlog.h"
#include "runs/runs_internal.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(strata_verify);

/* What became of one model. */
typedef struct Verified
{
	StrataModel *model;
	const char *status; /* equal | diverged | stale | repaired | not built | skipped | error */
	bool compared;
	StrataVerifyResult result;
	char *message;
	double ms;
} Verified;

typedef struct Verification
{
	StrataVerify how;
	StrataFencePosition position;
	List *models; /* Verified *, in the order of a refresh */
} Verification;

/* The registry's row of a model, as the snapshot has it. */
typedef struct ModelState
{
	bool known;
	int version;
	int applied_version;
} ModelState;

static char *
counted(int64 n, const char *one, const char *many)
{
	return psprintf(INT64_FORMAT " %s", n, n == 1 ? one : many);
}

/* ---- what is compared ---- */

static Oid
relation_named(const char *schema, const char *name)
{
	Oid namespace_oid = get_namespace_oid(schema, true);

	return OidIsValid(namespace_oid) ? get_relname_relid(name, namespace_oid) : InvalidOid;
}

/* The target, the definition, and what it reads, through views too. */
static List *
relations_of(const StrataModel *m)
{
	List *oids = list_make2_oid(m->relid, relation_named("strata_state", psprintf("m%d_query", m->id)));
	ListCell *lc;

	foreach (lc, m->dependencies)
	{
		Oid relid = relation_named(((StrataDependency *) lfirst(lc))->schema, ((StrataDependency *) lfirst(lc))->name);

		oids = lappend_oid(oids, relid);
		if (get_rel_relkind(relid) == RELKIND_VIEW)
			oids = list_concat(oids, strata_registry_tables_beneath(relid));
	}
	return oids;
}

static void
lock_relations(const List *models)
{
	List *oids = NIL;
	ListCell *lc;

	foreach (lc, models)
		oids = list_concat_unique_oid(oids, relations_of(lfirst(lc)));
	list_sort(oids, list_oid_cmp);
	foreach (lc, oids)
		if (OidIsValid(lfirst_oid(lc)))
			LockRelationOid(lfirst_oid(lc), AccessShareLock);
}

static ModelState
state_of(int id, Snapshot snapshot)
{
	ModelState state = {0};
	StrataArgs args = {0};
	StrataIdentity saved;
	StrataRows *rows;

	strata_args_int4(&args, id);
	strata_base_enter_keeper(&saved);
	rows = strata_base_run_query("SELECT version, applied_version FROM strata_state.model WHERE id = $1", &args,
								 snapshot, NIL);
	strata_base_leave(&saved);
	state.known = rows->count > 0;
	if (state.known)
	{
		state.version = strata_rows_int(rows, 0, 1);
		state.applied_version = strata_rows_int(rows, 0, 2);
	}
	return state;
}

/* A snapshot older than a table's present storage sees none of its rows. Only a transaction's own snapshot can be that old. */
static char *
rewritten_since(const StrataModel *m, Snapshot snapshot)
{
	ListCell *lc;

	if (!IsolationUsesXactSnapshot())
		return NULL;
	foreach (lc, relations_of(m))
	{
		StrataArgs args = {0};
		StrataRows *rows;
		Relation rel;
		Oid file;

		if (!OidIsValid(lfirst_oid(lc)))
			continue;
		rel = RelationIdGetRelation(lfirst_oid(lc));
		if (!RelationIsValid(rel))
			continue;
		file = rel->rd_rel->relfilenode;
		RelationClose(rel);
		strata_args_int8(&args, lfirst_oid(lc));
		rows = strata_base_run_query("SELECT relfilenode FROM pg_catalog.pg_class WHERE oid = $1::oid", &args, snapshot,
									 NIL);
		if (rows->count == 0 || strata_rows_int(rows, 0, 1) != file)
			return psprintf(
				"%s was rewritten since this transaction's snapshot, which sees none of its rows",
				strata_base_label(get_namespace_name(get_rel_namespace(lfirst_oid(lc))), get_rel_name(lfirst_oid(lc))));
	}
	return NULL;
}

/*
 * Is the model up to date with what it reads? NULL: it is, for certain, and must be equal. Else in words why it is not, or
 * why nobody can tell. The one place where this is decided.
 */
static const char *
why_behind(const Verification *run, const StrataModel *m, const ModelState *state, bool *certain, bool *clock)
{
	StrataFence *fence;

	*certain = true;
	*clock = false;
	if (state->applied_version < state->version)
		return "it was defined anew since its last refresh";
	fence = strata_fence_take(m, run->how.snapshot, run->position);
	*clock = fence->clock;
	return strata_fence_moved(m, fence, run->how.snapshot, certain);
}

/* What a refresh by a watermark leaves out; empty without one. */
static const char *
unseen(const StrataModel *m)
{
	char *source = strata_layers_watermark(m);

	return source
			   ? psprintf("; of %s a refresh takes the rows with a later loaded_at only, and sees no deletions", source)
			   : "";
}

/* What is found, and what a refresh does and does not mend of it. */
static char *
words_behind(const StrataModel *m, char *found, const char *behind, bool certain, bool clock)
{
	char *name = strata_base_literal(m->label);
	const char *left = unseen(m);

	if (clock)
		return psprintf(
			"%s; its query reads the clock, and gives other rows at another time: SELECT * FROM strata.refresh(%s)"
			" makes it what the query gives then",
			found, name);
	return psprintf(
		"%s; %s%s: SELECT * FROM strata.refresh(%s), then verify again%s", found, behind, left, name,
		certain && *left == '\0'
			? ""
			: psprintf("; what differs even then, SELECT * FROM strata.verify(%s, repair => true) mends", name));
}

static void
say(Verified *v, const char *status, char *message)
{
	v->status = status;
	v->message = message;
}

static char *
differences(const StrataVerifyResult *r)
{
	return psprintf("%s missing, %s%s", counted(r->missing, "row", "rows"),
					psprintf(INT64_FORMAT " unexpected", r->unexpected), r->parts ? psprintf(" (%s)", r->parts) : "");
}

static void
judge(const Verification *run, Verified *v, const ModelState *state)
{
	StrataVerifyResult *r = &v->result;
	char *name = strata_base_literal(v->model->label);
	const char *behind;
	bool certain;
	bool clock;

	v->compared = true;
	if (r->missing == 0 && r->unexpected == 0)
	{
		say(v, "equal",
			psprintf("%s compared%s", counted(r->checked, "row", "rows"),
					 run->how.share < 1 ? ", a share of the query's" : ""));
		return;
	}
	behind = why_behind(run, v->model, state, &certain, &clock);
	if (behind)
		say(v, "stale", words_behind(v->model, differences(r), behind, certain, clock));
	else
		say(v, "diverged",
			psprintf("%s, though nothing that it reads has changed since its last refresh%s:"
					 " SELECT * FROM strata.verify(%s, repair => true) refreshes it in full",
					 differences(r), unseen(v->model), name));
}

static void
verify_model(const Verification *run, Verified *v)
{
	StrataModel *m = strata_registry_model_by_id(v->model->id);
	ModelState state = state_of(v->model->id, run->how.snapshot);
	/* the definition itself is in the catalogs, which are read as they are now */
	ModelState now = state_of(v->model->id, GetLatestSnapshot());
	char *rewritten;

	if (m == NULL || !state.known || now.version != state.version)
	{
		say(v, "skipped", pstrdup("defined or dropped by another session meanwhile: verify again"));
		return;
	}
	v->model = m;
	strata_registry_require_target(m);
	if (strcmp(m->kind, "view") == 0)
		say(v, "equal", pstrdup("a view is always what its query gives"));
	else if (state.applied_version == 0)
		say(v, "not built", psprintf("SELECT * FROM strata.refresh(%s) builds it", strata_base_literal(m->label)));
	else if (strata_layers_must_adapt(m))
		say(v, "stale",
			psprintf(
				"a column that it reads is of another type since its last refresh: SELECT * FROM strata.refresh(%s), then verify again",
				strata_base_literal(m->label)));
	else if ((rewritten = rewritten_since(m, run->how.snapshot)) != NULL)
		say(v, "skipped", psprintf("%s: verify in a new transaction", rewritten));
	else
	{
		strata_layers_verify(m, &run->how, &v->result);
		judge(run, v, &state);
	}
}

static void
error_context(void *arg)
{
	errcontext("verification of model %s", (char *) arg);
}

typedef struct Aside
{
	const Verification *run;
	Verified *verified;
} Aside;

static void
verify_reading(void *arg)
{
	Aside *aside = arg;

	XactReadOnly = true;
	verify_model(aside->run, aside->verified);
}

/* In a subtransaction that can write nothing, whatever the query calls. */
static void
verify_aside(const Verification *run, Verified *v)
{
	Aside aside = {run, v};
	ErrorContextCallback callback;
	ErrorData *error;
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	callback.callback = error_context;
	callback.arg = v->model->label;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	error = strata_base_attempt(verify_reading, &aside, strata_base_is_failure);
	if (error)
		say(v, "error", error->message);
	error_context_stack = callback.previous;
	v->ms = runs_elapsed_ms(start);
}

static bool
differs(const Verified *v)
{
	return v->compared && v->result.missing + v->result.unexpected > 0;
}

/* ---- repair ---- */

/* The models and all that reads them, as a selector. */
static char *
with_readers(const List *models)
{
	List *words = NIL;
	ListCell *lc;

	foreach (lc, models)
		words = lappend(words, psprintf("%s+", ((StrataModel *) lfirst(lc))->label));
	return strata_base_join(words, " ");
}

/* Locks the models, and what a repair would refresh after them, as one run does: by their ids, all at once. */
static void
lock_for_repair(const List *models)
{
	List *ids = NIL;
	ListCell *lc;

	if (models == NIL)
		return;
	foreach (lc, strata_plan_select_owned(with_readers(models), NULL))
	{
		ids = list_append_unique_int(ids, ((StrataModel *) lfirst(lc))->id);
		if (OidIsValid(((StrataModel *) lfirst(lc))->relid))
			ids = list_concat_unique_int(ids, strata_layers_also_written(lfirst(lc)));
	}
	runs_lock_models(ids, true);
}

/* Compares once more what was refreshed. */
static void
verify_repaired(const Verification *before, Verified *v, int readers)
{
	Verification again = *before;
	Verified after = {v->model};
	char *found = differences(&v->result);
	char *and_readers = readers > 0
							? psprintf(", and %s after it", counted(readers, "model that reads what was repaired",
																	"models that read what was repaired"))
							: "";

	again.position = strata_fence_look();
	CommandCounterIncrement();
	again.how.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	verify_aside(&again, &after);
	UnregisterSnapshot(again.how.snapshot);
	v->ms += after.ms;
	if (strcmp(after.status, "equal") == 0)
		say(v, "repaired", psprintf("%s; refreshed in full%s", found, and_readers));
	else if (strcmp(after.status, "diverged") == 0)
		say(v, "diverged",
			psprintf("%s; refreshed in full%s, which did not mend all: %s", found, and_readers,
					 differences(&after.result)));
	else
		say(v, after.status, psprintf("%s; refreshed in full%s, and since: %s", found, and_readers, after.message));
}

/* What differs is computed in full, whatever is known of it; what reads it follows as in any refresh. */
static void
repair(Verification *run)
{
	RunRequest request = {0};
	List *models = NIL;
	Run *done;
	ErrorData *error;
	bool kept;
	char *failure = NULL;
	int64 id;
	ListCell *lc;

	foreach (lc, run->models)
	{
		Verified *v = lfirst(lc);

		if (!differs(v))
			continue;
		models = lappend(models, v->model);
		request.whole = lappend_int(request.whole, v->model->id);
	}
	if (models == NIL)
		return;
	request.models = with_readers(models);
	request.wait = true;
	id = strata_runlog_start("refresh", request.models, 0);
	done = runs_execute_aside(&request, true, &error, &kept);
	if (error)
		failure = error->message;
	else if (!kept)
		failure = counted(done->failed_checks, "check failed", "checks failed");
	runs_record(id, done, kept, failure);
	foreach (lc, run->models)
	{
		Verified *v = lfirst(lc);

		if (!differs(v))
			continue;
		if (failure)
			v->message = psprintf("%s; its repair failed, and nothing was changed: %s (run " INT64_FORMAT ")",
								  differences(&v->result), failure, id);
		else
			verify_repaired(run, v, list_length(done->steps) - list_length(models));
	}
}

/* ---- recording, and the face ---- */

static void
record(int64 id, const Verification *run)
{
	List *bad = NIL;
	ListCell *lc;

	foreach (lc, run->models)
	{
		Verified *v = lfirst(lc);
		StrataStep row = {0};

		row.step = foreach_current_index(lc) + 1;
		row.model_id = v->model->id;
		row.model = v->model->label;
		row.layer = strata_registry_layer_name(v->model->layer);
		row.action = "verify";
		row.status = v->status;
		row.rows_in = v->compared ? v->result.checked : -1;
		row.inserted = row.updated = row.deleted = row.rejected = -1;
		row.ms = v->ms;
		row.message = v->message;
		strata_runlog_step(id, &row);
		if (strcmp(v->status, "diverged") == 0 || strcmp(v->status, "error") == 0)
			bad = lappend(bad, psprintf("%s: %s", v->model->label, v->status));
	}
	strata_runlog_finish(id, bad == NIL ? "succeeded" : "failed", bad == NIL ? NULL : strata_base_join(bad, ", "));
}

static void
put_row(ReturnSetInfo *set, const Verified *v)
{
	Datum values[7] = {0};
	bool nulls[7] = {false};

	values[0] = CStringGetTextDatum(v->model->label);
	values[1] = CStringGetTextDatum(v->status);
	values[2] = Int64GetDatum(v->result.missing);
	values[3] = Int64GetDatum(v->result.unexpected);
	nulls[2] = nulls[3] = !v->compared && strcmp(v->status, "equal") != 0;
	nulls[4] = v->result.sample == NULL;
	values[4] = JsonbPGetDatum(v->result.sample);
	values[5] = CStringGetTextDatum(v->message);
	values[6] = runs_ms_datum(v->ms);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

static double
read_share(FunctionCallInfo fcinfo)
{
	double share;

	if (PG_ARGISNULL(2))
		return 1;
	share = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, PG_GETARG_DATUM(2)));
	if (!(share > 0 && share <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("sample is %g", share),
				 errhint("It is the share of the rows to compare, above 0 and up to 1: 0.01 is one in a hundred.")));
	return share;
}

/* What the caller may verify; a broken model is told of in its row. */
static List *
choose(const char *models, const char *exclude)
{
	List *chosen = strata_plan_select_owned(models, exclude);
	ListCell *lc;

	foreach (lc, chosen)
	{
		StrataModel *m = lfirst(lc);

		if (OidIsValid(m->relid) || !OidIsValid(m->owner) || !has_privs_of_role(GetUserId(), m->owner))
			strata_registry_require_owner(m, "verify");
	}
	return chosen;
}

/* (models, exclude, sample, repair) */
Datum
strata_verify(PG_FUNCTION_ARGS)
{
	Verification run = {{0}};
	bool mend = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	bool writable = !XactReadOnly && !RecoveryInProgress();
	char *models;
	char *exclude = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	List *chosen;
	int64 id = 0;
	ListCell *lc;

	strata_base_require_version();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("models: the selector is NULL"),
						errhint("Leave it out, or write '*', to choose all models.")));
	models = text_to_cstring(PG_GETARG_TEXT_PP(0));
	run.how.share = read_share(fcinfo);
	/* another share each time: in the end all rows were looked at */
	run.how.seed = GetCurrentTimestamp();
	if (mend && !writable)
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("cannot repair in a read-only transaction"),
						errhint("Verify without repair.")));
	if (writable)
		id = strata_runlog_start("verify", models, 0);
	chosen = choose(models, exclude);
	if (mend)
		lock_for_repair(chosen);
	lock_relations(chosen);
	run.position = strata_fence_look();
	CommandCounterIncrement();
	run.how.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	foreach (lc, chosen)
	{
		Verified *v = palloc0(sizeof(Verified));

		CHECK_FOR_INTERRUPTS();
		v->model = lfirst(lc);
		run.models = lappend(run.models, v);
		verify_aside(&run, v);
	}
	UnregisterSnapshot(run.how.snapshot);
	if (mend)
		repair(&run);
	if (writable)
		record(id, &run);
	foreach (lc, run.models)
		put_row((ReturnSetInfo *) fcinfo->resultinfo, lfirst(lc));
	return (Datum) 0;
}
