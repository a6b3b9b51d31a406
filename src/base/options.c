/*
 * options.c: jsonb options, read with their types checked and their names suggested, and built.
 */
#include "postgres.h"

#include "base/base.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/numeric.h"

static const char *
value_kind(const JsonbValue *v)
{
	switch (v->type)
	{
		case jbvNull:
			return "null";
		case jbvString:
			return "a string";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		case jbvBinary:
			return JsonContainerIsArray(v->val.binary.data) ? "an array" : "an object";
		default:
			return "something else";
	}
}

static char *
numeric_text(const JsonbValue *v)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
}

static bool
is_string_array(const JsonbValue *v)
{
	JsonbIterator *it;
	JsonbValue element;
	JsonbIteratorToken token;

	if (v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data))
		return false;
	it = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM && element.type != jbvString)
			return false;
	return true;
}

static bool
type_fits(const JsonbValue *v, StrataOptionType type)
{
	switch (type)
	{
		case STRATA_OPTION_TEXT:
			return v->type == jbvString;
		case STRATA_OPTION_BOOL:
			return v->type == jbvBool;
		case STRATA_OPTION_INT:
			return v->type == jbvNumeric && strspn(numeric_text(v), "-0123456789") == strlen(numeric_text(v)) &&
				   strlen(numeric_text(v)) < 19;
		case STRATA_OPTION_NUMBER:
			return v->type == jbvNumeric;
		case STRATA_OPTION_TEXTS:
			return is_string_array(v);
		case STRATA_OPTION_OBJECT:
			return v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data);
		case STRATA_OPTION_ANY:
			return true;
	}
	return false;
}

static const char *
type_name(StrataOptionType type)
{
	switch (type)
	{
		case STRATA_OPTION_TEXT:
			return "a string";
		case STRATA_OPTION_BOOL:
			return "true or false";
		case STRATA_OPTION_INT:
			return "a whole number";
		case STRATA_OPTION_NUMBER:
			return "a number";
		case STRATA_OPTION_TEXTS:
			return "an array of strings";
		case STRATA_OPTION_OBJECT:
			return "an object";
		default:
			return "a value";
	}
}

void
strata_base_check_options(const Jsonb *options, const StrataOption *known, int n_known, const char *what)
{
	List *names;
	List *words = NIL;
	ListCell *lc;

	if (options == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be a JSON object", what),
						errhint("Write it as {\"name\": value, ...}.")));
	for (int i = 0; i < n_known; i++)
		words = lappend(words, pstrdup(known[i].name));
	names = strata_option_names(options);
	foreach (lc, names)
	{
		const char *name = lfirst(lc);
		const StrataOption *option = NULL;
		JsonbValue *v;

		for (int i = 0; i < n_known; i++)
			if (strcmp(known[i].name, name) == 0)
				option = &known[i];
		if (option == NULL)
		{
			char *hint = strata_base_suggestion(name, words);

			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option \"%s\" in %s", name, what),
							n_known > 0 ? errdetail("Known options are %s.", strata_base_join(words, ", "))
										: errdetail("It takes no options."),
							hint ? errhint("%s", hint) : 0));
		}
		v = strata_option(options, name);
		if (v != NULL && !type_fits(v, option->type))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" in %s must be %s", name, what, type_name(option->type)),
							errdetail("It is %s.", value_kind(v))));
	}
}

JsonbValue *
strata_option(const Jsonb *options, const char *name)
{
	JsonbValue *v;

	if (options == NULL || !JB_ROOT_IS_OBJECT(options))
		return NULL;
	v = getKeyJsonValueFromContainer((JsonbContainer *) &options->root, name, strlen(name), NULL);
	return v == NULL || v->type == jbvNull ? NULL : v;
}

char *
strata_option_text(const Jsonb *options, const char *name)
{
	JsonbValue *v = strata_option(options, name);

	if (v == NULL)
		return NULL;
	switch (v->type)
	{
		case jbvString:
			return pnstrdup(v->val.string.val, v->val.string.len);
		case jbvNumeric:
			return numeric_text(v);
		case jbvBool:
			return pstrdup(v->val.boolean ? "true" : "false");
		default:
			return JsonbToCString(NULL, v->val.binary.data, v->val.binary.len);
	}
}

