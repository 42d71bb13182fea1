#!/usr/bin/env bash
# A planned SENTINEL FAILOVER, with everything healthy, has two masters that both take writes for about ten seconds.
#
# Expected: SENTINEL FAILOVER forces a failover without asking the other sentinels (Redis's documentation); master, replica and sentinels are
# up and see each other, so the old master becomes a replica as the new one is promoted.
# What happens: the new one takes writes before any client is told of it, and the old one goes on until the sentinels reconfigure it, some 10 s
# after they have announced the switch. Nobody tells it to pause. Who is connected to it still gets locks there, and all of them are forgotten.
# Seen with: Redis 7.0.15.
# Who cares: operators who do maintenance by it and think that only crashes lose locks. With min-replicas-to-write 1 on both no lock is granted
# twice, but none is granted or renewed for some 15 s: neither has a replica meanwhile. Stop those who lock first, or use fencing tokens.
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

now() { date +%s%3N; }
redis-server --version
ask failover leader >/dev/null
start=$(now)
both=0 said=0 first='' last=''
while [ $(($(now) - start)) -lt 25000 ]; do
	key=lock:$(now)
	if [ "$(redis-cli -p "$new" set "$key" second nx px 60000 2>&1)" = OK ]; then
		if [ "$(redis-cli -p "$old" set "$key" first nx px 60000 2>&1)" = OK ]; then
			both=$((both + 1))
			first=${first:-$(($(now) - start))} last=$(($(now) - start))
		elif [ "$both" -gt 0 ]; then
			break
		fi
	fi
	if [ "$said" = 0 ] && [ "$(ask get-master-addr-by-name leader | tail -1)" = "$new" ]; then
		said=$(($(now) - start))
	fi
	sleep 0.05
done
echo "the switch is announced after $said ms; from $first to $last ms both masters granted the same lock, $both times"
[[ $both -gt 10 && $((last - first)) -gt 5000 ]] || fail "the old master stopped in time"
