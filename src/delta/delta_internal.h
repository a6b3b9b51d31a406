#ifndef STRATA_DELTA_INTERNAL_H
#define STRATA_DELTA_INTERNAL_H

#include "delta/delta.h"

typedef struct DeltaWork
{
	const StrataDeltaTarget *target;
	const char *query;
	const StrataArgs *args;
	Snapshot snapshot;
	List *rowsets;
	StrataDeltaCounts *counts;
} DeltaWork;

extern void delta_keyed(DeltaWork *work);
extern void delta_multiset(DeltaWork *work);

/* Replaces the storage with the query's result; false when the lock could not be had in time (nothing was done). */
extern bool delta_swap_possible(const StrataDeltaTarget *target);
extern bool delta_swap(DeltaWork *work);

/* The share of changed rows above which the storage is replaced instead, and how long that may wait for its lock. */
extern double strata_delta_swap_share;
extern int strata_delta_swap_lock_timeout;

pg_attribute_noreturn() extern void delta_key_error(const DeltaWork *work, const char *problem, const char *detail);
/* An error raised while rows were written: in the model's words when it is the key that broke, else as it was. */
pg_attribute_noreturn() extern void delta_write_error(const DeltaWork *work, MemoryContext context);
/* The query's columns must be of the target's types: images of other types cannot be compared. */
extern void delta_check_types(const DeltaWork *work, TupleDesc query, int first);
/* Refuses NULLs and duplicates in the key of a relation (or row set) that has the target's columns. */
extern void delta_check_key(const DeltaWork *work, const char *relation, List *rowsets);

#endif
