/*
 * capture_handover.c: what a run writes into targets that its own later models read is kept in memory.
 *
 * The trigger gives rows here in place of the change table, in the form they would have there. Readers see them behind those of the change
 * tables, by the same window. When the run's models are done, what every consumer stands behind is dropped; the rest, if
 * any, is appended to the change table, with the numbers it has. See README.md for why nobody loses anything.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "capture/capture_internal.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "registry/registry.h"
#include "storage/lock.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

/* Long values larger than this together are not held: the changes are marked. */
#define MOST_LONG ((Size) 256 * 1024 * 1024)
/* Kept in memory first, even if somebody who is not of the run will have to read it: to test that nothing is lost. */
#ifndef HAND_OVER_ALWAYS
#define HAND_OVER_ALWAYS 0
#endif

/* A sample is of about so many rows. */
#define SAMPLE_ROWS 1500

/* Rows of one statement and direction. */
typedef struct Piece
{
	int64 step; /* negative: they left */
	uint64 rows;
	SubTransactionId sub;
	bool dead; /* rolled back with it */
} Piece;

struct CaptureHanded
{
	Oid root;
	bool taken; /* decided at the first statement of the run */
	Oid segment;
	TupleDesc desc; /* of the change tables */
	Tuplestorestate *store;
	int n;
	int room;
	Piece *pieces;
	int readers;
	int pointers;    /* read pointers of the store, beside its first */
	Bitmapset *free; /* of these: nobody reads by them */
};

typedef struct Handover
{
	SubTransactionId sub; /* the run's */
	ResourceOwner owner;  /* lives as long as the run */
	MemoryContext context;
	uint64 xid;
	List *targets;   /* Oid */
	List *consumers; /* char * */
	List *handed;    /* CaptureHanded * */
} Handover;

static Handover *handover = NULL; /* NULL: no run */

/* ---- the lock ---- */

/* Who hands over rows of a table, and who takes a first position on it: never both. To the end of the transaction; never waited for. */
static bool
lock_root(Oid root, LOCKMODE mode)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, capture_table("capture"), root, 0);
	return LockAcquire(&tag, mode, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Whether a consumer that has none yet may take a position under the snapshot. Not if it lacks a transaction that handed rows of the table
 * over: that one may not have known of the consumer. One under way has the lock; one that has ended since has refreshed the table's model.
 */
bool
capture_handover_allows(Oid root, Snapshot snapshot)
{
	if (handover && list_member_oid(handover->targets, root))
		return true;
	switch (strata_registry_is_seen(root, snapshot))
	{
		case STRATA_NO_TARGET:
			return true;
		case STRATA_TARGET_SEEN:
			/* first the lock, then what is true under it */
			return lock_root(root, ShareLock) && strata_registry_is_seen(root, snapshot) == STRATA_TARGET_SEEN;
		case STRATA_TARGET_MOVED:
			break;
	}
	return false;
}

/* ---- the run ---- */

static void
forget(void)
{
	MemoryContext context = handover->context;

	handover = NULL;
	MemoryContextDelete(context);
}

/* Files are closed with their resource owner, which an abort releases after this. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	if (handover == NULL)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		elog(ERROR, "a run has not ended");
	if (event == XACT_EVENT_ABORT)
		forget();
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *arg)
{
	ListCell *lc;

	if (handover == NULL || (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB))
		return;
	if (handover->sub == self)
	{
		forget();
		return;
	}
	foreach (lc, handover->handed)
	{
		CaptureHanded *h = lfirst(lc);

		for (int i = h->n - 1; i >= 0 && h->pieces[i].sub >= self; i--)
		{
			if (h->pieces[i].sub != self)
				continue;
			if (event == SUBXACT_EVENT_ABORT_SUB)
				h->pieces[i].dead = true;
			h->pieces[i].sub = parent;
		}
	}
}

void
capture_handover_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

bool
strata_capture_handover_begin(const List *targets, const List *consumers)
{
	MemoryContext context;
	MemoryContext old;
	ListCell *lc;

	/* a run within a run: what it writes may be the outer one's, too */
	if (handover)
		return false;
	context = AllocSetContextCreate(TopTransactionContext, "pg_strata handover", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	handover = palloc0(sizeof(Handover));
	handover->context = context;
	handover->sub = GetCurrentSubTransactionId();
	handover->owner = CurrentResourceOwner;
	handover->targets = list_copy(targets);
	foreach (lc, consumers)
		handover->consumers = lappend(handover->consumers, pstrdup(lfirst(lc)));
	MemoryContextSwitchTo(old);
	return true;
}

/* ---- writing ---- */

/* Whether all who follow it are of this run. */
static bool
all_are_here(Oid root)
{
	CaptureRow *row = capture_get(root);
	List *consumers = capture_consumers(root);
	ListCell *lc;

	if (row == NULL || row->kept || consumers == NIL)
		return false;
	foreach (lc, consumers)
		if (!strata_base_list_has(handover->consumers, ((CaptureConsumer *) lfirst(lc))->consumer))
			return HAND_OVER_ALWAYS;
	return true;
}

/* And nobody can come to follow it of whom we would not know: so they are looked at again under the lock. */
static bool
is_taken(Oid root)
{
	return all_are_here(root) && lock_root(root, ExclusiveLock) && all_are_here(root);
}

static CaptureHanded *
find(Oid root)
{
	ListCell *lc;

	if (handover)
		foreach (lc, handover->handed)
			if (((CaptureHanded *) lfirst(lc))->root == root)
				return lfirst(lc);
	return NULL;
}

/* Where the rows of a statement go; NULL: to the change table. */
CaptureHanded *
capture_handover_for(Oid root, Relation segment)
{
	CaptureHanded *h = find(root);
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old;

	if (handover == NULL || (h == NULL && !list_member_oid(handover->targets, root)))
		return NULL;
	if (h == NULL)
	{
		bool taken = is_taken(root);

		old = MemoryContextSwitchTo(handover->context);
		h = palloc0(sizeof(CaptureHanded));
		h->root = root;
		h->taken = taken;
		handover->handed = lappend(handover->handed, h);
		handover->xid = U64FromFullTransactionId(GetTopFullTransactionId());
		MemoryContextSwitchTo(old);
	}
	/* rows that somebody is reading are not to be moved; rows of another form do not go with those there are */
	if (!h->taken || h->readers > 0 || (h->n > 0 && h->segment != RelationGetRelid(segment)))
		return NULL;
	if (h->n == 0)
	{
		old = MemoryContextSwitchTo(handover->context);
		h->segment = RelationGetRelid(segment);
		h->desc = CreateTupleDescCopy(RelationGetDescr(segment));
		CurrentResourceOwner = handover->owner;
		/* all together are to take little more than one */
		h->store = tuplestore_begin_heap(true, false, Max(64, work_mem / list_length(handover->handed)));
		CurrentResourceOwner = owner;
		h->room = 8;
		h->pieces = palloc(sizeof(Piece) * h->room);
		MemoryContextSwitchTo(old);
	}
	return h;
}

static Size
long_values(HeapTuple tuple, TupleDesc desc)
{
	Size size = 0;

	for (int i = CAPTURE_PREFIX; i < desc->natts; i++)
	{
		bool isnull;
		Datum value;

		if (TupleDescAttr(desc, i)->attlen != -1)
			continue;
		value = heap_getattr(tuple, i + 1, desc, &isnull);
		if (!isnull && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)))
			size += toast_datum_size(value);
	}
	return size;
}

