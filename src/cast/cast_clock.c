/*
 * cast_clock.c
 *		Words that mean the clock. 'now', 'today', 'tomorrow' and 'yesterday' are
 *		dates to the server, of another day each day. As data they are no dates:
 *		what was converted yesterday would not be what converts today, and no
 *		table could be kept equal to a query that converts them.
 */
#include "cast/cast_internal.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

/* timetz is not among them: its offset hangs on the date of the day, whatever the words. */
bool
strata_cast_is_date(Oid type)
{
	Oid base = getBaseType(type);

	return base == DATEOID || base == TIMESTAMPOID || base == TIMESTAMPTZOID || base == TIMEOID;
}

static bool
is_word_at(const char *str, Size at, Size len, const char *word)
{
	Size n = strlen(word);

	return len - at >= n && pg_strncasecmp(str + at, word, n) == 0 &&
		   (at + n == len || !isalpha((unsigned char) str[at + n]));
}

bool
strata_cast_means_clock(const char *str, Size len)
{
	for (Size i = 0; i < len; i++)
	{
		if (!isalpha((unsigned char) str[i]))
			continue;
		if (is_word_at(str, i, len, "now") || is_word_at(str, i, len, "today") || is_word_at(str, i, len, "tomorrow") ||
			is_word_at(str, i, len, "yesterday"))
			return true;
		while (i + 1 < len && isalpha((unsigned char) str[i + 1]))
			i++;
	}
	return false;
}
