/*
 * algebra_output.c: the statements that give a part's output: signed rows from merged groups, all of it from the whole state, and rows of a table
 * of the output that is its own state.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"

#include "incremental/algebra_internal.h"

/* "SELECT k1, .., aggregate AS v1, .., " from the columns of the state; prefix: of theirs. */
static char *
group_columns(const AlgebraPlan *plan, const char *prefix)
{
	StringInfoData out;
	ListCell *cell;

	initStringInfo(&out);
	appendStringInfoString(&out, "SELECT ");
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		if (column->role != ALGEBRA_KEY)
			break;
		if (column->key_type == column->state.type)
			appendStringInfo(&out, "%s, ", column->state.name);
		else
			appendStringInfo(&out, "CASE WHEN %s %s THEN %s::%s END AS %s, ", column->state.name,
							 strata_base_is_null(column->state.type, false), column->state.name,
							 format_type_be_qualified(column->key_type), column->state.name);
	}
	foreach (cell, plan->aggregates)
	{
		AlgebraAggregate *aggregate = lfirst(cell);

		appendStringInfo(&out, "%s AS v%d,\n\t", algebra_final(aggregate, prefix), aggregate->number);
	}
	return out.data;
}

/* The groups of a row set or table, with their aggregates. */
static char *
groups(const AlgebraPlan *plan, const char *from, const char *prefix, const char *sign)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "%s%s AS " STRATA_SIGN "\nFROM %s", group_columns(plan, prefix), sign, from);
	if (plan->nkeys > 0)
		appendStringInfo(&out, "\nWHERE %sn > 0", prefix);
	else
		appendStringInfo(&out, "\nWHERE %sn IS NOT NULL", prefix);
	return out.data;
}

static void
add_group_column(RangeTblEntry *rte, char *name, Oid type, Oid collation)
{
	rte->eref->colnames = lappend(rte->eref->colnames, makeString(name));
	rte->coltypes = lappend_oid(rte->coltypes, type);
	rte->coltypmods = lappend_int(rte->coltypmods, -1);
	rte->colcollations = lappend_oid(rte->colcollations, collation);
}

static void
add_target(Query *query, const char *name)
{
	RangeTblEntry *rte = linitial(query->rtable);
	int number = 1;
	Var *var;

	while (strcmp(strVal(list_nth(rte->eref->colnames, number - 1)), name) != 0)
		number++;
	var = makeVar(1, number, list_nth_oid(rte->coltypes, number - 1), -1, list_nth_oid(rte->colcollations, number - 1),
				  0);
	query->targetList = lappend(
		query->targetList, makeTargetEntry((Expr *) var, list_length(query->targetList) + 1, pstrdup(name), false));
}

/* SELECT the part's columns FROM strata_groups WHERE its HAVING. */
static Query *
output_query(const AlgebraPlan *plan)
{
	Query *query = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *reference = makeNode(RangeTblRef);
	ListCell *cell;

	rte->rtekind = RTE_CTE;
	rte->ctename = ALGEBRA_GROUPS;
	rte->inFromCl = true;
	rte->eref = makeAlias(ALGEBRA_GROUPS, NIL);
	foreach (cell, plan->columns)
	{
		AlgebraColumn *column = lfirst(cell);

		if (column->role == ALGEBRA_KEY)
			add_group_column(rte, column->state.name, column->key_type, column->state.collation);
	}
	foreach (cell, plan->aggregates)
	{
		AlgebraAggregate *aggregate = lfirst(cell);

		add_group_column(rte, psprintf("v%d", aggregate->number), aggregate->aggref->aggtype,
						 aggregate->aggref->aggcollid);
	}
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make1(rte);
	reference->rtindex = 1;
	query->jointree = makeFromExpr(list_make1(reference), copyObject(plan->having));
	query->targetList = copyObject(plan->targets);
	foreach (cell, query->targetList)
		lfirst_node(TargetEntry, cell)->resno = foreach_current_index(cell) + 1;
	return query;
}

