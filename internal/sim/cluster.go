package sim

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// Cluster is a simulated Redis Cluster: servers that share the slots of the keys,
// and say MOVED, ASK and TRYAGAIN as its nodes do. Each has a view of its own of who
// serves which slot, so that for a while they need not agree. Those without a slot
// are replicas: they have no keys, until a failover makes one a master.
//
// What the cluster is changes between two commands of any of its nodes: with the
// turns of all of them held. So a command that is executed may look at it.
type Cluster struct {
	Name  string
	Nodes []*Server
}

// slotCount is how many slots a cluster has.
const slotCount = 1 << 14

// membership is what a server knows as a node of a cluster.
type membership struct {
	cluster *Cluster
	view    [slotCount]*Server // whom it takes for the master of each slot
	moving  map[int]*Server    // its slots that are on their way to another
	coming  map[int]*Server    // others' slots that are on their way here
	failing bool               // a failover from it, or to it, is under way
}

// AddCluster starts a cluster of so many masters, which share the slots evenly, and
// replicas, named like "sim-4:1". They answer by stores of our own, as those of
// NewNative do. One instance more is made of it from now on.
func (f *Fleet) AddCluster(masters, replicas int) *Cluster {
	f.t.Helper()
	cl := &Cluster{Name: fmt.Sprintf("cluster-%d", len(f.Clusters)+1)}
	for k := range masters + replicas {
		clock := newClock()
		s := newServer(fmt.Sprintf("sim-%d:1", len(f.Servers)+1), newNative(clock), clock)
		s.member = &membership{cluster: cl, moving: make(map[int]*Server), coming: make(map[int]*Server)}
		s.part, s.rank.replica = true, k >= masters
		f.t.Cleanup(s.close)
		f.Servers = append(f.Servers, s)
		cl.Nodes = append(cl.Nodes, s)
	}
	for _, s := range cl.Nodes {
		for slot := range s.member.view {
			s.member.view[slot] = cl.Nodes[slot*masters/slotCount]
		}
	}
	f.Clusters = append(f.Clusters, cl)
	return cl
}

// slotOf is the slot of a key.
func slotOf(key string) int {
	if _, behind, found := strings.Cut(key, "{"); found {
		if tag, _, closed := strings.Cut(behind, "}"); closed && tag != "" {
			key = tag
		}
	}
	crc := 0 // CRC16-XMODEM
	for _, b := range []byte(key) {
		crc ^= int(b) << 8
		for range 8 {
			if crc <<= 1; crc&0x10000 != 0 {
				crc ^= 0x11021
			}
		}
	}
	return crc % slotCount
}

// instance is the cluster as one instance, for an engine on this host.
func (h *Host) instance(cl *Cluster, cfg instance.Config) *instance.Instance {
	cfg.Name = cl.Name
	cfg.Cluster = []string{cl.Nodes[0].name, cl.Nodes[1].name}
	return h.instanceOf(cl.Nodes, cfg)
}

// instanceOf is an instance that finds its servers by itself, by their names.
func (h *Host) instanceOf(servers []*Server, cfg instance.Config) *instance.Instance {
	cfg.Dialer = func(ctx context.Context, _, addr string) (net.Conn, error) {
		for _, s := range servers {
			if s.name == addr {
				return h.Dial(ctx, s)
			}
		}
		return nil, fmt.Errorf("sim: there is no server at %s", addr)
	}
	i, err := instance.Dial("", cfg)
	if err != nil {
		h.fleet.t.Fatalf("sim: %v", err)
	}
	return i
}

// keysOf are the keys that a command is about.
func keysOf(args []string) []string {
	switch strings.ToUpper(args[0]) {
	case "SET", "GET", "GETRANGE", "SETRANGE", "BITFIELD", "DEL", "DELIFEQ", "DELEX", "PTTL":
		if len(args) > 1 {
			return args[1:2]
		}
	case "EXISTS":
		return args[1:]
	case "EVALSHA":
		if len(args) > 2 {
			if n := int(integer(args[2])); n >= 0 && n <= len(args)-3 {
				return args[3 : 3+n]
			}
		}
	}
	return nil
}

