// Package holdfasttest lets users test code that locks with Holdfast: real
// engines, on Redis servers that live in the test's memory. There is nothing to
// install, no port, and no sleeping.
//
//	func TestTheReportStopsWhenTheLockIsLost(t *testing.T) {
//		fake := holdfasttest.New(t, 3)
//		locks := fake.Engine(engine.Config{})
//
//		ended := make(chan error, 1)
//		go func() { ended <- report(t.Context(), locks) }()
//		fake.AwaitHeld("report")
//		fake.Lose("report", lease.ErrStolen)
//		if err := <-ended; !errors.Is(err, lease.ErrLost) {
//			t.Errorf("the report went on without the lock: %v", err)
//		}
//	}
//
// # Contract
//
//   - Each Engine is what another process would have: engines exclude each other.
//   - A server answers as Redis does, but for what it does not know: users,
//     passwords, TLS, eviction, persistence.
//   - What a test does to a resource or to a server has happened when the method
//     returns: [Redis.Lose] has ended the lease, and closed its Done.
//   - Everything is closed with the test.
//
// # Time
//
// The servers' time is the test's. In a testing/synctest bubble that is simulated
// time: a lease of ten minutes runs out at once, to the nanosecond. Make the Redis
// inside the bubble.
//
//	synctest.Test(t, func(t *testing.T) {
//		fake := holdfasttest.New(t, 3)
//		…
//		fake.Partition(locks)             // the process cannot reach its servers any more
//		time.Sleep(10 * time.Second)  // returns at once
//		// now every lease of locks has ended with lease.ErrExpired
//	})
package holdfasttest
