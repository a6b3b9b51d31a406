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
		/* without an equality, or with one that no search_path of ours finds (citext, hstore, geometry): by image */
		if (lookup_type_cache(c->type_oid, TYPECACHE_EQ_OPR)->eq_opr == InvalidOid ||
			strcmp(strata_base_equality(c->type_oid), "=") != 0)
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

char *
layers_dimension_scope(const DimensionSpec *s, const char *alias)
{
	return s->affected == NULL ? pstrdup("")
							   : psprintf(" AND EXISTS (SELECT 1 FROM dimension_keys AS dk WHERE %s)",
										  layers_equal(s->model->relid, s->affected_columns, "dk", alias));
}

List *
layers_dimension_rowsets(const DimensionSpec *s, List *rowsets)
{
	return s->affected == NULL ? rowsets : lappend(rowsets, s->affected);
}

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

/* The key of the unknown member, where it was given one, is no real member's. */
static void
refuse_unknown_key(DimensionSpec *s, StrataRowSet *extract, const StrataRefresh *refresh)
{
	StrataRows *rows;

	if (layers_without(s->key, strata_option_names(strata_option_object(s->model->options, "unknown"))) != NIL)
		return;
	rows = strata_base_run_query(
		psprintf(
			"SELECT left(to_jsonb(q.*)::text, 300) FROM dimension_extract AS q JOIN %s AS t ON %s AND t.%s = 0 LIMIT 5",
			s->model->label, layers_equal(s->model->relid, s->key, "t", "q"), quote_identifier(s->surrogate)),
		NULL, refresh->snapshot, list_make1(extract));
	if (rows->count > 0)
		extract_error(s, ERRCODE_UNIQUE_VIOLATION, "the query gives rows with the key of the unknown member", rows,
					  "Give the unknown member another key in unknown => '{...}', or none.");
}

/*
 * The query's rows, read once: without NULL in key, each key once. Exact duplicates collapse; rows that contradict each other
 * refuse the batch.
 */
StrataRowSet *
layers_dimension_extract(DimensionSpec *s, const List *key, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	StrataRowSet *extract = s->affected
								? s->extract
								: strata_base_run_rowset("dimension_extract",
														 psprintf("SELECT * FROM %s AS q%s%s", s->model->query_view,
																  s->only ? " WHERE " : "", s->only ? s->only : ""),
														 NULL, refresh->snapshot, NIL);
	StrataRows *rows;
	char *keys = layers_list(key, "q", ", ");
	StrataRowSet *once;

	result->counts.rows_in = extract->count;
	refuse_unknown_key(s, extract, refresh);
	/* one pass for both faults; what is wrong is looked for when something is */
	rows = strata_base_run_query(
		psprintf("SELECT 1 FROM dimension_extract AS q GROUP BY %s HAVING count(*) > 1 OR %s LIMIT 1", keys,
				 any_null(key, "q")),
		NULL, refresh->snapshot, list_make1(extract));
	if (rows->count == 0)
		return extract;
	rows = strata_base_run_query(
		psprintf("SELECT left(to_jsonb(q.*)::text, 300) FROM dimension_extract AS q WHERE %s LIMIT 5",
				 any_null(key, "q")),
		NULL, refresh->snapshot, list_make1(extract));
	if (rows->count > 0)
		extract_error(s, ERRCODE_NOT_NULL_VIOLATION,
					  psprintf("the query gives rows whose key (%s) is NULL", strata_base_join(key, ", ")), rows,
					  "Correct the rows, or filter them in staging.");
	rows = strata_base_run_query(
		psprintf(
			"SELECT left(jsonb_agg(to_jsonb(q.*) ORDER BY to_jsonb(q.*)::text)::text, 500) FROM dimension_extract AS q"
			" GROUP BY %s HAVING count(DISTINCT strata_state.row_image(ROW(%s))) > 1 LIMIT 5",
			keys, layers_rowset_columns(extract, "q")),
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

/*
 * What happens to a key, as dimension_changes says it: n a first or a returning version, v another version, r back after being
 * marked as deleted, c an inferred member completed, o columns overwritten in place, g gone.
 */
typedef struct Tally
{
	int64 fresh;        /* n */
	int64 moved;        /* v, r, g: the current version ends */
	int64 gone;         /* g */
	int64 complete;     /* c */
	int64 overwrites;   /* overwritten columns differ from the current version's */
	int64 backfills;    /* o without that */
	int64 same_instant; /* v, r, g of a version that began at this very instant */
	int64 too_old;      /* ... that began later */
} Tally;

typedef struct RuntimeWork
{
	DimensionSpec *s;
	const StrataRefresh *refresh;
	StrataArgs as_of; /* $1 */
	StrataRowSet *changes;
	List *backfill;
	char *only; /* condition on t: only these current versions are compared; NULL all */
	bool mark;
	bool inferred; /* there are inferred members */
	bool again;    /* a run of this very time came before: the key map may know its versions */
	Tally t;
} RuntimeWork;

static int64
run(RuntimeWork *w, const char *sql)
{
	return strata_base_run(sql, &w->as_of, w->refresh->snapshot, list_make1(w->changes));
}

/* The values a row shall have: fixed columns keep those of the present version, unless it was only inferred. */
static char *
wanted_values(const RuntimeWork *w)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, w->s->columns)
	{
		const char *name = quote_identifier(lfirst(lc));

		if (strata_base_list_has(w->s->fixed, lfirst(lc)))
			appendStringInfo(&buf, ", CASE WHEN c.strata_surrogate IS NULL%s THEN q.%s ELSE c.%s END AS %s",
							 w->inferred ? " OR k.strata_inferred" : "", name, name, name);
		else if (w->mark)
			appendStringInfo(&buf, ", CASE WHEN q.strata_here THEN q.%s ELSE c.%s END AS %s", name, name, name);
		else
			appendStringInfo(&buf, ", q.%s", name);
	}
	return buf.data;
}

