#ifndef STRATA_BASE_INTERNAL_H
#define STRATA_BASE_INTERNAL_H

#include "base/base.h"

/* The planner is told about these from now on; gives those it was told about before. */
extern List *strata_rowset_show(List *rowsets);

#endif
