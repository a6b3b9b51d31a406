/*
 * define.c: checks in and out of strata_state.check_definition, and what each kind asks of its arguments.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "checks/checks_internal.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define MAX_KIND_OPTIONS 4

typedef struct KindRule
{
	const char *name;
	int min_columns;
	int max_columns;
	bool row_filter; /* takes where, include_unknown */
	StrataOption options[MAX_KIND_OPTIONS];
} KindRule;

/* in the order of StrataCheckKind */
static const KindRule kind_rules[] = {
	{"not_null", 1, INDEX_MAX_KEYS, true, {{NULL}}},
	{"unique", 1, INDEX_MAX_KEYS, true, {{NULL}}},
	{"accepted_values", 1, 1, true, {{"values", STRATA_OPTION_ANY}}},
	{"relationships", 1, INDEX_MAX_KEYS, true, {{"to", STRATA_OPTION_TEXT}, {"columns", STRATA_OPTION_TEXTS}}},
	{"expression", 0, 0, true, {{"expression", STRATA_OPTION_TEXT}}},
	{"row_count", 0, 0, true, {{"min", STRATA_OPTION_INT}, {"max", STRATA_OPTION_INT}}},
	{"freshness", 1, 1, true, {{"max_age", STRATA_OPTION_TEXT}}},
	{"query", 0, 0, false, {{"query", STRATA_OPTION_TEXT}}},
	{"row_count_anomaly", 0, 0, true, {{"runs", STRATA_OPTION_INT}, {"deviations", STRATA_OPTION_NUMBER}}},
	{"geometry", 1, 1, true, {{"srid", STRATA_OPTION_INT}, {"valid", STRATA_OPTION_BOOL}}},
};

const char *
strata_checks_kind_name(StrataCheckKind kind)
{
	return kind_rules[kind].name;
}

static StrataCheckKind
kind_of(const char *name)
{
	List *names = NIL;
	char *hint;

	for (int i = 0; i < (int) lengthof(kind_rules); i++)
	{
		if (strcmp(kind_rules[i].name, name) == 0)
			return (StrataCheckKind) i;
		names = lappend(names, pstrdup(kind_rules[i].name));
	}
	hint = strata_base_suggestion(name, names);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind of check \"%s\"", name),
					errdetail("Kinds are %s.", strata_base_join(names, ", ")), hint ? errhint("%s", hint) : 0));
	return STRATA_CHECK_NOT_NULL;
}

/* ---- validation ---- */

static void
require_option(const StrataCheck *check, const char *option, const char *example)
{
	if (strata_option(check->options, option) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a check of kind %s needs option \"%s\"", kind_rules[check->kind].name, option),
						errhint("Write options => '%s'.", example)));
}

static void
check_option_names(const StrataCheck *check)
{
	const KindRule *rule = &kind_rules[check->kind];
	StrataOption known[MAX_KIND_OPTIONS + 2];
	int n = 0;

	while (n < MAX_KIND_OPTIONS && rule->options[n].name)
	{
		known[n] = rule->options[n];
		n++;
	}
	if (rule->row_filter)
	{
		known[n++] = (StrataOption){"where", STRATA_OPTION_TEXT};
		known[n++] = (StrataOption){"include_unknown", STRATA_OPTION_BOOL};
	}
	strata_base_check_options(check->options, known, n, psprintf("options of a %s check", rule->name));
}

