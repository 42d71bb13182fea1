package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// A lease that is lost gives up its place at once, and not with the place's life: whoever stands behind it is the
// first when the lock expires.
func TestALostLeaseGivesUpItsPlace(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
				const short = time.Second
				held := acquire(t, newContender(t, fleet, config()).Engine, "r")
				line := inLine(t, fleet, 3, config(), engine.WithTTL(short), engine.WithoutRenewal())
				time.Sleep(time.Second)
				release(t, held)
				for k, c := range line[1:] {
					line[k].served(t, fmt.Sprint("engine ", k), 0, short+20*aHop)
					pending(t, c.result)
				}
				line[2].served(t, "the last", short-10*aHop, short+20*aHop)
			})
		})
	}
}

// When an engine releases a lock that it has got without its place, those who stand before that come first.
func TestAReleaseHereIsNoTurnInTheQueue(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
				held := acquire(t, newContender(t, fleet, config()).Engine, "r")
				line := inLine(t, fleet, 3, config())
				last := line[2]
				adopted, err := last.Adopt(t.Context(), "r", detach(t, held))
				if err != nil {
					t.Fatalf("adopt: %v", err)
				}
				time.Sleep(time.Second)
				release(t, adopted)
				for k, c := range line {
					l := c.served(t, fmt.Sprint("engine ", k), 0, 10*aHop)
					time.Sleep(50 * time.Millisecond)
					release(t, l)
				}
			})
		})
	}
}

// Who waits for a holder of its own engine is not served before those who began to wait meanwhile in others: that
// holder has had the resource for a turn.
func TestWhoWaitsForAHolderHereLooksAtTheQueueWhenItReleases(t *testing.T) {
	for _, held := range []time.Duration{100 * time.Millisecond, 2500 * time.Millisecond} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("held for %v, N=%d", held, n), func(t *testing.T) {
				queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
					e := newContender(t, fleet, config())
					first := acquire(t, e.Engine, "r")
					begun := time.Now()
					line := inLine(t, fleet, 2, config())
					next := acquiring(t.Context(), e.Engine, "r")
					time.Sleep(held - time.Since(begun))
					release(t, first)
					for k, c := range line {
						l := c.served(t, fmt.Sprint("engine ", k), 0, 10*aHop)
						pending(t, next)
						time.Sleep(50 * time.Millisecond)
						release(t, l)
					}
					e.result = next
					e.served(t, "the one that came last", 0, 10*aHop)
				})
			})
		}
	}
}
