/*
 * capture_write.c: the statement trigger.
 *
 * The hot path. Per session and captured table it is known which change table to append to and how (CaptureTarget); an
 * invalidation of the source or of that change table makes it be looked up anew. Rows go from the transition table to
 * the change table as they are: where both have the same layout, the bytes of a row are copied behind the prefix,
 * which is 16 bytes, so that their alignment stays. No catalog is read, no SQL is run, nothing is waited for.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "capture/capture_internal.h"
#include "catalog/indexing.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

/* Rows per call of heap_multi_insert. */
#define BATCH 128
/* A row of this size may not fit a page with the prefix before it: it is written where an error can be undone. */
#define WIDE_ROW 4000

PG_FUNCTION_INFO_V1(strata_capture_statement);

typedef struct CaptureTarget
{
	Oid relid; /* the table the trigger is on */
	bool valid;
	Oid root;    /* InvalidOid: not captured */
	Oid segment; /* the change table; InvalidOid: its rows cannot be recorded */
	bool verbatim;
	int natts;           /* of the change table */
	AttrNumber *attnums; /* per column of the change table: ours, or 0 */
} CaptureTarget;

int64 capture_step = 0;

static HTAB *targets = NULL;
static CaptureTarget *last_target = NULL; /* entries are never removed */
static MemoryContext target_context = NULL;
static uint64 invalidations = 0;

/* one mark a transaction and table is enough, while no refresh has come in between */
static Oid marked_relid = InvalidOid;
static uint64 marked_xid = 0;
static SubTransactionId marked_sub = InvalidSubTransactionId;
static int64 marked_step = 0;

static void
invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	CaptureTarget *target;

	invalidations++;
	if (targets == NULL)
		return;
	hash_seq_init(&status, targets);
	while ((target = hash_seq_search(&status)) != NULL)
		if (!OidIsValid(relid) || target->relid == relid || target->segment == relid || target->root == relid)
			target->valid = false;
}

void
capture_write_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

/* ---- where to ---- */

/* The columns of a change table are called c<attnum of the root>. */
static bool
map_columns(CaptureTarget *target, Relation source, Oid root, Relation segment)
{
	TupleDesc from = RelationGetDescr(source);
	TupleDesc to = RelationGetDescr(segment);

	target->natts = to->natts;
	target->attnums = MemoryContextAllocZero(target_context, sizeof(AttrNumber) * Max(1, to->natts));
	target->verbatim = to->natts == from->natts + CAPTURE_PREFIX;
	for (int i = CAPTURE_PREFIX; i < to->natts; i++)
	{
		AttrNumber attnum = atoi(NameStr(TupleDescAttr(to, i)->attname) + 1);

		if (RelationGetRelid(source) != root)
		{
			char *name = get_attname(root, attnum, true);

			attnum = name ? get_attnum(RelationGetRelid(source), name) : InvalidAttrNumber;
		}
		if (attnum <= 0 || attnum > from->natts || TupleDescAttr(from, attnum - 1)->attisdropped ||
			getBaseType(TupleDescAttr(from, attnum - 1)->atttypid) != TupleDescAttr(to, i)->atttypid)
			return false;
		target->attnums[i] = attnum;
		if (attnum != i - CAPTURE_PREFIX + 1)
			target->verbatim = false;
	}
	for (int i = 0; i < from->natts; i++)
		if (TupleDescAttr(from, i)->attisdropped)
			target->verbatim = false;
	return true;
}

/* False: somebody is at the change table; look again. */
static bool
load(CaptureTarget *target, Relation source)
{
	Oid root = capture_root(target->relid);
	CaptureRow *row = OidIsValid(root) ? capture_get(root) : NULL;
	Relation segment;
	ListCell *lc;

	target->root = InvalidOid;
	target->segment = InvalidOid;
	if (row == NULL || row->state != CAPTURE_ON)
		return true;
	target->root = root;
	foreach (lc, capture_segments(root))
	{
		CaptureSegment *g = lfirst(lc);

		if (g->state == 'c')
			target->segment = g->oid;
	}
	if (!OidIsValid(target->segment))
		return true;
	/* never a wait */
	if (!ConditionalLockRelationOid(target->segment, AccessShareLock))
	{
		target->segment = InvalidOid;
		return false;
	}
	segment = RelationIdGetRelation(target->segment);
	if (segment == NULL)
	{
		UnlockRelationOid(target->segment, AccessShareLock);
		target->segment = InvalidOid;
		return false;
	}
	if (!map_columns(target, source, root, segment) || !capture_same_shape(root, target->segment))
		target->segment = InvalidOid;
	UnlockRelationOid(RelationGetRelid(segment), AccessShareLock);
	RelationClose(segment);
	return true;
}

