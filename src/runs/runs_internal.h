#ifndef STRATA_RUNS_INTERNAL_H
#define STRATA_RUNS_INTERNAL_H

#include "runs/runs.h"
#include "fence/fence.h"
#include "plan/plan.h"
#include "portability/instr_time.h"

typedef struct RunRequest
{
	const char *models;
	const char *exclude;
	TimestampTz as_of;
	bool full_rebuild;
	bool confirm_shrink;
	bool wait;
	List
		*whole; /* ids of models of which nothing stored is taken on trust: computed in full, whatever the fence says */
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
/*
 * runs_execute in a subtransaction that is rolled back, or kept if so wanted and no check failed. An error in it is caught: *error
 * says what it was, and the run ends at the step that raised it.
 */
extern Run *runs_execute_aside(const RunRequest *request, bool keep_if_passed, ErrorData **error, bool *kept);
/* The steps of a run and its end, under the id of its record; published: their models' state too. message: why it failed. */
extern void runs_record(int64 id, Run *run, bool published, const char *message);
extern void runs_lock_models(List *ids, bool wait);
extern double runs_elapsed_ms(instr_time start);
extern Datum runs_ms_datum(double ms);
extern char *runs_check_summary(const RunStep *step);
/* DETAIL text of the failed checks, bounded. */
extern char *runs_failure_detail(const Run *run);

#endif
