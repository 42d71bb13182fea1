package instance

import (
	"fmt"
	"time"
)

// Guard says what is made of an instance that may have restarted without its
// memory. Such a one would grant a lock that somebody still holds, so it must
// not vote on new acquires until every lease that it may have forgotten is over:
// Quarantine, counted on our own clock. Renewals and releases go on meanwhile.
type Guard uint8

const (
	// GuardAdaptive is GuardStrict with one exception, so that a first
	// deployment need not wait: when this engine sees all its instances for the
	// first time and all of them are younger than the quarantine, they are
	// trusted at once.
	GuardAdaptive Guard = iota
	// GuardStrict quarantines every instance that restarted, or whose age
	// cannot be known, a short while ago.
	GuardStrict
	// GuardOff trusts every instance: right only if none can forget, as with
	// appendfsync always.
	GuardOff
)

func (g Guard) String() string {
	switch g {
	case GuardAdaptive:
		return "adaptive"
	case GuardStrict:
		return "strict"
	case GuardOff:
		return "off"
	}
	return fmt.Sprintf("guard %d", uint8(g))
}

// sighting is what one connection has learnt of the server's identity.
type sighting struct {
	runID    string        // "" when INFO is not permitted or says nothing
	uptime   time.Duration // negative: unknown, or the server's clock was stepped
	history  string        // names the replication history; changes with every new master; "": unknown
	promoted bool          // it was a replica once, and nobody can say until when
	at       time.Time     // when we looked, on our clock
}

// judgement is what follows for the votes on new acquires.
type judgement struct {
	until time.Time // no votes before; zero: trusted
	young bool      // seen for the first time, and too young: adaptive may pardon
	why   string
}

// judge compares a sighting with the one before. It is the whole of the guard's
// logic, and has no clock of its own.
//
//	quarantine ≥ longest TTL in the fleet + attempt timeout + drift
func judge(before *sighting, now sighting, carried time.Time, quarantine time.Duration) judgement {
	full := now.at.Add(quarantine)
	switch {
	case now.runID == "" && before == nil:
		return judgement{} // nothing to go by; the caller has said so, loudly
	case now.runID == "":
		return judgement{until: carried}
	case before == nil:
		switch {
		case now.promoted:
			return judgement{until: full, why: "it was a replica before"}
		case now.uptime < 0:
			return judgement{until: full, why: "its uptime is unknown"}
		case now.uptime < quarantine:
			// Uptime is in whole seconds, by the server's wall clock: one more
			// second for the rounding.
			return judgement{until: full.Add(time.Second - now.uptime), young: true, why: "it was started a short while ago"}
		}
		return judgement{}
	case before.runID == "":
		return judge(nil, now, carried, quarantine)
	case now.runID != before.runID:
		return judgement{until: full, why: "it was restarted"}
	case now.uptime < before.uptime:
		return judgement{until: full, why: "its uptime went backwards"}
	case now.history != before.history:
		return judgement{until: full, why: "it was a replica meanwhile"}
	}
	return judgement{until: carried} // the same process as before: what was left is still left
}
