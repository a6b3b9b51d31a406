/*
 * cast_parse.c
 *		Parsers for servers without soft errors (before PostgreSQL 16).
 *
 * Each says, for one type, exactly what the server's input function would say,
 * without letting it throw: by its own reading (integers, booleans, uuid, real),
 * by asking the server's own reader that returns a code (dates and times, double
 * precision), or by making sure beforehand that the input function cannot fail
 * (numeric). The regression test compares all of them with the plain cast.
 */
#include "cast/cast_internal.h"

#include "base/compat.h"

#if !STRATA_SOFT_ERRORS

#include <ctype.h>
#include <limits.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

static inline const char *
skip_space(const char *s)
{
	while (isspace((unsigned char) *s))
		s++;
	return s;
}

/* ---- integers ---- */

/* Accumulates below zero, where there is room for the smallest value. */
static inline bool
read_integer(const char *s, int64 min, int64 max, int64 *result)
{
	bool negative;
	int64 value = 0;

	s = skip_space(s);
	negative = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	if (!isdigit((unsigned char) *s))
		return false;
	for (; isdigit((unsigned char) *s); s++)
	{
		if (pg_mul_s64_overflow(value, 10, &value) || pg_sub_s64_overflow(value, *s - '0', &value))
			return false;
	}
	if (*skip_space(s) != '\0')
		return false;
	if (!negative)
	{
		if (value == PG_INT64_MIN)
			return false;
		value = -value;
	}
	*result = value;
	return value >= min && value <= max;
}

static bool
parse_int2(StrataCast *cast, char *str, Size len, Datum *result)
{
	int64 value;

	if (!read_integer(str, PG_INT16_MIN, PG_INT16_MAX, &value))
		return false;
	*result = Int16GetDatum((int16) value);
	return true;
}

static bool
parse_int4(StrataCast *cast, char *str, Size len, Datum *result)
{
	int64 value;

	if (!read_integer(str, PG_INT32_MIN, PG_INT32_MAX, &value))
		return false;
	*result = Int32GetDatum((int32) value);
	return true;
}

static bool
parse_int8(StrataCast *cast, char *str, Size len, Datum *result)
{
	int64 value;

	if (!read_integer(str, PG_INT64_MIN, PG_INT64_MAX, &value))
		return false;
	*result = Int64GetDatum(value);
	return true;
}

/* ---- boolean, uuid ---- */

static bool
parse_boolean(StrataCast *cast, char *str, Size len, Datum *result)
{
	const char *start = skip_space(str);
	const char *end = str + len;
	bool value;

	while (end > start && isspace((unsigned char) end[-1]))
		end--;
	if (!parse_bool_with_len(start, end - start, &value))
		return false;
	*result = BoolGetDatum(value);
	return true;
}

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 hexadecimal digits; a hyphen may follow each group of four; braces around. */
static bool
parse_uuid(StrataCast *cast, char *str, Size len, Datum *result)
{
	const char *s = str;
	bool braces = *s == '{';
	pg_uuid_t value;
	pg_uuid_t *copy;

	if (braces)
		s++;
	for (int i = 0; i < UUID_LEN; i++)
	{
		int high = hex_digit(s[0]);
		int low = high < 0 ? -1 : hex_digit(s[1]);

		if (low < 0)
			return false;
		value.data[i] = (unsigned char) (high << 4 | low);
		s += 2;
		if (*s == '-' && i % 2 == 1 && i < UUID_LEN - 1)
			s++;
	}
	if (braces && *s++ != '}')
		return false;
	if (*s != '\0')
		return false;
	copy = (pg_uuid_t *) palloc(sizeof(pg_uuid_t));
	*copy = value;
	*result = UUIDPGetDatum(copy);
	return true;
}

/* ---- words for what is not a number: numeric and floats take the same ---- */

/* Worth comparing with the words: all begin with n or i. */
static inline bool
may_be_special(const char *s)
{
	char c = (*s == '+' || *s == '-' ? s[1] : *s) | 0x20;

	return c == 'n' || c == 'i';
}

