/*
 * version.h
 *		The library's version against the version of the SQL objects.
 */
#ifndef STRATA_BASE_VERSION_H
#define STRATA_BASE_VERSION_H

/*
 * Raise an error unless the installed extension is of the library's version.
 * One index lookup; called by the entry points that read or write state.
 */
extern void strata_base_require_version(void);

#endif /* STRATA_BASE_VERSION_H */
