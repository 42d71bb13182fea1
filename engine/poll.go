package engine

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// poll is one question about a lease that exists already: a release or a proof
// of ownership. There is nothing to undo.
type poll struct {
	ballot
	seats []pollSeat
	yes   func(instance.Kind) bool
}

type pollSeat struct {
	poll    *poll
	seat    int
	release instance.Release
	renew   instance.Renew
	item    [1]instance.Renewal
}

func (s *pollSeat) Cast(v instance.Vote) {
	s.poll.cast(s.seat, v, s.poll.yes(v.Kind))
	s.poll.release()
}

func (s *pollSeat) CastRenewals(_ []instance.Renewal, votes []instance.Vote) { s.Cast(votes[0]) }

func (e *Engine) newPoll(yes func(instance.Kind) bool) *poll {
	p, ok := e.polls.Get().(*poll)
	if !ok {
		p = &poll{seats: make([]pollSeat, len(e.instances))}
		p.free = func() { e.polls.Put(p) }
		for seat := range p.seats {
			p.seats[seat].poll, p.seats[seat].seat = p, seat
		}
	}
	p.open(e.instances)
	p.refs.Add(int32(len(p.seats))) // all are asked
	p.yes = yes
	return p
}

// isGone: the lock is not ours any more at that instance, as a release wants it.
func isGone(k instance.Kind) bool {
	return k == instance.Granted || k == instance.Gone
}

// isGoneOrAnothers: the same, where a release of ours went before, and another may have
// the lock by now.
func isGoneOrAnothers(k instance.Kind) bool { return isGone(k) || k == instance.Stolen }

func granted(k instance.Kind) bool { return k == instance.Granted }

// giveBack posts the release of a lease, and right behind it the next one's
// attempt, or, if that is nil, that its place in the queue is given up. Wait or leave must be called on
// what it returns.
func (e *Engine) giveBack(h *holding, yes func(instance.Kind) bool, next *attempt) *poll {
	p := e.newPoll(yes)
	n := len(e.instances)
	first, since := 0, h.askedFor()
	if h.place != nil { // the next engine is told by that instance, and finds the others released
		first = h.place.at + 1
	}
	for k := range n {
		seat := (first + k) % n
		i, s := e.instances[seat], &p.seats[seat]
		if v, absent := i.Absent(since); absent && next == nil && (h.place == nil || seat != h.place.at) {
			s.Cast(v)
			continue
		}
		h.describe(&s.release)
		s.release.To = s
		switch {
		case next != nil:
			i.Post(&s.release, next.question(seat))
		case h.place != nil && seat == h.place.at:
			i.Post(&s.release, &instance.LeaveQueue{Place: h.place.Place})
		default:
			i.Post(&s.release)
		}
		if said := h.leads(); said != nil {
			said.retract(h, i)
		}
	}
	return p
}

// describe makes r a release of this lock.
func (h *holding) describe(r *instance.Release) {
	r.Key, r.Token, r.Sharing, r.Fencing = h.key, h.token(), h.sharing(), h.fence()
	r.TTL, r.Since = h.engine.cfg.MaxTTL, h.askedFor()
	r.Undo = nil
}

// askedFor is when the instances may have heard of the lock first; zero: that is not known.
func (h *holding) askedFor() time.Time {
	if h.shared { // another may have put the key there before us
		return time.Time{}
	}
	return h.acquired()
}

// wait waits until the poll is decided, which the instances' timeouts bound. The
// poll must not be used afterwards.
func (p *poll) wait() (votes []instance.Vote, won bool) {
	defer p.release()
	_, _ = p.await(context.Background())
	if p.won() {
		return nil, true
	}
	return p.result(), false
}

// prove asks a quorum to confirm that a lock is ours and to let it live.
// stop is the context's error when that ended the waiting.
func (e *Engine) prove(ctx context.Context, proof instance.Renewal) (votes []instance.Vote, won bool, stop error) {
	p := e.newPoll(granted)
	defer p.release()
	for seat, i := range e.instances {
		s := &p.seats[seat]
		s.item[0] = proof
		s.renew.Items = s.item[:]
		s.renew.To = s
		i.Post(&s.renew)
	}
	decided, stop := p.await(ctx)
	return p.result(), decided && p.won(), stop
}

// unproven explains a poll that did not get its quorum. When a quorum answered
// that the lock is not ours, the lease is lost: stolen if anybody saw another
// holder, gone if not.
func (e *Engine) unproven(op, resource string, votes []instance.Vote, stop error) *QuorumError {
	q := &QuorumError{Op: op, Resource: resource, Need: e.need, Votes: votes, reason: ErrNoQuorum, decided: stop == nil, stop: stop}
	t := tally{voters: len(votes), need: e.need}
	var cause error = lease.ErrGone
	for _, v := range votes {
		switch v.Kind {
		case instance.Gone:
			t.count(false)
		case instance.Stolen:
			t.count(false)
			cause = lease.ErrStolen
		}
	}
	if t.against() {
		q.reason = cause
	}
	return q
}
