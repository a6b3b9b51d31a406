/*
 * layers_incremental_cost.c: which way a refresh goes: by changes, by affected keys or in full.
 *
 * Decided before anything is read, from what waits: its number, the sizes of what is read, and the planner's costs of the statements there
 * would be, over a sample of the changes. A few changed rows that cannot concern many others are not worth the question.
 *
 * Costs are in the planner's units, for pages in memory. One is about 8 microseconds; what a statement does not tell (rows looked
 * up, compared, written) was measured (bench/refresh_decision.sh).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "layers/layers_incremental_work.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Whichever way, so many rows take a few milliseconds. */
#define FEW_ROWS 5000
/* Changes that concern no more than this share of the rows are taken as they are. */
#define SMALL_SHARE 0.02
/* With extremes, which make groups be computed again anyway. */
#define SMALL_EXTREMES 0.005
/* Keys that are no more than this share of all keys are computed again. */
#define FEW_KEYS 0.3

/*
 * Groups are computed again without a question where an index finds their rows, and these are no more than so many for a changed row, and
 * no more than this share of all. Below so many changed rows it is no matter.
 */
#define QUICK_AGAIN 2.5
#define QUICK_SHARE 0.25
#ifndef QUICK_ROWS
#define QUICK_ROWS 500
#endif

/* Costs of a row. */
#define READ_COST 0.04    /* captured, taken together with its opposite */
#define STREAM_COST 0.01  /* captured, read where it stands for its key: beyond what the planner thinks */
#define MATCH_COST 0.7    /* signed, looked up in the target */
#define OFFER_COST 0.15   /* of some of a result, beside the target's rows of the same keys */
#define LOOK_COST 0.015   /* read, its key looked for among those wanted */
#define COMPARE_COST 0.1  /* of all of a result, beside the target's */
#define WRITE_COST 0.4    /* into the target */
#define REPLACE_COST 0.15 /* of a target that is written anew */
#define REPLACE_SHARE 0.6 /* where so many of its rows differ: about strata.delta_swap_share */
#define REPLACE_LEAST 20000
#define GROUP_COST 0.4 /* of a group, whose state is merged */
/* A statement of so little is run as it is: a few milliseconds. */
#define CHEAP_COST 500
/* So much of all it may cost: rows met at random are dearer than the planner thinks. */
#define DEAR_SHARE 0.9
/* So much dearer the changes may be than all: they hold no lock that others wait for. */
#define FULL_MARGIN 1.1

typedef struct PartCost
{
	double changes; /* by the rule it has */
	double keys;    /* its groups computed again; < 0: that cannot be done, or was not asked */
	double full;
} PartCost;

static bool
may_ask(void)
{
	return strata_layers_rule <= INCREMENTAL_COSTS && strata_layers_full_cost > 0;
}

/* Whether rows, of so many, are worth the question, when they are no smaller a share. */
static bool
is_worth(double rows, double all, double share)
{
	return strata_layers_rule == INCREMENTAL_COSTS || (rows >= FEW_ROWS && rows >= share * all);
}

/* ---- sizes ---- */

uint64
layers_work_count_changed(const Work *w)
{
	uint64 n = 0;
	ListCell *lc;

	foreach (lc, w->rowsets)
		n += ((StrataRowSet *) lfirst(lc))->count;
	return n;
}

