/*
 * tree.c: a plan for people to read.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "incremental/incremental_internal.h"

#define MAX_WORDS 160

const char *
incremental_rule_name(StrataRule rule)
{
	switch (rule)
	{
		case STRATA_RULE_SIGNED:
			return "signed";
		case STRATA_RULE_ALGEBRA:
			return "algebra";
		case STRATA_RULE_KEYS:
			return "keys";
		case STRATA_RULE_WHOLE:
			return "whole";
	}
	return "whole";
}

/* ---- expressions, in few words ---- */

static void say(StringInfo out, Query *query, Node *node);

static void
say_list(StringInfo out, Query *query, List *nodes, const char *separator)
{
	ListCell *lc;

	foreach (lc, nodes)
	{
		if (foreach_current_index(lc) > 0)
			appendStringInfoString(out, separator);
		say(out, query, lfirst(lc));
	}
}

static void
say_call(StringInfo out, Query *query, Oid function, List *args)
{
	char *name = get_func_name(function);

	appendStringInfo(out, "%s(", name == NULL ? "?" : name);
	say_list(out, query, args, ", ");
	appendStringInfoChar(out, ')');
}

static void
say_constant(StringInfo out, Const *constant)
{
	Oid output;
	bool varlena;

	if (constant->constisnull)
	{
		appendStringInfoString(out, "NULL");
		return;
	}
	getTypeOutputInfo(constant->consttype, &output, &varlena);
	{
		char *text = OidOutputFunctionCall(output, constant->constvalue);

		if (TypeCategory(constant->consttype) == TYPCATEGORY_NUMERIC)
			appendStringInfoString(out, text);
		else
			appendStringInfo(out, "'%s'", text);
	}
}

static void
say_aggregate(StringInfo out, Query *query, Aggref *aggregate)
{
	ListCell *lc;
	char *name = get_func_name(aggregate->aggfnoid);

	appendStringInfo(out, "%s(%s", name == NULL ? "?" : name, aggregate->aggdistinct != NIL ? "DISTINCT " : "");
	if (aggregate->aggstar)
		appendStringInfoChar(out, '*');
	foreach (lc, aggregate->args)
	{
		TargetEntry *entry = lfirst(lc);

		if (entry->resjunk)
			continue;
		if (foreach_current_index(lc) > 0)
			appendStringInfoString(out, ", ");
		say(out, query, (Node *) entry->expr);
	}
	appendStringInfoString(out, aggregate->aggfilter != NULL ? ") filtered" : ")");
}

/* Joins are no members to name. */
static Bitmapset *
members_of_from(Query *query)
{
	Bitmapset *members = incremental_members(query);
	int index = -1;

	while ((index = bms_next_member(members, index)) >= 0)
		if (rt_fetch(index, query->rtable)->rtekind == RTE_JOIN)
			members = bms_del_member(members, index);
	return members;
}

static void
say_variable(StringInfo out, Query *query, Var *var)
{
	RangeTblEntry *rte;

	if (var->varlevelsup > 0 || var->varno < 1 || var->varno > list_length(query->rtable))
	{
		appendStringInfoString(out, "outer");
		return;
	}
	rte = rt_fetch(var->varno, query->rtable);
	if (var->varattno == 0)
	{
		appendStringInfo(out, "%s.*", rte->eref->aliasname);
		return;
	}
	if (bms_num_members(members_of_from(query)) > 1)
		appendStringInfo(out, "%s.", rte->eref->aliasname);
	if (rte->rtekind == RTE_RELATION)
		appendStringInfoString(out, get_attname(rte->relid, var->varattno, false));
	else if (var->varattno > 0 && var->varattno <= list_length(rte->eref->colnames))
		appendStringInfoString(out, strVal(list_nth(rte->eref->colnames, var->varattno - 1)));
	else
		appendStringInfoChar(out, '?');
}

static void
say_operator(StringInfo out, Query *query, Oid operator, List * args)
{
	char *name = get_opname(operator);

	if (list_length(args) == 2)
	{
		say(out, query, linitial(args));
		appendStringInfo(out, " %s ", name == NULL ? "?" : name);
	}
	else
		appendStringInfo(out, "%s ", name == NULL ? "?" : name);
	say(out, query, llast(args));
}

static void
say_conditions(StringInfo out, Query *query, BoolExpr *conditions)
{
	ListCell *lc;

	foreach (lc, conditions->args)
	{
		Node *node = lfirst(lc);
		bool inside = IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop != NOT_EXPR;

		if (foreach_current_index(lc) > 0)
			appendStringInfoString(out, conditions->boolop == OR_EXPR ? " or " : " and ");
		if (inside)
			appendStringInfoChar(out, '(');
		say(out, query, node);
		if (inside)
			appendStringInfoChar(out, ')');
	}
}

