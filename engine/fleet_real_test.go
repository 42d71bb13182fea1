package engine_test

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// Very many engines lose a server at one moment, and all want it back at one moment. They do not keep each other from it.
func TestAServerThatIsRestartedGetsAllItsEnginesBack(t *testing.T) {
	t.Parallel()
	const engines = 200
	s := redistest.Start(t)
	var all []*engine.Engine
	for range engines {
		all = append(all, enginetest.Open(t, []*redistest.Server{s}, engine.Config{}))
	}
	id := s.RunID()
	s.Kill()
	s.Restart()
	deadline := time.Now().Add(30 * time.Second)
	for n, e := range all {
		for {
			h := e.Instances()[0]
			if h.RunID != id && (h.State == instance.Up || h.State == instance.Quarantined) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("engine %d of %d is not back after 30s: it is %v: %v", n+1, engines, h.State, h.Err)
			}
			time.Sleep(5 * time.Millisecond) // between two looks
		}
	}
	if conns := s.Stat("stats", "total_connections_received"); conns > 4*engines {
		t.Errorf("%d engines took %d connections to come back", engines, conns)
	}
}
