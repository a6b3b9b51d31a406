/*
 * keys.c: affected keys: which they are, and a part restricted to them.
 *
 * The restriction stands at the level of the grouping, below it: PostgreSQL does not push a join through one by itself. Plain
 * equality can use an index or a hash; keys that hold a NULL are a second branch, whose groups are disjoint from the first.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "incremental/incremental_internal.h"

#define INT8_EQUAL_OPERATOR 410 /* like every built-in operator it keeps its number */

/* ---- the key ---- */

static bool
is_key_level(Query *query)
{
	RangeTblEntry *below = incremental_only_subquery(query);

	/* the columns of a union are no expressions over a FROM */
	return incremental_groups(query) || query->hasWindowFuncs || query->distinctClause != NIL || below == NULL ||
		   below->subquery->setOperations != NULL;
}

Query *
incremental_key_level(Query *query)
{
	while (!is_key_level(query))
		query = incremental_only_subquery(query)->subquery;
	return query;
}

static Oid
equality_in(List *clauses, Query *query, Node *expression)
{
	ListCell *lc;

	foreach (lc, clauses)
	{
		SortGroupClause *clause = lfirst(lc);

		if (OidIsValid(clause->eqop) && equal(get_sortgroupclause_expr(clause, query->targetList), expression))
			return clause->eqop;
	}
	return InvalidOid;
}

/* The operator by which the level tells its groups apart. */
static Oid
equality_of(Query *query, Node *expression)
{
	Oid equality = equality_in(query->groupClause, query, expression);
	ListCell *lc;

	if (!OidIsValid(equality))
		equality = equality_in(query->distinctClause, query, expression);
	foreach (lc, query->windowClause)
		if (!OidIsValid(equality))
			equality = equality_in(lfirst_node(WindowClause, lc)->partitionClause, query, expression);
	if (!OidIsValid(equality))
		equality = lookup_type_cache(exprType(expression), TYPECACHE_EQ_OPR)->eq_opr;
	return equality;
}

List *
incremental_keys_of(Query *query, const List *positions)
{
	List *keys = NIL;
	ListCell *lc;

	foreach (lc, positions)
	{
		Query *level = query;
		int position = lfirst_int(lc);
		IncrementalKey *key = palloc(sizeof(IncrementalKey));

		while (!is_key_level(level))
		{
			TargetEntry *entry = get_tle_by_resno(level->targetList, position);

			position = castNode(Var, entry->expr)->varattno;
			level = incremental_only_subquery(level)->subquery;
		}
		key->expression = (Node *) get_tle_by_resno(level->targetList, position)->expr;
		key->equality = equality_of(level, key->expression);
		keys = lappend(keys, key);
	}
	return keys;
}

static List *
key_columns(int count)
{
	List *columns = NIL;

	for (int i = 1; i <= count; i++)
		columns = lappend(columns, psprintf("k%d", i));
	return columns;
}

static char *
keys_of_change(const StrataPart *part, const List *changed)
{
	Query *level = incremental_key_level(part->query);
	List *expressions = NIL;
	Query *change;
	ListCell *lc;

	foreach (lc, incremental_keys_of(part->query, part->keys))
		expressions = lappend(expressions, ((IncrementalKey *) lfirst(lc))->expression);
	if (expressions == NIL)
		return NULL;
	/* what subqueries in arguments give changes groups as well */
	expressions = list_concat(expressions, incremental_row_expressions(level, true));
	change = strata_incremental_change(incremental_core(level, expressions), changed);
	if (change == NULL)
		return NULL;
	return psprintf("SELECT DISTINCT %s\nFROM (%s) AS changed",
					strata_base_join(key_columns(list_length(part->keys)), ", "), strata_incremental_deparse(change));
}

/*
 * Where only a part of some changes is known: the keys that the other changes touch in what is there now, and those of the rows known,
 * in whatever way they touch something. What each change touches beside the others would not do: the version that went is not known,
 * and what stands for it may cancel.
 */
