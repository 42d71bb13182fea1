package engine

import "time"

// wakeup says by what a wait loop was told that the lock may be free, and when: a
// handover takes from then until it is granted. The zero value: it was not told
// since it last looked.
type wakeup struct {
	by Waker
	at time.Time
}

// woken notes a wake-up, if anybody wants to know.
func (c *waitLoop) woken(by Waker) {
	if c.engine.cfg.Trace.Woken != nil {
		c.wakeup = wakeup{by, time.Now()}
	}
}

// looked reports what came of a round, if c was told to look.
func (c *waitLoop) looked(err error) {
	if !c.wakeup.at.IsZero() {
		c.engine.telling.woken(c.request.resource, c.wakeup.by, time.Since(c.wakeup.at), err == nil)
		c.wakeup = wakeup{}
	}
}
