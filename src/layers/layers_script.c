/*
 * layers_script.c: the text of a script of definitions, taken apart. Nothing of it is run here.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "layers/layers_internal.h"
#include "layers/layers_script_internal.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

typedef struct Reader
{
	const char *text;
	Script *script;
	char *settings[SCRIPT_SETTINGS];
	int position; /* of the statement at hand, in bytes */
	int count;    /* of the statement at hand, from 1 */
} Reader;

/* ---- where things are ---- */

/* A position in the script is no position in the statement the caller sent. */
static void
syntax_context(void *arg)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
}

static int
line_of(const char *text, int position)
{
	int line = 1;

	for (int i = 0; i < position && text[i]; i++)
		line += text[i] == '\n';
	return line;
}

/* Past white space and comments. */
static int
skip_blank(const char *text, int at, int end)
{
	for (;;)
	{
		while (at < end && scanner_isspace(text[at]))
			at++;
		if (at + 1 < end && text[at] == '-' && text[at + 1] == '-')
			while (at < end && text[at] != '\n')
				at++;
		else if (at + 1 < end && text[at] == '/' && text[at + 1] == '*')
		{
			int depth = 0;

			do
			{
				if (at + 1 < end && text[at] == '/' && text[at + 1] == '*')
				{
					depth++;
					at++;
				}
				else if (at + 1 < end && text[at] == '*' && text[at + 1] == '/')
				{
					depth--;
					at++;
				}
				at++;
			} while (at < end && depth > 0);
		}
		else
			return at;
	}
}

static void
refuse(const Reader *r, int code, const char *problem, const char *hint)
{
	const char *start = r->text + r->position;
	int length = Min((int) strcspn(start, "\r\n"), 80);

	ereport(ERROR, (errcode(code),
					errmsg("statement %d of the script, line %d: %s", r->count, line_of(r->text, r->position), problem),
					errdetail("It begins: %s", pnstrdup(start, pg_mbcliplen(start, strlen(start), length))),
					errhint("%s", hint)));
}

/* ---- settings ---- */

static void
read_setting(Reader *r, VariableSetStmt *set)
{
	static const char *const names[SCRIPT_SETTINGS] = SCRIPT_SETTING_NAMES;

	for (int i = 0; i < SCRIPT_SETTINGS; i++)
	{
		if (set->name == NULL || pg_strcasecmp(set->name, names[i]) != 0)
			continue;
		if (set->kind == VAR_SET_VALUE)
			r->settings[i] = ExtractSetVariableArgs(set);
		else if (set->kind == VAR_SET_DEFAULT || set->kind == VAR_RESET)
			r->settings[i] = NULL;
		else
			break;
		return;
	}
	refuse(
		r, ERRCODE_FEATURE_NOT_SUPPORTED, "this setting has no place in a script of definitions",
		"A script may SET search_path, TimeZone, DateStyle and IntervalStyle: what the meaning of a query depends on.");
}

/* ---- arguments ---- */

static Node *
argument(const FuncCall *call, const char *name, int position)
{
	ListCell *lc;

	foreach (lc, call->args)
	{
		Node *arg = lfirst(lc);

		if (IsA(arg, NamedArgExpr) && strcmp(((NamedArgExpr *) arg)->name, name) == 0)
			return (Node *) ((NamedArgExpr *) arg)->arg;
		if (!IsA(arg, NamedArgExpr) && foreach_current_index(lc) == position)
			return arg;
	}
	return NULL;
}

static char *
constant_text(Node *node)
{
	while (node && IsA(node, TypeCast))
		node = ((TypeCast *) node)->arg;
	if (node && IsA(node, A_Const) && !((A_Const *) node)->isnull && IsA(&((A_Const *) node)->val, String))
		return strVal(&((A_Const *) node)->val);
	return NULL;
}

/* Literals, casts and arrays of them, operators between them: nothing that could do anything. */
static bool
not_constant(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_NamedArgExpr:
		case T_TypeCast:
		case T_A_Const:
		case T_A_ArrayExpr:
		case T_A_Expr:
		case T_TypeName:
		case T_List:
		case T_Integer:
		case T_Float:
		case T_Boolean:
		case T_String:
			return raw_expression_tree_walker(node, not_constant, NULL);
		default:
			return true;
	}
}

/* ---- what a statement mentions ---- */

static void
mention(ScriptStatement *s, const char *schema, const char *name)
{
	StrataName *m = palloc0(sizeof(StrataName));

	m->schema = schema ? pstrdup(schema) : NULL;
	m->name = pstrdup(name);
	s->mentions = lappend(s->mentions, m);
}

static bool
find_relations(Node *node, ScriptStatement *s)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeVar))
	{
		mention(s, ((RangeVar *) node)->schemaname, ((RangeVar *) node)->relname);
		return false;
	}
	return raw_expression_tree_walker(node, find_relations, s);
}

