/*
 * suggest.c
 *		The relations a misspelled name may mean.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/base.h"
#include "lineage/lineage.h"

static bool
is_name_byte(unsigned char c)
{
	return IS_HIGHBIT_SET(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		   c == '_' || c == '$';
}

/* The end of the identifier that starts at text, quotes included; text itself when none does. */
static const char *
identifier_end(const char *text)
{
	const char *end = text;

	if (*end != '"')
	{
		while (is_name_byte(*end))
			end++;
		return end;
	}
	for (end++; *end != '\0'; end++)
	{
		if (*end != '"')
			continue;
		if (end[1] != '"')
			return end + 1;
		end++;
	}
	return text;
}

/* The possibly qualified name that starts at text, as written; NULL when none does. */
static char *
name_at(const char *text)
{
	const char *end = identifier_end(text);

	while (end > text && *end == '.' && identifier_end(end + 1) > end + 1)
		end = identifier_end(end + 1);
	return end > text ? pnstrdup(text, end - text) : NULL;
}

/*
 * A HINT text with the relations nearest to the name at a position of the
 * text (counted in characters from 1), or NULL. A bare name is compared with
 * the names in all schemas, so that a forgotten schema is found too.
 */
static char *
suggestion_at(const char *query_text, int position)
{
	List *labels;
	List *names = NIL;
	StringInfoData hint;
	int count = 0;
	char *name;
	ListCell *near;

	if (position < 1 || position > pg_mbstrlen(query_text))
		return NULL;
	name = name_at(query_text + pg_mbcharcliplen(query_text, strlen(query_text), position - 1));
	if (name == NULL)
		return NULL;
	labels = strata_base_relation_names();
	if (*identifier_end(name) == '.')
		return strata_base_suggestion(name, labels);

	foreach (near, labels)
		names = lappend(names, (char *) identifier_end(lfirst(near)) + 1);
	initStringInfo(&hint);
	foreach (near, strata_base_nearest(name, names))
	{
		ListCell *label;
		ListCell *each;

		/* the same name in several schemas comes back several times */
		forboth (label, labels, each, names)
		{
			if (strcmp(lfirst(each), lfirst(near)) == 0)
			{
				appendStringInfo(&hint, "%s\"%s\"", count++ == 0 ? "Perhaps you meant " : " or ",
								 (char *) lfirst(label));
				lfirst(each) = "";
				break;
			}
		}
	}
	return count == 0 ? NULL : psprintf("%s.", hint.data);
}

/*
 * strata_lineage_parse, and a HINT where a relation does not exist. Names are
 * looked up only after the failed analysis is rolled back; that takes a
 * subtransaction, and a list of all relations on failure, so whoever
 * expects failures (definitions in any order) calls strata_lineage_parse.
 */
Query *
strata_lineage_parse_suggesting(const char *query_text, const char *what)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile failure = NULL;
	Query *volatile query = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		query = strata_lineage_parse(query_text, what);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		failure = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (failure != NULL)
	{
		ErrorData *error = failure;

		if (error->sqlerrcode == ERRCODE_UNDEFINED_TABLE && error->hint == NULL)
			error->hint = suggestion_at(query_text, error->internalpos);
		ReThrowError(error);
	}
	return query;
}