char *
strata_algebra_output(const StrataAlgebra *algebra, const char *merge)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);
	const char *from = quote_identifier(merge);
	Query *query = output_query(plan);

	add_group_column(linitial(query->rtable), STRATA_SIGN, INT4OID, InvalidOid);
	add_target(query, STRATA_SIGN);
	return psprintf("WITH " ALGEBRA_GROUPS " AS (\n%s\nUNION ALL\n%s\n)\n%s", groups(plan, from, "o_", "-1"),
					groups(plan, from, "", "1"), strata_incremental_deparse(query));
}

char *
strata_algebra_result(const StrataAlgebra *algebra, const char *state)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);

	return psprintf("WITH " ALGEBRA_GROUPS " AS (\n%s\n)\n%s", groups(plan, state, "", "1"),
					strata_incremental_deparse(output_query(plan)));
}

/* ---- a table of the output that is its own state ---- */

/* The part's output columns (from 1) that no key is read from: those that may differ. */
static List *
free_columns(const StrataAlgebra *algebra)
{
	List *result = NIL;

	for (int i = 1; i <= list_length(algebra_plan_of(algebra)->targets); i++)
	{
		int n = 0;

		while (n < algebra->nkeys && list_nth_int(algebra->shown_keys, n) != i)
			n++;
		if (n == algebra->nkeys)
			result = lappend_int(result, i);
	}
	return result;
}

/* The table as its state: ctid, tableoid, the first n of the state's columns, and old_1, .. as they stand there. */
static char *
own_state(const StrataAlgebra *algebra, int n, const char *table, const List *columns)
{
	StringInfoData out;
	ListCell *cell;

	initStringInfo(&out);
	appendStringInfoString(&out, "(SELECT t.ctid, t.tableoid");
	foreach (cell, algebra->columns)
	{
		AlgebraColumn *column = lfirst(cell);
		int position;
		char *name;

		if (foreach_current_index(cell) == n)
			break;
		position = list_nth_int(n > algebra->nkeys ? algebra->shown : algebra->shown_keys, foreach_current_index(cell));
		name = psprintf("t.%s", quote_identifier(list_nth(columns, position - 1)));
		appendStringInfo(&out, ", %s AS %s", column->role == ALGEBRA_SUM ? psprintf("coalesce(%s, 0)", name) : name,
						 column->state.name);
	}
	foreach (cell, free_columns(algebra))
		appendStringInfo(&out, ", t.%s AS old_%d", quote_identifier(list_nth(columns, lfirst_int(cell) - 1)),
						 lfirst_int(cell));
	appendStringInfo(&out, " FROM %s AS t)", table);
	return out.data;
}

static Expr *
choice(Expr *condition, Expr *result, Expr *otherwise)
{
	CaseExpr *choice = makeNode(CaseExpr);
	CaseWhen *when = makeNode(CaseWhen);

	when->expr = condition;
	when->result = result;
	when->location = choice->location = -1;
	choice->casetype = exprType((Node *) result);
	choice->casecollid = exprCollation((Node *) result);
	choice->args = list_make1(when);
	choice->defresult = otherwise;
	return (Expr *) choice;
}

/* What is computed of a group that is not shown: nothing, it may divide by its number of rows. */
static Expr *
where_there(Expr *there, Expr *expr)
{
	if (IsA(expr, Var) || IsA(expr, Const))
		return expr;
	return choice(
		copyObject(there), expr,
		(Expr *) makeNullConst(exprType((Node *) expr), exprTypmod((Node *) expr), exprCollation((Node *) expr)));
}

