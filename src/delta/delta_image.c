/*
 * delta_image.c: the image of a row (base/image.c) as a value of SQL. A long one is replaced by its SHA-256, so equality stays
 * exact for practical purposes and hashing, grouping and sorting stay cheap.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "delta/delta_internal.h"
#include "fmgr.h"

#define LONGEST_PLAIN_IMAGE 48

PG_FUNCTION_INFO_V1(strata_row_image);

/* strata_state.row_image(record) returns bytea */
Datum
strata_row_image(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	bytea *result;

	initStringInfo(&buf);
	buf.len = VARHDRSZ;
	strata_base_image_record(&buf, PG_GETARG_HEAPTUPLEHEADER(0));
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
