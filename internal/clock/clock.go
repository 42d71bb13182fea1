// Package clock tells the time on all clocks that matter to a lease.
//
// The monotonic clock cannot be stepped, but on Linux it stands still while the
// machine is suspended, and all of Go's timers with it. The wall clock goes on
// then, but can be stepped. CLOCK_BOOTTIME is the monotonic clock that goes on:
//
//	slept = CLOCK_BOOTTIME − CLOCK_MONOTONIC, since the process began
//
// slept never shrinks, and grows by suspends only. So a deadline that remembers
// how long the machine had slept when it was set is over, on CLOCK_BOOTTIME, as
// much earlier on the monotonic clock as the machine has slept since.
package clock

import (
	"math"
	"sync/atomic"
	"time"
)

// Moment is a time on all clocks.
type Moment struct {
	time.Time               // wall and monotonic
	Slept     time.Duration // how long the machine had slept until then
}

// Add returns the moment that comes d later if nobody sleeps.
func (m Moment) Add(d time.Duration) Moment { return Moment{m.Time.Add(d), m.Slept} }

// Until returns how long after now m is, by the clock on which it comes first.
// Below zero it has passed on one of them at least.
func (m Moment) Until(now Moment) time.Duration {
	monotonic := m.Sub(now.Time)
	wall := time.Duration(m.UnixNano() - now.UnixNano())
	boot := monotonic - max(0, now.Slept-m.Slept)
	return min(monotonic, wall, boot)
}

// Later reports whether m comes after other, by the clocks that cannot be stepped.
func (m Moment) Later(other Moment) bool {
	return m.Sub(other.Time)+m.Slept-other.Slept > 0
}

// Units returns n units of time, or the longest time that there is in that
// direction: servers may say any number.
func Units(n int64, unit time.Duration) time.Duration {
	switch most := int64(math.MaxInt64 / unit); {
	case n > most:
		return math.MaxInt64
	case n < -most:
		return math.MinInt64
	}
	return time.Duration(n) * unit
}

// least is the shortest suspend that is noticed. What is less is the time between
// two readings, and nothing to a lease: its drift covers that.
const least = time.Millisecond

var (
	started  = time.Now()
	booted   = bootedAtStart()
	known    atomic.Int64 // slept, as far as it has been noticed
	injected atomic.Int64 // by tests
	offset   atomic.Int64 // between wall and monotonic, when CLOCK_BOOTTIME was last read
)

// bootedAtStart is what CLOCK_BOOTTIME showed at started.
func bootedAtStart() time.Duration {
	best := boottime() - time.Since(started)
	for range 4 { // an interruption between the two readings makes the difference too small
		best = max(best, boottime()-time.Since(started))
	}
	return best
}

// Now returns this moment. It reads the kernel's clock, which takes some seven
// times as long as time.Now: about half a microsecond.
func Now() Moment {
	boot := boottime()
	now := time.Now() // behind it, so that an interruption in between is not taken for sleep
	offset.Store(apart(now))
	// In a synctest bubble it is the year 2000, long before the process was started:
	// nobody sleeps there, but by Inject.
	if up := now.Sub(started); boot != 0 && up >= 0 {
		learn(boot - booted - up)
	}
	return Moment{now, sleptSoFar()}
}

// Sample returns this moment at the price of time.Now. It asks the kernel for
// CLOCK_BOOTTIME only when the wall clock has moved against the monotonic one, as
// it does in a suspend. A sleep that it misses, because the wall clock was stepped
// back by as much meanwhile, makes a deadline set by it come earlier, not later.
func Sample() Moment {
	now := time.Now()
	if moved := time.Duration(apart(now) - offset.Load()); moved < -least || moved > least {
		return Now()
	}
	return Moment{now, sleptSoFar()}
}

// learn notes that the machine has slept for so long, if that is news.
func learn(slept time.Duration) {
	for {
		before := known.Load()
		if int64(slept) < before+int64(least) || known.CompareAndSwap(before, int64(slept)) {
			return
		}
	}
}

func sleptSoFar() time.Duration { return time.Duration(known.Load() + injected.Load()) }

// apart is how far the wall clock is from the monotonic one.
func apart(now time.Time) int64 { return now.UnixNano() - int64(now.Sub(started)) }

// Inject makes it look as if the machine had slept for d just now: for tests. It
// cannot be taken back, as a real sleep cannot.
func Inject(d time.Duration) { injected.Add(int64(d)) }
