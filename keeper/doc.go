// Package keeper keeps leases: it renews them in the background, ends them when
// their time is over, and says which were lost.
//
// # Contract
//
//   - A lease is renewed every RenewEvery, a little earlier at random, for as
//     long as it is held. A renewal that fails is tried again, with backoff,
//     until the deadline; one lost renewal releases nothing.
//   - A lease whose deadline passes ends then, whatever the instances do: the
//     loop never waits for one.
//   - A quorum that answers "not yours" ends the lease at once.
//   - Every lease that ended unreleased is sent on Lost. The keeper never blocks
//     on it: when nobody reads, the oldest are dropped and counted. A lease's own
//     Done is never dropped.
//
// # Picture
//
//	           ┌──────────────── one goroutine ────────────────┐
//	Add ──────▶│ heap of due times ─▶ all that are due ─▶ renew│──▶ the engine's ballot
//	           │        ▲                    │                 │         │
//	           │        └── next due time ◀──┼─────────────────┼── Settle┘
//	           │                             ▼                 │
//	           │                   past the deadline: end      │──▶ Lost
//	           └───────────────────────────────────────────────┘
//
// # Formula
//
//	due = start of the last confirmed renewal + RenewEvery × (0.9 … 1)
//	      while a renewal is under way: the deadline
package keeper
