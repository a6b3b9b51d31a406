/*
 * layers_dimension.c: the dimension as declared: its options, its table, its unknown member. How versions are made is in
 * layers_dimension_runtime.c (dated by the run) and layers_dimension_log.c (dated by the rows, or a feed of changes).
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "guard/guard.h"
#include "layers/layers_explain.h"
#include "layers/layers_incremental.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

static const StrataOption options[] = {
	{"key", STRATA_OPTION_TEXTS},           {"history", STRATA_OPTION_TEXTS},      {"fixed", STRATA_OPTION_TEXTS},
	{"effective_from", STRATA_OPTION_TEXT}, {"operation", STRATA_OPTION_TEXT},     {"sequence", STRATA_OPTION_TEXT},
	{"deletes", STRATA_OPTION_TEXT},        {"surrogate_key", STRATA_OPTION_TEXT}, {"unknown", STRATA_OPTION_OBJECT},
	{"max_shrink", STRATA_OPTION_NUMBER},
};

static char *
default_surrogate(const StrataModel *m)
{
	const char *base = strncmp(m->name, "dim_", 4) == 0 && m->name[4] ? m->name + 4 : m->name;
	char *name = psprintf("%s_key", base);

	strata_base_check_identifier(name, "surrogate_key");
	return name;
}

DimensionSpec *
layers_dimension_spec(StrataModel *m)
{
	DimensionSpec *s = palloc0(sizeof(DimensionSpec));
	ListCell *lc;

	s->model = m;
	s->surrogate = strata_option_text(m->options, "surrogate_key");
	if (s->surrogate == NULL)
		s->surrogate = default_surrogate(m);
	s->key = strata_option_texts(m->options, "key");
	s->history = strata_option_texts(m->options, "history");
	s->fixed = strata_option_texts(m->options, "fixed");
	s->effective_from = strata_option_text(m->options, "effective_from");
	s->operation = strata_option_text(m->options, "operation");
	s->sequence = strata_option_text(m->options, "sequence");
	s->deletes = strata_option_text(m->options, "deletes");
	s->max_shrink = strata_option_number(m->options, "max_shrink", 0.5);
	s->keys = strata_registry_state_relation(m->id, "keys");
	s->log = strata_registry_state_relation(m->id, "log");
	s->time_type = pstrdup("timestamptz");
	foreach (lc, strata_registry_columns(m->id))
	{
		StrataColumn *c = lfirst(lc);

		if (strcmp(c->role, "valid time") == 0 && strcmp(c->name, "valid_from") == 0)
			s->time_type = c->type;
		if (strcmp(c->role, "key") == 0 || strcmp(c->role, "history") == 0 || strcmp(c->role, "fixed") == 0 ||
			strcmp(c->role, "overwrite") == 0)
			s->columns = lappend(s->columns, c->name);
		if (strcmp(c->role, "overwrite") == 0)
			s->overwrite = lappend(s->overwrite, c->name);
	}
	return s;
}

/* ---- validation ---- */

static void
refuse(const Definition *def, const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("dimension %s: %s", def->model->label, problem),
					errhint("%s", hint)));
}

static void
check_disjoint(const Definition *def, const List *a, const char *what_a, const List *b, const char *what_b)
{
	ListCell *lc;

	foreach (lc, a)
		if (strata_base_list_has(b, lfirst(lc)))
			refuse(def, psprintf("column \"%s\" is in %s and in %s", (char *) lfirst(lc), what_a, what_b),
				   "A column has one role: key, history, fixed, or (named nowhere) overwritten.");
}

/* The type of valid_from: that of effective_from, else of a sequence that is a time, else timestamptz. */
static Oid
time_type(const Definition *def, const char *effective_from, const char *operation, const char *sequence)
{
	const char *name = effective_from ? effective_from : operation ? sequence : NULL;
	QueryColumn *c = name ? layers_find_column(def->query_columns, name) : NULL;
	Oid base;

	if (c == NULL)
		return TIMESTAMPTZOID;
	base = getBaseType(c->type);
	if (base == TIMESTAMPTZOID || base == TIMESTAMPOID || base == DATEOID)
		return base;
	if (effective_from)
		refuse(def, psprintf("effective_from column \"%s\" is of type %s", name, format_type_be(c->type)),
			   "It must be timestamptz, timestamp or date.");
	refuse(
		def,
		psprintf("sequence column \"%s\" is of type %s and no effective_from is given", name, format_type_be(c->type)),
		"Name the column that says since when a change holds: effective_from => '...'.");
	return InvalidOid;
}

