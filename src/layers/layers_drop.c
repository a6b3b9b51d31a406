/*
 * layers_drop.c: sources declared, sources and models dropped.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fence/fence.h"
#include "guard/guard.h"
#include "layers/layers_incremental.h"
#include "layers/layers_script.h"
#include "miscadmin.h"
#include "plan/plan.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"

char *
layers_iso_date(DateADT date)
{
	int y, m, d;

	j2date(date + POSTGRES_EPOCH_JDATE, &y, &m, &d);
	return psprintf("%04d-%02d-%02d", y, m, d);
}

/* The relation a source names; the caller may read it or own it. */
static Oid
source_relation(const char *text, StrataName *name)
{
	Oid relid = InvalidOid;

	*name = strata_base_parse_name(text, "name");
	if (name->schema)
	{
		Oid schema = get_namespace_oid(name->schema, true);

		relid = OidIsValid(schema) ? get_relname_relid(name->name, schema) : InvalidOid;
	}
	else
	{
		relid = RelnameGetRelid(name->name);
		if (OidIsValid(relid))
			name->schema = get_namespace_name(get_rel_namespace(relid));
	}
	if (!OidIsValid(relid))
	{
		char *hint = strata_base_suggestion(text, strata_base_relation_names());

		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("source %s does not exist", text),
				 hint ? errhint("%s", hint) : errhint("Write schema.relation of a table, view or foreign table.")));
	}
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for source %s", text),
						errhint("Ask its owner to GRANT SELECT ON %s TO %s.", text,
								quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	return relid;
}

static void
source_args(StrataArgs *args, const StrataSource *s, const StrataName *name)
{
	strata_args_text(args, name->schema);
	strata_args_text(args, name->name);
	strata_args_text(args, s->loaded_at);
	strata_args_datum(args, INTERVALOID, PointerGetDatum(s->warn_after), s->warn_after == NULL);
	strata_args_datum(args, INTERVALOID, PointerGetDatum(s->error_after), s->error_after == NULL);
	strata_args_text(args, s->description);
	strata_args_texts(args, s->tags);
	strata_args_jsonb(args, s->columns);
	strata_args_text(args, s->changes);
	strata_args_datum(args, INTERVALOID, PointerGetDatum(s->lookback), s->lookback == NULL);
	strata_args_text(args, GetUserNameFromId(GetUserId(), false));
	strata_args_time(args, GetCurrentTransactionStartTimestamp());
}

/* Someone else's declaration is theirs to change; the owner of the relation may always. */
static void
require_source_rights(const StrataName *name, Oid relid, const char *defined_by)
{
	Oid definer = get_role_oid(defined_by, true);

	if (OidIsValid(definer) && has_privs_of_role(GetUserId(), definer))
		return;
	if (OidIsValid(relid) && (strata_is_table_owner(relid, GetUserId()) || superuser()))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied to change source %s", strata_base_label(name->schema, name->name)),
					errdetail("It was declared by role \"%s\".", defined_by),
					errhint("Ask that role, or the owner of the relation.")));
}

static void
check_changes(const StrataSource *s, Oid relid, const char *label)
{
	int mode = layers_source_mode(s->changes);
	const char *why;

	if (mode < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("changes: \"%s\" is no way to tell them", s->changes),
				 errhint("Say 'auto', 'capture', 'watermark' or 'compare'.")));
	if (s->lookback && mode != SOURCE_WATERMARK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("lookback goes with changes => 'watermark' only")));
	if (s->lookback && DatumGetInt32(DirectFunctionCall2(interval_cmp, IntervalPGetDatum(s->lookback),
														 IntervalPGetDatum(palloc0(sizeof(Interval))))) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("lookback is negative")));
	if (mode == SOURCE_WATERMARK && s->loaded_at == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("changes => 'watermark' needs loaded_at"),
						errhint("Name the column of %s that tells when a row was loaded or changed last.", label)));
	if (mode == SOURCE_WATERMARK && !layers_is_watermark_type(get_atttype(relid, get_attnum(relid, s->loaded_at))))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("loaded_at: column \"%s\" of %s is %s", s->loaded_at, label,
							   format_type_be(get_atttype(relid, get_attnum(relid, s->loaded_at)))),
						errdetail("A watermark is a date, a timestamp or a timestamptz.")));
	/* here its kind: rights are those of each model's owner */
	why = mode == SOURCE_CAPTURE ? strata_capture_unsupported(relid, BOOTSTRAP_SUPERUSERID) : NULL;
	if (why)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("changes of %s cannot be captured", label),
						errdetail("The reason: %s.", why), errhint("Say changes => 'watermark' or 'compare'.")));
}

