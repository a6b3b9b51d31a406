/*
 * delta_match.c: the condition by which rows that change are looked up in the target.
 *
 * Plain equality can use an index or a hash, but finds no NULL. Rows are grouped by which of their columns are NULL: for each
 * pattern that occurs there is a branch with equality on the others and IS NULL on these, which indexes serve, too.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "delta/delta_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#define MOST_COLUMNS 60 /* a bit each */

bool
delta_has_equality(const StrataDeltaTarget *t, const char *column)
{
	return OidIsValid(lookup_type_cache(get_atttype(t->relid, get_attnum(t->relid, column)), TYPECACHE_EQ_OPR)->eq_opr);
}

/* By these columns, as far as their types have equality; NULL when none has. */
DeltaMatch *
delta_match_create(const StrataDeltaTarget *target, const List *names)
{
	DeltaMatch *m = palloc0(sizeof(DeltaMatch));
	ListCell *lc;

	m->target = target;
	foreach (lc, names)
	{
		int i = 0;

		while (i < list_length(target->columns) && strcmp(list_nth(target->columns, i), lfirst(lc)) != 0)
			i++;
		if (i == list_length(target->columns))
			elog(ERROR, "%s has no column \"%s\" to look rows up by", target->label, (char *) lfirst(lc));
		if (delta_has_equality(target, lfirst(lc)))
			m->columns = lappend_int(m->columns, i);
	}
	if (m->columns == NIL)
		return NULL;
	if (list_length(m->columns) > MOST_COLUMNS)
		m->columns = list_truncate(m->columns, MOST_COLUMNS);
	return m;
}

void
delta_match_note(DeltaMatch *m, const bool *nulls)
{
	uint64 mask = 0;
	ListCell *lc;

	foreach (lc, m->columns)
		if (nulls[lfirst_int(lc)])
			mask |= UINT64CONST(1) << foreach_current_index(lc);
	if (m->patterns > 0 && m->masks[m->last] == mask)
		return;
	m->ever_null |= mask;
	for (int i = 0; i < Min(m->patterns, DELTA_MOST_PATTERNS); i++)
		if (m->masks[i] == mask)
		{
			m->last = i;
			return;
		}
	if (m->patterns < DELTA_MOST_PATTERNS)
	{
		m->last = m->patterns;
		m->masks[m->last] = mask;
	}
	m->patterns++;
}

bool
delta_match_is_loose(const DeltaMatch *m)
{
	return m->patterns > DELTA_MOST_PATTERNS;
}

/* The branches as text: a select list, the changed rows (as c), how they are joined, the target (as o). */
char *
delta_match_query(const DeltaMatch *m, const char *select, const char *rows, const char *join)
{
	const StrataDeltaTarget *t = m->target;
	bool loose = m->patterns > DELTA_MOST_PATTERNS;
	int branches = loose ? 1 : m->patterns;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int b = 0; b < branches; b++)
	{
		uint64 mask = loose ? m->ever_null : m->masks[b];
		StringInfoData on;
		StringInfoData where;
		ListCell *lc;

		initStringInfo(&on);
		initStringInfo(&where);
		foreach (lc, m->columns)
		{
			const char *name = list_nth(t->columns, lfirst_int(lc));
			const char *quoted = quote_identifier(name);
			Oid type = get_atttype(t->relid, get_attnum(t->relid, name));
			const char *equal = strata_base_equality(type);
			const char *is_null = strata_base_is_null(type, true);
			bool null = (mask >> foreach_current_index(lc)) & 1;

			if (on.len > 0)
				appendStringInfoString(&on, " AND ");
			if (!null)
				appendStringInfo(&on, "o.%s %s c.%s", quoted, equal, quoted);
			else if (loose)
				appendStringInfo(&on, "(o.%s %s c.%s OR o.%s %s AND c.%s %s)", quoted, equal, quoted, quoted, is_null,
								 quoted, is_null);
			else
				appendStringInfo(&on, "o.%s %s", quoted, is_null);
			if (branches > 1)
				appendStringInfo(&where, "%sc.%s %s", where.len > 0 ? " AND " : " WHERE ", quoted,
								 strata_base_is_null(type, null));
		}
		if (b > 0)
			appendStringInfoString(&buf, "\nUNION ALL\n");
		appendStringInfo(&buf, "SELECT %s FROM %s AS c %s %s AS o ON %s%s", select, rows, join, t->label, on.data,
						 where.data);
	}
	return buf.data;
}

/* Whether values that are equal have one image, so that distinct images are distinct values. */
static bool
equality_is_image(Form_pg_attribute att)
{
	switch (att->atttypid)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
		case BYTEAOID:
			return true;
		case TEXTOID:
		case VARCHAROID:
			return get_collation_isdeterministic(att->attcollation);
		default:
			return false;
	}
}

bool
delta_match_is_image(const DeltaMatch *m, TupleDesc desc)
{
	ListCell *lc;

	foreach (lc, m->columns)
		if (!equality_is_image(TupleDescAttr(desc, lfirst_int(lc))))
			return false;
	return true;
}

/*
 * Columns of the index that tells most rows of the target apart; NIL when it has none to use.
 */
List *
delta_index_columns(const StrataDeltaTarget *t)
{
	Relation rel = table_open(t->relid, NoLock);
	List *indexes = RelationGetIndexList(rel);
	List *best = NIL;
	bool best_unique = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool usable = form->indisvalid && heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) &&
					  heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) &&
					  (index->rd_rel->relam == BTREE_AM_OID || index->rd_rel->relam == HASH_AM_OID);
		List *names = NIL;

		for (int i = 0; usable && i < form->indnkeyatts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), form->indkey.values[i] - 1);

			usable = strata_base_list_has(t->columns, NameStr(att->attname)) &&
					 OidIsValid(lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR)->eq_opr);
			names = lappend(names, pstrdup(NameStr(att->attname)));
		}
		if (usable && ((form->indisunique && !best_unique) ||
					   (form->indisunique == best_unique && list_length(names) > list_length(best))))
		{
			best = names;
			best_unique = form->indisunique;
		}
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return best;
}
