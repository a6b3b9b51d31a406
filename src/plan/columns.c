/*
 * columns.c: column lineage through views of users, to the columns of the models beneath.
 *
 * The registry keeps the columns that a query names itself: those of a view stay the view's. What the view makes them from is found each
 * time in its rule, since it may be replaced.
 */
#include "postgres.h"

#include "access/relation.h"
#include "base/compat.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lineage/lineage.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "plan/plan_internal.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(strata_plan_lineage_beneath);

/* A column of a view that decides what a model is. */
typedef struct Column
{
	char *column; /* of the model; NULL: it decides its rows */
	Oid view;
	char *name; /* NULL: what decides the rows of the view */
	StrataEdgeKind kind;
} Column;

typedef struct View
{
	Oid relid;
	Query *query; /* NULL: it is a view no more */
	List *edges;  /* StrataEdge */
} View;

static StrataEdgeKind
kind_named(const char *name)
{
	for (int kind = STRATA_EDGE_COPY; kind < STRATA_EDGE_FILTER; kind++)
		if (strcmp(strata_lineage_kind_name(kind), name) == 0)
			return kind;
	return STRATA_EDGE_FILTER;
}

static View *
open_view(List **views, Oid relid)
{
	View *view;
	Relation rel;
	ListCell *lc;

	foreach (lc, *views)
		if (((View *) lfirst(lc))->relid == relid)
			return lfirst(lc);
	view = palloc0(sizeof(View));
	view->relid = relid;
	*views = lappend(*views, view);
	rel = try_relation_open(relid, AccessShareLock);
	if (rel && rel->rd_rel->relkind == RELKIND_VIEW && rel->rd_rules != NULL)
	{
		view->query = copyObject(get_view_query(rel));
		view->edges = strata_lineage_analyze(view->query)->edges;
	}
	if (rel)
		relation_close(rel, NoLock);
	return view;
}

static void
add_column(List **columns, char *column, Oid view, char *name, StrataEdgeKind kind)
{
	Column *c;
	ListCell *lc;

	foreach (lc, *columns)
	{
		c = lfirst(lc);
		if (c->view == view && c->kind == kind && (c->column == NULL) == (column == NULL) &&
			(c->name == NULL) == (name == NULL) && (column == NULL || strcmp(c->column, column) == 0) &&
			(name == NULL || strcmp(c->name, name) == 0))
			return;
	}
	c = palloc0(sizeof(Column));
	c->column = column;
	c->view = view;
	c->name = name;
	c->kind = kind;
	*columns = lappend(*columns, c);
}

static void
put(ReturnSetInfo *result, int model_id, const char *column, const StrataEdge *edge, StrataEdgeKind kind)
{
	NameData names[4];
	Datum values[6];
	bool nulls[6] = {false};

	values[0] = Int32GetDatum(model_id);
	nulls[1] = column == NULL;
	namestrcpy(&names[0], column ? column : "");
	namestrcpy(&names[1], edge->schema);
	namestrcpy(&names[2], edge->relation);
	namestrcpy(&names[3], edge->source_column);
	for (int i = 0; i < 4; i++)
		values[i + 1] = NameGetDatum(&names[i]);
	values[5] = CStringGetTextDatum(strata_lineage_kind_name(kind));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The columns of the model's own edges that are a view's, and what decides the rows of each of these. */
static List *
own_columns(const StrataModel *model)
{
	StrataArgs args = {0};
	StrataRows *rows;
	List *columns = NIL;
	ListCell *lc;

	strata_args_int4(&args, model->id);
	rows = strata_base_keeper_query(
		"SELECT e.column_name, c.oid, e.source_column, e.kind FROM strata_state.edge e"
		" JOIN pg_namespace n ON n.nspname = e.schema_name"
		" JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = e.relation_name AND c.relkind = 'v'"
		" WHERE e.model_id = $1 ORDER BY 2, 1, 3",
		&args);
	foreach (lc, model->dependencies)
	{
		const StrataDependency *d = lfirst(lc);

		if (d->beneath == NIL || d->views == NIL)
			continue;
		add_column(&columns, NULL, linitial_oid(d->views), NULL, STRATA_EDGE_FILTER);
		for (uint64 i = 0; i < rows->count; i++)
			if (strata_rows_int(rows, i, 2) == linitial_oid(d->views))
				add_column(&columns, strata_rows_text(rows, i, 1), linitial_oid(d->views), strata_rows_text(rows, i, 3),
						   kind_named(strata_rows_text(rows, i, 4)));
	}
	return columns;
}

static void
follow(const StrataGraph *graph, const StrataModel *model, List **views, ReturnSetInfo *result)
{
	List *columns = own_columns(model);

	for (int at = 0; at < list_length(columns); at++)
	{
		const Column *c = list_nth(columns, at);
		View *view = open_view(views, c->view);
		/* by place: a column of a view may be renamed, the rule keeps its first name */
		AttrNumber attno = c->name ? get_attnum(c->view, c->name) : InvalidAttrNumber;
		TargetEntry *te = view->query && attno > 0 ? get_tle_by_resno(view->query->targetList, attno) : NULL;
		ListCell *lc;

		foreach (lc, view->edges)
		{
			const StrataEdge *edge = lfirst(lc);
			StrataEdgeKind kind = Max(c->kind, edge->kind);
			char *column = kind == STRATA_EDGE_FILTER ? NULL : c->column;

			CHECK_FOR_INTERRUPTS();
			if (edge->column == NULL ? c->name != NULL
									 : te == NULL || te->resname == NULL || strcmp(te->resname, edge->column) != 0)
				continue;
			if (strata_plan_node(graph, edge->schema, edge->relation) >= 0)
				put(result, model->id, column, edge, kind);
			else if (get_rel_relkind(edge->relid) == RELKIND_VIEW)
			{
				add_column(&columns, NULL, edge->relid, NULL, STRATA_EDGE_FILTER);
				add_column(&columns, column, edge->relid, edge->source_column, kind);
			}
		}
	}
}

/* strata_state.lineage_beneath(): for strata.lineage, which decides who sees what */
Datum
strata_plan_lineage_beneath(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StrataGraph *graph;
	List *views = NIL;

	InitMaterializedSRF(fcinfo, 0);
	graph = strata_plan_graph(strata_registry_models());
	for (int i = 0; i < graph->n; i++)
	{
		const StrataModel *model = graph->nodes[i].model;
		bool through_views = false;
		ListCell *lc;

		foreach (lc, model->dependencies)
			through_views |=
				((StrataDependency *) lfirst(lc))->beneath != NIL && ((StrataDependency *) lfirst(lc))->views != NIL;
		if (through_views)
			follow(graph, model, &views, result);
	}
	return (Datum) 0;
}
