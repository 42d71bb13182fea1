package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// peer is one way to lock, or to do as little as a lock needs.
type peer struct {
	name string
	solo bool     // knows one instance only
	on   *program // what it locks with; nil is redisServer
	open func(context.Context, *fleet) (locker, error)
}

func (p peer) program() *program {
	if p.on == nil {
		return redisServer
	}
	return p.on
}

// locker is a peer that is connected to a fleet.
type locker interface {
	session(resource string) session // made before the clock starts
	close()
}

// session is one caller's way to one resource. It is used by one goroutine, acquire and release in turn.
type session interface {
	acquire(context.Context) error
	release(context.Context) error
}

// ttl is how long every peer asks Redis to keep a lock: Holdfast's default.
const ttl = 10 * time.Second

// locks are the peers that lock, and the floor below them. They do not expect to wait for a lock.
var locks = []peer{
	holdfast, redsyncDefault, redsyncFailFast, redsyncRueidis, redislockPeer, rueidislockPeer, etcdPeer, wireFloor,
}

// waiting are the peers that lock, as they are when the lock may be taken: they wait for it.
var waiting = []peer{
	holdfast, holdfastHandoff, holdfastTrying, redsyncWaiting, redsyncFailFastWaiting, redsyncRueidisWaiting, redislockWaiting, rueidislockWaiting, etcdPeer,
}

// clients are connections of go-redis, one client an instance, as the peers that build on it take them.
type clients []*redis.Client

// connect makes clients with go-redis's defaults.
func connect(f *fleet) clients { return connectMany(f, 0) }

// connectMany makes clients with so many connections at most; 0 is go-redis's default, ten a CPU.
func connectMany(f *fleet, connections int) clients {
	var list clients
	for _, s := range f.servers {
		list = append(list, redis.NewClient(&redis.Options{Network: s.network, Addr: s.addr, PoolSize: connections}))
	}
	return list
}

func (c clients) close() {
	for _, client := range c {
		_ = client.Close()
	}
}

// ping connects all of them, so that a server out of reach is found before the clock starts.
func (c clients) ping(ctx context.Context) error {
	var errs []error
	for _, client := range c {
		errs = append(errs, client.Ping(ctx).Err())
	}
	return errors.Join(errs...)
}
