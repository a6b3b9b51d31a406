/*
 * layers.h: definitions, and how each layer keeps its target.
 */
#ifndef STRATA_LAYERS_H
#define STRATA_LAYERS_H

#include "base/base.h"
#include "delta/delta.h"
#include "registry/registry.h"

/* What a run gives every step. */
typedef struct StrataRefresh
{
	Snapshot snapshot;
	TimestampTz as_of; /* the run time: dates versions */
	bool full_rebuild;
	bool confirm_shrink;
	bool whole; /* take nothing that is stored on trust: compute all of it, and write what differs */
} StrataRefresh;

typedef struct StrataRefreshResult
{
	StrataDeltaCounts counts;
	int64 rejected;
	int64 row_count;    /* of the target afterwards; -1 unknown */
	bool adapted;       /* columns were given another type: values changed even where no row did */
	char *message;      /* anything worth telling; NULL */
	const char *method; /* incremental | full; NULL: a view */
	char *why;          /* it was computed in full; NULL */
} StrataRefreshResult;

/* Brings the target up to date. The caller holds the model's lock; the room takes the owner's identity itself. */
extern void strata_layers_refresh(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result);

/* How a target is compared with what its query gives. */
typedef struct StrataVerify
{
	Snapshot snapshot;
	double share; /* of the rows, by a hash of their key or image; 1 all */
	int64 seed;   /* which share */
} StrataVerify;

typedef struct StrataVerifyResult
{
	int64 checked;    /* rows the query gave */
	int64 missing;    /* of these, rows that the target lacks */
	int64 unexpected; /* rows of the target that the query does not give */
	Jsonb *sample;    /* some of them: [{"side": "missing" | "unexpected", "row": {...}}, ...]; NULL none */
	char *parts;      /* what differs beside the rows themselves, in words; NULL nothing */
} StrataVerifyResult;

/* Compares, reading only: nothing is locked against writers and nothing written. Takes the owner's identity itself. */
extern void strata_layers_verify(StrataModel *model, const StrataVerify *verify, StrataVerifyResult *result);

/* Whether what it reads has changed so that its target's columns need another type. */
extern bool strata_layers_must_adapt(const StrataModel *model);

/* Of a model that is kept by changes: whether there are any. Unknown: it is not so kept, or its changes cannot be told. */
typedef enum StrataIdle
{
	STRATA_IDLE_UNKNOWN,
	STRATA_IDLE,
	STRATA_NOT_IDLE
} StrataIdle;

extern StrataIdle strata_layers_idle(const StrataModel *model, Snapshot snapshot);

/* Of a model kept by changes: a source of which a watermark tells them; NULL: none. */
extern char *strata_layers_watermark(const StrataModel *model);

/* Models besides the given one that its refresh writes to (dimensions it may add inferred members to): ids. */
extern List *strata_layers_also_written(const StrataModel *model);
/* As whom it follows the changes of what it reads (room capture). */
extern char *strata_layers_consumer(const StrataModel *model);

/* Defines or changes a model as the caller; returns what happened ("created", "unchanged", ...). */
typedef struct StrataDefine
{
	StrataLayer layer;
	const char *kind; /* view | table | date */
	const char *name;
	const char *query;
	Jsonb *options; /* the layer's own */
	const char *refresh;
	const char *description;
	Jsonb *columns;
	List *tags;
} StrataDefine;

extern char *strata_layers_define(const StrataDefine *define);

extern void strata_layers_init(void);

#endif /* STRATA_LAYERS_H */
