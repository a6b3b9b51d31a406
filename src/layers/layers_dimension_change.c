/*
 * layers_dimension_change.c: what a new definition may change in a dimension that has history, and what it needs of the server.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/extension.h"
#include "layers/layers_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

int
layers_position(const List *names, const char *name)
{
	for (int i = 0; i < list_length(names); i++)
		if (strcmp(list_nth(names, i), name) == 0)
			return i;
	return -1;
}

List *
layers_without(const List *names, const List *unwanted)
{
	List *result = NIL;
	ListCell *lc;

	foreach (lc, names)
		if (!strata_base_list_has(unwanted, lfirst(lc)))
			result = lappend(result, lfirst(lc));
	return result;
}

/*
 * The no-overlap constraint compares keys for equality inside a GiST index: btree_gist, of PostgreSQL's own contrib, gives GiST
 * that for ordinary types. It is a trusted extension, created when the first dimension needs it.
 */
void
layers_dimension_need_gist(void)
{
	if (OidIsValid(get_extension_oid("btree_gist", true)))
		return;
	PG_TRY();
	{
		layers_keeper_ddl(psprintf("CREATE EXTENSION btree_gist SCHEMA %s",
								   OidIsValid(get_namespace_oid("public", true)) ? "public" : "strata"));
	}
	PG_CATCH();
	{
		MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);
		ErrorData *edata = CopyErrorData();

		FlushErrorState();
		MemoryContextSwitchTo(context);
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a dimension needs extension btree_gist, which could not be created"),
				 errdetail("%s", edata->message),
				 errhint("Install PostgreSQL's contrib modules on this server, then: CREATE EXTENSION btree_gist;")));
	}
	PG_END_TRY();
}

static void
refuse_change(const Definition *def, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s of dimension %s cannot change", what, def->model->label),
			 errdetail("Its history and its surrogate keys were made with it."),
			 errhint("Define a new dimension under another name, or strata.drop_model('%s') and lose the history.",
					 def->model->label)));
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL && b == NULL) || (a && b && strcmp(a, b) == 0);
}

static Oid
time_type(const StrataModel *model)
{
	return get_atttype(model->relid, get_attnum(model->relid, "valid_from"));
}

void
layers_dimension_check_change(Definition *def)
{
	Jsonb *now = def->model->options;
	Jsonb *before = def->old->options;
	static const char *const texts[] = {"effective_from", "operation", "sequence"};
	DimensionSpec *old = layers_dimension_spec(def->old);
	ListCell *lc;

	if (!layers_same_names(strata_option_texts(now, "key"), old->key))
		refuse_change(def, "the key");
	for (int i = 0; i < (int) lengthof(texts); i++)
		if (!same_text(strata_option_text(now, texts[i]), strata_option_text(before, texts[i])))
			refuse_change(def, texts[i]);
	if (strcmp(((TargetColumn *) linitial(def->columns))->name, old->surrogate) != 0)
		refuse_change(def, "the surrogate key's name");
	foreach (lc, def->columns)
	{
		TargetColumn *c = lfirst(lc);

		if (strcmp(c->name, "valid_from") == 0 && c->type_oid != time_type(def->model))
			refuse_change(def, psprintf("the type of valid_from (%s)", format_type_be(time_type(def->model))));
	}
}

