package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// aBreak is what an engine that has had a resource for some time leaves to others.
const aBreak = time.Millisecond

func TestWaitersOfOneEngineAreServedInTheOrderOfTheirComing(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r")
		var waiters []<-chan result
		for range 50 {
			waiters = append(waiters, acquiring(t.Context(), e, "r"))
			synctest.Wait() // in line before the next one comes
		}
		for n, w := range waiters {
			for _, later := range waiters[n:] {
				pending(t, later)
			}
			time.Sleep(time.Second)
			asked := time.Now()
			release(t, held)
			time.Sleep(aBreak)
			held = got(t, w).lease
			if took := time.Since(asked); held == nil || took > aBreak {
				t.Fatalf("waiter %d was served after %v: %v", n, took, held)
			}
		}
	})
}

func TestWaitersForOtherResourcesAreNotInTheSameLine(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		acquire(t, e, "a")
		waiting := acquiring(t.Context(), e, "a")
		synctest.Wait()
		asked := time.Now()
		acquire(t, e, "b")
		if took := time.Since(asked); took != 0 {
			t.Errorf("it took %v", took)
		}
		pending(t, waiting)
	})
}

// A release and the question of the next in line go out together: within an engine
// a lock changes hands in one round trip, however few instances there are.
func TestLockChangesHandsWithinAnEngineInOneRoundTrip(t *testing.T) {
	const oneWay = 50 * time.Microsecond
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			simulate(t, n, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.Latency(oneWay, oneWay) })
				held := acquire(t, e, "r")
				var waiters []<-chan result
				for range 5 {
					waiters = append(waiters, acquiring(t.Context(), e, "r"))
					synctest.Wait()
				}
				for k, w := range waiters {
					time.Sleep(250 * time.Microsecond) // held: until the first has been refused and told by whom, and for less than a turn in all
					asked := time.Now()
					release(t, held)
					time.Sleep(time.Microsecond)
					next := got(t, w)
					if took := next.at.Sub(asked); next.err != nil || took != 2*oneWay {
						t.Fatalf("waiter %d: %v after %v, want %v", k, next.err, took, 2*oneWay)
					}
					held = next.lease
				}
			})
		})
	}
}

// A waiter that is cancelled when its question has just been asked in its place leaves
// nothing behind, and the next is served.
func TestCancelledWaiterTakesBackWhatWasAskedInItsPlace(t *testing.T) {
	for _, moment := range []time.Duration{0, 60 * time.Microsecond, 100 * time.Microsecond} {
		t.Run(moment.String(), func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.Latency(50*time.Microsecond, 50*time.Microsecond) })
				held := acquire(t, e, "r")
				ctx, cancel := context.WithCancel(t.Context())
				first := acquiring(ctx, e, "r")
				synctest.Wait()
				second := acquiring(t.Context(), e, "r")
				synctest.Wait()
				time.AfterFunc(moment, cancel)
				release(t, held)
				time.Sleep(10 * time.Millisecond)
				r := got(t, first)
				if r.err == nil { // it won at the last moment
					release(t, r.lease)
					time.Sleep(10 * time.Millisecond)
				} else {
					isAll(t, r.err, context.Canceled)
				}
				next := got(t, second)
				if next.err != nil {
					t.Fatalf("acquire: %v", next.err)
				}
				release(t, next.lease)
				synctest.Wait()
				empty(t, fleet, "r")
			})
		})
	}
}

func TestOnlyTheHeadOfTheLineContends(t *testing.T) {
	simulate(t, 1, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		s := fleet.Servers[0]
		s.Set("r", "somebody else", time.Hour)
		for range 100 {
			acquiring(t.Context(), e, "r")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		// One contender asks about five times a second.
		if n := len(s.Calls()); n > 10*60 {
			t.Errorf("100 waiters asked %d times in a minute", n)
		}
	})
}

