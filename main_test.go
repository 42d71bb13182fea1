package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// patience bounds every wait for something that must happen. It is long because
// machines are slow at times; nothing is measured with it.
const patience = 2 * time.Minute

// open returns an engine on the servers that is closed, without error, with the test.
func open(t testing.TB, servers []*redistest.Server, cfg engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.Open(within(t), redistest.URLs(servers), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Close(ctx); err != nil && !errors.Is(err, engine.ErrNoQuorum) {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// within returns a context that ends with patience, or with the test.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func acquire(t testing.TB, e *engine.Engine, resource string, opts ...engine.Option) *lease.Lease {
	t.Helper()
	l, err := e.Acquire(within(t), resource, opts...)
	if err != nil {
		t.Fatalf("acquire %q: %v", resource, err)
	}
	return l
}

func release(t testing.TB, l *lease.Lease) {
	t.Helper()
	if err := l.Release(within(t)); err != nil {
		t.Fatalf("release %q: %v", l.Resource(), err)
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ended waits for the lease's end and returns why.
func ended(t testing.TB, l *lease.Lease) error {
	t.Helper()
	select {
	case <-l.Done():
		return l.Err()
	case <-time.After(patience):
		t.Fatalf("%v: it does not end", l)
		return nil
	}
}

// state waits until an instance is in the given state, as the engine sees it.
func state(t testing.TB, e *engine.Engine, place int, want instance.State) {
	t.Helper()
	eventually(t, fmt.Sprintf("instance %d is %v", place, want), func() bool {
		return e.Instances()[place].State == want
	})
}

// everywhere waits until every server has the lease's key: a lease is granted by
// a majority, and the rest may not have been reached yet.
func everywhere(t testing.TB, servers []*redistest.Server, l *lease.Lease) {
	t.Helper()
	for n, s := range servers {
		eventually(t, fmt.Sprintf("server %d has the key %q", n, l.Resource()), func() bool { return s.Get(l.Resource()) == l.Token() })
	}
}

// clean waits until none of the servers has the key, for much less time than
// the key would live without being deleted.
func clean(t testing.TB, servers []*redistest.Server, key string) {
	t.Helper()
	for n, s := range servers {
		for deadline := time.Now().Add(3 * time.Second); s.Get(key) != ""; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("server %d still has the key %q, for another %v", n, key, s.PTTL(key))
				break
			}
		}
	}
}

// goroutines counts them when the number has come to rest.
func goroutines() int {
	n, same := runtime.NumGoroutine(), 0
	for tries := 0; tries < 500 && same < 10; tries++ {
		time.Sleep(2 * time.Millisecond)
		if m := runtime.NumGoroutine(); m != n {
			n, same = m, 0
		} else {
			same++
		}
	}
	return n
}

// oneLine fails the test unless the error is there and is one line.
func oneLine(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, c := range err.Error() {
		if c == '\n' {
			t.Fatalf("the error has several lines: %v", err)
		}
	}
}

// eager is a backoff for tests that want much contention: half a millisecond to
// ten, at random.
func eager() engine.Backoff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Millisecond),
		backoff.WithMaxInterval(8*time.Millisecond),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxElapsedTime(0),
	)
}
