/*
 * plan_internal.h: what the files of this room share.
 */
#ifndef STRATA_PLAN_INTERNAL_H
#define STRATA_PLAN_INTERNAL_H

#include "plan/plan.h"

typedef struct StrataNode
{
	StrataModel *model;
	int *reads; /* nodes it reads */
	int n_reads;
	int *readers; /* nodes that read it */
	int n_readers;
	bool visible;
	bool owned;
	bool stale; /* strata_plan_mark_stale */
	int circle; /* the same in nodes that read each other in a circle; 0: in none */
} StrataNode;

typedef struct StrataGraph
{
	int n;
	StrataNode *nodes;
	int *by_name; /* nodes sorted by schema, name */
	bool quiet;   /* what chooses nothing is no notice */
} StrataGraph;

extern StrataGraph *strata_plan_graph(List *models);
/* The whole registry, with the caller's rights marked. */
extern StrataGraph *strata_plan_load_graph(void);
extern int strata_plan_node(const StrataGraph *graph, const char *schema, const char *name); /* -1 when absent */
/*
 * Nodes in topological order; the number chosen (all of them with chosen NULL). levels, by node, counts chosen nodes only:
 * reading a chosen node, even through others, puts a node above it. With chosen, what is chosen is meant to be refreshed, and
 * readers of a dimension are above the facts that add members to it, where that can be. Both arrays hold graph->n.
 * Nodes of one circle have no order among themselves: by name, as far as edges are concerned.
 */
extern int strata_plan_sort(const StrataGraph *graph, const bool *chosen, int *order, int *levels);
/* An error when a chosen node is in a circle: what others have closed is no matter of a run that does not choose it. */
extern void strata_plan_refuse_circles(const StrataGraph *graph, const bool *chosen);
/* By node, the nodes (int) to be refreshed after it because it adds members to what they read; NULL: there are none. */
extern List **strata_plan_after_inferring(const StrataGraph *graph, const bool *chosen, const int *order, int n);
extern void strata_plan_mark_stale(StrataGraph *graph);

extern bool strata_plan_is_view(const StrataModel *model);
extern bool strata_plan_is_broken(const StrataModel *model);
extern bool strata_plan_is_new(const StrataModel *model);
extern bool strata_plan_is_modified(const StrataModel *model);

/* Which nodes the selectors choose: an array of graph->n. */
extern bool *strata_plan_choose(StrataGraph *graph, const char *models, const char *exclude, bool owned_only);

#endif /* STRATA_PLAN_INTERNAL_H */