/* What ANALYZE has counted, without a look at the table; < 0: nothing. */
static double
counted_rows(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double rows = -1;

	if (HeapTupleIsValid(tuple))
	{
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	return rows;
}

/* As the planner takes it: what was counted last, for the pages there are now. Of many partitions, without opening them. */
static double
rows_of(Oid relid, double *pages)
{
	Relation rel;
	BlockNumber n;
	double rows;
	double visible;

	*pages = 0;
	if (has_subclass(relid))
	{
		List *all = NIL;
		ListCell *lc;

		rows = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ? counted_rows(relid) : -1;
		if (rows < 0)
			all = find_all_inheritors(relid, NoLock, NULL);
		foreach (lc, all)
			rows += Max(0, counted_rows(lfirst_oid(lc)));
		return Max(1, rows);
	}
	rel = table_open(relid, AccessShareLock);
	rows = 1;
	if (RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
	{
		estimate_rel_size(rel, NULL, &n, &rows, &visible);
		*pages = n;
	}
	table_close(rel, AccessShareLock);
	return Max(1, rows);
}

double
layers_rows_of(Oid relid)
{
	double pages;

	return rows_of(relid, &pages);
}

typedef struct Sizes
{
	List *seen;
	double largest; /* rows of the largest relation it reads */
	double scan;    /* cost of reading all of them */
} Sizes;

static bool
add_sizes(Node *node, Sizes *sizes)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION && !list_member_oid(sizes->seen, rte->relid))
		{
			double pages;
			double rows = rows_of(rte->relid, &pages);

			sizes->seen = lappend_oid(sizes->seen, rte->relid);
			sizes->largest = Max(sizes->largest, rows);
			sizes->scan += pages * STRATA_NEAR_PAGE_COST + rows * cpu_tuple_cost;
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, add_sizes, sizes, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, add_sizes, sizes);
}

/* The row set that holds the change of a relation. */
static StrataRowSet *
change_of(const Work *w, const StrataChanged *c)
{
	ListCell *lc;

	foreach (lc, w->rowsets)
		if (strcmp(((StrataRowSet *) lfirst(lc))->name, c->rowset) == 0)
			return lfirst(lc);
	return NULL;
}

/* About how many rows of what the part computes from the changes concern: a row of a small table may have many beside it. */
static double
rows_at_stake(const Work *w, const StrataPart *part, double largest, double *changed)
{
	double stake = 0;
	ListCell *lc;

	*changed = 0;
	foreach (lc, w->changed)
	{
		StrataChanged *c = lfirst(lc);
		StrataRowSet *set = change_of(w, c);
		double pages;

		if (set == NULL || !layers_work_reads((Node *) part->query, list_make1(c)))
			continue;
		*changed += set->count;
		stake += set->count * Max(1, largest / rows_of(c->relid, &pages));
	}
	return stake;
}

/* How many keys there are; < 0: not known. */
static double
count_keys(const Work *w, const StrataPart *part)
{
	double groups = part->last ? w->m->model->row_count : -1;
	double pages;

	if (!part->keys_unique)
		return -1;
	return groups >= 0 || part->last ? groups : rows_of(layers_work_target(w, part).relid, &pages);
}

/* ---- costs ---- */

/* Extremes among the aggregates. */
static bool
count_extremes(Node *node, int *n)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(((Aggref *) node)->aggfnoid));

		if (HeapTupleIsValid(tuple))
		{
			*n += OidIsValid(((Form_pg_aggregate) GETSTRUCT(tuple))->aggsortop);
			ReleaseSysCache(tuple);
		}
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, count_extremes, n, 0);
	return expression_tree_walker(node, count_extremes, n);
}

/* The target tells how many rows there are: nearer than what the planner makes of groups by expressions. */
static double
full_cost(const Work *w, const StrataPart *part, StrataEstimate *estimate)
{
	double pages;

	*estimate = strata_base_estimate(strata_incremental_full(part), NIL);
	if (!(part->last && w->m->extract))
		estimate->rows = rows_of(layers_work_target(w, part).relid, &pages);
	return estimate->cost + COMPARE_COST * estimate->rows;
}

/* So many of all differ. */
static double
write_cost(double rows, double all)
{
	rows = Min(rows, all);
	return rows > REPLACE_LEAST && rows > REPLACE_SHARE * all ? REPLACE_COST * all : WRITE_COST * rows;
}

/* A row set of so many keys, for the planner. */
static StrataRowSet *
imagine_keys(const char *sql, List *rowsets, double count)
{
	StrataRowSet *keys = strata_rowset_create("strata_keys", strata_base_describe(sql, rowsets));

	keys->count = Max(1, count);
	keys->stats = palloc0(sizeof(StrataRowSetColumn) * Max(1, keys->desc->natts));
	for (int i = 0; i < keys->desc->natts; i++)
		keys->stats[i] = (StrataRowSetColumn){true, 0, keys->count};
	return keys;
}

