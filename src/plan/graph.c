/*
 * graph.c: models as nodes, what they read as edges; order and cycles.
 *
 * Edges are found by name, as the registry keeps them; what a model reads through views, rejected rows and parts of targets, the registry
 * has found in the catalogs. Nothing recurses: a chain may be as long as the registry.
 */
#include "postgres.h"

#include "guard/guard.h"
#include "miscadmin.h"
#include "plan/plan_internal.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

static int
compare_names(const char *schema_a, const char *name_a, const char *schema_b, const char *name_b)
{
	int c = strcmp(schema_a, schema_b);

	return c != 0 ? c : strcmp(name_a, name_b);
}

static int
by_name(const void *a, const void *b, void *arg)
{
	const StrataNode *nodes = arg;
	const StrataModel *x = nodes[*(const int *) a].model;
	const StrataModel *y = nodes[*(const int *) b].model;

	return compare_names(x->schema, x->name, y->schema, y->name);
}

int
strata_plan_node(const StrataGraph *graph, const char *schema, const char *name)
{
	int low = 0;
	int high = graph->n - 1;

	while (low <= high)
	{
		int middle = low + (high - low) / 2;
		const StrataModel *m = graph->nodes[graph->by_name[middle]].model;
		int c = compare_names(schema, name, m->schema, m->name);

		if (c == 0)
			return graph->by_name[middle];
		if (c < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return -1;
}

static void
add_read(StrataGraph *graph, StrataNode *node, const StrataDependency *d)
{
	int read = strata_plan_node(graph, d->schema, d->name);

	if (read < 0)
		return;
	for (int r = 0; r < node->n_reads; r++)
		if (node->reads[r] == read)
			return;
	node->reads[node->n_reads++] = read;
	graph->nodes[read].n_readers++;
}

/*
 * Which nodes read each other in a circle: those of one circle, or of several that share a node, get the same number. The strongly
 * connected components of the graph, by Tarjan's algorithm with a stack of its own.
 */
static void
find_circles(StrataGraph *graph)
{
	int *number = palloc0(sizeof(int) * Max(1, graph->n)); /* in the order in which they are reached, from 1 */
	int *lowest = palloc(sizeof(int) * Max(1, graph->n));
	int *next = palloc0(sizeof(int) * Max(1, graph->n)); /* which of its reads is followed next */
	int *way = palloc(sizeof(int) * Max(1, graph->n));
	int *open = palloc(sizeof(int) * Max(1, graph->n));
	bool *is_open = palloc0(sizeof(bool) * Max(1, graph->n));
	int n_open = 0;
	int reached = 0;

	for (int start = 0; start < graph->n; start++)
	{
		int depth = 0;

		if (number[start] != 0)
			continue;
		way[depth++] = start;
		while (depth > 0)
		{
			int i = way[depth - 1];
			StrataNode *node = &graph->nodes[i];

			if (number[i] == 0)
			{
				CHECK_FOR_INTERRUPTS();
				number[i] = lowest[i] = ++reached;
				open[n_open++] = i;
				is_open[i] = true;
			}
			if (next[i] < node->n_reads)
			{
				int read = node->reads[next[i]++];

				if (number[read] == 0)
					way[depth++] = read;
				else if (is_open[read])
					lowest[i] = Min(lowest[i], number[read]);
				if (read == i)
					node->circle = number[i];
				continue;
			}
			depth--;
			if (depth > 0)
				lowest[way[depth - 1]] = Min(lowest[way[depth - 1]], lowest[i]);
			if (lowest[i] < number[i])
				continue;
			if (open[n_open - 1] != i)
				for (int o = n_open - 1; o >= 0 && number[open[o]] >= number[i]; o--)
					graph->nodes[open[o]].circle = number[i];
			do
				is_open[open[--n_open]] = false;
			while (open[n_open] != i);
		}
	}
	pfree(number);
	pfree(lowest);
	pfree(next);
	pfree(way);
	pfree(open);
	pfree(is_open);
}

StrataGraph *
strata_plan_graph(List *models)
{
	StrataGraph *graph = palloc0(sizeof(StrataGraph));
	ListCell *lc;

	graph->nodes = palloc0(sizeof(StrataNode) * Max(1, list_length(models)));
	graph->by_name = palloc(sizeof(int) * Max(1, list_length(models)));
	foreach (lc, models)
	{
		graph->nodes[graph->n].model = lfirst(lc);
		graph->by_name[graph->n] = graph->n;
		graph->n++;
	}
	qsort_arg(graph->by_name, graph->n, sizeof(int), by_name, graph->nodes);

	for (int i = 0; i < graph->n; i++)
	{
		StrataNode *node = &graph->nodes[i];
		int most = list_length(node->model->dependencies);
		ListCell *lc2;

		foreach (lc, node->model->dependencies)
			most += list_length(((StrataDependency *) lfirst(lc))->beneath);
		node->reads = palloc(sizeof(int) * Max(1, most));
		foreach (lc, node->model->dependencies)
		{
			const StrataDependency *d = lfirst(lc);

			add_read(graph, node, d);
			foreach (lc2, d->beneath)
				add_read(graph, node, lfirst(lc2));
		}
	}
	for (int i = 0; i < graph->n; i++)
	{
		graph->nodes[i].readers = palloc(sizeof(int) * Max(1, graph->nodes[i].n_readers));
		graph->nodes[i].n_readers = 0;
	}
	for (int i = 0; i < graph->n; i++)
		for (int r = 0; r < graph->nodes[i].n_reads; r++)
		{
			StrataNode *read = &graph->nodes[graph->nodes[i].reads[r]];

			read->readers[read->n_readers++] = i;
		}
	find_circles(graph);
	return graph;
}

StrataGraph *
strata_plan_load_graph(void)
{
	StrataGraph *graph = strata_plan_graph(strata_registry_models());
	bool super = superuser();

	for (int i = 0; i < graph->n; i++)
	{
		StrataNode *node = &graph->nodes[i];

		node->owned = super || (OidIsValid(node->model->relid) && has_privs_of_role(GetUserId(), node->model->owner));
		node->visible = node->owned;
	}
	if (!super)
	{
		/* what the views show: one meaning of "may see" everywhere */
		StrataRows *rows = strata_base_query("SELECT id FROM strata.models", NULL);
		bool *seen;
		int max_id = 0;

		for (int i = 0; i < graph->n; i++)
			max_id = Max(max_id, graph->nodes[i].model->id);
		seen = palloc0(sizeof(bool) * (max_id + 1));
		for (uint64 r = 0; r < rows->count; r++)
			if (strata_rows_int(rows, r, 1) <= max_id)
				seen[strata_rows_int(rows, r, 1)] = true;
		for (int i = 0; i < graph->n; i++)
			graph->nodes[i].visible |= seen[graph->nodes[i].model->id];
	}
	return graph;
}

static bool
is_model(const StrataDependency *d, const StrataModel *model)
{
	return compare_names(d->schema, d->name, model->schema, model->name) == 0;
}

/* Through which of these the model is read: itself, when it is. */
static const StrataDependency *
way_to(const List *dependencies, const StrataModel *model)
{
	const StrataDependency *found = NULL;
	ListCell *lc;
	ListCell *lc2;

	foreach (lc, dependencies)
	{
		const StrataDependency *d = lfirst(lc);

		if (is_model(d, model))
			return d;
		foreach (lc2, found ? NIL : d->beneath)
			if (is_model(lfirst(lc2), model))
				found = d;
	}
	return found;
}

/* One more in a row of labels, each reading the next, with what the one before reads it through. */
static List *
add_to_path(List *path, const List *dependencies, const StrataModel *model)
{
	const StrataDependency *d = way_to(dependencies, model);

	if (d && !is_model(d, model))
		path = lappend(path, strata_base_label(d->schema, d->name));
	return lappend(path, model->label);
}

typedef struct SortKey
{
	int node;
	int level;
	const StrataModel *model;
} SortKey;

static int
by_level(const void *a, const void *b)
{
	const SortKey *x = a;
	const SortKey *y = b;

	if (x->level != y->level)
		return x->level < y->level ? -1 : 1;
	return compare_names(x->model->schema, x->model->name, y->model->schema, y->model->name);
}

/* Only DDL past the guard closes a circle. Its edges give no order. */
static bool
in_one_circle(const StrataGraph *graph, int a, int b)
{
	return graph->nodes[a].circle != 0 && graph->nodes[a].circle == graph->nodes[b].circle;
}

/* Nodes of which all that comes before is done get their level, one after another; whether all have one. */
static bool
find_levels(const StrataGraph *graph, const bool *chosen, List *const *later, int *levels)
{
	int *waiting = palloc(sizeof(int) * Max(1, graph->n));
	int *queue = palloc(sizeof(int) * Max(1, graph->n));
	int head = 0;
	int tail = 0;
	ListCell *lc;

	for (int i = 0; i < graph->n; i++)
	{
		waiting[i] = 0;
		for (int r = 0; r < graph->nodes[i].n_reads; r++)
			if (!in_one_circle(graph, i, graph->nodes[i].reads[r]))
				waiting[i]++;
		levels[i] = 1;
	}
	for (int i = 0; later && i < graph->n; i++)
		foreach (lc, later[i])
			waiting[lfirst_int(lc)]++;
	for (int i = 0; i < graph->n; i++)
		if (waiting[i] == 0)
			queue[tail++] = i;
	while (head < tail)
	{
		int i = queue[head++];
		int above = levels[i] + (chosen == NULL || chosen[i] ? 1 : 0);

		for (int r = 0; r < graph->nodes[i].n_readers; r++)
		{
			int reader = graph->nodes[i].readers[r];

			if (in_one_circle(graph, i, reader))
				continue;
			levels[reader] = Max(levels[reader], above);
			if (--waiting[reader] == 0)
				queue[tail++] = reader;
		}
		foreach (lc, later ? later[i] : NIL)
		{
			int follower = lfirst_int(lc);

			levels[follower] = Max(levels[follower], above);
			if (--waiting[follower] == 0)
				queue[tail++] = follower;
		}
	}
	return tail == graph->n;
}

static int
sort_by_level(const StrataGraph *graph, const bool *chosen, const int *levels, int *order)
{
	SortKey *keys = palloc(sizeof(SortKey) * Max(1, graph->n));
	int n_chosen = 0;

	for (int i = 0; i < graph->n; i++)
	{
		if (chosen && !chosen[i])
			continue;
		keys[n_chosen].node = i;
		keys[n_chosen].level = levels[i];
		keys[n_chosen].model = graph->nodes[i].model;
		n_chosen++;
	}
	qsort(keys, n_chosen, sizeof(SortKey), by_level);
	for (int i = 0; i < n_chosen; i++)
		order[i] = keys[i].node;
	return n_chosen;
}

int
strata_plan_sort(const StrataGraph *graph, const bool *chosen, int *order, int *levels)
{
	int n_chosen;
	List **later;

	if (!find_levels(graph, chosen, NULL, levels))
		elog(ERROR, "the graph of models could not be sorted");
	n_chosen = sort_by_level(graph, chosen, levels, order);
	later = chosen ? strata_plan_after_inferring(graph, chosen, order, n_chosen) : NULL;
	if (later)
	{
		if (!find_levels(graph, chosen, later, levels))
			elog(ERROR, "what comes after facts closes a circle");
		sort_by_level(graph, chosen, levels, order);
	}
	return n_chosen;
}

List *
strata_plan_readers(const StrataModel *model)
{
	StrataGraph *graph = strata_plan_graph(strata_registry_models());
	bool *chosen = palloc0(sizeof(bool) * Max(1, graph->n));
	int *queue = palloc(sizeof(int) * Max(1, graph->n));
	int *levels = palloc(sizeof(int) * Max(1, graph->n));
	int start = strata_plan_node(graph, model->schema, model->name);
	int head = 0;
	int tail = 0;
	int n;
	List *result = NIL;

	if (start < 0)
		return NIL;
	chosen[start] = true;
	queue[tail++] = start;
	while (head < tail)
	{
		const StrataNode *node = &graph->nodes[queue[head++]];

		for (int r = 0; r < node->n_readers; r++)
		{
			if (chosen[node->readers[r]])
				continue;
			chosen[node->readers[r]] = true;
			queue[tail++] = node->readers[r];
		}
	}
	(void) find_levels(graph, NULL, NULL, levels);
	chosen[start] = false;
	n = sort_by_level(graph, chosen, levels, queue);
	for (int i = 0; i < n; i++)
		result = lappend(result, graph->nodes[queue[i]].model);
	return result;
}

/* ---- cycles that a definition would close ---- */

/* One statement that costs next to nothing for a model that nobody reads yet, as when a warehouse is first defined. */
static bool
read_by_its_sources(const StrataModel *model, const List *dependencies)
{
	StrataArgs args = {0};
	List *schemas = NIL;
	List *names = NIL;
	ListCell *lc;

	foreach (lc, dependencies)
	{
		const StrataDependency *d = lfirst(lc);

		schemas = lappend(schemas, d->schema);
		names = lappend(names, d->name);
	}
	strata_args_text(&args, model->schema);
	strata_args_text(&args, model->name);
	strata_args_texts(&args, schemas);
	strata_args_texts(&args, names);
	return strata_rows_bool(
		strata_base_keeper_query(
			"WITH RECURSIVE up (schema_name, relation_name) AS ("
			"  SELECT s, n FROM unnest($3::name[], $4::name[]) AS u(s, n)"
			"  WHERE EXISTS (SELECT FROM strata_state.dependency d"
			"                WHERE d.schema_name = $1::name AND d.relation_name = $2::name)"
			" UNION"
			"  SELECT d.schema_name, d.relation_name FROM up"
			"  JOIN strata_state.model m USING (schema_name, relation_name)"
			"  JOIN strata_state.dependency d ON d.model_id = m.id)"
			" SELECT EXISTS (SELECT FROM up WHERE schema_name = $1::name AND relation_name = $2::name)",
			&args),
		0, 1);
}

/* Breadth first from what it reads, so that the shortest circle is the one shown. */
static List *
find_cycle(const StrataGraph *graph, const StrataModel *model, const List *dependencies)
{
	int *from = palloc(sizeof(int) * Max(1, graph->n));
	int *queue = palloc(sizeof(int) * Max(1, graph->n));
	int head = 0;
	int tail = 0;
	ListCell *lc;
	ListCell *lc2;

	for (int i = 0; i < graph->n; i++)
		from[i] = -2; /* not reached */
	foreach (lc, dependencies)
	{
		List *models = list_concat(list_make1(lfirst(lc)), ((StrataDependency *) lfirst(lc))->beneath);

		foreach (lc2, models)
		{
			const StrataDependency *d = lfirst(lc2);
			int node = strata_plan_node(graph, d->schema, d->name);

			if (node >= 0 && from[node] == -2)
			{
				from[node] = -1;
				queue[tail++] = node;
			}
		}
	}
	while (head < tail)
	{
		int i = queue[head++];
		const StrataNode *node = &graph->nodes[i];

		CHECK_FOR_INTERRUPTS();
		if (way_to(node->model->dependencies, model))
		{
			List *path = list_make1(model->label);
			List *nodes = NIL;
			const List *read = dependencies;

			for (int at = i; at >= 0; at = from[at])
				nodes = lcons_int(at, nodes);
			foreach (lc, nodes)
			{
				path = add_to_path(path, read, graph->nodes[lfirst_int(lc)].model);
				read = graph->nodes[lfirst_int(lc)].model->dependencies;
			}
			return add_to_path(path, read, model);
		}
		for (int r = 0; r < node->n_reads; r++)
		{
			if (from[node->reads[r]] == -2)
			{
				from[node->reads[r]] = i;
				queue[tail++] = node->reads[r];
			}
		}
	}
	return NIL;
}

List *
strata_plan_cycle(const StrataModel *model, List *dependencies)
{
	strata_registry_see_through(dependencies);
	if (way_to(dependencies, model))
		return add_to_path(list_make1(model->label), dependencies, model);
	if (dependencies == NIL || (!strata_registry_may_be_shown(model) && !read_by_its_sources(model, dependencies)))
		return NIL;
	return find_cycle(strata_plan_graph(strata_registry_models()), model, dependencies);
}

/* Labels for the caller: a model that only others may see has no name, nor has what it reads the next through. */
static List *
hide_others(const StrataGraph *graph, const List *path)
{
	List *result = NIL;
	bool after_other = false;
	ListCell *lc;

	foreach (lc, path)
	{
		const StrataNode *node = NULL;

		for (int i = 0; i < graph->n && node == NULL; i++)
			if (strcmp(graph->nodes[i].model->label, lfirst(lc)) == 0)
				node = &graph->nodes[i];
		if (node && node->visible)
			result = lappend(result, lfirst(lc));
		else if (node)
			result = lappend(result, "a model of another role");
		else if (!after_other)
			result = lappend(result, lfirst(lc));
		after_other = node ? !node->visible : after_other;
	}
	return result;
}

void
strata_plan_refuse_circles(const StrataGraph *graph, const bool *chosen)
{
	for (int n = 0; n < graph->n; n++)
	{
		int i = graph->by_name[n];
		const StrataModel *model = graph->nodes[i].model;
		List *path;

		if (!chosen[i] || graph->nodes[i].circle == 0)
			continue;
		path = way_to(model->dependencies, model) ? add_to_path(list_make1(model->label), model->dependencies, model)
												  : find_cycle(graph, model, model->dependencies);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_RECURSION), errmsg("models read each other in a circle"),
				 errdetail("%s.", strata_base_join(hide_others(graph, path), " reads ")),
				 errhint("Change the definition of one of them so that it does not read the next, undo what closed the "
						 "circle (a view replaced, a table inherited), or leave them out with exclude.")));
	}
}

/* A view of a user was replaced: does a model read itself through it now? */
static void
check_view(Oid view)
{
	StrataGraph *graph = strata_plan_graph(strata_registry_models());

	for (int i = 0; i < graph->n; i++)
	{
		StrataModel *model = graph->nodes[i].model;
		List *through = NIL;
		List *cycle;
		ListCell *lc;

		foreach (lc, model->dependencies)
			if (list_member_oid(((StrataDependency *) lfirst(lc))->views, view))
				through = lappend(through, lfirst(lc));
		if (through == NIL)
			continue;
		cycle = way_to(through, model) ? add_to_path(list_make1(model->label), through, model)
									   : find_cycle(graph, model, through);
		if (cycle != NIL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_RECURSION),
							errmsg("cannot replace view %s: model %s would read itself through it",
								   strata_base_label(get_namespace_name(get_rel_namespace(view)), get_rel_name(view)),
								   model->label),
							errdetail("The cycle: %s.", strata_base_join(cycle, " -> ")),
							errhint("A superuser can SET strata.guard_enforce = off; models of the cycle "
									"cannot be refreshed then until it is broken.")));
	}
}

void
strata_plan_init(void)
{
	strata_guard_view_hook = check_view;
}
