package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/keeper"
	"github.com/holdfast-go/holdfast/lease"
)

// holding is the engine's record of one lease: what the lease calls, what the
// keeper keeps, and the lease itself, all in one piece, since there may be a
// million of them.
type holding struct {
	entry   keeper.Entry
	engine  *Engine
	key     string            // the resource is the end of it
	fencing *instance.Fencing // nil: none
	since   time.Time
	lock    *redisLock // what it may hand over; nil: nothing

	// mu is held over posting whatever puts or deletes the key, so that nothing
	// that puts it back can be posted behind the release.
	mu       sync.Mutex
	released bool        // a release has been posted
	shared   bool        // the token is the user's own; not guarded
	kept     bool        // it is for an AcquireAll that waits for others besides, and nobody's lease; not guarded
	settled  atomic.Bool // nothing is left to release: a quorum has confirmed it, or the lock has been handed on
	place    *place      // in the queue: given up with the lock, or passed on; nil: none

	watch   *heldWatch                    // nil: none
	trouble atomic.Pointer[instance.Vote] // why the last renewal failed; nil when it did not
}

var _ lease.Backend = (*holding)(nil)

// holdingOf returns the record that an entry of our keeper is part of.
func holdingOf(entry *keeper.Entry) *holding { return entry.Control.Backend().(*holding) }

func (h *holding) lease() *lease.Lease { return h.entry.Control.Lease() }

// wakeLines tells those who stand in line for what the lease was of.
func (h *holding) wakeLines() {
	if h.several() == nil {
		h.engine.lines.released(h.lease().Resource())
		return
	}
	for _, resource := range h.lease().Resources() {
		h.engine.lines.released(resource)
	}
}

func (h *holding) fence() instance.Fencing {
	if h.fencing == nil {
		return instance.Fencing{}
	}
	return *h.fencing
}

// hold makes the lease of a grant, whose token and fence are those of the lock in
// Redis, and takes it into care.
func (e *Engine) hold(g lease.Grant, r *request, fencing instance.Fencing, start clock.Moment) (*lease.Lease, error) {
	h := &holding{engine: e, key: r.key, since: start.Time, shared: r.token != "", kept: r.keeps != nil}
	h.takePlace(r.place, r.resource)
	r.place = nil
	if h.shared { // the token does not tell which place is the holder's
		h.leaveQueue()
	}
	if fencing.Fence != 0 {
		granted := fencing // a copy, so that only this case allocates
		h.fencing = &granted
	}
	switch {
	case r.leads != nil:
		h.lock = &redisLock{token: g.Token, since: start.Time, leads: r.leads}
	case r.sharing != nil:
		h.lock = &redisLock{token: g.Token, since: start.Time, sharing: r.sharing}
		g.Shared = true
		e.fairness.sharedBy(r.key, start.Time)
		r.place = h.passOn()
	case e.cfg.LocalHandoff > 0 && !h.shared:
		h.lock = &redisLock{token: g.Token, since: start.Time}
		g.Token = e.tokens.fresh()
	}
	r.keeps.note(h)
	l, err := e.takeIntoCare(h, g, r, start)
	if err != nil {
		h.leaveQueue()
	}
	return l, err
}

// takeIntoCare makes the lease of a holding, and takes it into care.
func (e *Engine) takeIntoCare(h *holding, g lease.Grant, r *request, start clock.Moment) (*lease.Lease, error) {
	if g.Slots == nil {
		g.Resource = h.key[len(e.cfg.KeyPrefix):] // the same bytes
	}
	g.Backend = h
	h.entry.Control.Begin(g)
	h.entry.TTL = r.ttl
	if r.renew {
		h.entry.RenewEvery = e.renewEvery(r.ttl)
	}

	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return nil, ErrClosed
	}
	if h.shared {
		e.share(r.key, g.Token, 1)
	}
	if r.watch {
		h.beginWatch()
	}
	if h.kept {
		e.keptLocks.Add(1)
	}
	if h.leads() != nil {
		e.leading.Add(1)
	}
	e.keeper.Add(&h.entry, start)
	return h.lease(), nil
}

// renewEvery is Config.RenewEvery for a lease of this length.
func (e *Engine) renewEvery(ttl time.Duration) time.Duration {
	if ttl == e.cfg.TTL {
		return e.cfg.RenewEvery
	}
	return max(time.Millisecond, time.Duration(float64(e.cfg.RenewEvery)*float64(ttl)/float64(e.cfg.TTL)))
}

// share counts the leases that are held with a token of the user's own.
func (e *Engine) share(key, token string, n int) {
	e.sharedMu.Lock()
	defer e.sharedMu.Unlock()
	k := sharedKey{key, token}
	if e.shared[k] += n; e.shared[k] == 0 {
		delete(e.shared, k)
	}
}

func (e *Engine) shares(key, token string) bool {
	e.sharedMu.Lock()
	defer e.sharedMu.Unlock()
	return e.shared[sharedKey{key, token}] > 0
}

