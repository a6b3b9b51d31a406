/*
 * rowset_scan.c: row sets that are not held but read anew from their source by each statement.
 *
 * To the parser such a row set is a named relation like any other, with an empty tuplestore behind it. The planner is given a custom scan for it
 * in place of the scan of that tuplestore. A plan may outlive the row set and be run for another one of the same name and columns: it holds the
 * name alone, and what is read is found when the plan is started, among the row sets of that run.
 *
 * The scan gives no more than the columns its statement asks for. It is not one of a relation for the executor, so no row of it can be
 * looked at again when another transaction has changed a row that it was joined to: statements that might want that are refused.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/base_internal.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"

#define SCAN_NAME "StrataRowSet"

typedef struct RowSetScan
{
	CustomScanState css;
	int n;
	AttrNumber *columns; /* of the row set, by place in the scan's tuple; 0: the whole row */
	TupleDesc whole;     /* NULL: no whole row is asked for, else all columns are read, into these */
	Datum *values;
	bool *nulls;
	StrataRowSet *set; /* NULL: the rows are in the store */
	void *reading;     /* NULL: not begun */
	bool ended;
	uint64 count; /* rows read since the beginning */
	bool once;    /* a row equal to the one before is not given: these columns pass by value */
	Datum *before;
	bool *before_nulls;
	Tuplestorestate *store;
	int pointer;
	TupleTableSlot *stored;
} RowSetScan;

static set_rel_pathlist_hook_type former_hook = NULL;

/* ---- execution ---- */

static void
scan_stop(RowSetScan *s)
{
	if (s->reading)
		s->set->source->end(s->reading);
	s->reading = NULL;
	s->ended = false;
	s->count = 0;
}

/* From a row of all columns: those asked for, and the row itself, good until the next one. */
static void
spread(RowSetScan *s, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(s->css.ss.ps.ps_ExprContext->ecxt_per_tuple_memory);

	for (int i = 0; i < s->n; i++)
	{
		AttrNumber column = s->columns[i];

		slot->tts_isnull[i] = column > 0 && s->nulls[column - 1];
		slot->tts_values[i] = column > 0
								  ? s->values[column - 1]
								  : heap_copy_tuple_as_datum(heap_form_tuple(s->whole, s->values, s->nulls), s->whole);
	}
	MemoryContextSwitchTo(old);
}

/* Whether the row is the one before; if not, it will be that. */
static bool
comes_again(RowSetScan *s, const TupleTableSlot *slot)
{
	bool again = s->count > 0;

	for (int i = 0; i < s->n; i++)
	{
		if (again && slot->tts_isnull[i] == s->before_nulls[i] &&
			(slot->tts_isnull[i] || slot->tts_values[i] == s->before[i]))
			continue;
		again = false;
		s->before[i] = slot->tts_values[i];
		s->before_nulls[i] = slot->tts_isnull[i];
	}
	return again;
}

static bool
next_of_source(RowSetScan *s, TupleTableSlot *slot)
{
	if (s->ended)
		return false;
	if (s->reading == NULL)
	{
		EState *estate = s->css.ss.ps.state;
		MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

		if (s->whole)
		{
			AttrNumber *all = palloc(sizeof(AttrNumber) * s->whole->natts);

			for (int i = 0; i < s->whole->natts; i++)
				all[i] = i + 1;
			s->reading = s->set->source->begin(s->set->source_arg, estate->es_snapshot, all, s->whole->natts, false);
			pfree(all);
		}
		else
			s->reading = s->set->source->begin(s->set->source_arg, estate->es_snapshot, s->columns, s->n, false);
		MemoryContextSwitchTo(old);
	}
	while (s->set->source->next(s->reading, s->whole ? s->values : slot->tts_values,
								s->whole ? s->nulls : slot->tts_isnull))
	{
		bool again = s->once && comes_again(s, slot);

		s->count++;
		if (again)
			continue;
		if (s->whole)
			spread(s, slot);
		return true;
	}
	s->ended = true;
	s->set->count = s->count;
	s->set->counted = true;
	return false;
}

/* The row set was filled after all, or is not ours and has the name by chance. */
static bool
next_of_store(RowSetScan *s, TupleTableSlot *slot)
{
	tuplestore_select_read_pointer(s->store, s->pointer);
	if (!tuplestore_gettupleslot(s->store, true, false, s->stored))
		return false;
	if (s->whole)
	{
		slot_getallattrs(s->stored);
		memcpy(s->values, s->stored->tts_values, sizeof(Datum) * s->whole->natts);
		memcpy(s->nulls, s->stored->tts_isnull, sizeof(bool) * s->whole->natts);
		spread(s, slot);
		return true;
	}
	for (int i = 0; i < s->n; i++)
		slot->tts_values[i] = slot_getattr(s->stored, s->columns[i], &slot->tts_isnull[i]);
	return true;
}