/*
 * What it costs to compute keys again: their share of all, and no more than reading everything (so many times) with a look at each row's
 * key. The planner knows little of expressions as keys; but where they are few, it knows which index finds their rows. share < 0: not
 * known; it becomes what the planner thinks.
 */
static double
again_cost(StrataEstimate again, const Sizes *sizes, int scans, const StrataEstimate *full, double *share)
{
	double all;

	if (*share < 0)
		*share = again.rows / Max(1, full->rows);
	*share = Min(1, *share);
	all = scans * (sizes->scan + LOOK_COST * sizes->largest) + *share * Max(0, full->cost - sizes->scan);
	return *share > FEW_KEYS ? all : Max(*share * full->cost, Min(again.cost, all));
}

/* The same of keys that are not there yet. */
static double
imagined_cost(const char *restricted, StrataRowSet *keys, const Sizes *sizes, const StrataEstimate *full, double *share)
{
	return again_cost(strata_base_estimate(restricted, list_make1(keys)), sizes, 1, full, share);
}

static void
cost_of_keys(Work *w, const StrataPart *part, const Sizes *sizes, double changed, PartCost *cost)
{
	char *sql = strata_incremental_keys(part, w->changed);
	StrataEstimate full;
	StrataEstimate touched;
	StrataRowSet *keys;
	double total = count_keys(w, part);
	double share;
	double rows;

	cost->full = full_cost(w, part, &full);
	if (sql == NULL)
		return;
	touched = strata_base_estimate(sql, w->rowsets);
	share = total > 0 ? touched.rows / total : -1;
	keys = imagine_keys(sql, w->rowsets, total > 0 ? Min(total, touched.rows) : touched.rows);
	cost->changes =
		READ_COST * changed + touched.cost +
		imagined_cost(strata_incremental_restricted(part, "strata_keys", false), keys, sizes, &full, &share);
	rows = share * full.rows;
	cost->changes += OFFER_COST * rows;
	/* a changed row changes its group; of a window those that stand after it */
	if (!part->keys_unique)
	{
		double each = changed / 2 / Max(1, touched.rows);

		rows *= each / (each + 1);
	}
	cost->changes += WRITE_COST * rows;
	cost->full += write_cost(rows, full.rows);
	strata_rowset_free(keys);
}

static void
cost_of_algebra(Work *w, const StrataPart *part, const Sizes *sizes, double stake, int extremes, PartCost *cost)
{
	StrataAlgebra *algebra = list_nth(w->m->algebras, part->number - 1);
	StrataEstimate full;
	StrataEstimate change;
	char *sql;
	double total = count_keys(w, part);
	double share;

	cost->full = full_cost(w, part, &full);
	sql = strata_algebra_change(algebra, w->changed);
	if (sql == NULL)
		return;
	change = strata_base_estimate(sql, w->rowsets);
	if (total < 0)
		total = full.rows;
	change.rows = Min(change.rows, Max(total, 1));
	share = change.rows / Max(1, total);
	cost->changes = change.cost + GROUP_COST * change.rows;
	cost->full += write_cost(change.rows, full.rows);
	if (extremes > 0 && algebra->nkeys > 0)
	{
		char *touched = strata_algebra_touched(algebra, w->changed);
		StrataRowSet *keys = imagine_keys(touched, w->rowsets, change.rows);
		double leaving = Min(1, stake / 2 / Max(1, share * sizes->largest));
		double again = imagined_cost(strata_algebra_state(algebra, "strata_keys", false), keys, sizes, &full, &share);
		double stays = 1;

		/* an extremum is one of its group's rows, as good as any */
		for (int i = 0; i < extremes; i++)
			stays *= 1 - leaving;
		cost->changes += (1 - stays) * again;
		cost->keys =
			STREAM_COST * stake + strata_base_estimate(touched, w->rowsets).cost + again + GROUP_COST * change.rows;
		strata_rowset_free(keys);
	}
}

static void
cost_of_signed(Work *w, const StrataPart *part, double changed, PartCost *cost)
{
	Query *query = strata_incremental_change(part->query, w->changed);
	StrataEstimate full;
	StrataEstimate change;

	cost->full = full_cost(w, part, &full);
	if (query == NULL)
		return;
	change = strata_base_estimate(strata_incremental_deparse(query), w->rowsets);
	cost->changes = READ_COST * changed + change.cost + (MATCH_COST + WRITE_COST / 2) * change.rows;
	cost->full += write_cost(change.rows / 2, full.rows);
}