// refers returns what a node says in place of carrying a command out, if it does.
// Called with executing held.
func (s *Server) refers(args []string, asking bool) (reply []byte, ok bool) {
	m, keys := s.member, keysOf(args)
	if m == nil || len(keys) == 0 {
		return nil, false
	}
	slot, here := slotOf(keys[0]), 0
	for _, key := range keys {
		if slotOf(key) != slot {
			return text("-CROSSSLOT Keys in request don't hash to the same slot"), true
		}
		if _, ok := s.store.get(key); ok {
			here++
		}
	}
	owner, to := m.view[slot], m.moving[slot]
	tryAgain := text("-TRYAGAIN Multiple keys request during rehashing of slot")
	switch {
	case owner == s && to != nil && here < len(keys) && here > 0:
		return tryAgain, true
	case owner == s && to != nil && here == 0:
		return fmt.Appendf(nil, "-ASK %d %s\r\n", slot, to.name), true
	case owner == s:
		return nil, false
	case m.coming[slot] != nil && asking && here < len(keys) && several(keys):
		return tryAgain, true
	case m.coming[slot] != nil && asking:
		return nil, false
	}
	return fmt.Appendf(nil, "-MOVED %d %s\r\n", slot, owner.name), true
}

// several reports whether not all keys are the same.
func several(keys []string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return key != keys[0] })
}

// slots is the answer to CLUSTER SLOTS: the view, range by range.
func (m *membership) slots() []byte {
	var ranges [][]byte
	for first := 0; first < slotCount; {
		last := first
		for last+1 < slotCount && m.view[last+1] == m.view[first] {
			last++
		}
		host, port, _ := strings.Cut(m.view[first].name, ":")
		node := list(bulk(host), number(integer(port)), bulk(host), list())
		ranges = append(ranges, list(number(int64(first)), number(int64(last)), node))
		first = last + 1
	}
	return list(ranges...)
}

// change does something to the cluster, with the turns of all its nodes.
func (cl *Cluster) change(do func()) {
	for _, s := range cl.Nodes {
		s.executing.Lock()
		defer s.executing.Unlock()
	}
	do()
}

// Owner is the node that serves the key's slot, in its own eyes.
func (cl *Cluster) Owner(key string) (owner *Server) {
	cl.change(func() { owner = cl.owner(slotOf(key)) })
	return owner
}

// owner is called with all turns held. While a slot changes hands two think that it
// is theirs: the one that has got it is right.
func (cl *Cluster) owner(slot int) (owner *Server) {
	for _, s := range cl.Nodes {
		if s.member.view[slot] == s && (owner == nil || s.member.moving[slot] == nil) {
			owner = s
		}
	}
	return owner
}

// Move is a slot on its way from one node to another.
type Move struct {
	cluster  *Cluster
	slot     int
	from, to *Server
}

func (mv *Move) String() string {
	return fmt.Sprintf("slot %d from %s to %s", mv.slot, mv.from.name, mv.to.name)
}

// BeginMove has the slot of the key begin to move: its node says ASK from now on of
// keys that it does not have. It returns nil when the slot cannot move there now.
func (cl *Cluster) BeginMove(key string, to *Server) (mv *Move) {
	cl.change(func() {
		slot := slotOf(key)
		from := cl.owner(slot)
		if from == to || from.isOut() || to.isOut() || to.rank.replica || to.member.failing || from.member.failing || cl.unsettled(slot, from) {
			return
		}
		mv = &Move{cl, slot, from, to}
		from.member.moving[slot] = to
		to.member.coming[slot] = from
	})
	return mv
}

// unsettled reports whether the slot is on its way already, or not all nodes know
// yet who serves it.
func (cl *Cluster) unsettled(slot int, owner *Server) bool {
	return slices.ContainsFunc(cl.Nodes, func(s *Server) bool {
		m := s.member
		return m.view[slot] != owner || m.moving[slot] != nil || m.coming[slot] != nil
	})
}