/* Reads NaN or an infinity at s; gives where it ends, or NULL. */
static const char *
read_special(const char *s, bool *is_nan)
{
	static const char *const words[] = {"nan", "infinity", "+infinity", "-infinity", "inf", "+inf", "-inf"};

	for (int i = 0; i < lengthof(words); i++)
	{
		size_t length = strlen(words[i]);

		if (pg_strncasecmp(s, words[i], length) == 0)
		{
			*is_nan = i == 0;
			return s + length;
		}
	}
	return NULL;
}

/* ---- floats ---- */

static bool
parse_float8(StrataCast *cast, char *str, Size len, Datum *result)
{
	bool failed;
	float8 value = float8in_internal_opt_error(str, NULL, "double precision", str, &failed);

	if (failed)
		return false;
	*result = Float8GetDatum(value);
	return true;
}

/*
 * As float4in: strtof, and where it reports an error, the special words, or a
 * denormalized number, which some platforms call out of range.
 */
static bool
parse_float4(StrataCast *cast, char *str, Size len, Datum *result)
{
	const char *s = skip_space(str);
	char *end;
	float value;

	if (*s == '\0')
		return false;
	errno = 0;
	value = strtof(s, &end);
	if (end == s || errno != 0)
	{
		int saved_errno = errno;
		bool is_nan;
		const char *special = read_special(s, &is_nan);

		if (special)
		{
			value = is_nan ? get_float4_nan() : get_float4_infinity();
			if (*s == '-')
				value = -value;
			end = unconstify(char *, special);
		}
		else if (saved_errno != ERANGE || value == 0.0 || isinf(value))
			return false;
	}
	if (*skip_space(end) != '\0')
		return false;
	*result = Float4GetDatum(value);
	return true;
}

/* ---- numeric ---- */

/*
 * Bounds of the storage format: what make_result() in the server's numeric.c
 * checks last, as an overflow of its header fields.
 */
#define MAX_DISPLAY_SCALE 16383
#define DIGITS_PER_WORD 4

/* As many digits fit in an int64, whatever they are. */
#define SHORT_DIGITS 18

/* What the digits of a number are, seen once. */
typedef struct ScannedNumber
{
	const char *first; /* the first digit that is not 0; NULL: zero */
	int weight;        /* of that digit: 0 units, 1 tens, -1 tenths */
	int scale;         /* digits after the point */
	bool is_short;     /* has no exponent and few digits, which are: */
	int digits;        /* so many, */
	int64 value;       /* together this, without the point and with the sign */
} ScannedNumber;

/* Reads digits, point and exponent; gives where they end, or NULL. */
static const char *
scan_number(const char *s, ScannedNumber *number)
{
	int before = 0;   /* digits before the point */
	int position = 0; /* digits read */
	int first_position = 0;
	bool have_point = false;
	bool negative = *s == '-';
	int64 value = 0;

	if (*s == '+' || *s == '-')
		s++;
	number->first = NULL;
	if (!isdigit((unsigned char) (*s == '.' ? s[1] : *s)))
		return NULL;
	for (;; s++)
	{
		if (*s == '.')
		{
			if (have_point)
				return NULL;
			have_point = true;
		}
		else if (isdigit((unsigned char) *s))
		{
			if (number->first == NULL && *s != '0')
			{
				number->first = s;
				first_position = position;
			}
			if (position < SHORT_DIGITS)
				value = value * 10 + (*s - '0');
			position++;
			if (!have_point)
				before++;
		}
		else
			break;
	}
	number->digits = position;
	number->is_short = position <= SHORT_DIGITS;
	number->value = negative ? -value : value;
	number->scale = position - before;
	number->weight = before - 1 - first_position;

	if (*s == 'e' || *s == 'E')
	{
		char *end;
		long exponent = strtol(s + 1, &end, 10);

		if (end == s + 1 || exponent >= INT_MAX / 2 || exponent <= -(INT_MAX / 2))
			return NULL;
		s = end;
		number->is_short = false;
		number->weight += (int) exponent;
		number->scale = Max(number->scale - (int) exponent, 0);
	}
	return s;
}

