package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/internal/tracking"
	"github.com/holdfast-go/holdfast/lease"
)

// allLoop is one AcquireAll: its places in line, one for each resource, then rounds of votes on all of them, with waits
// between them. It holds nothing while it waits, and watches the resource that stood in the way. When that changes it asks
// its arbiter, for all of them, and the others if that one grants.
//
// It stands in no queue: there is one for each resource, and its turn would have to come in all of them at once. So where
// each is wanted by many it might never find all of them free. After a while it keeps what it gets: see keeping.
//
// The waitLoop is about the resource that stands in the way, as is the request.
type allLoop struct {
	waitLoop
	waiters []*waiter // as the resources
	begun   time.Time // when it had become the head of all lines
}

// waitFor is waitLoop.waitFor for several resources.
func (c *allLoop) waitFor(ctx context.Context) (*lease.Lease, error) {
	e, all := c.engine, c.request.several.resources
	defer e.exit()
	if c.waiters = e.lines.joinAll(all); c.waiters == nil {
		return nil, c.request.failed(fmt.Errorf("%w: %d acquires wait in this engine already", ErrHeld, e.cfg.MaxWaiters))
	}
	c.waiter = c.waiters[0]
	l, err := c.run(ctx)
	c.watch.end()
	for _, w := range c.waiters {
		p := e.lines.inherit(w)
		if inherited := e.lines.leave(w, l != nil, p); p != nil && !inherited {
			e.queues.leave(p)
		}
	}
	return l, err
}

func (c *allLoop) run(ctx context.Context) (*lease.Lease, error) {
	if err := c.standInLine(ctx); err != nil {
		return nil, c.request.failed(fmt.Errorf("%w, waiting in line: %w", err, ErrHeld))
	}
	c.begun = time.Now()
	if err := c.yield(ctx); err != nil {
		return nil, c.request.failed(err)
	}
	for {
		if l, err := c.askEverybody(ctx); l != nil || err != nil {
			return l, err
		}
		if c.mayKeep() {
			if l, err := c.takeInOrder(ctx); l != nil || err != nil {
				return l, err
			}
			if err := c.rest(ctx); err != nil { // what it has given back is a change, too
				return nil, err
			}
			continue
		}
		if l, err := c.await(ctx); l != nil || err != nil {
			return l, err
		}
	}
}

// standInLine waits until it is the head of every line. Nobody who stands before it in one of them can stand behind it in another.
func (c *allLoop) standInLine(ctx context.Context) error {
	for _, w := range c.waiters {
		if w.head == nil {
			continue
		}
		select {
		case <-w.head:
			w.head = nil
			if p := c.engine.lines.inherit(w); p != nil { // it stands in no queue: others would wait behind it for nothing
				c.engine.queues.leave(p)
			}
		case <-ctx.Done():
			return ended(ctx)
		case <-c.engine.closing.Done():
			return ErrClosed
		}
	}
	return nil
}

// yield makes a break if this engine has had one of the resources for long, so that others have a chance.
func (c *allLoop) yield(ctx context.Context) error {
	e := c.engine
	for _, key := range c.request.several.keys {
		if !e.turnOver(key, c.begun) {
			continue
		}
		timer := c.waiter.after(e.breakTime(key))
		defer timer.Stop()
		return e.wait(ctx, timer.C)
	}
	return nil
}

