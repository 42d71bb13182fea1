package keeper

import "github.com/holdfast-go/holdfast/internal/clock"

// check says how far the question "who has this lock?" has got.
type check uint8

const (
	unchecked    check = iota
	suspected          // it is to be asked
	asked              // it is under way
	askedTooSoon       // it is under way, and it is to be asked once more
)

// checks are the entries whose locks somebody may have taken. Guarded by Keeper.mu.
type checks struct {
	ask      func([]*Entry)
	suspects line
	underWay int
	due      []*Entry // the loop's own: handed to ask
}

// Check has it asked soon whose an entry's lock is, since it may have been taken away. A
// quorum that says "not yours" ends the lease; whatever else comes of it changes nothing: the
// entry is renewed when it is due. What is suspected while the question is under way is asked
// once more. An entry that is not in care is not asked about.
func (k *Keeper) Check(e *Entry) {
	k.mu.Lock()
	needed := e.queued() && k.suspect(e)
	k.mu.Unlock()
	k.nudge(needed)
}

// suspect reports whether it is new that the entry is to be asked about. Called with mu held.
func (k *Keeper) suspect(e *Entry) bool {
	switch e.check {
	case unchecked:
		e.check = suspected
		k.checks.suspects.join(e)
		return true
	case asked:
		e.check = askedTooSoon
	}
	return false
}

// takeSuspects finds those that are to be asked about now.
func (k *Keeper) takeSuspects() {
	clear(k.checks.due)
	k.checks.due = k.checks.due[:0]
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.checks.underWay < maxUnderWay {
		e := k.checks.suspects.pop()
		if e == nil {
			break
		}
		e.check = asked
		k.checks.underWay += e.locks()
		k.checks.due = append(k.checks.due, e)
	}
}

// Checked takes the outcomes of checks. They say which leases are lost, and why; they have no deadline.
func (k *Keeper) Checked(outcomes []Outcome) {
	k.endLost(outcomes, clock.Now())
	k.mu.Lock()
	for n := range outcomes {
		k.checks.underWay -= outcomes[n].Entry.locks()
	}
	needed := !k.checks.suspects.empty()
	for n := range outcomes {
		e, again := outcomes[n].Entry, outcomes[n].Entry.check == askedTooSoon
		if e.check = unchecked; again && e.queued() {
			needed = k.suspect(e) || needed
		}
	}
	k.mu.Unlock()
	k.nudge(needed)
}
