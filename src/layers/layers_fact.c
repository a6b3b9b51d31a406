/*
 * layers_fact.c: a fact is its query's rows with the surrogate keys of its dimensions beside them.
 *
 * Keys are looked up set-wise, by a left join per dimension: as of a date where the fact says so, else the current version. What finds
 * nothing points at the unknown member (0), or at a member inferred for it. Every refresh looks all keys up again, so history
 * that arrives late re-keys the facts it concerns.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "guard/guard.h"
#include "layers/layers_incremental.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#define MOST_PARTITIONS_AHEAD 120

static const StrataOption options[] = {
	{"grain", STRATA_OPTION_TEXTS},          {"dimensions", STRATA_OPTION_OBJECT},
	{"partition_by", STRATA_OPTION_TEXT},    {"partition_unit", STRATA_OPTION_TEXT},
	{"partitions_ahead", STRATA_OPTION_INT},
};

static const StrataOption dimension_options[] = {
	{"dimension", STRATA_OPTION_TEXT}, {"on", STRATA_OPTION_ANY},     {"as_of", STRATA_OPTION_TEXT},
	{"missing", STRATA_OPTION_TEXT},   {"early", STRATA_OPTION_TEXT},
};

/* One key column of the fact. */
typedef struct KeyLookup
{
	char *column;
	StrataModel *dimension;
	bool is_date; /* a date dimension: no versions */
	char *surrogate;
	List *fact_columns;
	List *dimension_columns; /* beside fact_columns */
	char *as_of;             /* NULL: the current version */
	bool infer;
	bool early_first;      /* before the first version: take the first */
	bool may_lack_current; /* deletes close: a key may have no current version */
} KeyLookup;

static void
bad(const StrataModel *m, const char *column, const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("dimensions of fact %s: \"%s\" %s", m->label, column, problem), errhint("%s", hint)));
}

static void
read_on(const StrataModel *m, KeyLookup *k, const Jsonb *spec)
{
	JsonbValue *on = strata_option(spec, "on");
	Jsonb *object = strata_option_object(spec, "on");
	ListCell *lc;

	if (on == NULL)
		bad(m, k->column, "has no \"on\"",
			"Write \"on\": [\"column\"] or \"on\": {\"fact column\": \"dimension column\"}.");
	if (object && JB_ROOT_IS_OBJECT(object))
	{
		foreach (lc, strata_option_names(object))
		{
			k->fact_columns = lappend(k->fact_columns, lfirst(lc));
			k->dimension_columns = lappend(k->dimension_columns, strata_option_text(object, lfirst(lc)));
		}
	}
	else
	{
		k->fact_columns = strata_option_texts(spec, "on");
		k->dimension_columns = k->fact_columns;
	}
	if (k->fact_columns == NIL)
		bad(m, k->column, "has an \"on\" that names no columns",
			"Write \"on\": [\"column\"] or \"on\": {\"fact column\": \"dimension column\"}.");
	foreach (lc, k->dimension_columns)
		if (lfirst(lc) == NULL)
			bad(m, k->column, "has a null in \"on\"", "Name a column of the dimension.");
}

