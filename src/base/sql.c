/*
 * sql.c: the only place where SQL is run.
 *
 * Registry statements run as SPI runs them. Statements of a run are given one snapshot, taken once for the whole
 * selection: each sees it plus what this transaction wrote before (the command counter advances, the snapshot does not),
 * so every model of a run is computed from the same state of the world.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/base_internal.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* ---- arguments ---- */

void
strata_args_datum(StrataArgs *args, Oid type, Datum value, bool isnull)
{
	if (args->n >= STRATA_MAX_ARGS)
		elog(ERROR, "too many arguments of a statement");
	args->types[args->n] = type;
	args->values[args->n] = value;
	args->nulls[args->n] = isnull ? 'n' : ' ';
	args->n++;
}

void
strata_args_text(StrataArgs *args, const char *value)
{
	strata_args_datum(args, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

void
strata_args_int4(StrataArgs *args, int32 value)
{
	strata_args_datum(args, INT4OID, Int32GetDatum(value), false);
}

void
strata_args_int8(StrataArgs *args, int64 value)
{
	strata_args_datum(args, INT8OID, Int64GetDatum(value), false);
}

void
strata_args_bool(StrataArgs *args, bool value)
{
	strata_args_datum(args, BOOLOID, BoolGetDatum(value), false);
}

void
strata_args_time(StrataArgs *args, TimestampTz value)
{
	strata_args_datum(args, TIMESTAMPTZOID, TimestampTzGetDatum(value), false);
}

void
strata_args_jsonb(StrataArgs *args, const Jsonb *value)
{
	strata_args_datum(args, JSONBOID, PointerGetDatum(value), value == NULL);
}

void
strata_args_texts(StrataArgs *args, const List *values)
{
	Datum *elements = palloc(sizeof(Datum) * Max(1, list_length(values)));
	int n = 0;
	ListCell *lc;

	foreach (lc, values)
		elements[n++] = CStringGetTextDatum(lfirst(lc));
	strata_args_datum(args, TEXTARRAYOID,
					  PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT)), false);
}

/* ---- statements ---- */

static void
connect(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the SQL executor");
}

static void
finish(void)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not leave the SQL executor");
}

static void
register_rowsets(List *rowsets)
{
	ListCell *lc;

	foreach (lc, rowsets)
	{
		StrataRowSet *set = lfirst(lc);
		EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

		enr->md.name = set->name;
		enr->md.reliddesc = InvalidOid;
		enr->md.tupdesc = set->desc;
		enr->md.enrtype = ENR_NAMED_TUPLESTORE;
		enr->md.enrtuples = set->count;
		enr->reldata = set->store;
		if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
			elog(ERROR, "could not make row set \"%s\" known", set->name);
	}
}

static StrataRows *
take_rows(MemoryContext into)
{
	MemoryContext old = MemoryContextSwitchTo(into);
	StrataRows *rows = palloc0(sizeof(StrataRows));

	if (SPI_tuptable)
	{
		rows->count = SPI_processed;
		rows->desc = CreateTupleDescCopy(SPI_tuptable->tupdesc);
		rows->tuples = palloc_extended(sizeof(HeapTuple) * Max(1, SPI_processed), MCXT_ALLOC_HUGE);
		for (uint64 i = 0; i < SPI_processed; i++)
			rows->tuples[i] = heap_copytuple(SPI_tuptable->vals[i]);
	}
	MemoryContextSwitchTo(old);
	return rows;
}

static StrataRows *
execute(const char *sql, const StrataArgs *args, bool keep, uint64 *processed)
{
	MemoryContext caller = CurrentMemoryContext;
	StrataRows *rows = NULL;
	int code;

	connect();
	code = SPI_execute_with_args(sql, args ? args->n : 0, args ? (Oid *) args->types : NULL,
								 args ? (Datum *) args->values : NULL, args ? args->nulls : NULL, false, 0);
	if (code < 0)
		elog(ERROR, "statement failed: %s: %s", SPI_result_code_string(code), sql);
	if (processed)
		*processed = SPI_processed;
	if (keep)
		rows = take_rows(caller);
	finish();
	return rows;
}

