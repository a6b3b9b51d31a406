/*
 * layers_table.c: what staging tables, facts and marts share: rows kept equal to a query, and foreign keys for BI tools.
 *
 * Foreign keys are metadata here: the keys hold because the refresh that writes them looks them up, in the run that
 * keeps both sides. Enforcing them row by row would only forbid the order in which a run works (a version of a dimension may go before its
 * facts are re-keyed). PostgreSQL 18 says that as NOT ENFORCED; before, the constraint is NOT VALID with its triggers off.
 *
 * A foreign key binds the table it points at (its owner can no longer truncate or drop it alone), so the model's owner must
 * have REFERENCES on it. The constraint is made as that owner; the keeper only switches system triggers off, by OID.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "base/compat.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "guard/guard.h"
#include "layers/layers_incremental.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

char *
layers_list(const List *names, const char *prefix, const char *separator)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, names)
		appendStringInfo(&buf, "%s%s%s%s", foreach_current_index(lc) > 0 ? separator : "", prefix, prefix[0] ? "." : "",
						 quote_identifier(lfirst(lc)));
	return buf.data;
}

char *
layers_equal(Oid relid, const List *names, const char *a, const char *b)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, names)
	{
		AttrNumber column = get_attnum(relid, lfirst(lc));

		appendStringInfo(&buf, "%s%s.%s %s %s.%s", foreach_current_index(lc) > 0 ? " AND " : "", a,
						 quote_identifier(lfirst(lc)),
						 column == InvalidAttrNumber ? "=" : strata_base_equality(get_atttype(relid, column)), b,
						 quote_identifier(lfirst(lc)));
	}
	return buf.data;
}

bool
layers_same_names(const List *a, const List *b)
{
	if (list_length(a) != list_length(b))
		return false;
	for (int i = 0; i < list_length(a); i++)
		if (strcmp(list_nth(a, i), list_nth(b, i)) != 0)
			return false;
	return true;
}

/* The rows are there: now the key must hold. */
static void
set_new_key(const StrataModel *model, List *key, List *primary_key, const char *key_word, const StrataRefresh *refresh)
{
	StrataDeltaTarget t = {0};

	if (key == NIL)
		return;
	t.relid = model->relid;
	t.label = model->label;
	t.columns = layers_names(layers_target_columns(model->relid));
	t.key = key;
	t.key_word = key_word;
	strata_delta_check_key(&t, refresh->snapshot);
	if (primary_key != NIL)
		layers_set_primary_key(model, primary_key);
}

bool
layers_refresh_by_changes(StrataModel *model, IncrementalModel *m, const StrataRefresh *refresh,
						  StrataRefreshResult *result)
{
	const char *why = layers_incremental_lacks(m);

	if (refresh->full_rebuild || refresh->whole)
		why = "asked for";
	else if (why == NULL || m->refusal)
		why = m->refusal                                              ? m->refusal
			  : strata_guard_was_edited(model->id, refresh->snapshot) ? "others wrote into its target"
																	  : NULL;
	if (why)
	{
		result->why = pstrdup(why);
		return false;
	}
	if (!layers_incremental_refresh(m, refresh, result))
		return false;
	result->row_count = model->row_count < 0 ? -1 : model->row_count + result->counts.inserted - result->counts.deleted;
	return true;
}

/* Of a model whose changes were not looked at. */
char *
layers_why_full(const IncrementalModel *m, const StrataRefresh *refresh)
{
	bool first = m->model->applied_version == 0 && !refresh->full_rebuild && !refresh->whole;

	return pstrdup(m->refusal ? m->refusal : first ? "its first build" : "asked for");
}

