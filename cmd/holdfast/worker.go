package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// worker is a candidate for the lead. It has an engine of its own, as a
// process on another machine would, and a network that can be cut.
type worker struct {
	name  string
	world *world
	locks *engine.Engine

	mu    sync.Mutex
	held  *lease.Lease          // nil: it does not lead
	cut   bool                  // no connection can be made
	conns map[net.Conn]struct{} // those that there are
}

var errCut = errors.New("the cable is cut")

func newWorker(w *world, name string) (*worker, error) {
	me := &worker{name: name, world: w, conns: make(map[net.Conn]struct{})}
	var instances []*instance.Instance
	for _, server := range w.servers {
		i, err := instance.Dial(server.Addr(), instance.Config{Dialer: me.dial, Timeout: w.ttl / 4})
		if err != nil {
			return nil, err
		}
		instances = append(instances, i)
	}
	locks, err := engine.New(instances, w.config(name))
	me.locks = locks
	return me, err
}

// work leads whenever it can, for a while, until ctx ends.
func (me *worker) work(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := me.locks.Acquire(ctx, leaderLock)
		if err != nil {
			continue // it waits in there, until ctx ends
		}
		me.lead(ctx, l)
		me.rest(ctx)
	}
}

// lead is one term: until it is over, or the lock is lost.
func (me *worker) lead(ctx context.Context, l *lease.Lease) {
	me.begin(l)
	term := time.NewTimer(me.world.pace/2 + rand.N(me.world.pace))
	defer term.Stop()
	select {
	case <-term.C:
		if me.isCut() { // the work does not go on without the servers
			<-l.Done()
		}
	case <-ctx.Done():
	case <-l.Done():
	}
	me.end(l)
	_ = l.Release(context.Background()) // if it cannot be confirmed, the keys go by their TTL
}

// rest lets the others have their turn.
func (me *worker) rest(ctx context.Context) {
	select {
	case <-time.After(me.world.ttl / 4):
	case <-ctx.Done():
	}
}

func (me *worker) begin(l *lease.Lease) {
	me.mu.Lock()
	me.held = l
	me.mu.Unlock()
	w := me.world
	leaders := w.leaders()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.terms++
	w.most = max(w.most, leaders)
	w.record("%s leads", me.name)
}

// end says why the term is over. The lease is given back only after that.
func (me *worker) end(l *lease.Lease) {
	me.mu.Lock()
	me.held = nil
	me.mu.Unlock()
	w := me.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := l.Err(); err != nil {
		w.record("%s must stop (%v), before the keys in Redis expire", me.name, err)
		return
	}
	w.record("%s steps down", me.name)
}

// lease is what the worker leads by, or nil.
func (me *worker) lease() *lease.Lease {
	me.mu.Lock()
	defer me.mu.Unlock()
	return me.held
}

// dial is the worker's network.
func (me *worker) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	me.mu.Lock()
	defer me.mu.Unlock()
	if me.cut {
		_ = conn.Close()
		return nil, errCut
	}
	cable := &cable{Conn: conn, worker: me}
	me.conns[cable] = struct{}{}
	return cable, nil
}

// cable is a connection that its worker knows of until it is closed.
type cable struct {
	net.Conn
	worker *worker
}

func (c *cable) Close() error {
	c.worker.mu.Lock()
	delete(c.worker.conns, c)
	c.worker.mu.Unlock()
	return c.Conn.Close()
}

func (me *worker) cutOff() {
	me.mu.Lock()
	defer me.mu.Unlock()
	me.cut = true
	for c := range me.conns {
		_ = c.(*cable).Conn.Close()
	}
}

func (me *worker) isCut() bool {
	me.mu.Lock()
	defer me.mu.Unlock()
	return me.cut
}

func (me *worker) connect() {
	me.mu.Lock()
	defer me.mu.Unlock()
	me.cut = false
}

// String is how the worker is doing, in one line.
func (me *worker) String() string {
	me.mu.Lock()
	defer me.mu.Unlock()
	doing := "waits"
	if me.cut {
		doing = "is cut off"
	}
	if me.held != nil {
		left := me.held.Remaining()
		doing = fmt.Sprintf("LEADS %s %4d ms may be relied on", bar(left, me.world.ttl, 20), left.Milliseconds())
		if me.cut {
			doing += ", and is cut off"
		}
	}
	return fmt.Sprintf("%-4s %s", me.name, doing)
}
