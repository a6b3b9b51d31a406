/*
 * layers_target.c: the target relation: made, and brought from one shape to another.
 */
#include "postgres.h"

#include "catalog/pg_constraint.h"
#include "utils/array.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "layers/layers_internal.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#define MAX_TARGET_COLUMNS 1600

/* For DDL that runs with pg_catalog alone in the path, whatever the caller's is. */
static char *
type_ddl(Oid type, int32 typmod)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bits16 flags = FORMAT_TYPE_TYPEMOD_GIVEN;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	if (((Form_pg_type) GETSTRUCT(tuple))->typnamespace != PG_CATALOG_NAMESPACE)
		flags |= FORMAT_TYPE_FORCE_QUALIFY;
	ReleaseSysCache(tuple);
	return format_type_extended(type, typmod, flags);
}

TargetColumn *
layers_column(const char *name, Oid type, int32 typmod, Oid collation, const char *role)
{
	TargetColumn *c = palloc0(sizeof(TargetColumn));

	strata_base_check_identifier(name, "a column");
	c->name = pstrdup(name);
	c->type = type_ddl(type, typmod);
	c->type_oid = type;
	c->typmod = typmod;
	c->collation = collation;
	c->role = role;
	return c;
}

TargetColumn *
layers_query_column(const QueryColumn *column, const char *role)
{
	return layers_column(column->name, column->type, column->typmod, column->collation, role);
}

QueryColumn *
layers_find_column(const List *query_columns, const char *name)
{
	ListCell *lc;

	foreach (lc, query_columns)
	{
		QueryColumn *c = lfirst(lc);

		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

void
layers_require_columns(const Definition *def, const List *names, const char *option)
{
	ListCell *lc;
	List *known = NIL;
	List *seen = NIL;

	foreach (lc, def->query_columns)
		known = lappend(known, ((QueryColumn *) lfirst(lc))->name);
	foreach (lc, names)
	{
		char *name = lfirst(lc);

		if (strata_base_list_has(seen, name))
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
							errmsg("%s of model %s names column \"%s\" twice", option, def->model->label, name),
							errhint("Name it once.")));
		seen = lappend(seen, name);
		if (!strata_base_list_has(known, name))
		{
			char *hint = strata_base_suggestion(name, known);

			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("%s of model %s names column \"%s\", which its query does not give", option,
							def->model->label, name),
					 errdetail("The query gives %s.", strata_base_join(known, ", ")), hint ? errhint("%s", hint) : 0));
		}
	}
}

void
layers_require_equality(const Definition *def, const List *names, const char *option)
{
	ListCell *lc;

	foreach (lc, names)
	{
		QueryColumn *c = layers_find_column(def->query_columns, lfirst(lc));

		if (!OidIsValid(lookup_type_cache(c->type, TYPECACHE_BTREE_OPFAMILY)->btree_opf))
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("%s of model %s cannot hold column \"%s\"", option, def->model->label, c->name),
							errdetail("Its type %s has no order, so it cannot be unique.", format_type_be(c->type)),
							errhint("Choose another column, or cast it in the query, for example to text.")));
	}
}

static char *
collation_ddl(Oid collation)
{
	HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char *label;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	label = strata_base_label(get_namespace_name(form->collnamespace), NameStr(form->collname));
	ReleaseSysCache(tuple);
	return label;
}

char *
layers_column_ddl(const TargetColumn *column)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s %s", quote_identifier(column->name), column->type);
	if (OidIsValid(column->collation) && column->collation != get_typcollation(column->type_oid))
		appendStringInfo(&buf, " COLLATE %s", collation_ddl(column->collation));
	return buf.data;
}

List *
layers_names(const List *target_columns)
{
	List *names = NIL;
	ListCell *lc;

	foreach (lc, target_columns)
		names = lappend(names, ((TargetColumn *) lfirst(lc))->name);
	return names;
}

void
layers_create_target(Definition *def)
{
	StrataModel *m = def->model;
	StringInfoData sql;
	ListCell *lc;

	if (list_length(def->columns) > MAX_TARGET_COLUMNS)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
						errmsg("model %s would have %d columns", m->label, list_length(def->columns)),
						errdetail("A table holds at most %d.", MAX_TARGET_COLUMNS),
						errhint("Leave some out, or gather them in a jsonb column.")));
	initStringInfo(&sql);
	if (strcmp(m->kind, "view") == 0)
		appendStringInfo(&sql, "CREATE VIEW %s AS %s", m->label, def->resolved);
	else
	{
		appendStringInfo(&sql, "CREATE TABLE %s (", m->label);
		foreach (lc, def->columns)
			appendStringInfo(&sql, "%s%s", foreach_current_index(lc) > 0 ? ", " : "", layers_column_ddl(lfirst(lc)));
		if (def->key != NIL)
			appendStringInfo(&sql, ", PRIMARY KEY (%s)", strata_base_join_quoted(def->key, ", "));
		appendStringInfo(&sql, "%s)%s", def->table_constraints ? def->table_constraints : "",
						 def->table_clause ? def->table_clause : "");
	}
	strata_base_execute(sql.data, NULL);
}

