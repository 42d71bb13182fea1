package trial

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/internal/sim"
)

// fault is one thing that goes wrong, for a time.
type fault struct {
	number       int
	kind         *kind
	at, length   time.Duration
	server, host int           // whom it strikes
	extent       time.Duration // how slow, how late
	step         time.Duration // how far a clock is stepped
}

// kind is a kind of fault. end is nil if it is over at once.
type kind struct {
	name       string
	weight     int
	ofHost     bool
	ofServer   bool
	steps      bool
	possible   func(*plan) bool // nil: always
	begin, end func(*trial, fault)
}

func clustered(p *plan) bool { return len(p.clusters) > 0 }
func hasReplicas(p *plan) bool {
	return !p.steps && slices.ContainsFunc(p.clusters, func(c clusterPlan) bool { return c.replicas > 0 })
}
func paired(p *plan) bool         { return p.pairs > 0 && !p.steps }
func stepping(p *plan) bool       { return p.steps }
func forgetful(p *plan) bool      { return p.forgets }
func losesMemory(p *plan) bool    { return !p.steps }
func (t *trial) calmDown(f fault) { t.fleet.Servers[f.server].Jitter(t.plan.low, t.plan.high) }

var kinds = []kind{
	{
		name: "slow", weight: 4, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Jitter(f.extent/4, f.extent) },
		end:   (*trial).calmDown,
	},
	{
		name: "hang", weight: 4, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Hang() },
		end:   func(t *trial, f fault) { t.fleet.Servers[f.server].Thaw() },
	},
	{
		name: "hang, old sockets last", weight: 4, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Hang() },
		end:   func(t *trial, f fault) { t.fleet.Servers[f.server].ThawReordered(f.extent) },
	},
	{
		name: "cut", weight: 2, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Cut() },
		end:   func(t *trial, f fault) { t.fleet.Servers[f.server].Mend() },
	},
	{
		name: "break", weight: 2, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Break() },
	},
	{
		name: "lose replies", weight: 3, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].LoseReplies(true) },
		end:   func(t *trial, f fault) { t.fleet.Servers[f.server].LoseReplies(false) },
	},
	{
		name: "lose requests", weight: 1, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].LoseRequests(true) },
		end:   func(t *trial, f fault) { t.fleet.Servers[f.server].LoseRequests(false) },
	},
	{
		name: "execute twice", weight: 1, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Twice(true) },
		end:   func(t *trial, f fault) { t.fleet.Servers[f.server].Twice(false) },
	},
	{
		name: "out of memory", weight: 1, ofServer: true,
		begin: func(t *trial, f fault) {
			t.fleet.Servers[f.server].Refuse("OOM command not allowed when used memory > 'maxmemory'.")
		},
		end: func(t *trial, f fault) { t.fleet.Servers[f.server].Refuse("") },
	},
	{
		name: "forget scripts", weight: 1, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].ForgetScripts() },
	},
	{
		name: "restart with memory", weight: 1, ofServer: true,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].RestartWithMemory() },
	},
	{
		name: "restart empty", weight: 2, ofServer: true, possible: losesMemory,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Restart() },
	},
	{
		name: "freeze", weight: 2, ofHost: true,
		begin: func(t *trial, f fault) { t.hosts[f.host].Freeze() },
		end:   func(t *trial, f fault) { t.hosts[f.host].Resume() },
	},
	{
		name: "part", weight: 4, ofHost: true, ofServer: true,
		begin: func(t *trial, f fault) { t.hosts[f.host].Part(t.fleet.Servers[f.server]) },
		end:   func(t *trial, f fault) { t.hosts[f.host].Join(t.fleet.Servers[f.server], f.extent) },
	},
	{
		name: "step", weight: 6, ofServer: true, steps: true, possible: stepping,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].StepClock(f.step) },
	},
	{
		name: "flush", weight: 4, ofServer: true, possible: forgetful,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Forget() },
	},
	{
		name: "move a slot", weight: 12, possible: clustered,
		begin: (*trial).beginMove,
		end:   (*trial).endMove,
	},
	{
		name: "restart empty, then move the slot", weight: 3, possible: func(p *plan) bool { return clustered(p) && losesMemory(p) },
		begin: func(t *trial, f fault) {
			cl, key := t.about(f)
			cl.Owner(key).Restart()
			t.beginMove(f)
		},
		end: (*trial).endMove,
	},
	{
		name: "fail over", weight: 3, possible: hasReplicas,
		begin: func(t *trial, f fault) {
			cl, key := t.about(f)
			r := rand.New(rand.NewPCG(t.plan.seed, uint64(f.number)))
			t.moving.Go(func() {
				if cl.Failover(key, f.extent, func(string) bool { return r.IntN(2) == 0 }) {
					t.log("failed over: %s", cl.Name)
				}
			})
		},
	},
	{
		name: "fail over to a replica that knows all", weight: 3, possible: paired,
		begin: func(t *trial, f fault) { t.failOver(f, sim.Failover{}) },
	},
	{
		name: "fail over to a replica that lacks the last writes", weight: 3, possible: paired,
		begin: func(t *trial, f fault) { t.failOver(f, sim.Failover{Lag: f.extent}) },
	},
	{
		name: "fail over, and the old master lives on", weight: 3, possible: func(p *plan) bool { return paired(p) && p.forgets },
		begin: func(t *trial, f fault) { t.failOver(f, sim.Failover{Lag: f.extent, Lives: true}) },
	},
	{
		name: "cluster down", weight: 2, ofServer: true, possible: clustered,
		begin: func(t *trial, f fault) { t.fleet.Servers[f.server].Refuse("CLUSTERDOWN The cluster is down") },
		end:   func(t *trial, f fault) { t.fleet.Servers[f.server].Refuse("") },
	},
}

