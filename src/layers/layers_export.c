/*
 * layers_export.c: strata.export_definitions(): a warehouse printed as the script that makes it.
 *
 * Every query is the user's own text, so it is preceded by the settings it was written under. Arguments that equal their
 * defaults are left out. Running the script where the definitions are already there changes nothing.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "checks/checks.h"
#include "layers/layers_internal.h"
#include "layers/layers_script.h"
#include "plan/plan.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/varlena.h"

#define WIDE 100 /* JSON longer than this is written over several lines */

typedef struct Export
{
	StringInfoData out;
	List *models;
	char *search_path; /* what the script has set so far; NULL: nothing yet */
	StrataSettings settings;
} Export;

/* The text between dollar quotes whose tag it does not hold. */
static char *
dollar_quote(const char *text, const char *word)
{
	char *tag = pstrdup("$$");

	for (int i = 1;; i++)
	{
		char *whole = psprintf("%s%s", text, tag);

		if (strstr(whole, tag) == whole + strlen(text))
			return psprintf("%s%s%s", tag, text, tag);
		tag = i == 1 ? psprintf("$%s$", word) : psprintf("$%s%d$", word, i);
	}
}

/* ---- arguments ---- */

static void
put_text(StringInfo out, const char *name, const char *value)
{
	if (value)
		appendStringInfo(out, ",\n    %s => %s", name, strata_base_literal(value));
}

static void
put_texts(StringInfo out, const char *name, const List *values)
{
	StrataArgs args = {0};
	Oid output;
	bool varlena;

	if (values == NIL)
		return;
	strata_args_texts(&args, values);
	getTypeOutputInfo(TEXTARRAYOID, &output, &varlena);
	put_text(out, name, OidOutputFunctionCall(output, args.values[0]));
}

/* A long object has a line for each of its members. */
static char *
json_text(Jsonb *value)
{
	char *text = JsonbToCString(NULL, &value->root, VARSIZE(value));
	StringInfoData buf;
	ListCell *lc;

	if (strlen(text) <= WIDE || !JB_ROOT_IS_OBJECT(value))
		return text;
	initStringInfo(&buf);
	foreach (lc, strata_option_names(value))
	{
		JsonbValue *v = strata_option(value, lfirst(lc));
		Jsonb *member = v ? JsonbValueToJsonb(v) : NULL;

		appendStringInfoString(&buf, foreach_current_index(lc) > 0 ? ",\n        " : "{\n        ");
		escape_json(&buf, lfirst(lc));
		appendStringInfo(&buf, ": %s", member ? JsonbToCString(NULL, &member->root, VARSIZE(member)) : "null");
	}
	appendStringInfoString(&buf, "}");
	return buf.data;
}

static void
put_jsonb(StringInfo out, const char *name, Jsonb *value)
{
	if (value)
		put_text(out, name, json_text(value));
}

static void
put_options(StringInfo out, const StrataModel *m, const char *const *texts, const char *const *lists,
			const char *const *objects)
{
	for (; *lists; lists++)
		put_texts(out, *lists, strata_option_texts(m->options, *lists));
	for (; *texts; texts++)
		put_text(out, *texts, strata_option_text(m->options, *texts));
	for (; *objects; objects++)
		put_jsonb(out, *objects, strata_option_object(m->options, *objects));
}

static void
put_staging(StringInfo out, const StrataModel *m)
{
	static const char *const texts[] = {NULL};
	static const char *const lists[] = {"key", NULL};
	static const char *const objects[] = {"rules", NULL};

	if (strcmp(m->kind, "view") != 0)
		put_text(out, "materialized", m->kind);
	put_options(out, m, texts, lists, objects);
	if (strata_option_bool(m->options, "reject_failed_casts", false))
		appendStringInfoString(out, ",\n    reject_failed_casts => true");
}

