/*
 * layers_funcs.c: SQL entry points of the room: arguments in, a definition out.
 */
#include "postgres.h"

#include "fmgr.h"
#include "layers/layers_date.h"
#include "layers/layers_internal.h"
#include "layers/layers_script.h"
#include "utils/builtins.h"
#include "utils/date.h"

PG_FUNCTION_INFO_V1(strata_define_staging);
PG_FUNCTION_INFO_V1(strata_define_dimension);
PG_FUNCTION_INFO_V1(strata_define_date_dimension);
PG_FUNCTION_INFO_V1(strata_define_fact);
PG_FUNCTION_INFO_V1(strata_define_mart);
PG_FUNCTION_INFO_V1(strata_define_source);
PG_FUNCTION_INFO_V1(strata_define_all);
PG_FUNCTION_INFO_V1(strata_drop_model);
PG_FUNCTION_INFO_V1(strata_drop_source);
PG_FUNCTION_INFO_V1(strata_export_definitions);

static char *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static List *
texts_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	return PG_ARGISNULL(n) ? NIL : strata_base_texts(PG_GETARG_DATUM(n), name);
}

static Jsonb *
jsonb_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/* The arguments every definition ends with: refresh, description, columns, tags. */
static void
common_args(FunctionCallInfo fcinfo, int n, StrataDefine *d)
{
	d->refresh = PG_ARGISNULL(n) ? "auto" : text_arg(fcinfo, n);
	d->description = text_arg(fcinfo, n + 1);
	d->columns = jsonb_arg(fcinfo, n + 2);
	d->tags = texts_arg(fcinfo, n + 3, "tags");
}

static Datum
define(StrataDefine *d, StrataOptions *options)
{
	d->options = strata_options_finish(options);
	return CStringGetTextDatum(strata_layers_define(d));
}

/* (name, query, materialized, key, rules, reject_failed_casts, refresh, description, columns, tags) */
Datum
strata_define_staging(PG_FUNCTION_ARGS)
{
	StrataDefine d = {STRATA_STAGING};
	StrataOptions *o = strata_options_start();

	d.name = text_arg(fcinfo, 0);
	d.query = text_arg(fcinfo, 1);
	d.kind = PG_ARGISNULL(2) ? "view" : text_arg(fcinfo, 2);
	if (strcmp(d.kind, "view") != 0 && strcmp(d.kind, "table") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("materialized is \"%s\"", d.kind),
						errhint("It is 'view' or 'table'.")));
	strata_options_texts(o, "key", texts_arg(fcinfo, 3, "key"));
	strata_options_jsonb(o, "rules", jsonb_arg(fcinfo, 4));
	if (!PG_ARGISNULL(5) && PG_GETARG_BOOL(5))
		strata_options_bool(o, "reject_failed_casts", true);
	common_args(fcinfo, 6, &d);
	PG_RETURN_DATUM(define(&d, o));
}

/* (name, query, key, history, fixed, effective_from, operation, sequence, deletes, surrogate_key, unknown, max_shrink, refresh, ...) */
Datum
strata_define_dimension(PG_FUNCTION_ARGS)
{
	StrataDefine d = {STRATA_DIMENSION, "table"};
	StrataOptions *o = strata_options_start();

	d.name = text_arg(fcinfo, 0);
	d.query = text_arg(fcinfo, 1);
	strata_options_texts(o, "key", texts_arg(fcinfo, 2, "key"));
	strata_options_texts(o, "history", texts_arg(fcinfo, 3, "history"));
	strata_options_texts(o, "fixed", texts_arg(fcinfo, 4, "fixed"));
	strata_options_text(o, "effective_from", text_arg(fcinfo, 5));
	strata_options_text(o, "operation", text_arg(fcinfo, 6));
	strata_options_text(o, "sequence", text_arg(fcinfo, 7));
	strata_options_text(o, "deletes", text_arg(fcinfo, 8));
	strata_options_text(o, "surrogate_key", text_arg(fcinfo, 9));
	strata_options_jsonb(o, "unknown", jsonb_arg(fcinfo, 10));
	if (!PG_ARGISNULL(11))
		strata_options_jsonb(
			o, "max_shrink",
			DatumGetJsonbP(DirectFunctionCall1(jsonb_in, DirectFunctionCall1(numeric_out, PG_GETARG_DATUM(11)))));
	common_args(fcinfo, 12, &d);
	PG_RETURN_DATUM(define(&d, o));
}

