package enginetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// Open returns an engine on the servers, which is closed with the test. Closing must not fail, but for a quorum that the
// test has taken away.
func Open(t testing.TB, servers []*redistest.Server, cfg engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.Open(testkit.Within(t), redistest.URLs(servers), cfg)
	if err != nil {
		t.Fatalf("open an engine on %d servers: %v", len(servers), err)
	}
	closeWith(t, e, func(err error) bool { return errors.Is(err, engine.ErrNoQuorum) })
	return e
}

// New returns an engine of instances, which is closed with the test. Closing must not fail.
func New(t testing.TB, cfg engine.Config, instances ...*instance.Instance) *engine.Engine {
	t.Helper()
	return newEngine(t, cfg, instances, func(error) bool { return false })
}

func newEngine(t testing.TB, cfg engine.Config, instances []*instance.Instance, excused func(error) bool) *engine.Engine {
	t.Helper()
	e, err := engine.New(instances, cfg)
	if err != nil {
		t.Fatalf("new engine of %d instances: %v", len(instances), err)
	}
	closeWith(t, e, excused)
	return e
}

// closeWith closes the engine with the test, which fails for an error that is not excused.
func closeWith(t testing.TB, e *engine.Engine, excused func(error) bool) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		if err := e.Close(ctx); err != nil && !excused(err) {
			t.Errorf("close the engine: %v", err)
		}
	})
}

// Dial returns an instance for one engine. It is the engine that closes it.
func Dial(t testing.TB, url string, cfg instance.Config) *instance.Instance {
	t.Helper()
	i, err := instance.Dial(url, cfg)
	if err != nil {
		t.Fatalf("dial %q: %v", url, err)
	}
	return i
}

// Acquire returns a lease, however long it must wait for it.
func Acquire(t testing.TB, e *engine.Engine, resource string, opts ...engine.Option) *lease.Lease {
	t.Helper()
	l, err := e.Acquire(testkit.Within(t), resource, opts...)
	if err != nil {
		t.Fatalf("acquire %q: %v", resource, err)
	}
	return l
}

// Release releases a lease, which must not have ended.
func Release(t testing.TB, l *lease.Lease) {
	t.Helper()
	if err := l.Release(testkit.Within(t)); err != nil {
		t.Fatalf("release %q: %v", l.Resource(), err)
	}
}

// Detach lets go of a lease and returns its token, with which Adopt takes it over.
func Detach(t testing.TB, l *lease.Lease) (token string) {
	t.Helper()
	token, err := l.Detach()
	if err != nil {
		t.Fatalf("detach %q: %v", l.Resource(), err)
	}
	return token
}

// Ended waits for the lease's end and returns why.
func Ended(t testing.TB, l *lease.Lease) error {
	t.Helper()
	select {
	case <-l.Done():
		return l.Err()
	case <-time.After(testkit.Patience):
		t.Fatalf("%v does not end within %v", l, testkit.Patience)
		return nil
	}
}

// State waits until an instance is in the given state, as the engine sees it.
func State(t testing.TB, e *engine.Engine, place int, want instance.State) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("instance %d is %v", place, want), func() bool {
		return e.Instances()[place].State == want
	})
}

// Eager is a Backoff for tests that want much contention: half a millisecond to ten, at random.
func Eager() engine.Backoff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Millisecond),
		backoff.WithMaxInterval(8*time.Millisecond),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxElapsedTime(0),
	)
}
