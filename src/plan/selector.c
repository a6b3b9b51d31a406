/*
 * selector.c: the language that chooses models (docs/selectors.md).
 *
 *		selector = group { space group }						union
 *		group    = item { "," item }							intersection
 *		item     = [ [ n ] "+" ] atom [ "+" [ n ] ]				with ancestors, with descendants
 *		atom     = name | schema "." name | method ":" value	"*" in an unquoted part stands for any text
 *		method   = layer | tag | schema | state | source
 *
 * It is evaluated while it is read: every part gives a set of nodes, an array of bool. Ancestors and descendants are
 * followed through models the caller may not see; those are never chosen themselves.
 */
#include "postgres.h"

#include <limits.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "plan/plan_internal.h"

#define NO_LEVELS 0
#define ALL_LEVELS INT_MAX

typedef struct Reader
{
	const char *text;
	const char *p;
	const char *argument;
	StrataGraph *graph;
	bool *named; /* nodes that were named in full */
} Reader;

typedef struct Part
{
	char *text;
	bool glob; /* unquoted, with a star */
} Part;

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '$' || c == '*' ||
		   IS_HIGHBIT_SET(c);
}

static _Noreturn void
syntax_error(const Reader *r, const char *at, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s: \"%s\" is not a valid selector", r->argument, r->text),
			 errdetail("At character %d: %s.", pg_mbstrlen_with_len(r->text, at - r->text) + 1, why),
			 errhint("Write names or method:value, with + before for what they read and after for what reads them;"
					 " a space means either, a comma without spaces means both.")));
}

/* ---- words ---- */

static char *
read_quoted(Reader *r)
{
	const char *start = r->p;
	StringInfoData buf;

	initStringInfo(&buf);
	for (r->p++;; r->p++)
	{
		if (*r->p == '\0')
			syntax_error(r, start, "this double quote is not closed");
		if (*r->p == '"')
		{
			if (r->p[1] != '"')
				break;
			r->p++;
		}
		appendStringInfoChar(&buf, *r->p);
	}
	r->p++;
	if (buf.len == 0)
		syntax_error(r, start, "a name is empty");
	return buf.data;
}

static Part
read_part(Reader *r)
{
	const char *start = r->p;
	Part part = {0};

	if (*r->p == '"')
	{
		part.text = read_quoted(r);
		return part;
	}
	while (is_word(*r->p))
		r->p++;
	if (r->p == start)
		syntax_error(r, start, *start == '\0' || is_space(*start) ? "a name is missing" : "a name was expected here");
	part.text = downcase_identifier(start, r->p - start, false, false);
	part.glob = strchr(part.text, '*') != NULL;
	return part;
}

/* The value of tag: is no identifier: its case counts, and it may hold anything that does not end it. */
static Part
read_tag(Reader *r)
{
	const char *start = r->p;
	Part part = {0};

	if (*r->p == '"')
	{
		part.text = read_quoted(r);
		return part;
	}
	while (*r->p && !is_space(*r->p) && *r->p != ',' && *r->p != '+' && *r->p != '"')
		r->p++;
	if (r->p == start)
		syntax_error(r, start, "a tag is missing");
	part.text = pnstrdup(start, r->p - start);
	part.glob = strchr(part.text, '*') != NULL;
	return part;
}

static bool
glob_matches(const char *pattern, const char *text)
{
	const char *star = NULL;
	const char *retry = NULL;

	while (*text)
	{
		if (*pattern == '*')
		{
			star = pattern++;
			retry = text;
		}
		else if (*pattern == *text)
		{
			pattern++;
			text++;
		}
		else if (star)
		{
			pattern = star + 1;
			text = ++retry;
		}
		else
			return false;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool
matches(const Part *part, const char *text)
{
	return part->glob ? glob_matches(part->text, text) : strcmp(part->text, text) == 0;
}

/* ---- atoms ---- */

static _Noreturn void
unknown_word(const Reader *r, const char *at, const char *what, const char *word, List *known)
{
	char *hint = strata_base_suggestion(word, known);

	ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s: there is no %s \"%s\"", r->argument, what, word),
					errdetail("At character %d of \"%s\". There are: %s.",
							  pg_mbstrlen_with_len(r->text, at - r->text) + 1, r->text, strata_base_join(known, ", ")),
					hint ? errhint("%s", hint) : 0));
}

static void
notice_nothing(const Reader *r, const char *start, const char *word, const List *candidates)
{
	char *hint;

	if (r->graph->quiet)
		return;
	hint = strata_base_suggestion(word, candidates);
	ereport(NOTICE, (errmsg("%s: \"%s\" matches no model", r->argument, pnstrdup(start, r->p - start)),
					 hint ? errhint("%s", hint) : 0));
}

