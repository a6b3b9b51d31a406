/*
 * linear_match.c: how rows come to match, or match no more, when the other side changes.
 *
 * For rows of a side L and the other side R, t = [no match now] - [no match before] is not 0 only where ΔR has matches. The number of
 * matches before is the number now minus the signs of the matches in ΔR, so nothing old has to be read. Where the condition is
 * equalities (and conditions on one side alone), t is a matter of the key: few keys change it, and only these are joined to
 * L. Otherwise the rows of L that match ΔR are numbered and their matches counted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "incremental/linear_internal.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

typedef struct Key
{
	OpExpr *op;
	int position; /* of R's argument in it, from 0 */
	Oid equality; /* between two values of R's expression */
} Key;

typedef struct Split
{
	List *keys;  /* Key * */
	List *inner; /* conditions on R alone, as varno 1 */
	List *outer; /* conditions on L alone, as varno 1 */
} Split;

static Node *
renumbered(Node *node, int from, int to)
{
	node = copyObject(node);
	if (from != to)
		ChangeVarNodes(node, from, to, 0);
	return node;
}

/* Which sides it looks at, of this level: bit 1, bit 2. */
static int
sides_of(Node *node)
{
	List *vars = pull_vars_of_level(node, 0);
	ListCell *cell;
	int sides = 0;

	foreach (cell, vars)
		sides |= lfirst_node(Var, cell)->varno;
	return sides;
}

static Key *
as_key(Node *qual, int inner)
{
	OpExpr *op = (OpExpr *) qual;
	TypeCacheEntry *type;
	Key *key;
	Node *argument;
	int first, second;

	if (!IsA(qual, OpExpr) || list_length(op->args) != 2)
		return NULL;
	first = sides_of(linitial(op->args));
	second = sides_of(lsecond(op->args));
	if (!((first == 1 && second == 2) || (first == 2 && second == 1)))
		return NULL;
	key = palloc(sizeof(Key));
	key->op = op;
	key->position = first == inner ? 0 : 1;
	argument = list_nth(op->args, key->position);
	type = lookup_type_cache(exprType(argument), TYPECACHE_EQ_OPR);
	key->equality = type->eq_opr;
	if (!OidIsValid(key->equality) || !op_hashjoinable(op->opno, exprType(linitial(op->args))) ||
		!equality_ops_are_compatible(op->opno, key->equality) ||
		(OidIsValid(exprCollation(argument)) && exprCollation(argument) != op->inputcollid) ||
		exprType(argument) == RECORDOID)
		return NULL;
	return key;
}

/* false: the condition is not one of keys. */
static bool
split_quals(const LinearMatch *match, int side, Split *split)
{
	int inner = 3 - side;
	ListCell *cell;

	memset(split, 0, sizeof(Split));
	foreach (cell, match->quals)
	{
		Node *qual = lfirst(cell);
		int sides = sides_of(qual);
		Key *key;

		if (sides == inner)
			split->inner = lappend(split->inner, renumbered(qual, inner, 1));
		else if (sides == side || sides == 0)
			split->outer = lappend(split->outer, renumbered(qual, side, 1));
		else if ((key = as_key(qual, inner)) != NULL)
			split->keys = lappend(split->keys, key);
		else
			return false;
	}
	return true;
}

static List *
inner_columns(const Split *split, int inner)
{
	List *targets = NIL;
	ListCell *cell;

	foreach (cell, split->keys)
	{
		Key *key = lfirst(cell);

		strata_linear_add_target(&targets, renumbered(list_nth(key->op->args, key->position), inner, 1),
								 psprintf("k%d", list_length(targets) + 1));
	}
	return targets;
}

static Node *
wide_sum(Node *argument)
{
	return strata_linear_aggregate(F_SUM_INT4, INT8OID, argument);
}

