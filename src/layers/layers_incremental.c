/*
 * layers_incremental.c: what the incremental upkeep of a model stands on: its plan, its hidden tables, its subscriptions.
 *
 * Hidden tables belong to the model's owner and stand in strata_state: m<id>_p<n> holds a part's rows, m<id>_s<n> the
 * state of its groups. They are worth what the signature says: the plan they were built for, spelled out.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "guard/guard.h"
#include "layers/layers_incremental.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

bool strata_layers_incremental = true;
double strata_layers_full_cost = 1;
int strata_layers_rule = INCREMENTAL_AUTO;

char *
layers_capitalized(const char *words)
{
	char *text = pstrdup(words);

	text[0] = pg_toupper((unsigned char) text[0]);
	return text;
}

char *
layers_sentence(const char *words)
{
	return psprintf("%s.", layers_capitalized(words));
}

static Query *
analyze(const char *sql)
{
	List *parsed = raw_parser(sql, RAW_PARSE_DEFAULT);

	return parse_analyze_fixedparams(linitial(parsed), sql, NULL, 0, NULL);
}

static Oid
hidden_oid(const StrataModel *model, const char *suffix)
{
	return get_relname_relid(psprintf("m%d_%s", model->id, suffix), get_namespace_oid("strata_state", false));
}

/* ---- columns of the hidden tables ---- */

static TargetColumn *
hidden_column(const char *name, Oid type, int32 typmod, Oid collation)
{
	return layers_column(name, type, typmod, collation, "");
}

/* c1, c2, ...: names of a part's columns need not be unique, and nobody reads them. */
static List *
part_columns(const StrataPart *part)
{
	List *columns = NIL;
	ListCell *lc;

	foreach (lc, part->query->targetList)
	{
		TargetEntry *te = lfirst(lc);

		if (te->resjunk)
			continue;
		columns = lappend(columns, hidden_column(psprintf("c%d", list_length(columns) + 1), exprType((Node *) te->expr),
												 exprTypmod((Node *) te->expr), exprCollation((Node *) te->expr)));
	}
	return columns;
}

static List *
state_columns(const StrataAlgebra *algebra)
{
	List *columns = NIL;
	ListCell *lc;

	foreach (lc, algebra->columns)
	{
		StrataStateColumn *c = lfirst(lc);

		columns = lappend(columns, hidden_column(c->name, c->type, c->typmod, c->collation));
	}
	return columns;
}

static bool
same_columns(Oid relid, const List *wanted)
{
	List *there = layers_target_columns(relid);

	if (list_length(there) != list_length(wanted))
		return false;
	for (int i = 0; i < list_length(wanted); i++)
	{
		TargetColumn *a = list_nth(there, i);
		TargetColumn *b = list_nth(wanted, i);

		if (strcmp(a->name, b->name) != 0 || a->type_oid != b->type_oid || a->typmod != b->typmod ||
			a->collation != b->collation)
			return false;
	}
	return true;
}

/* Whether all values fit into an index row: those of an index that nobody asked for must not be refused. */
static bool
is_short(const TargetColumn *c)
{
	Oid base = getBaseType(c->type_oid);

	return get_typlen(base) > 0 || (base == NUMERICOID && c->typmod >= 0) ||
		   ((base == VARCHAROID || base == BPCHAROID) && c->typmod >= 0 && c->typmod <= 500);
}

/* An index over composites, which also arrays may hold, is no longer in order when their type is altered. */
static bool
is_index_safe(Oid type)
{
	Oid element = get_base_element_type(type);

	return !type_is_rowtype(OidIsValid(element) ? element : type);
}

/*
 * "(a, b)": what finds rows by as many of the key's columns as it may; of one long column " USING hash (a)". Only a key of several long
 * columns and nothing else has them all in a btree, which refuses values of more than a third of a page.
 */
