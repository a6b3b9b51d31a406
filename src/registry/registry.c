/*
 * registry.c: models in and out of strata_state. All statements are constant SQL run as the keeper.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "registry/registry_internal.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static const char *const layer_names[] = {"staging", "dimension", "fact", "mart"};

const char *
strata_registry_layer_name(StrataLayer layer)
{
	return layer_names[layer];
}

static StrataLayer
layer_of(const char *name)
{
	for (int i = 0; i < (int) lengthof(layer_names); i++)
		if (strcmp(layer_names[i], name) == 0)
			return (StrataLayer) i;
	elog(ERROR, "unknown layer \"%s\" in the registry", name);
	return STRATA_STAGING;
}

char *
strata_registry_state_relation(int model_id, const char *suffix)
{
	return psprintf("strata_state.%s", quote_identifier(psprintf("m%d_%s", model_id, suffix)));
}

/* as model_from_row() takes them */
#define MODEL_COLUMNS                                                                                                      \
	"m.id, m.schema_name, m.relation_name, m.layer, m.kind, m.query, m.options, m.refresh, m.hash, m.search_path,"         \
	" m.time_zone, m.date_style, m.interval_style, m.description, m.tags, m.column_comments, m.time_dependent, m.version," \
	" m.applied_version, m.pending, m.refreshed_at, m.changed_at, m.row_count, m.deterministic, m.defined_by"
#define MODEL_COLUMN_NAMES                                                                                       \
	"id", "schema_name", "relation_name", "layer", "kind", "query", "options", "refresh", "hash", "search_path", \
		"time_zone", "date_style", "interval_style", "description", "tags", "column_comments", "time_dependent", \
		"version", "applied_version", "pending", "refreshed_at", "changed_at", "row_count", "deterministic",     \
		"defined_by"