/* Queries of one row per key: the sum of the signs of its changes, where that is not 0. */
static Query *
changed_keys(const LinearMatch *match, int inner, const Split *split)
{
	RangeTblEntry *change = copyObject(match->changes[inner - 1]);
	Node *sum = wide_sum((Node *) strata_linear_sign(change, 1));
	List *targets = inner_columns(split, inner);
	Query *query;

	strata_linear_add_target(&targets, sum, "n");
	query = strata_linear_query(list_make1(change), copyObject(split->inner), targets);
	query->groupClause = strata_linear_group(targets, 1, list_length(split->keys));
	query->hasAggs = true;
	query->havingQual = (Node *) strata_linear_op("<>", copyObject(sum), strata_linear_int(0));
	return query;
}

/* [no match now] - [no match before], of rows where it is not 0. */
static Node *
transition(Node *none_now)
{
	return strata_linear_case(none_now, strata_linear_int(1), strata_linear_int(-1));
}

/*
 * Without keys: one row in all, strata_sign (t). Whether the count is 0 or the sum of signs is all that matters, so counting
 * stops above that.
 */
static Query *
one_transition(RangeTblEntry *changed, RangeTblEntry *side, const Split *split)
{
	Var *less = strata_linear_column(changed, 1, 1), *outside = copyObject(less);
	Node *one = (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(1), false, FLOAT8PASSBYVAL);
	List *targets = NIL;
	RangeTblEntry *rows;
	Query *query, *limited;
	Node *count, *none;

	strata_linear_add_target(&targets, strata_linear_int(1), "one");
	limited = strata_linear_query(list_make1(copyObject(side)), copyObject(split->inner), targets);
	targets = NIL;
	strata_linear_add_target(&targets, strata_linear_aggregate(F_COUNT_, INT8OID, NULL), "n");
	query = strata_linear_query(list_make1(strata_linear_nest(limited, "present")), NIL, targets);
	query->hasAggs = true;
	rows = strata_linear_nest(query, "present");
	rows->lateral = true;
	outside->varlevelsup = 2;
	limited->limitCount =
		strata_linear_case((Node *) strata_linear_op(">", (Node *) outside, strata_linear_int(0)),
						   (Node *) strata_linear_op("+", copyObject((Node *) outside), copyObject(one)), one);
	count = (Node *) strata_linear_column(rows, 2, 1);
	none = (Node *) strata_linear_op("=", count, strata_linear_int(0));
	targets = NIL;
	strata_linear_add_target(&targets, transition(copyObject(none)), STRATA_SIGN);
	return strata_linear_query(
		list_make2(changed, rows),
		list_make1(strata_linear_op("<>", none, (Node *) strata_linear_op("=", copyObject(count), (Node *) less))),
		targets);
}

/* One row per key whose t is not 0: k1, .., strata_sign (t). */
static Query *
key_transitions(const LinearMatch *match, int side, const Split *split)
{
	int inner = 3 - side, nkeys = list_length(split->keys);
	RangeTblEntry *keys = strata_linear_nest(changed_keys(match, inner, split), "changed"), *rows;
	Var *before_less = strata_linear_column(keys, 1, nkeys + 1);
	List *targets = NIL, *quals = NIL;
	Node *count, *none;
	Query *query;

	if (nkeys == 0)
		return one_transition(keys, match->sides[inner - 1], split);
	rows = strata_linear_nest(strata_linear_query(list_make1(copyObject(match->sides[inner - 1])),
												  copyObject(split->inner), inner_columns(split, inner)),
							  "present");
	for (int i = 1; i <= nkeys; i++)
	{
		Key *key = list_nth(split->keys, i - 1);
		Var *a = strata_linear_column(rows, 2, i), *b = strata_linear_column(keys, 1, i);
		Expr *equal = make_opclause(key->equality, BOOLOID, false, (Expr *) a, (Expr *) b, InvalidOid,
									OidIsValid(a->varcollid) ? key->op->inputcollid : InvalidOid);

		quals = lappend(quals, equal);
		strata_linear_add_target(&targets, copyObject((Node *) b), psprintf("k%d", i));
	}
	count = strata_linear_aggregate(F_COUNT_ANY, INT8OID, (Node *) strata_linear_column(rows, 2, 1));
	none = (Node *) strata_linear_op("=", count, strata_linear_int(0));
	strata_linear_add_target(&targets, (Node *) before_less, "n");
	strata_linear_add_target(&targets, transition(copyObject(none)), STRATA_SIGN);
	query = strata_linear_join(keys, rows, JOIN_LEFT, quals, targets);
	query->groupClause = strata_linear_group(targets, 1, nkeys + 1);
	query->hasAggs = true;
	query->havingQual = (Node *) strata_linear_op(
		"<>", none, (Node *) strata_linear_op("=", copyObject(count), copyObject((Node *) before_less)));
	return query;
}

