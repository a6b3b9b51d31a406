/*
 * fence.c: exact "nothing changed" without a trigger on anything.
 *
 * Every change of a table's rows stamps the page with its place in the write-ahead log. A refresh notes the place L
 * where the log stood before its snapshot was taken (and before the command counter moved, so that
 * all the transaction itself wrote before L is in the snapshot too). If no page of a table carries a later stamp, no row of it was
 * written since L. What was written before L is in the snapshot, unless its transaction was still open then: a fence is
 * only kept when the snapshot had no open transaction beside its own. Tables rewritten since have another file. Models
 * are watched by a counter that moves with their rows, in the same transaction, read under the same snapshot. The model's own
 * table is watched like one it reads: rows that somebody else put there or took away are made good.
 *
 * Whatever else a result may hang on (functions of users, views of users, row security, unlogged and foreign tables,
 * settings, clocks) makes the fence "not known", and the model is computed. See README.md for the argument in full.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fence/fence.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

/* More of them are not asked about. */
#define MOST_ELSEWHERE 100

/*
 * Whether a transaction is one of another database: it writes to no table of this one. Twice the same answer about the backend: a number is
 * given out once, so that the backend had it while it was looked at.
 */
static bool
is_elsewhere(TransactionId xid)
{
	int pid = BackendXidGetPid(xid);
	PGPROC *proc = pid != 0 ? BackendPidGetProc(pid) : NULL;
	Oid database = proc ? proc->databaseId : InvalidOid;

	return OidIsValid(database) && database != MyDatabaseId && BackendXidGetPid(xid) == pid;
}

/* Numbers from the first one the snapshot does not know to the last one given out: are they all our own, or of other databases? */
static bool
only_ours_since(Snapshot snapshot)
{
	TransactionId next = XidFromFullTransactionId(ReadNextFullTransactionId());
	TransactionId xid = snapshot->xmax;

	for (int n = 0; xid != next; n++)
	{
		if (n > 1000 || !(TransactionIdIsCurrentTransactionId(xid) || is_elsewhere(xid)))
			return false;
		TransactionIdAdvance(xid);
	}
	return true;
}

