package engine_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/holdfast-go/holdfast/lease"
)

// noPermits waits until no server has anything of a resource's permits but a bell.
func noPermits(t *testing.T, servers []*redistest.Server) {
	t.Helper()
	eventually(t, "no permit is left", func() bool {
		for _, s := range servers {
			if slices.ContainsFunc(s.Keys(), func(key string) bool {
				return strings.HasPrefix(key, "permit") && !strings.HasPrefix(key, "permit-bell")
			}) {
				return false
			}
		}
		return true
	})
}

func TestAsManyHoldAsThereArePermits(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, n)
			e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
			var held []*lease.Lease
			var slots []int
			for k := range 3 {
				l := acquire(t, []*engine.Engine{e, other}[k%2], "r", engine.Permits(3))
				if l.Resource() != "r" || len(l.Slots()) != 1 {
					t.Errorf("the lease is %v, of slots %v", l, l.Slots())
				}
				held, slots = append(held, l), append(slots, l.Slots()...)
			}
			if slices.Sort(slots); !slices.Equal(slots, []int{0, 1, 2}) {
				t.Errorf("the permits are %v", slots)
			}
			for _, one := range []*engine.Engine{e, other} {
				if l, err := one.TryAcquire(within(t), "r", engine.Permits(3)); !errors.Is(err, engine.ErrHeld) {
					t.Errorf("a fourth: %v, %v", l, err)
				}
			}
			if err := held[1].Extend(within(t), 0); err != nil {
				t.Errorf("extend: %v", err)
			}
			more := acquire(t, e, "r", engine.Permits(4)) // there are more by now
			if got := more.Slots(); !slices.Equal(got, []int{3}) {
				t.Errorf("the fourth is %v", got)
			}
			for k, l := range held {
				slot := l.Slots()
				release(t, l)
				next := acquire(t, other, "r", engine.Permits(3))
				if !slices.Equal(next.Slots(), slot) {
					t.Errorf("%v was given back, and %v acquired", slot, next.Slots())
				}
				held[k] = next
			}
			release(t, more)
			if l, err := e.TryAcquire(within(t), "r", engine.Permits(2)); !errors.Is(err, engine.ErrHeld) { // there are fewer by now
				t.Errorf("with two of three: %v, %v", l, err)
			}
			for _, l := range held {
				release(t, l)
			}
			noPermits(t, servers)
		})
	}
}

// TestAFreePermitIsOneQuestion: the one that an engine gave back last, or, to begin with, the one that it thinks of.
func TestAFreePermitIsOneQuestion(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	for range 3 {
		sets, scripts := servers[0].Calls("set"), servers[0].Calls("evalsha")
		l := acquire(t, e, "r", engine.Permits(100))
		eventually(t, "it is asked for everywhere", func() bool { return servers[0].Calls("set") > sets })
		if n := servers[0].Calls("set") - sets; n != 1 || servers[0].Calls("evalsha") != scripts {
			t.Errorf("%d SETs and %d scripts", n, servers[0].Calls("evalsha")-scripts)
		}
		release(t, l)
		noPermits(t, servers)
	}
}

func TestWhoWaitsForAPermitIsToldOfAny(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	var held []*lease.Lease
	for range 3 {
		held = append(held, acquire(t, other, "r", engine.Permits(3)))
	}
	quickest := time.Hour
	for k := range held {
		got := make(chan *lease.Lease, 1)
		waits := e.Snapshot(0).Waiting
		go func() {
			l, err := e.Acquire(within(t), "r", engine.Permits(3))
			if err != nil {
				t.Errorf("acquire: %v", err)
			}
			got <- l
		}()
		eventually(t, "it waits", func() bool { return e.Snapshot(0).Waiting > waits })
		time.Sleep(50 * time.Millisecond)
		released := time.Now()
		release(t, held[k])
		l := <-got
		quickest = min(quickest, time.Since(released))
		held[k] = l
	}
	if quickest > 400*time.Millisecond { // when it would look again by itself, at the earliest
		t.Errorf("it has waited for %v", quickest)
	}
	ctx, cancel := context.WithTimeout(within(t), 100*time.Millisecond)
	defer cancel()
	if _, err := other.Acquire(ctx, "r", engine.Permits(3)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, engine.ErrHeld) {
		t.Errorf("with all held: %v", err)
	}
	for _, l := range held {
		release(t, l)
	}
	noPermits(t, servers)
}

