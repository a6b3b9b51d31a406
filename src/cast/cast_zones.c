/*
 * cast_zones.c
 *		Texts that are no date because of a word in them, found out cheaply.
 *
 * The server takes a word it does not know in a date for the name of a time
 * zone, and searches the directory of time zones for it, every time: 'n/a' and
 * 'inconnu' in a column cost more than a hundred dates. Here each such word is
 * searched for once per call site. (Known zones the server remembers itself.)
 *
 * Before PostgreSQL 16 there is another reason: DecodeDateTime returns a code for
 * every error but that of an unknown zone with punctuation in its name, which
 * it throws.
 */
#include "cast/cast_internal.h"

#include "base/compat.h"

#include <ctype.h>

#include "common/hashfn.h"
#include "utils/memutils.h"

/* A bounded memory: a newer word takes the place of an older one. */
#define WORDS 1024
#define WORD_SIZE 32

struct StrataCastWords
{
	char word[WORDS][WORD_SIZE];
};

static bool
zone_is_unknown(StrataCast *cast, const char *name)
{
	size_t length = strlen(name);
	char *slot;

	if (length >= WORD_SIZE)
		return pg_tzset(name) == NULL;
	if (cast->unknown_zones == NULL)
		cast->unknown_zones =
			(StrataCastWords *) MemoryContextAllocZero(GetMemoryChunkContext(cast), sizeof(StrataCastWords));
	slot = cast->unknown_zones->word[hash_bytes((const unsigned char *) name, (int) length) % WORDS];
	if (strcmp(slot, name) == 0)
		return true;
	if (pg_tzset(name) != NULL)
		return false;
	memcpy(slot, name, length + 1);
	return true;
}

/*
 * A field that starts with a letter and has punctuation or digits. With month
 * and day known, it has to be a time zone. Otherwise it has to be a date
 * ("jan-08-1999"), which it cannot be if its first word is no month. After a
 * word, which might be a "t" that introduces a time, it could be something else
 * again. The first field is never a zone.
 */
static StrataTimeVerdict
check_mixed(StrataCast *cast, const StrataTimeFields *fields, int i)
{
	const char *field = fields->field[i];
	char word[MAXDATELEN + 1];
	int length = 0;
	int value;
	int type;

	if (i == 0 || !zone_is_unknown(cast, field))
		return TIME_READ;
	if (fields->type[i - 1] == DTK_STRING || fields->type[i - 1] == DTK_SPECIAL)
		return TIME_ASK;
	while (length < MAXDATELEN && isalpha((unsigned char) field[length]))
	{
		word[length] = field[length];
		length++;
	}
	word[length] = '\0';
	type = DecodeSpecial(i, word, &value);
	return type == MONTH || type == IGNORE_DTF ? TIME_ASK : TIME_REFUSED;
}

/* A field of letters alone: a keyword, an abbreviation of a zone, or the name of one; else refused wherever it stands. */
static StrataTimeVerdict
check_word(StrataCast *cast, const StrataTimeFields *fields, int i)
{
	char *field = fields->field[i];
	int value;

	if (field[1] == '\0' || DecodeSpecial(i, field, &value) != UNKNOWN_FIELD || strata_is_zone_abbreviation(i, field))
		return TIME_READ;
	return zone_is_unknown(cast, field) ? TIME_REFUSED : TIME_READ;
}

/* TIME_REFUSED or TIME_ASK: see there; TIME_READ: no word speaks against reading it. */
StrataTimeVerdict
strata_cast_check_zones(StrataCast *cast, const StrataTimeFields *fields)
{
	StrataTimeVerdict verdict = TIME_READ;

	for (int i = 0; i < fields->count && verdict == TIME_READ; i++)
	{
		if (fields->type[i] == DTK_STRING)
			verdict = check_word(cast, fields, i);
		else if (fields->type[i] == DTK_DATE && !isdigit((unsigned char) *fields->field[i]))
			verdict = check_mixed(cast, fields, i);
	}
	return verdict;
}