/* A model, or several by a pattern. Only a name in full that is unknown is an error: a pattern promises nothing. */
static void
choose_names(Reader *r, bool *set)
{
	StrataGraph *graph = r->graph;
	const char *start = r->p;
	Part schema = {0};
	Part name = read_part(r);
	List *found = NIL;
	List *known = NIL;
	char *written;
	char *hint;
	bool several;

	if (*r->p == '.')
	{
		r->p++;
		schema = name;
		name = read_part(r);
		if (*r->p == '.')
			syntax_error(r, r->p, "a model's name has at most two parts, schema.name");
	}
	several = name.glob || schema.glob;
	for (int i = 0; i < graph->n; i++)
	{
		const StrataModel *m = graph->nodes[i].model;

		if (!graph->nodes[i].visible || !matches(&name, m->name) || (schema.text && !matches(&schema, m->schema)))
			continue;
		set[i] = true;
		if (!several)
			r->named[i] = true;
		found = lappend(found, m->label);
	}
	if (list_length(found) == 1 || (found != NIL && several))
		return;
	written = pnstrdup(start, r->p - start);
	if (found != NIL)
		ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_ALIAS),
						errmsg("%s: more than one model is named \"%s\"", r->argument, written),
						errdetail("They are %s and %s.", (char *) linitial(found), (char *) lsecond(found)),
						errhint("Write the schema too.")));
	if (several && strcmp(written, "*") == 0)
		return;
	for (int i = 0; i < graph->n; i++)
		if (graph->nodes[i].visible)
			known = lappend(known, schema.text ? graph->nodes[i].model->label : graph->nodes[i].model->name);
	if (several)
	{
		notice_nothing(r, start, written, NIL);
		return;
	}
	hint = strata_base_suggestion(schema.text ? strata_base_label(schema.text, name.text) : name.text, known);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("%s: there is no model \"%s\"", r->argument, written),
			 errdetail("At character %d of \"%s\".", pg_mbstrlen_with_len(r->text, start - r->text) + 1, r->text),
			 hint ? errhint("%s", hint) : errhint("SELECT model FROM strata.models; lists those there are.")));
}

static void
choose_layer(Reader *r, bool *set)
{
	static const StrataLayer layers[] = {STRATA_STAGING, STRATA_DIMENSION, STRATA_FACT, STRATA_MART};
	const char *start = r->p;
	Part value = read_part(r);
	List *known = NIL;

	for (int l = 0; l < (int) lengthof(layers); l++)
	{
		const char *layer = strata_registry_layer_name(layers[l]);

		known = lappend(known, (char *) layer);
		if (!matches(&value, layer))
			continue;
		for (int i = 0; i < r->graph->n; i++)
			set[i] |= r->graph->nodes[i].model->layer == layers[l];
	}
	if (!value.glob && !strata_base_list_has(known, value.text))
		unknown_word(r, start, "layer", value.text, known);
}

static void
choose_state(Reader *r, bool *set)
{
	static const char *const states[] = {"stale", "modified", "new", "broken"};
	const char *start = r->p;
	Part value = read_part(r);
	List *known = NIL;

	for (int s = 0; s < (int) lengthof(states); s++)
		known = lappend(known, (char *) states[s]);
	if (!strata_base_list_has(known, value.text))
		unknown_word(r, start, "state", value.text, known);
	if (strcmp(value.text, "stale") == 0)
		strata_plan_mark_stale(r->graph);
	for (int i = 0; i < r->graph->n; i++)
	{
		const StrataNode *node = &r->graph->nodes[i];

		switch (value.text[0])
		{
			case 's':
				set[i] = node->stale;
				break;
			case 'm':
				set[i] = strata_plan_is_modified(node->model);
				break;
			case 'n':
				set[i] = strata_plan_is_new(node->model);
				break;
			case 'b':
				set[i] = strata_plan_is_broken(node->model);
				break;
		}
	}
}

static void
choose_tag(Reader *r, bool *set, const char *start)
{
	Part value = read_tag(r);
	List *known = NIL;
	bool found = false;
	ListCell *lc;

	for (int i = 0; i < r->graph->n; i++)
	{
		if (!r->graph->nodes[i].visible)
			continue;
		foreach (lc, r->graph->nodes[i].model->tags)
		{
			char *tag = lfirst(lc);

			if (matches(&value, tag))
				found = set[i] = true;
			if (!strata_base_list_has(known, tag))
				known = lappend(known, tag);
		}
	}
	if (!found)
		notice_nothing(r, start, value.text, known);
}

