package engine

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// giving gives back some leases that have ended: by one message to each instance, and one wake-up of the caller, when all of them
// are decided. Those of them that Lease.Release would do more for are given back one by one, as it does that.
//
// It is used again when its caller has left it, and every instance has voted on every lease.
type giving struct {
	counts  // of the plain ones
	engine  *Engine
	entered int                    // through the gate
	plain   []leaseEnd             // whose releases go together
	items   []instance.ReleaseItem // as plain; read by all actors
	text    []byte                 // the commands, encoded once for all instances
	seats   []givingSeat           // one an instance
	alone   []alone
}

// leaseEnd is a lease that has been ended, to be given back.
type leaseEnd struct {
	*holding
	which int   // of the caller's leases
	first bool  // the caller has ended it, while it was valid
	cause error // of its end
}

// alone is one that is given back by itself. There is no poll when there is nothing to wait for.
type alone struct {
	leaseEnd
	poll  *poll
	polls []*poll // of several resources
}

// givingSeat is what a giving has for one instance.
type givingSeat struct {
	giving *giving
	seat   int
	ask    instance.ReleaseEach
}

// CastEach takes an instance's votes on some of the releases.
func (s *givingSeat) CastEach(which []int, votes []instance.Vote) {
	s.giving.release(s.giving.cast(s.seat, which, votes, isGone))
}

// newGiving sorts leases that have ended, chunkSize at most. It must be posted, and then waited for or left.
func (e *Engine) newGiving(ends []leaseEnd) *giving {
	g, ok := e.givings.Get().(*giving)
	if !ok {
		g = &giving{engine: e, seats: make([]givingSeat, len(e.instances))}
		g.done, g.voters = make(chan struct{}, 1), e.instances
		for seat := range g.seats {
			s := &g.seats[seat]
			s.giving, s.seat, s.ask.To = g, seat, s
		}
	}
	g.open, g.entered = 1, len(ends)
	now := time.Now()
	for _, end := range ends {
		switch keys := end.several(); {
		case keys != nil:
			g.alone = append(g.alone, alone{leaseEnd: end, polls: end.letGoOfAll(keys, end.cause)})
		case end.givesUpPlainly(now):
			g.plain = append(g.plain, end)
		default:
			g.alone = append(g.alone, alone{leaseEnd: end, poll: end.letGo(end.first, end.cause)})
		}
	}
	return g
}

// givesUpPlainly is giveUp where all that is to be done is to post the release: the caller ended the lease, and nobody
// here waits for the resource, nor has it a place in the queue. It reports whether that is so; then the caller posts
// it. What puts the key back has been posted by now, or will not be.
func (end *leaseEnd) givesUpPlainly(now time.Time) bool {
	h := end.holding
	h.mu.Lock()
	defer h.mu.Unlock()
	if !end.first || h.released || h.place != nil || h.leads() != nil || h.sharing() != nil || h.settled.Load() || h.engine.lines.length(h.lease().Resource()) > 0 {
		return false
	}
	h.engine.fairness.had(h.key, h.acquired(), now)
	h.released = true
	return true
}

// post posts the releases.
func (g *giving) post() {
	e, n := g.engine, len(g.plain)
	if n == 0 {
		return
	}
	g.expect(n, e.need)
	g.items = slices.Grow(g.items[:0], n)[:n]
	oldest := time.Now()
	for k := range g.plain {
		h := g.plain[k].holding
		g.items[k] = instance.ReleaseItem{Key: h.key, Token: h.token(), Since: h.askedFor(), Fencing: h.fence()}
		if since := g.items[k].Since; since.Before(oldest) {
			oldest = since
		}
	}
	g.text = instance.EncodeReleases(g.text[:0], g.items)
	for seat, at := range e.instances {
		s := &g.seats[seat]
		if v, absent := at.Absent(oldest); absent {
			s.CastEach(nil, []instance.Vote{v})
			continue
		}
		s.ask.Items, s.ask.Text, s.ask.TTL = g.items, g.text, e.cfg.MaxTTL
		at.Post(&s.ask)
	}
	for k := range g.plain {
		e.lines.released(g.plain[k].lease().Resource()) // one may wait since: its acquire is refused, or is posted behind our release
	}
}

// release gives up so many votes; with the last, the giving is free.
func (g *giving) release(votes int) {
	if !g.giveUp(votes) {
		return
	}
	clear(g.plain)
	clear(g.items)
	clear(g.alone)
	g.plain, g.alone = g.plain[:0], g.alone[:0]
	g.engine.givings.Put(g)
}

// wait waits until it is known what became of all of them, which the instances' timeouts bound, and notes it. The giving must
// not be used afterwards.
func (g *giving) wait(note func(which int, err error)) {
	defer g.release(1)
	if len(g.plain) > 0 {
		_ = g.await(context.Background()) // which does not end
	}
	for k := range g.plain {
		var votes []instance.Vote
		g.mu.Lock()
		won := g.won(k)
		if !won {
			votes = g.result(k)
		}
		g.mu.Unlock()
		end := &g.plain[k]
		note(end.which, end.outcome(end.cause, votes, won))
	}
	for _, a := range g.alone {
		if keys := a.several(); keys != nil {
			note(a.which, a.outcomeOfAll(keys, a.polls, a.cause))
			continue
		}
		if a.poll == nil {
			note(a.which, a.releaseError(a.cause))
			continue
		}
		votes, won := a.poll.wait()
		note(a.which, a.outcome(a.cause, votes, won))
	}
}

// leaveAll waits for none of them. The giving must not be used afterwards.
func (g *giving) leaveAll() {
	defer g.release(1)
	g.leave()
	for _, a := range g.alone {
		if a.poll != nil {
			a.poll.leave()
			a.poll.release()
		}
		for _, p := range a.polls {
			p.leave()
			p.release()
		}
	}
}
