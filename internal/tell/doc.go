// Package tell calls the user's funcs at a distance from what must not wait for
// them: the keeper's loop, the readers of connections, the actors.
//
// # Contract
//
//   - Put never blocks, and calls nothing of the user's. What finds the queue full
//     is dropped and counted.
//   - What is put is told in order, one at a time, on the queue's one goroutine.
//   - Close waits until all has been told and the goroutine is gone, but no longer
//     than its context lets it: a func that hangs keeps the goroutine, and nothing
//     else. The goroutine ends with the call, and tells nothing more.
//
// # Picture
//
//	keeper ──┐
//	reader ──┼─ Put ─▶ queue ─▶ one goroutine ─▶ the user's func
//	actor ───┘           │
//	                     └ full: dropped, counted
package tell
