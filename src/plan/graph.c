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

/* Called when some nodes could not be sorted: each of them waits for another, so following those closes a circle. */
static void
report_cycle(const StrataGraph *graph, const int *waiting)
{
	int *seen_at = palloc0(sizeof(int) * graph->n);
	List *circle = NIL;
	List *path;
	int node = 0;

	while (waiting[node] == 0)
		node++;
	while (seen_at[node] == 0)
	{
		circle = lappend_int(circle, node);
		seen_at[node] = list_length(circle);
		for (int r = 0; r < graph->nodes[node].n_reads; r++)
		{
			if (waiting[graph->nodes[node].reads[r]] > 0)
			{
				node = graph->nodes[node].reads[r];
				break;
			}
		}
	}
	circle = lappend_int(list_copy_tail(circle, seen_at[node] - 1), node);
	path = list_make1(graph->nodes[node].model->label);
	for (int i = 1; i < list_length(circle); i++)
		path = add_to_path(path, graph->nodes[list_nth_int(circle, i - 1)].model->dependencies,
						   graph->nodes[list_nth_int(circle, i)].model);
	ereport(ERROR, (errcode(ERRCODE_INVALID_RECURSION), errmsg("models read each other in a circle"),
					errdetail("%s.", strata_base_join(path, " reads ")),
					errhint("Change the definition of one of them so that it does not read the next.")));
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

/* Nodes of which all that comes before is done get their level, one after another; NULL, or what the rest waits for. */
static int *
find_levels(const StrataGraph *graph, const bool *chosen, List *const *later, int *levels)
{
	int *waiting = palloc(sizeof(int) * Max(1, graph->n));
	int *queue = palloc(sizeof(int) * Max(1, graph->n));
	int head = 0;
	int tail = 0;
	ListCell *lc;

	for (int i = 0; i < graph->n; i++)
	{
		waiting[i] = graph->nodes[i].n_reads;
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
	return tail < graph->n ? waiting : NULL;
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
	int *waiting = find_levels(graph, chosen, NULL, levels);
	int n_chosen;
	List **later;

	if (waiting)
		report_cycle(graph, waiting);
	n_chosen = sort_by_level(graph, chosen, levels, order);
	later = chosen ? strata_plan_after_inferring(graph, chosen, order, n_chosen) : NULL;
	if (later)
	{
		if (find_levels(graph, chosen, later, levels))
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
	/* a circle, which only DDL past the guard can close, is no reason not to drop what is in it */
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
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_RECURSION),
					 errmsg("cannot replace view %s: model %s would read itself through it",
							strata_base_label(get_namespace_name(get_rel_namespace(view)), get_rel_name(view)),
							model->label),
					 errdetail("The cycle: %s.", strata_base_join(cycle, " -> ")),
					 errhint("A superuser can SET strata.guard_enforce = off; no model can be refreshed then until the "
							 "cycle is broken.")));
	}
}

void
strata_plan_init(void)
{
	strata_guard_view_hook = check_view;
}