static Oid
named(const char *schema, const char *name)
{
	Oid namespace_oid = get_namespace_oid(schema, true);

	return OidIsValid(namespace_oid) ? get_relname_relid(name, namespace_oid) : InvalidOid;
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple tuple = OidIsValid(relid) ? SearchSysCache1(RELOID, ObjectIdGetDatum(relid)) : NULL;
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * The registry knows relations by name, and a name can come to stand for a relation of someone else: dropped and made
 * anew, or moved there with its schema. Whom the model belongs to is therefore said by its hidden view, which nobody
 * can replace; a relation of another owner under the target's name is a stranger, and the model's text never runs with
 * the rights of that owner.
 */
static StrataModel *
model_from_row(const StrataRows *rows, uint64 i)
{
	StrataModel *m = palloc0(sizeof(StrataModel));
	bool isnull;

	m->id = strata_rows_int(rows, i, 1);
	m->schema = strata_rows_text(rows, i, 2);
	m->name = strata_rows_text(rows, i, 3);
	m->label = strata_base_label(m->schema, m->name);
	m->layer = layer_of(strata_rows_text(rows, i, 4));
	m->kind = strata_rows_text(rows, i, 5);
	m->query = strata_rows_text(rows, i, 6);
	m->options = strata_rows_jsonb(rows, i, 7);
	m->refresh = strata_rows_text(rows, i, 8);
	m->hash = strata_rows_text(rows, i, 9);
	m->search_path = strata_rows_text(rows, i, 10);
	m->settings.time_zone = strata_rows_text(rows, i, 11);
	m->settings.date_style = strata_rows_text(rows, i, 12);
	m->settings.interval_style = strata_rows_text(rows, i, 13);
	m->description = strata_rows_text(rows, i, 14);
	m->tags = strata_rows_texts(rows, i, 15);
	m->column_comments = strata_rows_jsonb(rows, i, 16);
	m->time_dependent = strata_rows_bool(rows, i, 17);
	m->version = strata_rows_int(rows, i, 18);
	m->applied_version = strata_rows_int(rows, i, 19);
	m->pending = strata_rows_text(rows, i, 20);
	m->refreshed_at = strata_rows_time(rows, i, 21);
	m->changed_at = strata_rows_time(rows, i, 22);
	strata_rows_datum(rows, i, 23, &isnull);
	m->row_count = isnull ? -1 : strata_rows_int(rows, i, 23);
	m->deterministic = strata_rows_bool(rows, i, 24);
	m->query_view = strata_registry_state_relation(m->id, "query");

	m->owner = relation_owner(named("strata_state", psprintf("m%d_query", m->id)));
	/* a superuser may have taken the hidden view away (see guard): then it is whose definition it is */
	if (!OidIsValid(m->owner))
		m->owner = get_role_oid(strata_rows_text(rows, i, 25), true);
	m->relid = named(m->schema, m->name);
	if (relation_owner(m->relid) != m->owner)
	{
		m->stranger = m->relid;
		m->relid = InvalidOid;
	}
	return m;
}

/* condition: constant SQL over m, or NULL */
static List *
load(const char *condition, const StrataArgs *args)
{
	StrataRows *rows =
		strata_base_keeper_query(psprintf("SELECT " MODEL_COLUMNS " FROM strata_state.model m %s%s ORDER BY m.id",
										  condition ? "WHERE " : "", condition ? condition : ""),
								 args);
	StrataRows *deps = strata_base_keeper_query(
		psprintf(
			"SELECT d.model_id, d.schema_name, d.relation_name, d.via, u.id"
			" FROM strata_state.dependency d"
			" JOIN strata_state.model m ON m.id = d.model_id"
			" LEFT JOIN strata_state.model u ON u.schema_name = d.schema_name AND u.relation_name = d.relation_name"
			" %s%s ORDER BY d.model_id, d.schema_name, d.relation_name",
			condition ? "WHERE " : "", condition ? condition : ""),
		args);
	List *models = NIL;
	uint64 d = 0;

	for (uint64 i = 0; i < rows->count; i++)
	{
		StrataModel *m = model_from_row(rows, i);

		for (; d < deps->count && strata_rows_int(deps, d, 1) == m->id; d++)
		{
			StrataDependency *dep = palloc0(sizeof(StrataDependency));

			dep->schema = strata_rows_text(deps, d, 2);
			dep->name = strata_rows_text(deps, d, 3);
			dep->via = strata_rows_text(deps, d, 4);
			dep->model_id = strata_rows_int(deps, d, 5);
			m->dependencies = lappend(m->dependencies, dep);
		}
		models = lappend(models, m);
	}
	return models;
}

NamedModel *
registry_find_named(HTAB *models, const char *schema, const char *name, HASHACTION action)
{
	NameData key[2];

	memset(key, 0, sizeof(key));
	namestrcpy(&key[0], schema);
	namestrcpy(&key[1], name);
	return hash_search(models, key, action, NULL);
}

/* All of them, as every run has them: what load() gives, without its statements. */
List *
registry_models(HTAB **by_name)
{
	static const char *const columns[] = {MODEL_COLUMN_NAMES};
	static const char *const dependency_columns[] = {"model_id", "schema_name", "relation_name", "via"};
	StrataRows *rows = strata_table_read("model", columns, lengthof(columns), "model_pkey", NULL, 0);
	StrataRows *deps =
		strata_table_read("dependency", dependency_columns, lengthof(dependency_columns), "dependency_pkey", NULL, 0);
	HASHCTL control = {.keysize = 2 * sizeof(NameData), .entrysize = sizeof(NamedModel), .hcxt = CurrentMemoryContext};
	HTAB *named_models =
		hash_create("pg_strata models", Max(16, rows->count), &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	List *models = NIL;
	uint64 d = 0;
	ListCell *lc;

	for (uint64 i = 0; i < rows->count; i++)
	{
		StrataModel *m = model_from_row(rows, i);

		registry_find_named(named_models, m->schema, m->name, HASH_ENTER)->model = m;
		models = lappend(models, m);
	}
	foreach (lc, models)
	{
		StrataModel *m = lfirst(lc);

		while (d < deps->count && strata_rows_int(deps, d, 1) < m->id)
			d++;
		for (; d < deps->count && strata_rows_int(deps, d, 1) == m->id; d++)
		{
			StrataDependency *dep = palloc0(sizeof(StrataDependency));
			NamedModel *upstream;

			dep->schema = strata_rows_text(deps, d, 2);
			dep->name = strata_rows_text(deps, d, 3);
			dep->via = strata_rows_text(deps, d, 4);
			upstream = registry_find_named(named_models, dep->schema, dep->name, HASH_FIND);
			dep->model_id = upstream ? upstream->model->id : 0;
			m->dependencies = lappend(m->dependencies, dep);
		}
	}
	*by_name = named_models;
	return models;
}

List *
strata_registry_models(void)
{
	HTAB *by_name;
	List *models = registry_models(&by_name);

	registry_see_through(models, by_name);
	hash_destroy(by_name);
	return models;
}

StrataModel *
strata_registry_model_by_id(int id)
{
	StrataArgs args = {0};
	List *found;

	strata_args_int4(&args, id);
	found = load("m.id = $1", &args);
	return found == NIL ? NULL : linitial(found);
}

StrataModel *
strata_registry_find(const char *schema, const char *name)
{
	StrataArgs args = {0};
	List *found;

	strata_args_text(&args, schema);
	strata_args_text(&args, name);
	found = load("m.schema_name = $1::name AND m.relation_name = $2::name", &args);
	return found == NIL ? NULL : linitial(found);
}

static List *
visible_names(void)
{
	StrataRows *rows = strata_base_query("SELECT model FROM strata.models", NULL);
	List *names = NIL;

	for (uint64 i = 0; i < rows->count; i++)
		names = lappend(names, strata_rows_text(rows, i, 1));
	return names;
}

StrataModel *
strata_registry_get(const char *text, const char *argument)
{
	StrataName name = strata_base_parse_name(text, argument);
	StrataArgs args = {0};
	List *found;
	char *hint;

	strata_args_text(&args, name.schema);
	strata_args_text(&args, name.name);
	found = load("($1 IS NULL OR m.schema_name = $1::name) AND m.relation_name = $2::name", &args);
	if (list_length(found) == 1)
		return linitial(found);
	if (found != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_ALIAS), errmsg("%s: more than one model is named \"%s\"", argument, text),
				 errdetail("They are %s and %s.", ((StrataModel *) linitial(found))->label,
						   ((StrataModel *) lsecond(found))->label),
				 errhint("Write the schema too.")));
	hint = strata_base_suggestion(name.schema ? strata_base_label(name.schema, name.name) : name.name, visible_names());
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("%s: there is no model \"%s\"", argument, text),
					hint ? errhint("%s", hint) : errhint("SELECT model FROM strata.models; lists those there are.")));
	return NULL;
}

