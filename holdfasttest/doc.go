// Package holdfasttest lets users test code that locks with Holdfast. It has real
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
//   - Each Engine stands for a process of its own: engines exclude each other.
//   - A server answers as Redis does, but knows nothing of users, passwords, TLS,
//     eviction and persistence.
//   - A method returns when its effect is there: [Redis.Lose] has ended the lease, and
//     closed its Done.
//   - A method that cannot do what it is told ends the test with t.Fatal. So call it on
//     the test's goroutine.
//   - Everything is closed with the test.
//
// # Picture
//
//	code under test ──▶ Engine ──┐
//	another process ──▶ Engine ──┼──▶ servers 1 … n, in memory
//	Hold, Lose, Expire ──────────┘        ▲
//	Stop, Start, Restart, Partition ──────┘
//
// # Time
//
// The servers' time is the test's. In a testing/synctest bubble that is simulated
// time: a lease of ten minutes expires at once, to the nanosecond. Make the Redis
// inside the bubble.
//
//	synctest.Test(t, func(t *testing.T) {
//		fake := holdfasttest.New(t, 3)
//		…
//		fake.Partition(locks)         // the process cannot reach its servers any more
//		time.Sleep(10 * time.Second)  // returns at once
//		// now every lease of locks has ended with lease.ErrExpired
//	})
package holdfasttest
