package engine

import (
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// Trace has funcs that an engine calls at the steps of every lock. A nil field
// is off. They are called on the goroutine that does the work and must return
// quickly, without calling the engine.
type Trace struct {
	// Round is called after each round of votes of an acquire. err is nil, and
	// so are the votes, when it was granted.
	Round func(resource string, votes []instance.Vote, took time.Duration, err error)

	// Acquired is called when an Acquire or TryAcquire is over: waited is all
	// of its time, rounds how many rounds of votes it took. err is nil when the
	// lease was granted.
	Acquired func(resource string, waited time.Duration, rounds int, err error)

	// Renewed is called when a renewal is decided. margin is what was left of
	// the validity then; confirmed is false when the renewal failed and will be
	// tried again, or the lease is lost.
	Renewed func(l *lease.Lease, margin time.Duration, confirmed bool)

	// Ended is called when a lease ends, with the cause and how long it was held.
	Ended func(l *lease.Lease, cause error, held time.Duration)
}
