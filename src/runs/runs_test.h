/*
 * runs_test.h: the scratch copy of a model and of what it reads, on which test_model runs.
 */
#ifndef STRATA_RUNS_TEST_H
#define STRATA_RUNS_TEST_H

#include "layers/layers.h"

/* A relation the model reads, and its stand-in. */
typedef struct ScratchRelation
{
	char *schema;
	char *name;
	char *label;            /* the real one */
	char *scratch;          /* the stand-in, quoted, for SQL */
	Oid relid;              /* of the real one */
	List *columns;          /* char * */
	StrataModel *dimension; /* whose key the fact takes; NULL for other relations */
	StrataModel *copy;      /* of that dimension */
	bool filled;            /* given rows, or needs none */
} ScratchRelation;

typedef struct Scratch
{
	StrataModel *model;
	StrataModel *copy;
	List *relations; /* ScratchRelation * */
	List *schemas;   /* char *: the real ones; the stand-in of the nth is runs_scratch_schema(n) */
	List *keys;      /* char *: primary keys that the query's GROUP BY leans on, as "relid|definition" */
} Scratch;

/* Inside a subtransaction that the caller rolls back. */
extern Scratch *runs_scratch_make(StrataModel *model);
/* Replaces the rows of the relations named in given: an object of arrays of rows. */
extern void runs_scratch_fill(Scratch *scratch, Jsonb *given);
/* Every relation read must have been given. Then the copy of the model is defined. */
extern void runs_scratch_define(Scratch *scratch);
/* A message about the scratch copy, as if it were about the model itself. */
extern char *runs_scratch_plain(const Scratch *scratch, const char *message);
/* Rows of a JSON array as objects, their members checked against the columns. what: 'given "src.ventes"' */
extern void runs_test_check_rows(Jsonb *rows, const List *columns, const char *what);

#endif
