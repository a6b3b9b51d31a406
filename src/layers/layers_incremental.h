/*
 * layers_incremental.h: keeping a model's rows by the changes of what it reads.
 */
#ifndef STRATA_LAYERS_INCREMENTAL_H
#define STRATA_LAYERS_INCREMENTAL_H

#include "capture/capture.h"
#include "incremental/incremental.h"
#include "layers/layers_internal.h"

/* How the changes of a source are told, as it is declared; without declaration AUTO. */
typedef enum IncrementalMode
{
	SOURCE_AUTO,      /* captured where that can be done, else compared */
	SOURCE_CAPTURE,   /* captured, or its readers are refused */
	SOURCE_WATERMARK, /* the rows loaded since: what went is not seen */
	SOURCE_COMPARE    /* its readers are computed in full */
} IncrementalMode;

typedef struct IncrementalSource
{
	Oid relid;
	IncrementalMode mode;
	AttrNumber loaded_at; /* of a watermark */
	Oid type;             /* of that column, no domain */
	Interval *lookback;   /* NULL: none */
	const char
		*ignored; /* the role whose declaration does not hold for the model's owner: the mode is AUTO; else NULL */
} IncrementalSource;

/* How a model's rows follow from what it reads, with the tables that this takes. */
typedef struct IncrementalModel
{
	StrataModel *model;
	List *key;            /* names: the target's declared key or grain */
	const char *key_word; /* "key", "grain" */
	bool extract;         /* of a dimension: the rows of the last part are not kept as they are */
	List *columns;        /* names of the last part's columns */
	StrataIncremental *plan;
	List *hidden;             /* Oid: tables of the hidden parts, by number - 1 */
	List *states;             /* Oid: state table of each part, by number - 1; InvalidOid none, or the target is */
	List *algebras;           /* StrataAlgebra *: likewise; NULL none */
	const LayersHooks *hooks; /* NULL: none */
	List *tables;             /* Oid: tables beside the target, as they were found; NIL none */
	List *lookups;            /* IncrementalLookup *: of a fact, those that serve */
	List *unfinished;         /* UnfinishedTable *: tables just made, which lack their index and their owner */
	List *positions;          /* IncrementalPosition *: where a build began */
	List *sources;            /* IncrementalSource *: those whose declared mode is another than AUTO */
	bool insists;             /* a source is declared to be captured, and cannot be */
	const char *refusal;      /* why it is computed in full, in words; NULL: it is incremental */
	bool waits;               /* it would be, but for capture that is not on yet */
	bool unmade;              /* it would be, but for hidden tables that are not there */
	char *signature;          /* of all that the stored state rests on */
} IncrementalModel;

/* layers_incremental_own.c: whether the target's rows are the state of the part's groups */
extern bool layers_owns_state(const IncrementalModel *m, const StrataPart *part, const StrataAlgebra *algebra);
/* whether its rows are found by their groups' keys, and written as they are */
extern bool layers_finds_groups(const IncrementalModel *m, const StrataPart *part, const StrataAlgebra *algebra);

/* How far a model has seen one of its inputs. */
typedef struct IncrementalPosition
{
	StrataCaptureChanges *captured; /* NULL: the rest */
	const IncrementalSource *source;
	const StrataModel *model;
	bool known;
	int64 seen; /* the greatest loaded_at; a timestamp or date as the instant it is in UTC */
} IncrementalPosition;

/*
 * A column of a fact that holds the surrogate key of a dimension: the facts that a change of the dimension concerns
 * are those that point at a version changed, and those that point at none and have the key of a new one.
 */
typedef struct IncrementalLookup
{
	Oid dimension;
	const char *label;
	char *surrogate;         /* its column in the dimension */
	char *column;            /* and in the fact */
	List *dimension_columns; /* names: the natural key */
	List *fact_columns;      /* names, beside them */
	char *as_of;             /* the fact's moment; NULL: it points at the current version */
	bool early_first;        /* the first version covers what was before it */
	bool infer;              /* its members that are lacking are made */
} IncrementalLookup;

/* layers_fact.c */
extern List *layers_fact_lookups(StrataModel *model);
/* Names of what a version is looked up by, in the order that a part which reads it has them; a part of first versions adds where they begin. */
extern List *layers_fact_version_columns(char *surrogate, const List *key);

typedef enum IncrementalOpen
{
	INCREMENTAL_LOOK,     /* change nothing */
	INCREMENTAL_MAKE,     /* create the hidden tables that are missing, and replace those of another shape */
	INCREMENTAL_SUBSCRIBE /* subscribe to the changes of what is read: locks it for a moment */
} IncrementalOpen;

/* The plan of a model whose rows are those of the query (the target's columns, in its order). As the owner. */
extern IncrementalModel *layers_incremental_open(StrataModel *model, const char *query, List *key, const char *key_word,
												 IncrementalOpen how);
/* Why the stored state is not what the plan needs, in words; NULL: it is. */
extern const char *layers_incremental_lacks(const IncrementalModel *m);
extern void layers_incremental_set_built(const IncrementalModel *m, Snapshot snapshot);
/* It was computed in full and its state was not kept up. */
extern void layers_incremental_unbuilt(const StrataModel *model);
/* Hidden tables, subscriptions, and what is known about it: all gone. */
extern void layers_incremental_forget(const StrataModel *model);

