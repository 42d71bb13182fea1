package sim_test

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// connect asks a simulated server.
func connect(t *testing.T, s *sim.Server) *respondent {
	t.Helper()
	conn, err := s.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &respondent{s.Name(), conn, bufio.NewReader(conn), false}
}

// named is the master in a sentinel's words.
func named(t *testing.T, r *respondent) string {
	t.Helper()
	master, _ := r.ask(t, []string{"SENTINEL", "get-master-addr-by-name", "leader"}).([]any)
	if len(master) != 2 {
		t.Fatalf("%s names %v", r.name, master)
	}
	return fmt.Sprintf("%v:%v", master[0], master[1])
}

// TestSentinelsAndReplicasAnswerAlike asks real ones and simulated ones.
func TestSentinelsAndReplicasAnswerAlike(t *testing.T) {
	real, simulated := redistest.StartFleet(t, redistest.FleetConfig{}), sim.NewNative(t, 0).AddPair()
	reach := func(s *redistest.Server) *respondent {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return &respondent{"real " + s.Addr(), conn, bufio.NewReader(conn), false}
	}
	if got := named(t, reach(real.Sentinels[1])); got != real.Master.Addr() {
		t.Errorf("a real sentinel names %s", got)
	}
	if got := named(t, connect(t, simulated.Sentinels[1])); got != simulated.Nodes[0].Name() {
		t.Errorf("a simulated sentinel names %s", got)
	}
	replicas := []*respondent{reach(real.Replica), connect(t, simulated.Nodes[1])}
	r := &ours{nil, make(map[string]string)}
	for name, source := range sources(t) {
		r.sha[name] = same(t, replicas, []string{"SCRIPT", "LOAD", source}).(string)
	}
	for _, command := range [][]string{
		{"set", "k", "token", "nx", "px", "1000"},
		r.call("acquire", []string{"k"}, "token", "1000"),
		{"GET", "k"},
		{"PTTL", "k"},
	} {
		same(t, replicas, command)
	}
}

func TestReplicaTakesTheMastersPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := sim.NewNative(t, 0).AddPair()
		master, replica := p.Nodes[0], p.Nodes[1]
		info := func(s *sim.Server) string { return fmt.Sprint(connect(t, s).ask(t, []string{"INFO", "replication"})) }
		if got := info(replica); !strings.Contains(got, "role:slave") {
			t.Errorf("the replica says %q", got)
		}
		master.Set("early", "1", time.Minute)
		done := make(chan bool)
		go func() { done <- p.Failover(sim.Failover{Lag: 100 * time.Millisecond, Noticed: time.Second}) }()
		time.Sleep(50 * time.Millisecond)
		master.Set("late", "1", time.Minute)
		time.Sleep(500 * time.Millisecond)
		if _, err := master.Dial(t.Context(), "", ""); err == nil {
			t.Error("the dead master answers")
		}
		if p.Failover(sim.Failover{}) {
			t.Error("a second failover, while one is under way")
		}
		if !<-done {
			t.Fatal("no failover")
		}
		if got := replica.Keys(); !slices.Equal(got, []string{"early"}) || replica.TTL("early") > 59*time.Second {
			t.Errorf("the new master has %v, for another %v", got, replica.TTL("early"))
		}
		if got := info(replica); !strings.Contains(got, "role:master") || !strings.Contains(got, "master_replid2:"+master.Name()) {
			t.Errorf("the new master says %q", got)
		}
		if got := info(master); !strings.Contains(got, "role:slave") || len(master.Keys()) != 0 {
			t.Errorf("the old master has %v, and says %q", master.Keys(), got)
		}
		for _, s := range p.Sentinels {
			if got := named(t, connect(t, s)); got != replica.Name() {
				t.Errorf("%s names %s", s.Name(), got)
			}
		}
		if !p.Failover(sim.Failover{Noticed: time.Second}) || named(t, connect(t, p.Sentinels[0])) != master.Name() {
			t.Error("the old master has not come back")
		}
	})
}

// An old master that was cut off from the sentinels alone goes on until it is told.
func TestOldMasterMayLiveOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := sim.NewNative(t, 0).AddPair()
		old := connect(t, p.Nodes[0])
		go p.Failover(sim.Failover{Noticed: time.Second, Lives: true})
		time.Sleep(1100 * time.Millisecond)
		for _, r := range []*respondent{old, connect(t, p.Nodes[1])} {
			if got := r.ask(t, []string{"set", "k", r.name, "nx", "px", "60000"}); got != "+OK" {
				t.Errorf("%s says %v", r.name, got)
			}
		}
		time.Sleep(time.Second)
		if p.Nodes[0].Get("k") != "" || p.Nodes[1].Get("k") == "" {
			t.Errorf("the old one has %q, the new one %q", p.Nodes[0].Get("k"), p.Nodes[1].Get("k"))
		}
	})
}