/* ---- groups of few rows ---- */

/* Whether a btree index has these columns of a relation first, in whatever order. */
static bool
is_indexed(Oid relid, const Bitmapset *columns)
{
	Relation rel = table_open(relid, AccessShareLock);
	List *indexes = rel->rd_rel->relhasindex ? RelationGetIndexList(rel) : NIL;
	int n = bms_num_members(columns);
	bool found = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		Bitmapset *first = NULL;

		for (int i = 0; i < Min(n, IndexRelationGetNumberOfKeyAttributes(index)); i++)
			first = bms_add_member(first, index->rd_index->indkey.values[i]);
		found = index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisvalid &&
				RelationGetIndexPredicate(index) == NIL && bms_equal(first, columns);
		bms_free(first);
		index_close(index, AccessShareLock);
		if (found)
			break;
	}
	table_close(rel, NoLock);
	return found;
}

/*
 * The relation's columns that are the keys of a part which adds up rows of this one table, with extremes among them, and by which an
 * index finds the rows of a group. NULL: the part is another.
 */
static Bitmapset *
found_keys(const Work *w, const StrataPart *part, Oid relid)
{
	const StrataAlgebra *algebra = list_nth(w->m->algebras, part->number - 1);
	const Query *core = algebra ? algebra->core : NULL;
	const RangeTblRef *from =
		core && list_length(core->jointree->fromlist) == 1 ? linitial(core->jointree->fromlist) : NULL;
	const RangeTblEntry *rte = from && IsA(from, RangeTblRef) ? rt_fetch(from->rtindex, core->rtable) : NULL;
	Bitmapset *keys = NULL;
	int extremes = 0;

	if (rte == NULL || algebra->nkeys == 0 || rte->rtekind != RTE_RELATION || rte->relid != relid ||
		core->hasSubLinks || core->hasTargetSRFs || (part->last && (w->m->extract || w->m->lookups != NIL)) ||
		has_subclass(relid))
		return NULL;
	for (int i = 0; i < algebra->nkeys; i++)
	{
		const Var *var = (Var *) list_nth_node(TargetEntry, core->targetList, i)->expr;

		if (!IsA(var, Var) || var->varno != from->rtindex || var->varattno <= 0)
			return NULL;
		keys = bms_add_member(keys, var->varattno);
	}
	count_extremes((Node *) part->query, &extremes);
	return extremes > 0 && is_indexed(relid, keys) ? keys : NULL;
}

/* Rows of a relation by group of the part, at an average; groups that are not shown seem to be none. */
static double
rows_of_group(const Work *w, const StrataPart *part, double rows)
{
	double pages;
	double groups = part->last ? w->m->model->row_count : rows_of(layers_work_target(w, part).relid, &pages);

	return groups > 0 ? rows / groups : rows;
}

bool
layers_work_may_be_quick(const Work *w, Oid relid, uint64 count)
{
	double pages;
	ListCell *lc;

	if (count < QUICK_ROWS || strata_layers_rule != INCREMENTAL_AUTO || strata_layers_full_cost < 1)
		return false;
	foreach (lc, w->m->plan->parts)
	{
		StrataPart *part = lfirst(lc);

		if (part->rule == STRATA_RULE_ALGEBRA &&
			rows_of_group(w, part, rows_of(relid, &pages)) <= QUICK_AGAIN * count && found_keys(w, part, relid))
			return true;
	}
	return false;
}

/* Whether the groups that are touched have few rows, for what has changed; of few changes it is seen when the groups are known. */
static bool
is_quick(const Work *w, const StrataPart *part)
{
	ListCell *lc;

	foreach (lc, w->changed)
	{
		StrataChanged *c = lfirst(lc);
		StrataRowSet *set = change_of(w, c);
		double pages;
		double rows = rows_of(c->relid, &pages);
		double groups = 1;
		double again;
		Bitmapset *keys;
		int key = -1;

		if (set == NULL || set->count > QUICK_SHARE * rows || !layers_work_may_be_quick(w, c->relid, set->count) ||
			(keys = found_keys(w, part, c->relid)) == NULL)
			continue;
		while (set->count >= FEW_ROWS && (key = bms_next_member(keys, key)) >= 0)
			groups *= strata_rowset_distinct(set, key);
		again = Min(groups, set->count) * rows_of_group(w, part, rows);
		return again <= QUICK_AGAIN * set->count && again <= QUICK_SHARE * rows;
	}
	return false;
}

