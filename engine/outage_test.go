package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// What is owed to an instance that was down is still owed when it goes down once more
// while it is being paid: of each lease its own lock, and no other.
func TestDebtsOutliveASecondOutage(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.NewNative(t, 3)
		fleet.Each(func(s *sim.Server) { s.Latency(10*time.Millisecond, 10*time.Millisecond) })
		e, err := engine.New(fleet.Instances(instance.Config{Batch: 2}), config())
		if err != nil {
			t.Fatalf("engine.New: %v", err)
		}
		defer func() { _ = e.Close(t.Context()) }()
		var leases []*lease.Lease
		for n := range 7 {
			leases = append(leases, acquire(t, e, fmt.Sprint("r", n)))
		}
		time.Sleep(time.Second)
		last := fleet.Servers[2]
		last.Cut()
		for _, l := range leases[:6] {
			release(t, l)
		}
		paid := make(chan struct{}, 16)
		last.Observe(func(e sim.Event) {
			if e.Verb == "release" {
				paid <- struct{}{}
			}
		})
		last.Mend()
		<-paid // and its answer is on its way
		last.Break()
		time.Sleep(ttl / 4)
		if keys := last.Keys(); len(keys) != 1 || keys[0] != "r6" {
			t.Errorf("a quarter of the TTL later there are %q", keys)
		}
		if got := last.Get("r6"); got != leases[6].Token() {
			t.Errorf("the lock of the lease that is held is %q there", got)
		}
	})
}
