/*
 * lineage.c
 *		strata_lineage_analyze: walks the query into a graph, then asks the
 *		graph for each output column.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "lineage/lineage_internal.h"

static char *
column_name(LineageWalk *walk, LineageRelation *relation, AttrNumber attno)
{
	int offset = attno - FirstLowInvalidHeapAttributeNumber;

	if (relation->names[offset] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(walk->result_context);

		relation->names[offset] = get_attname(relation->reference->relid, attno, false);
		MemoryContextSwitchTo(old);
	}
	return relation->names[offset];
}

/* The last search's hits as edges of one output column, or of the rows (column NULL). */
static void
add_edges(LineageWalk *walk, LineageSearch *search, StrataLineage *lineage, char *column)
{
	for (int i = 0; i < search->hit_count; i++)
	{
		LineageHit *hit = &search->hits[i];
		LineageRelation *relation = &walk->relations[hit->relation];
		char *source_column = column_name(walk, relation, hit->attno);
		MemoryContext old = MemoryContextSwitchTo(walk->result_context);
		StrataEdge *edge = palloc(sizeof(StrataEdge));

		edge->column = column;
		edge->relid = relation->reference->relid;
		edge->attno = hit->attno;
		edge->schema = relation->reference->schema;
		edge->relation = relation->reference->name;
		edge->source_column = source_column;
		edge->kind = column == NULL ? STRATA_EDGE_FILTER : hit->kind;
		lineage->edges = lappend(lineage->edges, edge);
		MemoryContextSwitchTo(old);
	}
}

StrataLineage *
strata_lineage_analyze(Query *query)
{
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(result_context, "strata lineage", ALLOCSET_DEFAULT_SIZES);
	StrataLineage *lineage = palloc0(sizeof(StrataLineage));
	LineageWalk walk = {0};
	LineageSearch search;
	LineageLevel *top;
	HASHCTL control = {0};
	ListCell *cell;

	MemoryContextSwitchTo(work);
	walk.result_context = result_context;
	walk.calls.context = result_context;
	strata_lineage_graph_init(&walk.graph);
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(Oid) + sizeof(int);
	control.hcxt = work;
	walk.by_oid = hash_create("strata lineage relations", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	top = strata_lineage_walk_query(&walk, query, NULL);

	strata_lineage_search_init(&search, &walk.graph);
	foreach (cell, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);
		char *column;

		if (target->resjunk)
			continue;
		CHECK_FOR_INTERRUPTS();
		column = MemoryContextStrdup(result_context, target->resname != NULL ? target->resname : "?column?");
		strata_lineage_graph_reach(&walk.graph, &search, top->targets[target->resno - 1] - 1);
		add_edges(&walk, &search, lineage, column);
	}
	strata_lineage_graph_reach(&walk.graph, &search, top->filter);
	add_edges(&walk, &search, lineage, NULL);

	MemoryContextSwitchTo(result_context);
	for (int i = 0; i < walk.relation_count; i++)
		lineage->references = lappend(lineage->references, walk.relations[i].reference);
	lineage->functions = walk.calls.functions;
	lineage->volatile_functions = walk.calls.volatile_names;
	lineage->time_dependent = walk.calls.time_names;
	lineage->has_row_security = walk.calls.has_row_security;
	MemoryContextDelete(work);
	return lineage;
}

const char *
strata_lineage_kind_name(StrataEdgeKind kind)
{
	switch (kind)
	{
		case STRATA_EDGE_COPY:
			return "copy";
		case STRATA_EDGE_DERIVED:
			return "derived";
		case STRATA_EDGE_AGGREGATE:
			return "aggregate";
		case STRATA_EDGE_FILTER:
			return "filter";
	}
	return NULL;
}
