/*
 * rows.c: to_jsonb(row) as the object of the row's columns.
 *
 * A whole row has the columns that its table has at the time. Written out, they stand in the plan's text, so that a plan of other
 * columns is another plan; and capture gives them, which it does not give of a row as a value.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/value.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "incremental/incremental_internal.h"

/* Of a call: name and value each */
#define MOST_COLUMNS (FUNC_MAX_ARGS / 2)

typedef struct WriteOut
{
	Query *query;
	bool names; /* of a relation's columns were written out */
} WriteOut;

/* Whether an outer join can make the row of this entry NULL. */
static bool
is_nullable(Node *node, Index varno, bool nullable)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		return nullable && ((RangeTblRef *) node)->rtindex == (int) varno;
	if (IsA(node, FromExpr))
	{
		foreach (lc, ((FromExpr *) node)->fromlist)
			if (is_nullable(lfirst(lc), varno, nullable))
				return true;
		return false;
	}
	if (IsA(node, JoinExpr))
	{
		JoinExpr *j = (JoinExpr *) node;

		return is_nullable(j->larg, varno, nullable || j->jointype == JOIN_RIGHT || j->jointype == JOIN_FULL) ||
			   is_nullable(j->rarg, varno, nullable || j->jointype == JOIN_LEFT || j->jointype == JOIN_FULL);
	}
	return true;
}

static List *
pair(List *args, const char *name, Var *value)
{
	args = lappend(args, makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1, CStringGetTextDatum(name), false, false));
	return lappend(args, value);
}

/* name, value, name, value ...; NIL: it cannot be told */
static List *
columns_of(WriteOut *w, Index varno)
{
	RangeTblEntry *rte = rt_fetch(varno, w->query->rtable);
	List *args = NIL;
	ListCell *lc;

	if (rte->rtekind == RTE_RELATION)
	{
		Relation rel = table_open(rte->relid, AccessShareLock);

		for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		{
			Form_pg_attribute a = TupleDescAttr(RelationGetDescr(rel), i);

			if (!a->attisdropped)
				args = pair(args, NameStr(a->attname),
							makeVar(varno, a->attnum, a->atttypid, a->atttypmod, a->attcollation, 0));
		}
		table_close(rel, NoLock);
		w->names = true;
	}
	else if (rte->rtekind == RTE_SUBQUERY)
		foreach (lc, rte->subquery->targetList)
		{
			TargetEntry *te = lfirst(lc);

			if (!te->resjunk && te->resno <= list_length(rte->eref->colnames))
				args =
					pair(args, strVal(list_nth(rte->eref->colnames, te->resno - 1)), makeVarFromTargetEntry(varno, te));
		}
	return args;
}

static Node *
as_object(const List *args)
{
	Node *object = NULL;
	Oid concat = OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString("||")), JSONBOID, JSONBOID);

	for (int at = 0; at < list_length(args); at += 2 * MOST_COLUMNS)
	{
		List *some = NIL;
		Node *one;

		for (int i = at; i < Min(list_length(args), at + 2 * MOST_COLUMNS); i++)
			some = lappend(some, list_nth(args, i));
		one = (Node *) makeFuncExpr(F_JSONB_BUILD_OBJECT_ANY, JSONBOID, some, InvalidOid, InvalidOid,
									COERCE_EXPLICIT_CALL);
		if (object)
			one =
				(Node *) make_opclause(concat, JSONBOID, false, (Expr *) object, (Expr *) one, InvalidOid, InvalidOid);
		object = one;
	}
	return object;
}

static Node *
write_out(Node *node, WriteOut *w)
{
	if (node == NULL)
		return NULL;
	/* other levels are written out on their own */
	if (IsA(node, Query))
		return node;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_TO_JSONB)
	{
		Node *arg = linitial(((FuncExpr *) node)->args);

		if (IsA(arg, Var) && ((Var *) arg)->varattno == InvalidAttrNumber && ((Var *) arg)->varlevelsup == 0 &&
			!is_nullable((Node *) w->query->jointree, ((Var *) arg)->varno, false))
		{
			List *args = columns_of(w, ((Var *) arg)->varno);

			if (args != NIL)
				return as_object(args);
		}
	}
	return expression_tree_mutator(node, write_out, w);
}

/* True: names of columns stand in the result now. */
bool
incremental_write_out_rows(Query *query)
{
	WriteOut w = {query, false};

	query->targetList = (List *) write_out((Node *) query->targetList, &w);
	if (query->jointree)
		query->jointree->quals = write_out(query->jointree->quals, &w);
	return w.names;
}
