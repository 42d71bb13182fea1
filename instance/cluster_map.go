package instance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// askedFor is how long a node without a slot is kept after it was last asked for
// one that it is being given.
const askedFor = 10 * time.Second

// look asks one node for the map, and does what follows from it. As long as there
// is none, the reason is the whole's.
func (c *cluster) look(ctx context.Context, s *slots.Scout) {
	ctx, cancel := context.WithTimeout(ctx, c.whole.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(c.whole.mailbox.life, cancel)() // nobody waits for a map any more
	v, err := s.Map(ctx, c.sources(), c.covered())
	switch {
	case err == nil:
		c.apply(v, c.hear(ctx, v))
		return
	case c.whole.mailbox.isClosed():
		return
	}
	c.mu.RLock()
	mapped := c.mapped
	c.mu.RUnlock()
	if !mapped {
		v := c.whole.classify(err)
		if fault.IsNoDatabase(err) {
			v.Err = fmt.Errorf("%w (%w)", v.Err, errOneDatabase)
		}
		c.whole.actor.down(v)
	}
}

// apply takes a map over, and what masters that are down say themselves. A slot whose node is up and still one of the masters is
// left to what that node says itself, which is newer than any map: else a
// node that has missed the latest would send us back and forth.
func (c *cluster) apply(v *slots.Map, words map[*node]word) {
	walls := make(map[*node]*barrier) // by the node that the slots leave
	c.mu.Lock()
	if !c.mapped {
		refused := c.adopt(v)
		c.mu.Unlock()
		for _, refuse := range refused {
			refuse()
		}
		return
	}
	listed := make(map[string]bool)
	for slot, addr := range v {
		if slot == 0 || addr != v[slot-1] {
			listed[addr] = true
		}
	}
	up, stays := make(map[*node]bool), make(map[*node]bool)
	for _, n := range c.nodes {
		up[n] = n.isUp()
		stays[n] = up[n] && listed[n.addr]
		if w, said := words[n]; said {
			c.note(n, w)
		} else if up[n] {
			delete(c.still, n)
		}
	}
	var settled struct { // as most slots are, like the one before
		from *node
		addr string
	}
	for slot, addr := range v {
		slot, from := uint16(slot), c.slots[slot]
		switch {
		case from != nil && from == settled.from && addr == settled.addr, addr == "":
			continue
		case from != nil && from.addr == addr:
			settled.from, settled.addr = from, addr
			continue
		case stays[from]: // it will say so itself, if we ask before the slot is back
			c.doubt(slot, c.nodes[addr])
			continue
		case c.moves[slot] != nil:
			continue
		}
		switch to := c.node(addr); {
		case to == nil:
		case from == nil: // nobody has handed its memory over
			if c.set.guard != GuardOff {
				c.until[slot] = time.Now().Add(c.set.quarantine)
			}
			c.assign(slot, to)
		default:
			if walls[from] == nil {
				walls[from] = new(barrier)
			}
			walls[from].moves = append(walls[from].moves, c.begin(slot, to, up[from] || words[from].handedOver(from.Health().RunID, slot, addr)))
		}
	}
	c.tidy()
	c.mu.Unlock()
	for from, wall := range walls {
		from.mailbox.put(from.name, wall)
	}
}

// adopt takes the first map over, and gives the nodes what has waited for it. It
// returns what could not be given. Called with mu held for writing.
func (c *cluster) adopt(v *slots.Map) (refused []func()) {
	if c.closed {
		return nil
	}
	var fresh []*node
	var n *node // of the slot before
	for slot, addr := range v {
		if n == nil || n.addr != addr {
			if n = c.nodes[addr]; n == nil && addr != "" {
				if n = c.create(addr); n != nil {
					fresh = append(fresh, n)
				}
			}
		}
		if n != nil {
			c.assign(uint16(slot), n)
		}
	}
	c.set.expand(c.whole, fresh)
	for _, n := range fresh {
		c.start(n)
	}
	c.mapped = true
	for _, m := range c.whole.mailbox.drain() {
		if v, taken := c.offer(m, slotOf(original(m))); !taken {
			refused = append(refused, func() { m.refuse(v) })
		}
	}
	return refused
}

// tidy forgets what is over. Called with mu held for writing.
func (t *slotTable) tidy() {
	now := time.Now()
	for slot, until := range t.until {
		if !now.Before(until) {
			delete(t.until, slot)
		}
	}
	for _, n := range t.nodes {
		if now.Sub(t.asked[n]) > askedFor { // the zero time is long ago, too
			t.retire(n)
		}
	}
}

// node returns the node at an address, and makes it if need be: nil when there are
// too many, or no more may be made. Called with mu held for writing.
func (t *slotTable) node(addr string) *node {
	if n := t.nodes[addr]; n != nil {
		return n
	}
	n := t.create(addr)
	if n != nil {
		t.start(n)
	}
	return n
}

// create makes a node that does not run yet. Called with mu held for writing.
func (t *slotTable) create(addr string) *node {
	if t.closed || len(t.nodes) >= maxNodes || reach.CheckAddr(addr) != nil {
		return nil
	}
	n := t.make(addr)
	t.nodes[addr] = n
	return n
}

// unattached makes the instance of a node that is no part of the map.
func (c *cluster) unattached(addr string) *Instance {
	cfg := c.whole.cfg
	cfg.Name = c.whole.name + " (" + addr + ")"
	n := assemble(c.options(addr), cfg, c.whole.secrets)
	n.dialer = c.dialer()
	n.looks.Lookup, n.looks.Mapped = c.whole.looks.Lookup, c.whole.looks.Mapped
	return n
}

// masters are the nodes that serve slots.
func (t *slotTable) masters() []*node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.serving()
}

// serving is masters. Called with mu held.
func (t *slotTable) serving() []*node {
	return slices.SortedFunc(maps.Keys(t.owned), func(a, b *node) int { return strings.Compare(a.addr, b.addr) })
}

// sources are the addresses to ask: the masters', then those that we were given.
func (c *cluster) sources() []string {
	var addrs []string
	for _, n := range c.masters() {
		addrs = append(addrs, n.addr)
	}
	for _, seed := range c.seeds {
		if !slices.Contains(addrs, seed) {
			addrs = append(addrs, seed)
		}
	}
	return addrs
}
