/*
 * layers.c: a refresh of one model, as its owner.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "guard/guard.h"
#include "layers/layers_internal.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* What was granted when the model was defined may have been revoked: said in the model's words. */
void
layers_require_sources(const StrataModel *model)
{
	ListCell *lc;

	foreach (lc, model->dependencies)
	{
		const StrataDependency *d = lfirst(lc);
		Oid schema = get_namespace_oid(d->schema, true);
		Oid relid = OidIsValid(schema) ? get_relname_relid(d->name, schema) : InvalidOid;
		char *role;

		if (!OidIsValid(relid) || pg_class_aclcheck(relid, model->owner, ACL_SELECT) == ACLCHECK_OK ||
			pg_attribute_aclcheck_all(relid, model->owner, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK)
			continue;
		role = GetUserNameFromId(model->owner, false);
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for %s, which model %s reads", strata_base_label(d->schema, d->name),
						model->label),
				 errdetail("The model is refreshed as its owner, role \"%s\", whoever asks for it.", role),
				 errhint("GRANT SELECT ON %s TO %s;", strata_base_label(d->schema, d->name), quote_identifier(role))));
	}
}

/* Depth of refreshes under way in this session. */
static int refreshing = 0;

/*
 * A query, trigger or CHECK of a model runs while the model is refreshed, and what it calls must not change definitions beneath
 * that refresh.
 */
void
layers_refuse_inside_refresh(const char *what)
{
	if (refreshing > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE), errmsg("cannot %s while a refresh is under way in this session", what),
				 errdetail("A function that a model's query, trigger or constraint calls tried to."),
				 errhint("Call it outside of the refresh.")));
}

void
strata_layers_refresh(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	StrataIdentity saved;
	char *volatile adapted = NULL;

	memset(result, 0, sizeof(*result));
	result->row_count = -1;
	strata_registry_require_target(model);
	/* a view is made anew when what it reads is adapted, as it may have been earlier in this run */
	if (strcmp(model->kind, "view") == 0 && get_rel_name(model->relid) == NULL)
		model->relid = get_relname_relid(model->name, get_namespace_oid(model->schema, false));
	LockRelationOid(model->relid, RowExclusiveLock);
	/* to run it again would not help */
	if (get_rel_name(model->relid) != NULL &&
		!OidIsValid(get_relname_relid(psprintf("m%d_query", model->id), get_namespace_oid("strata_state", false))))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("model %s is broken", model->label),
						errdetail("Its query is no more, with what it read."),
						errhint("Define it again, or drop it: SELECT strata.drop_model('%s');", model->label)));
	/* statements name the target: until the lock was ours, the name could go to another relation */
	if (!strata_registry_stands(model))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the target of model %s was renamed, dropped or given away by another session", model->label),
				 errhint("Run it again.")));
	layers_require_sources(model);
	strata_guard_suspend_for(model->id);
	strata_base_enter_owner(model->owner, &model->settings, &saved);
	if (strcmp(model->kind, "view") != 0)
	{
		adapted = layers_adapt_target(model);
		if (!STRATA_HAS_NOT_ENFORCED || get_rel_relkind(model->relid) == RELKIND_PARTITIONED_TABLE)
			layers_silence_references(model->relid);
	}
	refreshing++;
	PG_TRY();
	{
		layers_routine(model)->refresh(model, refresh, result);
	}
	PG_FINALLY();
	{
		refreshing--;
	}
	PG_END_TRY();
	strata_base_leave(&saved);
	strata_guard_resume();
	result->adapted = adapted != NULL;
	if (adapted)
		result->message = result->message ? psprintf("%s; %s", adapted, result->message) : adapted;
}
