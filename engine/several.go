package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/lease"
)

// several are the resources of one AcquireAll. They are one question to an instance, with one token and one
// fence, and one lease. Whose each of them is, is decided for each by the votes on its own key.
type several struct {
	resources []string // in ascending order, each once
	keys      []string // as resources
	kept      []string // as resources: the tokens of the locks that are kept for them, which give way; nil: none are
}

// question is what an instance is asked.
func (s *several) question() *instance.Several {
	return &instance.Several{Keys: s.keys, Kept: s.kept}
}

// blame makes the request's resource the one that stands in the way, by the votes on an attempt: the first, if none does.
func (r *request) blame(a *attempt, votes []instance.Vote) {
	which := 0
	for seat, v := range votes {
		if v.Kind == instance.Held {
			which = a.seats[seat].acquire.Several.InTheWay
			break
		}
	}
	r.resource, r.key = r.several.resources[which], r.several.keys[which]
}

// undoAll posts the undo of an acquire of several resources, or permits.
func (s *attemptSeat) undoAll(keys []string) {
	a, q := s.attempt, &s.acquire
	n := len(keys)
	s.undoes = slices.Grow(s.undoes[:0], n)[:n]
	posts := make([]instance.Command, n)
	for k, key := range keys {
		u := &s.undoes[k]
		u.Key, u.Token, u.TTL, u.Fencing = key, q.Token, q.TTL, q.Fencing
		u.Undo, u.Former, u.Sharing, u.To = q, "", nil, (*undone)(s)
		posts[k] = u
	}
	a.refs.Add(int32(n))
	a.engine.instances[s.seat].Post(posts...)
}

// holdAll is hold for a lease of several resources.
func (e *Engine) holdAll(g lease.Grant, r *request, fencing instance.Fencing, start clock.Moment) (*lease.Lease, error) {
	h := &holding{engine: e, key: r.several.keys[0], since: start.Time}
	h.lock = &redisLock{token: g.Token, since: start.Time, keys: r.several.keys}
	if fencing.Fence != 0 {
		h.fencing = &fencing
	}
	h.entry.Locks = uint8(len(r.several.keys))
	g.Resources = r.several.resources
	return e.takeIntoCare(h, g, r, start)
}

// several are the keys of a lease of several resources; nil: it is of one.
func (h *holding) several() []string {
	if h.lock == nil {
		return nil
	}
	return h.lock.keys
}

// locks is how many resources the lease is of.
func (h *holding) locks() int { return max(1, len(h.several())) }

// resource is the name of a key's resource.
func (e *Engine) resource(key string) string { return key[len(e.cfg.KeyPrefix):] }

// extendAll is the part of Extend that asks, for several resources: a quorum must confirm each of them.
func (h *holding) extendAll(ctx context.Context, keys []string, ttl time.Duration, start clock.Moment) error {
	e := h.engine
	polls := make([]*poll, len(keys))
	for k, key := range keys {
		p := e.newPoll(granted)
		polls[k] = p
		for seat, i := range e.instances {
			s := &p.seats[seat]
			s.item[0] = instance.Renewal{Key: key, Token: h.token(), TTL: ttl, Fencing: h.fence()}
			s.renew.Items, s.renew.To = s.item[:], s
			i.Post(&s.renew)
		}
	}
	var failed *QuorumError
	for k, p := range polls {
		decided, stop := p.await(ctx)
		if !decided || !p.won() {
			q := e.unproven("extend", h.part(keys[k]), p.result(), stop)
			if failed == nil || errors.Is(q.reason, lease.ErrLost) {
				failed = q
			}
		}
		p.release()
	}
	if failed == nil {
		return h.prolong(start, ttl)
	}
	return h.unextended(failed)
}

// letGoOfAll is letGo for several resources: nil when there is none to wait for.
func (h *holding) letGoOfAll(keys []string, cause error) []*poll {
	if cause == lease.ErrDetached { // the bare cause
		return nil // the locks may be others' by now
	}
	return h.giveBackAll(keys)
}

