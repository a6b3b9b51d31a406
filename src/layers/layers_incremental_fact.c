/*
 * layers_incremental_fact.c: the facts that a change of a dimension concerns, looked up in the fact itself.
 */
#include "postgres.h"

#include "layers/layers_incremental_work.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* Whether the table is the dimension, or a part computed from nothing but it. */
static bool
is_of_dimension(const Work *w, Oid relid, Oid dimension)
{
	StrataChanged of = {dimension, NULL};
	int at = list_member_oid(w->m->hidden, relid) ? 0 : -1;

	if (relid == dimension)
		return true;
	if (at < 0)
		return false;
	while (list_nth_oid(w->m->hidden, at) != relid)
		at++;
	return layers_work_reads((Node *) ((StrataPart *) list_nth(w->m->plan->parts, at))->query, list_make1(&of));
}

/* Its place among the columns of the dimension's row set (by attribute), or of the part's (columns as they stand). */
static char *
change_column(Oid relid, const StrataRowSet *change, Oid dimension, const char *alias, const char *name)
{
	AttrNumber attnum = get_attnum(dimension, name);
	int position = 0;

	if (relid == dimension)
		position = attnum;
	else
	{
		ListCell *lc;

		foreach (lc, layers_target_columns(dimension))
		{
			position++;
			if (strcmp(((TargetColumn *) lfirst(lc))->name, name) == 0)
				break;
		}
	}
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
						 change_column(changed->relid, change, l->dimension, alias, name));
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
		return change_column(changed->relid, change, l->dimension, "n", "valid_from");
	/* after the columns of the dimension, in the part that is of this look-up and not of another */
	at = list_length(layers_target_columns(l->dimension));
	if (change->desc->natts != at + 2 ||
		TupleDescAttr(change->desc, at)->atttypid != get_atttype(l->dimension, get_attnum(l->dimension, "valid_from")))
		return NULL;
	return psprintf("n.%s", quote_identifier(NameStr(TupleDescAttr(change->desc, at)->attname)));
}

/*
 * The grains of the facts that a change of their dimension concerns, looked up in the fact itself: those that point at a version that is no
 * more, or no more covers their moment, and those that point at none and have the key of a new one.
 */
static void
grains_by_lookup(Work *w, const IncrementalLookup *l, const StrataChanged *changed, StrataRowSet *change,
				 StringInfo sql)
{
	char *grain = layers_list(w->m->key, "o", ", ");
	char *surrogate = change_column(changed->relid, change, l->dimension, "c", l->surrogate);
	char *from = begins(l, changed, change);
	const char *key = quote_identifier(l->column);
	const char *fact = w->m->model->label;
	char *stays = psprintf("n.strata_sign > 0 AND %s = o.%s%s",
						   change_column(changed->relid, change, l->dimension, "n", l->surrogate), key,
						   same_key(l, changed, change, "n"));
	ListCell *lc;

	appendStringInfo(
		sql, "%sSELECT %s\n  FROM %s AS c\n  JOIN %s AS o ON o.%s = 0%s WHERE c.strata_sign > 0\nUNION ALL\n",
		sql->len > 0 ? "\nUNION ALL\n" : "", grain, change->name, fact, key, same_key(l, changed, change, "c"));
	if (from == NULL)
		appendStringInfo(
			sql,
			"SELECT %s\n  FROM (SELECT DISTINCT %s AS strata_key FROM %s AS c WHERE c.strata_sign < 0) AS c\n"
			"  JOIN %s AS o ON o.%s = c.strata_key",
			grain, surrogate, change->name, fact, key);
	else
	{
		StringInfoData same;
		char *as_of = psprintf("o.%s", quote_identifier(l->as_of));
		char *to = change_column(changed->relid, change, l->dimension, "n", "valid_to");
		char *new_surrogate = change_column(changed->relid, change, l->dimension, "n", l->surrogate);

		initStringInfo(&same);
		foreach (lc, l->dimension_columns)
			appendStringInfo(&same, " AND %s %s %s",
							 change_column(changed->relid, change, l->dimension, "n", lfirst(lc)),
							 strata_base_equality(get_atttype(l->dimension, get_attnum(l->dimension, lfirst(lc)))),
							 change_column(changed->relid, change, l->dimension, "c", lfirst(lc)));
		appendStringInfo(
			sql,
			"SELECT %s\n  FROM (SELECT DISTINCT %s AS strata_key FROM %s AS c WHERE c.strata_sign < 0 AND NOT EXISTS (SELECT 1"
			" FROM %s AS n WHERE n.strata_sign > 0 AND %s = %s%s)) AS c\n  JOIN %s AS o ON o.%s = c.strata_key\n"
			"UNION ALL\nSELECT %s\n  FROM %s AS n\n  JOIN %s AS o ON %s AND %s >= %s\n"
			"UNION ALL\nSELECT %s\n  FROM %s AS n\n  JOIN %s AS o ON %s AND %s < %s",
			grain, surrogate, change->name, change->name, new_surrogate, surrogate, same.data, fact, key, grain,
			change->name, fact, stays, as_of, to, grain, change->name, fact, stays, as_of, from);
	}
}

/* SQL of the grains to be computed again; NULL: no dimension has changed, and the change of the source is all there is. */
static char *
fact_grains(Work *w, const StrataPart *part)
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

			if (!is_of_dimension(w, c->relid, l->dimension))
				continue;
			grains_by_lookup(w, l, c, list_nth(w->rowsets, foreach_current_index(lc)), &sql);
			found = true;
		}
		if (!found)
			others = lappend(others, c);
	}
	if (sql.len == 0)
		return NULL;
	keys = others != NIL ? strata_incremental_keys(part, others) : NULL;
	return keys ? psprintf("%s\nUNION ALL\n%s", sql.data, keys) : sql.data;
}

/*
 * A fact whose dimensions have changed: joining the source to the changed versions would read all of the source where it has no index
 * for that. The fact knows its own keys.
 */
bool
layers_work_fact(Work *w, const StrataPart *part, bool *done)
{
	StrataPart *keyed;
	List *positions = NIL;
	StrataDeltaTarget t = layers_work_target(w, part);
	StrataRowSet *grains;
	StringInfoData names;
	char *sql;
	ListCell *lc;

	initStringInfo(&names);
	foreach (lc, w->m->key)
	{
		positions = lappend_int(positions, layers_position(t.columns, lfirst(lc)) + 1);
		appendStringInfo(&names, "%sk%d", foreach_current_index(lc) > 0 ? ", " : "", foreach_current_index(lc) + 1);
	}
	keyed = strata_incremental_by_key(part, positions);
	sql = fact_grains(w, keyed);
	*done = sql != NULL;
	if (sql == NULL)
		return true;
	grains = layers_work_run(w, "strata_keys", psprintf("SELECT DISTINCT * FROM (\n%s) AS g (%s)", sql, names.data));
	if (grains->count > 0)
	{
		layers_work_apply(w, part, strata_incremental_restricted(keyed, "strata_keys", false),
						  layers_work_with(w->rowsets, grains),
						  psprintf("EXISTS (SELECT 1 FROM strata_keys AS k WHERE %s)",
								   strata_incremental_key_match(keyed, "o", w->m->key, "k", false)));
	}
	strata_rowset_free(grains);
	return true;
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
								 change_column(l->dimension, change, l->dimension, "c", name));
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
