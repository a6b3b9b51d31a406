/*
 * guard_find.c: which models a drop or a change concerns.
 *
 * Definitions are views that PostgreSQL keeps (strata_state.m<id>_query, or the target itself where it is a view), so
 * pg_depend knows all that they use: columns, functions, types, through other views too. The registry adds what pg_depend
 * does not tell: which relation is the target of which model, dimensions that a fact is keyed by, whole rows.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "guard/guard_internal.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

/* in a refusal */
#define MODELS_SHOWN 20

/* The id in m<id>_something; a name that PostgreSQL would not read as an integer is none of ours. */
#define HIDDEN_ID \
	"(CASE WHEN c.relname ~ '^m[0-9]{1,9}_' THEN substring(c.relname FROM '^m([0-9]{1,9})_')::integer END)"

ObjectAddress *
strata_guard_address(Oid classid, Oid objid, int32 objsubid)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));

	ObjectAddressSubSet(*address, classid, objid, objsubid);
	return address;
}

char *
strata_guard_relation_label(Oid relid)
{
	char *schema = get_namespace_name(get_rel_namespace(relid));
	char *name = get_rel_name(relid);

	return schema && name ? strata_base_label(schema, name) : psprintf("relation %u", relid);
}

static List *
hits_of(const StrataRows *rows)
{
	List *hits = NIL;

	for (uint64 i = 0; i < rows->count; i++)
	{
		GuardHit *hit = palloc0(sizeof(GuardHit));

		hit->id = strata_rows_int(rows, i, 1);
		hit->label = strata_rows_text(rows, i, 2);
		hit->why = strata_rows_text(rows, i, 3);
		hit->is_target = strata_rows_bool(rows, i, 4);
		hits = lappend(hits, hit);
	}
	return hits;
}

List *
strata_guard_affected(const List *objects)
{
	StrataArgs args = {0};
	int n = list_length(objects);
	Datum *classes = palloc(sizeof(Datum) * n);
	Datum *ids = palloc(sizeof(Datum) * n);
	Datum *subids = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
	{
		const ObjectAddress *o = list_nth(objects, i);

		classes[i] = ObjectIdGetDatum(o->classId);
		ids[i] = ObjectIdGetDatum(o->objectId);
		subids[i] = Int32GetDatum(o->objectSubId);
	}
	strata_args_datum(&args, OIDARRAYOID,
					  PointerGetDatum(construct_array(classes, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT)), false);
	strata_args_datum(&args, OIDARRAYOID,
					  PointerGetDatum(construct_array(ids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT)), false);
	strata_args_datum(&args, INT4ARRAYOID,
					  PointerGetDatum(construct_array(subids, n, INT4OID, sizeof(int32), true, TYPALIGN_INT)), false);
	/* the common case first, and cheap: no model at all */
	if (strata_base_keeper_query("SELECT FROM strata_state.model LIMIT 1", NULL)->count == 0)
		return NIL;
	return hits_of(strata_base_keeper_query(
		"WITH RECURSIVE gone (classid, objid, objsubid) AS ("
		"  SELECT * FROM unnest($1, $2, $3)"
		" UNION"
		"  SELECT x.* FROM gone g, LATERAL ("
		"    SELECT d.classid, d.objid, d.objsubid FROM pg_depend d"
		"     WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid)"
		"       AND d.deptype IN ('n', 'a', 'i', 'P', 'S')"
		"    UNION ALL"
		"    SELECT 'pg_class'::regclass, w.ev_class, 0 FROM pg_rewrite w" /* a rule goes with its view */
		"     WHERE g.classid = 'pg_rewrite'::regclass AND w.oid = g.objid) AS x),"
		" relation AS MATERIALIZED ("
		"  SELECT n.nspname, c.relname, a.attname, g.objid IN (SELECT unnest($2)) AS named,"
		"         CASE WHEN n.nspname = 'strata_state' THEN " HIDDEN_ID " END AS hidden_id"
		"    FROM gone g JOIN pg_class c ON g.classid = 'pg_class'::regclass AND c.oid = g.objid"
		"    JOIN pg_namespace n ON n.oid = c.relnamespace"
		"    LEFT JOIN pg_attribute a ON g.objsubid <> 0 AND a.attrelid = c.oid AND a.attnum = g.objsubid),"
		" hit AS ("
		"  SELECT m.id, 1 AS rank, CASE WHEN r.named THEN 'this is its target' ELSE 'its target goes with it' END AS why,"
		"         r.named AS is_target"
		"    FROM relation r JOIN strata_state.model m ON m.schema_name = r.nspname AND m.relation_name = r.relname"
		"   WHERE r.attname IS NULL"
		"  UNION ALL"
		"  SELECT e.model_id, 2, format('reads %I.%I.%I', e.schema_name, e.relation_name, e.source_column), false"
		"    FROM relation r JOIN strata_state.edge e ON e.schema_name = r.nspname AND e.relation_name = r.relname"
		"     AND e.source_column = r.attname"
		"  UNION ALL"
		"  SELECT d.model_id, 2, format('reads %I.%I', d.schema_name, d.relation_name), false"
		"    FROM relation r JOIN strata_state.dependency d ON d.schema_name = r.nspname AND d.relation_name = r.relname"
		"   WHERE r.attname IS NULL"
		"  UNION ALL"
		"  SELECT r.hidden_id, 3, CASE WHEN r.named THEN 'this is kept for it' ELSE 'its definition uses it' END, false"
		"    FROM relation r WHERE r.attname IS NULL)"
		" SELECT DISTINCT ON (m.schema_name, m.relation_name) m.id, format('%I.%I', m.schema_name, m.relation_name), h.why,"
		"        h.is_target"
		"   FROM hit h JOIN strata_state.model m ON m.id = h.id"
		"  ORDER BY m.schema_name, m.relation_name, h.rank, h.why",
		&args));
}

