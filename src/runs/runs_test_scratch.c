/*
 * runs_test_scratch.c: a model and what it reads, once more under other schemas, to be filled with given rows.
 *
 * Relations are replaced by name: the query as PostgreSQL resolved it has every name qualified, so the schemas of the relations read
 * are changed in its raw parse tree and it is analyzed again. The copy is a model like any other, made by the same code, and
 * refreshed by the same code. All of it lives in a subtransaction that is rolled back.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "lineage/lineage.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "runs/runs_test.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static char *
scratch_schema(int n)
{
	return psprintf("strata_test_%d_%d", MyProcPid, n);
}

char *
runs_scratch_plain(const Scratch *scratch, const char *message)
{
	StringInfoData buf;

	if (message == NULL)
		return NULL;
	initStringInfo(&buf);
	while (*message)
	{
		bool found = false;

		/* from the last, so that _1 is not taken for the beginning of _12 */
		for (int i = list_length(scratch->schemas) - 1; i >= 0 && !found; i--)
		{
			char *schema = scratch_schema(i);

			if (strncmp(message, schema, strlen(schema)) != 0)
				continue;
			appendStringInfoString(&buf, quote_identifier(list_nth(scratch->schemas, i)));
			message += strlen(schema);
			found = true;
		}
		if (!found)
			appendStringInfoChar(&buf, *message++);
	}
	return buf.data;
}

/* ---- the stand-ins ---- */

static char *
stand_in(Scratch *scratch, const char *schema, const char *name)
{
	int n = 0;

	while (n < list_length(scratch->schemas) && strcmp(list_nth(scratch->schemas, n), schema) != 0)
		n++;
	if (n == list_length(scratch->schemas))
	{
		StrataIdentity saved;

		scratch->schemas = lappend(scratch->schemas, pstrdup(schema));
		strata_base_enter_keeper(&saved);
		strata_base_execute(psprintf("CREATE SCHEMA %s AUTHORIZATION %s", scratch_schema(n),
									 quote_identifier(GetUserNameFromId(scratch->model->owner, false))),
							NULL);
		strata_base_leave(&saved);
	}
	return strata_base_label(scratch_schema(n), name);
}

/* The columns of a relation: (name, type, " COLLATE ..." or '') */
static StrataRows *
columns_of(Oid relid)
{
	StrataArgs args = {0};

	strata_args_int8(&args, relid);
	return strata_base_keeper_query(
		"SELECT a.attname, format_type(a.atttypid, a.atttypmod),"
		" CASE WHEN a.attcollation <> t.typcollation THEN format(' COLLATE %I.%I', n.nspname, c.collname) ELSE '' END"
		" FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
		" LEFT JOIN pg_collation c ON c.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = c.collnamespace"
		" WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
		&args);
}

static void
make_table(Scratch *scratch, ScratchRelation *r)
{
	StrataRows *columns = columns_of(r->relid);
	StringInfoData sql;
	StrataIdentity saved;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", r->scratch);
	for (uint64 i = 0; i < columns->count; i++)
		appendStringInfo(&sql, "%s%s %s%s", i > 0 ? ", " : "", quote_identifier(strata_rows_text(columns, i, 1)),
						 strata_rows_text(columns, i, 2), strata_rows_text(columns, i, 3));
	foreach (lc, scratch->keys)
	{
		char *end;

		if (strtoul(lfirst(lc), &end, 10) == r->relid)
			appendStringInfo(&sql, ", %s", end + 1);
	}
	appendStringInfoChar(&sql, ')');
	strata_base_enter_owner(scratch->model->owner, &scratch->model->settings, &saved);
	strata_base_execute(sql.data, NULL);
	strata_base_leave(&saved);
}

