package reach

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/internal/fault"
)

// Probing a down instance: soon at first, then less often, but often enough to
// be back within a second of the server answering.
const (
	firstProbe = 20 * time.Millisecond
	LastProbe  = 800 * time.Millisecond
)

// mostLate bounds what attempts that take too long lead to.
const mostLate = 2

// Late counts the attempts to connect in a row that took too long, with the last, which failed with err.
func Late(before int, err error) int {
	if fault.IsTimeout(err) {
		return min(before+1, mostLate)
	}
	return 0
}

// Patience is how long a server that has accepted a connection has for its greeting, after so many attempts that took too long.
// When a server is restarted, all that use it come at once. If they give up before it has come round to them, their next
// attempts are more of the work that it is late with already: so each next one may take longer.
func Patience(timeout time.Duration, late int) time.Duration { return timeout << late }

// Stretched is a pause between attempts after so many that took too long: up to twice as long, and spread, so that not all come at
// once again.
func Stretched(pause time.Duration, late int) time.Duration {
	if late == 0 || pause <= 0 {
		return pause
	}
	return pause + rand.N(pause)
}

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
