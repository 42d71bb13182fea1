package engine

import (
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/keeper"
	"github.com/holdfast-go/holdfast/lease"
)

// A lease that is watched is checked when a server tells that its lock is not ours there: all
// are asked whose it is. It is a renewal's question that prolongs nothing, and so wakes nobody, and its votes count as a
// renewal's. What a minority has lost is not put back before the next renewal: somebody
// may be deleting the lock on one server after the other.

// check asks whose the locks of these leases are. It is called by the keeper and does not block.
func (e *Engine) check(suspects []*keeper.Entry) {
	alone, readers := byKind(suspects)
	e.checkSome(alone, instance.MaxRenewals)
	e.checkSome(readers, mostReaders)
}

// checkSome is check for leases of one kind, with most of them in a message.
func (e *Engine) checkSome(suspects []*keeper.Entry, most int) {
	var next *renewal
	for _, entry := range suspects {
		holdingOf(entry).watch.refresh(e.instances, false) // it may have told because it cannot tell any more
		if next == nil {
			next = e.newRenewal()
			next.asksOnly = true
		}
		if n := holdingOf(entry).locks(); n > 1 && len(next.items)+n > most {
			next.post()
			next = e.newRenewal()
			next.asksOnly = true
		}
		if next.addQuestion(entry); len(next.items) == most {
			next.post()
			next = nil
		}
	}
	if next != nil {
		next.post()
	}
}

func (r *renewal) addQuestion(entry *keeper.Entry) {
	h := holdingOf(entry)
	r.putAll(h, instance.Renewal{Key: h.key, Token: h.token(), TTL: instance.AskOnly, Sharing: h.sharing()})
}

// tellChecked tells the keeper what has been decided.
func (r *renewal) tellChecked(decided []int) {
	var room [instance.MaxRenewals]keeper.Outcome
	outcomes := room[:0]
	took := clock.Sample().Sub(r.start.Time)
	for _, n := range decided {
		o := keeper.Outcome{Entry: r.entries[n], Lost: r.loss(n)}
		if o.Lost != nil {
			holdingOf(o.Entry).watch.noticed.Store(true)
		}
		r.engine.telling.checked(o.Entry.Control.Lease(), took, o.Lost != nil)
		outcomes = append(outcomes, o)
	}
	if len(outcomes) > 0 {
		r.engine.keeper.Checked(outcomes)
	}
}

// loss is why a lease is lost by the votes; nil: it is not.
func (v verdict) loss() error {
	switch v {
	case stolen:
		return lease.ErrStolen
	case gone: // if its time is over, that is why: the first cause wins
		return lease.ErrGone
	}
	return nil
}