static void
check_columns(const StrataCheckTarget *target, const StrataCheck *check)
{
	const KindRule *rule = &kind_rules[check->kind];
	int n = list_length(check->columns);
	List *seen = NIL;
	ListCell *lc;

	if (n < rule->min_columns || n > rule->max_columns)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						rule->max_columns == 0 ? errmsg("a check of kind %s takes no columns", rule->name)
						: rule->max_columns == 1
							? errmsg("a check of kind %s takes one column", rule->name)
							: errmsg("a check of kind %s takes 1 to %d columns", rule->name, rule->max_columns),
						errdetail("%d were given.", n),
						rule->max_columns == 0 ? errhint("Leave columns out; what it looks at is in its options.")
											   : errhint("Write columns => '{name}'.")));
	foreach (lc, check->columns)
	{
		const char *name = lfirst(lc);

		if (strata_checks_column(target, name) == NULL)
		{
			List *names = NIL;
			ListCell *c;
			char *hint;

			foreach (c, target->columns)
				names = lappend(names, ((StrataCheckColumn *) lfirst(c))->name);
			hint = strata_base_suggestion(name, names);
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("columns: column \"%s\" does not exist in %s", name, target->model->label),
							hint ? errhint("%s", hint) : errhint("SELECT * FROM strata.columns; lists them.")));
		}
		if (strata_base_list_has(seen, name))
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN), errmsg("columns: column \"%s\" is named twice", name),
							errhint("Name each column once.")));
		seen = lappend(seen, (void *) name);
	}
}

static void
check_values(const StrataCheck *check)
{
	JsonbValue *values = strata_option(check->options, "values");
	JsonbIterator *it;
	JsonbValue element;
	JsonbIteratorToken token;
	int n = 0;

	if (values->type != jbvBinary || !JsonContainerIsArray(values->val.binary.data) ||
		JsonContainerIsScalar(values->val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"values\" of an accepted_values check must be an array"),
						errhint("Write options => '{\"values\": [\"paid\", \"open\"]}'.")));
	it = JsonbIteratorInit(values->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		n++;
		if (element.type != jbvString && element.type != jbvNumeric && element.type != jbvBool)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"values\": element %d is not a string, a number or a boolean", n),
							element.type == jbvNull ? errhint("NULL always passes; add a not_null check to refuse it.")
													: errhint("Write a value in its text form, as a string.")));
	}
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("option \"values\" is empty"),
						errhint("Name at least one accepted value.")));
}

static void
check_range(const char *what, int64 value, int64 min, int64 max)
{
	if (value < min || value > max)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("%s must be from " INT64_FORMAT " to " INT64_FORMAT, what, min, max),
						errdetail("It is " INT64_FORMAT ".", value), errhint("Choose a number in that range.")));
}

static void
check_max_age(const StrataCheck *check)
{
	char *text = strata_option_text(check->options, "max_age");
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		Interval *age = DatumGetIntervalP(
			DirectFunctionCall3(interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		Interval zero = {0};

		if (!DatumGetBool(DirectFunctionCall2(interval_gt, IntervalPGetDatum(age), IntervalPGetDatum(&zero))))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("it must be longer than nothing")));
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->message = psprintf("option \"max_age\" is \"%s\": %s", text, error->message);
		error->hint = pstrdup("Write an interval: \"1 day\", \"36 hours\".");
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* What depends on the kind alone. */
static void
check_kind_options(const StrataCheck *check)
{
	switch (check->kind)
	{
		case STRATA_CHECK_ACCEPTED_VALUES:
			require_option(check, "values", "{\"values\": [\"paid\", \"open\"]}");
			check_values(check);
			break;
		case STRATA_CHECK_RELATIONSHIPS:
			require_option(check, "to", "{\"to\": \"dwh.dim_date\", \"columns\": [\"date_key\"]}");
			break;
		case STRATA_CHECK_EXPRESSION:
			require_option(check, "expression", "{\"expression\": \"montant > 0\"}");
			break;
		case STRATA_CHECK_QUERY:
			require_option(check, "query", "{\"query\": \"SELECT ... rows that fail\"}");
			break;
		case STRATA_CHECK_ROW_COUNT:
			if (strata_option(check->options, "min") == NULL)
				require_option(check, "max", "{\"min\": 1, \"max\": 1000}");
			check_range("option \"min\"", strata_option_int(check->options, "min", 0), 0, PG_INT64_MAX);
			check_range("option \"max\"", strata_option_int(check->options, "max", PG_INT64_MAX),
						strata_option_int(check->options, "min", 0), PG_INT64_MAX);
			break;
		case STRATA_CHECK_FRESHNESS:
			require_option(check, "max_age", "{\"max_age\": \"1 day\"}");
			check_max_age(check);
			break;
		case STRATA_CHECK_ROW_COUNT_ANOMALY:
			check_range("option \"runs\"", strata_option_int(check->options, "runs", 10), 3, STRATA_CHECKS_MAX_RUNS);
			if (!(strata_option_number(check->options, "deviations", 3) > 0))
				ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
								errmsg("option \"deviations\" must be greater than 0"), errhint("3 is usual.")));
			break;
		case STRATA_CHECK_GEOMETRY:
			check_range("option \"srid\"", strata_option_int(check->options, "srid", 0), 0, 999999);
			break;
		default:
			break;
	}
}

