/*
 * capture_prune.c: the ring of segments.
 *
 * current -> closing: it has grown, and the next one is empty. Writers learn it when we commit.
 * closing -> sealed: nobody can write to it any more; the snapshot of now sees all that ever did.
 * sealed -> free: every consumer's position covers that snapshot. TRUNCATE: nobody who could need it is kept waiting.
 *
 * Nothing here waits: what is locked by somebody else is for the next run. See README.md for why nothing is lost.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "base/compat.h"
#include "capture/capture_internal.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lock.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

/* How long a run waits, at its end, to put capture on or off. */
#define PATIENCE_MS 100

static uint64
pages_of(Oid relid)
{
	Relation rel;
	uint64 pages;

	/* emptied by another run just now */
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return 0;
	rel = table_open(relid, NoLock);
	pages = RelationGetNumberOfBlocks(rel);
	table_close(rel, AccessShareLock);
	return pages;
}

static void
set_segment(const CaptureRow *row, const CaptureSegment *g, const char *state, const CapturePosition *sealed)
{
	static const char *const key_columns[] = {"relid", "segment"};
	static const char *const columns[] = {"state", "sealed", "rotated"};
	bool closing = strcmp(state, "closing") == 0;
	StrataArgs keys = {0};
	StrataArgs args = {0};

	strata_args_datum(&keys, OIDOID, ObjectIdGetDatum(row->relid), false);
	strata_args_int4(&keys, g->number);
	strata_args_text(&args, state);
	strata_args_datum(&args, PG_SNAPSHOTOID, sealed ? capture_position_datum(sealed) : (Datum) 0, sealed == NULL);
	strata_args_datum(&args, XID8OID, closing ? FullTransactionIdGetDatum(GetTopFullTransactionId()) : (Datum) 0,
					  !closing);
	if (strata_table_change("capture_segment", "capture_segment_pkey", key_columns, &keys, columns, &args, NULL, 0))
		return;
	for (int i = 0; i < args.n; i++)
		strata_args_datum(&keys, args.types[i], args.values[i], args.nulls[i] == 'n');
	strata_base_keeper_execute("UPDATE strata_state.capture_segment SET state = $3, sealed = $4, rotated = $5"
							   " WHERE relid = $1 AND segment = $2",
							   &keys);
}

static bool
has_ended(uint64 xid)
{
	/* so old that its 32 bits may be somebody else's */
	if (xid + PG_INT32_MAX / 2 < U64FromFullTransactionId(ReadNextFullTransactionId()))
		return true;
	return !TransactionIdIsCurrentTransactionId((TransactionId) xid) &&
		   strata_try_wait_for_transaction((TransactionId) xid);
}

/*
 * Nobody writes to it: who rotated it has ended, and told all others (they hear of it before its locks go); and nobody has it
 * locked as writers do. We ourselves may have.
 */
