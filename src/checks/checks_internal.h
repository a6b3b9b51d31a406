/*
 * checks_internal.h: what the files of the room share.
 */
#ifndef STRATA_CHECKS_INTERNAL_H
#define STRATA_CHECKS_INTERNAL_H

#include "checks/checks.h"

#define STRATA_CHECKS_HISTORY 100 /* results kept per check */
#define STRATA_CHECKS_MAX_SAMPLE 1000
#define STRATA_CHECKS_MAX_RUNS 90 /* anomaly: within the history kept */

typedef enum StrataCheckKind
{
	STRATA_CHECK_NOT_NULL,
	STRATA_CHECK_UNIQUE,
	STRATA_CHECK_ACCEPTED_VALUES,
	STRATA_CHECK_RELATIONSHIPS,
	STRATA_CHECK_EXPRESSION,
	STRATA_CHECK_ROW_COUNT,
	STRATA_CHECK_FRESHNESS,
	STRATA_CHECK_QUERY,
	STRATA_CHECK_ROW_COUNT_ANOMALY,
	STRATA_CHECK_GEOMETRY
} StrataCheckKind;

typedef struct StrataCheck
{
	int id;
	char *name;
	StrataCheckKind kind;
	List *columns; /* char * */
	Jsonb *options;
	char *severity;
	int64 warn_above;
	int64 error_above;
	int sample_rows;
	char *description;
	/* User text as PostgreSQL resolved it at definition: every name qualified. NULL where the kind has none. */
	char *where;
	char *expression;
	char *query;
} StrataCheck;

/* A column of the target, as it is now. */
typedef struct StrataCheckColumn
{
	char *name;
	Oid type;
	int32 typmod;
	Oid collation;
} StrataCheckColumn;

/* The target of a model as SQL sees it now. */
typedef struct StrataCheckTarget
{
	const StrataModel *model;
	List *columns;     /* StrataCheckColumn * */
	char *names;       /* all column names, as a text[] literal */
	char *not_unknown; /* condition that leaves out the unknown member; NULL when the model has none */
} StrataCheckTarget;

/* A statement the checks of a model run, and the checks it serves. */
typedef struct StrataCheckStatement
{
	List *checks; /* char *: names */
	char *sql;
} StrataCheckStatement;

/* run.c */
extern List *strata_checks_explain(const StrataModel *model); /* StrataCheckStatement * */

/* define.c */
extern const char *strata_checks_kind_name(StrataCheckKind kind);
extern List *strata_checks_load(int model_id); /* StrataCheck *, in order of id */
extern char *strata_checks_define(const StrataModel *model, StrataCheck *check, const char *kind);
extern void strata_checks_drop(const StrataModel *model, const char *name);

/* resolve.c: the model owner's identity is entered by the callee, the caller need not */
extern void strata_checks_resolve(const StrataModel *model, StrataCheck *check);

/* generate.c: SQL over the target; user text only in its resolved form. The owner's identity is entered. */
extern StrataCheckTarget *strata_checks_target(const StrataModel *model);
extern StrataCheckColumn *strata_checks_column(const StrataCheckTarget *target, const char *name);
extern char *strata_checks_column_error(const StrataCheckTarget *target, const StrataCheck *check);
extern char *strata_checks_filter(const StrataCheckTarget *target, const StrataCheck *check);
extern char *strata_checks_condition(const StrataCheckTarget *target, const StrataCheck *check);
extern char *strata_checks_newest(const StrataCheckTarget *target, const StrataCheck *check, const char *filter);
extern char *strata_checks_unique_sql(const StrataCheckTarget *target, const StrataCheck *check);
extern char *strata_checks_relationships_sql(const StrataCheckTarget *target, const StrataCheck *check);
extern char *strata_checks_query_sql(const StrataCheck *check);
extern char *strata_checks_proof(const StrataCheckTarget *target, const StrataCheck *check);

#endif /* STRATA_CHECKS_INTERNAL_H */
