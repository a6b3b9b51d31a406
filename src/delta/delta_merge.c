/*
 * delta_merge.c: groups merged with the target's own rows, which are their state: each row comes with the address it is read from, and goes
 * to where it belongs.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "delta/delta_internal.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Positions (from 0) in a row: its address, how many rows the group has, whether that is to be doubted; the columns; the old values */
#define AT_CTID 0
#define AT_TABLE 1
#define AT_ROWS 2
#define AT_DOUBT 3
#define AT_COLUMNS 4

typedef struct Compared
{
	int fresh; /* in the row */
	int old;
	AttrNumber attnum;
	bool is_key; /* of the target's, not of the groups' */
} Compared;

struct StrataMerge
{
	DestReceiver pub;
	DeltaWork work;
	DeltaPair pair;
	MemoryContext context;
	MemoryContext row;
	List *keys; /* int: positions (from 1) in the columns */
	int ncolumns;
	Compared *compared;
	int ncompared;
	StrataRowSet **doubts;
	Datum *values;
	bool *nulls;
	bool sound;
};

static void
create_sets(StrataMerge *m, TupleDesc query)
{
	const StrataDeltaTarget *t = m->work.target;

	if (query->natts != AT_COLUMNS + m->ncolumns + m->ncompared || TupleDescAttr(query, AT_ROWS)->atttypid != INT8OID)
		elog(ERROR, "merged rows of %s have other columns", t->label);
	delta_check_types(&m->work, query, AT_COLUMNS);
	m->pair.desc = CreateTemplateTupleDesc(m->ncolumns);
	for (int i = 0; i < m->ncolumns; i++)
	{
		TupleDescCopyEntry(m->pair.desc, i + 1, query, AT_COLUMNS + i + 1);
		namestrcpy(&TupleDescAttr(m->pair.desc, i)->attname, list_nth(t->columns, i));
	}
	m->pair.deletes = strata_rowset_create("delta_delete", delta_rowset_desc(t, m->pair.desc, 0, false));
	m->pair.updates = strata_rowset_create("delta_update", delta_rowset_desc(t, m->pair.desc, 0, true));
	m->pair.inserts = strata_rowset_create("delta_insert", delta_rowset_desc(t, m->pair.desc, 0, true));
}

static void
start_rows(DestReceiver *self, int operation, TupleDesc query)
{
	StrataMerge *m = (StrataMerge *) self;
	MemoryContext old = MemoryContextSwitchTo(m->context);

	if (m->pair.desc == NULL)
		create_sets(m, query);
	MemoryContextSwitchTo(old);
}

static void
end_nothing(DestReceiver *self)
{
}

/* The keys k1, .. of a group in doubt. */
static void
put_doubt(StrataMerge *m, TupleTableSlot *slot)
{
	StrataRowSet **set = &m->doubts[DatumGetInt32(slot->tts_values[AT_DOUBT]) - 1];
	ListCell *lc;

	if (*set == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(m->context);
		TupleDesc desc = CreateTemplateTupleDesc(list_length(m->keys));

		foreach (lc, m->keys)
		{
			int i = foreach_current_index(lc);

			TupleDescCopyEntry(desc, i + 1, m->pair.desc, lfirst_int(lc));
			snprintf(NameStr(TupleDescAttr(desc, i)->attname), NAMEDATALEN, "k%d", i + 1);
		}
		*set = strata_rowset_create("strata_keys", desc);
		MemoryContextSwitchTo(old);
	}
	foreach (lc, m->keys)
	{
		m->values[foreach_current_index(lc)] = slot->tts_values[AT_COLUMNS + lfirst_int(lc) - 1];
		m->nulls[foreach_current_index(lc)] = slot->tts_isnull[AT_COLUMNS + lfirst_int(lc) - 1];
	}
	strata_rowset_put(*set, m->values, m->nulls);
}

