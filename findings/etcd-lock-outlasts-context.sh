#!/usr/bin/env bash
# etcd's Mutex.Lock does not come back when its context ends, as long as the server hangs.
#
# Expected: the context given to Lock can cancel it; it then tries to clean up, and returns (documentation of package concurrency).
# What happens: a caller waits for a lock, and its context ends while the server is silent: it cleans up with the context of the *client*, which has no end. A
# deadline of 2 s is still not heeded after 20 s. It comes back when the server does.
# Seen with: etcd client and server 3.7.3.
# Who cares: anybody who gives Lock the deadline of a request or of a shutdown: every waiting goroutine, and what it holds, stays while etcd hangs. Call
# Lock in a goroutine of its own and select on the context.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

etcd
program lock go.etcd.io/etcd/client/v3@v3.7.3 <<'GO'
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

func mutex() *concurrency.Mutex {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Args[2]}, Logger: zap.NewNop()})
	check(err)
	session, err := concurrency.NewSession(client)
	check(err)
	return concurrency.NewMutex(session, "/job")
}

func main() {
	server := exec.Command("etcd", os.Args[1], os.Args[2], os.Args[3])
	server.Stdout = os.Stdout
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(server.Start())
	check(mutex().Lock(context.Background()))
	waiter := mutex()

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	start, done := time.Now(), make(chan error, 1)
	go func() { done <- waiter.Lock(ctx) }()
	time.Sleep(time.Second)
	check(server.Process.Signal(syscall.SIGSTOP))
	back := false
	select {
	case err := <-done:
		back = true
		fmt.Println("Lock came back:", err)
	case <-time.After(20 * time.Second):
		fmt.Printf("the context has ended (%v), and Lock is not back after %v\n", ctx.Err(), time.Since(start).Round(time.Second))
	}
	check(server.Process.Signal(syscall.SIGCONT))
	if !back {
		fmt.Println("the server goes on, and Lock is back:", <-done)
	}
	server.Process.Kill()
	if back {
		os.Exit(1)
	}
}
GO
"$work/lock/program" "$work/data" "127.0.0.1:$(port)" "127.0.0.1:$(port)" || fail "Lock heeded its context"