/* Models that read the relation, also through views: how its changes are told is another now. */
static void
prepare_readers(Oid relid)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	rows = strata_base_keeper_query(
		"WITH RECURSIVE reader (relid) AS (SELECT $1 UNION SELECT r.ev_class FROM reader"
		" JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reader.relid"
		" AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid)"
		" SELECT m.id FROM strata_state.model m JOIN pg_class c ON c.relname = format('m%s_query', m.id)"
		" JOIN reader ON reader.relid = c.oid JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'strata_state'"
		" ORDER BY m.id",
		&args);
	for (uint64 i = 0; i < rows->count; i++)
	{
		StrataModel *model = strata_registry_model_by_id(strata_rows_int(rows, i, 1));

		if (model == NULL || !OidIsValid(model->relid) || !OidIsValid(model->owner) || layers_is_pending(model->label))
			continue;
		layers_refuse_inside_refresh("change how the changes of a source are told");
		strata_registry_lock(model->id, true);
		layers_prepare_incremental(model);
		/* what was not seen before may be now, though no row has changed since */
		strata_fence_forget(model->id);
	}
}

char *
layers_define_source(const StrataSource *s)
{
	StrataName name;
	Oid relid;
	StrataArgs args = {0};
	StrataRows *now;
	char *label;

	if (s->name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name is NULL"),
						errhint("SELECT strata.define_source('schema.table');")));
	relid = source_relation(s->name, &name);
	label = strata_base_label(name.schema, name.name);
	if (strata_registry_find(name.schema, name.name))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("%s is a model, not a source", label),
						errhint("A source is a relation that the warehouse reads and does not own.")));
	if (s->loaded_at && get_attnum(relid, s->loaded_at) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("loaded_at: %s has no column \"%s\"", label, s->loaded_at),
				 errhint("Name a date or timestamp column that tells when a row was loaded.")));
	check_changes(s, relid, label);
	source_args(&args, s, &name);
	now = strata_base_keeper_query(
		"SELECT defined_by, (loaded_at, warn_after, error_after, description, tags, column_comments, changes, lookback)"
		" IS NOT DISTINCT FROM ($3::name, $4, $5, $6, $7, $8, $9, $10),"
		" (changes, CASE changes WHEN 'watermark' THEN loaded_at END, lookback) IS NOT DISTINCT FROM"
		" ($9, CASE $9 WHEN 'watermark' THEN $3::name END, $10) FROM strata_state.source"
		" WHERE schema_name = $1::name AND relation_name = $2::name AND $11 IS NOT NULL AND $12 IS NOT NULL",
		&args);
	if (now->count > 0 && strata_rows_bool(now, 0, 2))
		return psprintf("unchanged source %s", label);
	if (now->count > 0)
		require_source_rights(&name, relid, strata_rows_text(now, 0, 1));
	strata_base_keeper_execute(
		"INSERT INTO strata_state.source AS s (schema_name, relation_name, loaded_at, warn_after, error_after,"
		" description, tags, column_comments, changes, lookback, defined_by, defined_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
		" ON CONFLICT (schema_name, relation_name) DO UPDATE SET loaded_at = $3, warn_after = $4, error_after = $5,"
		" description = $6, tags = $7, column_comments = $8, changes = $9, lookback = $10, defined_by = $11, defined_at = $12",
		&args);
	if (now->count > 0 ? !strata_rows_bool(now, 0, 3) : strcmp(s->changes, "auto") != 0)
		prepare_readers(relid);
	return psprintf("%s source %s", now->count > 0 ? "changed" : "created", label);
}

char *
layers_drop_source(const char *text)
{
	StrataName name;
	StrataArgs args = {0};
	StrataRows *now;
	Oid schema;

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name is NULL"),
						errhint("SELECT strata.drop_source('schema.table');")));
	name = strata_base_parse_name(text, "name");
	if (name.schema == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("name: \"%s\" names no schema", text),
						errhint("Write schema.relation.")));
	strata_args_text(&args, name.schema);
	strata_args_text(&args, name.name);
	now = strata_base_keeper_query(
		"SELECT defined_by, changes FROM strata_state.source WHERE schema_name = $1::name AND relation_name = $2::name",
		&args);
	if (now->count == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no source \"%s\"", text),
						errhint("SELECT source FROM strata.sources; lists those there are.")));
	schema = get_namespace_oid(name.schema, true);
	require_source_rights(&name, OidIsValid(schema) ? get_relname_relid(name.name, schema) : InvalidOid,
						  strata_rows_text(now, 0, 1));
	strata_base_keeper_execute(
		"DELETE FROM strata_state.source WHERE schema_name = $1::name AND relation_name = $2::name", &args);
	if (OidIsValid(schema) && strcmp(strata_rows_text(now, 0, 2), "auto") != 0)
		prepare_readers(get_relname_relid(name.name, schema));
	return psprintf("dropped source %s", strata_base_label(name.schema, name.name));
}

