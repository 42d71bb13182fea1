// Package debughttp shows a running engine on a page: its instances, the leases
// that it holds, its waiters, and the leases that were lost or ended a short while
// ago. It does not know what other engines do.
//
//	mux.Handle("/debug/locks", debughttp.Handler(locks))
//
// With a Recorder the page also has plots of the last five minutes:
//
//	recorder := debughttp.NewRecorder()
//	locks, err := engine.Open(ctx, urls, engine.Config{Trace: recorder.Trace()})
//	…
//	mux.Handle("/debug/locks", recorder.Handler(locks))
//
// # Contract
//
//   - The page never shows a whole token or a password. It does show names of
//     resources and owners, and the addresses of the instances: serve it where you
//     would serve net/http/pprof, not to the world.
//   - It only reads. A request takes a snapshot of the engine and does not hold it up.
//   - The page works without JavaScript. With JavaScript, server-sent events keep it
//     up to date, once a second, for MaxStreams pages at most.
//   - Only GET and HEAD are allowed (else 405). ?limit=500 says how many leases, lines of
//     waiters, losses and ends are listed each: from 0 to MaxLimit, 100 by default; any
//     other value is an error (400).
//
// # Picture
//
//	engine ── Trace ─────▶ Recorder ──▶ plots ─┐
//	   └───── Snapshot ──▶ view ───────────────┴──▶ HTML, events, or JSON
//
// # JSON
//
// The same address answers with JSON if a client asks for it:
//
//	curl -H 'Accept: application/json' localhost:6060/debug/locks
//
// Durations are decimal numbers of milliseconds, and their keys say so: latency_ms,
// quarantine_ms, stepped_ms, remaining_ms, held_ms. A plot of the history names the unit
// of its points. Moments are in RFC 3339. "waiters" are the lines of waiters, with the number
// of acquires in each, "acquires_waiting" is how many there are in all of them, "places" are
// those in the queues of the instances, "mailbox" is the number of messages that wait to be sent.
// A "holder" is the beginning of the lease's token; with LocalHandoff that is not the one that is in Redis. "untold" counts events that the log or a Trace did
// not hear of, "losses_dropped" losses that nobody read from Engine.Lost.
package debughttp
