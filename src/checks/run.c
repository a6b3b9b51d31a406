/*
 * run.c: checks of one model, run.
 *
 * Row conditions, counts and newest values of a table are gathered by one SELECT; unique, relationships and query have
 * a statement each. Every statement runs in a subtransaction as the model's owner: an error of one (a cast that fails,
 * a column that is gone, a right withdrawn) is that check's outcome. An error of the common scan does not say whose it
 * is, so its checks are then run one by one.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "checks/checks_internal.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

typedef struct CheckRun
{
	const StrataModel *model;
	StrataCheckTarget *target;
	Snapshot snapshot;
	TimestampTz as_of;
} CheckRun;

/* A check with what is known of it so far. */
typedef struct CheckItem
{
	StrataCheck *check;
	StrataCheckOutcome *outcome;
	char *filter; /* scan only */
	char *condition;
	int condition_index; /* in the collected arrays; -1: none */
	int count_column;    /* of the scan's row; 0: none */
	int newest_column;
	char *sql; /* explain only */
} CheckItem;

static bool
by_scan(StrataCheckKind kind)
{
	return kind != STRATA_CHECK_UNIQUE && kind != STRATA_CHECK_QUERY && kind != STRATA_CHECK_RELATIONSHIPS;
}

/* ---- judging ---- */

static void
judge(CheckItem *item, int64 failures)
{
	const StrataCheck *check = item->check;
	StrataCheckOutcome *outcome = item->outcome;

	outcome->failures = failures;
	if (strcmp(check->severity, "error") == 0 && failures > check->error_above)
		outcome->status = "failed";
	else if (failures > check->warn_above)
		outcome->status = "warned";
	else
		outcome->status = "passed";
}

static void
judge_row_count(CheckItem *item, int64 rows)
{
	const Jsonb *options = item->check->options;
	int64 min = strata_option_int(options, "min", 0);
	int64 max = strata_option_int(options, "max", PG_INT64_MAX);

	judge(item, rows < min ? min - rows : rows > max ? rows - max : 0);
	if (rows < min)
		item->outcome->message = psprintf(INT64_FORMAT " rows, at least " INT64_FORMAT " expected", rows, min);
	else if (rows > max)
		item->outcome->message = psprintf(INT64_FORMAT " rows, at most " INT64_FORMAT " expected", rows, max);
	else
		item->outcome->message = psprintf(INT64_FORMAT " rows", rows);
}

