/*
 * layers_staging.c: staging, a view or a table; with rules, rows that break one stand in <model>__rejected with the
 * reason and the source row.
 *
 * With rules the query is kept with two more columns, strata_rejected (the reasons, or NULL) and strata_source. The
 * model is the rows without a reason, the rejects are the others: no row is in neither and none is in both.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fence/fence.h"
#include "layers/layers_incremental.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

static const StrataOption options[] = {
	{"key", STRATA_OPTION_TEXTS},
	{"rules", STRATA_OPTION_OBJECT},
	{"reject_failed_casts", STRATA_OPTION_BOOL},
};

static bool
has_rejects(const StrataModel *m)
{
	return strata_option_names(strata_option_object(m->options, "rules")) != NIL ||
		   strata_option_bool(m->options, "reject_failed_casts", false);
}

static char *
rejects_name(const StrataModel *m)
{
	char *name = psprintf("%s__rejected", m->name);

	strata_base_check_identifier(name, "the table of rejected rows");
	return name;
}

static char *
rejects_label(const StrataModel *m)
{
	return strata_base_label(m->schema, rejects_name(m));
}

static void
rule_error(const Definition *def, const char *name, const char *expression, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("rule \"%s\" of model %s %s", name, def->model->label, problem),
					errdetail("It reads: %s", expression),
					errhint("Write one condition over the columns of the query, such as \"montant >= 0\".")));
}

/* What PostgreSQL says of an expression, said of the rule. */
static void
rule_failed(const Definition *def, const char *name, const char *expression, MemoryContext context)
{
	ErrorData *edata;

	MemoryContextSwitchTo(context);
	edata = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
		PG_RE_THROW();
	FlushErrorState();
	ereport(ERROR,
			(errcode(edata->sqlerrcode), errmsg("rule \"%s\" of model %s: %s", name, def->model->label, edata->message),
			 errdetail("It reads: %s", expression),
			 errhint("%s", edata->hint ? edata->hint
									   : "Write one condition over the columns of the query, such as "
										 "\"montant >= 0\".")));
}

/*
 * A rule is one boolean expression over the query's columns: parsed alone, so nothing can follow it, and analyzed alone, so
 * that it reads nothing but the row.
 */
static void
check_rule(const Definition *def, const char *name, const char *expression)
{
	MemoryContext context = CurrentMemoryContext;
	List *parsed = NIL;
	SelectStmt *s;

	PG_TRY();
	{
		parsed = raw_parser(expression, RAW_PARSE_PLPGSQL_EXPR);
	}
	PG_CATCH();
	{
		rule_failed(def, name, expression, context);
	}
	PG_END_TRY();
	s = (SelectStmt *) ((RawStmt *) linitial(parsed))->stmt;
	if (list_length(parsed) != 1 || list_length(s->targetList) != 1 || s->fromClause || s->whereClause ||
		s->groupClause || s->havingClause || s->windowClause || s->sortClause || s->limitCount || s->limitOffset ||
		s->lockingClause || s->op || s->distinctClause || s->intoClause || s->withClause ||
		((ResTarget *) linitial(s->targetList))->name)
		rule_error(def, name, expression, "is not one expression");
}

static void
check_rule_meaning(const Definition *def, const char *name, const char *expression, const char *rows)
{
	MemoryContext context = CurrentMemoryContext;
	/* a wrong expression must not end the comment or the parenthesis: check_rule() saw to that */
	char *text = psprintf("SELECT (%s\n) FROM (%s) AS q", expression, rows);
	Query *query = NULL;
	Node *value;

	PG_TRY();
	{
		query = parse_analyze_fixedparams(linitial(raw_parser(text, RAW_PARSE_DEFAULT)), text, NULL, 0, NULL);
	}
	PG_CATCH();
	{
		rule_failed(def, name, expression, context);
	}
	PG_END_TRY();
	value = (Node *) ((TargetEntry *) linitial(query->targetList))->expr;
	if (query->hasSubLinks)
		rule_error(def, name, expression, "reads other rows: a rule looks at one row only");
	if (query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs)
		rule_error(def, name, expression, "uses an aggregate, window or set-returning function");
	if (exprType(value) != BOOLOID)
		rule_error(def, name, expression, psprintf("is of type %s, not boolean", format_type_be(exprType(value))));
	if (contain_volatile_functions(value) && strcmp(def->model->refresh, "full") != 0)
		rule_error(def, name, expression, "uses a volatile function");
	/* it may call what can be replaced */
	query->rtable = NIL;
	query->jointree = makeFromExpr(NIL, NULL);
	if (!strata_fence_is_deterministic(query))
		def->model->deterministic = false;
}

