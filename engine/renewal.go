package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/keeper"
)

// renewal is one round of votes on many leases at once. It is used again when
// every instance has voted on every lease.
type renewal struct {
	engine  *Engine
	start   clock.Moment
	entries []*keeper.Entry
	items   []instance.Renewal // as entries; read by all actors
	text    []byte             // the items, encoded once for all instances
	seats   []renewSeat        // one an instance
	open    atomic.Int64       // votes not yet cast

	asksOnly bool       // whose they are: see check
	leaders  []*holding // those of them that are leaders; nil: none

	mu      sync.Mutex
	tallies []renewTally // as entries
}

// renewTally counts the votes on one lease of a renewal.
type renewTally struct {
	ours    tally // yes: it is ours
	gone    tally // no: it is certainly not ours there
	stolen  bool
	verdict verdict
	trouble *instance.Vote // the last before the verdict that does not confirm
	emptyAt uint64         // the seats, below 64, that had nothing there: they are healed
	whole   *whole         // of a lease of several resources: what all of them come to; nil: it is of one
}

// verdict is what the votes on one lease come to. It is written once.
type verdict uint8

const (
	undecided verdict = iota
	confirmed
	gone   // lost: a quorum has nothing there
	stolen // lost: a quorum says that it is not ours
	failed // neither confirmed nor lost
)

// renewSeat is what a renewal has for one instance.
type renewSeat struct {
	renewal *renewal
	seat    int
	renew   instance.Renew
}

// renew posts the renewal of all leases that are due together: one message an
// instance for every instance.MaxRenewals of them. It is called by the keeper
// and does not block.
func (e *Engine) renew(due []*keeper.Entry) {
	alone, readers := byKind(due)
	e.renewSome(alone, instance.MaxRenewals)
	e.renewSome(readers, mostReaders)
}

// renewSome posts the renewal of leases of one kind, with most of them in a message.
func (e *Engine) renewSome(due []*keeper.Entry, most int) {
	var next *renewal
	for _, entry := range due {
		if next == nil {
			next = e.newRenewal()
		}
		if n := holdingOf(entry).locks(); n > 1 && len(next.items)+n > most {
			next.post()
			next = e.newRenewal()
		}
		if next.add(entry); len(next.items) == most {
			next.post()
			next = nil
		}
	}
	if next != nil {
		next.post()
	}
}

func (e *Engine) newRenewal() *renewal {
	if r, ok := e.renewals.Get().(*renewal); ok {
		return r
	}
	r := &renewal{
		engine:  e,
		entries: make([]*keeper.Entry, 0, instance.MaxRenewals),
		items:   make([]instance.Renewal, 0, instance.MaxRenewals),
		seats:   make([]renewSeat, len(e.instances)),
		tallies: make([]renewTally, 0, instance.MaxRenewals),
	}
	for seat := range r.seats {
		s := &r.seats[seat]
		s.renewal, s.seat, s.renew.To = r, seat, s
	}
	return r
}

func (r *renewal) add(entry *keeper.Entry) {
	h := holdingOf(entry)
	until, ttl := h.lease().Deadline(), entry.TTL
	if !entry.Control.Limit().IsZero() {
		ttl = h.within(ttl, clock.Sample())
	}
	h.watch.refresh(r.engine.instances, true)
	if h.leads() != nil {
		r.leaders = append(r.leaders, h)
	}
	r.putAll(h, instance.Renewal{
		Key: h.key, Token: h.token(), TTL: ttl, Sharing: h.sharing(), Fencing: h.fence(),
		Until: until, Since: until.Add(-r.engine.cfg.validity(entry.TTL)), // for an extended lease this is too late, so that its server's clock is not doubted
	})
}

// putAll puts an item for each resource of a lease.
func (r *renewal) putAll(h *holding, item instance.Renewal) {
	keys := h.several()
	if keys == nil {
		r.put(&h.entry, item)
		return
	}
	all := &whole{open: len(keys)}
	for _, key := range keys {
		item.Key = key
		r.put(&h.entry, item)
		r.tallies[len(r.tallies)-1].whole = all
	}
}

func (r *renewal) put(entry *keeper.Entry, item instance.Renewal) {
	blank := tally{voters: len(r.seats), need: r.engine.need}
	item.Number = len(r.items)
	r.items = append(r.items, item)
	r.entries = append(r.entries, entry)
	r.tallies = append(r.tallies, renewTally{ours: blank, gone: blank})
}

func (r *renewal) post() {
	r.text = instance.EncodeRenewals(r.text[:0], r.items)
	r.open.Store(int64(len(r.items) * len(r.seats)))
	r.start = clock.Sample()
	e, leaders := r.engine, r.leaders
	r.leaders = nil // when all have voted it may be in use again
	for seat, i := range e.instances {
		s := &r.seats[seat]
		s.renew.Items, s.renew.Text = r.items, r.text
		i.Post(&s.renew)
	}
	for _, h := range leaders { // behind it: what they say lives on, too, and is put back where it is missing
		h.leads().sayAgain(h, e.instances...)
	}
}

// close gives up so many votes; with the last, the renewal is free.
func (r *renewal) close(votes int) {
	if r.open.Add(-int64(votes)) > 0 {
		return
	}
	clear(r.entries) // what has ended is not to be kept alive
	clear(r.items)
	clear(r.tallies)
	r.entries, r.items, r.tallies, r.asksOnly = r.entries[:0], r.items[:0], r.tallies[:0], false
	r.engine.renewals.Put(r)
}

