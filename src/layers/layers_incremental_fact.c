/*
 * layers_incremental_fact.c: the facts that a change of a dimension concerns, looked up in the fact itself.
 */
#include "postgres.h"

#include "access/table.h"
#include "commands/trigger.h"
#include "layers/layers_incremental_work.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static List *
version_columns(const IncrementalLookup *l)
{
	return layers_fact_version_columns(l->surrogate, l->dimension_columns);
}

/* Whether the hidden table is of a part that gives versions of the dimension, as the look-ups read them; columns: the version's, and more. */
static bool
has_versions(Oid relid, const IncrementalLookup *l)
{
	List *wanted = version_columns(l);
	List *present = layers_target_columns(relid);
	ListCell *lc;

	if (list_length(present) < list_length(wanted) || list_length(present) > list_length(wanted) + 1)
		return false;
	foreach (lc, wanted)
		if (get_atttype(l->dimension, get_attnum(l->dimension, lfirst(lc))) !=
			((TargetColumn *) list_nth(present, foreach_current_index(lc)))->type_oid)
			return false;
	return true;
}

/* Whether the table is the look-up's dimension, or a part of its versions computed from nothing but it. */
static bool
is_of_dimension(const Work *w, Oid relid, const IncrementalLookup *l)
{
	StrataChanged of = {l->dimension, NULL};
	int at = list_member_oid(w->m->hidden, relid) ? 0 : -1;

	if (relid == l->dimension)
		return true;
	if (at < 0)
		return false;
	while (list_nth_oid(w->m->hidden, at) != relid)
		at++;
	return layers_work_reads((Node *) ((StrataPart *) list_nth(w->m->plan->parts, at))->query, list_make1(&of)) &&
		   has_versions(relid, l);
}

/* Its place among the columns of the dimension's row set (by attribute), or of the part's (columns as they stand). */
static char *
change_column(const IncrementalLookup *l, Oid relid, const StrataRowSet *change, const char *alias, const char *name)
{
	int position = relid == l->dimension ? get_attnum(relid, name) : layers_position(version_columns(l), name) + 1;

	return psprintf("%s.%s", alias, quote_identifier(NameStr(TupleDescAttr(change->desc, position - 1)->attname)));
}

/* Conditions that the natural keys of the change's row and of the fact's are the same, each after an AND. */
static char *
same_key(const IncrementalLookup *l, const StrataChanged *changed, const StrataRowSet *change, const char *alias)
{
	StringInfoData same;

	initStringInfo(&same);
	for (int i = 0; i < list_length(l->dimension_columns); i++)
	{
		char *name = list_nth(l->dimension_columns, i);

		appendStringInfo(&same, " AND o.%s %s %s", quote_identifier(list_nth(l->fact_columns, i)),
						 strata_base_equality(get_atttype(l->dimension, get_attnum(l->dimension, name))),
						 change_column(l, changed->relid, change, alias, name));
	}
	return same.data;
}

/* Where the version begins for the fact: the first one covers all that was before it, where the fact says so. NULL: it cannot be told here. */
static char *
begins(const IncrementalLookup *l, const StrataChanged *changed, const StrataRowSet *change)
{
	int at;

	if (l->as_of == NULL || (changed->relid == l->dimension) == l->early_first)
		return NULL;
	if (!l->early_first)
		return change_column(l, changed->relid, change, "n", "valid_from");
	/* after the columns of the version, in the part that is of this look-up and not of another */
	at = list_length(version_columns(l));
	if (change->desc->natts != at + 2 ||
		TupleDescAttr(change->desc, at)->atttypid != get_atttype(l->dimension, get_attnum(l->dimension, "valid_from")))
		return NULL;
	return psprintf("n.%s", quote_identifier(NameStr(TupleDescAttr(change->desc, at)->attname)));
}

