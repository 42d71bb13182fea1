package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

// permitTrial is engines that want permits of one resource, while one server after the other fails and comes back.
type permitTrial struct {
	*rand.Rand
	permits, servers int

	mu     sync.Mutex
	held   map[int]*lease.Lease // by permit
	grants int
}

const permitTrialLength = 20 * time.Second

// TestNoMorePermitsAreHeldThanThereAre: no two leases of one permit are valid at once, whatever fails, and there is always one
// more to be had in the end.
func TestNoMorePermitsAreHeldThanThereAre(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(name(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			p := &permitTrial{Rand: r, permits: 1 + r.IntN(5), servers: pick(r, 3, 5), held: make(map[int]*lease.Lease)}
			synctest.Test(t, p.run)
			t.Logf("%d permits on %d servers: %d grants", p.permits, p.servers, p.grants)
			if p.grants < 50 {
				t.Errorf("%d grants in %v", p.grants, permitTrialLength)
			}
		})
	}
}

func (p *permitTrial) run(t *testing.T) {
	fleet := sim.NewNative(t, p.servers)
	fleet.Each(func(s *sim.Server) {
		s.Age(time.Hour)
		s.Latency(100*time.Microsecond, 100*time.Microsecond)
	})
	ctx, cancel := context.WithTimeout(t.Context(), permitTrialLength)
	defer cancel()
	var workers sync.WaitGroup
	var engines []*engine.Engine
	for h := range 3 {
		cfg := engine.Config{TTL: time.Second, MaxTTL: 2 * time.Second, Guard: instance.GuardStrict, LocalHandoff: 16 * (h % 2)}
		e, err := engine.New(fleet.Instances(instance.Config{Timeout: 100 * time.Millisecond}), cfg)
		if err != nil {
			t.Fatal(err)
		}
		engines = append(engines, e)
		for range 3 {
			seed := p.Uint64()
			workers.Go(func() { p.work(ctx, t, e, rand.New(rand.NewPCG(seed, 1))) })
		}
	}
	p.disturb(ctx, fleet)
	workers.Wait()
	for _, e := range engines {
		if err := e.Close(context.Background()); err != nil && !errors.Is(err, engine.ErrNoQuorum) {
			t.Error(err)
		}
	}
}

// disturb has one server at a time fail, in one way or another.
func (p *permitTrial) disturb(ctx context.Context, fleet *sim.Fleet) {
	for ctx.Err() == nil {
		s := fleet.Servers[p.IntN(p.servers)]
		length := between(p.Rand, 10*time.Millisecond, 1500*time.Millisecond)
		switch p.IntN(6) {
		case 0:
			s.Hang()
			time.Sleep(length)
			s.ThawReordered(length / 2)
		case 1:
			s.Cut()
			time.Sleep(length)
			s.Mend()
		case 2:
			s.Break()
		case 3:
			s.LoseReplies(true)
			time.Sleep(length)
			s.LoseReplies(false)
		case 4:
			s.Twice(true)
			time.Sleep(length)
			s.Twice(false)
		case 5: // it forgets, and is quarantined
			s.Restart()
			time.Sleep(3 * time.Second)
		}
		time.Sleep(length)
	}
}

func (p *permitTrial) work(ctx context.Context, t *testing.T, e *engine.Engine, r *rand.Rand) {
	for ctx.Err() == nil {
		opts := []engine.Option{engine.Permits(p.permits), engine.Weight(1 + r.IntN(p.permits))}
		fixed := r.IntN(3) == 0
		if fixed {
			opts = append(opts, engine.WithoutRenewal(), engine.WithTTL(between(r, 100*time.Millisecond, time.Second).Truncate(time.Millisecond)))
		}
		acquire := e.Acquire
		if r.IntN(3) == 0 {
			acquire = e.TryAcquire
		}
		within, giveUp := context.WithTimeout(ctx, between(r, time.Millisecond, 5*time.Second))
		l, err := acquire(within, "r", opts...)
		giveUp()
		if err != nil {
			time.Sleep(between(r, 0, 20*time.Millisecond))
			continue
		}
		p.granted(t, l)
		time.Sleep(between(r, 0, 30*time.Millisecond))
		if fixed && r.IntN(20) == 0 { // it forgets to give it back
			continue
		}
		if err := l.Release(context.Background()); err != nil && !errors.Is(err, lease.ErrLost) && !errors.Is(err, engine.ErrNoQuorum) {
			t.Errorf("release: %v", err)
		}
	}
}

// granted complains of a lease whose permits another has.
func (p *permitTrial) granted(t *testing.T, l *lease.Lease) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grants++
	for _, slot := range l.Slots() {
		if other := p.held[slot]; other != nil && other.Valid() && l.Valid() {
			t.Errorf("permit %d is held by two: %v, %v", slot, other, l)
		}
		if slot >= p.permits {
			t.Errorf("permit %d, of %d", slot, p.permits)
		}
		p.held[slot] = l
	}
	if len(l.Slots()) == 0 {
		t.Error(fmt.Errorf("%v has no permit", l))
	}
}
