package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// simulateFences is simulate on native servers, whose clocks the engine knows: its fences are raised natively.
func simulateFences(t *testing.T, n int, prepare func(*sim.Server), test func(*testing.T, *sim.Fleet, *engine.Engine)) {
	t.Helper()
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.NewNative(t, n)
		fleet.Each(prepare)
		e := start(t, fleet, config())
		release(t, acquire(t, e, "another", engine.WithFencing()))
		synctest.Wait()
		test(t, fleet, e)
	})
}

func asItIs(*sim.Server) {}

// A native acquire whose number is too low has taken the lock all the same. It is given back before a higher one is proposed.
func TestRefusedNumberLeavesNoLock(t *testing.T) {
	for name, prepare := range map[string]func(*sim.Server){
		"native": asItIs, "script": func(s *sim.Server) { s.ForbidKill() },
	} {
		t.Run(name, func(t *testing.T) {
			simulateFences(t, 3, prepare, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				ahead := uint64(time.Now().Add(time.Millisecond).UnixMicro())
				for _, s := range fleet.Servers[:2] {
					s.SetFence("", "r", ahead)
				}
				l, err := e.TryAcquire(t.Context(), "r", engine.WithFencing())
				if err != nil {
					t.Fatalf("e.TryAcquire: %v", err)
				}
				if l.Fence() <= ahead {
					t.Errorf("the fence is %d, want more than %d", l.Fence(), ahead)
				}
				synctest.Wait()
				fleet.Each(func(s *sim.Server) {
					if got := s.Get("r"); got != l.Token() {
						t.Errorf("%s has %q, want the lease's token", s.Name(), got)
					}
				})
				release(t, l)
				synctest.Wait()
				fleet.Each(func(s *sim.Server) {
					if got := s.Get("r"); got != "" {
						t.Errorf("%s still has %q", s.Name(), got)
					}
				})
			})
		})
	}
}

// Where a connection breaks before the answer, a higher number is proposed, and the first one leaves nothing. The lease never
// has a number that was there before.
func TestFencedAcquireOutlivesABrokenConnection(t *testing.T) {
	simulateFences(t, 1, asItIs, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		s := fleet.Servers[0]
		ahead := uint64(time.Now().Add(time.Millisecond).UnixMicro())
		s.SetFence("", "r", ahead)
		s.LoseReplies(true)
		got := make(chan *lease.Lease, 1)
		go func() {
			l, err := e.Acquire(t.Context(), "r", engine.WithFencing())
			if err != nil {
				t.Errorf("e.Acquire: %v", err)
			}
			got <- l
		}()
		synctest.Wait()
		if s.Get("r") == "" {
			t.Error("the first has not been heard")
		}
		s.LoseReplies(false)
		s.Break()
		l := <-got
		if l == nil {
			return
		}
		if l.Fence() <= ahead || s.Get("r") != l.Token() {
			t.Errorf("the fence is %d, and %q has the lock; want more than %d, and the lease's token", l.Fence(), s.Get("r"), ahead)
		}
		release(t, l)
	})
}

// Refused attempts of others raise the fence above a holder's: its lock is put back where it was lost all the same.
func TestFencedLeaseIsHealedThoughTheFenceIsHigher(t *testing.T) {
	for name, prepare := range map[string]func(*sim.Server){
		"native": asItIs, "script": func(s *sim.Server) { s.LacksBitfield() },
	} {
		t.Run(name, func(t *testing.T) {
			simulateFences(t, 3, prepare, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				l := acquire(t, e, "r", engine.WithFencing())
				synctest.Wait() // until the third has granted it, too
				fleet.Each(func(s *sim.Server) { s.SetFence("", "r", l.Fence()+5) })
				lost := fleet.Servers[2]
				lost.Del("r")
				time.Sleep(config().RenewEvery + config().TTL/2)
				if got := lost.Get("r"); got != l.Token() {
					t.Errorf("%s has %q, want the lease's token", lost.Name(), got)
				}
				release(t, l)
			})
		})
	}
}

// A fence that was lost comes back with the lock: a number below it is refused there again.
func TestLostFenceIsRestoredWithTheLock(t *testing.T) {
	simulateFences(t, 3, asItIs, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithFencing())
		lost := fleet.Servers[2]
		lost.Forget()
		time.Sleep(config().RenewEvery + config().TTL/2)
		if got := lost.Fence("", "r"); got < l.Fence() {
			t.Errorf("%s has the fence %d, want that of the lease, %d", lost.Name(), got, l.Fence())
		}
		release(t, l)
	})
}

// The name of the table cannot be a resource's.
func TestResourceThatIsCalledAsTheTableOfFencesIsRefused(t *testing.T) {
	simulateFences(t, 1, asItIs, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		if _, err := e.TryAcquire(t.Context(), "fences:1"); err == nil {
			t.Error("it is locked")
		}
		if fleet.Servers[0].TTL("fences:1") != 0 {
			t.Error("the table has an end")
		}
	})
}
