package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// Numbers that an engine has reserved in vain at one instance are below its next proposal, too. Far away, where
// a round takes about as long as what is reserved, its own numbers would else refuse it at one instance after
// the other.
func TestNumbersReservedInVainAreLearnt(t *testing.T) {
	cfg := config()
	cfg.LocalHandoff = 1 << 16
	cfg.Backoff = func() engine.Backoff { return backoff.NewConstantBackOff(time.Millisecond) }
	simulate(t, 2, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Latency(5*time.Millisecond, 5*time.Millisecond) })
		time.Sleep(time.Second)
		ahead := time.Now().Add(10 * time.Millisecond).UnixMicro()
		fleet.Servers[0].SetFence("", "r", uint64(ahead))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		l, err := e.Acquire(ctx, "r", engine.WithFencing())
		if err != nil {
			t.Fatalf("e.Acquire: %v after %v, want a lease", err, time.Since(begun))
		}
		release(t, l)
	})
}
