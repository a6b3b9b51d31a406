/*
 * delta_image.c: rows as bytes.
 *
 * Staging, facts and marts are compared by image: 1.0 become 1.00 is a change, another spelling under a
 * case-insensitive collation is a change, and json, xml or point, which have no equality, compare as well as any type.
 * An image is the values' own bytes, detoasted; a long one is replaced by its SHA-256, so equality stays exact for
 * practical purposes and hashing, grouping and sorting stay cheap.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "delta/delta_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#define LONGEST_PLAIN_IMAGE 48

static void put_record(StringInfo buf, HeapTupleHeader record);

static bool
is_rowtype(Oid type)
{
	/* built-in scalar types first: the answer is known without a look-up */
	if (type < FirstGenbkiObjectId && type != RECORDOID)
		return false;
	return type == RECORDOID || get_typtype(getBaseType(type)) == TYPTYPE_COMPOSITE;
}

static void
put_datum(StringInfo buf, Form_pg_attribute att, Datum value)
{
	if (att->attlen == -1)
	{
		struct varlena *v;
		uint32 length;

		if (is_rowtype(att->atttypid))
		{
			HeapTupleHeader nested = DatumGetHeapTupleHeader(value);

			put_record(buf, nested);
			return;
		}
		v = PG_DETOAST_DATUM_PACKED(value);
		length = VARSIZE_ANY_EXHDR(v);
		appendBinaryStringInfo(buf, (char *) &length, sizeof(length));
		appendBinaryStringInfo(buf, VARDATA_ANY(v), length);
		if ((Pointer) v != DatumGetPointer(value))
			pfree(v);
	}
	else if (att->attlen == -2)
		appendBinaryStringInfo(buf, DatumGetCString(value), strlen(DatumGetCString(value)) + 1);
	else if (att->attbyval)
		appendBinaryStringInfo(buf, (char *) &value, sizeof(Datum));
	else
		appendBinaryStringInfo(buf, DatumGetPointer(value), att->attlen);
}

static void
put_record(StringInfo buf, HeapTupleHeader record)
{
	TupleDesc desc;
	HeapTupleData tuple;
	Datum *values;
	bool *nulls;

	check_stack_depth();
	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record), HeapTupleHeaderGetTypMod(record));
	values = palloc(sizeof(Datum) * Max(1, desc->natts));
	nulls = palloc(sizeof(bool) * Max(1, desc->natts));
	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = record;
	heap_deform_tuple(&tuple, desc, values, nulls);
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		appendStringInfoCharMacro(buf, nulls[i] ? 0 : 1);
		if (!nulls[i])
			put_datum(buf, TupleDescAttr(desc, i), values[i]);
	}
	pfree(values);
	pfree(nulls);
	ReleaseTupleDesc(desc);
}

bool
delta_same_datum(Form_pg_attribute att, Datum a, Datum b)
{
	if (att->attlen == -1 && is_rowtype(att->atttypid))
	{
		StringInfoData x;
		StringInfoData y;
		bool same;

		initStringInfo(&x);
		initStringInfo(&y);
		put_datum(&x, att, a);
		put_datum(&y, att, b);
		same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
		pfree(x.data);
		pfree(y.data);
		return same;
	}
	return datum_image_eq(a, b, att->attbyval, att->attlen);
}

PG_FUNCTION_INFO_V1(strata_row_image);

/* strata_state.row_image(record) returns bytea */
Datum
strata_row_image(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	bytea *result;

	initStringInfo(&buf);
	buf.len = VARHDRSZ;
	put_record(&buf, PG_GETARG_HEAPTUPLEHEADER(0));
	if (buf.len - VARHDRSZ <= LONGEST_PLAIN_IMAGE)
	{
		result = (bytea *) buf.data;
		SET_VARSIZE(result, buf.len);
	}
	else
	{
		pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);
		uint8 digest[PG_SHA256_DIGEST_LENGTH];

		if (pg_cryptohash_init(ctx) < 0 ||
			pg_cryptohash_update(ctx, (uint8 *) buf.data + VARHDRSZ, buf.len - VARHDRSZ) < 0 ||
			pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not hash a row")));
		pg_cryptohash_free(ctx);
		/* one byte more than any digest, so that a digest never equals a plain image of the same bytes */
		result = palloc(VARHDRSZ + LONGEST_PLAIN_IMAGE + 1);
		memset(VARDATA(result), 0, LONGEST_PLAIN_IMAGE + 1);
		memcpy(VARDATA(result), digest, sizeof(digest));
		SET_VARSIZE(result, VARHDRSZ + LONGEST_PLAIN_IMAGE + 1);
	}
	PG_RETURN_BYTEA_P(result);
}
