/*
 * sql_kept.c: statements of small changes, kept with their plans for the session.
 *
 * A refresh runs the same generated texts each time, over row sets of the same names. To parse and plan them takes longer than to run them
 * for a few rows. What the server does not notice by itself is in the key: the columns of the row sets, how many rows they have (to a
 * power of 4), whose rights and which settings apply. What it does notice (whatever DDL, ANALYZE) has it analyze or plan the statement anew;
 * tables that grew, it does not: their pages are counted.
 *
 * A statement over many rows is not kept: its plan matters more than the time to make it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "base/base_internal.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "jit/jit.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "parser/parse_expr.h"
#include "pgtime.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/xml.h"

#define MOST_ROWS 10000               /* of all row sets of the statement */
#define MOST_KEPT 1000                /* statements */
#define MOST_BYTES (32 * 1024 * 1024) /* of plans; about 30 kB each */

typedef struct KeptKey
{
	char *bytes;
	Size length;
} KeptKey;

struct StrataKept
{
	KeptKey key;
	SPIPlanPtr plan; /* NULL: making it failed */
	dlist_node node;
	int users;
	/* of the plan that was last seen */
	int generation;
	StrataRests *rests;
	StrataEstimate estimate;
	Size size;
	int n_tables;
	Oid *tables;
	BlockNumber *pages;
};

/* What decides what a statement means, or how it is planned. All of it is compared as bytes. */
typedef struct Settings
{
	StrataPlanning how;
	int cursor_options;
	Oid role;
	int sec_context;
	int date_style;
	int date_order;
	int interval_style;
	int xml_option;
	int work_mem;
	int from_collapse;
	int join_collapse;
	int cache_size;
	int workers;
	bool flags[24];
	double costs[6];
	char time_zone[TZ_STRLEN_MAX + 1];
} Settings;

static MemoryContext context = NULL;
static HTAB *entries = NULL;
static dlist_head used = DLIST_STATIC_INIT(used); /* the last used one first */
static Size total = 0;

/* ---- the key ---- */

static void
put_settings(StringInfo key, StrataPlanning how, int cursor_options)
{
	Settings s;
	bool flags[] = {enable_seqscan,
					enable_indexscan,
					enable_indexonlyscan,
					enable_bitmapscan,
					enable_tidscan,
					enable_sort,
					enable_incremental_sort,
					enable_hashagg,
					enable_nestloop,
					enable_material,
					enable_memoize,
					enable_mergejoin,
					enable_hashjoin,
					enable_gathermerge,
					enable_parallel_append,
					enable_parallel_hash,
					enable_partition_pruning,
					enable_partitionwise_join,
					enable_partitionwise_aggregate,
					enable_geqo,
					jit_enabled,
					Transform_null_equals,
					standard_conforming_strings};
	double costs[] = {seq_page_cost,        random_page_cost,  cpu_tuple_cost,
					  cpu_index_tuple_cost, cpu_operator_cost, hash_mem_multiplier};

	StaticAssertStmt(sizeof(flags) <= sizeof(s.flags) && sizeof(costs) == sizeof(s.costs), "room for settings");
	memset(&s, 0, sizeof(s));
	s.how = how;
	s.cursor_options = cursor_options;
	GetUserIdAndSecContext(&s.role, &s.sec_context);
	s.date_style = DateStyle;
	s.date_order = DateOrder;
	s.interval_style = IntervalStyle;
	s.xml_option = xmloption;
	s.work_mem = work_mem;
	s.from_collapse = from_collapse_limit;
	s.join_collapse = join_collapse_limit;
	s.cache_size = effective_cache_size;
	s.workers = max_parallel_workers_per_gather;
	memcpy(s.flags, flags, sizeof(flags));
	memcpy(s.costs, costs, sizeof(costs));
	strlcpy(s.time_zone, pg_get_timezone_name(session_timezone), sizeof(s.time_zone));
	appendBinaryStringInfo(key, (char *) &s, sizeof(s));
}

static int
bucket(uint64 count)
{
	int n = 0;

	for (; count > 0; count /= 4)
		n++;
	return n;
}

