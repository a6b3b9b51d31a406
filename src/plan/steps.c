/*
 * steps.c: what a refresh would do to each chosen model, and why.
 */
#include "postgres.h"

#include "plan/plan_internal.h"

#define NAMES_SHOWN 3

bool
strata_plan_is_view(const StrataModel *model)
{
	return strcmp(model->kind, "view") == 0;
}

/* Its target was dropped, or something that its definition reads: both only past the guard. */
bool
strata_plan_is_broken(const StrataModel *model)
{
	return !OidIsValid(model->relid) || (model->pending && strncmp(model->pending, "broken", 6) == 0);
}

bool
strata_plan_is_new(const StrataModel *model)
{
	return model->applied_version == 0 && !strata_plan_is_view(model);
}

bool
strata_plan_is_modified(const StrataModel *model)
{
	if (strata_plan_is_view(model))
		return model->pending != NULL;
	return model->applied_version < model->version;
}

/*
 * Stale: not as its definition and what it reads are known to be now. That is a definition not applied yet, a result that
 * depends on the time of the run, or a model before it that is stale or has changed since. A view keeps nothing: it hands
 * on what is before it. What happens in sources is not known here.
 */
void
strata_plan_mark_stale(StrataGraph *graph)
{
	int *order = palloc(sizeof(int) * Max(1, graph->n));
	int *levels = palloc(sizeof(int) * Max(1, graph->n));
	TimestampTz *changed_at = palloc0(sizeof(TimestampTz) * Max(1, graph->n));
	bool *unsure = palloc0(sizeof(bool) * Max(1, graph->n));

	strata_plan_sort(graph, NULL, order, levels);
	for (int i = 0; i < graph->n; i++)
	{
		StrataNode *node = &graph->nodes[order[i]];
		const StrataModel *m = node->model;
		bool view = strata_plan_is_view(m);
		TimestampTz latest = 0;
		bool from_above = false;

		for (int r = 0; r < node->n_reads; r++)
		{
			latest = Max(latest, changed_at[node->reads[r]]);
			from_above |= unsure[node->reads[r]];
		}
		if (view)
		{
			changed_at[order[i]] = latest;
			unsure[order[i]] = from_above || m->time_dependent || strata_plan_is_modified(m);
			node->stale = strata_plan_is_modified(m) || strata_plan_is_broken(m);
			continue;
		}
		node->stale = strata_plan_is_modified(m) || strata_plan_is_broken(m) || m->time_dependent || from_above ||
					  latest > m->refreshed_at;
		changed_at[order[i]] = m->changed_at;
		unsure[order[i]] = node->stale;
	}
}

/* ---- reasons ---- */

