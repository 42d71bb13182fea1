package engine

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Backoff makes the waits between the rounds of one Acquire. The types of
// github.com/cenkalti/backoff/v4 are Backoffs as they are.
type Backoff interface {
	// NextBackOff returns how long to wait before the next round. A time below
	// zero, as backoff.Stop is, ends the Acquire with what stood in its way. One
	// goroutine at a time calls it.
	NextBackOff() time.Duration
}

func defaultBackoff() Backoff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Millisecond),
		backoff.WithMaxInterval(160*time.Millisecond),
		backoff.WithMultiplier(1.6),
		backoff.WithRandomizationFactor(0.6),
		backoff.WithMaxElapsedTime(0),
	)
}
