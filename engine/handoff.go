package engine

import (
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/lease"
)

// Config.LocalHandoff: a lock that is released while others of this engine stand
// in line for it may be handed to the next of them as it is, without telling the
// instances: in Redis it stays the same lock, with the same token. What a holder
// gets is a lease of its own all the same:
//
//   - It ends on its own, and when the one before has ended that one can neither
//     extend nor release anything: it is the lock's token that does so in Redis, and
//     no lease of such an engine shows that one.
//   - Its deadline is the one that the lock has earned so far, and moves with the
//     renewals, which are its own from then on.
//   - Its fencing token is its own and higher. An instance that grants a proposal
//     notes as its fence one that is as many higher as there may be handoffs, and
//     those in between are theirs: every later acquire must exceed them all.
//
// An acquire with a token of the user's own, without renewal, of another TTL, or
// with fencing where the holder has none (or the other way round) goes over the
// wire, and so does any that would get less than half of a fresh lease's validity.

// redisLock is what the leases have in common that are handed from one to the next.
// It is the holder's own, one after the other.
type redisLock struct {
	token  string    // what Redis has; no lease shows it
	since  time.Time // when the attempt began that acquired it
	handed int       // how often it has been handed on
	keys   []string  // of several resources, or permits: all of them. Such a lock is never handed on. nil: it is one

	permits *heldPermits      // nil: it is of none
	leads   *leading          // of an election: then it is never handed on; nil: it is a lock
	sharing *instance.Sharing // of a reader: then it is never handed on; nil: it is had alone
}

// token is what proves to the instances that the lock is ours.
func (h *holding) token() string {
	if h.lock != nil {
		return h.lock.token
	}
	return h.lease().Token()
}

// acquired is when the attempt began that acquired the lock in Redis.
func (h *holding) acquired() time.Time {
	if h.lock != nil {
		return h.lock.since
	}
	return h.since
}

// handOver hands the lock of a lease that has just been released to the next in
// line, and reports whether it did. It does not when the turn of this engine is over:
// that is not longer for being one lock's. Called with h.mu held, once.
func (h *holding) handOver(now time.Time) bool {
	e := h.engine
	if !h.mayBeHanded() || h.lock.handed >= e.cfg.LocalHandoff ||
		h.fencing != nil && uint64(h.lock.handed) >= h.fencing.Reserved {
		return false
	}
	deadline := h.entry.Control.Deadline()
	if deadline.Until(clock.Sample()) < e.cfg.validity(h.entry.TTL)/2 {
		return false
	}
	if !h.hasTurn(now) {
		return false
	}
	r, handed := e.lines.successor(h.lease().Resource(), h.suits)
	if r == nil {
		return false
	}
	next := h.nextHolding(r, deadline)
	handed <- handoff{holding: next} // never blocks: one slot, sent to once
	return next != nil
}

// mayBeHanded reports whether it is a lock that may be handed on at all.
func (h *holding) mayBeHanded() bool {
	return h.lock != nil && h.lock.leads == nil && h.lock.sharing == nil
}

// suits reports whether an acquire may be served with this lock.
func (h *holding) suits(r *request) bool {
	return r.key == h.key && r.token == "" && r.leads == nil && r.sharing == nil && r.renew && r.ttl == h.entry.TTL && r.fencing == (h.fencing != nil)
}

// nextHolding makes the next lease of the lock: nil, when the engine is closed.
func (h *holding) nextHolding(r *request, deadline clock.Moment) *holding {
	e, now := h.engine, clock.Sample()
	h.lock.handed++
	g := lease.Grant{Token: e.tokens.fresh(), Deadline: deadline}
	if h.fencing != nil {
		g.Fence = h.lease().Fence() + 1
	}
	if r.maxHold > 0 {
		g.Limit = now.Add(r.maxHold)
	}
	next := &holding{engine: e, key: h.key, since: now.Time, lock: h.lock, fencing: h.fencing, kept: r.keeps != nil}
	next.takePlace(h.place, r.resource)
	h.place = nil
	if _, err := e.takeIntoCare(next, g, r, deadline.Add(-e.cfg.validity(r.ttl))); err != nil {
		h.lock.handed--
		return nil
	}
	r.keeps.note(next)
	return next
}
