/*
 * inferred.c: what is to be refreshed after a fact because the fact adds members to a dimension.
 *
 * A fact with "missing": "infer" reads its dimension and writes to it. What else reads the dimension would be computed without the
 * members if it came first, so it comes after the fact: beside the edges of the graph there is one from the fact to each such
 * reader, unless the fact itself needs that reader.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "plan/plan_internal.h"

typedef struct Lookups
{
	List *inferring; /* dimensions, as nodes, that the fact adds members to */
	List *others;    /* dimensions that it looks up as they are */
} Lookups;

/* The registry keeps the text that was given: schema.name, or the name alone. */
static int
dimension_node(const StrataGraph *graph, const StrataNode *fact, const char *text)
{
	StrataName name = strata_base_parse_name(text, "dimension");

	if (name.schema)
		return strata_plan_node(graph, name.schema, name.name);
	for (int r = 0; r < fact->n_reads; r++)
	{
		const StrataModel *m = graph->nodes[fact->reads[r]].model;

		if (m->layer == STRATA_DIMENSION && strcmp(m->name, name.name) == 0)
			return fact->reads[r];
	}
	return -1;
}

static Lookups
read_lookups(const StrataGraph *graph, const StrataNode *fact)
{
	Jsonb *all = strata_option_object(fact->model->options, "dimensions");
	Lookups found = {NIL, NIL};
	ListCell *lc;

	foreach (lc, strata_option_names(all))
	{
		Jsonb *lookup = strata_option_object(all, lfirst(lc));
		char *text = strata_option_text(lookup, "dimension");
		char *missing = strata_option_text(lookup, "missing");
		int dimension = text ? dimension_node(graph, fact, text) : -1;

		if (dimension < 0)
			continue;
		if (missing && strcmp(missing, "infer") == 0)
			found.inferring = list_append_unique_int(found.inferring, dimension);
		else
			found.others = list_append_unique_int(found.others, dimension);
	}
	return found;
}

static bool
queries(const StrataModel *model, const StrataModel *read)
{
	ListCell *lc;
	ListCell *lc2;

	foreach (lc, model->dependencies)
	{
		const StrataDependency *d = lfirst(lc);

		if (strcmp(d->name, read->name) == 0 && strcmp(d->schema, read->schema) == 0 && strcmp(d->via, "query") == 0)
			return true;
		foreach (lc2, d->beneath)
			if (((StrataDependency *) lfirst(lc2))->model_id == read->id)
				return true;
	}
	return false;
}

/*
 * The chosen tables that read a dimension, themselves or through views, which keep nothing. A fact that only adds members finds
 * all its keys, whoever else adds some: it does not hang on the others.
 */
static List *
readers_of(const StrataGraph *graph, int dimension, const bool *chosen, const Lookups *lookups)
{
	bool *seen = palloc0(sizeof(bool) * graph->n);
	List *queue = list_make1_int(dimension);
	List *found = NIL;

	for (int at = 0; at < list_length(queue); at++)
	{
		int i = list_nth_int(queue, at);
		const StrataNode *node = &graph->nodes[i];

		CHECK_FOR_INTERRUPTS();
		for (int r = 0; r < node->n_readers; r++)
		{
			int reader = node->readers[r];
			const StrataModel *m = graph->nodes[reader].model;

			if (seen[reader])
				continue;
			if (i == dimension && list_member_int(lookups[reader].inferring, dimension) &&
				!list_member_int(lookups[reader].others, dimension) && !queries(m, node->model))
				continue;
			seen[reader] = true;
			if (strata_plan_is_view(m))
				queue = lappend_int(queue, reader);
			else if (chosen[reader])
				found = lappend_int(found, reader);
		}
	}
	pfree(seen);
	return found;
}

/* What is to be refreshed before a node, by the graph or because it was put after a fact. */
static bool *
before(const StrataGraph *graph, int start, List *const *earlier)
{
	bool *found = palloc0(sizeof(bool) * graph->n);
	List *queue = list_make1_int(start);

	for (int at = 0; at < list_length(queue); at++)
	{
		int i = list_nth_int(queue, at);
		List *above = list_copy(earlier[i]);
		ListCell *lc;

		CHECK_FOR_INTERRUPTS();
		for (int r = 0; r < graph->nodes[i].n_reads; r++)
			above = lappend_int(above, graph->nodes[i].reads[r]);
		foreach (lc, above)
		{
			if (found[lfirst_int(lc)])
				continue;
			found[lfirst_int(lc)] = true;
			queue = lappend_int(queue, lfirst_int(lc));
		}
		list_free(above);
	}
	list_free(queue);
	return found;
}

List **
strata_plan_after_inferring(const StrataGraph *graph, const bool *chosen, const int *order, int n)
{
	Lookups *lookups = palloc0(sizeof(Lookups) * Max(1, graph->n));
	List **earlier;
	List **later;
	bool any = false;

	for (int i = 0; i < n; i++)
	{
		if (graph->nodes[order[i]].model->layer != STRATA_FACT)
			continue;
		lookups[order[i]] = read_lookups(graph, &graph->nodes[order[i]]);
		any |= lookups[order[i]].inferring != NIL;
	}
	if (!any)
		return NULL;
	earlier = palloc0(sizeof(List *) * graph->n);
	later = palloc0(sizeof(List *) * graph->n);
	for (int i = 0; i < n; i++)
	{
		int fact = order[i];
		bool *needed;
		ListCell *lc;

		if (lookups[fact].inferring == NIL)
			continue;
		needed = before(graph, fact, earlier);
		foreach (lc, lookups[fact].inferring)
		{
			ListCell *lc2;

			foreach (lc2, readers_of(graph, lfirst_int(lc), chosen, lookups))
			{
				int reader = lfirst_int(lc2);

				/*
				 * No circle closes: it would need a way from the reader to the fact, and then the fact needs the reader.
				 * Edges that begin at the fact change nothing of what it needs, so that is found once for all of them.
				 */
				if (reader == fact || needed[reader] || list_member_int(later[fact], reader))
					continue;
				later[fact] = lappend_int(later[fact], reader);
				earlier[reader] = lappend_int(earlier[reader], fact);
			}
		}
		pfree(needed);
	}
	return later;
}
