/*
 * layers_script.h: what goes beyond one model: sources, dropping, scripts in and out.
 */
#ifndef STRATA_LAYERS_SCRIPT_H
#define STRATA_LAYERS_SCRIPT_H

#include "base/base.h"
#include "fmgr.h"
#include "utils/date.h"
#include "utils/timestamp.h"

typedef struct StrataSource
{
	char *name;
	char *loaded_at; /* a column that tells when a row was loaded */
	Interval *warn_after;
	Interval *error_after;
	char *description;
	Jsonb *columns;
	List *tags;
	char *changes; /* how they are told: auto | capture | watermark | compare */
	Interval *lookback;
} StrataSource;

/* define_all is trying out an order: an error may be followed by another attempt. */
extern bool layers_attempting;
/* A model that define_all is still to define: its present definition may break meanwhile, and is then left out. Its hidden view has one column. */
#define LAYERS_AWAITING "strata_awaiting_definition"
extern bool layers_is_pending(const char *label);
extern void layers_note_left_out(void);

extern char *layers_define_source(const StrataSource *source);
extern char *layers_drop_source(const char *name);
extern char *layers_drop_model(const char *name, bool cascade);
/* Sets of (step, statement result): one row per definition. */
extern void layers_define_all(FunctionCallInfo fcinfo, const char *script);
extern char *layers_export(const char *models);
extern char *layers_iso_date(DateADT date);

#endif
