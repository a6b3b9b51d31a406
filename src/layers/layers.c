/*
 * layers.c: a refresh of one model, as its owner.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "guard/guard.h"
#include "layers/layers_internal.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

void
strata_layers_refresh(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	StrataIdentity saved;

	memset(result, 0, sizeof(*result));
	result->row_count = -1;
	strata_registry_require_target(model);
	LockRelationOid(model->relid, RowExclusiveLock);
	/* statements name the target: until the lock was ours, the name could go to another relation */
	if (!strata_registry_stands(model))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the target of model %s was renamed, dropped or given away by another session", model->label),
				 errhint("Run it again.")));
	strata_guard_suspend();
	strata_base_enter_owner(model->owner, &model->settings, &saved);
	layers_routine(model)->refresh(model, refresh, result);
	strata_base_leave(&saved);
	strata_guard_resume();
}
