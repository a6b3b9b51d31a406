/*
 * layers_dimension_runtime.c: versions dated by the run time. The query is the state of things now; what differs from the
 * current versions closes them at the run time and opens new ones.
 *
 * The current rows of the table are the memory: runs come in order, so nothing older can arrive.
 */
#include "postgres.h"

#include "layers/layers_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "catalog/pg_collation.h"

/* ---- comparing ---- */

char *
layers_distinct(const StrataModel *model, const List *names, const char *a, const char *b)
{
	StringInfoData buf;
	List *columns = layers_target_columns(model->relid);
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, columns)
	{
		TargetColumn *c = lfirst(lc);
		const char *name = quote_identifier(c->name);

		if (!strata_base_list_has(names, c->name))
			continue;
		if (buf.len > 0)
			appendStringInfoString(&buf, " OR ");
		if (!OidIsValid(lookup_type_cache(c->type_oid, TYPECACHE_EQ_OPR)->eq_opr))
			appendStringInfo(&buf, "strata_state.row_image(ROW(%s.%s)) <> strata_state.row_image(ROW(%s.%s))", a, name,
							 b, name);
		else if (OidIsValid(c->collation) && !get_collation_isdeterministic(c->collation))
			/* another spelling is another value, whatever the collation holds equal */
			appendStringInfo(&buf, "%s.%s COLLATE \"C\" IS DISTINCT FROM %s.%s COLLATE \"C\"", a, name, b, name);
		else
			appendStringInfo(&buf, "%s.%s IS DISTINCT FROM %s.%s", a, name, b, name);
	}
	if (buf.len == 0)
		appendStringInfoString(&buf, "false");
	return psprintf("(%s)", buf.data);
}

char *
layers_image_differs(const List *names, const char *a, const char *b)
{
	if (names == NIL)
		return pstrdup("false");
	return psprintf("NOT record_image_eq(ROW(%s), ROW(%s))", layers_list(names, a, ", "), layers_list(names, b, ", "));
}

/* ---- the extract ---- */

static void
extract_error(const DimensionSpec *s, int sqlstate, const char *message, StrataRows *rows, const char *hint)
{
	StringInfoData detail;

	initStringInfo(&detail);
	for (uint64 i = 0; i < rows->count; i++)
		appendStringInfo(&detail, "%s%s", i == 0 ? "Rows: " : "; ", strata_rows_text(rows, i, 1));
	ereport(ERROR, (errcode(sqlstate), errmsg("dimension %s: %s", s->model->label, message),
					errdetail("%s", detail.data), errhint("Nothing was changed. %s", hint)));
}

static char *
any_null(const List *names, const char *prefix)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, names)
		appendStringInfo(&buf, "%s%s.%s IS NULL", foreach_current_index(lc) > 0 ? " OR " : "", prefix,
						 quote_identifier(lfirst(lc)));
	return buf.data;
}

/*
 * The query's rows, read once: without NULL in key, each key once. Exact duplicates collapse; rows that contradict each other
 * refuse the batch.
 */
StrataRowSet *
layers_dimension_extract(DimensionSpec *s, const List *key, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	StrataRowSet *extract = strata_base_run_rowset(
		"dimension_extract", psprintf("SELECT * FROM %s AS q", s->model->query_view), NULL, refresh->snapshot, NIL);
	StrataRows *rows;
	char *keys = layers_list(key, "q", ", ");
	StrataRowSet *once;

	result->counts.rows_in = extract->count;
	rows = strata_base_run_query(
		psprintf("SELECT left(to_jsonb(q.*)::text, 300) FROM dimension_extract AS q WHERE %s LIMIT 5",
				 any_null(key, "q")),
		NULL, refresh->snapshot, list_make1(extract));
	if (rows->count > 0)
		extract_error(s, ERRCODE_NOT_NULL_VIOLATION,
					  psprintf("the query gives rows whose key (%s) is NULL", strata_base_join(key, ", ")), rows,
					  "Correct the rows, or filter them in staging.");
	rows = strata_base_run_query(
		psprintf("SELECT 1 FROM dimension_extract AS q GROUP BY %s HAVING count(*) > 1 LIMIT 1", keys), NULL,
		refresh->snapshot, list_make1(extract));
	if (rows->count == 0)
		return extract;
	rows = strata_base_run_query(
		psprintf(
			"SELECT left(jsonb_agg(to_jsonb(q.*) ORDER BY to_jsonb(q.*)::text)::text, 500) FROM dimension_extract AS q"
			" GROUP BY %s HAVING count(DISTINCT strata_state.row_image(q)) > 1 LIMIT 5",
			keys),
		NULL, refresh->snapshot, list_make1(extract));
	if (rows->count > 0)
		extract_error(
			s, ERRCODE_UNIQUE_VIOLATION,
			psprintf("the query gives rows that contradict each other for one key (%s)", strata_base_join(key, ", ")),
			rows, "Keep one of them in staging, or give the feed a sequence.");
	once = strata_base_run_rowset(
		"dimension_extract",
		psprintf(
			"SELECT %s FROM (SELECT q.*, row_number() OVER (PARTITION BY %s) AS strata_nth FROM dimension_extract AS q) AS q"
			" WHERE q.strata_nth = 1",
			layers_rowset_columns(extract, "q"), keys),
		NULL, refresh->snapshot, list_make1(extract));
	strata_rowset_free(extract);
	return once;
}

