/*
 * generate.c: the SQL of checks. Identifiers are quoted by PostgreSQL's own functions, operators of types are named with
 * their schema (under the pinned search_path "=" on a citext column would be that of text), values are literals cast to
 * the column's type.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "checks/checks_internal.h"
#include "miscadmin.h"
#include "parser/parse_oper.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* ---- the target ---- */

/* a List of char * as the text of a text[] literal, quoted for SQL */
static char *
texts_literal(List *texts)
{
	StrataArgs args = {0};
	Oid output;
	bool varlena;

	strata_args_texts(&args, texts);
	getTypeOutputInfo(TEXTARRAYOID, &output, &varlena);
	return strata_base_literal(OidOutputFunctionCall(output, args.values[0]));
}

StrataCheckTarget *
strata_checks_target(const StrataModel *model)
{
	StrataCheckTarget *target = palloc0(sizeof(StrataCheckTarget));
	StrataArgs args = {0};
	StrataRows *rows;
	List *names = NIL;
	ListCell *lc;

	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(model->relid), false);
	rows = strata_base_query("SELECT a.attname::pg_catalog.text, a.atttypid, a.atttypmod, a.attcollation"
							 " FROM pg_catalog.pg_attribute a"
							 " WHERE a.attrelid OPERATOR(pg_catalog.=) $1 AND a.attnum OPERATOR(pg_catalog.>) 0"
							 " AND NOT a.attisdropped ORDER BY a.attnum",
							 &args);
	target->model = model;
	for (uint64 i = 0; i < rows->count; i++)
	{
		StrataCheckColumn *column = palloc0(sizeof(StrataCheckColumn));

		column->name = strata_rows_text(rows, i, 1);
		column->type = (Oid) strata_rows_int(rows, i, 2);
		column->typmod = (int32) strata_rows_int(rows, i, 3);
		column->collation = (Oid) strata_rows_int(rows, i, 4);
		target->columns = lappend(target->columns, column);
		names = lappend(names, column->name);
	}
	target->names = texts_literal(names);
	if (model->layer == STRATA_DIMENSION)
	{
		foreach (lc, strata_registry_columns(model->id))
		{
			const StrataColumn *column = lfirst(lc);

			if (strcmp(column->role, "surrogate key") == 0 && strata_checks_column(target, column->name))
				target->not_unknown = psprintf("t.%s <> 0", quote_identifier(column->name));
		}
	}
	return target;
}

StrataCheckColumn *
strata_checks_column(const StrataCheckTarget *target, const char *name)
{
	ListCell *lc;

	foreach (lc, target->columns)
	{
		StrataCheckColumn *column = lfirst(lc);

		if (strcmp(column->name, name) == 0)
			return column;
	}
	return NULL;
}

/* NULL, or why the check cannot run on the target as it is now. */
char *
strata_checks_column_error(const StrataCheckTarget *target, const StrataCheck *check)
{
	ListCell *lc;

	foreach (lc, check->columns)
	{
		if (strata_checks_column(target, lfirst(lc)) == NULL)
			return psprintf("column \"%s\" does not exist in %s", (char *) lfirst(lc), target->model->label);
	}
	return NULL;
}

/* ---- pieces ---- */

static char *
column_ref(const char *alias, const char *name)
{
	return psprintf("%s.%s", alias, quote_identifier(name));
}

static char *
operator_sql(Oid operator)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char *sql;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	if (form->oprnamespace == PG_CATALOG_NAMESPACE)
		sql = pstrdup(NameStr(form->oprname));
	else
		sql = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					   NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return sql;
}

static void
no_equality(const char *column, Oid type)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
					errmsg("column \"%s\" is of type %s, which has no equality", column, format_type_be(type)),
					errhint("Compare a text form of it with kind expression or query.")));
}

/* The equality of a type, as its btree or hash class has it. */
static char *
equality(const StrataCheckColumn *column)
{
	TypeCacheEntry *entry = lookup_type_cache(column->type, TYPECACHE_EQ_OPR);

	if (!OidIsValid(entry->eq_opr))
		no_equality(column->name, column->type);
	return operator_sql(entry->eq_opr);
}

static char *
type_sql(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* Which rows the check looks at: NULL for all. */
char *
strata_checks_filter(const StrataCheckTarget *target, const StrataCheck *check)
{
	const char *unknown =
		check->kind == STRATA_CHECK_QUERY || strata_option_bool(check->options, "include_unknown", false)
			? NULL
			: target->not_unknown;

	if (unknown && check->where)
		return psprintf("%s AND (%s)", unknown, check->where);
	if (check->where)
		return psprintf("(%s)", check->where);
	return unknown ? pstrdup(unknown) : NULL;
}

/* ---- row conditions: true for a row that fails ---- */

static char *
not_null_condition(const StrataCheck *check)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, check->columns)
		appendStringInfo(&sql, "%s%s IS NULL", sql.len ? " OR " : "", column_ref("t", lfirst(lc)));
	return sql.data;
}

