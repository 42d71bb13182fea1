package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
)

func TestFirstCauseWins(t *testing.T) {
	c, b := held(time.Hour)
	if !c.End(ErrStolen) {
		t.Error("the first End was not the first")
	}
	for _, later := range []error{ErrReleased, ErrClosed, ErrStolen} {
		if c.End(later) {
			t.Errorf("End(%v) ended it again", later)
		}
	}
	if err := c.Lease().Err(); err != ErrStolen { // the bare cause
		t.Errorf("Err is %v", err)
	}
	if b.ended.Load() != 1 || b.cause.Load() != ErrStolen {
		t.Errorf("the backend was told %d times, %v", b.ended.Load(), b.cause.Load())
	}
}

func TestDeadlineThatPassedUnnoticedWinsOverALaterCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := held(time.Second)
		time.Sleep(time.Second)
		if c.End(ErrReleased) {
			t.Error("End was the first though the deadline had passed")
		}
		if err := c.Lease().Err(); !errors.Is(err, ErrExpired) {
			t.Errorf("Err is %v", err)
		}
		if b.ended.Load() != 1 || b.cause.Load() != ErrExpired {
			t.Errorf("the backend was told %d times, %v", b.ended.Load(), b.cause.Load())
		}
	})
}

func TestErrReadsTheClockBeforeAnyTimerFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // there is no timer at all: nobody keeps this lease
		c, b := held(time.Second)
		l := c.Lease()
		time.Sleep(time.Second - 1)
		if l.Err() != nil || !l.Valid() || l.Remaining() != 1 {
			t.Errorf("too early: %v, %v left", l.Err(), l.Remaining())
		}
		time.Sleep(time.Nanosecond)
		if !errors.Is(l.Err(), ErrExpired) || l.Valid() || l.Remaining() != 0 {
			t.Errorf("at the deadline: %v, %v left", l.Err(), l.Remaining())
		}
		if !closed(l.Done()) {
			t.Error("Done is open")
		}
		if b.ended.Load() != 1 {
			t.Errorf("the backend was told %d times", b.ended.Load())
		}
	})
}

func TestQuestionsOtherThanErrNoticeTheDeadlineToo(t *testing.T) {
	for name, ask := range map[string]func(*Control) bool{
		"Valid":     func(c *Control) bool { return !c.Lease().Valid() },
		"Remaining": func(c *Control) bool { return c.Lease().Remaining() == 0 },
		"String":    func(c *Control) bool { return c.Lease().String() != "" },
		"Context": func(c *Control) bool {
			ctx, cancel := c.Lease().Context(context.Background())
			defer cancel()
			return ctx.Err() != nil
		},
		"Prolong": func(c *Control) bool { return !c.Prolong(clock.Now().Add(time.Hour), clock.Now()) },
		"End":     func(c *Control) bool { return !c.End(ErrReleased) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, b := held(time.Second)
				done := c.Lease().Done()
				time.Sleep(2 * time.Second)
				if !ask(c) {
					t.Error("wrong answer")
				}
				if !closed(done) || b.cause.Load() != ErrExpired {
					t.Error("it did not end the lease")
				}
			})
		})
	}
}

func TestProlongMovesTheDeadlineOnlyForward(t *testing.T) {
	c, _ := held(time.Hour)
	l := c.Lease()
	first, now := l.deadline, clock.Now()
	if !c.Prolong(first.Add(-time.Minute), now) || !l.Deadline().Equal(first.Time) {
		t.Error("it was shortened")
	}
	if !c.Prolong(first.Add(time.Minute), now) || !l.Deadline().Equal(first.Time.Add(time.Minute)) {
		t.Error("it was not prolonged")
	}
}

func TestProlongAfterTheEndRevivesNothing(t *testing.T) {
	t.Run("after the deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := held(time.Second)
			deadline := c.Lease().Deadline()
			time.Sleep(time.Second)
			if c.Prolong(clock.Now().Add(time.Hour), clock.Now()) || !c.Lease().Deadline().Equal(deadline) {
				t.Error("revived")
			}
			if !errors.Is(c.Lease().Err(), ErrExpired) {
				t.Errorf("the lease ended with %v, want %v", c.Lease().Err(), ErrExpired)
			}
		})
	})
	t.Run("after a release", func(t *testing.T) {
		c, _ := held(time.Hour)
		deadline := c.lease.deadline
		c.End(ErrReleased)
		if c.Prolong(deadline.Add(time.Hour), clock.Now()) || !c.Lease().Deadline().Equal(deadline.Time) {
			t.Error("revived")
		}
	})
}

func TestLimitCapsTheDeadlineAndIsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(backend)
		now := clock.Now()
		limit := now.Add(10 * time.Second)
		c := begun(Grant{Resource: "r", Token: token, Deadline: now.Add(5 * time.Second), Limit: limit, Backend: b})
		if _, more := c.Left(now); !more {
			t.Error("at the limit from the beginning")
		}
		prolonged := c.Prolong(now.Add(time.Hour), now)
		if left, more := c.Left(now); !prolonged || more || left != 10*time.Second || !c.Lease().Deadline().Equal(limit.Time) {
			t.Errorf("the deadline is %v, %v left", c.Lease().Deadline(), left)
		}
		time.Sleep(10 * time.Second)
		if err := c.Lease().Err(); !errors.Is(err, ErrMaxHold) || !errors.Is(err, ErrLost) || errors.Is(err, ErrExpired) {
			t.Errorf("the lease ended with %v, want ErrMaxHold, which is a loss", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		now := clock.Now()
		c := begun(Grant{Resource: "r", Deadline: now.Add(time.Hour), Limit: now.Add(time.Second), Backend: new(backend)})
		if _, more := c.Left(now); more || !c.Lease().Deadline().Equal(now.Time.Add(time.Second)) {
			t.Error("a grant longer than the limit is not cut")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		now := clock.Now()
		c := begun(Grant{Resource: "r", Deadline: now.Add(time.Second), Limit: now.Add(time.Hour), Backend: new(backend)})
		time.Sleep(time.Second)
		if err := c.Lease().Err(); !errors.Is(err, ErrExpired) {
			t.Errorf("it ended before the limit with %v", err)
		}
	})
}

func TestEndedIsToldOnceByWhoeverNoticesFirst(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			c, b := held(time.Second)
			l := c.Lease()
			var firsts atomic.Int32
			for n := range 8 {
				go func() { // all at the very instant of the deadline, or just before
					time.Sleep(time.Second - time.Duration(n/4))
					switch n % 4 {
					case 0:
						_ = l.Err()
					case 1:
						if c.End(ErrReleased) {
							firsts.Add(1)
						}
					case 2:
						c.Prolong(clock.Now().Add(1), clock.Now())
					case 3:
						_, cancel := l.Context(t.Context())
						cancel()
					}
				}()
			}
			time.Sleep(2 * time.Second)
			cause := l.Err()
			if b.ended.Load() != 1 || b.cause.Load() != cause {
				t.Fatalf("the backend was told %d times, %v; Err is %v", b.ended.Load(), b.cause.Load(), cause)
			}
			if n := firsts.Load(); n > 1 || (n == 1) != errors.Is(cause, ErrReleased) {
				t.Fatalf("%d calls of End ended it, and Err is %v", n, cause)
			}
		})
	}
}
