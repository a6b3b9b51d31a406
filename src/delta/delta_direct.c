/*
 * delta_direct.c: rows of a row set written to a plain table by address, without a statement.
 *
 * What an UPDATE joined by ctid would do, less the plan, the join and a look at the table's size for each row. Where more than the heap, its
 * indexes and its constraints has a say (a trigger, a policy, a partition, a column that computes itself), a statement is run.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "delta/delta_internal.h"
#include "executor/executor.h"
#include "guard/guard.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

typedef struct Writer
{
	Relation rel;
	EState *estate;
	ResultRelInfo *result;
	TupleTableSlot *slot;
	CommandId command;
	int *from; /* per column of the table: that of the row set (from 0), or -1 */
} Writer;

/* Whether nothing but the statement itself acts on the rows. */
static bool
is_plain(Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);

	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relispartition || rel->rd_rel->relhassubclass ||
		rel->rd_rel->relrowsecurity || rel->rd_rules != NULL)
		return false;
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		if (!strata_guard_is_idle(&rel->trigdesc->triggers[i]))
			return false;
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attgenerated != '\0' || TupleDescAttr(desc, i)->attidentity != '\0')
			return false;
	return true;
}

/* Where each column stands; false: one is missing, or its values would have to be converted. */
static bool
map_columns(Writer *w, TupleDesc rows)
{
	TupleDesc desc = RelationGetDescr(w->rel);

	w->from = palloc(sizeof(int) * Max(1, desc->natts));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Form_pg_attribute given = NULL;

		w->from[i] = -1;
		if (att->attisdropped)
			continue;
		for (int n = 0; n < rows->natts && given == NULL; n++)
			if (strcmp(NameStr(TupleDescAttr(rows, n)->attname), NameStr(att->attname)) == 0)
			{
				w->from[i] = n;
				given = TupleDescAttr(rows, n);
			}
		if (given == NULL || given->atttypid != att->atttypid ||
			(att->atttypmod >= 0 && given->atttypmod != att->atttypmod))
			return false;
	}
	return true;
}

static bool
begin(Writer *w, Oid relid, StrataRowSet *rows, CmdType command, Snapshot snapshot)
{
	AclMode needed = ACL_SELECT | (command == CMD_INSERT   ? ACL_INSERT
								   : command == CMD_UPDATE ? ACL_UPDATE
														   : ACL_DELETE);

	w->rel = table_open(relid, RowExclusiveLock);
	/* rights that were taken away: the statement says it in its words */
	if (!is_plain(w->rel) || (command != CMD_INSERT && TupleDescAttr(rows->desc, 0)->atttypid != TIDOID) ||
		(command != CMD_DELETE && !map_columns(w, rows->desc)) ||
		pg_class_aclmask(relid, GetUserId(), needed, ACLMASK_ALL) != needed)
	{
		table_close(w->rel, NoLock);
		return false;
	}
	CheckCmdReplicaIdentity(w->rel, command);
	CommandCounterIncrement();
	PushCopiedSnapshot(snapshot);
	UpdateActiveSnapshotCommandId();
	w->command = GetCurrentCommandId(true);
	w->estate = CreateExecutorState();
	w->result = makeNode(ResultRelInfo);
	/* no range table: the message of a broken constraint shows the whole row, which is the owner's own */
	InitResultRelInfo(w->result, w->rel, 0, NULL, 0);
	if (command != CMD_DELETE)
		ExecOpenIndices(w->result, false);
	w->slot = table_slot_create(w->rel, NULL);
	return true;
}

static void
end(Writer *w)
{
	ExecDropSingleTupleTableSlot(w->slot);
	if (w->result->ri_IndexRelationDescs)
		ExecCloseIndices(w->result);
	FreeExecutorState(w->estate);
	PopActiveSnapshot();
	table_close(w->rel, NoLock);
	CommandCounterIncrement();
}

/* The row as the table is to have it, its constraints met. */
static void
fill(Writer *w, TupleTableSlot *row)
{
	int natts = RelationGetDescr(w->rel)->natts;

	ExecClearTuple(w->slot);
	for (int i = 0; i < natts; i++)
	{
		w->slot->tts_isnull[i] = w->from[i] < 0 || row->tts_isnull[w->from[i]];
		w->slot->tts_values[i] = w->slot->tts_isnull[i] ? (Datum) 0 : row->tts_values[w->from[i]];
	}
	ExecStoreVirtualTuple(w->slot);
	w->slot->tts_tableOid = RelationGetRelid(w->rel);
	if (RelationGetDescr(w->rel)->constr)
		ExecConstraints(w->result, w->slot, w->estate);
}

static void
insert_indexes(Writer *w, STRATA_UPDATE_INDEXES which)
{
	if (w->result->ri_NumIndices > 0 && strata_needs_indexes(which))
		strata_insert_index_tuples(w->result, w->slot, w->estate, which);
}

/* Whether the row was written. Another one of its address that somebody else left there is not it, as for a statement. */
static bool
is_done(TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return true;
		case TM_SelfModified:
			return false;
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
								errmsg("could not serialize access due to concurrent update")));
			return false;
		default:
			elog(ERROR, "a row could not be written: %d", result);
	}
	return false;
}

static bool
write_row(Writer *w, CmdType command, TupleTableSlot *row)
{
	TM_FailureData failure;
	LockTupleMode mode;
	STRATA_UPDATE_INDEXES which = STRATA_ALL_INDEXES;
	ItemPointerData tid;

	if (command != CMD_INSERT)
		tid = *(ItemPointer) DatumGetPointer(row->tts_values[0]);
	if (command == CMD_DELETE)
		return is_done(
			table_tuple_delete(w->rel, &tid, w->command, GetActiveSnapshot(), InvalidSnapshot, true, &failure, false));
	fill(w, row);
	if (command == CMD_INSERT)
		table_tuple_insert(w->rel, w->slot, w->command, 0, NULL);
	else if (!is_done(table_tuple_update(w->rel, &tid, w->slot, w->command, GetActiveSnapshot(), InvalidSnapshot, true,
										 &failure, &mode, &which)))
		return false;
	insert_indexes(w, which);
	return true;
}

int64
delta_direct(Oid relid, StrataRowSet *rows, CmdType command, Snapshot snapshot)
{
	Writer w = {0};
	TupleTableSlot *row;
	int64 written = 0;

	if (!begin(&w, relid, rows, command, snapshot))
		return -1;
	row = strata_rowset_rewind(rows);
	while (strata_rowset_next(rows, row))
	{
		CHECK_FOR_INTERRUPTS();
		written += write_row(&w, command, row);
		ResetPerTupleExprContext(w.estate);
	}
	end(&w);
	return written;
}
