package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// What the tests do in every other line, in simulated time or on real servers, has a short name here.
var (
	open       = enginetest.Open
	acquire    = enginetest.Acquire
	release    = enginetest.Release
	detach     = enginetest.Detach
	ended      = enginetest.Ended
	state      = enginetest.State
	everywhere = enginetest.Everywhere
	clean      = enginetest.Clean
	within     = testkit.Within
	eventually = testkit.Eventually
	oneLine    = testkit.OneLine
)

// The times of most tests here. They are on the bubble's clock, which stands
// still while anybody computes: what is computed takes no time at all.
const (
	ttl     = 10 * time.Second
	every   = 3 * time.Second
	timeout = 500 * time.Millisecond
)

// validity is what the documentation says of a lease of this length.
func validity(ttl time.Duration) time.Duration { return ttl - (ttl/100 + 2*time.Millisecond) }

// config is what most tests use.
func config() engine.Config { return engine.Config{TTL: ttl, RenewEvery: every} }

// simulate runs a test in a bubble with n servers and an engine that is connected to them.
func simulate(t *testing.T, n int, cfg engine.Config, test func(*testing.T, *sim.Fleet, *engine.Engine)) {
	t.Helper()
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, n)
		test(t, fleet, start(t, fleet, cfg))
	})
}

// start makes an engine on the fleet that is closed with the test, and waits
// until it has connected.
func start(t *testing.T, fleet *sim.Fleet, cfg engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.New(fleet.Instances(instance.Config{Timeout: timeout}), cfg)
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	synctest.Wait()
	return e
}

// result is what an acquire that ran on its own returned, and when.
type result struct {
	lease *lease.Lease
	err   error
	at    time.Time
}

// acquiring acquires on a goroutine of its own.
func acquiring(ctx context.Context, e *engine.Engine, resource string, opts ...engine.Option) <-chan result {
	results := make(chan result, 1)
	go func() {
		l, err := e.Acquire(ctx, resource, opts...)
		results <- result{l, err, time.Now()}
	}()
	return results
}

// got returns the result, which must be there when everybody has come to rest.
func got(t *testing.T, results <-chan result) result {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-results:
		return r
	default:
		t.Fatal("no result yet")
		return result{}
	}
}

// pending fails the test when there is a result already.
func pending(t *testing.T, results <-chan result) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-results:
		t.Fatalf("a result already: %v, %v", r.lease, r.err)
	default:
	}
}

// done reports whether the lease's Done is closed.
func done(l *lease.Lease) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

// between fails the test unless d is at least low and at most high.
func between(t *testing.T, what string, d, low, high time.Duration) {
	t.Helper()
	if d < low || d > high {
		t.Errorf("%s: %v, want from %v to %v", what, d, low, high)
	}
}

// isAll fails the test unless the error is each of these, and says nothing twice.
func isAll(t *testing.T, err error, wants ...error) {
	t.Helper()
	if err != nil {
		before, _, _ := strings.Cut(err.Error(), " (needs") // the votes may say the same
		said := strings.Split(strings.ReplaceAll(before, ": ", "; "), "; ")
		for n, part := range said {
			if slices.Contains(said[:n], part) {
				t.Errorf("the error says %q twice: %v", part, err)
			}
		}
	}
	for _, want := range wants {
		if !errors.Is(err, want) {
			t.Errorf("the error is not %q: %v", want, err)
		}
	}
}

// isNone fails the test if the error is any of these.
func isNone(t *testing.T, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if errors.Is(err, want) {
			t.Errorf("the error is %q: %v", want, err)
		}
	}
}

// empty fails the test when any server has the key.
func empty(t *testing.T, fleet *sim.Fleet, key string) {
	t.Helper()
	synctest.Wait()
	for _, s := range fleet.Servers {
		if holder := s.Get(key); holder != "" {
			t.Errorf("%s has the key %q", s.Name(), key)
		}
	}
}

// never is a backoff whose waits only a wake-up or a deadline ends.
func never() engine.Backoff { return backoff.NewConstantBackOff(24 * time.Hour) }

// constantly is a backoff of equal waits.
func constantly(d time.Duration) func() engine.Backoff {
	return func() engine.Backoff { return backoff.NewConstantBackOff(d) }
}