/*
 * The facts (select list over o) that a change of their dimension concerns, looked up in the fact itself: those that point at a version that is no
 * more, or no more covers their moment, and those that point at none and have the key of a new one.
 */
static void
facts_by_lookup(Work *w, const IncrementalLookup *l, const StrataChanged *changed, StrataRowSet *change,
				const char *select, StringInfo sql)
{
	char *surrogate = change_column(l, changed->relid, change, "c", l->surrogate);
	char *from = begins(l, changed, change);
	const char *key = quote_identifier(l->column);
	const char *fact = w->m->model->label;
	char *stays =
		psprintf("n.strata_sign > 0 AND %s = o.%s%s", change_column(l, changed->relid, change, "n", l->surrogate), key,
				 same_key(l, changed, change, "n"));
	ListCell *lc;

	appendStringInfo(
		sql, "%sSELECT %s\n  FROM %s AS c\n  JOIN %s AS o ON o.%s = 0%s WHERE c.strata_sign > 0\nUNION ALL\n",
		sql->len > 0 ? "\nUNION ALL\n" : "", select, change->name, fact, key, same_key(l, changed, change, "c"));
	if (from == NULL)
		appendStringInfo(
			sql,
			"SELECT %s\n  FROM (SELECT DISTINCT %s AS strata_key FROM %s AS c WHERE c.strata_sign < 0) AS c\n"
			"  JOIN %s AS o ON o.%s = c.strata_key",
			select, surrogate, change->name, fact, key);
	else
	{
		StringInfoData same;
		char *as_of = psprintf("o.%s", quote_identifier(l->as_of));
		char *to = change_column(l, changed->relid, change, "n", "valid_to");
		char *new_surrogate = change_column(l, changed->relid, change, "n", l->surrogate);

		initStringInfo(&same);
		foreach (lc, l->dimension_columns)
			appendStringInfo(&same, " AND %s %s %s", change_column(l, changed->relid, change, "n", lfirst(lc)),
							 strata_base_equality(get_atttype(l->dimension, get_attnum(l->dimension, lfirst(lc)))),
							 change_column(l, changed->relid, change, "c", lfirst(lc)));
		appendStringInfo(
			sql,
			"SELECT %s\n  FROM (SELECT DISTINCT %s AS strata_key FROM %s AS c WHERE c.strata_sign < 0 AND NOT EXISTS (SELECT 1"
			" FROM %s AS n WHERE n.strata_sign > 0 AND %s = %s%s)) AS c\n  JOIN %s AS o ON o.%s = c.strata_key\n"
			"UNION ALL\nSELECT %s\n  FROM %s AS n\n  JOIN %s AS o ON %s AND %s >= %s\n"
			"UNION ALL\nSELECT %s\n  FROM %s AS n\n  JOIN %s AS o ON %s AND %s < %s",
			select, surrogate, change->name, change->name, new_surrogate, surrogate, same.data, fact, key, select,
			change->name, fact, stays, as_of, to, select, change->name, fact, stays, as_of, from);
	}
}

/* SQL of the grains to be computed again; NULL: no dimension has changed, and the change of the source is all there is. */
static char *
fact_grains(Work *w, const StrataPart *part, const StrataLookups *lookups, const List *grain)
{
	StringInfoData sql;
	List *others = NIL;
	char *keys;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, w->changed)
	{
		StrataChanged *c = lfirst(lc);
		bool found = false;
		ListCell *lc2;

		if (!layers_work_reads((Node *) part->query, list_make1(c)))
			continue;
		foreach (lc2, w->m->lookups)
		{
			IncrementalLookup *l = lfirst(lc2);

			if (!is_of_dimension(w, c->relid, l))
				continue;
			facts_by_lookup(w, l, c, list_nth(w->rowsets, foreach_current_index(lc)), layers_list(grain, "o", ", "),
							&sql);
			found = true;
		}
		/* the fact's own query may read it, too */
		if (!found || lookups == NULL || strata_lookups_rows_changed(lookups, list_make1(c)))
			others = lappend(others, c);
	}
	if (sql.len == 0)
		return NULL;
	keys = others != NIL ? strata_incremental_keys(part, others) : NULL;
	return keys ? psprintf("%s\nUNION ALL\n%s", sql.data, keys) : sql.data;
}

