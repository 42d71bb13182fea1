package lease

import (
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
)

// Control is the other end of a Lease, as a cancel func is of a context. It is for the
// engine, which ends the lease and moves its deadline through it; a user never needs
// one. The zero value's Lease has never been held.
type Control struct{ lease Lease }

// Grant is what a new lease starts from. It is for the engine.
type Grant struct {
	Resource  string
	Resources []string // all of them, if they are several, of which Resource is the first; nil: it is one
	Slots     []int    // of the permits, in ascending order; nil: it is of none
	Shared    bool     // others hold it as well
	Token     string
	Fence     uint64       // 0: none
	Deadline  clock.Moment // counted from a moment before the first message left
	Limit     clock.Moment // no renewal or extension moves the deadline past it; zero: no limit
	Backend   Backend
}

// Begin makes c, which is new, the Control of a lease that is held from now on.
func (c *Control) Begin(g Grant) {
	l := &c.lease
	l.resource, l.token, l.backend = g.Resource, g.Token, g.Backend
	if g.Fence != 0 || !g.Limit.IsZero() || g.Resources != nil || g.Slots != nil || g.Shared {
		l.special = &special{fence: g.Fence, limit: g.Limit, shared: g.Shared}
	}
	if g.Resources != nil || g.Slots != nil {
		l.special.parts = &parts{g.Resources, g.Slots}
	}
	l.deadline = l.capped(g.Deadline)
}

// Backend returns what the lease was begun with.
func (c *Control) Backend() Backend { return c.lease.backend }

// BackendOf returns what a lease was begun with: nil for one that nobody has made. It is for the engine.
func BackendOf(l *Lease) Backend { return l.backend }

// Lease returns the user's end.
func (c *Control) Lease() *Lease { return &c.lease }

// End ends the lease and reports whether this call was the one that did. When
// the deadline has passed already, the cause is that, whatever the caller says:
// the first cause wins even if nobody had noticed it yet.
func (c *Control) End(cause error) bool {
	because, byDeadline := c.finish(cause, clock.Sample()) // enough for something that ends it in any case
	if because != nil {
		c.lease.owner().Ended(because)
	}
	return because != nil && !byDeadline
}

// Finish is End at the given moment, but leaves it to the caller to tell the
// Backend: a caller that ends many leases ends all of them first. It returns the cause that
// Ended is to be called with, or nil when the lease had ended before.
func (c *Control) Finish(cause error, now clock.Moment) (because error) {
	because, _ = c.finish(cause, now)
	return because
}

func (c *Control) finish(cause error, now clock.Moment) (because error, byDeadline bool) {
	l := &c.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	if first, err := l.errAt(now); err != nil {
		if first {
			return err, true
		}
		return nil, false
	}
	l.end(cause)
	return cause, false
}

// Prolong moves the deadline to the given moment, if that is later, and reports
// whether the lease is still held now: a confirmation that arrives after the
// deadline never revives it.
func (c *Control) Prolong(deadline, now clock.Moment) bool {
	l := &c.lease
	l.mu.Lock()
	first, err := l.errAt(now)
	if deadline = l.capped(deadline); err == nil && deadline.Later(l.deadline) {
		l.deadline = deadline
	}
	l.mu.Unlock()
	if first {
		l.owner().Ended(err)
	}
	return err == nil
}

// Deadline returns when the validity ends, on all clocks.
func (c *Control) Deadline() clock.Moment {
	l := &c.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline
}

// Left returns how long after now the deadline is, by the clock on which it
// comes first, and whether renewing can still move it: not when it has reached
// the limit.
func (c *Control) Left(now clock.Moment) (left time.Duration, more bool) {
	l := &c.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline.Until(now), !l.atLimit()
}

// Limit returns the moment that the deadline never passes; zero: there is none.
func (c *Control) Limit() clock.Moment {
	if s := c.lease.special; s != nil {
		return s.limit
	}
	return clock.Moment{}
}

func (l *Lease) capped(deadline clock.Moment) clock.Moment {
	if s := l.special; s != nil && !s.limit.IsZero() && s.limit.Until(deadline) < 0 {
		return s.limit
	}
	return deadline
}

// Format keeps the token out of every verb of package fmt.
func (c *Control) Format(s fmt.State, _ rune) { fmt.Fprint(s, c.lease.String()) }

// Format keeps the token out of every verb of package fmt.
func (g Grant) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "grant of %q", g.Resource) }