static void
choose_schema(Reader *r, bool *set, const char *start)
{
	Part value = read_part(r);
	List *known = NIL;
	bool found = false;

	for (int i = 0; i < r->graph->n; i++)
	{
		if (!r->graph->nodes[i].visible)
			continue;
		if (matches(&value, r->graph->nodes[i].model->schema))
			found = set[i] = true;
		if (!strata_base_list_has(known, r->graph->nodes[i].model->schema))
			known = lappend(known, r->graph->nodes[i].model->schema);
	}
	if (!found)
		notice_nothing(r, start, value.text, known);
}

/* The models that read a source directly; declared sources that nothing reads are known, and choose nothing. */
static void
choose_source(Reader *r, bool *set)
{
	StrataGraph *graph = r->graph;
	const char *start = r->p;
	Part schema = {0};
	Part name = read_part(r);
	List *known = NIL;
	StrataRows *declared;
	bool found = false;
	char *written;
	char *hint;
	ListCell *lc;

	if (*r->p == '.')
	{
		r->p++;
		schema = name;
		name = read_part(r);
	}
	for (int i = 0; i < graph->n; i++)
	{
		if (!graph->nodes[i].visible)
			continue;
		foreach (lc, graph->nodes[i].model->dependencies)
		{
			const StrataDependency *d = lfirst(lc);

			if (d->model_id != 0)
				continue;
			if (matches(&name, d->name) && (!schema.text || matches(&schema, d->schema)))
				found = set[i] = true;
			else if (!found)
				known = lappend(known, schema.text ? strata_base_label(d->schema, d->name) : d->name);
		}
	}
	if (found)
		return;
	declared = strata_base_query("SELECT source FROM strata.sources", NULL);
	for (uint64 i = 0; i < declared->count; i++)
	{
		StrataName s = strata_base_parse_name(strata_rows_text(declared, i, 1), "source");

		if (matches(&name, s.name) && (!schema.text || matches(&schema, s.schema)))
			return;
		known = lappend(known, schema.text ? strata_base_label(s.schema, s.name) : s.name);
	}
	written = pnstrdup(start, r->p - start);
	if (name.glob || schema.glob)
	{
		notice_nothing(r, start, written, NIL);
		return;
	}
	hint = strata_base_suggestion(schema.text ? strata_base_label(schema.text, name.text) : name.text, known);
	if (schema.text && strata_plan_node(graph, schema.text, name.text) >= 0 &&
		graph->nodes[strata_plan_node(graph, schema.text, name.text)].visible)
		hint = psprintf("It is a model: write %s+ for it and what reads it.", written);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("%s: no model reads a source \"%s\"", r->argument, written),
			 errdetail("At character %d of \"%s\".", pg_mbstrlen_with_len(r->text, start - r->text) + 1, r->text),
			 hint ? errhint("%s", hint) : errhint("SELECT source FROM strata.lineage; lists those there are.")));
}

/* ---- sets ---- */

/* Adds what is up to so many levels before (reads) or after (readers) the nodes of the set. */
static void
spread(const StrataGraph *graph, bool *set, const bool *from, bool before, int levels)
{
	int *queue = palloc(sizeof(int) * Max(1, graph->n));
	int *depth = palloc(sizeof(int) * Max(1, graph->n));
	int head = 0;
	int tail = 0;

	for (int i = 0; i < graph->n; i++)
	{
		depth[i] = -1;
		if (from[i])
		{
			depth[i] = 0;
			queue[tail++] = i;
		}
	}
	while (head < tail)
	{
		int i = queue[head++];
		const StrataNode *node = &graph->nodes[i];
		const int *next = before ? node->reads : node->readers;
		int n = before ? node->n_reads : node->n_readers;

		set[i] = true;
		if (depth[i] >= levels)
			continue;
		for (int k = 0; k < n; k++)
		{
			if (depth[next[k]] < 0)
			{
				depth[next[k]] = depth[i] + 1;
				queue[tail++] = next[k];
			}
		}
	}
	pfree(queue);
	pfree(depth);
}

/* A number of levels, when there is one here. */
static int
read_levels(Reader *r)
{
	const char *start = r->p;
	int levels = 0;

	if (!is_digit(*r->p))
		return ALL_LEVELS;
	for (; is_digit(*r->p); r->p++)
	{
		if (r->p - start > 5)
			syntax_error(r, start, "a number of levels has at most six digits");
		levels = levels * 10 + (*r->p - '0');
	}
	return levels;
}