/*
 * By grain: a fact whose dimensions have changed: joining the source to the changed versions would read all of the source where it has no index
 * for that. The fact knows its own keys. Those in the grain may become others: the grain's other columns say which facts are looked at.
 */
static void
by_grain(Work *w, const StrataPart *part, bool *done)
{
	StrataPart *keyed;
	List *positions = NIL;
	List *keys = NIL;
	List *grain;
	StrataDeltaTarget t = layers_work_target(w, part);
	StrataRowSet *grains;
	StringInfoData names;
	char *sql;
	ListCell *lc;

	initStringInfo(&names);
	foreach (lc, w->m->lookups)
		keys = lappend(keys, ((IncrementalLookup *) lfirst(lc))->column);
	grain = layers_without(w->m->key, keys);
	*done = grain != NIL;
	if (grain == NIL)
		return;
	foreach (lc, grain)
	{
		positions = lappend_int(positions, layers_position(t.columns, lfirst(lc)) + 1);
		appendStringInfo(&names, "%sk%d", foreach_current_index(lc) > 0 ? ", " : "", foreach_current_index(lc) + 1);
	}
	keyed = strata_incremental_by_key(part, positions);
	sql = fact_grains(w, keyed, strata_incremental_lookups(part), grain);
	*done = sql != NULL;
	if (sql == NULL)
		return;
	grains = layers_work_run(w, "strata_keys", psprintf("SELECT DISTINCT * FROM (\n%s) AS g (%s)", sql, names.data));
	if (grains->count > 0)
	{
		layers_work_apply(w, part, strata_incremental_restricted(keyed, "strata_keys", false),
						  layers_work_with(w->rowsets, grains),
						  psprintf("EXISTS (SELECT 1 FROM strata_keys AS k WHERE %s)",
								   strata_incremental_key_match(keyed, "o", grain, "k", false)));
	}
	strata_rowset_free(grains);
}

/* ---- by rows ---- */

/*
 * The source's change gives the rows that come, and by which columns of its own each row that goes is told; keys are looked up for those that come
 * alone. A fact that nothing but a dimension concerns stands in the target with all that its key is looked up by.
 */
typedef struct ByRows
{
	Work *w;
	StrataDeltaTarget target;
	StrataLookups *lookups;
	StrataRowSet *change; /* of the target, but that rows which go have no keys */
	StrataRowSet *moved;  /* facts that get other keys; NULL none */
} ByRows;

/* Whether each key that is looked up in what has changed can be found in the fact, and none is a part of the grain. */
static bool
can_follow(const ByRows *b)
{
	List *found = NIL;
	ListCell *lc;

	foreach (lc, b->w->m->lookups)
		found = lappend(found, ((IncrementalLookup *) lfirst(lc))->column);
	foreach (lc, strata_lookups_columns(b->lookups, b->w->changed))
		if (!strata_base_list_has(found, list_nth(b->target.columns, lfirst_int(lc) - 1)))
			return false;
	foreach (lc, b->target.unknown)
		if (strata_base_list_has(b->w->m->key, lfirst(lc)))
			return false;
	return true;
}

static StrataRowSet *
no_rows(const StrataDeltaTarget *t)
{
	int n = list_length(t->columns);
	TupleDesc desc = CreateTemplateTupleDesc(n + 1);

	for (int i = 0; i < n; i++)
	{
		Oid type;
		int32 typmod;
		Oid collation;

		get_atttypetypmodcoll(t->relid, get_attnum(t->relid, list_nth(t->columns, i)), &type, &typmod, &collation);
		TupleDescInitEntry(desc, i + 1, list_nth(t->columns, i), type, typmod, 0);
		TupleDescInitEntryCollation(desc, i + 1, collation);
	}
	TupleDescInitEntry(desc, n + 1, STRATA_SIGN, INT4OID, -1, 0);
	return strata_rowset_create("strata_rows", desc);
}

