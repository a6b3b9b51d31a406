/*
 * cut.c: a query into parts, each with the rule by which its result follows the changes of what it reads.
 *
 * Bottom up: a level that is linear stays where it is; one that is not becomes a part, and what read it reads the part.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "incremental/incremental_internal.h"

/* A level of the query, what it reads already cut; not a part yet. Linear: the rule is SIGNED. */
typedef struct Level
{
	Query *query;
	StrataRule rule;
	bool also_keys;
	bool unique;
	int visible; /* columns it was written with; those after them are keys */
	List *keys;  /* int */
	char *what;
	char *reason;
} Level;

typedef struct Cut
{
	StrataIncremental *plan;
	char *refusal; /* why the query cannot be cut at all */
} Cut;

static Level *analyse(Cut *cut, Query *query);

/* ---- parts ---- */

static bool
part_walker(Node *node, List **numbers)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		int number = incremental_part_of((RangeTblEntry *) node);

		if (number > 0)
			*numbers = list_append_unique_int(*numbers, number);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, part_walker, numbers,
								 QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	return expression_tree_walker(node, part_walker, numbers);
}

/* The columns of a table need names of their own. */
static void
distinct_names(Query *query)
{
	List *names = NIL;
	ListCell *lc;

	foreach (lc, incremental_visible(query))
	{
		TargetEntry *entry = lfirst(lc);
		char *name = entry->resname == NULL ? "?column?" : entry->resname;
		int suffix = 0;

		while (strata_base_list_has(names, name))
			name = psprintf("%.50s_%d", entry->resname == NULL ? "?column?" : entry->resname, ++suffix);
		entry->resname = pstrdup(name);
		names = lappend(names, name);
		if (suffix > 0 && query->setOperations != NULL)
		{
			List *all = NIL;
			ListCell *each;

			foreach (each, incremental_visible(query))
				all = lappend(all, makeString(lfirst_node(TargetEntry, each)->resname));
			incremental_rename(query, all);
		}
	}
}

static StrataPart *
emit(Cut *cut, Level *level, bool last)
{
	StrataPart *part = palloc0(sizeof(StrataPart));
	ListCell *lc;

	if (!last)
	{
		/* EXISTS (SELECT FROM ...): a table of a part has a column */
		if (incremental_visible(level->query) == NIL && level->query->setOperations == NULL)
		{
			level->query->targetList =
				lcons(makeTargetEntry((Expr *) makeBoolConst(true, false), 1, pstrdup("strata_row"), false),
					  level->query->targetList);
			incremental_renumber(level->query);
		}
		foreach (lc, incremental_visible(level->query))
		{
			Oid type = exprType((Node *) lfirst_node(TargetEntry, lc)->expr);

			if (get_typtype(type) == TYPTYPE_PSEUDO && cut->refusal == NULL)
				cut->refusal = psprintf("a table cannot hold the column %s of an inner level, of type %s",
										lfirst_node(TargetEntry, lc)->resname, format_type_be(type));
		}
		distinct_names(level->query);
		/* a CTE or view that is read twice is one part */
		foreach (lc, cut->plan->parts)
			if (equal(((StrataPart *) lfirst(lc))->query, level->query))
				return lfirst(lc);
	}
	part->number = list_length(cut->plan->parts) + 1;
	part->last = last;
	part->rule = level->rule;
	part->also_keys = level->also_keys;
	part->what = level->what;
	part->reason = level->reason;
	part->query = level->query;
	part->keys = level->keys;
	part->keys_unique = level->unique;
	query_tree_walker(part->query, part_walker, &part->parts, QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	cut->plan->parts = lappend(cut->plan->parts, part);
	return part;
}

/* Columns that were appended are not among the entry's: the joins it is in count its columns. */
static void
read_part(RangeTblEntry *rte, const StrataPart *part, int columns)
{
	ListCell *lc;
	List *names = NIL;

	rte->rtekind = RTE_CTE;
	rte->subquery = NULL;
	rte->lateral = false;
	rte->ctename = strata_part_name(part->number);
	rte->coltypes = rte->coltypmods = rte->colcollations = NIL;
	foreach (lc, list_truncate(incremental_visible(part->query), columns))
	{
		TargetEntry *entry = lfirst(lc);

		names = lappend(names, makeString(pstrdup(entry->resname)));
		rte->coltypes = lappend_oid(rte->coltypes, exprType((Node *) entry->expr));
		rte->coltypmods = lappend_int(rte->coltypmods, exprTypmod((Node *) entry->expr));
		rte->colcollations = lappend_oid(rte->colcollations, exprCollation((Node *) entry->expr));
	}
	rte->alias = makeAlias(rte->eref->aliasname, NIL);
	rte->eref = makeAlias(rte->eref->aliasname, names);
}

/* The query as a linear one: itself, or one that reads the part it becomes. */
static Query *
linear_of(Cut *cut, Level *level)
{
	Query *query;

	if (level->rule == STRATA_RULE_SIGNED)
		return level->query;
	query = incremental_select_from(level->query, "p");
	query->targetList = list_truncate(query->targetList, level->visible);
	{
		List *names = NIL;
		ListCell *lc;

		foreach (lc, query->targetList)
			names = lappend(names, makeString(pstrdup(lfirst_node(TargetEntry, lc)->resname)));
		read_part(linitial_node(RangeTblEntry, query->rtable), emit(cut, level, false), level->visible);
		incremental_rename(query, names);
	}
	return query;
}

static void cut_children(Cut *cut, Query *query);

static bool
sublink_walker(Node *node, Cut *cut)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
	{
		SubLink *link = (SubLink *) node;

		/* an array has the order of its query, which a table would not keep */
		if (incremental_is_closed((Query *) link->subselect) &&
			(link->subLinkType != ARRAY_SUBLINK || ((Query *) link->subselect)->sortClause == NIL))
			link->subselect = (Node *) linear_of(cut, analyse(cut, (Query *) link->subselect));
		else
			cut_children(cut, (Query *) link->subselect);
		return sublink_walker(link->testexpr, cut);
	}
	if (IsA(node, Query))
		return false;
	return expression_tree_walker(node, sublink_walker, cut);
}