static void
say(StringInfo out, Query *query, Node *node)
{
	check_stack_depth();
	if (node == NULL || out->len > MAX_WORDS)
		return;
	switch (nodeTag(node))
	{
		case T_Var:
			say_variable(out, query, (Var *) node);
			break;
		case T_Const:
			say_constant(out, (Const *) node);
			break;
		case T_Aggref:
			say_aggregate(out, query, (Aggref *) node);
			break;
		case T_WindowFunc:
			if (((WindowFunc *) node)->winstar)
				appendStringInfo(out, "%s(*)", get_func_name(((WindowFunc *) node)->winfnoid));
			else
				say_call(out, query, ((WindowFunc *) node)->winfnoid, ((WindowFunc *) node)->args);
			break;
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcformat != COERCE_EXPLICIT_CALL && ((FuncExpr *) node)->args != NIL)
				say(out, query, linitial(((FuncExpr *) node)->args));
			else
				say_call(out, query, ((FuncExpr *) node)->funcid, ((FuncExpr *) node)->args);
			break;
		case T_OpExpr:
		case T_DistinctExpr:
			say_operator(out, query, ((OpExpr *) node)->opno, ((OpExpr *) node)->args);
			break;
		case T_BoolExpr:
			if (((BoolExpr *) node)->boolop == NOT_EXPR)
				appendStringInfoString(out, "not ");
			say_conditions(out, query, (BoolExpr *) node);
			break;
		case T_NullTest:
			say(out, query, (Node *) ((NullTest *) node)->arg);
			appendStringInfoString(out, ((NullTest *) node)->nulltesttype == IS_NULL ? " is null" : " is not null");
			break;
		case T_RelabelType:
			say(out, query, (Node *) ((RelabelType *) node)->arg);
			break;
		case T_CoerceViaIO:
			say(out, query, (Node *) ((CoerceViaIO *) node)->arg);
			break;
		case T_CollateExpr:
			say(out, query, (Node *) ((CollateExpr *) node)->arg);
			break;
		case T_CoalesceExpr:
			appendStringInfoString(out, "coalesce(");
			say_list(out, query, ((CoalesceExpr *) node)->args, ", ");
			appendStringInfoChar(out, ')');
			break;
		case T_ScalarArrayOpExpr:
			say(out, query, linitial(((ScalarArrayOpExpr *) node)->args));
			appendStringInfoString(out, " in (...)");
			break;
		case T_SubLink:
			switch (((SubLink *) node)->subLinkType)
			{
				case EXISTS_SUBLINK:
					appendStringInfoString(out, "exists (subquery)");
					break;
				case ANY_SUBLINK:
					appendStringInfoString(out, "in (subquery)");
					break;
				default:
					appendStringInfoString(out, "a subquery");
			}
			break;
		case T_CaseExpr:
			appendStringInfoString(out, "case ... end");
			break;
		default:
			appendStringInfoString(out, "an expression");
	}
}

char *
incremental_describe(Query *query, Node *expression)
{
	StringInfoData out;

	initStringInfo(&out);
	say(&out, query, expression);
	if (out.len > MAX_WORDS)
	{
		int length = pg_mbcliplen(out.data, out.len, MAX_WORDS);

		out.data[length] = '\0';
		return psprintf("%s ...", out.data);
	}
	return out.data;
}

/* ---- FROM ---- */

static char *
entry_name(const RangeTblEntry *rte)
{
	int part = incremental_part_of(rte);

	if (part > 0)
		return psprintf("part %d", part);
	if (rte->rtekind == RTE_RELATION)
	{
		char *name = get_rel_name(rte->relid);

		return rte->alias == NULL || strcmp(rte->alias->aliasname, name) == 0
				   ? name
				   : psprintf("%s %s", name, rte->alias->aliasname);
	}
	if (rte->rtekind == RTE_FUNCTION)
	{
		RangeTblFunction *function = linitial(rte->functions);

		return IsA(function->funcexpr, FuncExpr)
				   ? psprintf("%s()", get_func_name(((FuncExpr *) function->funcexpr)->funcid))
				   : "a function";
	}
	if (rte->rtekind == RTE_VALUES)
		return "values";
	return rte->eref->aliasname;
}

typedef struct From
{
	Query *query;
	List *names;
	List *conditions;
	bool outer;
} From;

static void
describe_from(From *from, Node *node)
{
	ListCell *lc;

	if (node == NULL)
		return;
	if (IsA(node, RangeTblRef))
		from->names = lappend(from->names, entry_name(rt_fetch(((RangeTblRef *) node)->rtindex, from->query->rtable)));
	else if (IsA(node, FromExpr))
	{
		foreach (lc, ((FromExpr *) node)->fromlist)
			describe_from(from, lfirst(lc));
		if (((FromExpr *) node)->quals != NULL)
			from->conditions = lappend(from->conditions, incremental_describe(from->query, ((FromExpr *) node)->quals));
	}
	else if (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;

		describe_from(from, join->larg);
		describe_from(from, join->rarg);
		from->outer |= join->jointype != JOIN_INNER;
		if (join->quals != NULL)
			from->conditions = lappend(from->conditions, incremental_describe(from->query, join->quals));
	}
}