static char *
some_names(const List *names)
{
	StringInfoData buf;
	int n = list_length(names);
	int shown = n > NAMES_SHOWN + 1 ? NAMES_SHOWN : n;

	initStringInfo(&buf);
	for (int i = 0; i < shown; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", (char *) list_nth(names, i));
	if (n > shown)
		appendStringInfo(&buf, " and %d more", n - shown);
	return buf.data;
}

typedef struct Inputs
{
	List *sources; /* labels of what is no model */
	List *before;  /* models refreshed in this plan */
	List *changed; /* models changed since, outside of this plan */
	List *unbuilt; /* models never built, outside of this plan */
	bool clock;
} Inputs;

typedef struct Collecting
{
	const StrataGraph *graph;
	const bool *chosen;
	const StrataModel *model;
	Inputs *in;
	List *queue; /* nodes whose dependencies are looked at */
	List *seen;  /* labels */
} Collecting;

static void
collect_one(Collecting *c, const StrataDependency *d)
{
	int read = strata_plan_node(c->graph, d->schema, d->name);
	const StrataModel *other = read < 0 ? NULL : c->graph->nodes[read].model;
	char *label = read < 0 ? strata_base_label(d->schema, d->name) : other->label;
	Inputs *in = c->in;

	if (strata_base_list_has(c->seen, label))
		return;
	c->seen = lappend(c->seen, label);
	if (other == NULL && d->beneath != NIL && !d->shows_others)
		return;
	if (other == NULL)
		in->sources = lappend(in->sources, label);
	else if (strata_plan_is_view(other))
	{
		in->clock |= other->time_dependent;
		c->queue = lappend_int(c->queue, read);
	}
	else if (c->chosen[read])
		in->before = lappend(in->before, label);
	else if (other->applied_version == 0)
		in->unbuilt = lappend(in->unbuilt, label);
	else if (other->changed_at > c->model->refreshed_at)
		in->changed = lappend(in->changed, label);
}

/* What reaches a model, looking through views: they keep nothing, so what is behind them is what it reads. */
static void
collect(const StrataGraph *graph, int start, const bool *chosen, Inputs *in)
{
	Collecting c = {graph, chosen, graph->nodes[start].model, in, list_make1_int(start), NIL};

	in->clock = c.model->time_dependent;
	for (int at = 0; at < list_length(c.queue); at++)
	{
		ListCell *lc;
		ListCell *lc2;

		foreach (lc, graph->nodes[list_nth_int(c.queue, at)].model->dependencies)
		{
			const StrataDependency *d = lfirst(lc);

			collect_one(&c, d);
			foreach (lc2, d->beneath)
				collect_one(&c, lfirst(lc2));
		}
	}
}

static char *
refresh_reason(const Inputs *in)
{
	List *why = NIL;
	int n = list_length(in->sources);

	if (n > 0)
		why = lappend(
			why, psprintf("%d %s may have changed: %s", n, n == 1 ? "source" : "sources", some_names(in->sources)));
	if (in->before != NIL)
		why = lappend(why, psprintf("reads %s, refreshed before it", some_names(in->before)));
	if (in->changed != NIL)
		why = lappend(why, psprintf("reads %s, changed since", some_names(in->changed)));
	if (in->clock)
		why = lappend(why, "depends on the time of the run");
	if (why == NIL)
		why = lappend(why, "no change is known in what it reads");
	return psprintf("changes applied (%s)", strata_base_join(why, "; "));
}

static void
decide(const StrataGraph *graph, int at, const bool *chosen, bool full_rebuild, StrataPlanStep *step)
{
	const StrataModel *m = graph->nodes[at].model;
	Inputs in = {0};

	if (strata_plan_is_broken(m))
	{
		step->action = "broken";
		step->reason = OidIsValid(m->relid) ? m->pending : "broken: its target does not exist";
		return;
	}
	if (strata_plan_is_view(m))
	{
		step->action = m->pending ? "rebuild" : "nothing";
		step->reason = m->pending ? m->pending : "a view: always current";
		return;
	}
	collect(graph, at, chosen, &in);
	if (m->applied_version == 0)
	{
		step->action = "build";
		step->reason = "never built";
	}
	else if (m->applied_version < m->version || m->pending)
	{
		step->action = "rebuild";
		step->reason = m->pending ? m->pending : "definition changed";
	}
	else if (full_rebuild)
	{
		step->action = "rebuild";
		step->reason = "full rebuild asked for";
	}
	else
	{
		step->action = "refresh";
		step->reason = refresh_reason(&in);
	}
	step->unbuilt = in.unbuilt;
	if (in.unbuilt != NIL)
		step->reason = psprintf("%s; a refresh would refuse: reads %s, never built and not chosen", step->reason,
								some_names(in.unbuilt));
}

static List *
make_plan(const char *models, const char *exclude, bool full_rebuild, bool quiet)
{
	StrataGraph *graph = strata_plan_load_graph();
	bool *chosen;
	int *order = palloc(sizeof(int) * Max(1, graph->n));
	int *levels = palloc(sizeof(int) * Max(1, graph->n));
	int n;
	List *steps = NIL;

	graph->quiet = quiet;
	chosen = strata_plan_choose(graph, models, exclude, true);
	strata_plan_refuse_circles(graph, chosen);
	n = strata_plan_sort(graph, chosen, order, levels);
	for (int i = 0; i < n; i++)
	{
		StrataPlanStep *step = palloc0(sizeof(StrataPlanStep));

		step->step = i + 1;
		step->level = levels[order[i]];
		step->model = graph->nodes[order[i]].model;
		step->selected = true;
		decide(graph, order[i], chosen, full_rebuild, step);
		steps = lappend(steps, step);
	}
	return steps;
}

List *
strata_plan_make(const char *models, const char *exclude, bool full_rebuild)
{
	return make_plan(models, exclude, full_rebuild, false);
}

List *
strata_plan_make_again(const char *models, const char *exclude, bool full_rebuild)
{
	return make_plan(models, exclude, full_rebuild, true);
}

static List *
select_models(const char *models, const char *exclude, bool owned_only)
{
	StrataGraph *graph = strata_plan_load_graph();
	bool *chosen = strata_plan_choose(graph, models, exclude, owned_only);
	int *order = palloc(sizeof(int) * Max(1, graph->n));
	int *levels = palloc(sizeof(int) * Max(1, graph->n));
	int n = strata_plan_sort(graph, chosen, order, levels);
	List *result = NIL;

	for (int i = 0; i < n; i++)
		result = lappend(result, graph->nodes[order[i]].model);
	return result;
}

List *
strata_plan_select(const char *models, const char *exclude)
{
	return select_models(models, exclude, false);
}

List *
strata_plan_select_owned(const char *models, const char *exclude)
{
	return select_models(models, exclude, true);
}