char *
layers_rowset_columns(const StrataRowSet *set, const char *prefix)
{
	List *names = NIL;

	for (int i = 0; i < set->desc->natts; i++)
		names = lappend(names, NameStr(TupleDescAttr(set->desc, i)->attname));
	return layers_list(names, prefix, ", ");
}

void
layers_dimension_guard(const DimensionSpec *s, int64 gone, int64 current, const StrataRefresh *refresh)
{
	if (refresh->confirm_shrink || gone == 0 || (double) gone <= s->max_shrink * (double) current)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_RAISE_EXCEPTION),
		 errmsg("dimension %s: " INT64_FORMAT " of " INT64_FORMAT " keys are missing from the extract", s->model->label,
				gone, current),
		 errdetail("That is more than max_shrink (%g) allows; an extract that came empty or cut short looks like this.",
				   s->max_shrink),
		 errhint("Nothing was changed. If they are really gone: strata.refresh(..., confirm_shrink => true).")));
}

/* ---- changes ---- */

/* The values a row shall have: fixed columns keep those of the present version, unless it was only inferred. */
static char *
wanted_values(const DimensionSpec *s)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, s->columns)
	{
		const char *name = quote_identifier(lfirst(lc));

		if (foreach_current_index(lc) > 0)
			appendStringInfoString(&buf, ", ");
		if (strata_base_list_has(s->key, lfirst(lc)))
			appendStringInfo(&buf, "CASE WHEN q.strata_here THEN q.%s ELSE c.%s END AS %s", name, name, name);
		else if (strata_base_list_has(s->fixed, lfirst(lc)))
			appendStringInfo(&buf, "CASE WHEN c.strata_surrogate IS NULL OR k.inferred THEN q.%s ELSE c.%s END AS %s",
							 name, name, name);
		else
			appendStringInfo(&buf, "CASE WHEN q.strata_here THEN q.%s ELSE c.%s END AS %s", name, name, name);
	}
	return buf.data;
}

static StrataRowSet *
find_changes(DimensionSpec *s, StrataRowSet *extract, const List *backfill, const StrataRefresh *refresh)
{
	bool mark = s->deletes && strcmp(s->deletes, "mark") == 0;
	bool ignore = s->deletes == NULL || strcmp(s->deletes, "ignore") == 0;
	List *history = NIL;
	List *in_place = NIL;
	ListCell *lc;

	foreach (lc, s->history)
		history = strata_base_list_has(backfill, lfirst(lc)) ? history : lappend(history, lfirst(lc));
	foreach (lc, s->overwrite)
		in_place = lappend(in_place, lfirst(lc));
	return strata_base_run_rowset(
		"dimension_changes",
		psprintf(
			"SELECT * FROM (\n"
			" SELECT CASE WHEN q.strata_here IS NULL THEN CASE WHEN %s THEN NULL ELSE 'gone' END\n"
			"             WHEN c.strata_surrogate IS NULL THEN 'new'\n"
			"             WHEN k.inferred THEN 'complete'\n"
			"             WHEN %s THEN 'return'\n"
			"             WHEN %s THEN 'version'\n"
			"             WHEN %s OR %s THEN 'overwrite' END AS strata_action,\n"
			"        coalesce(c.strata_surrogate IS NOT NULL AND q.strata_here AND %s, false) AS strata_overwrites,\n"
			"        c.strata_surrogate, c.strata_since, %s\n"
			"   FROM (SELECT true AS strata_here, q.* FROM dimension_extract AS q) AS q\n"
			"   FULL JOIN (SELECT t.%s AS strata_surrogate, t.valid_from AS strata_since, t.* FROM %s AS t WHERE t.is_current AND t.%s <> 0) AS c ON %s\n"
			"   LEFT JOIN (SELECT surrogate, inferred FROM %s WHERE inferred) AS k ON k.surrogate = c.strata_surrogate\n"
			") AS d WHERE d.strata_action IS NOT NULL",
			ignore ? "true"
			: mark ? "c.is_deleted OR k.inferred IS TRUE"
				   : "k.inferred IS TRUE",
			mark ? "c.is_deleted" : "false", layers_distinct(s->model, history, "q", "c"),
			layers_image_differs(in_place, "q", "c"), layers_image_differs(backfill, "q", "c"),
			layers_image_differs(in_place, "q", "c"), wanted_values(s), quote_identifier(s->surrogate), s->model->label,
			quote_identifier(s->surrogate), layers_equal(s->key, "q", "c"), s->keys),
		NULL, refresh->snapshot, list_make1(extract));
}

