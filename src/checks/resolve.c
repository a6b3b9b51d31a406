/*
 * resolve.c: what the user wrote, as PostgreSQL understood it.
 *
 * An expression or query is parsed by itself, so no text can end it and begin something else; analyzed as the model's
 * owner under the search_path and settings the model was defined with; and kept deparsed, with every name qualified.
 * What runs later is that text, under the pinned search_path: a schema or function made since then cannot take the
 * place of what was meant.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "checks/checks_internal.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

typedef char *(*Resolver)(const StrataModel *model, const char *text, const char *what);

/* Position of the error inside the user's text, not inside the statement that called us. */
static void
transpose_position(void *arg)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
}

static List *
parse(const char *text, RawParseMode mode)
{
	ErrorContextCallback callback;
	List *trees;

	callback.callback = transpose_position;
	callback.arg = (void *) text;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	trees = raw_parser(text, mode);
	error_context_stack = callback.previous;
	return trees;
}

static void
not_an_expression(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s is not one expression", what),
					errhint("Write a condition on the columns of a row, as in a CHECK constraint: montant > 0.")));
}

static Node *
parse_expression(const char *text, const char *what)
{
	List *trees;
	SelectStmt *select;
	ResTarget *target;

	trees = parse(text, RAW_PARSE_PLPGSQL_EXPR);
	if (list_length(trees) != 1)
		not_an_expression(what);
	select = (SelectStmt *) linitial_node(RawStmt, trees)->stmt;
	if (!IsA(select, SelectStmt) || select->op != SETOP_NONE || select->distinctClause || select->intoClause ||
		select->fromClause || select->whereClause || select->groupClause || select->havingClause ||
		select->windowClause || select->valuesLists || select->sortClause || select->limitOffset ||
		select->limitCount || select->lockingClause || select->withClause || list_length(select->targetList) != 1)
		not_an_expression(what);
	target = linitial_node(ResTarget, select->targetList);
	if (target->name || target->indirection ||
		(IsA(target->val, ColumnRef) && IsA(llast(((ColumnRef *) target->val)->fields), A_Star)))
		not_an_expression(what);
	return target->val;
}

static void
refuse_volatile(Node *node, const char *what)
{
	if (contain_volatile_functions(node))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s uses a volatile function", what),
				 errdetail("A check must give the same answer for the same rows, and change nothing."),
				 errhint("Use stable or immutable functions only; declare your own function STABLE where it is.")));
}

static char *
resolve_expression(const StrataModel *model, const char *text, const char *what)
{
	Node *raw = parse_expression(text, what);
	ParseState *pstate = make_parsestate(NULL);
	Relation rel = table_open(model->relid, AccessShareLock);
	Node *expr;
	char *deparsed;
	int level;

	pstate->p_sourcetext = text;
	addNSItemToQuery(pstate, addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true), true, true,
					 true);
	/* the rules of a CHECK constraint: no subquery, aggregate, window or set-returning function */
	expr = transformExpr(pstate, raw, EXPR_KIND_CHECK_CONSTRAINT);
	if (exprType(expr) != BOOLOID && exprType(expr) != UNKNOWNOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("%s must be boolean, it is %s", what, format_type_be(exprType(expr))),
						errhint("Write a condition: montant > 0.")));
	expr = coerce_to_boolean(pstate, expr, "CHECK");
	assign_expr_collations(pstate, expr);
	refuse_volatile(expr, what);

	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	deparsed = deparse_expression(expr, deparse_context_for("t", model->relid), false, false);
	AtEOXact_GUC(false, level);
	table_close(rel, NoLock);
	return deparsed;
}

static char *
resolve_query(const StrataModel *model, const char *text, const char *what)
{
	List *trees = parse(text, RAW_PARSE_DEFAULT);
	RawStmt *raw;
	Query *query;
	char *deparsed;
	int level;

	if (list_length(trees) != 1)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s must be one SELECT", what),
						errdetail("It has %d statements.", list_length(trees)),
						errhint("Write the query whose rows are the failures.")));
	raw = linitial_node(RawStmt, trees);
	if (!IsA(raw->stmt, SelectStmt) || ((SelectStmt *) raw->stmt)->intoClause)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s must be one SELECT", what),
						errhint("Write the query whose rows are the failures.")));
	query = parse_analyze_fixedparams(raw, text, NULL, 0, NULL);
	if (query->commandType != CMD_SELECT || query->utilityStmt || query->rowMarks || query->hasModifyingCTE)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s must only read", what),
						errdetail("It locks or changes rows."),
						errhint("Leave out FOR UPDATE, INTO and data-modifying WITH.")));
	refuse_volatile((Node *) query, what);

	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	deparsed = strata_base_query_text(query);
	AtEOXact_GUC(false, level);
	return deparsed;
}

/* Runs a resolver; an error names the option, and shows the text it is about. */
static char *
resolve_text(Resolver resolver, const StrataModel *model, const StrataCheck *check, const char *option)
{
	char *text = strata_option_text(check->options, option);
	char *what = psprintf("option \"%s\" of check %s on %s", option, check->name, model->label);
	MemoryContext context = CurrentMemoryContext;
	ErrorContextCallback callback;
	char *resolved = NULL;

	if (text == NULL)
		return NULL;
	callback.callback = transpose_position;
	callback.arg = text;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	PG_TRY();
	{
		resolved = resolver(model, text, what);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (strncmp(error->message, "option ", 7) != 0)
			error->message = psprintf("%s: %s", what, error->message);
		if (error->detail == NULL)
			error->detail = psprintf("It is: %s", text);
		if (error->hint == NULL)
			error->hint =
				strcmp(option, "query") == 0
					? pstrdup("Write one SELECT that gives the failing rows; names resolve as in the model's query.")
					: pstrdup(
						  "Write a condition on the columns of one row, as in a CHECK constraint; for more, use kind query.");
		ReThrowError(error);
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	return resolved;
}

void
strata_checks_resolve(const StrataModel *model, StrataCheck *check)
{
	StrataIdentity saved;

	strata_base_enter_owner(model->owner, &model->settings, &saved);
	(void) set_config_option("search_path", model->search_path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	check->where = resolve_text(resolve_expression, model, check, "where");
	check->expression = resolve_text(resolve_expression, model, check, "expression");
	check->query = resolve_text(resolve_query, model, check, "query");
	strata_base_leave(&saved);
}
