/*
 * capture_install.c: triggers and change tables, on and off.
 *
 * Whoever puts capture on holds SHARE ROW EXCLUSIVE on the table and all below it until the end of its transaction: every
 * writer before it has ended and is seen by whatever snapshot sees that transaction, every writer after it finds the
 * triggers. So the first position of a consumer is the snapshot of any refresh that sees who put it on.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "capture/capture_internal.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "catalog/toasting.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"
#include "utils/wait_event.h"

/* Each event has its trigger: PostgreSQL gives a transition table to triggers of one event only. */
static const struct
{
	const char *name;
	bool added;   /* NEW TABLE AS added */
	bool removed; /* OLD TABLE AS removed */
	int16 type;
} kinds[] = {
	{"strata_capture_insert", true, false, TRIGGER_TYPE_INSERT},
	{"strata_capture_update", true, true, TRIGGER_TYPE_UPDATE},
	{"strata_capture_delete", false, true, TRIGGER_TYPE_DELETE},
	{"strata_capture_truncate", false, false, TRIGGER_TYPE_TRUNCATE},
};

/* What this session has put on, and when in its transaction. */
static Oid installed_relid = InvalidOid;
static uint64 installed_xid = 0;
static CommandId installed_command = 0;

static Oid
trigger_function(void)
{
	return LookupFuncName(list_make2(makeString(pstrdup("strata_state")), makeString(pstrdup("capture_statement"))), 0,
						  NULL, true);
}

/* ---- signatures ---- */