static void
judge_freshness(CheckItem *item, TimestampTz as_of, bool empty, TimestampTz newest)
{
	char *max_age = strata_option_text(item->check->options, "max_age");
	char *column = linitial(item->check->columns);
	Datum limit;

	if (empty)
	{
		judge(item, 1);
		item->outcome->message = psprintf("column %s has no value", column);
		return;
	}
	limit = DirectFunctionCall2(
		timestamptz_pl_interval, TimestampTzGetDatum(newest),
		DirectFunctionCall3(interval_in, CStringGetDatum(max_age), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	judge(item, as_of > DatumGetTimestampTz(limit) ? 1 : 0);
	item->outcome->message = psprintf(
		"newest %s is %s, %s old as of %s, at most %s expected", column, pstrdup(timestamptz_to_str(newest)),
		DatumGetCString(DirectFunctionCall1(
			interval_out, DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(as_of), TimestampTzGetDatum(newest)))),
		pstrdup(timestamptz_to_str(as_of)), max_age);
}

/*
 * Mean and deviation of the row counts of the last runs. Three are needed to say anything. The deviation counts as at
 * least 1% of the mean: one row more in a table that never moved is no anomaly.
 */
static void
judge_anomaly(CheckItem *item, int64 rows)
{
	const Jsonb *options = item->check->options;
	int runs = strata_option_int(options, "runs", 10);
	double deviations = strata_option_number(options, "deviations", 3);
	StrataArgs args = {0};
	StrataRows *history;
	double mean = 0;
	double sum = 0;
	double deviation;

	strata_args_int4(&args, item->check->id);
	strata_args_int4(&args, runs);
	history = strata_base_keeper_query(
		"SELECT r.rows FROM strata_state.check_result r WHERE r.check_id = $1"
		" AND r.run_id IS NOT NULL AND r.rows IS NOT NULL AND r.status NOT IN ('failed', 'error') ORDER BY r.id DESC LIMIT $2",
		&args);
	if (history->count < 3)
	{
		judge(item, 0);
		item->outcome->status = "skipped";
		item->outcome->message =
			psprintf(INT64_FORMAT " rows; %d earlier runs, 3 are needed", rows, (int) history->count);
		return;
	}
	for (uint64 i = 0; i < history->count; i++)
		mean += strata_rows_int(history, i, 1);
	mean /= history->count;
	for (uint64 i = 0; i < history->count; i++)
		sum += pow(strata_rows_int(history, i, 1) - mean, 2);
	deviation = Max(sqrt(sum / (history->count - 1)), mean * 0.01);
	judge(item, fabs(rows - mean) > deviations * deviation ? 1 : 0);
	item->outcome->message = psprintf(INT64_FORMAT " rows; %.0f to %.0f expected from the last %d runs", rows,
									  Max(ceil(mean - deviations * deviation), 0), floor(mean + deviations * deviation),
									  (int) history->count);
}

/* ---- subtransactions ---- */

typedef void (*Work)(CheckRun *run, List *items);

/* True when the work was done; false, with its error, when it failed and was undone. */
static bool
attempt(Work work, CheckRun *run, List *items, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(run, items);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	/* not the check's fault: the whole transaction is to end */
	if (!done && ((*error)->sqlerrcode == ERRCODE_QUERY_CANCELED ||
				  ERRCODE_TO_CATEGORY((*error)->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
				  ERRCODE_TO_CATEGORY((*error)->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION))
		ReThrowError(*error);
	return done;
}

/* ---- the scan ---- */

/* All filters the same: NULL, or the text they share. */
static const char *
common_filter(List *items)
{
	const char *filter = ((CheckItem *) linitial(items))->filter;
	ListCell *lc;

	foreach (lc, items)
	{
		const CheckItem *item = lfirst(lc);

		if (filter == NULL || item->filter == NULL || strcmp(filter, item->filter) != 0)
			return NULL;
	}
	return filter;
}

/*
 * True whenever one of the conditions is, and cheaper: IS NULL tests are merged into one call. It decides which rows the
 * aggregate sees; the conditions themselves are then evaluated for those only.
 */
static char *
any_failure(List *items)
{
	StringInfoData nulls;
	StringInfoData rest;
	List *seen = NIL;
	ListCell *lc;

	initStringInfo(&nulls);
	initStringInfo(&rest);
	foreach (lc, items)
	{
		const CheckItem *item = lfirst(lc);
		bool merge = item->condition && item->check->kind == STRATA_CHECK_NOT_NULL && item->filter == NULL &&
					 list_length(seen) + list_length(item->check->columns) <= FUNC_MAX_ARGS - 10;
		ListCell *c;

		if (item->condition == NULL)
			continue;
		if (!merge)
		{
			appendStringInfo(&rest, "%s(%s)", rest.len ? "\n            OR " : "", item->condition);
			continue;
		}
		foreach (c, item->check->columns)
		{
			if (strata_base_list_has(seen, lfirst(c)))
				continue;
			seen = lappend(seen, lfirst(c));
			appendStringInfo(&nulls, "%st.%s", nulls.len ? ", " : "", quote_identifier(lfirst(c)));
		}
	}
	if (nulls.len == 0)
		return rest.data;
	return psprintf("num_nulls(%s) > 0%s%s", nulls.data, rest.len ? "\n            OR " : "", rest.data);
}

/* The one SELECT, and in the items where to find their part of its row. Columns: count, collected, further ones. */
static char *
scan_sql(CheckRun *run, List *items)
{
	const char *shared;
	StringInfoData sql;
	StringInfoData conditions;
	StringInfoData limits;
	StringInfoData further;
	List *counted = NIL; /* filters whose rows are counted, at columns 3, 4, ... */
	int columns = 2;
	int n = 0;
	ListCell *lc;

	initStringInfo(&sql);
	initStringInfo(&conditions);
	initStringInfo(&limits);
	initStringInfo(&further);
	foreach (lc, items)
		((CheckItem *) lfirst(lc))->filter = strata_checks_filter(run->target, ((CheckItem *) lfirst(lc))->check);
	shared = common_filter(items);
	foreach (lc, items)
	{
		CheckItem *item = lfirst(lc);

		if (shared)
			item->filter = NULL;
		item->count_column = 1;
		if (item->filter)
		{
			for (int i = 0; i < list_length(counted); i++)
				if (strcmp(list_nth(counted, i), item->filter) == 0)
					item->count_column = 3 + i;
			if (item->count_column == 1)
			{
				counted = lappend(counted, item->filter);
				item->count_column = ++columns;
				appendStringInfo(&further, ",\n       count(*) FILTER (WHERE %s)", item->filter);
			}
		}
	}
	foreach (lc, items)
	{
		CheckItem *item = lfirst(lc);

		item->condition = strata_checks_condition(run->target, item->check);
		item->condition_index = -1;
		if (item->condition)
		{
			item->condition_index = n++;
			if (item->filter)
				item->condition = psprintf("%s AND (%s)", item->filter, item->condition);
			appendStringInfo(&conditions, "%s%s", n > 1 ? ",\n         " : "", item->condition);
			appendStringInfo(&limits, "%s%d", n > 1 ? ", " : "", item->check->sample_rows);
		}
		if (item->check->kind == STRATA_CHECK_FRESHNESS)
		{
			item->newest_column = ++columns;
			appendStringInfo(&further, ",\n       %s", strata_checks_newest(run->target, item->check, item->filter));
		}
	}
	appendStringInfoString(&sql, "SELECT count(*),\n       ");
	if (n == 0)
		appendStringInfoString(&sql, "NULL::jsonb");
	else
		appendStringInfo(&sql,
						 "strata_state.collect_failures(\n         ARRAY[%s],\n         ROW(t.*), %s, ARRAY[%s])\n"
						 "         FILTER (WHERE %s)",
						 conditions.data, run->target->names, limits.data, any_failure(items));
	appendStringInfo(&sql, "%s\n  FROM %s t", further.data, run->target->model->label);
	if (shared)
		appendStringInfo(&sql, "\n WHERE %s", shared);
	return sql.data;
}

/* failures and sample number i of what collect_failures gave */
static int64
take_collected(const Jsonb *collected, int i, Jsonb **sample)
{
	JsonbValue *counts;
	JsonbValue *samples;
	JsonbValue *count;
	JsonbValue *rows;

	if (collected == NULL || i < 0)
		return 0;
	counts = strata_option(collected, "failures");
	samples = strata_option(collected, "samples");
	count = getIthJsonbValueFromContainer(counts->val.binary.data, i);
	rows = getIthJsonbValueFromContainer(samples->val.binary.data, i);
	if (rows && rows->type == jbvBinary && JsonContainerSize(rows->val.binary.data) > 0)
		*sample = JsonbValueToJsonb(rows);
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(count->val.numeric)));
}

static void
run_scan(CheckRun *run, List *items)
{
	char *sql = scan_sql(run, items);
	StrataRows *rows = strata_base_run_query(sql, NULL, run->snapshot, NIL);
	Jsonb *collected = strata_rows_jsonb(rows, 0, 2);
	ListCell *lc;

	foreach (lc, items)
	{
		CheckItem *item = lfirst(lc);
		int64 count = strata_rows_int(rows, 0, item->count_column);
		bool isnull = true;

		item->outcome->rows = count;
		switch (item->check->kind)
		{
			case STRATA_CHECK_ROW_COUNT:
				judge_row_count(item, count);
				break;
			case STRATA_CHECK_ROW_COUNT_ANOMALY:
				judge_anomaly(item, count);
				break;
			case STRATA_CHECK_FRESHNESS:
				strata_rows_datum(rows, 0, item->newest_column, &isnull);
				judge_freshness(item, run->as_of, isnull, strata_rows_time(rows, 0, item->newest_column));
				break;
			case STRATA_CHECK_RELATIONSHIPS:
				break; /* counted here, judged by its own statement */
			default:
				judge(item, take_collected(collected, item->condition_index, &item->outcome->sample));
		}
	}
}

/* A check with a statement of its own: one row, rows looked at and collected. */
static char *
alone_sql(CheckRun *run, CheckItem *item)
{
	switch (item->check->kind)
	{
		case STRATA_CHECK_UNIQUE:
			return strata_checks_unique_sql(run->target, item->check);
		case STRATA_CHECK_RELATIONSHIPS:
			return strata_checks_relationships_sql(run->target, item->check);
		default:
			return strata_checks_query_sql(item->check);
	}
}

static void
run_alone(CheckRun *run, List *items)
{
	CheckItem *item = linitial(items);
	StrataRows *rows = strata_base_run_query(alone_sql(run, item), NULL, run->snapshot, NIL);
	bool isnull;

	strata_rows_datum(rows, 0, 1, &isnull);
	if (!isnull)
		item->outcome->rows = strata_rows_int(rows, 0, 1);
	judge(item, take_collected(strata_rows_jsonb(rows, 0, 2), 0, &item->outcome->sample));
}

/* ---- a model ---- */

static void
set_error(CheckItem *item, const char *message, const char *detail)
{
	item->outcome->status = "error";
	item->outcome->failures = -1;
	item->outcome->rows = -1;
	item->outcome->sample = NULL;
	item->outcome->message = detail ? psprintf("%s (%s)", message, detail) : pstrdup(message);
}

static double
elapsed_ms(instr_time start)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now);
}