/* A label may be renamed, which changes texts and no row: any change of any enum is an alarm. */
static uint64
enum_labels(void)
{
	Relation rel = table_open(EnumRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	uint64 sum = 0;

	/* a sum, since the order of the rows says nothing */
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_enum label = (Form_pg_enum) GETSTRUCT(tuple);

		sum += hash_bytes_extended((unsigned char *) NameStr(label->enumlabel), strlen(NameStr(label->enumlabel)),
								   label->oid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return sum;
}

StrataFencePosition
strata_fence_before_snapshot(void)
{
	StrataFencePosition position = {InvalidXLogRecPtr, 0, false};

	/* our own number first: those given out afterwards belong to somebody else */
	(void) GetCurrentTransactionId();
	position.enums = enum_labels();
	position.lsn = GetXLogInsertRecPtr();
	return position;
}

StrataFencePosition
strata_fence_look(void)
{
	StrataFencePosition position = {InvalidXLogRecPtr, enum_labels(), false};

	return position;
}

/*
 * A transaction that was open then may have written before the position and be seen by no snapshot yet. The snapshot lists the
 * open ones below its xmax, which is only the end of what has *ended*: those above it are told by the numbers given out.
 */
void
strata_fence_after_snapshot(StrataFencePosition *position, Snapshot snapshot)
{
	position->closed = !IsolationUsesXactSnapshot() && only_ours_since(snapshot);
	/* subtransactions are listed, and overflow, with their transactions alone */
	for (uint32 i = 0; i < snapshot->xcnt && position->closed; i++)
		position->closed = i < MOST_ELSEWHERE && is_elsewhere(snapshot->xip[i]);
}

static void
give_up(StrataFence *fence, const char *why)
{
	fence->known = false;
	if (fence->why == NULL)
		fence->why = why;
}

/* A row's image as an object, which rejected rows are, has the names of the columns that there are. */
static uint32
column_names(TupleDesc desc)
{
	uint32 sum = 0;

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			sum = hash_combine(sum, string_hash(NameStr(TupleDescAttr(desc, i)->attname), NAMEDATALEN));
	return sum;
}

/* A field more or less, or of another name, makes other values of those that are stored, and writes no page. */
static void
add_type(StringInfo inputs, Oid type)
{
	Oid base = getBaseType(type);
	Oid element = get_element_type(base);
	TupleDesc desc;

	check_stack_depth();
	if (OidIsValid(element))
		add_type(inputs, element);
	else if (get_typtype(base) == TYPTYPE_COMPOSITE)
	{
		desc = lookup_rowtype_tupdesc(base, -1);
		appendStringInfo(inputs, " c%u:%u:", base, column_names(desc));
		for (int i = 0; i < desc->natts; i++)
		{
			appendStringInfoChar(inputs, TupleDescAttr(desc, i)->attisdropped ? '-' : '+');
			if (!TupleDescAttr(desc, i)->attisdropped)
				add_type(inputs, TupleDescAttr(desc, i)->atttypid);
		}
		ReleaseTupleDesc(desc);
	}
}

/* A table with rows of its own: its file and the names of its columns are part of what is compared. */
static void
add_table(StrataFence *fence, StringInfo inputs, Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);

	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		give_up(fence, "reads an unlogged or temporary table");
	else if (rel->rd_rel->relrowsecurity)
		give_up(fence, "reads a table with row security");
	else if (rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_MATVIEW)
		give_up(fence, "reads something that is not a table");
	else if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		give_up(fence, "reads a table of another access method");
	else if (rel->rd_createSubid != InvalidSubTransactionId || STRATA_REWRITTEN_HERE(rel))
		give_up(fence, "reads a table made or rewritten in this transaction");
	else
	{
		appendStringInfo(inputs, " t%u:%u:%u", relid, rel->rd_rel->relfilenode, column_names(RelationGetDescr(rel)));
		fence->relations = lappend_oid(fence->relations, relid);
		for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
			if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
				add_type(inputs, TupleDescAttr(RelationGetDescr(rel), i)->atttypid);
	}
	table_close(rel, NoLock);
}

static void
add_relation(StrataFence *fence, StringInfo inputs, const char *schema, const char *name)
{
	Oid namespace_oid = get_namespace_oid(schema, true);
	Oid relid = OidIsValid(namespace_oid) ? get_relname_relid(name, namespace_oid) : InvalidOid;
	ListCell *lc;

	if (!OidIsValid(relid))
	{
		give_up(fence, "reads a relation that is not there");
		return;
	}
	/* as a query locks: the table before what is below it */
	LockRelationOid(relid, AccessShareLock);
	/* partitions and inheritance children: a partitioned table has no rows of its own */
	foreach (lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE)
			add_table(fence, inputs, lfirst_oid(lc));
		else
			appendStringInfo(inputs, " p%u", lfirst_oid(lc));
	}
}

static void
add_inputs(StrataFence *fence, StringInfo inputs, const StrataModel *model, Snapshot snapshot, List **seen)
{
	ListCell *lc;

	check_stack_depth();
	if (!model->deterministic)
		give_up(fence, model->time_dependent ? "reads the clock" : "calls functions whose result may change");
	fence->clock |= model->time_dependent;
	foreach (lc, model->dependencies)
	{
		StrataDependency *d = lfirst(lc);
		StrataModel *upstream;

		if (!fence->known)
			return;
		if (d->model_id == 0)
		{
			add_relation(fence, inputs, d->schema, d->name);
			continue;
		}
		if (list_member_int(*seen, d->model_id))
			continue;
		*seen = lappend_int(*seen, d->model_id);
		{
			StrataArgs args = {0};
			StrataIdentity saved;
			StrataRows *rows;

			strata_args_int4(&args, d->model_id);
			strata_base_enter_keeper(&saved);
			rows = strata_base_run_query("SELECT change_count, kind = 'view' FROM strata_state.model WHERE id = $1",
										 &args, snapshot, NIL);
			strata_base_leave(&saved);
			if (rows->count == 0)
			{
				give_up(fence, "reads a model defined since");
				return;
			}
			appendStringInfo(inputs, " m%d:" INT64_FORMAT, d->model_id, strata_rows_int(rows, 0, 1));
			if (!strata_rows_bool(rows, 0, 2))
				continue;
		}
		upstream = strata_registry_model_by_id(d->model_id);
		if (upstream == NULL)
			give_up(fence, "reads a model that is gone");
		else
			add_inputs(fence, inputs, upstream, snapshot, seen);
	}
}