static char *
changes_query(RuntimeWork *w)
{
	DimensionSpec *s = w->s;
	bool ignore = s->deletes == NULL || strcmp(s->deletes, "ignore") == 0;
	List *history = layers_without(s->history, w->backfill);
	char *overwritten = layers_image_differs(s->overwrite, "q", "c");

	return psprintf(
		"SELECT d.* FROM (\n"
		" SELECT CASE WHEN q.strata_here IS NULL THEN %s\n"
		"             WHEN c.strata_surrogate IS NULL THEN 'n'\n"
		"             %s%sWHEN %s THEN 'v'\n"
		"             WHEN %s OR %s THEN 'o' END::\"char\" AS strata_action,\n"
		"        c.strata_surrogate IS NOT NULL AND q.strata_here IS TRUE AND %s AS strata_overwrites,\n"
		"        c.strata_ctid, c.strata_surrogate, c.strata_since%s\n"
		"   FROM (SELECT true AS strata_here, q.* FROM dimension_extract AS q) AS q\n"
		"   %s JOIN (SELECT t.ctid AS strata_ctid, t.%s AS strata_surrogate, t.valid_from AS strata_since, t.* FROM %s AS t WHERE t.is_current AND t.%s <> 0%s%s%s) AS c ON %s%s\n"
		") AS d WHERE d.strata_action IS NOT NULL ORDER BY %s",
		ignore ? "NULL"
			   : psprintf("CASE WHEN %s%s THEN NULL ELSE 'g' END", w->mark ? "c.is_deleted" : "false",
						  w->inferred ? " OR k.strata_inferred IS TRUE" : ""),
		w->inferred ? "WHEN k.strata_inferred THEN 'c'\n             " : "",
		w->mark ? "WHEN c.is_deleted THEN 'r'\n             " : "", layers_distinct(s->model, history, "q", "c"),
		overwritten, layers_image_differs(w->backfill, "q", "c"), overwritten, wanted_values(w),
		ignore ? "LEFT" : "FULL", quote_identifier(s->surrogate), s->model->label, quote_identifier(s->surrogate),
		w->only ? " AND " : "", w->only ? w->only : "", layers_dimension_scope(s, "t"),
		layers_equal(s->model->relid, s->key, "q", "c"),
		w->inferred
			? psprintf("\n   LEFT JOIN (SELECT strata_surrogate, strata_inferred FROM %s WHERE strata_inferred) AS k"
					   " ON k.strata_surrogate = c.strata_surrogate",
					   s->keys)
			: "",
		layers_list(s->key, "d", ", "));
}

