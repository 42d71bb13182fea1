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
	isQuarantined bool              // no new locks are granted, for a reason that a mover has
	dead          *redistest.Server // the locks in its slots are gone, and that is no fault
	moves         mover
}

// mover is how a kind of servers has slots go to another master all at once.
type mover struct {
	begin  func(from, to *redistest.Server, first, last string)
	cancel func(from, to *redistest.Server)
	state  func(from, to *redistest.Server) string // of the latest: of either, where one has forgotten it
	// What the states are called.
	done, cancelled, failed string
	// standstill is what the log says of a hand-over that takes long; "": the server does not say why its writes stand still.
	standstill string
	// renames: a master that gives slots away for the first time, or whose first replica comes, has another replication ID
	// from then on. Once its connection breaks it is quarantined, as if it had been a replica meanwhile.
	renames bool
	// patience has a master give a hand-over up after so long.
	patience func(from *redistest.Server, d time.Duration)
	// hold has a migration to a master wait in the middle of its hand-over, or go on, and holdBefore one from a master in front of
	// it. nil: they cannot be held.
	hold, holdBefore func(s *redistest.Server, held bool)
}

// valkeyMoves is that of Valkey 9, which is told to give: CLUSTER MIGRATESLOTS.
var valkeyMoves = mover{
	begin: func(from, to *redistest.Server, first, last string) {
		id, _ := to.MustDo("CLUSTER", "MYID").(string)
		from.MustDo("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", id)
	},
	cancel: func(from, _ *redistest.Server) { from.MustDo("CLUSTER", "CANCELSLOTMIGRATIONS") },
	state: func(from, _ *redistest.Server) string {
		return latestState(from.MustDo("CLUSTER", "GETSLOTMIGRATIONS"))
	},
	done: "success", cancelled: "cancelled", failed: "failed",
	patience: func(from *redistest.Server, d time.Duration) { // it waits twice as long
		from.MustDo("CONFIG", "SET", "cluster-manual-failover-timeout", fmt.Sprint(d.Milliseconds()/2))
	},
	standstill: "its writes stand still (slot_migration_in_progress): slots are migrating",
	hold:       func(to *redistest.Server, held bool) { prevent(to, "PREVENT-FAILOVER", held) },
	holdBefore: func(from *redistest.Server, held bool) { prevent(from, "PREVENT-PAUSE", held) },
}

func prevent(s *redistest.Server, what string, so bool) {
	s.MustDo("DEBUG", "SLOTMIGRATION", what, map[bool]string{true: "1", false: "0"}[so])
}

// redisMoves is that of Redis 8.4, which is told to take: CLUSTER MIGRATION IMPORT.
var redisMoves = mover{
	begin: func(_, to *redistest.Server, first, last string) {
		to.MustDo("CLUSTER", "MIGRATION", "IMPORT", first, last)
	},
	cancel: func(_, to *redistest.Server) { to.MustDo("CLUSTER", "MIGRATION", "CANCEL", "ALL") },
	state: func(from, to *redistest.Server) string {
		for _, s := range []*redistest.Server{to, from} {
			if list, err := s.Do("CLUSTER", "MIGRATION", "STATUS", "ALL"); err == nil {
				return latestState(list)
			}
		}
		return "unknown"
	},
	patience: func(from *redistest.Server, d time.Duration) {
		from.MustDo("CONFIG", "SET", "cluster-slot-migration-write-pause-timeout", fmt.Sprint(d.Milliseconds()))
	},
	done: "completed", cancelled: "canceled", failed: "failed", renames: true,
}

// moverOf is how servers of this kind do it; those that do not are left out.
func moverOf(t *testing.T, s *redistest.Server) mover {
	t.Helper()
	switch {
	case s.Knows("cluster|getslotmigrations"):
		return valkeyMoves
	case s.Knows("cluster|migration"):
		return redisMoves
	}
	t.Skip("this server moves slots key by key alone, Valkey 9 and Redis 8.4 also at once: make servers")
	return mover{}
}

