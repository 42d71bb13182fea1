#!/usr/bin/env bash
# A lease in a NATS key-value bucket that is renewed once never ends.
#
# Expected: Create with KeyTTL is a lock with a TTL; Update, which compares the revision, is said to reset the TTL that a key has (nats.go's
# documentation of package jetstream): a reader of that renews by it.
# What happens: it removes the TTL. Of two keys with 2 s, the one that was updated after 1 s is there for good, the other is gone. Update takes no
# TTL, so that there is no renewal by it at all.
# Seen with: nats-server 2.15.3, nats.go 1.55.0.
# Who cares: anybody who builds leases or an election on a bucket with TTLs for single keys: the first holder that dies after a renewal holds for ever. Publish to
# the key's subject with WithMsgTTL and WithExpectLastSequencePerSubject, or use the bucket's own TTL.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

program renew github.com/nats-io/nats-server/v2@v2.15.3 github.com/nats-io/nats.go@v1.55.0 <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: os.Args[1], NoLog: true, NoSigs: true})
	check(err)
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		panic("no server")
	}
	fmt.Println("nats-server", server.VERSION, "nats.go", nats.Version)
	conn, err := nats.Connect(s.ClientURL())
	check(err)
	js, err := jetstream.New(conn)
	check(err)
	ctx := context.Background()
	leases, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "leases", LimitMarkerTTL: time.Minute})
	check(err)

	renewed, err := leases.Create(ctx, "renewed", []byte("me"), jetstream.KeyTTL(2*time.Second))
	check(err)
	published, err := leases.Create(ctx, "published", []byte("me"), jetstream.KeyTTL(2*time.Second))
	check(err)
	_, err = leases.Create(ctx, "left", []byte("me"), jetstream.KeyTTL(2*time.Second))
	check(err)
	time.Sleep(time.Second)
	_, err = leases.Update(ctx, "renewed", []byte("me"), renewed)
	check(err)
	_, err = js.Publish(ctx, "$KV.leases.published", []byte("me"), jetstream.WithMsgTTL(2*time.Second),
		jetstream.WithExpectLastSequencePerSubject(published))
	check(err)
	time.Sleep(1500 * time.Millisecond)
	_, held := leases.Get(ctx, "published")
	fmt.Println("the lease that was renewed by publishing, after 2.5 s:", held)
	time.Sleep(10 * time.Second)

	_, over := leases.Get(ctx, "published")
	fmt.Println("and 10 s later:", over)
	_, left := leases.Get(ctx, "left")
	_, again := leases.Create(ctx, "renewed", []byte("another"), jetstream.KeyTTL(2*time.Second))
	fmt.Println("the lease that nobody renewed:", left)
	fmt.Println("the lease of 2 s that was renewed once, when another asks for it:", again)
	if held != nil || !errors.Is(over, jetstream.ErrKeyNotFound) {
		panic("publishing does not renew")
	}
	if !errors.Is(left, jetstream.ErrKeyNotFound) || !errors.Is(again, jetstream.ErrKeyExists) {
		os.Exit(1)
	}
}
GO
"$work/renew/program" "$work/data" || fail "the renewed lease has ended, or the other has not"