/* The rows of a side that are at keys of transitions, with sign. */
static Query *
at_transitions(RangeTblEntry *rows, RangeTblEntry *keys, int side, const Split *split, List *targets, Node *sign)
{
	List *quals = copyObject(split->outer);
	int i = 0;
	ListCell *cell;

	foreach (cell, split->keys)
	{
		Key *key = lfirst(cell);
		OpExpr *op = (OpExpr *) renumbered((Node *) key->op, side, 1);

		lfirst(list_nth_cell(op->args, key->position)) = strata_linear_column(keys, 2, ++i);
		quals = lappend(quals, op);
	}
	return strata_linear_query(list_make2(copyObject(rows), copyObject(keys)), quals,
							   strata_linear_signed_targets((List *) renumbered((Node *) targets, side, 1), sign));
}

/* ---- any condition -------------------------------------------------------------------------------------- */

/* Where the variables of a side go. */
typedef struct Place
{
	int varno;
	int levels;    /* further out */
	List *columns; /* the expressions (targets) that are its columns there; NIL: the same numbers */
} Place;

typedef struct Placing
{
	Place places[2];
	int sublevels;
} Placing;

static Node *
place_mutator(Node *node, Placing *p)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);
		Place *place;
		AttrNumber number = var->varattno;
		ListCell *cell;

		if (var->varlevelsup != p->sublevels)
			return (Node *) var;
		place = &p->places[var->varno - 1];
		if (place->varno == 0)
			return (Node *) var;
		foreach (cell, place->columns)
		{
			TargetEntry *target = lfirst_node(TargetEntry, cell);

			if (((Var *) target->expr)->varattno == var->varattno)
				number = target->resno;
		}
		return (Node *) makeVar(place->varno, number, var->vartype, var->vartypmod, var->varcollid,
								p->sublevels + place->levels);
	}
	if (IsA(node, Query))
	{
		Query *result;

		p->sublevels++;
		result = query_tree_mutator((Query *) node, place_mutator, p, QTW_IGNORE_JOINALIASES);
		p->sublevels--;
		return (Node *) result;
	}
	return expression_tree_mutator(node, place_mutator, p);
}

static Node *
placed(Node *node, int side, Place own, Place other)
{
	Placing p;

	p.places[side - 1] = own;
	p.places[2 - side] = other;
	p.sublevels = 0;
	return place_mutator(node, &p);
}

/* The columns of a side that anything reads, as targets. */
static List *
columns_read(Node *nodes, int side)
{
	List *vars = pull_vars_of_level(nodes, 0), *targets = NIL;
	ListCell *cell, *have;

	foreach (cell, vars)
	{
		Var *var = lfirst_node(Var, cell);

		if (var->varno != side)
			continue;
		foreach (have, targets)
			if (((Var *) lfirst_node(TargetEntry, have)->expr)->varattno == var->varattno)
				break;
		if (have == NULL)
			strata_linear_add_target(
				&targets, (Node *) makeVar(side, var->varattno, var->vartype, var->vartypmod, var->varcollid, 0),
				psprintf("c%d", list_length(targets) + 1));
	}
	return targets;
}

