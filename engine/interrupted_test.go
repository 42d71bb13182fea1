package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// overAfter is a context that has ended when so many commands have been executed,
// and nobody has been told of it yet.
type overAfter struct {
	context.Context
	commands *atomic.Int32
	most     int32
}

func (c overAfter) Err() error {
	if c.commands.Load() >= c.most {
		return context.Canceled
	}
	return c.Context.Err()
}

// The round is over and refused when the context ends, before the next one: the
// error has both. There is one instance, so that a round is over when it has been
// asked, and not before: with more, a quorum decides, and the others may be late.
func TestAcquireWhoseContextEndsRightAfterARoundSaysBoth(t *testing.T) {
	for _, rounds := range []int32{1, 2} {
		simulate(t, 1, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
			asked := new(atomic.Int32)
			fleet.Each(func(s *sim.Server) {
				s.Set("r", "somebody else", time.Hour)
				s.Observe(func(e sim.Event) {
					if e.Verb == "acquire" {
						asked.Add(1)
					}
				})
			})
			_, err := e.Acquire(overAfter{t.Context(), asked, rounds}, "r")
			isAll(t, err, context.Canceled, engine.ErrHeld)
			isNone(t, err, engine.ErrNoQuorum)
			if n := asked.Load(); n != rounds {
				t.Errorf("it was asked %d times, want %d", n, rounds)
			}
		})
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
			t.Errorf("e.Close: %v", err)
		}
		r := got(t, next)
		isAll(t, r.err, engine.ErrClosed, engine.ErrHeld)
	})
}
