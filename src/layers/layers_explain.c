/*
 * layers_explain.c: strata.explain_refresh(): how a model follows what it reads, why so, and by which SQL.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/version.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "guard/guard.h"
#include "layers/layers_explain.h"
#include "layers/layers_incremental.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(strata_explain_refresh);

#define WIDTH 118 /* psql puts a space on either side */
#define RULES 48  /* the column where a part's rule begins */

typedef struct Explain
{
	IncrementalModel *m;
	Snapshot snapshot;
	ReturnSetInfo *out;
	List *changed;          /* StrataChanged *: what has changes waiting, or everything */
	bool waits;             /* something has */
	List *left_out;         /* StrataChanged *: of everything, what is not shown */
	StrataPart *keyed_last; /* of a dimension: the last part, as it is asked for the keys touched; else NULL */
	bool fact;              /* the last part is kept row by row */
	List *named;            /* char *: names of row sets that are taken */
} Explain;

static void
put(Explain *e, const char *text)
{
	const char *end;

	/* a row a line: psql aligns what it is given */
	for (;; text = end + 1)
	{
		Datum value;
		bool null = false;

		end = strchrnul(text, '\n');
		value = PointerGetDatum(cstring_to_text_with_len(text, end - text));
		tuplestore_putvalues(e->out->setResult, e->out->setDesc, &value, &null);
		if (*end == '\0')
			break;
	}
}

/* prefix begins its first line, and as many spaces, or more, the lines after it. */
static void
put_folded(Explain *e, const char *prefix, const char *text, int more)
{
	int margin = pg_mbstrlen(prefix);
	ListCell *lc;

	foreach (lc, layers_fold_words(text, WIDTH - margin, WIDTH - margin - more))
		put(e, foreach_current_index(lc) == 0 ? psprintf("%s%s", prefix, (char *) lfirst(lc))
											  : psprintf("%*s%s", margin + more, "", (char *) lfirst(lc)));
}

static void
put_comment(Explain *e, const char *text)
{
	ListCell *lc;

	foreach (lc, layers_fold_words(text, WIDTH - 3, WIDTH - 5))
		put(e, psprintf("-- %s%s", foreach_current_index(lc) == 0 ? "" : "  ", (char *) lfirst(lc)));
}

static void
put_sql(Explain *e, const char *what, const char *sql)
{
	if (sql == NULL)
		return;
	put_comment(e, what);
	put(e, layers_fold_sql(psprintf("%s;", sql), WIDTH));
}

