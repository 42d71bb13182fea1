package keeper

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestSomeAreShownAndAllAreCounted(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		entries := make(map[*Entry]bool)
		for n := range 20 {
			ttl := time.Duration(n+1) * 4 * time.Second // near, and in all sorts of grains
			entries[k.add(fmt.Sprint(n), ttl, 0)] = true
		}
		for _, n := range []int{0, 1, 7, 20, 1000} {
			some := k.Some(n)
			seen := make(map[*Entry]bool)
			for _, l := range some {
				if seen[l.Entry] = true; !entries[l.Entry] {
					t.Error("it has none like that")
				}
			}
			if want := min(n, 20); len(some) != want || len(seen) != want {
				t.Errorf("%d of %d, %d different", len(some), n, len(seen))
			}
		}
		if k.Len() != 20 {
			t.Errorf("it keeps %d", k.Len())
		}
		for e := range entries {
			k.Remove(e)
		}
		if k.Len() != 0 || len(k.Some(5)) != 0 {
			t.Errorf("it keeps %d still", k.Len())
		}
	})
}

func TestConfirmedRenewalsAreCountedAsFarAsThereIsRoom(t *testing.T) {
	keep(t, func(t *testing.T, k *kept) {
		e := k.add("r", validity, every)
		renewed := func(n int) int {
			for range n {
				time.Sleep(every)
				synctest.Wait()
			}
			return k.Some(1)[0].Renewals
		}
		if got := renewed(3); got != 3 {
			t.Errorf("%d renewals, want 3", got)
		}
		k.answerWith(k.fail)
		if got := renewed(1); got != 3 {
			t.Errorf("%d with one that failed", got)
		}
		k.answerWith(k.confirm)
		k.Keeper.mu.Lock()
		e.renewals = maxRenewals - 1
		k.Keeper.mu.Unlock()
		if got := renewed(3); got != maxRenewals {
			t.Errorf("%d, want %d at most", got, maxRenewals)
		}
	})
}
