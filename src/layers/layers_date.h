#ifndef STRATA_LAYERS_DATE_H
#define STRATA_LAYERS_DATE_H

#include "utils/jsonb.h"

extern char *layers_date_query(const char *start, const char *end, const char *locale, int fiscal_start,
							   const Jsonb *holidays);

#endif
