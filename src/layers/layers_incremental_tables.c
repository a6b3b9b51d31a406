/*
 * layers_incremental_tables.c: the tables beside a target that hold its rows: partitions, rejected rows.
 *
 * They can be dropped, detached, attached and written to with the target's own trigger seeing nothing. So each has that trigger, and
 * which there were is kept with the stored state: others than these, and the model is computed in full.
 *
 * What is kept are those that the run's snapshot sees, with their trigger: one that came later may hold rows that the snapshot does not
 * see and no trigger noted, and is not known yet.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "guard/guard.h"
#include "layers/layers_incremental.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* $1: those of the layer, as an array */
#define TABLES                                                                                                               \
	"WITH RECURSIVE p (oid) AS (SELECT unnest($1::oid[]) UNION ALL"                                                          \
	" SELECT i.inhrelid FROM pg_inherits AS i JOIN p ON i.inhparent = p.oid AND NOT i.inhdetachpending),"                    \
	" t AS (SELECT p.oid, EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = p.oid AND g.tgname = '" STRATA_GUARD_TRIGGER \
	"' AND g.tgenabled = 'A') AS watched FROM p) "

static List *
of_layer(const StrataModel *model)
{
	const LayerRoutine *routine = layers_routine(model);

	return routine->tables ? routine->tables(model) : NIL;
}

static char *
as_array(const List *oids)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach (lc, oids)
		appendStringInfo(&buf, "%s%u", foreach_current_index(lc) > 0 ? "," : "", lfirst_oid(lc));
	return psprintf("{%s}", buf.data);
}

/* NULL: its layer has none. */
char *
layers_tables_text(const StrataModel *model, const List *tables)
{
	List *sorted = list_copy(tables);

	if (of_layer(model) == NIL)
		return NULL;
	list_sort(sorted, list_oid_cmp);
	return as_array(sorted);
}

List *
layers_tables_known(const StrataModel *model, Snapshot snapshot)
{
	List *layer = of_layer(model);
	List *known = NIL;
	StrataArgs args = {0};
	StrataRows *rows;

	if (layer == NIL)
		return NIL;
	strata_args_text(&args, as_array(layer));
	rows = strata_base_run_query(TABLES "SELECT t.oid::bigint FROM t WHERE t.watched", &args, snapshot, NIL);
	for (uint64 i = 0; i < rows->count; i++)
		known = lappend_oid(known, strata_rows_int(rows, i, 1));
	return known;
}

/* known: an array as text, sorted; NULL none */
bool
layers_tables_are(const StrataModel *model, const char *known)
{
	List *layer = of_layer(model);
	StrataArgs args = {0};
	StrataRows *rows;

	if (layer == NIL || known == NULL)
		return layer == NIL && known == NULL;
	strata_args_text(&args, as_array(layer));
	strata_args_text(&args, known);
	rows = strata_base_keeper_query(
		TABLES "SELECT FROM t HAVING array_agg(t.oid ORDER BY t.oid) = $2::oid[] AND bool_and(t.watched)", &args);
	return rows->count > 0;
}

void
layers_tables_watch(const StrataModel *model)
{
	List *layer = of_layer(model);
	StrataArgs args = {0};
	StrataRows *rows;

	if (layer == NIL)
		return;
	strata_args_text(&args, as_array(layer));
	rows = strata_base_keeper_query(TABLES "SELECT t.oid::bigint FROM t JOIN pg_class AS c ON c.oid = t.oid"
										   " WHERE NOT t.watched AND c.relkind IN ('r', 'p') ORDER BY 1",
									&args);
	for (uint64 i = 0; i < rows->count; i++)
		strata_guard_watch(strata_rows_int(rows, i, 1), model->id);
}

/* The refresh itself made them: nobody else has seen them. */
void
layers_tables_add(const StrataModel *model, const List *made)
{
	StrataArgs args = {0};
	ListCell *lc;

	if (made == NIL)
		return;
	foreach (lc, made)
		strata_guard_watch(lfirst_oid(lc), model->id);
	strata_args_int4(&args, model->id);
	strata_args_text(&args, as_array(made));
	strata_base_keeper_execute("UPDATE strata_state.incremental SET tables = (SELECT array_agg(t ORDER BY t) FROM"
							   " (SELECT unnest(tables) UNION SELECT unnest($2::oid[])) AS a (t)) WHERE model_id = $1",
							   &args);
}

/* Fewer rows than these are read faster than sampled, whatever the plan. */
#define FEW_ROWS 10000

/*
 * Of the rows of all partitions together nothing but ANALYZE of the table tells, and autovacuum does none: without it a few rows joined to them by
 * the grain are taken for a great many, and all of them are read. A fact that is no such table has to wait for autovacuum otherwise. Not
 * where somebody else is at it.
 */
void
layers_tables_analyze(const StrataModel *model, const StrataDeltaCounts *counts)
{
	int64 written = counts->inserted + counts->updated + counts->deleted;
	ListCell *lc;

	if (model->layer != STRATA_FACT || written < FEW_ROWS || written < counts->rows_in / 10)
		return;
	foreach (lc, find_all_inheritors(model->relid, NoLock, NULL))
		if (!ConditionalLockRelationOid(lfirst_oid(lc), ShareUpdateExclusiveLock))
			return;
	strata_base_execute(psprintf("ANALYZE %s", model->label), NULL);
}
