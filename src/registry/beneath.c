/*
 * beneath.c: the models whose rows a relation shows that is no model itself: views of users, rejected rows of staging models,
 * partitions and inheritance children of targets, and tables that a target was made a partition or a child of.
 *
 * The catalogs are read each time, not the registry: a view may be replaced, a partition attached, at any time. No lock is taken; what is
 * not a passage costs two or three look-ups in the caches.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_rewrite.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "registry/registry_internal.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static const char rejects_suffix[] = "__rejected";

typedef struct Kind
{
	char relkind;
	bool is_partition;
	bool has_children; /* or had */
} Kind;

/* Models whose targets are parts of a table. */
typedef struct Ancestor
{
	Oid relid;
	List *models;
} Ancestor;

typedef struct Passage
{
	Oid relid;
	StrataDependency *found;
} Passage;

typedef struct Walk
{
	HTAB *by_name; /* NamedModel */
	List *models;
	HTAB *ancestors;    /* made when needed */
	HTAB *passages;     /* what is known already, by relation */
	bool with_children; /* a target that is no partitioned table has inheritance children, or had */
} Walk;

static bool
kind_of(Oid relid, Kind *kind)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class c;

	if (!HeapTupleIsValid(tuple))
		return false;
	c = (Form_pg_class) GETSTRUCT(tuple);
	kind->relkind = c->relkind;
	kind->is_partition = c->relispartition;
	kind->has_children = c->relhassubclass;
	ReleaseSysCache(tuple);
	return true;
}

/* All tables that this one's rows are rows of, too. */
static List *
ancestors_of(Oid relid)
{
	List *found = strata_base_parents(relid);

	for (int i = 0; i < list_length(found); i++)
		found = list_concat_unique_oid(found, strata_base_parents(list_nth_oid(found, i)));
	return found;
}

/* The rule that makes a relation a view. */
static Oid
select_rule(Oid view)
{
	Relation rel = table_open(RewriteRelationId, AccessShareLock);
	Oid rule = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_rewrite_ev_class, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(view));
	scan = systable_beginscan(rel, RewriteRelRulenameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (((Form_pg_rewrite) GETSTRUCT(tuple))->ev_type == '0' + CMD_SELECT)
			rule = ((Form_pg_rewrite) GETSTRUCT(tuple))->oid;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return rule;
}