/* What FROM and the expressions of a level read, cut. */
static void
cut_children(Cut *cut, Query *query)
{
	ListCell *lc;

	check_stack_depth();
	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);
		Level *level;

		if (rte->rtekind != RTE_SUBQUERY)
			continue;
		if (!incremental_is_closed(rte->subquery))
		{
			cut_children(cut, rte->subquery);
			continue;
		}
		rte->lateral = false;
		level = analyse(cut, rte->subquery);
		if (level->rule == STRATA_RULE_SIGNED || query->setOperations != NULL)
			rte->subquery = linear_of(cut, level);
		else
			read_part(rte, emit(cut, level, false), level->visible);
	}
	query_tree_walker(query, sublink_walker, cut, QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_JOINALIASES);
}

/* Parts are tables to whoever judges a query; which ones is not known yet. */
static bool
stand_in_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (incremental_part_of(rte) > 0)
		{
			rte->rtekind = RTE_RELATION;
			rte->relid = RelationRelationId;
			rte->relkind = RELKIND_RELATION;
			rte->ctename = NULL;
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, stand_in_walker, context,
								 QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	return expression_tree_walker(node, stand_in_walker, context);
}

static Query *
with_stand_ins(Query *query)
{
	query = copyObject(query);
	stand_in_walker((Node *) query, NULL);
	return query;
}

/* Why the rows below the grouping or the windows of a level have no signed change. */
static char *
core_refusal(Query *query)
{
	return strata_incremental_linear_refusal(
		with_stand_ins(incremental_core(query, incremental_row_expressions(query, false))));
}

/* ---- levels ---- */

static Level *
make_level(Query *query, StrataRule rule, char *what, char *reason)
{
	Level *level = palloc0(sizeof(Level));

	level->query = query;
	level->rule = rule;
	level->what = what;
	level->reason = reason;
	level->visible = list_length(incremental_visible(query));
	return level;
}

/* The output column that is the expression; a new one when there is none. */
static int
key_column(Query *query, Node *expression)
{
	TargetEntry *junk = NULL;
	ListCell *lc;
	int number = list_length(incremental_visible(query)) + 1;

	foreach (lc, query->targetList)
	{
		TargetEntry *entry = lfirst(lc);

		if (!equal(entry->expr, expression))
			continue;
		if (!entry->resjunk)
			return entry->resno;
		junk = entry;
	}
	if (junk == NULL)
	{
		junk = makeTargetEntry(copyObject((Expr *) expression), 0, NULL, true);
		query->targetList = lappend(query->targetList, junk);
	}
	junk->resname = psprintf("strata_key_%d", number);
	junk->resjunk = false;
	/* after all that are output, before what stays hidden */
	query->targetList = list_delete_ptr(query->targetList, junk);
	query->targetList = list_insert_nth(query->targetList, number - 1, junk);
	incremental_renumber(query);
	return number;
}

