/*
 * layers_dimension_log.c: versions dated by the rows (effective_from), or made from a feed of changes (operation, sequence).
 *
 * Every row seen is an observation: of a key, at an instant, in a sequence. Observations are kept in strata_state.m<id>_log, each once,
 * and the versions of a key are a pure function of its observations. So the order of arrival cannot matter: a late
 * observation splits the interval it falls in, an old one never overwrites a newer one, and what a collapsed version was
 * made of is not forgotten. A key missing from an extract is an observation too, of its absence, at the run time.
 *
 * strata_added ranks observations of one instant: 0 what the query gave, above it absences and returns in their order.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "layers/layers_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

typedef struct LogWork
{
	DimensionSpec *s;
	const StrataRefresh *refresh;
	StrataArgs as_of; /* $1 */
	List *identity;   /* columns that tell observations of the query apart: key, strata_from [, strata_sequence] */
	char *key;        /* quoted list */
	const char *rank; /* latest first, within a key */
	StrataRowSet *observed;
	StrataRowSet *affected;
} LogWork;

static StrataRowSet *
select_rows(LogWork *w, const char *name, const char *sql, List *rowsets)
{
	return strata_base_run_rowset(name, sql, &w->as_of, w->refresh->snapshot, rowsets);
}

static uint64
change_rows(LogWork *w, const char *sql, List *rowsets)
{
	return strata_base_run(sql, &w->as_of, w->refresh->snapshot, rowsets);
}

/* ---- observations ---- */

static void
refuse_operations(LogWork *w, StrataRowSet *extract)
{
	StrataRows *rows = strata_base_run_query(
		psprintf("SELECT left(to_jsonb(q.*)::text, 200) FROM dimension_extract AS q"
				 " WHERE q.%s IS NULL OR upper(left(q.%s::text, 1)) NOT IN ('I', 'U', 'D', 'C', 'R') LIMIT 5",
				 quote_identifier(w->s->operation), quote_identifier(w->s->operation)),
		NULL, w->refresh->snapshot, list_make1(extract));
	StringInfoData detail;

	if (rows->count == 0)
		return;
	initStringInfo(&detail);
	for (uint64 i = 0; i < rows->count; i++)
		appendStringInfo(&detail, "%s%s", i == 0 ? "Rows: " : "; ", strata_rows_text(rows, i, 1));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("dimension %s: column \"%s\" holds something that is not an operation", w->s->model->label,
						   w->s->operation),
					errdetail("%s", detail.data),
					errhint("Nothing was changed. An operation begins with I (insert), U (update) or D (delete).")));
}

/* A version that begins at infinity never holds; one that begins at -infinity has held since ever. */
static void
refuse_never(LogWork *w)
{
	StrataRows *rows = strata_base_run_query(
		psprintf(
			"SELECT left(to_jsonb(o.*)::text, 200) FROM (SELECT %s, strata_from AS effective_from FROM dimension_observed"
			" WHERE strata_from = 'infinity' LIMIT 5) AS o",
			w->key),
		NULL, w->refresh->snapshot, list_make1(w->observed));
	StringInfoData detail;

	if (rows->count == 0)
		return;
	initStringInfo(&detail);
	for (uint64 i = 0; i < rows->count; i++)
		appendStringInfo(&detail, "%s%s", i == 0 ? "Rows: " : "; ", strata_rows_text(rows, i, 1));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
			 errmsg("dimension %s: the query gives rows that hold from infinity on", w->s->model->label),
			 errdetail("%s", detail.data),
			 errhint("Nothing was changed. Give the instant since when the row holds; -infinity means since ever.")));
}

