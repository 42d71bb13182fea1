package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

func asQuorumError(err error, q **engine.QuorumError) bool { return errors.As(err, q) }

func TestCancelledAcquireInMidAttemptReturnsAtOnceAndLeavesNoKey(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		for _, fenced := range []bool{false, true} {
			for name, thaw := range map[string]func(*sim.Server){
				"thawed in order":      (*sim.Server).Thaw,
				"the old sockets last": func(s *sim.Server) { s.ThawReordered(50 * time.Millisecond) },
			} {
				for _, frozen := range []time.Duration{10 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second} {
					t.Run(fmt.Sprintf("N=%d, fenced %v, %s after %v", n, fenced, name, frozen), func(t *testing.T) {
						simulate(t, n, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
							fleet.Each((*sim.Server).Hang)
							ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
							defer cancel()
							var opts []engine.Option
							if fenced {
								opts = append(opts, engine.WithFencing())
							}
							asked := time.Now()
							_, err := e.Acquire(ctx, "r", opts...)
							isAll(t, err, context.DeadlineExceeded, engine.ErrNoQuorum)
							isNone(t, err, engine.ErrHeld)
							between(t, "the return", time.Since(asked), 5*time.Millisecond, 5*time.Millisecond)

							time.Sleep(frozen)
							fleet.Each(thaw)
							time.Sleep(1500 * time.Millisecond)
							empty(t, fleet, "r")

							asked = time.Now()
							release(t, acquire(t, e, "r", opts...))
							between(t, "the next acquire", time.Since(asked), 0, 0)
						})
					})
				}
			}
		}
	}
}

// The acquire lies in the socket of a server that hangs, and is executed when the
// lease has been released there, on another connection.
func TestReleaseThatOvertakesItsAcquireLeavesATombstone(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		slow := fleet.Servers[2]
		slow.ForbidKill()
		slow.Hang()
		l := acquire(t, e, "r", engine.WithFencing())
		time.Sleep(timeout + 50*time.Millisecond)
		slow.ThawReordered(2 * time.Second)
		time.Sleep(time.Second + 100*time.Millisecond) // it is back by then
		if state := e.Instances()[2].State; state != instance.Up || slow.Get("r") != "" {
			t.Fatalf("the instance is %v, and has %q: the acquire is to come later", state, slow.Get("r"))
		}
		release(t, l)
		time.Sleep(every)
		empty(t, fleet, "r")
	})
}

func TestCancelledAcquireWhoseGrantsAreOnTheirWayLeavesNoKey(t *testing.T) {
	// Cancelled at every moment of a round trip of 40 ms.
	for after := time.Duration(0); after <= 45*time.Millisecond; after += 5 * time.Millisecond {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			for n, s := range fleet.Servers {
				s.Latency(20*time.Millisecond, time.Duration(20+n)*time.Millisecond)
			}
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			l, err := e.Acquire(ctx, "r")
			if err == nil {
				release(t, l)
			} else {
				isAll(t, err, context.DeadlineExceeded)
			}
			time.Sleep(time.Second)
			empty(t, fleet, "r")
		})
	}
}

func TestCancelledAcquireThatFoundTheLockHeldSaysSo(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := e.Acquire(ctx, "r")
		isAll(t, err, context.DeadlineExceeded, engine.ErrHeld)
		isNone(t, err, engine.ErrNoQuorum)
	})
}

func TestAcquireUnderAContextWithACauseReturnsBoth(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		acquire(t, e, "r")
		ctx, cancel := context.WithCancelCause(t.Context())
		waiting := acquiring(ctx, e, "r")
		time.Sleep(time.Second)
		why := errors.New("the test wants it so")
		cancel(why)
		r := got(t, waiting)
		isAll(t, r.err, why, context.Canceled, engine.ErrHeld)
	})
}

func TestAcquireUnderAnEndedContextAsksNobody(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		fleet.Each((*sim.Server).ForgetCalls)
		_, err := e.Acquire(ctx, "r")
		isAll(t, err, context.Canceled)
		_, err = e.TryAcquire(ctx, "r")
		isAll(t, err, context.Canceled)
		synctest.Wait()
		for _, s := range fleet.Servers {
			if len(s.Calls()) != 0 {
				t.Errorf("%s was asked", s.Name())
			}
		}
	})
}

func TestFailedRoundIsUndoneBeforeAnyWait(t *testing.T) {
	// Two of five are somebody else's: too few to win and, with one unreachable,
	// too many to lose nothing.
	cfg := config()
	cfg.Backoff = never
	simulate(t, 5, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		sim.Each(fleet.Servers[:3], func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		ctx, cancel := context.WithCancel(t.Context())
		waiting := acquiring(ctx, e, "r")
		pending(t, waiting)
		if fleet.Count("r", "somebody else") != 3 || fleet.Count("r", "") != 2 {
			t.Errorf("a waiter blocks others: %q", fleet.Holders("r"))
		}
		cancel()
		<-waiting
	})
}