/* So few of all that asking the planner could save nothing. */
static bool
are_few(const Work *w)
{
	return layers_work_count_changed(w) < w->m->model->row_count / 200;
}

/* The change of the rows without their keys. False: it would cost more than all. */
static bool
read_rows(ByRows *b, const StrataPart *part)
{
	Query *query = strata_incremental_change(strata_lookups_rows(b->lookups), b->w->changed);
	char *sql;

	if (query == NULL)
	{
		b->change = no_rows(&b->target);
		return true;
	}
	sql = strata_incremental_deparse(query);
	if (!are_few(b->w) && layers_work_is_dearer(b->w, part, sql))
		return layers_work_refuse_cost(b->w);
	b->change = strata_base_run_signed("strata_rows", sql, NULL, b->w->refresh->snapshot, b->w->rowsets);
	return true;
}

/* Facts with the grain of a row that has changed are looked at with it. */
static char *
not_changed(const ByRows *b)
{
	StringInfoData same;
	ListCell *lc;

	if (b->change->count == 0)
		return "";
	initStringInfo(&same);
	foreach (lc, b->w->m->key)
		appendStringInfo(&same, "%sc.%s %s o.%s", foreach_current_index(lc) > 0 ? " AND " : "",
						 quote_identifier(lfirst(lc)),
						 strata_base_equality(get_atttype(b->target.relid, get_attnum(b->target.relid, lfirst(lc)))),
						 quote_identifier(lfirst(lc)));
	return psprintf(" WHERE NOT EXISTS (SELECT FROM strata_rows AS c WHERE %s)", same.data);
}

/* The keys that are looked up anew, as conditions that one of them is another than it was. */
static char *
have_moved(const ByRows *b, const List *positions)
{
	StringInfoData moved;
	ListCell *lc;

	initStringInfo(&moved);
	foreach (lc, positions)
		appendStringInfo(&moved, "%sr.%s IS DISTINCT FROM r.strata_was_%d", foreach_current_index(lc) > 0 ? " OR " : "",
						 quote_identifier(list_nth(b->target.columns, lfirst_int(lc) - 1)), lfirst_int(lc));
	return moved.data;
}

/* SQL of the facts (with their places and the keys they have) whose keys are to be looked up anew, and its columns; NULL: there can be none. */
static char *
facts_to_look_up(ByRows *b, const StrataPart *part, const List *positions, char **names)
{
	Work *w = b->w;
	const StrataDeltaTarget *t = &b->target;
	StringInfoData select;
	StringInfoData columns;
	StringInfoData sql;
	ListCell *lc;
	ListCell *lc2;

	initStringInfo(&select);
	initStringInfo(&columns);
	initStringInfo(&sql);
	appendStringInfo(&select, "o.ctid, o.tableoid, %s", layers_list(t->columns, "o", ", "));
	appendStringInfo(&columns, "%s, %s, %s", strata_delta_beside(t, "strata_ctid"),
					 strata_delta_beside(t, "strata_table"), strata_base_join_quoted(t->columns, ", "));
	foreach (lc, positions)
	{
		appendStringInfo(&select, ", o.%s", quote_identifier(list_nth(t->columns, lfirst_int(lc) - 1)));
		appendStringInfo(&columns, ", strata_was_%d", lfirst_int(lc));
	}
	foreach (lc, w->changed)
	{
		StrataChanged *c = lfirst(lc);

		/* a dimension that is read through a part of its own concerns no fact but by that part's change */
		foreach (lc2, layers_work_reads((Node *) part->query, list_make1(c)) ? w->m->lookups : NIL)
			if (is_of_dimension(w, c->relid, lfirst(lc2)))
				facts_by_lookup(w, lfirst(lc2), c, list_nth(w->rowsets, foreach_current_index(lc)), select.data, &sql);
	}
	*names = columns.data;
	return sql.len == 0 ? NULL : psprintf("SELECT * FROM (\n%s) AS o (%s)%s", sql.data, columns.data, not_changed(b));
}

