// Package redistest runs real redis-server processes for tests.
//
// What the locks promise is only true if it is true on a real server that is frozen, killed and brought back empty. So
// tests do that, to processes of their own:
//
//	srv := redistest.Start(t)           // answers when Start returns, gone when t ends
//	srv.Pause()                         // every client now hangs
//	srv.Resume()                        // and is served what it had sent
//	srv.Kill()                          // every client is now refused
//	srv.Restart()                       // same address, empty memory, new run_id
//	srv.StepClock(time.Minute)          // its keys end a minute earlier (StartSteppableN)
//
// Its promises:
//
//   - A server that a function here returned, or a method here left running, has answered a PING, as itself.
//   - When the test ends its processes are dead and reaped and their directory is removed, whatever state they were in.
//   - When the test process dies, even by SIGKILL, its servers die too (on Linux; see [process]). Only their directories
//     stay: /tmp/hf-*.
//   - Servers listen on a unix socket in a private directory or on a port of 127.0.0.1 or ::1, nowhere else.
//   - No goroutine outlives the process it watches, so goleak needs no exception for this package.
//
// Use [Main] in the TestMain of each package that starts servers. All methods of a [Server] are safe for concurrent use.
// A method that fails ends the calling goroutine by t.Fatal, so call those where t.Fatal may be called.
//
// HOLDFAST_TEST_SERVER names the program to run in the place of redis-server, or several, separated as in PATH: see
// programs. A script must become the server by exec. `make servers` runs the tests on servers of today.
//
// Unix only.
package redistest
