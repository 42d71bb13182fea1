package engine

import (
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/keeper"
	"github.com/holdfast-go/holdfast/lease"
)

// renew posts the renewal of all leases that are due together: one message an
// instance for every instance.MaxRenewals of them. It is called by the keeper
// and does not block.
func (e *Engine) renew(due []*keeper.Entry) {
	var plain, fenced []*keeper.Entry
	for _, entry := range due {
		if entry.Owner.(*holding).fencing.FenceKey != "" {
			fenced = append(fenced, entry)
		} else {
			plain = append(plain, entry)
		}
	}
	for _, entries := range [][]*keeper.Entry{plain, fenced} {
		for len(entries) > 0 {
			n := min(len(entries), instance.MaxRenewals)
			e.renewTogether(entries[:n:n])
			entries = entries[n:]
		}
	}
}

// renewal is one round of votes on many leases at once.
type renewal struct {
	engine  *Engine
	start   time.Time
	entries []*keeper.Entry
	items   []instance.Renewal // as entries; read by all actors

	mu      sync.Mutex
	tallies []renewTally // as entries
}

// renewTally counts the votes on one lease of a renewal.
type renewTally struct {
	ours    tally // yes: it is ours
	gone    tally // no: it is certainly not ours there
	stolen  bool
	trouble instance.Vote // the last that says neither
	missing uint64        // the places, below 64, that had nothing there: they are healed
	settled bool
}

// renewSlot is a renewal's part at one instance.
type renewSlot struct {
	renewal *renewal
	place   int
	renew   instance.Renew
}

func (e *Engine) renewTogether(entries []*keeper.Entry) {
	r := &renewal{
		engine:  e,
		start:   time.Now(),
		entries: entries,
		items:   make([]instance.Renewal, len(entries)),
		tallies: make([]renewTally, len(entries)),
	}
	blank := tally{voters: len(e.instances), need: e.need}
	for k, entry := range entries {
		h := entry.Owner.(*holding)
		l := h.lease()
		r.items[k] = instance.Renewal{Key: h.key(), Token: l.Token(), TTL: entry.TTL, Fencing: h.fencing}
		r.tallies[k].ours, r.tallies[k].gone = blank, blank
	}
	slots := make([]renewSlot, len(e.instances))
	for place, i := range e.instances {
		s := &slots[place]
		s.renewal, s.place = r, place
		s.renew = instance.Renew{Items: r.items, To: s}
		i.Post(&s.renew)
	}
}

// CastRenewal takes one instance's vote on one lease, and settles the lease as
// soon as it is decided.
func (s *renewSlot) CastRenewal(item int, v instance.Vote) {
	r := s.renewal
	r.mu.Lock()
	t := &r.tallies[item]
	t.ours.count(v.Kind == instance.Granted)
	switch v.Kind {
	case instance.Stolen:
		t.stolen = true
		t.gone.count(false)
	case instance.Expired:
		t.gone.count(false)
		if s.place < 64 {
			t.missing |= 1 << s.place
		}
	case instance.Granted:
	default:
		t.trouble = v
	}
	outcome, decided := t.outcome(r)
	if decided = decided && !t.settled; decided {
		t.settled = true
	}
	var heal uint64
	if t.ours.all() && t.ours.won() {
		heal = t.missing
	}
	trouble := t.trouble
	r.mu.Unlock()

	entry := r.entries[item]
	if decided {
		r.settle(entry, outcome, trouble)
	}
	if heal != 0 {
		r.heal(entry, heal)
	}
}

// outcome returns what has been decided, if anything has. Failed is decided only
// by the last vote: until then it may yet be confirmed or lost.
func (t *renewTally) outcome(r *renewal) (o keeper.Outcome, decided bool) {
	o.Start = r.start
	switch {
	case t.ours.won():
		o.Confirmed = true
		return o, true
	case t.gone.against():
		o.Lost = lease.ErrExpired
		if t.stolen {
			o.Lost = lease.ErrStolen
		}
		return o, true
	}
	return o, t.ours.all()
}

// settle tells the keeper, and notes why a renewal failed: if the lease is lost
// in the end, that is what its owner will want to know.
func (r *renewal) settle(entry *keeper.Entry, o keeper.Outcome, trouble instance.Vote) {
	e, l, h := r.engine, entry.Control.Lease(), entry.Owner.(*holding)
	margin := l.Remaining()
	switch {
	case o.Confirmed:
		o.Deadline = r.start.Add(e.cfg.validity(entry.TTL))
		h.trouble.Store(nil)
	case o.Lost == nil && h.trouble.Swap(&trouble) == nil:
		e.log.Warn("renewal failed, and is tried again until the deadline", "resource", l.Resource(), "left", margin.Round(time.Millisecond), "vote", trouble.String())
	}
	e.keeper.Settle(entry, o)
	if e.cfg.Trace.Renewed != nil {
		e.cfg.Trace.Renewed(l, margin, o.Confirmed)
	}
}

// heal puts the key back on the instances that have lost it, as one that was
// restarted empty has. Only there, and only after a majority has just proved
// that the lease is ours.
func (r *renewal) heal(entry *keeper.Entry, missing uint64) {
	h := entry.Owner.(*holding)
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lease()
	if h.released || !l.Valid() {
		return
	}
	for place, i := range r.engine.instances {
		if place < 64 && missing&(1<<place) != 0 {
			i.Post(&instance.Acquire{
				Key: h.key(), Token: l.Token(), TTL: entry.TTL, GiveUp: l.Deadline(),
				Proof: r.start, Fencing: h.fencing, To: healed{},
			})
		}
	}
}

// healed takes the answer to a healing. Nobody waits for it: what did not heal
// is found missing again by the next renewal.
type healed struct{}

func (healed) Cast(instance.Vote) {}
