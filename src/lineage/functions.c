/*
 * functions.c
 *		The functions a query calls: which are not built in, which are
 *		volatile, which tell the time.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "lineage/lineage_internal.h"

static bool note_function(Oid function, void *context);

static List *
add_name(LineageCalls *calls, List *names, const char *name)
{
	ListCell *cell;
	MemoryContext old;

	foreach (cell, names)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return names;
	}
	old = MemoryContextSwitchTo(calls->context);
	names = lappend(names, pstrdup(name));
	MemoryContextSwitchTo(old);
	return names;
}

static List *
add_oid(LineageCalls *calls, List *oids, Oid oid)
{
	MemoryContext old = MemoryContextSwitchTo(calls->context);

	oids = list_append_unique_oid(oids, oid);
	MemoryContextSwitchTo(old);
	return oids;
}

/* Built-in functions by their bare name, others qualified. */
static char *
function_name(Oid function)
{
	char *name = get_func_name(function);
	Oid schema = get_func_namespace(function);

	if (name == NULL)
		return psprintf("%u", function);
	if (schema == PG_CATALOG_NAMESPACE)
		return name;
	return quote_qualified_identifier(get_namespace_name(schema), name);
}

/* The stable functions whose answer moves with the clock. */
static const char *
clock_name(Oid function)
{
	switch (function)
	{
		case F_NOW:
			return "now";
		case F_TRANSACTION_TIMESTAMP:
			return "transaction_timestamp";
		case F_STATEMENT_TIMESTAMP:
			return "statement_timestamp";
		case F_AGE_TIMESTAMP:
		case F_AGE_TIMESTAMPTZ:
			return "age"; /* one argument: counted from current_date */
		default:
			return NULL;
	}
}

static const char *
value_function_name(SQLValueFunctionOp op)
{
	switch (op)
	{
		case SVFOP_CURRENT_DATE:
			return "current_date";
		case SVFOP_CURRENT_TIME:
		case SVFOP_CURRENT_TIME_N:
			return "current_time";
		case SVFOP_CURRENT_TIMESTAMP:
		case SVFOP_CURRENT_TIMESTAMP_N:
			return "current_timestamp";
		case SVFOP_LOCALTIME:
		case SVFOP_LOCALTIME_N:
			return "localtime";
		case SVFOP_LOCALTIMESTAMP:
		case SVFOP_LOCALTIMESTAMP_N:
			return "localtimestamp";
		default:
			return NULL; /* the current user and such */
	}
}

/* A check_function_callback: never says "found", so that every function of a node is seen. */
static bool
note_function(Oid function, void *context)
{
	LineageCalls *calls = context;
	const char *clock;

	if (!OidIsValid(function))
		return false;
	if (function >= FirstNormalObjectId && !calls->in_view)
		calls->functions = add_oid(calls, calls->functions, function);
	if (!list_member_oid(calls->volatile_oids, function) && func_volatile(function) == PROVOLATILE_VOLATILE)
	{
		calls->volatile_oids = add_oid(calls, calls->volatile_oids, function);
		calls->volatile_names = add_name(calls, calls->volatile_names, function_name(function));
	}
	clock = clock_name(function);
	if (clock != NULL)
		calls->time_names = add_name(calls, calls->time_names, clock);
	return false;
}

static void
note_operator(LineageCalls *calls, Oid operator)
{
	if (operator>= FirstNormalObjectId)
		note_function(get_opcode(operator), calls);
}

static void
note_sort_clauses(LineageCalls *calls, List *clauses)
{
	ListCell *cell;

	foreach (cell, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);

		note_operator(calls, clause->eqop);
		note_operator(calls, clause->sortop);
	}
}

/* What this one node calls; its children are the caller's business. */
void
strata_lineage_calls_note(LineageCalls *calls, Node *node)
{
	if (node == NULL)
		return;
	switch (nodeTag(node))
	{
		case T_SQLValueFunction:
		{
			const char *name = value_function_name(((SQLValueFunction *) node)->op);

			if (name != NULL)
				calls->time_names = add_name(calls, calls->time_names, name);
			break;
		}
		case T_NextValueExpr:
			calls->volatile_names = add_name(calls, calls->volatile_names, "nextval");
			break;
		case T_SortGroupClause:
			note_operator(calls, ((SortGroupClause *) node)->eqop);
			note_operator(calls, ((SortGroupClause *) node)->sortop);
			break;
		case T_SetOperationStmt:
			note_sort_clauses(calls, ((SetOperationStmt *) node)->groupClauses);
			break;
		case T_Aggref:
			note_sort_clauses(calls, ((Aggref *) node)->aggorder);
			note_sort_clauses(calls, ((Aggref *) node)->aggdistinct);
			check_functions_in_node(node, note_function, calls);
			break;
		case T_TableSampleClause:
			strata_lineage_calls_note_sample(calls, (TableSampleClause *) node);
			break;
		default:
			check_functions_in_node(node, note_function, calls);
			break;
	}
}

/* A sample without REPEATABLE is another one each time; with it, still the same only while the table is. */
void
strata_lineage_calls_note_sample(LineageCalls *calls, TableSampleClause *sample)
{
	if (sample->tsmhandler >= FirstNormalObjectId && !calls->in_view)
		calls->functions = add_oid(calls, calls->functions, sample->tsmhandler);
	if (sample->repeatable == NULL)
		calls->volatile_names =
			add_name(calls, calls->volatile_names, psprintf("tablesample %s", function_name(sample->tsmhandler)));
}

static bool
view_walker(Node *node, void *context)
{
	LineageCalls *calls = context;

	if (node == NULL)
		return false;
	check_stack_depth();
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, view_walker, context, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *entry = (RangeTblEntry *) node;

		if (entry->rtekind == RTE_RELATION)
			strata_lineage_calls_note_relation(calls, entry->relid, entry->relkind);
		return false;
	}
	strata_lineage_calls_note(calls, node);
	return expression_tree_walker(node, view_walker, context);
}

/*
 * A relation the query reads. The rule of a view is followed, because what
 * is volatile in it is volatile in the query; its tables stay its own affair.
 */
void
strata_lineage_calls_note_relation(LineageCalls *calls, Oid relid, char relkind)
{
	Relation relation;
	bool in_view = calls->in_view;

	if (list_member_oid(calls->views, relid))
		return;
	check_stack_depth();
	calls->views = add_oid(calls, calls->views, relid);
	relation = relation_open(relid, AccessShareLock);
	if (relation->rd_rel->relrowsecurity)
		calls->has_row_security = true;
	if (relation->rd_rel->relkind == RELKIND_VIEW && relation->rd_rel->relhasrules && relation->rd_rules != NULL)
	{
		calls->in_view = true;
		view_walker((Node *) get_view_query(relation), calls);
		calls->in_view = in_view;
	}
	relation_close(relation, NoLock);
}
