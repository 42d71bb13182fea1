// Package testkit is what the tests of every package share: how they wait, and for how long, what they demand of an
// error, and a log that they may read while it is written.
//
// It imports nothing of this module, so that every package's tests may import it. What tests do with an engine is in
// enginetest, and the servers are redistest's.
package testkit
