package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

func TestDoRunsItsFunctionWhileTheLockIsHeldAndReleasesIt(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		wrong := errors.New("wrong")
		for _, want := range []error{nil, wrong} {
			err := e.Do(t.Context(), "r", func(ctx context.Context) error {
				synctest.Wait()
				if fleet.Count("r", "") != 0 || len(e.Leases()) != 1 || ctx.Err() != nil {
					t.Error("it is not held")
				}
				time.Sleep(5 * ttl)
				if ctx.Err() != nil {
					t.Errorf("the lease's context has ended, want it alive: %v", context.Cause(ctx))
				}
				return want
			})
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("Do returned %v, want %v", err, want)
			}
			empty(t, fleet, "r")
		}
	})
}

func TestDoCancelsItsFunctionWithTheCauseOfTheLoss(t *testing.T) {
	for _, loss := range []struct {
		name string
		lose func(*sim.Server)
		want error
		opt  engine.Option
	}{
		{"expired", (*sim.Server).Hang, lease.ErrExpired, nil},
		{"gone", (*sim.Server).Forget, lease.ErrGone, nil},
		{"stolen", func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) }, lease.ErrStolen, nil},
		{"max hold", func(*sim.Server) {}, lease.ErrMaxHold, engine.WithMaxHold(time.Second)},
	} {
		t.Run(loss.name, func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				var opts []engine.Option
				if loss.opt != nil {
					opts = append(opts, loss.opt)
				}
				mine := errors.New("mine")
				err := e.Do(t.Context(), "r", func(ctx context.Context) error {
					synctest.Wait()
					fleet.Each(loss.lose)
					<-ctx.Done()
					isAll(t, context.Cause(ctx), loss.want, lease.ErrLost)
					return mine
				}, opts...)
				isAll(t, err, mine, loss.want)
			})
		})
	}
}

func TestDoReportsALossThatItsFunctionDidNotNotice(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		err := e.Do(t.Context(), "r", func(context.Context) error {
			synctest.Wait()
			fleet.Each((*sim.Server).Forget)
			time.Sleep(every)
			return nil
		})
		isAll(t, err, lease.ErrGone)
	})
}

func TestDoEndsItsFunctionWithTheCallersContext(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := e.Do(ctx, "r", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		isAll(t, err, context.DeadlineExceeded)
		isNone(t, err, lease.ErrLost)
		empty(t, fleet, "r")
	})
}

func TestDoReleasesWhenItsFunctionPanics(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			_ = e.Do(t.Context(), "r", func(context.Context) error { panic("fn") })
		}()
		empty(t, fleet, "r")
	})
}

func TestDoDoesNotCallItsFunctionWithoutTheLock(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		acquire(t, e, "r")
		err := e.Do(t.Context(), "r", func(context.Context) error {
			t.Error("called")
			return nil
		}, engine.WithTries(1))
		isAll(t, err, engine.ErrHeld)
	})
}

func TestCloseReleasesEverythingEndsWaitersAndClosesLost(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 3)
		e := start(t, fleet, config())
		var held []*lease.Lease
		for n := range 20 {
			held = append(held, acquire(t, e, fmt.Sprint("r", n)))
		}
		fixed := acquire(t, e, "fixed", engine.WithoutRenewal())
		head, second := acquiring(t.Context(), e, "r0"), acquiring(t.Context(), e, "r0")
		time.Sleep(time.Second)
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		for _, l := range append(held, fixed) {
			if !done(l) {
				t.Errorf("%v: Done is open", l)
			}
			isAll(t, l.Err(), lease.ErrClosed, engine.ErrClosed)
			isNone(t, l.Err(), lease.ErrLost)
		}
		for _, w := range []<-chan result{head, second} {
			isAll(t, got(t, w).err, engine.ErrClosed)
		}
		for _, s := range fleet.Servers {
			if keys := s.Keys(); len(keys) != 0 {
				t.Errorf("%s has %q", s.Name(), keys)
			}
			if n := s.Connections(); n != 0 {
				t.Errorf("%s has %d connections", s.Name(), n)
			}
		}
		if l, open := <-e.Lost(); open {
			t.Errorf("Lost is open and has %v", l)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("the second Close: %v", err)
		}
		_, err := e.Acquire(t.Context(), "r")
		isAll(t, err, engine.ErrClosed)
		_, err = e.TryAcquire(t.Context(), "r")
		isAll(t, err, engine.ErrClosed)
		_, err = e.Inspect(t.Context(), "r")
		isAll(t, err, engine.ErrClosed)
		_, err = e.Adopt(t.Context(), "r", "token")
		isAll(t, err, engine.ErrClosed)
		isAll(t, held[0].Extend(t.Context(), 0), engine.ErrClosed)
		err = held[0].Release(t.Context())
		isAll(t, err, engine.ErrClosed)
		isNone(t, err, engine.ErrNoQuorum) // it was released
	})
}