char *
strata_incremental_keys(const StrataPart *part, const List *changed)
{
	List *exact = NIL, *statements = NIL;
	char *sql;
	ListCell *lc;

	foreach (lc, changed)
		if (!list_member_oid(part->partial, ((StrataChanged *) lfirst(lc))->relid))
			exact = lappend(exact, lfirst(lc));
	if (list_length(exact) == list_length(changed))
		return keys_of_change(part, changed);
	if (!incremental_keys_of_rows(part, changed, &statements) && (sql = keys_of_change(part, changed)) != NULL)
		statements = lappend(statements, sql);
	if (exact != NIL && (sql = keys_of_change(part, exact)) != NULL)
		statements = lappend(statements, sql);
	if (list_length(statements) < 2)
		return statements == NIL ? NULL : linitial(statements);
	return psprintf("SELECT DISTINCT %s\nFROM ((%s)) AS changed",
					strata_base_join(key_columns(list_length(part->keys)), ", "),
					strata_base_join(statements, ")\nUNION ALL\n("));
}

/* ---- the restriction ---- */

/* The row set of keys as a member of FROM. */
static Index
add_rowset(Query *level, const char *rowset, List *keys)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *reference = makeNode(RangeTblRef);
	ListCell *lc;

	rte->rtekind = RTE_CTE;
	rte->ctename = pstrdup(rowset);
	rte->alias = makeAlias("strata_keys", NIL);
	rte->eref = makeAlias("strata_keys", NIL);
	rte->inFromCl = true;
	foreach (lc, keys)
	{
		Node *expression = ((IncrementalKey *) lfirst(lc))->expression;
		char *name = psprintf("k%d", foreach_current_index(lc) + 1);

		rte->eref->colnames = lappend(rte->eref->colnames, makeString(name));
		rte->coltypes = lappend_oid(rte->coltypes, exprType(expression));
		rte->coltypmods = lappend_int(rte->coltypmods, exprTypmod(expression));
		rte->colcollations = lappend_oid(rte->colcollations, exprCollation(expression));
	}
	level->rtable = lappend(level->rtable, rte);
	reference->rtindex = list_length(level->rtable);
	level->jointree->fromlist = lappend(level->jointree->fromlist, reference);
	return reference->rtindex;
}

static Expr *
is_null(Node *expression)
{
	NullTest *test = makeNode(NullTest);

	test->arg = (Expr *) copyObject(expression);
	test->nulltesttype = IS_NULL;
	test->argisrow = false;
	test->location = -1;
	return (Expr *) test;
}

/* The operator takes its own types: a varchar key is compared as text. */
static Expr *
as_operand(Node *expression, Oid type)
{
	if (exprType(expression) == type || get_typtype(type) == TYPTYPE_PSEUDO)
		return (Expr *) copyObject(expression);
	return (Expr *) makeRelabelType((Expr *) copyObject(expression), type, -1, exprCollation(expression),
									COERCE_IMPLICIT_CAST);
}

static Expr *
are_equal(const IncrementalKey *key, Node *other)
{
	Oid left, right;

	op_input_types(key->equality, &left, &right);
	return make_opclause(key->equality, BOOLOID, false, as_operand(key->expression, left), as_operand(other, right),
						 InvalidOid, exprCollation(key->expression));
}

static bool
can_hash(Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC);

	return OidIsValid(entry->hash_extended_proc);
}

