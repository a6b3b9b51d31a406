/*
 * roles.c: whose rights a statement runs with.
 *
 * Two identities are ever taken. The keeper is the owner of the extension: registry statements run as the keeper, and
 * they are constant SQL. The owner of a model is who its query runs as, inside a security-restricted operation: no
 * RESET ROLE, no temporary objects that could shadow names, no deferred trigger left behind for the caller's commit.
 * Both pin search_path. An error unwinds both: the (sub)transaction restores user and settings.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/base.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

void
strata_base_pin(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

Oid
strata_base_keeper(void)
{
	HeapTuple tuple = SearchSysCache1(NAMESPACENAME, CStringGetDatum("strata"));
	Oid keeper;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA), errmsg("schema \"strata\" does not exist"),
						errhint("Run CREATE EXTENSION pg_strata in this database.")));
	keeper = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return keeper;
}

static void
enter(Oid role, int add_context, StrataIdentity *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	SetUserIdAndSecContext(role, saved->sec_context | add_context);
	saved->guc_level = NewGUCNestLevel();
	strata_base_pin("search_path", "pg_catalog, pg_temp");
}

void
strata_base_enter_keeper(StrataIdentity *saved)
{
	enter(strata_base_keeper(), SECURITY_LOCAL_USERID_CHANGE, saved);
}

void
strata_base_enter_owner(Oid role, const StrataSettings *settings, StrataIdentity *saved)
{
	enter(role, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION, saved);
	/* off, it would raise an error instead of applying the policies */
	strata_base_pin("row_security", "on");
	/* what values look like as text, whichever client refreshes */
	strata_base_pin("extra_float_digits", "1");
	strata_base_pin("bytea_output", "hex");
	strata_base_pin("xmlbinary", "base64");
	/* and what a literal means */
	strata_base_pin("array_nulls", "on");
	if (settings && settings->time_zone)
		strata_base_pin("TimeZone", settings->time_zone);
	if (settings && settings->date_style)
		strata_base_pin("DateStyle", settings->date_style);
	if (settings && settings->interval_style)
		strata_base_pin("IntervalStyle", settings->interval_style);
}

void
strata_base_leave(const StrataIdentity *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
}

StrataSettings
strata_base_current_settings(void)
{
	StrataSettings s;

	s.time_zone = pstrdup(GetConfigOption("TimeZone", false, false));
	s.date_style = pstrdup(GetConfigOption("DateStyle", false, false));
	s.interval_style = pstrdup(GetConfigOption("IntervalStyle", false, false));
	return s;
}