static void
choose_item(Reader *r, bool *set)
{
	static const char *const methods[] = {"layer", "tag", "schema", "state", "source"};
	int n = Max(1, r->graph->n);
	const char *start = r->p;
	const char *atom;
	const char *digits = r->p;
	bool *chosen = palloc0(sizeof(bool) * n);
	int before = NO_LEVELS;
	int after = NO_LEVELS;
	int method = -1;

	while (is_digit(*digits))
		digits++;
	if (*digits == '+')
	{
		before = read_levels(r);
		r->p++;
	}
	atom = r->p;
	while (is_word(*r->p))
		r->p++;
	if (*r->p == ':')
	{
		char *word = pnstrdup(atom, r->p - atom);
		List *known = NIL;

		for (int i = 0; i < (int) lengthof(methods); i++)
		{
			known = lappend(known, (char *) methods[i]);
			if (pg_strcasecmp(word, methods[i]) == 0)
				method = i;
		}
		if (method < 0)
			unknown_word(r, atom, "selector method", word, known);
		r->p++;
	}
	else
		r->p = atom;
	switch (method)
	{
		case 0:
			choose_layer(r, chosen);
			break;
		case 1:
			choose_tag(r, chosen, start);
			break;
		case 2:
			choose_schema(r, chosen, start);
			break;
		case 3:
			choose_state(r, chosen);
			break;
		case 4:
			if (before != NO_LEVELS || atom != start)
				syntax_error(r, start, "a source reads nothing: there is nothing before it");
			choose_source(r, chosen);
			break;
		default:
			choose_names(r, chosen);
	}
	if (*r->p == '+')
	{
		const char *plus = r->p;

		r->p++;
		after = read_levels(r);
		/* what reads a source is one level after it already */
		if (method == 4 && after != ALL_LEVELS && --after < 0)
			syntax_error(r, plus, "no level after a source chooses nothing");
	}
	if (*r->p && !is_space(*r->p) && *r->p != ',')
		syntax_error(r, r->p, psprintf("\"%s\" was not expected here", pnstrdup(r->p, pg_mblen(r->p))));

	spread(r->graph, set, chosen, true, before);
	spread(r->graph, set, chosen, false, after);
	pfree(chosen);
}

static bool *
choose(StrataGraph *graph, const char *text, const char *argument, bool *named)
{
	int n = Max(1, graph->n);
	bool *result = palloc0(sizeof(bool) * n);
	Reader r = {0};

	r.text = r.p = text;
	r.argument = argument;
	r.graph = graph;
	for (;;)
	{
		bool *group = NULL;
		bool *item;
		bool *group_named;

		while (is_space(*r.p))
			r.p++;
		if (*r.p == '\0')
			break;
		group_named = r.named = palloc0(sizeof(bool) * n);
		for (;;)
		{
			item = palloc0(sizeof(bool) * n);
			choose_item(&r, item);
			if (group == NULL)
				group = item;
			else
				for (int i = 0; i < graph->n; i++)
					group[i] &= item[i];
			if (*r.p != ',')
				break;
			r.p++;
			if (*r.p == '\0' || is_space(*r.p))
				syntax_error(&r, r.p - 1, "a comma means both, and nothing follows it at once");
		}
		for (int i = 0; i < graph->n; i++)
		{
			result[i] |= group[i];
			named[i] |= group[i] && group_named[i];
		}
		pfree(group);
		pfree(group_named);
		CHECK_FOR_INTERRUPTS();
	}
	return result;
}

bool *
strata_plan_choose(StrataGraph *graph, const char *models, const char *exclude, bool owned_only)
{
	bool *named = palloc0(sizeof(bool) * Max(1, graph->n));
	bool *result;

	if (models == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("models: the selector is NULL"),
						errhint("Write '*' for all models.")));
	if (models[strspn(models, " \t\n\r\f\v")] == '\0')
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("models: the selector is empty"),
						errhint("Write '*' for all models.")));
	result = choose(graph, models, "models", named);
	if (exclude)
	{
		bool *ignored = palloc0(sizeof(bool) * Max(1, graph->n));
		bool *excluded = choose(graph, exclude, "exclude", ignored);

		for (int i = 0; i < graph->n; i++)
			result[i] &= !excluded[i];
	}
	for (int i = 0; i < graph->n; i++)
		result[i] &= graph->nodes[i].visible && (!owned_only || graph->nodes[i].owned || named[i]);
	return result;
}