/* Facts that point at another version now, or at none, or at one now. */
static void
look_up_again(ByRows *b, const StrataPart *part)
{
	Work *w = b->w;
	const StrataDeltaTarget *t = &b->target;
	List *positions = strata_lookups_columns(b->lookups, w->changed);
	char *names;
	char *sql = facts_to_look_up(b, part, positions, &names);
	StrataRowSet *facts;

	if (sql == NULL)
		return;
	facts = strata_delta_places("strata_facts", sql, w->refresh->snapshot, layers_work_with(w->rowsets, b->change));
	if (facts->count > 0)
		b->moved = strata_base_run_lookups(
			"strata_moved",
			psprintf("SELECT %s, %s, %s FROM (%s) AS r (%s) WHERE %s", strata_delta_beside(t, "strata_ctid"),
					 strata_delta_beside(t, "strata_table"), strata_base_join_quoted(t->columns, ", "),
					 strata_lookups_over(b->lookups, facts, 2, w->changed), names, have_moved(b, positions)),
			w->refresh->snapshot, list_make1(facts));
	strata_rowset_free(facts);
}

/* A condition on o: versions of one of its members have changed; NULL: none of any have. */
static char *
members_changed(const ByRows *b, const StrataPart *part)
{
	StringInfoData sql;
	ListCell *lc;
	ListCell *lc2;

	initStringInfo(&sql);
	foreach (lc, b->w->changed)
	{
		StrataChanged *c = lfirst(lc);
		StrataRowSet *set = list_nth(b->w->rowsets, foreach_current_index(lc));

		foreach (lc2, layers_work_reads((Node *) part->query, list_make1(c)) ? b->w->m->lookups : NIL)
		{
			IncrementalLookup *l = lfirst(lc2);

			if (is_of_dimension(b->w, c->relid, l))
				appendStringInfo(&sql, "%sEXISTS (SELECT FROM %s AS c WHERE true%s)", sql.len > 0 ? " OR " : "",
								 set->name, same_key(l, c, set, "c"));
		}
	}
	return sql.len > 0 ? sql.data : NULL;
}

static void
add_rows(StrataRowSet *to, StrataRowSet *from, int sign, bool only_gone)
{
	TupleTableSlot *slot = strata_rowset_rewind(from);

	while (strata_rowset_next(from, slot))
		if (!only_gone || DatumGetInt32(slot->tts_values[sign]) < 0)
			strata_rowset_put(to, slot->tts_values, slot->tts_isnull);
	strata_rowset_free(from);
}

/* Keys for the rows that come, but those that keep the keys of the row they replace. */
static void
look_up(ByRows *b, const StrataPart *part)
{
	Work *w = b->w;
	int sign = list_length(b->target.columns);
	StrataRowSet *kept =
		layers_work_keep_keys(w, &b->target, strata_lookups_inputs(b->lookups), members_changed(b, part), &b->change);
	StrataRowSet *change;

	if (b->change->count > 0)
	{
		change = strata_base_run_lookups("strata_come",
										 psprintf("SELECT * FROM (%s) AS r WHERE strata_sign > 0",
												  strata_lookups_over(b->lookups, b->change, 0, NIL)),
										 w->refresh->snapshot, list_make1(b->change));
		add_rows(change, b->change, sign, true);
		b->change = change;
	}
	if (kept)
	{
		b->target.keeps = kept->count > 0;
		add_rows(b->change, kept, sign, false);
	}
}

