package proxy

import (
	"slices"
	"time"
)

// switches are what is done to traffic from now on. They sit under the proxy's mu.
type switches struct {
	delay     [2]time.Duration // by direction
	blackhole [2]bool
	duplicate bool
	refuse    bool
	lose      int // how many replies are still to be lost
}

// Delay makes every byte that is sent from now on be under way for so long, in
// one direction. It is kept to a tenth of a millisecond or so.
func (p *Proxy) Delay(d Direction, by time.Duration) {
	p.set(func(s *switches) { s.delay[d] = by })
}

// Duplicate has every script call and SET executed twice in a row. The second
// reply is kept back.
func (p *Proxy) Duplicate(on bool) {
	p.set(func(s *switches) { s.duplicate = on })
}

// Refuse resets new connections at once.
func (p *Proxy) Refuse(on bool) {
	p.set(func(s *switches) { s.refuse = on })
}

// LoseReplies loses what the server sends next, and resets the connection that it
// was sent on; and so n times. The client cannot know that it was executed.
func (p *Proxy) LoseReplies(n int) {
	p.set(func(s *switches) { s.lose = n })
}

// Blackhole lets nothing through in one direction, not even the end of a
// connection: bytes vanish, new connections seem to open. When it is switched
// off, the connections that have lost something are reset.
func (p *Proxy) Blackhole(d Direction, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.blackhole[d] = on
	if on {
		return
	}
	for c := range p.conns {
		if c.dark[d] {
			c.reset()
		}
	}
}

// Hold keeps back the requests of the connections that are open now. Later ones
// are not affected: a client can give up, come back and overtake itself.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.held = true
	}
}

// Strand ends the held connections at the clients' end only, with an RST. What is
// held stays.
func (p *Proxy) Strand() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if c.held {
			reset(c.client)
		}
	}
}

// Held returns how many requests are held: whole commands where they are RESP,
// else pieces.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.conns {
		if c.held {
			n += c.waiting
		}
	}
	return n
}

// Deliver sends what is held, in order on each connection, and holds no longer. It
// returns what reports whether all the connections that were held are over.
func (p *Proxy) Deliver() (over func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var held []*conn
	for c := range p.conns {
		if c.held {
			held = append(held, c)
		}
		c.held = false
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return func() bool {
		return !slices.ContainsFunc(held, func(c *conn) bool { return !c.ended() })
	}
}

// Reset ends every connection with an RST at both ends. What was under way, or
// held, is lost.
func (p *Proxy) Reset() { p.each((*conn).reset) }

// Cut ends every connection at both ends as if each end had closed it. What was
// under way, or held, is lost.
func (p *Proxy) Cut() { p.each((*conn).cut) }

// Heal switches everything off, and delivers what is held.
func (p *Proxy) Heal() {
	p.set(func(s *switches) { *s = switches{blackhole: s.blackhole} })
	p.Blackhole(Requests, false)
	p.Blackhole(Replies, false)
	p.Deliver()
}

// Lost returns how often something vanished in a blackhole: bytes that arrived
// together, or the end of a connection.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// Conns returns how many connections are open, also those whose client is gone.
func (p *Proxy) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *Proxy) set(change func(*switches)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.state)
}

func (p *Proxy) each(do func(*conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		do(c)
	}
}

func (p *Proxy) refuses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.refuse
}
