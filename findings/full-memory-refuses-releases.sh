#!/usr/bin/env bash
# When memory is full, a release or a renewal that is a function, or a script that begins with #!lua, is refused; the same script
# without that line works, and so do DEL and PEXPIRE. On Valkey a renewal by SET IFEQ is refused, too.
#
# Expected: commands that need no memory, such as DEL and PEXPIRE, go on when maxmemory is reached (Redis's documentation of noeviction: writes
# that add data fail).
# What happens: a script with declared flags, and every function is one, is refused before it begins, unless it says allow-oom. Its only commands
# are GET, DEL and PEXPIRE. So with full memory all leases of a library that has moved from EVAL to functions are lost at their next
# renewal, and none of their keys can be given back, which would free memory.
# Seen with: Redis 7.0.15; Valkey 8.1.1 (SET IFEQ; needs root, for debootstrap).
# Who cares: authors of lock scripts, and anybody who ports them to functions. Write flags={'allow-oom'} for what only deletes or renews.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)

answers() {
	cli() { redis-cli -p "$port" "$@" 2>&1 | cut -d. -f1; }
	redis-cli -p "$port" info server | grep -E '^(redis|valkey)_version' | tail -1
	cli set lock me px 60000 >/dev/null
	cli function load "#!lua name=locks
		redis.register_function('release', function(keys, args)
			if redis.call('get', keys[1]) == args[1] then return redis.call('del', keys[1]) end
			return 0
		end)
		redis.register_function{function_name='release_allowed', flags={'allow-oom'}, callback=function(keys, args)
			if redis.call('get', keys[1]) == args[1] then return redis.call('del', keys[1]) end
			return 0
		end}" >/dev/null
	renew="if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], 60000) end return 0"
	cli config set maxmemory 1 >/dev/null
	plain=$(cli eval "$renew" 1 lock me)
	declared=$(cli eval "#!lua
		$renew" 1 lock me)
	ifeq=$(cli set lock me ifeq me px 60000)
	function=$(cli fcall release 1 lock me)
	allowed=$(cli fcall release_allowed 1 lock me)
	printf '%s\n' "renew by EVAL:                 $plain" "the same after a line #!lua:   $declared" \
		"by SET IFEQ PX:                $ifeq" "release by a function:         $function" "… that has allow-oom:          $allowed"
	[ "$plain $allowed" = "1 1" ] || fail "a plain script is refused"
	[[ $declared == OOM* && $function == OOM* ]] || fail "a function may delete"
}

server "$port"
answers
if [ "$(id -u)" = 0 ]; then
	kill -KILL "$server"
	port=$(port)
	tree=$(suite trixie redis-server valkey-server redis-sentinel redis-tools valkey-tools)
	loader=$(echo "$tree"/lib64/ld-linux-*)
	"$loader" --library-path "$(echo "$tree"/usr/lib/*-linux-gnu)" "$tree/usr/bin/valkey-server" \
		--port "$port" --bind 127.0.0.1 --save '' --dir "$work" >"$work/valkey.log" &
	pids+=("$!")
	disown
	reachable "$port"
	answers
	[[ $ifeq == OOM* ]] || fail "SET IFEQ renews"
fi
