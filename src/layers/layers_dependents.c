/*
 * layers_dependents.c: views that stand on columns whose shape changes.
 *
 * PostgreSQL refuses to retype or drop a column that a view uses. Views of this extension (hidden definition views,
 * staging models kept as views) step aside and come back in the same transaction, with owner, grants and comments; a user's own view is never
 * touched: the change is refused and the view named.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/view.h"
#include "layers/layers_internal.h"
#include "layers/layers_script.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/ruleutils.h"

typedef struct Suspended
{
	char *label;
	char *model; /* whose definition it is, for messages */
	bool self;   /* the relation being changed: made anew by the caller */
	Oid owner;
	char *query;
	List *statements; /* what it had beside its query: owner, grants, comments */
	List *columns;    /* beside each statement: the column it is about, or NULL */
} Suspended;

static const char find_sql[] =
	"WITH RECURSIVE d (oid, depth) AS ("
	" SELECT DISTINCT r.ev_class, 1 FROM pg_depend p JOIN pg_rewrite r ON r.oid = p.objid"
	"  WHERE p.classid = 'pg_rewrite'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjid = $1::oid"
	"    AND r.ev_class <> p.refobjid AND ($2 OR p.refobjsubid IN (SELECT attnum FROM pg_attribute WHERE attrelid = $1::oid AND attname = ANY ($3::name[])))"
	" UNION"
	" SELECT r.ev_class, d.depth + 1 FROM d JOIN pg_depend p ON p.refobjid = d.oid JOIN pg_rewrite r ON r.oid = p.objid"
	"  WHERE p.classid = 'pg_rewrite'::regclass AND p.refclassid = 'pg_class'::regclass AND r.ev_class <> d.oid AND d.depth < 500)"
	" SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relkind = 'v', m.id IS NOT NULL,"
	"        format('%I.%I', coalesce(m.schema_name, n.nspname), coalesce(m.relation_name, c.relname))"
	"   FROM (SELECT oid, max(depth) AS depth FROM d GROUP BY oid) AS d"
	"   JOIN pg_class c ON c.oid = d.oid JOIN pg_namespace n ON n.oid = c.relnamespace"
	"   LEFT JOIN strata_state.model m ON (m.schema_name = n.nspname AND m.relation_name = c.relname)"
	"     OR (n.nspname = 'strata_state' AND c.relname = format('m%s_query', m.id))"
	"     OR (m.layer = 'staging' AND m.schema_name = n.nspname AND c.relname = m.relation_name || '__rejected')"
	"  ORDER BY d.depth, 2";

/* Everything that a view has beside its query. */
static const char describe_sql[] =
	"SELECT s, attname FROM ("
	" SELECT 1 AS o, NULL::name AS attname, format('ALTER VIEW %s SET (%s)', $2, array_to_string(c.reloptions, ', ')) AS s"
	"   FROM pg_class c WHERE c.oid = $1::oid AND c.reloptions IS NOT NULL"
	" UNION ALL SELECT 2, NULL, format('ALTER VIEW %s OWNER TO %I', $2, pg_get_userbyid(c.relowner)) FROM pg_class c WHERE c.oid = $1::oid"
	" UNION ALL SELECT 3, NULL, format('GRANT %s ON %s TO %s%s', a.privilege_type, $2,"
	"   CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,"
	"   CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
	"   FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = $1::oid AND a.grantee <> c.relowner"
	" UNION ALL SELECT 4, t.attname, format('GRANT %s (%I) ON %s TO %s%s', a.privilege_type, t.attname, $2,"
	"   CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,"
	"   CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
	"   FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = $1::oid AND NOT t.attisdropped"
	" UNION ALL SELECT 5, NULL, format('COMMENT ON VIEW %s IS %L', $2, obj_description($1::oid, 'pg_class'))"
	"   WHERE obj_description($1::oid, 'pg_class') IS NOT NULL"
	" UNION ALL SELECT 6, t.attname, format('COMMENT ON COLUMN %s.%I IS %L', $2, t.attname, col_description($1::oid, t.attnum))"
	"   FROM pg_attribute t WHERE t.attrelid = $1::oid AND t.attnum > 0 AND col_description($1::oid, t.attnum) IS NOT NULL"
	") AS q ORDER BY o";

