package trial

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// ledger has every lease that was granted, and checks what leases promise.
type ledger struct {
	trial *trial

	mu      sync.Mutex
	leases  map[*lease.Lease]*record
	tokens  map[string][]*record
	held    map[string][]*record          // by resource: those that have not ended
	fences  map[string]map[uint64]*record // by resource
	highest map[string]uint64             // fence, by resource
	early   map[*lease.Lease]ending       // of leases that ended before they were entered
	wanted  map[string]want               // by resource: by those who want several at once
}

// record is one lease.
type record struct {
	terms
	lease    *lease.Lease
	host     int
	from     time.Time
	ending             // guarded by ledger.mu
	released time.Time // when its holder began to give it back, which may be long after a loss; zero: it has not; guarded by ledger.mu
	given    bool      // to another engine, which adopts it; guarded by ledger.mu
}

// terms are how a lease was asked for.
type terms struct {
	asked   time.Time
	before  uint64        // the highest fence of the leases that had been granted then
	own     bool          // the token is the user's
	loose   bool          // so that neither exclusion nor honesty is promised: it is that of several attempts
	maxHold time.Duration // 0: as long as it likes
}

// holding is a lease as its holder sees it.
type holding struct {
	*record
	over bool // it has been seen to be invalid
}

type ending struct {
	until time.Time // zero: it has not ended
	cause error
}

func (r *record) lost() bool { return errors.Is(r.cause, lease.ErrLost) }

// expired: it ended at its deadline, and so did its keys, soon after.
func (r *record) expired() bool {
	return r.lost() && !r.until.Before(r.lease.Deadline())
}

func newLedger(t *trial) *ledger {
	return &ledger{
		trial:   t,
		leases:  make(map[*lease.Lease]*record),
		tokens:  make(map[string][]*record),
		held:    make(map[string][]*record),
		fences:  make(map[string]map[uint64]*record),
		highest: make(map[string]uint64),
		early:   make(map[*lease.Lease]ending),
		wanted:  make(map[string]want),
	}
}

// before returns the highest fence of a lease that has been granted already: one
// that is asked for from now on must be higher.
func (l *ledger) before(resources []string) (highest uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, resource := range resources {
		highest = max(highest, l.highest[resource])
	}
	return highest
}

// want is how many acquires of several resources at once are under way, and when the last of them began or ended.
type want struct {
	n  int
	at time.Time
}

func (l *ledger) want(set []string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, resource := range set {
		l.wanted[resource] = want{l.wanted[resource].n + n, time.Now()}
	}
}

// mayBeKept reports whether a lock may be kept for an acquire of several: it is nobody's lease then.
func (l *ledger) mayBeKept(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for resource, want := range l.wanted {
		if l.trial.plan.key(resource) == key && (want.n > 0 || time.Since(want.at) < settled) {
			return true
		}
	}
	return false
}

// granted enters a lease, and checks that no other is valid.
func (l *ledger) granted(granted *lease.Lease, host int, as terms) *holding {
	r := &record{terms: as, lease: granted, host: host, from: time.Now()}
	l.mu.Lock()
	var others []*record
	r.ending = l.early[granted]
	for _, resource := range granted.Resources() {
		others = append(others, l.held[resource]...)
		if r.until.IsZero() {
			l.held[resource] = append(l.held[resource], r)
		}
	}
	l.leases[granted] = r
	l.tokens[granted.Token()] = append(l.tokens[granted.Token()], r)
	l.enterFence(r, as.before)
	l.mu.Unlock()

	l.trial.log("engine %d: granted %s", host+1, l.describe(r))
	for _, other := range others {
		if !other.lease.Valid() || !granted.Valid() {
			continue
		}
		if l.trial.plan.tame() && !r.loose && !other.loose {
			l.trial.complain("mutual exclusion: %s while %s", l.describe(r), l.describe(other))
		} else {
			l.trial.counts.count(&l.trial.counts.overlaps)
		}
	}
	return &holding{record: r}
}

// enterFence checks that a fence is higher than every one before the lease was
// asked for, and that no other lease has it. Called with mu held.
func (l *ledger) enterFence(r *record, before uint64) {
	for _, resource := range r.lease.Resources() {
		l.enterFenceOf(resource, r, before)
	}
}

func (l *ledger) enterFenceOf(resource string, r *record, before uint64) {
	fence := r.lease.Fence()
	if fence == 0 || l.trial.plan.forgets {
		return
	}
	if l.fences[resource] == nil {
		l.fences[resource] = make(map[uint64]*record)
	}
	if other := l.fences[resource][fence]; other != nil {
		l.trial.complain("fence order: %d belongs to two leases: %s and %s", fence, l.describeLocked(r), l.describeLocked(other))
	}
	if fence <= before {
		l.trial.complain("fence order: %s, though one with %d had been granted before it was asked for", l.describeLocked(r), before)
	}
	l.fences[resource][fence] = r
	l.highest[resource] = max(l.highest[resource], fence)
}

