/*
 * sublinks.c: scalar subqueries as members of FROM, so that a change in them is a change of a join.
 *
 *   (SELECT avg(x) FROM t)                      one row always: a factor
 *   (SELECT sum(x) FROM t WHERE t.k = o.k)      LEFT JOIN (SELECT k, sum(x) FROM t GROUP BY k) ON k = o.k
 *   (SELECT x FROM t WHERE t.k = o.k ORDER BY y LIMIT 1)
 *                                               LEFT JOIN (SELECT DISTINCT ON (k) k, x FROM t ORDER BY k, y) ON k = o.k
 *   (SELECT name FROM c WHERE c.id = o.c_id)    LEFT JOIN, when an index makes id unique
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "incremental/incremental_internal.h"

typedef struct Sublinks
{
	Query *query;
	bool grouped; /* the level groups: only what is evaluated for rows */
	int rows;     /* depth of aggregates around the node */
	List *from;   /* SubLink *, as first met */
	List *to;     /* Node *: what each became, a NULL constant's place: none */
} Sublinks;

/* ---- FROM ---- */

/* The same in every version: the range table also holds what FROM does not name. */
static char *
next_alias(Query *query)
{
	return psprintf("s%d", bms_num_members(incremental_members(query)) + 1);
}

static Index
append(Query *query, RangeTblEntry *rte)
{
	query->rtable = lappend(query->rtable, rte);
	return list_length(query->rtable);
}

static Node *
reference_to(Index index)
{
	RangeTblRef *reference = makeNode(RangeTblRef);

	reference->rtindex = index;
	return (Node *) reference;
}

static Index
index_of(Node *node)
{
	return IsA(node, JoinExpr) ? ((JoinExpr *) node)->rtindex : ((RangeTblRef *) node)->rtindex;
}

/* Columns of a join, of which printing needs the names and the count. */
static void
take_columns(RangeTblEntry *joined, Query *query, Index index, List **columns)
{
	RangeTblEntry *side = rt_fetch(index, query->rtable);
	ListCell *lc;

	foreach (lc, side->eref->colnames)
	{
		char *name = strVal(lfirst(lc));
		int number = foreach_current_index(lc) + 1;

		if (name[0] == '\0' || (side->rtekind == RTE_RELATION && get_rte_attribute_is_dropped(side, number)))
			continue;
		joined->eref->colnames = lappend(joined->eref->colnames, makeString(pstrdup(name)));
		joined->joinaliasvars = lappend(joined->joinaliasvars, makeVar(index, number, INT4OID, -1, InvalidOid, 0));
		*columns = lappend_int(*columns, number);
	}
}

static Node *
join_nodes(Query *query, Node *left, Node *right, JoinType type, Node *quals)
{
	RangeTblEntry *joined = makeNode(RangeTblEntry);
	JoinExpr *join = makeNode(JoinExpr);

	joined->rtekind = RTE_JOIN;
	joined->jointype = type;
	joined->eref = makeAlias("unnamed_join", NIL);
	joined->inFromCl = true;
	take_columns(joined, query, index_of(left), &joined->joinleftcols);
	take_columns(joined, query, index_of(right), &joined->joinrightcols);
	join->jointype = type;
	join->larg = left;
	join->rarg = right;
	join->quals = quals;
	join->rtindex = append(query, joined);
	return (Node *) join;
}

static void
left_join(Query *query, Index index, List *conditions)
{
	Node *left = NULL;
	ListCell *lc;

	foreach (lc, query->jointree->fromlist)
		left = left == NULL ? lfirst(lc) : join_nodes(query, left, lfirst(lc), JOIN_INNER, NULL);
	query->jointree->fromlist =
		list_make1(join_nodes(query, left, reference_to(index), JOIN_LEFT, (Node *) make_ands_explicit(conditions)));
}

/* ---- what a scalar subquery is ---- */

/* Aggregates without a row: 0 or NULL; others are not known. */
static Node *
empty_mutator(Node *node, bool *known)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref))
	{
		Aggref *aggregate = (Aggref *) node;
		char *name = get_func_name(aggregate->aggfnoid);

		if (aggregate->aggfnoid >= FirstNormalObjectId || aggregate->aggkind != 'n')
			*known = false;
		if (strcmp(name, "count") == 0 || strcmp(name, "regr_count") == 0)
			return (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(0), false, FLOAT8PASSBYVAL);
		return (Node *) makeNullConst(aggregate->aggtype, -1, aggregate->aggcollid);
	}
	if (IsA(node, Var) || IsA(node, SubLink) || IsA(node, GroupingFunc))
		*known = false;
	return expression_tree_mutator(node, empty_mutator, known);
}