/* ---- models ---- */

/* Everything of one model goes but what users built on it: their views refuse the drop. */
static void
drop_one(StrataModel *m)
{
	StrataIdentity saved;
	char *rejects = psprintf("%s__rejected", m->name);
	Oid schema = get_namespace_oid(m->schema, true);
	static const char *const hidden[] = {"keys", "log"};
	bool view = strcmp(m->kind, "view") == 0;

	strata_registry_lock(m->id, true);
	strata_base_enter_owner(OidIsValid(m->owner) ? m->owner : GetUserId(), &m->settings, &saved);
	if (OidIsValid(m->relid))
		strata_base_execute(psprintf("DROP %s %s", view ? "VIEW" : "TABLE", m->label), NULL);
	if (m->layer == STRATA_STAGING && OidIsValid(m->owner) && OidIsValid(schema) && strlen(rejects) < NAMEDATALEN &&
		OidIsValid(get_relname_relid(rejects, schema)) &&
		(strata_option(m->options, "rules") || strata_option(m->options, "reject_failed_casts")))
		strata_base_execute(psprintf("DROP %s %s", view ? "VIEW" : "TABLE", strata_base_label(m->schema, rejects)),
							NULL);
	strata_base_leave(&saved);
	schema = get_namespace_oid("strata_state", false);
	if (OidIsValid(get_relname_relid(psprintf("m%d_query", m->id), schema)))
		layers_keeper_ddl(psprintf("DROP VIEW %s", m->query_view));
	for (int i = 0; i < (int) lengthof(hidden); i++)
		if (OidIsValid(get_relname_relid(psprintf("m%d_%s", m->id, hidden[i]), schema)))
			layers_keeper_ddl(psprintf("DROP TABLE %s", strata_registry_state_relation(m->id, hidden[i])));
	layers_incremental_forget(m);
	strata_registry_delete(m->id);
}

/* A fact's foreign keys point at its dimensions: they go first, so that the order of dropping is the readers' order. */
static void
drop_all(List *models)
{
	strata_guard_suspend();
	for (int i = list_length(models) - 1; i >= 0; i--)
	{
		StrataModel *m = list_nth(models, i);

		if (OidIsValid(m->relid) && strcmp(m->kind, "view") != 0)
			layers_drop_references(m);
	}
	for (int i = list_length(models) - 1; i >= 0; i--)
		drop_one(list_nth(models, i));
	strata_guard_resume();
}

/*
 * What others made on the targets of these models and DROP would not take along, as "view public.bi", what was made last first: whatever
 * depends on the target, its row type, columns and constraints, its rejects and its partitions, directly or through other such things. Models, and what
 * is theirs, are none of it.
 */
