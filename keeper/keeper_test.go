package keeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	validity = 10 * time.Second
	every    = 3 * time.Second
)

// batch is one call of renew.
type batch struct {
	at      time.Time
	entries []*Entry
}

// kept is a keeper that runs in a bubble, and what it did.
type kept struct {
	*Keeper
	t *testing.T

	mu      sync.Mutex
	batches []batch
	answer  func(*Entry) // what becomes of a renewal; nil: it is never settled
	asked   []*Entry     // about whose locks Check has had it asked
	says    func(*Entry) // what becomes of such a question; nil: it is never answered
}

// keep runs a test with a keeper that confirms every renewal at once.
func keep(t *testing.T, test func(*testing.T, *kept)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{t: t}
		k.Keeper = New(k.renew, k.ask)
		k.answer = k.confirm
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		synctest.Wait()
		test(t, k)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the keeper ended with %v, want no error", err)
		}
		for range k.Lost() { // closed, or this does not end
		}
	})
}

func (k *kept) renew(due []*Entry) {
	k.mu.Lock()
	k.batches = append(k.batches, batch{time.Now(), slices.Clone(due)})
	answer := k.answer
	k.mu.Unlock()
	if answer == nil {
		return
	}
	for _, e := range slices.Clone(due) {
		go answer(e) // as the instances do
	}
}

func (k *kept) confirm(e *Entry) {
	now := clock.Now()
	k.Settle(now, []Outcome{{Entry: e, Deadline: now.Add(validity)}})
}

func (k *kept) fail(e *Entry) { k.Settle(clock.Now(), []Outcome{{Entry: e}}) }

func (k *kept) lose(cause error) func(*Entry) {
	return func(e *Entry) { k.Settle(clock.Now(), []Outcome{{Entry: e, Lost: cause}}) }
}

func (k *kept) answerWith(answer func(*Entry)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = answer
}

// underWayNow returns how many renewals have been handed out and not settled.
func (k *kept) underWayNow() int {
	synctest.Wait()
	k.Keeper.mu.Lock()
	defer k.Keeper.mu.Unlock()
	return k.underWay
}

// endAll releases what is in care.
func (k *kept) endAll() {
	for _, e := range k.Entries() {
		e.Control.End(lease.ErrReleased)
	}
}

// renewed returns the calls of renew so far.
func (k *kept) renewed() []batch {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.batches)
}

// backend does for a lease what the engine does.
type backend struct {
	k *Keeper
	e *Entry
}

func (*backend) Extend(context.Context, time.Duration) error { return nil }
func (*backend) Release(context.Context) error               { return nil }
func (*backend) Detach() (string, error)                     { return "", nil }

func (b *backend) Ended(cause error) {
	b.k.Remove(b.e)
	if errors.Is(cause, lease.ErrLost) {
		b.k.Emit(b.e.Control.Lease())
	}
}

// entry is a new lease that is valid for d, not yet in care.
func (k *kept) entry(name string, d, renewEvery time.Duration) *Entry {
	e := &Entry{TTL: d, RenewEvery: renewEvery}
	e.Control.Begin(lease.Grant{Resource: name, Deadline: clock.Now().Add(d), Backend: &backend{k.Keeper, e}})
	return e
}

func (k *kept) add(name string, d, renewEvery time.Duration) *Entry {
	e := k.entry(name, d, renewEvery)
	k.Add(e, clock.Now())
	return e
}

func (k *kept) addOf(locks uint8, name string, d, renewEvery time.Duration) {
	e := k.entry(name, d, renewEvery)
	e.Locks = locks
	k.Add(e, clock.Now())
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestLeaseIsRenewedWhenDueAndCountedFromTheStartOfTheConfirmedRenewal(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		begun := time.Now()
		e := k.add("r", validity, every)
		time.Sleep(100 * every)
		before := begun
		for _, b := range k.renewed() {
			if gap := b.at.Sub(before); gap < every*9/10 || gap > every {
				t.Errorf("renewed after %v", gap)
			}
			before = b.at
		}
		if n := len(k.renewed()); n < 100 || n > 115 {
			t.Errorf("%d renewals", n)
		}
		if e.Control.Lease().Err() != nil {
			t.Errorf("the lease has ended, want it valid: %v", e.Control.Lease().Err())
		}
		e.Control.End(lease.ErrReleased)
	})
}