/* Together where possible, one by one after an error. */
static void
run_items(Work work, CheckRun *run, List *items)
{
	ErrorData *error = NULL;
	instr_time start;
	ListCell *lc;

	if (items == NIL)
		return;
	INSTR_TIME_SET_CURRENT(start);
	if (attempt(work, run, items, &error))
	{
		foreach (lc, items)
			((CheckItem *) lfirst(lc))->outcome->ms += elapsed_ms(start);
		return;
	}
	if (list_length(items) == 1)
	{
		CheckItem *item = linitial(items);

		set_error(item, error->message, error->detail);
		item->outcome->ms += elapsed_ms(start);
		return;
	}
	foreach (lc, items)
		run_items(work, run, list_make1(lfirst(lc)));
}

static CheckItem *
make_item(const StrataModel *model, StrataCheck *check)
{
	CheckItem *item = palloc0(sizeof(CheckItem));

	item->check = check;
	item->outcome = palloc0(sizeof(StrataCheckOutcome));
	item->outcome->check_id = check->id;
	item->outcome->model = model->label;
	item->outcome->name = check->name;
	item->outcome->kind = pstrdup(strata_checks_kind_name(check->kind));
	item->outcome->severity = check->severity;
	item->outcome->rows = -1;
	return item;
}

/* Settled without looking at the data: a column is gone, or a constraint proves it. */
static bool
settle(CheckRun *run, CheckItem *item)
{
	char *problem = strata_checks_column_error(run->target, item->check);
	char *proof;

	if (problem)
	{
		set_error(item, problem, NULL);
		return true;
	}
	proof = strata_checks_proof(run->target, item->check);
	if (proof)
	{
		judge(item, 0);
		item->outcome->message = proof;
		return true;
	}
	return false;
}