/* merged: columns of the new state and strata_rescan, after SELECT, as algebra_left_join has them; n: of the state's columns, those that the table shows */
static char *
own_rows(const StrataAlgebra *algebra, int n, const char *merged, const char *change, const char *table,
		 const List *columns, bool nulls)
{
	static const struct
	{
		char *name;
		Oid type;
	} beside[] = {{"strata_ctid", TIDOID}, {"strata_table", OIDOID}, {"n", INT8OID}, {"strata_rescan", INT4OID}};
	AlgebraPlan *plan = algebra_plan_of(algebra);
	Query *query = output_query(plan);
	RangeTblEntry *rte = linitial(query->rtable);
	List *targets = query->targetList;
	List *olds = free_columns(algebra);
	Expr *having = (Expr *) query->jointree->quals;
	Expr *there;
	TargetEntry *rows;
	StringInfoData old, kept;
	ListCell *cell;

	initStringInfo(&old);
	initStringInfo(&kept);
	foreach (cell, olds)
	{
		appendStringInfo(&old, ", s.old_%d", lfirst_int(cell));
		appendStringInfo(&kept, ", old_%d", lfirst_int(cell));
	}
	query->targetList = NIL;
	for (int i = 0; i < lengthof(beside); i++)
	{
		add_group_column(rte, beside[i].name, beside[i].type, InvalidOid);
		add_target(query, beside[i].name);
	}
	foreach (cell, olds)
	{
		Node *expr = (Node *) list_nth_node(TargetEntry, targets, lfirst_int(cell) - 1)->expr;

		add_group_column(rte, psprintf("old_%d", lfirst_int(cell)), exprType(expr), exprCollation(expr));
	}
	add_group_column(rte, "strata_there", BOOLOID, InvalidOid);
	there = (Expr *) makeVar(1, list_length(rte->eref->colnames), BOOLOID, -1, InvalidOid, 0);
	if (having)
	{
		query->jointree->quals = NULL;
		there = choice(there, having, (Expr *) makeBoolConst(false, false));
		rows = list_nth_node(TargetEntry, query->targetList, 2);
		rows->expr = choice(
			there, rows->expr,
			(Expr *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(0), false, FLOAT8PASSBYVAL));
	}
	foreach (cell, targets)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		target->resno = list_length(query->targetList) + 1;
		if (plan->nkeys > 0)
			target->expr = where_there(there, target->expr);
		query->targetList = lappend(query->targetList, target);
	}
	foreach (cell, olds)
		add_target(query, psprintf("old_%d", lfirst_int(cell)));
	return psprintf(
		"WITH " ALGEBRA_GROUPS
		" AS (\n%sstrata_ctid, strata_table, n, strata_rescan%s, n > 0 AS strata_there\nFROM (\n%s\n)"
		" AS strata_merge\n)\n%s",
		group_columns(plan, ""), kept.data,
		algebra_left_join(
			plan, psprintf("SELECT s.ctid AS strata_ctid, s.tableoid AS strata_table, %s%s", merged, old.data), change,
			own_state(algebra, n, table, columns), nulls, plan->nkeys > 0 ? "(s.ctid IS NOT NULL OR c.n <> 0)" : NULL),
		strata_incremental_deparse(query));
}

char *
strata_algebra_own_merge(const StrataAlgebra *algebra, const char *change, const char *table, const List *columns,
						 bool nulls, bool counted)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);
	StringInfoData merged;
	ListCell *cell;

	initStringInfo(&merged);
	foreach (cell, plan->columns)
		appendStringInfo(&merged, "%s AS %s,\n\t", algebra_merged(plan, lfirst(cell)),
						 ((AlgebraColumn *) lfirst(cell))->state.name);
	appendStringInfo(&merged, "%s AS strata_rescan", algebra_doubts(plan, counted));
	return own_rows(algebra, list_length(plan->columns), merged.data, quote_identifier(change), table, columns, nulls);
}

/* As they are in a row set. */
static char *
as_they_are(const AlgebraPlan *plan)
{
	StringInfoData merged;
	ListCell *cell;

	initStringInfo(&merged);
	foreach (cell, plan->columns)
		appendStringInfo(&merged, "c.%s, ", ((AlgebraColumn *) lfirst(cell))->state.name);
	appendStringInfoString(&merged, "0 AS strata_rescan");
	return merged.data;
}

char *
strata_algebra_own_rescanned(const StrataAlgebra *algebra, const char *keys, const char *fresh, const char *table,
							 const List *columns, bool nulls)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);

	return own_rows(algebra, list_length(plan->columns), as_they_are(plan), algebra_fresh(plan, keys, fresh, nulls),
					table, columns, nulls);
}

char *
strata_algebra_keyed_output(const StrataAlgebra *algebra, const char *merge, const char *table, const List *columns,
							bool nulls)
{
	AlgebraPlan *plan = algebra_plan_of(algebra);

	return own_rows(algebra, plan->nkeys, as_they_are(plan), quote_identifier(merge), table, columns, nulls);
}
