/*
 * algebra.c: a part of groups whose aggregates can be merged: which columns its state needs, the linear query beneath it, and
 * its output over the state. The statements are written in algebra_sql.c.
 */
#include "postgres.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_oper.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "incremental/algebra_internal.h"

static Node *groups_mutator(Node *node, AlgebraPlan *plan);

/* The first reason is the one that is told. */
static void
refuse(AlgebraPlan *plan, char *reason)
{
	if (plan->refusal == NULL)
		plan->refusal = reason;
}

/* ---- columns of the state ---- */

static AlgebraColumn *
add_column(AlgebraPlan *plan, AlgebraRole role, char *name, Oid type, int32 typmod, Oid collation)
{
	AlgebraColumn *column = palloc0(sizeof(AlgebraColumn));

	/* not a domain: its NOT NULL would not hold for what an outer join leaves empty */
	column->state.type = getBaseTypeAndTypmod(type, &typmod);
	column->state.name = name;
	column->state.typmod = typmod;
	column->state.collation = collation;
	column->role = role;
	plan->columns = lappend(plan->columns, column);
	return column;
}

static void
add_key(AlgebraPlan *plan, Node *expr, Oid equality)
{
	AlgebraColumn *column;
	Oid type = exprType(expr);
	Oid collation = exprCollation(expr);

	if (!algebra_equal_is_same(type, exprTypmod(expr), collation, algebra_scale(plan->query, expr)))
		refuse(plan, psprintf("equal values of the key's type %s can look different", format_type_be(type)));
	plan->nkeys++;
	column = add_column(plan, ALGEBRA_KEY, psprintf("k%d", plan->nkeys), type, exprTypmod(expr), collation);
	column->key = expr;
	column->key_type = type;
	column->equality = equality;
	column->exact = true;
}

/* The column of this role for the argument, made when it is not yet there. */
static AlgebraColumn *
need(AlgebraPlan *plan, AlgebraRole role, AlgebraArgument *argument)
{
	static const char *const names[] = {[ALGEBRA_COUNT] = "c",
										[ALGEBRA_TRUES] = "t",
										[ALGEBRA_SUM] = "s",
										[ALGEBRA_SQUARES] = "q",
										[ALGEBRA_SCALES] = "d"};
	AlgebraColumn *column;
	ListCell *cell;
	Oid type = INT8OID;

	foreach (cell, plan->columns)
	{
		column = lfirst(cell);
		if (column->role == role && column->argument == argument)
			return column;
	}
	if (role == ALGEBRA_SQUARES || role == ALGEBRA_SCALES ||
		(role == ALGEBRA_SUM && (argument->type == INT8OID || argument->type == NUMERICOID)))
		type = NUMERICOID;
	column = add_column(plan, role, psprintf("%s%d", names[role], argument->number), type, -1, InvalidOid);
	column->argument = argument;
	return column;
}

static AlgebraColumn *
need_sum(AlgebraPlan *plan, AlgebraArgument *argument)
{
	if (argument->type == NUMERICOID && argument->scale < 0)
		need(plan, ALGEBRA_SCALES, argument);
	return need(plan, ALGEBRA_SUM, argument);
}

static AlgebraColumn *
need_extremum(AlgebraPlan *plan, AlgebraArgument *argument, Aggref *aggref, Oid beyond)
{
	AlgebraColumn *column;
	ListCell *cell;
	Oid collation = aggref->inputcollid;
	char *name;

	foreach (cell, plan->columns)
	{
		column = lfirst(cell);
		if (column->role == ALGEBRA_EXTREMUM && column->argument == argument && column->aggregate == aggref->aggfnoid &&
			column->state.collation == collation)
			return column;
	}
	name = get_func_namespace(aggref->aggfnoid) == PG_CATALOG_NAMESPACE ? get_func_name(aggref->aggfnoid) : "x";
	name = psprintf("%s%d", name, argument->number);
	foreach (cell, plan->columns)
		if (strcmp(((AlgebraColumn *) lfirst(cell))->state.name, name) == 0)
			name = psprintf("x%d_%d", argument->number, list_length(plan->columns));
	column = add_column(plan, ALGEBRA_EXTREMUM, name, argument->type, -1, collation);
	column->argument = argument;
	column->aggregate = aggref->aggfnoid;
	column->beyond = beyond;
	column->exact = algebra_equal_is_same(argument->type, exprTypmod(argument->expr), collation, argument->scale);
	return column;
}