static void
put_dimension(StringInfo out, const StrataModel *m)
{
	static const char *const texts[] = {"effective_from", "operation", "sequence", "deletes", "surrogate_key", NULL};
	static const char *const lists[] = {"key", "history", "fixed", NULL};
	static const char *const objects[] = {"unknown", NULL};
	char *shrink = strata_option_text(m->options, "max_shrink");

	put_options(out, m, texts, lists, objects);
	if (shrink == NULL || strcmp(shrink, "0.5") != 0)
		appendStringInfo(out, ",\n    max_shrink => %s", shrink ? shrink : "NULL");
}

static void
put_date_dimension(StringInfo out, const StrataModel *m)
{
	char *locale = strata_option_text(m->options, "locale");
	int fiscal = strata_option_int(m->options, "fiscal_year_start", 1);

	appendStringInfo(out, ", %s, %s", strata_base_literal(strata_option_text(m->options, "start_date")),
					 strata_base_literal(strata_option_text(m->options, "end_date")));
	if (locale && strcmp(locale, "en") != 0)
		put_text(out, "locale", locale);
	if (fiscal != 1)
		appendStringInfo(out, ",\n    fiscal_year_start => %d", fiscal);
	put_jsonb(out, "holidays", strata_option_object(m->options, "holidays"));
}

static void
put_fact(StringInfo out, const StrataModel *m)
{
	static const char *const texts[] = {"partition_by", NULL};
	static const char *const lists[] = {"grain", NULL};
	static const char *const objects[] = {"dimensions", NULL};
	char *unit = strata_option_text(m->options, "partition_unit");
	int ahead = strata_option_int(m->options, "partitions_ahead", 3);

	put_options(out, m, texts, lists, objects);
	if (unit && strcmp(unit, "month") != 0)
		put_text(out, "partition_unit", unit);
	if (ahead != 3)
		appendStringInfo(out, ",\n    partitions_ahead => %d", ahead);
}

static void
put_mart(StringInfo out, const StrataModel *m)
{
	static const char *const texts[] = {NULL};
	static const char *const lists[] = {"key", NULL};
	static const char *const objects[] = {"foreign_keys", NULL};

	put_options(out, m, texts, lists, objects);
}

/* ---- queries ---- */

typedef struct Resolution
{
	const StrataModel *model;
	bool same;
} Resolution;

/* Whether the text still reads what the model reads. */
static void
resolve(Resolution *r)
{
	StrataLineage *lineage = strata_lineage_analyze(strata_lineage_parse(r->model->query, "query"));
	List *known = NIL;
	ListCell *lc;

	foreach (lc, r->model->dependencies)
	{
		StrataDependency *d = lfirst(lc);

		known = lappend(known, strata_base_label(d->schema, d->name));
	}
	r->same = true;
	foreach (lc, lineage->references)
	{
		StrataReference *ref = lfirst(lc);

		r->same = r->same && strata_base_list_has(known, strata_base_label(ref->schema, ref->name));
	}
}

static bool
still_reads_the_same(const StrataModel *m)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Resolution r = {m, false};
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void) set_config_option("search_path", m->search_path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		resolve(&r);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error && (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
				  ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION))
		ReThrowError(error);
	return error == NULL && r.same;
}

/* A name may hold a line break, which would end the comment it stands in. */
static char *
on_one_line(const char *label)
{
	char *line = pstrdup(label);

	for (char *p = line; *p; p++)
		if (iscntrl((unsigned char) *p))
			*p = ' ';
	return line;
}

/*
 * The user's text; after a rename, which the server follows and a text does not, what the server has. The rules of a staging model
 * are part of what the server has, so such a model keeps its text.
 */
