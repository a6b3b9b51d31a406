/*
 * capture_start.c: from which page of a change table on a consumer reads.
 *
 * What it has seen stays there as long as a slower consumer has not: it is not to be read again. A refresh keeps, with its position and in the
 * same row, per change table: the page from which on everything stands that the position lacks (from = until = 0), and, for
 * transactions that were under way then, and so could write before it, where theirs begins. See README.md for why that is so.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "capture/capture_internal.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/snapmgr.h"

/* So many transactions at most are told apart per change table. */
#define MOST_APART 64

/* Emptied or rewritten it is another one. */
static uint64
file_of(Relation rel)
{
	return ((uint64) RelationGetRelid(rel) << 32) | rel->rd_rel->relfilenode;
}

/* ---- kept as an array: file, from, until, block, ... ---- */

CaptureStart *
capture_starts_parse(Datum array, int *n)
{
	Datum *elements;
	CaptureStart *starts;
	int count;

	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
					  NULL, &count);
	*n = count / 4;
	starts = palloc(sizeof(CaptureStart) * Max(1, *n));
	for (int i = 0; i < *n; i++)
	{
		starts[i].file = (uint64) DatumGetInt64(elements[4 * i]);
		starts[i].from = (uint64) DatumGetInt64(elements[4 * i + 1]);
		starts[i].until = (uint64) DatumGetInt64(elements[4 * i + 2]);
		starts[i].block = (BlockNumber) DatumGetInt64(elements[4 * i + 3]);
	}
	return starts;
}