static void
observe(LogWork *w, StrataRefreshResult *result)
{
	DimensionSpec *s = w->s;
	List *identity = list_copy(s->key);
	const char *from = s->effective_from ? s->effective_from : s->sequence;
	StrataRowSet *extract;

	identity = lappend(identity, pstrdup(from));
	if (s->sequence && strcmp(s->sequence, from) != 0)
		identity = lappend(identity, s->sequence);
	extract = layers_dimension_extract(s, identity, w->refresh, result);
	if (s->operation)
		refuse_operations(w, extract);
	w->observed = select_rows(
		w, "dimension_observed",
		psprintf(
			"SELECT %s, q.%s::%s AS strata_from, %s AS strata_sequence, 0::smallint AS strata_added, %s AS strata_deleted"
			" FROM dimension_extract AS q WHERE $1 IS NOT NULL",
			layers_list(s->columns, "q", ", "), quote_identifier(from), s->time_type,
			s->sequence ? psprintf("q.%s", quote_identifier(s->sequence)) : "NULL::bigint",
			s->operation ? psprintf("upper(left(q.%s::text, 1)) = 'D'", quote_identifier(s->operation)) : "false"),
		list_make1(extract));
	strata_rowset_free(extract);
	refuse_never(w);
}

/*
 * A column that is new has no values in observations that are not given again. They get the value of the next observation that is
 * given, else of the last: what it was is not known, and not knowing is no change, so no version opens for it.
 */
static void
backfill_log(LogWork *w, const List *columns)
{
	DimensionSpec *s = w->s;
	Oid target = s->model->relid;

	change_rows(
		w,
		psprintf(
			"UPDATE %s AS l SET (%s) = ROW(%s) FROM (\n"
			"  SELECT DISTINCT ON (l.ctid) l.ctid AS strata_ctid, %s FROM %s AS l JOIN dimension_observed AS o ON %s AND NOT o.strata_deleted\n"
			"   WHERE NOT EXISTS (SELECT 1 FROM dimension_observed AS g WHERE %s AND l.strata_added = 0)\n"
			"   ORDER BY l.ctid, o.strata_from < l.strata_from, CASE WHEN o.strata_from >= l.strata_from THEN o.strata_from END, o.strata_from DESC) AS o\n"
			" WHERE l.ctid = o.strata_ctid AND $1 IS NOT NULL AND %s",
			s->log, strata_base_join_quoted(columns, ", "), layers_list(columns, "o", ", "),
			layers_list(columns, "o", ", "), s->log, layers_equal(target, s->key, "l", "o"),
			layers_equal(target, w->identity, "l", "g"), layers_image_differs(columns, "l", "o")),
		list_make1(w->observed));
}

/* Observations not seen before go to the log; those seen may bring new values of overwritten columns. Returns the touched keys. */
static StrataRowSet *
remember(LogWork *w)
{
	DimensionSpec *s = w->s;
	List *backfill = strata_registry_backfill(s->model->id);
	List *amendable = list_concat_copy(s->overwrite, backfill);
	char *columns = psprintf("%s, strata_from, strata_sequence, strata_added, strata_deleted",
							 strata_base_join_quoted(s->columns, ", "));
	char *same = psprintf("%s AND l.strata_added = 0", layers_equal(s->model->relid, w->identity, "l", "o"));
	StrataRowSet *fresh;
	StrataRowSet *amended;
	StrataRowSet *touched;

	fresh = select_rows(
		w, "dimension_fresh",
		psprintf(
			"SELECT o.* FROM dimension_observed AS o LEFT JOIN %s AS l ON %s WHERE l.strata_from IS NULL AND $1 IS NOT NULL",
			s->log, same),
		list_make1(w->observed));
	amended =
		select_rows(w, "dimension_amended",
					psprintf("SELECT o.* FROM dimension_observed AS o JOIN %s AS l ON %s WHERE $1 IS NOT NULL AND %s",
							 s->log, same, layers_image_differs(amendable, "o", "l")),
					list_make1(w->observed));
	if (fresh->count > 0 &&
		!layers_dimension_load(s, "log",
							   list_concat_copy(s->columns, list_make4("strata_from", "strata_sequence", "strata_added",
																	   "strata_deleted")),
							   fresh))
		change_rows(w,
					psprintf("INSERT INTO %s (%s) SELECT %s FROM dimension_fresh WHERE $1 IS NOT NULL", s->log, columns,
							 columns),
					list_make1(fresh));
	if (amended->count > 0)
		change_rows(
			w,
			psprintf("UPDATE %s AS l SET (%s) = ROW(%s) FROM dimension_amended AS o WHERE $1 IS NOT NULL AND %s",
					 s->log, strata_base_join_quoted(amendable, ", "), layers_list(amendable, "o", ", "), same),
			list_make1(amended));
	if (backfill != NIL)
		backfill_log(w, backfill);
	touched = select_rows(
		w, "dimension_touched",
		psprintf("SELECT %s FROM dimension_fresh WHERE $1 IS NOT NULL UNION ALL SELECT %s FROM dimension_amended",
				 w->key, w->key),
		list_make2(fresh, amended));
	strata_rowset_free(fresh);
	strata_rowset_free(amended);
	return touched;
}

