/*
 * names.c: names as users write them, quoted as PostgreSQL quotes them, and what they may have meant.
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/transam.h"
#include "base/base.h"
#include "catalog/pg_operator.h"
#include "mb/pg_wchar.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

void
strata_base_check_identifier(const char *name, const char *argument)
{
	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("%s: a name is empty", argument),
						errhint("Give a name of 1 to %d bytes.", NAMEDATALEN - 1)));
	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG), errmsg("%s: name \"%s\" is too long", argument, name),
						errdetail("It has %zu bytes; PostgreSQL keeps %d.", strlen(name), NAMEDATALEN - 1),
						errhint("Choose a shorter name; names are never cut silently.")));
}

static void
bad_name(const char *text, const char *argument, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("%s: \"%s\" is not a valid name", argument, text),
					errdetail("%s", why),
					errhint("Write schema.relation; put a part with capitals, dots or spaces in double quotes.")));
}

/* One part, quoted or not; advances *cursor past it. */
static char *
parse_part(const char *text, const char **cursor, const char *argument)
{
	const char *p = *cursor;
	StringInfoData part;

	initStringInfo(&part);
	if (*p == '"')
	{
		for (p++;; p++)
		{
			if (*p == '\0')
				bad_name(text, argument, "A double quote is not closed.");
			if (*p == '"')
			{
				if (p[1] != '"')
					break;
				p++;
			}
			appendStringInfoChar(&part, *p);
		}
		p++;
	}
	else
	{
		const char *start = p;

		while (*p && *p != '.' && *p != '"' && !isspace((unsigned char) *p))
			p++;
		if (p == start)
			bad_name(text, argument, "A part of the name is empty.");
		appendStringInfoString(&part, downcase_identifier(start, p - start, false, false));
		if (!IS_HIGHBIT_SET(part.data[0]) && !isalpha((unsigned char) part.data[0]) && part.data[0] != '_')
			bad_name(text, argument, "An unquoted name begins with a letter or an underscore.");
		for (int i = 0; i < part.len; i++)
			if (!IS_HIGHBIT_SET(part.data[i]) && !isalnum((unsigned char) part.data[i]) && part.data[i] != '_' &&
				part.data[i] != '$')
				bad_name(text, argument, "An unquoted name has only letters, digits, underscores and dollar signs.");
	}
	*cursor = p;
	strata_base_check_identifier(part.data, argument);
	return part.data;
}

StrataName
strata_base_parse_name(const char *text, const char *argument)
{
	StrataName result = {NULL, NULL};
	const char *p = text;

	while (isspace((unsigned char) *p))
		p++;
	if (*p == '\0')
		bad_name(text, argument, "It is empty.");
	result.name = parse_part(text, &p, argument);
	if (*p == '.')
	{
		p++;
		result.schema = result.name;
		result.name = parse_part(text, &p, argument);
	}
	while (isspace((unsigned char) *p))
		p++;
	if (*p == '.')
		bad_name(text, argument, "It has more than two parts.");
	if (*p != '\0')
		bad_name(text, argument, "Something follows the name.");
	return result;
}

char *
strata_base_quote(const char *identifier)
{
	return pstrdup(quote_identifier(identifier));
}

/*
 * The text of a query. PostgreSQL leaves the relation's name out where there is one only, and ORDER BY then finds output
 * columns first: SELECT a AS b, b AS a FROM t ORDER BY t.a would be read back with ORDER BY t.b. With a second entry, which
 * nothing refers to, every column is qualified.
 */
char *
strata_base_query_text(Query *query)
{
	Query *copy = copyObject(query);

	if (list_length(copy->rtable) == 1)
		copy->rtable = lappend(copy->rtable, copyObject(linitial(copy->rtable)));
	return pg_get_querydef(copy, false);
}

char *
strata_base_label(const char *schema, const char *name)
{
	return quote_qualified_identifier(schema, name);
}

char *
strata_base_literal(const char *text)
{
	return quote_literal_cstr(text);
}

