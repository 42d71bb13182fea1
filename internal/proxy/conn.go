package proxy

import (
	"net"
	"sync"
	"time"
)

// conn is one client's connection, and the one that was opened to the server for
// it. Four goroutines belong to it, a reader and a writer for each direction;
// run waits for them.
type conn struct {
	proxy          *Proxy
	client, server net.Conn
	gone           chan struct{} // closed by end
	ending         sync.Once

	// Under the proxy's mu.
	held    bool
	waiting int     // requests that have been read and not yet passed on
	dark    [2]bool // by direction: something was lost there

	duplicates duplicates
}

func newConn(p *Proxy, client, server net.Conn) *conn {
	return &conn{proxy: p, client: client, server: server, gone: make(chan struct{})}
}

// run carries bytes until both directions are over.
func (c *conn) run() {
	requests := &pipe{conn: c, dir: Requests, from: c.client, to: c.server, queue: make(chan chunk, queueRoom)}
	replies := &pipe{conn: c, dir: Replies, from: c.server, to: c.client, queue: make(chan chunk, queueRoom)}
	var pumps sync.WaitGroup
	pumps.Go(requests.read)
	pumps.Go(replies.read)
	pumps.Go(func() {
		if requests.write() { // the client has said all
			closeWrite(c.server)
		}
	})
	pumps.Go(func() {
		if replies.write() { // the server is done with this client
			_ = c.client.Close()
		}
	})
	pumps.Wait()
	c.cut()
}

// reset ends both connections with an RST, where the network knows that.
func (c *conn) reset() { c.end(reset) }

// cut ends both connections.
func (c *conn) cut() { c.end(func(end net.Conn) { _ = end.Close() }) }

func (c *conn) end(how func(net.Conn)) {
	c.ending.Do(func() {
		close(c.gone)
		how(c.client)
		how(c.server)
	})
}

// ended reports whether the connection was ended, and is not just over.
func (c *conn) ended() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

func reset(end net.Conn) {
	if tcp, ok := end.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = end.Close()
}

func closeWrite(end net.Conn) {
	if half, ok := end.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// fate is what becomes of what was just read.
type fate uint8

const (
	passes   fate = iota
	vanishes      // as does all behind it
	breaks        // it is lost, and the connection is reset
)

// judge decides about n requests or replies that have been read, and returns when
// they may arrive.
func (c *conn) judge(d Direction, n int) (f fate, due time.Time) {
	p := c.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.dark[d] || p.state.blackhole[d]:
		c.dark[d] = true
		p.lost++
		return vanishes, due
	case d == Replies && n > 0 && p.state.lose > 0:
		p.state.lose--
		return breaks, due
	}
	if d == Requests {
		c.waiting += n
	}
	return passes, time.Now().Add(p.state.delay[d])
}

// passed notes that n requests are kept back no longer. Before they are written:
// a client that has its reply must not find them here.
func (c *conn) passed(d Direction, n int) {
	if d == Replies {
		return
	}
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	c.waiting -= n
}

// await waits until a chunk may be written. It reports false when the connection
// has ended before.
func (c *conn) await(d Direction, due time.Time) bool {
	if !sleepUntil(due, c.gone) {
		return false
	}
	for d == Requests {
		c.proxy.mu.Lock()
		held, changed := c.held, c.proxy.changed
		c.proxy.mu.Unlock()
		if !held {
			break
		}
		select {
		case <-changed:
		case <-c.gone:
			return false
		}
	}
	return true
}
