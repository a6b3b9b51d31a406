/*
 * attempt.c: something that may fail, in a subtransaction of its own.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/base.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * NULL: it went well. Else the error, in the caller's memory, and all it did is undone; an error that caught says no to goes on. The
 * body runs in the caller's memory. Whoever began the subtransaction has to end it before an error goes on: the
 * next one up would roll back the wrong one.
 */
ErrorData *
strata_base_attempt(void (*body)(void *), void *arg, bool (*caught)(const ErrorData *))
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		MemoryContextSwitchTo(context);
		body(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error && !caught(error))
		ReThrowError(error);
	return error;
}

bool
strata_base_is_interruption(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

bool
strata_base_is_failure(const ErrorData *error)
{
	return !strata_base_is_interruption(error);
}