func startMigrating(t *testing.T, masters int, replicas bool, args ...string) *migratingCluster {
	t.Helper()
	moves := moverOf(t, redistest.Start(t))
	m := &migratingCluster{Cluster: redistest.StartCluster(t, masters, replicas, append(args, "--enable-debug-command", "yes")...), moves: moves}
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

// begin has slots begin to go from one master to another.
func (m *migratingCluster) begin(from, to *redistest.Server) {
	// Not all that it has: a master without slots is judged anew when it gets some.
	m.moves.begin(from, to, "0", fmt.Sprint(redistest.ClusterSlots/4))
}

// beginHandOver is begin, and returns in the middle of the hand-over, at which the old one's writes stand still. It goes on by
// the func that is returned.
func (m *migratingCluster) beginHandOver(t *testing.T, from, to *redistest.Server) (goOn func()) {
	t.Helper()
	if m.moves.hold == nil {
		from.MustDo("CLIENT", "PAUSE", "60000", "WRITE")
		m.begin(from, to)
		return func() { from.MustDo("CLIENT", "UNPAUSE") }
	}
	m.moves.hold(to, true)
	m.begin(from, to)
	eventually(t, "the writes stand still", func() bool {
		clients, _ := from.MustDo("INFO", "clients").(string)
		return strings.Contains(clients, "paused_reason:slot_migration_in_progress")
	})
	return func() { m.moves.hold(to, false) }
}

// beginHeld is begin, and the migration stays in front of its hand-over, if it can be held, until it goes on by the func that
// is returned.
func (m *migratingCluster) beginHeld(from, to *redistest.Server) (goOn func()) {
	if m.moves.holdBefore == nil {
		m.begin(from, to)
		return func() {}
	}
	m.moves.holdBefore(from, true)
	m.begin(from, to)
	return func() { m.moves.holdBefore(from, false) }
}

// migrate has slots go from one master to another, whose hand-over takes so long, and returns when they are there.
func (m *migratingCluster) migrate(t *testing.T, from, to *redistest.Server, still time.Duration) {
	t.Helper()
	if still == 0 {
		m.begin(from, to)
	} else {
		goOn := m.beginHandOver(t, from, to)
		time.Sleep(still)
		goOn()
	}
	m.over(t, from, to, m.moves.done)
}

// over returns when the latest migration has ended, as one of these.
func (m *migratingCluster) over(t *testing.T, from, to *redistest.Server, as ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the migration has ended as one of %q", as), func() bool {
		return slices.Contains(as, m.moves.state(from, to))
	})
}

// latestState reads how the first migration of a list stands: the latest.
func latestState(reply any) string {
	list, _ := reply.([]any)
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
		if name := fmt.Sprint("new", i); !m.isQuarantined && (m.dead == nil || m.Owner(m.Slot(name)) != m.dead) {
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
				m := startMigrating(t, 2, replicas)
				m.isQuarantined = m.moves.renames && still > 0
				there, back := m.Masters[0], m.Masters[1]
				m.migrate(t, there, back, still)
				m.isWell(t)
				m.migrate(t, back, there, still)
				m.isWell(t)
				if why := m.moves.standstill; why != "" && strings.Contains(m.log.String(), why) != (still > 0) {
					t.Errorf("that slots are migrating is to be in the log: %v; it has %s", still > 0, &m.log)
				}
			})
		}
	}
}

// What disturbs a migration leaves the locks as they were, wherever they are then.
func TestSlotsThatDoNotMigrate(t *testing.T) {
	type disturbed struct {
		disturb          func(t *testing.T, m *migratingCluster, from, to *redistest.Server)
		handOver         bool // it is disturbed in the middle of the hand-over, else in its beginning
		replicas, killed bool
	}
	cancel := func(_ *testing.T, m *migratingCluster, from, to *redistest.Server) { m.moves.cancel(from, to) }
	kill := func(_ *testing.T, _ *migratingCluster, _, to *redistest.Server) { to.Kill() }
	hang := func(_ *testing.T, _ *migratingCluster, _, to *redistest.Server) {
		to.Pause()
		time.Sleep(2 * time.Second)
		to.Resume()
	}
	for name, test := range map[string]disturbed{
		"cancelled":                         {disturb: cancel},
		"cancelled, with replicas":          {disturb: cancel, replicas: true},
		"cancelled in the hand-over":        {disturb: cancel, handOver: true},
		"the target dies":                   {disturb: kill, killed: true},
		"the target dies in the hand-over":  {disturb: kill, handOver: true, killed: true},
		"the target hangs":                  {disturb: hang},
		"the target hangs, with replicas":   {disturb: hang, handOver: true, replicas: true},
		"the target hangs in the hand-over": {disturb: hang, handOver: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A master that hangs for two seconds is not taken for dead.
			masters := 2
			if test.killed {
				masters = 3 // a cluster is up for as long as most of them are
			}
			m := startMigrating(t, masters, test.replicas, "--cluster-node-timeout", "6000")
			from, to := m.Masters[0], m.Masters[1]
			if test.killed && m.moves.hold == nil {
				t.Skip("a migration of this server cannot be held, and may be over before its target dies")
			}
			m.moves.patience(from, 2*time.Second)
			if test.killed {
				m.dead = to
				for _, s := range m.Masters {
					s.MustDo("CONFIG", "SET", "cluster-require-full-coverage", "no")
				}
				m.leases = slices.DeleteFunc(m.leases, func(l *lease.Lease) bool {
					if m.Owner(m.Slot(l.Resource())) != to {
						return false
					}
					release(t, l)
					return true
				})
			}
			var goOn func()
			if test.handOver {
				goOn = m.beginHandOver(t, from, to)
			} else {
				goOn = m.beginHeld(from, to)
			}
			m.isQuarantined = m.moves.renames // it may hang for long enough
			test.disturb(t, m, from, to)
			if !test.killed || !test.handOver {
				goOn()
			}
			m.over(t, from, to, m.moves.done, m.moves.cancelled, m.moves.failed)
			m.isWell(t)
		})
	}
}
