/*
 * parse.c
 *		Text that must be one plain SELECT whose result can be a table.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/heap.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/keywords.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "lineage/lineage.h"

typedef struct ParseText
{
	const char *text;
	const char *what;
} ParseText;

/* Error positions are in the given text, not in the statement that called us. */
static void
error_context(void *argument)
{
	ParseText *parse = argument;
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(parse->text);
	}
	errcontext("analysis of %s", parse->what);
}

/* As parser_errposition: a byte offset, -1 for unknown, into a character position. */
static int
text_errposition(const ParseText *parse, int location)
{
	if (location < 0)
		return 0;
	return errposition(pg_mbstrlen_with_len(parse->text, location) + 1);
}

static Node *
refuse_parameter(ParseState *pstate, ParamRef *parameter)
{
	ParseText *parse = pstate->p_ref_hook_state;

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_PARAMETER), errmsg("%s must not have parameters", parse->what),
			 errdetail("It uses $%d.", parameter->number),
			 errhint("Write the value itself; a dollar sign in a string needs quotes of another kind around the text."),
			 parser_errposition(pstate, parameter->location)));
	return NULL;
}

static void
set_up_parser(ParseState *pstate, void *argument)
{
	pstate->p_ref_hook_state = argument;
	pstate->p_paramref_hook = refuse_parameter;
}

/* ---- before analysis ---- */

static int
skip_blanks(const char *text, int location)
{
	while (location >= 0 && text[location] != '\0' && strchr(" \t\r\n\f\v;", text[location]) != NULL)
		location++;
	return location;
}

/* The first token of the core grammar, as PL/pgSQL's own grammar relies on, too. */
#define CORE_IDENT 258

/* Bytes of the identifier that begins here, as written: quotes do not count, a doubled one counts once. */
static int
written_length(const char *at)
{
	int length = 0;

	if (*at == '"')
	{
		for (at++; *at != '\0' && !(at[0] == '"' && at[1] != '"'); at += *at == '"' ? 2 : 1)
			length++;
		return length;
	}
	while (IS_HIGHBIT_SET(at[length]) || isalnum((unsigned char) at[length]) || at[length] == '_' || at[length] == '$')
		length++;
	return length;
}

/* PostgreSQL cuts identifiers that are too long, with a notice: two names could become one. */
static void
refuse_long_names(const ParseText *parse)
{
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE location;
	int token;

	if (strlen(parse->text) < NAMEDATALEN)
		return;
	scanner = scanner_init(parse->text, &extra, &ScanKeywords, ScanKeywordTokens);
	while ((token = core_yylex(&value, &location, scanner)) != 0)
	{
		int length = token == CORE_IDENT ? written_length(parse->text + location) : 0;

		if (length >= NAMEDATALEN)
			ereport(ERROR,
					(errcode(ERRCODE_NAME_TOO_LONG), errmsg("a name in %s is too long", parse->what),
					 errdetail("It has %d bytes, of which PostgreSQL keeps \"%s\".", length, value.str),
					 errhint("Choose a name of at most %d bytes; names are never cut silently.", NAMEDATALEN - 1),
					 text_errposition(parse, location)));
	}
	scanner_finish(scanner);
}

static void
check_statement(const ParseText *parse, List *statements)
{
	RawStmt *first;
	SelectStmt *select;

	if (statements == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s is empty", parse->what),
				 errdetail("The text holds no statement, only blanks or comments."), errhint("Give one SELECT.")));
	if (list_length(statements) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s must be one SELECT statement", parse->what),
				 errdetail("The text holds %d statements.", list_length(statements)),
				 errhint("Give one SELECT; combine several with WITH or UNION ALL."),
				 text_errposition(parse, skip_blanks(parse->text, lsecond_node(RawStmt, statements)->stmt_location))));

	first = linitial_node(RawStmt, statements);
	if (!IsA(first->stmt, SelectStmt))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s must be a SELECT", parse->what),
						errdetail("It is %s.", GetCommandTagName(CreateCommandTag(first->stmt))),
						errhint("A query only reads: give a SELECT, VALUES or TABLE."),
						text_errposition(parse, skip_blanks(parse->text, first->stmt_location))));

	/* INTO stands in the first arm of set operations */
	for (select = (SelectStmt *) first->stmt; select->op != SETOP_NONE; select = select->larg)
		;
	if (select->intoClause != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s must not be SELECT INTO", parse->what),
						errdetail("It would make the relation \"%s\".", select->intoClause->rel->relname),
						errhint("Leave INTO out: where the rows go is not the query's to say."),
						text_errposition(parse, select->intoClause->rel->location)));
}

/* ---- after analysis ---- */

static const char *
data_command_name(CmdType command)
{
	switch (command)
	{
		case CMD_INSERT:
			return "INSERT";
		case CMD_UPDATE:
			return "UPDATE";
		case CMD_DELETE:
			return "DELETE";
		case CMD_MERGE:
			return "MERGE";
		default:
			return "another kind of statement";
	}
}

