// Package engine locks resources on a quorum of independent Redis instances. It
// is what a user of Holdfast opens, calls and closes.
//
// # Contract
//
//   - A resource has at most one holder at a time, under the assumptions that
//     docs/guarantees.md lists; where they fail, fencing tokens still order the
//     holders.
//   - No acquire, extend, renewal or release waits for an instance that a quorum
//     can do without, but for one: a waiter asks its arbiter first, for one
//     timeout at most. Open and Inspect wait for all, as long at most.
//   - A call that fails takes back what it may have left behind, at once, and
//     says why, instance by instance. Its error is found with errors.Is:
//     ErrHeld, ErrNoQuorum, ErrRefused, ErrClosed, the context's own, or a lease's
//     end. A bad argument's error says what is wrong and what would be right.
//   - When Close returns, everything that was accepted has been answered, and every
//     goroutine of the engine is gone, but for those in which a func of the user's hangs.
//
// # Use
//
//	locks, err := engine.Open(ctx, urls, engine.Config{}) // once in a process
//	defer locks.Close(context.WithoutCancel(ctx))
//	held, err := locks.Acquire(ctx, "report", engine.WithWait(time.Minute))
//	if err != nil {
//		return err // errors.Is: engine.ErrHeld, engine.ErrNoQuorum, …
//	}
//	defer held.Release(context.WithoutCancel(ctx))
//	working, cancel := held.Context(ctx) // it ends when held.Done is closed: stop then
//	defer cancel()
//	return write(working)
//
// Do does all of that around a func.
//
// # Picture
//
//	Acquire ──▶ line ──▶ vote ──▶ mailboxes of the instances' actors
//	            (FIFO     │              │ one pipeline each
//	            a         │              ▼
//	            resource) ◀─── ballot ◀─ votes
//	                      │
//	        granted ──────┼────── not granted, or too late
//	           ▼                          ▼
//	     lease, keeper           undo, behind the acquire
//
// # Formula
//
//	need     = N/2 + 1                      votes for the same token
//	deadline = start + TTL − (TTL × DriftFactor + 2ms)
//
// where start is read before the first message of the round is posted.
package engine