/* ---- views made for their owners ---- */

/*
 * A query is analyzed as the owner of the view, never as the keeper: analysis already converts literals, and
 * '{1}'::domain[] evaluates the constraint of the domain, which is code of whoever owns it.
 */
static Query *
analyze_as(Oid owner, const char *sql)
{
	StrataIdentity saved;
	Query *query;

	strata_base_enter_owner(owner, NULL, &saved);
	query = parse_analyze_fixedparams(linitial(raw_parser(sql, RAW_PARSE_DEFAULT)), sql, NULL, 0, NULL);
	strata_base_leave(&saved);
	return query;
}

/*
 * CREATE VIEW of that name, for that owner, who needs no right to create there. The keeper makes a view of the same
 * columns without values, and gives it the analyzed query.
 */
void
layers_store_view(const char *label, const char *sql, Oid owner)
{
	Query *query = analyze_as(owner, sql);
	StrataIdentity saved;
	StringInfoData ddl;
	StrataArgs args = {0};
	ListCell *lc;
	bool first = true;
	Oid relid;

	strata_base_enter_keeper(&saved);
	initStringInfo(&ddl);
	appendStringInfo(&ddl, "CREATE VIEW %s AS SELECT", label);
	foreach (lc, query->targetList)
	{
		TargetEntry *te = lfirst(lc);
		Oid collation = exprCollation((Node *) te->expr);

		if (te->resjunk)
			continue;
		appendStringInfo(&ddl, "%s NULL::%s", first ? "" : ",",
						 format_type_with_typemod(exprType((Node *) te->expr), exprTypmod((Node *) te->expr)));
		if (OidIsValid(collation))
			appendStringInfo(&ddl, " COLLATE %s", generate_collation_name(collation));
		appendStringInfo(&ddl, " AS %s", quote_identifier(te->resname));
		first = false;
	}
	strata_base_execute(ddl.data, NULL);
	strata_args_text(&args, label);
	relid = strata_rows_int(strata_base_query("SELECT $1::regclass::oid", &args), 0, 1);
	StoreViewQuery(relid, query, true);
	CommandCounterIncrement();
	strata_base_execute(psprintf("ALTER VIEW %s OWNER TO %s", label, quote_identifier(GetUserNameFromId(owner, false))),
						NULL);
	strata_base_leave(&saved);
}

/* ---- stepping aside ---- */

static Suspended *
describe(Oid relid, const char *label, const char *model, bool self)
{
	Suspended *s = palloc0(sizeof(Suspended));
	StrataArgs args = {0};
	StrataRows *rows;

	s->label = pstrdup(label);
	s->model = pstrdup(model);
	s->self = self;
	strata_args_int8(&args, relid);
	rows = strata_base_keeper_query("SELECT pg_get_viewdef(c.oid), c.relowner FROM pg_class c WHERE c.oid = $1::oid",
									&args);
	s->query = strata_rows_text(rows, 0, 1);
	s->owner = strata_rows_int(rows, 0, 2);
	strata_args_text(&args, label);
	rows = strata_base_keeper_query(describe_sql, &args);
	for (uint64 i = 0; i < rows->count; i++)
	{
		s->statements = lappend(s->statements, strata_rows_text(rows, i, 1));
		s->columns = lappend(s->columns, strata_rows_text(rows, i, 2));
	}
	return s;
}

