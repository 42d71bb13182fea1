package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/tracking"
	"github.com/holdfast-go/holdfast/lease"
)

// impatience is how long the first in a queue takes every change of the lock for a release, from when it begins to watch
// it, and again when it sees another holder. Then it looks first whether it is one, which takes a round trip more: little
// beside so long a hold. But where others stand in no queue and hold it for moments, they would always be there before.
const impatience = 100 * time.Millisecond

// inQueue is a wait loop that waits in the queue for its resource. What it does on an
// event:
//
//	stood      the place is gone        enter the queue anew
//	           there is no queue        wait without one
//	           nobody waits             ask at once, without a place
//	           another is before it     watch that one's bell
//	           it is the first          watch the lock; a reader: ask, once
//	           the lock is free         it is the first: ask; else: ask if nobody seems to
//	changed    the lock                 ask the arbiter first; all, if it is gone
//	           the bell                 ask all
//	released   by this engine           nothing: its turn is over; of a permit, if it is the first: ask all
//	questioned, none                    a round of all
//	due                                 look whether there is anything to wait for
//
// After it has asked in vain it has the instance say where it stands.
type inQueue struct {
	*waitLoop
	place    *place
	watch    watch
	before   string    // whose bell is watched; "": the lock is
	looks    bool      // the instance has been asked where it stands, and has not yet told
	idle     string    // who was the first when it was told that the lock is free, although others are before it
	told     int       // how often it has been told so, since another was the first
	ends     time.Time // when the bell that is watched ends, unless its place is kept; zero: it is not known
	rang     time.Time // when the bell that is watched has rung; zero: it has not
	keptAt   time.Time // when it was last told that it has its place
	until    time.Time // when it is time for a round of all
	again    time.Time // when to ask again, after it has asked in vain or for the sake of others; zero: when it is told
	yielding bool      // until then, and without a place, it leaves others a chance
	asked    bool      // it has asked since it is the first
	inVain   bool      // it was told that nobody waits, and has asked in vain
	failures
}

// mayStand reports whether the wait loop may wait in a queue: not one that counts its
// rounds, or whose user says when to ask, nor where it is no holder that stands in the way.
func (c *waitLoop) mayStand() bool {
	now := time.Now()
	if c.refused != nil && !errors.Is(c.refused, ErrHeld) {
		return false
	}
	return c.request.tries == 0 && !c.engine.paced && now.Sub(c.silent) > reassurance && c.engine.queues.supported(now)
}

// stand waits in the queue for the resource. ask says that a round of all is due;
// neither that nor a lease nor an error says that there is no queue.
func (c *waitLoop) stand(ctx context.Context) (l *lease.Lease, ask bool, err error) {
	q := inQueue{waitLoop: c, until: time.Now().Add(patient(c.rounds))}
	if !c.collects.IsZero() {
		q.until = c.collects
	}
	defer func() { q.watch.end() }()
	if !q.enter() {
		return nil, false, nil
	}
	for {
		l, do, err := q.step(ctx)
		if l != nil || err != nil {
			return l, false, err
		}
		switch do {
		case askAll:
			return nil, true, nil
		case waitOutside:
			return nil, false, nil
		}
	}
}

// enter takes a place in the queue, unless there is one already.
func (q *inQueue) enter() bool {
	r := q.request
	if r.place == nil {
		r.inherit(q.engine, q.waiter)
	}
	if q.place = r.place; q.place != nil {
		q.engine.queues.keepPlace(q.place, keepEvery)
		q.askPlace()
		return true
	}
	at := q.engine.arbiter(r.key, nil) // whatever it has voted: all are to stand in one queue
	if at == everybody {
		return false
	}
	q.place = q.engine.queues.enter(r.key, r.lock(), at)
	r.place, q.looks, q.keptAt = q.place, true, time.Time{}
	return true
}

