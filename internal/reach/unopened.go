package reach

import (
	"errors"
	"net"
	"time"
)

// Unopened is the connection that go-redis gets when there is none to be picked
// up: it dials on a goroutine of its own, which may come to run only when the
// attempt that wanted the connection is over.
//
// It is not told that dialing failed. After one such failure its pool would fail
// every attempt, until a dial of its own, one a second in the background, finds a
// connection: and it would find none, since we open one only for an attempt.
type Unopened struct{}

var ErrNotDialed = errors.New("the connection is not open")

func (Unopened) Read([]byte) (int, error)         { return 0, ErrNotDialed }
func (Unopened) Write([]byte) (int, error)        { return 0, ErrNotDialed }
func (Unopened) Close() error                     { return nil }
func (Unopened) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (Unopened) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (Unopened) SetDeadline(time.Time) error      { return nil }
func (Unopened) SetReadDeadline(time.Time) error  { return nil }
func (Unopened) SetWriteDeadline(time.Time) error { return nil }