static KeyLookup *
read_lookup(const StrataModel *m, char *column, const Jsonb *all)
{
	KeyLookup *k = palloc0(sizeof(KeyLookup));
	Jsonb *spec = strata_option_object(all, column);
	char *name;
	char *missing;
	char *early;
	List *key;

	k->column = column;
	if (spec == NULL || !JB_ROOT_IS_OBJECT(spec))
		bad(m, column, "is not an object", "Write {\"key column\": {\"dimension\": \"schema.name\", \"on\": [...]}}.");
	strata_base_check_options(spec, dimension_options, lengthof(dimension_options),
							  psprintf("dimensions of fact %s, \"%s\"", m->label, column));
	name = strata_option_text(spec, "dimension");
	if (name == NULL)
		bad(m, column, "names no dimension", "Write \"dimension\": \"schema.name\".");
	k->dimension = strata_registry_get(name, psprintf("dimensions of fact %s", m->label));
	if (k->dimension->layer != STRATA_DIMENSION)
		bad(m, column,
			psprintf("refers to %s, which is a %s", k->dimension->label,
					 strata_registry_layer_name(k->dimension->layer)),
			"Refer to a model made by define_dimension.");
	read_on(m, k, spec);
	k->is_date = strcmp(k->dimension->kind, "date") == 0;
	k->as_of = strata_option_text(spec, "as_of");
	missing = strata_option_text(spec, "missing");
	early = strata_option_text(spec, "early");
	if (missing && strcmp(missing, "unknown") != 0 && strcmp(missing, "infer") != 0)
		bad(m, column, psprintf("has \"missing\": \"%s\"", missing), "It is \"unknown\" or \"infer\".");
	if (early && strcmp(early, "unknown") != 0 && strcmp(early, "first") != 0)
		bad(m, column, psprintf("has \"early\": \"%s\"", early), "It is \"unknown\" or \"first\".");
	k->infer = missing && strcmp(missing, "infer") == 0;
	if (k->is_date)
	{
		k->surrogate = pstrdup("date_key");
		key = list_make1(pstrdup("date"));
		if (k->as_of || k->infer || early)
			bad(m, column, "has as_of, missing or early, but a date dimension has no versions", "Leave them out.");
	}
	else
	{
		DimensionSpec *s = layers_dimension_spec(k->dimension);

		k->surrogate = s->surrogate;
		key = s->key;
		/* dated by the run, the first version is the first state known, not the first there was */
		k->early_first = early ? strcmp(early, "first") == 0 : s->effective_from == NULL && s->operation == NULL;
		k->may_lack_current = s->deletes ? strcmp(s->deletes, "close") == 0 : s->operation != NULL;
	}
	if (list_length(key) != list_length(k->dimension_columns) || layers_without(key, k->dimension_columns) != NIL)
		bad(m, column,
			psprintf("joins %s on (%s), but its key is (%s)", k->dimension->label,
					 strata_base_join(k->dimension_columns, ", "), strata_base_join(key, ", ")),
			"Join on the whole natural key, or a row could match several members.");
	return k;
}

static List *
read_lookups(const StrataModel *m)
{
	Jsonb *all = strata_option_object(m->options, "dimensions");
	List *lookups = NIL;
	ListCell *lc;

	foreach (lc, strata_option_names(all))
		lookups = lappend(lookups, read_lookup(m, lfirst(lc), all));
	return lookups;
}

/* ---- validation ---- */

static void
check_join_types(Definition *def, const KeyLookup *k)
{
	for (int i = 0; i < list_length(k->fact_columns); i++)
	{
		QueryColumn *c = layers_find_column(def->query_columns, list_nth(k->fact_columns, i));
		char *name = list_nth(k->dimension_columns, i);
		Oid type = get_atttype(k->dimension->relid, get_attnum(k->dimension->relid, name));

		if (!OidIsValid(OpernameGetOprid(list_make1(makeString("=")), c->type, type)) &&
			!can_coerce_type(1, &c->type, &type, COERCION_IMPLICIT) &&
			!can_coerce_type(1, &type, &c->type, COERCION_IMPLICIT))
			bad(def->model, k->column,
				psprintf("compares column \"%s\" (%s) with %s.%s (%s)", c->name, format_type_be(c->type),
						 k->dimension->label, name, format_type_be(type)),
				"There is no = between these types: cast the column in the query.");
	}
}

static void
note_lookup(Definition *def, const KeyLookup *k)
{
	StrataDependency *dep = palloc0(sizeof(StrataDependency));
	ListCell *lc;

	dep->schema = k->dimension->schema;
	dep->name = k->dimension->name;
	dep->via = pstrdup("dimension");
	def->dependencies = lappend(def->dependencies, dep);
	foreach (lc, lappend(list_copy(k->dimension_columns), k->surrogate))
	{
		StrataLineageRow *e = palloc0(sizeof(StrataLineageRow));

		e->column = k->column;
		e->schema = k->dimension->schema;
		e->relation = k->dimension->name;
		e->source_column = lfirst(lc);
		e->kind = pstrdup("key");
		def->edges = lappend(def->edges, e);
	}
}

