/*
 * capture_funcs.c: the SQL face.
 */
#include "postgres.h"

#include "capture/capture_internal.h"
#include "base/version.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(strata_capture_keep);
PG_FUNCTION_INFO_V1(strata_capture_unkeep);

static Oid
relation_of(text *source)
{
	StrataName name = strata_base_parse_name(text_to_cstring(source), "source");
	Oid relid;
	List *known;
	char *hint;

	if (name.schema == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("source needs a schema: schema.table")));
	relid = RangeVarGetRelid(makeRangeVar(name.schema, name.name, -1), NoLock, true);
	if (OidIsValid(relid))
		return relid;
	known = strata_base_relation_names();
	hint = strata_base_suggestion(strata_base_label(name.schema, name.name), known);
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("there is no relation %s", strata_base_label(name.schema, name.name)),
					hint ? errhint("%s", hint) : 0));
}

/* strata.capture(source text) returns text */
Datum
strata_capture_keep(PG_FUNCTION_ARGS)
{
	Oid relid;

	strata_base_require_version();
	relid = relation_of(PG_GETARG_TEXT_PP(0));
	strata_capture_subscribe(relid, NULL);
	PG_RETURN_TEXT_P(cstring_to_text(strata_capture_installed(relid) ? "on" : "wanted"));
}

/* strata.uncapture(source text) */
Datum
strata_capture_unkeep(PG_FUNCTION_ARGS)
{
	Oid relid;
	Oid root;
	CaptureRow *row;

	strata_base_require_version();
	relid = relation_of(PG_GETARG_TEXT_PP(0));
	root = capture_root(relid);
	row = OidIsValid(root) ? capture_get(root) : NULL;
	if (row == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("%s is not captured", capture_label(relid))));
	if (!strata_is_table_owner(root, GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of %s", capture_label(root))));
	if (capture_consumers(root) != NIL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("changes of %s are followed", capture_label(root)),
						errdetail("Models read it: see strata.captures."),
						errhint("Drop them, or define them with refresh => 'full'.")));
	capture_unkeep(root);
	PG_RETURN_VOID();
}
