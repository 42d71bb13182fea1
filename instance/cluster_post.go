package instance

import "time"

// keyed is a message about one lock, which tells where it belongs.
type keyed interface {
	about() (key, fenceKey string)
}

func (a *Acquire) about() (key, fenceKey string) { return a.Key, a.FenceKey }
func (r *Release) about() (key, fenceKey string) { return r.Key, r.FenceKey }
func (q *Inspect) about() (key, fenceKey string) { return q.Key, "" }

// slotFor is the slot of a lock, which must be its fence's, too.
func slotFor(key, fenceKey string) (uint16, error) {
	slot := slotOf(key)
	if fenceKey != "" && slotOf(fenceKey) != slot {
		return slot, errFenceSlot
	}
	return slot, nil
}

// post is Instance.Post.
func (c *cluster) post(m Command) {
	switch m := m.(type) {
	case *Renew:
		c.postRenew(m)
	case keyed:
		slot, err := slotFor(m.about())
		if err != nil {
			m.(Command).refuse(c.refusal(err))
			return
		}
		c.route(m.(Command), slot)
	default:
		m.refuse(c.refusal(errForeign))
	}
}

// postRenew posts a Renew slot by slot, in the order of its items. The parts have
// copies of the items, which carry their numbers, and the caster of the whole.
func (c *cluster) postRenew(m *Renew) {
	var parts []*renewPart
	of := make(map[uint16]*renewPart)
	for k := range m.Items {
		item := &m.Items[k]
		slot, err := slotFor(item.Key, item.FenceKey)
		if err != nil {
			m.To.CastRenewals(m.Items[k:k+1], []Vote{c.refusal(err)})
			continue
		}
		part := of[slot]
		if part == nil {
			part = &renewPart{Renew: Renew{To: m.To}, slot: slot}
			of[slot] = part
			parts = append(parts, part)
		}
		part.Items = append(part.Items, *item)
	}
	for _, part := range parts {
		c.route(&part.Renew, part.slot)
	}
}

// renewPart is the part of a Renew that is about one slot.
type renewPart struct {
	Renew
	slot uint16
}

// watch is Instance.Watch: the node of the key's slot tells. When the slot moves
// away its keys are deleted there, which the node tells, too; and Watch is called
// anew then.
func (c *cluster) watch(v *Vigil) {
	c.mu.RLock()
	n := c.slots[slotOf(v.Key)]
	c.mu.RUnlock()
	if v.at != nil && (n == nil || v.at != n.lookout.vigils) {
		v.at.leave(v)
		v.at = nil
	}
	if n != nil {
		n.lookout.keep(v)
	}
}

// elsewhere reports whether a reply is a node's that has not got the slot.
func (i *Instance) elsewhere(r *reply) bool {
	_, ok := readReferral(r.text)
	return ok && i.home != nil
}

// route posts a message to the node that serves its slot.
func (c *cluster) route(m Command, slot uint16) {
	c.mu.RLock()
	v, taken := c.offer(m, slot)
	c.mu.RUnlock()
	if !taken { // without the lock: who takes the vote may post
		m.refuse(v)
	}
}

// offer puts a message where messages about its slot wait, or returns the vote
// that refuses it. Called with mu held.
func (c *cluster) offer(m Command, slot uint16) (v Vote, taken bool) {
	owner, whole := c.slots[slot], c.whole
	switch mv := c.moves[slot]; {
	case !c.mapped:
		return whole.mailbox.offer(m, whole.name)
	case mv != nil:
		return mv.waiting.offer(m, whole.name)
	case owner == nil:
		return c.refusal(errUncovered), false
	}
	if a, ok := original(m).(*Acquire); ok && a.Former == "" && len(c.until) > 0 {
		// As for an instance that has restarted, a healing may pass whose proof is younger than what happened.
		until := c.until[slot]
		if rest := time.Until(until); rest > 0 && a.Proof.Before(until.Add(-c.set.quarantine)) {
			return Vote{Instance: owner.name, Kind: InQuarantine, Left: rest}, false
		}
	}
	return owner.mailbox.offer(m, owner.name)
}

func (c *cluster) refusal(err error) Vote {
	return Vote{Instance: c.whole.name, Kind: Refused, Err: err}
}

// inherit posts what a node still owes when its actor is gone.
func (c *cluster) inherit(n *Instance) {
	for _, d := range n.mailbox.disown(func(string) bool { return true }) {
		c.settle(d)
	}
}

// rehome posts what nodes owe that do not serve the slot any more: they may never
// come back, and what they owe is somebody else's to delete.
func (c *cluster) rehome() {
	var owed []debt
	c.mu.RLock()
	for _, n := range c.nodes {
		owed = append(owed, n.mailbox.disown(func(key string) bool { return c.slots[slotOf(key)] != n })...)
	}
	if c.mapped {
		owed = append(owed, c.whole.mailbox.disown(func(string) bool { return true })...)
	}
	c.mu.RUnlock()
	for _, d := range owed {
		c.settle(d)
	}
}

// settle posts the release that a debt is.
func (c *cluster) settle(d debt) {
	if r := d.release(); r.TTL > 0 {
		c.route(r, slotOf(d.key))
	}
}

// release is the message that pays the debt. Nobody waits for its answer.
func (d debt) release() *Release {
	return &Release{Key: d.key, Token: d.token, TTL: time.Until(d.until), Since: d.since, Former: d.former, Fencing: d.fencing, To: nobody{}}
}

// nobody takes votes that nobody waits for.
type nobody struct{}

func (nobody) Cast(Vote) {}
