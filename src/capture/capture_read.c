/*
 * capture_read.c: what has happened since a position.
 *
 * Rows of the window are those that the run's snapshot sees, with what this transaction did before, and that the position
 * does not have. The first half is PostgreSQL's own visibility of the change tables' rows, which were written by the
 * statements that changed the source; the second half is told by the transaction's number in each row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "capture/capture_internal.h"
#include "catalog/indexing.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* ---- scans ---- */

/* The run's snapshot, and all that this transaction did before. */
void
capture_push_snapshot(Snapshot snapshot)
{
	CommandCounterIncrement();
	PushCopiedSnapshot(snapshot);
	UpdateActiveSnapshotCommandId();
}

bool
capture_in_window(const StrataCaptureState *state, uint64 xid, int64 step, uint64 own_xid)
{
	if (step < 0)
		step = -step;
	/* not later than where the consumer will stand */
	if (xid == own_xid && state->to && step > state->to->own_step)
		return false;
	return !capture_position_has(state->from, xid, step);
}

/* What a run hands over comes after what stands in the change tables. */
static int64
scan_handed(const StrataCaptureState *state, CaptureRowCallback callback, void *arg)
{
	CaptureHandedReading *r = capture_handover_read(state, false);
	TupleTableSlot *slot;
	int64 step;
	int64 count = 0;

	while (r && (slot = capture_handover_next(r, &step)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		callback(slot, step, arg);
		count++;
	}
	if (r)
		capture_handover_stop(r);
	return count;
}

int64
capture_scan(const StrataCaptureState *state, Snapshot snapshot, int64 most, CaptureRowCallback callback, void *arg)
{
	uint64 own_xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	int64 count = 0;
	/* what was seen by earlier refreshes stands first */
	ScanDirection direction = most == 0 ? ForwardScanDirection : BackwardScanDirection;
	int i = 0;
	ListCell *lc;

	/* whether there are any is told without a look at them */
	if (most > 0 && (count = Min(state->handed, most)) == most)
		return count;
	capture_push_snapshot(snapshot);
	foreach (lc, state->segments)
	{
		Relation rel = table_open(lfirst_oid(lc), AccessShareLock);
		TupleTableSlot *slot = table_slot_create(rel, NULL);
		TableScanDesc scan = capture_begin_scan(rel, GetActiveSnapshot(), state->first[i++]);

		while ((most == 0 || count < most) && table_scan_getnextslot(scan, direction, slot))
		{
			uint64 xid;
			int64 step;

			CHECK_FOR_INTERRUPTS();
			slot_getsomeattrs(slot, CAPTURE_PREFIX);
			xid = U64FromFullTransactionId(DatumGetFullTransactionId(slot->tts_values[0]));
			step = DatumGetInt64(slot->tts_values[1]);
			if (!capture_in_window(state, xid, step, own_xid))
				continue;
			count++;
			if (callback)
				callback(slot, step, arg);
		}
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		table_close(rel, NoLock);
	}
	PopActiveSnapshot();
	if (callback == NULL && most == 0)
		count += state->handed;
	else if (most == 0)
		count += scan_handed(state, callback, arg);
	return count;
}

/* The first mark of the window, in words; NULL: none. */
static char *
mark_in_window(const StrataCaptureState *state, Snapshot snapshot)
{
	uint64 own_xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	Relation rel;
	TupleTableSlot *slot;
	TableScanDesc scan;
	char *why = NULL;

	/* the usual case */
	if (!strata_table_has_pages("capture_mark"))
		return NULL;
	rel = table_open(capture_table("capture_mark"), AccessShareLock);
	slot = table_slot_create(rel, NULL);
	capture_push_snapshot(snapshot);
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (why == NULL && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		if (DatumGetObjectId(slot->tts_values[0]) != state->root)
			continue;
		if (capture_in_window(state, U64FromFullTransactionId(DatumGetFullTransactionId(slot->tts_values[1])),
							  DatumGetInt64(slot->tts_values[2]), own_xid))
			why = TextDatumGetCString(slot->tts_values[3]);
	}
	table_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return why;
}

/* ---- changes ---- */

static List *
column_names(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	List *names = NIL;

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped)
			names = lappend(names, pstrdup(NameStr(att->attname)));
	}
	table_close(rel, NoLock);
	return names;
}

