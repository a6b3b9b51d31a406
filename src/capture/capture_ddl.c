/*
 * capture_ddl.c: capture follows the shape of its sources.
 *
 * At the end of a command, in its transaction and under its locks: a new partition gets its triggers before anyone sees it,
 * changed columns get change tables of that shape, and what triggers cannot see is marked. What is missed here (event
 * triggers can be off) is noticed by the next refresh, all but what was changed and changed back in between.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "capture/capture_internal.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(strata_capture_command_end);
PG_FUNCTION_INFO_V1(strata_capture_sql_drop);

/* Row counts, triggers, columns and files stay as they are. */
static bool
is_harmless(const AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_ColumnDefault:
		case AT_CookedColumnDefault:
		case AT_DropNotNull:
		case AT_SetNotNull:
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_AddIndex:
		case AT_ReAddIndex:
		case AT_AddConstraint:
		case AT_AlterConstraint:
		case AT_ValidateConstraint:
		case AT_AddIndexConstraint:
		case AT_DropConstraint:
		case AT_ChangeOwner:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplicaIdentity:
		case AT_AddIdentity:
		case AT_SetIdentity:
		case AT_DropIdentity:
		case AT_EnableRule:
		case AT_DisableRule:
			return true;
		/* of one trigger that is none of ours */
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
			return strncmp(cmd->name, "strata_capture_", strlen("strata_capture_")) != 0;
		default:
			return false;
	}
}

/* The captured table at the top of it; NULL: none. */
static CaptureRow *
captured(Oid relid)
{
	Oid root = OidIsValid(relid) ? capture_root(relid) : InvalidOid;

	return OidIsValid(root) ? capture_get(root) : NULL;
}

/* Triggers where there are none, change tables of the right shape, and both known as what is expected. */
static void
settle(const CaptureRow *row)
{
	CaptureSignature *signature;
	StrataArgs args = {0};
	ListCell *lc;

	capture_make_triggers(row->relid, false);
	if (!capture_segments_fit(row->relid))
		capture_make_segments(row->relid);
	CommandCounterIncrement();
	signature = capture_signature(row->relid);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(row->relid), false);
	strata_args_text(&args, signature->storage);
	strata_args_text(&args, signature->triggers);
	strata_base_keeper_execute("UPDATE strata_state.capture SET storage = $2, triggers = $3 WHERE relid = $1", &args);
	foreach (lc, signature->members)
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}

static void
altered(Oid relid, const char *why)
{
	CaptureRow *row = captured(relid);

	if (row == NULL || row->state != CAPTURE_ON)
		return;
	capture_write_mark(row->relid, why);
	settle(row);
}

/* Whether values of the type are, or hold, such of the other one. */
static bool
holds_type(Oid type, Oid wanted)
{
	Oid base = getBaseType(type);
	Oid element = get_element_type(base);
	bool found = type == wanted || base == wanted;

	check_stack_depth();
	if (!found && OidIsValid(element))
		return holds_type(element, wanted);
	if (!found && get_typtype(base) == TYPTYPE_RANGE)
		return holds_type(get_range_subtype(base), wanted);
	if (!found && get_typtype(base) == TYPTYPE_MULTIRANGE)
		return holds_type(get_multirange_range(base), wanted);
	if (!found && get_typtype(base) == TYPTYPE_COMPOSITE)
	{
		TupleDesc desc = lookup_rowtype_tupdesc(base, -1);

		for (int i = 0; !found && i < desc->natts; i++)
			found = !TupleDescAttr(desc, i)->attisdropped && holds_type(TupleDescAttr(desc, i)->atttypid, wanted);
		ReleaseTupleDesc(desc);
	}
	return found;
}

/* Values that are stored are others from now on, and no table was written: a field more is a NULL more, a label is another text. */
static void
altered_type(Oid type)
{
	ListCell *lc;

	if (!OidIsValid(type))
		return;
	foreach (lc, capture_all())
	{
		Oid relid = ((CaptureRow *) lfirst(lc))->relid;
		Relation rel = try_relation_open(relid, AccessShareLock);
		bool found = false;

		for (int i = 0; rel && !found && i < RelationGetNumberOfAttributes(rel); i++)
		{
			Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

			found = !att->attisdropped && holds_type(att->atttypid, type);
		}
		if (rel)
			relation_close(rel, NoLock);
		if (found)
			altered(relid, "a type of its columns was altered");
	}
}