typedef struct Levels
{
	bool own;
	bool outer;
	bool far;
	int depth;
} Levels;

static bool
level_walker(Node *node, Levels *levels)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		int level = (int) ((Var *) node)->varlevelsup - levels->depth;

		levels->own |= level == 0;
		levels->outer |= level == 1;
		levels->far |= level > 1;
		return false;
	}
	if ((IsA(node, Aggref) && (int) ((Aggref *) node)->agglevelsup > levels->depth) || IsA(node, GroupingFunc))
		levels->far = true;
	if (IsA(node, Query))
	{
		levels->depth++;
		query_tree_walker((Query *) node, level_walker, levels, QTW_IGNORE_JOINALIASES);
		levels->depth--;
		return false;
	}
	return expression_tree_walker(node, level_walker, levels);
}

static Levels
levels_of(Node *node)
{
	Levels levels = {false, false, false, 0};

	level_walker(node, &levels);
	return levels;
}

static List *
conjuncts(Node *quals)
{
	List *list = NIL;
	ListCell *lc;

	if (quals == NULL)
		return NIL;
	if (!is_andclause(quals))
		return list_make1(quals);
	foreach (lc, ((BoolExpr *) quals)->args)
		list = list_concat(list, conjuncts(lfirst(lc)));
	return list;
}

/* inner = outer, by the equality that would group the inner side. */
static bool
is_correlation(Node *node, int *inner_side)
{
	OpExpr *op = (OpExpr *) node;
	Levels sides[2];
	Oid left, right, less, equals, greater;
	bool hashable;

	if (!IsA(node, OpExpr) || list_length(op->args) != 2)
		return false;
	for (int i = 0; i < 2; i++)
		sides[i] = levels_of(list_nth(op->args, i));
	*inner_side = sides[0].own ? 0 : 1;
	if (!sides[*inner_side].own || sides[*inner_side].outer || sides[1 - *inner_side].own ||
		!sides[1 - *inner_side].outer || sides[0].far || sides[1].far || checkExprHasSubLink(node))
		return false;
	op_input_types(op->opno, &left, &right);
	if (left != right || exprCollation(list_nth(op->args, *inner_side)) != op->inputcollid)
		return false;
	get_sort_group_operators(exprType(list_nth(op->args, *inner_side)), false, false, false, &less, &equals, &greater,
							 &hashable);
	return equals == op->opno;
}

/* ORDER BY ... LIMIT 1 */
static bool
is_first_row(Query *query)
{
	return !query->hasAggs && query->limitOffset == NULL && query->limitOption == LIMIT_OPTION_COUNT &&
		   query->limitCount != NULL && IsA(query->limitCount, Const) && !((Const *) query->limitCount)->constisnull &&
		   DatumGetInt64(((Const *) query->limitCount)->constvalue) == 1;
}

static bool
is_plain(Query *query)
{
	return query->setOperations == NULL && query->groupClause == NIL && query->groupingSets == NIL &&
		   query->havingQual == NULL && query->distinctClause == NIL &&
		   (is_first_row(query) || (query->limitCount == NULL && query->limitOffset == NULL)) &&
		   !query->hasWindowFuncs && !query->hasTargetSRFs && list_length(incremental_visible(query)) == 1 &&
		   query->jointree->fromlist != NIL;
}