static List *
suspend(Oid relid, const char *label, const List *columns, bool include_self, bool *in_the_way)
{
	StrataArgs args = {0};
	StrataRows *rows;
	List *suspended = NIL;
	List *labels = NIL;
	List *foreign = NIL;

	strata_args_int8(&args, relid);
	strata_args_bool(&args, columns == NIL);
	strata_args_texts(&args, columns);
	rows = strata_base_keeper_query(find_sql, &args);
	if (include_self)
	{
		suspended = lappend(suspended, describe(relid, label, label, true));
		labels = lappend(labels, pstrdup(label));
	}
	for (uint64 i = 0; i < rows->count; i++)
	{
		char *view = strata_rows_text(rows, i, 2);

		if (!strata_rows_bool(rows, i, 3) || !strata_rows_bool(rows, i, 4))
		{
			foreign = lappend(foreign, view);
			continue;
		}
		suspended =
			lappend(suspended, describe(strata_rows_int(rows, i, 1), view, strata_rows_text(rows, i, 5), false));
		labels = lappend(labels, view);
	}
	if (foreign != NIL && in_the_way)
	{
		*in_the_way = true;
		return NIL;
	}
	if (foreign != NIL)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("cannot change the columns of %s: views stand on them", label),
						errdetail("They are not models, so they are left alone: %s.", strata_base_join(foreign, ", ")),
						errhint("Drop them first and create them again afterwards, or keep the columns as they are.")));
	if (labels != NIL)
	{
		StrataIdentity saved;

		strata_base_enter_keeper(&saved);
		strata_base_execute(psprintf("DROP VIEW %s", strata_base_join(labels, ", ")), NULL);
		strata_base_leave(&saved);
	}
	return suspended;
}

List *
layers_suspend_dependents(Oid relid, const char *label, const List *columns, bool include_self)
{
	return suspend(relid, label, columns, include_self, NULL);
}

List *
layers_suspend_if_ours(Oid relid, const char *label, const List *columns, bool *in_the_way)
{
	return suspend(relid, label, columns, false, in_the_way);
}

static bool
has_column(const char *label, const char *column)
{
	StrataArgs args = {0};

	strata_args_text(&args, label);
	strata_args_text(&args, column);
	return strata_rows_bool(strata_base_query("SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = $1::regclass"
											  " AND attname = $2::name AND NOT attisdropped)",
											  &args),
							0, 1);
}

static void
resume(const Suspended *s)
{
	StrataIdentity saved;
	ListCell *st;

	/* the changed relation itself was made by the caller; its options, grants and comments come back here */
	if (!s->self)
		layers_store_view(s->label, s->query, s->owner);
	strata_base_enter_keeper(&saved);
	foreach (st, s->statements)
	{
		char *column = list_nth(s->columns, foreach_current_index(st));

		/* a column that the change took away took its grants and comment along */
		if (!(s->self && column && !has_column(s->label, column)))
			strata_base_execute(lfirst(st), NULL);
	}
	strata_base_leave(&saved);
}

/*
 * A definition that the same script is about to replace comes back if it can. If not, a view without meaning holds its
 * place: it says whose the model is.
 */
static void
resume_or_leave_out(const Suspended *s)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		resume(s);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
			ReThrowError(edata);
		layers_store_view(s->label, "SELECT NULL::text AS " LAYERS_AWAITING, s->owner);
		layers_note_left_out();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

void
layers_resume_dependents(List *suspended, const char *label)
{
	ListCell *lc;
	MemoryContext context = CurrentMemoryContext;

	foreach (lc, suspended)
	{
		Suspended *s = lfirst(lc);

		/* a staging model kept as a view is more than its definition: it may not be away */
		if (!s->self && strcmp(s->label, s->model) != 0 && layers_is_pending(s->model))
		{
			resume_or_leave_out(s);
			continue;
		}
		PG_TRY();
		{
			resume(s);
		}
		PG_CATCH();
		{
			ErrorData *edata;

			MemoryContextSwitchTo(context);
			edata = CopyErrorData();
			if (s->self)
				PG_RE_THROW();
			FlushErrorState();
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot change %s so: model %s would break", label, s->model),
					 errdetail("%s", edata->message),
					 errhint("Change the definition of %s first, or both in one strata.define_all().", s->model)));
		}
		PG_END_TRY();
	}
}

/* ---- hidden definition views ---- */

void
layers_keeper_ddl(const char *sql)
{
	StrataIdentity saved;

	strata_base_enter_keeper(&saved);
	strata_base_execute(sql, NULL);
	strata_base_leave(&saved);
}

void
layers_create_query_view(const StrataModel *model, const char *resolved, Oid owner)
{
	char *view = strata_registry_state_relation(model->id, "query");

	if (OidIsValid(get_relname_relid(psprintf("m%d_query", model->id), get_namespace_oid("strata_state", false))))
		layers_keeper_ddl(psprintf("DROP VIEW %s", view));
	layers_store_view(view, resolved, owner);
}