/* Our triggers of one table, as bits of kinds; says of each how and since when it stands. */
static int
look_at_triggers(Oid relid, Oid function, StringInfo text, int *enabled, int *disabled)
{
	Relation rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	int found = 0;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger t = (Form_pg_trigger) GETSTRUCT(tuple);

		if (t->tgfoid != function)
			continue;
		for (int i = 0; i < (int) lengthof(kinds); i++)
		{
			if (!(t->tgtype & kinds[i].type))
				continue;
			found |= 1 << i;
			if (t->tgenabled == TRIGGER_FIRES_ALWAYS)
				*enabled |= 1 << i;
			if (t->tgenabled == TRIGGER_DISABLED)
				*disabled |= 1 << i;
		}
		appendStringInfo(text, " %u:%u%c%u", relid, t->oid, t->tgenabled, HeapTupleHeaderGetRawXmin(tuple->t_data));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

CaptureSignature *
capture_signature(Oid relid)
{
	CaptureSignature *s = palloc0(sizeof(CaptureSignature));
	StringInfoData storage;
	StringInfoData triggers;
	Oid function = trigger_function();
	ListCell *lc;

	initStringInfo(&storage);
	initStringInfo(&triggers);
	LockRelationOid(relid, AccessShareLock);
	s->members = find_all_inheritors(relid, AccessShareLock, NULL);
	foreach (lc, s->members)
	{
		Oid member = lfirst_oid(lc);
		Relation rel = table_open(member, NoLock);
		int enabled = 0;
		int disabled = 0;
		int found;

		if (rel->rd_refcnt > 1)
			s->busy = true;
		appendStringInfo(&storage, " %u:%u", member, rel->rd_rel->relfilenode);
		found = look_at_triggers(member, function, &triggers, &enabled, &disabled);
		s->stays |= disabled != 0;
		for (int i = 0; i < (int) lengthof(kinds) && s->trouble == NULL; i++)
		{
			if (!(found & (1 << i)))
				s->trouble = psprintf("%s has no trigger %s", capture_label(member), kinds[i].name);
			else if (!(enabled & (1 << i)))
				s->trouble = psprintf("trigger %s of %s is %s", kinds[i].name, capture_label(member),
									  disabled & (1 << i) ? "disabled" : "not enabled always");
		}
		/* its statements would be those of two tables */
		if (s->trouble == NULL && member != relid && !OidIsValid(capture_root(member)))
		{
			s->trouble = psprintf("%s has several parents", capture_label(member));
			s->stays = true;
		}
		table_close(rel, NoLock);
	}
	s->storage = storage.data;
	s->triggers = triggers.data;
	return s;
}

/* ---- locks ---- */

static bool
try_lock_all(const List *members, LOCKMODE mode)
{
	ListCell *lc;
	int n = 0;

	foreach (lc, members)
	{
		if (!ConditionalLockRelationOid(lfirst_oid(lc), mode))
			break;
		n++;
	}
	if (n == list_length(members))
		return true;
	foreach (lc, members)
	{
		if (n-- == 0)
			break;
		UnlockRelationOid(lfirst_oid(lc), mode);
	}
	return false;
}

typedef struct Queue
{
	const List *members;
	LOCKMODE mode;
	int ms;
} Queue;

static void
lock_all(void *arg)
{
	Queue *q = arg;
	int level = NewGUCNestLevel();
	ListCell *lc;

	strata_base_pin("lock_timeout", psprintf("%d", q->ms));
	foreach (lc, q->members)
		LockRelationOid(lfirst_oid(lc), q->mode);
	AtEOXact_GUC(true, level);
}

static bool
is_of_locks(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/* In the queue, where it holds up new writers: for so long at most. */
static bool
queue_for_all(const List *members, LOCKMODE mode, int ms)
{
	Queue q = {members, mode, ms};
	ErrorData *error = strata_base_attempt(lock_all, &q, is_of_locks);

	if (error)
		FreeErrorData(error);
	return error == NULL;
}

/*
 * The table and all below it. Half of the time is spent looking for a moment without writers, which hinders nobody; the
 * other half in the queue.
 */
bool
capture_lock_members(Oid relid, LOCKMODE mode, int ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms / 2);
	List *members = find_all_inheritors(relid, NoLock, NULL);

	for (;;)
	{
		if (try_lock_all(members, mode))
			break;
		if (GetCurrentTimestamp() >= until)
		{
			if (ms < 2 || !queue_for_all(members, mode, ms / 2))
				return false;
			break;
		}
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	/* a partition that came meanwhile */
	return list_difference_oid(find_all_inheritors(relid, NoLock, NULL), members) == NIL;
}

/* ---- change tables ---- */

bool
capture_same_shape(Oid relid, Oid segment)
{
	Relation source = RelationIdGetRelation(relid);
	Relation table = RelationIdGetRelation(segment);
	bool same = source != NULL && table != NULL;
	int at = CAPTURE_PREFIX;

	if (same)
	{
		TupleDesc from = RelationGetDescr(source);
		TupleDesc to = RelationGetDescr(table);

		for (int i = 0; i < from->natts && same; i++)
		{
			Form_pg_attribute att = TupleDescAttr(from, i);

			if (att->attisdropped)
				continue;
			same = at < to->natts && atoi(NameStr(TupleDescAttr(to, at)->attname) + 1) == i + 1 &&
				   TupleDescAttr(to, at)->atttypid == getBaseType(att->atttypid);
			at++;
		}
		same = same && at == to->natts;
	}
	if (source)
		RelationClose(source);
	if (table)
		RelationClose(table);
	return same;
}

static ColumnDef *
column(const char *name, Oid type, Oid collation)
{
	/* a base type always: a constraint of a domain that comes later is none for rows of before */
	return makeColumnDef(name, type, -1, collation);
}

void
capture_make_segment(Oid relid, int number)
{
	Relation source = table_open(relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(source);
	StrataIdentity saved;
	CreateStmt *create = makeNode(CreateStmt);
	ObjectAddress table;
	ObjectAddress extension;

	create->relation = makeRangeVar(pstrdup("strata_state"), psprintf("c%u_%d", relid, number), -1);
	create->tableElts =
		list_make2(column("strata_xid", XID8OID, InvalidOid), column("strata_step", INT8OID, InvalidOid));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			create->tableElts = lappend(create->tableElts,
										column(psprintf("c%d", i + 1), getBaseType(att->atttypid), att->attcollation));
	}
	/* it is emptied, never cleaned */
	create->options = list_make1(makeDefElem("autovacuum_enabled", (Node *) makeString(pstrdup("false")), -1));
	create->oncommit = ONCOMMIT_NOOP;
	create->accessMethod = pstrdup("heap");
	strata_base_enter_keeper(&saved);
	table = DefineRelation(create, RELKIND_RELATION, GetUserId(), NULL, NULL);
	CommandCounterIncrement();
	NewRelationCreateToastTable(table.objectId, (Datum) 0);
	/* a member: it goes with the extension, and is not dumped */
	ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("pg_strata", false));
	recordDependencyOn(&table, &extension, DEPENDENCY_EXTENSION);
	CommandCounterIncrement();
	strata_base_leave(&saved);
	table_close(source, AccessShareLock);
}

void
capture_drop_segments(Oid relid)
{
	StrataArgs args = {0};
	Oid schema = get_namespace_oid("strata_state", false);

	for (int i = 0; i < CAPTURE_SEGMENTS; i++)
	{
		Oid oid = get_relname_relid(psprintf("c%u_%d", relid, i), schema);
		ObjectAddress table;

		if (!OidIsValid(oid))
			continue;
		LockRelationOid(oid, AccessExclusiveLock);
		deleteDependencyRecordsForClass(RelationRelationId, oid, ExtensionRelationId, DEPENDENCY_EXTENSION);
		CommandCounterIncrement();
		ObjectAddressSet(table, RelationRelationId, oid);
		performDeletion(&table, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	strata_base_keeper_execute("DELETE FROM strata_state.capture_segment WHERE relid = $1", &args);
}

/* The first of the ring: the others are made when they are needed, and most never are. */
void
capture_make_segments(Oid relid)
{
	StrataArgs args = {0};

	capture_drop_segments(relid);
	capture_make_segment(relid, 0);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	strata_args_int4(&args, CAPTURE_SEGMENTS);
	strata_base_keeper_execute(
		"INSERT INTO strata_state.capture_segment (relid, segment, state)"
		" SELECT $1, i, CASE WHEN i = 0 THEN 'current' ELSE 'free' END FROM generate_series(0, $2 - 1) AS i",
		&args);
	CacheInvalidateRelcacheByRelid(relid);
}

/* Those that no reader is at are emptied; one of them is the next. */
static void
empty_segments(Oid relid)
{
	List *segments = capture_segments(relid);
	CaptureSegment *current = NULL;
	ListCell *lc;

	foreach (lc, segments)
	{
		CaptureSegment *g = lfirst(lc);
		StrataArgs args = {0};

		if (!OidIsValid(g->oid))
		{
			if (current)
				continue;
			capture_make_segment(relid, g->number);
		}
		else if (!ConditionalLockRelationOid(g->oid, AccessExclusiveLock))
			continue;
		else
			strata_base_keeper_execute(psprintf("TRUNCATE ONLY strata_state.c%u_%d", relid, g->number), NULL);
		strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
		strata_args_int4(&args, g->number);
		strata_args_text(&args, current ? "free" : "current");
		strata_base_keeper_execute(
			"UPDATE strata_state.capture_segment SET state = CASE WHEN segment = $2 THEN $3 ELSE 'closing' END,"
			" rotated = CASE WHEN segment = $2 THEN NULL ELSE pg_current_xact_id() END, sealed = NULL"
			" WHERE relid = $1 AND (segment = $2 OR state = 'current' AND $3 = 'current')",
			&args);
		if (current == NULL)
			current = g;
	}
}

/* Those that are there have the source's columns, and none is missing that holds rows. */
bool
capture_segments_fit(Oid relid)
{
	List *segments = capture_segments(relid);
	ListCell *lc;

	if (list_length(segments) != CAPTURE_SEGMENTS)
		return false;
	foreach (lc, segments)
	{
		CaptureSegment *g = lfirst(lc);

		if (OidIsValid(g->oid) ? !capture_same_shape(relid, g->oid) : g->state != 'f')
			return false;
	}
	return true;
}

/* Nobody is at them: a reader may be, where they have to be made anew. */
static bool
segments_are_ours(Oid relid)
{
	ListCell *lc;

	foreach (lc, capture_segments(relid))
	{
		CaptureSegment *g = lfirst(lc);

		if (OidIsValid(g->oid) && !ConditionalLockRelationOid(g->oid, AccessExclusiveLock))
			return false;
	}
	return true;
}

/* ---- on ---- */

/* Our own commands are none to follow. */
bool capture_quiet = false;

static void
run_quietly(const char *sql)
{
	bool before = capture_quiet;

	capture_quiet = true;
	PG_TRY();
	{
		strata_base_keeper_execute(sql, NULL);
	}
	PG_FINALLY();
	{
		capture_quiet = before;
	}
	PG_END_TRY();
}

static List *
transition(List *tables, char *name, bool is_new)
{
	TriggerTransition *t = makeNode(TriggerTransition);

	t->name = name;
	t->isNew = is_new;
	t->isTable = true;
	return lappend(tables, t);
}

/* Beneath SQL: at the first definitions of a warehouse there are thousands of them. */
static void
make_trigger(Oid member, int kind)
{
	CreateTrigStmt *create = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress extension;
	StrataIdentity saved;

	create->trigname = pstrdup(kinds[kind].name);
	create->funcname = list_make2(makeString(pstrdup("strata_state")), makeString(pstrdup("capture_statement")));
	create->timing = TRIGGER_TYPE_AFTER;
	create->events = kinds[kind].type;
	if (kinds[kind].removed)
		create->transitionRels = transition(create->transitionRels, "removed", false);
	if (kinds[kind].added)
		create->transitionRels = transition(create->transitionRels, "added", true);
	strata_base_enter_keeper(&saved);
	trigger = CreateTriggerFiringOn(create, NULL, member, InvalidOid, InvalidOid, InvalidOid, InvalidOid, InvalidOid,
									NULL, false, false, TRIGGER_FIRES_ALWAYS);
	/* as ALTER TRIGGER ... DEPENDS ON EXTENSION does */
	ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("pg_strata", false));
	recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
	strata_base_leave(&saved);
}

static void
make_triggers(Oid member, int found, int enabled)
{
	char *label = capture_label(member);

	for (int i = 0; i < (int) lengthof(kinds); i++)
	{
		if (!(found & (1 << i)))
			make_trigger(member, i);
		else if (!(enabled & (1 << i)))
			run_quietly(psprintf("ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %s", label, kinds[i].name));
	}
}

void
capture_make_triggers(Oid relid, bool mend)
{
	Oid function = trigger_function();
	ListCell *lc;

	foreach (lc, find_all_inheritors(relid, NoLock, NULL))
	{
		StringInfoData text;
		int enabled = 0;
		int disabled = 0;
		int found;

		initStringInfo(&text);
		found = look_at_triggers(lfirst_oid(lc), function, &text, &enabled, &disabled);
		if (found == 0 || mend)
			make_triggers(lfirst_oid(lc), found, enabled);
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
	}
}

bool
capture_install(Oid relid, int ms)
{
	CaptureRow *row = capture_get(relid);
	CaptureSignature *signature = capture_signature(relid);
	bool fit = capture_segments_fit(relid);
	StrataArgs args = {0};

	if (row && row->state == CAPTURE_ON && fit && signature->trouble == NULL)
		return true;
	/* triggers of a table that a statement is at cannot be made */
	if (signature->busy || !capture_lock_members(relid, ShareRowExclusiveLock, ms))
		return false;
	if (!fit && !segments_are_ours(relid))
		return false;
	capture_make_triggers(relid, true);
	if (!fit)
		capture_make_segments(relid);
	else
		empty_segments(relid);
	CommandCounterIncrement();
	signature = capture_signature(relid);
	installed_relid = relid;
	installed_xid = U64FromFullTransactionId(GetTopFullTransactionId());
	installed_command = GetCurrentCommandId(true);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	strata_args_text(&args, signature->storage);
	strata_args_text(&args, signature->triggers);
	strata_base_keeper_execute(
		"UPDATE strata_state.capture SET state = 'on', since = pg_current_xact_id(), generation = generation + 1,"
		" why = 'its capture was set up anew', storage = $2, triggers = $3 WHERE relid = $1",
		&args);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	return true;
}

bool
capture_too_early(const CaptureRow *row, const CapturePosition *now, Snapshot snapshot)
{
	if (row->since == U64FromFullTransactionId(GetTopFullTransactionIdIfAny()))
		return !(installed_relid == row->relid && installed_xid == row->since && !IsolationUsesXactSnapshot() &&
				 snapshot->curcid > installed_command);
	return !capture_position_has_xid(now, row->since);
}

/* ---- off ---- */

static void
drop_triggers(Oid relid)
{
	Relation rel = table_open(relid, NoLock);
	Oid function = trigger_function();
	List *names = NIL;
	ListCell *lc;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		if (rel->trigdesc->triggers[i].tgfoid == function)
			names = lappend(names, pstrdup(rel->trigdesc->triggers[i].tgname));
	table_close(rel, NoLock);
	foreach (lc, names)
		run_quietly(psprintf("DROP TRIGGER %s ON %s", strata_base_quote(lfirst(lc)), capture_label(relid)));
}

/* The members are locked ACCESS EXCLUSIVE, or are no more. */
void
capture_uninstall(Oid relid)
{
	StrataArgs args = {0};
	ListCell *lc;

	foreach (lc, get_rel_name(relid) ? find_all_inheritors(relid, NoLock, NULL) : NIL)
		drop_triggers(lfirst_oid(lc));
	capture_drop_segments(relid);
	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(relid), false);
	strata_base_keeper_execute("DELETE FROM strata_state.capture WHERE relid = $1", &args);
	strata_base_keeper_execute("DELETE FROM strata_state.capture_consumer WHERE relid = $1", &args);
	strata_base_keeper_execute("DELETE FROM strata_state.capture_mark WHERE relid = $1", &args);
	if (get_rel_name(relid))
		CacheInvalidateRelcacheByRelid(relid);
}
