# pg_strata
#
#   make, make install, make installcheck    as for any PostgreSQL extension (PG_CONFIG=... chooses the server)
#   make demo, make test                     on a bare Debian: install what is missing, then do everything
#   make help                                the other targets

EXTENSION = pg_strata
MODULE_big = pg_strata
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" pg_strata.control)

SOURCES := $(sort $(wildcard src/*.c src/*/*.c))
OBJS = $(SOURCES:.c=.o)

SQL_PARTS := $(addprefix sql/,$(shell grep -v '^\#' sql/ORDER))
INSTALL_SQL = pg_strata--$(EXTVERSION).sql
DATA = $(INSTALL_SQL) $(wildcard sql/updates/*.sql)

# Off: what PostgreSQL's own headers do. Declarations may stand where they are first used.
WARNINGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-Wno-cast-function-type -Wno-declaration-after-statement
PG_CPPFLAGS = -Isrc -DSTRATA_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = $(WARNINGS) -MMD -MP $(STRATA_CFLAGS)
# rooms' own names stay inside the library
SHLIB_LINK = -Wl,--version-script=src/exports.map $(STRATA_LDFLAGS)

EXTRA_CLEAN = $(OBJS:.o=.d) $(OBJS:.o=.gcno) $(OBJS:.o=.gcda) pg_strata--*.sql

# not the default output directory: pg_regress would take sql/ there for the tests
REGRESS_OPTS = --inputdir=test --outputdir=build/installcheck --load-extension=pg_strata
REGRESS = $(shell sed -n 's/^test: *//p' test/schedule)

# Bitcode serves inlining into JIT-compiled expressions only, and asks for clang.
override with_llvm := no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

all: $(INSTALL_SQL)

ifneq ($(PGXS),)
ifneq ($(wildcard $(PGXS)),)
HAVE_PGXS = yes
include $(PGXS)

ifneq ($(MAJORVERSION),15)
REGRESS_OPTS += --expecteddir=.
endif
installcheck: build/installcheck/expected
build/installcheck/expected:
	mkdir -p $(@D) && ln -s ../../expected $@
endif
endif

ifndef HAVE_PGXS
all install uninstall installcheck: no-pgxs
.PHONY: no-pgxs
no-pgxs:
	@echo "pg_strata: no PostgreSQL server headers: '$(PG_CONFIG) --pgxs' names no file." >&2
	@echo "Run 'make setup' (Debian), or give PG_CONFIG=/path/to/pg_config." >&2
	@exit 1
clean:
	rm -f pg_strata.so $(OBJS) pg_strata--*.sql
endif

$(INSTALL_SQL): $(SQL_PARTS) sql/ORDER pg_strata.control
	@{ printf '%s\n' '-- Made from sql/ by make; edit there.' \
	     '\echo Use "CREATE EXTENSION pg_strata" to load this file. \quit'; \
	   for part in $(SQL_PARTS); do echo; cat $$part; done; } > $@.tmp && mv $@.tmp $@

# a new version or a changed flag rebuilds everything
$(OBJS): Makefile pg_strata.control
-include $(OBJS:.o=.d)

clean: clean-build
.PHONY: clean-build
clean-build:
	rm -rf build/results build/results-asan build/coverage build/installcheck

# ---- the targets below install the packages they miss, then use test/cluster's private servers ----

.PHONY: setup demo demo-stop test lint format bench coverage test-all-versions test-asan fuzz-refresh help

setup:
	@.ci/setup

demo: setup
	@examples/demo.sh start

demo-stop:
	@examples/demo.sh stop

test: setup
	@test/run

lint: setup
	@test/lint/run

format: setup
	@test/lint/format --write

bench: setup
	@bench/run $(BENCH)

coverage: setup
	@test/coverage

test-all-versions:
	@test/all-versions

test-asan: setup
	@test/asan

fuzz-refresh: setup
	@test/fuzz/in_cluster refresh $(FUZZ)

help:
	@echo 'make                    build the library and the install script'
	@echo 'make install            install into the PostgreSQL of PG_CONFIG'
	@echo 'make installcheck       SQL tests against a running server (PGHOST, PGPORT...)'
	@echo 'make setup              install the Debian packages that building and testing need'
	@echo 'make demo / demo-stop   build the example warehouses in a private cluster, show them / stop it'
	@echo 'make test               every test, in a private cluster (test/run KIND [NAME...] for some)'
	@echo 'make lint / format      the rules of the house / apply the code format'
	@echo 'make bench [BENCH=...]  measure; one line "NAME ratio VALUE" each'
	@echo 'make coverage           line coverage of the tests, per room'
	@echo 'make test-all-versions  the tests on the other PostgreSQL versions, in chroots'
	@echo 'make fuzz-refresh       random models and changes, each refresh against its query (FUZZ="--seed N --refreshes N")'
	@echo 'make test-asan          the tests under AddressSanitizer, on a PostgreSQL with assertions'