/* What the layer is shown: the facts with other keys are rows that came, too. */
static void
show_written(ByRows *b)
{
	TupleTableSlot *slot;
	int n = list_length(b->target.columns);
	Datum *values = palloc(sizeof(Datum) * (n + 1));
	bool *nulls = palloc(sizeof(bool) * (n + 1));

	slot = b->moved ? strata_rowset_rewind(b->moved) : NULL;
	while (slot && strata_rowset_next(b->moved, slot))
	{
		memcpy(values, slot->tts_values + 2, sizeof(Datum) * n);
		memcpy(nulls, slot->tts_isnull + 2, sizeof(bool) * n);
		values[n] = Int32GetDatum(1);
		nulls[n] = false;
		strata_rowset_put(b->change, values, nulls);
	}
	b->w->written = b->change;
	b->change = NULL;
}

static bool
write_rows(ByRows *b, const StrataPart *part)
{
	Work *w = b->w;
	StrataDeltaCounts counts = {0};

	if (b->change->count > 0)
		layers_work_prepare_write(w, b->change);
	if (!strata_delta_apply_moved(&b->target, b->change, b->moved, w->refresh->snapshot, &counts))
	{
		*w->failure = psprintf("%s does not hold the rows that are to go", b->target.label);
		return false;
	}
	layers_work_add_counts(w, part, &counts);
	if (w->m->hooks && w->m->hooks->complete)
		show_written(b);
	return true;
}

static bool
prepare(ByRows *b, const StrataPart *part)
{
	ListCell *lc;

	b->lookups = strata_incremental_lookups(part);
	if (b->lookups == NULL)
		return false;
	b->target = layers_work_target(b->w, part);
	foreach (lc, strata_lookups_columns(b->lookups, NIL))
		b->target.unknown = lappend(b->target.unknown, list_nth(b->target.columns, lfirst_int(lc) - 1));
	return can_follow(b);
}

/* False: it cannot be done so. */
static bool
by_rows(Work *w, const StrataPart *part, bool *failed)
{
	ByRows b = {w};

	if (!prepare(&b, part))
		return false;
	*failed = !read_rows(&b, part);
	if (*failed)
		return true;
	look_up_again(&b, part);
	look_up(&b, part);
	*failed = !write_rows(&b, part);
	strata_rowset_free(b.change);
	strata_rowset_free(b.moved);
	return true;
}

bool
layers_work_fact(Work *w, const StrataPart *part, bool *done)
{
	bool failed = false;

	*done = by_rows(w, part, &failed);
	if (!*done)
		by_grain(w, part, done);
	return !failed;
}

/* A row set as the relation's change has it, without rows. */
static StrataRowSet *
no_change(const StrataChanged *c)
{
	Relation rel = table_open(c->relid, AccessShareLock);
	int n = RelationGetDescr(rel)->natts;
	TupleDesc desc = CreateTemplateTupleDesc(n + 1);

	for (int i = 1; i <= n; i++)
		TupleDescCopyEntry(desc, i, RelationGetDescr(rel), i);
	TupleDescInitEntry(desc, n + 1, STRATA_SIGN, INT4OID, -1, 0);
	table_close(rel, NoLock);
	return strata_rowset_create(c->rowset, desc);
}

bool
layers_fact_explain(IncrementalModel *m, const StrataPart *part, List *changed, FactStatements *f)
{
	Work w = {m};
	ByRows b = {&w};
	Query *query;
	ListCell *lc;
	List *positions;
	char *names;

	w.changed = changed;
	if (!part->last || m->lookups == NIL || !prepare(&b, part))
		return false;
	if (f == NULL)
		return true;
	foreach (lc, changed)
		w.rowsets = lappend(w.rowsets, no_change(lfirst(lc)));
	query = strata_incremental_change(strata_lookups_rows(b.lookups), changed);
	b.change = no_rows(&b.target);
	/* as if it held some */
	b.change->count = query ? 1 : 0;
	positions = strata_lookups_columns(b.lookups, changed);
	f->rows = query ? strata_incremental_deparse(query) : NULL;
	f->keys = strata_lookups_over(b.lookups, b.change, 0, NIL);
	f->facts = positions == NIL ? NULL : facts_to_look_up(&b, part, positions, &names);
	return true;
}

