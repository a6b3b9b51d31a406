/*
 * walk.c
 *		A Query into the graph: its range table, its conditions, its targets.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "lineage/lineage_internal.h"

typedef struct RelationKey
{
	Oid relid; /* hash key */
	int index;
} RelationKey;

/* ---- relations ---- */

static int
add_relation(LineageWalk *walk, Oid relid, char relkind)
{
	MemoryContext old;
	StrataReference *reference;
	LineageRelation *relation;
	HeapTuple tuple;
	Form_pg_class class;

	if (walk->relation_count == walk->relation_space)
	{
		walk->relation_space = walk->relation_space == 0 ? 16 : walk->relation_space * 2;
		walk->relations = walk->relations == NULL
							  ? palloc(sizeof(LineageRelation) * walk->relation_space)
							  : repalloc(walk->relations, sizeof(LineageRelation) * walk->relation_space);
	}
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relid),
						errdetail("The query was analyzed while the relation was there."),
						errhint("Analyze the query again.")));
	class = (Form_pg_class) GETSTRUCT(tuple);

	old = MemoryContextSwitchTo(walk->result_context);
	reference = palloc0(sizeof(StrataReference));
	reference->relid = relid;
	reference->schema = get_namespace_name(class->relnamespace);
	reference->name = pstrdup(NameStr(class->relname));
	reference->relkind = class->relkind;
	MemoryContextSwitchTo(old);

	relation = &walk->relations[walk->relation_count];
	relation->reference = reference;
	relation->natts = class->relnatts;
	relation->leaves = palloc0(sizeof(int) * (relation->natts + 1 - FirstLowInvalidHeapAttributeNumber));
	relation->names = palloc0(sizeof(char *) * (relation->natts + 1 - FirstLowInvalidHeapAttributeNumber));
	relation->whole_row = 0;
	ReleaseSysCache(tuple);

	strata_lineage_calls_note_relation(&walk->calls, relid, reference->relkind);
	return walk->relation_count++;
}

static int
relation_index(LineageWalk *walk, Oid relid, char relkind)
{
	bool found;
	RelationKey *entry = hash_search(walk->by_oid, &relid, HASH_ENTER, &found);

	if (!found)
	{
		entry->index = -1;
		entry->index = add_relation(walk, relid, relkind);
	}
	return entry->index;
}

/* The node of a column of a relation; asking for it is reading it. */
static int
leaf_node(LineageWalk *walk, int index, AttrNumber attno)
{
	LineageRelation *relation = &walk->relations[index];
	int offset = attno - FirstLowInvalidHeapAttributeNumber;

	if (attno <= FirstLowInvalidHeapAttributeNumber || attno > relation->natts)
		return -1;
	if (relation->leaves[offset] == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(walk->result_context);

		relation->reference->columns = bms_add_member(relation->reference->columns, offset);
		MemoryContextSwitchTo(old);
		relation->leaves[offset] = strata_lineage_graph_node(&walk->graph, index, attno) + 1;
	}
	return relation->leaves[offset] - 1;
}

/* The row as one value: made from every column that is not dropped. */
static int
relation_row_node(LineageWalk *walk, int index)
{
	LineageRelation *relation = &walk->relations[index];

	if (relation->whole_row == 0)
	{
		int row = strata_lineage_graph_node(&walk->graph, -1, 0);

		relation->whole_row = row + 1;
		for (AttrNumber attno = 1; attno <= relation->natts; attno++)
		{
			HeapTuple tuple =
				SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation->reference->relid), Int16GetDatum(attno));

			if (!HeapTupleIsValid(tuple))
				continue;
			if (!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
				strata_lineage_graph_link(&walk->graph, row, leaf_node(walk, index, attno), STRATA_EDGE_DERIVED);
			ReleaseSysCache(tuple);
		}
	}
	return relation->whole_row - 1;
}

/* ---- range table ---- */

static void
entry_columns(LineageEntry *entry, int count)
{
	entry->column_count = count;
	entry->columns = palloc0(sizeof(int) * Max(count, 1));
}