/*
 * The target itself: what others write into it is to be made good as well. Our own writes are no alarm once the fence stands
 * after them (settle); where it could not, they cost one refresh that finds nothing.
 */
static void
add_target(StrataFence *fence, StringInfo inputs, const StrataModel *model)
{
	ListCell *lc;

	if (!OidIsValid(model->relid) || strcmp(model->kind, "view") == 0)
		return;
	foreach (lc, find_all_inheritors(model->relid, AccessShareLock, NULL))
	{
		Relation rel = table_open(lfirst_oid(lc), AccessShareLock);

		if (rel->rd_rel->relkind == RELKIND_RELATION)
		{
			if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
				give_up(fence, "is kept in an unlogged table");
			appendStringInfo(inputs, " o%u:%u", RelationGetRelid(rel), rel->rd_rel->relfilenode);
			fence->own = lappend_oid(fence->own, RelationGetRelid(rel));
		}
		table_close(rel, NoLock);
	}
}

StrataFence *
strata_fence_take(const StrataModel *model, Snapshot snapshot, StrataFencePosition position)
{
	StrataFence *fence = palloc0(sizeof(StrataFence));
	StringInfoData inputs;
	List *seen = NIL;

	fence->known = true;
	fence->position = position;
	initStringInfo(&inputs);
	/* log positions and file numbers mean something in this cluster and database only */
	appendStringInfo(&inputs, UINT64_FORMAT " %u v%d e" UINT64_FORMAT, GetSystemIdentifier(), MyDatabaseId,
					 model->version, position.enums);
	add_inputs(fence, &inputs, model, snapshot, &seen);
	if (fence->known)
		add_target(fence, &inputs, model);
	fence->inputs = inputs.data;
	return fence;
}

