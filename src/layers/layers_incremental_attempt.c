/*
 * layers_incremental_attempt.c: what can be undone and done in another way.
 */
#include "postgres.h"

#include "access/xact.h"
#include "layers/layers_incremental.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * All of it or nothing. Rows that never stood side by side meet in a difference, and an expression may fail on them that does not fail in
 * the whole query: then what was begun is undone. why: in words, in the caller's memory.
 */
bool
layers_incremental_attempt(bool (*body)(void *), void *arg, char **why)
{
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(outer, "strata incremental refresh", ALLOCSET_DEFAULT_SIZES);
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	/* the statements are short and made for one run: compiling them costs more than it saves */
	strata_base_pin("jit", "off");
	PG_TRY();
	{
		done = body(arg);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(outer);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(outer);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(outer);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(edata->sqlerrcode) != ERRCODE_CARDINALITY_VIOLATION)
			ReThrowError(edata);
		*why = psprintf("the change could not be computed alone: %s", edata->message);
		done = false;
	}
	PG_END_TRY();
	if (!done && *why)
		*why = pstrdup(*why);
	MemoryContextDelete(context);
	return done;
}
