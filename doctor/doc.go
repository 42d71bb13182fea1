// Package doctor finds what makes a set of Redis instances unsafe, or unfit, to
// lock with.
//
// # Contract
//
//   - Check reaches each instance as an engine would. It changes nothing that
//     anybody uses: it writes one key of its own, with a random name behind the
//     prefix, and deletes it.
//   - A finding says what is the case, why that matters, and how to mend it. A
//     Danger can let two holders have a lock at once; nothing else is one.
//   - A question that cannot be asked is a finding as well. The other questions
//     are asked all the same. No finding shows a secret.
//   - Check takes Config.Sample (1s by default) and some round trips. Each is bounded
//     by the instance's timeout.
//
// # Picture
//
//	instances ──▶ examine, all at once ──▶ facts ──▶ rules ──▶ findings
//	              one connection each      of each   of one, and of the set
//
// A rule is a pure function of facts. It can be tested without a server that has
// the very fault.
//
// # Formula
//
//	safe       = no finding is a Danger, and nothing is unknown that decides it
//	quorum     = more than half of the instances can vote
//	quarantine = MaxTTL + instance timeout + MaxTTL × Drift + 2ms
//
// A server that is younger than the quarantine is the finding "young": the restart
// guard of a strict engine does not let it vote on new acquires.
package doctor