/* Hash of the key as a row, in which NULL is a value: what the join of keys with NULLs can be hashed by. */
static Expr *
row_hash(List *values)
{
	RowExpr *row = makeNode(RowExpr);

	row->args = copyObject(values);
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_EXPLICIT_CALL;
	row->location = -1;
	for (int i = 1; i <= list_length(values); i++)
		row->colnames = lappend(row->colnames, makeString(psprintf("f%d", i)));
	return (Expr *) makeFuncExpr(
		F_HASH_RECORD_EXTENDED, INT8OID,
		list_make2(row, makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(0), false, FLOAT8PASSBYVAL)),
		InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static List *
match_with_nulls(List *keys, List *columns)
{
	List *quals = NIL, *mine = NIL, *theirs = NIL, *my_nulls = NIL, *their_nulls = NIL;
	bool hash = list_length(keys) > 1;
	ListCell *lc, *column;

	forboth (lc, keys, column, columns)
	{
		IncrementalKey *key = lfirst(lc);
		Expr *both = makeBoolExpr(AND_EXPR, list_make2(is_null(key->expression), is_null(lfirst(column))), -1);

		mine = lappend(mine, key->expression);
		theirs = lappend(theirs, lfirst(column));
		my_nulls = lappend(my_nulls, is_null(key->expression));
		their_nulls = lappend(their_nulls, is_null(lfirst(column)));
		hash = hash && can_hash(exprType(key->expression));
		if (list_length(keys) == 1)
			return list_make2(is_null(key->expression), is_null(lfirst(column)));
		quals = lappend(quals, makeBoolExpr(OR_EXPR, list_make2(are_equal(key, lfirst(column)), both), -1));
	}
	quals = lcons(makeBoolExpr(OR_EXPR, my_nulls, -1), quals);
	quals = lcons(makeBoolExpr(OR_EXPR, their_nulls, -1), quals);
	if (hash)
		quals = lcons(make_opclause(INT8_EQUAL_OPERATOR, BOOLOID, false, row_hash(mine), row_hash(theirs), InvalidOid,
									InvalidOid),
					  quals);
	return quals;
}

static char *
restricted(const StrataPart *part, const char *rowset, bool nulls)
{
	Query *query = copyObject(part->query);
	Query *level = incremental_key_level(query);
	List *keys = incremental_keys_of(query, part->keys);
	Index index = add_rowset(level, rowset, keys);
	List *quals = NIL, *columns = NIL;
	ListCell *lc;

	foreach (lc, keys)
	{
		IncrementalKey *key = lfirst(lc);
		Var *column = incremental_column(index, foreach_current_index(lc) + 1, key->expression);

		columns = lappend(columns, column);
		quals = lappend(quals, are_equal(key, (Node *) column));
	}
	if (nulls)
		quals = match_with_nulls(keys, columns);
	if (level->jointree->quals != NULL)
		quals = lcons(level->jointree->quals, quals);
	level->jointree->quals = (Node *) make_ands_explicit(quals);
	return strata_incremental_deparse(query);
}

char *
strata_incremental_restricted(const StrataPart *part, const char *rowset, bool nulls)
{
	if (part->keys == NIL)
		return NULL;
	if (!nulls)
		return restricted(part, rowset, false);
	return psprintf("(%s)\nUNION ALL\n(%s)", restricted(part, rowset, false), restricted(part, rowset, true));
}

/* ---- the condition on a table's rows ---- */

static char *
operator_text(Oid operator)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Oid schema;
	char *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	schema = ((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace;
	name = pstrdup(NameStr(((Form_pg_operator) GETSTRUCT(tuple))->oprname));
	ReleaseSysCache(tuple);
	if (schema == PG_CATALOG_NAMESPACE)
		return name;
	return psprintf("OPERATOR(%s.%s)", strata_base_quote(get_namespace_name(schema)), name);
}

char *
strata_incremental_key_match(const StrataPart *part, const char *alias, const List *columns, const char *keys_alias,
							 bool nulls)
{
	List *keys = incremental_keys_of(part->query, part->keys);
	List *mine = NIL, *theirs = NIL, *conditions = NIL;
	bool hash = true;
	ListCell *lc, *column;

	forboth (lc, keys, column, columns)
	{
		IncrementalKey *key = lfirst(lc);
		char *a = psprintf("%s.%s", alias, strata_base_quote(lfirst(column)));
		char *b = psprintf("%s.k%d", keys_alias, foreach_current_index(lc) + 1);
		char *same = psprintf("%s %s %s", a, operator_text(key->equality), b);
		const char *none = strata_base_is_null(exprType(key->expression), true);

		mine = lappend(mine, a);
		theirs = lappend(theirs, b);
		hash = hash && can_hash(exprType(key->expression));
		conditions = lappend(conditions, nulls ? psprintf("(%s OR (%s %s AND %s %s))", same, a, none, b, none) : same);
	}
	/* a hash in which NULL is a value: else the join would compare every pair */
	if (nulls && hash)
		conditions =
			lcons(psprintf("pg_catalog.hash_record_extended(ROW(%s), 0) = pg_catalog.hash_record_extended(ROW(%s), 0)",
						   strata_base_join(mine, ", "), strata_base_join(theirs, ", ")),
				  conditions);
	return strata_base_join(conditions, " AND ");
}
