/*
 * base.h: what every room stands on: whose rights a statement runs with, how SQL is run and under which
 * snapshot, names and their quoting, jsonb options, suggestions for misspelled words, the clock of a run.
 *
 * Nothing here knows what a model is.
 */
#ifndef STRATA_BASE_H
#define STRATA_BASE_H

#include "postgres.h"

#include "base/compat.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "tcop/dest.h"
#include "utils/jsonb.h"
#include "utils/snapshot.h"
#include "utils/tuplestore.h"

/* ---- rights (roles.c) ---------------------------------------------------------------------------------- */

typedef struct StrataIdentity
{
	Oid userid;
	int sec_context;
	int guc_level;
} StrataIdentity;

/* The settings that can change what a query means; a model keeps those it was defined under. */
typedef struct StrataSettings
{
	char *time_zone;
	char *date_style;
	char *interval_style;
} StrataSettings;

extern Oid strata_base_keeper(void);
extern void strata_base_enter_keeper(StrataIdentity *saved);
extern void strata_base_enter_owner(Oid role, const StrataSettings *settings, StrataIdentity *saved);
/* A setting, until the identity that was entered is left. */
extern void strata_base_pin(const char *name, const char *value);
extern void strata_base_leave(const StrataIdentity *saved);
extern StrataSettings strata_base_current_settings(void);

/* ---- what may fail (attempt.c) --------------------------------------------------------------------------- */

/*
 * Runs body in a subtransaction. NULL: it went well. Else the error, and all that body did is undone; only errors that caught
 * accepts are returned.
 */
extern ErrorData *strata_base_attempt(void (*body)(void *), void *arg, bool (*caught)(const ErrorData *));
/* A cancel or a lost server is nobody's failure, and not to be caught. */
extern bool strata_base_is_interruption(const ErrorData *error);
extern bool strata_base_is_failure(const ErrorData *error); /* any other: for strata_base_attempt */

/* ---- SQL (sql.c) --------------------------------------------------------------------------------------- */

#define STRATA_MAX_ARGS 32

typedef struct StrataArgs
{
	int n;
	Oid types[STRATA_MAX_ARGS];
	Datum values[STRATA_MAX_ARGS];
	char nulls[STRATA_MAX_ARGS];
} StrataArgs;

extern void strata_args_text(StrataArgs *args, const char *value); /* NULL pointer = SQL NULL, as for all below */
extern void strata_args_int4(StrataArgs *args, int32 value);
extern void strata_args_int8(StrataArgs *args, int64 value);
extern void strata_args_bool(StrataArgs *args, bool value);
extern void strata_args_time(StrataArgs *args, TimestampTz value);
extern void strata_args_jsonb(StrataArgs *args, const Jsonb *value);
extern void strata_args_texts(StrataArgs *args, const List *values); /* List of char * as text[] */
extern void strata_args_datum(StrataArgs *args, Oid type, Datum value, bool isnull);

/* Rows live in the memory context that was current at the call; free the context to free them. */
typedef struct StrataRows
{
	uint64 count;
	TupleDesc desc;
	HeapTuple *tuples;
} StrataRows;

/* Registry-style statements: caller's rights, latest snapshot by the transaction's isolation level. args may be NULL. */
extern uint64 strata_base_execute(const char *sql, const StrataArgs *args);
extern StrataRows *strata_base_query(const char *sql, const StrataArgs *args);
/* The same two, as the keeper (owner of the extension): for constant SQL over the registry only. With args, though none, the plan is kept. */
extern uint64 strata_base_keeper_execute(const char *sql, const StrataArgs *args);
extern StrataRows *strata_base_keeper_query(const char *sql, const StrataArgs *args);

/* Columns are counted from 1. */
extern Datum strata_rows_datum(const StrataRows *rows, uint64 row, int column, bool *isnull);
extern char *strata_rows_text(const StrataRows *rows, uint64 row, int column);       /* output text; NULL if null */
extern int64 strata_rows_int(const StrataRows *rows, uint64 row, int column);        /* int2/int4/int8/oid; 0 if null */
extern bool strata_rows_bool(const StrataRows *rows, uint64 row, int column);        /* false if null */
extern TimestampTz strata_rows_time(const StrataRows *rows, uint64 row, int column); /* 0 if null */
extern Jsonb *strata_rows_jsonb(const StrataRows *rows, uint64 row, int column);     /* copy; NULL if null */
extern List *strata_rows_texts(const StrataRows *rows, uint64 row,
							   int column); /* text[]/name[] as List of char *; NIL if null */

