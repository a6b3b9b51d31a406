/*
 * plan.c: the plan of a query, what it reads, and the tables of its parts.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "fence/fence.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "storage/lockdefs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "incremental/incremental_internal.h"

#define PART_PREFIX "strata_part_"

char *
strata_part_name(int number)
{
	return psprintf(PART_PREFIX "%d", number);
}

int
incremental_part_of(const RangeTblEntry *rte)
{
	if (rte->rtekind != RTE_CTE || strncmp(rte->ctename, PART_PREFIX, strlen(PART_PREFIX)) != 0)
		return 0;
	return atoi(rte->ctename + strlen(PART_PREFIX));
}

/* ---- inputs ---- */

typedef struct Inputs
{
	StrataIncremental *plan;
	List *levels; /* Query *, innermost first */
	char *refusal;
} Inputs;

static StrataInput *
input_of(StrataIncremental *plan, Oid relid)
{
	StrataInput *input;
	ListCell *lc;

	foreach (lc, plan->inputs)
		if (((StrataInput *) lfirst(lc))->relid == relid)
			return lfirst(lc);
	input = palloc0(sizeof(StrataInput));
	input->relid = relid;
	plan->inputs = lappend(plan->inputs, input);
	return input;
}

static void
use_all(StrataInput *input)
{
	Relation relation = relation_open(input->relid, AccessShareLock);

	for (int i = 0; i < RelationGetDescr(relation)->natts; i++)
		if (!TupleDescAttr(RelationGetDescr(relation), i)->attisdropped)
			input->used = bms_add_member(input->used, i + 1 - FirstLowInvalidHeapAttributeNumber);
	relation_close(relation, NoLock);
}

static void
use_column(Inputs *context, const Var *var)
{
	Query *query;
	RangeTblEntry *rte;
	StrataInput *input;

	if ((int) var->varlevelsup >= list_length(context->levels))
		return;
	query = list_nth(context->levels, var->varlevelsup);
	if (var->varno < 1 || var->varno > list_length(query->rtable))
		return;
	rte = rt_fetch(var->varno, query->rtable);
	if (rte->rtekind != RTE_RELATION)
		return;
	input = input_of(context->plan, rte->relid);
	if (var->varattno < 0 && context->refusal == NULL)
		context->refusal = psprintf("it reads a system column of %s", get_rel_name(rte->relid));
	if (var->varattno != 0)
		input->used = bms_add_member(input->used, var->varattno - FirstLowInvalidHeapAttributeNumber);
	else
		use_all(input);
}

static bool
input_walker(Node *node, Inputs *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		use_column(context, (Var *) node);
	if (IsA(node, Query))
	{
		Query *query = (Query *) node;
		Bitmapset *members = incremental_members(query);
		int index = -1;

		while ((index = bms_next_member(members, index)) >= 0)
		{
			RangeTblEntry *rte = rt_fetch(index, query->rtable);

			if (rte->rtekind != RTE_RELATION)
				continue;
			input_of(context->plan, rte->relid);
			/* its changes are those of all its children too */
			if (!rte->inh && context->refusal == NULL)
				context->refusal = psprintf("it reads ONLY %s", get_rel_name(rte->relid));
		}
		context->levels = lcons(query, context->levels);
		query_tree_walker(query, input_walker, context, QTW_IGNORE_JOINALIASES);
		context->levels = list_delete_first(context->levels);
		return false;
	}
	return expression_tree_walker(node, input_walker, context);
}

static char *
collect_inputs(StrataIncremental *plan)
{
	Inputs context = {plan, NIL, NULL};
	ListCell *lc;

	plan->inputs = NIL;
	foreach (lc, plan->parts)
		input_walker((Node *) ((StrataPart *) lfirst(lc))->query, &context);
	return context.refusal;
}

/* ---- the plan ---- */

static bool
reads_relations(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *) node)->rtekind == RTE_RELATION;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_relations, context,
								 QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	return expression_tree_walker(node, reads_relations, context);
}

static StrataPart *
reads_all(const StrataIncremental *plan)
{
	ListCell *lc;

	foreach (lc, plan->parts)
	{
		StrataPart *part = lfirst(lc);

		if (part->rule == STRATA_RULE_WHOLE && reads_relations((Node *) part->query, NULL))
			return part;
	}
	return NULL;
}

static bool
has_joins(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		ListCell *lc;

		foreach (lc, ((Query *) node)->rtable)
			if (lfirst_node(RangeTblEntry, lc)->rtekind == RTE_JOIN)
				return true;
		return query_tree_walker((Query *) node, has_joins, context, QTW_IGNORE_JOINALIASES);
	}
	return expression_tree_walker(node, has_joins, context);
}

static StrataIncremental *
in_full(Query *query, char *reason)
{
	StrataIncremental *plan = palloc0(sizeof(StrataIncremental));
	Query *copy = copyObject(query);
	Inputs context = {plan, NIL, NULL};

	incremental_leave_whole(plan, copy, reason);
	/* the columns of joins are not resolved here: all of them count as used */
	input_walker((Node *) copy, &context);
	if (has_joins((Node *) copy, NULL) || copy->cteList != NIL)
	{
		ListCell *lc;

		foreach (lc, plan->inputs)
			use_all(lfirst(lc));
	}
	plan->whole = true;
	plan->why_whole = reason;
	plan->reads_all = linitial(plan->parts);
	plan->tree = incremental_tree(plan);
	return plan;
}

StrataIncremental *
strata_incremental_plan(Query *query, List *opaque)
{
	StrataIncremental *plan = palloc0(sizeof(StrataIncremental));
	Query *copy = copyObject(query);
	StrataPart *last;
	char *refusal = incremental_normalise(copy, opaque, &plan->names);

	if (refusal == NULL)
		refusal = strata_fence_nondeterminism(copy, &plan->functions);
	if (refusal != NULL)
		return in_full(query, refusal);
	refusal = incremental_cut(plan, copy);
	if (refusal == NULL)
		refusal = collect_inputs(plan);
	if (refusal != NULL)
		return in_full(query, refusal);
	last = llast(plan->parts);
	if (last->rule == STRATA_RULE_WHOLE && last->parts == NIL)
	{
		plan->whole = true;
		plan->why_whole = last->reason;
	}
	plan->reads_all = reads_all(plan);
	plan->tree = incremental_tree(plan);
	return plan;
}

/* ---- tables of the parts ---- */

static bool
bind_walker(Node *node, const List *relids)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		int number = incremental_part_of(rte);

		if (number < 1 || number > list_length(relids))
			return false;
		rte->rtekind = RTE_RELATION;
		rte->relid = list_nth_oid(relids, number - 1);
		rte->relkind = RELKIND_RELATION;
		rte->rellockmode = AccessShareLock;
		rte->inh = true;
		rte->ctename = NULL;
		rte->coltypes = rte->coltypmods = rte->colcollations = NIL;
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, bind_walker, (void *) relids,
								 QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	return expression_tree_walker(node, bind_walker, (void *) relids);
}

void
strata_incremental_bind(StrataIncremental *plan, const List *relids)
{
	ListCell *lc;

	foreach (lc, plan->parts)
		bind_walker((Node *) ((StrataPart *) lfirst(lc))->query, relids);
}

char *
strata_incremental_full(const StrataPart *part)
{
	return strata_incremental_deparse(part->query);
}
