#ifndef STRATA_RUNS_INTERNAL_H
#define STRATA_RUNS_INTERNAL_H

#include "runs/runs.h"
#include "fence/fence.h"
#include "plan/plan.h"

typedef struct RunRequest
{
	const char *models;
	const char *exclude;
	TimestampTz as_of;
	bool full_rebuild;
	bool confirm_shrink;
	bool wait;
} RunRequest;

/* What became of one step. */
typedef struct RunStep
{
	StrataPlanStep *plan;
	StrataRefreshResult result;
	List *outcomes;     /* StrataCheckOutcome * */
	bool skipped;       /* nothing it reads had changed: not computed */
	const char *status; /* succeeded | unchanged | failed | skipped | rolled back */
	bool done;          /* refreshed and checked: the counts are those of it */
	double ms;
	char *message;
} RunStep;

typedef struct Run
{
	RunRequest request;
	StrataFencePosition position; /* in the log, before the snapshot */
	Snapshot snapshot;
	List *planned;     /* StrataPlanStep *: what was to be done */
	List *steps;       /* RunStep *: what was begun */
	RunStep *at;       /* the step being done: an error is its */
	int failed_checks; /* of severity error */
} Run;

extern void runs_error_context(void *arg);
/*
 * Locks, takes the snapshot, refreshes, checks. Errors pass through, and run then holds the steps begun, and at the one that
 * raised it; failed checks are counted, not raised.
 */
extern void runs_execute(const RunRequest *request, Run *run);
extern char *runs_check_summary(const RunStep *step);
/* DETAIL text of the failed checks, bounded. */
extern char *runs_failure_detail(const Run *run);

#endif