static char *
latest_of_all(LogWork *w)
{
	return psprintf("SELECT DISTINCT ON (%s) l.* FROM %s AS l ORDER BY %s, %s", w->key, w->s->log, w->key, w->rank);
}

/* The last observation of every key that is looked at. */
static char *
latest(LogWork *w)
{
	return psprintf("SELECT DISTINCT ON (%s) l.* FROM %s AS l WHERE true%s ORDER BY %s, %s", w->key, w->s->log,
					layers_dimension_scope(w->s, "l"), w->key, w->rank);
}

/* "(SELECT the instants from the run on at which something is known of a key)": what is dated ahead is gone, or back, with its key */
static char *
instants(LogWork *w, const char *key)
{
	DimensionSpec *s = w->s;

	return psprintf(
		"(SELECT $1::%s AS strata_at UNION SELECT x.strata_from FROM %s AS x WHERE %s AND x.strata_from > $1::%s)",
		s->time_type, s->log, layers_equal(s->model->relid, s->key, "x", key), s->time_type);
}

static char *
next_added(LogWork *w, const char *key)
{
	DimensionSpec *s = w->s;

	return psprintf(
		"(SELECT (coalesce(max(x.strata_added), 0) + 1)::smallint FROM %s AS x WHERE %s AND x.strata_from = a.strata_at)",
		s->log, layers_equal(s->model->relid, s->key, "x", key));
}

/* An extract is the state of things: keys that are not in it are gone, keys that come again are back. */
static StrataRowSet *
note_absences(LogWork *w)
{
	DimensionSpec *s = w->s;
	Oid target = s->model->relid;
	char *columns = psprintf("%s, strata_from, strata_sequence, strata_added, strata_deleted",
							 strata_base_join_quoted(s->columns, ", "));
	StrataRowSet *gone;
	StrataRowSet *back;
	StrataRowSet *touched;

	gone = select_rows(w, "dimension_gone",
					   psprintf("SELECT l.* FROM (%s) AS l WHERE NOT l.strata_deleted AND $1 IS NOT NULL"
								" AND NOT EXISTS (SELECT 1 FROM dimension_observed AS o WHERE %s)",
								latest(w), layers_equal(target, s->key, "o", "l")),
					   layers_dimension_rowsets(s, list_make1(w->observed)));
	if (gone->count > 0)
	{
		StrataRows *live = strata_base_run_query(
			psprintf("SELECT count(*) FROM (%s) AS l WHERE NOT l.strata_deleted", latest_of_all(w)), NULL,
			w->refresh->snapshot, NIL);

		layers_dimension_guard(s, gone->count, strata_rows_int(live, 0, 1), w->refresh);
	}
	back = select_rows(
		w, "dimension_back",
		psprintf(
			"SELECT DISTINCT ON (%s, a.strata_at) %s, a.strata_at AS strata_from, o.strata_sequence, %s AS strata_added\n"
			"  FROM (%s) AS l JOIN dimension_observed AS o ON %s CROSS JOIN LATERAL %s AS a\n"
			" WHERE l.strata_deleted AND o.strata_from <= a.strata_at ORDER BY %s, a.strata_at, o.strata_from DESC, o.strata_sequence DESC",
			layers_list(s->key, "o", ", "), layers_list(s->columns, "o", ", "), next_added(w, "o"), latest(w),
			layers_equal(target, s->key, "o", "l"), instants(w, "o"), layers_list(s->key, "o", ", ")),
		layers_dimension_rowsets(s, list_make1(w->observed)));
	if (gone->count > 0)
		change_rows(w,
					psprintf("INSERT INTO %s (%s) SELECT %s, a.strata_at, l.strata_sequence, %s, true"
							 " FROM dimension_gone AS l CROSS JOIN LATERAL %s AS a",
							 s->log, columns, layers_list(s->columns, "l", ", "), next_added(w, "l"), instants(w, "l")),
					list_make1(gone));
	if (back->count > 0)
		change_rows(w,
					psprintf("INSERT INTO %s (%s) SELECT %s, strata_from, strata_sequence, strata_added, false"
							 " FROM dimension_back WHERE $1 IS NOT NULL",
							 s->log, columns, strata_base_join_quoted(s->columns, ", ")),
					list_make1(back));
	touched = select_rows(
		w, "dimension_absent",
		psprintf("SELECT %s FROM dimension_gone WHERE $1 IS NOT NULL UNION ALL SELECT %s FROM dimension_back", w->key,
				 w->key),
		list_make2(gone, back));
	strata_rowset_free(gone);
	strata_rowset_free(back);
	return touched;
}