static void
check_lookup(Definition *def, KeyLookup *k)
{
	StrataReference dimension = {0};

	/* a schema the caller may not use is refused in PostgreSQL's words */
	(void) LookupExplicitNamespace(k->dimension->schema, false);
	dimension.relid = k->dimension->relid;
	dimension.schema = k->dimension->schema;
	dimension.name = k->dimension->name;
	layers_require_readable(&dimension, def->model->label);
	layers_require_columns(def, k->fact_columns, psprintf("dimensions, \"%s\"", k->column));
	if (layers_find_column(def->query_columns, k->column))
		bad(def->model, k->column, "is also a column of the query",
			"Name the key column otherwise, or rename the query's column.");
	if (k->as_of)
	{
		Oid type;

		layers_require_columns(def, list_make1(k->as_of), psprintf("dimensions, \"%s\", as_of", k->column));
		type = getBaseType(layers_find_column(def->query_columns, k->as_of)->type);
		if (type != DATEOID && type != TIMESTAMPOID && type != TIMESTAMPTZOID)
			bad(def->model, k->column,
				psprintf("takes as_of from column \"%s\" of type %s", k->as_of, format_type_be(type)),
				"It must be a date or a timestamp.");
	}
	if (k->infer && !has_privs_of_role(GetUserId(), k->dimension->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("fact %s may not add inferred members to %s", def->model->label, k->dimension->label),
				 errdetail("That dimension belongs to role \"%s\".", GetUserNameFromId(k->dimension->owner, true)),
				 errhint("Use \"missing\": \"unknown\", or define the fact as a member of that role.")));
	check_join_types(def, k);
	note_lookup(def, k);
}

static void
refuse_change(const Definition *def, const char *option, const char *otherwise)
{
	char *now = strata_option_text(def->model->options, option);
	char *before = strata_option_text(def->old->options, option);

	if (strcmp(now ? now : otherwise, before ? before : otherwise) != 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s of fact %s cannot change", option, def->model->label),
						errdetail("It is %s now.", before ? psprintf("'%s'", before) : "not set"),
						errhint("SELECT strata.drop_model('%s'); then define it again: a fact can be computed anew.",
								def->model->label)));
}

/*
 * Room on each page, so that a row which changes stays on it and no index has to know: that is a sixth of a refresh by changes.
 */
static const char *
fill(const StrataModel *m)
{
	return strcmp(m->refresh, "full") == 0 ? "" : " WITH (fillfactor = 95)";
}

static void
check_partitions(Definition *def, const List *grain)
{
	Jsonb *o = def->model->options;
	char *by = strata_option_text(o, "partition_by");
	char *unit = strata_option_text(o, "partition_unit");
	int64 ahead = strata_option_int(o, "partitions_ahead", 3);
	Oid type;

	if (def->old)
	{
		refuse_change(def, "partition_by", "");
		if (by)
			refuse_change(def, "partition_unit", "month");
	}
	if (ahead < 0 || ahead > MOST_PARTITIONS_AHEAD)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("partitions_ahead of fact %s is %lld", def->model->label, (long long) ahead),
						errhint("It is a number of months or years from 0 to %d.", MOST_PARTITIONS_AHEAD)));
	if (by == NULL)
	{
		def->table_clause = pstrdup(fill(def->model));
		return;
	}
	layers_require_columns(def, list_make1(by), "partition_by");
	type = getBaseType(layers_find_column(def->query_columns, by)->type);
	if (type != DATEOID && type != TIMESTAMPOID && type != TIMESTAMPTZOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("partition_by of fact %s: column \"%s\" is of type %s", def->model->label, by,
							   format_type_be(type)),
						errhint("Partition by a date or a timestamp.")));
	if (unit && strcmp(unit, "month") != 0 && strcmp(unit, "year") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("partition_unit of fact %s is \"%s\"", def->model->label, unit),
						errhint("It is 'month' or 'year'.")));
	def->table_clause = psprintf(" PARTITION BY RANGE (%s)", quote_identifier(by));
	/* a unique index of a partitioned table must hold the partition column; without it the refresh enforces the grain alone */
	if (!strata_base_list_has(grain, by))
		def->key = NIL;
}

