#!/usr/bin/env bash
# go-redis reads every lock of a cluster with cluster-preferred-endpoint-type unknown-endpoint as "no such key".
#
# Expected: with that setting the map of slots has no hosts (null), and clients use the host that they asked, as a cluster behind a load balancer needs it
# (Redis's documentation of CLUSTER SLOTS, since 7.0). A client that cannot do it says so.
# What happens: the null ends the reading of the map as redis.Nil, and the cluster client hands that on as the error of every command. Get says redis.Nil, the error
# that means "there is no such key", of a key that exists; so does SetNX, and sets nothing. The command is never sent.
# Seen with: go-redis 9.23.0, Redis 7.0.15, a cluster of one node.
# Who cares: anybody who asks by GET whether a lock is held, and starts the job when it is not: a setting of the servers makes all locks look free.
# Send a PING at the start: redis.Nil can only be this there. Then set another endpoint type on the servers.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
node=$(port)
server "$node" --cluster-enabled yes --cluster-port "$(port)" --cluster-preferred-endpoint-type unknown-endpoint
redis-cli -p "$node" cluster addslotsrange 0 16383 >/dev/null
until redis-cli -p "$node" cluster info | grep -q cluster_state:ok; do
	sleep 0.1
done
program cluster github.com/redis/go-redis/v9@v9.23.0 <<'GO'
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
	node := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{os.Args[1]}})
	if err := node.Set(ctx, "lock", "first", time.Minute).Err(); err != nil {
		panic(err)
	}
	direct, err := node.Get(ctx, "lock").Result()
	fmt.Println("the node says:          ", direct, err)
	_, get := cluster.Get(ctx, "lock").Result()
	fmt.Println("the cluster client says:", get, "- is it redis.Nil:", errors.Is(get, redis.Nil))
	_, set := cluster.SetNX(ctx, "other", "second", time.Minute).Result()
	fmt.Println("SetNX of another key:   ", set, "- keys now:", node.DBSize(ctx).Val())
	ping := cluster.Ping(ctx).Err()
	fmt.Println("PING:                   ", ping)
	if direct != "first" || !errors.Is(get, redis.Nil) || set == nil || ping == nil || node.DBSize(ctx).Val() != 1 {
		os.Exit(1)
	}
}
GO
redis-server --version
"$work/cluster/program" "127.0.0.1:$node" || fail "it works, or says what is wrong"