/* Functions in FROM: each column is made from the arguments, which also decide how many rows there are. */
static void
prepare_functions(LineageWalk *walk, LineageLevel *level, RangeTblEntry *rte, LineageEntry *entry)
{
	int column = 0;
	int all;
	ListCell *cell;

	entry_columns(entry, list_length(rte->eref->colnames));
	all = strata_lineage_graph_node(&walk->graph, -1, 0);
	strata_lineage_graph_link(&walk->graph, level->filter, all, STRATA_EDGE_DERIVED);
	foreach (cell, rte->functions)
	{
		RangeTblFunction *function = lfirst_node(RangeTblFunction, cell);
		int node = strata_lineage_graph_node(&walk->graph, -1, 0);

		strata_lineage_link_expression(walk, level, node, function->funcexpr, STRATA_EDGE_DERIVED);
		strata_lineage_graph_link(&walk->graph, all, node, STRATA_EDGE_DERIVED);
		for (int i = 0; i < function->funccolcount && column < entry->column_count; i++)
			entry->columns[column++] = node + 1;
	}
	while (column < entry->column_count) /* the ordinality */
		entry->columns[column++] = all + 1;
}

static void
prepare_values(LineageWalk *walk, LineageLevel *level, RangeTblEntry *rte, LineageEntry *entry)
{
	ListCell *row;

	entry_columns(entry, list_length(rte->eref->colnames));
	for (int i = 0; i < entry->column_count; i++)
		entry->columns[i] = strata_lineage_graph_node(&walk->graph, -1, 0) + 1;
	foreach (row, rte->values_lists)
	{
		int i = 0;
		ListCell *cell;

		foreach (cell, (List *) lfirst(row))
		{
			if (i < entry->column_count)
				strata_lineage_link_expression(walk, level, entry->columns[i] - 1, lfirst(cell), STRATA_EDGE_COPY);
			i++;
		}
	}
}

/* XMLTABLE, JSON_TABLE: which argument makes which column is the path language's business, so all make each. */
static void
prepare_table_function(LineageWalk *walk, LineageLevel *level, RangeTblEntry *rte, LineageEntry *entry)
{
	int node = strata_lineage_graph_node(&walk->graph, -1, 0);

	strata_lineage_link_expression(walk, level, node, (Node *) rte->tablefunc, STRATA_EDGE_DERIVED);
	strata_lineage_graph_link(&walk->graph, level->filter, node, STRATA_EDGE_DERIVED);
	entry_columns(entry, list_length(rte->eref->colnames));
	for (int i = 0; i < entry->column_count; i++)
		entry->columns[i] = node + 1;
}

static void
prepare_cte(LineageWalk *walk, LineageLevel *level, RangeTblEntry *rte, LineageEntry *entry)
{
	LineageLevel *owner = level;

	for (Index up = rte->ctelevelsup; up > 0 && owner != NULL; up--)
		owner = owner->parent;
	for (int i = 0; owner != NULL && i < owner->cte_count; i++)
	{
		LineageCte *cte = &owner->ctes[i];

		if (strcmp(cte->cte->ctename, rte->ctename) != 0)
			continue;
		entry->column_count = cte->column_count;
		entry->columns = cte->columns;
		strata_lineage_graph_link(&walk->graph, level->filter, cte->filter, STRATA_EDGE_DERIVED);
		return;
	}
	elog(ERROR, "could not find CTE \"%s\"", rte->ctename);
}

