/*
 * layers_verify.c: whether a target is what its query gives, row by row, reading only.
 *
 * Each layer says which rows there must be (with the very SQL that its refresh runs) and which there are; here the two are counted
 * by image, as EXCEPT ALL both ways does. Only when something differs is the query run once more, to count that and to show some rows.
 */
#include "postgres.h"

#include <math.h>

#include "layers/layers_internal.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* Rows shown of each side. */
#define SAMPLE_ROWS 10
/* Hashes are cut to so many bits: shares down to a billionth. */
#define SHARE_BITS 30

/* Equal values of these columns have equal hashes, however they are spelled. */
static bool
is_hashable(const StrataModel *model, const List *key)
{
	bool hashable = key != NIL;
	ListCell *lc;

	foreach (lc, key)
	{
		Oid type = get_atttype(model->relid, get_attnum(model->relid, lfirst(lc)));

		if (!OidIsValid(lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC)->hash_extended_proc))
			hashable = false;
	}
	return hashable;
}

/* By value where that can be: then a key is in the share on both sides or on none. Else by the row's image. */
static char *
hash_of(const StrataModel *model, const List *key, const char *alias, int64 seed)
{
	if (is_hashable(model, key))
		return psprintf("hash_record_extended(ROW(%s), " INT64_FORMAT ")", layers_list(key, alias, ", "), seed);
	return psprintf("hash_record_extended(ROW(strata_state.row_image(%s.*)), " INT64_FORMAT ")", alias, seed);
}

static char *
in_share(const VerifyWork *work, const List *key, const char *alias)
{
	return psprintf("(%s & %d) < " INT64_FORMAT, hash_of(work->model, key, alias, work->how->seed),
					(1 << SHARE_BITS) - 1, (int64) ceil(work->how->share * (1 << SHARE_BITS)));
}

char *
layers_verify_share(const VerifyWork *work, const List *key, const char *alias)
{
	return work->how->share < 1 && is_hashable(work->model, key) ? in_share(work, key, alias) : NULL;
}

/*
 * "(rows) AS q", those of the share. The planner takes the condition inside, below a grouping too, where values that are equal must not be
 * told apart by their images; and there it may choose another plan. OFFSET 0 keeps it outside.
 */
static char *
side(const VerifyWork *work, const VerifyPart *part, const char *rows, bool inside)
{
	char *share;

	if (part->share_inside || work->how->share >= 1)
		return psprintf("(%s) AS q", rows);
	share = in_share(work, part->key, "q");
	if (inside && is_hashable(work->model, part->key))
		return psprintf("(%s) AS q WHERE %s", rows, share);
	return psprintf("(SELECT q.* FROM (%s) AS q OFFSET 0) AS q WHERE %s", rows, share);
}

static StrataRows *
select_rows(const VerifyWork *work, const char *sql, List *rowsets)
{
	return strata_base_run_query(sql, NULL, work->how->snapshot, rowsets);
}

/* ---- the rows to show ---- */

typedef struct Selection
{
	const VerifyWork *work;
	const char *sql;
	List *rowsets;
	StrataRows *rows;
} Selection;

static void
run_selection(void *arg)
{
	Selection *s = arg;

	s->rows = select_rows(s->work, s->sql, s->rowsets);
}

static bool
is_of_data(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION;
}

/* NULL when the statement fails: json may hold what jsonb cannot, and that rows differ must be told even so. */
static StrataRows *
try_rows(const VerifyWork *work, const char *sql, List *rowsets)
{
	Selection s = {work, sql, rowsets, NULL};

	return strata_base_attempt(run_selection, &s, is_of_data) ? NULL : s.rows;
}

/* rows: SELECT of strata_row, strata_order, strata_image. Pairs of one key stand at the same place of both sides. */
static void
show(VerifyWork *work, const VerifyPart *part, const char *name, int64 shown, const char *rows, List *rowsets)
{
	StrataVerifyResult *r = work->result;
	StrataRows *found;
	Jsonb *sample;

	if (shown >= SAMPLE_ROWS)
		return;
	found = try_rows(
		work,
		psprintf(
			"SELECT jsonb_agg(jsonb_build_object('side', %s%s%s, 'row', w.strata_row) ORDER BY w.strata_order, w.strata_image)\n"
			"  FROM (SELECT w.* FROM (%s) AS w ORDER BY w.strata_order, w.strata_image LIMIT " INT64_FORMAT ") AS w",
			strata_base_literal(name), part->of ? ", 'of', " : "", part->of ? strata_base_literal(part->of) : "", rows,
			SAMPLE_ROWS - shown),
		rowsets);
	sample = found ? strata_rows_jsonb(found, 0, 1) : NULL;
	if (sample == NULL)
		return;
	r->sample =
		r->sample == NULL
			? sample
			: DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(r->sample), JsonbPGetDatum(sample)));
}

static char *
order_of(const VerifyWork *work, const VerifyPart *part)
{
	return part->key == NIL ? pstrdup("0") : hash_of(work->model, part->key, "q", 0);
}

