package keeper

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/lease"
)

// Keeper is the scheduling loop of one engine. All methods are safe for concurrent use and
// none but Run blocks.
type Keeper struct {
	renew  func([]*Entry)
	losses losses
	wake   chan struct{} // one slot: "something is due earlier than you think"
	epoch  clock.Moment  // due times count from here
	over   []*Entry      // the loop's own: found past their deadlines
	causes []error       // the loop's own: why those have ended
	due    []*Entry      // the loop's own: handed to renew

	mu       sync.Mutex
	queue    queue
	waiting  line
	checks   checks
	underWay int           // locks whose renewals have been handed to renew and are not yet settled
	armed    time.Duration // what the loop sleeps until; 0: it is awake
}

// maxUnderWay is how many locks are being renewed at once at most, and those of one lease more. It bounds what
// an acquire finds in front of it at an instance, however many leases are due:
// about 20ms of the server's time. What exceeds it waits here, first come, first
// served, and goes out as soon as others are settled.
const maxUnderWay = 8192

// New makes a keeper. renew is handed all entries that are due together, in a
// slice that is good until it returns; it must not block, and must see to it that
// each is settled once. ask is handed those that Check is about, under the same rules; of
// each, Checked must be told once.
func New(renew, ask func([]*Entry)) *Keeper {
	return &Keeper{renew: renew, checks: checks{ask: ask}, wake: make(chan struct{}, 1), epoch: clock.Now()}
}

// Lost returns the channel of leases that were lost (lease.ErrLost). It is closed when
// Run has returned.
func (k *Keeper) Lost() <-chan *lease.Lease { return k.losses.lost() }

// Dropped returns how many losses were dropped because nobody read Lost.
func (k *Keeper) Dropped() uint64 { return k.losses.count() }

// Emit sends a loss on Lost.
func (k *Keeper) Emit(l *lease.Lease) { k.losses.emit(l) }

// Add takes a lease into care. start is when the attempt that granted it began.
func (k *Keeper) Add(e *Entry, start clock.Moment) {
	now := clock.Sample()
	k.mu.Lock()
	e.due = k.schedule(e, start, now)
	k.queue.add(e)
	needed := k.sooner(e) || k.armed > k.at(now)+lookEvery // without a lease in care it sleeps too long
	k.mu.Unlock()
	k.nudge(needed)
}

// Remove takes a lease out of care. Its own renewals under way come to nothing.
func (k *Keeper) Remove(e *Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queue.remove(e)
}

// Entries returns all leases in care, in no order.
func (k *Keeper) Entries() []*Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	entries := make([]*Entry, 0, k.queue.size)
	for e := range k.queue.all {
		entries = append(entries, e)
	}
	return entries
}

// Outcome is what came of a renewal. One that is neither confirmed nor lost has
// failed, and is tried again until the deadline.
type Outcome struct {
	Entry    *Entry
	Deadline clock.Moment // confirmed: the new deadline; zero: it is not
	Lost     error        // if a quorum said "not yours": the cause; nil otherwise
}

// Settle takes the outcomes of renewals that began at start. It may change them.
func (k *Keeper) Settle(start clock.Moment, outcomes []Outcome) {
	now := clock.Now() // once for all: what is confirmed was ours when it was confirmed
	for n := range outcomes {
		if o := &outcomes[n]; !o.Deadline.IsZero() && !o.Entry.Control.Prolong(o.Deadline, now) {
			o.Deadline = clock.Moment{}
		}
	}
	k.endLost(outcomes, now)
	k.mu.Lock()
	for n := range outcomes {
		k.underWay -= outcomes[n].Entry.locks()
	}
	needed := !k.waiting.empty()
	for n := range outcomes {
		e := outcomes[n].Entry
		e.stage = resting
		if !e.queued() { // ended meanwhile
			continue
		}
		if outcomes[n].Deadline.IsZero() {
			k.queue.move(e, k.retry(e, now))
		} else {
			e.failures = 0
			e.renewals += min(1, maxRenewals-e.renewals)
			k.queue.move(e, k.schedule(e, start, now))
		}
		needed = needed || k.sooner(e)
	}
	k.mu.Unlock()
	k.nudge(needed)
}

// schedule returns when to look at an entry next, given the start of its last
// confirmed renewal.
func (k *Keeper) schedule(e *Entry, start, now clock.Moment) time.Duration {
	left, more := e.Control.Left(now)
	due := k.at(now) + left
	if e.RenewEvery > 0 && more {
		slept := now.Slept - start.Slept
		due = min(due, e.share(k.at(start)-slept+jitter(e.RenewEvery)))
	}
	return due
}

