package engine

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// giving gives back some leases that have ended: by releases that are posted together, and waited for once. Those of them that
// Lease.Release would do more for are given back one by one, as it does that.
type giving struct {
	together
	engine   *Engine
	entered  int // through the gate
	items    []*given
	alone    []alone
	messages []instance.Command
}

// leaseEnd is a lease that has been ended, to be given back.
type leaseEnd struct {
	*holding
	which int   // of the caller's leases
	first bool  // the caller has ended it, while it was valid
	cause error // of its end
}

// given is a lease whose release is posted together with others.
type given struct {
	ballot
	leaseEnd
	slots []givenSlot
}

// alone is one that is given back by itself. There is no poll when there is nothing to wait for.
type alone struct {
	leaseEnd
	poll  *poll
	polls []*poll // of several resources
}

type givenSlot struct {
	given   *given
	place   int
	release instance.Release
}

func (s *givenSlot) Cast(v instance.Vote) {
	s.given.cast(s.place, v, gone(v.Kind))
	s.given.ballot.release()
}

// newGiving sorts leases that have ended, chunkSize at most. It must be posted, and then waited for or left.
func (e *Engine) newGiving(ends []leaseEnd) *giving {
	g, ok := e.givings.Get().(*giving)
	if !ok {
		g = &giving{
			engine:   e,
			items:    make([]*given, 0, chunkSize),
			messages: make([]instance.Command, 0, chunkSize),
		}
	}
	g.entered = len(ends)
	now := time.Now()
	for _, end := range ends {
		switch keys := end.several(); {
		case keys != nil:
			g.alone = append(g.alone, alone{leaseEnd: end, polls: end.letGoOfAll(keys, end.cause)})
		case end.givesUpPlainly(now):
			g.items = append(g.items, e.newGiven(end))
		default:
			g.alone = append(g.alone, alone{leaseEnd: end, poll: end.letGo(end.first, end.cause)})
		}
	}
	return g
}

func (e *Engine) newGiven(end leaseEnd) *given {
	i, ok := e.givens.Get().(*given)
	if !ok {
		i = &given{slots: make([]givenSlot, len(e.instances))}
		i.free = func() { e.givens.Put(i) }
		for place := range i.slots {
			i.slots[place].given, i.slots[place].place = i, place
		}
	}
	i.open(e.instances)
	i.leaseEnd = end
	return i
}

// givesUpPlainly is giveUp where all that is to be done is to post the release: the caller ended the lease, and nobody
// here waits for the resource, nor has it a place in the queue. It reports whether that is so; then the caller posts
// it. What puts the key back has been posted by now, or will not be.
func (end *leaseEnd) givesUpPlainly(now time.Time) bool {
	h := end.holding
	h.mu.Lock()
	defer h.mu.Unlock()
	if !end.first || h.released || h.place != nil || h.settled.Load() || h.engine.lines.length(h.lease().Resource()) > 0 {
		return false
	}
	h.engine.fairness.had(h.key, h.acquired(), now)
	h.released = true
	return true
}

// post posts the releases.
func (g *giving) post() {
	g.expect(len(g.items))
	for _, i := range g.items {
		i.with = &g.together
		i.refs.Add(int32(len(i.slots)))
	}
	for place, at := range g.engine.instances {
		for _, i := range g.items {
			s := &i.slots[place]
			i.describe(&s.release)
			s.release.To = s
			g.messages = append(g.messages, &s.release)
		}
		if len(g.messages) > 0 {
			at.Post(g.messages...)
		}
		clear(g.messages)
		g.messages = g.messages[:0]
	}
	for _, i := range g.items {
		g.engine.lines.released(i.lease().Resource()) // one may wait since: its acquire is refused, or is posted behind our release
	}
}

// wait waits until it is known what became of all of them, which the instances' timeouts bound, and notes it. The giving must
// not be used afterwards.
func (g *giving) wait(note func(which int, err error)) {
	if len(g.items) > 0 {
		_ = g.await(context.Background()) // which does not end
	}
	for _, i := range g.items {
		var votes []instance.Vote
		won := i.won()
		if !won {
			votes = i.result()
		}
		note(i.which, i.outcome(i.cause, votes, won))
		i.leaseEnd = leaseEnd{}
		i.ballot.release()
	}
	for _, a := range g.alone {
		if keys := a.several(); keys != nil {
			note(a.which, a.outcomeOfAll(keys, a.polls, a.cause))
			continue
		}
		if a.poll == nil {
			note(a.which, a.verdict(a.cause))
			continue
		}
		votes, won := a.poll.wait()
		note(a.which, a.outcome(a.cause, votes, won))
	}
	g.free()
}

// leaveAll waits for none of them. The giving must not be used afterwards.
func (g *giving) leaveAll() {
	for _, i := range g.items {
		i.close()
	}
	g.leave()
	for _, i := range g.items {
		i.leaseEnd = leaseEnd{}
		i.ballot.release()
	}
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
	g.free()
}

func (g *giving) free() {
	clear(g.items)
	clear(g.alone)
	g.items, g.alone = g.items[:0], g.alone[:0]
	g.engine.givings.Put(g)
}
