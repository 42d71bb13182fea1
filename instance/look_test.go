package instance_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// The queue for a lock is at the node of its slot, wherever that moves.
func TestInspectCountsThoseWhoWaitInACluster(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, false)
	observer := onCluster(t, c, engine.Config{})
	for place, s := range c.Masters {
		resource := keyOf(c, s, fmt.Sprint("counted-at-", place))
		waiting := func() int {
			seen, err := observer.Inspect(within(t), resource)
			if err != nil {
				t.Fatalf("inspect: %v", err)
			}
			return seen.Waiting
		}
		held := acquire(t, onCluster(t, c, engine.Config{}), resource)
		served := make(chan error, 3)
		ctx, leave := context.WithCancel(within(t))
		defer leave()
		for k := range cap(served) {
			e := onCluster(t, c, engine.Config{})
			go func() {
				l, err := e.Acquire(ctx, resource)
				if err == nil {
					<-ctx.Done()
					err = l.Release(context.WithoutCancel(ctx))
				}
				served <- err
			}()
			eventually(t, fmt.Sprintf("%d wait", k+1), func() bool { return waiting() == k+1 })
		}
		c.Migrate(c.Slot(resource), away(c, resource))
		for range 50 {
			if n := waiting(); n != 3 {
				t.Errorf("at another node %d wait, want 3", n)
			}
			time.Sleep(time.Millisecond)
		}
		release(t, held)
		eventually(t, "one is served", func() bool { return waiting() == 2 })
		leave()
		for range cap(served) {
			<-served
		}
		eventually(t, "nobody waits", func() bool { return waiting() == 0 })
	}
}