void
strata_registry_require_target(const StrataModel *model)
{
	if (OidIsValid(model->relid))
		return;
	if (!OidIsValid(model->stranger))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the target of model %s does not exist", model->label),
						errhint("Drop the model with strata.drop_model('%s') and define it again.", model->label)));
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("%s is not the target of the model of that name", model->label),
					OidIsValid(model->owner)
						? errdetail("The relation belongs to role \"%s\", the model to role \"%s\".",
									GetUserNameFromId(relation_owner(model->stranger), true),
									GetUserNameFromId(model->owner, true))
						: errdetail("The relation belongs to role \"%s\"; the model's hidden view is gone.",
									GetUserNameFromId(relation_owner(model->stranger), true)),
					errhint("Give the relation to the model's owner, or ask a superuser to drop the model with"
							" strata.drop_model('%s'), which leaves the relation alone.",
							model->label)));
}

bool
strata_registry_stands(const StrataModel *model)
{
	return OidIsValid(model->relid) && named(model->schema, model->name) == model->relid &&
		   relation_owner(model->relid) == model->owner &&
		   relation_owner(named("strata_state", psprintf("m%d_query", model->id))) == model->owner;
}

void
strata_registry_require_owner(const StrataModel *model, const char *verb)
{
	if (!OidIsValid(model->relid))
	{
		if (superuser())
			return;
		if (strcmp(verb, "drop") == 0 && OidIsValid(model->owner) && has_privs_of_role(GetUserId(), model->owner))
			return;
		strata_registry_require_target(model);
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the target of model %s does not exist", model->label),
						errhint("Drop the model with strata.drop_model('%s') and define it again.", model->label)));
	}
	if (!has_privs_of_role(GetUserId(), model->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to %s model %s", verb, model->label),
						errdetail("It belongs to role \"%s\".", GetUserNameFromId(model->owner, true)),
						errhint("Run it as that role, or as a member of it.")));
}

