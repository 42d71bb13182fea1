//go:build !race

package engine_test

import (
	"context"
	"testing"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// TestAllocationsOfAFreeLock: a lease and its token, and nothing else, for whoever waits for nobody.
func TestAllocationsOfAFreeLock(t *testing.T) {
	for _, n := range []int{1, 3} {
		e := open(t, redistest.StartN(t, n), engine.Config{})
		ctx := within(t)
		for name, acquire := range map[string]func(context.Context, string, ...engine.Option) (*lease.Lease, error){
			"Acquire": e.Acquire, "TryAcquire": e.TryAcquire,
		} {
			cycle := func() {
				l, err := acquire(ctx, "order-1")
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := l.Release(ctx); err != nil {
					t.Fatalf("%s, then Release: %v", name, err)
				}
			}
			if got := testing.AllocsPerRun(2000, cycle); got > 2 { // rounded down: pools and connections allocate now and then
				t.Errorf("N=%d: %s and its release allocate %v times, want 2", n, name, got)
			}
		}
	}
}
