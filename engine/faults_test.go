package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

const instanceTimeout = 400 * time.Millisecond

// A minority is stopped, killed or restarted empty while locks are acquired,
// renewed and released: all of it goes on, no call is held up for longer than
// the instances' timeout, nothing grows, and nothing is left behind.
func TestMinorityFaults(t *testing.T) {
	for _, fault := range []struct {
		name          string
		inject, mend  func(*redistest.Server)
		stateAfterIt  instance.State
		stateAfterAll instance.State
	}{
		{"stopped", (*redistest.Server).Pause, (*redistest.Server).Resume, instance.Down, instance.Up},
		{"killed", (*redistest.Server).Kill, (*redistest.Server).Restart, instance.Down, instance.Quarantined},
		{"restarted empty", (*redistest.Server).Restart, func(*redistest.Server) {}, instance.Quarantined, instance.Quarantined},
	} {
		for _, n := range []int{3, 5} {
			t.Run(fmt.Sprintf("%s, N=%d", fault.name, n), func(t *testing.T) {
				servers := redistest.StartN(t, n)
				minority := servers[:n-(n/2+1)]
				e := open(t, servers, engine.Config{TTL: 3 * time.Second, RenewEvery: 300 * time.Millisecond, InstanceTimeout: instanceTimeout})
				held := acquire(t, e, "held")

				allUp := cycles(t, e, 300)
				before := testkit.Goroutines()
				var during time.Duration
				var wg sync.WaitGroup
				wg.Go(func() { during = cycles(t, e, 700) })
				for _, s := range minority { // while acquires, renewals and releases are on their way
					fault.inject(s)
				}
				wg.Wait()
				for seat := range minority {
					state(t, e, seat, fault.stateAfterIt)
				}
				if !held.Valid() {
					t.Fatalf("the lease has ended, want it valid: %v", held.Err())
				}
				was := held.Deadline()
				after := cycles(t, e, 300)
				eventually(t, "the held lease is renewed", func() bool { return held.Deadline().After(was) })
				if grown := testkit.Goroutines() - before; grown > n { // a probe under way may be one an instance
					t.Errorf("1,000 cycles left %d goroutines more", grown)
				}
				for phase, longest := range map[string]time.Duration{"during": during, "after": after} {
					if longest > allUp+instanceTimeout {
						t.Errorf("%s the fault a call took %v; with all up the longest took %v", phase, longest, allUp)
					}
				}

				for _, s := range minority {
					fault.mend(s)
				}
				for seat := range minority {
					state(t, e, seat, fault.stateAfterAll)
				}
				cycles(t, e, 100)
				everywhere(t, servers, held) // healed where it was lost
				release(t, held)
				for n, s := range servers {
					eventually(t, fmt.Sprintf("server %d is empty", n), func() bool { return len(s.Keys()) == 0 })
				}
			})
		}
	}
}

// cycles acquires and releases distinct resources, eight at a time, with every
// kind of call that a user makes, and returns how long the longest call took.
// The TTL is long: a key that is not deleted is found.
func cycles(t *testing.T, e *engine.Engine, n int) time.Duration {
	var longest atomic.Int64
	timed := func(what string, call func() error) {
		start := time.Now()
		err := call()
		took := int64(time.Since(start))
		for was := longest.Load(); took > was && !longest.CompareAndSwap(was, took); was = longest.Load() {
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				k := next.Add(1)
				if k > int64(n) || t.Failed() {
					return
				}
				var l *lease.Lease
				timed("acquire", func() (err error) {
					l, err = e.TryAcquire(within(t), fmt.Sprintf("cycle-%d", k), engine.WithTTL(time.Minute))
					return err
				})
				if l == nil {
					return
				}
				if k%4 == 0 {
					timed("extend", func() error { return l.Extend(within(t), time.Minute) })
				}
				timed("release", func() error { return l.Release(within(t)) })
			}
		})
	}
	wg.Wait()
	return time.Duration(longest.Load())
}