/* ---- versions ---- */

/* "o.a IS DISTINCT FROM o.strata_was_0 ..." over the history columns */
static char *
history_changed(LogWork *w, char **was)
{
	DimensionSpec *s = w->s;
	StringInfoData lags;
	StringInfoData differs;
	int i = 0;
	ListCell *lc;

	initStringInfo(&lags);
	initStringInfo(&differs);
	foreach (lc, s->history)
	{
		char *condition = layers_distinct(s->model, list_make1(lfirst(lc)), "p", "strata_was");
		char *name = psprintf("strata_was.%s", quote_identifier(lfirst(lc)));
		char *hit;

		appendStringInfo(&lags, ", lag(o.%s) OVER w AS strata_was_%d", quote_identifier(lfirst(lc)), i);
		/* the previous observation's value is a column of the same row here */
		while ((hit = strstr(condition, name)) != NULL)
			condition = psprintf("%s%s%s", pnstrdup(condition, hit - condition), psprintf("p.strata_was_%d", i),
								 hit + strlen(name));
		appendStringInfo(&differs, "%s%s", i > 0 ? " OR " : "", condition);
		i++;
	}
	*was = lags.data;
	return s->history == NIL ? pstrdup("false") : differs.data;
}

/* The observations of the affected keys. One of presence alone (a return) has the values of the last real one before it. */
static char *
observations(LogWork *w)
{
	DimensionSpec *s = w->s;
	Oid target = s->model->relid;
	char *affected =
		psprintf("EXISTS (SELECT 1 FROM dimension_affected AS a WHERE %s)", layers_equal(target, s->key, "a", "l"));

	if (s->operation != NULL)
		return psprintf("SELECT l.* FROM %s AS l WHERE %s%s", s->log, affected,
						strcmp(s->deletes, "ignore") == 0 ? " AND NOT l.strata_deleted" : "");
	return psprintf(
		"SELECT %s, l.strata_from, l.strata_sequence, l.strata_added, l.strata_deleted FROM %s AS l\n"
		"              WHERE %s AND %s\n"
		"             UNION ALL SELECT %s, l.strata_from, l.strata_sequence, l.strata_added, false FROM %s AS l\n"
		"              CROSS JOIN LATERAL (SELECT x.* FROM %s AS x WHERE %s AND x.strata_added = 0 AND x.strata_from <= l.strata_from\n"
		"                                   ORDER BY x.strata_from DESC, x.strata_sequence DESC LIMIT 1) AS r\n"
		"              WHERE %s AND l.strata_added > 0 AND NOT l.strata_deleted",
		layers_list(s->columns, "l", ", "), s->log, affected,
		strcmp(s->deletes, "ignore") == 0 ? "NOT l.strata_deleted AND l.strata_added = 0"
										  : "(l.strata_deleted OR l.strata_added = 0)",
		layers_list(s->columns, "r", ", "), s->log, s->log, layers_equal(target, s->key, "x", "l"), affected);
}

