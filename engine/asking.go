package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// takeBreak lets others have a chance where this engine has had the resource for a
// while. It returns which to ask first.
func (c *waitLoop) takeBreak(ctx context.Context) (first int, err error) {
	e := c.engine
	c.since = time.Now()
	if c.request.asked.attempt != nil {
		return everybody, nil
	}
	first, owes := e.owesBreak(c.request.key, c.since)
	if !owes {
		return everybody, nil
	}
	timer := c.waiter.after(e.breakTime(first))
	defer timer.Stop()
	if err := e.wait(ctx, timer.C); err != nil {
		return first, fmt.Errorf("acquire %q: %w", c.request.resource, err)
	}
	return first, nil
}

// round asks everybody, or first the one and then the others. It returns neither
// a lease nor an error when there is reason to wait and try again.
func (c *waitLoop) round(ctx context.Context, first int) (*lease.Lease, error) {
	e, r := c.engine, c.request
	l, err := e.round(ctx, r, first, c.rounds > 0)
	c.rounds++
	c.looked(err)
	if first != everybody {
		e.fairness.tookBreak(r.key, time.Now(), errors.Is(err, ErrHeld))
	}
	switch stop := e.stopped(ctx); {
	case err == nil:
		if c.rounds > 1 {
			e.fairness.waited(r.key, time.Since(c.since))
		}
		return l, nil
	case stop != nil:
		return nil, interrupted(stop, err, c.refused)
	case c.rounds == r.tries, errors.Is(err, ErrRefused):
		return nil, err
	}
	c.refused = err
	return nil, nil
}

// askArbiter asks the arbiter, and the others if it grants. again: the arbiter has
// granted, and the others have refused. When the arbiter refuses, all results are zero.
func (c *waitLoop) askArbiter(ctx context.Context, v watch) (l *lease.Lease, again bool, err error) {
	l, err = c.engine.round(ctx, c.request, v.place, true)
	c.looked(err)
	switch stop := c.engine.stopped(ctx); {
	case err == nil:
		c.engine.fairness.waited(c.request.key, time.Since(c.since))
		return l, false, nil
	case stop != nil:
		return nil, false, because(stop, c.refused)
	case errors.Is(err, ErrRefused):
		return nil, false, err
	case !refusedBy(err, v.place):
		c.refused = err
		return nil, true, nil
	}
	return nil, false, nil
}

// afterRefusal returns the state after the arbiter has refused, and how long it
// lasts where that is known.
func (c *waitLoop) afterRefusal() (waitState, time.Duration) {
	if d := c.engine.fairness.deferral(c.request.key, time.Since(c.since)); d > 0 {
		return deferring, d
	}
	return relying, 0
}
