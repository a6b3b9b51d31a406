/*
 * guard.c: the three event triggers.
 *
 * At the start of a command its parse tree is looked at: what PostgreSQL would refuse with words about internal views, or
 * would let through though it takes a model's target apart, is refused here by the model's name. What was dropped is known
 * only afterwards (CASCADE, DROP OWNED, DROP EXTENSION): sql_drop looks at that, and its error undoes the command. At the
 * end of a command, renames and changes of owner are followed.
 *
 * The guard helps; it is no boundary of security. Anything it cannot make out, it leaves to PostgreSQL.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "guard/guard_internal.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(strata_guard_command_start);
PG_FUNCTION_INFO_V1(strata_guard_command_end);
PG_FUNCTION_INFO_V1(strata_guard_sql_drop);

StrataGuardTypeHook strata_guard_type_hook = NULL;
StrataGuardViewHook strata_guard_view_hook = NULL;
bool strata_guard_enforce = true;

/* ---- suspending ---- */

#define MAX_SUSPENDED 64

/* the nesting level of the transaction that each suspension belongs to */
static int suspended_at[MAX_SUSPENDED];
/* whose target is being written; 0: any may be */
static int suspended_for[MAX_SUSPENDED];
static int suspended = 0;

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		suspended = 0;
		strata_guard_forget(0);
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *arg)
{
	/* the callback is still at the level of the subtransaction that ends */
	int level = GetCurrentTransactionNestLevel();

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (suspended > 0 && suspended_at[suspended - 1] >= level)
		suspended--;
	strata_guard_forget(level);
}

/* Sessions that only write to captured tables have the library too, and nothing to forget when a transaction ends. */
void
strata_guard_watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	watching = true;
}

void
strata_guard_suspend_for(int model_id)
{
	strata_guard_watch_transactions();
	if (suspended >= MAX_SUSPENDED)
		elog(ERROR, "the guard is suspended too many times");
	suspended_for[suspended] = model_id;
	suspended_at[suspended++] = GetCurrentTransactionNestLevel();
}

void
strata_guard_suspend(void)
{
	strata_guard_suspend_for(0);
}

void
strata_guard_resume(void)
{
	/* a procedure that committed in between has ended it already */
	if (suspended > 0)
		suspended--;
}

void
strata_guard_init(void)
{
	DefineCustomBoolVariable("strata.guard_enforce", "Refuse DDL that would break models.",
							 "Off, the command goes through and the models it breaks are marked so.",
							 &strata_guard_enforce, true, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* Whether the registry can be asked. */
static bool
is_there(void)
{
	static const char *const tables[] = {"model", "dependency", "edge", "source"};
	Oid schema;

	if (IsBinaryUpgrade)
		return false;
	if (creating_extension && CurrentExtensionObject == get_extension_oid("pg_strata", true))
		return false;
	schema = get_namespace_oid("strata_state", true);
	if (!OidIsValid(schema) || !OidIsValid(get_namespace_oid("strata", true)))
		return false;
	for (int i = 0; i < (int) lengthof(tables); i++)
		if (!OidIsValid(get_relname_relid(tables[i], schema)))
			return false;
	return true;
}

bool
strata_guard_ready(void)
{
	return suspended == 0 && is_there();
}

bool
strata_guard_is_other(int model_id)
{
	int writing = suspended > 0 ? suspended_for[suspended - 1] : -1;

	return writing != 0 && writing != model_id && is_there();
}

bool
strata_guard_caller_may(const ObjectAddress *object)
{
	Oid owner = InvalidOid;
	Oid schema = InvalidOid;
	HeapTuple tuple = NULL;

	if (superuser())
		return true;
	switch (object->classId)
	{
		case RelationRelationId:
			tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(object->objectId));
			if (HeapTupleIsValid(tuple))
			{
				owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
				schema = ((Form_pg_class) GETSTRUCT(tuple))->relnamespace;
			}
			break;
		case ProcedureRelationId:
			tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(object->objectId));
			if (HeapTupleIsValid(tuple))
			{
				owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
				schema = ((Form_pg_proc) GETSTRUCT(tuple))->pronamespace;
			}
			break;
		case TypeRelationId:
			tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(object->objectId));
			if (HeapTupleIsValid(tuple))
			{
				owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
				schema = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
			}
			break;
		case NamespaceRelationId:
			schema = object->objectId;
			break;
		default:
			return false;
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (OidIsValid(owner) && has_privs_of_role(GetUserId(), owner))
		return true;
	if (!OidIsValid(schema))
		return false;
	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return has_privs_of_role(GetUserId(), owner);
}