func TestCloseEndsAnAcquireInMidAttemptAndLeavesNoKey(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 3)
		e := start(t, fleet, config())
		fleet.Each(func(s *sim.Server) { s.Latency(20*time.Millisecond, 20*time.Millisecond) })
		asking := acquiring(t.Context(), e, "r")
		time.Sleep(30 * time.Millisecond)
		if fleet.Count("r", "") != 0 {
			t.Fatal("the test is pointless: the keys are not there yet")
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		isAll(t, got(t, asking).err, engine.ErrClosed)
		empty(t, fleet, "r")
	})
}

func TestCloseSaysWhichLeasesCouldNotBeReleasedAndIsBoundedInTime(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 3)
		e := start(t, fleet, config())
		l := acquire(t, e, "the resource")
		synctest.Wait()
		fleet.Each((*sim.Server).Hang)
		asked := time.Now()
		err := e.Close(t.Context())
		isAll(t, err, engine.ErrNoQuorum)
		if err == nil || !strings.Contains(err.Error(), "the resource") {
			t.Errorf("it does not say which: %v", err)
		}
		between(t, "Close", time.Since(asked), 0, 3*timeout)
		isAll(t, l.Err(), lease.ErrClosed)
	})
}

func TestCloseNamesTheFirstOfManyLeasesAndHasThemAll(t *testing.T) {
	const many = 100
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 3)
		e := start(t, fleet, config())
		for n := range many {
			acquire(t, e, fmt.Sprintf("resource %d.", n))
		}
		synctest.Wait()
		fleet.Each((*sim.Server).Hang)
		err := e.Close(t.Context())
		isAll(t, err, engine.ErrNoQuorum)
		if text := fmt.Sprint(err); strings.Count(text, "resource ") != 16 || !strings.HasSuffix(text, "; and 84 more") {
			t.Errorf("not 16 names and the number of the others: %s", text)
		}
		all, ok := err.(interface{ Unwrap() []error }) // the error itself
		if !ok || len(all.Unwrap()) != many {
			t.Errorf("not all of them are there: %#v", err)
		}
	})
}

func TestCloseBreaksOffWhatHangsWhenItsContextEnds(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 3)
		e := start(t, fleet, config())
		acquire(t, e, "r")
		synctest.Wait()
		fleet.Each((*sim.Server).Hang)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		asked := time.Now()
		isAll(t, e.Close(ctx), engine.ErrNoQuorum)
		between(t, "Close", time.Since(asked), 10*time.Millisecond, 10*time.Millisecond)
	})
}

func TestLostGetsEveryLostLeaseOnceAndNoOther(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		want := make(map[*lease.Lease]error)
		release(t, acquire(t, e, "released"))
		kept := acquire(t, e, "kept")
		want[acquire(t, e, "expired", engine.WithoutRenewal())] = lease.ErrExpired
		want[acquire(t, e, "max hold", engine.WithMaxHold(time.Second))] = lease.ErrMaxHold
		want[acquire(t, e, "stolen")] = lease.ErrStolen
		want[acquire(t, e, "gone")] = lease.ErrGone
		synctest.Wait()
		fleet.Each(func(s *sim.Server) {
			s.Set("stolen", "somebody else", time.Hour)
			s.Del("gone")
		})
		time.Sleep(2 * ttl)
		for l := range want { // nor again by asking, releasing or extending
			_ = l.Err()
			_ = l.Extend(t.Context(), 0)
			_ = l.Release(t.Context())
		}
		_ = e.Close(t.Context())
		for l := range e.Lost() {
			cause, expected := want[l]
			if !expected {
				t.Errorf("not lost, or twice: %v", l)
			}
			isAll(t, l.Err(), cause)
			delete(want, l)
		}
		for l := range want {
			t.Errorf("not reported: %v", l)
		}
		isAll(t, kept.Err(), lease.ErrClosed)
	})
}

func TestLostDropsTheOldestWhenNobodyReads(t *testing.T) {
	simulate(t, 1, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		const more, kept = 10, 1024
		for n := range kept + more {
			acquire(t, e, fmt.Sprint(n), engine.WithoutRenewal(), engine.WithMaxHold(time.Second))
			time.Sleep(time.Millisecond) // so that they end in their order
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(e.Lost()); n != kept {
			t.Fatalf("%d losses wait", n)
		}
		for n := range kept {
			if l := <-e.Lost(); l.Resource() != fmt.Sprint(more+n) {
				t.Fatalf("loss %d is %v", n, l)
			}
		}
	})
}

