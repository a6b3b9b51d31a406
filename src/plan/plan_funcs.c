/*
 * plan_funcs.c: SQL entry points.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/version.h"
#include "fmgr.h"
#include "funcapi.h"
#include "plan/plan_internal.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(strata_plan_select_models);

static const char *
state_of(const StrataNode *node)
{
	const StrataModel *m = node->model;

	if (strata_plan_is_broken(m))
		return m->pending && strncmp(m->pending, "broken", 6) == 0 ? m->pending : "broken";
	if (strata_plan_is_view(m))
		return m->pending ? m->pending : "always current";
	if (strata_plan_is_new(m))
		return "never built";
	if (strata_plan_is_modified(m))
		return m->pending ? m->pending : "definition changed";
	return node->stale ? "stale" : "built";
}

/* strata.select_models(models, exclude) */
Datum
strata_plan_select_models(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char *models = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *exclude = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	StrataGraph *graph;
	bool *chosen;
	int *order;
	int *levels;
	int n;

	strata_base_require_version();
	InitMaterializedSRF(fcinfo, 0);
	graph = strata_plan_load_graph();
	chosen = strata_plan_choose(graph, models, exclude, false);
	order = palloc(sizeof(int) * Max(1, graph->n));
	levels = palloc(sizeof(int) * Max(1, graph->n));
	n = strata_plan_sort(graph, chosen, order, levels);
	strata_plan_mark_stale(graph);
	for (int i = 0; i < n; i++)
	{
		const StrataNode *node = &graph->nodes[order[i]];
		Datum values[4];
		bool nulls[4] = {false};

		values[0] = CStringGetTextDatum(node->model->label);
		values[1] = CStringGetTextDatum(strata_registry_layer_name(node->model->layer));
		values[2] = Int32GetDatum(levels[order[i]]);
		values[3] = CStringGetTextDatum(state_of(node));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