static void
check_query(const ParseText *parse, Query *query)
{
	ListCell *cell;

	foreach (cell, query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, cell);
		Query *inner = castNode(Query, cte->ctequery);

		if (inner->commandType != CMD_SELECT)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s must not change data", parse->what),
							errdetail("WITH query \"%s\" is %s.", cte->ctename, data_command_name(inner->commandType)),
							errhint("Only SELECT may stand in WITH."), text_errposition(parse, cte->location)));
	}
	if (query->rowMarks != NIL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s must not lock rows", parse->what),
						errdetail("It has FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE or FOR KEY SHARE."),
						errhint("Leave the FOR clause out; the rows are read in one snapshot anyway.")));
}

static bool
check_walker(Node *node, void *context)
{
	const ParseText *parse = context;

	if (node == NULL)
		return false;
	check_stack_depth();
	if (IsA(node, Query))
	{
		check_query(parse, (Query *) node);
		return query_tree_walker((Query *) node, check_walker, context, QTW_EXAMINE_RTES_BEFORE);
	}
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION && get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s must not read temporary relations", parse->what),
					 errdetail("It reads \"%s\", which is gone when this session ends.", get_rel_name(rte->relid)),
					 errhint("Make it a permanent table, or put its query into a WITH clause.")));
		return false;
	}
	return expression_tree_walker(node, check_walker, context);
}

static void
check_column(const ParseText *parse, TargetEntry *target)
{
	Oid type = exprType((Node *) target->expr);
	int location = exprLocation((Node *) target->expr);

	if (strcmp(target->resname, "?column?") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("column %d of %s has no name", target->resno, parse->what),
				 errdetail("It is an expression, from which no name follows."), errhint("Name it: expression AS name."),
				 text_errposition(parse, location)));
	if (SystemAttributeByName(target->resname) != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
						errmsg("column \"%s\" of %s has the name of a system column", target->resname, parse->what),
						errdetail("Every table has a column of that name already."),
						errhint("Give it another name: %s AS name.", quote_identifier(target->resname)),
						text_errposition(parse, location)));
	if (get_typtype(type) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("column \"%s\" of %s has pseudo-type %s", target->resname, parse->what, format_type_be(type)),
				 errdetail("No table can store values of that type."),
				 errhint("Cast it to a type that can be stored, or take its fields one by one."),
				 text_errposition(parse, location)));
	/* composites that hold pseudo-types, and collations that could not be derived */
	CheckAttributeType(target->resname, type, exprCollation((Node *) target->expr), NIL, 0);
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	TargetEntry *left = lfirst(a);
	TargetEntry *right = lfirst(b);
	int order = strcmp(left->resname, right->resname);

	return order != 0 ? order : (int) left->resno - (int) right->resno;
}

static void
check_columns(const ParseText *parse, Query *query)
{
	List *columns = NIL;
	TargetEntry *second = NULL;
	TargetEntry *first = NULL;
	TargetEntry *last = NULL;
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		if (!lfirst_node(TargetEntry, cell)->resjunk)
			columns = lappend(columns, lfirst(cell));
	}
	if (columns == NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION), errmsg("%s has no columns", parse->what),
						errdetail("Its SELECT list is empty."), errhint("Name at least one column.")));
	if (list_length(columns) > MaxHeapAttributeNumber)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS), errmsg("%s has too many columns", parse->what),
						errdetail("It has %d columns; a table holds at most %d.", list_length(columns),
								  MaxHeapAttributeNumber),
						errhint("Name the columns that are needed.")));
	foreach (cell, columns)
		check_column(parse, lfirst(cell));

	/* of the repeated names, the one that comes back first in the query */
	list_sort(columns, compare_names);
	foreach (cell, columns)
	{
		TargetEntry *target = lfirst(cell);

		if (last != NULL && strcmp(last->resname, target->resname) == 0 &&
			(second == NULL || target->resno < second->resno))
		{
			first = last;
			second = target;
		}
		last = target;
	}
	if (second != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
						errmsg("column \"%s\" of %s is there twice", second->resname, parse->what),
						errdetail("Columns %d and %d have that name.", first->resno, second->resno),
						errhint("Rename one with AS, or leave it out; instead of *, name the columns."),
						text_errposition(parse, exprLocation((Node *) second->expr))));
}

Query *
strata_lineage_parse(const char *query_text, const char *what)
{
	ParseText parse = {.text = query_text, .what = what};
	ErrorContextCallback callback = {.callback = error_context, .arg = &parse, .previous = error_context_stack};
	List *statements;
	Query *query;

	error_context_stack = &callback;
	refuse_long_names(&parse);
	statements = raw_parser(query_text, RAW_PARSE_DEFAULT);
	check_statement(&parse, statements);
	query = parse_analyze_withcb(linitial_node(RawStmt, statements), query_text, set_up_parser, &parse, NULL);
	if (query->commandType != CMD_SELECT)
		elog(ERROR, "a SELECT became another kind of statement");
	check_walker((Node *) query, &parse);
	check_columns(&parse, query);
	error_context_stack = callback.previous;
	return query;
}