bool
strata_registry_lock(int model_id, bool wait)
{
	LOCKTAG tag;
	Oid catalog = get_relname_relid("model", get_namespace_oid("strata_state", false));

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, catalog, model_id, 0);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Each run that refreshes a model writes its row. It is read as of now, whatever the transaction's snapshot.
 */
StrataTargetSeen
strata_registry_is_seen(Oid relid, Snapshot snapshot)
{
	Relation rel = table_open(strata_table_oid("model"), AccessShareLock);
	Oid index = strata_table_oid("model_schema_name_relation_name_key");
	char *schema = get_namespace_name(get_rel_namespace(relid));
	char *name = get_rel_name(relid);
	StrataTargetSeen seen = STRATA_NO_TARGET;
	Snapshot now = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;

	if (schema && name)
	{
		ScanKeyInit(&keys[0], 2, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(schema));
		ScanKeyInit(&keys[1], 3, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(name));
		scan = systable_beginscan(rel, index, true, now, 2, keys);
		if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			TransactionId xid = HeapTupleHeaderGetXmin(tuple->t_data);

			seen = TransactionIdIsNormal(xid) && !TransactionIdIsCurrentTransactionId(xid) &&
						   XidInMVCCSnapshot(xid, snapshot)
					   ? STRATA_TARGET_MOVED
					   : STRATA_TARGET_SEEN;
		}
		systable_endscan(scan);
	}
	UnregisterSnapshot(now);
	table_close(rel, AccessShareLock);
	return seen;
}

/* ---- writes ---- */

static void
definition_args(StrataArgs *args, const StrataModel *m)
{
	strata_args_text(args, m->schema);
	strata_args_text(args, m->name);
	strata_args_text(args, layer_names[m->layer]);
	strata_args_text(args, m->kind);
	strata_args_text(args, m->query);
	strata_args_jsonb(args, m->options);
	strata_args_text(args, m->refresh);
	strata_args_text(args, m->hash);
	strata_args_text(args, m->search_path);
	strata_args_text(args, m->settings.time_zone);
	strata_args_text(args, m->settings.date_style);
	strata_args_text(args, m->settings.interval_style);
	strata_args_text(args, m->description);
	strata_args_texts(args, m->tags);
	strata_args_jsonb(args, m->column_comments);
	strata_args_bool(args, m->time_dependent);
	strata_args_text(args, GetUserNameFromId(GetUserId(), false));
	strata_args_time(args, GetCurrentTransactionStartTimestamp());
	strata_args_bool(args, m->deterministic);
}

int
strata_registry_insert(const StrataModel *m)
{
	StrataArgs args = {0};

	definition_args(&args, m);
	return strata_rows_int(
		strata_base_keeper_query(
			"INSERT INTO strata_state.model (schema_name, relation_name, layer, kind, query, options,"
			" refresh, hash, search_path, time_zone, date_style, interval_style, description, tags,"
			" column_comments, time_dependent, defined_by, defined_at, deterministic)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
			" RETURNING id",
			&args),
		0, 1);
}

void
strata_registry_update_definition(const StrataModel *m)
{
	StrataArgs args = {0};

	definition_args(&args, m);
	strata_args_int4(&args, m->id);
	strata_args_text(&args, m->pending);
	strata_base_keeper_execute(
		"UPDATE strata_state.model SET schema_name = $1, relation_name = $2, layer = $3, kind = $4,"
		" query = $5, options = $6, refresh = $7, hash = $8, search_path = $9, time_zone = $10,"
		" date_style = $11, interval_style = $12, description = $13, tags = $14, column_comments = $15,"
		" time_dependent = $16, defined_by = $17, defined_at = $18, version = version + 1, pending = $21, deterministic = $19,"
		" change_count = change_count + 1"
		" WHERE id = $20",
		&args);
}