static char *
indexed(const List *columns, const List *positions)
{
	List *names = NIL;
	List *long_names = NIL;
	ListCell *lc;

	foreach (lc, positions)
	{
		TargetColumn *c = list_nth(columns, lfirst_int(lc) - 1);

		if (!OidIsValid(lookup_type_cache(c->type_oid, TYPECACHE_BTREE_OPFAMILY)->btree_opf) ||
			!is_index_safe(c->type_oid))
			continue;
		if (is_short(c) && list_length(names) < INDEX_MAX_KEYS)
			names = lappend(names, c->name);
		else if (list_length(long_names) < INDEX_MAX_KEYS)
			long_names = lappend(long_names, c);
	}
	if (names == NIL && list_length(long_names) == 1)
	{
		TargetColumn *c = linitial(long_names);

		if (OidIsValid(lookup_type_cache(c->type_oid, TYPECACHE_HASH_OPFAMILY)->hash_opf))
			return psprintf("USING hash (%s)", quote_identifier(c->name));
	}
	if (names == NIL)
		foreach (lc, long_names)
			names = lappend(names, ((TargetColumn *) lfirst(lc))->name);
	return names == NIL ? NULL : psprintf("(%s)", strata_base_join_quoted(names, ", "));
}

/* What a table just made lacks until its rows are in: the index is made of them at once, and by the keeper, as the owner may make none in that schema. */
typedef struct UnfinishedTable
{
	Oid relid;
	char *label;
	char *index; /* NULL: none */
} UnfinishedTable;

void
layers_incremental_finish(IncrementalModel *m, Oid relid)
{
	char *owner = GetUserNameFromId(m->model->owner, false);
	ListCell *lc;

	foreach (lc, m->unfinished)
	{
		UnfinishedTable *t = lfirst(lc);

		if (OidIsValid(relid) && t->relid != relid)
			continue;
		if (t->index)
			layers_keeper_ddl(psprintf("CREATE INDEX ON %s %s", t->label, t->index));
		layers_keeper_ddl(psprintf("ALTER TABLE %s OWNER TO %s", t->label, quote_identifier(owner)));
		m->unfinished = foreach_delete_current(m->unfinished, lc);
	}
}

static Oid
make_table(IncrementalModel *m, const char *suffix, const List *columns, const List *key, bool busy)
{
	const StrataModel *model = m->model;
	Oid relid = hidden_oid(model, suffix);
	char *label = strata_registry_state_relation(model->id, suffix);
	UnfinishedTable *unfinished;
	List *ddl = NIL;
	ListCell *lc;

	if (OidIsValid(relid) && same_columns(relid, columns))
		return relid;
	if (OidIsValid(relid))
		layers_keeper_ddl(psprintf("DROP TABLE %s", label));
	foreach (lc, columns)
		ddl = lappend(ddl, layers_column_ddl(lfirst(lc)));
	/* room on each page, so that a changed row stays there and no index has to know */
	layers_keeper_ddl(
		psprintf("CREATE TABLE %s (%s)%s", label, strata_base_join(ddl, ", "), busy ? " WITH (fillfactor = 70)" : ""));
	unfinished = palloc(sizeof(UnfinishedTable));
	unfinished->relid = hidden_oid(model, suffix);
	unfinished->label = label;
	unfinished->index = indexed(columns, key);
	m->unfinished = lappend(m->unfinished, unfinished);
	return unfinished->relid;
}

static List *
first_positions(int n)
{
	List *positions = NIL;

	for (int i = 1; i <= n; i++)
		positions = lappend_int(positions, i);
	return positions;
}

/* ---- the plan ---- */

/* What no trigger can watch, nor a watermark tell: said of the first such relation. */
static const char *
uncaptured(IncrementalModel *m)
{
	const char *first = NULL;
	ListCell *lc;

	foreach (lc, m->plan->inputs)
	{
		Oid relid = ((StrataInput *) lfirst(lc))->relid;
		const char *why = layers_source_refusal(m, relid);
		const IncrementalSource *source = layers_source_of(m, relid);

		if (why && source && source->mode == SOURCE_CAPTURE)
		{
			m->insists = true;
			return why;
		}
		if (why && first == NULL)
			first = why;
	}
	return first;
}

