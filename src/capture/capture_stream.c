/*
 * capture_stream.c: the captured rows of a window as a row set that is read where they stand.
 *
 * Nothing is copied and nothing consolidated: a statement that reads the row set scans the change tables, and is given of each row of the window
 * the columns it asked for. The tables are opened here, beneath SQL: the model's owner has no rights on them.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "capture/capture_internal.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

/* As many pages tell about how many rows there are, and which. */
#define SAMPLE_PAGES 16
#define SIGN_COLUMN (-1)

/* From so many rows on it is cheaper to add up opposite ones than to find them; below, it is no matter. */
#ifndef MUCH_ROWS
#define MUCH_ROWS 5000
#endif

/* No captured row is smaller than what stands before its columns. */
#define MOST_ROWS_OF_PAGE              \
	((BLCKSZ - SizeOfPageHeaderData) / \
	 (MAXALIGN(SizeofHeapTupleHeader) + sizeof(FullTransactionId) + sizeof(int64) + sizeof(ItemIdData)))

typedef struct Source
{
	const StrataCaptureState *state;
	int natts;        /* of the relation */
	AttrNumber *from; /* per column: that of the change table, or 0 */
} Source;

typedef struct SamplePage
{
	int segment;
	BlockNumber block;
} SamplePage;

typedef struct Reading
{
	const StrataCaptureState *state;
	Snapshot snapshot;
	uint64 own_xid;
	int n;
	AttrNumber *from; /* per column asked for: that of the change table, SIGN_COLUMN, or 0 */
	int last;         /* the last of them */
	int segment;      /* which one is open; -1: none was yet */
	Relation rel;
	TupleTableSlot *slot;
	TableScanDesc scan;
	/* rows of one transaction stand side by side: whether those of the last one, no own one, are in the window */
	uint64 xid;
	bool in_window;
	/* a sample */
	SamplePage *pages; /* NULL: all rows */
	int n_pages;
	int page; /* which one is read; -1: none yet */
	/* at last, what a run hands over */
	CaptureHandedReading *handed;
	bool handing;     /* that is what is read, and slot is its row's */
	bool stored_only; /* it is left out */
} Reading;

/* ---- one table ---- */

static void
close_segment(Reading *r)
{
	if (r->rel == NULL)
		return;
	if (r->scan)
		table_endscan(r->scan);
	ExecDropSingleTupleTableSlot(r->slot);
	table_close(r->rel, NoLock);
	r->scan = NULL;
	r->rel = NULL;
}

static void
open_segment(Reading *r, int segment)
{
	close_segment(r);
	r->segment = segment;
	r->rel = table_open(list_nth_oid(r->state->segments, segment), AccessShareLock);
	r->slot = table_slot_create(r->rel, NULL);
}

static void
scan_page(Reading *r, BlockNumber block)
{
	ItemPointerData first;
	ItemPointerData last;

	ItemPointerSet(&first, block, FirstOffsetNumber);
	ItemPointerSet(&last, block, MaxOffsetNumber);
	if (r->scan)
		table_rescan_tidrange(r->scan, &first, &last);
	else
		r->scan = table_beginscan_tidrange(r->rel, r->snapshot, &first, &last);
}

static bool
next_page(Reading *r)
{
	if (++r->page >= r->n_pages)
		return false;
	if (r->pages[r->page].segment != r->segment || r->rel == NULL)
		open_segment(r, r->pages[r->page].segment);
	scan_page(r, r->pages[r->page].block);
	return true;
}

static bool
next_segment(Reading *r)
{
	if (r->segment + 1 >= list_length(r->state->segments))
		return false;
	open_segment(r, r->segment + 1);
	r->scan = capture_begin_scan(r->rel, r->snapshot, r->state->first[r->segment]);
	return true;
}

static void
begin_handed(Reading *r)
{
	close_segment(r);
	r->handing = true;
	if (r->state->handed > 0 && !r->stored_only)
		r->handed = capture_handover_read(r->state, r->pages != NULL);
}