GuardHit *
strata_guard_target(Oid relid)
{
	StrataArgs args = {0};
	char *schema = get_namespace_name(get_rel_namespace(relid));
	char *name = get_rel_name(relid);
	List *hits;

	if (schema == NULL || name == NULL)
		return NULL;
	strata_args_text(&args, schema);
	strata_args_text(&args, name);
	hits = hits_of(
		strata_base_keeper_query("SELECT m.id, format('%I.%I', m.schema_name, m.relation_name), 'is its target', true"
								 "  FROM strata_state.model m"
								 " WHERE m.schema_name = $1::name AND m.relation_name = $2::name",
								 &args));
	return hits == NIL ? NULL : linitial(hits);
}

/* A view that pg_dump made to be replaced when what it reads is there; it reads nothing yet. */
bool
strata_guard_reads_nothing(Oid view)
{
	StrataArgs args = {0};

	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(view), false);
	return !strata_rows_bool(
		strata_base_keeper_query(
			"SELECT EXISTS (SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass"
			" AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class"
			" WHERE w.ev_class = $1)",
			&args),
		0, 1);
}

bool
strata_guard_is_hidden(Oid relid)
{
	StrataArgs args = {0};
	char *schema = get_namespace_name(get_rel_namespace(relid));

	if (schema == NULL || strcmp(schema, "strata_state") != 0)
		return false;
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	return strata_rows_bool(strata_base_keeper_query("SELECT EXISTS (SELECT FROM pg_class c JOIN strata_state.model m"
													 " ON m.id = " HIDDEN_ID " WHERE c.oid = $1)",
													 &args),
							0, 1);
}

