package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

func TestDetachedLeaseIsItsAdoptersAlone(t *testing.T) {
	plain := config()
	for name, how := range map[string]struct {
		cfg  engine.Config
		opts []engine.Option
	}{
		"plain":                {plain, nil},
		"a token of its own":   {plain, []engine.Option{engine.WithToken("mine")}},
		"fencing":              {plain, []engine.Option{engine.WithFencing()}},
		"a limit":              {plain, []engine.Option{engine.WithMaxHold(2 * ttl)}},
		"an engine that hands": {handingOn(64), nil},
		"handing, with fences": {handingOn(64), []engine.Option{engine.WithFencing()}},
	} {
		t.Run(name, func(t *testing.T) {
			var told []error
			cfg := how.cfg
			cfg.Trace = &engine.Trace{Ended: func(e engine.EndedInfo) { told = append(told, e.Cause) }}
			simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, a *engine.Engine) {
				b, c := start(t, fleet, how.cfg), start(t, fleet, config())
				held := acquire(t, a, "r", how.opts...)
				ctx, cancel := held.Context(t.Context())
				defer cancel()
				time.Sleep(every + time.Second) // it has been renewed
				token := detach(t, held)
				if n := fleet.Count("r", token); n != 3 {
					t.Errorf("%d servers have the token that Detach returns: %q", n, fleet.Holders("r"))
				}
				isAll(t, held.Err(), lease.ErrDetached)
				isNone(t, held.Err(), lease.ErrLost)
				if !done(held) || held.Valid() || held.Remaining() != 0 || context.Cause(ctx) != lease.ErrDetached || len(a.Leases()) != 0 {
					t.Errorf("detached, and %v, %v, %d leases", held, context.Cause(ctx), len(a.Leases()))
				}
				synctest.Wait()
				if len(told) != 1 || engine.Cause(told[0]) != "detached" {
					t.Errorf("told of %v", told)
				}
				asked(fleet)
				time.Sleep(every)
				isAll(t, held.Release(t.Context()), lease.ErrDetached)
				isAll(t, held.Extend(t.Context(), 0), lease.ErrDetached)
				if _, err := held.Detach(); err == nil {
					t.Error("detached twice")
				} else {
					isAll(t, err, lease.ErrDetached)
				}
				synctest.Wait()
				if n := asked(fleet); n != 0 {
					t.Errorf("%d commands about a lease that is detached", n)
				}

				adopted, err := b.Adopt(t.Context(), "r", token)
				if err != nil {
					t.Fatalf("b.Adopt: %v", err)
				}
				synctest.Wait()
				if n := fleet.Count("r", token); n != 0 {
					t.Errorf("the old token still has the lock on %d servers", n)
				}
				if err := a.Close(t.Context()); err != nil {
					t.Errorf("a.Close: %v", err)
				}
				select {
				case l := <-a.Lost():
					if l != nil {
						t.Errorf("lost: %v", l)
					}
				default:
				}
				_, err = c.TryAcquire(t.Context(), "r", how.opts...)
				isAll(t, err, engine.ErrHeld)
				time.Sleep(5 * ttl)
				if !adopted.Valid() {
					t.Errorf("the lease has ended, want it valid: %v", adopted.Err())
				}
				release(t, adopted)
				empty(t, fleet, "r")
				release(t, acquire(t, c, "r", how.opts...))
			})
		})
	}
}

func TestDetachOfALeaseThatHasEndedReturnsWhy(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		ended := func(l *lease.Lease, cause error) {
			t.Helper()
			token, err := l.Detach()
			isAll(t, err, cause)
			isNone(t, err, lease.ErrDetached)
			if token != "" {
				t.Error("it names a token all the same")
			}
			isAll(t, l.Err(), cause)
		}
		l := acquire(t, e, "released")
		release(t, l)
		ended(l, lease.ErrReleased)
		l = acquire(t, e, "expired", engine.WithoutRenewal())
		time.Sleep(ttl)
		ended(l, lease.ErrExpired)
		l = acquire(t, e, "closed")
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		ended(l, lease.ErrClosed)
	})
}

