package sim

import (
	"sync"
	"time"
)

// clock is a server's wall clock: the bubble's, but for what it is ahead, how
// fast it runs, and when it was stepped.
type clock struct {
	mu   sync.Mutex
	at   time.Time // when it was last set, on the bubble's clock
	show time.Time // what it showed then
	rate float64   // its seconds in one of the bubble's
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
	return c.show.Add(time.Duration(float64(time.Since(c.at)) * c.rate))
}

// set steps the clock, and has it run at this rate from now on.
func (c *clock) set(step time.Duration, rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.show, c.at, c.rate = c.read().Add(step), time.Now(), rate
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
	return c.at.Add(time.Duration(float64(shown.Sub(c.show)) / c.rate))
}
