package trial

import (
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/sim"
)

// voter is one vote: a server, or all the nodes of a cluster.
type voter struct {
	name    string
	servers []*sim.Server
	cluster *sim.Cluster // nil: it is a server
}

// enlist makes the voters of the fleet.
func (t *trial) enlist() {
	member := make(map[*sim.Server]bool)
	for _, cl := range t.fleet.Clusters {
		for _, s := range cl.Nodes {
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
