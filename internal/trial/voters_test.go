package trial

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/sim"
)

// voter is one vote: a server, all the nodes of a cluster, or a master and its replica.
type voter struct {
	name    string
	servers []*sim.Server
	cluster *sim.Cluster // nil: it is none
	pair    *sim.Pair    // nil: it is none
}

// enlist makes the voters of the fleet.
func (t *trial) enlist() {
	member := make(map[*sim.Server]bool)
	for _, cl := range t.fleet.Clusters {
		for _, s := range cl.Nodes {
			member[s] = true
		}
	}
	for _, p := range t.fleet.Pairs {
		for _, s := range slices.Concat(p.Nodes, p.Sentinels) {
			member[s] = true
		}
	}
	for _, s := range t.fleet.Servers {
		if !member[s] {
			t.voters = append(t.voters, &voter{name: s.Name(), servers: []*sim.Server{s}})
		}
	}
	for _, cl := range t.fleet.Clusters {
		t.voters = append(t.voters, &voter{name: cl.Name, servers: cl.Nodes, cluster: cl})
	}
	for _, p := range t.fleet.Pairs {
		t.voters = append(t.voters, &voter{name: p.Name, servers: p.Nodes, pair: p})
	}
}

// get returns what is under the key, and until when, wherever in the cluster it is.
func (v *voter) get(key string) (value string, until time.Time) {
	for _, s := range v.servers {
		if value = s.Get(key); value != "" {
			return value, time.Now().Add(s.TTL(key))
		}
	}
	return "", time.Time{}
}

// owns reports whether a token is the engine's, as far as that shows.
func (e *enginePlan) owns(token string) bool {
	return e.owner != "" && strings.HasPrefix(token, e.owner+"~")
}

// engineOf returns which engine made a token, if that can be told.
func (p *plan) engineOf(token string) (host int, ok bool) {
	for h := range p.engines {
		if p.engines[h].owns(token) {
			return h, true
		}
	}
	return 0, false
}

// userToken is how tokens begin that workers make up themselves.
const userToken = "user-"
