package keeper

import (
	"math/rand/v2"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// Entry is a lease in the keeper's care. Control has been begun, and the other
// exported fields have been set, before Add; they are not changed afterwards.
type Entry struct {
	Control    lease.Control
	TTL        time.Duration // what renewals ask for
	RenewEvery time.Duration // 0: the lease is not renewed, only ended in time

	// Guarded by Keeper.mu.
	due      time.Duration // when to look at it next, since the keeper's epoch
	next     *Entry        // in the list of its grain
	at       **Entry       // what points to it there; nil when not in a list
	index    int32         // in the heap, counted from 1; 0 when not there
	stage    stage
	failures uint8  // renewals that failed since the last that did not, as far as retry counts
	renewals uint16 // that were confirmed, up to maxRenewals
	check    check

	Locks uint8 // of how many locks it is a lease; 0 is one. Set before Add; here it takes no room
}

// locks is how many questions its renewal is.
func (e *Entry) locks() int { return max(1, int(e.Locks)) }

// stage is how far an entry's renewal is. Unless it rests, the entry is due at
// its deadline.
type stage uint8

const (
	resting  stage = iota
	waiting        // due, but too many others are under way
	renewing       // under way
)

// jitter returns a random time from 15/16 of d to d, so that leases that were
// acquired together do not stay together.
func jitter(d time.Duration) time.Duration {
	if d < 16 {
		return d
	}
	return d - time.Duration(rand.Int64N(int64(d/16)+1))
}

// share moves a due time to an earlier one that others share, by at most a grain
// and a 32nd of the time between two renewals.
func (e *Entry) share(due time.Duration) time.Duration {
	if g := min(grain, e.RenewEvery/32); g > 0 {
		due -= due % g
	}
	return due
}

// pause is the time until the next try after a failed one: short, then longer.
func (e *Entry) pause() time.Duration {
	pause := e.RenewEvery >> 4 << e.failures // 1/16, 1/8, 1/4, 1/2 of RenewEvery
	e.failures = min(e.failures+1, 3)
	return jitter(max(pause, time.Millisecond))
}