static char *
query_text(StringInfo out, const StrataModel *m)
{
	StrataArgs args = {0};
	char *resolved;

	if (still_reads_the_same(m))
		return m->query;
	if (m->layer == STRATA_STAGING &&
		(strata_option(m->options, "rules") || strata_option(m->options, "reject_failed_casts")))
	{
		appendStringInfo(out, "-- What %s reads has been renamed or is gone: correct its query.\n",
						 on_one_line(m->label));
		return m->query;
	}
	strata_args_text(&args, strcmp(m->kind, "view") == 0 ? m->label : m->query_view);
	resolved = strata_rows_text(
		strata_base_keeper_query("SELECT rtrim(pg_get_viewdef(to_regclass($1), 0), ';')", &args), 0, 1);
	if (resolved == NULL)
		return m->query;
	appendStringInfo(
		out,
		"-- The query of %s as the server keeps it: its own names no longer lead to what it reads (renamed since, or not open to this role).\n",
		on_one_line(m->label));
	return psprintf("\n%s\n", resolved);
}

/* ---- settings ---- */

static char *
path_list(char *path)
{
	List *names;
	List *quoted = NIL;
	ListCell *lc;

	if (!SplitIdentifierString(pstrdup(path), ',', &names) || names == NIL)
		return strata_base_literal(path);
	foreach (lc, names)
		quoted = lappend(quoted, strata_base_quote(lfirst(lc)));
	return strata_base_join(quoted, ", ");
}

static void
put_setting(StringInfo out, const char *name, char **now, char *wanted, char *value)
{
	if (*now && strcmp(*now, wanted) == 0)
		return;
	*now = wanted;
	appendStringInfo(out, "SET %s = %s;\n", name, value);
}

static void
put_settings(Export *e, const StrataModel *m)
{
	StringInfo out = &e->out;
	int before = out->len;

	put_setting(out, "search_path", &e->search_path, m->search_path, path_list(m->search_path));
	put_setting(out, "TimeZone", &e->settings.time_zone, m->settings.time_zone,
				strata_base_literal(m->settings.time_zone));
	put_setting(out, "DateStyle", &e->settings.date_style, m->settings.date_style,
				strata_base_literal(m->settings.date_style));
	put_setting(out, "IntervalStyle", &e->settings.interval_style, m->settings.interval_style,
				strata_base_literal(m->settings.interval_style));
	if (out->len > before)
		appendStringInfoChar(out, '\n');
}

/* ---- the parts of the script ---- */

static void
put_model(Export *e, const StrataModel *m)
{
	StringInfo out = &e->out;
	bool date = strcmp(m->kind, "date") == 0;

	put_settings(e, m);
	if (date)
		appendStringInfo(out, "SELECT strata.define_date_dimension(%s", strata_base_literal(m->label));
	else
	{
		char *query = query_text(out, m);

		appendStringInfo(out, "SELECT strata.define_%s(%s, %s", strata_registry_layer_name(m->layer),
						 strata_base_literal(m->label), dollar_quote(query, "query"));
	}
	switch (m->layer)
	{
		case STRATA_STAGING:
			put_staging(out, m);
			break;
		case STRATA_DIMENSION:
			if (date)
				put_date_dimension(out, m);
			else
				put_dimension(out, m);
			break;
		case STRATA_FACT:
			put_fact(out, m);
			break;
		case STRATA_MART:
			put_mart(out, m);
			break;
	}
	if (strcmp(m->refresh, "auto") != 0)
		put_text(out, "refresh", m->refresh);
	put_text(out, "description", m->description);
	put_jsonb(out, "columns", m->column_comments);
	put_texts(out, "tags", m->tags);
	appendStringInfoString(out, ");\n\n");
}

/* A role that may not create schemas can run this where they are there. */
static void
put_schemas(Export *e)
{
	List *seen = list_make1(pstrdup("public"));
	StringInfoData body;
	ListCell *lc;

	initStringInfo(&body);
	foreach (lc, e->models)
	{
		StrataModel *m = lfirst(lc);
		char *quoted = strata_base_quote(m->schema);

		if (strata_base_list_has(seen, m->schema))
			continue;
		seen = lappend(seen, m->schema);
		appendStringInfo(&body, "    IF pg_catalog.to_regnamespace(%s) IS NULL THEN CREATE SCHEMA %s; END IF;\n",
						 strata_base_literal(quoted), quoted);
	}
	if (body.len > 0)
		appendStringInfo(&e->out, "DO %s;\n\n", dollar_quote(psprintf("\nBEGIN\n%sEND\n", body.data), "schemas"));
}