static Node *
exists_change(const LinearMatch *match, int side)
{
	SubLink *link = makeNode(SubLink);
	RangeTblEntry *change = copyObject(match->changes[2 - side]);
	List *quals = copyObject(match->quals), *targets = NIL;

	/* one query deeper: what is outside, then the side's rows */
	IncrementVarSublevelsUp((Node *) quals, 1, 1);
	if (change->rtekind == RTE_SUBQUERY)
		IncrementVarSublevelsUp((Node *) change->subquery, 1, 2);
	quals = (List *) placed((Node *) quals, side, (Place){1, 1, NIL}, (Place){1, 0, NIL});
	strata_linear_add_target(&targets, strata_linear_int(1), "one");
	link->subLinkType = EXISTS_SUBLINK;
	link->subselect = (Node *) strata_linear_query(list_make1(change), quals, targets);
	link->location = -1;
	return (Node *) link;
}

Query *
strata_linear_affected(const LinearMatch *match, int side, List *columns)
{
	RangeTblEntry *change = match->changes[side - 1];
	List *targets = (List *) renumbered((Node *) columns, side, 1), *arms;

	arms = list_make1(strata_linear_query(list_make1(copyObject(match->sides[side - 1])),
										  list_make1(exists_change(match, side)),
										  strata_linear_signed_targets(targets, NULL)));
	if (change != NULL)
		arms = lappend(arms,
					   strata_linear_query(list_make1(copyObject(change)), list_make1(exists_change(match, side)),
										   strata_linear_signed_targets(
											   targets, strata_linear_negate((Node *) strata_linear_sign(change, 1)))));
	return strata_linear_union(arms, NIL);
}

/* These rows, numbered: the columns, strata_row, strata_sign. */
static Query *
affected(const LinearMatch *match, int side, List *columns)
{
	RangeTblEntry *all = strata_linear_nest(strata_linear_affected(match, side, columns), "affected");
	List *numbered = NIL;
	WindowClause *window = makeNode(WindowClause);
	WindowFunc *number = makeNode(WindowFunc);
	Query *query;
	int n = list_length(columns);

	for (int i = 1; i <= n; i++)
		strata_linear_add_target(&numbered, (Node *) strata_linear_column(all, 1, i),
								 ((TargetEntry *) list_nth(columns, i - 1))->resname);
	window->winref = 1;
	window->frameOptions = FRAMEOPTION_DEFAULTS;
	number->winfnoid = F_ROW_NUMBER;
	number->wintype = INT8OID;
	number->winref = 1;
	number->location = -1;
	strata_linear_add_target(&numbered, (Node *) number, "strata_row");
	strata_linear_add_target(&numbered, (Node *) strata_linear_sign(all, 1), STRATA_SIGN);
	query = strata_linear_query(list_make1(all), NIL, numbered);
	query->windowClause = list_make1(window);
	query->hasWindowFuncs = true;
	return query;
}