/* ---- the start of a command ---- */

/* An ordinary relation, by the name as the command would find it; none for temporary ones. */
static Oid
relation_of(RangeVar *name)
{
	Oid relid = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;

	if (OidIsValid(relid) && (get_rel_persistence(relid) == RELPERSISTENCE_TEMP || relid < FirstNormalObjectId))
		return InvalidOid;
	return relid;
}

static bool
is_relation_type(ObjectType type)
{
	return type == OBJECT_TABLE || type == OBJECT_VIEW || type == OBJECT_MATVIEW || type == OBJECT_FOREIGN_TABLE;
}

static const char *
type_word(ObjectType type)
{
	switch (type)
	{
		case OBJECT_TABLE:
			return "table";
		case OBJECT_VIEW:
			return "view";
		case OBJECT_MATVIEW:
			return "materialized view";
		case OBJECT_FOREIGN_TABLE:
			return "foreign table";
		case OBJECT_SCHEMA:
			return "schema";
		case OBJECT_TYPE:
			return "type";
		case OBJECT_DOMAIN:
			return "domain";
		case OBJECT_AGGREGATE:
			return "aggregate";
		case OBJECT_PROCEDURE:
			return "procedure";
		case OBJECT_FUNCTION:
		case OBJECT_ROUTINE:
			return "function";
		default:
			return NULL;
	}
}

static void
start_drop(DropStmt *stmt)
{
	List *objects = NIL;
	ListCell *lc;
	List *hits;
	char *what;

	if (!strata_guard_enforce || type_word(stmt->removeType) == NULL)
		return;
	foreach (lc, stmt->objects)
	{
		ObjectAddress address = InvalidObjectAddress;

		if (is_relation_type(stmt->removeType))
		{
			address.classId = RelationRelationId;
			address.objectId = relation_of(makeRangeVarFromNameList(lfirst(lc)));
		}
		else
		{
			Relation relation = NULL;

			/* what is no object of that kind is left to the command's own words */
			address = get_object_address(stmt->removeType, lfirst(lc), &relation, AccessShareLock, true);
			if (relation)
				relation_close(relation, NoLock);
		}
		if (OidIsValid(address.objectId) && strata_guard_caller_may(&address))
			objects = lappend(objects, strata_guard_address(address.classId, address.objectId, 0));
	}
	hits = objects == NIL ? NIL : strata_guard_affected(objects);
	if (hits == NIL)
		return;
	what = list_length(objects) == 1 ? getObjectDescription(linitial(objects), true)
									 : psprintf("these %d objects", list_length(objects));
	strata_guard_refuse(psprintf("drop %s", what ? what : "it"), hits);
}

/* The columns of a name in a table and in the tables that inherit from it. */
static List *
column_objects(Oid relid, const char *column)
{
	List *objects = NIL;
	ListCell *lc;

	foreach (lc, find_all_inheritors(relid, NoLock, NULL))
	{
		AttrNumber attno = get_attnum(lfirst_oid(lc), column);

		if (attno > 0)
			objects = lappend(objects, strata_guard_address(RelationRelationId, lfirst_oid(lc), attno));
	}
	return objects;
}

static void
refuse_target(const GuardHit *target, const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST), errmsg("cannot %s", what),
					errdetail("%s is the target of a model: its columns are those of its definition.", target->label),
					errhint("%s A superuser can SET strata.guard_enforce = off.", hint)));
}