/* With all models, all sources; else those the chosen models read. */
static bool
wants_source(const Export *e, bool all, const char *schema, const char *name)
{
	ListCell *lc;
	ListCell *lc2;

	if (all)
		return true;
	foreach (lc, e->models)
		foreach (lc2, ((StrataModel *) lfirst(lc))->dependencies)
		{
			StrataDependency *d = lfirst(lc2);

			if (strcmp(d->name, name) == 0 && strcmp(d->schema, schema) == 0)
				return true;
		}
	return false;
}

static void
put_sources(Export *e, bool all)
{
	/* the view decides who may see what */
	StrataRows *visible = strata_base_query("SELECT source FROM strata.sources", NULL);
	StrataRows *rows;
	StrataArgs args = {0};
	List *labels = NIL;
	StringInfo out = &e->out;
	bool any = false;

	for (uint64 i = 0; i < visible->count; i++)
		labels = lappend(labels, strata_rows_text(visible, i, 1));
	strata_args_texts(&args, labels);
	rows = strata_base_keeper_query(
		"SELECT schema_name, relation_name, loaded_at, warn_after::text, error_after::text, description, column_comments, tags,"
		" nullif(changes, 'auto'), lookback::text FROM strata_state.source WHERE format('%I.%I', schema_name, relation_name) = ANY ($1)"
		" ORDER BY schema_name, relation_name",
		&args);
	for (uint64 i = 0; i < rows->count; i++)
	{
		char *schema = strata_rows_text(rows, i, 1);
		char *name = strata_rows_text(rows, i, 2);

		if (!wants_source(e, all, schema, name))
			continue;
		appendStringInfo(out, "%sSELECT strata.define_source(%s", any ? "" : "-- Sources\n\n",
						 strata_base_literal(strata_base_label(schema, name)));
		any = true;
		put_text(out, "loaded_at", strata_rows_text(rows, i, 3));
		put_text(out, "warn_after", strata_rows_text(rows, i, 4));
		put_text(out, "error_after", strata_rows_text(rows, i, 5));
		put_text(out, "description", strata_rows_text(rows, i, 6));
		put_jsonb(out, "columns", strata_rows_jsonb(rows, i, 7));
		put_texts(out, "tags", strata_rows_texts(rows, i, 8));
		put_text(out, "changes", strata_rows_text(rows, i, 9));
		put_text(out, "lookback", strata_rows_text(rows, i, 10));
		appendStringInfoString(out, ");\n");
	}
	if (any)
		appendStringInfoChar(out, '\n');
}

char *
layers_export(const char *models)
{
	Export e = {{0}};
	ListCell *lc;
	bool any = false;

	e.models = strata_plan_select(models, NULL);
	initStringInfo(&e.out);
	appendStringInfoString(
		&e.out, "-- A warehouse of pg_strata, as strata.export_definitions() wrote it: psql -f makes it again;\n"
				"-- where it stands already, nothing changes.\n\n");
	put_schemas(&e);
	put_sources(&e, strcmp(models, "*") == 0);
	if (e.models != NIL)
		appendStringInfoString(&e.out, "-- Models, each after what it reads\n\n");
	foreach (lc, e.models)
		put_model(&e, lfirst(lc));
	foreach (lc, e.models)
	{
		char *checks = strata_checks_export(lfirst(lc));

		if (*checks == '\0')
			continue;
		if (!any)
			appendStringInfoString(&e.out, "-- Checks\n\n");
		any = true;
		put_settings(&e, lfirst(lc));
		appendStringInfoString(&e.out, checks);
	}
	return e.out.data;
}
