/*
 * incremental.h: how the result of a query can follow the changes of what it reads.
 *
 * Pure: an analyzed Query in, a plan and SQL text out; no statement is run and nothing is written here. The plan cuts the
 * query into parts. Each part is a query of one level whose result is kept in a table: the last part's is the model's target,
 * those before it are hidden (strata_state.m<id>_p<n>). What a part changed in its table is what the parts above it read
 * as their change. See README.md for the algebra.
 */
#ifndef STRATA_INCREMENTAL_H
#define STRATA_INCREMENTAL_H

#include "base/base.h"
#include "nodes/parsenodes.h"

typedef enum StrataRule
{
	STRATA_RULE_SIGNED,  /* linear: the change is a query over the changes */
	STRATA_RULE_ALGEBRA, /* groups: the change of each group is merged into hidden state (m<id>_s<n>) */
	STRATA_RULE_KEYS,    /* the keys that the change touches are found, and computed again */
	STRATA_RULE_WHOLE    /* computed in full; the differences are its change */
} StrataRule;

/* A part of the query with a table of its own. */
typedef struct StrataPart
{
	int number; /* from 1; the last one's table is the target */
	bool last;
	StrataRule rule;
	bool also_keys; /* ALGEBRA: the rule of keys would serve as well */
	char *what;     /* what it does, for people: "GROUP BY customer_id", "joins 3 relations" */
	char *reason;   /* why this rule, and why not a better one */
	Query *query;   /* reads relations, and earlier parts as RTE_CTE named by strata_part_name() until they are bound */
	List *keys;     /* ALGEBRA, KEYS: int, positions (from 1) of its output columns that are its key; NIL: one group */
	bool keys_unique; /* at most one output row per key (GROUP BY; not windows) */
	List *parts;      /* int: numbers of the parts it reads */
	List *partial;    /* Oid: relations it reads of whose change only a part is known; the rule is then KEYS or WHOLE */
} StrataPart;

typedef struct StrataTreeLine
{
	int depth;
	char *what;
	StrataPart *part; /* whose rule keeps these rows; NULL: they are not kept by themselves */
} StrataTreeLine;

/* A relation the query reads, and which of its columns. */
typedef struct StrataInput
{
	Oid relid;
	Bitmapset *used; /* attribute numbers, offset by FirstLowInvalidHeapAttributeNumber */
} StrataInput;

typedef struct StrataIncremental
{
	List *parts;  /* StrataPart *, each after those it reads */
	List *inputs; /* StrataInput * */
	List *
		functions; /* Oid: immutable functions of users that it calls: with another body the plan means something else */
	List *tree;    /* StrataTreeLine *: the query, for people */
	bool names;    /* of columns of its inputs are values of the result */
	bool whole;    /* the last part reads relations and is computed in full: nothing is gained */
	char *why_whole; /* then, in words */
	StrataPart *
		reads_all; /* the first part that is computed in full from relations, the last or another; NULL: there is none */
} StrataIncremental;

/*
 * The name under which a row set holds the change of an input: "strata_change_<relid or part>". Its columns: the relation's by
 * attribute number (dropped and unused ones NULL), then strata_sign int4 (never 0; one row per image).
 */
#define STRATA_SIGN "strata_sign"

/* An input that has changed: a relation (also the bound table of a part), and the row set that holds its change. */
typedef struct StrataChanged
{
	Oid relid;
	char *rowset;
} StrataChanged;

/*
 * plan.c: the plan of an analyzed, not rewritten query (as stored in a view). Does not change its argument. opaque: views (Oid) that
 * are taken as relations, and not written out.
 */
extern StrataIncremental *strata_incremental_plan(Query *query, List *opaque);
extern char *strata_part_name(int number); /* "strata_part_<n>" */
/* Tables of the hidden parts, by number - 1; turns references to parts into references to these. */
extern void strata_incremental_bind(StrataIncremental *plan, const List *relids);
/* What the part computes, as SQL. */
extern char *strata_incremental_full(const StrataPart *part);

/*
 * partial.c: relations (Oid) of which only the present versions of the rows that came or changed are known, all of sign 1, and never what
 * went. The parts that read one are kept by the rule of keys: what the rows touch is computed again. target_key: names of the last part's
 * columns. Why that cannot be done, in words; NULL: it was. Before parts are bound.
 */
extern char *strata_incremental_partial(StrataIncremental *plan, const List *relids, const List *target_key);
/* A linear part as one that is kept by these of its columns (positions), which tell its rows apart. */
extern StrataPart *strata_incremental_by_key(const StrataPart *part, List *positions);

/*
 * linear.c: signed changes. A linear query: no grouping, DISTINCT, window, LIMIT, CTE; FROM with any joins over relations,
 * linear subqueries, UNION ALL, functions, VALUES; WHERE with any sublinks.
 */
/* Why the change of this query cannot be had as signed rows, in words; NULL when it can. */
extern char *strata_incremental_linear_refusal(Query *query);
/*
 * The signed rows by which its result changes, as a query: its output columns, then strata_sign; opposite rows may
 * both occur. NULL when none of what it reads is among the changed (StrataChanged *).
 */
extern Query *strata_incremental_change(Query *query, const List *changed);
extern char *strata_incremental_deparse(Query *query); /* SQL, as PostgreSQL prints it, every name qualified */

/*
 * lookups.c: a part that gives the rows of one member of FROM with columns looked up beside them, each by a LEFT JOIN. NULL: it is no such part.
 */
