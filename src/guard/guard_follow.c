/*
 * strata_guard_follow.c: names and owners in the registry follow those of the relations.
 *
 * What a relation was called is noted when the command starts, and compared when it ends. A note belongs to one command
 * (its parse tree); commands nest when an event trigger of someone else runs DDL, so there is room for some.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "guard/guard_internal.h"
#include "nodes/parsenodes.h"
#include "registry/registry.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define MAX_NOTES 16

typedef struct Note
{
	const Node *parsetree; /* NULL: no note */
	int level;             /* nesting level of the transaction */
	Oid relid;
	Oid owner;
	NameData schema;
	NameData name;
	AttrNumber attno; /* ALTER COLUMN TYPE with a hook */
	List *models;
} Note;

static Note notes[MAX_NOTES];
static int next_note = 0;
static bool noted = false;

void
strata_guard_forget(int level)
{
	/* at the end of every transaction */
	if (!noted)
		return;
	noted = level > 0;
	for (int i = 0; i < MAX_NOTES; i++)
		if (notes[i].level >= level)
			memset(&notes[i], 0, sizeof(Note));
}

static Oid
owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * What a model keeps belongs to the target's owner: its hidden relations, its rejects, its partitions. No rights are
 * asked, as for the indexes of a table: who may give away the target gives away what belongs to it. Nothing else is
 * followed: what belongs to a third role stays with it, and so does a model whose name this relation only bears.
 */
static void
follow_owner(Oid relid, Oid old_owner, Oid new_owner)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(old_owner), false);
	rows = strata_base_keeper_query(
		"SELECT h.oid FROM pg_class t"
		"  JOIN pg_namespace n ON n.oid = t.relnamespace"
		"  JOIN strata_state.model m ON m.schema_name = n.nspname AND m.relation_name = t.relname"
		"  JOIN pg_namespace s ON s.nspname = 'strata_state'"
		"  JOIN pg_class q ON q.relnamespace = s.oid AND q.relname = format('m%s_query', m.id) AND q.relowner = $2"
		"  JOIN pg_class h ON h.relowner = $2 AND h.relkind IN ('r', 'p', 'v', 'm', 'f')"
		"   AND ((h.relnamespace = s.oid AND h.relname ~ ('^m' || m.id || '_'))"
		"        OR (h.relnamespace = n.oid AND m.layer = 'staging' AND h.relname = m.relation_name || '__rejected')"
		"        OR h.oid IN (SELECT i.relid FROM pg_partition_tree(t.oid) AS i WHERE t.relkind = 'p'))"
		" WHERE t.oid = $1 ORDER BY h.oid",
		&args);
	for (uint64 i = 0; i < rows->count; i++)
		ATExecChangeOwner(strata_rows_int(rows, i, 1), new_owner, true, AccessExclusiveLock);
}

static Note *
new_note(const Node *parsetree, Oid relid)
{
	Note *note = &notes[next_note];

	strata_guard_watch_transactions();
	next_note = (next_note + 1) % MAX_NOTES;
	noted = true;
	memset(note, 0, sizeof(Note));
	note->level = GetCurrentTransactionNestLevel();
	note->relid = relid;
	note->owner = owner_of(relid);
	namestrcpy(&note->schema, get_namespace_name(get_rel_namespace(relid)));
	namestrcpy(&note->name, get_rel_name(relid));
	note->parsetree = parsetree;
	return note;
}

void
strata_guard_note_relation(const Node *parsetree, Oid relid)
{
	(void) new_note(parsetree, relid);
}

void
strata_guard_note_column(const Node *parsetree, Oid relid, AttrNumber attno, const List *models)
{
	Note *note = new_note(parsetree, relid);
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	note->attno = attno;
	note->models = list_copy(models);
	MemoryContextSwitchTo(old);
}

static bool
is_registered(const char *schema, const char *name)
{
	StrataArgs args = {0};

	strata_args_text(&args, schema);
	strata_args_text(&args, name);
	return strata_rows_bool(
		strata_base_keeper_query(
			"SELECT EXISTS (SELECT FROM strata_state.model WHERE schema_name = $1::name AND relation_name = $2::name)"
			" OR EXISTS (SELECT FROM strata_state.dependency WHERE schema_name = $1::name AND relation_name = $2::name)"
			" OR EXISTS (SELECT FROM strata_state.source WHERE schema_name = $1::name AND relation_name = $2::name)"
			" OR EXISTS (SELECT FROM strata_state.edge WHERE schema_name = $1::name AND relation_name = $2::name)",
			&args),
		0, 1);
}

/*
 * The rename has succeeded, so nothing stood under the new name: what the registry still says of that name is of a
 * relation that is no more, and gives way. A model is not given up like that.
 */
