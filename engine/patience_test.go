package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

// What ends an acquire under WithWait looks like a deadline of the caller's own, but
// the caller's context has not ended.
func TestWithWaitEndsTheWaiting(t *testing.T) {
	for _, c := range []struct {
		name  string
		block func(*testing.T, *sim.Fleet, *engine.Engine)
		want  error
	}{
		{"for another process", func(_ *testing.T, fleet *sim.Fleet, _ *engine.Engine) {
			fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		}, engine.ErrHeld},
		{"for a holder in the same engine", func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
			acquire(t, e, "r")
		}, engine.ErrHeld},
		{"in line", func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
			acquire(t, e, "r")
			acquiring(t.Context(), e, "r")
			synctest.Wait()
		}, engine.ErrHeld},
		{"for a quorum", func(_ *testing.T, fleet *sim.Fleet, _ *engine.Engine) {
			fleet.Each((*sim.Server).Hang)
		}, engine.ErrNoQuorum},
	} {
		t.Run(c.name, func(t *testing.T) {
			var traced context.Context
			cfg := config()
			cfg.Trace = &engine.Trace{Acquired: func(ctx context.Context, a engine.AcquiredInfo) {
				if a.Err != nil {
					traced = ctx
				}
			}}
			simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				c.block(t, fleet, e)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				asked := time.Now()
				l, err := e.Acquire(ctx, "r", engine.WithWait(3*time.Second))
				between(t, "the waiting", time.Since(asked), 3*time.Second, 3*time.Second)
				if l != nil || ctx.Err() != nil {
					t.Errorf("%v, and the caller's context: %v", l, ctx.Err())
				}
				isAll(t, err, context.DeadlineExceeded, c.want)
				if got := engine.Outcome(err); got != "timeout" {
					t.Errorf("the outcome is %s", got)
				}
				if err != nil && !strings.Contains(err.Error(), "not within 3s (WithWait)") {
					t.Errorf("it does not say what has ended it: %v", err)
				}
				if traced == nil || traced.Err() != nil {
					t.Error("the trace does not get the caller's own context")
				}
			})
		})
	}
}

// The sooner of the two ends the waiting, and it is told which.
func TestWithWaitDoesNotProlongTheCallersContext(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		asked := time.Now()
		_, err := e.Acquire(ctx, "r", engine.WithWait(3*time.Second))
		between(t, "the waiting", time.Since(asked), time.Second, time.Second)
		isAll(t, err, context.DeadlineExceeded, engine.ErrHeld)
		if strings.Contains(err.Error(), "WithWait") {
			t.Errorf("got %v, want no word of WithWait", err)
		}

		reason := errors.New("a reason")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(reason) })
		_, err = e.Acquire(ctx, "r", engine.WithWait(3*time.Second))
		isAll(t, err, context.Canceled, reason, engine.ErrHeld)
		isNone(t, err, context.DeadlineExceeded)
	})
}

// An acquire that got the lock in time is bounded by nothing any more.
func TestWithWaitBoundsNeitherTheLeaseNorTheWork(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Second) })
		err := e.Do(t.Context(), "r", func(ctx context.Context) error {
			if deadline, any := ctx.Deadline(); any {
				t.Errorf("the work has a deadline: %v", deadline)
			}
			time.Sleep(5 * ttl)
			return ctx.Err()
		}, engine.WithWait(3*time.Second))
		if err != nil {
			t.Errorf("e.Do: %v", err)
		}
		empty(t, fleet, "r")

		l := acquire(t, e, "other", engine.WithWait(time.Millisecond))
		time.Sleep(5 * ttl)
		if !l.Valid() {
			t.Errorf("the lease has ended: %v", l.Err())
		}
	})
}

// Those that do not wait for others wait for servers, and no longer either.
func TestWithWaitBoundsOneRound(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each((*sim.Server).Hang)
		for name, ask := range map[string]func(engine.Option) error{
			"TryAcquire": func(o engine.Option) error { _, err := e.TryAcquire(t.Context(), "r", o); return err },
			"Adopt":      func(o engine.Option) error { _, err := e.Adopt(t.Context(), "r", "token", o); return err },
		} {
			asked := time.Now()
			err := ask(engine.WithWait(10 * time.Millisecond))
			between(t, name, time.Since(asked), 10*time.Millisecond, 10*time.Millisecond)
			isAll(t, err, context.DeadlineExceeded, engine.ErrNoQuorum)
			isNone(t, err, engine.ErrHeld)
		}
	})
}

func TestTryDoRunsItsFunctionOnlyWhenTheLockIsFree(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "r")
		asked := time.Now()
		err := e.TryDo(t.Context(), "r", func(context.Context) error {
			t.Error("called without the lock")
			return nil
		})
		isAll(t, err, engine.ErrHeld)
		between(t, "the refusal", time.Since(asked), 0, 0)
		release(t, held)

		wrong, calls := errors.New("wrong"), 0
		err = e.TryDo(t.Context(), "r", func(ctx context.Context) error {
			calls++
			synctest.Wait()
			if fleet.Count("r", "") != 0 || len(e.Leases()) != 1 {
				t.Error("it is not held")
			}
			fleet.Each((*sim.Server).Forget)
			<-ctx.Done()
			isAll(t, context.Cause(ctx), lease.ErrGone)
			return wrong
		})
		isAll(t, err, wrong, lease.ErrGone)
		if calls != 1 {
			t.Errorf("called %d times", calls)
		}
		empty(t, fleet, "r")
	})
}
