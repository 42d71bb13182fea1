package instance_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// onCluster opens an engine on one cluster, which is its one instance.
func onCluster(t *testing.T, c *redistest.Cluster, cfg engine.Config) *engine.Engine {
	t.Helper()
	i, err := instance.Dial("", instance.Config{Cluster: c.Addrs()[:1], ClientName: "holdfast", Logger: cfg.Logger})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e := enginetest.New(t, cfg, i)
	state(t, e, 0, instance.Up)
	return e
}

// keyOf returns a key of one of the master's slots.
func keyOf(c *redistest.Cluster, s *redistest.Server, what string) string {
	for n := 0; ; n++ {
		if key := fmt.Sprintf("%s-%d", what, n); c.Owner(c.Slot(key)) == s {
			return key
		}
	}
}

// away is a master other than the one that has the key.
func away(c *redistest.Cluster, key string) *redistest.Server {
	if c.Owner(c.Slot(key)) == c.Masters[0] {
		return c.Masters[1]
	}
	return c.Masters[0]
}

// clusterClients counts our connections to all masters.
func clusterClients(t *testing.T, c *redistest.Cluster) (n int) {
	for _, s := range c.Masters {
		n += clientsOf(t, s, "holdfast")
	}
	return n
}

func TestCluster(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, false)
	for name, test := range map[string]func(*testing.T, *redistest.Cluster){
		"forms":       clusterForms,
		"every verb":  clusterVerbs,
		"waiters":     clusterWaiters,
		"many leases": clusterManyLeases,
		"connections": clusterConnections,
		"migration":   clusterMigration,
		"contention":  clusterContendedMigration,
		"mixed":       clusterMixed,
		"twice":       clusterTwice,
		"privileges":  clusterPrivileges,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
		eventually(t, "no connection is left", func() bool { return clusterClients(t, c) == 0 })
		for _, s := range c.Masters {
			s.FlushAll()
		}
	}
}

func clusterForms(t *testing.T, c *redistest.Cluster) {
	at := strings.Join(c.Addrs(), ",")
	for name, form := range map[string]struct {
		url string
		cfg instance.Config
	}{
		"one address":       {url: "redis-cluster://" + c.Addrs()[2]},
		"several":           {url: "redis-cluster://" + at + "/0"},
		"Python's":          {url: "redis+cluster://" + at},
		"go-redis's":        {url: "redis-cluster://" + c.Addrs()[0] + "?addr=" + c.Addrs()[1] + "&addr=" + c.Addrs()[2] + "&max_retries=3"},
		"one dead":          {url: "redis-cluster://127.0.0.1:1," + at},
		"config":            {cfg: instance.Config{Cluster: c.Addrs()}},
		"config wins":       {url: "redis-cluster://127.0.0.1:1", cfg: instance.Config{Cluster: c.Addrs()}},
		"config, other URL": {url: "redis://127.0.0.1:1?read_timeout=3s", cfg: instance.Config{Cluster: c.Addrs()}},
		"dialer": {url: "redis-cluster://redis.invalid:1", cfg: instance.Config{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "redis.invalid:1" {
				addr = c.Addrs()[0]
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}},
	} {
		t.Run(name, func(t *testing.T) { works(t, form.url, form.cfg) })
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	defer func() { _ = client.Close() }()
	e := enginetest.New(t, engine.Config{}, instance.New(client, instance.Config{}))
	release(t, acquire(t, e, "r"))
	if err := e.Close(within(t)); err != nil {
		t.Errorf("e.Close: %v", err)
	}
	if err := client.Set(within(t), "still open", 1, 0).Err(); err != nil {
		t.Errorf("client.Set: %v", err)
	}

	single := redistest.StartTCP(t)
	refused(t, "redis-cluster://"+single.Addr(), instance.Config{}, "no node of a cluster")
	refused(t, "redis-cluster://127.0.0.1:1", instance.Config{}, "node 127.0.0.1:1: ")
	plain, err := openOne(t, "redis://"+c.Addrs()[0], instance.Config{})
	if err != nil {
		t.Fatalf("openOne: %v", err)
	}
	if _, err := plain.TryAcquire(within(t), keyOf(c, c.Masters[1], "r")); err == nil || !strings.Contains(err.Error(), "redis-cluster://") {
		t.Errorf("a node as a single server: %v", err)
	}
}

// Every operation of the engine works on every master's keys.
func clusterVerbs(t *testing.T, c *redistest.Cluster) {
	cfg := engine.Config{KeyPrefix: "locks:", TTL: 900 * time.Millisecond, MaxTTL: 2 * time.Second}
	a, b := onCluster(t, c, cfg), onCluster(t, c, cfg)
	var names []string
	for _, s := range c.Masters {
		names = append(names, strings.TrimPrefix(keyOf(c, s, "locks:r"), "locks:"))
	}
	names = append(names, "{tag}r", "r{", "\x00\xff{\x01}")
	var wg sync.WaitGroup
	for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
		for _, name := range names {
			wg.Go(func() { clusterVerb(t, c, a, b, name, opts) })
		}
		wg.Wait()
	}
	_, err := a.TryAcquire(within(t), "a}b", engine.WithFencing())
	oneLine(t, err)
	if !strings.Contains(err.Error(), "closing brace that closes no {tag}") {
		t.Errorf("a name with a lone brace: got %v, want it to say that it closes no {tag}", err)
	}
	release(t, acquire(t, a, "a}b")) // without a fence it is a name like any other
}

func clusterVerb(t *testing.T, c *redistest.Cluster, a, b *engine.Engine, name string, opts []engine.Option) {
	l := acquire(t, a, name, opts...)
	if owner := c.Owner(c.Slot("locks:" + name)); owner.Get("locks:"+name) != l.Token() {
		t.Errorf("%q is not at its slot's master", name)
	}
	first := l.Deadline()
	eventually(t, name+" is renewed", func() bool { return l.Deadline().After(first) })
	if _, err := b.TryAcquire(within(t), name, opts...); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("%q: contended: %v", name, err)
	}
	if s, err := b.Inspect(within(t), name); err != nil || s.Token != l.Token() {
		t.Errorf("%q: inspected: %v %v", name, s, err)
	}
	waited := make(chan *lease.Lease, 1)
	go func() {
		next, err := b.Acquire(within(t), name, opts...)
		if err != nil {
			t.Errorf("%q: waited for: %v", name, err)
		}
		waited <- next
	}()
	if err := l.Extend(within(t), time.Second); err != nil {
		t.Errorf("%q: extended: %v", name, err)
	}
	fence := l.Fence()
	if err := l.Release(within(t)); err != nil {
		t.Errorf("%q: released: %v", name, err)
	}
	if next := <-waited; next != nil {
		if len(opts) > 0 && next.Fence() <= fence {
			t.Errorf("%q: fence %d after %d", name, next.Fence(), fence)
		}
		if err := next.Release(within(t)); err != nil {
			t.Errorf("%q: released: %v", name, err)
		}
	}
}