/* A dimension whose query gives nothing: its rows are given. A date dimension is its own query. */
static void
make_dimension(Scratch *scratch, ScratchRelation *r)
{
	StrataModel *d = r->dimension;
	bool date = strcmp(d->kind, "date") == 0;
	StrataDefine define = {STRATA_DIMENSION, d->kind, r->scratch, d->query, d->options, "full"};
	StrataIdentity saved;
	StrataName name = strata_base_parse_name(r->scratch, "given");

	if (!date)
	{
		StrataRows *columns =
			columns_of(get_relname_relid(psprintf("m%d_query", d->id), get_namespace_oid("strata_state", false)));
		StringInfoData sql;

		initStringInfo(&sql);
		for (uint64 i = 0; i < columns->count; i++)
			appendStringInfo(&sql, "%s NULL::%s%s AS %s", i > 0 ? "," : "SELECT", strata_rows_text(columns, i, 2),
							 strata_rows_text(columns, i, 3), quote_identifier(strata_rows_text(columns, i, 1)));
		appendStringInfoString(&sql, " WHERE false");
		define.query = sql.data;
	}
	strata_base_enter_owner(scratch->model->owner, &scratch->model->settings, &saved);
	(void) strata_layers_define(&define);
	strata_base_leave(&saved);
	r->copy = strata_registry_find(name.schema, name.name);
	if (date)
	{
		StrataRefresh refresh = {NULL, GetCurrentTimestamp()};
		StrataRefreshResult result = {{0}};

		refresh.snapshot = RegisterSnapshot(GetTransactionSnapshot());
		strata_layers_refresh(r->copy, &refresh, &result);
		UnregisterSnapshot(refresh.snapshot);
		r->filled = true;
	}
}

/* ---- the query ---- */

static Query *
analyze(RawStmt *raw, const char *text)
{
	return parse_analyze_fixedparams(raw, text, NULL, 0, NULL);
}

static char *
deparse(Query *query)
{
	StrataIdentity saved;
	char *text;

	/* with only pg_catalog in the path every other name comes out qualified */
	strata_base_enter_keeper(&saved);
	text = strata_base_query_text(query);
	strata_base_leave(&saved);
	return text;
}

/*
 * The model's query with every name qualified. What the server keeps follows renames; where rules of a staging model are woven into it, the
 * user's text is resolved again.
 */
static char *
resolved_query(const StrataModel *m)
{
	StrataIdentity saved;
	StrataArgs args = {0};
	Query *query;

	if (m->layer != STRATA_STAGING ||
		(strata_option(m->options, "rules") == NULL && strata_option(m->options, "reject_failed_casts") == NULL))
	{
		char *text;

		strata_args_text(&args, strcmp(m->kind, "view") == 0 ? m->label : m->query_view);
		text = strata_rows_text(strata_base_keeper_query("SELECT rtrim(pg_get_viewdef(to_regclass($1)), ';')", &args),
								0, 1);
		if (text == NULL)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the definition of model %s is gone", m->label),
							errhint("SELECT strata.drop_model('%s'); then define it again.", m->label)));
		return text;
	}
	strata_base_enter_owner(m->owner, &m->settings, &saved);
	(void) set_config_option("search_path", m->search_path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	query = strata_lineage_parse(m->query, psprintf("the query of model %s", m->label));
	strata_base_leave(&saved);
	return deparse(query);
}

static bool
move_relations(Node *node, Scratch *scratch)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, RangeVar))
		return raw_expression_tree_walker(node, move_relations, scratch);
	foreach (lc, scratch->relations)
	{
		ScratchRelation *r = lfirst(lc);
		RangeVar *v = (RangeVar *) node;

		if (v->schemaname && strcmp(v->schemaname, r->schema) == 0 && strcmp(v->relname, r->name) == 0)
		{
			v->schemaname = strata_base_parse_name(r->scratch, "given").schema;
			break;
		}
	}
	return false;
}

static char *
moved_query(Scratch *scratch, const char *text)
{
	RawStmt *raw = linitial_node(RawStmt, raw_parser(text, RAW_PARSE_DEFAULT));
	StrataIdentity saved;
	Query *query;

	move_relations(raw->stmt, scratch);
	strata_base_enter_owner(scratch->model->owner, &scratch->model->settings, &saved);
	query = analyze(raw, text);
	strata_base_leave(&saved);
	return deparse(query);
}

/* Primary keys without which the query would not be valid: those that let it GROUP BY the key alone. */
static void
note_keys(Scratch *scratch, const char *text)
{
	StrataIdentity saved;
	Query *query;
	ListCell *lc;

	strata_base_enter_owner(scratch->model->owner, &scratch->model->settings, &saved);
	query = analyze(linitial_node(RawStmt, raw_parser(text, RAW_PARSE_DEFAULT)), text);
	strata_base_leave(&saved);
	foreach (lc, query->constraintDeps)
	{
		StrataArgs args = {0};
		StrataRows *rows;

		strata_args_int8(&args, lfirst_oid(lc));
		rows = strata_base_keeper_query("SELECT conrelid::bigint || '|' || pg_get_constraintdef(oid)"
										" FROM pg_constraint WHERE oid = $1::oid",
										&args);
		if (rows->count > 0)
			scratch->keys = lappend(scratch->keys, strata_rows_text(rows, 0, 1));
	}
}