func TestGrantsWhoseRepliesWereLostAreTakenBack(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.LoseReplies(true) })
		_, err := e.TryAcquire(t.Context(), "r")
		isAll(t, err, engine.ErrNoQuorum)
		if fleet.Count("r", "") == 3 {
			t.Fatal("the test is pointless: nothing was executed")
		}
		fleet.Each(func(s *sim.Server) { s.LoseReplies(false) })
		time.Sleep(time.Second)
		empty(t, fleet, "r")
	})
}

func TestAcquireSurvivesABrokenConnection(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each((*sim.Server).Break)
		l, err := e.TryAcquire(t.Context(), "r")
		if err != nil {
			t.Fatalf("e.TryAcquire: %v", err)
		}
		fleet.Each((*sim.Server).Break)
		release(t, l)
		empty(t, fleet, "r")
	})
}

func TestConnectionThatBreaksBehindAnAcquireDoesNotMakeItHeldByItself(t *testing.T) {
	// The acquire is executed, its reply is lost with the connection, and it is
	// sent again: it finds its own token.
	simulate(t, 1, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		s := fleet.Servers[0]
		s.Latency(0, 50*time.Millisecond)
		acquired := acquiring(t.Context(), e, "r", engine.WithTries(1))
		synctest.Wait()
		if s.Get("r") == "" {
			t.Fatal("the test is pointless: it has not been executed yet")
		}
		s.Break()
		time.Sleep(time.Second)
		if r := got(t, acquired); r.err != nil {
			t.Errorf("acquire: %v", r.err)
		} else if s.Get("r") != r.lease.Token() {
			t.Error("the lease has no key")
		}
	})
}

func TestInstanceThatIsDownCostsNobodyTime(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Servers[2].Hang()
		for range 100 {
			asked := time.Now()
			l := acquire(t, e, "r")
			if err := l.Extend(t.Context(), 0); err != nil {
				t.Fatalf("l.Extend: %v", err)
			}
			release(t, l)
			if took := time.Since(asked); took != 0 {
				t.Fatalf("it took %v", took)
			}
			time.Sleep(13 * time.Millisecond)
		}
		if n := fleet.Servers[2].Connections(); n > 1 {
			t.Errorf("%d connections to the instance that hangs", n)
		}
		fleet.Servers[2].Thaw()
		time.Sleep(time.Second)
		synctest.Wait()
		if s := e.Instances()[2].State; s != instance.Up {
			t.Errorf("a second after the thaw it is %v", s)
		}
		empty(t, fleet, "r")
	})
}

func TestReleaseThatAnInstanceMissedIsMadeGoodWhenItIsBack(t *testing.T) {
	for name, fault := range map[string][2]func(*sim.Server){
		"hung": {(*sim.Server).Hang, (*sim.Server).Thaw},
		"cut":  {(*sim.Server).Cut, (*sim.Server).Mend},
		"mute": {func(s *sim.Server) { s.LoseReplies(true) }, func(s *sim.Server) { s.LoseReplies(false) }},
	} {
		for when, noticed := range map[string]bool{"": false, ", as is known": true} {
			t.Run(name+when, func(t *testing.T) {
				simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
					l := acquire(t, e, "r")
					synctest.Wait()
					s := fleet.Servers[0]
					fault[0](s)
					if noticed {
						other := acquire(t, e, "other")
						for e.Instances()[0].State == instance.Up {
							time.Sleep(10 * time.Millisecond)
						}
						release(t, other)
					}
					release(t, l)
					time.Sleep(2 * time.Second)
					mended := time.Now()
					fault[1](s)
					if noticed { // an attempt to connect may last for a while that began before
						for e.Instances()[0].State != instance.Up {
							time.Sleep(10 * time.Millisecond)
						}
					}
					time.Sleep(1500 * time.Millisecond)
					if time.Since(mended) > ttl/2 {
						t.Error("the test is pointless: the lock has expired by now")
					}
					empty(t, fleet, "r")
				})
			})
		}
	}
}