typedef struct Tally
{
	int64 fresh;
	int64 gone;
	int64 version;
	int64 returned;
	int64 complete;
	int64 overwrites;
	int64 backfills;
	int64 same_instant;
	int64 too_old;
} Tally;

static Tally
count_changes(DimensionSpec *s, StrataRowSet *changes, StrataArgs *as_of, const StrataRefresh *refresh)
{
	StrataRows *r = strata_base_run_query(
		"SELECT count(*) FILTER (WHERE strata_action = 'new'), count(*) FILTER (WHERE strata_action = 'gone'),"
		" count(*) FILTER (WHERE strata_action = 'version'), count(*) FILTER (WHERE strata_action = 'return'),"
		" count(*) FILTER (WHERE strata_action = 'complete'), count(*) FILTER (WHERE strata_overwrites),"
		" count(*) FILTER (WHERE strata_action = 'overwrite' AND NOT strata_overwrites),"
		" count(*) FILTER (WHERE strata_action IN ('version', 'return', 'gone') AND strata_since = $1),"
		" count(*) FILTER (WHERE strata_action IN ('version', 'return', 'gone') AND strata_since > $1)"
		" FROM dimension_changes",
		as_of, refresh->snapshot, list_make1(changes));
	Tally t;

	t.fresh = strata_rows_int(r, 0, 1);
	t.gone = strata_rows_int(r, 0, 2);
	t.version = strata_rows_int(r, 0, 3);
	t.returned = strata_rows_int(r, 0, 4);
	t.complete = strata_rows_int(r, 0, 5);
	t.overwrites = strata_rows_int(r, 0, 6);
	t.backfills = strata_rows_int(r, 0, 7);
	t.same_instant = strata_rows_int(r, 0, 8);
	t.too_old = strata_rows_int(r, 0, 9);
	return t;
}

static void
refuse_past(const DimensionSpec *s, StrataRowSet *changes, StrataArgs *as_of, const StrataRefresh *refresh)
{
	StrataRows *rows = strata_base_run_query(
		psprintf(
			"SELECT left(to_jsonb(d.*)::text, 200) FROM (SELECT %s, strata_since AS valid_from FROM dimension_changes"
			" WHERE strata_action IN ('version', 'return', 'gone') AND strata_since > $1 LIMIT 3) AS d",
			strata_base_join_quoted(s->key, ", ")),
		as_of, refresh->snapshot, list_make1(changes));

	extract_error(
		s, ERRCODE_INVALID_PARAMETER_VALUE,
		psprintf("the run time %s is before versions that are there", timestamptz_to_str(refresh->as_of)), rows,
		"Versions dated by the run time are made in order: run with a later as_of, or date the rows themselves with effective_from.");
}

/* Overwritten columns take the present value in every version of the key. */
static int64
overwrite(DimensionSpec *s, StrataRowSet *changes, const StrataRefresh *refresh)
{
	return strata_base_run(
		psprintf(
			"UPDATE %s AS t SET (%s) = ROW(%s) FROM dimension_changes AS d"
			" WHERE %s AND t.%s <> 0 AND d.strata_action <> 'gone' AND (d.strata_overwrites OR d.strata_action IN ('new', 'complete')) AND %s",
			s->model->label, strata_base_join_quoted(s->overwrite, ", "), layers_list(s->overwrite, "d", ", "),
			layers_equal(s->key, "t", "d"), quote_identifier(s->surrogate),
			layers_image_differs(s->overwrite, "t", "d")),
		NULL, refresh->snapshot, list_make1(changes));
}

