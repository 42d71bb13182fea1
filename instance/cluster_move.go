package instance

import (
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
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
// collected before: see withdrawBehind. An acquire that the old node does not answer is not
// executed at the new one at all. And what an actor sends on elsewhere than in the
// order of its slot (an answer of the old node to what was owed there, say) is
// never an acquire: see sendOn.
//
// The barrier is a command of its own, since only a reply tells that those in
// front of it are over; and it is one that every server permits us or refuses us
// at once, which does as well.
type move struct {
	router   *router
	slot     uint16
	from, to *node
	told     bool      // the old node is up, or says so itself: it has handed its memory over
	sentOn   []*routed // by the old node
	waiting  *mailbox  // posted since
}

// begin takes down that a slot changes hands. The caller posts a barrier with the move
// once it does not hold mu any more. Called with mu held for writing.
func (r *router) begin(slot uint16, to *node, told bool) *move {
	mv := &move{router: r, slot: slot, from: r.slots[slot], to: to, told: told, waiting: newMailbox(r.whole.cfg.Mailbox)}
	r.moves[slot] = mv
	mv.from.leaving.Add(1)
	return mv
}

// end is step 4.
func (mv *move) end() {
	r := mv.router
	var refused []func()
	r.mu.Lock()
	delete(r.moves, mv.slot)
	mv.from.leaving.Add(-1)
	r.distrust(mv)
	r.assign(mv.slot, mv.to)
	give := func(m Command) {
		if v, taken := r.offer(m, mv.slot); !taken {
			refused = append(refused, func() { m.refuse(v) })
		}
	}
	for _, m := range mv.sentOn {
		give(m)
	}
	for _, m := range mv.waiting.drain() {
		give(m)
	}
	for _, d := range mv.waiting.takeDebts() {
		give(d.release())
	}
	r.mu.Unlock()
	for _, refuse := range refused {
		refuse()
	}
}

// withdrawBehind takes those acquires out of a move that must not be executed behind m.
func (t *slotTable) withdrawBehind(from *node, m Command) (acquires []*routed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mv := t.moves[slotOf(original(m))]
	if mv == nil || mv.from != from {
		return nil
	}
	mv.sentOn = slices.DeleteFunc(mv.sentOn, func(r *routed) bool {
		if mayRunLate(r) {
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
func (t *slotTable) distrust(mv *move) {
	if t.set.guard == GuardOff {
		return
	}
	now := time.Now()
	until := now.Add(mv.from.abstention.left(now))
	if !mv.told {
		until = now.Add(t.set.quarantine)
	}
	t.abstain(mv.slot, until)
}

// doubt has the restart guard follow a slot that is another node's by the map, though
// we have not heard of it: should it come back before we do, its node does not know
// what the other one has forgotten. Called with mu held for writing.
func (t *slotTable) doubt(slot uint16, other *node) {
	if t.set.guard != GuardOff && other != nil {
		now := time.Now()
		t.abstain(slot, now.Add(other.abstention.left(now)))
	}
}

// abstain keeps the slot's votes on new acquires back until then. Called with mu held
// for writing.
func (t *slotTable) abstain(slot uint16, until time.Time) {
	if until.After(time.Now()) && until.After(t.until[slot]) {
		t.until[slot] = until
	}
}

// assign makes a node the slot's. One that has served its last slot is closed at
// once: should it be given another one, it is judged anew, since it may have been
// a replica meanwhile. Called with mu held for writing.
func (t *slotTable) assign(slot uint16, to *node) {
	from := t.slots[slot]
	t.slots[slot] = to
	t.owned[to]++
	delete(t.asked, to)
	if from == nil {
		return
	}
	if t.owned[from]--; t.owned[from] == 0 {
		delete(t.owned, from)
		t.retire(from)
	}
}

// retire closes a node that serves no slot, unless it is about to. Called with mu
// held for writing.
func (t *slotTable) retire(n *node) {
	if t.owned[n] > 0 {
		return
	}
	for _, mv := range t.moves {
		if mv.to == n {
			return
		}
	}
	delete(t.asked, n)
	delete(t.heard, n)
	delete(t.still, n)
	delete(t.nodes, n.addr)
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

func (b *barrier) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	return append(out, "*2\r\n$6\r\nclient\r\n$2\r\nid\r\n"...), true
}
func (b *barrier) fits(r *resp.Reply) bool         { return r.Kind == resp.Number }
func (b *barrier) readReply(*sending, *resp.Reply) { b.end() }
func (b *barrier) refuse(Vote)                     { b.end() }
func (b *barrier) debt() (debt, bool)              { return debt{}, false }
