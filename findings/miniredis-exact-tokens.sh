#!/usr/bin/env bash
# Two fencing tokens that a test on miniredis tells apart are the same on Redis.
#
# Expected: numbers in scripts are doubles, exact up to 2^53; microseconds since 1970, 1.8e15, fit. A test with miniredis, which runs Lua as well,
# shows that a script orders them.
# What happens: the numbers are exact, but Redis's Lua writes a number as text with 14 digits, and so does "..": 1790000000123456 becomes
# 1.7900000001235e+15, and a hundred microseconds are one token. miniredis's Lua is another one and writes all digits. As an argument
# of redis.call the number is written with 17 digits, so that what is stored looks right, too.
# Seen with: miniredis 2.40.0; Redis 7.0.15. The same on Redis 8.0.6 and Valkey 9.1.2.
# Who cares: anybody who makes tokens, deadlines or member names from numbers within a script, and tests without a server. Keep numbers as
# the strings in which they came (ARGV), or write string.format('%.0f', n).
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)
server "$port"
program tokens github.com/alicebob/miniredis/v2@v2.40.0 github.com/redis/go-redis/v9@v9.23.0 <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// issue makes a token of the server's seconds and microseconds, as TIME gives them.
const issue = `
local now = tonumber(ARGV[1]) * 1000000 + tonumber(ARGV[2])
redis.call('SET', KEYS[1], now)
return {'token:' .. now, redis.call('GET', KEYS[1]), string.format('%.0f', now)}`

func main() {
	ctx := context.Background()
	mini, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	same := func(name, address string) bool {
		rdb := redis.NewClient(&redis.Options{Addr: address})
		defer rdb.Close()
		var tokens []any
		for _, microsecond := range []int{123456, 123499} {
			answer, err := rdb.Eval(ctx, issue, []string{"last"}, 1790000000, microsecond).Slice()
			if err != nil {
				panic(err)
			}
			fmt.Printf("%-9s %v; stored %v, formatted %v\n", name, answer[0], answer[1], answer[2])
			tokens = append(tokens, answer[0])
		}
		return tokens[0] == tokens[1]
	}
	onMini, onRedis := same("miniredis", mini.Addr()), same("redis", os.Args[1])
	if onMini || !onRedis {
		os.Exit(1)
	}
}
GO
redis-server --version
"$work/tokens/program" "127.0.0.1:$port" || fail "the two agree"
