/*
 * algebra.c: groups by state. None yet.
 */
#include "postgres.h"

#include "incremental/incremental.h"

char *
strata_incremental_algebra_refusal(Query *query)
{
	return "state by group is not there yet";
}