char *
strata_layers_consumer(const StrataModel *model)
{
	return psprintf("m%d", model->id);
}

static bool
is_followed(const IncrementalModel *m, Oid relid)
{
	ListCell *lc;

	foreach (lc, m->plan->inputs)
		if (((StrataInput *) lfirst(lc))->relid == relid)
			return !layers_has_watermark(m, relid);
	return false;
}

static void
subscribe(const IncrementalModel *m)
{
	StrataArgs args = {0};
	StrataRows *rows;
	ListCell *lc;

	/* what it read under an earlier definition: nobody would look at those changes again */
	strata_args_int4(&args, m->model->id);
	rows = strata_base_keeper_query("SELECT unnest(inputs) FROM strata_state.incremental WHERE model_id = $1", &args);
	for (uint64 i = 0; i < rows->count; i++)
		if (!is_followed(m, strata_rows_int(rows, i, 1)))
			strata_capture_forget(strata_rows_int(rows, i, 1), strata_layers_consumer(m->model));

	foreach (lc, m->plan->inputs)
		if (!layers_has_watermark(m, ((StrataInput *) lfirst(lc))->relid))
			strata_capture_subscribe(((StrataInput *) lfirst(lc))->relid, strata_layers_consumer(m->model));
}

/*
 * What is not captured, though it could be: it could not when the model was defined, or was restored from a dump. A refresh asks for it; its
 * end puts it on.
 */
static const char *
unsubscribed(const IncrementalModel *m, bool request)
{
	const char *why = NULL;
	ListCell *lc;

	foreach (lc, m->plan->inputs)
	{
		Oid relid = ((StrataInput *) lfirst(lc))->relid;

		if (layers_has_watermark(m, relid) || strata_capture_installed(relid))
			continue;
		if (why == NULL)
			why = psprintf("changes of %s are not captured yet",
						   strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)));
		if (request)
			strata_capture_request(relid, strata_layers_consumer(m->model));
	}
	return why;
}

static List *
positions_of(List *columns, const List *names)
{
	List *all = layers_names(columns);
	List *positions = NIL;
	ListCell *lc;

	foreach (lc, names)
		positions = lappend_int(positions, layers_position(all, lfirst(lc)) + 1);
	return positions;
}

/* An index on the target by which the rows of a group are found, where the declared key does not serve. */
static void
index_target(const IncrementalModel *m, const StrataPart *last)
{
	const StrataModel *model = m->model;
	char *name = psprintf("strata_m%d_find", model->id);
	List *target = layers_target_columns(model->relid);
	char *columns = NULL;
	Oid there = get_relname_relid(name, get_namespace_oid(model->schema, false));
	StrataArgs args = {0};

	/* the grain of a fact that its partitions cannot enforce */
	if (m->key != NIL && get_rel_relkind(model->relid) == RELKIND_PARTITIONED_TABLE &&
		layers_primary_key(model->relid) == NIL)
		columns = indexed(target, positions_of(target, m->key));
	/* also where the target is the state of its groups and they are not found by the key */
	else if (last->keys != NIL &&
			 (m->key == NIL || (last->rule == STRATA_RULE_ALGEBRA &&
								!list_member_int(last->keys, linitial_int(positions_of(target, m->key))))))
		columns = indexed(target, last->keys);
	if (OidIsValid(there))
	{
		char *definition;

		strata_args_int8(&args, there);
		definition = strata_rows_text(strata_base_query("SELECT pg_get_indexdef($1::oid)", &args), 0, 1);
		if (columns && strstr(definition, columns))
			return;
		strata_base_execute(psprintf("DROP INDEX %s", strata_base_label(model->schema, name)), NULL);
	}
	if (columns)
		strata_base_execute(psprintf("CREATE INDEX %s ON %s %s", name, model->label, columns), NULL);
}

