/*
 * rowset_stats.c: what the planner is told about the columns of a row set.
 *
 * It knows a row set's number of rows, but without statistics it takes every column to hold 200 values: it would then rather hash a
 * table of millions than a change of a hundred thousand rows. So the number of values is estimated from a sample, as ANALYZE
 * does, the first time it asks, and only where it matters: with a few rows the guess does no harm.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "base/base.h"
#include "base/base_internal.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"

#define SAMPLE_ROWS 3000
/* Of so few rows no plan can be that bad: a small sample, of the column that is asked about alone. */
#define SMALL_ROWS 10000
#define SMALL_SAMPLE 500

static get_relation_stats_hook_type former_hook = NULL;

bool strata_rowset_counts_values = true;
int strata_rowset_few = STRATA_FEW_ROWS;

/* Row sets of the statement that is planned. */
static List *shown = NIL;

List *
strata_rowset_show(List *rowsets)
{
	List *before = shown;

	shown = rowsets;
	return before;
}

StrataRowSet *
strata_rowset_shown(const char *name)
{
	ListCell *lc;

	foreach (lc, shown)
		if (strcmp(((StrataRowSet *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* As ANALYZE estimates (Haas and Stokes): n values in the sample of N rows, d distinct, f1 of them once. */
static double
estimate_distinct(uint64 *hashes, int n, double rows)
{
	int d = 0;
	int f1 = 0;

	if (n == 0)
		return 1;
	qsort(hashes, n, sizeof(uint64), compare_hashes);
	for (int i = 0; i < n;)
	{
		int j = i + 1;

		while (j < n && hashes[j] == hashes[i])
			j++;
		d++;
		f1 += j == i + 1;
		i = j;
	}
	if (f1 == n)
		return rows;
	if (f1 == 0)
		return d;
	return Max(d, Min(rows, (double) n * d / ((n - f1) + (double) f1 * n / rows)));
}

/*
 * Of signed rows each side is a sample of its own: what a row was and what it became stand side by side, and a value that both have would
 * seem to be a frequent one.
 */
typedef struct Sample
{
	StrataImageColumn *columns;
	int only; /* column that is looked at; < 0: all */
	int most; /* rows */
	int sign; /* column that has it; < 0: none */
	uint64 **hashes[2];
	int *counts[2];
	int seen[2];
} Sample;

static bool
sample_row(StrataRowSet *set, Datum *values, bool *nulls, void *arg)
{
	Sample *s = arg;
	int side = s->sign >= 0 && DatumGetInt32(values[s->sign]) < 0 ? 1 : 0;

	for (int i = 0; i < set->desc->natts; i++)
		if (!nulls[i] && (s->only < 0 || s->only == i))
			s->hashes[side][i][s->counts[side][i]++] =
				strata_base_image_hash(&s->columns[i], 1, &values[i], &nulls[i], false);
	s->seen[side]++;
	return s->seen[0] + s->seen[1] < s->most;
}

static void
sample_store(StrataRowSet *set, Sample *s)
{
	uint64 step = Max(1, set->count / s->most);
	uint32 chance = 0x2545f491;
	TupleTableSlot *slot = strata_rowset_rewind(set);

	while (strata_rowset_next(set, slot))
	{
		bool more = sample_row(set, slot->tts_values, slot->tts_isnull, s);

		ExecClearTuple(slot);
		/* steps of chance: equal rows may stand side by side, or at equal distances */
		chance = chance * 1664525 + 1013904223;
		if (!more || (step > 1 && !tuplestore_skiptuples(set->store, (chance >> 8) % (2 * step - 1), true)))
		{
			ExecDropSingleTupleTableSlot(slot);
			break;
		}
	}
}

static void
look_at(StrataRowSet *set, int column)
{
	int natts = set->desc->natts;
	bool stream = set->source && !set->filled;
	MemoryContext context;
	MemoryContext old;
	Sample s = {0};
	Form_pg_attribute last = natts > 0 ? TupleDescAttr(set->desc, natts - 1) : NULL;
	int side;

	if (set->stats == NULL)
		set->stats = MemoryContextAllocZero(GetMemoryChunkContext(set), sizeof(StrataRowSetColumn) * Max(1, natts));
	/* a stream has its sample pages read once, for all columns */
	s.only = stream || set->count > SMALL_ROWS ? -1 : column;
	s.most = stream || set->count > SMALL_ROWS ? SAMPLE_ROWS : SMALL_SAMPLE;
	context = AllocSetContextCreate(CurrentMemoryContext, "strata sample", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	s.columns = palloc0(sizeof(StrataImageColumn) * Max(1, natts));
	s.sign = last && last->atttypid == INT4OID && strcmp(NameStr(last->attname), "strata_sign") == 0 ? natts - 1 : -1;
	for (side = 0; side < 2; side++)
	{
		s.hashes[side] = palloc(sizeof(uint64 *) * Max(1, natts));
		s.counts[side] = palloc0(sizeof(int) * Max(1, natts));
		for (int i = 0; i < natts; i++)
			if (s.only < 0 || s.only == i)
				s.hashes[side][i] = palloc(sizeof(uint64) * s.most);
	}
	for (int i = 0; i < natts; i++)
		s.columns[i] = strata_base_image_column(TupleDescAttr(set->desc, i));
	if (stream)
		strata_rowset_sample(set, sample_row, &s);
	else
		sample_store(set, &s);
	side = s.seen[1] > s.seen[0];
	for (int i = 0; i < natts; i++)
	{
		double seen = Max(1, s.seen[0] + s.seen[1]);

		if (s.only >= 0 && s.only != i)
			continue;
		set->stats[i].known = true;
		set->stats[i].null_share = 1.0 - (s.counts[0][i] + s.counts[1][i]) / seen;
		set->stats[i].distinct =
			estimate_distinct(s.hashes[side][i], s.counts[side][i], Max(1.0, set->count * s.counts[side][i] / seen));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static const StrataRowSetColumn *
column_stats(StrataRowSet *set, AttrNumber attnum)
{
	if (set->stats == NULL || !set->stats[attnum - 1].known)
		look_at(set, attnum - 1);
	return &set->stats[attnum - 1];
}

double
strata_rowset_distinct(StrataRowSet *set, AttrNumber attnum)
{
	return Max(1, column_stats(set, attnum)->distinct);
}

static bool
rowset_stats(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	ListCell *lc;

	if (rte->rtekind == RTE_NAMEDTUPLESTORE && strata_rowset_counts_values)
		foreach (lc, shown)
		{
			StrataRowSet *set = lfirst(lc);
			Datum values[Natts_pg_statistic] = {0};
			bool nulls[Natts_pg_statistic] = {false};
			const StrataRowSetColumn *c;
			Relation statistic;

			if (strcmp(set->name, rte->enrname) != 0 || attnum < 1 || attnum > set->desc->natts ||
				set->count <= strata_rowset_few)
				continue;
			c = column_stats(set, attnum);
			values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(attnum);
			values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(c->null_share);
			values[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum(c->distinct);
			for (int i = 0; i < STATISTIC_NUM_SLOTS; i++)
			{
				nulls[Anum_pg_statistic_stanumbers1 - 1 + i] = true;
				nulls[Anum_pg_statistic_stavalues1 - 1 + i] = true;
			}
			statistic = table_open(StatisticRelationId, AccessShareLock);
			vardata->statsTuple = heap_form_tuple(RelationGetDescr(statistic), values, nulls);
			table_close(statistic, AccessShareLock);
			vardata->freefunc = heap_freetuple;
			vardata->acl_ok = true;
			return true;
		}
	return former_hook ? former_hook(root, rte, attnum, vardata) : false;
}

void
strata_base_init(void)
{
	former_hook = get_relation_stats_hook;
	get_relation_stats_hook = rowset_stats;
	base_lookups_init();
	strata_rowset_scan_init();
}
