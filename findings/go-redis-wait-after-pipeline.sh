#!/usr/bin/env bash
# go-redis 9.23: WAIT after a pipeline answers at once, and for nothing.
#
# Expected: WAIT answers how many replicas have acknowledged what was written before, and waits until as many as asked for have
# (Redis's documentation). One goroutine calls rdb.Pipelined(SET NX), then rdb.Wait: with one pool, as go-redis had up to 9.22, both go out on the
# connection that was used last.
# What happens: WAIT counts the writes of its own connection. Since 9.23 pipelines have a pool of their own, so that Wait always goes
# out on another connection than the pipeline did: it answers "1 replica" in less than a millisecond while the only replica is
# stopped. With PipelinePoolSize: -1 it answers 0 after the timeout, as it should.
# Seen with: go-redis 9.23.0, Redis 7.0.15.
# Who cares: anybody who asks for a replica's confirmation before he believes in a lock: a failover then loses what "1" had confirmed. Queue the
# WAIT in the pipeline itself, by Do: Pipeliner has no Wait.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)
server "$port"
second=$(port)
server "$second" --replicaof 127.0.0.1 "$port"
program wait github.com/redis/go-redis/v9@v9.23.0 <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx := context.Background()
	replica, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	confirmed := func(pipelines int) (int64, time.Duration) {
		rdb := redis.NewClient(&redis.Options{Addr: os.Args[1], PipelinePoolSize: pipelines, ReadTimeout: 10 * time.Second})
		defer rdb.Close()
		for rdb.Wait(ctx, 1, 0).Val() != 1 { // The replica is there, and the client has a connection.
			time.Sleep(50 * time.Millisecond)
		}
		syscall.Kill(replica, syscall.SIGSTOP)
		defer syscall.Kill(replica, syscall.SIGCONT)
		time.Sleep(200 * time.Millisecond)
		if _, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.SetNX(ctx, "lock:"+strconv.Itoa(pipelines), "me", time.Minute)
			return nil
		}); err != nil {
			panic(err)
		}
		start := time.Now()
		n, err := rdb.Wait(ctx, 1, time.Second).Result()
		took := time.Since(start)
		fmt.Printf("PipelinePoolSize %2d: WAIT 1 1000 answers %d, %v, after %v\n", pipelines, n, err, took.Round(time.Microsecond))
		return n, took
	}
	one, soon := confirmed(0)
	none, late := confirmed(-1)
	if one != 1 || soon > 500*time.Millisecond || none != 0 || late < time.Second {
		os.Exit(1)
	}
}
GO
redis-server --version
"$work/wait/program" "127.0.0.1:$port" "$server" || fail "WAIT told the truth, or something else"
