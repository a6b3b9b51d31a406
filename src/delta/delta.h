/*
 * delta.h: makes a target equal to the result of a query by writing only what differs.
 *
 * The caller has taken the model's lock, the run's snapshot and the owner's identity; this room runs the query once,
 * compares by image, and writes. See README.md for the invariant and the three ways.
 */
#ifndef STRATA_DELTA_H
#define STRATA_DELTA_H

#include "base/base.h"

typedef struct StrataDeltaTarget
{
	Oid relid;
	const char *label;    /* quoted, for SQL and messages */
	List *columns;        /* names (char *) of the target's columns, in the order the query gives them */
	List *key;            /* names; NIL: the rows are a multiset */
	const char *key_word; /* what a message calls the key: "key", "grain" */
	const char *scope;    /* condition on alias o: only these rows of the target are compared; NULL: all */
	bool no_swap;         /* never replace the storage (a dimension keeps rows outside the query) */
	bool rebuild;         /* replace the storage if that is possible at all */
} StrataDeltaTarget;

typedef struct StrataDeltaCounts
{
	int64 rows_in; /* rows the query gave */
	int64 inserted;
	int64 updated;
	int64 deleted;
	bool swapped;
} StrataDeltaCounts;

extern void strata_delta_apply(const StrataDeltaTarget *target, const char *query, const StrataArgs *args,
							   Snapshot snapshot, List *rowsets, StrataDeltaCounts *counts);

/* Refuses NULLs and duplicates in the key of the rows that are in the target. */
extern void strata_delta_check_key(const StrataDeltaTarget *target, Snapshot snapshot);

/* Rows of the target in its present state (a seq scan that stops at the first row). */
extern bool strata_delta_is_empty(Oid relid);

extern void strata_delta_init(void);

#endif /* STRATA_DELTA_H */
