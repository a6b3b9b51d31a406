/*
 * capture.c: what can be captured, who follows it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "capture/capture_internal.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

int capture_lock_timeout = 1000;
int capture_segment_size = 256;
int capture_max_size = 1024;

void
strata_capture_init(void)
{
	DefineCustomIntVariable("strata.capture_lock_timeout",
							"How long putting capture on a table, or taking it off, waits for the table's writers.",
							"After that a later refresh tries again.", &capture_lock_timeout, 1000, 0, 3600000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("strata.capture_segment_size",
							"Size from which a change table is left for the next one, when that is empty.",
							"Each further one that is not empty yet makes it 16 times as much.", &capture_segment_size,
							256, 8, 1024 * 1024, PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	/* superusers only: how much of the disk changes may take that nobody reads */
	DefineCustomIntVariable("strata.capture_max_size",
							"Size of one source's waiting changes from which they are given up for a full refresh.",
							NULL, &capture_max_size, 1024, 1, 1024 * 1024, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);
	capture_write_init();
	capture_merge_init();
	capture_handover_init();
}

/* ---- what can be captured ---- */

static const char *
unsuitable(Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);

	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			break;
		case RELKIND_VIEW:
			return "a view";
		case RELKIND_MATVIEW:
			return "a materialized view";
		case RELKIND_FOREIGN_TABLE:
			return "a foreign table";
		default:
			return "not a table";
	}
	if (RelationGetRelid(rel) < FirstNormalObjectId)
		return "a system catalog";
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		return "a temporary table";
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		return "an unlogged table";
	if (desc->natts > MaxHeapAttributeNumber - CAPTURE_PREFIX)
		return "a table of too many columns";
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attgenerated && att->attgenerated != ATTRIBUTE_GENERATED_STORED)
			return "a table with a virtual generated column";
	}
	return NULL;
}

static const char *
unsuitable_members(Oid root, Oid role, bool installed)
{
	List *members = find_all_inheritors(root, AccessShareLock, NULL);
	ListCell *lc;

	foreach (lc, members)
	{
		Relation rel = table_open(lfirst_oid(lc), NoLock);
		const char *why = unsuitable(rel);

		table_close(rel, NoLock);
		if (why)
			return lfirst_oid(lc) == root ? why : psprintf("%s among its partitions", why);
		if (lfirst_oid(lc) != root && !OidIsValid(capture_root(lfirst_oid(lc))))
			return psprintf("a table whose child %s has several parents", capture_label(lfirst_oid(lc)));
		if (!installed && pg_class_aclcheck(lfirst_oid(lc), role, ACL_TRIGGER) != ACLCHECK_OK)
			return psprintf("no TRIGGER privilege on %s", capture_label(lfirst_oid(lc)));
	}
	if (capture_is_subscribed(members))
		return "a subscription writes to it";
	return NULL;
}

const char *
strata_capture_unsupported(Oid relid, Oid role)
{
	Relation rel = try_relation_open(relid, AccessShareLock);
	const char *why;
	Oid root;

	if (rel == NULL)
		return "a relation that is not there";
	why = unsuitable(rel);
	relation_close(rel, NoLock);
	if (why)
		return why;
	if (check_enable_rls(relid, role, true) == RLS_ENABLED)
		return "row-level security";
	root = capture_root(relid);
	if (!OidIsValid(root))
		return "a child of several tables";
	if (root != relid && !capture_is_partition(relid))
		return "an inheritance child: statements through its parent do not tell its rows";
	return unsuitable_members(root, role, strata_capture_installed(relid));
}

bool
strata_capture_installed(Oid relid)
{
	Oid root = capture_ready() ? capture_root(relid) : InvalidOid;
	CaptureRow *row = OidIsValid(root) ? capture_get(root) : NULL;

	return row && row->state == CAPTURE_ON;
}

/* ---- who follows it ---- */

/* The row of a table, made when it is not there. */
static void
want(Oid root, bool keep)
{
	StrataArgs args = {0};

	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(root), false);
	strata_args_bool(&args, keep);
	strata_base_keeper_execute("INSERT INTO strata_state.capture AS c (relid, kept, state) VALUES ($1, $2, 'wanted')"
							   " ON CONFLICT (relid) DO UPDATE SET kept = c.kept OR excluded.kept,"
							   " state = CASE c.state WHEN 'leaving' THEN 'wanted' ELSE c.state END"
							   " WHERE excluded.kept AND NOT c.kept OR c.state = 'leaving'",
							   &args);
}

static Oid
supported_root(Oid relid)
{
	const char *why = strata_capture_unsupported(relid, GetUserId());

	if (why)
		ereport(ERROR,
				(errcode(strncmp(why, "no ", 3) == 0 ? ERRCODE_INSUFFICIENT_PRIVILEGE : ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("changes of %s cannot be captured", capture_label(relid)), errdetail("The reason: %s.", why),
				 errhint("Models that read it are computed in full.")));
	return capture_root(relid);
}

void
strata_capture_request(Oid relid, const char *consumer)
{
	Oid root = supported_root(relid);
	StrataArgs args = {0};

	want(root, consumer == NULL);
	if (consumer == NULL)
		return;
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	strata_args_text(&args, consumer);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(root), false);
	strata_base_keeper_execute("INSERT INTO strata_state.capture_consumer AS c (relation, consumer, relid, why)"
							   " VALUES ($1, $2, $3, 'it is followed from now on')"
							   " ON CONFLICT (relation, consumer) DO UPDATE SET relid = excluded.relid, position = NULL"
							   " WHERE c.relid <> excluded.relid",
							   &args);
}

void
strata_capture_subscribe(Oid relid, const char *consumer)
{
	strata_capture_request(relid, consumer);
	(void) capture_install(supported_root(relid), capture_lock_timeout);
}

/* With nobody left it goes, now or when its writers let it. */
static void
leave_if_alone(Oid root)
{
	StrataArgs args = {0};

	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(root), false);
	if (strata_base_keeper_execute("UPDATE strata_state.capture SET state = 'leaving', why = 'nobody follows it'"
								   " WHERE relid = $1 AND NOT kept"
								   " AND NOT EXISTS (SELECT FROM strata_state.capture_consumer WHERE relid = $1)",
								   &args) == 0)
		return;
	if (get_rel_name(root))
		CacheInvalidateRelcacheByRelid(root);
	if (get_rel_name(root) == NULL || capture_lock_members(root, AccessExclusiveLock, capture_lock_timeout))
		capture_uninstall(root);
}

void
strata_capture_forget(Oid relid, const char *consumer)
{
	StrataArgs args = {0};
	StrataRows *rows;

	if (!capture_ready())
		return;
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), !OidIsValid(relid));
	strata_args_text(&args, consumer);
	rows = strata_base_keeper_query("DELETE FROM strata_state.capture_consumer"
									" WHERE consumer = $2 AND ($1::oid IS NULL OR relation = $1) RETURNING relid",
									&args);
	for (uint64 i = 0; i < rows->count; i++)
		leave_if_alone((Oid) strata_rows_int(rows, i, 1));
}

void
capture_unkeep(Oid root)
{
	StrataArgs args = {0};

	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(root), false);
	strata_base_keeper_execute("UPDATE strata_state.capture SET kept = false WHERE relid = $1", &args);
	leave_if_alone(root);
}

void
strata_capture_mark(Oid relid, const char *why)
{
	if (strata_capture_installed(relid))
		capture_write_mark(capture_root(relid), why);
}