static void
put_rowset(StringInfo key, const StrataRowSet *set)
{
	appendBinaryStringInfo(key, set->name, strlen(set->name) + 1);
	/* what is read from its source is read by another node */
	appendStringInfo(key, "%d:%d:%d", bucket(set->count), set->desc->natts, set->source != NULL);
	for (int i = 0; i < set->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(set->desc, i);

		appendBinaryStringInfo(key, NameStr(att->attname), strlen(NameStr(att->attname)) + 1);
		appendStringInfo(key, "%u:%d:%u:%d,", att->atttypid, att->atttypmod, att->attcollation, att->attisdropped);
	}
}

static KeptKey
make_key(const char *sql, const StrataArgs *args, List *rowsets, StrataPlanning how, int cursor_options)
{
	StringInfoData key;
	ListCell *lc;

	initStringInfo(&key);
	put_settings(&key, how, cursor_options);
	for (int i = 0; args && i < args->n; i++)
		appendStringInfo(&key, "%u,", args->types[i]);
	appendStringInfoChar(&key, ';');
	foreach (lc, rowsets)
		put_rowset(&key, lfirst(lc));
	appendStringInfoString(&key, sql);
	return (KeptKey){key.data, key.len};
}

static uint32
hash_key(const void *key, Size size)
{
	const KeptKey *k = key;

	return hash_bytes((unsigned char *) k->bytes, k->length);
}

static int
match_key(const void *a, const void *b, Size size)
{
	const KeptKey *x = a;
	const KeptKey *y = b;

	return x->length == y->length ? memcmp(x->bytes, y->bytes, x->length) : 1;
}

/* ---- planning ---- */

static CachedPlan *
get_plan(SPIPlanPtr plan, StrataPlanning how)
{
	bool hashjoin = enable_hashjoin;
	bool mergejoin = enable_mergejoin;
	bool material = enable_material;
	bool seqscan = enable_seqscan;
	bool nestloop = enable_nestloop;
	bool tidscan = enable_tidscan;
	bool jit = jit_enabled;
	bool values = strata_rowset_counts_values;
	bool priced = strata_lookups_priced;
	int few = strata_rowset_few;
	double seq = seq_page_cost;
	double random = random_page_cost;
	CachedPlan *volatile cached = NULL;

	/* as SET LOCAL would, for as long as it is planned; thousands of times cheaper */
	PG_TRY();
	{
		if (how == STRATA_PLAN_BY_ADDRESS)
		{
			enable_hashjoin = enable_mergejoin = enable_material = enable_seqscan = false;
			enable_nestloop = enable_tidscan = true;
			/* there is one way to go */
			strata_rowset_counts_values = false;
		}
		if (how == STRATA_PLAN_REGISTRY)
			enable_seqscan = false;
		if (how == STRATA_PLAN_ROWSETS || how == STRATA_PLAN_ESTIMATE)
		{
			seq_page_cost = Min(seq, STRATA_NEAR_PAGE_COST);
			random_page_cost = Min(random, STRATA_NEAR_PAGE_COST);
			strata_lookups_priced = true;
			if (how == STRATA_PLAN_ESTIMATE)
				strata_rowset_few = 0;
		}
		jit_enabled = false;
		cached = SPI_plan_get_cached_plan(plan);
	}
	PG_FINALLY();
	{
		enable_hashjoin = hashjoin;
		enable_mergejoin = mergejoin;
		enable_material = material;
		enable_seqscan = seqscan;
		enable_nestloop = nestloop;
		enable_tidscan = tidscan;
		jit_enabled = jit;
		strata_rowset_counts_values = values;
		strata_lookups_priced = priced;
		strata_rowset_few = few;
		seq_page_cost = seq;
		random_page_cost = random;
	}
	PG_END_TRY();
	return cached;
}

/*
 * What the planner leaves out: a hash join whose inner side has each value but once costs it nothing for a row that it gives (it asks for the share of
 * outer rows that match, and is told that of the pairs). All of a query would then seem cheaper than some of it.
 */
static double
left_out(const Plan *plan)
{
	double cost = 0;
	const List *inner = NIL;
	ListCell *lc;

	if (plan == NULL)
		return 0;
	cost = left_out(outerPlan(plan)) + left_out(innerPlan(plan));
	if (IsA(plan, HashJoin) && outerPlan(plan) && innerPlan(plan))
	{
		const Plan *outer = outerPlan(plan);
		double least = cpu_operator_cost * outer->plan_rows + cpu_tuple_cost * plan->plan_rows;

		cost += Max(0, least - (plan->total_cost - outer->total_cost - innerPlan(plan)->total_cost));
	}
	if (IsA(plan, Append))
		inner = ((const Append *) plan)->appendplans;
	else if (IsA(plan, MergeAppend))
		inner = ((const MergeAppend *) plan)->mergeplans;
	else if (IsA(plan, SubqueryScan))
		cost += left_out(((const SubqueryScan *) plan)->subplan);
	foreach (lc, inner)
		cost += left_out(lfirst(lc));
	return cost;
}

