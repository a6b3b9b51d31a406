/*
 * layers_script_internal.h: a script of definitions, read but not run.
 */
#ifndef STRATA_LAYERS_SCRIPT_INTERNAL_H
#define STRATA_LAYERS_SCRIPT_INTERNAL_H

#include "base/base.h"

/* What a query's meaning depends on: a script may SET these, and every definition runs under those set above it. */
#define SCRIPT_SETTINGS 4
#define SCRIPT_SETTING_NAMES                                    \
	{                                                           \
		"search_path", "timezone", "datestyle", "intervalstyle" \
	}

typedef struct ScriptStatement
{
	int number; /* from 1, in the order of the text; settings are not counted */
	int line;
	char *text;     /* the statement alone */
	char *function; /* define_mart */
	char *title;    /* strata.define_mart('marts.recettes') */
	char *subject;  /* marts.recettes, as written */
	StrataName about;
	bool defines;                    /* makes the relation it is about */
	List *mentions;                  /* StrataName *: schema NULL when none was written */
	List *after;                     /* indexes of the statements that make what it mentions */
	char *settings[SCRIPT_SETTINGS]; /* NULL: the caller's */
	bool done;
	char *result;
	ErrorData *error;
} ScriptStatement;

typedef struct Script
{
	ScriptStatement *statements;
	int n;
} Script;

/* layers_script.c: refuses whatever is not a definition, naming the statement and where it stands. */
extern Script *layers_script_read(const char *text);
/* Indexes in the order the text suggests; fills after. */
extern int *layers_script_order(Script *script);

#endif