// CastRenewals takes an instance's votes on some of the leases, and tells the keeper of those
// that are decided by them.
func (s *renewSeat) CastRenewals(items []instance.Renewal, votes []instance.Vote) {
	r := s.renewal
	var room [instance.MaxRenewals]int
	decided := room[:0]
	var missed []int
	r.mu.Lock()
	for k := range items {
		n := items[k].Number
		t := &r.tallies[n]
		if t.count(s.seat, &votes[min(k, len(votes)-1)], r.entries[n]) && t.whole.take(t, items[k].Key) {
			decided = append(decided, n)
		}
		if t.emptyAt != 0 && !r.asksOnly && t.ours.all() && t.ours.won() {
			missed = append(missed, n)
		}
	}
	r.mu.Unlock()

	if r.asksOnly {
		r.tellChecked(decided)
	} else {
		r.tellKeeper(decided)
	}
	for _, n := range missed {
		r.heal(r.entries[n], r.items[n].Key, r.tallies[n].emptyAt)
	}
	r.close(len(items))
}

// count counts one vote, and reports whether it was the one that decided.
//
// A doubt about the server's clock is a vote that does not count, once: when the
// renewal has failed for it, the lock's life has been counted anew, by the clock as
// it is now, and the next renewal need not doubt it.
func (t *renewTally) count(seat int, v *instance.Vote, entry *keeper.Entry) bool {
	ours := v.Kind == instance.Granted || v.Kind == instance.Stepped && holdingOf(entry).doubted(v.Instance)
	t.ours.count(ours)
	switch v.Kind {
	case instance.Stolen:
		t.stolen = true
		t.gone.count(false)
	case instance.Gone:
		t.gone.count(false)
		if seat < 64 {
			t.emptyAt |= 1 << seat
		}
	}
	if t.verdict != undecided {
		return false
	}
	if !ours {
		trouble := *v
		t.trouble = &trouble
	}
	t.verdict = t.decide()
	return t.verdict != undecided
}

// doubted reports whether the last renewal failed for a doubt about the clock of
// this instance.
func (h *holding) doubted(instanceName string) bool {
	v := h.trouble.Load()
	return v != nil && v.Kind == instance.Stepped && v.Instance == instanceName
}

// decide returns what has been decided, if anything has. Failed is decided only
// by the last vote: until then it may yet be confirmed or lost.
func (t *renewTally) decide() verdict {
	switch {
	case t.ours.won():
		return confirmed
	case t.gone.against() && t.stolen:
		return stolen
	case t.gone.against():
		return gone
	case t.ours.all():
		return failed
	}
	return undecided
}

// tellKeeper tells the keeper what has been decided on these leases.
func (r *renewal) tellKeeper(decided []int) {
	e := r.engine
	var room [instance.MaxRenewals]keeper.Outcome
	outcomes := room[:0]
	for _, n := range decided {
		o := keeper.Outcome{Entry: r.entries[n], Lost: r.loss(n)}
		if r.verdict(n) == confirmed {
			o.Deadline = r.start.Add(e.cfg.validity(r.items[n].TTL))
		}
		r.note(o, r.trouble(n))
		outcomes = append(outcomes, o)
	}
	var margins []time.Duration
	if e.cfg.Trace.Renewed != nil {
		for _, o := range outcomes {
			margins = append(margins, o.Entry.Control.Lease().Remaining())
		}
	}
	r.tell(decided, margins, false) // of one that is lost, before its end
	if len(outcomes) > 0 {
		e.keeper.Settle(r.start, outcomes)
	}
	r.tell(decided, margins, true) // of one that is prolonged, with its new deadline
}

// tell tells of the renewals that were confirmed, or of those that were not.
func (r *renewal) tell(decided []int, margins []time.Duration, yes bool) {
	for k, margin := range margins {
		if n := decided[k]; (r.verdict(n) == confirmed) == yes {
			r.engine.telling.renewed(r.entries[n].Control.Lease(), margin, yes)
		}
	}
}

// note keeps why a renewal failed: if the lease is lost in the end, that is what
// its owner will want to know.
func (r *renewal) note(o keeper.Outcome, trouble *instance.Vote) {
	l, h := o.Entry.Control.Lease(), holdingOf(o.Entry)
	switch {
	case !o.Deadline.IsZero():
		if h.trouble.Load() != nil {
			h.trouble.Store(nil)
		}
	case o.Lost == nil && h.trouble.Swap(trouble) == nil:
		r.engine.log.Warn("renewal failed: it is tried again until the deadline", named(l.Resources()), "left", l.Remaining().Round(time.Millisecond).String(), "vote", trouble.String())
	}
}

// heal puts the key back on the instances that have lost it, as one that was
// restarted empty has. Only there, and only after a quorum has just proved
// that the lease is ours.
func (r *renewal) heal(entry *keeper.Entry, key string, emptyAt uint64) {
	h := holdingOf(entry)
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lease()
	if h.released || !l.Valid() {
		return
	}
	for seat, i := range r.engine.instances {
		if seat < 64 && emptyAt&(1<<seat) != 0 {
			i.Post(&instance.Acquire{
				Key: key, Token: h.token(), TTL: h.within(entry.TTL, clock.Sample()), GiveUp: l.Deadline(),
				Proof: r.start.Time, Sharing: h.sharing(), Fencing: h.fence(), To: healed{},
			})
			if said := h.leads(); said != nil {
				said.sayAgain(h, i)
			}
		}
	}
}

// healed takes the answer to a healing. Nobody waits for it: what did not heal
// is found missing again by the next renewal.
type healed struct{}

func (healed) Cast(instance.Vote) {}
