package trial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// contest is engines that all want one resource all the time, and nothing is wrong:
// each has goroutines that wait for it whenever they do not hold it.
type contest struct {
	seed             uint64
	servers, workers int
	handoffs         []int // one an engine
	oneWay, hold     time.Duration

	begun time.Time
	mu    sync.Mutex
	rows  []row
}

// row is what one engine got.
type row struct {
	grants  int
	last    time.Time     // when it had the resource
	longest time.Duration // without it
}

// What an engine may be made to wait, once all know of each other: some turns of all
// the others, which are no longer than a fraction of this where nobody is starved.
const (
	contestLength = 2 * time.Second
	warmUp        = time.Second
	starving      = 250 * time.Millisecond
)

func newContest(seed uint64) *contest {
	r := rand.New(rand.NewPCG(seed, 1))
	c := &contest{
		seed:    seed,
		servers: pick(r, 1, 3, 5),
		workers: 2 + r.IntN(4),
		oneWay:  pick(r, 50*time.Microsecond, 100*time.Microsecond, 400*time.Microsecond),
		hold:    pick(r, 100*time.Microsecond, 200*time.Microsecond, 500*time.Microsecond),
	}
	for range 2 + r.IntN(2) {
		c.handoffs = append(c.handoffs, pick(r, 0, 0, 16))
	}
	c.rows = make([]row, len(c.handoffs))
	return c
}

func (c *contest) String() string {
	return fmt.Sprintf("seed %d: %d instances, engines with LocalHandoff %v of %d workers, packets take %v, held for %v", c.seed, c.servers, c.handoffs, c.workers, c.oneWay, c.hold)
}

// TestNoEngineStarves: where several engines want one resource, each has it again and
// again, however many wait in one of them.
func TestNoEngineStarves(t *testing.T) {
	for seed := range uint64(6) {
		c := newContest(seed + 1)
		t.Run(name(c.seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, c.run)
			for h, row := range c.rows {
				t.Logf("engine %d: %d grants, without one for %v at most", h+1, row.grants, row.longest)
				if row.longest > starving {
					t.Errorf("%v\nengine %d starves: with others at it, it did not get the resource for %v; %d grants in %v", c, h+1, row.longest, row.grants, contestLength)
				}
			}
		})
	}
}

func (c *contest) run(t *testing.T) {
	fleet := sim.NewNative(t, c.servers)
	fleet.Each(func(s *sim.Server) {
		s.Latency(c.oneWay, c.oneWay)
		s.Observe(func(sim.Event) {})
	})
	c.begun = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), contestLength)
	defer cancel()
	var workers sync.WaitGroup
	var engines []*engine.Engine
	for h, handoff := range c.handoffs {
		e, err := engine.New(fleet.Instances(instance.Config{}), engine.Config{LocalHandoff: handoff})
		if err != nil {
			t.Fatal(err)
		}
		engines = append(engines, e)
		for range c.workers {
			workers.Go(func() { c.work(ctx, h, e) })
		}
	}
	workers.Wait()
	for h, e := range engines {
		c.had(h, 0)
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func (c *contest) work(ctx context.Context, h int, e *engine.Engine) {
	for {
		l, err := e.Acquire(ctx, "r")
		if err != nil {
			return
		}
		c.had(h, 1)
		time.Sleep(c.hold)
		_ = l.Release(context.Background())
	}
}

// had notes that an engine has the resource, or, at the end, does not get it.
func (c *contest) had(h, grants int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	row, now := &c.rows[h], time.Now()
	if since := latest(row.last, c.begun.Add(warmUp)); now.Sub(since) > row.longest {
		row.longest = now.Sub(since)
	}
	row.last, row.grants = now, row.grants+grants
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