static void
set_keys(Level *level, List *expressions)
{
	ListCell *lc;

	foreach (lc, expressions)
		level->keys = list_append_unique_int(level->keys, key_column(level->query, lfirst(lc)));
}

static char *
name_list(Query *query, List *expressions)
{
	List *words = NIL;
	ListCell *lc;

	foreach (lc, expressions)
		words = lappend(words, incremental_describe(query, lfirst(lc)));
	return strata_base_join(words, ", ");
}

static bool
aggregate_walker(Node *node, List **found)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
	{
		*found = list_append_unique(*found, node);
		return false;
	}
	if (IsA(node, WindowFunc))
	{
		*found = list_append_unique(*found, node);
		return false;
	}
	return expression_tree_walker(node, aggregate_walker, found);
}

/* A sublink that is evaluated for groups, not for rows. */
static bool
group_sublink(Node *node, List *keys)
{
	if (node == NULL || IsA(node, Aggref) || list_member(keys, node))
		return false;
	if (IsA(node, SubLink))
		return true;
	return expression_tree_walker(node, group_sublink, keys);
}

static List *
clause_expressions(List *clauses, Query *query)
{
	List *expressions = NIL;
	ListCell *lc;

	foreach (lc, clauses)
		expressions = lappend(expressions, get_sortgroupclause_expr(lfirst(lc), query->targetList));
	return expressions;
}

static Level *
analyse_groups(Cut *cut, Query *query)
{
	List *keys = clause_expressions(query->groupClause, query);
	List *aggregates = NIL;
	char *refusal, *algebra, *what;
	Query *values;
	Level *level;

	if (group_sublink((Node *) query->targetList, keys) || group_sublink(query->havingQual, keys))
		return analyse(cut, incremental_split_grouping(query));
	values = incremental_split_distinct(query);
	if (values != NULL)
		return analyse(cut, values);
	incremental_join_sublinks(query);
	cut_children(cut, query);
	aggregate_walker((Node *) query->targetList, &aggregates);
	aggregate_walker(query->havingQual, &aggregates);
	if (keys == NIL)
		what = aggregates == NIL ? "one row" : psprintf("aggregate: %s", name_list(query, aggregates));
	else if (aggregates == NIL)
		what = psprintf("distinct %s", name_list(query, keys));
	else
		what = psprintf("group by %s: %s", name_list(query, keys), name_list(query, aggregates));

	refusal = core_refusal(query);
	if (refusal != NULL)
		return make_level(query, STRATA_RULE_WHOLE, what, refusal);
	algebra = strata_incremental_algebra_refusal(with_stand_ins(query));
	if (algebra != NULL && (keys == NIL || checkExprHasSubLink((Node *) keys)))
		return make_level(
			query, STRATA_RULE_WHOLE, what,
			psprintf("%s, and %s", algebra, keys == NIL ? "there is one group only" : "the group's key is a subquery"));
	if (algebra == NULL)
		level = make_level(query, STRATA_RULE_ALGEBRA, what,
						   keys == NIL ? "changes are merged into hidden state"
									   : "changes are merged into hidden state by group");
	else
		level = make_level(query, STRATA_RULE_KEYS, what,
						   psprintf("groups that the change touches are computed again, as %s", algebra));
	level->also_keys = keys != NIL && !checkExprHasSubLink((Node *) keys);
	level->unique = true;
	set_keys(level, keys);
	return level;
}

/* The expressions by which every window is partitioned. */
static List *
common_partition(Query *query)
{
	List *common = NIL;
	bool first = true;
	ListCell *lc;

	foreach (lc, query->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, lc);
		List *expressions = clause_expressions(window->partitionClause, query);

		common = first ? expressions : list_intersection(common, expressions);
		first = false;
	}
	return common;
}

static Level *
analyse_windows(Cut *cut, Query *query)
{
	List *keys = common_partition(query);
	List *functions = NIL;
	char *refusal, *what;
	Level *level;

	incremental_join_sublinks(query);
	cut_children(cut, query);
	aggregate_walker((Node *) query->targetList, &functions);
	what = psprintf("window: %s", name_list(query, functions));
	if (keys == NIL)
		return make_level(query, STRATA_RULE_WHOLE, what, "the windows have no PARTITION BY in common");
	what = psprintf("window by %s: %s", name_list(query, keys), name_list(query, functions));
	if (checkExprHasSubLink((Node *) keys))
		return make_level(query, STRATA_RULE_WHOLE, what, "a PARTITION BY is a subquery");
	if (query->hasTargetSRFs)
		return make_level(query, STRATA_RULE_WHOLE, what, "the level also calls functions that return sets");
	refusal = core_refusal(query);
	if (refusal != NULL)
		return make_level(query, STRATA_RULE_WHOLE, what, refusal);
	level = make_level(query, STRATA_RULE_KEYS, what, "partitions that the change touches are computed again");
	set_keys(level, keys);
	return level;
}

