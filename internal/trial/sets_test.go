package trial

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// mostRounds is more than an AcquireAll asks in a few seconds, if it pauses when it should.
const mostRounds = 3000

// allOf has an engine wait for some resources until the context ends, and breaks it off when it asks without end, since
// then no time passes here.
func allOf(ctx context.Context, t *testing.T, fleet *sim.Fleet, resources ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var rounds atomic.Int64
	e, err := engine.New(fleet.Instances(instance.Config{}), engine.Config{Trace: &engine.Trace{Round: func(engine.RoundInfo) {
		if rounds.Add(1) == mostRounds {
			stop()
		}
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AwaitQuorum(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := e.AcquireAll(ctx, resources); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("all of %q: %v", resources, err)
	}
	if err := e.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := rounds.Load(); n >= mostRounds {
		t.Errorf("all of %q: it has asked %d times", resources, n)
	}
}

// TestArbitersThatSendToEachOther: each of two resources is held, but not at the arbiter of the other, which a waiter is
// sent to each time.
func TestArbitersThatSendToEachOther(t *testing.T) {
	for pair := range 6 { // of some, one server is the arbiter of both
		for place := range 3 {
			t.Run(fmt.Sprintf("pair %d, server %d", pair, place), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					fleet := sim.NewNative(t, 3)
					x, y := fmt.Sprintf("x%d", pair), fmt.Sprintf("y%d", pair)
					for k, s := range fleet.Servers {
						if k == place {
							s.Set(y, "somebody's", time.Hour)
						} else {
							s.Set(x, "somebody's", time.Hour)
						}
					}
					ctx, over := context.WithTimeout(t.Context(), 500*time.Millisecond)
					defer over()
					allOf(ctx, t, fleet, x, y)
				})
			})
		}
	}
}

// TestKeptLocksThatDoNotHelp: an AcquireAll gets all locks one by one, on majorities that have none in common that is whole.
func TestKeptLocksThatDoNotHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet := sim.NewNative(t, 3)
		fleet.Servers[0].Set("x", "somebody's", time.Hour)
		fleet.Servers[1].Set("y", "somebody's", time.Hour)
		ctx, over := context.WithTimeout(t.Context(), 5*time.Second)
		defer over()
		allOf(ctx, t, fleet, "x", "y")
		fleet.Each(func(s *sim.Server) {
			for _, key := range s.Keys() {
				if holder := s.Get(key); holder != "somebody's" {
					t.Errorf("%s has %q", s.Name(), key)
				}
			}
		})
	})
}
