package instance

import (
	"net"
	"time"
)

// unopened is the connection that go-redis gets when there is none to be picked
// up: it dials on a goroutine of its own, which may come to run only when the
// attempt that wanted the connection is over.
//
// It is not told that dialing failed. After one such failure its pool would fail
// every attempt, until a dial of its own, one a second in the background, finds a
// connection: and it would find none, since we open one only for an attempt.
type unopened struct{}

func (unopened) Read([]byte) (int, error)         { return 0, errNotDialed }
func (unopened) Write([]byte) (int, error)        { return 0, errNotDialed }
func (unopened) Close() error                     { return nil }
func (unopened) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (unopened) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (unopened) SetDeadline(time.Time) error      { return nil }
func (unopened) SetReadDeadline(time.Time) error  { return nil }
func (unopened) SetWriteDeadline(time.Time) error { return nil }
