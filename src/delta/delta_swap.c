/*
 * delta_swap.c: new storage under the same OID.
 *
 * The query's rows go to a new heap beside the table, in bulk; then the heaps are exchanged and the indexes built, all in
 * this transaction. Views, grants, comments, indexes, publications and prepared statements stay, since the table stays.
 * Exchanging needs the table alone for a moment: the lock is asked for with a bound, and without it nothing was done.
 *
 * As after REFRESH MATERIALIZED VIEW the rows are frozen: a transaction whose snapshot is older than the swap, and which had not
 * touched the table (or it would hold a lock that refuses the swap), sees the new rows rather than none.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "catalog/index.h"
#include "capture/capture.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/cluster.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "delta/delta_internal.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/slot.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#define BATCH_ROWS 500
#define BATCH_BYTES (512 * 1024)
#define FROZEN (TABLE_INSERT_SKIP_FSM | TABLE_INSERT_FROZEN)

typedef struct Loader
{
	DestReceiver pub;
	DeltaWork *work;
	Relation rel; /* the new heap */
	int *attnums; /* query column -> attribute index of the heap */
	int ncolumns;
	int first;             /* of the columns in what is given, counted from 0 */
	int options;           /* TABLE_INSERT_... */
	MemoryContext context; /* outlives the executor that calls */
	BulkInsertState bulk;
	CommandId cid;
	TupleTableSlot *slots[BATCH_ROWS];
	int n_slots; /* made */
	int n;       /* filled */
	Size bytes;
	int64 rows;
	EState *estate;
	ResultRelInfo *result_rel; /* for NOT NULL and CHECK; NULL when there is none */
} Loader;

bool
delta_swap_possible(const StrataDeltaTarget *t)
{
	Relation rel;
	bool possible;

	if (t->no_swap)
		return false;
	rel = table_open(t->relid, NoLock);
	possible = rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_refcnt == 1 && !rel->rd_rel->relispartition &&
			   !rel->rd_rel->relhassubclass && !(rel->rd_att->constr && rel->rd_att->constr->has_generated_stored);
	/*
	 * The user's own triggers and foreign keys must see the rows. Foreign keys of models are off, and uniqueness that is
	 * deferred shows in the index that is built.
	 */
	if (possible && rel->trigdesc)
		for (int i = 0; i < rel->trigdesc->numtriggers; i++)
		{
			Trigger *trigger = &rel->trigdesc->triggers[i];

			/* ours: capture is told, and what is noted are the rows of others */
			if (strata_base_is_ours(trigger->tgfoid))
				continue;
			possible = possible && trigger->tgisinternal &&
					   (trigger->tgenabled == TRIGGER_DISABLED || trigger->tgfoid == F_UNIQUE_KEY_RECHECK);
		}
	table_close(rel, NoLock);
	/* logical decoding leaves out what is written to a table's new storage: subscribers would miss the rows */
	if (possible && XLogLogicalInfoActive())
	{
		int slots;
		int active;

		possible = !ReplicationSlotsCountDBSlots(MyDatabaseId, &slots, &active);
	}
	return possible;
}

/* The table alone, within the bound; readers who hold it longer keep it. */
static bool
lock_alone(Oid relid)
{
	TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), strata_delta_swap_lock_timeout);

	while (!ConditionalLockRelationOid(relid, AccessExclusiveLock))
	{
		CHECK_FOR_INTERRUPTS();
		if (GetCurrentTimestamp() >= give_up)
			return false;
		/* short and bounded: queueing for the lock would make new readers wait behind us */
		pg_usleep(2000L);
	}
	return true;
}

static void
flush(Loader *l)
{
	if (l->n == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	table_multi_insert(l->rel, l->slots, l->n, l->cid, l->options, l->bulk);
	for (int i = 0; i < l->n; i++)
		ExecClearTuple(l->slots[i]);
	l->n = 0;
	l->bytes = 0;
}

static void
startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Loader *l = (Loader *) self;
	MemoryContext old = MemoryContextSwitchTo(l->context);

	if (desc->natts != l->first + l->ncolumns)
		elog(ERROR, "the query of %s gives %d columns, its target has %d", l->work->target->label, desc->natts,
			 l->ncolumns);
	delta_check_types(l->work, desc, l->first);
	l->cid = GetCurrentCommandId(true);
	l->bulk = GetBulkInsertState();
	MemoryContextSwitchTo(old);
}