/* ---- aggregates ---- */

/* All aggregates that are merged pass over NULL, so a filter can be folded into what they are given. */
static AlgebraArgument *
find_argument(AlgebraPlan *plan, Expr *expr, Expr *filter)
{
	AlgebraArgument *argument;
	Node *folded = (Node *) expr;
	ListCell *cell;

	if (filter != NULL)
	{
		CaseExpr *choice = makeNode(CaseExpr);
		CaseWhen *when = makeNode(CaseWhen);

		when->expr = filter;
		when->result = expr;
		when->location = -1;
		choice->casetype = exprType((Node *) expr);
		choice->casecollid = exprCollation((Node *) expr);
		choice->args = list_make1(when);
		choice->defresult = (Expr *) makeNullConst(choice->casetype, exprTypmod((Node *) expr), choice->casecollid);
		choice->location = -1;
		folded = (Node *) choice;
	}
	foreach (cell, plan->arguments)
	{
		argument = lfirst(cell);
		if (equal(argument->expr, folded))
			return argument;
	}
	argument = palloc0(sizeof(AlgebraArgument));
	argument->number = list_length(plan->arguments) + 1;
	argument->expr = folded;
	argument->type = getBaseType(exprType(folded));
	argument->scale = algebra_scale(plan->query, (Node *) expr);
	argument->never_null = algebra_never_null(plan->query, folded);
	plan->arguments = lappend(plan->arguments, argument);
	return argument;
}

static Oid
sort_operator(Oid aggregate)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
	Oid result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggregate);
	result = ((Form_pg_aggregate) GETSTRUCT(tuple))->aggsortop;
	ReleaseSysCache(tuple);
	return result;
}

typedef struct KnownAggregate
{
	const char *name;
	AlgebraFinal final;
	bool sample;
	bool deviation;
} KnownAggregate;