static char *
join(const List *words, const char *separator, bool quoted)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, words)
	{
		const char *word = lfirst(lc);

		if (buf.len > 0)
			appendStringInfoString(&buf, separator);
		appendStringInfoString(&buf, quoted ? quote_identifier(word) : word);
	}
	return buf.data;
}

char *
strata_base_join(const List *words, const char *separator)
{
	return join(words, separator, false);
}

char *
strata_base_join_quoted(const List *words, const char *separator)
{
	return join(words, separator, true);
}

bool
strata_base_list_has(const List *words, const char *word)
{
	ListCell *lc;

	foreach (lc, words)
	{
		if (strcmp(lfirst(lc), word) == 0)
			return true;
	}
	return false;
}

typedef struct Near
{
	const char *word;
	int distance;
} Near;

static int
by_distance(const ListCell *a, const ListCell *b)
{
	const Near *x = lfirst(a);
	const Near *y = lfirst(b);

	/* the words decide between equals: the sort keeps no order of its own */
	return x->distance != y->distance ? x->distance - y->distance : strcmp(x->word, y->word);
}

List *
strata_base_nearest(const char *word, const List *candidates)
{
	List *near = NIL;
	List *result = NIL;
	ListCell *lc;
	int length = Min((int) strlen(word), 200);
	int limit = Max(2, length / 3);

	foreach (lc, candidates)
	{
		const char *candidate = lfirst(lc);
		int clength = strlen(candidate);
		int d;

		if (clength > 200 || abs(clength - length) > limit)
			continue;
		d = varstr_levenshtein_less_equal(word, length, candidate, clength, 1, 1, 1, limit, true);
		if (d <= limit)
		{
			Near *n = palloc(sizeof(Near));

			n->word = candidate;
			n->distance = d;
			near = lappend(near, n);
		}
	}
	list_sort(near, by_distance);
	foreach (lc, near)
	{
		if (list_length(result) < 3)
			result = lappend(result, pstrdup(((Near *) lfirst(lc))->word));
	}
	return result;
}

char *
strata_base_suggestion(const char *word, const List *candidates)
{
	List *near = strata_base_nearest(word, candidates);
	StringInfoData buf;

	if (near == NIL)
		return NULL;
	initStringInfo(&buf);
	for (int i = 0; i < list_length(near); i++)
		appendStringInfo(&buf, "%s\"%s\"",
						 i == 0                       ? ""
						 : i == list_length(near) - 1 ? " or "
													  : ", ",
						 (char *) list_nth(near, i));
	return psprintf("Perhaps you meant %s.", buf.data);
}

List *
strata_base_relation_names(void)
{
	StrataRows *rows = strata_base_query(
		"SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)"
		" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
		" WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,m,f,p}')"
		" AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'strata_state')"
		" AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
		" AND pg_catalog.has_table_privilege(c.oid, 'SELECT') LIMIT 5000",
		NULL);
	List *names = NIL;

	for (uint64 i = 0; i < rows->count; i++)
		names = lappend(names, strata_rows_text(rows, i, 1));
	return names;
}

const char *
strata_base_equality(Oid type)
{
	Oid operator= lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple tuple;
	Form_pg_operator form;
	const char *text = "=";

	if (operator<FirstUnpinnedObjectId)
		return text;
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	if (!HeapTupleIsValid(tuple))
		return text;
	form = (Form_pg_operator) GETSTRUCT(tuple);
	text =
		psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return text;
}

/* The test for NULL itself: to IS NULL, a composite value of nothing but NULLs is one, too, and it is none to IS NOT NULL if any field is. */
const char *
strata_base_is_null(Oid type, bool is)
{
	if (type_is_rowtype(type))
		return is ? "IS NOT DISTINCT FROM NULL" : "IS DISTINCT FROM NULL";
	return is ? "IS NULL" : "IS NOT NULL";
}

bool
strata_base_is_ours(Oid function)
{
	Oid extension = get_extension_oid("pg_strata", true);

	return OidIsValid(extension) && getExtensionOfObject(ProcedureRelationId, function) == extension;
}
