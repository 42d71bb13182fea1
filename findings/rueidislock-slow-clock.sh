#!/usr/bin/env bash
# SET NX PXAT with a time that the server thinks past says OK, and sets nothing: rueidislock grants a lock to everybody whose clock is behind.
#
# Expected: OK of SET with NX means that the key was set, and null that it was not (Redis's documentation of SET). Who is too late for
# a lock is told so.
# What happens: the answer is OK, the key does not exist, and the next one is told OK, too. rueidislock sends the time until which a lock is to be valid,
# 5 s from now, by its own clock. Where the server's clock is 10 s ahead, ten of ten who try get the lock, one after the other, without an error and with a
# context that is alive. With FallbackSETPX one of ten gets it, and loses it at the first extension, which sends a time again.
# Seen with: rueidis 1.0.79, Redis 7.0.15 (gcc makes the clock). SET the same on Redis 8.0.2 and Valkey 9.1.2.
# Who cares: anybody who locks by PXAT or EXAT: clocks that differ by more than the validity do not make locks shorter, they switch them off, and the
# answers look like success. Send a TTL, by PX, and compare TIME with your own clock.
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
	if (clock == CLOCK_REALTIME) t->tv_sec += 10;
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
port=$(port)
LD_PRELOAD=$work/ahead.so server "$port"
program slow github.com/redis/rueidis@v1.0.79 <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// granted asks for one lock by ten clients, and counts those who are told that they have it. None gives it back. The context is the last one's of them.
func granted(name string, setpx bool) (n int, last context.Context) {
	for range 10 {
		l, err := rueidislock.NewLocker(rueidislock.LockerOption{
			ClientOption:  rueidis.ClientOption{InitAddress: []string{os.Args[1]}},
			FallbackSETPX: setpx,
		})
		if err != nil {
			panic(err)
		}
		ctx, _, err := l.TryWithContext(context.Background(), name)
		if err == nil && ctx.Err() == nil {
			n++
			last = ctx
		}
	}
	return n, last
}

func main() {
	pxat, _ := granted("job", false)
	px, only := granted("other", true)
	fmt.Println("of ten who try, get the lock:", pxat, "- with FallbackSETPX:", px)
	if pxat != 10 || px != 1 {
		os.Exit(1)
	}
	start := time.Now()
	select {
	case <-only.Done():
		fmt.Println("and that one loses it after", time.Since(start).Round(time.Second))
	case <-time.After(20 * time.Second):
		fmt.Println("and that one keeps it")
		os.Exit(1)
	}
}
GO
redis-server --version
past=$(($(date +%s%3N) + 5000)) # 5 s from now, for the client.
answers=$(redis-cli -p "$port" set lock first nx pxat "$past")/$(redis-cli -p "$port" set lock second nx pxat "$past")
echo "SET NX PXAT of the first and the second: $answers; the key exists: $(redis-cli -p "$port" exists lock)"
"$work/slow/program" "127.0.0.1:$port" || fail "not everybody gets the lock"
[ "$answers" = OK/OK ] || fail "the answer says that nothing was set"
