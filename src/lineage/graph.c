/*
 * graph.c
 *		Columns as nodes, "is made from" as edges, and what can be reached.
 *
 * A graph and not sets of columns, because a recursive CTE makes its columns
 * from themselves: sets would need a fixpoint, nested ones a fixpoint of
 * fixpoints. Here every part of the query is walked once, and a search meets
 * a node at most once per kind of edge.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "lineage/lineage_internal.h"

void
strata_lineage_graph_init(LineageGraph *graph)
{
	graph->node_count = graph->edge_count = 0;
	graph->node_space = graph->edge_space = 64;
	graph->nodes = palloc(sizeof(LineageNode) * graph->node_space);
	graph->edges = palloc(sizeof(LineageGraphEdge) * graph->edge_space);
}

int
strata_lineage_graph_node(LineageGraph *graph, int relation, AttrNumber attno)
{
	LineageNode *node;

	if (graph->node_count == graph->node_space)
	{
		graph->node_space *= 2;
		graph->nodes = repalloc_huge(graph->nodes, sizeof(LineageNode) * (Size) graph->node_space);
	}
	node = &graph->nodes[graph->node_count];
	node->first_edge = -1;
	node->relation = relation;
	node->attno = attno;
	return graph->node_count++;
}

void
strata_lineage_graph_link(LineageGraph *graph, int from, int to, StrataEdgeKind kind)
{
	LineageGraphEdge *edge;

	if (from < 0 || to < 0 || from == to)
		return;
	if (graph->edge_count == graph->edge_space)
	{
		graph->edge_space *= 2;
		graph->edges = repalloc_huge(graph->edges, sizeof(LineageGraphEdge) * (Size) graph->edge_space);
	}
	edge = &graph->edges[graph->edge_count];
	edge->target = to;
	edge->kind = kind;
	edge->next = graph->nodes[from].first_edge;
	graph->nodes[from].first_edge = graph->edge_count++;
}

void
strata_lineage_search_init(LineageSearch *search, const LineageGraph *graph)
{
	Size nodes = Max(graph->node_count, 1);

	search->stamp = palloc_extended(sizeof(int) * nodes, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	search->best = palloc_extended(sizeof(StrataEdgeKind) * nodes, MCXT_ALLOC_HUGE);
	search->round = 0;
	search->stack_space = search->hit_space = 64;
	search->stack = palloc(sizeof(int) * search->stack_space);
	search->hits = palloc(sizeof(LineageHit) * search->hit_space);
	search->hit_count = 0;
}

static void
search_push(LineageSearch *search, int *depth, int node)
{
	if (*depth == search->stack_space)
	{
		search->stack_space *= 2;
		search->stack = repalloc_huge(search->stack, sizeof(int) * (Size) search->stack_space);
	}
	search->stack[(*depth)++] = node;
}

static int
hit_compare(const void *a, const void *b)
{
	const LineageHit *left = a;
	const LineageHit *right = b;

	if (left->relation != right->relation)
		return left->relation < right->relation ? -1 : 1;
	return (left->attno > right->attno) - (left->attno < right->attno);
}

/*
 * Fill search->hits with the source columns that start is made from, in the
 * order of the relations, then of their columns. The kind of a way is its
 * strongest edge; the kind of a hit is that of its strongest way, so a node
 * met again by a stronger way is searched again: at most three times.
 */
void
strata_lineage_graph_reach(const LineageGraph *graph, LineageSearch *search, int start)
{
	int depth = 0;
	int met = 0;

	search->round++;
	search->hit_count = 0;
	search->stamp[start] = search->round;
	search->best[start] = STRATA_EDGE_COPY;
	search_push(search, &depth, start);
	while (depth > 0)
	{
		int at = search->stack[--depth];
		StrataEdgeKind here = search->best[at];

		if ((++met & 0xffff) == 0)
			CHECK_FOR_INTERRUPTS();
		for (int e = graph->nodes[at].first_edge; e >= 0; e = graph->edges[e].next)
		{
			int to = graph->edges[e].target;
			StrataEdgeKind kind = Max(here, graph->edges[e].kind);
			bool first = search->stamp[to] != search->round;

			if (!first && search->best[to] >= kind)
				continue;
			search->stamp[to] = search->round;
			search->best[to] = kind;
			if (graph->nodes[to].relation < 0)
				search_push(search, &depth, to);
			else if (first)
			{
				if (search->hit_count == search->hit_space)
				{
					search->hit_space *= 2;
					search->hits = repalloc_huge(search->hits, sizeof(LineageHit) * (Size) search->hit_space);
				}
				/* its kind may still rise: keep the node, fill in the rest at the end */
				search->hits[search->hit_count].relation = to;
				search->hit_count++;
			}
		}
	}
	for (int i = 0; i < search->hit_count; i++)
	{
		int leaf = search->hits[i].relation;

		search->hits[i].relation = graph->nodes[leaf].relation;
		search->hits[i].attno = graph->nodes[leaf].attno;
		search->hits[i].kind = search->best[leaf];
	}
	qsort(search->hits, search->hit_count, sizeof(LineageHit), hit_compare);
}
