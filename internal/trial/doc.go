// Package trial puts the real engine on trial: it has no code but tests.
//
// One seed makes a plan: how many simulated instances, engines and workers there
// are, which of the instances are clusters or behind sentinels, how each engine is configured, how the
// clocks run, what the workers do, and which faults strike whom, when and for how
// long. The plan is carried out in simulated time while checkers
// watch the leases and, between any two commands, the keys of every instance.
//
//	plan ──▶ director: faults ──▶ sim.Fleet ◀── instance ◀── engine ◀── workers
//	                                 │                                     │
//	                      locks: every change of a key       ledger: every lease
//
// The checkers, and what each of them asserts when:
//
//   - ledger: at most one lease of a resource is valid at a time; a lease that says
//     so is held by a majority whose keys outlive it; none revives; Done is closed
//     at the deadline. Within the assumptions: no stepped clock, no lost memory that
//     the restart guard cannot see, and no token of the user's that more than one
//     attempt has had.
//   - fences: unique, and higher for an acquire that began later. Also when clocks are stepped;
//     not when a fence is lost unseen.
//   - locks: only an acquire puts a lock there, only its own release takes it away,
//     nothing replaces it, and no fence goes down. What was given back does not come
//     back. Always, but for what a node of a cluster cannot be kept from: what is
//     left behind there is counted. And a replica that takes its master's place may
//     have what it has not heard to be given back.
//   - limits: no lease says that it is valid for longer than it may be held. Always.
//   - starvation, where nothing is wrong: of engines that want one resource all the
//     time, each has it again and again.
//   - the end: when the faults have ended every waiter gets its lock, every release
//     is confirmed, and nothing is left behind.
//
// A seed decides everything that can be decided: the plan, and with it every
// random choice of a worker, and the latencies of a connection. It does not
// decide in which order goroutines run that are ready at the same instant, nor
// the jitter of the engine's own waits. So a seed repeats the same faults and the
// same workload, and nearly the same run.
//
//	go test ./internal/trial -run 'TestSeeds$' -seed 17 -v
package trial