static void
check_thresholds(const StrataCheck *check)
{
	if (strcmp(check->severity, "error") != 0 && strcmp(check->severity, "warn") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("severity must be error or warn, it is \"%s\"", check->severity),
						errhint("error stops the publication of what a refresh made; warn only reports.")));
	check_range("warn_above", check->warn_above, 0, PG_INT64_MAX);
	check_range("error_above", check->error_above, 0, PG_INT64_MAX);
	check_range("sample_rows", check->sample_rows, 0, STRATA_CHECKS_MAX_SAMPLE);
	if (strcmp(check->severity, "error") == 0 && check->warn_above > check->error_above)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("warn_above is greater than error_above"),
						errdetail("More than " INT64_FORMAT " failures fail the check, so a warning above " INT64_FORMAT
								  " would never be given.",
								  check->error_above, check->warn_above),
						errhint("Raise error_above, or choose severity => 'warn'.")));
}

static void
explain(const char *sql)
{
	(void) strata_base_query(psprintf("EXPLAIN %s", sql), NULL);
}

static void
explain_check(const StrataCheckTarget *target, const StrataCheck *check)
{
	char *condition = strata_checks_condition(target, check);
	char *filter = strata_checks_filter(target, check);

	if (check->kind == STRATA_CHECK_UNIQUE)
		explain(strata_checks_unique_sql(target, check));
	else if (check->kind == STRATA_CHECK_RELATIONSHIPS)
		explain(strata_checks_relationships_sql(target, check));
	else if (check->kind == STRATA_CHECK_QUERY)
		explain(strata_checks_query_sql(check));
	else
		explain(psprintf("SELECT count(*)%s%s FROM %s t WHERE (%s) AND (%s)",
						 check->kind == STRATA_CHECK_FRESHNESS ? ", " : "",
						 check->kind == STRATA_CHECK_FRESHNESS ? strata_checks_newest(target, check, NULL) : "",
						 target->model->label, filter ? filter : "true", condition ? condition : "true"));
}

/*
 * Generates what will run and has it explained, as the owner: what PostgreSQL refuses (a value that is none of the type, a
 * right the owner lacks) is refused now, not at night. EXPLAIN checks rights and reads no row.
 */
static void
rehearse(const StrataCheckTarget *target, const StrataCheck *check)
{
	MemoryContext context = CurrentMemoryContext;
	StrataIdentity saved;

	strata_base_enter_owner(target->model->owner, &target->model->settings, &saved);
	PG_TRY();
	{
		explain_check(target, check);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->message = psprintf("check %s on %s: %s", check->name, target->model->label, error->message);
		/* the statement is ours, the user did not write it */
		error->internalpos = 0;
		error->internalquery = NULL;
		if (error->hint == NULL)
			error->hint = pstrdup("Correct the columns or options of the check.");
		ReThrowError(error);
	}
	PG_END_TRY();
	strata_base_leave(&saved);
}

/* ---- names ---- */

static char *
hash_text(const char *text)
{
	return psprintf("%08x", DatumGetUInt32(hash_any((const unsigned char *) text, strlen(text))));
}