// ended is told of the end of every lease.
func (l *ledger) ended(ended *lease.Lease, host int, cause error) {
	end := ending{until: time.Now(), cause: cause}
	if deadline := ended.Deadline(); deadline.Before(end.until) {
		end.until = deadline
	}
	if errors.Is(cause, lease.ErrLost) {
		l.trial.counts.count(&l.trial.counts.losses)
	}
	if errors.Is(cause, lease.ErrMaxHold) {
		l.trial.counts.count(&l.trial.counts.held)
	}
	l.mu.Lock()
	r := l.leases[ended]
	if r == nil {
		l.early[ended] = end
		l.mu.Unlock()
		return
	}
	r.ending = end
	l.unhold(r)
	l.mu.Unlock()
	l.trial.log("engine %d: ended %s", host+1, l.describe(r))
}

// unhold: nobody relies on the lease any more. Called with mu held.
func (l *ledger) unhold(r *record) {
	for _, resource := range r.lease.Resources() {
		l.held[resource] = slices.DeleteFunc(slices.Clone(l.held[resource]), func(other *record) bool { return other == r })
	}
}

// giving notes that the holder leaves the lease to another engine.
func (l *ledger) giving(r *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.given = true
	l.unhold(r)
}

// releasing notes that the holder gives the lease back.
func (l *ledger) releasing(r *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.released = time.Now()
}

// look is a holder's look at its lease, at any time: it checks what the lease says.
func (l *ledger) look(r *holding) {
	t := l.trial
	t.counts.count(&t.counts.looks)
	deadline := r.lease.Deadline()
	select {
	case <-r.lease.Done():
	default:
		if time.Now().After(deadline) {
			t.complain("Done: it is not closed, though the deadline has passed: %s", l.describe(r.record))
		}
	}
	if !r.lease.Valid() {
		r.over = true
		return
	}
	if limit := r.from.Add(r.maxHold); r.maxHold > 0 && deadline.After(limit) {
		t.complain("max hold: it may be held until %v: %s", limit.Sub(t.begun), l.describe(r.record))
	}
	if r.over {
		t.complain("revival: it was seen to be over: %s", l.describe(r.record))
	}
	if !t.plan.tame() || r.loose {
		return
	}
	behind, keys := t.behind(r.record, deadline)
	if need := t.plan.votes/2 + 1; behind < need && r.lease.Valid() && !r.lease.Deadline().After(deadline) {
		t.complain("honesty: the lease says that it is valid until %v, and only %d instances are behind it until then: %s; %s",
			deadline.Sub(t.begun), behind, l.describe(r.record), keys)
	}
}

// behind counts the instances that have the lease's key until its deadline, or
// have lost it with their memory, and may not grant another before then.
func (t *trial) behind(r *record, deadline time.Time) (least int, keys string) {
	least = t.plan.votes
	for _, resource := range r.lease.Resources() {
		n, its := t.behindOne(r, resource, deadline)
		least, keys = min(least, n), keys+its
	}
	return least, keys
}

func (t *trial) behindOne(r *record, resource string, deadline time.Time) (most int, keys string) {
	key := t.plan.key(resource)
	ours := func(token string) bool { return token == r.lease.Token() }
	if e := &t.plan.engines[r.host]; e.handoff > 0 && !r.own && len(r.lease.Resources()) == 1 { // no lease shows the token: any one of the engine's
		ours = e.owns
	}
	n := make(map[string]int) // by token
	for _, v := range t.voters {
		until := t.locks.forgotten(v, key, ours) // and, perhaps, been healed since
		holder, expires := v.get(key)
		if ours(holder) && expires.After(until[holder]) {
			until[holder] = expires
		}
		for token, until := range until {
			if !until.Before(deadline) {
				n[token]++
				most = max(most, n[token])
			}
		}
		keys += fmt.Sprintf("%s has %s of %s until %v; ", v.name, instance.Abbreviate(holder), key, expires.Sub(t.begun))
	}
	return most, keys
}

func (l *ledger) describe(r *record) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.describeLocked(r)
}

func (l *ledger) describeLocked(r *record) string {
	since := func(at time.Time) time.Duration { return at.Sub(l.trial.begun) }
	s := fmt.Sprintf("%s of %v by engine %d, asked for at %v, from %v", instance.Abbreviate(r.lease.Token()), r.lease.Resources(), r.host+1, since(r.asked), since(r.from))
	if r.until.IsZero() {
		s += fmt.Sprintf(" on, deadline %v", since(r.lease.Deadline()))
	} else {
		s += fmt.Sprintf(" to %v (%v)", since(r.until), r.cause)
	}
	if r.lease.Fence() != 0 {
		s += fmt.Sprintf(", fence %d", r.lease.Fence())
	}
	return s
}

// find returns what is known of a token: the leases that had it.
func (l *ledger) find(token string) (all []record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.tokens[token] {
		all = append(all, *r)
	}
	return all
}

// handedOn returns the leases of an engine that hands locks on, of one resource.
func (l *ledger) handedOn(host int, key string) (all []record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.leases {
		if r.host == host && !r.own && len(r.lease.Resources()) == 1 && l.trial.plan.key(r.lease.Resource()) == key {
			all = append(all, *r)
		}
	}
	return all
}
