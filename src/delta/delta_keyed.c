/*
 * delta_keyed.c: differences by key.
 *
 * One statement joins the query's rows with the target's by key; its rows stream through a receiver that compares
 * images in C and keeps only what differs. A bitmap over the target's row addresses tells when two rows of the query
 * meet the same row of the target: that is a broken key even when both equal the row that is there.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "delta/delta_internal.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define N_LEAD 3              /* new row present, ctid, tableoid */
#define MOST_SHOWN_COLUMNS 50 /* of a row in a message: more are cut to the key */
#define WORDS_PER_PAGE ((MaxHeapTuplesPerPage + 63) / 64)

typedef struct PageKey
{
	Oid table;
	BlockNumber block;
} PageKey;

typedef struct PageBits
{
	PageKey key;
	uint64 seen[WORDS_PER_PAGE];
} PageBits;

typedef struct Receiver
{
	DestReceiver pub;
	DeltaWork *work;
	MemoryContext context; /* outlives a row */
	MemoryContext row;     /* reset per row: detoasted copies made while comparing */
	int ncolumns;
	TupleDesc desc; /* of the joined row */
	HTAB *seen;
	StrataRowSet *deletes;
	StrataRowSet *updates;
	StrataRowSet *inserts;
	int64 kept;      /* matched rows of the target, changed or not */
	char *duplicate; /* text of the first key met twice */
} Receiver;

static TupleDesc
rowset_desc(Receiver *r, bool with_columns)
{
	TupleDesc desc = CreateTemplateTupleDesc(2 + (with_columns ? r->ncolumns : 0));

	TupleDescInitEntry(desc, 1, "strata_ctid", TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, "strata_table", OIDOID, -1, 0);
	for (int i = 0; with_columns && i < r->ncolumns; i++)
	{
		TupleDescCopyEntry(desc, 3 + i, r->desc, N_LEAD + i + 1);
		namestrcpy(&TupleDescAttr(desc, 2 + i)->attname, list_nth(r->work->target->columns, i));
	}
	return desc;
}

static void
startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Receiver *r = (Receiver *) self;
	MemoryContext old = MemoryContextSwitchTo(r->context);
	HASHCTL ctl = {0};

	r->desc = CreateTupleDescCopy(desc);
	delta_check_types(r->work, desc, N_LEAD);
	r->deletes = strata_rowset_create("delta_delete", rowset_desc(r, false));
	r->updates = strata_rowset_create("delta_update", rowset_desc(r, true));
	r->inserts = strata_rowset_create("delta_insert", rowset_desc(r, true));
	ctl.keysize = sizeof(PageKey);
	ctl.entrysize = sizeof(PageBits);
	ctl.hcxt = r->context;
	r->seen = hash_create("strata delta pages", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	MemoryContextSwitchTo(old);
}

/* True when this row of the target was met before. */
static bool
met_before(Receiver *r, Oid table, ItemPointer tid)
{
	PageKey key = {table, ItemPointerGetBlockNumber(tid)};
	int bit = ItemPointerGetOffsetNumber(tid) - 1;
	bool found;
	PageBits *page = hash_search(r->seen, &key, HASH_ENTER, &found);

	if (!found)
		memset(page->seen, 0, sizeof(page->seen));
	if (page->seen[bit / 64] & (UINT64CONST(1) << (bit % 64)))
		return true;
	page->seen[bit / 64] |= UINT64CONST(1) << (bit % 64);
	return false;
}

