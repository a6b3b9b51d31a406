/*
 * layers_incremental_work.h: what the files that run a refresh by changes share.
 */
#ifndef STRATA_LAYERS_INCREMENTAL_WORK_H
#define STRATA_LAYERS_INCREMENTAL_WORK_H

#include "layers/layers_incremental.h"

typedef struct Work
{
	IncrementalModel *m;
	const StrataRefresh *refresh;
	StrataRefreshResult *result;
	List *positions;    /* IncrementalPosition *: to be advanced */
	List *changed;      /* StrataChanged * */
	List *rowsets;      /* StrataRowSet *: of the inputs first */
	int n_inputs;       /* so many */
	char **failure;     /* why it could not be done */
	double change_cost; /* by the planner, where it was asked */
	double full_cost;
	uint64 n_changed;
	bool decided;          /* the costs were asked for */
	const char *way;       /* beside the rules of the plan, in words; NULL: nothing */
	List *by_keys;         /* int: parts with an algebra whose groups are computed again */
	List *quick;           /* int: parts found to be quick, of which nobody asked */
	List *early;           /* StrataRowSet *, by input: a stream that was made to decide; NULL: none */
	bool prepared;         /* the target, for rows that come */
	StrataRowSet *written; /* where the layer asks for it: the change of the target */
	MemoryContext outer;   /* lives as long as the result */
} Work;

/* A walker: whether the query reads one of the changed (StrataChanged *). */
extern bool layers_work_reads(Node *node, List *changed);
/* The name of the row set that holds the change of a table. */
extern char *layers_work_set_name(Oid relid);
extern void layers_work_note_change(Work *w, Oid relid, StrataRowSet *set);
/* layers_incremental_write.c */
/* rows: those that come to the target; NULL: none do */
extern void layers_work_prepare_write(Work *w, StrataRowSet *rows);
/* The change of a part's rows as signed rows: written, and handed on. False: a row that has to go is not there. */
extern bool layers_work_apply_signed(Work *w, const StrataPart *part, StrataRowSet *change);
extern void layers_work_add_counts(Work *w, const StrataPart *part, const StrataDeltaCounts *counts);
extern StrataDeltaTarget layers_work_target(const Work *w, const StrataPart *part);
extern void layers_work_add_counts(Work *w, const StrataPart *part, const StrataDeltaCounts *counts);
extern List *layers_work_with(const List *sets, StrataRowSet *one);
/* The rows in scope become those of the query: written, and what changed handed on. */
extern void layers_work_apply(Work *w, const StrataPart *part, const char *sql, List *rowsets, const char *scope);
extern StrataRowSet *layers_work_run(Work *w, const char *name, const char *sql);
/* Whether a row set of keys holds a NULL. */
extern bool layers_work_has_nulls(StrataRowSet *keys, int n);
/* layers_incremental_cost.c */
extern double layers_rows_of(Oid relid); /* about */
extern uint64 layers_work_count_changed(const Work *w);
/* False: all of it is to be computed, the failure says why. */
extern bool layers_work_decide(Work *w);
extern bool layers_work_is_dearer(Work *w, const StrataPart *part, const char *sql);
extern bool layers_work_is_dear(Work *w, const StrataPart *part, const char *sql, List *rowsets);
extern bool layers_work_refuse_cost(Work *w); /* false */
/* Of an algebra: its groups are computed again. */
extern bool layers_work_by_keys(const Work *w, const StrataPart *part);
/* Whether so many changed rows of a relation may touch so few groups that to compute them again is the quickest, whatever else there is. */
extern bool layers_work_may_be_quick(const Work *w, Oid relid, uint64 count);
/* Of a part of by_keys, where that was thought and there are more of them: as layers_work_decide. */
extern bool layers_work_decide_again(Work *w, const StrataPart *part, const StrataRowSet *keys);
extern bool layers_work_are_most(Work *w, const StrataPart *part, StrataRowSet *keys, bool nulls,
								 const char *restricted);
/* layers_incremental_algebra.c. False: what is kept does not fit what has changed. */
extern bool layers_work_algebra(Work *w, const StrataPart *part);
/* The groups of these keys (k1, .., as strata_algebra_touched gives them; named strata_keys) computed again from their rows. */
extern bool layers_work_rescan_groups(Work *w, const StrataPart *part, StrataRowSet *keys);
/* layers_incremental_fact.c; done: it was, by looking the dimensions' changes up in the fact */
extern bool layers_work_fact(Work *w, const StrataPart *part, bool *done);
/*
 * layers_incremental_keep.c: of the change (signed rows, keys NULL) takes those that come and keep the keys of the row they replace; NULL: there are
 * none. inputs: positions (from 1) of the columns that keys are looked up by; members: condition (on o) that members of the row have changed; NULL: none has.
 */
extern StrataRowSet *layers_work_keep_keys(Work *w, const StrataDeltaTarget *target, const List *inputs,
										   const char *members, StrataRowSet **change);
/* A dimension that has lost a member which the fact would have it keep: label; NULL none. */
extern const char *layers_work_lost_members(Work *w);
/* key columns whose dimension has changed get an index; what cannot have one leaves the model's lookups */
extern void layers_work_index_lookups(Work *w);

#endif