static const KnownAggregate *
known_aggregate(Oid function)
{
	static const KnownAggregate known[] = {
		{"count", ALGEBRA_FINAL_COUNT, false, false},
		{"sum", ALGEBRA_FINAL_SUM, false, false},
		{"avg", ALGEBRA_FINAL_AVG, false, false},
		{"variance", ALGEBRA_FINAL_VARIANCE, true, false},
		{"var_samp", ALGEBRA_FINAL_VARIANCE, true, false},
		{"var_pop", ALGEBRA_FINAL_VARIANCE, false, false},
		{"stddev", ALGEBRA_FINAL_VARIANCE, true, true},
		{"stddev_samp", ALGEBRA_FINAL_VARIANCE, true, true},
		{"stddev_pop", ALGEBRA_FINAL_VARIANCE, false, true},
		{"bool_and", ALGEBRA_FINAL_AND, false, false},
		{"every", ALGEBRA_FINAL_AND, false, false},
		{"bool_or", ALGEBRA_FINAL_OR, false, false},
	};
	const char *name;

	/* a user's aggregate of such a name is another one */
	if (get_func_namespace(function) != PG_CATALOG_NAMESPACE)
		return NULL;
	name = get_func_name(function);
	for (int i = 0; name != NULL && i < lengthof(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

/* Why sums of the type are not kept; NULL when they are. */
static char *
inexact_type(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case BOOLOID:
			return NULL;
		case FLOAT4OID:
		case FLOAT8OID:
			return "float sums drift";
		default:
			return psprintf("sums of %s are not kept", format_type_be(type));
	}
}

static void
add_aggregate(AlgebraPlan *plan, AlgebraAggregate *aggregate)
{
	Aggref *aggref = aggregate->aggref;
	char *name = get_func_name(aggref->aggfnoid);
	const KnownAggregate *known = known_aggregate(aggref->aggfnoid);
	Oid beyond = InvalidOid;
	AlgebraArgument *argument;
	Expr *expr = NULL;

	if (known == NULL && aggref->aggkind == AGGKIND_NORMAL && list_length(aggref->args) == 1)
		beyond = sort_operator(aggref->aggfnoid);
	if (known == NULL && !OidIsValid(beyond))
	{
		refuse(plan, psprintf("%s cannot be merged", name));
		return;
	}
	/* an extremum is that of the distinct values, too */
	if ((aggref->aggdistinct != NIL && !OidIsValid(beyond)) || aggref->aggorder != NIL)
	{
		refuse(plan, psprintf("%s with %s cannot be merged", name, aggref->aggorder != NIL ? "ORDER BY" : "DISTINCT"));
		return;
	}
	if (aggref->args != NIL)
		expr = linitial_node(TargetEntry, aggref->args)->expr;
	if (expr != NULL && (type_is_rowtype(exprType((Node *) expr)) || exprType((Node *) expr) == UNKNOWNOID))
	{
		refuse(plan,
			   psprintf("%s of a value of type %s cannot be merged", name, format_type_be(exprType((Node *) expr))));
		return;
	}
	aggregate->final = known == NULL ? ALGEBRA_FINAL_EXTREMUM : known->final;
	if (aggregate->final == ALGEBRA_FINAL_COUNT && expr == NULL)
	{
		if (aggref->aggfilter == NULL)
		{
			aggregate->count = list_nth(plan->columns, plan->nkeys);
			return;
		}
		expr = (Expr *) makeBoolConst(true, false);
	}
	argument = find_argument(plan, expr, aggref->aggfilter);
	if (aggregate->final == ALGEBRA_FINAL_EXTREMUM)
	{
		if (exprType((Node *) expr) != aggref->aggtype)
			refuse(plan, psprintf("%s cannot be merged", name));
		aggregate->extremum = need_extremum(plan, argument, aggref, beyond);
		return;
	}
	/* of what is never NULL there are as many as rows */
	aggregate->count =
		argument->never_null ? list_nth(plan->columns, plan->nkeys) : need(plan, ALGEBRA_COUNT, argument);
	if (aggregate->final == ALGEBRA_FINAL_COUNT)
		return;
	if (inexact_type(argument->type) != NULL)
	{
		refuse(plan, inexact_type(argument->type));
		return;
	}
	if (aggregate->final == ALGEBRA_FINAL_AND || aggregate->final == ALGEBRA_FINAL_OR)
	{
		aggregate->trues = need(plan, ALGEBRA_TRUES, argument);
		return;
	}
	aggregate->sum = need_sum(plan, argument);
	if (aggregate->final == ALGEBRA_FINAL_VARIANCE)
	{
		aggregate->sample = known->sample;
		aggregate->deviation = known->deviation;
		aggregate->squares = need(plan, ALGEBRA_SQUARES, argument);
	}
}

/* ---- the output over the groups ---- */

static Node *
key_var(AlgebraPlan *plan, Node *node)
{
	for (int i = 0; i < plan->nkeys; i++)
	{
		AlgebraColumn *column = list_nth(plan->columns, i);

		if (equal(column->key, node))
			return (Node *) makeVar(1, i + 1, column->key_type, exprTypmod(node), exprCollation(node), 0);
	}
	return NULL;
}

static Node *
aggregate_var(AlgebraPlan *plan, Aggref *aggref)
{
	AlgebraAggregate *aggregate = NULL;
	ListCell *cell;

	foreach (cell, plan->aggregates)
	{
		aggregate = lfirst(cell);
		if (equal(aggregate->aggref, aggref))
			break;
		aggregate = NULL;
	}
	if (aggregate == NULL)
	{
		aggregate = palloc0(sizeof(AlgebraAggregate));
		aggregate->aggref = aggref;
		plan->aggregates = lappend(plan->aggregates, aggregate);
		aggregate->number = list_length(plan->aggregates);
		add_aggregate(plan, aggregate);
	}
	return (Node *) makeVar(1, plan->nkeys + aggregate->number, aggref->aggtype, -1, aggref->aggcollid, 0);
}

/* An expression above the grouping, over the columns of the groups. */
static Node *
groups_mutator(Node *node, AlgebraPlan *plan)
{
	Node *key;

	if (node == NULL || plan->refusal != NULL)
		return node;
	key = key_var(plan, node);
	if (key != NULL)
		return key;
	switch (nodeTag(node))
	{
		case T_Aggref:
			return aggregate_var(plan, (Aggref *) node);
		case T_SubLink:
			refuse(plan, "a subquery stands beside the aggregates");
			return node;
		case T_GroupingFunc:
			refuse(plan, "GROUPING() is not kept");
			return node;
		case T_Var:
			refuse(plan, "a column that depends on the key is not kept");
			return node;
		default:
			return expression_tree_mutator(node, groups_mutator, plan);
	}
}

/* Columns that are neither grouped nor aggregated depend on a primary key in the GROUP BY: they can be keys, too. */
static bool
dependent_walker(Node *node, AlgebraPlan *plan)
{
	if (node == NULL || IsA(node, Aggref) || key_var(plan, node) != NULL)
		return false;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;
		Oid equality = InvalidOid;

		get_sort_group_operators(var->vartype, false, false, false, NULL, &equality, NULL, NULL);
		if (var->varlevelsup != 0 || var->varattno <= 0 || !OidIsValid(equality))
			refuse(plan, "a column that depends on the key cannot be compared");
		else
			add_key(plan, copyObject(node), equality);
		return false;
	}
	return expression_tree_walker(node, dependent_walker, plan);
}

static char *
shape_refusal(Query *query)
{
	if (query->commandType != CMD_SELECT || query->setOperations != NULL)
		return "a set operation has no groups";
	if (query->groupClause == NIL && !query->hasAggs && query->havingQual == NULL)
		return "nothing is grouped";
	if (query->groupingSets != NIL)
		return "grouping sets are not merged";
	if (query->hasWindowFuncs)
		return "window functions are not merged";
	if (query->distinctClause != NIL)
		return "DISTINCT stands above the groups";
	if (query->limitCount != NULL || query->limitOffset != NULL)
		return "LIMIT stands above the groups";
	if (query->hasTargetSRFs)
		return "a set-returning function stands above the groups";
	if (query->rowMarks != NIL || query->cteList != NIL)
		return "it locks rows or has a WITH of its own";
	return NULL;
}

static AlgebraPlan *
make_plan(Query *query)
{
	AlgebraPlan *plan = palloc0(sizeof(AlgebraPlan));
	ListCell *cell;

	plan->refusal = shape_refusal(query);
	if (plan->refusal != NULL)
		return plan;
	plan->query = query = copyObject(query);
	query->targetList = (List *) strata_flatten_groups(query, (Node *) query->targetList);
	query->havingQual = strata_flatten_groups(query, query->havingQual);
	strata_forget_groups(query);
	query->targetList = (List *) strata_flatten_join_aliases(query, (Node *) query->targetList);
	query->havingQual = strata_flatten_join_aliases(query, query->havingQual);
	foreach (cell, query->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);

		add_key(plan, copyObject(get_sortgroupclause_expr(clause, query->targetList)), clause->eqop);
	}
	if (plan->refusal == NULL && plan->nkeys > 0)
	{
		foreach (cell, query->targetList)
			if (!lfirst_node(TargetEntry, cell)->resjunk)
				dependent_walker((Node *) lfirst_node(TargetEntry, cell)->expr, plan);
		dependent_walker(query->havingQual, plan);
	}
	add_column(plan, ALGEBRA_ROWS, "n", INT8OID, -1, InvalidOid);
	foreach (cell, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (target->resjunk)
			continue;
		target = flatCopyTargetEntry(target);
		target->expr = (Expr *) groups_mutator((Node *) target->expr, plan);
		target->ressortgroupref = 0;
		plan->targets = lappend(plan->targets, target);
	}
	plan->having = groups_mutator(query->havingQual, plan);
	return plan;
}

