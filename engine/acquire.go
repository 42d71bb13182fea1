package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// Acquire waits until the resource is held and returns the lease, or an error
// when ctx or WithWait ends, the tries run out, or the engine is closed; or at once, with
// ErrRefused, when a quorum is out of reach for a reason that waiting does not mend.
// The error is ctx's own (errors.Is with context.Canceled, context.DeadlineExceeded)
// joined with what stood in the way: ErrHeld or ErrNoQuorum, in a *QuorumError that
// lists every instance's vote. A cancelled Acquire returns at once and leaves no key
// behind: what it may have left is taken back in the background, before anything
// else that this engine asks of that instance. A caller whose context ends before
// the lock is free gets no lease, whatever else happens at that moment.
//
// Goroutines of one engine that wait for the same resource stand in line, first
// come, first served. The lease is renewed until it is released, unless
// WithoutRenewal is given.
//
// resource is 1 to 1024 bytes, any bytes. Safe for concurrent use.
func (e *Engine) Acquire(ctx context.Context, resource string, opts ...Option) (*lease.Lease, error) {
	r, err := e.request("acquire", resource, opts)
	if err != nil {
		return nil, err
	}
	defer e.requests.Put(r)
	if r.permits != nil {
		return e.acquirePermits(ctx, r)
	}
	return e.acquire(ctx, r)
}

// TryAcquire takes part in one round of votes and does not wait: it returns the
// lease, or an error with ErrHeld when somebody else has it and ErrNoQuorum when
// too few instances answered (ErrRefused, when waiting would not help), ErrClosed, or the context's error. It takes no
// longer than the instances' timeout; twice that when an instance has somebody else's lock,
// since it is asked then whose. With WithFencing the same may be asked four times in all, with higher
// numbers, where others have used higher ones. resource is as for Acquire. Safe for concurrent use.
func (e *Engine) TryAcquire(ctx context.Context, resource string, opts ...Option) (*lease.Lease, error) {
	r, err := e.request("acquire", resource, opts)
	if err != nil {
		return nil, err
	}
	if err := e.enter(); err != nil {
		return nil, fmt.Errorf("acquire %q: %w", resource, err)
	}
	defer e.requests.Put(r)
	start := e.traceStart()
	waiting, over := r.bound(ctx)
	l, err := e.try(waiting, r)
	over()
	e.acquired(ctx, r, start, 1, err)
	return l, err
}

// try takes part in one round of votes. The caller has entered; try exits, before
// anything of the user's is called.
func (e *Engine) try(ctx context.Context, r *request) (*lease.Lease, error) {
	defer e.exit()
	return e.takeRound(ctx, r, everybody, false)
}

// acquire stands in line and takes part in rounds of votes until one is won.
func (e *Engine) acquire(ctx context.Context, r *request) (*lease.Lease, error) {
	if err := e.enter(); err != nil {
		return nil, fmt.Errorf("acquire %q: %w", r.resource, err)
	}
	start := e.traceStart()
	w := e.lines.join(r.resource)
	if w == nil {
		e.exit()
		return nil, fmt.Errorf("acquire %q: %w: %d acquires wait in this engine already", r.resource, ErrHeld, e.cfg.MaxWaiters)
	}
	c := &r.loop
	*c = waitLoop{engine: e, request: r, waiter: w}
	waiting, over := r.bound(ctx)
	l, err := c.waitFor(waiting)
	over()
	rounds := c.rounds
	*c = waitLoop{} // what it has waited with is not to be kept
	e.acquired(ctx, r, start, rounds, err)
	return l, err
}

// waitFor is all of an acquire that the engine must not be closed under, and none
// of what calls the user.
func (c *waitLoop) waitFor(ctx context.Context) (*lease.Lease, error) {
	defer c.engine.exit()
	l, err := c.run(ctx)
	c.endWaiting(l != nil && !l.Shared()) // beside a reader the next may come in
	if c.unwanted != nil {
		c.unwanted.discard()
	}
	return l, err
}

// endWaiting leaves the line, and leaves the place in the queue to the next there, or gives it up.
// A place that has won is the lease's.
func (c *waitLoop) endWaiting(holds bool) {
	e := c.engine
	p := e.lines.inherit(c.waiter)
	if mine := c.request.place; p == nil {
		p = mine
	} else if mine != nil {
		e.queues.leave(mine)
	}
	c.request.place = nil
	if inherited := e.lines.leave(c.waiter, holds, p); p != nil && !inherited {
		e.queues.leave(p)
	}
}

// traceStart reads the clock if anybody wants to know how long an acquire takes.
func (e *Engine) traceStart() (start time.Time) {
	if e.cfg.Trace.Acquired != nil {
		start = time.Now()
	}
	return start
}

// acquired reports the end of an Acquire or TryAcquire.
func (e *Engine) acquired(ctx context.Context, r *request, start time.Time, rounds int, err error) {
	if e.cfg.Trace.Acquired != nil {
		info := AcquiredInfo{Resource: r.resource, Waited: time.Since(start), Rounds: rounds, Err: err}
		if r.several != nil {
			info.Resource, info.More = r.several.resources[0], len(r.several.resources)-1
		}
		e.cfg.Trace.Acquired(ctx, info)
	}
}
