package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// Trace has funcs that an engine calls at the steps of every lock. A nil field
// is off, and costs nothing. JoinTraces makes one of several.
//
// Acquired and Each are called on the goroutine of their acquire, by several at once. It returns
// only after them; the lease's time runs meanwhile. All others are
// called on two goroutines that do nothing else, a moment after what they tell of,
// so that nothing waits for them: Vote and Pipeline on one, and the rest on the
// other, in the order in which things happened. What a func is too slow for is
// dropped and counted, in Snapshot.Untold: when 8192 calls wait, or 16384 of Ended
// and Instance. One that does not return is not called again. Close waits a second
// for what has not been told. A func that panics ends the process.
type Trace struct {
	// Round is called after each round of votes of an acquire.
	Round func(RoundInfo)

	// Vote is called when an instance's vote on an acquire has arrived, also one that
	// comes after the decision; there is none on a question that was taken back
	// before it was sent. What a vote says beyond its kind, Round has.
	Vote func(VoteInfo)

	// Acquired is called when an Acquire or TryAcquire is over, with its context.
	Acquired func(context.Context, AcquiredInfo)

	// Each is called when a TryAcquireEach is over, with its context, on its goroutine, as Acquired is: once, in the
	// place of Round and Acquired for each of its resources.
	Each func(context.Context, EachInfo)

	// Woken is called when an Acquire that waited has looked again because it was
	// told that the lock may be free.
	Woken func(WokenInfo)

	// Renewed is called when a renewal is decided.
	Renewed func(RenewedInfo)

	// Checked is called when a lease that is watched (WithWatch) has been asked about, since a
	// server told that its lock is not there any more, or is another's.
	Checked func(CheckedInfo)

	// Ended is called once when a lease has ended. Done has been closed before.
	Ended func(EndedInfo)

	// Instance is called when an instance has changed its state; a cluster, when
	// one of its nodes has. That the restart
	// guard lets it vote again is no event: it says when beforehand, in Quarantine.
	Instance func(instance.Health)

	// Pipeline is called when an instance has answered a pipeline: several messages
	// in one round trip.
	Pipeline func(PipelineInfo)
}

// RoundInfo is one round of votes of an acquire.
type RoundInfo struct {
	Resource string          // of AcquireAll, the one that stands in the way, or the first
	Votes    []instance.Vote // one an instance, in the engine's order; nil when it was granted
	Took     time.Duration   // from before the first message until it was decided
	Err      error           // nil: granted
}

// VoteInfo is an instance's vote on an acquire.
type VoteInfo struct {
	Instance string // its name
	Kind     instance.Kind
}

// AcquiredInfo is an acquire that is over.
type AcquiredInfo struct {
	Resource string        // of AcquireAll, the first
	More     int           // of AcquireAll: how many besides
	Waited   time.Duration // all of its time
	Rounds   int           // of votes, as WithTries counts them: what a woken waiter asks the arbiter alone is not counted
	Err      error         // nil: granted; Outcome has one word for it
}

// EachInfo is a TryAcquireEach that is over.
type EachInfo struct {
	Resources int           // that were asked for
	Results   []Each        // what became of each: the caller's own, to be read while the func is called; nil when Err is not
	Waited    time.Duration // all of its time
	Err       error         // why there are no results, and no leases; nil: there are
}

// Granted returns how many of the resources have been leased.
func (i EachInfo) Granted() (n int) {
	for k := range i.Results {
		if i.Results[k].Lease != nil {
			n++
		}
	}
	return n
}

// WokenInfo is a waiter that was told that the lock may be free, and has looked.
type WokenInfo struct {
	Resource string
	By       Waker
	// Took is from when it was told until the answer: how long the handover took, if
	// the lock was granted. 0: it was a handoff (Config.LocalHandoff).
	Took    time.Duration
	Granted bool
}

// RenewedInfo is a renewal that is decided.
type RenewedInfo struct {
	Lease     *lease.Lease
	Margin    time.Duration // what was left of the validity
	Confirmed bool          // false: it failed and will be tried again, or the lease is lost
}

// CheckedInfo is a lease that is watched, and was asked about.
type CheckedInfo struct {
	Lease *lease.Lease
	Took  time.Duration // from the question until it was decided
	Lost  bool          // a quorum said that the lock is not the lease's. Ended is called as well, with the cause
}

// EndedInfo is a lease that has ended.
type EndedInfo struct {
	Lease *lease.Lease
	Cause error         // never nil; Cause has one word for it
	Held  time.Duration // since the attempt began that was granted
}

// PipelineInfo is a pipeline that was answered.
type PipelineInfo struct {
	Instance string        // its name; the nodes of a cluster go by the cluster's
	Messages int           // in the pipeline, 1 or more
	Took     time.Duration // the round trip, which is how long a vote takes there
}

// Waker is what told a waiter that the lock may be free.
type Waker uint8

const (
	ByRelease Waker = iota // a release in the same engine
	ByServer               // the server that it watches the lock at
	ByExpiry               // its own clock: the lock must have expired
)

func (w Waker) String() string {
	names := [...]string{"release", "server", "expiry"}
	if int(w) < len(names) {
		return names[w]
	}
	return fmt.Sprintf("waker %d", uint8(w))
}
