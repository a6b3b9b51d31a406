#ifndef STRATA_LAYERS_INTERNAL_H
#define STRATA_LAYERS_INTERNAL_H

#include "layers/layers.h"
#include "lineage/lineage.h"
#include "nodes/parsenodes.h"

/* A column of the query, as analyzed. */
typedef struct QueryColumn
{
	char *name;
	Oid type;
	int32 typmod;
	Oid collation;
} QueryColumn;

/* A column the target shall have. */
typedef struct TargetColumn
{
	char *name;
	char *type; /* for DDL, without collation */
	Oid type_oid;
	int32 typmod;
	Oid collation;
	const char *role;
	bool added; /* set while an existing target is changed */
} TargetColumn;

typedef struct Definition
{
	StrataModel *model; /* as it shall be */
	StrataModel *old;   /* as it is; NULL for a new one */
	Query *query;
	char *resolved; /* the query as PostgreSQL resolved it, names qualified */
	StrataLineage *lineage;
	List *query_columns;     /* QueryColumn * */
	List *columns;           /* TargetColumn *: filled by the layer */
	List *key;               /* names: primary key of the target; NIL none */
	List *dependencies;      /* StrataDependency *: from the query; a layer may add */
	List *edges;             /* StrataLineageRow *: likewise */
	char *rejects;           /* staging as a view: the query of its rejected rows */
	char *table_constraints; /* ", CHECK (...)" clauses of a new target; NULL none */
	char *table_clause;      /* " PARTITION BY ..." or " WITH (...)" of a new target; NULL none */
	List *changes;           /* char *: what differs from the old definition, in words */
} Definition;

typedef struct VerifyWork
{
	const StrataModel *model;
	const StrataVerify *how;
	StrataVerifyResult *result;
} VerifyWork;

/* Rows there must be, and rows there are. */
typedef struct VerifyPart
{
	const char *of;    /* what they are, in words; NULL: the model's own rows */
	char *wanted;      /* SELECT */
	char *present;     /* SELECT of the same columns */
	bool differences;  /* the two are what differs already; else they are compared as multisets of row images */
	bool uncounted;    /* the rows wanted are not among those the query gives */
	const List *key;   /* columns of both, named as in the target: what the share is taken by; NIL: the image */
	bool share_inside; /* the two hold no more than the share */
	List *rowsets;     /* what they read */
} VerifyPart;

typedef struct LayerRoutine
{
	/* Checks options against the query's columns; fills columns and key. */
	void (*validate)(Definition *def);
	/* After the target exists: constraints, helper relations. NULL: nothing. As the owner. */
	void (*created)(Definition *def);
	/* Before an existing target is given its new columns. NULL: nothing. As the owner. */
	void (*changing)(Definition *def);
	/* After an existing target was given its new columns. NULL: nothing. As the owner. */
	void (*changed)(Definition *def);
	/* The query whose rows the target holds, its columns in the target's order, and its key; NULL: it is kept by other rules. */
	char *(*query)(StrataModel *model, List **key, const char **key_word);
	/* As the owner, under the run's snapshot. */
	void (*refresh)(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result);
	/* Hands each pair of rows that must be equal to layers_verify_part(). As the owner, in a read-only transaction. */
	void (*verify)(StrataModel *model, VerifyWork *work);
	/* What may be taken away by hand and no trigger on the target tells: Oid; their partitions count, too. NULL or NIL: nothing. */
	List *(*tables)(const StrataModel *model);
} LayerRoutine;

extern const LayerRoutine layers_staging;
extern const LayerRoutine layers_dimension;
extern const LayerRoutine layers_date_dimension;
extern const LayerRoutine layers_fact;
extern const LayerRoutine layers_mart;
extern void layers_refuse_inside_refresh(const char *what);
extern void layers_require_sources(const StrataModel *model);
extern const LayerRoutine *layers_routine(const StrataModel *model);

