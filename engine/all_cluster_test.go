package engine_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestAcquireAllOnACluster(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, false)
	dial := func() *engine.Engine {
		e := enginetest.New(t, engine.Config{RenewEvery: 50 * time.Millisecond}, enginetest.Dial(t, "", instance.Config{Cluster: c.Addrs()[:1]}))
		state(t, e, 0, instance.Up)
		return e
	}
	e, other := dial(), dial()
	get := func(key string) string { return c.Owner(c.Slot(key)).Get(key) }
	calls := func() (n int) {
		for _, s := range c.Masters {
			n += s.Calls("evalsha")
		}
		return n
	}
	spread := make([]string, 6) // over all masters, each in a slot of its own
	for k := range spread {
		spread[k] = fmt.Sprintf("r%d", k)
	}
	for name, set := range map[string][]string{"in one slot": {"{tag}a", "{tag}b", "{tag}c"}, "in several": spread} {
		for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
			t.Run(fmt.Sprintf("%s, %d options", name, len(opts)), func(t *testing.T) {
				before := calls()
				l, err := e.AcquireAll(within(t), set, append(opts, engine.WithoutRenewal())...)
				if err != nil {
					t.Fatalf("acquire all: %v", err)
				}
				asked := calls() - before
				if want := map[string]int{"in one slot": 1, "in several": len(spread)}[name]; asked != want {
					t.Errorf("%d scripts were called, want %d", asked, want)
				}
				for _, key := range set {
					if get(key) != l.Token() {
						t.Errorf("%q is %q", key, get(key))
					}
				}
				if _, err := other.TryAcquireAll(within(t), set[1:2], opts...); !errors.Is(err, engine.ErrHeld) {
					t.Errorf("another one has %q: %v", set[1], err)
				}
				release(t, l)
				for _, key := range set {
					eventually(t, key+" is given back", func() bool { return get(key) == "" })
				}
				held := acquire(t, other, set[len(set)-1], opts...)
				if held.Fence() <= l.Fence() && len(opts) > 0 {
					t.Errorf("the fence is %d, after %d of all", held.Fence(), l.Fence())
				}
				_, err = e.TryAcquireAll(within(t), set, append(opts, engine.WithTTL(time.Minute))...) // longer than anybody waits here
				var q *engine.QuorumError
				if !errors.Is(err, engine.ErrHeld) || !errors.As(err, &q) || q.Resource != set[len(set)-1] {
					t.Errorf("one is held: %v", err)
				}
				for _, key := range set[:len(set)-1] { // the other slots had granted theirs
					eventually(t, key+" is given back", func() bool { return get(key) == "" })
				}
				release(t, held)
			})
		}
	}
	l := acquireAll(t, e, spread, engine.WithFencing())
	first := l.Deadline()
	eventually(t, "it is renewed", func() bool { return l.Deadline().After(first) })
	c.Migrate(c.Slot("r0"), c.Masters[(c.Slot("r0")*3/16384+1)%3])
	first = l.Deadline()
	eventually(t, "it is renewed where a slot has moved", func() bool { return l.Deadline().After(first) })
	release(t, l)
	for _, key := range spread {
		eventually(t, key+" is given back", func() bool { return get(key) == "" })
	}
}