static LineageEntry *
prepare_entry(LineageWalk *walk, LineageLevel *level, Index rti)
{
	LineageEntry *entry = &level->entries[rti - 1];
	RangeTblEntry *rte;

	if (entry->ready)
		return entry;
	entry->ready = true;
	rte = rt_fetch(rti, level->query->rtable);
	if (STRATA_RTE_IS_GROUP(rte))
	{
		entry_columns(entry, list_length(STRATA_RTE_GROUP_EXPRESSIONS(rte)));
		return entry;
	}
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			relation_index(walk, rte->relid, rte->relkind);
			if (rte->tablesample != NULL)
				strata_lineage_link_expression(walk, level, level->filter, (Node *) rte->tablesample,
											   STRATA_EDGE_DERIVED);
			break;
		case RTE_SUBQUERY:
		{
			LineageLevel *child = strata_lineage_walk_query(walk, rte->subquery, level);

			entry->column_count = child->target_count;
			entry->columns = child->targets;
			strata_lineage_graph_link(&walk->graph, level->filter, child->filter, STRATA_EDGE_DERIVED);
			break;
		}
		case RTE_JOIN:
			entry_columns(entry, list_length(rte->joinaliasvars));
			break;
		case RTE_FUNCTION:
			prepare_functions(walk, level, rte, entry);
			break;
		case RTE_TABLEFUNC:
			prepare_table_function(walk, level, rte, entry);
			break;
		case RTE_VALUES:
			prepare_values(walk, level, rte, entry);
			break;
		case RTE_CTE:
			prepare_cte(walk, level, rte, entry);
			break;
		default:
			break; /* transition tables and empty results come from no column */
	}
	return entry;
}

/* The node of column attno of range table entry rti, -1 when it is made from nothing. */
int
strata_lineage_column_node(LineageWalk *walk, LineageLevel *level, Index rti, AttrNumber attno)
{
	RangeTblEntry *rte;
	LineageEntry *entry;
	List *made_from = NIL;
	int node;

	if (rti < 1 || rti > list_length(level->query->rtable))
		return -1;
	check_stack_depth();
	rte = rt_fetch(rti, level->query->rtable);
	entry = prepare_entry(walk, level, rti);
	if (rte->rtekind == RTE_RELATION)
	{
		int index = relation_index(walk, rte->relid, rte->relkind);

		return attno == InvalidAttrNumber ? relation_row_node(walk, index) : leaf_node(walk, index, attno);
	}
	if (attno == InvalidAttrNumber)
	{
		if (entry->whole_row == 0)
		{
			int columns = Min(entry->column_count, list_length(rte->eref->colnames));

			entry->whole_row = strata_lineage_graph_node(&walk->graph, -1, 0) + 1;
			for (AttrNumber i = 1; i <= columns; i++)
				strata_lineage_graph_link(&walk->graph, entry->whole_row - 1,
										  strata_lineage_column_node(walk, level, rti, i), STRATA_EDGE_DERIVED);
		}
		return entry->whole_row - 1;
	}
	if (attno < 0 || attno > entry->column_count)
		return -1;
	if (entry->columns[attno - 1] != 0)
		return entry->columns[attno - 1] - 1;

	/* columns of joins and groups are made when someone asks: a join of 100 tables has thousands, nearly all unused */
	if (rte->rtekind == RTE_JOIN)
		made_from = rte->joinaliasvars;
	else if (STRATA_RTE_IS_GROUP(rte))
		made_from = STRATA_RTE_GROUP_EXPRESSIONS(rte);
	if (made_from == NIL)
		return -1;
	node = strata_lineage_graph_node(&walk->graph, -1, 0);
	entry->columns[attno - 1] = node + 1;
	strata_lineage_link_expression(walk, level, node, list_nth(made_from, attno - 1), STRATA_EDGE_COPY);
	return node;
}

/* ---- FROM, set operations ---- */

static void
walk_from(LineageWalk *walk, LineageLevel *level, Node *node)
{
	if (node == NULL)
		return;
	check_stack_depth();
	if (IsA(node, RangeTblRef))
		prepare_entry(walk, level, ((RangeTblRef *) node)->rtindex);
	else if (IsA(node, FromExpr))
	{
		ListCell *cell;

		foreach (cell, ((FromExpr *) node)->fromlist)
			walk_from(walk, level, lfirst(cell));
		strata_lineage_link_expression(walk, level, level->filter, ((FromExpr *) node)->quals, STRATA_EDGE_DERIVED);
	}
	else if (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;

		walk_from(walk, level, join->larg);
		walk_from(walk, level, join->rarg);
		strata_lineage_link_expression(walk, level, level->filter, join->quals, STRATA_EDGE_DERIVED);
	}
}

/*
 * The arms of a set operation into the targets of the level. Every operation
 * but UNION ALL compares rows, so the columns under it are conditions too.
 * The right side of EXCEPT takes rows away and gives no value.
 */