static char *
versions_query(LogWork *w)
{
	DimensionSpec *s = w->s;
	Oid target = s->model->relid;
	bool mark = strcmp(s->deletes, "mark") == 0;
	char *lags;
	char *differs = history_changed(w, &lags);
	char *k = layers_list(s->key, "o", ", ");
	StringInfoData columns;
	StringInfoData bare; /* an inferred member of which nothing else is known */
	StringInfoData last;
	ListCell *lc;

	initStringInfo(&columns);
	initStringInfo(&bare);
	initStringInfo(&last);
	foreach (lc, s->columns)
	{
		const char *name = quote_identifier(lfirst(lc));
		bool is_key = strata_base_list_has(s->key, lfirst(lc));

		if (is_key)
			appendStringInfo(&columns, "v.%s, ", name);
		else if (strata_base_list_has(s->history, lfirst(lc)))
			appendStringInfo(&columns, "CASE WHEN v.strata_deleted THEN v.strata_last_%d ELSE v.%s END AS %s, ",
							 layers_position(s->history, lfirst(lc)), name, name);
		else if (strata_base_list_has(s->fixed, lfirst(lc)))
			appendStringInfo(&columns, "f.%s, ", name);
		else
			appendStringInfo(&columns, "n.%s, ", name);
		if (is_key)
			appendStringInfo(&bare, "i.%s, ", name);
		else
			appendStringInfoString(&bare, "NULL, ");
	}
	foreach (lc, s->history)
		appendStringInfo(&last, ", lag(o.%s) OVER w AS strata_last_%d", quote_identifier(lfirst(lc)),
						 foreach_current_index(lc));
	/* CASE: nothing is known of a CTE's columns, and two plain conditions would be taken to leave one row, to be looped over */
	return psprintf(
		"WITH l AS (%s),\n"
		"     o AS (SELECT DISTINCT ON (%s, l.strata_from) l.* FROM l ORDER BY %s, l.strata_from, l.strata_added DESC, l.strata_sequence DESC),\n"
		"     p AS (SELECT o.*, row_number() OVER w AS strata_nth, lag(o.strata_deleted) OVER w AS strata_was_deleted%s\n"
		"             FROM o WINDOW w AS (PARTITION BY %s ORDER BY o.strata_from)),\n"
		"     v AS (SELECT o.*, lead(o.strata_from) OVER w AS strata_to, row_number() OVER w AS strata_version%s\n"
		"             FROM (SELECT p.* FROM p WHERE CASE WHEN p.strata_nth = 1 THEN NOT p.strata_deleted\n"
		"                     ELSE p.strata_deleted <> p.strata_was_deleted OR NOT p.strata_deleted AND (%s) END) AS o\n"
		"           WINDOW w AS (PARTITION BY %s ORDER BY o.strata_from)),\n"
		"     n AS (SELECT DISTINCT ON (%s) o.* FROM l AS o WHERE CASE WHEN o.strata_deleted THEN false ELSE o.strata_added = 0 END ORDER BY %s, o.strata_from DESC, o.strata_sequence DESC),\n"
		"     f AS (SELECT DISTINCT ON (%s) o.* FROM l AS o WHERE CASE WHEN o.strata_deleted THEN false ELSE o.strata_added = 0 END ORDER BY %s, o.strata_from, o.strata_sequence DESC),\n"
		"     i AS (SELECT DISTINCT %s FROM %s AS k WHERE k.strata_inferred AND EXISTS (SELECT 1 FROM dimension_affected AS a WHERE %s))\n"
		"SELECT %sCASE WHEN v.strata_version = 1 AND i.strata_inferred THEN '-infinity' ELSE v.strata_from END AS valid_from,\n"
		"       v.strata_to AS valid_to, v.strata_to IS NULL AS is_current%s\n"
		"  FROM v JOIN n ON %s JOIN f ON %s\n"
		"  LEFT JOIN (SELECT true AS strata_inferred, i.* FROM i) AS i ON %s%s\n"
		"UNION ALL\n"
		"SELECT %s'-infinity', NULL, true%s FROM i WHERE NOT EXISTS (SELECT 1 FROM v WHERE %s)",
		observations(w), layers_list(s->key, "l", ", "), layers_list(s->key, "l", ", "), lags, k, last.data, differs, k,
		k, k, k, k, layers_list(s->key, "k", ", "), s->keys, layers_equal(target, s->key, "a", "k"), columns.data,
		mark ? ", v.strata_deleted AS is_deleted" : "", layers_equal(target, s->key, "n", "v"),
		layers_equal(target, s->key, "f", "v"), layers_equal(target, s->key, "i", "v"),
		mark ? "" : " WHERE NOT v.strata_deleted", bare.data, mark ? ", false" : "",
		layers_equal(target, s->key, "v", "i"));
}