/* ---- the extension's own tables (table.c) ---------------------------------------------------------------- */

/* In schema strata_state; of its indexes too. An error if there is none. */
extern Oid strata_table_oid(const char *name);
/*
 * Rows of which key_column (int4 or int8, the first of the index) is key, or all with NULL; in the order of the index. Any of the table's
 * columns, in this order. Latest rows, as a statement of the keeper sees them.
 */
extern StrataRows *strata_table_read(const char *table, const char *const *columns, int n, const char *index,
									 const char *key_column, int64 key);
/* false: it holds nothing that any snapshot could see */
extern bool strata_table_has_pages(const char *table);
extern Oid strata_table_rewritten(Oid relid, Snapshot snapshot);
/* Columns not named are NULL, whatever their default. Types are the columns' own. */
extern void strata_table_insert(const char *table, const char *const *columns, const StrataArgs *args);
/* A row that this transaction has inserted: others cannot be at it. False: there is none. */
extern bool strata_table_update(const char *table, const char *index, const char *key_column, int64 key,
								const char *const *columns, const StrataArgs *args);
/* The one row with these keys (int4, int8, oid or text, the first columns of the index), which others may be at. False: there is none, or somebody is. */
extern bool strata_table_lock(const char *table, const char *index, const char *const *key_columns,
							  const StrataArgs *keys);
/* The same, and changed; counter: a bigint that is added to, or NULL. False: a statement, which waits, is for the caller to run. */
extern bool strata_table_change(const char *table, const char *index, const char *const *key_columns,
								const StrataArgs *keys, const char *const *columns, const StrataArgs *args,
								const char *counter, int64 added);

/* A named row set a statement can read like a table: a tuplestore known to the planner with its row count. */
typedef struct StrataRowSetColumn
{
	bool known;
	float null_share;
	float distinct;
} StrataRowSetColumn;

/*
 * What a row set may be read from each time anew (rowset_scan.c). next gives values and nulls of the columns that begin was asked for, in that
 * order, good until the next call; columns count from 1. sample: some of the rows, quickly. Of one snapshot the rows are always the same.
 */
typedef struct StrataRowSource
{
	void *(*begin)(void *arg, Snapshot snapshot, const AttrNumber *columns, int n, bool sample);
	bool (*next)(void *reading, Datum *values, bool *nulls);
	void (*end)(void *reading);
} StrataRowSource;

typedef struct StrataRowSet
{
	char *name;
	TupleDesc desc;
	Tuplestorestate *store;
	uint64 count;
	StrataRowSetColumn *stats; /* NULL until the planner asks (rowset_stats.c); rows put later change nothing */
	/* with a source the store is empty until filled, and count an estimate until counted */
	const StrataRowSource *source;
	void *source_arg;
	Snapshot snapshot;
	bool filled;
	bool counted;
	bool once; /* of rows side by side that are equal in what a statement reads of them, one will do for it */
} StrataRowSet;

extern StrataRowSet *strata_rowset_create(const char *name, TupleDesc desc);
extern void strata_rowset_put(StrataRowSet *set, Datum *values, bool *nulls);
extern void strata_rowset_free(StrataRowSet *set);
/*
 * One that holds nothing: statements read the source. For SELECTs, and what they are the source of; a plan knows how its row sets are read, so
 * one name is always filled or never. arg and snapshot live as long; count: about how many rows.
 */
extern StrataRowSet *strata_rowset_stream(const char *name, TupleDesc desc, const StrataRowSource *source, void *arg,
										  Snapshot snapshot, uint64 count);
extern void strata_rowset_fill(StrataRowSet *set);    /* it holds its rows from now on */
extern uint64 strata_rowset_count(StrataRowSet *set); /* exactly: read to its end, unless a statement has done so */
extern double strata_rowset_distinct(StrataRowSet *set, AttrNumber attnum); /* about how many values, by a sample */
/* Reading one in C: from its first row, into a slot of its own. Fills it. */
extern TupleTableSlot *strata_rowset_rewind(StrataRowSet *set);
extern bool strata_rowset_next(StrataRowSet *set, TupleTableSlot *slot); /* false: at the end, the slot is gone */

