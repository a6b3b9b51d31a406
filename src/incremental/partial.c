/*
 * partial.c: relations of whose change only the present versions of the rows that came or changed are known, and never what went.
 *
 * What these rows touch is computed again from what is there now, which is exact for the keys touched. A row as it is now may give
 * nothing any more: it no longer meets a condition, or finds nothing to be joined with. Its key is touched all the same, where the key
 * is made of its own columns: conditions and joins are left aside there, and more keys than needed do no harm.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

#include "incremental/incremental_internal.h"

/* ---- the rule ---- */

typedef struct Reads
{
	const List *relids;
	List *found; /* Oid: each once */
	int count;
} Reads;

static bool
reads_walker(Node *node, Reads *reads)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION && list_member_oid(reads->relids, rte->relid))
		{
			reads->found = list_append_unique_oid(reads->found, rte->relid);
			reads->count++;
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_walker, reads, QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	return expression_tree_walker(node, reads_walker, reads);
}

StrataPart *
strata_incremental_by_key(const StrataPart *part, List *positions)
{
	StrataPart *keyed = palloc(sizeof(StrataPart));

	*keyed = *part;
	keyed->rule = STRATA_RULE_KEYS;
	keyed->keys = positions;
	keyed->keys_unique = true;
	if (part->query->setOperations != NULL)
		keyed->query = incremental_select_from(copyObject(part->query), "rows");
	return keyed;
}

/* Positions of the named columns, of which none is a subquery's result. NIL: that cannot be. */
static List *
key_positions(Query *query, const List *names)
{
	List *positions = NIL;
	ListCell *name, *lc;

	foreach (name, names)
		foreach (lc, query->targetList)
		{
			TargetEntry *entry = lfirst(lc);

			if (!entry->resjunk && strcmp(entry->resname, lfirst(name)) == 0 &&
				!checkExprHasSubLink((Node *) entry->expr))
				positions = lappend_int(positions, entry->resno);
		}
	return list_length(positions) == list_length(names) ? positions : NIL;
}

char *
strata_incremental_partial(StrataIncremental *plan, const List *relids, const List *target_key)
{
	ListCell *lc;

	foreach (lc, plan->parts)
	{
		StrataPart *part = lfirst(lc);
		Reads reads = {relids, NIL, 0};
		List *positions;

		reads_walker((Node *) part->query, &reads);
		part->partial = reads.found;
		if (part->partial == NIL || part->rule == STRATA_RULE_WHOLE)
			continue;
		if (part->rule == STRATA_RULE_ALGEBRA && part->also_keys && part->keys != NIL)
			part->rule = STRATA_RULE_KEYS;
		else if (part->rule == STRATA_RULE_SIGNED && part->last &&
				 (positions = key_positions(part->query, target_key)) != NIL)
			*part = *strata_incremental_by_key(part, positions);
		else if (part->rule != STRATA_RULE_KEYS && part->last)
			return psprintf("of %s only the rows that came or changed are known, and the result has no key by which to "
							"compute them again",
							get_rel_name(linitial_oid(part->partial)));
		else if (part->rule != STRATA_RULE_KEYS)
			part->rule = STRATA_RULE_WHOLE;
		part->reason =
			psprintf("of %s only the rows that came or changed are known", get_rel_name(linitial_oid(part->partial)));
	}
	plan->tree = incremental_tree(plan);
	return NULL;
}

/* ---- the keys of rows ---- */

typedef struct Rows
{
	const StrataPart *part;
	const List *changed;
	List **statements;
	int reached; /* occurrences of partial relations whose rows all have keys of their own */
} Rows;

typedef struct Written
{
	List *targets;
	bool failed;
} Written;

/* Columns of a subquery as what they are in it. */
static Node *
written_out(Node *node, Written *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		TargetEntry *entry = get_tle_by_resno(context->targets, ((Var *) node)->varattno);

		if (entry == NULL || exprType((Node *) entry->expr) != ((Var *) node)->vartype)
		{
			context->failed = true;
			return node;
		}
		return copyObject((Node *) entry->expr);
	}
	return expression_tree_mutator(node, written_out, context);
}

static Node *
renumbered(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);

		var->varno = 1;
		return (Node *) var;
	}
	return expression_tree_mutator(node, renumbered, context);
}

