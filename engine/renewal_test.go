package engine_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

// renewals has the outcome of every renewal, in the order of their ends.
type renewals struct {
	mu        sync.Mutex // Trace is called on the goroutines of the instances
	times     []time.Time
	confirmed []bool
}

// traced is cfg with the renewals recorded.
func traced(cfg engine.Config) (engine.Config, *renewals) {
	r := new(renewals)
	cfg.Trace = &engine.Trace{Renewed: func(info engine.RenewedInfo) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.times = append(r.times, time.Now())
		r.confirmed = append(r.confirmed, info.Confirmed)
	}}
	return cfg, r
}

// at returns when the renewals so far were decided.
func (r *renewals) at() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.times)
}

// failed returns how many were not confirmed.
func (r *renewals) failed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, ok := range r.confirmed {
		if !ok {
			n++
		}
	}
	return n
}

// await waits until so many have been decided.
func (r *renewals) await(n int) {
	for synctest.Wait(); len(r.at()) < n; synctest.Wait() {
		time.Sleep(time.Millisecond)
	}
}

func TestLeaseIsRenewedEveryRenewEveryOrUpToATenthEarlier(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		begun := time.Now()
		l := acquire(t, e, "r")
		time.Sleep(50 * ttl)
		synctest.Wait()
		if !l.Valid() {
			t.Fatalf("after 50 TTLs: %v", l.Err())
		}
		before := begun
		for _, at := range renewed.at() {
			// Up to 5 ms earlier still, to share a batch.
			between(t, "between two renewals", at.Sub(before), every*9/10-5*time.Millisecond, every)
			before = at
		}
		if n := renewed.failed(); n != 0 {
			t.Errorf("%d renewals failed", n)
		}
		if n := len(renewed.at()); n < int(50*ttl/every) {
			t.Errorf("%d renewals in 50 TTLs", n)
		}
	})
}

func TestRenewalRefreshesTheKeysAndTheDeadline(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		for n := 1; n <= 20; n++ {
			renewed.await(n)
			since := time.Since(renewed.at()[n-1])
			between(t, "remaining after a renewal", l.Remaining(), validity(ttl)-since, validity(ttl)-since)
			for _, s := range fleet.Servers {
				between(t, "TTL after a renewal", s.TTL("r"), ttl-since, ttl-since)
			}
		}
	})
}

func TestDeadlineOfARenewalCountsFromBeforeItsFirstSend(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		const slow = 400 * time.Millisecond
		fleet.Each(func(s *sim.Server) { s.Latency(0, slow) })
		renewed.await(1)
		if left, most := l.Remaining(), validity(ttl)-slow; left > most {
			t.Errorf("%v left after a renewal whose answer took %v, want at most %v", left, slow, most)
		}
	})
}

func TestLeaseWithItsOwnTTLIsRenewedInProportion(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r", engine.WithTTL(ttl/10))
		time.Sleep(10 * ttl)
		synctest.Wait()
		if !l.Valid() {
			t.Fatalf("the lease has ended, want it valid: %v", l.Err())
		}
		if n := len(renewed.at()); n < int(100*ttl/every) || n > int(100*ttl/(every*8/10)) {
			t.Errorf("%d renewals", n)
		}
	})
}

func TestLeasesThatAreDueTogetherAreRenewedInOneCall(t *testing.T) {
	// No jitter to speak of: RenewEvery/10 is within the slack for batches.
	simulate(t, 3, engine.Config{TTL: 100 * time.Millisecond, RenewEvery: 30 * time.Millisecond}, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		for _, name := range strings.Split("abcdefgh", "") {
			acquire(t, e, name)
		}
		synctest.Wait()
		fleet.Each((*sim.Server).ForgetCalls)
		time.Sleep(33 * time.Millisecond)
		synctest.Wait()
		for _, s := range fleet.Servers {
			if n := len(s.Calls()); n == 0 || n >= 8 {
				t.Errorf("%s was called %d times to renew 8 leases", s.Name(), n)
			}
		}
	})
}

func TestOneLostRenewalDoesNotEndTheLease(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		fleet.Each((*sim.Server).Hang)
		renewed.await(1)
		if renewed.failed() != 1 || !l.Valid() {
			t.Fatalf("the renewal did not fail, or: %v", l.Err())
		}
		fleet.Each((*sim.Server).Thaw)
		time.Sleep(10 * ttl)
		if !l.Valid() {
			t.Errorf("the lease has ended, want it valid: %v", l.Err())
		}
		release(t, l)
		empty(t, fleet, "r")
	})
}

func TestRenewalWhoseRepliesAreLostIsTriedAgain(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		fleet.Each(func(s *sim.Server) { s.LoseReplies(true) })
		for renewed.failed() < 2 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		fleet.Each(func(s *sim.Server) { s.LoseReplies(false) })
		time.Sleep(10 * ttl)
		if !l.Valid() {
			t.Errorf("the lease has ended, want it valid: %v", l.Err())
		}
	})
}