/* The tables of the inner parts. False: one is missing or of another shape, and make was not said. */
static bool
find_parts(IncrementalModel *m, bool make)
{
	ListCell *lc;

	foreach (lc, m->plan->parts)
	{
		StrataPart *part = lfirst(lc);
		char *suffix = psprintf("p%d", part->number);
		List *columns = part_columns(part);
		Oid relid = hidden_oid(m->model, suffix);

		if (part->last)
			break;
		if (make)
			relid = make_table(m, suffix, columns, part->keys, part->rule == STRATA_RULE_ALGEBRA);
		else if (!OidIsValid(relid) || !same_columns(relid, columns))
			return false;
		m->hidden = lappend_oid(m->hidden, relid);
	}
	return true;
}

/* The same for the states of groups, of parts that are bound. */
static bool
find_states(IncrementalModel *m, bool make)
{
	ListCell *lc;

	foreach (lc, m->plan->parts)
	{
		StrataPart *part = lfirst(lc);
		char *suffix = psprintf("s%d", part->number);
		/* of a dimension's extract only the keys that changed are looked at: no state tells more */
		StrataAlgebra *algebra =
			part->rule == STRATA_RULE_ALGEBRA && !(part->last && m->extract) ? strata_incremental_algebra(part) : NULL;
		Oid state;

		/* the old and the new state stand side by side in one row */
		if (algebra && 2 * list_length(algebra->columns) + 2 > MaxTupleAttributeNumber - 100)
		{
			if (!part->also_keys)
			{
				m->refusal = "it has more aggregates than a row of their state can hold";
				return false;
			}
			part->rule = STRATA_RULE_KEYS;
			part->reason = "the state of so many aggregates does not fit a row: affected keys";
			algebra = NULL;
		}
		state = algebra ? hidden_oid(m->model, suffix) : InvalidOid;
		if (algebra && layers_owns_state(m, part, algebra))
		{
			if (OidIsValid(state) && make)
				layers_keeper_ddl(psprintf("DROP TABLE %s", strata_registry_state_relation(m->model->id, suffix)));
			state = InvalidOid;
		}
		else if (algebra && make)
			state = make_table(m, suffix, state_columns(algebra), first_positions(algebra->nkeys), true);
		else if (algebra && (!OidIsValid(state) || !same_columns(state, state_columns(algebra))))
			return false;
		m->algebras = lappend(m->algebras, algebra);
		m->states = lappend_oid(m->states, state);
		if (part->last && make && !m->extract)
			index_target(m, part);
	}
	return true;
}

/* All that the stored state rests on, spelled out. */
static char *
signature(const IncrementalModel *m)
{
	StringInfoData buf;
	ListCell *lc;
	ListCell *column;

	initStringInfo(&buf);
	appendStringInfo(&buf, "1 %d %s", m->model->version, m->model->settings.time_zone);
	foreach (lc, m->plan->parts)
	{
		StrataPart *part = lfirst(lc);

		appendStringInfo(&buf, "\n%d %s", part->rule, strata_incremental_full(part));
	}
	/* which columns the state has hangs on more than the query: on what may be NULL */
	foreach (lc, m->algebras)
	{
		StrataAlgebra *algebra = lfirst(lc);

		appendStringInfo(&buf, "\n%d", OidIsValid(list_nth_oid(m->states, foreach_current_index(lc))));
		if (algebra)
			foreach (column, algebra->columns)
				appendStringInfo(&buf, " %s", ((StrataStateColumn *) lfirst(column))->name);
	}
	foreach (lc, m->plan->functions)
	{
		HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		/* CREATE OR REPLACE leaves another row under the same number */
		appendStringInfo(&buf, "\n%u %u", lfirst_oid(lc), HeapTupleHeaderGetRawXmin(tuple->t_data));
		ReleaseSysCache(tuple);
	}
	foreach (lc, m->plan->inputs)
	{
		const IncrementalSource *source = layers_source_of(m, ((StrataInput *) lfirst(lc))->relid);

		if (source && source->mode == SOURCE_WATERMARK)
			appendStringInfo(&buf, "\n%u %d %u", source->relid, source->loaded_at, source->type);
	}
	return psprintf(UINT64_FORMAT "-" UINT64_FORMAT, hash_bytes_extended((unsigned char *) buf.data, buf.len, 1),
					hash_bytes_extended((unsigned char *) buf.data, buf.len, 2));
}

