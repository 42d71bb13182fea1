package sim

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// conn is one connection: the client's end is the net.Conn, the server's end is
// the goroutine that runs serve.
type conn struct {
	server *Server
	id     int64

	// The goroutine's own.
	peer   *server.Peer
	buffer bytes.Buffer // what peer writes to

	// Guarded by server.mu.
	in, out       []packet // on their way to the server, to the client
	left          bool     // the client has closed it
	dead          bool     // broken; nothing more is read or written
	mute          bool     // a reply was lost, and all that would follow it are
	tracking      bool
	resume        time.Time
	readDeadline  time.Time
	writeDeadline time.Time
}

// packet is what one Write sent, and when it arrives.
type packet struct {
	at   time.Time
	data []byte
}

// send appends a packet that arrives after d, but not before the one ahead of it.
func send(line []packet, data []byte, d time.Duration) []packet {
	at := time.Now().Add(d)
	if n := len(line); n > 0 && line[n-1].at.After(at) {
		at = line[n-1].at
	}
	return append(line, packet{at, bytes.Clone(data)})
}

// receive moves what has arrived to p.
func receive(line []packet, p []byte) (rest []packet, n int) {
	if len(line) == 0 || time.Now().Before(line[0].at) {
		return line, 0
	}
	n = copy(p, line[0].data)
	line[0].data = line[0].data[n:]
	if len(line[0].data) == 0 {
		line = line[1:]
	}
	return line, n
}

// Write sends p on its way. It never blocks.
func (c *conn) Write(p []byte) (int, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.left:
		return 0, net.ErrClosed
	case c.dead:
		return 0, c.reset("write")
	case passed(c.writeDeadline):
		return 0, os.ErrDeadlineExceeded
	}
	c.in = send(c.in, p, s.requests)
	s.tell()
	return len(p), nil
}

// Read waits for what the server sent, until the deadline.
func (c *conn) Read(p []byte) (n int, err error) {
	s := c.server
	for {
		s.mu.Lock()
		switch {
		case c.left:
			err = net.ErrClosed
		case c.dead:
			err = c.reset("read")
		case passed(c.readDeadline):
			err = os.ErrDeadlineExceeded
		default:
			c.out, n = receive(c.out, p)
		}
		changed, until := s.changed, c.readDeadline
		if len(c.out) > 0 {
			until = earlier(until, c.out[0].at)
		}
		s.mu.Unlock()
		if n > 0 || err != nil {
			return n, err
		}
		wait(changed, until)
	}
}

// Close leaves the connection. What has been written is still on its way, and
// the server will read it.
func (c *conn) Close() error {
	c.server.change(func() { c.left = true })
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.server.change(func() { c.readDeadline, c.writeDeadline = t, t })
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.server.change(func() { c.readDeadline = t })
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.server.change(func() { c.writeDeadline = t })
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return addr("client") }
func (c *conn) RemoteAddr() net.Addr { return addr(c.server.name) }

func (c *conn) reset(op string) error {
	return &net.OpError{Op: op, Net: "sim", Addr: c.RemoteAddr(), Err: syscall.ECONNRESET}
}

type addr string

func (addr) Network() string  { return "sim" }
func (a addr) String() string { return string(a) }

// serve is the server's end of the connection. Dial starts it; it ends when the
// connection breaks, or when the client has left and everything is served, and
// the server's close waits for it.
func (c *conn) serve() {
	s := c.server
	defer s.change(func() { delete(s.conn, c) })
	c.peer = server.NewPeer(bufio.NewWriter(&c.buffer))
	requests := bufio.NewReader(arrivals{c})
	for {
		args, err := command(requests)
		if err != nil || !c.await() {
			return
		}
		reply, ok := s.execute(c, args)
		if !ok {
			return
		}
		c.reply(reply)
	}
}

func (c *conn) reply(data []byte) {
	s := c.server
	s.change(func() {
		c.mute = c.mute || s.losing
		if !c.mute {
			c.out = send(c.out, data, s.replies)
		}
	})
}

// await waits while the server hangs, and reports whether the connection is alive.
func (c *conn) await() bool {
	s := c.server
	for {
		s.mu.Lock()
		dead, hung, changed, resume := c.dead, s.hung, s.changed, c.resume
		s.mu.Unlock()
		switch {
		case dead:
			return false
		case hung:
			wait(changed, time.Time{})
		case time.Now().Before(resume):
			wait(changed, resume)
		default:
			return true
		}
	}
}

// arrivals is the io.Reader of what the client has sent.
type arrivals struct{ *conn }

var errBroken = errors.New("sim: the connection is broken")

func (c arrivals) Read(p []byte) (int, error) {
	s := c.server
	for {
		var n int
		s.mu.Lock()
		if !c.dead {
			c.in, n = receive(c.in, p)
		}
		dead, over, changed := c.dead, c.left && len(c.in) == 0, s.changed
		var until time.Time
		if len(c.in) > 0 {
			until = c.in[0].at
		}
		s.mu.Unlock()
		switch {
		case dead:
			return 0, errBroken
		case n > 0:
			return n, nil
		case over:
			return 0, io.EOF
		}
		wait(changed, until)
	}
}

// command reads one RESP array of bulk strings.
func command(r *bufio.Reader) ([]string, error) {
	n, err := length(r, '*')
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for k := range args {
		size, err := length(r, '$')
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		args[k] = string(text[:size])
	}
	return args, nil
}

func length(r *bufio.Reader, mark byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != mark {
		return 0, errors.New("sim: not a command")
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// wait waits for a change, until a time unless that is zero.
func wait(changed <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func passed(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

// earlier returns the earlier of two times, of which a may be zero for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