static Level *
analyse_distinct_on(Cut *cut, Query *query)
{
	List *keys = clause_expressions(query->distinctClause, query);
	char *what = psprintf("first row by %s", name_list(query, keys));
	char *refusal;
	Level *level;

	incremental_join_sublinks(query);
	cut_children(cut, query);
	refusal = core_refusal(query);
	if (refusal == NULL && checkExprHasSubLink((Node *) keys))
		refusal = "a DISTINCT ON is a subquery";
	if (refusal != NULL)
		return make_level(query, STRATA_RULE_WHOLE, what, refusal);
	level = make_level(query, STRATA_RULE_KEYS, what, "keys that the change touches are computed again");
	level->unique = true;
	set_keys(level, keys);
	return level;
}

/* ---- a filter and projection over one subquery ---- */

/* Over groups: its condition is a HAVING, its columns are computed from groups. */
static Query *
fold(Query *query, RangeTblEntry *rte)
{
	Query *group = rte->subquery;
	int index = linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex;
	List *entries;
	Node *having;
	bool sublinks = false;
	ListCell *lc;

	entries = (List *) strata_replace_variables((Node *) query->targetList, index, rte, group->targetList, &sublinks);
	having = strata_replace_variables(query->jointree->quals, index, rte, group->targetList, &sublinks);
	group->hasSubLinks |= sublinks;
	foreach (lc, entries)
		lfirst_node(TargetEntry, lc)->ressortgroupref = 0;
	foreach (lc, group->groupClause)
	{
		Index reference = lfirst_node(SortGroupClause, lc)->tleSortGroupRef;
		TargetEntry *key = get_sortgroupref_tle(reference, group->targetList);
		TargetEntry *found = NULL;
		ListCell *each;

		foreach (each, entries)
		{
			TargetEntry *entry = lfirst(each);

			if (found == NULL && entry->ressortgroupref == 0 && equal(entry->expr, key->expr))
				found = entry;
		}
		if (found == NULL)
		{
			found = makeTargetEntry(copyObject(key->expr), list_length(entries) + 1, NULL, true);
			entries = lappend(entries, found);
		}
		found->ressortgroupref = reference;
	}
	group->targetList = entries;
	if (having != NULL)
		group->havingQual = group->havingQual == NULL
								? having
								: (Node *) makeBoolExpr(AND_EXPR, list_make2(group->havingQual, having), -1);
	group->hasAggs =
		contain_aggs_of_level((Node *) group->targetList, 0) || contain_aggs_of_level(group->havingQual, 0);
	/* one group must stay one, when no aggregate is asked for any more */
	if (group->groupClause == NIL && !group->hasAggs && group->havingQual == NULL)
		group->havingQual = makeBoolConst(true, false);
	incremental_renumber(group);
	return group;
}

static bool
is_plain_grouping(Query *query)
{
	return incremental_groups(query) && query->groupingSets == NIL && !query->hasWindowFuncs && !query->hasTargetSRFs &&
		   query->distinctClause == NIL && query->sortClause == NIL && query->limitCount == NULL &&
		   query->limitOffset == NULL && query->setOperations == NULL;
}

/* Over keys or the whole: one part with it, so that the rows it drops are kept nowhere. */
static Level *
fuse(Query *query, Level *inner)
{
	RangeTblEntry *rte = incremental_only_subquery(query);
	int index = linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex;
	Level *level;
	ListCell *lc;

	level = make_level(query, inner->rule, inner->what, inner->reason);
	level->unique = inner->unique;
	rte->subquery = inner->query;
	rte->eref = incremental_subquery_entry(inner->query, rte->eref->aliasname)->eref;
	rte->alias = makeAlias(rte->eref->aliasname, NIL);
	if (query->jointree->quals != NULL)
		level->what = psprintf("%s; where %s", inner->what, incremental_describe(query, query->jointree->quals));
	foreach (lc, inner->keys)
	{
		TargetEntry *key = list_nth_node(TargetEntry, inner->query->targetList, lfirst_int(lc) - 1);
		Var *column = incremental_column(index, key->resno, (Node *) key->expr);
		List *same = NIL;
		ListCell *each;

		/* as the query writes it: nullingrels and the like are its own */
		foreach (each, incremental_visible(query))
		{
			Var *var = (Var *) lfirst_node(TargetEntry, each)->expr;

			if (IsA(var, Var) && var->varno == index && var->varattno == key->resno && var->varlevelsup == 0)
				same = list_make1(var);
		}
		set_keys(level, same != NIL ? same : list_make1(column));
	}
	return level;
}