static StrataEstimate
estimate_of(const CachedPlan *cached)
{
	PlannedStmt *stmt = linitial_node(PlannedStmt, cached->stmt_list);

	double cost = 0;
	ListCell *lc;

	if (stmt->planTree == NULL)
		return (StrataEstimate){0, 0};
	cost = stmt->planTree->total_cost + left_out(stmt->planTree);
	foreach (lc, stmt->subplans)
		cost += left_out(lfirst(lc));
	return (StrataEstimate){cost, stmt->planTree->plan_rows};
}

StrataEstimate
strata_kept_plan(SPIPlanPtr plan, StrataPlanning how)
{
	CachedPlan *cached;
	StrataEstimate estimate;

	PushActiveSnapshot(GetTransactionSnapshot());
	cached = get_plan(plan, how);
	estimate = estimate_of(cached);
	ReleaseCachedPlan(cached, NULL); /* of a plan not kept: no resource owner holds it */
	PopActiveSnapshot();
	return estimate;
}

/* ---- entries ---- */

static void
forget_tables(StrataKept *k)
{
	if (k->tables)
		pfree(k->tables);
	if (k->pages)
		pfree(k->pages);
	k->tables = NULL;
	k->pages = NULL;
	k->n_tables = 0;
}

static void
forget_plan(StrataKept *k)
{
	SPIPlanPtr plan = k->plan;

	total -= k->size;
	k->size = 0;
	k->plan = NULL;
	forget_tables(k);
	strata_rests_free(k->rests);
	k->rests = NULL;
	if (plan)
		SPI_freeplan(plan);
}

static void
drop(StrataKept *k)
{
	char *bytes = k->key.bytes;

	forget_plan(k);
	dlist_delete(&k->node);
	hash_search(entries, &k->key, HASH_REMOVE, NULL);
	pfree(bytes);
}

/* Those not used for the longest time go; none that runs. */
static void
make_room(void)
{
	dlist_node *at = used.head.prev;

	if (hash_get_num_entries(entries) < MOST_KEPT && total < MOST_BYTES)
		return;
	while (at && at != &used.head &&
		   (hash_get_num_entries(entries) > MOST_KEPT / 10 * 9 || total > MOST_BYTES / 10 * 9))
	{
		StrataKept *k = dlist_container(StrataKept, node, at);

		at = at->prev;
		if (k->users == 0)
			drop(k);
	}
}

static StrataKept *
find_entry(KeptKey key)
{
	StrataKept *k;

	if (entries == NULL)
	{
		HASHCTL control = {0};

		context = AllocSetContextCreate(TopMemoryContext, "pg_strata kept plans", ALLOCSET_DEFAULT_SIZES);
		control.keysize = sizeof(KeptKey);
		control.entrysize = sizeof(StrataKept);
		control.hash = hash_key;
		control.match = match_key;
		control.hcxt = context;
		entries =
			hash_create("pg_strata kept plans", 64, &control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	}
	k = hash_search(entries, &key, HASH_FIND, NULL);
	if (k)
		dlist_move_head(&used, &k->node);
	else
	{
		KeptKey own = {MemoryContextAlloc(context, key.length), key.length};

		make_room();
		memcpy(own.bytes, key.bytes, key.length);
		k = hash_search(entries, &own, HASH_ENTER, NULL);
		memset((char *) k + sizeof(KeptKey), 0, sizeof(StrataKept) - sizeof(KeptKey));
		dlist_push_head(&used, &k->node);
	}
	pfree(key.bytes);
	return k;
}

static void
make_plan(StrataKept *k, const char *sql, const StrataArgs *args, int cursor_options)
{
	SPIPlanPtr plan = SPI_prepare_cursor(sql, args ? args->n : 0, args ? (Oid *) args->types : NULL,
										 cursor_options | CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	SPI_keepplan(plan);
	k->plan = plan;
	k->generation = -1;
}

static BlockNumber
pages_of(Oid relid)
{
	Relation rel = try_relation_open(relid, NoLock); /* the plan's locks are held */
	BlockNumber pages = 0;

	if (rel == NULL)
		return 0;
	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		pages = RelationGetNumberOfBlocks(rel);
	relation_close(rel, NoLock);
	return pages;
}

static void
note_plan(StrataKept *k, const CachedPlan *cached)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(k->plan));
	PlannedStmt *stmt = linitial_node(PlannedStmt, cached->stmt_list);
	List *tables = stmt->relationOids;
	ListCell *lc;

	forget_tables(k);
	strata_rests_free(k->rests);
	k->rests = NULL;
	k->rests = strata_rests_note(k->plan, context);
	k->tables = MemoryContextAlloc(context, sizeof(Oid) * Max(1, list_length(tables)));
	k->pages = MemoryContextAlloc(context, sizeof(BlockNumber) * Max(1, list_length(tables)));
	foreach (lc, tables)
	{
		k->tables[k->n_tables] = lfirst_oid(lc);
		k->pages[k->n_tables++] = pages_of(lfirst_oid(lc));
	}
	total -= k->size;
	k->size = MemoryContextMemAllocated(source->context, true) + MemoryContextMemAllocated(cached->context, true);
	total += k->size;
	k->estimate = estimate_of(cached);
	k->generation = cached->generation;
}

