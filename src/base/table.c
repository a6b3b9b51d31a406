/*
 * table.c: rows of the extension's own tables, without a statement.
 *
 * For the few reads and writes that every run makes, by constant keys: a statement takes ten times as long, and is planned anew whenever its table
 * was vacuumed. As a statement of the keeper would, they see what this transaction did and, of others, what its isolation level lets it
 * see. No trigger fires and no CHECK is looked at: values are ours. Nothing is updated that another session may be updating.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/base.h"
#include "catalog/indexing.h"
#include "catalog/pg_inherits.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

Oid
strata_table_oid(const char *name)
{
	Oid relid = get_relname_relid(name, get_namespace_oid("strata_state", false));

	if (!OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation \"strata_state.%s\" does not exist", name)));
	return relid;
}

static AttrNumber
column_of(Relation rel, const char *name)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	elog(ERROR, "column \"%s\" of table \"%s\" does not exist", name, RelationGetRelationName(rel));
	return 0;
}

#define MOST_KEYS 2

typedef struct TableScan
{
	Relation index; /* NULL: the rows as they lie */
	SysScanDesc scan;
	Snapshot snapshot;
} TableScan;

/* Keys of other types are not needed. */
static RegProcedure
equality_of(Oid type)
{
	switch (type)
	{
		case INT4OID:
			return F_INT4EQ;
		case INT8OID:
			return F_INT8EQ;
		case OIDOID:
			return F_OIDEQ;
		case TEXTOID:
			return F_TEXTEQ;
		default:
			elog(ERROR, "rows are not found by a key of type %u", type);
	}
	return InvalidOid;
}

static TableScan
begin_scan(Relation rel, const char *index, const char *const *key_columns, const StrataArgs *keys)
{
	TableScan s = {0};
	ScanKeyData scan_keys[MOST_KEYS];
	int nkeys = keys ? keys->n : 0;

	if (nkeys > MOST_KEYS)
		elog(ERROR, "too many keys");
	for (int i = 0; i < nkeys; i++)
	{
		AttrNumber attnum = column_of(rel, key_columns[i]);
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

		if (att->atttypid != keys->types[i])
			elog(ERROR, "column \"%s\" of table \"%s\" is of another type", key_columns[i],
				 RelationGetRelationName(rel));
		ScanKeyEntryInitialize(&scan_keys[i], 0, attnum, BTEqualStrategyNumber, InvalidOid, att->attcollation,
							   equality_of(att->atttypid), keys->values[i]);
	}
	CommandCounterIncrement();
	s.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	if (index)
	{
		s.index = index_open(strata_table_oid(index), AccessShareLock);
		s.scan = systable_beginscan_ordered(rel, s.index, s.snapshot, nkeys, scan_keys);
	}
	else
		s.scan = systable_beginscan(rel, InvalidOid, false, s.snapshot, nkeys, scan_keys);
	return s;
}

/* By one number, of the column's own type; no column: all rows. */
static TableScan
begin_scan_by(Relation rel, const char *index, const char *key_column, int64 key)
{
	StrataArgs keys = {0};

	if (key_column == NULL)
		return begin_scan(rel, index, NULL, NULL);
	if (TupleDescAttr(RelationGetDescr(rel), column_of(rel, key_column) - 1)->atttypid == INT8OID)
		strata_args_int8(&keys, key);
	else
		strata_args_int4(&keys, (int32) key);
	return begin_scan(rel, index, &key_column, &keys);
}

static HeapTuple
next_row(TableScan s)
{
	CHECK_FOR_INTERRUPTS();
	return s.index ? systable_getnext_ordered(s.scan, ForwardScanDirection) : systable_getnext(s.scan);
}

static void
end_scan(TableScan s)
{
	if (s.index)
	{
		systable_endscan_ordered(s.scan);
		index_close(s.index, NoLock);
	}
	else
		systable_endscan(s.scan);
	UnregisterSnapshot(s.snapshot);
}

