package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

func TestExtendMovesTheDeadlineCountedFromBeforeItsFirstSend(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithoutRenewal())
		synctest.Wait()
		time.Sleep(time.Second)
		fleet.Each(func(s *sim.Server) { s.Latency(100*time.Millisecond, 100*time.Millisecond) })
		asked := time.Now()
		if err := l.Extend(t.Context(), 30*time.Second); err != nil {
			t.Fatalf("l.Extend: %v", err)
		}
		if d := l.Deadline().Sub(asked); d != validity(30*time.Second) {
			t.Errorf("the deadline is %v after the start, want %v", d, validity(30*time.Second))
		}
		for _, s := range fleet.Servers {
			if s.TTL("r") < l.Remaining() {
				t.Errorf("%s has the key for another %v, the lease is valid for %v", s.Name(), s.TTL("r"), l.Remaining())
			}
		}
		deadline := l.Deadline()
		<-l.Done()
		if !time.Now().Equal(deadline) {
			t.Error("it does not end at the new deadline")
		}
	})
}

func TestExtendWithoutATTLTakesTheLeasesOwn(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithoutRenewal(), engine.WithTTL(20*time.Second))
		time.Sleep(5 * time.Second)
		if err := l.Extend(t.Context(), 0); err != nil {
			t.Fatalf("l.Extend: %v", err)
		}
		between(t, "remaining", l.Remaining(), validity(20*time.Second), validity(20*time.Second))
	})
}

func TestExtendNeverShortens(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithoutRenewal())
		synctest.Wait()
		deadline := l.Deadline()
		if err := l.Extend(t.Context(), time.Second); err != nil {
			t.Fatalf("l.Extend: %v", err)
		}
		if !l.Deadline().Equal(deadline) {
			t.Errorf("the deadline moved by %v", l.Deadline().Sub(deadline))
		}
		for _, s := range fleet.Servers {
			if s.TTL("r") != ttl {
				t.Errorf("%s has the key for %v", s.Name(), s.TTL("r"))
			}
		}
	})
}

func TestRenewalDoesNotShortenAnExtension(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		if err := l.Extend(t.Context(), time.Minute); err != nil {
			t.Fatalf("l.Extend: %v", err)
		}
		synctest.Wait()
		deadline := l.Deadline()
		time.Sleep(5 * every)
		synctest.Wait()
		if !l.Deadline().Equal(deadline) {
			t.Errorf("the deadline moved by %v", l.Deadline().Sub(deadline))
		}
		for _, s := range fleet.Servers {
			between(t, "TTL on "+s.Name(), s.TTL("r"), time.Minute-5*every, time.Minute-5*every)
		}
		time.Sleep(2 * time.Minute)
		if !l.Valid() {
			t.Errorf("it was not renewed afterwards: %v", l.Err())
		}
	})
}

func TestExtendNeverRecreates(t *testing.T) {
	t.Run("what has ended", func(t *testing.T) {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			l := acquire(t, e, "r", engine.WithoutRenewal())
			time.Sleep(2 * ttl)
			isAll(t, l.Extend(t.Context(), 0), lease.ErrExpired)
			empty(t, fleet, "r")
		})
	})
	t.Run("what was released", func(t *testing.T) {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			l := acquire(t, e, "r")
			release(t, l)
			isAll(t, l.Extend(t.Context(), 0), lease.ErrReleased)
			empty(t, fleet, "r")
		})
	})
	t.Run("what a majority no longer has", func(t *testing.T) {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			l := acquire(t, e, "r", engine.WithoutRenewal())
			synctest.Wait()
			sim.Each(fleet.Servers[:2], func(s *sim.Server) { s.Del("r") })
			isAll(t, l.Extend(t.Context(), 0), lease.ErrGone, lease.ErrLost)
			isAll(t, l.Err(), lease.ErrGone)
			if !done(l) {
				t.Error("Done is open")
			}
			synctest.Wait()
			if fleet.Count("r", l.Token()) > 1 {
				t.Error("it was re-created")
			}
		})
	})
	t.Run("what another has", func(t *testing.T) {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			l := acquire(t, e, "r", engine.WithoutRenewal())
			synctest.Wait()
			sim.Each(fleet.Servers[:2], func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
			isAll(t, l.Extend(t.Context(), 0), lease.ErrStolen, lease.ErrLost)
			isAll(t, l.Err(), lease.ErrStolen)
		})
	})
	t.Run("what was gone, and ended while it was asked", func(t *testing.T) {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			l := acquire(t, e, "r", engine.WithoutRenewal())
			synctest.Wait()
			time.Sleep(l.Remaining() - 100*time.Millisecond)
			fleet.Each(func(s *sim.Server) { s.Del("r"); s.Latency(0, 200*time.Millisecond) })
			err := l.Extend(t.Context(), 0) // nobody can tell any more what came first
			isAll(t, err, lease.ErrExpired)
			isNone(t, err, lease.ErrGone)
			isAll(t, l.Err(), lease.ErrExpired)
		})
	})
	t.Run("what ended while it was asked", func(t *testing.T) {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			l := acquire(t, e, "r", engine.WithoutRenewal())
			synctest.Wait()
			time.Sleep(l.Remaining() - 100*time.Millisecond)
			fleet.Each(func(s *sim.Server) { s.Latency(0, 200*time.Millisecond) })
			deadline := l.Deadline()
			isAll(t, l.Extend(t.Context(), 0), lease.ErrExpired)
			if !l.Deadline().Equal(deadline) || l.Valid() {
				t.Error("it was revived")
			}
		})
	})
}

func TestExtendWithoutAQuorumLeavesTheLeaseAsItIs(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithoutRenewal())
		synctest.Wait()
		sim.Each(fleet.Servers[:2], (*sim.Server).Hang)
		deadline, asked := l.Deadline(), time.Now()
		err := l.Extend(t.Context(), 30*time.Second)
		isAll(t, err, engine.ErrNoQuorum)
		isNone(t, err, lease.ErrLost)
		between(t, "the refusal", time.Since(asked), timeout, timeout)
		if !l.Valid() || !l.Deadline().Equal(deadline) {
			t.Errorf("%v, the deadline moved by %v", l.Err(), l.Deadline().Sub(deadline))
		}
	})
}

func TestCancelledExtendReturnsAtOnce(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithoutRenewal())
		synctest.Wait()
		fleet.Each((*sim.Server).Hang)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		asked := time.Now()
		err := l.Extend(ctx, 0)
		isAll(t, err, context.DeadlineExceeded, engine.ErrNoQuorum)
		between(t, "the return", time.Since(asked), 10*time.Millisecond, 10*time.Millisecond)
		if !l.Valid() {
			t.Errorf("the lease has ended, want it valid: %v", l.Err())
		}
	})
}

func TestExtendChecksItsTTL(t *testing.T) {
	simulate(t, 1, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		for _, bad := range []time.Duration{-1, 1, time.Millisecond + 1, time.Minute + time.Millisecond} {
			if err := l.Extend(t.Context(), bad); err == nil {
				t.Errorf("extended by %v", bad)
			}
		}
		if !l.Valid() {
			t.Errorf("the lease has ended, want it valid: %v", l.Err())
		}
	})
}
