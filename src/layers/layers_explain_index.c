/*
 * layers_explain_index.c: indexes by which a refresh by changes would find rows, and that are not there.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "layers/layers_explain.h"
#include "layers/layers_incremental_work.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_type.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

/* Reading so few is no matter. */
#define FEW_ROWS 5000

/* What rows of a relation are looked up by: expressions over its columns, as varno 1. */
typedef struct Wanted
{
	Oid relid;
	List *expressions;
} Wanted;

typedef struct Search
{
	List *rtables; /* of the query and those around it, the innermost first */
	List *changed; /* StrataChanged * */
	List *wanted;  /* Wanted * */
} Search;

/* ---- which column of which relation ---- */

static Var *find_column(Node *node, List *rtables, Oid *relid);

static Var *
find_in_subquery(const Query *query, AttrNumber attno, List *rtables, Oid *relid)
{
	TargetEntry *te = query->setOperations ? NULL : get_tle_by_resno(query->targetList, attno);

	return te ? find_column((Node *) te->expr, lcons(query->rtable, list_copy(rtables)), relid) : NULL;
}

/* The column that it is, through subqueries and joins; NULL: it is none. */
static Var *
find_column(Node *node, List *rtables, Oid *relid)
{
	Var *var;
	RangeTblEntry *rte;

	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	var = (Var *) node;
	if (node == NULL || !IsA(node, Var) || var->varattno <= 0 || (int) var->varlevelsup >= list_length(rtables))
		return NULL;
	rtables = list_copy_tail(rtables, var->varlevelsup);
	rte = rt_fetch(var->varno, (List *) linitial(rtables));
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			*relid = rte->relid;
			return makeVar(1, var->varattno, var->vartype, var->vartypmod, var->varcollid, 0);
		case RTE_SUBQUERY:
			return find_in_subquery(rte->subquery, var->varattno, rtables, relid);
		case RTE_JOIN:
			return find_column(list_nth(rte->joinaliasvars, var->varattno - 1), rtables, relid);
		default:
			return NULL;
	}
}

typedef struct Columns
{
	List *rtables;
	Oid relid; /* of all of them */
	bool failed;
} Columns;

static Node *
to_columns(Node *node, Columns *c)
{
	if (node && IsA(node, Var))
	{
		Oid relid = InvalidOid;
		Var *var = find_column(node, c->rtables, &relid);

		c->failed |= var == NULL || (OidIsValid(c->relid) && c->relid != relid);
		c->relid = relid;
		return var ? (Node *) var : node;
	}
	c->failed |= node && (IsA(node, SubLink) || IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, Param));
	return expression_tree_mutator(node, to_columns, c);
}

/* The expression over columns of one relation; NULL: it is over others, too, or nothing that an index may hold. */
static Node *
find_expression(Node *node, List *rtables, Oid *relid)
{
	Columns c = {rtables, InvalidOid, false};
	Node *found = to_columns(node, &c);

	if (c.failed || !OidIsValid(c.relid) || contain_mutable_functions(found))
		return NULL;
	*relid = c.relid;
	return found;
}

static void
want(List **wanted, Oid relid, Node *expression)
{
	Wanted *w = NULL;
	ListCell *lc;

	foreach (lc, *wanted)
		if (((Wanted *) lfirst(lc))->relid == relid)
			w = lfirst(lc);
	if (w == NULL)
	{
		w = palloc0(sizeof(Wanted));
		w->relid = relid;
		*wanted = lappend(*wanted, w);
	}
	if (!list_member(w->expressions, expression))
		w->expressions = lappend(w->expressions, expression);
}

/* ---- joins ---- */

static bool
has_changed(const List *changed, Oid relid)
{
	ListCell *lc;

	foreach (lc, changed)
		if (((StrataChanged *) lfirst(lc))->relid == relid)
			return true;
	return false;
}

/* Of columns that are equated: a change of the one looks rows up by the other. */
static bool
find_joins(Node *node, Search *s)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query *query = (Query *) node;

		s->rtables = lcons(query->rtable, s->rtables);
		query_tree_walker(query, find_joins, s, 0);
		s->rtables = list_delete_first(s->rtables);
		return false;
	}
	if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2)
	{
		OpExpr *op = (OpExpr *) node;
		Oid a = InvalidOid;
		Oid b = InvalidOid;
		Var *left = find_column(linitial(op->args), s->rtables, &a);
		Var *right = find_column(lsecond(op->args), s->rtables, &b);

		if (left && right && op_mergejoinable(op->opno, exprType(linitial(op->args))))
		{
			if (has_changed(s->changed, a))
				want(&s->wanted, b, (Node *) right);
			if (has_changed(s->changed, b))
				want(&s->wanted, a, (Node *) left);
		}
	}
	return expression_tree_walker(node, find_joins, s);
}