/* kind and columns; kind and a hash of the text for those whose text is what they are */
static char *
default_name(const StrataCheck *check)
{
	const char *kind = kind_rules[check->kind].name;
	char *name;

	if (check->kind == STRATA_CHECK_EXPRESSION || check->kind == STRATA_CHECK_QUERY)
		return psprintf("%s_%s", kind, hash_text(strata_option_text(check->options, kind)));
	name = check->columns == NIL ? pstrdup(kind) : psprintf("%s_%s", kind, strata_base_join(check->columns, "_"));
	if (strlen(name) >= NAMEDATALEN)
	{
		char *hash = hash_text(name);

		name[pg_mbcliplen(name, strlen(name), NAMEDATALEN - 1 - 9)] = '\0';
		name = psprintf("%s_%s", name, hash);
	}
	return name;
}

/* ---- the store ---- */

#define CHECK_COLUMNS                                                                                \
	"id, name, kind, columns, options, severity, warn_above, error_above, sample_rows, description," \
	" resolved ->> 'where', resolved ->> 'expression', resolved ->> 'query'"

static StrataCheck *
check_from_row(const StrataRows *rows, uint64 i)
{
	StrataCheck *check = palloc0(sizeof(StrataCheck));

	check->id = strata_rows_int(rows, i, 1);
	check->name = strata_rows_text(rows, i, 2);
	check->kind = kind_of(strata_rows_text(rows, i, 3));
	check->columns = strata_rows_texts(rows, i, 4);
	check->options = strata_rows_jsonb(rows, i, 5);
	check->severity = strata_rows_text(rows, i, 6);
	check->warn_above = strata_rows_int(rows, i, 7);
	check->error_above = strata_rows_int(rows, i, 8);
	check->sample_rows = strata_rows_int(rows, i, 9);
	check->description = strata_rows_text(rows, i, 10);
	check->where = strata_rows_text(rows, i, 11);
	check->expression = strata_rows_text(rows, i, 12);
	check->query = strata_rows_text(rows, i, 13);
	return check;
}

List *
strata_checks_load(int model_id)
{
	StrataArgs args = {0};
	StrataRows *rows;
	List *checks = NIL;

	if (!strata_table_has_pages("check_definition"))
		return NIL;
	strata_args_int4(&args, model_id);
	rows = strata_base_keeper_query(
		"SELECT " CHECK_COLUMNS " FROM strata_state.check_definition WHERE model_id = $1 ORDER BY id", &args);
	for (uint64 i = 0; i < rows->count; i++)
		checks = lappend(checks, check_from_row(rows, i));
	return checks;
}

bool
strata_checks_exist(int model_id)
{
	StrataArgs args = {0};

	strata_args_int4(&args, model_id);
	return strata_rows_bool(strata_base_keeper_query(
								"SELECT EXISTS (SELECT FROM strata_state.check_definition WHERE model_id = $1)", &args),
							0, 1);
}

/* One statement: the same definition again touches nothing, another one replaces it and keeps its history. */
static void
store(const StrataModel *model, const StrataCheck *check)
{
	StrataArgs args = {0};
	StrataOptions *resolved = strata_options_start();

	strata_options_text(resolved, "where", check->where);
	strata_options_text(resolved, "expression", check->expression);
	strata_options_text(resolved, "query", check->query);
	strata_args_int4(&args, model->id);
	strata_args_text(&args, check->name);
	strata_args_text(&args, kind_rules[check->kind].name);
	strata_args_texts(&args, check->columns);
	strata_args_jsonb(&args, check->options);
	strata_args_jsonb(&args, strata_options_finish(resolved));
	strata_args_text(&args, check->severity);
	strata_args_int8(&args, check->warn_above);
	strata_args_int8(&args, check->error_above);
	strata_args_int4(&args, check->sample_rows);
	strata_args_text(&args, check->description);
	strata_args_text(&args, GetUserNameFromId(GetUserId(), false));
	strata_args_time(&args, GetCurrentTransactionStartTimestamp());
	strata_base_keeper_execute(
		"INSERT INTO strata_state.check_definition AS c (model_id, name, kind, columns, options, resolved, severity, warn_above,"
		" error_above, sample_rows, description, defined_by, defined_at)"
		" VALUES ($1, $2, $3, $4, COALESCE($5, '{}'), $6, $7, $8, $9, $10, $11, $12, $13)"
		" ON CONFLICT (model_id, name) DO UPDATE SET kind = excluded.kind, columns = excluded.columns,"
		" options = excluded.options, resolved = excluded.resolved, severity = excluded.severity,"
		" warn_above = excluded.warn_above, error_above = excluded.error_above, sample_rows = excluded.sample_rows,"
		" description = excluded.description, defined_by = excluded.defined_by, defined_at = excluded.defined_at"
		" WHERE (c.kind, c.columns, c.options, c.resolved, c.severity, c.warn_above, c.error_above, c.sample_rows, c.description)"
		" IS DISTINCT FROM (excluded.kind, excluded.columns, excluded.options, excluded.resolved, excluded.severity,"
		" excluded.warn_above, excluded.error_above, excluded.sample_rows, excluded.description)",
		&args);
}