/* layers_incremental_tables.c: the tables beside a target, see LayerRoutine.tables */
extern List *layers_tables_known(const StrataModel *model, Snapshot snapshot);
extern bool layers_tables_are(const StrataModel *model, const char *known);
extern void layers_tables_watch(const StrataModel *model);
extern void layers_tables_add(const StrataModel *model, const List *made);
extern void layers_tables_analyze(const StrataModel *model, const StrataDeltaCounts *counts);
extern char *layers_tables_text(const StrataModel *model, const List *tables);

/*
 * layers_incremental_run.c. False: it could not be done so (result->method says why), nothing that matters was
 * changed, and the model has to be computed in full.
 */
extern bool layers_incremental_refresh(IncrementalModel *m, const StrataRefresh *refresh, StrataRefreshResult *result);
/* The same, unless all of it has to be computed anyway: then false, too. layers_table.c */
extern bool layers_refresh_by_changes(StrataModel *model, IncrementalModel *m, const StrataRefresh *refresh,
									  StrataRefreshResult *result);
/* Runs body in a subtransaction. False: it gave false, or failed on the data; what it did is undone in the latter case. */
extern bool layers_incremental_attempt(bool (*body)(void *), void *arg, char **why);

/* What a fact is kept by row by row (layers_incremental_fact.c), as SQL. */
typedef struct FactStatements
{
	char *rows;  /* the change of its rows, without keys; NULL: there is none */
	char *keys;  /* their keys */
	char *facts; /* those that a dimension's change concerns; NULL: none has changed */
} FactStatements;

/* False: these changes (StrataChanged *) are not followed row by row. statements may be NULL. */
extern bool layers_fact_explain(IncrementalModel *m, const StrataPart *part, List *changed, FactStatements *statements);

/* A dimension: the keys that changes touch, and the rows its query gives for them. */
typedef struct IncrementalExtract
{
	StrataRowSet *keys; /* dimension_keys: the columns below; NULL: nothing has changed */
	StrataRowSet *rows; /* dimension_extract; NULL: no keys */
	List *columns;      /* names: the part of the natural key by which it is restricted */
	List *positions;
	StrataRefreshResult ignored;
	uint64 n_changed; /* rows of what it reads */
} IncrementalExtract;

/* The last part by the rule of keys: how its rows can be had for some members only; NULL: they cannot. */
extern StrataPart *layers_incremental_keyed_last(const IncrementalModel *m);
extern bool layers_incremental_extract(IncrementalModel *m, const StrataRefresh *refresh, char **why,
									   IncrementalExtract *extract);
extern void layers_incremental_advance(List *positions);
/* The state tables and hidden parts from nothing; the caller then writes the target with the SQL given back. */
extern char *layers_incremental_build(IncrementalModel *m, const StrataRefresh *refresh);
extern void layers_incremental_not_built(const IncrementalModel *m, const StrataRefresh *refresh);
/* What INCREMENTAL_MAKE left of a table for when its rows are in; InvalidOid: of all. */
extern void layers_incremental_finish(IncrementalModel *m, Oid relid);
extern void layers_incremental_built(IncrementalModel *m, const StrataRefresh *refresh);

extern char *layers_why_full(const IncrementalModel *m, const StrataRefresh *refresh); /* layers_table.c */

/* layers_watermark.c */
extern int layers_source_mode(const char *name); /* -1: there is no such mode */
extern bool layers_is_watermark_type(Oid type);
extern List *layers_declared_sources(const StrataModel *model);
extern const IncrementalSource *layers_source_of(const IncrementalModel *m, Oid relid); /* NULL: AUTO */
extern bool layers_has_watermark(const IncrementalModel *m, Oid relid);
extern List *layers_source_relids(const IncrementalModel *m, bool watermark);
/* Why its changes cannot be had, in words; NULL: they can. */
extern const char *layers_source_refusal(const IncrementalModel *m, Oid relid);
extern IncrementalPosition *layers_watermark_position(const IncrementalModel *m, Oid relid);
/* What there is now: for one who reads all of it next. */
extern IncrementalPosition *layers_watermark_now(const IncrementalModel *m, Oid relid, const StrataRefresh *refresh);
/* The rows beyond the position, in the shape that capture gives; the position moves on. */
extern StrataRowSet *layers_watermark_rowset(IncrementalPosition *p, const char *name, const Bitmapset *used,
											 const StrataRefresh *refresh);
extern void layers_watermark_advance(const IncrementalPosition *p);
extern char *layers_watermark_words(const IncrementalPosition *p);

/* layers_advice.c: what to do about what is said to be computed in full for this reason, as words; NULL: nothing is known */
extern const char *layers_advice(const char *reason);
extern bool layers_was_asked_for(const char *advice); /* NULL: no */
extern const char *layers_reason_words(const char *reason);
extern const char *layers_incremental_shortfall(const IncrementalModel *m);
/* "its layer ..." as "Its layer ... ." */
extern char *layers_sentence(const char *words);
extern char *layers_capitalized(const char *words);
/* Tables and subscriptions it needs, as things stand now: layers_define.c */
extern void layers_prepare_incremental(StrataModel *model);
extern double strata_layers_full_cost; /* setting strata.incremental_full_cost */
/* Setting strata.incremental_rule: which way a refresh goes, where it can go so. */
typedef enum IncrementalForced
{
	INCREMENTAL_AUTO,    /* as the costs say, where it can matter */
	INCREMENTAL_COSTS,   /* however few the rows */
	INCREMENTAL_ALGEBRA, /* changes are added up */
	INCREMENTAL_KEYS,    /* groups touched are computed again */
	INCREMENTAL_FULL     /* everything is */
} IncrementalForced;
extern int strata_layers_rule;
extern bool strata_layers_incremental; /* setting strata.incremental */

#endif