// within is the TTL to ask for at start: no more than it takes to reach the lease's
// limit, if it has one, so that the key does not outlive it.
func (h *holding) within(ttl time.Duration, start clock.Moment) time.Duration {
	limit := h.entry.Control.Limit()
	if limit.IsZero() {
		return ttl
	}
	return h.engine.cfg.covering(max(limit.Until(start), 0), ttl)
}

// Extend asks a quorum to let the lease live for at least ttl from now.
func (h *holding) Extend(ctx context.Context, ttl time.Duration) error {
	e, l := h.engine, h.lease()
	if ttl == 0 {
		ttl = h.entry.TTL
	}
	if err := checkTTL("ttl", ttl, e.cfg.MaxTTL); err != nil {
		return fmt.Errorf("extend %q: %w", l.Resource(), err)
	}
	if err := l.Err(); err != nil {
		return fmt.Errorf("extend %q: %w", l.Resource(), err)
	}
	start := clock.Sample()
	ttl = h.within(ttl, start)
	if keys := h.several(); keys != nil {
		return h.extendAll(ctx, keys, ttl, start)
	}
	votes, won, stop := e.prove(ctx, instance.Renewal{Key: h.key, Token: h.token(), TTL: ttl, Sharing: h.sharing(), Fencing: h.fence()})
	if won {
		if said := h.leads(); said != nil {
			said.sayAgain(h, e.instances...)
		}
		return h.prolong(start, ttl)
	}
	return h.unextended(e.unproven("extend", l.Resource(), votes, stop))
}

// prolong moves the deadline to what a proof that began at start has earned.
func (h *holding) prolong(start clock.Moment, ttl time.Duration) error {
	if !h.entry.Control.Prolong(start.Add(h.engine.cfg.validity(ttl)), clock.Now()) {
		return fmt.Errorf("extend %q: %w", h.lease().Resource(), h.lease().Err())
	}
	return nil
}

// unextended ends the lease if a proof says that it is lost.
func (h *holding) unextended(q *QuorumError) error {
	if errors.Is(q.reason, lease.ErrLost) && !h.entry.Control.End(q.reason) {
		q.reason = h.lease().Err() // it had ended before
	}
	return q
}

// Release ends the lease, then hands it to the next in line, or gives it back on
// the instances.
func (h *holding) Release(context.Context) error {
	first, cause := h.endAs(lease.ErrReleased)
	if keys := h.several(); keys != nil {
		return h.outcomeOfAll(keys, h.letGoOfAll(keys, cause), cause)
	}
	p := h.letGo(first, cause)
	if p == nil {
		return h.releaseError(cause)
	}
	votes, won := p.wait()
	return h.outcome(cause, votes, won)
}

// endAs ends the lease for this cause. It reports whether it did, or else why the lease had ended before.
func (h *holding) endAs(cause error) (first bool, why error) {
	if h.entry.Control.End(cause) {
		return true, cause
	}
	return false, h.lease().Err()
}

// letGo hands the lock of a lease that has ended to the next in line, or posts its release: nil when there is none
// to wait for.
func (h *holding) letGo(first bool, cause error) *poll {
	if cause == lease.ErrDetached { // the bare cause
		return nil // the lock may be another's by now
	}
	p, left := h.giveUp(first)
	if p != nil && !left && h.sharing() == nil { // else others may be in: the servers tell when none is
		h.engine.lines.released(h.lease().Resource()) // its acquires are posted behind our release
	}
	return p
}

// outcome is what a release returns that has been answered so.
func (h *holding) outcome(cause error, votes []instance.Vote, won bool) error {
	if won {
		h.settled.Store(true)
		return h.releaseError(cause)
	}
	return unreleased(cause, h.engine.unproven("release", h.lease().Resource(), votes, nil))
}

// unreleased is the error of a release that could not be confirmed, of a lease that had ended for that cause.
func unreleased(cause error, q *QuorumError) error {
	if cause != lease.ErrReleased { // the bare cause
		return because(cause, q)
	}
	return q
}

// discard releases a lease that nobody has got, and waits for nothing.
func (h *holding) discard() {
	p, left := h.giveUp(h.entry.Control.End(lease.ErrReleased))
	if p == nil {
		return
	}
	if !left && h.sharing() == nil {
		h.engine.lines.released(h.lease().Resource())
	}
	p.leave()
	p.release()
}

// Detach ends the lease and leaves the lock in Redis as it is, to be adopted:
// nothing that is posted from now on is about it.
func (h *holding) Detach() (token string, err error) {
	l := h.lease()
	if h.sharing() != nil {
		return "", fmt.Errorf("detach %q: the lease is shared, and nobody could adopt it", l.Resource())
	}
	if !h.entry.Control.End(lease.ErrDetached) {
		return "", fmt.Errorf("detach %q: %w", l.Resource(), l.Err())
	}
	h.mu.Lock()
	h.released = true // nor is it healed: a healing has mu, and has been posted by now
	h.leaveQueue()
	h.mu.Unlock()
	token, now := h.token(), time.Now()
	h.engine.detached.add(token, now, now.Add(h.engine.cfg.MaxTTL))
	h.wakeLines() // the one that waits for our release may wait for another's
	return token, nil
}

