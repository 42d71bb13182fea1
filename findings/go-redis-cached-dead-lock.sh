#!/usr/bin/env bash
# go-redis's client-side cache shows a lock of one second for half a minute and longer after it has expired.
#
# Expected: clients that may have a key in their caches are told when it expires (Redis's documentation of client-side caching); from then on
# it is stale for about DrainInterval, 5 ms (go-redis's documentation).
# What happens: the server tells of an expiry when it removes the key, not when its time is up. It finds dead keys by sampling, and when
# nearly all keys with a TTL are alive (200,000 here, with an hour each) it hardly ever finds this one. A question to the server would make it look; a question to
# the cache never does. So the lock of 1 s is read as held for as long as it is polled through the cache. One GET past the cache ends it.
# Seen with: go-redis 9.23.0; Redis 7.0.15, 8.0.6, Valkey 8.1.1, 9.1.2: more than 40 s on each.
# Who cares: dashboards, admission checks and waiters that read a lock through a cache, beside a cache or sessions with TTLs. Set
# CacheConfig.MaxStaleness below the TTL, or read locks with PTTL, which is not cached.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)
server "$port"
program cached github.com/redis/go-redis/v9@v9.23.0 <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx := context.Background()
	direct := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	for i := range 20 { // The sessions of a web application.
		if _, err := direct.Pipelined(ctx, func(p redis.Pipeliner) error {
			for j := range 10_000 {
				p.Set(ctx, fmt.Sprint("session:", i*10_000+j), "x", time.Hour)
			}
			return nil
		}); err != nil {
			panic(err)
		}
	}
	cached := redis.NewClient(&redis.Options{Addr: os.Args[1], Protocol: 3, ClientSideCacheConfig: &redis.CacheConfig{}})
	direct.Set(ctx, "lock", "me", time.Second)
	start := time.Now()
	const bound = 30 * time.Second
	var err error
	for err == nil && time.Since(start) < bound {
		_, err = cached.Get(ctx, "lock").Result()
		time.Sleep(10 * time.Millisecond)
	}
	shown := time.Since(start).Round(time.Second)
	fmt.Println("a lock with a TTL of 1 s, read through the cache, is there for", shown, "and more:", err == nil)
	gone := direct.Get(ctx, "lock").Err()
	fmt.Println("the server says:", gone)
	for range 100 {
		if err = cached.Get(ctx, "lock").Err(); err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("and now so does the cache:", err)
	if shown < 10*time.Second || !errors.Is(gone, redis.Nil) || !errors.Is(err, redis.Nil) {
		os.Exit(1)
	}
}
GO
redis-server --version
"$work/cached/program" "127.0.0.1:$port" || fail "the cache forgot the lock in time"