/* Gives the name of the check. */
char *
strata_checks_define(const StrataModel *model, StrataCheck *check, const char *kind)
{
	StrataCheckTarget *target;

	check->kind = kind_of(kind);
	check_option_names(check);
	check_kind_options(check);
	check_thresholds(check);
	if (check->name)
		strata_base_check_identifier(check->name, "name");
	else
		check->name = default_name(check);
	strata_registry_require_target(model);
	target = strata_checks_target(model);
	check_columns(target, check);
	strata_checks_resolve(model, check);
	rehearse(target, check);
	store(model, check);
	return check->name;
}

void
strata_checks_drop(const StrataModel *model, const char *name)
{
	StrataArgs args = {0};
	List *names = NIL;
	ListCell *lc;
	char *hint;

	strata_args_int4(&args, model->id);
	strata_args_text(&args, name);
	if (strata_base_keeper_execute("DELETE FROM strata_state.check_definition WHERE model_id = $1 AND name = $2",
								   &args) > 0)
		return;
	foreach (lc, strata_checks_load(model->id))
		names = lappend(names, ((StrataCheck *) lfirst(lc))->name);
	hint = strata_base_suggestion(name, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model %s has no check \"%s\"", model->label, name),
			 names ? errdetail("Its checks are %s.", strata_base_join(names, ", ")) : errdetail("It has no checks."),
			 hint ? errhint("%s", hint) : 0));
}

/* ---- export ---- */

char *
strata_checks_export(const StrataModel *model)
{
	StringInfoData out;
	ListCell *lc;

	initStringInfo(&out);
	foreach (lc, strata_checks_load(model->id))
	{
		StrataCheck *check = lfirst(lc);

		appendStringInfo(&out, "SELECT strata.define_check(%s, %s", strata_base_literal(model->label),
						 strata_base_literal(kind_rules[check->kind].name));
		if (check->columns)
		{
			StrataArgs args = {0};
			Oid output;
			bool varlena;

			strata_args_texts(&args, check->columns);
			getTypeOutputInfo(TEXTARRAYOID, &output, &varlena);
			appendStringInfo(&out, ", columns => %s",
							 strata_base_literal(OidOutputFunctionCall(output, args.values[0])));
		}
		if (strata_option_names(check->options))
			appendStringInfo(&out, ",\n    options => %s",
							 strata_base_literal(JsonbToCString(NULL, &check->options->root, VARSIZE(check->options))));
		if (strcmp(check->severity, "error") != 0)
			appendStringInfo(&out, ", severity => %s", strata_base_literal(check->severity));
		if (strcmp(check->name, default_name(check)) != 0)
			appendStringInfo(&out, ", name => %s", strata_base_literal(check->name));
		if (check->warn_above != 0)
			appendStringInfo(&out, ", warn_above => " INT64_FORMAT, check->warn_above);
		if (check->error_above != 0)
			appendStringInfo(&out, ", error_above => " INT64_FORMAT, check->error_above);
		if (check->sample_rows != 20)
			appendStringInfo(&out, ", sample_rows => %d", check->sample_rows);
		if (check->description)
			appendStringInfo(&out, ",\n    description => %s", strata_base_literal(check->description));
		appendStringInfoString(&out, ");\n");
	}
	return out.data;
}
