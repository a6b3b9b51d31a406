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

void
layers_dimension_check_change(Definition *def)
{
	Jsonb *now = def->model->options;
	Jsonb *before = def->old->options;
	static const char *const texts[] = {"effective_from", "operation", "sequence"};
	DimensionSpec *old = layers_dimension_spec(def->old);

	if (!layers_same_names(strata_option_texts(now, "key"), old->key))
		refuse_change(def, "the key");
	for (int i = 0; i < (int) lengthof(texts); i++)
		if (!same_text(strata_option_text(now, texts[i]), strata_option_text(before, texts[i])))
			refuse_change(def, texts[i]);
	if (strcmp(((TargetColumn *) linitial(def->columns))->name, old->surrogate) != 0)
		refuse_change(def, "the surrogate key's name");
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
		ListCell *lc2;
		TargetColumn *present = NULL;

		if (strcmp(c->role, "surrogate key") == 0 || strcmp(c->role, "valid time") == 0)
			continue;
		wanted = lappend(wanted, c->name);
		foreach (lc2, now)
			if (strcmp(((TargetColumn *) lfirst(lc2))->name, c->name) == 0)
				present = lfirst(lc2);
		if (present == NULL)
			actions = lappend(actions, psprintf("ADD COLUMN %s", layers_column_ddl(c)));
		else if (present->type_oid != c->type_oid || present->typmod != c->typmod)
			actions = lappend(actions, psprintf("ALTER COLUMN %s TYPE %s USING %s::text::%s", quote_identifier(c->name),
												c->type, quote_identifier(c->name), c->type));
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