func TestLeasesAreThoseThatAreHeld(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		a, b := acquire(t, e, "a"), acquire(t, e, "b", engine.WithoutRenewal())
		if n := len(e.Leases()); n != 2 {
			t.Errorf("%d leases, want 2", n)
		}
		time.Sleep(ttl)
		if held := e.Leases(); len(held) != 1 || held[0] != a || b.Valid() {
			t.Errorf("the engine holds %v, want only %v", held, a)
		}
		release(t, a)
		if n := len(e.Leases()); n != 0 {
			t.Errorf("%d leases, want none", n)
		}
	})
}

func TestReleaseEndsTheLeaseBeforeItsFirstMessageAndWhateverItsContext(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		fleet.Each(func(s *sim.Server) { s.Latency(100*time.Millisecond, 100*time.Millisecond) })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		released := make(chan error, 1)
		go func() { released <- l.Release(ctx) }()
		synctest.Wait()
		if !done(l) || !errors.Is(l.Err(), lease.ErrReleased) {
			t.Error("it is still held while the release is on its way")
		}
		if err := <-released; err != nil {
			t.Errorf("release: %v", err)
		}
		time.Sleep(time.Second)
		empty(t, fleet, "r")
		if err := l.Release(ctx); err != nil {
			t.Errorf("the second release: %v", err)
		}
	})
}

func TestReleaseThatCannotBeConfirmedSaysSoAndMayBeRepeated(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		sim.Each(fleet.Servers[:2], (*sim.Server).Hang)
		asked := time.Now()
		isAll(t, l.Release(t.Context()), engine.ErrNoQuorum)
		between(t, "the release", time.Since(asked), timeout, timeout)
		fleet.Each((*sim.Server).Thaw)
		time.Sleep(1500 * time.Millisecond)
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("l.Release: %v", err)
		}
		empty(t, fleet, "r")
	})
}

func TestReleaseNeverDeletesAnothersKey(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithoutRenewal())
		time.Sleep(2 * ttl)
		next := acquire(t, e, "r")
		synctest.Wait()
		isAll(t, l.Release(t.Context()), lease.ErrExpired)
		synctest.Wait()
		if fleet.Count("r", next.Token()) != 3 || !next.Valid() {
			t.Error("the next holder's key is gone")
		}
	})
}

func TestAdoptTakesOverByProofOfAQuorum(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		other := start(t, fleet, config())
		l := acquire(t, other, "r", engine.WithoutRenewal())
		synctest.Wait()
		time.Sleep(ttl / 2)
		asked := time.Now()
		adopted, err := e.Adopt(t.Context(), "r", l.Token())
		if err != nil {
			t.Fatalf("e.Adopt: %v", err)
		}
		if d := adopted.Deadline().Sub(asked); d != validity(ttl) {
			t.Errorf("the deadline is %v after the start", d)
		}
		time.Sleep(5 * ttl)
		if !adopted.Valid() || l.Valid() {
			t.Errorf("%v, the first: %v", adopted, l)
		}
		release(t, adopted)
		empty(t, fleet, "r")
		_, err = e.Adopt(t.Context(), "r", l.Token())
		isAll(t, err, lease.ErrGone)
		acquire(t, other, "r")
		synctest.Wait()
		_, err = e.Adopt(t.Context(), "r", l.Token())
		isAll(t, err, lease.ErrStolen)
		sim.Each(fleet.Servers[:2], (*sim.Server).Cut)
		synctest.Wait()
		_, err = e.Adopt(t.Context(), "r", l.Token())
		isAll(t, err, engine.ErrNoQuorum)
		isNone(t, err, lease.ErrLost)
	})
}

func TestInspectSaysWhoHoldsTheResourceAndForHowLong(t *testing.T) {
	cfg := config()
	cfg.Owner = "the owner"
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		s, err := e.Inspect(t.Context(), "r")
		if err != nil || s.Held {
			t.Errorf("inspect: got %v, %v, want it free", s, err)
		}
		l := acquire(t, e, "r", engine.WithoutRenewal())
		synctest.Wait()
		time.Sleep(time.Second)
		fleet.Servers[0].Cut()
		s, err = e.Inspect(t.Context(), "r")
		if err != nil || !s.Held || s.Token != l.Token() || s.Owner != "the owner" || s.Remaining != ttl-time.Second {
			t.Errorf("inspect: got %v, %v, want it held by the owner, for another %v", s, err, ttl-time.Second)
		}
		sim.Each(fleet.Servers[:2], (*sim.Server).Cut)
		synctest.Wait()
		s, err = e.Inspect(t.Context(), "r")
		isAll(t, err, engine.ErrNoQuorum)
		if s.Held || len(s.Votes) != 3 {
			t.Errorf("%v of %v", s, s.Votes)
		}
	})
}

