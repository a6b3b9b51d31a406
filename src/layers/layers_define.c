/*
 * layers_define.c: from the user's text to a model.
 *
 * A definition gives the target its shape at once (so that what is defined on top of it can be analyzed), and its data
 * at the next refresh. The query is analyzed as the caller, under the caller's search_path; what is kept is what
 * PostgreSQL resolved, as a view owned by the model's owner: the server itself tracks what it depends on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/catalog.h"
#include "base/version.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "fence/fence.h"
#include "guard/guard.h"
#include "layers/layers_incremental.h"
#include "layers/layers_script.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "plan/plan.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

const LayerRoutine *
layers_routine(const StrataModel *model)
{
	switch (model->layer)
	{
		case STRATA_STAGING:
			return &layers_staging;
		case STRATA_DIMENSION:
			return strcmp(model->kind, "date") == 0 ? &layers_date_dimension : &layers_dimension;
		case STRATA_FACT:
			return &layers_fact;
		case STRATA_MART:
			return &layers_mart;
	}
	return NULL;
}

/* Name, existing model, and the caller's right to it. */
static StrataModel *
open_name(const StrataDefine *define, StrataName *name)
{
	StrataModel *old;
	Oid schema;
	Oid relid;

	*name = strata_base_parse_name(define->name, "name");
	if (name->schema == NULL)
	{
		List *path = fetch_search_path(false);

		if (path == NIL)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
							errmsg("name: \"%s\" names no schema, and search_path has none", define->name),
							errhint("Write schema.name.")));
		name->schema = get_namespace_name(linitial_oid(path));
	}
	schema = get_namespace_oid(name->schema, true);
	if (strcmp(name->schema, "strata") == 0 || strcmp(name->schema, "strata_state") == 0 ||
		strcmp(name->schema, "information_schema") == 0 || strncmp(name->schema, "pg_", 3) == 0 ||
		(OidIsValid(schema) && isTempNamespace(schema)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_SCHEMA_NAME), errmsg("a model cannot stand in schema \"%s\"", name->schema),
				 errdetail("It is not for relations of users."), errhint("Use a schema of your own.")));
	if (!OidIsValid(schema))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
						errmsg("schema \"%s\" of model %s does not exist", name->schema, define->name),
						errhint("CREATE SCHEMA %s;", quote_identifier(name->schema))));
	old = strata_registry_find(name->schema, name->name);
	if (old != NULL)
	{
		strata_registry_require_owner(old, "change");
		strata_registry_require_target(old);
		return old;
	}
	relid = get_relname_relid(name->name, schema);
	if (OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_TABLE),
						errmsg("relation %s exists and is not a model", strata_base_label(name->schema, name->name)),
						errhint("Choose another name, or rename the relation first.")));
	if (!strata_rows_bool(
			strata_base_query(psprintf("SELECT pg_catalog.has_schema_privilege(s, 'CREATE')"
									   " AND pg_catalog.has_schema_privilege(s, 'USAGE') FROM (VALUES (%s)) AS v(s)",
									   strata_base_literal(name->schema)),
							  NULL),
			0, 1))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for schema \"%s\"", name->schema),
				 errdetail("Role \"%s\" may not create in it.", GetUserNameFromId(GetUserId(), false)),
				 errhint("GRANT USAGE, CREATE ON SCHEMA %s TO %s;", quote_identifier(name->schema),
						 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	return NULL;
}

bool layers_attempting = false;

static void
read_query(Definition *def, const char *what)
{
	ListCell *lc;
	StrataIdentity saved;

	/* among many attempts, the nearest names to one that may still come are not worth looking for */
	def->query = layers_attempting ? strata_lineage_parse(def->model->query, what)
								   : strata_lineage_parse_suggesting(def->model->query, what);
	def->lineage = strata_lineage_analyze(def->query);
	foreach (lc, def->query->targetList)
	{
		TargetEntry *te = lfirst(lc);
		QueryColumn *c;

		if (te->resjunk)
			continue;
		c = palloc0(sizeof(QueryColumn));
		c->name = pstrdup(te->resname);
		c->type = exprType((Node *) te->expr);
		c->typmod = exprTypmod((Node *) te->expr);
		c->collation = exprCollation((Node *) te->expr);
		def->query_columns = lappend(def->query_columns, c);
	}
	/* deparsed with only pg_catalog in the path, every other name comes out qualified */
	strata_base_enter_keeper(&saved);
	def->resolved = strata_base_query_text(def->query);
	strata_base_leave(&saved);
}