static void
start_alter_column(AlterTableStmt *stmt, Oid relid, AlterTableCmd *cmd, const GuardHit *target)
{
	char *label = strata_guard_relation_label(relid);
	List *objects;
	List *hits;

	if (cmd->subtype == AT_AddColumn)
	{
		if (target)
			refuse_target(target, psprintf("add a column to %s", label),
						  "Add it to the query of the definition, and define the model again.");
		return;
	}
	objects = column_objects(relid, cmd->name);
	if (objects == NIL)
		return;
	if (cmd->subtype == AT_DropColumn)
	{
		if (target)
			refuse_target(target, psprintf("drop column %s of %s", strata_base_quote(cmd->name), label),
						  "Take it out of the query of the definition, and define the model again.");
		hits = strata_guard_affected(objects);
		if (hits != NIL)
			strata_guard_refuse(psprintf("drop column %s of %s", strata_base_quote(cmd->name), label), hits);
		return;
	}
	/* AT_AlterColumnType */
	if (target)
		refuse_target(target, psprintf("change the type of column %s of %s", strata_base_quote(cmd->name), label),
					  "Cast it in the query of the definition, and define the model again.");
	hits = strata_guard_affected(objects);
	if (hits == NIL)
		return;
	if (strata_guard_type_hook)
	{
		List *ids = NIL;
		ListCell *lc;

		foreach (lc, hits)
			ids = lappend_int(ids, ((GuardHit *) lfirst(lc))->id);
		strata_guard_note_column((Node *) stmt, relid, get_attnum(relid, cmd->name), ids);
		strata_guard_type_hook(relid, get_attnum(relid, cmd->name), ids, true);
		return;
	}
	strata_guard_refuse(psprintf("change the type of column %s of %s", strata_base_quote(cmd->name), label), hits);
}

static void
refuse_hidden(Oid relid)
{
	if (strata_guard_enforce && strata_guard_is_hidden(relid))
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("%s is kept by pg_strata for one of its models", strata_guard_relation_label(relid)),
						errhint("Define or drop the model; a superuser can SET strata.guard_enforce = off.")));
}

static bool
changes_owner(const AlterTableStmt *stmt)
{
	ListCell *lc;

	foreach (lc, stmt->cmds)
	{
		if (lfirst_node(AlterTableCmd, lc)->subtype == AT_ChangeOwner)
			return true;
	}
	return false;
}

static void
start_alter_table(AlterTableStmt *stmt)
{
	Oid relid = InvalidOid;
	GuardHit *target = NULL;
	ObjectAddress address = InvalidObjectAddress;
	ListCell *lc;

	if (changes_owner(stmt))
	{
		relid = relation_of(stmt->relation);
		if (OidIsValid(relid))
			strata_guard_note_relation((Node *) stmt, relid);
		relid = InvalidOid;
	}
	foreach (lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype != AT_DropColumn && cmd->subtype != AT_AlterColumnType && cmd->subtype != AT_AddColumn &&
			cmd->subtype != AT_ChangeOwner)
			continue;
		if (!OidIsValid(relid))
		{
			relid = relation_of(stmt->relation);
			ObjectAddressSet(address, RelationRelationId, relid);
			if (!OidIsValid(relid) || !strata_guard_enforce || !strata_guard_caller_may(&address))
				return;
			refuse_hidden(relid);
			target = strata_guard_target(relid);
		}
		if (cmd->subtype != AT_ChangeOwner)
			start_alter_column(stmt, relid, cmd, target);
	}
}

static void
start_rename(RenameStmt *stmt)
{
	Oid relid;
	ObjectAddress address;

	if (stmt->renameType == OBJECT_SCHEMA && strata_guard_enforce &&
		(strcmp(stmt->subname, "strata") == 0 || strcmp(stmt->subname, "strata_state") == 0))
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("schema \"%s\" belongs to pg_strata", stmt->subname),
						errhint("Its functions find their tables by this name.")));
	if (!is_relation_type(stmt->renameType) && stmt->renameType != OBJECT_COLUMN)
		return;
	relid = relation_of(stmt->relation);
	if (!OidIsValid(relid))
		return;
	ObjectAddressSet(address, RelationRelationId, relid);
	if (!strata_guard_caller_may(&address))
		return;
	refuse_hidden(relid);
	if (stmt->renameType == OBJECT_COLUMN)
	{
		GuardHit *target = strata_guard_enforce ? strata_guard_target(relid) : NULL;

		if (target)
			refuse_target(target,
						  psprintf("rename column %s of %s", strata_base_quote(stmt->subname),
								   strata_guard_relation_label(relid)),
						  "Rename it in the query of the definition, and define the model again.");
	}
	strata_guard_note_relation((Node *) stmt, relid);
}