// giveUp posts the release of a lease that has ended, unless there is none to
// post: it has been confirmed already, or the lock has been handed on. The caller
// waits for the poll. first: the caller has ended the lease, while it was valid.
// left: the next in line has got the lock, or its question has been asked.
//
// The question of the next in line is asked in its place: it goes out together with
// the release, so that nobody comes in between, and nobody must wake first.
func (h *holding) giveUp(first bool) (p *poll, left bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.settled.Load() {
		return nil, false
	}
	e, now, yes := h.engine, time.Now(), isGone
	if h.sharing() != nil { // whoever waits cannot know that nobody else is in
		first = false
	} else {
		e.fairness.had(h.key, h.acquired(), now)
	}
	if first && !h.released && h.handOver(now) {
		h.released = true // nothing of the lock is ours to put back or to delete
		h.settled.Store(true)
		return nil, true
	}
	if h.released {
		yes = isGoneOrAnothers
	}
	h.released = true
	var r *request
	var handed chan<- handoff
	if first && h.hasTurn(now) {
		r, handed = e.lines.successor(h.lease().Resource(), mayBeAsked)
	}
	if r == nil {
		p = e.giveBack(h, yes, nil)
		h.place = nil
		return p, false
	}
	next := handoff{question: e.draft(r, cmp.Or(h.place, r.place), clock.Sample(), false), place: h.place}
	p = e.giveBack(h, yes, next.question.attempt)
	h.place = nil
	handed <- next // never blocks: one slot, sent to once
	return p, true
}

// takePlace takes the place in the queue that an acquire had, if any. The turn begins with it,
// unless it was begun by the one that has passed it on.
func (h *holding) takePlace(p *place, resource string) {
	if p == nil {
		return
	}
	h.place = p
	h.engine.queues.drop(p)
	if p.left--; p.began.IsZero() {
		p.began, p.left = time.Now(), h.engine.lines.length(resource)-1
	}
}

// hasTurn reports whether the next in line here may be served before others.
func (h *holding) hasTurn(now time.Time) bool {
	if h.place != nil {
		return h.place.hasTurn(now, h.engine.trip(h.place.at), h.mayBeHanded())
	}
	return !h.engine.turnOver(h.key, now)
}

// leaveQueue gives up the place. Called with h.mu held.
func (h *holding) leaveQueue() {
	if h.place != nil {
		h.engine.queues.leave(h.place)
		h.place = nil
	}
}

// mayBeAsked reports whether somebody else may ask the question: not when the token
// is the user's own, nor when tries are counted.
func mayBeAsked(r *request) bool { return r.token == "" && r.tries == 0 }

// releaseError is what a confirmed release returns: nil, unless the lease had ended
// before, so that what it protected was not protected to its end.
func (h *holding) releaseError(cause error) error {
	if cause == lease.ErrReleased { // the bare cause
		return nil
	}
	return fmt.Errorf("release %q: %w", h.lease().Resource(), cause)
}

// Ended takes the lease out of care, and tells the log, the Trace and Lost.
func (h *holding) Ended(cause error) {
	e, l := h.engine, h.lease()
	h.watch.end()
	e.keeper.Remove(&h.entry)
	if h.shared {
		e.share(h.key, l.Token(), -1)
	}
	if p := h.permits(); p != nil {
		p.pool.gaveBack(p.slots)
	}
	if h.leads() != nil {
		e.leading.Add(-1)
	}
	now := time.Now()
	if h.kept { // nobody's lease
		e.keptLocks.Add(-1)
		if errors.Is(cause, lease.ErrLost) {
			h.mu.Lock()
			h.leaveQueue()
			h.mu.Unlock()
		}
		return
	}
	end := bygone{lease: l, cause: cause, at: now, held: now.Sub(h.since)}
	e.ends.add(end)
	if errors.Is(cause, lease.ErrLost) {
		e.log.Warn("lease lost", named(l.Resources()), "cause", cause, "held", end.held.Round(time.Millisecond).String(), "renewal", h.lastRenewal(), "noticed", h.watch.hasNoticed())
		e.keeper.Emit(l)
		e.losses.add(end)
		h.wakeLines()
		h.mu.Lock()
		h.leaveQueue()
		h.mu.Unlock()
	}
	e.telling.ended(l, cause, h.since)
}

// lastRenewal says how the last renewal went, for the log.
func (h *holding) lastRenewal() string {
	if v := h.trouble.Load(); v != nil {
		return "failed: " + v.String()
	}
	return "none failed"
}
