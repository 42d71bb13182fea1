package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/lease"
)

// takeBreak lets others have a chance where this engine has had the resource for a
// while, and c does not wait in the queue.
func (c *waitLoop) takeBreak(ctx context.Context) error {
	e := c.engine
	timer := c.waiter.after(e.breakTime(c.request.key))
	defer timer.Stop()
	if err := e.wait(ctx, timer.C); err != nil {
		return fmt.Errorf("acquire %q: %w", c.request.resource, err)
	}
	return nil
}

// round asks everybody. It returns neither a lease nor an error when there is reason to
// wait and try again.
func (c *waitLoop) round(ctx context.Context) (*lease.Lease, error) {
	e, r := c.engine, c.request
	l, err := e.round(ctx, r, everybody, c.rounds > 0)
	c.rounds++
	c.looked(err)
	switch stop := e.stopped(ctx); {
	case err == nil:
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
