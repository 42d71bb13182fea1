package main

import (
	"bytes"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// relay is a TCP port on 127.0.0.1 in front of a server. Everything arrives later by a fixed time, in either direction
// and in order; the rate is not limited.
//
//	connections ──▶ read, a goroutine each ──▶ one lane ──▶ write when due ──▶ connections
//
// Since all are late by the same time, the parcels of all connections are due in the order in which they came: one
// goroutine a direction sees to them, and the timing is as good with a hundred connections as with one.
type relay struct {
	listener net.Listener
	target   *server
	delay    time.Duration
	there    chan parcel // to the server; the readers send, close closes
	back     chan parcel
	reading  sync.WaitGroup // accept and the readers
	writing  sync.WaitGroup

	asked atomic.Int64 // how many commands have been read, on their way to the server

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

// parcel is what was read at once, when it is to be written, and where to. Without text it is the connection's end.
type parcel struct {
	text []byte
	due  time.Time
	to   net.Conn
}

// lane is how many parcels may be under way in one direction. More, and the readers wait; locks come nowhere near.
const lane = 1 << 13

// startRelay puts a relay in front of a server, which adds roundTrip to every round trip.
func startRelay(target *server, roundTrip time.Duration) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{
		listener: listener, target: target, delay: roundTrip / 2,
		there: make(chan parcel, lane), back: make(chan parcel, lane),
	}
	addProcs(2)
	r.reading.Go(r.accept)
	r.writing.Go(func() { write(r.there) })
	r.writing.Go(func() { write(r.back) })
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
	r.reading.Wait()
	close(r.there)
	close(r.back)
	r.writing.Wait()
	addProcs(-2)
}

var procs sync.Mutex

// addProcs changes GOMAXPROCS. A goroutine that naps keeps its P for up to 10 ms, and while they all do, nobody looks at
// the network: so goroutines that nap have Ps of their own.
func addProcs(n int) {
	procs.Lock()
	defer procs.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}

// accept takes connections. startRelay starts it, close ends it and waits for it.
func (r *relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(r.target.network, r.target.addr)
		if err != nil {
			_ = near.Close()
			continue
		}
		if !r.adopt(near, far) {
			return
		}
		r.reading.Go(func() { r.read(near, far, r.there, &r.asked) })
		r.reading.Go(func() { r.read(far, near, r.back, nil) })
	}
}

// adopt has close close both. When that is over already, it closes them itself, and is false.
func (r *relay) adopt(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, conns...)
	if r.closed {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	return !r.closed
}

// read takes in one direction of a connection, and counts the commands in it: each begins with a star at the beginning of
// a line, as nothing else does in what is measured here. accept starts it, the connection's end ends it, close waits for
// it.
func (r *relay) read(from, to net.Conn, out chan<- parcel, commands *atomic.Int64) {
	buffer := make([]byte, 1<<14)
	last := byte('\n')
	for {
		n, err := from.Read(buffer)
		if n > 0 && commands != nil {
			begun := bytes.Count(buffer[:n], []byte("\n*"))
			if last == '\n' && buffer[0] == '*' {
				begun++
			}
			commands.Add(int64(begun))
			last = buffer[n-1]
		}
		if n > 0 {
			out <- parcel{slices.Clone(buffer[:n]), time.Now().Add(r.delay), to}
		}
		if err != nil {
			out <- parcel{nil, time.Now().Add(r.delay), to}
			return
		}
	}
}

// write sends each parcel when its time has come. startRelay starts it, close ends it and waits for it.
func write(in <-chan parcel) {
	for p := range in {
		for early := time.Until(p.due); early > 0; early = time.Until(p.due) {
			nap(early)
		}
		if p.text == nil {
			_ = p.to.Close()
			continue
		}
		_, _ = p.to.Write(p.text) // its reader sees what is wrong with it
	}
}

// relays are those of a fleet, one a server.
type relays []*relay

func (l relays) close() {
	for _, r := range l {
		r.close()
	}
}

// commands is how many have been sent through them.
func (l relays) commands() (sum int64) {
	for _, r := range l {
		sum += r.asked.Load()
	}
	return sum
}

// farAway is a fleet as it is reached through relays.
func farAway(f *fleet, roundTrip time.Duration) (far *fleet, relays relays, err error) {
	far = new(fleet)
	for _, s := range f.servers {
		r, err := startRelay(s, roundTrip)
		if err != nil {
			relays.close()
			return nil, nil, err
		}
		relays = append(relays, r)
		far.servers = append(far.servers, r.behind())
	}
	return far, relays, nil
}