static void
validate(Definition *def)
{
	StrataModel *m = def->model;
	List *grain = strata_option_texts(m->options, "grain");
	List *lookups;
	List *keys = NIL;
	ListCell *lc;

	strata_base_check_options(m->options, options, lengthof(options), psprintf("fact %s", m->label));
	if (grain == NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("fact %s has no grain", m->label),
						errdetail("The grain says what one row stands for: the columns that are unique."),
						errhint("grain => '{paiement_id}'")));
	lookups = read_lookups(m);
	foreach (lc, lookups)
	{
		KeyLookup *k = lfirst(lc);

		check_lookup(def, k);
		keys = lappend(keys, k->column);
		def->columns = lappend(
			def->columns, layers_column(k->column, k->is_date ? INT4OID : INT8OID, -1, InvalidOid, "dimension key"));
	}
	layers_require_columns(def, layers_without(grain, keys), "grain");
	layers_require_equality(def, layers_without(grain, keys), "grain");
	foreach (lc, def->query_columns)
	{
		QueryColumn *c = lfirst(lc);

		def->columns =
			lappend(def->columns, layers_query_column(c, strata_base_list_has(grain, c->name) ? "grain" : "attribute"));
	}
	def->key = grain;
	check_partitions(def, grain);
}

static void
apply_references(Definition *def)
{
	StrataModel *m = def->model;
	ListCell *lc;

	layers_drop_references(m);
	foreach (lc, read_lookups(m))
	{
		KeyLookup *k = lfirst(lc);

		/* for BI tools only: a fact is right without it */
		if (layers_may_refer(m, k->dimension, k->surrogate))
			layers_add_reference(m, k->column, k->dimension, k->surrogate);
	}
}

/* Rows without a finite date have a place too. */
static Oid
create_default_partition(const StrataModel *m)
{
	char *name = psprintf("%s_other", m->name);

	strata_base_check_identifier(name, "a partition");
	strata_base_execute(
		psprintf("CREATE TABLE %s PARTITION OF %s DEFAULT%s", strata_base_label(m->schema, name), m->label, fill(m)),
		NULL);
	return get_relname_relid(name, get_namespace_oid(m->schema, false));
}

static void
created(Definition *def)
{
	StrataModel *m = def->model;

	if (strata_option_text(m->options, "partition_by"))
		create_default_partition(m);
	apply_references(def);
}

/* ---- refresh ---- */

static char *
on_key(const KeyLookup *k, const char *d)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(k->fact_columns); i++)
		appendStringInfo(&buf, "%s%s.%s %s q.%s", i > 0 ? " AND " : "", d,
						 quote_identifier(list_nth(k->dimension_columns, i)),
						 strata_base_equality(get_atttype(
							 k->dimension->relid, get_attnum(k->dimension->relid, list_nth(k->dimension_columns, i)))),
						 quote_identifier(list_nth(k->fact_columns, i)));
	return buf.data;
}

List *
layers_fact_version_columns(char *surrogate, const List *key)
{
	return lcons(surrogate, lappend(lappend(list_copy(key), "valid_from"), "valid_to"));
}

static char *
lookup_join(const KeyLookup *k, const char *d)
{
	const char *s = quote_identifier(k->surrogate);
	char *key = layers_list(k->dimension_columns, "v", ", ");
	/* no others: a change of an attribute then is no change of what is looked up */
	char *version = layers_list(layers_fact_version_columns(k->surrogate, k->dimension_columns), "v", ", ");

	if (k->is_date)
		return psprintf("\n  LEFT JOIN %s AS %s ON %s", k->dimension->label, d, on_key(k, d));
	if (k->as_of == NULL && !k->may_lack_current)
		return psprintf("\n  LEFT JOIN %s AS %s ON %s AND %s.is_current AND %s.%s <> 0", k->dimension->label, d,
						on_key(k, d), d, d, s);
	if (k->as_of == NULL)
		return psprintf(
			"\n  LEFT JOIN (SELECT DISTINCT ON (%s) %s FROM %s AS v WHERE v.%s <> 0 ORDER BY %s, v.valid_from DESC) AS %s ON %s",
			key, version, k->dimension->label, s, key, d, on_key(k, d));
	if (k->early_first)
		return psprintf(
			"\n  LEFT JOIN (SELECT %s, CASE WHEN lag(v.valid_from) OVER (PARTITION BY %s ORDER BY v.valid_from) IS NULL THEN '-infinity'"
			" ELSE v.valid_from END AS strata_from FROM %s AS v WHERE v.%s <> 0) AS %s\n"
			"    ON %s AND q.%s >= %s.strata_from AND (%s.valid_to IS NULL OR q.%s < %s.valid_to)",
			version, key, k->dimension->label, s, d, on_key(k, d), quote_identifier(k->as_of), d, d,
			quote_identifier(k->as_of), d);
	return psprintf(
		"\n  LEFT JOIN %s AS %s\n    ON %s AND %s.%s <> 0 AND q.%s >= %s.valid_from AND (%s.valid_to IS NULL OR q.%s < %s.valid_to)",
		k->dimension->label, d, on_key(k, d), d, s, quote_identifier(k->as_of), d, d, quote_identifier(k->as_of), d);
}