/* A query that cannot be parsed mentions nothing: running its definition will say what is wrong with it. */
static void
find_in_query(ScriptStatement *s, const char *query)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		ListCell *lc;

		foreach (lc, raw_parser(query, RAW_PARSE_DEFAULT))
			find_relations(((RawStmt *) lfirst(lc))->stmt, s);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
}

static bool
is_word(unsigned char c)
{
	return isalnum(c) || c == '_' || c == '$' || IS_HIGHBIT_SET(c);
}

/* Every schema.name in an option: a dimension, a foreign key's model, what a check's query reads. */
static void
find_in_words(ScriptStatement *s, const char *text)
{
	const char *p = text;

	while (*p)
	{
		const char *start = p;
		const char *dot;

		while (is_word(*p))
			p++;
		dot = p;
		if (p > start && *p == '.' && is_word(p[1]))
		{
			for (p++; is_word(*p); p++)
				;
			mention(s, downcase_identifier(start, dot - start, false, false),
					downcase_identifier(dot + 1, p - dot - 1, false, false));
		}
		else if (p == start)
			p++;
	}
}

static bool
find_in_options(Node *node, ScriptStatement *s)
{
	if (node == NULL)
		return false;
	if (constant_text(node))
	{
		find_in_words(s, constant_text(node));
		return false;
	}
	return raw_expression_tree_walker(node, find_in_options, s);
}

/* ---- statements ---- */

static FuncCall *
definition_call(const Reader *r, Node *node)
{
	const char *hint = "A script holds SELECT strata.define_...(...); statements and nothing else.";
	SelectStmt *select = (SelectStmt *) node;
	FuncCall *call;
	const char *name;

	if (!IsA(node, SelectStmt) || list_length(select->targetList) != 1 || select->distinctClause ||
		select->intoClause || select->fromClause || select->whereClause || select->groupClause ||
		select->havingClause || select->windowClause || select->valuesLists || select->sortClause ||
		select->limitOffset || select->limitCount || select->lockingClause || select->withClause ||
		select->op != SETOP_NONE)
		refuse(r, ERRCODE_SYNTAX_ERROR, "this is not one definition", hint);
	call = (FuncCall *) ((ResTarget *) linitial(select->targetList))->val;
	if (!IsA(call, FuncCall) || call->agg_order || call->agg_filter || call->over || call->agg_within_group ||
		call->agg_star || call->agg_distinct || call->func_variadic)
		refuse(r, ERRCODE_SYNTAX_ERROR, "this is not the call of a definition", hint);
	name = strVal(llast(call->funcname));
	if (list_length(call->funcname) != 2 || strcmp(strVal(linitial(call->funcname)), "strata") != 0 ||
		(strncmp(name, "define_", 7) != 0 && strcmp(name, "drop_check") != 0 && strcmp(name, "drop_model") != 0 &&
		 strcmp(name, "drop_source") != 0) ||
		strcmp(name, "define_all") == 0)
		refuse(r, ERRCODE_SYNTAX_ERROR, psprintf("%s is not a definition", NameListToString(call->funcname)), hint);
	if (not_constant((Node *) call->args, NULL))
		refuse(r, ERRCODE_SYNTAX_ERROR, "an argument is not a constant",
			   "Write the value itself: a literal, an array of literals, a cast of them.");
	return call;
}

static void
read_definition(Reader *r, ScriptStatement *s, Node *node, int end)
{
	FuncCall *call = definition_call(r, node);
	bool check;
	char *query;
	ListCell *lc;

	s->line = line_of(r->text, r->position);
	s->text = pnstrdup(r->text + r->position, end - r->position);
	s->function = strVal(llast(call->funcname));
	check = strcmp(s->function, "define_check") == 0 || strcmp(s->function, "drop_check") == 0;
	s->defines = strncmp(s->function, "define_", 7) == 0 && !check;
	s->subject = constant_text(argument(call, check ? "model" : "name", 0));
	s->title = psprintf("strata.%s(%s)", s->function, s->subject ? strata_base_literal(s->subject) : "...");
	memcpy(s->settings, r->settings, sizeof(r->settings));
	if (s->subject == NULL)
		refuse(r, ERRCODE_INVALID_PARAMETER_VALUE,
			   psprintf("strata.%s is given no %s", s->function, check ? "model" : "name"),
			   psprintf("SELECT strata.%s('schema.name', ...);", s->function));
	s->about = strata_base_parse_name(s->subject, check ? "model" : "name");
	if (check)
		mention(s, s->about.schema, s->about.name);
	query = s->defines ? constant_text(argument(call, "query", 1)) : NULL;
	if (query && strcmp(s->function, "define_source") != 0)
		find_in_query(s, query);
	foreach (lc, call->args)
	{
		char *text =
			constant_text(IsA(lfirst(lc), NamedArgExpr) ? (Node *) ((NamedArgExpr *) lfirst(lc))->arg : lfirst(lc));

		if (text != query && text != s->subject)
			find_in_options(lfirst(lc), s);
	}
}