// A waiter is woken by the node of the key's slot, also by the one that it has
// moved to.
func clusterWaiters(t *testing.T, c *redistest.Cluster) {
	a, b := onCluster(t, c, engine.Config{}), onCluster(t, c, engine.Config{})
	for _, s := range c.Masters {
		held := acquire(t, a, keyOf(c, s, "waited-for"))
		next := enginetest.Wait(t, b, []*redistest.Server{s}, held.Resource())
		release(t, held)
		if l := <-next; l != nil {
			release(t, l)
		}
	}
	held := acquire(t, a, keyOf(c, c.Masters[0], "moving"))
	next := enginetest.Wait(t, b, c.Masters[:1], held.Resource())
	before := enginetest.Tracked(c.Masters[1:2])
	c.Migrate(c.Slot(held.Resource()), c.Masters[1])
	eventually(t, "the new master is to tell", func() bool { return enginetest.Tracked(c.Masters[1:2]) > before })
	release(t, held)
	if l := <-next; l != nil {
		release(t, l)
	}
	c.Migrate(c.Slot(held.Resource()), c.Masters[0])
}

// Leases in very many slots are renewed and released together, and no script call
// touches two slots.
func clusterManyLeases(t *testing.T, c *redistest.Cluster) {
	const leases = 300
	e := onCluster(t, c, engine.Config{TTL: 2 * time.Second})
	held := make([]*lease.Lease, leases)
	begin := time.Now()
	for k := range held {
		var opts []engine.Option
		if k%3 == 0 {
			opts = append(opts, engine.WithFencing())
		}
		held[k] = acquire(t, e, fmt.Sprintf("many-%d", k), opts...)
	}
	eventually(t, "all are renewed", func() bool {
		for _, l := range held {
			if l.Deadline().Before(begin.Add(4 * time.Second)) {
				return l.Err() != nil
			}
		}
		return true
	})
	for _, l := range held {
		if l.Err() != nil {
			t.Fatalf("%v has ended, want it held: %v", l, l.Err())
		}
	}
	if err := e.Close(within(t)); err != nil { // which releases them all at once
		t.Errorf("close the engine: %v", err)
	}
	for _, s := range c.Masters {
		for _, key := range s.Keys() {
			if !strings.HasPrefix(key, "fence:") {
				t.Errorf("%s is left", key)
			}
		}
		info, _ := s.MustDo("INFO", "errorstats").(string)
		if strings.Contains(info, "CROSSSLOT") {
			t.Errorf("a command was for several slots, want none: %s", info)
		}
	}
}