static const char *
edge_kind(StrataEdgeKind kind)
{
	switch (kind)
	{
		case STRATA_EDGE_COPY:
			return "copy";
		case STRATA_EDGE_DERIVED:
			return "derived";
		case STRATA_EDGE_AGGREGATE:
			return "aggregate";
		case STRATA_EDGE_FILTER:
			return "filter";
	}
	return "derived";
}

/* Any column of the relation readable by the caller is enough here: the executor checks the columns themselves. */
void
layers_require_readable(const StrataReference *ref, const char *label)
{
	if (pg_class_aclcheck(ref->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(ref->relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for %s, which model %s reads",
							   strata_base_label(ref->schema, ref->name), label),
						errhint("GRANT SELECT ON %s TO %s;", strata_base_label(ref->schema, ref->name),
								quote_identifier(GetUserNameFromId(GetUserId(), false)))));
}

pg_attribute_noreturn() static void refuse_self(const StrataModel *m)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_RECURSION), errmsg("model %s reads itself", m->label),
					errhint("A model is a function of other relations; to keep history use define_dimension.")));
}

static void
note_references(Definition *def)
{
	StrataModel *m = def->model;
	ListCell *lc;

	foreach (lc, def->lineage->references)
	{
		StrataReference *ref = lfirst(lc);
		StrataDependency *dep = palloc0(sizeof(StrataDependency));

		if (strcmp(ref->schema, m->schema) == 0 && strcmp(ref->name, m->name) == 0)
			refuse_self(m);
		layers_require_readable(ref, m->label);
		dep->schema = ref->schema;
		dep->name = ref->name;
		dep->via = pstrdup("query");
		def->dependencies = lappend(def->dependencies, dep);
	}
	foreach (lc, def->lineage->edges)
	{
		StrataEdge *edge = lfirst(lc);
		StrataLineageRow *row = palloc0(sizeof(StrataLineageRow));

		row->column = edge->column;
		row->schema = edge->schema;
		row->relation = edge->relation;
		row->source_column = edge->source_column;
		row->kind = pstrdup(edge_kind(edge->kind));
		def->edges = lappend(def->edges, row);
	}
}

static void
refuse_volatile(const Definition *def)
{
	if (def->lineage->volatile_functions == NIL || strcmp(def->model->refresh, "full") == 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					errmsg("the query of model %s uses a volatile function", def->model->label),
					errdetail("Its result changes with every call: %s.",
							  strata_base_join(def->lineage->volatile_functions, ", ")),
					errhint("Remove it, or say refresh => 'full' to have the model computed anew each time.")));
}

static void
refuse_cycle(Definition *def)
{
	List *cycle = strata_plan_cycle(def->model, def->dependencies);

	if (cycle != NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_RECURSION),
						errmsg("model %s would read itself through other models", def->model->label),
						errdetail("The cycle: %s.", strata_base_join(cycle, " -> ")),
						errhint("Break it by reading the sources instead in one of these models.")));
}

static char *
hash_of(const char *text)
{
	return psprintf(UINT64_FORMAT "-" UINT64_FORMAT, hash_bytes_extended((const unsigned char *) text, strlen(text), 1),
					hash_bytes_extended((const unsigned char *) text, strlen(text), 2));
}

/*
 * What makes two definitions the same, in two parts: "what decides the data:what describes it". A definition that differs in
 * the second only leaves nothing for the next refresh to do.
 */
