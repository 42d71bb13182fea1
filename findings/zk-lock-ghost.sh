#!/usr/bin/env bash
# One connection lost at a bad moment, and go-zookeeper's Lock leaves a lock that nobody holds: nobody gets it while that process lives.
#
# Expected: Lock waits until it has the lock or an error occurs; Unlock releases it (go-zookeeper's documentation). A lost connection is mended by
# itself with the same session; that the node of a lost answer is found again is why Lock makes it by CreateProtectedEphemeralSequential.
# What happens: that is so for the creation alone. When the connection is lost under one of the questions after it (GetChildren, GetData), Lock returns
# "zk: connection closed" and leaves its node in the queue. The session lives on, so the node does, too. Unlock says "not locked": the Lock has
# forgotten the node. Called again, as one does after such an error, Lock queues behind its own ghost.
# Seen with: go-zookeeper/zk 1.0.4, ZooKeeper 3.8.0; the connection is cut once, by a proxy.
# Who cares: anybody who elects a leader by it and tries again after an error: after a restart or a change of the ZooKeeper server there may be no leader
# until a process that thinks itself a candidate is restarted. Close the Conn after any error of Lock: that ends the session, and its nodes.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

tree=$(unpack zookeeper zookeeper libzookeeper-java)
java=$(command -v java || echo "$tree"/usr/lib/jvm/java-*/bin/java)
port=$(port)
printf '%s\n' "dataDir=$work/zookeeper" clientPortAddress=127.0.0.1 "clientPort=$port" admin.enableServer=false >"$work/zoo.cfg"
"$java" -cp "$tree/usr/share/java/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$work/zoo.cfg" >"$work/zookeeper.log" 2>&1 &
pids+=("$!")
disown
reachable "$port"
program ghost github.com/go-zookeeper/zk@v1.0.4 <<'GO'
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

var cut atomic.Bool

// proxy forwards connections; while cut is set, the next that asks for the children of a node is closed in place of it.
func proxy(server string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		for {
			client, err := l.Accept()
			check(err)
			backend, err := net.Dial("tcp", server)
			check(err)
			go io.Copy(client, backend)
			go func() {
				defer client.Close()
				defer backend.Close()
				for {
					length := make([]byte, 4)
					if _, err := io.ReadFull(client, length); err != nil {
						return
					}
					request := make([]byte, binary.BigEndian.Uint32(length))
					if _, err := io.ReadFull(client, request); err != nil {
						return
					}
					const getChildren = 12
					if binary.BigEndian.Uint32(request[4:]) == getChildren && cut.CompareAndSwap(true, false) {
						return
					}
					backend.Write(append(length, request...))
				}
			}()
		}
	}()
	return l.Addr().String()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func connect(address string) *zk.Conn {
	c, _, err := zk.Connect([]string{address}, 10*time.Second, zk.WithLogger(quiet{}))
	check(err)
	return c
}

func main() {
	acl := zk.WorldACL(zk.PermAll)
	near, far := connect(os.Args[1]), connect(proxy(os.Args[1]))
	first, second := zk.NewLock(near, "/job", acl), zk.NewLock(far, "/job", acl)
	check(first.Lock())
	session := far.SessionID()
	for session == 0 {
		time.Sleep(10 * time.Millisecond)
		session = far.SessionID()
	}
	cut.Store(true)
	returned := make(chan error, 1)
	go func() { returned <- second.Lock() }()
	select {
	case err := <-returned:
		fmt.Println("the second's Lock:", err)
	case <-time.After(20 * time.Second):
		fmt.Println("the second waits on")
		os.Exit(1)
	}
	fmt.Println("the second's Unlock:", second.Unlock())
	fmt.Println("the first's Unlock:", first.Unlock())

	locked := make(chan string, 2)
	for name, lock := range map[string]*zk.Lock{"first": first, "second": second} {
		go func() { locked <- fmt.Sprint("the ", name, "'s Lock: ", lock.Lock()) }()
	}
	select {
	case who := <-locked:
		fmt.Println("nobody held it, then", who)
		os.Exit(1)
	case <-time.After(20 * time.Second): // Two sessions.
	}
	nodes, _, err := near.Children("/job")
	check(err)
	fmt.Println("after 20 s nobody has it; nodes in the queue:", len(nodes), "- the second's session is the same:", session == far.SessionID())
	if far.State() != zk.StateHasSession || session != far.SessionID() {
		os.Exit(1)
	}
	far.Close()
	fmt.Println("the second's Conn is closed;", <-locked)
	fmt.Println("then", <-locked)
}
GO
"$work/ghost/program" "127.0.0.1:$port" || fail "the lock can be had"