/* At most one row has these values of these columns: by an index. */
static bool
is_unique(Query *query, List *correlations)
{
	Relation relation;
	RangeTblEntry *rte;
	ListCell *lc, *each;
	bool unique = false;
	Index index;

	if (list_length(query->jointree->fromlist) != 1 || !IsA(linitial(query->jointree->fromlist), RangeTblRef))
		return false;
	index = linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex;
	rte = rt_fetch(index, query->rtable);
	if (rte->rtekind != RTE_RELATION || (rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_PARTITIONED_TABLE))
		return false;
	relation = relation_open(rte->relid, AccessShareLock);
	if (relation->rd_rel->relhassubclass && rte->relkind == RELKIND_RELATION && rte->inh)
	{
		relation_close(relation, NoLock);
		return false;
	}
	foreach (lc, RelationGetIndexList(relation))
	{
		Relation key = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = key->rd_index;
		bool covered = form->indisunique && form->indisvalid && form->indimmediate &&
					   RelationGetIndexPredicate(key) == NIL && RelationGetIndexExpressions(key) == NIL;

		for (int i = 0; covered && i < form->indnkeyatts; i++)
		{
			covered = false;
			foreach (each, correlations)
			{
				OpExpr *op = lfirst(each);
				Node *side;
				int inner;

				is_correlation((Node *) op, &inner);
				side = strip_implicit_coercions(list_nth(op->args, inner));
				covered |= IsA(side, Var) && ((Var *) side)->varno == index &&
						   ((Var *) side)->varattno == form->indkey.values[i] &&
						   get_op_opfamily_strategy(op->opno, key->rd_opfamily[i]) == BTEqualStrategyNumber &&
						   key->rd_indcollation[i] == op->inputcollid;
			}
		}
		index_close(key, NoLock);
		unique |= covered;
	}
	relation_close(relation, NoLock);
	return unique;
}

/* ---- the joins ---- */

/* The keys in front of the value: what it is grouped by, or of which it is the first row. */
static void
take_keys(Query *inner, List *entries, List *clauses, TargetEntry *value, bool first_row)
{
	List *kept = lappend(entries, value);
	ListCell *lc;

	foreach (lc, inner->targetList)
		if (first_row && lfirst_node(TargetEntry, lc)->resjunk)
			kept = lappend(kept, lfirst(lc));
	inner->targetList = kept;
	value->resname = pstrdup("value");
	incremental_renumber(inner);
	if (!first_row)
	{
		value->ressortgroupref = 0;
		inner->groupClause = clauses;
		inner->sortClause = NIL;
		return;
	}
	inner->distinctClause = clauses;
	inner->hasDistinctOn = true;
	inner->sortClause = list_concat_copy(clauses, inner->sortClause);
	inner->limitCount = NULL;
}

/* SELECT k1, ..., value FROM ... WHERE what is not correlated [GROUP BY k1, ...], joined by what is. */
static Node *
join_correlated(Query *query, Query *inner, List *correlations, List *others)
{
	TargetEntry *value = linitial(incremental_visible(inner));
	List *entries = NIL, *conditions = NIL;
	Node *empty = NULL;
	bool known = true, first_row = is_first_row(inner);
	List *clauses = NIL;
	Index index = list_length(query->rtable) + 1;
	Index reference = 0;
	Var *result, *first = NULL;
	CaseExpr *found;
	CaseWhen *when;
	NullTest *test;
	ListCell *lc;

	if (inner->hasAggs)
	{
		empty = empty_mutator((Node *) copyObject(value->expr), &known);
		if (!known)
			return NULL;
	}
	foreach (lc, inner->targetList)
		reference = Max(reference, lfirst_node(TargetEntry, lc)->ressortgroupref);
	foreach (lc, correlations)
	{
		OpExpr *op = copyObject(lfirst_node(OpExpr, lc));
		int number = foreach_current_index(lc) + 1;
		int side;
		TargetEntry *key;
		Var *column;

		is_correlation((Node *) op, &side);
		key = makeTargetEntry((Expr *) list_nth(op->args, side), number, psprintf("k%d", number), false);
		column = incremental_column(index, number, (Node *) key->expr);
		first = first == NULL ? column : first;
		IncrementVarSublevelsUp(list_nth(op->args, 1 - side), -1, 1);
		lfirst(list_nth_cell(op->args, side)) = column;
		conditions = lappend(conditions, op);
		if (inner->hasAggs || first_row)
		{
			SortGroupClause *clause = makeNode(SortGroupClause);
			Oid greater;

			get_sort_group_operators(exprType((Node *) key->expr), first_row, true, false, &clause->sortop,
									 &clause->eqop, &greater, &clause->hashable);
			key->ressortgroupref = clause->tleSortGroupRef = ++reference;
			clauses = lappend(clauses, clause);
		}
		entries = lappend(entries, key);
	}
	take_keys(inner, entries, clauses, value, first_row);
	inner->jointree->quals = others == NIL ? NULL : (Node *) make_ands_explicit(others);
	result = incremental_column(index, value->resno, (Node *) value->expr);
	append(query, incremental_subquery_entry(inner, next_alias(query)));
	left_join(query, index, conditions);
	if (empty == NULL || (IsA(empty, Const) && ((Const *) empty)->constisnull))
		return (Node *) result;
	found = makeNode(CaseExpr);
	when = makeNode(CaseWhen);
	test = makeNode(NullTest);
	test->arg = (Expr *) copyObject(first);
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	when->expr = (Expr *) test;
	when->result = (Expr *) result;
	when->location = -1;
	found->casetype = exprType((Node *) result);
	found->casecollid = exprCollation((Node *) result);
	found->args = list_make1(when);
	found->defresult = (Expr *) empty;
	found->location = -1;
	return (Node *) found;
}