typedef struct CastWalk
{
	List *errors; /* Node *: one cast_error() call per try_cast() */
} CastWalk;

static bool
find_casts(Node *node, CastWalk *walk)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncCall) && strcmp(strVal(llast(((FuncCall *) node)->funcname)), "try_cast") == 0 &&
		list_length(((FuncCall *) node)->args) == 2)
	{
		FuncCall *call = copyObject((FuncCall *) node);

		call->funcname = list_make2(makeString("strata"), makeString("cast_error"));
		walk->errors = lappend(walk->errors, call);
	}
	if (IsA(node, SelectStmt))
		return false; /* a subquery's casts are its own */
	return raw_expression_tree_walker(node, find_casts, walk);
}

static Node *
call(const char *name, List *args)
{
	return (Node *) makeFuncCall(list_make2(makeString("pg_catalog"), makeString(pstrdup(name))), args,
								 COERCE_EXPLICIT_CALL, -1);
}

static Node *
text_node(const char *text)
{
	A_Const *c = makeNode(A_Const);

	c->val.sval.type = T_String;
	c->val.sval.sval = pstrdup(text);
	c->location = -1;
	return (Node *) c;
}

/* alias -> to_jsonb(alias) for the tables of a FROM item */
static void
source_items(Node *item, List **pairs)
{
	char *alias = NULL;

	if (IsA(item, JoinExpr))
	{
		source_items(((JoinExpr *) item)->larg, pairs);
		source_items(((JoinExpr *) item)->rarg, pairs);
		return;
	}
	if (IsA(item, RangeVar))
		alias = ((RangeVar *) item)->alias ? ((RangeVar *) item)->alias->aliasname : ((RangeVar *) item)->relname;
	else if (IsA(item, RangeSubselect) && ((RangeSubselect *) item)->alias)
		alias = ((RangeSubselect *) item)->alias->aliasname;
	if (alias != NULL)
	{
		ColumnRef *row = makeNode(ColumnRef);

		/* with the star it is the row, though a column may have the table's name */
		row->fields = list_make2(makeString(pstrdup(alias)), makeNode(A_Star));
		row->location = -1;
		*pairs = lappend(*pairs, text_node(alias));
		*pairs = lappend(*pairs, call("to_jsonb", list_make1(row)));
	}
}

/* "column: what is wrong with its value" for the casts of one output column; NULL while nothing is */
static void
name_casts(ResTarget *target, CastWalk *walk)
{
	CastWalk found = {NIL};
	ListCell *lc;

	find_casts(target->val, &found);
	foreach (lc, found.errors)
	{
		Node *error = lfirst(lc);

		if (target->name)
			error = (Node *) makeA_Expr(AEXPR_OP, list_make2(makeString("pg_catalog"), makeString("||")),
										text_node(psprintf("%s: ", target->name)), error, -1);
		walk->errors = lappend(walk->errors, error);
	}
}

static void
add_target(SelectStmt *select, const char *name, Node *value)
{
	ResTarget *target = makeNode(ResTarget);

	target->name = pstrdup(name);
	target->val = value;
	target->location = -1;
	select->targetList = lappend(select->targetList, target);
}

static bool
is_plain(const SelectStmt *s)
{
	return s->op == SETOP_NONE && s->valuesLists == NIL && s->groupClause == NIL && s->distinctClause == NIL &&
		   s->havingClause == NULL && s->limitCount == NULL && s->limitOffset == NULL;
}

