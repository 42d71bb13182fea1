package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// A forced release takes the lock from its holder, who learns of it, and from
// the instances, so that the next one need not wait.
func TestForceReleaseTakesTheLockAway(t *testing.T) {
	servers := redistest.StartN(t, 3)
	holder := open(t, servers, engine.Config{TTL: 20 * time.Second, RenewEvery: 100 * time.Millisecond})
	other := open(t, servers, engine.Config{})
	for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
		l := acquire(t, holder, "r", opts...)
		seen, err := other.Inspect(within(t), "r")
		if err != nil {
			t.Fatalf("other.Inspect: %v", err)
		}
		if err := other.ForceRelease(within(t), seen); err != nil {
			t.Fatalf("other.ForceRelease: %v", err)
		}
		next, err := other.TryAcquire(within(t), "r", opts...)
		if err != nil {
			t.Fatalf("other.TryAcquire: %v", err)
		}
		if len(opts) > 0 && next.Fence() <= l.Fence() {
			t.Errorf("the next fencing token is %d, after %d", next.Fence(), l.Fence())
		}
		if err := ended(t, l); !errors.Is(err, lease.ErrLost) {
			t.Errorf("the holder's lease ended with %v", err)
		}
		release(t, next)
	}
}

// Only what was seen is released: a holder that has come since keeps the lock.
func TestForceReleaseDoesNotHitTheNextHolder(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	first := acquire(t, e, "r")
	everywhere(t, servers, first)
	seen, err := e.Inspect(within(t), "r")
	if err != nil {
		t.Fatalf("e.Inspect: %v", err)
	}
	release(t, first)
	second := acquire(t, e, "r")
	everywhere(t, servers, second)
	if err := e.ForceRelease(within(t), seen); err != nil {
		t.Errorf("what was seen is gone, but: %v", err)
	}
	everywhere(t, servers, second)
	if err := second.Err(); err != nil {
		t.Errorf("second.Err: %v", err)
	}
	release(t, second)
}

// What a minority has is cleared up too, each token where it was seen.
func TestForceReleaseClearsUpMinorities(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	servers[0].Set("r", "one", time.Minute)
	servers[1].Set("r", "two", time.Minute)
	seen, err := e.Inspect(within(t), "r")
	if err != nil || seen.Held {
		t.Fatalf("inspect: got %v, %v, want it not held", seen, err)
	}
	if err := e.ForceRelease(within(t), seen); err != nil {
		t.Fatalf("e.ForceRelease: %v", err)
	}
	clean(t, servers, "r")
}

// One instance that is down does not matter; a majority does, and the error says so.
func TestForceReleaseNeedsAQuorum(t *testing.T) {
	servers := redistest.StartN(t, 3)
	holder := open(t, servers, engine.Config{TTL: time.Minute})
	e := open(t, servers, engine.Config{})
	l := acquire(t, holder, "r")
	everywhere(t, servers, l)

	servers[0].Kill()
	seen, err := e.Inspect(within(t), "r")
	if err != nil {
		t.Fatalf("e.Inspect: %v", err)
	}
	servers[1].Kill()
	err = e.ForceRelease(within(t), seen)
	oneLine(t, err)
	if !errors.Is(err, engine.ErrNoQuorum) {
		t.Fatalf("force release: got %v, want ErrNoQuorum", err)
	}
	if _, err := e.Inspect(within(t), "r"); !errors.Is(err, engine.ErrNoQuorum) {
		t.Errorf("e.Inspect: got %v, want %v", err, engine.ErrNoQuorum)
	}
	if err := e.ForceRelease(within(t), engine.Status{Resource: "r"}); err == nil {
		t.Error("a Status that no Inspect has returned was taken")
	}
}
