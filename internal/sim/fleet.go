package sim

import (
	"fmt"
	"testing"

	"github.com/holdfast-go/holdfast/instance"
)

// Fleet is the servers of one test.
type Fleet struct {
	Servers  []*Server  // all: nodes of clusters, pairs and their sentinels, too
	Clusters []*Cluster // each one instance
	Pairs    []*Pair    // each one instance

	t testing.TB
}

// New starts n servers, named sim-1, sim-2, …, that are closed with the test. It
// is called inside a bubble. What answers is miniredis.
func New(t testing.TB, n int) *Fleet {
	t.Helper()
	f := &Fleet{t: t}
	for range n {
		m, err := newMini()
		if err != nil {
			t.Fatalf("sim: %v", err)
		}
		f.add(m, newClock())
	}
	return f
}

// NewNative is New with servers of our own, which are faster, know our commands
// only, and have clocks.
func NewNative(t testing.TB, n int) *Fleet {
	t.Helper()
	f := &Fleet{t: t}
	for range n {
		c := newClock()
		f.add(newNative(c), c)
	}
	return f
}

func (f *Fleet) add(store store, c *clock) {
	s := newServer(fmt.Sprintf("sim-%d", len(f.Servers)+1), store, c)
	f.t.Cleanup(s.close)
	f.Servers = append(f.Servers, s)
}

// Seed decides what is random about the connections that are made from now on.
func (f *Fleet) Seed(seed uint64) {
	for k, s := range f.Servers {
		s.change(func() { s.seed = seed + uint64(k) })
	}
}

// Instances makes one instance a server, a cluster, or a pair, for one engine on a host of
// its own: call it again for the next engine. Each is called after its server.
func (f *Fleet) Instances(cfg instance.Config) []*instance.Instance {
	return f.Host().Instances(cfg)
}

// Each does something to every server.
func (f *Fleet) Each(do func(*Server)) { Each(f.Servers, do) }

// Each does something to each of the servers, such as fleet.Servers[:2].
func Each(servers []*Server, do func(*Server)) {
	for _, s := range servers {
		do(s)
	}
}

// Holders returns what each server has under the key: "" is nothing.
func (f *Fleet) Holders(key string) []string {
	var holders []string
	for _, s := range f.Servers {
		holders = append(holders, s.Get(key))
	}
	return holders
}

// Count returns how many servers have this value under the key.
func (f *Fleet) Count(key, value string) int {
	n := 0
	for _, holder := range f.Holders(key) {
		if holder == value {
			n++
		}
	}
	return n
}
