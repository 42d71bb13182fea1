package keeper

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

func (k *kept) ask(suspects []*Entry) {
	k.mu.Lock()
	k.asked = append(k.asked, suspects...)
	says := k.says
	k.mu.Unlock()
	if says == nil {
		return
	}
	for _, e := range slices.Clone(suspects) {
		go says(e) // as the instances do
	}
}

func (k *kept) sayWith(says func(*Entry)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.says = says
}

// askedAbout returns how often it was asked whose the lock of e is.
func (k *kept) askedAbout(e *Entry) (n int) {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range k.asked {
		if a == e {
			n++
		}
	}
	return n
}

func (k *kept) stillOurs(e *Entry) { k.Checked([]Outcome{{Entry: e}}) }

func TestASuspectThatIsNotOursEndsAtOnceAndItsRenewalIsNotWaitedFor(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.sayWith(func(e *Entry) { k.Checked([]Outcome{{Entry: e, Lost: lease.ErrGone}}) })
		begun := time.Now()
		e := k.add("r", validity, every)
		other := k.add("other", validity, every)
		k.Check(e)
		<-e.Control.Lease().Done()
		if !time.Now().Equal(begun) || !errors.Is(e.Control.Lease().Err(), lease.ErrGone) {
			t.Errorf("ended after %v with %v", time.Since(begun), e.Control.Lease().Err())
		}
		if l := <-k.Lost(); l != e.Control.Lease() {
			t.Errorf("lost %v", l)
		}
		if n := k.askedAbout(other); n != 0 || other.Control.Lease().Err() != nil {
			t.Errorf("another lease was asked about %d times, and is %v", n, other.Control.Lease())
		}
		k.endAll()
	})
}

// What is asked out of turn moves neither the deadline nor the next renewal, however often.
func TestASuspectThatIsOursIsRenewedWhenItIsDue(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		k.sayWith(k.stillOurs)
		e := k.add("r", validity, every)
		deadline := e.Control.Lease().Deadline()
		begun := time.Now()
		for len(k.renewed()) == 0 {
			k.Check(e)
			time.Sleep(10 * time.Millisecond)
		}
		if gap := k.renewed()[0].at.Sub(begun); gap < every*9/10 || gap > every {
			t.Errorf("renewed after %v", gap)
		}
		if n := k.askedAbout(e); n < 250 {
			t.Errorf("asked about it %d times", n)
		}
		if e.Control.Lease().Deadline().Equal(deadline) {
			t.Error("the renewal did not move the deadline")
		}
		k.endAll()
	})
}

func TestASuspicionWhileItIsBeingAskedAsksOnceMore(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		e := k.add("r", validity, every)
		for range 100 {
			k.Check(e)
			synctest.Wait()
		}
		if n := k.askedAbout(e); n != 1 {
			t.Errorf("%d questions are under way", n)
		}
		k.sayWith(k.stillOurs)
		k.stillOurs(e)
		if n := k.askedAbout(e); n != 2 {
			t.Errorf("asked %d times in all", n)
		}
		k.Check(e)
		if n := k.askedAbout(e); n != 3 {
			t.Errorf("asked %d times in all", n)
		}
		k.endAll()
	})
}

func TestWhatIsNotInCareIsNotAskedAbout(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		young := k.entry("young", validity, every)
		k.Check(young)
		e := k.add("r", validity, every)
		k.Check(e)
		synctest.Wait()
		k.Check(e)
		e.Control.End(lease.ErrReleased)
		k.stillOurs(e)
		k.Check(e)
		if n, m := k.askedAbout(young), k.askedAbout(e); n != 0 || m != 1 {
			t.Errorf("asked %d times about one that is not yet in care, %d about one that was", n, m)
		}
	})
}

func TestNoMoreThanSoManySuspectsAreAskedAboutAtOnceAndTheRestFollow(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		const leases = maxUnderWay + 100
		var entries []*Entry
		for range leases {
			entries = append(entries, k.add("r", validity, 0))
		}
		for _, e := range entries {
			k.Check(e)
		}
		synctest.Wait()
		k.mu.Lock()
		first := slices.Clone(k.asked)
		k.mu.Unlock()
		if len(first) != maxUnderWay {
			t.Errorf("%d were asked about at once", len(first))
		}
		k.sayWith(k.stillOurs)
		for _, e := range first {
			k.stillOurs(e)
		}
		for _, e := range entries {
			if n := k.askedAbout(e); n != 1 {
				t.Fatalf("one was asked about %d times", n)
			}
		}
		k.endAll()
	})
}