/* Tables of so few pages are planned alike. An estimate is to be nearer than a plan. */
static bool
is_outgrown(const StrataKept *k, StrataPlanning how)
{
	double most = how == STRATA_PLAN_ESTIMATE ? 1.2 : 4;

	for (int i = 0; i < k->n_tables; i++)
	{
		double then = Max(k->pages[i], 10);
		double now = Max(pages_of(k->tables[i]), 10);

		if (now > most * then || then > most * now)
			return true;
	}
	return false;
}

static bool
is_small(List *rowsets)
{
	uint64 rows = 0;
	ListCell *lc;

	foreach (lc, rowsets)
		rows += ((StrataRowSet *) lfirst(lc))->count;
	return rows <= MOST_ROWS;
}

/* That a role may see all rows, or no longer may, voids no plan. */
static bool
depends_on_policies(SPIPlanPtr plan)
{
	return ((CachedPlanSource *) linitial(SPI_plan_get_plan_sources(plan)))->dependsOnRLS;
}

/* The entry has its plan, and is in use: what planning runs may come back here, and must not make room by it. */
static void
have_plan(StrataKept *k, const char *sql, const StrataArgs *args, StrataPlanning how, int cursor_options)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	for (;;)
	{
		CachedPlan *cached;
		bool outgrown;

		if (k->plan == NULL)
			make_plan(k, sql, args, cursor_options);
		else if (k->users == 1 && depends_on_policies(k->plan))
		{
			forget_plan(k);
			make_plan(k, sql, args, cursor_options);
		}
		else
			strata_rests_restore(k->rests, k->plan);
		cached = get_plan(k->plan, how);
		outgrown = k->generation == cached->generation && k->users == 1 && is_outgrown(k, how);
		if (k->generation != cached->generation)
			note_plan(k, cached);
		ReleaseCachedPlan(cached, CurrentResourceOwner);
		if (!outgrown)
			break;
		forget_plan(k);
	}
	PopActiveSnapshot();
}

StrataKept *
strata_kept_take(const char *sql, const StrataArgs *args, List *rowsets, StrataPlanning how, int cursor_options,
				 SPIPlanPtr *plan)
{
	StrataKept *volatile k;

	if (how == STRATA_PLAN_REGISTRY || how == STRATA_PLAN_ESTIMATE ? rowsets != NIL
																   : rowsets == NIL || !is_small(rowsets))
		return NULL;
	k = find_entry(make_key(sql, args, rowsets, how, cursor_options));
	k->users++;
	PG_TRY();
	{
		have_plan(k, sql, args, how, cursor_options);
	}
	PG_CATCH();
	{
		k->users--;
		PG_RE_THROW();
	}
	PG_END_TRY();
	*plan = k->plan;
	return k;
}

void
strata_kept_leave(StrataKept *k)
{
	if (k)
		k->users--;
}

StrataEstimate
strata_kept_estimate(const StrataKept *k)
{
	return k->estimate;
}
