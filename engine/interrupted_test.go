package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// The round is over and refused when the context ends, before the next one: the
// error has both.
func TestAcquireWhoseContextEndsRightAfterARoundSaysBoth(t *testing.T) {
	for _, rounds := range []int{1, 2} {
		ctx, cancel := context.WithCancel(context.Background())
		cfg := config()
		seen := 0
		cfg.Trace = &engine.Trace{Round: func(_ string, _ []instance.Vote, _ time.Duration, _ error) {
			if seen++; seen == rounds {
				cancel()
			}
		}}
		simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) })
			_, err := e.Acquire(ctx, "r")
			isAll(t, err, context.Canceled, engine.ErrHeld)
			isNone(t, err, engine.ErrNoQuorum)
		})
		cancel()
	}
}

// Close comes while the answers of the first round are on their way.
func TestAcquireThatIsRefusedWhileTheEngineClosesSaysBoth(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) {
			s.Set("r", "somebody else", time.Hour)
			s.Latency(0, 50*time.Millisecond)
		})
		next := acquiring(t.Context(), e, "r")
		synctest.Wait()
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		r := got(t, next)
		isAll(t, r.err, engine.ErrClosed, engine.ErrHeld)
	})
}