static bool
has_index(const StrataModel *model, const char *column)
{
	StrataArgs args = {0};

	strata_args_int8(&args, model->relid);
	strata_args_int4(&args, get_attnum(model->relid, column));
	return strata_base_keeper_query("SELECT FROM pg_index WHERE indrelid = $1::oid AND indkey[0] = $2 AND indisvalid"
									" AND indpred IS NULL",
									&args)
			   ->count > 0;
}

/* Nobody waits for it, and no statement of the session is at the table. */
static bool
may_index(Oid relid)
{
	Relation rel;
	bool may;

	if (!ConditionalLockRelationOid(relid, ShareLock))
		return false;
	rel = table_open(relid, NoLock);
	may = rel->rd_refcnt == 1 && !AfterTriggerPendingOnRel(relid);
	table_close(rel, NoLock);
	return may;
}

/*
 * When its dimension changes for the first time, a key column is given the index by which the facts are found that this concerns: many dimensions
 * never change, and a build has nothing to find. Where that cannot be, the whole source is read for them.
 */
void
layers_work_index_lookups(Work *w)
{
	const StrataModel *model = w->m->model;
	List *serve = NIL;
	ListCell *lc;
	ListCell *lc2;

	foreach (lc, w->m->lookups)
	{
		IncrementalLookup *l = lfirst(lc);
		bool concerned = false;

		foreach (lc2, w->changed)
			concerned = concerned || is_of_dimension(w, ((StrataChanged *) lfirst(lc2))->relid, l);
		if (concerned && !has_index(model, l->column))
		{
			if (!may_index(model->relid))
				continue;
			/* of the facts of a version that ended, those after it */
			strata_base_execute(psprintf("CREATE INDEX ON %s (%s%s%s)", model->label, quote_identifier(l->column),
										 l->as_of ? ", " : "", l->as_of ? quote_identifier(l->as_of) : ""),
								NULL);
		}
		serve = lappend(serve, l);
	}
	w->m->lookups = serve;
}

/* A member that a fact has kept alive is gone: which facts are left that know of it, only all of them tell. */
const char *
layers_work_lost_members(Work *w)
{
	ListCell *lc;
	ListCell *lc2;

	foreach (lc, layers_fact_lookups(w->m->model))
	{
		IncrementalLookup *l = lfirst(lc);

		foreach (lc2, l->infer ? w->changed : NIL)
		{
			StrataChanged *c = lfirst(lc2);
			StrataRowSet *change = list_nth(w->rowsets, foreach_current_index(lc2));
			StringInfoData same;

			if (c->relid != l->dimension)
				continue;
			initStringInfo(&same);
			for (int i = 0; i < list_length(l->dimension_columns); i++)
			{
				char *name = list_nth(l->dimension_columns, i);

				appendStringInfo(&same, "%sd.%s %s %s", i > 0 ? " AND " : "", quote_identifier(name),
								 strata_base_equality(get_atttype(l->dimension, get_attnum(l->dimension, name))),
								 change_column(l, l->dimension, change, "c", name));
			}
			if (strata_base_run_query(
					psprintf("SELECT FROM %s AS c WHERE c.strata_sign < 0 AND NOT EXISTS (SELECT FROM %s AS d WHERE %s)"
							 " LIMIT 1",
							 change->name, l->label, same.data),
					NULL, w->refresh->snapshot, w->rowsets)
					->count > 0)
				return l->label;
		}
	}
	return NULL;
}
