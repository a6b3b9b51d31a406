/*
 * linear.c: the change of a linear query as signed rows.
 *
 * A level is taken apart from the outside in. What depends on a match (EXISTS and its kin among the conditions, outer joins)
 * is split off by linear_match.c with the rest of the level as its rows; what is left is a product of entries, whose
 * change is the sum over the sets of changed entries (product()). See README.md.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "incremental/linear_internal.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Up to so many changed entries of a level are combined set by set (2^n - 1 queries); more, one by one with old rows. */
#define MAX_COMBINED 3

/* ---- what is read --------------------------------------------------------------------------------------- */

typedef struct Reading
{
	const List *changed;
	bool any; /* any relation at all */
} Reading;

static const StrataChanged *
find_changed(const List *changed, Oid relid)
{
	ListCell *cell;

	foreach (cell, changed)
		if (((StrataChanged *) lfirst(cell))->relid == relid)
			return lfirst(cell);
	return NULL;
}

static bool
reads_walker(Node *node, Reading *reading)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		return rte->rtekind == RTE_RELATION && (reading->any || find_changed(reading->changed, rte->relid) != NULL);
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_walker, reading,
								 QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	return expression_tree_walker(node, reads_walker, reading);
}

static bool
reads(Reading reading, Node *node)
{
	if (node != NULL && IsA(node, RangeTblEntry))
		return range_table_entry_walker((RangeTblEntry *) node, reads_walker, &reading,
										QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	return reads_walker(node, &reading);
}

bool
strata_linear_touches(const LinearContext *context, Node *node)
{
	return reads((Reading){context->changed, false}, node);
}

bool
strata_linear_reads(Node *node)
{
	return reads((Reading){NIL, true}, node);
}

const StrataChanged *
strata_linear_changed(const LinearContext *context, Oid relid)
{
	return find_changed(context->changed, relid);
}

/* ---- changes -------------------------------------------------------------------------------------------- */

/* The change of an entry, as an entry; NULL when it has none. */
RangeTblEntry *
strata_linear_delta(LinearContext *context, RangeTblEntry *rte, List **ctes)
{
	RangeTblEntry *result;

	if (!strata_linear_touches(context, (Node *) rte))
		return NULL;
	if (rte->rtekind == RTE_RELATION)
		return strata_linear_rowset(rte->relid, find_changed(context->changed, rte->relid)->rowset,
									rte->eref->aliasname);
	if (rte->rtekind != RTE_SUBQUERY)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("the change of \"%s\" cannot be had as signed rows", rte->eref->aliasname)));
	result = strata_linear_subquery(strata_linear_change(context, rte->subquery), rte->eref->aliasname, rte->lateral);
	if (ctes != NULL)
		strata_linear_with(context, ctes, result, "delta");
	return result;
}

/* The entry's columns that the level reads and its rows before the change: its rows with sign 1, its change with -1 times sign. */
static RangeTblEntry *
old_rows(Query *level, int number, RangeTblEntry *change)
{
	RangeTblEntry *rte = copyObject(rt_fetch(number, level->rtable));
	int columns = list_length(rte->rtekind == RTE_SUBQUERY ? rte->subquery->targetList : rte->eref->colnames);
	List *now = NIL, *less = NIL;

	change = copyObject(change);
	if (rte->rtekind == RTE_SUBQUERY)
		IncrementVarSublevelsUp((Node *) rte->subquery, 1, 1);
	if (change->rtekind == RTE_SUBQUERY)
		IncrementVarSublevelsUp((Node *) change->subquery, 1, 1);
	for (int i = 1; i <= columns; i++)
	{
		Var *var;
		const char *name = strVal(list_nth(rte->eref->colnames, i - 1));

		if (rte->rtekind == RTE_SUBQUERY)
			var = strata_linear_column(rte, 1, i);
		else
			var = strata_linear_column(change, 1, i);
		if (rte->rtekind == RTE_RELATION && get_rte_attribute_is_dropped(rte, i))
		{
			strata_linear_add_target(&now, strata_linear_int(0), "dropped");
			strata_linear_add_target(&less, strata_linear_int(0), "dropped");
			continue;
		}
		strata_linear_add_target(&now, (Node *) var, name);
		strata_linear_add_target(&less, (Node *) copyObject(var), name);
	}
	strata_linear_add_target(&now, strata_linear_int(1), STRATA_SIGN);
	strata_linear_add_target(&less, strata_linear_negate((Node *) strata_linear_sign(change, 1)), STRATA_SIGN);
	return strata_linear_subquery(strata_linear_union(list_make2(strata_linear_query(list_make1(rte), NIL, now),
																 strata_linear_query(list_make1(change), NIL, less)),
													  NIL),
								  rte->eref->aliasname, rte->lateral);
}