static char *
surplus_rows(const VerifyWork *work, const VerifyPart *part, const char *rows, int sign)
{
	return psprintf(
		"SELECT w.* FROM (SELECT to_jsonb(q.*) AS strata_row, %s AS strata_order, i.image AS strata_image, i.surplus AS strata_surplus,\n"
		"                         row_number() OVER (PARTITION BY i.image) AS strata_nth\n"
		"                    FROM %s AS q JOIN verify_images AS i ON i.image = strata_state.row_image(q.*) AND %d * i.surplus > 0) AS w\n"
		" WHERE w.strata_nth <= %d * w.strata_surplus",
		order_of(work, part), rows, sign, sign);
}

/* ---- comparing ---- */

/* "every image, with its count on both sides" */
static char *
images(const char *wanted, const char *present)
{
	return psprintf(
		"(SELECT strata_state.row_image(q.*) AS image, count(*) AS rows FROM %s GROUP BY 1) AS n\n"
		"  FULL JOIN (SELECT strata_state.row_image(q.*) AS image, count(*) AS rows FROM %s GROUP BY 1) AS o USING (image)",
		wanted, present);
}

/*
 * The rows once more, as the query gives them when it is run alone, as a refresh runs it: where its result hangs on the plan (which of
 * 1.0 and 1.00 stands for its group), another plan's result is no difference.
 */
static void
count_and_show(VerifyWork *work, const VerifyPart *part)
{
	StrataVerifyResult *r = work->result;
	StrataVerifyResult before = *r;
	char *present = side(work, part, part->present, true);
	StrataRowSet *wanted =
		strata_base_run_rowset("verify_wanted", psprintf("SELECT q.* FROM %s", side(work, part, part->wanted, false)),
							   NULL, work->how->snapshot, part->rowsets);
	StrataRowSet *differing;
	StrataRows *counts;
	List *rowsets;

	rowsets = list_concat(list_make1(wanted), part->rowsets);
	differing = strata_base_run_rowset(
		"verify_images",
		psprintf(
			"SELECT image, coalesce(n.rows, 0) - coalesce(o.rows, 0) AS surplus\n  FROM %s\n WHERE n.rows IS DISTINCT FROM o.rows",
			images("verify_wanted AS q", present)),
		NULL, work->how->snapshot, rowsets);
	rowsets = lappend(rowsets, differing);
	counts = select_rows(work,
						 "SELECT coalesce(sum(greatest(surplus, 0)), 0)::bigint,"
						 " coalesce(sum(greatest(-surplus, 0)), 0)::bigint FROM verify_images",
						 rowsets);
	r->missing += strata_rows_int(counts, 0, 1);
	r->unexpected += strata_rows_int(counts, 0, 2);
	show(work, part, "missing", before.missing, surplus_rows(work, part, "verify_wanted", 1), rowsets);
	show(work, part, "unexpected", before.unexpected,
		 surplus_rows(work, part, psprintf("(SELECT q.* FROM %s)", present), -1), rowsets);
	strata_rowset_free(differing);
	strata_rowset_free(wanted);
}

/* First without keeping a row, and in parallel where that is possible: mostly there is nothing to find. */
static void
compare_images(VerifyWork *work, const VerifyPart *part)
{
	StrataRows *found = select_rows(
		work,
		psprintf(
			"SELECT coalesce(sum(n.rows), 0)::bigint, coalesce(bool_or(n.rows IS DISTINCT FROM o.rows), false)\n  FROM %s",
			images(side(work, part, part->wanted, true), side(work, part, part->present, true))),
		part->rowsets);

	if (!part->uncounted)
		work->result->checked += strata_rows_int(found, 0, 1);
	if (strata_rows_bool(found, 0, 2))
		count_and_show(work, part);
}

static int64
count_side(VerifyWork *work, const VerifyPart *part, const char *name, int64 shown, const char *rows)
{
	char *from = side(work, part, rows, true);
	int64 n = strata_rows_int(select_rows(work, psprintf("SELECT count(*) FROM %s", from), part->rowsets), 0, 1);

	if (n > 0)
		show(
			work, part, name, shown,
			psprintf(
				"SELECT to_jsonb(q.*) AS strata_row, %s AS strata_order, strata_state.row_image(q.*) AS strata_image FROM %s",
				order_of(work, part), from),
			part->rowsets);
	return n;
}

void
layers_verify_part(VerifyWork *work, const VerifyPart *part)
{
	StrataVerifyResult *r = work->result;
	StrataVerifyResult before = *r;

	CHECK_FOR_INTERRUPTS();
	if (part->differences)
	{
		r->missing += count_side(work, part, "missing", before.missing, part->wanted);
		r->unexpected += count_side(work, part, "unexpected", before.unexpected, part->present);
	}
	else
		compare_images(work, part);
	if (part->of && (r->missing > before.missing || r->unexpected > before.unexpected))
		r->parts =
			psprintf("%s%s in %s", r->parts ? psprintf("%s, ", r->parts) : "",
					 psprintf(INT64_FORMAT, r->missing - before.missing + r->unexpected - before.unexpected), part->of);
}

void
strata_layers_verify(StrataModel *model, const StrataVerify *verify, StrataVerifyResult *result)
{
	VerifyWork work = {model, verify, result};
	StrataIdentity saved;

	memset(result, 0, sizeof(*result));
	strata_registry_require_target(model);
	layers_require_sources(model);
	strata_base_enter_owner(model->owner, &model->settings, &saved);
	if (strcmp(model->kind, "view") != 0)
		layers_routine(model)->verify(model, &work);
	strata_base_leave(&saved);
}
