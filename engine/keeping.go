package engine

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// keepPatience is how long an AcquireAll waits until it begins to keep what it gets.
//
// It takes its resources one after the other then, as so many Acquires would, each in its turn, and keeps the lock of each
// while it waits for the next. All who do so take them in the order of their names, so that none of them waits for another
// that waits for it. When it has all of them it asks for all in one question, to which the locks that it keeps give way.
//
// Those locks are no leases of anybody's, and prove nothing: the lease is won by that question alone, and begins with it.
// They only keep others out, until then. So it does not matter if one of them is lost meanwhile: the question is
// refused then, and it begins anew.
const keepPatience = time.Second

type keptLock struct{ holding *holding } // what has been got

// note notes what has been got. k may be nil.
func (k *keptLock) note(h *holding) {
	if k != nil {
		k.holding = h
	}
}

// mayKeep reports whether it is time to keep what it gets: not where tries are counted, or the user paces them, nor where it
// is no holder that stands in the way.
func (c *allLoop) mayKeep() bool {
	return c.request.tries == 0 && !c.engine.paced && errors.Is(c.refused, ErrHeld) && time.Since(c.begun) >= keepPatience
}

// takeInOrder takes the resources one after the other, and then asks for all of them. It returns neither a lease nor an
// error when that was refused.
func (c *allLoop) takeInOrder(ctx context.Context) (*lease.Lease, error) {
	c.watch.end()
	c.watch = watch{}
	kept := make([]*holding, 0, len(c.waiters))
	defer func() {
		for k := len(kept) - 1; k >= 0; k-- { // whoever waits for the first of them waits for the last as well
			kept[k].unkeep()
		}
	}()
	tokens := make([]string, 0, len(c.waiters))
	for k := range c.waiters {
		h, err := c.keepOne(ctx, c.waiters[k], c.request.several.resources[k], c.request.several.keys[k])
		if stop := c.engine.stopped(ctx); err != nil && stop != nil {
			return nil, because(stop, c.refused)
		}
		if err != nil {
			return nil, err
		}
		kept, tokens = append(kept, h), append(tokens, h.token())
	}
	c.request.several.kept = tokens
	l, err := c.tryRound(ctx, everybody, true)
	c.request.several.kept = nil
	return l, err
}

// keepOne takes one lock and keeps it for c, however long that takes.
func (c *waitLoop) keepOne(ctx context.Context, w *waiter, resource, key string) (*holding, error) {
	e, all := c.engine, c.request
	r := &request{
		op: all.op, resource: resource, key: key, ttl: all.ttl, maxTTL: all.maxTTL, renew: true, keeps: new(keptLock),
		fencing: all.fencing, // or it might come late, where that has none
	}
	one := waitLoop{engine: e, request: r, waiter: w}
	_, err := one.run(ctx)
	c.rounds += one.rounds
	if one.unwanted != nil {
		one.unwanted.unkeep()
	}
	for _, p := range []*place{e.lines.inherit(one.waiter), r.place} {
		if p != nil {
			e.queues.leave(p)
		}
	}
	if err != nil {
		return nil, err
	}
	return r.keeps.holding, nil
}

// unkeep gives back a lock that was kept for an AcquireAll. Nobody is told that it waits for it: the servers tell.
func (h *holding) unkeep() {
	h.entry.Control.End(lease.ErrReleased)
	if keys := h.several(); keys != nil {
		for _, p := range h.giveBackAll(keys) {
			p.leave()
			p.release()
		}
		return
	}
	p, _ := h.giveUp(false)
	if p == nil {
		return
	}
	h.engine.lines.released(h.lease().Resource())
	p.leave()
	p.release()
}