/* The query with strata_casts and strata_row beside its columns; NULL when its rows have no one source row. */
static char *
query_with_source(Definition *def, bool casts)
{
	RawStmt *raw = linitial(raw_parser(def->model->query, RAW_PARSE_DEFAULT));
	SelectStmt *select = (SelectStmt *) raw->stmt;
	CastWalk walk = {NIL};
	List *pairs = NIL;
	ListCell *lc;
	Query *query;
	StrataIdentity saved;
	char *text;

	if (!is_plain(select) || def->query->hasAggs || def->query->hasWindowFuncs || def->query->hasTargetSRFs)
	{
		if (casts)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("reject_failed_casts of model %s needs a plain SELECT", def->model->label),
							errdetail("A row of a grouped, distinct, limited or united query has no one source row."),
							errhint("Convert in one staging model, and group in the next.")));
		return NULL;
	}
	foreach (lc, select->fromClause)
		source_items(lfirst(lc), &pairs);
	foreach (lc, casts ? select->targetList : NIL)
		name_casts(lfirst(lc), &walk);
	if (casts && walk.errors == NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("reject_failed_casts of model %s: its query uses no strata.try_cast", def->model->label),
						errhint("Convert with strata.try_cast(column, NULL::type) what may fail.")));
	add_target(select, "strata_casts",
			   walk.errors == NIL ? text_node("") : call("concat_ws", lcons(text_node("; "), walk.errors)));
	add_target(select, "strata_row", list_length(pairs) == 2 ? lsecond(pairs) : call("jsonb_build_object", pairs));
	query = parse_analyze_fixedparams(raw, def->model->query, NULL, 0, NULL);
	strata_base_enter_keeper(&saved);
	text = strata_base_query_text(query);
	strata_base_leave(&saved);
	return text;
}

static void
resolve_with_rejects(Definition *def)
{
	StrataModel *m = def->model;
	Jsonb *rules = strata_option_object(m->options, "rules");
	char *inner = query_with_source(def, strata_option_bool(m->options, "reject_failed_casts", false));
	char *columns = layers_list(layers_names(def->columns), "q", ", ");
	StringInfoData reason;
	ListCell *lc;

	initStringInfo(&reason);
	/* read under the search_path of the definer: every name and operator of ours says where it is from */
	appendStringInfo(&reason,
					 "(SELECT CASE WHEN w.reasons OPERATOR(pg_catalog.<>) '' THEN w.reasons END AS strata_rejected"
					 " FROM (SELECT pg_catalog.concat_ws('; ', %s",
					 inner ? "CASE WHEN q.strata_casts OPERATOR(pg_catalog.<>) '' THEN q.strata_casts END" : "NULL");
	foreach (lc, strata_option_names(rules))
	{
		char *name = lfirst(lc);
		char *expression = strata_option_text(rules, name);

		if (expression == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("rule \"%s\" of model %s has no expression", name, m->label),
							errhint("Write {\"rule name\": \"condition\"}.")));
		check_rule(def, name, expression);
		check_rule_meaning(def, name, expression, def->resolved);
		appendStringInfo(&reason, ",\n CASE WHEN NOT (%s\n) THEN %s END", expression,
						 strata_base_literal(psprintf("%s: not (%s)", name, expression)));
	}
	appendStringInfoString(&reason, ") AS reasons) AS w)");
	def->resolved = psprintf(
		"SELECT %s, r.strata_rejected,\n CASE WHEN r.strata_rejected IS NOT NULL THEN %s END AS strata_source\n"
		"FROM (%s) AS q\nCROSS JOIN LATERAL %s AS r",
		columns, inner ? "q.strata_row" : "pg_catalog.to_jsonb(q.*)", inner ? inner : def->resolved, reason.data);
	/* resolved anew as a whole, so that the rules' names are found as the query's are */
	{
		RawStmt *raw = linitial(raw_parser(def->resolved, RAW_PARSE_DEFAULT));
		Query *query = parse_analyze_fixedparams(raw, def->resolved, NULL, 0, NULL);
		StrataIdentity saved;

		strata_base_enter_keeper(&saved);
		def->resolved = strata_base_query_text(query);
		strata_base_leave(&saved);
	}
}

static char *
rejects_query(const Definition *def)
{
	return psprintf(
		"SELECT q.strata_rejected AS reason, q.strata_source AS source_row FROM (%s) AS q WHERE q.strata_rejected IS NOT NULL",
		def->resolved);
}

static void
validate(Definition *def)
{
	StrataModel *m = def->model;
	List *key = strata_option_texts(m->options, "key");
	ListCell *lc;

	strata_base_check_options(m->options, options, lengthof(options), psprintf("staging model %s", m->label));
	layers_require_columns(def, key, "key");
	layers_require_equality(def, key, "key");
	if (key != NIL && strcmp(m->kind, "view") == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("staging model %s is a view: a view has no key", m->label),
						errhint("Say materialized => 'table', or leave key out and use define_check(..., 'unique').")));
	foreach (lc, def->query_columns)
	{
		QueryColumn *c = lfirst(lc);

		if (strncmp(c->name, "strata_", 7) == 0 && has_rejects(m))
			ereport(ERROR, (errcode(ERRCODE_RESERVED_NAME),
							errmsg("column \"%s\" of model %s has a reserved name", c->name, m->label),
							errhint("Names that begin with strata_ are used for rejected rows; rename it with AS.")));
		def->columns =
			lappend(def->columns, layers_query_column(c, strata_base_list_has(key, c->name) ? "key" : "attribute"));
	}
	def->key = key;
	if (!has_rejects(m))
		return;
	resolve_with_rejects(def);
	if (strcmp(m->kind, "view") == 0)
	{
		def->rejects = rejects_query(def);
		def->resolved = psprintf("SELECT %s FROM (%s) AS q WHERE q.strata_rejected IS NULL",
								 layers_list(layers_names(def->columns), "q", ", "), def->resolved);
	}
}

