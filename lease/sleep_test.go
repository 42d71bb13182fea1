package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
)

func TestLeaseEndsWhenTheMachineHasSleptBeyondTheDeadline(t *testing.T) {
	for name, ask := range map[string]func(*Control) bool{
		"Err":       func(c *Control) bool { return errors.Is(c.Lease().Err(), ErrExpired) },
		"Valid":     func(c *Control) bool { return !c.Lease().Valid() },
		"Remaining": func(c *Control) bool { return c.Lease().Remaining() == 0 },
		"Prolong":   func(c *Control) bool { now := clock.Now(); return !c.Prolong(now.Add(time.Hour), now) },
		"End":       func(c *Control) bool { return !c.End(ErrReleased) },
		"Context": func(c *Control) bool {
			ctx, cancel := c.Lease().Context(context.Background())
			defer cancel()
			return ctx.Err() != nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // no other clock moves
				c, b := held(time.Minute)
				clock.Inject(time.Minute - time.Second)
				if left := c.Lease().Remaining(); left != time.Second || c.Lease().Err() != nil {
					t.Fatalf("%v left, %v", left, c.Lease().Err())
				}
				clock.Inject(time.Second)
				if !ask(c) {
					t.Error("wrong answer")
				}
				if b.cause.Load() != ErrExpired {
					t.Error("it did not end the lease")
				}
			})
		})
	}
}

func TestLeaseGrantedAfterTheMachineSleptIsNotTouchedByThat(t *testing.T) {
	clock.Inject(time.Hour)
	c, _ := held(time.Minute)
	if err := c.Lease().Err(); err != nil {
		t.Errorf("c.Lease: %v", err)
	}
	now := clock.Now()
	if !c.Prolong(now.Add(time.Hour), now) || c.Lease().Remaining() < 59*time.Minute {
		t.Errorf("%v left after it was prolonged", c.Lease().Remaining())
	}
}

func TestLimitCountsSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock.Now()
		c := begun(Grant{Resource: "r", Deadline: now.Add(time.Minute), Limit: now.Add(time.Hour), Backend: new(backend)})
		clock.Inject(30 * time.Second)
		now = clock.Now()
		c.Prolong(now.Add(2*time.Hour), now)
		if left, more := c.Left(now); left != time.Hour-30*time.Second || more {
			t.Errorf("%v left, more: %v", left, more)
		}
		clock.Inject(time.Hour)
		if err := c.Lease().Err(); !errors.Is(err, ErrMaxHold) {
			t.Errorf("c.Lease: got %v, want %v", err, ErrMaxHold)
		}
	})
}

// BenchmarkErr is what a holder pays to ask whether it still holds.
func BenchmarkErr(b *testing.B) {
	c, _ := held(time.Hour)
	for b.Loop() {
		_ = c.Lease().Err()
	}
}
