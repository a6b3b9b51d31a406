/*
 * compat.h
 *		The only place that knows which PostgreSQL this is compiled for.
 *
 * Supported: 15, 16, 17, 18. What differs between them gets one name here;
 * PG_VERSION_NUM appears in no other file (make lint checks it).
 * Include after postgres.h.
 */
#ifndef STRATA_BASE_COMPAT_H
#define STRATA_BASE_COMPAT_H

#include "fmgr.h"

#if PG_VERSION_NUM < 150000
#error "pg_strata needs PostgreSQL 15 or later"
#endif

/* 18 records the module's name and version (pg_get_loaded_modules). */
#if PG_VERSION_NUM >= 180000
#define STRATA_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "pg_strata", .version = STRATA_VERSION)
#else
#define STRATA_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#if PG_VERSION_NUM >= 180000
#define strata_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define strata_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* 16 brings input functions that report bad data without an error being thrown. */
#define STRATA_SOFT_ERRORS (PG_VERSION_NUM >= 160000)

/* 17 lets internal subtransactions run in a parallel plan. */
#define STRATA_SUBXACT_IN_PARALLEL (PG_VERSION_NUM >= 170000)

/* 18 keeps the GROUP BY expressions in a range table entry, to which the variables above grouping refer. */
#if PG_VERSION_NUM >= 180000
#define STRATA_RTE_IS_GROUP(rte) ((rte)->rtekind == RTE_GROUP)
#define STRATA_RTE_GROUP_EXPRESSIONS(rte) ((rte)->groupexprs)
#else
#define STRATA_RTE_IS_GROUP(rte) false
#define STRATA_RTE_GROUP_EXPRESSIONS(rte) NIL
#endif

/* Of optimizer/optimizer.h, which the caller includes: expressions without variables of that entry, and of joins. */
#if PG_VERSION_NUM >= 180000
#define strata_flatten_groups(query, node) \
	((query)->hasGroupRTE && (node) != NULL ? flatten_group_exprs(NULL, query, node) : (node))
#define strata_forget_groups(query) ((query)->hasGroupRTE = false)
#else
#define strata_flatten_groups(query, node) (node)
#define strata_forget_groups(query) ((void) 0)
#endif
/* Of rewrite/rewriteManip.h: variables of an entry give way to the entry's target list; all are found in it. */
#if PG_VERSION_NUM >= 180000
#define strata_replace_variables(node, varno, rte, targets, has_sublinks) \
	ReplaceVarsFromTargetList(node, varno, 0, rte, targets, 0, REPLACEVARS_REPORT_ERROR, 0, has_sublinks)
#else
#define strata_replace_variables(node, varno, rte, targets, has_sublinks) \
	ReplaceVarsFromTargetList(node, varno, 0, rte, targets, REPLACEVARS_REPORT_ERROR, 0, has_sublinks)
#endif
#if PG_VERSION_NUM >= 160000
#define strata_flatten_join_aliases(query, node) flatten_join_alias_vars(NULL, query, node)
#define strata_forget_permissions(rte) ((rte)->perminfoindex = 0)
#else
#define strata_flatten_join_aliases(query, node) flatten_join_alias_vars(query, node)
#define strata_forget_permissions(rte) ((rte)->requiredPerms = 0)
#endif

#if PG_VERSION_NUM >= 160000
#define strata_is_table_owner(relid, role) object_ownercheck(RelationRelationId, relid, role)
#else
#define strata_is_table_owner(relid, role) pg_class_ownercheck(relid, role)
#endif

/* Whether the relation got new storage in this transaction. */
#if PG_VERSION_NUM >= 160000
#define STRATA_REWRITTEN_HERE(rel) ((rel)->rd_firstRelfilelocatorSubid != InvalidSubTransactionId)
#else
#define STRATA_REWRITTEN_HERE(rel) ((rel)->rd_firstRelfilenodeSubid != InvalidSubTransactionId)
#endif

/* Of access/tableam.h and executor/executor.h, which the caller includes: the indexes that a row written by an update is new to. */
#if PG_VERSION_NUM >= 160000
#define STRATA_UPDATE_INDEXES TU_UpdateIndexes
#define STRATA_ALL_INDEXES TU_All
#define strata_needs_indexes(which) ((which) != TU_None)
#define strata_insert_index_tuples(result, slot, estate, which) \
	((void) ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL, (which) == TU_Summarizing))