static void
check_roles(Definition *def, List *key, List *history, List *fixed, char *effective_from, char *operation,
			char *sequence)
{
	Jsonb *o = def->model->options;
	char *deletes = strata_option_text(o, "deletes");
	double shrink = strata_option_number(o, "max_shrink", 0.5);
	List *one;

	if (key == NIL)
		refuse(def, "it has no key", "Name the natural key: key => '{column}'.");
	layers_require_columns(def, key, "key");
	layers_require_equality(def, key, "key");
	layers_require_columns(def, history, "history");
	layers_require_columns(def, fixed, "fixed");
	check_disjoint(def, key, "key", history, "history");
	check_disjoint(def, key, "key", fixed, "fixed");
	check_disjoint(def, history, "history", fixed, "fixed");
	for (int i = 0; i < 3; i++)
	{
		char *name = i == 0 ? effective_from : i == 1 ? operation : sequence;
		const char *option = i == 0 ? "effective_from" : i == 1 ? "operation" : "sequence";

		if (name == NULL)
			continue;
		one = list_make1(name);
		layers_require_columns(def, one, option);
		check_disjoint(def, one, option, key, "key");
		check_disjoint(def, one, option, history, "history");
		check_disjoint(def, one, option, fixed, "fixed");
	}
	if ((operation == NULL) != (sequence == NULL) && operation != NULL)
		refuse(def, "operation is given without sequence",
			   "A feed of changes needs both: what happened, and in which order.");
	if (operation == NULL && sequence != NULL && effective_from == NULL)
		refuse(def, "sequence is given without operation or effective_from",
			   "sequence decides between rows of one key and one instant; name that instant with effective_from.");
	if (sequence)
		layers_require_equality(def, list_make1(sequence), "sequence");
	if (deletes && strcmp(deletes, "ignore") != 0 && strcmp(deletes, "close") != 0 && strcmp(deletes, "mark") != 0)
		refuse(def, psprintf("deletes is \"%s\"", deletes), "It is 'ignore', 'close' or 'mark'.");
	if (shrink < 0 || shrink > 1)
		refuse(def, psprintf("max_shrink is %g", shrink), "It is a share of the keys, from 0 to 1.");
}

static void
add_column(Definition *def, TargetColumn *column)
{
	if (strncmp(column->name, "strata_", 7) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("dimension %s: column \"%s\" has a reserved name", def->model->label, column->name),
				 errhint("Names that begin with strata_ are used for what the refresh adds; rename it with AS.")));
	if (strata_base_list_has(layers_names(def->columns), column->name))
		refuse(def, psprintf("the query gives a column \"%s\", which the dimension adds itself", column->name),
			   "Rename it in the query with AS, or name the surrogate key with surrogate_key => '...'.");
	def->columns = lappend(def->columns, column);
}

static bool
gist_has_equality(Oid type)
{
	Oid opclass = GetDefaultOpClass(getBaseType(type), get_index_am_oid("gist", false));
	Oid input;

	/* btree_gist compares floats as C does, where NaN equals nothing: such an index would miss the key in look-ups too */
	if (getBaseType(type) == FLOAT8OID || getBaseType(type) == FLOAT4OID)
		return false;
	if (!OidIsValid(opclass))
		return false;
	input = get_opclass_input_type(opclass);
	/* a type may pass for another that GiST knows and be equal by other rules (citext passes for text) */
	return get_opfamily_member(get_opclass_family(opclass), input, input, BTEqualStrategyNumber) ==
		   lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
}

/*
 * No two versions of one key overlap, and one at most is current: by constraint. A type that GiST cannot compare for equality
 * (jsonb, an array, citext) stands there by two hashes that equal values share; without a hash either, by its image.
 */
