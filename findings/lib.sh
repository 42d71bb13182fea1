# shellcheck shell=bash
# What the findings have in common: a folder and processes that do not outlive the script, and public packages.
# Packages of Debian are unpacked, not installed: no service is started, nothing of the machine is changed.

work=$(mktemp -d)
cache=/var/tmp/holdfast-findings-$(id -u) # Where nobody, as whom PostgreSQL runs, can read it.
mkdir -p "$cache" "$work/bin"
PATH=$work/bin:$PATH
pids=()

finish() {
	local pid
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap finish EXIT

fail() {
	echo "NOT AS STATED: $*" >&2
	exit 1
}

[ -O "$cache" ] || fail "$cache belongs to somebody else"

# port prints a loopback port that nobody listens on.
port() {
	local n
	while :; do
		n=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$n") 2>/dev/null || break
	done
	echo "$n"
}

# reachable PORT waits until somebody listens there.
reachable() {
	local tries=0
	while [ $((tries += 1)) -le 100 ]; do
		(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
		sleep 0.1
	done
	fail "nobody listens on $1"
}

# unpack NAME PACKAGE… unpacks packages of the machine's own Debian, with what they depend on and the machine
# has not, and prints the folder.
unpack() {
	local name=$1 tree=$cache/$1
	shift
	if [ ! -e "$tree/complete" ]; then
		rm -rf "$tree"
		mkdir -p "$tree/debs/partial"
		apt-get update -qq >/dev/null 2>&1 || true
		apt-get install -qq -y --no-install-recommends --reinstall --download-only \
			-o Dir::Cache::archives="$tree/debs/" "$@" >"$tree/log" 2>&1 || fail "apt-get: $(tail -1 "$tree/log")"
		local deb
		for deb in "$tree"/debs/*.deb; do
			dpkg -x "$deb" "$tree"
		done
		rm -rf "$tree/debs"
		touch "$tree/complete"
	fi
	echo "$tree"
}

# wrap TREE PROGRAM PATH puts a program of a tree into the script's PATH, with the libraries beside it.
wrap() {
	local libs
	libs=$(printf '%s:' "$1"/usr/lib/*-linux-gnu "$1"/lib/*-linux-gnu)
	# shellcheck disable=SC2016 # The wrapper's own arguments.
	printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libs" "$1/$3" >"$work/bin/$2"
	chmod +x "$work/bin/$2"
}

# redis makes redis-server, redis-sentinel and redis-cli available: the machine's own, or Debian's.
redis() {
	command -v redis-server >/dev/null && command -v redis-cli >/dev/null && return
	local tree
	tree=$(unpack redis redis-server redis-tools)
	wrap "$tree" redis-server usr/bin/redis-server
	wrap "$tree" redis-cli usr/bin/redis-cli
}

# suite NAME PACKAGE… prints the folder of a whole other Debian (trixie, sid, or experimental on top of sid), with packages.
# Needs root.
suite() {
	local name=$1 tree=$cache/$1 base=${1/experimental/sid} IFS=,
	shift
	if [ ! -e "$tree/complete" ]; then
		rm -rf "$tree"
		local mirror
		# shellcheck disable=SC2016 # apt's own names.
		mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -1)
		command -v debootstrap >/dev/null || apt-get install -qq -y --no-install-recommends debootstrap >/dev/null 2>&1
		debootstrap --variant=minbase --include="$*" "$base" "$tree" "$mirror" >"$work/debootstrap.log" 2>&1 ||
			fail "debootstrap: $(tail -1 "$work/debootstrap.log")"
		if [ "$name" != "$base" ]; then
			echo "deb $mirror $name main" >"$tree/etc/apt/sources.list.d/$name.list"
			printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d" # Starts nothing.
			chmod +x "$tree/usr/sbin/policy-rc.d"
			{ chroot "$tree" apt-get -o Acquire::Check-Valid-Until=false update &&
				chroot "$tree" apt-get install -qq -y --no-install-recommends -t "$name" "$@"; } \
				>"$work/apt.log" 2>&1 || fail "apt-get: $(tail -1 "$work/apt.log")"
		fi
		touch "$tree/complete"
	fi
	echo "$tree"
}

# server PORT [OPTION…] starts a redis-server that keeps nothing on disk; its process is $server.
server() {
	local at=$1
	shift
	redis-server --port "$at" --bind 127.0.0.1 --save '' --dir "$work" "$@" >"$work/server-$at.log" &
	server=$!
	pids+=("$server")
	disown
	reachable "$at"
}

# program NAME MODULE@VERSION… builds the Go program on standard input; it is $work/NAME/program.
program() {
	local dir=$work/$1 module
	shift
	mkdir -p "$dir"
	cat >"$dir/main.go"
	(
		cd "$dir"
		go mod init finding
		for module in "$@"; do
			go get "$module"
		done
		go mod tidy
		go build -o program .
	) >"$dir/log" 2>&1 || fail "$(tail -3 "$dir/log")"
}

# etcd builds $work/bin/etcd, which serves a folder's data on two ports until it is killed.
etcd() {
	local dir=$cache/etcd-3.7.3
	if [ ! -e "$dir/complete" ]; then
		program etcd go.etcd.io/etcd/server/v3@v3.7.3 <<-'GO'
			package main

			import (
				"fmt"
				"net/url"
				"os"

				"go.etcd.io/etcd/api/v3/version"
				"go.etcd.io/etcd/server/v3/embed"
			)

			func main() {
				cfg := embed.NewConfig()
				cfg.Dir, cfg.LogLevel = os.Args[1], "fatal"
				clients, peers := url.URL{Scheme: "http", Host: os.Args[2]}, url.URL{Scheme: "http", Host: os.Args[3]}
				cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{clients}, []url.URL{clients}
				cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peers}, []url.URL{peers}
				cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
				e, err := embed.StartEtcd(cfg)
				if err != nil {
					panic(err)
				}
				<-e.Server.ReadyNotify()
				fmt.Println("etcd", version.Version)
				select {}
			}
		GO
		mkdir -p "$dir"
		cp "$work/etcd/program" "$dir/etcd"
		touch "$dir/complete"
	fi
	ln -s "$dir/etcd" "$work/bin/etcd"
}

# postgres starts a PostgreSQL on the port $database, for sql.
postgres() {
	local programs
	programs=$(echo /usr/lib/postgresql/*/bin)
	if [ ! -e "$programs/initdb" ] || ! command -v psql >/dev/null; then
		local tree
		tree=$(unpack postgres postgresql postgresql-client)
		programs=$(echo "$tree"/usr/lib/postgresql/*/bin)
		LD_LIBRARY_PATH=$(printf '%s:' "$tree"/usr/lib/*-linux-gnu)
		PATH=$programs:$PATH
		export LD_LIBRARY_PATH
	fi
	database=$(port)
	chmod 755 "$work"
	mkdir "$work/postgres"
	local as=()
	if [ "$(id -u)" = 0 ]; then # It refuses root.
		chown nobody "$work/postgres"
		as=(setpriv --reuid=nobody --clear-groups)
	fi
	"${as[@]}" "$programs/initdb" -D "$work/postgres/data" -A trust -N -U postgres >"$work/initdb.log" 2>&1 || fail "$(tail -1 "$work/initdb.log")"
	"${as[@]}" "$programs/postgres" -D "$work/postgres/data" -F -p "$database" -k "$work/postgres" -c listen_addresses=127.0.0.1 \
		>"$work/postgres.log" 2>&1 &
	pids+=("$!")
	disown
	reachable "$database"
	until sql -c "SELECT" 2>/dev/null; do
		sleep 0.1
	done
}

# sql runs each -c, in one session.
sql() {
	psql -qAtX -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$database" -U postgres postgres "$@"
}