#else
#define STRATA_UPDATE_INDEXES bool
#define STRATA_ALL_INDEXES true
#define strata_needs_indexes(which) (which)
#define strata_insert_index_tuples(result, slot, estate, which) \
	((void) ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL))
#endif

/* Of catalog/pg_class.h, miscadmin.h and storage/smgr.h, which the caller includes: the file of a table that is neither temporary nor mapped. */
#if PG_VERSION_NUM >= 170000
#define STRATA_NO_BACKEND INVALID_PROC_NUMBER
#else
#define STRATA_NO_BACKEND InvalidBackendId
#endif
#if PG_VERSION_NUM >= 160000
#define STRATA_FILE RelFileLocator
#else
#define STRATA_FILE RelFileNode
#endif
#define strata_storage_of(form)                                                                              \
	smgropen((STRATA_FILE){OidIsValid((form)->reltablespace) ? (form)->reltablespace : MyDatabaseTableSpace, \
						   MyDatabaseId, (form)->relfilenode},                                               \
			 STRATA_NO_BACKEND)

/* A foreign key that documents and is not checked row by row. */
#if PG_VERSION_NUM >= 180000
#define STRATA_HAS_NOT_ENFORCED true
#define STRATA_FOREIGN_KEY_UNCHECKED " NOT ENFORCED"
#else
#define STRATA_HAS_NOT_ENFORCED false
#define STRATA_FOREIGN_KEY_UNCHECKED " NOT VALID"
#endif

/* Of storage/lock.h and storage/lmgr.h, which the caller includes: whether this transaction holds just that lock; whether another one has ended. */
#if PG_VERSION_NUM >= 170000
#define strata_lock_held(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define strata_lock_held(tag, mode) LockHeldByMe(tag, mode)
#endif
#define strata_is_locked_by_me(relid, mode)              \
	({                                                   \
		LOCKTAG tag_;                                    \
		SET_LOCKTAG_RELATION(tag_, MyDatabaseId, relid); \
		strata_lock_held(&tag_, mode);                   \
	})
#if PG_VERSION_NUM >= 180000
#define strata_try_wait_for_transaction(xid) ConditionalXactLockTableWait(xid, false)
#else
#define strata_try_wait_for_transaction(xid) ConditionalXactLockTableWait(xid)
#endif

/* Of catalog/pg_constraint.h, which the caller includes: 18 has NOT NULL that older rows need not meet. */
#if PG_VERSION_NUM >= 180000
#define strata_not_null_is_valid(relid, column)                                             \
	({                                                                                      \
		HeapTuple tuple_ = findNotNullConstraintAttnum(relid, column);                      \
		HeapTupleIsValid(tuple_) && ((Form_pg_constraint) GETSTRUCT(tuple_))->convalidated; \
	})
#else
#define strata_not_null_is_valid(relid, column) true
#endif

/* Of catalog/index.h, which the caller includes. */
#if PG_VERSION_NUM >= 170000
#define strata_reindex_index(relid, unchecked, persistence)           \
	({                                                                \
		ReindexParams params_ = {0};                                  \
		reindex_index(NULL, relid, unchecked, persistence, &params_); \
	})
#else
#define strata_reindex_index(relid, unchecked, persistence)     \
	({                                                          \
		ReindexParams params_ = {0};                            \
		reindex_index(relid, unchecked, persistence, &params_); \
	})
#endif

/* 18 dropped this suffix for a prefix. */
#if PG_VERSION_NUM >= 180000
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* Of utils/datetime.h, which the caller includes: does a field name a time zone by an abbreviation? */
#if PG_VERSION_NUM >= 160000
#define strata_is_zone_abbreviation(i, token)                                                             \
	({                                                                                                    \
		int type_, offset_;                                                                               \
		pg_tz *zone_;                                                                                     \
		DateTimeErrorExtra extra_;                                                                        \
		DecodeTimezoneAbbrev(i, token, &type_, &offset_, &zone_, &extra_) != 0 || type_ != UNKNOWN_FIELD; \
	})
#else
#define strata_is_zone_abbreviation(i, token)                              \
	({                                                                     \
		int offset_;                                                       \
		pg_tz *zone_;                                                      \
		DecodeTimezoneAbbrev(i, token, &offset_, &zone_) != UNKNOWN_FIELD; \
	})
#endif

#endif /* STRATA_BASE_COMPAT_H */