static List *
what_stands_on(const List *models)
{
	StrataArgs args = {0};
	List *ids = NIL;
	List *found = NIL;
	StrataRows *rows;
	ListCell *lc;

	foreach (lc, models)
		ids = lappend(ids, psprintf("%d", ((StrataModel *) lfirst(lc))->id));
	strata_args_texts(&args, ids);
	rows = strata_base_keeper_query(
		"WITH RECURSIVE target (oid, id) AS MATERIALIZED ("
		"  SELECT c.oid, m.id FROM strata_state.model m JOIN pg_namespace n ON n.nspname = m.schema_name"
		"   JOIN pg_class c ON c.relnamespace = n.oid AND (c.relname = m.relation_name"
		"    OR (m.layer = 'staging' AND c.relname = m.relation_name || '__rejected'))),"
		" along (classid, objid, objsubid) AS (" /* goes with it, though it may name it in other ways too, as a policy does */
		"  SELECT 'pg_class'::regclass::oid, t.oid, 0 FROM target t WHERE t.id = ANY ($1::integer[])"
		" UNION"
		"  SELECT d.classid, d.objid, d.objsubid FROM along g JOIN pg_depend d ON d.refclassid = g.classid AND d.refobjid = g.objid"
		"     AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid) AND d.deptype IN ('a', 'i', 'P', 'S')),"
		" gone (classid, objid, objsubid, kept) AS ("
		"  SELECT 'pg_class'::regclass::oid, t.oid, 0, false FROM target t WHERE t.id = ANY ($1::integer[])"
		" UNION"
		"  SELECT x.* FROM gone g, LATERAL ("
		"    SELECT d.classid, d.objid, d.objsubid, d.deptype = 'n' FROM pg_depend d"
		"     WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid)"
		"       AND d.deptype IN ('n', 'a', 'i', 'P', 'S')"
		"    UNION ALL"
		"    SELECT 'pg_class'::regclass, w.ev_class, 0, g.kept FROM pg_rewrite w" /* a view is its rule */
		"     WHERE g.classid = 'pg_rewrite'::regclass AND w.oid = g.objid AND w.ev_type = '1') AS x)"
		" SELECT DISTINCT pg_describe_object(g.classid, g.objid, g.objsubid), g.objid FROM gone g"
		"  LEFT JOIN pg_class c ON g.classid = 'pg_class'::regclass AND c.oid = g.objid"
		"  LEFT JOIN pg_constraint k ON g.classid = 'pg_constraint'::regclass AND k.oid = g.objid"
		"  LEFT JOIN pg_rewrite w ON g.classid = 'pg_rewrite'::regclass AND w.oid = g.objid"
		" WHERE g.kept AND w.ev_type IS DISTINCT FROM '1' AND c.relnamespace IS DISTINCT FROM 'strata_state'::regnamespace"
		"   AND NOT EXISTS (SELECT FROM along l WHERE (l.classid, l.objid, l.objsubid) = (g.classid, g.objid, g.objsubid))"
		"   AND (c.oid IS NULL OR coalesce(pg_partition_root(c.oid), c.oid) NOT IN (SELECT oid FROM target))"
		"   AND (k.conrelid IS NULL OR coalesce(pg_partition_root(k.conrelid), k.conrelid) NOT IN (SELECT oid FROM target))"
		" ORDER BY g.objid DESC, 1",
		&args);
	for (uint64 i = 0; i < rows->count; i++)
		found = lappend(found, strata_rows_text(rows, i, 1));
	return found;
}

/* In our words, and in time: PostgreSQL would name hidden views, and hint at a CASCADE that the guard refuses. */
static void
refuse_drop(const StrataModel *model, const List *readers, const List *others, bool cascade)
{
	if (others == NIL)
		ereport(
			ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop model %s: other models read it", model->label),
			 errdetail("They are %s.", strata_base_join(readers, ", ")),
			 errhint("Drop or change them first, or say strata.drop_model('%s', \"cascade\" => true) to drop them all.",
					 model->label)));
	if (readers == NIL)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("cannot drop model %s: other objects depend on it", model->label),
						errdetail("They are %s.", strata_base_join(others, ", ")),
						list_length(others) == 1 ? errhint("Drop %s first.", (char *) linitial(others))
												 : errhint("Drop them first; \"cascade\" drops models only.")));
	ereport(
		ERROR,
		(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
		 errmsg("cannot drop model %s: other models read it, and other objects depend on %s", model->label,
				cascade ? "them" : "it"),
		 errdetail("Models: %s.\nOther objects: %s.", strata_base_join(readers, ", "), strata_base_join(others, ", ")),
		 errhint(
			 "Drop the models that read it, then the other objects, then this model; \"cascade\" drops models only.")));
}

char *
layers_drop_model(const char *text, bool cascade)
{
	StrataModel *model = strata_registry_get(text, "name");
	List *readers = strata_plan_readers(model);
	List *models = lcons(model, list_copy(readers));
	List *labels = NIL;
	List *others;
	ListCell *lc;

	layers_refuse_inside_refresh("drop a model");
	foreach (lc, readers)
		labels = lappend(labels, ((StrataModel *) lfirst(lc))->label);
	strata_registry_require_owner(model, "drop");
	others = what_stands_on(cascade ? models : list_make1(model));
	if (others != NIL || (labels != NIL && !cascade))
		refuse_drop(model, labels, others, cascade);
	foreach (lc, models)
		strata_registry_require_owner(lfirst(lc), "drop");
	drop_all(models);
	return labels == NIL ? psprintf("dropped model %s", model->label)
						 : psprintf("dropped model %s and %d that %s it: %s", model->label, list_length(labels),
									list_length(labels) == 1 ? "reads" : "read", strata_base_join(labels, ", "));
}
