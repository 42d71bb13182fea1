package engine

import (
	"context"
	"fmt"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/lease"
)

// Adopt takes over a lease by its token: one that another process or engine
// acquired and handed on. A quorum must prove that the token holds the resource;
// the lease is extended to its TTL by that and then kept as if it had been
// acquired here. Who held it before must stop renewing it, and must not release it.
//
// The error is lease.ErrGone when a quorum says that nobody holds the resource (the
// lock has expired, was released or deleted: it cannot tell), lease.ErrStolen when
// it says that another token does, and ErrNoQuorum when too few
// answer. A failed Adopt changes nothing. An adopted lease has no fencing token.
func (e *Engine) Adopt(ctx context.Context, resource, token string, opts ...Option) (*lease.Lease, error) {
	r, err := e.request("adopt", resource, append(opts, WithToken(token)))
	if err != nil {
		return nil, err
	}
	if r.fencing {
		return nil, fmt.Errorf("engine: adopt %q: WithFencing: a fencing token cannot be taken over; acquire anew for one", resource)
	}
	if err := e.enter(); err != nil {
		return nil, fmt.Errorf("adopt %q: %w", resource, err)
	}
	defer e.exit()

	start := clock.Glance()
	votes, won, stop := e.prove(ctx, instance.Renewal{Key: r.key, Token: token, TTL: r.ttl})
	if !won {
		return nil, e.unproven("adopt", resource, votes, stop)
	}
	l, err := e.grant(r, token, 0, start)
	if err != nil {
		return nil, fmt.Errorf("adopt %q: %w", resource, err)
	}
	return l, nil
}
