#!/usr/bin/env bash
# The tests on the servers of today: the machine's own redis-server, and other versions beside it.
#
#   servers.sh all           the tests that use real servers, on each in turn, and on a mixed quorum of three
#   servers.sh short         the promises, and the waiting, on valkey 9.1
#   servers.sh program NAME  prints the path of a server: redis-8.0, redis-8.6, valkey-8.1, valkey-9.1
#
# They are Debian's packages, unpacked under .servers/ with the libraries that they need: nothing is installed, and no
# service started. `rm -r .servers` fetches them anew. Where that cannot work, the tests are skipped, which is an error
# only with SERVERS=required.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$PWD/.servers

# NAME SUITE PACKAGE PROGRAM VERSION. A version that ends with a + may be a later one: sid moves on.
servers='
redis-8.0   trixie        redis-server   redis-server   8.0
redis-8.6   experimental  redis-server   redis-server   8.6+
valkey-8.1  trixie        valkey-server  valkey-server  8.1
valkey-9.1  sid           valkey-server  valkey-server  9.1+
'

# without says why there is no such server: 77 is a skip.
without() {
	echo "SKIPPED: no $name: $*" >&2
	[ "${SERVERS:-}" != required ] || exit 1
	exit 77
}

# debian is apt-get for another suite than the machine's, as if nothing were installed. It has what is left of the two minutes
# in which a server can be had. A mirror that cannot be reached is an error.
debian() {
	timeout $((ends > SECONDS ? ends - SECONDS : 1)) apt-get -qq -o APT::Update::Error-Mode=any -o Dir::State="$tree/apt" -o Dir::State::status="$tree/apt/status" -o Dir::Cache="$tree/apt" \
		-o Dir::Etc::sourcelist="$tree/apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=- \
		-o Acquire::Languages=none -o Acquire::Retries=1 -o APT::Sandbox::User=root "$@" >>"$tree/log" 2>&1
}

# update fetches the list of the suite's packages from the first of the machine's own mirrors that has it. Experimental is a
# suite on top of sid.
update() {
	local mirror part by= keys=/usr/share/keyrings/debian-archive-keyring.gpg parts=$suite
	[ "$suite" != experimental ] || parts='sid experimental'
	[ ! -e $keys ] || by="[signed-by=$keys]"
	# shellcheck disable=SC2016 # apt's own names.
	for mirror in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | awk '!seen[$0]++'); do
		for part in $parts; do echo "deb $by $mirror $part main"; done >"$tree/apt/sources.list"
		! debian update || return 0
	done
	return 1
}