static void
end_alter_table(const AlterTableStmt *stmt)
{
	Oid relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	const char *why = NULL;
	ListCell *lc;

	if (!OidIsValid(relid) || get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return;
	foreach (lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (is_harmless(cmd))
			continue;
		if (cmd->subtype == AT_AttachPartition || cmd->subtype == AT_DetachPartition)
			why = "its partitions changed";
		else if (cmd->subtype == AT_AddInherit || cmd->subtype == AT_DropInherit)
		{
			why = "its children changed";
			altered(RangeVarGetRelid((RangeVar *) cmd->def, NoLock, true), why);
		}
		else
			why = "ALTER TABLE";
	}
	if (why)
	{
		altered(relid, why);
		altered_type(get_rel_type_id(relid));
	}
}

/* The files are what was expected, but for those of the new relation: else a change that no event tells (DROP) would be settled with it. */
static bool
is_as_expected(const CaptureRow *row, Oid added)
{
	char *storage = capture_signature(row->relid)->storage;
	char *entry = strstr(storage, psprintf(" %u:", added));

	if (entry)
	{
		char *next = strchrnul(entry + 1, ' ');

		memmove(entry, next, strlen(next) + 1);
	}
	return row->storage != NULL && strcmp(row->storage, storage) == 0;
}

/* A partition or child, empty and seen by nobody yet. Its rows may have been another partition's. */
static void
end_create_table(const CreateStmt *stmt)
{
	Oid relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	ListCell *lc;

	foreach (lc, stmt->inhRelations)
	{
		CaptureRow *row = captured(RangeVarGetRelid(lfirst(lc), NoLock, true));
		ListCell *lk;

		if (row == NULL || row->state != CAPTURE_ON)
			continue;
		foreach (lk, capture_consumers(row->relid))
		{
			if (((CaptureConsumer *) lfirst(lk))->relation == row->relid)
				continue;
			capture_write_mark(row->relid, "its partitions changed");
			break;
		}
		if (!is_as_expected(row, relid))
			capture_write_mark(row->relid, "its partitions changed");
		settle(row);
	}
}

/* Which tables a subscription writes to is told by the catalog while it is there: all are marked when one comes or goes. */
static void
end_subscription(void)
{
	ListCell *lc;

	foreach (lc, capture_all())
		capture_write_mark(((CaptureRow *) lfirst(lc))->relid, "a subscription may have written to it");
}

static EventTriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("this is a function of pg_strata's event triggers")));
	return (EventTriggerData *) fcinfo->context;
}

static bool
is_ours_to_see(void)
{
	return !IsBinaryUpgrade && !creating_extension && capture_ready();
}

/* strata_state.capture_command_end() */
Datum
strata_capture_command_end(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = trigger_data(fcinfo);

	if (capture_quiet || !is_ours_to_see())
		PG_RETURN_NULL();
	if (IsA(data->parsetree, AlterTableStmt))
		end_alter_table((AlterTableStmt *) data->parsetree);
	else if (IsA(data->parsetree, CreateStmt))
		end_create_table((CreateStmt *) data->parsetree);
	else if (IsA(data->parsetree, AlterEnumStmt) && ((AlterEnumStmt *) data->parsetree)->oldVal)
		altered_type(typenameTypeId(NULL, makeTypeNameFromNameList(((AlterEnumStmt *) data->parsetree)->typeName)));
	else if (IsA(data->parsetree, RenameStmt) && ((RenameStmt *) data->parsetree)->renameType == OBJECT_ATTRIBUTE)
		altered_type(get_rel_type_id(RangeVarGetRelid(((RenameStmt *) data->parsetree)->relation, NoLock, true)));
	else if (strstr(GetCommandTagName(data->tag), "SUBSCRIPTION"))
		end_subscription();
	PG_RETURN_NULL();
}

/* strata_state.capture_sql_drop(): the sources that are no more */
Datum
strata_capture_sql_drop(PG_FUNCTION_ARGS)
{
	ListCell *lc;

	(void) trigger_data(fcinfo);
	if (capture_quiet || !is_ours_to_see() || capture_all() == NIL)
		PG_RETURN_NULL();
	foreach (lc, capture_all())
	{
		CaptureRow *row = lfirst(lc);

		if (get_rel_name(row->relid) == NULL)
			capture_uninstall(row->relid);
	}
	strata_base_keeper_execute("DELETE FROM strata_state.capture_consumer c"
							   " WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = c.relation)",
							   NULL);
	PG_RETURN_NULL();
}