func TestCancelledWaiterLeavesTheLineAtOnceAndTheNextIsServed(t *testing.T) {
	for _, which := range []int{0, 1, 2} {
		t.Run(fmt.Sprintf("waiter %d", which), func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
				held := acquire(t, e, "r")
				var waiters []<-chan result
				var cancels []context.CancelFunc
				for range 3 {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					waiters = append(waiters, acquiring(ctx, e, "r"))
					cancels = append(cancels, cancel)
					synctest.Wait()
				}
				time.Sleep(time.Second)
				asked := time.Now()
				cancels[which]()
				r := got(t, waiters[which])
				isAll(t, r.err, context.Canceled, engine.ErrHeld)
				isNone(t, r.err, engine.ErrNoQuorum)
				if !r.at.Equal(asked) {
					t.Errorf("it left after %v", r.at.Sub(asked))
				}
				for n, w := range waiters {
					if n == which {
						continue
					}
					pending(t, w)
					asked := time.Now()
					release(t, held)
					time.Sleep(aBreak)
					next := got(t, w)
					if next.err != nil || next.at.Sub(asked) > aBreak {
						t.Fatalf("waiter %d: %v after %v", n, next.err, next.at.Sub(asked))
					}
					held = next.lease
				}
			})
		})
	}
}

func TestNobodyIsLostWhenWaitersComeAndGoAtRandom(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		const waiters = 200
		var holders, served, gone atomic.Int32
		for range waiters {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(20*time.Second))
				defer cancel()
				l, err := e.Acquire(ctx, "r")
				if err != nil {
					gone.Add(1)
					isAll(t, err, context.DeadlineExceeded)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				time.Sleep(rand.N(200 * time.Millisecond))
				holders.Add(-1)
				served.Add(1)
				if err := l.Release(t.Context()); err != nil {
					t.Errorf("l.Release: %v", err)
				}
			}()
			time.Sleep(rand.N(20 * time.Millisecond))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if served.Load()+gone.Load() != waiters || served.Load() < waiters/4 {
			t.Errorf("%d served and %d gone of %d", served.Load(), gone.Load(), waiters)
		}
		empty(t, fleet, "r")
	})
}

func TestWaiterIsServedAtOnceWhenTheLockIsReleasedDuringItsFirstRound(t *testing.T) {
	// The waiter's first round finds the lock held. The release comes while that
	// answer is on its way, and nothing but a wake-up ends the pause after it.
	cfg := config()
	cfg.Backoff = never
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r")
		synctest.Wait()
		fleet.Each(func(s *sim.Server) { s.Latency(0, 100*time.Millisecond) })
		next := acquiring(t.Context(), e, "r")
		synctest.Wait() // its question has been answered; the answer is on its way
		go func() { _ = held.Release(context.Background()) }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		select {
		case r := <-next:
			if r.err != nil {
				t.Errorf("acquire: %v", r.err)
			}
		default:
			t.Error("5s after the release the waiter still waits: the wake-up was lost")
		}
	})
}

func TestWaiterIsServedAtOnceWhenTheLockIsReleasedInItsEngine(t *testing.T) {
	cfg := config()
	cfg.Backoff = never
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r")
		next := acquiring(t.Context(), e, "r")
		time.Sleep(time.Second)
		asked := time.Now()
		release(t, held)
		if r := got(t, next); r.err != nil || !r.at.Equal(asked) {
			t.Errorf("%v after %v", r.err, r.at.Sub(asked))
		}
	})
}

func TestWaiterTakesOverWhenTheHoldersLeaseExpires(t *testing.T) {
	t.Run("in the same engine", func(t *testing.T) {
		simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
			l := acquire(t, e, "r", engine.WithoutRenewal())
			begun := time.Now()
			next := <-acquiring(t.Context(), e, "r")
			if next.err != nil || l.Valid() {
				t.Fatalf("%v, and the first: %v", next.err, l)
			}
			between(t, "the take-over", next.at.Sub(begun), ttl, ttl+500*time.Millisecond)
		})
	})
	t.Run("of a holder elsewhere that died", func(t *testing.T) {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			fleet.Each(func(s *sim.Server) { s.Set("r", "dead", 7*time.Second) })
			begun := time.Now()
			acquire(t, e, "r")
			between(t, "the take-over", time.Since(begun), 7*time.Second, 7*time.Second+300*time.Millisecond)
		})
	})
	t.Run("though its backoff is much longer", func(t *testing.T) {
		cfg := config()
		cfg.Backoff = constantly(5 * time.Second)
		simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			fleet.Each(func(s *sim.Server) { s.Set("r", "dead", 7*time.Second) })
			begun := time.Now()
			acquire(t, e, "r")
			between(t, "the take-over", time.Since(begun), 7*time.Second, 7*time.Second+10*time.Millisecond)
		})
	})
}

