/*
 * checks.h: data tests. A check is a statement about a model that must hold; its outcome is data, never an error.
 */
#ifndef STRATA_CHECKS_H
#define STRATA_CHECKS_H

#include "base/base.h"
#include "registry/registry.h"

typedef struct StrataCheckOutcome
{
	int check_id;
	char *model; /* label of the model */
	char *name;
	char *kind;
	char *severity; /* error | warn */
	char *status;   /* passed | warned | failed | error | skipped */
	int64 failures; /* -1: unknown (status error) */
	int64 rows;     /* rows looked at; -1: unknown (proved by a constraint, or error) */
	char *message;  /* NULL when there is nothing to say */
	Jsonb *sample;  /* failing rows, at most sample_rows; NULL when none */
	double ms;      /* checks that shared one scan share its time */
} StrataCheckOutcome;

/*
 * Runs every check of the model, as the model's owner, under the snapshot; as_of is the clock of freshness. Gives a
 * StrataCheckOutcome for each, in the order of definition; NIL when the model has none. Failing rows never throw.
 */
extern List *strata_checks_run(const StrataModel *model, Snapshot snapshot, TimestampTz as_of);

/* run_id 0: not part of a run. Keeps the last STRATA_CHECKS_HISTORY results of each check. */
extern void strata_checks_record(int64 run_id, List *outcomes, TimestampTz as_of);

/* SELECT strata.define_check(...); lines, one a check; an empty string when there is none. */
extern char *strata_checks_export(const StrataModel *model);

/* Whether any check is defined on the model. */
extern bool strata_checks_exist(int model_id);

/* Number of checks whose failure stops publication: status failed, or error of a check with severity error. */
extern int strata_checks_count_blocking(const List *outcomes);

#endif /* STRATA_CHECKS_H */
