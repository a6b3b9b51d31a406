#include "postgres.h"
#include "layers/layers_script.h"
char *
layers_export(const char *models)
{
	return NULL;
}
