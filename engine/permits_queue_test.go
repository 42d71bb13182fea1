package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

// Whoever gives back a permit leaves it to the engine that has waited for longest, although others ask at once when they have
// heard of it.
func TestPermitsAreServedInTheOrderOfTheirComing(t *testing.T) {
	two := engine.Permits(2)
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
				var held []*lease.Lease
				for range 2 {
					held = append(held, acquire(t, newContender(t, fleet, config()).Engine, "r", two))
				}
				line := inLine(t, fleet, 12, config(), two)
				time.Sleep(20 * time.Second) // the places are kept, and the bell is hung up again
				for k, c := range line[:8] {
					release(t, held[0])
					held = append(held[1:], c.served(t, fmt.Sprint("engine ", k), 0, 20*aHop))
					time.Sleep(20 * time.Millisecond)
				}
				release(t, held[1]) // both at once
				release(t, held[0])
				held = held[:0]
				for k, c := range line[8:10] {
					held = append(held, c.served(t, fmt.Sprint("of two, engine ", 8+k), 0, 40*aHop))
				}
				for k, c := range line[10:] {
					release(t, held[k])
					release(t, c.served(t, fmt.Sprint("engine ", 10+k), 0, 20*aHop))
				}
				noQueue(t, fleet, "when all have been served")
			})
		})
	}
}