/* A sample tells less than there are: up to twice as many will do. */
static bool
is_still_quick(const Work *w, const StrataPart *part, const StrataRowSet *keys)
{
	Sizes sizes = {0};
	double again;

	add_sizes((Node *) part->query, &sizes);
	again = keys->count * rows_of_group(w, part, sizes.largest);
	return again <= 2 * QUICK_AGAIN * layers_work_count_changed(w) && again <= 2 * QUICK_SHARE * sizes.largest;
}

bool
layers_work_decide_again(Work *w, const StrataPart *part, const StrataRowSet *keys)
{
	if (!list_member_int(w->quick, part->number) || is_still_quick(w, part, keys))
		return true;
	w->by_keys = list_delete_int(w->by_keys, part->number);
	w->decided = false;
	return layers_work_decide(w);
}

/* False: it is not worth the question. */
static bool
cost_part(Work *w, const StrataPart *part, PartCost *cost)
{
	Sizes sizes = {0};
	double changed;
	double stake;
	int extremes = 0;

	cost->changes = cost->full = 0;
	cost->keys = -1;
	add_sizes((Node *) part->query, &sizes);
	stake = rows_at_stake(w, part, sizes.largest, &changed);
	if (part->rule == STRATA_RULE_ALGEBRA)
		count_extremes((Node *) part->query, &extremes);
	if (!is_worth(stake, sizes.largest, extremes > 0 ? SMALL_EXTREMES : SMALL_SHARE))
		return false;
	switch (part->rule)
	{
		case STRATA_RULE_SIGNED:
			cost_of_signed(w, part, changed, cost);
			break;
		case STRATA_RULE_ALGEBRA:
			cost_of_algebra(w, part, &sizes, stake, extremes, cost);
			break;
		case STRATA_RULE_KEYS:
			cost_of_keys(w, part, &sizes, changed, cost);
			break;
		case STRATA_RULE_WHOLE:
			return false;
	}
	elog(DEBUG1, "part %d: rows %.0f, at stake %.0f: changes %.0f, keys %.0f, full %.0f", part->number, sizes.largest,
		 stake, cost->changes, cost->keys, cost->full);
	return true;
}

/* ---- decision ---- */

bool
layers_work_refuse_cost(Work *w)
{
	*w->failure = psprintf("its change would cost more (%.0f) than all of it (%.0f)", w->change_cost, w->full_cost);
	return false;
}

/*
 * What has changed (w->changed, w->rowsets) may be a stream that nobody has read. The parts that read it are looked at; those that
 * read what these have changed follow.
 */
bool
layers_work_decide(Work *w)
{
	List *unasked = NIL;
	bool asked = false;
	ListCell *lc;

	if (!may_ask() || w->decided)
		return true;
	foreach (lc, w->m->plan->parts)
	{
		StrataPart *part = lfirst(lc);
		PartCost cost;

		if (list_member_int(w->by_keys, part->number))
			continue;
		if (part->rule == STRATA_RULE_ALGEBRA && !list_member_int(w->quick, part->number) &&
			layers_work_reads((Node *) part->query, w->changed) && is_quick(w, part))
		{
			w->by_keys = lappend_int(w->by_keys, part->number);
			w->quick = lappend_int(w->quick, part->number);
			continue;
		}
		if ((part->last && (w->m->extract || w->m->lookups != NIL)) ||
			!layers_work_reads((Node *) part->query, w->changed) || !cost_part(w, part, &cost))
		{
			unasked = lappend(unasked, part);
			continue;
		}
		asked = true;
		if (cost.keys >= 0 && cost.keys < cost.changes)
		{
			w->by_keys = lappend_int(w->by_keys, part->number);
			cost.changes = cost.keys;
		}
		w->change_cost += cost.changes;
		w->full_cost += cost.full;
	}
	if (!asked)
		return true;
	w->decided = true;
	/* in full, these would be computed, too; by changes, they cost what is not known yet */
	foreach (lc, unasked)
	{
		StrataEstimate ignored;

		w->full_cost += full_cost(w, lfirst(lc), &ignored);
	}
	return w->change_cost <= w->full_cost * FULL_MARGIN * strata_layers_full_cost || layers_work_refuse_cost(w);
}