static void
watch(const IncrementalModel *m)
{
	strata_guard_watch(m->model->relid, m->model->id);
	layers_tables_watch(m->model);
}

/* From now on what changes is seen. */
static void
follow(IncrementalModel *m)
{
	m->refusal = NULL;
	subscribe(m);
	watch(m);
}

static IncrementalModel *
open_model(StrataModel *model, const char *query, List *key, const char *key_word, IncrementalOpen how)
{
	IncrementalModel *m = palloc0(sizeof(IncrementalModel));
	const char *missing = NULL;
	const char *unmade = model->applied_version == 0 ? "its first build" : "its hidden tables are not there";
	bool make = how == INCREMENTAL_MAKE;
	ListCell *lc;

	m->model = model;
	m->key = key;
	m->key_word = key_word;
	m->extract = model->layer == STRATA_DIMENSION;
	if (strcmp(model->refresh, "full") == 0)
		m->refusal = "refresh => 'full'";
	else if (!strata_layers_incremental && strcmp(model->refresh, "incremental") != 0)
		m->refusal = "strata.incremental is off";
	if (m->refusal)
		return m;
	m->sources = layers_declared_sources(model);
	m->plan = strata_incremental_plan(analyze(query), layers_source_relids(m, false));
	foreach (lc, ((StrataPart *) llast(m->plan->parts))->query->targetList)
		if (!((TargetEntry *) lfirst(lc))->resjunk)
			m->columns = lappend(m->columns, ((TargetEntry *) lfirst(lc))->resname);
	m->refusal = uncaptured(m);
	if (!m->insists && m->plan->whole)
		m->refusal = m->plan->why_whole;
	if (m->refusal == NULL && layers_source_relids(m, true) != NIL)
		m->refusal = strata_incremental_partial(m->plan, layers_source_relids(m, true), key);
	if (m->refusal == NULL && m->extract && layers_incremental_keyed_last(m) == NULL)
		m->refusal = "its query cannot be computed for some keys alone";
	if (m->refusal)
		return m;
	if (how == INCREMENTAL_SUBSCRIBE)
		/*
		 * The first build makes them where nothing else is to be refused: a script of a thousand definitions would hold locks on all of them,
		 * with their indexes and TOAST tables, until its end.
		 */
		make = model->applied_version > 0 || strcmp(model->refresh, "incremental") == 0;
	else
		missing = unsubscribed(m, make);
	m->refusal = missing ? missing : unmade;
	if (!find_parts(m, make))
	{
		m->unmade = m->refusal == unmade;
		if (how == INCREMENTAL_SUBSCRIBE)
			follow(m);
		return m;
	}
	strata_incremental_bind(m->plan, m->hidden);
	if (!find_states(m, make))
	{
		m->unmade = m->refusal == unmade;
		if (how == INCREMENTAL_SUBSCRIBE && m->unmade)
			follow(m);
		return m;
	}
	m->refusal = missing;
	m->waits = missing != NULL;
	if (model->layer == STRATA_FACT)
		m->lookups = layers_fact_lookups(model);
	m->signature = signature(m);
	if (how == INCREMENTAL_SUBSCRIBE)
		follow(m);
	else if (missing && make)
		watch(m);
	return m;
}

IncrementalModel *
layers_incremental_open(StrataModel *model, const char *query, List *key, const char *key_word, IncrementalOpen how)
{
	IncrementalModel *m = open_model(model, query, key, key_word, how);

	/* nobody fills them now */
	if (m->refusal || how == INCREMENTAL_SUBSCRIBE)
		layers_incremental_finish(m, InvalidOid);
	return m;
}

/* ---- what is known about it ---- */