/* (name, start_date, end_date, locale, fiscal_year_start, holidays, description, tags) */
Datum
strata_define_date_dimension(PG_FUNCTION_ARGS)
{
	StrataDefine d = {STRATA_DIMENSION, "date"};
	StrataOptions *o = strata_options_start();
	char *locale = PG_ARGISNULL(3) ? pstrdup("en") : text_arg(fcinfo, 3);
	int fiscal = PG_ARGISNULL(4) ? 1 : PG_GETARG_INT32(4);
	char *start;
	char *end;
	DateADT first;
	DateADT last;

	d.name = text_arg(fcinfo, 0);
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a date dimension needs start_date and end_date"),
				 errhint("SELECT strata.define_date_dimension('schema.name', '2020-01-01', '2030-12-31');")));
	first = PG_GETARG_DATEADT(1);
	last = PG_GETARG_DATEADT(2);
	if (DATE_NOT_FINITE(first) || DATE_NOT_FINITE(last) || first > last || last - first > 400 * 366)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("start_date and end_date of a date dimension make no range of days"),
						errdetail("From %s to %s.", DatumGetCString(DirectFunctionCall1(date_out, PG_GETARG_DATUM(1))),
								  DatumGetCString(DirectFunctionCall1(date_out, PG_GETARG_DATUM(2)))),
						errhint("Give a first day and a later last day, at most 400 years apart.")));
	if (strcmp(locale, "en") != 0 && strcmp(locale, "fr") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("locale is \"%s\"", locale),
						errhint("It is 'en' or 'fr'.")));
	if (fiscal < 1 || fiscal > 12)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("fiscal_year_start is %d", fiscal),
						errhint("It is a month, 1 to 12.")));
	start = layers_iso_date(first);
	end = layers_iso_date(last);
	strata_options_text(o, "start_date", start);
	strata_options_text(o, "end_date", end);
	strata_options_text(o, "locale", locale);
	strata_options_int(o, "fiscal_year_start", fiscal);
	strata_options_jsonb(o, "holidays", jsonb_arg(fcinfo, 5));
	d.query = layers_date_query(start, end, locale, fiscal, jsonb_arg(fcinfo, 5));
	d.refresh = "auto";
	d.description = text_arg(fcinfo, 6);
	d.tags = texts_arg(fcinfo, 7, "tags");
	PG_RETURN_DATUM(define(&d, o));
}

/* (name, query, grain, dimensions, partition_by, partition_unit, partitions_ahead, refresh, description, columns, tags) */
Datum
strata_define_fact(PG_FUNCTION_ARGS)
{
	StrataDefine d = {STRATA_FACT, "table"};
	StrataOptions *o = strata_options_start();

	d.name = text_arg(fcinfo, 0);
	d.query = text_arg(fcinfo, 1);
	strata_options_texts(o, "grain", texts_arg(fcinfo, 2, "grain"));
	strata_options_jsonb(o, "dimensions", jsonb_arg(fcinfo, 3));
	strata_options_text(o, "partition_by", text_arg(fcinfo, 4));
	if (!PG_ARGISNULL(4))
	{
		strata_options_text(o, "partition_unit", PG_ARGISNULL(5) ? "month" : text_arg(fcinfo, 5));
		strata_options_int(o, "partitions_ahead", PG_ARGISNULL(6) ? 3 : PG_GETARG_INT32(6));
	}
	common_args(fcinfo, 7, &d);
	PG_RETURN_DATUM(define(&d, o));
}

/* (name, query, key, foreign_keys, refresh, description, columns, tags) */
Datum
strata_define_mart(PG_FUNCTION_ARGS)
{
	StrataDefine d = {STRATA_MART, "table"};
	StrataOptions *o = strata_options_start();

	d.name = text_arg(fcinfo, 0);
	d.query = text_arg(fcinfo, 1);
	strata_options_texts(o, "key", texts_arg(fcinfo, 2, "key"));
	strata_options_jsonb(o, "foreign_keys", jsonb_arg(fcinfo, 3));
	common_args(fcinfo, 4, &d);
	PG_RETURN_DATUM(define(&d, o));
}

/* (name, loaded_at, warn_after, error_after, description, columns, tags, changes, lookback) */
Datum
strata_define_source(PG_FUNCTION_ARGS)
{
	StrataSource s = {0};

	s.name = text_arg(fcinfo, 0);
	s.loaded_at = text_arg(fcinfo, 1);
	s.warn_after = PG_ARGISNULL(2) ? NULL : PG_GETARG_INTERVAL_P(2);
	s.error_after = PG_ARGISNULL(3) ? NULL : PG_GETARG_INTERVAL_P(3);
	s.description = text_arg(fcinfo, 4);
	s.columns = jsonb_arg(fcinfo, 5);
	s.tags = texts_arg(fcinfo, 6, "tags");
	s.changes = PG_ARGISNULL(7) ? "auto" : text_arg(fcinfo, 7);
	s.lookback = PG_ARGISNULL(8) ? NULL : PG_GETARG_INTERVAL_P(8);
	PG_RETURN_DATUM(CStringGetTextDatum(layers_define_source(&s)));
}

Datum
strata_drop_source(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(CStringGetTextDatum(layers_drop_source(text_arg(fcinfo, 0))));
}

Datum
strata_drop_model(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name is NULL"),
						errhint("SELECT strata.drop_model('schema.name');")));
	PG_RETURN_DATUM(CStringGetTextDatum(layers_drop_model(text_arg(fcinfo, 0), !PG_ARGISNULL(1) && PG_GETARG_BOOL(1))));
}

Datum
strata_define_all(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("definitions is NULL"),
						errhint("Give a script of SELECT strata.define_...(...); statements.")));
	layers_define_all(fcinfo, text_arg(fcinfo, 0));
	return (Datum) 0;
}

Datum
strata_export_definitions(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(CStringGetTextDatum(layers_export(PG_ARGISNULL(0) ? "*" : text_arg(fcinfo, 0))));
}
