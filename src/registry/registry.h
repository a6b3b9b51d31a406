/*
 * registry.h: the store of what is declared. Rows in, rows out: it knows no layer's rules and runs no user SQL.
 */
#ifndef STRATA_REGISTRY_H
#define STRATA_REGISTRY_H

#include "base/base.h"

typedef enum StrataLayer
{
	STRATA_STAGING,
	STRATA_DIMENSION,
	STRATA_FACT,
	STRATA_MART
} StrataLayer;

typedef struct StrataColumn
{
	char *name;
	char *type; /* format_type with typmod */
	char *role; /* key, history, fixed, overwrite, surrogate key, dimension key, grain, valid time, attribute */
} StrataColumn;

typedef struct StrataDependency
{
	char *schema;
	char *name;
	char *via;    /* dimension: as one of a fact alone; query */
	int model_id; /* 0: not a model */
	/* of what is not a model, with all models loaded: a view, rejected rows, a part of a target or a table with targets as its parts */
	List *beneath;     /* StrataDependency *: the models whose rows it shows */
	bool shows_others; /* rows of what is no model as well */
	List *views;       /* Oid: itself and the views beneath, when it is one */
} StrataDependency;

typedef struct StrataLineageRow
{
	char *column; /* NULL: decides rows */
	char *schema;
	char *relation;
	char *source_column;
	char *kind;
} StrataLineageRow;

typedef struct StrataModel
{
	int id;
	char *schema;
	char *name;
	char *label; /* schema.name, quoted: for SQL and for messages */
	StrataLayer layer;
	char *kind;  /* view | table | date */
	char *query; /* as the user wrote it */
	Jsonb *options;
	char *refresh; /* auto | full */
	char *hash;
	char *search_path;
	StrataSettings settings;
	char *description;
	List *tags; /* char * */
	Jsonb *column_comments;
	bool time_dependent;
	bool deterministic; /* its result hangs on nothing but the rows it reads */
	int version;
	int applied_version; /* 0: never built */
	char *pending;
	TimestampTz refreshed_at; /* 0: never */
	TimestampTz changed_at;
	int64 row_count;    /* -1: unknown */
	List *dependencies; /* StrataDependency *; loaded with the model */
	Oid relid;          /* target; InvalidOid when it does not exist */
	Oid owner;          /* whom the model belongs to: the owner of query_view, and of the target */
	Oid stranger;       /* a relation of another owner under the target's name; relid is InvalidOid then */
	char *query_view;   /* strata_state.m<id>_query, quoted */
} StrataModel;

extern const char *strata_registry_layer_name(StrataLayer layer);

/* All models, ordered by id. Dependencies are filled, with what is beneath them. */
extern List *strata_registry_models(void);
/* Fills in what is beneath these, as of a definition that is not stored. */
extern void strata_registry_see_through(List *dependencies);
/* The relation itself, or when it is a view, those beneath it that are none: Oid. */
extern List *strata_registry_tables_beneath(Oid relid);
/* Whether other relations may show the model's rows: views, parts of its target, its rejected rows. False: none does. */
extern bool strata_registry_may_be_shown(const StrataModel *model);
extern StrataModel *strata_registry_model_by_id(int id);                        /* NULL when absent */
extern StrataModel *strata_registry_find(const char *schema, const char *name); /* NULL when absent */
/* By a user's text (schema.name, or name alone when only one model has it); error with suggestions when absent. */
extern StrataModel *strata_registry_get(const char *text, const char *argument);
/* Error unless the target exists and is the model's. */
extern void strata_registry_require_target(const StrataModel *model);
/* Whether target, name and owner are still what they were when the model was loaded. */
extern bool strata_registry_stands(const StrataModel *model);
/* Error unless the caller has the rights of the model's owner. */
extern void strata_registry_require_owner(const StrataModel *model, const char *verb);
/* Model-level lock to the end of the transaction: false when wait is false and another holds it. */
extern bool strata_registry_lock(int model_id, bool wait);

/* Whether the relation is a model's target, and if so, whether the snapshot has the last run that refreshed it. */
typedef enum StrataTargetSeen
{
	STRATA_NO_TARGET,
	STRATA_TARGET_SEEN,
	STRATA_TARGET_MOVED
} StrataTargetSeen;

extern StrataTargetSeen strata_registry_is_seen(Oid relid, Snapshot snapshot);

/* Writes; all as the keeper. insert gives the new id. */
extern int strata_registry_insert(const StrataModel *model);
extern void strata_registry_update_definition(const StrataModel *model); /* version + 1, pending */
/* Description, tags, column comments, refresh: what leaves the data as they are. */
extern void strata_registry_update_words(const StrataModel *model);
extern void strata_registry_delete(int model_id);
extern void strata_registry_set_columns(int model_id, const List *columns); /* StrataColumn * */
extern List *strata_registry_columns(int model_id);
extern void strata_registry_set_dependencies(int model_id, const List *dependencies);
extern void strata_registry_set_lineage(int model_id, const List *rows); /* StrataLineageRow * */
extern void strata_registry_set_state(int model_id, int applied_version, TimestampTz refreshed_at, bool changed,
									  int64 row_count, int64 run_id);
/* The model's rows changed: what reads it must look again. */
extern void strata_registry_touch(int model_id);
/* Columns whose values the next refresh fills in place, without making versions of it. */
extern void strata_registry_set_backfill(int model_id, const List *columns);
extern List *strata_registry_backfill(int model_id);
extern void strata_registry_rename(const char *schema, const char *name, const char *new_schema, const char *new_name);

extern char *strata_registry_state_relation(int model_id, const char *suffix); /* strata_state.m<id>_<suffix>, quoted */

#endif /* STRATA_REGISTRY_H */
