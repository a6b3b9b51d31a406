/*
 * layers_adapt.c: what happens to models when a column they read changes its type.
 *
 * PostgreSQL refuses ALTER COLUMN TYPE on a column that a view uses, and every definition is a view. So the definitions
 * (and the staging models that are views) step aside when the command starts, and come back when it ends, resolved anew
 * over the new type. Their targets still have the old one: they are brought to it by the next refresh, in the order in
 * which models read each other. Where a view of the user's stands on the column, nothing steps aside and PostgreSQL's own
 * refusal is the answer.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "guard/guard.h"
#include "layers/layers_incremental.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Views that stepped aside for one table, to come back when its ALTER TABLE ends. */
typedef struct Aside
{
	Oid relid;
	int level; /* nesting level of the transaction */
	char *label;
	List *suspended;
} Aside;

/* in TopTransactionContext; the last that stepped aside is first */
static List *aside = NIL;

static void
forget_all(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		aside = NIL;
}

static void
forget_level(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *arg)
{
	/* what was dropped in it is there again */
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (aside != NIL && ((Aside *) linitial(aside))->level >= GetCurrentTransactionNestLevel())
			aside = list_delete_first(aside);
}

static void
step_aside(Oid relid, const char *column)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Aside *a = palloc0(sizeof(Aside));
	bool in_the_way = false;

	a->relid = relid;
	a->level = GetCurrentTransactionNestLevel();
	a->label = strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	a->suspended = layers_suspend_if_ours(relid, a->label, list_make1(pstrdup(column)), &in_the_way);
	if (!in_the_way && a->suspended != NIL)
		aside = lcons(a, aside);
	MemoryContextSwitchTo(old);
}

static void
come_back(Oid relid)
{
	while (aside != NIL)
	{
		Aside *a = linitial(aside);

		if (a->relid != relid)
			break;
		aside = list_delete_first(aside);
		layers_resume_dependents(a->suspended, a->label);
	}
}

static void
note_pending(const List *models)
{
	StrataArgs args = {0};
	List *ids = NIL;
	ListCell *lc;

	foreach (lc, models)
		ids = lappend(ids, psprintf("%d", lfirst_int(lc)));
	strata_args_texts(&args, ids);
	strata_base_keeper_execute(
		"UPDATE strata_state.model SET pending = 'column type changed'"
		" WHERE id = ANY ($1::integer[]) AND kind <> 'view' AND pending IS NULL AND applied_version > 0",
		&args);
}

/* Not from the start: most sessions have nothing to forget. */
static void
watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(forget_all, NULL);
	RegisterSubXactCallback(forget_level, NULL);
	watching = true;
}

/* See StrataGuardTypeHook. Children have the column as well: a definition may read one of them. */
static void
type_hook(Oid relid, AttrNumber attno, const List *models, bool before)
{
	char *column = get_attname(relid, attno, true);
	List *relids = find_all_inheritors(relid, NoLock, NULL);
	ListCell *lc;

	if (column == NULL)
		return;
	watch_transactions();
	strata_guard_suspend();
	if (before)
		foreach (lc, relids)
			step_aside(lfirst_oid(lc), column);
	else
	{
		for (int i = list_length(relids) - 1; i >= 0; i--)
			come_back(list_nth_oid(relids, i));
		note_pending(models);
	}
	strata_guard_resume();
}

static const struct config_enum_entry rules[] = {
	{"auto", INCREMENTAL_AUTO, false}, {"costs", INCREMENTAL_COSTS, false}, {"algebra", INCREMENTAL_ALGEBRA, false},
	{"keys", INCREMENTAL_KEYS, false}, {"full", INCREMENTAL_FULL, false},   {NULL, 0, false}};

void
strata_layers_init(void)
{
	DefineCustomBoolVariable("strata.incremental", "Whether models are kept by the changes of what they read.",
							 "Off: definitions install no capture, and refreshes compute in full.",
							 &strata_layers_incremental, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("strata.incremental_full_cost",
							 "Weight of computing in full when its cost is compared with that of the changes.",
							 "Above 1 favours the changes; 0 never compares.", &strata_layers_full_cost, 1.0, 0.0, 1e6,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"strata.incremental_rule", "Which way refreshes go, for diagnosis.",
		"A model that cannot go this way goes as it would by \"auto\"; \"costs\" is that, however few the rows.",
		&strata_layers_rule, INCREMENTAL_AUTO, rules, PGC_SUSET, 0, NULL, NULL, NULL);
	strata_guard_type_hook = type_hook;
}

/* ---- targets ---- */

static QueryColumn *
query_column(Form_pg_attribute a)
{
	QueryColumn *c = palloc0(sizeof(QueryColumn));

	c->name = pstrdup(NameStr(a->attname));
	c->type = a->atttypid;
	c->typmod = a->atttypmod;
	c->collation = a->attcollation;
	return c;
}

static bool
differs(const List *target, const QueryColumn *c)
{
	ListCell *lc;

	foreach (lc, target)
	{
		TargetColumn *t = lfirst(lc);

		if (strcmp(t->name, c->name) == 0)
			return t->type_oid != c->type || t->typmod != c->typmod || t->collation != c->collation;
	}
	return false;
}

/* The columns of the definition's view; *needed when the target has one of them with another type. */
static List *
definition_columns(const StrataModel *model, bool *needed)
{
	Oid view = get_relname_relid(psprintf("m%d_query", model->id), get_namespace_oid("strata_state", false));
	List *target = layers_target_columns(model->relid);
	List *columns = NIL;
	Relation rel;

	if (!OidIsValid(view))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the definition of model %s is missing", model->label),
						errdetail("It was kept as %s.", model->query_view), errhint("Define the model again.")));
	rel = table_open(view, AccessShareLock);
	*needed = false;
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		QueryColumn *c = query_column(TupleDescAttr(RelationGetDescr(rel), i));

		columns = lappend(columns, c);
		*needed = *needed || differs(target, c);
	}
	table_close(rel, NoLock);
	return columns;
}

bool
strata_layers_must_adapt(const StrataModel *model)
{
	bool needed = false;

	if (strcmp(model->kind, "view") != 0 && OidIsValid(model->relid))
	{
		LockRelationOid(model->relid, AccessShareLock);
		definition_columns(model, &needed);
	}
	return needed;
}

char *
layers_adapt_target(StrataModel *model)
{
	Definition def = {0};
	bool needed;

	def.query_columns = definition_columns(model, &needed);
	if (!needed)
		return NULL;
	def.model = model;
	def.old = model;
	if (model->layer == STRATA_STAGING)
	{
		/* its view may have columns for rejected rows beside its own */
		ListCell *lc;

		def.key = strata_option_texts(model->options, "key");
		foreach (lc, def.query_columns)
			if (get_attnum(model->relid, ((QueryColumn *) lfirst(lc))->name) != InvalidAttrNumber)
				def.columns = lappend(
					def.columns,
					layers_query_column(lfirst(lc), strata_base_list_has(def.key, ((QueryColumn *) lfirst(lc))->name)
														? "key"
														: "attribute"));
	}
	else
		layers_routine(model)->validate(&def);
	layers_change_target(&def);
	if (layers_routine(model)->changed)
		layers_routine(model)->changed(&def);
	layers_store_columns(&def);
	return strata_base_join(def.changes, "; ");
}
