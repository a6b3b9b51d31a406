/*
 * version.c
 *		The library's version against the version of the SQL objects.
 *
 * The library is replaced by "make install" or a package upgrade, the SQL
 * objects by ALTER EXTENSION UPDATE, and a session keeps the library it has
 * loaded. Between these moments the two may differ, and a library must not
 * touch tables of another shape. STRATA_VERSION comes from the control file.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/version.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(strata_base_version);

/* extversion of pg_strata in this database, or NULL when it is not installed */
static char *
installed_version(void)
{
	Relation rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;
	char *version = NULL;

	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("pg_strata"));
	/* there are few: to open the index would take longer than to read them */
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

void
strata_base_require_version(void)
{
	char *installed = installed_version();

	if (installed == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("extension pg_strata is not installed in this database"),
						errdetail("A function of its library was called all the same."),
						errhint("Run CREATE EXTENSION pg_strata.")));
	if (strcmp(installed, STRATA_VERSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the pg_strata library is of another version than its SQL objects"),
				 errdetail("The loaded library is %s, the objects in this database are %s.", STRATA_VERSION, installed),
				 errhint("Run ALTER EXTENSION pg_strata UPDATE; if the library was replaced while this "
						 "session was connected, connect again (restart the server if it is preloaded).")));
	pfree(installed);
}

/* strata.version() */
Datum
strata_base_version(PG_FUNCTION_ARGS)
{
	strata_base_require_version();
	PG_RETURN_TEXT_P(cstring_to_text(STRATA_VERSION));
}
