package holdfasttest

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/internal/ending"
	"github.com/holdfast-go/holdfast/lease"
)

// another is whose token the keys have that Hold and Lose give away.
const another = "another-process~ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Lose takes a resource away from the engine that holds it. When it returns, the
// lease has ended with that cause and its Done is closed:
//
//	lease.ErrStolen    another process holds it now, until its release or for an hour
//	lease.ErrGone      its keys were deleted, as by FLUSHALL
//	lease.ErrExpired   no renewal was confirmed in time
//
// It ends the test when no engine holds the resource.
func (r *Redis) Lose(resource string, cause error) {
	r.t.Helper()
	held := r.holders(resource)
	if len(held) == 0 {
		r.t.Fatalf("holdfasttest: Lose %q: no engine holds it; AwaitHeld waits for one", resource)
	}
	for _, h := range held {
		switch cause {
		case lease.ErrStolen: // the cause itself is asked for
			r.give(h.key)
		case lease.ErrGone, lease.ErrExpired:
			r.free(h.key)
		default:
			r.t.Fatalf("holdfasttest: Lose %q: the cause is %v: it must be lease.ErrStolen, ErrGone or ErrExpired", resource, cause)
		}
		if cause == lease.ErrExpired {
			ending.Expire(h.lease)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := h.lease.Extend(ctx, 0) // asks the servers, and so finds out
		cancel()
		if !errors.Is(err, cause) {
			r.t.Fatalf("holdfasttest: Lose %q: its holder cannot find out: %v", resource, err)
		}
	}
}

// Expire is Lose with lease.ErrExpired.
func (r *Redis) Expire(resource string) {
	r.t.Helper()
	r.Lose(resource, lease.ErrExpired)
}

// Hold lets another process hold the resource, for an hour, or until release is
// called. It ends the test when an engine holds it: Lose takes it from there. key
// is the resource, behind Config.KeyPrefix where engines have one.
func (r *Redis) Hold(key string) (release func()) {
	r.t.Helper()
	for _, holder := range r.servers.Holders(key) {
		if holder != "" {
			r.t.Fatalf("holdfasttest: Hold %q: it is held already", key)
		}
	}
	r.give(key)
	return func() { r.free(key) }
}

func (r *Redis) give(key string) {
	for _, s := range r.servers.Servers {
		s.Set(key, another, time.Hour)
	}
}

func (r *Redis) free(key string) {
	for _, s := range r.servers.Servers {
		s.Del(key)
	}
}

// held is a lease of one of the engines, and its key.
type held struct {
	lease *lease.Lease
	key   string
}

func (r *Redis) holders(resource string) (all []held) {
	for _, p := range r.record.all() {
		for _, l := range p.engine.Leases() {
			if l.Resource() == resource {
				all = append(all, held{l, p.prefix + resource})
			}
		}
	}
	return all
}

// Held reports whether an engine holds the resource now.
func (r *Redis) Held(resource string) bool { return len(r.holders(resource)) > 0 }

// AwaitHeld waits until an engine holds the resource. The test ends if that takes
// more than ten seconds of its time.
func (r *Redis) AwaitHeld(resource string) {
	r.t.Helper()
	for end := time.Now().Add(patience); !r.Held(resource); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("holdfasttest: nobody holds %q after %v", resource, patience)
		}
	}
}
