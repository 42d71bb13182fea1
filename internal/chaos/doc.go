// Package chaos runs the engine against real faults, and checks what came of it.
//
// Three redis-servers, each behind a proxy, a cluster of three masters, and a master
// behind sentinels; child processes as clients, each with
// several engines and many goroutines, which want one resource, several at once, a batch, or permits, and some of them
// all want; a nemesis that stops, kills, cuts, delays, moves slots
// and corrupts the state of everything, by a schedule that a seed repeats. Every
// client writes down what it was told and when, on the clock that all processes
// of the machine share. Afterwards checkers read the histories.
//
//	clients ──▶ proxies ──▶ servers        nemesis: all of these
//	   │                                   register: none of its business
//	   ├──────▶ protected register
//	   └──────▶ histories ──▶ checkers
//
// # What is checked
//
//	mutual exclusion    no two leases of a resource are valid at a time
//	fences              unique, and higher for an acquire that completes later
//	register            linearizable, and it refuses a holder that has been overtaken (porcupine)
//	honesty             a valid lease is not past its deadline, and its keys are on a majority
//	liveness            when the faults are over every waiter gets its lock
//	leaks               no goroutine, descriptor, connection, subscription or lock is left
//
// There are two runs. In the first all faults are within the assumptions of
// docs/guarantees.md. In the second the servers lose their memory unnoticed, so
// that mutual exclusion is not to be had: fencing must hold all the same.
//
// Everything is in test files: run it with `make chaos`. Linux only.
package chaos