/* From nine elements on PostgreSQL hashes = ANY (array); below, comparisons one after the other are faster than a loop. */
#define MAX_COMPARISONS 8

static char *
accepted_values_condition(const StrataCheckTarget *target, const StrataCheck *check)
{
	const StrataCheckColumn *column = strata_checks_column(target, linitial(check->columns));
	char *ref = column_ref("t", column->name);
	char *type = type_sql(column->type);
	TypeCacheEntry *entry = lookup_type_cache(column->type, TYPECACHE_EQ_OPR);
	Oid differs;
	JsonbValue *values = strata_option(check->options, "values");
	JsonbIterator *it;
	JsonbValue element;
	JsonbIteratorToken token;
	List *literals = NIL;
	StringInfoData sql;
	ListCell *lc;

	if (!OidIsValid(entry->eq_opr))
		no_equality(column->name, column->type);
	it = JsonbIteratorInit(values->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		char *text;

		if (token != WJB_ELEM)
			continue;
		if (element.type == jbvString)
			text = pnstrdup(element.val.string.val, element.val.string.len);
		else if (element.type == jbvBool)
			text = element.val.boolean ? "true" : "false";
		else
			text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(element.val.numeric)));
		literals = lappend(literals, strata_base_literal(text));
	}

	initStringInfo(&sql);
	differs = get_negator(entry->eq_opr);
	if (OidIsValid(differs) && list_length(literals) <= MAX_COMPARISONS)
	{
		foreach (lc, literals)
			appendStringInfo(&sql, "%s%s %s %s::%s", sql.len ? " AND " : "", ref, operator_sql(differs),
							 (char *) lfirst(lc), type);
	}
	else
	{
		if (!OidIsValid(get_array_type(column->type)))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("column \"%s\" is of type %s, of which there are no arrays", column->name,
								   format_type_be(column->type)),
							errhint("Use kind expression.")));
		appendStringInfo(&sql, "NOT (%s %s ANY (ARRAY[%s]::%s[]))", ref, operator_sql(entry->eq_opr),
						 strata_base_join(literals, ", "), type);
	}
	return sql.data;
}

static char *
postgis_schema(void)
{
	StrataRows *rows =
		strata_base_query("SELECT n.nspname::pg_catalog.text FROM pg_catalog.pg_extension e"
						  " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace"
						  " WHERE e.extname OPERATOR(pg_catalog.=) 'postgis'",
						  NULL);

	if (rows->count == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the extension postgis is not installed in this database"),
						errhint("Run CREATE EXTENSION postgis.")));
	return strata_rows_text(rows, 0, 1);
}

static char *
geometry_condition(const StrataCheckTarget *target, const StrataCheck *check)
{
	const StrataCheckColumn *column = strata_checks_column(target, linitial(check->columns));
	char *schema = postgis_schema();
	Oid namespace = get_namespace_oid(schema, false);
	Oid geometry =
		GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("geometry"), ObjectIdGetDatum(namespace));
	Oid geography =
		GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("geography"), ObjectIdGetDatum(namespace));
	char *quoted = strata_base_quote(schema);
	char *ref = column_ref("t", column->name);
	StringInfoData sql;

	if (column->type != geometry && column->type != geography)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" is of type %s", column->name, format_type_be(column->type)),
						errhint("Name a column of type geometry or geography.")));
	if (column->type == geography)
		ref = psprintf("%s::%s.geometry", ref, quoted);
	initStringInfo(&sql);
	if (strata_option(check->options, "srid"))
		appendStringInfo(&sql, "%s.st_srid(%s) <> " INT64_FORMAT, quoted, ref,
						 strata_option_int(check->options, "srid", 0));
	if (strata_option_bool(check->options, "valid", true))
		appendStringInfo(&sql, "%sNOT %s.st_isvalid(%s)", sql.len ? " OR " : "", quoted, ref);
	if (sql.len == 0)
		appendStringInfoString(&sql, "false");
	return sql.data;
}

/* NULL for a kind that is not about single rows. */
char *
strata_checks_condition(const StrataCheckTarget *target, const StrataCheck *check)
{
	switch (check->kind)
	{
		case STRATA_CHECK_NOT_NULL:
			return not_null_condition(check);
		case STRATA_CHECK_ACCEPTED_VALUES:
			return accepted_values_condition(target, check);
		case STRATA_CHECK_EXPRESSION:
			return psprintf("NOT (%s)", check->expression);
		case STRATA_CHECK_GEOMETRY:
			return geometry_condition(target, check);
		default:
			return NULL;
	}
}

