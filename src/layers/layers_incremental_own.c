/*
 * layers_incremental_own.c: whether a target's rows tell the state of its groups, so that no table of its own is kept for it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "commands/trigger.h"
#include "layers/layers_incremental.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* A row that its writer sees as it is would be another afterwards, with nobody else to tell: by a trigger of the user's, or a foreign key's action. */
static bool
others_write(Relation rel)
{
	ListCell *lc;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Oid function = rel->trigdesc->triggers[i].tgfoid;

		if (RI_FKey_trigger_type(function) == RI_TRIGGER_NONE && !strata_base_is_ours(function))
			return true;
	}
	foreach (lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst(lc);
		HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conoid));
		Form_pg_constraint form;
		bool acts;

		if (!HeapTupleIsValid(tuple))
			return true;
		form = (Form_pg_constraint) GETSTRUCT(tuple);
		acts = strchr("cnd", form->confdeltype) != NULL || strchr("cnd", form->confupdtype) != NULL;
		ReleaseSysCache(tuple);
		if (acts)
			return true;
	}
	return false;
}

/* The state's columns that these of the target show come back from it as they went in. */
static bool
keeps_values(const IncrementalModel *m, const StrataAlgebra *algebra, const List *shown)
{
	List *target = layers_target_columns(m->model->relid);
	ListCell *lc;

	if (list_length(target) != list_length(m->columns) || 2 * list_length(target) + 4 > MaxTupleAttributeNumber - 100)
		return false;
	foreach (lc, shown)
	{
		StrataStateColumn *kept = list_nth(algebra->columns, foreach_current_index(lc));
		TargetColumn *column = list_nth(target, lfirst_int(lc) - 1);

		if (column->type_oid != kept->type ||
			(kept->typmod >= 0 ? column->typmod != kept->typmod : column->typmod >= 0) ||
			column->collation != kept->collation)
			return false;
	}
	return true;
}

bool
layers_finds_groups(const IncrementalModel *m, const StrataPart *part, const StrataAlgebra *algebra)
{
	return part->last && m->hooks == NULL && algebra->shown_keys != NIL &&
		   keeps_values(m, algebra, algebra->shown_keys);
}

bool
layers_owns_state(const IncrementalModel *m, const StrataPart *part, const StrataAlgebra *algebra)
{
	Relation rel;
	bool owns;

	/* other layers write their rows in ways of their own */
	if (!part->last || m->model->layer != STRATA_MART || algebra->shown == NIL ||
		!keeps_values(m, algebra, algebra->shown))
		return false;
	rel = table_open(m->model->relid, AccessShareLock);
	owns = !others_write(rel);
	table_close(rel, NoLock);
	return owns;
}