/* What is left to ask the data, sorted into the one scan and the statements of their own. */
static void
divide(CheckRun *run, List *items, List **scan, List **alone)
{
	ListCell *lc;

	foreach (lc, items)
	{
		CheckItem *item = lfirst(lc);

		if (settle(run, item))
			continue;
		if (!by_scan(item->check->kind))
			*alone = lappend(*alone, item);
		if (by_scan(item->check->kind) || item->check->kind == STRATA_CHECK_RELATIONSHIPS)
			*scan = lappend(*scan, item);
	}
}

static List *
make_items(const StrataModel *model)
{
	List *items = NIL;
	ListCell *lc;

	foreach (lc, strata_checks_load(model->id))
		items = lappend(items, make_item(model, lfirst(lc)));
	return items;
}

/* The owner's identity is entered; the caller leaves it. */
static void
begin_run(CheckRun *run, StrataIdentity *saved)
{
	strata_base_enter_owner(run->model->owner, &run->model->settings, saved);
	/* PostGIS says a NOTICE for each invalid geometry */
	(void) set_config_option("client_min_messages", "error", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	run->target = strata_checks_target(run->model);
}

List *
strata_checks_run(const StrataModel *model, Snapshot snapshot, TimestampTz as_of)
{
	CheckRun run = {model, NULL, snapshot, as_of};
	List *items = make_items(model);
	List *outcomes = NIL;
	List *scan = NIL;
	List *alone = NIL;
	StrataIdentity saved;
	ListCell *lc;

	if (items == NIL)
		return NIL;
	foreach (lc, items)
		outcomes = lappend(outcomes, ((CheckItem *) lfirst(lc))->outcome);
	if (!OidIsValid(model->relid))
	{
		foreach (lc, items)
			set_error(lfirst(lc), psprintf("the target of model %s does not exist", model->label), NULL);
		return outcomes;
	}
	begin_run(&run, &saved);
	divide(&run, items, &scan, &alone);
	run_items(run_scan, &run, scan);
	foreach (lc, alone)
	{
		if (((CheckItem *) lfirst(lc))->outcome->status == NULL)
			run_items(run_alone, &run, list_make1(lfirst(lc)));
	}
	strata_base_leave(&saved);
	return outcomes;
}

static void
explain_alone(CheckRun *run, List *items)
{
	((CheckItem *) linitial(items))->sql = alone_sql(run, linitial(items));
}

static void
explain_scan(CheckRun *run, List *items)
{
	char *sql = scan_sql(run, items);
	ListCell *lc;

	foreach (lc, items)
		((CheckItem *) lfirst(lc))->sql = sql;
}

/* A check that cannot be run has its error as a comment. */
static void
explain_items(CheckRun *run, Work work, List *items, List **statements)
{
	ErrorData *error = NULL;
	StrataCheckStatement *statement = palloc0(sizeof(StrataCheckStatement));
	ListCell *lc;

	if (items == NIL)
		return;
	if (attempt(work, run, items, &error))
		statement->sql = ((CheckItem *) linitial(items))->sql;
	else if (list_length(items) == 1)
		statement->sql = psprintf("-- %s", error->message);
	else
	{
		foreach (lc, items)
			explain_items(run, work, list_make1(lfirst(lc)), statements);
		return;
	}
	foreach (lc, items)
		statement->checks = lappend(statement->checks, ((CheckItem *) lfirst(lc))->check->name);
	*statements = lappend(*statements, statement);
}

List *
strata_checks_explain(const StrataModel *model)
{
	CheckRun run = {model, NULL, InvalidSnapshot, 0};
	List *statements = NIL;
	List *scan = NIL;
	List *alone = NIL;
	StrataIdentity saved;
	ListCell *lc;

	strata_registry_require_target(model);
	begin_run(&run, &saved);
	divide(&run, make_items(model), &scan, &alone);
	explain_items(&run, explain_scan, scan, &statements);
	foreach (lc, alone)
		explain_items(&run, explain_alone, list_make1(lfirst(lc)), &statements);
	strata_base_leave(&saved);
	return statements;
}

int
strata_checks_count_blocking(const List *outcomes)
{
	int n = 0;
	ListCell *lc;

	foreach (lc, outcomes)
	{
		const StrataCheckOutcome *o = lfirst(lc);

		if (strcmp(o->status, "failed") == 0 || (strcmp(o->status, "error") == 0 && strcmp(o->severity, "error") == 0))
			n++;
	}
	return n;
}

/* ---- the record ---- */

void
strata_checks_record(int64 run_id, List *outcomes, TimestampTz as_of)
{
	StrataArgs prune = {0};
	List *ids = NIL;
	ListCell *lc;

	if (outcomes == NIL)
		return;
	foreach (lc, outcomes)
	{
		const StrataCheckOutcome *o = lfirst(lc);
		StrataArgs args = {0};

		strata_args_datum(&args, INT8OID, Int64GetDatum(run_id), run_id == 0);
		strata_args_int4(&args, o->check_id);
		strata_args_text(&args, o->model);
		strata_args_text(&args, o->name);
		strata_args_text(&args, o->kind);
		strata_args_text(&args, o->severity);
		strata_args_text(&args, o->status);
		strata_args_datum(&args, INT8OID, Int64GetDatum(o->failures), o->failures < 0);
		strata_args_datum(&args, INT8OID, Int64GetDatum(o->rows), o->rows < 0);
		strata_args_jsonb(&args, o->sample);
		strata_args_text(&args, o->message);
		strata_args_time(&args, as_of);
		strata_args_datum(&args, FLOAT8OID, Float8GetDatum(o->ms), false);
		strata_base_keeper_execute(
			"INSERT INTO strata_state.check_result (run_id, check_id, model, name, kind, severity, status,"
			" failures, rows, sample, message, as_of, duration_ms, checked_at)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, clock_timestamp())",
			&args);
		ids = lappend(ids, psprintf("%d", o->check_id));
	}
	strata_args_texts(&prune, ids);
	strata_args_int4(&prune, STRATA_CHECKS_HISTORY);
	strata_base_keeper_execute("DELETE FROM strata_state.check_result r USING unnest($1::integer[]) AS c(id),"
							   " LATERAL (SELECT o.id FROM strata_state.check_result o WHERE o.check_id = c.id"
							   "  ORDER BY o.id DESC OFFSET $2 LIMIT 1) AS oldest"
							   " WHERE r.check_id = c.id AND r.id <= oldest.id",
							   &prune);
}