static char *
definition_hash(const Definition *def)
{
	const StrataModel *m = def->model;
	StringInfoData data;
	StringInfoData words;

	initStringInfo(&data);
	appendStringInfo(&data, "%d|%s|%s|%s", m->layer, m->kind, def->resolved,
					 JsonbToCString(NULL, &m->options->root, VARSIZE(m->options)));
	initStringInfo(&words);
	appendStringInfo(&words, "%s|%s|%s|", m->refresh, m->description ? m->description : "",
					 strata_base_join(m->tags, ","));
	if (m->column_comments)
		appendStringInfoString(&words, JsonbToCString(NULL, &m->column_comments->root, VARSIZE(m->column_comments)));
	return psprintf("%s:%s", hash_of(data.data), hash_of(words.data));
}

static bool
same_data(const char *a, const char *b)
{
	size_t length = strcspn(a, ":");

	return length == strcspn(b, ":") && strncmp(a, b, length) == 0;
}

static void
check_column_comments(const Definition *def)
{
	ListCell *lc;
	List *known = layers_names(def->columns);

	if (def->model->column_comments == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(def->model->column_comments))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("columns of model %s must be a JSON object", def->model->label),
						errdetail("It is %s.", JsonbToCString(NULL, &def->model->column_comments->root, 100)),
						errhint("Write it as {\"column\": \"its description\"}.")));
	foreach (lc, strata_option_names(def->model->column_comments))
	{
		char *name = lfirst(lc);
		char *hint;

		if (strata_base_list_has(known, name))
		{
			JsonbValue *text = strata_option(def->model->column_comments, name);

			if (text != NULL && text->type != jbvString)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("columns: the description of \"%s\" in model %s is not a string", name,
									   def->model->label),
								errhint("Write it as {\"column\": \"its description\"}.")));
			continue;
		}
		hint = strata_base_suggestion(name, known);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("columns: model %s has no column \"%s\"", def->model->label, name),
				 errdetail("Its columns are %s.", strata_base_join(known, ", ")), hint ? errhint("%s", hint) : 0));
	}
}

void
layers_store_columns(Definition *def)
{
	List *columns = NIL;
	ListCell *lc;

	foreach (lc, def->columns)
	{
		TargetColumn *t = lfirst(lc);
		StrataColumn *c = palloc0(sizeof(StrataColumn));

		c->name = t->name;
		c->type = t->type;
		c->role = pstrdup(t->role);
		columns = lappend(columns, c);
	}
	strata_registry_set_columns(def->model->id, columns);
}

static void
store_details(Definition *def)
{
	layers_store_columns(def);
	strata_registry_set_dependencies(def->model->id, def->dependencies);
	strata_registry_set_lineage(def->model->id, def->edges);
}

/* Once, with the definition, unless it was asked for. */
static void
tell_of_full(const IncrementalModel *m)
{
	const char *why = layers_incremental_shortfall(m);
	const char *advice = why ? layers_advice(why) : NULL;

	if (why == NULL || strcmp(m->model->refresh, "full") == 0 || layers_was_asked_for(advice))
		return;
	ereport(NOTICE, (errmsg(m->refusal ? "each refresh of model %s will compute it in full"
									   : "each refresh of model %s will compute a part of it in full",
							m->model->label),
					 errdetail("%s", layers_sentence(why)), advice ? errhint("%s", layers_sentence(advice)) : 0));
}

/*
 * What keeping the model by changes stands on: whether it can be is told with the definition, and changes are followed from there,
 * so that the locks this takes on what is read are held for no first build.
 */