/* The relations that a view names. */
static List *
read_by_view(Oid view)
{
	Relation rel = table_open(DependRelationId, AccessShareLock);
	List *found = NIL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(RewriteRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(select_rule(view)));
	scan = systable_beginscan(rel, DependDependerIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend d = (Form_pg_depend) GETSTRUCT(tuple);

		if (d->refclassid == RelationRelationId && d->refobjid != view)
			found = list_append_unique_oid(found, d->refobjid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

List *
strata_registry_tables_beneath(Oid relid)
{
	List *queue = list_make1_oid(relid);
	List *tables = NIL;

	for (int i = 0; i < list_length(queue); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (get_rel_relkind(list_nth_oid(queue, i)) == RELKIND_VIEW)
			queue = list_concat_unique_oid(queue, read_by_view(list_nth_oid(queue, i)));
		else
			tables = lappend_oid(tables, list_nth_oid(queue, i));
	}
	list_free(queue);
	return tables;
}

/* Whether rules of views that are not ours, or not known to be, name the relation. */
static bool
is_in_a_view(Oid relid)
{
	Relation rel = table_open(DependRelationId, AccessShareLock);
	Oid ours = get_namespace_oid("strata_state", false);
	bool found = false;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, keys);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend d = (Form_pg_depend) GETSTRUCT(tuple);
		Relation rewrite;
		ScanKeyData key;
		SysScanDesc rules;
		HeapTuple rule;

		CHECK_FOR_INTERRUPTS();
		if (d->classid != RewriteRelationId)
			continue;
		rewrite = table_open(RewriteRelationId, AccessShareLock);
		ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(d->objid));
		rules = systable_beginscan(rewrite, RewriteOidIndexId, true, NULL, 1, &key);
		rule = systable_getnext(rules);
		if (HeapTupleIsValid(rule) && ((Form_pg_rewrite) GETSTRUCT(rule))->ev_class != relid)
			found = get_rel_namespace(((Form_pg_rewrite) GETSTRUCT(rule))->ev_class) != ours;
		systable_endscan(rules);
		table_close(rewrite, AccessShareLock);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
strata_registry_may_be_shown(const StrataModel *model)
{
	Kind kind;

	if (!OidIsValid(model->relid) || !kind_of(model->relid, &kind))
		return false;
	return model->layer == STRATA_STAGING || kind.has_children || kind.is_partition ||
		   strata_base_parents(model->relid) != NIL || is_in_a_view(model->relid);
}

/* ---- the walk ---- */

static StrataModel *
model_named(const Walk *w, const char *schema, const char *name)
{
	NamedModel *found = registry_find_named(w->by_name, schema, name, HASH_FIND);

	return found ? found->model : NULL;
}

static bool
is_rejects_name(const char *name)
{
	size_t length = strlen(name);

	return length >= sizeof(rejects_suffix) &&
		   strcmp(name + length - (sizeof(rejects_suffix) - 1), rejects_suffix) == 0;
}

/* The staging model whose rejected rows these are. */
static StrataModel *
rejecting(const Walk *w, const char *schema, const char *name)
{
	StrataModel *m;

	if (!is_rejects_name(name))
		return NULL;
	m = model_named(w, schema, pnstrdup(name, strlen(name) - (sizeof(rejects_suffix) - 1)));
	return m && m->layer == STRATA_STAGING &&
				   (strata_option(m->options, "rules") || strata_option(m->options, "reject_failed_casts"))
			   ? m
			   : NULL;
}

static StrataModel *
model_of(const Walk *w, Oid relid)
{
	char *schema = get_namespace_name(get_rel_namespace(relid));
	char *name = get_rel_name(relid);
	StrataModel *m = NULL;

	if (schema && name)
	{
		m = model_named(w, schema, name);
		if (m == NULL)
			m = rejecting(w, schema, name);
	}
	return m;
}

static HTAB *
by_oid(const char *name, Size entry)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = entry, .hcxt = CurrentMemoryContext};

	return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static List *
parts_of(Walk *w, Oid relid)
{
	Ancestor *entry;
	ListCell *lc;
	ListCell *lc2;

	if (w->ancestors == NULL)
	{
		w->ancestors = by_oid("pg_strata tables that hold targets", sizeof(Ancestor));
		foreach (lc, w->models)
		{
			StrataModel *m = lfirst(lc);

			CHECK_FOR_INTERRUPTS();
			if (!OidIsValid(m->relid) || strcmp(m->kind, "view") == 0)
				continue;
			foreach (lc2, ancestors_of(m->relid))
			{
				Oid ancestor = lfirst_oid(lc2);
				bool known;

				entry = hash_search(w->ancestors, &ancestor, HASH_ENTER, &known);
				entry->models = lappend(known ? entry->models : NIL, m);
			}
		}
	}
	entry = hash_search(w->ancestors, &relid, HASH_FIND, NULL);
	return entry ? entry->models : NIL;
}

static void
add_model(StrataDependency *d, const StrataModel *m)
{
	StrataDependency *found;
	ListCell *lc;

	foreach (lc, d->beneath)
		if (((StrataDependency *) lfirst(lc))->model_id == m->id)
			return;
	found = palloc0(sizeof(StrataDependency));
	found->schema = m->schema;
	found->name = m->name;
	found->model_id = m->id;
	found->via = pstrdup("query");
	d->beneath = lappend(d->beneath, found);
}

/* What a relation that is neither a model nor a view has to do with targets. */
static void
look_at_table(Walk *w, Oid relid, const Kind *kind, StrataDependency *d)
{
	bool is_part = false;
	ListCell *lc;

	if (kind->is_partition || (w->with_children && kind->relkind == RELKIND_RELATION))
		foreach (lc, ancestors_of(relid))
		{
			StrataModel *m = model_of(w, lfirst_oid(lc));

			if (m == NULL)
				continue;
			add_model(d, m);
			is_part = true;
		}
	if (kind->has_children)
		foreach (lc, parts_of(w, relid))
			add_model(d, lfirst(lc));
	d->shows_others |= !is_part;
}

static void
look_beneath(Walk *w, Oid start, StrataDependency *d)
{
	List *queue = list_make1_oid(start);

	for (int at = 0; at < list_length(queue); at++)
	{
		Oid relid = list_nth_oid(queue, at);
		StrataModel *m;
		Kind kind;

		CHECK_FOR_INTERRUPTS();
		if (relid < FirstNormalObjectId || !kind_of(relid, &kind))
		{
			d->shows_others = true;
			continue;
		}
		m = model_of(w, relid);
		if (m)
			add_model(d, m);
		else if (kind.relkind == RELKIND_VIEW)
		{
			d->views = lappend_oid(d->views, relid);
			queue = list_concat_unique_oid(queue, read_by_view(relid));
		}
		else
			look_at_table(w, relid, &kind, d);
	}
	list_free(queue);
}

static Oid
relation_named(const StrataDependency *d)
{
	Oid schema = get_namespace_oid(d->schema, true);

	return OidIsValid(schema) ? get_relname_relid(d->name, schema) : InvalidOid;
}

static void
see_through(Walk *w, StrataDependency *d)
{
	Oid relid = relation_named(d);
	Passage *passage;
	bool known;
	Kind kind;

	if (relid < FirstNormalObjectId || !kind_of(relid, &kind))
		return;
	/* nearly everything: tables that have nothing to do with others */
	if (kind.relkind != RELKIND_VIEW && !kind.is_partition && !kind.has_children && !w->with_children &&
		!is_rejects_name(d->name))
		return;
	if (w->passages == NULL)
		w->passages = by_oid("pg_strata relations that show models", sizeof(Passage));
	passage = hash_search(w->passages, &relid, HASH_ENTER, &known);
	if (!known)
	{
		passage->found = palloc0(sizeof(StrataDependency));
		look_beneath(w, relid, passage->found);
	}
	d->beneath = passage->found->beneath;
	d->views = passage->found->views;
	d->shows_others = passage->found->shows_others;
}

void
registry_see_through(List *models, HTAB *by_name)
{
	Walk w = {.by_name = by_name, .models = models};
	ListCell *lc;
	ListCell *lc2;

	foreach (lc, models)
	{
		const StrataModel *m = lfirst(lc);
		Kind kind;

		if (OidIsValid(m->relid) && kind_of(m->relid, &kind) && kind.has_children && kind.relkind == RELKIND_RELATION)
			w.with_children = true;
	}
	foreach (lc, models)
		foreach (lc2, ((StrataModel *) lfirst(lc))->dependencies)
		{
			StrataDependency *d = lfirst(lc2);

			if (d->model_id == 0)
				see_through(&w, d);
		}
}

/* ---- one definition ---- */

static bool
may_be_passage(const StrataDependency *d)
{
	Oid relid = relation_named(d);
	Kind kind;

	if (relid < FirstNormalObjectId || !kind_of(relid, &kind))
		return false;
	return kind.relkind == RELKIND_VIEW || kind.is_partition || kind.has_children || is_rejects_name(d->name) ||
		   (kind.relkind == RELKIND_RELATION && strata_base_parents(relid) != NIL);
}

void
strata_registry_see_through(List *dependencies)
{
	StrataArgs args = {0};
	List *schemas = NIL;
	List *names = NIL;
	List *passages = NIL;
	ListCell *lc;
	Walk w = {.with_children = true};

	foreach (lc, dependencies)
		if (may_be_passage(lfirst(lc)))
		{
			StrataDependency *d = lfirst(lc);

			passages = lappend(passages, d);
			schemas = lappend(schemas, d->schema);
			names = lappend(names, d->name);
		}
	if (passages == NIL)
		return;
	/* a model that is a view is no passage, and the usual one of these: so the registry is not read for them */
	strata_args_texts(&args, schemas);
	strata_args_texts(&args, names);
	if (!strata_rows_bool(strata_base_keeper_query(
							  "SELECT EXISTS (SELECT FROM unnest($1::name[], $2::name[]) AS u(s, n) WHERE NOT EXISTS"
							  " (SELECT FROM strata_state.model m WHERE m.schema_name = s AND m.relation_name = n))",
							  &args),
						  0, 1))
		return;
	w.models = registry_models(&w.by_name);
	foreach (lc, passages)
	{
		StrataDependency *d = lfirst(lc);

		if (model_named(&w, d->schema, d->name) == NULL)
			see_through(&w, d);
	}
}