func TestStartBeforeAddCountsFromTheStart(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		e := k.entry("r", validity, every)
		time.Sleep(time.Second)
		k.Add(e, clock.Now().Add(-time.Second))
		time.Sleep(every - time.Second)
		if n := len(k.renewed()); n != 1 {
			t.Errorf("%d renewals at the time of the first", n)
		}
		e.Control.End(lease.ErrReleased)
	})
}

func TestRenewalsThatAreDueAboutTheSameTimeShareABatch(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(nil)
		const leases = 1000
		for n := range leases {
			k.add(fmt.Sprint(n), validity, every)
		}
		time.Sleep(every)
		batches, entries := k.renewed(), 0
		for _, b := range batches {
			entries += len(b.entries)
		}
		if most := int(every/16/grain) + 2; entries != leases || len(batches) > most {
			t.Errorf("%d batches for %d leases, want at most %d for all", len(batches), entries, most)
		}
		k.endAll()
	})
}

func TestNoMoreThanSoManyRenewalsAreUnderWayAndTheRestFollow(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(nil)
		const leases = 2*maxUnderWay + 100
		for n := range leases {
			k.add(fmt.Sprint(n), validity, every)
		}
		time.Sleep(every)
		seen, renewed := 0, make(map[*Entry]bool)
		for len(renewed) < leases { // whatever is answered makes room for as many
			batches := k.renewed()
			if len(batches) == seen {
				t.Fatalf("%d of %d were renewed, and there it stops", len(renewed), leases)
			}
			var outcomes []Outcome
			for _, b := range batches[seen:] {
				for _, e := range b.entries {
					outcomes = append(outcomes, Outcome{Entry: e, Deadline: clock.Now().Add(validity)})
					renewed[e] = true
				}
			}
			if seen = len(batches); len(outcomes) > maxUnderWay {
				t.Fatalf("%d at once", len(outcomes))
			}
			k.Settle(clock.Now(), outcomes)
		}
		k.endAll()
	})
}

func TestALeaseOfManyLocksIsManyRenewals(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(nil)
		const locks, leases = 64, maxUnderWay/64 + 10
		for n := range leases {
			k.addOf(locks, fmt.Sprint(n), validity, every)
		}
		time.Sleep(every)
		if n := k.underWayNow(); n != maxUnderWay {
			t.Errorf("%d locks are under way", n)
		}
		for _, b := range k.renewed() {
			for _, e := range b.entries {
				k.confirm(e)
			}
		}
		if n := k.underWayNow(); n != 10*locks {
			t.Errorf("%d locks are under way after the first were confirmed", n)
		}
		k.endAll()
	})
}

func TestLeaseThatWaitsForItsRenewalEndsAtItsDeadline(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(nil)
		for n := range maxUnderWay {
			k.add(fmt.Sprint(n), 100*validity, every)
		}
		time.Sleep(every)
		if n := k.underWayNow(); n != maxUnderWay {
			t.Fatalf("%d are under way", n)
		}
		e := k.add("late", validity, every)
		deadline := e.Control.Lease().Deadline()
		released := k.add("released", validity, every)
		time.Sleep(every)
		released.Control.End(lease.ErrReleased) // and nobody minds that it stands in line
		<-e.Control.Lease().Done()
		if !time.Now().Equal(deadline) {
			t.Errorf("ended %v after the deadline", time.Since(deadline))
		}
		for _, b := range k.renewed() {
			if slices.Contains(b.entries, e) || slices.Contains(b.entries, released) {
				t.Error("it was renewed beyond the bound")
			}
		}
		k.endAll()
	})
}

func TestLeaseIsNotRenewedAgainWhileARenewalIsUnderWay(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(nil)
		e := k.add("r", validity, every)
		time.Sleep(validity - time.Millisecond)
		if n := len(k.renewed()); n != 1 {
			t.Errorf("%d renewals under way", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !closed(e.Control.Lease().Done()) {
			t.Error("the loop waited for a renewal that never came back")
		}
	})
}

