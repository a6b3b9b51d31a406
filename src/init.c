/*
 * init.c
 *		The library's entry: each room's init, in floor order, lowest first.
 */
#include "postgres.h"

#include "base/base.h"
#include "capture/capture.h"
#include "guard/guard.h"
#include "delta/delta.h"
#include "layers/layers.h"
#include "plan/plan.h"
#include "runlog/runlog.h"

STRATA_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	strata_base_init();
	strata_runlog_init();
	strata_guard_init();
	strata_capture_init();
	strata_plan_init();
	strata_delta_init();
	strata_layers_init();
}