// A majority is stopped: leases end before their keys do, and the error says
// what is wrong with each instance.
func TestMajorityStopped(t *testing.T) {
	servers := redistest.StartN(t, 3)
	// Much drift, so that there is time to look at the keys after Done.
	e := open(t, servers, engine.Config{TTL: 3 * time.Second, DriftFactor: 0.5, RenewEvery: 300 * time.Millisecond, InstanceTimeout: 200 * time.Millisecond})
	l := acquire(t, e, "majority")
	ctx, cancel := l.Context(context.Background())
	defer cancel()
	everywhere(t, servers, l)
	servers[0].Pause()
	servers[2].Kill()

	state(t, e, 0, instance.Down)
	state(t, e, 2, instance.Down)
	_, err := e.TryAcquire(within(t), "another")
	oneLine(t, err)
	if !errors.Is(err, engine.ErrNoQuorum) || errors.Is(err, engine.ErrHeld) {
		t.Errorf("want ErrNoQuorum, got %v", err)
	}
	for _, says := range []string{servers[0].Addr() + ": timed out", servers[2].Addr() + ": unreachable", "connection refused", servers[1].Addr()} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("the error does not say %q: %v", says, err)
		}
	}
	short, cancelShort := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancelShort()
	_, err = e.Acquire(short, "another")
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, engine.ErrNoQuorum) {
		t.Errorf("want the context's error and ErrNoQuorum, got %v", err)
	}
	clean(t, servers[1:2], "another")

	if err := ended(t, l); !errors.Is(err, lease.ErrExpired) {
		t.Errorf("ended with %v", err)
	}
	servers[0].Resume()
	if left := servers[0].PTTL("majority"); left <= 0 {
		t.Errorf("the key had ended before Done: %v", left)
	}
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), lease.ErrExpired) {
		t.Errorf("the lease's context ended with %v", context.Cause(ctx))
	}
}

// What is still on its way to an instance when its caller leaves, or the
// instance freezes, is undone as soon as the instance is back.
func TestNothingIsLeftBehindByAFrozenInstance(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: time.Minute, InstanceTimeout: 100 * time.Millisecond})
	for round := range 10 {
		resource := fmt.Sprintf("frozen-%d", round)
		servers[0].Pause()
		servers[1].Pause()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		_, err := e.Acquire(ctx, resource)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, engine.ErrNoQuorum) {
			t.Fatalf("acquire without a quorum: got %v, want the context's error and ErrNoQuorum", err)
		}
		if round%2 == 0 { // let the actor give up on the frozen ones first
			state(t, e, 0, instance.Down)
			state(t, e, 1, instance.Down)
		}
		servers[0].Resume()
		servers[1].Resume()
		state(t, e, 0, instance.Up)
		state(t, e, 1, instance.Up)
		clean(t, servers, resource)
	}
}

// An engine starts without the minority, and is joined by it later.
func TestOpensWithoutAMinority(t *testing.T) {
	servers := redistest.StartN(t, 3)
	servers[1].Kill()
	e := open(t, servers, engine.Config{Guard: instance.GuardOff})
	state(t, e, 1, instance.Down)
	release(t, acquire(t, e, "r"))
	servers[1].Restart()
	state(t, e, 1, instance.Up)
	l := acquire(t, e, "r")
	everywhere(t, servers, l)
	release(t, l)

	servers[0].Kill()
	servers[1].Kill()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := engine.Open(ctx, redistest.URLs(servers), engine.Config{})
	oneLine(t, err)
	if !errors.Is(err, engine.ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), servers[0].Addr()) {
		t.Errorf("open without a quorum: %v", err)
	}
}

