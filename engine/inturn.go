package engine

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/tracking"
	"github.com/holdfast-go/holdfast/lease"
)

// quickMisses is how often an engine whose turn has come asks again after a round trip, when a
// release has got to the arbiter and not to the others. Then it pauses.
const quickMisses = 3

// mostPassed is how many others may get the lock while an engine is the first. Then it goes to the end.
const mostPassed = 3

// failures are how an engine in the queue has asked in vain.
type failures struct {
	misses     int       // rounds in which the others have refused, and the arbiter has not
	holder     string    // who was last seen to hold the lock when it asked as the first
	passed     int       // how many have got the lock while it was the first
	falseCalls int       // how often it was told at once of a lock that is not free, lately
	falseAt    time.Time // when it last was
}

// askInTurn takes part in a round: everybody's, or with one asked first. In vain, it has
// the instance say where the place stands now.
func (q *inQueue) askInTurn(ctx context.Context, first int) (*lease.Lease, action, error) {
	e, was := q.engine, q.passed
	q.asked = true
	l, err := q.tryRound(ctx, first, q.misses > 0)
	if l != nil || err != nil {
		return l, waitOn, err
	}
	if q.before == "" {
		q.keepReadersOut(time.Now())
	}
	switch {
	case q.isPutOff(time.Now()):
		q.again = time.Now().Add(q.nextPause())
		return nil, waitOn, nil
	case !errors.Is(q.refused, ErrHeld):
		return nil, q.leave(), nil
	case q.isPassedOver():
		return nil, q.enterAnew(), nil
	case !q.isHeldAt(q.place.at):
		// The others are about to hear of the release, or of an undo. Or somebody has them without the arbiter, or
		// that one has no vote.
		q.misses++
		q.again = time.Now().Add(e.trip(q.place.at))
		if q.misses > quickMisses {
			q.again = q.again.Add(soonest(q.refused, q.nextPause()))
		}
		return nil, waitOn, nil
	}
	switch {
	case q.before != "" || q.watch.tracked == nil:
		q.askPlace()
	case q.isCalledFalsely(time.Now()):
		q.again = time.Now().Add(min(time.Millisecond<<min(q.falseCalls, 8), anAnswer))
	case q.isPromised():
	default: // ask to be told when the lock is gone, and look at it again
		q.watch.tracked.Patient = time.Now()
		if q.passed > was { // by another than it has seen: it was no renewal
			q.watch.tracked.Patient = q.watch.tracked.Patient.Add(impatience)
		}
		q.rewatch(q.watch)
	}
	return nil, waitOn, nil
}

// isPromised reports whether the server will still tell, and the lock is not known to have expired: nobody had told it to
// ask.
func (q *inQueue) isPromised() bool {
	outlook, expires := q.watch.outlook()
	return outlook == tracking.Promised && (expires.IsZero() || untilExpiry(expires, time.Now()) > 0)
}

// isCalledFalsely reports whether it was told at once that the lock is free, which it is not: after a
// failover, the server that tells may be another than the one that votes. Then it asks less and
// less often.
func (q *inQueue) isCalledFalsely(now time.Time) bool {
	if now.Sub(q.falseAt) > time.Second {
		q.falseCalls = 0
	}
	if now.Sub(q.waitLoop.rewatched) >= time.Millisecond {
		return false
	}
	q.falseCalls, q.falseAt = q.falseCalls+1, now
	return true
}

// askAtOnce takes part in a round without a place, since the lock is free and nobody
// waits. When somebody was faster, c enters the queue. When it is told the same again, it waits
// outside: others have the lock without the instance that has the queue.
func (q *inQueue) askAtOnce(ctx context.Context) (*lease.Lease, action, error) {
	first := q.place.at
	if q.rounds == 0 { // it has not asked yet
		first = everybody
	}
	l, err := q.tryRound(ctx, first, false)
	if l != nil || err != nil {
		return l, waitOn, err
	}
	if errors.Is(q.refused, ErrHeld) {
		q.engine.fairness.crowded(q.request.key, time.Now())
	}
	if !errors.Is(q.refused, ErrHeld) || q.inVain || !q.enter() {
		return nil, waitOutside, nil
	}
	q.inVain = true
	return nil, waitOn, nil
}

// isPassedOver reports whether, while it was the first, several have got the lock: those behind it tell each
// other, and will not tell it.
func (q *inQueue) isPassedOver() bool {
	var refused *QuorumError
	if q.before != "" || !errors.As(q.refused, &refused) {
		return false
	}
	for _, v := range refused.Votes {
		if v.Kind == instance.Held && v.Holder != q.holder {
			q.holder = v.Holder
			q.passed++
			break
		}
	}
	return q.passed > mostPassed
}

// isPutOff reports whether the instance that has the queue has refused to vote in the last round, for a reason that passes soon.
func (q *inQueue) isPutOff(now time.Time) bool {
	var refused *QuorumError
	if !errors.As(q.refused, &refused) || errors.Is(q.refused, ErrHeld) {
		return false
	}
	v := refused.Votes[q.place.at]
	return q.stays(v.Kind, v.Err, now)
}

// isHeldAt reports whether that instance had another holder in the last round.
func (q *inQueue) isHeldAt(at int) bool {
	var refused *QuorumError
	return errors.As(q.refused, &refused) && refused.Votes[at].Kind == instance.Held
}
