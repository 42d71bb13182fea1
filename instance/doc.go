// Package instance is one independent Redis: one actor, one connection, one vote.
// (A cluster is many of the former, and still one vote on each key.)
//
// # Contract
//
//   - Messages are served in the order in which they were posted, also across
//     reconnects: nothing that was sent on an old connection is executed after
//     the first message on a new one. So an undo that is posted behind its
//     acquire undoes it, whatever happened to either.
//   - Post never blocks. A full mailbox is the vote Busy, an instance that is
//     down the vote Unreachable or TimedOut, at once.
//   - Every message is answered by exactly one vote, within the instance's
//     timeout of being taken up, and also when the instance is closed.
//   - Watch tells when a lock changes, whoever changes it, as far as the server
//     does: see Vigil.
//   - A release that could not be confirmed stays owed, and is made good before
//     anything else when the instance is back.
//
// # Picture
//
//	Post ──▶ mailbox ──▶ actor: take everything ─▶ one pipeline ──▶ under way ─▶ reader: settle each
//	            │          │                                                          │
//	            │          └◀── late, cut off, scripts forgotten: mend, or be down ◀──┘
//	            └── full, down: answered at the door
//
// What waits goes out when nothing is under way: so load makes batches, not
// queues. Only far away it goes out earlier, behind the pipelines under way (see
// flow). The reader reads all the time, so a dead connection is noticed at once.
//
// A Redis Cluster is one instance, too: it hands each message to the master of its
// key's slot, and keeps the order of messages about a key while slots move.
//
// # Votes
//
// "Held" is said only of a lock that somebody else was seen to have. An instance
// that restarted without its memory could grant what somebody still holds: for
// as long as the longest lease it votes InQuarantine on new acquires (see Guard),
// while renewals and releases go on.
package instance