// step waits for one event, and does what is to be done.
func (q *inQueue) step(ctx context.Context) (l *lease.Lease, do action, err error) {
	timer := q.waiter.after(q.rest(time.Now()))
	defer timer.Stop()
	l, what, err := q.event(ctx, q.watch, timer.C)
	switch {
	case l != nil:
		return l, waitOn, nil
	case err != nil && q.refused == nil: // it has not asked yet
		return nil, waitOn, q.interruptedInLine(err)
	case err != nil:
		return nil, waitOn, because(err, q.refused)
	}
	switch what {
	case stood:
		do = q.stood()
	case changed:
		do = q.changed()
	case due:
		do = q.due(time.Now())
	case released:
		do = q.released()
	default:
		do = askAll
	}
	switch do {
	case askArbiter:
		return q.askInTurn(ctx, q.place.at)
	case askInTurn:
		return q.askInTurn(ctx, everybody)
	case askAtOnce:
		return q.askAtOnce(ctx)
	}
	return nil, do, nil
}

// stood takes what the instance has said of the place.
func (q *inQueue) stood() action {
	e, s := q.engine, q.place.look()
	now := time.Now()
	switch s.Kind {
	case instance.Unanswered:
		return waitOn
	case instance.Granted:
		e.queues.drop(q.place)
		q.request.place = nil
		e.fairness.alone(q.request.key, now)
		if q.owes { // others may look from time to time only
			q.owes, q.looks, q.yielding = false, false, true
			q.again = now.Add(e.breakTime(q.request.key))
			return waitOn
		}
		return askAtOnce
	case instance.Gone:
		e.queues.drop(q.place)
		q.request.place = nil
		q.unwatch()
		if !q.enter() {
			return waitOutside
		}
		return waitOn
	case instance.Held, instance.Free:
		q.learn(s, now)
		q.keptAt = now
	default:
		if q.stays(s.Kind, s.Err, now) {
			q.looks = false
			return waitOn
		}
		if s.Kind == instance.Refused && strings.HasPrefix(s.Err.Error(), "NOPERM") { // which is so for every resource
			e.queues.unsupported(q.place, s.Err, now)
		}
		return q.leave()
	}
	if at := e.arbiter(q.request.key, nil); at != q.place.at { // others stand there by now
		return q.enterAnew()
	}
	q.looks, q.inVain, q.owes = false, false, false
	isReader, isFirst := q.request.sharing != nil, s.Before == ""
	if !isReader || !isFirst {
		e.fairness.crowded(q.request.key, now)
	}
	free := s.Kind == instance.Free
	if !free {
		q.idle = ""
	}
	switch {
	case !isFirst:
		q.asked = false
	case !isReader && !free:
		q.keepReadersOut(now)
	}
	switch {
	case isReader && isFirst && !q.asked: // other readers may be in
		return askInTurn
	case q.watch.tracked == nil || s.Before != q.before:
		q.watchFor(s.Before)
	case !q.rang.IsZero() && now.Sub(q.rang) > keepEvery/2: // that place has another bell by now
		q.watchFor(s.Before)
	case free && (s.Before == "" || q.isLeft(s)): // and nobody has told
		q.idle = ""
		q.woken(ByServer)
		return askInTurn
	}
	return waitOn
}

// isLeft reports whether the lock seems to be left to whoever takes it: it is free, and the first in the queue, who is the same
// again and again, does not ask. The second is to be the one who takes it, so that others wait twice as long.
func (q *inQueue) isLeft(s instance.Standing) bool {
	if s.First != q.idle {
		q.idle, q.told = s.First, 0
	}
	q.told++
	enough := 2
	if s.First != s.Before {
		enough = 4
	}
	return s.First != "" && q.told >= enough
}

// changed takes that what is watched has changed: the lock, or the bell. A bell whose life may just have
// been prolonged is watched again: one that is gone tells so once more.
func (q *inQueue) changed() action {
	now := time.Now()
	switch {
	case q.before == "" && q.watch.tracked.IsFree():
		return askInTurn
	case q.before == "":
		return askArbiter
	case !q.ends.IsZero() && q.ends.Sub(now) < placeLife/2+keepSlack:
		q.ends = time.Time{}
		q.rewatch(q.watch)
		return waitOn
	}
	q.rang = now
	if q.engine.fairness.isMixed(q.request.key, now) {
		return askArbiter
	}
	return askInTurn
}

// released takes that the lock was released by this engine, whose turn is over then, or one of the permits: which is another's,
// too, if this is not the first.
func (q *inQueue) released() action {
	if q.request.permits != nil && q.watch.tracked != nil && q.before == "" {
		return askInTurn
	}
	return waitOn
}

