#!/usr/bin/env bash
# A rueidislock holder that is cut off is told half a validity after somebody else has its lock.
#
# Expected: the context that WithContext returns is cancelled at once when the majority of the keys is not held any more, also when Redis is
# down (rueidislock's README). Keys are valid for 5 s by default, and extended every 2.5 s.
# What happens: an extension that gets no answer waits until the end of the validity that it asked for. It is sent at 2.5 s and given up at
# 7.5 s, while the keys on the server expire at 5 s. For 2.5 s two contexts are alive.
# Seen with: rueidis 1.0.79, Redis 7.0.15, all options at their defaults.
# Who cares: anybody who trusts the context to be done before somebody else holds the lock. A cable, a firewall or a frozen proxy is enough;
# no clock is wrong here. Watch a deadline of your own: the last acquire or extension that was confirmed, plus KeyValidity.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)
server "$port"
program partition github.com/redis/rueidis@v1.0.79 <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

var cut atomic.Bool

// forward copies until the network is cut; then it swallows, and closes nothing.
func forward(to, from net.Conn) {
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if !cut.Load() {
			to.Write(b[:n])
		}
	}
}

func network(server string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		for {
			client, err := l.Accept()
			check(err)
			backend, err := net.Dial("tcp", server)
			check(err)
			go forward(backend, client)
			go forward(client, backend)
		}
	}()
	return l.Addr().String()
}

func locker(address string) rueidislock.Locker {
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption: rueidis.ClientOption{InitAddress: []string{address}},
	})
	check(err)
	return l
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	first, second := locker(network(os.Args[1])), locker(os.Args[1])
	held, _, err := first.WithContext(ctx, "job")
	check(err)
	time.Sleep(time.Second)
	cut.Store(true)
	_, _, err = second.WithContext(ctx, "job")
	check(err)
	granted := time.Now()
	fmt.Println("the second holds it; the first's context:", held.Err())
	<-held.Done()
	both := time.Since(granted)
	fmt.Println("the first was told after", both.Round(10*time.Millisecond))
	if both < 1500*time.Millisecond || both > 4*time.Second {
		os.Exit(1)
	}
}
GO
redis-server --version
"$work/partition/program" "127.0.0.1:$port" || fail "two holders for another time than 2.5 s, or not at all"