static Level *
analyse_linear(Cut *cut, Query *query)
{
	RangeTblEntry *rte;

	incremental_join_sublinks(query);
	rte = query->hasSubLinks ? NULL : incremental_only_subquery(query);
	if (rte != NULL && incremental_is_closed(rte->subquery))
	{
		Level *inner;

		if (!query->hasTargetSRFs && is_plain_grouping(rte->subquery))
			return analyse(cut, fold(query, rte));
		inner = analyse(cut, rte->subquery);
		if (!query->hasTargetSRFs && (inner->rule == STRATA_RULE_KEYS || inner->rule == STRATA_RULE_WHOLE))
			return fuse(query, inner);
		if (inner->rule == STRATA_RULE_SIGNED)
			rte->subquery = inner->query;
		else
			read_part(rte, emit(cut, inner, false), inner->visible);
	}
	else
		cut_children(cut, query);
	return make_level(query, STRATA_RULE_SIGNED, incremental_describe_from(query),
					  "the change is computed from changed rows and current rows");
}

static Level *
analyse_limit(Cut *cut, Query *query)
{
	cut_children(cut, query);
	return make_level(query, STRATA_RULE_WHOLE,
					  query->limitCount == NULL
						  ? pstrdup("rows after OFFSET")
						  : psprintf("first %s rows", incremental_describe(query, query->limitCount)),
					  "LIMIT depends on all rows that it reads");
}

static Level *
analyse(Cut *cut, Query *query)
{
	bool above = query->hasWindowFuncs || query->hasTargetSRFs;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (query->limitCount != NULL || query->limitOffset != NULL)
	{
		if (query->setOperations == NULL && !incremental_groups(query) && query->distinctClause == NIL && !above)
			return analyse_limit(cut, query);
		query = incremental_split_top(query, false);
		return analyse_limit(cut, query);
	}
	if (query->setOperations != NULL)
	{
		query = incremental_split_set_operations(query);
		if (query->setOperations == NULL)
			return analyse(cut, query);
		cut_children(cut, query);
		return make_level(query, STRATA_RULE_SIGNED, psprintf("union all of %d queries", list_length(query->rtable)),
						  "the change is that of each");
	}
	if (query->hasDistinctOn)
	{
		if (!incremental_groups(query) && !above)
			return analyse_distinct_on(cut, query);
		return analyse_distinct_on(cut, incremental_split_top(query, true));
	}
	if (query->distinctClause != NIL)
		return analyse(cut, incremental_distinct_to_group(query));
	if (incremental_groups(query) && above)
		return analyse(cut, incremental_split_grouping(query));
	if (query->hasWindowFuncs)
		return analyse_windows(cut, query);
	if (query->groupingSets != NIL)
	{
		Query *sets = incremental_split_grouping_sets(query);

		if (sets != NULL)
			return analyse(cut, sets);
		cut_children(cut, query);
		return make_level(query, STRATA_RULE_WHOLE, "grouping sets", "there are more than 64 sets");
	}
	if (incremental_groups(query))
		return analyse_groups(cut, query);
	return analyse_linear(cut, query);
}

/* ---- the whole query ---- */

/* The last part: its table is the target, which has the query's columns and no others. */
static void
emit_last(Cut *cut, Level *level)
{
	char *refusal = NULL;

	if (level->rule != STRATA_RULE_SIGNED && list_length(incremental_visible(level->query)) > level->visible)
	{
		Query *query = linear_of(cut, level);

		level = make_level(query, STRATA_RULE_SIGNED, "leaves the key out", "the key is not among the query's columns");
	}
	if (level->rule == STRATA_RULE_SIGNED)
		refusal = strata_incremental_linear_refusal(with_stand_ins(level->query));
	if (refusal != NULL)
		level = make_level(level->query, STRATA_RULE_WHOLE, level->what, refusal);
	emit(cut, level, true);
}

char *
incremental_cut(StrataIncremental *plan, Query *query)
{
	Cut cut = {plan, NULL};

	emit_last(&cut, analyse(&cut, query));
	return cut.refusal;
}

void
incremental_leave_whole(StrataIncremental *plan, Query *query, char *reason)
{
	Cut cut = {plan, NULL};

	emit(&cut, make_level(query, STRATA_RULE_WHOLE, "the query as it is", reason), true);
}