static void
walk_set_operation(LineageWalk *walk, LineageLevel *level, Node *node, List *types, bool values, bool compared)
{
	if (node == NULL)
		return;
	check_stack_depth();
	if (IsA(node, SetOperationStmt))
	{
		SetOperationStmt *operation = (SetOperationStmt *) node;
		bool plain = operation->op == SETOP_UNION && operation->all;

		strata_lineage_calls_note(&walk->calls, node);
		walk_set_operation(walk, level, operation->larg, types, values, compared || !plain);
		walk_set_operation(walk, level, operation->rarg, types, values && operation->op != SETOP_EXCEPT,
						   compared || !plain);
	}
	else if (IsA(node, RangeTblRef))
	{
		Index rti = ((RangeTblRef *) node)->rtindex;
		LineageEntry *entry = prepare_entry(walk, level, rti);
		RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
		ListCell *cell;

		if (rte->rtekind != RTE_SUBQUERY)
			return;
		foreach (cell, rte->subquery->targetList)
		{
			TargetEntry *target = lfirst_node(TargetEntry, cell);
			int source = entry->columns[target->resno - 1] - 1;
			StrataEdgeKind kind = STRATA_EDGE_COPY;

			if (target->resjunk || target->resno > level->target_count)
				continue;
			/* an arm of another type is cast when the query is planned */
			if (target->resno <= list_length(types) &&
				!IsBinaryCoercible(exprType((Node *) target->expr), list_nth_oid(types, target->resno - 1)))
				kind = STRATA_EDGE_DERIVED;
			if (values)
				strata_lineage_graph_link(&walk->graph, level->targets[target->resno - 1] - 1, source, kind);
			if (compared)
				strata_lineage_graph_link(&walk->graph, level->filter, source, STRATA_EDGE_DERIVED);
		}
	}
}

/* ---- WITH ---- */

static void
link_named(LineageWalk *walk, LineageCte *cte, int sink, List *names)
{
	ListCell *name;

	foreach (name, names)
	{
		int i = 0;
		ListCell *cell;

		foreach (cell, cte->cte->ctecolnames)
		{
			if (strcmp(strVal(lfirst(cell)), strVal(lfirst(name))) == 0)
				strata_lineage_graph_link(&walk->graph, sink, cte->columns[i] - 1, STRATA_EDGE_DERIVED);
			i++;
		}
	}
}

/*
 * All CTEs of a level. The nodes of every column are made before any query is
 * walked: a recursive query refers to its own, and may to later ones.
 * SEARCH and CYCLE add columns that the analyzed query does not have yet:
 * after the query's own stand search sequence, cycle mark, cycle path.
 */
static void
walk_ctes(LineageWalk *walk, LineageLevel *level)
{
	ListCell *cell;
	int i = 0;

	level->cte_count = list_length(level->query->cteList);
	level->ctes = palloc0(sizeof(LineageCte) * Max(level->cte_count, 1));
	foreach (cell, level->query->cteList)
	{
		LineageCte *cte = &level->ctes[i++];

		cte->cte = lfirst_node(CommonTableExpr, cell);
		cte->column_count = list_length(cte->cte->ctecolnames) + (cte->cte->search_clause != NULL ? 1 : 0) +
							(cte->cte->cycle_clause != NULL ? 2 : 0);
		cte->columns = palloc(sizeof(int) * Max(cte->column_count, 1));
		for (int c = 0; c < cte->column_count; c++)
			cte->columns[c] = strata_lineage_graph_node(&walk->graph, -1, 0) + 1;
		cte->filter = strata_lineage_graph_node(&walk->graph, -1, 0);
	}
	for (i = 0; i < level->cte_count; i++)
	{
		LineageCte *cte = &level->ctes[i];
		int column = list_length(cte->cte->ctecolnames);
		LineageLevel *child = strata_lineage_walk_query(walk, castNode(Query, cte->cte->ctequery), level);

		for (int c = 0; c < column && c < child->target_count; c++)
			strata_lineage_graph_link(&walk->graph, cte->columns[c] - 1, child->targets[c] - 1, STRATA_EDGE_COPY);
		strata_lineage_graph_link(&walk->graph, cte->filter, child->filter, STRATA_EDGE_DERIVED);
		if (cte->cte->search_clause != NULL)
			link_named(walk, cte, cte->columns[column++] - 1, cte->cte->search_clause->search_col_list);
		if (cte->cte->cycle_clause != NULL)
		{
			List *names = cte->cte->cycle_clause->cycle_col_list;

			link_named(walk, cte, cte->columns[column++] - 1, names);
			link_named(walk, cte, cte->columns[column] - 1, names);
			link_named(walk, cte, cte->filter, names);
		}
	}
}