static void
created(Definition *def)
{
	StrataModel *m = def->model;
	Oid existing;
	bool view = strcmp(m->kind, "view") == 0;

	existing = has_rejects(m) || (def->old && has_rejects(def->old))
				   ? get_relname_relid(rejects_name(m), get_namespace_oid(m->schema, false))
				   : InvalidOid;
	if (!has_rejects(m))
	{
		if (OidIsValid(existing))
			strata_base_execute(psprintf("DROP %s %s", view ? "VIEW" : "TABLE", rejects_label(m)), NULL);
		return;
	}
	if (OidIsValid(existing) && !(def->old && has_rejects(def->old)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE), errmsg("relation %s exists already", rejects_label(m)),
				 errhint("Model %s keeps its rejected rows under that name: rename or drop what is there.", m->label)));
	if (view)
		strata_base_execute(psprintf("CREATE OR REPLACE VIEW %s AS %s", rejects_label(m), def->rejects), NULL);
	else if (!OidIsValid(existing))
		strata_base_execute(psprintf("CREATE TABLE %s (reason text, source_row jsonb)", rejects_label(m)), NULL);
	if (!OidIsValid(existing))
		strata_base_execute(
			psprintf("COMMENT ON %s %s IS %s", view ? "VIEW" : "TABLE", rejects_label(m),
					 strata_base_literal(psprintf("Rows that model %s refused, with the reason.", m->label))),
			NULL);
}

static Oid
rejects_oid(const StrataModel *m)
{
	return get_relname_relid(rejects_name(m), get_namespace_oid(m->schema, false));
}

/*
 * With rules two tables share one query. One row joined to it keeps the level that parts them a linear one, whatever is beneath: its
 * change is had as signed rows, which need no table that holds both.
 */
static char *
query(StrataModel *model, List **key, const char **key_word)
{
	if (strcmp(model->kind, "view") == 0)
		return NULL;
	*key_word = "key";
	if (has_rejects(model))
		return psprintf(
			"SELECT %s, q.strata_rejected, q.strata_source FROM %s AS q CROSS JOIN (VALUES (1)) AS strata_one (n)",
			layers_list(layers_names(layers_target_columns(model->relid)), "q", ", "), model->query_view);
	*key = strata_option_texts(model->options, "key");
	return layers_table_query(model);
}

static List *
tables(const StrataModel *model)
{
	return strcmp(model->kind, "view") != 0 && has_rejects(model) ? list_make1_oid(rejects_oid(model)) : NIL;
}

static StrataDeltaTarget
rejects_target(const StrataModel *model)
{
	StrataDeltaTarget t = {0};

	t.relid = rejects_oid(model);
	t.label = rejects_label(model);
	t.columns = list_make2(pstrdup("reason"), pstrdup("source_row"));
	return t;
}

/* Each of the signed rows to the table where it belongs. */
static bool
write_change(StrataModel *model, StrataRowSet *change, const StrataRefresh *refresh, StrataDeltaCounts *counts)
{
	StrataDeltaTarget rejects = rejects_target(model);
	StrataDeltaTarget t = {0};
	StrataDeltaCounts rejected = {0};
	StrataRowSet *part;
	bool done;

	t.relid = model->relid;
	t.label = model->label;
	t.columns = layers_names(layers_target_columns(model->relid));
	t.key = strata_option_texts(model->options, "key");
	t.key_word = "key";
	part = strata_base_run_signed(
		"staging_rejected",
		psprintf(
			"SELECT q.strata_rejected, q.strata_source, q.strata_sign FROM %s AS q WHERE q.strata_rejected IS NOT NULL",
			quote_identifier(change->name)),
		NULL, refresh->snapshot, list_make1(change));
	done = strata_delta_apply_signed(&rejects, part, refresh->snapshot, &rejected);
	strata_rowset_free(part);
	if (!done)
		return false;
	part = strata_base_run_signed("staging_rows",
								  psprintf("SELECT %s, q.strata_sign FROM %s AS q WHERE q.strata_rejected IS NULL",
										   layers_list(t.columns, "q", ", "), quote_identifier(change->name)),
								  NULL, refresh->snapshot, list_make1(change));
	done = strata_delta_apply_signed(&t, part, refresh->snapshot, counts);
	strata_rowset_free(part);
	return done;
}

