package sim

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// conn is one connection: the client's end is the net.Conn, the server's end is
// the goroutine that runs serve.
type conn struct {
	server  *Server
	host    *Host // nil: of no host
	id      int64
	session session // the goroutine's own
	asking  bool    // so is this: what comes next is asked of a node that is being given the slot

	// Guarded by server.mu.
	changed       chan struct{} // closed, and made anew, whenever anything below changes, or what is the server's
	random        *rand.Rand
	in, out       []packet // on their way to the server, to the client
	left          bool     // the client has closed it
	dead          bool     // broken; nothing more is read or written
	deaf          bool     // a request was lost, and all that would follow it are
	mute          bool     // a reply was lost, and all that would follow it are
	frozen        bool     // the client does not read or write
	lucky         bool     // the client was frozen, and reads what has come though its deadline has passed
	apart         bool     // what is sent is held up
	tracking      bool
	resume        time.Time
	readDeadline  time.Time
	writeDeadline time.Time
}

func newConn(s *Server, h *Host, id int64) *conn {
	return &conn{
		server:  s,
		host:    h,
		id:      id,
		session: s.store.session(),
		changed: make(chan struct{}),
		random:  rand.New(rand.NewPCG(s.seed, uint64(id))),
	}
}

// packet is what one Write sent, and when it arrives.
type packet struct {
	at   time.Time
	held bool // not before what is between the ends lets it through
	data []byte
}

// send appends a packet that arrives after d, but not before the one ahead of it.
func (c *conn) send(line []packet, data []byte, d time.Duration) []packet {
	at := time.Now().Add(d)
	if n := len(line); n > 0 {
		at = latest(at, line[n-1].at)
	}
	return append(line, packet{at: at, held: c.apart, data: bytes.Clone(data)})
}

// arrived reports whether there is anything to be received.
func arrived(line []packet) bool {
	return len(line) > 0 && !line[0].held && !time.Now().Before(line[0].at)
}

// receive moves what has arrived to p.
func receive(line []packet, p []byte) (rest []packet, n int) {
	if !arrived(line) {
		return line, 0
	}
	n = copy(p, line[0].data)
	line[0].data = line[0].data[n:]
	if len(line[0].data) == 0 {
		line = line[1:]
	}
	return line, n
}

// due returns the earlier of until, which may be zero for never, and when the
// next packet arrives.
func due(line []packet, until time.Time) time.Time {
	if len(line) == 0 || line[0].held {
		return until
	}
	return earlier(until, line[0].at)
}

// Write sends p on its way. It blocks only while the client is frozen.
func (c *conn) Write(p []byte) (n int, err error) {
	s := c.server
	for {
		s.mu.Lock()
		switch {
		case c.left:
			err = net.ErrClosed
		case c.frozen:
		case c.dead:
			err = c.reset("write")
		case passed(c.writeDeadline):
			err = os.ErrDeadlineExceeded
		default:
			n = len(p)
			if c.deaf = c.deaf || s.deaf; !c.deaf {
				c.in = c.send(c.in, p, s.requests.draw(c.random))
				c.tell()
			}
		}
		changed := c.changed
		s.mu.Unlock()
		if n > 0 || err != nil {
			return n, err
		}
		wait(changed, time.Time{})
	}
}

// Read waits for what the server sent, until the deadline.
func (c *conn) Read(p []byte) (n int, err error) {
	s := c.server
	for {
		s.mu.Lock()
		until := due(c.out, c.readDeadline)
		switch {
		case c.left:
			err = net.ErrClosed
		case c.frozen:
			until = time.Time{}
		case c.dead:
			err = c.reset("read")
		case passed(c.readDeadline) && !(c.lucky && arrived(c.out)):
			err = os.ErrDeadlineExceeded
		default:
			c.out, n = receive(c.out, p)
		}
		changed := c.changed
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
	if c.host != nil {
		c.host.left(c)
	}
	c.change(func() { c.left = true })
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.change(func() { c.readDeadline, c.writeDeadline, c.lucky = t, t, false })
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.change(func() { c.readDeadline, c.lucky = t, false })
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.change(func() { c.writeDeadline = t })
	return nil
}

// change does something with the server's mu held and tells everyone who waits
// for this connection.
func (c *conn) change(do func()) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	do()
	c.tell()
}

// tell wakes everyone who waits. Called with the server's mu held.
func (c *conn) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// die breaks the connection. Called with the server's mu held.
func (c *conn) die() {
	c.dead = true
	delete(c.server.conn, c)
	c.tell()
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
	defer c.change(func() { delete(s.conn, c) })
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
	c.change(func() {
		if c.mute = c.mute || s.losing; !c.mute {
			c.out = c.send(c.out, data, s.replies.draw(c.random))
		}
	})
}

// await waits while the server hangs, and reports whether the connection is alive.
func (c *conn) await() bool {
	s := c.server
	for {
		s.mu.Lock()
		dead, hung, changed, resume := c.dead, s.hung, c.changed, c.resume
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
		dead, over, changed := c.dead, c.left && len(c.in) == 0, c.changed
		until := due(c.in, time.Time{})
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

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
