#!/usr/bin/env bash
# A replica whose clock is ahead by more than a lock's TTL has never had the lock: when it is promoted, all are free.
#
# Expected: SET … PX 20000 gives a lock 20 s, whatever the clocks of other machines show: the TTL is relative, and only the master counts it.
# What happens: replicas and append-only files get the time of expiry in place of the TTL, by the master's clock, and judge it by their own. On a replica that is
# 30 s ahead the key does not exist from the first moment; nothing in its INFO shows that anything is wrong; it is as good a candidate for a promotion
# as any. Where its clock is behind, locks live so much longer.
# Seen with: Redis 7.0.15 (gcc makes the clock).
# Who cares: anybody who runs locks on a master with replicas: the clocks of master and replicas must agree to within a fraction of the shortest TTL. Compare
# TIME on all of them; INFO's lag and offsets say nothing about it.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
command -v gcc >/dev/null || fail "gcc is needed"
cat >"$work/ahead.c" <<'C'
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *t) {
	int r = syscall(SYS_clock_gettime, clock, t);
	if (clock == CLOCK_REALTIME) t->tv_sec += 30;
	return r;
}

int gettimeofday(struct timeval *t, void *zone) {
	struct timespec now;
	int r = clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return r;
}

time_t time(time_t *t) {
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (t) *t = now.tv_sec;
	return now.tv_sec;
}
C
gcc -shared -fPIC -o "$work/ahead.so" "$work/ahead.c"

master=$(port)
server "$master" --repl-diskless-sync-delay 0
replica=$(port)
LD_PRELOAD=$work/ahead.so server "$replica" --replicaof 127.0.0.1 "$master"
until redis-cli -p "$replica" info replication | grep -q master_link_status:up; do
	sleep 0.1
done

redis-server --version
redis-cli -p "$master" set lock first px 20000 nx >/dev/null
acknowledged=$(redis-cli -p "$master" wait 1 5000)
held=$(redis-cli -p "$replica" exists lock)
redis-cli -p "$replica" replicaof no one >/dev/null
granted=$(redis-cli -p "$replica" set lock second px 20000 nx)
left=$(redis-cli -p "$master" pttl lock)
echo "the master granted it; replicas that have acknowledged it: $acknowledged; it exists on the replica: $held"
echo "the replica is promoted; another asks there at once: $granted; the first still has $left ms"
[[ "$acknowledged $held $granted" == "1 0 OK" && $left -gt 10000 ]] || fail "the replica kept the lock"
