/*
 * guard_internal.h: what the files of this room share.
 */
#ifndef STRATA_GUARD_INTERNAL_H
#define STRATA_GUARD_INTERNAL_H

#include "base/base.h"
#include "catalog/objectaddress.h"
#include "guard/guard.h"
#include "nodes/parsenodes.h"

/* A model that a command concerns. */
typedef struct GuardHit
{
	int id;
	char *label;
	char *why;      /* "is its target", "reads public.a.x", ... */
	bool is_target; /* the object itself is the model's target */
} GuardHit;

extern bool strata_guard_enforce;

/* From now on what is noted goes when the transaction ends. */
extern void strata_guard_watch_transactions(void);
/* Not suspended, and the registry is there to be asked. */
extern bool strata_guard_ready(void);
/* Whether who writes into the model's target now is not its own refresh. */
extern bool strata_guard_is_other(int model_id);
/* The caller could do it, were there no guard: else PostgreSQL's own refusal is the right answer. */
extern bool strata_guard_caller_may(const ObjectAddress *object);

/* guard_find.c */
extern List *strata_guard_affected(const List *objects); /* ObjectAddress * to GuardHit *, by label */
extern GuardHit *strata_guard_target(Oid relid);         /* the model whose target it is, or NULL */
extern bool strata_guard_is_hidden(Oid relid);           /* strata_state.m<id>_* of a registered model */
extern bool strata_guard_reads_nothing(Oid view);
extern List *strata_guard_dropped(void); /* what the present command dropped: GuardHit * */
extern _Noreturn void strata_guard_refuse(const char *action, const List *hits);
extern void strata_guard_mark_broken(const List *hits);
extern ObjectAddress *strata_guard_address(Oid classid, Oid objid, int32 objsubid);
extern char *strata_guard_relation_label(Oid relid);

/* strata_guard_follow.c */
extern void strata_guard_note_relation(const Node *parsetree, Oid relid);
extern void strata_guard_note_column(const Node *parsetree, Oid relid, AttrNumber attno, const List *models);
extern void strata_guard_follow(const Node *parsetree);
extern void strata_guard_follow_schema(const char *old_name, const char *new_name);
extern void strata_guard_follow_column(Oid relid, const char *old_name, const char *new_name);
extern void strata_guard_forget(int level); /* notes of that nesting level of transactions and deeper */

#endif /* STRATA_GUARD_INTERNAL_H */
