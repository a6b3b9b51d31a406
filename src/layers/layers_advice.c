/*
 * layers_advice.c: what can be done about a model that is computed in full.
 */
#include "postgres.h"

#include "layers/layers_incremental.h"

typedef struct Advice
{
	const char *reason; /* a piece of it */
	const char *what;
} Advice;

#define ASKED "that was asked for"
#define NOTHING "nothing: the refresh after that is incremental"
#define RESTORED \
	"nothing: the end of that refresh has its changes captured; one more in full keeps state, and those after it are incremental"
#define DATE \
	"give the date as a column of a table that is read, or leave the condition on it to the view or query that reads the model"
#define WATERMARK \
	"declare it with strata.define_source(..., loaded_at => ..., changes => 'watermark'), or read a staging table over it: that one is compared, and hands on what differs"
#define POLICIES \
	"let the model be owned by a role that its policies do not apply to: the table's owner (without FORCE ROW LEVEL SECURITY), or a role with BYPASSRLS"

/* The first that fits. */
static const Advice advices[] = {
	{"refresh => 'full'", ASKED "; define it with refresh => 'auto' to have it follow changes"},
	{"strata.incremental is off", ASKED "; SET strata.incremental = on to have it follow changes"},
	{"its first build", NOTHING},
	{"its definition has changed", NOTHING},
	{"what it reads was defined anew", NOTHING},
	{"its last refresh kept no state", NOTHING},
	{"tables that hold its rows came or went", NOTHING},
	{"its hidden tables are not there", NOTHING},
	{"are not captured yet", RESTORED},
	{"LIMIT depends on",
	 "group or partition first, in a subquery or in a model of its own, and take the first rows of that"},
	{"windows have no PARTITION BY",
	 "give its windows a PARTITION BY in common, or put them over a model that groups first"},
	{"is recursive",
	 "where the depth is known, join as often; else keep it in a small model of its own: what reads that follows what differs"},
	{"calls now()", DATE},
	{"calls age()", DATE},
	{"calls transaction_timestamp()", DATE},
	{"calls statement_timestamp()", DATE},
	{"uses the date, the time or the user", DATE},
	{"may be replaced at any time", "write what the function does into the query"},
	{": 'now' is a time",
	 "use strata.try_cast(value, NULL::date), which takes no such words, or a function with a format"},
	{"reads a text as a date or time",
	 "use strata.try_cast(value, NULL::date), which takes no such words, or a function with a format"},
	{"calls ", "if its result hangs on its arguments alone, call it through a function declared IMMUTABLE"},
	{"depends on an object of the database", "call it through a function declared IMMUTABLE that names the object"},
	{"uses a whole row as a value", "name the columns it needs"},
	{"a whole row of ", "name the columns it needs"},
	{"writes a whole row as text",
	 "name the columns it needs, or use to_jsonb(row) of a row of FROM that no outer join makes NULL: that is followed by its columns"},
	{"writes the name of an object as text", "keep the value, and write it as text where it is read"},
	{"a system column of ", "leave it out: it changes when the row is moved"},
	{"reads ONLY ", "read all of it, or the one partition by its name"},
	{"TABLESAMPLE", "choose rows by a condition on their values, such as a hash of the key"},
	{"no TRIGGER privilege", "GRANT TRIGGER on it to the model's owner"},
	{"ow-level security", POLICIES},
	{"is compared: changes => 'compare'",
	 ASKED "; declare it with strata.define_source(..., changes => 'auto' or 'watermark')"},
	{"has lost its loaded_at", "declare it anew with strata.define_source(..., loaded_at => ...)"},
	{"an unlogged table", "ALTER TABLE ... SET LOGGED, or declare it with changes => 'watermark'"},
	{"are not captured: ", WATERMARK},
	{"the result has no key", "give the model a key, or group it"},
	{"only the rows that came or changed are known", "give the model a key of that source's own columns, or group it"},
	{"loat sums drift, and there is one group",
	 "cast to numeric, or group: then only groups that changes touch are computed again"},
	{"and there is one group only", "group it: then only the groups that changes touch are computed again"},
	{"the group's key is a subquery", "compute the key in a subquery, and group by its column"},
	{"follows the order of a sorted subquery", NULL},
	{"cannot be computed for some keys alone",
	 "give every member's rows by its key: no LIMIT, no window or total over all members"},
	{"the query is too long", "put a part of it in a model of its own"},
	{"more aggregates than a row", "put some of them in a model of their own"},
	{"it locks rows", "leave FOR UPDATE out"},
	{"reads what only its owner", "have its owner grant what it reads, or read a model over it"},
	{"its layer is kept by rules of its own", NULL},
};

const char *
layers_advice(const char *reason)
{
	for (int i = 0; i < (int) lengthof(advices); i++)
		if (strstr(reason, advices[i].reason))
			return advices[i].what;
	return NULL;
}

bool
layers_was_asked_for(const char *advice)
{
	return advice && strncmp(advice, ASKED, strlen(ASKED)) == 0;
}

/* A reason that the query itself is, as more than a verb. */
const char *
layers_reason_words(const char *reason)
{
	static const char *const verbs[] = {"calls ", "uses ", "reads ", "writes ", "takes ", "depends "};

	for (int i = 0; i < (int) lengthof(verbs); i++)
		if (strncmp(reason, verbs[i], strlen(verbs[i])) == 0)
			return psprintf("its query %s", reason);
	return reason;
}

/* What is, or would be, computed in full of it, and why; NULL: nothing, or only what reads its own parts. */
const char *
layers_incremental_shortfall(const IncrementalModel *m)
{
	const StrataPart *part = m->plan ? m->plan->reads_all : NULL;

	if (part == NULL || (m->refusal && m->refusal != m->plan->why_whole))
		return m->refusal ? layers_reason_words(m->refusal) : NULL;
	if (strcmp(part->what, "the query as it is") != 0)
		return psprintf("its part \"%s\" is computed in full: %s", part->what, part->reason);
	return layers_reason_words(part->reason);
}
