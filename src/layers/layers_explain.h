/*
 * layers_explain.h: text for people.
 */
#ifndef STRATA_LAYERS_EXPLAIN_H
#define STRATA_LAYERS_EXPLAIN_H

#include "incremental/incremental.h"
#include "nodes/pg_list.h"

extern List *layers_fold_words(const char *text, int first, int rest);
extern char *layers_fold_sql(const char *sql, int width);
/* layers_explain_index.c: indexes that are not there, as "schema.table (columns)" */
extern List *layers_lacking_joins(const StrataPart *part, List *changed);
extern char *layers_lacking_keys(const StrataPart *part);
extern char *layers_count_of(int64 count, const char *thing);

#endif /* STRATA_LAYERS_EXPLAIN_H */