func TestRestartedInstanceDoesNotVoteUntilTheQuarantineIsOver(t *testing.T) {
	cfg := config()
	cfg.MaxTTL = 20 * time.Second
	cfg.Tries = 1
	simulate(t, 1, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		s := fleet.Servers[0]
		l := acquire(t, e, "r")
		synctest.Wait()
		s.Restart()
		restarted := time.Now()
		_, err := e.Acquire(t.Context(), "r") // finds out
		isAll(t, err, engine.ErrNoQuorum)
		isNone(t, err, engine.ErrHeld)
		if h := e.Instances()[0]; h.State != instance.Quarantined {
			t.Errorf("it is %v: %v", h.State, h.Err)
		}
		for time.Since(restarted) < 20*time.Second {
			if _, err := e.TryAcquire(t.Context(), "r"); err == nil {
				t.Fatalf("it voted %v after its restart", time.Since(restarted))
			}
			time.Sleep(time.Second)
		}
		if l.Valid() {
			t.Error("the lease survived")
		}
		time.Sleep(2 * time.Second)
		release(t, acquire(t, e, "r"))
	})
}

func TestFleetThatIsNewAltogetherVotesAtOnceUnlessTheGuardIsStrict(t *testing.T) {
	for guard, wait := range map[instance.Guard]time.Duration{
		instance.GuardAdaptive: 0,
		instance.GuardOff:      0,
		instance.GuardStrict:   20 * time.Second,
	} {
		t.Run(guard.String(), func(t *testing.T) {
			testkit.Simulate(t, func(t *testing.T) {
				fleet := sim.New(t, 3)
				fleet.Each(func(s *sim.Server) { s.Age(0) })
				cfg := config()
				cfg.Guard, cfg.MaxTTL = guard, 20*time.Second
				e := start(t, fleet, cfg)
				begun := time.Now()
				release(t, acquire(t, e, "r"))
				between(t, "the first acquire", time.Since(begun), wait, wait*11/10+2*time.Second)
			})
		})
	}
}

func TestOneYoungInstanceAmongOldOnesIsQuarantined(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 3)
		fleet.Servers[0].Age(0)
		e := start(t, fleet, config())
		states := map[instance.State]int{}
		for _, h := range e.Instances() {
			states[h.State]++
		}
		if states[instance.Quarantined] != 1 || states[instance.Up] != 2 {
			t.Errorf("the instances' states: got %v, want 2 up and 1 quarantined", states)
		}
		l := acquire(t, e, "r")
		synctest.Wait()
		if fleet.Servers[0].Get("r") != "" {
			t.Error("it voted")
		}
		time.Sleep(2 * every)
		if fleet.Servers[0].Get("r") != l.Token() {
			t.Error("it was not healed: a lease may be put there, once a majority proved it")
		}
	})
}

func TestFencesRiseAcrossHoldersAndEngines(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		other := start(t, fleet, config())
		var last uint64
		for n := range 50 {
			by := []*engine.Engine{e, other}[n%2]
			l := acquire(t, by, "r", engine.WithFencing())
			if l.Fence() <= last {
				t.Fatalf("fence %d after %d", l.Fence(), last)
			}
			last = l.Fence()
			release(t, l)
			synctest.Wait()
		}
	})
}

// An acquire of what its own engine holds may wait for itself: the text says so.
func TestRefusalSaysThatItIsThisEngineThatHoldsTheResource(t *testing.T) {
	for name, how := range map[string]struct {
		cfg  engine.Config
		opts []engine.Option
	}{
		"plain":              {config(), nil},
		"an owner":           {engine.Config{TTL: ttl, Owner: "host", KeyPrefix: "app:"}, nil},
		"a token of its own": {engine.Config{TTL: ttl, KeyPrefix: "app:"}, []engine.Option{engine.WithToken("mine")}},
		"handed on":          {handingOn(8), nil},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, how.cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				other := start(t, fleet, how.cfg)
				held := acquire(t, e, "r", how.opts...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, tried := e.TryAcquire(t.Context(), "r")
				_, waited := e.Acquire(ctx, "r")
				_, theirs := other.TryAcquire(t.Context(), "r")
				for err, own := range map[error]bool{tried: true, waited: true, theirs: false} {
					isAll(t, err, engine.ErrHeld)
					if strings.Contains(err.Error(), "by this engine") != own || strings.Contains(err.Error(), "by another") == own {
						t.Errorf("its own: %v: %v", own, err)
					}
				}
				release(t, held)
			})
		})
	}
}

