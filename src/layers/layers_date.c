/*
 * layers_date.c: the date dimension: one row a day, with what calendars say of it. Its key is the day as a number (20260131), 0 is the
 * unknown day. The rows come from a query this room writes; it is kept like any other.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "layers/layers_internal.h"
#include "layers/layers_date.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"

static const StrataOption options[] = {
	{"start_date", STRATA_OPTION_TEXT},       {"end_date", STRATA_OPTION_TEXT},   {"locale", STRATA_OPTION_TEXT},
	{"fiscal_year_start", STRATA_OPTION_INT}, {"holidays", STRATA_OPTION_OBJECT},
};

static const char *const months_fr =
	"{janvier,février,mars,avril,mai,juin,juillet,août,septembre,octobre,novembre,décembre}";
static const char *const months_en =
	"{January,February,March,April,May,June,July,August,September,October,November,December}";
static const char *const days_fr = "{lundi,mardi,mercredi,jeudi,vendredi,samedi,dimanche}";
static const char *const days_en = "{Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday}";

/* YYYY-MM-DD of a day that exists */
static bool
is_day(const char *text)
{
	int year;
	int month;
	int day;
	int length = 0;

	return sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &length) == 3 && length == 10 && text[10] == '\0' &&
		   text[4] == '-' && text[7] == '-' && year > 0 && month >= 1 && month <= 12 && day >= 1 &&
		   day <= day_tab[isleap(year)][month - 1];
}

char *
layers_date_query(const char *start, const char *end, const char *locale, int fiscal_start, const Jsonb *holidays)
{
	bool french = strcmp(locale, "fr") == 0;
	char *h = holidays ? JsonbToCString(NULL, (JsonbContainer *) &holidays->root, VARSIZE(holidays)) : pstrdup("{}");

	if (!is_day(start) || !is_day(end))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("start_date and end_date of a date dimension go beyond the years 1 to 9999"),
						errdetail("Its key is the day in eight digits, as 20260131."),
						errhint("Give days between 0001-01-01 and 9999-12-31.")));
	return psprintf(
		"SELECT (pg_catalog.to_char(d.date, 'YYYYMMDD'))::integer AS date_key,\n"
		"       d.date,\n"
		"       d.y AS year,\n"
		"       d.q AS quarter,\n"
		"       d.m AS month,\n"
		"       EXTRACT(day FROM d.date)::integer AS day,\n"
		"       ('%s'::text[])[d.m] AS month_name,\n"
		"       ('%s'::text[])[d.w] AS day_name,\n"
		"       ('%s'::text[])[d.m] AS month_name_en,\n"
		"       ('%s'::text[])[d.m] AS month_name_fr,\n"
		"       ('%s'::text[])[d.w] AS day_name_en,\n"
		"       ('%s'::text[])[d.w] AS day_name_fr,\n"
		"       d.w AS day_of_week,\n"
		"       EXTRACT(doy FROM d.date)::integer AS day_of_year,\n"
		"       EXTRACT(isoyear FROM d.date)::integer AS iso_year,\n"
		"       EXTRACT(week FROM d.date)::integer AS iso_week,\n"
		"       pg_catalog.to_char(d.date, 'YYYY-MM') AS year_month,\n"
		"       pg_catalog.format('%%s-%s%%s', d.y, d.q) AS year_quarter,\n"
		"       pg_catalog.to_char(d.date, 'IYYY-\"%s\"IW') AS year_week,\n"
		"       pg_catalog.date_trunc('month', d.date::timestamp)::date AS first_of_month,\n"
		"       (pg_catalog.date_trunc('month', d.date::timestamp) + interval '1 month - 1 day')::date AS last_of_month,\n"
		"       d.y + CASE WHEN %d > 1 AND d.m >= %d THEN 1 ELSE 0 END AS fiscal_year,\n"
		"       ((d.m - %d + 12) %% 12) / 3 + 1 AS fiscal_quarter,\n"
		"       (d.m - %d + 12) %% 12 + 1 AS fiscal_month,\n"
		"       d.w >= 6 AS is_weekend,\n"
		"       %s::jsonb ? pg_catalog.to_char(d.date, 'YYYY-MM-DD') AS is_holiday,\n"
		"       %s::jsonb ->> pg_catalog.to_char(d.date, 'YYYY-MM-DD') AS holiday\n"
		"  FROM (SELECT g::date AS date, EXTRACT(year FROM g)::integer AS y, EXTRACT(quarter FROM g)::integer AS q,\n"
		"               EXTRACT(month FROM g)::integer AS m, EXTRACT(isodow FROM g)::integer AS w\n"
		"          FROM pg_catalog.generate_series(timestamp %s, timestamp %s, interval '1 day') AS g) AS d",
		french ? months_fr : months_en, french ? days_fr : days_en, months_en, months_fr, days_en, days_fr,
		french ? "T" : "Q", french ? "S" : "W", fiscal_start, fiscal_start, fiscal_start, fiscal_start,
		strata_base_literal(h), strata_base_literal(h), strata_base_literal(start), strata_base_literal(end));
}

static void
check_holidays(const Definition *def)
{
	Jsonb *holidays = strata_option_object(def->model->options, "holidays");
	ListCell *lc;

	foreach (lc, strata_option_names(holidays))
		if (!is_day(lfirst(lc)) || strata_option_text(holidays, lfirst(lc)) == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("holidays of date dimension %s: \"%s\" is no day with a name", def->model->label,
								   (char *) lfirst(lc)),
							errhint("Write {\"2026-01-01\": \"New Year\"}.")));
}

static void
validate(Definition *def)
{
	ListCell *lc;

	strata_base_check_options(def->model->options, options, lengthof(options),
							  psprintf("date dimension %s", def->model->label));
	check_holidays(def);
	foreach (lc, def->query_columns)
	{
		QueryColumn *c = lfirst(lc);
		const char *role = strcmp(c->name, "date_key") == 0 ? "surrogate key"
						   : strcmp(c->name, "date") == 0   ? "key"
															: "attribute";

		def->columns = lappend(def->columns, layers_query_column(c, role));
	}
	def->key = list_make1(pstrdup("date_key"));
	def->table_constraints = ", UNIQUE (date)";
}

/* The days, and the unknown one. */
static char *
days_query(const StrataModel *model)
{
	List *columns = layers_names(layers_target_columns(model->relid));
	StringInfoData unknown;

	initStringInfo(&unknown);
	for (int i = 0; i < list_length(columns); i++)
		appendStringInfo(&unknown, "%s%s", i > 0 ? ", " : "",
						 strcmp(list_nth(columns, i), "date_key") == 0 ? "0" : "NULL");
	return psprintf("SELECT %s FROM %s AS q UNION ALL SELECT %s", layers_list(columns, "q", ", "), model->query_view,
					unknown.data);
}

static void
refresh(StrataModel *model, const StrataRefresh *refresh, StrataRefreshResult *result)
{
	result->why = pstrdup("its days are made, not read");
	layers_refresh_query(model, days_query(model), NIL, list_make1("date_key"), list_make1("date_key"), "key", refresh,
						 result);
}

static void
verify(StrataModel *model, VerifyWork *work)
{
	VerifyPart part = {0};

	part.wanted = days_query(model);
	part.present = psprintf("SELECT %s FROM %s AS q",
							layers_list(layers_names(layers_target_columns(model->relid)), "q", ", "), model->label);
	part.key = list_make1("date_key");
	layers_verify_part(work, &part);
}

const LayerRoutine layers_date_dimension = {validate, NULL, NULL, NULL, NULL, refresh, verify};