void
layers_prepare_incremental(StrataModel *m)
{
	StrataIdentity saved;
	IncrementalModel *incremental = NULL;
	List *key = NIL;
	const char *key_word = NULL;
	char *query;
	const char *refusal = "its layer is kept by rules of its own";
	const char *advice;

	strata_base_enter_owner(m->owner, &m->settings, &saved);
	query = layers_routine(m)->query ? layers_routine(m)->query(m, &key, &key_word) : NULL;
	if (query)
	{
		incremental = layers_incremental_open(m, query, key, key_word, INCREMENTAL_SUBSCRIBE);
		refusal = incremental->refusal;
		if (strcmp(m->refresh, "incremental") == 0)
			refusal = layers_incremental_shortfall(incremental);
	}
	if (incremental && incremental->insists)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("model %s cannot follow what it reads", m->label),
				 errdetail("%s, and that source is declared with changes => 'capture'.", layers_capitalized(refusal)),
				 errhint("Make that possible, or declare the source with changes => 'auto'.")));
	advice = refusal ? layers_advice(refusal) : NULL;
	if (refusal && strcmp(m->refresh, "incremental") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("model %s cannot be refreshed incrementally", m->label),
				 errdetail("%s", layers_sentence(refusal)),
				 errhint("%srefresh => 'auto' to have it computed in full where it must be.",
						 advice ? psprintf("%s Or say ", layers_sentence(advice)) : "Say ")));
	if (refusal)
		layers_incremental_forget(m);
	if (incremental)
		tell_of_full(incremental);
	strata_base_leave(&saved);
}

static char *
create(Definition *def)
{
	StrataModel *m = def->model;
	StrataIdentity saved;

	m->owner = GetUserId();
	m->id = strata_registry_insert(m);
	if (!strata_registry_lock(m->id, true))
		elog(ERROR, "could not lock a new model");
	m->query_view = strata_registry_state_relation(m->id, "query");
	/* a view is its own definition; the hidden one says whom the model belongs to */
	layers_create_query_view(m, strcmp(m->kind, "view") == 0 ? "SELECT" : def->resolved, m->owner);
	strata_base_enter_owner(m->owner, &m->settings, &saved);
	layers_create_target(def);
	m->relid = get_relname_relid(m->name, get_namespace_oid(m->schema, false));
	layers_comment(def);
	strata_base_leave(&saved);
	store_details(def);
	if (layers_routine(m)->created)
	{
		strata_base_enter_owner(m->owner, &m->settings, &saved);
		layers_routine(m)->created(def);
		strata_base_leave(&saved);
	}
	layers_prepare_incremental(m);
	return psprintf("created %s %s", strata_registry_layer_name(m->layer), m->label);
}

/* A model keeps its layer: what stands there was kept by other rules. */
static void
refuse_other_layer(const StrataModel *m, const StrataModel *old)
{
	if (m->layer != old->layer || strcmp(m->kind, old->kind) != 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model %s is a %s kept as a %s; it cannot become a %s kept as a %s", m->label,
							   strata_registry_layer_name(old->layer), old->kind, strata_registry_layer_name(m->layer),
							   m->kind),
						errhint("SELECT strata.drop_model('%s'); then define it again.", m->label)));
}

/* A query that names the model it defines finds no such relation yet: say what that is. */
static void
read_query_or_self(Definition *def, const char *what)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		read_query(def, what);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (edata->sqlerrcode != ERRCODE_UNDEFINED_TABLE || def->old != NULL ||
			(strcmp(edata->message,
					psprintf("relation \"%s.%s\" does not exist", def->model->schema, def->model->name)) != 0 &&
			 strcmp(edata->message, psprintf("relation \"%s\" does not exist", def->model->name)) != 0))
			PG_RE_THROW();
		FlushErrorState();
		refuse_self(def->model);
	}
	PG_END_TRY();
}

static char *
change(Definition *def)
{
	StrataModel *m = def->model;
	StrataIdentity saved;

	strata_registry_lock(m->id, true);
	m->owner = def->old->owner;
	if (strcmp(m->kind, "view") != 0)
		layers_create_query_view(m, def->resolved, m->owner);
	if (layers_routine(m)->changing)
	{
		strata_base_enter_owner(m->owner, &m->settings, &saved);
		layers_routine(m)->changing(def);
		strata_base_leave(&saved);
	}
	layers_change_target(def);
	strata_base_enter_owner(m->owner, &m->settings, &saved);
	layers_comment(def);
	if (layers_routine(m)->changed)
		layers_routine(m)->changed(def);
	strata_base_leave(&saved);
	if (def->changes == NIL)
		def->changes = list_make1("query changed");
	m->pending = strata_base_join(def->changes, "; ");
	strata_registry_update_definition(m);
	store_details(def);
	layers_prepare_incremental(m);
	return psprintf("changed %s %s: %s", strata_registry_layer_name(m->layer), m->label, m->pending);
}