/* The next row of what a run hands over, in the slot. */
static bool
next_handed(Reading *r, int64 *step)
{
	r->slot = r->handed ? capture_handover_next(r->handed, step) : NULL;
	return r->slot != NULL;
}

static inline bool
next_tuple(Reading *r)
{
	return r->pages ? table_scan_getnextslot_tidrange(r->scan, ForwardScanDirection, r->slot)
					: table_scan_getnextslot(r->scan, ForwardScanDirection, r->slot);
}

/* Whether the row in the slot is one of the window. */
static inline bool
is_in_window(Reading *r, int64 *step)
{
	uint64 xid;

	slot_getsomeattrs(r->slot, CAPTURE_PREFIX);
	xid = U64FromFullTransactionId(DatumGetFullTransactionId(r->slot->tts_values[0]));
	*step = DatumGetInt64(r->slot->tts_values[1]);
	if (xid == r->xid)
		return r->in_window;
	if (xid == r->own_xid || xid == r->state->from->own_xid)
		return capture_in_window(r->state, xid, *step, r->own_xid);
	r->xid = xid;
	r->in_window = capture_in_window(r->state, xid, *step, r->own_xid);
	return r->in_window;
}

/* ---- a sample ---- */

static BlockNumber
blocks_of(const Reading *r, int segment)
{
	Relation rel = table_open(list_nth_oid(r->state->segments, segment), AccessShareLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);

	table_close(rel, NoLock);
	return blocks;
}

static bool
page_is_in_window(Reading *r, BlockNumber block)
{
	int64 step;

	scan_page(r, block);
	while (table_scan_getnextslot_tidrange(r->scan, ForwardScanDirection, r->slot))
		if (is_in_window(r, &step))
			return true;
	return false;
}

/* About where the window begins: what was seen by earlier refreshes stands first. */
static BlockNumber
first_block(Reading *r, int segment, BlockNumber blocks)
{
	BlockNumber low = Min(r->state->first[segment], blocks);
	BlockNumber high = blocks;

	if (blocks - low <= SAMPLE_PAGES)
		return low;
	open_segment(r, segment);
	while (low < high)
	{
		BlockNumber middle = low + (high - low) / 2;

		if (page_is_in_window(r, middle))
			high = middle;
		else
			low = middle + 1;
	}
	close_segment(r);
	return Min(low, blocks - 1);
}

/* Chooses the pages; gives how many there are of which they were chosen. */
static double
choose_pages(Reading *r)
{
	int n = list_length(r->state->segments);
	BlockNumber *first = palloc(sizeof(BlockNumber) * Max(1, n));
	BlockNumber *blocks = palloc(sizeof(BlockNumber) * Max(1, n));
	uint64 total = 0;
	uint64 before = 0;
	int segment = 0;

	for (int i = 0; i < n; i++)
	{
		blocks[i] = blocks_of(r, i);
		first[i] = first_block(r, i, blocks[i]);
		total += blocks[i] - first[i];
	}
	r->segment = -1;
	r->page = -1;
	r->pages = palloc(sizeof(SamplePage) * SAMPLE_PAGES);
	r->n_pages = Min(total, SAMPLE_PAGES);
	for (int i = 0; i < r->n_pages; i++)
	{
		uint64 at = total * i / r->n_pages;

		while (at - before >= blocks[segment] - first[segment])
		{
			before += blocks[segment] - first[segment];
			segment++;
		}
		r->pages[i].segment = segment;
		r->pages[i].block = first[segment] + (at - before);
	}
	return total;
}

/* ---- the source ---- */

static void *
stream_begin(void *arg, Snapshot snapshot, const AttrNumber *columns, int n, bool sample)
{
	const Source *source = arg;
	Reading *r = palloc0(sizeof(Reading));

	r->state = source->state;
	r->snapshot = snapshot;
	r->own_xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	r->n = n;
	r->from = palloc(sizeof(AttrNumber) * Max(1, n));
	for (int i = 0; i < n; i++)
	{
		r->from[i] = columns[i] > source->natts ? SIGN_COLUMN : source->from[columns[i] - 1];
		r->last = Max(r->last, r->from[i]);
	}
	r->segment = -1;
	if (sample)
		choose_pages(r);
	return r;
}

