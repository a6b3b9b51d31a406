/*
 * lineage_funcs.c
 *		SQL entry points: strata.query_lineage, strata.query_references,
 *		strata.query_properties.
 *
 * They keep the caller's search_path, because the query's names are the
 * caller's; nothing here runs SQL that could be led astray by it.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "lineage/lineage.h"

PG_FUNCTION_INFO_V1(strata_lineage_query_lineage);
PG_FUNCTION_INFO_V1(strata_lineage_query_references);
PG_FUNCTION_INFO_V1(strata_lineage_query_properties);

static StrataLineage *
analyze_argument(FunctionCallInfo fcinfo)
{
	return strata_lineage_analyze(strata_lineage_parse_suggesting(text_to_cstring(PG_GETARG_TEXT_PP(0)), "query"));
}

/* query_lineage(query text) -> (output_column, source_relation, source_column, kind) */
Datum
strata_lineage_query_lineage(PG_FUNCTION_ARGS)
{
	StrataLineage *lineage = analyze_argument(fcinfo);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach (cell, lineage->edges)
	{
		StrataEdge *edge = lfirst(cell);
		Datum values[4] = {0};
		bool nulls[4] = {0};

		if (edge->column != NULL)
			values[0] = CStringGetTextDatum(edge->column);
		else
			nulls[0] = true;
		values[1] = CStringGetTextDatum(quote_qualified_identifier(edge->schema, edge->relation));
		values[2] = CStringGetTextDatum(edge->source_column);
		values[3] = CStringGetTextDatum(strata_lineage_kind_name(edge->kind));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static ArrayType *
column_names(StrataReference *reference)
{
	int count = bms_num_members(reference->columns);
	Datum *names = palloc(sizeof(Datum) * Max(count, 1));
	int offset = -1;
	int i = 0;

	while ((offset = bms_next_member(reference->columns, offset)) >= 0)
		names[i++] =
			CStringGetTextDatum(get_attname(reference->relid, offset + FirstLowInvalidHeapAttributeNumber, false));
	return construct_array(names, i, TEXTOID, -1, false, TYPALIGN_INT);
}

/* query_references(query text) -> (relation, relkind, columns) */
Datum
strata_lineage_query_references(PG_FUNCTION_ARGS)
{
	StrataLineage *lineage = analyze_argument(fcinfo);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach (cell, lineage->references)
	{
		StrataReference *reference = lfirst(cell);
		char kind[2] = {reference->relkind, '\0'};
		Datum values[3];
		bool nulls[3] = {0};

		values[0] = CStringGetTextDatum(quote_qualified_identifier(reference->schema, reference->name));
		values[1] = CStringGetTextDatum(kind);
		values[2] = PointerGetDatum(column_names(reference));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static Datum
name_array(List *names)
{
	Datum *elements = palloc(sizeof(Datum) * Max(list_length(names), 1));
	int i = 0;
	ListCell *cell;

	foreach (cell, names)
		elements[i++] = CStringGetTextDatum(lfirst(cell));
	return PointerGetDatum(construct_array(elements, i, TEXTOID, -1, false, TYPALIGN_INT));
}

/* query_properties(query text) -> (functions, volatile_functions, time_dependent, row_security), one row */
Datum
strata_lineage_query_properties(PG_FUNCTION_ARGS)
{
	StrataLineage *lineage = analyze_argument(fcinfo);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List *functions = NIL;
	Datum values[4];
	bool nulls[4] = {0};
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach (cell, lineage->functions)
		functions = lappend(functions, format_procedure_qualified(lfirst_oid(cell)));
	values[0] = name_array(functions);
	values[1] = name_array(lineage->volatile_functions);
	values[2] = name_array(lineage->time_dependent);
	values[3] = BoolGetDatum(lineage->has_row_security);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}