/* Do the first `count` digits, all 9, round up to one digit more? */
static bool
rounds_up_over(const ScannedNumber *number, int count)
{
	const char *s;

	for (s = number->first; count > 0; s++)
	{
		if (*s == '.')
			continue;
		if (*s != '9')
			return false;
		count--;
	}
	if (*s == '.')
		s++;
	return *s >= '5' && *s <= '9';
}

/* As numeric_typmod_precision() and numeric_typmod_scale() of the server unpack it. */
static inline int
precision_of(int32 typmod)
{
	return ((typmod - VARHDRSZ) >> 16) & 0xffff;
}

static inline int
scale_of(int32 typmod)
{
	return (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
}

static inline bool
has_typmod(const StrataCast *cast)
{
	return cast->typmod >= (int32) VARHDRSZ;
}

/* Would numeric_in, or rounding to the type modifier after it, overflow? */
static bool
number_overflows(const StrataCast *cast, const ScannedNumber *number)
{
	int word_weight;
	int precision;
	int excess;

	if (number->scale > MAX_DISPLAY_SCALE)
		return true;
	if (number->first == NULL)
		return false;
	word_weight = number->weight >= 0 ? number->weight / DIGITS_PER_WORD
									  : -((-number->weight + DIGITS_PER_WORD - 1) / DIGITS_PER_WORD);
	if (word_weight < PG_INT16_MIN || word_weight > PG_INT16_MAX)
		return true;
	if (!has_typmod(cast))
		return false;
	precision = precision_of(cast->typmod);
	excess = number->weight + 1 - (precision - scale_of(cast->typmod));
	return excess > 0 || (excess == 0 && rounds_up_over(number, precision));
}

/*
 * Makes the numeric of a short number that needs no rounding from its digits,
 * which costs less than having numeric_in read them again.
 */
static bool
make_short_number(const StrataCast *cast, const ScannedNumber *number, Datum *result)
{
	int64 value = number->value;
	int scale = number->scale;

	if (!number->is_short)
		return false;
	if (has_typmod(cast))
	{
		int wanted = scale_of(cast->typmod);

		if (wanted < scale || number->digits + wanted - scale > SHORT_DIGITS)
			return false;
		for (; scale < wanted; scale++)
			value *= 10;
	}
	*result = NumericGetDatum(int64_div_fast_to_numeric(value, scale));
	return true;
}

static bool
parse_numeric(StrataCast *cast, char *str, Size len, Datum *result)
{
	const char *s = skip_space(str);
	bool is_nan;
	const char *end = may_be_special(s) ? read_special(s, &is_nan) : NULL;
	ScannedNumber number = {0};

	if (end)
	{
		if (!is_nan && has_typmod(cast))
			return false;
	}
	else
	{
		end = scan_number(s, &number);
		if (end == NULL || number_overflows(cast, &number))
			return false;
	}
	if (*skip_space(end) != '\0')
		return false;
	if (!make_short_number(cast, &number, result))
		*result = DirectFunctionCall3(numeric_in, CStringGetDatum(str), ObjectIdGetDatum(InvalidOid),
									  Int32GetDatum(cast->typmod));
	return true;
}

/* ---- dates and times ---- */

typedef struct ScannedTime
{
	int dtype;
	struct pg_tm tm;
	fsec_t fsec;
	int tz;
} ScannedTime;

static StrataTimeVerdict
read_time(StrataCast *cast, const char *str, size_t buffer_size, ScannedTime *time)
{
	StrataTimeFields fields;
	StrataTimeVerdict verdict;

	if (ParseDateTime(str, fields.buffer, buffer_size, fields.field, fields.type, MAXDATEFIELDS, &fields.count) != 0)
		return TIME_REFUSED;
	verdict = strata_cast_check_zones(cast, &fields);
	if (verdict != TIME_READ)
		return verdict;
	if (DecodeDateTime(fields.field, fields.type, fields.count, &time->dtype, &time->tm, &time->fsec, &time->tz) != 0)
		return TIME_REFUSED;
	return TIME_READ;
}

/* The rare text that read_time cannot judge: by the cast itself, under guard. */
static bool
ask_cast(StrataCast *cast, const char *str, Datum *result)
{
	bool isnull;

	return strata_cast_guarded(cast, PointerGetDatum(cstring_to_text(str)), false, result, &isnull, NULL);
}

static bool
parse_date(StrataCast *cast, char *str, Size len, Datum *result)
{
	ScannedTime time;
	DateADT date;

	switch (read_time(cast, str, MAXDATELEN + 1, &time))
	{
		case TIME_REFUSED:
			return false;
		case TIME_ASK:
			return ask_cast(cast, str, result);
		case TIME_READ:
			break;
	}
	switch (time.dtype)
	{
		case DTK_LATE:
			DATE_NOEND(date);
			*result = DateADTGetDatum(date);
			return true;
		case DTK_EARLY:
			DATE_NOBEGIN(date);
			*result = DateADTGetDatum(date);
			return true;
		case DTK_EPOCH:
			GetEpochTime(&time.tm);
			break;
		case DTK_DATE:
			break;
		default:
			return false;
	}
	if (!IS_VALID_JULIAN(time.tm.tm_year, time.tm.tm_mon, time.tm.tm_mday))
		return false;
	date = date2j(time.tm.tm_year, time.tm.tm_mon, time.tm.tm_mday) - POSTGRES_EPOCH_JDATE;
	if (!IS_VALID_DATE(date))
		return false;
	*result = DateADTGetDatum(date);
	return true;
}

static inline bool
parse_instant(StrataCast *cast, const char *str, bool with_zone, Datum *result)
{
	ScannedTime time;
	Timestamp instant;

	switch (read_time(cast, str, MAXDATELEN + MAXDATEFIELDS, &time))
	{
		case TIME_REFUSED:
			return false;
		case TIME_ASK:
			return ask_cast(cast, str, result);
		case TIME_READ:
			break;
	}
	switch (time.dtype)
	{
		case DTK_DATE:
			if (tm2timestamp(&time.tm, time.fsec, with_zone ? &time.tz : NULL, &instant) != 0)
				return false;
			break;
		case DTK_EPOCH:
			instant = SetEpochTimestamp();
			break;
		case DTK_LATE:
			TIMESTAMP_NOEND(instant);
			break;
		case DTK_EARLY:
			TIMESTAMP_NOBEGIN(instant);
			break;
		default:
			return false;
	}
	*result = TimestampGetDatum(instant);
	return true;
}

static bool
parse_timestamp(StrataCast *cast, char *str, Size len, Datum *result)
{
	return parse_instant(cast, str, false, result);
}

static bool
parse_timestamptz(StrataCast *cast, char *str, Size len, Datum *result)
{
	return parse_instant(cast, str, true, result);
}

/* ---- which parser for which type ---- */

bool
strata_cast_choose_parser(StrataCast *cast, Oid base, MemoryContext context)
{
	static const struct
	{
		Oid type;
		StrataCastParser parse;
	} parsers[] = {
		{BOOLOID, parse_boolean},
		{INT2OID, parse_int2},
		{INT4OID, parse_int4},
		{INT8OID, parse_int8},
		{FLOAT4OID, parse_float4},
		{FLOAT8OID, parse_float8},
		{NUMERICOID, parse_numeric},
		{UUIDOID, parse_uuid},
		{DATEOID, parse_date},
		{TIMESTAMPOID, parse_timestamp},
		{TIMESTAMPTZOID, parse_timestamptz},
	};

	for (int i = 0; i < lengthof(parsers); i++)
	{
		if (parsers[i].type == base)
		{
			cast->parse = parsers[i].parse;
			return true;
		}
	}
	return false;
}

#endif /* !STRATA_SOFT_ERRORS */