func TestRenewalIsRetriedUntilTheDeadlineAndTheLeaseEndsExactlyThen(t *testing.T) {
	for name, fail := range map[string]func(*sim.Server){
		"hanging":     (*sim.Server).Hang,
		"unreachable": (*sim.Server).Cut,
		"mute":        func(s *sim.Server) { s.LoseReplies(true) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg, renewed := traced(config())
			simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				l := acquire(t, e, "r")
				synctest.Wait()
				sim.Each(fleet.Servers[:2], fail)
				deadline := l.Deadline()
				<-l.Done()
				if now := time.Now(); !now.Equal(deadline) || !l.Deadline().Equal(deadline) {
					t.Errorf("ended %v after the deadline of the last confirmed renewal", now.Sub(deadline))
				}
				isAll(t, l.Err(), lease.ErrExpired)
				synctest.Wait()
				if n := renewed.failed(); n < 4 {
					t.Errorf("only %d renewals were tried", n)
				}
				times := renewed.at()
				last := times[len(times)-1]
				if gap := deadline.Sub(last); gap > every {
					t.Errorf("the last try was over %v before the deadline", gap)
				}
			})
		})
	}
}

func TestOneInstanceOfThreeThatHangsCostsTheLeaseNothing(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		fleet.Servers[0].Hang()
		time.Sleep(20 * ttl)
		synctest.Wait()
		if !l.Valid() || renewed.failed() != 0 {
			t.Errorf("%v, %d renewals failed", l.Err(), renewed.failed())
		}
		asked := time.Now()
		release(t, l)
		release(t, acquire(t, e, "other"))
		if took := time.Since(asked); took != 0 {
			t.Errorf("a release and an acquire took %v", took)
		}
	})
}

func TestConfirmationAfterTheDeadlineRevivesNothing(t *testing.T) {
	// The renewal's answer takes longer than what is left of the validity.
	cfg := engine.Config{TTL: time.Second, RenewEvery: 900 * time.Millisecond}
	cfg, renewed := traced(cfg)
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		fleet.Each(func(s *sim.Server) { s.Latency(0, 400*time.Millisecond) })
		deadline := l.Deadline()
		<-l.Done()
		if !time.Now().Equal(deadline) {
			t.Errorf("ended at %v, not at the deadline %v", time.Now(), deadline)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if at := renewed.at(); len(at) != 1 || at[0].Before(deadline) {
			t.Fatalf("the test is pointless: renewals decided at %v", at)
		}
		if l.Valid() || !l.Deadline().Equal(deadline) || len(e.Leases()) != 0 {
			t.Error("the lease was revived")
		}
		isAll(t, l.Err(), lease.ErrExpired)
	})
}

func TestMajorityThatNamesAnotherHolderEndsTheLeaseAtOnceAsStolen(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		begun := time.Now()
		l := acquire(t, e, "r")
		synctest.Wait()
		sim.Each(fleet.Servers[:2], func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		<-l.Done()
		between(t, "the end", time.Since(begun), every*9/10-5*time.Millisecond, every)
		isAll(t, l.Err(), lease.ErrStolen, lease.ErrLost)
		isNone(t, l.Err(), lease.ErrExpired)
		if err := l.Release(t.Context()); err == nil {
			t.Error("the release says that all was well")
		} else {
			isAll(t, err, lease.ErrStolen)
		}
		if fleet.Count("r", "somebody else") != 2 {
			t.Error("the other one's keys were touched")
		}
	})
}

func TestMajorityWithoutTheKeyEndsTheLeaseAtOnceAsGone(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		begun := time.Now()
		l := acquire(t, e, "r")
		synctest.Wait()
		sim.Each(fleet.Servers[:2], func(s *sim.Server) { s.Del("r") })
		<-l.Done()
		between(t, "the end", time.Since(begun), every*9/10-5*time.Millisecond, every)
		isAll(t, l.Err(), lease.ErrGone, lease.ErrLost)
		isNone(t, l.Err(), lease.ErrStolen, lease.ErrExpired)
		time.Sleep(time.Second)
		if fleet.Count("r", l.Token()) > 1 {
			t.Error("the renewal re-created the lease")
		}
	})
}

func TestMinorityThatNamesAnotherHolderIsOutvoted(t *testing.T) {
	simulate(t, 5, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		sim.Each(fleet.Servers[:2], func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		time.Sleep(10 * ttl)
		if !l.Valid() {
			t.Errorf("the lease has ended, want it valid: %v", l.Err())
		}
		if fleet.Count("r", "somebody else") != 2 {
			t.Error("the other one's keys were touched")
		}
	})
}

