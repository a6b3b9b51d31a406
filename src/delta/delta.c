/*
 * delta.c: chooses the way: an empty target or a rebuild gets new storage, a key gives row-by-row differences, no key
 * gives multiset differences.
 */
#include "postgres.h"

#include <float.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "base/compat.h"
#include "catalog/namespace.h"
#include "catalog/pg_index.h"
#include "delta/delta_internal.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* The joined row of the keyed way holds each column twice; a row of the executor holds MaxTupleAttributeNumber. */
#define MOST_KEYED_COLUMNS 800

double strata_delta_swap_share = 0.6;
int strata_delta_swap_lock_timeout = 200;

void
strata_delta_init(void)
{
	DefineCustomRealVariable(
		"strata.delta_swap_share",
		"Share of changed rows above which a refresh replaces a table's storage instead of changing rows.", NULL,
		&strata_delta_swap_share, 0.6, 0.0, 1.0, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("strata.delta_swap_lock_timeout",
							"How long a storage swap waits for readers before it applies differences instead.", NULL,
							&strata_delta_swap_lock_timeout, 200, 0, 3600000, PGC_USERSET, GUC_UNIT_MS, NULL, NULL,
							NULL);
}

void
delta_key_error(const DeltaWork *work, const char *problem, const char *detail)
{
	const StrataDeltaTarget *t = work->target;

	ereport(ERROR, (errcode(strcmp(problem, "null") == 0 ? ERRCODE_NOT_NULL_VIOLATION : ERRCODE_UNIQUE_VIOLATION),
					strcmp(problem, "null") == 0 ? errmsg("the query of %s gives rows whose %s (%s) is NULL", t->label,
														  t->key_word, strata_base_join(t->key, ", "))
												 : errmsg("the query of %s gives more than one row for one %s (%s)",
														  t->label, t->key_word, strata_base_join(t->key, ", ")),
					errdetail("%s", detail),
					errhint("Nothing was changed. Correct the query or the rows it reads, or declare another %s.",
							t->key_word)));
}

bool
strata_delta_is_empty(Oid relid)
{
	Relation rel = table_open(relid, NoLock);
	bool unwritten =
		rel->rd_rel->relkind == RELKIND_RELATION && !rel->rd_rel->relhassubclass && RelationGetNumberOfBlocks(rel) == 0;
	char *sql;
	bool empty;

	if (unwritten)
	{
		table_close(rel, NoLock);
		return true;
	}
	/* partitioned tables have no storage of their own: ask by SQL, which also serves plain tables */
	sql = psprintf("SELECT 1 FROM %s LIMIT 1",
				   strata_base_label(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel)));
	table_close(rel, NoLock);
	empty = strata_base_query(sql, NULL)->count == 0;
	pfree(sql);
	return empty;
}

/* Whether a primary key would refuse a broken key (a partitioned fact may have a grain its partitions cannot enforce). */
static bool
key_is_enforced(const StrataDeltaTarget *t)
{
	Relation rel = table_open(t->relid, NoLock);
	bool enforced = OidIsValid(strata_primary_key_index(rel));

	table_close(rel, NoLock);
	return enforced;
}

bool
delta_key_is_enforced(const StrataDeltaTarget *t)
{
	Relation rel = table_open(t->relid, NoLock);
	Bitmapset *primary = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	bool enforced = OidIsValid(strata_primary_key_index(rel)) && bms_num_members(primary) == list_length(t->key);
	ListCell *lc;

	foreach (lc, t->key)
		enforced =
			enforced && bms_is_member(get_attnum(t->relid, lfirst(lc)) - FirstLowInvalidHeapAttributeNumber, primary);
	table_close(rel, NoLock);
	return enforced;
}

/* Of the target or of one of its partitions; an index of the user's own may be unique, too. */
static bool
is_primary_key(const ErrorData *edata)
{
	Oid schema = edata->schema_name ? get_namespace_oid(edata->schema_name, true) : InvalidOid;
	Oid index =
		OidIsValid(schema) && edata->constraint_name ? get_relname_relid(edata->constraint_name, schema) : InvalidOid;
	HeapTuple tuple = OidIsValid(index) ? SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index)) : NULL;
	bool is;

	if (!HeapTupleIsValid(tuple))
		return false;
	is = ((Form_pg_index) GETSTRUCT(tuple))->indisprimary;
	ReleaseSysCache(tuple);
	return is;
}

static bool
is_key_violation(const DeltaWork *work, const ErrorData *edata)
{
	if (work->target->key == NIL)
		return false;
	if (edata->sqlerrcode == ERRCODE_NOT_NULL_VIOLATION)
		return edata->column_name == NULL || strata_base_list_has(work->target->key, edata->column_name);
	return edata->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && is_primary_key(edata);
}

void
delta_write_error(const DeltaWork *work, MemoryContext context)
{
	ErrorData *edata;

	MemoryContextSwitchTo(context);
	edata = CopyErrorData();
	if (!is_key_violation(work, edata))
		PG_RE_THROW();
	FlushErrorState();
	delta_key_error(work, edata->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ? "duplicate" : "null",
					edata->detail ? edata->detail : edata->message);
}