char *
layers_dimension_exclusion(const Definition *def, const List *key, Oid time_type)
{
	const char *range = time_type == DATEOID ? "daterange" : time_type == TIMESTAMPOID ? "tsrange" : "tstzrange";
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "EXCLUDE USING gist (");
	foreach (lc, key)
	{
		QueryColumn *c = layers_find_column(def->query_columns, lfirst(lc));
		const char *name = quote_identifier(c->name);

		if (gist_has_equality(c->type))
			appendStringInfo(&buf, "%s WITH =, ", name);
		else if (OidIsValid(lookup_type_cache(c->type, TYPECACHE_HASH_EXTENDED_PROC)->hash_extended_proc))
			appendStringInfo(&buf, "hash_record_extended(ROW(%s), 1) WITH =, hash_record_extended(ROW(%s), 2) WITH =, ",
							 name, name);
		else
			appendStringInfo(&buf, "strata_state.row_image(ROW(%s)) WITH =, ", name);
	}
	appendStringInfo(&buf, "%s(valid_from, valid_to, '[)') WITH &&)", range);
	return buf.data;
}

/* The values of the unknown member must be of columns that the dimension keeps. */
static void
check_unknown(const Definition *def, const List *kept)
{
	ListCell *lc;

	foreach (lc, strata_option_names(strata_option_object(def->model->options, "unknown")))
	{
		char *hint;

		if (strata_base_list_has(kept, lfirst(lc)))
			continue;
		hint = strata_base_suggestion(lfirst(lc), kept);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("unknown of dimension %s names column \"%s\", which is none of its own", def->model->label,
						(char *) lfirst(lc)),
				 errdetail("Its columns are %s.", strata_base_join(kept, ", ")), hint ? errhint("%s", hint) : 0));
	}
}

static void
validate(Definition *def)
{
	StrataModel *m = def->model;
	List *key = strata_option_texts(m->options, "key");
	List *history = strata_option_texts(m->options, "history");
	List *fixed = strata_option_texts(m->options, "fixed");
	char *effective_from = strata_option_text(m->options, "effective_from");
	char *operation = strata_option_text(m->options, "operation");
	char *sequence = strata_option_text(m->options, "sequence");
	char *surrogate = strata_option_text(m->options, "surrogate_key");
	char *deletes = strata_option_text(m->options, "deletes");
	Oid type;
	List *kept = NIL;
	ListCell *lc;

	strata_base_check_options(m->options, options, lengthof(options), psprintf("dimension %s", m->label));
	check_roles(def, key, history, fixed, effective_from, operation, sequence);
	type = time_type(def, effective_from, operation, sequence);
	add_column(def,
			   layers_column(surrogate ? surrogate : default_surrogate(m), INT8OID, -1, InvalidOid, "surrogate key"));
	foreach (lc, def->query_columns)
	{
		QueryColumn *c = lfirst(lc);

		if ((effective_from && strcmp(c->name, effective_from) == 0) ||
			(operation && strcmp(c->name, operation) == 0) || (sequence && strcmp(c->name, sequence) == 0))
			continue;
		add_column(def, layers_query_column(c, strata_base_list_has(key, c->name)       ? "key"
											   : strata_base_list_has(history, c->name) ? "history"
											   : strata_base_list_has(fixed, c->name)   ? "fixed"
																						: "overwrite"));
		kept = lappend(kept, c->name);
	}
	check_unknown(def, kept);
	add_column(def, layers_column("valid_from", type, -1, InvalidOid, "valid time"));
	add_column(def, layers_column("valid_to", type, -1, InvalidOid, "valid time"));
	add_column(def, layers_column("is_current", BOOLOID, -1, InvalidOid, "valid time"));
	if (deletes && strcmp(deletes, "mark") == 0)
		add_column(def, layers_column("is_deleted", BOOLOID, -1, InvalidOid, "valid time"));
	def->key = list_make1(((TargetColumn *) linitial(def->columns))->name);
	if (def->old)
		layers_dimension_check_change(def);
	else
	{
		layers_dimension_need_gist();
		def->table_constraints = psprintf(", %s, CONSTRAINT current_is_open CHECK (is_current = (valid_to IS NULL)),"
										  " CONSTRAINT interval_is_not_empty CHECK (valid_from < valid_to)",
										  layers_dimension_exclusion(def, key, type));
	}
}

/* ---- helper relations ---- */

static char *
column_list_ddl(const Definition *def, const List *names)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, names)
	{
		QueryColumn *c = layers_find_column(def->query_columns, lfirst(lc));

		appendStringInfo(&buf, "%s%s", foreach_current_index(lc) > 0 ? ", " : "",
						 layers_column_ddl(layers_query_column(c, "")));
	}
	return buf.data;
}