/* A subscription's worker changes rows without statements. */
bool
capture_is_subscribed(const List *members)
{
	Relation rel = table_open(SubscriptionRelRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	bool found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = list_member_oid(members, ((Form_pg_subscription_rel) GETSTRUCT(tuple))->srrelid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static bool
same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/*
 * The storage is what it was, and so are the triggers. After pg_upgrade the cluster has another identifier and the
 * triggers are new rows of the catalog, but files, transactions and our tables are the old ones. (A dump has none of
 * our tables: there is no position to misread.)
 */
static const char *
what_was_swapped(const StrataCaptureState *state, const CaptureConsumer *consumer)
{
	const CaptureRow *row = state->row;
	const CaptureSignature *s = state->signature;
	bool same_cluster = consumer->system_id == (int64) GetSystemIdentifier();

	if (!same(row->storage, s->storage))
		return "its storage was rewritten, or its partitions changed";
	if (same_cluster && !same(row->triggers, s->triggers))
		return "its triggers were changed";
	if (consumer->position->xmax > U64FromFullTransactionId(ReadNextFullTransactionId()))
		return "the position is of another cluster";
	return NULL;
}

/* Why the consumer cannot stand anywhere now; NULL: it can. */
static const char *
why_no_position(StrataCaptureState *state, Snapshot snapshot)
{
	const CaptureRow *row = state->row;

	if (row == NULL)
		return "it is not captured";
	if (row->state != CAPTURE_ON)
		return row->why ? row->why : "its capture waits for a moment without writers";
	if (state->signature->trouble)
		return state->signature->trouble;
	if (state->signature->busy)
		return "a statement of this session is reading or writing it";
	if (capture_is_subscribed(state->signature->members))
		return "a subscription writes to it";
	if (capture_too_early(row, state->to, snapshot))
		return "its capture began after the snapshot";
	return NULL;
}

/* The change tables that may hold rows of the window, locked. */
static void
choose_segments(StrataCaptureState *state)
{
	ListCell *lc;

	foreach (lc, capture_segments(state->root))
	{
		CaptureSegment *g = lfirst(lc);
		Relation rel;
		BlockNumber blocks;
		BlockNumber first;

		if (g->state == 'f' || !OidIsValid(g->oid) ||
			(g->state == 's' && g->sealed && capture_position_covers(state->from, g->sealed)))
			continue;
		rel = table_open(g->oid, AccessShareLock);
		blocks = RelationGetNumberOfBlocks(rel);
		first = capture_start(state, rel);
		/* it cannot be past the end; everything would be read */
		first = first < blocks ? first : 0;
		state->first[list_length(state->segments)] = first;
		state->pages += blocks - first;
		state->held += blocks;
		table_close(rel, NoLock);
		state->segments = lappend_oid(state->segments, g->oid);
	}
}

/* Why what the consumer has missed cannot be told; NULL: it can, and state->from and ->segments are set. */
static const char *
why_not_known(StrataCaptureState *state, Oid relid, Snapshot snapshot)
{
	CaptureConsumer *consumer = capture_consumer(relid, state->consumer);
	CaptureConsumer *again;
	const char *why;

	if (state->why_not)
		return state->why_not;
	if (consumer == NULL || consumer->position == NULL)
	{
		if (!capture_handover_allows(state->root, snapshot))
			state->why_not = "a run that had not ended refreshed it";
		return consumer && consumer->why ? consumer->why : "it is followed from now on";
	}
	if (consumer->generation != state->row->generation)
		return state->row->why ? state->row->why : "its capture was set up anew";
	state->from = consumer->position;
	state->starts = consumer->starts;
	state->n_starts = consumer->n_starts;
	if (!capture_position_covers(state->to, state->from))
		return "a refresh with a later snapshot came before";
	if ((why = mark_in_window(state, snapshot)) != NULL || (why = what_was_swapped(state, consumer)) != NULL)
		return why;
	choose_segments(state);
	if (!capture_handover_fits(state->root, capture_segments(state->root)))
		return "its columns were changed";
	state->handed = capture_handover_count(state);
	/* it may have been cut off, and the segments emptied, before we had them locked */
	again = capture_consumer(relid, state->consumer);
	if (again == NULL || again->position == NULL || again->generation != consumer->generation)
		return again && again->why ? again->why : "its position was given up";
	return NULL;
}

/* Nothing missed, nothing held up: the old position is as good. */
static bool
stays(const StrataCaptureChanges *changes)
{
	return changes->known && changes->count == 0 && changes->state->held <= 8 &&
		   same(changes->state->row->triggers, changes->state->signature->triggers);
}

StrataCaptureChanges *
strata_capture_changes(Oid relid, const char *consumer, Snapshot snapshot, bool counted)
{
	StrataCaptureChanges *changes = palloc0(sizeof(StrataCaptureChanges));
	StrataCaptureState *state = palloc0(sizeof(StrataCaptureState));

	changes->relid = relid;
	changes->state = state;
	state->consumer = pstrdup(consumer);
	if (!capture_ready() || !OidIsValid(state->root = capture_root(relid)))
	{
		changes->why = state->why_not = "it is not captured";
		return changes;
	}
	/* first the locks, then what is true under them */
	state->signature = capture_signature(state->root);
	state->row = capture_get(state->root);
	changes->columns = column_names(relid);
	state->to = capture_position_of(snapshot);
	state->to->own_step = capture_step;
	/* what comes later in this transaction is told from what came before */
	capture_step++;
	state->why_not = why_no_position(state, snapshot);
	changes->why = why_not_known(state, relid, snapshot);
	changes->known = changes->why == NULL;
	if (!changes->known)
		return changes;
	changes->count = capture_scan(state, snapshot, counted ? 0 : 1, NULL, NULL);
	if (!stays(changes))
		capture_note_starts(state, snapshot);
	return changes;
}

/* ---- advance ---- */

/*
 * Capture that was there before a restore left its triggers, made by somebody who may: it is wanted again. Anything else
 * takes a subscription.
 */
static bool
adopt(Oid root, const CaptureSignature *signature)
{
	StrataArgs args = {0};

	if (signature == NULL || signature->triggers[0] == '\0')
		return false;
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(root), false);
	strata_base_keeper_execute(
		"INSERT INTO strata_state.capture (relid, state) VALUES ($1, 'wanted') ON CONFLICT DO NOTHING", &args);
	return true;
}

/* What the triggers and files are now becomes what is expected; positions of before are void. */
static void
renew(StrataCaptureState *state)
{
	CaptureRow *row = state->row;
	StrataArgs args = {0};

	if (same(row->storage, state->signature->storage) && same(row->triggers, state->signature->triggers))
		return;
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(row->relid), false);
	strata_args_text(&args, state->signature->storage);
	strata_args_text(&args, state->signature->triggers);
	strata_args_text(&args, same(row->storage, state->signature->storage)
								? "its triggers were changed"
								: "its storage was rewritten, or its partitions changed");
	strata_base_keeper_execute(
		"UPDATE strata_state.capture SET storage = $2, triggers = $3, generation = generation + 1, why = $4"
		" WHERE relid = $1 AND (storage, triggers) IS DISTINCT FROM ($2, $3)",
		&args);
	state->row = capture_get(row->relid);
}

/* The identifier is another one, and the rest holds: pg_upgrade. */
static void
follow_upgrade(StrataCaptureState *state)
{
	StrataArgs args = {0};

	if (same(state->row->triggers, state->signature->triggers))
		return;
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(state->root), false);
	strata_args_text(&args, state->signature->triggers);
	strata_args_int8(&args, (int64) GetSystemIdentifier());
	strata_base_keeper_execute("UPDATE strata_state.capture SET triggers = $2 WHERE relid = $1", &args);
	strata_base_keeper_execute(
		"UPDATE strata_state.capture_consumer SET system_id = $3 WHERE relid = $1 AND $2 IS NOT NULL", &args);
	state->row = capture_get(state->root);
}

