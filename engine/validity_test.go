package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

func TestDeadlineCountsFromBeforeTheFirstSend(t *testing.T) {
	for _, delay := range []struct{ requests, replies time.Duration }{
		{0, 0},
		{0, 300 * time.Millisecond},
		{300 * time.Millisecond, 0},
		{200 * time.Millisecond, 200 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("requests %v, replies %v", delay.requests, delay.replies), func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.Latency(delay.requests, delay.replies) })
				asked := time.Now()
				l := acquire(t, e, "r")
				if took := time.Since(asked); took != delay.requests+delay.replies {
					t.Errorf("the acquire took %v", took)
				}
				if d := l.Deadline().Sub(asked); d != validity(ttl) {
					t.Errorf("the deadline is %v after the start, want %v", d, validity(ttl))
				}
				time.Sleep(delay.requests) // the last one is not waited for
				synctest.Wait()
				for _, s := range fleet.Servers {
					if left := s.TTL("r"); left < l.Remaining() {
						t.Errorf("%s has the key for another %v, the lease is valid for %v", s.Name(), left, l.Remaining())
					}
				}
			})
		})
	}
}

func TestDriftFactorAndOwnTTLAreInTheDeadline(t *testing.T) {
	cfg := config()
	cfg.DriftFactor = 0.1
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		asked := time.Now()
		l := acquire(t, e, "r", engine.WithTTL(20*time.Second))
		if d, want := l.Deadline().Sub(asked), 18*time.Second-2*time.Millisecond; d != want {
			t.Errorf("the deadline is %v after the start, want %v", d, want)
		}
	})
}

func TestGrantWhoseValidityIsUsedUpIsNoGrantAndLeavesNoKey(t *testing.T) {
	cfg := engine.Config{TTL: 200 * time.Millisecond, Tries: 1}
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Latency(0, 250*time.Millisecond) })
		asked := time.Now()
		l, err := e.Acquire(t.Context(), "r")
		if err == nil {
			t.Fatalf("granted: %v", l)
		}
		isAll(t, err, engine.ErrNoQuorum)
		isNone(t, err, engine.ErrHeld)
		between(t, "the refusal", time.Since(asked), 250*time.Millisecond, 250*time.Millisecond)
		if len(e.Leases()) != 0 {
			t.Error("there is a lease")
		}
		time.Sleep(time.Millisecond)
		empty(t, fleet, "r")
	})
}

func TestLateGrantIsRolledBackAndNotLeftToItsTTL(t *testing.T) {
	// One instance alone is fast, so that its key outlives the attempt: the
	// validity is short, but the key is not gone by itself when it is rolled back.
	cfg := engine.Config{TTL: 450 * time.Millisecond, DriftFactor: 0.9, RenewEvery: time.Millisecond, Tries: 1}
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Latency(50*time.Millisecond, 50*time.Millisecond) })
		_, err := e.Acquire(t.Context(), "r")
		isAll(t, err, engine.ErrNoQuorum)
		if fleet.Count("r", "") == 3 {
			t.Fatal("the test is pointless: the keys are gone already")
		}
		time.Sleep(51 * time.Millisecond)
		empty(t, fleet, "r")
	})
}

func TestAcquireWhoseValidityIsOverIsNotSent(t *testing.T) {
	cfg := engine.Config{TTL: 200 * time.Millisecond, Tries: 1}
	simulate(t, 1, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		s := fleet.Servers[0]
		s.Latency(0, 300*time.Millisecond)
		blocker := acquiring(t.Context(), e, "other")
		synctest.Wait() // the pipeline of the other one is in flight
		s.ForgetCalls()
		_, err := e.Acquire(t.Context(), "r")
		isAll(t, err, engine.ErrNoQuorum)
		for _, call := range s.Calls() {
			if call.Args[0] == "set" && call.Args[1] == "r" {
				t.Error("it was sent")
			}
		}
		<-blocker
		time.Sleep(time.Second)
		empty(t, fleet, "r")
	})
}

func TestDoneClosesAtTheDeadlineThoughAllSocketsHangAndBeforeTheKeysEnd(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		fleet.Each((*sim.Server).Hang)
		deadline := l.Deadline()
		<-l.Done()
		if now := time.Now(); !now.Equal(deadline) {
			t.Errorf("Done closed %v after the deadline", now.Sub(deadline))
		}
		isAll(t, l.Err(), lease.ErrExpired, lease.ErrLost)
		for _, s := range fleet.Servers {
			if s.Get("r") != l.Token() {
				t.Errorf("the key on %s was gone before Done closed", s.Name())
			}
		}
	})
}

func TestLeaseIsInvalidAtItsDeadlineAndValidAnInstantBefore(t *testing.T) {
	simulate(t, 1, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithoutRenewal())
		time.Sleep(l.Remaining() - 1)
		if !l.Valid() || l.Err() != nil || l.Remaining() != 1 {
			t.Errorf("it has ended too early: %v, %v left", l.Err(), l.Remaining())
		}
		time.Sleep(time.Nanosecond)
		if l.Valid() || l.Remaining() != 0 {
			t.Error("it is valid at its deadline")
		}
		isAll(t, l.Err(), lease.ErrExpired)
	})
}