bool
layers_dimension_load(const DimensionSpec *s, const char *suffix, List *columns, StrataRowSet *rows)
{
	StrataDeltaTarget t = {0};

	if (s->model->applied_version > 0)
		return false;
	t.relid =
		suffix ? get_relname_relid(psprintf("m%d_%s", s->model->id, suffix), get_namespace_oid("strata_state", false))
			   : s->model->relid;
	t.label = suffix ? strata_registry_state_relation(s->model->id, suffix) : s->model->label;
	t.columns = columns;
	/* dated by the run, all of them are current, and a unique index tells one such version of a key from two */
	return strata_delta_load(&t, rows, 0, true);
}

void
layers_dimension_map(const DimensionSpec *s, const char *query, const StrataArgs *args, const StrataRefresh *refresh,
					 StrataRowSet *from)
{
	List *columns = list_concat_copy(s->key, list_make3("valid_from", "strata_surrogate", "strata_inferred"));
	char *names = strata_base_join_quoted(columns, ", ");
	List *rowsets = list_make1(from);
	StrataRowSet *rows = NULL;

	if (s->model->applied_version == 0)
	{
		rows = strata_base_run_rowset("dimension_map", query, args, refresh->snapshot, rowsets);
		if (layers_dimension_load(s, "keys", columns, rows))
		{
			strata_rowset_free(rows);
			return;
		}
		query = psprintf("SELECT * FROM dimension_map AS k (%s)", names);
		args = NULL;
		rowsets = list_make1(rows);
	}
	strata_base_run(psprintf("INSERT INTO %s (%s) %s", s->keys, names, query), args, refresh->snapshot, rowsets);
	if (rows)
		strata_rowset_free(rows);
}

static bool
has_log(const DimensionSpec *s)
{
	return s->effective_from != NULL || s->operation != NULL;
}

static void
own(const DimensionSpec *s, const char *relation)
{
	layers_keeper_ddl(
		psprintf("ALTER TABLE %s OWNER TO %s", relation, quote_identifier(GetUserNameFromId(s->model->owner, false))));
}

static void
create_log(const Definition *def, const DimensionSpec *s)
{
	QueryColumn *sequence = s->sequence ? layers_find_column(def->query_columns, s->sequence) : NULL;
	const char *sequence_type = sequence ? format_type_extended(sequence->type, sequence->typmod,
																FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY)
										 : "bigint";

	layers_keeper_ddl(
		psprintf("CREATE TABLE %s (%s, strata_from %s NOT NULL, strata_sequence %s, strata_added smallint NOT NULL,"
				 " strata_deleted boolean NOT NULL, PRIMARY KEY (%s, strata_from, strata_added%s))",
				 s->log, column_list_ddl(def, s->columns), s->time_type, sequence_type,
				 strata_base_join_quoted(s->key, ", "), sequence ? ", strata_sequence" : ""));
	own(s, s->log);
}

static void
unknown_context(void *arg)
{
	errcontext("unknown member of dimension %s", (char *) arg);
}

/* The unknown member: key 0, what facts point at when they know no better. */
static void
put_unknown(const Definition *def, const char *surrogate)
{
	StrataModel *m = def->model;
	Jsonb *unknown = strata_option_object(m->options, "unknown");
	char *deletes = strata_option_text(m->options, "deletes");
	bool mark = deletes && strcmp(deletes, "mark") == 0;
	char *columns = strata_base_join_quoted(strata_option_names(unknown), ", ");
	StrataArgs args = {0};
	ErrorContextCallback context;

	context.callback = unknown_context;
	context.arg = m->label;
	context.previous = error_context_stack;
	error_context_stack = &context;
	strata_base_execute(psprintf("DELETE FROM %s WHERE %s = 0", m->label, quote_identifier(surrogate)), NULL);
	if (unknown == NULL || columns[0] == '\0')
		strata_base_execute(psprintf("INSERT INTO %s (%s, valid_from, is_current%s) VALUES (0, '-infinity', true%s)",
									 m->label, quote_identifier(surrogate), mark ? ", is_deleted" : "",
									 mark ? ", false" : ""),
							NULL);
	else
	{
		strata_args_jsonb(&args, unknown);
		strata_base_execute(psprintf("INSERT INTO %s (%s, valid_from, is_current%s, %s)"
									 " SELECT 0, '-infinity', true%s, %s FROM jsonb_populate_record(NULL::%s, $1) AS r",
									 m->label, quote_identifier(surrogate), mark ? ", is_deleted" : "", columns,
									 mark ? ", false" : "", layers_list(strata_option_names(unknown), "r", ", "),
									 m->label),
							&args);
	}
	error_context_stack = context.previous;
}

