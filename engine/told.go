package engine

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// told is by whom a contest was told that the lock may be free, and when: a
// handover takes from then until it is granted. The zero value is nobody, since
// it last looked.
type told struct {
	by Waker
	at time.Time
}

// hears notes it, if anybody wants to know.
func (c *contest) hears(by Waker) {
	if c.engine.cfg.Trace.Woken != nil {
		c.told = told{by, time.Now()}
	}
}

// looked reports what came of a round, if c was told to look.
func (c *contest) looked(err error) {
	if !c.told.at.IsZero() {
		c.engine.cfg.Trace.Woken(c.request.resource, c.told.by, time.Since(c.told.at), err == nil)
		c.told = told{}
	}
}

// inherits takes what was left to c by who released the lock here: a lease, for which
// it need not look, or the question that is on its way. A caller whose context has
// ended is no heir: the lease is kept for the next in line, and stop says why.
func (c *contest) inherits(ctx context.Context, b bequest) (l *lease.Lease, what event, stop error) {
	switch {
	case b.holding != nil && ctx.Err() != nil:
		c.unwanted = b.holding
		return nil, none, ended(ctx)
	case b.holding != nil:
		if c.engine.cfg.Trace.Woken != nil {
			c.engine.cfg.Trace.Woken(c.request.resource, ByRelease, 0, true)
		}
		return b.holding.lease(), none, nil
	case b.question.attempt != nil:
		c.hears(ByRelease)
		c.request.asked = b.question
		return nil, asked, nil
	}
	return nil, none, nil
}
