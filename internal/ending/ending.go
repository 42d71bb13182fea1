// Package ending lets holdfasttest end a lease as its deadline would, without
// time going by. Package lease fills it in; nothing else is to use it.
package ending

// Expire ends a *lease.Lease with lease.ErrExpired, if it is held.
var Expire func(lease any)