# unpack makes $tree: the package, what it depends on, and a program that uses the libraries of the tree alone.
unpack() {
	command -v apt-get >/dev/null || without "there is no apt-get here"
	command -v patchelf >/dev/null || make install-patchelf >&2 || without "patchelf cannot be installed"
	local ends=$((SECONDS + 120))
	rm -rf "$tree"
	mkdir -p "$tree/apt/lists/partial" "$tree/apt/archives/partial"
	touch "$tree/apt/status" "$tree/log"
	update || without "no mirror of this machine gives Debian's $suite: $(grep -m 1 '^[EW]: ' "$tree/log" || echo "its sources name none")"
	debian install -y -t "$suite" --no-install-recommends --download-only "$package" || without "$(tail -1 "$tree/log")"
	local deb
	for deb in "$tree"/apt/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" >"$tree/apt/deb.tar"
		tar -xf "$tree/apt/deb.tar" -C "$tree" --keep-directory-symlink --no-same-owner \
			--wildcards --exclude 'systemd/*' './lib*' './usr/lib*' './usr/bin/redis-*' './usr/bin/valkey-*' 2>>"$tree/log" ||
			true # Some have nothing there.
	done
	[ -x "$tree/usr/bin/$program" ] || without "its package has no $program"

	# It is to run as the program that it is: under its name, so that it is found, and with no other process in between,
	# so that signals reach it.
	local file loader libraries
	libraries=$(printf '%s:' "$tree"/usr/lib/*-linux-gnu)
	for file in "$tree"/usr/bin/*; do
		[ ! -L "$file" ] || continue
		loader=$(patchelf --print-interpreter "$file")
		[ -e "$tree$loader" ] || loader=/usr$loader
		patchelf --set-interpreter "$tree$loader" --force-rpath --set-rpath "${libraries%:}" "$file"
	done
	rm -rf "$tree/apt" "$tree"/usr/lib/*-linux-gnu/{perl*,gconv}
	echo "$tree" >"$tree/complete"
}

# fetch NAME prints the path of a server, which is unpacked first if need be, and says which version it is.
fetch() (
	local name suite package program wanted tree
	read -r name suite package program wanted < <(grep "^$1 " <<<"$servers") || { echo "no such server: $1" >&2; exit 1; }
	tree=$cache/$name
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock 9 # Of two makes at a time one waits for the other.
	# The tree's path is in the program: the repository may have moved since.
	[ "$(cat "$tree/complete" 2>/dev/null)" = "$tree" ] || unpack 9>&-
	check "$name" "$tree/usr/bin/$program" "$wanted"
	echo "$tree/usr/bin/$program"
)

# check NAME PROGRAM WANTED says the program's version, and fails if it is not the one that is wanted.
check() {
	local version
	version=$("$2" --version 2>&1 | sed -n 's/^.* v=\([0-9.]*\).*/\1/p') || true
	echo "== $1: version ${version:-unknown}, $2" >&2
	case $3 in
	*+) [ "$(printf '%s\n' "${3%+}" "$version" | sort -V | head -1)" = "${3%+}" ] ;;
	*) [[ $version == "$3".* ]] ;;
	esac || { echo "wanted is version $3 (tools/servers.sh)" >&2; return 1; }
}

# on PROGRAMS ARGUMENT… runs tests on these servers.
on() {
	local programs=$1
	shift
	HOLDFAST_TEST_SERVER=$programs go test -race -count=1 -p 2 -parallel 4 -timeout "${TIMEOUT:-20m}" "$@" || failed=yes
}

# users are the packages whose tests start real servers.
users() {
	go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | sed -n '/internal\/\(redis\|engine\)test/s/ .*//p'
}

# skip STATUS goes on without a server that is not to be had.
skip() {
	[ "$1" = 77 ] || exit "$1"
	skipped=yes
}

# The promises, and the waiting; and what the machine's redis has not, so that no other test of make test sees it.
short() {
	local program
	program=$("$PWD/tools/servers.sh" program valkey-9.1) || { skip $?; return; }
	on "$program" -run '^TestPromises$' .
	on "$program" -run '^TestWait|^TestNothingStaysOfWaiters|^TestNothingIsLeftOfTenThousandWaiters' ./engine
	on "$program" -run '^TestClusterDatabases$|^TestSlotsThatMigrateAtOnce$' ./instance ./doctor
}

all() {
	local name program mixed packages
	mixed=$(command -v redis-server)
	check "the machine's redis" "$mixed" 7.0+
	mapfile -t packages < <(users)
	on "$mixed" "${packages[@]}"
	for name in redis-8.0 redis-8.6 valkey-8.1 valkey-9.1; do
		program=$("$PWD/tools/servers.sh" program $name) || { skip $?; continue; }
		on "$program" "${packages[@]}"
		[ $name = redis-8.0 ] || [ $name = valkey-8.1 ] || mixed+=:$program
	done
	echo "== a mixed quorum: $mixed" >&2
	on "$mixed" "${packages[@]}"
}

failed='' skipped=''
case "${1:-} $#" in
"all 1" | "short 1") "$1" ;;
"program 2") fetch "$2" ;;
*)
	sed -n '/^#   /s/^#   //p' "$0" >&2
	exit 2
	;;
esac
[ -z "$failed" ] || { echo "some tests failed: see above, by server" >&2; exit 1; }
[ -z "$skipped" ] || echo "not all servers were there: see above (SERVERS=required makes that a failure)" >&2
