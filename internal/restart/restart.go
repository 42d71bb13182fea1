// Package restart judges from what a server says of itself whether it may have
// restarted without its memory. It has no clock and no connection of its own: its
// callers have them. The model that checks what follows from it calls it, too.
package restart

import "time"

// Sighting is what one connection has learnt of the server's identity.
type Sighting struct {
	RunID    string        // "" when INFO is not permitted or says nothing
	Uptime   time.Duration // negative: unknown, or the server's clock was stepped
	History  string        // names the replication history; changes with every new master; "": unknown
	Promoted bool          // it was a replica once, and nobody can say until when
	At       time.Time     // when we looked, on our clock
}

// Judgement is what follows for the votes on new acquires.
type Judgement struct {
	Until time.Time // no votes before; zero: trusted
	Young bool      // seen for the first time, and too young: adaptive may pardon
	Why   string
}

// Judge compares a sighting with the one before. It is the whole of the guard's
// logic, and has no clock of its own.
//
//	quarantine ≥ longest TTL in the fleet + attempt timeout + drift
func Judge(before *Sighting, now Sighting, carried time.Time, quarantine time.Duration) Judgement {
	full := now.At.Add(quarantine)
	switch {
	case now.RunID == "" && before == nil:
		return Judgement{} // nothing to go by; the caller has said so, loudly
	case now.RunID == "":
		return Judgement{Until: carried}
	case before == nil:
		switch {
		case now.Promoted:
			return Judgement{Until: full, Why: "it was a replica before"}
		case now.Uptime < 0:
			return Judgement{Until: full, Why: "its uptime is unknown"}
		case now.Uptime < quarantine:
			// Uptime is in whole seconds, by the server's wall clock: one more
			// second for the rounding.
			return Judgement{Until: full.Add(time.Second - now.Uptime), Young: true, Why: "it was started a short while ago"}
		}
		return Judgement{}
	case before.RunID == "":
		return Judge(nil, now, carried, quarantine)
	case now.RunID != before.RunID:
		return Judgement{Until: full, Why: "it was restarted"}
	case now.Uptime < before.Uptime:
		return Judgement{Until: full, Why: "its uptime went backwards"}
	case now.History != before.History:
		return Judgement{Until: full, Why: "it was a replica meanwhile, or has got its first one"}
	}
	return Judgement{Until: carried} // the same process as before: what was left is still left
}
