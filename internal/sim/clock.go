package sim

import (
	"sync"
	"time"
)

// clock is a server's wall clock: the bubble's, but for what it is ahead, how
// fast it runs, and when it was stepped.
type clock struct {
	mu    sync.Mutex
	at    time.Time     // when it was last set, on the bubble's clock
	show  time.Time     // what it showed then
	rate  float64       // its seconds in one of the bubble's
	swing time.Duration // how long it runs so, and then for as long as much slower or faster; 0: it goes on so
}

func newClock() *clock {
	now := time.Now()
	return &clock{at: now, show: now, rate: 1}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

// read is now, with mu held.
func (c *clock) read() time.Time {
	full, rest := c.swings(time.Since(c.at))
	shown := float64(rest) * c.rate
	if late := rest - c.swing; c.swing > 0 && late > 0 {
		shown = float64(c.swing)*c.rate + float64(late)*(2-c.rate)
	}
	return c.show.Add(full + time.Duration(shown))
}

// swings splits a time into whole swings to and fro, for which the clock shows as much, and the rest.
func (c *clock) swings(d time.Duration) (full, rest time.Duration) {
	if c.swing == 0 {
		return 0, d
	}
	rest = d % (2 * c.swing)
	return d - rest, rest
}

// set steps the clock, and has it run at this rate from now on, or to and fro.
func (c *clock) set(step time.Duration, rate float64, swing time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.show, c.at, c.rate, c.swing = c.read().Add(step), time.Now(), rate, swing
}

func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.show = c.show.Add(d)
}

// when returns the bubble's time at which the clock will show this.
func (c *clock) when(shown time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	full, rest := c.swings(shown.Sub(c.show))
	passed := float64(rest) / c.rate
	if turned := float64(c.swing) * c.rate; c.swing > 0 && float64(rest) > turned {
		passed = float64(c.swing) + (float64(rest)-turned)/(2-c.rate)
	}
	return c.at.Add(full + time.Duration(passed))
}