// await waits until there is reason to ask all: that is so when it returns nothing.
func (c *allLoop) await(ctx context.Context) (*lease.Lease, error) {
	pause, err := c.pause(ctx)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	until := begun.Add(patient(c.rounds))
	v := c.watchWhatStands()
	timer := c.waiter.after(pause)
	defer timer.Stop()
	stands, moves := c.request.resource, 0 // what stands in the way, and how often it was another
	for {
		what, err := c.event(ctx, v, timer.C)
		if err != nil {
			return nil, because(err, c.refused)
		}
		var rest time.Duration
		if what == due {
			what, rest = c.judge(v, until)
		}
		switch on(what) {
		case askAll:
			return nil, nil
		case askArbiter:
			l, again, err := c.askArbiter(ctx, v)
			switch {
			case l != nil || err != nil:
				return l, err
			case again: // the others have not heard of the release yet, or hold another
				return nil, c.restOf(ctx, begun, pause)
			}
			if time.Now().After(until) {
				return nil, nil
			}
			if inTheWay := c.request.resource; inTheWay != stands {
				stands = inTheWay
				moves++
			}
			if moves > len(c.waiters) { // where one is free at the arbiter of another, each would send it to the other at once
				return nil, c.restOf(ctx, begun, pause)
			}
			v, rest = c.watchWhatStands(), pause
			if c.isPaced() { // the round is due when it is, whatever it is told: as in waitLoop.rely
				rest = max(0, pause-time.Since(begun))
			}
		}
		timer.Reset(rest)
	}
}

// rest pauses, and hears of nothing meanwhile: what the arbiter has granted and was given back is a change as well.
func (c *allLoop) rest(ctx context.Context) error {
	pause, err := c.pause(ctx)
	if err != nil {
		return err
	}
	return c.sleep(ctx, pause)
}

// restOf is rest in the middle of a pause that began then: if rounds are paced or counted, what is left of that.
func (c *allLoop) restOf(ctx context.Context, begun time.Time, pause time.Duration) error {
	if c.isPaced() {
		return c.sleep(ctx, pause-time.Since(begun))
	}
	return c.rest(ctx)
}

func (c *allLoop) sleep(ctx context.Context, pause time.Duration) error {
	timer := c.waiter.after(pause)
	defer timer.Stop()
	if err := c.engine.wait(ctx, timer.C); err != nil {
		return because(err, c.refused)
	}
	return nil
}

// event is waitLoop.event for one that takes nothing from a holder.
func (c *allLoop) event(ctx context.Context, v watch, timer <-chan time.Time) (event, error) {
	select {
	case <-c.inTheWay().own.wake:
		c.woken(ByRelease)
		return released, nil
	case <-v.changed():
		c.woken(ByServer)
		return changed, nil
	case <-timer:
		return due, nil
	case <-ctx.Done():
		return none, ended(ctx)
	case <-c.engine.closing.Done():
		return none, ErrClosed
	}
}

// inTheWay is the waiter for the resource that stands in the way.
func (c *allLoop) inTheWay() *waiter {
	for _, w := range c.waiters {
		if w.resource == c.request.resource {
			return w
		}
	}
	return c.waiters[0] // cannot happen: it is one of them
}

// watchWhatStands watches the resource that stands in the way, at its arbiter.
func (c *allLoop) watchWhatStands() watch {
	seat := everybody
	var q *QuorumError
	if errors.As(c.refused, &q) && errors.Is(q, ErrHeld) {
		seat = c.engine.arbiter(c.request.key, q.Votes)
	}
	if t := c.watch.tracked; t == nil || c.watch.seat != seat || t.Key != c.request.key {
		c.watch.end()
		c.watch = watch{}
		if seat == everybody {
			return c.watch
		}
		c.watch = watch{seat: seat, at: c.engine.instances[seat], tracked: tracking.NewWatch(c.request.key)}
	}
	c.rewatch(c.watch)
	return c.watch
}

// askArbiter is waitLoop's, but remembers what stands in the way by now.
func (c *allLoop) askArbiter(ctx context.Context, v watch) (l *lease.Lease, again bool, err error) {
	l, err = c.engine.takeRound(ctx, c.request, v.seat, true)
	c.looked(err)
	switch stop := c.engine.stopped(ctx); {
	case err == nil:
		return l, false, nil
	case stop != nil:
		return nil, false, because(stop, c.refused)
	case errors.Is(err, ErrRefused):
		return nil, false, err
	}
	c.refused = err
	return nil, !refusedBy(err, v.seat), nil
}
