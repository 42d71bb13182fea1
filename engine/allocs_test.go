//go:build !race

package engine_test

import (
	"context"
	"testing"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// TestAllocationsOfAFreeLock: a lease and its token, and nothing else, for whoever waits for nobody; nor does an instance that
// is down cost more. Of many at once the tokens are one allocation.
func TestAllocationsOfAFreeLock(t *testing.T) {
	many := resourcesNamed(256)
	for _, c := range []struct{ servers, stopped int }{{1, 0}, {3, 0}, {3, 1}} {
		servers := redistest.StartN(t, c.servers)
		e := open(t, servers, engine.Config{})
		ctx := within(t)
		one := func(acquire func(context.Context, string, ...engine.Option) (*lease.Lease, error)) func() {
			return func() {
				l, err := acquire(ctx, "order-1")
				if err != nil {
					t.Fatalf("acquire: %v", err)
				}
				if err := l.Release(ctx); err != nil {
					t.Fatalf("release: %v", err)
				}
			}
		}
		for n, s := range servers[:c.stopped] {
			s.Pause()
			for e.Instances()[n].State == instance.Up { // which questions without an answer show
				one(e.Acquire)()
			}
		}
		for name, w := range map[string]struct {
			cycle func()
			want  float64
		}{
			"Acquire":        {one(e.Acquire), 2},
			"TryAcquire":     {one(e.TryAcquire), 2},
			"TryAcquireEach": {func() { releaseEach(t, e, allGranted(t, tryEach(t, e, many))) }, float64(2 * len(many))},
		} {
			if got := testing.AllocsPerRun(max(20, 4000/int(w.want)), w.cycle); got > w.want { // rounded down: pools and connections allocate now and then
				t.Errorf("N=%d, %d stopped: %s and its release allocate %v times, want %v at most", c.servers, c.stopped, name, got, w.want)
			}
		}
	}
}