// A server that hangs, in the minority, holds up neither Open nor Close, whatever its
// timeout is.
func TestAHungMinorityHoldsUpNeitherOpenNorClose(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a timeout, three times: 6 seconds")
	}
	t.Parallel()
	for n := range 3 {
		servers := redistest.StartN(t, 3)
		servers[n].Pause()
		begun := time.Now()
		e, err := engine.Open(within(t), redistest.URLs(servers), engine.Config{Guard: instance.GuardOff, TTL: 50 * time.Second, InstanceTimeout: 40 * time.Second})
		if err != nil {
			t.Fatalf("engine.Open: %v", err)
		}
		release(t, acquire(t, e, "r"))
		if err := e.Close(within(t)); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		if d := time.Since(begun); d > 20*time.Second {
			t.Errorf("with server %d hung it took %v", n, d)
		}
	}
}

// What is told of a server that hangs is that, and not what becomes of the
// connection then.
func TestAHungServerIsSaidNotToAnswerInTime(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	servers[1].Pause()
	e := open(t, servers, engine.Config{Guard: instance.GuardOff, InstanceTimeout: 200 * time.Millisecond})
	state(t, e, 1, instance.Down)
	if err := e.Instances()[1].Err; err == nil || err.Error() != "no answer in time" {
		t.Errorf("the reason is %v", err)
	}
}

// Scripts that the server has forgotten, and connections that it has cut, are
// nobody's trouble.
func TestForgottenScriptsAndCutConnections(t *testing.T) {
	servers := redistest.StartN(t, 1)
	e := open(t, servers, engine.Config{})
	for k := range 50 {
		switch k % 3 {
		case 0:
			servers[0].MustDo("SCRIPT", "FLUSH")
		case 1:
			servers[0].MustDo("CLIENT", "KILL", "TYPE", "normal")
		}
		l, err := e.TryAcquire(within(t), "r")
		if err != nil {
			t.Fatalf("e.TryAcquire: %v", err)
		}
		if k%2 == 0 {
			servers[0].MustDo("SCRIPT", "FLUSH")
			servers[0].MustDo("CLIENT", "KILL", "TYPE", "normal")
		}
		if err := l.Extend(within(t), 0); err != nil {
			t.Fatalf("l.Extend: %v", err)
		}
		if err := l.Release(within(t)); err != nil {
			t.Fatalf("l.Release: %v", err)
		}
	}
}

// An instance that restarted without its memory must not vote on new acquires
// for as long as a lease that it has forgotten may last.
func TestRestartGuard(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for quarantines to end: 4 seconds")
	}
	t.Parallel() // it waits most of the time
	servers := redistest.StartN(t, 3)
	strict := engine.Config{MaxTTL: time.Second, TTL: time.Second, Guard: instance.GuardStrict, InstanceTimeout: 300 * time.Millisecond}
	adaptive := strict
	adaptive.Guard = instance.GuardAdaptive

	a := open(t, servers, adaptive) // all are new: trusted at once
	l := acquire(t, a, "guarded", engine.WithoutRenewal())
	everywhere(t, servers, l)
	servers[0].Restart()
	servers[1].Restart()
	state(t, a, 0, instance.Quarantined) // reached again, and seen through
	state(t, a, 1, instance.Quarantined)
	_, err := a.TryAcquire(within(t), "guarded")
	if err == nil || !strings.Contains(err.Error(), "quarantined for another") {
		t.Errorf("two restarted instances: %v", err)
	}
	next := acquire(t, a, "guarded")
	if l.Valid() {
		t.Error("two holders")
	}
	release(t, next)

	b := open(t, redistest.StartN(t, 1), strict) // a strict engine waits even then
	if h := b.Instances()[0]; h.State != instance.Quarantined || h.Quarantine <= 0 {
		t.Errorf("a strict engine's instance: got %+v, want it quarantined for some time", h)
	}
	if _, err := b.TryAcquire(within(t), "r"); !errors.Is(err, engine.ErrNoQuorum) {
		t.Errorf("b.TryAcquire: got %v, want %v", err, engine.ErrNoQuorum)
	}
	release(t, acquire(t, b, "r"))
}
