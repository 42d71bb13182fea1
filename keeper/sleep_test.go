package keeper

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/lease"
)

func TestDoneClosesSoonAfterTheMachineHasSleptBeyondTheDeadline(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(nil)
		short, long := k.add("short", time.Hour, 0), k.add("long", 3*time.Hour, 0)
		time.Sleep(time.Minute)
		slept := time.Now()
		clock.Inject(2 * time.Hour)
		<-short.Control.Lease().Done()
		if took := time.Since(slept); took > lookEvery {
			t.Errorf("it took %v", took)
		}
		if err := short.Control.Lease().Err(); !errors.Is(err, lease.ErrExpired) {
			t.Errorf("short.Control.Lease: got %v, want %v", err, lease.ErrExpired)
		}
		<-long.Control.Lease().Done()
		if held := time.Since(slept) + time.Minute; held != time.Hour {
			t.Errorf("a lease of 3 hours, 2 of them slept, ended after %v", held)
		}
	})
}

func TestRenewalsThatWereSleptAwayGoOutSoonAfter(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		const every = time.Hour
		e := k.add("r", 10*every, every)
		time.Sleep(time.Minute)
		slept := time.Now()
		clock.Inject(every)
		time.Sleep(lookEvery)
		b := k.renewed()
		if len(b) != 1 {
			t.Fatalf("%d renewals", len(b))
		}
		time.Sleep(every)
		if n := len(k.renewed()); n != 2 {
			t.Errorf("%d renewals an hour later", n)
		}
		if took := b[0].at.Sub(slept); took > lookEvery || !e.Control.Lease().Valid() {
			t.Errorf("it took %v, and the lease is %v", took, e.Control.Lease())
		}
		k.endAll()
	})
}

func TestConfirmationOfARenewalThatWasSleptThroughCountsFromItsStart(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.answerWith(nil)
		e := k.add("r", time.Minute, 0)
		start := clock.Now()
		clock.Inject(50 * time.Second)
		k.Settle(start, []Outcome{{Entry: e, Deadline: start.Add(2 * time.Minute)}})
		synctest.Wait()
		if left := e.Control.Lease().Remaining(); left != 70*time.Second {
			t.Errorf("%v left", left)
		}
		k.endAll()
	})
}

func TestJumpsOfTheClocks(t *testing.T) {
	from := clock.Now()
	for name, c := range map[string]struct {
		to   clock.Moment
		want bool
	}{
		"none":                     {from.Add(time.Hour), false},
		"sleep":                    {clock.Moment{Time: from.Time, Slept: from.Slept + time.Second}, true},
		"the wall clock, forward":  {clock.Moment{Time: from.Time.Add(time.Hour).Round(0), Slept: from.Slept}, false}, // no monotonic reading: nothing to compare with
		"the wall clock is slewed": {from.Add(5 * time.Millisecond), false},
	} {
		if got := jumped(from, c.to); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