// about returns the cluster and the key that a fault of a cluster is about.
func (t *trial) about(f fault) (cl *sim.Cluster, key string) {
	return t.fleet.Clusters[f.server%len(t.fleet.Clusters)], t.plan.key(resource(f.host % len(t.plan.fenced)))
}

// failOver has the replica of a pair take its master's place.
func (t *trial) failOver(f fault, how sim.Failover) {
	p := t.fleet.Pairs[f.server%len(t.fleet.Pairs)]
	how.Noticed = f.extent + 100*time.Millisecond
	t.moving.Go(func() {
		if p.Failover(how) {
			t.counts.count(&t.counts.failovers)
			t.log("failed over: %s", p.Name)
		}
	})
}

// beginMove has a slot begin to move to another node, and some of its keys go there.
func (t *trial) beginMove(f fault) {
	cl, key := t.about(f)
	for k := range cl.Nodes {
		if mv := cl.BeginMove(key, cl.Nodes[(f.number+k)%len(cl.Nodes)]); mv != nil {
			some := f.extent%3 == 0
			mv.Keys(func(key string) bool { return t.plan.isFence(key) == some })
			t.moves[f.number] = mv
			t.log("moving: %v", mv)
			return
		}
	}
}

// endMove ends the move as soon as that can be.
func (t *trial) endMove(f fault) {
	mv := t.moves[f.number]
	if mv == nil {
		return
	}
	t.moving.Go(func() {
		for !mv.End(f.extent / 8) {
			time.Sleep(10 * time.Millisecond)
		}
		t.log("moved: %v", mv)
	})
}

func (f fault) String() string {
	s := f.kind.name
	if f.kind.ofHost {
		s += fmt.Sprintf(", engine %d", f.host+1)
	}
	if f.kind.ofServer {
		s += fmt.Sprintf(", sim-%d", f.server+1)
	}
	if f.kind.end != nil {
		s += fmt.Sprintf(", for %v", f.length)
	}
	if f.kind.steps {
		s += fmt.Sprintf(", by %v", f.step)
	}
	return s
}
