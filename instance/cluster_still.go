package instance

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/slots"
)

// A master whose slots migrate all at once (Valkey 9's CLUSTER MIGRATESLOTS) stands still at the moment at which they
// change hands: it carries out no write and no script, for any of its slots, and answers the rest. When that takes longer than the
// instance's timeout it is down for us. It is not dead, though, and has forgotten nothing: that is what it says itself,
// on a connection of its own. So what it hands over meanwhile is as good as what it has handed over otherwise.

// word is what a master that is down says of itself.
type word struct {
	slots.Word
	at time.Time
}

// handedOver reports whether the word is that of the same process, a master still, and that the slot is at addr now.
func (w word) handedOver(runID string, slot uint16, addr string) bool {
	return w.Map != nil && runID != "" && w.RunID == runID && w.Map[slot] == addr
}

// hear asks those masters that are down for their word, all at the same time: at once when they lose slots by the
// map, else once a second. Nobody else calls it at the same time.
func (c *cluster) hear(ctx context.Context, v *slots.Map) map[*node]word {
	words := make(map[*node]word)
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, n := range c.silent(v) {
		asking.Go(func() {
			s := c.scout()
			defer s.Close()
			said, err := s.Hear(ctx, n.addr)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			words[n] = word{said, time.Now()}
		})
	}
	asking.Wait()
	return words
}

// silent are the masters to be asked for their word.
func (c *cluster) silent(v *slots.Map) (nodes []*node) {
	now := time.Now()
	c.mu.RLock()
	defer c.mu.RUnlock()
	loses := make(map[*node]bool)
	for slot, addr := range v {
		if n := c.slots[slot]; n != nil && addr != "" && n.addr != addr {
			loses[n] = true
		}
	}
	for _, n := range c.serving() {
		if n.isUp() || n.Health().RunID == "" {
			delete(c.heard, n)
			continue
		}
		if loses[n] || now.Sub(c.heard[n]) > time.Second {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// note notes what was heard. Called with mu held for writing.
func (t *slotTable) note(n *node, w word) {
	t.heard[n] = w.at
	if w.Paused == "" {
		delete(t.still, n)
		return
	}
	why := errStill{w.Paused}
	if t.still[n] != why {
		t.still[n] = why
		n.log.Warn("the writes of a node stand still", "node", n.addr, "reason", why)
	}
}

// errStill is why a master does not answer that answers PING.
type errStill struct{ reason string }

func (e errStill) Error() string {
	if strings.Contains(e.reason, "migration") {
		return fmt.Sprintf("its writes stand still (%s): slots are migrating", e.reason)
	}
	return fmt.Sprintf("its writes stand still (%s)", e.reason)
}