void
layers_refresh_plain(StrataModel *model, const char *query, List *key, List *primary_key, const char *key_word,
					 const LayersHooks *hooks, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	IncrementalModel *m = NULL;
	List *rowsets = NIL;

	/* a first build has nothing to follow */
	if (model->applied_version > 0 && layers_same_names(layers_primary_key(model->relid), primary_key))
	{
		m = layers_incremental_open(model, query, key, key_word, INCREMENTAL_LOOK);
		m->hooks = hooks;
		if (layers_refresh_by_changes(model, m, refresh, result))
			return;
	}
	if (hooks && hooks->complete)
		hooks->complete(model, NULL, refresh, result);
	m = layers_incremental_open(model, query, key, key_word, INCREMENTAL_MAKE);
	if (result->why == NULL)
		result->why = layers_why_full(m, refresh);
	if (!m->refusal)
		query = layers_incremental_build(m, refresh);
	if (hooks && hooks->before_write)
	{
		rowsets = list_make1(strata_base_run_rowset("strata_rows", query, NULL, refresh->snapshot, NIL));
		m->tables = list_concat_unique_oid(m->tables, hooks->before_write(model, linitial(rowsets), refresh));
		query = "SELECT * FROM strata_rows";
	}
	layers_refresh_query(model, query, rowsets, key, primary_key, key_word, refresh, result);
	if (rowsets != NIL)
		strata_rowset_free(linitial(rowsets));
	layers_tables_analyze(model, &result->counts);
	if (m->refusal)
		layers_incremental_not_built(m, refresh);
	else
		layers_incremental_built(m, refresh);
}

void
layers_refresh_query(StrataModel *model, const char *query, List *rowsets, List *key, List *primary_key,
					 const char *key_word, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	StrataDeltaTarget t = {0};
	List *old_key = layers_primary_key(model->relid);
	bool new_key = !layers_same_names(old_key, primary_key);

	t.relid = model->relid;
	t.label = model->label;
	t.columns = layers_names(layers_target_columns(model->relid));
	t.key = key;
	t.key_word = key_word;
	t.rebuild = refresh->full_rebuild;
	if (new_key)
	{
		/* the rows that are there were unique under another key: compare them as a multiset, once */
		layers_set_primary_key(model, NIL);
		layers_allow_nulls(model, layers_without(old_key, primary_key));
		t.key = NIL;
	}
	strata_delta_apply(&t, query, NULL, refresh->snapshot, rowsets, &result->counts);
	if (new_key)
		set_new_key(model, key, primary_key, key_word, refresh);
	result->row_count = result->counts.rows_in;
	if (refresh->full_rebuild && !result->counts.swapped)
		result->message = pstrdup(
			"its storage was not replaced (the table was in use, or has triggers or partitions): differences applied");
}

void
layers_refresh_table(StrataModel *model, List *key, const char *key_word, const StrataRefresh *refresh,
					 StrataRefreshResult *result)
{
	layers_refresh_plain(model, layers_table_query(model), key, key, key_word, NULL, refresh, result);
}

char *
layers_table_query(const StrataModel *model)
{
	List *columns = layers_names(layers_target_columns(model->relid));

	return psprintf("SELECT %s FROM %s AS q", layers_list(columns, "q", ", "), model->query_view);
}

void
layers_verify_table(StrataModel *model, const List *key, const char *condition, VerifyWork *work)
{
	char *columns = layers_list(layers_names(layers_target_columns(model->relid)), "q", ", ");
	VerifyPart part = {0};

	part.wanted = psprintf("SELECT %s FROM %s AS q%s%s", columns, model->query_view, condition ? " WHERE " : "",
						   condition ? condition : "");
	part.present = psprintf("SELECT %s FROM %s AS q", columns, model->label);
	part.key = key;
	layers_verify_part(work, &part);
}

/* ---- foreign keys ---- */

typedef struct Reference
{
	char *column;
	StrataModel *target;
	char *target_column;
} Reference;

