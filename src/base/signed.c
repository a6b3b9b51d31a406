/*
 * signed.c: rows with signs, one per image.
 *
 * A hash table over row images adds up signs. Rows are kept as the executor's minimal tuples whose last column is the sign: where no
 * value is compressed, stored outside or composite, equal images are equal bytes, and only the others are compared value by value.
 *
 * Memory: what is in the table stays there and goes on adding up; once work_mem is used, rows whose image is not in it go to
 * temporary files by their hash, each of which is then treated alike, as a hash aggregate does. So no image is in two places.
 *
 * Matching is the other use: rows put are wanted, rows offered (with their address) are taken as long as theirs are wanted.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/base.h"
#include "catalog/pg_type.h"
#include "commands/tablespace.h"
#include "common/int.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#define PART_BITS 4
#define PARTS (1 << PART_BITS)
#define MOST_LEVELS 12
#define LEAST_ENTRIES 64   /* so many fit in any work_mem */
#define MOST_COLLISIONS 16 /* images of one hash: above, long values are hashed too */
#define SIGN_BYTES sizeof(int32)

typedef struct Entry
{
	uint64 hash;
	MinimalTuple tuple;
	int32 sum;
	bool plain; /* equal images are equal bytes */
} Entry;

/* A row in a temporary file; the tuple follows. */
typedef struct Spilled
{
	uint64 hash; /* the shallow one, by which it came into the file */
	int32 sign;
	bool plain;
	bool offered;
	ItemPointerData tid;
	Oid table;
} Spilled;

typedef struct Part
{
	BufFile *file;
	int level;
} Part;

struct StrataSigned
{
	MemoryContext context;
	MemoryContext memory; /* the table and its rows; emptied between passes */
	MemoryContext row;    /* while one row is looked at */
	TupleDesc desc;       /* the columns and the sign */
	int n;                /* columns of the image */
	StrataImageColumn *columns;
	Datum *values;
	bool *nulls;
	char *scratch; /* the row as a minimal tuple */
	Size scratch_size;

	Entry *entries;
	uint32 n_entries;
	uint32 most_entries;
	uint32 *slots; /* number of the entry + 1; 0: free */
	uint32 n_slots;
	char *room;
	Size room_left;
	Size next_block;
	Size used;
	Size limit;
	bool deep;

	int level;
	BufFile *parts[PARTS];
	bool spilled;
	List *waiting; /* Part * */

	TupleTableSlot *slot;  /* an entry's row */
	TupleTableSlot *again; /* a row read back */
	StrataTaken taken;
	StrataTaken left;
	void *arg;
	StrataRowSet *result;
};

/* ---- memory of a pass ---- */

static void
start_pass(StrataSigned *s, int level)
{
	MemoryContextReset(s->memory);
	s->n_entries = 0;
	s->most_entries = LEAST_ENTRIES;
	s->n_slots = 2 * LEAST_ENTRIES;
	s->entries = MemoryContextAlloc(s->memory, sizeof(Entry) * s->most_entries);
	s->slots = MemoryContextAllocZero(s->memory, sizeof(uint32) * s->n_slots);
	s->room = NULL;
	s->room_left = 0;
	s->next_block = 4096;
	s->used = 0;
	s->level = level;
	s->spilled = false;
	memset(s->parts, 0, sizeof(s->parts));
}

static void *
keep_bytes(StrataSigned *s, const void *bytes, Size length)
{
	Size size = MAXALIGN(length);
	char *kept;

	if (size > s->room_left)
	{
		s->room_left = Max(size, s->next_block);
		s->room = MemoryContextAllocHuge(s->memory, s->room_left);
		s->next_block = Min(s->next_block * 2, 1024 * 1024);
	}
	kept = s->room;
	s->room += size;
	s->room_left -= size;
	s->used += size;
	memcpy(kept, bytes, length);
	return kept;
}

