/*
 * lineage_internal.h
 *		Shared by the files of this room only.
 */
#ifndef STRATA_LINEAGE_INTERNAL_H
#define STRATA_LINEAGE_INTERNAL_H

#include "lineage/lineage.h"
#include "utils/hsearch.h"

/* ---- graph.c: columns as nodes, "is made from" as edges ---- */

typedef struct LineageNode
{
	int first_edge; /* index into edges, -1 for none */
	int relation;   /* index of the relation when the node is one of its columns, else -1 */
	AttrNumber attno;
} LineageNode;

typedef struct LineageGraphEdge
{
	int target;
	int next;
	StrataEdgeKind kind;
} LineageGraphEdge;

typedef struct LineageGraph
{
	LineageNode *nodes;
	int node_count;
	int node_space;
	LineageGraphEdge *edges;
	int edge_count;
	int edge_space;
} LineageGraph;

/* One source column reached from a start node, by the strongest way. */
typedef struct LineageHit
{
	int relation;
	AttrNumber attno;
	StrataEdgeKind kind;
} LineageHit;

/* Work space of strata_lineage_graph_reach, reused from start to start. */
typedef struct LineageSearch
{
	int *stamp; /* per node: the last search that met it */
	StrataEdgeKind *best;
	int round;
	int *stack;
	int stack_space;
	LineageHit *hits;
	int hit_count;
	int hit_space;
} LineageSearch;

extern void strata_lineage_graph_init(LineageGraph *graph);
extern int strata_lineage_graph_node(LineageGraph *graph, int relation, AttrNumber attno);
extern void strata_lineage_graph_link(LineageGraph *graph, int from, int to, StrataEdgeKind kind);
extern void strata_lineage_search_init(LineageSearch *search, const LineageGraph *graph);
extern void strata_lineage_graph_reach(const LineageGraph *graph, LineageSearch *search, int start);

/* ---- functions.c: what is called ---- */

typedef struct LineageCalls
{
	MemoryContext context; /* of the lists */
	List *functions;       /* Oid, not built in */
	List *volatile_oids;
	List *volatile_names;
	List *time_names;
	List *views; /* Oid: views already followed */
	bool has_row_security;
	bool in_view; /* inside a view only volatility and time count */
} LineageCalls;

extern void strata_lineage_calls_note(LineageCalls *calls, Node *node);
extern void strata_lineage_calls_note_sample(LineageCalls *calls, TableSampleClause *sample);
extern void strata_lineage_calls_note_relation(LineageCalls *calls, Oid relid, char relkind);

/* ---- walk.c: a Query into the graph ---- */

typedef struct LineageRelation
{
	StrataReference *reference;
	int natts;
	int *leaves; /* node + 1 per attribute, offset by FirstLowInvalidHeapAttributeNumber */
	char **names;
	int whole_row; /* node + 1 */
} LineageRelation;

typedef struct LineageWalk
{
	MemoryContext result_context;
	LineageGraph graph;
	LineageCalls calls;
	HTAB *by_oid;
	LineageRelation *relations;
	int relation_count;
	int relation_space;
} LineageWalk;

/* Where the columns of one range table entry come from. */
typedef struct LineageEntry
{
	bool ready;
	int column_count;
	int *columns;  /* node + 1 per column, 0 for not made yet (join, group) or none */
	int whole_row; /* node + 1 */
} LineageEntry;

typedef struct LineageCte
{
	CommonTableExpr *cte;
	int column_count;
	int *columns; /* node + 1 */
	int filter;
} LineageCte;

/* One Query while it is walked. */
typedef struct LineageLevel
{
	struct LineageLevel *parent;
	Query *query;
	int filter; /* node that stands for everything that decides which rows */
	int target_count;
	int *targets; /* node + 1 per resno - 1, junk included */
	LineageEntry *entries;
	LineageCte *ctes;
	int cte_count;
} LineageLevel;

extern LineageLevel *strata_lineage_walk_query(LineageWalk *walk, Query *query, LineageLevel *parent);

/* expression.c */
extern void strata_lineage_link_expression(LineageWalk *walk, LineageLevel *level, int sink, Node *expression,
										   StrataEdgeKind kind);
/* walk.c, for expression.c */
extern int strata_lineage_column_node(LineageWalk *walk, LineageLevel *level, Index rti, AttrNumber attno);
extern void strata_lineage_link_sort_clauses(LineageWalk *walk, LineageLevel *level, int sink, List *clauses,
											 StrataEdgeKind kind);

#endif /* STRATA_LINEAGE_INTERNAL_H */
