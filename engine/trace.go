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
// Acquired is called on the goroutine of its Acquire, several at once, and that
// waits for it, with a lease that is running: nobody else does. All others are
// called on two goroutines that do nothing else, a moment after what they tell of,
// so that nothing waits for them: Vote and Pipeline on one, and the rest on the
// other, in the order in which things happened. What a func is too slow for is
// dropped and counted, in Snapshot.Untold: when 8192 calls wait, or 16384 of Ended
// and Instance. One that does not return is not called again. Close waits a second
// for what has not been told. A func that panics ends the process.
type Trace struct {
	// Round is called after each round of votes of an acquire. err is nil, and
	// so are the votes, when it was granted.
	Round func(resource string, votes []instance.Vote, took time.Duration, err error)

	// Vote is called when an instance's vote on an acquire has arrived, also one that
	// comes after the decision; there is none on a question that was taken back
	// before it was sent. What a vote says beyond its kind, Round has.
	Vote func(instance string, says instance.Kind)

	// Acquired is called when an Acquire or TryAcquire is over, with its context:
	// waited is all of its time, rounds how many rounds of votes it took. err is
	// nil when the lease was granted; Outcome has one word for it.
	Acquired func(ctx context.Context, resource string, waited time.Duration, rounds int, err error)

	// Woken is called when an Acquire that waited has looked again because it was
	// told that the lock may be free. took is from then to the answer: when the
	// lock was granted, that is how long the handover took; 0 when it was handed
	// over as it is (Config.LocalHandoff).
	Woken func(resource string, by Waker, took time.Duration, granted bool)

	// Renewed is called when a renewal is decided. margin is what was left of
	// the validity then; confirmed is false when the renewal failed and will be
	// tried again, or the lease is lost.
	Renewed func(l *lease.Lease, margin time.Duration, confirmed bool)

	// Ended is called once when a lease has ended, with the cause and how long it was
	// held. Cause has one word for it. Done has been closed before.
	Ended func(l *lease.Lease, cause error, held time.Duration)

	// Instance is called when an instance has changed its state; a cluster, when
	// one of its nodes has. That the restart
	// guard lets it vote again is no event: it says when beforehand, in Quarantine.
	Instance func(h instance.Health)

	// Pipeline is called when an instance has answered a pipeline: how many
	// messages it had, and how long the round trip took, which is how long a vote
	// takes there. The nodes of a cluster go by the cluster's name.
	Pipeline func(instance string, messages int, took time.Duration)
}

// Waker is who told a waiter that the lock may be free.
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

// JoinTraces returns a Trace that calls those of all of them, in that order. nil
// is none. They must not be changed afterwards.
func JoinTraces(traces ...*Trace) *Trace {
	joined := new(Trace)
	for _, t := range traces {
		if t != nil {
			joined.add(*t)
		}
	}
	return joined
}

// add makes t call those of b after its own.
func (t *Trace) add(b Trace) {
	a := *t
	t.Round = either(a.Round, b.Round, a.Round == nil, b.Round == nil, func(resource string, votes []instance.Vote, took time.Duration, err error) {
		a.Round(resource, votes, took, err)
		b.Round(resource, votes, took, err)
	})
	t.Vote = either(a.Vote, b.Vote, a.Vote == nil, b.Vote == nil, func(name string, says instance.Kind) {
		a.Vote(name, says)
		b.Vote(name, says)
	})
	t.Acquired = either(a.Acquired, b.Acquired, a.Acquired == nil, b.Acquired == nil, func(ctx context.Context, resource string, waited time.Duration, rounds int, err error) {
		a.Acquired(ctx, resource, waited, rounds, err)
		b.Acquired(ctx, resource, waited, rounds, err)
	})
	t.Woken = either(a.Woken, b.Woken, a.Woken == nil, b.Woken == nil, func(resource string, by Waker, took time.Duration, granted bool) {
		a.Woken(resource, by, took, granted)
		b.Woken(resource, by, took, granted)
	})
	t.Renewed = either(a.Renewed, b.Renewed, a.Renewed == nil, b.Renewed == nil, func(l *lease.Lease, margin time.Duration, confirmed bool) {
		a.Renewed(l, margin, confirmed)
		b.Renewed(l, margin, confirmed)
	})
	t.Ended = either(a.Ended, b.Ended, a.Ended == nil, b.Ended == nil, func(l *lease.Lease, cause error, held time.Duration) {
		a.Ended(l, cause, held)
		b.Ended(l, cause, held)
	})
	t.Instance = either(a.Instance, b.Instance, a.Instance == nil, b.Instance == nil, func(h instance.Health) {
		a.Instance(h)
		b.Instance(h)
	})
	t.Pipeline = either(a.Pipeline, b.Pipeline, a.Pipeline == nil, b.Pipeline == nil, func(name string, messages int, took time.Duration) {
		a.Pipeline(name, messages, took)
		b.Pipeline(name, messages, took)
	})
}

// either returns the one that is there, or both.
func either[F any](a, b F, noA, noB bool, both F) F {
	switch {
	case noA:
		return b
	case noB:
		return a
	}
	return both
}