/*
 * Triggers that are gone, or that ENABLE TRIGGER ALL left enabled, but not always: who disables and enables all of a table's triggers for a
 * load does not mean ours. The end of a run puts them on again. What is disabled stays so.
 */
static void
mend(const StrataCaptureState *state)
{
	StrataArgs args = {0};

	if (state->row->state != CAPTURE_ON || state->signature->trouble == NULL || state->signature->stays)
		return;
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(state->root), false);
	strata_args_text(&args, state->signature->trouble);
	strata_base_keeper_execute("UPDATE strata_state.capture SET state = 'wanted', why = $2 WHERE relid = $1", &args);
}

void
strata_capture_advance(StrataCaptureChanges *changes)
{
	StrataCaptureState *state = changes->state;
	static const char *const key_columns[] = {"relation", "consumer"};
	static const char *const columns[] = {"relid", "position",    "own_step", "generation", "system_id",
										  "why",   "advanced_at", "own_xid",  "starts"};
	CapturePosition *to = state->why_not ? NULL : state->to;
	StrataArgs keys = {0};
	StrataArgs args = {0};

	if (stays(changes))
		return;
	if (!OidIsValid(state->root) || (state->row == NULL && !adopt(state->root, state->signature)))
		return;
	if (to && changes->known)
		follow_upgrade(state);
	else if (to)
		renew(state);
	else if (state->row)
		mend(state);
	strata_args_datum(&keys, OIDOID, ObjectIdGetDatum(changes->relid), false);
	strata_args_text(&keys, state->consumer);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(state->root), false);
	strata_args_datum(&args, PG_SNAPSHOTOID, to ? capture_position_datum(to) : (Datum) 0, to == NULL);
	strata_args_int8(&args, to ? to->own_step : 0);
	strata_args_int8(&args, to ? state->row->generation : 0);
	strata_args_int8(&args, (int64) GetSystemIdentifier());
	strata_args_text(&args, state->why_not);
	strata_args_time(&args, GetCurrentTimestamp());
	strata_args_datum(&args, XID8OID, FullTransactionIdGetDatum(GetTopFullTransactionId()), false);
	strata_args_datum(&args, INT8ARRAYOID,
					  state->n_next > 0 ? capture_starts_datum(state->next, state->n_next) : (Datum) 0,
					  to == NULL || state->n_next == 0);
	if (strata_table_change("capture_consumer", "capture_consumer_pkey", key_columns, &keys, columns, &args, NULL, 0))
		return;
	for (int i = 0; i < args.n; i++)
		strata_args_datum(&keys, args.types[i], args.values[i], args.nulls[i] == 'n');
	strata_base_keeper_execute(
		"INSERT INTO strata_state.capture_consumer AS c (relation, consumer, relid, position, own_step, generation,"
		" system_id, why, advanced_at, own_xid, starts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
		" ON CONFLICT (relation, consumer) DO UPDATE SET relid = excluded.relid, position = excluded.position, own_xid = excluded.own_xid,"
		" own_step = excluded.own_step, generation = excluded.generation, system_id = excluded.system_id, why = excluded.why,"
		" advanced_at = excluded.advanced_at, starts = excluded.starts",
		&keys);
}

/* ---- how much waits, for the view ---- */

PG_FUNCTION_INFO_V1(strata_capture_backlog);

/* strata_state.capture_backlog(relation oid, consumer text) returns bigint; NULL when it is not known */
Datum
strata_capture_backlog(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	StrataCaptureState state = {0};
	CaptureConsumer *consumer;
	CaptureRow *row;

	if (!capture_ready() || get_rel_name(relid) == NULL ||
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		PG_RETURN_NULL();
	consumer = capture_consumer(relid, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	row = consumer ? capture_get(consumer->relid) : NULL;
	if (row == NULL || row->state != CAPTURE_ON || consumer->position == NULL ||
		consumer->generation != row->generation)
		PG_RETURN_NULL();
	state.root = consumer->relid;
	state.from = consumer->position;
	state.starts = consumer->starts;
	state.n_starts = consumer->n_starts;
	choose_segments(&state);
	state.handed = capture_handover_count(&state);
	PG_RETURN_INT64(capture_scan(&state, GetActiveSnapshot(), 0, NULL, NULL));
}