// retry returns when to try again after a failed renewal.
func (k *Keeper) retry(e *Entry, now clock.Moment) time.Duration {
	left, _ := e.Control.Left(now)
	return min(k.at(now)+left, e.share(k.at(now)+e.pause()))
}

// at returns a moment as due times have it: on the monotonic clock, as timers run.
func (k *Keeper) at(m clock.Moment) time.Duration { return m.Sub(k.epoch.Time) }

// sooner reports whether the loop sleeps too long for e. Called with mu held.
func (k *Keeper) sooner(e *Entry) bool { return e.due < k.armed }

func (k *Keeper) nudge(needed bool) {
	if !needed {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default: // it has been nudged and not yet looked
	}
}

// lookEvery is how long the loop sleeps at most while it has anything in care,
// since no timer wakes it after the machine has slept, or the wall clock was set.
const lookEvery = time.Second

// Run is the loop. The engine starts it once and waits for it; it ends with ctx,
// and closes Lost.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.losses.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	last := k.epoch
	for {
		now := clock.Now()
		if jumped(last, now) {
			k.review(now, now.Slept-last.Slept)
		}
		last = now
		k.take(now)
		k.endExpired(now)
		if len(k.due) > 0 {
			k.renew(k.due)
		}
		if k.takeSuspects(); len(k.checks.due) > 0 {
			k.checks.ask(k.checks.due)
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

// endExpired ends the leases whose deadline has passed: all of them, before it tells of
// the first.
func (k *Keeper) endExpired(now clock.Moment) {
	k.causes = k.causes[:0]
	for _, e := range k.over {
		k.causes = append(k.causes, e.Control.Finish(lease.ErrExpired, now))
	}
	for n, e := range k.over {
		if k.causes[n] != nil { // else somebody else has noticed
			e.Control.Backend().Ended(k.causes[n])
		}
	}
}

// endLost ends those that are lost, and then tells their Backends. It changes the outcomes: what
// stays in Lost is why the lease has ended now.
func (k *Keeper) endLost(outcomes []Outcome, now clock.Moment) {
	for n := range outcomes {
		if o := &outcomes[n]; o.Lost != nil {
			o.Lost = o.Entry.Control.Finish(o.Lost, now)
		}
	}
	for _, o := range outcomes { // all have ended that are to end: now their Backends are told
		if o.Lost != nil {
			o.Entry.Control.Backend().Ended(o.Lost)
		}
	}
}

// jumped reports whether time has gone by between two moments that the monotonic
// clock does not know of.
func jumped(from, to clock.Moment) bool {
	const noise = 10 * time.Millisecond // of a wall clock that is being slewed
	wall := time.Duration(to.UnixNano() - from.UnixNano())
	return to.Slept > from.Slept || wall-to.Sub(from.Time) > noise
}

// review looks at every lease anew after the clocks have jumped: due times are on
// the monotonic clock, and so all of them come too late by what the machine has
// slept, and deadlines may have passed by the wall clock.
func (k *Keeper) review(now clock.Moment, slept time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var entries []*Entry
	for e := range k.queue.all {
		entries = append(entries, e)
	}
	for _, e := range entries {
		left, _ := e.Control.Left(now)
		k.queue.move(e, min(e.due-slept, k.at(now)+left))
	}
}

// arm notes and returns how long the loop may sleep.
func (k *Keeper) arm(now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, longest := now.Sub(k.epoch.Time), time.Hour
	if k.queue.size > 0 {
		longest = lookEvery
	}
	k.armed = k.queue.next(at + longest)
	return max(0, k.armed-at)
}

// take finds what is to be done now: the leases whose deadline has passed, which
// leave care, and those to be renewed, which it marks.
func (k *Keeper) take(now clock.Moment) {
	clear(k.over)
	clear(k.due)
	k.over, k.due = k.over[:0], k.due[:0]

	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed = 0
	k.queue.take(k.at(now), func(e *Entry) {
		left, more := e.Control.Left(now)
		if left <= 0 {
			k.over = append(k.over, e)
			return
		}
		if e.stage == resting && e.RenewEvery > 0 && more {
			e.stage = waiting
			k.waiting.join(e)
		} // else it has been extended since, and its deadline has moved
		e.due = k.at(now) + left
		k.queue.add(e)
	})
	for k.underWay < maxUnderWay {
		e := k.waiting.pop()
		if e == nil {
			break
		}
		e.stage = renewing
		k.underWay += e.locks()
		k.due = append(k.due, e)
	}
}
