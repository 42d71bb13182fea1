package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
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
	return e.acquire(ctx, r)
}

// TryAcquire takes part in one round of votes and does not wait: it returns the
// lease, or an error with ErrHeld when somebody else has it and ErrNoQuorum when
// too few instances answered (ErrRefused, when waiting would not help). It takes no longer than the instances' timeout.
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
	return e.round(ctx, r, everybody, false)
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
	c := contest{engine: e, request: r, waiter: w}
	waiting, over := r.bound(ctx)
	l, err := c.contend(waiting)
	over()
	e.acquired(ctx, r, start, c.rounds, err)
	return l, err
}

// contend is all of an acquire that the engine must not be closed under, and none
// of what calls the user.
func (c *contest) contend(ctx context.Context) (*lease.Lease, error) {
	defer c.engine.exit()
	l, err := c.run(ctx)
	c.waiter.served = l != nil
	c.engine.lines.leave(c.waiter)
	if c.unwanted != nil {
		c.unwanted.discard()
	}
	return l, err
}

// interrupted is the error of an acquire that must stop after a round: why, and
// what stood in the way in that round, or in the one before if it was broken off.
func interrupted(stop, err, before error) error {
	var q *QuorumError
	decided := errors.As(err, &q) && q.stop == nil
	switch {
	case decided:
		return because(stop, err)
	case before != nil:
		return because(stop, before)
	case errors.Is(err, stop) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err // it says so itself
	}
	return because(stop, err)
}

// because adds why the caller stopped waiting to what stood in the way.
func because(stop, refused error) error {
	var q *QuorumError
	if !errors.As(refused, &q) {
		return fmt.Errorf("%w: %w", refused, stop)
	}
	stopped := *q
	stopped.stop = stop
	return &stopped
}

// wait waits for a timer, or returns why it cannot wait any longer.
func (e *Engine) wait(ctx context.Context, timer <-chan time.Time) error {
	select {
	case <-timer:
	case <-ctx.Done():
		return ended(ctx)
	case <-e.closing.Done():
		return ErrClosed
	}
	return nil
}

// stopped returns why an acquire cannot go on, or nil.
func (e *Engine) stopped(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ended(ctx)
	case e.closing.Err() != nil:
		return ErrClosed
	}
	return nil
}

// maxProposals bounds how often one round may propose a higher fence: once is
// enough unless many contend with clocks apart.
const maxProposals = 4

// everybody, in the place of who is to be asked first.
const everybody = -1

// round takes part in one round of votes: everybody's, or with one asked first.
// look says that the question is worth asking dearly: for how long the lock is
// held.
func (e *Engine) round(ctx context.Context, r *request, first int, look bool) (*lease.Lease, error) {
	for proposal := 1; ; proposal++ {
		start := clock.Glance()
		l, votes, err := e.vote(ctx, r, first, start, look)
		e.telling.round(r.resource, votes, start.Time, err)
		if err == nil || !r.fencing || proposal == maxProposals || !r.learn(votes) || ctx.Err() != nil {
			return l, err
		}
	}
}

// vote is the Redlock algorithm: ask all, count until decided, check that the
// lease is still valid, else undo everywhere.
func (e *Engine) vote(ctx context.Context, r *request, first int, start clock.Moment, look bool) (*lease.Lease, []instance.Vote, error) {
	if q := r.asked; q.attempt != nil { // in our place
		r.asked = question{}
		return e.decide(ctx, r, q, everybody)
	}
	if ctx.Err() != nil {
		return nil, nil, fmt.Errorf("acquire %q: %w", r.resource, ended(ctx))
	}
	if r.token != "" && e.shares(r.key, r.token) {
		return nil, nil, fmt.Errorf("acquire %q: %w: this engine holds it with the same token", r.resource, ErrHeld)
	}
	return e.decide(ctx, r, e.draft(r, start, look), first)
}

// question is an attempt and what it asks for.
type question struct {
	attempt *attempt
	token   string
	fencing instance.Fencing // zero: none
	start   clock.Moment
}

// draft prepares a question that begins at start. It must be decided.
func (e *Engine) draft(r *request, start clock.Moment, look bool) question {
	q := question{attempt: e.newAttempt(), token: r.token, start: start}
	if q.token == "" {
		q.token = e.tokens.fresh()
	}
	q.fencing = r.propose(e.cfg.KeyPrefix, start.Time)
	q.attempt.prepare(r, q.token, q.fencing, start.Time, look)
	return q
}

// decide asks those who have not been asked yet, and waits for what comes of it.
func (e *Engine) decide(ctx context.Context, r *request, q question, first int) (*lease.Lease, []instance.Vote, error) {
	a := q.attempt
	defer a.release()
	decided, stop := a.pose(ctx, first)
	if decided && stop == nil && a.won() {
		l, err := e.grant(r, q.token, q.fencing, q.start)
		if err == nil {
			return l, nil, nil
		}
		stop = err
	}

	a.undo()
	votes := a.result()
	refused := e.refusal(r.op, r.resource, votes, decided)
	if r.former != "" {
		refused = e.unproven(r.op, r.resource, votes, nil)
	}
	refused.decided, refused.stop = decided, stop
	return nil, votes, refused
}

// errLate: the votes were won, but too late to be worth anything.
var errLate = errors.New("the answers came after the lease's validity was over")

// grant makes the lease of a won vote, if it is still valid.
func (e *Engine) grant(r *request, token string, fencing instance.Fencing, start clock.Moment) (*lease.Lease, error) {
	now := clock.Glance()
	deadline := start.Add(e.cfg.validity(r.ttl))
	if deadline.Until(now) <= 0 {
		return nil, errLate
	}
	g := lease.Grant{Resource: r.resource, Token: token, Fence: fencing.Fence, Deadline: deadline}
	if r.maxHold > 0 {
		g.Limit = now.Add(r.maxHold) // or one that is slow to be granted would be over by then
	}
	return e.hold(g, r, fencing, start)
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
		e.cfg.Trace.Acquired(ctx, r.resource, time.Since(start), rounds, err)
	}
}
