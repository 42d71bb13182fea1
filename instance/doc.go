// Package instance is one independent Redis: one actor, one connection, one vote.
// A cluster has an actor and a connection for each of its masters, and casts one vote on each key: a
// message goes to the master of its key's slot, and messages about a key keep their order while slots move.
//
// # Contract
//
//   - Messages are served in the order in which they were posted, also across
//     reconnects: nothing that was sent on an old connection is executed after
//     the first message on a new one. So an undo that is posted behind its
//     acquire undoes it, whatever happened to either.
//   - Post never blocks. A full mailbox is the vote Busy, an instance that is
//     down the vote Unreachable or TimedOut, at once.
//   - Every question is answered by exactly one vote, within the instance's
//     timeout of being taken up, and also when the instance is closed.
//   - Watch tells when a lock changes, whoever changes it, as far as the server
//     does.
//   - A release that could not be confirmed stays owed, and is made good before
//     anything else when the instance is back.
//
// # Picture
//
//	Post ──▶ mailbox ──▶ actor: take everything ─▶ one pipeline ──▶ under way ─▶ reader: each reads its reply
//	            │          │                                                          │
//	            │          └◀── late, cut off, scripts forgotten: repair, or be down ◀┘
//	            └── full, down: answered at the door
//
// # For whom
//
// Programs need Dial or New, SplitURLs, Config, Sentinel, and what an engine shows them: Vote, Kind,
// Health, State, Guard. Tools that look at servers need IsSameServer, Abbreviate, Advice and
// IsRefusal besides. Messages (Command), casters and sets are for the engine alone; it
// drives an instance by Claim, Run, Post, Watch and Close.
//
// # Votes
//
// "Held" is said only of a lock that somebody else was seen to have. An instance
// that restarted without its memory could grant what somebody still holds: for
// as long as the longest lease it votes InQuarantine on new acquires (see Guard),
// while renewals and releases go on.
package instance

// The way of a message.
//
// A plain acquire goes from Post to the wire through eight files, and comes back to none of them:
//
//  1. mailbox.go: Post puts it in line (put, accept), or refuses it. The actor's take waits
//     until what is in line may go out (mayGoOut), and takes all of it.
//  2. actor.go: act hands it on (sendAll). A pipeline is made (send), with what its commands may know (sending):
//  3. link.go: what is known of the server at the other end,
//  4. guard.go: and how long the restart guard still keeps votes back (left).
//  5. pipeline.go: fill folds releases that wait together into one script call (fold), puts what
//     raises fences behind acquires (raise), and lets each message append its command (encode).
//  6. acquire.go: appendCommand does so,
//  7. internal/resp/resp.go: in the words of the protocol (AppendArg).
//  8. underway.go: write puts the pipeline under way (putUnderWay), and writes it.
//
// Other messages differ in the sixth alone: release.go, renew.go, inspect.go, queue.go. A message about many
// locks (acquireeach.go) goes the same way as one, or is taken apart in fill.
//
// The reply comes back through reader.go (readPipeline), which has the message read
// it (readReply), and cast its vote. At the top of underway.go are the states of the link in between, and
// repair.go is what happens when the link ends. What is sent when, and by whom, is at the top of mailbox.go.
// The reader reads all the time, so a dead connection is noticed at once.
