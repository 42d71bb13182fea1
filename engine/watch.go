package engine

import (
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

// watch waits at the arbiter, for as long as one wait loop waits. The zero
// value watches nothing.
type watch struct {
	seat    int
	at      *instance.Instance
	tracked *tracking.Watch
}

// watchArbiter watches the lock at the arbiter: where it was seen in the last
// round, or nowhere, if nobody is known to hold it.
func (c *waitLoop) watchArbiter() watch {
	seat := everybody
	var q *QuorumError
	if errors.As(c.refused, &q) && errors.Is(q, ErrHeld) {
		seat = c.engine.arbiter(c.request.key, q.Votes)
	}
	if c.watch.tracked == nil || c.watch.seat != seat {
		c.watch.end()
		c.watch = watch{}
		if seat == everybody {
			return c.watch
		}
		c.watch = watch{seat: seat, at: c.engine.instances[seat], tracked: tracking.NewWatch(c.request.key)}
	}
	c.rewatch(c.watch)
	return c.watch
}

// rewatch asks to be told, once.
func (c *waitLoop) rewatch(w watch) {
	c.rewatched = time.Now()
	w.at.Watch(w.tracked)
}

// askAgain asks anew if a node of a cluster has not said that it will tell: its slot is being moved. (A watch that has changed, and
// is looked at first, waits for its time: to ask anew would make of a small tracking table a storm.)
func (c *waitLoop) askAgain(w watch, now time.Time) {
	if w.tracked != nil && w.tracked.IsUnsaid() && now.Sub(c.rewatched) >= anAnswer {
		c.rewatch(w)
	}
}

func (w watch) end() {
	if w.tracked != nil {
		w.at.Unwatch(w.tracked)
	}
}

func (w watch) changed() <-chan struct{} {
	if w.tracked == nil {
		return nil
	}
	return w.tracked.C
}

func (w watch) outlook() (o tracking.Outlook, expires time.Time) {
	if w.tracked == nil {
		return tracking.Silent, time.Time{}
	}
	return w.tracked.Outlook()
}

// judge says what it means that the time that was set is over, and how much longer
// to wait if it is early. It is due where rounds are counted or paced by the user's
// own Backoff, and where nobody tells. The lock may have expired: so that it is
// worth a try.
func (c *waitLoop) judge(v watch, until time.Time) (what event, rest time.Duration) {
	now := time.Now()
	rest = until.Sub(now)
	outlook, expires := v.outlook()
	switch {
	case outlook == tracking.Silent || c.isPaced() || rest <= 0:
		return due, 0
	case outlook == tracking.Asked:
		c.askAgain(v, now)
		return early, min(rest, anAnswer)
	}
	if !expires.IsZero() {
		left := untilExpiry(expires, now)
		if left <= 0 {
			c.woken(ByExpiry)
			return expired, 0
		}
		rest = min(rest, left)
	}
	if now.Sub(c.rewatched) >= reassurance {
		c.rewatch(v)
		return early, min(rest, anAnswer)
	}
	return early, min(rest, reassurance-now.Sub(c.rewatched))
}

// untilExpiry is how long it takes until a lock that expires then is gone: Redis
// counts in milliseconds. Time.Sub knows no sum that is too large.
func untilExpiry(expires, now time.Time) time.Duration {
	return expires.Add(time.Millisecond).Sub(now)
}

// refusedBy reports whether it was this one alone that refused, without the
// others having been asked, because somebody holds the lock there. One that minds
// the proposed fence is no arbiter: the lock may be free there, and to be told so
// again at once would never end.
func refusedBy(err error, seat int) bool {
	var q *QuorumError
	return errors.As(err, &q) && q.Votes[seat].Kind == instance.Held
}
