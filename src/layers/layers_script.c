#include "postgres.h"
#include "layers/layers_script.h"
void
layers_define_all(FunctionCallInfo fcinfo, const char *script)
{
	elog(ERROR, "later");
}
char *
layers_export(const char *models)
{
	return NULL;
}