StrataRows *
strata_table_read(const char *table, const char *const *columns, int n, const char *index, const char *key_column,
				  int64 key)
{
	Relation rel = table_open(strata_table_oid(table), AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	StrataRows *rows = palloc0(sizeof(StrataRows));
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * n);
	Datum *all = palloc(sizeof(Datum) * desc->natts);
	bool *all_nulls = palloc(sizeof(bool) * desc->natts);
	Datum *values = palloc(sizeof(Datum) * n);
	bool *nulls = palloc(sizeof(bool) * n);
	uint64 room = 4;
	TableScan s;
	HeapTuple tuple;

	rows->desc = CreateTemplateTupleDesc(n);
	for (int i = 0; i < n; i++)
	{
		attnums[i] = column_of(rel, columns[i]);
		TupleDescCopyEntry(rows->desc, i + 1, desc, attnums[i]);
	}
	rows->tuples = palloc(sizeof(HeapTuple) * room);
	s = begin_scan_by(rel, index, key_column, key);
	while (HeapTupleIsValid(tuple = next_row(s)))
	{
		heap_deform_tuple(tuple, desc, all, all_nulls);
		for (int i = 0; i < n; i++)
		{
			values[i] = all[attnums[i] - 1];
			nulls[i] = all_nulls[attnums[i] - 1];
		}
		if (rows->count == room)
		{
			room *= 2;
			rows->tuples = repalloc_huge(rows->tuples, sizeof(HeapTuple) * room);
		}
		rows->tuples[rows->count++] = heap_form_tuple(rows->desc, values, nulls);
	}
	end_scan(s);
	table_close(rel, NoLock);
	return rows;
}

/* Its entry among the open relations, which a VACUUM voids, is not needed for that. */
bool
strata_table_has_pages(const char *table)
{
	Oid relid = strata_table_oid(table);
	HeapTuple tuple;
	bool any;

	LockRelationOid(relid, AccessShareLock);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	any = smgrnblocks(strata_storage_of((Form_pg_class) GETSTRUCT(tuple)), MAIN_FORKNUM) > 0;
	ReleaseSysCache(tuple);
	return any;
}

/* The storage of a table as the snapshot knows it; invalid: it knows no such table. */
static Oid
storage_then(Relation pg_class, Oid relid, Snapshot snapshot)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid storage = InvalidOid;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_class, ClassOidIndexId, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		storage = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
	systable_endscan(scan);
	return storage;
}

/*
 * The table (locked), or that of its partitions or children, which another session has given new storage since the snapshot; invalid: none. What stood
 * in it before is not to be seen any more, and what stands there now is not to be seen yet: to the snapshot it is empty.
 */
Oid
strata_table_rewritten(Oid relid, Snapshot snapshot)
{
	Relation pg_class = table_open(RelationRelationId, AccessShareLock);
	Oid found = InvalidOid;
	List *tables = has_subclass(relid) ? find_all_inheritors(relid, AccessShareLock, NULL) : list_make1_oid(relid);
	ListCell *lc;

	/* with what this transaction did itself */
	PushCopiedSnapshot(snapshot);
	UpdateActiveSnapshotCommandId();
	foreach (lc, tables)
	{
		Oid then = storage_then(pg_class, lfirst_oid(lc), GetActiveSnapshot());
		HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (OidIsValid(then) && then != ((Form_pg_class) GETSTRUCT(tuple))->relfilenode)
			found = lfirst_oid(lc);
		ReleaseSysCache(tuple);
		if (OidIsValid(found))
			break;
	}
	PopActiveSnapshot();
	table_close(pg_class, AccessShareLock);
	return found;
}

List *
strata_base_parents(Oid relid)
{
	Relation rel = table_open(InheritsRelationId, AccessShareLock);
	List *parents = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return parents;
}

/* What a row's columns are to be. */
typedef struct RowValues
{
	Datum *values;
	bool *nulls;
	bool *replaced; /* the others are left as they are */
} RowValues;