const char *
layers_incremental_lacks(const IncrementalModel *m)
{
	static const char *const columns[] = {"signature", "tables"};
	StrataRows *rows;

	if (m->model->applied_version == 0)
		return "its first build";
	if (m->model->applied_version != m->model->version)
		return "its definition has changed";
	rows = strata_table_read("incremental", columns, lengthof(columns), "incremental_pkey", "model_id", m->model->id);
	if (rows->count == 0)
		return "its last refresh kept no state for this one";
	if (m->refusal || strcmp(strata_rows_text(rows, 0, 1), m->signature) != 0)
		return "what it reads was defined anew";
	if (!layers_tables_are(m->model, strata_rows_text(rows, 0, 2)))
		return "tables that hold its rows came or went";
	return NULL;
}

/*
 * Views stand in the plan as what they are. One of ours tells when it is changed; one of others is noticed by the plan's signature only,
 * and so are functions. False: there is such a one. views: ids of those of ours.
 */
static bool
is_quick(const StrataModel *model, List **views)
{
	ListCell *lc;

	foreach (lc, model->dependencies)
	{
		const StrataDependency *d = lfirst(lc);
		Oid schema = get_namespace_oid(d->schema, true);
		StrataModel *view;

		if (!OidIsValid(schema))
			return false;
		if (get_rel_relkind(get_relname_relid(d->name, schema)) != RELKIND_VIEW || list_member_int(*views, d->model_id))
			continue;
		if (d->model_id == 0 || (view = strata_registry_model_by_id(d->model_id)) == NULL)
			return false;
		*views = lappend_int(*views, d->model_id);
		if (!is_quick(view, views))
			return false;
	}
	return true;
}

/* The definitions of these models, as one text. */
static char *
state_of(const char *views)
{
	StrataArgs args = {0};

	strata_args_text(&args, views);
	return strata_rows_text(
		strata_base_keeper_query(
			"SELECT coalesce(string_agg(id || ':' || change_count || ':' || version, ' ' ORDER BY id), '')"
			" FROM strata_state.model WHERE id = ANY ($1::int[])",
			&args),
		0, 1);
}

