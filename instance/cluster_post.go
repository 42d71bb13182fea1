package instance

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/internal/slots"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

// keyed is a message about one lock, which tells where it belongs.
type keyed interface {
	about() (key, fenceKey string)
}

func (a *Acquire) about() (key, besideKey string) {
	return a.Key, cmp.Or(a.Sharing.beside(), a.beside(a.Key))
}

func (r *Release) about() (key, besideKey string) {
	return r.Key, cmp.Or(r.Sharing.beside(), r.beside(r.Key))
}
func (q *Inspect) about() (key, besideKey string) { return q.Key, "" }

// slotFor is the slot of a lock, which must be its fence's, too.
func slotFor(key, fenceKey string) (uint16, error) {
	slot := slots.Of(key)
	if fenceKey != "" && slots.Of(fenceKey) != slot {
		return slot, errFenceSlot
	}
	return slot, nil
}

// route is Instance.Post for one message.
func (c *cluster) route(m Command) {
	if a, ok := m.(*Acquire); ok && a.Several != nil {
		c.postSeveral(a)
		return
	}
	switch m := m.(type) {
	case *Renew:
		c.postRenew(m)
	case *KeepPlaces:
		for slot, part := range m.bySlot() {
			c.send(part, slot)
		}
	case keyed:
		slot, err := slotFor(m.about())
		if err != nil {
			m.(Command).refuse(c.refusal(err))
			return
		}
		c.send(m.(Command), slot)
	default:
		m.refuse(c.refusal(errNoKey))
	}
}

// postRenew posts a Renew slot by slot, and those with fences apart, in the order of its items. The parts have
// copies of the items, which carry their numbers, and the caster of the whole.
func (r *router) postRenew(m *Renew) {
	var parts []*renewPart
	type kind struct {
		slot   uint16
		fenced bool
		shared bool
	}
	of := make(map[kind]*renewPart)
	for k := range m.Items {
		item := &m.Items[k]
		slot, err := slotFor(item.Key, cmp.Or(item.Sharing.beside(), item.beside(item.Key)))
		if err != nil {
			m.To.CastRenewals(m.Items[k:k+1], []Vote{r.refusal(err)})
			continue
		}
		which := kind{slot, item.Fence != 0, item.Sharing != nil}
		part := of[which]
		if part == nil {
			part = &renewPart{Renew: Renew{To: m.To}, slot: slot}
			of[which] = part
			parts = append(parts, part)
		}
		part.Items = append(part.Items, *item)
	}
	for _, part := range parts {
		r.send(&part.Renew, part.slot)
	}
}

// renewPart is the part of a Renew that is about one slot, with fences or without.
type renewPart struct {
	Renew
	slot uint16
}

func (c *cluster) askable() error { return errors.New("it is a cluster: ask its Servers") }

// servers are the masters, as one of the nodes names them.
func (c *cluster) servers(ctx context.Context) ([]*Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, c.whole.cfg.Timeout)
	defer cancel()
	s := c.scout()
	defer s.Close()
	v, err := s.Map(ctx, c.sources(), true)
	if err != nil {
		return nil, c.whole.classify(err).Err
	}
	var servers []*Instance
	for _, addr := range v.Masters() {
		servers = append(servers, c.unattached(addr))
	}
	return servers, nil
}

// misnamed: it is no server on its own, and named as what it is.
func (c *cluster) misnamed([]byte) bool { return false }

// trackerOf is of Instance.Watch: the node of the key's slot tells. When the slot moves
// away its keys are deleted there, which the node tells, too; and Watch is called
// anew then.
func (c *cluster) trackerOf(key string) *tracking.Tracker {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if n := c.slots[slots.Of(key)]; n != nil {
		return n.tracker
	}
	return nil
}

// send posts a message to the node that serves its slot.
func (r *router) send(m Command, slot uint16) {
	r.mu.RLock()
	v, taken := r.offer(m, slot)
	r.mu.RUnlock()
	if !taken { // without the lock: the caster may post
		m.refuse(v)
	}
}

// offer puts a message where messages about its slot wait, or returns the vote
// that refuses it. Called with mu held.
func (r *router) offer(m Command, slot uint16) (v Vote, taken bool) {
	owner, whole := r.slots[slot], r.whole
	switch mv := r.moves[slot]; {
	case !r.mapped:
		return whole.mailbox.offer(m, whole.name)
	case mv != nil:
		return mv.waiting.offer(m, whole.name)
	case owner == nil:
		return r.refusal(errUncovered), false
	}
	if a, ok := original(m).(*Acquire); ok && a.Former == "" && len(r.until) > 0 {
		// As for an instance that has restarted, a healing may pass if its proof began after that.
		until := r.until[slot]
		if rest := time.Until(until); rest > 0 && a.Proof.Before(until.Add(-r.set.quarantine)) {
			return Vote{Instance: owner.name, Kind: InQuarantine, Left: rest}, false
		}
	}
	return owner.mailbox.offer(m, owner.name)
}

func (r *router) refusal(err error) Vote {
	return Vote{Instance: r.whole.name, Kind: Refused, Err: err}
}

// inherit posts what a node still owes when its actor is gone.
func (r *router) inherit(n *node) {
	for _, d := range n.mailbox.disown(func(string) bool { return true }) {
		r.postDebt(d)
	}
}

// rehome posts what nodes owe that do not serve the slot any more: they may never
// come back, and what they owe is somebody else's to delete.
func (r *router) rehome() {
	var owed []debt
	r.mu.RLock()
	for _, n := range r.nodes {
		owed = append(owed, n.mailbox.disown(func(key string) bool { return r.slots[slots.Of(key)] != n })...)
	}
	if r.mapped {
		owed = append(owed, r.whole.mailbox.disown(func(string) bool { return true })...)
	}
	r.mu.RUnlock()
	for _, d := range owed {
		r.postDebt(d)
	}
}

// postDebt posts the release that a debt is.
func (r *router) postDebt(d debt) {
	if release := d.release(); release.TTL > 0 {
		r.send(release, slots.Of(d.key))
	}
}

// release is the message that pays the debt. Nobody waits for its answer.
func (d debt) release() *Release {
	return &Release{Key: d.key, Token: d.token, TTL: time.Until(d.until), Since: d.since, Former: d.former, Sharing: d.sharing, Fencing: d.fencing, To: nobody{}}
}

// nobody takes votes that nobody waits for.
type nobody struct{}

func (nobody) Cast(Vote) {}