/*
 * Every version gets its surrogate key: the one the map has for it; else, when a version it now covers disappears, that
 * one's; else the next.
 */
static void
assign_keys(LogWork *w, StrataRowSet *versions)
{
	DimensionSpec *s = w->s;
	StrataRowSet *orphans;

	orphans = select_rows(
		w, "dimension_orphans",
		psprintf(
			"SELECT %s, t.valid_from, t.%s AS strata_surrogate FROM %s AS t LEFT JOIN dimension_versions AS v ON %s AND v.valid_from = t.valid_from"
			" WHERE $1 IS NOT NULL AND v.valid_from IS NULL AND t.%s <> 0 AND EXISTS (SELECT 1 FROM dimension_affected AS a WHERE %s)",
			layers_list(s->key, "t", ", "), quote_identifier(s->surrogate), s->model->label,
			layers_equal(s->model->relid, s->key, "v", "t"), quote_identifier(s->surrogate),
			layers_equal(s->model->relid, s->key, "a", "t")),
		list_make2(versions, w->affected));
	if (orphans->count > 0)
		change_rows(
			w,
			psprintf(
				"UPDATE %s AS k SET valid_from = r.new_from FROM (\n"
				"  SELECT DISTINCT ON (%s, v.valid_from) %s, r.valid_from AS old_from, v.valid_from AS new_from\n"
				"    FROM dimension_versions AS v JOIN dimension_orphans AS r ON %s AND r.valid_from >= v.valid_from\n"
				"         AND (v.valid_to IS NULL OR r.valid_from < v.valid_to)\n"
				"    LEFT JOIN %s AS m ON %s AND m.valid_from = v.valid_from\n"
				"   WHERE m.strata_surrogate IS NULL AND $1 IS NOT NULL ORDER BY %s, v.valid_from, r.valid_from) AS r\n"
				" WHERE %s AND k.valid_from = r.old_from",
				s->keys, layers_list(s->key, "v", ", "), layers_list(s->key, "v", ", "),
				layers_equal(s->model->relid, s->key, "r", "v"), s->keys,
				layers_equal(s->model->relid, s->key, "m", "v"), layers_list(s->key, "v", ", "),
				layers_equal(s->model->relid, s->key, "k", "r")),
			list_make2(versions, orphans));
	strata_rowset_free(orphans);
	layers_dimension_map(
		s,
		psprintf(
			"SELECT %s, v.valid_from, b.last + row_number() OVER (ORDER BY %s, v.valid_from), false\n"
			"  FROM dimension_versions AS v LEFT JOIN %s AS k ON %s AND k.valid_from = v.valid_from\n"
			" CROSS JOIN (SELECT coalesce(max(strata_surrogate), 0) AS last FROM %s) AS b WHERE k.strata_surrogate IS NULL",
			layers_list(s->key, "v", ", "), layers_list(s->key, "v", ", "), s->keys,
			layers_equal(s->model->relid, s->key, "k", "v"), s->keys),
		NULL, w->refresh, versions);
}