func TestAPermitThatNobodyGivesBackIsFound(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	l := acquire(t, other, "r", engine.Permits(1), engine.WithTTL(time.Second), engine.WithoutRenewal())
	next := acquire(t, e, "r", engine.Permits(1))
	if l.Valid() {
		t.Error("both are valid")
	}
	release(t, next)
}

func TestAPermitWithOneServerDown(t *testing.T) {
	servers := redistest.StartN(t, 3)
	for down := range servers {
		e := open(t, servers, engine.Config{TTL: 2 * time.Second, RenewEvery: 100 * time.Millisecond})
		servers[down].Kill()
		state(t, e, down, instance.Down)
		a, b := acquire(t, e, "r", engine.Permits(3)), acquire(t, e, "r", engine.Permits(3), engine.Weight(2))
		if _, err := e.TryAcquire(within(t), "r", engine.Permits(3)); !errors.Is(err, engine.ErrHeld) {
			t.Errorf("a fourth: %v", err)
		}
		first := a.Deadline()
		eventually(t, "it is renewed", func() bool { return a.Deadline().After(first) })
		servers[down].Restart()
		for _, l := range []*lease.Lease{a, b} { // healed
			for _, slot := range l.Slots() {
				key := fmt.Sprintf("permit-%d:{r}", slot)
				eventually(t, key+" is everywhere", func() bool { return servers[down].Get(key) == l.Token() })
			}
			release(t, l)
		}
		noPermits(t, servers)
		if err := e.Close(within(t)); err != nil {
			t.Error(err)
		}
	}
}

// TestAPermitOfWhichTheOthersAreTakenIsGivenBack: an instance has chosen it, and the others refuse.
func TestAPermitOfWhichTheOthersAreTakenIsGivenBack(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	for k, s := range servers { // each has another one free
		for slot := range 3 {
			if slot != k {
				s.MustDo("SET", e.PermitName("r", slot), "somebody's")
			}
		}
	}
	for _, weight := range []int{1, 2} {
		if _, err := e.TryAcquire(within(t), "r", engine.Permits(3), engine.Weight(weight)); !errors.Is(err, engine.ErrHeld) {
			t.Errorf("no permit is free on a majority: %v", err)
		}
	}
	for k, s := range servers {
		clean(t, []*redistest.Server{s}, e.PermitName("r", k))
	}
}

func TestAPermitThatIsTakenAwayIsLost(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{RenewEvery: 50 * time.Millisecond})
	l := acquire(t, e, "r", engine.Permits(5), engine.Weight(3))
	lost := l.Slots()[1]
	for _, s := range servers[:2] {
		s.MustDo("SET", fmt.Sprintf("permit-%d:{r}", lost), "somebody's")
	}
	if err := ended(t, l); !errors.Is(err, lease.ErrStolen) || !strings.Contains(err.Error(), fmt.Sprintf("permit %d of %q", lost, "r")) {
		t.Errorf("it ended with %v", err)
	}
	if err := l.Release(within(t)); !errors.Is(err, lease.ErrStolen) {
		t.Errorf("release: %v", err)
	}
}

// counter checks that no more permits are held at once than there are, and none twice.
type counter struct {
	held [8]atomic.Int32
	all  atomic.Int32
}

func (c *counter) hold(t *testing.T, l *lease.Lease, n int, d time.Duration) {
	slots := l.Slots()
	for _, slot := range slots {
		if c.held[slot].Add(1) != 1 && l.Valid() {
			t.Errorf("permit %d is held twice", slot)
		}
	}
	if all := c.all.Add(int32(len(slots))); all > int32(n) && l.Valid() {
		t.Errorf("%d of %d are held", all, n)
	}
	time.Sleep(d)
	c.all.Add(-int32(len(slots)))
	for _, slot := range slots {
		c.held[slot].Add(-1)
	}
	if err := l.Release(context.Background()); err != nil {
		t.Errorf("release: %v", err)
	}
}

