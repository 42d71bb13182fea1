package keeper

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// Keeper is the scheduling loop. All methods are safe for concurrent use and
// none but Run blocks.
type Keeper struct {
	renew  func([]*Entry)
	losses *losses
	wake   chan struct{} // one slot: "something is due earlier than you think"

	mu    sync.Mutex
	heap  dueHeap
	armed time.Time // what the loop sleeps until; zero: it is awake, or has nothing to wait for
}

// slack is how much earlier than due a renewal may go out to share a batch.
const slack = 5 * time.Millisecond

// New makes a keeper. renew is handed all entries that are due together; it must
// not block, and must see to it that Settle is called once for each.
func New(renew func([]*Entry)) *Keeper {
	return &Keeper{renew: renew, losses: newLosses(), wake: make(chan struct{}, 1)}
}

// Lost returns the channel of leases that ended unreleased. It is closed when
// Run has returned.
func (k *Keeper) Lost() <-chan *lease.Lease { return k.losses.ch }

// Dropped returns how many losses were dropped because nobody read Lost.
func (k *Keeper) Dropped() uint64 { return k.losses.count() }

// Emit sends a loss on Lost.
func (k *Keeper) Emit(l *lease.Lease) { k.losses.emit(l) }

// Add takes a lease into care. start is when the attempt that granted it began.
func (k *Keeper) Add(e *Entry, start time.Time) {
	k.mu.Lock()
	e.schedule(start)
	k.heap.add(e)
	sooner := k.sooner(e)
	k.mu.Unlock()
	k.nudge(sooner)
}

// Remove takes a lease out of care. Its own renewals under way come to nothing.
func (k *Keeper) Remove(e *Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.heap.remove(e)
}

// Entries returns the leases in care.
func (k *Keeper) Entries() []*Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]*Entry(nil), k.heap...)
}

// Outcome is what came of a renewal.
type Outcome struct {
	Start     time.Time // when the attempt began
	Confirmed bool
	Deadline  time.Time // if confirmed: the new deadline
	Lost      error     // if a quorum said "not yours": the cause; nil otherwise
}

// Settle takes the outcome of a renewal. One that is neither confirmed nor lost
// has failed, and is tried again until the deadline.
func (k *Keeper) Settle(e *Entry, o Outcome) {
	confirmed := false
	switch {
	case o.Lost != nil:
		e.Control.End(o.Lost)
	case o.Confirmed:
		confirmed = e.Control.Prolong(o.Deadline)
	}

	k.mu.Lock()
	e.renewing = false
	if e.place == 0 { // ended meanwhile
		k.mu.Unlock()
		return
	}
	if confirmed {
		e.failures = 0
		e.schedule(o.Start)
	} else {
		e.retry(time.Now())
	}
	k.heap.fix(e)
	sooner := k.sooner(e)
	k.mu.Unlock()
	k.nudge(sooner)
}

// sooner reports whether the loop sleeps too long for e. Called with mu held.
func (k *Keeper) sooner(e *Entry) bool {
	return k.armed.IsZero() || e.due.Before(k.armed)
}

func (k *Keeper) nudge(needed bool) {
	if !needed {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default: // it has been nudged and not yet looked
	}
}

// Run is the loop. The engine starts it once and waits for it; it ends with ctx,
// and closes Lost.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.losses.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		over, due := k.take(time.Now())
		for _, e := range over {
			_ = e.Control.Lease().Err() // reads the clock, and ends the lease
		}
		if len(due) > 0 {
			k.renew(due)
		}
		timer.Reset(k.arm(time.Now()))
		select {
		case <-timer.C:
		case <-k.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// arm notes and returns how long the loop may sleep.
func (k *Keeper) arm(now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed = now.Add(time.Hour)
	if len(k.heap) > 0 {
		k.armed = earlier(k.armed, k.heap[0].due)
	}
	return max(0, k.armed.Sub(now))
}

// take returns what is due: the leases whose deadline has passed, and those to
// be renewed, which it marks.
func (k *Keeper) take(now time.Time) (over, due []*Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed = time.Time{}
	for len(k.heap) > 0 {
		e := k.heap[0]
		renewable := e.RenewEvery > 0 && !e.renewing && !e.Control.AtLimit()
		limit := now
		if renewable {
			limit = now.Add(min(slack, e.RenewEvery/10))
		}
		if e.due.After(limit) {
			break
		}
		deadline := e.Control.Lease().Deadline()
		switch {
		case !now.Before(deadline):
			k.heap.remove(e)
			over = append(over, e)
		case renewable:
			e.renewing = true
			e.due = deadline
			k.heap.fix(e)
			due = append(due, e)
		default: // extended since: its deadline has moved
			e.due = deadline
			k.heap.fix(e)
		}
	}
	return over, due
}

// jitter returns a random time from nine tenths of d to d, so that leases that
// were acquired together do not stay together.
func jitter(d time.Duration) time.Duration {
	tenth := int64(d / 10)
	if tenth <= 0 {
		return d
	}
	return d - time.Duration(rand.Int64N(tenth))
}
