/*
 * delta_write.c: what every way of finding differences ends in: rows are deleted and updated by their address, and inserted.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "delta/delta_internal.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"

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

struct DeltaPlaces
{
	HTAB *pages;
};

DeltaPlaces *
delta_places_create(void)
{
	DeltaPlaces *places = palloc(sizeof(DeltaPlaces));
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(PageKey);
	ctl.entrysize = sizeof(PageBits);
	ctl.hcxt = CurrentMemoryContext;
	places->pages = hash_create("strata delta pages", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return places;
}

bool
delta_places_has(DeltaPlaces *places, Oid table, ItemPointer tid)
{
	PageKey key = {table, ItemPointerGetBlockNumber(tid)};
	int bit = ItemPointerGetOffsetNumber(tid) - 1;
	PageBits *page = hash_search(places->pages, &key, HASH_FIND, NULL);

	return page && (page->seen[bit / 64] & (UINT64CONST(1) << (bit % 64))) != 0;
}

/* True when it was there. */
bool
delta_places_add(DeltaPlaces *places, Oid table, ItemPointer tid)
{
	PageKey key = {table, ItemPointerGetBlockNumber(tid)};
	int bit = ItemPointerGetOffsetNumber(tid) - 1;
	bool found;
	PageBits *page = hash_search(places->pages, &key, HASH_ENTER, &found);

	if (!found)
		memset(page->seen, 0, sizeof(page->seen));
	if (page->seen[bit / 64] & (UINT64CONST(1) << (bit % 64)))
		return true;
	page->seen[bit / 64] |= UINT64CONST(1) << (bit % 64);
	return false;
}

/* (a, b) = (1, x) for a message */
char *
delta_key_text(const DeltaWork *work, TupleDesc desc, int first, Datum *values, bool *nulls)
{
	const StrataDeltaTarget *t = work->target;
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
		if (nulls[first + i])
		{
			appendStringInfoString(&buf, "NULL");
			continue;
		}
		getTypeOutputInfo(TupleDescAttr(desc, first + i)->atttypid, &output, &varlena);
		appendStringInfoString(&buf, OidOutputFunctionCall(output, values[first + i]));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

char *
strata_delta_beside(const StrataDeltaTarget *target, const char *name)
{
	char *own = pstrdup(name);

	while (strata_base_list_has(target->columns, own))
		own = psprintf("%s_", own);
	return own;
}

char *
delta_prefixed(const List *columns, const char *prefix)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, columns)
		appendStringInfo(&buf, "%s%s.%s", foreach_current_index(lc) > 0 ? ", " : "", prefix,
						 quote_identifier(lfirst(lc)));
	return buf.data;
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
		/* in an order, so that it is told alike; of jsonb, since not every type that groups sorts */
		{"duplicate", "Seen: ",
		 psprintf("SELECT * FROM (SELECT %s, count(*) AS rows FROM %s GROUP BY %s HAVING count(*) > 1) AS d "
				  "ORDER BY to_jsonb(d.*)",
				  keys, relation, keys)},
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

/* Whether an index looks at one of the columns that change (attribute numbers; NULL: any may). */
static bool
is_touched(Relation index, const Bitmapset *changed)
{
	if (changed == NULL)
		return true;
	if (!heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return true;
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
		if (bms_is_member(index->rd_index->indkey.values[i], changed))
			return true;
	return false;
}

/* Whether there is a second unique index that looks at one of the columns. */
static bool
has_unique(Relation rel, const Bitmapset *changed)
{
	List *indexes = RelationGetIndexList(rel);
	bool unique = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		unique = unique || ((index->rd_index->indisunique || index->rd_index->indisexclusion) &&
							!index->rd_index->indisprimary && is_touched(index, changed));
		index_close(index, NoLock);
	}
	return unique;
}

/*
 * A second unique index, which the order of row changes could break for a moment though the end state is right. Where
 * foreign keys of the user's refer to the table, its rows cannot go for a moment: then they are updated in place.
 */
static bool
must_split(const StrataDeltaTarget *t, const Bitmapset *changed)
{
	Relation rel = table_open(t->relid, NoLock);
	bool unique = has_unique(rel, changed);

	for (int i = 0; unique && rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];

		unique = trigger->tgenabled == TRIGGER_DISABLED || RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_PK;
	}
	table_close(rel, NoLock);
	return unique;
}

