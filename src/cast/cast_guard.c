/*
 * cast_guard.c
 *		Runs the explicit cast itself and turns an error about the data into
 *		"does not convert".
 *
 * An error leaves locks, pins and cache references behind, so catching one needs
 * something that gives them back: an internal subtransaction, as an exception
 * block of PL/pgSQL uses. A parallel plan may start none before PostgreSQL 17.
 * There a resource owner of our own does the same for code written in C: the
 * input functions of the server and of extensions hold nothing else when they
 * refuse a text. Functions in SQL or a PL do (SPI, settings): their errors are
 * left to fly in a parallel plan of those versions.
 *
 * Only errors about the data are caught. Cancellation, lack of memory, lack of
 * privilege, a missing cache entry end the statement as they would with the
 * plain cast.
 */
#include "cast/cast_internal.h"

#include "base/compat.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* A reason quotes the value, which may be long; rejected rows keep this much. */
#define MAX_REASON 1000

/*
 * Is this error about the text that was to be converted?
 *
 * Classes 22 and 23 and 0A always are. The rest is read as such from functions
 * in C only, where input is all they deal with: 'nosuch'::regclass is 42P01,
 * 'a &'::tsquery 42601, 'nosuch'::regnamespace 3F000, an array of too many
 * elements 54000; extensions that give no code at all (PostGIS: "parse error -
 * invalid geometry") get XX000.
 */
static bool
is_about_data(const StrataCast *cast, int code)
{
	switch (ERRCODE_TO_CATEGORY(code))
	{
		case MAKE_SQLSTATE('2', '2', '0', '0', '0'):
		case MAKE_SQLSTATE('2', '3', '0', '0', '0'):
		case MAKE_SQLSTATE('0', 'A', '0', '0', '0'):
			return true;
		case MAKE_SQLSTATE('4', '2', '0', '0', '0'):
			return !cast->foreign_code && code != ERRCODE_INSUFFICIENT_PRIVILEGE;
		default:
			break;
	}
	if (cast->foreign_code)
		return false;
	return code == ERRCODE_UNDEFINED_SCHEMA || code == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		   (code == ERRCODE_INTERNAL_ERROR && cast->extension_code);
}

static char *
reason_of(const ErrorData *error)
{
	char *reason = error->detail ? psprintf("%s (%s)", error->message, error->detail) : pstrdup(error->message);
	int len = strlen(reason);

	if (len > MAX_REASON)
	{
		int kept = pg_mbcliplen(reason, len, MAX_REASON - 3);

		memcpy(reason + kept, "...", sizeof("..."));
	}
	return reason;
}

static Datum
evaluate(StrataCast *cast, Datum value, bool isnull, bool *result_isnull)
{
	Datum result;

	cast->econtext->caseValue_datum = value;
	cast->econtext->caseValue_isNull = isnull;
	result = ExecEvalExpr(cast->state, cast->econtext, result_isnull);
	ResetExprContext(cast->econtext);
	return result;
}

/* Gives back what an own resource owner holds; see the top of the file. */
static void
release_owner(ResourceOwner owner, bool success)
{
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, success, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, success, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, success, false);
	ResourceOwnerDelete(owner);
}

/*
 * Converts value by the explicit cast. False: the data do not convert, and
 * *reason (if asked for) says why. Results and reason are in the caller's
 * memory context.
 */
bool
strata_cast_guarded(StrataCast *cast, Datum value, bool isnull, Datum *result, bool *result_isnull, char **reason)
{
	MemoryContext caller_context = CurrentMemoryContext;
	ResourceOwner caller_owner = CurrentResourceOwner;
	ResourceOwner volatile own = NULL;
	bool subtransaction = STRATA_SUBXACT_IN_PARALLEL || !IsInParallelMode();
	ErrorData *volatile error = NULL;

	/* Outside the guard: what it holds must outlive it, and its errors are not about data. */
	if (cast->state == NULL)
		strata_cast_prepare(cast, GetMemoryChunkContext(cast));

	if (!subtransaction && cast->foreign_code)
	{
		*result = evaluate(cast, value, isnull, result_isnull);
		return true;
	}
	if (subtransaction)
	{
		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(caller_context);
	}
	else
	{
		own = ResourceOwnerCreate(caller_owner, "strata cast");
		CurrentResourceOwner = own;
	}
	PG_TRY();
	{
		*result = evaluate(cast, value, isnull, result_isnull);
		if (subtransaction)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller_context);
		error = CopyErrorData();
		FlushErrorState();
		if (subtransaction)
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller_context);
	CurrentResourceOwner = caller_owner;
	if (own)
		release_owner(own, error == NULL);
	if (error == NULL)
		return true;

	/* Functions of the expression may have been left half way: it is not run again. */
	cast->state = NULL;
	FreeExprContext(cast->econtext, false);
	cast->econtext = NULL;
	MemoryContextReset(cast->context);

	if (!is_about_data(cast, error->sqlerrcode))
		ReThrowError(error);
	if (reason)
		*reason = reason_of(error);
	FreeErrorData(error);
	return false;
}
