#!/usr/bin/env bash
# FLUSHDB of an empty database that has no locks tells everybody who watches a lock in another one to forget it, and ends the watch.
#
# Expected: CLIENT TRACKING tells of keys that were read and have changed; keys in other databases are other keys. A null in place of names says
# that all keys are gone, after FLUSHALL or FLUSHDB (Redis's documentation of client-side caching).
# What happens: FLUSHDB sends that null to all connections with tracking, whatever database they have read. The lock is still there, and
# is not tracked any more: its release afterwards is told to nobody who has not read it again.
# Seen with: Redis 7.0.15. The same on Redis 8.0.6 and Valkey 9.1.2.
# Who cares: waiters that are woken by invalidations (rueidislock, Holdfast), and client-side caches: a test or a cron job that flushes "its own" database
# makes all of them ask at once. A client that takes the null for "free", or does not read again, has a wrong picture.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)
server "$port"
redis-cli -p "$port" set lock me px 60000 >/dev/null
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'HELLO 3\r\nCLIENT TRACKING ON\r\nGET lock\r\nPING\r\n' >&3
while read -r -t 5 line <&3 && [ "$line" != $'+PONG\r' ]; do :; done

# told prints what the connection is told within a second, in one line.
told() {
	local line all=
	while read -r -t 1 line <&3; do
		all+=${line%$'\r'}' '
	done
	echo "$all"
}

redis-server --version
redis-cli -p "$port" -n 5 flushdb >/dev/null
flushed=$(told)
held=$(redis-cli -p "$port" get lock)
redis-cli -p "$port" del lock >/dev/null
released=$(told)
echo "FLUSHDB of database 5, which is empty: $flushed"
echo "the lock in database 0 is held by: $held; its release: ${released:-nothing is told}"
[[ $flushed == *"invalidate _ " && $held/$released == me/ ]] || fail "only those concerned are told"