static CaptureTarget *
target_of(Relation source)
{
	Oid relid = RelationGetRelid(source);
	CaptureTarget *target;
	bool found;

	if (last_target && last_target->relid == relid && last_target->valid)
		return last_target;
	if (targets == NULL)
	{
		HASHCTL control = {0};

		target_context = AllocSetContextCreate(CacheMemoryContext, "pg_strata capture", ALLOCSET_SMALL_SIZES);
		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(CaptureTarget);
		control.hcxt = target_context;
		targets = hash_create("pg_strata capture targets", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	target = hash_search(targets, &relid, HASH_ENTER, &found);
	if (!found)
	{
		target->valid = false;
		target->attnums = NULL;
	}
	for (int i = 0; !target->valid && i < 10; i++)
	{
		uint64 before = invalidations;

		if (target->attnums)
			pfree(target->attnums);
		target->attnums = NULL;
		/* or something changed while we looked */
		target->valid = load(target, source) && before == invalidations;
		if (!target->valid)
			AcceptInvalidationMessages();
	}
	last_target = target;
	return target;
}

/* ---- marks ---- */

/* Once more only when something may have come after the last one: another transaction, savepoint or refresh. */
void
capture_write_mark(Oid relid, const char *why)
{
	uint64 xid = U64FromFullTransactionId(GetTopFullTransactionId());
	Oid table = capture_table("capture_mark");
	Datum values[4];
	bool nulls[4] = {0};
	Relation rel;
	HeapTuple tuple;

	if (marked_relid == relid && marked_xid == xid && marked_sub == GetCurrentSubTransactionId() &&
		marked_step == capture_step)
		return;
	if (!OidIsValid(table))
		return;
	capture_step++;
	rel = table_open(table, RowExclusiveLock);
	values[0] = ObjectIdGetDatum(relid);
	values[1] = UInt64GetDatum(xid);
	values[2] = Int64GetDatum(capture_step);
	values[3] = CStringGetTextDatum(why);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	heap_insert(rel, tuple, GetCurrentCommandId(true), 0, NULL);
	heap_freetuple(tuple);
	table_close(rel, NoLock);
	marked_relid = relid;
	marked_xid = xid;
	marked_sub = GetCurrentSubTransactionId();
	marked_step = capture_step;
}

/* Nothing, when it is not captured. */
void
capture_write_mark_source(Relation source, const char *why)
{
	CaptureTarget *target = target_of(source);

	if (OidIsValid(target->root))
		capture_write_mark(target->root, why);
}

/* ---- rows ---- */

typedef struct Appender
{
	CaptureTarget *target;
	Relation segment;
	CaptureHanded *handed; /* where they go instead; NULL: nowhere else */
	uint64 xid;
	int64 step; /* of the rows being appended */
	CommandId cid;
	MemoryContext context; /* of one batch; NULL in the first */
	int n;
	HeapTuple tuples[BATCH];
	TupleTableSlot *slot; /* for rows that are taken apart; with values and nulls made when there is one */
	Datum *values;
	bool *nulls;
	BlockNumber last; /* highest block written */
	/* what statements of a row or two need is not allocated */
	Size used;
	union
	{
		char bytes[1024];
		double align;
	} first;
} Appender;

static void *
room_for(Appender *a, Size size)
{
	Size at = a->used;

	size = MAXALIGN(size);
	if (a->context != NULL || size > sizeof(a->first.bytes) - at)
		return palloc(size);
	a->used += size;
	return a->first.bytes + at;
}

/*
 * What heap_multi_insert takes its tuples from. It asks a slot for its tuple and for nothing else; that the slot owns the
 * tuple keeps it from being copied.
 */
static HeapTupleTableSlot slots[BATCH];

/* The bytes of the row, behind ours. */
static HeapTuple
copy_verbatim(Appender *a, MinimalTuple row, int64 step)
{
	int natts = a->target->natts;
	bool hasnull = (row->t_infomask & HEAP_HASNULL) != 0;
	Size hoff = MAXALIGN(SizeofHeapTupleHeader + (hasnull ? BITMAPLEN(natts) : 0));
	Size row_hoff = row->t_hoff - MINIMAL_TUPLE_OFFSET;
	Size length = row->t_len - row_hoff;
	HeapTuple tuple = room_for(a, HEAPTUPLESIZE + hoff + 16 + length);
	HeapTupleHeader header = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	char *data = (char *) header + hoff;

	memset(header, 0, hoff);
	tuple->t_len = hoff + 16 + length;
	tuple->t_data = header;
	tuple->t_tableOid = RelationGetRelid(a->segment);
	ItemPointerSetInvalid(&tuple->t_self);
	ItemPointerSetInvalid(&header->t_ctid);
	HeapTupleHeaderSetNatts(header, natts);
	header->t_infomask = row->t_infomask & (HEAP_HASNULL | HEAP_HASVARWIDTH | HEAP_HASEXTERNAL);
	header->t_hoff = hoff;
	if (hasnull)
	{
		/* two columns are before: the bits move up by two; a bit set is a value that is there */
		int carry = 3;

		for (int i = 0; i < BITMAPLEN(natts); i++)
		{
			int bits = i < BITMAPLEN(natts - CAPTURE_PREFIX) ? row->t_bits[i] : 0;

			header->t_bits[i] = (bits << CAPTURE_PREFIX) | carry;
			carry = bits >> (8 - CAPTURE_PREFIX);
		}
	}
	memcpy(data, &a->xid, 8);
	memcpy(data + 8, &step, 8);
	memcpy(data + 16, (char *) row + row_hoff, length);
	return tuple;
}

static HeapTuple
form(Appender *a, MinimalTuple row, int64 step)
{
	const CaptureTarget *t = a->target;
	TupleTableSlot *slot = a->slot;

	ExecStoreMinimalTuple(row, slot, false);
	slot_getallattrs(slot);
	a->values[0] = UInt64GetDatum(a->xid);
	a->values[1] = Int64GetDatum(step);
	a->nulls[0] = a->nulls[1] = false;
	for (int i = CAPTURE_PREFIX; i < t->natts; i++)
	{
		a->values[i] = slot->tts_values[t->attnums[i] - 1];
		a->nulls[i] = slot->tts_isnull[t->attnums[i] - 1];
	}
	return heap_form_tuple(RelationGetDescr(a->segment), a->values, a->nulls);
}

static void
note_block(Appender *a, ItemPointer tid)
{
	if (ItemPointerGetBlockNumberNoCheck(tid) > a->last)
		a->last = ItemPointerGetBlockNumberNoCheck(tid);
}

static void
write_batch(Appender *a)
{
	if (a->handed)
	{
		for (int i = 0; i < a->n; i++)
			if (!capture_handover_put(a->handed, a->tuples[i], a->step))
				capture_write_mark(a->target->root, "a row too wide to record");
	}
	else if (a->n == 1)
	{
		heap_insert(a->segment, a->tuples[0], a->cid, HEAP_INSERT_SKIP_FSM, NULL);
		note_block(a, &a->tuples[0]->t_self);
	}
	else if (a->n > 1)
	{
		TupleTableSlot *batch[BATCH];

		for (int i = 0; i < a->n; i++)
		{
			TupleTableSlot *slot = &slots[i].base;

			slot->type = T_TupleTableSlot;
			slot->tts_flags = TTS_FLAG_FIXED | TTS_FLAG_SHOULDFREE;
			*(const TupleTableSlotOps **) &slot->tts_ops = &TTSOpsHeapTuple;
			slot->tts_tupleDescriptor = RelationGetDescr(a->segment);
			slots[i].tuple = a->tuples[i];
			batch[i] = slot;
		}
		heap_multi_insert(a->segment, batch, a->n, a->cid, HEAP_INSERT_SKIP_FSM, NULL);
		note_block(a, &batch[a->n - 1]->tts_tid);
	}
	a->n = 0;
}

static void
write_attempt(void *arg)
{
	write_batch(arg);
}

/* In a subtransaction: what cannot be written is marked, and the base statement goes on. */
static void
write_guarded(Appender *a)
{
	ErrorData *error = strata_base_attempt(write_attempt, a, strata_base_is_failure);

	if (error == NULL)
		return;
	FreeErrorData(error);
	a->n = 0;
	capture_write_mark(a->target->root, "a row too wide to record");
}

/* The slot's memory is to last for the statement. */
static void
prepare_form(Appender *a, TupleDesc source)
{
	a->slot = MakeSingleTupleTableSlot(source, &TTSOpsMinimalTuple);
	a->values = palloc(sizeof(Datum) * a->target->natts);
	a->nulls = palloc(sizeof(bool) * a->target->natts);
}

/* Room for another row: its memory lasts as long as the batch. */
static void
make_room(Appender *a)
{
	if (a->n < BATCH)
		return;
	write_batch(a);
	if (a->context)
		MemoryContextReset(a->context);
	else
		a->context = AllocSetContextCreate(CurrentMemoryContext, "pg_strata capture rows", ALLOCSET_DEFAULT_SIZES);
	CHECK_FOR_INTERRUPTS();
}

static void
append_tuple(Appender *a, HeapTuple tuple)
{
	if (unlikely(tuple->t_len > WIDE_ROW))
	{
		write_batch(a);
		a->tuples[a->n++] = tuple;
		if (a->handed)
			write_batch(a);
		else
			write_guarded(a);
		if (a->context)
			MemoryContextReset(a->context);
		else
			heap_freetuple(tuple);
		return;
	}
	a->tuples[a->n++] = tuple;
}

static void
append_row(Appender *a, MinimalTuple row, TupleDesc source, int64 step)
{
	MemoryContext old = CurrentMemoryContext;
	bool verbatim = a->target->verbatim && HeapTupleHeaderGetNatts(row) == a->target->natts - CAPTURE_PREFIX;
	HeapTuple tuple;

	make_room(a);
	if (!verbatim && a->slot == NULL)
		prepare_form(a, source);
	if (a->context)
		MemoryContextSwitchTo(a->context);
	tuple = verbatim ? copy_verbatim(a, row, step) : form(a, row, step);
	MemoryContextSwitchTo(old);
	append_tuple(a, tuple);
}

static void
append_rows(Appender *a, Tuplestorestate *rows, TupleDesc source, bool leaving)
{
	int64 step = leaving ? -capture_step : capture_step;
	int64 left = tuplestore_tuple_count(rows);
	MinimalTupleTableSlot reader = {0};
	TupleTableSlot *slot = &reader.base;

	/* it hands on the row, and is not asked for columns */
	slot->type = T_TupleTableSlot;
	slot->tts_flags = TTS_FLAG_EMPTY | TTS_FLAG_FIXED;
	*(const TupleTableSlotOps **) &slot->tts_ops = &TTSOpsMinimalTuple;
	slot->tts_tupleDescriptor = source;
	reader.tuple = &reader.minhdr;
	/* what waits has another step */
	if (a->handed)
		write_batch(a);
	a->step = step;
	/* the other readers of the transition table have pointers of their own, or begin anew as we do */
	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
	while (left-- > 0 && tuplestore_gettupleslot(rows, true, false, slot))
		append_row(a, reader.mintuple, source, step);
	ExecClearTuple(slot);
}

/* ---- too much ---- */

/*
 * Nobody has read for so long that the change table is full: capture stops, and the consumers compute in full. Another
 * writer may be at it: then it is done by that one. The row is read as of now, and not waited for.
 */
static void
stop(Oid root)
{
	Oid table = capture_table("capture");
	Relation rel;
	ScanKeyData key;
	SysScanDesc scan;
	Snapshot snapshot;
	HeapTuple tuple;

	if (!OidIsValid(table))
		return;
	rel = table_open(table, RowExclusiveLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(root));
	scan = systable_beginscan(rel, capture_table("capture_pkey"), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		TupleTableSlot *slot = table_slot_create(rel, NULL);
		TM_FailureData failure;
		ItemPointerData tid = tuple->t_self;

		if (table_tuple_lock(rel, &tid, snapshot, slot, GetCurrentCommandId(true), LockTupleNoKeyExclusive,
							 LockWaitSkip, 0, &failure) == TM_Ok)
		{
			Datum values[8];
			bool nulls[8];
			bool replace[8] = {0};
			HeapTuple changed;

			memset(nulls, 0, sizeof(nulls));
			replace[2] = replace[3] = true;
			values[2] = CStringGetTextDatum("stopped");
			values[3] = CStringGetTextDatum("more changes waited than strata.capture_max_size");
			changed = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replace);
			CatalogTupleUpdate(rel, &tid, changed);
			CacheInvalidateRelcacheByRelid(root);
		}
		ExecDropSingleTupleTableSlot(slot);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
}

/* ---- the trigger ---- */

/* Locked ROW EXCLUSIVE until the transaction ends: whoever seals a segment sees by that lock that we may write to it. */
static Relation
open_segment(CaptureTarget **target, Relation source)
{
	for (int i = 0; i < 100; i++)
	{
		CaptureTarget *t = *target = target_of(source);

		if (!OidIsValid(t->root) || !OidIsValid(t->segment))
			return NULL;
		/* it is being emptied or dropped: by then another one is current */
		if (!ConditionalLockRelationOid(t->segment, RowExclusiveLock))
		{
			AcceptInvalidationMessages();
			t->valid = false;
			continue;
		}
		if (t->valid)
		{
			/* not table_open: what is recorded is not counted as activity of the base table's users */
			Relation segment = RelationIdGetRelation(t->segment);

			if (segment)
				return segment;
			t->valid = false;
		}
		UnlockRelationOid(t->segment, RowExclusiveLock);
	}
	return NULL;
}

/*
 * A session goes on in the page it wrote to last. Not where that is far from the end: readers have been there, and do not come
 * back. What they know of is a page that was there when we got the lock, or later: see README.md.
 */
static void
stay_at_end(Relation segment)
{
	BlockNumber target = RelationGetTargetBlock(segment);

	if (target != InvalidBlockNumber && target + 1 + CAPTURE_STRAY < RelationGetNumberOfBlocks(segment))
		RelationSetTargetBlock(segment, InvalidBlockNumber);
}

static void
begin_append(Appender *a, CaptureTarget *target, Relation segment, CaptureHanded *handed)
{
	a->target = target;
	a->segment = segment;
	a->handed = handed;
	a->xid = U64FromFullTransactionId(GetTopFullTransactionId());
	a->cid = GetCurrentCommandId(handed == NULL);
	a->n = 0;
	a->last = 0;
	a->slot = NULL;
	a->used = 0;
	/* a trigger's memory goes when it returns: a context of our own is for those that take more than one batch */
	a->context = NULL;
	if (handed == NULL)
		stay_at_end(segment);
}

static void
end_append(Appender *a)
{
	write_batch(a);
	if (a->slot)
		ExecDropSingleTupleTableSlot(a->slot);
	if (a->context)
		MemoryContextDelete(a->context);
	RelationClose(a->segment);
	if (unlikely((uint64) a->last * BLCKSZ >= (uint64) capture_max_size * 1024 * 1024))
		stop(a->target->root);
}

/* Where rows of the table go now; NULL: nowhere, which is marked where it matters. */
static Relation
open_or_mark(CaptureTarget **target, Relation source)
{
	Relation segment;

	/* numbered before it has the change table locked, as who changed rows is anyway: see capture_start.c */
	(void) GetTopFullTransactionId();
	segment = open_segment(target, source);
	if (segment == NULL && OidIsValid((*target)->root))
		capture_write_mark((*target)->root, "rows could not be recorded");
	return segment;
}

static void
capture_rows(TriggerData *td)
{
	CaptureTarget *target;
	Relation segment;
	Appender a;
	TupleDesc source = RelationGetDescr(td->tg_relation);

	/* nothing touched: not even a transaction number is needed */
	if ((td->tg_oldtable == NULL || tuplestore_tuple_count(td->tg_oldtable) == 0) &&
		(td->tg_newtable == NULL || tuplestore_tuple_count(td->tg_newtable) == 0))
		return;
	segment = open_or_mark(&target, td->tg_relation);
	if (segment == NULL)
		return;
	capture_step++;
	begin_append(&a, target, segment, capture_handover_for(target->root, segment));
	if (td->tg_oldtable)
		append_rows(&a, td->tg_oldtable, source, true);
	if (td->tg_newtable)
		append_rows(&a, td->tg_newtable, source, false);
	end_append(&a);
}

/* They have the numbers of then: to whoever reads them later it is as if they had been appended at once. */
void
capture_write_handed(Oid root, CaptureHandedReading *r)
{
	Relation source = table_open(root, AccessShareLock);
	CaptureTarget *target;
	Relation segment = open_or_mark(&target, source);
	TupleTableSlot *slot;
	Appender a;
	int64 step;

	if (segment)
	{
		begin_append(&a, target, segment, NULL);
		while ((slot = capture_handover_next(r, &step)) != NULL)
		{
			MemoryContext old = CurrentMemoryContext;
			HeapTuple tuple;

			make_room(&a);
			if (a.context)
				MemoryContextSwitchTo(a.context);
			tuple = ExecCopySlotHeapTuple(slot);
			MemoryContextSwitchTo(old);
			append_tuple(&a, tuple);
		}
		end_append(&a);
	}
	table_close(source, NoLock);
}

/* strata_state.capture_statement() */
Datum
strata_capture_statement(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(td->tg_event) || !TRIGGER_FIRED_FOR_STATEMENT(td->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("capture_statement() is a trigger function of pg_strata"),
						errhint("SELECT strata.capture('schema.table') makes its triggers.")));
	if (TRIGGER_FIRED_BY_TRUNCATE(td->tg_event))
		capture_write_mark_source(td->tg_relation, "TRUNCATE");
	else
		capture_rows(td);
	PG_RETURN_POINTER(NULL);
}