// A waiter of the same engine is not handed a lease that another process is to have.
func TestDetachedLeaseIsNotHandedOnHere(t *testing.T) {
	simulate(t, 3, handingOn(64), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		other := start(t, fleet, config())
		held := acquire(t, e, "r")
		waiting := acquiring(t.Context(), e, "r")
		synctest.Wait()
		token := detach(t, held)
		_ = held.Release(t.Context())
		pending(t, waiting)
		adopted, err := other.Adopt(t.Context(), "r", token)
		if err != nil {
			t.Fatalf("other.Adopt: %v", err)
		}
		time.Sleep(5 * ttl)
		pending(t, waiting)
		release(t, adopted)
		next := got(t, waiting)
		if next.err != nil {
			t.Fatalf("acquire: %v", next.err)
		}
		release(t, next.lease)
	})
}

// A renewal, a healing and an extension that are on their way put nothing there that
// the adopter would meet, and revive nothing.
func TestDetachWhileSomethingIsUnderWay(t *testing.T) {
	const oneWay = 20 * time.Millisecond
	for after := time.Duration(0); after <= 5*oneWay; after += oneWay / 2 {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			other := start(t, fleet, config())
			held := acquire(t, e, "r")
			synctest.Wait()
			fleet.Servers[0].Del("r") // to be healed
			fleet.Each(func(s *sim.Server) { s.Latency(oneWay, oneWay) })
			deadline := held.Deadline()
			for fleet.Servers[0].Calls(); len(fleet.Servers[1].Calls()) == 0; fleet.Each((*sim.Server).ForgetCalls) {
				time.Sleep(time.Millisecond)
				if time.Until(deadline) < 0 {
					t.Fatal("no renewal")
				}
			}
			extended := make(chan error, 1)
			go func() { extended <- held.Extend(t.Context(), 3*ttl) }()
			time.Sleep(after)
			token := detach(t, held)
			moved := held.Deadline()
			adopted, err := other.Adopt(t.Context(), "r", token)
			if err != nil {
				t.Fatalf("after %v: %v", after, err)
			}
			release(t, adopted)
			time.Sleep(10 * oneWay)
			empty(t, fleet, "r")
			if err := <-extended; err == nil && moved.Equal(deadline) {
				t.Errorf("%v: extended after the end", after)
			}
			if !held.Deadline().Equal(moved) {
				t.Errorf("%v: the deadline moved after the end", after)
			}
			isAll(t, held.Err(), lease.ErrDetached)
		})
	}
}

func TestAdoptionIsNoticedByWhoHasNotLetGo(t *testing.T) {
	for name, let := range map[string]func(*testing.T, *engine.Engine, *lease.Lease){
		"it releases": func(t *testing.T, _ *engine.Engine, l *lease.Lease) {
			isAll(t, l.Release(t.Context()), lease.ErrStolen)
		},
		"its engine closes": func(t *testing.T, e *engine.Engine, _ *lease.Lease) {
			isAll(t, e.Close(t.Context()), lease.ErrStolen)
		},
		"it renews": func(t *testing.T, _ *engine.Engine, l *lease.Lease) {
			time.Sleep(every)
			synctest.Wait()
			if !done(l) {
				t.Error("it has not noticed within one renewal")
			}
			isAll(t, l.Err(), lease.ErrStolen)
			isAll(t, l.Release(t.Context()), lease.ErrStolen)
		},
		"it extends": func(t *testing.T, _ *engine.Engine, l *lease.Lease) {
			isAll(t, l.Extend(t.Context(), 0), lease.ErrStolen)
			isAll(t, l.Err(), lease.ErrStolen)
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, a *engine.Engine) {
				b, c := start(t, fleet, config()), start(t, fleet, config())
				held := acquire(t, a, "r")
				synctest.Wait()
				adopted, err := b.Adopt(t.Context(), "r", held.Token())
				if err != nil {
					t.Fatalf("b.Adopt: %v", err)
				}
				let(t, a, held)
				_, err = c.TryAcquire(t.Context(), "r")
				isAll(t, err, engine.ErrHeld)
				time.Sleep(5 * ttl)
				if !adopted.Valid() || fleet.Count("r", adopted.Token()) != 3 {
					t.Errorf("got %v, held by %q, want the adopted lease valid on all 3", adopted, fleet.Holders("r"))
				}
				release(t, adopted)
				empty(t, fleet, "r")
			})
		})
	}
}