static void
fill_slots(StrataSigned *s)
{
	memset(s->slots, 0, sizeof(uint32) * s->n_slots);
	for (uint32 i = 0; i < s->n_entries; i++)
	{
		uint32 at = s->entries[i].hash & (s->n_slots - 1);

		while (s->slots[at])
			at = (at + 1) & (s->n_slots - 1);
		s->slots[at] = i + 1;
	}
}

static void
grow(StrataSigned *s)
{
	s->most_entries *= 2;
	s->n_slots *= 2;
	s->entries = repalloc_huge(s->entries, sizeof(Entry) * s->most_entries);
	pfree(s->slots);
	s->slots = MemoryContextAllocHuge(s->memory, sizeof(uint32) * s->n_slots);
	fill_slots(s);
}

static Size
table_bytes(const StrataSigned *s)
{
	return s->used + s->n_entries * (sizeof(Entry) + 2 * sizeof(uint32));
}

/* ---- one row ---- */

/* The row in s->values as a minimal tuple with sign 0, in scratch. False: one of its values has other forms that are the same. */
static bool
form_row(StrataSigned *s)
{
	bool plain = true;
	bool has_null = false;
	Size header = SizeofMinimalTupleHeader;
	Size data;
	MinimalTuple tuple;

	for (int i = 0; i < s->n; i++)
	{
		const StrataImageColumn *c = &s->columns[i];

		if (s->nulls[i])
			has_null = true;
		else if (c->length == -1)
		{
			struct varlena *v = (struct varlena *) DatumGetPointer(s->values[i]);

			plain = plain && !c->loose && !VARATT_IS_COMPRESSED(v) && !VARATT_IS_EXTERNAL(v);
		}
	}
	if (has_null)
		header += BITMAPLEN(s->n + 1);
	header = MAXALIGN(header);
	data = heap_compute_data_size(s->desc, s->values, s->nulls);
	if (header + data > s->scratch_size)
	{
		if (s->scratch)
			pfree(s->scratch);
		s->scratch_size = Max(header + data, 2 * s->scratch_size);
		s->scratch = MemoryContextAllocHuge(s->context, s->scratch_size);
	}
	memset(s->scratch, 0, header + data);
	tuple = (MinimalTuple) s->scratch;
	tuple->t_len = header + data;
	HeapTupleHeaderSetNatts(tuple, s->n + 1);
	tuple->t_hoff = header + MINIMAL_TUPLE_OFFSET;
	heap_fill_tuple(s->desc, s->values, s->nulls, s->scratch + header, data, &tuple->t_infomask,
					has_null ? tuple->t_bits : NULL);
	return plain;
}

static bool
same_image(StrataSigned *s, Entry *entry, MinimalTuple tuple, bool plain)
{
	if (entry->tuple->t_len == tuple->t_len && memcmp(entry->tuple, tuple, tuple->t_len - SIGN_BYTES) == 0)
		return true;
	if (plain && entry->plain)
		return false;
	ExecStoreMinimalTuple(entry->tuple, s->slot, false);
	slot_getallattrs(s->slot);
	for (int i = 0; i < s->n; i++)
		if (s->nulls[i] != s->slot->tts_isnull[i] ||
			(!s->nulls[i] && !strata_base_image_same(s->columns[i].att, s->values[i], s->slot->tts_values[i])))
			return false;
	return true;
}

static uint64
row_hash(StrataSigned *s, bool deep)
{
	return strata_base_image_hash(s->columns, s->n, s->values, s->nulls, deep);
}

/* Rows that differ in long values only: their hashes are taken anew, of all bytes. */
static void
go_deep(StrataSigned *s)
{
	s->deep = true;
	for (uint32 i = 0; i < s->n_entries; i++)
	{
		ExecStoreMinimalTuple(s->entries[i].tuple, s->slot, false);
		slot_getallattrs(s->slot);
		s->entries[i].hash = strata_base_image_hash(s->columns, s->n, s->slot->tts_values, s->slot->tts_isnull, true);
	}
	fill_slots(s);
}