/* The level with some entries replaced by signed ones. replaced: RangeTblEntry * or NULL, by number - 1. */
Query *
strata_linear_term(Query *level, RangeTblEntry **replaced, Node *sign)
{
	Query *query = copyObject(level);
	int i = 0;
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		if (replaced[i] != NULL)
		{
			lfirst(cell) = copyObject(replaced[i]);
			sign = strata_linear_times(sign, (Node *) strata_linear_sign(replaced[i], i + 1));
		}
		i++;
	}
	if (strata_linear_is_outer(level))
	{
		JoinExpr *join = strata_linear_outer_join(level);

		return strata_linear_join(linitial(query->rtable), lsecond(query->rtable), join->jointype,
								  strata_linear_conjuncts(copyObject(join->quals)),
								  strata_linear_signed_targets(level->targetList, sign));
	}
	query->targetList = strata_linear_signed_targets(level->targetList, sign);
	return query;
}

static Query *
product(LinearContext *context, Query *level)
{
	int n = list_length(level->rtable), count = 0;
	RangeTblEntry **changes = palloc0(sizeof(RangeTblEntry *) * n), **replaced;
	int *where = palloc0(sizeof(int) * n);
	List *ctes = NIL, *arms = NIL;

	for (int i = 0; i < n; i++)
		if (strata_linear_touches(context, list_nth(level->rtable, i)))
			where[count++] = i;
	for (int i = 0; i < count; i++)
		changes[where[i]] = strata_linear_delta(context, list_nth(level->rtable, where[i]), count > 1 ? &ctes : NULL);
	replaced = palloc0(sizeof(RangeTblEntry *) * n);
	if (count <= MAX_COMBINED)
	{
		for (int set = 1; set < 1 << count; set++)
		{
			int members = 0;

			memset(replaced, 0, sizeof(RangeTblEntry *) * n);
			for (int i = 0; i < count; i++)
				if (set & (1 << i))
				{
					replaced[where[i]] = changes[where[i]];
					members++;
				}
			arms = lappend(arms,
						   strata_linear_term(level, replaced, members % 2 == 0 ? strata_linear_negate(NULL) : NULL));
		}
		return strata_linear_union(arms, ctes);
	}
	/* rows now before the i-th, the change at it, rows as they were after it */
	for (int i = 0; i < count; i++)
	{
		memset(replaced, 0, sizeof(RangeTblEntry *) * n);
		replaced[where[i]] = changes[where[i]];
		for (int j = i + 1; j < count; j++)
			replaced[where[j]] = old_rows(level, where[j] + 1, changes[where[j]]);
		arms = lappend(arms, strata_linear_term(level, replaced, NULL));
	}
	return strata_linear_union(arms, ctes);
}

static Node *
no_side_mutator(Node *node, int *side)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == 0 && ((Var *) node)->varno == *side)
	{
		Var *var = (Var *) node;

		return (Node *) makeNullConst(var->vartype, var->vartypmod, var->varcollid);
	}
	return expression_tree_mutator(node, no_side_mutator, side);
}

/*
 * L LEFT R: ΔL LEFT R, L JOIN ΔR less ΔL JOIN ΔR, and the rows of L - ΔL that came to match nothing, or match something now. The mirror
 * image for RIGHT; both for FULL.
 */
