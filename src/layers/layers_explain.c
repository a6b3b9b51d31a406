/*
 * layers_explain.c: strata.explain_refresh(): how a model follows what it reads, why so, and by which SQL.
 */
#include "postgres.h"

#include "base/version.h"
#include "funcapi.h"
#include "layers/layers_incremental.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(strata_explain_refresh);

typedef struct Explain
{
	IncrementalModel *m;
	Snapshot snapshot;
	ReturnSetInfo *out;
	List *changed; /* StrataChanged *: what has changes waiting, or everything */
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

static void
put_sql(Explain *e, const char *what, const char *sql)
{
	if (sql == NULL)
		return;
	put(e, psprintf("-- %s", what));
	put(e, psprintf("%s;", sql));
}

static char *
label_of(Oid relid)
{
	return strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

static void
add_changed(Explain *e, Oid relid)
{
	StrataChanged *c = palloc0(sizeof(StrataChanged));

	c->relid = relid;
	c->rowset = psprintf("strata_change_%u", relid);
	e->changed = lappend(e->changed, c);
}

static void
put_inputs(Explain *e)
{
	ListCell *lc;
	List *waiting = NIL;

	foreach (lc, e->m->plan->inputs)
	{
		StrataInput *input = lfirst(lc);
		StrataCaptureChanges *c;

		if (layers_has_watermark(e->m, input->relid))
		{
			put(e, psprintf("  reads %s: %s", label_of(input->relid),
							layers_watermark_words(layers_watermark_position(e->m, input->relid))));
			waiting = lappend_oid(waiting, input->relid);
			continue;
		}
		c = strata_capture_changes(input->relid, psprintf("m%d", e->m->model->id), e->snapshot, true);

		put(e, psprintf("  reads %s: %s", label_of(input->relid),
						!c->known       ? psprintf("what has changed is not known (%s)", c->why)
						: c->count == 0 ? "nothing has changed"
										: psprintf(INT64_FORMAT " changed rows waiting", c->count)));
		if (c->known && c->count > 0)
			waiting = lappend_oid(waiting, input->relid);
	}
	foreach (lc, e->m->plan->inputs)
	{
		Oid relid = ((StrataInput *) lfirst(lc))->relid;

		if (waiting == NIL || list_member_oid(waiting, relid))
			add_changed(e, relid);
	}
	put(e, waiting == NIL ? "The SQL below is for changes of everything it reads."
						  : "The SQL below is for what has changes waiting.");
}

static bool
put_fact(Explain *e, StrataPart *part)
{
	char *rows;
	char *keys;
	bool again;

	if (!layers_fact_explain(e->m, part, e->changed, &rows, &keys, &again))
		return false;
	if (rows)
	{
		put_sql(e, "the change of its rows, without keys (strata_rows)", rows);
		put_sql(e, "keys for the rows that come; those that go are told by their other columns", keys);
	}
	if (again)
		put(e,
			"-- rows of the table that point at a version that has changed are found by their key columns and looked up again");
	return true;
}

static void
put_part(Explain *e, StrataPart *part)
{
	StrataAlgebra *algebra = list_nth(e->m->algebras, part->number - 1);
	const char *table =
		part->last ? e->m->model->label : psprintf("strata_state.m%d_p%d", e->m->model->id, part->number);

	put(e, "");
	put(e, psprintf("-- part %d of %d: %s -> %s", part->number, list_length(e->m->plan->parts), part->what, table));
	put(e, psprintf("-- %s", part->reason));
	switch (part->rule)
	{
		case STRATA_RULE_SIGNED:
		{
			Query *query = put_fact(e, part) ? NULL : strata_incremental_change(part->query, e->changed);

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
			put_sql(e, "the change of each group (strata_groups)", change);
			if (own)
				put(e, "-- the target is its own state: its rows tell all that is kept of a group");
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
		{
			char *keys = strata_incremental_keys(part, e->changed);

			if (keys == NULL)
				break;
			put_sql(e, "the keys touched (strata_keys)", keys);
			put_sql(e, "their rows computed again; the table's rows of these keys become these",
					strata_incremental_restricted(part, "strata_keys", false));
			break;
		}
		case STRATA_RULE_WHOLE:
			put_sql(e, "computed in full; the table is given the differences", strata_incremental_full(part));
			break;
	}
	if (!part->last)
		add_changed(e, list_nth_oid(e->m->hidden, part->number - 1));
}

static void
put_last(Explain *e)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_int4(&args, e->m->model->id);
	rows = strata_base_keeper_query(
		"SELECT format('%s, %s ms, %s rows read, %s inserted, %s updated, %s deleted', method, duration_ms, rows_in, inserted,"
		" updated, deleted) FROM strata_state.step WHERE model_id = $1 AND method IS NOT NULL ORDER BY run_id DESC LIMIT 1",
		&args);
	if (rows->count > 0)
		put(e, psprintf("  last computed: %s", strata_rows_text(rows, 0, 1)));
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
	else
	{
		e.m = palloc0(sizeof(IncrementalModel));
		e.m->model = model;
		e.m->refusal = strcmp(model->kind, "view") == 0 ? "a view keeps no rows: it is always current"
														: "its layer is kept by rules of its own";
	}
	e.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	put(&e, psprintf("%s %s: %s", strata_registry_layer_name(model->layer), model->label,
					 e.m->refusal ? "in full" : "incremental"));
	if (e.m->refusal)
		put(&e, psprintf("  because: %s", e.m->refusal));
	else if (layers_incremental_lacks(e.m))
		put(&e, psprintf("  its next refresh computes it in full: %s", layers_incremental_lacks(e.m)));
	put_last(&e);
	if (e.m->plan)
	{
		put(&e, "");
		foreach (lc, e.m->plan->tree)
			put(&e, psprintf("  %s", (char *) lfirst(lc)));
	}
	if (!e.m->refusal)
	{
		put(&e, "");
		put_inputs(&e);
		foreach (lc, e.m->plan->parts)
			put_part(&e, lfirst(lc));
	}
	UnregisterSnapshot(e.snapshot);
	strata_base_leave(&saved);
	return (Datum) 0;
}