static void
created(Definition *def)
{
	DimensionSpec *s = layers_dimension_spec(def->model);
	char *key = strata_base_join_quoted(s->key, ", ");

	layers_keeper_ddl(psprintf(
		"CREATE TABLE %s (%s, valid_from %s NOT NULL, strata_surrogate bigint NOT NULL, strata_inferred boolean NOT NULL DEFAULT false,"
		" PRIMARY KEY (%s, valid_from))",
		s->keys, column_list_ddl(def, s->key), s->time_type, key));
	layers_keeper_ddl(psprintf("CREATE INDEX ON %s (strata_surrogate)", s->keys));
	layers_keeper_ddl(psprintf("CREATE INDEX ON %s (strata_surrogate) WHERE strata_inferred", s->keys));
	own(s, s->keys);
	if (has_log(s))
		create_log(def, s);
	strata_base_execute(psprintf("CREATE UNIQUE INDEX ON %s (%s, valid_from)", s->model->label, key), NULL);
	strata_base_execute(psprintf("CREATE UNIQUE INDEX ON %s (%s) WHERE is_current", s->model->label, key), NULL);
	put_unknown(def, s->surrogate);
}

static void
changed(Definition *def)
{
	DimensionSpec *s = layers_dimension_spec(def->old);
	char *deletes = strata_option_text(def->model->options, "deletes");
	List *history = strata_option_texts(def->model->options, "history");
	List *pending = strata_registry_backfill(def->model->id);
	List *backfill = NIL;
	ListCell *lc;

	/* new columns with history: what the old versions held is not known, so they are not re-versioned */
	foreach (lc, def->columns)
	{
		TargetColumn *c = lfirst(lc);

		if (strata_base_list_has(history, c->name) && (c->added || strata_base_list_has(pending, c->name)))
			backfill = lappend(backfill, c->name);
	}
	strata_registry_set_backfill(def->model->id, backfill);
	layers_dimension_change_keys(def, s);
	if (has_log(s))
		layers_dimension_change_log(def, s);
	if (deletes && strcmp(deletes, "mark") == 0)
		strata_base_execute(psprintf("UPDATE %s SET is_deleted = false WHERE is_deleted IS NULL", s->model->label),
							NULL);
	put_unknown(def, s->surrogate);
}

/* The unknown member taken away by hand comes back: facts point at it. */
static bool
restore_unknown(StrataModel *model, const char *surrogate)
{
	Definition def = {0};

	if (strata_base_query(psprintf("SELECT 1 FROM %s WHERE %s = 0", model->label, quote_identifier(surrogate)), NULL)
			->count > 0)
		return false;
	def.model = model;
	put_unknown(&def, surrogate);
	return true;
}

/* A fact that adds members does not count them here. */
static bool
is_added_to(const StrataModel *model)
{
	StrataArgs args = {0};

	strata_args_text(&args, model->schema);
	strata_args_text(&args, model->name);
	return strata_base_keeper_query(
			   "SELECT 1 FROM strata_state.dependency d JOIN strata_state.model m ON m.id = d.model_id"
			   " WHERE d.schema_name = $1 AND d.relation_name = $2 AND m.layer = 'fact'"
			   " AND m.options::text LIKE '%\"infer\"%' LIMIT 1",
			   &args)
			   ->count > 0;
}

/* ---- refresh ---- */

/* The rows that the query gives: all of them, or those of the keys that what it reads has changed. */
typedef struct Extraction
{
	DimensionSpec *s;
	IncrementalModel *m;
	const StrataRefresh *refresh;
	StrataRefreshResult *result;
	char *why;
	uint64 n_changed;
} Extraction;

static char *
query(StrataModel *model, List **key, const char **key_word)
{
	*key = strata_option_texts(model->options, "key");
	*key_word = "key";
	return psprintf("SELECT * FROM %s AS q", model->query_view);
}

static void
refresh_versions(DimensionSpec *s, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	if (has_log(s))
		layers_dimension_refresh_log(s, refresh, result);
	else
		layers_dimension_refresh_runtime(s, refresh, result);
}