void
strata_registry_update_words(const StrataModel *m)
{
	StrataArgs args = {0};

	strata_args_int4(&args, m->id);
	strata_args_text(&args, m->query);
	strata_args_text(&args, m->refresh);
	strata_args_text(&args, m->hash);
	strata_args_text(&args, m->description);
	strata_args_texts(&args, m->tags);
	strata_args_jsonb(&args, m->column_comments);
	strata_base_keeper_execute("UPDATE strata_state.model SET query = $2, refresh = $3, hash = $4, description = $5,"
							   " tags = $6, column_comments = $7 WHERE id = $1",
							   &args);
}

void
strata_registry_delete(int model_id)
{
	StrataArgs args = {0};

	strata_args_int4(&args, model_id);
	strata_base_keeper_execute("DELETE FROM strata_state.model WHERE id = $1", &args);
}

void
strata_registry_set_columns(int model_id, const List *columns)
{
	StrataArgs args = {0};
	List *names = NIL;
	List *types = NIL;
	List *roles = NIL;
	ListCell *lc;

	foreach (lc, columns)
	{
		const StrataColumn *c = lfirst(lc);

		names = lappend(names, c->name);
		types = lappend(types, c->type);
		roles = lappend(roles, c->role);
	}
	strata_args_int4(&args, model_id);
	strata_args_texts(&args, names);
	strata_args_texts(&args, types);
	strata_args_texts(&args, roles);
	strata_base_keeper_execute(
		"WITH gone AS (DELETE FROM strata_state.model_column WHERE model_id = $1 AND name <> ALL ($2::name[]))"
		" INSERT INTO strata_state.model_column AS c (model_id, position, name, type, role)"
		" SELECT $1, ord, name, type, role"
		" FROM unnest($2::name[], $3, $4) WITH ORDINALITY AS u(name, type, role, ord)"
		" ON CONFLICT (model_id, name) DO UPDATE SET position = excluded.position, type = excluded.type,"
		" role = excluded.role WHERE (c.position, c.type, c.role) IS DISTINCT FROM"
		" (excluded.position, excluded.type, excluded.role)",
		&args);
}

List *
strata_registry_columns(int model_id)
{
	StrataArgs args = {0};
	StrataRows *rows;
	List *columns = NIL;

	strata_args_int4(&args, model_id);
	rows = strata_base_keeper_query(
		"SELECT name, type, role FROM strata_state.model_column WHERE model_id = $1 ORDER BY position", &args);
	for (uint64 i = 0; i < rows->count; i++)
	{
		StrataColumn *c = palloc0(sizeof(StrataColumn));

		c->name = strata_rows_text(rows, i, 1);
		c->type = strata_rows_text(rows, i, 2);
		c->role = strata_rows_text(rows, i, 3);
		columns = lappend(columns, c);
	}
	return columns;
}

void
strata_registry_set_dependencies(int model_id, const List *dependencies)
{
	StrataArgs args = {0};
	List *schemas = NIL;
	List *names = NIL;
	List *vias = NIL;
	ListCell *lc;

	foreach (lc, dependencies)
	{
		const StrataDependency *d = lfirst(lc);

		schemas = lappend(schemas, d->schema);
		names = lappend(names, d->name);
		vias = lappend(vias, d->via);
	}
	strata_args_int4(&args, model_id);
	strata_base_keeper_execute("DELETE FROM strata_state.dependency WHERE model_id = $1", &args);
	strata_args_texts(&args, schemas);
	strata_args_texts(&args, names);
	strata_args_texts(&args, vias);
	strata_base_keeper_execute(
		"INSERT INTO strata_state.dependency (model_id, schema_name, relation_name, via)"
		" SELECT $1, s, n, max(v) FROM unnest($2::name[], $3::name[], $4) AS u(s, n, v) GROUP BY s, n",
		&args);
}

