package engine

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// event is what a wait loop waits for.
type event uint8

const (
	none       event = iota // a handoff that came to nothing
	head                    // it is the head of the line now, and nobody here holds the resource
	headBehind              // it is the head now, and the one before holds the resource
	questioned              // it has been left its question, which is on its way
	released                // the lock, in this engine
	changed                 // the lock, in Redis
	expired                 // the lock must have expired by now
	early                   // the timer, and it is not yet time for a round
	due                     // the timer
	stood                   // it has been told where its place in the queue is
)

// action is what a wait loop does on an event.
type action uint8

const (
	askAll     action = iota // a round of votes
	askArbiter               // and the others only if it grants
	askInTurn                // a round of votes, since its turn has come
	waitOn
	askAtOnce   // a round of votes, since nobody waits
	waitOutside // of the queue
)

// on returns what a wait loop that relies on being told does on an event: see the table at
// waitLoop.
func on(what event) action {
	switch what {
	case changed, expired:
		return askArbiter
	case early:
		return waitOn
	}
	return askAll
}

// event waits for one, or for a lease that is handed over in its place, or returns
// why it cannot wait any longer. While it waits, and only then, something may be
// left to c: what has been promised by the end of it is taken, whatever else came.
func (c *waitLoop) event(ctx context.Context, v watch, timer <-chan time.Time) (l *lease.Lease, what event, err error) {
	w, e := c.waiter, c.engine
	wake := w.own.wake
	if w.head != nil { // it may be the head already, but has to be told so first
		wake = nil
	}
	takes := c.request.permits == nil // those are not handed on
	if takes {
		e.lines.accept(w, c.request)
	}
	select {
	case h := <-w.own.handed:
		e.lines.received(w)
		return c.takeOver(ctx, h)
	case held := <-w.head:
		w.head = nil
		if what = head; held {
			what = headBehind
		}
	case <-wake:
		what = released
		c.woken(ByRelease)
	case <-v.changed():
		what = changed
		c.woken(ByServer)
	case <-c.request.heard():
		what = stood
	case <-timer:
		what = due
	case <-ctx.Done():
		err = ended(ctx)
	case <-e.closing.Done():
		err = ErrClosed
	}
	if takes {
		if l, left, stop := c.takeOver(ctx, e.lines.decline(w)); left == questioned || l != nil || stop != nil {
			return l, left, stop
		}
	}
	return nil, what, err
}

// takeOver takes what was left to c by the one that released the lock here: a lease,
// for which it need not look, or the question that is on its way. A caller whose
// context has ended is no successor: the lease is kept for the next in line, and stop
// says why.
func (c *waitLoop) takeOver(ctx context.Context, h handoff) (l *lease.Lease, what event, stop error) {
	switch {
	case h.holding != nil && ctx.Err() != nil:
		c.unwanted = h.holding
		return nil, none, ended(ctx)
	case h.holding != nil:
		c.engine.telling.woken(c.request.resource, ByRelease, 0, true)
		return h.holding.lease(), none, nil
	case h.question.attempt != nil:
		c.woken(ByRelease)
		c.request.posed = h.question
		c.takePlace(h.place)
		return nil, questioned, nil
	}
	return nil, none, nil
}