/* ---- indexes ---- */

static bool
begins_with(Relation index, const List *expressions)
{
	AttrNumber first = index->rd_index->indkey.values[0];
	ListCell *lc;

	if ((index->rd_rel->relam != BTREE_AM_OID && index->rd_rel->relam != HASH_AM_OID) ||
		(!index->rd_index->indisvalid && index->rd_rel->relkind != RELKIND_PARTITIONED_INDEX) ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	foreach (lc, expressions)
	{
		Node *node = lfirst(lc);

		if (first != 0 ? IsA(node, Var) && ((Var *) node)->varattno == first
					   : equal(linitial(RelationGetIndexExpressions(index)), node))
			return true;
	}
	return false;
}

static bool
has_index(Oid relid, const List *expressions)
{
	Relation rel = table_open(relid, AccessShareLock);
	List *indexes = rel->rd_rel->relhasindex ? RelationGetIndexList(rel) : NIL;
	bool found = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= begins_with(index, expressions);
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return found;
}

/* Of a table with partitions, each may have its own: the largest tells. */
static Oid
largest(Oid relid)
{
	Oid most = relid;
	double rows = -1;
	ListCell *lc;

	foreach (lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		double n = has_subclass(lfirst_oid(lc)) ? -1 : layers_rows_of(lfirst_oid(lc));

		if (n > rows)
		{
			rows = n;
			most = lfirst_oid(lc);
		}
	}
	return most;
}

static bool
is_call(Node *node)
{
	return IsA(node, FuncExpr) && ((FuncExpr *) node)->funcformat == COERCE_EXPLICIT_CALL;
}

/* "dw.sale (store)": an index that is lacking; NULL: none is. */
static char *
lacking(const Wanted *w)
{
	List *columns = NIL;
	ListCell *lc;

	char kind = get_rel_relkind(w->relid);

	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_MATVIEW) ||
		get_rel_namespace(w->relid) == get_namespace_oid("strata_state", true) || layers_rows_of(w->relid) < FEW_ROWS ||
		has_index(w->relid, w->expressions) || (has_subclass(w->relid) && has_index(largest(w->relid), w->expressions)))
		return NULL;
	foreach (lc, w->expressions)
	{
		Node *node = lfirst(lc);
		char *text = deparse_expression(node, deparse_context_for(get_rel_name(w->relid), w->relid), false, false);

		if (!OidIsValid(lookup_type_cache(exprType(node), TYPECACHE_BTREE_OPFAMILY)->btree_opf))
			return NULL;
		/* operators have parentheses by now, calls need none */
		columns =
			lappend(columns, IsA(node, Var) || IsA(node, OpExpr) || is_call(node) ? text : psprintf("(%s)", text));
	}
	return psprintf("%s (%s)",
					strata_base_label(get_namespace_name(get_rel_namespace(w->relid)), get_rel_name(w->relid)),
					strata_base_join(columns, ", "));
}

/* List of char *: what would find the rows that changes are joined to. */
List *
layers_lacking_joins(const StrataPart *part, List *changed)
{
	Search s = {NIL, changed, NIL};
	List *found = NIL;
	ListCell *lc;

	find_joins((Node *) part->query, &s);
	foreach (lc, s.wanted)
	{
		Wanted *w = lfirst(lc);
		ListCell *lc2;
		bool all = true;

		/* each look-up by its own column: one that has an index is not told from one that has none */
		foreach (lc2, w->expressions)
			all &= lacking(&(Wanted){w->relid, list_make1(lfirst(lc2))}) != NULL;
		foreach (lc2, all ? w->expressions : NIL)
			found = lappend(found, lacking(&(Wanted){w->relid, list_make1(lfirst(lc2))}));
	}
	return found;
}

/* What would find the rows of a part's groups, where all keys are of one relation; NULL: nothing, or it is there. */
char *
layers_lacking_keys(const StrataPart *part)
{
	List *rtables = list_make1(part->query->rtable);
	Wanted w = {0};
	ListCell *lc;

	if (part->query->setOperations || part->keys == NIL)
		return NULL;
	foreach (lc, part->keys)
	{
		TargetEntry *te = get_tle_by_resno(part->query->targetList, lfirst_int(lc));
		Oid relid = InvalidOid;
		Node *expression = te ? find_expression((Node *) te->expr, rtables, &relid) : NULL;

		if (expression == NULL || (w.expressions != NIL && relid != w.relid))
			return NULL;
		w.relid = relid;
		w.expressions = lappend(w.expressions, expression);
	}
	return lacking(&w);
}
