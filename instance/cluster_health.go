package instance

import (
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// health is Instance.Health: the cluster is as well as the worst of its masters,
// since each of them alone votes on its slots. That the cluster says itself that
// it is down is news for as long as a look at the map takes to come round.
func (c *cluster) health() Health {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i := c.whole
	i.mu.Lock()
	h := i.health
	i.mu.Unlock()
	h.Mailbox = i.mailbox.depth()
	if !c.mapped || h.State == Closed {
		return h
	}
	h.State, h.Err = Up, nil
	uncovered := slots.Count
	for _, n := range c.serving() {
		uncovered -= c.owned[n]
		of := n.Health()
		if why, still := c.still[n]; still && of.State == Down {
			of.Err = why
		}
		h.merge(n, of)
	}
	for _, mv := range c.moves {
		h.Mailbox += mv.waiting.depth()
	}
	for _, until := range c.until {
		if rest := time.Until(until); rest > h.Quarantine {
			h.Quarantine = rest
		}
	}
	switch {
	case h.State == Down:
	case time.Since(c.since) < reach.LookEvery:
		h.State, h.Since, h.Err = Down, c.since, c.trouble
	case uncovered > 0:
		h.State, h.Err = Down, fmt.Errorf("%d of %d slots are served by no node", uncovered, slots.Count)
	case h.State == Up && h.Quarantine > 0:
		h.State = Quarantined
	}
	return h
}

// badness orders the states of nodes.
var badness = [...]int{Up: 0, Quarantined: 1, Connecting: 2, Closed: 3, Down: 4}

// merge counts one node in. What is said of the whole is said of the worst.
func (h *Health) merge(n *node, of Health) {
	h.Latency = max(h.Latency, of.Latency)
	h.Quarantine = max(h.Quarantine, of.Quarantine)
	h.Mailbox += of.Mailbox
	if of.SteppedAt.After(h.SteppedAt) {
		h.Stepped, h.SteppedAt = of.Stepped, of.SteppedAt
	}
	switch worse, as := badness[of.State], badness[h.State]; {
	case worse > as:
		h.State, h.Since, h.Err = of.State, of.Since, nil
		if of.Err != nil {
			h.Err = fmt.Errorf("node %s: %w", n.addr, of.Err)
		}
	case worse == as && of.Since.After(h.Since):
		h.Since = of.Since
	}
}

// covered reports whether every slot has a node that is up.
func (c *cluster) covered() bool {
	return c.whole.isUp()
}

// isUp reports whether an instance answers.
func (i *Instance) isUp() bool {
	h := i.Health()
	return h.State == Up || h.State == Quarantined
}
