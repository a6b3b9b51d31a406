/*
 * delta_multiset.c: differences without a key. Rows equal by image are interchangeable: the target must hold each image
 * as often as the query gives it. Counting images on both sides tells how many to add or take away; which ones does not
 * matter, so rows that stay keep their place.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "delta/delta_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
delta_multiset(DeltaWork *work)
{
	const StrataDeltaTarget *t = work->target;
	char *columns = strata_base_join_quoted(t->columns, ", ");
	char *missing = strata_delta_beside(t, "strata_missing");
	char *nth = strata_delta_beside(t, "strata_nth");
	StrataRowSet *desired;
	StrataRowSet *images;

	desired = strata_base_run_rowset("delta_desired", psprintf("SELECT * FROM (%s) AS q (%s)", work->query, columns),
									 work->args, work->snapshot, work->rowsets);
	work->counts->rows_in = desired->count;
	delta_check_types(work, desired->desc, 0);
	/* a target too wide for the keyed way comes here with its key */
	if (t->key != NIL)
		delta_check_key(work, "delta_desired", list_make1(desired));
	images =
		strata_base_run_rowset("delta_images",
							   psprintf("SELECT image, coalesce(n.rows, 0) AS wanted, coalesce(o.rows, 0) AS present\n"
										"  FROM (SELECT strata_state.row_image(q.*) AS image, count(*) AS rows"
										" FROM delta_desired AS q GROUP BY 1) AS n\n"
										"  FULL JOIN (SELECT strata_state.row_image(q.*) AS image, count(*) AS rows"
										" FROM (SELECT %s FROM %s AS o%s%s) AS q GROUP BY 1) AS o USING (image)\n"
										" WHERE n.rows IS DISTINCT FROM o.rows",
										columns, t->label, t->scope ? " WHERE " : "", t->scope ? t->scope : ""),
							   NULL, work->snapshot, list_concat(list_make1(desired), work->rowsets));
	if (images->count > 0)
	{
		work->counts->deleted = strata_base_run(
			psprintf("DELETE FROM %s AS t USING (\n"
					 "  SELECT q.strata_ctid, q.strata_table FROM (\n"
					 "    SELECT o.ctid AS strata_ctid, o.tableoid AS strata_table, i.present - i.wanted AS surplus,\n"
					 "           row_number() OVER (PARTITION BY i.image) AS nth\n"
					 "      FROM %s AS o, LATERAL (SELECT strata_state.row_image(r.*) AS image\n"
					 "             FROM (SELECT %s%s) AS r) AS k,\n"
					 "           delta_images AS i\n"
					 "     WHERE i.image = k.image AND i.present > i.wanted%s%s) AS q\n"
					 "   WHERE q.nth <= q.surplus) AS d\n"
					 " WHERE t.ctid = d.strata_ctid AND t.tableoid = d.strata_table",
					 t->label, t->label, "o.", strata_base_join_quoted(t->columns, ", o."), t->scope ? " AND " : "",
					 t->scope ? t->scope : ""),
			NULL, work->snapshot, list_concat(list_make1(images), work->rowsets));
		work->counts->inserted = strata_base_run(
			psprintf("INSERT INTO %s (%s)\n"
					 "SELECT %s FROM (\n"
					 "  SELECT q.*, i.wanted - i.present AS %s, row_number() OVER (PARTITION BY i.image) AS %s\n"
					 "    FROM delta_desired AS q JOIN delta_images AS i ON i.image = strata_state.row_image(q.*)\n"
					 "   WHERE i.wanted > i.present) AS d\n"
					 " WHERE d.%s <= d.%s",
					 t->label, columns, columns, missing, nth, nth, missing),
			NULL, work->snapshot, list_make2(desired, images));
	}
	strata_rowset_free(images);
	strata_rowset_free(desired);
}
