// Package lease is what a user of Holdfast holds: a Lease, the right to one
// resource, or to several at once, until a moment in time that the holder knows.
//
// # Contract
//
// A Lease is held from the moment an acquire returns it until it ends, once
// and for ever, for the first of these reasons:
//
//	ErrReleased   its holder released it
//	ErrExpired    its validity ran out before a renewal was confirmed
//	ErrGone       a quorum of the instances answered that a key of it is gone
//	ErrStolen     a quorum answered that a key is gone or another's, one of them that it is another's
//	ErrMaxHold    it reached the longest time it was allowed to be held
//	ErrClosed     the engine that held it was closed
//	ErrDetached   its holder let go of it, and left its lock to be adopted
//
// Done is closed when it ends, Err says why, and nothing revives it: neither a
// renewal that comes back late nor a second call of anything.
//
// # Time
//
//	deadline = start + TTL − (TTL × driftFactor + 2ms)
//
// start is read before the first message of the attempt leaves, for renewals
// too, so that neither a slow network nor a paused process can stretch a lease
// beyond the keys in Redis:
//
//	start         granted                         deadline     keys expire
//	  ├──────────────┼───────────────────────────────┼──────────────┤
//	  │  asking      │  held                         │   drift      │
//	                                                 ▲
//	                              Done is closed here at the latest
//
// The keeper closes Done by a timer. A timer can be late, in a process that was
// stopped or on a machine that slept, so every question about a Lease reads the
// clocks first, and ends the lease then and there when its deadline has passed on
// the monotonic clock, on the wall clock, or on CLOCK_BOOTTIME, where there is one.
//
// The package has no goroutine and knows nothing of Redis: the engine makes a Lease
// by a Grant, keeps its Control, and is the Backend that reaches the instances. Those
// three are for the engine alone; a user needs a Lease and the errors.
package lease