static bool
receive(TupleTableSlot *in, DestReceiver *self)
{
	Loader *l = (Loader *) self;
	TupleDesc desc = RelationGetDescr(l->rel);
	TupleTableSlot *out;

	if (l->n == l->n_slots)
	{
		MemoryContext old = MemoryContextSwitchTo(l->context);

		l->slots[l->n_slots++] = table_slot_create(l->rel, NULL);
		MemoryContextSwitchTo(old);
	}
	out = l->slots[l->n];
	slot_getallattrs(in);
	ExecClearTuple(out);
	memset(out->tts_isnull, true, desc->natts * sizeof(bool));
	for (int i = 0; i < l->ncolumns; i++)
	{
		out->tts_values[l->attnums[i]] = in->tts_values[l->first + i];
		out->tts_isnull[l->attnums[i]] = in->tts_isnull[l->first + i];
	}
	ExecStoreVirtualTuple(out);
	if (l->result_rel)
		ExecConstraints(l->result_rel, out, l->estate);
	/* the values belong to the executor's row: keep them until the batch is written */
	ExecMaterializeSlot(out);
	l->bytes += ExecFetchSlotHeapTuple(out, false, NULL)->t_len;
	l->n++;
	l->rows++;
	if (l->n == BATCH_ROWS || l->bytes >= BATCH_BYTES)
		flush(l);
	return true;
}

static void
noop(DestReceiver *self)
{
}

static void
map_columns(Loader *l)
{
	TupleDesc desc = RelationGetDescr(l->rel);
	ListCell *lc;

	l->ncolumns = list_length(l->work->target->columns);
	l->attnums = palloc(sizeof(int) * Max(1, l->ncolumns));
	foreach (lc, l->work->target->columns)
	{
		int found = -1;

		for (int a = 0; a < desc->natts; a++)
			if (!TupleDescAttr(desc, a)->attisdropped &&
				strcmp(NameStr(TupleDescAttr(desc, a)->attname), lfirst(lc)) == 0)
				found = a;
		if (found < 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" is missing from %s", (char *) lfirst(lc), l->work->target->label),
							errhint("Define the model again to restore its columns.")));
		l->attnums[foreach_current_index(lc)] = found;
	}
}

/* Of the query, or of a row set whose columns from first on are the target's. */
static int64
load(DeltaWork *work, Relation target, Oid new_heap, StrataRowSet *rows, int first, int options)
{
	Loader l = {0};

	l.first = first;
	l.options = options;
	l.pub.receiveSlot = receive;
	l.pub.rStartup = startup;
	l.pub.rShutdown = noop;
	l.pub.rDestroy = noop;
	l.pub.mydest = DestTransientRel;
	l.work = work;
	l.context = CurrentMemoryContext;
	l.rel = table_open(new_heap, NoLock);
	map_columns(&l);
	l.estate = CreateExecutorState();
	if (RelationGetDescr(target)->constr)
	{
		l.result_rel = makeNode(ResultRelInfo);
		/* no range table: the message of a broken constraint shows the whole row, which is the owner's own */
		InitResultRelInfo(l.result_rel, target, 0, NULL, 0);
	}
	if (rows)
	{
		TupleTableSlot *slot = strata_rowset_rewind(rows);

		startup((DestReceiver *) &l, CMD_SELECT, rows->desc);
		while (strata_rowset_next(rows, slot))
			receive(slot, (DestReceiver *) &l);
	}
	else
		strata_base_run_into(work->query, work->args, work->snapshot, work->rowsets, (DestReceiver *) &l);
	flush(&l);
	if (l.bulk)
		FreeBulkInsertState(l.bulk);
	table_finish_bulk_insert(l.rel, l.options);
	for (int i = 0; i < l.n_slots; i++)
		ExecDropSingleTupleTableSlot(l.slots[i]);
	FreeExecutorState(l.estate);
	table_close(l.rel, NoLock);
	return l.rows;
}

/*
 * A table that this (sub)transaction has made and that has no index yet: its own storage is as good as a new one. False: it is none. Somebody who holds a snapshot
 * of ours cannot have looked at it, as COPY FREEZE has to ask for tables of others.
 */
bool
delta_load_new(DeltaWork *work)
{
	Relation rel = table_open(work->target->relid, NoLock);
	bool fits = rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_refcnt == 1 &&
				rel->rd_createSubid == GetCurrentSubTransactionId() && rel->trigdesc == NULL && rel->rd_rules == NULL &&
				!rel->rd_rel->relispartition && !rel->rd_rel->relhassubclass && !rel->rd_rel->relhasindex &&
				!(rel->rd_att->constr && rel->rd_att->constr->has_generated_stored) &&
				RelationGetNumberOfBlocks(rel) == 0;

	if (fits)
	{
		work->counts->inserted = work->counts->rows_in = load(work, rel, work->target->relid, NULL, 0, FROZEN);
		CommandCounterIncrement();
		pgstat_count_heap_insert(rel, work->counts->rows_in);
	}
	table_close(rel, NoLock);
	return fits;
}