static void
apply_versions(LogWork *w, StrataRefreshResult *result)
{
	DimensionSpec *s = w->s;
	StrataRowSet *versions = select_rows(w, "dimension_versions",
										 psprintf("SELECT * FROM (%s) AS v WHERE $1 IS NOT NULL", versions_query(w)),
										 list_make1(w->affected));
	StrataDeltaTarget t = {0};
	StrataDeltaCounts counts;
	StringInfoData columns;
	ListCell *lc;

	assign_keys(w, versions);
	t.relid = s->model->relid;
	t.label = s->model->label;
	t.columns = layers_names(layers_target_columns(s->model->relid));
	t.key = lappend(list_copy(s->key), pstrdup("valid_from"));
	t.key_word = "key and valid_from";
	t.scope = psprintf("o.%s <> 0 AND EXISTS (SELECT 1 FROM dimension_affected AS a WHERE %s)",
					   quote_identifier(s->surrogate), layers_equal(s->model->relid, s->key, "a", "o"));
	t.no_swap = true;
	t.unbuilt = s->model->applied_version == 0;
	initStringInfo(&columns);
	foreach (lc, t.columns)
		appendStringInfo(&columns, "%s%s.%s", foreach_current_index(lc) > 0 ? ", " : "",
						 strcmp(lfirst(lc), s->surrogate) == 0 ? "k" : "v",
						 quote_identifier(strcmp(lfirst(lc), s->surrogate) == 0 ? "strata_surrogate" : lfirst(lc)));
	strata_delta_apply(
		&t,
		psprintf("SELECT %s FROM dimension_versions AS v JOIN %s AS k ON %s AND k.valid_from = v.valid_from",
				 columns.data, s->keys, layers_equal(s->model->relid, s->key, "k", "v")),
		NULL, w->refresh->snapshot, list_make2(versions, w->affected), &counts);
	result->counts.inserted = counts.inserted;
	result->counts.updated = counts.updated;
	result->counts.deleted = counts.deleted;
	strata_rowset_free(versions);
}

static LogWork
begin(DimensionSpec *s, const StrataRefresh *refresh)
{
	LogWork w = {0};

	w.s = s;
	w.refresh = refresh;
	strata_args_time(&w.as_of, refresh->as_of);
	w.key = strata_base_join_quoted(s->key, ", ");
	w.identity = lappend(list_copy(s->key), pstrdup("strata_from"));
	if (s->sequence)
		w.identity = lappend(w.identity, pstrdup("strata_sequence"));
	w.rank = "l.strata_from DESC, l.strata_added DESC, l.strata_sequence DESC";
	if (s->deletes == NULL)
		s->deletes = pstrdup(s->operation ? "close" : "ignore");
	return w;
}

/* Every key that is observed, or stands in the table, whoever put it there. */
static StrataRowSet *
all_keys(LogWork *w, const char *condition)
{
	DimensionSpec *s = w->s;

	return select_rows(
		w, "dimension_affected",
		psprintf("SELECT DISTINCT %s FROM (SELECT %s FROM %s UNION ALL SELECT %s FROM %s WHERE %s <> 0) AS q"
				 " WHERE $1 IS NOT NULL AND %s",
				 w->key, w->key, s->log, w->key, s->model->label, quote_identifier(s->surrogate), condition),
		NIL);
}

void
layers_dimension_refresh_log(DimensionSpec *s, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	LogWork w = begin(s, refresh);
	StrataRowSet *touched;
	StrataRowSet *absent = NULL;
	bool everything = refresh->full_rebuild || refresh->whole || s->model->applied_version < s->model->version;

	observe(&w, result);
	touched = remember(&w);
	if (s->operation == NULL && strcmp(s->deletes, "ignore") != 0)
		absent = note_absences(&w);
	if (everything)
		w.affected = all_keys(&w, "true");
	else
		w.affected = select_rows(
			&w, "dimension_affected",
			psprintf("SELECT DISTINCT %s FROM (SELECT * FROM dimension_touched%s) AS q WHERE $1 IS NOT NULL", w.key,
					 absent ? " UNION ALL SELECT * FROM dimension_absent" : ""),
			absent ? list_make2(touched, absent) : list_make1(touched));
	if (w.affected->count > 0)
		apply_versions(&w, result);
	strata_rowset_free(w.affected);
	strata_rowset_free(touched);
	strata_rowset_free(absent);
	strata_rowset_free(w.observed);
}

/* ---- verification ---- */

/*
 * What the query gives must be in the log: every observation, with the values of the columns that are overwritten; and of an extract
 * the keys, those that the log says are there and no others.
 */