/* The fact's rows, columns in the target's order. */
static char *
fact_query(const StrataModel *m, const List *lookups)
{
	StringInfoData columns;
	StringInfoData joins;
	ListCell *lc;

	initStringInfo(&columns);
	initStringInfo(&joins);
	foreach (lc, lookups)
		appendStringInfoString(&joins, lookup_join(lfirst(lc), psprintf("d%d", foreach_current_index(lc) + 1)));
	foreach (lc, layers_target_columns(m->relid))
	{
		char *name = ((TargetColumn *) lfirst(lc))->name;
		ListCell *lc2;
		bool is_key = false;

		appendStringInfoString(&columns, foreach_current_index(lc) > 0 ? ", " : "");
		foreach (lc2, lookups)
		{
			KeyLookup *k = lfirst(lc2);

			if (strcmp(k->column, name) != 0)
				continue;
			appendStringInfo(&columns, "coalesce(d%d.%s, 0) AS %s", foreach_current_index(lc2) + 1,
							 quote_identifier(k->surrogate), quote_identifier(name));
			is_key = true;
		}
		if (!is_key)
			appendStringInfo(&columns, "q.%s", quote_identifier(name));
	}
	return psprintf("SELECT %s\n  FROM %s AS q%s", columns.data, m->query_view, joins.data);
}

/*
 * Members the fact knows of and the dimension does not: one row each, with the key alone, completed when the real row comes. rows: of
 * the fact, signed, those looked at; NULL: all that its query gives.
 */
static bool
infer_members(StrataModel *m, KeyLookup *k, StrataRowSet *rows, const StrataRefresh *refresh,
			  StrataRefreshResult *result)
{
	DimensionSpec *s = layers_dimension_spec(k->dimension);
	StrataRowSet *missing;
	StringInfoData columns;
	StringInfoData present;
	const char *mark = s->deletes && strcmp(s->deletes, "mark") == 0 ? ", is_deleted" : "";
	bool found;

	initStringInfo(&columns);
	initStringInfo(&present);
	for (int i = 0; i < list_length(k->fact_columns); i++)
	{
		char *name = list_nth(k->dimension_columns, i);
		Oid type = get_atttype(k->dimension->relid, get_attnum(k->dimension->relid, name));

		appendStringInfo(&columns, "%sq.%s::%s AS %s", i > 0 ? ", " : "",
						 quote_identifier(list_nth(k->fact_columns, i)), format_type_be_qualified(type),
						 quote_identifier(name));
		appendStringInfo(&present, " AND q.%s IS NOT NULL", quote_identifier(list_nth(k->fact_columns, i)));
	}
	if (rows)
		appendStringInfo(&present, " AND q.strata_sign > 0 AND q.%s = 0", quote_identifier(k->column));
	missing = strata_base_run_rowset(
		"fact_inferred",
		psprintf("SELECT q.*, b.last + row_number() OVER (ORDER BY %s) AS strata_next\n"
				 "  FROM (SELECT DISTINCT %s FROM %s AS q WHERE NOT EXISTS (SELECT 1 FROM %s AS d WHERE %s)%s) AS q\n"
				 " CROSS JOIN (SELECT coalesce(max(strata_surrogate), 0) AS last FROM %s) AS b",
				 layers_list(k->dimension_columns, "q", ", "), columns.data,
				 rows ? quote_identifier(rows->name) : m->query_view, k->dimension->label, on_key(k, "d"), present.data,
				 s->keys),
		NULL, refresh->snapshot, rows ? list_make1(rows) : NIL);
	found = missing->count > 0;
	if (found)
	{
		char *key = strata_base_join_quoted(k->dimension_columns, ", ");

		strata_guard_suspend_for(k->dimension->id);
		/* a key that had a member since ever, and lost it, gets that one's surrogate key again */
		strata_base_run(psprintf("INSERT INTO %s AS k (%s, valid_from, strata_surrogate, strata_inferred)"
								 " SELECT %s, '-infinity', strata_next, true FROM fact_inferred"
								 " ON CONFLICT (%s, valid_from) DO UPDATE SET strata_inferred = true",
								 s->keys, key, key, key),
						NULL, refresh->snapshot, list_make1(missing));
		strata_base_run(
			psprintf(
				"INSERT INTO %s (%s, %s, valid_from, is_current%s) SELECT k.strata_surrogate, %s, '-infinity', true%s"
				"  FROM fact_inferred AS q JOIN %s AS k ON %s AND k.valid_from = '-infinity'",
				k->dimension->label, quote_identifier(k->surrogate), key, mark,
				layers_list(k->dimension_columns, "q", ", "), mark[0] ? ", false" : "", s->keys,
				layers_equal(k->dimension->relid, k->dimension_columns, "k", "q")),
			NULL, refresh->snapshot, list_make1(missing));
		strata_guard_resume();
		strata_registry_touch(k->dimension->id);
		result->message =
			psprintf("%s" UINT64_FORMAT " %s inferred in %s", result->message ? psprintf("%s; ", result->message) : "",
					 missing->count, missing->count == 1 ? "member" : "members", k->dimension->label);
	}
	strata_rowset_free(missing);
	return found;
}

