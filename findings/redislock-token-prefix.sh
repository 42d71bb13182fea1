#!/usr/bin/env bash
# A redislock token that begins another's token takes that one's lock.
#
# Expected: Options.Token is unique and identifies the lock; Obtain with any other token than the holder's returns ErrNotObtained
# (redislock's documentation).
# What happens: worker-10 holds the lock. worker-2 is refused. worker-1 gets it at once, and worker-10 is told nothing. The script
# that obtains compares only as much of the stored value as the new token is long, because metadata may follow it.
# Seen with: bsm/redislock 0.9.4, go-redis 9.23.0, Redis 7.0.15.
# Who cares: anybody who gives tokens of his own, such as host names, pod names or numbers. Give all the same length, or end
# each with a character that none contains.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)
server "$port"
program obtain github.com/bsm/redislock@v0.9.4 github.com/redis/go-redis/v9@v9.23.0 <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
)

func main() {
	ctx := context.Background()
	locks := redislock.New(redis.NewClient(&redis.Options{Addr: os.Args[1]}))
	obtain := func(token string) (*redislock.Lock, error) {
		lock, err := locks.Obtain(ctx, "job", time.Minute, &redislock.Options{Token: token})
		fmt.Printf("%s obtains: %v\n", token, err)
		return lock, err
	}
	tenth, err := obtain("worker-10")
	if err != nil {
		panic(err)
	}
	_, second := obtain("worker-2")
	_, first := obtain("worker-1")
	left, err := tenth.TTL(ctx)
	fmt.Printf("worker-10's lock has %v left, %v\n", left, err)
	if !errors.Is(second, redislock.ErrNotObtained) || first != nil || left != 0 {
		os.Exit(1)
	}
}
GO
redis-server --version
"$work/obtain/program" "127.0.0.1:$port" || fail "worker-1 did not get worker-10's lock"