static bool
seal(const CaptureRow *row, CaptureSegment *g)
{
	Snapshot snapshot;

	if (!has_ended(g->rotated) || strata_is_locked_by_me(g->oid, RowExclusiveLock) ||
		!ConditionalLockRelationOid(g->oid, ShareLock))
		return false;
	UnlockRelationOid(g->oid, ShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	g->sealed = capture_position_of(snapshot);
	UnregisterSnapshot(snapshot);
	/* ours is none of its writers: it is not to look as if */
	capture_position_lack(g->sealed, U64FromFullTransactionId(GetTopFullTransactionId()));
	set_segment(row, g, "sealed", g->sealed);
	g->state = 's';
	return true;
}

static bool
is_needed(const CaptureSegment *g, const List *consumers, int64 generation)
{
	ListCell *lc;

	foreach (lc, consumers)
	{
		const CaptureConsumer *c = lfirst(lc);

		if (c->position && c->generation == generation && !capture_position_covers(c->position, g->sealed))
			return true;
	}
	return false;
}

/* Those who hold up the sealed segments: their next refresh is a full one. A refresh of theirs that is under way goes on. */
static void
cut_off(const CaptureRow *row, const List *segments, const List *consumers)
{
	ListCell *lc;
	ListCell *lg;

	foreach (lc, consumers)
	{
		const CaptureConsumer *c = lfirst(lc);
		bool behind = false;
		StrataArgs args = {0};

		if (c->position == NULL || c->generation != row->generation)
			continue;
		foreach (lg, segments)
		{
			const CaptureSegment *g = lfirst(lg);

			behind = behind || (g->state == 's' && !capture_position_covers(c->position, g->sealed));
		}
		if (!behind)
			continue;
		strata_args_datum(&args, OIDOID, ObjectIdGetDatum(c->relation), false);
		strata_args_text(&args, c->consumer);
		strata_base_keeper_execute(
			"UPDATE strata_state.capture_consumer SET position = NULL, why = 'more changes waited than strata.capture_max_size'"
			" WHERE (relation, consumer) IN (SELECT relation, consumer FROM strata_state.capture_consumer"
			" WHERE relation = $1 AND consumer = $2 FOR UPDATE SKIP LOCKED)",
			&args);
	}
}

/* False: somebody else is at it, or it has just changed; the next run sees to it. */
static bool
lock_row(Oid relid)
{
	static const char *const key_columns[] = {"relid"};
	StrataArgs keys = {0};

	strata_args_datum(&keys, OIDOID, ObjectIdGetDatum(relid), false);
	return strata_table_lock("capture", "capture_pkey", key_columns, &keys);
}

/* It may be the current one now: made, if it never was. Not while somebody changes the source. */
static bool
is_there(const CaptureRow *row, const CaptureSegment *current, const CaptureSegment *next)
{
	bool fits;

	if (OidIsValid(next->oid))
		return true;
	if (!ConditionalLockRelationOid(row->relid, AccessShareLock))
		return false;
	fits = get_rel_name(row->relid) && capture_same_shape(row->relid, current->oid);
	if (fits)
		capture_make_segment(row->relid, next->number);
	UnlockRelationOid(row->relid, AccessShareLock);
	return fits;
}

/* Whether there is anything to do for those that are full: not as long as somebody needs what is sealed. */
static bool
may_go_on(const CaptureRow *row, const List *segments)
{
	List *consumers = capture_consumers(row->relid);
	uint64 held = 0;
	ListCell *lc;

	foreach (lc, segments)
	{
		const CaptureSegment *g = lfirst(lc);

		if (g->state == 'o' || (g->state == 's' && !is_needed(g, consumers, row->generation)))
			return true;
		if (g->state != 'f')
			held += pages_of(g->oid);
	}
	return held * BLCKSZ / (1024 * 1024) >= (uint64) capture_max_size;
}

static void
turn_ring(const CaptureRow *row)
{
	List *segments = capture_segments(row->relid);
	List *consumers = NIL;
	CaptureSegment *current = NULL;
	CaptureSegment *next = NULL;
	uint64 limit = (uint64) capture_segment_size * 1024 / BLCKSZ;
	uint64 held = 0;
	int taken = 0;
	bool idle;
	ListCell *lc;

	foreach (lc, segments)
	{
		CaptureSegment *g = lfirst(lc);

		if (g->state == 'c')
			current = g;
		else if (g->state != 'f')
		{
			taken++;
			limit *= 16;
		}
	}
	if (current == NULL)
		return;
	idle = pages_of(current->oid) < Max(limit, 1);
	/* the usual case: nothing to do, nothing locked */
	if (idle && (taken == 0 || !may_go_on(row, segments)))
		return;
	if (!lock_row(row->relid))
		return;
	segments = capture_segments(row->relid);
	consumers = capture_consumers(row->relid);
	foreach (lc, segments)
	{
		CaptureSegment *g = lfirst(lc);

		if (g->state == 'o')
			(void) seal(row, g);
		if (g->state == 's' && !is_needed(g, consumers, row->generation) &&
			ConditionalLockRelationOid(g->oid, AccessExclusiveLock))
		{
			strata_base_keeper_execute(psprintf("TRUNCATE ONLY strata_state.c%u_%d", row->relid, g->number), NULL);
			set_segment(row, g, "free", NULL);
			g->state = 'f';
		}
		if (g->state == 'f' && next == NULL)
			next = g;
		if (g->state == 'c')
			current = g;
		if (g->state != 'f')
			held += pages_of(g->oid);
	}
	if (!idle && next && current->state == 'c' && is_there(row, current, next))
	{
		set_segment(row, current, "closing", NULL);
		set_segment(row, next, "current", NULL);
		CacheInvalidateRelcacheByRelid(current->oid);
	}
	if (held * BLCKSZ / (1024 * 1024) >= (uint64) capture_max_size)
		cut_off(row, segments, consumers);
}

/* Marks that every consumer knows of. */
static void
prune_marks(void)
{
	if (strata_table_has_pages("capture_mark"))
		strata_base_keeper_execute(
			"DELETE FROM strata_state.capture_mark WHERE ctid = ANY (ARRAY("
			"SELECT m.ctid FROM strata_state.capture_mark m WHERE NOT EXISTS (SELECT FROM strata_state.capture_consumer c"
			" WHERE c.relid = m.relid AND c.position IS NOT NULL"
			" AND NOT CASE WHEN m.xid = c.own_xid THEN m.step <= c.own_step ELSE pg_visible_in_snapshot(m.xid, c.position) END)"
			" FOR UPDATE OF m SKIP LOCKED))",
			NULL);
}

void
strata_capture_prune(void)
{
	ListCell *lc;

	/* what others did since the snapshot of the transaction could not be changed */
	if (!capture_ready() || IsolationUsesXactSnapshot())
		return;
	foreach (lc, capture_all())
	{
		CaptureRow *row = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (row->state == CAPTURE_ON)
			turn_ring(row);
		/* a lock that is held until the end: not where the end may be far */
		else if (IsTransactionBlock() || !lock_row(row->relid))
			continue;
		else if (get_rel_name(row->relid) == NULL || row->state == CAPTURE_LEAVING)
		{
			if (get_rel_name(row->relid) == NULL || capture_lock_members(row->relid, AccessExclusiveLock, PATIENCE_MS))
				capture_uninstall(row->relid);
		}
		else
			(void) capture_install(row->relid, PATIENCE_MS);
	}
	prune_marks();
}
