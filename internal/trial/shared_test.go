package trial

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// sharedTrial is engines that want one resource, some alone and some beside others, while one server after the other fails and
// comes back.
type sharedTrial struct {
	*rand.Rand
	servers int
	renews  time.Duration
	mini    bool // the scripts run as they are written

	mu               sync.Mutex
	held             []*lease.Lease
	readers, writers int // grants
	together         int // most readers at once
}

const sharedTrialLength = 20 * time.Second

// TestNobodyHoldsBesideAWriter: of two leases that are valid at once none is a writer's, whatever fails; both kinds get their
// turns, and in the end nothing is left.
func TestNobodyHoldsBesideAWriter(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(name(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 11))
			s := &sharedTrial{Rand: r, servers: pick(r, 3, 5), renews: pick(r, 100*time.Millisecond, 400*time.Millisecond), mini: seed%5 == 0}
			testkit.Simulate(t, s.run)
			t.Logf("%d servers: %d grants to readers, %d to writers, %d readers at once", s.servers, s.readers, s.writers, s.together)
			if s.readers < 50 || s.writers < 20 || s.together < 2 {
				t.Errorf("%d grants to readers, %d to writers in %v, %d readers at once", s.readers, s.writers, sharedTrialLength, s.together)
			}
		})
	}
}

func (s *sharedTrial) run(t *testing.T) {
	make := sim.NewNative
	if s.mini {
		make = sim.New
	}
	fleet := make(t, s.servers)
	fleet.Each(func(s *sim.Server) {
		s.Age(time.Hour)
		s.Latency(100*time.Microsecond, 100*time.Microsecond)
	})
	ctx, cancel := context.WithTimeout(t.Context(), sharedTrialLength)
	defer cancel()
	var workers sync.WaitGroup
	var engines []*engine.Engine
	for h := range 3 {
		cfg := engine.Config{TTL: time.Second, MaxTTL: 2 * time.Second, RenewEvery: s.renews, Guard: instance.GuardStrict, LocalHandoff: 16 * (h % 2)}
		e, err := engine.New(fleet.Instances(instance.Config{Timeout: 100 * time.Millisecond}), cfg)
		if err != nil {
			t.Fatal(err)
		}
		engines = append(engines, e)
		for range 4 {
			seed := s.Uint64()
			workers.Go(func() { s.work(ctx, t, e, rand.New(rand.NewPCG(seed, 1))) })
		}
	}
	(&permitTrial{Rand: s.Rand, servers: s.servers}).disturb(ctx, fleet)
	workers.Wait()
	for _, e := range engines {
		if err := e.Close(context.Background()); err != nil && !errors.Is(err, engine.ErrNoQuorum) {
			t.Error(err)
		}
	}
}

func (s *sharedTrial) work(ctx context.Context, t *testing.T, e *engine.Engine, r *rand.Rand) {
	for ctx.Err() == nil {
		var opts []engine.Option
		if r.IntN(3) > 0 {
			opts = append(opts, engine.Shared())
		}
		if r.IntN(4) == 0 {
			opts = append(opts, engine.WithTTL(between(r, 100*time.Millisecond, 2*time.Second).Truncate(time.Millisecond)))
		}
		fixed := r.IntN(4) == 0
		if fixed {
			opts = append(opts, engine.WithoutRenewal())
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
		s.granted(t, l)
		if time.Sleep(between(r, 0, 30*time.Millisecond)); r.IntN(30) == 0 { // for longer than a lease lives without renewals
			time.Sleep(between(r, 0, 3*time.Second))
		}
		if r.IntN(4) == 0 {
			_ = l.Extend(ctx, 0)
		}
		if fixed && r.IntN(10) == 0 { // it forgets to give it back
			continue
		}
		if err := l.Release(context.Background()); err != nil && !errors.Is(err, lease.ErrLost) && !errors.Is(err, engine.ErrNoQuorum) {
			t.Errorf("release: %v", err)
		}
	}
}

// granted complains of a lease that is valid beside one that must be alone.
func (s *sharedTrial) granted(t *testing.T, l *lease.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	valid := s.held[:0]
	for _, other := range s.held {
		if !other.Valid() {
			continue
		}
		if valid = append(valid, other); l.Valid() && !(l.Shared() && other.Shared()) {
			t.Errorf("two hold it: %v, %v", other, l)
		}
	}
	s.held = append(valid, l)
	if l.Shared() {
		s.readers++
	} else {
		s.writers++
	}
	if l.Shared() {
		s.together = max(s.together, len(s.held))
	}
}
