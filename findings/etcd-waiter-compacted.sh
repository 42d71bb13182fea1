#!/usr/bin/env bash
# Somebody who waits in etcd's Mutex.Lock is thrown out when other keys were written, the history compacted, and the connection lost.
#
# Expected: Lock waits until it has the lock, its context ends, or its session does (documentation of package concurrency). Clients of etcd
# reconnect by themselves.
# What happens: it waits by a watch, from the revision at which it began to wait. When the connection is lost, the client watches again from that
# revision. If the history up to there was compacted meanwhile, because of writes to keys that have nothing to do with the lock, Lock ends
# with "required revision has been compacted", and the place in the queue is lost. Session and key were alive all the time.
# Seen with: etcd client and server 3.7.3.
# Who cares: anybody who waits for longer than the interval of compactions (5 minutes where Kubernetes does it) and takes any error of Lock as fatal: a
# restart of a member ends all long waits at once. Call Lock again on rpctypes.ErrCompacted.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

etcd
program wait go.etcd.io/etcd/client/v3@v3.7.3 <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
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

func mutex() (*clientv3.Client, *concurrency.Mutex) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Args[2]}, Logger: zap.NewNop()})
	check(err)
	session, err := concurrency.NewSession(client)
	check(err)
	return client, concurrency.NewMutex(session, "/job")
}

func main() {
	ctx := context.Background()
	server := start()
	client, holder := mutex()
	check(holder.Lock(ctx))
	_, waiter := mutex()
	done := make(chan error, 1)
	go func() { done <- waiter.Lock(ctx) }()
	time.Sleep(time.Second)
	select {
	case err := <-done:
		panic(fmt.Sprint("nobody waits: ", err))
	default:
	}

	var revision int64
	for i := range 10 {
		put, err := client.Put(ctx, "/something/else", fmt.Sprint(i))
		check(err)
		revision = put.Header.Revision
	}
	_, err := client.Compact(ctx, revision)
	check(err)
	server.Process.Kill()
	server.Wait()
	server = start()

	select {
	case err = <-done:
	case <-time.After(30 * time.Second):
	}
	keys, got := client.Get(ctx, holder.Key())
	check(got)
	fmt.Printf("the holder's key is still there: %v; the waiter's Lock: %v\n", keys.Count == 1, err)
	server.Process.Kill()
	if keys.Count != 1 || !errors.Is(err, rpctypes.ErrCompacted) {
		os.Exit(1)
	}
}
GO
"$work/wait/program" "$work/data" "127.0.0.1:$(port)" "127.0.0.1:$(port)" || fail "the waiter waits on"