func TestWaiterThatKnowsTheTimeLeftWaitsNoLonger(t *testing.T) {
	for _, left := range []time.Duration{3 * time.Second, 2 * time.Millisecond, time.Millisecond, 400 * time.Microsecond} {
		t.Run(left.String(), func(t *testing.T) {
			cfg := config()
			cfg.Backoff = constantly(5 * time.Second)
			simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				// The second round, 5s after the first, sees so much time left.
				fleet.Each(func(s *sim.Server) { s.Set("r", "dead", 5*time.Second+left) })
				begun := time.Now()
				acquire(t, e, "r")
				between(t, "the take-over", time.Since(begun), 5*time.Second+left, 5*time.Second+left+5*time.Millisecond)
			})
		})
	}
}

func TestWaiterIsServedWhenAnotherEngineReleases(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		other := start(t, fleet, config())
		held := acquire(t, other, "r")
		next := acquiring(t.Context(), e, "r")
		time.Sleep(5 * time.Second)
		pending(t, next)
		released := time.Now()
		release(t, held)
		r := <-next
		if r.err != nil {
			t.Fatalf("acquire: %v", r.err)
		}
		between(t, "the hand-over", r.at.Sub(released), 0, 300*time.Millisecond)
	})
}

func TestContendingEnginesNeverHoldTogether(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 5)
		fleet.Each(func(s *sim.Server) { s.Latency(time.Millisecond, time.Millisecond) })
		var holders, served atomic.Int32
		for range 3 {
			e := start(t, fleet, config())
			for range 4 {
				go func() {
					for t.Context().Err() == nil {
						l, err := e.Acquire(t.Context(), "r")
						if err != nil {
							return
						}
						if n := holders.Add(1); n != 1 {
							t.Errorf("%d holders", n)
						}
						time.Sleep(time.Millisecond)
						holders.Add(-1)
						served.Add(1)
						_ = l.Release(context.Background())
					}
				}()
			}
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if served.Load() < 20 {
			t.Errorf("only %d acquires in 3s", served.Load())
		}
	})
}

func TestTriesAreRoundsOfVotes(t *testing.T) {
	for _, tries := range []int{1, 2, 7} {
		t.Run(fmt.Sprint(tries), func(t *testing.T) {
			rounds, reported := 0, 0
			cfg := config()
			cfg.Tries = tries
			cfg.Backoff = constantly(time.Second)
			cfg.Trace = &engine.Trace{
				Round:    func(engine.RoundInfo) { rounds++ },
				Acquired: func(_ context.Context, a engine.AcquiredInfo) { reported = a.Rounds },
			}
			simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
				asked := time.Now()
				_, err := e.Acquire(t.Context(), "r")
				isAll(t, err, engine.ErrHeld)
				synctest.Wait() // rounds are told of by and by
				if rounds != tries || reported != tries {
					t.Errorf("%d rounds, %d reported, want %d", rounds, reported, tries)
				}
				wait := time.Duration(tries-1) * time.Second
				between(t, "the waits", time.Since(asked), wait, wait)

				rounds = 0
				_, err = e.Acquire(t.Context(), "r", engine.WithTries(3))
				isAll(t, err, engine.ErrHeld)
				synctest.Wait()
				if rounds != 3 {
					t.Errorf("%d rounds with WithTries(3)", rounds)
				}
			})
		})
	}
}

func TestBackoffThatStopsEndsTheAcquire(t *testing.T) {
	cfg := config()
	cfg.Backoff = func() engine.Backoff {
		return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 2)
	}
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		asked := time.Now()
		l, err := e.Acquire(t.Context(), "r")
		if l != nil {
			t.Error("there is a lease")
		}
		isAll(t, err, engine.ErrHeld)
		between(t, "the refusal", time.Since(asked), 2*time.Second, 2*time.Second)
	})
}