/* layers_target.c: the target relation and its columns */
extern TargetColumn *layers_column(const char *name, Oid type, int32 typmod, Oid collation, const char *role);
extern TargetColumn *layers_query_column(const QueryColumn *column, const char *role);
extern char *layers_column_ddl(const TargetColumn *column);
extern QueryColumn *layers_find_column(const List *query_columns, const char *name);
/* Every name must be a column of the query: error naming the option and the nearest column. */
extern void layers_require_columns(const Definition *def, const List *names, const char *option);
extern void layers_require_equality(const Definition *def, const List *names, const char *option);
extern void layers_require_readable(const StrataReference *ref, const char *label);
extern void layers_create_target(Definition *def);
extern void layers_change_target(Definition *def);
extern void layers_comment(const Definition *def);
extern List *layers_target_columns(Oid relid); /* TargetColumn * as the catalog has them */
extern List *layers_names(const List *target_columns);
extern void layers_set_primary_key(const StrataModel *model, const List *key);
extern List *layers_primary_key(Oid relid);
extern void layers_allow_nulls(const StrataModel *model, const List *columns);

/* layers_adapt.c: brings the target to the column types that its definition gives now; says what differed, or NULL */
extern char *layers_adapt_target(StrataModel *model);
extern void layers_store_columns(Definition *def); /* layers_define.c */

/* layers_table.c */
extern bool layers_same_names(const List *a, const List *b);
extern void layers_refresh_table(StrataModel *model, List *key, const char *key_word, const StrataRefresh *refresh,
								 StrataRefreshResult *result);
/* The rows of a model that is its query, the target's columns in its order. */
extern char *layers_table_query(const StrataModel *model);
/* What a layer does beside writing the rows of its query. Each may be NULL. */
typedef struct LayersHooks
{
	/*
	 * Before rows are added: the row set holds them (and maybe others), under the target's column names; NULL: none are. Gives the tables
	 * (Oid) that it made for them.
	 */
	List *(*before_write)(StrataModel *model, StrataRowSet *rows, const StrataRefresh *refresh);
	/*
	 * Gives the models it reads the rows that its own rows lack there. rows: only these are looked at, signed rows that were written; NULL: all
	 * that the query gives. True: it did, and the query now gives others.
	 */
	bool (*complete)(StrataModel *model, StrataRowSet *rows, const StrataRefresh *refresh, StrataRefreshResult *result);
	/* Writes the signed rows of the query in the place of the usual way; false: a row that has to go is not there. */
	bool (*write)(StrataModel *model, StrataRowSet *change, const StrataRefresh *refresh, StrataDeltaCounts *counts);
} LayersHooks;

/*
 * Rows that are those of the query, which reads no row set: by changes where that can be done, else in full. primary_key: the
 * part of key that the table can enforce, or NIL. hooks: NULL none.
 */
extern void layers_refresh_plain(StrataModel *model, const char *query, List *key, List *primary_key,
								 const char *key_word, const LayersHooks *hooks, const StrataRefresh *refresh,
								 StrataRefreshResult *result);
/* query: the target's columns in the target's order. primary_key: the part of key that the table can enforce, or NIL. */
extern void layers_refresh_query(StrataModel *model, const char *query, List *rowsets, List *key, List *primary_key,
								 const char *key_word, const StrataRefresh *refresh, StrataRefreshResult *result);
/* The target against those rows of its query that meet the condition (on q; NULL: all). */
extern void layers_verify_table(StrataModel *model, const List *key, const char *condition, VerifyWork *work);
extern void layers_check_foreign_keys(Definition *def);
extern void layers_apply_foreign_keys(const StrataModel *model);
extern void layers_silence_references(Oid relid);
extern void layers_drop_references(const StrataModel *model);
extern bool layers_may_refer(const StrataModel *model, const StrataModel *target, const char *target_column);
extern void layers_add_reference(const StrataModel *model, const char *column, const StrataModel *target,
								 const char *target_column);

/* layers_verify.c */
extern void layers_verify_part(VerifyWork *work, const VerifyPart *part);
/* A condition on the rows of an alias: those whose key is in the share. NULL: all are (also when the key has no hash). */
extern char *layers_verify_share(const VerifyWork *work, const List *key, const char *alias);

/* layers_dependents.c: views that stand on a relation whose shape changes */
extern List *layers_suspend_dependents(Oid relid, const char *label, const List *columns, bool include_self);
/* The same, but where a relation that is no model's stands in the way nothing is done. */
extern List *layers_suspend_if_ours(Oid relid, const char *label, const List *columns, bool *in_the_way);
extern void layers_resume_dependents(List *suspended, const char *label);