func TestRefusalSaysThatItIsThisEngineThatHasDetachedTheLease(t *testing.T) {
	for name, cfg := range map[string]engine.Config{"plain": config(), "handed on": handingOn(8)} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				other := start(t, fleet, cfg)
				token := detach(t, acquire(t, e, "r"))
				_, mine := e.TryAcquire(t.Context(), "r")
				_, theirs := other.TryAcquire(t.Context(), "r")
				adopted, err := e.Adopt(t.Context(), "r", token)
				if err != nil {
					t.Fatalf("e.Adopt: %v", err)
				}
				_, again := e.TryAcquire(t.Context(), "r")
				for err, want := range map[error]string{mine: ": detached by this engine (", theirs: ": held by another (", again: ": held by this engine itself ("} {
					isAll(t, err, engine.ErrHeld)
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%v, want %q", err, want)
					}
				}
				release(t, adopted)
			})
		})
	}
}

func TestInstancesOfAnEngineThatIsNotMadeAreFree(t *testing.T) {
	simulate(t, 2, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		mine := fleet.Instances(instance.Config{Timeout: timeout})
		taken := fleet.Instances(instance.Config{Timeout: timeout})[:1]
		first, err := engine.New(taken, config())
		if err != nil {
			t.Fatalf("engine.New: %v", err)
		}
		defer first.Close(t.Context())
		for range 2 {
			if _, err := engine.New([]*instance.Instance{mine[0], mine[1], taken[0]}, config()); err == nil || !strings.Contains(err.Error(), "belongs to an engine already") {
				t.Fatalf("two engines with one instance: %v", err)
			}
			if _, err := engine.New(mine, engine.Config{TTL: -1}); err == nil {
				t.Fatal("a bad Config")
			}
		}
		second, err := engine.New(mine, config())
		if err != nil {
			t.Fatalf("engine.New: %v", err)
		}
		defer second.Close(t.Context())
		release(t, acquire(t, second, "r"))
	})
}

// Nobody waits for a holder that hangs any longer than it may hold the lock.
func TestKeyEndsWithTheLongestTimeThatItsLeaseMayBeHeld(t *testing.T) {
	const room = 20 * time.Millisecond
	drift := func(d time.Duration) time.Duration { return d/50 + room }
	for _, limit := range []time.Duration{time.Millisecond, 300 * time.Millisecond, ttl - time.Second, ttl, 25 * time.Second, 61 * time.Second} {
		t.Run(limit.String(), func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				other := start(t, fleet, config())
				begun := time.Now()
				l := acquire(t, e, "r", engine.WithMaxHold(limit))
				synctest.Wait() // everywhere
				next := acquiring(t.Context(), other, "r")
				var last time.Time
				for n := 0; l.Valid(); n++ {
					last = time.Now()
					for _, s := range fleet.Servers {
						if ends := time.Since(begun) + s.TTL("r"); s.Get("r") == l.Token() && ends > limit+drift(limit) {
							t.Fatalf("after %v a key lives until %v", time.Since(begun), ends)
						}
					}
					switch {
					case n%50 == 20:
						fleet.Servers[0].Del("r") // to be healed
					case n%50 == 40:
						if err := l.Extend(t.Context(), time.Minute); err != nil {
							t.Errorf("l.Extend: %v", err)
						}
						synctest.Wait()
					}
					time.Sleep(min(100*time.Millisecond, limit/4))
				}
				isAll(t, l.Err(), lease.ErrMaxHold)
				between(t, "the end of the lease", last.Sub(begun), limit-min(100*time.Millisecond, limit/4), limit)
				time.Sleep(drift(limit))
				r := got(t, next)
				if r.err != nil {
					t.Fatalf("acquire: %v", r.err)
				}
				between(t, "the next one's grant", r.at.Sub(begun), limit, limit+drift(limit))
				isAll(t, l.Release(t.Context()), lease.ErrMaxHold)
				if !r.lease.Valid() || fleet.Count("r", r.lease.Token()) < 2 {
					t.Error("the release has hit the next one")
				}
			})
		})
	}
}