static void
start_set_schema(AlterObjectSchemaStmt *stmt)
{
	Oid relid;

	if (!is_relation_type(stmt->objectType))
		return;
	relid = relation_of(stmt->relation);
	if (!OidIsValid(relid))
		return;
	refuse_hidden(relid);
	strata_guard_note_relation((Node *) stmt, relid);
}

static void
start_view(ViewStmt *stmt)
{
	Oid relid;
	GuardHit *target = NULL;

	if (!stmt->replace || !strata_guard_enforce)
		return;
	relid = relation_of(stmt->view);
	if (!OidIsValid(relid) || (!strata_guard_is_hidden(relid) && (target = strata_guard_target(relid)) == NULL))
		return;
	if (strata_guard_reads_nothing(relid))
		return;
	refuse_hidden(relid);
	if (target)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("cannot replace view %s", strata_guard_relation_label(relid)),
						errdetail("%s is the target of a model: its query is that of its definition.", target->label),
						errhint("Define the model again. A superuser can SET strata.guard_enforce = off.")));
}

static EventTriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("this function is called by an event trigger only")));
	return (EventTriggerData *) fcinfo->context;
}

/* No pinned search_path: the names in a command are found as the command finds them. SQL is run as the keeper only. */
Datum
strata_guard_command_start(PG_FUNCTION_ARGS)
{
	Node *parsetree = trigger_data(fcinfo)->parsetree;

	if (parsetree == NULL || !strata_guard_ready())
		PG_RETURN_NULL();
	switch (nodeTag(parsetree))
	{
		case T_DropStmt:
			start_drop((DropStmt *) parsetree);
			break;
		case T_AlterTableStmt:
			start_alter_table((AlterTableStmt *) parsetree);
			break;
		case T_RenameStmt:
			start_rename((RenameStmt *) parsetree);
			break;
		case T_AlterObjectSchemaStmt:
			start_set_schema((AlterObjectSchemaStmt *) parsetree);
			break;
		case T_ViewStmt:
			start_view((ViewStmt *) parsetree);
			break;
		default:
			break;
	}
	PG_RETURN_NULL();
}

/* ---- the end of a command, and what it dropped ---- */

static void
end_view(ViewStmt *stmt)
{
	Oid relid;

	if (!stmt->replace || !strata_guard_enforce || strata_guard_view_hook == NULL)
		return;
	relid = relation_of(stmt->view);
	if (OidIsValid(relid))
		strata_guard_view_hook(relid);
}

Datum
strata_guard_command_end(PG_FUNCTION_ARGS)
{
	Node *parsetree = trigger_data(fcinfo)->parsetree;

	if (parsetree == NULL || !strata_guard_ready())
		PG_RETURN_NULL();
	switch (nodeTag(parsetree))
	{
		case T_RenameStmt:
		{
			RenameStmt *stmt = (RenameStmt *) parsetree;

			if (stmt->renameType == OBJECT_SCHEMA)
				strata_guard_follow_schema(stmt->subname, stmt->newname);
			else
				strata_guard_follow(parsetree);
			break;
		}
		case T_AlterObjectSchemaStmt:
		case T_AlterTableStmt:
			strata_guard_follow(parsetree);
			break;
		case T_ViewStmt:
			end_view((ViewStmt *) parsetree);
			break;
		default:
			break;
	}
	PG_RETURN_NULL();
}

Datum
strata_guard_sql_drop(PG_FUNCTION_ARGS)
{
	/* what no definition can depend on */
	static const char *const harmless[] = {"DROP INDEX",      "DROP TRIGGER",     "DROP POLICY",       "DROP SEQUENCE",
										   "DROP STATISTICS", "DROP PUBLICATION", "DROP SUBSCRIPTION", "ALTER INDEX"};
	EventTriggerData *data = trigger_data(fcinfo);
	const char *tag = GetCommandTagName(data->tag);
	List *hits;

	for (int i = 0; i < (int) lengthof(harmless); i++)
		if (strcmp(tag, harmless[i]) == 0)
			PG_RETURN_NULL();
	if (!strata_guard_ready())
		PG_RETURN_NULL();
	hits = strata_guard_dropped();
	if (hits == NIL)
		PG_RETURN_NULL();
	if (strata_guard_enforce)
		strata_guard_refuse(psprintf("run this %s", tag), hits);
	strata_guard_mark_broken(hits);
	PG_RETURN_NULL();
}