static void
count_changes(RuntimeWork *w)
{
	StrataRows *r = strata_base_run_query(
		"SELECT count(*) FILTER (WHERE strata_action = 'n'), count(*) FILTER (WHERE strata_action IN ('v', 'r', 'g')),"
		" count(*) FILTER (WHERE strata_action = 'g'), count(*) FILTER (WHERE strata_action = 'c'),"
		" count(*) FILTER (WHERE strata_overwrites), count(*) FILTER (WHERE strata_action = 'o' AND NOT strata_overwrites),"
		" count(*) FILTER (WHERE strata_action IN ('v', 'r', 'g') AND strata_since = $1),"
		" count(*) FILTER (WHERE strata_action IN ('v', 'r', 'g') AND strata_since > $1) FROM dimension_changes",
		&w->as_of, w->refresh->snapshot, list_make1(w->changes));

	w->t.fresh = strata_rows_int(r, 0, 1);
	w->t.moved = strata_rows_int(r, 0, 2);
	w->t.gone = strata_rows_int(r, 0, 3);
	w->t.complete = strata_rows_int(r, 0, 4);
	w->t.overwrites = strata_rows_int(r, 0, 5);
	w->t.backfills = strata_rows_int(r, 0, 6);
	w->t.same_instant = strata_rows_int(r, 0, 7);
	w->t.too_old = strata_rows_int(r, 0, 8);
}

/* Runs come in order: what an earlier run time would say contradicts what was seen since. */
static void
refuse_past(RuntimeWork *w, TimestampTz last)
{
	StrataRows *rows;

	if (w->refresh->as_of >= last && w->t.too_old == 0)
		return;
	rows = strata_base_run_query(
		psprintf("SELECT left(to_jsonb(d.*)::text, 200) FROM (SELECT %s FROM dimension_changes LIMIT 3) AS d",
				 strata_base_join_quoted(w->s->key, ", ")),
		NULL, w->refresh->snapshot, list_make1(w->changes));
	extract_error(
		w->s, ERRCODE_INVALID_PARAMETER_VALUE,
		psprintf("the run time %s is before %s, when it was last refreshed", timestamptz_to_str(w->refresh->as_of),
				 last > w->refresh->as_of ? pstrdup(timestamptz_to_str(last)) : "the start of versions that are there"),
		rows,
		"Versions dated by the run time are made in order: run with a later as_of, or date the rows themselves with effective_from.");
}

