package engine_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

func handingOn(times int) engine.Config {
	cfg := config()
	cfg.LocalHandoff = times
	return cfg
}

// asked returns how many commands the servers have been sent since the last time.
func asked(fleet *sim.Fleet) (n int) {
	for _, s := range fleet.Servers {
		n += len(s.Calls())
		s.ForgetCalls()
	}
	return n
}

func TestLockIsHandedOnWithoutARoundTrip(t *testing.T) {
	simulate(t, 3, handingOn(3), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r")
		var waiters []<-chan result
		for range 5 {
			waiters = append(waiters, acquiring(t.Context(), e, "r"))
			synctest.Wait()
		}
		asked(fleet)
		for n, w := range waiters {
			begun := time.Now()
			release(t, held)
			time.Sleep(aBreak)
			next := got(t, w)
			if next.err != nil {
				t.Fatalf("acquire: %v", next.err)
			}
			switch commands := asked(fleet); {
			case n < 3 && (commands > 0 || !next.at.Equal(begun)):
				t.Errorf("handoff %d took %d commands and %v", n, commands, next.at.Sub(begun))
			case n == 3 && commands == 0:
				t.Errorf("it was handed on more often than 3 times in a row")
			}
			if next.lease.Token() == held.Token() || !next.lease.Valid() || held.Valid() {
				t.Errorf("handoff %d: %v after %v", n, next.lease, held)
			}
			held = next.lease
		}
		release(t, held)
		synctest.Wait()
		for _, holder := range fleet.Holders("r") {
			if holder != "" {
				t.Errorf("left behind: %v", fleet.Holders("r"))
			}
		}
	})
}

// The time for which it may be held counts from the handoff.
func TestHandedOnLockEndsAtTheMaxHoldOfItsHolder(t *testing.T) {
	simulate(t, 3, handingOn(3), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		const hold = 3 * time.Second
		held := acquire(t, e, "r", engine.WithMaxHold(hold)) // a limit shortens the TTL, which must suit
		next := acquiring(t.Context(), e, "r", engine.WithMaxHold(hold))
		synctest.Wait()
		asked(fleet)
		begun := time.Now()
		release(t, held)
		synctest.Wait()
		l := got(t, next).lease
		if n := asked(fleet); n > 0 || l == nil {
			t.Fatalf("the servers were sent %d commands, and the next has %v, want it handed on", n, l)
		}
		<-l.Done()
		between(t, "the end", time.Since(begun), hold, hold)
		isAll(t, l.Err(), lease.ErrMaxHold)
	})
}

func TestFormerHolderHasNoPowerOverTheNext(t *testing.T) {
	simulate(t, 3, handingOn(64), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		former := acquire(t, e, "r")
		w := acquiring(t.Context(), e, "r")
		synctest.Wait()
		var again [4]error
		var all atomic.Int32
		for n := range again { // all at once: one of them hands on
			go func() {
				again[n] = former.Release(t.Context())
				all.Add(1)
			}()
		}
		next := got(t, w)
		if next.err != nil || all.Load() != int32(len(again)) {
			t.Fatalf("acquire: %v; %d went before, want %d", next.err, all.Load(), len(again))
		}
		for _, err := range again {
			if err != nil {
				t.Errorf("released again: %v", err)
			}
		}
		if err := former.Extend(t.Context(), 0); err == nil {
			t.Error("the former holder can extend")
		}
		for _, token := range []string{former.Token(), next.lease.Token()} {
			if n := fleet.Count("r", token); n != 0 {
				t.Errorf("the lock has a token that a lease shows, on %d servers", n)
			}
			if _, err := start(t, fleet, config()).Adopt(t.Context(), "r", token); err == nil {
				t.Error("a lease's token can take the lock over")
			}
		}
		time.Sleep(3 * ttl) // it is renewed as the next one's
		if !next.lease.Valid() {
			t.Errorf("the lease has ended, want it valid: %v", next.lease.Err())
		}
		isAll(t, former.Err(), lease.ErrReleased)
		release(t, next.lease)
	})
}

func TestHandedOnFencesRise(t *testing.T) {
	simulate(t, 3, handingOn(4), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		other := start(t, fleet, config())
		last := uint64(0)
		rise := func(l *lease.Lease) {
			t.Helper()
			if l.Fence() <= last {
				t.Errorf("fence %d after %d", l.Fence(), last)
			}
			last = l.Fence()
		}
		for range 3 {
			held := acquire(t, e, "r", engine.WithFencing())
			rise(held)
			for range 9 {
				w := acquiring(t.Context(), e, "r", engine.WithFencing())
				synctest.Wait()
				release(t, held)
				time.Sleep(aBreak)
				held = got(t, w).lease
				rise(held)
			}
			release(t, held)
			l := acquire(t, other, "r", engine.WithFencing())
			rise(l)
			release(t, l)
		}
	})
}

func TestWhatDoesNotSuitGoesOverTheWire(t *testing.T) {
	for name, opts := range map[string][]engine.Option{
		"a token of its own": {engine.WithToken("mine")},
		"another TTL":        {engine.WithTTL(ttl / 2)},
		"no renewal":         {engine.WithoutRenewal()},
		"fencing":            {engine.WithFencing()},
		"counted tries":      {engine.WithTries(1000)},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, handingOn(64), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				held := acquire(t, e, "r")
				w := acquiring(t.Context(), e, "r", opts...)
				synctest.Wait()
				before := fleet.Servers[0].Get("r")
				release(t, held)
				next := <-w
				if next.err != nil {
					t.Fatalf("acquire: %v", next.err)
				}
				synctest.Wait() // a majority suffices to grant: the first server may be the last to hear
				if name != "counted tries" && fleet.Servers[0].Get("r") == before {
					t.Error("it has been handed the same lock")
				}
				release(t, next.lease)
			})
		})
	}
}