/* What only hands on the rows of a subquery is told by that. */
static Query *
passed_on(Query *query)
{
	RangeTblEntry *rte;

	while (query->setOperations == NULL && query->jointree->quals == NULL && !query->hasSubLinks &&
		   (rte = incremental_only_subquery(query)) != NULL && !incremental_groups(rte->subquery) &&
		   rte->subquery->distinctClause == NIL && rte->subquery->limitCount == NULL)
		query = rte->subquery;
	return query;
}

char *
incremental_describe_from(Query *query)
{
	From from = {NULL, NIL, NIL, false};
	char *verb, *conditions;

	from.query = query = passed_on(query);
	if (query->setOperations != NULL)
		return psprintf("union all of %d queries", list_length(query->rtable));
	describe_from(&from, (Node *) query->jointree);
	if (from.names == NIL)
		return "one row";
	verb = list_length(from.names) == 1 ? "rows of" : from.outer ? "outer join" : "join";
	conditions = from.conditions == NIL ? "" : psprintf(" (%s)", strata_base_join(from.conditions, " and "));
	return psprintf("%s %s%s", verb, strata_base_join(from.names, ", "), conditions);
}

/* ---- the tree ---- */

typedef struct Tree
{
	const StrataIncremental *plan;
	List *lines;
	Bitmapset *shown;
	int depth; /* of sublinks */
} Tree;

static void
add_line(Tree *tree, int depth, char *what, StrataPart *part)
{
	StrataTreeLine *line = palloc(sizeof(StrataTreeLine));

	line->depth = depth;
	line->what = what;
	line->part = part;
	tree->lines = lappend(tree->lines, line);
}

static void show_part(Tree *tree, int number, int depth);
static void show_rows(Tree *tree, Query *query, int depth);
static void show_from(Tree *tree, Query *query, int depth);

static bool
show_sublink(Node *node, Tree *tree)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		show_from(tree, (Query *) node, tree->depth);
		return false;
	}
	return expression_tree_walker(node, show_sublink, tree);
}

/* What the members of FROM are, where they are more than relations. */
static void
show_from(Tree *tree, Query *query, int depth)
{
	ListCell *lc;

	check_stack_depth();
	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);
		int part = incremental_part_of(rte);

		if (part > 0)
			show_part(tree, part, depth);
		else if (rte->rtekind == RTE_SUBQUERY)
			show_rows(tree, rte->subquery, depth);
	}
	tree->depth = depth;
	query_tree_walker(query, show_sublink, tree, QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_JOINALIASES);
}

static bool
reads_rows(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *) node)->rtekind == RTE_RELATION || incremental_part_of((RangeTblEntry *) node) > 0;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_rows, context, QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	return expression_tree_walker(node, reads_rows, context);
}

/* The rows a level is over. One that only passes on what it reads is not worth a line. */
static void
show_rows(Tree *tree, Query *query, int depth)
{
	if (query->setOperations == NULL && query->jointree->quals == NULL && list_length(query->jointree->fromlist) == 1 &&
		IsA(linitial(query->jointree->fromlist), RangeTblRef))
	{
		RangeTblEntry *rte = rt_fetch(linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex, query->rtable);

		if (incremental_part_of(rte) > 0 || rte->rtekind == RTE_SUBQUERY)
		{
			show_from(tree, query, depth);
			return;
		}
	}
	/* values are named where they are joined */
	if (reads_rows((Node *) query, NULL))
		add_line(tree, depth, incremental_describe_from(query), NULL);
	show_from(tree, query, depth + 1);
}

static void
show_part(Tree *tree, int number, int depth)
{
	StrataPart *part = list_nth(tree->plan->parts, number - 1);
	char *name = part->last ? "" : psprintf("part %d: ", number);
	Query *level = part->query;

	if (bms_is_member(number, tree->shown))
	{
		add_line(tree, depth, psprintf("part %d, shown above", number), NULL);
		return;
	}
	tree->shown = bms_add_member(tree->shown, number);
	add_line(tree, depth, psprintf("%s%s", name, part->what), part);
	if (tree->plan->whole)
		return;
	/* a linear part has said what it reads; levels fused into one part are told by its line */
	if (part->rule == STRATA_RULE_SIGNED)
		show_from(tree, passed_on(level), depth + 1);
	else
	{
		if (part->keys != NIL)
			level = incremental_key_level(level);
		show_rows(tree, level, depth + 1);
	}
}

List *
incremental_tree(const StrataIncremental *plan)
{
	Tree tree = {plan, NIL, NULL, 0};

	show_part(&tree, list_length(plan->parts), 0);
	return tree.lines;
}
