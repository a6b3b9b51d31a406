/*
 * incremental_internal.h: what the files of this room share.
 */
#ifndef STRATA_INCREMENTAL_INTERNAL_H
#define STRATA_INCREMENTAL_INTERNAL_H

#include "incremental/incremental.h"

/* ---- normalise.c ---- */

/*
 * One query tree without views, CTEs, aliases of joins, and sorting that decides nothing. Scribbles on its argument.
 * Returns why that cannot be done, in words, or NULL.
 */
extern char *incremental_normalise(Query *query, List *opaque, bool *names);
/* rows.c: to_jsonb(row) of this level as the object of its columns. True: names of a relation's columns stand in the result now. */
extern bool incremental_write_out_rows(Query *query);
/* Reads nothing of the levels around it. */
extern bool incremental_is_closed(Query *query);
/* The range table indexes of this level that FROM or the set operations name. */
extern Bitmapset *incremental_members(Query *query);
extern List *incremental_visible(Query *query); /* TargetEntry *: those that are output */
extern void incremental_rename(Query *query, List *names);

/* ---- split.c: one level into two ---- */

/* The level as a subquery of a new one that takes over DISTINCT ON, ORDER BY and LIMIT. */
extern Query *incremental_split_top(Query *query, bool distinct_on);
/* Grouping as a subquery of what stands above it: windows, sets, sublinks. */
extern Query *incremental_split_grouping(Query *query);
/* Aggregates of DISTINCT values of one expression, without GROUP BY, over the values as groups. NULL: it is no such level. */
extern Query *incremental_split_distinct(Query *query);
/* SELECT DISTINCT as grouping by all columns. */
extern Query *incremental_distinct_to_group(Query *query);
extern Query *incremental_select_from(Query *query, const char *alias); /* SELECT all columns FROM (query) */
extern RangeTblEntry *incremental_subquery_entry(Query *query, const char *alias);
extern Var *incremental_column(Index varno, AttrNumber number, Node *of);
/* Junk entries last, numbered again. */
extern void incremental_renumber(Query *query);
/* The only member of FROM, if it is a subquery that reads nothing else; else NULL. */
extern RangeTblEntry *incremental_only_subquery(Query *query);
/* What is computed for each row before grouping or windows: keys and arguments. sublinks: only those with a sublink. */
extern List *incremental_row_expressions(Query *query, bool sublinks);
/* FROM and WHERE of the level, with these expressions as columns k1, k2, ... */
extern Query *incremental_core(Query *query, List *expressions);
extern bool incremental_groups(Query *query); /* GROUP BY, aggregates, HAVING */

/* ---- sublinks.c ---- */

/* Scalar subqueries of a level as members of FROM, where that gives the same. */
extern void incremental_join_sublinks(Query *query);

/* ---- split_sets.c ---- */

/* Set operations by UNION ALL, grouping and filters. */
extern Query *incremental_split_set_operations(Query *query);
/* Grouping sets as the UNION ALL of groupings. NULL when there are too many. */
extern Query *incremental_split_grouping_sets(Query *query);

/* ---- tree.c ---- */

extern char *incremental_describe(Query *query, Node *expression);
extern char *incremental_describe_from(Query *query);
extern List *incremental_tree(const StrataIncremental *plan);
extern const char *incremental_rule_name(StrataRule rule);

/* ---- cut.c ---- */

/* Parts of a normalised query; scribbles on it. Returns why it cannot be cut, or NULL. */
extern char *incremental_cut(StrataIncremental *plan, Query *query);
/* One part: the query. */
extern void incremental_leave_whole(StrataIncremental *plan, Query *query, char *reason);

/* ---- plan.c ---- */

extern int incremental_part_of(const RangeTblEntry *rte); /* number of the part it names, 0 for others */

/* ---- keys.c ---- */

/* The key of a part at the level where it groups, and that level (of a part's query, or a copy of it). */
typedef struct IncrementalKey
{
	Node *expression;
	Oid equality; /* operator */
} IncrementalKey;

extern Query *incremental_key_level(Query *query);
extern List *incremental_keys_of(Query *query, const List *positions); /* IncrementalKey *, at the key level */

/* ---- partial.c ---- */

/*
 * SELECT statements (char *) of the keys that the rows known of partial relations have, whatever becomes of the rows further on. True: that
 * is all that these relations can touch.
 */
extern bool incremental_keys_of_rows(const StrataPart *part, const List *changed, List **statements);

#endif /* STRATA_INCREMENTAL_INTERNAL_H */
