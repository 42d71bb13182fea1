package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/keeper"
)

// Shared lets others hold the resource at the same time, who say Shared as well: readers, where an acquire without it is a
// writer's. While one of them holds it nobody holds it alone, and the other way round, under the assumptions of an exclusive
// lease. Each has a lease of its own, which ends by itself: a reader that has died keeps writers out until its own TTL is over,
// however many others come and go. Lease.Shared says that a lease is one.
//
// The resource's key is the same: to whoever locks it alone, an older engine or another library too, it is held by somebody
// while readers are in. (Another library's lock of readers and writers is something else.)
//
// Neither waits for ever. An Acquire without Shared that waits for readers, and before which no other engine waits, keeps further
// readers out until it has had its turn, or gives up. Those wait in the same queue, in the order in which they came, and readers that
// stand there one behind the other come in one after the other. In one engine a reader does not overtake a writer that
// waits. A writer of an older engine, of another library, or a TryAcquire keeps nobody out: where readers come all the time it may
// wait for ever.
//
// A goroutine that has a shared lease and acquires the resource alone waits for itself.
//
// It is for Acquire, TryAcquire, Do and TryDo. WithFencing, WithToken, Permits, AcquireAll, TryAcquireEach and Adopt are refused
// together with it, and so is Lease.Detach of such a lease. It is not handed on (Config.LocalHandoff). In a cluster a resource whose
// name has a closing brace that closes nothing is refused, with ErrRefused. Beside the resource are the keys readers:{resource} and
// closed:{resource}, behind Config.KeyPrefix: nobody may lock resources of such names.
func Shared() Option { return func(r *request) { r.sharing = new(instance.Sharing) } }

const (
	// leastKeep is for how long a lock is kept for those who want it alone, at least, when the last reader has left: so that one that is
	// told of that is there before the next readers. It is keepTrips round trips, where that is longer.
	leastKeep = 5 * time.Millisecond
	keepTrips = 3
	// closedFor is how long a lock is closed to readers by one that does not say so again, and closeEvery how often it does.
	closedFor  = 3 * time.Second
	closeEvery = time.Second
	// knownShared is how long an engine remembers that a resource is shared.
	knownShared = 10 * time.Second
)

// sharingOf is what the resource of a key has beside it.
func (e *Engine) sharingOf(key string) *instance.Sharing {
	keep := max(leastKeep, min(keepTrips*e.trip(e.arbiter(key, nil)), longestBreak))
	return instance.SharingOf(e.cfg.KeyPrefix, key, keep.Truncate(time.Millisecond))
}

// share checks what a reader asks for, and finds the names.
func (r *request) share(e *Engine) error {
	switch {
	case r.permits != nil:
		return errors.New("Shared with Permits: choose one; permits are for a known number of holders")
	case r.fencing:
		return errors.New("Shared with WithFencing: several hold the resource at once, so no number could tell the later from the earlier")
	case r.token != "":
		return errors.New("Shared with WithToken: a shared lease gets a fresh token")
	}
	r.sharing = e.sharingOf(r.key)
	return nil
}

// refuseKinds is the error of a call that knows no locks but those that one has alone.
func (r *request) refuseKinds(call string) error {
	if r.sharing != nil {
		return fmt.Errorf("Shared with %s: a shared lease is acquired one resource at a time, by Acquire or TryAcquire", call)
	}
	return r.permits.refuseWith(call)
}

// sharing is what a reader's lock has beside it; nil: the lease is of one that has the lock alone.
func (h *holding) sharing() *instance.Sharing {
	if h.lock == nil {
		return nil
	}
	return h.lock.sharing
}

// shown is what the key has while the lease is held.
func (h *holding) shown() string {
	if h.sharing() != nil {
		return instance.SharedMark
	}
	return h.token()
}

// passOn takes the place in the queue from a reader, for the next in line here, which comes in right behind it. When the turn of
// this engine is over the place is given up, so that the next engine comes in: nil.
func (h *holding) passOn() *place {
	p := h.place
	h.place = nil
	if p != nil && !p.hasTurn(time.Now(), h.engine.trip(p.at), false) {
		h.engine.queues.leave(p)
		return nil
	}
	return p
}

// comesIn reports whether a reader may ask without looking at the queue: it has the place of another that has just come in.
func (c *waitLoop) comesIn() bool {
	r := c.request
	if r.sharing == nil {
		return false
	}
	if r.place == nil {
		r.place = c.engine.lines.inherit(c.waiter)
	}
	return r.place != nil && !r.place.began.IsZero()
}

// closing is what a wait loop does to keep readers out. The zero value: it has not.
type closing struct {
	of *instance.Sharing
	by string    // which no other says
	at time.Time // when it last said so
}

// keepReadersOut closes the lock to more readers, if it is readers that c waits for, to have it alone. It is called when nobody
// waits before c, as far as is known.
func (c *waitLoop) keepReadersOut(now time.Time) {
	e, r := c.engine, c.request
	if r.sharing != nil || now.Sub(c.closing.at) < closeEvery || !c.isShared(now) {
		return
	}
	if c.closing.of == nil {
		c.closing.of, c.closing.by = e.sharingOf(r.key), e.tokens.fresh()
	}
	c.closing.at = now
	for _, i := range e.instances {
		i.Post(&instance.CloseShared{Key: r.key, By: c.closing.by, For: closedFor, Sharing: c.closing.of})
	}
}

// metReaders notes that c was refused because readers have the lock, if so. They may have come in since it was closed.
func (c *waitLoop) metReaders(err error) {
	if c.request.sharing == nil && isByReaders(err) {
		c.engine.fairness.sharedBy(c.request.key, time.Now())
		c.closing.at = time.Time{}
	}
}

// letReadersIn takes back what keepReadersOut has done.
func (c *waitLoop) letReadersIn() {
	if c.closing.of == nil {
		return
	}
	for _, i := range c.engine.instances {
		i.Post(&instance.Release{Key: c.closing.of.Closed, Token: c.closing.by, TTL: closedFor, To: nobodyWaits{}})
	}
	c.closing = closing{}
}

// isShared reports whether readers had the lock in the last round, or lately, if there has been none.
func (c *waitLoop) isShared(now time.Time) bool {
	if c.refused == nil {
		return c.engine.fairness.isShared(c.request.key, now)
	}
	return isByReaders(c.refused)
}

// isByReaders reports whether a round was refused because readers have the lock.
func isByReaders(err error) bool {
	var q *QuorumError
	return errors.As(err, &q) && slices.ContainsFunc(q.Votes, isSharedVote)
}

func isSharedVote(v instance.Vote) bool {
	return v.Kind == instance.Held && v.Holder == instance.SharedMark
}

// byKind parts leases of those who have a lock alone from those of readers.
func byKind(entries []*keeper.Entry) (alone, readers []*keeper.Entry) {
	if !slices.ContainsFunc(entries, isReader) {
		return entries, nil
	}
	for _, entry := range entries {
		if isReader(entry) {
			readers = append(readers, entry)
		} else {
			alone = append(alone, entry)
		}
	}
	return alone, readers
}

func isReader(entry *keeper.Entry) bool { return holdingOf(entry).sharing() != nil }

// mostReaders is how many renewals of readers one message has: each is three times the work of another for the server.
const mostReaders = instance.MaxRenewals * 3 / 8
