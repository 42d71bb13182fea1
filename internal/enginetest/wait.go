package enginetest

import (
	"testing"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// Wait acquires on a goroutine of its own, and returns when the servers have promised to tell when to look again. The
// channel gets the lease, or nil when the acquire has failed.
func Wait(t testing.TB, e *engine.Engine, servers []*redistest.Server, resource string) <-chan *lease.Lease {
	t.Helper()
	got := make(chan *lease.Lease, 1)
	before := Tracked(servers)
	go func() {
		l, err := e.Acquire(testkit.Within(t), resource)
		if err != nil {
			t.Errorf("wait for %q: %v", resource, err)
		}
		got <- l
	}()
	testkit.Eventually(t, "somebody is to be told of "+resource, func() bool { return Tracked(servers) > before })
	return got
}

// Tracked returns how many keys somebody is to be told of.
func Tracked(servers []*redistest.Server) (keys int) {
	for _, s := range servers {
		keys += s.Stat("stats", "tracking_total_keys")
	}
	return keys
}
