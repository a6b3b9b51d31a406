/*
 * guard_edit.c: rows of a target written by others.
 *
 * A model that is kept by changes is not compared with its query at every refresh, so what others write into its target is
 * noted, and its next refresh computes it in full. The note is a row of its own: who writes by hand waits for nobody, and
 * a refresh takes away only the notes that its snapshot saw.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "guard/guard_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(strata_guard_note_edit);

static int
id_of(const Trigger *trigger)
{
	return pg_strtoint32(trigger->tgargs[0]);
}

/* After each statement on a target; its argument is the model's id. */
Datum
strata_guard_note_edit(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	StrataArgs args = {0};

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("strata_state.note_edit() is a trigger function")));
	if (trigger->tg_trigger->tgnargs != 1 || !strata_guard_is_other(id_of(trigger->tg_trigger)))
		return PointerGetDatum(NULL);
	strata_args_int4(&args, id_of(trigger->tg_trigger));
	strata_args_int8(&args, RelationGetRelid(trigger->tg_relation));
	strata_args_bool(&args, trigger->tg_relation->rd_rel->relispartition);
	/* a partition that was detached is the target's no more once a refresh knows that */
	strata_base_keeper_execute(
		"INSERT INTO strata_state.edit (model_id) SELECT $1 WHERE NOT EXISTS ("
		"SELECT FROM strata_state.edit WHERE model_id = $1 AND xmin = pg_current_xact_id()::xid)"
		" AND ($3 OR NOT EXISTS (SELECT FROM strata_state.incremental WHERE model_id = $1 AND $2::oid <> ALL (tables)))",
		&args);
	return PointerGetDatum(NULL);
}

bool
strata_guard_is_idle(const Trigger *trigger)
{
	return strcmp(trigger->tgname, STRATA_GUARD_TRIGGER) == 0 && trigger->tgnargs == 1 &&
		   get_func_namespace(trigger->tgfoid) == get_namespace_oid("strata_state", true) &&
		   strcmp(get_func_name(trigger->tgfoid), "note_edit") == 0 && !strata_guard_is_other(id_of(trigger));
}

static bool
is_watched(Oid relid)
{
	StrataArgs args = {0};

	strata_args_int8(&args, relid);
	return strata_base_keeper_query(
			   "SELECT FROM pg_trigger WHERE tgrelid = $1::oid AND tgname = '" STRATA_GUARD_TRIGGER "'", &args)
			   ->count > 0;
}

void
strata_guard_watch(Oid relid, int model_id)
{
	char *label = strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	StrataIdentity saved;

	if (is_watched(relid))
		return;
	strata_base_enter_keeper(&saved);
	strata_base_execute(psprintf("CREATE TRIGGER " STRATA_GUARD_TRIGGER
								 " AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s"
								 " EXECUTE FUNCTION strata_state.note_edit('%d')",
								 label, model_id),
						NULL);
	/* also what a replica or a restore writes */
	strata_base_execute(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER " STRATA_GUARD_TRIGGER, label), NULL);
	strata_base_leave(&saved);
}

void
strata_guard_unwatch(int model_id)
{
	StrataArgs args = {0};
	StrataArgs id = {0};
	StrataRows *rows;
	StrataIdentity saved;

	strata_args_text(&args, psprintf("%d", model_id));
	rows = strata_base_keeper_query(
		"SELECT n.nspname, c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid"
		" JOIN pg_namespace AS n ON n.oid = c.relnamespace"
		" WHERE t.tgname = '" STRATA_GUARD_TRIGGER "' AND encode(t.tgargs, 'escape') = $1 || '\\000' ORDER BY c.oid",
		&args);
	strata_base_enter_keeper(&saved);
	for (uint64 i = 0; i < rows->count; i++)
		strata_base_execute(psprintf("DROP TRIGGER " STRATA_GUARD_TRIGGER " ON %s",
									 strata_base_label(strata_rows_text(rows, i, 1), strata_rows_text(rows, i, 2))),
							NULL);
	strata_base_leave(&saved);
	strata_args_int4(&id, model_id);
	strata_base_keeper_execute("DELETE FROM strata_state.edit WHERE model_id = $1", &id);
}

static bool
under_snapshot(const char *sql, int model_id, Snapshot snapshot)
{
	StrataArgs args = {0};

	strata_args_int4(&args, model_id);
	return strata_base_keeper_run(sql, &args, snapshot) > 0;
}

bool
strata_guard_was_edited(int model_id, Snapshot snapshot)
{
	return strata_table_has_pages("edit") &&
		   under_snapshot("SELECT FROM strata_state.edit WHERE model_id = $1 LIMIT 1", model_id, snapshot);
}

void
strata_guard_forget_edits(int model_id, Snapshot snapshot)
{
	under_snapshot("DELETE FROM strata_state.edit WHERE model_id = $1", model_id, snapshot);
}
