// Package proxy is a TCP proxy that does to requests and replies what networks
// do, on command and at run time.
//
//	p := proxy.Start(t, "unix", server.Addr()) // ends with the test
//	p.Delay(proxy.Replies, time.Millisecond)   // a longer way
//	p.Blackhole(proxy.Requests, true)          // one way, or call it for both
//	p.LoseReplies(1)                           // executed, but nobody is told
//	p.Hold(); …; p.Deliver()                   // late, even when the client has long gone
//	p.Duplicate(true)                          // executed twice, answered once
//	p.Reset()                                  // RST at both ends
//
// # Contract
//
//   - Bytes of one direction of one connection are never reordered, and a gap is
//     never followed by anything: what a connection has lost a part of is dark
//     from there on, as no network delivers what comes behind a gap.
//   - A delay is how long every byte is under way. It does not limit how many are.
//   - What has been held is delivered when the client is gone, too: to the server
//     that is still waiting for it at the other end.
//   - Every queue is bounded: a sender of more than fits is not read from.
//   - Close returns when every connection and every goroutine is gone.
//
// # Picture
//
//	client ──▶ read ──▶ queue of timed chunks ──▶ write ──▶ server   Requests
//	client ◀── write ◀── queue of timed chunks ◀── read ◀── server   Replies
//
// The stream is cut into whole RESP values, so that a command can be sent twice
// and its second reply be kept back. What is not RESP passes as it is, and cannot
// be duplicated.
package proxy
