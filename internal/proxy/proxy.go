package proxy

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Direction is one way through the proxy.
type Direction uint8

const (
	Requests Direction = iota // from the clients to the server
	Replies                   // from the server to the clients
)

// dialPatience bounds the wait for the server to accept.
const dialPatience = 2 * time.Second

// Proxy stands in front of one server. All methods are safe for concurrent use,
// and none but Close blocks.
type Proxy struct {
	network, server string
	listener        net.Listener
	dialing         context.Context // ends with Close
	stopDialing     context.CancelFunc
	work            sync.WaitGroup // accept, and every connection

	mu      sync.Mutex
	state   switches
	conns   map[*conn]bool
	lost    int
	changed chan struct{} // closed and replaced when what a writer waits for may have changed
	closed  bool
}

// Start runs a proxy on a free port of 127.0.0.1, in front of the server at the
// address, and closes it with the test.
func Start(t testing.TB, network, server string) *Proxy {
	t.Helper()
	p, err := New(network, server)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

// New is Start without a test: Close must be called.
func New(network, server string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{network: network, server: server, listener: listener, conns: make(map[*conn]bool), changed: make(chan struct{})}
	p.dialing, p.stopDialing = context.WithCancel(context.Background())
	p.work.Go(p.accept)
	return p, nil
}

// Addr is host:port, for clients to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL is "redis://host:port".
func (p *Proxy) URL() string { return "redis://" + p.Addr() }

// Close resets every connection and returns when nothing is left of them. Twice
// is fine.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.stopDialing()
	p.Reset()
	p.work.Wait()
}

// accept is started by New and ends when the listener is closed.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(client) })
	}
}

// serve connects one client to the server until either end is done with the
// other. A server that is not there is a connection that is reset.
func (p *Proxy) serve(client net.Conn) {
	if p.refuses() {
		reset(client)
		return
	}
	ctx, cancel := context.WithTimeout(p.dialing, dialPatience)
	defer cancel()
	server, err := new(net.Dialer).DialContext(ctx, p.network, p.server)
	if err != nil {
		reset(client)
		return
	}
	c := newConn(p, client, server)
	if !p.add(c) {
		c.reset()
		return
	}
	c.run()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// add reports false when the proxy is closed.
func (p *Proxy) add(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[c] = true
	return true
}