/* ---- the copy ---- */

/* By the text of the fact's option, which may leave the schema out. */
static ScratchRelation *
dimension_relation(const Scratch *scratch, const char *text)
{
	StrataName name = strata_base_parse_name(text, "dimension");
	ListCell *lc;

	foreach (lc, scratch->relations)
	{
		ScratchRelation *r = lfirst(lc);

		if (r->dimension && strcmp(r->name, name.name) == 0 &&
			(name.schema == NULL || strcmp(r->schema, name.schema) == 0))
			return r;
	}
	elog(ERROR, "dimension %s is not among what the fact reads", text);
	return NULL;
}

static List *
fact_dimensions(const StrataModel *m)
{
	Jsonb *all = m->layer == STRATA_FACT ? strata_option_object(m->options, "dimensions") : NULL;
	List *dimensions = NIL;
	ListCell *lc;

	foreach (lc, strata_option_names(all))
		dimensions = lappend(
			dimensions,
			strata_registry_get(strata_option_text(strata_option_object(all, lfirst(lc)), "dimension"), "dimension"));
	return dimensions;
}

static void
put_member(StrataOptions *o, const Jsonb *from, const char *name)
{
	JsonbValue *v = strata_option(from, name);

	if (v)
		strata_options_jsonb(o, name, JsonbValueToJsonb(v));
}

static Jsonb *
moved_dimensions(const Scratch *scratch)
{
	Jsonb *all = strata_option_object(scratch->model->options, "dimensions");
	StrataOptions *o = strata_options_start();
	ListCell *lc;
	ListCell *lc2;

	foreach (lc, strata_option_names(all))
	{
		Jsonb *spec = strata_option_object(all, lfirst(lc));
		StrataOptions *moved = strata_options_start();

		foreach (lc2, strata_option_names(spec))
			if (strcmp(lfirst(lc2), "dimension") != 0)
				put_member(moved, spec, lfirst(lc2));
		strata_options_text(moved, "dimension",
							dimension_relation(scratch, strata_option_text(spec, "dimension"))->scratch);
		strata_options_jsonb(o, lfirst(lc), strata_options_finish(moved));
	}
	return strata_options_finish(o);
}

/* The model's options; foreign keys, which only document, stay behind. */
static Jsonb *
moved_options(const Scratch *scratch)
{
	const Jsonb *options = scratch->model->options;
	StrataOptions *o = strata_options_start();
	ListCell *lc;

	foreach (lc, strata_option_names(options))
	{
		if (strcmp(lfirst(lc), "foreign_keys") == 0)
			continue;
		if (scratch->model->layer == STRATA_FACT && strcmp(lfirst(lc), "dimensions") == 0)
			strata_options_jsonb(o, "dimensions", moved_dimensions(scratch));
		else
			put_member(o, options, lfirst(lc));
	}
	return strata_options_finish(o);
}

Scratch *
runs_scratch_make(StrataModel *model)
{
	Scratch *scratch = palloc0(sizeof(Scratch));
	List *dimensions = fact_dimensions(model);
	ListCell *lc;
	ListCell *lc2;

	scratch->model = model;
	note_keys(scratch, resolved_query(model));
	foreach (lc, model->dependencies)
	{
		StrataDependency *d = lfirst(lc);
		ScratchRelation *r = palloc0(sizeof(ScratchRelation));
		StrataRows *columns;

		if (strcmp(d->schema, "pg_catalog") == 0 || strcmp(d->schema, "information_schema") == 0)
			continue;
		r->schema = d->schema;
		r->name = d->name;
		r->label = strata_base_label(d->schema, d->name);
		r->relid = get_relname_relid(d->name, get_namespace_oid(d->schema, false));
		foreach (lc2, dimensions)
			if (strcmp(((StrataModel *) lfirst(lc2))->label, r->label) == 0)
				r->dimension = lfirst(lc2);
		r->scratch = stand_in(scratch, r->schema, r->name);
		columns = columns_of(r->relid);
		for (uint64 i = 0; i < columns->count; i++)
			r->columns = lappend(r->columns, strata_rows_text(columns, i, 1));
		if (r->dimension)
			make_dimension(scratch, r);
		else
			make_table(scratch, r);
		scratch->relations = lappend(scratch->relations, r);
	}
	return scratch;
}