static List *
mart_references(const StrataModel *model)
{
	Jsonb *keys = strata_option_object(model->options, "foreign_keys");
	List *references = NIL;
	ListCell *lc;

	foreach (lc, strata_option_names(keys))
	{
		Reference *r = palloc0(sizeof(Reference));
		char *name = strata_option_text(keys, lfirst(lc));
		List *key;

		r->column = lfirst(lc);
		if (name == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("foreign_keys of %s: \"%s\" must name a model", model->label, r->column),
							errhint("Write {\"column\": \"schema.model\"}.")));
		r->target = strata_registry_get(name, psprintf("foreign_keys of %s", model->label));
		key = layers_primary_key(r->target->relid);
		if (list_length(key) != 1)
			ereport(ERROR, (errcode(ERRCODE_INVALID_FOREIGN_KEY),
							errmsg("foreign_keys of %s: %s has no key of one column", model->label, r->target->label),
							errhint("Refer to a dimension, or to a model whose key is one column.")));
		r->target_column = linitial(key);
		references = lappend(references, r);
	}
	return references;
}

void
layers_check_foreign_keys(Definition *def)
{
	ListCell *lc;

	layers_require_columns(def, strata_option_names(strata_option_object(def->model->options, "foreign_keys")),
						   "foreign_keys");
	foreach (lc, mart_references(def->model))
	{
		Reference *r = lfirst(lc);
		QueryColumn *c = layers_find_column(def->query_columns, r->column);
		Oid type = get_atttype(r->target->relid, get_attnum(r->target->relid, r->target_column));

		if (c->type != type)
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("foreign_keys of %s: column \"%s\" is %s, the key of %s is %s", def->model->label,
								   r->column, format_type_be(c->type), r->target->label, format_type_be(type)),
							errhint("Cast the column in the query.")));
	}
}

static void
drop_old(const StrataModel *model)
{
	StrataArgs args = {0};
	StrataRows *rows;
	StrataIdentity saved;

	strata_args_int8(&args, model->relid);
	rows = strata_base_keeper_query("SELECT conname FROM pg_constraint WHERE conrelid = $1::oid AND contype = 'f'"
									" AND conname ~ '_strata_fkey[0-9]*$' AND conparentid = 0",
									&args);
	if (rows->count == 0)
		return;
	strata_base_enter_owner(model->owner, NULL, &saved);
	for (uint64 i = 0; i < rows->count; i++)
		strata_base_execute(psprintf("ALTER TABLE %s DROP CONSTRAINT %s", model->label,
									 strata_base_quote(strata_rows_text(rows, i, 1))),
							NULL);
	strata_base_leave(&saved);
}

/* ALTER TABLE ... DISABLE TRIGGER of a system trigger, by OID: names could have changed hands. */
static void
disable_trigger(Oid relid, char *trigger)
{
	AlterTableStmt *stmt = makeNode(AlterTableStmt);
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	StrataIdentity saved;

	cmd->subtype = AT_DisableTrig;
	cmd->name = trigger;
	stmt->cmds = list_make1(cmd);
	stmt->objtype = OBJECT_TABLE;
	strata_base_enter_keeper(&saved);
	EventTriggerAlterTableStart((Node *) stmt);
	AlterTableInternal(relid, stmt->cmds, false);
	EventTriggerAlterTableEnd();
	strata_base_leave(&saved);
	CommandCounterIncrement();
}

/*
 * Has it foreign keys, or do others refer to it, whose triggers are on? Of what is written here those of this table alone are fired; those of a partitioned table
 * may be its partitions'.
 */
static bool
may_fire_references(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool found = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;

	for (int i = 0; rel->trigdesc && !found && i < rel->trigdesc->numtriggers; i++)
		found = RI_FKey_trigger_type(rel->trigdesc->triggers[i].tgfoid) != RI_TRIGGER_NONE &&
				rel->trigdesc->triggers[i].tgenabled != TRIGGER_DISABLED;
	table_close(rel, NoLock);
	return found;
}

/*
 * PostgreSQL before 18 has no NOT ENFORCED: the constraint's triggers are off, on both sides. A dump does not tell that they are,
 * so every refresh looks again.
 */
