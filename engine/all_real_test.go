package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// acquireAll returns a lease of all of them.
func acquireAll(t *testing.T, e *engine.Engine, resources []string, opts ...engine.Option) *lease.Lease {
	t.Helper()
	l, err := e.AcquireAll(within(t), resources, opts...)
	if err != nil {
		t.Fatalf("acquire all of %q: %v", resources, err)
	}
	return l
}

// allEverywhere waits until every server has the lease's token under each of its resources.
func allEverywhere(t *testing.T, servers []*redistest.Server, l *lease.Lease) {
	t.Helper()
	for n, s := range servers {
		for _, key := range l.Resources() {
			eventually(t, fmt.Sprintf("server %d has the key %q", n, key), func() bool { return s.Get(key) == l.Token() })
		}
	}
}

func TestAcquireAllLocksAllOfThemByOneToken(t *testing.T) {
	for _, n := range []int{1, 3} {
		for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}, {engine.WithWatch()}} {
			t.Run(fmt.Sprintf("N=%d, %d options", n, len(opts)), func(t *testing.T) {
				t.Parallel()
				servers := redistest.StartN(t, n)
				e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
				before := servers[0].Calls("evalsha")
				l := acquireAll(t, e, []string{"c", "a", "b"}, opts...)
				if asked := servers[0].Calls("evalsha") - before; asked > 1 { // none, if the others were faster
					t.Errorf("a server was asked by %d scripts, want one", asked)
				}
				if got := l.Resources(); !slices.Equal(got, []string{"a", "b", "c"}) || l.Resource() != "a" {
					t.Errorf("the lease is of %q, and of %q above all", got, l.Resource())
				}
				allEverywhere(t, servers, l)
				for _, r := range l.Resources() {
					if s, err := other.Inspect(within(t), r); err != nil || s.Token != l.Token() {
						t.Errorf("inspect %q: %v, %v: want the lease's token", r, s, err)
					}
					if _, err := other.TryAcquire(within(t), r, opts...); !errors.Is(err, engine.ErrHeld) {
						t.Errorf("%q is acquired by another: %v", r, err)
					}
				}
				if err := l.Extend(within(t), 0); err != nil {
					t.Errorf("extend: %v", err)
				}
				release(t, l)
				for _, r := range l.Resources() {
					clean(t, servers, r)
					next := acquire(t, other, r, opts...)
					if len(opts) > 0 && next.Fence() <= l.Fence() && next.Fence() != 0 {
						t.Errorf("the fence of %q is %d, after %d of all", r, next.Fence(), l.Fence())
					}
					release(t, next)
				}
			})
		}
	}
}

func TestOneThatIsHeldHasAllOthersGivenBack(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	for seat := range servers { // also by another library, on a minority or on all
		servers[seat].MustDo("SET", "b", "somebody's", "NX", "PX", "600000")
		l, err := e.TryAcquireAll(within(t), []string{"a", "b", "c"})
		if err == nil && seat == 0 {
			release(t, l)
		}
		if seat > 0 && !errors.Is(err, engine.ErrHeld) {
			t.Errorf("held on %d servers: %v", seat+1, err)
		}
		var q *engine.QuorumError
		if errors.As(err, &q) && (q.Resource != "b" || len(q.Resources) != 3 || !strings.Contains(err.Error(), `acquire all of 3: "b": held by another`)) {
			t.Errorf("the error does not name what is held: %v", err)
		}
		clean(t, servers, "a")
		clean(t, servers, "c")
		for _, s := range servers[:seat+1] {
			if holder := s.Get("b"); holder != "somebody's" {
				t.Errorf("b is %q", holder)
			}
		}
	}
	release(t, acquire(t, other, "a"))
}

func TestAcquireAllWithOneServerDown(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: 2 * time.Second, RenewEvery: 100 * time.Millisecond})
	servers[1].Kill()
	state(t, e, 1, instance.Down)
	l := acquireAll(t, e, []string{"a", "b"})
	first := l.Deadline()
	eventually(t, "it is renewed", func() bool { return l.Deadline().After(first) })
	servers[1].Restart()
	state(t, e, 1, instance.Quarantined)
	allEverywhere(t, servers, l) // healed, each by its own proof
	release(t, l)
	clean(t, servers, "a")
	clean(t, servers, "b")
}

func TestAcquireAllThatWaits(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	a, b := acquire(t, other, "a"), acquire(t, other, "b")
	got := make(chan *lease.Lease, 1)
	before := enginetest.Tracked(servers)
	go func() {
		l, err := e.AcquireAll(within(t), []string{"a", "b", "c"})
		if err != nil {
			t.Errorf("acquire all: %v", err)
		}
		got <- l
	}()
	eventually(t, "it waits", func() bool { return enginetest.Tracked(servers) > before })
	if l, err := other.TryAcquire(within(t), "c"); err != nil {
		t.Errorf("what is free is kept from others: %v", err)
	} else {
		release(t, l)
	}
	release(t, a)
	release(t, b)
	l := <-got
	allEverywhere(t, servers, l)
	release(t, l)
}

