#!/usr/bin/env bash
# After the command FAILOVER, which hands a master over without losing a write, the sentinels send everybody to the old one for a minute.
#
# Expected: FAILOVER is the coordinated way to change master and replica: it pauses writes, waits for the replica, and swaps the two (Redis's
# documentation). Sentinels ask both for their roles at least every 10 s, and tell clients of the new master.
# What happens: the swap takes a moment. The sentinels see the two roles and do nothing, as if a master that says that it is a replica would come
# to its senses; only after down-after-milliseconds (30 s) and two more rounds of INFO do they take it for down, and elect the one that
# has long been master. Until then they name the old one, where every write is refused with READONLY: no lock is granted, renewed or released.
# And for twice the failover-timeout, 6 minutes, they do not begin another failover.
# Seen with: Redis 7.0.15, sentinels with all defaults: 49 to 60 s.
# Who cares: operators who have learned that SENTINEL FAILOVER loses writes (see sentinel-planned-failover.sh) and take FAILOVER in its place: every lease
# shorter than a minute ends. A down-after-milliseconds of 5 s makes it half a minute.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
old=$(port)
server "$old" --repl-diskless-sync-delay 0
new=$(port)
server "$new" --replicaof 127.0.0.1 "$old"
sentinels=()
for i in 1 2 3; do
	sentinel=$(port)
	printf '%s\n' "port $sentinel" "bind 127.0.0.1" "sentinel monitor leader 127.0.0.1 $old 2" >"$work/sentinel-$i.conf"
	redis-server "$work/sentinel-$i.conf" --sentinel >"$work/sentinel-$i.log" &
	pids+=("$!")
	disown
	reachable "$sentinel"
	sentinels+=("$sentinel")
done
ask() { redis-cli -p "${sentinels[0]}" sentinel "$@"; }
until [ "$(ask ckquorum leader 2>&1 | cut -c1-4)" = "OK 3" ] && ask replicas leader | grep -q "^$new$"; do
	sleep 0.5
done
master() { ask get-master-addr-by-name leader | tail -1; }

redis-server --version
redis-cli -p "$old" set lock me px 20000 >/dev/null
echo "FAILOVER at the old master: $(redis-cli -p "$old" failover)"
start=$SECONDS
until [ "$(redis-cli -p "$new" role | head -1)" = master ]; do sleep 0.1; done
swapped=$((SECONDS - start))
echo "the replica is master after $swapped s, and has the lock of: $(redis-cli -p "$new" get lock)"
renewal=$(redis-cli -p "$(master)" pexpire lock 20000 2>&1 | cut -d' ' -f1)
echo "a renewal at the master that the sentinels name: $renewal"
while [ "$(master)" = "$old" ] && [ $((SECONDS - start)) -lt 180 ]; do sleep 0.5; done
named=$((SECONDS - start))
echo "the sentinels name the new master after $named s, and there the lock is held by: [$(redis-cli -p "$new" get lock)]"
[[ $swapped -lt 10 && $renewal == READONLY && $named -gt 40 && $named -lt 180 ]] || fail "the sentinels follow at once, or not at all"
