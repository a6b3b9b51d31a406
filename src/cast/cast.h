/*
 * cast.h
 *		The cast room for other rooms: nothing in C.
 *
 * strata.try_cast(text, anyelement) and strata.cast_error(text, anyelement) are
 * called from SQL, where the planner tells them the target type.
 */
#ifndef STRATA_CAST_H
#define STRATA_CAST_H

#endif /* STRATA_CAST_H */