// outcomeOfAll waits for the polls, and is what the release returns then.
func (h *holding) outcomeOfAll(keys []string, polls []*poll, cause error) error {
	if polls != nil {
		if failed := h.settleAll(keys, polls); failed != nil {
			return unreleased(cause, failed)
		}
	}
	return h.releaseError(cause)
}

// closeAll gives several resources back when the engine is closed.
func (h *holding) closeAll(keys []string) error {
	if failed := h.settleAll(keys, h.giveBackAll(keys)); failed != nil {
		return fmt.Errorf("close: %w", failed)
	}
	return nil
}

// giveBackAll posts the release of all locks of a lease that has ended, one poll for each: none, if that has been
// confirmed already. None of them is handed on.
func (h *holding) giveBackAll(keys []string) []*poll {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.settled.Load() {
		return nil
	}
	e, now, yes, bell := h.engine, time.Now(), isGone, everybody
	if h.released {
		yes = isGoneOrAnothers
	}
	h.released = true
	permits := h.permits()
	if permits != nil {
		bell = e.arbiter(permits.pool.key, nil)
	}
	polls := make([]*poll, len(keys))
	for k, key := range keys {
		if permits == nil {
			e.fairness.had(key, h.since, now)
		}
		polls[k] = e.newPoll(yes)
	}
	for seat, i := range e.instances {
		posts := make([]instance.Command, len(keys))
		for k, key := range keys {
			s := &polls[k].seats[seat]
			s.release = instance.Release{Key: key, Token: h.token(), TTL: e.cfg.MaxTTL, Since: h.since, Fencing: h.fence(), To: s}
			posts[k] = &s.release
		}
		if seat == bell {
			posts = append(posts, permits.pool.ring())
		}
		i.Post(posts...) // together: whoever waits for several of them finds them free at once
	}
	h.wakeLines() // their acquires are posted behind our releases
	return polls
}

// settleAll waits for the polls, and returns why one of them was not won.
func (h *holding) settleAll(keys []string, polls []*poll) (failed *QuorumError) {
	for k, p := range polls {
		if votes, won := p.wait(); !won && failed == nil {
			failed = h.engine.unproven("release", h.part(keys[k]), votes, nil)
		}
	}
	if failed == nil {
		h.settled.Store(true)
	}
	return failed
}

// whole is what a renewal comes to of a lease of several resources. A quorum must confirm each; one that is lost ends
// the lease.
type whole struct {
	open    int // how many are undecided
	verdict verdict
	lost    string         // the key of the one that is lost
	trouble *instance.Vote // of one that is not confirmed
}

// take takes the verdict on one of the resources, and reports whether it decides about all. A nil whole is that of one.
func (w *whole) take(t *renewTally, key string) bool {
	if w == nil {
		return true
	}
	w.open--
	if w.verdict == stolen || w.verdict == gone {
		return false
	}
	switch {
	case t.verdict != confirmed:
		w.verdict, w.trouble, w.lost = t.verdict, t.trouble, key
	case w.verdict == undecided:
		w.verdict = confirmed
	}
	return w.verdict == stolen || w.verdict == gone || w.open == 0
}

// verdict is that on the lease of an item that has decided about it.
func (r *renewal) verdict(n int) verdict {
	if w := r.tallies[n].whole; w != nil {
		return w.verdict
	}
	return r.tallies[n].verdict
}

func (r *renewal) trouble(n int) *instance.Vote {
	if w := r.tallies[n].whole; w != nil {
		return w.trouble
	}
	return r.tallies[n].trouble
}

// loss is why the lease is lost; nil: it is not.
func (r *renewal) loss(n int) error {
	cause := r.verdict(n).loss()
	if w := r.tallies[n].whole; w != nil && cause != nil {
		return fmt.Errorf("%w: %s", cause, holdingOf(r.entries[n]).among(w.lost))
	}
	return cause
}
