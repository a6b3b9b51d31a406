/*
 * image.c: values as bytes.
 *
 * Rows are compared by image: 1.0 become 1.00 is a change, another spelling under a case-insensitive collation is a
 * change, and json, xml or point, which have no equality, compare as well as any type. The image of a value is its own
 * bytes, detoasted; of a composite, the images of its fields, since headers of equal ones may differ.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "base/base.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* Of longer values the hash takes the length only, which is known without fetching them, unless it has to be deep. */
#define LONGEST_HASHED 2000

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
			strata_base_image_record(buf, DatumGetHeapTupleHeader(value));
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

void
strata_base_image_record(StringInfo buf, HeapTupleHeader record)
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

/* The same stored value: nothing has to be fetched. */
static bool
same_toast_pointer(Datum a, Datum b)
{
	struct varlena *x = (struct varlena *) DatumGetPointer(a);
	struct varlena *y = (struct varlena *) DatumGetPointer(b);

	return VARATT_IS_EXTERNAL_ONDISK(x) && VARATT_IS_EXTERNAL_ONDISK(y) &&
		   memcmp(VARDATA_EXTERNAL(x), VARDATA_EXTERNAL(y), sizeof(varatt_external)) == 0;
}

bool
strata_base_image_same(Form_pg_attribute att, Datum a, Datum b)
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
	if (att->attlen == -1 && same_toast_pointer(a, b))
		return true;
	return datum_image_eq(a, b, att->attbyval, att->attlen);
}

StrataImageColumn
strata_base_image_column(Form_pg_attribute att)
{
	StrataImageColumn column = {att, att->attlen, att->attbyval, false, false};

	column.rowtype = att->attlen == -1 && !att->attisdropped && is_rowtype(att->atttypid);
	column.loose = column.rowtype || (att->attlen == -1 && att->attstorage == TYPSTORAGE_PLAIN);
	return column;
}

static inline uint64
mix(uint64 hash, uint64 value)
{
	return (((hash << 5) | (hash >> 59)) ^ value) * UINT64CONST(0x9fb21c651e98df25);
}

static uint64
hash_varlena(const StrataImageColumn *column, Datum value, bool deep)
{
	struct varlena *v = (struct varlena *) DatumGetPointer(value);
	bool plain = !VARATT_IS_COMPRESSED(v) && !VARATT_IS_EXTERNAL(v);
	Size length;
	uint64 hash;

	if (column->rowtype)
	{
		StringInfoData buf;

		initStringInfo(&buf);
		strata_base_image_record(&buf, DatumGetHeapTupleHeader(value));
		hash = hash_bytes_extended((unsigned char *) buf.data, buf.len, 0);
		pfree(buf.data);
		return hash;
	}
	length = plain ? VARSIZE_ANY_EXHDR(v) : toast_raw_datum_size(value) - VARHDRSZ;
	if (length > LONGEST_HASHED && !deep)
		return length;
	if (plain)
		return hash_bytes_extended((unsigned char *) VARDATA_ANY(v), length, 0);
	v = PG_DETOAST_DATUM_PACKED(value);
	hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v), 0);
	pfree(v);
	return hash;
}

uint64
strata_base_image_hash(const StrataImageColumn *columns, int n, const Datum *values, const bool *nulls, bool deep)
{
	uint64 hash = 0;

	for (int i = 0; i < n; i++)
	{
		const StrataImageColumn *column = &columns[i];

		if (nulls[i])
			hash = mix(hash, UINT64CONST(0xa5a5a5a55a5a5a5a));
		else if (column->byval)
			hash = mix(hash, column->length == 8   ? (uint64) values[i]
							 : column->length == 4 ? (uint64) DatumGetUInt32(values[i])
							 : column->length == 2 ? (uint64) DatumGetUInt16(values[i])
												   : (uint64) DatumGetUInt8(values[i]));
		else if (column->length == -1)
			hash = mix(hash, hash_varlena(column, values[i], deep));
		else
		{
			char *bytes = DatumGetPointer(values[i]);

			hash = mix(hash, hash_bytes_extended((unsigned char *) bytes,
												 column->length == -2 ? strlen(bytes) : column->length, 0));
		}
	}
	hash ^= hash >> 32;
	hash *= UINT64CONST(0xd6e8feb86659fd93);
	hash ^= hash >> 32;
	return hash;
}
