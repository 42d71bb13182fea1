package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/lease"
)

// A permit is a lock of its own, and what makes a lease of it is a majority of votes for its key. What is new is which of them
// to ask for. First an engine asks everybody for one that it thinks is free: those that it had last. When that is refused it
// has an instance choose, the arbiter, which takes what is free there, and only this is asked of the others. So the choice has
// no part in safety: nobody counts.

// mostChoices is how often one round has an instance choose anew, when the others have refused what it has chosen.
const mostChoices = 3

// permitRound is round for permits.
func (e *Engine) permitRound(ctx context.Context, r *request) (*lease.Lease, error) {
	p := r.permits
	p.heldAt, p.inVain = everybody, false
	if !p.guessed {
		p.guessed = true
		if which := p.pool.guess(p.n, p.weight); which != nil {
			l, err := e.askForPermits(ctx, r, which, nil)
			p.pool.missed(which)
			if err == nil || !errors.Is(err, ErrHeld) || ctx.Err() != nil {
				return l, err
			}
		}
	}
	var err error
	for range mostChoices {
		p.inVain = false
		var l *lease.Lease
		if l, err = e.choosePermits(ctx, r); l != nil || !p.inVain || ctx.Err() != nil {
			return l, err
		}
	}
	return nil, err
}

// askForPermits asks everybody for certain permits. kept are the tokens of the locks that are kept for them; nil: none are.
func (e *Engine) askForPermits(ctx context.Context, r *request, which []int, kept []string) (*lease.Lease, error) {
	p, base := r.permits, r.key
	keys := p.keys(which)
	p.chosen, r.key = which, keys[0]
	if len(keys) > 1 {
		r.several = &several{resources: slices.Repeat([]string{r.resource}, len(keys)), keys: keys, kept: kept}
	}
	start := clock.Sample()
	l, votes, err := e.askOnce(ctx, r, everybody, start, false)
	r.several, r.key = nil, base
	e.telling.round(r.resource, votes, start.Time, err)
	if at := e.arbiter(p.pool.key, nil); err != nil && at != everybody && votes != nil && mayRing(votes[at].Kind) {
		e.instances[at].Post(p.pool.ring()) // others may have found it taken meanwhile
	}
	return l, err
}

// mayRing reports whether an attempt may have had permits at an instance that voted so.
func mayRing(k instance.Kind) bool { return k == instance.Granted || k == instance.Unanswered }

// choosePermits has the arbiter choose, or another if that does not answer, and asks the others for what it has taken.
func (e *Engine) choosePermits(ctx context.Context, r *request) (*lease.Lease, error) {
	p := r.permits
	var err error
	passed := make([]bool, len(e.instances))
	for range e.instances {
		at := e.arbiterBut(p.pool.key, passed)
		if at == everybody {
			break
		}
		passed[at] = true
		var l *lease.Lease
		var answered bool
		if l, answered, err = e.chooseAt(ctx, r, at); l != nil || answered || ctx.Err() != nil {
			return l, err
		}
	}
	if err == nil { // none is known to be up: everybody says why
		which := p.pool.order(p.n)[:p.weight:p.weight]
		slices.Sort(which)
		return e.askForPermits(ctx, r, which, nil)
	}
	return nil, err
}

// chooseAt has one instance choose. answered: it has said what it thinks of it.
func (e *Engine) chooseAt(ctx context.Context, r *request, at int) (l *lease.Lease, answered bool, err error) {
	if ctx.Err() != nil {
		return nil, true, fmt.Errorf("acquire %q: %w", r.resource, ended(ctx))
	}
	p, start := r.permits, clock.Sample()
	order := p.pool.order(p.n)
	q := e.draft(r, nil, start, false)
	a := q.attempt
	defer a.release()
	s := &a.seats[at]
	s.acquire.Any = &instance.AnyOf{Keys: p.keys(order), Want: p.weight, Bell: p.pool.bell, BellLife: bellLife}
	s.acquire.Key = s.acquire.Any.Keys[0]

	decided, stop := a.poseAny(ctx, at)
	kind := a.kind(at)
	if kind == instance.Granted {
		p.chosen = make([]int, 0, p.weight)
		for _, which := range s.acquire.Any.Taken {
			p.chosen = append(p.chosen, order[which])
		}
		slices.Sort(p.chosen)
	}
	if decided && stop == nil && a.won() {
		if l, err = e.grant(r, q.token, q.fencing, start); err == nil {
			e.telling.round(r.resource, nil, start.Time, nil)
			return l, true, nil
		}
		stop = err
	}
	a.undo()
	votes := a.result()
	refused := e.refusal(r.op, r.resource, votes, decided)
	refused.decided, refused.stop = decided, stop
	e.telling.round(r.resource, votes, start.Time, refused)
	switch kind {
	case instance.Held:
		p.heldAt = at
	case instance.Granted:
		p.inVain = true
		p.pool.doubt(p.chosen, start.Add(r.ttl).Time)
	}
	if mayRing(kind) {
		e.instances[at].Post(p.pool.ring())
	}
	return nil, kind == instance.Held || kind == instance.Granted || stop != nil, refused
}

// poseAny is pose where the first that is asked chooses what the others are asked for.
func (a *attempt) poseAny(ctx context.Context, first int) (decided bool, stop error) {
	a.first = true
	a.ask(first)
	if decided, stop = a.await(ctx); stop != nil {
		return decided && a.won(), stop
	}
	if a.kind(first) != instance.Granted || a.resume() {
		return true, nil
	}
	taken := a.seats[first].acquire.Any.MayHave(instance.Granted)
	for seat := range a.seats {
		if q := &a.seats[seat].acquire; seat != first {
			if q.Key = taken[0]; len(taken) > 1 {
				q.Several = &instance.Several{Keys: taken}
			}
		}
	}
	a.askAll()
	return a.await(ctx)
}