/*
 * Statements of a run: under the given snapshot (with what this transaction did before), reading the given row sets.
 * Two statements with the same snapshot see the same state of everything others do.
 */
extern uint64 strata_base_run(const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets);
/* As the keeper: constant SQL over the registry. */
extern uint64 strata_base_keeper_run(const char *sql, const StrataArgs *args, Snapshot snapshot);
/* Rows of a row set, joined to their table by ctid. */
extern uint64 strata_base_run_by_address(const char *sql, Snapshot snapshot, List *rowsets);
extern StrataRows *strata_base_run_query(const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets);
extern uint64 strata_base_run_into(const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets,
								   DestReceiver *dest);
extern StrataRowSet *strata_base_run_rowset(const char *name, const char *sql, const StrataArgs *args,
											Snapshot snapshot, List *rowsets);
/* The same, of a statement that looks rows of a row set up in small tables (lookups.c). */
extern StrataRowSet *strata_base_run_lookups(const char *name, const char *sql, Snapshot snapshot, List *rowsets);
/*
 * Rows with a sign: a statement whose last column is strata_sign int4. The row set holds its rows consolidated by image: one row
 * per image with the sum of its signs, none where that is 0. Memory is bounded by work_mem.
 */
extern StrataRowSet *strata_base_run_signed(const char *name, const char *sql, const StrataArgs *args,
											Snapshot snapshot, List *rowsets);
/* What the planner thinks of a SELECT, without running it. */
typedef struct StrataEstimate
{
	double cost; /* in the planner's units */
	double rows;
} StrataEstimate;

/* As if the pages were in memory. */
#define STRATA_NEAR_PAGE_COST 0.1
extern StrataEstimate strata_base_estimate(const char *sql, List *rowsets);
/* The same of one that is about to be run over these row sets; where they are small, that uses the plan made here. */
extern StrataEstimate strata_base_estimate_run(const char *sql, List *rowsets);
/* A function of this extension. */
extern bool strata_base_is_ours(Oid function);
/* The columns a SELECT would give, without running it. */
extern TupleDesc strata_base_describe(const char *sql, List *rowsets);

/* ---- images (image.c): rows as bytes --------------------------------------------------------------------- */

/* Appends the image of a composite value: its fields' bytes, detoasted. */
extern void strata_base_image_record(StringInfo buf, HeapTupleHeader record);
/* Image equality of two values of a column, neither NULL. */
extern bool strata_base_image_same(Form_pg_attribute att, Datum a, Datum b);

typedef struct StrataImageColumn
{
	Form_pg_attribute att;
	int16 length;
	bool byval;
	bool rowtype;
	bool loose; /* the same value can be stored in several forms */
} StrataImageColumn;

extern StrataImageColumn strata_base_image_column(Form_pg_attribute att);
/* Rows of one image have one hash. Long values count with their length only, unless deep. */
extern uint64 strata_base_image_hash(const StrataImageColumn *columns, int n, const Datum *values, const bool *nulls,
									 bool deep);

/* ---- signed rows (signed.c) ------------------------------------------------------------------------------ */

/*
 * start, put any number, finish: consolidated, as by strata_base_run_signed. desc: the columns without the sign; values may
 * point anywhere for the time of the call. The row set lives where start was called; finish frees the rest.
 */
typedef struct StrataSigned StrataSigned;
/* A relation's columns as those of such rows, dropped ones in their places; sign: and strata_sign. */
extern TupleDesc strata_signed_columns(TupleDesc relation, bool sign);
extern StrataSigned *strata_signed_start(const char *name, TupleDesc desc);
extern void strata_signed_put(StrataSigned *rows, const Datum *values, const bool *nulls, int32 sign);
extern StrataRowSet *strata_signed_finish(StrataSigned *rows);

/*
 * Matching: after all rows that are wanted were put, rows of a table are offered. Each is taken while its image is wanted, else
 * left; the callbacks (either may be NULL) are told then or at finish, in a memory context that does not last. The row set
 * holds what is still wanted.
 */