/* A broken key shows while its rows are written or its index is built. */
static void
fill_and_exchange(DeltaWork *work, Relation rel, Oid new_heap)
{
	MemoryContext context = CurrentMemoryContext;
	char persistence = rel->rd_rel->relpersistence;

	PG_TRY();
	{
		work->counts->rows_in = load(work, rel, new_heap, NULL, 0, FROZEN);
		table_close(rel, NoLock);
		finish_heap_swap(work->target->relid, new_heap, false, false, true, true, RecentXmin, ReadNextMultiXactId(),
						 persistence);
	}
	PG_CATCH();
	{
		delta_write_error(work, context);
	}
	PG_END_TRY();
}

/* Each column that is given has just the column's type, and none that is not given a default. */
static bool
is_verbatim(Relation rel, const List *columns, TupleDesc desc, int first)
{
	TupleDesc to = RelationGetDescr(rel);

	for (int a = 0; a < to->natts; a++)
	{
		Form_pg_attribute att = TupleDescAttr(to, a);
		int at = -1;
		ListCell *lc;

		if (att->attisdropped)
			continue;
		foreach (lc, columns)
			if (strcmp(NameStr(att->attname), lfirst(lc)) == 0)
				at = foreach_current_index(lc);
		if (at < 0 ? att->atthasdef || att->attidentity != '\0'
				   : att->atttypid != TupleDescAttr(desc, first + at)->atttypid ||
						 (att->atttypmod >= 0 && att->atttypmod != TupleDescAttr(desc, first + at)->atttypmod))
			return false;
	}
	return true;
}

/* unchecked: exclusion constraints are taken to hold; unique ones are looked at always */
static void
build_indexes(Relation rel, bool unchecked)
{
	List *indexes = RelationGetIndexList(rel);
	char persistence = rel->rd_rel->relpersistence;
	ListCell *lc;

	table_close(rel, NoLock);
	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessExclusiveLock);
		bool exclusion = index->rd_index->indisexclusion;

		index_close(index, NoLock);
		strata_reindex_index(lfirst_oid(lc), exclusion && unchecked, persistence);
		CommandCounterIncrement();
	}
}

bool
strata_delta_load(const StrataDeltaTarget *target, StrataRowSet *rows, int first, bool apart)
{
	StrataDeltaCounts counts;
	StrataDeltaTarget t = *target;
	DeltaWork work = {&t, NULL, NULL, NULL, NIL, &counts};
	MemoryContext context = CurrentMemoryContext;
	Relation rel = table_open(target->relid, RowExclusiveLock);
	bool fits = rows->count >= STRATA_DELTA_BULK_ROWS && rel->rd_rel->relkind == RELKIND_RELATION &&
				rel->rd_rules == NULL && RelationGetNumberOfBlocks(rel) <= 1 &&
				is_verbatim(rel, target->columns, rows->desc, first);

	table_close(rel, NoLock);
	t.no_swap = false;
	if (!fits || !delta_swap_possible(&t) || check_enable_rls(target->relid, InvalidOid, true) == RLS_ENABLED ||
		!lock_alone(target->relid))
		return false;
	rel = table_open(target->relid, NoLock);
	CheckTableNotInUse(rel, "refresh");
	PG_TRY();
	{
		int64 n = load(&work, rel, target->relid, rows, first, TABLE_INSERT_SKIP_FSM);

		pgstat_count_heap_insert(rel, n);
		CommandCounterIncrement();
		build_indexes(rel, apart);
	}
	PG_CATCH();
	{
		delta_write_error(&work, context);
	}
	PG_END_TRY();
	if (strata_capture_installed(target->relid))
		strata_capture_mark(target->relid, "its rows were written at once by its first build");
	return true;
}

bool
delta_swap(DeltaWork *work)
{
	const StrataDeltaTarget *t = work->target;
	Relation rel;
	Oid new_heap;
	Oid tablespace;
	Oid access_method;

	if (!lock_alone(t->relid))
		return false;
	rel = table_open(t->relid, NoLock);
	CheckTableNotInUse(rel, "refresh");
	tablespace = rel->rd_rel->reltablespace;
	access_method = rel->rd_rel->relam;
	new_heap = make_new_heap(t->relid, tablespace, access_method, rel->rd_rel->relpersistence, ExclusiveLock);
	LockRelationOid(new_heap, AccessExclusiveLock);
	fill_and_exchange(work, rel, new_heap);
	work->counts->inserted = work->counts->rows_in;
	work->counts->updated = work->counts->deleted = 0;
	work->counts->swapped = true;
	CommandCounterIncrement();
	if (strata_capture_installed(t->relid))
		strata_capture_mark(t->relid, "its storage was replaced by a refresh");
	/* the rows were counted for a table that is no more: autovacuum shall know that this one is new */
	rel = table_open(t->relid, NoLock);
	pgstat_count_heap_insert(rel, work->counts->rows_in);
	table_close(rel, NoLock);
	return true;
}