static Query *
change_outer(LinearContext *context, Query *query)
{
	JoinExpr *join = strata_linear_outer_join(query);
	LinearMatch match;
	List *ctes = NIL, *arms = NIL;
	JoinType type = join->jointype;

	if (((RangeTblEntry *) lsecond(query->rtable))->lateral && strata_linear_touches(context, lsecond(query->rtable)))
		return strata_linear_change_lateral(context, query, 2);
	match.quals = strata_linear_conjuncts(join->quals);
	for (int i = 0; i < 2; i++)
	{
		match.sides[i] = list_nth(query->rtable, i);
		match.changes[i] = strata_linear_delta(context, match.sides[i], &ctes);
	}
	for (int i = 0; i < 2; i++)
	{
		bool preserved = type == JOIN_FULL || type == (i == 0 ? JOIN_LEFT : JOIN_RIGHT);

		if (match.changes[i] == NULL)
			continue;
		arms = lappend(arms, strata_linear_join(
								 copyObject(i == 0 ? match.changes[0] : match.sides[0]),
								 copyObject(i == 1 ? match.changes[1] : match.sides[1]),
								 !preserved ? JOIN_INNER : (i == 0 ? JOIN_LEFT : JOIN_RIGHT), copyObject(match.quals),
								 strata_linear_signed_targets(query->targetList,
															  (Node *) strata_linear_sign(match.changes[i], i + 1))));
	}
	if (match.changes[0] != NULL && match.changes[1] != NULL)
		arms = lappend(
			arms, strata_linear_query(list_make2(copyObject(match.changes[0]), copyObject(match.changes[1])),
									  copyObject(match.quals),
									  strata_linear_signed_targets(
										  query->targetList, strata_linear_negate(strata_linear_times(
																 (Node *) strata_linear_sign(match.changes[0], 1),
																 (Node *) strata_linear_sign(match.changes[1], 2))))));
	for (int side = 1; side <= 2; side++)
	{
		int other = 3 - side;

		if (match.changes[other - 1] != NULL && (type == JOIN_FULL || type == (side == 1 ? JOIN_LEFT : JOIN_RIGHT)))
			arms = list_concat(arms, strata_linear_transitions(
										 context, &match, side,
										 (List *) no_side_mutator((Node *) query->targetList, &other), 1, &ctes));
	}
	return strata_linear_union(arms, ctes);
}

/* [NOT] EXISTS among the conditions: the rest of the level are its rows. */
static Query *
change_semi(LinearContext *context, Query *level, Node *conjunct)
{
	Query *outer = strata_linear_wrap(level, list_make1(conjunct));
	LinearMatch match;
	List *ctes = NIL, *arms = NIL;
	bool anti;

	match.sides[0] = linitial(outer->rtable);
	if (!strata_linear_semi(outer->jointree->quals, &anti, &match.sides[1], &match.quals))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("this subquery cannot be followed as signed rows")));
	for (int i = 0; i < 2; i++)
		match.changes[i] = strata_linear_delta(context, match.sides[i], &ctes);
	if (match.changes[0] != NULL)
		arms = lappend(arms, strata_linear_term(outer, match.changes, NULL));
	if (match.changes[1] != NULL)
		arms =
			list_concat(arms, strata_linear_transitions(context, &match, 1, outer->targetList, anti ? 1 : -1, &ctes));
	return strata_linear_union(arms, ctes);
}

/* Entries whose change is no signed rows: LATERAL with grouping or LIMIT. */
static Bitmapset *
dependent_entries(LinearContext *context, Query *level)
{
	Bitmapset *result = NULL;

	for (int i = 1; i <= list_length(level->rtable); i++)
	{
		RangeTblEntry *rte = rt_fetch(i, level->rtable);

		if (rte->rtekind == RTE_SUBQUERY && rte->lateral && strata_linear_touches(context, (Node *) rte) &&
			strata_linear_refuse(rte->subquery) != NULL)
			result = bms_add_member(result, i);
	}
	return result;
}

