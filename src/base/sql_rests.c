/*
 * sql_rests.c: what a kept plan rests on, so that one which was voided and still holds is not made again.
 *
 * The server voids a plan with whatever happens to a table it reads; a VACUUM, which changes numbers in its catalog row only, as much as DDL. What a
 * plan over plain tables rests on is looked at instead: the versions of the catalog rows of the tables, their columns, statistics and indexes. VACUUM
 * writes in place and leaves the versions as they are, DDL and ANALYZE make new ones. What the plan has of functions and types, and a reset of all
 * plans (DISCARD, operators, schemas), voids it for good.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "base/base_internal.h"
#include "catalog/pg_class.h"
#include "lib/ilist.h"
#include "nodes/plannodes.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* More are not worth the look. */
#define MOST_VERSIONS 2000

typedef struct Version
{
	Oid relid;
	int what; /* syscache, and which of its rows */
	int column;
	TransactionId xmin;
	ItemPointerData tid;
} Version;

typedef struct Object
{
	int cache;
	uint32 hash;
} Object;

struct StrataRests
{
	dlist_node node;
	bool broken;
	int generation;
	int n_objects;
	Object *objects;
	int n_versions;
	Version *versions;
};

static dlist_head all = DLIST_STATIC_INIT(all);
static bool watching = false;
static SPIPlanPtr canary = NULL; /* rests on nothing: void when all plans were reset */

/* ---- what voids for good ---- */

static void
break_all(void)
{
	dlist_iter i;

	dlist_foreach(i, &all) dlist_container(StrataRests, node, i.cur)->broken = true;
}

static void
object_changed(Datum arg, int cache, uint32 hash)
{
	dlist_iter i;

	dlist_foreach(i, &all)
	{
		StrataRests *r = dlist_container(StrataRests, node, i.cur);

		for (int n = 0; n < r->n_objects && !r->broken; n++)
			r->broken = r->objects[n].cache == cache && (hash == 0 || r->objects[n].hash == hash);
	}
}

static void
relation_changed(Datum arg, Oid relid)
{
	if (!OidIsValid(relid))
		break_all();
}

static CachedPlanSource *
source_of(SPIPlanPtr plan)
{
	return linitial(SPI_plan_get_plan_sources(plan));
}

/* Connected to SPI. */
static void
watch(void)
{
	if (!watching)
	{
		CacheRegisterSyscacheCallback(PROCOID, object_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(TYPEOID, object_changed, (Datum) 0);
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		watching = true;
	}
	if (canary && source_of(canary)->is_valid)
		return;
	break_all();
	if (canary)
		SPI_freeplan(canary);
	canary = NULL;
	canary = SPI_prepare("SELECT 1", 0, NULL);
	if (canary == NULL || SPI_keepplan(canary) != 0)
		elog(ERROR, "could not prepare: SELECT 1");
}

/* ---- versions ---- */

typedef struct Versions
{
	Version *list;
	int n;
	int room;
	bool plain; /* so far */
} Versions;

static void
add_version(Versions *v, Oid relid, int what, int column, HeapTuple tuple)
{
	Version *one;

	if (v->n == v->room)
	{
		v->room = Max(64, v->room * 2);
		v->list = v->list ? repalloc(v->list, sizeof(Version) * v->room) : palloc(sizeof(Version) * v->room);
	}
	one = &v->list[v->n++];
	memset(one, 0, sizeof(Version));
	one->relid = relid;
	one->what = what;
	one->column = column;
	if (!HeapTupleIsValid(tuple))
		return;
	one->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	one->tid = tuple->t_self;
	ReleaseSysCache(tuple);
}

static void
add_indexes(Versions *v, Relation rel)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *lc;

	foreach (lc, indexes)
		add_version(v, lfirst_oid(lc), INDEXRELID, 0, SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc))));
	list_free(indexes);
}

