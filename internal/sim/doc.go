// Package sim has simulated instances for tests of time: Redis servers that
// live inside a testing/synctest bubble, on its clock, and that can be slow, hang,
// die, lose replies and forget everything, all at the test's word.
//
//	synctest.Test(t, func(t *testing.T) {
//		fleet := sim.New(t, 3)
//		e, err := engine.New(fleet.Instances(instance.Config{}), engine.Config{})
//		…
//		fleet.Servers[0].Hang()
//	})
//
// What answers is miniredis, whose keys expire by the bubble's clock. Between it
// and the client is a connection of our own:
//
//	client ─Write─▶ packets on their way ─▶ one goroutine a connection ─▶ miniredis
//	       ◀─Read── packets on their way ◀──────────┘
//
// A Write never blocks, whatever the server does; a Read ends with its data, its
// deadline or the connection. A connection that lost a reply stays mute, as a TCP
// stream with a hole in it does.
//
// It is not Redis: there is no eviction, no memory limit, no replication and no
// permission. Those are tested on real servers, with package redistest.
package sim