/* Rows of the side whose t is not 0, each with its sign times t times factor. */
static Query *
counted_transitions(LinearContext *context, const LinearMatch *match, int side, List *targets, int factor, List **ctes)
{
	List *columns = columns_read((Node *) list_make2(match->quals, targets), side);
	int n = list_length(columns), other = 3 - side;
	RangeTblEntry *rows = strata_linear_nest(affected(match, side, columns), "affected");
	RangeTblEntry *change = copyObject(match->changes[other - 1]), *present, *sums;
	List *quals = (List *) placed((Node *) match->quals, side, (Place){1, 0, columns}, (Place){2, 0, NIL});
	List *list = NIL;
	Node *sum, *count, *none, *sign;
	Query *query;

	strata_linear_with(context, ctes, rows, "affected");
	((CommonTableExpr *) llast(*ctes))->ctematerialized = CTEMaterializeAlways;

	/* per row: the sum of the signs of its matches in the change */
	sum = wide_sum((Node *) strata_linear_sign(change, 2));
	strata_linear_add_target(&list, (Node *) strata_linear_column(rows, 1, n + 1), "strata_row");
	strata_linear_add_target(&list, sum, "n");
	query = strata_linear_query(list_make2(copyObject(rows), change), copyObject(quals), list);
	query->groupClause = strata_linear_group(list, 1, 1);
	query->hasAggs = true;
	query->havingQual = (Node *) strata_linear_op("<>", copyObject(sum), strata_linear_int(0));
	sums = strata_linear_nest(query, "changed");

	/* per row: its matches now */
	list = NIL;
	count = strata_linear_aggregate(F_COUNT_, INT8OID, NULL);
	strata_linear_add_target(&list, (Node *) strata_linear_column(rows, 1, n + 1), "strata_row");
	strata_linear_add_target(&list, count, "n");
	query = strata_linear_query(list_make2(copyObject(rows), copyObject(match->sides[other - 1])), quals, list);
	query->groupClause = strata_linear_group(list, 1, 1);
	query->hasAggs = true;
	present = strata_linear_nest(query, "present");

	/* both, where none now differs from none before */
	none = (Node *) makeNode(NullTest);
	((NullTest *) none)->arg = (Expr *) strata_linear_column(present, 2, 2);
	((NullTest *) none)->nulltesttype = IS_NULL;
	((NullTest *) none)->location = -1;
	list = NIL;
	strata_linear_add_target(&list, (Node *) strata_linear_column(sums, 1, 1), "strata_row");
	strata_linear_add_target(&list, transition(copyObject(none)), "t");
	query = strata_linear_join(sums, present, JOIN_LEFT,
							   list_make1(strata_linear_op("=", (Node *) strata_linear_column(present, 2, 1),
														   (Node *) strata_linear_column(sums, 1, 1))),
							   list);
	query->jointree->quals =
		(Node *) makeBoolExpr(OR_EXPR,
							  list_make2(none, strata_linear_op("=", (Node *) strata_linear_column(present, 2, 2),
																(Node *) strata_linear_column(sums, 1, 2))),
							  -1);
	sums = strata_linear_nest(query, "transitions");
	sign = strata_linear_times((Node *) strata_linear_sign(rows, 1), (Node *) strata_linear_sign(sums, 2));
	if (factor < 0)
		sign = strata_linear_negate(sign);
	return strata_linear_query(
		list_make2(rows, sums),
		list_make1(strata_linear_op("=", (Node *) strata_linear_column(rows, 1, n + 1),
									(Node *) strata_linear_column(sums, 2, 1))),
		strata_linear_signed_targets(
			(List *) placed((Node *) targets, side, (Place){1, 0, columns}, (Place){0, 0, NIL}), sign));
}

/*
 * What (L - ΔL) contributes to the change of "rows of L without a match", times factor: queries of the targets (over the side
 * alone) and sign.
 */
List *
strata_linear_transitions(LinearContext *context, const LinearMatch *match, int side, List *targets, int factor,
						  List **ctes)
{
	Split split;
	RangeTblEntry *keys, *change = match->changes[side - 1];
	Node *sign;
	List *arms;

	if (!split_quals(match, side, &split))
		return list_make1(counted_transitions(context, match, side, targets, factor, ctes));
	keys = strata_linear_nest(key_transitions(match, side, &split), "transitions");
	if (change != NULL)
		strata_linear_with(context, ctes, keys, "transitions");
	sign = (Node *) strata_linear_sign(keys, 2);
	if (factor < 0)
		sign = strata_linear_negate(sign);
	arms = list_make1(at_transitions(match->sides[side - 1], keys, side, &split, targets, sign));
	if (change != NULL)
		arms = lappend(arms, at_transitions(change, keys, side, &split, targets,
											strata_linear_negate(strata_linear_times(
												(Node *) strata_linear_sign(change, 1), copyObject(sign)))));
	return arms;
}
