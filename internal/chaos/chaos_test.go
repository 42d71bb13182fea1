//go:build linux

package chaos

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/proxy"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

var (
	lasts = flag.Duration("chaos", 0, "how long both runs last together, and with a fresh seed; 0: 20s, with the same seed always")
	seed  = flag.Uint64("chaos.seed", 0, "the seed of the nemesis' schedule")
)

// Sizes of a run.
const (
	servers   = 3 // and a cluster, and a master behind sentinels: five instances
	masters   = 3 // of the cluster; the first has a replica
	clients   = 3
	engines   = 2
	workers   = 12 // an engine
	resources = 150
)

// What the runs must reach, so that there is something to check. On a machine that
// is slow they last longer for it, but not more than lateness times as long.
const (
	acquiresWithin  = 10000
	acquiresOutside = 4000
	lateness        = 4
)

// unmoved is how long nodes and sentinels wait before they replace a master by themselves: longer than any is stopped
// for, since one that thaws grants for a moment before it knows that it was replaced.
const unmoved = 30 * time.Second

// TestChaos is the two runs. It prints what was injected and what was checked.
func TestChaos(t *testing.T) {
	duration, schedule := *lasts, *seed
	switch {
	case schedule != 0:
	case duration == 0:
		schedule = 1
	default:
		schedule = uint64(now())
	}
	if duration == 0 {
		duration = 20 * time.Second
	}
	t.Logf("to repeat the schedule: make chaos CHAOS=%v SEED=%d", duration, schedule)
	t.Run("within the assumptions", func(t *testing.T) {
		events := run(t, instance.GuardStrict, schedule, within, duration*7/10, acquiresWithin)
		leases := spans(events)
		check(t, "mutual exclusion", checkExclusion(leases))
		check(t, "fences rise in the order of completion", checkFenceOrder(leases))
		check(t, "a valid lease is honest", checkHonesty(events))
		checkAlways(t, events, leases)
	})
	t.Run("outside the assumptions", func(t *testing.T) {
		events := run(t, instance.GuardOff, schedule, outside, duration*3/10, acquiresOutside)
		leases := spans(events)
		t.Logf("mutual exclusion, which cannot be had: %d times broken", len(checkExclusion(leases)))
		checkAlways(t, events, leases)
	})
}

// checkAlways is what must hold whatever is lost.
func checkAlways(t *testing.T, events []event, leases []span) {
	t.Helper()
	check(t, "fences are unique and rise", checkFences(leases))
	check(t, "the register is linearizable", checkRegister(events))
	check(t, "who was overtaken is refused", checkOvertaken(events, leases))
	check(t, "every waiter got its lock, and nothing was left in a client", checkEnd(events))
	counts := make(map[string]int)
	ways := map[wishKind]int{one: 0, several: 0, batch: 0, permit: 0}
	refused := 0
	for _, e := range events {
		counts[string(e.Kind)]++
		if e.Kind == acquired {
			ways[e.As]++
		}
		if e.Kind == written && !e.OK {
			refused++
		}
	}
	for way, n := range ways {
		if n < len(leases)/100 {
			t.Errorf("%d of %d locks were of the kind %q: too few to show anything", n, len(leases), way)
		}
	}
	t.Logf("%v of %d locks, %d questions whether they are valid, %d looks at keys, %d writes to the register, %d of them refused",
		ways, len(leases), counts[string(held)], counts[string(sampled)], counts[string(written)], refused)
}

func check(t *testing.T, what string, faults []string) {
	t.Helper()
	if len(faults) == 0 {
		t.Logf("ok: %s", what)
		return
	}
	t.Errorf("%s: %d times not so:\n%s", what, len(faults), strings.Join(faults[:min(10, len(faults))], "\n"))
}

