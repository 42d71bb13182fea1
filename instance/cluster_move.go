package instance

import (
	"slices"
	"time"
)

// move is a slot that changes hands. Its messages must stay in order, though some
// of them are still on the way at the old node, which will say of each that it
// has moved, while new ones are posted. So
//
//  1. from when the move begins, new ones wait in the move;
//  2. behind all those that were posted to the old node goes a barrier;
//  3. what the old node sends on is collected, in the order of its replies, which
//     is that of the posts;
//  4. when the barrier has been answered, all those in front of it have: the new
//     node gets what was collected, then what waits, and serves the slot.
//
// Every step is under the cluster's lock, and posting is, too: a message is posted
// to the old node in front of the barrier, or waits, or is posted to the new node
// behind what waited. Should the old node carry one out after all, since the slot
// has come back to it meanwhile, or owe it, then no acquire is sent on that was
// collected before: see keep. An acquire that the old node does not answer is not
// executed at the new one at all. And what an actor sends on elsewhere than in the
// order of its slot (an answer of the old node to what was owed there, say) is
// never an acquire: see sendOn.
//
// The barrier is a command of its own, since only a reply tells that those in
// front of it are over; and it is one that every server permits us or refuses us
// at once, which does as well.
type move struct {
	cluster  *cluster
	slot     uint16
	from, to *Instance
	told     bool      // the old node is up, so that it can have handed its memory over
	sentOn   []*routed // by the old node
	waiting  *mailbox  // posted since
}

// begin takes down that a slot changes hands. The caller posts a barrier with the move
// once it does not hold mu any more. Called with mu held for writing.
func (c *cluster) begin(slot uint16, to *Instance, told bool) *move {
	mv := &move{cluster: c, slot: slot, from: c.slots[slot], to: to, told: told, waiting: newMailbox(c.whole.cfg.Mailbox)}
	c.moves[slot] = mv
	mv.from.leaving.Add(1)
	return mv
}

// end is step 4.
func (mv *move) end() {
	c := mv.cluster
	var refused []func()
	c.mu.Lock()
	delete(c.moves, mv.slot)
	mv.from.leaving.Add(-1)
	c.distrust(mv)
	c.assign(mv.slot, mv.to)
	give := func(m Command) {
		if v, taken := c.offer(m, mv.slot); !taken {
			refused = append(refused, func() { m.refuse(v) })
		}
	}
	for _, m := range mv.sentOn {
		give(m)
	}
	for _, m := range mv.waiting.drain() {
		give(m)
	}
	for _, d := range mv.waiting.settleDebts() {
		give(d.release())
	}
	c.mu.Unlock()
	for _, refuse := range refused {
		refuse()
	}
}

// kept is told of every message that a node does not send on, but answers, or owes
// from now on; before that, since then the message is its poster's again. Only
// while slots are leaving the node does it cost anything.
func (i *Instance) kept(m Command) {
	if _, ends := m.(*barrier); ends || i.leaving.Load() == 0 {
		return
	}
	for _, r := range i.home.keep(i, m) {
		i.refused(r, Vote{Instance: i.name, Kind: Refused, Err: errShuttled})
	}
}

// keep takes those acquires out of a move that must not be executed behind m.
func (c *cluster) keep(from *Instance, m Command) (acquires []*routed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mv := c.moves[c.slotOf(original(m))]
	if mv == nil || mv.from != from {
		return nil
	}
	mv.sentOn = slices.DeleteFunc(mv.sentOn, func(r *routed) bool {
		if harmless(r) {
			return false
		}
		acquires = append(acquires, r)
		return true
	})
	return acquires
}

// distrust has the restart guard follow the slot: what its old node may have
// forgotten, the new one cannot know either, and a node that is gone has handed
// nothing over, whatever its successor knows. Called with mu held for writing.
func (c *cluster) distrust(mv *move) {
	if c.set.guard == GuardOff {
		return
	}
	now := time.Now()
	until := now.Add(mv.from.recovering(now))
	if !mv.told {
		until = now.Add(c.set.quarantine)
	}
	c.abstain(mv.slot, until)
}

// doubt has the restart guard follow a slot that is another node's by the map, though
// we have not heard of it: should it come back before we do, its node does not know
// what the other one has forgotten. Called with mu held for writing.
func (c *cluster) doubt(slot uint16, other *Instance) {
	if c.set.guard != GuardOff && other != nil {
		now := time.Now()
		c.abstain(slot, now.Add(other.recovering(now)))
	}
}

// abstain keeps the slot's votes on new acquires back until then. Called with mu held
// for writing.
func (c *cluster) abstain(slot uint16, until time.Time) {
	if until.After(time.Now()) && until.After(c.until[slot]) {
		c.until[slot] = until
	}
}

// assign makes a node the slot's. One that has served its last slot is closed at
// once: should it be given another one, it is judged anew, since it may have been
// a replica meanwhile. Called with mu held for writing.
func (c *cluster) assign(slot uint16, to *Instance) {
	from := c.slots[slot]
	c.slots[slot] = to
	c.owned[to]++
	delete(c.asked, to)
	if from == nil {
		return
	}
	if c.owned[from]--; c.owned[from] == 0 {
		delete(c.owned, from)
		c.retire(from)
	}
}

// retire closes a node that serves no slot, unless it is about to. Called with mu
// held for writing.
func (c *cluster) retire(n *Instance) {
	if c.owned[n] > 0 {
		return
	}
	for _, mv := range c.moves {
		if mv.to == n {
			return
		}
	}
	delete(c.asked, n)
	delete(c.nodes, n.addr)
	n.mailbox.close()
}

// barrier is a message that is answered when all in front of it have been. It ends
// moves of slots away from the node that it is posted to: one barrier does for all that
// a map takes away from it, a third of all slots perhaps.
type barrier struct{ moves []*move }

func (b *barrier) end() {
	for _, mv := range b.moves {
		mv.end()
	}
}

func (b *barrier) queue(_ *sending, out []byte) ([]byte, bool) {
	return append(out, "*2\r\n$6\r\nclient\r\n$2\r\nid\r\n"...), true
}
func (b *barrier) fits(r *reply) bool      { return r.kind == numberReply }
func (b *barrier) settle(*sending, *reply) { b.end() }
func (b *barrier) refuse(Vote)             { b.end() }
func (b *barrier) debt() (debt, bool)      { return debt{}, false }
func (b *barrier) reset()                  {}
func (b *barrier) urgent() bool            { return true }