void
strata_registry_set_lineage(int model_id, const List *edges)
{
	StrataArgs args = {0};
	List *columns = NIL;
	List *schemas = NIL;
	List *names = NIL;
	List *sources = NIL;
	List *kinds = NIL;
	ListCell *lc;

	foreach (lc, edges)
	{
		const StrataLineageRow *e = lfirst(lc);

		columns = lappend(columns, e->column ? e->column : pstrdup(""));
		schemas = lappend(schemas, e->schema);
		names = lappend(names, e->relation);
		sources = lappend(sources, e->source_column);
		kinds = lappend(kinds, e->kind);
	}
	strata_args_int4(&args, model_id);
	strata_base_keeper_execute("DELETE FROM strata_state.edge WHERE model_id = $1", &args);
	strata_args_texts(&args, columns);
	strata_args_texts(&args, schemas);
	strata_args_texts(&args, names);
	strata_args_texts(&args, sources);
	strata_args_texts(&args, kinds);
	strata_base_keeper_execute(
		"INSERT INTO strata_state.edge (model_id, column_name, schema_name, relation_name, source_column, kind)"
		" SELECT $1, nullif(c, '')::name, s, n, sc, k"
		" FROM unnest($2, $3::name[], $4::name[], $5::name[], $6) AS u(c, s, n, sc, k)"
		" ON CONFLICT DO NOTHING",
		&args);
}

void
strata_registry_set_state(int model_id, int applied_version, TimestampTz refreshed_at, bool changed, int64 row_count,
						  int64 run_id)
{
	static const char *const keys[] = {"id"};
	static const char *const columns[] = {"applied_version", "pending",  "refreshed_at",
										  "row_count",       "last_run", "changed_at"};
	StrataArgs key = {0};
	StrataArgs direct = {0};
	StrataArgs args = {0};

	strata_args_int4(&key, model_id);
	strata_args_int4(&direct, applied_version);
	strata_args_text(&direct, NULL);
	strata_args_time(&direct, refreshed_at);
	strata_args_datum(&direct, INT8OID, Int64GetDatum(row_count), row_count < 0);
	strata_args_int8(&direct, run_id);
	if (changed)
		strata_args_time(&direct, refreshed_at);
	if (strata_table_change("model", "model_pkey", keys, &key, columns, &direct, NULL, 0))
		return;
	strata_args_int4(&args, model_id);
	strata_args_int4(&args, applied_version);
	strata_args_time(&args, refreshed_at);
	strata_args_bool(&args, changed);
	strata_args_datum(&args, INT8OID, Int64GetDatum(row_count), row_count < 0);
	strata_args_int8(&args, run_id);
	strata_base_keeper_execute("UPDATE strata_state.model SET applied_version = $2, pending = NULL, refreshed_at = $3,"
							   " changed_at = CASE WHEN $4 THEN $3 ELSE changed_at END, row_count = $5, last_run = $6"
							   " WHERE id = $1",
							   &args);
}

void
strata_registry_touch(int model_id)
{
	StrataArgs args = {0};

	strata_args_int4(&args, model_id);
	strata_base_keeper_execute("UPDATE strata_state.model SET change_count = change_count + 1 WHERE id = $1", &args);
}

void
strata_registry_set_backfill(int model_id, const List *columns)
{
	StrataArgs args = {0};

	strata_args_int4(&args, model_id);
	strata_args_texts(&args, columns);
	strata_base_keeper_execute("UPDATE strata_state.model SET backfill = $2 WHERE id = $1 AND backfill <> $2", &args);
}

List *
strata_registry_backfill(int model_id)
{
	StrataArgs args = {0};

	strata_args_int4(&args, model_id);
	return strata_rows_texts(strata_base_keeper_query("SELECT backfill FROM strata_state.model WHERE id = $1", &args),
							 0, 1);
}

void
strata_registry_rename(const char *schema, const char *name, const char *new_schema, const char *new_name)
{
	static const char *const tables[] = {"model", "source", "dependency", "edge"};

	for (int i = 0; i < (int) lengthof(tables); i++)
	{
		StrataArgs args = {0};

		strata_args_text(&args, schema);
		strata_args_text(&args, name);
		strata_args_text(&args, new_schema);
		strata_args_text(&args, new_name);
		strata_base_keeper_execute(
			psprintf("UPDATE strata_state.%s SET schema_name = $3::name, relation_name = $4::name"
					 " WHERE schema_name = $1::name AND relation_name = $2::name",
					 tables[i]),
			&args);
	}
}
