package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// tracking returns how many connections are told of changes.
func tracking(t *testing.T, servers []*redistest.Server) (clients int) {
	for _, s := range servers {
		clients += s.Stat("clients", "tracking_clients")
	}
	return clients
}

func TestWaitersAreWokenWhoeverReleases(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d instances", n), func(t *testing.T) {
			servers := redistest.StartN(t, n)
			// A Backoff would look now and then: without one, it is the server that wakes.
			a, b := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
			for k := range 20 {
				resource := fmt.Sprint("r", k)
				held := acquire(t, a, resource)
				next := enginetest.Wait(t, b, servers, resource)
				switch k % 3 {
				case 0:
					release(t, held)
				case 1: // by another library
					for _, s := range servers {
						s.Del(resource)
					}
				case 2:
					for _, s := range servers {
						s.FlushAll()
					}
				}
				l := <-next
				if l == nil {
					t.Fatal("it was not served")
				}
				release(t, l)
			}
			eventually(t, "nobody is to be told any more", func() bool { return tracking(t, servers) == 0 })
		})
	}
}

// Ten thousand waiters, each for a lock of its own, that leave: one connection an
// instance while they wait, and nothing afterwards.
func TestNothingIsLeftOfTenThousandWaiters(t *testing.T) {
	const waiters = 10_000
	servers := redistest.StartN(t, 3)
	// So many at once keep a busy machine busy: an instance that is slow is not to be taken for one that is down.
	e := open(t, servers, engine.Config{InstanceTimeout: 10 * time.Second})
	for seat := range servers {
		state(t, e, seat, instance.Up) // Open waits for a quorum only
	}
	release(t, acquire(t, e, "warm")) // the readers of all instances run now
	before := testkit.Goroutines()
	t.Cleanup(func() {
		if t.Failed() {
			stacks := make([]byte, 1<<16)
			t.Logf("%d goroutines before; and now:\n%s", before, stacks[:runtime.Stack(stacks, true)])
		}
	})
	connected := 0
	for _, s := range servers {
		connected += s.Clients()
	}
	for _, s := range servers {
		args := []string{"MSET"}
		for k := range waiters {
			args = append(args, fmt.Sprint("r", k), "another library's")
		}
		s.MustDo(args...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for k := range waiters {
		all.Go(func() {
			if _, err := e.Acquire(ctx, fmt.Sprint("r", k)); !errors.Is(err, context.Canceled) {
				t.Errorf("waiter %d: %v", k, err)
			}
		})
	}
	eventually(t, "all are to be told", func() bool { return enginetest.Tracked(servers) >= waiters })
	if n := tracking(t, servers); n > len(servers) {
		t.Errorf("%d connections are told, of %d instances", n, len(servers))
	}
	cancel()
	all.Wait()
	eventually(t, "the connections are gone", func() bool {
		now := 0
		for _, s := range servers {
			now += s.Clients()
		}
		return tracking(t, servers) == 0 && now == connected
	})
	for _, s := range servers {
		s.FlushAll()
	}
	if n := enginetest.Tracked(servers); n != 0 {
		t.Errorf("the servers remember %d keys", n)
	}
	eventually(t, "the goroutines are gone", func() bool { return testkit.Goroutines() <= before })
}