/* Whether a column differs; which ones do is noted. moves: one of the target's key does. */
static bool
differs(StrataMerge *m, const Datum *values, const bool *nulls, bool *moves)
{
	MemoryContext old = MemoryContextSwitchTo(m->row);
	bool found = false;

	for (int i = 0; i < m->ncompared; i++)
	{
		const Compared *c = &m->compared[i];

		if (found && !c->is_key && bms_is_member(c->attnum, m->pair.changed))
			continue;
		if (nulls[c->fresh] == nulls[c->old] &&
			(nulls[c->fresh] || strata_base_image_same(TupleDescAttr(m->pair.desc, c->fresh - AT_COLUMNS),
													   values[c->fresh], values[c->old])))
			continue;
		found = true;
		*moves |= c->is_key;
		if (bms_is_member(c->attnum, m->pair.changed))
			continue;
		MemoryContextSwitchTo(m->context);
		m->pair.changed = bms_add_member(m->pair.changed, c->attnum);
		MemoryContextSwitchTo(m->row);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(m->row);
	return found;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	StrataMerge *m = (StrataMerge *) self;
	Datum *values;
	bool *nulls;
	bool known;
	bool moves = false;
	int64 rows;

	slot_getallattrs(slot);
	values = slot->tts_values;
	nulls = slot->tts_isnull;
	if (DatumGetInt32(values[AT_DOUBT]) > 0)
	{
		put_doubt(m, slot);
		return true;
	}
	known = !nulls[AT_CTID];
	rows = nulls[AT_ROWS] ? 0 : DatumGetInt64(values[AT_ROWS]);
	if (rows < 0 || (m->keys == NIL && !known))
		m->sound = false;
	if (!m->sound)
		return true;
	if (rows == 0 && m->keys != NIL)
	{
		if (known)
			strata_rowset_put(m->pair.deletes, values, nulls);
		return true;
	}
	if (known && !differs(m, values, nulls, &moves))
		return true;
	/* its key may be that of a row which has yet to go: not in place */
	if (moves)
		strata_rowset_put(m->pair.deletes, values, nulls);
	known = known && !moves;
	m->values[0] = values[AT_CTID];
	m->values[1] = values[AT_TABLE];
	m->nulls[0] = m->nulls[1] = !known;
	memcpy(m->values + 2, values + AT_COLUMNS, sizeof(Datum) * m->ncolumns);
	memcpy(m->nulls + 2, nulls + AT_COLUMNS, sizeof(bool) * m->ncolumns);
	strata_rowset_put(known ? m->pair.updates : m->pair.inserts, m->values, m->nulls);
	return true;
}

StrataMerge *
strata_delta_merge_start(const StrataDeltaTarget *target, const List *keys, Snapshot snapshot,
						 StrataDeltaCounts *counts)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "strata delta merge", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	StrataMerge *m = palloc0(sizeof(StrataMerge));

	memset(counts, 0, sizeof(*counts));
	LockRelationOid(target->relid, RowExclusiveLock);
	delta_refuse(target, snapshot);
	m->context = context;
	m->row = AllocSetContextCreate(context, "strata delta row", ALLOCSET_SMALL_SIZES);
	m->work.target = target;
	m->work.snapshot = snapshot;
	m->work.counts = counts;
	m->pair.work = &m->work;
	m->keys = list_copy(keys);
	m->sound = true;
	m->ncolumns = list_length(target->columns);
	m->values = palloc(sizeof(Datum) * (m->ncolumns + 2));
	m->nulls = palloc(sizeof(bool) * (m->ncolumns + 2));
	m->compared = palloc(sizeof(Compared) * Max(1, m->ncolumns));
	for (int i = 0; i < m->ncolumns; i++)
	{
		Compared *c = &m->compared[m->ncompared];

		if (list_member_int(keys, i + 1))
			continue;
		c->fresh = AT_COLUMNS + i;
		c->old = AT_COLUMNS + m->ncolumns + m->ncompared++;
		c->attnum = get_attnum(target->relid, list_nth(target->columns, i));
		c->is_key = strata_base_list_has(target->key, list_nth(target->columns, i));
	}
	m->pub.rStartup = start_rows;
	m->pub.receiveSlot = receive_row;
	m->pub.rShutdown = end_nothing;
	m->pub.rDestroy = end_nothing;
	m->pub.mydest = DestTuplestore;
	MemoryContextSwitchTo(old);
	return m;
}

void
strata_delta_merge_take(StrataMerge *m, const char *sql, List *rowsets, StrataRowSet **doubts)
{
	m->doubts = doubts;
	strata_base_run_into(sql, NULL, m->work.snapshot, rowsets, (DestReceiver *) m);
}

bool
strata_delta_merge_finish(StrataMerge *m)
{
	MemoryContext old = MemoryContextSwitchTo(m->context);
	bool sound = m->sound;

	if (m->pair.desc && sound)
		delta_pair_write(&m->pair);
	delta_pair_free(&m->pair);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(m->context);
	return sound;
}
