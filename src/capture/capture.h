/*
 * capture.h: the changed rows of sources, each seen exactly once by each consumer that follows them.
 *
 * A consumer (a model, as "m12") reads a relation and stands at a position. Per refresh, in this order: _changes (what
 * has happened since), compute from _rowset or, when the changes are not known, in full, _advance. All three under the
 * run's snapshot. The rights of the model's owner are to be asked for before (_unsupported).
 */
#ifndef STRATA_CAPTURE_H
#define STRATA_CAPTURE_H

#include "base/base.h"
#include "nodes/bitmapset.h"

typedef struct StrataCaptureChanges
{
	bool known;
	const char *why; /* when not known, in words: "TRUNCATE", "its trigger strata_capture_insert was disabled" */
	Oid relid;
	int64 count;   /* captured rows since the position; of a partition: at most so many; not counted: 1 for any */
	List *columns; /* names of the columns that are there (char *) */
	struct StrataCaptureState *state;
} StrataCaptureChanges;

extern void strata_capture_init(void);

/* NULL when its changes can be captured for the role, else the reason: "a view", "row-level security". */
extern const char *strata_capture_unsupported(Oid relid, Oid role);
/* Whether it is captured now. */
extern bool strata_capture_installed(Oid relid);
/*
 * Registers the consumer; puts capture on, unless it is, with the rights of the current user. Writers are held off
 * until the transaction ends; when they do not let go in time, a later _prune tries again. Its position is unknown until
 * it first advances.
 */
extern void strata_capture_subscribe(Oid relid, const char *consumer);
/* The same, but no lock is asked for now: the next _prune puts it on. */
extern void strata_capture_request(Oid relid, const char *consumer);
/* The consumer no longer follows it (InvalidOid: anything). With the last consumer capture goes. */
extern void strata_capture_forget(Oid relid, const char *consumer);

/* counted: how many there are is wanted, not only whether */
extern StrataCaptureChanges *strata_capture_changes(Oid relid, const char *consumer, Snapshot snapshot, bool counted);
/*
 * The changed rows: column i is attribute i of the relation (one that is dropped or not in used: NULL; used is offset by
 * FirstLowInvalidHeapAttributeNumber), then strata_sign int4, never 0: how many more such rows there are. One row per
 * image of the used columns. Whole-row and system columns cannot be had.
 */
extern StrataRowSet *strata_capture_rowset(const StrataCaptureChanges *changes, const char *name, const Bitmapset *used,
										   Snapshot snapshot);
/*
 * The same rows as they were captured: an image may occur many times, in both directions. For those who only add up, when there are many.
 */
extern StrataRowSet *strata_capture_rowset_raw(const StrataCaptureChanges *changes, const char *name,
											   const Bitmapset *used, Snapshot snapshot);
/*
 * The same, and nothing is copied: statements read the change tables themselves, which changes and snapshot must outlive. Its count is an
 * estimate, and never 0. NULL: of a partition it cannot be had so.
 */
extern StrataRowSet *strata_capture_stream(const StrataCaptureChanges *changes, const char *name, const Bitmapset *used,
										   Snapshot snapshot);
/* How many there are, by an estimate; 0: none. */
extern uint64 strata_capture_about(const StrataCaptureChanges *changes, Snapshot snapshot);
/* No more than so many, told from the size of what they stand in. */
extern uint64 strata_capture_at_most(const StrataCaptureChanges *changes);
/* Whether there are so many, by an estimate, that adding them up by image is dear. */
extern bool strata_capture_is_much(const StrataCaptureChanges *changes, Snapshot snapshot);
/* The consumer stands where _changes looked: as the transaction goes, so does the position. */
extern void strata_capture_advance(StrataCaptureChanges *changes);

/*
 * A run of several models: what it writes into the targets (Oid) is kept in memory for those of its consumers (char *) that read them.
 * False: it is within such a run, which goes on. The end, once every model of it is done: what somebody has not seen is recorded as ever.
 */
extern bool strata_capture_handover_begin(const List *targets, const List *consumers);
extern void strata_capture_handover_end(void);

/* What triggers cannot see has happened to it: its consumers need one full refresh. */
extern void strata_capture_mark(Oid relid, const char *why);
/* At the end of a run: segments nobody needs are emptied, what waits for a lock is tried again. Never waits. */
extern void strata_capture_prune(void);

#endif /* STRATA_CAPTURE_H */
