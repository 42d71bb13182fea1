// Package keeper keeps leases: it renews them in the background, ends them when
// their time is over, and says which were lost. It is for the engine: a user reads of
// its work from Engine.Lost, Engine.Snapshot and the Leases themselves.
//
// # Contract
//
//   - A lease is renewed every RenewEvery, a little earlier at random, for as
//     long as it is held. A renewal that fails is tried again, with backoff,
//     until the deadline; one lost renewal releases nothing.
//   - A lease whose deadline passes ends then, whatever the instances do: the
//     loop never waits for one. When the machine has slept beyond it, or the wall
//     clock was set, the lease ends within a second.
//   - At most 8192 renewals are under way at once, whatever is due.
//   - A quorum that answers "not yours" ends the lease at once.
//   - A lease that Check names may have been taken away: it is asked soon whose it is. That
//     prolongs nothing, and puts off no renewal; "not yours" ends the lease, as above.
//   - Every lease that is lost is sent on Lost, which holds 1024. The keeper
//     never blocks on it: when nobody reads, the oldest are dropped and counted. A lease's own
//     Done is never dropped.
//
// # Picture
//
//	           ┌────────────────── one goroutine ──────────────────┐
//	Add ──────▶│ queue of due times ─▶ all that are due ─▶ renew    │──▶ the engine's ballot
//	           │        ▲                    │  (in line, if there  │         │
//	           │        │                    │   are too many)      │         │
//	           │        └── next due time ◀──┼──────────────────────┼── Settle┘
//	           │                             ▼                      │
//	           │                   past the deadline: end           │──▶ Lost
//	           └────────────────────────────────────────────────────┘
//
// # Formula
//
//	due = start of the last confirmed renewal + RenewEvery × (0.9 … 1)
//	      while a renewal is under way: the deadline
package keeper
