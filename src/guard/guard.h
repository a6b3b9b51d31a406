/*
 * guard.h: keeps other people's DDL from breaking models, and the registry in step with renames and owners.
 */
#ifndef STRATA_GUARD_H
#define STRATA_GUARD_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "utils/reltrigger.h"
#include "utils/snapshot.h"

extern void strata_guard_init(void); /* settings and transaction callbacks */

/*
 * Between the two, the guard stays silent: for the extension's own DDL. They nest, and an error between them undoes what
 * its (sub)transaction suspended.
 */
extern void strata_guard_suspend(void);
/* The same while a model's target is written: what triggers and foreign keys then do to the targets of others is noted. */
extern void strata_guard_suspend_for(int model_id);
extern void strata_guard_resume(void);

/*
 * ALTER COLUMN TYPE of a column that definitions use, which PostgreSQL refuses. Where a hook is set, it is called instead
 * of that refusal: before the command, to take the definitions away, and after it, to put them back. models: ids.
 */
typedef void (*StrataGuardTypeHook)(Oid relid, AttrNumber attno, const List *models, bool before);
extern StrataGuardTypeHook strata_guard_type_hook;

/* Called after CREATE OR REPLACE VIEW, to refuse what it closes. */
typedef void (*StrataGuardViewHook)(Oid view);
extern StrataGuardViewHook strata_guard_view_hook;

/* guard_edit.c: whether others wrote into a target. The notes are those the snapshot sees. */
extern void strata_guard_watch(Oid relid, int model_id);
/* Also on what is the model's target no more; what was noted is forgotten. */
extern void strata_guard_unwatch(int model_id);
#define STRATA_GUARD_TRIGGER "strata_edited"
/* The trigger that it puts on targets, which does nothing now: the model itself is what writes. */
extern bool strata_guard_is_idle(const Trigger *trigger);
extern bool strata_guard_was_edited(int model_id, Snapshot snapshot);
extern void strata_guard_forget_edits(int model_id, Snapshot snapshot);

#endif /* STRATA_GUARD_H */