func TestPermitsOfManyEngines(t *testing.T) {
	servers := redistest.StartN(t, 3)
	var c counter
	var everybody sync.WaitGroup
	for k := range 5 {
		e := open(t, servers, engine.Config{LocalHandoff: 16 * (k % 2)})
		for g := range 3 {
			everybody.Go(func() {
				for range 15 {
					l, err := e.Acquire(within(t), "r", engine.Permits(4), engine.Weight(1+g%2))
					if err != nil {
						t.Errorf("engine %d: %v", k, err)
						return
					}
					c.hold(t, l, 4, time.Millisecond)
				}
			})
		}
	}
	everybody.Wait()
	noPermits(t, servers)
}

// TestManyPermitsAmongSinglesAreServed: others keep all permits busy, so that they are never free at once.
func TestManyPermitsAmongSinglesAreServed(t *testing.T) {
	servers := redistest.StartN(t, 3)
	var c counter
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	var singles sync.WaitGroup
	for range 3 {
		e := open(t, servers, engine.Config{})
		for range 4 {
			singles.Go(func() {
				for ctx.Err() == nil {
					if l, err := e.Acquire(ctx, "r", engine.Permits(4)); err == nil {
						c.hold(t, l, 4, 5*time.Millisecond)
					}
				}
			})
		}
	}
	var heavy sync.WaitGroup
	for range 2 { // who would wait for each other for ever if both collected
		e := open(t, servers, engine.Config{})
		heavy.Go(func() {
			begun := time.Now()
			l, err := e.Acquire(within(t), "r", engine.Permits(4), engine.Weight(3))
			if err != nil {
				t.Errorf("three of four: %v", err)
				return
			}
			t.Logf("three of four after %v", time.Since(begun).Round(time.Millisecond))
			c.hold(t, l, 4, time.Millisecond)
		})
	}
	heavy.Wait()
	stop()
	singles.Wait()
	noPermits(t, servers)
}

func TestAnAcquireOfPermitsThatIsCancelledLeavesNothing(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	held := acquire(t, other, "r", engine.Permits(3), engine.Weight(2))
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	go func() { // once it collects
		for ctx.Err() == nil && servers[0].Get("permit-turn:{r}") == "" {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		cancel()
	}()
	if _, err := e.Acquire(ctx, "r", engine.Permits(3), engine.Weight(2)); !errors.Is(err, context.Canceled) || !errors.Is(err, engine.ErrHeld) {
		t.Errorf("the error is %v", err)
	}
	if leases := e.Leases(); len(leases) > 0 {
		t.Errorf("the engine has %v", leases)
	}
	release(t, held)
	noPermits(t, servers)
	eventually(t, "no queue is left", func() bool { return len(queueKeysAt(servers)) == 0 })
}

func TestPermitsOnACluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, false)
	e := enginetest.New(t, engine.Config{}, enginetest.Dial(t, "", instance.Config{Cluster: c.Addrs()[:1]}))
	state(t, e, 0, instance.Up)
	if _, err := e.Acquire(within(t), "}{", engine.Permits(3), engine.Weight(2)); !errors.Is(err, engine.ErrRefused) { // no names are in one slot
		t.Errorf("a name without a slot: %v", err)
	}
	for _, resource := range []string{"r", "in {braces}"} {
		a, b := acquire(t, e, resource, engine.Permits(3)), acquire(t, e, resource, engine.Permits(3), engine.Weight(2))
		if _, err := e.TryAcquire(within(t), resource, engine.Permits(3)); !errors.Is(err, engine.ErrHeld) {
			t.Errorf("a fourth: %v", err)
		}
		release(t, a)
		release(t, b)
	}
}
