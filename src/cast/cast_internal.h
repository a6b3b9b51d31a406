/*
 * cast_internal.h
 *		What the files of the cast room share: one call site, and the two
 *		ways it can convert.
 */
#ifndef STRATA_CAST_INTERNAL_H
#define STRATA_CAST_INTERNAL_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"
#include "utils/datetime.h"

typedef struct StrataCast StrataCast;
typedef struct StrataCastWords StrataCastWords;

/*
 * Converts a NUL-terminated string without ever throwing on bad data: false
 * means that the server's own input function would have refused it.
 */
typedef bool (*StrataCastParser)(StrataCast *cast, char *str, Size len, Datum *result);

/*
 * One call of try_cast or cast_error in one expression, kept in fn_extra: the
 * target type never changes there.
 */
struct StrataCast
{
	Oid target;
	int32 typmod;  /* of the second argument, or of the domain; -1: none */
	Oid collation; /* of the first argument */
	bool is_domain;
	bool is_date;    /* words that mean the clock are refused */
	Oid target_base; /* under a domain, when there is a parser */

	/* what the conversion runs (see strata_cast_inspect) */
	bool foreign_code;   /* a function written in SQL or a PL */
	bool extension_code; /* a C function of an extension */

	/* Without subtransaction; NULL: this type needs the guard. */
	StrataCastParser parse;
	PGFunction rescale;             /* applies typmod, and cannot fail; or NULL */
	FmgrInfo input;                 /* the target's input function, */
	Oid ioparam;                    /* where the parser calls it */
	StrataCastWords *unknown_zones; /* words of dates that name no time zone */

	/* Under guard: the explicit cast itself, as an expression over a text. */
	MemoryContext context; /* holds state and econtext, and nothing else */
	Expr *expr;
	ExprState *state;
	ExprContext *econtext;
};

/* cast_site.c */
extern StrataCast *strata_cast_site(FunctionCallInfo fcinfo);
extern void strata_cast_prepare(StrataCast *cast, MemoryContext parent);

/* cast_traits.c */
typedef struct StrataCastTraits
{
	bool foreign_code;
	bool extension_code;
	bool constrained; /* a domain with constraints is involved */
	bool hard_errors; /* an input function not known to report softly */
} StrataCastTraits;

extern void strata_cast_inspect_type(Oid type, StrataCastTraits *traits);
extern void strata_cast_inspect_expr(Node *expr, StrataCastTraits *traits);

/* cast_zones.c */

/* What ParseDateTime leaves; the size of the buffer is part of what it accepts. */
typedef struct StrataTimeFields
{
	char buffer[MAXDATELEN + MAXDATEFIELDS];
	char *field[MAXDATEFIELDS];
	int type[MAXDATEFIELDS];
	int count;
} StrataTimeFields;

typedef enum StrataTimeVerdict
{
	TIME_READ,    /* may be read, or was */
	TIME_REFUSED, /* the server would refuse it */
	TIME_ASK      /* only the cast itself knows, which may throw */
} StrataTimeVerdict;

extern StrataTimeVerdict strata_cast_check_zones(StrataCast *cast, const StrataTimeFields *fields);

/* cast_clock.c */
extern bool strata_cast_is_date(Oid type); /* a date or time whose texts can name the clock */
extern bool strata_cast_means_clock(const char *str, Size len);

/* cast_guard.c */
extern bool strata_cast_guarded(StrataCast *cast, Datum value, bool isnull, Datum *result, bool *result_isnull,
								char **reason);

/* cast_soft.c (servers with soft errors) or cast_parse.c (servers without) */
extern bool strata_cast_choose_parser(StrataCast *cast, Oid base, MemoryContext context);

#endif /* STRATA_CAST_INTERNAL_H */