static bool
infer_all(StrataModel *m, StrataRowSet *rows, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	bool found = false;
	ListCell *lc;

	foreach (lc, read_lookups(m))
	{
		KeyLookup *k = lfirst(lc);

		if (k->infer)
			found |= infer_members(m, k, rows, refresh, result);
	}
	return found;
}

/*
 * Partitions for the periods the rows need, and some ahead of the run time. Rows without a finite date, and dates beyond what a timestamp
 * holds, go to the default one. The periods of instants are those of UTC: bounds must not depend on a setting that may change.
 */
static List *
make_partitions(StrataModel *m, StrataRowSet *rows, const StrataRefresh *refresh)
{
	char *by = strata_option_text(m->options, "partition_by");
	char *unit = strata_option_text(m->options, "partition_unit");
	int ahead = strata_option_int(m->options, "partitions_ahead", 3);
	Oid type = getBaseType(get_atttype(m->relid, get_attnum(m->relid, by)));
	bool instants = type == TIMESTAMPTZOID;
	char *column = psprintf("q.%s", quote_identifier(by));
	char *finite = psprintf("isfinite(%s)", column);
	StrataArgs args = {0};
	StrataRows *needed;
	List *made = NIL;

	if (unit == NULL)
		unit = pstrdup("month");
	if (type == DATEOID)
		finite = psprintf("%s >= '4713-01-01 BC'::date AND %s < '294276-01-01'::date", column, column);
	else
		finite = psprintf("%s >= '4713-01-01 BC'::%s AND %s < '294276-01-01'::%s", column, format_type_be(type), column,
						  format_type_be(type));
	strata_args_time(&args, refresh->as_of);
	strata_args_text(&args, unit);
	strata_args_int4(&args, ahead);
	strata_args_text(&args, m->name);
	strata_args_int8(&args, m->relid);
	needed = strata_base_run_query(
		psprintf(
			"SELECT name, to_char(p, form) || suffix, to_char(q, form) || CASE WHEN q < '0001-01-01' THEN '%s BC' ELSE '%s' END FROM (\n"
			"  SELECT format('%%s_%%s', $4, to_char(p, CASE $2 WHEN 'year' THEN 'YYYY' ELSE 'YYYY_MM' END)"
			" || CASE WHEN p < '0001-01-01' THEN '_bc' ELSE '' END) AS name,\n"
			"         p, p + ('1 ' || $2)::interval AS q, 'YYYY-MM-DD' AS form,"
			" CASE WHEN p < '0001-01-01' THEN '%s BC' ELSE '%s' END AS suffix FROM (\n"
			"    %sSELECT date_trunc($2, $1 AT TIME ZONE 'UTC') + (n || ' ' || $2)::interval FROM generate_series(0, $3) AS n) AS w (p)) AS w\n"
			" WHERE NOT EXISTS (SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid\n"
			"                    WHERE i.inhparent = $5::oid AND c.relname = w.name) ORDER BY p",
			instants ? " 00:00:00+00" : "", instants ? " 00:00:00+00" : "", instants ? " 00:00:00+00" : "",
			instants ? " 00:00:00+00" : "",
			rows ? psprintf("SELECT DISTINCT date_trunc($2, %s%s) AS p FROM %s AS q"
							" WHERE CASE WHEN isfinite(%s) THEN %s ELSE false END\n    UNION ",
							column, instants ? " AT TIME ZONE 'UTC'" : "::timestamp", quote_identifier(rows->name),
							column, finite)
				 : ""),
		&args, refresh->snapshot, rows ? list_make1(rows) : NIL);
	for (uint64 i = 0; i < needed->count; i++)
	{
		char *name = strata_rows_text(needed, i, 1);

		strata_base_check_identifier(name, "a partition");
		if (OidIsValid(get_relname_relid(name, get_rel_namespace(m->relid))))
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_TABLE),
							errmsg("fact %s needs a partition %s, but a relation of that name stands apart from it",
								   m->label, strata_base_label(m->schema, name)),
							errdetail("It was detached, or was there before."),
							errhint("Drop or rename it, or attach it again; the refresh fills what is missing.")));
		strata_base_execute(psprintf("CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%s) TO (%s)%s",
									 strata_base_label(m->schema, name), m->label,
									 strata_base_literal(strata_rows_text(needed, i, 2)),
									 strata_base_literal(strata_rows_text(needed, i, 3)), fill(m)),
							NULL);
		made = lappend_oid(made, get_relname_relid(name, get_rel_namespace(m->relid)));
	}
	if (!OidIsValid(get_default_partition_oid(m->relid)))
		made = lappend_oid(made, create_default_partition(m));
	/* a new partition has its own copies of the foreign keys' triggers, which are on */
	if (needed->count > 0)
		layers_silence_references(m->relid);
	return made;
}

