package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// Pair is a master and a replica, and three sentinels that say which of the two is
// the master. Each sentinel has a view of its own, so that for a while they need not
// agree.
//
// What the pair is changes between two commands of any of its servers: with the turns
// of all of them held.
type Pair struct {
	Name      string
	Nodes     []*Server
	Sentinels []*Server

	failing bool // a failover is under way; guarded by the turns
}

// leaderName is what the sentinels call the master.
const leaderName = "leader"

// rank is what a server is to one that replicates it.
type rank struct {
	replica bool
	former  string // the replication history of the master that it has succeeded; "": none
}

// AddPair starts a master, a replica and three sentinels, named like "sim-4:1". They
// answer by stores of our own, as those of NewNative do. One instance more is made of
// them from now on.
func (f *Fleet) AddPair() *Pair {
	f.t.Helper()
	p := &Pair{Name: fmt.Sprintf("pair-%d", len(f.Pairs)+1)}
	for range 5 {
		clock := newClock()
		s := newServer(fmt.Sprintf("sim-%d:1", len(f.Servers)+1), newNative(clock), clock)
		s.part = true
		f.t.Cleanup(s.close)
		f.Servers = append(f.Servers, s)
		if len(p.Nodes) < 2 {
			p.Nodes = append(p.Nodes, s)
		} else {
			s.leader = p.Nodes[0]
			p.Sentinels = append(p.Sentinels, s)
		}
	}
	p.Nodes[1].rank.replica = true
	f.Pairs = append(f.Pairs, p)
	return p
}

// behindSentinels is the pair as one instance, for an engine on this host.
func (h *Host) behindSentinels(p *Pair, cfg instance.Config) *instance.Instance {
	cfg.Name, cfg.Sentinel = p.Name, instance.Sentinel{Master: leaderName}
	for _, s := range p.Sentinels {
		cfg.Sentinel.Addrs = append(cfg.Sentinel.Addrs, s.name)
	}
	return h.instanceOf(slices.Concat(p.Nodes, p.Sentinels), cfg)
}

// announced is how a sentinel names a server.
func (s *Server) announced() []byte {
	host, port, _ := strings.Cut(s.name, ":")
	return list(bulk(host), bulk(port))
}

// writes reports whether a replica refuses the command.
func writes(args []string) bool {
	switch strings.ToUpper(args[0]) {
	case "SET", "SETRANGE", "BITFIELD", "DEL", "DELIFEQ", "DELEX", "EVALSHA", "FLUSHALL":
		return true
	}
	return false
}

// succeed makes the replica the master in the place of another, which is a replica
// from now on. Called with the turns of both held.
func (s *Server) succeed(master *Server) {
	s.rank = rank{former: master.history()}
	master.rank = rank{replica: true}
}

// change does something to the pair, with the turns of all its servers.
func (p *Pair) change(do func()) {
	for _, s := range slices.Concat(p.Nodes, p.Sentinels) {
		s.executing.Lock()
		defer s.executing.Unlock()
	}
	do()
}

// Failover is what becomes of a pair whose master fails.
type Failover struct {
	Lag     time.Duration // how long before its end the replica heard of the last write
	Noticed time.Duration // how long until the replica is made the master, and again until the old one is back
	Lives   bool          // the old master goes on as one until then: it was cut off from the sentinels alone
}

// Failover has the master die, and the replica take its place. The sentinels hear of
// it one after the other. The old master comes back as a replica and without keys. It
// reports false when there can be no failover now.
func (p *Pair) Failover(f Failover) bool {
	var master, replica *Server
	var copied map[string]entry
	starts := 0
	p.change(func() {
		master, replica = p.Nodes[0], p.Nodes[1]
		if !replica.rank.replica {
			master, replica = replica, master
		}
		if p.failing || master.isOut() || replica.isOut() {
			master = nil
			return
		}
		p.failing = true
		copied, starts = master.store.(*native).copied(), master.starts
	})
	if master == nil {
		return false
	}
	time.Sleep(f.Lag)
	if !f.Lives {
		master.die(true)
	}
	time.Sleep(f.Noticed)
	p.change(func() {
		if master.starts != starts { // the replica has followed it
			clear(copied)
		}
		p.promote(master, replica, copied, f.Lives)
	})
	for _, s := range p.Sentinels {
		p.change(func() { s.leader = replica })
		time.Sleep(f.Noticed / 4)
	}
	time.Sleep(f.Noticed / 4)
	p.change(func() { p.demote(master) })
	return true
}

// promote is called with all turns held.
func (p *Pair) promote(master, replica *Server, copied map[string]entry, lives bool) {
	replica.alter(func() { replica.store.(*native).replace(copied) })
	replica.replicated()
	if lives {
		replica.rank = rank{former: master.history()}
		return
	}
	replica.succeed(master)
	master.forget() // what a dead process knows, nobody does
}

// demote has the old master be there again, as a replica that knows nothing. Called
// with all turns held.
func (p *Pair) demote(master *Server) {
	master.forget()
	master.rank = rank{replica: true}
	master.change(func() {
		master.breakAll()
		master.hung, master.dead = false, false
		master.starts++
		master.started = master.clock.now()
	})
	master.store.forgetScripts()
	p.failing = false
}

// replicated tells the connections that watch them which keys have come from the master. Called with
// executing held.
func (s *Server) replicated() {
	if s.observe == nil {
		return
	}
	e := Event{At: time.Now(), Server: s, Verb: "replicate"}
	for _, key := range s.store.keys() {
		e.Keys = append(e.Keys, Change{Key: key, After: s.Get(key)})
	}
	s.observe(e)
}