void
runs_scratch_define(Scratch *scratch)
{
	StrataModel *m = scratch->model;
	char *label = stand_in(scratch, m->schema, m->name);
	StrataName name = strata_base_parse_name(label, "model");
	StrataDefine define = {m->layer, m->kind, label, moved_query(scratch, resolved_query(m)), moved_options(scratch),
						   "full"};
	StrataIdentity saved;
	List *lacking = NIL;
	ListCell *lc;

	foreach (lc, scratch->relations)
		if (!((ScratchRelation *) lfirst(lc))->filled)
			lacking = lappend(lacking, ((ScratchRelation *) lfirst(lc))->label);
	if (lacking != NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("given has no rows for all that model %s reads", m->label),
						errdetail("It lacks %s.", strata_base_join(lacking, ", ")),
						errhint("Write \"%s\": [] for a relation without rows.", (char *) linitial(lacking))));
	strata_base_enter_owner(m->owner, &m->settings, &saved);
	(void) strata_layers_define(&define);
	strata_base_leave(&saved);
	scratch->copy = strata_registry_find(name.schema, name.name);
}

/* ---- the rows ---- */

static ScratchRelation *
find_relation(const Scratch *scratch, const char *text)
{
	StrataName name = strata_base_parse_name(text, "given");
	List *labels = NIL;
	ListCell *lc;
	char *hint;

	foreach (lc, scratch->relations)
	{
		ScratchRelation *r = lfirst(lc);

		if (strcmp(r->name, name.name) == 0 && (name.schema == NULL || strcmp(r->schema, name.schema) == 0))
			return r;
		labels = lappend(labels, r->label);
	}
	hint = strata_base_suggestion(text, labels);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("given: model %s does not read \"%s\"", scratch->model->label, text),
			 labels == NIL ? errdetail("It reads nothing.") : errdetail("It reads %s.", strata_base_join(labels, ", ")),
			 hint ? errhint("%s", hint) : 0));
	return NULL;
}

static void
shape_error(const char *what, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s %s", what, problem),
					errhint("Write its rows as [{\"column\": value, ...}, ...].")));
}

void
runs_test_check_rows(Jsonb *rows, const List *columns, const char *what)
{
	JsonbIterator *it;
	JsonbValue v;
	JsonbIteratorToken token;
	int depth = 0;

	if (rows == NULL || !JB_ROOT_IS_ARRAY(rows) || JB_ROOT_IS_SCALAR(rows))
		shape_error(what, "is not an array of rows");
	it = JsonbIteratorInit(&rows->root);
	while ((token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		if (token == WJB_ELEM && depth == 1)
			shape_error(what, "holds something that is not a row");
		if (token == WJB_BEGIN_ARRAY && depth == 1)
			shape_error(what, "holds something that is not a row");
		if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT)
			depth++;
		else if (token == WJB_END_ARRAY || token == WJB_END_OBJECT)
			depth--;
		else if (token == WJB_KEY && depth == 2)
		{
			char *name = pnstrdup(v.val.string.val, v.val.string.len);
			char *hint;

			if (strata_base_list_has(columns, name))
				continue;
			hint = strata_base_suggestion(name, columns);
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("%s has no column \"%s\"", what, name),
							errdetail("Its columns are %s.", strata_base_join(columns, ", ")),
							hint ? errhint("%s", hint) : 0));
		}
	}
}

static char *
column_list(const List *names, const char *prefix)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, names)
		appendStringInfo(&buf, "%s%s%s", foreach_current_index(lc) > 0 ? ", " : "", prefix,
						 quote_identifier(lfirst(lc)));
	return buf.data;
}

