// Package holdfast is the map of a distributed lock engine on Redis: a lock is
// held on a majority of independent instances, for a time that its holder knows.
//
//	engine    what you use: Open, Acquire, TryAcquire, TryAcquireEach, Do, TryDo, Inspect, Adopt, Close
//	lease     what you hold: Done, Err, Context, Deadline, Extend, Release
//	keeper    renews leases in the background, reports those that were lost
//	instance  one Redis, one goroutine, one connection, one vote
//
// The way of one Acquire: engine.Acquire stands in line for the resource, makes
// a fresh token, and posts one message to every instance's mailbox. Each
// instance's actor takes all that waits, sends it as one pipeline, and casts what
// the server said into the engine's ballot. The ballot wakes the caller as soon
// as a quorum is certain, either way. Granted in time, the lease goes to the
// keeper; else what was granted is taken back, on the same connections, in order.
//
// docs/design.md says why it is built so.
package holdfast