func TestFailedAdoptGivesTheLockBack(t *testing.T) {
	cancelled := func(d time.Duration) func(*testing.T, *sim.Fleet, *engine.Engine, string) {
		return func(t *testing.T, fleet *sim.Fleet, e *engine.Engine, token string) {
			fleet.Each(func(s *sim.Server) { s.Latency(20*time.Millisecond, 20*time.Millisecond) })
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			_, err := e.Adopt(ctx, "r", token)
			isAll(t, err, context.DeadlineExceeded)
		}
	}
	for name, fail := range map[string]func(*testing.T, *sim.Fleet, *engine.Engine, string){
		"cancelled before it is heard": cancelled(10 * time.Millisecond),
		"cancelled before it knows":    cancelled(30 * time.Millisecond),
		"cancelled at the last moment": cancelled(39 * time.Millisecond),
		"no answers": func(t *testing.T, fleet *sim.Fleet, e *engine.Engine, token string) {
			fleet.Each(func(s *sim.Server) { s.LoseReplies(true) })
			_, err := e.Adopt(t.Context(), "r", token)
			isAll(t, err, engine.ErrNoQuorum)
			isNone(t, err, lease.ErrLost)
			if len(fleet.Servers) == 3 && fleet.Count("r", token) == 3 {
				t.Fatal("the test is pointless: nothing was executed")
			}
			fleet.Each(func(s *sim.Server) { s.LoseReplies(false) })
		},
		"servers that thaw": func(t *testing.T, fleet *sim.Fleet, e *engine.Engine, token string) {
			fleet.Each((*sim.Server).Hang)
			_, err := e.Adopt(t.Context(), "r", token)
			isAll(t, err, engine.ErrNoQuorum)
			fleet.Each((*sim.Server).Thaw)
		},
	} {
		for _, n := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				simulate(t, n, config(), func(t *testing.T, fleet *sim.Fleet, a *engine.Engine) {
					b := start(t, fleet, config())
					held := acquire(t, a, "r", engine.WithoutRenewal(), engine.WithTTL(6*ttl))
					synctest.Wait()
					lives := func() (least time.Duration) {
						least = time.Hour
						for _, s := range fleet.Servers {
							least = min(least, s.TTL("r"))
						}
						return least
					}
					fail(t, fleet, b, held.Token())
					time.Sleep(2 * time.Second)
					if got := fleet.Count("r", held.Token()); got != n || len(b.Leases()) != 0 {
						t.Errorf("the old token has %d of %d servers: %q", got, n, fleet.Holders("r"))
					}
					if left := lives(); left < held.Remaining() {
						t.Errorf("it lives for another %v, and its lease for %v", left, held.Remaining())
					}
					if err := held.Extend(t.Context(), 0); err != nil {
						t.Errorf("held.Extend: %v", err)
					}
					adopted, err := b.Adopt(t.Context(), "r", held.Token())
					if err != nil {
						t.Fatalf("b.Adopt: %v", err)
					}
					release(t, adopted)
					time.Sleep(time.Second)
					empty(t, fleet, "r")
				})
			})
		}
	}
}

func TestOneOfManyAdopts(t *testing.T) {
	simulate(t, 1, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Latency(time.Millisecond, time.Millisecond) })
		token := detach(t, acquire(t, e, "r"))
		const adopters = 5
		results := make(chan result, adopters)
		for range adopters {
			b := start(t, fleet, config())
			go func() {
				l, err := b.Adopt(t.Context(), "r", token)
				results <- result{lease: l, err: err}
			}()
		}
		won := 0
		for range adopters {
			if r := <-results; r.err == nil {
				won++
			} else {
				isAll(t, r.err, lease.ErrStolen)
			}
		}
		if won != 1 {
			t.Errorf("%d have adopted one lease", won)
		}
	})
}

// An instance that may not vote on new acquires may say that it has the lock.
func TestAdoptWhileAnInstanceRecovers(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r", engine.WithTTL(3*ttl))
		synctest.Wait()
		fleet.Servers[0].RestartWithMemory()
		fleet.Servers[1].Cut()
		time.Sleep(time.Second)
		if s := e.Instances()[0].State; s != instance.Quarantined {
			t.Fatalf("it is %v", s)
		}
		if _, err := e.Adopt(t.Context(), "r", detach(t, held)); err != nil {
			t.Errorf("e.Adopt: %v", err)
		}
	})
}
