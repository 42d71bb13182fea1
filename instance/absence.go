package instance

import "time"

// absence is what a mailbox answers everything with while its instance is down, for those who only look: they take no lock, and
// post nothing. It never changes.
type absence struct {
	vote Vote
	down time.Time // since when
}

// Absent reports whether the instance is down, and what it votes then on a question that began at since, or is about a lock
// whose acquire began then. Such a question need not be posted: it would be answered so, and nothing would be owed, since the
// instance has never heard of the lock. It does not block.
//
// It is for the engine.
func (i *Instance) Absent(since time.Time) (Vote, bool) {
	a := i.mailbox.absence.Load()
	if a == nil || i.route != nil || !since.After(a.down) {
		return Vote{}, false
	}
	return a.vote, true
}

// noteAbsence lets others see whether everything is refused, and with what. Called with mu held, whenever that changes.
func (m *mailbox) noteAbsence() {
	if m.refusal == nil || m.closed {
		m.absence.Store(nil)
		return
	}
	m.absence.Store(&absence{*m.refusal, m.down})
}