static bool
same_relation(const StrataName *a, const StrataName *b)
{
	return strcmp(a->name, b->name) == 0 &&
		   (a->schema == NULL || b->schema == NULL || strcmp(a->schema, b->schema) == 0);
}

Script *
layers_script_read(const char *text)
{
	Reader r = {text};
	ErrorContextCallback context = {error_context_stack, syntax_context, (void *) text};
	List *parsed;
	ListCell *lc;

	error_context_stack = &context;
	parsed = raw_parser(text, RAW_PARSE_DEFAULT);
	error_context_stack = context.previous;
	r.script = palloc0(sizeof(Script));
	r.script->statements = palloc0(sizeof(ScriptStatement) * Max(1, list_length(parsed)));
	foreach (lc, parsed)
	{
		RawStmt *raw = lfirst_node(RawStmt, lc);
		int end = raw->stmt_len > 0 ? raw->stmt_location + raw->stmt_len : (int) strlen(text);
		ScriptStatement *s = &r.script->statements[r.script->n];

		r.count++;
		r.position = skip_blank(text, raw->stmt_location, end);
		if (IsA(raw->stmt, VariableSetStmt))
		{
			read_setting(&r, (VariableSetStmt *) raw->stmt);
			continue;
		}
		read_definition(&r, s, raw->stmt, end);
		s->number = ++r.script->n;
	}
	return r.script;
}

/* ---- order ---- */

typedef struct Maker
{
	StrataName name;
	int index;
} Maker;

static int
by_name(const void *a, const void *b)
{
	const Maker *x = a;
	const Maker *y = b;
	int c = strcmp(x->name.name, y->name.name);

	if (c == 0)
		c = strcmp(x->name.schema ? x->name.schema : "", y->name.schema ? y->name.schema : "");
	return c != 0 ? c : x->index - y->index;
}

static int
first_of_name(const Maker *makers, int n, const char *name)
{
	int low = 0;
	int high = n;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (strcmp(makers[middle].name.name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
refuse_twice(const Script *script, const Maker *makers, int n)
{
	for (int i = 1; i < n; i++)
	{
		const ScriptStatement *a = &script->statements[makers[i - 1].index];
		const ScriptStatement *b = &script->statements[makers[i].index];

		/* without a schema it depends on search_path, and running it tells */
		if (same_relation(&a->about, &b->about) && a->about.schema && b->about.schema)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("%s is defined twice in the script", b->subject),
							errdetail("By definition %d, line %d, and by definition %d, line %d.", a->number, a->line,
									  b->number, b->line),
							errhint("Keep one of them: in a script the order of definitions means nothing.")));
	}
}

int *
layers_script_order(Script *script)
{
	Maker *makers = palloc(sizeof(Maker) * Max(1, script->n));
	int *order = palloc(sizeof(int) * Max(1, script->n));
	bool *placed = palloc0(sizeof(bool) * Max(1, script->n));
	int n = 0;
	int n_placed = 0;
	bool force = false;

	for (int i = 0; i < script->n; i++)
	{
		if (!script->statements[i].defines)
			continue;
		makers[n].name = script->statements[i].about;
		makers[n++].index = i;
	}
	qsort(makers, n, sizeof(Maker), by_name);
	refuse_twice(script, makers, n);
	for (int i = 0; i < script->n; i++)
	{
		ScriptStatement *s = &script->statements[i];
		ListCell *lc;

		foreach (lc, s->mentions)
		{
			StrataName *m = lfirst(lc);

			for (int k = first_of_name(makers, n, m->name); k < n && strcmp(makers[k].name.name, m->name) == 0; k++)
				if (same_relation(m, &makers[k].name))
					s->after = list_append_unique_int(s->after, makers[k].index);
		}
	}
	while (n_placed < script->n)
	{
		int before = n_placed;

		for (int i = 0; i < script->n; i++)
		{
			const ScriptStatement *s = &script->statements[i];
			bool ready = !placed[i];
			ListCell *lc;

			if (ready && !force)
				foreach (lc, s->after)
					ready = ready && (placed[lfirst_int(lc)] || lfirst_int(lc) == i);
			if (!ready)
				continue;
			placed[i] = true;
			order[n_placed++] = i;
			if (force)
				break;
		}
		/* a circle, as the text has it: start somewhere, and let the attempts decide */
		force = n_placed == before;
	}
	return order;
}