/* The entry of this row, or NULL and where it would go. */
static Entry *
find(StrataSigned *s, uint64 shallow, MinimalTuple tuple, bool plain, uint64 *hash, uint32 *at)
{
	int collisions = 0;

	*hash = s->deep ? row_hash(s, true) : shallow;
	*at = *hash & (s->n_slots - 1);
	while (s->slots[*at])
	{
		Entry *entry = &s->entries[s->slots[*at] - 1];

		if (entry->hash == *hash)
		{
			if (same_image(s, entry, tuple, plain))
				return entry;
			if (++collisions > MOST_COLLISIONS && !s->deep)
			{
				go_deep(s);
				return find(s, shallow, tuple, plain, hash, at);
			}
		}
		*at = (*at + 1) & (s->n_slots - 1);
	}
	return NULL;
}

static void
write_row(StrataSigned *s, Spilled *row, MinimalTuple tuple)
{
	int part = (row->hash >> (64 - PART_BITS * (s->level + 1))) & (PARTS - 1);

	if (s->parts[part] == NULL)
	{
		MemoryContext old;

		/* nothing of this image is wanted */
		if (row->offered)
		{
			if (s->left)
				s->left(s->arg, &row->tid, row->table, s->values, s->nulls);
			return;
		}
		old = MemoryContextSwitchTo(s->context);
		PrepareTempTablespaces();
		s->parts[part] = BufFileCreateTemp(false);
		s->spilled = true;
		MemoryContextSwitchTo(old);
	}
	BufFileWrite(s->parts[part], row, sizeof(Spilled));
	BufFileWrite(s->parts[part], tuple, tuple->t_len);
}

/* The row in s->values, whose tuple is given. */
static void
take_row(StrataSigned *s, Spilled *row, MinimalTuple tuple)
{
	uint64 hash;
	uint32 at;
	Entry *entry = find(s, row->hash, tuple, row->plain, &hash, &at);

	if (row->offered && (entry || !s->spilled))
	{
		bool wanted = entry && entry->sum > 0;
		StrataTaken tell = wanted ? s->taken : s->left;

		if (wanted)
			entry->sum--;
		if (tell)
			tell(s->arg, &row->tid, row->table, s->values, s->nulls);
	}
	else if (entry)
	{
		if (pg_add_s32_overflow(entry->sum, row->sign, &entry->sum))
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many equal rows")));
	}
	else if (s->spilled ||
			 (s->level < MOST_LEVELS && s->n_entries >= LEAST_ENTRIES && table_bytes(s) + tuple->t_len > s->limit))
		write_row(s, row, tuple);
	else
	{
		s->slots[at] = ++s->n_entries;
		entry = &s->entries[s->n_entries - 1];
		entry->hash = hash;
		entry->sum = row->sign;
		entry->plain = row->plain;
		entry->tuple = keep_bytes(s, tuple, tuple->t_len);
		if (s->n_entries == s->most_entries)
			grow(s);
	}
}

static void
take_values(StrataSigned *s, const Datum *values, const bool *nulls, Spilled *row)
{
	MemoryContext old = MemoryContextSwitchTo(s->row);

	memcpy(s->values, values, sizeof(Datum) * s->n);
	memcpy(s->nulls, nulls, sizeof(bool) * s->n);
	row->plain = form_row(s);
	row->hash = row_hash(s, false);
	take_row(s, row, (MinimalTuple) s->scratch);
	MemoryContextSwitchTo(old);
	MemoryContextReset(s->row);
}

/* ---- the face ---- */