/* Into an empty target whose storage cannot be replaced: the rows as they come. */
static void
load_empty(DeltaWork *work)
{
	const StrataDeltaTarget *t = work->target;
	MemoryContext context = CurrentMemoryContext;
	char *columns = strata_base_join_quoted(t->columns, ", ");

	PG_TRY();
	{
		work->counts->inserted = work->counts->rows_in = strata_base_run(
			psprintf("INSERT INTO %s (%s) SELECT * FROM (%s) AS q (%s)", t->label, columns, work->query, columns),
			work->args, work->snapshot, work->rowsets);
	}
	PG_CATCH();
	{
		delta_write_error(work, context);
	}
	PG_END_TRY();
}

void
delta_check_types(const DeltaWork *work, TupleDesc query, int first)
{
	const StrataDeltaTarget *t = work->target;
	ListCell *lc;

	foreach (lc, t->columns)
	{
		Oid given = TupleDescAttr(query, first + foreach_current_index(lc))->atttypid;
		Oid wanted = get_atttype(t->relid, get_attnum(t->relid, lfirst(lc)));

		/* a UNION takes a domain for its base type: the bytes are the same, and the target checks its domain */
		if (getBaseType(given) != getBaseType(wanted))
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("the query of %s gives column \"%s\" as %s, its target has %s", t->label,
								   (char *) lfirst(lc), format_type_be(given), format_type_be(wanted)),
							errhint("Define the model again: its target is given the query's types.")));
	}
}

/* Rows of a plain table, policies or not: read below SQL, so that nothing of the user's is run. */
static int64
count_stored_rows(Oid relid, Snapshot snapshot)
{
	Relation rel = table_open(relid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot present = RegisterSnapshot(snapshot);
	TableScanDesc scan;
	int64 rows = 0;

	PushCopiedSnapshot(present);
	UpdateActiveSnapshotCommandId();
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		rows++;
	table_endscan(scan);
	PopActiveSnapshot();
	UnregisterSnapshot(present);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return rows;
}

/* The refresh compares with all rows of the target: policies that hide some from the owner would have it add them twice. */
static void
refuse_hidden_rows(const StrataDeltaTarget *t, Snapshot snapshot)
{
	if (check_enable_rls(t->relid, InvalidOid, true) != RLS_ENABLED)
		return;
	if (get_rel_relkind(t->relid) == RELKIND_RELATION &&
		count_stored_rows(t->relid, snapshot) ==
			strata_rows_int(strata_base_run_query(psprintf("SELECT count(*) FROM %s", t->label), NULL, snapshot, NIL),
							0, 1))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("row-level security hides rows of %s from its owner \"%s\"", t->label,
						   GetUserNameFromId(GetUserId(), false)),
					errdetail("A refresh compares the query with every row of the table."),
					errhint("ALTER TABLE %s NO FORCE ROW LEVEL SECURITY; policies go on applying to everybody else.",
							t->label)));
}

void
strata_delta_check_key(const StrataDeltaTarget *target, Snapshot snapshot)
{
	StrataDeltaCounts counts = {0};
	DeltaWork work = {target, NULL, NULL, snapshot, NIL, &counts};

	delta_check_key(&work, target->label, NIL);
}

/* Rules rewrite what is written, and an inheritance child adds rows that are not the query's. */
static void
refuse_rules_and_children(const StrataDeltaTarget *t)
{
	Relation rel = table_open(t->relid, NoLock);
	const char *what = NULL;

	if (rel->rd_rules != NULL)
		what = "a rule";
	else if (rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relhassubclass && has_subclass(t->relid) &&
			 find_inheritance_children(t->relid, NoLock) != NIL)
		what = "a table that inherits from it";
	table_close(rel, NoLock);
	if (what)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("the target %s has %s", t->label, what),
						errdetail("Its rows could then not be kept equal to its query."), errhint("Drop it.")));
}

void
delta_refuse(const StrataDeltaTarget *target, Snapshot snapshot)
{
	refuse_hidden_rows(target, snapshot);
	refuse_rules_and_children(target);
}

void
strata_delta_apply(const StrataDeltaTarget *target, const char *query, const StrataArgs *args, Snapshot snapshot,
				   List *rowsets, StrataDeltaCounts *counts)
{
	DeltaWork work = {target, query, args, snapshot, rowsets, counts};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "strata delta", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	bool empty;

	memset(counts, 0, sizeof(*counts));
	LockRelationOid(target->relid, RowExclusiveLock);
	delta_refuse(target, snapshot);
	empty = strata_delta_is_empty(target->relid);
	if (empty && delta_load_new(&work))
		/* done */;
	else if ((target->rebuild || empty) && delta_swap_possible(target) && delta_swap(&work))
		/* done */;
	else if (empty && (target->key == NIL || key_is_enforced(target)))
		load_empty(&work);
	else if (target->key != NIL && list_length(target->columns) <= MOST_KEYED_COLUMNS)
		delta_keyed(&work);
	else
		delta_multiset(&work);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
