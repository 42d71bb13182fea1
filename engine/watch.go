package engine

import (
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

// watch waits at the arbiter, for as long as one contest waits. The zero
// value watches nothing.
type watch struct {
	place   int
	at      *instance.Instance
	tracked *tracking.Watch
}

// watchArbiter watches the lock at the arbiter: where it was seen in the last
// round, or nowhere, if nobody is known to hold it.
func (c *contest) watchArbiter() watch {
	place := everybody
	var q *QuorumError
	if errors.As(c.refused, &q) && errors.Is(q, ErrHeld) {
		place = c.engine.arbiter(c.request.key, q.Votes)
	}
	if c.watch.tracked == nil || c.watch.place != place {
		c.watch.end()
		c.watch = watch{}
		if place == everybody {
			return c.watch
		}
		c.watch = watch{place: place, at: c.engine.instances[place], tracked: tracking.NewWatch(c.request.key)}
	}
	c.ask(c.watch)
	return c.watch
}

// ask asks to be told, once.
func (c *contest) ask(w watch) {
	c.asked = time.Now()
	w.at.Watch(w.tracked)
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
