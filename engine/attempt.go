package engine

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// attempt is one round of votes on an acquire: a message to each instance, the
// ballot that they answer to, and the messages that undo it.
type attempt struct {
	ballot
	engine  *Engine
	start   time.Time
	seats   []attemptSeat
	queueAt int // the instance that has the queue in which it is this one's turn; everybody: it stands in none
}

// attemptSeat is what an attempt has for one instance.
type attemptSeat struct {
	attempt *attempt
	seat    int
	asked   bool // it has been its turn to be asked; the caller's own, as the next
	absent  bool // and nothing was posted, since the instance was down
	acquire instance.Acquire
	undo    instance.Release
	undoes  []instance.Release // of several resources
}

// Cast takes the vote on the acquire.
func (s *attemptSeat) Cast(v instance.Vote) {
	a := s.attempt
	a.cast(s.seat, v, v.Kind == instance.Granted)
	if v.Kind == instance.Held && s.seat == a.queueAt && a.won() { // it comes late
		a.engine.fairness.mixed(s.acquire.Key, time.Now())
	}
	if v.Kind != instance.Unanswered && s.acquire.Former == "" {
		a.engine.telling.voted(a.engine.instances[s.seat].Name(), v.Kind)
	}
	a.release()
}

// overrules reports whether it has been won against the vote of the instance that has the queue, as far as that has voted.
func (a *attempt) overrules() bool {
	return a.queueAt != everybody && a.kind(a.queueAt) == instance.Held
}

// undone takes the answer to an undo. Nobody waits for it: what could not be
// undone stays owed by the instance.
type undone attemptSeat

func (u *undone) Cast(instance.Vote) { u.attempt.release() }

func (e *Engine) newAttempt() *attempt {
	if a, ok := e.attempts.Get().(*attempt); ok {
		return a
	}
	a := &attempt{engine: e, seats: make([]attemptSeat, len(e.instances))}
	a.free = func() { e.attempts.Put(a) }
	for seat := range a.seats {
		a.seats[seat].attempt, a.seats[seat].seat = a, seat
	}
	return a
}

// prepare makes the attempt ready to ask. The caller calls release afterwards.
func (a *attempt) prepare(r *request, token string, fencing instance.Fencing, start time.Time, askLeft bool) {
	a.open(a.engine.instances)
	a.start = start
	giveUp := start.Add(a.engine.cfg.validity(r.ttl))
	for seat := range a.seats {
		s := &a.seats[seat]
		s.asked, s.absent = false, false
		q := &s.acquire
		q.Key, q.Token, q.TTL = r.key, token, r.ttl
		q.GiveUp, q.AskLeft, q.Shared, q.Fencing = giveUp, askLeft, r.token != "", fencing
		q.Former, q.Any, q.Sharing = r.former, nil, r.sharing
		if q.Several = nil; r.several != nil {
			q.Key, q.Several = r.several.keys[0], r.several.question()
		}
		q.To = s
	}
}

// ask posts the question to one instance, unless that is known to be down.
func (a *attempt) ask(seat int) {
	i, question := a.engine.instances[seat], a.question(seat)
	if v, absent := i.Absent(a.start); absent {
		s := &a.seats[seat]
		s.absent = true
		s.Cast(v)
		return
	}
	i.Post(question)
}

// question returns what to post to an instance. The caller must post it.
func (a *attempt) question(seat int) *instance.Acquire {
	s := &a.seats[seat]
	s.asked = true
	a.refs.Add(1)
	return &s.acquire
}

// askAll posts the question to all that have not been asked yet.
func (a *attempt) askAll() {
	for seat := range a.seats {
		if !a.seats[seat].asked {
			a.ask(seat)
		}
	}
}

// pose asks all instances and waits for the decision. Unless first is everybody,
// that one is asked before the others, and they only if it does not refuse: see
// arbiter.
func (a *attempt) pose(ctx context.Context, first int) (decided bool, stop error) {
	if first == everybody {
		a.askAll()
		return a.await(ctx)
	}
	a.first = true
	a.ask(first)
	if decided, stop = a.await(ctx); stop != nil {
		return decided && a.won(), stop // a first vote need not have decided anything
	}
	switch a.kind(first) {
	case instance.Held, instance.Stale, instance.Ahead:
		return true, nil
	}
	if a.resume() {
		return true, nil
	}
	a.askAll()
	return a.await(ctx)
}

// undo takes back what the attempt has or may have left on the instances: an
// adoption gives the lock back to the token that had it. The undo is posted behind
// the acquire, and so is served after it, even if nobody waits any more and the
// acquire has not yet been sent.
func (a *attempt) undo() {
	votes := a.result()
	for seat, i := range a.engine.instances {
		switch s := &a.seats[seat]; {
		case !s.asked || s.absent || !mayHaveLeft(votes[seat], votes, &s.acquire):
		case s.acquire.Several != nil:
			s.undoAll(s.acquire.Several.Keys)
		case s.acquire.Any != nil:
			s.undoAll(s.acquire.Any.MayHave(votes[seat].Kind))
		default:
			i.Post(s.undoing())
		}
	}
}

// undoing returns what takes back what was or may have been left on the instance. The caller must post it.
func (s *attemptSeat) undoing() *instance.Release {
	u := &s.undo
	u.Key, u.Token, u.TTL, u.Fencing = s.acquire.Key, s.acquire.Token, s.acquire.TTL, s.acquire.Fencing
	u.Undo, u.Former = &s.acquire, s.acquire.Former
	u.Sharing = s.acquire.Sharing
	u.To = (*undone)(s)
	s.attempt.refs.Add(1)
	return u
}

// mayHaveLeft reports whether an instance that voted so may have the lock in
// our name, in consequence of this attempt.
func mayHaveLeft(v instance.Vote, votes []instance.Vote, q *instance.Acquire) bool {
	switch v.Kind {
	case instance.Busy:
		return v.Again
	case instance.Stale: // a native command has taken the lock, though the fence beside it was not raised
		if !q.Shared {
			return true
		}
		if !v.Again {
			return false
		}
	case instance.Held, instance.Ahead, instance.Gone, instance.Stolen:
		if !v.Again {
			return false
		}
	case instance.Granted:
		return true
	}
	if !q.Shared {
		return true
	}
	// The user's own token: if it was found anywhere, then what may be found at
	// an instance that did not answer is the lock of an earlier lease.
	for _, other := range votes {
		if other.Kind == instance.Held && other.Holder == q.Token {
			return false
		}
	}
	return true
}