/* Current rows that change in place: completed inferred members, same-instant changes, columns that gained history. */
static int64
amend(DimensionSpec *s, const List *columns, const char *condition, StrataRowSet *changes, StrataArgs *as_of,
	  const StrataRefresh *refresh)
{
	if (columns == NIL)
		return 0;
	return strata_base_run(psprintf("UPDATE %s AS t SET (%s) = ROW(%s) FROM dimension_changes AS d"
									" WHERE t.%s = d.strata_surrogate AND (%s) AND $1 IS NOT NULL AND %s",
									s->model->label, strata_base_join_quoted(columns, ", "),
									layers_list(columns, "d", ", "), quote_identifier(s->surrogate), condition,
									layers_image_differs(columns, "t", "d")),
						   as_of, refresh->snapshot, list_make1(changes));
}

/* New versions: a key from the map where this version had one before, else the next. */
static int64
open_versions(DimensionSpec *s, StrataRowSet *changes, StrataArgs *as_of, const StrataRefresh *refresh)
{
	bool mark = s->deletes && strcmp(s->deletes, "mark") == 0;
	char *actions = psprintf(
		"(d.strata_action IN ('new', 'version', 'return')%s) AND (d.strata_since IS NULL OR d.strata_since < $1)",
		mark ? " OR d.strata_action = 'gone'" : "");
	char *fixed_from_past = NULL;
	StrataRowSet *versions;
	int64 opened;
	StringInfoData values;
	ListCell *lc;

	initStringInfo(&values);
	foreach (lc, s->columns)
	{
		const char *name = quote_identifier(lfirst(lc));

		if (strata_base_list_has(s->fixed, lfirst(lc)) && s->deletes && strcmp(s->deletes, "close") == 0)
		{
			/* a key that comes back after its versions were closed keeps its fixed values */
			appendStringInfo(&values, ", CASE WHEN p.strata_past THEN p.%s ELSE d.%s END AS %s", name, name, name);
			fixed_from_past = psprintf(
				" LEFT JOIN LATERAL (SELECT true AS strata_past, t.* FROM %s AS t WHERE d.strata_action = 'new' AND %s"
				" ORDER BY t.valid_from LIMIT 1) AS p ON true",
				s->model->label, layers_equal(s->key, "t", "d"));
		}
		else
			appendStringInfo(&values, ", d.%s", name);
	}
	versions = strata_base_run_rowset(
		"dimension_versions",
		psprintf(
			"SELECT coalesce(k.surrogate, b.last + row_number() OVER (PARTITION BY k.surrogate IS NULL ORDER BY %s)) AS strata_surrogate,\n"
			"       k.surrogate IS NULL AS strata_is_new, d.strata_action = 'gone' AS strata_is_deleted%s\n"
			"  FROM dimension_changes AS d\n"
			"  LEFT JOIN %s AS k ON %s AND k.valid_from = $1%s\n"
			" CROSS JOIN (SELECT coalesce(max(surrogate), 0) AS last FROM %s) AS b\n"
			" WHERE %s",
			layers_list(s->key, "d", ", "), values.data, s->keys, layers_equal(s->key, "k", "d"),
			fixed_from_past ? fixed_from_past : "", s->keys, actions),
		as_of, refresh->snapshot, list_make1(changes));
	strata_base_run(
		psprintf(
			"INSERT INTO %s (%s, valid_from, surrogate) SELECT %s, $1, strata_surrogate FROM dimension_versions WHERE strata_is_new",
			s->keys, strata_base_join_quoted(s->key, ", "), strata_base_join_quoted(s->key, ", ")),
		as_of, refresh->snapshot, list_make1(versions));
	opened = strata_base_run(
		psprintf(
			"INSERT INTO %s (%s, %s, valid_from, is_current%s) SELECT strata_surrogate, %s, $1, true%s FROM dimension_versions",
			s->model->label, quote_identifier(s->surrogate), strata_base_join_quoted(s->columns, ", "),
			mark ? ", is_deleted" : "", strata_base_join_quoted(s->columns, ", "), mark ? ", strata_is_deleted" : ""),
		as_of, refresh->snapshot, list_make1(versions));
	strata_rowset_free(versions);
	return opened;
}