static RowValues
spread(Relation rel, const char *const *columns, const StrataArgs *args)
{
	int natts = RelationGetNumberOfAttributes(rel);
	RowValues v = {palloc0(sizeof(Datum) * natts), palloc(sizeof(bool) * natts), palloc0(sizeof(bool) * natts)};

	memset(v.nulls, true, sizeof(bool) * natts);
	for (int i = 0; i < args->n; i++)
	{
		AttrNumber attnum = column_of(rel, columns[i]);

		if (TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid != args->types[i])
			elog(ERROR, "column \"%s\" of table \"%s\" is of another type", columns[i], RelationGetRelationName(rel));
		v.values[attnum - 1] = args->values[i];
		v.nulls[attnum - 1] = args->nulls[i] == 'n';
		v.replaced[attnum - 1] = true;
	}
	return v;
}

static void
replace_row(Relation rel, HeapTuple tuple, const RowValues *v)
{
	HeapTuple changed = heap_modify_tuple(tuple, RelationGetDescr(rel), v->values, v->nulls, v->replaced);

	CatalogTupleUpdate(rel, &changed->t_self, changed);
}

void
strata_table_insert(const char *table, const char *const *columns, const StrataArgs *args)
{
	Relation rel;
	RowValues v;

	PreventCommandIfReadOnly("INSERT");
	rel = table_open(strata_table_oid(table), RowExclusiveLock);
	v = spread(rel, columns, args);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (v.nulls[i] && TupleDescAttr(RelationGetDescr(rel), i)->attnotnull)
			elog(ERROR, "column %d of table \"%s\" is NULL", i + 1, table);
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), v.values, v.nulls));
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

bool
strata_table_update(const char *table, const char *index, const char *key_column, int64 key, const char *const *columns,
					const StrataArgs *args)
{
	Relation rel;
	RowValues v;
	TableScan s;
	HeapTuple tuple;

	PreventCommandIfReadOnly("UPDATE");
	rel = table_open(strata_table_oid(table), RowExclusiveLock);
	v = spread(rel, columns, args);
	s = begin_scan_by(rel, index, key_column, key);
	tuple = next_row(s);
	if (HeapTupleIsValid(tuple))
		replace_row(rel, tuple, &v);
	end_scan(s);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return HeapTupleIsValid(tuple);
}

/* Nobody else is at the row, and it is the last one of its kind: it is ours to change until the end. */
static bool
lock_row(Relation rel, HeapTuple tuple, Snapshot snapshot)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TM_FailureData failure;
	ItemPointerData tid = tuple->t_self;
	bool locked = table_tuple_lock(rel, &tid, snapshot, slot, GetCurrentCommandId(true), LockTupleNoKeyExclusive,
								   LockWaitSkip, 0, &failure) == TM_Ok;

	ExecDropSingleTupleTableSlot(slot);
	return locked;
}

bool
strata_table_lock(const char *table, const char *index, const char *const *key_columns, const StrataArgs *keys)
{
	Relation rel = table_open(strata_table_oid(table), RowShareLock);
	TableScan s = begin_scan(rel, index, key_columns, keys);
	HeapTuple tuple = next_row(s);
	bool locked = HeapTupleIsValid(tuple) && lock_row(rel, tuple, s.snapshot);

	end_scan(s);
	table_close(rel, NoLock);
	return locked;
}

bool
strata_table_change(const char *table, const char *index, const char *const *key_columns, const StrataArgs *keys,
					const char *const *columns, const StrataArgs *args, const char *counter, int64 added)
{
	Relation rel;
	RowValues v;
	TableScan s;
	HeapTuple tuple;
	bool locked;

	PreventCommandIfReadOnly("UPDATE");
	rel = table_open(strata_table_oid(table), RowExclusiveLock);
	v = spread(rel, columns, args);
	s = begin_scan(rel, index, key_columns, keys);
	tuple = next_row(s);
	locked = HeapTupleIsValid(tuple) && lock_row(rel, tuple, s.snapshot);
	if (locked)
	{
		if (counter)
		{
			AttrNumber attnum = column_of(rel, counter);
			Datum there = heap_getattr(tuple, attnum, RelationGetDescr(rel), &v.nulls[attnum - 1]);

			v.values[attnum - 1] = Int64GetDatum(DatumGetInt64(there) + added);
			v.replaced[attnum - 1] = !v.nulls[attnum - 1];
		}
		replace_row(rel, tuple, &v);
	}
	end_scan(s);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return locked;
}