static void
make_way(const char *schema, const char *name, const char *new_schema, const char *new_name)
{
	StrataArgs args = {0};

	if (strata_registry_find(new_schema, new_name) && strata_registry_find(schema, name))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("cannot give model %s the name of model %s", strata_base_label(schema, name),
							   strata_base_label(new_schema, new_name)),
						errdetail("That model is registered, though its target was dropped."),
						errhint("SELECT strata.drop_model('%s'); first.", strata_base_label(new_schema, new_name))));
	strata_args_text(&args, schema);
	strata_args_text(&args, name);
	strata_args_text(&args, new_schema);
	strata_args_text(&args, new_name);
	strata_base_keeper_execute(
		"DELETE FROM strata_state.source WHERE schema_name = $3::name AND relation_name = $4::name"
		" AND EXISTS (SELECT FROM strata_state.source WHERE schema_name = $1::name AND relation_name = $2::name)",
		&args);
	strata_base_keeper_execute(
		"DELETE FROM strata_state.dependency d WHERE schema_name = $3::name AND relation_name = $4::name"
		" AND EXISTS (SELECT FROM strata_state.dependency o WHERE o.model_id = d.model_id"
		"             AND o.schema_name = $1::name AND o.relation_name = $2::name)",
		&args);
	strata_base_keeper_execute(
		"DELETE FROM strata_state.edge d WHERE schema_name = $3::name AND relation_name = $4::name"
		" AND EXISTS (SELECT FROM strata_state.edge o WHERE o.model_id = d.model_id"
		"             AND o.schema_name = $1::name AND o.relation_name = $2::name)",
		&args);
}

/* The dimensions of a fact are named in its options, in the user's spelling. */
static void
rename_in_options(const char *schema, const char *name, const char *new_schema, const char *new_name)
{
	StrataRows *rows;

	if (strata_registry_find(new_schema, new_name) == NULL)
		return;
	rows = strata_base_keeper_query("SELECT m.id, d.key, d.value->>'dimension' FROM strata_state.model m,"
									" LATERAL jsonb_each(CASE WHEN jsonb_typeof(m.options->'dimensions') = 'object'"
									"                         THEN m.options->'dimensions' ELSE '{}' END) AS d"
									" WHERE jsonb_typeof(d.value->'dimension') = 'string'",
									NULL);
	for (uint64 i = 0; i < rows->count; i++)
	{
		StrataName found = strata_base_parse_name(strata_rows_text(rows, i, 3), "dimension");
		StrataArgs args = {0};

		if (found.schema == NULL || strcmp(found.schema, schema) != 0 || strcmp(found.name, name) != 0)
			continue;
		strata_args_int4(&args, strata_rows_int(rows, i, 1));
		strata_args_text(&args, strata_rows_text(rows, i, 2));
		strata_args_text(&args, strata_base_label(new_schema, new_name));
		strata_base_keeper_execute(
			"UPDATE strata_state.model SET options ="
			" jsonb_set(options, ARRAY['dimensions', $2, 'dimension'], to_jsonb($3)) WHERE id = $1",
			&args);
	}
}

static void
rename_relation(const char *schema, const char *name, const char *new_schema, const char *new_name)
{
	if (!is_registered(schema, name))
		return;
	make_way(schema, name, new_schema, new_name);
	strata_registry_rename(schema, name, new_schema, new_name);
	rename_in_options(schema, name, new_schema, new_name);
}

void
strata_guard_follow_column(Oid relid, const char *old_name, const char *new_name)
{
	ListCell *lc;

	foreach (lc, find_all_inheritors(relid, NoLock, NULL))
	{
		StrataArgs args = {0};

		strata_args_text(&args, get_namespace_name(get_rel_namespace(lfirst_oid(lc))));
		strata_args_text(&args, get_rel_name(lfirst_oid(lc)));
		strata_args_text(&args, old_name);
		strata_args_text(&args, new_name);
		strata_base_keeper_execute(
			"UPDATE strata_state.edge SET source_column = $4::name"
			" WHERE schema_name = $1::name AND relation_name = $2::name AND source_column = $3::name",
			&args);
		strata_base_keeper_execute(
			"UPDATE strata_state.source SET loaded_at = $4::name"
			" WHERE schema_name = $1::name AND relation_name = $2::name AND loaded_at = $3::name",
			&args);
	}
}

void
strata_guard_follow(const Node *parsetree)
{
	for (int i = 0; i < MAX_NOTES; i++)
	{
		Note note = notes[i];
		char *schema;
		char *name;

		if (note.parsetree != parsetree)
			continue;
		memset(&notes[i], 0, sizeof(Note));
		schema = get_namespace_name(get_rel_namespace(note.relid));
		name = get_rel_name(note.relid);
		if (schema == NULL || name == NULL)
			continue;
		if (owner_of(note.relid) != note.owner)
			follow_owner(note.relid, note.owner, owner_of(note.relid));
		if (note.attno != 0)
		{
			if (strata_guard_type_hook)
				strata_guard_type_hook(note.relid, note.attno, note.models, false);
		}
		else if (IsA(parsetree, RenameStmt) && ((const RenameStmt *) parsetree)->renameType == OBJECT_COLUMN)
			strata_guard_follow_column(note.relid, ((const RenameStmt *) parsetree)->subname,
									   ((const RenameStmt *) parsetree)->newname);
		else if (strcmp(schema, NameStr(note.schema)) != 0 || strcmp(name, NameStr(note.name)) != 0)
			rename_relation(NameStr(note.schema), NameStr(note.name), schema, name);
	}
}

void
strata_guard_follow_schema(const char *old_name, const char *new_name)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_text(&args, old_name);
	rows =
		strata_base_keeper_query("SELECT relation_name FROM strata_state.model WHERE schema_name = $1::name"
								 " UNION SELECT relation_name FROM strata_state.dependency WHERE schema_name = $1::name"
								 " UNION SELECT relation_name FROM strata_state.source WHERE schema_name = $1::name"
								 " UNION SELECT relation_name FROM strata_state.edge WHERE schema_name = $1::name",
								 &args);
	for (uint64 i = 0; i < rows->count; i++)
	{
		char *name = strata_rows_text(rows, i, 1);

		rename_relation(old_name, name, new_name, name);
	}
}
