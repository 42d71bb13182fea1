package engine

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// pause is how long to wait until the next round, if nothing happens before.
func (c *waitLoop) pause(ctx context.Context) (pause time.Duration, err error) {
	if !c.engine.paced {
		pause = c.nextPause()
	} else if pause, err = c.nextOfTheUsers(ctx); err != nil {
		return 0, because(err, c.refused)
	}
	if pause < 0 { // it says so, or a time that has grown beyond what can be counted
		return 0, c.refused
	}
	return soonest(c.refused, pause), nil
}

func (c *waitLoop) nextPause() time.Duration {
	if c.pauses == nil {
		if c.pauses = c.engine.cfg.Backoff(); c.pauses == nil {
			c.pauses = defaultBackoff()
		}
	}
	return c.pauses.NextBackOff()
}

// nextOfTheUsers is nextPause on a goroutine of its own, which is left behind when
// ctx ends, or the engine, while the user's Backoff has not returned.
func (c *waitLoop) nextOfTheUsers(ctx context.Context) (time.Duration, error) {
	apart := &waitLoop{engine: c.engine, pauses: c.pauses}
	next := make(chan time.Duration, 1) // one slot: sent to once, perhaps when nobody waits any more
	go func() { next <- apart.nextPause() }()
	select {
	case pause := <-next:
		c.pauses = apart.pauses
		return pause, nil
	case <-ctx.Done():
		return 0, ended(ctx)
	case <-c.engine.closing.Done():
		return 0, ErrClosed
	}
}

// soonest shortens a pause to when the lock that stands in the way expires.
func soonest(err error, pause time.Duration) time.Duration {
	var q *QuorumError
	if !errors.As(err, &q) {
		return pause
	}
	for _, v := range q.Votes {
		if v.Kind == instance.Held && v.Left >= 0 && v.Left < pause-time.Millisecond {
			pause = v.Left + time.Millisecond
		}
	}
	return pause
}