List *
layers_target_columns(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	List *columns = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (!a->attisdropped)
			columns =
				lappend(columns, layers_column(NameStr(a->attname), a->atttypid, a->atttypmod, a->attcollation, ""));
	}
	table_close(rel, NoLock);
	return columns;
}

static TargetColumn *
find_target(const List *columns, const char *name)
{
	ListCell *lc;

	foreach (lc, columns)
	{
		TargetColumn *c = lfirst(lc);

		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

static bool
same_type(const TargetColumn *a, const TargetColumn *b)
{
	return a->type_oid == b->type_oid && a->typmod == b->typmod && a->collation == b->collation;
}

/* A view: replaced where PostgreSQL can, else made anew with what stands on it. */
static void
change_view(Definition *def)
{
	StrataModel *m = def->model;
	List *now = layers_target_columns(m->relid);
	bool compatible = list_length(def->columns) >= list_length(now);
	List *suspended = NIL;
	StrataIdentity saved;

	for (int i = 0; compatible && i < list_length(now); i++)
	{
		TargetColumn *a = list_nth(now, i);
		TargetColumn *b = list_nth(def->columns, i);

		compatible = strcmp(a->name, b->name) == 0 && same_type(a, b);
	}
	if (!compatible)
	{
		suspended = layers_suspend_dependents(m->relid, m->label, NIL, true);
		def->changes = lappend(def->changes, "columns changed");
	}
	strata_base_enter_owner(m->owner, &m->settings, &saved);
	strata_base_execute(psprintf("CREATE %sVIEW %s AS %s", compatible ? "OR REPLACE " : "", m->label, def->resolved),
						NULL);
	strata_base_leave(&saved);
	m->relid = get_relname_relid(m->name, get_namespace_oid(m->schema, false));
	if (!compatible)
		layers_resume_dependents(suspended, m->label);
}

/* How a column's present values become values of the new type. History must not be lost; the rest is computed anew. */
static char *
conversion(const StrataModel *m, const TargetColumn *from, const TargetColumn *to)
{
	const char *name = quote_identifier(from->name);

	if (can_coerce_type(1, &from->type_oid, &to->type_oid, COERCION_ASSIGNMENT))
		return psprintf("%s::%s", name, to->type);
	if (m->layer == STRATA_DIMENSION)
		return can_coerce_type(1, &from->type_oid, &to->type_oid, COERCION_EXPLICIT)
				   ? psprintf("%s::%s", name, to->type)
				   : psprintf("%s::text::%s", name, to->type);
	return psprintf("strata.try_cast(%s::text, NULL::%s)", name, to->type);
}

/* PostgreSQL cannot retype the column a table is partitioned by. */
static void
refuse_partition_column(const StrataModel *m, const TargetColumn *from, const TargetColumn *to)
{
	char *by = strata_option_text(m->options, "partition_by");

	if (by == NULL || strcmp(by, from->name) != 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("column \"%s\" of %s cannot become %s: the table is partitioned by it", from->name, m->label,
						   to->type),
					errdetail("It is %s now.", from->type),
					errhint("Cast it to %s in the query; or SELECT strata.drop_model('%s'); and define it again.",
							from->type, m->label)));
}

static void
change_table(Definition *def)
{
	StrataModel *m = def->model;
	List *now = layers_target_columns(m->relid);
	List *actions = NIL;
	List *touched = NIL; /* columns whose views must step aside */
	List *suspended = NIL;
	List *old_key = layers_primary_key(m->relid);
	StrataIdentity saved;
	ListCell *lc;

	foreach (lc, now)
	{
		TargetColumn *c = lfirst(lc);

		if (find_target(def->columns, c->name) != NULL)
			continue;
		touched = lappend(touched, c->name);
		actions = lappend(actions, psprintf("DROP COLUMN %s", quote_identifier(c->name)));
		def->changes = lappend(def->changes, psprintf("column %s dropped", c->name));
	}
	foreach (lc, def->columns)
	{
		TargetColumn *c = lfirst(lc);
		TargetColumn *old = find_target(now, c->name);

		if (old == NULL)
		{
			c->added = true;
			actions = lappend(actions, psprintf("ADD COLUMN %s", layers_column_ddl(c)));
			def->changes = lappend(def->changes, psprintf("column %s added", c->name));
		}
		else if (!same_type(old, c))
		{
			char *ddl = layers_column_ddl(c);

			refuse_partition_column(m, old, c);
			touched = lappend(touched, c->name);
			actions = lappend(actions, psprintf("ALTER COLUMN %s TYPE %s USING %s", quote_identifier(c->name),
												ddl + strlen(quote_identifier(c->name)) + 1, conversion(m, old, c)));
			def->changes = lappend(def->changes, psprintf("column %s from %s to %s", c->name, old->type, c->type));
		}
	}
	if (actions == NIL)
		return;
	if (touched != NIL)
		suspended = layers_suspend_dependents(m->relid, m->label, touched, false);
	strata_base_enter_owner(m->owner, &m->settings, &saved);
	strata_base_execute(psprintf("ALTER TABLE %s %s", m->label, strata_base_join(actions, ", ")), NULL);
	/* the key went with one of its columns: the others are free of it */
	if (layers_primary_key(m->relid) == NIL)
		layers_allow_nulls(m, layers_without(old_key, def->key));
	strata_base_leave(&saved);
	layers_resume_dependents(suspended, m->label);
}

void
layers_change_target(Definition *def)
{
	if (strcmp(def->model->kind, "view") == 0)
		change_view(def);
	else
	{
		change_table(def);
		if (!layers_same_names(layers_primary_key(def->model->relid), def->key))
			def->changes = lappend(def->changes, "key changed");
	}
}

List *
layers_primary_key(Oid relid)
{
	Oid constraint = InvalidOid;
	HeapTuple tuple;
	bool isnull;
	Datum *attnums;
	int n;
	List *names = NIL;

	(void) get_primary_key_attnos(relid, true, &constraint);
	if (!OidIsValid(constraint))
		return NIL;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	if (!HeapTupleIsValid(tuple))
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_conkey, &isnull)),
					  INT2OID, sizeof(int16), true, TYPALIGN_SHORT, &attnums, NULL, &n);
	for (int i = 0; i < n; i++)
		names = lappend(names, get_attname(relid, DatumGetInt16(attnums[i]), false));
	ReleaseSysCache(tuple);
	return names;
}

