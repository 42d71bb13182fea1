// Package doctor finds what makes a set of Redis instances unsafe, or unfit, to
// lock with.
//
// # Contract
//
//   - Check looks at each instance as an engine would reach it and changes
//     nothing that anybody uses: it writes one key of its own, with a random name
//     behind the prefix, and deletes it.
//   - A finding says what is the case, why that matters, and how to mend it. Danger
//     is kept for what can let two holders have a lock at once.
//   - What cannot be asked is a finding as well, and never a reason to be silent
//     about the rest. No finding shows a secret.
//
// # Picture
//
//	instances ──▶ examine, all at once ──▶ facts ──▶ rules ──▶ findings
//	              one connection each      of each   of one, and of the set
//
// A rule is a pure function of facts. It can be tested without a server that is
// ill in that very way.
package doctor