func TestStaleLockIsNotHandedOn(t *testing.T) {
	cfg := handingOn(64)
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r")
		w := acquiring(t.Context(), e, "r")
		synctest.Wait()
		before := fleet.Servers[0].Get("r")
		fleet.Each((*sim.Server).Hang) // no renewal gets through
		time.Sleep(ttl * 3 / 4)
		fleet.Each((*sim.Server).Thaw)
		if !held.Valid() {
			t.Fatalf("the lease has ended, want it valid: %v", held.Err())
		}
		_ = held.Release(t.Context())
		next := <-w
		if next.err != nil {
			t.Fatalf("acquire: %v", next.err)
		}
		if fleet.Count("r", before) > 1 {
			t.Error("what was left of an old lock has been handed on")
		}
		if left := next.lease.Remaining(); left < validity(ttl)-time.Second {
			t.Errorf("the next holder gets %v", left)
		}
	})
}

func TestNobodyIsLostInHandoffs(t *testing.T) {
	simulate(t, 1, handingOn(8), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		var holders, served atomic.Int32
		done := make(chan struct{})
		const waiters = 100
		for n := range waiters {
			go func() {
				defer func() { done <- struct{}{} }()
				for range 10 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+n%20)*time.Millisecond)
					l, err := e.Acquire(ctx, "r")
					if err == nil {
						if holders.Add(1) != 1 {
							t.Error("two holders")
						}
						time.Sleep(time.Duration(n%3) * 100 * time.Microsecond)
						holders.Add(-1)
						served.Add(1)
						if err := l.Release(context.Background()); err != nil {
							t.Errorf("l.Release: %v", err)
						}
					}
					cancel()
				}
			}()
		}
		for range waiters {
			<-done
		}
		synctest.Wait()
		if served.Load() < waiters || fleet.Servers[0].Get("r") != "" || len(e.Leases()) != 0 {
			t.Errorf("%d served; left %q, %d leases", served.Load(), fleet.Servers[0].Get("r"), len(e.Leases()))
		}
		release(t, acquire(t, e, "r"))
	})
}

// An acquire reserves the numbers of those that the lock may be handed on to. They are
// used up by the second, and must not run away from the clocks.
func TestReservedFencesNeverLockTheEngineOut(t *testing.T) {
	for _, c := range []struct {
		pause time.Duration
		times int
	}{{10 * time.Millisecond, 2000}, {100 * time.Microsecond, 8000}} {
		t.Run(fmt.Sprintf("every %v", c.pause), func(t *testing.T) {
			testkit.Simulate(t, func(t *testing.T) {
				fleet, ahead := sim.NewNative(t, 1), 0
				cfg := handingOn(1 << 16)
				cfg.Trace = &engine.Trace{Vote: func(v engine.VoteInfo) {
					if v.Kind == instance.Ahead {
						ahead++
					}
				}}
				e := start(t, fleet, cfg)
				last, furthest := uint64(0), time.Duration(0)
				for range c.times {
					l := acquire(t, e, "r", engine.WithFencing())
					if l.Fence() <= last {
						t.Fatalf("fence %d after %d", l.Fence(), last)
					}
					last = l.Fence()
					highest := fleet.Servers[0].Fence("", "r")
					furthest = max(furthest, time.Duration(int64(highest)-time.Now().UnixMicro())*time.Microsecond)
					release(t, l)
					time.Sleep(c.pause)
				}
				if ahead != 0 || furthest > 100*time.Millisecond {
					t.Errorf("%d votes ahead; the fence was ahead of the clock by %v", ahead, furthest)
				}
			})
		})
	}
}

// However many times a lock may be handed on, and for how long each holder has it,
// others get their turn: after the shortest where they are known to wait, after the
// longest where they have just come.
func TestHandingOnLeavesOthersTheirTurn(t *testing.T) {
	const (
		hold    = 20 * time.Millisecond
		longest = 320 * time.Millisecond // of a turn: see fairness
	)
	for name, c := range map[string]struct {
		alone time.Duration // before the other comes
		first time.Duration // until its first turn
	}{
		"who waits from the beginning":    {0, 2 * hold},
		"who comes when nobody else does": {5 * time.Second, longest + 2*hold},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, handingOn(64), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.Latency(50*time.Microsecond, 50*time.Microsecond) })
				other := start(t, fleet, config())
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{}, 4)
				var grants atomic.Int32
				for range 4 {
					go func() {
						defer func() { ended <- struct{}{} }()
						for {
							l, err := e.Acquire(ctx, "r")
							if err != nil {
								return
							}
							grants.Add(1)
							time.Sleep(hold)
							release(t, l)
						}
					}()
				}
				time.Sleep(hold/2 + c.alone)
				asked := grants.Load()
				for turn := range 20 {
					begun := time.Now()
					soon, stop := context.WithTimeout(t.Context(), 5*time.Second)
					l, err := other.Acquire(soon, "r")
					stop()
					if err != nil {
						t.Fatalf("other.Acquire: %v", err)
					}
					waited := time.Since(begun)
					if most := c.first; turn == 0 && waited > most {
						t.Errorf("the first turn came after %v", waited)
					} else if turn > 0 && waited > 3*hold {
						t.Errorf("turn %d came after %v", turn, waited)
					}
					time.Sleep(hold)
					release(t, l)
				}
				if grants.Load() < asked+10 {
					t.Error("the engine that hands on has not had its own turns")
				}
				cancel()
				for range 4 {
					<-ended
				}
			})
		})
	}
}