static char *
label_of(Oid relid)
{
	return strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* A refresh numbers its row sets; a reader wants to know of what they are the change. */
static char *
change_name(Explain *e, const char *of)
{
	char *name = psprintf("strata_change_%.*s", pg_mbcliplen(of, strlen(of), NAMEDATALEN - 24), of);
	int same = 0;
	ListCell *lc;

	for (char *c = name; *c; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9'))
			*c = '_';
	foreach (lc, e->named)
		same += strcmp(lfirst(lc), name) == 0;
	e->named = lappend(e->named, name);
	return same > 0 ? psprintf("%s_%d", name, same + 1) : name;
}

static void
add_changed(Explain *e, Oid relid, const char *of)
{
	StrataChanged *c = palloc0(sizeof(StrataChanged));

	c->relid = relid;
	c->rowset = change_name(e, of);
	e->changed = lappend(e->changed, c);
}

/* Whether something that the model has not seen is recorded. Of one that is computed in full nobody knows. */
static bool
has_waiting(const StrataModel *model, Snapshot snapshot)
{
	static const char *const columns[] = {"inputs"};
	StrataRows *rows =
		strata_table_read("incremental", columns, lengthof(columns), "incremental_pkey", "model_id", model->id);
	Datum *inputs;
	bool isnull;
	int n;

	if (rows->count == 0)
		return false;
	deconstruct_array(DatumGetArrayTypeP(strata_rows_datum(rows, 0, 1, &isnull)), OIDOID, sizeof(Oid), true,
					  TYPALIGN_INT, &inputs, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		StrataCaptureChanges *c;

		if (get_rel_name(DatumGetObjectId(inputs[i])) == NULL)
			continue;
		c = strata_capture_changes(DatumGetObjectId(inputs[i]), psprintf("m%d", model->id), snapshot, false);
		if (c->known && c->count > 0)
			return true;
	}
	return false;
}

/* Those at or below a model for which changes wait. */
static int
waiting_beneath(int model_id, Snapshot snapshot, List **seen)
{
	StrataModel *model;
	int n;
	ListCell *lc;

	check_stack_depth();
	if (list_member_int(*seen, model_id) || (model = strata_registry_model_by_id(model_id)) == NULL)
		return 0;
	*seen = lappend_int(*seen, model_id);
	n = has_waiting(model, snapshot);
	foreach (lc, model->dependencies)
		if (((StrataDependency *) lfirst(lc))->model_id != 0)
			n += waiting_beneath(((StrataDependency *) lfirst(lc))->model_id, snapshot, seen);
	return n;
}

static char *
nothing_changed(Explain *e, Oid relid)
{
	char *schema = get_namespace_name(get_rel_namespace(relid));
	StrataModel *model = strata_registry_find(schema, get_rel_name(relid));
	List *seen = NIL;
	int n = model ? waiting_beneath(model->id, e->snapshot, &seen) : 0;

	return n == 0 ? pstrdup("nothing has changed")
				  : psprintf("nothing has changed yet; %s beneath %s changes waiting", layers_count_of(n, "model"),
							 n == 1 ? "has" : "have");
}

/* Lines for each input, to be put further below: what waits says how the rest is shown. */
static List *
look_at_inputs(Explain *e)
{
	ListCell *lc;
	List *waiting = NIL;
	List *lines = NIL;

	foreach (lc, e->m->plan->inputs)
	{
		StrataInput *input = lfirst(lc);
		StrataCaptureChanges *c;

		if (layers_has_watermark(e->m, input->relid))
		{
			lines = lappend(lines, psprintf("  reads %s: %s", label_of(input->relid),
											layers_watermark_words(layers_watermark_position(e->m, input->relid))));
			waiting = lappend_oid(waiting, input->relid);
			continue;
		}
		c = strata_capture_changes(input->relid, psprintf("m%d", e->m->model->id), e->snapshot, true);
		lines = lappend(lines,
						psprintf("  reads %s: %s", label_of(input->relid),
								 !c->known       ? psprintf("what has changed is not known (%s)", c->why)
								 : c->count == 0 ? nothing_changed(e, input->relid)
												 : psprintf("%s waiting", layers_count_of(c->count, "changed row"))));
		if (c->known && c->count > 0)
			waiting = lappend_oid(waiting, input->relid);
	}
	e->waits = waiting != NIL;
	foreach (lc, e->m->plan->inputs)
	{
		Oid relid = ((StrataInput *) lfirst(lc))->relid;

		if (!e->waits || list_member_oid(waiting, relid))
			add_changed(e, relid, get_rel_name(relid));
	}
	return lines;
}

/* The plan knows a query; how the layer keeps the rows of the last part is known here. NULL: as the plan says. */
static const char *
layer_reason(Explain *e, const StrataPart *part)
{
	if (!part->last)
		return NULL;
	if (part->rule == STRATA_RULE_ALGEBRA && !e->m->extract &&
		!OidIsValid(list_nth_oid(e->m->states, part->number - 1)))
		return part->keys == NIL ? "changes are merged into the target's row, which is its own state"
								 : "changes are merged into the target's rows, which are their own state";
	if (e->keyed_last)
		return "members that the change touches are read again, and their versions made from that";
	return e->fact ? "keys are looked up for rows that come, and again where a version has changed" : NULL;
}

static const char *
rule_words(StrataRule rule)
{
	switch (rule)
	{
		case STRATA_RULE_SIGNED:
			return "signed rows";
		case STRATA_RULE_ALGEBRA:
			return "algebra";
		case STRATA_RULE_KEYS:
			return "affected keys";
		case STRATA_RULE_WHOLE:
			break;
	}
	return "in full";
}

/* Its query stands in one that tells which rows are rejected, and that in one that hands them on. */
static bool
is_staging_with_rejects(Explain *e)
{
	return e->m->model->layer == STRATA_STAGING && list_length(e->m->plan->tree) > 2 &&
		   strcmp(((StrataTreeLine *) lsecond(e->m->plan->tree))->what, "join q, r") == 0;
}

/* The last part, as its layer puts it. NULL: as the plan says. */
static const char *
layer_what(Explain *e)
{
	StringInfoData what;
	ListCell *lc;

	if (is_staging_with_rejects(e))
		return "rows of its query, with what its rules and casts reject";
	if (!e->fact)
		return NULL;
	initStringInfo(&what);
	foreach (lc, layers_fact_lookups(e->m->model))
	{
		IncrementalLookup *l = lfirst(lc);

		appendStringInfo(&what, "%s%s of %s", foreach_current_index(lc) == 0 ? "rows of its query, with " : ", ",
						 l->column, l->label);
		if (l->as_of)
			appendStringInfo(&what, " as of %s", l->as_of);
	}
	return what.data;
}

static const char *
what_of(Explain *e, const StrataPart *part)
{
	const char *what = part->last && !e->m->refusal ? layer_what(e) : NULL;

	return what ? what : part->what;
}

/* The rule stands on the right, beside what it is for, or beneath it. */
static void
put_tree_line(Explain *e, const StrataTreeLine *line)
{
	bool wrapped = !e->m->refusal && line->depth > 0 && is_staging_with_rejects(e);
	char *margin = psprintf("%*s", 2 + 2 * (line->depth - wrapped), "");
	const char *reason = line->part && !e->m->refusal ? layer_reason(e, line->part) : NULL;
	const char *what = line->part && line->part->last ? what_of(e, line->part) : line->what;
	int column = pg_mbstrlen(what) + strlen(margin);
	List *right;
	ListCell *lc;

	if (wrapped && line == lsecond(e->m->plan->tree))
		return;
	if (line->part == NULL)
	{
		put_folded(e, margin, what, 4);
		return;
	}
	right = layers_fold_words(
		psprintf("%s: %s",
				 e->keyed_last && line->part->last ? rule_words(STRATA_RULE_KEYS) : rule_words(line->part->rule),
				 reason ? reason : line->part->reason),
		WIDTH - RULES, WIDTH - RULES);
	if (column > RULES - 2)
		put_folded(e, margin, what, 4);
	foreach (lc, right)
		put(e, foreach_current_index(lc) == 0 && column <= RULES - 2
				   ? psprintf("%s%s%*s%s", margin, what, RULES - column, "", (char *) lfirst(lc))
				   : psprintf("%*s%s", RULES, "", (char *) lfirst(lc)));
}

/*
 * Row by row is the way for what changes of the source and of dimensions with versions bring. Days are made once: their change is shown
 * only where it waits.
 */
static void
look_at_fact(Explain *e)
{
	StrataPart *part = llast(e->m->plan->parts);
	List *by_rows = NIL;
	ListCell *lc;

	if (e->m->lookups == NIL)
		return;
	if (!e->waits)
	{
		foreach (lc, e->changed)
			if (layers_fact_explain(e->m, part, list_make1(lfirst(lc)), NULL))
				by_rows = lappend(by_rows, lfirst(lc));
		e->left_out = list_difference_ptr(e->changed, by_rows);
		e->changed = by_rows;
	}
	e->fact = layers_fact_explain(e->m, part, e->changed, NULL);
}

static void
put_inputs(Explain *e, const List *lines)
{
	StringInfoData but;
	ListCell *lc;

	foreach (lc, lines)
		put(e, lfirst(lc));
	initStringInfo(&but);
	foreach (lc, e->left_out)
		appendStringInfo(&but, "%s%s", foreach_current_index(lc) > 0 ? ", " : " but ",
						 label_of(((StrataChanged *) lfirst(lc))->relid));
	put(e, e->waits ? "The SQL below is for what has changes waiting."
					: psprintf("The SQL below is for changes of everything it reads%s.", but.data));
}

static bool
put_fact(Explain *e, StrataPart *part)
{
	FactStatements f;

	if (!e->fact || !part->last || !layers_fact_explain(e->m, part, e->changed, &f))
		return false;
	if (f.rows)
	{
		put_sql(e, "the change of its rows, without keys (strata_rows)", f.rows);
		put_sql(e, "keys for the rows that come; those that go are told by their other columns", f.keys);
	}
	put_sql(e,
			"rows of the table that a version that has changed concerns (strata_facts): their keys are looked up again",
			f.facts);
	return true;
}

/* Where whole tables are read for a few rows. */
static void
put_lacking(Explain *e, const StrataPart *part, bool by_keys)
{
	char *keys = by_keys ? layers_lacking_keys(part) : NULL;
	List *joins = e->fact && part->last ? NIL : layers_lacking_joins(part, e->changed);
	ListCell *lc;

	if (keys)
		put_comment(e, psprintf("no index finds these groups: an index on %s would", keys));
	foreach (lc, joins)
		put_comment(
			e, psprintf("no index finds what is joined to a changed row: an index on %s would", (char *) lfirst(lc)));
}

static void
put_keys(Explain *e, StrataPart *part, const char *then)
{
	char *keys = strata_incremental_keys(part, e->changed);

	if (keys == NULL)
		return;
	put_lacking(e, part, true);
	put_sql(e, "the keys touched (strata_keys)", keys);
	put_sql(e, then, strata_incremental_restricted(part, "strata_keys", false));
}

static void
put_part(Explain *e, StrataPart *part)
{
	StrataAlgebra *algebra = list_nth(e->m->algebras, part->number - 1);
	const char *table =
		part->last ? e->m->model->label : psprintf("strata_state.m%d_p%d", e->m->model->id, part->number);
	const char *reason = layer_reason(e, part);

	put(e, "");
	put_comment(
		e, psprintf("part %d of %d: %s -> %s", part->number, list_length(e->m->plan->parts), what_of(e, part), table));
	put_comment(e, reason ? reason : part->reason);
	if (part->last && e->keyed_last)
	{
		put_keys(e, e->keyed_last, "what the query gives for them (dimension_extract), from which versions are made");
		return;
	}
	switch (part->rule)
	{
		case STRATA_RULE_SIGNED:
		{
			Query *query = put_fact(e, part) ? NULL : strata_incremental_change(part->query, e->changed);

			if (query)
				put_lacking(e, part, false);
			if (query)
				put_sql(e, "its change, as signed rows; added to the table", strata_incremental_deparse(query));
			break;
		}
		case STRATA_RULE_ALGEBRA:
		{
			char *state = psprintf("strata_state.m%d_s%d", e->m->model->id, part->number);
			bool own = !OidIsValid(list_nth_oid(e->m->states, part->number - 1));
			List *columns = own ? layers_names(layers_target_columns(e->m->model->relid)) : NIL;
			bool nulls = false;
			char *change = strata_algebra_change(algebra, e->changed);

			if (change == NULL)
				break;
			put_lacking(e, part, algebra->may_stay || algebra->consolidated);
			put_sql(e, "the change of each group (strata_groups)", change);
			put_sql(e,
					own ? "merged with the target's rows, which are then written"
						: "merged with the state (strata_merge), which is then written",
					own ? strata_algebra_own_merge(algebra, "strata_groups", table, columns, nulls, false)
						: strata_algebra_merge(algebra, "strata_groups", state, nulls, false));
			if (algebra->may_stay)
				put_sql(e, "where an extremum seems to have left (strata_keys): whether it came as often",
						strata_algebra_counted(algebra, e->changed, "strata_groups",
											   algebra->nkeys > 0 ? "strata_keys" : NULL, nulls));
			put_sql(e, "groups whose state does not follow from that, from their rows",
					strata_algebra_state(algebra, algebra->nkeys > 0 ? "strata_keys" : NULL, false));
			if (!own && layers_finds_groups(e->m, part, algebra))
				put_sql(e, "the table's rows of these groups, which are then written",
						strata_algebra_keyed_output(algebra, "strata_merge", table,
													layers_names(layers_target_columns(e->m->model->relid)), nulls));
			else if (!own)
				put_sql(e, "its change, as signed rows; added to the table",
						strata_algebra_output(algebra, "strata_merge"));
			break;
		}
		case STRATA_RULE_KEYS:
			put_keys(e, part, "their rows computed again; the table's rows of these keys become these");
			break;
		case STRATA_RULE_WHOLE:
			put_sql(e, "computed in full; the table is given the differences", strata_incremental_full(part));
			break;
	}
	if (!part->last)
		add_changed(e, list_nth_oid(e->m->hidden, part->number - 1), psprintf("part_%d", part->number));
}

static void
put_last(Explain *e)
{
	/* how, and what the planner had to say where it was asked */
	static const char costs[] =
		"cost ([0-9]+) against ([0-9]+) in full|more \\(([0-9]+)\\) than all of it \\(([0-9]+)\\)";
	StrataArgs args = {0};
	StrataRows *rows;
	char *by_changes;

	strata_args_int4(&args, e->m->model->id);
	strata_args_text(&args, costs);
	rows = strata_base_keeper_query(
		"SELECT regexp_replace(s.method, ', cost [0-9]+ against [0-9]+ in full| \\([0-9]+\\)( than all of it) \\([0-9]+\\)', '\\1'),"
		" s.inserted, s.updated, s.deleted, s.duration_ms, coalesce(c[1], c[3]), coalesce(c[2], c[4])"
		" FROM strata_state.step s LEFT JOIN LATERAL regexp_match(s.method, $2) AS c ON true"
		" WHERE s.model_id = $1 AND s.method IS NOT NULL ORDER BY s.run_id DESC LIMIT 1",
		&args);
	if (rows->count == 0)
		return;
	put_folded(e, "  last computed: ",
			   psprintf("%s; %s inserted, %s updated, %s deleted, in %s ms", strata_rows_text(rows, 0, 1),
						layers_count_of(strata_rows_int(rows, 0, 2), "row"), strata_rows_text(rows, 0, 3),
						strata_rows_text(rows, 0, 4), strata_rows_text(rows, 0, 5)),
			   0);
	by_changes = strata_rows_text(rows, 0, 6);
	if (by_changes)
		put(e, psprintf("                 the planner's costs: %s by changes, %s in full (1 is a page read in order)",
						by_changes, strata_rows_text(rows, 0, 7)));
}

static void
put_why(Explain *e)
{
	const char *why = e->m->refusal;
	const char *advice;

	if (why)
		put_folded(e, "  because: ", layers_reason_words(why), 0);
	else if ((why = layers_incremental_lacks(e->m)) != NULL)
		put_folded(e, "  its next refresh computes it in full: ", why, 0);
	else if (e->m->plan->reads_all)
	{
		why = layers_incremental_shortfall(e->m);
		put_folded(e, "  but ", why, 0);
	}
	if (why && (advice = layers_advice(why)) != NULL)
		put_folded(e, "  what to do: ", advice, 0);
}

/* strata.explain_refresh(model) */
Datum
strata_explain_refresh(PG_FUNCTION_ARGS)
{
	Explain e = {0};
	StrataModel *model;
	StrataIdentity saved;
	List *key = NIL;
	const char *key_word = NULL;
	char *query;
	List *inputs = NIL;
	bool trial = false;
	ResourceOwner owner = NULL;
	ListCell *lc;

	strata_base_require_version();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("model is NULL"),
						errhint("SELECT * FROM strata.explain_refresh('schema.model');")));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	e.out = (ReturnSetInfo *) fcinfo->resultinfo;
	model = strata_registry_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), "model");
	strata_registry_require_owner(model, "explain");
	strata_registry_require_target(model);
	strata_base_enter_owner(model->owner, &model->settings, &saved);
	query = layers_routine(model)->query ? layers_routine(model)->query(model, &key, &key_word) : NULL;
	if (query)
		e.m = layers_incremental_open(model, query, key, key_word, INCREMENTAL_LOOK);
	/* the first build makes its tables; here only for as long as it takes */
	if (query && e.m->unmade && model->applied_version == 0 && !XactReadOnly)
	{
		MemoryContext context = CurrentMemoryContext;

		owner = CurrentResourceOwner;
		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(context);
		trial = true;
		strata_guard_suspend();
		e.m = layers_incremental_open(model, query, key, key_word, INCREMENTAL_MAKE);
		layers_incremental_finish(e.m, InvalidOid);
		strata_guard_resume();
	}
	if (!query)
	{
		e.m = palloc0(sizeof(IncrementalModel));
		e.m->model = model;
		e.m->refusal = strcmp(model->kind, "view") == 0 ? "a view keeps no rows: it is always current"
														: "its layer is kept by rules of its own";
	}
	e.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	put(&e, psprintf("%s %s: %s", strata_registry_layer_name(model->layer), model->label,
					 e.m->refusal ? "in full" : "incremental"));
	put_why(&e);
	put_last(&e);
	if (!e.m->refusal)
	{
		inputs = look_at_inputs(&e);
		look_at_fact(&e);
		e.keyed_last = e.m->extract ? layers_incremental_keyed_last(e.m) : NULL;
	}
	if (e.m->plan)
	{
		put(&e, "");
		foreach (lc, e.m->plan->tree)
			put_tree_line(&e, lfirst(lc));
	}
	if (!e.m->refusal)
	{
		put(&e, "");
		put_inputs(&e, inputs);
		foreach (lc, e.m->plan->parts)
			put_part(&e, lfirst(lc));
	}
	UnregisterSnapshot(e.snapshot);
	if (trial)
	{
		MemoryContext context = CurrentMemoryContext;

		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	strata_base_leave(&saved);
	return (Datum) 0;
}
