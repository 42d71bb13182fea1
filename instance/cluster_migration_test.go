package instance_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// migratingCluster is a cluster whose slots can go to another master all at once, two engines, leases of one of them,
// and callers of both who contend.
type migratingCluster struct {
	*redistest.Cluster
	engine, other *engine.Engine
	log           testkit.Log // the engine's
	leases        []*lease.Lease
	dead          *redistest.Server // the locks in its slots are gone, and that is no fault
}

func startMigrating(t *testing.T, replicas bool) *migratingCluster {
	t.Helper()
	if !redistest.Start(t).Knows("cluster|getslotmigrations") {
		t.Skip("this server moves slots key by key alone, Valkey 9 also at once: make servers")
	}
	m := &migratingCluster{Cluster: redistest.StartCluster(t, 2, replicas)}
	open := func(log *slog.Logger) *engine.Engine {
		i := enginetest.Dial(t, "redis-cluster://"+m.Addrs()[0], instance.Config{Logger: log})
		e := enginetest.New(t, engine.Config{TTL: 10 * time.Second, Logger: log}, i)
		state(t, e, 0, instance.Up)
		return e
	}
	m.engine, m.other = open(slog.New(slog.NewTextHandler(&m.log, nil))), open(nil)
	for i := range 400 {
		m.leases = append(m.leases, acquire(t, m.engine, fmt.Sprint("held", i)))
	}
	m.contend(t)
	return m
}

// contend has callers of both engines hold locks in turn, until the test's end.
func (m *migratingCluster) contend(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		callers.Wait()
	})
	var mu sync.Mutex
	holders := make(map[string]int)
	enter := func(name string, by int) {
		mu.Lock()
		defer mu.Unlock()
		if holders[name] += by; holders[name] > 1 {
			t.Errorf("%s has two holders", name)
		}
	}
	for k, e := range []*engine.Engine{m.engine, m.other, m.engine, m.other} {
		callers.Go(func() {
			for n := k; ctx.Err() == nil; n++ {
				name := fmt.Sprint("contended", n%3)
				l, err := e.Acquire(ctx, name)
				if err != nil {
					if ctx.Err() == nil {
						t.Errorf("acquire %s: %v", name, err)
					}
					return
				}
				enter(name, 1)
				time.Sleep(time.Millisecond)
				enter(name, -1)
				_ = l.Release(ctx) // what cannot be confirmed is owed
			}
		})
	}
}

// migrate has slots go from one master to another. The old one's writes stand still for so long from its beginning.
func (m *migratingCluster) migrate(t *testing.T, from, to *redistest.Server, still time.Duration) {
	t.Helper()
	id, _ := to.MustDo("CLUSTER", "MYID").(string)
	if still > 0 {
		from.MustDo("CLIENT", "PAUSE", fmt.Sprint(still.Milliseconds()), "WRITE")
	}
	// Not all that it has: a master without slots is judged anew when it gets some.
	from.MustDo("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", fmt.Sprint(redistest.ClusterSlots/4), "NODE", id)
}

// migration returns how the latest migration from a master stands.
func migration(from *redistest.Server) string {
	list, _ := from.MustDo("CLUSTER", "GETSLOTMIGRATIONS").([]any)
	if len(list) == 0 {
		return "none"
	}
	fields, _ := list[0].([]any)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "state" {
			return fmt.Sprint(fields[i+1])
		}
	}
	return fmt.Sprint(list[0])
}

// isWell checks that no lease was lost, that no lock is free which is held, and that new ones are granted, in
// all slots, without delay.
func (m *migratingCluster) isWell(t *testing.T) {
	t.Helper()
	const quarantine = time.Minute // of slots that are not trusted: MaxTTL
	begun := time.Now()
	for i := range 40 {
		if name := fmt.Sprint("new", i); m.dead == nil || m.Owner(m.Slot(name)) != m.dead {
			release(t, acquire(t, m.other, name))
		}
	}
	if took := time.Since(begun); took > quarantine/4 {
		t.Errorf("40 new locks took %v", took)
	}
	for _, l := range m.leases {
		if !l.Valid() {
			t.Errorf("the lease of %s is over: %v", l.Resource(), l.Err())
		}
		if second, err := m.other.TryAcquire(within(t), l.Resource()); err == nil {
			t.Errorf("%s has two holders", l.Resource())
			release(t, second)
		}
	}
}

// Slots that go to another master all at once take their locks along, and the trust in them: however long the old
// master's writes stand still meanwhile, as long as leases live.
func TestSlotsThatMigrateAtOnce(t *testing.T) {
	for _, still := range []time.Duration{0, 2 * time.Second} {
		for _, replicas := range []bool{false, true} {
			t.Run(fmt.Sprintf("writes stand still for %v, replicas: %v", still, replicas), func(t *testing.T) {
				t.Parallel()
				m := startMigrating(t, replicas)
				for from, to := range map[*redistest.Server]*redistest.Server{m.Masters[0]: m.Masters[1]} {
					m.migrate(t, from, to, still)
					eventually(t, "the slots have gone there", func() bool { return migration(from) == "success" })
					m.isWell(t)
					m.migrate(t, to, from, still)
					eventually(t, "the slots have come back", func() bool { return migration(to) == "success" })
					m.isWell(t)
				}
				if said := strings.Contains(m.log.String(), "its writes stand still (client_pause)"); said != (still > 0) {
					t.Errorf("the log says that writes stand still: %v", said)
				}
			})
		}
	}
}

// A migration that comes to nothing leaves everything as it was.
func TestSlotsThatDoNotMigrate(t *testing.T) {
	for name, test := range map[string]struct {
		fail func(from, to *redistest.Server)
		ends string
	}{
		"cancelled":       {func(from, _ *redistest.Server) { from.MustDo("CLUSTER", "CANCELSLOTMIGRATIONS") }, "cancelled"},
		"the target dies": {func(_, to *redistest.Server) { to.Kill() }, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := startMigrating(t, false)
			from, to := m.Masters[0], m.Masters[1]
			if test.ends == "failed" {
				m.dead = to
				from.MustDo("CONFIG", "SET", "cluster-require-full-coverage", "no")
				m.leases = slices.DeleteFunc(m.leases, func(l *lease.Lease) bool {
					if m.Owner(m.Slot(l.Resource())) != to {
						return false
					}
					release(t, l)
					return true
				})
			}
			m.migrate(t, from, to, time.Second)
			test.fail(from, to)
			eventually(t, "the migration is over", func() bool { return migration(from) == test.ends })
			m.isWell(t)
		})
	}
}