List *
strata_guard_dropped(void)
{
	/* temporary tables come and go by the thousand: the big query is not for them */
	if (strata_base_keeper_query("SELECT FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary LIMIT 1", NULL)
				->count == 0 ||
		strata_base_keeper_query("SELECT FROM strata_state.model LIMIT 1", NULL)->count == 0)
		return NIL;
	return hits_of(strata_base_keeper_query(
		"WITH c AS MATERIALIZED ("
		"  SELECT schema_name AS nspname, object_name AS relname, NULL AS attname FROM pg_event_trigger_dropped_objects()"
		"   WHERE NOT is_temporary AND object_type IN ('table', 'view', 'materialized view', 'foreign table')"
		" UNION ALL"
		"  SELECT address_names[1], address_names[2], address_names[3] FROM pg_event_trigger_dropped_objects()"
		"   WHERE NOT is_temporary AND object_type IN ('table column', 'view column', 'foreign table column')),"
		" hit AS ("
		"  SELECT m.id, 1 AS rank, 'its target is dropped' AS why"
		"    FROM c JOIN strata_state.model m ON m.schema_name = c.nspname AND m.relation_name = c.relname"
		"   WHERE c.attname IS NULL"
		"  UNION ALL"
		"  SELECT m.id, 1, format('loses its column %I', c.attname)"
		"    FROM c JOIN strata_state.model m ON m.schema_name = c.nspname AND m.relation_name = c.relname"
		"   WHERE c.attname IS NOT NULL"
		"  UNION ALL"
		"  SELECT d.model_id, 2, format('reads %I.%I', d.schema_name, d.relation_name)"
		"    FROM c JOIN strata_state.dependency d ON d.schema_name = c.nspname AND d.relation_name = c.relname"
		"   WHERE c.attname IS NULL"
		"  UNION ALL"
		"  SELECT e.model_id, 2, format('reads %I.%I.%I', e.schema_name, e.relation_name, e.source_column)"
		"    FROM c JOIN strata_state.edge e ON e.schema_name = c.nspname AND e.relation_name = c.relname"
		"     AND e.source_column = c.attname"
		"  UNION ALL"
		"  SELECT " HIDDEN_ID ", 3, 'its definition uses what is dropped' FROM c"
		"   WHERE c.nspname = 'strata_state' AND c.attname IS NULL)"
		" SELECT DISTINCT ON (m.schema_name, m.relation_name) m.id, format('%I.%I', m.schema_name, m.relation_name), h.why, false"
		"   FROM hit h JOIN strata_state.model m ON m.id = h.id"
		"  ORDER BY m.schema_name, m.relation_name, h.rank, h.why",
		NULL));
}

void
strata_guard_refuse(const char *action, const List *hits)
{
	const GuardHit *shown = linitial(hits); /* in the hint: the model that is dropped itself, if one is */
	StringInfoData detail;
	ListCell *lc;

	initStringInfo(&detail);
	foreach (lc, hits)
	{
		const GuardHit *hit = lfirst(lc);

		if (foreach_current_index(lc) < MODELS_SHOWN)
			appendStringInfo(&detail, "%s%s: %s", detail.len > 0 ? "\n" : "", hit->label, hit->why);
		if (hit->is_target && !shown->is_target)
			shown = hit;
	}
	if (list_length(hits) > MODELS_SHOWN)
		appendStringInfo(&detail, "\nand %d more", list_length(hits) - MODELS_SHOWN);
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg_plural("cannot %s: %d model would break", "cannot %s: %d models would break", list_length(hits),
						   action, list_length(hits)),
			 errdetail("%s", detail.data),
			 errhint("Define the models again without it, or drop them: SELECT strata.drop_model('%s'); a superuser can"
					 " SET strata.guard_enforce = off and break them.",
					 shown->label)));
}

/* The hash goes too, so that defining the model again, even in the same words, is a change. */
void
strata_guard_mark_broken(const List *hits)
{
	ListCell *lc;

	foreach (lc, hits)
	{
		const GuardHit *hit = lfirst(lc);
		StrataArgs args = {0};

		strata_args_int4(&args, hit->id);
		strata_args_text(&args, psprintf("broken: %s", hit->why));
		strata_base_keeper_execute(
			"UPDATE strata_state.model SET version = version + 1, pending = $2, hash = '' WHERE id = $1", &args);
		ereport(WARNING,
				(errcode(ERRCODE_WARNING), errmsg("model %s is broken", hit->label), errdetail("%s.", hit->why)));
	}
}