static bool
stream_next(void *reading, Datum *values, bool *nulls)
{
	Reading *r = reading;
	TupleTableSlot *slot;
	int64 step;

	for (;;)
	{
		if (r->handing)
		{
			if (!next_handed(r, &step))
				return false;
			break;
		}
		if (r->scan == NULL || !next_tuple(r))
		{
			if (!(r->pages ? next_page(r) : next_segment(r)))
				begin_handed(r);
			continue;
		}
		if (is_in_window(r, &step))
			break;
		CHECK_FOR_INTERRUPTS();
	}
	slot = r->slot;
	slot_getsomeattrs(slot, r->last);
	for (int i = 0; i < r->n; i++)
	{
		AttrNumber from = r->from[i];

		if (from > 0)
		{
			values[i] = slot->tts_values[from - 1];
			nulls[i] = slot->tts_isnull[from - 1];
		}
		else
		{
			values[i] = Int32GetDatum(step < 0 ? -1 : 1);
			nulls[i] = from == 0;
		}
	}
	return true;
}

static void
stream_end(void *reading)
{
	Reading *r = reading;

	close_segment(r);
	if (r->handed)
		capture_handover_stop(r->handed);
	if (r->pages)
		pfree(r->pages);
	pfree(r->from);
	pfree(r);
}

static const StrataRowSource stream_source = {stream_begin, stream_next, stream_end};

/* About how many rows are in the window, at least 1. */
static uint64
estimate(StrataCaptureState *state, Snapshot snapshot)
{
	Source source = {state, 0, NULL};
	Reading *r;
	double pages;
	uint64 n = 0;

	if (state->estimate > 0)
		return state->estimate;
	capture_push_snapshot(snapshot);
	r = stream_begin(&source, GetActiveSnapshot(), NULL, 0, false);
	r->stored_only = true;
	pages = choose_pages(r);
	while (stream_next(r, NULL, NULL))
		n++;
	if (r->n_pages > 0)
		n = n * (pages / r->n_pages);
	stream_end(r);
	PopActiveSnapshot();
	/* of these it is known */
	state->estimate = Max(n + state->handed, 1);
	return state->estimate;
}

uint64
strata_capture_about(const StrataCaptureChanges *changes, Snapshot snapshot)
{
	return changes->known && changes->count > 0 ? estimate(changes->state, snapshot) : 0;
}

uint64
strata_capture_at_most(const StrataCaptureChanges *changes)
{
	return changes->known ? changes->state->pages * MOST_ROWS_OF_PAGE + changes->state->handed : 0;
}

bool
strata_capture_is_much(const StrataCaptureChanges *changes, Snapshot snapshot)
{
	return strata_capture_at_most(changes) >= MUCH_ROWS && estimate(changes->state, snapshot) >= MUCH_ROWS;
}

StrataRowSet *
strata_capture_stream(const StrataCaptureChanges *changes, const char *name, const Bitmapset *used, Snapshot snapshot)
{
	StrataCaptureState *state = changes->state;
	Relation rel;
	Source *source;
	StrataRowSet *set;

	if (!changes->known)
		elog(ERROR, "the changes of %s are not known: %s", capture_label(changes->relid), changes->why);
	/* which rows are a partition's own is for its table's owner to find out */
	if (changes->relid != state->root)
		return NULL;
	rel = table_open(changes->relid, AccessShareLock);
	source = palloc0(sizeof(Source));
	source->state = state;
	source->natts = RelationGetNumberOfAttributes(rel);
	source->from = capture_map_columns(source->natts, changes->relid, state);
	for (int i = 0; i < source->natts; i++)
		if (!capture_is_used(used, i + 1))
			source->from[i] = 0;
	set = strata_rowset_stream(name, strata_signed_columns(RelationGetDescr(rel), true), &stream_source, source,
							   snapshot, estimate(state, snapshot));
	table_close(rel, NoLock);
	return set;
}
