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
	if (!OidIsValid(model->relid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the target of model %s does not exist", model->label),
						errhint("Drop the model with strata.drop_model('%s') and define it again.", model->label)));
	LockRelationOid(model->relid, RowExclusiveLock);
	strata_guard_suspend();
	strata_base_enter_owner(model->owner, &model->settings, &saved);
	layers_routine(model)->refresh(model, refresh, result);
	strata_base_leave(&saved);
	strata_guard_resume();
}