static Query *
change_level(LinearContext *context, Query *level)
{
	List *quals = strata_linear_conjuncts(level->jointree->quals);
	Node *semi = NULL, *sublink = strata_linear_find_sublink(context, (Node *) level->targetList);
	Bitmapset *entries;
	ListCell *cell;

	foreach (cell, quals)
	{
		Node *qual = lfirst(cell);
		RangeTblEntry *rows;
		List *outer;
		bool anti;

		if (sublink != NULL || !strata_linear_touches(context, qual))
			continue;
		if (strata_linear_semi(qual, &anti, &rows, &outer) && !strata_linear_touches(context, (Node *) outer) &&
			strata_linear_refuse(rows->subquery) == NULL)
			semi = qual;
		else
			sublink = strata_linear_find_sublink(context, qual);
	}
	if (sublink != NULL)
		return strata_linear_change_sublink(context, level, sublink);
	if (semi != NULL)
		return change_semi(context, level, semi);
	entries = dependent_entries(context, level);
	if (entries != NULL)
	{
		int first = bms_next_member(entries, -1);

		for (int i = first + 1; i <= list_length(level->rtable); i++)
			if (rt_fetch(i, level->rtable)->lateral)
				entries = bms_add_member(entries, i);
		for (int i = first + 1; i <= list_length(level->rtable); i++)
			if (i != first && bms_is_member(i, entries) &&
				strata_linear_touches(context, (Node *) rt_fetch(i, level->rtable)))
				ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
								errmsg("more than one LATERAL subquery that has changed")));
		return strata_linear_change_lateral(context, strata_linear_keep_entries(level, entries), 2);
	}
	return product(context, level);
}

static void
collect_arms(Query *query, Node *node, List **arms)
{
	if (IsA(node, RangeTblRef))
	{
		*arms = lappend(*arms, rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery);
		return;
	}
	collect_arms(query, castNode(SetOperationStmt, node)->larg, arms);
	collect_arms(query, castNode(SetOperationStmt, node)->rarg, arms);
}

/* The change of an arm of a union; its columns as those of the union, in name and type. */
static Query *
change_arm(LinearContext *context, Query *query, Query *arm)
{
	SetOperationStmt *all = castNode(SetOperationStmt, query->setOperations);
	Query *change = strata_linear_change(context, arm);
	RangeTblEntry *rte;
	List *targets = NIL;
	int i = 0;
	ListCell *cell;

	if (change == NULL)
		return NULL;
	rte = strata_linear_subquery(change, "arm", false);
	foreach (cell, all->colTypes)
	{
		Node *var = (Node *) strata_linear_column(rte, 1, ++i);
		Oid type = lfirst_oid(cell);

		if (exprType(var) != type)
			var =
				coerce_to_target_type(NULL, var, exprType(var), type, -1, COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
		strata_linear_add_target(&targets, var, ((TargetEntry *) list_nth(query->targetList, i - 1))->resname);
	}
	strata_linear_add_target(&targets, (Node *) strata_linear_sign(rte, 1), STRATA_SIGN);
	return strata_linear_query(list_make1(rte), NIL, targets);
}

/* The signed change of a linear query; NULL when it reads nothing that has changed. */
Query *
strata_linear_change(LinearContext *context, Query *query)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (!strata_linear_touches(context, (Node *) query))
		return NULL;
	if (query->setOperations != NULL)
	{
		List *arms = NIL, *changes = NIL;
		ListCell *cell;

		collect_arms(query, query->setOperations, &arms);
		foreach (cell, arms)
		{
			Query *change = change_arm(context, query, lfirst(cell));

			if (change != NULL)
				changes = lappend(changes, change);
		}
		return strata_linear_union(changes, NIL);
	}
	if (strata_linear_is_outer(query))
		return change_outer(context, query);
	return change_level(context, strata_linear_canonical(query));
}

Query *
strata_incremental_change(Query *query, const List *changed)
{
	LinearContext context = {changed, 0};

	query = strata_linear_change(&context, query);
	return query == NULL ? NULL : strata_linear_make_rows(query);
}

char *
strata_incremental_deparse(Query *query)
{
	int level = NewGUCNestLevel();
	char *text;

	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	text = strata_base_query_text(query);
	AtEOXact_GUC(false, level);
	return text;
}