bool
strata_option_bool(const Jsonb *options, const char *name, bool otherwise)
{
	JsonbValue *v = strata_option(options, name);

	return v != NULL && v->type == jbvBool ? v->val.boolean : otherwise;
}

int64
strata_option_int(const Jsonb *options, const char *name, int64 otherwise)
{
	JsonbValue *v = strata_option(options, name);

	if (v == NULL || v->type != jbvNumeric)
		return otherwise;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(v->val.numeric)));
}

double
strata_option_number(const Jsonb *options, const char *name, double otherwise)
{
	JsonbValue *v = strata_option(options, name);

	if (v == NULL || v->type != jbvNumeric)
		return otherwise;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(v->val.numeric)));
}

List *
strata_option_texts(const Jsonb *options, const char *name)
{
	JsonbValue *v = strata_option(options, name);
	JsonbIterator *it;
	JsonbValue element;
	JsonbIteratorToken token;
	List *result = NIL;

	if (v == NULL || v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data))
		return NIL;
	it = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM && element.type == jbvString)
			result = lappend(result, pnstrdup(element.val.string.val, element.val.string.len));
	return result;
}

Jsonb *
strata_option_object(const Jsonb *options, const char *name)
{
	JsonbValue *v = strata_option(options, name);

	return v != NULL && v->type == jbvBinary ? JsonbValueToJsonb(v) : NULL;
}

List *
strata_option_names(const Jsonb *options)
{
	JsonbIterator *it;
	JsonbValue v;
	JsonbIteratorToken token;
	List *result = NIL;

	if (options == NULL || !JB_ROOT_IS_OBJECT(options))
		return NIL;
	it = JsonbIteratorInit((JsonbContainer *) &options->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY)
			result = lappend(result, pnstrdup(v.val.string.val, v.val.string.len));
	return result;
}

/* Built as JSON text and parsed once: stable across versions, and the values are few. */
struct StrataOptions
{
	StringInfoData buf;
};

StrataOptions *
strata_options_start(void)
{
	StrataOptions *o = palloc(sizeof(StrataOptions));

	initStringInfo(&o->buf);
	appendStringInfoChar(&o->buf, '{');
	return o;
}

static void
put_name(StrataOptions *o, const char *name)
{
	if (o->buf.len > 1)
		appendStringInfoString(&o->buf, ", ");
	escape_json(&o->buf, name);
	appendStringInfoString(&o->buf, ": ");
}

void
strata_options_text(StrataOptions *o, const char *name, const char *value)
{
	if (value == NULL)
		return;
	put_name(o, name);
	escape_json(&o->buf, value);
}

void
strata_options_bool(StrataOptions *o, const char *name, bool value)
{
	put_name(o, name);
	appendStringInfoString(&o->buf, value ? "true" : "false");
}

void
strata_options_int(StrataOptions *o, const char *name, int64 value)
{
	put_name(o, name);
	appendStringInfo(&o->buf, INT64_FORMAT, value);
}

void
strata_options_texts(StrataOptions *o, const char *name, const List *values)
{
	ListCell *lc;

	if (values == NIL)
		return;
	put_name(o, name);
	appendStringInfoChar(&o->buf, '[');
	foreach (lc, values)
	{
		if (foreach_current_index(lc) > 0)
			appendStringInfoString(&o->buf, ", ");
		escape_json(&o->buf, lfirst(lc));
	}
	appendStringInfoChar(&o->buf, ']');
}

void
strata_options_jsonb(StrataOptions *o, const char *name, const Jsonb *value)
{
	if (value == NULL)
		return;
	put_name(o, name);
	(void) JsonbToCString(&o->buf, (JsonbContainer *) &value->root, VARSIZE(value));
}

Jsonb *
strata_options_finish(StrataOptions *o)
{
	appendStringInfoChar(&o->buf, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(o->buf.data)));
}

List *
strata_base_texts(Datum array, const char *argument)
{
	Datum *elements;
	bool *nulls;
	int n;
	List *result = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s: element %d is NULL", argument, i + 1),
							errhint("Give an array of names.")));
		result = lappend(result, TextDatumGetCString(elements[i]));
	}
	return result;
}
