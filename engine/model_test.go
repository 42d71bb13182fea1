//go:build !race

package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/model"
)

// modelServers is how many instances the models have.
const modelServers = 3

// modelLimit is how many states a model may have: far more than any of them has.
const modelLimit = 1 << 23

// The phases of an attempt.
const (
	atRest   uint8 = iota // not begun
	courting              // has asked its arbiter
	asking                // has asked all
	gaveUp                // without a lease; undone
	leased
	gaveBack // released, or expired
	detached // let go of the lease, which is whose it is that adopts it
	adopting // has asked all for the lock of one that is detached
)

// The steps of the models.
const (
	begins uint8 = iota
	courts
	fansOut
	patches
	hears
	wins
	gives // up
	hearsRelease
	ends
	renewing
	hearsRenewal
	renewed
	hearsHealing
	expires
	forgets
	ticks
	handsOn
	detaches
	adopts
	hearsAdoption
	hearsReturn
)

func sayStep(s model.Step) string {
	who, where := modelName(s.Who), fmt.Sprintf("instance %d", s.Where+1)
	switch s.What {
	case begins:
		if s.Value != 0 {
			return fmt.Sprintf("%s begins, and asks all for the lock with the fence %d", who, s.Value)
		}
		return who + " begins, and asks all for the lock"
	case courts:
		return fmt.Sprintf("%s begins, and asks %s first", who, where)
	case fansOut:
		return who + " asks all"
	case patches:
		return fmt.Sprintf("%s asks with the fence %d, but only where it was refused", who, s.Value)
	case hears:
		return fmt.Sprintf("%s hears %s's acquire: %v", where, who, instance.Kind(s.Value))
	case wins:
		return who + " counts a quorum, and has the lease"
	case gives:
		return who + " gives up, and undoes it everywhere"
	case hearsRelease:
		return fmt.Sprintf("%s hears %s's release: %v", where, who, instance.Kind(s.Value))
	case ends:
		return who + " releases its lease everywhere"
	case renewing:
		return who + " renews its lease everywhere"
	case hearsRenewal:
		return fmt.Sprintf("%s hears %s's renewal: %v", where, who, instance.Kind(s.Value))
	case renewed:
		return who + " counts a quorum, and has its lease renewed"
	case hearsHealing:
		return fmt.Sprintf("%s hears %s's healing: %v", where, who, instance.Kind(s.Value))
	case expires:
		return "the lock expires at " + where
	case forgets:
		return where + " restarts, and has forgotten all"
	case ticks:
		return "time passes"
	case handsOn:
		return who + " hands its lock on to the next in line"
	case detaches:
		return who + " lets go of its lease"
	case adopts:
		return fmt.Sprintf("%s adopts %s's lease, and asks all", who, modelName(s.Value))
	case hearsAdoption:
		return fmt.Sprintf("%s hears %s's adoption: %v", where, who, instance.Kind(s.Value))
	case hearsReturn:
		return fmt.Sprintf("%s hears %s's undo: %v", where, who, instance.Kind(s.Value))
	}
	panic(fmt.Sprintf("no words for %v", s))
}

// holds checks that no state of the model is wrong.
func holds[S comparable](t *testing.T, m model.Model[S]) {
	t.Helper()
	if testing.Short() {
		t.Skip("all states of a model take long: make model")
	}
	r := model.Check(m, modelLimit)
	if r.Wrong != "" || !r.Complete {
		t.Errorf("want nothing wrong in all states, got %v", r)
		return
	}
	t.Log(r)
}

// breaks checks that a model with something wrong in it is found to be wrong: one
// that is not could not find anything.
func breaks[S comparable](t *testing.T, name string, m model.Model[S]) {
	t.Helper()
	if testing.Short() {
		t.Skip("all states of a model take long: make model")
	}
	r := model.Check(m, modelLimit)
	if r.Wrong == "" {
		t.Errorf("%s: nothing is found: %v", name, r)
		return
	}
	t.Logf("%s: %v", name, r)
}

// modelTally is the engine's count of the instances that have granted.
func modelTally(oks uint8, need func(int) int) *tally {
	t := &tally{voters: modelServers, need: need(modelServers)}
	for i := range modelServers {
		if oks>>i&1 != 0 {
			t.count(true)
		}
	}
	return t
}

func modelName(who uint8) string { return string('A' + rune(who)) }

// modelOrders are all the ways to order n. The first is their own.
func modelOrders(n uint8) (all [][]uint8) {
	if n == 0 {
		return [][]uint8{nil}
	}
	for _, order := range modelOrders(n - 1) {
		for place := len(order); place >= 0; place-- {
			all = append(all, slices.Insert(slices.Clone(order), place, n-1))
		}
	}
	return all
}

// sortServers orders the servers by all that there is about each, its column.
func sortServers(column func(i int) uint64, swapWithNext func(i int)) {
	for n := 1; n < modelServers; n++ {
		for i := n; i > 0 && column(i) < column(i-1); i-- {
			swapWithNext(i - 1)
		}
	}
}

// swapBits exchanges bit n and the next.
func swapBits(bits uint8, n int) uint8 {
	both := bits >> n & 3
	return bits&^(3<<n) | (both>>1|both<<1&2)<<n
}