/* The words about a model changed, and nothing that its data follow from. */
static char *
describe_anew(Definition *def)
{
	StrataModel *m = def->model;
	StrataIdentity saved;

	strata_registry_lock(m->id, true);
	m->owner = def->old->owner;
	strata_base_enter_owner(m->owner, &m->settings, &saved);
	layers_comment(def);
	strata_base_leave(&saved);
	strata_registry_update_words(m);
	if (strcmp(m->refresh, def->old->refresh) != 0)
		layers_prepare_incremental(m);
	return psprintf("changed %s %s: its description, nothing to refresh", strata_registry_layer_name(m->layer),
					m->label);
}

char *
strata_layers_define(const StrataDefine *define)
{
	Definition def = {0};
	StrataModel *m = palloc0(sizeof(StrataModel));
	StrataName name;
	char *result;

	strata_base_require_version();
	layers_refuse_inside_refresh("define a model");
	if (define->query == NULL || define->name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a model needs a name and a query"),
						errhint("strata.define_%s('schema.name', $$ SELECT ... $$, ...)",
								strata_registry_layer_name(define->layer))));
	def.model = m;
	def.old = open_name(define, &name);
	m->id = def.old ? def.old->id : 0;
	m->schema = name.schema;
	m->name = name.name;
	m->label = strata_base_label(name.schema, name.name);
	m->layer = define->layer;
	m->kind = pstrdup(define->kind);
	m->query = pstrdup(define->query);
	m->options = define->options;
	m->refresh = pstrdup(define->refresh);
	m->search_path = pstrdup(GetConfigOption("search_path", false, false));
	m->settings = strata_base_current_settings();
	m->description = define->description ? pstrdup(define->description) : NULL;
	m->tags = define->tags;
	m->column_comments = define->columns;
	if (def.old)
	{
		m->relid = def.old->relid;
		m->query_view = def.old->query_view;
		m->applied_version = def.old->applied_version;
	}
	if (def.old)
		refuse_other_layer(m, def.old);
	if (strcmp(m->refresh, "auto") != 0 && strcmp(m->refresh, "full") != 0 && strcmp(m->refresh, "incremental") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("refresh of model %s is \"%s\"", m->label, m->refresh),
						errhint("It is 'auto', 'incremental' or 'full'.")));

	if (strcmp(m->kind, "date") == 0)
	{
		/* a text of ours: the caller's search_path has no say in it */
		StrataIdentity saved;

		strata_base_enter_owner(GetUserId(), NULL, &saved);
		read_query(&def, psprintf("the query of model %s", m->label));
		strata_base_leave(&saved);
	}
	else
		read_query_or_self(&def, psprintf("the query of model %s", m->label));
	note_references(&def);
	refuse_volatile(&def);
	m->time_dependent = def.lineage->time_dependent != NIL;
	m->deterministic = !m->time_dependent && def.lineage->volatile_functions == NIL && !def.lineage->has_row_security &&
					   strata_fence_is_deterministic(def.query);
	layers_routine(m)->validate(&def);
	refuse_cycle(&def);
	check_column_comments(&def);
	m->hash = definition_hash(&def);
	if (def.old && strcmp(def.old->hash, m->hash) == 0)
		return psprintf("unchanged %s %s", strata_registry_layer_name(m->layer), m->label);

	strata_guard_suspend();
	if (def.old && same_data(def.old->hash, m->hash))
		result = describe_anew(&def);
	else
		result = def.old ? change(&def) : create(&def);
	strata_guard_resume();
	return result;
}