/* No page was written after lsn. Newest pages first: what was appended is found at once. */
static bool
pages_older(Oid relid, XLogRecPtr lsn)
{
	Relation rel = table_open(relid, AccessShareLock);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	bool older = true;

	while (older && blocks > 0)
	{
		Buffer buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(rel, MAIN_FORKNUM, --blocks, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		older = PageGetLSN(BufferGetPage(buffer)) <= lsn;
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
	table_close(rel, NoLock);
	return older;
}

bool
strata_fence_holds(const StrataModel *model, const StrataFence *now)
{
	StrataArgs args = {0};
	StrataRows *rows;
	char *inputs;
	bool isnull;
	XLogRecPtr lsn;
	ListCell *lc;

	/* what is open now does not matter: rows it wrote are in no snapshot yet, and their pages tell later */
	if (!now->known)
		return false;
	strata_args_int4(&args, model->id);
	rows = strata_base_keeper_query(
		"SELECT fence_inputs, fence_lsn, fence_own_lsn FROM strata_state.model WHERE id = $1", &args);
	if (rows->count == 0 || (inputs = strata_rows_text(rows, 0, 1)) == NULL || strcmp(inputs, now->inputs) != 0)
		return false;
	lsn = DatumGetLSN(strata_rows_datum(rows, 0, 2, &isnull));
	if (isnull)
		return false;
	foreach (lc, now->relations)
		if (!pages_older(lfirst_oid(lc), lsn))
			return false;
	lsn = DatumGetLSN(strata_rows_datum(rows, 0, 3, &isnull));
	foreach (lc, now->own)
		if (isnull || !pages_older(lfirst_oid(lc), lsn))
			return false;
	return true;
}

/* The part of the inputs that tells of what is read: add_target() puts the target's files behind it. */
static int
sources_length(const char *inputs)
{
	const char *own = strstr(inputs, " o");

	return own ? own - inputs : strlen(inputs);
}

const char *
strata_fence_moved(const StrataModel *model, const StrataFence *now, Snapshot snapshot, bool *certain)
{
	StrataArgs args = {0};
	StrataIdentity saved;
	StrataRows *rows;
	char *inputs;
	bool isnull;
	XLogRecPtr lsn;
	int length;
	ListCell *lc;

	*certain = false;
	if (!now->known)
		return psprintf("nobody can tell whether what it reads has changed: it %s", now->why);
	strata_args_int4(&args, model->id);
	strata_base_enter_keeper(&saved);
	rows = strata_base_run_query("SELECT fence_inputs, fence_lsn FROM strata_state.model WHERE id = $1", &args,
								 snapshot, NIL);
	strata_base_leave(&saved);
	if (rows->count == 0 || (inputs = strata_rows_text(rows, 0, 1)) == NULL)
		return "nobody can tell whether what it reads has changed: other transactions of this database were open at its last refresh";
	*certain = true;
	length = sources_length(inputs);
	if (length != sources_length(now->inputs) || strncmp(inputs, now->inputs, length) != 0)
		return "what it reads was refreshed, defined anew or rewritten since its last refresh";
	lsn = DatumGetLSN(strata_rows_datum(rows, 0, 2, &isnull));
	foreach (lc, now->relations)
		if (isnull || !pages_older(lfirst_oid(lc), lsn))
			return psprintf(
				"%s was written to since its last refresh",
				strata_base_label(get_namespace_name(get_rel_namespace(lfirst_oid(lc))), get_rel_name(lfirst_oid(lc))));
	return NULL;
}

/*
 * The target's own pages were just stamped by us: they are watched from the log's present end. That end is safe when no transaction
 * number was given out since the snapshot and none was open then: nobody else can have written to them. It is read before
 * the number: what a number given out in between writes lies after it.
 */
static XLogRecPtr
own_position(const StrataFence *fence, Snapshot snapshot)
{
	XLogRecPtr end = GetXLogInsertRecPtr();

	return only_ours_since(snapshot) ? end : fence->position.lsn;
}

void
strata_fence_store(const StrataModel *model, const StrataFence *fence, Snapshot snapshot, bool changed)
{
	static const char *const keys[] = {"id"};
	static const char *const columns[] = {"fence_inputs", "fence_lsn", "fence_own_lsn"};
	StrataArgs key = {0};
	StrataArgs args = {0};
	StrataArgs all = {0};
	bool kept = fence->known && fence->position.closed;

	strata_args_int4(&key, model->id);
	strata_args_text(&args, kept ? fence->inputs : NULL);
	strata_args_datum(&args, LSNOID, LSNGetDatum(fence->position.lsn), !kept);
	strata_args_datum(&args, LSNOID, LSNGetDatum(kept ? own_position(fence, snapshot) : InvalidXLogRecPtr), !kept);
	if (strata_table_change("model", "model_pkey", keys, &key, columns, &args, "change_count", changed ? 1 : 0))
		return;
	strata_args_int4(&all, model->id);
	for (int i = 0; i < args.n; i++)
		strata_args_datum(&all, args.types[i], args.values[i], args.nulls[i] == 'n');
	strata_args_int4(&all, changed ? 1 : 0);
	strata_base_keeper_execute("UPDATE strata_state.model SET fence_inputs = $2, fence_lsn = $3, fence_own_lsn = $4,"
							   " change_count = change_count + $5 WHERE id = $1",
							   &all);
}

void
strata_fence_forget(int model_id)
{
	StrataArgs args = {0};

	strata_args_int4(&args, model_id);
	strata_base_keeper_execute(
		"UPDATE strata_state.model SET fence_inputs = NULL, fence_lsn = NULL, fence_own_lsn = NULL"
		" WHERE id = $1 AND fence_inputs IS NOT NULL",
		&args);
}