typedef struct StrataLookups StrataLookups;
extern StrataLookups *strata_incremental_lookups(const StrataPart *part);
/* Positions (from 1) of the output columns that are looked up in what has changed (StrataChanged *; NIL: in anything). */
extern List *strata_lookups_columns(const StrataLookups *lookups, const List *changed);
/* Whether the rows themselves hang on what has changed. */
extern bool strata_lookups_rows_changed(const StrataLookups *lookups, const List *changed);
/* Positions of the output columns, those of the rows, that keys are looked up by. */
extern List *strata_lookups_inputs(const StrataLookups *lookups);
/* The rows by themselves, as a query: all output columns, those looked up NULL. */
extern Query *strata_lookups_rows(const StrataLookups *lookups);
/*
 * SQL: the row set's rows as they are, but for the columns that are looked up in what has changed (NIL: in anything), which are looked up anew. The
 * output columns stand in the row set after its first ones; more may follow them.
 */
extern char *strata_lookups_over(const StrataLookups *lookups, const StrataRowSet *set, int first, const List *changed);

/* keys.c: affected keys */
/* Query of the distinct keys that the change touches: columns k1, k2, ... NULL when nothing it reads has changed. */
extern char *strata_incremental_keys(const StrataPart *part, const List *changed);
/* The part restricted to the keys in the row set (columns k1, ...). nulls: some of these keys hold a NULL. */
extern char *strata_incremental_restricted(const StrataPart *part, const char *rowset, bool nulls);
/* The condition that columns (char *) of alias match the row set's keys, NULLs included when nulls is set. */
extern char *strata_incremental_key_match(const StrataPart *part, const char *alias, const List *columns,
										  const char *keys_alias, bool nulls);

/*
 * algebra.c: groups by state. Columns of the state: k1.. (the key), n (rows), then what the aggregates need.
 */
typedef struct StrataStateColumn
{
	char *name;
	Oid type;
	int32 typmod;
	Oid collation;
} StrataStateColumn;

typedef struct StrataAlgebra
{
	const StrataPart *part;
	int nkeys;
	List *columns; /* StrataStateColumn * of the state table, in order */
	Query *core;   /* linear: k1.., then the aggregates' arguments */
	List *
		shown; /* int: the output column (from 1) that shows each of the state's; NIL: the output does not tell the state */
	List *shown_keys;      /* likewise of its keys only; NIL: not all of them are shown, or there is none */
	bool keys_have_values; /* no key can be NULL */
	bool may_stay;         /* it has extremes that strata_algebra_counted() looks at */
	bool
		consolidated; /* changes that leave an extremum as it was are taken for others unless they are consolidated first */
	void *private;
} StrataAlgebra;

extern char *strata_incremental_algebra_refusal(Query *query); /* why not, in words; NULL when it can */
extern StrataAlgebra *strata_incremental_algebra(const StrataPart *part);
/* All state rows, from what the part reads. rowset: only the keys in it (k1, ..); NULL: all. */
extern char *strata_algebra_state(const StrataAlgebra *algebra, const char *rowset, bool nulls);
/* The change by group: k1.., n, changes of the state. NULL when nothing it reads has changed. */
extern char *strata_algebra_change(const StrataAlgebra *algebra, const List *changed);
/* The keys that the change touches: k1.. NULL: no change, or no keys. */
extern char *strata_algebra_touched(const StrataAlgebra *algebra, const List *changed);
/*
 * The row set of the statement above, joined to the state table: strata_ctid (NULL: a new group), k1..,
 * the old state as o_n, o_..., the new as n, ..., and strata_rescan. nulls: keys may be NULL. counted: it is that of strata_algebra_counted.
 */
extern char *strata_algebra_merge(const StrataAlgebra *algebra, const char *change, const char *state, bool nulls,
								  bool counted);
/* The new state must be computed again from what the part reads: an extremum left, NaN, a scale left. */
#define STRATA_RESCAN 2
/* Not if the extremum that left came as often as it left: strata_algebra_counted tells. */
#define STRATA_RESCAN_COUNT 1
/* The groups (of strata_algebra_change) of these keys (NULL: all), and which of their extremes came as often as they left. */
extern char *strata_algebra_counted(const StrataAlgebra *algebra, const List *changed, const char *groups,
									const char *keys, bool nulls);
/* As strata_algebra_merge, for the groups of the keys as strata_algebra_state() gives them (fresh). keys, fresh: row sets */
extern char *strata_algebra_rescanned(const StrataAlgebra *algebra, const char *keys, const char *fresh,
									  const char *state, bool nulls);
/*
 * The same two where a table of the output is the state, for strata_delta_merge_take: the row's address, n, strata_rescan, the output columns as they
 * shall be, then those that may differ (not keys) as they are. columns: names of the table's. HAVING there is none.
 */
extern char *strata_algebra_own_merge(const StrataAlgebra *algebra, const char *change, const char *table,
									  const List *columns, bool nulls, bool counted);
extern char *strata_algebra_own_rescanned(const StrataAlgebra *algebra, const char *keys, const char *fresh,
										  const char *table, const List *columns, bool nulls);
/* Such rows of merged groups (strata_algebra_merge) beside those of a table that shows their keys; n is 0 where HAVING does not hold. */
extern char *strata_algebra_keyed_output(const StrataAlgebra *algebra, const char *merge, const char *table,
										 const List *columns, bool nulls);
/* Signed output rows (the part's columns, strata_sign) of merged groups: the old ones out, the new ones in. */
extern char *strata_algebra_output(const StrataAlgebra *algebra, const char *merge);
/* The part's output from the whole state table. */
extern char *strata_algebra_result(const StrataAlgebra *algebra, const char *state);

#endif /* STRATA_INCREMENTAL_H */