/* Keys that come back after all their versions were closed: fixed columns have their first values. */
static bool
recall_past(RuntimeWork *w)
{
	DimensionSpec *s = w->s;
	StrataRowSet *past;
	StrataRowSet *recalled;
	StringInfoData values;
	ListCell *lc;
	bool any;

	past = strata_base_run_rowset("dimension_past",
								  psprintf("SELECT DISTINCT ON (%s) %s FROM dimension_changes AS d JOIN %s AS t ON %s"
										   " WHERE d.strata_action = 'n' AND t.%s <> 0 ORDER BY %s, t.valid_from",
										   layers_list(s->key, "t", ", "),
										   layers_list(list_concat_copy(s->key, s->fixed), "t", ", "), s->model->label,
										   layers_equal(s->model->relid, s->key, "t", "d"),
										   quote_identifier(s->surrogate), layers_list(s->key, "t", ", ")),
								  NULL, w->refresh->snapshot, list_make1(w->changes));
	any = past->count > 0;
	if (any && s->fixed != NIL)
	{
		initStringInfo(&values);
		foreach (lc, s->columns)
		{
			const char *name = quote_identifier(lfirst(lc));

			if (strata_base_list_has(s->fixed, lfirst(lc)))
				appendStringInfo(&values, ", CASE WHEN p.strata_past THEN p.%s ELSE d.%s END AS %s", name, name, name);
			else
				appendStringInfo(&values, ", d.%s", name);
		}
		recalled = strata_base_run_rowset(
			"dimension_changes",
			psprintf(
				"SELECT d.strata_action, d.strata_overwrites, d.strata_ctid, d.strata_surrogate, d.strata_since%s"
				"  FROM dimension_changes AS d LEFT JOIN (SELECT true AS strata_past, p.* FROM dimension_past AS p) AS p"
				"    ON d.strata_action = 'n' AND %s ORDER BY %s",
				values.data, layers_equal(s->model->relid, s->key, "p", "d"), layers_list(s->key, "d", ", ")),
			NULL, w->refresh->snapshot, list_make2(w->changes, past));
		strata_rowset_free(w->changes);
		w->changes = recalled;
	}
	strata_rowset_free(past);
	return any;
}

/* Overwritten columns take the present value in every version of the key. */
static int64
overwrite(RuntimeWork *w)
{
	DimensionSpec *s = w->s;

	return run(
		w,
		psprintf(
			"UPDATE %s AS t SET (%s) = ROW(%s) FROM dimension_changes AS d WHERE %s AND t.%s <> 0"
			" AND d.strata_action <> 'g' AND (d.strata_overwrites OR d.strata_action IN ('n', 'c')) AND $1 IS NOT NULL AND %s",
			s->model->label, strata_base_join_quoted(s->overwrite, ", "), layers_list(s->overwrite, "d", ", "),
			layers_equal(s->model->relid, s->key, "t", "d"), quote_identifier(s->surrogate),
			layers_image_differs(s->overwrite, "t", "d")));
}

/* A column that had history and is now overwritten: the last version's value goes to all. */
static int64
level(RuntimeWork *w)
{
	DimensionSpec *s = w->s;

	return strata_base_run(
		psprintf(
			"UPDATE %s AS t SET (%s) = ROW(%s) FROM (SELECT DISTINCT ON (%s) d.* FROM %s AS d WHERE d.%s <> 0 ORDER BY %s, d.valid_from DESC) AS d"
			" WHERE %s AND t.%s <> 0 AND %s",
			s->model->label, strata_base_join_quoted(s->overwrite, ", "), layers_list(s->overwrite, "d", ", "),
			layers_list(s->key, "d", ", "), s->model->label, quote_identifier(s->surrogate),
			layers_list(s->key, "d", ", "), layers_equal(s->model->relid, s->key, "t", "d"),
			quote_identifier(s->surrogate), layers_image_differs(s->overwrite, "t", "d")),
		NULL, w->refresh->snapshot, NIL);
}

/* Current rows that change in place: completed inferred members, same-instant changes, columns that gained history. */
static int64
amend(RuntimeWork *w, const List *columns, const char *condition)
{
	if (columns == NIL)
		return 0;
	return run(w, psprintf("UPDATE %s AS t SET (%s) = ROW(%s) FROM dimension_changes AS d"
						   " WHERE t.%s = d.strata_surrogate AND (%s) AND $1 IS NOT NULL AND %s",
						   w->s->model->label, strata_base_join_quoted(columns, ", "), layers_list(columns, "d", ", "),
						   quote_identifier(w->s->surrogate), condition, layers_image_differs(columns, "t", "d")));
}

