package holdfast_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// stat returns a number that INFO shows.
func stat(t *testing.T, s *redistest.Server, section, name string) (n int) {
	t.Helper()
	info, _ := s.MustDo("INFO", section).(string)
	for line := range strings.Lines(info) {
		if _, err := fmt.Sscanf(line, name+":%d", &n); err == nil {
			return n
		}
	}
	t.Fatalf("INFO %s has no %s", section, name)
	return 0
}

// tracking returns how many connections are told of changes.
func tracking(t *testing.T, servers []*redistest.Server) (clients int) {
	for _, s := range servers {
		clients += stat(t, s, "clients", "tracking_clients")
	}
	return clients
}

// tracked returns how many keys somebody is to be told of.
func tracked(t *testing.T, servers []*redistest.Server) (keys int) {
	for _, s := range servers {
		keys += stat(t, s, "stats", "tracking_total_keys")
	}
	return keys
}

// waiting acquires on a goroutine of its own, and returns when the servers have
// promised to tell when to look again.
func waiting(t *testing.T, e *engine.Engine, servers []*redistest.Server, resource string) <-chan *lease.Lease {
	t.Helper()
	got := make(chan *lease.Lease, 1)
	before := tracked(t, servers)
	go func() {
		l, err := e.Acquire(within(t), resource)
		if err != nil {
			t.Errorf("waiting for %q: %v", resource, err)
		}
		got <- l
	}()
	eventually(t, "somebody is to be told", func() bool { return tracked(t, servers) > before })
	return got
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
				next := waiting(t, b, servers, resource)
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

// Ten thousand who wait, each for a lock of its own, and leave: one connection an
// instance while they wait, and nothing afterwards.
func TestNothingIsLeftOfTenThousandWaiters(t *testing.T) {
	const waiters = 10_000
	servers := redistest.StartN(t, 3)
	// So many at once keep a busy machine busy: an instance that is slow is not to be taken for one that is down.
	e := open(t, servers, engine.Config{InstanceTimeout: 10 * time.Second})
	for place := range servers {
		state(t, e, place, instance.Up) // Open waits for a quorum only
	}
	release(t, acquire(t, e, "warm")) // whoever reads for an instance runs
	before := goroutines()
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
	eventually(t, "all are to be told", func() bool { return tracked(t, servers) >= waiters })
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
	if n := tracked(t, servers); n != 0 {
		t.Errorf("the servers remember %d keys", n)
	}
	eventually(t, "the goroutines are gone", func() bool { return goroutines() <= before })
}

func TestWaitersAreServedWhereTrackingIsNotPermitted(t *testing.T) {
	servers := redistest.StartN(t, 3)
	for _, s := range servers {
		s.User("holdfast", "acl-s3cr3t", strings.Replace(leastPrivilege(t), "+client|tracking", "", 1))
	}
	var log bytes.Buffer
	cfg := engine.Config{KeyPrefix: "locks:", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	a, err := asUser(t, servers, cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, servers, engine.Config{KeyPrefix: "locks:"})
	held := acquire(t, b, "r")
	got := make(chan *lease.Lease, 1)
	go func() { got <- acquire(t, a, "r") }()
	eventually(t, "it was not permitted to be told", func() bool {
		denied := 0
		for _, s := range servers {
			denied += len(s.MustDo("ACL", "LOG").([]any))
		}
		return denied > 0
	})
	release(t, held)
	release(t, <-got)
	if err := a.Close(within(t)); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "the server does not wake waiters"); n < 1 || n > len(servers) {
		t.Errorf("the log says %d times that waiters poll: %s", n, &log)
	}
}