/* Whether signed rows, of what is not decided before, cost more than all of the part. */
bool
layers_work_is_dearer(Work *w, const StrataPart *part, const char *sql)
{
	double pages;
	StrataEstimate change;
	StrataEstimate full;

	if (!may_ask() || w->decided ||
		!is_worth(layers_work_count_changed(w), rows_of(layers_work_target(w, part).relid, &pages), SMALL_SHARE))
		return false;
	change = strata_base_estimate(sql, w->rowsets);
	w->full_cost += full_cost(w, part, &full) + write_cost(change.rows / 2, full.rows);
	w->change_cost += change.cost + (MATCH_COST + WRITE_COST / 2) * change.rows;
	return w->change_cost > w->full_cost * FULL_MARGIN * strata_layers_full_cost;
}

/*
 * Of a part that nobody was asked about: whether its statement, which is run next, is dearer than all of the part. Few rows are few
 * look-ups, unless no index finds what they concern: then whole tables are read for one of them, now and as they were, and for each branch
 * of the query. Nothing is made but the plan that is run anyway.
 */
bool
layers_work_is_dear(Work *w, const StrataPart *part, const char *sql, List *rowsets)
{
	Sizes sizes = {0};
	StrataEstimate change;
	StrataEstimate full;
	double all;

	if (!may_ask() || w->decided)
		return false;
	change = strata_base_estimate_run(sql, rowsets);
	if (change.cost < CHEAP_COST)
		return false;
	add_sizes((Node *) part->query, &sizes);
	if (!is_worth(sizes.largest, sizes.largest, 0))
		return false;
	all = full_cost(w, part, &full);
	elog(DEBUG1, "part %d: few rows: changes %.0f, full %.0f", part->number, change.cost, all);
	if (change.cost <= all * DEAR_SHARE * strata_layers_full_cost)
		return false;
	w->change_cost = change.cost;
	w->full_cost = all;
	return true;
}

bool
layers_work_by_keys(const Work *w, const StrataPart *part)
{
	const StrataAlgebra *algebra = list_nth(w->m->algebras, part->number - 1);

	return algebra && algebra->nkeys > 0 &&
		   (strata_layers_rule == INCREMENTAL_KEYS || list_member_int(w->by_keys, part->number));
}

/*
 * Whether computing all of the part is cheaper than these keys, which the changes were found to touch: most of them, or one with a NULL, for
 * which everything is read once more.
 */
bool
layers_work_are_most(Work *w, const StrataPart *part, StrataRowSet *keys, bool nulls, const char *restricted)
{
	Sizes sizes = {0};
	StrataEstimate full;
	double total;
	double share;
	double all;
	double some;

	if (!may_ask())
		return false;
	total = count_keys(w, part);
	if (total <= 0 || (keys->count <= FEW_KEYS * total && !nulls))
		return false;
	add_sizes((Node *) part->query, &sizes);
	if (!is_worth(sizes.largest, sizes.largest, 0))
		return false;
	share = keys->count / total;
	all = full_cost(w, part, &full);
	some = again_cost(strata_base_estimate_run(restricted, layers_work_with(w->rowsets, keys)), &sizes, nulls ? 2 : 1,
					  &full, &share);
	some += OFFER_COST * share * full.rows;
	elog(DEBUG1, "part %d: " UINT64_FORMAT " keys of %.0f: keys %.0f, full %.0f", part->number, keys->count, total,
		 some, all);
	if (keys->count <= FEW_KEYS * total && some <= all * strata_layers_full_cost)
		return false;
	w->change_cost = some;
	w->full_cost = all;
	return some > all * strata_layers_full_cost;
}
