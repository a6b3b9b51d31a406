/*
 * layers_all.c: strata.define_all(): a script of definitions, in any order, all of it or nothing.
 *
 * The order in which the statements run is guessed from their text (names that queries and options mention) and corrected by running
 * them: each in a subtransaction; one that fails for want of something the script may still make waits until the others are done. So
 * a wrong guess costs time and nothing else, and the first error shown is one that no order could have avoided.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "funcapi.h"
#include "layers/layers_internal.h"
#include "layers/layers_script.h"
#include "layers/layers_script_internal.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define MAX_BATCH 64

static const Script *running = NULL; /* while a statement of it is attempted */
static bool left_out = false;

bool
layers_is_pending(const char *label)
{
	for (int i = 0; running && i < running->n; i++)
	{
		const ScriptStatement *s = &running->statements[i];

		if (s->defines && !s->done && s->about.schema &&
			strcmp(strata_base_label(s->about.schema, s->about.name), label) == 0)
			return true;
	}
	return false;
}

void
layers_note_left_out(void)
{
	left_out = true;
}

/* ---- running one statement ---- */

static void
statement_context(void *arg)
{
	const ScriptStatement *s = arg;

	errcontext("definition %d of the script, line %d: %s", s->number, s->line, s->title);
}

/* define_check gives the check's name alone: whether it wrote anything is told by who made the row. */
static char *
check_result(const ScriptStatement *s, const char *name)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_text(&args, name);
	strata_args_text(&args, s->about.schema);
	strata_args_text(&args, s->about.name);
	strata_args_int8(&args, GetCurrentTransactionIdIfAny());
	rows = strata_base_keeper_query(
		"SELECT format('%s check %s of %I.%I', CASE WHEN c.xmin::text::bigint = $4 THEN 'defined' ELSE 'unchanged' END,"
		" c.name, m.schema_name, m.relation_name)"
		" FROM strata_state.check_definition c JOIN strata_state.model m ON m.id = c.model_id"
		" WHERE c.name = $1 AND m.relation_name = $3::name AND ($2 IS NULL OR m.schema_name = $2::name)",
		&args);
	return rows->count > 0 ? strata_rows_text(rows, 0, 1) : pstrdup(name);
}

static char *
run_statement(const ScriptStatement *s)
{
	static const char *const names[SCRIPT_SETTINGS] = SCRIPT_SETTING_NAMES;
	ErrorContextCallback context = {error_context_stack, statement_context, (void *) s};
	int level = NewGUCNestLevel();
	StrataRows *rows;
	char *result;

	error_context_stack = &context;
	for (int i = 0; i < SCRIPT_SETTINGS; i++)
		if (s->settings[i])
			(void) set_config_option(names[i], s->settings[i], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
									 false);
	rows = strata_base_query(s->text, NULL);
	result = rows->count == 1 ? strata_rows_text(rows, 0, 1) : NULL;
	if (strcmp(s->function, "define_check") == 0 && result)
		result = check_result(s, result);
	else if (result == NULL || *result == '\0')
		result = pstrdup(s->title);
	AtEOXact_GUC(false, level);
	error_context_stack = context.previous;
	return result;
}

/* Errors that another statement of the script may remove: something missing, or standing in the way. */
static bool
may_pass_later(int sqlerrcode)
{
	if (sqlerrcode == ERRCODE_SYNTAX_ERROR || sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return false;
	return sqlerrcode == ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST ||
		   ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION;
}

/* In the order given. The memory of each goes when it is done. */
static void
run_batch(ScriptStatement **batch, int n, volatile int *at, MemoryContext keep)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "definition of a script", ALLOCSET_DEFAULT_SIZES);

	for (*at = 0; *at < n; (*at)++)
	{
		ScriptStatement *s = batch[*at];

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(work);
		s->result = MemoryContextStrdup(keep, run_statement(s));
		s->done = true;
		MemoryContextSwitchTo(keep);
		MemoryContextReset(work);
	}
	MemoryContextDelete(work);
}

/*
 * Several statements in one subtransaction: what ends a subtransaction costs more the more the transaction has done. -1: all are
 * done. Else none is: the one of that index failed in a way that may pass, and its error says how; any other error is raised.
 */
