package reach

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Probing a down instance: soon at first, then less often, but often enough to
// be back within a second of the server answering.
const (
	firstProbe = 20 * time.Millisecond
	LastProbe  = 800 * time.Millisecond
)

// NewProbes are the pauses between attempts to connect.
func NewProbes() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstProbe),
		backoff.WithMaxInterval(LastProbe),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.2),
		backoff.WithMaxElapsedTime(0),
	)
}
