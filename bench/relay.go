package main

import (
	"net"
	"sync"
	"time"
)

// relay is a TCP port on 127.0.0.1 in front of a server. Everything arrives later by a fixed time, in either direction,
// and in order; how much may be under way at once is not limited to anything that locks could reach.
type relay struct {
	listener net.Listener
	target   *server
	delay    time.Duration
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

// startRelay puts a relay in front of a server, which adds roundTrip to every round trip.
func startRelay(target *server, roundTrip time.Duration) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, target: target, delay: roundTrip / 2}
	r.running.Go(r.accept)
	return r, nil
}

// behind is the server as it is reached through the relay.
func (r *relay) behind() *server {
	return &server{network: "tcp", addr: r.listener.Addr().String()}
}

// close returns when all connections are closed and nothing runs any more.
func (r *relay) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// accept takes connections until close, which waits for it. startRelay starts it.
func (r *relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(r.target.network, r.target.addr)
		if err != nil || !r.adopt(near, far) {
			_ = near.Close()
			continue
		}
		r.forward(near, far)
		r.forward(far, near)
	}
}

// adopt has close close both; it is false when that is over.
func (r *relay) adopt(near, far net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = far.Close()
		return false
	}
	r.conns = append(r.conns, near, far)
	return true
}

// parcel is what was read at once, and when it is to be written.
type parcel struct {
	text []byte
	due  time.Time
}

// forward carries one direction, with a goroutine that reads and one that writes. Both end when either connection does,
// and close waits for them.
func (r *relay) forward(from, to net.Conn) {
	parcels := make(chan parcel, 1<<12) // the reader sends and closes; more than 64 MiB under way, and the reader waits
	r.running.Go(func() {
		defer close(parcels)
		buffer := make([]byte, 1<<14)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				parcels <- parcel{append([]byte(nil), buffer[:n]...), time.Now().Add(r.delay)}
			}
			if err != nil {
				return
			}
		}
	})
	r.running.Go(func() {
		defer to.Close() // who waits for an answer learns that there is none
		var err error
		for p := range parcels {
			if err != nil {
				continue // the reader must not be left waiting
			}
			time.Sleep(time.Until(p.due))
			_, err = to.Write(p.text)
			if err != nil {
				_ = from.Close()
			}
		}
	})
}

// delayed is the fleet as it is reached through relays.
func delayed(f *fleet, roundTrip time.Duration) (*fleet, func(), error) {
	far := new(fleet)
	var relays []*relay
	closeAll := func() {
		for _, r := range relays {
			r.close()
		}
	}
	for _, s := range f.servers {
		r, err := startRelay(s, roundTrip)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		relays = append(relays, r)
		far.servers = append(far.servers, r.behind())
	}
	return far, closeAll, nil
}