/* Whether a join may put NULLs in the place of its rows. */
static bool
is_nullable(Node *node, int index, bool nullable)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		return nullable && ((RangeTblRef *) node)->rtindex == index;
	if (IsA(node, FromExpr))
	{
		foreach (lc, ((FromExpr *) node)->fromlist)
			if (is_nullable(lfirst(lc), index, nullable))
				return true;
		return false;
	}
	if (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;

		return is_nullable(join->larg, index,
						   nullable || join->jointype == JOIN_RIGHT || join->jointype == JOIN_FULL) ||
			   is_nullable(join->rarg, index, nullable || join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL);
	}
	return true;
}

/* The expressions over the rows that are known of a relation. */
static void
put_statement(Rows *rows, RangeTblEntry *rte, List *expressions)
{
	Query *level = makeNode(Query);
	RangeTblRef *reference = makeNode(RangeTblRef);
	StrataChanged *changed = NULL;
	Query *change;
	ListCell *lc;

	foreach (lc, rows->changed)
		if (((StrataChanged *) lfirst(lc))->relid == rte->relid)
			changed = lfirst(lc);
	if (changed == NULL)
		return;
	reference->rtindex = 1;
	level->rtable = list_make1(copyObject(rte));
	level->jointree = makeFromExpr(list_make1(reference), NULL);
	expressions = (List *) renumbered((Node *) expressions, NULL);
	change = strata_incremental_change(incremental_core(level, expressions), list_make1(changed));
	if (change != NULL)
	{
		List *names = NIL;

		for (int i = 1; i <= list_length(expressions); i++)
			names = lappend(names, psprintf("k%d", i));
		*rows->statements =
			lappend(*rows->statements, psprintf("SELECT DISTINCT %s\nFROM (%s) AS rows", strata_base_join(names, ", "),
												strata_incremental_deparse(change)));
	}
}

/* To the relation that the expressions over this level's FROM are made of. */
static void
descend(Rows *rows, Query *level, List *expressions, bool nullable)
{
	Bitmapset *members = pull_varnos(NULL, (Node *) expressions);
	RangeTblEntry *rte;
	int index;
	List *arms = NIL;
	ListCell *lc;

	check_stack_depth();
	if (!bms_get_singleton_member(members, &index) || contain_vars_of_level((Node *) expressions, 1) ||
		checkExprHasSubLink((Node *) expressions) || expression_returns_set((Node *) expressions))
		return;
	rte = rt_fetch(index, level->rtable);
	nullable = nullable || is_nullable((Node *) level->jointree, index, false);
	if (rte->rtekind == RTE_RELATION && list_member_oid(rows->part->partial, rte->relid))
	{
		put_statement(rows, rte, expressions);
		rows->reached += nullable ? 0 : 1;
	}
	if (rte->rtekind != RTE_SUBQUERY || incremental_groups(rte->subquery) || rte->subquery->hasWindowFuncs ||
		rte->subquery->distinctClause != NIL)
		return;
	if (rte->subquery->setOperations == NULL)
		arms = list_make1(rte->subquery);
	else
	{
		index = -1;
		members = incremental_members(rte->subquery);
		while ((index = bms_next_member(members, index)) >= 0)
		{
			RangeTblEntry *arm = rt_fetch(index, rte->subquery->rtable);

			if (arm->rtekind == RTE_SUBQUERY)
				arms = lappend(arms, arm->subquery);
		}
	}
	foreach (lc, arms)
	{
		Query *arm = lfirst(lc);
		Written context = {arm->targetList, false};
		List *inside = (List *) written_out((Node *) expressions, &context);

		if (!context.failed && arm->setOperations == NULL)
			descend(rows, arm, inside, nullable);
	}
}

bool
incremental_keys_of_rows(const StrataPart *part, const List *changed, List **statements)
{
	Query *level = incremental_key_level(part->query);
	Rows rows = {part, changed, statements, 0};
	Reads reads = {part->partial, NIL, 0};
	List *expressions = NIL;
	ListCell *lc;

	foreach (lc, incremental_keys_of(part->query, part->keys))
		expressions = lappend(expressions, ((IncrementalKey *) lfirst(lc))->expression);
	descend(&rows, level, expressions, false);
	reads_walker((Node *) level, &reads);
	return rows.reached == reads.count;
}
