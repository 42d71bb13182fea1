#!/usr/bin/env bash
# Every change of etcd's leader gives all leases their whole TTL again: a dead holder keeps its lock for as long as leaders change.
#
# Expected: a lease lives for its TTL after its last renewal (etcd's API); a lock whose holder has died is free a TTL later.
# What happens: the time that a lease has left is kept by the leader alone. A new leader, or a restarted one, begins with the whole TTL. With a
# restart every 4 s a lease of 5 s that nobody renews is there after 20 s and more. The feature gate LeaseCheckpoint would write the time that is left
# down, every 5 minutes unless configured; it is off.
# Seen with: etcd 3.7.3, one member, its feature gates at their defaults.
# Who cares: anybody who counts on a bound for the fail-over of a leader or a lock: in a rolling upgrade, or a cluster that flaps under a slow disk, the dead
# one's lease is given life again and again. Revoke leases of those that are known to be dead.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

etcd
program orphan go.etcd.io/etcd/client/v3@v3.7.3 <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func start() *exec.Cmd {
	server := exec.Command("etcd", os.Args[1], os.Args[2], os.Args[3])
	server.Stdout = os.Stdout
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(server.Start())
	return server
}

func main() {
	ctx := context.Background()
	server := start()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Args[2]}, Logger: zap.NewNop()})
	check(err)
	session, err := concurrency.NewSession(client, concurrency.WithTTL(5))
	check(err)
	check(concurrency.NewMutex(session, "/job").Lock(ctx))
	session.Orphan() // What a holder that is killed does: it renews no more.
	dead := time.Now()
	there := int64(1)
	for there > 0 && time.Since(dead) < 20*time.Second {
		time.Sleep(4 * time.Second)
		server.Process.Kill()
		server.Wait()
		server = start()
		left, err := client.TimeToLive(ctx, session.Lease())
		check(err)
		keys, err := client.Get(ctx, "/job", clientv3.WithPrefix())
		check(err)
		there = keys.Count
		fmt.Printf("%v after the holder's death: %d s left, the lock is there: %v\n", time.Since(dead).Round(time.Second), left.TTL, there > 0)
	}
	server.Process.Kill()
	if there == 0 {
		os.Exit(1)
	}
}
GO
"$work/orphan/program" "$work/data" "127.0.0.1:$(port)" "127.0.0.1:$(port)" || fail "the lease ended"
