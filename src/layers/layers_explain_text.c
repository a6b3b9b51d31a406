/*
 * layers_explain_text.c: lines of a width that a terminal shows.
 */
#include "postgres.h"

#include "layers/layers_explain.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#define TAB 4

/* At most width characters of text, broken at a space; a word that is longer stays whole. */
static int
bytes_of_line(const char *text, int width)
{
	const char *at = text;
	const char *space = NULL;

	for (int column = 0; *at != '\0'; column++)
	{
		if (*at == ' ')
		{
			if (column > width && space)
				break;
			space = at;
		}
		else if (column >= width && space)
			break;
		at += pg_mblen(at);
	}
	return *at == '\0' || space == NULL ? (int) strlen(text) : (int) (space - text);
}

/* List of char *: the first line is first characters wide, those after it rest. */
List *
layers_fold_words(const char *text, int first, int rest)
{
	List *lines = NIL;
	int width = first;

	do
	{
		int bytes = bytes_of_line(text, width);

		lines = lappend(lines, pnstrdup(text, bytes));
		text += bytes;
		while (*text == ' ')
			text++;
		width = rest;
	} while (*text != '\0');
	return lines;
}

typedef struct Folding
{
	StringInfoData out;
	int width;
	int column; /* of the line under way */
	int indent;
	bool begun; /* more than its indentation is there */
	int space;  /* where it may be broken, in out: last, and last after a comma; 0 nowhere */
	int comma;
	int at_space; /* their columns */
	int at_comma;
} Folding;

static void
break_line(Folding *f)
{
	bool at_comma = f->comma > 0 && f->at_comma > f->width * 3 / 5;
	int at = at_comma ? f->comma : f->space;
	char *rest = pstrdup(f->out.data + at + 1);
	int indent = f->indent + TAB;

	f->column = indent + f->column - (at_comma ? f->at_comma : f->at_space) - 1;
	f->out.len = at;
	f->out.data[at] = '\0';
	appendStringInfo(&f->out, "\n%*s%s", indent, "", rest);
	if (at_comma && f->space > f->comma)
	{
		f->space += indent;
		f->at_space = indent + f->at_space - f->at_comma - 1;
	}
	else
		f->space = 0;
	f->comma = 0;
	pfree(rest);
}

static void
put_character(Folding *f, const char *at, int bytes, bool quoted)
{
	if (*at == '\n')
	{
		appendStringInfoChar(&f->out, '\n');
		f->column = f->indent = f->space = f->comma = 0;
		f->begun = false;
		return;
	}
	if (*at == '\t' && !quoted)
	{
		appendStringInfoSpaces(&f->out, TAB);
		f->column += TAB;
	}
	else
	{
		appendBinaryStringInfo(&f->out, at, bytes);
		f->column++;
	}
	if (!f->begun && (*at == ' ' || *at == '\t'))
		f->indent = f->column;
	else
		f->begun = true;
	if (f->begun && *at == ' ' && !quoted)
	{
		f->space = f->out.len - 1;
		f->at_space = f->column - 1;
		if (f->space > 0 && f->out.data[f->space - 1] == ',')
		{
			f->comma = f->space;
			f->at_comma = f->at_space;
		}
	}
	if (f->column > f->width && (f->space > 0 || f->comma > 0))
		break_line(f);
}

/* The same statement, its long lines broken where a space means nothing. */
char *
layers_fold_sql(const char *sql, int width)
{
	Folding f = {.width = width};
	char quote = '\0'; /* what the text under way ends with */
	bool escapes = false;

	initStringInfo(&f.out);
	for (const char *at = sql; *at != '\0';)
	{
		int bytes = pg_mblen(at);

		if (quote == '\0' && (*at == '\'' || *at == '"'))
		{
			quote = *at;
			escapes = quote == '\'' && at > sql && (at[-1] == 'E' || at[-1] == 'e') &&
					  (at - 1 == sql || !isalnum((unsigned char) at[-2]));
		}
		else if (quote != '\0' && *at == quote)
			quote = '\0';
		else if (quote != '\0' && escapes && *at == '\\' && at[1] != '\0')
		{
			put_character(&f, at, 1, true);
			at++;
			bytes = pg_mblen(at);
		}
		put_character(&f, at, bytes, quote != '\0');
		at += bytes;
	}
	return f.out.data;
}

/* "1 row", "2 rows" */
char *
layers_count_of(int64 count, const char *thing)
{
	return psprintf(INT64_FORMAT " %s%s", count, thing, count == 1 ? "" : "s");
}