// Keys moves the slot's keys, those for which which returns true, as MIGRATE does.
// It moves none while one of the two nodes cannot be reached, and reports whether
// all have been moved.
func (mv *Move) Keys(which func(key string) bool) (all bool) {
	mv.cluster.change(func() {
		if mv.from.isOut() || mv.to.isOut() {
			return
		}
		all = true
		for _, key := range mv.from.store.keys() {
			switch {
			case slotOf(key) != mv.slot:
			case which(key):
				mv.from.copy(key, mv.to)
				mv.from.alter(func() { mv.from.store.del(key) })
			default:
				all = false
			}
		}
	})
	return all
}

// copy copies a key to another node, where it lives for as long by that one's
// clock, and for the millisecond that the copy took. Called with both turns held.
func (s *Server) copy(key string, to *Server) {
	value, _ := s.store.get(key)
	to.alter(func() { to.store.set(key, value, s.store.(*native).left(key)+time.Millisecond) })
}

// isOut reports whether nobody can reach the server.
func (s *Server) isOut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hung || s.cut || s.dead
}

// End makes the slot the new node's, once all keys are there, and reports whether
// it did. That one knows it at once, the old one a while later, and the others
// another while later.
func (mv *Move) End(while time.Duration) (ended bool) {
	if !mv.Keys(func(string) bool { return true }) {
		return false
	}
	mv.cluster.change(func() { mv.known(mv.to) })
	time.Sleep(while)
	mv.cluster.change(func() { mv.known(mv.from) })
	time.Sleep(while)
	mv.cluster.change(func() {
		for _, s := range mv.cluster.Nodes {
			mv.known(s)
		}
	})
	return true
}

// known tells a node that the slot has moved.
func (mv *Move) known(s *Server) {
	s.member.view[mv.slot] = mv.to
	delete(s.member.moving, mv.slot)
	delete(s.member.coming, mv.slot)
}

// Failover has a master die and, when the others have noticed, a replica take its
// place, with copies of those of its keys for which copied returns true: what was
// written last may be missing. As long again thereafter the old master comes back,
// as a replica and without keys. It reports false when there is no replica, or a
// slot of the master's is on its way.
func (cl *Cluster) Failover(key string, noticed time.Duration, copied func(key string) bool) bool {
	var master, replica *Server
	cl.change(func() {
		slot := slotOf(key)
		owner := cl.owner(slot)
		at := slices.IndexFunc(cl.Nodes, func(s *Server) bool { return s.rank.replica && !s.member.failing && !s.isOut() })
		if at < 0 || owner.member.failing || cl.unsettled(slot, owner) || len(owner.member.moving)+len(owner.member.coming) > 0 {
			return
		}
		master, replica = owner, cl.Nodes[at]
		master.member.failing, replica.member.failing = true, true
	})
	if master == nil {
		return false
	}
	master.die(true)
	time.Sleep(noticed)
	cl.change(func() { cl.promote(master, replica, copied) })
	time.Sleep(noticed)
	master.Restart()
	master.die(false)
	cl.change(func() { master.member.failing, replica.member.failing = false, false })
	return true
}

// promote is called with all turns held.
func (cl *Cluster) promote(master, replica *Server, copied func(key string) bool) {
	replica.succeed(master)
	for _, key := range master.store.keys() {
		if copied(key) {
			master.copy(key, replica)
		}
	}
	master.forget() // what a dead process knows, nobody does
	for _, s := range cl.Nodes {
		for slot, owner := range s.member.view {
			if owner == master {
				s.member.view[slot] = replica
			}
		}
	}
}

// die ends the process, as far as anybody can tell, or has it be there again.
func (s *Server) die(dead bool) {
	s.change(func() {
		s.dead = dead
		if dead {
			s.breakAll()
		}
	})
}

// history names the data that the server has.
func (s *Server) history() string { return fmt.Sprintf("%s.%d", s.name, s.starts) }