/* (a, b) = (1, x) for a message */
static char *
key_text(Receiver *r, Datum *values, bool *nulls)
{
	const StrataDeltaTarget *t = r->work->target;
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "(%s) = (", strata_base_join(t->key, ", "));
	foreach (lc, t->key)
	{
		int i = 0;
		Oid output;
		bool varlena;

		while (strcmp(list_nth(t->columns, i), lfirst(lc)) != 0)
			i++;
		if (foreach_current_index(lc) > 0)
			appendStringInfoString(&buf, ", ");
		if (nulls[N_LEAD + i])
		{
			appendStringInfoString(&buf, "NULL");
			continue;
		}
		getTypeOutputInfo(TupleDescAttr(r->desc, N_LEAD + i)->atttypid, &output, &varlena);
		appendStringInfoString(&buf, OidOutputFunctionCall(output, values[N_LEAD + i]));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

static bool
same_row(Receiver *r, Datum *values, bool *nulls)
{
	for (int i = 0; i < r->ncolumns; i++)
	{
		int n = N_LEAD + i;
		int o = n + r->ncolumns;

		if (nulls[n] != nulls[o])
			return false;
		if (!nulls[n] && !strata_base_image_same(TupleDescAttr(r->desc, n), values[n], values[o]))
			return false;
	}
	return true;
}

static void
put(StrataRowSet *set, Receiver *r, Datum *values, bool *nulls)
{
	/* ctid and tableoid stand right before the new row's columns in the joined row */
	strata_rowset_put(set, values + 1, nulls + 1);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver *r = (Receiver *) self;
	Datum *values;
	bool *nulls;
	MemoryContext old;

	slot_getallattrs(slot);
	values = slot->tts_values;
	nulls = slot->tts_isnull;
	if (!nulls[0])
		r->work->counts->rows_in++;
	if (nulls[0])
	{
		put(r->deletes, r, values, nulls);
		return true;
	}
	old = MemoryContextSwitchTo(r->row);
	if (nulls[1])
		put(r->inserts, r, values, nulls);
	else
	{
		if (met_before(r, DatumGetObjectId(values[2]), (ItemPointer) DatumGetPointer(values[1])) &&
			r->duplicate == NULL)
		{
			MemoryContextSwitchTo(r->context);
			r->duplicate = key_text(r, values, nulls);
			MemoryContextSwitchTo(r->row);
		}
		r->kept++;
		if (!same_row(r, values, nulls))
			put(r->updates, r, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(r->row);
	return true;
}

static void
noop(DestReceiver *self)
{
}

static char *
prefixed(const List *columns, const char *prefix)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, columns)
		appendStringInfo(&buf, "%s%s.%s", foreach_current_index(lc) > 0 ? ", " : "", prefix,
						 quote_identifier(lfirst(lc)));
	return buf.data;
}

static char *
join_statement(const DeltaWork *work)
{
	const StrataDeltaTarget *t = work->target;
	StringInfoData on;
	ListCell *lc;

	initStringInfo(&on);
	foreach (lc, t->key)
		appendStringInfo(&on, "%sn.%s %s o.%s", foreach_current_index(lc) > 0 ? " AND " : "",
						 quote_identifier(lfirst(lc)),
						 strata_base_equality(get_atttype(t->relid, get_attnum(t->relid, lfirst(lc)))),
						 quote_identifier(lfirst(lc)));
	return psprintf("SELECT n.strata_new, o.strata_ctid, o.strata_table, %s, %s\n"
					"  FROM (SELECT true AS strata_new, q.* FROM (%s) AS q (%s)) AS n\n"
					"  FULL JOIN (SELECT o.ctid AS strata_ctid, o.tableoid AS strata_table, %s FROM %s AS o%s%s) AS o\n"
					"    ON %s",
					prefixed(t->columns, "n"), prefixed(t->columns, "o"), work->query,
					strata_base_join_quoted(t->columns, ", "), prefixed(t->columns, "o"), t->label,
					t->scope ? " WHERE " : "", t->scope ? t->scope : "", on.data);
}

void
delta_check_key(const DeltaWork *work, const char *relation, List *rowsets)
{
	const StrataDeltaTarget *t = work->target;
	char *keys = strata_base_join_quoted(t->key, ", ");
	char *row = list_length(t->columns) > MOST_SHOWN_COLUMNS ? keys : strata_base_join_quoted(t->columns, ", ");
	const struct
	{
		const char *problem;
		const char *lead;
		char *query;
	} tries[] = {
		{"null", "Rows: ",
		 psprintf("SELECT %s FROM %s WHERE %s IS NULL", row, relation,
				  strata_base_join_quoted(t->key, " IS NULL OR "))},
		{"duplicate", "Seen: ",
		 psprintf("SELECT %s, count(*) AS rows FROM %s GROUP BY %s HAVING count(*) > 1", keys, relation, keys)},
	};

	for (int i = 0; i < (int) lengthof(tries); i++)
	{
		StrataRows *rows = strata_base_run_query(
			psprintf("SELECT left(to_jsonb(d.*)::text, 300) FROM (%s LIMIT 5) AS d", tries[i].query), NULL,
			work->snapshot, rowsets);
		StringInfoData detail;

		if (rows->count == 0)
			continue;
		initStringInfo(&detail);
		for (uint64 n = 0; n < rows->count; n++)
			appendStringInfo(&detail, "%s%s", n == 0 ? tries[i].lead : "; ", strata_rows_text(rows, n, 1));
		delta_key_error(work, tries[i].problem, detail.data);
	}
}

/*
 * A second unique index, which the order of row changes could break for a moment though the end state is right. Where
 * foreign keys of the user's refer to the table, its rows cannot go for a moment: then they are updated in place.
 */
static bool
must_split(const StrataDeltaTarget *t)
{
	Relation rel = table_open(t->relid, NoLock);
	List *indexes = RelationGetIndexList(rel);
	bool unique = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		unique = unique ||
				 ((index->rd_index->indisunique || index->rd_index->indisexclusion) && !index->rd_index->indisprimary);
		index_close(index, NoLock);
	}
	for (int i = 0; unique && rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];

		unique = trigger->tgenabled == TRIGGER_DISABLED || RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_PK;
	}
	table_close(rel, NoLock);
	return unique;
}