/* layers_dependents.c: hidden relations */
extern void layers_store_view(const char *label, const char *sql, Oid owner);
extern void layers_create_query_view(const StrataModel *model, const char *resolved, Oid owner);
extern void layers_keeper_ddl(const char *sql); /* constant-shaped DDL on hidden relations, as the keeper */

/* layers_dimension*.c */
typedef struct DimensionSpec
{
	StrataModel *model;
	char *surrogate;
	List *key; /* natural key columns */
	List *history;
	List *fixed;
	List *overwrite;
	char *effective_from; /* NULL: versions are dated by the run time */
	char *operation;      /* NULL: the query is an extract, not a feed of changes */
	char *sequence;
	char *deletes; /* ignore | close | mark */
	double max_shrink;
	List *columns;   /* all kept query columns, in order */
	char *time_type; /* timestamptz | timestamp | date: the type of valid_from */
	char *keys;      /* strata_state.m<id>_keys */
	char *log;       /* strata_state.m<id>_log */
	char *only;      /* condition on q: the extract is those rows of the query; NULL all */
	/* set while only the keys are looked at that changes touch */
	StrataRowSet *affected; /* dimension_keys; NULL: all keys */
	List *affected_columns; /* names: the columns of the natural key that it has */
	StrataRowSet *extract;  /* their rows */
} DimensionSpec;

extern int layers_position(const List *names, const char *name);
extern List *layers_without(const List *names, const List *unwanted);
extern char *layers_rowset_columns(const StrataRowSet *set, const char *prefix);
extern void layers_dimension_need_gist(void);
/* Rows of a dimension that was never built, into its target or a table of its own (suffix). False: INSERT them. */
extern bool layers_dimension_load(const DimensionSpec *s, const char *suffix, List *columns, StrataRowSet *rows);
/* New entries of the key map: (key, valid_from, surrogate key, false) */
extern void layers_dimension_map(const DimensionSpec *s, const char *query, const StrataArgs *args,
								 const StrataRefresh *refresh, StrataRowSet *from);
extern void layers_dimension_check_change(Definition *def);
extern void layers_dimension_changing(Definition *def);
extern void layers_dimension_change_keys(Definition *def, const DimensionSpec *old);
/* "EXCLUDE USING gist (...)": no two versions of a key overlap */
extern char *layers_dimension_exclusion(const Definition *def, const List *key, Oid time_type);
extern void layers_dimension_change_log(Definition *def, const DimensionSpec *old);
extern DimensionSpec *layers_dimension_spec(StrataModel *model);
extern void layers_dimension_refresh_runtime(DimensionSpec *spec, const StrataRefresh *refresh,
											 StrataRefreshResult *result);
extern void layers_dimension_refresh_log(DimensionSpec *spec, const StrataRefresh *refresh,
										 StrataRefreshResult *result);
extern void layers_dimension_verify_runtime(DimensionSpec *spec, VerifyWork *work);
extern void layers_dimension_verify_log(DimensionSpec *spec, VerifyWork *work);
extern StrataRowSet *layers_dimension_extract(DimensionSpec *spec, const List *key, const StrataRefresh *refresh,
											  StrataRefreshResult *result);
extern void layers_dimension_guard(const DimensionSpec *spec, int64 gone, int64 current, const StrataRefresh *refresh);
/* " AND ...": the row of alias is of an affected key; nothing where all keys are looked at */
extern char *layers_dimension_scope(const DimensionSpec *spec, const char *alias);
/* The row sets, and that of the affected keys. */
extern List *layers_dimension_rowsets(const DimensionSpec *spec, List *rowsets);
extern char *layers_list(const List *names, const char *prefix, const char *separator); /* p.a, p.b */
/* a.x = b.x AND ..., each by the equality of its column in the relation */
extern char *layers_equal(Oid relid, const List *names, const char *a, const char *b);
/* "a.x IS DISTINCT FROM b.x OR ..." by value; "false" for none */
extern char *layers_distinct(const StrataModel *model, const List *names, const char *a, const char *b);
extern char *layers_image_differs(const List *names, const char *a, const char *b);

#endif