/* New versions, with the next surrogate keys; a run repeated at its very time finds those it gave before in the key map. */
static int64
open_versions(RuntimeWork *w)
{
	DimensionSpec *s = w->s;
	char *opens = psprintf("d.strata_action IN ('n', 'v', 'r'%s) AND (d.strata_since IS NULL OR d.strata_since < $1)",
						   w->mark ? ", 'g'" : "");
	char *key = strata_base_join_quoted(s->key, ", ");
	char *number = "$2 + row_number() OVER ()";
	char *known = "";
	StrataRows *last = strata_base_run_query(psprintf("SELECT coalesce(max(strata_surrogate), 0) FROM %s", s->keys),
											 NULL, w->refresh->snapshot, NIL);
	StrataArgs args = w->as_of;

	strata_args_int8(&args, strata_rows_int(last, 0, 1));
	if (w->again)
	{
		known = psprintf(" LEFT JOIN %s AS k ON %s AND k.valid_from = $1", s->keys,
						 layers_equal(s->model->relid, s->key, "k", "d"));
		strata_base_run(
			psprintf("INSERT INTO %s (%s, valid_from, strata_surrogate) SELECT %s, $1, %s FROM dimension_changes AS d%s"
					 " WHERE %s AND k.strata_surrogate IS NULL",
					 s->keys, key, layers_list(s->key, "d", ", "), number, known, opens),
			&args, w->refresh->snapshot, list_make1(w->changes));
		number = "k.strata_surrogate + 0 * $2";
	}
	else
		layers_dimension_map(s,
							 psprintf("SELECT %s, $1, %s, false FROM dimension_changes AS d WHERE %s",
									  layers_list(s->key, "d", ", "), number, opens),
							 &args, w->refresh, w->changes);
	if (s->model->applied_version == 0 && !w->mark && w->changes->count >= STRATA_DELTA_BULK_ROWS)
	{
		List *columns = list_concat_copy(list_make1(s->surrogate), s->columns);
		StrataRowSet *first =
			strata_base_run_rowset("dimension_first",
								   psprintf("SELECT %s, %s, $1, true FROM dimension_changes AS d%s WHERE %s", number,
											layers_list(s->columns, "d", ", "), known, opens),
								   &args, w->refresh->snapshot, list_make1(w->changes));
		bool loaded = layers_dimension_load(s, NULL, lappend(lappend(columns, "valid_from"), "is_current"), first);
		int64 count = first->count;

		strata_rowset_free(first);
		if (loaded)
			return count;
	}
	return strata_base_run(
		psprintf(
			"INSERT INTO %s (%s, %s, valid_from, is_current%s) SELECT %s, %s, $1, true%s FROM dimension_changes AS d%s WHERE %s",
			s->model->label, quote_identifier(s->surrogate), strata_base_join_quoted(s->columns, ", "),
			w->mark ? ", is_deleted" : "", number, layers_list(s->columns, "d", ", "),
			w->mark ? ", d.strata_action = 'g'" : "", known, opens),
		&args, w->refresh->snapshot, list_make1(w->changes));
}

static int64
live_keys(RuntimeWork *w)
{
	DimensionSpec *s = w->s;

	return strata_rows_int(
		strata_base_run_query(
			psprintf(
				"SELECT count(*) FROM %s AS t WHERE t.is_current AND t.%s <> 0%s%s", s->model->label,
				quote_identifier(s->surrogate), w->mark ? " AND NOT t.is_deleted" : "",
				w->inferred
					? psprintf(
						  " AND NOT EXISTS (SELECT 1 FROM %s AS k WHERE k.strata_inferred AND k.strata_surrogate = t.%s)",
						  s->keys, quote_identifier(s->surrogate))
					: ""),
			NULL, w->refresh->snapshot, NIL),
		0, 1);
}

/* Versions that began at this very instant: changed in place, since no interval lies between. */
static void
same_instant(RuntimeWork *w, StrataRefreshResult *result)
{
	DimensionSpec *s = w->s;
	List *columns = layers_without(layers_without(s->columns, s->key), s->fixed);

	result->counts.updated += amend(w, columns, "d.strata_since = $1 AND d.strata_action IN ('v', 'r')");
	if (w->mark)
		result->counts.updated += run(
			w, psprintf("UPDATE %s AS t SET is_deleted = (d.strata_action = 'g') FROM dimension_changes AS d"
						" WHERE t.%s = d.strata_surrogate AND d.strata_since = $1 AND d.strata_action IN ('g', 'r')",
						s->model->label, quote_identifier(s->surrogate)));
	else
		result->counts.deleted +=
			run(w, psprintf("DELETE FROM %s AS t USING dimension_changes AS d"
							" WHERE t.%s = d.strata_surrogate AND d.strata_since = $1 AND d.strata_action = 'g'",
							s->model->label, quote_identifier(s->surrogate)));
}