/* The keys, then what is aggregated, a row for each row beneath the groups. */
static Query *
make_core(const AlgebraPlan *plan)
{
	Query *core = copyObject(plan->query);
	ListCell *cell;

	core->targetList = NIL;
	core->groupClause = NIL;
	core->sortClause = NIL;
	core->havingQual = NULL;
	core->hasAggs = false;
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		if (column->role == ALGEBRA_KEY)
			core->targetList = lappend(core->targetList,
									   makeTargetEntry((Expr *) copyObject(column->key),
													   list_length(core->targetList) + 1, column->state.name, false));
	}
	foreach (cell, plan->arguments)
	{
		AlgebraArgument *argument = lfirst(cell);

		core->targetList = lappend(core->targetList, makeTargetEntry((Expr *) copyObject(argument->expr),
																	 list_length(core->targetList) + 1,
																	 psprintf("a%d", argument->number), false));
	}
	if (core->targetList == NIL)
		core->targetList = list_make1(makeTargetEntry((Expr *) makeBoolConst(true, false), 1, "a1", false));
	return core;
}

/* ---- a table of the output as the state ---- */

/* Whether the output column shows what the state's column holds, so that one can be read back from the other. */
static bool
shows(const AlgebraPlan *plan, const TargetEntry *target, const AlgebraColumn *column, int number)
{
	Var *var = (Var *) target->expr;
	AlgebraAggregate *aggregate;

	if (!IsA(var, Var))
		return false;
	if (column->role == ALGEBRA_KEY)
		return var->varattno == number && column->key_type == column->state.type;
	if (var->varattno <= plan->nkeys)
		return false;
	aggregate = list_nth(plan->aggregates, var->varattno - plan->nkeys - 1);
	switch (column->role)
	{
		case ALGEBRA_ROWS:
		case ALGEBRA_COUNT:
			return aggregate->final == ALGEBRA_FINAL_COUNT && aggregate->count == column;
		case ALGEBRA_SUM:
			/* NULL where nothing was added: the sum is 0 then */
			return aggregate->final == ALGEBRA_FINAL_SUM && aggregate->sum == column;
		case ALGEBRA_EXTREMUM:
			return aggregate->final == ALGEBRA_FINAL_EXTREMUM && aggregate->extremum == column;
		default:
			return false;
	}
}