typedef void (*StrataTaken)(void *arg, ItemPointer tid, Oid table, Datum *values, bool *nulls);
extern void strata_signed_match(StrataSigned *rows, StrataTaken taken, StrataTaken left, void *arg);
extern void strata_signed_offer(StrataSigned *rows, const Datum *values, const bool *nulls, ItemPointer tid, Oid table);

/* ---- names (names.c) ----------------------------------------------------------------------------------- */

typedef struct StrataName
{
	char *schema; /* NULL when the text named none */
	char *name;
} StrataName;

/* Parses schema.name with SQL quoting; refuses (never truncates) over-long parts. argument: for messages. */
extern StrataName strata_base_parse_name(const char *text, const char *argument);
extern char *strata_base_label(const char *schema, const char *name); /* quoted, qualified */
extern char *strata_base_quote(const char *identifier);               /* quote_identifier, always palloc'd */
extern char *strata_base_query_text(Query *query); /* qualified under the present search_path, read back as it is */
extern char *strata_base_literal(const char *text);
extern char *strata_base_join(const List *words, const char *separator);        /* List of char * */
extern char *strata_base_join_quoted(const List *words, const char *separator); /* each quoted as an identifier */
extern bool strata_base_list_has(const List *words, const char *word);
/* The tables that an inheritance child or a partition belongs to directly: Oids. */
extern List *strata_base_parents(Oid relid);
/* "=", or OPERATOR(schema.=) where the type's own equality is not pg_catalog's (citext): no search_path finds that one. */
extern const char *strata_base_equality(Oid type);
extern const char *strata_base_is_null(Oid type, bool is);
extern void strata_base_check_identifier(const char *name, const char *argument);

/* The candidates nearest to word, best first, at most three; NIL when none is near. */
extern List *strata_base_nearest(const char *word, const List *candidates);
/* A HINT text: "Perhaps you meant X or Y." or NULL. */
extern char *strata_base_suggestion(const char *word, const List *candidates);
/* Names of relations (qualified) visible to the caller, for suggestions. */
extern List *strata_base_relation_names(void);

/* ---- options (options.c) ------------------------------------------------------------------------------- */

typedef enum StrataOptionType
{
	STRATA_OPTION_TEXT,
	STRATA_OPTION_BOOL,
	STRATA_OPTION_INT,
	STRATA_OPTION_NUMBER,
	STRATA_OPTION_TEXTS, /* array of strings */
	STRATA_OPTION_OBJECT,
	STRATA_OPTION_ANY
} StrataOptionType;

typedef struct StrataOption
{
	const char *name;
	StrataOptionType type;
} StrataOption;

/* Refuses a non-object, unknown names (with the nearest known one) and wrong value types. what: "options of check ..." */
extern void strata_base_check_options(const Jsonb *options, const StrataOption *known, int n_known, const char *what);
extern JsonbValue *strata_option(const Jsonb *options, const char *name); /* NULL when absent or json null */
extern char *strata_option_text(const Jsonb *options, const char *name);  /* string, number or bool as text; NULL */
extern bool strata_option_bool(const Jsonb *options, const char *name, bool otherwise);
extern int64 strata_option_int(const Jsonb *options, const char *name, int64 otherwise);
extern double strata_option_number(const Jsonb *options, const char *name, double otherwise);
extern List *strata_option_texts(const Jsonb *options, const char *name);   /* List of char * */
extern Jsonb *strata_option_object(const Jsonb *options, const char *name); /* object or array as Jsonb; NULL */
extern List *strata_option_names(const Jsonb *options);                     /* keys of an object, List of char * */

/* Building one: start, put any number, finish. NULL values are left out. */
typedef struct StrataOptions StrataOptions;
extern StrataOptions *strata_options_start(void);
extern void strata_options_text(StrataOptions *o, const char *name, const char *value);
extern void strata_options_bool(StrataOptions *o, const char *name, bool value);
extern void strata_options_int(StrataOptions *o, const char *name, int64 value);
extern void strata_options_texts(StrataOptions *o, const char *name, const List *values); /* NIL is left out */
extern void strata_options_jsonb(StrataOptions *o, const char *name, const Jsonb *value);
extern Jsonb *strata_options_finish(StrataOptions *o);

/* text[] argument to List of char *; refuses NULL elements. */
extern List *strata_base_texts(Datum array, const char *argument);

extern void strata_base_init(void);

#endif /* STRATA_BASE_H */