static int64
live_keys(DimensionSpec *s, const StrataRefresh *refresh)
{
	bool mark = s->deletes && strcmp(s->deletes, "mark") == 0;

	return strata_rows_int(
		strata_base_run_query(psprintf("SELECT count(*) FROM %s WHERE is_current AND %s <> 0%s", s->model->label,
									   quote_identifier(s->surrogate), mark ? " AND NOT is_deleted" : ""),
							  NULL, refresh->snapshot, NIL),
		0, 1);
}

/* Versions that began at this very instant: changed in place, since no interval lies between. */
static void
same_instant(DimensionSpec *s, StrataRowSet *changes, StrataArgs *as_of, const StrataRefresh *refresh,
			 StrataRefreshResult *result)
{
	List *columns = NIL;
	ListCell *lc;
	bool mark = s->deletes && strcmp(s->deletes, "mark") == 0;

	foreach (lc, s->columns)
		if (!strata_base_list_has(s->key, lfirst(lc)) && !strata_base_list_has(s->fixed, lfirst(lc)))
			columns = lappend(columns, lfirst(lc));
	result->counts.updated +=
		amend(s, columns, "d.strata_since = $1 AND d.strata_action IN ('version', 'return')", changes, as_of, refresh);
	if (mark)
		result->counts.updated += strata_base_run(
			psprintf(
				"UPDATE %s AS t SET is_deleted = (d.strata_action = 'gone') FROM dimension_changes AS d"
				" WHERE t.%s = d.strata_surrogate AND d.strata_since = $1 AND d.strata_action IN ('gone', 'return')",
				s->model->label, quote_identifier(s->surrogate)),
			as_of, refresh->snapshot, list_make1(changes));
	else
		result->counts.deleted += strata_base_run(
			psprintf("DELETE FROM %s AS t USING dimension_changes AS d"
					 " WHERE t.%s = d.strata_surrogate AND d.strata_since = $1 AND d.strata_action = 'gone'",
					 s->model->label, quote_identifier(s->surrogate)),
			as_of, refresh->snapshot, list_make1(changes));
}

void
layers_dimension_refresh_runtime(DimensionSpec *s, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	List *backfill = strata_registry_backfill(s->model->id);
	StrataRowSet *extract = layers_dimension_extract(s, s->key, refresh, result);
	StrataRowSet *changes = find_changes(s, extract, backfill, refresh);
	StrataArgs as_of = {0};
	Tally t;

	strata_rowset_free(extract);
	strata_args_time(&as_of, refresh->as_of);
	if (changes->count == 0)
	{
		strata_rowset_free(changes);
		return;
	}
	t = count_changes(s, changes, &as_of, refresh);
	if (t.gone > 0)
		layers_dimension_guard(s, t.gone, live_keys(s, refresh), refresh);
	if (t.too_old > 0)
		refuse_past(s, changes, &as_of, refresh);
	if (t.same_instant > 0)
		same_instant(s, changes, &as_of, refresh, result);
	if (t.version + t.returned + t.gone > t.same_instant)
		result->counts.updated += strata_base_run(
			psprintf(
				"UPDATE %s AS t SET valid_to = $1, is_current = false FROM dimension_changes AS d"
				" WHERE t.%s = d.strata_surrogate AND d.strata_action IN ('version', 'return', 'gone') AND d.strata_since < $1",
				s->model->label, quote_identifier(s->surrogate)),
			&as_of, refresh->snapshot, list_make1(changes));
	if (t.complete > 0)
	{
		List *all = layers_without(s->columns, s->key);

		result->counts.updated += amend(s, all, "d.strata_action = 'complete'", changes, &as_of, refresh);
		strata_base_run(
			psprintf(
				"UPDATE %s AS k SET inferred = false FROM dimension_changes AS d WHERE d.strata_action = 'complete' AND k.surrogate = d.strata_surrogate",
				s->keys),
			NULL, refresh->snapshot, list_make1(changes));
	}
	if (s->overwrite != NIL && (t.overwrites > 0 || (t.fresh > 0 && s->deletes && strcmp(s->deletes, "close") == 0)))
		result->counts.updated += overwrite(s, changes, refresh);
	if (t.backfills > 0 && backfill != NIL)
		result->counts.updated += amend(s, backfill, "d.strata_action = 'overwrite'", changes, &as_of, refresh);
	if (t.fresh + t.version + t.returned + t.gone > 0)
		result->counts.inserted += open_versions(s, changes, &as_of, refresh);
	strata_rowset_free(changes);
}