func TestTryAcquireIsOneRoundAndStandsInNoLine(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r")
		waiting := acquiring(t.Context(), e, "r")
		synctest.Wait()
		asked := time.Now()
		_, err := e.TryAcquire(t.Context(), "r")
		isAll(t, err, engine.ErrHeld)
		isNone(t, err, engine.ErrNoQuorum)
		if took := time.Since(asked); took != 0 {
			t.Errorf("it took %v", took)
		}
		fleet.Each((*sim.Server).Hang)
		asked = time.Now()
		_, err = e.TryAcquire(t.Context(), "other")
		isAll(t, err, engine.ErrNoQuorum)
		isNone(t, err, engine.ErrHeld)
		between(t, "the try", time.Since(asked), timeout, timeout)
		fleet.Each((*sim.Server).Thaw)
		_ = held.Release(t.Context())
		if r := <-waiting; r.err != nil {
			t.Errorf("acquire: %v", r.err)
		}
	})
}

func TestMoreWaitersThanMaxWaitersAreRefused(t *testing.T) {
	cfg := config()
	cfg.MaxWaiters = 2
	simulate(t, 1, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r")
		first, second := acquiring(t.Context(), e, "r"), acquiring(t.Context(), e, "r")
		synctest.Wait()
		third := got(t, acquiring(t.Context(), e, "r"))
		isAll(t, third.err, engine.ErrHeld)
		release(t, held)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(first)+len(second) != 1 {
			t.Error("not one of those who waited is served")
		}
	})
}

func TestQuorumErrorSaysWhatEachInstanceVoted(t *testing.T) {
	simulate(t, 5, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Servers[0].Hang()
		fleet.Servers[1].Cut()
		sim.Each(fleet.Servers[2:], func(s *sim.Server) { s.Set("r", "somebody else entirely", time.Hour) })
		synctest.Wait()
		_, err := e.TryAcquire(t.Context(), "r")
		var q *engine.QuorumError
		if !asQuorumError(err, &q) || len(q.Votes) != 5 || q.Need != 3 || q.Op != "acquire" || q.Resource != "r" {
			t.Fatalf("got %#v, want a QuorumError of 5 votes, of which 3 are needed, to acquire r", err)
		}
		if !strings.Contains(err.Error(), fleet.Servers[0].Name()+": not waited for") {
			t.Errorf("got %v, want it to say that %s was not waited for", err, fleet.Servers[0].Name())
		}
		for n, v := range q.Votes {
			if v.Instance != fleet.Servers[n].Name() {
				t.Errorf("vote %d is of %s", n, v.Instance)
			}
		}
	})
}

func TestHeldLockIsReportedAsHeldThoughAMinorityIsDown(t *testing.T) {
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			simulate(t, n, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				down, up := fleet.Servers[:n/2], fleet.Servers[n/2:]
				for k, s := range up {
					s.Set("r", "somebody else", time.Hour)
					s.Latency(0, time.Duration(1+k)*time.Millisecond) // none answers together with another
				}
				sim.Each(down, (*sim.Server).Cut)
				synctest.Wait()
				_, err := e.TryAcquire(t.Context(), "r")
				isAll(t, err, engine.ErrHeld)
				isNone(t, err, engine.ErrNoQuorum)
			})
		})
	}
}

func TestUnreachableMajorityIsNeverReportedAsHeld(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			simulate(t, n, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
				sim.Each(fleet.Servers[:n/2+1], (*sim.Server).Cut)
				for down := 0; down <= n/2; synctest.Wait() { // until it has found out
					_, _ = e.TryAcquire(t.Context(), "r")
					down = 0
					for _, h := range e.Instances() {
						if h.State == instance.Down {
							down++
						}
					}
				}
				_, err := e.TryAcquire(t.Context(), "r")
				isAll(t, err, engine.ErrNoQuorum)
				isNone(t, err, engine.ErrHeld)
			})
		})
	}
}
