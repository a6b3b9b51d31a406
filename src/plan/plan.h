/*
 * plan.h: the graph of models: which ones a selector chooses, in which order they are refreshed, what a refresh would do
 * to each and why. It reads the registry and executes nothing.
 */
#ifndef STRATA_PLAN_H
#define STRATA_PLAN_H

#include "registry/registry.h"

typedef struct StrataPlanStep
{
	int step;  /* from 1 */
	int level; /* from 1: a step reads, of this plan, only steps of lower levels */
	StrataModel *model;
	char *action; /* nothing | build | rebuild | refresh | broken */
	char *reason;
	List *unbuilt; /* labels of never built models that it reads and that are not in this plan */
	bool selected;
} StrataPlanStep;

/*
 * The models that a selector chooses of those the caller may see, in topological order (within a level by schema.name).
 * An unknown name and bad syntax are errors; an empty result is not. exclude may be NULL.
 */
extern List *strata_plan_select(const char *models, const char *exclude);
/*
 * The same for a refresh: what is not named itself is chosen only when the caller owns it. A model named in full is
 * chosen whoever owns it: strata_registry_require_owner then refuses it in words.
 */
extern List *strata_plan_select_owned(const char *models, const char *exclude);
/* What a refresh of strata_plan_select_owned would do: StrataPlanStep *. Chosen models that read each other in a circle are an error. */
extern List *strata_plan_make(const char *models, const char *exclude, bool full_rebuild);
/* The same once more, as after waiting for locks: what chooses nothing has been said. */
extern List *strata_plan_make_again(const char *models, const char *exclude, bool full_rebuild);
/*
 * The cycle that a model with these dependencies would close, as labels, each reading the next, the first again at the
 * end; NIL when there is none. Of model only names and target are read: it need not be registered. What is beneath the dependencies is
 * filled in.
 */
extern List *strata_plan_cycle(const StrataModel *model, List *dependencies /* StrataDependency * */);
/* All that reads the model, directly or not, whoever may see it, each after what it reads. */
extern List *strata_plan_readers(const StrataModel *model);

extern void strata_plan_init(void);

#endif /* STRATA_PLAN_H */
