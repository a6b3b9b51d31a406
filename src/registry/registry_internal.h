/*
 * registry_internal.h: what the files of this room share.
 */
#ifndef STRATA_REGISTRY_INTERNAL_H
#define STRATA_REGISTRY_INTERNAL_H

#include "registry/registry.h"
#include "utils/hsearch.h"

typedef struct NamedModel
{
	NameData name[2]; /* schema, relation */
	StrataModel *model;
} NamedModel;

extern NamedModel *registry_find_named(HTAB *models, const char *schema, const char *name, HASHACTION action);
/* All models, without what is beneath what they read; by_name: NamedModel. */
extern List *registry_models(HTAB **by_name);
/* Fills in what is beneath all that these models, which are all there are, read and that is no model. */
extern void registry_see_through(List *models, HTAB *by_name);

#endif /* STRATA_REGISTRY_INTERNAL_H */
