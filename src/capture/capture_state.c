/*
 * capture_state.c: the room's tables, read as of now.
 *
 * Which segment is current, which are empty: that is so now, whatever the transaction's snapshot. The tables are read by
 * their keys, without SQL: base statements and every refresh come by here.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "capture/capture_internal.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

Oid
capture_table(const char *name)
{
	Oid schema = get_namespace_oid("strata_state", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

bool
capture_ready(void)
{
	return !IsBinaryUpgrade && OidIsValid(capture_table("capture")) && OidIsValid(capture_table("capture_segment")) &&
		   OidIsValid(capture_table("capture_consumer")) && OidIsValid(capture_table("capture_mark"));
}

/* ---- scans ---- */

typedef struct StateScan
{
	Relation rel;
	SysScanDesc scan;
	Snapshot snapshot;
} StateScan;

static bool
begin_scan(StateScan *s, const char *table, const char *index, int nkeys, ScanKey keys)
{
	Oid relid = capture_table(table);
	Oid indexid = index ? capture_table(index) : InvalidOid;

	if (!OidIsValid(relid))
		return false;
	s->rel = table_open(relid, AccessShareLock);
	s->snapshot = RegisterSnapshot(GetLatestSnapshot());
	s->scan = systable_beginscan(s->rel, indexid, OidIsValid(indexid), s->snapshot, nkeys, keys);
	return true;
}

static void
end_scan(StateScan *s)
{
	systable_endscan(s->scan);
	UnregisterSnapshot(s->snapshot);
	table_close(s->rel, AccessShareLock);
}

static Datum
field(StateScan *s, HeapTuple tuple, int column, bool *isnull)
{
	return heap_getattr(tuple, column, RelationGetDescr(s->rel), isnull);
}

static char *
text_field(StateScan *s, HeapTuple tuple, int column)
{
	bool isnull;
	Datum value = field(s, tuple, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static int64
int_field(StateScan *s, HeapTuple tuple, int column)
{
	bool isnull;
	Datum value = field(s, tuple, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static CaptureRow *
row_of(StateScan *s, HeapTuple tuple)
{
	CaptureRow *row = palloc0(sizeof(CaptureRow));
	bool isnull;
	char *state = text_field(s, tuple, 3);

	row->relid = DatumGetObjectId(field(s, tuple, 1, &isnull));
	row->kept = DatumGetBool(field(s, tuple, 2, &isnull));
	row->state = strcmp(state, "on") == 0        ? CAPTURE_ON
				 : strcmp(state, "wanted") == 0  ? CAPTURE_WANTED
				 : strcmp(state, "stopped") == 0 ? CAPTURE_STOPPED
												 : CAPTURE_LEAVING;
	row->why = text_field(s, tuple, 4);
	row->since = (uint64) int_field(s, tuple, 5);
	row->generation = int_field(s, tuple, 6);
	row->storage = text_field(s, tuple, 7);
	row->triggers = text_field(s, tuple, 8);
	return row;
}

CaptureRow *
capture_get(Oid relid)
{
	StateScan s;
	ScanKeyData key;
	HeapTuple tuple;
	CaptureRow *row = NULL;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	if (!begin_scan(&s, "capture", "capture_pkey", 1, &key))
		return NULL;
	if (HeapTupleIsValid(tuple = systable_getnext(s.scan)))
		row = row_of(&s, tuple);
	end_scan(&s);
	return row;
}

List *
capture_all(void)
{
	StateScan s;
	HeapTuple tuple;
	List *rows = NIL;

	if (!begin_scan(&s, "capture", NULL, 0, NULL))
		return NIL;
	while (HeapTupleIsValid(tuple = systable_getnext(s.scan)))
		rows = lappend(rows, row_of(&s, tuple));
	end_scan(&s);
	return rows;
}

List *
capture_segments(Oid relid)
{
	StateScan s;
	ScanKeyData key;
	HeapTuple tuple;
	List *segments = NIL;
	Oid schema = get_namespace_oid("strata_state", false);

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	if (!begin_scan(&s, "capture_segment", "capture_segment_pkey", 1, &key))
		return NIL;
	while (HeapTupleIsValid(tuple = systable_getnext(s.scan)))
	{
		CaptureSegment *g = palloc0(sizeof(CaptureSegment));
		bool isnull;
		char *state = text_field(&s, tuple, 3);
		Datum sealed;

		g->number = DatumGetInt32(field(&s, tuple, 2, &isnull));
		g->oid = get_relname_relid(psprintf("c%u_%d", relid, g->number), schema);
		g->state = strcmp(state, "closing") == 0 ? 'o' : state[0];
		g->rotated = (uint64) int_field(&s, tuple, 4);
		sealed = field(&s, tuple, 5, &isnull);
		if (!isnull)
			g->sealed = capture_position_parse(PointerGetDatum(PG_DETOAST_DATUM(sealed)));
		segments = lappend(segments, g);
	}
	end_scan(&s);
	return segments;
}

static CaptureConsumer *
consumer_of(StateScan *s, HeapTuple tuple)
{
	CaptureConsumer *c = palloc0(sizeof(CaptureConsumer));
	bool isnull;
	Datum position;
	Datum starts;

	c->relation = DatumGetObjectId(field(s, tuple, 1, &isnull));
	c->consumer = text_field(s, tuple, 2);
	c->relid = DatumGetObjectId(field(s, tuple, 3, &isnull));
	position = field(s, tuple, 4, &isnull);
	if (!isnull)
	{
		c->position = capture_position_parse(PointerGetDatum(PG_DETOAST_DATUM(position)));
		c->position->own_xid = (uint64) int_field(s, tuple, 5);
		c->position->own_step = int_field(s, tuple, 6);
	}
	c->generation = int_field(s, tuple, 7);
	c->system_id = int_field(s, tuple, 8);
	c->why = text_field(s, tuple, 9);
	starts = field(s, tuple, 11, &isnull);
	if (!isnull)
		c->starts = capture_starts_parse(starts, &c->n_starts);
	return c;
}

CaptureConsumer *
capture_consumer(Oid relation, const char *consumer)
{
	StateScan s;
	ScanKeyData keys[2];
	HeapTuple tuple;
	CaptureConsumer *c = NULL;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(consumer));
	if (!begin_scan(&s, "capture_consumer", "capture_consumer_pkey", 2, keys))
		return NULL;
	if (HeapTupleIsValid(tuple = systable_getnext(s.scan)))
		c = consumer_of(&s, tuple);
	end_scan(&s);
	return c;
}

List *
capture_consumers(Oid relid)
{
	StateScan s;
	ScanKeyData key;
	HeapTuple tuple;
	List *consumers = NIL;

	ScanKeyInit(&key, 3, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	if (!begin_scan(&s, "capture_consumer", "capture_consumer_relid_idx", 1, &key))
		return NIL;
	while (HeapTupleIsValid(tuple = systable_getnext(s.scan)))
		consumers = lappend(consumers, consumer_of(&s, tuple));
	end_scan(&s);
	return consumers;
}

/* ---- relations ---- */

char *
capture_label(Oid relid)
{
	char *schema = get_namespace_name(get_rel_namespace(relid));
	char *name = get_rel_name(relid);

	return schema && name ? strata_base_label(schema, name) : psprintf("relation %u", relid);
}

bool
capture_is_partition(Oid relid)
{
	return get_rel_relispartition(relid);
}

Oid
capture_root(Oid relid)
{
	for (;;)
	{
		List *parents = strata_base_parents(relid);

		if (parents == NIL)
			return relid;
		if (list_length(parents) > 1)
			return InvalidOid;
		relid = linitial_oid(parents);
	}
}