// One connection to each master, and one that asks for the map: also after 1,000
// operations.
func clusterConnections(t *testing.T, c *redistest.Cluster) {
	e := onCluster(t, c, engine.Config{})
	for k := range 1000 {
		release(t, acquire(t, e, fmt.Sprintf("r%d", k%100)))
	}
	eventually(t, "the connections have come to rest", func() bool { return clusterClients(t, c) <= len(c.Masters)+1 })
	for k := range 10 {
		acquire(t, e, fmt.Sprintf("closing-%d", k))
	}
	if err := e.Close(within(t)); err != nil {
		t.Errorf("e.Close: %v", err)
	}
	for _, s := range c.Masters {
		if keys := s.Keys(); len(keys) != 0 {
			t.Errorf("Close left %q", keys)
		}
	}
}

// A slot moves while its lock is held: nobody notices. A live master hands its
// memory over, so that the restart guard has nothing to say.
func clusterMigration(t *testing.T, c *redistest.Cluster) {
	cfg := engine.Config{TTL: 1500 * time.Millisecond}
	a, b := onCluster(t, c, cfg), onCluster(t, c, cfg)
	for name, opts := range map[string][]engine.Option{"plain": nil, "fenced": {engine.WithFencing()}} {
		t.Run(name, func(t *testing.T) {
			key := keyOf(c, c.Masters[0], "moving-"+name)
			slot := c.Slot(key)
			l := acquire(t, a, key, opts...)
			renewed := func(when string) {
				t.Helper()
				was := l.Deadline()
				eventually(t, "it is renewed "+when, func() bool { return l.Deadline().After(was) || l.Err() != nil })
				if l.Err() != nil {
					t.Fatalf("%s: the lease has ended, want it held: %v", when, l.Err())
				}
				if err := l.Extend(within(t), 0); err != nil {
					t.Errorf("%s: extend: %v", when, err)
				}
				if _, err := b.TryAcquire(within(t), key, opts...); !errors.Is(err, engine.ErrHeld) {
					t.Errorf("%s: contended: %v", when, err)
				}
			}
			m := c.BeginMigration(slot, c.Masters[1])
			renewed("before its key moves")
			free := "{" + key + "}free" // of the same slot, and nowhere: the old master says ASK
			if opts == nil {
				o := acquire(t, b, free, opts...)
				if c.Masters[0].Get(key) != l.Token() {
					t.Error("the key has moved too early")
				}
				release(t, o)
			}
			m.MoveKeys()
			renewed("when its key has moved")
			m.End()
			renewed("when its slot has moved")
			if c.Masters[1].Get(key) != l.Token() {
				t.Error("it is not at the new master")
			}
			release(t, l)
			next := acquire(t, b, key, opts...)
			if next.Fence() < l.Fence() {
				t.Errorf("fence %d after %d", next.Fence(), l.Fence())
			}
			release(t, next)
			for _, e := range []*engine.Engine{a, b} {
				if h := e.Instances()[0]; h.State != instance.Up {
					t.Errorf("the cluster is %+v, want it up", h)
				}
			}
			c.Migrate(slot, c.Masters[0])
		})
	}
}

// A slot moves to and fro while many want its lock: never two hold it, nobody
// waits for ever, and nothing is left behind.
func clusterContendedMigration(t *testing.T, c *redistest.Cluster) {
	key := "contended"
	slot := c.Slot(key)
	home := c.Owner(slot)
	var engines []*engine.Engine
	for range 3 {
		engines = append(engines, onCluster(t, c, engine.Config{TTL: 5 * time.Second, Backoff: enginetest.Eager}))
	}
	ctx, cancel := context.WithCancel(within(t))
	var wg sync.WaitGroup
	var inside sync.Mutex
	grants := 0
	for _, e := range engines {
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
					l, err := e.Acquire(short, key)
					cancel()
					if err != nil {
						continue // an abandoned attempt, to be undone
					}
					if !inside.TryLock() {
						t.Error("two hold it")
						return
					}
					grants++
					inside.Unlock()
					if err := l.Release(within(t)); err != nil {
						t.Errorf("release: %v", err)
					}
				}
			})
		}
	}
	for range 6 {
		for _, to := range []*redistest.Server{away(c, key), home} {
			c.Migrate(slot, to)
		}
	}
	cancel()
	wg.Wait()
	if grants == 0 {
		t.Error("nobody was granted it")
	}
	clean(t, []*redistest.Server{home}, key)
	release(t, acquire(t, engines[0], key))
}

