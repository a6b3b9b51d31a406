/*
 * delta_state.c: hidden state of groups, written by address. The table is the extension's own: no triggers, no partitions.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "delta/delta_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Positions (from 0) in the merged rows: strata_ctid, the keys, the old state, the new state, strata_rescan. */
typedef struct Merge
{
	int nkeys;
	int nstate;
	int old_state;
	int new_state;
	StrataRowSet *deletes; /* strata_ctid */
	StrataRowSet *updates; /* strata_ctid, keys, state */
	StrataRowSet *inserts; /* keys, state */
} Merge;

static bool
same_state(const Merge *m, TupleDesc desc, TupleTableSlot *slot)
{
	for (int i = 0; i < m->nstate; i++)
	{
		int o = m->old_state + i;
		int n = m->new_state + i;

		if (slot->tts_isnull[o] != slot->tts_isnull[n] ||
			(!slot->tts_isnull[o] &&
			 !strata_base_image_same(TupleDescAttr(desc, n), slot->tts_values[o], slot->tts_values[n])))
			return false;
	}
	return true;
}

/* One merged row to where it belongs; false when its count is below 0. */
static bool
sort_out(Merge *m, TupleDesc desc, TupleTableSlot *slot, Datum *values, bool *nulls)
{
	bool known = !slot->tts_isnull[0];
	int64 rows = slot->tts_isnull[m->new_state] ? 0 : DatumGetInt64(slot->tts_values[m->new_state]);

	if (rows < 0)
		return false;
	if (rows == 0 && m->nkeys > 0)
	{
		if (known)
			strata_rowset_put(m->deletes, slot->tts_values, slot->tts_isnull);
		return true;
	}
	if (known && same_state(m, desc, slot))
		return true;
	if (known)
	{
		memcpy(values, slot->tts_values, sizeof(Datum) * (1 + m->nkeys));
		memcpy(nulls, slot->tts_isnull, sizeof(bool) * (1 + m->nkeys));
		memcpy(values + 1 + m->nkeys, slot->tts_values + m->new_state, sizeof(Datum) * m->nstate);
		memcpy(nulls + 1 + m->nkeys, slot->tts_isnull + m->new_state, sizeof(bool) * m->nstate);
		strata_rowset_put(m->updates, values, nulls);
		return true;
	}
	memcpy(values, slot->tts_values + 1, sizeof(Datum) * m->nkeys);
	memcpy(nulls, slot->tts_isnull + 1, sizeof(bool) * m->nkeys);
	memcpy(values + m->nkeys, slot->tts_values + m->new_state, sizeof(Datum) * m->nstate);
	memcpy(nulls + m->nkeys, slot->tts_isnull + m->new_state, sizeof(bool) * m->nstate);
	strata_rowset_put(m->inserts, values, nulls);
	return true;
}

/* Columns of merged rows, from position first (from 0) on, under the state table's names from the nth on. */
static void
copy_columns(TupleDesc into, int at, TupleDesc merged, int first, int n, const List *columns, int nth)
{
	for (int i = 0; i < n; i++)
	{
		TupleDescCopyEntry(into, at + i + 1, merged, first + i + 1);
		namestrcpy(&TupleDescAttr(into, at + i)->attname, list_nth(columns, nth + i));
	}
}

static bool
write_directly(const char *label, StrataRowSet *rows, CmdType command, Snapshot snapshot)
{
	StrataName name = strata_base_parse_name(label, "state");
	Oid schema = name.schema ? get_namespace_oid(name.schema, true) : InvalidOid;
	Oid relid = OidIsValid(schema) ? get_relname_relid(name.name, schema) : InvalidOid;

	return OidIsValid(relid) && delta_direct(relid, rows, command, snapshot) >= 0;
}

static void
write_state(const char *label, const List *columns, const Merge *m, Snapshot snapshot)
{
	List *state = list_copy_tail(columns, m->nkeys);

	if (m->deletes->count > 0 && !write_directly(label, m->deletes, CMD_DELETE, snapshot))
		strata_base_run_by_address(
			psprintf("DELETE FROM %s AS t USING delta_delete AS d WHERE t.ctid = d.strata_ctid", label), snapshot,
			list_make1(m->deletes));
	if (m->updates->count > 0 && !write_directly(label, m->updates, CMD_UPDATE, snapshot))
		strata_base_run_by_address(
			psprintf("UPDATE %s AS t SET (%s) = ROW(%s) FROM delta_update AS d WHERE t.ctid = d.strata_ctid", label,
					 strata_base_join_quoted(state, ", "), delta_prefixed(state, "d")),
			snapshot, list_make1(m->updates));
	if (m->inserts->count > 0 && !write_directly(label, m->inserts, CMD_INSERT, snapshot))
		strata_base_run(
			psprintf("INSERT INTO %s (%s) SELECT * FROM delta_insert", label, strata_base_join_quoted(columns, ", ")),
			NULL, snapshot, list_make1(m->inserts));
}

bool
strata_delta_merge_state(const char *state_label, const List *columns, int nkeys, StrataRowSet *merged,
						 Snapshot snapshot)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "strata delta state", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int n = list_length(columns);
	Merge m = {nkeys, n - nkeys, 1 + nkeys, 1 + n};
	Datum *values = palloc(sizeof(Datum) * (n + 1));
	bool *nulls = palloc(sizeof(bool) * (n + 1));
	TupleDesc desc;
	TupleTableSlot *slot;
	bool sound = true;

	if (merged->desc->natts < m.new_state + m.nstate || TupleDescAttr(merged->desc, m.new_state)->atttypid != INT8OID)
		elog(ERROR, "merged rows of %s have other columns", state_label);
	desc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(desc, 1, "strata_ctid", TIDOID, -1, 0);
	m.deletes = strata_rowset_create("delta_delete", desc);
	desc = CreateTemplateTupleDesc(1 + n);
	TupleDescInitEntry(desc, 1, "strata_ctid", TIDOID, -1, 0);
	copy_columns(desc, 1, merged->desc, 1, nkeys, columns, 0);
	copy_columns(desc, 1 + nkeys, merged->desc, m.new_state, m.nstate, columns, nkeys);
	m.updates = strata_rowset_create("delta_update", desc);
	desc = CreateTemplateTupleDesc(n);
	copy_columns(desc, 0, merged->desc, 1, nkeys, columns, 0);
	copy_columns(desc, nkeys, merged->desc, m.new_state, m.nstate, columns, nkeys);
	m.inserts = strata_rowset_create("delta_insert", desc);
	slot = strata_rowset_rewind(merged);
	while (strata_rowset_next(merged, slot))
		sound = sort_out(&m, merged->desc, slot, values, nulls) && sound;
	if (sound)
		write_state(state_label, columns, &m, snapshot);
	strata_rowset_free(m.deletes);
	strata_rowset_free(m.updates);
	strata_rowset_free(m.inserts);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return sound;
}
