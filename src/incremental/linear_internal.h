/*
 * linear_internal.h: what the linear_*.c files share. Canonical form, and the algebra over it.
 *
 * A canonical level is a Query whose FROM is a plain list of its range table, in order, with all conditions in WHERE (a List of
 * conjuncts); or an outer query: FROM holds one outer join of entries 1 and 2 and the target list columns of them only.
 */
#ifndef STRATA_INCREMENTAL_LINEAR_INTERNAL_H
#define STRATA_INCREMENTAL_LINEAR_INTERNAL_H

#include "incremental/incremental.h"

typedef struct LinearContext
{
	const List *changed; /* StrataChanged * */
	int names;           /* names given out */
} LinearContext;

/* Two sides, 1 and 2, and the condition (conjuncts over varnos 1 and 2) by which their rows match. */
typedef struct LinearMatch
{
	RangeTblEntry *sides[2];
	RangeTblEntry *changes[2]; /* the signed change of each; NULL: unchanged */
	List *quals;
} LinearMatch;

/* ---- linear_build.c: nodes ---- */
extern RangeTblEntry *strata_linear_subquery(Query *query, const char *alias, bool lateral);
/* A query made for the level, as a subquery of a query made for the level: what it reads outside is one level further. */
extern RangeTblEntry *strata_linear_nest(Query *query, const char *alias);
extern RangeTblEntry *strata_linear_cte(const char *name, Query *body, const char *alias);
extern RangeTblEntry *strata_linear_rowset(Oid relid, const char *rowset, const char *alias);
extern Query *strata_linear_query(List *rtable, List *quals, List *targets);
/* FROM 1 <type> JOIN 2 ON quals */
extern Query *strata_linear_join(RangeTblEntry *left, RangeTblEntry *right, JoinType type, List *quals, List *targets);
extern Query *strata_linear_union(List *arms, List *ctes);
extern void strata_linear_with(LinearContext *context, List **ctes, RangeTblEntry *rte, const char *what);
extern Expr *strata_linear_op(const char *name, Node *left, Node *right);
extern Node *strata_linear_int(int value);
extern Node *strata_linear_case(Node *condition, Node *then, Node *otherwise);
extern Node *strata_linear_aggregate(Oid function, Oid result, Node *argument);
extern Var *strata_linear_column(RangeTblEntry *rte, int varno, int column);
extern Var *strata_linear_sign(RangeTblEntry *rte, int varno);
extern Node *strata_linear_times(Node *a, Node *b); /* either NULL: the other */
extern Node *strata_linear_negate(Node *sign);      /* NULL: -1 */
extern void strata_linear_add_target(List **targets, Node *expr, const char *name);
extern List *strata_linear_signed_targets(const List *targets, Node *sign);
extern List *strata_linear_plain_targets(const List *targets); /* copy, without junk */
extern List *strata_linear_group(List *targets, int first, int last);
extern List *strata_linear_replace(List *list, int index, void *item);

/* Whole rows of relations, where a row set or subquery has come in their place, put together from its columns. */
extern Query *strata_linear_make_rows(Query *query);

/* ---- linear_canon.c: canonical form ---- */
extern bool strata_linear_is_outer(const Query *query);
extern JoinExpr *strata_linear_outer_join(const Query *query);
extern Query *strata_linear_canonical(Query *query);
/* The level as a query over one subquery (entry 1) that holds its FROM and all conditions but those outside. */
extern Query *strata_linear_wrap(Query *level, const List *outside);
extern Query *strata_linear_peel(const LinearContext *context, Query *level, Node *sublink);
extern Query *strata_linear_keep_entries(Query *level, const Bitmapset *outside);
extern int strata_linear_export(Query *query, Node *expr, const char *name);
extern const char *strata_linear_column_name(const RangeTblEntry *rte, AttrNumber column);

extern List *strata_linear_conjuncts(Node *quals);

/* ---- linear_sublinks.c: subqueries in conditions ---- */
extern bool strata_linear_decorrelate(Query **body, int number, List **quals);
extern bool strata_linear_looks_outside(Node *node);
extern Node *strata_linear_as_exists(SubLink *link);
/* A conjunct that is a sublink, as a match: its rows (side 2 of the match), conditions; false when it cannot be one. */
extern bool strata_linear_semi(Node *conjunct, bool *anti, RangeTblEntry **rows, List **quals);
extern Node *strata_linear_rewrite_conjuncts(Node *quals);

/* ---- linear_match.c: rows that depend on a match ---- */
extern List *strata_linear_transitions(LinearContext *context, const LinearMatch *match, int side, List *targets,
									   int factor, List **ctes);
/* The side's rows, as they were, that match the other's change: the columns, strata_sign. */
extern Query *strata_linear_affected(const LinearMatch *match, int side, List *columns);

/* ---- linear_dependent.c: values that depend on other rows ---- */
extern Node *strata_linear_find_sublink(const LinearContext *context, Node *node); /* one that has changed */
extern Query *strata_linear_change_sublink(LinearContext *context, Query *level, Node *sublink);
extern Query *strata_linear_change_lateral(LinearContext *context, Query *outer, int number);
extern char *strata_linear_refuse_sublink(SubLink *link);
extern char *strata_linear_refuse_expression(Node *node); /* one that may hold sublinks */
extern char *strata_linear_refuse_lateral(Query *body);

/* ---- linear_old.c: rows as they were ---- */
extern Node *strata_linear_before(LinearContext *context, Node *node, List **ctes);

/* ---- linear_refusal.c ---- */
extern char *strata_linear_refuse(Query *query);
extern char *strata_linear_refuse_columns(const Query *query, bool rows);

/* ---- linear.c ---- */
extern Query *strata_linear_term(Query *level, RangeTblEntry **replaced, Node *sign);
extern const StrataChanged *strata_linear_changed(const LinearContext *context, Oid relid);
extern bool strata_linear_touches(const LinearContext *context, Node *node);
extern bool strata_linear_reads(Node *node);
extern Query *strata_linear_change(LinearContext *context, Query *query);
extern RangeTblEntry *strata_linear_delta(LinearContext *context, RangeTblEntry *rte, List **ctes);

#endif /* STRATA_INCREMENTAL_LINEAR_INTERNAL_H */