/* False also of a relation that is no more. */
static bool
has_no_policies(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool none;

	if (!HeapTupleIsValid(tuple))
		return false;
	none = !((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity;
	ReleaseSysCache(tuple);
	return none;
}

StrataIdle
strata_layers_idle(const StrataModel *model, Snapshot snapshot)
{
	static const char *const columns[] = {"quick", "inputs", "views", "views_state", "tables"};
	StrataRows *rows;
	Datum *inputs;
	bool isnull;
	int n;

	if (strcmp(model->refresh, "full") == 0 || !strata_layers_incremental)
		return STRATA_IDLE_UNKNOWN;
	rows = strata_table_read("incremental", columns, lengthof(columns), "incremental_pkey", "model_id", model->id);
	if (rows->count == 0 || !strata_rows_bool(rows, 0, 1))
		return STRATA_IDLE_UNKNOWN;
	deconstruct_array(DatumGetArrayTypeP(strata_rows_datum(rows, 0, 2, &isnull)), OIDOID, sizeof(Oid), true,
					  TYPALIGN_INT, &inputs, NULL, &n);
	if (n == 0)
		return STRATA_IDLE_UNKNOWN;
	if (strcmp(strata_rows_text(rows, 0, 3), "{}") != 0 &&
		strcmp(state_of(strata_rows_text(rows, 0, 3)), strata_rows_text(rows, 0, 4)) != 0)
		return STRATA_IDLE_UNKNOWN;
	if (!layers_tables_are(model, strata_rows_text(rows, 0, 5)))
		return STRATA_NOT_IDLE;
	for (int i = 0; i < n; i++)
	{
		StrataCaptureChanges *changes;

		/* which rows the owner sees hangs on roles and policies, too: the plan is to look */
		if (!has_no_policies(DatumGetObjectId(inputs[i])))
			return STRATA_IDLE_UNKNOWN;
		changes = strata_capture_changes(DatumGetObjectId(inputs[i]), strata_layers_consumer(model), snapshot, false);
		if (!changes->known)
			return STRATA_IDLE_UNKNOWN;
		/* also what others wrote into another model's target: the fence knows of runs only */
		if (changes->count > 0)
			return STRATA_NOT_IDLE;
	}
	return strata_guard_was_edited(model->id, snapshot) ? STRATA_NOT_IDLE : STRATA_IDLE;
}

void
layers_incremental_set_built(const IncrementalModel *m, Snapshot snapshot)
{
	StrataArgs args = {0};
	StrataArgs old = {0};
	StringInfoData inputs;
	StringInfoData views;
	List *ids = NIL;
	bool quick = is_quick(m->model, &ids) && m->plan->functions == NIL && !m->plan->names;
	ListCell *lc;

	/* what a watermark tells has to be looked for */
	foreach (lc, m->plan->inputs)
		quick = quick && !layers_has_watermark(m, ((StrataInput *) lfirst(lc))->relid);

	initStringInfo(&inputs);
	initStringInfo(&views);
	foreach (lc, ids)
		appendStringInfo(&views, "%s%d", foreach_current_index(lc) > 0 ? "," : "", lfirst_int(lc));
	foreach (lc, m->plan->inputs)
		appendStringInfo(&inputs, "%s%u", foreach_current_index(lc) > 0 ? "," : "",
						 ((StrataInput *) lfirst(lc))->relid);
	strata_args_int4(&args, m->model->id);
	strata_args_text(&args, m->signature);
	strata_args_text(&args, psprintf("{%s}", inputs.data));
	strata_args_bool(&args, quick);
	strata_args_text(&args, psprintf("{%s}", views.data));
	strata_args_text(&args, state_of(psprintf("{%s}", views.data)));
	strata_args_text(&args, layers_tables_text(m->model, m->tables));
	strata_base_keeper_execute(
		"INSERT INTO strata_state.incremental (model_id, signature, inputs, quick, views, views_state, tables)"
		" VALUES ($1, $2, $3::oid[], $4, $5::int[], $6, $7::oid[]) ON CONFLICT (model_id) DO UPDATE"
		" SET (signature, inputs, quick, views, views_state, tables) = (excluded.signature, excluded.inputs,"
		"     excluded.quick, excluded.views, excluded.views_state, excluded.tables)",
		&args);
	layers_tables_watch(m->model);
	/* what it read under an earlier definition */
	strata_args_int4(&old, m->model->id);
	strata_base_keeper_execute("DELETE FROM strata_state.watermark w USING strata_state.incremental i"
							   " WHERE w.model_id = $1 AND i.model_id = $1 AND w.relid <> ALL (i.inputs)",
							   &old);
	strata_guard_forget_edits(m->model->id, snapshot);
}

void
layers_incremental_unbuilt(const StrataModel *model)
{
	StrataArgs args = {0};

	strata_args_int4(&args, model->id);
	strata_base_keeper_execute("DELETE FROM strata_state.incremental WHERE model_id = $1", &args);
	strata_base_keeper_execute("DELETE FROM strata_state.watermark WHERE model_id = $1", &args);
}

void
layers_incremental_forget(const StrataModel *model)
{
	Oid schema = get_namespace_oid("strata_state", false);
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_text(&args, psprintf("^m%d_[ps][0-9]+$", model->id));
	strata_args_int8(&args, schema);
	/* for the index: all that begins so, '`' being what comes after '_' */
	strata_args_text(&args, psprintf("m%d_", model->id));
	strata_args_text(&args, psprintf("m%d`", model->id));
	rows = strata_base_keeper_query("SELECT relname FROM pg_class WHERE relnamespace = $2::oid AND relkind = 'r'"
									" AND relname >= $3::name AND relname < $4::name AND relname ~ $1 ORDER BY relname",
									&args);
	for (uint64 i = 0; i < rows->count; i++)
		layers_keeper_ddl(psprintf("DROP TABLE %s", strata_base_label("strata_state", strata_rows_text(rows, i, 1))));
	layers_incremental_unbuilt(model);
	strata_capture_forget(InvalidOid, strata_layers_consumer(model));
	strata_guard_unwatch(model->id);
}
