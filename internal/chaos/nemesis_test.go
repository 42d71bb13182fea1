//go:build linux

package chaos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/proxy"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// stage is what the nemesis acts on.
type stage struct {
	t       *testing.T
	servers []*redistest.Server
	proxies []*proxy.Proxy
	cluster *redistest.Cluster
	pair    *redistest.Fleet // behind sentinels
	moved   int              // how many times a slot has been chosen to move
	crew    *crew

	replacing                   sync.WaitGroup    // of masters, by their replicas, behind other faults
	clusterChanges, pairChanges atomic.Bool       // one is under way there
	stopped                     *redistest.Server // behind sentinels; nil: it runs
}

// fault is something that happens to some servers, lasts, and is mended.
type fault struct {
	name   string
	inject func(s *stage, place int)
	mend   func(s *stage, place int)
	spread int // how many servers at once, at most; 0: it is about a client
}

const (
	minority = 2
	anyone   = servers
)

// within are the faults that the guarantees allow for.
var within = []fault{
	{"slow requests", func(s *stage, k int) { s.proxies[k].Delay(proxy.Requests, 30*time.Millisecond) }, healed, anyone},
	{"slow replies", func(s *stage, k int) { s.proxies[k].Delay(proxy.Replies, 30*time.Millisecond) }, healed, anyone},
	{"late replies", func(s *stage, k int) { s.proxies[k].Delay(proxy.Replies, instanceTimeout+50*time.Millisecond) }, healed, minority},
	{"requests lost", func(s *stage, k int) { s.proxies[k].Blackhole(proxy.Requests, true) }, healed, anyone},
	{"replies lost", func(s *stage, k int) { s.proxies[k].Blackhole(proxy.Replies, true) }, healed, anyone},
	{"cut off", func(s *stage, k int) {
		s.proxies[k].Blackhole(proxy.Requests, true)
		s.proxies[k].Blackhole(proxy.Replies, true)
	}, healed, anyone},
	{"connections reset", func(s *stage, k int) { s.proxies[k].Reset() }, healed, anyone},
	{"connections refused", func(s *stage, k int) { s.proxies[k].Refuse(true); s.proxies[k].Cut() }, healed, minority},
	{"executed, reply lost", func(s *stage, k int) { s.proxies[k].LoseReplies(20) }, healed, anyone},
	{"held, delivered late", func(s *stage, k int) { s.proxies[k].Hold() }, healed, anyone},
	{"stranded, delivered late", func(s *stage, k int) { s.proxies[k].Hold(); s.proxies[k].Strand() }, healed, anyone},
	{"executed twice", func(s *stage, k int) { s.proxies[k].Duplicate(true) }, healed, anyone},
	{"server stopped", func(s *stage, k int) { s.servers[k].Pause() }, func(s *stage, k int) { s.servers[k].Resume() }, anyone},
	{"server killed, restarted empty", func(s *stage, k int) { s.servers[k].Kill() }, func(s *stage, k int) { s.servers[k].Restart() }, anyone},
	{"server restarted empty at once", func(s *stage, k int) { s.servers[k].Restart() }, nothing, anyone},
	{"CLIENT KILL", func(s *stage, k int) { s.do(k, "CLIENT", "KILL", "TYPE", "normal") }, nothing, anyone},
	{"CLIENT PAUSE", func(s *stage, k int) { s.do(k, "CLIENT", "PAUSE", "600", "WRITE") }, func(s *stage, k int) { s.do(k, "CLIENT", "UNPAUSE") }, anyone},
	{"SCRIPT FLUSH", func(s *stage, k int) { s.do(k, "SCRIPT", "FLUSH") }, nothing, anyone},
	{"OOM", func(s *stage, k int) { s.do(k, "CONFIG", "SET", "maxmemory", "1") }, func(s *stage, k int) { s.do(k, "CONFIG", "SET", "maxmemory", "0") }, anyone},
	{"READONLY", func(s *stage, k int) { s.do(k, "REPLICAOF", "127.0.0.1", "1") }, func(s *stage, k int) { s.do(k, "REPLICAOF", "NO", "ONE") }, minority},
	{"slots moved", func(s *stage, k int) { s.moveSlots(20) }, nothing, 0},
	{"cluster node stopped", func(s *stage, k int) { s.cluster.Masters[other(k)].Pause() }, func(s *stage, k int) { s.cluster.Masters[other(k)].Resume() }, 0},
	{"cluster node restarted empty", func(s *stage, k int) { s.cluster.Masters[other(k)].Restart() }, nothing, 0},
	{"cluster master killed, replica promoted", func(s *stage, _ int) { s.replace(&s.clusterChanges, s.cluster.Replace) }, nothing, 0},
	replaced,
	{"sentinel stopped", func(s *stage, k int) { s.pair.Sentinels[other(k)].Pause() }, func(s *stage, k int) { s.pair.Sentinels[other(k)].Resume() }, 0},
	{"master behind sentinels stopped", func(s *stage, _ int) { s.stopMaster(true) }, func(s *stage, _ int) { s.stopMaster(false) }, 0},
	{"client stopped", func(s *stage, k int) { s.client(k).signal(syscall.SIGSTOP) }, func(s *stage, k int) { s.client(k).signal(syscall.SIGCONT) }, 0},
	{"client killed", func(s *stage, k int) {
		place := k % len(s.crew.members)
		s.crew.members[place].kill()
		s.crew.members[place] = s.crew.launch()
	}, nothing, 0},
}

