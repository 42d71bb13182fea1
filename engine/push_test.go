package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// oneWay is how long a message takes in these tests.
const oneWay = time.Millisecond

func slowly(s *sim.Server) { s.Latency(oneWay, oneWay) }

func TestWaiterIsToldOfAReleaseElsewhere(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprintf("%d instances", n), func(t *testing.T) {
			simulate(t, n, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(slowly)
				other := start(t, fleet, config())
				time.Sleep(time.Second)
				held := acquire(t, other, "r")
				next := acquiring(t.Context(), e, "r")
				time.Sleep(3*time.Second - 10*time.Millisecond) // between two looks at everybody, and before a renewal
				pending(t, next)
				released := time.Now()
				release(t, held)
				r := <-next
				if r.err != nil {
					t.Fatalf("acquire: %v", r.err)
				}
				// The release gets there, the word of it comes back, the arbiter is asked, and then the others.
				between(t, "the hand-over", r.at.Sub(released), 0, 6*oneWay)
			})
		})
	}
}

func TestWaiterIsToldWhoeverDeletesTheLock(t *testing.T) {
	for name, vanish := range map[string]func(*sim.Server){
		"deleted": func(s *sim.Server) { s.Del("r") },
		"flushed": (*sim.Server).Forget,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(slowly)
				fleet.Each(func(s *sim.Server) { s.Set("r", "of another library", time.Hour) })
				next := acquiring(t.Context(), e, "r")
				time.Sleep(5 * time.Second)
				pending(t, next)
				gone := time.Now()
				fleet.Each(vanish)
				r := <-next
				if r.err != nil {
					t.Fatalf("acquire: %v", r.err)
				}
				between(t, "the hand-over", r.at.Sub(gone), 0, 5*oneWay)
			})
		})
	}
}

func TestWaitingIsNotPolling(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		acquiring(t.Context(), e, "r")
		time.Sleep(5 * time.Second) // the first looks, until the server has promised to tell
		fleet.Each((*sim.Server).ForgetCalls)
		time.Sleep(time.Minute)
		for _, s := range fleet.Servers {
			acquires := 0
			for _, c := range s.Calls() {
				if len(c.Args) == 6 { // the script that acquires, with its key, token and TTL
					acquires++
				}
			}
			if acquires > 15 { // everybody once in 6s at the soonest
				t.Errorf("%s was asked for the lock %d times in a minute", s.Name(), acquires)
			}
		}
	})
}

func TestWaiterIsServedThoughNobodyTells(t *testing.T) {
	for name, silence := range map[string]func(*sim.Fleet){
		"tracking is not permitted": func(f *sim.Fleet) { f.Each(func(s *sim.Server) { s.NoTracking(true) }) },
		"the connections broke":     func(f *sim.Fleet) { f.Each((*sim.Server).Break) },
		"the word is lost": func(f *sim.Fleet) {
			f.Each(func(s *sim.Server) { s.LoseReplies(true) })
			f.Each(func(s *sim.Server) { s.Del("r") })
			f.Each(func(s *sim.Server) { s.LoseReplies(false) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				bound := 2 * time.Second
				if strings.HasPrefix(name, "tracking") {
					silence(fleet)
					bound = 300 * time.Millisecond // it polls, every 256ms at least
				}
				for k := range time.Duration(12) { // what it does in between is done every second, or every 0.7s
					fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
					next := acquiring(t.Context(), e, "r")
					time.Sleep(5*time.Second + k*170*time.Millisecond)
					pending(t, next)
					gone := time.Now()
					silence(fleet)
					fleet.Each(func(s *sim.Server) { s.Del("r") })
					r := <-next
					if r.err != nil {
						t.Fatalf("acquire: %v", r.err)
					}
					between(t, "the hand-over", r.at.Sub(gone), 0, bound)
					release(t, r.lease)
				}
			})
		})
	}
}

func TestNothingStaysOfWaitersThatLeave(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		ctx, cancel := context.WithCancel(t.Context())
		var waiters []<-chan result
		for range 100 {
			waiters = append(waiters, acquiring(ctx, e, "r"))
		}
		time.Sleep(5 * time.Second)
		watched := 0
		for _, s := range fleet.Servers {
			watched += s.Connections() - 1
		}
		if watched != 1 {
			t.Errorf("%d connections are there to be told on, want 1", watched)
		}
		cancel()
		for _, w := range waiters {
			isAll(t, (<-w).err, context.Canceled)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, s := range fleet.Servers {
			if n := s.Connections(); n != 1 {
				t.Errorf("%s has %d connections when nobody waits", s.Name(), n)
			}
		}
	})
}

func TestArbiterThatDiesHoldsNobodyUp(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		// A contender that died after it had asked the arbiter, whichever that is.
		for _, s := range fleet.Servers {
			s.Set("r", "dead", time.Minute)
			other := fleet.Servers[0]
			if other == s {
				other = fleet.Servers[1]
			}
			other.Set("r", "dead too", 2*time.Second) // so that it is refused at first
			begun := time.Now()
			release(t, acquire(t, e, "r"))
			between(t, "the take-over", time.Since(begun), 0, 4*time.Second)
			fleet.Each((*sim.Server).Forget)
		}
	})
}

func TestEnginesTakeTurns(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 3)
		fleet.Each(func(s *sim.Server) { s.Latency(100*time.Microsecond, 100*time.Microsecond) })
		const engines, callers = 3, 2
		served := make([]int, engines*callers)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		for n := range engines {
			e := start(t, fleet, config())
			for c := range callers {
				all.Go(func() {
					for ctx.Err() == nil {
						if l, err := e.Acquire(ctx, "r"); err == nil {
							served[n*callers+c]++
							time.Sleep(time.Millisecond)
							_ = l.Release(context.Background())
						}
					}
				})
			}
		}
		all.Wait()
		sum := 0
		for _, n := range served {
			sum += n
		}
		for n, grants := range served {
			if 4*grants < sum/len(served) { // who comes first is chance, but a process is seldom so unlucky
				t.Errorf("caller %d was served %d times, of %d in all", n, grants, sum)
			}
		}
	})
}