static TargetColumn *
column_of(const List *columns, const char *name)
{
	ListCell *lc;

	foreach (lc, columns)
		if (strcmp(((TargetColumn *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}

/* "ALTER COLUMN ... TYPE ..." when the column, as it is, has another type or collation; else NULL. */
static char *
retype(const TargetColumn *is, const TargetColumn *wanted)
{
	const char *name = quote_identifier(wanted->name);

	if (is->type_oid == wanted->type_oid && is->typmod == wanted->typmod && is->collation == wanted->collation)
		return NULL;
	return psprintf("ALTER COLUMN %s TYPE %s USING %s::text::%s", name, layers_column_ddl(wanted) + strlen(name) + 1,
					name, wanted->type);
}

static bool
key_retyped(const Definition *def, const DimensionSpec *old, const List *present)
{
	ListCell *lc;

	foreach (lc, old->key)
		if (retype(column_of(present, lfirst(lc)), column_of(def->columns, lfirst(lc))) != NULL)
			return true;
	return false;
}

static char *
exclusion_name(const StrataModel *model)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_int8(&args, model->relid);
	rows =
		strata_base_query("SELECT conname FROM pg_constraint WHERE conrelid = $1::oid AND contype = 'x'"
						  " AND pg_get_constraintdef(oid) LIKE '%range(valid_from, valid_to, ''[)''::text) WITH &&)'",
						  &args);
	return rows->count > 0 ? strata_rows_text(rows, 0, 1) : NULL;
}

/* While the present columns are there: what cannot be told, or would be in the way, once they have changed. */
void
layers_dimension_changing(Definition *def)
{
	DimensionSpec *old = layers_dimension_spec(def->old);
	List *present = layers_target_columns(def->model->relid);
	char *deletes = strata_option_text(def->model->options, "deletes");
	const char *label = def->model->label;

	if (key_retyped(def, old, present) && exclusion_name(def->model))
		strata_base_execute(
			psprintf("ALTER TABLE %s DROP CONSTRAINT %s", label, strata_base_quote(exclusion_name(def->model))), NULL);
	if (column_of(present, "is_deleted") == NULL || (deletes && strcmp(deletes, "mark") == 0))
		return;
	/* versions that only said "deleted" would pass for living ones; where keys are kept, the version before goes on */
	if (deletes == NULL || strcmp(deletes, "ignore") == 0)
		strata_base_execute(
			psprintf(
				"WITH gone AS (DELETE FROM %s WHERE is_deleted AND is_current RETURNING *)"
				" UPDATE %s AS t SET valid_to = NULL, is_current = true FROM gone AS d WHERE %s AND t.valid_to = d.valid_from",
				label, label, layers_equal(def->model->relid, old->key, "t", "d")),
			NULL);
	strata_base_execute(psprintf("DELETE FROM %s WHERE is_deleted", label), NULL);
}

/* The key map has the natural key's columns, and the constraint stands on them: they follow. */
void
layers_dimension_change_keys(Definition *def, const DimensionSpec *old)
{
	Oid keys = get_relname_relid(psprintf("m%d_keys", def->model->id), get_namespace_oid("strata_state", false));
	List *present = layers_target_columns(keys);
	List *actions = NIL;
	ListCell *lc;

	foreach (lc, old->key)
	{
		char *action = retype(column_of(present, lfirst(lc)), column_of(def->columns, lfirst(lc)));

		if (action)
			actions = lappend(actions, action);
	}
	if (actions != NIL)
		strata_base_execute(psprintf("ALTER TABLE %s %s", old->keys, strata_base_join(actions, ", ")), NULL);
	if (exclusion_name(def->model) == NULL)
		strata_base_execute(psprintf("ALTER TABLE %s ADD %s", def->model->label,
									 layers_dimension_exclusion(def, old->key, time_type(def->model))),
							NULL);
}

/* The log of observations has the dimension's columns: it follows them. */
void
layers_dimension_change_log(Definition *def, const DimensionSpec *old)
{
	Oid log = get_relname_relid(psprintf("m%d_log", def->model->id), get_namespace_oid("strata_state", false));
	List *actions = NIL;
	List *now = layers_target_columns(log);
	List *wanted = NIL;
	ListCell *lc;

	foreach (lc, def->columns)
	{
		TargetColumn *c = lfirst(lc);
		TargetColumn *present = column_of(now, c->name);

		if (strcmp(c->role, "surrogate key") == 0 || strcmp(c->role, "valid time") == 0)
			continue;
		wanted = lappend(wanted, c->name);
		if (present == NULL)
			actions = lappend(actions, psprintf("ADD COLUMN %s", layers_column_ddl(c)));
		else if (retype(present, c))
			actions = lappend(actions, retype(present, c));
	}
	if (old->sequence)
	{
		TargetColumn *c = layers_query_column(layers_find_column(def->query_columns, old->sequence), "");

		c->name = pstrdup("strata_sequence");
		if (retype(column_of(now, c->name), c))
			actions = lappend(actions, retype(column_of(now, c->name), c));
	}
	foreach (lc, now)
	{
		TargetColumn *c = lfirst(lc);

		if (strncmp(c->name, "strata_", 7) != 0 && !strata_base_list_has(wanted, c->name))
			actions = lappend(actions, psprintf("DROP COLUMN %s", quote_identifier(c->name)));
	}
	if (actions != NIL)
		strata_base_execute(psprintf("ALTER TABLE %s %s", old->log, strata_base_join(actions, ", ")), NULL);
}