/* The expression that the subquery becomes, its rows in FROM; NULL when it has to stay. */
static Node *
joined(Query *query, SubLink *link)
{
	Query *inner = copyObject(castNode(Query, link->subselect));
	List *correlations = NIL, *others = NIL;
	Node *rest;
	ListCell *lc;
	Levels levels;
	int side;

	if (link->subLinkType != EXPR_SUBLINK || !is_plain(inner) || query->jointree->fromlist == NIL)
		return NULL;
	if (incremental_is_closed(inner))
	{
		TargetEntry *value = linitial(incremental_visible(inner));
		Index index;

		if (!inner->hasAggs && !is_first_row(inner))
			return NULL;
		index = append(query, incremental_subquery_entry(inner, next_alias(query)));
		if (inner->hasAggs)
			query->jointree->fromlist = lappend(query->jointree->fromlist, reference_to(index));
		else
			left_join(query, index, NIL);
		return (Node *) incremental_column(index, 1, (Node *) value->expr);
	}
	foreach (lc, conjuncts(inner->jointree->quals))
	{
		if (is_correlation(lfirst(lc), &side))
			correlations = lappend(correlations, lfirst(lc));
		else
			others = lappend(others, lfirst(lc));
	}
	/* nothing else may look outside */
	inner->jointree->quals = others == NIL ? NULL : (Node *) make_ands_explicit(others);
	rest = (Node *) inner;
	levels = (Levels){false, false, false, -1};
	level_walker(rest, &levels);
	if (correlations == NIL || levels.outer || levels.far || !incremental_is_closed(inner))
		return NULL;
	if (!inner->hasAggs && !is_first_row(inner) && !is_unique(inner, correlations))
		return NULL;
	return join_correlated(query, inner, correlations, others);
}

static Node *
sublink_mutator(Node *node, Sublinks *context)
{
	if (node == NULL || IsA(node, Query))
		return node;
	if (IsA(node, SubLink) && (!context->grouped || context->rows > 0))
	{
		ListCell *from, *to;
		Node *became;

		forboth (from, context->from, to, context->to)
			if (equal(lfirst(from), node))
				return lfirst(to) == NULL ? node : copyObject(lfirst(to));
		became = joined(context->query, (SubLink *) node);
		context->from = lappend(context->from, node);
		context->to = lappend(context->to, became);
		return became == NULL ? node : copyObject(became);
	}
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
	{
		Node *result;

		context->rows++;
		result = expression_tree_mutator(node, sublink_mutator, context);
		context->rows--;
		return result;
	}
	return expression_tree_mutator(node, sublink_mutator, context);
}

void
incremental_join_sublinks(Query *query)
{
	Sublinks context = {query, incremental_groups(query), 0, NIL, NIL};

	if (!query->hasSubLinks)
		return;
	context.rows++;
	query->jointree->quals = sublink_mutator(query->jointree->quals, &context);
	context.rows--;
	query->targetList = (List *) sublink_mutator((Node *) query->targetList, &context);
	query->havingQual = sublink_mutator(query->havingQual, &context);
	query->hasSubLinks = checkExprHasSubLink((Node *) query->targetList) ||
						 checkExprHasSubLink((Node *) query->jointree) || checkExprHasSubLink(query->havingQual) ||
						 checkExprHasSubLink((Node *) query->windowClause);
}
