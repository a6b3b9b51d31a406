/*
 * layers_watermark.c: how the changes of declared sources are told, and what is new in those that have a watermark.
 *
 * The position of a model in such a source is the greatest loaded_at that it has seen, never beyond the run time: one that lies in the
 * future would hide all that comes before it. Rows beyond the position, less the lookback, are what has changed. It is kept as
 * timestamptz; of a timestamp and a date as the same instant in UTC, so that it comes back as it was.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "layers/layers_incremental.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define NO_POSITION DT_NOBEGIN /* nothing was seen, or -infinity only: the same */

static const char *const modes[] = {"auto", "capture", "watermark", "compare"};

int
layers_source_mode(const char *name)
{
	for (int i = 0; i < (int) lengthof(modes); i++)
		if (strcmp(modes[i], name) == 0)
			return i;
	return -1;
}

bool
layers_is_watermark_type(Oid type)
{
	type = getBaseType(type);
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/* ---- declarations ---- */

/*
 * Who may read a relation may declare it. What somebody declares decides how exact the models of others are only if they trust him: they
 * are members of that role, or the relation is his, or he is a superuser. That a superuser may do what anybody may is no trust.
 */
static bool
is_trusted(Oid definer, Oid relid, Oid owner)
{
	return OidIsValid(definer) && (superuser_arg(definer) || is_member_of_role_nosuper(owner, definer) ||
								   strata_is_table_owner(relid, definer));
}

List *
layers_declared_sources(const StrataModel *model)
{
	static const char *const columns[] = {"changes",   "schema_name", "relation_name",
										  "loaded_at", "lookback",    "defined_by"};
	StrataRows *rows = strata_table_read("source", columns, lengthof(columns), NULL, NULL, 0);
	List *sources = NIL;

	for (uint64 i = 0; i < rows->count; i++)
	{
		char *changes = strata_rows_text(rows, i, 1);
		Oid schema;
		Oid relid;
		IncrementalSource *s;
		char *loaded_at;
		bool none;
		Datum lookback;

		if (strcmp(changes, "auto") == 0 ||
			!OidIsValid(schema = get_namespace_oid(strata_rows_text(rows, i, 2), true)) ||
			!OidIsValid(relid = get_relname_relid(strata_rows_text(rows, i, 3), schema)))
			continue;
		s = palloc0(sizeof(IncrementalSource));
		loaded_at = strata_rows_text(rows, i, 4);
		lookback = strata_rows_datum(rows, i, 5, &none);
		s->relid = relid;
		s->loaded_at = loaded_at ? get_attnum(s->relid, loaded_at) : InvalidAttrNumber;
		if (s->loaded_at > 0)
			s->type = getBaseType(get_atttype(s->relid, s->loaded_at));
		s->lookback = none ? NULL : DatumGetIntervalP(datumCopy(lookback, false, sizeof(Interval)));
		if (is_trusted(get_role_oid(strata_rows_text(rows, i, 6), true), s->relid, model->owner))
			s->mode = layers_source_mode(changes);
		else
			s->ignored = strata_rows_text(rows, i, 6);
		sources = lappend(sources, s);
	}
	return sources;
}

const IncrementalSource *
layers_source_of(const IncrementalModel *m, Oid relid)
{
	ListCell *lc;

	foreach (lc, m->sources)
		if (((IncrementalSource *) lfirst(lc))->relid == relid)
			return lfirst(lc);
	return NULL;
}

bool
layers_has_watermark(const IncrementalModel *m, Oid relid)
{
	const IncrementalSource *s = layers_source_of(m, relid);

	return s && s->mode == SOURCE_WATERMARK;
}

/* Sources (Oid) whose declaration says how their changes are told; watermark: only those that have one. */
List *
layers_source_relids(const IncrementalModel *m, bool watermark)
{
	List *relids = NIL;
	ListCell *lc;

	foreach (lc, m->sources)
	{
		const IncrementalSource *s = lfirst(lc);

		if (s->mode == SOURCE_WATERMARK || (s->mode == SOURCE_COMPARE && !watermark))
			relids = lappend_oid(relids, s->relid);
	}
	return relids;
}

static char *
label_of(Oid relid)
{
	return strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

const char *
layers_source_refusal(const IncrementalModel *m, Oid relid)
{
	const IncrementalSource *s = layers_source_of(m, relid);
	const char *why;

	if (s && s->mode == SOURCE_COMPARE)
		return psprintf("its source %s is compared: changes => 'compare'", label_of(relid));
	if (s && s->mode == SOURCE_WATERMARK)
		return s->loaded_at > 0 && layers_is_watermark_type(s->type)
				   ? NULL
				   : psprintf("its source %s has lost its loaded_at", label_of(relid));
	why = strata_capture_unsupported(relid, m->model->owner);
	if (why && s && s->ignored)
		return psprintf(
			"changes of %s are not captured: %s; and what role \"%s\" declared of it does not hold for role \"%s\"",
			label_of(relid), why, s->ignored, GetUserNameFromId(m->model->owner, false));
	return why ? psprintf("changes of %s are not captured: %s", label_of(relid), why) : NULL;
}

/* ---- time ---- */

/* A value of the column as an instant, and back: of a date its beginning. */
static int64
to_instant(Oid type, Datum value)
{
	if (type == DATEOID)
		return DatumGetTimestamp(DirectFunctionCall1(date_timestamp, value));
	return DatumGetTimestamp(value);
}

static Datum
from_instant(Oid type, int64 instant)
{
	if (type == DATEOID)
		return DirectFunctionCall1(timestamp_date, TimestampGetDatum(instant));
	return TimestampGetDatum(instant);
}

/* The run time as the column would have it, in the model's time zone. */
static Datum
run_time(Oid type, TimestampTz as_of)
{
	if (type == DATEOID)
		return DirectFunctionCall1(timestamptz_date, TimestampTzGetDatum(as_of));
	if (type == TIMESTAMPOID)
		return DirectFunctionCall1(timestamptz_timestamp, TimestampTzGetDatum(as_of));
	return TimestampTzGetDatum(as_of);
}

/* Beyond which value rows are new. */
static Datum
bound(const IncrementalPosition *p)
{
	const IncrementalSource *s = p->source;
	Datum seen = TimestampGetDatum(p->seen);

	if (s->lookback)
		seen = s->type == TIMESTAMPTZOID
				   ? DirectFunctionCall2(timestamptz_mi_interval, seen, IntervalPGetDatum(s->lookback))
				   : DirectFunctionCall2(timestamp_mi_interval, seen, IntervalPGetDatum(s->lookback));
	return from_instant(s->type, DatumGetTimestamp(seen));
}

/* ---- positions ---- */

IncrementalPosition *
layers_watermark_position(const IncrementalModel *m, Oid relid)
{
	IncrementalPosition *p = palloc0(sizeof(IncrementalPosition));
	StrataArgs args = {0};
	StrataRows *rows;

	p->source = layers_source_of(m, relid);
	p->model = m->model;
	p->seen = NO_POSITION;
	strata_args_int4(&args, m->model->id);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	rows = strata_base_keeper_query(
		"SELECT seen IS NOT NULL, seen FROM strata_state.watermark WHERE model_id = $1 AND relid = $2", &args);
	p->known = rows->count > 0;
	if (p->known && strata_rows_bool(rows, 0, 1))
		p->seen = strata_rows_time(rows, 0, 2);
	return p;
}

IncrementalPosition *
layers_watermark_now(const IncrementalModel *m, Oid relid, const StrataRefresh *refresh)
{
	IncrementalPosition *p = palloc0(sizeof(IncrementalPosition));
	char *column;
	StrataArgs args = {0};
	StrataRows *rows;
	Datum value;
	bool none;

	p->source = layers_source_of(m, relid);
	p->model = m->model;
	p->known = true;
	p->seen = NO_POSITION;
	column = strata_base_quote(get_attname(relid, p->source->loaded_at, false));
	strata_args_datum(&args, p->source->type, run_time(p->source->type, refresh->as_of), false);
	rows = strata_base_run_query(
		psprintf("SELECT max(r.%s) FROM %s AS r WHERE r.%s <= $1", column, label_of(relid), column), &args,
		refresh->snapshot, NIL);
	value = strata_rows_datum(rows, 0, 1, &none);
	if (!none)
		p->seen = to_instant(p->source->type, value);
	return p;
}

void
layers_watermark_advance(const IncrementalPosition *p)
{
	StrataArgs args = {0};

	strata_args_int4(&args, p->model->id);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(p->source->relid), false);
	strata_args_datum(&args, TIMESTAMPTZOID, TimestampTzGetDatum(p->seen), p->seen == NO_POSITION);
	strata_base_keeper_execute("INSERT INTO strata_state.watermark AS w (model_id, relid, seen) VALUES ($1, $2, $3)"
							   " ON CONFLICT (model_id, relid) DO UPDATE SET seen = excluded.seen"
							   " WHERE w.seen IS DISTINCT FROM excluded.seen",
							   &args);
}

char *
layers_watermark_words(const IncrementalPosition *p)
{
	const IncrementalSource *s = p->source;
	char *column = get_attname(s->relid, s->loaded_at, false);
	Oid output;
	bool varlena;

	if (!p->known)
		return psprintf("its greatest %s seen is not known", column);
	if (p->seen == NO_POSITION)
		return psprintf("all rows that have a %s are new", column);
	getTypeOutputInfo(s->type, &output, &varlena);
	return psprintf("rows are new whose %s is %s %s; what went is not seen", column,
					s->type == DATEOID ? "not before" : "after", OidOutputFunctionCall(output, bound(p)));
}

/* ---- rows ---- */

/* SELECT of the columns (attribute numbers) and loaded_at of the rows that are new, once: a source need not stand still. */
static StrataRowSet *
read_new(const IncrementalPosition *p, const List *columns, const StrataRefresh *refresh)
{
	const IncrementalSource *s = p->source;
	char *loaded_at = strata_base_quote(get_attname(s->relid, s->loaded_at, false));
	StrataArgs args = {0};
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT r.%s AS c0", loaded_at);
	foreach (lc, columns)
		appendStringInfo(&sql, ", r.%s AS c%d", strata_base_quote(get_attname(s->relid, lfirst_int(lc), false)),
						 foreach_current_index(lc) + 1);
	appendStringInfo(&sql, "\n  FROM %s AS r\n WHERE r.%s ", label_of(s->relid), loaded_at);
	if (p->seen == NO_POSITION)
		appendStringInfoString(&sql, "IS NOT NULL");
	else
	{
		/* a day is not over with the first row that bears its date */
		appendStringInfo(&sql, "%s $1", s->type == DATEOID ? ">=" : ">");
		strata_args_datum(&args, s->type, bound(p), false);
	}
	return strata_base_run_rowset("strata_new", sql.data, &args, refresh->snapshot, NIL);
}

StrataRowSet *
layers_watermark_rowset(IncrementalPosition *p, const char *name, const Bitmapset *used, const StrataRefresh *refresh)
{
	Relation rel = relation_open(p->source->relid, AccessShareLock);
	TupleDesc desc = strata_signed_columns(RelationGetDescr(rel), false);
	bool all = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used);
	Oid type = p->source->type;
	int64 cap = to_instant(type, run_time(type, refresh->as_of));
	Datum *values = palloc0(sizeof(Datum) * Max(1, desc->natts));
	bool *nulls = palloc(sizeof(bool) * Max(1, desc->natts));
	List *columns = NIL;
	StrataRowSet *raw;
	StrataSigned *rows;
	TupleTableSlot *slot;

	for (int i = 1; i <= desc->natts; i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i - 1)->attisdropped &&
			(all || bms_is_member(i - FirstLowInvalidHeapAttributeNumber, used)))
			columns = lappend_int(columns, i);
	relation_close(rel, NoLock);
	raw = read_new(p, columns, refresh);
	rows = strata_signed_start(name, desc);
	slot = strata_rowset_rewind(raw);
	memset(nulls, true, desc->natts);
	while (strata_rowset_next(raw, slot))
	{
		ListCell *lc;
		int64 loaded;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		loaded = to_instant(type, slot->tts_values[0]);
		if (loaded <= cap)
			p->seen = Max(p->seen, loaded);
		foreach (lc, columns)
		{
			values[lfirst_int(lc) - 1] = slot->tts_values[foreach_current_index(lc) + 1];
			nulls[lfirst_int(lc) - 1] = slot->tts_isnull[foreach_current_index(lc) + 1];
		}
		strata_signed_put(rows, values, nulls, 1);
	}
	strata_rowset_free(raw);
	return strata_signed_finish(rows);
}

char *
strata_layers_watermark(const StrataModel *model)
{
	static const char *const columns[] = {"relid"};
	StrataRows *rows =
		strata_table_read("watermark", columns, lengthof(columns), "watermark_pkey", "model_id", model->id);
	Oid relid = rows->count > 0 ? strata_rows_int(rows, 0, 1) : InvalidOid;
	char *name = OidIsValid(relid) ? get_rel_name(relid) : NULL;

	return name ? strata_base_label(get_namespace_name(get_rel_namespace(relid)), name) : NULL;
}