/* For each of the state's first n columns the output column (from 1) that shows it; NIL: some is shown by none. */
static List *
shown_columns(const AlgebraPlan *plan, int n)
{
	List *positions = NIL;
	ListCell *column, *target;

	foreach (column, plan->columns)
	{
		int position = 0;

		if (foreach_current_index(column) == n)
			break;
		foreach (target, plan->targets)
			if (position == 0 && shows(plan, lfirst(target), lfirst(column), foreach_current_index(column) + 1))
				position = foreach_current_index(target) + 1;
		if (position == 0)
			return NIL;
		positions = lappend_int(positions, position);
	}
	return positions;
}

char *
strata_incremental_algebra_refusal(Query *query)
{
	AlgebraPlan *plan = make_plan(query);

	if (plan->refusal != NULL)
		return plan->refusal;
	return strata_incremental_linear_refusal(make_core(plan));
}

StrataAlgebra *
strata_incremental_algebra(const StrataPart *part)
{
	StrataAlgebra *algebra = palloc0(sizeof(StrataAlgebra));
	AlgebraPlan *plan = make_plan(part->query);
	ListCell *cell;

	if (plan->refusal != NULL)
		elog(ERROR, "part %d cannot be merged: %s", part->number, plan->refusal);
	algebra->part = part;
	algebra->nkeys = plan->nkeys;
	algebra->columns = plan->columns;
	algebra->core = make_core(plan);
	if (plan->having == NULL)
		algebra->shown = shown_columns(plan, list_length(plan->columns));
	algebra->shown_keys = shown_columns(plan, plan->nkeys);
	algebra->keys_have_values = true;
	for (int i = 0; i < plan->nkeys; i++)
		algebra->keys_have_values =
			algebra->keys_have_values &&
			algebra_never_null(plan->query, ((AlgebraColumn *) list_nth(plan->columns, i))->key);
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		algebra->may_stay |= algebra_may_stay(column);
		algebra->consolidated |= column->role == ALGEBRA_EXTREMUM && !algebra_may_stay(column);
	}
	algebra->private = plan;
	return algebra;
}
