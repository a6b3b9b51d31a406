/*
 * layers_mart.c: a mart is a real table with exactly the columns of its query.
 */
#include "postgres.h"

#include "layers/layers_internal.h"
#include "utils/builtins.h"

static const StrataOption options[] = {
	{"key", STRATA_OPTION_TEXTS},
	{"foreign_keys", STRATA_OPTION_OBJECT},
};

static void
validate(Definition *def)
{
	List *key = strata_option_texts(def->model->options, "key");
	ListCell *lc;

	strata_base_check_options(def->model->options, options, lengthof(options), psprintf("mart %s", def->model->label));
	layers_require_columns(def, key, "key");
	layers_require_equality(def, key, "key");
	foreach (lc, def->query_columns)
	{
		QueryColumn *c = lfirst(lc);

		def->columns =
			lappend(def->columns, layers_query_column(c, strata_base_list_has(key, c->name) ? "key" : "attribute"));
	}
	def->key = key;
	layers_check_foreign_keys(def);
}

static void
created(Definition *def)
{
	layers_apply_foreign_keys(def->model);
}

static char *
query(StrataModel *model, List **key, const char **key_word)
{
	*key = strata_option_texts(model->options, "key");
	*key_word = "key";
	return layers_table_query(model);
}

static void
refresh(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	layers_refresh_table(model, strata_option_texts(model->options, "key"), "key", refresh, result);
}

static void
verify(StrataModel *model, VerifyWork *work)
{
	layers_verify_table(model, strata_option_texts(model->options, "key"), NULL, work);
}

const LayerRoutine layers_mart = {validate, created, NULL, created, query, refresh, verify};