/* freshness: the newest finite value of the column, as timestamptz, in the scan's rows the filter keeps */
char *
strata_checks_newest(const StrataCheckTarget *target, const StrataCheck *check, const char *filter)
{
	const StrataCheckColumn *column = strata_checks_column(target, linitial(check->columns));
	Oid base = getBaseType(column->type);
	char *ref = column_ref("t", column->name);

	if (base != DATEOID && base != TIMESTAMPOID && base != TIMESTAMPTZOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" is of type %s", column->name, format_type_be(column->type)),
						errhint("Name a column of type date, timestamp or timestamptz.")));
	return psprintf("(max(%s) FILTER (WHERE isfinite(%s)%s%s))::timestamptz", ref, ref, filter ? " AND " : "",
					filter ? filter : "");
}

/* ---- checks with a statement of their own; each gives: rows looked at (NULL: not known here), collected ---- */

static char *
not_null_all(const char *alias, List *columns)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, columns)
		appendStringInfo(&sql, "%s%s IS NOT NULL", sql.len ? " AND " : "", column_ref(alias, lfirst(lc)));
	return sql.data;
}

char *
strata_checks_unique_sql(const StrataCheckTarget *target, const StrataCheck *check)
{
	char *filter = strata_checks_filter(target, check);
	List *names = list_copy(check->columns);
	StringInfoData refs;
	ListCell *lc;

	foreach (lc, check->columns)
		(void) equality(strata_checks_column(target, lfirst(lc)));
	initStringInfo(&refs);
	foreach (lc, check->columns)
		appendStringInfo(&refs, "%s%s", refs.len ? ", " : "", column_ref("t", lfirst(lc)));
	names = lappend(names, pstrdup("rows"));
	return psprintf("SELECT COALESCE(sum(g.\"rows of the group\"), 0)::bigint,\n"
					"       strata_state.collect_failures(ARRAY[true], ROW(g.*), %s, ARRAY[%d])"
					" FILTER (WHERE g.\"rows of the group\" > 1)\n"
					"  FROM (SELECT %s, count(*) AS \"rows of the group\"\n"
					"          FROM %s t\n"
					"         WHERE %s%s%s\n"
					"         GROUP BY %s) g",
					texts_literal(names), check->sample_rows, refs.data, target->model->label,
					not_null_all("t", check->columns), filter ? " AND " : "", filter ? filter : "", refs.data);
}

/* The relation that "to" names, with its columns, for the owner. */
static StrataCheckTarget *
referenced(const StrataCheck *check)
{
	char *text = strata_option_text(check->options, "to");
	StrataName name = strata_base_parse_name(text, "option \"to\"");
	StrataModel *stub = palloc0(sizeof(StrataModel));
	Oid namespace = name.schema ? get_namespace_oid(name.schema, true) : InvalidOid;
	AclResult allowed;

	if (name.schema == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("option \"to\" must name a schema too, it is \"%s\"", text),
				 errhint("Write schema.table.")));
	stub->schema = name.schema;
	stub->name = name.name;
	stub->label = strata_base_label(name.schema, name.name);
	stub->layer = STRATA_MART;
	stub->relid = OidIsValid(namespace) ? get_relname_relid(name.name, namespace) : InvalidOid;
	if (!OidIsValid(stub->relid))
	{
		char *hint = strata_base_suggestion(stub->label, strata_base_relation_names());

		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation %s does not exist", stub->label),
						hint ? errhint("%s", hint) : errhint("Name a table or view the model's owner may read.")));
	}
	allowed = pg_class_aclcheck(stub->relid, GetUserId(), ACL_SELECT);
	if (allowed != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(stub->relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for relation %s", stub->label),
				 errdetail("The check runs as the model's owner, role \"%s\".", GetUserNameFromId(GetUserId(), true)),
				 errhint("GRANT SELECT on it to that role.")));
	return strata_checks_target(stub);
}

/* The "to" side's column for each of the check's: option columns, or the same names. */
static List *
referenced_columns(const StrataCheck *check, const StrataCheckTarget *to)
{
	List *columns = strata_option_texts(check->options, "columns");
	ListCell *lc;

	if (columns == NIL)
		columns = check->columns;
	if (list_length(columns) != list_length(check->columns))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%d columns against %d in option \"columns\"", list_length(check->columns),
							   list_length(columns)),
						errhint("Name one column of %s for each column of the check.", to->model->label)));
	foreach (lc, columns)
	{
		if (strata_checks_column(to, lfirst(lc)) == NULL)
		{
			List *names = NIL;
			ListCell *c;
			char *hint;

			foreach (c, to->columns)
				names = lappend(names, ((StrataCheckColumn *) lfirst(c))->name);
			hint = strata_base_suggestion(lfirst(lc), names);
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" does not exist in %s", (char *) lfirst(lc), to->model->label),
							errdetail("Its columns are %s.", strata_base_join(names, ", ")),
							hint ? errhint("%s", hint) : errhint("Name its columns in option \"columns\".")));
		}
	}
	return columns;
}