func TestFailedRenewalIsRetriedSoonThenLessOften(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(k.fail)
		e := k.add("r", validity, every)
		deadline := e.Control.Lease().Deadline()
		<-e.Control.Lease().Done()
		if !time.Now().Equal(deadline) {
			t.Errorf("ended %v after the deadline", time.Since(deadline))
		}
		batches := k.renewed()
		for n, want := range []time.Duration{every / 16, every / 8, every / 4, every / 2, every / 2, every / 2} {
			if n+1 >= len(batches) {
				break
			}
			gap := batches[n+1].at.Sub(batches[n].at)
			if gap < want*9/10-grain || gap > want {
				t.Errorf("retry %d after %v, want %v or a little less", n+1, gap, want)
			}
		}
		if len(batches) < 6 {
			t.Errorf("%d tries", len(batches))
		}
		if err := e.Control.Lease().Err(); !errors.Is(err, lease.ErrExpired) {
			t.Errorf("e.Control.Lease: got %v, want %v", err, lease.ErrExpired)
		}
	})
}

func TestConfirmedRenewalForgetsTheFailuresBefore(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(k.fail)
		e := k.add("r", validity, every)
		for len(k.renewed()) < 4 {
			time.Sleep(time.Millisecond)
		}
		k.answerWith(k.confirm)
		for len(k.renewed()) < 5 {
			time.Sleep(time.Millisecond)
		}
		k.answerWith(k.fail)
		for len(k.renewed()) < 7 {
			time.Sleep(time.Millisecond)
		}
		b := k.renewed()
		if gap := b[5].at.Sub(b[4].at); gap < every*9/10 {
			t.Errorf("after a confirmation renewed after %v", gap)
		}
		if gap := b[6].at.Sub(b[5].at); gap > every/16 {
			t.Errorf("the first retry after %v", gap)
		}
		e.Control.End(lease.ErrReleased)
	})
}

func TestTinyRenewEveryIsRetriedNoFasterThanEveryMillisecond(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(k.fail)
		e := k.add("r", time.Second, 2*time.Millisecond)
		<-e.Control.Lease().Done()
		if n := len(k.renewed()); n > 1300 {
			t.Errorf("%d tries in a second", n)
		}
	})
}

func TestLostRenewalEndsTheLeaseAtOnce(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(k.lose(lease.ErrStolen))
		begun := time.Now()
		e := k.add("r", validity, every)
		<-e.Control.Lease().Done()
		if took := time.Since(begun); took > every {
			t.Errorf("it took %v", took)
		}
		if err := e.Control.Lease().Err(); !errors.Is(err, lease.ErrStolen) {
			t.Errorf("e.Control.Lease: got %v, want %v", err, lease.ErrStolen)
		}
		if l := <-k.Lost(); l != e.Control.Lease() {
			t.Errorf("lost %v", l)
		}
		if n := len(k.Entries()); n != 0 {
			t.Errorf("%d entries are in care", n)
		}
	})
}

func TestConfirmationThatIsLateRevivesNothing(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(func(e *Entry) {
			start := clock.Now()
			time.Sleep(validity)
			k.Settle(start, []Outcome{{Entry: e, Deadline: start.Add(time.Hour)}})
		})
		e := k.add("r", validity, every)
		deadline := e.Control.Lease().Deadline()
		time.Sleep(3 * validity)
		if !e.Control.Lease().Deadline().Equal(deadline) || !errors.Is(e.Control.Lease().Err(), lease.ErrExpired) {
			t.Errorf("got %v, want it expired, at its old deadline", e.Control.Lease())
		}
		if n := len(k.renewed()); n != 1 || len(k.Entries()) != 0 {
			t.Errorf("%d renewals, %d in care", n, len(k.Entries()))
		}
	})
}