func TestAcquireAllThatIsCancelledLeavesNothing(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	held := acquire(t, other, "c")
	for _, patience := range []time.Duration{10 * time.Millisecond, 1500 * time.Millisecond} { // the latter keeps a and b
		t.Run(patience.String(), func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if patience > time.Second {
				go func() {
					testkit.Eventually(t, "a is kept", func() bool { return servers[0].Get("a") != "" })
					cancel()
				}()
			} else {
				time.AfterFunc(patience, cancel)
			}
			_, err := e.AcquireAll(ctx, []string{"a", "b", "c"})
			if !errors.Is(err, context.Canceled) || !errors.Is(err, engine.ErrHeld) {
				t.Errorf("the error is %v", err)
			}
			clean(t, servers, "a")
			clean(t, servers, "b")
			if leases := e.Leases(); len(leases) > 0 {
				t.Errorf("the engine has %v", leases)
			}
			eventually(t, "no queue is left", func() bool { return len(queueKeysAt(servers)) == 0 })
		})
	}
	release(t, held)
}

func TestAnAcquireAllThatHasWaitedForLongKeepsWhatItGets(t *testing.T) {
	for _, handoffs := range []int{0, 16} {
		t.Run(fmt.Sprintf("LocalHandoff %d", handoffs), func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, 3)
			e, other := open(t, servers, engine.Config{LocalHandoff: handoffs}), open(t, servers, engine.Config{})
			a, b, c := acquire(t, other, "a"), acquire(t, e, "b"), acquire(t, other, "c")
			got := make(chan *lease.Lease, 1)
			go func() {
				l, err := e.AcquireAll(within(t), []string{"a", "b", "c"})
				if err != nil {
					t.Errorf("acquire all: %v", err)
				}
				got <- l
			}()
			time.Sleep(1100 * time.Millisecond)
			kept := func(l *lease.Lease) {
				key := l.Resource()
				release(t, l)
				eventually(t, key+" is kept", func() bool {
					return !slices.ContainsFunc(servers, func(s *redistest.Server) bool {
						holder := s.Get(key)
						return holder == "" || holder == l.Token()
					})
				})
				if another, err := other.TryAcquire(within(t), key); err == nil {
					t.Errorf("%q, which is kept, is acquired by another", key)
					release(t, another)
				} else if !errors.Is(err, engine.ErrHeld) {
					t.Errorf("%q, which is kept: %v, want ErrHeld", key, err)
				}
			}
			kept(a)
			kept(b)
			if leases := e.Leases(); len(leases) > 0 {
				t.Errorf("the engine has %v before all are there", leases)
			}
			if n := e.Snapshot(0).Held; n != 0 {
				t.Errorf("%d leases are counted before all are there", n)
			}
			release(t, c)
			if l := <-got; l != nil {
				allEverywhere(t, servers, l)
				eventually(t, "one lease is counted", func() bool { return e.Snapshot(0).Held == 1 })
				release(t, l)
			}
			for _, key := range []string{"a", "b", "c"} {
				clean(t, servers, key)
			}
		})
	}
}

// TestAnAcquireAllStandsInNoQueue: the place of one that it stood behind in its engine is given up, or others would wait
// behind that.
func TestAnAcquireAllStandsInNoQueue(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	a, b := acquire(t, other, "a"), acquire(t, other, "b")
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var waiters sync.WaitGroup
	wait := func(acquire func() error) {
		waiters.Go(func() {
			if err := acquire(); !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
	first, giveUp := context.WithCancel(ctx)
	wait(func() error { _, err := e.Acquire(first, "a"); return err })
	eventually(t, "the first has its place", func() bool { return len(queueKeysAt(servers)) > 0 })
	wait(func() error { // which keeps nothing, as tries are counted
		_, err := e.AcquireAll(ctx, []string{"a", "b"}, engine.WithTries(1_000_000))
		return err
	})
	eventually(t, "the other stands in line", func() bool { return e.Snapshot(0).Waiting == 2 })
	giveUp()
	eventually(t, "no queue is left", func() bool { return len(queueKeysAt(servers)) == 0 })
	cancel()
	waiters.Wait()
	release(t, a)
	release(t, b)
}

func TestALeaseOfAllIsLostWithOneOfThem(t *testing.T) {
	for _, how := range []string{"DEL", "SET"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, 3)
			e := open(t, servers, engine.Config{RenewEvery: 50 * time.Millisecond})
			l := acquireAll(t, e, []string{"a", "b", "c"})
			allEverywhere(t, servers, l)
			want := lease.ErrGone
			for _, s := range servers[:2] {
				if how == "DEL" {
					s.MustDo("DEL", "b")
				} else {
					s.MustDo("SET", "b", "somebody's")
					want = lease.ErrStolen
				}
			}
			if err := ended(t, l); !errors.Is(err, want) || !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), `"b"`) {
				t.Errorf("it ended with %v, want %v of b", err, want)
			}
			if err := l.Release(within(t)); !errors.Is(err, want) {
				t.Errorf("release: %v", err)
			}
			clean(t, servers, "a")
			clean(t, servers, "c")
		})
	}
}