TupleDesc
strata_signed_columns(TupleDesc relation, bool sign)
{
	TupleDesc desc = CreateTemplateTupleDesc(relation->natts + (sign ? 1 : 0));

	for (int i = 0; i < relation->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(relation, i);

		if (att->attisdropped)
		{
			TupleDescInitEntry(desc, i + 1, NameStr(att->attname), INT4OID, -1, 0);
			continue;
		}
		TupleDescInitEntry(desc, i + 1, NameStr(att->attname), att->atttypid, att->atttypmod, 0);
		TupleDescInitEntryCollation(desc, i + 1, att->attcollation);
	}
	if (sign)
		TupleDescInitEntry(desc, relation->natts + 1, "strata_sign", INT4OID, -1, 0);
	return desc;
}

StrataSigned *
strata_signed_start(const char *name, TupleDesc desc)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "strata signed rows", ALLOCSET_SMALL_SIZES);
	StrataSigned *s = MemoryContextAllocZero(context, sizeof(StrataSigned));
	MemoryContext old;

	s->n = desc->natts;
	s->desc = CreateTemplateTupleDesc(s->n + 1);
	for (int i = 0; i < s->n; i++)
		TupleDescCopyEntry(s->desc, i + 1, desc, i + 1);
	TupleDescInitEntry(s->desc, s->n + 1, "strata_sign", INT4OID, -1, 0);
	s->result = strata_rowset_create(name, s->desc);
	s->context = context;
	old = MemoryContextSwitchTo(context);
	s->memory = AllocSetContextCreate(context, "strata signed table", ALLOCSET_DEFAULT_SIZES);
	s->row = AllocSetContextCreate(context, "strata signed row", ALLOCSET_SMALL_SIZES);
	s->columns = palloc0(sizeof(StrataImageColumn) * (s->n + 1));
	for (int i = 0; i < s->n; i++)
		s->columns[i] = strata_base_image_column(TupleDescAttr(s->result->desc, i));
	s->values = palloc0(sizeof(Datum) * (s->n + 1));
	s->nulls = palloc0(sizeof(bool) * (s->n + 1));
	s->limit = (Size) work_mem * 1024;
	s->slot = MakeSingleTupleTableSlot(s->result->desc, &TTSOpsMinimalTuple);
	s->again = MakeSingleTupleTableSlot(s->result->desc, &TTSOpsMinimalTuple);
	FreeTupleDesc(s->desc);
	s->desc = s->result->desc;
	start_pass(s, 0);
	MemoryContextSwitchTo(old);
	return s;
}

void
strata_signed_match(StrataSigned *s, StrataTaken taken, StrataTaken left, void *arg)
{
	s->taken = taken;
	s->left = left;
	s->arg = arg;
}

void
strata_signed_put(StrataSigned *s, const Datum *values, const bool *nulls, int32 sign)
{
	Spilled row = {0};

	if (sign == 0)
		return;
	row.sign = sign;
	take_values(s, values, nulls, &row);
}

void
strata_signed_offer(StrataSigned *s, const Datum *values, const bool *nulls, ItemPointer tid, Oid table)
{
	Spilled row = {0};

	row.offered = true;
	row.tid = *tid;
	row.table = table;
	take_values(s, values, nulls, &row);
}

/* What the table holds goes to the result; the files wait for a pass of their own. */
static void
end_pass(StrataSigned *s)
{
	MemoryContext old = MemoryContextSwitchTo(s->context);

	for (uint32 i = 0; i < s->n_entries; i++)
	{
		Entry *entry = &s->entries[i];

		if (entry->sum == 0)
			continue;
		memcpy((char *) entry->tuple + entry->tuple->t_len - SIGN_BYTES, &entry->sum, SIGN_BYTES);
		ExecStoreMinimalTuple(entry->tuple, s->slot, false);
		tuplestore_puttupleslot(s->result->store, s->slot);
		s->result->count++;
	}
	for (int i = 0; i < PARTS; i++)
		if (s->parts[i])
		{
			Part *part = palloc(sizeof(Part));

			part->file = s->parts[i];
			part->level = s->level + 1;
			s->waiting = lappend(s->waiting, part);
		}
	ExecClearTuple(s->slot);
	MemoryContextSwitchTo(old);
}

