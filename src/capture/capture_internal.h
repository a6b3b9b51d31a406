/*
 * capture_internal.h: what the files of this room share.
 */
#ifndef STRATA_CAPTURE_INTERNAL_H
#define STRATA_CAPTURE_INTERNAL_H

#include "capture/capture.h"

#include "access/heapam.h"
#include "access/transam.h"
#include "utils/rel.h"

/* Change tables strata_state.c<relid>_<segment>. */
#define CAPTURE_SEGMENTS 4
/* Columns before those of the source: xid8, and the statement's number, negative for a row that left. */
#define CAPTURE_PREFIX 2
/* A statement's rows stand so many pages before the end of the change table at most, as its end was when the statement was captured. */
#ifndef CAPTURE_STRAY
#define CAPTURE_STRAY 32
#endif

extern int capture_lock_timeout; /* ms */
extern int capture_segment_size; /* kB */
extern int capture_max_size;     /* MB */

/* ---- positions (capture_position.c) ---- */

typedef struct CapturePosition
{
	uint64 xmin;
	uint64 xmax;
	int n;
	uint64 *xip;    /* ascending */
	uint64 own_xid; /* 0: none; its rows are in up to own_step */
	int64 own_step;
} CapturePosition;

extern CapturePosition *capture_position_of(Snapshot snapshot);
extern void capture_position_lack(CapturePosition *p, uint64 xid);
extern CapturePosition *capture_position_parse(Datum pg_snapshot);
extern Datum capture_position_datum(const CapturePosition *p); /* pg_snapshot */
extern bool capture_position_has_xid(const CapturePosition *p, uint64 xid);
extern bool capture_position_has(const CapturePosition *p, uint64 xid, int64 step);
/* Every transaction that inner has is in outer. */
extern bool capture_position_covers(const CapturePosition *outer, const CapturePosition *inner);
extern uint64 capture_widen(TransactionId xid);

/* ---- state (capture_state.c): read as of now, not as of the transaction's snapshot ---- */

typedef enum CaptureStatus
{
	CAPTURE_WANTED,
	CAPTURE_ON,
	CAPTURE_STOPPED,
	CAPTURE_LEAVING
} CaptureStatus;

typedef struct CaptureRow
{
	Oid relid;
	bool kept;
	CaptureStatus state;
	char *why;
	uint64 since;
	int64 generation;
	char *storage;
	char *triggers;
} CaptureRow;

typedef struct CaptureSegment
{
	int number;
	Oid oid;    /* the change table */
	char state; /* c(urrent), o: closing, s(ealed), f(ree) */
	uint64 rotated;
	CapturePosition *sealed;
} CaptureSegment;

/* Where rows begin that a position lacks. */
typedef struct CaptureStart
{
	uint64 file; /* of the change table, and which one */
	uint64 from; /* rows of transactions from .. until - 1; until = 0: of all others */
	uint64 until;
	BlockNumber block;
} CaptureStart;

typedef struct CaptureConsumer
{
	Oid relation;
	char *consumer;
	Oid relid;
	CapturePosition *position;
	int64 generation;
	int64 system_id;
	char *why;
	CaptureStart *starts;
	int n_starts;
} CaptureConsumer;

extern Oid capture_table(const char *name); /* of strata_state; InvalidOid when it is not there */
extern bool capture_ready(void);
extern CaptureRow *capture_get(Oid relid);
extern List *capture_all(void);           /* CaptureRow */
extern List *capture_segments(Oid relid); /* CaptureSegment, in order */
extern CaptureConsumer *capture_consumer(Oid relation, const char *consumer);
extern List *capture_consumers(Oid relid); /* of the root */
extern char *capture_label(Oid relid);
extern bool capture_is_subscribed(const List *members);
/* The topmost table above; InvalidOid when there are several. */
extern Oid capture_root(Oid relid);
extern bool capture_is_partition(Oid relid);

/* ---- triggers and change tables (capture_install.c) ---- */

typedef struct CaptureSignature
{
	char *storage;       /* relid:filenode of the members */
	char *triggers;      /* of the members: state and version of each trigger */
	const char *trouble; /* a trigger is missing or disabled, in words; NULL: all stand */
	bool stays;          /* the trouble is meant: a trigger was disabled by hand; or setting up anew would not help */
	bool busy;           /* a statement of this session is at one of them */
	List *members;       /* Oid, locked ACCESS SHARE */
} CaptureSignature;

