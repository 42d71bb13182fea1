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
// Between a store, which has the keys and answers, and the client is a connection
// of our own:
//
//	host: client ─Write─▶ packets on their way ─▶ one goroutine a connection ─▶ store
//	             ◀─Read── packets on their way ◀──────────┘
//
// A Write blocks only while its host is frozen, whatever the server does; a Read
// ends with its data, its deadline or the connection. A connection that lost a
// reply stays mute, as a TCP stream with a hole in it does.
//
// There are two stores. With [New] it is miniredis, which runs our scripts as they
// are written. With [NewNative] it is our own: fast enough for hours of simulated
// time, it knows our commands and scripts only, and each server has a clock, which
// may be ahead, run fast and be stepped. That both answer as a real server does is
// tested with random sequences of our own commands.
//
// Servers may make up a cluster, which is one instance ([Fleet.AddCluster]): its
// nodes say MOVED, ASK and TRYAGAIN, while slots move between them key by key, and a
// replica may take the place of a master that died. That, too, is compared.
//
// A master with a replica behind three sentinels is one instance, too ([Fleet.AddPair]):
// the replica takes the master's place, with all or not quite all that was written.
//
// It is not Redis: there is no eviction, no memory limit, no replication but for
// what a failover leaves, and no permission. Those are tested on real servers, with package redistest.
package sim