// The server finds the acquire in its socket when it thaws, and the release that
// is owed for it must not count as out of date. Which of its sockets it reads first
// is its own affair: now and then the new connection has the old one killed
// before. Then there is nothing to take back, and it is tried again.
func TestAcquireThatAFrozenServerExecutesAfterItsTTLIsTakenBack(t *testing.T) {
	for tries := 0; tries < 20; tries++ {
		executed := false
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			frozen := fleet.Servers[0]
			frozen.Hang()
			release(t, acquire(t, e, "r"))
			time.Sleep(2 * time.Minute) // longer than any TTL
			frozen.ForgetCalls()
			frozen.Thaw()
			for e.Instances()[0].State != instance.Up { // an attempt to connect may last for a while that began before
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(time.Second)
			empty(t, fleet, "r")
			executed = slices.ContainsFunc(frozen.Calls(), func(call sim.Call) bool {
				return call.Args[0] == "set" && call.Args[1] == "r"
			})
		})
		if executed {
			return
		}
	}
	t.Error("the acquire was never executed, so that this tests nothing")
}

// A caller that cancels before the lock is free knows that nobody has it then. The moment
// when a waiter learns of both is drawn anew each time: by the order in which it
// looks, and by goroutines that run beside each other.
func TestCancelledCallerGetsNoLease(t *testing.T) {
	const tries = 300
	for name, how := range map[string]struct {
		cfg     engine.Config
		same    bool // whether it waits in the holder's engine
		latency time.Duration
	}{
		"another engine's lock":                {config(), false, 0},
		"another engine's lock, far away":      {config(), false, 100 * time.Microsecond},
		"its own engine's lock":                {config(), true, 0},
		"its own engine's lock, far away":      {config(), true, 100 * time.Microsecond},
		"a lock that is handed on":             {handingOn(64), true, 0},
		"a lock that is handed on, a long way": {handingOn(64), true, 100 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, how.cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.Latency(how.latency, how.latency) })
				holder := e
				if !how.same {
					holder = start(t, fleet, how.cfg)
				}
				for try := range tries {
					held := acquire(t, holder, "r")
					ctx, cancel := context.WithCancel(t.Context())
					waiting, ran := acquiring(ctx, e, "r"), make(chan error, 1)
					called := false
					go func() { ran <- e.Do(ctx, "r", func(context.Context) error { called = true; return nil }) }()
					synctest.Wait()
					cancel()
					release(t, held)
					r := <-waiting
					isAll(t, r.err, context.Canceled)
					isAll(t, <-ran, context.Canceled)
					if r.lease != nil || called || t.Failed() {
						t.Fatalf("try %d: a cancelled caller has %v, and Do has called its func: %v", try, r.lease, called)
					}
				}
				time.Sleep(time.Second)
				empty(t, fleet, "r")
				if held := e.Leases(); len(held) != 0 {
					t.Errorf("left behind: %v", held)
				}
			})
		})
	}
}

// What a cancelled caller was about to have is the next one's.
func TestWhatACancelledCallerWasHandedIsTheNextOnes(t *testing.T) {
	for name, cfg := range map[string]engine.Config{"over the wire": config(), "handed on": handingOn(64)} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				for range 200 {
					held := acquire(t, e, "r")
					ctx, cancel := context.WithCancel(t.Context())
					first := acquiring(ctx, e, "r")
					synctest.Wait()
					second := acquiring(t.Context(), e, "r")
					synctest.Wait()
					cancel()
					release(t, held)
					isAll(t, (<-first).err, context.Canceled)
					time.Sleep(aBreak)
					next := got(t, second)
					if next.err != nil {
						t.Fatalf("acquire: %v", next.err)
					}
					release(t, next.lease)
				}
				empty(t, fleet, "r")
			})
		})
	}
}

// The context ends when the server has granted, and its answer is on the way.
func TestNobodyWhoseContextHasEndedGetsALease(t *testing.T) {
	for name, get := range map[string]func(context.Context, *engine.Engine, string) (*lease.Lease, error){
		"Acquire": func(ctx context.Context, e *engine.Engine, _ string) (*lease.Lease, error) {
			return e.Acquire(ctx, "free")
		},
		"TryAcquire": func(ctx context.Context, e *engine.Engine, _ string) (*lease.Lease, error) {
			return e.TryAcquire(ctx, "free", engine.WithFencing())
		},
		"Adopt": func(ctx context.Context, e *engine.Engine, token string) (*lease.Lease, error) {
			return e.Adopt(ctx, "r", token)
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				token := detach(t, acquire(t, e, "r"))
				for range 500 {
					ctx, cancel := context.WithCancel(t.Context())
					fleet.Servers[0].Observe(func(e sim.Event) {
						if e.Verb == "acquire" || e.Verb == "adopt" {
							cancel()
						}
					})
					l, err := get(ctx, e, token)
					isAll(t, err, context.Canceled)
					if l != nil {
						t.Fatal("a lease for nobody")
					}
				}
				synctest.Wait()
				if fleet.Count("free", "") != 1 || fleet.Count("r", token) != 1 {
					t.Errorf("left behind: %q, %q", fleet.Holders("free"), fleet.Holders("r"))
				}
			})
		})
	}
}