static void
verify_log(LogWork *w, VerifyWork *work)
{
	DimensionSpec *s = w->s;
	Oid target = s->model->relid;
	bool extract = s->operation == NULL && strcmp(s->deletes, "ignore") != 0;
	List *amendable = list_concat_copy(s->overwrite, strata_registry_backfill(s->model->id));
	char *same = psprintf("%s AND l.strata_added = 0", layers_equal(target, w->identity, "l", "o"));
	char *differs = layers_image_differs(amendable, "o", "l");
	VerifyPart part = {0};

	part.of = "its record of the source's rows";
	part.differences = part.uncounted = part.share_inside = true;
	part.key = s->key;
	part.rowsets = list_make1(w->observed);
	part.wanted = psprintf("SELECT %s, o.strata_from FROM dimension_observed AS o LEFT JOIN %s AS l ON %s\n"
						   " WHERE l.strata_from IS NULL OR %s%s",
						   layers_list(s->columns, "o", ", "), s->log, same, differs,
						   extract ? psprintf(" OR EXISTS (SELECT 1 FROM (%s) AS d WHERE d.strata_deleted AND %s)",
											  latest(w), layers_equal(target, s->key, "d", "o"))
								   : "");
	part.present = psprintf("SELECT %s, l.strata_from FROM dimension_observed AS o JOIN %s AS l ON %s WHERE %s",
							layers_list(s->columns, "l", ", "), s->log, same, differs);
	if (extract)
		part.present =
			psprintf("%s\nUNION ALL SELECT %s, l.strata_from FROM (%s) AS l WHERE NOT l.strata_deleted AND %s"
					 " AND NOT EXISTS (SELECT 1 FROM dimension_observed AS o WHERE %s)",
					 part.present, layers_list(s->columns, "l", ", "), latest(w),
					 s->only ? layers_verify_share(work, s->key, "l") : "true", layers_equal(target, s->key, "o", "l"));
	layers_verify_part(work, &part);
}

/* The versions must be those that the log gives, each with the key that the map has for it. */
static void
verify_versions(LogWork *w, VerifyWork *work)
{
	DimensionSpec *s = w->s;
	List *names = layers_names(layers_target_columns(s->model->relid));
	StrataRowSet *versions;
	VerifyPart part = {0};
	StringInfoData columns;
	ListCell *lc;

	w->affected = all_keys(w, s->only ? s->only : "true");
	versions = select_rows(w, "dimension_versions",
						   psprintf("SELECT * FROM (%s) AS v WHERE $1 IS NOT NULL", versions_query(w)),
						   list_make1(w->affected));
	initStringInfo(&columns);
	foreach (lc, names)
	{
		bool surrogate = strcmp(lfirst(lc), s->surrogate) == 0;

		appendStringInfo(&columns, "%s%s.%s%s%s", foreach_current_index(lc) > 0 ? ", " : "", surrogate ? "k" : "v",
						 surrogate ? "strata_surrogate" : quote_identifier(lfirst(lc)), surrogate ? " AS " : "",
						 surrogate ? quote_identifier(lfirst(lc)) : "");
	}
	part.wanted =
		psprintf("SELECT %s FROM dimension_versions AS v LEFT JOIN %s AS k ON %s AND k.valid_from = v.valid_from",
				 columns.data, s->keys, layers_equal(s->model->relid, s->key, "k", "v"));
	part.present = psprintf("SELECT %s FROM %s AS t WHERE t.%s <> 0%s%s", layers_list(names, "t", ", "),
							s->model->label, quote_identifier(s->surrogate), s->only ? " AND " : "",
							s->only ? layers_verify_share(work, s->key, "t") : "");
	part.uncounted = part.share_inside = true;
	part.key = s->key;
	part.rowsets = list_make1(versions);
	layers_verify_part(work, &part);
	strata_rowset_free(versions);
	strata_rowset_free(w->affected);
}

void
layers_dimension_verify_log(DimensionSpec *s, VerifyWork *work)
{
	/* the run time is read by conditions only that hold at any */
	StrataRefresh refresh = {work->how->snapshot, GetCurrentTimestamp()};
	StrataRefreshResult ignored = {{0}};
	LogWork w = begin(s, &refresh);

	s->only = layers_verify_share(work, s->key, "q");
	observe(&w, &ignored);
	work->result->checked += w.observed->count;
	verify_log(&w, work);
	strata_rowset_free(w.observed);
	verify_versions(&w, work);
}