func TestRemoveWhileARenewalIsUnderWayIsFinal(t *testing.T) {
	for _, outcome := range []Outcome{
		{Deadline: clock.Now().Add(1000 * time.Hour)},
		{},
		{Lost: lease.ErrStolen},
	} {
		keep(t, func(t *testing.T, k *kept) {
			k.answerWith(func(e *Entry) {
				time.Sleep(time.Second)
				outcome := outcome
				outcome.Entry = e
				k.Settle(clock.Now(), []Outcome{outcome})
			})
			e := k.add("r", validity, every)
			for len(k.renewed()) == 0 {
				time.Sleep(time.Millisecond)
			}
			e.Control.End(lease.ErrReleased) // removes it
			k.Remove(e)                      // twice is fine
			time.Sleep(5 * every)
			if n := len(k.renewed()); n != 1 || len(k.Entries()) != 0 {
				t.Errorf("%d renewals, %d in care", n, len(k.Entries()))
			}
			if !errors.Is(e.Control.Lease().Err(), lease.ErrReleased) || len(k.Lost()) != 0 {
				t.Errorf("%v, %d lost", e.Control.Lease(), len(k.Lost()))
			}
		})
	}
}

func TestLeaseThatIsNotRenewedEndsAtItsDeadline(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		e := k.add("r", validity, 0)
		deadline := e.Control.Lease().Deadline()
		<-e.Control.Lease().Done()
		if !time.Now().Equal(deadline) || len(k.renewed()) != 0 {
			t.Errorf("ended %v after the deadline, %d renewals", time.Since(deadline), len(k.renewed()))
		}
	})
}

func TestLeaseThatWasExtendedEndsAtItsNewDeadline(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		e := k.add("r", validity, 0)
		time.Sleep(validity / 2)
		later := clock.Now().Add(5 * validity)
		e.Control.Prolong(later, clock.Now())
		<-e.Control.Lease().Done()
		if !time.Now().Equal(later.Time) {
			t.Errorf("ended %v after the new deadline", time.Since(later.Time))
		}
	})
}

func TestLeaseAtItsLimitIsNotRenewedAnyMore(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		now := clock.Now()
		e := &Entry{TTL: validity, RenewEvery: every}
		e.Control.Begin(lease.Grant{
			Resource: "r", Deadline: now.Add(validity), Limit: now.Add(validity + every/2), Backend: &backend{k.Keeper, e},
		})
		k.Add(e, now)
		<-e.Control.Lease().Done()
		if n := len(k.renewed()); n != 1 {
			t.Errorf("%d renewals", n)
		}
		if !errors.Is(e.Control.Lease().Err(), lease.ErrMaxHold) || time.Since(now.Time) != validity+every/2 {
			t.Errorf("%v after %v", e.Control.Lease().Err(), time.Since(now.Time))
		}
	})
}

func TestLaterEntryThatIsDueEarlierWakesTheLoop(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		long := k.add("long", time.Minute, 20*time.Second)
		synctest.Wait()
		short := k.add("short", time.Second, 0)
		deadline := short.Control.Lease().Deadline()
		<-short.Control.Lease().Done()
		if !time.Now().Equal(deadline) {
			t.Errorf("ended %v late", time.Since(deadline))
		}
		long.Control.End(lease.ErrReleased)
	})
}

func TestOneStuckRenewalDoesNotHoldUpTheOthers(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		stuck := k.entry("stuck", validity, every)
		k.answerWith(func(e *Entry) {
			if e != stuck {
				k.confirm(e)
			}
		})
		k.Add(stuck, clock.Now())
		others := []*Entry{k.add("a", validity, every), k.add("b", validity, every)}
		time.Sleep(10 * validity)
		synctest.Wait()
		if !errors.Is(stuck.Control.Lease().Err(), lease.ErrExpired) {
			t.Errorf("the lease ended with %v, want %v", stuck.Control.Lease().Err(), lease.ErrExpired)
		}
		for _, e := range others {
			if err := e.Control.Lease().Err(); err != nil {
				t.Errorf("e.Control.Lease: %v", err)
			}
			e.Control.End(lease.ErrReleased)
		}
	})
}

// lost is a lease that is nobody's.
func lost(resource string) *lease.Lease {
	c := new(lease.Control)
	c.Begin(lease.Grant{Resource: resource})
	return c.Lease()
}

func TestEmitNeverBlocksAndDropsTheOldest(t *testing.T) {
	k := New(nil, nil)
	var all []*lease.Lease
	for n := range lostBuffer + 100 {
		l := lost(fmt.Sprint(n))
		all = append(all, l)
		k.Emit(l)
	}
	if k.Dropped() != 100 {
		t.Errorf("%d dropped", k.Dropped())
	}
	for n := range lostBuffer {
		if got := <-k.Lost(); got != all[100+n] {
			t.Fatalf("loss %d is not the one it should be", n)
		}
	}
}