static List *
tables(const StrataModel *model)
{
	return strata_option(model->options, "partition_by") ? list_make1_oid(model->relid) : NIL;
}

static char *
query(StrataModel *model, List **key, const char **key_word)
{
	*key = strata_option_texts(model->options, "grain");
	*key_word = "grain";
	return fact_query(model, read_lookups(model));
}

/* The dimensions with versions, whose changes are looked up in the fact. */
List *
layers_fact_lookups(StrataModel *model)
{
	List *found = NIL;
	ListCell *lc;

	foreach (lc, read_lookups(model))
	{
		KeyLookup *k = lfirst(lc);
		IncrementalLookup *l = palloc0(sizeof(IncrementalLookup));

		if (k->is_date)
			continue;
		l->dimension = k->dimension->relid;
		l->label = k->dimension->label;
		l->infer = k->infer;
		l->surrogate = k->surrogate;
		l->column = k->column;
		l->dimension_columns = k->dimension_columns;
		l->fact_columns = k->fact_columns;
		l->as_of = k->as_of;
		l->early_first = k->early_first;
		found = lappend(found, l);
	}
	return found;
}

static void
refresh(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	List *lookups = read_lookups(model);
	List *grain = strata_option_texts(model->options, "grain");
	char *by = strata_option_text(model->options, "partition_by");
	LayersHooks hooks = {0};
	ListCell *lc;

	foreach (lc, lookups)
		if (((KeyLookup *) lfirst(lc))->infer)
			hooks.complete = infer_all;
	if (by)
		hooks.before_write = make_partitions;
	layers_refresh_plain(model, fact_query(model, lookups), grain,
						 by == NULL || strata_base_list_has(grain, by) ? grain : NIL, "grain", &hooks, refresh, result);
}

List *
strata_layers_also_written(const StrataModel *model)
{
	List *ids = NIL;
	ListCell *lc;

	if (model->layer != STRATA_FACT)
		return NIL;
	foreach (lc, read_lookups(model))
	{
		KeyLookup *k = lfirst(lc);

		if (k->infer)
			ids = lappend_int(ids, k->dimension->id);
	}
	return ids;
}

/* The keys are looked up as a refresh does; a member that it would infer is not there yet. */
static void
verify(StrataModel *model, VerifyWork *work)
{
	VerifyPart part = {0};

	part.wanted = fact_query(model, read_lookups(model));
	part.present = psprintf("SELECT %s FROM %s AS q",
							layers_list(layers_names(layers_target_columns(model->relid)), "q", ", "), model->label);
	part.key = strata_option_texts(model->options, "grain");
	layers_verify_part(work, &part);
}

const LayerRoutine layers_fact = {validate, created, NULL, apply_references, query, refresh, verify, tables};
