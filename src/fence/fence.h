/*
 * fence.h: has anything a model reads changed since it was last refreshed? "No" is exact; "perhaps" costs a refresh.
 */
#ifndef STRATA_FENCE_H
#define STRATA_FENCE_H

#include "access/xlogdefs.h"
#include "nodes/parsenodes.h"
#include "registry/registry.h"

typedef struct StrataFence
{
	bool known;      /* false: something it reads cannot be watched; never unchanged */
	bool closed;     /* no other transaction was open when the snapshot was taken: it may be stored */
	char *inputs;    /* what it reads, in its present state, as text */
	XLogRecPtr lsn;  /* what is written after this was not seen */
	List *relations; /* Oid: the tables whose pages tell */
	const char *why; /* when not known: what cannot be watched */
} StrataFence;

/* The position in the log; to be taken before the snapshot of the run. */
extern XLogRecPtr strata_fence_position(void);
/* Whether the result of the query depends on nothing but the rows it reads. */
extern bool strata_fence_is_deterministic(Query *query);
/* The inputs of a model as the snapshot sees them. */
extern StrataFence *strata_fence_take(const StrataModel *model, Snapshot snapshot, XLogRecPtr lsn);
/* Whether the fence stored at the last refresh still stands. */
extern bool strata_fence_holds(const StrataModel *model, const StrataFence *now);
/* To be seen by the next refresh. A fence that is not known is stored as such. */
extern void strata_fence_store(const StrataModel *model, const StrataFence *fence);

#endif /* STRATA_FENCE_H */