char *
strata_checks_relationships_sql(const StrataCheckTarget *target, const StrataCheck *check)
{
	StrataCheckTarget *to = referenced(check);
	List *to_columns = referenced_columns(check, to);
	char *filter = strata_checks_filter(target, check);
	StringInfoData match;
	ListCell *a;
	ListCell *b;

	initStringInfo(&match);
	forboth (a, check->columns, b, to_columns)
	{
		const StrataCheckColumn *from = strata_checks_column(target, lfirst(a));
		const StrataCheckColumn *into = strata_checks_column(to, lfirst(b));
		char *operator;

		if (getBaseType(from->type) == getBaseType(into->type))
			operator= equality(from);
		else
		{
			Oid found = compatible_oper_opid(list_make1(makeString(pstrdup("="))), getBaseType(from->type),
											 getBaseType(into->type), true);

			if (!OidIsValid(found))
				ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
								errmsg("columns \"%s\" and \"%s\" cannot be compared", from->name, into->name),
								errdetail("They are of type %s and %s.", format_type_be(from->type),
										  format_type_be(into->type)),
								errhint("Give them the same type in the models.")));
			operator= operator_sql(found);
		}
		appendStringInfo(&match, "%s%s %s %s", match.len ? " AND " : "", column_ref("u", into->name), operator,
						 column_ref("t", from->name));
	}
	return psprintf("SELECT NULL::bigint,\n"
					"       strata_state.collect_failures(ARRAY[true], ROW(t.*), %s, ARRAY[%d])\n"
					"  FROM %s t\n"
					" WHERE %s%s%s\n"
					"   AND NOT EXISTS (SELECT FROM %s u WHERE %s)",
					target->names, check->sample_rows, target->model->label, not_null_all("t", check->columns),
					filter ? " AND " : "", filter ? filter : "", to->model->label, match.data);
}

char *
strata_checks_query_sql(const StrataCheck *check)
{
	TupleDesc desc = strata_base_describe(check->query, NIL);
	List *names = NIL;

	for (int i = 0; i < desc->natts; i++)
		names = lappend(names, pstrdup(NameStr(TupleDescAttr(desc, i)->attname)));
	return psprintf("SELECT count(*),\n"
					"       strata_state.collect_failures(ARRAY[true], ROW(q.*), %s, ARRAY[%d])\n"
					"  FROM (%s) q",
					texts_literal(names), check->sample_rows, check->query);
}

/* ---- what a constraint already proves ---- */

/* Says which constraint makes the check true whatever the rows are; NULL when none does. */
char *
strata_checks_proof(const StrataCheckTarget *target, const StrataCheck *check)
{
	StrataArgs args = {0};
	StrataRows *rows;

	strata_args_datum(&args, OIDOID, ObjectIdGetDatum(target->model->relid), false);
	strata_args_texts(&args, check->columns);
	if (check->kind == STRATA_CHECK_NOT_NULL)
	{
		/* from 18 on attnotnull may stand for a constraint not validated, or not enforced on children */
		rows = strata_base_query(
			"SELECT count(*) = cardinality($2) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
			" WHERE a.attrelid = $1 AND a.attname = ANY ($2::name[]) AND NOT a.attisdropped AND a.attnotnull"
			" AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid"
			" AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND (NOT k.convalidated OR k.connoinherit))",
			&args);
		if (strata_rows_bool(rows, 0, 1))
			return psprintf("proved by the NOT NULL constraint%s of %s", list_length(check->columns) > 1 ? "s" : "",
							strata_base_join_quoted(check->columns, ", "));
	}
	else if (check->kind == STRATA_CHECK_UNIQUE)
	{
		/* unique over some of the columns is unique over all; only an index that means what GROUP BY means */
		rows = strata_base_query(
			"SELECT x.relname::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid"
			" JOIN pg_catalog.pg_class c ON c.oid = i.indrelid"
			" WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate"
			" AND i.indpred IS NULL AND i.indexprs IS NULL AND (c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relhassubclass)"
			" AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) AS s(k)"
			"  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] AND a.attname = ANY ($2::name[])"
			"  LEFT JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[k]"
			"  WHERE a.attname IS NULL OR NOT o.opcdefault OR i.indcollation[k] <> a.attcollation)"
			" ORDER BY i.indisprimary DESC, 1 LIMIT 1",
			&args);
		if (rows->count > 0)
			return psprintf("proved by the unique index %s", quote_identifier(strata_rows_text(rows, 0, 1)));
	}
	return NULL;
}
