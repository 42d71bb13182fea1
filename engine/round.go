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

// maxProposals bounds how often one round may propose a higher fence: once is
// enough unless many contend with clocks apart.
const maxProposals = 4

// everybody, instead of the seat of the one that is asked first: all are asked at once.
const everybody = -1

// takeRound takes one round of votes: of everybody at once, or with one asked first. Where a fence was too low, it asks
// again with a higher one, which is the same round.
// askLeft asks also for how long the lock is held, which costs the server more.
func (e *Engine) takeRound(ctx context.Context, r *request, first int, askLeft bool) (*lease.Lease, error) {
	if r.permits != nil {
		return e.permitRound(ctx, r)
	}
	for proposal := 1; ; proposal++ {
		start := clock.Sample()
		l, votes, err := e.askOnce(ctx, r, first, start, askLeft)
		e.telling.round(r.resource, votes, start.Time, err)
		if err == nil || !r.fencing || proposal == maxProposals || !r.learn(votes) || ctx.Err() != nil {
			return l, err
		}
	}
}

// askOnce is the Redlock algorithm: ask all, count until decided, check that the
// lease is still valid, else undo everywhere.
func (e *Engine) askOnce(ctx context.Context, r *request, first int, start clock.Moment, askLeft bool) (*lease.Lease, []instance.Vote, error) {
	if q := r.posed; q.attempt != nil { // in our place
		r.posed = question{}
		return e.decide(ctx, r, q, everybody)
	}
	if ctx.Err() != nil {
		return nil, nil, fmt.Errorf("acquire %q: %w", r.resource, ended(ctx))
	}
	if r.token != "" && e.shares(r.key, r.token) {
		return nil, nil, fmt.Errorf("acquire %q: %w: %w", r.resource, ErrHeld, errSameToken)
	}
	return e.decide(ctx, r, e.draft(r, r.place, start, askLeft), first)
}

// question is an attempt and what it asks for.
type question struct {
	attempt *attempt
	token   string
	fencing instance.Fencing // zero: none
	start   clock.Moment
}

// draft prepares a question that begins at start, of one that has the place p, or none. It must be
// decided.
func (e *Engine) draft(r *request, p *place, start clock.Moment, askLeft bool) question {
	q := question{attempt: e.newAttempt(), token: r.token, start: start}
	if q.token == "" {
		q.token = e.tokens.of(p)
	}
	q.fencing = r.propose(e.cfg.KeyPrefix, start.Time)
	r.proposed = q.fencing.Fence + q.fencing.Reserved
	q.attempt.prepare(r, q.token, q.fencing, start.Time, askLeft)
	if q.attempt.queueAt = everybody; p != nil {
		q.attempt.queueAt = p.at
	}
	return q
}

// decide asks the instances that have not been asked yet, and waits for what comes of it.
func (e *Engine) decide(ctx context.Context, r *request, q question, first int) (*lease.Lease, []instance.Vote, error) {
	a := q.attempt
	defer a.release()
	decided, stop := a.pose(ctx, first)
	if decided && stop == nil && a.won() {
		if a.overrules() {
			e.fairness.mixed(r.key, time.Now())
		}
		l, err := e.grant(r, q.token, q.fencing, q.start)
		if err == nil {
			return l, nil, nil
		}
		stop = err
	}

	a.undo()
	votes := a.result()
	if r.several != nil {
		r.blame(a, votes)
	}
	refused := e.refusal(r.op, r.resource, votes, decided)
	if r.several != nil && r.permits == nil {
		refused.Resources = r.several.resources
	}
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
	now := clock.Sample()
	deadline := start.Add(e.cfg.validity(r.ttl))
	if deadline.Until(now) <= 0 {
		return nil, errLate
	}
	g := lease.Grant{Token: token, Fence: fencing.Fence, Deadline: deadline}
	if r.maxHold > 0 {
		g.Limit = now.Add(r.maxHold) // or one that is slow to be granted would be over by then
	}
	switch {
	case r.permits != nil:
		return e.holdPermits(g, r, start)
	case r.several != nil:
		return e.holdAll(g, r, fencing, start)
	}
	return e.hold(g, r, fencing, start)
}
