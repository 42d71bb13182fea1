package keeper

import (
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// Entry is a lease in the keeper's care. The exported fields are set before Add
// and not changed afterwards.
type Entry struct {
	Control    *lease.Control
	TTL        time.Duration // what renewals ask for
	RenewEvery time.Duration // 0: the lease is not renewed, only ended in time
	Owner      any           // whatever renew needs to know; the keeper does not look

	// Guarded by Keeper.mu.
	place    int       // in the heap, counted from 1; 0 when not there
	due      time.Time // when to look at it next
	renewing bool      // a renewal is under way
	failures int       // renewals that failed since the last that did not
}

// schedule sets when to look at the entry next, given the start of its last
// confirmed renewal.
func (e *Entry) schedule(start time.Time) {
	e.due = e.Control.Lease().Deadline()
	if e.RenewEvery > 0 && !e.renewing && !e.Control.AtLimit() {
		e.due = earlier(e.due, start.Add(jitter(e.RenewEvery)))
	}
}

// retry sets the next try after a failed one: soon, then less often.
func (e *Entry) retry(now time.Time) {
	pause := e.RenewEvery >> 4 << min(e.failures, 3) // 1/16, 1/8, 1/4, 1/2 of RenewEvery
	e.failures++
	e.due = earlier(e.Control.Lease().Deadline(), now.Add(jitter(max(pause, time.Millisecond))))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