// replaced is a failover of the pair.
var replaced = fault{"master killed, sentinels promote replica", func(s *stage, _ int) { s.replace(&s.pairChanges, s.pair.Replace) }, nothing, 0}

// other is a place among three that is not the first: that of a master with a replica, which comes and goes, or of the
// sentinel that is told to promote one.
func other(k int) int { return 1 + k%2 }

// outside are the faults that break mutual exclusion: memory is lost unnoticed.
var outside = []fault{
	{"FLUSHALL", func(s *stage, k int) { s.do(k, "FLUSHALL") }, nothing, anyone},
	replaced,
	{"server restarted empty, unguarded", func(s *stage, k int) { s.servers[k].Restart() }, nothing, anyone},
	{"client stopped", func(s *stage, k int) { s.client(k).signal(syscall.SIGSTOP) }, func(s *stage, k int) { s.client(k).signal(syscall.SIGCONT) }, 0},
	{"cut off", func(s *stage, k int) {
		s.proxies[k].Blackhole(proxy.Requests, true)
		s.proxies[k].Blackhole(proxy.Replies, true)
	}, healed, anyone},
}

func healed(s *stage, place int) { s.proxies[place].Heal() }
func nothing(*stage, int)        {}

// replace has a replica take its dead master's place, while other faults go on. One at a time.
func (s *stage) replace(under *atomic.Bool, replace func() error) {
	if !under.CompareAndSwap(false, true) {
		return
	}
	s.replacing.Go(func() {
		defer under.Store(false)
		if err := replace(); err != nil {
			s.t.Error(err)
		}
	})
}

// stopMaster stops the master that the sentinels name, and the same one goes on afterwards: none is replaced meanwhile.
func (s *stage) stopMaster(stop bool) {
	s.t.Helper()
	switch {
	case stop && s.pairChanges.CompareAndSwap(false, true):
		s.stopped = s.pair.Master
		s.stopped.Pause()
	case !stop && s.stopped != nil:
		s.stopped.Resume()
		s.stopped = nil
		s.pairChanges.Store(false)
	}
}

// moveSlots moves the slots of some of the resources to other masters, one after the
// other, while clients are at it.
func (s *stage) moveSlots(n int) {
	s.t.Helper()
	if s.clusterChanges.Load() || !s.cluster.IsUp() { // nothing moves to or from a node that is dead
		return
	}
	for range n {
		s.moved++
		kind := []string{"plain", "fenced"}[s.moved%2] // as the clients call them
		slot, to := s.cluster.Slot(fmt.Sprintf("%s-%d", kind, s.moved%resources)), s.cluster.Masters[s.moved%masters]
		if from := s.cluster.Owner(slot); from != nil && from != to {
			s.cluster.Migrate(slot, to)
		}
	}
}

func (s *stage) client(place int) *process { return s.crew.members[place%len(s.crew.members)] }

func (s *stage) do(place int, command ...string) {
	s.t.Helper()
	if _, err := s.servers[place].Do(command...); err != nil {
		s.t.Errorf("nemesis: %s: %v", strings.Join(command, " "), err)
	}
}

// torment injects one fault after the other while it may go on, and mends each.
// The schedule follows from the seed: which fault, where, and for how long.
func (s *stage) torment(seed uint64, faults []fault, on func() bool) map[string]int {
	random := rand.New(rand.NewPCG(seed, 0))
	injected := make(map[string]int)
	var round []fault
	for on() && !s.t.Failed() {
		if len(round) == 0 { // each once, in any order, and again
			round = slices.Clone(faults)
			random.Shuffle(len(round), func(a, b int) { round[a], round[b] = round[b], round[a] })
		}
		f := round[0]
		round = round[1:]
		spread := min(f.spread, minority)
		if random.IntN(4) == 0 {
			spread = f.spread
		}
		places := random.Perm(len(s.servers))[:1+random.IntN(max(1, spread))]
		lasts := time.Duration(50+random.IntN(400)) * time.Millisecond
		if random.IntN(8) == 0 {
			lasts += ttl // longer than any lease
		}
		for _, k := range places {
			f.inject(s, k)
		}
		time.Sleep(lasts)
		for _, k := range places {
			f.mend(s, k)
		}
		injected[f.name]++
		time.Sleep(time.Duration(50+random.IntN(250)) * time.Millisecond)
	}
	return injected
}

func listed(counts map[string]int) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf("%4d  %s", counts[name], name))
	}
	return strings.Join(lines, "\n")
}