/* ---- the query ---- */

/* Edges from sink to the targets that GROUP BY, ORDER BY, DISTINCT or a window name. */
void
strata_lineage_link_sort_clauses(LineageWalk *walk, LineageLevel *level, int sink, List *clauses, StrataEdgeKind kind)
{
	ListCell *cell;

	foreach (cell, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);
		ListCell *each;

		strata_lineage_calls_note(&walk->calls, (Node *) clause);
		foreach (each, level->query->targetList)
		{
			TargetEntry *target = lfirst_node(TargetEntry, each);

			if (target->ressortgroupref == clause->tleSortGroupRef)
			{
				strata_lineage_graph_link(&walk->graph, sink, level->targets[target->resno - 1] - 1, kind);
				break;
			}
		}
	}
}

static void
walk_targets(LineageWalk *walk, LineageLevel *level)
{
	Query *query = level->query;
	ListCell *cell;

	/* all nodes first: a window function refers to its neighbours */
	foreach (cell, query->targetList)
		level->target_count = Max(level->target_count, lfirst_node(TargetEntry, cell)->resno);
	level->targets = palloc0(sizeof(int) * Max(level->target_count, 1));
	foreach (cell, query->targetList)
		level->targets[lfirst_node(TargetEntry, cell)->resno - 1] = strata_lineage_graph_node(&walk->graph, -1, 0) + 1;

	if (query->setOperations != NULL)
	{
		/* the targets name the columns of the first arm only */
		walk_set_operation(walk, level, query->setOperations,
						   castNode(SetOperationStmt, query->setOperations)->colTypes, true, false);
		return;
	}
	foreach (cell, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);
		int node = level->targets[target->resno - 1] - 1;

		strata_lineage_link_expression(walk, level, node, (Node *) target->expr, STRATA_EDGE_COPY);
		/* unnest and its like decide how many rows there are */
		if (query->hasTargetSRFs && expression_returns_set((Node *) target->expr))
			strata_lineage_graph_link(&walk->graph, level->filter, node, STRATA_EDGE_DERIVED);
	}
}

LineageLevel *
strata_lineage_walk_query(LineageWalk *walk, Query *query, LineageLevel *parent)
{
	LineageLevel *level;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (query->commandType != CMD_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("lineage is of SELECT statements only"),
				 errdetail("The query is or holds a statement that changes data."), errhint("Give a plain SELECT.")));

	level = palloc0(sizeof(LineageLevel));
	level->parent = parent;
	level->query = query;
	level->filter = strata_lineage_graph_node(&walk->graph, -1, 0);
	level->entries = palloc0(sizeof(LineageEntry) * Max(list_length(query->rtable), 1));

	walk_ctes(walk, level);
	walk_from(walk, level, (Node *) query->jointree);
	walk_targets(walk, level);
	strata_lineage_link_expression(walk, level, level->filter, query->havingQual, STRATA_EDGE_DERIVED);
	strata_lineage_link_expression(walk, level, level->filter, query->limitOffset, STRATA_EDGE_DERIVED);
	strata_lineage_link_expression(walk, level, level->filter, query->limitCount, STRATA_EDGE_DERIVED);
	strata_lineage_link_sort_clauses(walk, level, level->filter, query->groupClause, STRATA_EDGE_DERIVED);
	strata_lineage_link_sort_clauses(walk, level, level->filter, query->distinctClause, STRATA_EDGE_DERIVED);
	strata_lineage_link_sort_clauses(walk, level, level->filter, query->sortClause, STRATA_EDGE_DERIVED);
	return level;
}
