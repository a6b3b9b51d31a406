#ifndef STRATA_BASE_INTERNAL_H
#define STRATA_BASE_INTERNAL_H

#include "base/base.h"
#include "executor/spi.h"

/* The planner is told about these from now on; gives those it was told about before. */
extern List *strata_rowset_show(List *rowsets);
/* Whether the planner is told how many values their columns hold. */
extern bool strata_rowset_counts_values;
/* Of so few rows it is not, but where the cost is what is asked for. */
#define STRATA_FEW_ROWS 20
extern int strata_rowset_few;
/* Whether a look-up in each of many partitions is priced as what it takes (lookups.c). */
extern bool strata_lookups_priced;
extern void base_lookups_init(void);

/* ---- kept plans (sql_kept.c) ---- */

typedef enum StrataPlanning
{
	STRATA_PLAN_ROWSETS,    /* few rows, joined with tables that the last refresh read too */
	STRATA_PLAN_BY_ADDRESS, /* by ctid, whatever that seems to cost */
	STRATA_PLAN_REGISTRY,   /* constant SQL over small tables that may grow */
	STRATA_PLAN_ESTIMATE    /* as ever: what it would cost is asked, it is not run */
} StrataPlanning;

typedef struct StrataKept StrataKept;

/*
 * Connected to SPI, the row sets registered and shown. NULL: the statement is none to keep, and plan is left alone. What was taken is
 * left when the statement has run, in whichever way.
 */
extern StrataKept *strata_kept_take(const char *sql, const StrataArgs *args, List *rowsets, StrataPlanning how,
									int cursor_options, SPIPlanPtr *plan);
extern void strata_kept_leave(StrataKept *kept);
extern StrataEstimate strata_kept_estimate(const StrataKept *kept);
/* What a plan just made rests on (sql_rests.c); NULL: nobody can tell. Connected to SPI, as for the next. */
typedef struct StrataRests StrataRests;
extern StrataRests *strata_rests_note(SPIPlanPtr plan, MemoryContext context);
/* A plan that was voided is valid again, if all it rests on is what it was. */
extern void strata_rests_restore(StrataRests *rests, SPIPlanPtr plan);
extern void strata_rests_free(StrataRests *rests);
/* Makes the plan of a statement without parameters that is run once, or not at all. */
extern StrataEstimate strata_kept_plan(SPIPlanPtr plan, StrataPlanning how);
/* The one of that name among them, or NULL. */
extern StrataRowSet *strata_rowset_shown(const char *name);
/* Some rows of one with a source, until the callback returns false. */
extern void strata_rowset_sample(StrataRowSet *set, bool (*callback)(StrataRowSet *, Datum *, bool *, void *),
								 void *arg);
extern void strata_rowset_scan_init(void);

#endif
