package instance

import (
	"sync"
	"testing"

	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// bare is a server on its own that is nowhere.
func bare(name string) *Instance {
	i := &Instance{name: name}
	i.makeStandalone()
	return i
}

// votes is a Caster that keeps what is cast.
type votes struct {
	mu  sync.Mutex
	all []Vote
}

func (c *votes) Cast(v Vote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, v)
}

func (c *votes) CastRenewals(_ []Renewal, votes []Vote) {
	for _, v := range votes {
		c.Cast(v)
	}
}

func (c *votes) cast() []Vote {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Vote(nil), c.all...)
}

func (c *votes) kinds() []Kind {
	var kinds []Kind
	for _, v := range c.cast() {
		kinds = append(kinds, v.Kind)
	}
	return kinds
}
