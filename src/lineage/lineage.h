/*
 * lineage.h
 *		An analyzed Query in, facts out: what it reads, and which columns make
 *		which. Executes nothing. See README.md of this room.
 */
#ifndef STRATA_LINEAGE_H
#define STRATA_LINEAGE_H

#include "access/attnum.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"

/* A relation the query names, once however often it is named. A view is one reference; it is not expanded. */
typedef struct StrataReference
{
	Oid relid;
	char *schema;
	char *name;
	char relkind;
	Bitmapset *columns; /* attnums read, offset by FirstLowInvalidHeapAttributeNumber */
} StrataReference;

/* In rising order: the strongest kind met between a source column and the output is the edge's kind. */
typedef enum StrataEdgeKind
{
	STRATA_EDGE_COPY,
	STRATA_EDGE_DERIVED,
	STRATA_EDGE_AGGREGATE,
	STRATA_EDGE_FILTER
} StrataEdgeKind;

typedef struct StrataEdge
{
	char *column; /* output column; NULL for FILTER: join, where, group, having, order conditions decide which rows */
	Oid relid;
	AttrNumber attno;
	char *schema;
	char *relation;
	char *source_column;
	StrataEdgeKind kind;
} StrataEdge;

typedef struct StrataLineage
{
	List *references;         /* StrataReference, in the order they are met */
	List *edges;              /* StrataEdge: one per output column and source column, then the FILTER ones */
	List *functions;          /* Oid: functions that are not built in, those of operators included */
	List *volatile_functions; /* char *: names, those inside the views it reads included */
	List *time_dependent;     /* char *: now, current_date and their like, inside views too */
	bool has_row_security;    /* reads, also through a view, a relation with row security enabled */
} StrataLineage;

/*
 * The query is analyzed, not rewritten, and is not modified. The result lives
 * in the current memory context.
 */
extern StrataLineage *strata_lineage_analyze(Query *query);

/*
 * Parse and analyze text that must be one plain SELECT whose result can be a
 * table. `what` names the text in error messages, as a noun phrase: 'query of
 * model "dwh.dim_client"'. Error positions refer to query_text.
 */
extern Query *strata_lineage_parse(const char *query_text, const char *what);

/* The same, with the nearest names as HINT when a relation does not exist. Dearer: for where that is final. */
extern Query *strata_lineage_parse_suggesting(const char *query_text, const char *what);

extern const char *strata_lineage_kind_name(StrataEdgeKind kind);

#endif /* STRATA_LINEAGE_H */
