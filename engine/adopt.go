package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/lease"
)

// Adopt takes over a lease by its token: one that another process or engine
// acquired, and let go of with Lease.Detach. A quorum must prove that the token holds
// the resource. In the same step the lock gets a token of its own, so that the old
// one has no power over it any more, and a life of the lease's TTL at least. From
// then on the lease is kept as if it had been acquired here.
//
// The former holder should have detached it. If not, both are valid until its next
// renewal: that says lease.ErrStolen, and so does its release, which deletes nothing.
// Of several that adopt the same token at once, one at most gets the lease.
//
// The error is lease.ErrGone when a quorum says that nobody holds the resource (the
// lock has expired, was released or deleted: it cannot tell), lease.ErrStolen when
// it says that another token does, and ErrNoQuorum when too few answer. A failed
// Adopt gives the lock back to the old token: it is then as it was, or lives a
// little longer. Adopt waits for as long as the instances' timeout at most.
//
// An adopted lease has no fencing token, and WithFencing is refused. The one that
// was acquired with the lock stays the highest until somebody else acquires: pass
// it beside the token. WithToken is refused, and WithTries has no meaning.
// WithMaxHold ends the lease, but a life that the lock had already is not shortened:
// the key may outlive that limit.
func (e *Engine) Adopt(ctx context.Context, resource, token string, opts ...Option) (*lease.Lease, error) {
	r, err := e.request("adopt", resource, opts)
	if err != nil {
		return nil, err
	}
	if err := checkAdoption(r, token); err != nil {
		return nil, fmt.Errorf("engine: adopt %q: %w", resource, err)
	}
	r.former = token
	if err := e.enter(); err != nil {
		return nil, fmt.Errorf("adopt %q: %w", resource, err)
	}
	defer e.exit()
	defer e.requests.Put(r)
	ctx, over := r.bound(ctx)
	defer over()
	l, _, err := e.askOnce(ctx, r, everybody, clock.Sample(), false)
	return l, err
}

func checkAdoption(r *request, token string) error {
	if err := r.refuseKinds("Adopt"); err != nil {
		return err
	}
	switch {
	case r.fencing:
		return errors.New("WithFencing: a fencing token cannot be taken over; acquire anew for one")
	case r.token != "":
		return errors.New("WithToken: an adopted lease gets a fresh token")
	}
	return checkToken(token)
}