func TestAMinorityThatLosesOneOfThemGetsItBack(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{RenewEvery: 50 * time.Millisecond})
	l := acquireAll(t, e, []string{"a", "b", "c"})
	allEverywhere(t, servers, l)
	servers[0].MustDo("DEL", "a") // each has its majority, though no two servers have all
	servers[1].MustDo("DEL", "b")
	servers[2].MustDo("DEL", "c")
	if err := l.Extend(within(t), 0); err != nil {
		t.Errorf("extend, with two of three votes for each: %v", err)
	}
	allEverywhere(t, servers, l)
	if err := l.Err(); err != nil {
		t.Errorf("the lease has ended: %v", err)
	}
	release(t, l)
}

// holders has engines acquire sets over and over, and checks that no two hold one resource at once.
type holders struct {
	held map[string]*atomic.Int32
}

func newHolders(resources []string) holders {
	c := holders{held: make(map[string]*atomic.Int32)}
	for _, r := range resources {
		c.held[r] = new(atomic.Int32)
	}
	return c
}

func (c holders) in(t *testing.T, l *lease.Lease) {
	for _, r := range l.Resources() {
		if c.held[r].Add(1) != 1 && l.Valid() {
			t.Errorf("%q is held twice", r)
		}
	}
}

func (c holders) out(l *lease.Lease) {
	for _, r := range l.Resources() {
		c.held[r].Add(-1)
	}
}

func TestOverlappingSetsOfManyEngines(t *testing.T) {
	servers := redistest.StartN(t, 3)
	all := []string{"r0", "r1", "r2", "r3", "r4", "r5"}
	c := newHolders(all)
	const engines, each = 8, 25
	var everybody sync.WaitGroup
	for k := range engines {
		e := open(t, servers, engine.Config{})
		for g := range 2 {
			everybody.Go(func() {
				random := rand.New(rand.NewPCG(uint64(k), uint64(g)))
				for range each {
					set := make([]string, 0, len(all))
					for _, at := range random.Perm(len(all))[:1+random.IntN(4)] {
						set = append(set, all[at])
					}
					l, err := e.AcquireAll(within(t), set)
					if len(set) == 1 && random.IntN(2) == 0 && err == nil { // as one alone does
						c.in(t, l)
						c.out(l)
						_ = l.Release(within(t))
						l, err = e.Acquire(within(t), set[0])
					}
					if err != nil {
						t.Errorf("engine %d: %v", k, err)
						return
					}
					c.in(t, l)
					time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
					c.out(l)
					if err := l.Release(within(t)); err != nil {
						t.Errorf("release: %v", err)
					}
				}
			})
		}
	}
	everybody.Wait()
	for _, r := range all {
		clean(t, servers, r)
	}
	eventually(t, "no queue is left", func() bool { return len(queueKeysAt(servers)) == 0 })
}

// TestSeveralAmongSinglesAreServed: seven engines keep all resources busy, each two goroutines to one; who wants all of them at
// once would never find them free.
func TestSeveralAmongSinglesAreServed(t *testing.T) {
	servers := redistest.StartN(t, 3)
	all := []string{"r0", "r1", "r2", "r3", "r4", "r5", "r6"}
	c := newHolders(all)
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	var singles sync.WaitGroup
	for _, r := range all {
		for range 2 {
			e := open(t, servers, engine.Config{})
			singles.Go(func() {
				for ctx.Err() == nil {
					l, err := e.Acquire(ctx, r)
					if err != nil {
						continue
					}
					c.in(t, l)
					time.Sleep(time.Millisecond)
					c.out(l)
					_ = l.Release(context.Background())
				}
			})
		}
	}
	e := open(t, servers, engine.Config{})
	for k := range 3 {
		begun := time.Now()
		l := acquireAll(t, e, all)
		t.Logf("set %d: after %v", k, time.Since(begun).Round(time.Millisecond))
		c.in(t, l)
		c.out(l)
		release(t, l)
	}
	stop()
	singles.Wait()
}
