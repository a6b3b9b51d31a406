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

#define TRIGGER_NAME "strata_edited"

/* After each statement on a target; its argument is the model's id. */
Datum
strata_guard_note_edit(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	StrataArgs args = {0};

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("strata_state.note_edit() is a trigger function")));
	if (!strata_guard_ready() || trigger->tg_trigger->tgnargs != 1)
		return PointerGetDatum(NULL);
	strata_args_int4(&args, pg_strtoint32(trigger->tg_trigger->tgargs[0]));
	strata_base_keeper_execute(
		"INSERT INTO strata_state.edit (model_id) SELECT $1 WHERE NOT EXISTS ("
		"SELECT FROM strata_state.edit WHERE model_id = $1 AND xmin = pg_current_xact_id()::xid)",
		&args);
	return PointerGetDatum(NULL);
}

static bool
is_watched(Oid relid)
{
	StrataArgs args = {0};

	strata_args_int8(&args, relid);
	return strata_base_keeper_query("SELECT FROM pg_trigger WHERE tgrelid = $1::oid AND tgname = '" TRIGGER_NAME "'",
									&args)
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
	strata_base_execute(psprintf("CREATE TRIGGER " TRIGGER_NAME " AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s"
								 " EXECUTE FUNCTION strata_state.note_edit('%d')",
								 label, model_id),
						NULL);
	/* also what a replica or a restore writes */
	strata_base_execute(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER " TRIGGER_NAME, label), NULL);
	strata_base_leave(&saved);
}

void
strata_guard_unwatch(Oid relid, int model_id)
{
	StrataIdentity saved;
	StrataArgs args = {0};

	if (OidIsValid(relid) && get_rel_name(relid) != NULL && is_watched(relid))
	{
		char *label = strata_base_label(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));

		strata_base_enter_keeper(&saved);
		strata_base_execute(psprintf("DROP TRIGGER " TRIGGER_NAME " ON %s", label), NULL);
		strata_base_leave(&saved);
	}
	strata_args_int4(&args, model_id);
	strata_base_keeper_execute("DELETE FROM strata_state.edit WHERE model_id = $1", &args);
}

static bool
under_snapshot(const char *sql, int model_id, Snapshot snapshot)
{
	StrataArgs args = {0};
	StrataIdentity saved;
	bool found;

	strata_args_int4(&args, model_id);
	strata_base_enter_keeper(&saved);
	found = strata_base_run(sql, &args, snapshot, NIL) > 0;
	strata_base_leave(&saved);
	return found;
}

bool
strata_guard_was_edited(int model_id, Snapshot snapshot)
{
	return under_snapshot("SELECT FROM strata_state.edit WHERE model_id = $1 LIMIT 1", model_id, snapshot);
}

void
strata_guard_forget_edits(int model_id, Snapshot snapshot)
{
	under_snapshot("DELETE FROM strata_state.edit WHERE model_id = $1", model_id, snapshot);
}
