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
	const char *status; /* succeeded | unchanged | failed | skipped */
	double ms;
	char *message;
} RunStep;

typedef struct Run
{
	RunRequest request;
	XLogRecPtr position; /* of the log, before the snapshot */
	Snapshot snapshot;
	List *steps;       /* RunStep * */
	int failed_checks; /* of severity error */
} Run;

extern void runs_error_context(void *arg);
/* Locks, takes the snapshot, refreshes, checks. Errors pass through; failed checks are counted, not raised. */
extern Run *runs_execute(const RunRequest *request);
extern char *runs_check_summary(const RunStep *step);
/* DETAIL text of the failed checks, bounded. */
extern char *runs_failure_detail(const Run *run);

#endif
