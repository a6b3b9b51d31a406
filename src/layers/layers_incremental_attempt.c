/*
 * layers_incremental_attempt.c: what can be undone and done in another way.
 */
#include "postgres.h"

#include "layers/layers_incremental.h"
#include "utils/memutils.h"

typedef struct Attempt
{
	bool (*body)(void *);
	void *arg;
	MemoryContext context;
	bool done;
} Attempt;

static void
run(void *arg)
{
	Attempt *a = arg;

	MemoryContextSwitchTo(a->context);
	/* the statements are short and made for one run: compiling them costs more than it saves */
	strata_base_pin("jit", "off");
	a->done = a->body(a->arg);
}

static bool
is_of_rows(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_CARDINALITY_VIOLATION;
}

/*
 * All of it or nothing. Rows that never stood side by side meet in a difference, and an expression may fail on them that does not fail in
 * the whole query: then what was begun is undone. why: in words, in the caller's memory.
 */
bool
layers_incremental_attempt(bool (*body)(void *), void *arg, char **why)
{
	Attempt a = {body, arg,
				 AllocSetContextCreate(CurrentMemoryContext, "strata incremental refresh", ALLOCSET_DEFAULT_SIZES),
				 false};
	ErrorData *error = strata_base_attempt(run, &a, is_of_rows);
	bool done = a.done && error == NULL;

	if (error)
		*why = psprintf("the change could not be computed alone: %s", error->message);
	else if (!done && *why)
		*why = pstrdup(*why);
	MemoryContextDelete(a.context);
	return done;
}
