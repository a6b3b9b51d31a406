/*
 * capture_position.c: where a consumer stands.
 *
 * A position is a set of transactions: those that the snapshot of its last refresh sees, and of the transaction that
 * refreshed, its own captured statements up to one. Numbers are 64 bits wide: they mean the same for ever.
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/capture_internal.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

/* A number of this moment: at most 2^31 away from the next one. */
uint64
capture_widen(TransactionId xid)
{
	uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());

	if (!TransactionIdIsNormal(xid))
		return xid;
	return next + (int64) (int32) (xid - (uint32) next);
}

static int
by_number(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* Without an own transaction: whoever stores it adds that. */
CapturePosition *
capture_position_of(Snapshot snapshot)
{
	CapturePosition *p = palloc0(sizeof(CapturePosition));

	p->xmin = capture_widen(snapshot->xmin);
	p->xmax = capture_widen(snapshot->xmax);
	p->xip = palloc(sizeof(uint64) * Max(1, snapshot->xcnt));
	/* a snapshot lists transactions that ran when it was taken, and no own one; none of them below xmin */
	for (uint32 i = 0; i < snapshot->xcnt; i++)
	{
		uint64 xid = capture_widen(snapshot->xip[i]);

		if (xid >= p->xmin && xid < p->xmax)
			p->xip[p->n++] = xid;
	}
	qsort(p->xip, p->n, sizeof(uint64), by_number);
	return p;
}

/* As if it was running. */
void
capture_position_lack(CapturePosition *p, uint64 xid)
{
	if (xid < p->xmin || xid >= p->xmax || bsearch(&xid, p->xip, p->n, sizeof(uint64), by_number))
		return;
	p->xip = repalloc(p->xip, sizeof(uint64) * (p->n + 1));
	p->xip[p->n++] = xid;
	qsort(p->xip, p->n, sizeof(uint64), by_number);
}

CapturePosition *
capture_position_parse(Datum value)
{
	CapturePosition *p = palloc0(sizeof(CapturePosition));
	char *text = DatumGetCString(DirectFunctionCall1(pg_snapshot_out, value));
	char *at = text;

	p->xip = palloc(sizeof(uint64) * (strlen(text) / 2 + 1));
	p->xmin = strtoull(at, &at, 10);
	p->xmax = strtoull(at + 1, &at, 10);
	for (at++; *at != '\0'; at += *at == ',')
		p->xip[p->n++] = strtoull(at, &at, 10);
	pfree(text);
	return p;
}

Datum
capture_position_datum(const CapturePosition *p)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", p->xmin, p->xmax);
	for (int i = 0; i < p->n; i++)
		appendStringInfo(&text, "%s" UINT64_FORMAT, i ? "," : "", p->xip[i]);
	return DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(text.data));
}

static bool
snapshot_has(const CapturePosition *p, uint64 xid)
{
	if (xid < p->xmin)
		return true;
	if (xid >= p->xmax)
		return false;
	return bsearch(&xid, p->xip, p->n, sizeof(uint64), by_number) == NULL;
}

/* The whole of it: one's own is never wholly in, as it went on. */
bool
capture_position_has_xid(const CapturePosition *p, uint64 xid)
{
	return xid != p->own_xid && snapshot_has(p, xid);
}

bool
capture_position_has(const CapturePosition *p, uint64 xid, int64 step)
{
	if (xid == p->own_xid)
		return step <= p->own_step;
	return snapshot_has(p, xid);
}

bool
capture_position_covers(const CapturePosition *outer, const CapturePosition *inner)
{
	/* what outer lacks must be lacking in inner: its own, its running ones, and all from its end on */
	if (outer->own_xid != 0 && capture_position_has_xid(inner, outer->own_xid))
		return false;
	for (int i = 0; i < outer->n; i++)
		if (capture_position_has_xid(inner, outer->xip[i]))
			return false;
	if (inner->xmax > outer->xmax + 100000)
		return false; /* not worth the counting */
	for (uint64 xid = outer->xmax; xid < inner->xmax; xid++)
		if (xid != outer->own_xid && capture_position_has_xid(inner, xid))
			return false;
	return true;
}