static TupleTableSlot *
scan_exec(CustomScanState *node)
{
	RowSetScan *s = (RowSetScan *) node;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	ProjectionInfo *projection = node->ss.ps.ps_ProjInfo;
	ExprState *qual = node->ss.ps.qual;
	ExprContext *context = node->ss.ps.ps_ExprContext;

	for (;;)
	{
		ResetExprContext(context);
		ExecClearTuple(slot);
		if (!(s->set ? next_of_source(s, slot) : next_of_store(s, slot)))
			return projection ? ExecClearTuple(projection->pi_state.resultslot) : slot;
		ExecStoreVirtualTuple(slot);
		context->ecxt_scantuple = slot;
		if (qual == NULL || ExecQual(qual, context))
			return projection ? ExecProject(projection) : slot;
		InstrCountFiltered1(node, 1);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
scan_begin(CustomScanState *node, EState *estate, int eflags)
{
	RowSetScan *s = (RowSetScan *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	char *name = strVal(linitial(plan->custom_private));
	EphemeralNamedRelation enr = get_ENR(estate->es_queryEnv, name);
	StrataRowSet *set = strata_rowset_shown(name);
	TupleDesc desc;
	ListCell *lc;

	if (enr == NULL)
		elog(ERROR, "row set \"%s\" is not there", name);
	desc = enr->md.tupdesc;
	s->columns = palloc(sizeof(AttrNumber) * Max(1, list_length(plan->custom_scan_tlist)));
	foreach (lc, plan->custom_scan_tlist)
	{
		Var *var = (Var *) ((TargetEntry *) lfirst(lc))->expr;

		if (var->varattno == 0)
		{
			s->whole = BlessTupleDesc(CreateTupleDescCopy(desc));
			s->values = palloc(sizeof(Datum) * desc->natts);
			s->nulls = palloc(sizeof(bool) * desc->natts);
		}
		else if (var->varattno > desc->natts || TupleDescAttr(desc, var->varattno - 1)->atttypid != var->vartype)
			elog(ERROR, "row set \"%s\" has other columns than were planned for", name);
		s->columns[s->n++] = var->varattno;
	}
	if (set && set->store == enr->reldata && !set->filled)
	{
		s->set = set;
		s->once = set->once && s->whole == NULL;
		for (int i = 0; i < s->n; i++)
			s->once = s->once && TupleDescAttr(desc, s->columns[i] - 1)->attbyval;
		s->before = palloc(sizeof(Datum) * Max(1, s->n));
		s->before_nulls = palloc(sizeof(bool) * Max(1, s->n));
		return;
	}
	s->store = enr->reldata;
	s->pointer = tuplestore_alloc_read_pointer(s->store, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(s->store, s->pointer);
	tuplestore_rescan(s->store);
	s->stored = ExecInitExtraTupleSlot(estate, desc, &TTSOpsMinimalTuple);
}

static void
scan_rescan(CustomScanState *node)
{
	RowSetScan *s = (RowSetScan *) node;

	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	if (s->set)
		scan_stop(s);
	else
	{
		tuplestore_select_read_pointer(s->store, s->pointer);
		tuplestore_rescan(s->store);
	}
}

static void
scan_end(CustomScanState *node)
{
	RowSetScan *s = (RowSetScan *) node;

	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	if (s->set)
		scan_stop(s);
}

static const CustomExecMethods exec_methods = {
	.CustomName = SCAN_NAME,
	.BeginCustomScan = scan_begin,
	.ExecCustomScan = scan_exec,
	.EndCustomScan = scan_end,
	.ReScanCustomScan = scan_rescan,
};

static Node *
scan_create_state(CustomScan *plan)
{
	RowSetScan *s = palloc0(sizeof(RowSetScan));

	NodeSetTag(s, T_CustomScanState);
	s->css.methods = &exec_methods;
	return (Node *) s;
}

static const CustomScanMethods scan_methods = {SCAN_NAME, scan_create_state};

/* ---- planning ---- */

static Plan *
make_plan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses, List *children)
{
	CustomScan *plan = makeNode(CustomScan);
	List *quals = extract_actual_clauses(clauses, false);
	Bitmapset *wanted = NULL;
	ListCell *lc;

	/*
	 * What it is to give is described by a list of its own, since it has no relation in the range table to open. tlist is no measure: it is
	 * none, or the rows are there for what stands above, and that is put in its place later.
	 */
	foreach (lc, pull_var_clause((Node *) list_make3(tlist, rel->reltarget->exprs, quals),
								 PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS))
	{
		Var *var = lfirst(lc);

		/* a whole row has number 0; there are no system columns */
		if (var->varno != rel->relid || bms_is_member(var->varattno, wanted))
			continue;
		wanted = bms_add_member(wanted, var->varattno);
		plan->custom_scan_tlist =
			lappend(plan->custom_scan_tlist,
					makeTargetEntry(copyObject((Expr *) var), list_length(plan->custom_scan_tlist) + 1, NULL, false));
	}
	plan->scan.plan.targetlist = tlist;
	plan->scan.plan.qual = quals;
	plan->scan.scanrelid = 0;
	plan->flags = path->flags;
	plan->custom_private = copyObject(path->custom_private);
	plan->methods = &scan_methods;
	return &plan->scan.plan;
}

static const CustomPathMethods path_methods = {SCAN_NAME, make_plan, NULL};

static void
offer_path(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	StrataRowSet *set = rte->rtekind == RTE_NAMEDTUPLESTORE ? strata_rowset_shown(rte->enrname) : NULL;
	CustomPath *path;
	Path *stored;
	ListCell *lc;

	if (former_hook)
		former_hook(root, rel, rti, rte);
	/* proven empty: there is another path */
	if (set == NULL || set->source == NULL || list_length(rel->pathlist) != 1 ||
		((Path *) linitial(rel->pathlist))->pathtype != T_NamedTuplestoreScan)
		return;
	foreach (lc, root->rowMarks)
		if (((PlanRowMark *) lfirst(lc))->rti == rti)
			elog(ERROR, "row set \"%s\" is read from its source, which a statement that locks rows cannot do",
				 set->name);
	stored = linitial(rel->pathlist);
	path = makeNode(CustomPath);
	path->path = *stored;
	path->path.type = T_CustomPath;
	path->path.pathtype = T_CustomScan;
	/* each row is looked at, whether it is one of the row set's */
	path->path.total_cost += cpu_tuple_cost * rel->tuples;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_private = list_make1(makeString(pstrdup(set->name)));
	path->methods = &path_methods;
	rel->pathlist = list_make1(path);
}

/* ---- reading in C ---- */

static Snapshot
push_snapshot(const StrataRowSet *set)
{
	PushCopiedSnapshot(set->snapshot);
	UpdateActiveSnapshotCommandId();
	return GetActiveSnapshot();
}

StrataRowSet *
strata_rowset_stream(const char *name, TupleDesc desc, const StrataRowSource *source, void *arg, Snapshot snapshot,
					 uint64 count)
{
	StrataRowSet *set = strata_rowset_create(name, desc);

	set->source = source;
	set->source_arg = arg;
	set->snapshot = snapshot;
	set->count = count;
	return set;
}

uint64
strata_rowset_count(StrataRowSet *set)
{
	if (set->source && !set->counted)
	{
		Snapshot snapshot;
		void *reading;
		uint64 n = 0;

		CommandCounterIncrement();
		snapshot = push_snapshot(set);
		reading = set->source->begin(set->source_arg, snapshot, NULL, 0, false);
		while (set->source->next(reading, NULL, NULL))
			n++;
		set->source->end(reading);
		PopActiveSnapshot();
		set->count = n;
		set->counted = true;
	}
	return set->count;
}

/* Calls back with rows, values and nulls of all columns; sample: some of them, else all. */
static void
each_row(StrataRowSet *set, bool sample, bool (*callback)(StrataRowSet *, Datum *, bool *, void *), void *arg)
{
	int natts = set->desc->natts;
	AttrNumber *columns = palloc(sizeof(AttrNumber) * natts);
	Datum *values = palloc(sizeof(Datum) * natts);
	bool *nulls = palloc(sizeof(bool) * natts);
	Snapshot snapshot = push_snapshot(set);
	void *reading;

	for (int i = 0; i < natts; i++)
		columns[i] = i + 1;
	reading = set->source->begin(set->source_arg, snapshot, columns, natts, sample);
	while (set->source->next(reading, values, nulls) && callback(set, values, nulls, arg))
		;
	set->source->end(reading);
	PopActiveSnapshot();
	pfree(columns);
	pfree(values);
	pfree(nulls);
}

void
strata_rowset_sample(StrataRowSet *set, bool (*callback)(StrataRowSet *, Datum *, bool *, void *), void *arg)
{
	each_row(set, true, callback, arg);
}

static bool
keep_row(StrataRowSet *set, Datum *values, bool *nulls, void *arg)
{
	strata_rowset_put(set, values, nulls);
	return true;
}

void
strata_rowset_fill(StrataRowSet *set)
{
	if (set->source == NULL || set->filled)
		return;
	CommandCounterIncrement();
	set->count = 0;
	each_row(set, false, keep_row, NULL);
	set->filled = set->counted = true;
}

void
strata_rowset_scan_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
	former_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = offer_path;
}