void
layers_silence_references(Oid relid)
{
	StrataArgs args = {0};
	StrataRows *rows;

	if (!may_fire_references(relid))
		return;
	strata_args_int8(&args, relid);
	rows = strata_base_keeper_query(
		"WITH RECURSIVE f (oid) AS ("
		"  SELECT k.oid FROM pg_constraint k WHERE k.contype = 'f' AND (k.conrelid = $1::oid OR k.confrelid = $1::oid)"
		"     AND k.conname ~ '_strata_fkey[0-9]*$' AND k.conparentid = 0"
		"     AND EXISTS (SELECT FROM strata_state.model m JOIN pg_namespace n ON n.nspname = m.schema_name"
		"                 WHERE n.oid = k.connamespace AND m.relation_name = (SELECT relname FROM pg_class WHERE oid = k.conrelid))"
		"  UNION ALL SELECT k.oid FROM pg_constraint k JOIN f ON k.conparentid = f.oid)"
		/* those of the partitioned table too: pg_dump writes a partition's trigger when it differs, by a name that no restore finds */
		" SELECT t.tgrelid::bigint, t.tgname FROM f JOIN pg_trigger t ON t.tgconstraint = f.oid"
		"  WHERE t.tgisinternal AND t.tgenabled <> 'D' ORDER BY 1, 2",
		&args);
	for (uint64 i = 0; i < rows->count; i++)
		disable_trigger(strata_rows_int(rows, i, 1), strata_rows_text(rows, i, 2));
}

/* The same of one that was just made, between tables without partitions: a look at all of them for each would add up. */
static void
silence_reference(Oid relid, const char *name)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_int8(&args, get_relation_constraint_oid(relid, name, false));
	rows = strata_base_keeper_query("SELECT tgrelid::bigint, tgname FROM pg_trigger WHERE tgconstraint = $1::oid"
									" AND tgisinternal AND tgenabled <> 'D' ORDER BY 1, 2",
									&args);
	for (uint64 i = 0; i < rows->count; i++)
		disable_trigger(strata_rows_int(rows, i, 1), strata_rows_text(rows, i, 2));
}

bool
layers_may_refer(const StrataModel *model, const StrataModel *target, const char *target_column)
{
	return pg_class_aclcheck(target->relid, model->owner, ACL_REFERENCES) == ACLCHECK_OK ||
		   pg_attribute_aclcheck(target->relid, get_attnum(target->relid, target_column), model->owner,
								 ACL_REFERENCES) == ACLCHECK_OK;
}

/* As the owner, who has the right: layers_may_refer. */
void
layers_add_reference(const StrataModel *model, const char *column, const StrataModel *target, const char *target_column)
{
	/* one of its kind in the schema: tools join information_schema by the constraint's name */
	char *name = ChooseConstraintName(model->name, column, "strata_fkey", get_namespace_oid(model->schema, false), NIL);
	bool partitioned = get_rel_relkind(model->relid) == RELKIND_PARTITIONED_TABLE;

	strata_base_execute(psprintf("ALTER TABLE %s ADD CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)%s", model->label,
								 strata_base_quote(name), strata_base_quote(column), target->label,
								 strata_base_quote(target_column), partitioned ? "" : STRATA_FOREIGN_KEY_UNCHECKED),
						NULL);
	if (partitioned || (!STRATA_HAS_NOT_ENFORCED && get_rel_relkind(target->relid) == RELKIND_PARTITIONED_TABLE))
		layers_silence_references(model->relid);
	else if (!STRATA_HAS_NOT_ENFORCED)
		silence_reference(model->relid, name);
}

void
layers_drop_references(const StrataModel *model)
{
	drop_old(model);
}

void
layers_apply_foreign_keys(const StrataModel *model)
{
	ListCell *lc;

	drop_old(model);
	foreach (lc, mart_references(model))
	{
		Reference *r = lfirst(lc);

		if (!layers_may_refer(model, r->target, r->target_column))
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("foreign_keys of %s: role \"%s\" may not refer to %s", model->label,
								   GetUserNameFromId(model->owner, true), r->target->label),
							errdetail("A foreign key keeps the owner of that table from truncating or dropping it."),
							errhint("Leave the foreign key out, or have it granted: GRANT REFERENCES ON %s TO %s;",
									r->target->label, quote_identifier(GetUserNameFromId(model->owner, false)))));
		layers_add_reference(model, r->column, r->target, r->target_column);
	}
}
