/*
 * fence.h: has anything a model reads changed since it was last refreshed? "No" is exact; "perhaps" costs a refresh.
 */
#ifndef STRATA_FENCE_H
#define STRATA_FENCE_H

#include "access/xlogdefs.h"
#include "nodes/parsenodes.h"
#include "registry/registry.h"

/* Where a run stands in the log. */
typedef struct StrataFencePosition
{
	XLogRecPtr lsn;
	uint64 enums; /* of all labels of all enum types, before the snapshot: they show in texts */
	bool closed;  /* no other transaction of this database was open when the snapshot was taken: fences may be stored */
} StrataFencePosition;

typedef struct StrataFence
{
	bool known;   /* false: something it reads cannot be watched; never unchanged */
	char *inputs; /* what it reads, in its present state, as text */
	StrataFencePosition position;
	List *relations; /* Oid: the tables whose pages tell */
	List *own;       /* Oid: the target's */
	const char *why; /* when not known: what cannot be watched */
	bool clock;      /* it reads the clock, itself or through a view */
} StrataFence;

/* Before the snapshot of the run is taken, and right after. */
extern StrataFencePosition strata_fence_before_snapshot(void);
extern void strata_fence_after_snapshot(StrataFencePosition *position, Snapshot snapshot);
/* Of one who only looks: it takes no transaction number, and no fence may be stored with it. */
extern StrataFencePosition strata_fence_look(void);
/* Whether the result of the query depends on nothing but the rows it reads. */
extern bool strata_fence_is_deterministic(Query *query);
/* Why not, in words ("calls now()"); NULL when it does. */
/* trusted: NULL, or immutable functions of users are let through and listed there (Oid): who stores the result watches them. */
extern char *strata_fence_nondeterminism(Query *query, List **trusted);
/* The inputs of a model as the snapshot sees them. */
extern StrataFence *strata_fence_take(const StrataModel *model, Snapshot snapshot, StrataFencePosition position);
/* Whether the fence stored at the last refresh still stands. */
extern bool strata_fence_holds(const StrataModel *model, const StrataFence *now);
/*
 * NULL when what the model reads is, for certain, as it was at its last refresh (its own target left aside, the stored fence as the
 * snapshot has it); else what has changed (certain), or why nobody can tell.
 */
extern const char *strata_fence_moved(const StrataModel *model, const StrataFence *now, Snapshot snapshot,
									  bool *certain);
/* To be seen by the next refresh. A fence that is not known is stored as such. changed: the target; to be seen by models that read it. */
extern void strata_fence_store(const StrataModel *model, const StrataFence *fence, Snapshot snapshot, bool changed);
/* Its next refresh has to look, whatever has changed. */
extern void strata_fence_forget(int model_id);

#endif /* STRATA_FENCE_H */