Datum
capture_starts_datum(const CaptureStart *starts, int n)
{
	Datum *elements = palloc(sizeof(Datum) * Max(1, 4 * n));

	for (int i = 0; i < n; i++)
	{
		elements[4 * i] = Int64GetDatum((int64) starts[i].file);
		elements[4 * i + 1] = Int64GetDatum((int64) starts[i].from);
		elements[4 * i + 2] = Int64GetDatum((int64) starts[i].until);
		elements[4 * i + 3] = Int64GetDatum((int64) starts[i].block);
	}
	return PointerGetDatum(construct_array(elements, 4 * n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* ---- reading ---- */

/* Where all stands that the position lacks, but for the transactions of the exceptions. */
static BlockNumber
general_start(const StrataCaptureState *state, uint64 file)
{
	for (int i = 0; i < state->n_starts; i++)
		if (state->starts[i].file == file && state->starts[i].until == 0)
			return state->starts[i].block;
	return 0;
}

/* Rows of these transactions stand from here on, of what the position lacks. */
static BlockNumber
start_of(const StrataCaptureState *state, uint64 file, uint64 from, uint64 until)
{
	BlockNumber block = general_start(state, file);

	for (int i = 0; i < state->n_starts; i++)
	{
		const CaptureStart *s = &state->starts[i];

		if (s->file == file && s->from < until && s->until > from)
			block = Min(block, s->block);
	}
	return block;
}

static bool
may_be_in_window(const StrataCaptureState *state, const CaptureStart *s)
{
	/* several: one of them had ended when this was kept */
	if (s->until != s->from + 1 || state->to == NULL)
		return true;
	return s->from == U64FromFullTransactionId(GetTopFullTransactionIdIfAny()) ||
		   capture_position_has_xid(state->to, s->from);
}

/* No row of the window stands before. */
BlockNumber
capture_start(const StrataCaptureState *state, Relation rel)
{
	uint64 file = file_of(rel);
	BlockNumber block = general_start(state, file);

	for (int i = 0; i < state->n_starts; i++)
	{
		const CaptureStart *s = &state->starts[i];

		if (s->file == file && s->until != 0 && may_be_in_window(state, s))
			block = Min(block, s->block);
	}
	return block;
}

/* A scan of the pages from that one on, in either direction. */
TableScanDesc
capture_begin_scan(Relation rel, Snapshot snapshot, BlockNumber first)
{
	TableScanDesc scan = table_beginscan_strat(rel, snapshot, 0, NULL, true, false);
	BlockNumber blocks = ((HeapScanDesc) scan)->rs_nblocks;

	if (first > 0 && first < blocks)
		heap_setscanlimits(scan, first, blocks - first);
	return scan;
}

/* ---- what is kept ---- */

/* Transactions that may write to the change table, and have a number: prepared ones among them, and not ours. */
static uint64 *
writers_of(Oid segment, int *n)
{
	LOCKTAG tag;
	VirtualTransactionId *holders;
	uint64 *xids = NULL;
	int count;
	int size = 0;

	*n = 0;
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, segment);
	holders = GetLockConflicts(&tag, ShareLock, &count);
	if (count == 0)
		return NULL;
	/* a prepared one has a process entry of its own, with the virtual number of who prepared it */
	for (uint32 i = 0; i < ProcGlobal->allProcCount + max_prepared_xacts; i++)
	{
		PGPROC *proc = &ProcGlobal->allProcs[i];
		/* read first: what begins after it has another virtual number */
		TransactionId xid = *(volatile TransactionId *) &proc->xid;
		VirtualTransactionId vxid;

		if (!TransactionIdIsNormal(xid))
			continue;
		pg_read_barrier();
		GET_VXID_FROM_PGPROC(vxid, *proc);
		for (int j = 0; j < count; j++)
		{
			if (!VirtualTransactionIdEquals(vxid, holders[j]))
				continue;
			if (*n == size)
			{
				size = size ? 2 * size : 8;
				xids = xids ? repalloc(xids, sizeof(uint64) * size) : palloc(sizeof(uint64) * size);
			}
			xids[(*n)++] = capture_widen(xid);
			break;
		}
	}
	return xids;
}

static bool
is_among(uint64 xid, const uint64 *xids, int n)
{
	for (int i = 0; i < n; i++)
		if (xids[i] == xid)
			return true;
	return false;
}

typedef struct Keeping
{
	StrataCaptureState *state;
	uint64 file;
	BlockNumber start; /* of all others */
	BlockNumber least; /* of the exceptions */
	int n;             /* of them */
} Keeping;

static void
keep(StrataCaptureState *state, uint64 file, uint64 from, uint64 until, BlockNumber block)
{
	CaptureStart *s;

	if (state->n_next == state->next_size)
	{
		state->next_size = state->next_size ? 2 * state->next_size : 8;
		state->next = state->next ? repalloc(state->next, sizeof(CaptureStart) * state->next_size)
								  : palloc(sizeof(CaptureStart) * state->next_size);
	}
	s = &state->next[state->n_next++];
	s->file = file;
	s->from = from;
	s->until = until;
	s->block = block;
}

static void
except(Keeping *k, uint64 from, uint64 until)
{
	BlockNumber block = start_of(k->state, k->file, from, until);

	if (block >= k->start)
		return;
	keep(k->state, k->file, from, until, block);
	k->least = Min(k->least, block);
	k->n++;
}

/*
 * Transactions that the position lacks and that may have had the change table locked before we looked for its last row: those that have it
 * locked now, and those that ended since the snapshot was taken.
 */
static void
except_writers(Keeping *k, Oid segment)
{
	const CapturePosition *to = k->state->to;
	int n_writers;
	uint64 *writers = writers_of(segment, &n_writers);
	/* taken after we looked who has it locked: who had it and is not among them has ended in here */
	CapturePosition *now = capture_position_of(GetLatestSnapshot());
	uint64 end = Max(to->xmax, now->xmax);

	for (int i = 0; i < to->n; i++)
		if (capture_position_has_xid(now, to->xip[i]) || is_among(to->xip[i], writers, n_writers))
			except(k, to->xip[i], to->xip[i] + 1);
	if (end > to->xmax)
		except(k, to->xmax, end);
	for (int i = 0; i < n_writers; i++)
		if (writers[i] >= end)
			except(k, writers[i], writers[i] + 1);
}

/* The last page with a row that is seen, of those to be read: InvalidBlockNumber when there is none. */
static BlockNumber
last_seen(Relation rel, BlockNumber first)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = capture_begin_scan(rel, GetActiveSnapshot(), first);
	BlockNumber block = InvalidBlockNumber;

	if (table_scan_getnextslot(scan, BackwardScanDirection, slot))
		block = ItemPointerGetBlockNumber(&slot->tts_tid);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return block;
}

static void
note_segment(StrataCaptureState *state, Relation rel, BlockNumber first)
{
	Keeping k = {state, file_of(rel), 0, MaxBlockNumber, 0};
	BlockNumber before = general_start(state, k.file);
	BlockNumber last = last_seen(rel, first);
	int mark = state->n_next;

	k.start = before;
	if (last != InvalidBlockNumber && last > CAPTURE_STRAY)
		k.start = Max(before, last - CAPTURE_STRAY);
	if (k.start == 0)
		return;
	except_writers(&k, RelationGetRelid(rel));
	if (k.n > MOST_APART)
	{
		state->n_next = mark;
		k.start = k.least;
	}
	if (k.start > 0)
		keep(state, k.file, 0, 0, k.start);
}

/* For the position that the consumer will have. */
void
capture_note_starts(StrataCaptureState *state, Snapshot snapshot)
{
	uint64 own_xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	int i = 0;
	ListCell *lc;

	/* who refreshed before us is to be wholly in it */
	if (state->from->own_xid != own_xid && !capture_position_has_xid(state->to, state->from->own_xid))
		return;
	capture_push_snapshot(snapshot);
	foreach (lc, state->segments)
	{
		Relation rel = table_open(lfirst_oid(lc), AccessShareLock);

		CHECK_FOR_INTERRUPTS();
		if (RelationGetNumberOfBlocks(rel) > CAPTURE_STRAY)
			note_segment(state, rel, state->first[i]);
		table_close(rel, NoLock);
		i++;
	}
	PopActiveSnapshot();
}
