package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// askAfterBreak is askEverybody, after a break if others are owed one: c does not wait in the queue.
func (c *waitLoop) askAfterBreak(ctx context.Context) (*lease.Lease, error) {
	if !c.owes {
		return c.askEverybody(ctx)
	}
	c.owes = false
	e, key := c.engine, c.request.key
	e.fairness.alone(key, time.Now())
	timer := c.waiter.after(e.breakTime(key))
	defer timer.Stop()
	if err := e.wait(ctx, timer.C); err != nil {
		return nil, fmt.Errorf("acquire %q: %w", c.request.resource, err)
	}
	l, err := c.askEverybody(ctx)
	if l == nil && errors.Is(c.refused, ErrHeld) {
		e.fairness.crowded(key, time.Now())
	}
	return l, err
}

// askEverybody takes a round that is counted. It returns neither a lease nor an error when there is reason to
// wait and try again.
func (c *waitLoop) askEverybody(ctx context.Context) (*lease.Lease, error) {
	askLeft := c.rounds > 0
	c.rounds++
	l, err := c.tryRound(ctx, everybody, askLeft)
	if l == nil && err == nil && c.rounds == c.request.tries {
		return nil, c.refused
	}
	return l, err
}

// tryRound takes a round: of everybody at once, or with one asked first. It returns neither a lease
// nor an error when it was refused, as c.refused says, and there is reason to try again.
func (c *waitLoop) tryRound(ctx context.Context, first int, askLeft bool) (*lease.Lease, error) {
	e := c.engine
	l, err := e.takeRound(ctx, c.request, first, askLeft)
	c.looked(err)
	switch stop := e.stopped(ctx); {
	case err == nil:
		return l, nil
	case stop != nil:
		return nil, interrupted(stop, err, c.refused)
	case errors.Is(err, ErrRefused):
		return nil, err
	}
	c.refused = err
	c.metReaders(err)
	return nil, nil
}

// askArbiter asks the arbiter, and the others if it grants. again: the arbiter has
// granted, and the others have refused. When the arbiter refuses, all results are zero.
func (c *waitLoop) askArbiter(ctx context.Context, v watch) (l *lease.Lease, again bool, err error) {
	l, err = c.engine.takeRound(ctx, c.request, v.seat, true)
	c.looked(err)
	switch stop := c.engine.stopped(ctx); {
	case err == nil:
		return l, false, nil
	case stop != nil:
		return nil, false, because(stop, c.refused)
	case errors.Is(err, ErrRefused):
		return nil, false, err
	case !refusedBy(err, v.seat):
		c.refused = err
		return nil, true, nil
	}
	c.metReaders(err)
	return nil, false, nil
}