extern CaptureSignature *capture_signature(Oid relid);
/* False: its writers did not let it in, in so many milliseconds. */
extern bool capture_install(Oid relid, int ms);
/* The members are locked by the caller. */
extern bool capture_quiet;
/* Where there are none; with mend, also what is missing or disabled. */
extern void capture_make_triggers(Oid relid, bool mend);
extern bool capture_same_shape(Oid relid, Oid segment);
extern void capture_make_segment(Oid relid, int number);
extern void capture_make_segments(Oid relid);
extern bool capture_segments_fit(Oid relid);
extern void capture_drop_segments(Oid relid);
extern bool capture_lock_members(Oid relid, LOCKMODE mode, int ms);
extern void capture_uninstall(Oid relid);
/* Whether this transaction has put it on after the snapshot was taken, or the snapshot does not see who did. */
extern bool capture_too_early(const CaptureRow *row, const CapturePosition *now, Snapshot snapshot);

/* ---- by hand, and by DDL (capture.c, capture_ddl.c) ---- */

extern void capture_unkeep(Oid root);

/* ---- writing (capture_write.c) ---- */

extern int64 capture_step; /* number of the last captured statement of this session */
extern void capture_write_init(void);
extern void capture_write_mark(Oid relid, const char *why);
extern void capture_write_mark_source(Relation source, const char *why); /* a table, or a partition of it */
extern void capture_merge_init(void);                                    /* capture_merge.c */

/* ---- reading (capture_read.c, capture_rows.c, capture_start.c, capture_stream.c) ---- */

typedef struct CaptureHanded CaptureHanded;
typedef struct CaptureHandedReading CaptureHandedReading;

typedef struct StrataCaptureState
{
	Oid root;
	char *consumer;
	CapturePosition *from; /* when known */
	CapturePosition *to;   /* NULL: not to be stood at */
	const char *why_not;   /* when to is NULL */
	CaptureSignature *signature;
	CaptureRow *row;
	List *segments;                      /* Oid: to be read */
	BlockNumber first[CAPTURE_SEGMENTS]; /* from where on, per segment */
	uint64 pages;                        /* of them, to be read */
	uint64 held;                         /* pages they have */
	uint64 handed;                       /* rows of the window that a run hands over */
	uint64 estimate;                     /* rows of the window; 0: not asked for yet */
	CaptureStart *starts;                /* of from */
	int n_starts;
	CaptureStart *next; /* of to */
	int n_next;
	int next_size;
} StrataCaptureState;

/* The run's snapshot, and all that this transaction did before, are what is seen until the snapshot is popped. */
extern void capture_push_snapshot(Snapshot snapshot);
extern bool capture_in_window(const StrataCaptureState *state, uint64 xid, int64 step, uint64 own_xid);
/* Calls back for each row of the window: the change table's slot, with the row's step. */
typedef void (*CaptureRowCallback)(TupleTableSlot *slot, int64 step, void *arg);
/* The rows of the window, at most so many (0: all); how many there were. */
extern int64 capture_scan(const StrataCaptureState *state, Snapshot snapshot, int64 most, CaptureRowCallback callback,
						  void *arg);

extern CaptureStart *capture_starts_parse(Datum array, int *n);
extern Datum capture_starts_datum(const CaptureStart *starts, int n); /* bigint[] */
/* The page of a change table before which no row of the window stands; from and starts are set. */
extern BlockNumber capture_start(const StrataCaptureState *state, Relation rel);
extern TableScanDesc capture_begin_scan(Relation rel, Snapshot snapshot, BlockNumber first);
/* Sets next: what goes with to. */
extern void capture_note_starts(StrataCaptureState *state, Snapshot snapshot);

/* The relation's columns by attribute number, and strata_sign. */
/* Which column of the change tables holds which of the relation's so many; 0: none. */
extern AttrNumber *capture_map_columns(int natts, Oid relid, const StrataCaptureState *state);
extern bool capture_is_used(const Bitmapset *used, AttrNumber attnum);

/* ---- what a run hands over in memory (capture_handover.c) ---- */

extern void capture_handover_init(void);
/* Whether a consumer without a position may take one now. */
extern bool capture_handover_allows(Oid root, Snapshot snapshot);
/* Where the rows of a statement go; NULL: to the change table. */
extern CaptureHanded *capture_handover_for(Oid root, Relation segment);
/* A row of the change table's form. False: it is too long to be held. */
extern bool capture_handover_put(CaptureHanded *h, HeapTuple tuple, int64 step);
extern uint64 capture_handover_count(const StrataCaptureState *state);
/* Whether rows that are handed over have the form of these change tables. */
extern bool capture_handover_fits(Oid root, const List *segments);
/* Those of the window; NULL: there is none. sample: some of them. */
extern CaptureHandedReading *capture_handover_read(const StrataCaptureState *state, bool sample);
/* NULL: that was the last. The slot is good until the next. */
extern TupleTableSlot *capture_handover_next(CaptureHandedReading *r, int64 *step);
extern void capture_handover_stop(CaptureHandedReading *r);
/* Appends what is read to the change table after all (capture_write.c). */
extern void capture_write_handed(Oid root, CaptureHandedReading *r);

#endif /* STRATA_CAPTURE_INTERNAL_H */