static bool
by_changes(void *arg)
{
	Extraction *e = arg;
	IncrementalExtract extract = {0};

	if (!layers_incremental_extract(e->m, e->refresh, &e->why, &extract))
		return false;
	if (extract.keys && extract.keys->count > 0)
	{
		e->s->affected = extract.keys;
		e->s->affected_columns = extract.columns;
		e->s->extract = extract.rows;
		refresh_versions(e->s, e->refresh, e->result);
		e->s->affected = NULL;
	}
	strata_rowset_free(extract.keys);
	layers_incremental_advance(extract.positions);
	e->n_changed = extract.n_changed;
	return true;
}

/* Whether its versions follow from the changes: not where all of them are made anew. */
static bool
refresh_by_changes(Extraction *e)
{
	StrataModel *model = e->s->model;

	if (e->m->refusal)
		e->why = pstrdup(e->m->refusal);
	else if (e->refresh->full_rebuild || e->refresh->whole)
		e->why = pstrdup("asked for");
	else if (strata_registry_backfill(model->id) != NIL)
		e->why = pstrdup("columns are filled in for versions of before");
	else if (layers_incremental_lacks(e->m))
		e->why = pstrdup(layers_incremental_lacks(e->m));
	else if (strata_guard_was_edited(model->id, e->refresh->snapshot))
		e->why = pstrdup("others wrote into its target");
	else if (layers_incremental_attempt(by_changes, e, &e->why))
		return true;
	memset(&e->result->counts, 0, sizeof(e->result->counts));
	e->result->message = NULL;
	return false;
}

static void
refresh(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	Extraction e = {layers_dimension_spec(model), NULL, refresh, result};
	StrataRows *rows;
	const char *word;
	List *key;
	char *sql = query(model, &key, &word);
	bool changed;
	bool restored;

	if (TIMESTAMP_NOT_FINITE(refresh->as_of))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the run time of dimension %s is infinite", model->label), errhint("Give as_of an instant.")));
	/* a first build has nothing to follow */
	if (model->applied_version > 0)
		e.m = layers_incremental_open(model, sql, key, word, INCREMENTAL_LOOK);
	changed = e.m && refresh_by_changes(&e);
	if (changed)
	{
		result->method = psprintf("incremental: %s", layers_count_of(e.n_changed, "changed row"));
		if (result->counts.inserted + result->counts.updated + result->counts.deleted == 0)
		{
			result->row_count = model->row_count;
			return;
		}
	}
	else
	{
		e.s = layers_dimension_spec(model);
		e.m = layers_incremental_open(model, sql, key, word, INCREMENTAL_MAKE);
		result->why = e.why ? e.why : layers_why_full(e.m, refresh);
		if (!e.m->refusal)
			(void) layers_incremental_build(e.m, refresh);
		refresh_versions(e.s, refresh, result);
		if (e.m->refusal)
			layers_incremental_not_built(e.m, refresh);
		else
			layers_incremental_built(e.m, refresh);
	}
	restored = restore_unknown(model, e.s->surrogate);
	if (changed && model->row_count >= 0 && !is_added_to(model))
		result->row_count = model->row_count + result->counts.inserted - result->counts.deleted + restored;
	else
	{
		rows = strata_base_run_query(psprintf("SELECT count(*) FROM %s", model->label), NULL, refresh->snapshot, NIL);
		result->row_count = strata_rows_int(rows, 0, 1);
	}
	strata_registry_set_backfill(model->id, NIL);
}

static void
verify(StrataModel *model, VerifyWork *work)
{
	DimensionSpec *s = layers_dimension_spec(model);
	VerifyPart part = {0};

	if (has_log(s))
		layers_dimension_verify_log(s, work);
	else
		layers_dimension_verify_runtime(s, work);
	part.of = "the unknown member";
	part.wanted = psprintf("SELECT 0 AS %s WHERE NOT EXISTS (SELECT 1 FROM %s AS t WHERE t.%s = 0 AND t.is_current)",
						   quote_identifier(s->surrogate), model->label, quote_identifier(s->surrogate));
	part.present = psprintf("SELECT t.%s FROM %s AS t WHERE t.%s = 0 AND NOT t.is_current",
							quote_identifier(s->surrogate), model->label, quote_identifier(s->surrogate));
	part.differences = part.uncounted = part.share_inside = true;
	layers_verify_part(work, &part);
}

const LayerRoutine layers_dimension = {validate, created, layers_dimension_changing, changed, query, refresh, verify};
