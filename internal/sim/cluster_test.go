package sim_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// pair is a node of a real cluster and the one of the simulated that stands for it.
type pair struct{ real, sim *clusterNode }

type clusterNode struct {
	respondent
	addrs *[]string // of its cluster's nodes, in their order
}

// says asks the node, and names the nodes that it names by their places.
func (n *clusterNode) says(t *testing.T, args []string) any {
	t.Helper()
	reply := n.ask(t, args)
	text, isText := reply.(string)
	if !isText || !strings.HasPrefix(text, "-MOVED ") && !strings.HasPrefix(text, "-ASK ") {
		if code, _, _ := strings.Cut(fmt.Sprint(reply), " "); isText && strings.HasPrefix(text, "-") {
			return code
		}
		return reply
	}
	for place, addr := range *n.addrs {
		text = strings.Replace(text, addr, fmt.Sprintf("node %d", place), 1)
	}
	return text
}

// TestClustersAnswerAlike sends random sequences of our own commands to the nodes of
// a real cluster and of a simulated one, while a slot moves from one to the other:
// also those of several keys, some of which have moved.
func TestClustersAnswerAlike(t *testing.T) {
	real, fleet := redistest.StartCluster(t, 2, false), sim.NewNative(t, 0)
	simulated := fleet.AddCluster(2, 0)
	addrs := [][]string{real.Addrs(), {simulated.Nodes[0].Name(), simulated.Nodes[1].Name()}}
	var pairs []pair
	scripts, r := sources(t), &ours{rand.New(rand.NewPCG(3, 4)), make(map[string]string)}
	for place := range 2 {
		dials := []func() (net.Conn, error){
			func() (net.Conn, error) { return net.Dial("tcp", addrs[0][place]) },
			func() (net.Conn, error) { return simulated.Nodes[place].Dial(t.Context(), "", "") },
		}
		var nodes []*clusterNode
		for kind, dial := range dials {
			conn, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			n := &clusterNode{respondent{fmt.Sprintf("%s node %d", []string{"real", "simulated"}[kind], place), conn, bufio.NewReader(conn), true}, &addrs[kind]}
			nodes = append(nodes, n)
			for name, source := range scripts {
				r.sha[name] = n.ask(t, []string{"SCRIPT", "LOAD", source}).(string)
			}
		}
		pairs = append(pairs, pair{nodes[0], nodes[1]})
	}
	kinds := make(map[string]int)
	ask := func(commands int) {
		t.Helper()
		for range commands {
			p, command := pairs[r.IntN(2)], r.clusterCommand()
			if r.IntN(3) == 0 {
				same(t, []*respondent{&p.real.respondent, &p.sim.respondent}, []string{"ASKING"})
			}
			a, b := p.real.says(t, command), p.sim.says(t, command)
			if !alike(a, b) {
				t.Fatalf("%.90q: %s says %v, %s says %v", command, p.real.name, a, p.sim.name, b)
			}
			kinds[fmt.Sprintf("%.5s", fmt.Sprint(a))]++
		}
	}
	key := "{slot}k0"
	for round := range 6 {
		ask(100)
		to := (1 + round) % 2
		if simulated.Owner(key) == simulated.Nodes[to] {
			to = 1 - to
		}
		migration, move := real.BeginMigration(real.Slot(key), real.Masters[to]), simulated.BeginMove(key, simulated.Nodes[to])
		if move == nil {
			t.Fatal("the slot cannot move")
		}
		ask(100)
		for _, some := range []string{"k0", "f1", "k1"} {
			which := func(key string) bool { return strings.HasSuffix(key, some) }
			migration.MoveKeysOf(which)
			move.Keys(which)
			ask(100)
		}
		migration.MoveKeys()
		migration.End()
		if !move.End(0) {
			t.Fatal("the move has not ended")
		}
	}
	for _, kind := range []string{"-MOVE", "-ASK ", "-TRYA", "-CROS", "<nil>", "[1]"} {
		if kinds[kind] == 0 {
			t.Errorf("never answered: %s", kind)
		}
	}
}

// clusterCommand is one about keys of one slot, mostly.
func (r *ours) clusterCommand() []string {
	key := fmt.Sprintf("{slot}k%d", r.IntN(2))
	other := fmt.Sprintf("{slot}k%d", r.IntN(2))
	switch r.IntN(10) {
	case 0, 1:
		return []string{"set", key, r.token(), "nx", "get", "px", r.ttl()}
	case 2:
		n := r.number()
		return r.call("acquire_fenced", []string{key, "{slot}f" + key[len(key)-1:]}, r.token(), r.ttl(), n, r.ttl(), "30000000", n)
	case 3:
		return r.call("release", []string{key}, r.token())
	case 4:
		return r.call("release_many", []string{key, other}, r.token(), r.token())
	case 5:
		return r.call("renew", []string{key, other}, r.token(), r.ttl(), r.token(), r.ttl())
	case 6:
		return r.call("inspect", []string{key})
	case 7:
		return r.call("release_many", []string{key, "elsewhere"}, r.token(), r.token())
	case 8:
		return []string{"DEL", key}
	}
	return []string{"PTTL", key}
}

// What a failover leaves behind: a replica that is a master now, and says that it
// was none; the old master, which is empty and knows nothing of its own any more.
func TestReplicaTakesItsMastersPlace(t *testing.T) {
	fleet := sim.NewNative(t, 0)
	cl := fleet.AddCluster(2, 1)
	old := cl.Owner("k")
	old.Set("k", "v", time.Hour)
	old.Set("{k}lost", "v", time.Hour)
	if !cl.Failover("k", time.Millisecond, func(key string) bool { return key == "k" }) {
		t.Fatal("there was no failover")
	}
	owner := cl.Owner("k")
	if owner == old || owner.Get("k") != "v" || owner.Get("{k}lost") != "" || old.Get("k") != "" {
		t.Errorf("%s has it now, %s had it; %q and %q", owner.Name(), old.Name(), owner.Keys(), old.Keys())
	}
	for s, want := range map[*sim.Server]string{old: "role:slave", owner: "role:master"} {
		conn, err := s.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		r := &respondent{s.Name(), conn, bufio.NewReader(conn), false}
		info := fmt.Sprint(r.ask(t, []string{"INFO", "replication"}))
		if !strings.Contains(info, want) || s == owner && !strings.Contains(info, "replid2:"+old.Name()) {
			t.Errorf("%s: %s", s.Name(), info)
		}
		if said := fmt.Sprint(r.ask(t, []string{"GET", "k"})); s == old && said != "-MOVED" {
			t.Errorf("the old master says %s", said)
		}
		_ = conn.Close()
	}
}