/* What a row of a dimension does not say follows from the rest of it: the key by its place, no end, hence current. */
static void
fill_dimension(ScratchRelation *r, const StrataArgs *args)
{
	StringInfoData values;
	List *names = NIL;
	List *key = NIL;
	char *surrogate = NULL;
	bool versions = false;
	ListCell *lc;

	initStringInfo(&values);
	foreach (lc, strata_registry_columns(r->copy->id))
	{
		StrataColumn *c = lfirst(lc);
		const char *name = quote_identifier(c->name);

		names = lappend(names, c->name);
		appendStringInfoString(&values, foreach_current_index(lc) > 0 ? ", " : "");
		if (strcmp(c->role, "surrogate key") == 0)
		{
			surrogate = c->name;
			appendStringInfo(&values, "coalesce(r.%s, r.ordinality)", name);
		}
		else if (strcmp(c->role, "valid time") != 0)
			appendStringInfo(&values, "r.%s", name);
		else if (strcmp(c->name, "valid_from") == 0)
			appendStringInfoString(&values, "coalesce(r.valid_from, '-infinity')");
		else if (strcmp(c->name, "is_current") == 0)
			appendStringInfoString(&values, "coalesce(r.is_current, r.valid_to IS NULL)");
		else if (strcmp(c->name, "is_deleted") == 0)
			appendStringInfoString(&values, "coalesce(r.is_deleted, false)");
		else
			appendStringInfo(&values, "r.%s", name);
		versions = versions || strcmp(c->role, "valid time") == 0;
		if (strcmp(c->role, "key") == 0)
			key = lappend(key, c->name);
	}
	/* the unknown member stays unless another is given */
	strata_base_execute(psprintf("DELETE FROM %s WHERE %s <> 0", r->scratch, quote_identifier(surrogate)), NULL);
	strata_base_execute(
		psprintf(
			"DELETE FROM %s AS d WHERE EXISTS (SELECT 1 FROM jsonb_populate_recordset(NULL::%s, $1) AS r WHERE r.%s = 0)",
			r->scratch, r->scratch, quote_identifier(surrogate)),
		args);
	strata_base_execute(
		psprintf("INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_recordset(NULL::%s, $1) WITH ORDINALITY AS r",
				 r->scratch, column_list(names, ""), values.data, r->scratch),
		args);
	if (versions)
	{
		char *keys = strata_registry_state_relation(r->copy->id, "keys");

		strata_base_execute(psprintf("DELETE FROM %s", keys), NULL);
		strata_base_execute(
			psprintf(
				"INSERT INTO %s (%s, valid_from, strata_surrogate) SELECT %s, d.valid_from, d.%s FROM %s AS d WHERE d.%s <> 0",
				keys, column_list(key, ""), column_list(key, "d."), quote_identifier(surrogate), r->scratch,
				quote_identifier(surrogate)),
			NULL);
	}
}

static void
given_context(void *arg)
{
	errcontext("given rows of %s", (char *) arg);
}

void
runs_scratch_fill(Scratch *scratch, Jsonb *given)
{
	StrataModel *m = scratch->model;
	ListCell *lc;

	if (given == NULL || !JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("given is not an object"),
				 errhint("Write {\"schema.relation\": [{\"column\": value, ...}, ...], ...}, or an array of steps "
						 "[{\"as_of\": \"2026-01-01\", \"given\": {...}}, ...].")));
	foreach (lc, strata_option_names(given))
	{
		ScratchRelation *r = find_relation(scratch, lfirst(lc));
		Jsonb *rows = strata_option_object(given, lfirst(lc));
		StrataArgs args = {0};
		StrataIdentity saved;
		ErrorContextCallback context = {error_context_stack, given_context, r->label};

		runs_test_check_rows(rows, r->columns, psprintf("given \"%s\"", (char *) lfirst(lc)));
		strata_args_jsonb(&args, rows);
		error_context_stack = &context;
		strata_base_enter_owner(m->owner, &m->settings, &saved);
		if (r->dimension)
			fill_dimension(r, &args);
		else
		{
			char *columns = column_list(r->columns, "");

			strata_base_execute(psprintf("DELETE FROM %s", r->scratch), NULL);
			strata_base_execute(
				psprintf("INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_recordset(NULL::%s, $1) AS r", r->scratch,
						 columns, columns, r->scratch),
				&args);
		}
		strata_base_leave(&saved);
		error_context_stack = context.previous;
		r->filled = true;
	}
}
