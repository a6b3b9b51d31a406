/*
 * runs.h: the run of a selection: in order, under one snapshot, checked before anyone else sees it, all or nothing.
 */
#ifndef STRATA_RUNS_H
#define STRATA_RUNS_H

#include "layers/layers.h"

extern void strata_runs_init(void);

#endif