static int
attempt(const Script *script, ScriptStatement **batch, int n)
{
	MemoryContext keep = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	volatile int at = 0;

	BeginInternalSubTransaction(NULL);
	layers_attempting = true;
	running = script;
	PG_TRY();
	{
		run_batch(batch, n, &at, keep);
		layers_attempting = false;
		running = NULL;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		layers_attempting = false;
		running = NULL;
		MemoryContextSwitchTo(keep);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(keep);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return -1;
	for (int i = 0; i < n; i++)
		batch[i]->done = false;
	batch[at]->error = error;
	if (!may_pass_later(error->sqlerrcode))
		ReThrowError(error);
	return at;
}

/* Every statement that is left, once; their results in the order in which they were done. Number of those done. */
static int
attempt_all(const Script *script, const int *order, ReturnSetInfo *set, int step)
{
	ScriptStatement **pending = palloc(sizeof(ScriptStatement *) * script->n);
	int n = 0;
	int size = MAX_BATCH;
	int i = 0;

	for (int k = 0; k < script->n; k++)
		if (!script->statements[order[k]].done)
			pending[n++] = &script->statements[order[k]];
	while (i < n)
	{
		int length = Min(size, n - i);
		int failed = attempt(script, pending + i, length);

		if (failed >= 0)
		{
			/* those before it once more, without it */
			memmove(pending + i + failed, pending + i + failed + 1, sizeof(ScriptStatement *) * (n - i - failed - 1));
			n--;
			size = Max(1, failed);
			continue;
		}
		for (int k = i; k < i + length; k++)
		{
			Datum values[2] = {Int32GetDatum(step + k + 1), CStringGetTextDatum(pending[k]->result)};
			bool nulls[2] = {false, false};

			tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
		}
		i += length;
		size = Min(MAX_BATCH, size * 2);
	}
	pfree(pending);
	return n;
}

/* ---- what is left when nothing moves ---- */

static ScriptStatement *
awaited(const Script *script, const ScriptStatement *s)
{
	ListCell *lc;

	foreach (lc, s->after)
		if (!script->statements[lfirst_int(lc)].done)
			return &script->statements[lfirst_int(lc)];
	return NULL;
}

/* Each that waits for another waits in vain. The first that waits for none is the cause; without one they wait in a circle. */
static void
raise_stuck(const Script *script)
{
	ScriptStatement *s = NULL;
	List *path = NIL;
	List *titles = NIL;

	for (int i = 0; i < script->n; i++)
	{
		if (script->statements[i].done)
			continue;
		if (awaited(script, &script->statements[i]) == NULL)
		{
			/* once more, for good: now the error may take its time and suggest names */
			run_statement(&script->statements[i]);
			ReThrowError(script->statements[i].error);
		}
		if (s == NULL)
			s = &script->statements[i];
	}
	while (!list_member_ptr(path, s))
	{
		path = lappend(path, s);
		s = awaited(script, s);
	}
	while (linitial(path) != s)
		path = list_delete_first(path);
	for (int i = 0; i < list_length(path); i++)
		titles = lappend(titles, ((ScriptStatement *) list_nth(path, i))->subject);
	titles = lappend(titles, s->subject);
	ereport(ERROR, (errcode(ERRCODE_INVALID_RECURSION), errmsg("definitions of the script read each other in a circle"),
					errdetail("%s.\nThe definition of %s said: %s", strata_base_join(titles, " reads "), s->subject,
							  s->error->message),
					errhint("Break the circle by reading the sources instead in one of these models."),
					errcontext("definition %d of the script, line %d: %s", s->number, s->line, s->title)));
}

/* What was left out for a definition to come must be there again. */
static void
require_definitions(void)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_text(&args, LAYERS_AWAITING);
	rows = strata_base_keeper_query(
		"SELECT format('%I.%I', schema_name, relation_name) FROM strata_state.model AS m WHERE EXISTS ("
		"  SELECT FROM pg_attribute WHERE attrelid = to_regclass(format('strata_state.m%s_query', m.id)) AND attname = $1)"
		" ORDER BY 1",
		&args);
	if (rows->count > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("the script would break model %s", strata_rows_text(rows, 0, 1)),
				 errdetail("It reads what another definition takes away, and its own definition stays as it was."),
				 errhint("Change the definition of %s in the script too.", strata_rows_text(rows, 0, 1))));
}

void
layers_define_all(FunctionCallInfo fcinfo, const char *text)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	Script *script;
	int *order;
	int step = 0;

	InitMaterializedSRF(fcinfo, 0);
	left_out = false;
	script = layers_script_read(text);
	order = layers_script_order(script);
	while (step < script->n)
	{
		int done = attempt_all(script, order, set, step);

		if (done == 0)
			raise_stuck(script);
		step += done;
	}
	if (left_out)
		require_definitions();
}