static void
add_table(Versions *v, Oid relid)
{
	Relation rel = try_relation_open(relid, AccessShareLock);
	Form_pg_class form;

	if (rel == NULL)
	{
		v->plain = false;
		return;
	}
	form = rel->rd_rel;
	v->plain = form->relkind == RELKIND_RELATION && !form->relispartition && !form->relhassubclass &&
			   !form->relhasrules && !form->relrowsecurity && v->n + 2 * form->relnatts < MOST_VERSIONS;
	if (v->plain)
	{
		add_version(v, relid, RELOID, 0, SearchSysCache1(RELOID, ObjectIdGetDatum(relid)));
		for (int i = 1; i <= form->relnatts; i++)
		{
			add_version(v, relid, ATTNUM, i, SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(i)));
			add_version(v, relid, STATRELATTINH, i,
						SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid), Int16GetDatum(i), BoolGetDatum(false)));
		}
		add_indexes(v, rel);
	}
	relation_close(rel, NoLock);
}

static Versions
versions_of(const CachedPlanSource *source)
{
	Versions v = {NULL, 0, 0, true};
	ListCell *lc;

	/* what is inlined or planned beneath them besides stands in the plan's list */
	foreach (lc, source->relationOids)
		if (v.plain)
			add_table(&v, lfirst_oid(lc));
	foreach (lc, linitial_node(PlannedStmt, source->gplan->stmt_list)->relationOids)
		if (v.plain && !list_member_oid(source->relationOids, lfirst_oid(lc)))
			add_table(&v, lfirst_oid(lc));
	return v;
}

/* ---- the face ---- */

static void
copy_objects(StrataRests *r, MemoryContext context, const List *items)
{
	ListCell *lc;
	Size size = sizeof(Object) * Max(1, r->n_objects + list_length(items));

	r->objects = r->objects ? repalloc(r->objects, size) : MemoryContextAlloc(context, size);
	foreach (lc, items)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);

		r->objects[r->n_objects++] = (Object){item->cacheId, item->hashValue};
	}
}

StrataRests *
strata_rests_note(SPIPlanPtr plan, MemoryContext context)
{
	CachedPlanSource *source = source_of(plan);
	StrataRests *r;
	Versions v;

	watch();
	if (source->gplan == NULL || list_length(source->gplan->stmt_list) != 1 ||
		TransactionIdIsValid(source->gplan->saved_xmin))
		return NULL;
	v = versions_of(source);
	/* voided by what was looked at just now */
	if (!v.plain || !source->is_valid || !source->gplan->is_valid)
		return NULL;
	r = MemoryContextAllocZero(context, sizeof(StrataRests));
	r->generation = source->gplan->generation;
	copy_objects(r, context, source->invalItems);
	copy_objects(r, context, linitial_node(PlannedStmt, source->gplan->stmt_list)->invalItems);
	r->versions = MemoryContextAlloc(context, sizeof(Version) * Max(1, v.n));
	r->n_versions = v.n;
	if (v.n > 0)
		memcpy(r->versions, v.list, sizeof(Version) * v.n);
	dlist_push_head(&all, &r->node);
	return r;
}

void
strata_rests_restore(StrataRests *r, SPIPlanPtr plan)
{
	CachedPlanSource *source = source_of(plan);
	Versions v;

	watch();
	if (r == NULL || r->broken || source->gplan == NULL || source->gplan->generation != r->generation ||
		source->query_list == NIL || (source->is_valid && source->gplan->is_valid))
		return;
	v = versions_of(source);
	/* the locks that are held now may have told more */
	if (!v.plain || r->broken || v.n != r->n_versions || memcmp(v.list, r->versions, sizeof(Version) * v.n) != 0)
		return;
	source->is_valid = true;
	source->gplan->is_valid = true;
}

void
strata_rests_free(StrataRests *r)
{
	if (r == NULL)
		return;
	dlist_delete(&r->node);
	pfree(r->objects);
	pfree(r->versions);
	pfree(r);
}
