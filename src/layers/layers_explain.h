/*
 * layers_explain.h: text for people.
 */
#ifndef STRATA_LAYERS_EXPLAIN_H
#define STRATA_LAYERS_EXPLAIN_H

#include "nodes/pg_list.h"

extern List *layers_fold_words(const char *text, int first, int rest);
extern char *layers_fold_sql(const char *sql, int width);
extern char *layers_count_of(int64 count, const char *thing);

#endif /* STRATA_LAYERS_EXPLAIN_H */
