/*
 * registry_funcs.c: SQL entry points.
 */
#include "postgres.h"

#include "base/compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "registry/registry.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(strata_registry_reads_beneath);

/* strata_state.reads_beneath(): for the views of this room, which decide who sees what */
Datum
strata_registry_reads_beneath(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell *lc;
	ListCell *lc2;
	ListCell *lc3;

	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, strata_registry_models())
	{
		const StrataModel *m = lfirst(lc);

		foreach (lc2, m->dependencies)
			foreach (lc3, ((StrataDependency *) lfirst(lc2))->beneath)
			{
				const StrataDependency *d = lfirst(lc3);
				Datum values[3];
				bool nulls[3] = {false};
				NameData schema;
				NameData name;

				CHECK_FOR_INTERRUPTS();
				namestrcpy(&schema, d->schema);
				namestrcpy(&name, d->name);
				values[0] = Int32GetDatum(m->id);
				values[1] = NameGetDatum(&schema);
				values[2] = NameGetDatum(&name);
				tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
			}
	}
	return (Datum) 0;
}