/* False: it is too long to be held. */
bool
capture_handover_put(CaptureHanded *h, HeapTuple tuple, int64 step)
{
	SubTransactionId sub = GetCurrentSubTransactionId();
	Piece *last = h->n > 0 ? &h->pieces[h->n - 1] : NULL;

	/* what it was may be gone from the target by the time it is read */
	if (HeapTupleHasExternal(tuple))
	{
		if (long_values(tuple, h->desc) > MOST_LONG)
			return false;
		tuple = toast_flatten_tuple(tuple, h->desc);
		tuplestore_puttuple(h->store, tuple);
		heap_freetuple(tuple);
	}
	else
		tuplestore_puttuple(h->store, tuple);
	if (last == NULL || last->step != step || last->sub != sub || last->dead)
	{
		if (h->n == h->room)
		{
			h->room *= 2;
			h->pieces = repalloc_huge(h->pieces, sizeof(Piece) * h->room);
		}
		last = &h->pieces[h->n++];
		last->step = step;
		last->rows = 0;
		last->sub = sub;
		last->dead = false;
	}
	last->rows++;
	return true;
}

/* ---- reading ---- */

static bool
in_window(const CaptureHanded *h, const Piece *piece, const StrataCaptureState *state)
{
	return !piece->dead && capture_in_window(state, handover->xid, piece->step, handover->xid);
}

/* Rows of the window. */
uint64
capture_handover_count(const StrataCaptureState *state)
{
	const CaptureHanded *h = find(state->root);
	uint64 n = 0;

	if (h)
		for (int i = 0; i < h->n; i++)
			if (in_window(h, &h->pieces[i], state))
				n += h->pieces[i].rows;
	return n;
}

/* Whether they have the form of these change tables. */
bool
capture_handover_fits(Oid root, const List *segments)
{
	const CaptureHanded *h = find(root);
	ListCell *lc;

	if (h == NULL || h->n == 0)
		return true;
	foreach (lc, segments)
		if (((CaptureSegment *) lfirst(lc))->oid == h->segment)
			return true;
	return false;
}

