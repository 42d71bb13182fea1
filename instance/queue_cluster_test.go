package instance_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// queue is engines that wait for a resource, in the order of their coming.
type queue struct {
	resource string
	mu       sync.Mutex
	served   []int
	holders  int
	waiters  sync.WaitGroup
}

// stand has an engine take the last place: it is served, holds the lock for a while, and releases it.
func (q *queue) stand(t *testing.T, e *engine.Engine) {
	t.Helper()
	k := q.waiting(t, e)
	ctx := within(t)
	q.waiters.Go(func() {
		l, err := e.Acquire(ctx, q.resource)
		if err != nil {
			t.Errorf("acquire %q by engine %d: %v", q.resource, k, err)
			return
		}
		q.hold(t, k)
		if err := l.Release(ctx); err != nil {
			t.Errorf("release %q by engine %d: %v", q.resource, k, err)
		}
	})
	eventually(t, fmt.Sprintf("engine %d waits for %q", k, q.resource), func() bool { return q.waiting(t, e) == k+1 })
}

// hold notes that the k-th engine has the lock, for a moment.
func (q *queue) hold(t *testing.T, k int) {
	enter := func(by int) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.holders += by; q.holders > 1 {
			t.Errorf("%q has two holders", q.resource)
		}
		if by > 0 {
			q.served = append(q.served, k)
		}
	}
	enter(1)
	time.Sleep(5 * time.Millisecond)
	enter(-1)
}

// waiting is how many wait, as an engine is told.
func (q *queue) waiting(t *testing.T, e *engine.Engine) int {
	seen, err := e.Inspect(within(t), q.resource)
	if err != nil {
		t.Fatalf("inspect %q: %v", q.resource, err)
	}
	return seen.Waiting
}

// queueKeysOf are the keys of queues that a server has.
func queueKeysOf(servers ...*redistest.Server) (keys []string) {
	for _, s := range servers {
		for _, key := range s.Keys() {
			if strings.HasPrefix(key, "queue") {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// The keys of a queue are in the slot of its lock, whatever the name has of braces, and go with it to another master. Those
// who wait are served there.
func TestQueueMovesWithItsSlot(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, false)
	for _, resource := range []string{"plain", "{order}:42", "x{order}y", "{open", "a{b}{c}d"} {
		t.Run(resource, func(t *testing.T) {
			q := &queue{resource: resource}
			held := acquire(t, onCluster(t, c, engine.Config{}), resource)
			for range 4 {
				q.stand(t, onCluster(t, c, engine.Config{}))
			}
			slot := c.Slot(resource)
			for range 3 {
				from, to := c.Owner(slot), away(c, resource)
				c.Migrate(slot, to)
				eventually(t, "the queue is at the other master, and nowhere else", func() bool {
					return len(queueKeysOf(to)) >= 2 && len(queueKeysOf(from)) == 0
				})
			}
			for _, key := range queueKeysOf(c.Masters...) {
				if c.Slot(key) != slot {
					t.Errorf("%q is in slot %d, and its lock in slot %d", key, c.Slot(key), slot)
				}
			}
			release(t, held)
			q.waiters.Wait()
			if len(q.served) != 4 { // in any order, since those who were told of a bell that moved may just be asking
				t.Errorf("only %v were served", q.served)
			}
			eventually(t, "no queue is left", func() bool { return len(queueKeysOf(c.Masters...)) == 0 })
		})
	}
}

// A name whose braces do not let a queue be beside it has none. Those who wait for it are served all the same.
func TestNamesThatCannotHaveAQueueInACluster(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, false)
	for _, resource := range []string{"a}b", "}", "{}empty"} {
		t.Run(resource, func(t *testing.T) {
			q := &queue{resource: resource}
			held := acquire(t, onCluster(t, c, engine.Config{}), resource)
			for k := range 4 {
				e := onCluster(t, c, engine.Config{})
				q.waiters.Go(func() {
					l, err := e.Acquire(within(t), resource)
					if err != nil {
						t.Errorf("acquire: %v", err)
						return
					}
					q.hold(t, k)
					release(t, l)
				})
			}
			time.Sleep(100 * time.Millisecond) // they wait
			release(t, held)
			q.waiters.Wait()
			if len(q.served) != 4 {
				t.Errorf("only %v were served", q.served)
			}
			if keys := queueKeysOf(c.Masters...); len(keys) > 0 {
				t.Errorf("there is %q", keys)
			}
		})
	}
}

// While a slot moves, its lock may be at one master and its queue at the other. That costs time, and nobody their turn for good.
func TestQueueInASlotThatIsHalfWayIsServed(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, false)
	for name, first := range map[string]func(key string) bool{
		"the lock first":  func(key string) bool { return !strings.HasPrefix(key, "queue") },
		"the queue first": func(key string) bool { return strings.HasPrefix(key, "queue") },
	} {
		t.Run(name, func(t *testing.T) {
			q := &queue{resource: keyOf(c, c.Masters[0], strings.ReplaceAll(name, " ", "-"))}
			held := acquire(t, onCluster(t, c, engine.Config{}), q.resource)
			for range 4 {
				q.stand(t, onCluster(t, c, engine.Config{}))
			}
			m := c.BeginMigration(c.Slot(q.resource), away(c, q.resource))
			m.MoveKeysOf(first)
			release(t, held)
			time.Sleep(time.Second) // some of them may be served meanwhile
			m.MoveKeys()
			m.End()
			q.waiters.Wait()
			if len(q.served) != 4 {
				t.Errorf("only %v were served", q.served)
			}
			eventually(t, "no queue is left", func() bool { return len(queueKeysOf(c.Masters...)) == 0 })
		})
	}
}

// A replica that takes its master's place may know nothing of a queue: those who wait stand in one anew, and all are served
// when it votes again.
func TestQueueOutlivesAFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for failovers and quarantines: half a minute")
	}
	t.Parallel() // it waits most of the time
	for name, knows := range map[string]bool{"the new master has the queue": true, "it has none": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := redistest.StartFleet(t, redistest.FleetConfig{})
			url := "redis-sentinel://" + strings.Join(f.SentinelAddrs(), ",") + "/leader"
			open := func() *engine.Engine {
				cfg := engine.Config{TTL: 4 * time.Second, MaxTTL: 4 * time.Second, RenewEvery: 300 * time.Millisecond}
				e, err := engine.Open(within(t), []string{url}, cfg)
				if err != nil {
					t.Fatalf("engine.Open: %v", err)
				}
				t.Cleanup(func() { _ = e.Close(context.Background()) })
				return e
			}
			holder := open()
			held := acquire(t, holder, "r")
			q := &queue{resource: "r"}
			for range 5 {
				q.stand(t, open())
			}
			copied(t, f, "r", held)
			f.Failover()
			if !knows {
				for _, key := range queueKeysOf(f.Master) {
					f.Master.Del(key)
				}
			}
			f.AwaitDemotion()
			eventually(t, "all stand in a queue at the new master", func() bool {
				places, _ := f.Master.MustDo("ZCARD", "queue:{r}").(int64)
				return places == 5
			})
			if !held.Valid() {
				t.Fatalf("the lease has ended: %v", held.Err())
			}
			release(t, held)
			q.waiters.Wait()
			if len(q.served) != 5 {
				t.Errorf("only %v were served", q.served)
			}
			eventually(t, "no queue is left", func() bool { return len(queueKeysOf(f.Master)) == 0 })
		})
	}
}