// A cluster and two single servers are a quorum of three.
func clusterMixed(t *testing.T, c *redistest.Cluster) {
	plain := redistest.StartN(t, 2)
	e, err := engine.Open(within(t), append(redistest.URLs(plain), "redis-cluster://"+c.Addrs()[0]), engine.Config{})
	if err != nil {
		t.Fatalf("engine.Open: %v", err)
	}
	defer func() {
		if err := e.Close(within(t)); err != nil {
			t.Errorf("e.Close: %v", err)
		}
	}()
	state(t, e, 2, instance.Up)
	key := keyOf(c, c.Masters[1], "mixed")
	l := acquire(t, e, key)
	everywhere(t, append(plain, c.Masters[1]), l)
	plain[0].Pause()
	second := acquire(t, e, "{"+key+"}meanwhile") // by the other one and the cluster
	if err := l.Extend(within(t), 0); err != nil {
		t.Errorf("l.Extend: %v", err)
	}
	release(t, second)
	plain[0].Resume()
	state(t, e, 0, instance.Up)
	release(t, l)
	clean(t, append(plain, c.Masters[1]), key)
}

// A master of a cluster cannot vote beside it, nor can the cluster twice.
func clusterTwice(t *testing.T, c *redistest.Cluster) {
	for _, other := range []string{"redis://" + c.Addrs()[1], "redis-cluster://" + c.Addrs()[1]} {
		_, err := engine.Open(within(t), []string{"redis-cluster://" + c.Addrs()[0], other}, engine.Config{})
		if err == nil || !strings.Contains(err.Error(), "same Redis process") {
			t.Errorf("%s: got %v, want it to say that they are the same Redis process", other, err)
		}
	}
}

// The published rule and what it says of clusters is enough, and needed.
func clusterPrivileges(t *testing.T, c *redistest.Cluster) {
	const forCluster = " +cluster|slots +asking"
	rule := leastPrivilege(t) + forCluster
	if text := operations(t); !strings.Contains(text, "`"+strings.TrimSpace(forCluster)+"`") {
		t.Errorf("docs/operations.md does not have %q", forCluster)
	}
	set := func(rule string) {
		for _, s := range c.Masters {
			s.User("cluster", "acl-s3cr3t", rule)
			s.MustDo("ACL", "LOG", "RESET")
		}
	}
	cfg := instance.Config{Cluster: c.Addrs()[:1], Username: "cluster", Password: "acl-s3cr3t"}
	set(rule)
	i, err := instance.Dial("", cfg)
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e := enginetest.New(t, engine.Config{KeyPrefix: "locks:", TTL: time.Second}, i)
	key := keyOf(c, c.Masters[0], "locks:r")
	m := c.BeginMigration(c.Slot(key), c.Masters[1])
	l := acquire(t, e, strings.TrimPrefix(key, "locks:"))
	was := l.Deadline()
	eventually(t, "it is renewed", func() bool { return l.Deadline().After(was) })
	m.MoveKeys()
	m.End()
	release(t, l)
	for _, s := range c.Masters {
		release(t, acquire(t, e, strings.TrimPrefix(keyOf(c, s, "locks:f"), "locks:"), engine.WithFencing()))
		if log := s.MustDo("ACL", "LOG").([]any); len(log) != 0 {
			t.Errorf("something is refused: %v", log)
		}
	}

	m = c.BeginMigration(c.Slot(key), c.Masters[0])
	set(strings.Replace(rule, "+asking", "", 1))
	_, err = e.TryAcquire(within(t), strings.TrimPrefix(key, "locks:"))
	oneLine(t, err)
	if !strings.Contains(err.Error(), "NOPERM") || !strings.Contains(err.Error(), "'asking'") {
		t.Errorf("acquire without asking: got %v, want NOPERM and 'asking'", err)
	}
	m.End()
	if err := e.Close(within(t)); err != nil {
		t.Errorf("e.Close: %v", err)
	}
	set(strings.Replace(rule, "+cluster|slots", "", 1))
	refused(t, "", cfg, "NOPERM")
}
