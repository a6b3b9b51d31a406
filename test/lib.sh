# lib.sh: what the scripts share. Source it from bash with TOP set to the repository's root.
#
# PostgreSQL does not run as root. Run by root, the scripts give the server, and everything that talks to it, to an
# unprivileged user: postgres where it exists, nobody otherwise. None is created.

die() { echo "${0##*/}: $*" >&2; exit 1; }
say() { echo "${0##*/}: $*"; }

PG_CONFIG=${PG_CONFIG:-pg_config}

if [ "$(id -u)" -eq 0 ]; then
	if id postgres >/dev/null 2>&1; then SERVER_USER=postgres; else SERVER_USER=nobody; fi
else
	SERVER_USER=$(id -un)
fi

# Run a command as the server's user, with nothing of the caller's PostgreSQL settings left.
as_server() {
	local home=${CLUSTER_DIR:-/}
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --reuid "$SERVER_USER" --regid "$(id -g "$SERVER_USER")" --clear-groups \
			env -u PGDATA HOME="$home" USER="$SERVER_USER" LOGNAME="$SERVER_USER" "$@"
	else
		env -u PGDATA HOME="$home" "$@"
	fi
}

need_pg() {
	command -v "$PG_CONFIG" >/dev/null || die "no $PG_CONFIG; run 'make setup', or give PG_CONFIG=/path/to/pg_config"
	# a full path, and not the copy inside a private cluster that this shell may be pointed at
	PG_CONFIG=$(command -v "$PG_CONFIG")
	[ -z "${CLUSTER_DIR:-}" ] || PG_CONFIG=${PG_CONFIG#"$CLUSTER_DIR/install"}
	export PG_CONFIG
	[ -f "$("$PG_CONFIG" --pgxs)" ] || die "$PG_CONFIG has no server headers (pgxs); run 'make setup'"
	[ -x "$("$PG_CONFIG" --bindir)/postgres" ] || die "$("$PG_CONFIG" --bindir) has no server; run 'make setup'"
	PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
}

# A new directory that the server's user owns and nobody else can enter (its socket trusts whoever reaches it).
new_private_dir() {
	local dir
	dir=$(mktemp -d "${STRATA_TMPDIR:-/tmp}/pg_strata.XXXXXX") || die "cannot make a directory in ${STRATA_TMPDIR:-/tmp}"
	[ "$(id -u)" -ne 0 ] || chown "$SERVER_USER" "$dir"
	echo "$dir"
}

# private_install DIR: a copy of the PostgreSQL of PG_CONFIG under DIR, with this extension in it. PostgreSQL finds its
# files relative to its executables, so copied executables and linked files make an installation of their own, and the
# system's one is neither written to nor in the way of another checkout's.
private_install() {
	local root=$1 bin share lib entry
	bin=$("$PG_CONFIG" --bindir) share=$("$PG_CONFIG" --sharedir) lib=$("$PG_CONFIG" --pkglibdir)
	rm -rf "$root"
	mkdir -p "$root$bin" "$root$share/extension" "$root$lib"
	cp -a "$bin"/. "$root$bin"/
	for entry in "$share"/*; do
		[ "${entry##*/}" = extension ] || ln -s "$entry" "$root$share/"
	done
	for entry in "$share"/extension/*; do
		case ${entry##*/} in pg_strata*) ;; *) ln -s "$entry" "$root$share/extension/" ;; esac
	done
	for entry in "$lib"/*; do
		case ${entry##*/} in pg_strata*) ;; *) ln -s "$entry" "$root$lib/" ;; esac
	done
	make -s -C "$TOP" PG_CONFIG="$PG_CONFIG" DESTDIR="$root" install >"$root/install.log" 2>&1 || {
		cat "$root/install.log" >&2
		die "the build failed"
	}
	chmod -R u=rwX,go=rX "$root$share/extension" "$root$bin" 2>/dev/null || true
	[ "$(id -u)" -ne 0 ] || chown -R -h "$SERVER_USER" "$root"
}

# copy_tree DIR: a copy of what git has or would take of the tree, the server's user's own. Without git: all that is not
# built. Built files stay behind, so that the copy can be built with other flags or for another server.
copy_tree() {
	local dir=$1
	mkdir -p "$dir"
	(
		cd "$TOP"
		{
			git -c safe.directory="$TOP" ls-files -co --exclude-standard 2>/dev/null ||
				find . \( -path ./build -o -path ./.git \) -prune -o -type f -print |
				grep -vE '\.(o|d|so|gcno|gcda)$|^\./pg_strata--'
		} | while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done | tar -cf - -T -
	) | tar -xf - -C "$dir" --no-same-owner
	[ "$(id -u)" -ne 0 ] || chown -R "$SERVER_USER" "$dir"
}