func TestInstanceThatForgotHasTheKeyAgainAfterTheNextRenewal(t *testing.T) {
	for name, forget := range map[string]func(*sim.Server){
		"restarted": (*sim.Server).Restart, // quarantined: it may not vote, but it may heal
		"flushed":   (*sim.Server).Forget,
	} {
		for _, fenced := range []bool{false, true} {
			var opts []engine.Option
			if fenced {
				name += ", with a fence"
				opts = append(opts, engine.WithFencing())
			}
			t.Run(name, func(t *testing.T) {
				simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
					l := acquire(t, e, "r", opts...)
					synctest.Wait()
					forget(fleet.Servers[1])
					if fleet.Count("r", l.Token()) != 2 {
						t.Fatal("it has not forgotten")
					}
					// A renewal may find the broken connection, and only the next one the empty server.
					time.Sleep(2 * every)
					synctest.Wait()
					if fleet.Count("r", l.Token()) != 3 {
						t.Errorf("not healed: %q", fleet.Holders("r"))
					}
					if s := fleet.Servers[1]; s.TTL("r") < l.Remaining() {
						t.Errorf("healed for %v only, of %v", s.TTL("r"), l.Remaining())
					}
					time.Sleep(10 * ttl)
					if fleet.Count("r", l.Token()) != 3 || !l.Valid() {
						t.Errorf("not kept: %v, %q", l.Err(), fleet.Holders("r"))
					}
					release(t, l)
					empty(t, fleet, "r")
				})
			})
		}
	}
}

func TestInstancesThatForgetOneAfterTheOtherDoNotErodeTheMajority(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		for n := range 9 {
			synctest.Wait()
			fleet.Servers[n%3].Restart()
			time.Sleep(2 * every)
		}
		if !l.Valid() || fleet.Count("r", l.Token()) != 3 {
			t.Errorf("got %v, held by %q, want the lease valid on all 3", l.Err(), fleet.Holders("r"))
		}
	})
}

func TestNothingIsHealedAfterTheRelease(t *testing.T) {
	// The release comes while a renewal is in flight that will find a key missing,
	// at every moment of it.
	for delay := time.Duration(0); delay <= 200*time.Millisecond; delay += 20 * time.Millisecond {
		simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			l := acquire(t, e, "r")
			synctest.Wait()
			fleet.Servers[1].Del("r")
			fleet.Each(func(s *sim.Server) {
				s.ForgetCalls()
				s.Latency(50*time.Millisecond, 50*time.Millisecond)
			})
			for len(fleet.Servers[1].Calls()) == 0 {
				time.Sleep(time.Millisecond) // until the renewal has been served, 50 ms after it was sent
			}
			time.Sleep(delay)
			release(t, l)
			time.Sleep(time.Second)
			empty(t, fleet, "r")
		})
	}
}

func TestNothingIsHealedForAnotherHolder(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		fleet.Servers[1].Set("r", "somebody else", time.Hour)
		time.Sleep(5 * ttl)
		if fleet.Servers[1].Get("r") != "somebody else" || !l.Valid() {
			t.Errorf("held by %q, %v, want the other's key left alone and the lease valid", fleet.Holders("r"), l.Err())
		}
	})
}

func TestLeaseWithoutRenewalEndsAtItsDeadline(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		begun := time.Now()
		l := acquire(t, e, "r", engine.WithoutRenewal())
		<-l.Done()
		between(t, "the end", time.Since(begun), validity(ttl), validity(ttl))
		isAll(t, l.Err(), lease.ErrExpired)
		if len(renewed.at()) != 0 {
			t.Error("it was renewed")
		}
	})
}

func TestLeaseEndsAtItsMaxHold(t *testing.T) {
	for _, hold := range []time.Duration{time.Second, validity(ttl), 35 * time.Second} {
		t.Run(hold.String(), func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				begun := time.Now()
				l := acquire(t, e, "r", engine.WithMaxHold(hold))
				if err := l.Extend(t.Context(), time.Minute); err != nil {
					t.Errorf("l.Extend: %v", err)
				}
				<-l.Done()
				between(t, "the end", time.Since(begun), hold, hold)
				isAll(t, l.Err(), lease.ErrMaxHold, lease.ErrLost)
				isNone(t, l.Err(), lease.ErrExpired)
				isAll(t, l.Release(t.Context()), lease.ErrMaxHold)
				empty(t, fleet, "r")
			})
		})
	}
}

func TestScriptsThatWereFlushedAreLoadedAgain(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		synctest.Wait()
		fleet.Each((*sim.Server).ForgetScripts)
		time.Sleep(10 * ttl)
		synctest.Wait()
		if renewed.failed() != 0 {
			t.Errorf("%d renewals failed", renewed.failed())
		}
		fleet.Each((*sim.Server).ForgetScripts)
		release(t, l)
		empty(t, fleet, "r")
	})
}
