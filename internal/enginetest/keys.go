package enginetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// Everywhere waits until every server has the lease's key: a lease is granted by a majority, and the rest may not have
// been reached yet.
func Everywhere(t testing.TB, servers []*redistest.Server, l *lease.Lease) {
	t.Helper()
	for n, s := range servers {
		testkit.Eventually(t, fmt.Sprintf("server %d has the key %q", n, l.Resource()), func() bool { return s.Get(l.Resource()) == l.Token() })
	}
}

// Clean waits until none of the servers has the key, for much less time than the key would live without being deleted.
func Clean(t testing.TB, servers []*redistest.Server, key string) {
	t.Helper()
	for n, s := range servers {
		for deadline := time.Now().Add(3 * time.Second); s.Get(key) != ""; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("server %d still has the key %q, for another %v: want it deleted", n, key, s.PTTL(key))
				break
			}
		}
	}
}