static void
apply_changes(RuntimeWork *w, bool returning, StrataRefreshResult *result)
{
	DimensionSpec *s = w->s;
	StrataDeltaCounts *c = &result->counts;

	/* first, while row addresses are those that were read */
	if (w->t.moved > w->t.same_instant)
		c->updated += run(
			w, psprintf("UPDATE %s AS t SET valid_to = $1, is_current = false FROM dimension_changes AS d"
						" WHERE t.ctid = d.strata_ctid AND d.strata_action IN ('v', 'r', 'g') AND d.strata_since < $1",
						s->model->label));
	if (w->t.same_instant > 0)
		same_instant(w, result);
	if (w->t.complete > 0)
	{
		c->updated += amend(w, layers_without(s->columns, s->key), "d.strata_action = 'c'");
		run(w, psprintf("UPDATE %s AS k SET strata_inferred = false FROM dimension_changes AS d"
						" WHERE d.strata_action = 'c' AND k.strata_surrogate = d.strata_surrogate AND $1 IS NOT NULL",
						s->keys));
	}
	if (s->overwrite != NIL && (w->t.overwrites > 0 || returning))
		c->updated += overwrite(w);
	if (w->t.backfills > 0 && w->backfill != NIL)
		c->updated += amend(w, w->backfill, "d.strata_action = 'o'");
	if (w->t.fresh + w->t.moved > 0)
		c->inserted += open_versions(w);
}

static bool
has_inferred(const DimensionSpec *s, Snapshot snapshot)
{
	return strata_base_run_query(psprintf("SELECT 1 FROM %s AS k WHERE k.strata_inferred LIMIT 1", s->keys), NULL,
								 snapshot, NIL)
			   ->count > 0;
}

void
layers_dimension_refresh_runtime(DimensionSpec *s, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	RuntimeWork w = {s, refresh};
	TimestampTz last = Max(s->model->refreshed_at, s->model->changed_at);
	StrataRowSet *extract = layers_dimension_extract(s, s->key, refresh, result);
	bool returning = false;

	strata_args_time(&w.as_of, refresh->as_of);
	w.backfill = strata_registry_backfill(s->model->id);
	w.mark = s->deletes && strcmp(s->deletes, "mark") == 0;
	w.inferred = has_inferred(s, refresh->snapshot);
	if (s->overwrite != NIL && s->model->applied_version > 0 &&
		(refresh->whole || s->model->applied_version < s->model->version))
		result->counts.updated += level(&w);
	w.changes = strata_base_run_lookups("dimension_changes", changes_query(&w), refresh->snapshot,
										layers_dimension_rowsets(s, list_make1(extract)));
	strata_rowset_free(extract);
	if (w.changes->count > 0)
	{
		count_changes(&w);
		/* no run yet: nothing to be earlier than */
		w.again = s->model->applied_version > 0 && refresh->as_of <= last;
		if (w.t.gone > 0)
			layers_dimension_guard(s, w.t.gone, live_keys(&w), refresh);
		refuse_past(&w, s->model->applied_version > 0 ? last : refresh->as_of);
		if (w.t.fresh > 0)
			returning = recall_past(&w);
		apply_changes(&w, returning, result);
	}
	strata_rowset_free(w.changes);
}

/* ---- verification ---- */