bool
strata_delta_may_keep(const StrataDeltaTarget *t)
{
	Relation rel = table_open(t->relid, AccessShareLock);
	bool unique = has_unique(rel, NULL);

	table_close(rel, NoLock);
	return !unique;
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

/* The column that tells a row's partition, where one of the target's does alone; NULL: none. */
char *
delta_partition_column(const StrataDeltaTarget *t)
{
	Relation rel;
	PartitionKey key;
	char *name = NULL;

	if (get_rel_relkind(t->relid) != RELKIND_PARTITIONED_TABLE)
		return NULL;
	rel = table_open(t->relid, NoLock);
	key = RelationGetPartitionKey(rel);
	if (key->partnatts == 1 && key->partattrs[0] > 0)
		name = get_attname(t->relid, key->partattrs[0], false);
	table_close(rel, NoLock);
	return name && strata_base_list_has(t->columns, name) && delta_has_equality(t, name) ? name : NULL;
}

/* False: it takes a statement. */
static bool
write_directly(DeltaWork *work, StrataRowSet *rows, CmdType command)
{
	int64 written = delta_direct(work->target->relid, rows, command, work->snapshot);

	if (written >= 0)
		require_written(work->target, written, rows->count);
	return written >= 0;
}

/* Addresses are of one table; of a partitioned one, of the partition that is named with them. */
static char *
same_address(const StrataDeltaTarget *t)
{
	char *same = psprintf("t.ctid = d.%s", strata_delta_beside(t, "strata_ctid"));

	if (get_rel_relkind(t->relid) != RELKIND_PARTITIONED_TABLE)
		return same;
	return psprintf("%s AND t.tableoid = d.%s", same, strata_delta_beside(t, "strata_table"));
}

/*
 * The statement (up to its conditions) for the rows at these addresses. settled: the rows have what is stored in the column that tells
 * the partition. Then each address is looked for in its partition alone, and not in every one.
 */
static void
write_at(DeltaWork *work, const char *sql, StrataRowSet *rows, bool settled)
{
	const StrataDeltaTarget *t = work->target;
	char *same = same_address(t);
	char *column = settled ? delta_partition_column(t) : NULL;
	uint64 written;

	if (column)
	{
		const char *q = quote_identifier(column);
		Oid type = get_atttype(t->relid, get_attnum(t->relid, column));
		const char *null = strata_base_is_null(type, true);

		written = strata_base_run_by_address(
			psprintf("%s WHERE %s AND t.%s %s d.%s", sql, same, q, strata_base_equality(type), q), work->snapshot,
			list_make1(rows));
		if (written < rows->count)
			written +=
				strata_base_run_by_address(psprintf("%s WHERE %s AND t.%s %s AND d.%s %s", sql, same, q, null, q, null),
										   work->snapshot, list_make1(rows));
	}
	else
		written = strata_base_run_by_address(psprintf("%s WHERE %s", sql, same), work->snapshot, list_make1(rows));
	require_written(t, written, rows->count);
}

static void
delete_rows(DeltaWork *work, StrataRowSet *rows, bool settled)
{
	if (write_directly(work, rows, CMD_DELETE))
		return;
	write_at(work, psprintf("DELETE FROM %s AS t USING %s AS d", work->target->label, quote_identifier(rows->name)),
			 rows, settled);
}

/* The columns as updates set them. */
static char *
new_values(const DeltaWork *work)
{
	const StrataDeltaTarget *t = work->target;
	List *values = NIL;
	ListCell *lc;

	foreach (lc, t->columns)
	{
		const char *q = quote_identifier(lfirst(lc));
		bool stored = work->stored && strata_base_list_has(t->unknown, lfirst(lc));

		values = lappend(values, stored ? psprintf("coalesce(d.%s, t.%s)", q, q) : psprintf("d.%s", q));
	}
	return strata_base_join(values, ", ");
}

static void
update_rows(DeltaWork *work, StrataRowSet *rows, bool settled)
{
	const StrataDeltaTarget *t = work->target;

	if (!work->stored && write_directly(work, rows, CMD_UPDATE))
		return;
	write_at(work,
			 psprintf("UPDATE %s AS t SET (%s) = ROW(%s) FROM %s AS d", t->label,
					  strata_base_join_quoted(t->columns, ", "), new_values(work), quote_identifier(rows->name)),
			 rows, settled);
}

static void
insert_rows(DeltaWork *work, StrataRowSet *rows)
{
	char *columns;

	/* behind the address */
	if (work->target->unbuilt && strata_delta_load(work->target, rows, 2, false))
		return;
	if (write_directly(work, rows, CMD_INSERT))
		return;
	columns = strata_base_join_quoted(work->target->columns, ", ");
	require_written(work->target,
					strata_base_run_by_address(psprintf("INSERT INTO %s (%s) SELECT %s FROM %s", work->target->label,
														columns, columns, quote_identifier(rows->name)),
											   work->snapshot, list_make1(rows)),
					rows->count);
}

/* Whether the updates leave the column that tells the partition as it is. */
static bool
is_settled(const StrataDeltaTarget *t, const Bitmapset *changed)
{
	char *column = changed ? delta_partition_column(t) : NULL;

	return column && !bms_is_member(get_attnum(t->relid, column), changed);
}

void
delta_write(DeltaWork *work, StrataRowSet *deletes, StrataRowSet *updates, const Bitmapset *changed,
			StrataRowSet *inserts)
{
	bool some = updates && updates->count > 0;
	bool split = some && must_split(work->target, changed);
	bool settled = some && is_settled(work->target, changed);

	/* with their columns as they are stored, or without */
	if (deletes && deletes->count > 0)
		delete_rows(work, deletes, deletes->desc->natts > 2);
	if (split)
	{
		delete_rows(work, updates, settled);
		insert_rows(work, updates);
	}
	else if (some)
		update_rows(work, updates, settled);
	if (inserts && inserts->count > 0)
		insert_rows(work, inserts);
}