static void
read_exactly(BufFile *file, void *into, Size size)
{
	if (BufFileRead(file, into, size) != size)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read a temporary file of rows")));
}

static void
read_part(StrataSigned *s, BufFile *file)
{
	Spilled row;
	char *buffer = NULL;
	Size size = 0;

	if (BufFileSeek(file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind a temporary file of rows")));
	while (BufFileRead(file, &row, sizeof(Spilled)) == sizeof(Spilled))
	{
		uint32 length;
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		read_exactly(file, &length, sizeof(length));
		if (length > size)
		{
			if (buffer)
				pfree(buffer);
			size = Max(length, 2 * size);
			buffer = MemoryContextAllocHuge(s->context, size);
		}
		((MinimalTuple) buffer)->t_len = length;
		read_exactly(file, buffer + sizeof(length), length - sizeof(length));
		old = MemoryContextSwitchTo(s->row);
		ExecStoreMinimalTuple((MinimalTuple) buffer, s->again, false);
		slot_getallattrs(s->again);
		memcpy(s->values, s->again->tts_values, sizeof(Datum) * s->n);
		memcpy(s->nulls, s->again->tts_isnull, sizeof(bool) * s->n);
		take_row(s, &row, (MinimalTuple) buffer);
		MemoryContextSwitchTo(old);
		MemoryContextReset(s->row);
	}
	ExecClearTuple(s->again);
	if (buffer)
		pfree(buffer);
}

StrataRowSet *
strata_signed_finish(StrataSigned *s)
{
	StrataRowSet *result = s->result;

	end_pass(s);
	while (s->waiting != NIL)
	{
		Part *part = llast(s->waiting);

		s->waiting = list_delete_last(s->waiting);
		start_pass(s, part->level);
		read_part(s, part->file);
		BufFileClose(part->file);
		end_pass(s);
	}
	ExecDropSingleTupleTableSlot(s->slot);
	ExecDropSingleTupleTableSlot(s->again);
	MemoryContextDelete(s->context);
	return result;
}

/* ---- from a statement ---- */

typedef struct SignedReceiver
{
	DestReceiver pub;
	const char *name;
	MemoryContext context;
	StrataSigned *rows;
	int n;
} SignedReceiver;

static void
signed_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	SignedReceiver *r = (SignedReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(r->context);
	TupleDesc columns;

	r->n = desc->natts - 1;
	if (r->n < 0 || TupleDescAttr(desc, r->n)->atttypid != INT4OID)
		elog(ERROR, "signed rows of \"%s\" do not end with a sign", r->name);
	columns = CreateTemplateTupleDesc(r->n);
	for (int i = 0; i < r->n; i++)
		TupleDescCopyEntry(columns, i + 1, desc, i + 1);
	r->rows = strata_signed_start(r->name, columns);
	FreeTupleDesc(columns);
	MemoryContextSwitchTo(old);
}

static bool
signed_receive(TupleTableSlot *slot, DestReceiver *self)
{
	SignedReceiver *r = (SignedReceiver *) self;

	slot_getallattrs(slot);
	if (!slot->tts_isnull[r->n])
		strata_signed_put(r->rows, slot->tts_values, slot->tts_isnull, DatumGetInt32(slot->tts_values[r->n]));
	return true;
}

static void
signed_noop(DestReceiver *self)
{
}

StrataRowSet *
strata_base_run_signed(const char *name, const char *sql, const StrataArgs *args, Snapshot snapshot, List *rowsets)
{
	SignedReceiver r = {0};

	r.pub.receiveSlot = signed_receive;
	r.pub.rStartup = signed_startup;
	r.pub.rShutdown = signed_noop;
	r.pub.rDestroy = signed_noop;
	r.pub.mydest = DestTuplestore;
	r.name = name;
	r.context = CurrentMemoryContext;
	strata_base_run_into(sql, args, snapshot, rowsets, (DestReceiver *) &r);
	return strata_signed_finish(r.rows);
}
