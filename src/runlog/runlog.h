/*
 * runlog.h: what ran, when, for whom, and what it did to each model. Facts only: it decides nothing.
 */
#ifndef STRATA_RUNLOG_H
#define STRATA_RUNLOG_H

#include "base/base.h"

typedef struct StrataStep
{
	int step; /* from 1, in the order of the run */
	int model_id;
	const char *model; /* label */
	const char *layer; /* staging | dimension | fact | mart */
	const char *action;
	const char *reason;
	const char *status; /* succeeded | failed | skipped | ... */
	int64 rows_in;      /* counts below 0: not known, kept as NULL */
	int64 inserted;
	int64 updated;
	int64 deleted;
	int64 rejected;
	double ms;
	const char *method; /* incremental | full: why; NULL: nothing was computed */
	const char *message;
} StrataStep;

extern void strata_runlog_init(void); /* settings */

/* Opens a run for the current role and gives its id. kind: refresh | plan | test | verify. as_of 0: none given. */
extern int64 strata_runlog_start(const char *kind, const char *models, TimestampTz as_of);
extern void strata_runlog_step(int64 run_id, const StrataStep *step);
/* status: succeeded | failed; message may be NULL. A run is finished once. */
extern void strata_runlog_finish(int64 run_id, const char *status, const char *message);

#endif /* STRATA_RUNLOG_H */
