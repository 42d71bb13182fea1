package lease

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-go/holdfast/internal/clock"
)

// ledger is what a lease should be, as simply as it can be said: a deadline, and
// the first cause of its end.
type ledger struct {
	control  *Control
	backend  *backend
	deadline time.Time
	limit    time.Time
	cause    error
	dones    []<-chan struct{}
	contexts []context.Context
}

// now notes the end that the clock has brought, whether or not anybody has looked.
func (m *ledger) now() error {
	if m.cause == nil && !time.Now().Before(m.deadline) {
		m.cause = ErrExpired
		if !m.limit.IsZero() && !m.deadline.Before(m.limit) {
			m.cause = ErrMaxHold
		}
	}
	return m.cause
}

func (m *ledger) capped(deadline time.Time) time.Time {
	if !m.limit.IsZero() && deadline.After(m.limit) {
		return m.limit
	}
	return deadline
}

func seconds(t *rapid.T, label string, low, high int) time.Duration {
	return time.Duration(rapid.IntRange(low, high).Draw(t, label)) * time.Second
}

func (m *ledger) grant(t *rapid.T) {
	m.backend = new(backend)
	now := clock.Now()
	if rapid.Bool().Draw(t, "limited") {
		m.limit = now.Time.Add(seconds(t, "limit", 1, 30))
	}
	deadline := now.Add(seconds(t, "validity", 0, 10))
	m.deadline = m.capped(deadline.Time)
	m.control = begun(Grant{Resource: "r", Token: token, Deadline: deadline, Limit: clock.Moment{Time: m.limit, Slept: now.Slept}, Backend: m.backend})
}

func (m *ledger) actions() map[string]func(*rapid.T) {
	l := m.control.Lease()
	return map[string]func(*rapid.T){
		"time passes": func(t *rapid.T) { time.Sleep(seconds(t, "for", 1, 5)) },
		"end": func(t *rapid.T) {
			cause := rapid.SampledFrom([]error{ErrReleased, ErrGone, ErrStolen, ErrClosed}).Draw(t, "cause")
			first := m.now() == nil
			if m.control.End(cause) != first {
				t.Errorf("End says that it was the first: %v", !first)
			}
			if first {
				m.cause = cause
			}
		},
		"prolong": func(t *rapid.T) {
			now := clock.Now()
			to := now.Add(seconds(t, "to", -5, 15))
			held := m.now() == nil
			if m.control.Prolong(to, now) != held {
				t.Errorf("Prolong says that it is held: %v", !held)
			}
			if at := m.capped(to.Time); held && at.After(m.deadline) {
				m.deadline = at
			}
		},
		"look": func(t *rapid.T) {
			cause := m.now()
			if err := l.Err(); err != cause { // the bare cause
				t.Fatalf("Err is %v, want %v", err, cause)
			}
			left := time.Until(m.deadline)
			if cause != nil {
				left = 0
			}
			if l.Valid() != (cause == nil) || l.Remaining() != left {
				t.Errorf("valid %v, for another %v, want %v", l.Valid(), l.Remaining(), left)
			}
			m.told(t, true)
		},
		"take Done": func(*rapid.T) { m.dones = append(m.dones, l.Done()) },
		"take a context": func(t *rapid.T) {
			ctx, cancel := l.Context(t.Context())
			t.Cleanup(cancel)
			m.contexts = append(m.contexts, ctx)
			m.now()
		},
		"": func(t *rapid.T) {
			if !l.Deadline().Equal(m.deadline) {
				t.Errorf("the deadline is %v from where it should be", l.Deadline().Sub(m.deadline))
			}
			m.told(t, m.backend.ended.Load() > 0)
		},
	}
}

// told checks what everybody has been told: of the end, once and all together, when
// it has been noticed, and of nothing before.
func (m *ledger) told(t *rapid.T, noticed bool) {
	ended := noticed && m.now() != nil
	if n := m.backend.ended.Load(); n > 1 || (n == 1) != ended {
		t.Errorf("the backend was told %d times, ended: %v", n, ended)
	}
	for _, done := range m.dones {
		if closed(done) != ended {
			t.Errorf("Done is closed: %v", !ended)
		}
	}
	for _, ctx := range m.contexts {
		if cause := context.Cause(ctx); (cause != nil) != ended || ended && cause != m.cause { // the bare cause
			t.Errorf("a context's cause is %v, want %v", cause, m.cause)
		}
	}
}

func TestLeaseDoesWhatItsLedgerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) { // hides the T's Deadline, which a bubble forbids
			var m ledger
			m.grant(t)
			t.Repeat(m.actions())
		})
	})
}
