package instance

import (
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
)

// Redis counts the life of a key by the server's wall clock. When that is stepped
// forward, keys end before their leases do; when it is stepped back, they live on
// after them. Every renewal therefore asks the server for its time, and two
// answers tell whether its clock has gone as far as ours in between:
//
//	  us      sent ├──────┤ got             sent ├──────┤ got
//	  server       TIME ●─────── went ──────── ● TIME
//
//	got₁ → sent₂  ≤  went  ≤  sent₁ → got₂
//
// Nothing else enters into that: neither delays, which make the bounds wider, nor
// what was done with any key. It is assumed that the two answers come from one
// process, which its run_id says, and that our own clocks show it when we sleep. A
// pause of our machine that none of them shows looks like a step of all servers,
// and is treated as such, which is right: keys have less left than we believe.

// clockSample is what one answer has shown of a server's clock.
type clockSample struct {
	runID  string
	server time.Duration // its clock
	sent   time.Time     // our question
	got    clock.Moment  // the answer
}

// step is a jump of a server's clock against ours.
type step struct {
	by time.Duration // above zero: forward
	at time.Time     // when it was noticed; zero: never
}

// stepBetween returns by how much the server's clock was stepped between two
// samples, at least; 0 if it was not, or if that cannot be told.
func stepBetween(before, now clockSample) time.Duration {
	if now.runID == "" || now.runID != before.runID || now.got.Slept != before.got.Slept {
		return 0
	}
	least, most := now.sent.Sub(before.got.Time), now.got.Sub(before.sent)
	allowed := most/100 + 10*time.Millisecond // clocks differ in rate, and are slewed
	switch went := now.server - before.server; {
	case went > most+allowed:
		return went - most
	case went < least-allowed:
		return went - least
	}
	return 0
}

// noteClock takes what the answer to a renewal shows of the server's clock, in µs.
func (r *reader) noteClock(s *sending, micros int64) {
	now := clockSample{runID: r.link.Seen.RunID, server: clock.Units(micros, time.Microsecond), sent: s.now, got: clock.Sample()}
	before := r.clock
	r.clock = now
	r.link.clock.note(micros, now.got.Time)
	by := stepBetween(before, now)
	if by == 0 {
		return
	}
	r.stepped = step{by, now.got.Time}
	r.mu.Lock()
	r.health.Stepped, r.health.SteppedAt = by, now.got.Time
	r.mu.Unlock()
	r.log.Warn("the server's clock was stepped: keys there end earlier or later than their leases", "by", by.Round(time.Millisecond).String())
}

// concerns reports whether a lock that has so much left now shows the step: that
// its life was given before, by another clock. Forward, it has less left than its
// lease. Back, it has more left than it was ever given, unless it was extended.
//
// A lock that this instance was not asked to renew the last time has less left,
// too. That matters only for the first renewal after a step; and what is at stake
// is one vote.
func (s step) concerns(r *Renewal, left time.Duration, now time.Time) bool {
	if s.at.IsZero() || r.Until.IsZero() || r.Since.After(s.at) {
		return false
	}
	valid := r.Until.Sub(now)
	if s.by > 0 {
		return left < valid
	}
	return left > max(r.TTL, valid+r.TTL/2)
}

// doubt is the vote on a lock that a step concerns.
func (s step) doubt(name string) Vote {
	return Vote{Instance: name, Kind: Stepped, Err: fmt.Errorf("the server's clock was stepped by %v", s.by.Round(time.Millisecond))}
}