/* What a refresh would change, by the query it finds that with: the rows as they would be, and as they are. */
static void
verify_current(DimensionSpec *s, VerifyWork *work)
{
	StrataRefresh refresh = {work->how->snapshot};
	StrataRefreshResult ignored = {{0}};
	RuntimeWork w = {s, &refresh};
	VerifyPart part = {0};
	StrataRowSet *extract;

	s->only = layers_verify_share(work, s->key, "q");
	w.only = layers_verify_share(work, s->key, "t");
	extract = layers_dimension_extract(s, s->key, &refresh, &ignored);
	w.backfill = strata_registry_backfill(s->model->id);
	w.mark = s->deletes && strcmp(s->deletes, "mark") == 0;
	w.inferred = has_inferred(s, refresh.snapshot);
	w.changes =
		strata_base_run_rowset("dimension_changes", changes_query(&w), NULL, refresh.snapshot, list_make1(extract));
	work->result->checked += extract->count;
	strata_rowset_free(extract);
	part.wanted = psprintf("SELECT %s FROM dimension_changes AS d WHERE d.strata_action <> 'g'",
						   layers_list(s->columns, "d", ", "));
	part.present = psprintf("SELECT t.* FROM dimension_changes AS d JOIN %s AS t ON t.%s = d.strata_surrogate",
							s->model->label, quote_identifier(s->surrogate));
	part.differences = part.uncounted = part.share_inside = true;
	part.key = s->key;
	part.rowsets = list_make1(w.changes);
	layers_verify_part(work, &part);
	strata_rowset_free(w.changes);
}

/* The versions among themselves: what holds whatever the query gives. */
void
layers_dimension_verify_runtime(DimensionSpec *s, VerifyWork *work)
{
	const char *surrogate = quote_identifier(s->surrogate);
	char *key = layers_list(s->key, "t", ", ");
	VerifyPart part = {0};

	verify_current(s, work);
	part.uncounted = true;
	part.key = s->key;
	part.of = "intervals of versions";
	part.differences = true;
	part.wanted = psprintf("SELECT t.* FROM %s AS t WHERE false", s->model->label);
	part.present = psprintf(
		"SELECT t.%s, %s, t.valid_from, t.valid_to, t.is_current FROM (SELECT t.*, lead(t.valid_from) OVER (PARTITION BY %s"
		" ORDER BY t.valid_from, t.valid_to) AS strata_next FROM %s AS t WHERE t.%s <> 0) AS t\n"
		" WHERE t.valid_to <= t.valid_from OR t.is_current IS DISTINCT FROM (t.valid_to IS NULL)"
		" OR t.strata_next < coalesce(t.valid_to, 'infinity')",
		surrogate, key, key, s->model->label, surrogate);
	layers_verify_part(work, &part);
	part.of = "surrogate keys";
	part.present =
		psprintf("SELECT t.%s, %s, t.valid_from FROM %s AS t LEFT JOIN %s AS k ON %s AND k.valid_from = t.valid_from\n"
				 " WHERE t.%s <> 0 AND k.strata_surrogate IS DISTINCT FROM t.%s",
				 surrogate, key, s->model->label, s->keys, layers_equal(s->model->relid, s->key, "k", "t"), surrogate,
				 surrogate);
	layers_verify_part(work, &part);
	if (s->overwrite == NIL)
		return;
	part.of = "overwritten columns of versions that are past";
	part.differences = false;
	part.wanted =
		psprintf("SELECT t.%s, %s, %s FROM %s AS t JOIN (SELECT DISTINCT ON (%s) t.* FROM %s AS t WHERE t.%s <> 0"
				 " ORDER BY %s, t.valid_from DESC) AS d ON %s WHERE t.%s <> 0 AND NOT t.is_current",
				 surrogate, key, layers_list(s->overwrite, "d", ", "), s->model->label, key, s->model->label, surrogate,
				 key, layers_equal(s->model->relid, s->key, "t", "d"), surrogate);
	part.present = psprintf("SELECT t.%s, %s, %s FROM %s AS t WHERE t.%s <> 0 AND NOT t.is_current", surrogate, key,
							layers_list(s->overwrite, "t", ", "), s->model->label, surrogate);
	layers_verify_part(work, &part);
}