struct CaptureHandedReading
{
	CaptureHanded *h;
	const StrataCaptureState *state; /* NULL: the pieces that are chosen */
	const bool *chosen;
	TupleTableSlot *slot;
	int pointer;
	int piece;
	uint64 left;  /* of the piece */
	uint64 every; /* so many rows are one */
};

static CaptureHandedReading *
start(CaptureHanded *h)
{
	CaptureHandedReading *r = palloc0(sizeof(CaptureHandedReading));
	int pointer = bms_next_member(h->free, -1);
	MemoryContext old;

	r->h = h;
	r->slot = MakeSingleTupleTableSlot(h->desc, &TTSOpsMinimalTuple);
	r->piece = -1;
	r->every = 1;
	old = MemoryContextSwitchTo(handover->context);
	if (pointer >= 0)
		h->free = bms_del_member(h->free, pointer);
	else
		pointer = tuplestore_alloc_read_pointer(h->store, EXEC_FLAG_REWIND);
	MemoryContextSwitchTo(old);
	r->pointer = pointer;
	tuplestore_select_read_pointer(h->store, pointer);
	tuplestore_rescan(h->store);
	h->readers++;
	return r;
}

/* NULL: there is none. sample: some of them. */
CaptureHandedReading *
capture_handover_read(const StrataCaptureState *state, bool sample)
{
	CaptureHanded *h = find(state->root);
	uint64 n = capture_handover_count(state);
	CaptureHandedReading *r;

	if (n == 0)
		return NULL;
	r = start(h);
	r->state = state;
	if (sample)
		r->every = Max(1, n / SAMPLE_ROWS);
	return r;
}

/* NULL: that was the last. The slot is good until the next. */
TupleTableSlot *
capture_handover_next(CaptureHandedReading *r, int64 *step)
{
	CaptureHanded *h = r->h;

	tuplestore_select_read_pointer(h->store, r->pointer);
	while (r->left == 0)
	{
		const Piece *piece;

		if (++r->piece >= h->n)
			return NULL;
		piece = &h->pieces[r->piece];
		if (r->state ? in_window(h, piece, r->state) : r->chosen[r->piece])
			r->left = piece->rows;
		else
			(void) tuplestore_skiptuples(h->store, piece->rows, true);
	}
	*step = h->pieces[r->piece].step;
	if (!tuplestore_gettupleslot(h->store, true, false, r->slot))
		elog(ERROR, "rows handed over are missing");
	r->left--;
	if (r->every > 1 && r->left > 0)
	{
		uint64 skip = Min(r->left, r->every - 1);

		/* the tuple may be read from a file: then it is the slot's own */
		(void) tuplestore_skiptuples(h->store, skip, true);
		r->left -= skip;
	}
	return r->slot;
}

void
capture_handover_stop(CaptureHandedReading *r)
{
	MemoryContext old = MemoryContextSwitchTo(handover->context);

	r->h->readers--;
	r->h->free = bms_add_member(r->h->free, r->pointer);
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(r->slot);
	pfree(r);
}

/* ---- the end ---- */

/* Which pieces somebody does not have yet; NULL: none. */
static bool *
still_needed(const CaptureHanded *h)
{
	CaptureRow *row = capture_get(h->root);
	bool *needed = palloc0(sizeof(bool) * Max(1, h->n));
	bool any = false;
	ListCell *lc;

	if (row == NULL || row->state != CAPTURE_ON)
		return NULL;
	foreach (lc, capture_consumers(h->root))
	{
		const CaptureConsumer *c = lfirst(lc);

		if (c->position == NULL || c->generation != row->generation)
			continue;
		for (int i = 0; i < h->n; i++)
		{
			int64 step = h->pieces[i].step;

			if (!h->pieces[i].dead && !capture_position_has(c->position, handover->xid, step < 0 ? -step : step))
				any = needed[i] = true;
		}
	}
	return any ? needed : NULL;
}

static void
settle(CaptureHanded *h)
{
	bool *needed = h->n > 0 ? still_needed(h) : NULL;
	CaptureHandedReading *r;

	if (needed == NULL)
		return;
	if (!capture_handover_fits(h->root, capture_segments(h->root)))
	{
		capture_write_mark(h->root, "its columns were changed");
		return;
	}
	r = start(h);
	r->chosen = needed;
	capture_write_handed(h->root, r);
	capture_handover_stop(r);
}

void
strata_capture_handover_end(void)
{
	ListCell *lc;

	if (handover == NULL)
		return;
	CommandCounterIncrement();
	foreach (lc, handover->handed)
	{
		CaptureHanded *h = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		/* what is written now is none to hand over */
		h->taken = false;
		settle(h);
		if (h->store)
			tuplestore_end(h->store);
		h->store = NULL;
	}
	forget();
}