// run lets clients work under a nemesis for a while, until they
// have acquired enough, ends the faults, and returns what the clients have written
// when everything has come to rest.
func run(t *testing.T, guard instance.Guard, schedule uint64, faults []fault, lasts time.Duration, acquires int) []event {
	t.Helper()
	patient := []string{"--cluster-node-timeout", strconv.FormatInt(unmoved.Milliseconds(), 10)}
	s := &stage{
		t: t, servers: redistest.StartN(t, servers),
		cluster: redistest.StartCluster(t, masters, false, patient...),
		pair:    redistest.StartFleet(t, redistest.FleetConfig{DownAfter: unmoved}),
	}
	s.cluster.AddReplica(patient...)
	register := redistest.Start(t)
	o := orders{Register: register.Addr(), Guard: guard, Engines: engines, Workers: workers, Resources: resources, Seed: schedule}
	for _, server := range s.servers {
		p := proxy.Start(t, server.Network(), server.Addr())
		s.proxies = append(s.proxies, p)
		o.Instances = append(o.Instances, p.URL())
		o.Direct = append(o.Direct, []string{server.Addr()})
	}
	o.Instances = append(o.Instances, "redis-cluster://"+strings.Join(s.cluster.Addrs(), ","))
	o.Direct = append(o.Direct, append(s.cluster.Addrs(), s.cluster.Replicas[0].Addr()))
	o.Instances = append(o.Instances, "redis-sentinel://"+strings.Join(s.pair.SentinelAddrs(), ",")+"/leader")
	o.Direct = append(o.Direct, []string{s.pair.Master.Addr(), s.pair.Replica.Addr()})
	s.crew = &crew{t: t, orders: o, dir: t.TempDir()}
	defer s.crew.close()
	s.crew.start(clients)
	begin := time.Now()
	injected := s.torment(schedule, faults, func() bool {
		passed := time.Since(begin)
		return passed < lasts || passed < lateness*lasts && s.crew.acquires() < acquires
	})
	s.replacing.Wait()
	t.Logf("injected:\n%s", listed(injected))
	s.crew.end()
	s.rest(register)

	if n := s.crew.acquires(); n < acquires && !t.Failed() {
		t.Errorf("%d acquires in %v are too few to show anything, want %d", n, time.Since(begin).Round(time.Second), acquires)
	}
	return s.crew.histories()
}

// isFence reports whether a key has a fence, or all of them.
func isFence(key string) bool {
	return strings.HasPrefix(key, keyPrefix+"fence:") || key == keyPrefix+"fences:1"
}

// rest waits until the servers have nothing of the clients any more but fences,
// which stay. Locks of clients that were killed go by their TTL.
func (s *stage) rest(register *redistest.Server) {
	t := s.t
	t.Helper()
	for k, p := range s.proxies {
		eventually(t, fmt.Sprintf("no connection is left in proxy %d", k+1), func() bool { return p.Conns() == 0 })
	}
	keep := slices.Concat(s.servers, s.cluster.Masters, []*redistest.Server{s.pair.Master})
	others := []*redistest.Server{register, s.pair.Replica, s.cluster.Replicas[0]}
	for _, server := range slices.Concat(keep, others, s.pair.Sentinels) {
		eventually(t, "no connection is left", func() bool { return connections(server) == 1 }) // the one that asks
	}
	for _, server := range keep {
		eventually(t, "no lock is left", func() bool {
			for _, key := range server.Keys() {
				if !isFence(key) {
					return false
				}
			}
			return true
		})
		for _, key := range server.Keys() {
			if forEver := server.PTTL(key) < 0; forEver != (key == keyPrefix+"fences:1") {
				t.Errorf("%s lives for ever: %v", key, forEver)
			}
		}
	}
}

// connections counts a server's clients, but for other servers: nodes that move slots keep theirs for a while, masters
// and replicas have some, and so do sentinels.
func connections(server *redistest.Server) (n int) {
	list, _ := server.MustDo("CLIENT", "LIST").(string)
	for line := range strings.Lines(list) {
		if !theirs.MatchString(line) {
			n++
		}
	}
	return n
}

var theirs = regexp.MustCompile(` cmd=restore| flags=[MS] | name=sentinel-`)

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(lastPatience); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("not within %v: %s", lastPatience, what)
			return
		}
	}
}
