/*
 * algebra_internal.h: what a part's groups need kept, shared by algebra*.c.
 */
#ifndef STRATA_ALGEBRA_INTERNAL_H
#define STRATA_ALGEBRA_INTERNAL_H

#include "incremental/incremental.h"

/* What one expression under aggregates is, with its FILTER folded into it: NULL where that does not hold. */
typedef struct AlgebraArgument
{
	int number; /* column a<number> of the core */
	Node *expr;
	Oid type;
	int scale; /* numeric: the display scale of every value; -1: they may differ */
	bool never_null;
} AlgebraArgument;

typedef enum AlgebraRole
{
	ALGEBRA_KEY,
	ALGEBRA_ROWS,    /* of the group */
	ALGEBRA_COUNT,   /* not null */
	ALGEBRA_TRUES,   /* true */
	ALGEBRA_SUM,     /* NaN or infinite as soon as one value is */
	ALGEBRA_SQUARES, /* their sum */
	ALGEBRA_SCALES,  /* how many values have which display scale: 10^(12 * scale) summed */
	ALGEBRA_EXTREMUM
} AlgebraRole;

/* A column of the state. Its first member is what others see of it. */
typedef struct AlgebraColumn
{
	StrataStateColumn state;
	AlgebraRole role;
	Node *key;                 /* ALGEBRA_KEY: the expression */
	Oid key_type;              /* its type; that of the state is the base type of a domain */
	Oid equality;              /* its operator */
	AlgebraArgument *argument; /* the others, but ALGEBRA_ROWS */
	Oid aggregate;             /* ALGEBRA_EXTREMUM */
	Oid beyond;                /* its operator: the left value is the more extreme one */
	bool exact;                /* equal values are the same in every bit */
} AlgebraColumn;

typedef enum AlgebraFinal
{
	ALGEBRA_FINAL_COUNT,
	ALGEBRA_FINAL_SUM,
	ALGEBRA_FINAL_AVG,
	ALGEBRA_FINAL_VARIANCE,
	ALGEBRA_FINAL_AND,
	ALGEBRA_FINAL_OR,
	ALGEBRA_FINAL_EXTREMUM
} AlgebraFinal;

/* An aggregate of the query, made from columns of the state. Column v<number> of the groups. */
typedef struct AlgebraAggregate
{
	int number;
	Aggref *aggref;
	AlgebraFinal final;
	bool sample;    /* divides by n - 1 */
	bool deviation; /* square root */
	AlgebraColumn *count, *sum, *squares, *trues, *extremum;
} AlgebraAggregate;

typedef struct AlgebraPlan
{
	Query *query;     /* own copy of the part's */
	List *columns;    /* AlgebraColumn *: the state */
	List *arguments;  /* AlgebraArgument * */
	List *aggregates; /* AlgebraAggregate * */
	int nkeys;
	List *targets; /* TargetEntry *: the output over the groups; aggregates and keys are Vars of relation 1 */
	Node *having;
	char *refusal;
} AlgebraPlan;

/* The groups, with their aggregates computed: what the output query reads. */
#define ALGEBRA_GROUPS "strata_groups"

/* algebra_exact.c */
extern bool algebra_equal_is_same(Oid type, int32 typmod, Oid collation, int scale);
extern int algebra_scale(Query *query, Node *expr);
extern char *algebra_operator(Oid operator);
extern char *algebra_function(Oid function);
/* algebra_null.c */
extern bool algebra_never_null(Query *query, Node *expr);
/* algebra_sql.c */
extern AlgebraPlan *algebra_plan_of(const StrataAlgebra *algebra);
extern bool algebra_may_stay(const AlgebraColumn *column);
extern char *algebra_merged(const AlgebraPlan *plan, const AlgebraColumn *column);
extern char *algebra_doubts(const AlgebraPlan *plan, bool counted);
extern char *algebra_left_join(const AlgebraPlan *plan, const char *columns, const char *c, const char *s, bool nulls,
							   const char *condition);
extern char *algebra_fresh(const AlgebraPlan *plan, const char *keys, const char *fresh, bool nulls);
/* algebra_final.c */
extern char *algebra_final(const AlgebraAggregate *aggregate, const char *prefix);

#endif /* STRATA_ALGEBRA_INTERNAL_H */