func TestEveryLossIsReceivedOrCountedUnderConcurrency(t *testing.T) {
	k := New(nil, nil)
	l := lost("")
	const emitters, each = 8, 2000
	received := make(chan int)
	go func() {
		n := 0
		for range k.Lost() {
			n++
		}
		received <- n
	}()
	var sending sync.WaitGroup
	for range emitters {
		sending.Go(func() {
			for range each {
				k.Emit(l)
			}
		})
	}
	sending.Wait()
	k.losses.close()
	k.losses.close() // twice is fine
	if n := <-received; n+int(k.Dropped()) != emitters*each {
		t.Errorf("%d received, %d dropped, of %d", n, k.Dropped(), emitters*each)
	}
	before := k.Dropped()
	k.Emit(l) // after the end
	if k.Dropped() != before+1 {
		t.Error("a loss after the end is not counted")
	}
}

func TestJitterAndSharingMoveARenewalByNoMoreThanATenth(t *testing.T) {
	for _, d := range []time.Duration{1, 9, 10, 100, time.Microsecond, time.Millisecond, 30 * time.Millisecond, time.Second, time.Hour} {
		e := &Entry{RenewEvery: d}
		for range 1000 {
			j := jitter(d)
			if j > d || j < d-d/16 {
				t.Fatalf("jitter(%v) = %v", d, j)
			}
			start := rand.N(time.Hour)
			if due := e.share(start + j); due > start+d || due < start+d-d/10 {
				t.Fatalf("with RenewEvery %v it is due after %v", d, due-start)
			}
		}
	}
}

func TestKeeperIsSafeForConcurrentUse(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		for range 16 {
			go func() {
				for range 100 {
					e := k.add("r", validity, every)
					time.Sleep(rand.N(2 * validity))
					_ = k.Entries()
					switch rand.N(3) {
					case 0:
						e.Control.End(lease.ErrReleased)
					case 1:
						e.Control.End(lease.ErrStolen)
					case 2:
						k.Remove(e)
					}
				}
			}()
		}
		for range 200 {
			time.Sleep(validity)
			k.answerWith([]func(*Entry){k.confirm, k.fail, k.confirm, k.lose(lease.ErrExpired)}[rand.N(4)])
		}
		time.Sleep(200 * validity)
		if n := len(k.Entries()); n != 0 {
			t.Errorf("%d in care at the end", n)
		}
	})
}

// slowly is a backend that takes its time to be told.
type slowly struct {
	backend
	all []*Entry
	t   *testing.T
}

func (b *slowly) Ended(cause error) {
	for _, e := range b.all {
		if !closed(e.Control.Lease().Done()) {
			b.t.Errorf("%s has not ended when the end of %s is told", e.Control.Lease().Resource(), b.e.Control.Lease().Resource())
		}
	}
	b.backend.Ended(cause)
	time.Sleep(2 * time.Millisecond)
}

func TestAllEndBeforeAnybodyIsTold(t *testing.T) {
	for name, end := range map[string]func(k *kept, all []*Entry){
		"at the deadline": func(*kept, []*Entry) { time.Sleep(validity) },
		"not ours any more": func(k *kept, all []*Entry) {
			var outcomes []Outcome
			for _, e := range all {
				outcomes = append(outcomes, Outcome{Entry: e, Lost: lease.ErrStolen})
			}
			k.Settle(clock.Now(), outcomes)
		},
	} {
		t.Run(name, func(t *testing.T) {
			keep(t, func(t *testing.T, k *kept) {
				k.answerWith(nil)
				all := make([]*Entry, 100)
				for n := range all {
					e := &Entry{TTL: validity}
					b := &slowly{backend{k.Keeper, e}, all, t}
					e.Control.Begin(lease.Grant{Resource: fmt.Sprint(n), Deadline: clock.Now().Add(validity), Backend: b})
					_ = e.Control.Lease().Done()
					all[n] = e
				}
				for _, e := range all {
					k.Add(e, clock.Now())
				}
				end(k, all)
				synctest.Wait()
				time.Sleep(time.Second)
			})
		})
	}
}