uint64
strata_base_execute(const char *sql, const StrataArgs *args)
{
	uint64 processed = 0;

	execute(sql, args, false, &processed);
	return processed;
}

StrataRows *
strata_base_query(const char *sql, const StrataArgs *args)
{
	return execute(sql, args, true, NULL);
}

/*
 * Registry statements are few and constant, and a definition runs a dozen of them: they are parsed and planned once a session.
 * The server plans them anew by itself when what they read changes.
 */
#define MAX_KEPT_PLANS 512

typedef struct KeptPlan
{
	const char *sql; /* the key, by what it points at */
	SPIPlanPtr plan;
	int n_args;
	Oid types[STRATA_MAX_ARGS];
} KeptPlan;

static HTAB *kept_plans = NULL;

static uint32
hash_text_key(const void *key, Size size)
{
	const char *text = *(const char *const *) key;

	return DatumGetUInt32(hash_any((const unsigned char *) text, strlen(text)));
}

static int
match_text_key(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* NULL: not to be kept. Connected to SPI. */
static SPIPlanPtr
kept_plan(const char *sql, const StrataArgs *args)
{
	KeptPlan *kept;
	SPIPlanPtr plan;

	if (args == NULL)
		return NULL; /* DDL, and what is run once */
	if (kept_plans == NULL)
	{
		HASHCTL control = {0};

		control.keysize = sizeof(char *);
		control.entrysize = sizeof(KeptPlan);
		control.hash = hash_text_key;
		control.match = match_text_key;
		kept_plans = hash_create("pg_strata registry plans", 64, &control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE);
	}
	kept = hash_search(kept_plans, &sql, HASH_FIND, NULL);
	if (kept)
		return kept->n_args == args->n && memcmp(kept->types, args->types, sizeof(Oid) * args->n) == 0 ? kept->plan
																									   : NULL;
	if (hash_get_num_entries(kept_plans) >= MAX_KEPT_PLANS)
		return NULL;
	plan = SPI_prepare_cursor(sql, args->n, (Oid *) args->types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	sql = MemoryContextStrdup(TopMemoryContext, sql);
	kept = hash_search(kept_plans, &sql, HASH_ENTER, NULL);
	kept->n_args = args->n;
	memcpy(kept->types, args->types, sizeof(Oid) * args->n);
	kept->plan = plan;
	SPI_keepplan(plan);
	return plan;
}

static StrataRows *
keeper_execute(const char *sql, const StrataArgs *args, bool keep, uint64 *processed)
{
	MemoryContext caller = CurrentMemoryContext;
	StrataIdentity saved;
	StrataRows *rows = NULL;
	SPIPlanPtr plan;

	strata_base_enter_keeper(&saved);
	connect();
	plan = kept_plan(sql, args);
	if (plan)
	{
		int code;

		/* a plan made while a table is small is kept: it must not be one that reads the whole table */
		strata_base_pin("enable_seqscan", "off");
		strata_base_pin("jit", "off");
		code = SPI_execute_plan(plan, (Datum *) args->values, args->nulls, false, 0);

		if (code < 0)
			elog(ERROR, "statement failed: %s: %s", SPI_result_code_string(code), sql);
		if (processed)
			*processed = SPI_processed;
		if (keep)
			rows = take_rows(caller);
		finish();
	}
	else
	{
		finish();
		rows = execute(sql, args, keep, processed);
	}
	strata_base_leave(&saved);
	return rows;
}

uint64
strata_base_keeper_execute(const char *sql, const StrataArgs *args)
{
	uint64 processed = 0;

	keeper_execute(sql, args, false, &processed);
	return processed;
}

StrataRows *
strata_base_keeper_query(const char *sql, const StrataArgs *args)
{
	return keeper_execute(sql, args, true, NULL);
}

static SPIPlanPtr
prepare(const char *sql, const StrataArgs *args)
{
	SPIPlanPtr plan = SPI_prepare(sql, args ? args->n : 0, args ? (Oid *) args->types : NULL);

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	return plan;
}

static uint64
run_prepared(SPIPlanPtr plan, const char *sql, const StrataArgs *args, Snapshot snapshot)
{
	int code = SPI_execute_snapshot(plan, args ? (Datum *) args->values : NULL, args ? args->nulls : NULL, snapshot,
									InvalidSnapshot, false, true, 0);

	if (code < 0)
		elog(ERROR, "statement failed: %s: %s", SPI_result_code_string(code), sql);
	return SPI_processed;
}

/* What is kept of it (sql_kept.c) is used, as long as the statement runs. */
static uint64
run_shown(const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets, StrataPlanning how)
{
	StrataKept *volatile kept = NULL;
	volatile uint64 processed = 0;
	List *before;

	connect();
	register_rowsets(rowsets);
	before = strata_rowset_show(rowsets);
	PG_TRY();
	{
		SPIPlanPtr plan = NULL;

		kept = strata_kept_take(sql, args, rowsets, how, 0, &plan);
		if (plan == NULL)
			plan = prepare(sql, args);
		if (kept == NULL && how == STRATA_PLAN_BY_ADDRESS)
			strata_kept_plan(plan, how);
		processed = run_prepared(plan, sql, args, snapshot);
	}
	PG_FINALLY();
	{
		strata_kept_leave(kept);
		strata_rowset_show(before);
	}
	PG_END_TRY();
	finish();
	return processed;
}

uint64
strata_base_run(const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets)
{
	return run_shown(sql, args, snapshot, rowsets, STRATA_PLAN_ROWSETS);
}

uint64
strata_base_keeper_run(const char *sql, const StrataArgs *args, Snapshot snapshot)
{
	StrataIdentity saved;
	uint64 processed;

	strata_base_enter_keeper(&saved);
	processed = run_shown(sql, args, snapshot, NIL, STRATA_PLAN_REGISTRY);
	strata_base_leave(&saved);
	return processed;
}

/*
 * Their pages were read a moment ago. The planner does not know, and would rather read the whole table than one page a row; nor are the
 * costs it expects any that compiling expressions would lower. Only the plan is made so: triggers of the table run as ever.
 */
uint64
strata_base_run_by_address(const char *sql, Snapshot snapshot, List *rowsets)
{
	return run_shown(sql, NULL, snapshot, rowsets, STRATA_PLAN_BY_ADDRESS);
}

static ParamListInfo
make_params(const StrataArgs *args)
{
	ParamListInfo params;

	if (args == NULL || args->n == 0)
		return NULL;
	params = makeParamList(args->n);
	for (int i = 0; i < args->n; i++)
	{
		params->params[i].value = args->values[i];
		params->params[i].isnull = args->nulls[i] == 'n';
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = args->types[i];
	}
	return params;
}

static int
execute_shown(const char *sql, const StrataArgs *args, const SPIExecuteOptions *options, List *rowsets)
{
	List *before = strata_rowset_show(rowsets);
	StrataKept *volatile kept = NULL;
	volatile int code = 0;

	PG_TRY();
	{
		SPIPlanPtr plan = NULL;

		kept = strata_kept_take(sql, args, rowsets, STRATA_PLAN_ROWSETS, CURSOR_OPT_PARALLEL_OK, &plan);
		code = plan ? SPI_execute_plan_extended(plan, options) : SPI_execute_extended(sql, options);
	}
	PG_FINALLY();
	{
		strata_kept_leave(kept);
		strata_rowset_show(before);
	}
	PG_END_TRY();
	return code;
}

/* A SELECT under the snapshot; dest NULL keeps the rows. Parallel plans are allowed. */
static StrataRows *
run_select(const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets, DestReceiver *dest,
		   uint64 *processed)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIExecuteOptions options = {0};
	StrataRows *rows = NULL;
	int code;

	connect();
	register_rowsets(rowsets);
	CommandCounterIncrement();
	PushCopiedSnapshot(snapshot);
	UpdateActiveSnapshotCommandId();
	options.params = make_params(args);
	options.read_only = true;
	options.dest = dest;
	code = execute_shown(sql, args, &options, rowsets);
	if (code < 0)
		elog(ERROR, "statement failed: %s: %s", SPI_result_code_string(code), sql);
	if (processed)
		*processed = SPI_processed;
	if (dest == NULL)
		rows = take_rows(caller);
	PopActiveSnapshot();
	finish();
	return rows;
}

StrataRows *
strata_base_run_query(const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets)
{
	return run_select(sql, args, snapshot, rowsets, NULL, NULL);
}

uint64
strata_base_run_into(const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets, DestReceiver *dest)
{
	uint64 processed = 0;

	run_select(sql, args, snapshot, rowsets, dest, &processed);
	return processed;
}

/* ---- row sets ---- */

StrataRowSet *
strata_rowset_create(const char *name, TupleDesc desc)
{
	StrataRowSet *set = palloc0(sizeof(StrataRowSet));

	set->name = pstrdup(name);
	set->desc = CreateTupleDescCopy(desc);
	set->store = tuplestore_begin_heap(true, false, work_mem);
	return set;
}

void
strata_rowset_put(StrataRowSet *set, Datum *values, bool *nulls)
{
	tuplestore_putvalues(set->store, set->desc, values, nulls);
	set->count++;
}

TupleTableSlot *
strata_rowset_rewind(StrataRowSet *set)
{
	strata_rowset_fill(set);
	/* statements that read it have pointers of their own, and leave theirs selected */
	tuplestore_select_read_pointer(set->store, 0);
	tuplestore_rescan(set->store);
	return MakeSingleTupleTableSlot(set->desc, &TTSOpsMinimalTuple);
}

bool
strata_rowset_next(StrataRowSet *set, TupleTableSlot *slot)
{
	CHECK_FOR_INTERRUPTS();
	if (!tuplestore_gettupleslot(set->store, true, false, slot))
	{
		ExecDropSingleTupleTableSlot(slot);
		return false;
	}
	slot_getallattrs(slot);
	return true;
}

void
strata_rowset_free(StrataRowSet *set)
{
	if (set == NULL)
		return;
	tuplestore_end(set->store);
	FreeTupleDesc(set->desc);
	pfree(set->name);
	pfree(set);
}

typedef struct RowSetReceiver
{
	DestReceiver pub;
	const char *name;
	StrataRowSet *set;
	MemoryContext context;
} RowSetReceiver;

static void
rowset_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
	RowSetReceiver *r = (RowSetReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(r->context);

	if (r->set == NULL)
		r->set = strata_rowset_create(r->name, typeinfo);
	MemoryContextSwitchTo(old);
}

static bool
rowset_receive(TupleTableSlot *slot, DestReceiver *self)
{
	RowSetReceiver *r = (RowSetReceiver *) self;

	tuplestore_puttupleslot(r->set->store, slot);
	r->set->count++;
	return true;
}

static void
rowset_noop(DestReceiver *self)
{
}

StrataRowSet *
strata_base_run_rowset(const char *name, const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets)
{
	RowSetReceiver r = {0};

	r.pub.receiveSlot = rowset_receive;
	r.pub.rStartup = rowset_startup;
	r.pub.rShutdown = rowset_noop;
	r.pub.rDestroy = rowset_noop;
	r.pub.mydest = DestTuplestore;
	r.name = name;
	r.context = CurrentMemoryContext;
	strata_base_run_into(sql, args, snapshot, rowsets, (DestReceiver *) &r);
	return r.set;
}

TupleDesc
strata_base_describe(const char *sql, List *rowsets)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	SPIPlanPtr plan;
	List *sources;
	TupleDesc desc;

	connect();
	register_rowsets(rowsets);
	plan = SPI_prepare(sql, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	sources = SPI_plan_get_plan_sources(plan);
	old = MemoryContextSwitchTo(caller);
	desc = CreateTupleDescCopy(((CachedPlanSource *) linitial(sources))->resultDesc);
	MemoryContextSwitchTo(old);
	finish();
	return desc;
}

static StrataEstimate
estimate(const char *sql, List *rowsets, StrataPlanning how, int cursor_options)
{
	volatile StrataEstimate result = {0};
	StrataKept *volatile kept = NULL;
	List *before;

	connect();
	register_rowsets(rowsets);
	before = strata_rowset_show(rowsets);
	PG_TRY();
	{
		SPIPlanPtr plan;
		StrataEstimate e;

		kept = strata_kept_take(sql, NULL, rowsets, how, cursor_options, &plan);
		e = kept ? strata_kept_estimate(kept) : strata_kept_plan(prepare(sql, NULL), STRATA_PLAN_ESTIMATE);
		result.cost = e.cost;
		result.rows = e.rows;
	}
	PG_FINALLY();
	{
		strata_kept_leave(kept);
		strata_rowset_show(before);
	}
	PG_END_TRY();
	finish();
	return (StrataEstimate){result.cost, result.rows};
}

StrataEstimate
strata_base_estimate(const char *sql, List *rowsets)
{
	return estimate(sql, rowsets, STRATA_PLAN_ESTIMATE, 0);
}

/* As run_select has it planned, so that it finds that plan. */
StrataEstimate
strata_base_estimate_run(const char *sql, List *rowsets)
{
	return estimate(sql, rowsets, STRATA_PLAN_ROWSETS, CURSOR_OPT_PARALLEL_OK);
}

/* ---- reading rows ---- */

Datum
strata_rows_datum(const StrataRows *rows, uint64 row, int column, bool *isnull)
{
	if (row >= rows->count)
		elog(ERROR, "row " UINT64_FORMAT " of a result of " UINT64_FORMAT " rows", row, rows->count);
	return heap_getattr(rows->tuples[row], column, rows->desc, isnull);
}

char *
strata_rows_text(const StrataRows *rows, uint64 row, int column)
{
	bool isnull;
	Datum value = strata_rows_datum(rows, row, column, &isnull);
	Oid output;
	bool varlena;

	if (isnull)
		return NULL;
	getTypeOutputInfo(TupleDescAttr(rows->desc, column - 1)->atttypid, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

int64
strata_rows_int(const StrataRows *rows, uint64 row, int column)
{
	bool isnull;
	Datum value = strata_rows_datum(rows, row, column, &isnull);

	if (isnull)
		return 0;
	switch (TupleDescAttr(rows->desc, column - 1)->atttypid)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		case OIDOID:
		case REGCLASSOID:
			return DatumGetObjectId(value);
		default:
			elog(ERROR, "column %d is not an integer", column);
	}
	return 0;
}

bool
strata_rows_bool(const StrataRows *rows, uint64 row, int column)
{
	bool isnull;
	Datum value = strata_rows_datum(rows, row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

TimestampTz
strata_rows_time(const StrataRows *rows, uint64 row, int column)
{
	bool isnull;
	Datum value = strata_rows_datum(rows, row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

Jsonb *
strata_rows_jsonb(const StrataRows *rows, uint64 row, int column)
{
	bool isnull;
	Datum value = strata_rows_datum(rows, row, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

List *
strata_rows_texts(const StrataRows *rows, uint64 row, int column)
{
	bool isnull;
	Datum value = strata_rows_datum(rows, row, column, &isnull);

	return isnull ? NIL : strata_base_texts(value, "text[]");
}
