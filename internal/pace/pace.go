// Package pace bounds how often something is done.
package pace

import "time"

// Pace is how often one thing may be done: once in each interval, and several times at once after a quiet time. What
// the interval is, and how many times, its user says with each call. The zero value is a quiet time. It needs the
// user's lock.
type Pace struct {
	spent time.Time // until when the intervals are used up
}

// Next is from when on it may be done again, where burst times may follow each other at once: at least one.
func (p *Pace) Next(every time.Duration, burst int) time.Time {
	return p.spent.Add(-time.Duration(burst-1) * every)
}

// Take uses up one interval, since it is done now.
func (p *Pace) Take(every time.Duration, now time.Time) {
	if p.spent.Before(now) {
		p.spent = now
	}
	p.spent = p.spent.Add(every)
}
