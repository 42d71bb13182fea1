// Package enginetest is what tests do with an engine, in one line each: open it, acquire, release, and wait for what
// must become of the lease, the instances and the keys. Whatever fails ends the test, and says what was wanted.
//
//	servers := redistest.StartN(t, 3)
//	e := enginetest.Open(t, servers, engine.Config{}) // closed with the test
//	l := enginetest.Acquire(t, e, "r")
//	enginetest.Everywhere(t, servers, l)              // not on a majority only
//	enginetest.Release(t, l)
//	enginetest.Clean(t, servers, "r")
//
// All waits are bounded by [testkit.Patience].
package enginetest