/* A rule or a BEFORE trigger of the user's that swallows rows would leave the target other than its query, unseen. */
static void
require_written(const StrataDeltaTarget *t, uint64 written, uint64 planned)
{
	if (written != planned)
		ereport(ERROR, (errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
						errmsg("only " UINT64_FORMAT " of " UINT64_FORMAT " rows of %s were written", written, planned,
							   t->label),
						errdetail("A rule or a trigger on it suppressed the others, and it would not equal its query."),
						errhint("Drop the rule or the trigger; filter rows in the model's query instead.")));
}

static void
apply(DeltaWork *work, Receiver *r)
{
	const StrataDeltaTarget *t = work->target;
	char *columns = strata_base_join_quoted(t->columns, ", ");
	bool partitioned = get_rel_relkind(t->relid) == RELKIND_PARTITIONED_TABLE;
	const char *same_table = partitioned ? " AND t.tableoid = d.strata_table" : "";
	bool split = r->updates->count > 0 && must_split(t);

	if (r->deletes->count > 0)
		require_written(
			t,
			strata_base_run(psprintf("DELETE FROM %s AS t USING delta_delete AS d WHERE t.ctid = d.strata_ctid%s",
									 t->label, same_table),
							NULL, work->snapshot, list_make1(r->deletes)),
			r->deletes->count);
	if (r->updates->count > 0 && split)
		require_written(
			t,
			strata_base_run(psprintf("DELETE FROM %s AS t USING delta_update AS d WHERE t.ctid = d.strata_ctid%s",
									 t->label, same_table),
							NULL, work->snapshot, list_make1(r->updates)),
			r->updates->count);
	else if (r->updates->count > 0)
		require_written(
			t,
			strata_base_run(
				psprintf("UPDATE %s AS t SET (%s) = ROW(%s) FROM delta_update AS d WHERE t.ctid = d.strata_ctid%s",
						 t->label, columns, prefixed(t->columns, "d"), same_table),
				NULL, work->snapshot, list_make1(r->updates)),
			r->updates->count);
	if (split)
		require_written(
			t,
			strata_base_run(psprintf("INSERT INTO %s (%s) SELECT %s FROM delta_update", t->label, columns, columns),
							NULL, work->snapshot, list_make1(r->updates)),
			r->updates->count);
	if (r->inserts->count > 0)
	{
		delta_check_key(work, "delta_insert", list_make1(r->inserts));
		require_written(
			t,
			strata_base_run(psprintf("INSERT INTO %s (%s) SELECT %s FROM delta_insert", t->label, columns, columns),
							NULL, work->snapshot, list_make1(r->inserts)),
			r->inserts->count);
	}
}

void
delta_keyed(DeltaWork *work)
{
	const StrataDeltaTarget *t = work->target;
	Receiver r = {0};
	int64 changed;

	r.pub.receiveSlot = receive;
	r.pub.rStartup = startup;
	r.pub.rShutdown = noop;
	r.pub.rDestroy = noop;
	r.pub.mydest = DestTuplestore;
	r.work = work;
	r.context = CurrentMemoryContext;
	r.row = AllocSetContextCreate(CurrentMemoryContext, "strata delta row", ALLOCSET_SMALL_SIZES);
	r.ncolumns = list_length(t->columns);
	strata_base_run_into(join_statement(work), work->args, work->snapshot, work->rowsets, (DestReceiver *) &r);
	if (r.duplicate)
		delta_key_error(work, "duplicate", psprintf("Seen twice or more: %s.", r.duplicate));

	work->counts->deleted = r.deletes->count;
	work->counts->updated = r.updates->count;
	work->counts->inserted = r.inserts->count;
	changed = r.deletes->count + r.updates->count + r.inserts->count;
	/* where nearly all changes, writing the table anew is cheaper than changing its rows */
	if (changed > 20000 && changed > strata_delta_swap_share * (r.kept + r.deletes->count) &&
		r.kept + r.deletes->count > 0 && t->scope == NULL && delta_swap_possible(t))
	{
		StrataDeltaCounts counts = *work->counts;

		if (delta_swap(work))
		{
			counts.swapped = true;
			*work->counts = counts;
			changed = 0;
		}
		else
			*work->counts = counts;
	}
	if (changed > 0)
		apply(work, &r);
	strata_rowset_free(r.deletes);
	strata_rowset_free(r.updates);
	strata_rowset_free(r.inserts);
}