// stays reports whether the place may still be there, of which the instance says nothing for a reason that passes: its slot is
// being moved, say. It is asked again when the place is to be kept.
func (q *inQueue) stays(kind instance.Kind, why error, now time.Time) bool {
	return kind == instance.Refused && !instance.IsRefusal(why) && now.Sub(q.keptAt) < placeLife &&
		q.engine.arbiter(q.request.key, nil) == q.place.at
}

// leave gives up the place: it waits without one.
func (q *inQueue) leave() action {
	q.engine.queues.leave(q.place)
	q.request.place = nil
	return waitOutside
}

// enterAnew gives up the place, and takes the last one.
func (q *inQueue) enterAnew() action {
	q.leave()
	q.unwatch()
	q.holder, q.passed = "", 0
	if !q.enter() {
		return waitOutside
	}
	return waitOn
}

// watchFor watches the bell of the place before, or the lock if there is none.
func (q *inQueue) watchFor(before string) {
	q.unwatch()
	key := q.request.lock()
	if before != "" {
		key = q.engine.queues.bell(q.request.key, before)
	}
	q.before, q.rang, q.ends = before, time.Time{}, time.Time{}
	q.watch = watch{seat: q.place.at, at: q.engine.instances[q.place.at], tracked: tracking.NewWatch(key)}
	if before == "" {
		q.watch.tracked.Patient = time.Now().Add(impatience)
	}
	q.rewatch(q.watch)
}

// learn takes in when the lock expires that is watched: its renewals wake nobody.
func (q *inQueue) learn(s instance.Standing, now time.Time) {
	if q.before != "" || q.watch.tracked == nil || s.Kind != instance.Held {
		return
	}
	var expires time.Time
	if s.Left >= 0 {
		expires = now.Add(s.Left)
	}
	q.watch.tracked.Expires(expires)
}

func (q *inQueue) unwatch() {
	q.watch.end()
	q.watch, q.before, q.rang, q.ends, q.again = watch{}, "", time.Time{}, time.Time{}, time.Time{}
}

// askPlace has the instance say where the place stands.
func (q *inQueue) askPlace() {
	q.engine.queues.ask(q.place)
	q.looks = true
}

// rest is how long to wait if nothing happens.
func (q *inQueue) rest(now time.Time) time.Duration {
	rest := max(q.until.Sub(now), 0)
	outlook, expires := q.watch.outlook()
	if outlook == tracking.Promised {
		q.ends = expires
	}
	switch {
	case !q.again.IsZero():
		return max(q.again.Sub(now), 0)
	case q.looks: // that is answered within the instance's timeout
		return time.Hour
	case !q.rang.IsZero(): // what was promised has been kept
		return rest
	case outlook == tracking.Silent: // nobody tells
		return 0
	case outlook == tracking.Asked && q.before == "": // soon it is known when the lock expires
		return min(rest, max(2*time.Millisecond, now.Sub(q.waitLoop.rewatched)), anAnswer)
	case outlook == tracking.Asked:
		return min(rest, anAnswer)
	case outlook == tracking.Promised && !expires.IsZero():
		return min(rest, max(untilExpiry(expires, now), 0))
	}
	return rest
}

// due says what it means that the time is over.
func (q *inQueue) due(now time.Time) action {
	outlook, expires := q.watch.outlook()
	switch {
	case !q.again.IsZero() && q.yielding:
		q.again, q.yielding = time.Time{}, false
		return askAtOnce
	case !q.again.IsZero():
		q.again = time.Time{}
		return askArbiter
	case q.looks:
		return waitOn
	case outlook == tracking.Silent && q.rang.IsZero(): // nobody tells
		q.silent = now
		return q.leave()
	case q.rang.IsZero() && outlook == tracking.Promised && !expires.IsZero() && untilExpiry(expires, now) <= 0:
		if q.before != "" {
			q.rang = now
			q.askPlace()
			return waitOn
		}
		q.woken(ByExpiry)
		return askArbiter
	case q.until.Sub(now) > 0:
		if q.rang.IsZero() {
			q.askAgain(q.watch, now)
		}
		return waitOn
	}
	if !q.collects.IsZero() {
		return askAll
	}
	if q.before == "" && q.engine.queues.mayAskAll(now) { // nobody may have told
		q.rounds++
		q.until = now.Add(patient(q.rounds))
		return askInTurn
	}
	q.until = now.Add(patient(q.rounds))
	return waitOn
}
