#ifndef STRATA_DELTA_INTERNAL_H
#define STRATA_DELTA_INTERNAL_H

#include "delta/delta.h"
#include "nodes/bitmapset.h"
#include "nodes/nodes.h"

typedef struct DeltaWork
{
	const StrataDeltaTarget *target;
	const char *query;
	const StrataArgs *args;
	Snapshot snapshot;
	List *rowsets;
	StrataDeltaCounts *counts;
	bool stored; /* updates leave what they have NULLs for as it is stored: it is not known here */
} DeltaWork;

extern void delta_keyed(DeltaWork *work);
extern void delta_multiset(DeltaWork *work);

/* Replaces the storage with the query's result; false when the lock could not be had in time (nothing was done). */
extern bool delta_swap_possible(const StrataDeltaTarget *target);
extern bool delta_swap(DeltaWork *work);
extern bool delta_load_new(DeltaWork *work);

/* The share of changed rows above which the storage is replaced instead, and how long that may wait for its lock. */
extern double strata_delta_swap_share;
extern int strata_delta_swap_lock_timeout;

pg_attribute_noreturn() extern void delta_key_error(const DeltaWork *work, const char *problem, const char *detail);
/* An error raised while rows were written: in the model's words when it is the key that broke, else as it was. */
pg_attribute_noreturn() extern void delta_write_error(const DeltaWork *work, MemoryContext context);
/* The query's columns must be of the target's types: images of other types cannot be compared. */
extern void delta_check_types(const DeltaWork *work, TupleDesc query, int first);
/* Deletes (strata_ctid, strata_table, and as they are stored the columns, or none), updates (these, the columns), inserts (with the columns); each may be NULL. changed: the
 * columns that updates touch, NULL when any. */
extern void delta_write(DeltaWork *work, StrataRowSet *deletes, StrataRowSet *updates, const Bitmapset *changed,
						StrataRowSet *inserts);
/*
 * The rows of a row set written to the table without a statement: at their addresses (the first column), with the columns of the table's names; how
 * many were. -1: it takes a statement, and nothing was done.
 */
extern int64 delta_direct(Oid relid, StrataRowSet *rows, CmdType command, Snapshot snapshot);
extern char *delta_partition_column(const StrataDeltaTarget *target);
/* Refuses what would keep the target from equalling its query: hidden rows, rules, children. */
extern void delta_refuse(const StrataDeltaTarget *target, Snapshot snapshot);
/* Whether the primary key is the target's key: it refuses a broken one. */
extern bool delta_key_is_enforced(const StrataDeltaTarget *target);

/* A set of row addresses, a bit per row. */
typedef struct DeltaPlaces DeltaPlaces;
extern DeltaPlaces *delta_places_create(void);
extern bool delta_places_add(DeltaPlaces *places, Oid table, ItemPointer tid); /* true when it was there */
extern bool delta_places_has(DeltaPlaces *places, Oid table, ItemPointer tid);

/* How changed rows (c) are looked up in the target (o): see delta_match.c. */
#define DELTA_MOST_PATTERNS 8

typedef struct DeltaMatch
{
	const StrataDeltaTarget *target;
	List *columns;                     /* int: positions in target->columns */
	uint64 masks[DELTA_MOST_PATTERNS]; /* which of them are NULL */
	int patterns;
	int last;
	uint64 ever_null;
} DeltaMatch;

extern bool delta_has_equality(const StrataDeltaTarget *target, const char *column);
extern DeltaMatch *delta_match_create(const StrataDeltaTarget *target, const List *names);
extern void delta_match_note(DeltaMatch *match, const bool *nulls); /* of a row with the target's columns */
extern bool delta_match_is_loose(const DeltaMatch *match);          /* too many patterns: no index serves */
extern char *delta_match_query(const DeltaMatch *match, const char *select, const char *rows, const char *join);
extern bool delta_match_is_image(const DeltaMatch *match, TupleDesc desc);
extern List *delta_index_columns(const StrataDeltaTarget *target);

/* strata_ctid, strata_table, and the target's columns as they stand in a query's row from first (counted from 0) on. */
extern TupleDesc delta_rowset_desc(const StrataDeltaTarget *target, TupleDesc query, int first, bool with_columns);

/* Rows that go and rows that come, and what is to be written for them. */
typedef struct DeltaPair
{
	DeltaWork *work;
	TupleDesc desc;        /* the target's columns, as the query or the change has them */
	StrataRowSet *removed; /* strata_ctid, strata_table, the columns */
	StrataRowSet *added;   /* the columns, strata_sign; rows with a sign below 0 do not count */
	int64 comes;           /* rows in added, with copies */
	StrataRowSet *deletes;
	StrataRowSet *updates;
	StrataRowSet *inserts;
	Bitmapset *changed; /* attribute numbers of the columns that updates change */
	bool lost;          /* a row that keeps what the one it replaces has replaces none */
	MemoryContext context;
} DeltaPair;

extern void delta_pair(DeltaPair *pair);
/* delta_write, with the errors of a broken key in the model's words, and a key that no index enforces looked at. */
extern void delta_pair_write(DeltaPair *pair);
extern void delta_pair_free(DeltaPair *pair); /* what delta_pair made, and removed */

extern char *delta_prefixed(const List *columns, const char *prefix);
/* (a, b) = (1, x) for a message; the target's columns stand from attribute first (counted from 0) on. */
extern char *delta_key_text(const DeltaWork *work, TupleDesc desc, int first, Datum *values, bool *nulls);
/* Refuses NULLs and duplicates in the key of a relation (or row set) that has the target's columns. */
extern void delta_check_key(const DeltaWork *work, const char *relation, List *rowsets);

#endif