/* As the owner. The old key goes before rows of the new one come; see the layers' refresh. */
void
layers_set_primary_key(const StrataModel *model, const List *key)
{
	StrataRows *rows;
	StrataArgs args = {0};

	strata_args_int8(&args, model->relid);
	rows = strata_base_query("SELECT conname FROM pg_constraint WHERE conrelid = $1::oid AND contype = 'p'", &args);
	if (rows->count > 0)
		strata_base_execute(psprintf("ALTER TABLE %s DROP CONSTRAINT %s", model->label,
									 strata_base_quote(strata_rows_text(rows, 0, 1))),
							NULL);
	if (key != NIL)
		strata_base_execute(
			psprintf("ALTER TABLE %s ADD PRIMARY KEY (%s)", model->label, strata_base_join_quoted(key, ", ")), NULL);
}

/* As the owner. Columns that were in a primary key keep its NOT NULL when it goes. */
void
layers_allow_nulls(const StrataModel *model, const List *columns)
{
	ListCell *lc;

	foreach (lc, columns)
	{
		if (get_attnum(model->relid, lfirst(lc)) != InvalidAttrNumber)
			strata_base_execute(
				psprintf("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", model->label, strata_base_quote(lfirst(lc))),
				NULL);
	}
}

/* Descriptions are COMMENT ON: what a BI tool shows. Without one given, a comment the user put there stays. */
void
layers_comment(const Definition *def)
{
	const StrataModel *m = def->model;
	ListCell *lc;

	if (m->description)
		strata_base_execute(psprintf("COMMENT ON %s %s IS %s", strcmp(m->kind, "view") == 0 ? "VIEW" : "TABLE",
									 m->label, strata_base_literal(m->description)),
							NULL);
	foreach (lc, strata_option_names(m->column_comments))
	{
		char *name = lfirst(lc);
		char *text = strata_option_text(m->column_comments, name);

		strata_base_execute(psprintf("COMMENT ON COLUMN %s.%s IS %s", m->label, strata_base_quote(name),
									 text ? strata_base_literal(text) : "NULL"),
							NULL);
	}
}
