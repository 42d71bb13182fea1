// Package debughttp shows a running engine on a page: its instances, the leases
// that it holds, who waits, and what was lost or ended a short while ago. What other
// engines do, it does not know.
//
//	mux.Handle("/debug/locks", debughttp.Handler(locks))
//
// With a Recorder it has plots of the last five minutes, too:
//
//	recorder := debughttp.NewRecorder()
//	locks, err := engine.Open(ctx, urls, engine.Config{Trace: recorder.Trace()})
//	…
//	mux.Handle("/debug/locks", recorder.Handler(locks))
//
// The page is made by the server and works without JavaScript; with it, it is
// kept up to date by server-sent events. The same address answers with JSON
// where a client asks for that:
//
//	curl -H 'Accept: application/json' localhost:6060/debug/locks
//
// ?limit=500 says how many leases, lines of waiters, losses and ends are listed each:
// 100 by default, MaxLimit at most.
//
// Whole tokens are never shown, nor passwords. But names of resources and owners,
// and the addresses of the instances are: serve it where net/http/pprof would be
// served, not to the world.
package debughttp
