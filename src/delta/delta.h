/*
 * delta.h: makes a target equal to the result of a query by writing only what differs.
 *
 * The caller has taken the model's lock, the run's snapshot and the owner's identity; this room runs the query once,
 * compares by image, and writes. See README.md for the invariant and the three ways.
 */
#ifndef STRATA_DELTA_H
#define STRATA_DELTA_H

#include "base/base.h"

typedef struct StrataDeltaTarget
{
	Oid relid;
	const char *label;    /* quoted, for SQL and messages */
	List *columns;        /* names (char *) of the target's columns, in the order the query gives them */
	List *key;            /* names; NIL: the rows are a multiset */
	const char *key_word; /* what a message calls the key: "key", "grain" */
	const char *scope;    /* condition on alias o: only these rows of the target are compared; NULL: all */
	bool no_swap;         /* never replace the storage (a dimension keeps rows outside the query) */
	bool rebuild;         /* replace the storage if that is possible at all */
	bool unbuilt;         /* nobody has read it yet: many rows may be written beneath their triggers */
	List *
		find; /* names: the columns by which signed rows are looked up (an index), NULLs allowed; NIL: key, else whole rows */
	bool find_unique; /* at most one row of the target for each find value */
	List *unknown;    /* names, none of the key: signed rows that go say nothing of these columns */
	bool keeps; /* rows that come with NULL in them replace a row, and keep what it has there: strata_delta_may_keep */
} StrataDeltaTarget;

typedef struct StrataDeltaCounts
{
	int64 rows_in; /* rows the query gave */
	int64 inserted;
	int64 updated;
	int64 deleted;
	bool swapped;
} StrataDeltaCounts;

extern void strata_delta_apply(const StrataDeltaTarget *target, const char *query, const StrataArgs *args,
							   Snapshot snapshot, List *rowsets, StrataDeltaCounts *counts);

/*
 * target = target + change. change: the target's columns in the order of target->columns, then strata_sign, one row per image. False: a
 * row that has to go is not there as often; nothing was written.
 */
extern bool strata_delta_apply_signed(const StrataDeltaTarget *target, StrataRowSet *change, Snapshot snapshot,
									  StrataDeltaCounts *counts);
/*
 * The same, and in one write with it rows that are where they were and change in the columns that are unknown. moved: strata_ctid, strata_table, the columns;
 * none of them is told by the change; NULL: there are none.
 */
extern bool strata_delta_apply_moved(const StrataDeltaTarget *target, StrataRowSet *change, StrataRowSet *moved,
									 Snapshot snapshot, StrataDeltaCounts *counts);
/* Whether rows may keep the unknown columns of those they replace: no unique index of the user's makes them go and come instead. */
extern bool strata_delta_may_keep(const StrataDeltaTarget *target);
/* Rows that begin with a ctid and its table, each place once. */
extern StrataRowSet *strata_delta_places(const char *name, const char *sql, Snapshot snapshot, List *rowsets);
/* A name for a column beside the target's: this one, or one like it. */
extern char *strata_delta_beside(const StrataDeltaTarget *target, const char *name);
/*
 * The rows of the target that match scope (on alias o; NULL: all) become the result of the query; rows in both stay where they
 * are. Gives the change it made as signed rows, one per image, named change_name (NULL: none is made).
 */
extern StrataRowSet *strata_delta_apply_part(const StrataDeltaTarget *target, const char *query, const StrataArgs *args,
											 Snapshot snapshot, List *rowsets, const char *scope,
											 const char *change_name, StrataDeltaCounts *counts);
/*
 * Hidden state of groups. columns: the state table's, the keys first, then the row count, then the rest; merged: strata_ctid, the keys,
 * the old state, the new state, strata_rescan. Without keys the one row stays when its count is 0. False: a count
 * below 0; nothing was written.
 */
extern bool strata_delta_merge_state(const char *state_label, const List *columns, int nkeys, StrataRowSet *merged,
									 Snapshot snapshot);

/*
 * target = target with groups merged, the target's rows being their state. keys: positions (from 1) of the groups' keys in target->columns; NIL: one
 * group, whose row stays. take: a query of rows of groups (address, rows of the group as it shall be, doubt, the columns as they shall be, those that
 * are no keys as they are); keys of those with a doubt go to the row set doubts[doubt - 1], k1, .. named strata_keys. finish writes; false: a count
 * is below 0, nothing was written. target, counts: live as long.
 */
typedef struct StrataMerge StrataMerge;
extern StrataMerge *strata_delta_merge_start(const StrataDeltaTarget *target, const List *keys, Snapshot snapshot,
											 StrataDeltaCounts *counts);
extern void strata_delta_merge_take(StrataMerge *merge, const char *sql, List *rowsets, StrataRowSet **doubts);
extern bool strata_delta_merge_finish(StrataMerge *merge);

/*
 * Rows whose columns from first on are the target's, put into a target that is as good as empty: all at once, its indexes built afterwards. For a model that was
 * never built, or a table of its own: who follows its changes is told that there are some, and not which. apart: what its exclusion
 * constraints say is known of the rows. False: nothing was done, INSERT them.
 */
#define STRATA_DELTA_BULK_ROWS 500 /* fewer are put into indexes one by one */
extern bool strata_delta_load(const StrataDeltaTarget *target, StrataRowSet *rows, int first, bool apart);

/* Refuses NULLs and duplicates in the key of the rows that are in the target. */
extern void strata_delta_check_key(const StrataDeltaTarget *target, Snapshot snapshot);

/* Rows of the target in its present state (a seq scan that stops at the first row). */
extern bool strata_delta_is_empty(Oid relid);

extern void strata_delta_init(void);

#endif /* STRATA_DELTA_H */