/* All of it from the query sql. */
static void
refresh_both(StrataModel *model, const char *sql, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	List *key = strata_option_texts(model->options, "key");
	char *columns = layers_list(layers_names(layers_target_columns(model->relid)), "q", ", ");
	StrataRowSet *rows = strata_base_run_rowset("staging_rows", sql, NULL, refresh->snapshot, NIL);
	StrataDeltaCounts rejected = {0};
	StrataDeltaTarget t;

	layers_refresh_query(model, psprintf("SELECT %s FROM staging_rows AS q WHERE q.strata_rejected IS NULL", columns),
						 list_make1(rows), key, key, "key", refresh, result);
	/* taken away by hand: it comes back, as a target's rows do */
	if (!OidIsValid(rejects_oid(model)))
		strata_base_execute(psprintf("CREATE TABLE %s (reason text, source_row jsonb)", rejects_label(model)), NULL);
	t = rejects_target(model);
	strata_delta_apply(
		&t, "SELECT q.strata_rejected, q.strata_source FROM staging_rows AS q WHERE q.strata_rejected IS NOT NULL",
		NULL, refresh->snapshot, list_make1(rows), &rejected);
	result->rejected = rejected.rows_in;
	result->counts.rows_in = rows->count;
	strata_rowset_free(rows);
}

static void
refresh_with_rejects(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	static const LayersHooks hooks = {NULL, NULL, write_change};
	List *key = NIL;
	const char *key_word;
	char *sql = query(model, &key, &key_word);
	IncrementalModel *m;

	/* the key is that of the rows that are not rejected */
	if (model->applied_version > 0 &&
		layers_same_names(layers_primary_key(model->relid), strata_option_texts(model->options, "key")))
	{
		m = layers_incremental_open(model, sql, NIL, key_word, INCREMENTAL_LOOK);
		m->hooks = &hooks;
		if (layers_refresh_by_changes(model, m, refresh, result))
		{
			StrataRows *rows = strata_base_run_query(psprintf("SELECT count(*) FROM %s", rejects_label(model)), NULL,
													 refresh->snapshot, NIL);

			result->rejected = strata_rows_int(rows, 0, 1);
			return;
		}
	}
	m = layers_incremental_open(model, sql, NIL, key_word, INCREMENTAL_MAKE);
	if (result->why == NULL)
		result->why = layers_why_full(m, refresh);
	refresh_both(model, m->refusal ? sql : layers_incremental_build(m, refresh), refresh, result);
	if (m->refusal)
		layers_incremental_unbuilt(model);
	else
		layers_incremental_built(m, refresh);
}

static void
refresh(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	if (strcmp(model->kind, "view") == 0)
		result->row_count = -1;
	else if (has_rejects(model))
		refresh_with_rejects(model, refresh, result);
	else
		layers_refresh_table(model, strata_option_texts(model->options, "key"), "key", refresh, result);
}

static void
verify(StrataModel *model, VerifyWork *work)
{
	VerifyPart part = {0};

	layers_verify_table(model, strata_option_texts(model->options, "key"),
						has_rejects(model) ? "q.strata_rejected IS NULL" : NULL, work);
	if (!has_rejects(model))
		return;
	part.of = "rejected rows";
	part.wanted = psprintf("SELECT q.strata_rejected AS reason, q.strata_source AS source_row FROM %s AS q"
						   " WHERE q.strata_rejected IS NOT NULL",
						   model->query_view);
	/* taken away by hand: it holds none */
	part.present = OidIsValid(get_relname_relid(rejects_name(model), get_namespace_oid(model->schema, false)))
					   ? psprintf("SELECT q.reason, q.source_row FROM %s AS q", rejects_label(model))
					   : pstrdup("SELECT NULL::text AS reason, NULL::jsonb AS source_row WHERE false");
	layers_verify_part(work, &part);
}

const LayerRoutine layers_staging = {validate, created, NULL, created, query, refresh, verify, tables};
