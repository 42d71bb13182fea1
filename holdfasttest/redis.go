package holdfasttest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// Redis is a number of independent servers in the test's memory. All methods are
// safe for concurrent use; a method that cannot do what it is told ends the test
// with t.Fatal, so call it on the test's goroutine. One that waits does so for ten
// seconds of the test's time at most.
type Redis struct {
	t       testing.TB
	servers *sim.Fleet
	stopped []atomic.Bool // as servers
	record  record
}

// New starts n servers, 1 or more. They end with the test. In a testing/synctest
// bubble, call it inside.
func New(t testing.TB, n int) *Redis {
	t.Helper()
	if n < 1 {
		t.Fatalf("holdfasttest: %d servers: there must be 1 or more", n)
	}
	return &Redis{t: t, servers: sim.NewNative(t, n), stopped: make([]atomic.Bool, n)}
}

// patience bounds what a method waits for, in the test's time.
const patience = 10 * time.Second

// Engine returns an engine that is connected to all servers. It stands for a process
// of its own. It is closed with the test, or by the test itself. cfg is the Config of
// the code under test; its Trace is called, too. The test ends if engine.New refuses
// cfg.
func (r *Redis) Engine(cfg engine.Config) *engine.Engine {
	r.t.Helper()
	p := &process{host: r.servers.Host(), prefix: cfg.KeyPrefix}
	cfg.Trace = engine.JoinTraces(r.record.trace(p), cfg.Trace)
	instances := p.host.Instances(instance.Config{Timeout: cfg.InstanceTimeout, Logger: cfg.Logger})
	e, err := engine.New(instances, cfg)
	if err != nil {
		r.t.Fatalf("holdfasttest: %v", err)
	}
	p.engine = e
	r.record.join(p)
	r.t.Cleanup(func() {
		p.join(r.servers) // or Close would wait for servers that it cannot reach
		_ = e.Close(context.Background())
	})
	r.await(p)
	return e
}

// process is an engine, and the host that it runs on.
type process struct {
	engine *engine.Engine
	host   *sim.Host
	prefix string
	parted atomic.Bool
}

// process returns what an engine of Engine's runs on.
func (r *Redis) process(e *engine.Engine) *process {
	r.t.Helper()
	for _, p := range r.record.all() {
		if p.engine == e {
			return p
		}
	}
	r.t.Fatal("holdfasttest: this engine is not one of Redis.Engine's")
	return nil
}

// Partition cuts an engine off from all servers, as a broken network does, until Heal:
// nothing arrives, and nobody is told. Its leases end at their deadlines, with
// lease.ErrExpired.
func (r *Redis) Partition(e *engine.Engine) {
	r.t.Helper()
	p := r.process(e)
	p.parted.Store(true)
	for _, s := range r.servers.Servers {
		p.host.Part(s)
	}
}

// Heal ends Partition, and waits until the engine has connected again.
func (r *Redis) Heal(e *engine.Engine) {
	r.t.Helper()
	p := r.process(e)
	p.join(r.servers)
	r.await(p)
}

func (p *process) join(servers *sim.Fleet) {
	for _, s := range servers.Servers {
		p.host.Join(s, 0)
	}
	p.parted.Store(false)
}

// await waits until an engine is connected to every server that is not stopped.
func (r *Redis) await(p *process) {
	r.t.Helper()
	for end := time.Now().Add(patience); !r.connected(p); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("holdfasttest: an engine is not connected after %v", patience)
		}
	}
}

func (r *Redis) connected(p *process) bool {
	for n, h := range p.engine.Instances() {
		if !r.stopped[n].Load() && (h.State == instance.Down || h.State == instance.Connecting) {
			return false
		}
	}
	return true
}

// Stop breaks all connections to a server, 1 to n, and lets nobody connect until
// Start. Its keys live on.
func (r *Redis) Stop(server int) {
	r.t.Helper()
	s := r.server(server)
	r.stopped[server-1].Store(true)
	s.Cut()
}

// Start ends Stop, and waits until the engines have connected again.
func (r *Redis) Start(server int) {
	r.t.Helper()
	r.server(server).Mend()
	r.stopped[server-1].Store(false)
	for _, p := range r.record.all() {
		if !p.parted.Load() {
			r.await(p)
		}
	}
}

// Restart restarts a server, 1 to n, without its memory. Engines cannot know who held
// its locks, so they quarantine it for MaxTTL and a little more, unless Config.Guard
// is instance.GuardOff.
func (r *Redis) Restart(server int) { r.t.Helper(); r.server(server).Restart() }

func (r *Redis) server(n int) *sim.Server {
	r.t.Helper()
	if n < 1 || n > len(r.servers.Servers) {
		r.t.Fatalf("holdfasttest: server %d: they are numbered from 1 to %d", n, len(r.servers.Servers))
	}
	return r.servers.Servers[n-1]
}
